//! The manifest: which files are the database. Text, one field a line.
//!
//! ```text
//! basalt-manifest 1
//! run 0f1e2d3c4b5a69788796a5b4c3d2e1f0
//! generation 42
//! cut-epoch 1700                      the bases hold everything before this epoch
//! cut-time 1700000000000              nor anything that happened after this moment
//! durable-epoch 1699                  every shard is durable up to here, whatever its log says
//! boot 1b4e28ba-2fa1-11d2-883f-0016d3cca427      "-" when it is not known
//! appendonly yes
//! appendfsync everysec
//! hash 1 0123456789abcdef             number of the hash function, seed
//! retained 41 40                      older generations that are kept, each with its manifest
//! shards 2
//! slots 0 8191 0                      first, last, shard
//! slots 8192 16383 1
//! shard 0 after 120                   the base holds everything up to this lsn
//! base 000042/shard-000.snapshot run=.. length=4096 crc=0123456789abcdef entries=string:3,hash:1
//! segment 000042/shard-000.000007.aof run=.. first=121 end=-
//! shard 1 after 0
//! checksum 0123456789abcdef           CRC-64 of everything before this line
//! ```
//!
//! A manifest is valid if and only if it is, byte for byte, what `encode` writes for a `Manifest`
//! that `check` accepts. So there is one text for each, and a line that is not understood is a
//! fault.
//!
//! The log of a shard is its segments in order. Of a closed one exactly `length` bytes are the
//! database, and the lsn after it is known (`end=4096,140`). What recovery cuts it cuts by closing
//! the segment there: the bytes behind it can come back after a power cut and are still not the
//! database. Of an open one (`end=-`) it is what is valid. While a checkpoint is under way the
//! next segment of each shard, in the next generation's directory, is listed already (`first=-`:
//! the cut is still to come): a crash replays both. A shard has no base before its first
//! checkpoint and no segments with appendonly no. A base that ends in `.base.aof` is RESP commands
//! and nothing else, and its `crc` is that of the whole file.

use crate::base::checksum::crc64;
use crate::base::ids::{Epoch, Generation, Lsn, ShardId, SlotRange};
use crate::base::time::Millis;
use crate::limits::{MANIFEST_MAX, SHARDS_MAX};
use crate::persist::fault::StorageFault;
use crate::persist::names::{self, Name};
use crate::persist::record::{Policy, RunId, SegmentId};
use crate::persist::value_codec::Counts;

mod parse;

/// The only version of the format so far.
pub const VERSION: u32 = 1;

/// What the fields of a record have room for. A number beyond is no figure of ours.
const EPOCH_END: u64 = 1_000_000_000_000;
const LSN_END: u64 = 10_000_000_000_000_000;
const NUMBER_END: u64 = 100_000_000;
/// No file is as long.
const LENGTH_END: u64 = 1 << 62;

/// The hash function of the tables, and its seed: a snapshot is in the order of its hashes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HashId {
    /// Which function.
    pub function: u16,
    /// Drawn at random when the directory was made.
    pub seed: u64,
}

/// A base: all of a shard at the cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    /// Path inside the data directory.
    pub path: String,
    /// The run that wrote it.
    pub run: RunId,
    /// Bytes.
    pub length: u64,
    /// What the file's footer says (snapshot), or the CRC-64 of the file (RESP).
    pub crc: u64,
    /// Entries by type.
    pub entries: Counts,
}

/// Where a closed segment ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Bytes that belong to the database.
    pub length: u64,
    /// The lsn that follows.
    pub next: Lsn,
}

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Path inside the data directory.
    pub path: String,
    /// Its number, as in the path.
    pub number: u64,
    /// The run that made it.
    pub run: RunId,
    /// The lsn of its first unit; not known while the cut that begins it is being prepared.
    pub first: Option<Lsn>,
    /// Where it ends, if it is closed.
    pub end: Option<End>,
}

/// The files of one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardFiles {
    /// Everything up to this lsn is in the base.
    pub after: Lsn,
    /// The base, once there was a checkpoint.
    pub base: Option<Base>,
    /// The log since, in order.
    pub segments: Vec<Segment>,
}

