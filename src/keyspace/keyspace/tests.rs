//! What the door promises beside values: dirty marks, watches, deadlines, encodings, cursors,
//! loading and rebuilding.

#![allow(dropping_copy_types, reason = "the rows of the tables only look")]

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::keyspace::expiry::Gone;
use crate::keyspace::item::{Item, Shape, Sink, Small};
use crate::keyspace::load::BadLoad;
use crate::keyspace::snapshot::{Budget, Step};
use crate::types::rope::CHUNK;
use crate::types::timed::DEADLINE_MAX;

const DB: Db = Db(0);

fn space() -> Keyspace {
    Keyspace::new(Settings { databases: 2, seed: 5, ..Settings::default() })
}

fn at(now: u64, next: u64) -> Keyspace {
    let mut space = space();
    space.begin(Millis(now), Lsn(next));
    space
}

type Commands = BTreeSet<Vec<Vec<u8>>>;

/// All keys of both databases with what `rebuild` says of them, deadline included.
fn dump(space: &mut Keyspace) -> BTreeMap<(u16, Vec<u8>), Commands> {
    let mut all = BTreeMap::new();
    for db in [Db(0), Db(1)] {
        let (mut keys, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = space.scan(db, cursor, 100, &mut |key, _| keys.push(key.to_vec()));
            if cursor == 0 {
                break;
            }
        }
        for key in keys {
            let mut commands = BTreeSet::new();
            space.rebuild(db, &key, &mut |args| {
                let [name, _, rest @ ..] = args else { panic!("a command has a key") };
                for pair in rest.chunks(2) {
                    let mut line = vec![name.to_vec()];
                    line.extend(pair.iter().map(|arg| arg.to_vec()));
                    commands.insert(line);
                }
            });
            assert!(all.insert((db.0, key), commands).is_none(), "a key came twice");
        }
    }
    all
}

fn fill(space: &mut Keyspace) {
    for n in 0..3000_u32 {
        let key = format!("key:{n}").into_bytes();
        let value = vec![n as u8; n as usize % 700];
        let expiry = if n % 3 == 0 { Expiry::At(Millis(5000)) } else { Expiry::Clear };
        space.set_string(Db(n as u16 % 2), &key, &value, expiry);
    }
    space.set_string(DB, b"rope", &vec![b'r'; 5 * CHUNK + 17], Expiry::At(Millis(9000)));
    for (key, fields) in [(b"small", 20), (b"large", 5000)] {
        let mut hash = space.hash_or_new(DB, key).unwrap();
        for n in 0..fields {
            let field = format!("field:{n}");
            hash.set(field.as_bytes(), &vec![n as u8; n % 60]);
            if n % 3 == 0 {
                hash.set_deadline(field.as_bytes(), Some(Millis(9000 + n as u64)));
            }
        }
        drop(hash);
        space.set_deadline(DB, key, Some(Millis(7000)));
    }
    for (key, members) in [(b"ranks", 20), (b"order", 5000)] {
        let mut zset = space.zset_or_new(DB, key).unwrap();
        for n in 0..members {
            zset.set(f64::from(n % 700) / 4.0, format!("member:{n}").as_bytes());
        }
    }
}

