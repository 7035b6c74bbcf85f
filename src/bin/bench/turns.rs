//! Short turns of work, and those that took too long: the slices of a snapshot, by what the server
//! tells; and as their control turns of 50 us by nobody, on the same core, that only read and write
//! memory they had touched before. By processor time both ought to be as long as planned. What the
//! kernel does in interrupts and the host of a virtual machine with its memory is charged to
//! whoever runs, though, and the control shows how much of that there is.

use std::thread;
use std::time::{Duration, Instant};

use basalt::base::prng::Prng;
use basalt::server::clock::processor_time;

use crate::{control, ends};

/// How many turns there were, and how long.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Turns {
    /// All of them.
    pub count: f64,
    /// Those above 100 us of processor time.
    pub above: f64,
    /// The longest, in microseconds of processor time.
    pub longest: f64,
}

/// As many turns as the snapshot of some million elements has slices.
const COUNT: u32 = 7000;
/// As long as a slice is planned to be.
const TURN: Duration = Duration::from_micros(50);
/// What is too long.
const LONG: Duration = Duration::from_micros(100);
/// Bytes of memory that turns go through: far more than the caches hold.
const MEMORY: usize = 256 << 20;
/// Bytes that lie together, as a table's entries do.
const STRETCH: usize = 32 << 10;
/// Bytes between two places of a stretch that are read and written.
const STRIDE: usize = 512;

impl Turns {
    /// The slices of the last snapshot, where the server tells them.
    pub fn of_snapshot(info: &str) -> Option<Turns> {
        let field = |name: &str| control::field(info, name)?.parse().ok();
        Some(Turns {
            count: field("snapshot_slices")?,
            above: field("snapshot_slices_above_100_usec")?,
            longest: field("snapshot_longest_slice_usec")?,
        })
    }

    /// Turns of nobody, on the first of these cores.
    pub fn of_nobody(cores: &[usize]) -> Result<Turns, String> {
        let cores: Vec<usize> = cores.iter().copied().take(1).collect();
        let walk = move || ends::pin(&cores).map(|()| walk());
        thread::spawn(walk).join().map_err(|_| "turns of nobody: a panic".to_owned())?
    }

    /// Of several rounds together.
    pub fn and(self, other: Turns) -> Turns {
        Turns {
            count: self.count + other.count,
            above: self.above + other.above,
            longest: self.longest.max(other.longest),
        }
    }

    /// `12 of 7000 above 100 us of processor time, the longest 210 us`.
    pub fn tell(&self) -> String {
        format!(
            "{:.0} of {:.0} above 100 us of processor time, the longest {:.0} us",
            self.above, self.count, self.longest
        )
    }

    fn note(&mut self, took: Duration) {
        self.count += 1.0;
        self.above += f64::from(took > LONG);
        self.longest = self.longest.max(took.as_secs_f64() * 1e6);
    }
}

fn walk() -> Turns {
    let (mut memory, mut prng) = (vec![1_u8; MEMORY], Prng::new(1));
    let mut turns = Turns::default();
    for _ in 0..COUNT {
        let (begin, since) = (Instant::now(), processor_time());
        while begin.elapsed() < TURN {
            let start = prng.below((MEMORY / STRETCH) as u64) as usize * STRETCH;
            let stretch = memory.iter_mut().skip(start).take(STRETCH).step_by(STRIDE);
            stretch.for_each(|byte| *byte = byte.wrapping_add(1));
        }
        turns.note(processor_time() - since);
    }
    // What nobody looks at would not be written.
    std::hint::black_box(&memory);
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_that_a_server_tells() {
        let info = "snapshot_slices:70\r\nsnapshot_longest_slice_usec:152\r\n\
                    snapshot_slices_above_100_usec:3\r\n";
        let told = Turns { count: 70.0, above: 3.0, longest: 152.0 };
        assert_eq!(Turns::of_snapshot(info), Some(told));
        assert_eq!(Turns::of_snapshot("rdb_saves:1\r\n"), None);
        let text = "6 of 140 above 100 us of processor time, the longest 152 us";
        assert_eq!(told.and(told).tell(), text);
    }

    #[test]
    fn turns_are_long_by_processor_time() {
        let mut turns = Turns::default();
        [50, 100, 101].into_iter().for_each(|us| turns.note(Duration::from_micros(us)));
        assert_eq!(turns, Turns { count: 3.0, above: 1.0, longest: 101.0 });
    }
}
