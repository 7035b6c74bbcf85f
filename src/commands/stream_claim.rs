//! XCLAIM and XAUTOCLAIM, and the form in which deliveries are logged.
//!
//! A delivery is logged as Redis logs it: `XCLAIM key group consumer 0 id ... TIME t RETRYCOUNT n
//! FORCE JUSTID`, one command for all entries with one count, and `XGROUP SETID` for what the group
//! has read. A log is believed: there FORCE makes an entry pending even if it was deleted since
//! (LIMITATIONS: redis-server leaves such a one out when it reads our log).

use std::collections::BTreeMap;

use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer, integer_in, is};
use crate::commands::row::{WRITE_FAST, row};
use crate::commands::spec::{Command, Docs};
use crate::commands::stream_parse::{range_start, strict_id, write_id, write_one};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::stream::Stream;
use crate::types::stream::group::{Group, Name, Pending};
use crate::types::stream::id::StreamId;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "xautoclaim",
        -6,
        WRITE_FAST,
        xautoclaim,
        docs("6.2.0", "Gives a consumer what has been pending for long, some at a time."),
    ),
    row(
        "xclaim",
        -6,
        WRITE_FAST,
        xclaim,
        docs("5.0.0", "Gives a consumer what is pending for others."),
    ),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    const EACH: &str = "O(log N) for each entry, with N entries pending in the group.";
    Docs::of("stream", since, EACH, summary)
}

/// Entries that XAUTOCLAIM looks at for each that it may return, as in Redis.
const ATTEMPTS: u64 = 10;

/// Whose deliveries are logged, and their time.
#[derive(Clone, Copy, Debug)]
pub struct Claimed<'a> {
    /// The stream.
    pub key: &'a [u8],
    /// The group.
    pub group: &'a [u8],
    /// The consumer.
    pub consumer: &'a [u8],
    /// Milliseconds.
    pub time: u64,
}

impl Claimed<'_> {
    /// Logs that these entries are pending for the consumer, with how often they were delivered.
    pub fn log(&self, logged: &mut Vec<OwnedArgs>, all: impl Iterator<Item = (StreamId, u64)>) {
        let mut by_count: BTreeMap<u64, Vec<StreamId>> = BTreeMap::new();
        all.for_each(|(id, count)| by_count.entry(count).or_default().push(id));
        for (count, ids) in by_count {
            let mut args = OwnedArgs::of(&[b"XCLAIM", self.key, self.group, self.consumer, b"0"]);
            ids.iter().for_each(|id| args.push(&id.text()));
            args.push(b"TIME");
            args.push(self.time.to_string().as_bytes());
            args.push(b"RETRYCOUNT");
            args.push(count.to_string().as_bytes());
            args.push(b"FORCE");
            args.push(b"JUSTID");
            logged.push(args);
        }
    }
}

/// Logs that a consumer was made.
pub fn log_new_consumer(logged: &mut Vec<OwnedArgs>, one: &Claimed<'_>) {
    logged.push(OwnedArgs::of(&[b"XGROUP", b"CREATECONSUMER", one.key, one.group, one.consumer]));
}

/// Logs what a group has read.
pub fn log_group(logged: &mut Vec<OwnedArgs>, one: &Claimed<'_>, group: &Group) {
    let read = group.read.map_or("-1".to_owned(), |read| read.to_string());
    let last = group.last.text();
    let args: [&[u8]; 7] =
        [b"XGROUP", b"SETID", one.key, one.group, &last, b"ENTRIESREAD", read.as_bytes()];
    logged.push(OwnedArgs::of(&args));
}

/// The options of XCLAIM.
#[derive(Default)]
struct Options {
    /// When the entries were delivered, if that is said.
    time: Option<i64>,
    count: Option<u64>,
    force: bool,
    just_id: bool,
    last: StreamId,
}

