//! DEBUG RELOAD and DEBUG LOADAOF: what a restart would do to the data, without the restart.

use std::rc::Rc;

use crate::base::ids::{HOME, ShardId};
use crate::commands::admin::Saving;
use crate::commands::session::Reload;
use crate::persist::manifest::{End, Manifest};
use crate::persist::recovery::{Replay, ShardPlan};
use crate::resp::error::Error;
use crate::server::aof;
use crate::server::core::Core;
use crate::server::functions;
use crate::server::load::{self, Target};
use crate::server::log;
use crate::server::saver;
use crate::shard::locks::{Claim, Ticket};

/// Saves if asked to, then empties the shards and loads what is in the files.
pub async fn reload(core: &Rc<Core>, options: Reload) -> Result<(), Error> {
    if options.save {
        saver::wish(core, Saving::Save).await?;
    }
    if !options.flush && !options.merge {
        // Redis stops here with a fatal error about the first key that is there already.
        return Err(Error::err("Error trying to load the RDB dump, check server logs."));
    }
    all_at_once(core).await
}

/// Empties the shards and loads base and log.
pub async fn load_log(core: &Rc<Core>) -> Result<(), Error> {
    if !core.settings.borrow().config.appendonly {
        return Err(Error::err("There is no append only file"));
    }
    all_at_once(core).await
}

/// With every key of every shard claimed, each core loads its shard anew.
async fn all_at_once(core: &Rc<Core>) -> Result<(), Error> {
    let mut tickets: Vec<Ticket> = Vec::new();
    for shard in (0..core.shards).map(ShardId) {
        let claim = |core: Rc<Core>| async move { core.line_up(Claim::whole()).await };
        tickets.push(core.on_async(shard, claim).await);
    }
    let manifest = core.database.manifest();
    let mut failed = None;
    for shard in (0..core.shards).map(ShardId) {
        let manifest = manifest.clone();
        let work = move |core: Rc<Core>| async move { one(&core, &manifest).await };
        if let Err(why) = core.on_async(shard, work).await {
            log::warning(format!("Loading again failed: {why}"));
            failed = Some(why);
        }
    }
    let rebuilt = core.on_async(HOME, |core| async move { functions::rebuild(&core).await }).await;
    if let Err(why) = rebuilt {
        log::warning(format!("Loading again failed: {why}"));
        failed = Some(why);
    }
    for (shard, ticket) in (0..core.shards).map(ShardId).zip(tickets) {
        core.on(shard, move |core| core.step_aside(ticket)).await;
    }
    match failed {
        None => Ok(()),
        Some(_) => Err(Error::err("Error trying to load the dataset, check server logs.")),
    }
}

async fn one(core: &Rc<Core>, manifest: &Manifest) -> Result<(), String> {
    aof::flush(core).await;
    let files = manifest.shards.get(core.id.index()).cloned().unwrap_or_default();
    let plan = plan_of(core, &files);
    let mut fresh = core.shard.borrow().fresh();
    load::fill(core, &mut Target::Beside(&mut fresh), manifest, files.base.as_ref(), &plan).await?;
    core.shard.borrow_mut().take_keys(fresh);
    Ok(())
}

/// The files as the running server knows them: closed segments end where the manifest says, the
/// open one where it has been written to.
fn plan_of(core: &Core, files: &crate::persist::manifest::ShardFiles) -> ShardPlan {
    let shard = core.shard.borrow();
    let mut plan = ShardPlan::default();
    for segment in &files.segments {
        let open = shard.log().filter(|log| log.id().number == segment.number);
        let end = match (open, segment.end) {
            (Some(log), _) => End { length: log.length(), next: log.appended().next() },
            (None, Some(end)) => end,
            // Prepared for a cut that never came.
            (None, None) => continue,
        };
        let Some(first) = segment.first else { continue };
        plan.replay.push(Replay {
            path: segment.path.clone(),
            id: segment.id(core.id),
            first,
            end,
            doubtful: end.length,
        });
    }
    plan
}
