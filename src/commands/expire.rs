//! Deadlines of keys: setting, clearing and asking.

use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{Unit, When, integer, is};
use crate::commands::row::{READ_FAST, WRITE_FAST, row};
use crate::commands::spec::{Command, Docs};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("expire", -3, WRITE_FAST, expire, docs("1.0.0", "Lets a key expire after some seconds.")),
    row(
        "pexpire",
        -3,
        WRITE_FAST,
        pexpire,
        docs("2.6.0", "Lets a key expire after some milliseconds."),
    ),
    row(
        "expireat",
        -3,
        WRITE_FAST,
        expireat,
        docs("1.2.0", "Lets a key expire at a Unix time in seconds."),
    ),
    row(
        "pexpireat",
        -3,
        WRITE_FAST,
        pexpireat,
        docs("2.6.0", "Lets a key expire at a Unix time in milliseconds."),
    ),
    row("ttl", 2, READ_FAST, ttl, docs("1.0.0", "Seconds until a key expires.")),
    row("pttl", 2, READ_FAST, pttl, docs("2.6.0", "Milliseconds until a key expires.")),
    row(
        "expiretime",
        2,
        READ_FAST,
        expiretime,
        docs("7.0.0", "The Unix time in seconds at which a key expires."),
    ),
    row(
        "pexpiretime",
        2,
        READ_FAST,
        pexpiretime,
        docs("7.0.0", "The Unix time in milliseconds at which a key expires."),
    ),
    row("persist", 2, WRITE_FAST, persist, docs("2.2.0", "Lets a key live for ever.")),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("generic", since, "O(1)", summary)
}

/// Under which conditions EXPIRE changes a deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Condition {
    nx: bool,
    xx: bool,
    gt: bool,
    lt: bool,
}

impl Condition {
    fn read(words: Args<'_>) -> Result<Condition, Error> {
        let mut condition = Condition::default();
        for word in words.iter() {
            let flag = match word {
                word if is(word, "NX") => &mut condition.nx,
                word if is(word, "XX") => &mut condition.xx,
                word if is(word, "GT") => &mut condition.gt,
                word if is(word, "LT") => &mut condition.lt,
                word => return Err(Error::unsupported_option(word)),
            };
            *flag = true;
        }
        let Condition { nx, xx, gt, lt } = condition;
        if nx && (xx || gt || lt) {
            return Err(Error::EXPIRE_NX);
        }
        if gt && lt {
            return Err(Error::EXPIRE_GT_LT);
        }
        Ok(condition)
    }

    /// May a key with the deadline `old` get the deadline `new`? No deadline is the latest one.
    fn allows(self, old: Option<Millis>, new: i64) -> bool {
        let old = old.map(|old| i64::try_from(old.0).unwrap_or(i64::MAX));
        !(self.nx && old.is_some()
            || self.xx && old.is_none()
            || self.gt && old.is_none_or(|old| new <= old)
            || self.lt && old.is_some_and(|old| new >= old))
    }
}

fn expire(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_deadline(call, When::In(Unit::Seconds), "expire")
}

fn pexpire(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_deadline(call, When::In(Unit::Millis), "pexpire")
}

fn expireat(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_deadline(call, When::At(Unit::Seconds), "expireat")
}

fn pexpireat(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_deadline(call, When::At(Unit::Millis), "pexpireat")
}

/// A deadline that has come already, negative ones included, deletes the key.
fn set_deadline(call: &mut Call<'_>, when: When, name: &str) -> Result<Effect, Error> {
    let key = call.args.at(1);
    let condition = Condition::read(call.args.from(3))?;
    let amount = integer(call.args.at(2))?;
    let new = when.moment(amount, call.now).ok_or_else(|| Error::invalid_expire(name))?;
    let allowed = call.keys.deadline(call.db, key).is_some_and(|old| condition.allows(old, new));
    call.reply.integer(i64::from(allowed));
    Ok(if allowed {
        live_until(call, key, Millis(u64::try_from(new).unwrap_or(0)))
    } else {
        Effect::Nothing
    })
}

/// Gives an existing key a deadline; one that has come already deletes the key.
pub fn live_until(call: &mut Call<'_>, key: &[u8], deadline: Millis) -> Effect {
    if deadline <= call.now {
        call.keys.remove(call.db, key);
        return Effect::Instead(OwnedArgs::of(&[b"DEL", key]));
    }
    call.keys.set_deadline(call.db, key, Some(deadline));
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(deadline.0).as_bytes();
    Effect::Instead(OwnedArgs::of(&[b"PEXPIREAT", key, digits]))
}

fn persist(call: &mut Call<'_>) -> Result<Effect, Error> {
    let effect = clear_deadline(call, call.args.at(1));
    call.reply.integer(i64::from(effect != Effect::Nothing));
    Ok(effect)
}

/// Lets a key live for ever; nothing changes when it does, or is not there.
pub fn clear_deadline(call: &mut Call<'_>, key: &[u8]) -> Effect {
    match call.keys.deadline(call.db, key) {
        Some(Some(_)) => {
            call.keys.set_deadline(call.db, key, None);
            Effect::Instead(OwnedArgs::of(&[b"PERSIST", key]))
        }
        Some(None) | None => Effect::Nothing,
    }
}

fn ttl(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, When::In(Unit::Seconds))
}

fn pttl(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, When::In(Unit::Millis))
}

fn expiretime(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, When::At(Unit::Seconds))
}

fn pexpiretime(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, When::At(Unit::Millis))
}

/// -2 without the key, -1 without a deadline.
fn tell(call: &mut Call<'_>, when: When) -> Result<Effect, Error> {
    let answer = match call.keys.deadline(call.db, call.args.at(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => {
            let (unit, base) = match when {
                When::In(unit) => (unit, call.now.0),
                When::At(unit) => (unit, 0),
            };
            let millis = i64::try_from(deadline.0.saturating_sub(base)).unwrap_or(i64::MAX);
            match unit {
                Unit::Seconds => millis.saturating_add(500) / 1000,
                Unit::Millis => millis,
            }
        }
    };
    call.reply.integer(answer);
    Ok(Effect::Nothing)
}
