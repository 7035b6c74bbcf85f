//! Data directories as a whole, on a thread that may block: reading, verifying and copying them.
//! What backups and the check tool share; the decoders are the server's own.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;

use crate::base::ids::{Epoch, Lsn, ShardId};
use crate::persist::manifest::Manifest;
use crate::persist::names;
use crate::persist::payload::BadPayload;
use crate::persist::recovery::{Mode, Refusal, Replay, ShardPlan};
use crate::persist::rewind::{self, Bound, Stop, Verdict, verdict};
use crate::persist::segment_scan::{Parts, Record, SegmentReader};
use crate::server::boot::StartError;
use crate::server::disk::create_anew;
use crate::server::inspect::{self, Inspected, Unread};
use crate::server::lock::DirectoryLock;
use crate::server::verify::check_base;

/// Why something cannot be done with a directory.
#[derive(Debug)]
pub enum OfflineError {
    /// The file system says no, or a file is not what it has to be.
    Unread(Unread),
    /// A start would be refused.
    Refused(Refusal),
    /// It makes no sense.
    Wrong(String),
}

impl fmt::Display for OfflineError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OfflineError::Unread(why) => why.fmt(out),
            OfflineError::Refused(refusal) => refusal.fmt(out),
            OfflineError::Wrong(text) => out.write_str(text),
        }
    }
}

impl std::error::Error for OfflineError {}

impl From<Unread> for OfflineError {
    fn from(why: Unread) -> OfflineError {
        OfflineError::Unread(why)
    }
}

impl OfflineError {
    /// Is a file not there, because a server has removed it meanwhile?
    pub fn is_missing(&self) -> bool {
        matches!(
            self,
            OfflineError::Unread(Unread::Disk(_, error)) if error.kind() == ErrorKind::NotFound
        )
    }
}

/// Says which path an error is about.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> OfflineError + use<> {
    let path = path.to_owned();
    move |error| OfflineError::Unread(Unread::Disk(path, error))
}

/// Reads and verifies a manifest that has to be there: `MANIFEST`, or that of a generation.
pub fn read_manifest(dir: &Path, name: &str) -> Result<Manifest, OfflineError> {
    inspect::read_manifest(dir, name)?
        .ok_or_else(|| at(&dir.join(name))(ErrorKind::NotFound.into()))
}

/// The manifest, and those of the generations that are retained: the youngest first.
pub fn read_generations(dir: &Path) -> Result<Vec<Manifest>, OfflineError> {
    let current = read_manifest(dir, names::MANIFEST)?;
    let older = current.retained.clone();
    let older =
        older.into_iter().map(|generation| read_manifest(dir, &names::retained(generation)));
    let older = older.collect::<Result<Vec<_>, _>>()?;
    Ok([vec![current], older].concat())
}

/// How the files of a directory came to be as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// All of them as one server left them.
    AtOnce,
    /// One after another, while a server wrote them.
    OverTime,
}

/// What of the log is part of the database.
pub fn kept(dir: &Path, manifest: &Manifest, taken: Taken) -> Result<Vec<ShardPlan>, OfflineError> {
    let scans = inspect::scan_all(dir, manifest, Parts::Undecided)?;
    match taken {
        Taken::OverTime => {
            let bad = || OfflineError::Wrong("a closed segment is not what it was".to_owned());
            let mut plans = rewind::prefixes(manifest, &scans).ok_or_else(bad)?;
            let bound = rewind::complete_in_copies(manifest, &plans, &scans);
            cut(dir, &mut plans, bound)?;
            Ok(plans)
        }
        Taken::AtOnce => {
            let (listing, boot) = (inspect::list(dir)?, inspect::boot_id());
            let inspected = Inspected { manifest: manifest.clone(), listing, boot, scans };
            inspected.plan(Mode::Auto).map(|plan| plan.shards).map_err(OfflineError::Refused)
        }
    }
}

/// Refuses a directory that was copied, as far as its text tells, while a server wrote it: with
/// several shards the ends of their logs need not belong together. What a server closed when it
/// ended does, and so do a backup and what `basalt-check adopt` approved.
pub fn refuse_doubtful_copy(dir: &Path, lock: &DirectoryLock) -> Result<(), StartError> {
    if !lock.is_of_a_copy() || !dir.join(names::MANIFEST).exists() {
        return Ok(());
    }
    let manifest = read_manifest(dir, names::MANIFEST);
    // One that cannot be read is refused elsewhere, with its fault.
    if !manifest.is_ok_and(|manifest| has_doubtful_ends(&manifest)) {
        return Ok(());
    }
    Err(StartError(format!(
        "{} is a copy of a data directory whose server had not ended; its shards need not be of \
         one moment. `basalt-check adopt` keeps what is; with --at-rest, if no server ran while \
         it was copied, all of it. `basalt-check backup` copies a running server's directory",
        dir.display()
    )))
}

/// Are there logs of several shards whose ends no server has noted?
pub fn has_doubtful_ends(manifest: &Manifest) -> bool {
    let mut segments = manifest.shards.iter().flat_map(|files| &files.segments);
    manifest.shards.len() > 1 && segments.any(|segment| segment.end.is_none())
}

