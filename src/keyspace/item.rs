//! What a snapshot consists of, as it is handed to whoever writes it.

use crate::base::ids::Db;
use crate::base::time::Millis;
use crate::types::flat::Flat;
use crate::types::value::Kind;

/// Takes a snapshot's items.
pub trait Sink {
    /// Takes one item; what it borrows is valid during the call only.
    fn take(&mut self, item: Item<'_>);
}

/// One piece of a snapshot.
#[derive(Debug)]
pub enum Item<'a> {
    /// A library of functions.
    Library {
        /// Its name.
        name: &'a [u8],
        /// Its text.
        text: &'a [u8],
    },
    /// A key with all that it held at the cut.
    Small {
        /// The database's number at the cut.
        db: Db,
        /// The key.
        key: &'a [u8],
        /// Its deadline.
        deadline: Option<Millis>,
        /// Its value.
        value: Small<'a>,
    },
    /// A key whose value follows in fragments, between other items.
    Open {
        /// The number that its fragments carry, unique within the snapshot.
        id: u64,
        /// The database's number at the cut.
        db: Db,
        /// The key at the cut.
        key: &'a [u8],
        /// Its deadline at the cut.
        deadline: Option<Millis>,
        /// What it is, and how large it was at the cut.
        shape: Shape,
    },
    /// A field of an open hash, or a member of an open set. Each comes once, in no particular
    /// order.
    Field {
        /// The number of the hash.
        id: u64,
        /// The field's name.
        field: &'a [u8],
        /// Its value.
        value: &'a [u8],
        /// Its deadline.
        deadline: Option<Millis>,
    },
    /// A chunk of an open string, each once and in no particular order; or a part of another open
    /// value, in order.
    Chunk {
        /// The number of the value.
        id: u64,
        /// Where in the string it begins; the number of the part, from 0 on.
        offset: u64,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// All fragments of this number have been handed over.
    Close {
        /// The number.
        id: u64,
    },
}

/// A value in one piece.
#[derive(Clone, Copy, Debug)]
pub enum Small<'a> {
    /// A string of at most 64 KiB.
    Str(&'a [u8]),
    /// A small hash: go over `pairs`.
    Hash(&'a Flat),
    /// A small value of a type that is written whole (`Value::whole`), or a small hash with
    /// deadlines of fields.
    Whole(Kind, &'a [u8]),
}

/// What a fragmented value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A hash, or a set: fields with empty values.
    Table {
        /// Which of the two.
        kind: Kind,
        /// Fields.
        fields: u64,
    },
    /// A string.
    Rope {
        /// Bytes.
        bytes: u64,
    },
    /// A value that comes in parts (`Value::parts`).
    Parts {
        /// Its type.
        kind: Kind,
        /// Elements.
        elements: u64,
    },
}
