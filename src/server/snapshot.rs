//! Writes one shard's base: slices of the traversal on the shard's own core, large writes to the
//! file while the next slice runs.

use std::rc::Rc;
use std::time::Duration;

use crate::base::ids::{Epoch, Generation, ShardId};
use crate::limits::{SNAPSHOT_BUFFER, SNAPSHOT_SLICE};
use crate::persist::manifest::Base;
use crate::persist::names;
use crate::server::core::Core;
use crate::server::disk::{self, DiskError, File, Open};
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
    let file = Rc::new(File::open(&full, Open::New).await.map_err(error)?);
    let header = (generation, cut, core.shards, core.database.run);
    core.shard.borrow_mut().start_base(form, header, core.database.manifest().hash);
    let mut offset = 0;
    let mut writing: Option<glommio::task::JoinHandle<Result<Vec<u8>, DiskError>>> = None;
    loop {
        let progress = slice(core);
        if !buffer_is_due(core, progress) {
            core.pauses.rest().await;
            continue;
        }
        let bytes = core.shard.borrow_mut().take_base_bytes();
        if let Some(before) = writing.take() {
            finished(before.await)?;
        }
        let length = bytes.len() as u64;
        let (target, at) = (Rc::clone(&file), offset);
        let ring = core.requests.clone();
        let task = async move { target.write_all_at(&ring, bytes, at).await };
        writing = Some(glommio::spawn_local(task).detach());
        offset += length;
        if progress == Progress::Done {
            break;
        }
        core.pauses.rest().await;
    }
    if let Some(last) = writing.take() {
        finished(last.await)?;
    }
    let (bytes, crc, entries) = core.shard.borrow_mut().end_base();
    let length = offset + bytes.len() as u64;
    file.write_all_at(&core.requests, bytes, offset).await.map_err(error)?;
    file.sync_data(&core.requests).await.map_err(error)?;
    let preimage_peak = core.shard.borrow().keys.preimage_peak() as u64;
    let base = Base { path, run: core.database.run, length, crc, entries };
    Ok(Written { base, preimage_peak })
}

fn finished(result: Option<Result<Vec<u8>, DiskError>>) -> Result<(), String> {
    match result {
        Some(Ok(_)) => Ok(()),
        Some(Err(error)) => Err(error.to_string()),
        None => unreachable!("a write is not cancelled"),
    }
}

fn buffer_is_due(core: &Core, progress: Progress) -> bool {
    progress == Progress::Done || core.shard.borrow().base_bytes() >= SNAPSHOT_BUFFER
}

/// One slice of the traversal: until its time is over or the buffer is full.
fn slice(core: &Rc<Core>) -> Progress {
    core.clock.start_turn();
    let slice = core.clock.slice(SNAPSHOT_SLICE);
    let began = processor_time();
    let mut shard = core.shard.borrow_mut();
    let progress = loop {
        let progress = shard.base_step();
        if progress != Progress::More || slice.is_over() || shard.base_bytes() >= SNAPSHOT_BUFFER {
            break progress;
        }
    };
    shard.note_slice((processor_time() - began).as_micros() as u64);
    progress
}

/// Processor time of this thread: what a slice is charged with, whoever else is running.
fn processor_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
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
                    sweeping.pauses.rest().await;
                }
            })
            .detach();
        })
        .await;
    }
}
