//! Deadlines of fields: setting, clearing and asking.

use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{Unit, When, choice, integer, is};
use crate::commands::row::{READ_FAST, WRITE_FAST, WRITE_OOM_FAST, row};
use crate::commands::spec::{Command, Docs};
use crate::keyspace::keyspace::{Field, HashMut};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::types::timed::DEADLINE_MAX;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "hexpire",
        -6,
        WRITE_OOM_FAST,
        hexpire,
        docs("Lets fields of a hash expire after some seconds."),
    ),
    row(
        "hpexpire",
        -6,
        WRITE_OOM_FAST,
        hpexpire,
        docs("Lets fields of a hash expire after some milliseconds."),
    ),
    row(
        "hexpireat",
        -6,
        WRITE_OOM_FAST,
        hexpireat,
        docs("Lets fields of a hash expire at a Unix time in seconds."),
    ),
    row(
        "hpexpireat",
        -6,
        WRITE_OOM_FAST,
        hpexpireat,
        docs("Lets fields of a hash expire at a Unix time in milliseconds."),
    ),
    row("httl", -5, READ_FAST, httl, docs("Seconds until fields of a hash expire.")),
    row("hpttl", -5, READ_FAST, hpttl, docs("Milliseconds until fields of a hash expire.")),
    row(
        "hexpiretime",
        -5,
        READ_FAST,
        hexpiretime,
        docs("The Unix time in seconds at which fields of a hash expire."),
    ),
    row(
        "hpexpiretime",
        -5,
        READ_FAST,
        hpexpiretime,
        docs("The Unix time in milliseconds at which fields of a hash expire."),
    ),
    row("hpersist", -5, WRITE_FAST, hpersist, docs("Lets fields of a hash live as long as it.")),
];

const fn docs(summary: &'static str) -> Docs {
    Docs::of("hash", "7.4.0", "O(N) where N is the number of fields given.", summary)
}

/// There is no such field.
const NO_FIELD: i64 = -2;
/// The field has no deadline.
const NO_DEADLINE: i64 = -1;

/// Under which condition a deadline is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Always,
    IfNone,
    IfAny,
    IfLater,
    IfEarlier,
}

impl Condition {
    /// May a field get this deadline? No deadline is the latest one.
    fn allows(self, old: Field, new: Millis) -> bool {
        match (self, old) {
            (Condition::Always, _) => true,
            (Condition::IfNone, old) => old == Field::Lasting,
            (Condition::IfAny | Condition::IfLater, Field::Lasting) => false,
            (Condition::IfEarlier, Field::Lasting) | (Condition::IfAny, _) => true,
            (Condition::IfLater, Field::Until(old)) => old < new,
            (Condition::IfEarlier, Field::Until(old)) => old > new,
            (_, Field::Missing) => false,
        }
    }
}

/// The fields that follow the word FIELDS and their number, with which the arguments end; each of
/// them is `width` arguments. `bad_count` is the error for what is no number above zero.
pub fn fields<'a>(
    args: Args<'a>,
    word: usize,
    width: usize,
    bad_count: Error,
) -> Result<Args<'a>, Error> {
    if !args.get(word).is_some_and(|arg| is(arg, "FIELDS")) {
        return Err(Error::FIELDS_MISSING);
    }
    let count = args.get(word + 1).and_then(|count| integer(count).ok());
    let count = count.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
    let fields = args.from(word + 2);
    match count.ok_or(bad_count)?.checked_mul(width) {
        Some(count) if count == fields.len() => Ok(fields),
        _ => Err(Error::FIELDS_COUNT),
    }
}

/// The deadline that `arg` means to `command`.
pub fn deadline(arg: &[u8], when: When, now: Millis, command: &str) -> Result<Millis, Error> {
    let amount = integer(arg)?;
    if amount < 0 {
        return Err(Error::FIELD_DEADLINE);
    }
    let moment = when.moment(amount, now).and_then(|moment| u64::try_from(moment).ok());
    let moment = moment.filter(|moment| *moment <= DEADLINE_MAX);
    moment.map(Millis).ok_or_else(|| Error::invalid_expire(command))
}

/// `name key ... FIELDS count fields`.
pub fn on_fields(head: &[&[u8]], fields: &[&[u8]]) -> OwnedArgs {
    let mut args = OwnedArgs::of(head);
    args.push(b"FIELDS");
    args.push(itoa::Buffer::new().format(fields.len()).as_bytes());
    fields.iter().for_each(|field| args.push(field));
    args
}

/// The command that gives these fields this deadline.
pub fn live_until(key: &[u8], deadline: Millis, fields: &[&[u8]]) -> OwnedArgs {
    let mut digits = itoa::Buffer::new();
    on_fields(&[b"HPEXPIREAT", key, digits.format(deadline.0).as_bytes()], fields)
}