/// What the manifest says. One that was read has passed its checksum and `check`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The run that wrote it.
    pub run: RunId,
    /// The generation that the bases belong to.
    pub generation: Generation,
    /// The bases hold everything before this epoch.
    pub cut: Epoch,
    /// The wall clock at the cut: what the bases hold happened before.
    pub cut_time: Millis,
    /// All shards are durable up to this epoch, whatever the log says.
    pub durable: Epoch,
    /// Boot id of the kernel under which it was written; empty when not known.
    pub boot: String,
    /// Is there a log?
    pub appendonly: bool,
    /// `appendfsync` at that time.
    pub policy: Policy,
    /// The hash of the tables.
    pub hash: HashId,
    /// Older generations that are kept, the youngest first.
    pub retained: Vec<Generation>,
    /// Which slot belongs to which shard, in order, complete.
    pub slots: Vec<SlotRange>,
    /// The files of each shard.
    pub shards: Vec<ShardFiles>,
}

impl ShardFiles {
    /// A shard's files once a checkpoint is durable: its base, and the segment it went on in.
    pub fn after_cut(after: Lsn, base: Option<Base>, next: Option<Segment>) -> ShardFiles {
        let next = next.map(|segment| Segment { first: Some(after.next()), ..segment });
        ShardFiles { after, base, segments: next.into_iter().collect() }
    }
}

impl Manifest {
    /// The shards have gone on in their prepared segments: where those begin, and where the ones
    /// before them end.
    pub fn note_cut(&mut self, cuts: &[(Lsn, Option<End>)]) {
        for (files, (after, end)) in self.shards.iter_mut().zip(cuts) {
            let mut segments = files.segments.iter_mut().rev();
            let Some(last) = segments.next().filter(|last| last.first.is_none()) else { continue };
            last.first = Some(after.next());
            if let Some(before) = segments.next() {
                before.end = *end;
            }
        }
    }

    /// The text of the file. The manifest must pass `check`.
    pub fn encode(&self) -> Vec<u8> {
        let mut text = format!("basalt-manifest {VERSION}\nrun {:032x}\n", self.run.0);
        let mut line = |words: String| {
            text.push_str(&words);
            text.push('\n');
        };
        line(format!("generation {}", self.generation.0));
        line(format!("cut-epoch {}", self.cut.0));
        line(format!("cut-time {}", self.cut_time.0));
        line(format!("durable-epoch {}", self.durable.0));
        line(format!("boot {}", if self.boot.is_empty() { "-" } else { &self.boot }));
        line(format!("appendonly {}", if self.appendonly { "yes" } else { "no" }));
        line(format!("appendfsync {}", self.policy.name()));
        line(format!("hash {} {:016x}", self.hash.function, self.hash.seed));
        let retained: String = self.retained.iter().map(|g| format!(" {}", g.0)).collect();
        line(format!("retained{retained}"));
        line(format!("shards {}", self.shards.len()));
        for SlotRange { first, last, shard } in &self.slots {
            line(format!("slots {first} {last} {}", shard.0));
        }
        for (shard, files) in self.shards.iter().enumerate() {
            line(format!("shard {shard} after {}", files.after.0));
            if let Some(base) = &files.base {
                let Base { path, run, length, crc, entries } = base;
                let entries = entries.to_text();
                let run = run.0;
                line(format!(
                    "base {path} run={run:032x} length={length} crc={crc:016x} entries={entries}"
                ));
            }
            for Segment { path, run, first, end, .. } in &files.segments {
                let end = match end {
                    Some(End { length, next }) => format!("{length},{}", next.0),
                    None => "-".to_string(),
                };
                let first = first.map_or("-".to_string(), |first| first.0.to_string());
                line(format!("segment {path} run={:032x} first={first} end={end}", run.0));
            }
        }
        let crc = crc64(text.as_bytes());
        text.push_str(&format!("checksum {crc:016x}\n"));
        text.into_bytes()
    }

    /// Reads and verifies the text of the file `name`.
    pub fn parse(name: &str, bytes: &[u8]) -> Result<Manifest, StorageFault> {
        let manifest = parse::parse(name, bytes)?;
        manifest.check().map_err(|(expected, found)| {
            StorageFault::new(name, 0, expected, if found.is_empty() { "none" } else { &found })
        })?;
        let same = manifest.encode();
        if same != bytes {
            let at = same.iter().zip(bytes).take_while(|(a, b)| a == b).count();
            let expected = "the one way in which this is written";
            return Err(StorageFault::new(name, at as u64, expected, "another"));
        }
        Ok(manifest)
    }

