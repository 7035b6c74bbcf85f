//! Reads and checks every byte of a data directory, for basalt-check and for tests: with the
//! decoders of a start and its plan, file by file.

use std::path::Path;

use crate::base::ids::ShardId;
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::persist::fault::StorageFault;
use crate::persist::manifest::{Base, Manifest};
use crate::persist::payload::BadPayload;
use crate::persist::recovery::{Plan, Replay};
use crate::persist::segment_scan::{Record, SegmentReader};
use crate::persist::snapshot_file::Header;
use crate::persist::snapshot_reader::{Expected, SnapshotReader};
use crate::persist::text_base::TextBaseCheck;
use crate::server::inspect::{Unread, blocks};
use crate::shard::fill::{self, BaseFill, LogFill};
use crate::shard::shard::Shard;

/// How far a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Checksums, items, commands: in little memory.
    Decode,
    /// It loads each shard too, as a start would, into as much memory as the largest one takes.
    Load {
        /// How many databases there are.
        databases: u16,
    },
}

/// An empty shard with the hash of this database.
fn empty_shard(manifest: &Manifest, id: ShardId, databases: u16) -> Shard {
    let seed = manifest.hash.seed;
    let keys = Keyspace::new(Settings { databases, seed, ..Settings::default() });
    Shard::new(id, keys, seed)
}

/// Checks a base, byte by byte.
pub fn check_base(
    directory: &Path,
    manifest: &Manifest,
    shard: ShardId,
    base: &Base,
) -> Result<(), Unread> {
    if fill::is_commands(base) {
        return check_commands(directory, base);
    }
    let (length, crc) = (base.length, base.crc);
    let header = Header::expected(manifest, shard);
    let expected = header.map(|header| Expected { header, length, crc });
    let mut reader = SnapshotReader::new(&base.path, expected);
    blocks(directory, &base.path, u64::MAX, |block| -> Result<(), Unread> {
        reader.feed(block);
        while let Some(mut items) = reader.next()? {
            while items.next()?.is_some() {}
        }
        Ok(())
    })?;
    reader.finish()?;
    Ok(())
}

fn check_commands(directory: &Path, base: &Base) -> Result<(), Unread> {
    let mut check = TextBaseCheck::default();
    blocks(directory, &base.path, u64::MAX, |block| -> Result<(), Unread> {
        check.feed(block);
        Ok(())
    })?;
    Ok(check.finish(base)?)
}

/// Checks what a plan replays of one segment.
pub fn check_log(directory: &Path, replay: &Replay) -> Result<(), Unread> {
    let Replay { path, id, first, end, .. } = replay;
    let reader = SegmentReader::new(path, *id, *first, end.length, Some(end.next));
    read_records(directory, path, reader, |record| Ok(walk(record)))
}

/// Reads the records of a segment, each of which `each` looks at and may complain about.
pub fn read_records<E: From<Unread>>(
    directory: &Path,
    path: &str,
    mut reader: SegmentReader,
    mut each: impl FnMut(Record<'_>) -> Result<Option<BadPayload>, E>,
) -> Result<(), E> {
    let fault = |fault: StorageFault| Unread::Fault(fault);
    blocks(directory, path, u64::MAX, |block| -> Result<(), E> {
        reader.feed(block);
        while let Some(record) = reader.next().map_err(fault)? {
            let offset = record.offset();
            if let Some(bad) = each(record)? {
                return Err(fault(reader.bad_payload(offset, bad)).into());
            }
        }
        Ok(())
    })?;
    Ok(reader.finish().map_err(fault)?)
}

/// Reads the commands of a record; gives what cannot be read.
fn walk(record: Record<'_>) -> Option<BadPayload> {
    let mut pieces = record.into_pieces();
    loop {
        match pieces.next() {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(bad) => return Some(bad),
        }
    }
}

/// The shard as a start would have it: its base, then its log as far as the plan says.
pub fn load(
    directory: &Path,
    manifest: &Manifest,
    plan: &Plan,
    id: ShardId,
    databases: u16,
) -> Result<Shard, Unread> {
    let mut shard = empty_shard(manifest, id, databases);
    let base = manifest.shards.get(id.index()).and_then(|files| files.base.as_ref());
    if let Some(base) = base {
        if fill::is_commands(base) {
            check_commands(directory, base)?;
        }
        let mut fill = BaseFill::new(manifest, id, base);
        blocks(directory, &base.path, u64::MAX, |block| -> Result<(), Unread> {
            Ok(fill.feed(&mut shard, block)?)
        })?;
        fill.finish(&shard)?;
    }
    for replay in plan.shards.get(id.index()).into_iter().flat_map(|plan| &plan.replay) {
        let mut fill = LogFill::new(replay);
        blocks(directory, &replay.path, u64::MAX, |block| -> Result<(), Unread> {
            Ok(fill.feed(&mut shard, block).map(drop)?)
        })?;
        fill.finish()?;
    }
    Ok(shard)
}

/// Checks the bases that a manifest names. `each` is told the path and what came of it.
pub fn check_bases<E: From<Unread>>(
    directory: &Path,
    manifest: &Manifest,
    mut each: impl FnMut(&str, Result<(), StorageFault>) -> Result<(), E>,
) -> Result<(), E> {
    for (index, files) in manifest.shards.iter().enumerate() {
        let id = ShardId(u16::try_from(index).unwrap_or(u16::MAX));
        if let Some(base) = &files.base {
            tell(&base.path, check_base(directory, manifest, id, base), &mut each)?;
        }
    }
    Ok(())
}

fn tell<E: From<Unread>>(
    path: &str,
    done: Result<(), Unread>,
    mut each: impl FnMut(&str, Result<(), StorageFault>) -> Result<(), E>,
) -> Result<(), E> {
    match done {
        Ok(()) => each(path, Ok(())),
        Err(Unread::Fault(fault)) => each(path, Err(fault)),
        Err(other) => Err(other.into()),
    }
}

/// What the manifest of a whole directory says and what is not so: the bases, then the logs as the
/// plan has them. `each` is told the path and what came of it.
pub fn check_all<E: From<Unread>>(
    directory: &Path,
    manifest: &Manifest,
    plan: &Plan,
    depth: Depth,
    mut each: impl FnMut(&str, Result<(), StorageFault>) -> Result<(), E>,
) -> Result<(), E> {
    check_bases(directory, manifest, &mut each)?;
    for (index, shard) in plan.shards.iter().enumerate() {
        for replay in &shard.replay {
            tell(&replay.path, check_log(directory, replay), &mut each)?;
        }
        if let Depth::Load { databases } = depth {
            let id = ShardId(u16::try_from(index).unwrap_or(u16::MAX));
            let loaded = load(directory, manifest, plan, id, databases).map(drop);
            tell(&format!("shard {index}"), loaded, &mut each)?;
        }
    }
    Ok(())
}
