//! The file of one base while it is written: past the page cache, where the file system can.
//!
//! A write through the page cache is a copy, and later somebody has to write it back: milliseconds
//! of the kernel's work at a stretch, which kernels of servers do not interrupt, on a core where
//! commands wait. A direct write is handed to the device as it is, by the core's ring.
//!
//! Valid if and only if every direct write begins and ends at a multiple of `ALIGN` in the file and
//! lies at one in memory, and what follows the last multiple is written through the page cache when
//! nothing else is under way.

use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;

use glommio::task::JoinHandle;

use crate::limits::{
    BASE_IN_FLIGHT, BASE_WRITE, BASE_WRITE_BESIDE_SYNCS, SNAPSHOT_SCRATCH, SNAPSHOT_UNSYNCED,
};
use crate::persist::record::Policy;
use crate::persist::snapshot_file::touched;
use crate::server::aligned::{ALIGN, Aligned};
use crate::server::disk::{DiskError, File, Open};
use crate::server::requests::Requests;

/// How much of a base the device is given at a time, by direct writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Several large writes: a device that takes its time has always one to go on with.
    Full,
    /// One small write: clients wait for syncs of the log, and a sync for what the device was given
    /// before it.
    BesideSyncs,
}

/// The pace of a base, by the policy of the log that is written meanwhile.
pub fn pace(log: Option<Policy>) -> Pace {
    match log {
        Some(Policy::Always) => Pace::BesideSyncs,
        Some(Policy::EverySecond | Policy::No) | None => Pace::Full,
    }
}

impl Pace {
    /// Bytes of one write, and how many may be under way.
    fn writes(self) -> (usize, usize) {
        match self {
            Pace::Full => (BASE_WRITE, BASE_IN_FLIGHT),
            Pace::BesideSyncs => (BASE_WRITE_BESIDE_SYNCS, 1),
        }
    }
}

/// What one base leaves for the next: memory that has been touched (see `Scratch`).
#[derive(Debug, Default)]
pub struct Buffers {
    /// In which the encoder hands over what it made.
    pub taken: Vec<u8>,
    /// For direct writes.
    pub direct: Vec<Vec<u8>>,
}

impl Buffers {
    /// As many as a base uses, touched.
    pub fn touched() -> Buffers {
        let direct = (0..=BASE_IN_FLIGHT).map(|_| touched(BASE_WRITE + ALIGN)).collect();
        Buffers { taken: touched(SNAPSHOT_SCRATCH), direct }
    }
}

/// A base that is being written.
pub struct BaseFile {
    /// Through the page cache.
    plain: File,
    how: How,
    ring: Requests,
    /// Bytes that were taken.
    length: u64,
}

enum How {
    Direct(Direct),
    /// The file system knows no direct writes: small ones in place, synced now and then.
    Cached {
        unsynced: usize,
        syncing: Option<JoinHandle<Result<(), DiskError>>>,
    },
}

struct Direct {
    file: Rc<File>,
    pace: Pace,
    /// What is gathered for the next write, and where in the file that begins.
    gathered: Aligned,
    offset: u64,
    flying: VecDeque<JoinHandle<Result<Vec<u8>, DiskError>>>,
    spare: Vec<Aligned>,
}

impl BaseFile {
    /// Creates the file, which must not exist.
    pub async fn create(
        path: &Path,
        ring: Requests,
        buffers: Vec<Vec<u8>>,
        pace: Pace,
    ) -> Result<BaseFile, DiskError> {
        let plain = File::open(path, Open::New).await?;
        let how = match plain.direct(ALIGN).await? {
            Some(file) => {
                let mut spare = Vec::from_iter(buffers.into_iter().map(empty));
                let gathered = spare.pop().unwrap_or_else(|| empty(Vec::new()));
                let (file, flying) = (Rc::new(file), VecDeque::new());
                How::Direct(Direct { file, pace, gathered, offset: 0, flying, spare })
            }
            None => How::Cached { unsynced: 0, syncing: None },
        };
        Ok(BaseFile { plain, how, ring, length: 0 })
    }

    /// Appends bytes. Waits when the device is as far behind as the pace allows.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        match &mut self.how {
            How::Direct(direct) => direct.append(bytes, &self.ring).await?,
            How::Cached { unsynced, syncing } => {
                self.plain.write_now(bytes, self.length)?;
                *unsynced += bytes.len();
                if *unsynced >= SNAPSHOT_UNSYNCED {
                    ended(syncing.take()).await?;
                    *syncing = Some(glommio::spawn_local(self.plain.sync_aside()).detach());
                    *unsynced = 0;
                }
            }
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Makes all of it durable; its length, and the buffers it used.
    pub async fn finish(self) -> Result<(u64, Vec<Vec<u8>>), DiskError> {
        let buffers = match self.how {
            How::Direct(mut direct) => {
                let (tail, offset) = direct.drain(&self.ring).await?;
                self.plain.write_now(&tail, offset)?;
                self.plain.sync_data(&self.ring).await?;
                direct.buffers()
            }
            How::Cached { syncing, .. } => {
                ended(syncing).await?;
                self.plain.sync_aside().await?;
                Vec::new()
            }
        };
        Ok((self.length, buffers))
    }
}

