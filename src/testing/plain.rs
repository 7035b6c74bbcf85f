//! A plain copy of a shard's keys: the commands that make each anew, in an order of their own, so
//! that two copies are equal if and only if no client could tell the keys apart.

use std::collections::BTreeMap;

use crate::base::ids::{Db, Lsn};
use crate::base::time::Millis;
use crate::keyspace::keyspace::Keyspace;
use crate::testing::model::Name;

/// One key: what its commands say, and its deadline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Made {
    commands: Vec<Vec<Vec<u8>>>,
    deadline: Option<u64>,
}

/// All keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plain(BTreeMap<Name, Made>);

impl Plain {
    /// Those that have not expired.
    pub fn alive(&self, now: u64) -> Plain {
        let alive = self.0.iter().filter(|(_, made)| made.is_alive(now));
        Plain(alive.map(|(name, made)| (name.clone(), made.clone())).collect())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Made {
    fn is_alive(&self, now: u64) -> bool {
        self.deadline.is_none_or(|at| at >= now)
    }

    /// Adds a command; those of one value that come in batches become one.
    fn add(&mut self, words: &[&[u8]]) {
        let Some((name, args)) = words.split_first() else { return };
        let args = args.iter().skip(1).map(|arg| arg.to_vec());
        match (*name, words) {
            (b"PEXPIREAT", [_, _, at]) => {
                self.deadline = std::str::from_utf8(at).ok().and_then(|at| at.parse().ok());
            }
            (b"HPEXPIREAT", [_, _, at, _, _, fields @ ..]) => {
                let one = |field: &&[u8]| vec![name.to_vec(), at.to_vec(), field.to_vec()];
                self.commands.extend(fields.iter().map(one));
            }
            // Elements without an order: one command each, and sorted in the end.
            (b"HSET" | b"ZADD", _) => {
                let args: Vec<Vec<u8>> = args.collect();
                let pairs = args.chunks(2).map(|pair| [&[name.to_vec()], pair].concat());
                self.commands.extend(pairs);
            }
            (b"SADD", _) => self.commands.extend(args.map(|member| vec![name.to_vec(), member])),
            // Elements in order: the same, and not sorted.
            (b"RPUSH", _) => self.commands.extend(args.map(|element| vec![element])),
            _ => self.commands.push(std::iter::once(name.to_vec()).chain(args).collect()),
        }
    }

    fn settle(&mut self) {
        let sorted = self.commands.first().is_some_and(|command| {
            command.first().is_some_and(|name| {
                matches!(name.as_slice(), b"HSET" | b"ZADD" | b"SADD") && command.len() > 1
            })
        });
        if sorted {
            self.commands.sort();
        }
    }
}

/// A copy of the keys that are there at `now`.
pub fn plain(keys: &mut Keyspace, databases: u16, now: u64) -> Plain {
    keys.begin(Millis(now), Lsn(0));
    let mut all = BTreeMap::new();
    for db in (0..databases).map(Db) {
        let (mut names, mut cursor) = (Vec::new(), 0);
        loop {
            cursor = keys.scan(db, cursor, 1000, &mut |key: &[u8], _| names.push(key.to_vec()));
            if cursor == 0 {
                break;
            }
        }
        for key in names {
            let mut made = Made::default();
            let there = keys.rebuild(db, &key, &mut |words| made.add(words));
            if there && made.is_alive(now) {
                made.settle();
                all.insert((db.0, key), made);
            }
        }
    }
    Plain(all)
}

/// How two copies differ, in a line.
pub fn difference(found: &Plain, expected: &Plain) -> String {
    let name = |(db, key): &Name| format!("{db}/{:.20}", String::from_utf8_lossy(key));
    let only = |one: &Plain, other: &Plain| -> Vec<String> {
        one.0.keys().filter(|key| !other.0.contains_key(*key)).take(5).map(name).collect()
    };
    let differ =
        found.0.iter().filter(|(key, made)| expected.0.get(*key).is_some_and(|e| e != *made));
    let differ: Vec<String> = differ.take(5).map(|(key, _)| name(key)).collect();
    let (missing, extra) = (only(expected, found), only(found, expected));
    format!("missing {missing:?}, too many {extra:?}, different {differ:?}")
}
