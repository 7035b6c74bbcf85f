//! Makes durable what a start keeps of a log and what nobody has vouched for.
//!
//! If a sync of it had failed before the process died, the page cache still has the bytes, counts
//! them as clean, and a sync by the next process succeeds without a write: so they are written
//! again. That is not enough everywhere. On ext4 (seen on Linux 6.18 with dioread_nolock, its
//! default) new blocks are marked *unwritten* until their first write has succeeded; when it
//! failed, a second write in place goes through and is synced without an error, and the mark
//! stays: after a power cut the blocks are zeros. So what was synced is read back past the page
//! cache, and where the device has something else the whole file is made anew, in blocks of its
//! own.
//!
//! Nor is the page cache to be trusted for as long as that takes: clean pages may be dropped at any
//! time, and come back as what the device has. So both ways are judged by what the records were
//! when they were verified (`Seen`), never by what the page cache says later.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::base::checksum::Crc64;
use crate::limits::DISK_BLOCK;
use crate::persist::names;
use crate::persist::recovery::Replay;
use crate::persist::segment_scan::SegmentReader;
use crate::server::aligned::Aligned;
use crate::server::disk::create_anew;

/// How it became durable, or that it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Where it was.
    InPlace,
    /// In a new file: the device did not keep what was written where it was, or said it did not.
    Anew,
    /// Neither the device nor the page cache has it any more: only who has read it before does.
    Lost,
}

/// What reading past the page cache is aligned to.
const PAGE: usize = 4096;

/// What the kept part of a segment was when its records were verified: checksums of what was known
/// to be durable then, and of what was not.
#[derive(Clone, Debug)]
pub struct Seen {
    parts: [(Range<u64>, Crc64); 2],
    at: u64,
}

impl Seen {
    /// Nothing yet of this segment.
    pub fn of(replay: &Replay) -> Seen {
        let (split, end) = (replay.doubtful.min(replay.end.length), replay.end.length);
        Seen { parts: [0..split, split..end].map(|part| (part, Crc64::new())), at: 0 }
    }

    /// The next block of the file, whose records are verified as well.
    pub fn feed(&mut self, block: &[u8]) {
        for (range, sum) in &mut self.parts {
            let [from, to] = [range.start, range.end]
                .map(|at| (at.saturating_sub(self.at) as usize).min(block.len()));
            sum.update(block.get(from..to).unwrap_or_default());
        }
        self.at += block.len() as u64;
    }

    /// Reads a segment and verifies its records.
    pub fn read(directory: &Path, replay: &Replay) -> io::Result<Seen> {
        let Replay { path, id, first, end, .. } = replay;
        let mut reader = SegmentReader::new(path.clone(), *id, *first, end.length, Some(end.next));
        let (file, mut seen) = (File::open(directory.join(path))?, Seen::of(replay));
        let mut block = vec![0; DISK_BLOCK];
        while !reader.at_end() {
            let got = file.read_at(&mut block, seen.at)?;
            let got = block.get(..got).unwrap_or_default();
            if got.is_empty() {
                break;
            }
            seen.feed(got);
            reader.feed(got);
            while reader.next().map_err(|fault| io::Error::other(fault.to_string()))?.is_some() {}
        }
        reader.finish().map_err(|fault| io::Error::other(fault.to_string()))?;
        Ok(seen)
    }

    /// Does the device hold the part of the file that is doubtful?
    fn doubtful_is_in(&self, path: &Path) -> io::Result<bool> {
        let [_, (range, sum)] = &self.parts;
        Ok(on_device(path, range.clone())? == sum.value())
    }

    /// Does the device hold all of it?
    fn is_in(&self, path: &Path) -> io::Result<bool> {
        let [(range, sum), _] = &self.parts;
        Ok(on_device(path, range.clone())? == sum.value() && self.doubtful_is_in(path)?)
    }
}

/// Writes the doubtful part of a segment again and syncs it, so that it is on the device as it was
/// seen. On an error nothing is lost that was there; the path is the file that the error is about.
pub fn write_again(
    directory: &Path,
    replay: &Replay,
    seen: &Seen,
) -> Result<Again, (PathBuf, io::Error)> {
    let path = directory.join(&replay.path);
    let named = |error| (path.clone(), error);
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(named)?;
    let (from, to) = (replay.doubtful, replay.end.length);
    let same = copy(&file, &file, from, to).and_then(|()| file.sync_data());
    if same.is_ok() && seen.doubtful_is_in(&path).map_err(named)? {
        return Ok(Again::InPlace);
    }
    // An error of the sync may be an old one, of a write that failed after its process was gone;
    // a new file tells them apart, for it meets only its own.
    let temporary = directory.join(names::copy_of(&replay.path));
    let named = |error| (temporary.clone(), error);
    let made = make_anew(&file, &path, &temporary, seen);
    if !matches!(made, Ok(Again::Anew)) {
        // Where there is no space, none is taken.
        let _ = fs::remove_file(&temporary);
    }
    made.map_err(named)
}

/// Another file with the same bytes takes the place of this one, once the device has them.
fn make_anew(file: &File, path: &Path, temporary: &Path, seen: &Seen) -> io::Result<Again> {
    let [_, (doubtful, _)] = &seen.parts;
    let anew = create_anew(temporary)?;
    copy(file, &anew, 0, doubtful.end)?;
    anew.sync_all()?;
    if !seen.is_in(temporary)? {
        return Ok(Again::Lost);
    }
    fs::rename(temporary, path)?;
    if let Some(directory) = path.parent() {
        File::open(directory)?.sync_all()?;
    }
    Ok(Again::Anew)
}

