//! A simulated disk: files and names with a live and a durable state, power cuts, and faults at the
//! n-th operation.
//!
//! What is written is durable after `sync_data` of the file (what had been written when the sync
//! was *submitted*), a name after `sync_dir` of its directory. A power cut keeps any part of the
//! rest, torn at 512 bytes. What a failed sync was for is never durable in its place: the next sync
//! succeeds without writing it, and new blocks whose first write failed stay zeros whatever is
//! written to them later (ext4 does both). The page cache has it only until the kernel wants the
//! memory back (`reclaim`).

use std::collections::BTreeMap;

use crate::base::prng::Prng;

/// Bytes that a device writes whole or not at all.
const SECTOR: usize = 512;

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(usize);

/// Why an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
    /// There is no such file.
    Missing,
    /// There is one already.
    Exists,
    /// The machine has stopped.
    Dead,
}

/// What is to happen at an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with EIO.
    Io,
    /// It fails with ENOSPC; half of a write is done.
    NoSpace,
    /// A write does half of what it should and says so; anything else is done.
    Short,
    /// The machine stops before it, for good.
    Die,
}

/// How much of what was not synced a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of it is gone.
    All,
    /// Any part.
    Some,
    /// All of it is there.
    Nothing,
}

/// A sync on its way.
#[derive(Clone, Copy, Debug)]
pub struct Syncing {
    file: FileId,
    upto: u64,
}

#[derive(Clone, Debug)]
struct Write {
    number: u64,
    offset: usize,
    bytes: Vec<u8>,
    /// A sync of it failed: no later sync covers it.
    abandoned: bool,
}

#[derive(Clone, Debug, Default)]
struct File {
    live: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Write>,
    /// Ranges of new blocks whose first write failed.
    spoiled: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Directory,
    File(FileId),
}

/// A change of names, within one directory.
#[derive(Clone, Debug)]
enum Change {
    Add(String, Node),
    Remove(String),
    Rename(String, String, Node),
}

/// The disk.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    files: Vec<File>,
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
    pending: Vec<Change>,
    faults: BTreeMap<u64, Fault>,
    operations: u64,
    writes: u64,
    dead: bool,
}

impl Disk {
    /// Operations so far; the next one has the number after this.
    pub fn operations(&self) -> u64 {
        self.operations
    }

    /// Something happens at operation `number`.
    pub fn plan(&mut self, number: u64, fault: Fault) {
        self.faults.insert(number, fault);
    }

    /// Forgets what was to happen.
    pub fn clear_plan(&mut self) {
        self.faults.clear();
    }

    /// Has the machine stopped?
    pub fn is_dead(&self) -> bool {
        self.dead
    }

    /// What the death of the process leaves: everything.
    pub fn kill(&self) -> Disk {
        Disk { faults: BTreeMap::new(), dead: false, ..self.clone() }
    }

    /// What a power cut may leave. All of it is durable then.
    pub fn crash(&self, loss: Loss, prng: &mut Prng) -> Disk {
        let mut names = self.durable.clone();
        // Within a directory changes reach the device in order; now and then one that is not.
        let wild = prng.chance(1, 4);
        let mut ended: Vec<String> = Vec::new();
        for change in &self.pending {
            let within = parent(change.name()).to_owned();
            let kept = match loss {
                Loss::All => false,
                Loss::Nothing => true,
                Loss::Some => prng.chance(2, 3),
            };
            if !kept && !wild {
                ended.push(within.clone());
            }
            if kept && !ended.contains(&within) {
                change.apply(&mut names);
            }
        }
        let there = names.clone();
        names.retain(|path, _| {
            let within = parent(path);
            within.is_empty() || there.get(within) == Some(&Node::Directory)
        });
        let mut disk = Disk { files: Vec::new(), ..Disk::default() };
        for node in names.values_mut() {
            if let Node::File(id) = node {
                let bytes = self.files.get(id.0).map(|file| file.survivor(loss, prng));
                let bytes = bytes.unwrap_or_default();
                *id = FileId(disk.files.len());
                let live = bytes.clone();
                disk.files.push(File { live, durable: bytes, ..File::default() });
            }
        }
        disk.live = names.clone();
        disk.durable = names;
        disk
    }

