//! Tests of the writer of segments.

use super::*;
use crate::base::ids::ShardId;
use crate::base::prng::Prng;
use crate::limits::RECORD_PAYLOAD;
use crate::persist::payload::{Piece, Pieces};
use crate::persist::record::{Header, LINE, RunId};
use crate::resp::args::OwnedArgs;

const ID: SegmentId = SegmentId { run: RunId(99), shard: ShardId(2), number: 7 };
const NEXT: SegmentId = SegmentId { number: 8, ..ID };

fn set(key: &str) -> OwnedArgs {
    OwnedArgs::of(&[b"SET", key.as_bytes(), b"v"])
}

fn stamp(durable: u64) -> Stamp {
    Stamp { durable: Epoch(durable), now: Millis(1000), policy: Policy::Always }
}

fn writer() -> SegmentWriter {
    SegmentWriter::new(ID, Lsn(100), Epoch(5))
}

fn fault() -> StorageFault {
    StorageFault::new("f", 0, "a sync", "EIO")
}

fn append(writer: &mut SegmentWriter, key: &str) -> Lsn {
    writer.append(Db(0), set(key).args())
}

/// Takes a write, completes it and appends its bytes to the file.
fn flush(writer: &mut SegmentWriter, file: &mut Vec<u8>) {
    let job = writer.take_write().expect("a write");
    assert_eq!(job.offset, file.len() as u64);
    let bytes = job.bytes().to_vec();
    file.extend_from_slice(&bytes);
    writer.wrote(job, bytes.len());
}

/// The headers of a file, all of it verified, with the commands of each payload.
fn records(file: &[u8], id: SegmentId) -> Vec<(Header, Vec<String>)> {
    let (mut at, mut selected, mut all) = (0, None, Vec::new());
    while at < file.len() {
        let mut announced = Header::read(&file[at..], id).expect("a line");
        let len = announced.header().payload as usize;
        let payload = &file[at + LINE..at + LINE + len];
        announced.update(payload);
        let header = announced.verified().expect("a checksum that holds");
        let mut pieces = Pieces::new(payload, u64::from(header.count), &mut selected);
        let mut words = Vec::new();
        while let Some(piece) = pieces.next().unwrap() {
            words.push(match piece {
                Piece::Begin(tx) => format!("begin {:?}", tx.map(|tx| tx.id.0)),
                Piece::End => "end".to_string(),
                Piece::Command(_, args) => String::from_utf8(args.at(1).to_vec()).unwrap(),
            });
        }
        all.push((header, words));
        at += LINE + len;
    }
    all
}

#[test]
fn what_one_turn_appends_is_one_record() {
    let (mut w, mut file) = (writer(), Vec::new());
    assert!(w.take_write().is_none());
    assert_eq!(append(&mut w, "a"), Lsn(101));
    let group = [set("b"), set("c")];
    let lsn = w.append_group(group.iter().map(|args| (Db(1), args.args())));
    assert_eq!((lsn, append(&mut w, "d")), (Lsn(102), Lsn(103)));
    assert!(w.take_write().is_none(), "nothing is sealed");
    w.seal(stamp(3));
    flush(&mut w, &mut file);
    let records = records(&file, ID);
    let [(header, words)] = &records[..] else { panic!("{records:?}") };
    assert_eq!(*words, ["a", "begin None", "b", "c", "end", "d"]);
    assert_eq!((header.first, header.count, header.epoch), (Lsn(101), 3, Epoch(5)));
    assert_eq!((header.durable, header.synced), (Epoch(3), Lsn(100)));
    assert_eq!((w.appended(), w.written(), w.durable()), (Lsn(103), Lsn(103), Lsn(100)));
    assert_eq!((w.length(), w.pending()), (file.len() as u64, 0));
}

#[test]
fn records_end_at_epochs_transactions_and_the_size_bound() {
    let (mut w, mut file) = (writer(), Vec::new());
    append(&mut w, "a");
    w.stamp(Epoch(6));
    append(&mut w, "b");
    let shards = ShardSet::of(&[ShardId(0), ShardId(2)]);
    let part = set("c");
    w.append_transaction(TxId(9), shards, [(Db(0), part.args())]);
    append(&mut w, "d");
    w.append_transaction(TxId(10), shards, []);
    let big = vec![b'x'; RECORD_PAYLOAD];
    let big = OwnedArgs::of(&[b"SET", b"big", &big]);
    w.append(Db(0), big.args());
    append(&mut w, "e");
    w.seal(stamp(0));
    append(&mut w, "late");
    flush(&mut w, &mut file);
    assert!(w.take_write().is_none(), "the late one is not sealed");
    w.append_commit();
    w.seal(stamp(0));
    w.append_commit();
    w.append_commit();
    w.seal(stamp(0));
    flush(&mut w, &mut file);
    let all: Vec<_> = records(&file, ID)
        .into_iter()
        .map(|(h, words)| (h.first.0, h.epoch.0, words.join(" ")))
        .collect();
    let expected = [
        (101, 5, "a"),
        (102, 6, "b"),
        (103, 6, "begin Some(9) c end d"),
        (105, 6, "begin Some(10) end big"),
        (107, 6, "e"),
        (108, 6, "late"),
        (109, 6, ""),
    ];
    assert_eq!(all, expected.map(|(lsn, epoch, words)| (lsn, epoch, words.to_string())));
    assert_eq!(w.written(), Lsn(108));
}

