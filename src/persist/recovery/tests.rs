//! Tests of recovery: every input has one row.

use super::*;
use crate::base::ids::{Generation, SlotRange, TxId};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::persist::manifest::{HashId, Segment, ShardFiles};
use crate::persist::record::{LINE, RunId};
use crate::persist::segment::{SegmentWriter, Stamp};
use crate::persist::segment_scan::tests::{Step, bytes_of};
use crate::persist::segment_scan::{SegmentReader, SegmentScan};
use crate::persist::shard_set::ShardSet;
use crate::resp::args::OwnedArgs;

const BOOT: &str = "boot-1";

/// A data directory in memory: a manifest and the bytes of segments.
#[derive(Clone)]
struct Disk {
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

fn manifest(shards: u16) -> Manifest {
    let each = 16384 / shards;
    let slots = (0..shards).map(|shard| SlotRange {
        first: shard * each,
        last: if shard + 1 == shards { 16383 } else { (shard + 1) * each - 1 },
        shard: ShardId(shard),
    });
    Manifest {
        run: RunId(99),
        generation: Generation(1),
        cut: Epoch(0),
        cut_time: Millis(0),
        durable: Epoch(0),
        boot: BOOT.into(),
        appendonly: true,
        policy: Policy::EverySecond,
        hash: HashId::default(),
        retained: vec![],
        slots: slots.collect(),
        shards: vec![ShardFiles::default(); usize::from(shards)],
    }
}

fn add_segment(disk: &mut Disk, shard: u16, number: u64, bytes: Vec<u8>) -> SegmentId {
    let path = names::segment(Generation(1), ShardId(shard), number);
    let files = &mut disk.manifest.shards[usize::from(shard)];
    let first = match files.segments.last() {
        None => Some(files.after.next()),
        Some(last) => last.end.map(|end| end.next),
    };
    let run = RunId(99);
    files.segments.push(Segment { path: path.clone(), number, run, first, end: None });
    disk.files.insert(path, bytes);
    SegmentId { run, shard: ShardId(shard), number }
}

/// A directory in which each shard has one segment (number 7) made of these steps.
fn disk(policy: Policy, synced: bool, steps: &[&[Step]]) -> Disk {
    let mut disk = Disk { manifest: manifest(steps.len() as u16), files: BTreeMap::new() };
    for (shard, steps) in steps.iter().enumerate() {
        let id = SegmentId { run: RunId(99), shard: ShardId(shard as u16), number: 7 };
        add_segment(&mut disk, shard as u16, 7, bytes_of(id, policy, synced, steps));
    }
    disk
}

impl Disk {
    fn file(&mut self, shard: u16, number: u64) -> &mut Vec<u8> {
        self.files.get_mut(&names::segment(Generation(1), ShardId(shard), number)).unwrap()
    }

    fn scans(&self) -> Vec<Vec<Scanned>> {
        let scan = |(shard, files): (usize, &ShardFiles)| {
            let scan = |segment: &Segment| {
                let mut scan = SegmentScan::new(segment.id(ShardId(shard as u16)), segment.first);
                let bytes = self.files.get(&segment.path).map(Vec::as_slice).unwrap_or_default();
                let end = segment.end.map_or(u64::MAX, |end| end.length).min(bytes.len() as u64);
                bytes[..end as usize].chunks(777).for_each(|block| scan.feed(block));
                scan.finish()
            };
            files.segments.iter().map(scan).collect()
        };
        self.manifest.shards.iter().enumerate().map(scan).collect()
    }

    fn plan(&self, boot: &str, mode: Mode) -> Result<Plan, Refusal> {
        let mut listing: BTreeMap<_, _> =
            self.files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
        listing.insert("MANIFEST".into(), 1);
        let scans = self.scans();
        let facts =
            Facts { manifest: &self.manifest, listing: &listing, boot, mode, scans: &scans };
        plan(&facts)
    }

