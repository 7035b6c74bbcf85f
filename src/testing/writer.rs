//! The log of the simulated machine, as server/aof.rs keeps it: writes, syncs, rounds, failures.

use crate::base::ids::{Epoch, ShardId};
use crate::base::time::Millis;
use crate::persist::ahead::ahead;
use crate::persist::fault::StorageFault;
use crate::persist::names;
use crate::persist::segment::Stamp;
use crate::resp::error::Error;
use crate::shard::shard::Writes;
use crate::testing::bug::Bug;
use crate::testing::disk::{Failure, FileId};
use crate::testing::machine::{Machine, Message};

/// A sync of all logs, and the record that proves it.
#[derive(Debug)]
pub(super) struct Round {
    /// When it began.
    began: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Epoch,
    Begin(usize, Epoch),
    Write(usize, Epoch),
    Sync(usize, Epoch),
    Commit(Epoch),
    CommitWrite(u64),
    CommitSync(u64, Attempt),
    CommitSynced(u64, Attempt),
}

/// Zeros ahead of the simulated log: to the end of the block, so that they often run out.
const AHEAD: u64 = 1;

/// A commit record behind a cut needs a second sync: the first is that of the segment before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    First,
    Second,
}

impl Machine {
    pub(super) fn stamp(&self) -> Stamp {
        let durable = self.durable.iter().copied().min().unwrap_or_default();
        Stamp { durable, now: Millis(self.now), policy: self.setup.policy }
    }

    /// Submits what is queued.
    pub(super) fn start_write(&mut self, at: usize) {
        let stamp = self.stamp();
        let core = &mut self.cores[at];
        let Some(log) = core.shard.log_mut().filter(|_| core.write.is_none()) else { return };
        log.seal(stamp);
        core.write = log.take_write();
        if let Some(job) = &core.write {
            core.in_flight = job.bytes().to_vec();
        }
        if core.write.is_some() && self.has(Bug::AckBeforeWrite) {
            let shard = &mut self.cores[at].shard;
            let lsn = shard.appended();
            shard.gate.wrote(lsn);
            self.log_moved(at);
        }
    }

    /// A write completes.
    pub(super) fn finish_write(&mut self, at: usize) {
        let Some(mut job) = self.cores[at].write.take() else { return };
        if self.has(Bug::TouchInFlight) && self.prng.chance(1, 100) {
            let mut bytes = job.take_bytes();
            bytes.iter_mut().for_each(|byte| *byte ^= 1);
            job.give_back(bytes);
        }
        let Some(file) = self.cores[at].files.get(&job.number).copied() else {
            return self.wrong("a segment that is written has its file open".to_owned());
        };
        let number = job.number;
        let whole = job.bytes().len();
        let end = job.offset + whole as u64;
        if job.bytes() != self.cores[at].in_flight {
            self.wrong("a buffer was changed in flight".to_owned());
        }
        match self.disk.write(file, job.offset, job.bytes()) {
            Ok(done) => {
                self.clear_error();
                let done = if self.has(Bug::IgnoreShortWrite) { whole } else { done };
                if let Some(log) = self.cores[at].shard.log_mut() {
                    log.wrote(job, done);
                }
                if done == whole {
                    self.fill_ahead(file, end);
                }
                self.moved(at);
            }
            Err(Failure::Dead) => {}
            Err(_) if self.has(Bug::ForgetError) => {
                if let Some(log) = self.cores[at].shard.log_mut() {
                    log.wrote(job, whole);
                }
                self.moved(at);
            }
            Err(failure) => self.fail(at, number, failure),
        }
    }

    /// Zeros ahead of the records, as server/segment_file.rs writes them.
    fn fill_ahead(&mut self, file: FileId, end: u64) {
        let filled = self.disk.length(file);
        if let Some(zeros) = ahead(self.setup.policy, end, filled, AHEAD) {
            let bytes = vec![0; (zeros.end - zeros.start) as usize];
            // Whether they arrive changes nothing.
            let _ = self.disk.write(file, zeros.start, &bytes);
        }
    }

    /// Submits a sync; says whether there is one.
    pub(super) fn start_sync(&mut self, at: usize) -> bool {
        let core = &mut self.cores[at];
        if core.sync.is_some() {
            return false;
        }
        let Some(job) = core.shard.log_mut().and_then(|log| log.take_sync()) else {
            return false;
        };
        let Some(file) = core.files.get(&job.number).copied() else { return false };
        core.sync = Some((job, self.disk.submit_sync(file)));
        true
    }

    /// A sync completes; says whether it succeeded.
    pub(super) fn finish_sync(&mut self, at: usize) -> bool {
        let Some((job, syncing)) = self.cores[at].sync.take() else { return false };
        let result = match self.has(Bug::SkipSync) {
            true => Ok(()),
            false => self.disk.complete_sync(syncing),
        };
        match result {
            Err(Failure::Dead) => return false,
            Err(failure) if !self.has(Bug::ForgetError) => {
                self.fail(at, job.number, failure);
                return false;
            }
            _ => {}
        }
        self.clear_error();
        let late = self.has(Bug::DurableAtCompletion);
        if let Some(log) = self.cores[at].shard.log_mut() {
            log.synced(job);
            if late {
                let (written, epoch) = (log.written(), log.written_epoch());
                self.cores[at].shard.gate.synced(written);
                self.durable[at] = self.durable[at].max(epoch);
            }
        }
        self.moved(at);
        let closed = self.cores[at].shard.log_mut().and_then(|log| log.take_closed());
        if let Some(closed) = closed {
            self.cores[at].files.remove(&closed.id.number);
        }
        self.publish(at);
        true
    }

