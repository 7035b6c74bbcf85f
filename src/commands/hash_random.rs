//! HRANDFIELD: fields chosen at random.

use std::collections::HashSet;

use crate::base::prng::Prng;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer_in, is};
use crate::commands::row::row;
use crate::commands::spec::{Command, Docs, Flags};
use crate::keyspace::keyspace::Fields;
use crate::limits::RANDOM_REPLY_MAX;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};

/// The rows of this file.
pub const ROWS: &[Command] = &[row(
    "hrandfield",
    -2,
    Flags::READONLY,
    hrandfield,
    Docs::of(
        "hash",
        "6.2.0",
        "O(N) where N is the number of fields returned.",
        "Returns fields of a hash chosen at random.",
    ),
)];

/// How chosen fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Fields,
    /// Fields and values, one after another.
    Flat,
    /// An array of two for each field.
    Pairs,
}

impl Form {
    fn header(self, reply: &mut Reply<'_>, count: usize) {
        reply.array(if self == Form::Flat { count * 2 } else { count });
    }

    fn write(self, reply: &mut Reply<'_>, field: &[u8], value: &[u8]) {
        if self == Form::Pairs {
            reply.array(2);
        }
        reply.bulk(field);
        if self != Form::Fields {
            reply.bulk(value);
        }
    }
}

fn hrandfield(call: &mut Call<'_>) -> Result<Effect, Error> {
    if call.args.len() == 2 {
        let dice = call.prng.next();
        match call.keys.hash(call.db, call.args.at(1))? {
            Some(hash) if !hash.is_empty() => {
                hash.random(dice, |field, _| call.reply.bulk(field));
            }
            _ => call.reply.null(),
        }
        return Ok(Effect::Nothing);
    }
    let count = integer_in(call.args.at(2), -i64::MAX..=i64::MAX)?;
    let form = match (call.args.len(), call.reply.proto()) {
        (3, _) => Form::Fields,
        (4, proto) if is(call.args.at(3), "WITHVALUES") => {
            if count.unsigned_abs() > i64::MAX as u64 / 2 {
                return Err(Error::VALUE_RANGE);
            }
            if proto == Proto::Two { Form::Flat } else { Form::Pairs }
        }
        _ => return Err(Error::Syntax),
    };
    let hash = call.keys.hash(call.db, call.args.at(1))?;
    let Some(hash) = hash.filter(|hash| !hash.is_empty()) else {
        call.reply.array(0);
        return Ok(Effect::Nothing);
    };
    match usize::try_from(count) {
        Ok(count) => distinct(hash, count, form, call.prng, &mut call.reply),
        Err(_) => repeated(hash, count.unsigned_abs(), form, call.prng, &mut call.reply)?,
    }
    Ok(Effect::Nothing)
}

/// As many fields as asked for, each drawn from all. The client's number says how long the reply
/// is, so the reply is bounded: what a connection could not be sent anyway is refused.
fn repeated(
    hash: Fields<'_>,
    count: u64,
    form: Form,
    prng: &mut Prng,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let mark = reply.mark();
    let too_long = || Error::VALUE_RANGE;
    let count = usize::try_from(count).map_err(|_| too_long())?;
    if count > RANDOM_REPLY_MAX {
        return Err(too_long());
    }
    form.header(reply, count);
    for _ in 0..count {
        hash.random(prng.next(), |field, value| form.write(reply, field, value));
        if reply.mark() - mark > RANDOM_REPLY_MAX {
            reply.rewind(mark);
            return Err(too_long());
        }
    }
    Ok(())
}

/// Different fields, all of them when there are no more than asked for.
fn distinct(hash: Fields<'_>, count: usize, form: Form, prng: &mut Prng, reply: &mut Reply<'_>) {
    let len = hash.count();
    let count = count.min(len);
    form.header(reply, count);
    if count == len {
        hash.for_each(|field, value| form.write(reply, field, value));
    } else if count.saturating_mul(3) > len {
        // Most are wanted: one pass that takes each with the chance that keeps the rest possible.
        let (mut wanted, mut left) = (count as u64, len as u64);
        hash.for_each(|field, value| {
            if left > 0 && prng.below(left) < wanted {
                form.write(reply, field, value);
                wanted -= 1;
            }
            left = left.saturating_sub(1);
        });
    } else {
        // Few are wanted: draw until there are enough; on average less than 1.3 draws a field.
        let mut seen: HashSet<Vec<u8>> = HashSet::new();
        while seen.len() < count {
            hash.random(prng.next(), |field, value| {
                if seen.insert(field.to_vec()) {
                    form.write(reply, field, value);
                }
            });
        }
    }
}
