//! Tests of reading segments, whole and damaged.

use super::*;
use crate::base::ids::{Db, ShardId, TxId};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::persist::payload::Piece;
use crate::persist::record::RunId;
use crate::persist::segment::{SegmentWriter, Stamp};
use crate::persist::shard_set::ShardSet;
use crate::resp::args::OwnedArgs;

pub(in crate::persist) const ID: SegmentId =
    SegmentId { run: RunId(99), shard: ShardId(0), number: 7 };

/// One step of making a segment's bytes.
#[derive(Clone, Copy, Debug)]
pub(in crate::persist) enum Step {
    /// A record with one SET, in this epoch.
    Set(u64),
    /// A record that begins with a part of this transaction over shards 0 and 1, in this epoch.
    Tx(u64, u64),
    /// A commit record that calls this epoch durable.
    Commit(u64),
}

/// The bytes of a segment whose first lsn is 1; every record says that all before it was synced
/// if `synced`, else nothing.
pub(in crate::persist) fn bytes_of(
    id: SegmentId,
    policy: Policy,
    synced: bool,
    steps: &[Step],
) -> Vec<u8> {
    let mut writer = SegmentWriter::new(id, Lsn(0), Epoch(1));
    let mut file = Vec::new();
    for (i, step) in steps.iter().enumerate() {
        let mut durable = Epoch(0);
        let set = OwnedArgs::of(&[b"SET", format!("key{i}").as_bytes(), &[b'v'; 20]]);
        match *step {
            Step::Set(epoch) => {
                writer.stamp(Epoch(epoch));
                writer.append(Db(0), set.args());
            }
            Step::Tx(tx, epoch) => {
                writer.stamp(Epoch(epoch));
                let both = ShardSet::of(&[ShardId(0), ShardId(1)]);
                writer.append_transaction(TxId(tx), both, [(Db(0), set.args())]);
            }
            Step::Commit(epoch) => {
                durable = Epoch(epoch);
                writer.append_commit();
            }
        }
        writer.seal(Stamp { durable, now: Millis(1000 + i as u64), policy });
        let job = writer.take_write().unwrap();
        file.extend_from_slice(job.bytes());
        let n = job.bytes().len();
        writer.wrote(job, n);
        if synced {
            let sync = writer.take_sync().unwrap();
            writer.synced(sync);
        }
    }
    file
}

/// Scans bytes in blocks of the given size.
pub(in crate::persist) fn scan(id: SegmentId, bytes: &[u8], block: usize) -> Scanned {
    let mut scan = SegmentScan::new(id, Some(Lsn(1)));
    bytes.chunks(block).for_each(|block| scan.feed(block));
    scan.finish()
}

fn example() -> Vec<u8> {
    use Step::{Commit, Set, Tx};
    let steps = [Set(1), Set(1), Tx(5, 2), Set(3), Commit(2), Set(4), Tx(6, 4)];
    bytes_of(ID, Policy::EverySecond, true, &steps)
}

/// Offsets at which records begin, and the end.
fn bounds(bytes: &[u8]) -> Vec<usize> {
    let mut all = vec![0];
    while let Some(header) = Header::read(&bytes[all[all.len() - 1]..], ID) {
        all.push(all[all.len() - 1] + LINE + header.header().payload as usize);
    }
    all
}

fn read(bytes: &[u8], block: usize, length: u64, end: Option<u64>) -> Result<Vec<String>, String> {
    let mut reader = SegmentReader::new("f", ID, Lsn(1), length, end.map(Lsn));
    let mut seen = Vec::new();
    for block in bytes.chunks(block) {
        reader.feed(block);
        while let Some(record) = reader.next().map_err(|fault| fault.to_string())? {
            let mut pieces = record.into_pieces();
            while let Some(piece) = pieces.next().unwrap() {
                if let Piece::Command(_, args) = piece {
                    seen.push(String::from_utf8(args.at(1).to_vec()).unwrap());
                }
            }
        }
    }
    reader.finish().map_err(|fault| fault.to_string())?;
    Ok(seen)
}