    /// Replays by the plan: the keys that each shard gets, and a check of what the plan says.
    fn replay(&self, plan: &Plan) -> Vec<Vec<String>> {
        let mut all = Vec::new();
        for shard in &plan.shards {
            let (mut keys, mut next) = (Vec::new(), None);
            for Replay { path, id, first, end, .. } in &shard.replay {
                assert!(next.is_none_or(|next| next == *first), "{shard:?}");
                let end_lsn = Some(end.next);
                let mut reader =
                    SegmentReader::new(path.as_str(), *id, *first, end.length, end_lsn);
                self.files[path].chunks(1000).for_each(|block| {
                    reader.feed(block);
                    while let Some(record) = reader.next().unwrap() {
                        let epoch = record.header().epoch.0;
                        let mut pieces = record.into_pieces();
                        while let Some(piece) = pieces.next().unwrap() {
                            if let crate::persist::payload::Piece::Command(_, args) = piece {
                                let key = std::str::from_utf8(args.at(1)).unwrap();
                                keys.push(format!("{key}@{epoch}"));
                            }
                        }
                    }
                });
                reader.finish().unwrap();
                next = Some(end.next);
            }
            assert_eq!(next.unwrap_or(shard.next), shard.next);
            all.push(keys);
        }
        all
    }

