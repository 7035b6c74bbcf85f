//! BACKUP with the verbs of Redis 8.10 (redis.io/commands/backup): a client starts a backup of the
//! running server, seals it and lists those that are there.
//!
//! ```text
//!             START                    (snapshot)                   SEAL
//! idle ---------------> snapshotting ------------> incrementing ---------> sealing ---> sealed
//!  ^   with a log straight to incrementing  |            |                    |           |
//!  |                                        v            |                    v           |
//!  +------------ CLEANUP ---------------- failed <-------|--------------------+           |
//!  +------------ ABORT ----------------------------------+                                |
//!  +------------ CLEANUP -----------------------------------------------------------------+
//! ```
//!
//! A log has everything since its base, so only a server without one makes a snapshot first. What
//! differs from Redis: backups are directories, named after their moment, and older ones stay as
//! `backup-keep-hourly` and its relatives say, so START asks for no empty directory, LIST tells of
//! all of them, and CLEANUP removes the one that was sealed last.

use crate::commands::command;
use crate::commands::row::{HELP, session_row as row};
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Command, Docs, Flags};
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] =
    &[Command::container("backup", &[], BACKUP, docs("Backups of the running server."))];

const BACKUP: &[Command] = &[
    row("backup|abort", 2, CHANGE, abort, docs("Gives up a backup that is not sealed.")),
    row("backup|cleanup", 2, CHANGE, cleanup, docs("Removes the backup that was sealed last.")),
    row("backup|help", 2, HELP, command::help, docs("Prints this help.")),
    row("backup|list", 2, LOOK, list, docs("Paths of the complete backups, the oldest first.")),
    row("backup|seal", 2, SEAL, seal, docs("Completes a backup with all that is there now.")),
    row("backup|start", 2, CHANGE, start, docs("Begins a backup.")),
    row("backup|status", 2, LOOK, status, docs("How far a backup is.")),
];

const CHANGE: &[Flags] = &[Flags::ADMIN, Flags::NOSCRIPT];
const SEAL: &[Flags] = &[Flags::of(CHANGE), Flags::NO_MULTI];
const LOOK: &[Flags] = &[Flags::ADMIN, Flags::STALE];

const fn docs(summary: &'static str) -> Docs {
    Docs::of("server", "8.10.0", "O(N) in what it copies or answers", summary)
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// BACKUP START.
    Start,
    /// BACKUP SEAL.
    Seal,
    /// BACKUP ABORT.
    Abort,
    /// BACKUP CLEANUP.
    Cleanup,
    /// BACKUP LIST.
    List,
    /// BACKUP STATUS.
    Status,
}

/// Where a backup is, in the words of BACKUP STATUS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// There is none.
    #[default]
    Idle,
    /// The snapshot that it begins with is being made.
    Snapshotting,
    /// It waits for SEAL.
    Incrementing,
    /// Its files are being linked, copied and verified.
    Sealing,
    /// It is complete.
    Sealed,
    /// It came to nothing.
    Failed,
}

impl Stage {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Stage::Idle => "idle",
            Stage::Snapshotting => "snapshotting",
            Stage::Incrementing => "incrementing",
            Stage::Sealing => "sealing",
            Stage::Sealed => "sealed",
            Stage::Failed => "failed",
        }
    }
}

/// Does the server write a log?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logged {
    /// Yes: it has everything.
    Yes,
    /// No: there are snapshots only.
    No,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Make a snapshot, then wait for SEAL.
    Snapshot,
    /// Wait for SEAL.
    Await,
    /// Link, copy, verify, and answer when it is done.
    Seal,
    /// Forget it.
    Forget,
    /// Remove what was sealed, if anything was, and forget it.
    Remove,
    /// Only answer.
    Tell,
}

