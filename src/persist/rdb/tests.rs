//! (test) What a real redis-server dumps is read, in every encoding; what was changed is refused or
//! read, and nothing else.

use std::collections::BTreeMap;

use super::file_reader::{Event, FileReader};
use super::file_writer::FileWriter;
use super::packed::ListpackWriter;
use super::payload::{self, BadPayload};
use super::scalar::Drain;
use super::stream_reader::{Pending, StreamPart};
use super::stream_writer::{Consumer, Group, StreamWriter};
use super::value_reader::Part;
use super::value_writer::ValueWriter;
use crate::base::prng::Prng;
use crate::testing::fuzz::fuzz;
use crate::testing::peer::Peer;

/// A part as a line.
fn line(part: &Part<'_>) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match part {
        Part::Text(bytes) | Part::Element(bytes) | Part::Member(bytes) => text(bytes),
        Part::Pair(name, value) => format!("{} = {}", text(name), text(value)),
        Part::Timed(name, value, at) => format!("{} = {} until {at}", text(name), text(value)),
        Part::Scored(member, score) => format!("{} @ {score}", text(member)),
        Part::Stream(StreamPart::Entry((ms, seq), pairs)) => {
            let pairs =
                pairs.iter().map(|(name, value)| format!(" {}={}", text(name), text(value)));
            format!("{ms}-{seq}{}", pairs.collect::<String>())
        }
        Part::Stream(StreamPart::Meta(meta)) => format!(
            "meta {} {}-{} {}-{} {}",
            meta.length, meta.last.0, meta.last.1, meta.deleted.0, meta.deleted.1, meta.added
        ),
        Part::Stream(StreamPart::Group(group)) => {
            format!(
                "group {} {}-{} {:?}",
                text(&group.name),
                group.last.0,
                group.last.1,
                group.read
            )
        }
        Part::Stream(StreamPart::Consumer(consumer)) => {
            format!("consumer {}", text(&consumer.name))
        }
        Part::Stream(StreamPart::Pending(pending)) => {
            format!("pending {}-{} x{}", pending.id.0, pending.id.1, pending.count)
        }
    }
}

/// The parts of a payload as lines.
fn lines(payload: &[u8]) -> Result<Vec<String>, BadPayload> {
    let mut lines = Vec::new();
    payload::parts(payload::open(payload)?, |part| lines.push(line(&part)))?;
    Ok(lines)
}

/// A payload of these bytes.
fn sealed(body: &[u8]) -> Vec<u8> {
    let mut payload = body.to_vec();
    payload::seal(&mut payload);
    payload
}

/// The bytes of a bulk string reply.
fn bulk(reply: &[u8]) -> Vec<u8> {
    assert_eq!(reply[0], b'$', "{}", reply.escape_ascii());
    let at = reply.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    reply[at..reply.len() - 2].to_vec()
}