    /// What a start does with the plan: the new manifest, a new segment for each shard.
    fn recovered(&self, plan: &Plan, run: u128, number: u64) -> (Disk, Vec<SegmentWriter>) {
        let mut next = Disk { manifest: plan.manifest(&self.manifest), files: self.files.clone() };
        let mut writers = Vec::new();
        for (shard, plan_of) in plan.shards.iter().enumerate() {
            let id = add_segment(&mut next, shard as u16, number, Vec::new());
            let id = SegmentId { run: RunId(run), ..id };
            next.manifest.shards[shard].segments.last_mut().unwrap().run = RunId(run);
            writers.push(SegmentWriter::new(id, Lsn(plan_of.next.0 - 1), plan.epoch));
        }
        let text = next.manifest.encode();
        assert_eq!(Manifest::parse("MANIFEST", &text).as_ref(), Ok(&next.manifest));
        (next, writers)
    }
}

fn rows(plan: &Result<Plan, Refusal>) -> Vec<Row> {
    match plan {
        Ok(plan) => plan.shards.iter().flat_map(|s| s.cuts.iter().map(|cut| cut.row)).collect(),
        Err(refusal) => vec![refusal.row],
    }
}

const AUTO: Mode = Mode::Auto;
use Row::{A, B, C, D, E, F, G, H, I, J, K, L};
use Step::{Commit, Set, Tx};

#[test]
fn the_table_of_endings() {
    let mut seen = Vec::new();
    for origin in [Origin::SameBoot, Origin::OtherBoot] {
        for ending in [Ending::Clean, Ending::Torn, Ending::Changed, Ending::Gap] {
            for proven in [false, true] {
                let row = tail_row(origin, ending, proven);
                // What was durable is never given up; without a power cut neither gap nor change.
                assert_eq!(proven, row == I);
                let damaged = matches!(ending, Ending::Gap | Ending::Changed);
                assert_eq!(row == G, !proven && damaged && origin == Origin::SameBoot);
                assert_eq!(row == D, !proven && ending == Ending::Clean);
                seen.push(row);
            }
        }
    }
    assert_eq!(seen, [D, I, E, I, G, I, G, I, D, I, F, I, F, I, H, I]);
}

#[test]
fn a_clean_log_is_kept_and_a_torn_tail_is_cut() {
    for (boot, mode, row) in
        [(BOOT, AUTO, E), ("boot-2", AUTO, F), (BOOT, Mode::Strict, F), ("", AUTO, F)]
    {
        let whole = disk(Policy::No, false, &[&[Set(1), Set(2), Set(9)]]);
        let plan = whole.plan(boot, mode).unwrap();
        assert_eq!(whole.replay(&plan), [["key0@1", "key1@2", "key2@9"]]);
        assert_eq!((plan.complete, plan.epoch, rows(&Ok(plan.clone()))), (None, Epoch(10), vec![]));
        let mut torn = whole.clone();
        let len = torn.file(0, 7).len();
        torn.file(0, 7).truncate(len - 1);
        let plan = torn.plan(boot, mode);
        assert_eq!(rows(&plan), [row]);
        let plan = plan.unwrap();
        assert_eq!(torn.replay(&plan), [["key0@1", "key1@2"]]);
        assert_eq!((plan.shards[0].next, plan.shards[0].cuts[0].lsn), (Lsn(3), Lsn(3)));
        let text = plan.shards[0].cuts[0].to_string();
        assert!(text.contains("000001/shard-000.000007.aof cut at byte "), "{text}");
    }
}

#[test]
fn an_unknown_boot_is_never_the_same_boot() {
    let mut whole = disk(Policy::No, false, &[&[Set(1)]]);
    whole.manifest.boot = String::new();
    assert_eq!(whole.plan("", AUTO).unwrap().origin, Origin::OtherBoot);
}

#[test]
fn damage_is_told_from_a_torn_tail() {
    let steps: &[Step] = &[Set(1), Set(2), Set(3), Set(4)];
    for (synced, at, boot, row) in [
        // Every record says that the one before it was synced: all but the last are proven.
        (true, 0, BOOT, I),
        (true, 0, "boot-2", I),
        (true, 2, "boot-2", I),
        // A write that was interrupted leaves a beginning of what was written: no changed bit.
        (true, 3, BOOT, G),
        (true, 3, "boot-2", F),
        (false, 1, BOOT, G),
        (false, 1, "boot-2", H),
    ] {
        let mut bad = disk(Policy::EverySecond, synced, &[steps]);
        let len = bad.file(0, 7).len() / 4;
        bad.file(0, 7)[at * len + len / 2 + 40] ^= 1;
        let plan = bad.plan(boot, AUTO);
        assert_eq!(rows(&plan), [row], "{synced} {at} {boot}");
        match plan {
            Ok(plan) => assert_eq!(bad.replay(&plan)[0].len(), at),
            Err(refusal) => {
                let text = refusal.to_string();
                assert!(text.contains("000001/shard-000.000007.aof: at byte "), "{text}");
            }
        }
    }
    // The other shard knows that epoch 3 was durable everywhere; here its record is torn, with
    // a header that is whole.
    let mut bad = disk(Policy::EverySecond, false, &[&[Set(1), Set(3)], &[Set(4), Commit(3)]]);
    let len = bad.file(0, 7).len();
    bad.file(0, 7).truncate(len - 2);
    assert_eq!(rows(&bad.plan("boot-2", AUTO)), [I]);
}

#[test]
fn a_power_cut_keeps_the_epochs_that_are_complete_everywhere() {
    // Shard 1 lost what came after epoch 4, so that only epoch 3 is complete; and with a commit
    // record that says 4 was durable everywhere, 4 is.
    let a: &[Step] = &[Set(1), Set(3), Set(4), Set(6)];
    let b: &[Step] = &[Set(2), Set(4)];
    let d = disk(Policy::EverySecond, false, &[a, b]);
    let plan = d.plan("boot-2", AUTO).unwrap();
    assert_eq!((plan.complete, plan.epoch), (Some(Epoch(3)), Epoch(7)));
    assert_eq!(d.replay(&plan), [vec!["key0@1", "key1@3"], vec!["key0@2"]]);
    assert_eq!(rows(&Ok(plan)), [K, K]);
    let same = d.plan(BOOT, AUTO).unwrap();
    assert_eq!((same.complete, d.replay(&same)[0].len()), (None, 4));
    let known = [a, &[Commit(4)]].concat();
    let d = disk(Policy::EverySecond, false, &[&known, b]);
    let plan = d.plan("boot-2", AUTO).unwrap();
    assert_eq!(plan.complete, Some(Epoch(4)));
    assert_eq!(d.replay(&plan), [vec!["key0@1", "key1@3", "key2@4"], vec!["key0@2", "key1@4"]]);
    // A figure behind a gap is as true as any.
    let mut gap = d.clone();
    let at = gap.file(0, 7).len() - LINE - 20;
    gap.file(0, 7)[at] ^= 1;
    let plan = gap.plan("boot-2", AUTO).unwrap();
    assert_eq!((plan.complete, rows(&Ok(plan.clone()))), (Some(Epoch(4)), vec![H]));
    // And the manifest's.
    let mut old = disk(Policy::EverySecond, false, &[a, b]);
    old.manifest.durable = Epoch(6);
    assert_eq!(old.plan("boot-2", AUTO).unwrap().complete, Some(Epoch(6)));
}

/// Shard 0 with a segment of one record for each epoch, switched without a sync to a second one
/// with one record in epoch 8; of the first only `keep` records reached the device. Shard 1 beside
/// it.
fn switched(epochs: &[u64], keep: usize) -> Disk {
    let mut d = disk(Policy::EverySecond, false, &[&[], &[Set(5), Set(9)]]);
    let set = OwnedArgs::of(&[b"SET", b"k", b"v"]);
    let id = SegmentId { run: RunId(99), shard: ShardId(0), number: 7 };
    let mut writer = SegmentWriter::new(id, Lsn(0), Epoch(1));
    for (i, epoch) in epochs.iter().enumerate() {
        writer.stamp(Epoch(*epoch));
        writer.append(crate::base::ids::Db(0), set.args());
        let bytes = sealed(&mut writer, Policy::EverySecond, 0);
        if i < keep {
            d.file(0, 7).extend_from_slice(&bytes);
        }
    }
    let next = add_segment(&mut d, 0, 8, Vec::new());
    writer.stamp(Epoch(8));
    let stamp = Stamp { durable: Epoch(0), now: Millis(0), policy: Policy::EverySecond };
    writer.switch(next, stamp);
    writer.append(crate::base::ids::Db(0), set.args());
    *d.file(0, 8) = sealed(&mut writer, Policy::EverySecond, 0);
    d
}

#[test]
fn a_segment_behind_a_gap_does_not_vouch_for_its_shard() {
    // Two records of epoch 2 are lost between the segments: complete is epoch 1, not 7.
    let d = switched(&[1, 2, 2, 2], 2);
    let plan = d.plan("boot-2", AUTO).unwrap();
    assert_eq!(plan.complete, Some(Epoch(1)));
    assert_eq!(d.replay(&plan), [vec!["k@1"], vec![]]);
    assert_eq!(rows(&Ok(plan)), [H, K, K]);
    assert_eq!(rows(&d.plan(BOOT, AUTO)), [G]);
    let whole = switched(&[1, 2, 2, 2], 4);
    let plan = whole.plan(BOOT, AUTO).unwrap();
    assert_eq!(whole.replay(&plan)[0].len(), 5);
}

fn sealed(writer: &mut SegmentWriter, policy: Policy, durable: u64) -> Vec<u8> {
    writer.seal(Stamp { durable: Epoch(durable), now: Millis(0), policy });
    let job = writer.take_write().unwrap();
    let bytes = job.bytes().to_vec();
    writer.wrote(job, bytes.len());
    bytes
}

#[test]
fn what_is_flagged_always_is_kept_as_far_as_it_is_valid() {
    let d = disk(Policy::Always, true, &[&[Set(1), Set(9)], &[Set(1)]]);
    let plan = d.plan("boot-2", AUTO).unwrap();
    assert_eq!((plan.complete, rows(&Ok(plan.clone()))), (Some(Epoch(0)), vec![]));
    assert_eq!(d.replay(&plan), [vec!["key0@1", "key1@9"], vec!["key0@1"]]);
    // Switched from always to everysec: kept up to the first record that is not flagged.
    let id = SegmentId { run: RunId(99), shard: ShardId(0), number: 7 };
    let mut writer = SegmentWriter::new(id, Lsn(0), Epoch(5));
    let mut bytes = Vec::new();
    for policy in [Policy::Always, Policy::Always, Policy::No, Policy::Always] {
        writer.append(crate::base::ids::Db(0), OwnedArgs::of(&[b"SET", b"k", b"v"]).args());
        bytes.extend_from_slice(&sealed(&mut writer, policy, 0));
    }
    let mut d = disk(Policy::Always, true, &[&[], &[Set(1)]]);
    *d.file(0, 7) = bytes;
    let plan = d.plan("boot-2", AUTO).unwrap();
    assert_eq!((d.replay(&plan)[0].len(), rows(&Ok(plan))), (2, vec![K]));
}

#[test]
fn transactions_are_whole_or_gone_and_so_is_what_followed() {
    for (a, b, kept, cuts) in [
        // Both parts are there.
        (&[Set(1), Tx(5, 2), Set(2)][..], &[Tx(5, 2)][..], [3, 1], vec![]),
        // The second participant lacks it: what followed at the first goes too.
        (&[Set(1), Tx(5, 2), Set(2)], &[Set(1)], [1, 1], vec![L]),
        // A chain: dropping 5 at the first drops 6 there, so the second must drop 6 and 7.
        (&[Tx(5, 2), Tx(6, 2)], &[Set(2), Tx(6, 2), Set(2), Tx(7, 2)], [0, 1], vec![L, L]),
        // Durable everywhere is whole everywhere, whatever the scan of the other still lists.
        (&[Tx(5, 2), Set(3)], &[Tx(5, 2), Set(3), Commit(2)], [2, 2], vec![]),
        (&[Tx(9, 2), Set(3)], &[Set(3), Commit(2)], [2, 1], vec![]),
    ] {
        for boot in [BOOT, "boot-2"] {
            let d = disk(Policy::Always, false, &[a, b]);
            let plan = d.plan(boot, AUTO).unwrap();
            let found = d.replay(&plan).iter().map(Vec::len).collect::<Vec<_>>();
            assert_eq!((found, rows(&Ok(plan))), (kept.to_vec(), cuts.clone()), "{a:?} {b:?}");
        }
    }
}

#[test]
fn segments_follow_each_other_or_the_log_is_refused() {
    // A writer that begins behind an lsn says by its figures that all up to it is durable.
    for (last, row) in [(2, vec![]), (3, vec![I]), (1, vec![J])] {
        let mut d = disk(Policy::EverySecond, true, &[&[Set(1), Set(2)]]);
        let id = add_segment(&mut d, 0, 9, Vec::new());
        let mut writer = SegmentWriter::new(id, Lsn(last), Epoch(3));
        writer.append(crate::base::ids::Db(0), OwnedArgs::of(&[b"SET", b"k", b"v"]).args());
        *d.file(0, 9) = sealed(&mut writer, Policy::EverySecond, 0);
        for boot in [BOOT, "boot-2"] {
            let plan = d.plan(boot, AUTO);
            assert_eq!(rows(&plan), row, "last {last}");
            assert!(plan.is_err() || d.replay(&plan.unwrap())[0].len() == 3);
        }
    }
}

#[test]
fn missing_short_and_foreign_files() {
    let whole = disk(Policy::No, false, &[&[Set(1), Set(2)]]);
    let path = "000001/shard-000.000007.aof";
    let mut missing = whole.clone();
    missing.files.remove(path);
    assert_eq!(rows(&missing.plan(BOOT, AUTO)), [A]);
    let (length, next) = (whole.files[path].len() as u64, Lsn(3));
    for (end, cut, row) in [
        (End { length, next }, 0, vec![]),
        (End { length, next }, 1, vec![C]),
        (End { length, next: Lsn(4) }, 0, vec![I]),
        (End { length: length - 5, next }, 0, vec![I]),
    ] {
        let mut closed = whole.clone();
        closed.manifest.shards[0].segments[0].end = Some(end);
        closed.file(0, 7).truncate(length as usize - cut);
        for boot in [BOOT, "boot-2"] {
            assert_eq!(rows(&closed.plan(boot, AUTO)), row, "{end:?} {cut}");
        }
        // Bytes behind the end of a closed segment are not the database.
        closed.file(0, 7).extend_from_slice(b"stale");
        let plan = closed.plan(BOOT, AUTO);
        assert_eq!(plan.is_ok(), row.is_empty() || cut == 1 && plan.is_ok());
    }
    let mut based = whole.clone();
    based.manifest.shards[0].base = Some(crate::persist::manifest::Base {
        path: "000001/shard-000.snapshot".into(),
        run: RunId(1),
        length: 10,
        crc: 0,
        entries: Default::default(),
    });
    for (length, row) in
        [(None, vec![A]), (Some(9), vec![B]), (Some(11), vec![B]), (Some(10), vec![])]
    {
        let mut based = based.clone();
        if let Some(length) = length {
            based.files.insert("000001/shard-000.snapshot".into(), vec![0; length]);
        }
        assert_eq!(rows(&based.plan(BOOT, AUTO)), row, "{length:?}");
    }
    let mut extra = whole;
    for path in ["notes.txt", "000002/shard-000.snapshot", "MANIFEST.tmp"] {
        extra.files.insert(path.into(), vec![1]);
    }
    let plan = extra.plan(BOOT, AUTO).unwrap();
    assert_eq!(plan.garbage, ["000002/shard-000.snapshot", "MANIFEST.tmp"]);
    assert_eq!(plan.foreign, ["notes.txt"]);
}

#[test]
fn without_a_manifest_data_is_never_touched() {
    let listing = |paths: &[(&str, u64)]| {
        paths.iter().map(|(path, len)| (path.to_string(), *len)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(plan_new(&listing(&[])), Ok((vec![], vec![])));
    let begun = [
        ("LOCK", 0),
        ("MANIFEST.tmp", 7),
        ("000001", 0),
        ("000001/shard-000.000001.aof", 0),
        ("dump.rdb", 9),
    ];
    let (garbage, foreign) = plan_new(&listing(&begun)).unwrap();
    assert_eq!(
        (garbage, foreign),
        (vec!["MANIFEST.tmp".to_string()], vec!["dump.rdb".to_string()])
    );
    for path in ["000001/shard-000.000001.aof", "000009/shard-003.snapshot"] {
        let refusal = plan_new(&listing(&[(path, 1)])).unwrap_err();
        assert!(refusal.to_string().contains(path), "{refusal}");
        // Beside the mark of an import it is the rest of one that died.
        let (garbage, _) = plan_new(&listing(&[(path, 1), ("IMPORT", 0)])).unwrap();
        assert_eq!(garbage, [path]);
    }
}

/// One operation of a made-up history: where, in which epoch, as part of which transaction.
struct Op {
    shard: usize,
    epoch: u64,
    tx: Option<u64>,
    key: String,
}

/// Random histories over shards, crashes that keep what was synced and some of the rest, recovery,
/// and the same again on top: what is kept is a prefix with whole transactions, what was durable
/// is there, and the second recovery of an untouched directory changes nothing.
#[test]
fn random_crashes_leave_a_prefix_twice() {
    for seed in 0..1_500 {
        let mut prng = Prng::new(seed);
        let shards = 1 + prng.below(4) as usize;
        let policy = Policy::ALL[prng.below(3) as usize];
        let mut d = Disk { manifest: manifest(shards as u16), files: BTreeMap::new() };
        d.manifest.boot = "boot-0".into();
        let mut writers: Vec<SegmentWriter> = (0..shards)
            .map(|shard| {
                let id = add_segment(&mut d, shard as u16, 1, Vec::new());
                SegmentWriter::new(id, Lsn(0), Epoch(1))
            })
            .collect();
        let (mut epoch, mut expected) = (1, vec![Vec::<String>::new(); shards]);
        for round in 0..3u64 {
            let power = prng.chance(1, 2);
            let (ops, synced) = drive(&mut d, &mut writers, &mut prng, (round, epoch, policy));
            crash(&mut d, &synced, &mut prng, power);
            let boot = if power { format!("boot-{}", round + 1) } else { d.manifest.boot.clone() };
            let plan = d.plan(&boot, AUTO).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
            let kept = d.replay(&plan);
            check(&kept, &expected, &ops, power && policy != Policy::Always, seed);
            for (shard, (durable, _)) in synced.iter().enumerate() {
                let must = expected[shard].len() as u64 + durable;
                // What was durable on its shard may only go with an incomplete epoch or
                // transaction.
                let whole = shards == 1;
                assert!(!whole || kept[shard].len() as u64 >= must, "seed {seed} shard {shard}");
            }
            // Killed before the new manifest was there: the same plan.
            assert_eq!(d.plan(&boot, AUTO).as_ref(), Ok(&plan), "seed {seed}");
            let (mut next, fresh) = d.recovered(&plan, 100 + u128::from(round), round + 2);
            next.manifest.boot = boot.clone();
            for boot in [boot.as_str(), "another"] {
                let again = next.plan(boot, AUTO).unwrap_or_else(|why| panic!("{seed}: {why}"));
                assert_eq!(next.replay(&again), kept, "seed {seed}");
                assert_eq!(rows(&Ok(again)), [], "seed {seed}");
            }
            epoch = plan.epoch.0;
            (d, writers, expected) = (next, fresh, kept);
        }
    }
}

/// Appends to all shards at random. Gives the operations in order, and by shard how many units and
/// bytes of the last segment are synced.
fn drive(
    d: &mut Disk,
    writers: &mut [SegmentWriter],
    prng: &mut Prng,
    (round, from, policy): (u64, u64, Policy),
) -> (Vec<Op>, Vec<(u64, usize)>) {
    let shards = writers.len();
    let (mut ops, mut epoch) = (Vec::new(), from);
    let mut synced = vec![(0, 0); shards];
    let starts: Vec<u64> = writers.iter().map(|writer| writer.appended().0).collect();
    for i in 0..prng.below(30) {
        epoch += prng.below(2);
        writers.iter_mut().for_each(|writer| writer.stamp(Epoch(epoch)));
        let key = format!("{round}-{i}");
        let set = OwnedArgs::of(&[b"SET", key.as_bytes(), b"v"]);
        let tx = prng.chance(1, 4) && shards > 1;
        let mut members: Vec<usize> = (0..shards).filter(|_| prng.chance(1, 2)).collect();
        if !tx || members.is_empty() {
            members = vec![prng.below(shards as u64) as usize];
        }
        let set_of = members.iter().map(|m| ShardId(*m as u16)).collect::<Vec<_>>();
        for shard in &members {
            let effect = (crate::base::ids::Db(0), set.args());
            if tx {
                writers[*shard].append_transaction(TxId(i), ShardSet::of(&set_of), [effect]);
            } else {
                writers[*shard].append(effect.0, effect.1);
            }
            let tx = tx.then_some(i);
            ops.push(Op { shard: *shard, epoch, tx, key: format!("{key}@{epoch}") });
        }
        for (shard, writer) in writers.iter_mut().enumerate() {
            let durable = 0;
            if prng.chance(1, 2) && writer.pending() > 0 {
                let bytes = sealed(writer, policy, durable);
                let number = writer.id().number;
                d.file(shard as u16, number).extend_from_slice(&bytes);
                if prng.chance(1, 2) || policy == Policy::Always {
                    let sync = writer.take_sync().unwrap();
                    writer.synced(sync);
                    let len = d.file(shard as u16, number).len();
                    synced[shard] = (writer.durable().0 - starts[shard], len);
                }
            }
        }
        // A commit record with the figure that is true at this moment.
        if prng.chance(1, 6) {
            let durable = writers.iter().map(|w| w.durable_epoch().0).min().unwrap();
            writers[0].append_commit();
            let bytes = sealed(&mut writers[0], policy, durable);
            let number = writers[0].id().number;
            d.file(0, number).extend_from_slice(&bytes);
        }
    }
    (ops, synced)
}

/// What was not synced is lost in part: none, some, or torn at any byte; with a power cut also
/// with holes.
fn crash(d: &mut Disk, synced: &[(u64, usize)], prng: &mut Prng, power: bool) {
    for (shard, (_, kept)) in synced.iter().enumerate() {
        let number = d.manifest.shards[shard].segments.last().unwrap().number;
        let file = d.file(shard as u16, number);
        if !power {
            // The process died: all that was written is there, but for the end of the last write.
            continue;
        }
        let tail = (file.len() - kept) as u64;
        match prng.below(4) {
            0 => {}
            1 => file.truncate(kept + prng.below(tail + 1) as usize),
            2 => file[kept + prng.below(tail + 1) as usize..].fill(0),
            _ if tail > 0 => {
                let at = kept + prng.below(tail) as usize;
                let end = (at + 1 + prng.below(300) as usize).min(file.len());
                file[at..end].fill(0);
            }
            _ => {}
        }
    }
}

fn check(kept: &[Vec<String>], before: &[Vec<String>], ops: &[Op], by_epoch: bool, seed: u64) {
    let mut fate = Vec::new();
    for (shard, kept) in kept.iter().enumerate() {
        let mut all = before[shard].clone();
        all.extend(ops.iter().filter(|op| op.shard == shard).map(|op| op.key.clone()));
        assert!(all.starts_with(kept), "seed {seed}: not a prefix: {kept:?} of {all:?}");
        assert!(kept.len() >= before[shard].len(), "seed {seed}: what was recovered is lost");
    }
    for op in ops {
        fate.push((op, kept[op.shard].contains(&op.key)));
    }
    for (lost, _) in fate.iter().filter(|(_, kept)| !kept) {
        for (op, _) in fate.iter().filter(|(_, kept)| *kept) {
            assert!(lost.tx.is_none() || lost.tx != op.tx, "seed {seed}: torn transaction");
            let prefix = !by_epoch || kept.len() == 1 || op.epoch < lost.epoch;
            assert!(prefix, "seed {seed}: {} kept without {}", op.key, lost.key);
        }
    }
}
