//! Tests of snapshot files, whole and damaged.

use super::*;
use crate::base::prng::Prng;
use crate::limits::SNAPSHOT_CHUNK_MAX;
use crate::persist::fault::StorageFault;
use crate::persist::snapshot_item::{Item, Place};
use crate::persist::snapshot_reader::{Expected, SnapshotReader};

const HEAD: Header = Header {
    shard: ShardId(3),
    shards: 4,
    generation: Generation(42),
    cut: Epoch(1700),
    run: RunId(0xfeed << 90),
    hash: HashId { function: 1, seed: 99 },
};

/// An item that owns what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Expect(u16, u64),
    Str(u16, Vec<u8>, Option<u64>, Vec<u8>),
    Hash(u16, Vec<u8>, Option<u64>, Vec<(Vec<u8>, Vec<u8>)>),
    Whole(u16, Vec<u8>, Option<u64>, Kind, Vec<u8>),
    Open(u64, u16, Vec<u8>, Option<u64>, Kind, u64),
    Field(u64, Vec<u8>, Vec<u8>, Option<u64>),
    Chunk(u64, u64, Vec<u8>),
    Close(u64),
    Library(Vec<u8>, Vec<u8>),
}

fn own(item: Item<'_>) -> Owned {
    let key = |place: Place<'_>| place.key.to_vec();
    let at = |place: Place<'_>| place.deadline.map(|at| at.0);
    match item {
        Item::Library { name, text } => Owned::Library(name.to_vec(), text.to_vec()),
        Item::Expect { db, keys } => Owned::Expect(db.0, keys),
        Item::Str { place, value } => Owned::Str(place.db.0, key(place), at(place), value.to_vec()),
        Item::Hash { place, pairs } => {
            let pairs = pairs.map(|(field, value)| (field.to_vec(), value.to_vec())).collect();
            Owned::Hash(place.db.0, key(place), at(place), pairs)
        }
        Item::Whole { place, kind, bytes } => {
            Owned::Whole(place.db.0, key(place), at(place), kind, bytes.to_vec())
        }
        Item::Open { id, place, kind, size } => {
            Owned::Open(id, place.db.0, key(place), at(place), kind, size)
        }
        Item::Field { id, field, value, deadline } => {
            Owned::Field(id, field.to_vec(), value.to_vec(), deadline.map(|at| at.0))
        }
        Item::Chunk { id, offset, bytes } => Owned::Chunk(id, offset, bytes.to_vec()),
        Item::Close { id } => Owned::Close(id),
    }
}

fn put(w: &mut ChunkWriter, item: &Owned) {
    let at = |at: &Option<u64>| at.map(Millis);
    match item {
        Owned::Expect(db, keys) => w.expect(Db(*db), *keys),
        Owned::Str(db, key, deadline, value) => w.string(Db(*db), key, at(deadline), value),
        Owned::Whole(db, key, deadline, kind, bytes) => {
            w.whole(Db(*db), key, at(deadline), (*kind, bytes));
        }
        Owned::Hash(db, key, deadline, pairs) => {
            let pairs = pairs.iter().map(|(field, value)| (&field[..], &value[..]));
            w.hash(Db(*db), key, at(deadline), pairs);
        }
        Owned::Open(id, db, key, deadline, kind, size) => {
            w.open(*id, Db(*db), key, at(deadline), (*kind, *size));
        }
        Owned::Field(id, field, value, deadline) => w.field(*id, field, value, at(deadline)),
        Owned::Chunk(id, offset, bytes) => w.chunk(*id, *offset, bytes),
        Owned::Close(id) => w.close(*id),
        Owned::Library(name, text) => w.library(name, text),
    }
}

fn write(items: &[Owned]) -> (Vec<u8>, Footer) {
    let (mut w, mut file) = (ChunkWriter::new(&HEAD), Vec::new());
    for item in items {
        put(&mut w, item);
        if w.ready() > 1000 {
            file.extend_from_slice(&w.take(Vec::new()));
        }
    }
    let (rest, footer) = w.finish();
    file.extend_from_slice(&rest);
    assert_eq!(file.len() as u64, footer.length);
    (file, footer)
}

