//! The only place that touches files: whole operations that loop, check and name what failed.
//!
//! Four ways to do the same thing, because they cost differently (figures of one 2-core machine,
//! ext4, 200 bytes): a write in place is 1 us of CPU and returns with the bytes in the page
//! cache; handing it to another thread costs 15-40 us, and io_uring also hands buffered writes
//! of ext4 and every fsync to a worker thread of the kernel. So small writes of the log are made
//! in place while the disk keeps up (`write_now`); big writes and syncs go through the core's ring
//! (`write_all_at`, `sync_data`), where their end is seen in the core's next turn without a
//! thread of this process in between; bases go past the page cache where that can be (`direct`,
//! base_file.rs), else their syncs step back (`sync_aside`); and
//! everything else that may wait for the device (reads, renames, opening) runs on the executor's
//! blocking pool.
//!
//! A future here owns its buffer until the work is done: dropping the future half way leaves
//! the work running with everything it needs, so memory is never at risk. What is
//! lost is the knowledge of the outcome, so a file whose write or sync was abandoned refuses
//! further ones, as does a file on which one failed: after a failed sync the kernel has dropped
//! the dirty pages, and a later sync that succeeds says nothing about them. An executor ends
//! only after all its disk work has been awaited: the pool of one that is gone has nobody to
//! report to, and aborts. (The server ends by `exit`, with its executors where they stand.)

use std::cell::Cell;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::Range;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::Builder;

use glommio::executor;
use rustix::fs::{AtFlags, CWD, OFlags, StatxFlags, statx};
use rustix::process::{getpid, setpriority_process};
use rustix::thread::{gettid, sched_getaffinity, sched_setaffinity};

use crate::limits::DISK_WRITE_MAX;
use crate::persist::recovery::Replay;
use crate::server::elsewhere;
use crate::server::mesh::ticket;
use crate::server::requests::Requests;
use crate::server::rewrite::{self, Again, Seen};

/// What was attempted on which path, and what the kernel said.
#[derive(Debug)]
pub struct DiskError {
    /// The attempt, as "cannot ..." goes on.
    pub action: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The cause.
    pub source: io::Error,
}

impl DiskError {
    /// Is it want of space (or quota), which may go away by itself?
    pub fn is_full(&self) -> bool {
        use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull, WriteZero};
        matches!(self.source.kind(), StorageFull | QuotaExceeded | FileTooLarge | WriteZero)
    }

    /// Does the file not exist?
    pub fn is_missing(&self) -> bool {
        self.source.kind() == ErrorKind::NotFound
    }
}

impl fmt::Display for DiskError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {} {}: {}", self.action, self.path.display(), self.source)
    }
}

impl std::error::Error for DiskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// An open file. Several operations may be in flight on one; their order is the caller's
/// business (a sync covers only writes that returned before it was started).
#[derive(Debug)]
pub struct File {
    file: Arc<fs::File>,
    path: PathBuf,
    refuses: Cell<bool>,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading and writing; it exists.
    Write,
    /// For reading and writing; it must not exist yet.
    New,
}

impl File {
    /// Opens or creates a file. A new one is durable only after `sync_dir` of its directory.
    pub async fn open(path: &Path, how: Open) -> Result<File, DiskError> {
        let action = if how == Open::New { "create" } else { "open" };
        let file = on_pool(action, path, move |path| {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create_new(how == Open::New);
            options.open(path)
        })
        .await?;
        Ok(File { file: Arc::new(file), path: path.to_owned(), refuses: Cell::new(false) })
    }

