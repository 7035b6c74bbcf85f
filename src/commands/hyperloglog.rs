//! HyperLogLogs: PFADD, PFCOUNT, PFMERGE, and what looks inside them: PFDEBUG, PFSELFTEST.
//!
//! How long a sparse one may become is a setting, and the log does not know what it was. So whoever
//! makes a sparse one dense because of its length logs that first, and a replay makes none dense by
//! itself: it ends in the same bytes whatever the setting is then.

use crate::base::prng::Prng;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::is;
use crate::commands::row::{EVERY, SECOND, WRITE_OOM, WRITE_OOM_FAST, on, row};
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::keyspace::keyspace::StringLimits;
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;
use crate::types::hyperloglog::{
    Corrupt, Encoding, HEADER, REGISTERS, Registers, SPARSE_MAX, Sketch, count_registers, encoding,
};
use crate::types::string::{Bytes, StrRef};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("pfadd", -2, WRITE_OOM_FAST, pfadd, docs("O(1) for each element.", "Adds elements.")),
    on(
        EVERY,
        Across::Gather,
        row(
            "pfcount",
            -2,
            // It keeps what it has counted.
            Flags::of(&[Flags::READONLY, Flags::WRITE]),
            pfcount,
            docs(
                "O(1), mostly; O(N) where N is the number of keys if there are several.",
                "Tells about how many different elements were added to any of several keys.",
            ),
        ),
    ),
    on(
        EVERY,
        Across::Gather,
        row(
            "pfmerge",
            -2,
            WRITE_OOM,
            pfmerge,
            docs(
                "O(N) where N is the number of keys, each 16,384 registers.",
                "Adds to one what was added to others.",
            ),
        ),
    ),
    on(
        SECOND,
        Across::One,
        row(
            "pfdebug",
            3,
            Flags::of(&[WRITE_OOM, Flags::ADMIN]),
            pfdebug,
            docs("O(N) where N is the number of registers.", "Shows how one is stored."),
        ),
    ),
    Command::session(
        "pfselftest",
        1,
        &[Flags::ADMIN],
        pfselftest,
        docs("O(1), some hundredths of a second.", "Adds, counts, and checks the answers."),
    ),
];

const fn docs(complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("hyperloglog", "2.8.9", complexity, summary)
}

impl From<Corrupt> for Error {
    fn from(_: Corrupt) -> Error {
        Error::HLL_CORRUPT
    }
}

/// The bytes of a string, which has to be a HyperLogLog.
fn bytes<'a>(text: &'a StrRef<'_>) -> Result<Bytes<'a>, Error> {
    let mut head = Vec::with_capacity(HEADER);
    text.copy_range(0..HEADER.min(text.len()), &mut head);
    match encoding(&head, text.len()) {
        None => Err(Error::HLL_TYPE),
        // No long string is put together only to find that it is none.
        Some(_) if text.len() > SPARSE_MAX => Err(Error::HLL_CORRUPT),
        Some(_) => Ok(text.flat()),
    }
}

/// The one in a string.
fn sketch(bytes: &[u8]) -> Result<Sketch<'_>, Error> {
    Sketch::of(bytes).ok_or(Error::HLL_TYPE)
}

fn pfadd(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, limit) = (call.args.at(1), call.keys.string_limits().sparse);
    let old = call.keys.string(call.db, key)?;
    let (new, before, after) = {
        let held = old.as_ref().map(bytes).transpose()?;
        let mut sketch = match &held {
            Some(held) => sketch(held)?,
            None => Sketch::empty(),
        };
        let before = held.as_ref().map(|_| sketch.encoding());
        let mut rises = held.is_none();
        for element in call.args.from(2).iter() {
            rises |= sketch.add(element, limit)?;
        }
        if rises {
            sketch.forget_count();
        }
        let after = sketch.encoding();
        (sketch.changed(), before, after)
    };
    drop(old);
    call.reply.integer(i64::from(new.is_some()));
    let Some(new) = new else { return Ok(Effect::Nothing) };
    store(call, &new, before);
    Ok(logged(call, before, after))
}

/// Writes the bytes at the first key; what has not grown is overwritten where it is.
fn store(call: &mut Call<'_>, new: &[u8], before: Option<Encoding>) {
    let (db, key) = (call.db, call.args.at(1));
    match before {
        Some(Encoding::Dense) => {
            let written = call.keys.set_range(db, key, 0, new);
            debug_assert!(written.is_ok(), "the type was looked at before");
        }
        _ => call.keys.rewrite_string(db, key, new),
    }
}

/// The command, and before it what makes the first key's dense, if it has become so.
fn logged(call: &Call<'_>, before: Option<Encoding>, after: Encoding) -> Effect {
    if before == Some(Encoding::Dense) || after == Encoding::Sparse {
        return Effect::AsSent;
    }
    let key = call.args.at(1);
    let mut commands = Vec::new();
    if before.is_none() {
        commands.push(OwnedArgs::of(&[b"PFADD", key]));
    }
    commands.push(OwnedArgs::of(&[b"PFDEBUG", b"TODENSE", key]));
    commands.push(call.args.to_owned());
    Effect::of(commands)
}