    fn begin(&mut self) -> Result<Option<Fault>, Failure> {
        if self.dead {
            return Err(Failure::Dead);
        }
        self.operations += 1;
        match self.faults.remove(&self.operations) {
            Some(Fault::Die) => {
                self.dead = true;
                Err(Failure::Dead)
            }
            fault => Ok(fault),
        }
    }

    /// Begins an operation that is done whole or not at all.
    fn whole(&mut self) -> Result<(), Failure> {
        match self.begin()? {
            Some(Fault::Io) => Err(Failure::Io),
            Some(Fault::NoSpace) => Err(Failure::NoSpace),
            _ => Ok(()),
        }
    }

    /// Creates a file, which must not be there.
    pub fn create(&mut self, path: &str) -> Result<FileId, Failure> {
        self.whole()?;
        if self.live.contains_key(path) {
            return Err(Failure::Exists);
        }
        Ok(self.make(path))
    }

    /// Creates a file, or empties the one that is there.
    pub fn replace(&mut self, path: &str) -> Result<FileId, Failure> {
        self.whole()?;
        Ok(self.make(path))
    }

    fn make(&mut self, path: &str) -> FileId {
        let id = FileId(self.files.len());
        self.files.push(File::default());
        self.change(Change::Add(path.to_owned(), Node::File(id)));
        id
    }

    /// Opens a file.
    pub fn open(&mut self, path: &str) -> Result<FileId, Failure> {
        self.whole()?;
        match self.live.get(path) {
            Some(Node::File(id)) => Ok(*id),
            _ => Err(Failure::Missing),
        }
    }

    /// Writes; how many bytes of it.
    pub fn write(&mut self, id: FileId, offset: u64, bytes: &[u8]) -> Result<usize, Failure> {
        let fault = self.begin()?;
        if fault == Some(Fault::Io) {
            return Err(Failure::Io);
        }
        let count = if fault.is_some() { bytes.len() / 2 } else { bytes.len() };
        let done = bytes.get(..count).unwrap_or_default();
        self.writes += 1;
        let number = self.writes;
        let offset = offset as usize;
        if let Some(file) = self.files.get_mut(id.0) {
            put(&mut file.live, offset, done);
            let bytes = done.to_vec();
            file.unsynced.push(Write { number, offset, bytes, abandoned: false });
        }
        match fault {
            Some(Fault::NoSpace) => Err(Failure::NoSpace),
            Some(_) if count == 0 => Err(Failure::Io),
            _ => Ok(count),
        }
    }

    /// The live length.
    pub fn length(&self, id: FileId) -> u64 {
        self.files.get(id.0).map_or(0, |file| file.live.len() as u64)
    }

