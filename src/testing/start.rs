//! The start of the simulated machine from what is on its disk, as server/recover.rs and load.rs do
//! it, also into another number of shards.

use std::collections::HashMap;

use crate::base::ids::{Db, Epoch, Generation, Lsn, ShardId};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::commands::table;
use crate::keyspace::item::{Item, Sink};
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::keyspace::snapshot::{Budget, Step};
use crate::persist::manifest::{Base, HashId, Manifest, Segment, ShardFiles};
use crate::persist::names::{self, Name};
use crate::persist::payload::Piece;
use crate::persist::record::{RunId, SegmentId};
use crate::persist::recovery::{Cut, Facts, Mode, Plan, Replay, plan, plan_new};
use crate::persist::segment::SegmentWriter;
use crate::persist::segment_scan::{Scanned, SegmentReader, SegmentScan};
use crate::persist::snapshot_file::{ChunkWriter, Header};
use crate::persist::snapshot_reader::{Expected, SnapshotReader};
use crate::resp::reply::Proto;
use crate::router::slot::{self, shard_of};
use crate::shard::base::encode;
use crate::shard::execute::Request;
use crate::shard::restore::FileNumber;
use crate::shard::shard::Shard;
use crate::testing::bug::Bug;
use crate::testing::disk::{Disk, Failure};
use crate::testing::machine::{Machine, Setup};
use crate::testing::model::{Entry, Model, Value};
use crate::testing::save::{Present, promise};

/// Databases of the machine.
pub const DATABASES: u16 = 2;

/// Why a machine did not start; its disk as it was left.
#[derive(Debug)]
pub enum NoStart {
    /// The disk failed.
    Disk(Box<Disk>, Failure),
    /// The files were refused.
    Refused(String),
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// For each shard that wrote the files, the lsn that follows.
    pub next: Vec<Lsn>,
    /// What recovery says about them.
    pub cuts: Vec<String>,
}

enum Stop {
    Disk(Failure),
    Refused(String),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Disk(failure)
    }
}

/// Starts a machine at this moment.
pub fn start(disk: Disk, setup: Setup, now: u64, seed: u64) -> Result<(Machine, Found), NoStart> {
    let mut disk = disk;
    match look(&mut disk, setup, seed) {
        Ok((shards, manifest, plan, found, used)) => {
            let mut machine = Machine::new(setup, disk, shards, manifest);
            machine.prng = Prng::new(seed ^ 0x5eed);
            machine.now = now;
            match machine.take_over(plan, used) {
                Ok(()) => {
                    let state = machine.state();
                    machine.history = crate::testing::history::History::begin(state);
                    Ok((machine, found))
                }
                Err(Stop::Disk(failure)) => Err(NoStart::Disk(Box::new(machine.disk), failure)),
                Err(Stop::Refused(why)) => Err(NoStart::Refused(why)),
            }
        }
        Err(Stop::Disk(failure)) => Err(NoStart::Disk(Box::new(disk), failure)),
        Err(Stop::Refused(why)) => Err(NoStart::Refused(why)),
    }
}

type Looked = (Vec<Shard>, Manifest, Option<(Manifest, Plan)>, Found, (u64, u64));

