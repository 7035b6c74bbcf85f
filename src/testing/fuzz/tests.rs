//! The targets: every decoder, with what must hold whatever the bytes are.

use super::*;

use crate::base::extended::Extended;
use crate::base::glob;
use crate::base::ids::{Db, Epoch, Generation, Lsn, ShardId};
use crate::base::number;
use crate::base::time::Millis;
use crate::config::Config;
use crate::config::command_line;
use crate::config::load::Source;
use crate::config::text;
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::persist::manifest::{HashId, Manifest};
use crate::persist::names;
use crate::persist::payload::{Pieces, transaction_of};
use crate::persist::rdb::file_reader::FileReader;
use crate::persist::rdb::file_writer::FileWriter;
use crate::persist::rdb::libraries;
use crate::persist::rdb::packed::ListpackWriter;
use crate::persist::rdb::payload;
use crate::persist::record::{Header, LINE, Policy, RunId, SegmentId};
use crate::persist::segment_scan::{Scanned, SegmentReader, SegmentScan};
use crate::persist::snapshot_file::{ChunkWriter, Header as FileHeader};
use crate::persist::snapshot_reader::{Expected, SnapshotReader};
use crate::persist::value_codec::Counts;
use crate::resp::args::OwnedArgs;
use crate::resp::buffer::Buffer;
use crate::resp::request::{Access, Limits, Parser, Step};
use crate::shard::fill::load_items;
use crate::shard::restore::FileNumber;
use crate::shard::shard::Shard;
use crate::testing::data::{DATABASES, Left, RUNS, Sample, sample};
use crate::types::value::Kind;

fn text_of(file: &str) -> Vec<Vec<u8>> {
    lines(match file {
        "requests" => include_str!("corpus/requests.txt"),
        "globs" => include_str!("corpus/globs.txt"),
        "numbers" => include_str!("corpus/numbers.txt"),
        "config" => include_str!("corpus/config.txt"),
        other => panic!("no corpus {other}"),
    })
}

/// A directory on disk, as files.
fn files(ending: &str) -> (Sample, Vec<Vec<u8>>) {
    let (sample, _) = sample(Left::Killed, "boot", RUNS[0]);
    let files = sample.files.iter().filter(|(path, _)| path.ends_with(ending));
    let corpus = files.map(|(_, bytes)| bytes.clone()).collect();
    (sample, corpus)
}

/// All requests of a stream that comes in pieces, and what ends it.
fn requests(
    input: &[u8],
    limits: &Limits,
    piece: impl FnMut() -> usize,
) -> (Vec<Vec<Vec<u8>>>, Step) {
    let (mut buffer, mut parser, mut piece) = (Buffer::new(), Parser::new(), piece);
    let (mut all, mut rest, mut ahead) = (Vec::new(), input, None);
    loop {
        loop {
            match parser.next(&mut buffer, limits) {
                Step::Request => {
                    let args: Vec<Vec<u8>> =
                        parser.args(&buffer).iter().map(<[u8]>::to_vec).collect();
                    assert!(!args.is_empty(), "a request without a name");
                    assert!(ahead.is_none() || ahead == args.get(1).cloned(), "{ahead:?}");
                    ahead = parser.ahead(&buffer).next().map(<[u8]>::to_vec);
                    assert!(args.iter().map(Vec::len).sum::<usize>() <= input.len());
                    all.push(args);
                }
                Step::Incomplete => break,
                invalid => return (all, invalid),
            }
        }
        assert!(buffer.memory() <= 4 * input.len() + (256 << 10), "{}", buffer.memory());
        if rest.is_empty() {
            return (all, Step::Incomplete);
        }
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        buffer.fill(now);
        rest = later;
    }
}

/// Fuzzing that cannot find anything proves nothing: each of these mistakes has to be found.
#[test]
fn planted() {
    let test = "testing::fuzz::tests::planted";
    if std::env::var_os("BASALT_FUZZ_CHILD").is_none() {
        for (plant, sign) in [
            ("panic", "the input is "),
            ("reserve", "memory allocation of 1073741824 bytes failed"),
            ("slow", "1.1"),
        ] {
            let found = child(test, plant).expect_err(plant);
            assert!(found.contains(sign) && found.contains("BASALT_FUZZ_CASE="), "{found}");
        }
        return;
    }
    let plant = std::env::var("BASALT_FUZZ_PLANT").unwrap();
    fuzz(test, &[b"*1\r\n$4\r\nPING\r\n".to_vec()], |input, _| match plant.as_str() {
        "panic" => assert!(!input.contains(&b'9'), "a nine"),
        "reserve" if input.contains(&b'9') => {
            std::hint::black_box(Vec::<u8>::with_capacity(1 << 30));
        }
        "slow" if input.contains(&b'9') => std::thread::sleep(Duration::from_millis(1100)),
        _ => {}
    });
}