    /// The same file for writes past the page cache, in blocks of `align` bytes; nothing if the
    /// file system does not say that it takes such blocks (statx, Linux 6.1).
    pub async fn direct(&self, align: usize) -> Result<Option<File>, DiskError> {
        let file = on_pool("open", &self.path, move |path| {
            open_direct(OpenOptions::new().write(true), path, align)
        })
        .await?;
        let open = |file| File {
            file: Arc::new(file),
            path: self.path.clone(),
            refuses: Cell::new(false),
        };
        Ok(file.map(open))
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Did a write or sync fail, or was one abandoned? Then all later ones are refused.
    pub fn refuses(&self) -> bool {
        self.refuses.get()
    }

    /// Writes all bytes at an offset, at once and on this thread: for small writes while the
    /// disk keeps up. Returns with the bytes in the page cache.
    pub fn write_now(&self, bytes: &[u8], offset: u64) -> Result<(), DiskError> {
        let attempt = self.attempt("write")?;
        let result = write_fully(|part, at| self.file.write_at(part, at), bytes, offset);
        attempt.end(result)
    }

    /// Writes all bytes at an offset without holding up this thread, and gives the buffer back
    /// for the next batch.
    pub async fn write_all_at(
        &self,
        ring: &Requests,
        bytes: Vec<u8>,
        offset: u64,
    ) -> Result<Vec<u8>, DiskError> {
        self.write_from(ring, bytes, 0, offset).await
    }

    /// The same for the bytes from `start` on.
    pub async fn write_from(
        &self,
        ring: &Requests,
        bytes: Vec<u8>,
        start: usize,
        offset: u64,
    ) -> Result<Vec<u8>, DiskError> {
        let attempt = self.attempt("write")?;
        attempt.end(ring.write_all_at(&self.file, bytes, start, offset).await)
    }

    /// Makes durable what was written before this call (fdatasync: also the length).
    pub async fn sync_data(&self, ring: &Requests) -> Result<(), DiskError> {
        let attempt = self.attempt("sync")?;
        attempt.end(ring.sync_data(&self.file).await)
    }

    /// The same as `sync_data` for what nobody waits for: on a thread of the lowest priority, on
    /// whatever processor is free. Writing out is work of milliseconds, and a thread of the ring
    /// would get turns of that length on this core.
    pub fn sync_aside(&self) -> impl Future<Output = Result<(), DiskError>> + use<> {
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let synced = aside("base-sync", move || file.sync_data());
        async move {
            let result = synced.await.flatten();
            result.map_err(|source| DiskError { action: "sync", path, source })
        }
    }

    /// Fills a range with zeros, at once and on this thread, if there is room; no harm if not. What
    /// was in the range is lost.
    pub fn zero_now(&self, range: Range<u64>) {
        let _ = write_zeros(&self.file, range);
    }

    /// The same on a thread of its own, and durable. That it failed to be is harm: blocks whose
    /// first write failed may stay zeros whatever is written to them later.
    pub async fn zero_aside(&self, range: Range<u64>) -> Result<(), DiskError> {
        let attempt = self.attempt("zero-fill")?;
        let file = Arc::clone(&self.file);
        let work = move || {
            let _ = write_zeros(&file, range);
            file.sync_data()
        };
        attempt.end(aside("zero-fill", work).await.flatten())
    }

    /// Cuts the file off, or extends it with a hole.
    pub async fn set_length(&self, length: u64) -> Result<(), DiskError> {
        let attempt = self.attempt("cut")?;
        let file = Arc::clone(&self.file);
        attempt.end(pool(move || file.set_len(length)).await)
    }

    /// The present length.
    pub async fn length(&self) -> Result<u64, DiskError> {
        let file = Arc::clone(&self.file);
        on_pool("measure", &self.path, move |_| file.metadata().map(|data| data.len())).await
    }

    /// Begins an operation that changes the file, unless one before it went wrong.
    fn attempt(&self, action: &'static str) -> Result<Attempt<'_>, DiskError> {
        if self.refuses.get() {
            let source = io::Error::other("an earlier write or sync of this file failed");
            return Err(DiskError { action, path: self.path.clone(), source });
        }
        Ok(Attempt { file: self, action, ended: false })
    }
}

/// One operation that changes a file. If it fails or is dropped before its end is known, the
/// file refuses from then on.
struct Attempt<'a> {
    file: &'a File,
    action: &'static str,
    ended: bool,
}

impl Attempt<'_> {
    fn end<T>(mut self, result: io::Result<T>) -> Result<T, DiskError> {
        self.ended = result.is_ok();
        result.map_err(|source| DiskError {
            action: self.action,
            path: self.file.path.clone(),
            source,
        })
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.file.refuses.set(true);
        }
    }
}