fn read(
    file: &[u8],
    block: usize,
    expected: Option<Expected>,
) -> Result<(Vec<Owned>, Footer), StorageFault> {
    let mut reader = SnapshotReader::new("f", expected);
    let mut seen = Vec::new();
    for block in file.chunks(block) {
        reader.feed(block);
        while let Some(mut items) = reader.next()? {
            while let Some(item) = items.next()? {
                seen.push(own(item));
            }
        }
    }
    Ok((seen, reader.finish()?))
}

fn expected(footer: &Footer) -> Option<Expected> {
    Some(Expected { header: HEAD, length: footer.length, crc: footer.crc })
}

/// One of each, none of them long.
fn small() -> Vec<Owned> {
    let pairs = vec![(b"f".to_vec(), b"v".to_vec()), (Vec::new(), b"x".to_vec())];
    vec![
        Owned::Library(b"lib".to_vec(), b"#!lua name=lib\n".to_vec()),
        Owned::Library(Vec::new(), Vec::new()),
        Owned::Expect(0, 30),
        Owned::Str(0, b"key".to_vec(), None, b"value".to_vec()),
        Owned::Str(15, Vec::new(), Some(1_700_000_000_000), Vec::new()),
        Owned::Open(9, 15, b"big".to_vec(), Some(5), Kind::Hash, 1_000_000),
        Owned::Hash(0, b"hash".to_vec(), Some(1), pairs),
        Owned::Field(9, b"name".to_vec(), b"bytes".to_vec(), None),
        Owned::Field(9, b"other".to_vec(), b"bytes".to_vec(), Some(1_700_000_000_000)),
        Owned::Open(u64::MAX, 0, b"rope".to_vec(), None, Kind::String, 512 << 20),
        Owned::Chunk(u64::MAX, 1 << 29, b"middle".to_vec()),
        Owned::Close(9),
        Owned::Close(u64::MAX),
        Owned::Whole(0, b"list".to_vec(), Some(7), Kind::List, b"\x01\x00\x01a".to_vec()),
        Owned::Whole(0, b"timed".to_vec(), None, Kind::Hash, b"any bytes".to_vec()),
        Owned::Open(10, 0, b"long list".to_vec(), None, Kind::List, 3),
        Owned::Hash(0, b"empty".to_vec(), None, vec![]),
    ]
}

fn random(prng: &mut Prng, count: u64) -> Vec<Owned> {
    let bytes = |prng: &mut Prng, max: u64| {
        let len = prng.below(max + 1);
        let random = prng.chance(1, 2);
        (0..len).map(|_| if random { prng.next() as u8 } else { b'a' }).collect::<Vec<u8>>()
    };
    (0..count)
        .map(|_| {
            let deadline = prng.chance(1, 3).then(|| prng.next());
            let db = prng.below(3) as u16;
            let key = bytes(prng, 40);
            let long = if prng.chance(1, 20) { 70_000 } else { 100 };
            match prng.below(7) {
                0..=2 => Owned::Str(db, key, deadline, bytes(prng, long)),
                3 => {
                    let pairs = (0..prng.below(20)).map(|_| (bytes(prng, 20), bytes(prng, 30)));
                    Owned::Hash(db, key, deadline, pairs.collect())
                }
                4 => Owned::Open(prng.next(), db, key, deadline, Kind::Hash, prng.next()),
                5 => Owned::Field(prng.below(1000), key, bytes(prng, long), deadline),
                _ => Owned::Chunk(prng.below(9), prng.next(), bytes(prng, long)),
            }
        })
        .collect()
}

#[test]
fn round_trip() {
    let (file, footer) = write(&small());
    for block in [1, 13, 1 << 20] {
        assert_eq!(read(&file, block, expected(&footer)), Ok((small(), footer)));
    }
    let entries = footer.entries;
    assert_eq!((entries.of(Kind::String), entries.of(Kind::Hash)), (3, 4));
    let (file, footer) = write(&[]);
    assert_eq!((file.len(), footer.chunks), (HEADER + FOOTER, 0));
    assert_eq!(read(&file, 7, None), Ok((vec![], footer)));
}