    /// Whether it makes sense; otherwise what was expected and what was found.
    pub fn check(&self) -> Result<(), (String, String)> {
        let count = self.shards.len();
        ensure(count > 0 && count <= SHARDS_MAX, "1 to 256 shards", count)?;
        let boot = self.boot.len() <= 64 && self.boot.bytes().all(|b| b.is_ascii_graphic());
        ensure(boot && self.boot != "-", "a boot id", &self.boot)?;
        let epochs = self.cut.max(self.durable).0;
        ensure(epochs < EPOCH_END, "an epoch that a record can hold", epochs)?;
        ensure(self.generation.0 < NUMBER_END, "a generation", self.generation.0)?;
        let mut next = 0u32;
        for SlotRange { first, last, shard } in &self.slots {
            let follows = u32::from(*first) == next && last >= first && shard.index() < count;
            ensure(follows, "slots that follow, of a shard that exists", first)?;
            next = u32::from(*last) + 1;
        }
        ensure(next == 16384, "16384 slots", next)?;
        let falling = self.retained.iter().zip(self.retained.iter().skip(1)).all(|(a, b)| a > b);
        let older = self.retained.iter().all(|g| *g < self.generation);
        ensure(falling && older, "retained generations, falling", self.generation.0)?;
        for (shard, files) in self.shards.iter().enumerate() {
            let shard = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
            ensure(files.after.0 < LSN_END, "an lsn that a record can hold", files.after.0)?;
            self.check_base(shard, files)?;
            self.check_segments(shard, files)?;
        }
        Ok(())
    }

    fn check_base(&self, shard: ShardId, files: &ShardFiles) -> Result<(), (String, String)> {
        let Some(base) = &files.base else { return Ok(()) };
        let ours = match names::parse(&base.path) {
            Some(Name::Snapshot(generation, of) | Name::TextBase(generation, of)) => {
                generation == self.generation && of == shard
            }
            _ => false,
        };
        ensure(ours, "a base of this shard and generation", &base.path)
    }

    fn check_segments(&self, shard: ShardId, files: &ShardFiles) -> Result<(), (String, String)> {
        let some = files.segments.first();
        ensure(self.appendonly || some.is_none(), "no segment with appendonly no", shard.0)?;
        // Where the next segment has to begin. Behind an open one that is known only if the cut
        // between them has been noted; recovery then checks it against what the open one holds.
        let mut next = Some(files.after.next());
        let mut least = files.after.next();
        let mut number = 0;
        for segment in &files.segments {
            let ours = match names::parse(&segment.path) {
                Some(Name::Segment(_, of, n)) => of == shard && n == segment.number,
                _ => false,
            };
            ensure(ours, "a segment of this shard", &segment.path)?;
            ensure(segment.number > number, "a number that grows", &segment.path)?;
            ensure(segment.number < NUMBER_END, "a number that a record can hold", &segment.path)?;
            let (first, end) = (segment.first.unwrap_or_default(), segment.end);
            let (length, behind) = end.map_or((0, first), |end| (end.length, end.next));
            let held = first.max(behind).0 < LSN_END && length < LENGTH_END;
            ensure(held, "an end that a record can hold", &segment.path)?;
            number = segment.number;
            let follows = match (next, segment.first) {
                (None, first) => first.is_none_or(|first| first >= least),
                (known, first) => first == known,
            };
            let found = segment.first.unwrap_or_default().0;
            ensure(follows, "a first lsn that follows", found)?;
            let forward = match (segment.first, segment.end) {
                (_, None) => true,
                (Some(first), Some(end)) => end.next >= first,
                (None, Some(_)) => false,
            };
            ensure(forward, "an end that follows", &segment.path)?;
            next = segment.end.map(|end| end.next);
            least = next.or(segment.first).unwrap_or(least);
        }
        Ok(())
    }

    /// All paths that it governs, of bases and segments.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.shards.iter().flat_map(|files| {
            let base = files.base.iter().map(|base| base.path.as_str());
            base.chain(files.segments.iter().map(|segment| segment.path.as_str()))
        })
    }
}

impl Segment {
    /// Its identity, which its records are checked against.
    pub fn id(&self, shard: ShardId) -> SegmentId {
        SegmentId { run: self.run, shard, number: self.number }
    }
}

fn ensure(
    holds: bool,
    expected: &str,
    found: impl std::fmt::Display,
) -> Result<(), (String, String)> {
    if holds { Ok(()) } else { Err((expected.to_string(), found.to_string())) }
}

const _: () = assert!(MANIFEST_MAX > 1 << 20);

#[cfg(test)]
pub(super) mod tests;