fn pfcount(call: &mut Call<'_>) -> Result<Effect, Error> {
    if call.args.len() > 2 {
        let registers = united(call)?.0;
        call.reply.integer(count_registers(&registers).cast_signed());
        return Ok(Effect::Nothing);
    }
    let key = call.args.at(1);
    let Some(text) = call.keys.string(call.db, key)? else {
        call.reply.integer(0);
        return Ok(Effect::Nothing);
    };
    let (cached, count) = {
        let held = bytes(&text)?;
        let sketch = sketch(&held)?;
        match sketch.cached() {
            Some(count) => (true, count),
            None => (false, sketch.count()?),
        }
    };
    drop(text);
    call.reply.integer(count.cast_signed());
    if cached {
        return Ok(Effect::Nothing);
    }
    let count = count.to_le_bytes();
    call.keys.set_range(call.db, key, HEADER - count.len(), &count)?;
    let at = itoa::Buffer::new().format(HEADER - count.len()).to_owned();
    Ok(Effect::Instead(OwnedArgs::of(&[b"SETRANGE", key, at.as_bytes(), &count])))
}

/// The registers of all keys together, and whether one is dense.
fn united(call: &mut Call<'_>) -> Result<(Box<Registers>, bool), Error> {
    let mut registers = Box::new([0; REGISTERS]);
    let mut dense = false;
    for key in call.args.from(1).iter() {
        let Some(text) = call.keys.string(call.db, key)? else { continue };
        let held = bytes(&text)?;
        let sketch = sketch(&held)?;
        dense |= sketch.encoding() == Encoding::Dense;
        sketch.merge_into(&mut registers)?;
    }
    Ok((registers, dense))
}

/// What has expired among the sources is removed first: a replay has to see the same ones.
fn pfmerge(call: &mut Call<'_>) -> Result<Effect, Error> {
    let limit = call.keys.string_limits().sparse;
    call.args.from(1).iter().for_each(|key| call.keys.drop_expired(call.db, key));
    let (registers, dense) = united(call)?;
    let old = call.keys.string(call.db, call.args.at(1))?;
    let (new, before, after) = {
        let held = old.as_ref().map(bytes).transpose()?;
        let mut sketch = match &held {
            Some(held) => sketch(held)?,
            None => Sketch::empty(),
        };
        let before = held.as_ref().map(|_| sketch.encoding());
        if dense {
            sketch.make_dense()?;
        }
        for (index, value) in registers.iter().enumerate().filter(|(_, value)| **value > 0) {
            sketch.raise(index, *value, limit)?;
        }
        sketch.forget_count();
        (sketch.bytes().to_vec(), before, sketch.encoding())
    };
    drop(old);
    store(call, &new, before);
    call.reply.ok();
    // One that is dense because a source is becomes so in a replay as well.
    Ok(if dense { Effect::AsSent } else { logged(call, before, after) })
}

fn pfdebug(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (word, key) = (call.args.at(1), call.args.at(2));
    let text = call.keys.string(call.db, key)?.ok_or(Error::PFDEBUG_KEY)?;
    let held = bytes(&text)?;
    let mut sketch = sketch(&held)?;
    if is(word, "ENCODING") {
        call.reply.simple(match sketch.encoding() {
            Encoding::Dense => "dense",
            Encoding::Sparse => "sparse",
        });
        return Ok(Effect::Nothing);
    }
    if is(word, "DECODE") {
        let runs = decoded(&sketch)?;
        call.reply.bulk(runs.as_bytes());
        return Ok(Effect::Nothing);
    }
    if !is(word, "GETREG") && !is(word, "TODENSE") {
        return Err(Error::pfdebug_subcommand(word));
    }
    sketch.make_dense()?;
    let mut registers = [0; REGISTERS];
    if is(word, "GETREG") {
        sketch.merge_into(&mut registers)?;
    }
    let new = sketch.changed();
    drop(held);
    drop(text);
    if is(word, "GETREG") {
        call.reply.array(REGISTERS);
        registers.iter().for_each(|value| call.reply.integer(i64::from(*value)));
    } else {
        call.reply.integer(i64::from(new.is_some()));
    }
    let Some(new) = new else { return Ok(Effect::Nothing) };
    call.keys.rewrite_string(call.db, key, &new);
    Ok(Effect::Instead(OwnedArgs::of(&[b"PFDEBUG", b"TODENSE", key])))
}

