//! Zeros ahead of a log's records, so that its syncs are the data and nothing else.
//!
//! A write that makes its file longer makes the sync behind it wait for the file system's journal,
//! and so for whatever else is in it: on ext4 12 ms for the blocks of a snapshot that was just
//! removed. Where zeros were written and synced before, a sync takes the data alone: 0.17 instead
//! of 0.24 ms on the machine of bench-results, and under `always` a third more commands a second.
//!
//! Valid if and only if zeros are only written behind all that has been written, while no write is
//! in flight: then they never take the place of a record. Whether they arrive changes nothing: what
//! is not filled is extended by the write that needs it, and a reader takes zeros behind the last
//! record for nothing (segment_scan.rs).

use std::ops::Range;

use crate::persist::record::Policy;

/// What is to be filled with zeros when the last write has ended at `end`, the file being filled up
/// to `filled`: `step` bytes and what is missing to a whole block, once the old zeros are used up.
/// Only `always` syncs often enough to gain from it.
pub fn ahead(policy: Policy, end: u64, filled: u64, step: u64) -> Option<Range<u64>> {
    let wanted = policy == Policy::Always && end >= filled;
    wanted.then(|| end..(end + step).next_multiple_of(BLOCK))
}

/// File systems write no less.
const BLOCK: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_begin_behind_what_was_written_and_only_when_the_old_ones_are_used_up() {
        for (policy, end, filled, expected) in [
            (Policy::Always, 0, 0, Some(0..8192)),
            (Policy::Always, 1, 0, Some(1..12288)),
            (Policy::Always, 8191, 8192, None),
            (Policy::Always, 8192, 8192, Some(8192..16384)),
            (Policy::Always, 9000, 8192, Some(9000..20480)),
            (Policy::EverySecond, 9000, 8192, None),
            (Policy::No, 0, 0, None),
        ] {
            assert_eq!(ahead(policy, end, filled, 8192), expected, "{policy:?} {end} {filled}");
        }
    }
}
