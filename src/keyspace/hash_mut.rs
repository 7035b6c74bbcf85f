//! A hash that is open for changes.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::table::{KeyHasher, Meta};
use crate::base::time::Millis;
use crate::keyspace::fields::{Field, Fields};
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::keyspace::opened::Opened;
use crate::types::flat::Flat;
use crate::types::hash::{BigHash, Hash};
use crate::types::string::Bytes;
use crate::types::timed::Timed;
use crate::types::value::Value;

/// A hash that is open for changes (`Opened` says what happens when it is dropped).
#[derive(Debug)]
pub struct HashMut<'a>(pub(super) Opened<'a>);

/// What was there of a field that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// Nothing.
    Absent,
    /// A field whose deadline had passed.
    Dead,
    /// A field.
    Alive,
}

pub(super) fn is_hash(value: &Value) -> bool {
    matches!(value, Value::Hash(_) | Value::Timed(_))
}

impl Keyspace {
    /// The hash at the key, for changes.
    pub fn hash_mut(&mut self, db: Db, key: &[u8]) -> Result<Option<HashMut<'_>>, WrongType> {
        Ok(self.opened(db, key, is_hash)?.map(HashMut))
    }

    /// The hash at the key, made if there is none.
    pub fn hash_or_new(&mut self, db: Db, key: &[u8]) -> Result<HashMut<'_>, WrongType> {
        let new = || Value::Hash(Hash::Flat(Flat::default()));
        self.opened_or_new(db, key, is_hash, new).map(HashMut)
    }
}

