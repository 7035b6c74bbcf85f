//! Looks after one core's log: one write for all that a turn appended, syncs as the policy says,
//! and the news to everybody who waits. What is written when stands in `persist::segment`.
//!
//! A failed write or sync breaks the log of the whole server, not of one shard: transactions span
//! shards, and so does the promise. It stays broken until a checkpoint has healed it.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::base::ids::{Generation, Lsn, ShardId};
use crate::config::values::Fsync;
use crate::limits::EVERYSEC_LOSS;
use crate::persist::fault::StorageFault;
use crate::persist::manifest::{End, Segment};
use crate::persist::names;
use crate::persist::record::Policy;
use crate::persist::segment::{Stamp, SyncJob, WriteJob};
use crate::server::advance::Advance;
use crate::server::core::Core;
use crate::server::disk::DiskError;
use crate::server::log;
use crate::server::segment_file::SegmentFile;
use crate::shard::gate::Promise;
use crate::shard::shard::Writes;

/// The open files of a log by segment number: the one appended to, and the one being closed.
pub type LogFiles = BTreeMap<u64, Rc<SegmentFile>>;

/// The policy as records name it.
pub fn policy(fsync: Fsync) -> Policy {
    match fsync {
        Fsync::Always => Policy::Always,
        Fsync::EverySec => Policy::EverySecond,
        Fsync::No => Policy::No,
    }
}

/// The policy of the log, if there is to be one.
pub fn logged(core: &Core) -> Option<Policy> {
    let config = &core.settings.borrow().config;
    config.appendonly.then(|| policy(config.appendfsync))
}

/// What a reply waits for under a policy.
pub fn promise(fsync: Fsync) -> Promise {
    match fsync {
        Fsync::Always => Promise::Synced,
        Fsync::EverySec | Fsync::No => Promise::Written,
    }
}

/// Between the beginnings of two rounds.
const ROUNDS: Duration = Duration::from_secs(1);

/// Between two rounds in any case, so that the log is not synced all the time.
const BREATH: Duration = Duration::from_millis(10);

/// Creates this shard's next segment in the directory of a generation and opens it. Where it
/// begins is known when the log goes on there.
pub async fn new_segment(core: &Core, generation: Generation) -> Result<Segment, String> {
    let number = core.database.next_segment(core.id);
    let path = names::segment(generation, core.id, number);
    let fsync = core.settings.borrow().config.appendfsync;
    let file = SegmentFile::create(&core.database.directory.join(&path), policy(fsync)).await;
    let file = file.map_err(|error| error.to_string())?;
    core.log_files.borrow_mut().insert(number, Rc::new(file));
    Ok(Segment { path, number, run: core.database.run, first: None, end: None })
}

/// The task that writes whenever something was appended.
pub async fn tend(core: Rc<Core>) {
    loop {
        core.log_due.wait().await;
        while write_once(&core).await {
            if core.shard.borrow().gate.promise() == Promise::Synced {
                sync(&core).await;
            }
        }
    }
}

/// The task of core 0 that, every second in which something was written, syncs all logs under
/// `everysec`, and lets every log say how far it goes.
pub async fn every_second(core: Rc<Core>) {
    let mut seen: Vec<Lsn> = Vec::new();
    let mut wait = ROUNDS;
    core.shared.note_proven(Instant::now());
    loop {
        glommio::timer::sleep(wait).await;
        let (began, mut end) = (Instant::now(), RoundEnd::Idle);
        let last = core.on_all(|core| core.shard.borrow().appended()).await;
        if last != seen {
            seen = last;
            end = round(&core).await;
        }
        match end {
            RoundEnd::Idle | RoundEnd::Proven => core.shared.note_proven(began),
            // Perhaps nothing more comes that would be a reason to sync.
            RoundEnd::Unproven | RoundEnd::Broken => seen.clear(),
        }
        if end == RoundEnd::Proven {
            release(&core, seen.clone()).await;
            mark(&core).await;
        }
        wait = until_next(end, began.elapsed());
    }
}

