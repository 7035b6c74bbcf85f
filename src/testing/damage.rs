//! What can happen to the files of a data directory, and what a start may make of it: it refuses
//! with file and offset, or it loads exactly what was there. Only what was cut off the end of an
//! open segment, with every record behind that could prove it, is gone without proof.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::memmem;

use crate::base::checksum::crc64;
use crate::base::ids::{Lsn, ShardId};
use crate::persist::manifest::End;
use crate::persist::names;
use crate::persist::recovery::{Cut, Mode, Plan, plan_new};
use crate::persist::segment_scan::Parts;
use crate::server::inspect::{Inspected, Unread, boot_id, list};
use crate::server::verify::{Depth, check_all, load};
use crate::testing::data::{DATABASES, Left, RUNS, Sample, contents, sample};

/// Files that are other than they were; nothing for one that is gone.
pub type Changes = BTreeMap<String, Option<Vec<u8>>>;

/// What was promised about a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Damage: refused, or nothing is wrong with what is loaded.
    Damage,
    /// The manifest was changed and sealed again: its checksum vouches for it, so it is only
    /// asked that a start and the tool agree, and that nothing panics.
    Sealed,
}

/// What came of damage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases.
    pub cases: u64,
    /// Refused.
    pub refused: u64,
    /// Loaded, and all was there.
    pub whole: u64,
    /// The end of an open segment was gone and nothing proved it: cut, with a line in the log.
    pub cut: u64,
    /// The same, exactly between two records: taken for the end.
    pub taken_for_the_end: u64,
}

/// What a start came to.
#[derive(Debug)]
enum Start {
    Refused(String),
    Loaded { digests: Vec<u64>, next: Vec<Lsn>, cuts: Vec<Cut> },
}

/// A directory that is damaged and mended again.
pub struct Ground {
    /// What is in it.
    pub sample: Sample,
    directory: tempfile::TempDir,
    pristine: tempfile::TempDir,
    inspected: Inspected,
    plan: Plan,
    digests: Vec<u64>,
    /// What the shards held when their logs went up to there.
    shorter: HashMap<(usize, Lsn), u64>,
    /// What has been found so far.
    pub tally: Tally,
}

/// In memory where there is such a place: a case takes a millisecond, not the time of a disk.
fn directory() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    let at = if memory.is_dir() { memory } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("basalt-damage-").tempdir_in(at).expect("a directory")
}

fn digest(directory: &Path, inspected: &Inspected, plan: &Plan, at: usize) -> Result<u64, Unread> {
    let id = ShardId(at as u16);
    let mut shard = load(directory, &inspected.manifest, plan, id, DATABASES)?;
    Ok(crc64(contents(&mut shard).join("\n").as_bytes()))
}

fn start(directory: &Path, mode: Mode) -> Start {
    let refused = |why: Unread| Start::Refused(why.to_string());
    let inspected = match Inspected::of(directory, Parts::Undecided) {
        Ok(Some(inspected)) => inspected,
        Ok(None) => {
            let listing = list(directory).expect("a listing");
            let anew = plan_new(&listing);
            return Start::Refused(anew.expect_err("begins anew where data lies").to_string());
        }
        Err(why) => return refused(why),
    };
    let plan = match inspected.plan(mode) {
        Ok(plan) => plan,
        Err(refusal) => return Start::Refused(refusal.to_string()),
    };
    let shards = 0..inspected.manifest.shards.len();
    let digests = shards.map(|at| digest(directory, &inspected, &plan, at));
    match digests.collect() {
        Ok(digests) => {
            let next = plan.shards.iter().map(|shard| shard.next).collect();
            let cuts = plan.shards.into_iter().flat_map(|shard| shard.cuts).collect();
            Start::Loaded { digests, next, cuts }
        }
        Err(why) => refused(why),
    }
}

