//! A hash that is open for changes.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::table::KeyHasher;
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::keyspace::opened::Opened;
use crate::types::flat::Flat;
use crate::types::hash::{BigHash, Hash};
use crate::types::string::Bytes;
use crate::types::value::Value;

/// A hash that is open for changes (`Opened` says what happens when it is dropped).
#[derive(Debug)]
pub struct HashMut<'a>(Opened<'a>);

fn is_hash(value: &Value) -> bool {
    matches!(value, Value::Hash(_))
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
    /// Sets a field; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let (limits, polarity) = (self.0.keys.settings.limits, self.0.keys.polarity);
        let hasher = self.0.keys.hasher.clone();
        let Some(hash) = self.change() else { return false };
        if let Hash::Flat(flat) = hash {
            // A field that is there already may be counted once too often: only then look.
            let fits = limits.allow(flat.len() + 1, field, value)
                || limits.allow(flat.len(), field, value) && flat.get(field).is_some();
            if fits {
                return flat.set(field, value);
            }
            *hash = Hash::Big(Rc::new(RefCell::new(enlarged(flat, hasher, polarity))));
        }
        let Hash::Big(big) = hash else { return false };
        let big = Rc::clone(big);
        self.0.keys.displace_field(&big, field);
        big.borrow_mut().set(field, value, polarity)
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if self.get(field).is_none() {
            return false;
        }
        match self.change() {
            Some(Hash::Flat(flat)) => flat.remove(field),
            Some(Hash::Big(big)) => {
                let big = Rc::clone(big);
                self.0.keys.displace_field(&big, field);
                big.borrow_mut().remove(field)
            }
            None => false,
        }
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<Bytes<'_>> {
        self.hash()?.get(field)
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.hash().map_or(0, Hash::len)
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn hash(&self) -> Option<&Hash> {
        match self.0.value() {
            Some(Value::Hash(hash)) => Some(hash),
            _ => None,
        }
    }

    fn change(&mut self) -> Option<&mut Hash> {
        match self.0.change() {
            Some(Value::Hash(hash)) => Some(hash),
            _ => None,
        }
    }
}

/// The big form of a small hash; the fields are as new as the change that made them move.
fn enlarged(flat: &Flat, hasher: KeyHasher, polarity: u8) -> BigHash {
    let mut big = BigHash::new(hasher, 0);
    for (field, value) in flat.pairs() {
        big.set(field, value, polarity);
    }
    big
}
