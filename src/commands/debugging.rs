//! DEBUG: the container, and the subcommands that concern the server. Those that look into a
//! keyspace are in debug.rs.

use crate::base::number;
use crate::commands::command;
use crate::commands::debug;
use crate::commands::parse::{choice, database, integer, not_negative};
use crate::commands::session::{Ask, Reload, Shell};
use crate::commands::spec::{Command, Docs, Flags};
use crate::config::text;
use crate::limits::STRING_MAX;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};

/// The rows of this file.
pub const ROWS: &[Command] =
    &[Command::container("debug", FLAGS, &SUBS, docs("Looks into the server, for tests."))];

/// COMMAND shows DEBUG as one command, and Redis' errors are those of one.
const FLAGS: &[Flags] = &[Flags::of(EACH), Flags::OPAQUE];

const EACH: &[Flags] =
    &[Flags::PROTECTED, Flags::ADMIN, Flags::NOSCRIPT, Flags::LOADING, Flags::STALE];

const SUBS: [Command; OWN.len() + debug::SUBS.len()] = join();

const OWN: [Command; 21] = [
    row("debug|change-repl-id", 2, ok, docs("Accepted: there is no replication.")),
    row("debug|dict-resizing", 3, ok, docs("Accepted: tables grow in steps.")),
    row("debug|drop-cluster-packet-filter", 3, ok, docs("Accepted: there is no cluster.")),
    row("debug|error", 3, error, docs("Answers with this error.")),
    row("debug|client-eviction", 2, client_eviction, docs("Refused: clients are not evicted.")),
    row("debug|help", 2, command::help, docs("Prints this help.")),
    row("debug|htstats", 3, htstats, docs("A database's tables, which are not those of Redis.")),
    row("debug|loadaof", 2, loadaof, docs("Flushes the log and loads it again.")),
    row("debug|log", 3, log, docs("Writes a line to the server's log.")),
    row("debug|pause-cron", 3, ok, docs("Accepted: there is no cron job.")),
    row("debug|populate", -3, populate, docs("Makes keys: COUNT [PREFIX] [SIZE].")),
    row("debug|protocol", 3, protocol, docs("Answers with a value of the named type.")),
    row("debug|quicklist-packed-threshold", 3, threshold, docs("Accepted: lists have one form.")),
    row("debug|reload", -2, reload, docs("Saves, empties and loads: MERGE NOFLUSH NOSAVE.")),
    row("debug|replicate", -3, ok, docs("Accepted: there is no replica to tell.")),
    row("debug|replybuffer", 4, replybuffer, docs("Accepted: buffers shrink by themselves.")),
    row("debug|set-active-expire", 3, active_expire, docs("0 or 1: removal of expired keys.")),
    row("debug|set-disable-deny-scripts", 3, in_scripts, docs(IN_SCRIPTS)),
    row("debug|set-skip-checksum-validation", 3, ok, docs("Accepted: all sums are checked.")),
    row("debug|sleep", 3, sleep, docs("Stops the server for so many seconds.")),
    row("debug|stringmatch-test", 2, ok, docs("Accepted: patterns have tests of their own.")),
];

const IN_SCRIPTS: &str = "1: scripts may call PROTOCOL and SLEEP.";

type Handler = fn(&mut Shell<'_>) -> Result<Ask, Error>;

const fn row(name: &'static str, arity: i8, run: Handler, docs: Docs) -> Command {
    Command::session(name, arity, EACH, run, docs)
}

const fn docs(summary: &'static str) -> Docs {
    Docs::of("server", "1.0.0", "Depends on the subcommand", summary)
}

/// The subcommands of both files, protected alike.
#[expect(clippy::indexing_slicing, reason = "runs at compile time; the lengths are added up")]
const fn join() -> [Command; OWN.len() + debug::SUBS.len()] {
    let mut all = [OWN[0]; OWN.len() + debug::SUBS.len()];
    let mut at = 0;
    while at < all.len() {
        let row = if at < OWN.len() { OWN[at] } else { debug::SUBS[at - OWN.len()] };
        all[at] = Command { flags: row.flags.or(Flags::of(EACH)), ..row };
        at += 1;
    }
    all
}

fn ok(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.ok();
    Ok(Ask::Nothing)
}

fn error(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Err(Error::Line(shell.args.at(2).to_vec()))
}

fn loadaof(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::DebugLoadAof)
}

fn log(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::DebugLog { text: shell.args.at(2).to_vec() })
}

