//! Streams: their entries. Groups are in stream_group.rs, reading in stream_read.rs.

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer, is};
use crate::commands::row::{READ_FAST, WRITE_FAST, WRITE_OOM_FAST, row};
use crate::commands::spec::{Command, Docs, Flags};
use crate::commands::stream_parse::{
    NewId, count_option, range_end, range_start, strict_id, strict_ids, write_entry, write_id,
};
use crate::limits::STREAM_ENTRY_MAX;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::types::stream::chunk::Nodes;
use crate::types::stream::id::StreamId;
use crate::types::stream::{Exactness, Stream, Trim};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "xadd",
        -5,
        WRITE_OOM_FAST,
        xadd,
        docs("5.0.0", "O(1), and O(N) for N entries that are trimmed.", "Appends an entry."),
    ),
    row(
        "xdel",
        -3,
        WRITE_FAST,
        xdel,
        docs("5.0.0", "O(log N) for each entry.", "Deletes entries by their ids."),
    ),
    row("xlen", 2, READ_FAST, xlen, docs("5.0.0", "O(1)", "Counts the entries of a stream.")),
    row(
        "xrange",
        -4,
        Flags::READONLY,
        xrange,
        docs("5.0.0", RANGE, "Returns the entries whose ids are within a range."),
    ),
    row(
        "xrevrange",
        -4,
        Flags::READONLY,
        xrevrange,
        docs("5.0.0", RANGE, "Returns the entries within a range, the last one first."),
    ),
    row(
        "xsetid",
        -3,
        WRITE_OOM_FAST,
        xsetid,
        docs("5.0.0", "O(1)", "Sets a stream's last id and counters; for logs and replicas."),
    ),
    row(
        "xtrim",
        -4,
        Flags::WRITE,
        xtrim,
        docs("5.0.0", "O(N) for N entries that go.", "Removes entries from a stream's front."),
    ),
];

const RANGE: &str = "O(log N + M) for M entries that are returned.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("stream", since, complexity, summary)
}

/// What XADD and XTRIM say before XADD's id.
struct Options {
    trim: Option<(Trim, Exactness)>,
    /// NOMKSTREAM was not said.
    make: bool,
    /// The id, for XADD, and where it stands.
    id: Option<(NewId, usize)>,
}

/// Whose options they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    Xadd,
    Xtrim,
}

impl Options {
    fn read(args: Args<'_>, nodes: Nodes, of: Of) -> Result<Options, Error> {
        let (mut trim, mut tilde, mut limit) = (None, false, None);
        let (mut make, mut id, mut at) = (true, None, 2);
        while let (Some(word), None) = (args.get(at), id) {
            let more = args.len() - 1 - at;
            if (is(word, "MAXLEN") || is(word, "MINID")) && more > 0 {
                if trim.is_some() {
                    return Err(Error::TRIM_BOTH);
                }
                let sign = args.at(at + 1);
                tilde = more >= 2 && sign == b"~";
                at += 1 + usize::from(more >= 2 && (tilde || sign == b"="));
                trim = Some(trim_to(word, args.at(at))?);
            } else if is(word, "LIMIT") && more > 0 {
                at += 1;
                let number = integer(args.at(at))?;
                limit = Some(u64::try_from(number).map_err(|_| Error::TRIM_LIMIT)?);
            } else if of == Of::Xtrim {
                return Err(Error::Syntax);
            } else if is(word, "NOMKSTREAM") {
                make = false;
            } else {
                id = Some((NewId::read(word)?, at));
            }
            at += 1;
        }
        if trim.is_none() && limit.is_some_and(|limit| limit > 0) {
            return Err(Error::TRIM_LIMIT_ALONE);
        }
        if trim.is_none() && of == Of::Xtrim {
            return Err(Error::TRIM_NOTHING);
        }
        let exactness = match (tilde, limit) {
            (false, Some(_)) => return Err(Error::TRIM_LIMIT_EXACT),
            (false, None) => Exactness::Exact,
            (true, limit) => Exactness::Chunks(limit.unwrap_or_else(|| usual_limit(nodes))),
        };
        Ok(Options { trim: trim.map(|trim| (trim, exactness)), make, id })
    }
}

