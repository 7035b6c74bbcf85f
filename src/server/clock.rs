//! The only clock: wall time for deadlines, monotonic time for slices, read once a turn.
//!
//! Either reading costs some 25-50 ns, a good part of what a pipelined command takes, so a turn
//! reads both once and everything in it sees one `now` (invariant I2: a command's time is an
//! argument). Only a loop that must stop in time reads the monotonic clock again, through
//! `Slice`. Wall time follows the system clock, also backwards: a deadline is a date that the
//! client gave.

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::base::time::Millis;

/// One core's clock.
#[derive(Debug)]
pub struct Clock {
    wall: Cell<Millis>,
    turn: Cell<Instant>,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

impl Clock {
    /// A clock that has been read once.
    pub fn new() -> Clock {
        Clock { wall: Cell::new(wall()), turn: Cell::new(Instant::now()) }
    }

    /// Reads both clocks: at the start of a turn.
    pub fn start_turn(&self) {
        self.wall.set(wall());
        self.turn.set(Instant::now());
    }

    /// Wall time at the start of this turn.
    pub fn now(&self) -> Millis {
        self.wall.get()
    }

    /// Monotonic time at the start of this turn.
    pub fn turn(&self) -> Instant {
        self.turn.get()
    }

    /// Time since this turn began, read now.
    pub fn into_turn(&self) -> Duration {
        self.turn.get().elapsed()
    }

    /// A slice of time that begins now.
    pub fn slice(&self, length: Duration) -> Slice {
        Slice { end: Instant::now() + length }
    }
}

/// A bounded stretch of work: ask between two steps whether it is over.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    end: Instant,
}

impl Slice {
    /// Is the time spent?
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }
}

/// Processor time of this thread: what a slice is charged with, whoever else is running.
pub fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// Wall time, read now. A clock before 1970 reads as 0.
pub fn wall() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The same in microseconds, for TIME.
pub fn wall_micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_sees_one_time_and_the_next_a_later_one() {
        let clock = Clock::new();
        let (now, turn) = (clock.now(), clock.turn());
        std::thread::sleep(Duration::from_millis(3));
        assert_eq!((clock.now(), clock.turn()), (now, turn));
        assert!(clock.into_turn() >= Duration::from_millis(3));
        clock.start_turn();
        assert!(clock.now() > now && clock.turn() > turn);
    }

    #[test]
    fn a_slice_ends() {
        let slice = Clock::new().slice(Duration::from_millis(2));
        assert!(!slice.is_over());
        std::thread::sleep(Duration::from_millis(2));
        assert!(slice.is_over());
    }
}
