//! One checkpoint, from an empty directory to the manifest that makes it the database. Core 0 runs
//! it; each core does its shard's part.
//!
//! ```text
//!  1 prepare   a directory for the generation; each shard's next segment and snapshot file in it;
//!              a manifest that lists the next segments after the present ones
//!  2 cut       the epoch advances; each shard, between two commands, flips its polarity and goes
//!              on in the next segment
//!  3 write     each shard is traversed in slices; the files are synced
//!  4 commit    the new manifest is renamed into place: from here on the new files are the database
//!  5 tidy      what no manifest governs is removed
//! ```
//!
//! A crash before 4 leaves the old generation, whose log goes on in the prepared segments; a crash
//! after it leaves the new one. A failure in 3 ends the same way, with the old manifest in place.

use std::fmt;
use std::path::Path;
use std::rc::Rc;

use crate::base::ids::{Epoch, Generation, Lsn, ShardId};
use crate::base::time::Millis;
use crate::persist::manifest::{Base, End, Manifest, Segment, ShardFiles};
use crate::persist::names::{self, Fate, Name};
use crate::persist::record::SegmentId;
use crate::resp::error::Error;
use crate::server::advance::Advance;
use crate::server::aof;
use crate::server::base_file::{Pace, pace};
use crate::server::clock;
use crate::server::core::Core;
use crate::server::disk::{self, DiskError};
use crate::server::log;
use crate::server::retain;
use crate::server::settings;
use crate::server::shrink;
use crate::server::snapshot;
use crate::shard::cut::NextLog;
use crate::shard::shard::Writes;

/// What a checkpoint has come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Keys in it.
    pub keys: u64,
    /// Bytes of its snapshot files.
    pub bytes: u64,
    /// The most that waited as pre-images, over all shards together.
    pub preimage_peak: u64,
    /// Microseconds from the first shard's cut to the last one's.
    pub cut_usec: u64,
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Summary { keys, bytes, preimage_peak, cut_usec } = self;
        write!(
            out,
            "{keys} keys, {bytes} bytes, pre-images at most {preimage_peak} bytes, \
             cut in {cut_usec} us"
        )
    }
}

/// Makes one checkpoint. When it fails, the old set of files is untouched, and what was made is
/// left for the next one to remove, except the snapshot files, whose space may be what is missing.
pub async fn checkpoint(core: &Rc<Core>) -> Result<Summary, String> {
    let generation = core.database.next_generation();
    let logs = core.settings.borrow().config.appendonly;
    // A log that only begins with this checkpoint does not continue what the manifest lists.
    let has_log = core.shard.borrow().log().is_some();
    let present = if has_log { Present::Theirs } else { Present::Unlogged };
    make(core, generation, logs, present).await
}

/// The first checkpoint of a database whose files are those of another number of shards: nothing
/// has been logged yet, and the old files, those of `old`, stay the database until it is done.
pub async fn checkpoint_anew(core: &Rc<Core>, old: Manifest) -> Result<Summary, String> {
    let generation = core.database.next_generation();
    let logs = core.settings.borrow().config.appendonly;
    make(core, generation, logs, Present::Others(Box::new(old))).await
}

/// What the manifest that is on disk says about the logs that run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Present {
    /// It lists them: the next segments are added.
    Theirs,
    /// It lists none: there were no logs.
    Unlogged,
    /// It is this one, about another number of shards: it stays as it is until the commit.
    Others(Box<Manifest>),
}

async fn make(
    core: &Rc<Core>,
    generation: Generation,
    logs: bool,
    present: Present,
) -> Result<Summary, String> {
    let nexts = prepare(core, generation, logs, &present).await?;
    let cut = cut(core, &nexts).await;
    // From here on the shards are in mid-snapshot, whatever happens.
    core.database.note_cut(&cut.afters);
    let replaced = match present {
        Present::Others(old) => *old,
        Present::Theirs | Present::Unlogged => core.database.manifest(),
    };
    let bases = snapshot::write_all(core, generation, cut.epoch).await;
    let bases = match bases {
        Ok(bases) => bases,
        Err(why) => {
            snapshot::abort_all(core, generation).await;
            return Err(why);
        }
    };
    let manifest = committed(core, generation, &cut, &nexts, &bases);
    let manifest = retain::retain(core, replaced, manifest).await;
    // The names of the bases are younger than the last sync of their directory.
    let directory = core.database.directory.join(names::directory(generation));
    disk::sync_dir(&directory).await.map_err(|error| error.to_string())?;
    write_manifest(core, manifest).await.map_err(|error| error.to_string())?;
    heal(core, &cut, logs).await;
    tidy(core).await;
    Ok(Summary {
        keys: bases.iter().map(|base| base.base.entries.total()).sum(),
        bytes: bases.iter().map(|base| base.base.length).sum(),
        preimage_peak: bases.iter().map(|base| base.preimage_peak).sum(),
        cut_usec: cut.usec,
    })
}

