//! OBJECT and MEMORY: how what a key holds is stored, and what it costs.

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer, is};
use crate::commands::row::{SECOND, on, row};
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::keyspace::keyspace::{About, Policy};
use crate::observe::facts::Facts;
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    Command::container(
        "object",
        &[],
        OBJECT,
        docs("generic", "2.2.3", "How what a key holds is stored."),
    ),
    Command::container("memory", &[], MEMORY, docs("server", "4.0.0", "Tells about memory.")),
];

const OBJECT: &[Command] = &[
    Command::session(
        "object|help",
        2,
        &[Flags::LOADING, Flags::STALE],
        object_help,
        docs("generic", "6.2.0", "Lists the subcommands."),
    ),
    about_key(
        "object|encoding",
        3,
        encoding,
        docs("generic", "2.2.3", "The name of the form in which a value is stored."),
    ),
    about_key(
        "object|freq",
        3,
        freq,
        docs("generic", "4.0.0", "The logarithmic count of accesses to a key."),
    ),
    about_key(
        "object|idletime",
        3,
        idletime,
        docs("generic", "2.2.3", "Seconds since the last access to a key."),
    ),
    about_key(
        "object|refcount",
        3,
        refcount,
        docs("generic", "2.2.3", "The number of references to a value; always 1."),
    ),
];

const MEMORY: &[Command] = &[
    Command::session(
        "memory|help",
        2,
        &[Flags::LOADING, Flags::STALE],
        memory_help,
        docs("server", "4.0.0", "Lists the subcommands."),
    ),
    Command::session(
        "memory|doctor",
        2,
        &[],
        doctor,
        docs("server", "4.0.0", "Says where to find the memory figures."),
    ),
    Command::session(
        "memory|malloc-stats",
        2,
        &[],
        malloc_stats,
        docs("server", "4.0.0", "The allocator's figures."),
    ),
    Command::session(
        "memory|purge",
        2,
        &[],
        purge,
        docs("server", "4.0.0", "Asks for unused memory to be given back."),
    ),
    Command::session(
        "memory|stats",
        2,
        &[],
        |_| Ok(Ask::MemoryStats),
        docs("server", "4.0.0", "Figures of the server's memory."),
    ),
    about_key(
        "memory|usage",
        -3,
        usage,
        docs("server", "4.0.0", "Bytes of memory that a key costs."),
    ),
];

const fn docs(group: &'static str, since: &'static str, summary: &'static str) -> Docs {
    Docs::of(group, since, "O(1)", summary)
}