#[test]
fn one_write_in_flight_and_a_short_one_is_continued() {
    let (mut w, mut file) = (writer(), Vec::new());
    append(&mut w, "a");
    w.seal(stamp(0));
    let job = w.take_write().unwrap();
    append(&mut w, "b");
    w.seal(stamp(0));
    assert!(w.writing() && w.take_write().is_none() && w.take_sync().is_none());
    let (all, n) = (job.bytes().to_vec(), 10);
    file.extend_from_slice(&all[..n]);
    w.wrote(job, n);
    assert_eq!((w.written(), w.take_sync()), (Lsn(100), None));
    let job = w.take_write().unwrap();
    assert_eq!((job.offset, job.bytes()), (10, &all[10..]));
    file.extend_from_slice(job.bytes());
    assert!(w.take_write().is_none() && w.take_sync().is_none());
    let mut job = job;
    let bytes = job.take_bytes();
    assert_eq!(bytes, &all[10..]);
    let n = job.give_back(bytes);
    w.wrote(job, n);
    assert_eq!(w.written(), Lsn(101));
    flush(&mut w, &mut file);
    assert_eq!(records(&file, ID).len(), 2);
    let job = {
        append(&mut w, "c");
        w.seal(stamp(0));
        w.take_write().unwrap()
    };
    w.wrote(job, 0);
    let fault = w.fault().unwrap().to_string();
    assert!(
        fault.starts_with("shard-002.000007.aof: at byte ") && fault.ends_with("0 bytes written")
    );
}

#[test]
fn durable_is_what_was_written_when_the_sync_was_submitted() {
    let (mut w, mut file) = (writer(), Vec::new());
    assert_eq!(w.take_sync(), None);
    append(&mut w, "a");
    w.seal(stamp(0));
    flush(&mut w, &mut file);
    let sync = w.take_sync().unwrap();
    assert!(w.syncing() && w.take_sync().is_none());
    append(&mut w, "b");
    w.seal(stamp(0));
    flush(&mut w, &mut file);
    assert_eq!((w.written(), w.durable()), (Lsn(102), Lsn(100)));
    w.synced(sync);
    assert_eq!((w.written(), w.durable()), (Lsn(102), Lsn(101)));
    let sync = w.take_sync().unwrap();
    w.synced(sync);
    assert_eq!((w.durable(), w.take_sync()), (Lsn(102), None));
}

#[test]
fn epochs_are_complete_when_nothing_older_is_on_its_way() {
    let (mut w, mut file) = (writer(), Vec::new());
    let epochs = |w: &SegmentWriter| (w.written_epoch().0, w.durable_epoch().0);
    assert_eq!(epochs(&w), (4, 4));
    w.stamp(Epoch(8));
    assert_eq!(epochs(&w), (7, 7));
    append(&mut w, "a");
    w.stamp(Epoch(10));
    assert_eq!(epochs(&w), (7, 7));
    append(&mut w, "b");
    w.seal(stamp(0));
    flush(&mut w, &mut file);
    assert_eq!(epochs(&w), (9, 7));
    let sync = w.take_sync().unwrap();
    w.stamp(Epoch(12));
    assert_eq!(epochs(&w), (11, 7));
    append(&mut w, "c");
    w.synced(sync);
    assert_eq!(epochs(&w), (11, 9));
    w.seal(stamp(0));
    flush(&mut w, &mut file);
    let sync = w.take_sync().unwrap();
    w.stamp(Epoch(13));
    w.synced(sync);
    assert_eq!(epochs(&w), (12, 12));
}