    /// How it must not be done: something went well, so all is well.
    fn clear_error(&mut self) {
        if self.has(Bug::ClearError) && self.fault.take().is_some() {
            for core in &mut self.cores {
                let last = core.shard.appended();
                core.shard.gate.heal(last);
                core.shard.writes = Writes::Allowed;
            }
        }
    }

    fn moved(&mut self, at: usize) {
        self.cores[at].shard.note_progress();
        self.log_moved(at);
    }

    /// Tells the others how far this shard is durable.
    pub(super) fn publish(&mut self, at: usize) {
        if let Some(log) = self.cores[at].shard.log() {
            self.durable[at] = self.durable[at].max(log.durable_epoch());
        }
    }

    fn fail(&mut self, at: usize, number: u64, failure: Failure) {
        let file = names::segment_file(ShardId(at as u16), number);
        let fault = StorageFault::new(file, 0, "a write or sync that succeeds", "a failure");
        if let Some(log) = self.cores[at].shard.log_mut() {
            log.failed(number, fault);
        }
        self.break_log(at, Error::log_failed(&format!("{failure:?}")));
    }

    pub(super) fn break_log(&mut self, at: usize, error: Error) {
        self.fault.get_or_insert(error.clone());
        for to in 0..self.cores.len() {
            self.send(at, to, Message::Break(error.clone()));
        }
    }

    /// One step of the sync that `everysec` does every second; begins one.
    pub(super) fn round_step(&mut self) {
        let Some(round) = &self.round else {
            let began = self.history.tick();
            self.round = Some(Round { began, stage: Stage::Epoch });
            return;
        };
        let (began, stage) = (round.began, round.stage);
        match self.round_stage(stage, began) {
            Some(stage) => self.round = Some(Round { began, stage }),
            None => self.round = None,
        }
    }

    fn round_stage(&mut self, stage: Stage, began: u64) -> Option<Stage> {
        let count = self.cores.len();
        let after = |at: usize, epoch| match at + 1 < count {
            true => Stage::Begin(at + 1, epoch),
            false => Stage::Commit(epoch),
        };
        Some(match stage {
            Stage::Epoch => return Some(self.round_epoch()),
            Stage::Begin(at, epoch) => {
                self.begin(at);
                Stage::Write(at, epoch)
            }
            Stage::Write(at, epoch) => {
                if self.cores[at].write.is_some() {
                    self.finish_write(at);
                }
                self.start_write(at);
                let more = self.cores[at].write.is_some();
                if more { stage } else { Stage::Sync(at, epoch) }
            }
            Stage::Sync(at, epoch) => {
                if self.cores[at].sync.is_some() {
                    self.finish_sync(at);
                    after(at, epoch)
                } else if self.start_sync(at) {
                    stage
                } else {
                    self.publish(at);
                    after(at, epoch)
                }
            }
            Stage::Commit(epoch) => {
                let stamp = self.stamp();
                if stamp.durable.0 + 1 < epoch.0 {
                    return None;
                }
                // Sealed at once: a cut that came between would seal it with older figures.
                let log = self.cores[0].shard.log_mut()?;
                log.append_commit();
                log.seal(stamp);
                Stage::CommitWrite(log.id().number)
            }
            Stage::CommitWrite(segment) => self.round_write(segment, Attempt::First),
            Stage::CommitSync(segment, attempt) => {
                self.finish_sync(0);
                if !self.start_sync(0) {
                    return None;
                }
                Stage::CommitSynced(segment, attempt)
            }
            Stage::CommitSynced(segment, attempt) => {
                // Somebody else may have completed it: then the next round covers it.
                let synced = self.cores[0].sync.as_ref().map(|(job, _)| job.number);
                if !self.finish_sync(0) {
                    return None;
                }
                if synced == Some(segment) {
                    self.history.promised = began;
                    return None;
                }
                match attempt {
                    Attempt::First => self.round_write(segment, Attempt::Second),
                    Attempt::Second => return None,
                }
            }
        })
    }

    fn round_write(&mut self, segment: u64, attempt: Attempt) -> Stage {
        self.finish_write(0);
        self.start_write(0);
        match self.cores[0].write {
            Some(_) if attempt == Attempt::First => Stage::CommitWrite(segment),
            _ => Stage::CommitSync(segment, attempt),
        }
    }

    fn round_epoch(&mut self) -> Stage {
        if !self.advancing_for_round {
            if self.epochs.taken {
                return Stage::Epoch;
            }
            self.epochs.taken = true;
            self.advancing_for_round = true;
        }
        match self.try_advance() {
            Some(epoch) => {
                self.epochs.taken = false;
                self.advancing_for_round = false;
                Stage::Begin(0, epoch)
            }
            None => Stage::Epoch,
        }
    }
}
