//! The lock of a data directory, and whether the directory is the one that the server wrote.
//!
//! The lock file holds the process id of its last holder, and on the next line the identity of the
//! file itself: number and time of birth of its inode. A copy of the directory has the same text
//! in another file. That matters: files that are copied one after another while a server writes
//! them are not of one moment, and with several shards nothing in them would tell.

use std::fmt;
use std::fs::{self, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, StatxFlags, statx};

use crate::server::disk::DiskError;

/// The right to use a data directory, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct DirectoryLock {
    // The lock lives as long as the open file; the kernel drops it with the process.
    file: fs::File,
    path: PathBuf,
    /// What the file says of itself.
    said: String,
    /// What it is.
    identity: String,
}

/// Why a data directory cannot be used.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its process id, if the file tells.
    Held(PathBuf, Option<u32>),
    /// The lock file cannot be opened or locked.
    Disk(DiskError),
}

impl fmt::Display for LockError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::Held(path, Some(pid)) => {
                write!(out, "{} is locked: process {pid} uses this directory", path.display())
            }
            LockError::Held(path, None) => {
                write!(out, "{} is locked: another process uses this directory", path.display())
            }
            LockError::Disk(error) => error.fmt(out),
        }
    }
}

impl std::error::Error for LockError {}

impl DirectoryLock {
    /// The name of the lock file.
    pub const NAME: &'static str = "LOCK";

    /// Takes the lock at once or says who has it. Blocks on files, so for the time before the
    /// cores start.
    pub fn take(directory: &Path) -> Result<DirectoryLock, LockError> {
        let path = directory.join(Self::NAME);
        let failed =
            |action, source| LockError::Disk(DiskError { action, path: path.clone(), source });
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(&path).map_err(|error| failed("open", error))?;
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut lines = text.lines();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = lines.next().and_then(|pid| pid.trim().parse().ok());
                return Err(LockError::Held(path, pid));
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
        }
        let identity = identity(&file).map_err(|error| failed("look at", error))?;
        let said = lines.nth(1).unwrap_or(&identity).to_owned();
        write_lines(&file, &said).map_err(|error| failed("write", error))?;
        Ok(DirectoryLock { file, path, said, identity })
    }

    /// Is the directory a copy of the one that the last server wrote?
    pub fn is_of_a_copy(&self) -> bool {
        self.said != self.identity
    }

    /// From now on the directory is no copy: its files are known to be of one moment.
    pub fn adopt(&self) -> Result<(), DiskError> {
        write_lines(&self.file, &self.identity).map_err(|source| DiskError {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }
}

fn write_lines(file: &fs::File, identity: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(format!("{}\n{identity}\n", std::process::id()).as_bytes(), 0)
}

/// What makes a file this one. A file system that knows no times of birth says 0.
fn identity(file: &fs::File) -> io::Result<String> {
    let look = StatxFlags::INO | StatxFlags::BTIME;
    let found = statx(file, "", AtFlags::EMPTY_PATH, look)?;
    Ok(format!("{}.{}.{}", found.stx_ino, found.stx_btime.tv_sec, found.stx_btime.tv_nsec))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_has_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let lock = DirectoryLock::take(directory.path()).unwrap();
        let error = DirectoryLock::take(directory.path()).unwrap_err();
        assert!(matches!(&error, LockError::Held(_, Some(pid)) if *pid == std::process::id()));
        assert!(error.to_string().contains("uses this directory"), "{error}");
        drop(lock);
        DirectoryLock::take(directory.path()).unwrap();
        assert!(matches!(DirectoryLock::take(Path::new("/nowhere")), Err(LockError::Disk(_))));
    }

    #[test]
    fn a_copy_is_known_until_it_is_adopted() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(!DirectoryLock::take(here.path()).unwrap().is_of_a_copy());
        assert!(!DirectoryLock::take(here.path()).unwrap().is_of_a_copy());
        let name = DirectoryLock::NAME;
        fs::copy(here.path().join(name), there.path().join(name)).unwrap();
        assert!(DirectoryLock::take(there.path()).unwrap().is_of_a_copy());
        let lock = DirectoryLock::take(there.path()).unwrap();
        assert!(lock.is_of_a_copy(), "taking it changes nothing");
        lock.adopt().unwrap();
        drop(lock);
        assert!(!DirectoryLock::take(there.path()).unwrap().is_of_a_copy());
        // The lock file of a server that wrote no identity.
        fs::write(there.path().join(name), "17\n").unwrap();
        assert!(!DirectoryLock::take(there.path()).unwrap().is_of_a_copy());
    }
}
