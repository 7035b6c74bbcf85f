//! Random commands of all types on one shard, with few keys so that they meet, or many so that
//! tables split.

use crate::base::prng::Prng;
use crate::testing::model::Words;

/// What a command is grown from: `k` a key, `n` one that holds a number, `e` an element, `v` a
/// value, `i` a small number, `d` a database, `t` a moment; any other word is itself.
const COMMANDS: &[&str] = &[
    "SET k v",
    "SET k v",
    "SET k v PXAT t",
    "SET k v KEEPTTL",
    "MSET k v k v",
    "APPEND k v",
    "APPEND k v",
    "SETRANGE k i v",
    "SETRANGE k i v",
    "INCR n",
    "INCRBY n i",
    "GET k",
    "GETDEL k",
    "DEL k",
    "UNLINK k k",
    "RENAME k k",
    "RENAME k k",
    "COPY k k REPLACE",
    "COPY k k DB d REPLACE",
    "MOVE k d",
    "PEXPIREAT k t",
    "PEXPIREAT k t",
    "PERSIST k",
    "HSET k e v",
    "HSET k e v e v e v",
    "HSET k e v e v e v",
    "HINCRBY k e i",
    "HDEL k e",
    "HDEL k e e e",
    "HINCRBYFLOAT k e i",
    "HPEXPIREAT k t FIELDS 1 e",
    "HPEXPIREAT k t FIELDS 3 e e e",
    "HPEXPIREAT k t FIELDS 3 e e e",
    "HPEXPIREAT k t LT FIELDS 2 e e",
    "HPEXPIREAT k 1 FIELDS 2 e e",
    "HPERSIST k FIELDS 2 e e",
    "HSETNX k e v",
    "HGETEX k PXAT t FIELDS 2 e e",
    "HGETDEL k FIELDS 1 e",
    "HSETEX k PXAT t FIELDS 2 e v e v",
    "HSETEX k KEEPTTL FIELDS 1 e v",
    "RPUSH k v v v",
    "RPUSH k v e e",
    "LPUSH k v e",
    "LPOP k",
    "RPOP k i",
    "LSET k i v",
    "LINSERT k BEFORE e v",
    "LREM k 0 e",
    "LTRIM k 1 -2",
    "LMOVE k k LEFT RIGHT",
    "SADD k e e e",
    "SADD k i i",
    "SADD k v",
    "SREM k e e",
    "SPOP k",
    "SMOVE k k e",
    "SUNIONSTORE k k k",
    "ZADD k i e i e",
    "ZADD k i e i v",
    "ZINCRBY k i e",
    "ZREM k e e",
    "ZPOPMIN k",
    "ZREMRANGEBYRANK k 0 1",
    "ZUNIONSTORE k 2 k k",
    "XADD k * e v",
    "XADD k * e v e v",
    "XDEL k 1-1",
    "XTRIM k MAXLEN i",
    "XGROUP CREATE k e 0 MKSTREAM",
    "XREADGROUP GROUP e e COUNT 2 STREAMS k >",
    "XACK k e 1-1",
];

/// Those that concern many keys at once, chosen seldom.
const MANY: &[&str] = &["SWAPDB d d", "SWAPDB d d", "FLUSHDB", "FLUSHALL"];

/// Keys and elements to choose from.
#[derive(Debug)]
pub struct Stream {
    keys: u64,
    elements: u64,
}

impl Stream {
    /// A stream over few keys with few elements, or now and then over many.
    pub fn new(prng: &mut Prng) -> Stream {
        let keys = if prng.chance(1, 12) { 1500 } else { 8 + prng.below(30) };
        let elements = if prng.chance(1, 12) { 900 } else { 2 + prng.below(20) };
        Stream { keys, elements }
    }

    /// Commands that fill the shard first.
    pub fn preload(&self) -> u64 {
        match (self.keys > 1000, self.elements > 500) {
            (true, _) => 4000,
            (_, true) => 1200,
            _ => 0,
        }
    }

    /// One of them.
    pub fn fill(&self, prng: &mut Prng) -> Words {
        let lines = ["SET k v", "HSET k e v e v", "SADD k e e", "ZADD k i e", "RPUSH k v e"];
        self.grow(lines[prng.below(lines.len() as u64) as usize], prng, 0)
    }

    /// A command.
    pub fn command(&self, prng: &mut Prng, now: u64) -> Words {
        let from = if prng.chance(1, 60) { MANY } else { COMMANDS };
        self.grow(from[prng.below(from.len() as u64) as usize], prng, now)
    }

    fn grow(&self, template: &str, prng: &mut Prng, now: u64) -> Words {
        template.split(' ').map(|word| self.word(word, prng, now)).collect()
    }

    fn word(&self, word: &str, prng: &mut Prng, now: u64) -> Vec<u8> {
        let number = |prefix: &str, number: u64| format!("{prefix}{number}").into_bytes();
        match word {
            "k" => {
                let mut key = number("k", prng.below(self.keys));
                if prng.chance(1, 20) {
                    key.resize(300, b'x');
                }
                key
            }
            "n" => number("n", prng.below(4)),
            "e" => number("e", prng.below(self.elements)),
            "i" => number("", prng.below(60)),
            "d" => number("", prng.below(3)),
            "t" => number("", now + prng.below(1000)),
            "v" => value(prng),
            word => word.as_bytes().to_vec(),
        }
    }
}

fn value(prng: &mut Prng) -> Vec<u8> {
    let most = match prng.below(60) {
        0 => 150_000,
        1..=5 => 5_000,
        6..=20 => 300,
        _ => 20,
    };
    let len = prng.below(most) as usize;
    let byte = prng.next() as u8;
    (0..len).map(|n| byte.wrapping_add((n / 1000) as u8)).collect()
}
