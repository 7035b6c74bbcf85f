//! What a core does with the time that is left: expired keys, freed memory, idle clients.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::server::core::{Core, Relief};
use crate::shard::upkeep::ActiveExpire;

/// Pause between rounds when the last one found nothing to do.
const REST: Duration = Duration::from_millis(50);
/// Rounds between two samples of what INFO tells of a second: as in Redis, 100 ms.
const SAMPLE_ROUNDS: u32 = 2;
/// Rounds between two looks at idle clients.
const CLIENT_ROUNDS: u32 = 20;

/// The task of each core.
pub async fn tend(core: Rc<Core>) {
    let mut round = 0u32;
    loop {
        core.clock.start_turn();
        let expire = match core.shared.active_expire.load(Ordering::Relaxed) {
            true => ActiveExpire::On,
            false => ActiveExpire::Off,
        };
        let (now, epoch) = (core.clock.now(), core.shared.epochs.now());
        let more = core.run(|shard| shard.upkeep(now, epoch, expire));
        if more {
            core.pauses.step_back().await;
            continue;
        }
        if core.relieve() == Relief::Evicting {
            core.pauses.step_back().await;
            continue;
        }
        round = round.wrapping_add(1);
        if round.is_multiple_of(SAMPLE_ROUNDS) {
            core.sample_rates();
        }
        if round.is_multiple_of(CLIENT_ROUNDS) {
            close_idle(&core);
        }
        glommio::timer::sleep(REST).await;
    }
}

/// `timeout`: clients that have sent nothing for so long are closed.
fn close_idle(core: &Core) {
    let timeout = core.settings.borrow().config.timeout;
    if timeout > 0 {
        core.clients.close_idle(core.clock.now(), timeout * 1000);
    }
}