#[test]
fn a_switch_keeps_the_order_between_segments() {
    let (mut w, mut old, mut new) = (writer(), Vec::new(), Vec::new());
    append(&mut w, "a");
    w.seal(stamp(0));
    let first = w.take_write().unwrap();
    append(&mut w, "b");
    w.stamp(Epoch(6));
    w.switch(NEXT, stamp(1));
    assert!(!w.can_switch());
    append(&mut w, "c");
    w.seal(stamp(2));
    assert!(w.take_write().is_none(), "the old segment's write is in flight");
    old.extend_from_slice(first.bytes());
    let n = first.bytes().len();
    w.wrote(first, n);
    assert_eq!(w.written(), Lsn(101));
    flush(&mut w, &mut old);
    assert_eq!((w.written(), w.durable()), (Lsn(102), Lsn(100)));
    flush(&mut w, &mut new);
    assert_eq!((w.written(), w.durable(), w.take_closed()), (Lsn(103), Lsn(100), None));
    w.stamp(Epoch(9));
    let sync = w.take_sync().unwrap();
    assert_eq!(sync.number, 7);
    w.synced(sync);
    assert_eq!((w.durable(), w.durable_epoch()), (Lsn(102), Epoch(5)));
    let length = old.len() as u64;
    assert_eq!(w.take_closed(), Some(Closed { id: ID, length, next: Lsn(103) }));
    assert!(w.can_switch() && w.take_closed().is_none());
    let sync = w.take_sync().unwrap();
    assert_eq!(sync.number, 8);
    w.synced(sync);
    assert_eq!((w.durable(), w.durable_epoch()), (Lsn(103), Epoch(8)));
    assert_eq!((records(&old, ID).len(), records(&new, NEXT).len()), (2, 1));
}

#[test]
fn an_idle_segment_closes_at_once() {
    let mut w = writer();
    w.switch(NEXT, stamp(0));
    assert_eq!(w.take_closed(), Some(Closed { id: ID, length: 0, next: Lsn(101) }));
    assert!(w.can_switch());
}

#[test]
fn a_failure_is_final_until_a_checkpoint_heals_it() {
    let (mut w, mut new) = (writer(), Vec::new());
    append(&mut w, "a");
    w.seal(stamp(0));
    let job = w.take_write().unwrap();
    let n = job.bytes().len();
    w.wrote(job, n);
    let _lost = w.take_sync().unwrap();
    append(&mut w, "b");
    w.failed(7, fault());
    assert_eq!((w.written(), w.durable()), (Lsn(101), Lsn(100)));
    assert_eq!(append(&mut w, "c"), Lsn(103));
    w.seal(stamp(0));
    assert!(w.take_write().is_none() && w.take_sync().is_none());
    assert_eq!((w.pending(), w.fault()), (0, Some(&fault())));
    assert!(!w.heal(), "the segment appended to is the broken one");
    w.synced(SyncJob { number: 7 });
    assert_eq!(w.durable(), Lsn(100), "a sync that succeeds after a failure means nothing");
    w.switch(NEXT, stamp(0));
    append(&mut w, "d");
    w.seal(stamp(0));
    assert!(w.take_write().is_none(), "lsn 104 must not be in a file before lsn 103 is in a base");
    assert_eq!((w.written(), w.durable()), (Lsn(101), Lsn(100)), "not before the checkpoint");
    assert!(w.heal());
    flush(&mut w, &mut new);
    let sync = w.take_sync().unwrap();
    w.synced(sync);
    assert_eq!((w.written(), w.durable(), w.fault()), (Lsn(104), Lsn(104), None));
    assert_eq!(records(&new, NEXT)[0].0.first, Lsn(104));
}

#[test]
fn a_failure_of_the_closing_segment_poisons_too() {
    let mut w = writer();
    append(&mut w, "a");
    w.switch(NEXT, stamp(0));
    let job = w.take_write().unwrap();
    append(&mut w, "b");
    w.failed(7, fault());
    w.wrote(job, 3);
    assert_eq!((w.written(), w.durable(), w.can_switch()), (Lsn(100), Lsn(100), true));
    let mut new = Vec::new();
    w.seal(stamp(0));
    assert!(w.take_write().is_none() && w.heal());
    flush(&mut w, &mut new);
    assert_eq!((w.written(), records(&new, NEXT).len()), (Lsn(102), 1));
}

#[test]
fn what_a_poisoned_log_has_queued_is_not_written_after_the_next_switch_either() {
    let mut w = writer();
    append(&mut w, "lost");
    w.switch(NEXT, stamp(0));
    append(&mut w, "behind what is lost");
    w.failed(7, fault());
    w.switch(SegmentId { number: 9, ..ID }, stamp(0));
    append(&mut w, "new");
    w.seal(stamp(0));
    assert!(w.take_write().is_none() && w.can_switch() && w.heal());
    let mut new = Vec::new();
    flush(&mut w, &mut new);
    let id = SegmentId { number: 9, ..ID };
    assert_eq!((w.written(), records(&new, id).len()), (Lsn(103), 1));
}

