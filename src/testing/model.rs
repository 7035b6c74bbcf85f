//! The oracle: one map of values with deadlines, so dull that it cannot be wrong.

use std::collections::{BTreeMap, VecDeque};

/// A database and a key.
pub type Name = (u16, Vec<u8>);

/// One command, its name first.
pub type Words = Vec<Vec<u8>>;

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string.
    Str(Vec<u8>),
    /// A hash: fields that may have deadlines of their own.
    Hash(BTreeMap<Vec<u8>, Field>),
    /// A list.
    List(VecDeque<Vec<u8>>),
    /// A sorted set whose scores are integers.
    Zset(BTreeMap<Vec<u8>, i64>),
}

/// The value of a field and its deadline.
pub type Field = (Vec<u8>, Option<u64>);

/// A value and its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// The last millisecond at which it is there.
    pub deadline: Option<u64>,
}

/// A change of one key.
pub type Change = (Name, Option<Entry>);

/// Everything there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// The keys, also those that have expired and were not touched since.
    pub keys: BTreeMap<Name, Entry>,
}

const NOT_AN_INTEGER: &[u8] = b"-ERR value is not an integer or out of range\r\n";
const WRONG_TYPE: &[u8] = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";

impl Entry {
    /// What is left of it at `now`: without fields that have died; nothing when it has died, or is
    /// a hash of which nothing else was left.
    fn alive(mut self, now: u64) -> Option<Entry> {
        let alive = |deadline: Option<u64>| deadline.is_none_or(|deadline| deadline >= now);
        if let Value::Hash(fields) = &mut self.value {
            fields.retain(|_, field| alive(field.1));
            if fields.is_empty() {
                return None;
            }
        }
        alive(self.deadline).then_some(self)
    }
}

impl Model {
    /// Runs commands one after another; their replies, and what they changed.
    pub fn run(&mut self, now: u64, db: u16, commands: &[Words]) -> (Vec<Vec<u8>>, Vec<Change>) {
        let before = self.keys.clone();
        let replies = commands.iter().map(|words| self.command(now, db, words)).collect();
        let mut changes = Vec::new();
        for name in before.keys().chain(self.keys.keys().filter(|name| !before.contains_key(*name)))
        {
            // That what has expired is found and removed changes nothing that a client could see.
            let seen = |keys: &BTreeMap<Name, Entry>| {
                keys.get(name).and_then(|entry| entry.clone().alive(now))
            };
            if seen(&before) != seen(&self.keys) {
                changes.push((name.clone(), self.keys.get(name).cloned()));
            }
        }
        (replies, changes)
    }

    /// Puts changes in force.
    pub fn change(&mut self, (name, entry): &Change) {
        match entry {
            Some(entry) => self.keys.insert(name.clone(), entry.clone()),
            None => self.keys.remove(name),
        };
    }

    /// What is there at `now`.
    pub fn alive(&self, now: u64) -> BTreeMap<Name, Entry> {
        let alive = |(name, entry): (&Name, &Entry)| {
            entry.clone().alive(now).map(|entry| (name.clone(), entry))
        };
        self.keys.iter().filter_map(alive).collect()
    }

    fn entry(&mut self, now: u64, name: &Name) -> Option<&mut Entry> {
        let dead = self.keys.get(name).is_some_and(|e| e.deadline.is_some_and(|at| at < now));
        if dead {
            self.keys.remove(name);
        }
        self.keys.get_mut(name)
    }

