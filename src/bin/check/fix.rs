//! `basalt-check fix`: does to the files what a start would do, and no more. It shows its plan
//! first; it cuts what was durable only when it is told to; what it changes it copies before.
//!
//! 1. What is cut off, and the manifest as it was, are copied to `lost+cut/` and synced.
//! 2. What is kept and not known to be durable is written again, and synced.
//! 3. The new manifest, which closes every segment where the plan ends it, is renamed into place.
//!
//! Killed before step 3 nothing has changed; killed after it nothing is left to do.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::path::Path;

use basalt::persist::manifest::Manifest;
use basalt::persist::names;
use basalt::persist::recovery::{Mode, Plan, Refusal, Replay};
use basalt::persist::segment_scan::Parts;
use basalt::server::disk::create_anew;
use basalt::server::inspect::Inspected;
use basalt::server::lock::DirectoryLock;
use basalt::server::recover::keep_cuts;
use basalt::server::rewrite::{Again, Seen, write_again};
use basalt::server::verify::{Depth, check_all};

use crate::plan::show;
use crate::report::{Report, text};
use crate::{Trouble, look};

/// Whether what was durable may be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Force {
    /// Never.
    No,
    /// Where it is damaged.
    Yes,
}

/// How to fix.
#[derive(Clone, Copy, Debug)]
pub struct Fix {
    /// As at a start.
    pub mode: Mode,
    /// Whether what was durable may be cut.
    pub force: Force,
    /// Nobody has to be asked.
    pub agreed: bool,
}

/// Fixes a directory that no server uses. `input` is asked for a word unless that was agreed.
pub fn fix(
    dir: &Path,
    fix: Fix,
    input: &mut dyn BufRead,
    report: &mut Report<'_>,
) -> Result<(), Trouble> {
    if !dir.join(names::MANIFEST).exists() {
        return look(dir, Parts::All, report).map(drop);
    }
    let _lock = DirectoryLock::take(dir).map_err(|why| Trouble::Unable(why.to_string()))?;
    let Some(inspected) = look(dir, Parts::All, report)? else { return Ok(()) };
    let Some(plan) = decide(&inspected, fix, report)? else { return Ok(()) };
    // What cannot be read even where the plan keeps it is beyond fixing.
    check_all(dir, &inspected.manifest, &plan, Depth::Decode, |_, done| match done {
        Ok(()) => Ok::<(), Trouble>(()),
        Err(fault) => report.fault(&fault),
    })?;
    if report.faults > 0 {
        return report
            .line(&[("fix", text("nothing is changed: what a cut would leave is damaged"))]);
    }
    if plan.shards.iter().all(|shard| shard.cuts.is_empty()) {
        return report.line(&[("fix", text("nothing to do"))]);
    }
    show(&plan, &inspected.manifest, report)?;
    if !fix.agreed && !asked(input, report)? {
        report.line(&[("fix", text("nothing is changed; --yes agrees to this plan"))])?;
        return Err(Trouble::Unfixed);
    }
    let kept = apply(dir, &inspected, &plan)
        .map_err(|error| Trouble::Unable(format!("{}: {error}", dir.display())))?;
    report.line(&[("fix", text("done")), ("before", text(&kept))])
}

/// The plan; nothing if there is none, of which it has been said why.
fn decide(
    inspected: &Inspected,
    fix: Fix,
    report: &mut Report<'_>,
) -> Result<Option<Plan>, Trouble> {
    let refusal = match inspected.plan(fix.mode) {
        Ok(plan) => return Ok(Some(plan)),
        Err(refusal) => refusal,
    };
    let forced: Result<Plan, Refusal> = inspected.plan_by_force(fix.mode);
    match (forced, fix.force) {
        (Ok(plan), Force::Yes) => Ok(Some(plan)),
        (Ok(plan), Force::No) => {
            report.refusal(&refusal)?;
            for cut in plan.shards.iter().flat_map(|shard| &shard.cuts) {
                report.line(&[("with --force", text(&cut.to_string()))])?;
            }
            Ok(None)
        }
        (Err(refusal), _) => report.refusal(&refusal).map(|()| None),
    }
}

fn asked(input: &mut dyn BufRead, report: &mut Report<'_>) -> Result<bool, Trouble> {
    report.line(&[("fix", text("type yes to do this"))])?;
    report.out.flush().map_err(|error| Trouble::Unable(error.to_string()))?;
    let mut answer = String::new();
    input.take(64).read_line(&mut answer).map_err(|error| Trouble::Unable(error.to_string()))?;
    Ok(answer.trim() == "yes")
}

/// Does it; gives where the manifest as it was is kept.
fn apply(dir: &Path, inspected: &Inspected, plan: &Plan) -> io::Result<String> {
    let Inspected { manifest, listing, .. } = inspected;
    let cuts = plan.shards.iter().flat_map(|shard| shard.cuts.clone());
    let cuts: Vec<_> =
        cuts.filter(|cut| listing.get(&cut.path).is_some_and(|n| *n > cut.offset)).collect();
    keep_cuts(dir, &cuts)?;
    let kept = keep_manifest(dir)?;
    for replay in plan.shards.iter().flat_map(|shard| &shard.replay) {
        if listing.contains_key(&replay.path) {
            make_durable(dir, replay)?;
        }
    }
    let mut next: Manifest = plan.manifest(manifest);
    for files in &mut next.shards {
        // A segment that is missing, and was given up, is not to be asked for again.
        files.segments.retain(|s| listing.contains_key(&s.path));
    }
    replace_manifest(dir, &next.encode())?;
    Ok(kept)
}

/// What is kept of a segment is on the device before a manifest says so.
fn make_durable(dir: &Path, replay: &Replay) -> io::Result<()> {
    let seen = Seen::read(dir, replay)?;
    let done = write_again(dir, replay, &seen).map_err(|(path, error)| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    })?;
    match done {
        Again::InPlace | Again::Anew => Ok(()),
        Again::Lost => Err(io::Error::other(format!(
            "{}: a part that was read a moment ago, and whose sync had failed, has gone",
            replay.path
        ))),
    }
}

/// Copies the manifest to the first free name.
fn keep_manifest(dir: &Path) -> io::Result<String> {
    let bytes = fs::read(dir.join(names::MANIFEST))?;
    fs::create_dir_all(dir.join(names::LOST_CUT))?;
    let mut number = 0u32;
    let (path, mut file) = loop {
        let path = format!("{}/{}.{number}", names::LOST_CUT, names::MANIFEST);
        match OpenOptions::new().write(true).create_new(true).open(dir.join(&path)) {
            Ok(file) => break (path, file),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    };
    file.write_all(&bytes)?;
    file.sync_all()?;
    File::open(dir.join(names::LOST_CUT))?.sync_all()?;
    File::open(dir)?.sync_all()?;
    Ok(path)
}

fn replace_manifest(dir: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(names::MANIFEST_TMP);
    let mut file = create_anew(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(names::MANIFEST))?;
    File::open(dir)?.sync_all()
}
