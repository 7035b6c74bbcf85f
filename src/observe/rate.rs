//! What "per second" means in INFO: the mean over the last 16 samples, as in Redis.

use crate::base::time::Millis;

const SAMPLES: usize = 16;

/// The rate of one growing total, sampled about every 100 ms.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    samples: [u64; SAMPLES],
    next: usize,
    last: Option<(Millis, u64)>,
}

impl Rate {
    /// Takes a sample of the total.
    pub fn sample(&mut self, now: Millis, total: u64) {
        let (before, base) = self.last.replace((now, total)).unwrap_or((now, total));
        let millis = now.0.saturating_sub(before.0);
        if millis == 0 {
            return;
        }
        // After CONFIG RESETSTAT the total is below the base.
        let grown = u128::from(total.saturating_sub(base)) * 1000 / u128::from(millis);
        if let Some(slot) = self.samples.get_mut(self.next) {
            *slot = u64::try_from(grown).unwrap_or(u64::MAX);
        }
        self.next = (self.next + 1) % SAMPLES;
    }

    /// The mean of the last samples.
    pub fn per_second(&self) -> u64 {
        let sum: u128 = self.samples.iter().copied().map(u128::from).sum();
        u64::try_from(sum / SAMPLES as u128).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_found_and_forgotten() {
        let mut rate = Rate::default();
        for tick in 0..=16 {
            rate.sample(Millis(5_000 + tick * 100), tick * 50);
        }
        assert_eq!(rate.per_second(), 500);
        for tick in 17..=24 {
            rate.sample(Millis(5_000 + tick * 100), 800);
        }
        assert_eq!(rate.per_second(), 250);
        rate.sample(Millis(7_400), 800);
        rate.sample(Millis(7_500), 0);
        assert!(rate.per_second() < 250);
    }
}