fn populate(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    if args.len() > 5 {
        return Err(Error::subcommand_syntax("debug", args.at(1)));
    }
    let count = amount(args.at(2))?;
    let prefix = args.get(3).unwrap_or(b"key").to_vec();
    let size = args.get(4).map(amount).transpose()?.unwrap_or(0) as usize;
    if size > STRING_MAX {
        return Err(Error::STRING_TOO_LONG);
    }
    Ok(Ask::DebugPopulate { count, prefix, size })
}

/// A number of keys or bytes; whatever is none gets the same error.
fn amount(word: &[u8]) -> Result<u64, Error> {
    not_negative(word).map_err(|_| Error::NOT_POSITIVE)
}

fn htstats(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let index = integer(shell.args.at(2))?;
    database(index, shell.facts.databases).map_err(|_| Error::err("Out of range database"))?;
    let text = b"[Dictionary HT]\nNo chains: segments in hash order\n[Expires HT]\nNone\n";
    shell.reply.verbatim("txt", text);
    Ok(Ask::Nothing)
}

fn client_eviction(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Err(Error::err("maxmemory-clients is disabled."))
}

fn active_expire(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    // What is no number is 0, as for C.
    Ok(Ask::SetActiveExpire { on: number::parse_i64(shell.args.at(2)).unwrap_or(0) != 0 })
}

fn in_scripts(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::SetDebugInScripts { on: number::parse_i64(shell.args.at(2)).unwrap_or(0) != 0 })
}

fn sleep(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let text = std::str::from_utf8(shell.args.at(2)).unwrap_or_default();
    let seconds: f64 = text.parse().unwrap_or(0.0);
    // Negative and NaN become 0, the rest saturates.
    Ok(Ask::DebugSleep { micros: (seconds * 1e6) as u64 })
}

fn reload(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let mut reload = Reload { save: true, flush: true, merge: false };
    for word in shell.args.from(2).iter() {
        match word.to_ascii_lowercase().as_slice() {
            b"merge" => reload.merge = true,
            b"noflush" => reload.flush = false,
            b"nosave" => reload.save = false,
            _ => return Err(Error::err(RELOAD_OPTIONS)),
        }
    }
    Ok(Ask::DebugReload(reload))
}

const RELOAD_OPTIONS: &str = "DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.";

fn threshold(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let bytes = std::str::from_utf8(shell.args.at(2)).ok().and_then(text::memory);
    if bytes.is_none_or(|bytes| !(0..=MAX_THRESHOLD).contains(&bytes)) {
        return Err(Error::err(THRESHOLD));
    }
    ok(shell)
}

const MAX_THRESHOLD: i64 = 1 << 32;
const THRESHOLD: &str = "argument must be a memory value bigger than 1 and smaller than 4gb";

fn replybuffer(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    let word = args.at(3);
    match choice(args.at(2), &[("peak-reset-time", true), ("resizing", false)]) {
        None => return Err(Error::subcommand_syntax("debug", args.at(1))),
        Some(true) if choice(word, &[("never", ()), ("reset", ())]).is_none() => {
            number::parse_i64(word).ok_or(Error::NotInteger)?;
        }
        Some(_) => {}
    }
    ok(shell)
}

// PROTOCOL.

