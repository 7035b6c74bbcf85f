//! When checkpoints happen: requests, save points, the automatic rewrite, healing a broken log.
//! There is one mechanism (`server::checkpoint`) and one of it at a time; core 0 runs it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::base::ids::ShardId;
use crate::commands::admin::{self, Busy, Saving as Wish, Start};
use crate::keyspace::snapshot::Progress as KeyProgress;
use crate::limits::{HEAL_INTERVAL, PROGRESS_INTERVAL, TICK};
use crate::observe::progress::Progress;
use crate::persist::saving::{Due, Situation, due};
use crate::persist::segment::SegmentWriter;
use crate::resp::error::Error;
use crate::server::checkpoint::{self, Summary};
use crate::server::clock;
use crate::server::core::Core;
use crate::server::log;
use crate::server::signal::Crowd;

/// What INFO and LASTSAVE tell about checkpoints, and what is planned.
#[derive(Clone, Debug)]
pub struct Saving {
    /// What is running.
    pub busy: Busy,
    /// When it started.
    pub since: Option<Instant>,
    /// A save is to follow.
    pub save_scheduled: bool,
    /// A rewrite is to follow.
    pub rewrite_scheduled: bool,
    /// When the last save became durable: seconds since 1970.
    pub last_save: u64,
    /// Did the last save succeed?
    pub save_ok: bool,
    /// Did the last rewrite succeed?
    pub rewrite_ok: bool,
    /// How long the last save took, in seconds; -1: there was none.
    pub save_seconds: i64,
    /// The same for rewrites.
    pub rewrite_seconds: i64,
    /// Saves that succeeded.
    pub saves: u64,
    /// Rewrites that succeeded.
    pub rewrites: u64,
    /// Rewrites that failed one after another.
    pub rewrite_failures: u64,
    /// When the last attempt failed.
    pub failed_at: Option<Instant>,
    /// The last one that succeeded.
    pub last: Summary,
}

impl Default for Saving {
    fn default() -> Saving {
        Saving {
            busy: Busy::Idle,
            since: None,
            save_scheduled: false,
            rewrite_scheduled: false,
            last_save: clock::wall().0 / 1000,
            save_ok: true,
            rewrite_ok: true,
            save_seconds: -1,
            rewrite_seconds: -1,
            saves: 0,
            rewrites: 0,
            rewrite_failures: 0,
            failed_at: None,
            last: Summary::default(),
        }
    }
}

/// Core 0's part: the others ask it.
#[derive(Debug, Default)]
pub struct Saver {
    /// What is known.
    pub state: RefCell<Saving>,
    /// Woken when a checkpoint has ended.
    pub ended: Crowd,
}

/// A client's wish, on whatever core. For SAVE the answer comes when the save is durable.
pub async fn wish(core: &Rc<Core>, wish: Wish) -> Result<Start, Error> {
    core.on_async(ShardId(0), move |core| async move { on_wish(&core, wish).await }).await
}

async fn on_wish(core: &Rc<Core>, wish: Wish) -> Result<Start, Error> {
    let busy = core.saver.state.borrow().busy;
    let start = admin::start(wish, busy)?;
    let what = if wish == Wish::Rewrite { Busy::Rewriting } else { Busy::Saving };
    match (wish, start) {
        (Wish::Save, _) => {
            core.saver.ended.until(|| core.saver.is_idle().then_some(())).await;
            match run(Rc::clone(core), what).await {
                true => Ok(start),
                false => Err(Error::err("Background saving failed, see the log")),
            }
        }
        (_, Start::Now) => {
            core.saver.state.borrow_mut().busy = what;
            glommio::spawn_local(run(Rc::clone(core), what)).detach();
            Ok(start)
        }
        (Wish::BgSave(_), Start::Later) => {
            core.saver.state.borrow_mut().save_scheduled = true;
            Ok(start)
        }
        (Wish::Rewrite, Start::Later) => {
            core.saver.state.borrow_mut().rewrite_scheduled = true;
            Ok(start)
        }
    }
}

/// The snapshot before the end, behind the checkpoint that may be running. Says whether it is
/// there. Core 0 runs it.
pub async fn save_at_last(core: &Rc<Core>) -> bool {
    core.saver.ended.until(|| core.saver.is_idle().then_some(())).await;
    run(Rc::clone(core), Busy::Saving).await
}

impl Saver {
    /// Is a checkpoint being made?
    pub fn is_busy(&self) -> bool {
        !self.is_idle()
    }

    fn is_idle(&self) -> bool {
        self.state.borrow().busy == Busy::Idle
    }
}

fn title(busy: Busy) -> &'static str {
    match busy {
        Busy::Idle | Busy::Saving => "Background saving",
        Busy::Rewriting => "Background append only file rewriting",
    }
}