    /// Writes all of it.
    pub fn write_all(&mut self, id: FileId, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            done += self.write(id, offset + done as u64, rest)?;
        }
        Ok(())
    }

    /// Submits a sync of what has been written to the file so far.
    pub fn submit_sync(&self, file: FileId) -> Syncing {
        Syncing { file, upto: self.writes }
    }

    /// The sync ends. If it fails, no later one covers what it was for.
    pub fn complete_sync(&mut self, sync: Syncing) -> Result<(), Failure> {
        let result = self.whole();
        if result == Err(Failure::Dead) {
            return result;
        }
        let Some(file) = self.files.get_mut(sync.file.0) else { return Err(Failure::Missing) };
        if result.is_err() {
            file.spoil();
            return result;
        }
        let File { durable, unsynced, spoiled, .. } = file;
        unsynced.retain(|write| {
            let covered = write.number <= sync.upto && !write.abandoned;
            if covered {
                put_sound(durable, write.offset, &write.bytes, spoiled);
            }
            !covered
        });
        Ok(())
    }

    /// Syncs a file's bytes.
    pub fn sync_data(&mut self, file: FileId) -> Result<(), Failure> {
        let sync = self.submit_sync(file);
        self.complete_sync(sync)
    }

    /// Syncs the names in a directory; the root is "".
    pub fn sync_dir(&mut self, directory: &str) -> Result<(), Failure> {
        self.whole()?;
        let (now, later) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|change: &Change| parent(change.name()) == directory);
        self.pending = later;
        let now: Vec<Change> = now;
        now.iter().for_each(|change| change.apply(&mut self.durable));
        Ok(())
    }

    /// Makes a directory; one that is there is fine.
    pub fn create_dir(&mut self, path: &str) -> Result<(), Failure> {
        self.whole()?;
        if !self.live.contains_key(path) {
            self.change(Change::Add(path.to_owned(), Node::Directory));
        }
        Ok(())
    }

    /// Renames a file over whatever has the new name.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Failure> {
        self.whole()?;
        let Some(node) = self.live.get(from).copied() else { return Err(Failure::Missing) };
        self.change(Change::Rename(from.to_owned(), to.to_owned(), node));
        Ok(())
    }

    /// Removes a file or an empty directory; one that is not there is as good as removed.
    pub fn remove(&mut self, path: &str) -> Result<(), Failure> {
        self.whole()?;
        if self.live.contains_key(path) {
            self.change(Change::Remove(path.to_owned()));
        }
        Ok(())
    }

    /// Reads a whole file.
    pub fn read(&mut self, path: &str) -> Result<Vec<u8>, Failure> {
        self.whole()?;
        match self.live.get(path) {
            Some(Node::File(id)) => {
                Ok(self.files.get(id.0).map(|file| file.live.clone()).unwrap_or_default())
            }
            _ => Err(Failure::Missing),
        }
    }

    /// What the device holds of a file whose writes have been synced, page cache or not.
    pub fn read_device(&mut self, path: &str) -> Result<Vec<u8>, Failure> {
        self.whole()?;
        match self.live.get(path) {
            Some(Node::File(id)) => {
                Ok(self.files.get(id.0).map(|file| file.durable.clone()).unwrap_or_default())
            }
            _ => Err(Failure::Missing),
        }
    }

    /// The kernel takes memory back: of what no sync covers any more, any part is from now on what
    /// the device has. Returns what the file was. Nothing happens while something else is to.
    pub fn reclaim(&mut self, path: &str, prng: &mut Prng) -> Vec<u8> {
        let Some(Node::File(id)) = self.live.get(path) else { return Vec::new() };
        let Some(file) = self.files.get_mut(id.0) else { return Vec::new() };
        let before = file.live.clone();
        if self.faults.is_empty() {
            file.reclaim(prng);
        }
        before
    }

    /// Every path with its length.
    pub fn list(&mut self) -> Result<BTreeMap<String, u64>, Failure> {
        self.whole()?;
        let length = |node: &Node| match node {
            Node::Directory => 0,
            Node::File(id) => self.files.get(id.0).map_or(0, |file| file.live.len() as u64),
        };
        Ok(self.live.iter().map(|(path, node)| (path.clone(), length(node))).collect())
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.live);
        self.pending.push(change);
    }
}

impl Change {
    fn name(&self) -> &str {
        match self {
            Change::Add(name, _) | Change::Remove(name) | Change::Rename(name, _, _) => name,
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, Node>) {
        match self {
            Change::Add(name, node) => {
                names.insert(name.clone(), *node);
            }
            Change::Remove(name) => {
                names.remove(name);
            }
            Change::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
        }
    }
}

impl File {
    /// A sync failed: what it was for is given up, in its place for ever.
    fn spoil(&mut self) {
        let known = self.durable.len();
        for write in &mut self.unsynced {
            write.abandoned = true;
            let end = write.offset + write.bytes.len();
            if end > known {
                self.spoiled.push((write.offset.max(known), end));
            }
        }
    }

    fn reclaim(&mut self, prng: &mut Prng) {
        self.unsynced.retain(|write| {
            let dropped = write.abandoned && prng.chance(1, 2);
            if dropped {
                let zeros = write.bytes.iter().map(|_| 0);
                let known = self.durable.iter().skip(write.offset).copied();
                let device: Vec<u8> = known.chain(zeros).take(write.bytes.len()).collect();
                put(&mut self.live, write.offset, &device);
            }
            !dropped
        });
        self.unsynced.iter().for_each(|write| put(&mut self.live, write.offset, &write.bytes));
    }

