//! `basalt-check reseal`: makes logs that were edited by hand a database again.
//!
//! An edited segment is written anew under another number, and what follows it in its shard's log
//! too, since lsns follow each other. Nothing is changed before the new manifest is in place; the
//! edited files go to `lost+cut/`.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use basalt::base::checksum::Crc64;
use basalt::base::ids::{Epoch, ShardId};
use basalt::persist::manifest::{End, Manifest, Segment, ShardFiles};
use basalt::persist::names;
use basalt::persist::record::SegmentId;
use basalt::persist::reseal::Reseal;
use basalt::persist::segment_scan::{Parts, Scanned, Tail};
use basalt::server::inspect::{self, Unread};
use basalt::server::lock::DirectoryLock;
use basalt::server::offline::{
    OfflineError, at, commit, has_doubtful_ends, read_manifest, sync_dir, verify,
};

use crate::report::{Report, Value, text};
use crate::{Trouble, told};

/// Reseals a directory that no server uses.
pub fn reseal(dir: &Path, report: &mut Report<'_>) -> Result<(), Trouble> {
    let lock = DirectoryLock::take(dir).map_err(|error| Trouble::Unable(error.to_string()))?;
    let source = read_manifest(dir, names::MANIFEST).map_err(|error| told(report, error))?;
    if lock.is_of_a_copy() && has_doubtful_ends(&source) {
        let first = "this is a copy that may not be of one moment: see basalt-check adopt";
        return Err(Trouble::Unable(first.to_owned()));
    }
    let mut manifest = Manifest { boot: String::new(), ..source.clone() };
    let mut edited = Vec::new();
    for (shard, files) in manifest.shards.iter_mut().enumerate() {
        let shard = ShardId(shard as u16);
        let generation = source.generation;
        let log = Log { dir, shard, generation };
        let (last, gone) = log.reseal(files, report).map_err(|error| told(report, error))?;
        manifest.durable = manifest.durable.max(last);
        edited.extend(gone);
    }
    let done = commit(dir, &manifest).and_then(|()| set_aside(dir, &edited));
    done.map_err(|error| told(report, error))?;
    lock.adopt().map_err(|error| Trouble::Unable(error.to_string()))?;
    let verified = verify(dir, &manifest).map_err(|error| told(report, error))?;
    report.line(&[
        ("resealed", text(&dir.display().to_string())),
        ("segments", Value::Number(edited.len() as u64)),
        ("records", Value::Number(verified.records)),
    ])
}

/// The log of one shard.
struct Log<'a> {
    dir: &'a Path,
    shard: ShardId,
    generation: basalt::base::ids::Generation,
}

impl Log<'_> {
    /// Closes all segments; those from the first edited one on become others. Gives the highest
    /// epoch and the paths that are no longer part of the database.
    fn reseal(
        &self,
        files: &mut ShardFiles,
        report: &mut Report<'_>,
    ) -> Result<(Epoch, Vec<String>), OfflineError> {
        if let Some(base) = &mut files.base
            && base.path.ends_with(".aof")
        {
            (base.length, base.crc) = self.measure(&base.path)?;
        }
        let mut number = files.segments.iter().map(|segment| segment.number).max().unwrap_or(0);
        let (mut last, mut gone, mut next) = (Epoch(0), Vec::new(), files.after.next());
        for segment in &mut files.segments {
            let scan = inspect::scan(self.dir, self.shard, segment, Parts::Undecided)?;
            last = last.max(scan.last_epoch.unwrap_or_default());
            if gone.is_empty() && is_whole(segment, &scan) {
                next = scan.next.unwrap_or(next);
                segment.first = Some(scan.first.unwrap_or(next));
                segment.end = Some(End { length: scan.length, next });
                continue;
            }
            number += 1;
            let path = names::segment(self.generation, self.shard, number);
            let made = Segment { path, number, first: Some(next), ..segment.clone() };
            let (end, epoch) = self.rewrite(segment, &made)?;
            let line = [
                ("edited", text(&segment.path)),
                ("becomes", text(&made.path)),
                ("first_lsn", Value::Number(next.0)),
                ("next_lsn", Value::Number(end.next.0)),
            ];
            let _ = report.line(&line);
            (last, next) = (last.max(epoch), end.next);
            gone.push(std::mem::replace(segment, Segment { end: Some(end), ..made }).path);
        }
        Ok((last, gone))
    }

    fn rewrite(&self, old: &Segment, new: &Segment) -> Result<(End, Epoch), OfflineError> {
        let ids: (SegmentId, SegmentId) = (old.id(self.shard), new.id(self.shard));
        let first = new.first.unwrap_or_default();
        let mut reseal = Reseal::new(&old.path, ids, first, old.end.map(|end| end.next));
        let path = self.dir.join(&new.path);
        // One of an attempt before this is not governed by any manifest.
        let _ = fs::remove_file(&path);
        let mut file = File::create_new(&path).map_err(at(&path))?;
        let (mut out, mut length) = (Vec::new(), 0);
        let mut flush = |out: &mut Vec<u8>| -> Result<(), OfflineError> {
            length += out.len() as u64;
            file.write_all(out).map_err(at(&path))?;
            out.clear();
            Ok(())
        };
        inspect::blocks(self.dir, &old.path, u64::MAX, |block| -> Result<(), OfflineError> {
            reseal.feed(block, &mut out).map_err(Unread::Fault)?;
            flush(&mut out)
        })?;
        let (next, last) = reseal.finish(&mut out).map_err(Unread::Fault)?;
        flush(&mut out)?;
        file.sync_all().map_err(at(&path))?;
        Ok((End { length, next }, last))
    }

    /// Length and checksum of a base of commands.
    fn measure(&self, path: &str) -> Result<(u64, u64), OfflineError> {
        let (mut crc, mut length) = (Crc64::new(), 0);
        inspect::blocks(self.dir, path, u64::MAX, |block| -> Result<(), OfflineError> {
            crc.update(block);
            length += block.len() as u64;
            Ok(())
        })?;
        Ok((length, crc.value()))
    }
}

/// Is the segment what a server wrote?
fn is_whole(segment: &Segment, scan: &Scanned) -> bool {
    let end = scan.next.map(|next| End { length: scan.length, next });
    scan.tail == Tail::Clean && segment.end.is_none_or(|known| Some(known) == end)
}

fn set_aside(dir: &Path, edited: &[String]) -> Result<(), OfflineError> {
    let aside = dir.join(names::LOST_CUT);
    if !edited.is_empty() {
        fs::create_dir_all(&aside).map_err(at(&aside))?;
        for path in edited {
            let from = dir.join(path);
            fs::rename(&from, dir.join(names::lost(path, 0))).map_err(at(&from))?;
        }
        sync_dir(&aside)?;
    }
    sync_dir(dir)
}
