//! Fills a shard from the blocks of its files: one piece of code for the server, which reads them
//! asynchronously, and for whoever reads them otherwise.
//!
//! A snapshot and a log vouch for every piece before it is applied. A base of commands vouches only
//! for the whole of itself, so its reader goes over it twice: `TextBaseCheck` first, then this.

use crate::base::ids::{Db, ShardId};
use crate::persist::fault::StorageFault;
use crate::persist::manifest::{Base, Manifest};
use crate::persist::recovery::Replay;
use crate::persist::segment_scan::SegmentReader;
use crate::persist::snapshot_file::Header;
use crate::persist::snapshot_reader::{Expected, SnapshotReader};
use crate::resp::buffer::Buffer;
use crate::resp::request::{Limits, Parser, Step};
use crate::shard::restore::FileNumber;
use crate::shard::shard::Shard;

/// Loads a base.
#[derive(Debug)]
pub struct BaseFill {
    file: FileNumber,
    path: String,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Snapshot(Box<SnapshotReader>),
    Commands(Box<Commands>),
}

#[derive(Debug)]
struct Commands {
    buffer: Buffer,
    parser: Parser,
    db: Db,
    fed: u64,
}

/// Runs a segment again, as far as a plan says.
#[derive(Debug)]
pub struct LogFill {
    path: String,
    reader: SegmentReader,
}

/// Is this base made of commands? Then its checksum has to be checked first.
pub fn is_commands(base: &Base) -> bool {
    base.path.ends_with(".aof")
}

impl BaseFill {
    /// Of the base of this shard.
    pub fn new(manifest: &Manifest, shard: ShardId, base: &Base) -> BaseFill {
        let form = if is_commands(base) {
            let (buffer, parser) = (Buffer::new(), Parser::new());
            Form::Commands(Box::new(Commands { buffer, parser, db: Db(0), fed: 0 }))
        } else {
            let expected = Header::expected(manifest, shard);
            let (length, crc) = (base.length, base.crc);
            let expected = expected.map(|header| Expected { header, length, crc });
            Form::Snapshot(Box::new(SnapshotReader::new(base.path.clone(), expected)))
        };
        BaseFill { file: FileNumber(shard.0), path: base.path.clone(), form }
    }

    /// The next block of the file.
    pub fn feed(&mut self, shard: &mut Shard, block: &[u8]) -> Result<(), StorageFault> {
        match &mut self.form {
            Form::Snapshot(reader) => {
                reader.feed(block);
                load_items(shard, self.file, reader, &self.path)
            }
            Form::Commands(commands) => commands.feed(shard, block).map_err(|(expected, found)| {
                StorageFault::new(&self.path, commands.at(), expected, found)
            }),
        }
    }

    /// After the last block: it was all there, and nothing is left half done.
    pub fn finish(self, shard: &Shard) -> Result<(), StorageFault> {
        let at = match self.form {
            Form::Snapshot(reader) => reader.finish()?.length,
            Form::Commands(commands) if commands.buffer.pending() > 0 => {
                let (expected, found) = ("the rest of a command", "the end of the file");
                return Err(StorageFault::new(self.path, commands.at(), expected, found));
            }
            Form::Commands(commands) => commands.fed,
        };
        if shard.keys.load_unfinished() == 0 {
            return Ok(());
        }
        let (expected, found) = ("the rest of a value that was begun", "the end of the file");
        Err(StorageFault::new(self.path, at, expected, found))
    }
}

impl Commands {
    /// Where what has not been understood begins.
    fn at(&self) -> u64 {
        self.fed.saturating_sub(self.buffer.pending() as u64)
    }

    fn feed(&mut self, shard: &mut Shard, block: &[u8]) -> Result<(), (String, String)> {
        self.buffer.fill(block);
        self.fed += block.len() as u64;
        let mut scratch = Vec::new();
        loop {
            match self.parser.next(&mut self.buffer, &Limits::default()) {
                Step::Incomplete => return Ok(()),
                Step::Invalid(invalid) => return Err(("a command".into(), invalid.log())),
                Step::Request => {}
            }
            let args = self.parser.args(&self.buffer);
            if args.at(0).eq_ignore_ascii_case(b"SELECT") {
                let number = std::str::from_utf8(args.at(1)).ok().and_then(|n| n.parse().ok());
                let bad = || ("a database".into(), args.at(1).escape_ascii().to_string());
                self.db = number.map(Db).ok_or_else(bad)?;
                continue;
            }
            let done = shard.replay_named(args, self.db, &mut scratch);
            done.map_err(|bad| ("a command that can be run".into(), format!("{bad:?}")))?;
        }
    }
}

impl LogFill {
    /// Of the segment, or the part of one, that a plan replays.
    pub fn new(replay: &Replay) -> LogFill {
        let Replay { path, id, first, end, .. } = replay;
        let reader = SegmentReader::new(path.clone(), *id, *first, end.length, Some(end.next));
        LogFill { path: path.clone(), reader }
    }

    /// The next block of the file; how many commands it has completed.
    pub fn feed(&mut self, shard: &mut Shard, block: &[u8]) -> Result<u64, StorageFault> {
        self.reader.feed(block);
        let mut count = 0;
        while let Some(record) = self.reader.next()? {
            let offset = record.offset();
            count += shard.replay_record(record).map_err(|bad| {
                let expected = "a record that can be run again";
                StorageFault::new(&self.path, offset, expected, format!("{bad:?}"))
            })?;
        }
        Ok(count)
    }

    /// Are no more blocks needed?
    pub fn at_end(&self) -> bool {
        self.reader.at_end()
    }

    /// After the last block: a fault unless exactly what was to be read has been read.
    pub fn finish(&self) -> Result<(), StorageFault> {
        self.reader.finish()
    }
}

/// Adds the items that have been read.
pub fn load_items(
    shard: &mut Shard,
    file: FileNumber,
    reader: &mut SnapshotReader,
    path: &str,
) -> Result<(), StorageFault> {
    while let Some(mut items) = reader.next()? {
        while let Some(item) = items.next()? {
            shard.load_item(file, &item).map_err(|bad| {
                let (at, found) = (items.offset(), format!("{bad:?}"));
                StorageFault::new(path, at, "an entry that can be loaded", found)
            })?;
        }
    }
    Ok(())
}
