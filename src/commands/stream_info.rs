//! XINFO: streams, their groups and consumers as they are.

use crate::commands::call::{Call, Effect};
use crate::commands::command;
use crate::commands::parse::{integer, is};
use crate::commands::row::{SECOND, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::commands::stream_parse::{write_entry, write_id};
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::stream::Stream;
use crate::types::stream::group::{Consumer, Group};
use crate::types::stream::id::StreamId;

/// The rows of this file.
pub const ROWS: &[Command] =
    &[Command::container("xinfo", &[], XINFO, docs("5.0.0", "Tells about streams."))];

const XINFO: &[Command] = &[
    sub("xinfo|consumers", 4, consumers, docs("5.0.0", "Tells about the consumers of a group.")),
    sub("xinfo|groups", 3, groups, docs("5.0.0", "Tells about the groups of a stream.")),
    Command::session(
        "xinfo|help",
        2,
        &[Flags::LOADING, Flags::STALE],
        command::help,
        docs("5.0.0", "Prints this help."),
    ),
    sub("xinfo|stream", -3, stream, docs("5.0.0", "Tells about a stream.")),
];

/// Entries and pending ones that XINFO STREAM FULL shows when it is not told how many.
const FULL_COUNT: usize = 10;

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("stream", since, "O(1)", summary)
}

const fn sub(
    name: &'static str,
    arity: i8,
    run: fn(&mut Call<'_>) -> Result<Effect, Error>,
    docs: Docs,
) -> Command {
    on(SECOND, Across::One, row(name, arity, Flags::READONLY, run, docs))
}

fn consumers(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, name, now) = (call.args.at(2), call.args.at(3), call.now.0);
    let stream = call.keys.stream(call.db, key)?.ok_or(Error::NoSuchKey)?;
    let group = stream.group(name).ok_or_else(|| Error::no_group_in(name, key))?;
    let reply = &mut call.reply;
    reply.array(group.consumers().len());
    for (name, consumer) in group.consumers().iter() {
        reply.map(4);
        text(reply, "name", name);
        number(reply, "pending", consumer.pending().len() as i64);
        // One that has not been seen since the log was read: nobody knows for how long.
        let idle = match consumer.seen.get() {
            0 => 0,
            seen => now.saturating_sub(seen),
        };
        number(reply, "idle", idle as i64);
        let inactive =
            consumer.active.map_or(-1, |active| (now as i64).wrapping_sub(active as i64));
        number(reply, "inactive", inactive);
    }
    Ok(Effect::Nothing)
}

fn groups(call: &mut Call<'_>) -> Result<Effect, Error> {
    let stream = call.keys.stream(call.db, call.args.at(2))?.ok_or(Error::NoSuchKey)?;
    let reply = &mut call.reply;
    reply.array(stream.groups().len());
    for (name, group) in stream.groups().iter() {
        reply.map(6);
        text(reply, "name", name);
        number(reply, "consumers", group.consumers().len() as i64);
        number(reply, "pending", group.pending().len() as i64);
        id(reply, "last-delivered-id", group.last);
        progress(reply, stream, group);
    }
    Ok(Effect::Nothing)
}

/// How far a group has come.
fn progress(reply: &mut Reply<'_>, stream: &Stream, group: &Group) {
    for (name, count) in
        [("entries-read", group.read.map(|read| read as i64)), ("lag", stream.lag(group))]
    {
        reply.bulk(name.as_bytes());
        match count {
            Some(count) => reply.integer(count),
            None => reply.null(),
        }
    }
}

fn stream(call: &mut Call<'_>) -> Result<Effect, Error> {
    let args = call.args;
    let stream = call.keys.stream(call.db, args.at(2))?.ok_or(Error::NoSuchKey)?;
    let full = match (args.len(), args.get(3)) {
        (3, _) => None,
        (4, Some(word)) if is(word, "FULL") => Some(FULL_COUNT),
        (6, Some(word)) if is(word, "FULL") && is(args.at(4), "COUNT") => {
            let count = integer(args.at(5))?;
            let count = usize::try_from(count).unwrap_or(FULL_COUNT);
            Some(if count == 0 { usize::MAX } else { count })
        }
        _ => return Err(Error::subcommand_syntax("xinfo", args.at(1))),
    };
    let reply = &mut call.reply;
    reply.map(if full.is_some() { 9 } else { 10 });
    let chunks = stream.chunk_count() as i64;
    number(reply, "length", stream.len() as i64);
    number(reply, "radix-tree-keys", chunks);
    number(reply, "radix-tree-nodes", chunks + 1);
    id(reply, "last-generated-id", stream.last);
    id(reply, "max-deleted-entry-id", stream.max_deleted);
    number(reply, "entries-added", stream.added as i64);
    id(reply, "recorded-first-entry-id", stream.first_id());
    match full {
        Some(count) => write_full(reply, stream, count),
        None => {
            number(reply, "groups", stream.groups().len() as i64);
            let first = stream.range(StreamId::MIN, StreamId::MAX).next();
            let last = stream.backward(StreamId::MIN, StreamId::MAX).next();
            for (name, entry) in [("first-entry", first), ("last-entry", last)] {
                reply.bulk(name.as_bytes());
                match entry {
                    Some(entry) => write_entry(reply, &entry),
                    None => reply.null(),
                }
            }
        }
    }
    Ok(Effect::Nothing)
}

fn write_full(reply: &mut Reply<'_>, stream: &Stream, count: usize) {
    reply.bulk(b"entries");
    reply.array(stream.len().min(count));
    let entries = stream.range(StreamId::MIN, StreamId::MAX).take(count);
    entries.for_each(|entry| write_entry(reply, &entry));
    reply.bulk(b"groups");
    reply.array(stream.groups().len());
    for (name, group) in stream.groups().iter() {
        reply.map(7);
        text(reply, "name", name);
        id(reply, "last-delivered-id", group.last);
        progress(reply, stream, group);
        number(reply, "pel-count", group.pending().len() as i64);
        reply.bulk(b"pending");
        reply.array(group.pending().len().min(count));
        for (id, pending) in group.pending().iter().take(count) {
            reply.array(4);
            write_id(reply, *id);
            reply.bulk(&pending.consumer);
            reply.integer(pending.time as i64);
            reply.integer(pending.count as i64);
        }
        reply.bulk(b"consumers");
        reply.array(group.consumers().len());
        for (name, consumer) in group.consumers().iter() {
            write_consumer(reply, group, (name, consumer), count);
        }
    }
}

fn write_consumer(
    reply: &mut Reply<'_>,
    group: &Group,
    (name, consumer): (&[u8], &Consumer),
    count: usize,
) {
    reply.map(5);
    text(reply, "name", name);
    number(reply, "seen-time", consumer.seen.get() as i64);
    number(reply, "active-time", consumer.active.map_or(-1, |active| active as i64));
    number(reply, "pel-count", consumer.pending().len() as i64);
    reply.bulk(b"pending");
    reply.array(consumer.pending().len().min(count));
    for (id, ()) in consumer.pending().iter().take(count) {
        let (time, times) =
            group.pending().get(id).map_or((0, 0), |pending| (pending.time, pending.count));
        reply.array(3);
        write_id(reply, *id);
        reply.integer(time as i64);
        reply.integer(times as i64);
    }
}

fn text(reply: &mut Reply<'_>, name: &str, value: &[u8]) {
    reply.bulk(name.as_bytes());
    reply.bulk(value);
}

fn number(reply: &mut Reply<'_>, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(value);
}

fn id(reply: &mut Reply<'_>, name: &str, value: StreamId) {
    reply.bulk(name.as_bytes());
    write_id(reply, value);
}
