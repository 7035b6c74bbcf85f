//! What a start makes of the files it finds: a pure function from facts to a plan.
//!
//! Facts: the verified manifest, the directory listing, the kernel's boot id, the setting
//! `recovery`, and for each segment what a scan of it found (of a closed one, only the bytes that
//! the manifest calls the database are scanned). Plan: load this, replay to that lsn, cut there
//! because of this row, or refuse because of that row. Every row has a letter, which stands in the
//! log line and in the tests. Nothing is changed before the new manifest is durable: what is cut is
//! cut by that manifest, which closes the segment there (`Plan::manifest`).
//!
//! A file that the manifest governs:
//!
//! | row | file | found | then |
//! |---|---|---|---|
//! | A | any | missing | refuse |
//! | B | base | of another length | refuse |
//! | C | closed segment | shorter than its end | refuse |
//!
//! How the log of a shard ends, over all its segments in order. *Torn*: with the beginning of a
//! record, as an interrupted write leaves it. *Changed*: with other bytes. *Gap*: valid records lie
//! behind bad or missing ones, in the same segment or in a later one. *Proven*: what is bad or
//! missing had been durable, by the word of another record (its lsn up to a `synced` figure of the
//! shard, or its epoch up to a `durable` figure of any shard), or lies below the end of a closed
//! segment.
//!
//! | row | start | end | proven | then |
//! |---|---|---|---|---|
//! | D | any | clean | no | keep all of it |
//! | E | same boot | torn | no | cut: the process died while it wrote |
//! | F | other boot | torn, changed | no | cut: the power failed while it was written |
//! | G | same boot | gap, changed | no | refuse: the page cache loses and changes nothing |
//! | H | other boot | gap | no | cut at the gap: blocks reach a device in any order |
//! | I | any | any | yes | refuse: what was durable is damaged |
//! | J | any | lsns repeat between segments | - | refuse: a foreign segment |
//!
//! Then, over all shards:
//!
//! | row | what | then |
//! |---|---|---|
//! | K | other boot: an epoch that is not proven complete on every shard | cut before it |
//! | L | a transaction that some participant lacks | cut before it |
//!
//! By order of an operator (`plan_by_force`), and never at a start, rows A and C of segments and
//! rows G, I and J become
//!
//! | row | what | then |
//! |---|---|---|
//! | M | what was durable is damaged or missing | cut before it |
//!
//! and row L then also looks at transactions that were durable. Each other shard keeps what it has:
//! what is left is whole transactions, and not a moment in time.
//!
//! Row K keeps, with E the highest epoch proven complete, the records up to E and those behind them
//! that are flagged `always`, until the first one that is neither. E is the highest `durable`
//! figure of any record or of the manifest, or, if that is more, the epoch before the lowest of the
//! shards' last epochs. With one shard there is no row K: its log is the order. A policy may change
//! to `always` only after a sync on all shards in a later epoch than what was appended before; then
//! nothing acknowledged lies behind a record that row K drops. Row L is repeated until nothing
//! changes: nothing that it drops was acknowledged, since replies wait for the transactions before
//! them to be written (or durable) at all participants.

use std::collections::BTreeMap;

use crate::base::ids::{Epoch, Lsn, ShardId};
use crate::base::mutant::Mutant;
use crate::persist::fault::StorageFault;
use crate::persist::manifest::{End, Manifest};
use crate::persist::names::{self, Fate};
use crate::persist::record::{Policy, SegmentId};
use crate::persist::segment_scan::{Mark, Scanned};

mod tail;

pub use tail::{Ending, Origin, tail_row};

use tail::Case;

/// The setting `recovery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A power cut is assumed if the boot id has changed.
    Auto,
    /// A power cut is assumed.
    Strict,
}

/// Which case of the tables applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the table at the head of the file says what each is")]
pub enum Row {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
}

/// What becomes of a log that was durable and is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    Refused,
    Cut,
}

/// What was found in the data directory.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The manifest.
    pub manifest: &'a Manifest,
    /// Every path inside the directory with its length.
    pub listing: &'a BTreeMap<String, u64>,
    /// The boot id of the running kernel; empty when it is not known.
    pub boot: &'a str,
    /// The setting.
    pub mode: Mode,
    /// What the scans found: by shard, then by segment in the order of the manifest.
    pub scans: &'a [Vec<Scanned>],
}

