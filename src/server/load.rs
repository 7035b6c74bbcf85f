//! Fills the shards at start, all cores at the same time: each loads files of the shards that wrote
//! them. With the same number of shards what is loaded stays where it is. With another number an
//! old shard is loaded whole, beside the core's own, and then handed over key by key to the owners.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::ids::{Epoch, Lsn, ShardId};
use crate::config::Config;
use crate::keyspace::keyspace::{Keyspace, Settings as KeySettings};
use crate::observe::progress::Progress;
use crate::persist::manifest::{Base, Manifest, Segment};
use crate::persist::names;
use crate::persist::recovery::{Plan, Replay, ShardPlan};
use crate::persist::segment::SegmentWriter;
use crate::persist::text_base::TextBaseCheck;
use crate::server::aligned::Aligned;
use crate::server::aof;
use crate::server::blocks::{Blocks, Way};
use crate::server::checkpoint;
use crate::server::core::Core;
use crate::server::disk::{self, DiskError};
use crate::server::functions;
use crate::server::import;
use crate::server::log;
use crate::server::recover::{self, Found};
use crate::server::reshard;
use crate::server::rewrite::{Again, Seen};
use crate::server::settings::{
    access_policy, hash_limits, set_limits, stream_nodes, string_limits, zset_limits,
};
use crate::shard::fill::{self, BaseFill, LogFill};
use crate::shard::shard::Shard;

/// A shard without keys, with the seed of the database.
pub fn empty_shard(id: ShardId, found: &Found, config: &Config) -> Shard {
    let hash = found.database.manifest().hash;
    let keys = Keyspace::new(KeySettings {
        databases: config.databases,
        seed: hash.seed,
        limits: hash_limits(config),
        zsets: zset_limits(config),
        sets: set_limits(config),
        nodes: stream_nodes(config),
        strings: string_limits(config),
        policy: access_policy(config),
    });
    Shard::new(id, keys, hash.seed ^ found.database.run.0 as u64)
}

/// This core's part of loading.
pub async fn load(core: &Rc<Core>, found: &Found) -> Result<(), String> {
    if let Some((manifest, plan)) = &found.old {
        if core.id == ShardId(0) {
            core.shared.loaded.total.store(total_bytes(manifest, plan), Ordering::Relaxed);
        }
        for (index, files) in manifest.shards.iter().enumerate() {
            if index % usize::from(core.shards) != core.id.index() {
                continue;
            }
            let old = ShardId(index as u16);
            let plan = plan.shards.get(index).cloned().unwrap_or_default();
            if found.is_resharding() {
                let config = core.settings.borrow().config.clone();
                let mut beside = empty_shard(old, found, &config);
                fill(core, &mut Target::Beside(&mut beside), manifest, files.base.as_ref(), &plan)
                    .await?;
                reshard::hand_over(core, beside).await;
            } else {
                fill(core, &mut Target::Own, manifest, files.base.as_ref(), &plan).await?;
                core.shard.borrow_mut().resume(Lsn(plan.next.0 - 1));
            }
        }
    }
    if let (Some(from), ShardId(0)) = (&found.import, core.id) {
        import::run(core, found, from)
            .await
            .map_err(|why| format!("nothing is imported: {why}"))?;
    }
    core.shared.loaded.cores.fetch_add(1, Ordering::AcqRel);
    Ok(())
}

fn total_bytes(manifest: &Manifest, plan: &Plan) -> u64 {
    let bases = manifest.shards.iter().filter_map(|files| files.base.as_ref());
    let logs = plan.shards.iter().flat_map(|shard| &shard.replay);
    bases.map(|base| base.length).sum::<u64>() + logs.map(|log| log.end.length).sum::<u64>()
}

/// Which shard is filled.
pub enum Target<'a> {
    /// The core's own.
    Own,
    /// One beside it.
    Beside(&'a mut Shard),
}

impl Target<'_> {
    fn with<T>(&mut self, core: &Core, work: impl FnOnce(&mut Shard) -> T) -> T {
        match self {
            Target::Own => work(&mut core.shard.borrow_mut()),
            Target::Beside(shard) => work(shard),
        }
    }
}

/// Loads one shard's base, then runs its log again.
pub async fn fill(
    core: &Rc<Core>,
    target: &mut Target<'_>,
    manifest: &Manifest,
    base: Option<&Base>,
    plan: &ShardPlan,
) -> Result<(), String> {
    let shard = target.with(core, |shard| shard.id);
    if let Some(base) = base {
        load_base(core, target, manifest, shard, base).await?;
    }
    for replay in &plan.replay {
        replay_segment(core, target, replay).await?;
    }
    Ok(())
}

