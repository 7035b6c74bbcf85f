//! Hashes: fields and their values.

use crate::base::extended::Extended;
use crate::commands::call::{Call, Effect};
use crate::commands::hash_expire::live_until;
use crate::commands::parse::{cursor, float, float_sum, integer};
use crate::commands::row::{READ_FAST, WRITE_FAST, WRITE_OOM_FAST, row};
use crate::commands::scan::{Options, Scanned, reply_page};
use crate::commands::spec::{Command, Docs, Flags};
use crate::keyspace::keyspace::Was;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("hset", -4, WRITE_OOM_FAST, hset, docs("2.0.0", EACH, "Sets fields of a hash.")),
    row("hmset", -4, WRITE_OOM_FAST, hmset, docs("2.0.0", EACH, "The old name of HSET.")),
    row(
        "hsetnx",
        4,
        WRITE_OOM_FAST,
        hsetnx,
        docs("2.0.0", ONE, "Sets a field of a hash unless it exists."),
    ),
    row("hget", 3, READ_FAST, hget, docs("2.0.0", ONE, "Returns the value of a field.")),
    row("hmget", -3, READ_FAST, hmget, docs("2.0.0", EACH, "Returns the values of fields.")),
    row("hdel", -3, WRITE_FAST, hdel, docs("2.0.0", EACH, "Deletes fields of a hash.")),
    row("hexists", 3, READ_FAST, hexists, docs("2.0.0", ONE, "Tells whether a field exists.")),
    row("hlen", 2, READ_FAST, hlen, docs("2.0.0", ONE, "Counts the fields of a hash.")),
    row("hstrlen", 3, READ_FAST, hstrlen, docs("3.2.0", ONE, "Length of a field's value.")),
    row(
        "hgetall",
        2,
        Flags::READONLY,
        hgetall,
        docs("2.0.0", ALL, "Returns all fields and values of a hash."),
    ),
    row("hkeys", 2, Flags::READONLY, hkeys, docs("2.0.0", ALL, "Returns all fields of a hash.")),
    row("hvals", 2, Flags::READONLY, hvals, docs("2.0.0", ALL, "Returns all values of a hash.")),
    row(
        "hincrby",
        4,
        WRITE_OOM_FAST,
        hincrby,
        docs("2.0.0", ONE, "Adds to the integer in a field."),
    ),
    row(
        "hincrbyfloat",
        4,
        WRITE_OOM_FAST,
        hincrbyfloat,
        docs("2.6.0", ONE, "Adds to the number in a field."),
    ),
    row(
        "hscan",
        -3,
        Flags::READONLY,
        hscan,
        docs(
            "2.8.0",
            "O(1) a call, O(N) for all N fields.",
            "Lists the fields of a hash, some at a time.",
        ),
    ),
];

const ONE: &str = "O(1)";
const EACH: &str = "O(N) where N is the number of fields given.";
const ALL: &str = "O(N) where N is the number of fields in the hash.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("hash", since, complexity, summary)
}

fn hset(call: &mut Call<'_>) -> Result<Effect, Error> {
    let new = set_fields(call, "hset")?;
    call.reply.integer(new);
    Ok(Effect::AsSent)
}

fn hmset(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_fields(call, "hmset")?;
    call.reply.ok();
    Ok(Effect::AsSent)
}

/// Sets all fields and values that follow the key; says how many fields are new.
fn set_fields(call: &mut Call<'_>, name: &str) -> Result<i64, Error> {
    let args: Args<'_> = call.args;
    if !args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(name.to_owned()));
    }
    let mut hash = call.keys.hash_or_new(call.db, args.at(1))?;
    let mut new = 0;
    for at in (2..args.len()).step_by(2) {
        new += i64::from(hash.set(args.at(at), args.at(at + 1)));
    }
    Ok(new)
}

fn hsetnx(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, field, value) = (call.args.at(1), call.args.at(2), call.args.at(3));
    let missing = call.keys.hash(call.db, key)?.is_none_or(|hash| hash.get(field).is_none());
    call.reply.integer(i64::from(missing));
    if !missing {
        return Ok(Effect::Nothing);
    }
    let mut hash = call.keys.hash_or_new(call.db, key)?;
    let dead = hash.is_dead(field);
    hash.set(field, value);
    // In a replay nothing has died: there the field would be.
    Ok(if dead { set_to(key, field, value) } else { Effect::AsSent })
}

fn hget(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, field) = (call.args.at(1), call.args.at(2));
    match call.keys.hash(call.db, key)?.and_then(|hash| hash.get(field)) {
        Some(value) => call.reply.bulk(&value),
        None => call.reply.null(),
    }
    Ok(Effect::Nothing)
}

fn hmget(call: &mut Call<'_>) -> Result<Effect, Error> {
    let fields = call.args.from(2);
    let hash = call.keys.hash(call.db, call.args.at(1))?;
    call.reply.array(fields.len());
    for field in fields.iter() {
        match hash.and_then(|hash| hash.get(field)) {
            Some(value) => call.reply.bulk(&value),
            None => call.reply.null(),
        }
    }
    Ok(Effect::Nothing)
}

