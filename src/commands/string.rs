//! Strings as a whole: SET and GET with their relatives, and the commands over several keys.

use crate::commands::call::{Call, Effect};
use crate::commands::expire::{clear_deadline, live_until};
use crate::commands::parse::{When, is};
use crate::commands::row::{
    EVERY, EVERY_SECOND, READ_FAST, WRITE_FAST, WRITE_OOM, WRITE_OOM_FAST, WRITE_OOM_SHORT, on, row,
};
use crate::commands::spec::{Across, Command, Docs, Merge};
use crate::keyspace::keyspace::Expiry;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("get", 2, READ_FAST, get, docs("1.0.0", ONE, "Returns the string at a key.")),
    row("set", -3, WRITE_OOM_SHORT, set, docs("1.0.0", ONE, "Makes a key hold a string.")),
    row(
        "setnx",
        3,
        WRITE_OOM_FAST,
        setnx,
        docs("1.0.0", ONE, "Makes a key hold a string unless the key exists."),
    ),
    row(
        "setex",
        4,
        WRITE_OOM_SHORT,
        setex,
        docs("2.0.0", ONE, "Makes a key hold a string for some seconds."),
    ),
    row(
        "psetex",
        4,
        WRITE_OOM_SHORT,
        psetex,
        docs("2.6.0", ONE, "Makes a key hold a string for some milliseconds."),
    ),
    row(
        "getset",
        3,
        WRITE_OOM_FAST,
        getset,
        docs("1.0.0", ONE, "Makes a key hold a string and returns the one before."),
    ),
    row(
        "getdel",
        2,
        WRITE_FAST,
        getdel,
        docs("6.2.0", ONE, "Returns the string at a key and deletes the key."),
    ),
    row(
        "getex",
        -2,
        WRITE_FAST,
        getex,
        docs("6.2.0", ONE, "Returns the string at a key and changes the key's deadline."),
    ),
    on(
        EVERY,
        Across::Split(Merge::ByKey),
        row(
            "mget",
            -2,
            READ_FAST,
            mget,
            docs("1.0.0", EACH, "Returns the strings at several keys, all of one moment."),
        ),
    ),
    on(
        EVERY_SECOND,
        Across::Split(Merge::Same),
        row("mset", -3, WRITE_OOM, mset, docs("1.0.1", EACH, "Sets several keys at once.")),
    ),
    on(
        EVERY_SECOND,
        Across::Gather,
        row(
            "msetnx",
            -3,
            WRITE_OOM,
            msetnx,
            docs("1.0.1", EACH, "Sets several keys at once unless one of them exists."),
        ),
    ),
];

const ONE: &str = "O(1)";
const EACH: &str = "O(N) where N is the number of keys.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("string", since, complexity, summary)
}

/// What becomes of the deadline, as the options of SET and GETEX say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life<'a> {
    /// Nothing was said.
    Unsaid,
    /// KEEPTTL.
    Keep,
    /// PERSIST.
    Persist,
    /// EX, PX, EXAT, PXAT and the amount.
    Until(When, &'a [u8]),
}

/// Which keys SET may set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Only {
    Any,
    Missing,
    Present,
}

/// The options of SET and GETEX.
#[derive(Debug)]
struct Options<'a> {
    life: Life<'a>,
    only: Only,
    get: bool,
}

/// Whose options are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Set,
    GetEx,
}