/// The same requests come out however the bytes arrive, and those that are written come back.
#[test]
fn request() {
    let mut corpus = text_of("requests");
    corpus.extend(files(".base.aof").1.iter().map(|bytes| bytes[..2000].to_vec()));
    fuzz("testing::fuzz::tests::request", &corpus, |input, prng| {
        let access = if prng.chance(1, 4) { Access::BeforeAuth } else { Access::Open };
        let limits = Limits { access, ..Limits::default() };
        let (whole, end) = requests(input, &limits, || usize::MAX);
        let (pieces, end_of_pieces) = requests(input, &limits, || 1 + prng.below(64) as usize);
        assert_eq!((&whole, end), (&pieces, end_of_pieces));
        let mut out = Vec::new();
        for args in &whole {
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            let (args, mut selected) = (OwnedArgs::of(&args), Some(Db(0)));
            crate::persist::payload::put_command(&mut out, &mut selected, Db(0), args.args());
        }
        assert_eq!(requests(&out, &Limits::default(), || usize::MAX).0, whole);
    });
}

/// A line that is read is the line that would have been written.
#[test]
fn record() {
    let (sample, _) = files("");
    let log = &sample.files["000003/shard-001.000006.aof"];
    let id = SegmentId { run: RUNS[0], shard: ShardId(1), number: 6 };
    let corpus: Vec<Vec<u8>> = sample.ends[1]
        .iter()
        .filter_map(|end| log.get(end.length as usize..))
        .map(|rest| rest[..LINE.min(rest.len())].to_vec())
        .collect();
    fuzz("testing::fuzz::tests::record", &corpus, |input, _| {
        if let Some(mut announced) = Header::read(input, id) {
            let header = *announced.header();
            assert_eq!(header.write(id, b"")[..142], input[..142], "two lines for one header");
            announced.update(b"");
            let _ = announced.verified();
        }
    });
}

fn scan(
    id: SegmentId,
    first: Option<Lsn>,
    bytes: &[u8],
    mut piece: impl FnMut() -> usize,
) -> Scanned {
    let mut scan = SegmentScan::new(id, first);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
        scan.feed(now);
        rest = later;
    }
    scan.finish()
}

/// What a scan calls valid is what a reader reads, however the bytes arrive.
fn check_segment(id: SegmentId, first: Option<Lsn>, bytes: &[u8], prng: &mut Prng) {
    let found = scan(id, first, bytes, || usize::MAX);
    assert_eq!(found, scan(id, first, bytes, || 1 + prng.below(400) as usize));
    assert!(found.length <= bytes.len() as u64 && found.proven() <= found.length);
    let start = found.first.unwrap_or(Lsn(1));
    let mut reader = SegmentReader::new("a segment", id, start, found.length, found.next);
    reader.feed(bytes);
    let mut records = 0;
    while let Some(record) = reader.next().expect("what a scan has verified") {
        records += 1;
        let mut pieces = record.into_pieces();
        while let Ok(Some(_)) = pieces.next() {}
    }
    assert_eq!(reader.finish(), Ok(()));
    assert_eq!(records, found.records);
}

#[test]
fn segment() {
    let (sample, corpus) = files("000006.aof");
    fuzz("testing::fuzz::tests::segment", &corpus, |input, prng| {
        for shard in (0..4).map(ShardId) {
            let segment = &sample.manifest.shards[shard.index()].segments[1];
            let first = segment.first.filter(|_| prng.chance(1, 2));
            check_segment(segment.id(shard), first, input, prng);
        }
    });
}