async fn open(core: &Core, path: &str, way: Way) -> Result<Blocks, String> {
    let full = core.database.directory.join(path);
    Blocks::open(&full, way).await.map_err(|error| error.to_string())
}

async fn next(core: &Core, blocks: &mut Blocks, used: Aligned) -> Result<Aligned, String> {
    let block = blocks.next(used).await.map_err(|error| error.to_string())?;
    core.shared.loaded.bytes.fetch_add(block.len() as u64, Ordering::Relaxed);
    Ok(block)
}

async fn load_base(
    core: &Core,
    target: &mut Target<'_>,
    manifest: &Manifest,
    shard_id: ShardId,
    base: &Base,
) -> Result<(), String> {
    let way = match fill::is_commands(base) {
        true => {
            check_commands(core, base).await?;
            Way::Cached
        }
        false => Way::Direct,
    };
    let mut fill = BaseFill::new(manifest, shard_id, base);
    let mut blocks = open(core, &base.path, way).await?;
    let mut block = Aligned::default();
    loop {
        block = next(core, &mut blocks, block).await?;
        if block.is_empty() {
            break;
        }
        target.with(core, |shard| fill.feed(shard, &block)).map_err(|fault| fault.to_string())?;
        core.pauses.rest().await;
    }
    target.with(core, |shard| fill.finish(shard)).map_err(|fault| fault.to_string())?;
    core.shared.loaded.keys.fetch_add(base.entries.total(), Ordering::Relaxed);
    Ok(())
}

/// Commands are run only once the checksum of all of them holds: they are read twice, the second
/// time from the page cache.
async fn check_commands(core: &Core, base: &Base) -> Result<(), String> {
    let mut check = TextBaseCheck::default();
    let mut blocks = open(core, &base.path, Way::Cached).await?;
    let mut block = Aligned::default();
    loop {
        block = blocks.next(block).await.map_err(|error| error.to_string())?;
        if block.is_empty() {
            return check.finish(base).map_err(|fault| fault.to_string());
        }
        check.feed(&block);
        core.pauses.rest().await;
    }
}

async fn replay_segment(
    core: &Core,
    target: &mut Target<'_>,
    replay: &Replay,
) -> Result<(), String> {
    let (mut fill, mut seen) = (LogFill::new(replay), Seen::of(replay));
    let mut blocks = open(core, &replay.path, Way::Cached).await?;
    let mut block = Aligned::default();
    while !fill.at_end() {
        block = next(core, &mut blocks, block).await?;
        if block.is_empty() {
            break;
        }
        let count = target.with(core, |shard| fill.feed(shard, &block));
        let count = count.map_err(|fault| fault.to_string())?;
        seen.feed(&block);
        core.shared.loaded.commands.fetch_add(count, Ordering::Relaxed);
        core.pauses.rest().await;
    }
    fill.finish().map_err(|fault| fault.to_string())?;
    core.shared.loaded.note_seen(&replay.path, seen);
    Ok(())
}

/// Core 0's part: once all cores have loaded, opens the new segments and makes them the database.
pub async fn finish(core: &Rc<Core>, found: &Found) -> Result<(), String> {
    let mut told = 0;
    while core.shared.loaded.cores.load(Ordering::Acquire) < usize::from(core.shards) {
        if let Some(why) = core.shared.loaded.failed.get() {
            return Err(why.clone());
        }
        glommio::timer::sleep(Duration::from_millis(10)).await;
        told += 1;
        if told % 100 == 0 {
            progress(core);
        }
    }
    core.shared.epochs.start_at(Epoch(found.epoch.0));
    for shard in (0..core.shards).map(ShardId) {
        core.shared.publish_durable(shard, Epoch(found.epoch.0 - 1));
    }
    let directory = core.database.directory.clone();
    let mut kept = Kept::Durable;
    if let Some((_, plan)) = &found.old {
        let cuts: Vec<_> = plan.shards.iter().flat_map(|shard| shard.cuts.clone()).collect();
        recover::keep_cuts(&directory, &cuts).map_err(|error| {
            format!("cannot keep what recovery cuts off in {}: {error}", names::LOST_CUT)
        })?;
        kept = sync_kept(core, plan).await?;
    }
    loaded(core);
    let refused = |why| match found.import {
        Some(_) => format!("nothing is imported: {why}"),
        None => why,
    };
    functions::rebuild(core).await.map_err(refused)?;
    core.on_all(crate::server::settings::apply).await;
    let replaced = found.is_resharding() || kept == Kept::Loaded;
    if let Some((manifest, plan)) = found.old.as_ref().filter(|_| replaced) {
        if found.is_resharding() {
            log::notice(format!(
                "The files are those of {} shards: writing a checkpoint for {}",
                found.old_shards().unwrap_or_default(),
                core.shards
            ));
        }
        checkpoint::checkpoint_anew(core, plan.manifest(manifest)).await?;
    } else if found.import.is_some() {
        import::commit(core).await?;
    } else if core.settings.borrow().config.appendonly {
        open_logs(core).await?;
    }
    if found.old.is_some() {
        checkpoint::tidy(core).await;
    }
    Ok(())
}