impl Direct {
    async fn append(&mut self, bytes: &[u8], ring: &Requests) -> Result<(), DiskError> {
        let (most, _) = self.pace.writes();
        let mut rest = bytes;
        while !rest.is_empty() {
            let room = most - self.gathered.len();
            let (part, after) = rest.split_at(room.min(rest.len()));
            self.gathered.bytes.extend_from_slice(part);
            rest = after;
            if self.gathered.len() == most {
                self.send(ring).await?;
            }
        }
        Ok(())
    }

    /// Starts to write what is gathered, whole blocks.
    async fn send(&mut self, ring: &Requests) -> Result<(), DiskError> {
        let (_, most) = self.pace.writes();
        while self.flying.len() >= most {
            self.land().await?;
        }
        let next = self.spare.pop().unwrap_or_else(|| empty(Vec::new()));
        let Aligned { bytes, start } = std::mem::replace(&mut self.gathered, next);
        let (file, ring, offset) = (Rc::clone(&self.file), ring.clone(), self.offset);
        self.offset += (bytes.len() - start) as u64;
        let work = async move { file.write_from(&ring, bytes, start, offset).await };
        self.flying.push_back(glommio::spawn_local(work).detach());
        Ok(())
    }

    /// Waits for the oldest write.
    async fn land(&mut self) -> Result<(), DiskError> {
        let Some(oldest) = self.flying.pop_front() else { return Ok(()) };
        let bytes = oldest.await.expect("a task that is not cancelled")?;
        self.spare.push(empty(bytes));
        Ok(())
    }

    /// Writes the last whole blocks and waits for all; what is left, and where it belongs.
    async fn drain(&mut self, ring: &Requests) -> Result<(Vec<u8>, u64), DiskError> {
        let whole = self.gathered.len() / ALIGN * ALIGN;
        let tail = self.gathered.bytes.split_off(self.gathered.start + whole);
        if whole > 0 {
            self.send(ring).await?;
        }
        while !self.flying.is_empty() {
            self.land().await?;
        }
        Ok((tail, self.offset))
    }

    fn buffers(self) -> Vec<Vec<u8>> {
        self.spare.into_iter().chain([self.gathered]).map(|aligned| aligned.bytes).collect()
    }
}

/// A buffer for one write.
fn empty(bytes: Vec<u8>) -> Aligned {
    let mut empty = Aligned::with_room(bytes, BASE_WRITE);
    empty.resize(0);
    empty
}

async fn ended(syncing: Option<JoinHandle<Result<(), DiskError>>>) -> Result<(), DiskError> {
    match syncing {
        Some(syncing) => syncing.await.expect("a task that is not cancelled"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use tempfile::{tempdir, tempdir_in};

    use super::*;
    use crate::base::prng::Prng;
    use crate::server::disk::tests::with_ring;

    async fn create(path: &Path, ring: Requests, pace: Pace) -> BaseFile {
        BaseFile::create(path, ring, Buffers::touched().direct, pace).await.unwrap()
    }

    #[test]
    fn a_sync_that_somebody_waits_for_has_little_before_it() {
        for (log, expected, bytes) in [
            (Some(Policy::Always), Pace::BesideSyncs, 64 << 10),
            (Some(Policy::EverySecond), Pace::Full, 1 << 20),
            (Some(Policy::No), Pace::Full, 1 << 20),
            (None, Pace::Full, 1 << 20),
        ] {
            let (each, flying) = pace(log).writes();
            assert_eq!((pace(log), each * flying), (expected, bytes), "{log:?}");
            assert!(each.is_multiple_of(ALIGN) && each <= BASE_WRITE && flying <= BASE_IN_FLIGHT);
        }
    }

    /// Appends pieces of random lengths to a base in this directory and reads the file.
    fn write(directory: &Path, pace: Pace, seed: u64, most: u64) {
        let path = directory.join(format!("base-{seed}-{pace:?}"));
        with_ring(async move |ring| {
            let mut prng = Prng::new(seed);
            let (mut file, mut model) = (create(&path, ring, pace).await, Vec::new());
            for step in 0..prng.below(30) {
                let piece = vec![step as u8; prng.below(most) as usize];
                file.append(&piece).await.unwrap();
                model.extend(piece);
            }
            assert_eq!(file.finish().await.unwrap().0, model.len() as u64);
            assert!(std::fs::read(&path).unwrap() == model, "seed {seed}");
        });
    }

    #[test]
    fn a_file_is_what_was_appended() {
        let disk = tempdir().unwrap();
        // A file system without direct writes, on Linux.
        let memory = tempdir_in("/dev/shm").unwrap();
        for seed in 0..12 {
            for directory in [&disk, &memory] {
                let most = [10, 5000, 100_000, 2 << 20][seed as usize % 4];
                for pace in [Pace::Full, Pace::BesideSyncs] {
                    write(directory.path(), pace, seed, most);
                }
            }
        }
    }
}
