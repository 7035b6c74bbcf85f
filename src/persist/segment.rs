//! The writer of one shard's log: queues bytes, hands out writes and syncs, knows what is durable.
//!
//! A pure state machine. What the shell has to do:
//!
//! ```text
//! stamp(epoch)                 when it starts to execute a batch, and on idle turns
//! append*(..) -> lsn           only queues
//! seal(stamp), take_write()    one write in flight; its job owns the bytes
//!   wrote(job, n)              n may be less: the rest is offered again
//! take_sync()                  none while a write is in flight or was short
//!   synced(job)
//! failed(number, fault)        poison: nothing is acknowledged until `heal`
//! ```
//!
//! `written` and `durable` are true if and only if every byte up to that lsn was written in full by
//! completed writes, or was so when a sync that has completed was *submitted*. Seal as late as
//! possible (right before `take_write`): all that was appended since then becomes one record,
//! except that a record ends where the epoch changes, where it has grown to `RECORD_PAYLOAD`, and
//! before a part of a transaction, so that recovery can drop that part by cutting between records.
//!
//! At a cut `switch` gives later appends to the next segment. Writes to it wait until the old
//! segment is written in full, and nothing in it counts as durable before the old one is synced.

use crate::base::ids::{Db, Epoch, Lsn, TxId};
use crate::base::mutant::Mutant;
use crate::base::time::Millis;
use crate::limits::DISK_WRITE_MAX;
use crate::persist::fault::StorageFault;
use crate::persist::names;
use crate::persist::payload::{Selected, Transaction, put_command, put_group};
use crate::persist::record::{Policy, SegmentId};
use crate::persist::segment_queue::Queue;
use crate::persist::shard_set::ShardSet;
use crate::resp::args::Args;

/// What a record says about the moment when it is sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// All shards are durable up to this epoch.
    pub durable: Epoch,
    /// The wall clock.
    pub now: Millis,
    /// `appendfsync`.
    pub policy: Policy,
}

/// Bytes to be written. The job owns them until it comes back through `wrote`.
#[derive(Debug)]
#[must_use]
pub struct WriteJob {
    /// Number of the segment they belong to.
    pub number: u64,
    /// Where in the file they go.
    pub offset: u64,
    pub(super) buffer: Vec<u8>,
    pub(super) start: usize,
}

/// A sync to be done. Hand it back through `synced`.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct SyncJob {
    /// Number of the segment to sync.
    pub number: u64,
}

/// A segment that is complete: written, synced, never appended to again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Which one.
    pub id: SegmentId,
    /// Bytes of records; what lies after them was preallocated.
    pub length: u64,
    /// The lsn after its last one.
    pub next: Lsn,
}

/// The log of one shard: the segment appended to, and, after a cut, the one before it.
#[derive(Debug)]
pub struct SegmentWriter {
    current: Queue,
    closing: Option<Queue>,
    closed: Option<Closed>,
    epoch: Epoch,
    last: Lsn,
    poison: Option<Poison>,
}

/// What was true when the log failed, and stays the last thing that is said about it.
#[derive(Debug)]
struct Poison {
    fault: StorageFault,
    written: (Lsn, Epoch),
    durable: (Lsn, Epoch),
}

impl WriteJob {
    /// The bytes, never more than one write can take.
    pub fn bytes(&self) -> &[u8] {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        rest.get(..DISK_WRITE_MAX).unwrap_or(rest)
    }

    /// All of the bytes, for a writer that owns its buffer and writes in full. `give_back` them
    /// before the job goes to `wrote`.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        self.buffer.drain(..self.start);
        self.start = 0;
        std::mem::take(&mut self.buffer)
    }

    /// The bytes that were taken, unchanged. Returns how many they are, for `wrote`.
    pub fn give_back(&mut self, bytes: Vec<u8>) -> usize {
        self.buffer = bytes;
        self.buffer.len()
    }
}

impl SegmentWriter {
    /// A writer for a new, empty segment. `last` is the lsn before its first one: all up to it is
    /// durable elsewhere. `epoch` is the current one.
    pub fn new(id: SegmentId, last: Lsn, epoch: Epoch) -> SegmentWriter {
        let current = Queue::new(id, last, epoch);
        SegmentWriter { current, closing: None, closed: None, epoch, last, poison: None }
    }

    /// What is appended from now on belongs to this epoch, which is not below the last one.
    pub fn stamp(&mut self, epoch: Epoch) {
        assert!(epoch >= self.epoch, "the epoch only grows");
        if epoch > self.epoch {
            self.epoch = epoch;
            self.current.settle(epoch);
        }
    }