impl HashMut<'_> {
    /// Sets a field, which has no deadline then; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let (limits, polarity) = (self.0.keys.settings.limits, self.0.keys.polarity);
        let hasher = self.0.keys.hasher.clone();
        let hash = match self.0.change() {
            Some(Value::Hash(hash)) => hash,
            _ => return self.put(field, value, None),
        };
        if let Hash::Flat(flat) = hash {
            // A field that is there already may be counted once too often: only then look.
            let fits = limits.allow(flat.len() + 1, field, value)
                || limits.allow(flat.len(), field, value) && flat.get(field).is_some();
            if fits {
                return flat.set(field, value);
            }
            let rows = flat.pairs().map(|(field, value)| (field, value, None));
            *hash = Hash::Big(Rc::new(RefCell::new(enlarged(rows, hasher, polarity))));
        }
        let Hash::Big(big) = hash else { return false };
        if big.borrow().deadlines() > 0 {
            return self.put(field, value, None);
        }
        let big = Rc::clone(big);
        self.0.keys.displace_field(&big, field);
        big.borrow_mut().set(field, value, polarity)
    }

    /// Sets a field, whose deadline stays what it is; says whether it is new.
    pub fn set_keeping(&mut self, field: &[u8], value: &[u8]) -> bool {
        match self.deadline(field) {
            None => self.set(field, value),
            kept => self.put(field, value, kept),
        }
    }

    /// Sets a field of a hash with deadlines.
    #[cold]
    fn put(&mut self, field: &[u8], value: &[u8], deadline: Option<Millis>) -> bool {
        let was_there = self.find(field) != Field::Missing;
        let (limits, polarity) = (self.0.keys.settings.limits, self.0.keys.polarity);
        let (hasher, deadline) = (self.0.keys.hasher.clone(), deadline.map(|at| at.0));
        let Some(held) = self.0.change() else { return false };
        if let Value::Timed(timed) = held {
            let more = usize::from(timed.get(field).is_none());
            if limits.allow(timed.len() + more, field, value) && Timed::holds(value) {
                timed.set(field, value, deadline);
                return !was_there;
            }
            let big = enlarged(timed.rows(), hasher, polarity);
            *held = Value::Hash(Hash::Big(Rc::new(RefCell::new(big))));
        }
        if let Value::Hash(Hash::Big(big)) = held {
            let big = Rc::clone(big);
            self.0.keys.displace_field(&big, field);
            let meta = Meta { marks: polarity, deadline, ..Meta::default() };
            big.borrow_mut().put(field, value, meta);
        }
        !was_there
    }

    /// Gives a field that is there a deadline, or takes it away.
    pub fn set_deadline(&mut self, field: &[u8], deadline: Option<Millis>) {
        let (polarity, hasher) = (self.0.keys.polarity, self.0.keys.hasher.clone());
        let at = deadline.map(|at| at.0);
        let Some(held) = self.0.change() else { return };
        if let Value::Hash(Hash::Flat(flat)) = held {
            *held = match Timed::of(flat) {
                Some(timed) => Value::Timed(timed),
                None => {
                    let rows = flat.pairs().map(|(field, value)| (field, value, None));
                    let big = enlarged(rows, hasher, polarity);
                    Value::Hash(Hash::Big(Rc::new(RefCell::new(big))))
                }
            };
        }
        match held {
            Value::Timed(timed) => {
                let value = timed.get(field).map(|(value, _)| value.to_vec());
                if let Some(value) = value {
                    timed.set(field, &value, at);
                }
            }
            Value::Hash(Hash::Big(big)) => {
                let big = Rc::clone(big);
                self.0.keys.displace_field(&big, field);
                big.borrow_mut().set_deadline(field, polarity, at);
            }
            _ => {}
        }
        if let Some(at) = at {
            self.0.lower(at);
        }
    }

    /// Removes a field, also one that has died.
    pub fn remove(&mut self, field: &[u8]) -> Was {
        let Some(fields) = self.fields() else { return Was::Absent };
        let was = match fields.raw_deadline(field) {
            None => return Was::Absent,
            Some(Some(at)) if Millis(at).expired(self.0.keys.now) => Was::Dead,
            Some(_) => Was::Alive,
        };
        match self.0.change() {
            Some(Value::Hash(Hash::Flat(flat))) => drop(flat.remove(field)),
            Some(Value::Timed(timed)) => drop(timed.remove(field)),
            Some(Value::Hash(Hash::Big(big))) => {
                let big = Rc::clone(big);
                self.0.keys.displace_field(&big, field);
                big.borrow_mut().remove(field);
            }
            _ => {}
        }
        was
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<Bytes<'_>> {
        self.fields()?.get(field)
    }

    /// Whether there is a field, and until when.
    pub fn find(&self, field: &[u8]) -> Field {
        self.fields().map_or(Field::Missing, |fields| fields.find(field))
    }

    /// The deadline of a field, if it is there and has one.
    pub fn deadline(&self, field: &[u8]) -> Option<Millis> {
        self.raw_deadline(field).filter(|at| !at.expired(self.0.keys.now))
    }

    /// Is there a field whose deadline has passed?
    pub fn is_dead(&self, field: &[u8]) -> bool {
        self.raw_deadline(field).is_some_and(|at| at.expired(self.0.keys.now))
    }

    /// The deadline that a field carries, dead or not. A hash without deadlines is not searched.
    fn raw_deadline(&self, field: &[u8]) -> Option<Millis> {
        match self.0.value()? {
            Value::Timed(timed) => timed.get(field)?.1.map(Millis),
            Value::Hash(Hash::Big(big)) if big.borrow().deadlines() > 0 => {
                big.borrow().look(field)?.1.map(Millis)
            }
            _ => None,
        }
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields().map_or(0, |fields| fields.len())
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn fields(&self) -> Option<Fields<'_>> {
        Fields::of(self.0.value()?, self.0.keys.now)
    }
}

/// The big form of a small hash; the fields are as new as the change that made them move.
pub(super) fn enlarged<'a>(
    rows: impl Iterator<Item = (&'a [u8], &'a [u8], Option<u64>)>,
    hasher: KeyHasher,
    polarity: u8,
) -> BigHash {
    let mut big = BigHash::new(hasher, 0);
    for (field, value, deadline) in rows {
        big.put(field, value, Meta { marks: polarity, deadline, ..Meta::default() });
    }
    big
}
