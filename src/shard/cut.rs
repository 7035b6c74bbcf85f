//! A shard's part of a checkpoint: armed, cut, written in steps, ended or given up.
//!
//! ```text
//!   arm(epoch, next) --> begin() sees the epoch --> cut: polarity flips, the log goes on in `next`
//!        start_base --> base_step ... base_step --> end_base       (or abort_base, then steps)
//! ```

use crate::base::ids::{Db, Epoch, Generation, Lsn, ShardId};
use crate::keyspace::snapshot::{Budget, Step};
use crate::limits::{PREIMAGE_CAP, SNAPSHOT_BEHIND};
use crate::observe::facts::SnapshotFacts;
use crate::persist::manifest::{End, HashId};
use crate::persist::record::{RunId, SegmentId};
use crate::persist::segment::{SegmentWriter, Stamp};
use crate::persist::snapshot_file::{Header, Scratch};
use crate::persist::value_codec::Counts;
pub use crate::shard::base::BaseForm;
use crate::shard::base::BaseWriter;
use crate::shard::shard::Shard;

/// What becomes of the log at the cut.
#[derive(Clone, Copy, Debug)]
pub enum NextLog {
    /// It goes on, or there is none.
    Keep,
    /// It goes on in this segment.
    Switch(SegmentId, Stamp),
    /// It begins with this segment.
    Open(SegmentId),
}

/// How far a base is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do.
    More,
    /// All has been encoded.
    Done,
}

/// The checkpoint of one shard.
#[derive(Debug, Default)]
pub struct Cut {
    armed: Option<(Epoch, NextLog)>,
    /// The last lsn before the cut, and where the segment before it ended.
    at: (Lsn, Option<End>),
    writer: Option<BaseWriter>,
    /// The encoder's buffers while there is none.
    scratch: Option<Scratch>,
    facts: SnapshotFacts,
}

impl Shard {
    /// The next run of commands with this epoch is after the cut.
    pub fn arm(&mut self, epoch: Epoch, next: NextLog) {
        assert!(epoch > self.epoch && self.cut.armed.is_none(), "one cut at a time");
        self.cut.armed = Some((epoch, next));
    }

    /// The epoch has advanced: cuts, if it is time to.
    pub(in crate::shard) fn enter_epoch(&mut self, epoch: Epoch) {
        if let Some((_, next)) = self.cut.armed.take_if(|(at, _)| epoch >= *at) {
            self.cut_here(next);
        }
        self.epoch = epoch;
        self.journal.stamp(epoch);
    }

    fn cut_here(&mut self, next: NextLog) {
        assert!(self.parts.is_empty() || self.no_part_has_effects(), "a cut in a transaction");
        let after = self.journal.last();
        self.cut.at = (after, None);
        match next {
            NextLog::Keep => {}
            NextLog::Open(id) => {
                let log = SegmentWriter::new(id, after, self.epoch);
                self.journal.set_log(Some(log));
            }
            NextLog::Switch(id, stamp) => {
                if let Some(log) = self.journal.log_mut() {
                    log.switch(id, stamp);
                }
            }
        }
        let cut = self.keys.cut();
        assert!(cut, "a checkpoint is prepared only when none is under way");
        self.cut.facts = SnapshotFacts::default();
    }

    fn no_part_has_effects(&self) -> bool {
        self.parts.values().all(|part| part.is_clean())
    }

    /// Where the last cut was: the lsn before it, and the end of the segment before it if known.
    pub fn cut_at(&self) -> (Lsn, Option<End>) {
        self.cut.at
    }

    /// Makes what every snapshot needs, so that its first slices find memory that is there.
    pub fn expect_snapshots(&mut self) {
        self.cut.scratch = Some(Scratch::touched());
    }

    /// Starts to encode the base.
    pub fn start_base(
        &mut self,
        form: BaseForm,
        (generation, cut, shards, run): (Generation, Epoch, u16, RunId),
        hash: HashId,
    ) {
        let shard: ShardId = self.id;
        let header = Header { shard, shards, generation, cut, run, hash };
        let scratch = self.cut.scratch.take().unwrap_or_default();
        let mut writer = BaseWriter::new(form, &header, scratch);
        for db in (0..self.keys.databases()).map(Db) {
            // What was flushed since the cut is not counted: the number is only a hint.
            match self.keys.len(db) as u64 {
                0 => {}
                keys => writer.expect(db, keys),
            }
        }
        self.cut.writer = Some(writer);
    }

