//! XREAD and XREADGROUP: what came after an id, or what a group has not delivered yet.

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer, is};
use crate::commands::row::{on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec, Merge};
use crate::commands::stream_claim::{Claimed, log_group, log_new_consumer};
use crate::commands::stream_parse::{count_of, strict_id, write_entry, write_id, write_one};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};
use crate::types::stream::Stream;
use crate::types::stream::group::{Group, Name, Pending};
use crate::types::stream::id::StreamId;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    on(
        KeySpec::Streams { from: 1 },
        Across::Split(Merge::Found),
        row(
            "xread",
            -4,
            Flags::of(&[Flags::BLOCKING, Flags::READONLY]),
            xread,
            docs("Returns entries of several streams that are above given ids."),
        ),
    ),
    on(
        KeySpec::Streams { from: 4 },
        Across::Gather,
        row(
            "xreadgroup",
            -7,
            Flags::of(&[Flags::BLOCKING, Flags::WRITE]),
            xreadgroup,
            docs("Delivers new entries to a group's consumer, or returns what is pending for it."),
        ),
    ),
];

const fn docs(summary: &'static str) -> Docs {
    const EACH: &str = "O(log N + M) for each stream, with M entries that are returned.";
    Docs::of("stream", "5.0.0", EACH, summary)
}

/// What XREAD or XREADGROUP asks for.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Entries of each stream at most.
    pub count: usize,
    /// Milliseconds to wait when there is nothing, 0 for ever. Nobody waits here.
    pub block: Option<u64>,
    /// The streams.
    pub keys: Args<'a>,
    /// Their ids, in the same order.
    pub ids: Args<'a>,
    /// Group and consumer, for XREADGROUP.
    pub group: Option<(&'a [u8], &'a [u8])>,
    /// NOACK: what is delivered does not become pending.
    pending: Pend,
}

/// Does what is delivered become pending?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pend {
    Yes,
    No,
}

/// From where on one stream is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// Above this id.
    After(StreamId),
    /// What the group has not delivered.
    New,
}

