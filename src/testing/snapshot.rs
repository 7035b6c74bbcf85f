//! Random commands on one shard while cuts are in progress, by seed: what a base holds, read back,
//! is a plain copy of the keys at the cut, and with the log since then it is the keys as they are.

use crate::base::ids::{Db, Epoch, Generation, ShardId};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::commands::table;
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::keyspace::snapshot::{Budget, Step};
use crate::persist::manifest::HashId;
use crate::persist::record::{Policy, RunId, SegmentId};
use crate::persist::segment::Stamp;
use crate::persist::segment_scan::SegmentReader;
use crate::persist::snapshot_file::{Header, Scratch};
use crate::persist::snapshot_reader::SnapshotReader;
use crate::resp::args::OwnedArgs;
use crate::resp::reply::Proto;
use crate::shard::base::{BaseForm, BaseWriter};
use crate::shard::cut::NextLog;
use crate::shard::execute::Request;
use crate::shard::shard::Shard;
use crate::shard::upkeep::ActiveExpire;
use crate::testing::kit::Tally;
use crate::testing::model::Words;
use crate::testing::plain::{Plain, difference, plain};
use crate::testing::start::load_items;
use crate::testing::stream::Stream;
use crate::types::hash::Limits;
use crate::types::set::SetLimits;
use crate::types::zset::ZsetLimits;

/// Databases of the shard.
const DATABASES: u16 = 3;

/// Commands of one run.
const COMMANDS: u64 = 300;

/// A shard, and a base of it that is being written.
struct Twin {
    shard: Shard,
    prng: Prng,
    now: u64,
    segment: u64,
    base: Option<(BaseWriter, Plain)>,
}

fn empty(seed: u64) -> Shard {
    let settings = Settings {
        databases: DATABASES,
        seed,
        limits: Limits { entries: 4, value: 12 },
        zsets: ZsetLimits { entries: 4, value: 12 },
        sets: SetLimits { ints: 6, entries: 4, value: 12 },
        ..Settings::default()
    };
    Shard::new(ShardId(0), Keyspace::new(settings), seed)
}

fn header(seed: u64) -> Header {
    Header {
        shard: ShardId(0),
        shards: 1,
        generation: Generation(1),
        cut: Epoch(1),
        run: RunId(1),
        hash: HashId { function: 1, seed },
    }
}

impl Twin {
    fn new(seed: u64) -> Twin {
        let (shard, prng) = (empty(seed), Prng::new(seed));
        Twin { shard, prng, now: 1000, segment: 0, base: None }
    }

    fn run(&mut self, words: &Words) {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let args = OwnedArgs::of(&words);
        // Commands that are not there yet, or are called wrongly, change nothing.
        let Ok(command) = table::resolve(args.args()) else { return };
        let request =
            Request { command, args: args.args(), db: self.db(), proto: Proto::Two, tracker: None };
        let epoch = self.shard.epoch();
        self.shard.begin(Millis(self.now), epoch);
        self.shard.run(request, &mut Vec::new());
    }

    fn db(&mut self) -> Db {
        Db(self.prng.below(u64::from(DATABASES)) as u16)
    }

    fn cut(&mut self, seed: u64) {
        self.segment += 1;
        let id = SegmentId { run: RunId(1), shard: ShardId(0), number: self.segment };
        let epoch = Epoch(self.shard.epoch().0 + 1);
        self.shard.arm(epoch, NextLog::Open(id));
        let copy = plain(&mut self.shard.keys, DATABASES, self.now);
        self.shard.begin(Millis(self.now), epoch);
        let writer = BaseWriter::new(BaseForm::Snapshot, &header(seed), Scratch::default());
        self.base = Some((writer, copy));
    }

    /// A part of the base; a whole one is compared.
    fn step(&mut self, seed: u64, tally: &mut Tally) -> Result<(), String> {
        let items = 1 + self.prng.below(6) as usize;
        let budget = Budget { items, bytes: 1 << self.prng.below(14) };
        let Some((writer, _)) = &mut self.base else {
            // The sweep of one that was given up.
            self.shard.base_step();
            return Ok(());
        };
        if self.shard.keys.snapshot_step(writer, budget) == Step::More {
            return Ok(());
        }
        let Some((mut writer, copy)) = self.base.take() else { return Ok(()) };
        tally.saves += 1;
        tally.states += 2;
        let (bytes, _, entries) = writer.finish(Vec::new());
        let loaded = decode(&bytes, seed)?;
        self.compare(loaded, &copy, entries.total())
    }

