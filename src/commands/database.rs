//! Databases as a whole: counting, emptying, exchanging and listing their keys.

use crate::base::glob;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{database, database_index, is};
use crate::commands::row::{READ_FAST, WRITE_FAST, on, row};
use crate::commands::scan::every_key;
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec, Merge};
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    all(Merge::Sum, row("dbsize", 1, READ_FAST, dbsize, docs("1.0.0", "O(1)", "Counts the keys."))),
    all(
        Merge::Same,
        row(
            "flushdb",
            -1,
            Flags::WRITE,
            flushdb,
            docs("1.0.0", LATER, "Deletes all keys of the selected database."),
        ),
    ),
    all(
        Merge::Same,
        row(
            "flushall",
            -1,
            Flags::WRITE,
            flushall,
            docs("1.0.0", LATER, "Deletes all keys of all databases."),
        ),
    ),
    all(
        Merge::Same,
        row(
            "swapdb",
            3,
            WRITE_FAST,
            swapdb,
            docs("4.0.0", "O(1) apart from watched keys.", "Exchanges two databases."),
        ),
    ),
    all(
        Merge::AnyOne,
        row(
            "randomkey",
            1,
            Flags::READONLY,
            randomkey,
            docs("1.0.0", "O(1)", "Returns a key chosen at random."),
        ),
    ),
    all(
        Merge::Concat,
        row(
            "keys",
            2,
            Flags::READONLY,
            keys,
            docs(
                "1.0.0",
                "O(N) where N is the number of keys.",
                "Returns all keys whose names match a pattern.",
            ),
        ),
    ),
];

const LATER: &str = "O(1); the memory is freed in the background.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("generic", since, complexity, summary)
}

const fn all(merge: Merge, row: Command) -> Command {
    on(KeySpec::None, Across::All(merge), row)
}

fn dbsize(call: &mut Call<'_>) -> Result<Effect, Error> {
    call.reply.integer(call.keys.len(call.db) as i64);
    Ok(Effect::Nothing)
}

fn flushdb(call: &mut Call<'_>) -> Result<Effect, Error> {
    check_flush(call)?;
    call.keys.flush(call.db);
    call.reply.ok();
    Ok(Effect::AsSent)
}

fn flushall(call: &mut Call<'_>) -> Result<Effect, Error> {
    check_flush(call)?;
    call.keys.flush_all();
    call.reply.ok();
    Ok(Effect::AsSent)
}

/// SYNC and ASYNC mean the same here: the keys are gone at once, the memory follows in slices.
fn check_flush(call: &Call<'_>) -> Result<(), Error> {
    let word = call.args.at(1);
    match call.args.len() {
        1 => Ok(()),
        2 if is(word, "SYNC") || is(word, "ASYNC") => Ok(()),
        _ => Err(Error::Syntax),
    }
}

fn swapdb(call: &mut Call<'_>) -> Result<Effect, Error> {
    // Both are read before either is looked for.
    let read = |at, error| database_index(call.args.at(at)).map_err(|_| error);
    let (a, b) = (read(1, Error::FIRST_DB)?, read(2, Error::SECOND_DB)?);
    let count = call.keys.databases();
    let (a, b) = (database(a, count)?, database(b, count)?);
    call.reply.ok();
    if a == b {
        return Ok(Effect::Nothing);
    }
    call.keys.swap(a, b);
    Ok(Effect::AsSent)
}

fn randomkey(call: &mut Call<'_>) -> Result<Effect, Error> {
    let dice = call.prng.next();
    match call.keys.random(call.db, dice) {
        Some(key) => call.reply.bulk(&key),
        None => call.reply.null(),
    }
    Ok(Effect::Nothing)
}

fn keys(call: &mut Call<'_>) -> Result<Effect, Error> {
    let pattern = call.args.at(1);
    let (mut found, mut count) = (Vec::new(), 0);
    let mut names = Reply::new(&mut found, call.reply.proto());
    every_key(call.keys, call.db, |name, _| {
        if glob::matches(pattern, name) {
            names.bulk(name);
            count += 1;
        }
    });
    call.reply.array(count);
    call.reply.raw(&found);
    Ok(Effect::Nothing)
}
