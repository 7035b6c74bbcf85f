//! Consumer groups of streams: XGROUP, XACK, XPENDING.

use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::command;
use crate::commands::parse::{integer, is};
use crate::commands::row::{SECOND, WRITE_FAST, WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::commands::stream_parse::{
    any_id, count_of, range_end, range_start, strict_id, strict_ids, write_id,
};
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::stream::group::{Group, Pending};
use crate::types::stream::id::StreamId;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("xack", -4, WRITE_FAST, xack, docs("5.0.0", EACH, "Acknowledges deliveries.")),
    Command::container("xgroup", &[], XGROUP, docs("5.0.0", ONE, "Manages consumer groups.")),
    row(
        "xpending",
        -3,
        Flags::READONLY,
        xpending,
        docs("5.0.0", "O(log N + M) for M entries looked at.", "Tells what is pending in a group."),
    ),
];

const XGROUP: &[Command] = &[
    sub("xgroup|create", -5, WRITE_OOM, create, docs("5.0.0", ONE, "Makes a consumer group.")),
    sub(
        "xgroup|createconsumer",
        5,
        WRITE_OOM,
        create_consumer,
        docs("6.2.0", ONE, "Makes a consumer in a group."),
    ),
    sub(
        "xgroup|delconsumer",
        5,
        Flags::WRITE,
        delete_consumer,
        docs("5.0.0", PENDING, "Removes a consumer, and what is pending for it."),
    ),
    sub("xgroup|destroy", 4, Flags::WRITE, destroy, docs("5.0.0", ONE, "Removes a group.")),
    Command::session(
        "xgroup|help",
        2,
        &[Flags::LOADING, Flags::STALE],
        command::help,
        docs("5.0.0", ONE, "Prints this help."),
    ),
    sub("xgroup|setid", -5, Flags::WRITE, set_id, docs("5.0.0", ONE, "Sets a group's last id.")),
];

const ONE: &str = "O(1)";
const EACH: &str = "O(log N) for each id, with N entries pending in the group.";
const PENDING: &str = "O(M log N) for M of N entries that were pending for it.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("stream", since, complexity, summary)
}

const fn sub(
    name: &'static str,
    arity: i8,
    flags: Flags,
    run: fn(&mut Call<'_>) -> Result<Effect, Error>,
    docs: Docs,
) -> Command {
    on(SECOND, Across::One, row(name, arity, flags, run, docs))
}

/// All ids are read before any is used, but only when there is a group, as in Redis.
fn xack(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, name) = (call.args.at(1), call.args.at(2));
    let stream = call.keys.stream(call.db, key)?;
    let mut count = 0;
    if let Some(group) = stream.and_then(|stream| stream.group(name)) {
        let ids = strict_ids(call.args.from(3))?;
        if ids.iter().any(|id| group.pending().get(id).is_some())
            && let Some(mut stream) = call.keys.stream_mut(call.db, key)?
        {
            let acknowledge =
                |group: &mut Group| ids.iter().map(|id| i64::from(group.acknowledge(*id))).sum();
            count = stream.edit_group(name, acknowledge).unwrap_or_default();
        }
    }
    call.reply.integer(count);
    Ok(if count > 0 { Effect::AsSent } else { Effect::Nothing })
}

/// What stands behind the id of XGROUP CREATE and SETID.
struct Options {
    /// The stream is made if there is none.
    make: bool,
    /// ENTRIESREAD; nothing for -1, which stands for not known.
    read: Option<u64>,
}

