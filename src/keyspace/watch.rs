//! Keys that transactions watch, each with the number of its last change; and the one place that
//! every change of a key passes.

use std::collections::HashMap;

use crate::base::ids::Db;
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::notes::{Notes, Touch};

/// The watched keys. Empty at nearly all times, which is one branch for a write.
#[derive(Debug, Default)]
pub struct Watches {
    keys: HashMap<(Db, Box<[u8]>), Watched>,
    changes: u64,
    /// What is noted of changes, if anything.
    pub(super) notes: Notes,
}

#[derive(Debug, Default)]
struct Watched {
    version: u64,
    watchers: usize,
}

impl Watches {
    /// Notes that a key's value has changed.
    #[inline]
    pub fn changed(&mut self, db: Db, key: &[u8]) {
        self.touched(db, key, Touch::Wrote);
    }

    /// Notes that a key has changed, and how.
    #[inline]
    pub fn touched(&mut self, db: Db, key: &[u8], touch: Touch) {
        if !self.keys.is_empty() {
            self.bump(db, key);
        }
        self.notes.add(db, key, touch);
    }

    /// The watched keys of a database.
    pub fn of(&self, db: Db) -> Vec<Box<[u8]>> {
        self.keys.keys().filter(|name| name.0 == db).map(|name| name.1.clone()).collect()
    }

    #[cold]
    fn bump(&mut self, db: Db, key: &[u8]) {
        self.changes += 1;
        if let Some(watched) = self.keys.get_mut(&(db, key.into())) {
            watched.version = self.changes;
        }
    }
}

impl Keyspace {
    /// Starts watching a key; the version to hand to `unchanged` later. Balanced by `unwatch`.
    ///
    /// The lowest bit of a version says whether the key was there: a key that dies by its deadline
    /// has changed if it was alive when the watch began, and removing it changes nothing else.
    pub fn watch(&mut self, db: Db, key: &[u8]) -> u64 {
        let alive = u64::from(self.exists(db, key));
        let watched = self.watches.keys.entry((db, key.into())).or_default();
        watched.watchers += 1;
        watched.version << 1 | alive
    }

    /// A write has left the key as it was, and yet counts as a change for whoever watches it or
    /// listens.
    pub fn touched(&mut self, db: Db, key: &[u8]) {
        self.watches.changed(db, key);
    }

    /// Has the key stayed as it was when `watch` gave this version?
    pub fn unchanged(&mut self, db: Db, key: &[u8], version: u64) -> bool {
        let alive = self.exists(db, key);
        let name = (db, key.into());
        let current = self.watches.keys.get(&name).map(|watched| watched.version);
        current == Some(version >> 1) && (version & 1 == 0 || alive)
    }

    /// Ends one watch.
    pub fn unwatch(&mut self, db: Db, key: &[u8]) {
        let name = (db, key.into());
        if let Some(watched) = self.watches.keys.get_mut(&name) {
            watched.watchers -= 1;
            if watched.watchers == 0 {
                self.watches.keys.remove(&name);
            }
        }
    }
}