fn protocol(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    type Write = fn(&mut Reply<'_>);
    let kinds: &[(&str, Write)] = &[
        ("string", |reply| reply.bulk(b"Hello World")),
        ("integer", |reply| reply.integer(12345)),
        ("double", |reply| reply.double(3141.0 / 1000.0)),
        ("null", |reply| reply.null()),
        ("array", |reply| {
            reply.array(3);
            (0..3).for_each(|n| reply.integer(n));
        }),
        ("set", |reply| {
            reply.set(3);
            (0..3).for_each(|n| reply.integer(n));
        }),
        ("map", |reply| {
            reply.map(3);
            for n in 0..3 {
                reply.integer(n);
                reply.boolean(n == 1);
            }
        }),
        ("bignum", |reply| reply.big_number("1234567999999999999999999999999999999")),
        ("attrib", attribute),
        ("true", |reply| reply.boolean(true)),
        ("false", |reply| reply.boolean(false)),
        ("verbatim", |reply| reply.verbatim("txt", b"This is a verbatim\nstring")),
    ];
    let word = shell.args.at(2);
    if word.eq_ignore_ascii_case(b"push") {
        return push(shell);
    }
    match choice(word, kinds) {
        Some(write) => write(&mut shell.reply),
        None => return Err(Error::err(KINDS)),
    }
    Ok(Ask::Nothing)
}

const KINDS: &str = "Wrong protocol type name. Please use one of the following: \
    string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false";

/// An attribute exists in RESP3 only, and belongs to the reply that follows it.
fn attribute(reply: &mut Reply<'_>) {
    if reply.proto() == Proto::Three {
        reply.raw(b"|1\r\n");
        reply.bulk(b"key-popularity");
        reply.array(2);
        reply.bulk(b"key:123");
        reply.integer(90);
    }
    reply.bulk(b"Some real reply following the attribute");
}

fn push(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    if shell.reply.proto() == Proto::Two {
        return Err(Error::err("RESP2 is not supported by this command"));
    }
    shell.reply.push(2);
    shell.reply.bulk(b"server-cpu-usage");
    shell.reply.integer(42);
    shell.reply.bulk(b"Some real reply following the push reply");
    Ok(Ask::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::kit::Kit;

    #[test]
    fn answers_are_those_of_redis() {
        Kit::new().check(
            "debug error foo -> -foo
            debug change-repl-id -> +OK
            debug nothing -> -ERR unknown subcommand or wrong number of arguments for 'nothing'. \
                Try DEBUG HELP.
            debug Sleep -> -ERR unknown subcommand or wrong number of arguments for 'Sleep'. Try \
                DEBUG HELP.
            debug segfault -> -ERR unknown subcommand or wrong number of arguments for \
                'segfault'. Try DEBUG HELP.
            debug sleep 0.5 -> DebugSleep { micros: 500000 }
            debug sleep x -> DebugSleep { micros: 0 }
            debug sleep -1 -> DebugSleep { micros: 0 }
            debug set-active-expire 0 -> SetActiveExpire { on: false }
            debug set-active-expire 1 -> SetActiveExpire { on: true }
            debug log x -> DebugLog { text: [120] }
            debug populate 3 p 9 -> DebugPopulate { count: 3, prefix: [112], size: 9 }
            debug populate x -> -ERR value is out of range, must be positive
            debug populate 1 p x -> -ERR value is out of range, must be positive
            debug htstats 16 -> -ERR Out of range database
            debug client-eviction -> -ERR maxmemory-clients is disabled.
            debug replicate a b -> +OK
            debug populate -1 -> -ERR value is out of range, must be positive
            debug loadaof -> DebugLoadAof
            debug reload -> DebugReload(Reload { save: true, flush: true, merge: false })
            debug reload nosave NOFLUSH merge -> DebugReload(Reload { save: false, flush: false, \
                merge: true })
            debug reload foo -> -ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE \
                options.
            debug quicklist-packed-threshold 1b -> +OK
            debug quicklist-packed-threshold 0 -> +OK
            debug quicklist-packed-threshold x -> -ERR argument must be a memory value bigger \
                than 1 and smaller than 4gb
            debug quicklist-packed-threshold 5gb -> -ERR argument must be a memory value bigger \
                than 1 and smaller than 4gb
            debug replybuffer peak-reset-time never -> +OK
            debug replybuffer peak-reset-time 100 -> +OK
            debug replybuffer peak-reset-time x -> -ERR value is not an integer or out of range
            debug replybuffer resizing 0 -> +OK
            debug replybuffer foo 1 -> -ERR unknown subcommand or wrong number of arguments for \
                'replybuffer'. Try DEBUG HELP.",
        );
    }

    #[test]
    fn each_type_of_the_protocol_can_be_asked_for() {
        let mut kit = Kit::new();
        kit.check(
            "debug protocol attrib -> $39 Some real reply following the attribute
            debug protocol bignum -> $37 1234567999999999999999999999999999999
            debug protocol push -> -ERR RESP2 is not supported by this command
            debug protocol map -> *6 :0 :0 :1 :1 :2 :0
            debug protocol double -> $5 3.141
            debug protocol null -> $-1
            debug protocol nothing -> -ERR Wrong protocol type name. Please use one of the \
                following: \
                string|integer|double|bignum|null|array|set|map|attrib|push|verbatim|true|false",
        );
        kit.session.proto = Proto::Three;
        kit.check(
            "debug protocol attrib -> |1 $14 key-popularity *2 $7 key:123 :90 $39 Some real \
                reply following the attribute
            debug protocol bignum -> (1234567999999999999999999999999999999
            debug protocol push -> >2 $16 server-cpu-usage :42 $40 Some real reply following the \
                push reply
            debug protocol map -> %3 :0 #f :1 #t :2 #f
            debug protocol set -> ~3 :0 :1 :2
            debug protocol array -> *3 :0 :1 :2
            debug protocol double -> ,3.141
            debug protocol null -> _
            debug protocol true -> #t
            debug protocol false -> #f
            debug protocol integer -> :12345
            debug protocol string -> $11 Hello World",
        );
    }

    #[test]
    fn every_subcommand_is_protected() {
        assert!(SUBS.iter().all(|sub| sub.flags.has(Flags::PROTECTED)));
    }
}