/// A shard's next segment, for those that log.
type Nexts = Vec<Option<Segment>>;

async fn prepare(
    core: &Rc<Core>,
    generation: Generation,
    logs: bool,
    present: &Present,
) -> Result<Nexts, String> {
    let error = |error: DiskError| error.to_string();
    let root = core.database.directory.clone();
    let directory = root.join(names::directory(generation));
    disk::create_dir(&directory).await.map_err(error)?;
    disk::sync_dir(&root).await.map_err(error)?;
    let mut nexts = Nexts::new();
    for shard in (0..core.shards).map(ShardId) {
        let next =
            core.on_async(shard, move |core| async move {
                prepare_shard(&core, generation, logs).await
            })
            .await?;
        nexts.push(next);
    }
    disk::sync_dir(&directory).await.map_err(error)?;
    if logs && *present == Present::Theirs {
        let mut manifest = core.database.manifest();
        manifest.durable = core.shared.durable_epoch().max(manifest.durable);
        for (files, next) in manifest.shards.iter_mut().zip(&nexts) {
            files.segments.extend(next.clone());
        }
        write_manifest(core, manifest).await.map_err(error)?;
    }
    Ok(nexts)
}

async fn prepare_shard(
    core: &Rc<Core>,
    generation: Generation,
    logs: bool,
) -> Result<Option<Segment>, String> {
    if core.shard.borrow().keys.is_cut() {
        return Err("an aborted snapshot is still being swept".to_owned());
    }
    if !logs {
        return Ok(None);
    }
    // The segment before the present one has to be closed: one switch at a time. Everything up to
    // now is made durable, whoever else is syncing.
    aof::flush(core).await;
    if core.shard.borrow().log().is_some_and(|log| !log.can_switch() && log.fault().is_none()) {
        return Err("the segment before the last is not closed yet".to_owned());
    }
    aof::new_segment(core, generation).await.map(Some)
}

/// Where the shards were cut.
struct Cuts {
    epoch: Epoch,
    /// The last lsn before the cut, and where the segment before it ended, by shard.
    afters: Vec<(Lsn, Option<End>)>,
    /// The wall clock, once all were.
    time: Millis,
    usec: u64,
}

async fn cut(core: &Rc<Core>, nexts: &Nexts) -> Cuts {
    let advance = Advance::begin(core).await;
    let epoch = Epoch(core.shared.epochs.now().0 + 1);
    for (shard, next) in (0..core.shards).map(ShardId).zip(nexts) {
        let id = next.as_ref().map(|segment| SegmentId {
            run: segment.run,
            shard,
            number: segment.number,
        });
        core.on(shard, move |core| {
            let stamp = aof::stamp(core);
            let has_log = core.shard.borrow().log().is_some();
            let next = match id {
                Some(id) if has_log => NextLog::Switch(id, stamp),
                Some(id) => NextLog::Open(id),
                None => NextLog::Keep,
            };
            core.shard.borrow_mut().arm(epoch, next);
        })
        .await;
    }
    let began = std::time::Instant::now();
    let reached = advance.advance().await;
    assert_eq!(reached, epoch, "nobody else advances the epoch");
    let afters = core
        .on_all(move |core| {
            core.clock.start_turn();
            core.run(|shard| shard.cut_at())
        })
        .await;
    let usec = began.elapsed().as_micros() as u64;
    Cuts { epoch, afters, time: clock::wall(), usec }
}

