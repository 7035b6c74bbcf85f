//! INFO, CONFIG, SLOWLOG, LATENCY, saving and shutting down: what they ask for, and how it is
//! answered.

use crate::base::number;
use crate::commands::command;
use crate::commands::parse::choice;
use crate::commands::row::{ADMIN, session_row as row};
use crate::commands::session::{Ask, IfBusy, LastSnapshot, Shell, Shutdown};
use crate::commands::spec::{Command, Docs, Flags};
use crate::commands::tracking::monitor;
use crate::observe::events::Events;
use crate::observe::info::choose::Choice;
use crate::observe::latency::Latency;
use crate::observe::slowlog::SlowEntry;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("bgrewriteaof", 1, SAVING, bgrewriteaof, docs("1.0.0", "Starts a rewrite of the log.")),
    row("bgsave", -1, SAVING, bgsave, docs("1.0.0", "Starts a snapshot.")),
    Command::container("config", &[], CONFIG, docs("2.0.0", "Reads and changes settings.")),
    row("info", -1, LOADING, info, docs("1.0.0", "Tells about the server.")),
    row("lastsave", 1, TIME, lastsave, docs("1.0.0", "When the last snapshot was made.")),
    Command::container("latency", &[], LATENCY, docs("2.8.13", "Tells about slow events.")),
    row("monitor", 1, ADMIN, monitor, docs("1.0.0", "Shows every command that runs.")),
    row("save", 1, SAVE, save, docs("1.0.0", "Makes a snapshot and waits for it.")),
    row("shutdown", -1, SHUTDOWN, shutdown, docs("1.0.0", "Ends the server.")),
    Command::container("slowlog", &[], SLOWLOG, docs("2.2.12", "Tells of slow commands.")),
    row("time", 1, TIME, time, docs("2.6.0", "The server's clock.")),
];

const CONFIG: &[Command] = &[
    row("config|get", -3, ADMIN, config_get, docs("2.0.0", "Settings that match patterns.")),
    row("config|help", 2, LOADING, command::help, docs("5.0.0", "Prints this help.")),
    row("config|resetstat", 2, ADMIN, config_resetstat, docs("2.0.0", "Counters start anew.")),
    row("config|rewrite", 2, ADMIN, config_rewrite, docs("2.8.0", "Writes the settings' file.")),
    row("config|set", -4, ADMIN, config_set, docs("2.0.0", "Changes settings, all or none.")),
];

const SLOWLOG: &[Command] = &[
    row("slowlog|get", -2, OBSERVE, slowlog_get, docs("2.2.12", "The latest slow commands.")),
    row("slowlog|help", 2, LOADING, command::help, docs("6.2.0", "Prints this help.")),
    row("slowlog|len", 2, OBSERVE, slowlog_len, docs("2.2.12", "How many there are.")),
    row("slowlog|reset", 2, OBSERVE, slowlog_reset, docs("2.2.12", "Forgets them.")),
];

const LATENCY: &[Command] = &[
    row("latency|doctor", 2, ADMIN, doctor, docs("2.8.13", "Says where the figures are.")),
    row("latency|graph", 3, ADMIN, graph, docs("2.8.13", "Draws the samples of one event.")),
    row("latency|help", 2, LOADING, command::help, docs("2.8.13", "Prints this help.")),
    row("latency|histogram", -2, ADMIN, histogram, docs("7.0.0", "Durations of commands.")),
    row("latency|history", 3, ADMIN, history, docs("2.8.13", "The samples of one event.")),
    row("latency|latest", 2, ADMIN, latest, docs("2.8.13", "The latest sample of each event.")),
    row("latency|reset", -2, ADMIN, latency_reset, docs("2.8.13", "Forgets events.")),
];

const LOADING: &[Flags] = &[Flags::LOADING, Flags::STALE];
const TIME: &[Flags] = &[Flags::LOADING, Flags::STALE, Flags::FAST];
const OBSERVE: &[Flags] = &[Flags::ADMIN, Flags::LOADING, Flags::STALE];
const SAVING: &[Flags] = &[Flags::ADMIN, Flags::NOSCRIPT, Flags::NO_ASYNC_LOADING];
const SAVE: &[Flags] = &[Flags::of(SAVING), Flags::NO_MULTI];
const SHUTDOWN: &[Flags] = &[Flags::of(ADMIN), Flags::NO_MULTI, Flags::ALLOW_BUSY];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("server", since, "O(N) in what it answers", summary)
}

