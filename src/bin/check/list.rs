//! `basalt-check list`: what the manifest says, and which files it does not govern.

use std::path::Path;

use basalt::persist::names::{self, Fate};
use basalt::server::inspect;

use crate::report::{Report, Value, text};
use crate::{Trouble, manifest_of};

/// Lists the manifest and what lies beside it.
pub fn list(dir: &Path, report: &mut Report<'_>) -> Result<(), Trouble> {
    let Some(manifest) = manifest_of(dir, report)? else { return Ok(()) };
    let listing = inspect::list(dir)?;
    let retained: Vec<String> = manifest.retained.iter().map(|g| g.0.to_string()).collect();
    report.line(&[
        ("generation", Value::Number(manifest.generation.0)),
        ("shards", Value::Number(manifest.shards.len() as u64)),
        ("cut_epoch", Value::Number(manifest.cut.0)),
        ("durable_epoch", Value::Number(manifest.durable.0)),
        ("appendonly", text(if manifest.appendonly { "yes" } else { "no" })),
        ("appendfsync", text(manifest.policy.name())),
        ("retained", text(&retained.join(","))),
        ("boot", text(&manifest.boot)),
    ])?;
    for (shard, files) in manifest.shards.iter().enumerate() {
        let shard = Value::Number(shard as u64);
        if let Some(base) = &files.base {
            let line = [
                ("base", text(&base.path)),
                ("shard", shard),
                ("bytes", Value::Number(base.length)),
                ("entries", text(&base.entries.to_text())),
                ("lsn", Value::Number(files.after.0)),
            ];
            report.line(&line)?;
        }
        for segment in &files.segments {
            let present = listing.get(&segment.path).copied().unwrap_or(0);
            let first = segment.first.map_or(text("-"), |lsn| Value::Number(lsn.0));
            let mut line = vec![("segment", text(&segment.path)), ("first", first)];
            line.push(("bytes", Value::Number(segment.end.map_or(present, |end| end.length))));
            line.push(("state", text(if segment.end.is_some() { "closed" } else { "open" })));
            report.line(&line)?;
        }
    }
    for path in listing.keys() {
        match names::fate(path, Some(&manifest)) {
            Fate::Keep => {}
            Fate::Garbage => report.line(&[("garbage", text(path))])?,
            Fate::Foreign => report.line(&[("foreign", text(path))])?,
        }
    }
    Ok(())
}