/// Does the tool find fault with it?
fn tool_refuses(directory: &Path, mode: Mode) -> bool {
    let Ok(Some(inspected)) = Inspected::of(directory, Parts::Undecided) else { return true };
    let Ok(plan) = inspected.plan(mode) else { return true };
    let mut faults = 0;
    let done = check_all(directory, &inspected.manifest, &plan, Depth::Decode, |_, done| {
        faults += usize::from(done.is_err());
        Ok::<(), Unread>(())
    });
    done.is_err() || faults > 0
}

impl Ground {
    /// A directory as a server left it.
    pub fn new(left: Left) -> Ground {
        let (sample, mut shards) = sample(left, &boot_id(), RUNS[0]);
        let (directory, pristine) = (directory(), directory());
        sample.write(directory.path());
        sample.write(pristine.path());
        let inspected = Inspected::of(pristine.path(), Parts::Undecided);
        let inspected = inspected.expect("sound files").expect("a manifest");
        let plan = inspected.plan(Mode::Auto).expect("a plan");
        let digests: Vec<u64> = (0..shards.len())
            .map(|at| digest(pristine.path(), &inspected, &plan, at).expect("sound files"))
            .collect();
        for (shard, digest) in shards.iter_mut().zip(&digests) {
            let original = crc64(contents(shard).join("\n").as_bytes());
            assert_eq!(original, *digest, "what is loaded is not what was written");
        }
        let (shorter, tally) = (HashMap::new(), Tally::default());
        Ground { sample, directory, pristine, inspected, plan, digests, shorter, tally }
    }

    /// Damages the files, looks what comes of it, and mends them.
    pub fn judge(&mut self, what: &str, kind: Kind, changes: &Changes) -> Result<(), String> {
        let mode = if self.tally.cases.is_multiple_of(2) { Mode::Auto } else { Mode::Strict };
        self.tally.cases += 1;
        for (path, bytes) in changes {
            put(self.directory.path(), path, bytes.as_deref());
        }
        let began = Instant::now();
        let looked = catch_unwind(AssertUnwindSafe(|| {
            (start(self.directory.path(), mode), tool_refuses(self.directory.path(), mode))
        }));
        let took = began.elapsed();
        for path in changes.keys() {
            put(self.directory.path(), path, self.sample.files.get(path).map(Vec::as_slice));
        }
        let told = |why: String| Err(format!("{what} ({mode:?}): {why}"));
        let Ok((start, tool_refuses)) = looked else { return told("it panicked".to_owned()) };
        if took > Duration::from_secs(5) {
            return told(format!("it took {took:?}"));
        }
        if tool_refuses != matches!(start, Start::Refused(_)) {
            return told(format!("the tool refuses: {tool_refuses}, the server: {start:?}"));
        }
        self.weigh(kind, changes, &start).or_else(told)
    }

    fn weigh(&mut self, kind: Kind, changes: &Changes, start: &Start) -> Result<(), String> {
        let (digests, next, cuts) = match start {
            Start::Refused(why) => {
                self.tally.refused += 1;
                let where_it_is = why.contains(": at byte ") || why.contains("os error");
                return if where_it_is { Ok(()) } else { Err(format!("no offset: {why}")) };
            }
            _ if kind == Kind::Sealed => return Ok(()),
            Start::Loaded { digests, next, cuts } => (digests, next, cuts),
        };
        let mut lost = false;
        for at in 0..self.digests.len() {
            let full = self.plan.shards[at].next;
            if digests.len() != self.digests.len() || next[at] > full {
                return Err(format!("{} shards, up to {next:?}", digests.len()));
            }
            if digests[at] != self.shorter(at, next[at])? {
                return Err(format!("shard {at} up to lsn {} is not what it was", next[at].0));
            }
            if next[at] < full {
                self.unproven(at, next[at], changes)?;
                lost = true;
            }
        }
        match (lost, cuts.is_empty()) {
            (false, _) => self.tally.whole += 1,
            (true, false) => self.tally.cut += 1,
            (true, true) => self.tally.taken_for_the_end += 1,
        }
        Ok(())
    }