impl<'a> Options<'a> {
    /// Reads all of `words`. An option may be repeated, but not contradicted.
    fn read(words: Args<'a>, family: Family) -> Result<Options<'a>, Error> {
        let mut options = Options { life: Life::Unsaid, only: Only::Any, get: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if family == Family::Set && is(word, "NX") && options.only != Only::Present {
                options.only = Only::Missing;
            } else if family == Family::Set && is(word, "XX") && options.only != Only::Missing {
                options.only = Only::Present;
            } else if family == Family::Set && is(word, "GET") {
                options.get = true;
            } else {
                let life = Life::read(word, family, &mut words).ok_or(Error::Syntax)?;
                if !options.life.agrees(life) {
                    return Err(Error::Syntax);
                }
                options.life = life;
            }
        }
        Ok(options)
    }
}

impl<'a> Life<'a> {
    fn read(
        word: &[u8],
        family: Family,
        rest: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Option<Life<'a>> {
        if family == Family::Set && is(word, "KEEPTTL") {
            return Some(Life::Keep);
        }
        if family == Family::GetEx && is(word, "PERSIST") {
            return Some(Life::Persist);
        }
        let when = When::of_word(word)?;
        rest.next().map(|amount| Life::Until(when, amount))
    }

    /// May `later` stand after this one?
    fn agrees(self, later: Life<'_>) -> bool {
        match (self, later) {
            (Life::Unsaid, _) | (Life::Keep, Life::Keep) | (Life::Persist, Life::Persist) => true,
            (Life::Until(a, _), Life::Until(b, _)) => a == b,
            _ => false,
        }
    }
}

fn get(call: &mut Call<'_>) -> Result<Effect, Error> {
    reply_string(call)?;
    Ok(Effect::Nothing)
}

/// Replies with the string at the first key.
fn reply_string(call: &mut Call<'_>) -> Result<(), Error> {
    match call.keys.string(call.db, call.args.at(1))? {
        Some(value) => {
            let len = value.len();
            call.reply.bulk_with(len, |out| value.copy_range(0..len, out));
        }
        None => call.reply.null(),
    }
    Ok(())
}

/// SET of a value without options, the bulk of all writes, is served before anything is parsed.
fn set(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, value) = (call.args.at(1), call.args.at(2));
    if call.args.len() == 3 {
        call.keys.set_string(call.db, key, value, Expiry::Clear);
        call.reply.ok();
        return Ok(Effect::AsSent);
    }
    let options = Options::read(call.args.from(3), Family::Set)?;
    let expiry = match options.life {
        Life::Until(when, amount) => Expiry::At(when.deadline(amount, call.now, "set")?),
        // The deadline of a key that has expired is not kept, and a replay must not keep it.
        Life::Keep if call.keys.exists(call.db, key) => Expiry::Keep,
        Life::Keep | Life::Unsaid | Life::Persist => Expiry::Clear,
    };
    if options.get {
        reply_string(call)?;
    }
    let wanted = match options.only {
        Only::Any => true,
        Only::Missing => !call.keys.exists(call.db, key),
        Only::Present => call.keys.exists(call.db, key),
    };
    match (options.get, wanted) {
        (true, _) => {}
        (false, true) => call.reply.ok(),
        (false, false) => call.reply.null(),
    }
    Ok(if wanted { store(call, key, value, expiry) } else { Effect::Nothing })
}

/// Sets the key; the effect is a SET without conditions and with an absolute deadline.
fn store(call: &mut Call<'_>, key: &[u8], value: &[u8], expiry: Expiry) -> Effect {
    if let Expiry::At(deadline) = expiry
        && deadline.expired(call.now)
    {
        // The key changes even if it was not there: who watches it is to know.
        let effect = delete(call, key);
        call.keys.set_string(call.db, key, b"", Expiry::Clear);
        call.keys.remove(call.db, key);
        return effect;
    }
    call.keys.set_string(call.db, key, value, expiry);
    Effect::Instead(set_args(key, value, expiry))
}

/// Deletes the key; the effect is a DEL, or nothing when there was none.
fn delete(call: &mut Call<'_>, key: &[u8]) -> Effect {
    if call.keys.remove(call.db, key) {
        Effect::Instead(OwnedArgs::of(&[b"DEL", key]))
    } else {
        Effect::Nothing
    }
}

/// The SET that has this result.
pub fn set_args(key: &[u8], value: &[u8], expiry: Expiry) -> OwnedArgs {
    let mut args = OwnedArgs::of(&[b"SET", key, value]);
    match expiry {
        Expiry::Clear => {}
        Expiry::Keep => args.push(b"KEEPTTL"),
        Expiry::At(deadline) => {
            args.push(b"PXAT");
            args.push(itoa::Buffer::new().format(deadline.0).as_bytes());
        }
    }
    args
}

