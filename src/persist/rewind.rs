//! Points in time: up to where each shard's log is kept so that together they are the database as
//! it was at one moment. Pure; the caller reads the records.
//!
//! | asked for | one shard | several shards |
//! |---|---|---|
//! | until a time | before the first record sealed later | before its epoch, on all |
//! | up to an epoch | before the first record of a later one | the same |
//! | before a command | before its unit | before its parts (1); else before its epoch |
//!
//! (1) if it is part of a transaction that has one on every shard.
//!
//! Epochs are closed under what anybody could know (durability), so a cut between two of them is a
//! moment of the whole database. A transaction with a part on every shard (FLUSHALL is one) holds
//! all shards while it is applied, so what lies before its parts is a moment too, and exact.
//!
//! Two passes over the logs: `Survey` looks for the command or the time and gives a `Bound`;
//! `verdict` then says of each record whether it is kept.

use std::collections::BTreeMap;

use crate::base::ids::{Db, Epoch, Lsn, ShardId, TxId};
use crate::base::time::Millis;
use crate::persist::fault::StorageFault;
use crate::persist::manifest::{End, Manifest};
use crate::persist::payload::{BadPayload, Piece, Pieces, Selected, Transaction, transaction_of};
use crate::persist::record::Header;
use crate::persist::recovery::{Cut, Replay, Row, ShardPlan};
use crate::persist::segment_scan::{Record, Scanned, Tail};
use crate::resp::args::Args;

/// The moment that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Everything up to then.
    Until(Millis),
    /// Everything up to this epoch.
    Epoch(Epoch),
    /// Everything before the last command that matches; if a time is given, the last up to then.
    Before(Pattern, Option<Millis>),
}

/// The first words of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<Vec<u8>>);

/// A command that matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Whose log it is in.
    pub shard: ShardId,
    /// The lsn of its unit.
    pub lsn: Lsn,
    /// Its epoch.
    pub epoch: Epoch,
    /// When its record was sealed.
    pub time: Millis,
    /// The transaction that it is part of.
    pub transaction: Option<Transaction>,
    /// Its database.
    pub db: Db,
    /// Its words, escaped.
    pub command: String,
}

/// Where the history ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Nothing is cut.
    All,
    /// Behind this epoch.
    Epoch(Epoch),
    /// Behind the last record, of the only shard, that was sealed by then.
    Time(Millis),
    /// Before this unit of the only shard.
    Unit(Lsn),
    /// Before the parts of this transaction.
    Parts(TxId),
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept.
    Keep,
    /// The log ends before it.
    End,
    /// So many of its units are kept, and nothing behind them.
    Split(u64),
}

/// Where the log of one shard ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// Which of its segments.
    pub segment: usize,
    /// The record that is not kept whole.
    pub offset: u64,
    /// The first lsn that is not kept.
    pub lsn: Lsn,
    /// How many units of that record are kept.
    pub units: u64,
}

/// The first pass.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The lowest epoch of a record that was sealed too late.
    late: Option<Epoch>,
    /// The last match so far.
    found: Option<Match>,
}

impl Pattern {
    /// Reads words that are separated by spaces; there has to be one.
    pub fn parse(text: &str) -> Option<Pattern> {
        let words: Vec<_> = text.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
        (!words.is_empty()).then_some(Pattern(words))
    }

    /// Does the command begin with these words? Its name is compared in any case.
    pub fn matches(&self, command: Args<'_>) -> bool {
        let same = |(i, word): (usize, &Vec<u8>)| {
            command.get(i).is_some_and(|arg| match i {
                0 => arg.eq_ignore_ascii_case(word),
                _ => arg == word.as_slice(),
            })
        };
        self.0.iter().enumerate().all(same)
    }
}

/// Which of these generations, the youngest first, have to be looked at: one for a time or an
/// epoch, for a command all until it is found. None: no base is old enough.
pub fn candidates(target: &Target, manifests: &[Manifest]) -> Vec<usize> {
    let fits = |manifest: &Manifest| match target {
        Target::Until(time) => manifest.cut_time <= *time,
        Target::Epoch(epoch) => manifest.cut.0 <= epoch.0 + 1,
        Target::Before(_, None) => true,
        Target::Before(_, Some(time)) => manifest.cut_time <= *time,
    };
    let all = manifests.iter().enumerate().filter(|(_, manifest)| fits(manifest)).map(|(i, _)| i);
    match target {
        Target::Before(..) => all.collect(),
        Target::Until(_) | Target::Epoch(_) => all.take(1).collect(),
    }
}

