//! Bounded slices of work that nobody waits for: removing expired keys, freeing what was removed;
//! and giving up keys when memory is short.

use crate::base::ids::{Db, Epoch};
use crate::base::time::Millis;
use crate::commands::events::Cause;
use crate::commands::order::Voice;
use crate::keyspace::evict::Eviction;
use crate::limits::{EVICT_SLICE, EXPIRE_SLICE, FREE_SLICE};
use crate::resp::args::OwnedArgs;
use crate::shard::shard::{Shard, Writes};

/// Whether expired keys are removed by upkeep (DEBUG SET-ACTIVE-EXPIRE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveExpire {
    /// They are.
    On,
    /// They stay until a write finds them.
    Off,
}

/// Whether a shard has keys that may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supply {
    /// It may have more.
    Some,
    /// There is none left.
    None,
}

impl Shard {
    /// Gives up keys until the data is smaller by `bytes`, one slice at most.
    pub fn evict(&mut self, eviction: Eviction, bytes: usize) -> Supply {
        // A removal is logged; and what a transaction has claimed stays as it is.
        if self.writes != Writes::Allowed || !self.locks.is_idle() {
            return Supply::Some;
        }
        self.keys.begin(self.now, self.journal.next());
        let before = self.keys.memory().data;
        for _ in 0..EVICT_SLICE {
            if self.keys.memory().data.saturating_add(bytes) <= before {
                break;
            }
            let Some((db, key)) = self.keys.evict(eviction) else {
                return Supply::None;
            };
            self.counters.evicted_keys += 1;
            if self.keys.has_notes() {
                self.digest(Cause::Eviction, None, Voice::Loud);
            }
            self.journal.append(OwnedArgs::of(&[b"DEL", &key]).args(), db);
        }
        Supply::Some
    }

    /// One slice; says whether it is worth going on at once.
    pub fn upkeep(&mut self, now: Millis, epoch: Epoch, expire: ActiveExpire) -> bool {
        self.begin(now, epoch);
        let freed = self.keys.free_slice(FREE_SLICE);
        // An expired key is removed by a logged DEL; a log that refuses writes refuses that too.
        let may_expire = expire == ActiveExpire::On && self.writes == Writes::Allowed;
        // Keys that a transaction has claimed are not touched; few claims last long.
        if !may_expire || !self.locks.is_idle() {
            return freed;
        }
        self.keys.begin(self.now, self.journal.next());
        let mut removed: Vec<(Db, OwnedArgs)> = Vec::new();
        let more = self.keys.expire_slice(EXPIRE_SLICE, &mut |db, key| {
            removed.push((db, OwnedArgs::of(&[b"DEL", key])));
        });
        self.counters.expired_keys += removed.len() as u64;
        if self.keys.has_notes() {
            self.digest(Cause::Expiry, None, Voice::Loud);
        }
        for (db, del) in removed {
            self.journal.append(del.args(), db);
        }
        freed || more
    }
}