/// Reads and plans and loads; changes nothing.
fn look(disk: &mut Disk, setup: Setup, seed: u64) -> Result<Looked, Stop> {
    let listing = disk.list()?;
    let mut used = (0, 0);
    for path in listing.keys() {
        match names::parse(path) {
            Some(Name::Directory(generation)) => used.0 = used.0.max(generation.0),
            Some(Name::Segment(generation, _, number)) => {
                used = (used.0.max(generation.0), used.1.max(number));
            }
            _ => {}
        }
    }
    let boot = format!("boot-{}", setup.boot);
    let run = RunId(u128::from(Prng::new(seed ^ 0x7234).next()));
    if !listing.contains_key(names::MANIFEST) {
        plan_new(&listing).map_err(|refusal| Stop::Refused(refusal.to_string()))?;
        let manifest = blank(setup, run, boot, used.0 + 1);
        let shards = (0..setup.shards).map(|at| empty_shard(ShardId(at), &manifest)).collect();
        let found = Found { next: vec![Lsn(0); usize::from(setup.shards)], cuts: Vec::new() };
        return Ok((shards, manifest, None, found, used));
    }
    let bytes = disk.read(names::MANIFEST)?;
    let manifest = Manifest::parse(names::MANIFEST, &bytes);
    let manifest = manifest.map_err(|fault| Stop::Refused(fault.to_string()))?;
    let mut scans = Vec::new();
    for (at, files) in manifest.shards.iter().enumerate() {
        let mut of_shard = Vec::new();
        for segment in &files.segments {
            of_shard.push(scan(disk, setup, ShardId(at as u16), segment)?);
        }
        scans.push(of_shard);
    }
    let mode = Mode::Auto;
    let facts = Facts { manifest: &manifest, listing: &listing, boot: &boot, mode, scans: &scans };
    let plan = plan(&facts).map_err(|refusal| Stop::Refused(refusal.to_string()))?;
    let next =
        Manifest { run, boot, appendonly: true, policy: setup.policy, ..plan.manifest(&manifest) };
    let same = next.shards.len() == usize::from(setup.shards);
    let next = match same {
        true => next,
        false => Manifest { shards: none(setup.shards), slots: slot::ranges(setup.shards), ..next },
    };
    let mut read = plan.clone();
    if setup.bug == Some(Bug::ForeignSegment) && read.shards.len() > 1 {
        let other = read.shards[0].replay.clone();
        read.shards[0].replay = std::mem::replace(&mut read.shards[1].replay, other);
    }
    let shards = load(disk, setup, &manifest, &read, &next)?;
    let found = Found {
        next: plan.shards.iter().map(|shard| shard.next).collect(),
        cuts: plan.shards.iter().flat_map(|s| &s.cuts).map(ToString::to_string).collect(),
    };
    Ok((shards, next, Some((manifest, plan)), found, used))
}

fn scan(disk: &mut Disk, setup: Setup, shard: ShardId, segment: &Segment) -> Result<Scanned, Stop> {
    let mut scan = SegmentScan::new(segment.id(shard), segment.first);
    let bytes = match disk.read(&segment.path) {
        Ok(bytes) => bytes,
        Err(Failure::Missing) => Vec::new(),
        Err(failure) => return Err(failure.into()),
    };
    let end = segment.end.map_or(bytes.len(), |end| end.length as usize);
    let end = if setup.bug == Some(Bug::ReplayBehindTheEnd) { bytes.len() } else { end };
    scan.feed(bytes.get(..end).unwrap_or(&bytes));
    Ok(scan.finish())
}

fn blank(setup: Setup, run: RunId, boot: String, generation: u64) -> Manifest {
    Manifest {
        run,
        generation: Generation(generation),
        cut: Epoch(0),
        cut_time: Millis(0),
        durable: Epoch(0),
        boot,
        appendonly: true,
        policy: setup.policy,
        hash: HashId { function: 1, seed: 7 },
        retained: Vec::new(),
        slots: slot::ranges(setup.shards),
        shards: none(setup.shards),
    }
}

fn none(shards: u16) -> Vec<ShardFiles> {
    vec![ShardFiles::default(); usize::from(shards)]
}

/// A shard without keys.
pub fn empty_shard(id: ShardId, manifest: &Manifest) -> Shard {
    let settings =
        Settings { databases: DATABASES, seed: manifest.hash.seed, ..Settings::default() };
    Shard::new(id, Keyspace::new(settings), 11)
}

fn load(
    disk: &mut Disk,
    setup: Setup,
    old: &Manifest,
    plan: &Plan,
    new: &Manifest,
) -> Result<Vec<Shard>, Stop> {
    let count = new.shards.len();
    let mut shards: Vec<Shard> =
        (0..count).map(|at| empty_shard(ShardId(at as u16), new)).collect();
    for (at, (files, part)) in old.shards.iter().zip(&plan.shards).enumerate() {
        let id = ShardId(at as u16);
        let mut beside = empty_shard(id, old);
        if let Some(base) = &files.base {
            load_base(disk, &mut beside, old, base)?;
        }
        let last = part.replay.iter().rposition(|replay| replay.end.length > 0);
        for (number, replay) in part.replay.iter().enumerate() {
            let dropped = (setup.bug == Some(Bug::DropLastRecord) && last == Some(number))
                .then_some(replay.end.next);
            replay_segment(disk, setup, &mut beside, replay, dropped)?;
            if setup.bug == Some(Bug::ReplayTwice) && last == Some(number) {
                replay_segment(disk, setup, &mut beside, replay, dropped)?;
            }
        }
        if old.shards.len() == count {
            beside.resume(Lsn(part.next.0 - 1));
            shards[at] = beside;
        } else {
            hand_over(beside, &mut shards);
        }
    }
    Ok(shards)
}

