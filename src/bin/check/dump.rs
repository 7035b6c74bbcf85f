//! `basalt-check dump`: the records of one segment.

use std::path::Path;

use basalt::base::ids::{Lsn, ShardId};
use basalt::persist::segment_scan::{Parts, SegmentReader};
use basalt::server::inspect;
use basalt::server::verify::read_records;

use crate::report::{Report, Value, tail_name, text};
use crate::{Trouble, manifest_of};

/// Prints the records of one segment and their commands.
pub fn dump(dir: &Path, path: &str, report: &mut Report<'_>) -> Result<(), Trouble> {
    let Some(manifest) = manifest_of(dir, report)? else { return Ok(()) };
    let mut all = manifest.shards.iter().enumerate().flat_map(|(shard, files)| {
        files.segments.iter().map(move |segment| (ShardId(shard as u16), segment))
    });
    let Some((shard, segment)) = all.find(|(_, segment)| segment.path == path) else {
        return Err(Trouble::Unable(format!("{path} is not a segment in the manifest")));
    };
    let scan = inspect::scan(dir, shard, segment, Parts::Undecided)?;
    let first = scan.first.unwrap_or(Lsn(1));
    let id = segment.id(shard);
    let reader = SegmentReader::new(path, id, first, scan.length, scan.next);
    match read_records(dir, path, reader, |record| report.record(record)) {
        Err(Trouble::Fault(fault)) => report.fault(&fault)?,
        done => done?,
    }
    report.line(&[
        ("end", Value::Number(scan.length)),
        ("tail", text(tail_name(&scan.tail))),
        ("synced", Value::Number(scan.synced.0)),
        ("durable_epoch", Value::Number(scan.durable.0)),
    ])
}
