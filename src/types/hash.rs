//! A hash: small ones are one flat buffer, big ones a segmented table with a polarity bit a field.

use std::cell::{Ref, RefCell};
use std::rc::Rc;

use crate::base::table::{KeyHasher, Meta, New, Place, Stored, Table, View, is_small};
use crate::types::flat::{COUNT_MAX, Flat, LENGTH_MAX};
use crate::types::string::Bytes;

/// What is called with a field, its value and its polarity.
pub type EachField<'a> = dyn FnMut(&[u8], &[u8], u8) + 'a;

/// Up to what a hash is small: hash-max-listpack-entries and hash-max-listpack-value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields.
    pub entries: usize,
    /// Bytes of a field's name or value.
    pub value: usize,
}

/// A hash value. Read it here; change it only through `keyspace::HashMut`.
#[derive(Clone, Debug)]
pub enum Hash {
    /// A small one.
    Flat(Flat),
    /// A big one; it never becomes small again. A snapshot in progress shares it.
    Big(Rc<RefCell<BigHash>>),
}

/// The fields of a big hash, each with a polarity bit (snapshot.rs of the keyspace).
#[derive(Debug)]
pub struct BigHash {
    table: Table<Box<[u8]>>,
    values: usize,
    /// The number under which a snapshot in progress has opened it.
    pub fragment: Option<u64>,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { entries: 128, value: 64 }
    }
}

impl Limits {
    /// May a hash of `count` fields stay small when this field comes?
    pub fn allow(self, count: usize, field: &[u8], value: &[u8]) -> bool {
        let longest = field.len().max(value.len());
        longest <= self.value.min(LENGTH_MAX) && count <= self.entries.min(COUNT_MAX)
    }
}

impl Hash {
    /// Number of fields.
    pub fn len(&self) -> usize {
        match self {
            Hash::Flat(flat) => flat.len(),
            Hash::Big(big) => big.borrow().len(),
        }
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `field`.
    pub fn get(&self, field: &[u8]) -> Option<Bytes<'_>> {
        match self {
            Hash::Flat(flat) => flat.get(field).map(Bytes::Slice),
            Hash::Big(big) => {
                let found = Ref::filter_map(big.borrow(), |big| big.get(field));
                found.ok().map(Bytes::Guard)
            }
        }
    }

    /// Calls `each` with every field and value: insertion order while small, hash order when big.
    pub fn for_each(&self, mut each: impl FnMut(&[u8], &[u8])) {
        match self {
            Hash::Flat(flat) => flat.pairs().for_each(|(field, value)| each(field, value)),
            Hash::Big(big) => big.borrow().for_each(&mut |field, value, _| each(field, value)),
        }
    }

    /// Visits about `count` fields from `cursor` (0 at first) on; returns the next cursor, 0 at the
    /// end. A small hash is returned whole. What is there throughout is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(&[u8], &[u8])) -> u64 {
        match self {
            Hash::Flat(flat) => {
                flat.pairs().for_each(|(field, value)| each(field, value));
                0
            }
            Hash::Big(big) => big.borrow().scan(cursor, count, &mut each),
        }
    }

    /// A field chosen at random by `dice`, a random number; nothing when empty.
    pub fn random(&self, dice: u64, each: impl FnOnce(&[u8], &[u8])) {
        match self {
            Hash::Flat(flat) => {
                let nth = dice.checked_rem(flat.len() as u64).unwrap_or_default();
                if let Some((field, value)) = flat.pairs().nth(nth as usize) {
                    each(field, value);
                }
            }
            Hash::Big(big) => big.borrow().random(dice, each),
        }
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Hash::Flat(flat) => flat.bytes(),
            Hash::Big(big) => big.borrow().bytes(),
        }
    }
}

impl BigHash {
    /// An empty one that is about to get `expected` fields.
    pub fn new(hasher: KeyHasher, expected: usize) -> BigHash {
        BigHash { table: Table::with_expected(hasher, expected), values: 0, fragment: None }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        size_of::<BigHash>() + self.table.footprint() + self.values
    }

