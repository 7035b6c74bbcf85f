//! Removes big files without giving the device all of their blocks at once.
//!
//! A file system that tells its device which blocks are free (mount option `discard`) tells it of a
//! removed file in one go, and the device does nothing else until it is done: 13 ms for 72 MB have
//! been seen, in which a sync of the log waited, and the client behind it. So the file loses its
//! name, and what is left of it, which only this process still has open, is cut shorter in steps,
//! on a thread of the lowest priority. When the process ends before that, the kernel frees the rest
//! at once.
//!
//! A file is cut if and only if nobody else can see it: it has no name any more (a backup may have
//! given it one) and is open nowhere else (a copy of it may be under way). Who sees a removed file
//! keeps all of it.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use crate::limits::{SHRINK_PAUSE, SHRINK_STEP};
use crate::server::disk::{self, DiskError, absent_is_fine, on_pool};
use crate::server::log;

/// What is left of a file that was removed. Dropped, it is freed.
#[derive(Debug)]
pub struct Rest {
    file: fs::File,
    /// The name it had.
    path: PathBuf,
}

/// Removes a file. One that is not there is as good as removed. What is left of a big one without
/// other names is handed over.
pub async fn remove(path: &Path) -> Result<Option<Rest>, DiskError> {
    on_pool("remove", path, |path| {
        // Without waiting for who has a lease of it. What cannot be opened may still be removed.
        let file = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path);
        absent_is_fine(fs::remove_file(path))?;
        let Ok(file) = file else { return Ok(None) };
        let metadata = file.metadata()?;
        let is_ours = metadata.len() > SHRINK_STEP && metadata.nlink() == 0;
        Ok(is_ours.then(|| Rest { file, path: path.to_owned() }))
    })
    .await
}

/// Frees the rests, one after another, bit by bit.
pub async fn shrink(rests: Vec<Rest>) {
    let work = move || {
        for rest in rests {
            if let Err(error) = rest.free() {
                // What is left is freed at once.
                log::warning(format!("cannot shorten {}: {error}", rest.path.display()));
            }
        }
    };
    if let Err(error) = disk::aside("shrink", work).await {
        log::warning(format!("removed files were freed at once: {error}"));
    }
}

impl Rest {
    /// Cuts the file until one step is left, as long as nobody else sees it.
    fn free(&self) -> io::Result<()> {
        let mut length = self.file.metadata()?.len();
        while length > SHRINK_STEP {
            thread::sleep(SHRINK_PAUSE);
            // Whole steps: the rest of a block would have to be filled with zeros.
            length = (length - 1) / SHRINK_STEP * SHRINK_STEP;
            let Some(_lease) = Lease::take(&self.file) else { return Ok(()) };
            self.file.set_len(length)?;
            // Where there is a journal, blocks are free when this is in it.
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// A write lease (fcntl(2)): the kernel grants it only for a file that is open nowhere else, in no
/// process, and not at all on some file systems; who opens the file meanwhile waits for its end.
struct Lease<'a>(&'a fs::File);

/// F_SETSIG of Linux' <asm-generic/fcntl.h>, which libc has not everywhere.
const F_SETSIG: libc::c_int = 10;

impl<'a> Lease<'a> {
    fn take(file: &'a fs::File) -> Option<Lease<'a>> {
        // Whom somebody keeps waiting is told by SIGIO, which ends a process; SIGURG does not.
        let quiet = control(file, F_SETSIG, libc::SIGURG);
        (quiet && control(file, libc::F_SETLEASE, libc::F_WRLCK)).then_some(Lease(file))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        control(self.0, libc::F_SETLEASE, libc::F_UNLCK);
    }
}

/// Did this go well?
#[expect(unsafe_code, reason = "neither std nor rustix has leases")]
fn control(file: &fs::File, what: libc::c_int, value: libc::c_int) -> bool {
    // SAFETY: the descriptor is open as long as `file` is borrowed, and both operations take a
    // number and return one.
    unsafe { libc::fcntl(file.as_raw_fd(), what, value) >= 0 }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use tempfile::tempdir;

    use super::*;
    use crate::server::disk::tests::run;

    /// Who sees the file beside us.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Other {
        Nobody,
        Name,
        Reader,
    }

    #[test]
    fn a_file_is_cut_only_if_nobody_else_sees_it() {
        let home = tempdir().unwrap();
        let big = 2 * SHRINK_STEP + 5;
        for (length, other, expected) in [
            (0, Other::Nobody, None),
            (SHRINK_STEP, Other::Nobody, None),
            (big, Other::Nobody, Some(SHRINK_STEP)),
            (big, Other::Name, None),
            (big, Other::Reader, Some(big)),
        ] {
            let (path, name) = (home.path().join("file"), home.path().join("other"));
            fs::write(&path, vec![7; length as usize]).unwrap();
            let reader = (other == Other::Reader).then(|| fs::File::open(&path).unwrap());
            if other == Other::Name {
                fs::hard_link(&path, &name).unwrap();
            }
            let left = run(async {
                let rest = remove(&path).await.unwrap();
                // Another descriptor of the same opening.
                let file = rest.as_ref().map(|rest| rest.file.try_clone().unwrap());
                shrink(Vec::from_iter(rest)).await;
                file.map(|file| file.metadata().unwrap().len())
            });
            assert_eq!(left, expected, "{length} {other:?}");
            assert!(!path.exists());
            let seen = reader.or_else(|| fs::File::open(&name).ok());
            assert_eq!(seen.is_some(), other != Other::Nobody);
            if let Some(seen) = seen {
                assert_eq!(seen.metadata().unwrap().len(), big, "{other:?}");
                let mut last = [0; 5];
                seen.read_exact_at(&mut last, big - 5).unwrap();
                assert_eq!(last, [7; 5]);
            }
            let _ = fs::remove_file(&name);
        }
        assert!(run(remove(&home.path().join("missing"))).unwrap().is_none());
    }
}
