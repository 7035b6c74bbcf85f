//! What this core awaits from threads that can wake only its executor, not its ring: work on the
//! blocking pool and answers to tickets. While there is some, the core sleeps through glommio.

use std::cell::Cell;

thread_local! {
    static EXPECTED: Cell<usize> = const { Cell::new(0) };
}

/// Held while something is awaited.
#[derive(Debug)]
pub struct Expecting(());

/// Begins to await something from elsewhere, on this core.
pub fn expect() -> Expecting {
    EXPECTED.set(EXPECTED.get() + 1);
    Expecting(())
}

/// Is anything awaited on this core?
pub fn expected() -> bool {
    EXPECTED.get() > 0
}

impl Drop for Expecting {
    fn drop(&mut self) {
        EXPECTED.set(EXPECTED.get() - 1);
    }
}
