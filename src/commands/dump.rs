//! DUMP and RESTORE: one value in Redis' format.

use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::dump_stream::put_stream;
use crate::commands::parse::{integer, is};
use crate::commands::remake::{Made, Remake, distinct};
use crate::commands::row::{WRITE_OOM, row};
use crate::commands::spec::{Command, Docs, Flags, Run};
use crate::commands::table;
use crate::keyspace::keyspace::{Fields, Keyspace};
use crate::persist::rdb::payload::{self, BadPayload};
use crate::persist::rdb::value_writer::ValueWriter;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};
use crate::types::value::Kind;

use crate::base::ids::Db;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "dump",
        2,
        Flags::READONLY,
        dump,
        docs(
            "O(1) to access the key and additional O(N*M) to serialize it, where N is the number \
             of Redis objects composing the value and M their average size.",
            "Returns a serialized representation of the value stored at a key.",
        ),
    ),
    row(
        "restore",
        -4,
        WRITE_OOM,
        restore,
        docs(
            "O(1) to create the new key and additional O(N*M) to reconstruct the value, where N \
             is the number of Redis objects composing the value and M their average size.",
            "Creates a key from the serialized representation of a value.",
        ),
    ),
];

const fn docs(complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("generic", "2.6.0", complexity, summary)
}

/// Appends the type and the value of what the key holds, in Redis' format; says whether it is
/// there.
pub fn put_value(out: &mut Vec<u8>, keys: &mut Keyspace, db: Db, key: &[u8]) -> bool {
    match keys.kind(db, key) {
        None => return false,
        Some(Kind::String) => {
            if let Ok(Some(value)) = keys.string(db, key) {
                ValueWriter::string(out, &value.flat());
            }
        }
        Some(Kind::List) => {
            if let Ok(Some(list)) = keys.list(db, key) {
                let mut writer = ValueWriter::list(out, list.len());
                list.iter_from(0).for_each(|element| writer.text(element));
            }
        }
        Some(Kind::Zset) => {
            if let Ok(Some(zset)) = keys.zset(db, key) {
                let mut writer = ValueWriter::zset(out, zset.len());
                for (score, member) in zset.upwards(0) {
                    writer.text(member);
                    writer.score(score);
                }
            }
        }
        Some(Kind::Set) => {
            if let Ok(Some(set)) = keys.set(db, key) {
                let mut writer = ValueWriter::set(out, set.len());
                set.for_each(|member| writer.text(member));
            }
        }
        Some(Kind::Stream) => {
            if let Ok(Some(stream)) = keys.stream(db, key) {
                put_stream(out, stream);
            }
        }
        Some(Kind::Hash) => {
            if let Ok(Some(hash)) = keys.hash(db, key) {
                put_hash(out, hash);
            }
        }
    }
    true
}

/// The type and the value of a hash; another type if a field has a deadline.
fn put_hash(out: &mut Vec<u8>, hash: Fields<'_>) {
    let (mut count, mut soonest) = (0, None::<u64>);
    hash.for_each_until(|_, _, at| {
        count += 1;
        soonest = [soonest, at].into_iter().flatten().min();
    });
    let mut writer = match soonest {
        None => ValueWriter::hash(out, count),
        Some(moment) => ValueWriter::timed_hash(out, moment, count),
    };
    hash.for_each_until(|field, value, at| {
        if let Some(moment) = soonest {
            writer.deadline(moment, at);
        }
        writer.text(field);
        writer.text(value);
    });
}

fn dump(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut bytes = Vec::new();
    if put_value(&mut bytes, call.keys, call.db, call.args.at(1)) {
        payload::seal(&mut bytes);
        call.reply.bulk(&bytes);
    } else {
        call.reply.null();
    }
    Ok(Effect::Nothing)
}

/// The words behind the payload.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    replace: bool,
    absolute: bool,
    idle: Option<u64>,
    frequency: Option<u8>,
}

