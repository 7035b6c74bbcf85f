//! (test) What is dumped is restored; what is hostile changes nothing; the log does the same.

use crate::base::ids::{Db, Lsn};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::digest::{Digest, put_value as put_digest};
use crate::commands::spec::Run;
use crate::commands::table;
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::persist::rdb::payload::{open, seal};
use crate::resp::args::OwnedArgs;
use crate::resp::reply::{Proto, Reply};

const NOW: Millis = Millis(1_700_000_000_000);

struct Shard {
    keys: Keyspace,
    prng: Prng,
    lsn: u64,
}

impl Shard {
    fn new() -> Shard {
        Shard { keys: Keyspace::new(Settings::default()), prng: Prng::new(1), lsn: 0 }
    }

    fn run(&mut self, words: &[&[u8]]) -> (Vec<u8>, Effect) {
        let args = OwnedArgs::of(words);
        let row = table::resolve(args.args()).unwrap();
        let Run::Keys(run) = row.run else { panic!("{}", row.name) };
        let mut out = Vec::new();
        self.lsn += 1;
        self.keys.begin(NOW, Lsn(self.lsn));
        let mut call = Call {
            keys: &mut self.keys,
            db: Db(0),
            args: args.args(),
            reply: Reply::new(&mut out, Proto::Two),
            now: NOW,
            prng: &mut self.prng,
        };
        let effect = run(&mut call).unwrap_or_else(|error| {
            call.reply.error(&error);
            Effect::Nothing
        });
        (out, effect)
    }

    fn digest(&mut self, key: &[u8]) -> Digest {
        let mut digest = Digest::default();
        put_digest(&mut digest, &mut self.keys, Db(0), key);
        digest
    }

    fn dump(&mut self, key: &[u8]) -> Vec<u8> {
        let (reply, _) = self.run(&[b"DUMP", key]);
        let at = reply.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        reply[at..reply.len() - 2].to_vec()
    }
}

const STREAM: &str = "XADD s 5-1 a 1 b 2
    XADD s 5-2 a x b y
    XADD s 6-0 other field
    XADD s 7-0 a 1 b 2 c 300000
    XADD s 9-9 a -5 b z
    XGROUP CREATE s g 0 ENTRIESREAD 0
    XREADGROUP GROUP g one COUNT 3 STREAMS s >
    XREADGROUP GROUP g two COUNT 1 STREAMS s >
    XDEL s 6-0
    XGROUP CREATECONSUMER s g idle
    XGROUP CREATE s other $";

/// Values of the types that are here.
fn filled() -> (Shard, Vec<String>) {
    let (mut shard, mut prng) = (Shard::new(), Prng::new(8));
    let mut keys = Vec::new();
    for (kind, width) in [("SET", 1), ("HSET", 2), ("RPUSH", 1), ("SADD", 1), ("ZADD", 2)] {
        if table::find(kind.as_bytes()).is_none() {
            continue;
        }
        for count in [1, 5, 200, 3000] {
            let key = format!("{kind}:{count}");
            let mut words = vec![kind.to_owned(), key.clone()];
            for n in 0..if kind == "SET" { 1 } else { count } {
                let text = match prng.below(3) {
                    0 => n.to_string(),
                    1 => format!("{n}:{}", prng.next()),
                    _ => format!("{n}{}", "x".repeat(prng.below(count) as usize % 400)),
                };
                if width == 2 && kind == "ZADD" {
                    words.push((prng.next() as i64 as f64 / 1e6).to_string());
                }
                words.push(text);
                if kind == "HSET" {
                    words.push(prng.below(1000).to_string());
                }
            }
            let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            let (reply, _) = shard.run(&words);
            assert_ne!(reply[0], b'-', "{}", reply.escape_ascii());
            keys.push(key);
        }
    }
    for line in STREAM.lines() {
        let words: Vec<&[u8]> = line.trim().split(' ').map(str::as_bytes).collect();
        let (reply, _) = shard.run(&words);
        assert_ne!(reply[0], b'-', "{line}: {}", reply.escape_ascii());
    }
    keys.push("s".into());
    assert!(keys.len() == 21);
    (shard, keys)
}

