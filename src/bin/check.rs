//! basalt-check: looks at a data directory with the server's own decoders, and restores from it.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use basalt::persist::fault::StorageFault;
use basalt::persist::manifest::Manifest;
use basalt::persist::names;
use basalt::persist::recovery::Mode;
use basalt::persist::segment_scan::Parts;
use basalt::server::inspect::{self, Inspected, Unread};
use basalt::server::offline::OfflineError;
use basalt::server::verify::Depth;
use clap::{Parser, Subcommand};

use crate::fix::{Fix, Force};
use crate::report::Report;

#[path = "check/backup.rs"]
mod backup;
#[path = "check/dump.rs"]
mod dump;
#[path = "check/export.rs"]
mod export;
#[path = "check/fix.rs"]
mod fix;
#[path = "check/list.rs"]
mod list;
#[path = "check/plan.rs"]
mod plan;
#[path = "check/report.rs"]
mod report;
#[path = "check/reseal.rs"]
mod reseal;
#[path = "check/restore.rs"]
mod restore;
#[path = "check/status.rs"]
mod status;
#[path = "check/verify.rs"]
mod verify;

/// Looks at the files of a Basalt data directory, restores earlier moments, makes backups. Only
/// `fix` and `adopt` change the directory.
///
/// Exit codes: 0 all is well, 1 something is damaged and a server would refuse it, 2 it could not
/// be looked at, 3 there is something to fix and nobody has agreed to it.
#[derive(Parser)]
#[command(name = "basalt-check", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// The data directory, and how to talk about it.
#[derive(clap::Args)]
struct At {
    /// The data directory
    dir: PathBuf,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Task {
    /// Reads every byte of every file and checks it
    Verify {
        #[command(flatten)]
        at: At,
        /// As with the setting `recovery strict`
        #[arg(long)]
        strict: bool,
        /// Loads the shards too, one after another, into memory
        #[arg(long)]
        load: bool,
        /// Databases of the server, for --load
        #[arg(long, default_value_t = 16)]
        databases: u16,
    },
    /// Says what the manifest says, and which files it does not govern
    List {
        #[command(flatten)]
        at: At,
    },
    /// Says what a start of the server would do: load, replay, cut or refuse
    Plan {
        #[command(flatten)]
        at: At,
        /// As with the setting `recovery strict`
        #[arg(long)]
        strict: bool,
    },
    /// Does what a start would do to the files, and no more: cuts a torn tail, keeps what it cuts
    Fix {
        #[command(flatten)]
        at: At,
        /// As with the setting `recovery strict`
        #[arg(long)]
        strict: bool,
        /// Also cuts where what was durable is damaged: acknowledged writes are lost
        #[arg(long)]
        force: bool,
        /// Does not ask
        #[arg(long)]
        yes: bool,
    },
    /// Writes the database as a file that another server loads
    Export {
        #[command(flatten)]
        at: At,
        /// Writes dump.rdb into this directory, for a stock redis-server (7.0 or later)
        #[arg(long, value_name = "DIR")]
        redis: PathBuf,
        /// As with the setting `recovery strict`
        #[arg(long)]
        strict: bool,
        /// Databases of the server
        #[arg(long, default_value_t = 16)]
        databases: u16,
    },
    /// Makes a new directory with the database as it was at one moment
    Restore {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        args: restore::RestoreArgs,
    },
    /// Makes a consistent copy, also of a directory that a server is using
    Backup {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        args: backup::BackupArgs,
    },
    /// Makes a copy of a running server's directory one that a server starts on
    Adopt {
        #[command(flatten)]
        at: At,
        #[command(flatten)]
        args: backup::AdoptArgs,
    },
    /// Makes logs that were edited by hand a database again
    Reseal {
        #[command(flatten)]
        at: At,
    },
    /// Asks a running server what it is doing with its files
    Status(status::StatusArgs),
    /// Prints the records of one segment and their commands
    Dump {
        #[command(flatten)]
        at: At,
        /// The segment, as the manifest names it
        segment: String,
    },
}

/// What went wrong.
#[derive(Debug)]
enum Trouble {
    /// Something is damaged; it has been said what.
    Damaged,
    /// This is damaged.
    Fault(StorageFault),
    /// Something could not be looked at, or was asked for wrongly.
    Unable(String),
    /// Something could be fixed, and is not.
    Unfixed,
}

impl From<Unread> for Trouble {
    fn from(why: Unread) -> Trouble {
        match why {
            Unread::Fault(fault) => Trouble::Fault(fault),
            other => Trouble::Unable(other.to_string()),
        }
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.task, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble::Damaged) => ExitCode::from(1),
        Err(Trouble::Fault(fault)) => {
            eprintln!("basalt-check: {fault}");
            ExitCode::from(1)
        }
        Err(Trouble::Unable(why)) => {
            eprintln!("basalt-check: {why}");
            ExitCode::from(2)
        }
        Err(Trouble::Unfixed) => ExitCode::from(3),
    }
}