#[test]
fn a_whole_segment() {
    let bytes = example();
    for block in [1, 7, LINE, 1000, 1 << 20] {
        let found = scan(ID, &bytes, block);
        assert_eq!((found.length, found.tail), (bytes.len() as u64, Tail::Clean));
        assert_eq!((found.first, found.next), (Some(Lsn(1)), Some(Lsn(7))));
        assert_eq!((found.records, found.last_epoch), (7, Some(Epoch(4))));
        assert_eq!((found.durable, found.synced, found.last_time), (Epoch(2), Lsn(5), 1006));
        // Epochs 1 and 2 are durable: no cut can be there.
        let marks: Vec<_> = found.marks.iter().map(|m| (m.lsn.0, m.epoch.0)).collect();
        assert_eq!(marks, [(4, 3), (5, 4)]);
        let parts: Vec<_> = found.parts.iter().map(|p| (p.transaction.id.0, p.lsn.0)).collect();
        assert_eq!(parts, [(6, 6)]);
        let keys = ["key0", "key1", "key2", "key3", "key5", "key6"].map(String::from);
        assert_eq!(read(&bytes, block, bytes.len() as u64, Some(7)), Ok(keys.to_vec()));
        let end = bounds(&bytes)[2] as u64;
        assert_eq!(read(&bytes, block, end, Some(3)), Ok(keys[..2].to_vec()));
    }
    let empty = scan(ID, b"", 1);
    assert_eq!((empty.length, empty.tail, empty.next), (0, Tail::Clean, Some(Lsn(1))));
    let mut unknown = SegmentScan::new(ID, None);
    unknown.feed(&bytes[bounds(&bytes)[2]..]);
    let unknown = unknown.finish();
    assert_eq!((unknown.first, unknown.next), (Some(Lsn(3)), Some(Lsn(7))));
}

#[test]
fn tails() {
    let bytes = example();
    let bounds = bounds(&bytes);
    // Every truncation is torn, or clean between records.
    for len in 0..bytes.len() {
        let found = scan(ID, &bytes[..len], 100);
        let whole = bounds.iter().rfind(|bound| **bound <= len).unwrap();
        let tail = if *whole == len { Tail::Clean } else { Tail::Torn };
        assert_eq!((found.length, found.tail), (*whole as u64, tail), "cut at {len}");
        let announced = (len - whole >= LINE).then_some(());
        assert_eq!(found.announced.map(|_| ()), announced, "cut at {len}");
        // The same with zeros behind, as a preallocated file has them.
        let padded = [&bytes[..len], &[0; 300]].concat();
        let padded = scan(ID, &padded, 100);
        assert_eq!((padded.length, padded.tail), (*whole as u64, tail), "cut at {len}, zeros");
    }
    // What no writer of this segment has begun is no torn tail.
    let line = String::from_utf8(bytes[..LINE].to_vec()).unwrap();
    for garbage in [
        &b"garbage #r1 s=000 g="[..],
        b"#r1 s=999",
        &bytes[..40],
        &bytes[..LINE],
        line.replace("n=", "n:").as_bytes(),
    ] {
        for zeros in [0, 300] {
            let garbage = [&bytes[..], garbage, &vec![0; zeros]].concat();
            let found = scan(ID, &garbage, 10);
            assert_eq!((found.length, found.tail), (bytes.len() as u64, Tail::Changed));
        }
    }
}

#[test]
fn every_flipped_bit_ends_the_valid_part_and_shows_the_gap() {
    let bytes = example();
    let bounds = bounds(&bytes);
    let last = bounds[bounds.len() - 2];
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let found = scan(ID, &bad, 1000);
        let start = *bounds.iter().rfind(|bound| **bound <= bit / 8).unwrap();
        assert_eq!(found.length, start as u64, "bit {bit}");
        if start == last {
            assert_eq!(found.tail, Tail::Changed, "bit {bit}");
        } else {
            let next = bounds.iter().find(|bound| **bound > start).unwrap();
            let Tail::Gap { resumes, .. } = found.tail else { panic!("bit {bit}: {found:?}") };
            assert_eq!((resumes, found.synced), (*next as u64, Lsn(5)), "bit {bit}");
        }
        assert!(read(&bad, 1000, bytes.len() as u64, Some(7)).is_err(), "bit {bit}");
    }
}

