//! What is in a data directory, for a start and for basalt-check: read and scanned, never changed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::base::ids::ShardId;
use crate::limits::{DISK_BLOCK, MANIFEST_MAX};
use crate::persist::fault::StorageFault;
use crate::persist::manifest::{Manifest, Segment};
use crate::persist::names;
use crate::persist::recovery::{Facts, Mode, Plan, Refusal, plan, plan_by_force};
use crate::persist::segment_scan::{Parts, Scanned, SegmentScan};
use crate::server::recover::HASH_FUNCTION;

/// Why something was not read.
#[derive(Debug)]
pub enum Unread {
    /// The file system said so.
    Disk(PathBuf, io::Error),
    /// It is not what it has to be.
    Fault(StorageFault),
    /// Not by the data's fault.
    Bug(&'static str),
}

/// A directory with a manifest that holds, and what a scan of its logs has found.
#[derive(Debug)]
pub struct Inspected {
    /// The manifest.
    pub manifest: Manifest,
    /// Every path with its length.
    pub listing: BTreeMap<String, u64>,
    /// The boot id of the running kernel; empty when it is not known.
    pub boot: String,
    /// By shard, then by segment.
    pub scans: Vec<Vec<Scanned>>,
}

impl fmt::Display for Unread {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Disk(path, error) => write!(out, "{}: {error}", path.display()),
            Unread::Fault(fault) => fault.fmt(out),
            Unread::Bug(what) => out.write_str(what),
        }
    }
}

impl From<StorageFault> for Unread {
    fn from(fault: StorageFault) -> Unread {
        Unread::Fault(fault)
    }
}

impl Inspected {
    /// Reads the manifest and scans the logs; nothing where there is no manifest.
    pub fn of(directory: &Path, parts: Parts) -> Result<Option<Inspected>, Unread> {
        let listing = list(directory)?;
        let Some(manifest) = read_manifest(directory, names::MANIFEST)? else { return Ok(None) };
        let scans = scan_all(directory, &manifest, parts)?;
        Ok(Some(Inspected { manifest, listing, boot: boot_id(), scans }))
    }

    /// What a start makes of it.
    pub fn plan(&self, mode: Mode) -> Result<Plan, Refusal> {
        plan(&self.facts(mode))
    }

    /// What an operator can make of it who gives up what is damaged. All parts have to be known.
    pub fn plan_by_force(&self, mode: Mode) -> Result<Plan, Refusal> {
        plan_by_force(&self.facts(mode))
    }

    fn facts(&self, mode: Mode) -> Facts<'_> {
        let Inspected { manifest, listing, boot, scans } = self;
        Facts { manifest, listing, boot, mode, scans }
    }
}

/// The boot id of the running kernel; empty when it does not tell.
pub fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

/// Every path inside the directory, with its length; of directories, only ours are looked into.
pub fn list(directory: &Path) -> Result<BTreeMap<String, u64>, Unread> {
    let failed = |error| Unread::Disk(directory.to_owned(), error);
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let data = entry.metadata().map_err(failed)?;
        if data.is_dir() && matches!(names::parse(&name), Some(names::Name::Directory(_))) {
            for inside in fs::read_dir(entry.path()).map_err(failed)? {
                let inside = inside.map_err(failed)?;
                if let Ok(file) = inside.file_name().into_string() {
                    let length = inside.metadata().map_err(failed)?.len();
                    found.insert(format!("{name}/{file}"), length);
                }
            }
        }
        found.insert(name, if data.is_dir() { 0 } else { data.len() });
    }
    Ok(found)
}

/// The manifest at this path inside the directory; nothing if there is no such file.
pub fn read_manifest(directory: &Path, name: &str) -> Result<Option<Manifest>, Unread> {
    let path = directory.join(name);
    let file = match fs::File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Unread::Disk(path, error)),
    };
    let mut bytes = Vec::new();
    let read = file.take(MANIFEST_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Unread::Disk(path, error))?;
    let manifest = Manifest::parse(name, &bytes).map_err(Unread::Fault)?;
    let function = manifest.hash.function;
    if function != HASH_FUNCTION {
        let (expected, found) = (format!("hash function {HASH_FUNCTION}"), function.to_string());
        return Err(Unread::Fault(StorageFault::new(name, 0, expected, found)));
    }
    Ok(Some(manifest))
}

/// Scans the logs, those of different shards at the same time.
pub fn scan_all(
    directory: &Path,
    manifest: &Manifest,
    parts: Parts,
) -> Result<Vec<Vec<Scanned>>, Unread> {
    let shards: Vec<_> = manifest.shards.iter().enumerate().collect();
    std::thread::scope(|scope| {
        let running: Vec<_> = shards
            .into_iter()
            .map(|(index, files)| {
                let shard = ShardId(index as u16);
                scope.spawn(move || -> Result<Vec<Scanned>, Unread> {
                    files.segments.iter().map(|s| scan(directory, shard, s, parts)).collect()
                })
            })
            .collect();
        running
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(scanned) => scanned,
                Err(_) => Err(Unread::Bug("a scan of the log panicked")),
            })
            .collect()
    })
}

/// Scans one segment, of a closed one only what the manifest calls the database. A file that is
/// missing is an empty one here: the plan refuses it by the listing.
pub fn scan(
    directory: &Path,
    shard: ShardId,
    segment: &Segment,
    parts: Parts,
) -> Result<Scanned, Unread> {
    let mut scan = SegmentScan::new(segment.id(shard), segment.first).giving(parts);
    let limit = segment.end.map_or(u64::MAX, |end| end.length);
    blocks(directory, &segment.path, limit, |block| -> Result<(), Unread> {
        scan.feed(block);
        Ok(())
    })?;
    Ok(scan.finish())
}

/// Gives the first `limit` bytes of a file in blocks; a file that is missing gives none.
pub fn blocks<E: From<Unread>>(
    directory: &Path,
    path: &str,
    limit: u64,
    mut each: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let full = directory.join(path);
    let file = match fs::File::open(&full) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Unread::Disk(full, error).into()),
    };
    let length = file.metadata().map_or(DISK_BLOCK as u64, |data| data.len()).min(limit);
    let mut file = file.take(limit);
    let room = usize::try_from(length + 1).unwrap_or(DISK_BLOCK).min(DISK_BLOCK);
    let mut block = vec![0; room];
    loop {
        let got = file.read(&mut block).map_err(|error| Unread::Disk(full.clone(), error))?;
        if got == 0 {
            return Ok(());
        }
        each(block.get(..got).unwrap_or_default())?;
    }
}
