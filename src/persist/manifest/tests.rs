//! Tests of the manifest: its text, and every damage to it.

use super::*;
use crate::base::prng::Prng;
use crate::types::value::Kind;

/// Two shards, the first in the middle of a checkpoint, one generation retained.
pub(in crate::persist) fn example() -> Manifest {
    let run = RunId(0xabc << 80);
    let mut entries = Counts::default();
    entries.set(Kind::String, 3);
    let base =
        Base { path: "000042/shard-000.snapshot".into(), run, length: 4096, crc: 0x1234, entries };
    let segment = |path: &str, number, first: Option<u64>, end: Option<(u64, u64)>| Segment {
        path: path.to_string(),
        number,
        run,
        first: first.map(Lsn),
        end: end.map(|(length, next)| End { length, next: Lsn(next) }),
    };
    let first = vec![
        segment("000042/shard-000.000006.aof", 6, Some(121), Some((1000, 140))),
        segment("000042/shard-000.000007.aof", 7, Some(140), None),
        segment("000043/shard-000.000009.aof", 9, None, None),
    ];
    let second = vec![segment("000042/shard-001.000003.aof", 3, Some(1), None)];
    Manifest {
        run,
        generation: Generation(42),
        cut: Epoch(1700),
        cut_time: Millis(1_700_000_000_000),
        durable: Epoch(1699),
        boot: "1b4e28ba-2fa1-11d2-883f-0016d3cca427".into(),
        appendonly: true,
        policy: Policy::EverySecond,
        hash: HashId { function: 1, seed: 0xfeed },
        retained: vec![Generation(41)],
        slots: vec![
            SlotRange { first: 0, last: 8191, shard: ShardId(0) },
            SlotRange { first: 8192, last: 16383, shard: ShardId(1) },
        ],
        shards: vec![
            ShardFiles { after: Lsn(120), base: Some(base), segments: first },
            ShardFiles { after: Lsn(0), base: None, segments: second },
        ],
    }
}

/// Replaces the first `from` and seals the text again.
fn edited(from: &str, to: &str) -> Vec<u8> {
    let text = String::from_utf8(example().encode()).unwrap();
    assert!(text.contains(from), "{from}");
    let text = text.replacen(from, to, 1);
    let body = &text[..text.len() - "checksum 0123456789abcdef\n".len()];
    format!("{body}checksum {:016x}\n", crc64(body.as_bytes())).into_bytes()
}

fn parse(bytes: &[u8]) -> Result<Manifest, StorageFault> {
    Manifest::parse("MANIFEST", bytes)
}

#[test]
fn round_trip() {
    let full = example();
    assert_eq!(parse(&full.encode()), Ok(full.clone()));
    let mut off = full.clone();
    off.appendonly = false;
    off.boot = String::new();
    off.retained.clear();
    off.policy = Policy::No;
    for files in &mut off.shards {
        files.segments.clear();
    }
    off.shards[0].base.as_mut().unwrap().path = "000042/shard-000.base.aof".into();
    assert_eq!(parse(&off.encode()), Ok(off.clone()));
    assert_eq!(off.paths().collect::<Vec<_>>(), ["000042/shard-000.base.aof"]);
    assert_eq!(full.paths().count(), 5);
}

#[test]
fn a_cut_that_was_noted_while_the_segment_before_it_was_open() {
    let mut noted = example();
    let segments = &mut noted.shards[0].segments;
    segments[2].first = Some(Lsn(150));
    let path = "000044/shard-000.000010.aof".to_string();
    segments.push(Segment { path, number: 10, run: RunId(1), first: None, end: None });
    assert_eq!(parse(&noted.encode()), Ok(noted));
}

#[test]
fn no_truncation_and_no_flipped_bit_passes() {
    let bytes = example().encode();
    for len in 0..bytes.len() {
        assert!(parse(&bytes[..len]).is_err(), "cut at {len}");
    }
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(parse(&bad).is_err(), "bit {bit}");
    }
    let longer = [bytes.clone(), b"\n".to_vec()].concat();
    assert!(parse(&longer).is_err());
}

#[test]
fn faults_name_the_line() {
    for (from, to, expected, found) in [
        ("basalt-manifest 1", "basalt-manifest 2", "format version 1", "2"),
        ("generation 42", "generation x", "line 3: generation: a number", "x"),
        ("cut-epoch 1700\n", "", "line 4: cut-epoch", "cut-time 1700000000000"),
        ("appendonly yes", "appendonly maybe", "line 8: appendonly: yes or no", "maybe"),
        ("shards 2", "shards 257", "line 12: shards: at most 256 shards", "257"),
        ("shards 2", "shards 3", "line 22: shard", ""),
        ("shard 1 after", "shard 2 after", "line 20: shard: shard 1", "2"),
        ("000042/shard-000.snapshot", "../shard-000.snapshot", "a base of this", "../shard"),
        ("000042/shard-000.000006.aof", "/etc/passwd", "the path of a segment", "/etc/passwd"),
        ("shard-001.000003", "shard-000.000003", "a segment of this shard", "shard-000.000003"),
        ("slots 8192", "slots 8193", "slots that follow", "8193"),
        ("16383 1", "16383 2", "slots that follow, of a shard that exists", "8192"),
        ("8192 16383 1\n", "8192 16382 1\n", "16384 slots", "16383"),
        ("first=140 end=-", "first=141 end=-", "a first lsn that follows", "141"),
        ("first=140 end=-", "first=- end=-", "a first lsn that follows", "0"),
        ("end=1000,140", "end=1000,120", "an end that follows", "000006"),
        ("first=- end=-", "first=- end=1,1", "an end that follows", "000009"),
        ("first=- end=-", "first=139 end=-", "a first lsn that follows", "139"),
        ("retained 41", "retained 42", "retained generations, falling", "42"),
        ("retained 41", "retained 40 41", "retained generations, falling", "42"),
        ("generation 42", "generation 042", "the one way", "another"),
        ("entries=string:3", "entries=string:x", "entries=", "entries=string:x"),
        ("checksum", "unknown 1\nchecksum", "line 22: checksum", "unknown 1"),
    ] {
        let fault = parse(&edited(from, to)).unwrap_err();
        assert!(
            fault.expected.contains(expected) && fault.found.contains(found),
            "{from} -> {to}: {fault}"
        );
    }
    let mut bytes = example().encode();
    bytes[30] ^= 1;
    let fault = parse(&bytes).unwrap_err();
    assert!(fault.expected.starts_with("checksum "), "{fault}");
}

#[test]
fn resealed_garbage_never_panics() {
    let text = String::from_utf8(example().encode()).unwrap();
    let body = &text[..text.len() - "checksum 0123456789abcdef\n".len()];
    for seed in 0..5_000 {
        let mut prng = Prng::new(seed);
        let mut bad = body.as_bytes().to_vec();
        for _ in 0..1 + prng.below(4) {
            let at = prng.below(bad.len() as u64) as usize;
            match prng.below(3) {
                0 => bad[at] = b' ' + prng.below(95) as u8,
                1 => drop(bad.remove(at)),
                _ => bad.insert(at, b"0123456789\n -"[prng.below(13) as usize]),
            }
        }
        let seal = format!("checksum {:016x}\n", crc64(&bad));
        bad.extend_from_slice(seal.as_bytes());
        if let Ok(read) = parse(&bad) {
            assert_eq!(read.encode(), bad, "seed {seed}");
        }
    }
}