fn trim_to(word: &[u8], arg: &[u8]) -> Result<Trim, Error> {
    if is(word, "MINID") {
        return strict_id(arg).map(Trim::MinId);
    }
    u64::try_from(integer(arg)?).map(Trim::MaxLen).map_err(|_| Error::TRIM_MAXLEN)
}

/// How many entries a trim with `~` removes at most when nothing is said: a hundred chunks.
fn usual_limit(nodes: Nodes) -> u64 {
    match nodes.entries.saturating_mul(100) {
        0 => 10_000,
        limit => limit.min(1_000_000),
    }
}

/// Given an id, and no trim that depends on how the chunks lie, the command says all by itself.
fn xadd(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (args, nodes) = (call.args, call.keys.stream_nodes());
    let options = Options::read(args, nodes, Of::Xadd)?;
    let arity = || Error::WrongArity("xadd".to_owned());
    let (id, at) = options.id.ok_or_else(arity)?;
    let fields = args.from(at + 1);
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(arity());
    }
    if id == NewId::Given(StreamId::MIN) {
        return Err(Error::XADD_ZERO);
    }
    let key = args.at(1);
    let last = match call.keys.stream(call.db, key)? {
        Some(stream) => stream.last,
        None if options.make => StreamId::MIN,
        None => {
            call.reply.null();
            return Ok(Effect::Nothing);
        }
    };
    if last == StreamId::MAX {
        return Err(Error::XADD_EXHAUSTED);
    }
    let new = id.after(last, call.now).ok_or(Error::XADD_ID)?;
    let size: usize = fields.iter().map(<[u8]>::len).sum();
    if size > STREAM_ENTRY_MAX {
        return Err(Error::XADD_TOO_LARGE);
    }
    let mut stream = call.keys.stream_or_new(call.db, key)?;
    let pairs = (0..fields.len() / 2).map(|n| (fields.at(2 * n), fields.at(2 * n + 1)));
    stream.append(new, pairs, size);
    if let Some((trim, exactness)) = options.trim {
        stream.trim(trim, exactness);
    }
    let left = stream.stream().len();
    write_id(&mut call.reply, new);
    let exact = !matches!(options.trim, Some((_, Exactness::Chunks(_))));
    if exact && matches!(id, NewId::Given(_)) {
        return Ok(Effect::AsSent);
    }
    let mut logged = OwnedArgs::of(&[b"XADD", key]);
    if options.trim.is_some() {
        push_maxlen(&mut logged, left);
    }
    logged.push(&new.text());
    fields.iter().for_each(|field| logged.push(field));
    Ok(Effect::Instead(logged))
}

/// A trim by what it has left: how the chunks lie is not the same after a start.
fn push_maxlen(logged: &mut OwnedArgs, left: usize) {
    logged.push(b"MAXLEN");
    logged.push(b"=");
    logged.push(left.to_string().as_bytes());
}

fn xtrim(call: &mut Call<'_>) -> Result<Effect, Error> {
    let options = Options::read(call.args, call.keys.stream_nodes(), Of::Xtrim)?;
    let (trim, exactness) = options.trim.ok_or(Error::TRIM_NOTHING)?;
    let key = call.args.at(1);
    let mut trimmed = (0, 0);
    if let Some(mut stream) = call.keys.stream_mut(call.db, key)? {
        trimmed = (stream.trim(trim, exactness), stream.stream().len());
    }
    call.reply.integer(trimmed.0 as i64);
    Ok(match (trimmed, exactness) {
        ((0, _), _) => Effect::Nothing,
        (_, Exactness::Exact) => Effect::AsSent,
        ((_, left), Exactness::Chunks(_)) => {
            let mut logged = OwnedArgs::of(&[b"XTRIM", key]);
            push_maxlen(&mut logged, left);
            Effect::Instead(logged)
        }
    })
}