    fn command(&mut self, now: u64, db: u16, words: &[Vec<u8>]) -> Vec<u8> {
        let word = |at: usize| words.get(at).cloned().unwrap_or_default();
        let name = (db, word(1));
        match words.first().map(Vec::as_slice).unwrap_or_default() {
            b"SET" => {
                self.keys.insert(name, plain(word(2)));
                ok()
            }
            b"MSET" => {
                for at in (1..words.len()).step_by(2) {
                    self.keys.insert((db, word(at)), plain(word(at + 1)));
                }
                ok()
            }
            b"GET" => match self.entry(now, &name).map(|entry| &entry.value) {
                Some(Value::Str(bytes)) => bulk(bytes),
                Some(_) => WRONG_TYPE.to_vec(),
                None => b"$-1\r\n".to_vec(),
            },
            b"INCR" => self.incr(now, name, 1),
            b"INCRBY" => self.incr(now, name, number(&word(2))),
            b"DEL" => {
                let mut gone = 0;
                for at in 1..words.len() {
                    let name = (db, word(at));
                    gone += i64::from(self.entry(now, &name).is_some());
                    self.keys.remove(&name);
                }
                integer(gone)
            }
            b"RPUSH" => self.rpush(now, name, word(2)),
            b"LPOP" => self.lpop(now, &name),
            b"LMOVE" => self.lmove(now, &name, (db, word(2))),
            b"ZADD" => self.zadd(now, name, number(&word(2)), word(3)),
            b"ZREM" => self.zrem(now, &name, &word(2)),
            b"HSET" => self.hset(now, name, word(2), word(3)),
            b"HDEL" => self.hdel(now, name, &word(2)),
            b"HINCRBY" => self.hincrby(now, name, word(2), number(&word(3))),
            b"HPEXPIREAT" => self.hexpire(now, name, &word(5), number(&word(2)) as u64),
            b"HPERSIST" => self.hpersist(now, name, &word(4)),
            b"RENAME" => match self.entry(now, &name).cloned() {
                Some(entry) => {
                    self.keys.remove(&name);
                    self.keys.insert((db, word(2)), entry);
                    ok()
                }
                None => b"-ERR no such key\r\n".to_vec(),
            },
            b"FLUSHALL" => {
                self.keys.clear();
                ok()
            }
            b"PEXPIREAT" => self.expire(now, name, &word(2)),
            b"PERSIST" => {
                let had = self.entry(now, &name).and_then(|entry| entry.deadline.take());
                integer(i64::from(had.is_some()))
            }
            other => panic!("not in the model: {other:?}"),
        }
    }

    fn incr(&mut self, now: u64, name: Name, by: i64) -> Vec<u8> {
        let entry = match self.entry(now, &name) {
            Some(entry) => entry,
            None => self.keys.entry(name).or_insert(plain(b"0".to_vec())),
        };
        let Value::Str(bytes) = &mut entry.value else { return WRONG_TYPE.to_vec() };
        let Some(number) = std::str::from_utf8(bytes).ok().and_then(|t| t.parse::<i64>().ok())
        else {
            return NOT_AN_INTEGER.to_vec();
        };
        *bytes = (number + by).to_string().into_bytes();
        integer(number + by)
    }

    fn fields(&mut self, now: u64, name: Name) -> Option<&mut BTreeMap<Vec<u8>, Field>> {
        let empty = Entry { value: Value::Hash(BTreeMap::new()), deadline: None };
        self.entry(now, &name);
        match &mut self.keys.entry(name).or_insert(empty).value {
            Value::Hash(fields) => {
                fields.retain(|_, field| field.1.is_none_or(|at| at >= now));
                Some(fields)
            }
            _ => None,
        }
    }

    fn hset(&mut self, now: u64, name: Name, field: Vec<u8>, value: Vec<u8>) -> Vec<u8> {
        let Some(fields) = self.fields(now, name) else { return WRONG_TYPE.to_vec() };
        integer(i64::from(fields.insert(field, (value, None)).is_none()))
    }

    fn hincrby(&mut self, now: u64, name: Name, field: Vec<u8>, by: i64) -> Vec<u8> {
        let Some(fields) = self.fields(now, name) else { return WRONG_TYPE.to_vec() };
        let held = fields.entry(field).or_insert((b"0".to_vec(), None));
        let sum = number(&held.0) + by;
        held.0 = sum.to_string().into_bytes();
        integer(sum)
    }

    fn hdel(&mut self, now: u64, name: Name, field: &[u8]) -> Vec<u8> {
        let Some(fields) = self.fields(now, name.clone()) else { return WRONG_TYPE.to_vec() };
        let gone = fields.remove(field).is_some();
        if fields.is_empty() {
            self.keys.remove(&name);
        }
        integer(i64::from(gone))
    }

    /// One field.
    fn hexpire(&mut self, now: u64, name: Name, field: &[u8], at: u64) -> Vec<u8> {
        let Some(fields) = self.fields(now, name.clone()) else { return WRONG_TYPE.to_vec() };
        let answer = match fields.get_mut(field) {
            None => -2,
            Some(_) if at <= now => {
                fields.remove(field);
                2
            }
            Some(held) => {
                held.1 = Some(at);
                1
            }
        };
        if fields.is_empty() {
            self.keys.remove(&name);
        }
        [b"*1\r\n".to_vec(), integer(answer)].concat()
    }

