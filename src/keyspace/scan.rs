//! Walking over a whole database: SCAN and RANDOMKEY.
//!
//! A cursor is the upper 48 bits of a hash. Keys are visited in the order of their hashes, so
//! whatever splits happen between two calls, what was visited lies below the cursor and what was
//! not lies at or above it: a key that is there throughout is returned exactly once.
//! Limitation: one call looks at 64 segments at most, so it may return fewer keys than `count`.

use crate::base::ids::Db;
use crate::base::table::Stored;
use crate::keyspace::keyspace::Keyspace;
use crate::types::string::Bytes;
use crate::types::value::Kind;

/// How often RANDOMKEY throws the dice before it returns a key that may have expired.
const THROWS: u64 = 100;

impl Keyspace {
    /// Keys in a database, expired ones that are not removed yet included, as in Redis.
    pub fn len(&self, db: Db) -> usize {
        self.observe_all();
        self.database(db).table.len()
    }

    /// Whether a database has no key at all.
    pub fn is_empty(&self, db: Db) -> bool {
        self.len(db) == 0
    }

    /// Keys with a deadline in a database.
    pub fn expiring(&self, db: Db) -> usize {
        self.database(db).table.deadlines()
    }

    /// A key that has not expired, chosen by `dice`; for RANDOMKEY.
    pub fn random(&mut self, db: Db, dice: u64) -> Option<Bytes<'_>> {
        self.observe_all();
        let now = self.now;
        let table = &self.database(db).table;
        let mut dice = dice;
        for _ in 0..THROWS {
            let view = table.view(table.random(dice)?);
            if view.meta.deadline.is_none_or(|deadline| deadline >= now.0) {
                return Some(Bytes::Slice(view.key));
            }
            dice = dice.wrapping_mul(0xd134_2543_de82_ef95).wrapping_add(1).rotate_left(23);
        }
        None
    }

    /// Visits about `count` keys from `cursor` (0 at first) on in hash order; returns the next
    /// cursor (below 2^48), 0 at the end. Expired keys are left out.
    pub fn scan(
        &mut self,
        db: Db,
        cursor: u64,
        count: usize,
        each: &mut dyn FnMut(&[u8], Kind),
    ) -> u64 {
        self.observe_all();
        let now = self.now;
        self.database(db).table.scan(cursor, count, &mut |view| {
            if view.meta.deadline.is_some_and(|deadline| deadline < now.0) {
                return;
            }
            let kind = match view.value {
                Stored::Inline(_) => Kind::String,
                Stored::Extern(value) => value.kind(),
            };
            each(view.key, kind);
        })
    }
}