/// Where what is kept of the old log is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// On the device.
    Durable,
    /// In the shards alone, in part: a checkpoint has to take its place.
    Loaded,
}

/// What is kept of the old log may so far be in the page cache alone, and even count as clean
/// there (server/rewrite.rs).
async fn sync_kept(core: &Core, plan: &Plan) -> Result<Kept, String> {
    let mut kept = Kept::Durable;
    for replay in plan.shards.iter().flat_map(|shard| &shard.replay) {
        let seen = core.shared.loaded.take_seen(replay);
        let done = disk::write_again(&core.database.directory, replay, seen).await;
        match done.map_err(|error| error.to_string())? {
            Again::InPlace => {}
            Again::Anew => {
                log::warning(format!("{}: not on the disk as it was, copied", replay.path));
            }
            Again::Lost => {
                log::warning(format!(
                    "{}: it was read whole, but a part whose sync had failed has gone since: \
                     writing a checkpoint instead",
                    replay.path
                ));
                kept = Kept::Loaded;
            }
        }
    }
    Ok(kept)
}

/// A line in the log about how far loading is.
pub fn progress(core: &Core) {
    let loaded = &core.shared.loaded;
    let (done, total) =
        (loaded.bytes.load(Ordering::Relaxed), loaded.total.load(Ordering::Relaxed));
    let elapsed = core.shared.started.elapsed();
    log::notice(format!("Loading: {}", Progress { of: "bytes", done, total, elapsed }));
}

fn loaded(core: &Core) {
    let loaded = &core.shared.loaded;
    log::notice(format!(
        "DB loaded: {} keys from snapshots, {} commands from the log, {} bytes in {:.3} seconds",
        loaded.keys.load(Ordering::Relaxed),
        loaded.commands.load(Ordering::Relaxed),
        loaded.bytes.load(Ordering::Relaxed),
        core.shared.started.elapsed().as_secs_f64()
    ));
}

/// A new segment for each shard, after all that was there.
async fn open_logs(core: &Rc<Core>) -> Result<(), String> {
    let error = |error: DiskError| error.to_string();
    let root = core.database.directory.clone();
    let mut manifest = core.database.manifest();
    let directory = root.join(names::directory(manifest.generation));
    disk::create_dir(&directory).await.map_err(error)?;
    disk::sync_dir(&root).await.map_err(error)?;
    for shard in (0..core.shards).map(ShardId) {
        let generation = manifest.generation;
        let segment = core
            .on_async(shard, move |core| async move {
                let first = core.shard.borrow().appended().next();
                let segment = aof::new_segment(&core, generation).await?;
                Ok::<_, String>(Segment { first: Some(first), ..segment })
            })
            .await?;
        if let Some(files) = manifest.shards.get_mut(shard.index()) {
            files.segments.push(segment);
        }
    }
    disk::sync_dir(&directory).await.map_err(error)?;
    checkpoint::write_manifest(core, manifest).await.map_err(error)?;
    core.on_all(|core| {
        let number = core.log_files.borrow().keys().last().copied().unwrap_or_default();
        let epoch = core.shared.epochs.now();
        let fsync = core.settings.borrow().config.appendfsync;
        let id =
            crate::persist::record::SegmentId { run: core.database.run, shard: core.id, number };
        let mut shard = core.shard.borrow_mut();
        let log = SegmentWriter::new(id, shard.appended(), epoch);
        shard.open_log(log, aof::promise(fsync));
    })
    .await;
    Ok(())
}
