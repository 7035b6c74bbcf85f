//! Keys and fields of hashes that have passed their deadline: keys are noticed by a write, both are
//! found in slices.

use crate::base::ids::Db;
use crate::base::table::{Place, Stored};
use crate::keyspace::database::Database;
use crate::keyspace::hash_mut::{HashMut, is_hash};
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::notes::Touch;
use crate::keyspace::opened::Opened;
use crate::types::hash::Hash;
use crate::types::value::Value;

/// Segments whose bound is looked at in one slice: eight bytes each, one after another.
const GLANCES: usize = 4096;

/// What has been removed because its deadline had passed.
#[derive(Clone, Copy, Debug)]
pub enum Gone<'a> {
    /// A key.
    Key(&'a [u8]),
    /// Fields of the hash at a key, which goes with the last of them.
    Fields(&'a [u8], &'a [Box<[u8]>]),
}

/// What is called with what has been removed.
pub type EachGone<'a> = dyn FnMut(Db, Gone<'_>) + 'a;

/// Whether a segment has to be looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    More,
}

impl Keyspace {
    /// The next key that a write found expired and removed; it has to be logged as DEL before the
    /// write's own effect. Each takes one lsn: the write's effect gets the one after them.
    pub fn take_expired(&mut self) -> Option<(Db, Vec<u8>)> {
        self.expired.pop_front()
    }

    /// Looks for expired keys and fields of hashes and removes them, calling `removed` for each key
    /// and each hash, until `budget` entries were looked at or a bounded search found nothing.
    /// Every removal has to be logged, as DEL or HDEL, with the next lsn, beginning with the one
    /// given to `begin`. Says whether it is worth going on.
    pub fn expire_slice(&mut self, budget: usize, removed: &mut EachGone<'_>) -> bool {
        let mut places = Vec::new();
        let mut left = budget;
        // Once around, and to where it began.
        for _ in 0..=self.dbs.len() + 1 {
            let (number, segment) = self.sweep;
            let Some(database) = self.dbs.get(number) else {
                self.sweep = (0, 0);
                continue;
            };
            if database.table.deadlines() == 0 && !database.fields {
                self.sweep = (number + 1, 0);
                continue;
            }
            let Some(due) = database.table.due(segment, GLANCES, self.now.0) else {
                let rest = segment + GLANCES;
                let through = rest >= database.table.segments();
                self.sweep = if through { (number + 1, 0) } else { (number, rest) };
                continue;
            };
            database.table.in_segment(due, &mut places);
            left = left.saturating_sub(places.len());
            let db = Db(number as u16);
            self.expire_places(db, &mut places, removed);
            let rest = self.expire_fields_in(db, due, budget, &mut left, removed);
            if let (Some(database), Rest::Nothing) = (self.dbs.get_mut(number), rest) {
                refresh(database, due);
            }
            // Others come first, before it goes on here.
            self.sweep = (number, due + 1);
            if left == 0 {
                return true;
            }
        }
        left < budget
    }

    /// So many fields were removed by a command because their deadlines had passed.
    pub fn note_expired_fields(&mut self, count: usize) {
        self.expired_fields += count as u64;
    }

    /// How many fields have been removed because their deadlines had passed, since this was last
    /// asked.
    pub fn take_expired_fields(&mut self) -> u64 {
        std::mem::take(&mut self.expired_fields)
    }

    fn expire_places(&mut self, db: Db, places: &mut Vec<Place>, removed: &mut EachGone<'_>) {
        let now = self.now.0;
        let table = &self.database(db).table;
        places.retain(|&place| table.meta(place).deadline.is_some_and(|at| at < now));
        // A removal can move the other entries of the segment, so keys are kept, not places.
        let key = |place: &Place| (place.hash, Box::from(table.view(*place).key));
        let keys: Vec<(u64, Box<[u8]>)> = places.iter().map(key).collect();
        for (hash, key) in keys {
            if let Some(place) = self.database(db).table.find(hash, &key) {
                self.take_out(db, place);
                self.watches.notes.add(db, &key, Touch::Expired);
                self.stamp(hash);
                self.next = self.next.next();
                removed(db, Gone::Key(&key));
            }
        }
    }