fn copy(from: &File, to: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut block, mut at) = (vec![0; DISK_BLOCK], start);
    while at < end {
        let left = usize::try_from(end - at).unwrap_or(DISK_BLOCK).min(DISK_BLOCK);
        let got = from.read_at(block.get_mut(..left).unwrap_or_default(), at)?;
        if got == 0 {
            break;
        }
        to.write_all_at(block.get(..got).unwrap_or_default(), at)?;
        at += got as u64;
    }
    Ok(())
}

/// The checksum of a part of a file as the device has it, or as far as there is a file. File
/// systems that cannot be asked are believed: what they read is what they have.
fn on_device(path: &Path, part: Range<u64>) -> io::Result<u64> {
    let mut sum = Crc64::new();
    if part.is_empty() {
        return Ok(sum.value());
    }
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(direct).open(path);
    let (cached, device) = (File::open(path)?, unless_unsupported(opened)?);
    let mut block = Aligned::with_room(Vec::new(), DISK_BLOCK);
    block.resize(DISK_BLOCK);
    let mut at = part.start - part.start % PAGE as u64;
    while at < part.end {
        let direct =
            device.as_ref().map(|device| unless_unsupported(device.read_at(&mut block, at)));
        let got = match direct.transpose()?.flatten() {
            Some(got) => got,
            None => cached.read_at(&mut block, at)?,
        };
        if got == 0 {
            break;
        }
        let [from, to] =
            [part.start, part.end].map(|bound| (bound.saturating_sub(at) as usize).min(got));
        sum.update(block.get(from..to).unwrap_or_default());
        // A direct read ends inside a page only at the end of the file.
        at += got as u64;
        if got % PAGE > 0 {
            break;
        }
    }
    Ok(sum.value())
}

fn unless_unsupported<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) => match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(None),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::base::ids::{Lsn, ShardId};
    use crate::persist::manifest::End;
    use crate::persist::record::{RunId, SegmentId};

    fn replay(doubtful: u64, length: u64) -> Replay {
        let id = SegmentId { run: RunId(1), shard: ShardId(0), number: 1 };
        let end = End { length, next: Lsn(1) };
        let path = "000001/shard-000.000001.aof".to_owned();
        Replay { path, id, first: Lsn(1), end, doubtful }
    }

    fn seen(replay: &Replay, bytes: &[u8]) -> Seen {
        let mut seen = Seen::of(replay);
        bytes.chunks(7777).for_each(|block| seen.feed(block));
        seen
    }

    #[test]
    fn the_file_stays_as_it_is_whatever_part_is_doubtful() {
        let home = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory on a disk");
        fs::create_dir(home.path().join("000001")).expect("a directory");
        for length in [0, 1, 4095, 4096, 10_000, DISK_BLOCK + 5000] {
            let bytes: Vec<u8> = (0..length + 100).map(|n| (n % 251) as u8).collect();
            for doubtful in [0, 1, 4096, 5000, length as u64].map(|at| at.min(length as u64)) {
                let replay = replay(doubtful, length as u64);
                let seen = seen(&replay, &bytes);
                let path = home.path().join(&replay.path);
                fs::write(&path, &bytes).expect("a file");
                let done = write_again(home.path(), &replay, &seen).expect("a disk");
                assert_eq!(done, Again::InPlace, "{length} {doubtful}");
                assert!(fs::read(&path).expect("a file") == bytes, "{length} {doubtful}");
                let file = File::open(&path).expect("a file");
                let temporary = home.path().join(names::copy_of(&replay.path));
                fs::write(&temporary, "of a start before").expect("a file");
                let mut before = File::open(&temporary).expect("a file");
                let done = make_anew(&file, &path, &temporary, &seen).expect("a disk");
                assert_eq!(done, Again::Anew, "{length} {doubtful}");
                assert!(fs::read(&path).expect("a file") == bytes[..length], "{length}");
                // Another inode: it may have the errors of those who wrote to it before.
                let mut left = String::new();
                before.read_to_string(&mut left).expect("the old file");
                assert_eq!(left, "of a start before", "{length}");
                assert!(!temporary.exists());
            }
        }
    }

    #[test]
    fn what_is_not_as_it_was_seen_is_lost() {
        let home = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory on a disk");
        fs::create_dir(home.path().join("000001")).expect("a directory");
        let bytes: Vec<u8> = (0..20_000).map(|n| (n % 251 + 1) as u8).collect();
        let replay = replay(5000, 18_000);
        let (path, seen) = (home.path().join(&replay.path), seen(&replay, &bytes));
        // In place only the doubtful part is looked at: the rest was on the device before.
        for (zeroed, expected) in [
            (0..1, Again::InPlace),
            (4999..5000, Again::InPlace),
            (5000..5001, Again::Lost),
            (12_288..16_384, Again::Lost),
            (17_999..18_000, Again::Lost),
            (18_000..20_000, Again::InPlace),
        ] {
            let mut now = bytes.clone();
            now[zeroed.clone()].fill(0);
            fs::write(&path, &now).expect("a file");
            let done = write_again(home.path(), &replay, &seen).expect("a disk");
            assert_eq!(done, expected, "{zeroed:?}");
            assert!(fs::read(&path).expect("a file") == now, "{zeroed:?}");
            let (file, temporary) = (File::open(&path).expect("a file"), home.path().join("copy"));
            let whole = if zeroed.start < 18_000 { Again::Lost } else { Again::Anew };
            let done = make_anew(&file, &path, &temporary, &seen).expect("a disk");
            assert_eq!(done, whole, "{zeroed:?}");
            let _ = fs::remove_file(&temporary);
        }
        fs::write(&path, &bytes[..17_000]).expect("a file");
        assert_eq!(write_again(home.path(), &replay, &seen).expect("a disk"), Again::Lost);
    }
}