async fn round(core: &Rc<Core>) -> RoundEnd {
    if core.settings.borrow().config.appendfsync != Fsync::EverySec {
        Advance::begin(core).await.advance().await;
        mark(core).await;
        return RoundEnd::Idle;
    }
    let began = Instant::now();
    let proven = sync_round(core).await;
    let late = began.elapsed() > ROUNDS;
    core.shared.delayed_syncs.fetch_add(u64::from(late), Ordering::Relaxed);
    match proven {
        true => RoundEnd::Proven,
        false if core.shared.is_broken() => RoundEnd::Broken,
        false => RoundEnd::Unproven,
    }
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RoundEnd {
    /// There was nothing to prove, or the policy asks for no proof.
    Idle,
    /// All that was appended before it is durable on all shards.
    Proven,
    /// A write or another sync was in flight.
    Unproven,
    /// The log is broken: nothing can be proven until it is healed.
    Broken,
}

/// How long to wait for the next round. A power cut may take what came after the last proven round
/// began: so rounds begin a second apart, however long one takes, and one that proved nothing is
/// made again at once. (They came a second after the end of the one before, proven or not. Beside a
/// checkpoint a round often proves nothing, and power cuts took the last 2.6 seconds.)
fn until_next(end: RoundEnd, took: Duration) -> Duration {
    match end {
        RoundEnd::Idle | RoundEnd::Proven | RoundEnd::Broken => {
            ROUNDS.saturating_sub(took).max(BREATH)
        }
        RoundEnd::Unproven => BREATH,
    }
}

/// Makes everything that was appended before the call durable, and lets every log say that it has
/// reached a later epoch. Core 0 runs it.
pub async fn reach(core: &Rc<Core>) {
    Advance::begin(core).await.advance().await;
    mark(core).await;
    for shard in (0..core.shards).map(ShardId) {
        core.on_async(shard, |core| async move { flush(&core).await }).await;
    }
}

/// A record of the present epoch in every log, also in those that nobody writes to: copies of the
/// logs that are made one after another end at a moment that all of them have reached.
async fn mark(core: &Rc<Core>) {
    core.on_all(|core| {
        core.clock.start_turn();
        core.run(|_| ());
        if let Some(log) = core.shard.borrow_mut().log_mut().filter(|log| log.fault().is_none()) {
            log.append_commit();
        }
        core.log_due.raise();
    })
    .await;
}

/// Makes everything that was appended before the call durable on all shards, and then says so in
/// the log itself: after a power cut recovery keeps what is proven complete on every shard, and an
/// idle log would prove nothing. Says whether it is proven: not when a write or another sync was in
/// flight somewhere. Core 0 runs it.
pub async fn sync_round(core: &Rc<Core>) -> bool {
    if core.shard.borrow().log().is_none() {
        return true;
    }
    let epoch = Advance::begin(core).await.advance().await;
    let mut syncing = Vec::new();
    for shard in (0..core.shards).map(ShardId) {
        syncing.push(core.start_on(shard, |core| async move {
            core.clock.start_turn();
            core.run(|_| ());
            while write_once(&core).await {}
            sync(&core).await;
        }));
    }
    for sync in syncing {
        sync.await;
    }
    core.shared.durable_epoch().0 + 1 >= epoch.0 && commit(core).await
}

/// Repeats rounds until one is proven, or the log turns out to be broken. Core 0 runs it.
pub async fn sync_for_certain(core: &Rc<Core>) {
    while !sync_round(core).await && !core.shared.is_broken() {
        glommio::timer::sleep(Duration::from_millis(1)).await;
    }
}

/// Makes a record durable that carries the present figures; says whether it is.
async fn commit(core: &Rc<Core>) -> bool {
    let segment = core.shard.borrow_mut().log_mut().map(|log| {
        log.append_commit();
        log.id().number
    });
    while write_once(core).await {}
    let synced = sync(core).await;
    if synced.is_none() || synced == segment {
        return synced == segment;
    }
    // A cut has come between the shards' syncs and the record: the sync was that of the segment
    // before, and the record is in the next one.
    while write_once(core).await {}
    sync(core).await == segment
}

/// What records say about this moment.
pub fn stamp(core: &Core) -> Stamp {
    core.clock.start_turn();
    Stamp {
        durable: core.shared.durable_epoch(),
        now: core.clock.now(),
        policy: policy(core.settings.borrow().config.appendfsync),
    }
}

/// Writes what is queued; says whether there was anything.
async fn write_once(core: &Rc<Core>) -> bool {
    let stamp = stamp(core);
    let job = match core.shard.borrow_mut().log_mut() {
        Some(log) => {
            log.seal(stamp);
            log.take_write()
        }
        None => None,
    };
    let Some(job) = job else { return false };
    let (number, bytes) = (job.number, job.bytes().len());
    match write(core, &job).await {
        Ok(()) => moved(core, |log| log.wrote(job, bytes)),
        Err(error) => fail(core, number, job.offset, &error).await,
    }
    true
}

async fn write(core: &Core, job: &WriteJob) -> Result<(), DiskError> {
    let file = core.log_files.borrow().get(&job.number).cloned();
    let Some(file) = file else { unreachable!("a segment that is written has its file open") };
    let fsync = core.settings.borrow().config.appendfsync;
    file.write(&core.requests, job, policy(fsync)).await
}

/// Writes and syncs all that was appended so far, and closes the segment before the present one:
/// its last record may be one without units, which no lsn waits for.
pub async fn flush(core: &Rc<Core>) {
    while write_once(core).await {}
    let target = core.shard.borrow().appended();
    while core
        .shard
        .borrow()
        .log()
        .is_some_and(|log| log.fault().is_none() && (log.durable() < target || !log.can_switch()))
    {
        sync(core).await;
        while write_once(core).await {}
        core.pauses.rest().await;
    }
}

/// Syncs what has been written, unless a sync is in flight; says which segment it has synced.
pub async fn sync(core: &Rc<Core>) -> Option<u64> {
    let job = core.shard.borrow_mut().log_mut().and_then(|log| log.take_sync());
    let Some(job) = job else {
        publish(core);
        return None;
    };
    let SyncJob { number } = job;
    let file = core.log_files.borrow().get(&number).cloned();
    let Some(file) = file else { unreachable!("a segment that is synced has its file open") };
    let result = file.sync(&core.requests).await;
    match &result {
        Ok(()) => {
            core.shared.syncs.fetch_add(1, Ordering::Relaxed);
            moved(core, |log| log.synced(job));
        }
        Err(error) => fail(core, number, 0, error).await,
    }
    close_finished(core);
    publish(core);
    result.ok().map(|()| number)
}

/// Something has become written or durable.
fn moved(core: &Rc<Core>, change: impl FnOnce(&mut crate::persist::segment::SegmentWriter)) {
    if let Some(log) = core.shard.borrow_mut().log_mut() {
        change(log);
    }
    note_progress(core);
    core.log_moved();
}

/// Whether replies to writes may leave once these are in the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Replies {
    Leave,
    /// The syncs are behind: what is acknowledged now could be lost later than the promise allows.
    Stay,
}

