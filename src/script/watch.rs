//! What others may know of a running script, and do to it, from any thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// One running script.
#[derive(Debug, Default)]
pub struct Watch {
    killed: AtomicBool,
    wrote: AtomicBool,
    long: AtomicBool,
    /// How many scripts of the server have run for longer than one slice.
    all_long: Arc<AtomicUsize>,
}

impl Watch {
    /// A script that begins; `all_long` counts those that last.
    pub fn new(all_long: &Arc<AtomicUsize>) -> Watch {
        Watch { all_long: Arc::clone(all_long), ..Watch::default() }
    }

    /// It is to end.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Relaxed);
    }

    /// Is it to end?
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }

    /// It has called a command that writes.
    pub fn write(&self) {
        self.wrote.store(true, Ordering::Relaxed);
    }

    /// Has it called a command that writes?
    pub fn has_written(&self) -> bool {
        self.wrote.load(Ordering::Relaxed)
    }

    /// It has run for a slice.
    pub fn slice(&self) {
        if !self.long.swap(true, Ordering::Relaxed) {
            self.all_long.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It has ended.
    pub fn end(&self) {
        if self.long.swap(false, Ordering::Relaxed) {
            self.all_long.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
