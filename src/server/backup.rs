//! Backups of a data directory, also of one that a running server writes: a directory of its own
//! for each, consistent, verified after it was written. On a thread that may block.
//!
//! Files that do not change any more (bases, closed segments) become hard links where the file
//! systems allow it, and copies elsewhere. Of the logs that are being written a prefix is copied,
//! each of another moment, and then all are cut to one moment that all of them have reached
//! (`persist::rewind`); a running server lets every log say how far it goes, every second. It may
//! fill zeros behind the records while they are copied, or take them away: a copy is of several
//! moments in itself, and its valid prefix counts.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::base::time::Millis;
use crate::persist::backup::{self, Keep};
use crate::persist::manifest::Manifest;
use crate::persist::names;
use crate::persist::rewind::{Bound, rewound};
use crate::server::lock::{DirectoryLock, LockError};
use crate::server::offline::{
    OfflineError, Taken, Verified, at, commit, copy, copy_most, cut, has_doubtful_ends, kept,
    read_manifest, sync_dir, verify,
};

/// What is to be backed up, and where to.
#[derive(Clone, Debug)]
pub struct Job {
    /// The data directory.
    pub from: PathBuf,
    /// The directory of all backups.
    pub to: PathBuf,
    /// When: its name.
    pub now: Millis,
    /// Which older ones stay.
    pub keep: Keep,
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// Where it is.
    pub path: PathBuf,
    /// Its manifest.
    pub manifest: Manifest,
    /// What was read when it was verified.
    pub verified: Verified,
    /// Files that are hard links.
    pub links: u64,
    /// Files that were copied.
    pub copies: u64,
    /// Older backups that were removed.
    pub removed: Vec<Millis>,
}

/// A backup that is there.
#[derive(Clone, Debug)]
pub struct Listed {
    /// When it was made.
    pub moment: Millis,
    /// Its manifest.
    pub manifest: Manifest,
}

/// A server that makes a checkpoint meanwhile removes files that were about to be copied.
const ATTEMPTS: usize = 10;

/// Makes a backup, and removes those that the rule lets go.
pub fn make(job: &Job) -> Result<Made, OfflineError> {
    fs::create_dir_all(&job.to).map_err(at(&job.to))?;
    let _one_at_a_time = exclude(&job.to)?;
    for name in names_in(&job.to)?.iter().filter(|name| backup::is_partial(name)) {
        let left = job.to.join(name);
        fs::remove_dir_all(&left).map_err(at(&left))?;
    }
    let name = backup::name(job.now);
    let partial = job.to.join(format!("{name}{}", backup::PARTIAL));
    let mut attempt = 1;
    let (manifest, links, copies) = loop {
        match fill(&job.from, &partial) {
            Ok(filled) => break filled,
            Err(error) => {
                let _ = fs::remove_dir_all(&partial);
                if !error.is_missing() || attempt == ATTEMPTS {
                    return Err(error);
                }
                attempt += 1;
            }
        }
    };
    let verified = verify(&partial, &manifest);
    let verified = verified.inspect_err(|_| drop(fs::remove_dir_all(&partial)))?;
    let path = job.to.join(&name);
    fs::rename(&partial, &path).map_err(at(&path))?;
    sync_dir(&job.to)?;
    let removed = tidy(&job.to, job.keep)?;
    Ok(Made { path, manifest, verified, links, copies, removed })
}

/// All complete backups, the oldest first.
pub fn list(to: &Path) -> Result<Vec<Listed>, OfflineError> {
    let mut all = Vec::new();
    for moment in moments(to)? {
        let manifest = read_manifest(&to.join(backup::name(moment)), names::MANIFEST)?;
        all.push(Listed { moment, manifest });
    }
    Ok(all)
}

/// Removes the backups that the rule does not keep.
pub fn tidy(to: &Path, keep: Keep) -> Result<Vec<Millis>, OfflineError> {
    let gone = backup::superfluous(&moments(to)?, keep);
    for moment in &gone {
        let path = to.join(backup::name(*moment));
        // First its name: what is half removed is no backup.
        let partial = to.join(format!("{}{}", backup::name(*moment), backup::PARTIAL));
        fs::rename(&path, &partial).map_err(at(&path))?;
        fs::remove_dir_all(&partial).map_err(at(&partial))?;
    }
    Ok(gone)
}

