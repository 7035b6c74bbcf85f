//! Keys whatever they hold: deleting, renaming, copying, moving, and asking what is there.

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{database, database_index, is};
use crate::commands::row::{EVERY, FIRST_TWO, READ_FAST, WRITE_FAST, WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, Merge};
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    on(
        EVERY,
        Across::Split(Merge::Sum),
        row("del", -2, Flags::WRITE, del, docs("1.0.0", EACH, "Deletes keys.")),
    ),
    on(
        EVERY,
        Across::Split(Merge::Sum),
        row(
            "unlink",
            -2,
            WRITE_FAST,
            del,
            docs("4.0.0", EACH, "Deletes keys and frees their memory later."),
        ),
    ),
    on(
        EVERY,
        Across::Split(Merge::Sum),
        row("exists", -2, READ_FAST, exists, docs("1.0.0", EACH, "Counts the keys that exist.")),
    ),
    on(
        EVERY,
        Across::Split(Merge::Sum),
        row("touch", -2, READ_FAST, touch, docs("3.2.1", EACH, "Marks keys as accessed now.")),
    ),
    row("type", 2, READ_FAST, kind, docs("1.0.0", ONE, "Tells the type of what a key holds.")),
    on(
        FIRST_TWO,
        Across::Gather,
        row(
            "rename",
            3,
            Flags::WRITE,
            rename,
            docs("1.0.0", ONE, "Gives a key another name, replacing what is there."),
        ),
    ),
    on(
        FIRST_TWO,
        Across::Gather,
        row(
            "renamenx",
            3,
            WRITE_FAST,
            renamenx,
            docs("1.0.0", ONE, "Gives a key another name unless that is taken."),
        ),
    ),
    on(
        FIRST_TWO,
        Across::Gather,
        row(
            "copy",
            -3,
            WRITE_OOM,
            copy,
            docs("6.2.0", "O(N) where N is the size of the value.", "Copies a key."),
        ),
    ),
    row("move", 3, WRITE_FAST, move_, docs("1.0.0", ONE, "Moves a key to another database.")),
];

const ONE: &str = "O(1)";
const EACH: &str = "O(N) where N is the number of keys.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("generic", since, complexity, summary)
}

fn del(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut count = 0;
    for key in call.args.from(1).iter() {
        count += i64::from(call.keys.remove(call.db, key));
    }
    call.reply.integer(count);
    Ok(if count > 0 { Effect::AsSent } else { Effect::Nothing })
}

fn exists(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut count = 0;
    for key in call.args.from(1).iter() {
        count += i64::from(call.keys.exists(call.db, key));
    }
    call.reply.integer(count);
    Ok(Effect::Nothing)
}

fn touch(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut count = 0;
    for key in call.args.from(1).iter() {
        count += i64::from(call.keys.touch(call.db, key));
    }
    call.reply.integer(count);
    Ok(Effect::Nothing)
}

fn kind(call: &mut Call<'_>) -> Result<Effect, Error> {
    let kind = call.keys.kind(call.db, call.args.at(1));
    call.reply.simple(kind.map_or("none", |kind| kind.name()));
    Ok(Effect::Nothing)
}

fn rename(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (from, to) = (call.args.at(1), call.args.at(2));
    if !call.keys.exists(call.db, from) {
        return Err(Error::NoSuchKey);
    }
    call.reply.ok();
    if from == to {
        return Ok(Effect::Nothing);
    }
    call.keys.rename((call.db, from), (call.db, to));
    Ok(Effect::AsSent)
}

fn renamenx(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (from, to) = (call.args.at(1), call.args.at(2));
    if !call.keys.exists(call.db, from) {
        return Err(Error::NoSuchKey);
    }
    let free = !call.keys.exists(call.db, to);
    call.reply.integer(i64::from(free));
    if !free {
        return Ok(Effect::Nothing);
    }
    call.keys.rename((call.db, from), (call.db, to));
    Ok(Effect::Instead(OwnedArgs::of(&[b"RENAME", from, to])))
}

fn copy(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (from, to) = (call.args.at(1), call.args.at(2));
    let (mut db, mut replace) = (call.db, false);
    let mut words = call.args.from(3).iter();
    while let Some(word) = words.next() {
        if is(word, "REPLACE") {
            replace = true;
        } else if is(word, "DB") {
            let index = words.next().ok_or(Error::Syntax)?;
            db = database(database_index(index)?, call.keys.databases())?;
        } else {
            return Err(Error::Syntax);
        }
    }
    if db == call.db && from == to {
        return Err(Error::SAME_OBJECT);
    }
    let wanted = call.keys.exists(call.db, from) && (replace || !call.keys.exists(db, to));
    call.reply.integer(i64::from(wanted));
    if !wanted {
        return Ok(Effect::Nothing);
    }
    call.keys.copy((call.db, from), (db, to));
    Ok(Effect::AsSent)
}

fn move_(call: &mut Call<'_>) -> Result<Effect, Error> {
    let key = call.args.at(1);
    let db = database(database_index(call.args.at(2))?, call.keys.databases())?;
    if db == call.db {
        return Err(Error::SAME_OBJECT);
    }
    let wanted = call.keys.exists(call.db, key) && !call.keys.exists(db, key);
    call.reply.integer(i64::from(wanted));
    if !wanted {
        return Ok(Effect::Nothing);
    }
    call.keys.rename((call.db, key), (db, key));
    Ok(Effect::AsSent)
}
