//! Choosing keys to remove when memory is short.
//!
//! As in Redis, a few keys are looked at each time, and the worst of them are remembered in a pool,
//! so that the choice approaches that among all keys. What is random comes from the keyspace's own
//! generator.

use crate::base::ids::Db;
use crate::base::table::Place;
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::notes::Touch;

/// Keys that are remembered as candidates.
const POOL: usize = 16;
/// Keys that are drawn to find one with a deadline.
const DRAWS: usize = 16;

/// A key that may go, and how much it deserves to.
#[derive(Debug)]
pub struct Candidate {
    worth: u64,
    db: Db,
    key: Box<[u8]>,
}

/// Which keys may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// Any.
    All,
    /// Those with a deadline.
    WithDeadline,
}

/// Which of them goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The one whose last access is the longest ago.
    Idleness,
    /// The one with the lowest count of accesses.
    Rarity,
    /// The one with the nearest deadline.
    Deadline,
    /// Any.
    Chance,
}

/// How keys are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eviction {
    /// Which may go.
    pub among: Among,
    /// Which goes first.
    pub by: By,
    /// Keys that are looked at for each that goes.
    pub samples: usize,
}

impl Keyspace {
    /// Removes the key that deserves it most, after looking at some of each database; nothing when
    /// there is none that may go. The removal has to be logged as DEL with the next lsn, beginning
    /// with the one given to `begin`.
    pub fn evict(&mut self, eviction: Eviction) -> Option<(Db, Box<[u8]>)> {
        let Eviction { among, by, samples } = eviction;
        for number in 0..self.databases() {
            self.sample(Db(number), among, by, samples);
        }
        loop {
            let Candidate { db, key, .. } = self.candidates.pop()?;
            let hash = self.hasher.hash(&key);
            let table = &self.database(db).table;
            let Some(place) = table.find(hash, &key) else { continue };
            if among == Among::WithDeadline && table.meta(place).deadline.is_none() {
                continue;
            }
            self.drop_for_memory(db, place);
            self.watches.touched(db, &key, Touch::Removed);
            self.stamp(hash);
            self.next = self.next.next();
            return Some((db, key));
        }
    }

    /// Puts keys of a database into the pool, the most deserving last.
    fn sample(&mut self, db: Db, among: Among, by: By, samples: usize) {
        let table = &self.database(db).table;
        if table.is_empty() || among == Among::WithDeadline && table.deadlines() == 0 {
            return;
        }
        for _ in 0..samples {
            let Some(place) = self.draw(db, among) else { return };
            let worth = self.worth(db, place, by);
            let at = self.candidates.partition_point(|other| other.worth < worth);
            if self.candidates.len() == POOL && at == 0 {
                continue;
            }
            let key = self.database(db).table.view(place).key;
            if self.candidates.iter().any(|other| other.db == db && *other.key == *key) {
                continue;
            }
            let candidate = Candidate { worth, db, key: key.into() };
            self.candidates.insert(at, candidate);
            if self.candidates.len() > POOL {
                self.candidates.remove(0);
            }
        }
    }

    /// A random key that may be removed.
    fn draw(&mut self, db: Db, among: Among) -> Option<Place> {
        for _ in 0..DRAWS {
            let dice = self.dice.next();
            let place = self.database(db).table.random(dice)?;
            let table = &self.database(db).table;
            if among == Among::All || table.meta(place).deadline.is_some() {
                return Some(place);
            }
        }
        // Few have one: the first segment from a random one on that knows of a deadline.
        let dice = self.dice.next();
        let table = &self.database(db).table;
        let start = (dice % table.segments().max(1) as u64) as usize;
        let mut places = Vec::new();
        for from in [start, 0] {
            let mut from = from;
            while let Some(number) = table.due(from, usize::MAX, u64::MAX) {
                table.in_segment(number, &mut places);
                if let Some(place) =
                    places.iter().find(|place| table.meta(**place).deadline.is_some())
                {
                    return Some(*place);
                }
                from = number + 1;
            }
        }
        None
    }

