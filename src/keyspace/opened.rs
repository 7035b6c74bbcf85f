//! A value that is open for changes: what all types have in common.

use std::mem;

use crate::base::ids::Db;
use crate::base::table::{New, Place, Stored};
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::keyspace::notes::Touch;
use crate::types::string::Edited;
use crate::types::value::Value;

/// A value that is open for changes. When it is dropped, an empty collection is removed from its
/// key and the memory count is brought up to date.
#[derive(Debug)]
pub struct Opened<'a> {
    pub(super) keys: &'a mut Keyspace,
    db: Db,
    place: Place,
    /// Bytes of the value when it was opened.
    before: usize,
    changed: bool,
}

impl Keyspace {
    /// The out-of-line value at the key, if `fits` says that it has the right type.
    pub(super) fn opened(
        &mut self,
        db: Db,
        key: &[u8],
        fits: fn(&Value) -> bool,
    ) -> Result<Option<Opened<'_>>, WrongType> {
        match self.open(db, key) {
            Ok((place, meta)) => {
                self.record_access(db, place, meta);
                Opened::new(self, db, place, fits).map(Some)
            }
            Err(_) => Ok(None),
        }
    }

    /// The same, made by `new` if there is none.
    pub(super) fn opened_or_new(
        &mut self,
        db: Db,
        key: &[u8],
        fits: fn(&Value) -> bool,
        new: fn() -> Value,
    ) -> Result<Opened<'_>, WrongType> {
        let place = match self.open(db, key) {
            Ok((place, meta)) => {
                self.record_access(db, place, meta);
                place
            }
            Err(hash) => self.put(db, key, Err(hash), New::Extern(new()), None, Edited::No),
        };
        Opened::new(self, db, place, fits)
    }
}

impl<'a> Opened<'a> {
    pub(super) fn new(
        keys: &'a mut Keyspace,
        db: Db,
        place: Place,
        fits: fn(&Value) -> bool,
    ) -> Result<Opened<'a>, WrongType> {
        let before = match keys.database(db).table.view(place).value {
            Stored::Extern(value) if fits(value) => value.bytes(),
            _ => return Err(WrongType),
        };
        Ok(Opened { keys, db, place, before, changed: false })
    }

    /// Notes what was done to the value, for a reason that no command has.
    pub(super) fn note(&mut self, touch: Touch) {
        if let Some(database) = self.keys.dbs.get(self.db.index()) {
            let key = database.table.view(self.place).key;
            self.keys.watches.notes.add(self.db, key, touch);
        }
    }

    /// The value.
    pub(super) fn value(&self) -> Option<&Value> {
        match self.keys.database(self.db).table.view(self.place).value {
            Stored::Extern(value) => Some(value),
            Stored::Inline(_) => None,
        }
    }

    /// The value, for a change: what a snapshot needs of it is preserved first, and who watches the
    /// key is told.
    pub(super) fn change(&mut self) -> Option<&mut Value> {
        if !mem::replace(&mut self.changed, true) {
            self.keys.preserve(self.db, self.place);
            self.keys.stamp(self.place.hash);
            if let Some(database) = self.keys.dbs.get(self.db.index()) {
                self.keys.watches.changed(self.db, database.table.view(self.place).key);
            }
        }
        self.keys.database_mut(self.db).table.extern_mut(self.place)
    }

    /// The value has a deadline inside of it.
    pub(super) fn lower(&mut self, deadline: u64) {
        self.keys.lower(self.db, self.place, deadline);
    }
}

impl Drop for Opened<'_> {
    fn drop(&mut self) {
        let database = self.keys.database_mut(self.db);
        let Some(value) = database.table.extern_mut(self.place) else { return };
        let (empty, copied) = (value.is_empty(), value.take_copied());
        database.values = database.values + value.bytes() - self.before;
        if let Some(cut) = self.keys.cut.as_mut() {
            cut.note_copied(copied);
        }
        if empty {
            self.keys.take_out(self.db, self.place);
        }
    }
}