fn load_base(disk: &mut Disk, shard: &mut Shard, old: &Manifest, base: &Base) -> Result<(), Stop> {
    let header = Header::expected(old, shard.id);
    let expected = header.map(|header| Expected { header, length: base.length, crc: base.crc });
    let mut reader = SnapshotReader::new(base.path.clone(), expected);
    reader.feed(&disk.read(&base.path)?);
    load_items(shard, &mut reader).map_err(Stop::Refused)?;
    reader.finish().map_err(|fault| Stop::Refused(fault.to_string()))?;
    match shard.keys.load_unfinished() {
        0 => Ok(()),
        _ => Err(Stop::Refused(format!("{}: a value is not complete", base.path))),
    }
}

/// Adds what a base holds.
pub(super) fn load_items(shard: &mut Shard, reader: &mut SnapshotReader) -> Result<(), String> {
    let file = FileNumber(shard.id.0);
    while let Some(mut items) = reader.next().map_err(|fault| fault.to_string())? {
        while let Some(item) = items.next().map_err(|fault| fault.to_string())? {
            shard.load_item(file, &item).map_err(|bad| format!("{bad:?}"))?;
        }
    }
    Ok(())
}

fn replay_segment(
    disk: &mut Disk,
    setup: Setup,
    shard: &mut Shard,
    replay: &Replay,
    dropped: Option<Lsn>,
) -> Result<(), Stop> {
    let Replay { path, id, first, end, .. } = replay;
    let mut reader = SegmentReader::new(path.clone(), *id, *first, end.length, Some(end.next));
    reader.feed(&disk.read(path)?);
    loop {
        let record = reader.next().map_err(|fault| Stop::Refused(fault.to_string()))?;
        let Some(record) = record else { break };
        if dropped == Some(record.header().next()) {
            continue;
        }
        let done = match setup.bug {
            Some(Bug::ExpireWhileLoading) => expire_while_loading(shard, record),
            _ => shard.replay_record(record).map(|_| ()).map_err(|bad| format!("{bad:?}")),
        };
        done.map_err(|bad| Stop::Refused(format!("{path}: {bad}")))?;
    }
    reader.finish().map_err(|fault| Stop::Refused(fault.to_string()))
}

/// How it must not be done: every deadline has passed by the clock of the start.
fn expire_while_loading(
    shard: &mut Shard,
    record: crate::persist::segment_scan::Record<'_>,
) -> Result<(), String> {
    let mut pieces = record.into_pieces();
    while let Some(piece) = pieces.next().map_err(|bad| format!("{bad:?}"))? {
        if let Piece::Command(db, args) = piece {
            let command = table::resolve(args).map_err(|error| error.to_string())?;
            let epoch = shard.epoch();
            shard.begin(Millis(1 << 40), epoch);
            let request = Request { command, args, db, proto: Proto::Two, tracker: None };
            shard.run(request, &mut Vec::new());
        }
    }
    Ok(())
}

/// Sorts items by owner.
struct Streams {
    writers: Vec<ChunkWriter>,
    open: HashMap<u64, usize>,
}

impl Sink for Streams {
    fn take(&mut self, item: Item<'_>) {
        let shards = self.writers.len() as u16;
        let owner = match &item {
            Item::Library { .. } => 0,
            Item::Small { key, .. } => shard_of(key, shards).index(),
            Item::Open { id, key, .. } => {
                let owner = shard_of(key, shards).index();
                self.open.insert(*id, owner);
                owner
            }
            Item::Field { id, .. } | Item::Chunk { id, .. } | Item::Close { id } => self.open[id],
        };
        encode(&mut self.writers[owner], item);
    }
}