const fn about_key(
    name: &'static str,
    arity: i8,
    run: fn(&mut Call<'_>) -> Result<Effect, Error>,
    docs: Docs,
) -> Command {
    on(SECOND, Across::One, row(name, arity, Flags::READONLY, run, docs))
}

/// Replies with what `tell` says of the key, or null when it is not there.
fn about(
    call: &mut Call<'_>,
    tell: impl FnOnce(&mut Call<'_>, About) -> Result<(), Error>,
) -> Result<Effect, Error> {
    match call.keys.about(call.db, call.args.at(2)) {
        Some(about) => tell(call, about)?,
        None => call.reply.null(),
    }
    Ok(Effect::Nothing)
}

fn encoding(call: &mut Call<'_>) -> Result<Effect, Error> {
    about(call, |call, about| {
        call.reply.bulk(about.encoding.name().as_bytes());
        Ok(())
    })
}

fn refcount(call: &mut Call<'_>) -> Result<Effect, Error> {
    about(call, |call, _| {
        call.reply.integer(1);
        Ok(())
    })
}

fn idletime(call: &mut Call<'_>) -> Result<Effect, Error> {
    about(call, |call, about| match call.keys.policy() {
        Policy::Lru => {
            call.reply.integer(i64::try_from(about.idle).unwrap_or(i64::MAX));
            Ok(())
        }
        Policy::Lfu => Err(Error::NO_LRU),
    })
}

fn freq(call: &mut Call<'_>) -> Result<Effect, Error> {
    about(call, |call, about| match call.keys.policy() {
        Policy::Lru => Err(Error::NO_LFU),
        Policy::Lfu => {
            call.reply.integer(i64::from(about.freq));
            Ok(())
        }
    })
}

/// The size is exact here; SAMPLES is checked and has no meaning.
fn usage(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut words = call.args.from(3).iter();
    while let Some(word) = words.next() {
        match words.next() {
            Some(count) if is(word, "SAMPLES") => {
                if integer(count)? < 0 {
                    return Err(Error::Syntax);
                }
            }
            _ => return Err(Error::Syntax),
        }
    }
    about(call, |call, about| {
        call.reply.integer(about.bytes as i64);
        Ok(())
    })
}

fn doctor(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let text = b"Basalt keeps no samples of its memory use, so there is nothing to diagnose here. \
        The figures are in INFO memory.\n";
    shell.reply.verbatim("txt", text);
    Ok(Ask::Nothing)
}

fn malloc_stats(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.bulk(b"Stats not supported for the current allocator");
    Ok(Ask::Nothing)
}

/// Answers MEMORY STATS. What Redis' allocator tells and ours does not is left out.
pub fn write_memory(reply: &mut Reply<'_>, facts: &Facts) {
    let memory = &facts.memory;
    let keys: u64 = facts.keyspace.iter().map(|db| db.keys).sum();
    let data = memory.used.saturating_sub(memory.startup);
    let percent = |part: u64, whole: u64| part as f64 * 100.0 / whole.max(1) as f64;
    let first = [
        ("peak.allocated", memory.peak),
        ("total.allocated", memory.used),
        ("startup.allocated", memory.startup),
        ("replication.backlog", 0),
        ("clients.slaves", 0),
        ("clients.normal", memory.clients),
        ("cluster.links", 0),
        ("aof.buffer", memory.aof_buffer),
        ("lua.caches", 0),
        ("functions.caches", 0),
        ("overhead.total", memory.used.saturating_sub(memory.dataset)),
        ("keys.count", keys),
        ("keys.bytes-per-key", data / keys.max(1)),
        ("dataset.bytes", memory.dataset),
    ];
    let last = [
        ("dataset.percentage", percent(memory.dataset, data)),
        ("peak.percentage", percent(memory.used, memory.peak)),
        ("fragmentation", percent(memory.rss, memory.used) / 100.0),
    ];
    reply.map(first.len() + last.len() + 1);
    for (name, number) in first {
        reply.bulk(name.as_bytes());
        reply.integer(i64::try_from(number).unwrap_or(i64::MAX));
    }
    for (name, number) in last {
        reply.bulk(name.as_bytes());
        reply.double(number);
    }
    reply.bulk(b"fragmentation.bytes");
    reply.integer(
        i64::try_from(memory.rss).unwrap_or(i64::MAX).saturating_sub_unsigned(memory.used),
    );
}

/// The allocator gives unused pages back by itself.
fn purge(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.ok();
    Ok(Ask::Nothing)
}

fn object_help(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    help(
        shell,
        "OBJECT",
        &[
            "ENCODING <key>",
            "    The name of the form in which the value is stored.",
            "FREQ <key>",
            "    The logarithmic count of accesses; needs an LFU maxmemory policy.",
            "IDLETIME <key>",
            "    Seconds since the last access.",
            "REFCOUNT <key>",
            "    The number of references to the value; always 1.",
        ],
    )
}

fn memory_help(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    help(
        shell,
        "MEMORY",
        &[
            "DOCTOR",
            "    Says where to find the memory figures.",
            "MALLOC-STATS",
            "    The allocator's figures.",
            "STATS",
            "    Figures of the server's memory.",
            "PURGE",
            "    Asks for unused memory to be given back.",
            "USAGE <key> [SAMPLES <count>]",
            "    Bytes of memory that the key and its value cost.",
        ],
    )
}

/// A HELP reply: a heading, the lines, and HELP itself.
fn help(shell: &mut Shell<'_>, command: &str, lines: &[&str]) -> Result<Ask, Error> {
    let heading = "<subcommand> [<arg> [value] [opt] ...]. Subcommands are:";
    let reply = &mut shell.reply;
    reply.array(lines.len() + 3);
    reply.simple(&format!("{command} {heading}"));
    for line in lines {
        reply.simple(line);
    }
    reply.simple("HELP");
    reply.simple("    Print this help.");
    Ok(Ask::Nothing)
}