/// Decides what a verb does at a stage.
pub fn decide(verb: Verb, stage: Stage, logged: Logged) -> Result<Deed, Error> {
    match (verb, stage) {
        (Verb::List | Verb::Status, _) => Ok(Deed::Tell),
        (Verb::Start, Stage::Idle | Stage::Sealed | Stage::Failed) => Ok(match logged {
            Logged::Yes => Deed::Await,
            Logged::No => Deed::Snapshot,
        }),
        (Verb::Start, _) => Err(Error::err("A backup is already in progress")),
        (Verb::Seal, Stage::Incrementing) => Ok(Deed::Seal),
        (Verb::Abort, Stage::Snapshotting | Stage::Incrementing) => Ok(Deed::Forget),
        (Verb::Cleanup, Stage::Sealed | Stage::Failed) => Ok(Deed::Remove),
        (Verb::Seal, Stage::Snapshotting) => {
            Err(Error::err("The snapshot of the backup is still being made"))
        }
        (_, Stage::Sealing) => Err(Error::err("The backup is being sealed")),
        (Verb::Seal | Verb::Abort, _) => Err(Error::err("No backup is in progress")),
        (Verb::Cleanup, _) => Err(Error::err("No backup has been sealed")),
    }
}

/// What BACKUP STATUS tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Where it is.
    pub stage: Stage,
    /// When it was started: seconds since 1970, 0 for never.
    pub started: u64,
    /// When it was sealed: seconds since 1970, 0 for not.
    pub sealed: u64,
    /// Where it was put.
    pub path: String,
    /// Bytes of it that were read when it was verified.
    pub bytes: u64,
    /// Why it failed.
    pub error: String,
}

/// Answers BACKUP STATUS.
pub fn write_status(reply: &mut Reply<'_>, status: &Status) {
    let Status { stage, started, sealed, path, bytes, error } = status;
    reply.map(6);
    reply.bulk(b"state");
    reply.bulk(stage.word().as_bytes());
    for (name, number) in [("started", started), ("sealed", sealed), ("bytes-verified", bytes)] {
        reply.bulk(name.as_bytes());
        reply.integer(*number as i64);
    }
    for (name, text) in [("path", path), ("error", error)] {
        reply.bulk(name.as_bytes());
        reply.bulk(text.as_bytes());
    }
}

fn start(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Backup(Verb::Start))
}

fn seal(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Backup(Verb::Seal))
}

fn abort(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Backup(Verb::Abort))
}

fn cleanup(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Backup(Verb::Cleanup))
}

fn list(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Backup(Verb::List))
}

fn status(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Backup(Verb::Status))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::kit::Kit;

    #[test]
    fn the_picture_above() {
        use Stage::{Failed, Idle, Incrementing, Sealed, Sealing, Snapshotting};
        let told = |verb, stage, logged| match decide(verb, stage, logged) {
            Ok(deed) => format!("{deed:?}"),
            Err(error) => error.to_string(),
        };
        let stages = [Idle, Snapshotting, Incrementing, Sealing, Sealed, Failed];
        let rows = [
            (Verb::Start, "Await already already already Await Await"),
            (Verb::Seal, "progress still Seal sealed progress progress"),
            (Verb::Abort, "progress Forget Forget sealed progress progress"),
            (Verb::Cleanup, "sealed sealed sealed sealed Remove Remove"),
            (Verb::List, "Tell Tell Tell Tell Tell Tell"),
            (Verb::Status, "Tell Tell Tell Tell Tell Tell"),
        ];
        for (verb, wanted) in rows {
            for (stage, wanted) in stages.into_iter().zip(wanted.split(' ')) {
                let told = told(verb, stage, Logged::Yes);
                assert!(told.contains(wanted), "{verb:?} {stage:?}: {told}, not {wanted}");
            }
        }
        assert_eq!(decide(Verb::Start, Idle, Logged::No), Ok(Deed::Snapshot));
    }

    #[test]
    fn requests() {
        Kit::new().check(
            "backup start -> Backup(Start)
            backup SEAL -> Backup(Seal)
            backup abort -> Backup(Abort)
            backup cleanup -> Backup(Cleanup)
            backup list -> Backup(List)
            backup status -> Backup(Status)
            backup start x -> -ERR wrong number of arguments for 'backup|start' command
            backup x -> -ERR unknown subcommand 'x'. Try BACKUP HELP.",
        );
    }

    #[test]
    fn what_status_tells() {
        let status = Status { stage: Stage::Sealed, started: 1, sealed: 2, ..Status::default() };
        let mut out = Vec::new();
        write_status(&mut Reply::new(&mut out, crate::resp::reply::Proto::Two), &status);
        let text = String::from_utf8(out).expect("text").replace("\r\n", " ");
        assert!(text.starts_with("*12 $5 state $6 sealed $7 started :1 $6 sealed :2 "), "{text}");
    }
}
