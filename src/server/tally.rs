//! Counts commands and their time without asking the clock for each: neighbours of one kind in a
//! pipeline are timed together, unless one of them may take long by itself or the settings ask
//! for more.

use std::time::Instant;

use crate::commands::spec::{Command, Flags};
use crate::config::Config;
use crate::observe::counters::{Counters, Outcome, Tracking};
use crate::observe::slowlog::SlowPolicy;

/// From so many arguments on a command is timed alone, however little it does with each.
const MANY_ARGS: usize = 32;
/// A slow log that looks below so many microseconds wants every command timed by itself.
const FINE_MICROS: i64 = 100;

/// What the settings ask of the timing of commands.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    tracking: Tracking,
    each: bool,
    notable: u64,
    /// What the slow log keeps.
    pub slow: SlowPolicy,
    /// `latency-monitor-threshold`, in milliseconds; 0: no events are kept.
    pub monitor: u64,
}

/// The commands of one kind that are running.
#[derive(Debug)]
pub struct Tally {
    command: Option<&'static Command>,
    count: u64,
    since: Instant,
}

/// A command, or a run of them, that took so long that it is to be noted.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Which command.
    pub command: &'static Command,
    /// Nanoseconds for each, on average.
    pub nanos: u64,
}

impl Timing {
    /// What follows from the settings.
    pub fn of(config: &Config) -> Timing {
        let slow = SlowPolicy {
            slower_than: config.slowlog_log_slower_than,
            max_len: config.slowlog_max_len,
        };
        let monitor = config.latency_monitor_threshold;
        let least = match monitor {
            0 => u64::MAX,
            millis => millis.saturating_mul(1_000_000),
        };
        Timing {
            tracking: if config.latency_tracking { Tracking::On } else { Tracking::Off },
            each: (0..FINE_MICROS).contains(&slow.slower_than) || monitor > 0,
            notable: slow.least_micros().map_or(u64::MAX, |n| n.saturating_mul(1000)).min(least),
            slow,
            monitor,
        }
    }

    /// Is this command timed alone? What is short whatever is stored need not be.
    pub fn alone(&self, command: &Command, args: usize) -> bool {
        let short = command.flags.has(Flags::FAST) || command.flags.has(Flags::SHORT);
        self.each || !short || args >= MANY_ARGS
    }
}

impl Tally {
    /// A tally that starts at `now`.
    pub fn new(now: Instant) -> Tally {
        Tally { command: None, count: 0, since: now }
    }

    /// Time that has passed until `now` belongs to nothing that is counted.
    pub fn resume(&mut self, now: Instant) {
        debug_assert!(self.count == 0, "what ran before a pause is counted before it");
        self.since = now;
    }

    /// Is a command of this kind another one of the same run, or the first?
    pub fn continues(&self, command: &'static Command) -> bool {
        self.command.is_none_or(|last| std::ptr::eq(last, command))
    }

    /// A command is about to run: what ran before, if it is of another kind, is counted.
    pub fn before(
        &mut self,
        command: &'static Command,
        counters: &mut Counters,
        timing: &Timing,
    ) -> Option<Took> {
        if self.continues(command) {
            return None;
        }
        self.flush(counters, Outcome::Done, timing)
    }

    /// The command has run.
    pub fn after(&mut self, command: &'static Command) {
        self.command = Some(command);
        self.count += 1;
    }

    /// Nanoseconds since the tally last counted something.
    pub fn elapsed(&self) -> u64 {
        self.since.elapsed().as_nanos() as u64
    }

    /// Counts what has run; says if it took notably long.
    pub fn flush(
        &mut self,
        counters: &mut Counters,
        end: Outcome,
        timing: &Timing,
    ) -> Option<Took> {
        let command = self.command.take()?;
        let now = Instant::now();
        let elapsed = now.duration_since(self.since).as_nanos() as u64;
        self.since = now;
        let count = std::mem::take(&mut self.count);
        let nanos = elapsed / count.max(1);
        if end == Outcome::Failed && count > 1 {
            // A failure ends its run: the others have not failed.
            counters.ran(command.name, count - 1, nanos, Outcome::Done, timing.tracking);
        }
        let failed = if end == Outcome::Failed { 1 } else { count };
        counters.ran(command.name, failed, nanos, end, timing.tracking);
        (nanos >= timing.notable).then_some(Took { command, nanos })
    }
}