impl<'a> Reading<'a> {
    /// Reads the arguments of the command with this name, in lower case.
    pub fn read(args: Args<'a>, name: &str) -> Result<Reading<'a>, Error> {
        let grouped = name == "xreadgroup";
        let (mut count, mut block, mut group, mut pending) = (0, None, None, Pend::Yes);
        let mut at = 1;
        while let Some(word) = args.get(at) {
            let more = args.len() - 1 - at;
            if is(word, "BLOCK") && more > 0 {
                at += 1;
                block = Some(timeout(args.at(at))?);
            } else if is(word, "COUNT") && more > 0 {
                at += 1;
                count = count_of(args.at(at))?;
            } else if is(word, "STREAMS") && more > 0 {
                if !more.is_multiple_of(2) {
                    return Err(Error::unbalanced_streams(name));
                }
                if grouped && group.is_none() {
                    return Err(Error::XREADGROUP_ALONE);
                }
                let (keys, ids) = args.from(at + 1).split_at(more / 2);
                let count = if count == 0 { usize::MAX } else { count };
                return Ok(Reading { count, block, keys, ids, group, pending });
            } else if is(word, "GROUP") && more >= 2 {
                if !grouped {
                    return Err(Error::XREAD_GROUP);
                }
                group = Some((args.at(at + 1), args.at(at + 2)));
                at += 2;
            } else if is(word, "NOACK") {
                if !grouped {
                    return Err(Error::XREAD_NOACK);
                }
                pending = Pend::No;
            } else {
                return Err(Error::Syntax);
            }
            at += 1;
        }
        Err(Error::Syntax)
    }

    /// From where each stream is read; all are looked at before any is read.
    fn places(&self, call: &mut Call<'_>) -> Result<Vec<From>, Error> {
        let pairs = self.keys.iter().zip(self.ids.iter());
        pairs.map(|(key, id)| self.place(call, key, id)).collect()
    }

    fn place(&self, call: &mut Call<'_>, key: &[u8], id: &[u8]) -> Result<From, Error> {
        let stream = call.keys.stream(call.db, key)?;
        if let Some((group, _)) = self.group
            && stream.is_none_or(|stream| stream.group(group).is_none())
        {
            return Err(Error::no_group(key, group, " in XREADGROUP with GROUP option"));
        }
        let last = stream.map_or(StreamId::MIN, |stream| stream.last);
        match (id, self.group) {
            (b"$", Some(_)) => Err(Error::meaningless_id('$')),
            (b"+", Some(_)) => Err(Error::meaningless_id('+')),
            (b"$", None) => Ok(From::After(last)),
            (b"+", None) => Ok(From::After(last.before().unwrap_or_default())),
            (b">", Some(_)) => Ok(From::New),
            (b">", None) => Err(Error::XREAD_NEW),
            _ => match (strict_id(id)?, self.group) {
                // Redis writes `>` as this id.
                (StreamId::MAX, Some(_)) => Ok(From::New),
                (id, _) => Ok(From::After(id)),
            },
        }
    }
}

fn timeout(arg: &[u8]) -> Result<u64, Error> {
    let millis = integer(arg).map_err(|_| Error::TIMEOUT_NUMBER)?;
    u64::try_from(millis).map_err(|_| Error::TIMEOUT_NEGATIVE)
}

fn xread(call: &mut Call<'_>) -> Result<Effect, Error> {
    let reading = Reading::read(call.args, "xread")?;
    let places = reading.places(call)?;
    let (mut found, mut body) = (0, Vec::new());
    let mut out = Reply::new(&mut body, call.reply.proto());
    for (key, from) in reading.keys.iter().zip(places) {
        let (Some(stream), From::After(id)) = (call.keys.stream(call.db, key)?, from) else {
            continue;
        };
        let Some(start) = id.next().filter(|_| !stream.is_empty() && stream.last_id() > id) else {
            continue;
        };
        found += 1;
        write_head(&mut out, key);
        let count = stream.count(start, StreamId::MAX).min(reading.count);
        out.array(count);
        let entries = stream.range(start, StreamId::MAX).take(count);
        entries.for_each(|entry| write_entry(&mut out, &entry));
    }
    write_found(&mut call.reply, found, &body);
    Ok(Effect::Nothing)
}

/// The key before what was found in it.
fn write_head(out: &mut Reply<'_>, key: &[u8]) {
    if out.proto() == Proto::Two {
        out.array(2);
    }
    out.bulk(key);
}

/// What was found in so many streams; null for none.
fn write_found(reply: &mut Reply<'_>, found: usize, body: &[u8]) {
    match (found, reply.proto()) {
        (0, _) => return reply.null_array(),
        (_, Proto::Two) => reply.array(found),
        (_, Proto::Three) => reply.map(found),
    }
    reply.raw(body);
}

fn xreadgroup(call: &mut Call<'_>) -> Result<Effect, Error> {
    let reading = Reading::read(call.args, "xreadgroup")?;
    let places = reading.places(call)?;
    let (mut found, mut body, mut logged) = (0, Vec::new(), Vec::new());
    for (key, from) in reading.keys.iter().zip(places) {
        let mut out = Reply::new(&mut body, call.reply.proto());
        found += usize::from(deliver(call, &reading, (key, from), &mut out, &mut logged)?);
    }
    write_found(&mut call.reply, found, &body);
    Ok(Effect::of(logged))
}

/// What one stream gives to a consumer.
#[derive(Default)]
struct Delivery {
    /// Entries that the group has not delivered before.
    new: Vec<StreamId>,
    /// Entries that were pending for the consumer, and how often they have been delivered now.
    again: Vec<(StreamId, u64)>,
    /// The group's count of entries read.
    read: Option<u64>,
    /// Is there anything to say about this stream?
    served: bool,
}

impl Delivery {
    fn write(
        stream: &Stream,
        group: &Group,
        (reading, key, from): (&Reading<'_>, &[u8], From),
        out: &mut Reply<'_>,
    ) -> Delivery {
        let (mut delivery, count) =
            (Delivery { read: group.read, ..Delivery::default() }, reading.count);
        match from {
            From::New => {
                let Some(start) = group.last.next().filter(|_| stream.last_id() > group.last)
                else {
                    return delivery;
                };
                write_head(out, key);
                let count = stream.count(start, StreamId::MAX).min(count);
                out.array(count);
                for entry in stream.range(start, StreamId::MAX).take(count) {
                    delivery.read = stream.read_after(delivery.read, entry.id);
                    delivery.new.push(entry.id);
                    write_entry(out, &entry);
                }
            }
            From::After(id) => {
                write_head(out, key);
                let consumer = reading.group.and_then(|(_, name)| group.consumer(name));
                let start = id.next().unwrap_or_default();
                let pending = consumer.into_iter().flat_map(|one| one.pending().from(&start));
                let ids: Vec<StreamId> = pending.take(count).map(|(id, ())| *id).collect();
                out.array(ids.len());
                for id in ids {
                    if write_one(out, stream, id) {
                        let before = group.pending().get(&id).map_or(0, |pending| pending.count);
                        delivery.again.push((id, before.wrapping_add(1)));
                    } else {
                        // Deleted since it was delivered.
                        out.array(2);
                        write_id(out, id);
                        out.null_array();
                    }
                }
            }
        }
        delivery.served = true;
        delivery
    }
}

/// Reads one stream for a consumer; says whether it is part of the reply.
fn deliver(
    call: &mut Call<'_>,
    reading: &Reading<'_>,
    (key, from): (&[u8], From),
    out: &mut Reply<'_>,
    logged: &mut Vec<OwnedArgs>,
) -> Result<bool, Error> {
    let Some((group_name, name)) = reading.group else { return Ok(false) };
    let Some(stream) = call.keys.stream(call.db, key)? else { return Ok(false) };
    let Some(group) = stream.group(group_name) else { return Ok(false) };
    let now = call.now.0;
    let is_new = match group.consumer(name) {
        Some(consumer) => {
            consumer.seen.set(now);
            false
        }
        None => true,
    };
    let delivery = Delivery::write(stream, group, (reading, key, from), out);
    let last = delivery.new.last().copied();
    if !is_new && last.is_none() && delivery.again.is_empty() {
        return Ok(delivery.served);
    }
    let claimed = Claimed { key, group: group_name, consumer: name, time: now };
    let pending = if reading.pending == Pend::Yes { &delivery.new[..] } else { &[] };
    if is_new && pending.is_empty() {
        log_new_consumer(logged, &claimed);
    }
    claimed.log(logged, pending.iter().map(|id| (*id, 1)));
    claimed.log(logged, delivery.again.iter().copied());
    if let Some(mut stream) = call.keys.stream_mut(call.db, key)? {
        stream.edit_group(group_name, |group| {
            group.add_consumer(name, now, None);
            let all = pending.iter().map(|id| (*id, 1)).chain(delivery.again.iter().copied());
            for (id, count) in all {
                group.assign(id, Pending { consumer: Name::from(name), time: now, count });
            }
            if !pending.is_empty() {
                group.mark_active(name, now);
            }
            if let Some(last) = last {
                group.last = last;
                group.read = delivery.read;
                log_group(logged, &claimed, group);
            }
        });
    }
    Ok(delivery.served)
}