/// One checkpoint from start to end, with its bookkeeping. Says whether it succeeded.
pub async fn run(core: Rc<Core>, busy: Busy) -> bool {
    let started = Instant::now();
    {
        let mut state = core.saver.state.borrow_mut();
        state.busy = busy;
        state.since = Some(started);
        match busy {
            Busy::Idle | Busy::Saving => state.save_scheduled = false,
            Busy::Rewriting => state.rewrite_scheduled = false,
        }
    }
    log::notice(format!("{} started", title(busy)));
    glommio::spawn_local(tell(Rc::clone(&core), title(busy), started)).detach();
    let result = checkpoint::checkpoint(&core).await;
    let seconds = started.elapsed().as_secs_f64();
    let ok = result.is_ok();
    note_end(&core, busy, result.as_ref().ok(), seconds as i64);
    match result {
        Ok(summary) => log::notice(format!("{} done in {seconds:.3} s: {summary}", title(busy))),
        Err(why) => log::warning(format!("{} failed: {why}", title(busy))),
    }
    checkpoint::refuse_or_allow_writes(&core).await;
    core.saver.ended.wake();
    ok
}

/// Says every few seconds how far a checkpoint is.
async fn tell(core: Rc<Core>, title: &'static str, started: Instant) {
    loop {
        glommio::timer::sleep(PROGRESS_INTERVAL).await;
        if core.saver.state.borrow().since != Some(started) {
            return;
        }
        let figures = core.on_all(|core| core.shard.borrow().keys.progress()).await;
        let sum = |of: fn(&KeyProgress) -> u64| figures.iter().flatten().map(of).sum();
        let (done, total) = (sum(|now| now.written), sum(|now| now.keys));
        let progress = Progress { of: "keys", done, total, elapsed: started.elapsed() };
        log::notice(format!("{title}: {progress}"));
    }
}

fn note_end(core: &Core, busy: Busy, summary: Option<&Summary>, seconds: i64) {
    let mut state = core.saver.state.borrow_mut();
    state.busy = Busy::Idle;
    state.since = None;
    state.failed_at = if summary.is_some() { None } else { Some(Instant::now()) };
    // One mechanism: whatever asked for it, a checkpoint that succeeds is a save.
    if let Some(summary) = summary {
        state.last_save = clock::wall().0 / 1000;
        state.save_ok = true;
        state.last = summary.clone();
    }
    match (busy, summary.is_some()) {
        (Busy::Idle | Busy::Saving, ok) => {
            state.save_ok = ok;
            state.save_seconds = seconds;
            state.saves += u64::from(ok);
        }
        (Busy::Rewriting, true) => {
            state.rewrite_ok = true;
            state.rewrite_seconds = seconds;
            state.rewrites += 1;
            state.rewrite_failures = 0;
        }
        (Busy::Rewriting, false) => {
            state.rewrite_ok = false;
            state.rewrite_seconds = seconds;
            state.rewrite_failures += 1;
        }
    }
}

/// The task of core 0 that starts checkpoints by itself.
pub async fn tend(core: Rc<Core>) {
    loop {
        glommio::timer::sleep(TICK).await;
        let situation = look(&core).await;
        let Some(next) = due(&situation) else { continue };
        let (why, busy) = match next {
            Due::Save(why) => (why, Busy::Saving),
            Due::Rewrite(why) => (why, Busy::Rewriting),
            Due::Heal => {
                ("Trying to heal the log with a new checkpoint".to_owned(), Busy::Rewriting)
            }
        };
        log::notice(why);
        run(Rc::clone(&core), busy).await;
    }
}

/// All that the decision needs.
async fn look(core: &Rc<Core>) -> Situation {
    let figures = core
        .on_all(|core| {
            let shard = core.shard.borrow();
            (shard.changes, shard.log().map_or(0, SegmentWriter::length))
        })
        .await;
    let config = core.settings.borrow().config.clone();
    let state = core.saver.state.borrow();
    Situation {
        running: state.busy != Busy::Idle,
        save_scheduled: state.save_scheduled,
        rewrite_scheduled: state.rewrite_scheduled,
        broken: core.shared.is_broken(),
        since_save: Duration::from_secs((clock::wall().0 / 1000).saturating_sub(state.last_save)),
        since_failure: state.failed_at.map(|at| at.elapsed()),
        heal_interval: HEAL_INTERVAL,
        changes: figures.iter().map(|(changes, _)| changes).sum(),
        points: config.save.iter().map(|point| (point.seconds, point.changes)).collect(),
        log_bytes: figures.iter().map(|(_, bytes)| bytes).sum::<u64>(),
        base_bytes: state.last.bytes,
        growth_percent: if config.appendonly { config.auto_aof_rewrite_percentage } else { 0 },
        growth_min: config.auto_aof_rewrite_min_size,
    }
}
