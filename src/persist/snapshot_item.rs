//! The items of a snapshot as bytes: what a shard held at the cut, key by key.
//!
//! ```text
//! item = tag (1 byte), length of the body (varint), body
//!   0x01 database   number                          of all keys that follow
//!   0x02 expect     database, keys                  so many keys of it are to come, about
//!   0x03 open       id, kind (1 byte), size, key    its value follows in fragments
//!   0x04 field      id, length of the name, name, value
//!   0x05 chunk      id, offset, bytes
//!   0x06 close      id                              all fragments have come
//!   0x07 library    length of the name, name, text  a library of functions
//!   0x80 + 2 k      length of the key, key, value   an entry of kind k
//!   0xc0            length of the key, key, value   a hash with deadlines of fields
//! ```
//!
//! Numbers are varints. Tags 0x03 and 0x04 plus 0x40, and those from 0x80 on plus 1: the body
//! begins with a deadline of 8 bytes, that of the key or of the field. The value of a string is its
//! bytes to the end of the body; that of a hash is name, value, name, value, each with its length
//! before it; that of any other type, and of a hash with deadlines of fields, is what the type
//! itself reads and writes (types/parts.rs). A chunk's offset is that of its bytes in a string, and
//! the number of the part, from 0 on, in other values.
//!
//! An item is valid if and only if its tag is one of these, its body has the length that is said
//! and holds these parts, and nothing else, and whoever puts values together accepts them: a key,
//! a field of a key, and the name of a library come once; a field's deadline is from 1 to 2^46 - 1,
//! and its key holds a hash. A field with a deadline, 0xc0 and 0x07 are younger than the rest:
//! files without them are as they were.

use crate::base::ids::Db;
use crate::base::time::Millis;
use crate::base::wire::{Reader, Writer};
use crate::persist::value_codec::{kind_number, kind_of_number};
use crate::types::value::Kind;

/// One item, borrowed from a chunk that has been verified.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A library of functions.
    Library {
        /// Its name.
        name: &'a [u8],
        /// Its text.
        text: &'a [u8],
    },
    /// About so many keys of a database are to come.
    Expect {
        /// The database.
        db: Db,
        /// Keys.
        keys: u64,
    },
    /// A string in one piece.
    Str {
        /// Where it is.
        place: Place<'a>,
        /// The value.
        value: &'a [u8],
    },
    /// A hash in one piece.
    Hash {
        /// Where it is.
        place: Place<'a>,
        /// Its fields and values.
        pairs: Pairs<'a>,
    },
    /// A small value of another type, or a small hash with deadlines of fields.
    Whole {
        /// Where it is.
        place: Place<'a>,
        /// Its type.
        kind: Kind,
        /// Its bytes, not verified.
        bytes: &'a [u8],
    },
    /// A value whose fragments follow, between other items.
    Open {
        /// What its fragments name; unique within the file.
        id: u64,
        /// Where it is.
        place: Place<'a>,
        /// What it is.
        kind: Kind,
        /// Bytes of a string, elements of anything else.
        size: u64,
    },
    /// A field of an open hash.
    Field {
        /// Which.
        id: u64,
        /// Its name.
        field: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// Its deadline, if it has one.
        deadline: Option<Millis>,
    },
    /// A part of an open string or of a value of another type.
    Chunk {
        /// Which.
        id: u64,
        /// Where in the string it begins; the number of the part.
        offset: u64,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// An open value is complete.
    Close {
        /// Which.
        id: u64,
    },
}

/// Where an entry is, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Its database at the cut.
    pub db: Db,
    /// Its key.
    pub key: &'a [u8],
    /// Its deadline, if it has one.
    pub deadline: Option<Millis>,
}

/// The fields and values of a hash that is in one piece.
#[derive(Clone, Copy, Debug)]
pub struct Pairs<'a> {
    rest: Reader<'a>,
}

/// An item cannot be read although its chunk was verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadItem;

/// What the front of the bytes is.
pub(super) enum Parsed<'a> {
    /// An item; it is so many bytes long.
    Item(Item<'a>, usize),
    /// The database of what follows; so many bytes long.
    Database(Db, usize),
    /// More bytes are needed.
    Short,
}

const DATABASE: u8 = 1;
const EXPECT: u8 = 2;
const OPEN: u8 = 3;
const FIELD: u8 = 4;
const CHUNK: u8 = 5;
const CLOSE: u8 = 6;
const LIBRARY: u8 = 7;
const OPEN_WITH_DEADLINE: u8 = OPEN | 0x40;
const FIELD_WITH_DEADLINE: u8 = FIELD | 0x40;
const ENTRY: u8 = 0x80;
/// Where the kind of an entry stands: a hash with deadlines of fields.
const TIMED: u8 = 0x20;