fn words(line: &str) -> Vec<Vec<u8>> {
    line.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn run(peer: &mut Peer, args: &[Vec<u8>]) -> Vec<u8> {
    let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
    let reply = peer.call(&args);
    assert_ne!(reply[0], b'-', "{}: {}", args[0].escape_ascii(), reply.escape_ascii());
    reply
}

/// Texts of all the shapes that encodings tell apart.
fn texts(prng: &mut Prng, count: usize, longest: u64) -> Vec<String> {
    let numbers = [0, 1, 12, 13, -1, 127, 128, 255, 4095, 4096, -4096, 32767, -32769, 8_388_607];
    let more = [-8_388_609, i64::from(i32::MAX), 1 << 31, i64::MIN, i64::MAX];
    let numbers: Vec<i64> = numbers.into_iter().chain(more).collect();
    let mut texts = BTreeMap::new();
    while texts.len() < count {
        let text = match prng.below(4) {
            0 => numbers[prng.below(numbers.len() as u64) as usize].to_string(),
            1 => (prng.next() as i64 >> prng.below(60)).to_string(),
            2 => "ab".repeat(prng.below(longest / 2 + 1) as usize) + &texts.len().to_string(),
            _ => {
                let length = prng.below(longest);
                (0..length).map(|_| (b'a' + prng.below(26) as u8) as char).collect()
            }
        };
        texts.insert(text, ());
    }
    texts.into_keys().collect()
}

/// Makes values of all types, and what they are.
fn fill(peer: &mut Peer, prng: &mut Prng) -> Vec<(String, Vec<String>, bool)> {
    let mut made = Vec::new();
    for (count, longest) in [(1, 20), (10, 60), (100, 300), (700, 30), (40, 9000)] {
        let texts = texts(prng, count, longest);
        let all = || texts.iter().map(|text| text.clone().into_bytes());
        let key = |kind: &str| format!("{kind}:{count}:{longest}");
        let mut put =
            |name: &str, command: &str, args: Vec<Vec<u8>>, lines: Vec<String>, sorted| {
                let mut request = vec![command.into(), key(name).into_bytes()];
                request.extend(args);
                run(peer, &request);
                made.push((key(name), lines, sorted));
            };
        put("string", "SET", vec![texts[0].clone().into_bytes()], vec![texts[0].clone()], false);
        put("list", "RPUSH", all().collect(), texts.clone(), false);
        put("set", "SADD", all().collect(), texts.clone(), true);
        let mut pairs: Vec<String> = texts.iter().map(|text| format!("{text} = v{text}")).collect();
        let args = texts.iter().flat_map(|text| [text.clone(), format!("v{text}")]);
        pairs.sort();
        put("hash", "HSET", args.map(String::into_bytes).collect(), pairs, true);
        let scores = [0.0, -1.0, 1.5, 3e300, f64::INFINITY, 0.1, 1e17, -4096.0, 70000.0];
        let scored: Vec<(f64, &String)> =
            texts.iter().enumerate().map(|(n, text)| (scores[n % scores.len()], text)).collect();
        let args = scored.iter().flat_map(|(score, text)| [format!("{score}"), text.to_string()]);
        let args = args.map(String::into_bytes).collect();
        let members = scored.iter().map(|(score, text)| format!("{text} @ {score}")).collect();
        put("zset", "ZADD", args, members, true);
        let numbers: Vec<String> = (0..count as i64 * 3).map(|n| (n * n * n).to_string()).collect();
        let args = numbers.iter().map(|number| number.clone().into_bytes()).collect();
        put("numbers", "SADD", args, numbers.clone(), true);
    }
    made
}

#[test]
fn what_redis_dumps_is_read() {
    let Some(mut peer) = Peer::start() else { return };
    let mut prng = Prng::new(11);
    let made = fill(&mut peer, &mut prng);
    let mut types = BTreeMap::<u8, u32>::new();
    for (key, mut expected, sorted) in made {
        let payload = bulk(&peer.call(&[b"DUMP", key.as_bytes()]));
        *types.entry(payload[0]).or_default() += 1;
        let mut found = lines(&payload).unwrap_or_else(|bad| panic!("{key}: {bad:?}"));
        if sorted {
            found.sort();
            expected.sort();
        }
        assert!(found == expected, "{key}: {found:?}\nexpected {expected:?}");
        // What we write of it, Redis takes.
        let body = rewritten(payload[0], payload::open(&payload).unwrap(), found.len());
        let reply = peer.call(&[b"RESTORE", b"again", b"0", &sealed(&body), b"REPLACE"]);
        assert_eq!(reply, b"+OK\r\n", "{key}: {}", reply.escape_ascii());
        let digests = peer.call(&[b"DEBUG", b"DIGEST-VALUE", key.as_bytes(), b"again"]);
        if digests[0] == b'*' {
            let digests: Vec<&[u8]> = digests.split(|byte| *byte == b'\n').collect();
            assert_eq!(digests[1], digests[2], "{key}");
        }
    }
    assert!(types.keys().eq([0, 2, 4, 5, 11, 16, 17, 18].iter()), "types seen: {types:?}");
}

/// The same value, written by `ValueWriter`.
fn rewritten(number: u8, body: &[u8], count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = match number {
        0 => {
            payload::parts(body, |part| {
                let Part::Text(text) = part else { panic!() };
                ValueWriter::string(&mut out, &text);
            })
            .unwrap();
            return out;
        }
        18 => ValueWriter::list(&mut out, count),
        2 | 11 => ValueWriter::set(&mut out, count),
        4 | 16 => ValueWriter::hash(&mut out, count),
        _ => ValueWriter::zset(&mut out, count),
    };
    payload::parts(body, |part| match part {
        Part::Element(text) | Part::Member(text) => writer.text(&text),
        Part::Pair(name, value) => {
            writer.text(&name);
            writer.text(&value);
        }
        Part::Scored(member, score) => {
            writer.text(&member);
            writer.score(score);
        }
        part => panic!("{part:?}"),
    })
    .unwrap();
    out
}

const STREAM: &str = "XADD s 5-1 a 1 b 2
    XADD s 5-2 a x b y
    XADD s 6-0 other field
    XADD s 7-0 a 1 b 2 c 300000
    XADD s 9-9 a -5 b z
    XDEL s 6-0
    XGROUP CREATE s g 5-1 ENTRIESREAD 1
    XREADGROUP GROUP g one COUNT 2 STREAMS s >
    XREADGROUP GROUP g two COUNT 1 STREAMS s >
    XGROUP CREATECONSUMER s g idle
    XGROUP CREATE s empty $";

#[test]
fn streams_of_redis_are_read() {
    let Some(mut peer) = Peer::start() else { return };
    for line in STREAM.lines() {
        run(&mut peer, &words(line.trim()));
    }
    let payload = bulk(&peer.call(&[b"DUMP", b"s"]));
    let expected = "5-1 a=1 b=2|5-2 a=x b=y|7-0 a=1 b=2 c=300000|9-9 a=-5 b=z|meta 4 9-9 6-0 5|\
                    group empty 9-9 None|group g 9-9 Some(5)|consumer idle|consumer one|\
                    pending 5-2 x1|pending 7-0 x1|consumer two|pending 9-9 x1";
    assert_eq!(lines(&payload).unwrap().join("|"), expected);
    for n in 0..1000 {
        let line = format!("XADD big {}-{n} field{} {n} same {}", n / 7 + 1, n % 2, "v".repeat(n));
        run(&mut peer, &words(&line));
    }
    for key in [b"s".as_slice(), b"big"] {
        let payload = bulk(&peer.call(&[b"DUMP", key]));
        let again = rewritten_stream(&payload);
        assert_eq!(lines(&again), lines(&payload));
        let reply = peer.call(&[b"RESTORE", b"again", b"0", &again, b"REPLACE"]);
        assert_eq!(reply, b"+OK\r\n", "{}", reply.escape_ascii());
        let back = bulk(&peer.call(&[b"DUMP", b"again"]));
        assert_eq!(lines(&back), lines(&payload));
    }
    let found = lines(&bulk(&peer.call(&[b"DUMP", b"big"]))).unwrap();
    assert_eq!(found.len(), 1001);
    assert_eq!(found[999], format!("143-999 field1=999 same={}", "v".repeat(999)));
}

/// The same stream, written by `StreamWriter`.
fn rewritten_stream(payload: &[u8]) -> Vec<u8> {
    type Consumers = Vec<(Vec<u8>, i64, Vec<Pending>)>;
    let (mut writer, mut entries, mut meta) = (StreamWriter::default(), 0, None);
    type Gathered = (Vec<u8>, (u64, u64), Option<u64>, Consumers);
    let mut groups: Vec<Gathered> = Vec::new();
    payload::parts(payload::open(payload).unwrap(), |part| {
        let Part::Stream(part) = part else { panic!() };
        match part {
            StreamPart::Entry(id, pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
                writer.entry(id, &pairs);
                entries += 1;
            }
            StreamPart::Meta(found) => meta = Some(found),
            StreamPart::Group(group) => {
                groups.push((group.name.to_vec(), group.last, group.read, Vec::new()));
            }
            StreamPart::Consumer(consumer) => {
                let consumers = &mut groups.last_mut().unwrap().3;
                consumers.push((consumer.name.to_vec(), consumer.seen, Vec::new()));
            }
            StreamPart::Pending(pending) => {
                groups.last_mut().unwrap().3.last_mut().unwrap().2.push(pending);
            }
        }
    })
    .unwrap();
    let groups: Vec<Group<'_>> = groups
        .iter()
        .map(|(name, last, read, consumers)| Group {
            name,
            last: *last,
            read: *read,
            consumers: consumers
                .iter()
                .map(|(name, seen, pending)| Consumer {
                    name,
                    seen: *seen,
                    pending: pending.clone(),
                })
                .collect(),
        })
        .collect();
    let mut out = Vec::new();
    writer.finish(&mut out, entries, meta.unwrap(), &groups);
    sealed(&out)
}

/// Encodings that Redis 7 reads but does not write any more.
#[test]
fn old_encodings_are_read() {
    let ziplist = b"\x0f\0\0\0\x0c\0\0\0\x02\0\x00\xf3\x02\xf6\xff";
    let text = |bytes: &[u8]| {
        let mut out = Vec::new();
        Drain::new(&mut out).plain(bytes);
        out
    };
    let cases: &[(Vec<u8>, &str)] = &[
        (b"\x01\x02\x01a\xc0\x05".to_vec(), "a|5"),
        (b"\x03\x02\x01a\x031.5\x01b\xfe".to_vec(), "a @ 1.5|b @ inf"),
        ([&b"\x0a"[..], &text(ziplist)].concat(), "2|5"),
        ([&b"\x0c"[..], &text(ziplist)].concat(), "2 @ 5"),
        ([&b"\x0d"[..], &text(ziplist)].concat(), "2 = 5"),
        ([&b"\x0e\x02"[..], &text(ziplist), &text(ziplist)].concat(), "2|5|2|5"),
        ([&b"\x09"[..], &text(b"\x01\x03foo\x03\x01bar_\xff")].concat(), "foo = bar"),
    ];
    let mut peer = Peer::start();
    for (body, expected) in cases {
        let payload = sealed(body);
        assert_eq!(lines(&payload).map(|lines| lines.join("|")), Ok((*expected).to_owned()));
        if let Some(peer) = &mut peer {
            let reply = peer.call(&[b"RESTORE", b"k", b"0", &payload, b"REPLACE"]);
            assert_eq!(reply, b"+OK\r\n", "{expected}: {}", reply.escape_ascii());
        }
    }
    // Redis 7.2: a set as a listpack.
    let mut listpack = ListpackWriter::default();
    ["a", "1"].iter().for_each(|text| listpack.text(text.as_bytes()));
    let body = [&b"\x14"[..], &text(&listpack.finish())].concat();
    assert_eq!(lines(&sealed(&body)), Ok(vec!["a".into(), "1".into()]));
}

#[test]
fn footers_and_foreign_values() {
    let good = sealed(b"\x00\x01v");
    assert_eq!(lines(&good), Ok(vec!["v".into()]));
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            assert_eq!(lines(&bad), Err(BadPayload::Footer), "byte {at}");
        }
    }
    for length in 0..good.len() {
        assert_eq!(lines(&good[..length]), Err(BadPayload::Footer));
    }
    for body in [&b"\x07"[..], b"\x08", b"\x18\x00", b"\xff", b"", b"\x00\x05abc"] {
        assert_eq!(lines(&sealed(body)), Err(BadPayload::Value), "{body:x?}");
    }
}