/// The command that removes these fields.
pub fn removal(key: &[u8], fields: &[&[u8]]) -> OwnedArgs {
    let mut args = OwnedArgs::of(&[b"HDEL", key]);
    fields.iter().for_each(|field| args.push(field));
    args
}

fn hexpire(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_deadlines(call, When::In(Unit::Seconds), "hexpire")
}

fn hpexpire(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_deadlines(call, When::In(Unit::Millis), "hpexpire")
}

fn hexpireat(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_deadlines(call, When::At(Unit::Seconds), "hexpireat")
}

fn hpexpireat(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_deadlines(call, When::At(Unit::Millis), "hpexpireat")
}

/// Does `work` to each field and replies with its answers, -2 without the hash; the fields that it
/// has changed, which are those with an answer above zero.
fn change<'a>(
    call: &mut Call<'_>,
    fields: Args<'a>,
    mut work: impl FnMut(&mut HashMut<'_>, &'a [u8]) -> i64,
) -> Result<Vec<&'a [u8]>, Error> {
    let mut changed = Vec::new();
    let mut hash = call.keys.hash_mut(call.db, call.args.at(1))?;
    call.reply.array(fields.len());
    for field in fields.iter() {
        let answer = hash.as_mut().map_or(NO_FIELD, |hash| work(hash, field));
        if answer > 0 {
            changed.push(field);
        }
        call.reply.integer(answer);
    }
    Ok(changed)
}

/// -2 without the field, 0 where the condition does not hold, 1 where the deadline is set, 2 where
/// it has come already and the field is removed.
fn set_deadlines(call: &mut Call<'_>, when: When, name: &str) -> Result<Effect, Error> {
    let key = call.args.at(1);
    call.keys.hash(call.db, key)?;
    let deadline = deadline(call.args.at(2), when, call.now, name)?;
    let conditions = [
        ("NX", Condition::IfNone),
        ("XX", Condition::IfAny),
        ("GT", Condition::IfLater),
        ("LT", Condition::IfEarlier),
    ];
    let condition = choice(call.args.at(3), &conditions);
    let word = if condition.is_some() { 4 } else { 3 };
    let condition = condition.unwrap_or(Condition::Always);
    let fields = fields(call.args, word, 1, Error::FIELDS_ZERO)?;
    let now = call.now;
    let changed = change(call, fields, |hash, field| match hash.find(field) {
        Field::Missing => NO_FIELD,
        old if !condition.allows(old, deadline) => 0,
        _ if deadline <= now => {
            hash.remove(field);
            2
        }
        _ => {
            hash.set_deadline(field, Some(deadline));
            1
        }
    })?;
    if changed.is_empty() {
        return Ok(Effect::Nothing);
    }
    if deadline <= call.now {
        call.keys.note_expired_fields(changed.len());
        return Ok(Effect::Instead(removal(key, &changed)));
    }
    Ok(Effect::Instead(live_until(key, deadline, &changed)))
}

/// -2 without the field, -1 without a deadline, 1 where it is taken away.
fn hpersist(call: &mut Call<'_>) -> Result<Effect, Error> {
    let key = call.args.at(1);
    call.keys.hash(call.db, key)?;
    let fields = fields(call.args, 2, 1, Error::FIELDS_NOT_POSITIVE)?;
    let changed = change(call, fields, |hash, field| match hash.find(field) {
        Field::Missing => NO_FIELD,
        Field::Lasting => NO_DEADLINE,
        Field::Until(_) => {
            hash.set_deadline(field, None);
            1
        }
    })?;
    match changed.is_empty() {
        true => Ok(Effect::Nothing),
        false => Ok(Effect::Instead(on_fields(&[b"HPERSIST", key], &changed))),
    }
}

fn httl(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, When::In(Unit::Seconds))
}

fn hpttl(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, When::In(Unit::Millis))
}

fn hexpiretime(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, When::At(Unit::Seconds))
}

fn hpexpiretime(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, When::At(Unit::Millis))
}

/// -2 without the field, -1 without a deadline; a part of a second counts as one.
fn tell(call: &mut Call<'_>, when: When) -> Result<Effect, Error> {
    let hash = call.keys.hash(call.db, call.args.at(1))?;
    let fields = fields(call.args, 2, 1, Error::FIELDS_NOT_POSITIVE)?;
    let (unit, base) = match when {
        When::In(unit) => (unit, call.now.0),
        When::At(unit) => (unit, 0),
    };
    call.reply.array(fields.len());
    for field in fields.iter() {
        call.reply.integer(match hash.map_or(Field::Missing, |hash| hash.find(field)) {
            Field::Missing => NO_FIELD,
            Field::Lasting => NO_DEADLINE,
            Field::Until(at) => {
                let millis = i64::try_from(at.0.saturating_sub(base)).unwrap_or(i64::MAX);
                match unit {
                    Unit::Seconds => millis.saturating_add(999) / 1000,
                    Unit::Millis => millis,
                }
            }
        });
    }
    Ok(Effect::Nothing)
}
