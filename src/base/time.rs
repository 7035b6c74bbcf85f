//! Points in time as plain numbers. There is no way to read a clock here.

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub u64);

impl Millis {
    /// Before every deadline: while a log is replayed nothing expires.
    pub const REPLAY: Millis = Millis(0);

    /// Has a key with this deadline ceased to exist at `now`? Redis expires a key when the
    /// clock has *passed* its deadline.
    pub fn expired(self, now: Millis) -> bool {
        now.0 > self.0
    }
}
