//! `basalt-check backup` and `adopt`: consistent copies, and what to do with one that may not be.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use basalt::base::calendar::utc;
use basalt::base::time::Millis;
use basalt::persist::backup::Keep;
use basalt::persist::names;
use basalt::persist::rewind::{Bound, adopted};
use basalt::server::backup::{self, Job, Made};
use basalt::server::inspect::list;
use basalt::server::lock::DirectoryLock;
use basalt::server::offline::{
    OfflineError, Taken, at, commit, cut, has_doubtful_ends, kept, read_manifest,
};
use basalt::server::recover::keep_cuts;
use clap::Args;

use crate::report::{Report, Value, text};
use crate::{Trouble, told};

/// What is asked for.
#[derive(Args)]
pub struct BackupArgs {
    /// The directory of all backups; each becomes a directory in it
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Keep the last backup of so many hours
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_hourly: usize,
    /// Keep the last backup of so many days
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_daily: usize,
    /// Keep the last backup of so many months
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_monthly: usize,
    /// Make none: list those that are there
    #[arg(long)]
    list: bool,
}

/// What is asked for.
#[derive(Args)]
pub struct AdoptArgs {
    /// No server ran while it was copied: keep all of it
    #[arg(long)]
    at_rest: bool,
}

/// Makes a backup, or lists them.
pub fn backup(dir: &Path, args: &BackupArgs, report: &mut Report<'_>) -> Result<(), Trouble> {
    if args.list {
        let all = backup::list(&args.to).map_err(|error| told(report, error))?;
        for backup::Listed { moment, manifest } in all {
            let entries = manifest.shards.iter().filter_map(|files| files.base.as_ref());
            report.line(&[
                ("backup", text(&basalt::persist::backup::name(moment))),
                ("time", text(&utc(moment))),
                ("generation", Value::Number(manifest.generation.0)),
                ("shards", Value::Number(manifest.shards.len() as u64)),
                ("base_keys", Value::Number(entries.map(|base| base.entries.total()).sum())),
            ])?;
        }
        return Ok(());
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let BackupArgs { keep_hourly: hourly, keep_daily: daily, keep_monthly: monthly, .. } = *args;
    let job = Job {
        from: dir.to_owned(),
        to: args.to.clone(),
        now: Millis(since.as_millis() as u64),
        keep: Keep { hourly, daily, monthly },
    };
    let made = backup::make(&job).map_err(|error| told(report, error))?;
    let Made { path, manifest, verified, links, copies, removed } = made;
    report.line(&[
        ("backup", text(&path.display().to_string())),
        ("generation", Value::Number(manifest.generation.0)),
        ("epoch", Value::Number(manifest.durable.0)),
        ("files_linked", Value::Number(links)),
        ("files_copied", Value::Number(copies)),
        ("bytes_verified", Value::Number(verified.bytes)),
    ])?;
    removed
        .iter()
        .try_for_each(|old| report.line(&[("removed", text(&basalt::persist::backup::name(*old)))]))
}

/// Makes a copy of a data directory one that a server starts on.
pub fn adopt(dir: &Path, args: &AdoptArgs, report: &mut Report<'_>) -> Result<(), Trouble> {
    let lock = DirectoryLock::take(dir);
    let lock = lock.map_err(|error| Trouble::Unable(error.to_string()))?;
    if !args.at_rest {
        settle(dir, report)?;
    }
    lock.adopt().map_err(|error| Trouble::Unable(error.to_string()))?;
    report.line(&[("adopted", text(&dir.display().to_string()))])
}

/// Ends all logs at one moment; what is cut off is kept aside.
fn settle(dir: &Path, report: &mut Report<'_>) -> Result<(), Trouble> {
    let manifest = read_manifest(dir, names::MANIFEST);
    let manifest = manifest.map_err(|error| told(report, error))?;
    if !has_doubtful_ends(&manifest) {
        return Ok(());
    }
    let plans = kept(dir, &manifest, Taken::OverTime);
    let (settled, cuts) = plans
        .and_then(|mut plans| {
            let (_, last) = cut(dir, &mut plans, Bound::All)?;
            let listing = list(dir)?;
            adopted(&manifest, &plans, last, &listing)
                .map_err(|fault| OfflineError::Unread(fault.into()))
        })
        .map_err(|error| told(report, error))?;
    keep_cuts(dir, &cuts).map_err(|error| told(report, at(dir)(error)))?;
    for cut in &cuts {
        report.line(&[
            ("cut", text(&cut.path)),
            ("offset", Value::Number(cut.offset)),
            ("lsn", Value::Number(cut.lsn.0)),
        ])?;
    }
    commit(dir, &settled).map_err(|error| told(report, error))
}
