//! Durations of one command: a histogram from 1 ns to 1 s with two significant digits.

use hdrhistogram::Histogram;

const LOWEST: u64 = 1;
const HIGHEST: u64 = 1_000_000_000;
const DIGITS: u8 = 2;
/// LATENCY HISTOGRAM's first bucket, in nanoseconds; each further one is twice as wide.
const FIRST_BUCKET: u64 = 1024;

/// A histogram of durations; it takes memory when the first one is recorded.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    nanos: Option<Box<Histogram<u64>>>,
}

impl Latency {
    /// Counts one duration; what is longer than a second counts as a second.
    pub fn record(&mut self, nanos: u64, count: u64) {
        let histogram = self.nanos.get_or_insert_with(|| Box::new(empty()));
        histogram.saturating_record_n(nanos.max(LOWEST), count);
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        self.nanos.as_ref().map_or(0, |histogram| histogram.len())
    }

    /// The duration, in microseconds, that `percentile` percent do not exceed.
    pub fn percentile(&self, percentile: f64) -> f64 {
        let nanos = self.nanos.as_ref().map_or(0, |nanos| nanos.value_at_percentile(percentile));
        nanos as f64 / 1000.0
    }

    /// LATENCY HISTOGRAM: upper bounds in microseconds and how many durations are below each;
    /// buckets that add nothing are left out.
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let Some(histogram) = &self.nanos else { return Vec::new() };
        let mut total = 0;
        let mut buckets = Vec::new();
        for step in histogram.iter_log(FIRST_BUCKET, 2.0) {
            if step.count_since_last_iteration() > 0 {
                total += step.count_since_last_iteration();
                buckets.push((step.value_iterated_to() / 1000, total));
            }
        }
        buckets
    }

    /// Adds what another core has recorded.
    pub fn merge(&mut self, other: &Latency) {
        let Some(other) = &other.nanos else { return };
        match &mut self.nanos {
            Some(histogram) => histogram.add(&**other).expect("all have the same bounds"),
            None => self.nanos = Some(other.clone()),
        }
    }
}

fn empty() -> Histogram<u64> {
    Histogram::new_with_bounds(LOWEST, HIGHEST, DIGITS).expect("the bounds are valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_one_percent() {
        let mut latency = Latency::default();
        for nanos in 1..=100_000 {
            latency.record(nanos, 1);
        }
        assert_eq!(latency.count(), 100_000);
        for (percentile, micros) in [(50.0, 50.0), (99.0, 99.0), (99.9, 99.9), (100.0, 100.0)] {
            let found = latency.percentile(percentile);
            assert!((found / micros - 1.0f64).abs() < 0.01, "p{percentile}: {found}");
        }
    }

    #[test]
    fn extremes_are_counted() {
        let mut latency = Latency::default();
        assert_eq!((latency.percentile(50.0), latency.buckets()), (0.0, vec![]));
        latency.record(0, 1);
        latency.record(u64::MAX, 1);
        assert_eq!(latency.count(), 2);
        assert!(latency.percentile(100.0) >= 1_000_000.0);
    }

    #[test]
    fn merging_is_recording_in_one() {
        let (mut one, mut other, mut both) = <(Latency, Latency, Latency)>::default();
        for nanos in [100, 2_000, 3_000_000] {
            one.record(nanos, 1);
            both.record(nanos, 1);
        }
        for nanos in [500, 60_000] {
            other.record(nanos, 1);
            both.record(nanos, 1);
        }
        let mut into_empty = Latency::default();
        into_empty.merge(&one);
        into_empty.merge(&Latency::default());
        into_empty.merge(&other);
        assert_eq!(into_empty.buckets(), both.buckets());
        assert_eq!(both.buckets().last().map(|bucket| bucket.1), Some(5));
        assert_eq!(both.buckets().first(), Some(&(1, 2)));
    }
}
