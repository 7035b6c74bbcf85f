//! BACKUP on a running server: where the one that is being made is, and what makes it
//! (`server::backup`). Core 0 runs it; the files are linked, copied and verified on a thread of the
//! lowest priority, so that no shard waits for them.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;

use crate::base::ids::ShardId;
use crate::commands::admin::Busy;
use crate::commands::backup::{Deed, Logged, Stage, Status, Verb, decide};
use crate::persist::backup::{self as names, Keep};
use crate::resp::error::Error;
use crate::server::backup::{self, Job, Made};
use crate::server::core::Core;
use crate::server::offline::OfflineError;
use crate::server::{aof, clock, disk, log, saver};

/// Core 0's part: the others ask it.
#[derive(Debug, Default)]
pub struct Sealing {
    status: RefCell<Status>,
    /// How many were started: what a snapshot finds again when it has ended.
    number: Cell<u64>,
}

/// The answer to a verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Ok,
    /// Paths of the complete backups, the oldest first.
    Paths(Vec<String>),
    /// How far it is.
    Status(Box<Status>),
}

/// A client's verb, on whatever core. SEAL answers when the backup is complete.
pub async fn answer(core: &Rc<Core>, verb: Verb) -> Result<Answer, Error> {
    core.on_async(ShardId(0), move |core| async move { on_verb(&core, verb).await }).await
}

async fn on_verb(core: &Rc<Core>, verb: Verb) -> Result<Answer, Error> {
    let logged = if core.shard.borrow().log().is_some() { Logged::Yes } else { Logged::No };
    let stage = core.sealing.status.borrow().stage;
    match decide(verb, stage, logged)? {
        Deed::Await => begin(core, Stage::Incrementing),
        Deed::Snapshot => {
            begin(core, Stage::Snapshotting);
            glommio::spawn_local(snapshot(Rc::clone(core))).detach();
        }
        Deed::Seal => seal(core).await?,
        Deed::Forget => *core.sealing.status.borrow_mut() = Status::default(),
        Deed::Remove => remove(core).await?,
        Deed::Tell if verb == Verb::List => return Ok(Answer::Paths(paths(core).await?)),
        Deed::Tell => return Ok(Answer::Status(Box::new(core.sealing.status.borrow().clone()))),
    }
    Ok(Answer::Ok)
}

fn begin(core: &Core, stage: Stage) {
    core.sealing.number.set(core.sealing.number.get() + 1);
    *core.sealing.status.borrow_mut() =
        Status { stage, started: clock::wall().0 / 1000, ..Status::default() };
}

/// Makes the snapshot that a backup without a log begins with.
async fn snapshot(core: Rc<Core>) {
    let number = core.sealing.number.get();
    core.saver.ended.until(|| (!core.saver.is_busy()).then_some(())).await;
    let done = saver::run(Rc::clone(&core), Busy::Saving).await;
    let mut status = core.sealing.status.borrow_mut();
    // It may have been given up meanwhile, and another one started.
    if core.sealing.number.get() == number && status.stage == Stage::Snapshotting {
        match done {
            true => status.stage = Stage::Incrementing,
            false => {
                status.stage = Stage::Failed;
                status.error = "the snapshot failed, see the log".to_owned();
            }
        }
    }
}

async fn seal(core: &Rc<Core>) -> Result<(), Error> {
    core.sealing.status.borrow_mut().stage = Stage::Sealing;
    // Everything that was acknowledged before the request is in it.
    aof::reach(core).await;
    let job = job(core);
    let made = match core.shared.is_broken() {
        true => Err("the log is broken, see INFO persistence".to_owned()),
        false => {
            let made = disk::aside("backup", move || backup::make(&job)).await;
            made.map_err(|e| e.to_string()).and_then(|made| made.map_err(|e| e.to_string()))
        }
    };
    let mut status = core.sealing.status.borrow_mut();
    match made {
        Ok(Made { path, verified, links, copies, removed, .. }) => {
            status.stage = Stage::Sealed;
            status.sealed = clock::wall().0 / 1000;
            status.path = path.display().to_string();
            status.bytes = verified.bytes;
            log::notice(format!(
                "Backup {}: {links} files linked, {copies} copied, {} bytes verified, {} older \
                 backups removed",
                status.path,
                verified.bytes,
                removed.len()
            ));
            Ok(())
        }
        Err(why) => {
            log::warning(format!("The backup failed: {why}"));
            status.stage = Stage::Failed;
            status.error.clone_from(&why);
            Err(Error::err_owned(format!("The backup failed: {why}")))
        }
    }
}

fn job(core: &Core) -> Job {
    let config = &core.settings.borrow().config;
    let keep = Keep {
        hourly: config.backup_keep_hourly as usize,
        daily: config.backup_keep_daily as usize,
        monthly: config.backup_keep_monthly as usize,
    };
    Job { from: core.database.directory.clone(), to: target(core), now: clock::wall(), keep }
}

/// The directory of all backups.
fn target(core: &Core) -> PathBuf {
    core.database.directory.join(&core.settings.borrow().config.backupdirname)
}

async fn remove(core: &Rc<Core>) -> Result<(), Error> {
    let path = PathBuf::from(core.sealing.status.borrow().path.clone());
    if !path.as_os_str().is_empty() {
        disk::remove_dir(&path).await.map_err(|error| Error::err_owned(error.to_string()))?;
        log::notice(format!("Backup {} was removed", path.display()));
    }
    *core.sealing.status.borrow_mut() = Status::default();
    Ok(())
}

async fn paths(core: &Rc<Core>) -> Result<Vec<String>, Error> {
    let to = target(core);
    let all = disk::aside("backup-list", move || {
        let all = backup::moments(&to)?;
        let path = |moment| to.join(names::name(moment)).display().to_string();
        Ok(all.into_iter().map(path).collect::<Vec<_>>())
    });
    let all = all.await.map_err(|error| Error::err_owned(error.to_string()))?;
    all.map_err(|error: OfflineError| Error::err_owned(error.to_string()))
}