/// A payload whose checksum holds can still be anything.
#[test]
fn payload() {
    let (sample, _) = files("");
    let log = &sample.files["000003/shard-001.000006.aof"];
    let mut corpus = Vec::new();
    let mut from = 0;
    for end in &sample.ends[1] {
        corpus.push(log[(from + LINE).min(log.len())..end.length as usize].to_vec());
        from = end.length as usize;
    }
    let id = SegmentId { run: RunId(1), shard: ShardId(0), number: 1 };
    fuzz("testing::fuzz::tests::payload", &corpus, |input, prng| {
        let _ = transaction_of(input);
        let (count, mut selected) = (prng.below(20), None);
        let mut pieces = Pieces::new(input, count, &mut selected);
        let mut given = 0;
        while let Ok(Some(_)) = pieces.next() {
            given += 1;
            assert!(given <= input.len(), "more pieces than bytes");
        }
        let (epoch, policy) = (Epoch(2), Policy::EverySecond);
        let header = Header {
            first: Lsn(1),
            count: u32::from(!input.is_empty()),
            epoch,
            durable: Epoch(prng.below(3)),
            synced: Lsn(0),
            now: Millis(1),
            policy,
            payload: input.len() as u64,
        };
        let sealed = [&header.write(id, input)[..], input].concat();
        check_segment(id, Some(Lsn(1)), &sealed, prng);
        assert_eq!(scan(id, Some(Lsn(1)), &sealed, || usize::MAX).length, sealed.len() as u64);
    });
}

fn empty_shard() -> Shard {
    let settings = Settings { databases: DATABASES, seed: 99, ..Settings::default() };
    Shard::new(ShardId(0), Keyspace::new(settings), 1)
}

/// Loads a file of which all is taken for true that its checksums vouch for.
fn read_snapshot(bytes: &[u8], expected: Option<Expected>, prng: &mut Prng) {
    let (mut reader, mut shard) = (SnapshotReader::new("a base", expected), empty_shard());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at((1 + prng.below(5000) as usize).min(rest.len()));
        reader.feed(now);
        rest = later;
        if load_items(&mut shard, FileNumber(0), &mut reader, "a base").is_err() {
            return;
        }
    }
    let _ = reader.finish();
}

#[test]
fn snapshot_file() {
    let (sample, corpus) = files(".snapshot");
    fuzz("testing::fuzz::tests::snapshot_file", &corpus, |input, prng| {
        let base = sample.manifest.shards[0].base.as_ref().expect("a base");
        let header = FileHeader::expected(&sample.manifest, ShardId(0)).expect("a base");
        let expected = Expected { header, length: base.length, crc: base.crc };
        read_snapshot(input, Some(expected).filter(|_| prng.chance(1, 2)), prng);
    });
}

/// Items in chunks whose checksums hold.
#[test]
fn snapshot_items() {
    let header = FileHeader {
        shard: ShardId(0),
        shards: 1,
        generation: Generation(1),
        cut: Epoch(1),
        run: RunId(1),
        hash: HashId { function: 1, seed: 99 },
    };
    let mut small = ChunkWriter::new(&header);
    small.expect(Db(0), 3);
    small.string(Db(0), b"key", None, b"value");
    small.string(Db(1), b"key", Some(Millis(77)), &[b'v'; 300]);
    small.hash(Db(0), b"h", None, [(&b"f"[..], &b"v"[..]), (b"g", b"w")].into_iter());
    let timed = b"\x02\0\x01a\x07x\x01\0\0\0\0\x10\x01b\x07y\0\0\0\0\0\0";
    small.whole(Db(0), b"timed", None, (Kind::Hash, timed));
    let mut big = ChunkWriter::new(&header);
    big.open(1, Db(0), b"big", None, (Kind::Hash, 2));
    big.open(2, Db(0), b"long", Some(Millis(9)), (Kind::String, 5));
    big.field(1, b"f", b"v", None);
    big.chunk(2, 0, b"01234");
    big.field(1, b"g", b"w", Some(Millis(1_700_000_000_000)));
    big.close(2);
    big.close(1);
    let corpus = vec![small.unsealed().to_vec(), big.unsealed().to_vec()];
    fuzz("testing::fuzz::tests::snapshot_items", &corpus, |input, prng| {
        let mut writer = ChunkWriter::new(&header);
        writer.raw(input);
        let (bytes, footer) = writer.finish();
        let expected = Expected { header, length: footer.length, crc: footer.crc };
        read_snapshot(&bytes, Some(expected), prng);
        if let Ok(text) = std::str::from_utf8(input) {
            let _ = Counts::parse(text);
        }
    });
}