impl Options {
    fn read(args: Args<'_>, creates: Creates) -> Result<Options, Error> {
        let mut options = Options { make: false, read: None };
        let mut words = args.from(5).iter().peekable();
        while let Some(word) = words.next() {
            if creates == Creates::Group && is(word, "MKSTREAM") {
                options.make = true;
            } else if is(word, "ENTRIESREAD") && words.peek().is_some() {
                let read = integer(words.next().unwrap_or_default())?;
                if read < -1 {
                    return Err(Error::ENTRIES_READ);
                }
                options.read = u64::try_from(read).ok();
            } else {
                return Err(syntax(args));
            }
        }
        Ok(options)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Creates {
    Group,
    Nothing,
}

fn syntax(args: Args<'_>) -> Error {
    Error::subcommand_syntax("xgroup", args.at(1))
}

fn create(call: &mut Call<'_>) -> Result<Effect, Error> {
    let args = call.args;
    let options = Options::read(args, Creates::Group)?;
    let (key, name, id) = (args.at(2), args.at(3), args.at(4));
    let stream = call.keys.stream(call.db, key)?;
    if stream.is_none() && !options.make {
        return Err(Error::XGROUP_NO_KEY);
    }
    if args.len() > 8 {
        return Err(syntax(args));
    }
    let last = match id {
        b"$" => stream.map_or(StreamId::MIN, |stream| stream.last),
        id => strict_id(id)?,
    };
    if stream.is_some_and(|stream| stream.group(name).is_some()) {
        return Err(Error::BUSYGROUP);
    }
    let mut stream = call.keys.stream_or_new(call.db, key)?;
    stream.add_group(name, Group::new(last, options.read));
    call.reply.ok();
    Ok(Effect::AsSent)
}

/// The group that a subcommand other than CREATE is about.
fn group_of<'k>(call: &'k mut Call<'_>) -> Result<Option<(&'k Group, StreamId)>, Error> {
    let (key, name) = (call.args.at(2), call.args.at(3));
    let stream = call.keys.stream(call.db, key)?.ok_or(Error::XGROUP_NO_KEY)?;
    Ok(stream.group(name).map(|group| (group, stream.last)))
}

fn missing(args: Args<'_>) -> Error {
    Error::no_group_in(args.at(3), args.at(2))
}

fn set_id(call: &mut Call<'_>) -> Result<Effect, Error> {
    let args = call.args;
    let options = Options::read(args, Creates::Nothing)?;
    let top = group_of(call)?.ok_or_else(|| missing(args))?.1;
    if args.len() > 7 {
        return Err(syntax(args));
    }
    let last = if args.at(4) == b"$" { top } else { any_id(args.at(4))? };
    if let Some(mut stream) = call.keys.stream_mut(call.db, args.at(2))? {
        stream.edit_group(args.at(3), |group| {
            group.last = last;
            group.read = options.read;
        });
    }
    call.reply.ok();
    Ok(Effect::AsSent)
}

fn destroy(call: &mut Call<'_>) -> Result<Effect, Error> {
    let found = group_of(call)?.is_some();
    if found && let Some(mut stream) = call.keys.stream_mut(call.db, call.args.at(2))? {
        stream.remove_group(call.args.at(3));
    }
    call.reply.integer(i64::from(found));
    Ok(if found { Effect::AsSent } else { Effect::Nothing })
}

fn create_consumer(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (args, now) = (call.args, call.now.0);
    let group = group_of(call)?.ok_or_else(|| missing(args))?.0;
    let is_new = group.consumer(args.at(4)).is_none();
    if is_new && let Some(mut stream) = call.keys.stream_mut(call.db, args.at(2))? {
        stream.edit_group(args.at(3), |group| group.add_consumer(args.at(4), now, None));
    }
    call.reply.integer(i64::from(is_new));
    Ok(if is_new { Effect::AsSent } else { Effect::Nothing })
}

fn delete_consumer(call: &mut Call<'_>) -> Result<Effect, Error> {
    let args = call.args;
    let group = group_of(call)?.ok_or_else(|| missing(args))?.0;
    let Some(consumer) = group.consumer(args.at(4)) else {
        call.reply.integer(0);
        return Ok(Effect::Nothing);
    };
    let pending = consumer.pending().len();
    if let Some(mut stream) = call.keys.stream_mut(call.db, args.at(2))? {
        stream.edit_group(args.at(3), |group| group.remove_consumer(args.at(4)));
    }
    call.reply.integer(pending as i64);
    Ok(Effect::AsSent)
}

/// The long form of XPENDING.
struct Wanted<'a> {
    min_idle: i64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a [u8]>,
}

impl<'a> Wanted<'a> {
    /// Reads what stands behind the group; nothing for the short form.
    fn read(args: Args<'a>) -> Result<Option<Wanted<'a>>, Error> {
        if args.len() == 3 {
            return Ok(None);
        }
        if !(6..=9).contains(&args.len()) {
            return Err(Error::Syntax);
        }
        let (mut min_idle, mut at) = (0, 3);
        if is(args.at(3), "IDLE") {
            min_idle = integer(args.at(4))?;
            if args.len() < 8 {
                return Err(Error::Syntax);
            }
            at = 5;
        }
        let count = count_of(args.at(at + 2))?;
        let (start, end) = (range_start(args.at(at))?, range_end(args.at(at + 1))?);
        Ok(Some(Wanted { min_idle, start, end, count, consumer: args.get(at + 3) }))
    }
}

fn xpending(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, name) = (call.args.at(1), call.args.at(2));
    let wanted = Wanted::read(call.args)?;
    let stream = call.keys.stream(call.db, key)?;
    let group = stream.and_then(|stream| stream.group(name));
    let group = group.ok_or_else(|| Error::no_group(key, name, ""))?;
    match wanted {
        None => write_summary(&mut call.reply, group),
        Some(wanted) => write_pending(&mut call.reply, group, &wanted, call.now),
    }
    Ok(Effect::Nothing)
}

fn write_summary(reply: &mut Reply<'_>, group: &Group) {
    reply.array(4);
    reply.integer(group.pending().len() as i64);
    let (Some((first, _)), Some((last, _))) = (group.pending().first(), group.pending().last())
    else {
        reply.null();
        reply.null();
        return reply.null_array();
    };
    write_id(reply, *first);
    write_id(reply, *last);
    let busy = || group.consumers().iter().filter(|(_, one)| !one.pending().is_empty());
    reply.array(busy().count());
    for (name, consumer) in busy() {
        reply.array(2);
        reply.bulk(name);
        reply.bulk_integer(consumer.pending().len() as i64);
    }
}

fn write_pending(reply: &mut Reply<'_>, group: &Group, wanted: &Wanted<'_>, now: Millis) {
    let idle = |one: &Pending| (now.0 as i64).wrapping_sub(one.time as i64);
    let fits =
        |(_, one): &(StreamId, &Pending)| wanted.min_idle == 0 || idle(one) >= wanted.min_idle;
    let all: Vec<(StreamId, &Pending)> = match wanted.consumer {
        None => {
            let all = group.pending().from(&wanted.start).map(|(id, one)| (*id, one));
            all.take_while(|(id, _)| *id <= wanted.end).filter(fits).take(wanted.count).collect()
        }
        Some(consumer) => {
            let ids = group.consumer(consumer).into_iter();
            let ids = ids.flat_map(|one| one.pending().from(&wanted.start)).map(|(id, ())| *id);
            let all = ids.take_while(|id| *id <= wanted.end);
            let all = all.filter_map(|id| Some((id, group.pending().get(&id)?)));
            all.filter(fits).take(wanted.count).collect()
        }
    };
    reply.array(all.len());
    for (id, one) in all {
        reply.array(4);
        write_id(reply, id);
        reply.bulk(&one.consumer);
        reply.integer(idle(one).max(0));
        reply.integer(one.count as i64);
    }
}
