//! A hash as a command sees it: fields whose deadline has passed are not there.

use std::cell::{Ref, RefCell};

use crate::base::time::Millis;
use crate::types::flat::Flat;
use crate::types::hash::{BigHash, Hash};
use crate::types::string::Bytes;
use crate::types::timed::Timed;
use crate::types::value::Value;

/// Segments in which `len` looks for fields that have just died: some thousand fields. What has
/// died beside these is counted until upkeep has removed it, as Redis counts all of it.
const LATE_SEGMENTS: usize = 16;
/// Draws for a field that is alive, before it is looked for in order.
const DRAWS: u32 = 64;

/// A hash at a moment. Read it here; change it only through `HashMut`.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    form: Form<'a>,
    now: Millis,
}

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    Flat(&'a Flat),
    Big(&'a RefCell<BigHash>),
    Timed(&'a Timed),
}

/// What there is under a field's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// Nothing, or what has died.
    Missing,
    /// A field that lives for ever.
    Lasting,
    /// A field with this deadline.
    Until(Millis),
}

impl<'a> Fields<'a> {
    /// The hash that a value is, if it is one.
    #[inline]
    pub(super) fn of(value: &'a Value, now: Millis) -> Option<Fields<'a>> {
        let form = match value {
            Value::Hash(Hash::Flat(flat)) => Form::Flat(flat),
            Value::Hash(Hash::Big(big)) => Form::Big(big),
            Value::Timed(timed) => Form::Timed(timed),
            _ => return None,
        };
        Some(Fields { form, now })
    }

    fn lives(self, deadline: Option<u64>) -> bool {
        deadline.is_none_or(|deadline| !Millis(deadline).expired(self.now))
    }

    /// Number of fields. Among those of a big hash can be some that have only just died, when they
    /// are many.
    pub fn len(&self) -> usize {
        match self.form {
            Form::Flat(flat) => flat.len(),
            Form::Timed(_) => self.count(),
            Form::Big(big) => {
                let big = big.borrow();
                big.len() - big.count_due(self.now.0, LATE_SEGMENTS)
            }
        }
    }

    /// Number of fields, in a time that grows with the number of those that have just died.
    pub fn count(&self) -> usize {
        match self.form {
            Form::Flat(flat) => flat.len(),
            Form::Timed(timed) => timed.rows().filter(|row| self.lives(row.2)).count(),
            Form::Big(big) => {
                let big = big.borrow();
                big.len() - big.count_due(self.now.0, usize::MAX)
            }
        }
    }

    /// Whether `count` is zero.
    pub fn is_empty(&self) -> bool {
        if let Form::Big(big) = self.form
            && big.borrow().deadlines() < big.borrow().len()
        {
            return false;
        }
        self.count() == 0
    }

    /// The value of a field.
    #[inline]
    pub fn get(&self, field: &[u8]) -> Option<Bytes<'a>> {
        match self.form {
            Form::Flat(flat) => flat.get(field).map(Bytes::Slice),
            Form::Big(big) => {
                let found = Ref::filter_map(big.borrow(), |big| {
                    let (value, at) = big.look(field)?;
                    self.lives(at).then_some(value)
                });
                found.ok().map(Bytes::Guard)
            }
            Form::Timed(timed) => {
                let (value, at) = timed.get(field)?;
                self.lives(at).then_some(Bytes::Slice(value))
            }
        }
    }

    /// Whether there is a field, and until when.
    pub fn find(&self, field: &[u8]) -> Field {
        match self.raw_deadline(field) {
            Some(None) => Field::Lasting,
            Some(Some(at)) if self.lives(Some(at)) => Field::Until(Millis(at)),
            _ => Field::Missing,
        }
    }

    /// The deadline that a field carries, dead or not.
    pub(super) fn raw_deadline(&self, field: &[u8]) -> Option<Option<u64>> {
        match self.form {
            Form::Flat(flat) => flat.get(field).map(|_| None),
            Form::Timed(timed) => timed.get(field).map(|(_, at)| at),
            Form::Big(big) => big.borrow().look(field).map(|(_, at)| at),
        }
    }

    /// Calls `each` with every field and value: insertion order while small, hash order when big.
    pub fn for_each(&self, mut each: impl FnMut(&[u8], &[u8])) {
        self.for_each_until(|field, value, _| each(field, value));
    }

    /// The same with the deadlines.
    pub fn for_each_until(&self, mut each: impl FnMut(&[u8], &[u8], Option<u64>)) {
        match self.form {
            Form::Flat(flat) => flat.pairs().for_each(|(field, value)| each(field, value, None)),
            Form::Timed(timed) => {
                let alive = timed.rows().filter(|row| self.lives(row.2));
                alive.for_each(|(field, value, at)| each(field, value, at));
            }
            Form::Big(big) => big.borrow().for_each(&mut |field, value, at| {
                if self.lives(at) {
                    each(field, value, at);
                }
            }),
        }
    }

    /// Visits about `count` fields from `cursor` (0 at first) on; returns the next cursor, 0 at the
    /// end. A small hash is returned whole. What is there throughout is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(&[u8], &[u8])) -> u64 {
        match self.form {
            Form::Flat(_) | Form::Timed(_) => {
                self.for_each(each);
                0
            }
            Form::Big(big) => big.borrow().scan(cursor, count, &mut |field, value, at| {
                if self.lives(at) {
                    each(field, value);
                }
            }),
        }
    }

    /// A field chosen at random by `dice`, a random number; nothing when empty.
    pub fn random(&self, dice: u64, each: impl FnOnce(&[u8], &[u8])) {
        match self.form {
            Form::Flat(flat) => {
                let nth = dice.checked_rem(flat.len() as u64).unwrap_or_default();
                if let Some((field, value)) = flat.pairs().nth(nth as usize) {
                    each(field, value);
                }
            }
            Form::Timed(timed) => {
                let nth = dice.checked_rem(self.count() as u64).unwrap_or_default();
                let mut alive = timed.rows().filter(|row| self.lives(row.2));
                if let Some((field, value, _)) = alive.nth(nth as usize) {
                    each(field, value);
                }
            }
            Form::Big(big) => self.random_of(&big.borrow(), dice, each),
        }
    }

    fn random_of(&self, big: &BigHash, dice: u64, each: impl FnOnce(&[u8], &[u8])) {
        let (mut each, mut dice) = (Some(each), dice);
        for _ in 0..DRAWS {
            big.random(dice, |field, value, at| {
                if let Some(each) = each.take_if(|_| self.lives(at)) {
                    each(field, value);
                }
            });
            if each.is_none() || big.deadlines() == 0 {
                return;
            }
            // The constants of a well-known generator; the upper half goes down to where it counts.
            let next = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
            dice = next.rotate_left(32);
        }
        // Nearly all have died: the first one that has not.
        let mut cursor = 0;
        loop {
            cursor = big.scan(cursor, 256, &mut |field, value, at| {
                if let Some(each) = each.take_if(|_| self.lives(at)) {
                    each(field, value);
                }
            });
            if each.is_none() || cursor == 0 {
                return;
            }
        }
    }
}
