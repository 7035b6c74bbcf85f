//! Writes one shard's base: slices of the traversal on the shard's own core, and between them what
//! they made goes to the file (base_file.rs).

use std::rc::Rc;

use crate::base::ids::{Epoch, Generation, ShardId};
use crate::limits::{SNAPSHOT_BUFFER, SNAPSHOT_SLICE, SNAPSHOT_SLICE_LEAST};
use crate::persist::manifest::Base;
use crate::persist::names;
use crate::server::aof;
use crate::server::base_file::{BaseFile, Buffers, pace};
use crate::server::clock::processor_time;
use crate::server::core::Core;
use crate::server::disk::{self, DiskError};
use crate::shard::cut::{BaseForm, Progress};

/// A base that is durable.
#[derive(Clone, Debug)]
pub struct Written {
    /// As the manifest names it, except for the run.
    pub base: Base,
    /// The most bytes that waited as pre-images.
    pub preimage_peak: u64,
}

/// Writes the bases of all shards at once; each core its own.
pub async fn write_all(
    core: &Rc<Core>,
    generation: Generation,
    cut: Epoch,
) -> Result<Vec<Written>, String> {
    let mut running = Vec::new();
    for shard in (0..core.shards).map(ShardId) {
        let work = move |core: Rc<Core>| async move { write(&core, generation, cut).await };
        running.push(core.start_on(shard, work));
    }
    let mut written = Vec::new();
    let mut failed = None;
    // All are awaited, also when one has failed: none may still write when the sweep begins.
    for running in running {
        match running.await {
            Some(Ok(base)) => written.push(base),
            Some(Err(why)) => failed = Some(why),
            None => unreachable!("a task that was started ends"),
        }
    }
    failed.map_or(Ok(written), Err)
}

async fn write(core: &Rc<Core>, generation: Generation, cut: Epoch) -> Result<Written, String> {
    let yes = core.settings.borrow().config.aof_use_rdb_preamble;
    let form = if yes { BaseForm::Snapshot } else { BaseForm::Commands };
    let path = match form {
        BaseForm::Snapshot => names::snapshot(generation, core.id),
        BaseForm::Commands => names::text_base(generation, core.id),
    };
    let error = |error: DiskError| error.to_string();
    let full = core.database.directory.join(&path);
    let buffers = core.base_buffers.take();
    let mut bytes = buffers.taken;
    let pace = pace(aof::logged(core));
    let file = BaseFile::create(&full, core.requests.clone(), buffers.direct, pace);
    let mut file = file.await.map_err(error)?;
    let header = (generation, cut, core.shards, core.database.run);
    core.shard.borrow_mut().start_base(form, header, core.database.manifest().hash);
    loop {
        let progress = slice(core);
        core.pauses.step_back().await;
        if progress != Progress::Done && core.shard.borrow().base_bytes() < SNAPSHOT_BUFFER {
            continue;
        }
        bytes = core.shard.borrow_mut().take_base_bytes(bytes);
        file.append(&bytes).await.map_err(error)?;
        if progress == Progress::Done {
            break;
        }
        core.pauses.step_back().await;
    }
    let (taken, crc, entries) = core.shard.borrow_mut().end_base(bytes);
    file.append(&taken).await.map_err(error)?;
    let (length, direct) = file.finish().await.map_err(error)?;
    core.base_buffers.replace(Buffers { taken, direct });
    let preimage_peak = core.shard.borrow().keys.preimage_peak() as u64;
    let base = Base { path, run: core.database.run, length, crc, entries };
    Ok(Written { base, preimage_peak })
}

/// One slice of the traversal: until its time is over, the buffer is full, or, after the least of
/// its time, somebody waits.
fn slice(core: &Rc<Core>) -> Progress {
    core.clock.start_turn();
    let least = core.clock.slice(SNAPSHOT_SLICE_LEAST);
    let most = core.clock.slice(SNAPSHOT_SLICE);
    let began = processor_time();
    let mut shard = core.shard.borrow_mut();
    let progress = loop {
        let progress = shard.base_step();
        if progress != Progress::More
            || most.is_over()
            || least.is_over() && core.is_awaited()
            || shard.base_bytes() >= SNAPSHOT_BUFFER
        {
            break progress;
        }
    };
    shard.note_slice((processor_time() - began).as_micros() as u64);
    progress
}

/// Gives a snapshot up everywhere: the sweep goes on in the background, and the files are removed.
pub async fn abort_all(core: &Rc<Core>, generation: Generation) {
    for shard in (0..core.shards).map(ShardId) {
        core.on_async(shard, move |core| async move {
            core.shard.borrow_mut().abort_base();
            let root = core.database.directory.clone();
            for path in
                [names::snapshot(generation, core.id), names::text_base(generation, core.id)]
            {
                // It may not have been made; what cannot be removed goes with the next checkpoint.
                let _ = disk::remove(&root.join(path)).await;
            }
            let sweeping = Rc::clone(&core);
            glommio::spawn_local(async move {
                while sweeping.shard.borrow_mut().base_step() != Progress::Done {
                    sweeping.pauses.step_back().await;
                }
            })
            .detach();
        })
        .await;
    }
}