/// Commands that did not run on one core at one time are counted with the time that the client
/// waited for each.
pub fn count_waited(
    command: &'static Command,
    nanos: u64,
    counters: &mut Counters,
    end: Outcome,
    timing: &Timing,
) -> Option<Took> {
    // What EXEC has refused did not run.
    if command.name.is_empty() {
        return None;
    }
    counters.ran(command.name, 1, nanos, end, timing.tracking);
    (nanos >= timing.notable).then_some(Took { command, nanos })
}

/// How the reply says that a command has ended.
pub fn outcome(reply: &[u8]) -> Outcome {
    if reply.first() == Some(&b'-') { Outcome::Failed } else { Outcome::Done }
}

/// The line of an error reply, for the counter of errors.
pub fn error_line(reply: &[u8]) -> String {
    let line = reply.split(|byte| *byte == b'\r').next().unwrap_or_default();
    String::from_utf8_lossy(line.strip_prefix(b"-").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table;

    #[test]
    fn who_is_timed_alone_follows_from_the_settings() {
        let row = |name: &str| table::find(name.as_bytes()).unwrap();
        // slowlog-log-slower-than, latency-monitor-threshold, command, arguments
        for (slower, monitor, name, args, alone) in [
            (10_000, 0, "get", 2, false),
            (10_000, 0, "set", 3, false),
            (10_000, 0, "hgetall", 2, true),
            (10_000, 0, "mget", 2, false),
            (10_000, 0, "mget", 32, true),
            (0, 0, "get", 2, true),
            (99, 0, "get", 2, true),
            (100, 0, "get", 2, false),
            (-1, 0, "get", 2, false),
            (-1, 1, "get", 2, true),
        ] {
            let config = Config {
                slowlog_log_slower_than: slower,
                latency_monitor_threshold: monitor,
                ..Config::default()
            };
            let found = Timing::of(&config).alone(row(name), args);
            assert_eq!(found, alone, "{slower} {monitor} {name} {args}");
        }
    }

    #[test]
    fn what_is_notable_is_the_lower_of_two_bounds() {
        for (slower, monitor, len, notable) in [
            (10_000, 0, 128, 10_000_000),
            (10_000, 5, 128, 5_000_000),
            (-1, 5, 128, 5_000_000),
            (1, 0, 0, u64::MAX),
            (-1, 0, 128, u64::MAX),
            (0, 7, 128, 0),
        ] {
            let config = Config {
                slowlog_log_slower_than: slower,
                latency_monitor_threshold: monitor,
                slowlog_max_len: len,
                ..Config::default()
            };
            assert_eq!(Timing::of(&config).notable, notable, "{slower} {monitor} {len}");
        }
    }

    #[test]
    fn a_run_is_counted_once_and_a_pause_belongs_to_nobody() {
        let (get, set) = (table::find(b"get").unwrap(), table::find(b"set").unwrap());
        let timing = Timing::of(&Config::default());
        let mut counters = Counters::default();
        let mut tally = Tally::new(Instant::now());
        for _ in 0..3 {
            assert!(tally.before(get, &mut counters, &timing).is_none());
            tally.after(get);
        }
        assert!(counters.commands.is_empty());
        assert!(tally.before(set, &mut counters, &timing).is_none());
        assert_eq!(counters.commands["get"].calls, 3);
        tally.after(set);
        tally.after(set);
        tally.flush(&mut counters, Outcome::Failed, &timing);
        assert_eq!((counters.commands["set"].calls, counters.commands["set"].failed), (2, 1));
        std::thread::sleep(std::time::Duration::from_millis(20));
        tally.resume(Instant::now());
        tally.after(set);
        assert!(tally.flush(&mut counters, Outcome::Done, &timing).is_none());
        assert!(counters.commands["set"].nanos < 15_000_000, "the pause was counted");
        std::thread::sleep(std::time::Duration::from_millis(11));
        tally.after(get);
        let took = tally.flush(&mut counters, Outcome::Done, &timing).unwrap();
        assert!(took.command.name == "get" && took.nanos > 10_000_000);
    }
}