impl Survey {
    /// Looks at a record of a shard. All records of a segment are to be shown, in order.
    pub fn look(
        &mut self,
        target: &Target,
        shard: ShardId,
        record: Record<'_>,
    ) -> Result<(), BadPayload> {
        let header = *record.header();
        match target {
            Target::Epoch(_) => Ok(()),
            Target::Until(time) => {
                if header.now > *time {
                    self.late = Some(self.late.map_or(header.epoch, |e| e.min(header.epoch)));
                }
                Ok(())
            }
            Target::Before(pattern, until) => {
                let found = last_match(pattern, shard, &header, record.into_pieces())?;
                // One that does not count has been read for the database that it selects.
                if let Some(found) = found.filter(|_| until.is_none_or(|until| header.now <= until))
                {
                    self.found(found);
                }
                Ok(())
            }
        }
    }

    fn found(&mut self, found: Match) {
        // Of one shard's log the last one counts, of several the one in the highest epoch.
        if self.found.as_ref().is_none_or(|old| found.epoch >= old.epoch) {
            self.found = Some(found);
        }
    }

    /// The match that counts.
    pub fn last_match(&self) -> Option<&Match> {
        self.found.as_ref()
    }

    /// Where the history of `shards` shards ends; nothing if the command was not found.
    pub fn bound(&self, target: &Target, shards: usize) -> Option<Bound> {
        match (target, shards) {
            (Target::Epoch(epoch), _) => Some(Bound::Epoch(*epoch)),
            (Target::Until(time), 1) => Some(Bound::Time(*time)),
            (Target::Until(_), _) => Some(self.late.map_or(Bound::All, before)),
            (Target::Before(..), shards) => self.found.as_ref().map(|found| {
                let everywhere = found.transaction.filter(|part| part.participants.len() == shards);
                match everywhere {
                    _ if shards == 1 => Bound::Unit(found.lsn),
                    Some(part) => Bound::Parts(part.id),
                    None => before(found.epoch),
                }
            }),
        }
    }
}

/// The last command of a record that matches.
fn last_match(
    pattern: &Pattern,
    shard: ShardId,
    header: &Header,
    mut pieces: Pieces<'_>,
) -> Result<Option<Match>, BadPayload> {
    let (mut unit, mut transaction, mut found) = (0, None, None);
    loop {
        match pieces.next()? {
            None => return Ok(found),
            Some(Piece::Begin(part)) => transaction = part,
            Some(Piece::End) => transaction = None,
            Some(Piece::Command(db, args)) if pattern.matches(args) => {
                let (lsn, epoch, time) = (Lsn(header.first.0 + unit), header.epoch, header.now);
                let command = words(args);
                found = Some(Match { shard, lsn, epoch, time, transaction, db, command });
            }
            Some(Piece::Command(..)) => {}
        }
        unit = pieces.position().0;
    }
}

/// The end of the epoch before.
pub fn before(epoch: Epoch) -> Bound {
    Bound::Epoch(Epoch(epoch.0.saturating_sub(1)))
}

/// What becomes of a record, if all before it were kept.
pub fn verdict(bound: Bound, header: &Header, payload: &[u8]) -> Verdict {
    let ends = match bound {
        Bound::All => false,
        Bound::Epoch(epoch) => header.epoch > epoch,
        Bound::Time(time) => header.now > time,
        Bound::Unit(lsn) if lsn > header.first && lsn < header.next() => {
            return Verdict::Split(lsn.0 - header.first.0);
        }
        Bound::Unit(lsn) => header.first >= lsn,
        Bound::Parts(id) => transaction_of(payload).is_some_and(|part| part.id == id),
    };
    if ends { Verdict::End } else { Verdict::Keep }
}

/// The bytes of a record's payload up to the end of this many units.
pub fn prefix(payload: &[u8], header: &Header, units: u64) -> Result<usize, BadPayload> {
    // The database does not matter for where a unit ends.
    let mut selected: Selected = Some(Db(0));
    let mut pieces = Pieces::new(payload, u64::from(header.count), &mut selected);
    while pieces.position().0 < units {
        if pieces.next()?.is_none() {
            break;
        }
    }
    Ok(pieces.position().1)
}

/// Ends a shard's history. `bytes` is the length of what is kept of the record that is split.
pub fn end_at(plan: &mut ShardPlan, stop: Stop, bytes: u64) {
    plan.replay.truncate(stop.segment + 1);
    if let Some(replay) = plan.replay.get_mut(stop.segment) {
        replay.end = End { length: stop.offset + bytes, next: stop.lsn };
    }
    plan.next = stop.lsn;
}

