//! The end: by signal or by SHUTDOWN. A last snapshot if it is wanted, a last sync, exit code 0.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::base::ids::ShardId;
use crate::commands::session::{LastSnapshot, Shutdown};
use crate::persist::manifest::End;
use crate::resp::error::Error;
use crate::server::aof;
use crate::server::checkpoint;
use crate::server::core::Core;
use crate::server::log;
use crate::server::saver;
use crate::shard::locks::Claim;

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
        if !saver::save_at_last(core).await && !options.force {
            log::warning("Not ended: there is no final snapshot");
            return Err(Error::SHUTDOWN_FAILED);
        }
    }
    // From here on nothing is executed any more, unless the end fails.
    let mut tickets = Vec::new();
    if !core.shared.is_loading() {
        for shard in (0..core.shards).map(ShardId) {
            let claim = |core: Rc<Core>| async move { core.line_up(Claim::whole()).await };
            tickets.push(core.on_async(shard, claim).await);
        }
    }
    end_logs(core).await;
    if core.shared.is_broken() && !options.force {
        for (shard, ticket) in (0..core.shards).map(ShardId).zip(tickets) {
            core.on(shard, move |core| core.step_aside(ticket)).await;
        }
        return Err(Error::SHUTDOWN_FAILED);
    }
    if !config.pidfile.is_empty() {
        let _ = std::fs::remove_file(&config.pidfile);
    }
    log::notice("Basalt is now ready to exit, bye bye...");
    // Every executor is left where it stands: all that was promised is on the device.
    std::process::exit(0)
}

/// Makes all logs durable, and notes in the manifest where they end.
async fn end_logs(core: &Rc<Core>) {
    let mut ends = Vec::new();
    for shard in (0..core.shards).map(ShardId) {
        let of_shard = core.on_async(shard, |core| async move {
            aof::flush(&core).await;
            let shard = core.shard.borrow();
            let log = shard.log().filter(|log| log.fault().is_none() && log.pending() == 0)?;
            let mut ends = core.log_ends.borrow().clone();
            let end = End { length: log.length(), next: log.appended().next() };
            ends.insert(log.id().number, end);
            Some(ends)
        });
        ends.extend(of_shard.await);
    }
    let unsettled = core.shared.is_loading() || core.shared.is_broken() || core.saver.is_busy();
    if unsettled || ends.len() != usize::from(core.shards) {
        return;
    }
    let mut manifest = core.database.manifest();
    manifest.durable = manifest.durable.max(core.shared.epochs.now());
    for (files, ends) in manifest.shards.iter_mut().zip(&ends) {
        for segment in &mut files.segments {
            segment.end = segment.end.or(ends.get(&segment.number).copied());
        }
    }
    if let Err(error) = checkpoint::write_manifest(core, manifest).await {
        // All is durable nevertheless: the next start looks for the ends itself.
        log::warning(format!("The end of the log cannot be noted: {error}"));
    }
}
