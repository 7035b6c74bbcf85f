//! Advances the epoch: every 50 ms while there are writes, and for the cut of a checkpoint. Core 0
//! does it, one advance at a time.

use std::cell::Cell;
use std::rc::Rc;

use crate::base::ids::{Epoch, Lsn};
use crate::limits::EPOCH_INTERVAL;
use crate::server::aof;
use crate::server::core::Core;
use crate::server::signal::Crowd;

/// Whether an advance is being prepared.
#[derive(Debug, Default)]
pub struct Advancing {
    taken: Cell<bool>,
    free: Crowd,
}

/// The right to advance the epoch.
pub struct Advance<'a> {
    core: &'a Core,
}

impl<'a> Advance<'a> {
    /// Waits for the right to advance.
    pub async fn begin(core: &'a Core) -> Advance<'a> {
        let advancing = &core.advancing;
        advancing.free.until(|| (!advancing.taken.replace(true)).then_some(())).await;
        Advance { core }
    }

    /// Advances by one: waits for transactions that are being applied, and lets none in meanwhile.
    pub async fn advance(&self) -> Epoch {
        let epochs = &self.core.shared.epochs;
        epochs.announce();
        loop {
            match epochs.try_advance() {
                Some(epoch) => return epoch,
                None => self.core.pauses.rest().await,
            }
        }
    }
}

impl Drop for Advance<'_> {
    fn drop(&mut self) {
        self.core.advancing.taken.set(false);
        self.core.advancing.free.wake();
    }
}

/// The task of core 0.
pub async fn tend(core: Rc<Core>) {
    let mut seen: Vec<Lsn> = Vec::new();
    loop {
        glommio::timer::sleep(EPOCH_INTERVAL).await;
        let last = core.on_all(|core| core.shard.borrow().appended()).await;
        if last == seen {
            continue;
        }
        seen = last;
        Advance::begin(&core).await.advance().await;
        // A shard that had nothing to do since learns of the epoch here.
        core.on_all(|core| {
            core.clock.start_turn();
            core.run(|_| ());
            aof::publish(core);
        })
        .await;
    }
}