/// Real dumps, mutated, under a footer that holds.
#[test]
fn hostile_payloads_are_refused_or_read() {
    let mut bodies = vec![b"\x04\x01\x01a\x01b".to_vec(), b"\x03\x01\x01a\x031.5".to_vec()];
    if let Some(mut peer) = Peer::start() {
        let mut keys: Vec<String> =
            fill(&mut peer, &mut Prng::new(5)).into_iter().map(|made| made.0).collect();
        STREAM.lines().for_each(|line| drop(run(&mut peer, &words(line.trim()))));
        keys.push("s".into());
        for key in keys {
            let payload = bulk(&peer.call(&[b"DUMP", key.as_bytes()]));
            let body = payload::open(&payload).unwrap();
            if body.len() < 4000 {
                bodies.push(body.to_vec());
            }
        }
    }
    fuzz("persist::rdb::tests::hostile_payloads_are_refused_or_read", &bodies, |input, _| {
        let _ = lines(&sealed(input));
    });
}

/// Files without a checksum, mutated: blocks of any size find the same.
#[test]
fn hostile_files_are_refused_or_read() {
    let mut unchecked = file();
    let sum = unchecked.len() - 8;
    unchecked[sum..].fill(0);
    let old = b"REDIS0003\xfe\x00\x09\x01h\x0c\x01\x03foo\x03\x01bar_\xff\xff".to_vec();
    let corpus = [unchecked, old];
    fuzz("persist::rdb::tests::hostile_files_are_refused_or_read", &corpus, |input, prng| {
        let (whole, pieces) = (events(input, 1 << 20), events(input, 1 + prng.below(64) as usize));
        assert_eq!(whole, pieces);
    });
}

