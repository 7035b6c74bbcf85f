//! A thread that watches the server's processes while a load runs.
//!
//! CPU, resident pages and bytes written are counters that the kernel keeps: reading them is
//! cheap and disturbs nobody. The proportional set size is not: the kernel walks all page tables
//! of the process, some 10 ms for each GiB of small pages, holding the lock of its address space,
//! which a fork or an mmap then waits for, and on the core of whoever asks. So it is read only
//! where memory is what is measured (`Look::Memory`; latencies of such a run are not used), at
//! most a tenth of the time, and never while a snapshot is being started.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::proc;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Counters only.
    Counters,
    /// The proportional set size too.
    Memory,
}

/// One look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Nanoseconds since the sampler was started.
    pub at: u64,
    /// Seconds of CPU of the tree so far.
    pub cpu: f64,
    /// Bytes that the tree has had written to devices so far.
    pub written: u64,
    /// Seconds that the host has taken from the servers' processors so far.
    pub stolen: f64,
    /// Resident bytes of the server's own process.
    pub resident: u64,
    /// Proportional bytes of the whole tree, when it was read.
    pub pss: Option<u64>,
}

/// Between two looks at counters.
const PERIOD: Duration = Duration::from_millis(50);
/// Between two readings of the proportional set size, unless that takes long.
const PSS_PERIOD: Duration = Duration::from_millis(100);
/// The share of the time that reading it may take.
const PSS_SHARE: u32 = 10;
/// Samples that are kept: an hour and a half.
const SAMPLES_MAX: usize = 108_000;

struct Shared {
    stop: AtomicBool,
    hold: AtomicBool,
    samples: Mutex<Vec<Sample>>,
}

/// The thread; it ends with this value.
pub struct Sampler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Watches a process and its children, and their cores. `begin` is what times are counted from.
    pub fn start(
        root: u32,
        cores: &[usize],
        look: Look,
        begin: Instant,
    ) -> Result<Sampler, String> {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            hold: AtomicBool::new(false),
            samples: Mutex::new(Vec::new()),
        });
        let (own, cores) = (Arc::clone(&shared), cores.to_vec());
        let thread = std::thread::Builder::new()
            .name("sampler".to_owned())
            .spawn(move || watch(root, &cores, look, begin, &own))
            .map_err(|error| format!("no thread for the sampler: {error}"))?;
        Ok(Sampler { shared, thread: Some(thread) })
    }

    /// From now on no page tables are walked, until `release`.
    pub fn hold(&self) {
        self.shared.hold.store(true, Ordering::Relaxed);
    }

    /// They may be walked again.
    pub fn release(&self) {
        self.shared.hold.store(false, Ordering::Relaxed);
    }

    /// Ends the thread; what it has seen.
    pub fn finish(mut self) -> Vec<Sample> {
        self.end();
        let mut samples = self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *samples)
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

fn watch(root: u32, cores: &[usize], look: Look, begin: Instant, shared: &Shared) {
    let mut next_pss = begin;
    while !shared.stop.load(Ordering::Relaxed) {
        let now = Instant::now();
        let mut pss = None;
        if look == Look::Memory && now >= next_pss && !shared.hold.load(Ordering::Relaxed) {
            pss = Some(proc::pss(root)).filter(|bytes| *bytes > 0);
            next_pss = now + (now.elapsed() * PSS_SHARE).max(PSS_PERIOD);
        }
        let sample = Sample {
            at: u64::try_from(begin.elapsed().as_nanos()).unwrap_or(u64::MAX),
            cpu: proc::cpu_seconds(root),
            written: proc::written(root),
            stolen: proc::stolen_seconds(cores),
            resident: proc::resident(root),
            pss,
        };
        let mut samples = shared.samples.lock().unwrap_or_else(PoisonError::into_inner);
        // A process that has ended says nothing more.
        if samples.len() < SAMPLES_MAX && sample.resident > 0 {
            samples.push(sample);
        }
        drop(samples);
        std::thread::sleep(PERIOD);
    }
}

/// What a counter has grown by between two moments, by the samples nearest to them.
pub fn growth(samples: &[Sample], from: u64, to: u64, counter: fn(&Sample) -> f64) -> f64 {
    let at = |moment: u64| {
        samples.iter().min_by_key(|sample| sample.at.abs_diff(moment)).map_or(0.0, counter)
    };
    (at(to) - at(from)).max(0.0)
}

/// The most memory between two moments beyond what there was right before the first.
pub fn extra_memory(samples: &[Sample], from: u64, to: u64) -> Option<u64> {
    let pss = |sample: &Sample| sample.pss.map(|bytes| (sample.at, bytes));
    let (_, before) = samples.iter().filter_map(pss).rfind(|(at, _)| *at <= from)?;
    let during = samples.iter().filter_map(pss).filter(|(at, _)| (from..=to).contains(at));
    Some(during.map(|(_, bytes)| bytes).max()?.saturating_sub(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: u64, cpu: f64, pss: Option<u64>) -> Sample {
        Sample { at, cpu, written: 0, stolen: 0.0, resident: 1, pss }
    }

    #[test]
    fn growth_and_extra_memory() {
        let samples = [
            sample(0, 1.0, Some(100)),
            sample(50, 1.5, None),
            sample(100, 2.0, Some(170)),
            sample(150, 2.5, Some(140)),
            sample(200, 3.0, Some(900)),
        ];
        assert_eq!(growth(&samples, 45, 160, |sample| sample.cpu), 1.0);
        assert_eq!(extra_memory(&samples, 60, 160), Some(70));
        assert_eq!(extra_memory(&samples, 120, 160), Some(0));
        assert_eq!(extra_memory(&samples[1..2], 0, 100), None);
        assert_eq!(growth(&[], 0, 1, |sample| sample.cpu), 0.0);
    }

    #[test]
    fn this_process_is_watched() {
        let sampler = Sampler::start(std::process::id(), &[0], Look::Memory, Instant::now());
        std::thread::sleep(Duration::from_millis(150));
        let samples = sampler.expect("a thread").finish();
        assert!(samples.len() >= 2 && samples[0].pss > Some(100_000), "{samples:?}");
    }
}
