//! How long a turn stays in the kernel: what is decided before it is done.

use std::time::Duration;

use crate::limits::{RING_BREATH, RING_ENTRIES, RING_NAP};

/// What a core has to do besides what its ring brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Nothing: it may sleep.
    Nothing,
    /// Slices of long work for which nobody waits (a snapshot, freeing).
    Slices,
    /// Something that somebody waits for.
    Now,
}

/// How long a pass stays in the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// No longer than it takes; some work may be put off.
    Now,
    /// Until there is an event, at most for `RING_BREATH`.
    Breath,
    /// Until there is an event, at most for `RING_NAP`.
    Event,
    /// Until no work is left that could make an event now.
    Quiet,
}

impl Until {
    /// For how many events a pass waits, and for how long.
    pub fn bounds(self) -> (usize, Duration) {
        match self {
            Until::Now => (0, Duration::ZERO),
            Until::Breath => (1, RING_BREATH),
            Until::Event => (1, RING_NAP),
            Until::Quiet => (RING_ENTRIES as usize * 4, Duration::ZERO),
        }
    }
}

/// What becomes of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// One pass, and the work goes on.
    Pass(Until),
    /// It may nap, and then sleep.
    Nap,
}

/// Decides about a turn while the kernel is doing so many syncs.
///
/// A sync is done by threads of the kernel that live on this processor, the file system's among
/// them. To a core that never sleeps they come when the scheduler's tick says so, and a sync takes
/// several of them: 5.7 ms where it takes 0.2 otherwise. (Giving the processor up without sleeping
/// does not help: that is only for threads of the same group of the scheduler.) So long work, which
/// is in no hurry, leaves the processor between two slices.
pub fn stay(work: Due, syncing: u32) -> Stay {
    match (work, syncing) {
        (Due::Nothing, _) => Stay::Nap,
        (Due::Now, _) | (Due::Slices, 0) => Stay::Pass(Until::Now),
        (Due::Slices, _) => Stay::Pass(Until::Breath),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_work_makes_room_for_a_sync() {
        for (work, syncing, expected) in [
            (Due::Nothing, 0, Stay::Nap),
            (Due::Nothing, 1, Stay::Nap),
            (Due::Slices, 0, Stay::Pass(Until::Now)),
            (Due::Slices, 1, Stay::Pass(Until::Breath)),
            (Due::Now, 0, Stay::Pass(Until::Now)),
            (Due::Now, 1, Stay::Pass(Until::Now)),
        ] {
            assert_eq!(stay(work, syncing), expected, "{work:?} {syncing}");
        }
    }
}
