//! How far something is whose size is known: its rate and the time that is left.

use std::fmt;
use std::time::Duration;

/// So much of so much, in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is counted.
    pub of: &'static str,
    /// How much is done.
    pub done: u64,
    /// How much it will be.
    pub total: u64,
    /// Since it began.
    pub elapsed: Duration,
}

impl Progress {
    /// How much a second, so far.
    pub fn rate(&self) -> u64 {
        let millis = self.elapsed.as_millis().max(1);
        u64::try_from(u128::from(self.done) * 1000 / millis).unwrap_or(u64::MAX)
    }

    /// Seconds that are left at that rate, rounded up; nothing before the first step.
    pub fn seconds_left(&self) -> Option<u64> {
        let left = u128::from(self.total.saturating_sub(self.done)) * self.elapsed.as_millis();
        match self.done {
            0 => None,
            done => u64::try_from(left.div_ceil(u128::from(done) * 1000)).ok(),
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { of, done, total, elapsed } = self;
        let percent = u128::from(*done) * 100 / u128::from(*total).max(1);
        let rate = self.rate();
        write!(out, "{percent}% ({done} of {total} {of}) in {:.0} s, ", elapsed.as_secs_f64())?;
        match self.seconds_left() {
            Some(left) => write!(out, "{rate} {of} a second, {left} s left"),
            None => write!(out, "just begun"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_rest() {
        let at = |done, total, seconds| Progress {
            of: "keys",
            done,
            total,
            elapsed: Duration::from_secs(seconds),
        };
        for (progress, text) in [
            (at(0, 100, 0), "0% (0 of 100 keys) in 0 s, just begun"),
            (at(25, 100, 5), "25% (25 of 100 keys) in 5 s, 5 keys a second, 15 s left"),
            (at(99, 100, 99), "99% (99 of 100 keys) in 99 s, 1 keys a second, 1 s left"),
            (at(100, 100, 3), "100% (100 of 100 keys) in 3 s, 33 keys a second, 0 s left"),
            // More than was announced: writers have added to it.
            (at(120, 100, 3), "120% (120 of 100 keys) in 3 s, 40 keys a second, 0 s left"),
            (at(0, 0, 1), "0% (0 of 0 keys) in 1 s, just begun"),
        ] {
            assert_eq!(progress.to_string(), text);
        }
        assert_eq!(at(u64::MAX, u64::MAX, u64::MAX / 2000).seconds_left(), Some(0));
    }
}
