//! Writes that concern two keys or whole databases.

use std::cell::RefCell;
use std::mem;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::table::{Meta, New, Place, Stored};
use crate::base::time::Millis;
use crate::keyspace::database::{Database, EDITED};
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::notes::Touch;
use crate::types::hash::{BigHash, Hash};
use crate::types::set::Set;
use crate::types::string::Edited;
use crate::types::value::Value;

impl Keyspace {
    /// Moves a key to another name or database, deadline included, in O(1) whatever it holds; what
    /// was at the target is replaced. Says whether the source was there.
    pub fn rename(&mut self, from: (Db, &[u8]), to: (Db, &[u8])) -> bool {
        let Ok((place, _)) = self.open(from.0, from.1) else { return false };
        if from == to {
            return true;
        }
        self.preserve(from.0, place);
        let database = self.database_mut(from.0);
        let view = database.table.view(place);
        let (meta, mut inline) = (view.meta, Vec::new());
        if let Stored::Inline(bytes) = view.value {
            inline = bytes.to_vec();
        }
        let new = match database.table.remove(place) {
            Some(value) => {
                database.values -= value.bytes();
                New::Extern(value)
            }
            None => New::Inline(&inline),
        };
        self.stamp(place.hash);
        self.watches.touched(from.0, from.1, Touch::Removed);
        let target = self.open(to.0, to.1);
        let edited = if meta.marks & EDITED == 0 { Edited::No } else { Edited::Yes };
        let place = self.put(to.0, to.1, target, new, meta.deadline, edited);
        self.bound(to.0, place);
        true
    }

    /// Copies a key with its deadline, replacing the target. Says whether the source was there.
    /// It takes time and memory in proportion to the value.
    pub fn copy(&mut self, from: (Db, &[u8]), to: (Db, &[u8])) -> bool {
        let Some((place, meta)) = self.look(from.0, from.1) else {
            // An expired source is removed, as by any other write.
            return self.open(from.0, from.1).is_ok();
        };
        if from == to {
            return true;
        }
        let edited = if meta.marks & EDITED == 0 { Edited::No } else { Edited::Yes };
        let mut inline = Vec::new();
        let value = self.duplicate(from.0, place, &mut inline);
        let new = value.map_or(New::Inline(&inline), New::Extern);
        let target = self.open(to.0, to.1);
        let place = self.put(to.0, to.1, target, new, meta.deadline, edited);
        self.bound(to.0, place);
        true
    }

    /// Empties one database in O(1); the memory is freed in slices.
    pub fn flush(&mut self, db: Db) {
        self.notice_watches(db, None);
        self.watches.notes.add(db, b"", Touch::Whole);
        self.stamp_all();
        let empty = Database::new(self.hasher.clone());
        let database = mem::replace(self.database_mut(db), empty);
        match self.cut.as_mut() {
            Some(cut) if !cut.muted && database.tour.is_some() => cut.flushed.push_back(database),
            _ => self.graveyard.bury_table(database.table, database.values),
        }
    }

    /// Empties every database.
    pub fn flush_all(&mut self) {
        // Other shards may hold keys where this one has none.
        self.watches.notes.add(Db(0), b"", Touch::Whole);
        for number in 0..self.settings.databases {
            if !self.database(Db(number)).table.is_empty() {
                self.flush(Db(number));
            }
        }
    }

    /// Exchanges two databases.
    pub fn swap(&mut self, a: Db, b: Db) {
        if a != b && a.index().max(b.index()) < self.dbs.len() {
            self.notice_watches(a, Some(b));
            self.notice_watches(b, Some(a));
            self.watches.notes.add(a, b"", Touch::Whole);
            self.watches.notes.add(b, b"", Touch::Whole);
            self.stamp_all();
            self.dbs.swap(a.index(), b.index());
        }
    }

    /// Notes for the watchers of `db` that its keys go away and those of `other` take their place.
    fn notice_watches(&mut self, db: Db, other: Option<Db>) {
        for key in self.watches.of(db) {
            let comes = other.is_some_and(|other| self.exists(other, &key));
            if comes || self.exists(db, &key) {
                self.watches.changed(db, &key);
            }
        }
    }

    /// A second copy of a value: the bytes of an inline one go to `inline`.
    fn duplicate(&self, db: Db, place: Place, inline: &mut Vec<u8>) -> Option<Value> {
        let value = match self.database(db).table.view(place).value {
            Stored::Inline(bytes) => {
                inline.extend_from_slice(bytes);
                return None;
            }
            Stored::Extern(value) => value,
        };
        Some(match value {
            Value::Str(bytes) => Value::Str(bytes.clone()),
            Value::Rope(rope) => {
                Value::Rope(Rc::new(RefCell::new(rope.borrow().copy(self.polarity))))
            }
            Value::Hash(Hash::Flat(flat)) => Value::Hash(Hash::Flat(flat.clone())),
            Value::Timed(timed) => Value::Timed(timed.clone()),
            // A big one shares its nodes with the first until either changes.
            Value::List(list) => Value::List(list.clone()),
            Value::Zset(zset) => Value::Zset(zset.copy(&self.hasher)),
            Value::Hash(Hash::Big(big)) => Value::Hash(Hash::Big(self.copy_table(big))),
            Value::Set(Set::Big(big)) => Value::Set(Set::Big(self.copy_table(big))),
            Value::Set(small) => Value::Set(small.clone()),
            Value::Stream(stream) => Value::Stream(stream.clone()),
        })
    }

    fn copy_table(&self, big: &RefCell<BigHash>) -> Rc<RefCell<BigHash>> {
        let big = big.borrow();
        let mut copy = BigHash::new(self.hasher.clone(), big.len());
        big.for_each(&mut |field, value, deadline| {
            copy.put(field, value, Meta { marks: self.polarity, deadline, ..Meta::default() });
        });
        Rc::new(RefCell::new(copy))
    }

    /// The deadline that a key carries in its table, expired or not; for loaders and tests.
    pub fn raw_deadline(&self, db: Db, key: &[u8]) -> Option<Option<Millis>> {
        let table = &self.database(db).table;
        let place = table.find(self.hasher.hash(key), key)?;
        Some(table.meta(place).deadline.map(Millis))
    }
}
