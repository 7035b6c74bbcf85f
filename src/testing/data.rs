//! A data directory in memory: four shards, every type, bases, a closed and an open segment each,
//! transactions over shards. For tests that damage it, and as the corpus of those that fuzz.

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::ids::{Db, Epoch, Generation, HOME, Lsn, ShardId, TxId};
use crate::base::time::Millis;
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::persist::manifest::{Base, End, HashId, Manifest, Segment, ShardFiles};
use crate::persist::names;
use crate::persist::record::{LINE, Policy, RunId, SegmentId};
use crate::persist::segment::{SegmentWriter, Stamp};
use crate::persist::segment_scan::SegmentReader;
use crate::persist::shard_set::ShardSet;
use crate::resp::args::OwnedArgs;
use crate::router::slot::{ranges, shard_of};
use crate::shard::cut::{BaseForm, NextLog, Progress};
use crate::shard::shard::Shard;

/// Shards of the directory.
pub const SHARDS: u16 = 4;
/// Databases that are used.
pub const DATABASES: u16 = 4;

/// The run that wrote it, and one that did not.
pub const RUNS: [RunId; 2] = [RunId(0x0fed_cba9), RunId(7)];
const CUT: Epoch = Epoch(10);
const GENERATION: Generation = Generation(3);
/// Batches of the log, each an epoch; the segments change in the middle.
const BATCHES: u64 = 22;

/// How the server went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It was stopped: its manifest closes all segments.
    Stopped,
    /// It was killed: the last segments are open. All that they hold is durable, and they say so.
    Killed,
}

/// A directory.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Every file by its path, the manifest among them.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What the manifest says.
    pub manifest: Manifest,
    /// The manifest as it was before the last segments.
    pub stale: Manifest,
    /// For each shard the end of every record of its last segment: bytes, and the lsn behind it.
    pub ends: Vec<Vec<End>>,
}

/// Commands as a log has them, a line or two for each type; `n` numbers the keys.
fn commands(n: u64) -> Vec<String> {
    let noise = crate::base::prng::Prng::new(n).next();
    vec![
        format!("SET string:{n} {noise:x}{noise:o}"),
        format!("SET short:{n} {n}"),
        format!("PEXPIREAT short:{n} {}", 4_000_000_000_000 + n),
        format!("HSET hash:{n} a {noise} b {n} c {noise:x}"),
        format!("HDEL hash:{n} b"),
        format!("HSET hash:{n} again {n}"),
        format!("HSET timed:{n} a {noise} b {n} c {noise:x}"),
        format!("HPEXPIREAT timed:{n} {} FIELDS 2 a c", 4_000_000_000_000 + n),
        format!("HPERSIST timed:{n} FIELDS 1 c"),
        format!("RPUSH list:{n} {n} {noise} last"),
        format!("LPUSH list:{n} first"),
        format!("LPOP list:{n}"),
        format!("ZADD zset:{n} {n}.5 {noise} 7 b"),
        format!("ZREM zset:{n} b"),
        format!("SET gone:{n} {noise}"),
        format!("DEL gone:{n}"),
        format!("FUNCTION LOAD REPLACE #!lua\tname=lib{}\n{noise}", n % 7),
        format!("FUNCTION LOAD REPLACE #!lua\tname=gone\n{n}"),
        format!("FUNCTION DELETE gone"),
    ]
}

/// What exists once, and is big: values that go to a base in fragments.
fn big() -> Vec<String> {
    let mut all = vec![format!("SET long {}", "0123456789abcdef".repeat(5000))];
    for from in (0..600).step_by(100) {
        let pairs: Vec<String> = (from..from + 100).map(|n| format!("field:{n} {n}")).collect();
        all.push(format!("HSET bighash {}", pairs.join(" ")));
        all.push(format!("HSET bigtimed {}", pairs.join(" ")));
        let fields: Vec<String> = (from..from + 50).map(|n| format!("field:{n}")).collect();
        let at = 4_000_000_000_000_u64 + from;
        all.push(format!("HPEXPIREAT bigtimed {at} FIELDS 50 {}", fields.join(" ")));
        let elements: Vec<String> = (from..from + 100).map(|n| format!("element:{n}")).collect();
        all.push(format!("RPUSH biglist {}", elements.join(" ")));
        let scored: Vec<String> = (from..from + 100).map(|n| format!("{n} member:{n}")).collect();
        all.push(format!("ZADD bigzset {}", scored.join(" ")));
    }
    all
}

/// Later changes of what is big.
fn touch(n: u64) -> Vec<String> {
    vec![
        format!("SETRANGE long {} changed:{n}", n * 4000),
        format!("HSET bighash field:{n} changed new:{n} {n}"),
        format!("HDEL bighash field:{}", n + 100),
        format!("HPEXPIREAT bigtimed {} FIELDS 2 field:{n} field:7", 4_000_000_001_000_u64 + n),
        format!("HSET bigtimed field:{} changed", n + 100),
        format!("RPUSH biglist {n}"),
        format!("LPOP biglist"),
        format!("ZADD bigzset {n}.25 member:{n}"),
    ]
}

