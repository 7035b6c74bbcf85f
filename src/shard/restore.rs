//! Fills a shard from verified files: items of a base, records of the log.

use crate::base::ids::Db;
use crate::keyspace::item::Shape;
use crate::keyspace::load::BadLoad;
use crate::persist::payload::{BadPayload, Piece};
use crate::persist::segment_scan::Record;
use crate::persist::snapshot_item::Item;
use crate::resp::args::Args;
use crate::shard::shard::Shard;
use crate::types::value::Kind;

/// Why a record could not be applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadRecord {
    /// The payload is not what it has to be.
    Payload(BadPayload),
    /// A command of it fails: `SET k`, and why.
    Command(String),
}

/// Files that are loaded together keep the numbers of their fragmented values apart by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileNumber(pub u16);

impl Shard {
    /// Adds one item of a base.
    pub fn load_item(&mut self, file: FileNumber, item: &Item<'_>) -> Result<(), BadLoad> {
        let keys = &mut self.keys;
        let unique = |id: u64| id | u64::from(file.0) << 48;
        match *item {
            Item::Library { name, text } => keys.load_library(name, text),
            Item::Expect { db, keys: count } => {
                keys.load_expect(db, count);
                Ok(())
            }
            Item::Str { place, value } => {
                keys.load_string(place.db, place.key, value, place.deadline)
            }
            Item::Hash { place, pairs } => {
                keys.load_hash(place.db, place.key, place.deadline, pairs)
            }
            Item::Whole { place, kind, bytes } => {
                keys.load_whole(place.db, place.key, place.deadline, kind, bytes)
            }
            Item::Open { id, place, kind, size } => {
                let shape = match kind {
                    Kind::String => Shape::Rope { bytes: size },
                    Kind::Hash | Kind::Set => Shape::Table { kind, fields: size },
                    kind => Shape::Parts { kind, elements: size },
                };
                keys.load_open(unique(id), place.db, place.key, place.deadline, shape)
            }
            Item::Field { id, field, value, deadline } => {
                keys.load_field(unique(id), field, value, deadline)
            }
            Item::Chunk { id, offset, bytes } => keys.load_chunk(unique(id), offset, bytes),
            Item::Close { id } => keys.load_close(unique(id)),
        }
    }

    /// Runs the commands of one record again; how many there were.
    pub fn replay_record(&mut self, record: Record<'_>) -> Result<u64, BadRecord> {
        let mut pieces = record.into_pieces();
        let mut scratch = Vec::new();
        let mut count = 0;
        while let Some(piece) = pieces.next().map_err(BadRecord::Payload)? {
            if let Piece::Command(db, args) = piece {
                self.replay_named(args, db, &mut scratch)?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Runs one command again; a fault names it.
    pub fn replay_named(
        &mut self,
        args: Args<'_>,
        db: Db,
        scratch: &mut Vec<u8>,
    ) -> Result<(), BadRecord> {
        self.replay(args, db, scratch).map_err(|why| {
            let words: Vec<_> = args.iter().take(2).map(String::from_utf8_lossy).collect();
            BadRecord::Command(format!("{}: {why}", words.join(" ")))
        })
    }
}