fn committed(
    core: &Core,
    generation: Generation,
    cut: &Cuts,
    nexts: &Nexts,
    bases: &[snapshot::Written],
) -> Manifest {
    let shards = nexts.iter().zip(&cut.afters).zip(bases).map(|((next, (after, _)), written)| {
        let base = Base { run: core.database.run, ..written.base.clone() };
        ShardFiles::after_cut(*after, Some(base), next.clone())
    });
    let config = core.settings.borrow().config.clone();
    Manifest {
        run: core.database.run,
        generation,
        cut: cut.epoch,
        cut_time: cut.time,
        durable: Epoch(cut.epoch.0 - 1),
        boot: core.database.boot.clone(),
        appendonly: config.appendonly,
        policy: aof::policy(config.appendfsync),
        shards: shards.collect(),
        ..core.database.manifest()
    }
}

/// Makes this manifest the database's.
pub async fn write_manifest(core: &Core, manifest: Manifest) -> Result<(), DiskError> {
    let bytes = manifest.encode();
    disk::replace_file(&core.database.directory, names::MANIFEST, bytes).await?;
    core.database.set_manifest(manifest);
    Ok(())
}

/// The manifest is durable: so is everything before the cut. A broken log is whole again, in its
/// new segment.
async fn heal(core: &Rc<Core>, cut: &Cuts, logs: bool) {
    let afters: Vec<Lsn> = cut.afters.iter().map(|(after, _)| *after).collect();
    let healthy = core
        .on_all(move |core| {
            let after = afters.get(core.id.index()).copied().unwrap_or_default();
            let mut shard = core.shard.borrow_mut();
            let healthy = shard.checkpointed(after, logs);
            drop(shard);
            aof::close_unused(core);
            settings::apply(core);
            core.log_moved();
            core.log_due.raise();
            healthy
        })
        .await;
    if core.shared.is_broken() && healthy.iter().all(|healthy| *healthy) {
        core.shared.clear_fault();
        // The log may have failed again while it was found healthy; or the news of the old failure
        // may have reached a shard that had just been healed. The next checkpoint heals that.
        let sound = |core: &Rc<Core>| core.shard.borrow().keeps_promises();
        if !core.on_all(sound).await.iter().all(|sound| *sound) {
            aof::break_log(core, "it has failed again".to_owned(), "while it was healed").await;
            return;
        }
        log::notice("The log is whole again: writes are accepted");
    }
}

/// Writes are refused while the log is broken, and after a failed save if the settings say so.
pub async fn refuse_or_allow_writes(core: &Rc<Core>) {
    let config = core.settings.borrow().config.clone();
    let save_failed = !core.saver.state.borrow().save_ok;
    let writes = if core.shared.is_broken() {
        Writes::Refused(core.shared.fault())
    } else if save_failed && config.stop_writes_on_bgsave_error && !config.save.is_empty() {
        Writes::Refused(Error::MISCONF_SNAPSHOT)
    } else {
        Writes::Allowed
    };
    core.on_all(move |core| core.shard.borrow_mut().writes = writes.clone()).await;
}

/// Removes what the manifest does not govern. What cannot be removed is tried again next time. Big
/// files lose their names; while clients wait for syncs their blocks are freed later, bit by bit.
pub async fn tidy(core: &Core) {
    let (pace, mut rests) = (pace(aof::logged(core)), Vec::new());
    let root = &core.database.directory;
    let manifest = core.database.manifest();
    let mut paths = Vec::new();
    for entry in listed(root).await {
        if entry.is_directory && matches!(names::parse(&entry.name), Some(Name::Directory(_))) {
            let inside = listed(&root.join(&entry.name)).await;
            paths.extend(inside.iter().map(|file| format!("{}/{}", entry.name, file.name)));
        }
        paths.push(entry.name);
    }
    // Files come before the directory that they are in.
    for path in paths.iter().filter(|path| names::fate(path, Some(&manifest)) == Fate::Garbage) {
        let full = root.join(path);
        let removed = match (names::parse(path), pace) {
            (Some(Name::Directory(_)), _) => disk::remove_dir(&full).await,
            (_, Pace::Full) => disk::remove(&full).await,
            (_, Pace::BesideSyncs) => shrink::remove(&full).await.map(|rest| rests.extend(rest)),
        };
        if let Err(error) = removed {
            log::warning(error.to_string());
        }
    }
    if !rests.is_empty() {
        glommio::spawn_local(shrink::shrink(rests)).detach();
    }
}

async fn listed(directory: &Path) -> Vec<disk::Listed> {
    disk::list(directory).await.unwrap_or_else(|error| {
        log::warning(error.to_string());
        Vec::new()
    })
}
