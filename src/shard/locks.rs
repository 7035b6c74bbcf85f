//! Key locks for transactions over several shards.
//!
//! A single-shard command never holds a lock: it runs at once, unless one of its keys is claimed,
//! in which case it lines up like a transaction. Claims are granted in the order of arrival for
//! each key. There is no deadlock: a transaction claims all its keys of a shard at once, and its
//! shards in ascending order, so nobody waits for a lower shard while holding a higher one.
//!
//! Of the transactions that write, a shard lets in those of one coordinator at a time, whatever
//! their keys are. So all shards that two of them share commit them in the same order, and
//! "durable, with all that comes before it" never goes round in a circle (gate.rs). For let the
//! time of a transaction be the moment at which its coordinator sends the orders to commit. Two of
//! one coordinator are committed everywhere in the order of their times, since its orders arrive
//! in the order in which they were sent. Of two with different ones the second is let in when the
//! first has committed there, and its time is later still. The order of commits is that of times,
//! on all shards.
//!
//! Keys stand as 64-bit hashes; two keys with one hash only wait needlessly.

use std::collections::{BTreeMap, HashMap, VecDeque};

use ahash::RandomState;

use crate::base::ids::{Db, ShardId};

/// What a claim covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Hashes of keys, each once.
    keys: Vec<u64>,
    /// Every key of the shard (FLUSHALL, SWAPDB, DBSIZE, KEYS).
    whole: bool,
    /// The coordinator of a transaction that writes.
    writer: Option<ShardId>,
}

/// The place of a claim in the order of arrival; also its name.
pub type Ticket = u64;

#[derive(Debug)]
struct Standing {
    claim: Claim,
    /// Queues (of keys, and that of writers) in which it is not at the head yet.
    behind: usize,
    granted: bool,
}

/// The claims on one shard's keys.
#[derive(Debug)]
pub struct Locks {
    hasher: RandomState,
    standing: BTreeMap<Ticket, Standing>,
    queues: HashMap<u64, VecDeque<Ticket>, RandomState>,
    /// Writers in the order of arrival, those of one coordinator that follow each other together.
    writers: VecDeque<(ShardId, Vec<Ticket>)>,
    wholes: VecDeque<Ticket>,
    last: Ticket,
}

impl Default for Locks {
    fn default() -> Locks {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        Locks {
            queues: HashMap::with_hasher(hasher.clone()),
            hasher,
            standing: BTreeMap::new(),
            writers: VecDeque::new(),
            wholes: VecDeque::new(),
            last: 0,
        }
    }
}

impl Claim {
    /// A claim on all keys.
    pub fn whole() -> Claim {
        Claim { whole: true, ..Claim::default() }
    }

    /// As this one, for a transaction that writes. (A whole claim is alone in any case.)
    pub fn to_write(mut self, coordinator: ShardId) -> Claim {
        self.writer = (!self.whole).then_some(coordinator);
        self
    }
}

impl Locks {
    /// Nobody claims anything: the only question that the path of a single command asks.
    pub fn is_idle(&self) -> bool {
        self.standing.is_empty()
    }