    /// Removes fields that are due from the hashes of a segment, until about what is left, or half
    /// of the budget, has been looked at.
    fn expire_fields_in(
        &mut self,
        db: Db,
        segment: usize,
        budget: usize,
        left: &mut usize,
        removed: &mut EachGone<'_>,
    ) -> Rest {
        let (database, now) = (self.database(db), self.now.0);
        if !database.fields {
            return Rest::Nothing;
        }
        let (mut places, mut keys) = (Vec::new(), Vec::new());
        database.table.in_segment(segment, &mut places);
        for place in places {
            let view = database.table.view(place);
            if let Stored::Extern(value) = view.value
                && value.soonest().is_some_and(|at| at < now)
            {
                keys.push((place.hash, Box::<[u8]>::from(view.key)));
            }
        }
        let mut fuel = (*left).max(budget / 2);
        for (hash, key) in keys {
            loop {
                if fuel == 0 {
                    *left = 0;
                    return Rest::More;
                }
                let Some(place) = self.database(db).table.find(hash, &key) else { break };
                let Some(looked) = self.expire_fields(db, (place, &key), fuel, removed) else {
                    break;
                };
                fuel = fuel.saturating_sub(looked);
                *left = left.saturating_sub(looked);
            }
        }
        Rest::Nothing
    }

    /// Removes up to `most` fields that are due from one hash. How many were looked at; nothing
    /// when none is due.
    fn expire_fields(
        &mut self,
        db: Db,
        (place, key): (Place, &[u8]),
        most: usize,
        removed: &mut EachGone<'_>,
    ) -> Option<usize> {
        let now = self.now.0;
        let mut names: Vec<Box<[u8]>> = Vec::new();
        let looked = match self.database_mut(db).table.extern_mut(place)? {
            Value::Timed(timed) => {
                let due = timed.rows().filter(|row| row.2.is_some_and(|at| at < now));
                names.extend(due.map(|row| Box::from(row.0)));
                (!names.is_empty()).then_some(timed.len())
            }
            Value::Hash(Hash::Big(big)) => {
                let mut add = |name: &[u8]| names.push(name.into());
                big.borrow_mut().each_due(now, most, &mut add)
            }
            _ => None,
        }?;
        if !names.is_empty() {
            let mut hash = HashMut(Opened::new(self, db, place, is_hash).ok()?);
            names.iter().for_each(|name| {
                hash.remove(name);
            });
            hash.0.note(Touch::FieldsExpired);
            drop(hash);
            self.expired_fields += names.len() as u64;
            self.next = self.next.next();
            removed(db, Gone::Fields(key, &names));
        }
        Some(looked.max(1))
    }

    /// An entry's value has a deadline inside of it.
    pub(super) fn lower(&mut self, db: Db, place: Place, deadline: u64) {
        let database = self.database_mut(db);
        database.fields = true;
        database.table.lower(place.segment(), deadline);
    }

    /// The same for whatever deadlines there are inside of a value that has just come there.
    pub(super) fn bound(&mut self, db: Db, place: Place) {
        let soonest = match self.database(db).table.view(place).value {
            Stored::Extern(value) => value.soonest(),
            Stored::Inline(_) => None,
        };
        if let Some(soonest) = soonest {
            self.lower(db, place, soonest);
        }
    }

    /// Has a hash of any database had a deadline of a field?
    pub fn has_timed_fields(&self) -> bool {
        self.dbs.iter().any(|database| database.fields)
    }

    /// Removes a key that a write found expired.
    #[cold]
    pub(super) fn expire(&mut self, db: Db, key: &[u8], place: Place) {
        self.take_out(db, place);
        self.watches.notes.add(db, key, Touch::Expired);
        if self.wrote {
            // The effect of this command comes after the DEL, so it gets a later lsn than what
            // the command has stamped so far.
            let (this, later) = (self.next, self.next.next());
            self.stamps.iter_mut().filter(|lsn| **lsn == this).for_each(|lsn| *lsn = later);
        }
        self.stamp(place.hash);
        self.next = self.next.next();
        self.expired.push_back((db, key.to_vec()));
    }
}

/// Makes the bound of a segment exact.
fn refresh(database: &mut Database, segment: usize) {
    if database.fields {
        database.table.refresh_soonest(segment, Value::soonest);
    } else {
        database.table.refresh_soonest(segment, |_| None);
    }
}
