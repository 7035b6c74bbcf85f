//! A hash: small ones are one flat buffer, big ones a segmented table with a polarity bit a field.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::table::{KeyHasher, Meta, New, Place, Stored, Table, View, is_small};
use crate::types::flat::{COUNT_MAX, Flat, LENGTH_MAX};

/// What is called with a field, its value and its deadline.
pub type EachField<'a> = dyn FnMut(&[u8], &[u8], Option<u64>) + 'a;

/// Up to what a hash is small: hash-max-listpack-entries and hash-max-listpack-value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Fields.
    pub entries: usize,
    /// Bytes of a field's name or value.
    pub value: usize,
}

/// A hash none of whose fields has a deadline while it is small (timed.rs). Read it through
/// `keyspace::Fields`; change it only through `keyspace::HashMut`.
#[derive(Clone, Debug)]
pub enum Hash {
    /// A small one.
    Flat(Flat),
    /// A big one; it never becomes small again. A snapshot in progress shares it.
    Big(Rc<RefCell<BigHash>>),
}

/// The fields of a big hash, each with a polarity bit (snapshot.rs of the keyspace), and with a
/// deadline if it has one.
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

    /// How many fields have a deadline.
    pub fn deadlines(&self) -> usize {
        self.table.deadlines()
    }

    /// How many fields have a deadline before `now`, looking at no more segments than this.
    #[inline]
    pub fn count_due(&self, now: u64, segments: usize) -> usize {
        if self.table.deadlines() == 0 { 0 } else { self.table.count_due(now, segments) }
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.look(field).map(|(value, _)| value)
    }

    /// The value and the deadline of a field.
    #[inline]
    pub fn look(&self, field: &[u8]) -> Option<(&[u8], Option<u64>)> {
        let place = self.table.find(self.table.hash(field), field)?;
        let view = self.table.view(place);
        Some((value_of(&view), view.meta.deadline))
    }

    /// Calls `each` with every field, value and deadline, in hash order.
    pub fn for_each(&self, each: &mut EachField<'_>) {
        let (mut places, mut from) = (Vec::new(), Some(0));
        while let Some(start) = from {
            from = self.table.ordered(start, &mut places, |_| true);
            for &place in &places {
                let view = self.table.view(place);
                each(view.key, value_of(&view), view.meta.deadline);
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
    pub fn scan(&self, cursor: u64, count: usize, each: &mut EachField<'_>) -> u64 {
        let mut visit = |view: View<'_, _>| each(view.key, value_of(&view), view.meta.deadline);
        self.table.scan(cursor, count, &mut visit)
    }

    /// A field chosen at random by `dice`, a random number; nothing when empty.
    pub fn random(&self, dice: u64, each: impl FnOnce(&[u8], &[u8], Option<u64>)) {
        if let Some(place) = self.table.random(dice) {
            let view = self.table.view(place);
            each(view.key, value_of(&view), view.meta.deadline);
        }
    }

    /// Sets a field and its polarity; it has no deadline then. Says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], polarity: u8) -> bool {
        self.put(field, value, Meta { marks: polarity, ..Meta::default() })
    }

    /// Sets a field, its polarity and its deadline; says whether it is new.
    pub fn put(&mut self, field: &[u8], value: &[u8], meta: Meta) -> bool {
        let new = if is_small(value) {
            New::Inline(value)
        } else {
            self.values += value.len();
            New::Extern(value.into())
        };
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

    /// Sets the polarity and the deadline of a field, if it is there.
    pub fn set_deadline(&mut self, field: &[u8], polarity: u8, deadline: Option<u64>) {
        if let Some(place) = self.table.find(self.table.hash(field), field) {
            self.table.set_deadline(place, polarity, deadline);
        }
    }

    /// Gives the names of up to `most` fields whose deadline is before `now` to `each`: those of
    /// one segment. They have to be removed then: they are not given again. How many fields were
    /// looked at; nothing when none is due.
    pub fn each_due(&mut self, now: u64, most: usize, each: impl FnMut(&[u8])) -> Option<usize> {
        let number = self.table.due(0, usize::MAX, now)?;
        Some(self.table.each_due(number, now, most, each))
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Some(place) = self.table.find(self.table.hash(field), field) else { return false };
        let old = self.table.remove(place);
        self.values -= old.map_or(0, |old| old.len());
        true
    }

    /// If the field's polarity is another one: gives its value and deadline to `each` and flips it.
    pub fn displace(&mut self, field: &[u8], polarity: u8, each: impl FnOnce(&[u8], Option<u64>)) {
        let Some(place) = self.table.find(self.table.hash(field), field) else { return };
        let view = self.table.view(place);
        if view.meta.marks != polarity {
            each(value_of(&view), view.meta.deadline);
            self.table.set_marks(place, polarity);
        }
    }

    /// Gives the field at a place to `each` and sets its polarity.
    pub fn save(
        &mut self,
        place: Place,
        polarity: u8,
        each: impl FnOnce(&[u8], &[u8], Option<u64>),
    ) {
        let view = self.table.view(place);
        each(view.key, value_of(&view), view.meta.deadline);
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