/// The moments of all complete backups, the oldest first.
pub fn moments(to: &Path) -> Result<Vec<Millis>, OfflineError> {
    if !to.exists() {
        return Ok(Vec::new());
    }
    let mut all: Vec<_> = names_in(to)?.iter().filter_map(|name| backup::moment(name)).collect();
    all.sort();
    Ok(all)
}

fn names_in(dir: &Path) -> Result<Vec<String>, OfflineError> {
    let entries = fs::read_dir(dir).map_err(at(dir))?;
    let names = entries.map(|entry| Ok(entry.map_err(at(dir))?.file_name()));
    let names = names.collect::<Result<Vec<_>, OfflineError>>()?;
    Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
}

fn exclude(to: &Path) -> Result<File, OfflineError> {
    let path = to.join(names::LOCK);
    let file = File::options().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(at(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let other = format!("another backup to {} is being made", to.display());
            Err(OfflineError::Wrong(other))
        }
        Err(TryLockError::Error(error)) => Err(at(&path)(error)),
    }
}

/// Whether a server writes to a directory now, or its files were copied while one did. The lock
/// is held as long as the first value lives. A directory without a lock file is a backup.
pub fn hold(dir: &Path) -> Result<(Option<DirectoryLock>, Taken), OfflineError> {
    if !dir.join(names::LOCK).exists() {
        return Ok((None, Taken::AtOnce));
    }
    match DirectoryLock::take(dir) {
        Ok(lock) => {
            let taken = if lock.is_of_a_copy() { Taken::OverTime } else { Taken::AtOnce };
            Ok((Some(lock), taken))
        }
        Err(LockError::Held(..)) => Ok((None, Taken::OverTime)),
        Err(error @ LockError::Disk(_)) => Err(OfflineError::Wrong(error.to_string())),
    }
}

/// Links and copies what the manifest governs, cuts it to one moment, and writes its manifest.
fn fill(from: &Path, to: &Path) -> Result<(Manifest, u64, u64), OfflineError> {
    let (lock, taken) = hold(from)?;
    let source = read_manifest(from, names::MANIFEST)?;
    let (mut links, mut copies) = (0, 0);
    for files in &source.shards {
        for segment in files.segments.iter().filter(|segment| segment.end.is_none()) {
            let path = from.join(&segment.path);
            let length = fs::metadata(&path).map_err(at(&path))?.len();
            copy_most(&path, &to.join(&segment.path), length)?;
            copies += 1;
        }
        let closed = files.segments.iter().filter_map(|segment| Some((segment, segment.end?)));
        let closed = closed.map(|(segment, end)| (segment.path.as_str(), end.length));
        let bases = files.base.iter().map(|base| (base.path.as_str(), base.length));
        for (path, length) in closed.chain(bases) {
            match link(&from.join(path), &to.join(path))? {
                Some(()) => links += 1,
                None => {
                    copy(&from.join(path), &to.join(path), length)?;
                    copies += 1;
                }
            }
        }
    }
    // Ends that are all noted belong together, whoever looks at them.
    let mut segments = source.shards.iter().flat_map(|files| &files.segments);
    let is_written = lock.is_none() && segments.any(|segment| segment.end.is_none());
    let taken = if is_written || has_doubtful_ends(&source) { taken } else { Taken::AtOnce };
    let mut plans = kept(to, &source, taken)?;
    let (_, last) = cut(to, &mut plans, Bound::All)?;
    let manifest = rewound(&source, &plans, last);
    for segment in source.shards.iter().flat_map(|files| &files.segments) {
        let ours = manifest.shards.iter().flat_map(|files| &files.segments);
        let mut ours = ours.filter(|ours| ours.path == segment.path);
        let path = to.join(&segment.path);
        match ours.next().and_then(|ours| ours.end) {
            None => fs::remove_file(&path).map_err(at(&path))?,
            Some(end) if segment.end.is_none() => {
                let file = File::options().write(true).open(&path).map_err(at(&path))?;
                file.set_len(end.length).and_then(|()| file.sync_all()).map_err(at(&path))?;
            }
            Some(_) => {}
        }
    }
    commit(to, &manifest)?;
    Ok((manifest, links, copies))
}

/// A second name for a file that does not change any more; nothing where that is not possible.
fn link(from: &Path, to: &Path) -> Result<Option<()>, OfflineError> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    match fs::hard_link(from, to) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(at(from)(error)),
        // Another file system, or one without hard links.
        Err(_) => Ok(None),
    }
}
