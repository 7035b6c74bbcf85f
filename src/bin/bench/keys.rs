//! Which key comes next: all alike, some far more often than others, or one after another.

use basalt::base::prng::Prng;

/// How the keys of a population are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Distribution {
    /// Every key with the same probability
    Uniform,
    /// Few keys most of the time (see --skew), spread over the key space
    Zipf,
    /// One after another, and again from the first
    Sequential,
}

/// A population of keys, numbered from 0, and how they are drawn from it.
#[derive(Clone, Debug)]
pub struct Keys {
    count: u64,
    draw: Draw,
}

#[derive(Clone, Debug)]
enum Draw {
    Uniform,
    Sequential(u64),
    /// The same key so many times in a row, then the next one: (draws so far, times).
    Slow(u64, u64),
    Zipf(Zipf),
}

/// An odd prime beyond any population here, so that rank times it, modulo the population, is a
/// permutation: the hot keys do not lie side by side.
const SPREAD: u64 = 4_294_967_291;

impl Keys {
    /// One after another.
    pub fn sequential(count: u64) -> Keys {
        Keys { count: count.max(1), draw: Draw::Sequential(0) }
    }

    /// One after another, each of them `times` in a row.
    pub fn slow(count: u64, times: u64) -> Keys {
        Keys { count: count.max(1), draw: Draw::Slow(0, times.max(1)) }
    }

    /// As the options say.
    pub fn new(distribution: Distribution, count: u64, skew: f64) -> Keys {
        let draw = match distribution {
            Distribution::Uniform => Draw::Uniform,
            Distribution::Sequential => Draw::Sequential(0),
            Distribution::Zipf => Draw::Zipf(Zipf::new(count.max(1), skew)),
        };
        Keys { count: count.max(1), draw }
    }

    /// The number of the next key, below `count`.
    pub fn next(&mut self, prng: &mut Prng) -> u64 {
        match &mut self.draw {
            Draw::Uniform => prng.below(self.count),
            Draw::Sequential(next) => {
                let this = *next;
                *next = if this + 1 == self.count { 0 } else { this + 1 };
                this
            }
            Draw::Slow(drawn, times) => {
                *drawn += 1;
                (*drawn - 1) / *times % self.count
            }
            Draw::Zipf(zipf) => {
                let rank = zipf.rank(prng) - 1;
                (u128::from(rank) * u128::from(SPREAD) % u128::from(self.count)) as u64
            }
        }
    }
}

/// Ranks from 1 to n, rank k with a weight of k^-s.
///
/// Rejection-inversion: the weights are covered by the integral of x^-s over intervals of length
/// one; a point under that curve is drawn by inverting the integral, rounded to a rank, and kept
/// if it lies below that rank's weight. No table, whatever n is; most draws are kept.
#[derive(Clone, Debug)]
struct Zipf {
    n: u64,
    skew: f64,
    /// The integral at the left end of the first interval, minus what rank 1 has too much.
    low: f64,
    /// The integral at the right end of the last interval.
    high: f64,
}

impl Zipf {
    fn new(n: u64, skew: f64) -> Zipf {
        let mut zipf = Zipf { n, skew, low: 0.0, high: 0.0 };
        zipf.low = zipf.integral(1.5) - 1.0;
        zipf.high = zipf.integral(n as f64 + 0.5);
        zipf
    }

    /// The integral of x^-s from 1 to x.
    fn integral(&self, x: f64) -> f64 {
        let t = 1.0 - self.skew;
        let ln = x.ln();
        if t.abs() < 1e-9 { ln } else { (t * ln).exp_m1() / t }
    }

    /// The x whose integral this is.
    fn inverse(&self, area: f64) -> f64 {
        let t = 1.0 - self.skew;
        if t.abs() < 1e-9 { area.exp() } else { ((area * t).ln_1p() / t).exp() }
    }

    fn rank(&self, prng: &mut Prng) -> u64 {
        loop {
            let unit = (prng.next() >> 11) as f64 / (1_u64 << 53) as f64;
            let area = self.low + unit * (self.high - self.low);
            let rank = (self.inverse(area).round() as u64).clamp(1, self.n);
            let weight = (rank as f64).powf(-self.skew);
            if area >= self.integral(rank as f64 + 0.5) - weight {
                return rank;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_and_sequential_cover_everything() {
        let mut prng = Prng::new(1);
        let mut keys = Keys::sequential(3);
        let drawn: Vec<u64> = (0..5).map(|_| keys.next(&mut prng)).collect();
        assert_eq!(drawn, [0, 1, 2, 0, 1]);
        let mut keys = Keys::slow(2, 3);
        let drawn: Vec<u64> = (0..8).map(|_| keys.next(&mut prng)).collect();
        assert_eq!(drawn, [0, 0, 0, 1, 1, 1, 0, 0]);
        let mut keys = Keys::new(Distribution::Uniform, 7, 0.0);
        let mut seen = [0; 7];
        for _ in 0..7_000 {
            seen[keys.next(&mut prng) as usize] += 1;
        }
        assert!(seen.iter().all(|count| (800..1200).contains(count)), "{seen:?}");
    }

    #[test]
    fn zipf_has_the_weights_it_should() {
        for skew in [0.5, 0.99, 1.0, 1.3] {
            const DRAWS: usize = 400_000;
            let zipf = Zipf::new(1000, skew);
            let mut prng = Prng::new(3);
            let mut seen = vec![0_u32; 1001];
            for _ in 0..DRAWS {
                seen[zipf.rank(&mut prng) as usize] += 1;
            }
            let sum: f64 = (1..=1000).map(|k| f64::from(k).powf(-skew)).sum();
            for rank in [1, 2, 3, 10, 100] {
                let expected = f64::from(rank).powf(-skew) / sum * DRAWS as f64;
                let off = (f64::from(seen[rank as usize]) - expected).abs();
                assert!(off < 5.0 * expected.sqrt() + 1.0, "{skew} {rank}: {off} of {expected}");
            }
        }
    }

    #[test]
    fn hot_keys_are_spread() {
        let mut prng = Prng::new(5);
        let mut keys = Keys::new(Distribution::Zipf, 1_000_000, 0.99);
        assert!((0..1000).all(|_| keys.next(&mut prng) < 1_000_000));
        let one = Keys::new(Distribution::Zipf, 1, 0.99).next(&mut prng);
        assert_eq!(one, 0);
        // A permutation: no two ranks meet.
        let n = 1000_u64;
        let mut at: Vec<u64> = (0..n).map(|rank| rank * SPREAD % n).collect();
        at.sort_unstable();
        assert!(at.iter().copied().eq(0..n));
    }
}
