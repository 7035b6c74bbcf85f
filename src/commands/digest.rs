//! The digest of values, databases and data sets that DEBUG DIGEST defines.
//!
//! Two ways to put `data` into a digest: `add` (xor with its SHA-1, so order does not matter) and
//! `chain` (then the SHA-1 of the result, so it does). A key's digest chains its name and its type
//! number, then its value, and adds a mark when the key has a deadline. A data set's digest
//! chains, for each database with keys, its number, and adds the digests of its keys.

use sha1::{Digest as _, Sha1};

use crate::base::ids::Db;
use crate::base::number::push_double_digits;
use crate::base::wire::hexadecimal;
use crate::commands::scan::every_key;
use crate::keyspace::keyspace::Keyspace;
use crate::types::stream::id::StreamId;
use crate::types::value::Kind;

/// 160 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest([u8; 20]);

impl Digest {
    /// Puts data in whose order does not matter.
    fn add(&mut self, data: &[u8]) {
        self.xor(&Digest(Sha1::digest(data).into()));
    }

    /// Puts data in whose order matters.
    fn chain(&mut self, data: &[u8]) {
        self.add(data);
        self.0 = Sha1::digest(self.0).into();
    }

    fn xor(&mut self, other: &Digest) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a ^= b;
        }
    }

    /// 40 hexadecimal digits.
    pub fn hex(&self) -> String {
        hexadecimal(&self.0)
    }

    /// The digest that 40 hexadecimal digits stand for.
    fn of_hex(digits: &[u8]) -> Option<Digest> {
        let mut digest = Digest::default();
        for (byte, pair) in digest.0.iter_mut().zip(digits.chunks(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(digest)
    }
}

/// The number of a type inside a digest.
fn number(kind: Kind) -> u32 {
    match kind {
        Kind::String => 0,
        Kind::List => 1,
        Kind::Set => 2,
        Kind::Zset => 3,
        Kind::Hash => 4,
        Kind::Stream => 6,
    }
}

/// Puts what the key holds into the digest; nothing when there is no key.
pub fn put_value(digest: &mut Digest, keys: &mut Keyspace, db: Db, key: &[u8]) {
    let Some(kind) = keys.kind(db, key) else { return };
    digest.chain(&number(kind).to_be_bytes());
    match kind {
        Kind::String => {
            if let Ok(Some(value)) = keys.string(db, key) {
                digest.chain(&value.flat());
            }
        }
        Kind::Hash => {
            if let Ok(Some(hash)) = keys.hash(db, key) {
                hash.for_each_until(|field, value, deadline| {
                    let mut pair = Digest::default();
                    pair.chain(field);
                    pair.chain(value);
                    if deadline.is_some() {
                        pair.add(b"!!hexpire!!");
                    }
                    digest.add(&pair.0);
                });
            }
        }
        Kind::List => {
            if let Ok(Some(list)) = keys.list(db, key) {
                list.iter_from(0).for_each(|element| digest.chain(element));
            }
        }
        Kind::Zset => {
            if let Ok(Some(zset)) = keys.zset(db, key) {
                for (score, member) in zset.upwards(0) {
                    let (mut pair, mut digits) = (Digest::default(), Vec::new());
                    push_double_digits(&mut digits, score);
                    pair.chain(member);
                    pair.chain(&digits);
                    digest.add(&pair.0);
                }
            }
        }
        Kind::Set => {
            if let Ok(Some(set)) = keys.set(db, key) {
                set.for_each(|member| digest.add(member));
            }
        }
        Kind::Stream => {
            if let Ok(Some(stream)) = keys.stream(db, key) {
                for entry in stream.range(StreamId::MIN, StreamId::MAX) {
                    digest.chain(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
                    for (field, value) in entry.pairs() {
                        digest.chain(field);
                        digest.chain(value);
                    }
                }
            }
        }
    }
    if keys.deadline(db, key).flatten().is_some() {
        digest.add(b"!!expire!!");
    }
}

/// The digests of a keyspace's databases, by number: those that several shards give are combined
/// by `xor`, which `of_parts` then makes into the digest of the data set.
pub fn parts(keys: &mut Keyspace) -> Vec<Digest> {
    (0..keys.databases())
        .map(|index| {
            let db = Db(index);
            let mut names = Vec::new();
            every_key(keys, db, |name, _| names.push(name.to_vec()));
            let mut sum = Digest::default();
            for name in names {
                let mut digest = Digest::default();
                digest.chain(&name);
                put_value(&mut digest, keys, db, &name);
                sum.add(&digest.0);
            }
            sum
        })
        .collect()
}

/// The digest of a data set whose databases have these digests. One that is all zeros stands for
/// a database without keys.
pub fn of_parts(parts: &[Digest]) -> Digest {
    let mut all = Digest::default();
    for (index, part) in parts.iter().enumerate() {
        if *part != Digest::default() {
            all.chain(&(index as u32).to_be_bytes());
            all.xor(part);
        }
    }
    all
}

/// The same for parts written as 40 hexadecimal digits each, one list for every shard: the answer
/// to DEBUG DIGEST from those to DEBUG DIGEST PARTS.
pub fn of_hex_parts<'a>(shards: impl Iterator<Item = &'a [u8]>) -> Digest {
    let mut sums: Vec<Digest> = Vec::new();
    for shard in shards {
        for (index, digits) in shard.chunks(40).enumerate() {
            if sums.len() <= index {
                sums.push(Digest::default());
            }
            if let (Some(sum), Some(part)) = (sums.get_mut(index), Digest::of_hex(digits)) {
                sum.xor(&part);
            }
        }
    }
    of_parts(&sums)
}
