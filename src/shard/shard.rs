//! The state of one shard. What happens to it stands in the other files of this folder.

use std::collections::HashMap;

use crate::base::ids::{Db, Epoch, Lsn, ShardId, TxId};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::keyspace::keyspace::Keyspace;
use crate::observe::counters::Counters;
use crate::persist::segment::SegmentWriter;
use crate::resp::error::Error;
use crate::shard::cut::Cut;
use crate::shard::gate::{Gate, Promise};
use crate::shard::journal::Journal;
use crate::shard::locks::Locks;
use crate::shard::news::Ears;
use crate::shard::orders::Part;

/// Whether commands that write are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Writes {
    /// They are.
    #[default]
    Allowed,
    /// They get this error.
    Refused(Error),
}

impl Writes {
    /// What commands that write are told, if they are refused.
    pub fn refusal(&self) -> Option<&Error> {
        match self {
            Writes::Refused(error) => Some(error),
            Writes::Allowed => None,
        }
    }
}

/// The keys that one core owns, with everything that a command on them needs.
#[derive(Debug)]
pub struct Shard {
    /// Which shard this is.
    pub id: ShardId,
    /// Its keys.
    pub keys: Keyspace,
    /// Which effects may be acknowledged.
    pub gate: Gate,
    /// Claims of transactions on its keys.
    pub locks: Locks,
    /// Numbers about what it did.
    pub counters: Counters,
    /// Whether it accepts writes.
    pub writes: Writes,
    /// Effects since the last checkpoint, for save points.
    pub changes: u64,
    /// Who wants to hear of what happens to keys.
    pub ears: Ears,
    /// Where effects go.
    pub(in crate::shard) journal: Journal,
    /// The checkpoint that is prepared or under way.
    pub(in crate::shard) cut: Cut,
    /// Transactions over several shards that have a claim here.
    pub(in crate::shard) parts: HashMap<TxId, Part, ahash::RandomState>,
    pub(in crate::shard) prng: Prng,
    pub(in crate::shard) now: Millis,
    pub(in crate::shard) epoch: Epoch,
}

impl Shard {
    /// A shard without a log, over these keys; `open_log` gives it one.
    pub fn new(id: ShardId, keys: Keyspace, seed: u64) -> Shard {
        Shard {
            id,
            keys,
            gate: Gate::new(Promise::Nothing, Lsn(0)),
            locks: Locks::default(),
            counters: Counters::default(),
            writes: Writes::Allowed,
            changes: 0,
            ears: Ears::default(),
            journal: Journal::default(),
            cut: Cut::default(),
            parts: HashMap::with_hasher(ahash::RandomState::with_seeds(5, 6, 7, 8)),
            prng: Prng::new(seed ^ (u64::from(id.0) << 48)),
            now: Millis(0),
            epoch: Epoch(0),
        }
    }

    /// Starts a run of commands that had all arrived before `epoch` was read: sets the clock they
    /// see, and makes the cut of a prepared checkpoint when the epoch has come.
    pub fn begin(&mut self, now: Millis, epoch: Epoch) {
        // A clock that is set back must not bring expired keys to life within this process.
        self.now = self.now.max(now);
        if epoch > self.epoch {
            self.enter_epoch(epoch);
        }
    }

    /// The clock of the current run.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// The epoch of the current run.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The last lsn given out.
    pub fn appended(&self) -> Lsn {
        self.journal.last()
    }

    /// The log, if there is one.
    pub fn log(&self) -> Option<&SegmentWriter> {
        self.journal.log()
    }

    /// The log, to take writes and syncs from.
    pub fn log_mut(&mut self) -> Option<&mut SegmentWriter> {
        self.journal.log_mut()
    }

    /// Logs to `log` from now on; what was counted before goes on there.
    pub fn open_log(&mut self, log: SegmentWriter, promise: Promise) {
        self.gate = Gate::new(promise, log.appended());
        self.journal.set_log(Some(log));
    }

    /// The count of effects goes on after `last`.
    pub fn resume(&mut self, last: Lsn) {
        self.journal.resume(last);
    }

    /// Tells the gate how far the log is.
    pub fn note_progress(&mut self) {
        if let Some(log) = self.journal.log() {
            self.gate.wrote(log.written());
            self.gate.synced(log.durable());
        }
    }

    /// An empty shard like this one, to load into.
    pub fn fresh(&self) -> Shard {
        Shard::new(self.id, self.keys.scratch(), self.prng.clone().next())
    }

    /// Takes over the keys of a shard that was loaded; those that were here are gone.
    pub fn take_keys(&mut self, from: Shard) {
        self.keys.begin(self.now, self.journal.last());
        self.keys.replace(from.keys);
    }

    /// WATCH of one key.
    pub fn watch(&mut self, db: Db, key: &[u8]) -> u64 {
        self.keys.begin(self.now, self.journal.next());
        self.keys.watch(db, key)
    }

    /// A random number, for choices between shards.
    pub fn dice(&mut self) -> u64 {
        self.prng.next()
    }
}