/// One file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name; one that is not UTF-8 is not ours and is left out of lists.
    pub name: String,
    /// Its length in bytes; 0 for a directory.
    pub length: u64,
    /// Is it a directory?
    pub is_directory: bool,
}

/// The files and directories in a directory, sorted by name.
pub async fn list(directory: &Path) -> Result<Vec<Listed>, DiskError> {
    on_pool("list", directory, |directory| {
        let mut found = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let data = match entry.metadata() {
                Ok(data) => data,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let length = if data.is_dir() { 0 } else { data.len() };
            found.push(Listed { name, length, is_directory: data.is_dir() });
        }
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    })
    .await
}

/// A whole small file; one longer than `limit` is an error, not memory.
pub async fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>, DiskError> {
    on_pool("read", path, move |path| whole(path, limit)).await
}

/// The same at a start, before there is a pool.
pub fn whole(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    if file.metadata()?.len() > limit {
        return Err(io::Error::other(format!("longer than {limit} bytes")));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, limit), &mut bytes)?;
    Ok(bytes)
}

/// Fills this by chance.
pub fn read_chance(bytes: &mut [u8]) -> io::Result<()> {
    let mut source = fs::File::open("/dev/urandom")?;
    io::Read::read_exact(&mut source, bytes)
}

/// Creates a file in the place of any that has the name. The old one is removed, not emptied: a
/// write that failed behind the back of a process that is gone is reported to whoever syncs that
/// inode next, though none of its bytes are left (fsync(2), seen on a disk that ran full).
pub fn create_anew(path: &Path) -> io::Result<fs::File> {
    absent_is_fine(fs::remove_file(path))?;
    fs::File::create_new(path)
}

/// Puts a file with this content in place, or leaves the old one: a temporary file is written
/// and synced, renamed, and the directory synced. When it returns the new content is durable;
/// after a crash there is the old file or the new one, and perhaps `<name>.tmp`.
pub async fn replace_file(directory: &Path, name: &str, bytes: Vec<u8>) -> Result<(), DiskError> {
    let path = directory.join(name);
    let temporary = directory.join(format!("{name}.tmp"));
    let written = on_pool("write", &temporary, move |temporary| {
        let mut file = create_anew(temporary)?;
        file.write_all(&bytes)?;
        file.sync_all()
    });
    written.await?;
    rename(&temporary, &path).await?;
    sync_dir(directory).await
}

/// Renames a file, replacing what has the new name. Durable after `sync_dir`.
pub async fn rename(from: &Path, to: &Path) -> Result<(), DiskError> {
    let to = to.to_owned();
    on_pool("rename", from, move |from| fs::rename(from, to)).await
}

/// Gives a file a second name; one that exists is replaced. Durable after `sync_dir`.
pub async fn link(from: &Path, to: &Path) -> Result<(), DiskError> {
    let to = to.to_owned();
    on_pool("link", from, move |from| {
        absent_is_fine(fs::remove_file(&to))?;
        fs::hard_link(from, &to)
    })
    .await
}

/// Removes a file. One that is not there is as good as removed.
pub async fn remove(path: &Path) -> Result<(), DiskError> {
    on_pool("remove", path, |path| absent_is_fine(fs::remove_file(path))).await
}

/// Removes a directory and all that is in it. One that is not there is as good as removed.
pub async fn remove_dir(path: &Path) -> Result<(), DiskError> {
    on_pool("remove", path, |path| absent_is_fine(fs::remove_dir_all(path))).await
}

/// Creates a directory (one that exists is fine) and makes its name durable.
pub async fn create_dir(path: &Path) -> Result<(), DiskError> {
    on_pool("create", path, |path| match fs::create_dir(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        result => result,
    })
    .await?;
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_dir(parent).await,
        _ => sync_dir(Path::new(".")).await,
    }
}

/// Makes the names in a directory durable: what was created, renamed or removed before.
pub async fn sync_dir(path: &Path) -> Result<(), DiskError> {
    on_pool("sync the directory", path, |path| fs::File::open(path)?.sync_all()).await
}