/// A segment, or a part of one, that is to be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Where it is.
    pub path: String,
    /// Its identity.
    pub id: SegmentId,
    /// The lsn of its first unit.
    pub first: Lsn,
    /// Where to stop.
    pub end: End,
    /// From here to the end the bytes are not known to be durable. They have to be written again
    /// before they are synced: if a sync of them failed, the page cache has them as clean, and the
    /// next sync succeeds without a write.
    pub doubtful: u64,
}

/// Bytes that are not the database any more: from `offset` to the end of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub path: String,
    /// The first byte that is cut off.
    pub offset: u64,
    /// The lsn that is the first to be lost.
    pub lsn: Lsn,
    /// Why.
    pub row: Row,
}

/// What to do for one shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardPlan {
    /// In this order; one for each segment of the manifest.
    pub replay: Vec<Replay>,
    /// What is cut off, and why.
    pub cuts: Vec<Cut>,
    /// The lsn that the next unit gets.
    pub next: Lsn,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Was a power cut assumed?
    pub origin: Origin,
    /// Row K: everything after this epoch was dropped, but for what is flagged `always`.
    pub complete: Option<Epoch>,
    /// By shard.
    pub shards: Vec<ShardPlan>,
    /// The epoch to go on with: above every one that was seen.
    pub epoch: Epoch,
    /// Paths to remove once the new manifest is durable.
    pub garbage: Vec<String>,
    /// Paths that are not ours: left alone, and reported.
    pub foreign: Vec<String>,
}

/// Why the database is not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The case.
    pub row: Row,
    /// The file and what is wrong with it.
    pub fault: StorageFault,
}

impl Row {
    /// What the log says about it.
    pub fn text(self) -> &'static str {
        match self {
            Row::A => "a file of the database is missing",
            Row::B => "a base is not as long as it was",
            Row::C => "a segment is shorter than it was",
            Row::D => "the log ends cleanly",
            Row::E => "the process died while it wrote",
            Row::F => "the power failed while it was written",
            Row::G => "the log is damaged: the process died, but no power failed",
            Row::H => {
                "the power failed while it was written, and later blocks survived earlier ones"
            }
            Row::I => "the log is damaged where it had been durable",
            Row::J => "a segment repeats what an earlier one holds",
            Row::K => "not known to be complete on every shard",
            Row::L => "a transaction that another shard does not have, and what followed it",
            Row::M => "what was durable is damaged, and is given up by order",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (row {:?}): {}", self.row.text(), self.row, self.fault)
    }
}

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cut { path, offset, lsn, row } = self;
        write!(f, "{path} cut at byte {offset}, lsn {}: {} (row {row:?})", lsn.0, row.text())
    }
}

/// Decides. The slices of `facts.scans` have the shape of the manifest.
pub fn plan(facts: &Facts<'_>) -> Result<Plan, Refusal> {
    decide(facts, Damage::Refused)
}

/// Decides for an operator who gives up what was durable and is damaged (row M). The scans are to
/// give all parts of transactions. A base that is damaged is refused here too: there is nothing
/// to cut.
pub fn plan_by_force(facts: &Facts<'_>) -> Result<Plan, Refusal> {
    decide(facts, Damage::Cut)
}