impl Options {
    fn read(args: Args<'_>, now: Millis) -> Result<Options, Error> {
        let (mut options, mut words) = (Options::default(), args.iter().peekable());
        while let Some(word) = words.next() {
            if is(word, "FORCE") {
                options.force = true;
            } else if is(word, "JUSTID") {
                options.just_id = true;
            } else if words.peek().is_none() {
                return Err(Error::xclaim_option(word));
            } else if is(word, "IDLE") {
                let idle = integer(words.next().unwrap_or_default());
                let idle = idle.map_err(|_| Error::XCLAIM_IDLE)?;
                options.time = Some((now.0 as i64).wrapping_sub(idle));
            } else if is(word, "TIME") {
                let time = integer(words.next().unwrap_or_default());
                options.time = Some(time.map_err(|_| Error::XCLAIM_TIME)?);
            } else if is(word, "RETRYCOUNT") {
                let count = integer(words.next().unwrap_or_default());
                let count = count.map_err(|_| Error::XCLAIM_RETRY)?;
                options.count = u64::try_from(count).ok();
            } else if is(word, "LASTID") {
                options.last = strict_id(words.next().unwrap_or_default())?;
            } else {
                return Err(Error::xclaim_option(word));
            }
        }
        Ok(options)
    }

    /// The time that the deliveries get. One that cannot be becomes now, so that clients may reckon
    /// with clocks that differ a little; a log is believed.
    fn delivered(&self, now: Millis) -> u64 {
        match self.time.and_then(|time| u64::try_from(time).ok()) {
            Some(time) if time <= now.0 || now == Millis::REPLAY => time,
            _ => now.0,
        }
    }
}

/// What a claim does, before it is done.
#[derive(Default)]
struct Outcome {
    /// Entries that are the consumer's now, with how often they were delivered.
    claimed: BTreeMap<StreamId, u64>,
    /// Entries that were pending but are not in the stream any more.
    gone: Vec<StreamId>,
}

/// How claims are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Ids,
    Entries,
}

impl Told {
    fn write(self, reply: &mut Reply<'_>, stream: &Stream, id: StreamId) {
        match self {
            Told::Ids => write_id(reply, id),
            Told::Entries => {
                write_one(reply, stream, id);
            }
        }
    }

    /// How often an entry has been delivered after this claim.
    fn count_after(self, before: u64) -> u64 {
        if self == Told::Ids { before } else { before.wrapping_add(1) }
    }
}

fn xclaim(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (args, now) = (call.args, call.now);
    let (key, group_name, name) = (args.at(1), args.at(2), args.at(3));
    let no_group = || Error::no_group(key, group_name, "");
    let stream = call.keys.stream(call.db, key)?.ok_or_else(no_group)?;
    let group = stream.group(group_name).ok_or_else(no_group)?;
    let min_idle = integer(args.at(4)).map_err(|_| Error::XCLAIM_MIN_IDLE)?.max(0) as u64;
    let ids: Vec<StreamId> = args.from(5).iter().map_while(|arg| strict_id(arg).ok()).collect();
    let options = Options::read(args.from(5 + ids.len()), now)?;
    let (time, told) =
        (options.delivered(now), if options.just_id { Told::Ids } else { Told::Entries });
    let mut outcome = Outcome::default();
    let (mut body, mut count) = (Vec::new(), 0);
    let mut out = Reply::new(&mut body, call.reply.proto());
    for id in ids {
        let before = match outcome.claimed.get(&id) {
            Some(count) => Some((*count, time)),
            None if outcome.gone.contains(&id) => None,
            None => group.pending().get(&id).map(|pending| (pending.count, pending.time)),
        };
        let there = stream.contains(id) || now == Millis::REPLAY && options.force;
        let delivered = match before {
            Some(_) if !there => {
                outcome.gone.push(id);
                continue;
            }
            Some((_, last)) if min_idle > 0 && now.0.saturating_sub(last) < min_idle => continue,
            Some((count, _)) => count,
            // What FORCE makes has been delivered once, and is delivered again right away.
            None if options.force && there => 1,
            None => continue,
        };
        let delivered = options.count.unwrap_or_else(|| told.count_after(delivered));
        outcome.claimed.insert(id, delivered);
        told.write(&mut out, stream, id);
        count += 1;
    }
    call.reply.array(count);
    call.reply.raw(&body);
    let one = Claimed { key, group: group_name, consumer: name, time };
    let logged = carry_out(call, &one, &outcome, options.last)?;
    Ok(Effect::of(logged))
}