fn run(task: Task, out: &mut dyn io::Write) -> Result<(), Trouble> {
    if let Task::Status(args) = task {
        return status::status(&args, &mut Report { json: args.json, out, faults: 0 });
    }
    let (Task::Verify { at, .. }
    | Task::List { at, .. }
    | Task::Plan { at, .. }
    | Task::Fix { at, .. }
    | Task::Export { at, .. }
    | Task::Restore { at, .. }
    | Task::Backup { at, .. }
    | Task::Adopt { at, .. }
    | Task::Reseal { at, .. }
    | Task::Dump { at, .. }) = &task
    else {
        unreachable!("answered above")
    };
    let dir = at.dir.clone();
    let report = &mut Report { json: at.json, out, faults: 0 };
    let mode = |strict| if strict { Mode::Strict } else { Mode::Auto };
    let done = match task {
        Task::Verify { strict, load, databases, .. } => {
            let depth = if load { Depth::Load { databases } } else { Depth::Decode };
            verify::verify(&dir, mode(strict), depth, report)
        }
        Task::List { .. } => list::list(&dir, report),
        Task::Plan { strict, .. } => plan::plan(&dir, mode(strict), report),
        Task::Fix { strict, force, yes, .. } => {
            let force = if force { Force::Yes } else { Force::No };
            let fix = Fix { mode: mode(strict), force, agreed: yes };
            fix::fix(&dir, fix, &mut io::stdin().lock(), report)
        }
        Task::Export { redis, strict, databases, .. } => {
            export::export(&dir, mode(strict), databases, &redis, report)
        }
        Task::Dump { segment, .. } => dump::dump(&dir, &segment, report),
        Task::Status(_) => unreachable!("answered above"),
        Task::Restore { args, .. } => restore::restore(&dir, &args, report),
        Task::Backup { args, .. } => backup::backup(&dir, &args, report),
        Task::Reseal { .. } => reseal::reseal(&dir, report),
        Task::Adopt { args, .. } => backup::adopt(&dir, &args, report),
    };
    match done {
        // What stops the work is told like what does not.
        Err(Trouble::Fault(fault)) => report.fault(&fault)?,
        done => done?,
    }
    report.out.flush().map_err(|error| Trouble::Unable(error.to_string()))?;
    if report.faults > 0 { Err(Trouble::Damaged) } else { Ok(()) }
}

/// Says why a start would be refused, if that is it; what is damaged is told by `run`.
fn told(report: &mut Report<'_>, error: OfflineError) -> Trouble {
    match error {
        OfflineError::Unread(why) => why.into(),
        OfflineError::Refused(refusal) => {
            report.refusal(&refusal).err().unwrap_or(Trouble::Damaged)
        }
        other => Trouble::Unable(other.to_string()),
    }
}

/// The manifest; nothing if it is damaged, which has then been said.
fn manifest_of(dir: &Path, report: &mut Report<'_>) -> Result<Option<Manifest>, Trouble> {
    match inspect::read_manifest(dir, names::MANIFEST) {
        Ok(Some(manifest)) => Ok(Some(manifest)),
        Ok(None) => Err(no_manifest(dir, report)),
        Err(why) => report.unread(why).map(|()| None),
    }
}

/// The manifest and the scans; nothing if the manifest is damaged, which has then been said.
fn look(dir: &Path, parts: Parts, report: &mut Report<'_>) -> Result<Option<Inspected>, Trouble> {
    match Inspected::of(dir, parts) {
        Ok(Some(inspected)) => Ok(Some(inspected)),
        Ok(None) => Err(no_manifest(dir, report)),
        Err(why) => report.unread(why).map(|()| None),
    }
}

/// A directory without a manifest: one to begin anew in, or one that has lost it.
fn no_manifest(dir: &Path, report: &mut Report<'_>) -> Trouble {
    let listing = match inspect::list(dir) {
        Ok(listing) => listing,
        Err(why) => return why.into(),
    };
    match basalt::persist::recovery::plan_new(&listing) {
        Ok(_) => Trouble::Unable(format!("{}: there is no MANIFEST", dir.display())),
        Err(refusal) => report.refusal(&refusal).err().unwrap_or(Trouble::Damaged),
    }
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod tests;