    /// What a shard held when its log ended before this lsn.
    fn shorter(&mut self, at: usize, next: Lsn) -> Result<u64, String> {
        if next == self.plan.shards[at].next {
            return Ok(self.digests[at]);
        }
        if let Some(digest) = self.shorter.get(&(at, next)) {
            return Ok(*digest);
        }
        let start = self.plan.shards[at].replay.last().map(|replay| replay.first);
        let none = End { length: 0, next: start.unwrap_or_default() };
        let mut ends = self.sample.ends[at].iter().copied().chain([none]);
        let end = ends.find(|end| end.next == next);
        let end = end.ok_or(format!("no record of shard {at} ends before lsn {}", next.0))?;
        let mut plan = self.plan.clone();
        let shard = &mut plan.shards[at];
        shard.replay.last_mut().expect("a segment").end = end;
        let found = digest(self.pristine.path(), &self.inspected, &plan, at);
        let found = found.map_err(|why| why.to_string())?;
        self.shorter.insert((at, next), found);
        Ok(found)
    }

    /// Is nothing left that could tell of what is lost behind `next`?
    fn unproven(&self, at: usize, next: Lsn, changes: &Changes) -> Result<(), String> {
        let files = &self.sample.manifest.shards[at];
        let segment = files.segments.last().expect("a segment");
        if segment.end.is_some() {
            return Err(format!("lsn {} of shard {at} is lost from a closed segment", next.0));
        }
        let Some(Some(changed)) = changes.get(&segment.path) else {
            return Err(format!("lsn {} of shard {at} is lost, and its file is there", next.0));
        };
        let original = &self.sample.files[&segment.path];
        let ends = self.sample.ends[at].iter().map(|end| end.length as usize);
        let starts: Vec<usize> = [0].into_iter().chain(ends).collect();
        let kept = self.sample.ends[at].iter().filter(|end| end.next <= next).count();
        let survives = starts.windows(2).skip(kept + 1).any(|record| {
            let record = &original[record[0]..record[1]];
            !record.is_empty() && memmem::find(changed, record).is_some()
        });
        if survives {
            Err(format!("lsn {} is lost, and later ones are there", next.0))
        } else {
            Ok(())
        }
    }
}

fn put(directory: &Path, path: &str, bytes: Option<&[u8]>) {
    let full = directory.join(path);
    if full.is_dir() {
        std::fs::remove_dir(&full).expect("an empty directory");
    }
    match bytes {
        // A directory where a file should be.
        Some(b"/") => {
            let _ = std::fs::remove_file(&full);
            std::fs::create_dir(&full).expect("a directory");
        }
        Some(bytes) => std::fs::write(&full, bytes).expect("a file"),
        None => {
            let _ = std::fs::remove_file(&full);
        }
    }
}

/// One file changed.
pub fn change(path: &str, bytes: impl Into<Vec<u8>>) -> Changes {
    BTreeMap::from([(path.to_owned(), Some(bytes.into()))])
}

/// The manifest's lines changed, and sealed again.
pub fn seal(lines: &[String]) -> Changes {
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let text = format!("{text}checksum {:016x}\n", crc64(text.as_bytes()));
    change(names::MANIFEST, text)
}

/// The offsets at which something begins or ends in a file: lines, and records of open segments.
pub fn edges(sample: &Sample, path: &str) -> BTreeSet<usize> {
    let bytes = &sample.files[path];
    let mut all: BTreeSet<usize> = memchr::memchr_iter(b'\n', bytes).map(|at| at + 1).collect();
    for (files, ends) in sample.manifest.shards.iter().zip(&sample.ends) {
        if files.segments.last().is_some_and(|segment| segment.path == path) {
            all.extend(ends.iter().map(|end| end.length as usize));
        }
    }
    all
}

#[cfg(test)]
mod tests;
