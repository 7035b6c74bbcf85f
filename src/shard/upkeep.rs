//! Bounded slices of work that nobody waits for: removing expired keys, freeing what was removed;
//! and giving up keys when memory is short.

use crate::base::ids::{Db, Epoch};
use crate::base::time::Millis;
use crate::commands::events::Cause;
use crate::commands::order::Voice;
use crate::keyspace::evict::Eviction;
use crate::keyspace::expiry::Gone;
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

/// How many bytes a shard has to give up so that all fit into `most`. Those that hold more than an
/// even part come down to it. What they cannot give up, all of them share.
///
/// Each looks for itself, when it has something to do, and the one that clients talk to looks most
/// often. (Each gave up an even part of what was too much, however small it was: the shard that had
/// all connections had no keys left after some 100,000 requests, and the hits of a cache fell from
/// 62 to 38 %.)
pub fn to_give_up(most: u64, own: usize, holdings: &[(u64, Supply)]) -> usize {
    let shards = holdings.len().max(1) as u64;
    let (sum, part) = (holdings.iter().map(|(bytes, _)| bytes).sum::<u64>(), most / shards);
    let over = sum.saturating_sub(most);
    let above = |(bytes, _): &(u64, Supply)| bytes.saturating_sub(part);
    let can = |holding: &(u64, Supply)| above(holding) > 0 && holding.1 == Supply::Some;
    let bytes = match holdings.get(own) {
        Some(mine) if can(mine) => above(mine).min(over),
        _ if holdings.iter().any(can) => 0,
        _ => over.div_ceil(shards),
    };
    usize::try_from(bytes).unwrap_or(usize::MAX)
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

    /// Brings the number of fields that have expired up to date.
    pub fn count_fields(&mut self) {
        self.counters.expired_subkeys += self.keys.take_expired_fields();
    }

    /// One slice; says whether it is worth going on at once.
    pub fn upkeep(&mut self, now: Millis, epoch: Epoch, expire: ActiveExpire) -> bool {
        self.begin(now, epoch);
        let freed = self.keys.free_slice(FREE_SLICE);
        // What has expired is removed by a logged DEL or HDEL; a log that refuses writes refuses
        // that too.
        let may_expire = expire == ActiveExpire::On && self.writes == Writes::Allowed;
        // Keys that a transaction has claimed are not touched; few claims last long.
        if !may_expire || !self.locks.is_idle() {
            return freed;
        }
        self.keys.begin(self.now, self.journal.next());
        let mut removed: Vec<(Db, OwnedArgs)> = Vec::new();
        let mut keys = 0;
        let more = self.keys.expire_slice(EXPIRE_SLICE, &mut |db, gone| match gone {
            Gone::Key(key) => {
                keys += 1;
                removed.push((db, OwnedArgs::of(&[b"DEL", key])));
            }
            Gone::Fields(key, fields) => {
                let mut hdel = OwnedArgs::of(&[b"HDEL", key]);
                fields.iter().for_each(|field| hdel.push(field));
                removed.push((db, hdel));
            }
        });
        self.counters.expired_keys += keys;
        self.count_fields();
        if self.keys.has_notes() {
            self.digest(Cause::Expiry, None, Voice::Loud);
        }
        for (db, del) in removed {
            self.journal.append(del.args(), db);
        }
        freed || more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_shard_gives_up() {
        let (some, none) = (Supply::Some, Supply::None);
        for (most, holdings, expected) in [
            // Nothing is too much.
            (100, vec![(70, some), (30, some)], vec![0, 0]),
            // Who has more than an even part comes down to it, and no further than needed.
            (100, vec![(90, some), (40, some)], vec![30, 0]),
            (100, vec![(60, some), (70, some)], vec![10, 20]),
            (100, vec![(0, some), (130, some)], vec![0, 30]),
            // It cannot: then all share.
            (100, vec![(90, none), (40, some)], vec![15, 15]),
            (90, vec![(60, none), (40, some), (20, some)], vec![0, 10, 0]),
            (100, vec![(130, some)], vec![30]),
            (100, vec![(130, none)], vec![30]),
        ] {
            let amounts: Vec<usize> =
                (0..holdings.len()).map(|own| to_give_up(most, own, &holdings)).collect();
            assert_eq!(amounts, expected, "{most} {holdings:?}");
            let over = holdings.iter().map(|(bytes, _)| bytes).sum::<u64>().saturating_sub(most);
            assert!(over == 0 || amounts.iter().any(|amount| *amount > 0), "{holdings:?}");
        }
    }
}
