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
use crate::types::value::{Kind, Value};
use crate::types::zset::packed::entries;

/// Elements in one command, so that none is long (Redis' rewrite uses the same number).
pub const BATCH: usize = 64;

impl Keyspace {
    /// Gives the commands, one after another, that make this key in an empty place: SET or HSETs,
    /// then PEXPIREAT. Says whether the key is there. Does not count as an access.
    pub fn rebuild(&mut self, db: Db, key: &[u8], each: &mut dyn FnMut(&[&[u8]])) -> bool {
        let Some((place, meta)) = self.look(db, key) else { return false };
        match self.database(db).table.view(place).value {
            Stored::Inline(bytes) => each(&[b"SET", key, bytes]),
            Stored::Extern(Value::Str(bytes)) => each(&[b"SET", key, bytes]),
            Stored::Extern(Value::Rope(rope)) => {
                each(&[b"SET", key, &StrRef::Rope(rope.borrow()).flat()]);
            }
            Stored::Extern(Value::Hash(hash)) => rebuild_hash(hash, key, each),
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
        Kind::String | Kind::Hash => {}
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
        if batch.len() == BATCH {
            send(&mut batch);
        }
    });
    send(&mut batch);
}

fn rebuild_hash(hash: &Hash, key: &[u8], each: &mut dyn FnMut(&[&[u8]])) {
    let mut batch: Vec<Vec<u8>> = Vec::new();
    let mut send = |batch: &mut Vec<Vec<u8>>| {
        let mut args: Vec<&[u8]> = vec![b"HSET", key];
        args.extend(batch.iter().map(Vec::as_slice));
        if !batch.is_empty() {
            each(&args);
        }
        batch.clear();
    };
    hash.for_each(|field, value| {
        batch.push(field.to_vec());
        batch.push(value.to_vec());
        if batch.len() == 2 * BATCH {
            send(&mut batch);
        }
    });
    send(&mut batch);
}
