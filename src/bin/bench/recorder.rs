//! What a load has measured: latencies by phase, the maximum of each 10 ms, the longest silence.

use hdrhistogram::Histogram;

/// Does a request change anything?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It looks.
    Read,
    /// It changes.
    Write,
}

/// A slot of the picture over time.
pub const SLOT_NANOS: u64 = 10_000_000;
/// Slots that are kept: the picture of an hour and a half. Later ones are left out of it.
const SLOTS_MAX: usize = 540_000;

/// One slot: requests that were due in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The longest latency, in microseconds.
    pub max_us: u32,
    /// How many were answered.
    pub count: u32,
    /// How late the generator itself was at most, in microseconds.
    pub late_us: u32,
}

/// A histogram of microseconds, from 1 us to 60 s, with three digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("bounds that are in order")
}

/// A stretch of the load that is judged by itself.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Nanoseconds since the start of the load.
    pub start: u64,
    /// Latencies of requests that look and were due in it, in microseconds.
    pub reads: Histogram<u64>,
    /// The same of requests that change something.
    pub writes: Histogram<u64>,
    /// The longest time in which somebody waited and nothing was answered, in nanoseconds.
    pub silence: u64,
}

impl Phase {
    fn new(start: u64) -> Phase {
        Phase { start, reads: histogram(), writes: histogram(), silence: 0 }
    }

    /// Latencies of both classes.
    pub fn all(&self) -> Histogram<u64> {
        let mut all = self.reads.clone();
        all.add(&self.writes).expect("the same bounds");
        all
    }
}

/// Takes what the engine sees. Times are nanoseconds since the start of the load.
#[derive(Clone, Debug)]
pub struct Recorder {
    phases: Vec<Phase>,
    slots: Vec<Slot>,
    late: Histogram<u64>,
    /// How many requests are out, and since when nothing has been answered.
    out: u64,
    silent_since: u64,
}

impl Recorder {
    /// With one phase that begins at once.
    pub fn new() -> Recorder {
        let phases = vec![Phase::new(0)];
        Recorder { phases, slots: Vec::new(), late: histogram(), out: 0, silent_since: 0 }
    }

    /// Requests due from now on belong to a new phase.
    pub fn begin_phase(&mut self, now: u64) {
        self.phases.push(Phase::new(now));
    }

    /// A request that was due at `due` goes on its way now.
    pub fn issued(&mut self, now: u64, due: u64) {
        let late = now.saturating_sub(due) / 1000;
        self.late.saturating_record(late);
        if let Some(slot) = self.slot(due) {
            slot.late_us = slot.late_us.max(clamp(late));
        }
        if self.out == 0 {
            self.silent_since = now;
        }
        self.out += 1;
    }

    /// Its reply is here.
    pub fn answered(&mut self, now: u64, due: u64, class: Class) {
        let latency = now.saturating_sub(due) / 1000;
        let silence = now.saturating_sub(self.silent_since);
        self.silent_since = now;
        self.out = self.out.saturating_sub(1);
        if let Some(slot) = self.slot(due) {
            slot.max_us = slot.max_us.max(clamp(latency));
            slot.count += 1;
        }
        if let Some(phase) = self.phases.last_mut() {
            phase.silence = phase.silence.max(silence);
        }
        let phase = self.phases.iter_mut().rev().find(|phase| phase.start <= due);
        if let Some(phase) = phase {
            match class {
                Class::Read => phase.reads.saturating_record(latency),
                Class::Write => phase.writes.saturating_record(latency),
            }
        }
    }

    fn slot(&mut self, due: u64) -> Option<&mut Slot> {
        let at = usize::try_from(due / SLOT_NANOS).unwrap_or(usize::MAX);
        if at >= self.slots.len() && at < SLOTS_MAX {
            self.slots.resize(at + 1, Slot::default());
        }
        self.slots.get_mut(at)
    }

    /// The phases, in order.
    pub fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// One for each 10 ms from the start.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// How late the generator was, in microseconds.
    pub fn late(&self) -> &Histogram<u64> {
        &self.late
    }
}

fn clamp(us: u64) -> u32 {
    u32::try_from(us).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn slots_hold_the_maximum_of_what_was_due_in_them() {
        let mut recorder = Recorder::new();
        for (due, now) in [(MS, 2 * MS), (2 * MS, 9 * MS), (25 * MS, 26 * MS)] {
            recorder.issued(due + 5_000, due);
            recorder.answered(now, due, Class::Read);
        }
        let slots = recorder.slots();
        assert_eq!(slots[0], Slot { max_us: 7000, count: 2, late_us: 5 });
        assert_eq!(slots[1], Slot::default());
        assert_eq!(slots[2], Slot { max_us: 1000, count: 1, late_us: 5 });
        assert_eq!(slots.len(), 3);
    }

    #[test]
    fn a_request_counts_in_the_phase_that_it_was_due_in() {
        let mut recorder = Recorder::new();
        recorder.issued(MS, MS);
        recorder.begin_phase(2 * MS);
        recorder.issued(3 * MS, 3 * MS);
        recorder.answered(10 * MS, MS, Class::Read);
        recorder.answered(10 * MS, 3 * MS, Class::Write);
        let [first, second] = recorder.phases() else { panic!("two phases") };
        assert_eq!((first.reads.len(), first.writes.len()), (1, 0));
        assert_eq!((second.reads.len(), second.writes.len()), (0, 1));
        assert_eq!(first.all().max() / 10, 900);
    }

    #[test]
    fn silence_counts_only_while_somebody_waits() {
        let mut recorder = Recorder::new();
        recorder.issued(MS, MS);
        recorder.answered(2 * MS, MS, Class::Read);
        recorder.issued(90 * MS, 90 * MS);
        recorder.answered(93 * MS, 90 * MS, Class::Read);
        assert_eq!(recorder.phases()[0].silence, 3 * MS);
    }
}