/// A file of ours, in blocks of all sizes.
fn file() -> Vec<u8> {
    let mut writer = FileWriter::new(10, &[("redis-ver", "7.0.15"), ("ctime", "1")]);
    writer.library(b"#!lua name=x");
    let mut value = Vec::new();
    ValueWriter::string(&mut value, b"hello");
    writer.key(0, b"k", Some(1_234_567_890_123), &value);
    value.clear();
    let mut hash = ValueWriter::hash(&mut value, 2);
    ["a", "1", "b", &"long".repeat(200)].iter().for_each(|text| hash.text(text.as_bytes()));
    writer.key(3, b"h", None, &value);
    let first = writer.take();
    value.clear();
    let mut zset = ValueWriter::zset(&mut value, 1);
    zset.text(b"m");
    zset.score(-0.5);
    writer.key(3, b"z", None, &value);
    [first, writer.finish()].concat()
}

fn events(bytes: &[u8], block: usize) -> Result<String, String> {
    let mut reader = FileReader::new("f");
    let mut found = Vec::new();
    for block in bytes.chunks(block) {
        reader.feed(block);
        while let Some(event) = reader.next().map_err(|fault| fault.to_string())? {
            found.push(match event {
                Event::About(name, _) => format!("about {}", name.escape_ascii()),
                Event::Database(number) => format!("db {number}"),
                Event::Library(text) => format!("library {}", text.escape_ascii()),
                Event::Expect(keys) => format!("expect {keys}"),
                Event::Key(key) => {
                    format!("{} {} {:?}", key.kind.name(), key.name.escape_ascii(), key.deadline)
                }
                Event::Part(part) => line(&part),
                Event::End => "end".to_owned(),
            });
        }
    }
    reader.finish().map_err(|fault| fault.to_string()).map(|()| found.join("|"))
}