/// Makes a claim true; what has to be logged.
fn carry_out(
    call: &mut Call<'_>,
    one: &Claimed<'_>,
    outcome: &Outcome,
    last: StreamId,
) -> Result<Vec<OwnedArgs>, Error> {
    let mut logged = Vec::new();
    let seen = if call.now == Millis::REPLAY { one.time } else { call.now.0 };
    let Some(stream) = call.keys.stream(call.db, one.key)? else { return Ok(logged) };
    let Some(group) = stream.group(one.group) else { return Ok(logged) };
    let (raised, consumer) = (last > group.last, group.consumer(one.consumer));
    if let Some(consumer) = consumer {
        consumer.seen.set(seen);
    }
    let is_new = consumer.is_none();
    if !raised && !is_new && outcome.claimed.is_empty() && outcome.gone.is_empty() {
        return Ok(logged);
    }
    if is_new && outcome.claimed.is_empty() {
        log_new_consumer(&mut logged, one);
    }
    one.log(&mut logged, outcome.claimed.iter().map(|(id, count)| (*id, *count)));
    if !outcome.gone.is_empty() {
        let mut args = OwnedArgs::of(&[b"XACK", one.key, one.group]);
        outcome.gone.iter().for_each(|id| args.push(&id.text()));
        logged.push(args);
    }
    if let Some(mut stream) = call.keys.stream_mut(call.db, one.key)? {
        stream.edit_group(one.group, |group| {
            group.add_consumer(one.consumer, seen, None);
            for id in &outcome.gone {
                group.acknowledge(*id);
            }
            for (id, count) in &outcome.claimed {
                let consumer = Name::from(one.consumer);
                group.assign(*id, Pending { consumer, time: one.time, count: *count });
            }
            if !outcome.claimed.is_empty() {
                group.mark_active(one.consumer, seen);
            }
            if raised {
                group.last = last;
                log_group(&mut logged, one, group);
            }
        });
    }
    Ok(logged)
}

fn xautoclaim(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (args, now) = (call.args, call.now.0);
    let (key, group_name, name) = (args.at(1), args.at(2), args.at(3));
    let min_idle = integer(args.at(4)).map_err(|_| Error::XAUTOCLAIM_MIN_IDLE)?.max(0) as u64;
    let start = range_start(args.at(5))?;
    let (mut left, told) = auto_options(args.from(6))?;
    let no_group = || Error::no_group(key, group_name, "");
    let stream = call.keys.stream(call.db, key)?.ok_or_else(no_group)?;
    let group = stream.group(group_name).ok_or_else(no_group)?;
    let mut outcome = Outcome::default();
    let (mut body, mut attempts) = (Vec::new(), left * ATTEMPTS);
    let mut out = Reply::new(&mut body, call.reply.proto());
    let mut pending = group.pending().from(&start);
    while attempts > 0 && left > 0 {
        let Some((id, before)) = pending.next() else { break };
        attempts -= 1;
        if !stream.contains(*id) {
            outcome.gone.push(*id);
            left -= 1;
        } else if min_idle == 0 || now.saturating_sub(before.time) >= min_idle {
            outcome.claimed.insert(*id, told.count_after(before.count));
            told.write(&mut out, stream, *id);
            left -= 1;
        }
    }
    let next = pending.next().map_or(StreamId::MIN, |(id, _)| *id);
    drop(pending);
    call.reply.array(3);
    write_id(&mut call.reply, next);
    call.reply.array(outcome.claimed.len());
    call.reply.raw(&body);
    call.reply.array(outcome.gone.len());
    outcome.gone.iter().for_each(|id| write_id(&mut call.reply, *id));
    let one = Claimed { key, group: group_name, consumer: name, time: now };
    let logged = carry_out(call, &one, &outcome, StreamId::MIN)?;
    Ok(Effect::of(logged))
}

/// COUNT and JUSTID of XAUTOCLAIM.
fn auto_options(args: Args<'_>) -> Result<(u64, Told), Error> {
    let (mut count, mut told, mut words) = (100, Told::Entries, args.iter().peekable());
    while let Some(word) = words.next() {
        if is(word, "COUNT") && words.peek().is_some() {
            let number = integer_in(words.next().unwrap_or_default(), 1..=i64::MAX / 16);
            count = number.map_err(|_| Error::XAUTOCLAIM_COUNT)? as u64;
        } else if is(word, "JUSTID") {
            told = Told::Ids;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok((count, told))
}