/// The head of an item, up to where the first long byte string begins: at most a tag, five
/// varints and a deadline.
#[derive(Debug, Default)]
pub(super) struct Head {
    bytes: Vec<u8>,
}

impl Head {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub fn database(&mut self, db: Db) {
        self.short(DATABASE, &[u64::from(db.0)]);
    }

    pub fn expect(&mut self, db: Db, keys: u64) {
        self.short(EXPECT, &[u64::from(db.0), keys]);
    }

    pub fn close(&mut self, id: u64) {
        self.short(CLOSE, &[id]);
    }

    /// Before the name and the text of a library.
    pub fn library(&mut self, name: usize, text: usize) {
        self.begin(LIBRARY, varint_len(name as u64) + name + text, None);
        Writer::new(&mut self.bytes).varint(name as u64);
    }

    /// Before the key and `value` bytes of value.
    #[inline]
    pub fn entry(&mut self, kind: Kind, key: usize, deadline: Option<Millis>, value: usize) {
        self.entry_of(kind_number(kind), key, deadline, value);
    }

    /// The same for a small value of a type that is written whole, or a hash with deadlines.
    pub fn whole(&mut self, kind: Kind, key: usize, deadline: Option<Millis>, value: usize) {
        let number = if kind == Kind::Hash { TIMED } else { kind_number(kind) };
        self.entry_of(number, key, deadline, value);
    }

    #[inline]
    fn entry_of(&mut self, number: u8, key: usize, deadline: Option<Millis>, value: usize) {
        let tag = ENTRY | number << 1;
        let own = varint_len(key as u64);
        let body = own + key + value;
        self.begin(tag | u8::from(deadline.is_some()), body, deadline);
        Writer::new(&mut self.bytes).varint(key as u64);
    }

    /// Before the key.
    pub fn open(&mut self, id: u64, kind: Kind, size: u64, key: usize, deadline: Option<Millis>) {
        let tag = if deadline.is_some() { OPEN_WITH_DEADLINE } else { OPEN };
        self.begin(tag, varint_len(id) + 1 + varint_len(size) + key, deadline);
        let mut w = Writer::new(&mut self.bytes);
        w.varint(id);
        w.u8(kind_number(kind));
        w.varint(size);
    }

    /// Before the name and the value of a field.
    pub fn field(&mut self, id: u64, field: usize, value: usize, deadline: Option<Millis>) {
        let body = varint_len(id) + varint_len(field as u64) + field + value;
        let tag = if deadline.is_some() { FIELD_WITH_DEADLINE } else { FIELD };
        self.begin(tag, body, deadline);
        let mut w = Writer::new(&mut self.bytes);
        w.varint(id);
        w.varint(field as u64);
    }

    /// Before the bytes.
    pub fn chunk(&mut self, id: u64, offset: u64, len: usize) {
        self.begin(CHUNK, varint_len(id) + varint_len(offset) + len, None);
        let mut w = Writer::new(&mut self.bytes);
        w.varint(id);
        w.varint(offset);
    }

    #[inline]
    fn begin(&mut self, tag: u8, body: usize, deadline: Option<Millis>) {
        self.bytes.clear();
        let mut w = Writer::new(&mut self.bytes);
        w.u8(tag);
        w.varint(body as u64 + if deadline.is_some() { 8 } else { 0 });
        if let Some(Millis(at)) = deadline {
            w.u64(at);
        }
    }

    fn short(&mut self, tag: u8, numbers: &[u64]) {
        self.begin(tag, numbers.iter().map(|number| varint_len(*number)).sum(), None);
        for number in numbers {
            Writer::new(&mut self.bytes).varint(*number);
        }
    }
}

/// Appends a field and a value of a hash in one piece.
pub(super) fn put_pair(out: &mut Vec<u8>, field: &[u8], value: &[u8]) {
    let mut w = Writer::new(out);
    w.bytes(field);
    w.bytes(value);
}

#[inline]
fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Reads the item at the front of `bytes`, whose keys belong to `db`.
#[inline]
pub(super) fn parse(bytes: &[u8], db: Db) -> Result<Parsed<'_>, BadItem> {
    let mut reader = Reader::new(bytes);
    let Some(tag) = reader.u8() else { return Ok(Parsed::Short) };
    let Some(len) = reader.varint() else {
        // Ten bytes are enough for any varint.
        return if bytes.len() > 11 { Err(BadItem) } else { Ok(Parsed::Short) };
    };
    let len = usize::try_from(len).map_err(|_| BadItem)?;
    let Some(body) = reader.take(len) else { return Ok(Parsed::Short) };
    let used = reader.position();
    let mut body = Reader::new(body);
    if tag == DATABASE {
        let db = body.varint().and_then(|db| u16::try_from(db).ok()).filter(|_| body.is_empty());
        return Ok(Parsed::Database(Db(db.ok_or(BadItem)?), used));
    }
    let item = parse_body(tag, &mut body, db).ok_or(BadItem)?;
    Ok(Parsed::Item(item, used))
}