    /// What a power cut leaves of it.
    fn survivor(&self, loss: Loss, prng: &mut Prng) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let sizes_survive = loss == Loss::Some && prng.chance(1, 3);
        for write in &self.unsynced {
            let mut at = 0;
            while at < write.bytes.len() {
                let start = write.offset + at;
                let end = (start / SECTOR + 1) * SECTOR;
                let part = write.bytes.get(at..(at + end - start).min(write.bytes.len()));
                let part = part.unwrap_or_default();
                at += part.len();
                if loss == Loss::Nothing || (loss == Loss::Some && prng.chance(1, 2)) {
                    put_sound(&mut bytes, start, part, &self.spoiled);
                }
            }
        }
        if sizes_survive && bytes.len() < self.live.len() {
            bytes.resize(self.live.len(), 0);
        }
        bytes
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, part: &[u8]) {
    let end = offset + part.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    if let Some(place) = bytes.get_mut(offset..end) {
        place.copy_from_slice(part);
    }
}

/// The same, but spoiled places become zeros.
fn put_sound(bytes: &mut Vec<u8>, offset: usize, part: &[u8], spoiled: &[(usize, usize)]) {
    put(bytes, offset, part);
    let end = offset + part.len();
    for (from, to) in spoiled {
        let (from, to) = ((*from).max(offset), (*to).min(end));
        if let Some(place) = bytes.get_mut(from..to.max(from)) {
            place.fill(0);
        }
    }
}

/// The directory of a path; "" for the root.
fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_synced_survives_and_the_rest_may() {
        let mut disk = Disk::default();
        let file = disk.create("a").unwrap();
        disk.write(file, 0, b"one").unwrap();
        let sync = disk.submit_sync(file);
        disk.write(file, 3, b"two").unwrap();
        disk.complete_sync(sync).unwrap();
        let mut prng = Prng::new(1);
        assert_eq!(disk.crash(Loss::All, &mut prng).read("a"), Err(Failure::Missing));
        disk.sync_dir("").unwrap();
        assert_eq!(disk.crash(Loss::All, &mut prng).read("a").unwrap(), b"one");
        assert_eq!(disk.crash(Loss::Nothing, &mut prng).read("a").unwrap(), b"onetwo");
        assert_eq!(disk.kill().read("a").unwrap(), b"onetwo");
        disk.rename("a", "b").unwrap();
        assert_eq!(disk.crash(Loss::All, &mut prng).read("a").unwrap(), b"one");
        disk.sync_dir("").unwrap();
        assert_eq!(disk.crash(Loss::All, &mut prng).read("b").unwrap(), b"one");
    }

    #[test]
    fn a_failed_sync_is_not_made_good_by_the_next() {
        let mut disk = Disk::default();
        let file = disk.create("a").unwrap();
        disk.sync_dir("").unwrap();
        disk.write(file, 0, b"lost").unwrap();
        disk.plan(disk.operations() + 1, Fault::Io);
        assert_eq!(disk.sync_data(file), Err(Failure::Io));
        assert_eq!(disk.sync_data(file), Ok(()));
        assert_eq!(disk.crash(Loss::All, &mut Prng::new(1)).read("a").unwrap(), b"");
        disk.write(file, 0, b"again").unwrap();
        assert_eq!(disk.sync_data(file), Ok(()));
        assert_eq!(disk.read("a").unwrap(), b"again");
        assert_eq!(disk.read_device("a").unwrap(), b"\0\0\0\0n");
        assert_eq!(disk.crash(Loss::Nothing, &mut Prng::new(1)).read("a").unwrap(), b"\0\0\0\0n");
        disk.plan(disk.operations() + 1, Fault::Short);
        assert_eq!(disk.write(file, 0, b"1234"), Ok(2));
        disk.plan(disk.operations() + 1, Fault::Die);
        assert_eq!(disk.write(file, 0, b"1234"), Err(Failure::Dead));
        assert_eq!(disk.read("a"), Err(Failure::Dead));
    }
}
