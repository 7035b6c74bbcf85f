//! Sets: different members without order. What picks members at random is in set_random.rs, what
//! combines sets in set_algebra.rs.

use crate::commands::call::{Call, Effect};
use crate::commands::excerpt::{self, Excerpt};
use crate::commands::parse::cursor;
use crate::commands::row::{FIRST_TWO, READ_FAST, WRITE_FAST, WRITE_OOM_FAST, on, row};
use crate::commands::scan::{Options, Scanned, reply_page};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("sadd", -3, WRITE_OOM_FAST, sadd, docs("1.0.0", EACH, "Adds members to a set.")),
    row("srem", -3, WRITE_FAST, srem, docs("1.0.0", EACH, "Removes members from a set.")),
    on(
        FIRST_TWO,
        Across::Excerpts(|args| excerpt::each(Excerpt::Member(args.at(3).to_vec()))),
        row("smove", 4, WRITE_FAST, smove, docs("1.0.0", ONE, "Moves a member to another set.")),
    ),
    row("scard", 2, READ_FAST, scard, docs("1.0.0", ONE, "Counts the members of a set.")),
    row(
        "sismember",
        3,
        READ_FAST,
        sismember,
        docs("1.0.0", ONE, "Tells whether something is a member of a set."),
    ),
    row(
        "smismember",
        -3,
        READ_FAST,
        smismember,
        docs("6.2.0", EACH, "Tells of several whether they are members of a set."),
    ),
    row(
        "smembers",
        2,
        Flags::READONLY,
        smembers,
        docs("1.0.0", ALL, "Returns all members of a set."),
    ),
    row(
        "sscan",
        -3,
        Flags::READONLY,
        sscan,
        docs(
            "2.8.0",
            "O(1) a call, O(N) for all N members.",
            "Lists the members of a set, some at a time.",
        ),
    ),
];

const ONE: &str = "O(1)";
const EACH: &str = "O(N) where N is the number of members given.";
const ALL: &str = "O(N) where N is the number of members of the set.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("set", since, complexity, summary)
}

fn sadd(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut set = call.keys.set_or_new(call.db, call.args.at(1))?;
    let mut new = 0;
    for member in call.args.from(2).iter() {
        new += i64::from(set.add(member));
    }
    drop(set);
    call.reply.integer(new);
    Ok(if new > 0 { Effect::AsSent } else { Effect::Nothing })
}

fn srem(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut count = 0;
    if let Some(mut set) = call.keys.set_mut(call.db, call.args.at(1))? {
        for member in call.args.from(2).iter() {
            count += i64::from(set.remove(member));
        }
    }
    call.reply.integer(count);
    Ok(if count > 0 { Effect::AsSent } else { Effect::Nothing })
}

/// Without a source nothing is looked at, as in Redis: not even the type of the target.
fn smove(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (from, to, member) = (call.args.at(1), call.args.at(2), call.args.at(3));
    let source = call.keys.set_mut(call.db, from)?;
    let found = source.map(|source| source.set().contains(member));
    if found.is_some() {
        call.keys.set_mut(call.db, to)?;
    }
    let found = found.unwrap_or(false);
    call.reply.integer(i64::from(found));
    if !found || from == to {
        return Ok(Effect::Nothing);
    }
    if let Some(mut source) = call.keys.set_mut(call.db, from)? {
        source.remove(member);
    }
    call.keys.set_or_new(call.db, to)?.add(member);
    Ok(Effect::AsSent)
}

fn scard(call: &mut Call<'_>) -> Result<Effect, Error> {
    let len = call.keys.set(call.db, call.args.at(1))?.map_or(0, |set| set.len());
    call.reply.integer(len as i64);
    Ok(Effect::Nothing)
}

fn sismember(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, member) = (call.args.at(1), call.args.at(2));
    let found = call.keys.set(call.db, key)?.is_some_and(|set| set.contains(member));
    call.reply.integer(i64::from(found));
    Ok(Effect::Nothing)
}

fn smismember(call: &mut Call<'_>) -> Result<Effect, Error> {
    let members = call.args.from(2);
    let set = call.keys.set(call.db, call.args.at(1))?;
    call.reply.array(members.len());
    for member in members.iter() {
        let found = set.is_some_and(|set| set.contains(member));
        call.reply.integer(i64::from(found));
    }
    Ok(Effect::Nothing)
}

fn smembers(call: &mut Call<'_>) -> Result<Effect, Error> {
    let set = call.keys.set(call.db, call.args.at(1))?;
    call.reply.set(set.map_or(0, |set| set.len()));
    if let Some(set) = set {
        set.for_each(|member| call.reply.bulk(member));
    }
    Ok(Effect::Nothing)
}

/// Options are read only when there is a set, as in Redis.
fn sscan(call: &mut Call<'_>) -> Result<Effect, Error> {
    let cursor = cursor(call.args.at(2))?;
    let Some(set) = call.keys.set(call.db, call.args.at(1))? else {
        reply_page(&mut call.reply, 0, 0, &[]);
        return Ok(Effect::Nothing);
    };
    let options = Options::read(call.args.from(3), Scanned::Members)?;
    let (mut found, mut count) = (Vec::new(), 0);
    let mut page = Reply::new(&mut found, call.reply.proto());
    let next = set.scan(cursor, options.count, |member| {
        if options.matches(member) {
            page.bulk(member);
            count += 1;
        }
    });
    reply_page(&mut call.reply, next, count, &found);
    Ok(Effect::Nothing)
}