#[test]
fn a_failure_behind_a_switch_does_not_stand_in_the_way_of_the_next_one() {
    let (mut w, mut old, mut new) = (writer(), Vec::new(), Vec::new());
    append(&mut w, "a");
    w.switch(NEXT, stamp(0));
    append(&mut w, "b");
    w.seal(stamp(0));
    flush(&mut w, &mut old);
    flush(&mut w, &mut new);
    let sync = w.take_sync().unwrap();
    w.failed(8, fault());
    w.synced(sync);
    assert!(w.can_switch() && !w.heal());
    w.switch(SegmentId { number: 9, ..ID }, stamp(0));
    assert!(w.heal());
    assert_eq!((w.appended(), w.written(), w.durable()), (Lsn(102), Lsn(102), Lsn(102)));
}

/// Random drives against a plain model: what is claimed is in the file, and figures only grow.
#[test]
fn random_drives_claim_only_what_is_there() {
    for seed in 0..2_000 {
        let mut prng = Prng::new(seed);
        let (mut w, mut epoch, mut number) = (writer(), 5, 7);
        let mut files = vec![(ID, Vec::<u8>::new(), 0usize)];
        let (mut write, mut sync) = (None::<WriteJob>, None::<(SyncJob, usize)>);
        let mut before = (Lsn(0), Lsn(0), Epoch(0), Epoch(0));
        for _ in 0..80 {
            match prng.below(9) {
                0 | 1 => drop(append(&mut w, "k")),
                2 => drop(w.append_transaction(TxId(1), ShardSet::default(), [])),
                3 => {
                    epoch += prng.below(3);
                    w.stamp(Epoch(epoch));
                }
                4 => w.seal(stamp(0)),
                5 if write.is_none() => write = w.take_write(),
                5 | 6 => {
                    if let Some(job) = write.take() {
                        let n = 1 + prng.below(job.bytes().len() as u64) as usize;
                        let file = files.iter_mut().find(|f| f.0.number == job.number).unwrap();
                        assert_eq!(job.offset, file.1.len() as u64, "seed {seed}");
                        file.1.extend_from_slice(&job.bytes()[..n]);
                        w.wrote(job, n);
                    }
                }
                7 => match sync.take() {
                    Some((job, len)) => {
                        files.iter_mut().find(|f| f.0.number == job.number).unwrap().2 = len;
                        w.synced(job);
                    }
                    None => {
                        sync = w.take_sync().map(|job| {
                            let file = files.iter().find(|f| f.0.number == job.number).unwrap();
                            (job, file.1.len())
                        });
                    }
                },
                _ if w.can_switch() => {
                    number += 1;
                    w.switch(SegmentId { number, ..ID }, stamp(0));
                    files.push((w.id(), Vec::new(), 0));
                }
                _ => {}
            }
            let now = (w.written(), w.durable(), w.written_epoch(), w.durable_epoch());
            assert!(now.0 >= before.0 && now.1 >= before.1, "seed {seed}: {now:?}");
            assert!(now.2 >= before.2 && now.3 >= before.3, "seed {seed}: {now:?}");
            assert!(now.1 <= now.0 && now.0 <= w.appended() && now.3 <= now.2);
            before = now;
        }
        for (claim, synced_only) in [(w.written(), false), (w.durable(), true)] {
            let mut last = Lsn(100);
            for (id, bytes, synced) in &files {
                let end = if synced_only { *synced } else { bytes.len() };
                let mut at = 0;
                while let Some(header) = Header::read(&bytes[at..end], *id) {
                    let header = *header.header();
                    at += LINE + header.payload as usize;
                    if at > end {
                        break;
                    }
                    assert_eq!(header.first, last.next(), "seed {seed}");
                    last = Lsn(header.next().0 - 1);
                }
            }
            assert!(claim <= last, "seed {seed}: claimed {claim:?}, there is {last:?}");
        }
    }
}

#[test]
#[ignore = "measures; run with --release --nocapture"]
fn speed() {
    let mut w = writer();
    let effect = OwnedArgs::of(&[b"SET", b"key:000000001234", &[b'v'; 32]]);
    for batch in [1u64, 32] {
        let rounds = 2_000_000 / batch;
        let (start, mut bytes) = (std::time::Instant::now(), 0);
        for _ in 0..rounds {
            for _ in 0..batch {
                w.append(Db(0), effect.args());
            }
            w.seal(stamp(0));
            let job = w.take_write().unwrap();
            let n = job.bytes().len();
            bytes += n;
            w.wrote(job, n);
        }
        let each = start.elapsed().as_nanos() as u64 / (rounds * batch);
        println!("{batch} a record: {each} ns a unit, {} bytes", bytes as u64 / (rounds * batch));
    }
}
