//! Keys that have passed their deadline: noticed by a write, or found in slices.

use crate::base::ids::Db;
use crate::base::table::Place;
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::notes::Touch;

/// Segments whose bound is looked at in one slice: eight bytes each, one after another.
const GLANCES: usize = 4096;

impl Keyspace {
    /// The next key that a write found expired and removed; it has to be logged as DEL before the
    /// write's own effect. Each takes one lsn: the write's effect gets the one after them.
    pub fn take_expired(&mut self) -> Option<(Db, Vec<u8>)> {
        self.expired.pop_front()
    }

    /// Looks for expired keys and removes them, calling `removed` for each, until `budget` entries
    /// were looked at or a bounded search found nothing. Every removal has to be logged as DEL with
    /// the next lsn, beginning with the one given to `begin`. Says whether it is worth going on.
    pub fn expire_slice(&mut self, budget: usize, removed: &mut dyn FnMut(Db, &[u8])) -> bool {
        let mut places = Vec::new();
        let mut left = budget;
        for _ in 0..=self.dbs.len() {
            let (number, segment) = self.sweep;
            let Some(database) = self.dbs.get(number) else {
                self.sweep = (0, 0);
                continue;
            };
            if database.table.deadlines() == 0 {
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
            self.expire_places(Db(number as u16), &mut places, removed);
            if let Some(database) = self.dbs.get_mut(number) {
                database.table.refresh_soonest(due);
            }
            self.sweep = (number, due + 1);
            if left == 0 {
                return true;
            }
        }
        left < budget
    }

    fn expire_places(
        &mut self,
        db: Db,
        places: &mut Vec<Place>,
        removed: &mut dyn FnMut(Db, &[u8]),
    ) {
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
                removed(db, &key);
            }
        }
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