#[test]
fn observed_is_the_last_write_of_what_was_looked_at() {
    type Look = fn(&mut Keyspace);
    let lines: &[(&str, Look, u64)] = &[
        (
            "get a",
            |s| {
                let _ = s.string(DB, b"a").map(|_| ());
            },
            10,
        ),
        (
            "get b",
            |s| {
                let _ = s.exists(DB, b"b");
            },
            11,
        ),
        (
            "a key that was removed",
            |s| {
                let _ = s.exists(DB, b"gone");
            },
            13,
        ),
        (
            "a key that never was",
            |s| {
                let _ = s.exists(DB, b"never");
            },
            0,
        ),
        (
            "a write that looks",
            |s| {
                let _ = s.remove(DB, b"never");
            },
            0,
        ),
        (
            "all keys",
            |s| {
                let _ = s.len(DB);
            },
            13,
        ),
        (
            "scan",
            |s| {
                let _ = s.scan(DB, 0, 10, &mut |_, _| {});
            },
            13,
        ),
        (
            "random",
            |s| {
                let _ = s.random(DB, 1).map(|_| ());
            },
            13,
        ),
        (
            "a and b",
            |s| {
                let _ = (s.touch(DB, b"a"), s.kind(DB, b"b"));
            },
            11,
        ),
        ("a blind write", |s| s.set_string(DB, b"b", b"", Expiry::Clear), 0),
    ];
    for &(name, look, expected) in lines {
        let mut space = space();
        let mut lsn = 9;
        let mut begin = |space: &mut Keyspace| {
            lsn += 1;
            space.begin(Millis(1), Lsn(lsn));
        };
        begin(&mut space);
        space.set_string(DB, b"a", b"1", Expiry::Clear);
        begin(&mut space);
        space.hash_or_new(DB, b"b").unwrap().set(b"f", b"v");
        begin(&mut space);
        space.set_string(DB, b"gone", b"1", Expiry::Clear);
        begin(&mut space);
        space.remove(DB, b"gone");
        begin(&mut space);
        look(&mut space);
        assert_eq!(space.observed(), Lsn(expected), "{name}");
    }
    let mut space = at(1, 5);
    space.set_string(DB, b"x", b"", Expiry::Clear);
    space.flush(DB);
    space.begin(Millis(1), Lsn(6));
    space.exists(DB, b"whatever");
    assert_eq!(space.observed(), Lsn(5), "a flush touches every key");
}

#[test]
fn an_expired_key_takes_an_lsn_of_its_own() {
    let mut space = at(1, 1);
    space.set_string(DB, b"old", b"", Expiry::At(Millis(10)));
    space.begin(Millis(11), Lsn(2));
    space.set_string(DB, b"first", b"", Expiry::Clear);
    assert_eq!(space.append(DB, b"old", b"tail"), Ok(4));
    assert_eq!(space.take_expired(), Some((DB, b"old".to_vec())));
    for key in [&b"first"[..], b"old"] {
        space.begin(Millis(11), Lsn(9));
        space.exists(DB, key);
        assert_eq!(space.observed(), Lsn(3), "the DEL is 2, the command's effect 3");
    }
}

#[test]
fn watches() {
    type Act = fn(&mut Keyspace);
    let lines: &[(&str, Act, bool)] = &[
        ("nothing", |_| {}, true),
        ("a read", |s| drop(s.string(DB, b"k").map(|_| ())), true),
        ("another key", |s| s.set_string(DB, b"other", b"", Expiry::Clear), true),
        ("another database", |s| s.set_string(Db(1), b"k", b"", Expiry::Clear), true),
        ("set", |s| s.set_string(DB, b"k", b"", Expiry::Clear), false),
        ("append", |s| drop(s.append(DB, b"k", b"x")), false),
        ("setrange of nothing", |s| drop(s.set_range(DB, b"k", 1, b"")), true),
        ("a deadline", |s| drop(s.set_deadline(DB, b"k", Some(Millis(99)))), false),
        ("remove", |s| drop(s.remove(DB, b"k")), false),
        ("rename away", |s| drop(s.rename((DB, b"k"), (DB, b"l"))), false),
        ("rename onto", |s| drop(s.rename((DB, b"other"), (DB, b"k"))), false),
        ("copy from", |s| drop(s.copy((DB, b"k"), (DB, b"l"))), true),
        ("copy onto", |s| drop(s.copy((DB, b"other"), (DB, b"k"))), false),
        ("flush", |s| s.flush(DB), false),
        ("flush elsewhere", |s| s.flush(Db(1)), true),
        ("swap", |s| s.swap(DB, Db(1)), false),
        (
            "remove and make again",
            |s| {
                s.remove(DB, b"k");
                s.set_string(DB, b"k", b"v", Expiry::Clear);
            },
            false,
        ),
    ];
    for &(name, act, unchanged) in lines {
        let mut space = at(1, 1);
        space.set_string(DB, b"k", b"v", Expiry::Clear);
        space.set_string(DB, b"other", b"v", Expiry::Clear);
        let version = space.watch(DB, b"k");
        act(&mut space);
        assert_eq!(space.unchanged(DB, b"k", version), unchanged, "{name}");
        space.unwatch(DB, b"k");
        assert_eq!(space.watches.of(DB).len(), 0);
    }
}

