//! The global epoch and the gate that keeps it still while a transaction is being applied.
//!
//! One word: the top bit says that an advance is waiting, the rest counts the transactions inside
//! the gate. An advance sets the bit (nobody enters any more), waits until the count is zero, then
//! raises the epoch and clears the bit. Single-shard commands never come here; they only load the
//! epoch, which is valid: a later load never sees less, so whatever was acknowledged before a
//! command was sent has an epoch that is not above the command's.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::ids::Epoch;

const ADVANCING: u64 = 1 << 63;

/// The epoch of the whole server.
#[derive(Debug)]
pub struct Epochs {
    epoch: AtomicU64,
    gate: AtomicU64,
}

impl Epochs {
    /// Starts at `epoch`.
    pub fn new(epoch: Epoch) -> Epochs {
        Epochs { epoch: AtomicU64::new(epoch.0), gate: AtomicU64::new(0) }
    }

    /// The epoch now.
    pub fn now(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Starts at another epoch: what recovery has found. Nobody else is there yet.
    pub fn start_at(&self, epoch: Epoch) {
        self.epoch.fetch_max(epoch.0, Ordering::AcqRel);
    }

    /// Tries to enter the gate; not while an advance waits.
    pub fn try_enter(&self) -> bool {
        self.gate
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
                (word & ADVANCING == 0).then_some(word + 1)
            })
            .is_ok()
    }

    /// Leaves the gate.
    pub fn leave(&self) {
        let before = self.gate.fetch_sub(1, Ordering::AcqRel);
        assert!(before & !ADVANCING > 0, "left the gate without having entered");
    }

    /// Announces an advance. Only one coordinator advances.
    pub fn announce(&self) {
        self.gate.fetch_or(ADVANCING, Ordering::AcqRel);
    }

    /// Once nobody is inside: raises the epoch, opens the gate again and returns the new epoch.
    pub fn try_advance(&self) -> Option<Epoch> {
        if self.gate.load(Ordering::Acquire) != ADVANCING {
            return None;
        }
        let epoch = self.epoch.fetch_add(1, Ordering::AcqRel) + 1;
        self.gate.fetch_and(!ADVANCING, Ordering::AcqRel);
        Some(Epoch(epoch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advance_waits_for_those_inside_and_keeps_others_out() {
        let epochs = Epochs::new(Epoch(4));
        assert!(epochs.try_enter());
        epochs.announce();
        assert!(!epochs.try_enter());
        assert_eq!(epochs.try_advance(), None);
        epochs.leave();
        assert_eq!(epochs.try_advance(), Some(Epoch(5)));
        assert_eq!(epochs.now(), Epoch(5));
        assert!(epochs.try_enter());
    }
}