fn words(line: &str) -> OwnedArgs {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    OwnedArgs::of(&words)
}

/// The shards and the writers of their logs.
struct Maker {
    run: RunId,
    shards: Vec<Shard>,
    logs: Vec<SegmentWriter>,
    bytes: Vec<Vec<u8>>,
}

impl Maker {
    fn owner(line: &str) -> usize {
        let key = line.split(' ').nth(1).expect("a key");
        if line.starts_with("FUNCTION ") {
            return HOME.index();
        }
        shard_of(key.as_bytes(), SHARDS).index()
    }

    fn apply(&mut self, db: Db, line: &str) -> usize {
        let at = Maker::owner(line);
        let done = self.shards[at].replay(words(line).args(), db, &mut Vec::new());
        assert_eq!(done, Ok(()), "{line}");
        at
    }

    fn log(&mut self, db: Db, line: &str) {
        let at = self.apply(db, line);
        self.logs[at].append(db, words(line).args());
    }

    /// Two commands on two shards as one transaction.
    fn transact(&mut self, id: u64, lines: [&str; 2]) {
        let at = lines.map(Maker::owner);
        assert_ne!(at[0], at[1], "{lines:?}");
        let members = ShardSet::of(&at.map(|at| ShardId(at as u16)));
        for line in lines {
            let at = self.apply(Db(0), line);
            let words = words(line);
            self.logs[at].append_transaction(TxId(id), members, [(Db(0), words.args())]);
        }
    }

    /// Writes and syncs.
    fn flush(&mut self, stamp: Stamp) {
        for (log, bytes) in self.logs.iter_mut().zip(&mut self.bytes) {
            log.seal(stamp);
            while let Some(job) = log.take_write() {
                let count = job.bytes().len();
                bytes.extend_from_slice(job.bytes());
                log.wrote(job, count);
            }
            if let Some(job) = log.take_sync() {
                log.synced(job);
            }
        }
    }

    fn batch(&mut self, epoch: u64) {
        for log in &mut self.logs {
            log.stamp(Epoch(epoch));
        }
        for line in commands(epoch).into_iter().chain(touch(epoch - CUT.0)) {
            let db = Db(if line.contains(" big") || line.contains(" long") { 0 } else { 1 });
            self.log(db, &line);
        }
        // These two live on different shards.
        let (a, b) = (format!("SET {{1}}:{epoch} left"), format!("SET {{2}}:{epoch} right"));
        self.transact(epoch, [&a, &b]);
        let (durable, now) = (Epoch(epoch - 1), Millis(1_700_000_000_000 + epoch));
        self.flush(Stamp { durable, now, policy: Policy::EverySecond });
    }

    /// Ends the log as an idle server does: with records that prove what is before them.
    fn rest(&mut self, epoch: u64) {
        self.logs.iter_mut().for_each(SegmentWriter::append_commit);
        let (durable, now) = (Epoch(epoch), Millis(1_700_000_100_000));
        self.flush(Stamp { durable, now, policy: Policy::EverySecond });
    }

    fn base(&mut self, at: usize, form: BaseForm) -> (Base, Vec<u8>) {
        let (shard, id, run) = (&mut self.shards[at], ShardId(at as u16), self.run);
        shard.arm(CUT, NextLog::Keep);
        shard.begin(Millis(1), CUT);
        shard.start_base(form, (GENERATION, CUT, SHARDS, run), hash());
        while shard.base_step() != Progress::Done {}
        let mut bytes = shard.take_base_bytes(Vec::new());
        let (rest, crc, entries) = shard.end_base(Vec::new());
        bytes.extend(rest);
        let path = match form {
            BaseForm::Snapshot => names::snapshot(GENERATION, id),
            BaseForm::Commands => names::text_base(GENERATION, id),
        };
        let length = bytes.len() as u64;
        (Base { path, run, length, crc, entries }, bytes)
    }
}

fn hash() -> HashId {
    HashId { function: 1, seed: 99 }
}

fn empty(id: ShardId) -> Shard {
    let settings = Settings { databases: DATABASES, seed: hash().seed, ..Settings::default() };
    Shard::new(id, Keyspace::new(settings), 1)
}

