//! A hash that is open for changes.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::table::{KeyHasher, New, Place, Stored};
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::types::flat::Flat;
use crate::types::hash::{BigHash, Hash};
use crate::types::string::{Bytes, Edited};
use crate::types::value::Value;

/// A hash that is open for changes. When it is dropped, an empty hash is removed from its key and
/// the memory count is brought up to date.
#[derive(Debug)]
pub struct HashMut<'a> {
    keys: &'a mut Keyspace,
    db: Db,
    place: Place,
    /// Bytes of the value when it was opened.
    before: usize,
    changed: bool,
}

impl Keyspace {
    /// The hash at the key, for changes.
    pub fn hash_mut(&mut self, db: Db, key: &[u8]) -> Result<Option<HashMut<'_>>, WrongType> {
        match self.open(db, key) {
            Ok((place, meta)) => {
                self.record_access(db, place, meta);
                HashMut::new(self, db, place).map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    /// The hash at the key, made if there is none.
    pub fn hash_or_new(&mut self, db: Db, key: &[u8]) -> Result<HashMut<'_>, WrongType> {
        let place = match self.open(db, key) {
            Ok((place, meta)) => {
                self.record_access(db, place, meta);
                place
            }
            Err(hash) => {
                let new = New::Extern(Value::Hash(Hash::Flat(Flat::default())));
                self.put(db, key, Err(hash), new, None, Edited::No)
            }
        };
        HashMut::new(self, db, place)
    }
}

impl<'a> HashMut<'a> {
    fn new(keys: &'a mut Keyspace, db: Db, place: Place) -> Result<HashMut<'a>, WrongType> {
        let before = match keys.database(db).table.view(place).value {
            Stored::Extern(Value::Hash(hash)) => hash.bytes(),
            _ => return Err(WrongType),
        };
        Ok(HashMut { keys, db, place, before, changed: false })
    }

    /// Sets a field; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        self.begin();
        let (limits, polarity) = (self.keys.settings.limits, self.keys.polarity);
        let hasher = self.keys.hasher.clone();
        let Some(hash) = self.hash_mut() else { return false };
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
        self.keys.displace_field(&big, field);
        big.borrow_mut().set(field, value, polarity)
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if self.get(field).is_none() {
            return false;
        }
        self.begin();
        match self.hash_mut() {
            Some(Hash::Flat(flat)) => flat.remove(field),
            Some(Hash::Big(big)) => {
                let big = Rc::clone(big);
                self.keys.displace_field(&big, field);
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
        match self.keys.database(self.db).table.view(self.place).value {
            Stored::Extern(Value::Hash(hash)) => Some(hash),
            _ => None,
        }
    }

    fn hash_mut(&mut self) -> Option<&mut Hash> {
        match self.keys.database_mut(self.db).table.extern_mut(self.place) {
            Some(Value::Hash(hash)) => Some(hash),
            _ => None,
        }
    }

    /// Before the first change.
    fn begin(&mut self) {
        if !mem::replace(&mut self.changed, true) {
            self.keys.preserve(self.db, self.place);
            self.keys.stamp(self.place.hash);
            if let Some(database) = self.keys.dbs.get(self.db.index()) {
                self.keys.watches.changed(self.db, database.table.view(self.place).key);
            }
        }
    }
}

impl Drop for HashMut<'_> {
    fn drop(&mut self) {
        let after = self.hash().map_or(0, Hash::bytes);
        let empty = self.is_empty();
        let database = self.keys.database_mut(self.db);
        database.values = database.values + after - self.before;
        if empty {
            self.keys.take_out(self.db, self.place);
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