impl Options {
    fn read(words: Args<'_>) -> Result<Options, Error> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut amount = || words.next().ok_or(Error::Syntax).and_then(integer);
            if is(word, "REPLACE") {
                options.replace = true;
            } else if is(word, "ABSTTL") {
                options.absolute = true;
            } else if is(word, "IDLETIME") && options.frequency.is_none() {
                let idle = u64::try_from(amount()?);
                options.idle = Some(idle.map_err(|_| Error::RESTORE_IDLETIME)?);
            } else if is(word, "FREQ") && options.idle.is_none() {
                let frequency = u8::try_from(amount()?);
                options.frequency = Some(frequency.map_err(|_| Error::RESTORE_FREQ)?);
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }
}

fn restore(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, payload) = (call.args.at(1), call.args.at(3));
    let options = Options::read(call.args.from(4))?;
    let there = call.keys.exists(call.db, key);
    if there && !options.replace {
        return Err(Error::BUSYKEY);
    }
    let ttl = u64::try_from(integer(call.args.at(2))?).map_err(|_| Error::RESTORE_TTL)?;
    let commands = commands(key, payload)?;
    let deadline = match ttl {
        0 => None,
        ttl if options.absolute => Some(Millis(ttl)),
        ttl => Some(Millis(ttl.saturating_add(call.now.0))),
    };
    // What the parts of a stream are to each other is known to its commands alone: tried aside.
    let is_stream = commands.first().is_some_and(|made| made.args.args().at(0) == b"XADD");
    if is_stream && !make(&mut call.keys.scratch(), call.db, call.prng, &commands) {
        return Err(Error::DUMP_FORMAT);
    }
    let removed = call.keys.remove(call.db, key);
    if deadline.is_some_and(|deadline| deadline <= call.now) {
        call.reply.ok();
        let effect = Effect::Instead(OwnedArgs::of(&[b"DEL", key]));
        return Ok(if removed { effect } else { Effect::Nothing });
    }
    if !make(call.keys, call.db, call.prng, &commands) {
        call.keys.remove(call.db, key);
        call.reply.error(&Error::DUMP_FORMAT);
        return Ok(Effect::Instead(OwnedArgs::of(&[b"DEL", key])));
    }
    if deadline.is_some() {
        call.keys.set_deadline(call.db, key, deadline);
    }
    call.keys.set_access(call.db, key, options.idle, options.frequency);
    call.reply.ok();
    let deadline = deadline.unwrap_or(Millis(0)).0.to_string();
    let words: [&[u8]; 6] = [b"RESTORE", key, deadline.as_bytes(), payload, b"REPLACE", b"ABSTTL"];
    Ok(Effect::Instead(OwnedArgs::of(&words)))
}

/// The commands that make what the payload holds: they cannot fail on an empty place.
fn commands(key: &[u8], payload: &[u8]) -> Result<Vec<Made>, Error> {
    let bad = |bad| match bad {
        BadPayload::Footer => Error::DUMP_PAYLOAD,
        BadPayload::Value => Error::DUMP_FORMAT,
    };
    let body = payload::open(payload).map_err(bad)?;
    let (mut remake, mut commands) = (Remake::new(key), Vec::new());
    payload::parts(body, |part| remake.part(part, &mut |made| commands.push(made))).map_err(bad)?;
    remake.end(&mut |made| commands.push(made));
    let whole = remake.parts() > 0 && distinct(&commands) && commands.iter().all(exists_here);
    if whole { Ok(commands) } else { Err(Error::DUMP_FORMAT) }
}

/// Is there such a command, and so such a type?
fn exists_here(made: &Made) -> bool {
    table::resolve(made.args.args()).is_ok_and(|row| matches!(row.run, Run::Keys(_)))
}

/// Runs the commands; says whether all did what they had to.
fn make(keys: &mut Keyspace, db: Db, prng: &mut Prng, commands: &[Made]) -> bool {
    let mut reply = Vec::new();
    commands.iter().all(|made| {
        let args = made.args.args();
        let Ok(Run::Keys(handler)) = table::resolve(args).map(|row| row.run) else { return false };
        reply.clear();
        let mut inner = Call {
            keys,
            db,
            args,
            reply: Reply::new(&mut reply, Proto::Two),
            now: Millis::REPLAY,
            prng,
        };
        handler(&mut inner).is_ok() && crate::commands::remake::gave(made.gives, &reply)
    })
}

#[cfg(test)]
mod tests;