    /// The table of its fields, for a snapshot's walk.
    pub fn table(&self) -> &Table<Box<[u8]>> {
        &self.table
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        let place = self.table.find(self.table.hash(field), field)?;
        match self.table.view(place).value {
            Stored::Inline(bytes) => Some(bytes),
            Stored::Extern(bytes) => Some(bytes),
        }
    }

    /// Calls `each` with every field, value and polarity, in hash order.
    pub fn for_each(&self, each: &mut EachField<'_>) {
        let (mut places, mut from) = (Vec::new(), Some(0));
        while let Some(start) = from {
            from = self.table.ordered(start, &mut places, |_| true);
            for &place in &places {
                let view = self.table.view(place);
                each(view.key, value_of(&view), view.meta.marks);
            }
        }
    }

    /// Calls `each` with every field and value in hash order until it says false; says whether it
    /// went through.
    pub fn all(&self, each: &mut dyn FnMut(&[u8], &[u8]) -> bool) -> bool {
        let (mut places, mut from) = (Vec::new(), Some(0));
        while let Some(start) = from {
            from = self.table.ordered(start, &mut places, |_| true);
            for &place in &places {
                let view = self.table.view(place);
                if !each(view.key, value_of(&view)) {
                    return false;
                }
            }
        }
        true
    }

    /// Visits about `count` fields from `cursor` on; returns the next cursor, 0 at the end.
    pub fn scan(&self, cursor: u64, count: usize, each: &mut dyn FnMut(&[u8], &[u8])) -> u64 {
        self.table.scan(cursor, count, &mut |view| each(view.key, value_of(&view)))
    }

    /// A field chosen at random by `dice`, a random number; nothing when empty.
    pub fn random(&self, dice: u64, each: impl FnOnce(&[u8], &[u8])) {
        if let Some(place) = self.table.random(dice) {
            let view = self.table.view(place);
            each(view.key, value_of(&view));
        }
    }

    /// Sets a field and its polarity; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], polarity: u8) -> bool {
        let new = if is_small(value) {
            New::Inline(value)
        } else {
            self.values += value.len();
            New::Extern(value.into())
        };
        let meta = Meta { marks: polarity, ..Meta::default() };
        let hash = self.table.hash(field);
        match self.table.find(hash, field) {
            Some(place) => {
                let (_, old) = self.table.replace(place, new, meta);
                self.values -= old.map_or(0, |old| old.len());
                false
            }
            None => {
                self.table.insert(hash, field, new, meta);
                true
            }
        }
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Some(place) = self.table.find(self.table.hash(field), field) else { return false };
        let old = self.table.remove(place);
        self.values -= old.map_or(0, |old| old.len());
        true
    }

    /// If the field's polarity is another one: gives its value to `each` and flips it.
    pub fn displace(&mut self, field: &[u8], polarity: u8, each: impl FnOnce(&[u8])) {
        let Some(place) = self.table.find(self.table.hash(field), field) else { return };
        let view = self.table.view(place);
        if view.meta.marks != polarity {
            each(value_of(&view));
            self.table.set_marks(place, polarity);
        }
    }

    /// Gives the field at a place to `each` and sets its polarity.
    pub fn save(&mut self, place: Place, polarity: u8, each: impl FnOnce(&[u8], &[u8])) {
        let view = self.table.view(place);
        each(view.key, value_of(&view));
        self.table.set_marks(place, polarity);
    }

    /// Frees one segment of an abandoned hash; false when nothing is left.
    pub fn dismantle(&mut self) -> bool {
        self.table.dismantle(drop)
    }
}

fn value_of<'a>(view: &View<'a, Box<[u8]>>) -> &'a [u8] {
    match view.value {
        Stored::Inline(bytes) => bytes,
        Stored::Extern(bytes) => bytes,
    }
}