// INFO, TIME.

/// Answers INFO.
pub fn write_info(reply: &mut Reply<'_>, text: &str) {
    reply.verbatim("txt", text.as_bytes());
}

fn info(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Info(Choice::of(shell.args.from(1).iter())))
}

/// Answers TIME, given microseconds since 1970.
pub fn write_time(reply: &mut Reply<'_>, micros: u64) {
    reply.array(2);
    reply.bulk_integer((micros / 1_000_000) as i64);
    reply.bulk_integer((micros % 1_000_000) as i64);
}

fn time(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Time)
}

// CONFIG.

/// Answers CONFIG GET: names and values.
pub fn write_config<N: AsRef<str>, V: AsRef<str>>(reply: &mut Reply<'_>, pairs: &[(N, V)]) {
    reply.map(pairs.len());
    for (name, value) in pairs {
        reply.bulk(name.as_ref().as_bytes());
        reply.bulk(value.as_ref().as_bytes());
    }
}

fn config_get(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let patterns = shell.args.from(2).iter().map(<[u8]>::to_ascii_lowercase).collect();
    Ok(Ask::ConfigGet { patterns })
}

fn config_set(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args.from(2);
    if !args.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
    for at in (0..args.len()).step_by(2) {
        // A name that is not UTF-8 is no setting's name; the server says so.
        let name = String::from_utf8_lossy(args.at(at)).into_owned();
        if pairs.iter().any(|(earlier, _)| earlier.eq_ignore_ascii_case(&name)) {
            return Err(Error::config_refused(&name, "duplicate parameter"));
        }
        if pairs.len() == MAX_PAIRS {
            return Err(Error::Syntax);
        }
        pairs.push((name, args.at(at + 1).to_vec()));
    }
    Ok(Ask::ConfigSet { pairs })
}

/// More than there are settings, so that looking for duplicates stays short.
const MAX_PAIRS: usize = 1024;

fn config_resetstat(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::ConfigResetStat)
}

fn config_rewrite(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::ConfigRewrite)
}

// SLOWLOG.

/// Answers SLOWLOG GET.
pub fn write_slowlog(reply: &mut Reply<'_>, entries: &[SlowEntry]) {
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        for number in [entry.id, entry.second, entry.micros] {
            reply.integer(number as i64);
        }
        reply.array(entry.args.len());
        entry.args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.peer.as_bytes());
        reply.bulk(entry.client.as_bytes());
    }
}

fn slowlog_get(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let count = match shell.args.get(2) {
        _ if shell.args.len() > 3 => {
            return Err(Error::subcommand_syntax("slowlog", shell.args.at(1)));
        }
        None => 10,
        Some(word) => match number::parse_i64(word) {
            Some(-1) => usize::MAX,
            Some(count) => usize::try_from(count).map_err(|_| Error::SLOWLOG_COUNT)?,
            None => return Err(Error::SLOWLOG_COUNT),
        },
    };
    Ok(Ask::SlowlogGet { count })
}

fn slowlog_len(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::SlowlogLen)
}

fn slowlog_reset(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::SlowlogReset)
}

// LATENCY.

/// Answers LATENCY LATEST.
pub fn write_latest(reply: &mut Reply<'_>, events: &Events) {
    reply.array(events.latest().count());
    for (name, second, millis, longest) in events.latest() {
        reply.array(4);
        reply.bulk(name.as_bytes());
        [second, millis, longest].into_iter().for_each(|number| reply.integer(number as i64));
    }
}

/// Answers LATENCY HISTORY.
pub fn write_history(reply: &mut Reply<'_>, events: &Events, name: &str) {
    reply.array(events.history(name).count());
    for (second, millis) in events.history(name) {
        reply.array(2);
        reply.integer(second as i64);
        reply.integer(millis as i64);
    }
}

/// Answers LATENCY HISTOGRAM: commands that ran, and how long.
pub fn write_histogram(reply: &mut Reply<'_>, commands: &[(&str, &Latency)]) {
    reply.map(commands.len());
    for (name, latency) in commands {
        let buckets = latency.buckets();
        reply.bulk(name.as_bytes());
        reply.map(2);
        reply.bulk(b"calls");
        reply.integer(latency.count() as i64);
        reply.bulk(b"histogram_usec");
        reply.map(buckets.len());
        for (micros, total) in buckets {
            reply.integer(micros as i64);
            reply.integer(total as i64);
        }
    }
}

