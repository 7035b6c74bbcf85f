//! Strings as numbers: INCR, DECR and their relatives.

use crate::base::extended::Extended;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{float, float_sum, integer};
use crate::commands::row::{WRITE_OOM_FAST, row};
use crate::commands::spec::{Command, Docs};
use crate::commands::string::set_args;
use crate::keyspace::keyspace::Expiry;
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("incr", 2, WRITE_OOM_FAST, incr, docs("1.0.0", "Adds one to the integer at a key.")),
    row("decr", 2, WRITE_OOM_FAST, decr, docs("1.0.0", "Takes one from the integer at a key.")),
    row("incrby", 3, WRITE_OOM_FAST, incrby, docs("1.0.0", "Adds to the integer at a key.")),
    row("decrby", 3, WRITE_OOM_FAST, decrby, docs("1.0.0", "Takes from the integer at a key.")),
    row(
        "incrbyfloat",
        3,
        WRITE_OOM_FAST,
        incrbyfloat,
        docs("2.6.0", "Adds to the number at a key."),
    ),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("string", since, "O(1)", summary)
}

/// A number in text is never longer; what is longer is refused without being put together.
const NUMBER_MAX: usize = 5 * 1024;

fn incr(call: &mut Call<'_>) -> Result<Effect, Error> {
    add(call, 1)
}

fn decr(call: &mut Call<'_>) -> Result<Effect, Error> {
    add(call, -1)
}

fn incrby(call: &mut Call<'_>) -> Result<Effect, Error> {
    let amount = integer(call.args.at(2))?;
    add(call, amount)
}

fn decrby(call: &mut Call<'_>) -> Result<Effect, Error> {
    let amount = integer(call.args.at(2))?;
    let amount = amount.checked_neg().ok_or(Error::DECREMENT_OVERFLOW)?;
    add(call, amount)
}

/// Adds to the integer at the first key; a missing key counts as 0. What made it missing may be
/// its deadline, of which a replay knows nothing: then the effect is the value itself.
fn add(call: &mut Call<'_>, amount: i64) -> Result<Effect, Error> {
    let key = call.args.at(1);
    let old = match call.keys.string(call.db, key)? {
        None => None,
        Some(value) if value.len() > NUMBER_MAX => return Err(Error::NotInteger),
        Some(value) => Some(integer(&value.flat())?),
    };
    let new = old.unwrap_or(0).checked_add(amount).ok_or(Error::OVERFLOW)?;
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(new).as_bytes();
    call.reply.integer(new);
    if old.is_some() {
        call.keys.set_string(call.db, key, digits, Expiry::Keep);
        return Ok(Effect::AsSent);
    }
    call.keys.set_string(call.db, key, digits, Expiry::Clear);
    Ok(Effect::Instead(set_args(key, digits, Expiry::Clear)))
}

fn incrbyfloat(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, amount) = (call.args.at(1), call.args.at(2));
    let (old, expiry) = match call.keys.string(call.db, key)? {
        None => (Extended::ZERO, Expiry::Clear),
        Some(value) if value.len() > NUMBER_MAX => return Err(Error::NotFloat),
        Some(value) => (float(&value.flat())?, Expiry::Keep),
    };
    let sum = float_sum(&old, &float(amount)?)?;
    call.keys.set_string(call.db, key, &sum, expiry);
    call.reply.bulk(&sum);
    Ok(Effect::Instead(set_args(key, &sum, expiry)))
}