#[test]
fn watches_and_deadlines() {
    // (the deadline, the clock at WATCH, the clock at EXEC, unchanged?)
    for (deadline, watched, checked, unchanged) in
        [(10, 5, 6, true), (10, 5, 11, false), (10, 11, 12, true)]
    {
        for sweep in [false, true] {
            let mut space = at(1, 1);
            space.set_string(DB, b"k", b"v", Expiry::At(Millis(deadline)));
            space.begin(Millis(watched), Lsn(2));
            let version = space.watch(DB, b"k");
            space.begin(Millis(checked), Lsn(3));
            if sweep {
                while space.expire_slice(10, &mut |_, _| {}) {}
            }
            assert_eq!(
                space.unchanged(DB, b"k", version),
                unchanged,
                "{deadline} {watched} {sweep}"
            );
        }
    }
}

#[test]
fn fields_die_in_slices() {
    let mut space = at(1000, 1);
    let name = |n: u32| format!("field:{n}").into_bytes();
    // Fields, those of them that die, and whether others were to die and do not.
    let hashes = [("big", 20_000, 20_000), ("half", 5000, 2500), ("small", 9, 4), ("gone", 3, 3)];
    for (key, fields, doomed) in hashes {
        let mut hash = space.hash_or_new(DB, key.as_bytes()).unwrap();
        for n in 0..fields {
            hash.set(&name(n), b"v");
            hash.set_deadline(&name(n), Some(Millis(if n < doomed { 2000 } else { 1999 })));
        }
        (doomed..fields).for_each(|n| hash.set_deadline(&name(n), Some(Millis(9000))));
    }
    space.rename((DB, b"half"), (Db(1), b"moved"));
    space.copy((DB, b"small"), (Db(1), b"copied"));
    space.begin(Millis(2000), Lsn(2));
    while space.expire_slice(100, &mut |_, gone| panic!("{gone:?}")) {}
    assert_eq!(space.hash(DB, b"big").unwrap().unwrap().len(), 20_000);
    space.begin(Millis(2001), Lsn(3));
    let (mut removed, mut slices) = (BTreeSet::new(), 0);
    loop {
        let before = removed.len();
        let more = space.expire_slice(100, &mut |db, gone| {
            let Gone::Fields(key, fields) = gone else { panic!("{gone:?}") };
            let all = fields.iter().map(|field| (db.0, key.to_vec(), field.to_vec()));
            all.for_each(|one| assert!(removed.insert(one)));
        });
        assert!(removed.len() - before <= 200, "{} in one slice", removed.len() - before);
        slices += 1;
        if !more && removed.len() == before {
            break;
        }
    }
    assert_eq!(removed.len(), 20_000 + 2500 + 2 * 4 + 3);
    assert!(slices > 200, "{slices} slices");
    assert!(!space.exists(DB, b"big") && !space.exists(DB, b"gone"));
    let left = |space: &mut Keyspace, db, key: &[u8]| space.hash(db, key).unwrap().unwrap().len();
    assert_eq!(left(&mut space, Db(1), b"moved"), 2500);
    assert_eq!(left(&mut space, Db(1), b"copied"), 5);
    assert_eq!(left(&mut space, DB, b"small"), 5);
    assert_eq!((space.take_expired_fields(), space.take_expired_fields()), (22_511, 0));
    space.begin(Millis::REPLAY, Lsn(4));
    assert!(!space.expire_slice(100, &mut |_, _| panic!("nothing expires in a replay")));
}

#[test]
fn deadlines() {
    let mut space = at(4000, 1);
    fill(&mut space);
    let before = dump(&mut space);
    let doomed = |name: &str| {
        let n: Option<u32> = name.strip_prefix("key:").and_then(|n| n.parse().ok());
        n.is_some_and(|n| n.is_multiple_of(3))
    };
    space.begin(Millis(5000), Lsn(2));
    while space.expire_slice(100, &mut |_, _| panic!("not yet")) {}
    space.begin(Millis(5001), Lsn(3));
    let mut removed = BTreeSet::new();
    let mut slices = 0;
    while space.expire_slice(100, &mut |db, gone| {
        let Gone::Key(key) = gone else { panic!("{gone:?}") };
        assert!(removed.insert((db.0, key.to_vec())));
    }) {
        slices += 1;
    }
    assert!(slices > 5, "in slices");
    assert_eq!(removed.len(), 1000);
    assert!(removed.iter().all(|name| doomed(std::str::from_utf8(&name.1).unwrap())));
    let after = dump(&mut space);
    assert_eq!(after.len() + 1000, before.len());
    space.begin(Millis::REPLAY, Lsn(4));
    assert!(!space.expire_slice(100, &mut |_, _| panic!("nothing expires in a replay")));
    space.begin(Millis(7001), Lsn(5));
    assert_eq!(space.deadline(DB, b"small"), None);
    space.begin(Millis::REPLAY, Lsn(5));
    assert_eq!(space.deadline(DB, b"small"), Some(Some(Millis(7000))));
}

