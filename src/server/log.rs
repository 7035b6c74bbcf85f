//! The server's own log lines, in the shape that people know from Redis: `pid:M date level text`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::calendar::date;
use crate::config::values::LogLevel;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For developers.
    Debug,
    /// Much.
    Verbose,
    /// What an operator wants to know.
    Notice,
    /// Trouble.
    Warning,
}

struct Log {
    least: Option<Level>,
    file: Option<Mutex<File>>,
}

// The process has one log; it is opened once, before any core starts.
static LOG: OnceLock<Log> = OnceLock::new();

/// Opens the log: to a file, or to standard output.
pub fn open(level: LogLevel, file: Option<&Path>) -> io::Result<()> {
    let file = match file {
        Some(path) => Some(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)),
        None => None,
    };
    let least = match level {
        LogLevel::Debug => Some(Level::Debug),
        LogLevel::Verbose => Some(Level::Verbose),
        LogLevel::Notice => Some(Level::Notice),
        LogLevel::Warning => Some(Level::Warning),
        LogLevel::Nothing => None,
    };
    // A second call changes nothing: tests may start several servers in one process.
    let _ = LOG.set(Log { least, file });
    Ok(())
}

/// Writes one line. A log that cannot be written must not stop the server.
pub fn line(level: Level, text: &str) {
    let Some(log) = LOG.get() else { return };
    if log.least.is_none_or(|least| level < least) {
        return;
    }
    let mark = match level {
        Level::Debug => '.',
        Level::Verbose => '-',
        Level::Notice => '*',
        Level::Warning => '#',
    };
    let line = format!("{}:M {} {mark} {text}\n", std::process::id(), timestamp());
    let _ = match &log.file {
        Some(file) => {
            file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes())
        }
        None => io::stdout().lock().write_all(line.as_bytes()),
    };
}

/// What an operator wants to know.
pub fn notice(text: impl AsRef<str>) {
    line(Level::Notice, text.as_ref());
}

/// Trouble.
pub fn warning(text: impl AsRef<str>) {
    line(Level::Warning, text.as_ref());
}

/// `21 Nov 2026 04:02:42.123`, UTC.
fn timestamp() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = date(seconds / 86_400);
    let name = MONTHS.get(month as usize - 1).copied().unwrap_or("???");
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{day:02} {name} {year} {hour:02}:{minute:02}:{second:02}.{millis:03}")
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
