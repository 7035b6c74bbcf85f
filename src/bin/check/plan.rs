//! `basalt-check plan`: what a start would do.

use std::path::Path;

use basalt::persist::manifest::Manifest;
use basalt::persist::recovery::{Mode, Plan};
use basalt::persist::segment_scan::Parts;

use crate::report::{Report, Value, text};
use crate::{Trouble, look};

/// Says what a start would load, replay, cut and remove, or why it would refuse.
pub fn plan(dir: &Path, mode: Mode, report: &mut Report<'_>) -> Result<(), Trouble> {
    let Some(inspected) = look(dir, Parts::Undecided, report)? else { return Ok(()) };
    match inspected.plan(mode) {
        Ok(plan) => show(&plan, &inspected.manifest, report),
        Err(refusal) => report.refusal(&refusal),
    }
}

/// The lines of a plan.
pub fn show(plan: &Plan, manifest: &Manifest, report: &mut Report<'_>) -> Result<(), Trouble> {
    let complete = plan.complete.map_or(text("all"), |epoch| Value::Number(epoch.0));
    let origin = format!("{:?}", plan.origin);
    report.line(&[
        ("start", text(&origin)),
        ("epochs_kept", complete),
        ("next_epoch", Value::Number(plan.epoch.0)),
    ])?;
    for (shard, (plan, files)) in plan.shards.iter().zip(&manifest.shards).enumerate() {
        let shard = || Value::Number(shard as u64);
        if let Some(base) = &files.base {
            report.line(&[("load", text(&base.path)), ("shard", shard())])?;
        }
        for replay in &plan.replay {
            report.line(&[
                ("replay", text(&replay.path)),
                ("shard", shard()),
                ("from", Value::Number(replay.first.0)),
                ("before", Value::Number(replay.end.next.0)),
                ("bytes", Value::Number(replay.end.length)),
            ])?;
        }
        for cut in &plan.cuts {
            report.line(&[
                ("cut", text(&cut.path)),
                ("shard", shard()),
                ("offset", Value::Number(cut.offset)),
                ("lsn", Value::Number(cut.lsn.0)),
                ("row", text(&format!("{:?}", cut.row))),
                ("because", text(cut.row.text())),
            ])?;
        }
    }
    for path in &plan.garbage {
        report.line(&[("remove", text(path))])?;
    }
    plan.foreign.iter().try_for_each(|path| report.line(&[("leave", text(path))]))
}