#[test]
fn what_object_tells() {
    let mut space = at(100_000_000, 1);
    let mut encoding = |act: &dyn Fn(&mut Keyspace)| {
        space.remove(DB, b"k");
        act(&mut space);
        space.about(DB, b"k").unwrap().encoding
    };
    type Act<'a> = &'a dyn Fn(&mut Keyspace);
    let set = |text: &'static str| {
        move |s: &mut Keyspace| s.set_string(DB, b"k", text.as_bytes(), Expiry::Clear)
    };
    let long = "x".repeat(70_000);
    let lines: &[(Act<'_>, Encoding)] = &[
        (&set("12"), Encoding::Int),
        (&set("twelve"), Encoding::Embstr),
        (&|s| drop(s.append(DB, b"k", b"12")), Encoding::Int),
        (&|s| drop((s.append(DB, b"k", b"1"), s.append(DB, b"k", b"2"))), Encoding::Raw),
        (
            &|s| drop((s.append(DB, b"k", b"1"), s.append(DB, b"k", b"2"), set("3")(s))),
            Encoding::Int,
        ),
        (&|s| drop(s.set_range(DB, b"k", 0, b"12")), Encoding::Raw),
        (
            &|s| {
                drop((
                    s.append(DB, b"k", b"1"),
                    s.append(DB, b"k", b"2"),
                    s.rename((DB, b"k"), (DB, b"l")),
                    s.rename((DB, b"l"), (DB, b"k")),
                ))
            },
            Encoding::Raw,
        ),
        (&|s| s.set_string(DB, b"k", long.as_bytes(), Expiry::Clear), Encoding::Raw),
        (&|s| drop(s.hash_or_new(DB, b"k").unwrap().set(b"f", b"v")), Encoding::Listpack),
        (&|s| drop(s.hash_or_new(DB, b"k").unwrap().set(b"f", &[0; 65])), Encoding::Hashtable),
        (
            &|s| {
                (0..129_u32)
                    .for_each(|n| drop(s.hash_or_new(DB, b"k").unwrap().set(&n.to_le_bytes(), b"")))
            },
            Encoding::Hashtable,
        ),
        (
            &|s| {
                (0..128_u32)
                    .for_each(|n| drop(s.hash_or_new(DB, b"k").unwrap().set(&n.to_le_bytes(), b"")))
            },
            Encoding::Listpack,
        ),
    ];
    for (n, (act, expected)) in lines.iter().enumerate() {
        assert_eq!(encoding(*act), *expected, "line {n}");
    }
    space.begin(Millis(100_090_000), Lsn(1));
    assert_eq!(space.about(DB, b"k").unwrap().idle, 90);
    space.touch(DB, b"k");
    assert_eq!(space.about(DB, b"k").unwrap().idle, 0);
}

#[test]
fn counts_accesses() {
    let mut space = Keyspace::new(Settings { policy: Policy::Lfu, ..Settings::default() });
    space.begin(Millis(60_000_000), Lsn(1));
    space.set_string(DB, b"k", b"", Expiry::Clear);
    assert_eq!(space.about(DB, b"k").unwrap().freq, 5);
    (0..1000).for_each(|_| drop(space.touch(DB, b"k")));
    let high = space.about(DB, b"k").unwrap().freq;
    assert!((12..40).contains(&high), "{high}");
    space.begin(Millis(60_000_000 + 3 * 60_000), Lsn(1));
    assert_eq!(space.about(DB, b"k").unwrap().freq, high - 3);
}