#[inline]
fn parse_body<'a>(tag: u8, body: &mut Reader<'a>, db: Db) -> Option<Item<'a>> {
    if tag & ENTRY != 0 {
        let deadline = if tag & 1 == 1 { Some(Millis(body.u64()?)) } else { None };
        let place = Place { db, key: body.bytes()?, deadline };
        let number = tag >> 1 & 0x3f;
        if number == TIMED {
            return Some(Item::Whole { place, kind: Kind::Hash, bytes: body.rest() });
        }
        return Some(match kind_of_number(number)? {
            Kind::String => Item::Str { place, value: body.rest() },
            Kind::Hash => Item::Hash { place, pairs: Pairs::verified(*body)? },
            kind => Item::Whole { place, kind, bytes: body.rest() },
        });
    }
    let item = match tag {
        EXPECT => {
            let db = Db(u16::try_from(body.varint()?).ok()?);
            let keys = body.varint()?;
            body.is_empty().then_some(Item::Expect { db, keys })?
        }
        OPEN | OPEN_WITH_DEADLINE => {
            let deadline = if tag == OPEN { None } else { Some(Millis(body.u64()?)) };
            let id = body.varint()?;
            let kind = kind_of_number(body.u8()?)?;
            let size = body.varint()?;
            let place = Place { db, key: body.rest(), deadline };
            Item::Open { id, place, kind, size }
        }
        FIELD | FIELD_WITH_DEADLINE => {
            let deadline = if tag == FIELD { None } else { Some(Millis(body.u64()?)) };
            let id = body.varint()?;
            let field = body.bytes()?;
            Item::Field { id, field, value: body.rest(), deadline }
        }
        CHUNK => Item::Chunk { id: body.varint()?, offset: body.varint()?, bytes: body.rest() },
        LIBRARY => Item::Library { name: body.bytes()?, text: body.rest() },
        CLOSE => {
            let id = body.varint()?;
            body.is_empty().then_some(Item::Close { id })?
        }
        _ => return None,
    };
    Some(item)
}

impl<'a> Pairs<'a> {
    fn verified(rest: Reader<'a>) -> Option<Pairs<'a>> {
        let mut ahead = rest;
        while !ahead.is_empty() {
            ahead.bytes()?;
            ahead.bytes()?;
        }
        Some(Pairs { rest })
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        Some((self.rest.bytes()?, self.rest.bytes()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn lengths_of_varints() {
        for bits in 0..64 {
            for value in [1u64 << bits, (1 << bits) - 1, u64::MAX] {
                let mut out = Vec::new();
                Writer::new(&mut out).varint(value);
                assert_eq!(varint_len(value), out.len(), "{value}");
            }
        }
    }

    #[test]
    fn bodies_that_are_not_exact_are_bad() {
        for bad in [
            &b"\x01\x02\x01\x01"[..],
            b"\x01\x03\xff\xff\x7f",
            b"\x01\x00",
            b"\x02\x01\x00",
            b"\x06\x02\x01\x01",
            b"\x07\x00",
            b"\x07\x02\x05a",
            b"\x47\x02\x01a",
            b"\x08\x00",
            b"\x00\x00",
            b"\x03\x03\x01\x09\x01",
            b"\x80\x01\x05",
            b"\x81\x04abcd",
            b"\x92\x02\x00\x00",
            b"\x82\x04\x01k\x01f",
            b"\x04\x02\x01\x05",
            b"\x44\x03\x01\x01f",
            b"\xc0\x02\x05k",
            b"\xc2\x02\x01k",
            b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f1234567",
        ] {
            assert!(matches!(parse(bad, Db(0)), Err(BadItem)), "{bad:x?}");
        }
        for short in [&b""[..], b"\x80", b"\x80\x80", b"\x80\x05abcd", b"\x80\xff\xff\xff\xff\x0fa"]
        {
            assert!(matches!(parse(short, Db(0)), Ok(Parsed::Short)), "{short:x?}");
        }
    }

    #[test]
    fn garbage_never_panics() {
        for seed in 0..50_000 {
            let mut prng = Prng::new(seed);
            let bytes: Vec<u8> = (0..prng.below(40))
                .map(|i| {
                    if i < 2 {
                        prng.below(9) as u8 | (0x80 * prng.below(2) as u8)
                    } else {
                        prng.next() as u8 >> prng.below(8)
                    }
                })
                .collect();
            if let Ok(Parsed::Item(Item::Hash { pairs, .. }, used)) = parse(&bytes, Db(0)) {
                assert!(used <= bytes.len() && pairs.count() <= bytes.len());
            }
        }
    }
}