/// There is one text for each manifest, sealed or not.
#[test]
fn manifest() {
    let (sample, corpus) = files("MANIFEST");
    let listing = sample.files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64));
    let listing: std::collections::BTreeMap<String, u64> = listing.collect();
    fuzz("testing::fuzz::tests::manifest", &corpus, |input, prng| {
        let body = input.strip_suffix(b"\n").unwrap_or(input);
        let body = &input[..memchr::memrchr(b'\n', body).map_or(input.len(), |at| at + 1)];
        let seal = format!("checksum {:016x}\n", crate::base::checksum::crc64(body));
        let sealed = [body, seal.as_bytes()].concat();
        for text in [input, &sealed] {
            let Ok(manifest) = Manifest::parse("MANIFEST", text) else { continue };
            assert_eq!(manifest.encode(), text);
            for path in manifest.paths().map(str::to_owned).chain(listing.keys().cloned()) {
                let _ = names::fate(&path, Some(&manifest));
            }
            let scans: Vec<Vec<Scanned>> = Vec::new();
            let mode = crate::persist::recovery::Mode::Auto;
            let facts = crate::persist::recovery::Facts {
                manifest: &manifest,
                listing: &listing,
                boot: "boot",
                mode,
                scans: &scans,
            };
            let _ = crate::persist::recovery::plan(&facts);
        }
        let name =
            String::from_utf8_lossy(&input[..prng.below(40).min(input.len() as u64) as usize]);
        let _ = names::parse(&name);
    });
}

/// A configuration is refused with one line, or it can be used; words that are quoted come back.
#[test]
fn config() {
    let mut corpus = text_of("config");
    corpus.push(Config::default().document().into_bytes());
    fuzz("testing::fuzz::tests::config", &corpus, |input, _| {
        let file = String::from_utf8_lossy(input).into_owned();
        let source = Source { name: "a file".to_owned(), text: file.clone() };
        let mut read = |name: &str| match name.len() % 2 {
            0 => Ok("include other\nport 1\n".to_owned()),
            _ => Err("no such file".to_owned()),
        };
        if let Err(fault) = Config::load(&[source], &mut read) {
            assert!(!fault.to_string().contains('\n'), "{fault}");
        }
        for line in file.lines() {
            if let Some(words) = text::words(line) {
                let quoted: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
                assert_eq!(text::words(&quoted.join(" ")), Some(words));
            }
        }
        let words: Vec<String> = file.split_whitespace().map(str::to_owned).collect();
        if words.len() < 200 {
            let _ = command_line::parse(&words);
        }
    });
}

/// What a pattern means, said with backtracking; for short ones.
fn slowly(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|at| slowly(rest, &text[at..])),
        ([b'?', rest @ ..], [_, tail @ ..]) => slowly(rest, tail),
        ([literal, rest @ ..], [byte, tail @ ..]) => literal == byte && slowly(rest, tail),
        _ => false,
    }
}

#[test]
fn globs() {
    let corpus = text_of("globs");
    fuzz("testing::fuzz::tests::globs", &corpus, |input, _| {
        let input = &input[..input.len().min(16 << 10)];
        let (pattern, text) = input.split_at(memchr::memchr(b' ', input).unwrap_or(0));
        let text = text.strip_prefix(b" ").unwrap_or(text);
        let found = glob::matches(pattern, text);
        let _ = glob::matches_any_case(pattern, text);
        let plain = !pattern.iter().any(|byte| b"[\\".contains(byte));
        if plain && pattern.len() < 12 && text.len() < 12 && !text.is_empty() {
            assert_eq!(found, slowly(pattern, text));
        }
        assert!(glob::matches(b"*", input));
    });
}

/// What is printed is read as the same number.
#[test]
fn numbers() {
    let corpus = text_of("numbers");
    fuzz("testing::fuzz::tests::numbers", &corpus, |input, prng| {
        let canonical = std::str::from_utf8(input).ok().and_then(|text| text.parse::<i64>().ok());
        let canonical = canonical.filter(|value| value.to_string().as_bytes() == input);
        assert_eq!(number::parse_i64(input), canonical);
        let bits = f64::from_bits(prng.next());
        for value in [number::parse_double(input), Some(bits)].into_iter().flatten() {
            for push in [number::push_double, number::push_double_digits] {
                let mut out = Vec::new();
                push(&mut out, value);
                let again = number::parse_double(&out);
                assert!(value.is_nan() || again == Some(value), "{value:?} {again:?}");
            }
        }
        let _ = number::parse_double_saturating(input);
        if let Some(value) = Extended::parse(input) {
            let text = value.text();
            assert!(text.len() < 6000, "{}", text.len());
            let _ = value.finite_sum(&Extended::ZERO);
        }
        if let Ok(word) = std::str::from_utf8(input) {
            let _ = (text::memory(word), text::integer(word));
        }
    });
}

