//! HGETEX, HSETEX and HGETDEL: fields and their deadlines in one command.

use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::hash_expire::{deadline, fields, live_until, on_fields, removal};
use crate::commands::parse::{When, choice, is};
use crate::commands::row::{WRITE_FAST, WRITE_OOM_FAST, row};
use crate::commands::spec::{Command, Docs};
use crate::keyspace::keyspace::{Field, HashMut, Was};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "hgetex",
        -5,
        WRITE_FAST,
        hgetex,
        docs("Returns the values of fields, and sets or clears their deadlines."),
    ),
    row("hsetex", -6, WRITE_OOM_FAST, hsetex, docs("Sets fields of a hash and their deadlines.")),
    row("hgetdel", -5, WRITE_FAST, hgetdel, docs("Returns the values of fields and deletes them.")),
];

const fn docs(summary: &'static str) -> Docs {
    Docs::of("hash", "8.0.0", "O(N) where N is the number of fields given.", summary)
}

/// How long fields are to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime {
    /// Nothing was said.
    Unsaid,
    /// For ever (PERSIST), or as before (KEEPTTL).
    Word,
    /// Until then.
    Until(Millis),
}

/// Which fields there have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// None of them (FNX).
    None,
    /// All of them (FXX).
    All,
}

/// What stands before FIELDS.
#[derive(Debug)]
struct Options {
    lifetime: Lifetime,
    condition: Option<Condition>,
    /// Where the word FIELDS stands.
    word: usize,
}

impl Options {
    /// Reads them; `word` is the one that is no moment.
    fn read(call: &Call<'_>, word: &str, name: &str) -> Result<Options, Error> {
        let args: Args<'_> = call.args;
        let (mut lifetime, mut condition) = (Lifetime::Unsaid, None);
        let mut at = 2;
        while let Some(arg) = args.get(at).filter(|arg| !is(arg, "FIELDS")) {
            let said = if is(arg, word) {
                Some(Lifetime::Word)
            } else if let Some(when) = When::of_word(arg) {
                at += 1;
                let amount = args.get(at).ok_or(Error::Syntax)?;
                Some(Lifetime::Until(deadline(amount, when, call.now, name)?))
            } else {
                None
            };
            let choices = [("FNX", Condition::None), ("FXX", Condition::All)];
            match (said, choice(arg, &choices).filter(|_| name == "hsetex")) {
                (Some(_), _) if lifetime != Lifetime::Unsaid => {
                    return Err(Error::several_lifetimes(word));
                }
                (Some(said), _) => lifetime = said,
                (None, Some(_)) if condition.is_some() => return Err(Error::FIELD_CONDITIONS),
                (None, Some(said)) => condition = Some(said),
                (None, None) => return Err(Error::unknown_argument(arg)),
            }
            at += 1;
        }
        Ok(Options { lifetime, condition, word: at })
    }
}

/// Replies with the value of each field that is there, or null, and then changes it; gives those
/// that were changed.
fn visit<'a>(
    call: &mut Call<'_>,
    fields: Args<'a>,
    change: impl Fn(&mut HashMut<'_>, &[u8]) -> Was,
) -> Result<Vec<&'a [u8]>, Error> {
    let mut changed = Vec::new();
    let mut hash = call.keys.hash_mut(call.db, call.args.at(1))?;
    call.reply.array(fields.len());
    for field in fields.iter() {
        let Some(hash) = hash.as_mut().filter(|hash| hash.find(field) != Field::Missing) else {
            call.reply.null();
            continue;
        };
        if let Some(value) = hash.get(field) {
            call.reply.bulk(&value);
        }
        if change(hash, field) != Was::Absent {
            changed.push(field);
        }
    }
    Ok(changed)
}

fn hgetex(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, now) = (call.args.at(1), call.now);
    call.keys.hash(call.db, key)?;
    let options = Options::read(call, "PERSIST", "hgetex")?;
    let fields = fields(call.args, options.word, 1, Error::FIELDS_NOT_POSITIVE)?;
    let changed = visit(call, fields, |hash, field| match options.lifetime {
        Lifetime::Unsaid => Was::Absent,
        Lifetime::Word if hash.deadline(field).is_none() => Was::Absent,
        Lifetime::Until(at) if at <= now => hash.remove(field),
        Lifetime::Until(at) => {
            hash.set_deadline(field, Some(at));
            Was::Alive
        }
        Lifetime::Word => {
            hash.set_deadline(field, None);
            Was::Alive
        }
    })?;
    if changed.is_empty() {
        return Ok(Effect::Nothing);
    }
    Ok(Effect::Instead(match options.lifetime {
        Lifetime::Until(at) if at <= now => {
            call.keys.note_expired_fields(changed.len());
            removal(key, &changed)
        }
        Lifetime::Until(at) => live_until(key, at, &changed),
        Lifetime::Unsaid | Lifetime::Word => on_fields(&[b"HPERSIST", key], &changed),
    }))
}

fn hgetdel(call: &mut Call<'_>) -> Result<Effect, Error> {
    let key = call.args.at(1);
    call.keys.hash(call.db, key)?;
    let fields = fields(call.args, 2, 1, Error::FIELDS_NOT_POSITIVE)?;
    let changed = visit(call, fields, |hash, field| hash.remove(field))?;
    let effect = removal(key, &changed);
    Ok(if changed.is_empty() { Effect::Nothing } else { Effect::Instead(effect) })
}

/// 1 when all fields are set, 0 when the condition does not hold.
fn hsetex(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, now) = (call.args.at(1), call.now);
    call.keys.hash(call.db, key)?;
    let options = Options::read(call, "KEEPTTL", "hsetex")?;
    let pairs = fields(call.args, options.word, 2, Error::FIELDS_NOT_POSITIVE)?;
    let mut names: Vec<&[u8]> = pairs.iter().step_by(2).collect();
    let hash = call.keys.hash(call.db, key)?;
    let there = |field: &[u8]| hash.is_some_and(|hash| hash.find(field) != Field::Missing);
    let holds = match options.condition {
        None => true,
        Some(Condition::None) => !names.iter().any(|name| there(name)),
        Some(Condition::All) => names.iter().all(|name| there(name)),
    };
    call.reply.integer(i64::from(holds));
    if !holds {
        return Ok(Effect::Nothing);
    }
    if let Lifetime::Until(at) = options.lifetime
        && at <= now
    {
        let Some(mut hash) = call.keys.hash_mut(call.db, key)? else { return Ok(Effect::Nothing) };
        names.retain(|name| hash.remove(name) != Was::Absent);
        drop(hash);
        let effect = removal(key, &names);
        return Ok(if names.is_empty() { Effect::Nothing } else { Effect::Instead(effect) });
    }
    let mut set = OwnedArgs::of(&[b"HSET", key]);
    pairs.iter().for_each(|word| set.push(word));
    let mut effects = vec![set];
    let mut hash = call.keys.hash_or_new(call.db, key)?;
    for at in (0..pairs.len()).step_by(2) {
        let (name, value) = (pairs.at(at), pairs.at(at + 1));
        if options.lifetime == Lifetime::Word {
            let kept = hash.deadline(name);
            hash.set_keeping(name, value);
            effects.extend(kept.map(|kept| live_until(key, kept, &[name])));
        } else {
            hash.set(name, value);
        }
    }
    if let Lifetime::Until(at) = options.lifetime {
        names.iter().for_each(|name| hash.set_deadline(name, Some(at)));
        effects.push(live_until(key, at, &names));
    }
    Ok(Effect::of(effects))
}