    /// Queues one command; it is atomic by itself.
    #[inline]
    pub fn append(&mut self, db: Db, effect: Args<'_>) -> Lsn {
        let lsn = self.advance();
        if let Some((out, selected)) = self.current.unit(self.epoch, lsn) {
            put_command(out, selected, db, effect);
        }
        lsn
    }

    /// Queues commands that are atomic on this shard; they share one lsn.
    pub fn append_group<'a>(&mut self, effects: impl IntoIterator<Item = (Db, Args<'a>)>) -> Lsn {
        let lsn = self.advance();
        if let Some((out, selected)) = self.current.unit(self.epoch, lsn) {
            put_group(out, selected, None, effects);
        }
        lsn
    }

    /// Queues this shard's part of a transaction over `participants`. Every participant appends a
    /// part, if need be an empty one, within the same epoch.
    pub fn append_transaction<'a>(
        &mut self,
        id: TxId,
        participants: ShardSet,
        effects: impl IntoIterator<Item = (Db, Args<'a>)>,
    ) -> Lsn {
        let lsn = self.advance();
        self.current.end_record();
        if let Some((out, selected)) = self.current.unit(self.epoch, lsn) {
            put_group(out, selected, Some(Transaction { id, participants }), effects);
        }
        lsn
    }

    /// Queues a commit record, unless something is queued that will carry the figures anyway.
    pub fn append_commit(&mut self) {
        self.current.commit(self.epoch, self.last);
    }

    /// Ends the queued records and gives them their annotation lines.
    pub fn seal(&mut self, stamp: Stamp) {
        let synced = self.durable();
        self.current.seal(stamp, synced);
    }

    /// The next write, unless one is in flight or nothing is sealed.
    pub fn take_write(&mut self) -> Option<WriteJob> {
        match &mut self.closing {
            Some(old) if !old.all_written() && !Mutant::NextSegmentFirst.is_on() => {
                old.take_write()
            }
            // The log has lost units before this segment: until a checkpoint stands in for
            // them its records must not be in the file, where they would not follow.
            _ if self.poison.is_some() => None,
            _ => self.current.take_write(),
        }
    }

    /// The write has completed with `n` bytes.
    pub fn wrote(&mut self, job: WriteJob, n: usize) {
        let number = job.number;
        if n == 0 && !job.bytes().is_empty() {
            let expected = format!("a write of {} bytes", job.bytes().len());
            let file = names::segment_file(self.current.id().shard, number);
            let fault = StorageFault::new(file, job.offset, expected, "0 bytes written");
            return self.failed(number, fault);
        }
        let epoch = self.epoch;
        if let Some(queue) = self.queue(number) {
            queue.wrote(job, n, epoch);
        }
    }

    /// A sync for all that has been written, unless there is nothing to sync, a sync is in flight,
    /// or a write is (the sync might overtake it).
    pub fn take_sync(&mut self) -> Option<SyncJob> {
        let queue = self.closing.as_mut().unwrap_or(&mut self.current);
        queue.take_sync(self.epoch).then(|| SyncJob { number: queue.id().number })
    }

    /// The sync has completed. What it covers was fixed when it was taken.
    pub fn synced(&mut self, job: SyncJob) {
        let epoch = self.epoch;
        if let Some(queue) = self.queue(job.number) {
            queue.synced(epoch);
        }
        let done = self.closing.as_ref().and_then(Queue::closed);
        if let (Some(closed), Some(old)) = (done, &self.closing) {
            self.current.raise(old.durable());
            self.closed = Some(closed);
            self.closing = None;
        }
    }

    /// A write or sync of segment `number` failed, or was refused. Linux drops the dirty pages
    /// after an error, so what was queued for the segment is given up and nothing on this log is
    /// acknowledged before `heal`. Nor is anything written: switch, make a checkpoint, heal.
    pub fn failed(&mut self, number: u64, fault: StorageFault) {
        if Mutant::NoPoison.is_on() {
            return self.current.forget_sync();
        }
        if self.poison.is_none() {
            let written = (self.written(), self.written_epoch());
            let durable = (self.durable(), self.durable_epoch());
            self.poison = Some(Poison { fault, written, durable });
        }
        // Whether the segment before is synced does not matter any more.
        self.closing = None;
        if self.current.id().number == number {
            self.current.give_up();
        }
    }

    /// Can the log be switched to a next segment now? Not while the last switch is under way.
    pub fn can_switch(&self) -> bool {
        self.closing.is_none()
    }

    /// Ends the segment here: what was appended goes to it, what follows to segment `next`, which
    /// is new and empty. On a poisoned log the next one is healthy, and `heal` ends the poison.
    pub fn switch(&mut self, next: SegmentId, stamp: Stamp) {
        assert!(self.closing.is_none(), "one switch at a time");
        let old = self.current.id();
        assert!(next.shard == old.shard && next.number > old.number, "a segment was reused");
        self.seal(stamp);
        let mut fresh = Queue::new(next, self.last, self.epoch);
        std::mem::swap(&mut fresh, &mut self.current);
        let mut old = fresh;
        old.end(self.epoch);
        match old.closed() {
            // What a poisoned log has queued does not follow what is in the file: it is for the
            // checkpoint that heals.
            _ if old.gave_up() || self.poison.is_some() => {}
            Some(closed) => self.closed = Some(closed),
            None => self.closing = Some(old),
        }
    }

    /// After a switch: the old segment, once it is written and synced. Its preallocated tail may
    /// now be cut off. Given once.
    pub fn take_closed(&mut self) -> Option<Closed> {
        self.closed.take()
    }

    /// A checkpoint that covers everything up to the switch is durable, and the segment appended
    /// to is listed in its manifest: acknowledging goes on. Says whether the log is healthy.
    pub fn heal(&mut self) -> bool {
        if !self.current.gave_up() {
            self.poison = None;
        }
        self.poison.is_none()
    }

    /// Why nothing is acknowledged, if so.
    pub fn fault(&self) -> Option<&StorageFault> {
        self.poison.as_ref().map(|poison| &poison.fault)
    }

    /// The lsn of the last unit appended.
    pub fn appended(&self) -> Lsn {
        self.last
    }

    /// The last lsn that is written, and so survives the death of the process.
    pub fn written(&self) -> Lsn {
        match (&self.poison, &self.closing) {
            (Some(poison), _) => poison.written.0,
            (None, Some(old)) if !old.all_written() => old.written().lsn,
            (None, _) => self.current.written().lsn,
        }
    }

    /// The last lsn that survives a power cut.
    pub fn durable(&self) -> Lsn {
        match (&self.poison, &self.closing) {
            (Some(poison), _) => poison.durable.0,
            (None, Some(old)) => old.durable().lsn,
            (None, None) => self.current.durable().lsn,
        }
    }

    /// Everything this shard did up to this epoch, or will ever do in it, is written.
    pub fn written_epoch(&self) -> Epoch {
        match (&self.poison, &self.closing) {
            (Some(poison), _) => poison.written.1,
            (None, Some(old)) if !old.all_written() => old.written().epoch,
            (None, _) => self.current.written().epoch,
        }
    }

    /// Everything this shard did up to this epoch, or will ever do in it, is durable.
    pub fn durable_epoch(&self) -> Epoch {
        match (&self.poison, &self.closing) {
            (Some(poison), _) => poison.durable.1,
            (None, Some(old)) => old.durable().epoch,
            (None, None) => self.current.durable().epoch,
        }
    }

    /// Bytes that are queued or in flight.
    pub fn pending(&self) -> usize {
        self.current.pending() + self.closing.as_ref().map_or(0, Queue::pending)
    }

    /// Is a write in flight?
    pub fn writing(&self) -> bool {
        self.current.writing() || self.closing.as_ref().is_some_and(Queue::writing)
    }

    /// Is a sync in flight?
    pub fn syncing(&self) -> bool {
        self.current.syncing() || self.closing.as_ref().is_some_and(Queue::syncing)
    }

    /// The segment appended to.
    pub fn id(&self) -> SegmentId {
        self.current.id()
    }

    /// Length of the segment appended to, with what is queued for it.
    pub fn length(&self) -> u64 {
        self.current.length()
    }

    fn advance(&mut self) -> Lsn {
        self.last = self.last.next();
        self.last
    }

    fn queue(&mut self, number: u64) -> Option<&mut Queue> {
        match &mut self.closing {
            Some(old) if old.id().number == number => self.closing.as_mut(),
            _ => Some(&mut self.current).filter(|queue| queue.id().number == number),
        }
    }
}

/// The buffer a unit is encoded into, and the database selected in it.
pub(super) type Out<'a> = (&'a mut Vec<u8>, &'a mut Selected);

#[cfg(test)]
mod tests;