fn hand_over(mut from: Shard, shards: &mut [Shard]) {
    let header = Header {
        shard: from.id,
        shards: shards.len() as u16,
        generation: Generation(0),
        cut: Epoch(0),
        run: RunId(0),
        hash: HashId::default(),
    };
    let writers = shards.iter().map(|_| ChunkWriter::new(&header)).collect();
    let mut streams = Streams { writers, open: HashMap::new() };
    from.keys.cut();
    while from.keys.snapshot_step(&mut streams, Budget::default()) == Step::More {}
    for (writer, shard) in streams.writers.into_iter().zip(shards) {
        let mut reader = SnapshotReader::new("a shard", None);
        reader.feed(&writer.finish().0);
        assert!(load_items(shard, &mut reader).is_ok(), "a key could not be handed over");
    }
}

impl Machine {
    /// Makes what was loaded the database of this run.
    fn take_over(&mut self, old: Option<(Manifest, Plan)>, used: (u64, u64)) -> Result<(), Stop> {
        self.generation = self.manifest.generation.0.max(used.0);
        for (number, files) in self.segments.iter_mut().zip(&self.manifest.shards) {
            let last = files.segments.iter().map(|segment| segment.number).max();
            *number = last.unwrap_or_default().max(used.1);
        }
        let epoch = old.as_ref().map_or(Epoch(1), |(_, plan)| plan.epoch);
        self.epochs.now = epoch;
        self.durable.fill(Epoch(epoch.0 - 1));
        let (mut other, mut lost) = (false, false);
        if let Some((manifest, plan)) = &old {
            other = manifest.shards.len() != self.cores.len();
            let cuts: Vec<Cut> = plan.shards.iter().flat_map(|s| s.cuts.clone()).collect();
            self.keep_cuts(&cuts)?;
            for replay in plan.shards.iter().flat_map(|shard| &shard.replay) {
                lost |= !self.make_durable(replay)?;
            }
        }
        if other || lost {
            self.begin_save(Present::Replaced);
            while self.save.is_some() {
                self.save_step();
            }
            if self.saved.1 > 0 {
                return Err(Stop::Disk(if self.disk.is_dead() {
                    Failure::Dead
                } else {
                    Failure::Io
                }));
            }
            self.saved = (0, 0);
        } else {
            self.open_logs()?;
        }
        if old.is_some() {
            let _ = self.tidy();
        }
        match self.disk.is_dead() {
            true => Err(Stop::Disk(Failure::Dead)),
            false => Ok(()),
        }
    }

    /// What is kept of a segment; says whether the device has it as it was loaded.
    fn make_durable(&mut self, replay: &Replay) -> Result<bool, Failure> {
        let file = self.disk.open(&replay.path)?;
        let (from, to) = (replay.doubtful as usize, replay.end.length as usize);
        let loaded = self.disk.reclaim(&replay.path, &mut self.prng.clone());
        let bytes = self.disk.read(&replay.path)?;
        if from < to {
            self.disk.write_all(file, from as u64, &bytes[from..to])?;
        }
        self.disk.sync_data(file)?;
        if from >= to
            || self.disk.read_device(&replay.path)?.get(from..to) == loaded.get(from..to)
            || self.has(Bug::TrustRewrite)
        {
            return Ok(true);
        }
        if bytes[..to] != loaded[..to] && !self.has(Bug::TrustPages) {
            return Ok(false);
        }
        self.make_anew(&replay.path, &bytes[..to])?;
        Ok(true)
    }

    /// The same bytes in another file take the place of this one.
    fn make_anew(&mut self, path: &str, bytes: &[u8]) -> Result<(), Failure> {
        let temporary = names::copy_of(path);
        let file = self.disk.replace(&temporary)?;
        self.disk.write_all(file, 0, bytes)?;
        self.disk.sync_data(file)?;
        self.disk.rename(&temporary, path)?;
        self.sync_dir(path.split('/').next().unwrap_or_default())
    }