fn replies(promise: Promise, fsync: Fsync, unproven: Duration) -> Replies {
    match (promise, fsync) {
        (Promise::Written, Fsync::EverySec) if unproven > EVERYSEC_LOSS => Replies::Stay,
        _ => Replies::Leave,
    }
}

/// Lets the replies leave to what was appended up to here on each shard: it is proven.
async fn release(core: &Rc<Core>, proven: Vec<Lsn>) {
    core.on_all(move |core| {
        if let Some(lsn) = proven.get(core.id.index()) {
            core.shard.borrow_mut().gate.wrote(*lsn);
        }
        core.log_moved();
    })
    .await;
}

/// Tells the gate how far the log is, unless replies have to stay.
fn note_progress(core: &Core) {
    let promise = core.shard.borrow().gate.promise();
    let fsync = core.settings.borrow().config.appendfsync;
    match replies(promise, fsync, core.shared.unproven(core.clock.turn())) {
        Replies::Leave => core.shard.borrow_mut().note_progress(),
        Replies::Stay => {}
    }
}

/// Tells the other cores how far this shard is durable.
pub fn publish(core: &Core) {
    if let Some(log) = core.shard.borrow().log() {
        core.shared.publish_durable(core.id, log.durable_epoch());
    }
}

/// Cuts the zeros off a segment that is complete, and closes it; nobody waits for that.
fn close_finished(core: &Rc<Core>) {
    let closed = core.shard.borrow_mut().log_mut().and_then(|log| log.take_closed());
    let Some(closed) = closed else { return };
    let end = End { length: closed.length, next: closed.next };
    core.log_ends.borrow_mut().insert(closed.id.number, end);
    if let Some(file) = core.log_files.borrow_mut().remove(&closed.id.number) {
        glommio::spawn_local(cut_off(file, closed.length)).detach();
    }
}