fn decide(facts: &Facts<'_>, damage: Damage) -> Result<Plan, Refusal> {
    let Facts { manifest, listing, scans, .. } = *facts;
    check_files(manifest, listing, damage)?;
    let same = facts.mode == Mode::Auto && !facts.boot.is_empty() && manifest.boot == facts.boot;
    let origin = if same { Origin::SameBoot } else { Origin::OtherBoot };
    let all = || scans.iter().flatten();
    let durable = all().map(|scan| scan.durable).fold(manifest.durable, Epoch::max);
    let mut shards = Vec::new();
    for (shard, files) in manifest.shards.iter().enumerate() {
        let shard = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
        let scans = scans.get(shard.index()).map(Vec::as_slice).unwrap_or_default();
        let mut kept = tail::walk(shard, files, scans, Case { origin, durable, damage })?;
        for segment in files.segments.iter().filter(|s| !listing.contains_key(&s.path)) {
            // Only by order: otherwise row A.
            let path = &segment.path;
            if kept.cuts.iter().all(|cut| cut.path != *path) {
                let lsn = kept.next;
                kept.cuts.push(Cut { path: path.clone(), offset: 0, lsn, row: Row::M });
            }
        }
        shards.push(kept);
    }
    let many = manifest.shards.len() > 1;
    let cuts = !same && many && !Mutant::NoRowK.is_on();
    let complete = cuts.then(|| complete_epoch(manifest, &shards, scans, durable));
    for (kept, scans) in shards.iter_mut().zip(scans) {
        if let Some(mark) = complete.and_then(|complete| first_to_drop(scans, complete)) {
            kept.cut(mark.1.lsn, mark.0, mark.1.offset, Row::K);
        }
    }
    let decided = if damage == Damage::Cut { Epoch(0) } else { durable };
    drop_torn_transactions(&mut shards, scans, decided);
    let highest = all().map(|scan| scan.max_epoch).fold(durable.max(manifest.cut), Epoch::max);
    let (mut garbage, mut foreign) = (Vec::new(), Vec::new());
    for path in listing.keys() {
        match names::fate(path, Some(manifest)) {
            Fate::Keep => {}
            Fate::Garbage => garbage.push(path.clone()),
            Fate::Foreign => foreign.push(path.clone()),
        }
    }
    let epoch = Epoch(highest.0 + 1);
    Ok(Plan { origin, complete, shards, epoch, garbage, foreign })
}

/// A directory without a manifest: what to remove and what to leave alone if it can be begun anew.
/// Data of ours means that the manifest has been lost, and nothing is touched; unless it is the
/// rest of an import that did not come to its manifest.
pub fn plan_new(listing: &BTreeMap<String, u64>) -> Result<(Vec<String>, Vec<String>), Refusal> {
    let (mut garbage, mut foreign) = (Vec::new(), Vec::new());
    let importing = listing.contains_key(names::IMPORT);
    for (path, length) in listing {
        match names::parse(path) {
            None => foreign.push(path.clone()),
            Some(names::Name::ManifestTmp) => garbage.push(path.clone()),
            Some(
                names::Name::Snapshot(..) | names::Name::TextBase(..) | names::Name::Segment(..),
            ) if importing => garbage.push(path.clone()),
            Some(
                names::Name::Snapshot(..) | names::Name::TextBase(..) | names::Name::Segment(..),
            ) if *length > 0 => {
                let found = format!("{path} without it");
                let fault = StorageFault::new(names::MANIFEST, 0, "the manifest", found);
                return Err(Refusal { row: Row::A, fault });
            }
            Some(_) => {}
        }
    }
    Ok((garbage, foreign))
}

fn check_files(
    manifest: &Manifest,
    listing: &BTreeMap<String, u64>,
    damage: Damage,
) -> Result<(), Refusal> {
    for files in &manifest.shards {
        if let Some(base) = &files.base {
            let found = present(listing, &base.path, base.length)?;
            if found != base.length {
                return Err(wrong_length(Row::B, &base.path, base.length, found));
            }
        }
        let segments = if damage == Damage::Cut { &[] } else { files.segments.as_slice() };
        for segment in segments {
            let least = segment.end.map_or(0, |end| end.length);
            let found = present(listing, &segment.path, least)?;
            if found < least {
                return Err(wrong_length(Row::C, &segment.path, least, found));
            }
        }
    }
    Ok(())
}

fn present(listing: &BTreeMap<String, u64>, path: &str, expected: u64) -> Result<u64, Refusal> {
    listing.get(path).copied().ok_or_else(|| {
        let fault = StorageFault::new(path, 0, format!("{expected} bytes"), "no such file");
        Refusal { row: Row::A, fault }
    })
}

fn wrong_length(row: Row, path: &str, expected: u64, found: u64) -> Refusal {
    let (expected_text, found_text) = (format!("{expected} bytes"), format!("{found} bytes"));
    let fault = StorageFault::new(path, found.min(expected), expected_text, found_text);
    Refusal { row, fault }
}