    /// The claim on these keys.
    pub fn claim<'k>(&self, keys: impl Iterator<Item = (Db, &'k [u8])>) -> Claim {
        let mut keys: Vec<u64> = keys.map(|(db, key)| self.hasher.hash_one((db, key))).collect();
        keys.sort_unstable();
        keys.dedup();
        Claim { keys, ..Claim::default() }
    }

    /// Could this claim of a command on one shard be granted at once?
    pub fn is_free(&self, claim: &Claim) -> bool {
        debug_assert!(claim.writer.is_none(), "a transaction lines up");
        if claim.whole {
            return self.standing.is_empty();
        }
        self.wholes.is_empty() && !claim.keys.iter().any(|key| self.queues.contains_key(key))
    }

    /// Lines up; `granted` tells whether it was its turn at once.
    pub fn enter(&mut self, claim: Claim) -> Ticket {
        self.last += 1;
        let ticket = self.last;
        let mut behind = 0;
        for key in &claim.keys {
            let queue = self.queues.entry(*key).or_default();
            behind += usize::from(!queue.is_empty());
            queue.push_back(ticket);
        }
        if let Some(coordinator) = claim.writer {
            behind += usize::from(self.line_up(coordinator, ticket));
        }
        if claim.whole {
            self.wholes.push_back(ticket);
        }
        self.standing.insert(ticket, Standing { claim, behind, granted: false });
        self.grant(ticket);
        ticket
    }

    /// Lines up among the writers; says whether those of another coordinator come first.
    fn line_up(&mut self, coordinator: ShardId, ticket: Ticket) -> bool {
        match self.writers.back_mut() {
            Some((last, tickets)) if *last == coordinator => tickets.push(ticket),
            _ => self.writers.push_back((coordinator, vec![ticket])),
        }
        self.writers.len() > 1
    }

    /// Leaves the line of writers; those who come to its head by that.
    fn step_out(&mut self, ticket: Ticket) -> Vec<Ticket> {
        let of = |(_, tickets): &(ShardId, Vec<Ticket>)| tickets.contains(&ticket);
        let Some(at) = self.writers.iter().position(of) else { return Vec::new() };
        let Some((_, tickets)) = self.writers.get_mut(at) else { return Vec::new() };
        tickets.retain(|other| *other != ticket);
        if !tickets.is_empty() {
            return Vec::new();
        }
        self.writers.remove(at);
        match self.writers.front() {
            Some((_, next)) if at == 0 => next.clone(),
            _ => Vec::new(),
        }
    }

    /// Is it this ticket's turn?
    pub fn granted(&self, ticket: Ticket) -> bool {
        self.standing.get(&ticket).is_some_and(|standing| standing.granted)
    }

    /// Gives a claim up, granted or not; returns those whose turn it is now, in order.
    pub fn leave(&mut self, ticket: Ticket) -> Vec<Ticket> {
        let Some(left) = self.standing.remove(&ticket) else { return Vec::new() };
        let mut candidates = Vec::new();
        for key in &left.claim.keys {
            let Some(queue) = self.queues.get_mut(key) else { continue };
            let was_head = queue.front() == Some(&ticket);
            queue.retain(|other| *other != ticket);
            if queue.is_empty() {
                self.queues.remove(key);
            } else if was_head && let Some(head) = queue.front() {
                if let Some(standing) = self.standing.get_mut(head) {
                    standing.behind -= 1;
                }
                candidates.push(*head);
            }
        }
        if left.claim.writer.is_some() {
            let heads = self.step_out(ticket);
            for head in &heads {
                if let Some(standing) = self.standing.get_mut(head) {
                    standing.behind -= 1;
                }
            }
            candidates.extend(heads);
        }
        if left.claim.whole {
            self.wholes.retain(|other| *other != ticket);
            candidates.extend(self.standing.keys().copied());
        }
        candidates.extend(self.wholes.front());
        candidates.sort_unstable();
        candidates.dedup();
        candidates.retain(|candidate| !self.granted(*candidate) && self.grant(*candidate));
        candidates
    }

    /// Grants a claim when it is its turn.
    fn grant(&mut self, ticket: Ticket) -> bool {
        let first = self.standing.keys().next().copied();
        let whole_before = self.wholes.front().is_some_and(|whole| *whole < ticket);
        let Some(standing) = self.standing.get_mut(&ticket) else { return false };
        standing.granted = match standing.claim.whole {
            true => first == Some(ticket),
            false => standing.behind == 0 && !whole_before,
        };
        standing.granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn claim(locks: &Locks, names: &str) -> Claim {
        match names {
            "*" => Claim::whole(),
            _ => locks.claim(names.split(' ').map(|name| (Db(0), name.as_bytes()))),
        }
    }

    #[test]
    fn claims_on_one_key_are_granted_in_order() {
        let mut locks = Locks::default();
        let a = locks.enter(claim(&locks, "x y"));
        let b = locks.enter(claim(&locks, "y z"));
        let c = locks.enter(claim(&locks, "z"));
        let d = locks.enter(claim(&locks, "w"));
        assert!(locks.granted(a) && !locks.granted(b) && !locks.granted(c) && locks.granted(d));
        assert!(!locks.is_free(&claim(&locks, "z")) && locks.is_free(&claim(&locks, "v")));
        assert_eq!(locks.leave(a), vec![b]);
        assert_eq!(locks.leave(b), vec![c]);
        assert!(locks.leave(c).is_empty() && locks.leave(d).is_empty());
        assert!(locks.is_idle());
    }

    #[test]
    fn transactions_that_write_take_turns_by_coordinator() {
        let mut locks = Locks::default();
        let writer = |names: &str, by| claim(&Locks::default(), names).to_write(ShardId(by));
        let a = locks.enter(writer("x", 0));
        let b = locks.enter(writer("y", 0));
        let c = locks.enter(writer("z", 1));
        let d = locks.enter(writer("v", 1));
        // It could be let in beside the first two, for ever: so it is not.
        let e = locks.enter(writer("u", 0));
        let f = locks.enter(claim(&locks, "t"));
        let granted = |locks: &Locks| [a, b, c, d, e].map(|ticket| locks.granted(ticket));
        assert_eq!(granted(&locks), [true, true, false, false, false]);
        assert!(locks.granted(f) && locks.is_free(&claim(&locks, "w")));
        assert_eq!(locks.leave(b), vec![]);
        assert_eq!(locks.leave(a), vec![c, d]);
        assert_eq!(locks.leave(c), vec![]);
        assert_eq!(locks.leave(d), vec![e]);
    }

    #[test]
    fn a_writer_that_gives_up_in_the_line_lets_nobody_in() {
        let mut locks = Locks::default();
        let writer = |names: &str, by| claim(&Locks::default(), names).to_write(ShardId(by));
        let a = locks.enter(writer("x", 0));
        let b = locks.enter(writer("y", 1));
        let c = locks.enter(writer("x", 0));
        assert_eq!(locks.leave(b), vec![]);
        assert!(!locks.granted(c));
        assert_eq!(locks.leave(a), vec![c]);
    }

    #[test]
    fn a_whole_claim_waits_for_all_before_it_and_holds_all_after_it() {
        let mut locks = Locks::default();
        let a = locks.enter(claim(&locks, "x"));
        let all = locks.enter(Claim::whole());
        let b = locks.enter(claim(&locks, "y"));
        assert!(locks.granted(a) && !locks.granted(all) && !locks.granted(b));
        assert_eq!(locks.leave(a), vec![all]);
        assert_eq!(locks.leave(all), vec![b]);
    }

    /// Random claims: never two conflicting ones granted, and everybody's turn comes.
    #[test]
    fn random_claims_are_exclusive_and_live() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let mut locks = Locks::default();
            let mut open: Vec<(Ticket, Claim)> = Vec::new();
            for _ in 0..200 {
                if open.len() < 12 && prng.chance(3, 5) {
                    let claim = match prng.below(12) {
                        0 => Claim::whole(),
                        n => {
                            let claim = locks.claim(
                                (0..=n % 3)
                                    .map(|_| (Db(0), [b"abcdef"[prng.below(6) as usize]]))
                                    .collect::<Vec<_>>()
                                    .iter()
                                    .map(|(db, k)| (*db, &k[..])),
                            );
                            match prng.below(4) {
                                3 => claim,
                                by => claim.to_write(ShardId(by as u16)),
                            }
                        }
                    };
                    open.push((locks.enter(claim.clone()), claim));
                }
                let granted: Vec<_> = open.iter().filter(|(t, _)| locks.granted(*t)).collect();
                assert!(open.is_empty() || !granted.is_empty(), "seed {seed}: nobody's turn");
                for (i, (_, a)) in granted.iter().enumerate() {
                    for (_, b) in granted.iter().skip(i + 1) {
                        let clash = a.whole || b.whole || a.keys.iter().any(|k| b.keys.contains(k));
                        let two = a.writer.zip(b.writer).is_some_and(|(a, b)| a != b);
                        assert!(!clash && !two, "seed {seed}: two conflicting claims granted");
                    }
                }
                if !open.is_empty() && prng.chance(1, 2) {
                    let at = prng.below(open.len() as u64) as usize;
                    let (ticket, _) = open.swap_remove(at);
                    locks.leave(ticket);
                }
            }
            while let Some(at) = open.iter().position(|(t, _)| locks.granted(*t)) {
                locks.leave(open.swap_remove(at).0);
            }
            assert!(open.is_empty() && locks.is_idle(), "seed {seed}");
        }
    }
}