fn latest(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::LatencyLatest)
}

fn history(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::LatencyHistory { event: text(shell.args.at(2)) })
}

fn graph(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::LatencyGraph { event: text(shell.args.at(2)) })
}

fn doctor(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let text = b"There is no report. LATENCY LATEST and HISTORY show events above \
        latency-monitor-threshold, LATENCY HISTOGRAM the durations of commands.\n";
    shell.reply.verbatim("txt", text);
    Ok(Ask::Nothing)
}

fn latency_reset(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::LatencyReset { events: shell.args.from(2).iter().map(text).collect() })
}

fn histogram(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let commands = shell.args.from(2).iter().map(text).collect();
    Ok(Ask::LatencyHistogram { commands })
}

fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).to_ascii_lowercase()
}

// Saving.

/// The three ways to ask for a save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saving {
    /// SAVE.
    Save,
    /// BGSAVE.
    BgSave(IfBusy),
    /// BGREWRITEAOF.
    Rewrite,
}

/// What is being saved already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Busy {
    /// Nothing.
    Idle,
    /// A snapshot.
    Saving,
    /// A rewrite of the log.
    Rewriting,
}

/// When a save starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Now.
    Now,
    /// When what runs has ended.
    Later,
}

/// Does a save start?
pub fn start(what: Saving, busy: Busy) -> Result<Start, Error> {
    match (what, busy) {
        (_, Busy::Idle) => Ok(Start::Now),
        (Saving::Save | Saving::BgSave(_), Busy::Saving) => Err(Error::SAVE_RUNNING),
        (Saving::Rewrite, Busy::Rewriting) => Err(Error::REWRITE_RUNNING),
        (Saving::BgSave(IfBusy::Refuse), Busy::Rewriting) => Err(Error::SAVE_IN_REWRITE),
        (Saving::BgSave(IfBusy::Schedule) | Saving::Save, Busy::Rewriting) => Ok(Start::Later),
        (Saving::Rewrite, Busy::Saving) => Ok(Start::Later),
    }
}

/// Answers SAVE (once the snapshot is durable), BGSAVE and BGREWRITEAOF (at once).
pub fn write_saving(reply: &mut Reply<'_>, what: Saving, start: Start) {
    reply.simple(match (what, start) {
        (Saving::Save, _) => "OK",
        (Saving::BgSave(_), Start::Now) => "Background saving started",
        (Saving::BgSave(_), Start::Later) => "Background saving scheduled",
        (Saving::Rewrite, Start::Now) => "Background append only file rewriting started",
        (Saving::Rewrite, Start::Later) => "Background append only file rewriting scheduled",
    });
}

fn save(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Save)
}

fn bgsave(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    match shell.args.get(1) {
        None => Ok(Ask::BgSave(IfBusy::Refuse)),
        Some(word) if shell.args.len() == 2 => {
            let schedule = choice(word, &[("schedule", IfBusy::Schedule)]);
            schedule.map(Ask::BgSave).ok_or(Error::Syntax)
        }
        Some(_) => Err(Error::Syntax),
    }
}

fn bgrewriteaof(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::BgRewriteAof)
}

fn lastsave(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::LastSave)
}

fn shutdown(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args.from(1);
    let aborts = |word: &[u8]| word.eq_ignore_ascii_case(b"abort");
    if !args.is_empty() && args.iter().all(aborts) {
        return Ok(Ask::ShutdownAbort);
    }
    shutdown_options(args).map(Ask::Shutdown)
}

fn shutdown_options(args: Args<'_>) -> Result<Shutdown, Error> {
    let mut shutdown = Shutdown::default();
    let mut save = |wanted: LastSnapshot| {
        let fits = [wanted, LastSnapshot::IfSavePoints].contains(&shutdown.save);
        shutdown.save = wanted;
        if fits { Ok(()) } else { Err(Error::Syntax) }
    };
    let (mut now, mut force) = (false, false);
    for word in args.iter() {
        match word.to_ascii_lowercase().as_slice() {
            b"save" => save(LastSnapshot::Yes)?,
            b"nosave" => save(LastSnapshot::No)?,
            b"now" => now = true,
            b"force" => force = true,
            _ => return Err(Error::Syntax),
        }
    }
    Ok(Shutdown { now, force, ..shutdown })
}

#[cfg(test)]
mod tests;