#[test]
fn scan_returns_what_stays() {
    for count in [1, 10, 1000] {
        let mut space = at(1, 1);
        let key = |kind: &str, n: u64| format!("{kind}{n}").into_bytes();
        (0..500).for_each(|n| space.set_string(DB, &key("stay", n), b"", Expiry::Clear));
        let (mut seen, mut cursor, mut turn) = (BTreeMap::<Vec<u8>, u32>::new(), 0, 0);
        loop {
            cursor = space.scan(DB, cursor, count, &mut |key, _| {
                *seen.entry(key.to_vec()).or_default() += 1;
            });
            assert!(cursor < 1 << 48);
            if cursor == 0 {
                break;
            }
            for n in 0..if turn < 200 { 20 } else { 0 } {
                space.set_string(DB, &key("come", turn * 20 + n), b"", Expiry::Clear);
                space.remove(DB, &key("come", turn * 20 + n / 2));
            }
            turn += 1;
        }
        let stayed = (0..500).filter(|&n| seen.get(&key("stay", n)) == Some(&1)).count();
        assert_eq!(stayed, 500, "count {count}, {turn} turns");
    }
}

/// Number, offset or 0, field or nothing, value or chunk, deadline.
type Late = (u64, u64, Vec<u8>, Vec<u8>, Option<Millis>);

/// Loads into another keyspace, fragments of big values in reverse order.
struct Loader<'a> {
    to: &'a mut Keyspace,
    late: Vec<Late>,
    /// The value that is open comes in parts, which keep their order.
    in_order: bool,
}

impl Sink for Loader<'_> {
    fn take(&mut self, item: Item<'_>) {
        let done = match item {
            Item::Library { name, text } => self.to.load_library(name, text),
            Item::Small { db, key, deadline, value: Small::Str(bytes) } => {
                self.to.load_string(db, key, bytes, deadline)
            }
            Item::Small { db, key, deadline, value: Small::Hash(flat) } => {
                self.to.load_hash(db, key, deadline, flat.pairs())
            }
            Item::Small { db, key, deadline, value: Small::Whole(kind, bytes) } => {
                self.to.load_whole(db, key, deadline, kind, bytes)
            }
            Item::Open { id, db, key, deadline, shape } => {
                self.in_order = matches!(shape, Shape::Parts { .. });
                self.to.load_open(id, db, key, deadline, shape)
            }
            Item::Field { id, field, value, deadline } => {
                self.late.push((id, 0, field.to_vec(), value.to_vec(), deadline));
                Ok(())
            }
            Item::Chunk { id, offset, bytes } if self.in_order => {
                self.to.load_chunk(id, offset, bytes)
            }
            Item::Chunk { id, offset, bytes } => {
                self.late.push((id, offset, Vec::new(), bytes.to_vec(), None));
                Ok(())
            }
            Item::Close { id } => {
                for (id, offset, field, bytes, deadline) in self.late.drain(..).rev() {
                    let result = match self.to.load_field(id, &field, &bytes, deadline) {
                        Err(BadLoad::Kind) => self.to.load_chunk(id, offset, &bytes),
                        result => result,
                    };
                    assert_eq!(result, Ok(()));
                }
                self.to.load_close(id)
            }
        };
        assert_eq!(done, Ok(()));
    }
}

#[test]
fn loads_what_a_snapshot_wrote() {
    let mut from = at(4000, 1);
    fill(&mut from);
    for expected in [0, 1500, 100_000] {
        let mut to = space();
        to.load_expect(Db(0), expected);
        to.load_expect(Db(1), expected);
        assert!(from.cut());
        let mut loader = Loader { to: &mut to, late: Vec::new(), in_order: false };
        while from.snapshot_step(&mut loader, Budget::default()) == Step::More {}
        assert_eq!(to.load_unfinished(), 0);
        to.begin(Millis(4000), Lsn(1));
        assert!(dump(&mut to) == dump(&mut from));
        for database in &to.dbs {
            assert_eq!(database.table.footprint(), database.table.recount());
        }
        // Records that have moved to get a deadline have left something behind.
        let (values, before) = (to.memory().values, from.memory().values);
        assert!(values <= before && values * 20 > before * 19, "{values} {before}");
    }
}

