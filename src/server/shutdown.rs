//! The end: by signal or by SHUTDOWN. A last snapshot if it is wanted, a last sync, exit code 0.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::ids::ShardId;
use crate::commands::admin::Saving;
use crate::commands::session::{LastSnapshot, Shutdown};
use crate::resp::error::Error;
use crate::server::aof;
use crate::server::core::Core;
use crate::server::log;
use crate::server::saver;

/// How soon a signal is noticed.
const LOOK: Duration = Duration::from_millis(20);

/// Waits for a signal, then ends the server. When that fails, it goes on and waits again.
pub async fn wait(core: &Rc<Core>, stop: &Arc<AtomicBool>) {
    loop {
        glommio::timer::sleep(LOOK).await;
        if stop.load(Ordering::Acquire) {
            log::notice("Received a signal to terminate");
            if shutdown(core, Shutdown::default()).await.is_err() {
                log::warning("Errors trying to shut down; a second signal ends the server at once");
                return std::future::pending().await;
            }
        }
    }
}

/// Ends the server; returns only when it cannot.
pub async fn shutdown(core: &Rc<Core>, options: Shutdown) -> Result<(), Error> {
    core.on_async(ShardId(0), move |core| async move { end(&core, options).await }).await
}

async fn end(core: &Rc<Core>, options: Shutdown) -> Result<(), Error> {
    let config = core.settings.borrow().config.clone();
    let snapshot = match options.save {
        LastSnapshot::Yes => true,
        LastSnapshot::No => false,
        LastSnapshot::IfSavePoints => !config.save.is_empty(),
    };
    // Nothing is lost while the data set is still being loaded: the files are as they were.
    if snapshot && !core.shared.is_loading() {
        log::notice("Saving the final snapshot before exiting");
        if saver::wish(core, Saving::Save).await.is_err() && !options.force {
            return Err(Error::SHUTDOWN_FAILED);
        }
    }
    for shard in (0..core.shards).map(ShardId) {
        core.on_async(shard, |core| async move { aof::flush(&core).await }).await;
    }
    if core.shared.is_broken() && !options.force {
        return Err(Error::SHUTDOWN_FAILED);
    }
    if !config.pidfile.is_empty() {
        let _ = std::fs::remove_file(&config.pidfile);
    }
    log::notice("Basalt is now ready to exit, bye bye...");
    // Every executor is left where it stands: all that was promised is on the device.
    std::process::exit(0)
}