    fn keep_cuts(&mut self, cuts: &[Cut]) -> Result<(), Failure> {
        if cuts.is_empty() {
            return Ok(());
        }
        self.disk.create_dir(names::LOST_CUT)?;
        for cut in cuts {
            let bytes = self.disk.read(&cut.path)?;
            let file = self.disk.replace(&names::lost(&cut.path, cut.offset))?;
            self.disk.write_all(file, 0, bytes.get(cut.offset as usize..).unwrap_or_default())?;
            self.disk.sync_data(file)?;
        }
        self.sync_dir(names::LOST_CUT)?;
        self.sync_dir("")
    }

    fn open_logs(&mut self) -> Result<(), Failure> {
        let mut manifest = self.manifest.clone();
        let directory = names::directory(manifest.generation);
        self.disk.create_dir(&directory)?;
        self.sync_dir("")?;
        for at in 0..self.cores.len() {
            self.segments[at] += 1;
            let number = self.segments[at];
            let path = names::segment(manifest.generation, ShardId(at as u16), number);
            let file = self.disk.create(&path)?;
            self.cores[at].files.insert(number, file);
            let first = Some(self.cores[at].shard.appended().next());
            let segment = Segment { path, number, run: manifest.run, first, end: None };
            manifest.shards[at].segments.push(segment);
        }
        self.sync_dir(&directory)?;
        self.write_manifest(manifest)?;
        for at in 0..self.cores.len() {
            let id: SegmentId = self.segment_id(at, self.segments[at]);
            let shard = &mut self.cores[at].shard;
            let log = SegmentWriter::new(id, shard.appended(), self.epochs.now);
            shard.open_log(log, promise(self.setup.policy));
        }
        Ok(())
    }

    /// What is there, as the oracle would have it.
    pub fn state(&mut self) -> Model {
        let mut model = Model::default();
        for core in &mut self.cores {
            let keys = &mut core.shard.keys;
            keys.begin(Millis(self.now), Lsn(0));
            for db in (0..DATABASES).map(Db) {
                let mut names = Vec::new();
                let mut cursor = 0;
                loop {
                    let found = &mut |key: &[u8], _| names.push(key.to_vec());
                    cursor = keys.scan(db, cursor, 1000, found);
                    if cursor == 0 {
                        break;
                    }
                }
                for key in names {
                    let mut entry = None;
                    keys.rebuild(db, &key, &mut |words| rebuilt(&mut entry, words));
                    if let Some(entry) = entry {
                        model.keys.insert((db.0, key), entry);
                    }
                }
            }
        }
        model
    }
}

fn rebuilt(entry: &mut Option<Entry>, words: &[&[u8]]) {
    match words {
        [b"SET", _, value] => {
            *entry = Some(Entry { value: Value::Str(value.to_vec()), deadline: None });
        }
        [b"HSET", _, pairs @ ..] => {
            let empty = Entry { value: Value::Hash(Default::default()), deadline: None };
            if let Value::Hash(fields) = &mut entry.get_or_insert(empty).value {
                for pair in pairs.chunks(2) {
                    fields.insert(pair[0].to_vec(), (pair[1].to_vec(), None));
                }
            }
        }
        [b"HPEXPIREAT", _, at, _, _, names @ ..] => {
            let at = std::str::from_utf8(at).unwrap().parse().unwrap();
            if let Some(Entry { value: Value::Hash(fields), .. }) = entry {
                for name in names {
                    fields.get_mut(*name).unwrap().1 = Some(at);
                }
            }
        }
        [b"RPUSH", _, elements @ ..] => {
            let empty = Entry { value: Value::List(Default::default()), deadline: None };
            if let Value::List(list) = &mut entry.get_or_insert(empty).value {
                list.extend(elements.iter().map(|element| element.to_vec()));
            }
        }
        [b"ZADD", _, pairs @ ..] => {
            let empty = Entry { value: Value::Zset(Default::default()), deadline: None };
            if let Value::Zset(members) = &mut entry.get_or_insert(empty).value {
                for pair in pairs.chunks(2) {
                    let score = std::str::from_utf8(pair[0]).unwrap().parse().unwrap();
                    members.insert(pair[1].to_vec(), score);
                }
            }
        }
        [b"PEXPIREAT", _, at] => {
            let at = std::str::from_utf8(at).unwrap().parse().unwrap();
            if let Some(entry) = entry {
                entry.deadline = Some(at);
            }
        }
        other => panic!("not a rebuilding command: {other:?}"),
    }
}
