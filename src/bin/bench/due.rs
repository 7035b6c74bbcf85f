//! When the next request is due: the clock of an open loop, whatever the server does.

use basalt::base::prng::Prng;

/// How far apart due times are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spacing {
    /// All alike.
    Fixed,
    /// As of many clients that know nothing of each other: exponential gaps of the same mean.
    Poisson,
}

/// Due times in nanoseconds since the start, ascending.
#[derive(Clone, Debug)]
pub struct Schedule {
    spacing: Spacing,
    /// The mean gap. A fraction, so that no rate drifts.
    gap: f64,
    next: f64,
    prng: Prng,
}

impl Schedule {
    /// So many due times a second; the first one is a gap away.
    pub fn new(spacing: Spacing, per_second: f64, seed: u64) -> Schedule {
        let gap = 1e9 / per_second;
        let mut schedule = Schedule { spacing, gap, next: 0.0, prng: Prng::new(seed) };
        schedule.advance();
        schedule
    }

    /// The next due time; it stays the same until `advance`.
    pub fn next(&self) -> u64 {
        self.next as u64
    }

    /// Goes on to the one after it.
    pub fn advance(&mut self) {
        self.next += match self.spacing {
            Spacing::Fixed => self.gap,
            Spacing::Poisson => {
                // Above zero, so that the logarithm is finite.
                let unit = ((self.prng.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64;
                -unit.ln() * self.gap
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_times_do_not_drift() {
        let mut schedule = Schedule::new(Spacing::Fixed, 3000.0, 1);
        assert_eq!(schedule.next(), 333_333);
        for _ in 0..299_999 {
            schedule.advance();
        }
        assert!(schedule.next().abs_diff(100_000_000_000) < 1000, "{}", schedule.next());
    }

    #[test]
    fn poisson_has_the_mean_and_the_spread() {
        let mut schedule = Schedule::new(Spacing::Poisson, 10_000.0, 2);
        let (mut last, mut squares) = (schedule.next(), 0.0);
        const COUNT: u64 = 200_000;
        for _ in 0..COUNT {
            schedule.advance();
            let gap = (schedule.next() - last) as f64;
            squares += gap * gap;
            last = schedule.next();
        }
        let mean = last as f64 / (COUNT + 1) as f64;
        assert!((mean - 100_000.0).abs() < 1000.0, "{mean}");
        // The mean square of an exponential is twice the square of its mean.
        let ratio = squares / COUNT as f64 / (mean * mean);
        assert!((1.9..2.1).contains(&ratio), "{ratio}");
    }
}