#[test]
fn files_come_back_in_blocks_of_any_size() {
    let bytes = file();
    let expected = format!(
        "about redis-ver|about ctime|library #!lua name=x|db 0|string k Some(1234567890123)|hello|end|db 3|hash h None|\
         a = 1|b = {}|end|zset z None|m @ -0.5|end",
        "long".repeat(200)
    );
    for block in [1, 2, 3, 7, 64, 1 << 20] {
        assert_eq!(events(&bytes, block), Ok(expected.clone()), "blocks of {block}");
    }
    for length in 0..bytes.len() {
        assert!(events(&bytes[..length], 64).is_err(), "cut at {length}");
    }
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 4;
        assert!(events(&bad, 64).is_err(), "byte {at}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(events(&longer, 64).unwrap_err().contains("more bytes"));
}

#[test]
fn what_a_file_may_hold_beside_keys() {
    let head = b"REDIS0012\xfa\x03ver\x03aaa\xf5\x04#!lu\xfe\x02\xfb\x05\x01\xf4\x07\x05\x01";
    let key = b"\xfd\x0a\0\0\0\xf8\x05\xf9\x07\x00\x01k\x01v";
    let file = [&head[..], key, b"\xff\0\0\0\0\0\0\0\0"].concat();
    let expected = "about ver|library #!lu|db 2|expect 5|expect 5|string k Some(10000)|v|end";
    assert_eq!(events(&file, 1), Ok(expected.to_owned()));
    // Before version 5 there is no checksum.
    let old = b"REDIS0003\xfe\x00\x00\x01k\x01v\xff";
    assert_eq!(events(old, 5), Ok("db 0|string k None|v|end".to_owned()));
    let cases: &[(&[u8], &str)] = &[
        (b"REDIS0013\xff", "a later version"),
        (b"REDIS0000\xff", "a later version"),
        (b"RADIS0010\xff", "Redis' format"),
        (b"REDIS0010\xf6\x01x", "functions of a candidate"),
        (b"REDIS0010\xf7\x01x", "data of a module"),
        (b"REDIS0010\x07\x01k", "a value of a module"),
        (b"REDIS0012\x18\x01k\0\0\0\0\0\x40\0\0\x01\x02\x01f\x01v", "the deadline of a field"),
        (b"REDIS0010\x00\x01k\x81\xff\xff\xff\xff\xff\xff\xff\xff", "more than 512 MiB"),
        (b"REDIS0010\xff\x01\x02\x03\x04\x05\x06\x07\x08", "the checksum"),
    ];
    for (bytes, why) in cases {
        let fault = events(bytes, 64).unwrap_err();
        assert!(fault.contains(why), "{fault}");
    }
}
