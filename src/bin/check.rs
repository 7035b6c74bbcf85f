//! basalt-check: reads a data directory with the server's own decoders, and changes nothing.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use basalt::base::ids::{Lsn, ShardId};
use basalt::limits::{DISK_BLOCK, MANIFEST_MAX};
use basalt::persist::fault::StorageFault;
use basalt::persist::manifest::{Base, Manifest, Segment};
use basalt::persist::names::{self, Fate};
use basalt::persist::payload::BadPayload;
use basalt::persist::recovery::{self, Facts, Mode, Plan};
use basalt::persist::segment_scan::{Record, Scanned, SegmentReader, SegmentScan};
use basalt::persist::snapshot_file::{Footer, Header};
use basalt::persist::snapshot_reader::{Expected, SnapshotReader};
use basalt::persist::text_base::TextBaseCheck;
use clap::{Parser, Subcommand};

use crate::report::{Report, Value, tail_name, text};

#[path = "check/report.rs"]
mod report;

/// Looks at the files of a Basalt data directory. Changes nothing.
///
/// Exit codes: 0 all is well, 1 something is damaged, 2 it could not be looked at.
#[derive(Parser)]
#[command(name = "basalt-check", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Reads every byte of every file and checks it
    Verify {
        /// The data directory
        dir: PathBuf,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Says what the manifest says, and which files it does not govern
    List {
        /// The data directory
        dir: PathBuf,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Says what a start of the server would do: load, replay, cut or refuse
    Plan {
        /// The data directory
        dir: PathBuf,
        /// As with the setting `recovery strict`
        #[arg(long)]
        strict: bool,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Prints the records of one segment and their commands
    Dump {
        /// The data directory
        dir: PathBuf,
        /// The segment, as the manifest names it
        segment: String,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

/// What went wrong.
enum Trouble {
    /// Something is damaged; it has been said what.
    Damaged,
    /// Something could not be looked at, or was asked for wrongly.
    Unable(String),
}

/// A manifest, and the files of the directory with their lengths.
type Looked = (Manifest, BTreeMap<String, u64>);

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.task, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Damaged) => ExitCode::from(1),
        Err(Trouble::Unable(why)) => {
            eprintln!("basalt-check: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(task: Task, out: &mut dyn io::Write) -> Result<(), Trouble> {
    let json = match &task {
        Task::Verify { json, .. } | Task::List { json, .. } => *json,
        Task::Plan { json, .. } | Task::Dump { json, .. } => *json,
    };
    let mut report = Report { json, out, faults: 0 };
    match task {
        Task::Verify { dir, .. } => verify(&dir, &mut report)?,
        Task::List { dir, .. } => list(&dir, &mut report)?,
        Task::Plan { dir, strict, .. } => {
            plan(&dir, if strict { Mode::Strict } else { Mode::Auto }, &mut report)?;
        }
        Task::Dump { dir, segment, .. } => dump(&dir, &segment, &mut report)?,
    }
    report.out.flush().map_err(|error| Trouble::Unable(error.to_string()))?;
    if report.faults > 0 { Err(Trouble::Damaged) } else { Ok(()) }
}

fn verify(dir: &Path, report: &mut Report<'_>) -> Result<(), Trouble> {
    let Some((manifest, listing)) = open(dir, report)? else { return Ok(()) };
    let mut all = vec![(names::MANIFEST.to_string(), manifest.clone())];
    for generation in &manifest.retained {
        let name = names::retained(*generation);
        let bytes = read_file(dir, &name)?;
        match Manifest::parse(&name, &bytes) {
            Ok(manifest) => all.push((name, manifest)),
            Err(fault) => report.fault(&fault)?,
        }
    }
    for (name, manifest) in &all {
        report.line(&[("file", text(name)), ("state", text("ok"))])?;
        for (shard, files) in manifest.shards.iter().enumerate() {
            let shard = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
            if let Some(base) = &files.base {
                verify_base(dir, manifest, shard, base, report)?;
            }
        }
    }
    decide(dir, &manifest, &listing, Mode::Auto, report, |report, plan, scans| {
        for (shard, scans) in plan.shards.iter().zip(scans) {
            for (replay, scan) in shard.replay.iter().zip(scans) {
                match replay_all(dir, replay)? {
                    Ok(()) => report.line(&[
                        ("file", text(&replay.path)),
                        ("state", text("ok")),
                        ("bytes", Value::Number(replay.end.length)),
                        ("records", Value::Number(scan.records)),
                        ("next", Value::Number(replay.end.next.0)),
                        ("tail", text(tail_name(&scan.tail))),
                    ])?,
                    Err(fault) => report.fault(&fault)?,
                }
            }
            for cut in &shard.cuts {
                report.line(&[("note", text(&cut.to_string()))])?;
            }
        }
        Ok(())
    })
}

fn verify_base(
    dir: &Path,
    manifest: &Manifest,
    shard: ShardId,
    base: &Base,
    report: &mut Report<'_>,
) -> Result<(), Trouble> {
    let done = if base.path.ends_with(".aof") {
        read_text_base(dir, base)?
    } else {
        read_snapshot(dir, manifest, shard, base)?.map(|_| ())
    };
    match done {
        Ok(()) => report.line(&[
            ("file", text(&base.path)),
            ("state", text("ok")),
            ("bytes", Value::Number(base.length)),
            ("entries", text(&base.entries.to_text())),
        ]),
        Err(fault) => report.fault(&fault),
    }
}

fn list(dir: &Path, report: &mut Report<'_>) -> Result<(), Trouble> {
    let Some((manifest, listing)) = open(dir, report)? else { return Ok(()) };
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

fn plan(dir: &Path, mode: Mode, report: &mut Report<'_>) -> Result<(), Trouble> {
    let Some((manifest, listing)) = open(dir, report)? else { return Ok(()) };
    decide(dir, &manifest, &listing, mode, report, |report, plan, _| {
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
    })
}

fn dump(dir: &Path, path: &str, report: &mut Report<'_>) -> Result<(), Trouble> {
    let Some((manifest, _)) = open(dir, report)? else { return Ok(()) };
    let mut all = manifest.shards.iter().enumerate().flat_map(|(shard, files)| {
        files.segments.iter().map(move |segment| (ShardId(shard as u16), segment))
    });
    let Some((shard, segment)) = all.find(|(_, segment)| segment.path == path) else {
        return Err(Trouble::Unable(format!("{path} is not a segment in the manifest")));
    };
    let scan = scan_segment(dir, shard, segment)?;
    let first = scan.first.unwrap_or(Lsn(1));
    let id = segment.id(shard);
    let reader = SegmentReader::new(path, id, first, scan.length, scan.next);
    let done = read_records(dir, path, reader, |record| report.record(record))?;
    if let Err(fault) = done {
        report.fault(&fault)?;
    }
    report.line(&[
        ("end", Value::Number(scan.length)),
        ("tail", text(tail_name(&scan.tail))),
        ("synced", Value::Number(scan.synced.0)),
        ("durable_epoch", Value::Number(scan.durable.0)),
    ])
}

/// The manifest and the listing; nothing if the manifest is damaged, which has then been said.
fn open(dir: &Path, report: &mut Report<'_>) -> Result<Option<Looked>, Trouble> {
    let mut listing = BTreeMap::new();
    list_files(dir, "", &mut listing).map_err(|error| unable(dir, &error))?;
    if !listing.contains_key(names::MANIFEST) {
        return Err(Trouble::Unable(format!("{}: there is no MANIFEST", dir.display())));
    }
    let bytes = read_file(dir, names::MANIFEST)?;
    match Manifest::parse(names::MANIFEST, &bytes) {
        Ok(manifest) => Ok(Some((manifest, listing))),
        Err(fault) => {
            report.fault(&fault)?;
            Ok(None)
        }
    }
}

/// Scans all segments and lets `then` have the plan; a refusal is a fault.
fn decide(
    dir: &Path,
    manifest: &Manifest,
    listing: &BTreeMap<String, u64>,
    mode: Mode,
    report: &mut Report<'_>,
    then: impl FnOnce(&mut Report<'_>, &Plan, &[Vec<Scanned>]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut scans = Vec::new();
    for (shard, files) in manifest.shards.iter().enumerate() {
        let shard = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
        let present = files.segments.iter().filter(|segment| listing.contains_key(&segment.path));
        let of_shard: Result<Vec<_>, _> =
            present.map(|segment| scan_segment(dir, shard, segment)).collect();
        scans.push(of_shard?);
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let facts = Facts { manifest, listing, boot: boot.trim(), mode, scans: &scans };
    match recovery::plan(&facts) {
        Ok(plan) => then(report, &plan, &scans),
        Err(refusal) => report.refusal(&refusal),
    }
}

fn scan_segment(dir: &Path, shard: ShardId, segment: &Segment) -> Result<Scanned, Trouble> {
    let mut scan = SegmentScan::new(segment.id(shard), segment.first);
    let limit = segment.end.map_or(u64::MAX, |end| end.length);
    blocks(dir, &segment.path, limit, |block| {
        scan.feed(block);
        Ok(())
    })?;
    Ok(scan.finish())
}

type Checked<T> = Result<Result<T, StorageFault>, Trouble>;

fn replay_all(dir: &Path, replay: &recovery::Replay) -> Checked<()> {
    let recovery::Replay { path, id, first, end, .. } = replay;
    let reader = SegmentReader::new(path, *id, *first, end.length, Some(end.next));
    read_records(dir, path, reader, |record| Ok(walk(record)))
}

/// Reads the commands of a record; gives what cannot be read.
fn walk(record: Record<'_>) -> Option<BadPayload> {
    let mut pieces = record.into_pieces();
    loop {
        match pieces.next() {
            Ok(Some(_)) => {}
            Ok(None) => return None,
            Err(bad) => return Some(bad),
        }
    }
}

/// Reads records, each of which `each` looks at and may complain about.
fn read_records(
    dir: &Path,
    path: &str,
    mut reader: SegmentReader,
    mut each: impl FnMut(Record<'_>) -> Result<Option<BadPayload>, Trouble>,
) -> Checked<()> {
    let mut fault = None;
    blocks(dir, path, u64::MAX, |block| {
        reader.feed(block);
        while fault.is_none() {
            let (offset, bad) = match reader.next() {
                Ok(Some(record)) => (record.offset(), each(record)?),
                Ok(None) => break,
                Err(found) => {
                    fault = Some(found);
                    break;
                }
            };
            fault = bad.map(|bad| reader.bad_payload(offset, bad));
        }
        Ok(())
    })?;
    Ok(match fault {
        Some(fault) => Err(fault),
        None => reader.finish(),
    })
}

fn read_text_base(dir: &Path, base: &Base) -> Checked<()> {
    let mut check = TextBaseCheck::default();
    blocks(dir, &base.path, u64::MAX, |block| {
        check.feed(block);
        Ok(())
    })?;
    Ok(check.finish(base))
}

fn read_snapshot(dir: &Path, manifest: &Manifest, shard: ShardId, base: &Base) -> Checked<Footer> {
    let header = Header::expected(manifest, shard);
    let (length, crc) = (base.length, base.crc);
    let expected = header.map(|header| Expected { header, length, crc });
    let mut reader = SnapshotReader::new(&base.path, expected);
    let mut fault = None;
    blocks(dir, &base.path, u64::MAX, |block| {
        reader.feed(block);
        while fault.is_none() {
            let chunk = match reader.next() {
                Ok(None) => break,
                Ok(Some(mut items)) => loop {
                    match items.next() {
                        Ok(Some(_)) => {}
                        Ok(None) => break Ok(()),
                        Err(found) => break Err(found),
                    }
                },
                Err(found) => Err(found),
            };
            fault = chunk.err();
        }
        Ok(())
    })?;
    Ok(match fault {
        Some(fault) => Err(fault),
        None => reader.finish(),
    })
}

/// Gives the first `limit` bytes of a file in blocks; a file that is missing gives none.
fn blocks(
    dir: &Path,
    path: &str,
    limit: u64,
    mut each: impl FnMut(&[u8]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let full = dir.join(path);
    let file = match File::open(&full) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unable(&full, &error)),
    };
    let mut file = file.take(limit);
    let mut block = vec![0; DISK_BLOCK];
    loop {
        let got = file.read(&mut block).map_err(|error| unable(&full, &error))?;
        if got == 0 {
            return Ok(());
        }
        each(block.get(..got).unwrap_or_default())?;
    }
}

fn read_file(dir: &Path, name: &str) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    blocks(dir, name, MANIFEST_MAX as u64 + 1, |block| {
        bytes.extend_from_slice(block);
        Ok(())
    })?;
    Ok(bytes)
}

/// All files below `dir`, with their lengths, by relative path; directories too, with length 0.
fn list_files(dir: &Path, prefix: &str, all: &mut BTreeMap<String, u64>) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let data = entry.metadata()?;
        // Two levels are ours; what lies deeper cannot be.
        if data.is_dir() && prefix.is_empty() && path != names::LOST_CUT {
            list_files(&entry.path(), &format!("{path}/"), all)?;
        }
        all.insert(path, if data.is_dir() { 0 } else { data.len() });
    }
    Ok(())
}

fn unable(path: &Path, error: &io::Error) -> Trouble {
    Trouble::Unable(format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