#[test]
fn random_items_over_many_chunks() {
    for seed in 0..150 {
        let mut prng = Prng::new(seed);
        let count = prng.below(400);
        let items = random(&mut prng, count);
        let (file, footer) = write(&items);
        let block = 1 + prng.below(100_000) as usize;
        let read = read(&file, block, expected(&footer));
        assert!(read == Ok((items, footer)), "seed {seed}");
    }
}

#[test]
fn what_does_not_shrink_is_stored_as_it_is() {
    let mut prng = Prng::new(3);
    let noise: Vec<u8> = (0..1 << 20).map(|_| prng.next() as u8).collect();
    let (file, footer) = write(&[Owned::Chunk(1, 0, noise.clone())]);
    let chunks = (1 << 20) / SNAPSHOT_CHUNK + 1;
    assert!(file.len() < noise.len() + (chunks + 5) * (CHUNK_HEAD + 1) + HEADER + FOOTER);
    assert_eq!((footer.chunks, footer.raw), (chunks as u64, (1 << 20) + 6));
    // What shrinks again behind it is noticed.
    let zeros = vec![0; 1 << 20];
    let (file, _) = write(&[Owned::Chunk(1, 0, noise), Owned::Chunk(1, 0, zeros)]);
    assert!(file.len() < (1 << 20) + (1 << 20) / 3, "{}", file.len());
}

#[test]
fn a_chunk_is_as_long_as_earlier_versions_made_them_and_no_longer() {
    // The same items, in chunks of another length.
    let file_of = |length: usize| {
        let mut w = ChunkWriter::new(&HEAD);
        let mut raw = Vec::new();
        let value = vec![7; 3 * SNAPSHOT_CHUNK_MAX];
        w.head.entry(Kind::String, 1, None, value.len());
        for part in [w.head.bytes(), b"k", &value] {
            raw.extend_from_slice(part);
        }
        raw.chunks(length).for_each(|chunk| w.sealer.seal(chunk, &mut w.out));
        w.entries.add(Kind::String);
        (w.finish(), Owned::Str(0, b"k".to_vec(), None, value))
    };
    for length in [1, SNAPSHOT_CHUNK, SNAPSHOT_CHUNK_MAX] {
        let ((file, footer), item) = file_of(length);
        assert!(read(&file, 1000, expected(&footer)) == Ok((vec![item], footer)), "{length}");
    }
    let ((file, footer), _) = file_of(SNAPSHOT_CHUNK_MAX + 1);
    let fault = read(&file, 1000, expected(&footer)).unwrap_err();
    assert_eq!(fault.offset, HEADER as u64, "{fault}");
}

#[test]
fn no_truncation_no_flipped_bit_and_no_longer_file_passes() {
    let (file, footer) = write(&small());
    for expected in [None, expected(&footer)] {
        for len in 0..file.len() {
            assert!(read(&file[..len], 100, expected).is_err(), "cut at {len}");
        }
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad, 100, expected).is_err(), "bit {bit}");
        }
        let longer = [&file[..], b"\0"].concat();
        assert!(read(&longer, 1000, expected).is_err());
        assert!(read(&longer, 1, expected).is_err());
    }
}

#[test]
fn chunks_of_another_place_or_file_do_not_pass() {
    let text: Vec<u8> = (0..SNAPSHOT_CHUNK * 3).map(|i| (i / 7) as u8).collect();
    let (file, footer) = write(&[Owned::Chunk(1, 0, text)]);
    let mut bounds = vec![HEADER];
    for _ in 0..footer.chunks {
        let at = bounds[bounds.len() - 1];
        let stored = u32::from_le_bytes(file[at + 5..at + 9].try_into().unwrap()) as usize;
        bounds.push(at + CHUNK_HEAD + stored);
    }
    let chunk = |i: usize| &file[bounds[i]..bounds[i + 1]];
    let end = &file[bounds[3]..];
    for bad in [
        [&file[..HEADER], chunk(1), chunk(0), chunk(2), end].concat(),
        [&file[..HEADER], chunk(0), chunk(1), end].concat(),
        [&file[..HEADER], chunk(0), chunk(1), chunk(2), chunk(2), end].concat(),
    ] {
        assert!(read(&bad, 1 << 20, None).is_err());
    }
    // The same items under another header: every chunk is foreign.
    let other = Header { generation: Generation(41), ..HEAD };
    let swapped = [&other.encode()[..], &file[HEADER..]].concat();
    let fault = read(&swapped, 1 << 20, None).unwrap_err();
    assert_eq!((fault.offset, fault.expected.starts_with("chunk 0")), (64, true), "{fault}");
}

