//! Writes to one key: strings, removal, deadlines. An expired key is removed first, and
//! `take_expired` tells the log about it.

use std::mem;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::table::{Meta, New, Place, Stored, is_small};
use crate::base::time::Millis;
use crate::keyspace::keyspace::{Expiry, Keyspace, WrongType};
use crate::keyspace::notes::Touch;
use crate::types::rope::{ROPE_MIN, Rope};
use crate::types::string::Edited;
use crate::types::value::Value;

impl Keyspace {
    /// Makes the key hold a string, whatever it held before. (What is left of an expired key is
    /// replaced like any other; the effect says all that a replay has to know.)
    pub fn set_string(&mut self, db: Db, key: &[u8], value: &[u8], expiry: Expiry) {
        let hash = self.hasher.hash(key);
        let table = &self.database(db).table;
        let found = table.find(hash, key).map(|place| (place, table.meta(place))).ok_or(hash);
        let deadline = match (expiry, &found) {
            (Expiry::At(deadline), _) => Some(deadline.0),
            (Expiry::Keep, Ok((_, old))) => {
                old.deadline.filter(|&deadline| !Millis(deadline).expired(self.now))
            }
            (Expiry::Clear, _) | (Expiry::Keep, Err(_)) => None,
        };
        let new = self.string_value(value);
        self.put(db, key, found, new, deadline, Edited::No);
    }

    /// Appends to the string (made if absent); returns the new length.
    pub fn append(&mut self, db: Db, key: &[u8], tail: &[u8]) -> Result<usize, WrongType> {
        let found = self.open(db, key);
        let Ok((place, _)) = found else {
            let new = self.string_value(tail);
            self.put(db, key, found, new, None, Edited::No);
            return Ok(tail.len());
        };
        let length = self.string_len(db, place)?;
        self.edit(db, key, place, length, tail);
        Ok(length + tail.len())
    }

    /// Overwrites from `offset` on, zero-filling up to it; the caller has checked the bound.
    /// Returns the new length. Empty `bytes` change nothing.
    pub fn set_range(
        &mut self,
        db: Db,
        key: &[u8],
        offset: usize,
        bytes: &[u8],
    ) -> Result<usize, WrongType> {
        let found = self.open(db, key);
        let Ok((place, _)) = found else {
            if bytes.is_empty() {
                return Ok(0);
            }
            let place = self.put(db, key, found, New::Inline(&[]), None, Edited::Yes);
            self.edit(db, key, place, offset, bytes);
            return Ok(offset + bytes.len());
        };
        let length = self.string_len(db, place)?;
        if !bytes.is_empty() {
            self.edit(db, key, place, offset, bytes);
        }
        Ok(if bytes.is_empty() { length } else { length.max(offset + bytes.len()) })
    }

    /// Removes the key; big values are freed later, in slices. Says whether it was there.
    pub fn remove(&mut self, db: Db, key: &[u8]) -> bool {
        let Ok((place, _)) = self.open(db, key) else { return false };
        self.take_out(db, place);
        self.stamp(place.hash);
        self.watches.touched(db, key, Touch::Removed);
        true
    }

    /// Removes the key if it has expired. A write does so with every key that it only reads: the
    /// log then tells a replay, in which nothing expires, what the write did not see.
    pub fn drop_expired(&mut self, db: Db, key: &[u8]) {
        let _ = self.open(db, key);
    }

    /// Sets or clears the deadline; says whether the key is there.
    pub fn set_deadline(&mut self, db: Db, key: &[u8], deadline: Option<Millis>) -> bool {
        let Ok((place, _)) = self.open(db, key) else { return false };
        self.preserve(db, place);
        let table = &mut self.database_mut(db).table;
        let meta = table.meta(place);
        table.replace(place, New::Same, Meta { deadline: deadline.map(|at| at.0), ..meta });
        self.stamp(place.hash);
        let touch = if deadline.is_some() { Touch::Deadline } else { Touch::Persisted };
        self.watches.touched(db, key, touch);
        true
    }

    fn string_len(&self, db: Db, place: Place) -> Result<usize, WrongType> {
        match self.database(db).table.view(place).value {
            Stored::Inline(bytes) => Ok(bytes.len()),
            Stored::Extern(Value::Str(bytes)) => Ok(bytes.len()),
            Stored::Extern(Value::Rope(rope)) => Ok(rope.borrow().len()),
            Stored::Extern(_) => Err(WrongType),
        }
    }

    /// Writes into a string in place, at an offset that may lie at its end or beyond it.
    fn edit(&mut self, db: Db, key: &[u8], place: Place, offset: usize, bytes: &[u8]) {
        self.preserve(db, place);
        let polarity = self.polarity;
        let database = self.database_mut(db);
        if let Some(Value::Rope(rope)) = database.table.extern_mut(place) {
            let rope = Rc::clone(rope);
            let (before, length) = (rope.borrow().bytes(), rope.borrow().len());
            self.displace_chunks(&rope, offset.min(length), offset + bytes.len());
            rope.borrow_mut().set_range(offset, bytes, polarity);
            let database = self.database_mut(db);
            database.values = database.values + rope.borrow().bytes() - before;
            self.stamp(place.hash);
            self.watches.changed(db, key);
            return;
        }
        let mut string = Vec::new();
        if let Some(Value::Str(held)) = database.table.extern_mut(place) {
            database.values -= held.len();
            string = mem::take(held).into_vec();
        } else if let Stored::Inline(held) = database.table.view(place).value {
            string.reserve_exact(held.len().max(offset + bytes.len()));
            string.extend_from_slice(held);
        }
        if offset + bytes.len() > ROPE_MIN {
            let mut rope = Rope::new(&string, polarity);
            rope.set_range(offset, bytes, polarity);
            let value = Value::Rope(Rc::new(rope.into()));
            self.put_edited(db, key, place, New::Extern(value));
            return;
        }
        if string.len() < offset + bytes.len() {
            string.reserve_exact(offset + bytes.len() - string.len());
            // Cuts off what is overwritten, or fills up to where it begins.
            string.resize(offset, 0);
            string.extend_from_slice(bytes);
        } else if let Some(target) = string.get_mut(offset..offset + bytes.len()) {
            target.copy_from_slice(bytes);
        }
        if is_small(&string) {
            self.put_edited(db, key, place, New::Inline(&string));
        } else {
            self.put_edited(db, key, place, New::Extern(Value::Str(string.into_boxed_slice())));
        }
    }

    fn put_edited(&mut self, db: Db, key: &[u8], place: Place, new: New<'_, Value>) {
        let meta = self.database(db).table.meta(place);
        self.put(db, key, Ok((place, meta)), new, meta.deadline, Edited::Yes);
    }
}
