//! A key as the smallest set of plain commands that makes it anew; a part of a value likewise.

use crate::base::ids::Db;
use crate::base::number::push_double;
use crate::base::table::Stored;
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::rebuild_stream::rebuild_section;
use crate::types::hash::Hash;
use crate::types::packed::elements;
use crate::types::set::Set;
use crate::types::stream::parts::sections;
use crate::types::string::StrRef;
use crate::types::timed::Timed;
use crate::types::value::{Kind, Value};
use crate::types::zset::packed::entries;

/// Elements in one command, so that none is long (Redis' rewrite uses the same number).
pub const BATCH: usize = 64;
/// A long one ends its command: positions in a command have 32 bits, and 64 elements may be of
/// 512 MB each.
const LONG: usize = 16 << 10;

/// Is a command with these words complete?
fn is_whole(batch: &[Vec<u8>], most: usize) -> bool {
    batch.len() >= most || batch.iter().rev().take(2).any(|word| word.len() >= LONG)
}

impl Keyspace {
    /// Gives the commands, one after another, that make this key in an empty place: SET or HSETs
    /// with HPEXPIREATs, then PEXPIREAT. Says whether the key is there. Does not count as an
    /// access.
    pub fn rebuild(&mut self, db: Db, key: &[u8], each: &mut dyn FnMut(&[&[u8]])) -> bool {
        let Some((place, meta)) = self.look(db, key) else { return false };
        match self.database(db).table.view(place).value {
            Stored::Inline(bytes) => each(&[b"SET", key, bytes]),
            Stored::Extern(Value::Str(bytes)) => each(&[b"SET", key, bytes]),
            Stored::Extern(Value::Rope(rope)) => {
                each(&[b"SET", key, &StrRef::Rope(rope.borrow()).flat()]);
            }
            Stored::Extern(Value::Hash(Hash::Flat(flat))) => {
                let mut maker = HashMaker::new(key);
                flat.pairs().for_each(|(field, value)| maker.add(field, value, None, each));
                maker.end(each);
            }
            Stored::Extern(Value::Hash(Hash::Big(big))) => {
                let mut maker = HashMaker::new(key);
                big.borrow().for_each(&mut |field, value, at| maker.add(field, value, at, each));
                maker.end(each);
            }
            Stored::Extern(Value::Set(set)) => rebuild_set(set, key, each),
            Stored::Extern(value) => match value.whole() {
                Some(bytes) => rebuild_part(value.kind(), key, bytes, each),
                None => value.each_part(&mut |part| rebuild_part(value.kind(), key, part, each)),
            },
        }
        if let Some(deadline) = meta.deadline {
            each(&[b"PEXPIREAT", key, deadline.to_string().as_bytes()]);
        }
        true
    }
}

/// Gives the commands that add a part, or all of a small value, to what is at the key.
pub fn rebuild_part(kind: Kind, key: &[u8], part: &[u8], each: &mut dyn FnMut(&[&[u8]])) {
    match kind {
        Kind::List => {
            let elements: Vec<&[u8]> = elements(part).collect();
            for batch in elements.chunks(BATCH) {
                each(&[&[&b"RPUSH"[..], key], batch].concat());
            }
        }
        Kind::Stream => sections(part).for_each(|section| match section {
            Some(section) => rebuild_section(&section, key, each),
            None => unreachable!("a part was made by its stream, or verified when it was loaded"),
        }),
        Kind::Zset => rebuild_zset(key, part, each),
        Kind::Set => {
            if let Some(set) = Set::verified(part) {
                rebuild_set(&set, key, each);
            }
        }
        Kind::Hash => {
            let Some(timed) = Timed::verified(part) else { return };
            let mut maker = HashMaker::new(key);
            timed.rows().for_each(|(field, value, at)| maker.add(field, value, at, each));
            maker.end(each);
        }
        Kind::String => {}
    }
}

fn rebuild_zset(key: &[u8], part: &[u8], each: &mut dyn FnMut(&[&[u8]])) {
    let scored = |(score, member)| {
        let mut digits = Vec::new();
        push_double(&mut digits, score);
        (digits, member)
    };
    let pairs: Vec<(Vec<u8>, &[u8])> = entries(part).map(scored).collect();
    for batch in pairs.chunks(BATCH) {
        let mut args: Vec<&[u8]> = vec![b"ZADD", key];
        args.extend(batch.iter().flat_map(|(score, member)| [score, *member]));
        each(&args);
    }
}

fn rebuild_set(set: &Set, key: &[u8], each: &mut dyn FnMut(&[&[u8]])) {
    let mut batch: Vec<Vec<u8>> = Vec::new();
    let mut send = |batch: &mut Vec<Vec<u8>>| {
        if !batch.is_empty() {
            let mut args: Vec<&[u8]> = vec![b"SADD", key];
            args.extend(batch.iter().map(Vec::as_slice));
            each(&args);
        }
        batch.clear();
    };
    set.for_each(|member| {
        batch.push(member.to_vec());
        if is_whole(&batch, BATCH) {
            send(&mut batch);
        }
    });
    send(&mut batch);
}

/// The commands that make a hash: HSET of some fields, then HPEXPIREAT of those among them that
/// have a deadline, those together whose deadlines are equal.
#[derive(Debug)]
pub struct HashMaker<'k> {
    key: &'k [u8],
    pairs: Vec<Vec<u8>>,
    deadlines: Vec<(u64, Vec<u8>)>,
}

impl<'k> HashMaker<'k> {
    /// For this key.
    pub fn new(key: &'k [u8]) -> HashMaker<'k> {
        HashMaker { key, pairs: Vec::new(), deadlines: Vec::new() }
    }

    /// Adds a field; gives the commands that are complete.
    pub fn add(
        &mut self,
        field: &[u8],
        value: &[u8],
        deadline: Option<u64>,
        each: &mut dyn FnMut(&[&[u8]]),
    ) {
        self.pairs.push(field.to_vec());
        self.pairs.push(value.to_vec());
        self.deadlines.extend(deadline.map(|at| (at, field.to_vec())));
        if is_whole(&self.pairs, 2 * BATCH) {
            self.end(each);
        }
    }

    /// Gives what is left.
    pub fn end(&mut self, each: &mut dyn FnMut(&[&[u8]])) {
        if self.pairs.is_empty() {
            return;
        }
        let mut args: Vec<&[u8]> = vec![b"HSET", self.key];
        args.extend(self.pairs.iter().map(Vec::as_slice));
        each(&args);
        self.pairs.clear();
        each_deadline(self.key, &mut self.deadlines, each);
    }
}

/// Gives the commands that set these deadlines of fields, and forgets them.
pub fn each_deadline(
    key: &[u8],
    deadlines: &mut Vec<(u64, Vec<u8>)>,
    each: &mut dyn FnMut(&[&[u8]]),
) {
    deadlines.sort();
    for alike in deadlines.chunk_by(|one, next| one.0 == next.0) {
        let at = alike.first().map_or(0, |one| one.0).to_string();
        let count = alike.len().to_string();
        let mut args: Vec<&[u8]> =
            vec![b"HPEXPIREAT", key, at.as_bytes(), b"FIELDS", count.as_bytes()];
        args.extend(alike.iter().map(|(_, field)| field.as_slice()));
        each(&args);
    }
    deadlines.clear();
}
