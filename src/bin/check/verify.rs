//! `basalt-check verify`: every byte of every file.

use std::collections::BTreeMap;
use std::path::Path;

use basalt::persist::fault::StorageFault;
use basalt::persist::manifest::Manifest;
use basalt::persist::names;
use basalt::persist::recovery::Mode;
use basalt::persist::segment_scan::{Parts, Scanned};
use basalt::server::inspect;
use basalt::server::verify::{Depth, check_all, check_bases};

use crate::report::{Report, Value, tail_name, text};
use crate::{Trouble, look};

/// Reads and checks everything that a start would read, and the generations that are kept.
pub fn verify(
    dir: &Path,
    mode: Mode,
    depth: Depth,
    report: &mut Report<'_>,
) -> Result<(), Trouble> {
    let Some(inspected) = look(dir, Parts::Undecided, report)? else { return Ok(()) };
    report.line(&[("file", text(names::MANIFEST)), ("state", text("ok"))])?;
    let manifest = &inspected.manifest;
    retained(dir, manifest, report)?;
    let plan = match inspected.plan(mode) {
        Ok(plan) => plan,
        Err(refusal) => return report.refusal(&refusal),
    };
    // What is known of each path beside its soundness.
    let mut known: BTreeMap<&str, Vec<(&'static str, Value)>> = BTreeMap::new();
    for base in manifest.shards.iter().filter_map(|files| files.base.as_ref()) {
        let entries = text(&base.entries.to_text());
        known.insert(&base.path, vec![("bytes", Value::Number(base.length)), ("entries", entries)]);
    }
    for (shard, scans) in plan.shards.iter().zip(&inspected.scans) {
        for (replay, scan) in shard.replay.iter().zip(scans) {
            known.insert(&replay.path, log_figures(replay.end.length, replay.end.next.0, scan));
        }
    }
    check_all(dir, manifest, &plan, depth, |path, done| match done {
        Ok(()) => {
            let mut line = vec![("file", text(path)), ("state", text("ok"))];
            line.extend(known.remove(path).unwrap_or_default());
            report.line(&line)
        }
        Err(fault) => report.fault(&fault),
    })?;
    for cut in plan.shards.iter().flat_map(|shard| &shard.cuts) {
        report.line(&[("note", text(&cut.to_string()))])?;
    }
    Ok(())
}

fn log_figures(length: u64, next: u64, scan: &Scanned) -> Vec<(&'static str, Value)> {
    vec![
        ("bytes", Value::Number(length)),
        ("records", Value::Number(scan.records)),
        ("next", Value::Number(next)),
        ("tail", text(tail_name(&scan.tail))),
    ]
}

/// The generations that are kept: a start does not read them, a restore does.
fn retained(dir: &Path, current: &Manifest, report: &mut Report<'_>) -> Result<(), Trouble> {
    for generation in &current.retained {
        let name = names::retained(*generation);
        let manifest = match inspect::read_manifest(dir, &name) {
            Ok(Some(manifest)) => manifest,
            Ok(None) => {
                report.fault(&StorageFault::new(name, 0, "the manifest", "no such file"))?;
                continue;
            }
            Err(why) => {
                report.unread(why)?;
                continue;
            }
        };
        report.line(&[("file", text(&name)), ("state", text("ok"))])?;
        check_bases(dir, &manifest, |path, done| match done {
            Ok(()) => report.line(&[("file", text(path)), ("state", text("ok"))]),
            Err(fault) => report.fault(&fault),
        })?;
    }
    Ok(())
}