    /// One field.
    fn hpersist(&mut self, now: u64, name: Name, field: &[u8]) -> Vec<u8> {
        let Some(fields) = self.fields(now, name.clone()) else { return WRONG_TYPE.to_vec() };
        let answer = match fields.get_mut(field) {
            None => -2,
            Some(held) => held.1.take().map_or(-1, |_| 1),
        };
        if fields.is_empty() {
            self.keys.remove(&name);
        }
        [b"*1\r\n".to_vec(), integer(answer)].concat()
    }

    fn rpush(&mut self, now: u64, name: Name, element: Vec<u8>) -> Vec<u8> {
        let empty = Entry { value: Value::List(VecDeque::new()), deadline: None };
        let entry = match self.entry(now, &name) {
            Some(entry) => entry,
            None => self.keys.entry(name).or_insert(empty),
        };
        let Value::List(elements) = &mut entry.value else { return WRONG_TYPE.to_vec() };
        elements.push_back(element);
        integer(elements.len() as i64)
    }

    fn lpop(&mut self, now: u64, name: &Name) -> Vec<u8> {
        let Some(entry) = self.entry(now, name) else { return b"$-1\r\n".to_vec() };
        let Value::List(elements) = &mut entry.value else { return WRONG_TYPE.to_vec() };
        let first = elements.pop_front().unwrap_or_default();
        if elements.is_empty() {
            self.keys.remove(name);
        }
        bulk(&first)
    }

    /// From the left of one to the right of another.
    fn lmove(&mut self, now: u64, from: &Name, to: Name) -> Vec<u8> {
        let is_list =
            |entry: Option<&mut Entry>| entry.map(|entry| matches!(entry.value, Value::List(_)));
        match is_list(self.entry(now, from)) {
            None => return b"$-1\r\n".to_vec(),
            Some(true) if is_list(self.entry(now, &to)) != Some(false) => {}
            Some(_) => return WRONG_TYPE.to_vec(),
        }
        let Some(Entry { value: Value::List(elements), .. }) = self.keys.get_mut(from) else {
            return WRONG_TYPE.to_vec();
        };
        let first = elements.pop_front().unwrap_or_default();
        // A list that is moved within itself keeps its deadline, also when it has one element.
        if elements.is_empty() && *from != to {
            self.keys.remove(from);
        }
        self.rpush(now, to, first.clone());
        bulk(&first)
    }

    fn zadd(&mut self, now: u64, name: Name, score: i64, member: Vec<u8>) -> Vec<u8> {
        let empty = Entry { value: Value::Zset(BTreeMap::new()), deadline: None };
        let entry = match self.entry(now, &name) {
            Some(entry) => entry,
            None => self.keys.entry(name).or_insert(empty),
        };
        let Value::Zset(members) = &mut entry.value else { return WRONG_TYPE.to_vec() };
        integer(i64::from(members.insert(member, score).is_none()))
    }

    fn zrem(&mut self, now: u64, name: &Name, member: &[u8]) -> Vec<u8> {
        let Some(entry) = self.entry(now, name) else { return integer(0) };
        let Value::Zset(members) = &mut entry.value else { return WRONG_TYPE.to_vec() };
        let gone = members.remove(member).is_some();
        if members.is_empty() {
            self.keys.remove(name);
        }
        integer(i64::from(gone))
    }

    fn expire(&mut self, now: u64, name: Name, deadline: &[u8]) -> Vec<u8> {
        let at: u64 = std::str::from_utf8(deadline).ok().and_then(|t| t.parse().ok()).unwrap_or(0);
        match self.entry(now, &name) {
            None => integer(0),
            Some(entry) => {
                entry.deadline = Some(at);
                if at < now {
                    self.keys.remove(&name);
                }
                integer(1)
            }
        }
    }
}

fn number(word: &[u8]) -> i64 {
    std::str::from_utf8(word).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn plain(value: Vec<u8>) -> Entry {
    Entry { value: Value::Str(value), deadline: None }
}

fn ok() -> Vec<u8> {
    b"+OK\r\n".to_vec()
}

fn integer(number: i64) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    let mut reply = format!("${}\r\n", bytes.len()).into_bytes();
    reply.extend_from_slice(bytes);
    reply.extend_from_slice(b"\r\n");
    reply
}