/// The runs as Redis shows them: `Z:16374 v:2,1 z:9`.
fn decoded(sketch: &Sketch<'_>) -> Result<String, Error> {
    if sketch.encoding() != Encoding::Sparse {
        return Err(Error::PFDEBUG_SPARSE);
    }
    let mut words = Vec::new();
    for run in sketch.runs() {
        let run = run?;
        words.push(match (run.value, run.bytes) {
            (0, 1) => format!("z:{}", run.len),
            (0, _) => format!("Z:{}", run.len),
            (value, _) => format!("v:{value},{}", run.len),
        });
    }
    Ok(words.join(" "))
}

/// How many elements PFSELFTEST adds: a tenth of what Redis does, which stands still for a second.
const TESTED: u64 = 1_000_000;

fn pfselftest(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let mut prng = Prng::new(shell.now.0);
    let limit = StringLimits::default().sparse;
    registers_hold(&mut prng)
        .and_then(|()| counts_are_close(&mut prng, limit))
        .map_err(|what| Error::Text(format!("TESTFAILED {what}").into()))?;
    shell.reply.ok();
    Ok(Ask::Nothing)
}

/// Does every dense register keep the highest value it was given, and none of its neighbours'?
fn registers_hold(prng: &mut Prng) -> Result<(), String> {
    let (mut sketch, mut model) = (Sketch::empty(), [0; REGISTERS]);
    let corrupt = |Corrupt| "corrupt registers".to_owned();
    sketch.make_dense().map_err(corrupt)?;
    for _ in 0..4 * REGISTERS {
        let (index, value) = (prng.below(REGISTERS as u64) as usize, 1 + prng.below(63) as u8);
        sketch.raise(index, value, 0).map_err(corrupt)?;
        if let Some(register) = model.get_mut(index) {
            *register = value.max(*register);
        }
    }
    let mut registers = [0; REGISTERS];
    sketch.merge_into(&mut registers).map_err(corrupt)?;
    match registers.iter().zip(&model).position(|(got, expected)| got != expected) {
        Some(index) => Err(format!("Register {index} does not hold its value")),
        None => Ok(()),
    }
}

/// Are counts near what was added, and the same however the registers are stored?
fn counts_are_close(prng: &mut Prng, limit: usize) -> Result<(), String> {
    let corrupt = |Corrupt| "corrupt registers".to_owned();
    let (mut dense, mut sparse) = (Sketch::empty(), Sketch::empty());
    dense.make_dense().map_err(corrupt)?;
    let seed = prng.next();
    let mut checkpoint = 1;
    for nth in 1..=TESTED {
        let element = (nth ^ seed).to_le_bytes();
        dense.add(&element, limit).map_err(corrupt)?;
        sparse.add(&element, limit).map_err(corrupt)?;
        if nth < checkpoint {
            continue;
        }
        checkpoint *= 10;
        let count = dense.count().map_err(corrupt)?;
        if nth < limit as u64 / 2 && sparse.encoding() != Encoding::Sparse {
            return Err("sparse encoding not used".to_owned());
        }
        if sparse.count() != Ok(count) {
            return Err("dense/sparse disagree".to_owned());
        }
        // Six times the standard error, and one for the few.
        let most = (6.0 * 1.04 / (REGISTERS as f64).sqrt() * nth as f64).ceil() as u64;
        if count.abs_diff(nth) > most.max(1) {
            return Err(format!("Too big error. card:{nth} abserr:{}", count.abs_diff(nth)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Db;
    use crate::base::time::Millis;
    use crate::commands::kit::Kit;
    use crate::keyspace::keyspace::{Keyspace, Settings};
    use crate::resp::reply::{Proto, Reply};

    #[test]
    fn the_self_test_passes() {
        Kit::new().check("pfselftest -> +OK\npfselftest x -> -ERR wrong number of arguments for 'pfselftest' command");
    }

    #[test]
    fn what_became_dense_is_logged_as_such_first() {
        let mut out = Vec::new();
        let mut keys = Keyspace::new(Settings::default());
        let mut prng = Prng::new(1);
        let args = OwnedArgs::of(&[b"PFADD", b"a", b"x"]);
        let call = Call {
            keys: &mut keys,
            db: Db(0),
            args: args.args(),
            reply: Reply::new(&mut out, Proto::Two),
            now: Millis(1),
            prng: &mut prng,
        };
        let (dense, sparse) = (Encoding::Dense, Encoding::Sparse);
        let todense = OwnedArgs::of(&[b"PFDEBUG", b"TODENSE", b"a"]);
        let made = OwnedArgs::of(&[b"PFADD", b"a"]);
        for (before, after, expected) in [
            (None, sparse, Effect::AsSent),
            (Some(sparse), sparse, Effect::AsSent),
            (Some(dense), dense, Effect::AsSent),
            (Some(sparse), dense, Effect::Several(vec![todense.clone(), args.clone()])),
            (None, dense, Effect::Several(vec![made, todense.clone(), args.clone()])),
        ] {
            assert_eq!(logged(&call, before, after), expected, "{before:?} {after:?}");
        }
    }
}