/// Ids are read only when there is a stream, as in Redis.
fn xdel(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut deleted = 0;
    if let Some(mut stream) = call.keys.stream_mut(call.db, call.args.at(1))? {
        for id in strict_ids(call.args.from(2))? {
            deleted += i64::from(stream.delete(id));
        }
    }
    call.reply.integer(deleted);
    Ok(if deleted > 0 { Effect::AsSent } else { Effect::Nothing })
}

fn xlen(call: &mut Call<'_>) -> Result<Effect, Error> {
    let len = call.keys.stream(call.db, call.args.at(1))?.map_or(0, Stream::len);
    call.reply.integer(len as i64);
    Ok(Effect::Nothing)
}

/// COUNT 0 has an answer of its own, though only where there is a stream.
fn xrange(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (start, end) = (range_start(call.args.at(2))?, range_end(call.args.at(3))?);
    let count = count_option(call.args.from(4))?;
    match call.keys.stream(call.db, call.args.at(1))? {
        None => call.reply.array(0),
        Some(_) if count == Some(0) => call.reply.null_array(),
        Some(stream) => {
            let count = count.unwrap_or(usize::MAX).min(stream.count(start, end));
            call.reply.array(count);
            let entries = stream.range(start, end).take(count);
            entries.for_each(|entry| write_entry(&mut call.reply, &entry));
        }
    }
    Ok(Effect::Nothing)
}

fn xrevrange(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (start, end) = (range_start(call.args.at(3))?, range_end(call.args.at(2))?);
    let count = count_option(call.args.from(4))?;
    match call.keys.stream(call.db, call.args.at(1))? {
        None => call.reply.array(0),
        Some(_) if count == Some(0) => call.reply.null_array(),
        Some(stream) => {
            let count = count.unwrap_or(usize::MAX).min(stream.count(start, end));
            call.reply.array(count);
            let entries = stream.backward(start, end).take(count);
            entries.for_each(|entry| write_entry(&mut call.reply, &entry));
        }
    }
    Ok(Effect::Nothing)
}

fn xsetid(call: &mut Call<'_>) -> Result<Effect, Error> {
    let last = strict_id(call.args.at(2))?;
    let (mut added, mut deleted) = (None, StreamId::MIN);
    let mut words = call.args.from(3).iter();
    while let Some(word) = words.next() {
        match words.next() {
            Some(number) if is(word, "ENTRIESADDED") => {
                let number = u64::try_from(integer(number)?);
                added = Some(number.map_err(|_| Error::ENTRIES_ADDED)?);
            }
            Some(id) if is(word, "MAXDELETEDID") => {
                deleted = strict_id(id)?;
                if last < deleted {
                    return Err(Error::XSETID_DELETED);
                }
            }
            _ => return Err(Error::Syntax),
        }
    }
    let key = call.args.at(1);
    let stream = call.keys.stream(call.db, key)?.ok_or(Error::NoSuchKey)?;
    check_counters(stream, last, added)?;
    if let Some(mut stream) = call.keys.stream_mut(call.db, key)? {
        stream.set_counters(last, added, Some(deleted).filter(|id| *id != StreamId::MIN));
    }
    call.reply.ok();
    Ok(Effect::AsSent)
}

fn check_counters(stream: &Stream, last: StreamId, added: Option<u64>) -> Result<(), Error> {
    if last < stream.max_deleted {
        return Err(Error::XSETID_WAS_DELETED);
    }
    if last < stream.last_id() {
        return Err(Error::XSETID_TOP);
    }
    if !stream.is_empty() && added.is_some_and(|added| added < stream.len() as u64) {
        return Err(Error::XSETID_ADDED);
    }
    Ok(())
}
