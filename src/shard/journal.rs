//! Where a shard's effects go: counted always, queued for the log when there is one.

use crate::base::ids::{Db, Epoch, Lsn, ShardId, TxId};
use crate::base::mutant::Mutant;
use crate::commands::call::Effect;
use crate::persist::segment::SegmentWriter;
use crate::persist::shard_set::ShardSet;
use crate::resp::args::{Args, OwnedArgs};

/// The order of a shard's effects, with or without a log.
#[derive(Debug, Default)]
pub struct Journal {
    /// The last lsn given out.
    last: Lsn,
    log: Option<SegmentWriter>,
}

/// Effects that are to become one atomic unit.
pub type Group = Vec<(Db, OwnedArgs)>;

impl Journal {
    /// The last lsn given out.
    pub fn last(&self) -> Lsn {
        self.last
    }

    /// The lsn that the next effect will get.
    pub fn next(&self) -> Lsn {
        self.last.next()
    }

    /// The log, if there is one.
    pub fn log(&self) -> Option<&SegmentWriter> {
        self.log.as_ref()
    }

    /// The log, to take writes and syncs from.
    pub fn log_mut(&mut self) -> Option<&mut SegmentWriter> {
        self.log.as_mut()
    }

    /// Logs to `log` from now on, or to nothing. What the log has counted before goes on here.
    pub fn set_log(&mut self, log: Option<SegmentWriter>) {
        if let Some(log) = &log {
            assert!(log.appended() >= self.last, "an lsn is never given out twice");
            self.last = log.appended();
        }
        self.log = log;
    }

    /// The count goes on after `last`: what recovery has found.
    pub fn resume(&mut self, last: Lsn) {
        self.last = self.last.max(last);
    }

    /// Effects from now on belong to this epoch.
    pub fn stamp(&mut self, epoch: Epoch) {
        if let Some(log) = &mut self.log {
            log.stamp(epoch);
        }
    }

    /// One command.
    #[inline]
    pub fn append(&mut self, args: Args<'_>, db: Db) {
        match &mut self.log {
            Some(log) => self.last = log.append(db, args),
            None => self.last = self.last.next(),
        }
    }

    /// What a command left, as one unit; says whether there was anything.
    pub fn append_effect(&mut self, effect: Effect, args: Args<'_>, db: Db) -> bool {
        match effect {
            Effect::Nothing => return false,
            Effect::AsSent => self.append(args, db),
            Effect::Instead(args) => self.append(args.args(), db),
            Effect::Several(all) => {
                self.append_group(&all.into_iter().map(|args| (db, args)).collect());
            }
        }
        true
    }

    /// Several commands as one unit; none for none.
    pub fn append_group(&mut self, group: &Group) {
        match (&mut self.log, group.as_slice()) {
            (_, []) => {}
            (_, [(db, args)]) => self.append(args.args(), *db),
            (Some(log), all) => {
                self.last = log.append_group(all.iter().map(|(db, args)| (*db, args.args())));
            }
            (None, _) => self.last = self.last.next(),
        }
    }

    /// The part of a transaction over several shards, even an empty one.
    pub fn append_transaction(&mut self, tx: TxId, shards: &[ShardId], group: &Group) -> Lsn {
        match &mut self.log {
            Some(log) => {
                let effects = group.iter().map(|(db, args)| (*db, args.args()));
                self.last = match Mutant::PartAlone.is_on() {
                    true => log.append_group(effects),
                    false => log.append_transaction(tx, ShardSet::of(shards), effects),
                };
            }
            None => self.last = self.last.next(),
        }
        self.last
    }
}

/// Adds what a command left to a group.
pub fn note(group: &mut Group, effect: Effect, args: Args<'_>, db: Db) {
    match effect {
        Effect::Nothing => {}
        Effect::AsSent => group.push((db, args.to_owned())),
        Effect::Instead(args) => group.push((db, args)),
        Effect::Several(all) => group.extend(all.into_iter().map(|args| (db, args))),
    }
}