    fn worth(&mut self, db: Db, place: Place, by: By) -> u64 {
        let meta = self.database(db).table.meta(place);
        match by {
            By::Idleness => self.idle(meta.clock),
            By::Rarity => 255 - u64::from(self.decayed(meta.clock)),
            By::Deadline => u64::MAX - meta.deadline.unwrap_or(u64::MAX),
            By::Chance => self.dice.next(),
        }
    }

    /// Removes an entry and returns what memory it can at once.
    fn drop_for_memory(&mut self, db: Db, place: Place) {
        self.hand_over(db, place);
        let database = self.database_mut(db);
        if let Some(old) = database.table.evict(place) {
            database.values -= old.bytes();
            self.bury(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Lsn;
    use crate::base::time::Millis;
    use crate::keyspace::keyspace::{Expiry, Policy, Settings};

    const DB: Db = Db(0);

    fn filled(policy: Policy, keys: u64) -> Keyspace {
        let mut keyspace = Keyspace::new(Settings { policy, ..Settings::default() });
        for n in 0..keys {
            // Each is as old as its number says; every third has a deadline.
            keyspace.begin(Millis(1_000_000 + n * 1000), Lsn(n + 1));
            let deadline = Millis(100_000_000 + n);
            let expiry = if n % 3 == 0 { Expiry::At(deadline) } else { Expiry::Clear };
            keyspace.set_string(DB, format!("key:{n}").as_bytes(), b"value", expiry);
        }
        keyspace.begin(Millis(1_000_000 + keys * 1000), Lsn(keys + 1));
        keyspace
    }

    fn number((_, key): (Db, Box<[u8]>)) -> u64 {
        std::str::from_utf8(&key[4..]).unwrap().parse().unwrap()
    }

    #[test]
    fn each_policy_removes_what_it_may_until_nothing_is_left() {
        for (among, by, left) in [
            (Among::All, By::Idleness, 0),
            (Among::All, By::Rarity, 0),
            (Among::All, By::Chance, 0),
            (Among::WithDeadline, By::Idleness, 200),
            (Among::WithDeadline, By::Rarity, 200),
            (Among::WithDeadline, By::Chance, 200),
            (Among::WithDeadline, By::Deadline, 200),
        ] {
            let policy = if by == By::Rarity { Policy::Lfu } else { Policy::Lru };
            let mut keys = filled(policy, 300);
            let eviction = Eviction { among, by, samples: 5 };
            let removed: Vec<u64> =
                std::iter::from_fn(|| keys.evict(eviction)).map(number).collect();
            assert_eq!(keys.len(DB), left, "{eviction:?}");
            assert_eq!(removed.len() as u64, 300 - left as u64, "{eviction:?}");
            assert!(left == 0 || removed.iter().all(|n| n % 3 == 0), "{eviction:?}");
            keys.database(DB).table.recount();
        }
    }

    #[test]
    fn the_oldest_go_first_mostly() {
        for (among, by) in [(Among::All, By::Idleness), (Among::WithDeadline, By::Deadline)] {
            let eviction = Eviction { among, by, samples: 5 };
            let mut keys = filled(Policy::Lru, 3000);
            let removed: Vec<u64> =
                (0..300).map(|_| number(keys.evict(eviction).unwrap())).collect();
            let mean = removed.iter().sum::<u64>() as f64 / 300.0;
            // Chance would give 1500; the very oldest would give 150 (450 of every third).
            assert!(mean < 600.0, "{eviction:?} {mean}");
        }
    }

    #[test]
    fn memory_comes_back_as_keys_go() {
        let mut keys = filled(Policy::Lru, 20_000);
        let before = keys.memory();
        let eviction = Eviction { among: Among::All, by: By::Chance, samples: 5 };
        for _ in 0..10_000 {
            keys.evict(eviction).unwrap();
        }
        let after = keys.memory();
        assert!(after.data < before.data / 10 * 8, "{before:?} {after:?}");
        assert!(after.used - after.data < after.tables / 5, "{after:?}");
    }
}
