//! Was the generator itself what limited the figures?

use hdrhistogram::Histogram;

use crate::engine::Tally;

/// What the generator knows of itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Own {
    /// The share of its time in which it had something to do, from 0 to 1.
    pub busy: f64,
    /// How late it was with 99 % of the requests, in microseconds.
    pub late_p99: u64,
    /// The most that it was late, in microseconds.
    pub late_max: u64,
    /// The 99th percentile of what it measured, in microseconds.
    pub latency_p99: u64,
}

/// How far the figures can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are the server's.
    Fine,
    /// The generator had no time left: the server could do more than this.
    Saturated,
    /// It asked too late too often: part of the latency is its own.
    Late,
}

/// A thread that is busier than this has no reserve for a burst.
const BUSY_MAX: f64 = 0.9;
/// Lateness that does not matter whatever the latency is, in microseconds.
const LATE_FREE: u64 = 50;

/// Decides.
pub fn judge(own: &Own) -> Verdict {
    if own.busy > BUSY_MAX {
        return Verdict::Saturated;
    }
    if own.late_p99 > LATE_FREE && own.late_p99 * 5 > own.latency_p99 {
        return Verdict::Late;
    }
    Verdict::Fine
}

impl Own {
    /// From what was measured in `nanos`.
    pub fn of(tally: &Tally, late: &Histogram<u64>, latency: &Histogram<u64>, nanos: u64) -> Own {
        Own {
            busy: tally.busy as f64 / nanos.max(1) as f64,
            late_p99: late.value_at_quantile(0.99),
            late_max: late.max(),
            latency_p99: latency.value_at_quantile(0.99),
        }
    }

    /// One line for a person.
    pub fn tell(&self) -> String {
        let verdict = match judge(self) {
            Verdict::Fine => "it was not the bottleneck",
            Verdict::Saturated => "IT WAS THE BOTTLENECK: the server could do more than this",
            Verdict::Late => "IT WAS LATE: part of these latencies is its own",
        };
        format!(
            "generator: busy {:.0} % of a core, late by {} us at p99 and {} us at most: {verdict}",
            self.busy * 100.0,
            self.late_p99,
            self.late_max
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let fine = Own { busy: 0.5, late_p99: 20, late_max: 9000, latency_p99: 60 };
        assert_eq!(judge(&fine), Verdict::Fine);
        assert_eq!(judge(&Own { busy: 0.95, ..fine }), Verdict::Saturated);
        assert_eq!(judge(&Own { late_p99: 60, ..fine }), Verdict::Late);
        assert_eq!(judge(&Own { late_p99: 60, latency_p99: 5000, ..fine }), Verdict::Fine);
        assert!(Own { busy: 0.95, ..fine }.tell().contains("BOTTLENECK"));
    }
}
