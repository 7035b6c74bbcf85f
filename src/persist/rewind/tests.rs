//! Tests of points in time, over logs as the writer makes them.

use super::*;
use crate::base::ids::Generation;
use crate::persist::manifest::{Segment, tests::example};
use crate::persist::payload::put_group;
use crate::persist::record::{Policy, SegmentId};
use crate::persist::segment::{SegmentWriter, Stamp};
use crate::persist::segment_scan::{SegmentReader, SegmentScan};
use crate::persist::shard_set::ShardSet;
use crate::resp::args::OwnedArgs;

/// What one record of a log holds, and its epoch. It is sealed at the epoch times ten.
enum Put {
    /// `SET name v`, each a unit.
    Sets(u64, &'static [&'static str]),
    /// `FLUSHALL` as a transaction over these shards.
    Flush(u64, &'static [u16]),
}

use Put::{Flush, Sets};

fn log(id: SegmentId, puts: &[Put]) -> Vec<u8> {
    let mut writer = SegmentWriter::new(id, Lsn(0), Epoch(1));
    let mut file = Vec::new();
    for put in puts {
        let (Sets(epoch, _) | Flush(epoch, _)) = put;
        writer.stamp(Epoch(*epoch));
        match put {
            Sets(_, names) => {
                for name in *names {
                    writer.append(Db(0), OwnedArgs::of(&[b"SET", name.as_bytes(), b"v"]).args());
                }
            }
            Flush(_, shards) => {
                let shards: Vec<ShardId> = shards.iter().copied().map(ShardId).collect();
                let all = ShardSet::of(&shards);
                let flush = OwnedArgs::of(&[b"flushall"]);
                writer.append_transaction(TxId(*epoch), all, [(Db(0), flush.args())]);
            }
        }
        let now = Millis(epoch * 10);
        writer.seal(Stamp { durable: Epoch(0), now, policy: Policy::EverySecond });
        let job = writer.take_write().unwrap();
        file.extend_from_slice(job.bytes());
        let n = job.bytes().len();
        writer.wrote(job, n);
    }
    file
}

/// A manifest with one open segment for each log.
fn manifest(shards: usize) -> Manifest {
    let mut manifest = example();
    let files = manifest.shards[1].clone();
    manifest.cut = Epoch(0);
    manifest.shards = Vec::new();
    for shard in 0..shards {
        let path = format!("000042/shard-{shard:03}.000003.aof");
        let segment = Segment { path, ..files.segments[0].clone() };
        let files =
            crate::persist::manifest::ShardFiles { segments: vec![segment], ..files.clone() };
        manifest.shards.push(files);
    }
    let last = ShardId(shards as u16 - 1);
    manifest.slots = vec![crate::base::ids::SlotRange { first: 0, last: 16383, shard: last }];
    manifest
}

fn id(shard: usize) -> SegmentId {
    manifest(shard + 1).shards[shard].segments[0].id(ShardId(shard as u16))
}

