//! Strings that are made in pieces or written anew, several strings at once, and how long they may
//! become.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::table::{New, Stored};
use crate::base::time::Millis;
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::limits::STRING_MAX;
use crate::types::hyperloglog::SPARSE_MAX;
use crate::types::rope::{ROPE_MIN, Rope};
use crate::types::string::{Edited, StrRef};
use crate::types::value::Value;

/// How long strings may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StringLimits {
    /// Any of them.
    pub longest: usize,
    /// A HyperLogLog that is kept sparse.
    pub sparse: usize,
}

/// A string that no key holds yet.
#[derive(Debug)]
pub struct NewString {
    rope: Rope,
    polarity: u8,
}

impl Default for StringLimits {
    /// Redis' defaults.
    fn default() -> StringLimits {
        StringLimits { longest: STRING_MAX, sparse: 3000 }
    }
}

impl NewString {
    /// Appends bytes.
    pub fn append(&mut self, bytes: &[u8]) {
        self.rope.append(bytes, self.polarity);
    }
}

impl Keyspace {
    /// Changes how long strings may become.
    pub fn configure_strings(&mut self, limits: StringLimits) {
        self.settings.strings = limits;
    }

    /// How long strings may become. What was accepted once is accepted again by a replay, whatever
    /// the settings are now; and what was too long to stay sparse is logged (hyperloglog.rs of the
    /// commands), so that a replay ends in the same bytes.
    pub fn string_limits(&self) -> StringLimits {
        match self.now {
            Millis::REPLAY => StringLimits { longest: STRING_MAX, sparse: SPARSE_MAX },
            _ => self.settings.strings,
        }
    }

    /// The strings at several keys, all together.
    pub fn strings(
        &mut self,
        db: Db,
        keys: &[&[u8]],
    ) -> Result<Vec<Option<StrRef<'_>>>, WrongType> {
        for key in keys {
            self.string(db, key)?;
        }
        let found = |key: &&[u8]| {
            let table = &self.database(db).table;
            let view = table.view(table.find(table.hash(key), key)?);
            match view.value {
                _ if self.is_past(view.meta) => None,
                Stored::Inline(bytes) => Some(StrRef::Flat(bytes)),
                Stored::Extern(Value::Str(bytes)) => Some(StrRef::Flat(bytes)),
                Stored::Extern(Value::Rope(rope)) => Some(StrRef::Rope(rope.borrow())),
                Stored::Extern(_) => None,
            }
        };
        Ok(keys.iter().map(found).collect())
    }

    /// A string that belongs to no key.
    pub fn new_string(&self) -> NewString {
        NewString { rope: Rope::default(), polarity: self.polarity }
    }

    /// Makes the key hold a new string, whatever it held before.
    pub fn store_string(&mut self, db: Db, key: &[u8], new: NewString) {
        let found = self.open(db, key);
        let mut short = Vec::new();
        let value = if new.rope.len() <= ROPE_MIN {
            new.rope.copy_range(0..ROPE_MIN, &mut short);
            self.string_value(&short)
        } else {
            New::Extern(Value::Rope(Rc::new(RefCell::new(new.rope))))
        };
        self.put(db, key, found, value, None, Edited::Yes);
    }

    /// Writes the string at the key anew, made if there is none; the deadline stays.
    pub fn rewrite_string(&mut self, db: Db, key: &[u8], bytes: &[u8]) {
        let found = self.open(db, key);
        let deadline = found.as_ref().ok().and_then(|(_, meta)| meta.deadline);
        let new = self.string_value(bytes);
        self.put(db, key, found, new, deadline, Edited::Yes);
    }
}