#[test]
fn refuses_a_file_that_cannot_be() {
    let hash = Shape::Table { kind: Kind::Hash, fields: 2 };
    let rope = Shape::Rope { bytes: CHUNK as u64 + 1 };
    let mut space = space();
    assert_eq!(space.load_string(Db(7), b"k", b"", None), Err(BadLoad::Database));
    assert_eq!(space.load_open(1, Db(7), b"k", None, rope), Err(BadLoad::Database));
    assert_eq!(space.load_string(DB, b"k", b"", None), Ok(()));
    assert_eq!(space.load_string(DB, b"k", b"", None), Err(BadLoad::Twice));
    assert_eq!(space.load_open(1, DB, b"k", None, hash), Err(BadLoad::Twice));
    assert_eq!(space.load_field(1, b"f", b"v", None), Err(BadLoad::Fragment));
    assert_eq!(space.load_open(1, DB, b"h", None, hash), Ok(()));
    assert_eq!(space.load_open(1, DB, b"i", None, hash), Err(BadLoad::Fragment));
    assert_eq!(space.load_chunk(1, 0, b""), Err(BadLoad::Kind));
    assert_eq!(space.load_field(1, b"f", b"v", None), Ok(()));
    assert_eq!(space.load_field(1, b"f", b"v", None), Err(BadLoad::Twice));
    assert_eq!(space.load_field(1, b"g", b"v", None), Err(BadLoad::Incomplete));
    let late = |at| Some(Millis(at));
    assert_eq!(space.load_field(1, b"g", b"v", late(DEADLINE_MAX + 1)), Err(BadLoad::Value));
    assert_eq!(space.load_field(1, b"g", b"v", late(0)), Err(BadLoad::Value));
    let set = Shape::Table { kind: Kind::Set, fields: 2 };
    assert_eq!(space.load_open(9, DB, b"s", None, set), Ok(()));
    assert_eq!(space.load_field(9, b"m", b"", late(5)), Err(BadLoad::Value));
    assert_eq!(space.load_whole(DB, b"w", None, Kind::Hash, b"\x00\x00"), Err(BadLoad::Value));
    assert_eq!(space.load_open(2, DB, b"r", None, rope), Ok(()));
    assert_eq!(space.load_field(2, b"f", b"v", None), Err(BadLoad::Kind));
    assert_eq!(space.load_chunk(2, 1, b"x"), Err(BadLoad::Chunk));
    assert_eq!(space.load_close(2), Err(BadLoad::Incomplete));
    assert_eq!(space.load_open(3, DB, b"r", None, rope), Ok(()));
    assert_eq!(space.load_chunk(3, CHUNK as u64 * 7, &[0; CHUNK]), Ok(()));
    assert_eq!(space.load_chunk(3, 0, b"x"), Ok(()));
    assert_eq!(space.load_close(3), Err(BadLoad::Chunk));
}

#[test]
fn rebuilds_in_batches() {
    let mut space = at(1, 1);
    let mut hash = space.hash_or_new(DB, b"h").unwrap();
    (0..130_u32).for_each(|n| drop(hash.set(&n.to_le_bytes(), b"v")));
    (0..3_u32)
        .for_each(|n| hash.set_deadline(&n.to_le_bytes(), Some(Millis(5 + u64::from(n / 2)))));
    drop(hash);
    space.set_deadline(DB, b"h", Some(Millis(77)));
    let mut lines = Vec::new();
    assert!(space.rebuild(DB, b"h", &mut |args| {
        lines.push((String::from_utf8(args[0].to_vec()).unwrap(), args.len()));
    }));
    // The batches come in an order that the hash gives.
    lines.sort();
    let count = |name: &str| -> Vec<usize> {
        lines.iter().filter(|line| line.0 == name).map(|line| line.1).collect()
    };
    assert_eq!(count("HSET"), [6, 130, 130]);
    assert_eq!(count("HPEXPIREAT").iter().map(|words| words - 5).sum::<usize>(), 3);
    assert_eq!(count("PEXPIREAT"), [3]);
    assert!(!space.rebuild(DB, b"none", &mut |_| panic!("no key")));
}

#[test]
fn frees_in_slices() {
    let mut space = at(4000, 1);
    fill(&mut space);
    let empty = at(4000, 1).memory().used;
    assert!(space.remove(DB, b"large") && space.remove(DB, b"rope"));
    assert_eq!(space.pending_objects(), 2);
    space.flush_all();
    let waiting = space.memory();
    assert!(waiting.graveyard > 1 << 20 && waiting.values == 0, "{waiting:?}");
    assert_eq!(space.pending_objects(), 2 + 3000 + 3);
    let mut slices = 0;
    while space.free_slice(1) {
        slices += 1;
    }
    assert!(slices > 20);
    assert_eq!((space.pending_objects(), space.memory().used), (0, empty));
}