/// The highest epoch that is provably complete on every shard.
fn complete_epoch(
    manifest: &Manifest,
    shards: &[ShardPlan],
    scans: &[Vec<Scanned>],
    durable: Epoch,
) -> Epoch {
    // What a shard has is complete up to the epoch before its last one, where nothing is missing.
    let last = |(plan, scans): (&ShardPlan, &Vec<Scanned>)| {
        let kept = plan.replay.iter().zip(scans).filter(|(replay, _)| replay.end.length > 0);
        kept.filter_map(|(_, scan)| scan.last_epoch).max().unwrap_or(manifest.durable)
    };
    let lowest = shards.iter().zip(scans).map(last).min().unwrap_or(durable);
    durable.max(Epoch(lowest.0.saturating_sub(1)))
}

/// The first record after the complete epoch that is not flagged `always`, and its segment.
fn first_to_drop(scans: &[Scanned], complete: Epoch) -> Option<(usize, Mark)> {
    let marks = scans
        .iter()
        .enumerate()
        .flat_map(|(i, scan)| scan.marks.iter().map(move |mark| (i, *mark)));
    let mut late = marks.filter(|(_, mark)| mark.epoch > complete);
    late.find(|(_, mark)| mark.policy != Policy::Always)
}

/// Row L. Parts in epochs that are durable everywhere are whole by that alone.
fn drop_torn_transactions(shards: &mut [ShardPlan], scans: &[Vec<Scanned>], durable: Epoch) {
    while !Mutant::NoRowL.is_on() {
        // Which participants have which transaction, as far as it is kept now.
        let mut holders: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        let kept_parts = |shard: usize, kept: &ShardPlan| {
            let next = kept.next;
            let parts = scans.get(shard).into_iter().flatten().enumerate();
            let parts = parts.flat_map(|(i, scan)| scan.parts.iter().map(move |part| (i, *part)));
            parts.filter(move |(_, part)| part.epoch > durable && part.lsn < next)
        };
        for (shard, kept) in shards.iter().enumerate() {
            for (_, part) in kept_parts(shard, kept) {
                holders.entry(part.transaction.id.0).or_default().push(shard);
            }
        }
        let mut changed = false;
        for (shard, kept) in shards.iter_mut().enumerate() {
            let torn = kept_parts(shard, kept).find(|(_, part)| {
                let has = holders.get(&part.transaction.id.0);
                let has = |shard: ShardId| has.is_some_and(|all| all.contains(&shard.index()));
                !part.transaction.participants.iter().all(has)
            });
            if let Some((segment, part)) = torn {
                kept.cut(part.lsn, segment, part.offset, Row::L);
                changed = true;
            }
        }
        if !changed {
            return;
        }
    }
}

impl ShardPlan {
    /// Ends the shard's history before `lsn`, which lies at `offset` of segment `segment`; nothing
    /// if it ends earlier anyway.
    fn cut(&mut self, lsn: Lsn, segment: usize, offset: u64, row: Row) {
        if lsn >= self.next {
            return;
        }
        self.next = lsn;
        for (i, replay) in self.replay.iter_mut().enumerate().skip(segment) {
            let offset = if i == segment { offset } else { 0 };
            if i > segment {
                replay.first = lsn;
            }
            if replay.end.length > offset || i == segment {
                self.cuts.retain(|cut| cut.path != replay.path);
                self.cuts.push(Cut { path: replay.path.clone(), offset, lsn, row });
            }
            replay.end = End { length: offset, next: lsn };
            replay.doubtful = replay.doubtful.min(offset);
        }
    }
}

impl Plan {
    /// The manifest with every segment closed where this plan ends it. The caller adds the segments
    /// that are appended to from now on, its run and boot id, and makes all that is kept durable
    /// before it writes this.
    pub fn manifest(&self, old: &Manifest) -> Manifest {
        let mut manifest = old.clone();
        manifest.durable = Epoch(self.epoch.0 - 1);
        for (files, plan) in manifest.shards.iter_mut().zip(&self.shards) {
            for (segment, replay) in files.segments.iter_mut().zip(&plan.replay) {
                segment.first = Some(replay.first);
                segment.end = (!Mutant::CutForgotten.is_on()).then_some(replay.end);
            }
        }
        manifest
    }
}

#[cfg(test)]
mod tests;
