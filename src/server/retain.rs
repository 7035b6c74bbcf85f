//! Keeps the generation that a checkpoint replaces, if `retain-generations` says so: what an
//! operator restores an earlier moment from. Which files, is decided in `persist::retention`.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::ids::ShardId;
use crate::persist::manifest::{End, Manifest};
use crate::persist::names;
use crate::persist::retention::{Retired, retained, retire};
use crate::server::aof;
use crate::server::core::Core;
use crate::server::disk::{self, DiskError, File, Open};
use crate::server::log;

/// `next`, about to replace `old`, with the generations that it retains. Those that drop out are
/// removed when it has been committed. A generation that cannot be kept is let go with a line in
/// the log: a checkpoint that failed for it would be worse.
pub async fn retain(core: &Rc<Core>, old: Manifest, next: Manifest) -> Manifest {
    let wanted = core.settings.borrow().config.retain_generations;
    let mut replaced = None;
    if wanted > 0 {
        let ends = ends(core).await;
        if let Some(retired) = retire(&old, &next, &ends) {
            match keep(core, &retired).await {
                Ok(()) => replaced = Some(old.generation),
                Err(error) => {
                    let number = old.generation.0;
                    log::warning(format!("Generation {number} cannot be retained: {error}"));
                }
            }
        }
    }
    Manifest { retained: retained(&old.retained, replaced, wanted as usize), ..next }
}

/// Where the segments that were closed in this run end, by shard. Those that end at the cut are
/// made durable first.
async fn ends(core: &Rc<Core>) -> Vec<BTreeMap<u64, End>> {
    let mut ends = Vec::new();
    for shard in (0..core.shards).map(ShardId) {
        let of_shard = core.on_async(shard, |core| async move {
            aof::flush(&core).await;
            core.log_ends.borrow().clone()
        });
        ends.push(of_shard.await);
    }
    ends
}

async fn keep(core: &Core, retired: &Retired) -> Result<(), DiskError> {
    let root = &core.database.directory;
    for (from, to) in &retired.links {
        disk::link(&root.join(from), &root.join(to)).await?;
    }
    let generation = retired.manifest.generation;
    let path = root.join(names::retained(generation));
    // An attempt before this one may have left it.
    disk::remove(&path).await?;
    let file = File::open(&path, Open::New).await?;
    file.write_now(&retired.manifest.encode(), 0)?;
    file.sync_aside().await?;
    disk::sync_dir(&root.join(names::directory(generation))).await
}
