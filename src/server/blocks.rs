//! A file read from its beginning to its end in blocks, the next one while the caller works on this
//! one.
//!
//! A log is read through the page cache, where it was written a moment ago. A base was written
//! past it (base_file.rs) and is read past it: the kernel would find memory for all of it beside
//! that for the keys, copy each byte once more, and keep what nobody reads again.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use glommio::task::JoinHandle;

use crate::limits::DISK_BLOCK;
use crate::server::aligned::{ALIGN, Aligned};
use crate::server::disk::{DiskError, on_pool, open_direct, pool, read_fully};

/// Which way the bytes come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the page cache.
    Cached,
    /// Past it, where the file system can.
    Direct,
}

/// The file, and how far it has been read.
pub struct Blocks {
    file: Arc<Source>,
    path: PathBuf,
    next: u64,
    ahead: Option<JoinHandle<io::Result<Aligned>>>,
}

struct Source {
    cached: fs::File,
    direct: Option<fs::File>,
}

impl Source {
    fn read(&self, part: &mut [u8], at: u64) -> io::Result<usize> {
        match self.direct.as_ref().map(|direct| direct.read_at(part, at)) {
            // After a read that ended inside a block, where the file does not end.
            Some(Err(error)) if error.kind() == ErrorKind::InvalidInput => {}
            Some(read) => return read,
            None => {}
        }
        self.cached.read_at(part, at)
    }
}

impl Blocks {
    /// Opens a file and starts to read.
    pub async fn open(path: &Path, way: Way) -> Result<Blocks, DiskError> {
        let file = on_pool("open", path, move |path| {
            let mut options = fs::OpenOptions::new();
            let cached = options.read(true).open(path)?;
            let direct = match way {
                Way::Direct => open_direct(&mut options, path, ALIGN)?,
                Way::Cached => None,
            };
            Ok(Source { cached, direct })
        });
        let (file, path) = (Arc::new(file.await?), path.to_owned());
        let mut blocks = Blocks { file, path, next: 0, ahead: None };
        blocks.read_ahead(Aligned::default());
        Ok(blocks)
    }

    /// The next block, empty at the end of the file. `used` is an old block whose memory may
    /// serve again.
    pub async fn next(&mut self, used: Aligned) -> Result<Aligned, DiskError> {
        let Some(reading) = self.ahead.take() else { return Ok(Aligned::default()) };
        let result = reading.await.expect("a task that is not cancelled");
        let block = result.map_err(|source| DiskError {
            action: "read",
            path: self.path.clone(),
            source,
        })?;
        self.next += block.len() as u64;
        if block.len() == DISK_BLOCK {
            self.read_ahead(used);
        }
        Ok(block)
    }

    fn read_ahead(&mut self, used: Aligned) {
        let (file, offset) = (Arc::clone(&self.file), self.next);
        let work = move || {
            let mut block = Aligned::with_room(used.bytes, DISK_BLOCK);
            block.resize(DISK_BLOCK);
            let got = read_fully(|part, at| file.read(part, at), &mut block, offset)?;
            block.resize(got);
            Ok(block)
        };
        let task = async move { pool(work).await };
        self.ahead = Some(glommio::spawn_local(task).detach());
    }
}

#[cfg(test)]
mod tests {
    use tempfile::{tempdir, tempdir_in};

    use super::*;
    use crate::server::disk::tests::run;

    #[test]
    fn blocks_are_the_file() {
        let disk = tempdir().unwrap();
        // A file system without direct reads, on Linux.
        let memory = tempdir_in("/dev/shm").unwrap();
        for length in [0, 1, 4096, DISK_BLOCK, DISK_BLOCK + 1, 3 * DISK_BLOCK - 7, 2 * DISK_BLOCK] {
            let content: Vec<u8> = (0..length).map(|n| (n * 31 % 251) as u8).collect();
            for (directory, way) in
                [(&disk, Way::Cached), (&disk, Way::Direct), (&memory, Way::Direct)]
            {
                let path = directory.path().join("file");
                fs::write(&path, &content).unwrap();
                let read = run(async {
                    let mut blocks = Blocks::open(&path, way).await.unwrap();
                    let (mut read, mut block) = (Vec::new(), Aligned::default());
                    loop {
                        block = blocks.next(block).await.unwrap();
                        if block.is_empty() {
                            return read;
                        }
                        read.extend_from_slice(&block);
                    }
                });
                assert!(read == content, "{length} bytes, {way:?}");
            }
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = run(Blocks::open(Path::new("/nowhere/a"), Way::Direct)).err().unwrap();
        assert!(error.is_missing() && error.to_string().starts_with("cannot open /nowhere/a"));
    }
}