/// The manifest of a database that is what the plans keep of `source`, in files of its own. Every
/// segment is closed; `last` is the highest epoch of a record that is kept.
pub fn rewound(source: &Manifest, plans: &[ShardPlan], last: Epoch) -> Manifest {
    let mut manifest = source.clone();
    manifest.boot = String::new();
    manifest.retained = Vec::new();
    manifest.durable = last.max(Epoch(source.cut.0.saturating_sub(1)));
    for (files, plan) in manifest.shards.iter_mut().zip(plans) {
        files.segments.truncate(plan.replay.len());
        for (segment, replay) in files.segments.iter_mut().zip(&plan.replay) {
            segment.first = Some(replay.first);
            segment.end = Some(replay.end);
        }
        files.segments.retain(|segment| segment.end.is_some_and(|end| end.length > 0));
    }
    manifest
}

/// What is valid in files that were copied one after another while a server wrote them: of each
/// log a prefix, though not at one moment. Nothing if a closed segment is not what it was.
pub fn prefixes(manifest: &Manifest, scans: &[Vec<Scanned>]) -> Option<Vec<ShardPlan>> {
    let mut plans = Vec::new();
    for (shard, (files, scans)) in manifest.shards.iter().zip(scans).enumerate() {
        let shard = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
        let mut plan = ShardPlan { next: files.after.next(), ..ShardPlan::default() };
        let mut interrupted = false;
        for (segment, scan) in files.segments.iter().zip(scans) {
            let first = plan.next;
            let follows = scan.records == 0 || scan.first == Some(first);
            interrupted |= !follows;
            let (length, next) = match (interrupted, scan.records) {
                (true, _) | (_, 0) => (0, first),
                (false, _) => (scan.length, scan.next.unwrap_or(first)),
            };
            let end = End { length, next };
            if segment.end.is_some_and(|known| known != end) {
                return None;
            }
            // What comes behind an end that is not clean has been copied later.
            interrupted |= scan.tail != Tail::Clean;
            plan.next = next;
            let (path, id) = (segment.path.clone(), segment.id(shard));
            plan.replay.push(Replay { path, id, first, end, doubtful: length });
        }
        plans.push(plan);
    }
    Some(plans)
}

/// The moment up to which such copies are complete on every shard. A shard has all of the epochs
/// before that of its last record; one without a record has what its base holds.
pub fn complete_in_copies(
    manifest: &Manifest,
    plans: &[ShardPlan],
    scans: &[Vec<Scanned>],
) -> Bound {
    if manifest.shards.len() == 1 {
        return Bound::All;
    }
    let base = manifest.cut.0.saturating_sub(1);
    let complete = plans.iter().zip(scans).map(|(plan, scans)| {
        let kept = plan.replay.iter().zip(scans).filter(|(replay, _)| replay.end.length > 0);
        let last = kept.filter_map(|(_, scan)| scan.last_epoch).max();
        last.map_or(base, |last| last.0.saturating_sub(1).max(base))
    });
    Bound::Epoch(Epoch(complete.min().unwrap_or(base)))
}

/// The manifest of a copy in place: what the plans keep, and nothing behind it. What is cut off is
/// given, to be kept aside first.
pub fn adopted(
    source: &Manifest,
    plans: &[ShardPlan],
    last: Epoch,
    listing: &BTreeMap<String, u64>,
) -> Result<(Manifest, Vec<Cut>), StorageFault> {
    let mut cuts = Vec::new();
    for (files, plan) in source.shards.iter().zip(plans) {
        if let Some(base) = &files.base
            && listing.get(&base.path) != Some(&base.length)
        {
            let found = listing.get(&base.path).map_or("no such file", |_| "another length");
            let expected = format!("{} bytes", base.length);
            return Err(StorageFault::new(&base.path, 0, expected, found));
        }
        for (index, segment) in files.segments.iter().enumerate() {
            let end = plan.replay.get(index).map(|replay| replay.end);
            let (offset, lsn) = end.map_or((0, plan.next), |end| (end.length, end.next));
            let Some(length) = listing.get(&segment.path) else {
                return Err(StorageFault::new(&segment.path, 0, "a segment", "no such file"));
            };
            if segment.end.is_none() && *length > offset {
                cuts.push(Cut { path: segment.path.clone(), offset, lsn, row: Row::K });
            }
        }
    }
    let manifest = rewound(source, plans, last);
    Ok((Manifest { retained: source.retained.clone(), ..manifest }, cuts))
}

/// The words of a command, escaped and cut short.
fn words(args: Args<'_>) -> String {
    let word = |arg: &[u8]| arg.get(..64).unwrap_or(arg).escape_ascii().to_string();
    let mut words: Vec<String> = args.iter().take(8).map(word).collect();
    if args.len() > 8 {
        words.push("...".to_owned());
    }
    words.join(" ")
}

#[cfg(test)]
mod tests;