#[test]
fn what_is_dumped_is_restored_here_and_by_the_log() {
    let (mut shard, keys) = filled();
    for key in keys {
        let payload = shard.dump(key.as_bytes());
        let expected = shard.digest(key.as_bytes());
        let (reply, effect) = shard.run(&[b"RESTORE", b"again", b"0", &payload, b"REPLACE"]);
        assert_eq!(reply, b"+OK\r\n", "{key}");
        assert_eq!(shard.digest(b"again"), expected, "{key}");
        let Effect::Instead(args) = effect else { panic!("{key}: {effect:?}") };
        let mut replayed = Shard::new();
        let words: Vec<&[u8]> = args.args().iter().collect();
        replayed.run(&words);
        assert_eq!(replayed.digest(b"again"), expected, "{key}");
    }
}

/// Also of a stream that is empty, and of entries that are pending though they were deleted.
#[test]
fn groups_of_streams_come_back() {
    let (mut shard, _) = filled();
    shard.run(&[b"XADD", b"empty", b"7-7", b"a", b"b"]);
    shard.run(&[b"XDEL", b"empty", b"7-7"]);
    for (key, groups) in [(b"s".as_slice(), [b"g".as_slice(), b"other"]), (b"empty", [b"", b""])] {
        let payload = shard.dump(key);
        let (reply, _) = shard.run(&[b"RESTORE", b"again", b"0", &payload, b"REPLACE"]);
        assert_eq!(reply, b"+OK\r\n");
        for what in [b"STREAM".as_slice(), b"GROUPS"] {
            let expected = shard.run(&[b"XINFO", what, key]).0;
            assert_eq!(shard.run(&[b"XINFO", what, b"again"]).0, expected, "{what:?}");
        }
        for group in groups.into_iter().filter(|group| !group.is_empty()) {
            let expected = shard.run(&[b"XPENDING", key, group, b"-", b"+", b"10"]).0;
            let found = shard.run(&[b"XPENDING", b"again", group, b"-", b"+", b"10"]).0;
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_hostile_payload_changes_all_or_nothing() {
    let (mut shard, keys) = filled();
    let mut prng = Prng::new(13);
    let payloads: Vec<Vec<u8>> = keys.iter().map(|key| shard.dump(key.as_bytes())).collect();
    let short: Vec<&Vec<u8>> = payloads.iter().filter(|payload| payload.len() < 3000).collect();
    let (mut taken, mut refused) = (0, 0);
    for round in 0..6000 {
        let mut body = open(short[prng.below(short.len() as u64) as usize]).unwrap().to_vec();
        for _ in 0..=prng.below(3) {
            let at = prng.below(body.len() as u64) as usize;
            match prng.below(4) {
                0 => body.truncate(at.max(1)),
                1 => body.extend_from_within(at..),
                _ => body[at] = prng.next() as u8,
            }
        }
        seal(&mut body);
        let before = shard.digest(b"target");
        let (reply, effect) = shard.run(&[b"RESTORE", b"target", b"0", &body, b"REPLACE"]);
        if reply == b"+OK\r\n" {
            taken += 1;
            // What was taken can be told and taken again.
            let (now, payload) = (shard.digest(b"target"), shard.dump(b"target"));
            let (reply, _) = shard.run(&[b"RESTORE", b"copy", b"0", &payload, b"REPLACE"]);
            assert_eq!(reply, b"+OK\r\n", "round {round}");
            assert_eq!(shard.digest(b"copy"), now, "round {round}");
        } else {
            refused += 1;
            assert_eq!(effect, Effect::Nothing, "round {round}: {}", reply.escape_ascii());
            assert_eq!(shard.digest(b"target"), before, "round {round}");
        }
    }
    assert!(taken > 100 && refused > 100, "{taken} taken, {refused} refused");
}