/// Values as DUMP and Redis' files hold them, with their type before them.
fn typed_values() -> Vec<Vec<u8>> {
    let mut pack = ListpackWriter::default();
    pack.text(b"a");
    pack.number(70_000);
    pack.text(b"a longer text");
    pack.number(-5);
    let pack = pack.finish();
    let with = |head: &[u8], pack: &[u8]| [head, &[pack.len() as u8], pack].concat();
    let mut timed = ListpackWriter::default();
    timed.text(b"a");
    timed.text(b"value");
    timed.number(1_900_000_000_000);
    timed.text(b"b");
    timed.text(b"7");
    timed.number(0);
    let timed = timed.finish();
    let moment = 1_900_000_000_000_u64.to_le_bytes();
    vec![
        with(b"\x17", &timed),
        with(&[b"\x19", &moment[..]].concat(), &timed),
        [&b"\x18"[..], &moment, b"\x02\x01\x01a\x01v\0\x01b\x01w"].concat(),
        [
            &b"\x16\x01\x81"[..],
            &moment.map(|b| b).into_iter().rev().collect::<Vec<u8>>(),
            b"\x01a\x01v",
        ]
        .concat(),
        b"\x00\x05value".to_vec(),
        b"\x00\xc0\x7f".to_vec(),
        b"\x00\xc3\x05\x0a\x00a\xe0\x00\x00".to_vec(),
        b"\x02\x02\x01a\x01b".to_vec(),
        b"\x03\x01\x01a\x031.5".to_vec(),
        b"\x05\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x3f".to_vec(),
        b"\x04\x01\x01f\x01v".to_vec(),
        b"\x0b\x0c\x02\x00\x00\x00\x02\x00\x00\x00\x01\x00\x05\x00".to_vec(),
        with(b"\x10", &pack),
        with(b"\x11", &pack),
        with(b"\x12\x01\x02", &pack),
        with(b"\x14", &pack),
        b"\x0a\x0f\x0f\0\0\0\x0c\0\0\0\x02\0\x00\xf3\x02\xf6\xff".to_vec(),
    ]
}

#[test]
fn restore_payload() {
    let corpus = typed_values();
    fuzz("testing::fuzz::tests::restore_payload", &corpus, |input, _| {
        let mut given = 0;
        let _ = payload::parts(input, |_| given += 1);
        assert!(given <= 16 * input.len() + 16, "{given} parts of {} bytes", input.len());
        let mut sealed = input.to_vec();
        payload::seal(&mut sealed);
        assert!(payload::open(&sealed).is_ok_and(|body| body == input));
        let _ = payload::open(input);
    });
}

#[test]
fn rdb_file() {
    let mut file = FileWriter::new(12, &[("redis-ver", "7.0.15")]);
    file.library(b"#!lua name=x\nredis.register_function('f', function() end)");
    for (n, value) in typed_values().iter().enumerate() {
        let deadline = (n % 3 == 0).then_some(4_000_000_000_000);
        file.key(n as u16 % 3, format!("key:{n}").as_bytes(), deadline, value);
    }
    let corpus = vec![file.finish()];
    fuzz("testing::fuzz::tests::rdb_file", &corpus, |input, prng| {
        let mut reader = FileReader::new("dump.rdb");
        let mut rest = input;
        while !rest.is_empty() {
            let (now, later) = rest.split_at((1 + prng.below(300) as usize).min(rest.len()));
            reader.feed(now);
            rest = later;
            loop {
                match reader.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(fault) => {
                        assert!(fault.offset <= input.len() as u64, "{fault}");
                        return;
                    }
                }
            }
        }
        let _ = reader.finish();
    });
}

#[test]
fn libraries() {
    let text = b"#!lua name=x\nredis.register_function('f', function() end)";
    let long = text.repeat(20);
    let corpus: Vec<Vec<u8>> = [vec![&text[..]], vec![&text[..], b"", &long]]
        .into_iter()
        .map(|texts| {
            let mut body = Vec::new();
            texts.iter().for_each(|text| libraries::put(&mut body, text));
            body
        })
        .collect();
    fuzz("testing::fuzz::tests::libraries", &corpus, |input, _| {
        let mut sealed = input.to_vec();
        payload::seal(&mut sealed);
        if let Ok(texts) = libraries::restore(&sealed) {
            let again = libraries::dump(texts.iter().map(Vec::as_slice));
            assert_eq!(libraries::restore(&again), Ok(texts));
        }
        let _ = libraries::restore(input);
    });
}