/// Cuts the history off at a bound; says where, by shard, and up to which epoch there is something.
pub fn cut(
    dir: &Path,
    plans: &mut [ShardPlan],
    bound: Bound,
) -> Result<(Vec<Option<Stop>>, Epoch), OfflineError> {
    let (mut stops, mut last) = (Vec::new(), Epoch(0));
    for plan in plans {
        let mut stop = None;
        for (segment, replay) in plan.replay.iter().enumerate() {
            if stop.is_some() {
                break;
            }
            records(dir, replay, |record| {
                let header = *record.header();
                let units = match verdict(bound, &header, record.payload()) {
                    Verdict::Keep => {
                        last = last.max(header.epoch);
                        return Ok(ControlFlow::Continue(()));
                    }
                    Verdict::End => 0,
                    Verdict::Split(units) => {
                        last = last.max(header.epoch);
                        units
                    }
                };
                let lsn = Lsn(header.first.0 + units);
                stop = Some(Stop { segment, offset: record.offset(), lsn, units });
                Ok(ControlFlow::Break(()))
            })?;
        }
        if let Some(stop) = stop.filter(|stop| stop.units == 0) {
            rewind::end_at(plan, stop, 0);
        }
        stops.push(stop);
    }
    Ok((stops, last))
}

/// Reads what is kept of a segment, record by record, until `each` has seen enough.
pub fn records(
    dir: &Path,
    replay: &Replay,
    mut each: impl FnMut(Record<'_>) -> Result<ControlFlow<()>, BadPayload>,
) -> Result<(), OfflineError> {
    let Replay { path, id, first, end, .. } = replay;
    let mut reader = SegmentReader::new(path, *id, *first, end.length, Some(end.next));
    let fault = |fault| OfflineError::Unread(Unread::Fault(fault));
    let mut going = ControlFlow::Continue(());
    inspect::blocks(dir, path, end.length, |block| -> Result<(), OfflineError> {
        if going.is_break() {
            return Ok(());
        }
        reader.feed(block);
        while going.is_continue() {
            let Some(record) = reader.next().map_err(fault)? else { break };
            let offset = record.offset();
            match each(record) {
                Ok(next) => going = next,
                Err(bad) => return Err(fault(reader.bad_payload(offset, bad))),
            }
        }
        Ok(())
    })?;
    match going {
        ControlFlow::Continue(()) => reader.finish().map_err(fault),
        ControlFlow::Break(()) => Ok(()),
    }
}

/// What was read when a directory was verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Keys in the bases.
    pub keys: u64,
    /// Records of the log.
    pub records: u64,
}

/// Reads every byte of the files of a directory in which every segment is closed.
pub fn verify(dir: &Path, manifest: &Manifest) -> Result<Verified, OfflineError> {
    let mut sum = Verified::default();
    let plans = kept(dir, manifest, Taken::AtOnce)?;
    for (shard, (files, plan)) in manifest.shards.iter().zip(&plans).enumerate() {
        let shard = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
        if let Some(base) = &files.base {
            check_base(dir, manifest, shard, base)?;
            sum.files += 1;
            sum.bytes += base.length;
            sum.keys += base.entries.total();
        }
        for replay in &plan.replay {
            records(dir, replay, |record| {
                sum.records += 1;
                let mut pieces = record.into_pieces();
                while pieces.next()?.is_some() {}
                Ok(ControlFlow::Continue(()))
            })?;
            sum.files += 1;
            sum.bytes += replay.end.length;
        }
        if let Some(cut) = plan.cuts.first() {
            return Err(OfflineError::Wrong(cut.to_string()));
        }
    }
    Ok(sum)
}

/// Copies the first bytes of a file and makes them durable. Fewer than `length` is an error.
pub fn copy(from: &Path, to: &Path, length: u64) -> Result<(), OfflineError> {
    let copied = copy_most(from, to, length)?;
    if copied != length {
        let short = format!("{copied} of {length} bytes could be read");
        return Err(at(from)(io::Error::other(short)));
    }
    Ok(())
}

/// Copies at most so many bytes of a file and makes them durable; how many there were.
pub fn copy_most(from: &Path, to: &Path, length: u64) -> Result<u64, OfflineError> {
    let source = File::open(from).map_err(at(from))?;
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    let mut target = File::create_new(to).map_err(at(to))?;
    let copied = io::copy(&mut source.take(length), &mut target).map_err(at(to))?;
    target.sync_all().map_err(at(to))?;
    Ok(copied)
}

/// Writes a directory's manifest, once the files that it names are there: from here on it is a
/// database. All names become durable.
pub fn commit(dir: &Path, manifest: &Manifest) -> Result<(), OfflineError> {
    let mut generations: Vec<&str> =
        manifest.paths().filter_map(|path| path.split('/').next()).collect();
    generations.dedup();
    for generation in generations {
        sync_dir(&dir.join(generation))?;
    }
    let (path, temporary) = (dir.join(names::MANIFEST), dir.join(names::MANIFEST_TMP));
    let mut file = create_anew(&temporary).map_err(at(&temporary))?;
    file.write_all(&manifest.encode()).map_err(at(&temporary))?;
    file.sync_all().map_err(at(&temporary))?;
    fs::rename(&temporary, &path).map_err(at(&path))?;
    sync_dir(dir)
}

/// Makes the names in a directory durable.
pub fn sync_dir(dir: &Path) -> Result<(), OfflineError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))
}

/// A directory that is about to be filled: it must not exist, or be empty.
pub fn new_directory(dir: &Path) -> Result<(), OfflineError> {
    fs::create_dir_all(dir).map_err(at(dir))?;
    let mut entries = fs::read_dir(dir).map_err(at(dir))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(OfflineError::Wrong(format!("{} is not empty", dir.display()))),
    }
}
