//! The files that are the database right now, as all cores know them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::base::ids::{Generation, Lsn, ShardId};
use crate::persist::manifest::{End, Manifest};
use crate::persist::record::RunId;

/// The data directory and its manifest.
#[derive(Debug)]
pub struct Database {
    /// Where it is.
    pub directory: PathBuf,
    /// This life of the database.
    pub run: RunId,
    /// Boot id of the kernel; empty if it does not tell.
    pub boot: String,
    manifest: Mutex<Manifest>,
    generation: AtomicU64,
    segments: Vec<AtomicU64>,
}

impl Database {
    /// The database that `manifest` describes. Numbers that are given out are above all that it
    /// names, and above those in `used`: generations and segments of the files in the directory.
    pub fn new(
        directory: PathBuf,
        run: RunId,
        boot: String,
        manifest: Manifest,
        used: (u64, u64),
    ) -> Database {
        let segments = manifest.shards.iter().map(|files| {
            let last = files.segments.iter().map(|segment| segment.number).max();
            AtomicU64::new(last.unwrap_or_default().max(used.1))
        });
        Database {
            segments: segments.collect(),
            generation: AtomicU64::new(manifest.generation.0.max(used.0)),
            manifest: Mutex::new(manifest),
            directory,
            run,
            boot,
        }
    }

    /// The manifest as it is on disk.
    pub fn manifest(&self) -> Manifest {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another manifest has been made durable.
    pub fn set_manifest(&self, manifest: Manifest) {
        *self.manifest.lock().unwrap_or_else(PoisonError::into_inner) = manifest;
    }

    /// The shards have gone on in their prepared segments; the next manifest says so.
    pub fn note_cut(&self, cuts: &[(Lsn, Option<End>)]) {
        self.manifest.lock().unwrap_or_else(PoisonError::into_inner).note_cut(cuts);
    }

    /// A generation that was never used.
    pub fn next_generation(&self) -> Generation {
        Generation(self.generation.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// A segment number of a shard that was never used.
    pub fn next_segment(&self, shard: ShardId) -> u64 {
        match self.segments.get(shard.index()) {
            Some(last) => last.fetch_add(1, Ordering::Relaxed) + 1,
            None => unreachable!("a core has a shard"),
        }
    }
}