    /// Does a bounded part: a few microseconds.
    pub fn base_step(&mut self) -> Progress {
        let Some(writer) = &mut self.cut.writer else {
            let mut nowhere = Nowhere;
            return match self.keys.snapshot_step(&mut nowhere, Budget::default()) {
                Step::More => Progress::More,
                Step::Done => Progress::Done,
            };
        };
        match self.keys.snapshot_step(writer, Budget::default()) {
            Step::More => Progress::More,
            Step::Done => Progress::Done,
        }
    }

    /// Bytes of the base that can be taken.
    pub fn base_bytes(&self) -> usize {
        self.cut.writer.as_ref().map_or(0, BaseWriter::ready)
    }

    /// Takes them, and leaves this buffer for the next.
    pub fn take_base_bytes(&mut self, used: Vec<u8>) -> Vec<u8> {
        let bytes = self.cut.writer.as_mut().map(|writer| writer.take(used)).unwrap_or_default();
        self.cut.facts.bytes_written += bytes.len() as u64;
        bytes
    }

    /// Ends the base: its last bytes, for which it gets this buffer, its checksum and what is in
    /// it.
    pub fn end_base(&mut self, used: Vec<u8>) -> (Vec<u8>, u64, Counts) {
        let Some(mut writer) = self.cut.writer.take() else {
            unreachable!("a base that ends was started");
        };
        let (bytes, crc, entries) = writer.finish(used);
        self.cut.scratch = writer.into_scratch();
        self.cut.facts.bytes_written += bytes.len() as u64;
        (bytes, crc, entries)
    }

    /// Gives the base up: steps go on without output until they are done.
    pub fn abort_base(&mut self) {
        self.cut.scratch = self.cut.writer.take().and_then(BaseWriter::into_scratch);
        self.keys.abort();
    }

    /// The checkpoint that was cut at `after` is durable. Says whether the log is healthy and keeps
    /// its promises again.
    pub fn checkpointed(&mut self, after: Lsn, logs: bool) -> bool {
        self.changes = self.journal.last().0.saturating_sub(after.0);
        if !logs {
            self.journal.set_log(None);
        }
        self.gate.cover(after);
        let log = self.journal.log_mut().is_none_or(SegmentWriter::heal);
        if !self.gate.is_broken() {
            return log;
        }
        // A transaction that was refused after the cut is held, and nobody will settle it: the next
        // checkpoint has it. While the gate is broken no other comes.
        let healthy = log && !self.gate.holds_after(after);
        if healthy {
            self.gate.heal(after);
        }
        healthy
    }

    /// Is neither the log nor the gate broken?
    pub fn keeps_promises(&self) -> bool {
        !self.gate.is_broken() && self.journal.log().is_none_or(|log| log.fault().is_none())
    }

    /// Writers have displaced more than may wait: they help to encode until it is less again.
    pub fn assist(&mut self) {
        if self.cut.writer.is_none() || self.keys.preimage_bytes() <= PREIMAGE_CAP {
            return;
        }
        self.cut.facts.writers_assisted += 1;
        while self.keys.preimage_bytes() > PREIMAGE_CAP {
            if self.base_step() == Progress::Done {
                break;
            }
        }
    }

    /// Is so much encoded and not written that writers have to wait for the device?
    pub fn snapshot_is_behind(&self) -> bool {
        self.base_bytes() > SNAPSHOT_BEHIND && self.keys.is_cut()
    }

    /// A writer has waited for the device.
    pub fn note_waited(&mut self) {
        self.cut.facts.writers_waited += 1;
    }

    /// A slice has taken so many microseconds of processor time.
    pub fn note_slice(&mut self, usec: u64) {
        self.cut.facts.slices += 1;
        self.cut.facts.slow_slices += u64::from(usec > 100);
        self.cut.facts.longest_slice_usec = self.cut.facts.longest_slice_usec.max(usec);
    }

    /// Figures of the snapshot under way, or of the last one.
    pub fn snapshot_facts(&self) -> SnapshotFacts {
        SnapshotFacts {
            preimage_bytes: self.keys.preimage_bytes() as u64,
            preimage_bytes_peak: self.keys.preimage_peak() as u64,
            ..self.cut.facts
        }
    }
}

/// Takes the items of an aborted snapshot, of which there are none.
struct Nowhere;

impl crate::keyspace::item::Sink for Nowhere {
    fn take(&mut self, _item: crate::keyspace::item::Item<'_>) {}
}
