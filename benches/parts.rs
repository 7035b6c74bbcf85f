//! The parts that every command or every snapshot pays for: `cargo bench --bench parts`.
//!
//! Each says which figure of a user it protects. `keyspace.rs` measures them together, at the size
//! of a real shard; here each is alone, so that a change shows where it belongs.

use std::hint::black_box;

use basalt::base::ids::{Db, Epoch, Generation, Lsn, ShardId};
use basalt::base::table::{KeyHasher, Meta, New, Table};
use basalt::base::time::Millis;
use basalt::keyspace::item::{Item, Sink};
use basalt::keyspace::keyspace::{Expiry, Keyspace, Settings};
use basalt::keyspace::snapshot::{Budget, Step as Slice};
use basalt::persist::manifest::HashId;
use basalt::persist::record::{Policy, RunId, SegmentId};
use basalt::persist::segment::{SegmentWriter, Stamp};
use basalt::persist::snapshot_file::{ChunkWriter, Header};
use basalt::persist::snapshot_item::Item as Stored;
use basalt::persist::snapshot_reader::SnapshotReader;
use basalt::resp::args::OwnedArgs;
use basalt::resp::buffer::Buffer;
use basalt::resp::request::{Limits, Parser, Step};
use basalt::shard::base::encode;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DB: Db = Db(0);
const VALUE: [u8; 32] = *b"0a1b2c3d4e5f60718293a4b5c6d7e8f9";

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for place in key.iter_mut().skip(4).rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

/// Keys in an order that has nothing to do with their numbers.
fn spread(number: u64, count: u64) -> [u8; 16] {
    key(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % count)
}

/// Protects CPU per command at pipeline 16 and 50, where parsing is a fifth of what is left.
fn requests(criterion: &mut Criterion) {
    let mut bytes = Vec::new();
    for number in 0..50 {
        bytes.extend_from_slice(b"*3\r\n$3\r\nSET\r\n$16\r\n");
        bytes.extend_from_slice(&key(number));
        bytes.extend_from_slice(b"\r\n$32\r\n");
        bytes.extend_from_slice(&VALUE);
        bytes.extend_from_slice(b"\r\n");
    }
    let mut group = criterion.benchmark_group("request");
    group.throughput(Throughput::Elements(50));
    let (mut buffer, mut parser) = (Buffer::new(), Parser::new());
    let limits = Limits::default();
    group.bench_function("parse 50 SETs", |bencher| {
        bencher.iter(|| {
            buffer.fill(&bytes);
            let mut arguments = 0;
            while parser.next(&mut buffer, &limits) == Step::Request {
                arguments += parser.args(&buffer).len();
            }
            assert_eq!(black_box(arguments), 150);
        });
    });
    group.finish();
}

/// Protects GET and SET at every pipeline, the time to load, and, in the splits of the first one,
/// the longest time that an insertion can take.
fn table(criterion: &mut Criterion) {
    const COUNT: u64 = 100_000;
    let fill = |table: &mut Table<()>| {
        for number in 0..COUNT {
            let key = key(number);
            let hash = table.hash(&key);
            table.insert(hash, &key, New::Inline(&VALUE), Meta::default());
        }
    };
    let mut group = criterion.benchmark_group("table");
    group.throughput(Throughput::Elements(COUNT));
    let new = || Table::new(KeyHasher::new(1));
    group.bench_function("insert, splitting", |bencher| {
        bencher.iter_batched_ref(new, fill, BatchSize::LargeInput);
    });
    let roomy = || Table::with_expected(KeyHasher::new(1), COUNT as usize);
    group.bench_function("insert, expected", |bencher| {
        bencher.iter_batched_ref(roomy, fill, BatchSize::LargeInput);
    });
    group.throughput(Throughput::Elements(1));
    let mut full = new();
    fill(&mut full);
    let mut number = 0;
    group.bench_function("find", |bencher| {
        bencher.iter(|| {
            number += 1;
            let key = spread(number, COUNT);
            assert!(full.find(full.hash(&key), &key).is_some());
        });
    });
    group.finish();
}

/// Protects writes under `always` and `everysec`: a record is sealed for each turn of a core, so at
/// pipeline 1 the annotation line and its checksums are paid for each command.
fn records(criterion: &mut Criterion) {
    let id = SegmentId { run: RunId(1), shard: ShardId(0), number: 1 };
    let stamp = Stamp { durable: Epoch(1), now: Millis(1), policy: Policy::EverySecond };
    let command = OwnedArgs::of(&[b"SET", &key(1), &VALUE]);
    let mut group = criterion.benchmark_group("record");
    for count in [1, 50] {
        let mut writer = SegmentWriter::new(id, Lsn(0), Epoch(1));
        group.throughput(Throughput::Elements(count));
        group.bench_function(format!("append and seal {count}"), |bencher| {
            bencher.iter(|| {
                for _ in 0..count {
                    writer.append(DB, command.args());
                }
                writer.seal(stamp);
                while let Some(job) = writer.take_write() {
                    let bytes = job.bytes().len();
                    writer.wrote(job, black_box(bytes));
                }
            });
        });
    }
    group.finish();
}

fn header() -> Header {
    Header {
        shard: ShardId(0),
        shards: 1,
        generation: Generation(1),
        cut: Epoch(1),
        run: RunId(1),
        hash: HashId { function: 1, seed: 1 },
    }
}

struct Encoder(ChunkWriter);

impl Sink for Encoder {
    fn take(&mut self, item: Item<'_>) {
        encode(&mut self.0, item);
    }
}

/// Protects the tail of latency during a snapshot: one step is what is added to a turn, and must
/// stay well below the slice of 50 us.
fn slices(criterion: &mut Criterion) {
    const COUNT: u64 = 1_000_000;
    let mut space = Keyspace::new(Settings { seed: 1, ..Settings::default() });
    space.begin(Millis(1_000_000), Lsn(1));
    for number in 0..COUNT {
        space.set_string(DB, &key(number), &VALUE, Expiry::Clear);
    }
    let mut sink = Encoder(ChunkWriter::new(&header()));
    let (mut used, mut done) = (Vec::new(), Slice::Done);
    criterion.bench_function("snapshot/one step", |bencher| {
        bencher.iter(|| {
            if done == Slice::Done {
                space.cut();
            }
            done = space.snapshot_step(&mut sink, Budget::default());
            used = sink.0.take(std::mem::take(&mut used));
        });
    });
}

/// Protects the time of a snapshot and of a start: compression and checksums there, the same and
/// the reading of items here.
fn codec(criterion: &mut Criterion) {
    const COUNT: u64 = 20_000;
    let write = || {
        let mut writer = ChunkWriter::new(&header());
        for number in 0..COUNT {
            writer.string(DB, &spread(number, 1 << 40), None, &VALUE);
        }
        writer.finish().0
    };
    let file = write();
    let mut group = criterion.benchmark_group("value codec");
    group.throughput(Throughput::Elements(COUNT));
    group.bench_function("encode strings", |bencher| bencher.iter(|| black_box(write())));
    group.bench_function("decode strings", |bencher| {
        bencher.iter(|| {
            let mut reader = SnapshotReader::new("a file", None);
            reader.feed(&file);
            let mut count = 0;
            while let Some(mut items) = reader.next().expect("no damage") {
                while let Some(item) = items.next().expect("no damage") {
                    count += u64::from(matches!(item, Stored::Str { .. }));
                }
            }
            assert_eq!(count, COUNT);
        });
    });
    group.finish();
}

criterion_group!(parts, requests, table, records, slices, codec);
criterion_main!(parts);
