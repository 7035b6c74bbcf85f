//! A turnstile that lets one of several through: shards that could each serve the same client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by all that may pass; clones are the same turnstile.
#[derive(Clone, Debug, Default)]
pub struct Turnstile {
    passed: Arc<AtomicBool>,
}

impl Turnstile {
    /// Passes, unless somebody has passed before.
    #[must_use]
    pub fn pass(&self) -> bool {
        !self.passed.swap(true, Ordering::SeqCst)
    }

    /// Has somebody passed?
    pub fn is_passed(&self) -> bool {
        self.passed.load(Ordering::SeqCst)
    }

    /// Whoever has passed goes back: the next one may.
    pub fn reopen(&self) {
        self.passed.store(false, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_until_it_goes_back() {
        let (here, there) = (Turnstile::default(), Turnstile::default());
        let also_here = here.clone();
        assert!(here.pass() && !also_here.pass() && !here.pass() && there.pass());
        also_here.reopen();
        assert!(also_here.pass() && !here.pass());
    }
}
