//! SPOP and SRANDMEMBER: members chosen at random.

use std::collections::HashSet;

use crate::base::prng::Prng;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer_in, not_negative};
use crate::commands::row::{WRITE_FAST, row};
use crate::commands::spec::{Command, Docs, Flags};
use crate::limits::RANDOM_REPLY_MAX;
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::set::Set;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "spop",
        -2,
        WRITE_FAST,
        spop,
        docs("1.0.0", "Removes members of a set chosen at random and returns them."),
    ),
    row(
        "srandmember",
        -2,
        Flags::READONLY,
        srandmember,
        docs("1.0.0", "Returns members of a set chosen at random."),
    ),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("set", since, "O(N) where N is the number of members returned.", summary)
}

fn spop(call: &mut Call<'_>) -> Result<Effect, Error> {
    if call.args.len() > 3 {
        return Err(Error::Syntax);
    }
    if let Some(count) = call.args.get(2) {
        let count = not_negative(count).map_err(|_| Error::NOT_POSITIVE)?;
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        return pop_several(call, count);
    }
    let key = call.args.at(1);
    let Some(mut set) = call.keys.set_mut(call.db, key)? else {
        call.reply.null();
        return Ok(Effect::Nothing);
    };
    let member = chosen(set.set(), call.prng);
    set.remove(&member);
    call.reply.bulk(&member);
    Ok(Effect::Instead(OwnedArgs::of(&[b"SREM", key, &member])))
}

fn pop_several(call: &mut Call<'_>, count: usize) -> Result<Effect, Error> {
    let key = call.args.at(1);
    let Some(mut set) = call.keys.set_mut(call.db, key)? else {
        call.reply.set(0);
        return Ok(Effect::Nothing);
    };
    let len = set.set().len();
    if count == 0 {
        call.reply.set(0);
        return Ok(Effect::Nothing);
    }
    if count >= len {
        call.reply.set(len);
        set.set().for_each(|member| call.reply.bulk(member));
        drop(set);
        call.keys.remove(call.db, key);
        return Ok(Effect::Instead(OwnedArgs::of(&[b"DEL", key])));
    }
    call.reply.set(count);
    let mut log = OwnedArgs::of(&[b"SREM", key]);
    let mut pop = |member: &[u8]| {
        call.reply.bulk(member);
        log.push(member);
    };
    if count / 4 < len - count {
        for _ in 0..count {
            let member = chosen(set.set(), call.prng);
            set.remove(&member);
            pop(&member);
        }
    } else {
        // Few are left: drawing those is less work than drawing the others.
        let kept = distinct(set.set(), len - count, call.prng);
        set.set().for_each(|member| {
            if !kept.contains(member) {
                pop(member);
            }
        });
        for member in log.args().from(2).iter() {
            set.remove(member);
        }
    }
    Ok(Effect::Instead(log))
}

fn srandmember(call: &mut Call<'_>) -> Result<Effect, Error> {
    let key = call.args.at(1);
    if call.args.len() == 2 {
        let dice = call.prng.next();
        match call.keys.set(call.db, key)? {
            Some(set) => set.random(dice, |member| call.reply.bulk(member)),
            None => call.reply.null(),
        }
        return Ok(Effect::Nothing);
    }
    if call.args.len() > 3 {
        return Err(Error::Syntax);
    }
    let count = integer_in(call.args.at(2), -i64::MAX..=i64::MAX)?;
    let Some(set) = call.keys.set(call.db, key)? else {
        call.reply.array(0);
        return Ok(Effect::Nothing);
    };
    match usize::try_from(count) {
        Ok(count) => write_distinct(set, count, call.prng, &mut call.reply),
        Err(_) => write_repeated(set, count.unsigned_abs(), call.prng, &mut call.reply)?,
    }
    Ok(Effect::Nothing)
}

/// One member of a set that is not empty.
fn chosen(set: &Set, prng: &mut Prng) -> Vec<u8> {
    let mut chosen = Vec::new();
    set.random(prng.next(), |member| chosen.extend_from_slice(member));
    chosen
}

/// So many different members; on average less than 1.4 draws each while it is at most half of all.
fn distinct(set: &Set, count: usize, prng: &mut Prng) -> HashSet<Vec<u8>> {
    let mut seen = HashSet::new();
    while seen.len() < count {
        seen.insert(chosen(set, prng));
    }
    seen
}

/// As many members as asked for, each drawn from all. The client's number says how long the reply
/// is, so the reply is bounded: what a connection could not be sent anyway is refused.
fn write_repeated(
    set: &Set,
    count: u64,
    prng: &mut Prng,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let mark = reply.mark();
    let count = usize::try_from(count).map_err(|_| Error::VALUE_RANGE)?;
    if count > RANDOM_REPLY_MAX {
        return Err(Error::VALUE_RANGE);
    }
    reply.array(count);
    for _ in 0..count {
        set.random(prng.next(), |member| reply.bulk(member));
        if reply.mark() - mark > RANDOM_REPLY_MAX {
            reply.rewind(mark);
            return Err(Error::VALUE_RANGE);
        }
    }
    Ok(())
}

/// Different members, all of them when there are no more than asked for.
fn write_distinct(set: &Set, count: usize, prng: &mut Prng, reply: &mut Reply<'_>) {
    let len = set.len();
    let count = count.min(len);
    reply.array(count);
    if count == len {
        set.for_each(|member| reply.bulk(member));
    } else if count.saturating_mul(3) > len {
        // Most are wanted: one pass that takes each with the chance that keeps the rest possible.
        let (mut wanted, mut left) = (count as u64, len as u64);
        set.for_each(|member| {
            if left > 0 && prng.below(left) < wanted {
                reply.bulk(member);
                wanted -= 1;
            }
            left = left.saturating_sub(1);
        });
    } else {
        distinct(set, count, prng).iter().for_each(|member| reply.bulk(member));
    }
}
