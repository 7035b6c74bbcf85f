//! Which effects of one shard may be acknowledged: the policy's promise, as a pure decision.
//!
//! ```text
//!            policy lsn            (always: synced, otherwise: written)
//!  acknowledged = min(policy lsn, one before the first held transaction)
//! ```
//!
//! A transaction over several shards is *held* from its commit here until it is known to be durable
//! at all its participants: recovery drops a transaction that some participant lacks together with
//! everything after it on its shards, so nothing after it may be acknowledged before that. Nor is a
//! later transaction durable at all its participants before that: on the shard that they share it
//! would be dropped, and then everywhere, with what follows it there. So a part counts as safe only
//! once no hold stands before it. That ends, since the shards commit transactions in one order
//! (locks.rs).
//!
//! After a failed write or sync the gate is *broken* until a new checkpoint heals it: what is not
//! acknowledged by then is refused, never silently promised.

use std::collections::BTreeMap;

use crate::base::ids::{Lsn, TxId};
use crate::base::mutant::Mutant;

/// What a reply waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// There is no log: nothing.
    Nothing,
    /// The effect is in the page cache (everysec, no).
    Written,
    /// The effect is on the device (always).
    Synced,
}

/// What is to be done with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// It may leave.
    Now,
    /// It has to wait for the log.
    Wait,
    /// The log is broken: the client has to be told that this is not promised.
    Refuse,
}

/// The state of one shard's acknowledgements.
#[derive(Debug)]
pub struct Gate {
    promise: Promise,
    written: Lsn,
    synced: Lsn,
    holds: BTreeMap<Lsn, TxId>,
    broken: bool,
}

impl Gate {
    /// A gate at a log whose effects up to `durable` are safe.
    pub fn new(promise: Promise, durable: Lsn) -> Gate {
        Gate { promise, written: durable, synced: durable, holds: BTreeMap::new(), broken: false }
    }

    /// What replies wait for.
    pub fn promise(&self) -> Promise {
        self.promise
    }

    /// Another policy from now on. Waiting replies are judged by it as well.
    pub fn set_promise(&mut self, promise: Promise) {
        self.promise = promise;
    }

    /// Effects up to `lsn` are in the page cache.
    pub fn wrote(&mut self, lsn: Lsn) {
        self.written = self.written.max(lsn);
    }

    /// Effects up to `lsn` are on the device.
    pub fn synced(&mut self, lsn: Lsn) {
        self.synced = self.synced.max(lsn);
        self.written = self.written.max(lsn);
    }

    /// A write or sync failed.
    pub fn break_log(&mut self) {
        self.broken = true;
    }

    /// Whether writes have to be refused.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// A checkpoint with every effect up to `lsn` is durable on all shards: the holds up to there
    /// end. Nobody else settles a transaction that another shard has refused meanwhile.
    pub fn cover(&mut self, lsn: Lsn) {
        self.holds.retain(|held, _| *held > lsn);
    }

    /// The same, and the log goes on in a new segment after it.
    pub fn heal(&mut self, lsn: Lsn) {
        self.broken = false;
        self.cover(lsn);
        self.synced(lsn);
    }

    /// A transaction was committed here at `lsn`; it is not known to be durable elsewhere.
    pub fn hold(&mut self, lsn: Lsn, tx: TxId) {
        if !Mutant::NoHold.is_on() {
            self.holds.insert(lsn, tx);
        }
    }

    /// A transaction is durable at all its participants; returns where it was held.
    pub fn settle(&mut self, tx: TxId) -> Lsn {
        let lsn = self.holds.iter().find(|(_, held)| **held == tx).map(|(lsn, _)| *lsn);
        // A checkpoint may have made the hold needless and dropped it.
        lsn.inspect(|lsn| {
            self.holds.remove(lsn);
        })
        .unwrap_or_default()
    }

    /// The policy alone: is the effect at `lsn` as safe as the policy asks, transactions apart?
    pub fn is_safe(&self, lsn: Lsn) -> bool {
        match self.promise {
            Promise::Nothing => true,
            Promise::Written => lsn <= self.written,
            Promise::Synced => lsn <= self.synced,
        }
    }

    /// Can the part of a transaction that was committed at `lsn` be lost no more, unless another
    /// participant loses its own?
    pub fn is_safe_part(&self, lsn: Lsn) -> bool {
        let first = self.holds.range(..lsn).next().is_none();
        self.is_safe(lsn) && (first || Mutant::LooseChain.is_on())
    }

    /// Is a transaction held that was committed after `lsn`?
    pub fn holds_after(&self, lsn: Lsn) -> bool {
        self.holds.range(lsn.next()..).next().is_some()
    }

    /// May a reply that depends on the effects up to `requires` leave?
    pub fn release(&self, requires: Lsn) -> Release {
        let held = self.holds.first_key_value().is_some_and(|(first, _)| *first <= requires);
        match (self.is_safe(requires), held, self.broken) {
            (true, false, _) => Release::Now,
            (_, _, true) => Release::Refuse,
            (_, _, false) => Release::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_decides_what_is_waited_for() {
        for (promise, written, synced, requires, expected) in [
            (Promise::Nothing, 0, 0, 9, Release::Now),
            (Promise::Written, 4, 0, 5, Release::Wait),
            (Promise::Written, 5, 0, 5, Release::Now),
            (Promise::Synced, 5, 4, 5, Release::Wait),
            (Promise::Synced, 5, 5, 5, Release::Now),
            (Promise::Synced, 0, 0, 0, Release::Now),
        ] {
            let mut gate = Gate::new(promise, Lsn(0));
            gate.wrote(Lsn(written));
            gate.synced(Lsn(synced));
            assert_eq!(gate.release(Lsn(requires)), expected, "{promise:?} {written} {synced}");
        }
    }

    #[test]
    fn a_held_transaction_holds_what_follows_it_and_nothing_before() {
        let mut gate = Gate::new(Promise::Written, Lsn(10));
        gate.hold(Lsn(7), TxId(1));
        gate.hold(Lsn(9), TxId(2));
        assert_eq!(gate.release(Lsn(6)), Release::Now);
        assert_eq!(gate.release(Lsn(7)), Release::Wait);
        assert!(gate.is_safe_part(Lsn(7)) && !gate.is_safe_part(Lsn(9)));
        assert!(gate.holds_after(Lsn(8)) && !gate.holds_after(Lsn(9)));
        gate.settle(TxId(2));
        assert_eq!(gate.release(Lsn(10)), Release::Wait);
        gate.settle(TxId(1));
        assert_eq!(gate.release(Lsn(10)), Release::Now);
    }

    #[test]
    fn a_broken_log_refuses_what_is_not_safe_until_it_is_healed() {
        let mut gate = Gate::new(Promise::Synced, Lsn(5));
        gate.wrote(Lsn(8));
        gate.break_log();
        assert_eq!(gate.release(Lsn(5)), Release::Now);
        assert_eq!(gate.release(Lsn(6)), Release::Refuse);
        gate.heal(Lsn(8));
        assert_eq!(gate.release(Lsn(8)), Release::Now);
        assert_eq!(gate.release(Lsn(9)), Release::Wait);
    }
}