/// Gives this thread the lowest priority and the processors of the whole process. Where that is
/// not allowed it goes on as it is.
fn step_back() {
    let _ = setpriority_process(Some(gettid()), 19);
    if let Ok(all) = sched_getaffinity(Some(getpid())) {
        let _ = sched_setaffinity(None, &all);
    }
}

/// Makes durable what is kept of a segment, as it was seen (server/rewrite.rs).
pub async fn write_again(
    directory: &Path,
    replay: &Replay,
    seen: Seen,
) -> Result<Again, DiskError> {
    let (directory, replay) = (directory.to_owned(), replay.clone());
    let done = pool(move || rewrite::write_again(&directory, &replay, &seen)).await;
    done.map_err(|(path, source)| DiskError { action: "make durable", path, source })
}

/// Runs long work on a thread of its own, of the lowest priority. It has begun when this returns.
pub fn aside<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
    name: &str,
    work: W,
) -> impl Future<Output = io::Result<T>> + use<T, W> {
    let (ticket, answer) = ticket();
    let work = move || {
        step_back();
        ticket.answer(work());
    };
    let started = Builder::new().name(name.to_owned()).spawn(work);
    async move {
        started?;
        answer.await.ok_or_else(|| io::Error::other("the thread ended"))
    }
}

/// Runs blocking work on the executor's pool.
pub(in crate::server) async fn pool<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let _expecting = elsewhere::expect();
    executor().spawn_blocking(work).await
}

/// Runs blocking work on the executor's pool and names it in its error.
pub(in crate::server) async fn on_pool<T: Send + 'static>(
    action: &'static str,
    path: &Path,
    work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T, DiskError> {
    let path = path.to_owned();
    let (path, result) = pool(move || {
        let result = work(&path);
        (path, result)
    })
    .await;
    result.map_err(|source| DiskError { action, path, source })
}

fn write_zeros(file: &fs::File, range: Range<u64>) -> io::Result<()> {
    static ZEROS: [u8; ZEROS_WRITE] = [0; ZEROS_WRITE];
    let mut at = range.start;
    while let Some(rest) = range.end.checked_sub(at).filter(|rest| *rest > 0) {
        let page = ZEROS_WRITE - at as usize % ZEROS_WRITE;
        let part = usize::try_from(rest).unwrap_or(page).min(page);
        let zeros = ZEROS.get(..part).expect("a part of them");
        write_fully(|bytes, at| file.write_at(bytes, at), zeros, at)?;
        at += part as u64;
    }
    Ok(())
}

/// Zeros in one write: to the end of a page. The page cache keeps what is written together
/// together, and ext4 (Linux 6.18) writes all of that again for each record in it.
const ZEROS_WRITE: usize = 4 << 10;

pub(in crate::server) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Writes until nothing is left: short writes go on, interruptions are repeated, and a write of
/// nothing is an error. No single write is longer than `DISK_WRITE_MAX`.
fn write_fully(
    mut write: impl FnMut(&[u8], u64) -> io::Result<usize>,
    mut bytes: &[u8],
    mut offset: u64,
) -> io::Result<()> {
    while !bytes.is_empty() {
        let part = bytes.get(..DISK_WRITE_MAX).unwrap_or(bytes);
        match write(part, offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => {
                bytes = bytes.get(count..).expect("the kernel writes no more than asked");
                offset += count as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Opens a file past the page cache; nothing where that cannot be (`File::direct`).
pub(in crate::server) fn open_direct(
    options: &mut OpenOptions,
    path: &Path,
    align: usize,
) -> io::Result<Option<fs::File>> {
    let about = statx(CWD, path, AtFlags::empty(), StatxFlags::DIOALIGN)?;
    let blocks = [about.stx_dio_mem_align, about.stx_dio_offset_align];
    let fit = |block: &u32| *block > 0 && align.is_multiple_of(*block as usize);
    if !blocks.iter().all(fit) {
        return Ok(None);
    }
    match options.custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path) {
        // It says that it can, and cannot.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(None),
        opened => opened.map(Some),
    }
}

/// Reads until the buffer is full or the file ends, and returns how much was read.
pub(in crate::server) fn read_fully(
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    buffer: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match read(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
pub(super) mod tests;
