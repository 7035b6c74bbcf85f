//! What a command has done to which keys, in order, for those who want to know: keyspace events,
//! client-side caching, clients that wait for a key. Nobody wants to at nearly all times.

use crate::base::ids::Db;
use crate::keyspace::keyspace::Keyspace;

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It was not there and is made.
    Born,
    /// Its value was replaced or changed.
    Wrote,
    /// It was removed.
    Removed,
    /// Its last element was taken, and so it is gone.
    Emptied,
    /// It has got a deadline.
    Deadline,
    /// It has lost its deadline.
    Persisted,
    /// It was removed because its deadline has passed.
    Expired,
    /// Fields of it were removed because their deadlines have passed.
    FieldsExpired,
    /// A reader did not find it.
    Missed,
    /// Every key of the database is gone, or another; the key is empty.
    Whole,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The database.
    pub db: Db,
    /// The key.
    pub key: Box<[u8]>,
    /// What happened to it.
    pub touch: Touch,
}

/// Whether notes are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Noting {
    /// Nobody wants any.
    #[default]
    Off,
    /// Of every change.
    Changes,
    /// Of lookups that find nothing as well.
    Misses,
}

/// The notes since they were taken last.
#[derive(Debug, Default)]
pub struct Notes {
    noting: Noting,
    list: Vec<Note>,
}

impl Notes {
    /// Is anything noted at all?
    #[inline]
    pub fn are_taken(&self) -> bool {
        self.noting != Noting::Off
    }

    /// Notes what happened to a key.
    #[inline]
    pub fn add(&mut self, db: Db, key: &[u8], touch: Touch) {
        if self.noting != Noting::Off {
            self.push(db, key, touch);
        }
    }

    /// Notes that a reader has not found a key.
    #[inline]
    pub fn miss(&mut self, db: Db, key: &[u8]) {
        if self.noting == Noting::Misses {
            self.push(db, key, Touch::Missed);
        }
    }

    #[cold]
    fn push(&mut self, db: Db, key: &[u8], touch: Touch) {
        let again = |last: &Note| last.db == db && *last.key == *key && last.touch == touch;
        // A command that changes a value step by step has written it once.
        if self.list.last().is_some_and(again) {
            return;
        }
        // Every removal passes the place that notes an emptied key; the reason follows.
        if matches!(touch, Touch::Removed | Touch::Expired) {
            self.list
                .pop_if(|last| last.db == db && *last.key == *key && last.touch == Touch::Emptied);
        }
        self.list.push(Note { db, key: key.into(), touch });
    }
}

impl Keyspace {
    /// What is noted from now on; what was noted and not taken is forgotten.
    pub fn set_noting(&mut self, noting: Noting) {
        self.watches.notes = Notes { noting, list: Vec::new() };
    }

    /// Is there anything to be taken?
    #[inline]
    pub fn has_notes(&self) -> bool {
        !self.watches.notes.list.is_empty()
    }

    /// Forgets what has happened.
    pub fn drop_notes(&mut self) {
        self.watches.notes.list.clear();
    }

    /// What has happened since this was last called.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.watches.notes.list)
    }
}