/// Closes the files of segments that are not in use any more. Those that are complete are closed
/// when they are; a log that was broken, or is turned off, leaves others, and a removed file takes
/// its space as long as it is open.
pub fn close_unused(core: &Rc<Core>) {
    close_finished(core);
    let shard = core.shard.borrow();
    let first = match shard.log() {
        // The segment before is still to be synced.
        Some(log) if !log.can_switch() => return,
        Some(log) => log.id().number,
        None => u64::MAX,
    };
    core.log_files.borrow_mut().retain(|number, _| *number >= first);
}

/// Takes away what lies behind the records of a segment that is not written any more.
async fn cut_off(file: Rc<SegmentFile>, length: u64) {
    if let Err(error) = file.cut(length).await {
        // Only space is lost: what lies there is zeros.
        log::warning(error.to_string());
    }
}

async fn fail(core: &Rc<Core>, number: u64, offset: u64, error: &DiskError) {
    let file = error.path.display().to_string();
    let fault = StorageFault::new(file, offset, "a write or sync that succeeds", error.to_string());
    if let Some(log) = core.shard.borrow_mut().log_mut() {
        log.failed(number, fault);
    }
    break_log(core, error.source.to_string(), &error.to_string()).await;
}

/// The log is broken from now on: writes are refused and nothing that is not durable is promised.
pub async fn break_log(core: &Rc<Core>, reason: String, line: &str) {
    log::warning(format!("The log is broken, writes are refused until it is healed: {line}"));
    core.shared.set_fault(reason);
    core.on_all(|core| {
        if !core.shared.is_broken() {
            // A checkpoint was faster than the news, and has healed it.
            return;
        }
        let mut shard = core.shard.borrow_mut();
        shard.gate.break_log();
        shard.writes = Writes::Refused(core.shared.fault());
        drop(shard);
        core.log_moved();
    })
    .await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_stay_under_everysec_while_syncs_are_behind() {
        let (late, in_time) = (EVERYSEC_LOSS + Duration::from_millis(1), EVERYSEC_LOSS);
        for (promise, fsync, unproven, expected) in [
            (Promise::Written, Fsync::EverySec, in_time, Replies::Leave),
            (Promise::Written, Fsync::EverySec, late, Replies::Stay),
            (Promise::Written, Fsync::No, late, Replies::Leave),
            (Promise::Synced, Fsync::Always, late, Replies::Leave),
            (Promise::Nothing, Fsync::EverySec, late, Replies::Leave),
        ] {
            assert_eq!(replies(promise, fsync, unproven), expected, "{promise:?} {fsync:?}");
        }
    }

    #[test]
    fn rounds_begin_a_second_apart_and_are_made_again_until_they_prove_something() {
        for (end, took, wait) in [
            (RoundEnd::Idle, 0, 1000),
            (RoundEnd::Proven, 300, 700),
            (RoundEnd::Proven, 999, 10),
            (RoundEnd::Proven, 5000, 10),
            (RoundEnd::Broken, 300, 700),
            (RoundEnd::Unproven, 0, 10),
            (RoundEnd::Unproven, 300, 10),
            (RoundEnd::Unproven, 5000, 10),
        ] {
            let waits = until_next(end, Duration::from_millis(took));
            assert_eq!(waits, Duration::from_millis(wait), "{end:?} after {took} ms");
        }
    }
}