#[test]
fn stale_swapped_and_repeated_records_do_not_pass() {
    let bytes = example();
    let bounds = bounds(&bytes);
    let record = |i: usize| &bytes[bounds[i]..bounds[i + 1]];
    // A copy of an older record is not one that was still to come.
    let repeated = [&bytes[..], record(1), record(6)].concat();
    let found = scan(ID, &repeated, 1000);
    assert_eq!((found.length, found.tail), (bytes.len() as u64, Tail::Changed));
    // Two records swapped: the later one lies where an earlier one has to be.
    let swapped = [record(0), record(2), record(1), record(3)].concat();
    let found = scan(ID, &swapped, 1000);
    let resumes = bounds[1] as u64;
    assert_eq!((found.length, found.tail), (resumes, Tail::Gap { resumes, epoch: Epoch(2) }));
    // The same bytes under another identity are nothing.
    for id in [SegmentId { number: 8, ..ID }, SegmentId { run: RunId(1), ..ID }] {
        let found = scan(id, &bytes, 1000);
        assert_eq!((found.length, found.tail, found.records), (0, Tail::Changed, 0));
    }
    // A record within a value is not a record of the log.
    let planted = OwnedArgs::of(&[b"SET", b"k", record(6)]);
    let mut writer = SegmentWriter::new(ID, Lsn(0), Epoch(1));
    writer.append(Db(0), planted.args());
    let stamp = Stamp { durable: Epoch(0), now: Millis(0), policy: Policy::No };
    writer.seal(stamp);
    let job = writer.take_write().unwrap();
    let found = scan(ID, job.bytes(), 1000);
    assert_eq!((found.records, found.tail), (1, Tail::Clean));
}

#[test]
fn the_reader_tells_what_is_wrong() {
    let bytes = example();
    let bounds = bounds(&bytes);
    let len = bytes.len() as u64;
    let without = [&bytes[..bounds[1]], &bytes[bounds[2]..]].concat();
    for (bytes, length, end, fault) in [
        (&bytes[..bounds[3]], len, Some(7), "expected records up to byte"),
        (&bytes[..], len, Some(8), "expected to end before lsn 8, found lsn 7"),
        (&bytes[..], len - 1, Some(7), "expected the end of a record at byte"),
        (&bytes[..], len + 1, Some(7), "expected records up to byte"),
        (&without[..], len, Some(7), "expected a record with lsn 2, found lsn 3"),
        (&bytes[3..], len, Some(7), "expected a record with lsn 1, found other bytes"),
    ] {
        let found = read(bytes, 50, length, end).unwrap_err();
        assert!(found.contains(fault), "{found}");
    }
}

#[test]
fn damaged_segments_are_scanned_without_panic_and_with_bounded_memory() {
    let bytes = example();
    for seed in 0..3_000 {
        let mut prng = Prng::new(seed);
        let mut bad = bytes.clone();
        for _ in 0..1 + prng.below(6) {
            let at = prng.below(bad.len() as u64) as usize;
            let len = 1 + prng.below(40) as usize;
            match prng.below(4) {
                0 => bad[at] = prng.next() as u8,
                1 => drop(bad.drain(at..(at + len).min(bad.len()))),
                2 => bad[at..].iter_mut().take(len).for_each(|byte| *byte = 0),
                _ => {
                    let from = prng.below(bytes.len() as u64) as usize;
                    let part = bytes[from..].iter().take(len * 10).copied().collect::<Vec<_>>();
                    bad.splice(at..at, part);
                }
            }
        }
        let block = 1 + prng.below(500) as usize;
        let mut scan = SegmentScan::new(ID, Some(Lsn(1)));
        for block in bad.chunks(block) {
            scan.feed(block);
            assert!(scan.window.buffer.len() < 2 * 500 + block.len(), "seed {seed}");
        }
        let found = scan.finish();
        // What is valid is a prefix of what was written.
        assert!(bytes.starts_with(&bad[..found.length as usize]), "seed {seed}");
        let kept = read(&bad, block, found.length, found.next.map(|lsn| lsn.0));
        assert!(kept.is_ok(), "seed {seed}");
    }
}
