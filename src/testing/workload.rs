//! Random requests over few keys, so that they meet.

use crate::base::prng::Prng;
use crate::testing::model::{Model, Value, Words};

/// Keys that hold numbers.
const NUMBERS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
/// Keys that hold hashes.
const HASHES: [&str; 3] = ["h", "i", "j"];

/// Keys that hold hashes with deadlines of fields. When the last field has died, the key is there
/// until upkeep comes by, which nobody is to notice: so nothing is done to the keys as such.
const TIMED: [&str; 2] = ["u", "v"];

/// Keys that hold lists; one is a number now and then.
const LISTS: [&str; 4] = ["l", "m", "n", "a"];

/// Keys of a bank.
const ACCOUNTS: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
/// Keys beside them.
const OTHERS: [&str; 4] = ["p", "q", "r", "s"];

/// A command from its words.
pub fn words(text: &str) -> Words {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn pick<'a>(prng: &mut Prng, from: &[&'a str]) -> &'a str {
    from[prng.below(from.len() as u64) as usize]
}

/// A random command. `now` is even; deadlines are odd.
pub fn command(prng: &mut Prng, now: u64) -> Words {
    let key = pick(prng, &NUMBERS);
    let hash = pick(prng, &HASHES);
    let field = prng.below(4);
    let value = prng.below(1000);
    let line = match prng.below(62) {
        0..8 => format!("SET {key} {value}"),
        8..17 => format!("INCR {key}"),
        17..20 => format!("GET {key}"),
        20..22 => format!("DEL {key}"),
        22..23 => format!("DEL {key} {hash}"),
        23..26 => format!("HSET {hash} f{field} {value}"),
        26..28 => format!("HDEL {hash} f{field}"),
        28..32 => {
            let other = pick(prng, &NUMBERS);
            format!("MSET {key} {value} {other} {}", value + 1)
        }
        32..34 => match pick(prng, &NUMBERS) {
            other if other != key => format!("RENAME {key} {other}"),
            _ => format!("INCR {key}"),
        },
        34..36 => format!("PEXPIREAT {key} {}", now + 1 + 2 * prng.below(60)),
        36..38 => format!("PERSIST {key}"),
        38 if prng.chance(1, 3) => "FLUSHALL".to_owned(),
        40..44 => format!("RPUSH {} {value}", pick(prng, &LISTS)),
        44 | 45 => format!("LPOP {}", pick(prng, &LISTS)),
        46 | 47 => {
            let (from, to) = (pick(prng, &LISTS), pick(prng, &LISTS));
            format!("LMOVE {from} {to} LEFT RIGHT")
        }
        48..51 => format!("ZADD z{} {value} m{field}", value % 2),
        51 => format!("ZREM z{} m{field}", value % 2),
        52..62 => {
            let (key, at) = (pick(prng, &TIMED), now + 1 + 2 * prng.below(40));
            match prng.below(8) {
                0 | 1 => format!("HSET {key} f{field} {value}"),
                2 => format!("HDEL {key} f{field}"),
                3 => format!("HINCRBY {key} f{field} {value}"),
                4 => format!("HPERSIST {key} FIELDS 1 f{field}"),
                _ => format!("HPEXPIREAT {key} {at} FIELDS 1 f{field}"),
            }
        }
        38 => {
            let long = "x".repeat(prng.below(1500) as usize);
            format!("HSET {hash} long {long}")
        }
        _ => format!("PEXPIREAT {hash} {}", now + 1 + 2 * prng.below(100)),
    };
    words(&line)
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// All commands of the model, also as MULTI.
    Mixed,
    /// Transfers between accounts, all of which together always hold nothing; readers of all; and
    /// some other keys that are renamed in the same transactions.
    Bank,
}

impl Workload {
    /// On how many shards it runs.
    pub fn shards(self, prng: &mut Prng) -> u16 {
        match self {
            Workload::Mixed => 1 + prng.below(4) as u16,
            Workload::Bank => 2 + prng.below(3) as u16,
        }
    }

    /// How many clients there are; each waits for its answer.
    pub fn clients(self) -> u64 {
        match self {
            Workload::Mixed => 4,
            // So that transactions meet.
            Workload::Bank => 9,
        }
    }

    /// A random request: a database and one or several commands.
    pub fn request(self, prng: &mut Prng, now: u64) -> (u16, Vec<Words>) {
        match self {
            Workload::Mixed => request(prng, now),
            Workload::Bank => (0, bank(prng).iter().map(|line| words(line)).collect()),
        }
    }
}

fn bank(prng: &mut Prng) -> Vec<String> {
    let (from, to) = (pick(prng, &ACCOUNTS), pick(prng, &ACCOUNTS));
    let amount = 1 + prng.below(50);
    let mut lines = vec![format!("INCRBY {from} -{amount}"), format!("INCRBY {to} {amount}")];
    match prng.below(20) {
        0 => ACCOUNTS.iter().map(|account| format!("GET {account}")).collect(),
        1 => vec![format!("GET {from}")],
        2..5 => vec![format!("SET {} {amount}", pick(prng, &OTHERS))],
        5 => vec![format!("INCR {}", pick(prng, &OTHERS))],
        6 | 7 => {
            let (old, new) = (pick(prng, &OTHERS), pick(prng, &OTHERS));
            let free = old == new;
            lines.insert(
                1,
                if free { format!("SET {new} 1") } else { format!("RENAME {old} {new}") },
            );
            lines
        }
        _ => lines,
    }
}

/// What the accounts hold together: nothing, unless half of a transfer is missing.
pub fn balance(model: &Model) -> i64 {
    let held = ACCOUNTS.iter().filter_map(|account| {
        match &model.keys.get(&(0, account.as_bytes().to_vec()))?.value {
            Value::Str(bytes) => std::str::from_utf8(bytes).ok()?.parse::<i64>().ok(),
            _ => None,
        }
    });
    held.sum()
}

fn request(prng: &mut Prng, now: u64) -> (u16, Vec<Words>) {
    let db = u16::from(prng.chance(1, 8));
    let count = if prng.chance(1, 5) { 2 + prng.below(3) } else { 1 };
    (db, (0..count).map(|_| command(prng, now)).collect())
}
