//! Counts commands and their time without asking the clock for each: neighbours of one kind in a
//! pipeline are timed together.

use std::time::Instant;

use crate::commands::spec::Command;
use crate::observe::counters::{Counters, Outcome, Tracking};

/// The commands of one kind that are running.
#[derive(Debug)]
pub struct Tally {
    command: Option<&'static Command>,
    count: u64,
    since: Instant,
}

/// What one flush has measured.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// How many commands.
    pub count: u64,
    /// Nanoseconds for each, on average.
    pub nanos: u64,
}

impl Tally {
    /// A tally that starts at `now`.
    pub fn new(now: Instant) -> Tally {
        Tally { command: None, count: 0, since: now }
    }

    /// Is a command of this kind another one of the same run?
    pub fn continues(&self, command: &'static Command) -> bool {
        self.command.is_some_and(|last| std::ptr::eq(last, command))
    }

    /// Has nothing run since the last flush?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// One more command of this kind is about to run. The caller has flushed another kind.
    pub fn add(&mut self, command: &'static Command) {
        self.command = Some(command);
        self.count += 1;
    }

    /// One more command has run; one of another kind ends the run before it.
    pub fn count(&mut self, command: &'static Command, counters: &mut Counters, how: Tracking) {
        if !self.continues(command) {
            self.flush(Instant::now(), counters, Outcome::Done, how);
        }
        self.add(command);
    }

    /// Counts what has run; how long each took.
    pub fn flush(
        &mut self,
        now: Instant,
        counters: &mut Counters,
        end: Outcome,
        tracking: Tracking,
    ) -> Option<Took> {
        let elapsed = now.duration_since(self.since).as_nanos() as u64;
        self.since = now;
        let command = self.command.take()?;
        let count = std::mem::take(&mut self.count);
        let nanos = elapsed / count.max(1);
        counters.ran(command.name, count, nanos, end, tracking);
        Some(Took { count, nanos })
    }
}