#[test]
fn a_file_that_is_not_the_one_in_the_manifest_is_refused() {
    let (file, footer) = write(&small());
    let good = expected(&footer).unwrap();
    for (bad, at) in [
        (Expected { header: Header { shard: ShardId(2), ..HEAD }, ..good }, 0),
        (Expected { header: Header { run: RunId(1), ..HEAD }, ..good }, 0),
        (Expected { header: Header { cut: Epoch(1), ..HEAD }, ..good }, 0),
        (Expected { length: good.length + 1, ..good }, file.len() - FOOTER),
        (Expected { crc: good.crc ^ 1, ..good }, file.len() - FOOTER),
    ] {
        assert_eq!(read(&file, 100, Some(bad)).unwrap_err().offset, at as u64);
    }
}

#[test]
fn damaged_files_never_panic_nor_take_memory() {
    let (file, _) = write(&random(&mut Prng::new(1), 60));
    for seed in 0..3_000 {
        let mut prng = Prng::new(seed);
        let mut bad = file.clone();
        for _ in 0..1 + prng.below(4) {
            let at = prng.below(bad.len() as u64) as usize;
            match prng.below(3) {
                0 => bad[at] = prng.next() as u8,
                1 => drop(bad.drain(at..(at + 30).min(bad.len()))),
                _ => bad.truncate(at.max(1)),
            }
        }
        assert!(bad == file || read(&bad, 4096, None).is_err(), "seed {seed}");
    }
}

#[test]
fn the_expected_header_comes_from_the_manifest() {
    let manifest = crate::persist::manifest::tests::example();
    let header = Header::expected(&manifest, ShardId(0)).unwrap();
    assert_eq!((header.generation, header.shards, header.cut), (Generation(42), 2, Epoch(1700)));
    assert_eq!(Header::expected(&manifest, ShardId(1)), None);
}

#[test]
#[ignore = "measures; run with --release --nocapture"]
fn speed() {
    let mut prng = Prng::new(1);
    let count = 2_000_000u64;
    for (name, noise) in [("text", false), ("noise", true)] {
        let mut w = ChunkWriter::new(&HEAD);
        let mut file = Vec::new();
        let start = std::time::Instant::now();
        for i in 0..count {
            let key = format!("key:{i:012}");
            let value = if noise {
                [
                    prng.next().to_le_bytes(),
                    prng.next().to_le_bytes(),
                    prng.next().to_le_bytes(),
                    prng.next().to_le_bytes(),
                ]
                .concat()
            } else {
                format!("value of {i:023}").into_bytes()
            };
            w.string(Db(0), key.as_bytes(), None, &value);
            if w.ready() > 1 << 18 {
                file.extend_from_slice(&w.take(Vec::new()));
            }
        }
        let (rest, footer) = w.finish();
        file.extend_from_slice(&rest);
        let wrote = start.elapsed();
        let start = std::time::Instant::now();
        let mut reader = SnapshotReader::new("f", expected(&footer));
        let mut sum = 0u64;
        for block in file.chunks(1 << 20) {
            reader.feed(block);
            while let Some(mut items) = reader.next().unwrap() {
                while let Some(item) = items.next().unwrap() {
                    if let Item::Str { place, value } = item {
                        sum += (place.key.len() + value.len()) as u64;
                    }
                }
            }
        }
        reader.finish().unwrap();
        let read = start.elapsed();
        let rate = |time: std::time::Duration| count as f64 / time.as_secs_f64() / 1e6;
        println!(
            "{name}: {} of {sum} bytes, writing {:.1} M/s, reading {:.1} M/s",
            file.len(),
            rate(wrote),
            rate(read)
        );
    }
}

impl ChunkWriter {
    /// The items of the chunk that is not full yet.
    pub fn unsealed(&self) -> &[u8] {
        &self.raw
    }

    /// Adds bytes that need not be items.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.push(bytes);
    }
}
