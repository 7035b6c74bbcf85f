//! How the log of one shard ends: rows D to J.

use super::{Cut, Damage, Refusal, Replay, Row, ShardPlan};
use crate::base::ids::{Epoch, Lsn, ShardId};
use crate::base::mutant::Mutant;
use crate::persist::fault::StorageFault;
use crate::persist::manifest::{End, ShardFiles};
use crate::persist::segment_scan::{Scanned, Tail};

/// What may have been lost besides what was being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing: the page cache is still the one that was written to.
    SameBoot,
    /// Everything that was not synced.
    OtherBoot,
}

/// How a log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With a record, or zeros behind it.
    Clean,
    /// With the beginning of a record.
    Torn,
    /// With bytes that are no record, and no beginning of one.
    Changed,
    /// Valid records lie behind what is bad or missing.
    Gap,
}

/// Rows D to I: which one applies. D keeps, E, F and H cut, G and I refuse.
pub fn tail_row(origin: Origin, ending: Ending, proven: bool) -> Row {
    match (origin, ending, proven) {
        (_, _, true) => Row::I,
        (_, Ending::Clean, false) => Row::D,
        (Origin::SameBoot, Ending::Torn, false) => Row::E,
        (Origin::OtherBoot, Ending::Torn | Ending::Changed, false) => Row::F,
        (Origin::SameBoot, Ending::Gap | Ending::Changed, false) => Row::G,
        (Origin::OtherBoot, Ending::Gap, false) => Row::H,
    }
}

/// What is the same for all shards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    /// What may have been lost.
    pub origin: Origin,
    /// The highest figure of all shards.
    pub durable: Epoch,
    /// What becomes of what is damaged.
    pub damage: Damage,
}

/// Where the history of a shard is interrupted.
struct Break {
    /// The segment, and the offset in it, where what should follow is not.
    segment: usize,
    offset: u64,
    ending: Ending,
    /// The segment is closed, and this lies below its end.
    below_end: bool,
    /// What is missing is at most this old.
    epoch: Option<Epoch>,
}

/// Goes through the segments of one shard.
pub(super) fn walk(
    shard: ShardId,
    files: &ShardFiles,
    scans: &[Scanned],
    case: Case,
) -> Result<ShardPlan, Refusal> {
    let Case { origin, durable, damage } = case;
    let mut plan = ShardPlan { next: files.after.next(), ..ShardPlan::default() };
    let mut broken: Option<Break> = None;
    for (i, (segment, scan)) in files.segments.iter().zip(scans).enumerate() {
        let replay = |first: Lsn, end: End| {
            let (path, id) = (segment.path.clone(), segment.id(shard));
            // An end stands in a manifest only once all before it is durable.
            let closed = segment.end.is_some() || Mutant::TrustPageCache.is_on();
            let known = if closed { end.length } else { scan.proven() };
            Replay { path, id, first, end, doubtful: known.min(end.length) }
        };
        if let Some(broken) = &mut broken {
            if scan.records > 0 {
                broken.ending = Ending::Gap;
                broken.epoch = broken.epoch.or(scan.first_epoch);
            }
            plan.replay.push(replay(plan.next, End { length: 0, next: plan.next }));
            continue;
        }
        let begins = if scan.records > 0 { scan.first } else { None };
        let repeated = begins.filter(|first| *first < plan.next);
        if let Some(first) = repeated.filter(|_| damage == Damage::Refused) {
            return Err(repeats(&segment.path, plan.next, first));
        }
        if begins.is_some_and(|first| first != plan.next) {
            let epoch = scan.first_epoch;
            let (ending, below_end) = (Ending::Gap, repeated.is_some());
            broken = Some(Break { segment: i, offset: 0, ending, below_end, epoch });
            plan.replay.push(replay(plan.next, End { length: 0, next: plan.next }));
            continue;
        }
        let first = plan.next;
        plan.next = begins.and(scan.next).unwrap_or(plan.next);
        plan.replay.push(replay(first, End { length: scan.length, next: plan.next }));
        broken = interruption(i, segment.end, scan);
    }
    let synced = scans.iter().map(|scan| scan.synced).max().unwrap_or_default();
    let Some(broken) = broken else { return unbroken(files, plan, synced, case) };
    let proven = broken.below_end
        || synced >= plan.next
        || broken.epoch.is_some_and(|epoch| epoch <= durable);
    let mut row = tail_row(origin, broken.ending, proven);
    let path = files.segments.get(broken.segment).map(|segment| segment.path.clone());
    let (path, offset) = (path.unwrap_or_default(), broken.offset);
    if matches!(row, Row::G | Row::I) && damage == Damage::Cut {
        row = Row::M;
    } else if matches!(row, Row::G | Row::I) {
        let expected = format!("the record with lsn {}", plan.next.0);
        let found = if broken.ending == Ending::Gap { "later records only" } else { "other bytes" };
        return Err(Refusal { row, fault: StorageFault::new(path, offset, expected, found) });
    }
    for (i, (segment, scan)) in files.segments.iter().zip(scans).enumerate() {
        let cut = i == broken.segment || (i > broken.segment && scan.records > 0);
        if cut {
            let offset = if i == broken.segment { broken.offset } else { 0 };
            plan.cuts.push(Cut { path: segment.path.clone(), offset, lsn: plan.next, row });
        }
    }
    Ok(plan)
}

/// A log that ends with a record.
fn unbroken(
    files: &ShardFiles,
    mut plan: ShardPlan,
    synced: Lsn,
    case: Case,
) -> Result<ShardPlan, Refusal> {
    let row = tail_row(case.origin, Ending::Clean, synced >= plan.next);
    if row == Row::D {
        return Ok(plan);
    }
    let refusal = ends_early(files, &plan, synced);
    if case.damage == Damage::Refused {
        return Err(refusal);
    }
    let StorageFault { file: path, offset, .. } = refusal.fault;
    plan.cuts.push(Cut { path, offset, lsn: plan.next, row: Row::M });
    Ok(plan)
}

/// Whether the history stops within this segment, whose records up to there follow.
fn interruption(segment: usize, end: Option<End>, scan: &Scanned) -> Option<Break> {
    let offset = scan.length;
    let short = end.is_some_and(|end| {
        scan.length < end.length || scan.next.is_some_and(|next| next != end.next)
    });
    let (ending, epoch) = match scan.tail {
        Tail::Clean if !short => return None,
        Tail::Clean | Tail::Torn => (Ending::Torn, scan.announced),
        Tail::Changed => (Ending::Changed, scan.announced),
        Tail::Gap { epoch, .. } => (Ending::Gap, scan.announced.or(Some(epoch))),
    };
    Some(Break { segment, offset, ending, below_end: end.is_some(), epoch })
}

/// A record says that more was durable than there is: no writer makes such a log.
fn ends_early(files: &ShardFiles, plan: &ShardPlan, synced: Lsn) -> Refusal {
    let path = files.segments.last().map(|segment| segment.path.clone()).unwrap_or_default();
    let offset = plan.replay.last().map_or(0, |replay| replay.end.length);
    let (expected, found) = (format!("lsn {}", synced.0), "the end of the log");
    Refusal { row: Row::I, fault: StorageFault::new(path, offset, expected, found) }
}

fn repeats(path: &str, expected: Lsn, found: Lsn) -> Refusal {
    let (expected, found) = (format!("lsn {}", expected.0), format!("lsn {}", found.0));
    Refusal { row: Row::J, fault: StorageFault::new(path, 0, expected, found) }
}