fn hdel(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (mut count, mut removed) = (0, false);
    if let Some(mut hash) = call.keys.hash_mut(call.db, call.args.at(1))? {
        for field in call.args.from(2).iter() {
            // What has died goes too, and is not counted.
            let was = hash.remove(field);
            removed |= was != Was::Absent;
            count += i64::from(was == Was::Alive);
        }
    }
    call.reply.integer(count);
    Ok(if removed { Effect::AsSent } else { Effect::Nothing })
}

fn hexists(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, field) = (call.args.at(1), call.args.at(2));
    let found = call.keys.hash(call.db, key)?.is_some_and(|hash| hash.get(field).is_some());
    call.reply.integer(i64::from(found));
    Ok(Effect::Nothing)
}

fn hlen(call: &mut Call<'_>) -> Result<Effect, Error> {
    let len = call.keys.hash(call.db, call.args.at(1))?.map_or(0, |hash| hash.len());
    call.reply.integer(len as i64);
    Ok(Effect::Nothing)
}

fn hstrlen(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, field) = (call.args.at(1), call.args.at(2));
    let value = call.keys.hash(call.db, key)?.and_then(|hash| hash.get(field));
    call.reply.integer(value.map_or(0, |value| value.len()) as i64);
    Ok(Effect::Nothing)
}

fn hgetall(call: &mut Call<'_>) -> Result<Effect, Error> {
    let hash = call.keys.hash(call.db, call.args.at(1))?;
    call.reply.map(hash.map_or(0, |hash| hash.count()));
    if let Some(hash) = hash {
        hash.for_each(|field, value| {
            call.reply.bulk(field);
            call.reply.bulk(value);
        });
    }
    Ok(Effect::Nothing)
}

fn hkeys(call: &mut Call<'_>) -> Result<Effect, Error> {
    list(call, |field, _| field)
}

fn hvals(call: &mut Call<'_>) -> Result<Effect, Error> {
    list(call, |_, value| value)
}

/// Replies with one part of every field-and-value pair.
fn list(
    call: &mut Call<'_>,
    part: for<'p> fn(&'p [u8], &'p [u8]) -> &'p [u8],
) -> Result<Effect, Error> {
    let hash = call.keys.hash(call.db, call.args.at(1))?;
    call.reply.array(hash.map_or(0, |hash| hash.count()));
    if let Some(hash) = hash {
        hash.for_each(|field, value| call.reply.bulk(part(field, value)));
    }
    Ok(Effect::Nothing)
}

fn hincrby(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, field) = (call.args.at(1), call.args.at(2));
    let amount = integer(call.args.at(3))?;
    let old = match call.keys.hash(call.db, key)?.and_then(|hash| hash.get(field)) {
        None => 0,
        Some(value) => integer(&value).map_err(|_| Error::HASH_NOT_INTEGER)?,
    };
    let new = old.checked_add(amount).ok_or(Error::OVERFLOW)?;
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(new).as_bytes();
    let mut hash = call.keys.hash_or_new(call.db, key)?;
    let dead = hash.is_dead(field);
    hash.set_keeping(field, digits);
    call.reply.integer(new);
    Ok(if dead { set_to(key, field, digits) } else { Effect::AsSent })
}

fn hincrbyfloat(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, field, amount) = (call.args.at(1), call.args.at(2), call.args.at(3));
    let amount = float(amount)?;
    if !amount.is_finite() {
        return Err(Error::err("value is NaN or Infinity"));
    }
    let old = match call.keys.hash(call.db, key)?.and_then(|hash| hash.get(field)) {
        None => Extended::ZERO,
        Some(value) => float(&value).map_err(|_| Error::HASH_NOT_FLOAT)?,
    };
    let sum = float_sum(&old, &amount)?;
    let mut hash = call.keys.hash_or_new(call.db, key)?;
    let deadline = hash.deadline(field);
    hash.set_keeping(field, &sum);
    call.reply.bulk(&sum);
    let mut effects = vec![OwnedArgs::of(&[b"HSET", key, field, &sum])];
    effects.extend(deadline.map(|at| live_until(key, at, &[field])));
    Ok(Effect::of(effects))
}

/// What is logged where a field that had died is made anew.
fn set_to(key: &[u8], field: &[u8], value: &[u8]) -> Effect {
    Effect::Instead(OwnedArgs::of(&[b"HSET", key, field, value]))
}

/// Options are read only when there is a hash, as in Redis.
fn hscan(call: &mut Call<'_>) -> Result<Effect, Error> {
    let cursor = cursor(call.args.at(2))?;
    let Some(hash) = call.keys.hash(call.db, call.args.at(1))? else {
        reply_page(&mut call.reply, 0, 0, &[]);
        return Ok(Effect::Nothing);
    };
    let options = Options::read(call.args.from(3), Scanned::Hash)?;
    let (mut found, mut count) = (Vec::new(), 0);
    let mut page = Reply::new(&mut found, call.reply.proto());
    let next = hash.scan(cursor, options.count, |field, value| {
        if options.matches(field) {
            page.bulk(field);
            count += 1;
            if !options.no_values {
                page.bulk(value);
                count += 1;
            }
        }
    });
    reply_page(&mut call.reply, next, count, &found);
    Ok(Effect::Nothing)
}
