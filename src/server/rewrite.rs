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

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::limits::DISK_BLOCK;
use crate::persist::names;
use crate::persist::recovery::Replay;
use crate::server::disk::create_anew;

/// How it became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// Where it was.
    InPlace,
    /// In a new file: the device did not keep what was written where it was, or said it did not.
    Anew,
}

/// What reading past the page cache is aligned to.
const PAGE: usize = 4096;

/// Writes the doubtful part of a segment again and syncs it, so that it is on the device. On an
/// error nothing is lost that was there; the path is the file that the error is about.
pub fn write_again(directory: &Path, replay: &Replay) -> Result<Again, (PathBuf, io::Error)> {
    let path = directory.join(&replay.path);
    let named = |error| (path.clone(), error);
    let file = OpenOptions::new().read(true).write(true).open(&path).map_err(named)?;
    let (from, to) = (replay.doubtful, replay.end.length);
    let same = copy(&file, &file, from, to).and_then(|()| file.sync_data());
    if same.is_ok() && is_on_device(&path, &file, from, to).map_err(named)? {
        return Ok(Again::InPlace);
    }
    // An error of the sync may be an old one, of a write that failed after its process was gone;
    // a new file tells them apart, for it meets only its own.
    let temporary = directory.join(names::copy_of(&replay.path));
    let named = |error| (temporary.clone(), error);
    match make_anew(&file, &path, &temporary, to) {
        Ok(()) => Ok(Again::Anew),
        Err(error) => {
            // Where there is no space, none is taken.
            let _ = fs::remove_file(&temporary);
            Err(named(error))
        }
    }
}

/// Another file with the same bytes takes the place of this one.
fn make_anew(file: &File, path: &Path, temporary: &Path, length: u64) -> io::Result<()> {
    let anew = create_anew(temporary)?;
    copy(file, &anew, 0, length)?;
    anew.sync_all()?;
    fs::rename(temporary, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
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

/// Does the device hold what the page cache says? File systems that cannot be asked are believed.
fn is_on_device(path: &Path, cached: &File, from: u64, to: u64) -> io::Result<bool> {
    if from >= to {
        return Ok(true);
    }
    let direct = i32::try_from(OFlags::DIRECT.bits()).unwrap_or_default();
    let opened = OpenOptions::new().read(true).custom_flags(direct).open(path);
    let Some(device) = unless_unsupported(opened)? else { return Ok(true) };
    let mut memory = vec![0; DISK_BLOCK + PAGE];
    let aligned = memory.as_ptr().align_offset(PAGE);
    let (mut expected, mut at) = (vec![0; DISK_BLOCK], from - from % PAGE as u64);
    while at < to {
        let block = memory.get_mut(aligned..aligned + DISK_BLOCK).unwrap_or_default();
        let Some(got) = unless_unsupported(device.read_at(block, at))? else { return Ok(true) };
        let wanted = cached.read_at(expected.as_mut_slice(), at)?;
        // Of the last block only what lies before the end counts.
        let count = usize::try_from(to - at).unwrap_or(DISK_BLOCK).min(wanted);
        let count = if got < count { got - got % PAGE } else { count };
        if count == 0 || block.get(..count) != expected.get(..count) {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
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

    #[test]
    fn the_file_stays_as_it_is_whatever_part_is_doubtful() {
        let home = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory on a disk");
        fs::create_dir(home.path().join("000001")).expect("a directory");
        for length in [0, 1, 4095, 4096, 10_000, DISK_BLOCK + 5000] {
            let bytes: Vec<u8> = (0..length + 100).map(|n| (n % 251) as u8).collect();
            for doubtful in [0, 1, 4096, 5000, length as u64].map(|at| at.min(length as u64)) {
                let replay = replay(doubtful, length as u64);
                let path = home.path().join(&replay.path);
                fs::write(&path, &bytes).expect("a file");
                assert!(write_again(home.path(), &replay).is_ok(), "{length} {doubtful}");
                assert!(fs::read(&path).expect("a file") == bytes, "{length} {doubtful}");
                let file = File::open(&path).expect("a file");
                let temporary = home.path().join(names::copy_of(&replay.path));
                fs::write(&temporary, "of a start before").expect("a file");
                let mut before = File::open(&temporary).expect("a file");
                assert!(make_anew(&file, &path, &temporary, length as u64).is_ok());
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
    fn bytes_that_are_not_on_the_device_are_found() {
        let home = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).expect("a directory on a disk");
        let (path, other) = (home.path().join("device"), home.path().join("cache"));
        let bytes: Vec<u8> = (0..20_000).map(|n| (n % 251 + 1) as u8).collect();
        fs::write(&other, &bytes).expect("a file");
        let cached = File::open(&other).expect("a file");
        for (zeroed, found) in [(20_000..20_000, true), (12_288..16_384, false), (0..1, true)] {
            let mut device = bytes.clone();
            device[zeroed.clone()].fill(0);
            fs::write(&path, &device).expect("a file");
            let same = is_on_device(&path, &cached, 5000, 20_000).expect("an answer");
            assert_eq!(same, found, "{zeroed:?}");
        }
        fs::write(&path, &bytes[..9000]).expect("a file");
        assert!(!is_on_device(&path, &cached, 5000, 20_000).expect("an answer"));
    }
}