fn setnx(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, value) = (call.args.at(1), call.args.at(2));
    let missing = !call.keys.exists(call.db, key);
    call.reply.integer(i64::from(missing));
    Ok(if missing { store(call, key, value, Expiry::Clear) } else { Effect::Nothing })
}

fn setex(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_for(call, When::of_word(b"EX"), "setex")
}

fn psetex(call: &mut Call<'_>) -> Result<Effect, Error> {
    set_for(call, When::of_word(b"PX"), "psetex")
}

/// SETEX and PSETEX.
fn set_for(call: &mut Call<'_>, when: Option<When>, name: &str) -> Result<Effect, Error> {
    let when = when.ok_or(Error::Syntax)?;
    let deadline = when.deadline(call.args.at(2), call.now, name)?;
    call.reply.ok();
    Ok(store(call, call.args.at(1), call.args.at(3), Expiry::At(deadline)))
}

fn getset(call: &mut Call<'_>) -> Result<Effect, Error> {
    reply_string(call)?;
    Ok(store(call, call.args.at(1), call.args.at(2), Expiry::Clear))
}

fn getdel(call: &mut Call<'_>) -> Result<Effect, Error> {
    reply_string(call)?;
    Ok(delete(call, call.args.at(1)))
}

fn getex(call: &mut Call<'_>) -> Result<Effect, Error> {
    let key = call.args.at(1);
    let options = Options::read(call.args.from(2), Family::GetEx)?;
    if call.keys.string(call.db, key)?.is_none() {
        call.reply.null();
        return Ok(Effect::Nothing);
    }
    let deadline = match options.life {
        Life::Until(when, amount) => Some(when.deadline(amount, call.now, "getex")?),
        _ => None,
    };
    reply_string(call)?;
    Ok(match (options.life, deadline) {
        (_, Some(deadline)) => live_until(call, key, deadline),
        (Life::Persist, None) => clear_deadline(call, key),
        _ => Effect::Nothing,
    })
}

fn mget(call: &mut Call<'_>) -> Result<Effect, Error> {
    let keys = call.args.from(1);
    call.reply.array(keys.len());
    for key in keys.iter() {
        match call.keys.string(call.db, key) {
            Ok(Some(value)) => {
                let len = value.len();
                call.reply.bulk_with(len, |out| value.copy_range(0..len, out));
            }
            Ok(None) | Err(_) => call.reply.null(),
        }
    }
    Ok(Effect::Nothing)
}

fn mset(call: &mut Call<'_>) -> Result<Effect, Error> {
    let pairs = pairs(call.args, "mset")?;
    for (key, value) in pairs {
        call.keys.set_string(call.db, key, value, Expiry::Clear);
    }
    call.reply.ok();
    Ok(Effect::AsSent)
}

fn msetnx(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut effect = OwnedArgs::of(&[b"MSET"]);
    for (key, value) in pairs(call.args, "msetnx")? {
        if call.keys.exists(call.db, key) {
            call.reply.integer(0);
            return Ok(Effect::Nothing);
        }
        effect.push(key);
        effect.push(value);
    }
    for (key, value) in pairs(call.args, "msetnx")? {
        call.keys.set_string(call.db, key, value, Expiry::Clear);
    }
    call.reply.integer(1);
    Ok(Effect::Instead(effect))
}

/// The keys and values of MSET and MSETNX; refuses a key without a value.
fn pairs<'a>(
    args: Args<'a>,
    name: &str,
) -> Result<impl Iterator<Item = (&'a [u8], &'a [u8])>, Error> {
    if args.len().is_multiple_of(2) {
        return Err(Error::WrongArity(name.to_owned()));
    }
    Ok((1..args.len()).step_by(2).map(move |at| (args.at(at), args.at(at + 1))))
}