fn records(shard: usize, bytes: &[u8], mut each: impl FnMut(Record<'_>)) {
    let mut reader = SegmentReader::new("f", id(shard), Lsn(1), bytes.len() as u64, None);
    reader.feed(bytes);
    while let Some(record) = reader.next().unwrap() {
        each(record);
    }
}

/// The names that are kept, by shard.
fn kept(target: &Target, logs: &[&[Put]]) -> Option<Vec<Vec<String>>> {
    let files: Vec<_> = logs.iter().enumerate().map(|(i, puts)| log(id(i), puts)).collect();
    let mut survey = Survey::default();
    for (shard, bytes) in files.iter().enumerate() {
        let shard_id = ShardId(shard as u16);
        records(shard, bytes, |record| survey.look(target, shard_id, record).unwrap());
    }
    let bound = survey.bound(target, logs.len())?;
    Some(names_within(bound, &files))
}

fn names_within(bound: Bound, files: &[Vec<u8>]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for (shard, bytes) in files.iter().enumerate() {
        let (mut names, mut ended) = (Vec::new(), false);
        records(shard, bytes, |record| {
            let (header, payload) = (*record.header(), record.payload());
            let verdict = verdict(bound, &header, payload);
            let mut left = match verdict {
                _ if ended => 0,
                Verdict::Keep => u64::MAX,
                Verdict::End => 0,
                Verdict::Split(units) => units,
            };
            ended |= verdict != Verdict::Keep;
            let mut pieces = record.into_pieces();
            while let Some(piece) = pieces.next().unwrap() {
                if let Piece::Command(_, args) = piece
                    && left > 0
                {
                    let name = args.get(1).unwrap_or(args.at(0));
                    names.push(String::from_utf8(name.to_vec()).unwrap());
                    left -= 1;
                }
            }
        });
        all.push(names);
    }
    all
}

fn before(words: &str) -> Target {
    Target::Before(Pattern::parse(words).unwrap(), None)
}

#[test]
fn one_shard_ends_anywhere() {
    let puts: &[Put] = &[Sets(1, &["a", "b"]), Sets(2, &["c", "d", "e"]), Sets(3, &["d", "f"])];
    for (target, expected) in [
        (before("set d"), "a b c d e"),
        (before("SET d v"), "a b c d e"),
        (before("SET e"), "a b c d"),
        (before("SET c"), "a b"),
        (before("SET a"), ""),
        (Target::Before(Pattern::parse("SET d").unwrap(), Some(Millis(20))), "a b c"),
        (Target::Until(Millis(19)), "a b"),
        (Target::Until(Millis(20)), "a b c d e"),
        (Target::Until(Millis(9)), ""),
        (Target::Until(Millis(1000)), "a b c d e d f"),
        (Target::Epoch(Epoch(2)), "a b c d e"),
    ] {
        let kept = kept(&target, &[puts]).unwrap();
        assert_eq!(kept[0].join(" "), expected, "{target:?}");
    }
    assert_eq!(kept(&before("SET x"), &[puts]), None);
    assert_eq!(kept(&before("SET d w"), &[puts]), None);
}

#[test]
fn several_shards_end_at_one_moment() {
    let first: &[Put] = &[Sets(1, &["a"]), Sets(3, &["b"]), Flush(3, &[0, 1]), Sets(3, &["c"])];
    let second: &[Put] = &[Sets(2, &["x"]), Flush(3, &[0, 1]), Sets(4, &["y"]), Sets(5, &["z"])];
    for (target, expected) in [
        // Before its parts, wherever in their epoch they are.
        (before("FLUSHALL"), ["a b", "x"]),
        // A command of one shard: before its epoch.
        (before("SET c"), ["a", "x"]),
        (before("SET z"), ["a b flushall c", "x flushall y"]),
        (Target::Until(Millis(30)), ["a b flushall c", "x flushall"]),
        (Target::Until(Millis(29)), ["a", "x"]),
        (Target::Until(Millis(10)), ["a", ""]),
        (Target::Until(Millis(99)), ["a b flushall c", "x flushall y z"]),
        (Target::Epoch(Epoch(4)), ["a b flushall c", "x flushall y"]),
    ] {
        let kept = kept(&target, &[first, second]).unwrap();
        let kept: Vec<String> = kept.iter().map(|names| names.join(" ")).collect();
        assert_eq!(kept, expected, "{target:?}");
    }
    // A transaction of some of the shards only: before its epoch.
    let some: &[Put] = &[Sets(1, &["a"]), Sets(2, &["b"]), Flush(2, &[0, 1])];
    let third: &[Put] = &[Sets(1, &["m"]), Sets(2, &["n"])];
    let kept = kept(&before("FLUSHALL"), &[some, some, third]).unwrap();
    assert_eq!(kept, [["a"], ["a"], ["m"]]);
}

#[test]
fn the_youngest_generation_that_is_old_enough_is_taken() {
    let generation = |number, cut, time| Manifest {
        generation: Generation(number),
        cut: Epoch(cut),
        cut_time: Millis(time),
        ..example()
    };
    let all = [generation(9, 90, 900), generation(8, 80, 800), generation(7, 70, 700)];
    for (target, expected) in [
        (Target::Until(Millis(5000)), vec![0]),
        (Target::Until(Millis(899)), vec![1]),
        (Target::Until(Millis(700)), vec![2]),
        (Target::Until(Millis(699)), vec![]),
        // The base of a generation is the moment at the end of the epoch before its cut.
        (Target::Epoch(Epoch(89)), vec![0]),
        (Target::Epoch(Epoch(88)), vec![1]),
        (Target::Epoch(Epoch(68)), vec![]),
        (before("FLUSHALL"), vec![0, 1, 2]),
        (Target::Before(Pattern::parse("X").unwrap(), Some(Millis(850))), vec![1, 2]),
    ] {
        assert_eq!(candidates(&target, &all), expected, "{target:?}");
    }
}

#[test]
fn a_record_is_split_between_units() {
    let mut payload = Vec::new();
    let mut selected = None;
    let set = OwnedArgs::of(&[b"SET", b"k", b"v"]);
    let mut ends = vec![0];
    for db in [0, 0, 3] {
        put_group(&mut payload, &mut selected, None, [(Db(db), set.args()), (Db(db), set.args())]);
        ends.push(payload.len());
    }
    let bytes = log(id(0), &[Sets(1, &["a", "b", "c"])]);
    let mut headers = Vec::new();
    records(0, &bytes, |record| headers.push(*record.header()));
    let header = Header { count: 3, ..headers[0] };
    for (units, end) in ends.iter().enumerate() {
        assert_eq!(prefix(&payload, &header, units as u64), Ok(*end), "{units} units");
    }
}

fn scan(shard: usize, bytes: &[u8]) -> Scanned {
    let mut scan = SegmentScan::new(id(shard), Some(Lsn(1)));
    scan.feed(bytes);
    scan.finish()
}

/// Logs that are copied one after another while a server writes: whatever lengths the copies
/// have, what is kept is that of one moment.
#[test]
fn copies_are_cut_to_one_moment() {
    let first: &[Put] =
        &[Sets(1, &["1a"]), Sets(2, &["2a"]), Sets(4, &["4a"]), Sets(5, &["5a"]), Sets(6, &["6a"])];
    let second: &[Put] = &[Sets(1, &["1b"]), Sets(3, &["3b"]), Sets(5, &["5b"]), Sets(6, &["6b"])];
    let (first, second) = (log(id(0), first), log(id(1), second));
    let manifest = manifest(2);
    let mut seen = std::collections::BTreeSet::new();
    let lengths = |all: usize| (0..all).step_by(13).chain([all]);
    for a in lengths(first.len()) {
        for b in lengths(second.len()) {
            let copies = [first[..a].to_vec(), second[..b].to_vec()];
            let scans = vec![vec![scan(0, &copies[0])], vec![scan(1, &copies[1])]];
            let plans = prefixes(&manifest, &scans).unwrap();
            let bound = complete_in_copies(&manifest, &plans, &scans);
            let Bound::Epoch(epoch) = bound else { panic!("{bound:?}") };
            let valid =
                |shard: usize| copies[shard][..plans[shard].replay[0].end.length as usize].to_vec();
            let kept = names_within(bound, &[valid(0), valid(1)]).concat();
            let all = names_within(bound, &[first.clone(), second.clone()]).concat();
            assert_eq!(kept, all, "copies of {a} and {b} bytes, epoch {}", epoch.0);
            seen.insert(epoch.0);
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_is_kept_is_a_database_of_its_own() {
    let bytes = log(id(0), &[Sets(1, &["a"]), Sets(2, &["b"]), Sets(3, &["c"])]);
    let source = manifest(2);
    let scans = vec![vec![scan(0, &bytes)], vec![scan(1, &[])]];
    let mut plans = prefixes(&source, &scans).unwrap();
    let stop = Stop { segment: 0, offset: scans[0][0].length / 3 * 2, lsn: Lsn(3), units: 0 };
    end_at(&mut plans[0], stop, 0);
    let rewound = rewound(&source, &plans, Epoch(2));
    assert_eq!(rewound.check(), Ok(()));
    assert_eq!(rewound.shards[0].segments[0].end.unwrap().next, Lsn(3));
    assert!(rewound.shards[1].segments.is_empty(), "nothing was in it");
    assert_eq!((rewound.durable, rewound.boot.as_str()), (Epoch(2), ""));
}