/// The directory as a server leaves it that ran under this boot of the kernel; also its shards.
/// The last shard's base is made of commands.
pub fn sample(left: Left, boot: &str, run: RunId) -> (Sample, Vec<Shard>) {
    let ids = || (0..SHARDS).map(ShardId);
    let mut maker = Maker {
        run,
        shards: ids().map(empty).collect(),
        logs: Vec::new(),
        bytes: vec![Vec::new(); usize::from(SHARDS)],
    };
    for line in (0..12).flat_map(commands) {
        maker.apply(Db(1), &line);
    }
    for line in big() {
        maker.apply(Db(0), &line);
    }
    let mut files = BTreeMap::new();
    let mut manifest = blank(boot, run);
    for id in ids() {
        let last = id.0 + 1 == SHARDS;
        let form = if last { BaseForm::Commands } else { BaseForm::Snapshot };
        let (base, bytes) = maker.base(id.index(), form);
        files.insert(base.path.clone(), bytes);
        let after = Lsn(100 + u64::from(id.0));
        manifest.shards.push(ShardFiles { after, base: Some(base), segments: Vec::new() });
    }
    let (mut stale, mut ends) = (manifest.clone(), Vec::new());
    for (number, epochs) in [(5, 11..11 + BATCHES / 2), (6, 11 + BATCHES / 2..11 + BATCHES)] {
        stale = manifest.clone();
        let first: Vec<Lsn> = match maker.logs.as_slice() {
            [] => manifest.shards.iter().map(|files| files.after.next()).collect(),
            logs => logs.iter().map(|log| log.appended().next()).collect(),
        };
        let id = |shard| SegmentId { run, shard, number };
        let log = |(shard, first): (ShardId, &Lsn)| {
            SegmentWriter::new(id(shard), Lsn(first.0 - 1), Epoch(epochs.start))
        };
        maker.logs = ids().zip(&first).map(log).collect();
        maker.bytes.iter_mut().for_each(Vec::clear);
        epochs.clone().for_each(|epoch| maker.batch(epoch));
        maker.rest(epochs.end - 1);
        ends.clear();
        for (shard, first) in ids().zip(first) {
            let path = names::segment(GENERATION, shard, number);
            let bytes = maker.bytes[shard.index()].clone();
            ends.push(ends_of(id(shard), first, &bytes));
            let end = ends.last().and_then(|ends| ends.last()).copied();
            let end = end.filter(|_| number == 5 || left == Left::Stopped);
            files.insert(path.clone(), bytes);
            let segment = Segment { path, number, run, first: Some(first), end };
            manifest.shards[shard.index()].segments.push(segment);
        }
    }
    files.insert(names::MANIFEST.to_owned(), manifest.encode());
    (Sample { files, manifest, stale, ends }, maker.shards)
}

/// The end of every record.
fn ends_of(id: SegmentId, first: Lsn, bytes: &[u8]) -> Vec<End> {
    let mut reader = SegmentReader::new("a segment", id, first, bytes.len() as u64, None);
    reader.feed(bytes);
    let mut ends = Vec::new();
    while let Some(record) = reader.next().unwrap() {
        let length = record.offset() + (LINE + record.payload().len()) as u64;
        ends.push(End { length, next: record.header().next() });
    }
    ends
}

fn blank(boot: &str, run: RunId) -> Manifest {
    Manifest {
        run,
        generation: GENERATION,
        cut: CUT,
        cut_time: Millis(1),
        durable: CUT,
        boot: boot.to_owned(),
        appendonly: true,
        policy: Policy::EverySecond,
        hash: hash(),
        retained: Vec::new(),
        slots: ranges(SHARDS),
        shards: Vec::new(),
    }
}

impl Sample {
    /// Bytes of all files.
    pub fn bytes(&self) -> usize {
        self.files.values().map(Vec::len).sum()
    }

    /// Writes all files to an empty directory.
    pub fn write(&self, directory: &Path) {
        std::fs::create_dir_all(directory.join(names::directory(GENERATION))).unwrap();
        for (path, bytes) in &self.files {
            std::fs::write(directory.join(path), bytes).unwrap();
        }
    }
}

/// All that a shard holds, as the commands that would make it, in the order of the keys.
pub fn contents(shard: &mut Shard) -> Vec<String> {
    let mut all = Vec::new();
    shard.keys.begin(Millis(0), Lsn(0));
    for db in (0..DATABASES).map(Db) {
        let (mut keys, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = shard.keys.scan(db, cursor, 1000, &mut |key, _| keys.push(key.to_vec()));
            if cursor == 0 {
                break;
            }
        }
        keys.sort();
        for key in keys {
            let mut lines = Vec::new();
            shard.keys.rebuild(db, &key, &mut |words| elements(db, words, &mut lines));
            lines.sort();
            all.extend(lines);
        }
    }
    for (name, text) in shard.keys.libraries().iter() {
        all.push(format!("library {} {}", name.escape_ascii(), text.escape_ascii()));
    }
    all
}

/// A rebuilding command as a line; one line for each element where their order is free.
fn elements(db: Db, words: &[&[u8]], lines: &mut Vec<String>) {
    let line = |words: &[&[u8]]| {
        let words: Vec<String> = words.iter().map(|word| word.escape_ascii().to_string()).collect();
        format!("{} {}", db.0, words.join(" "))
    };
    let each = match words {
        // In this order.
        [b"HPEXPIREAT", key, at, _, _, fields @ ..] => {
            let one = |field: &&[u8]| line(&[b"HPEXPIREAT", key, at, field]);
            return lines.extend(fields.iter().map(one));
        }
        [b"RPUSH", ..] => return lines.push(format!("{:04} {}", lines.len(), line(words))),
        [b"HSET" | b"ZADD", ..] => 2,
        [b"SADD", ..] => 1,
        _ => return lines.push(line(words)),
    };
    for element in words[2..].chunks(each) {
        lines.push(line(&[&words[..2], element].concat()));
    }
}