    fn compare(&mut self, mut loaded: Shard, copy: &Plain, entries: u64) -> Result<(), String> {
        // What has expired since the cut may be in the base or not.
        let copy = copy.alive(self.now);
        let found = plain(&mut loaded.keys, DATABASES, self.now);
        if found != copy {
            return Err(format!("the base is not the cut: {}", difference(&found, &copy)));
        }
        if entries < copy.len() as u64 {
            return Err(format!("{entries} entries counted, {} are there", copy.len()));
        }
        self.replay(&mut loaded)?;
        let found = plain(&mut loaded.keys, DATABASES, self.now);
        let live = plain(&mut self.shard.keys, DATABASES, self.now);
        if found != live {
            let what = difference(&found, &live);
            return Err(format!("base and log are not the shard: {what}"));
        }
        Ok(())
    }

    /// Runs what has been logged since the cut on what was loaded.
    fn replay(&mut self, loaded: &mut Shard) -> Result<(), String> {
        let now = Millis(self.now);
        let stamp = Stamp { durable: Epoch(0), now, policy: Policy::EverySecond };
        let first = self.shard.cut_at().0.next();
        let Some(log) = self.shard.log_mut() else { return Err("no log".to_owned()) };
        log.seal(stamp);
        let (id, next) = (log.id(), log.appended().next());
        let mut bytes = Vec::new();
        while let Some(job) = log.take_write() {
            let count = job.bytes().len();
            bytes.extend_from_slice(job.bytes());
            log.wrote(job, count);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let mut reader = SegmentReader::new("log", id, first, bytes.len() as u64, Some(next));
        reader.feed(&bytes);
        while let Some(record) = reader.next().map_err(|fault| fault.to_string())? {
            loaded.replay_record(record).map_err(|bad| format!("{bad:?}"))?;
        }
        reader.finish().map_err(|fault| fault.to_string())
    }
}

fn decode(bytes: &[u8], seed: u64) -> Result<Shard, String> {
    let mut shard = empty(seed);
    let mut reader = SnapshotReader::new("base", None);
    reader.feed(bytes);
    load_items(&mut shard, &mut reader)?;
    reader.finish().map_err(|fault| fault.to_string())?;
    match shard.keys.load_unfinished() {
        0 => Ok(shard),
        open => Err(format!("{open} values are not complete")),
    }
}

/// One run by seed.
pub fn run(seed: u64, tally: &mut Tally) -> Result<(), String> {
    let mut twin = Twin::new(seed);
    let stream = Stream::new(&mut twin.prng);
    for _ in 0..stream.preload() {
        let words = stream.fill(&mut twin.prng);
        twin.run(&words);
    }
    let pace = 1 + twin.prng.below(4);
    for _ in 0..COMMANDS {
        let words = stream.command(&mut twin.prng, twin.now);
        twin.run(&words);
        tally.acknowledged += 1;
        match twin.prng.below(40) {
            0 => twin.now += twin.prng.below(300),
            1 => {
                let (now, epoch) = (Millis(twin.now), twin.shard.epoch());
                twin.shard.upkeep(now, epoch, ActiveExpire::On);
            }
            _ => {}
        }
        if !twin.prng.chance(1, pace) {
            continue;
        }
        match twin.shard.keys.is_cut() {
            false if twin.prng.chance(1, 10) => twin.cut(seed),
            false => {}
            true if twin.prng.chance(1, 400) => {
                twin.base = None;
                twin.shard.abort_base();
            }
            true => twin.step(seed, tally)?,
        }
    }
    if !twin.shard.keys.is_cut() {
        twin.cut(seed);
    }
    while twin.shard.keys.is_cut() {
        twin.step(seed, tally)?;
    }
    Ok(())
}
