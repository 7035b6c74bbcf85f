//! Intersections, unions and differences of sets.

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer, is, not_negative};
use crate::commands::row::{COUNTED, EVERY, WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::keyspace::keyspace::NewSet;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::set::Set;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    reads(row("sinter", -2, Flags::READONLY, sinter, docs("1.0.0", MEET, "Intersects sets."))),
    reads(row("sunion", -2, Flags::READONLY, sunion, docs("1.0.0", JOIN, "Unites sets."))),
    reads(row(
        "sdiff",
        -2,
        Flags::READONLY,
        sdiff,
        docs("1.0.0", JOIN, "Takes the members of other sets from a set."),
    )),
    on(
        COUNTED,
        Across::Gather,
        row(
            "sintercard",
            -3,
            Flags::READONLY,
            sintercard,
            docs("7.0.0", MEET, "Counts the members of an intersection."),
        ),
    ),
    reads(row(
        "sinterstore",
        -3,
        WRITE_OOM,
        sinterstore,
        docs("1.0.0", MEET, "Stores an intersection of sets."),
    )),
    reads(row(
        "sunionstore",
        -3,
        WRITE_OOM,
        sunionstore,
        docs("1.0.0", JOIN, "Stores a union of sets."),
    )),
    reads(row(
        "sdiffstore",
        -3,
        WRITE_OOM,
        sdiffstore,
        docs("1.0.0", JOIN, "Stores what is left of a set without the members of others."),
    )),
];

const MEET: &str = "O(N*M) where N is the size of the smallest set and M the number of sets.";
const JOIN: &str = "O(N) where N is the number of members of all sets.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("set", since, complexity, summary)
}

/// All arguments are keys.
const fn reads(row: Command) -> Command {
    on(EVERY, Across::Gather, row)
}

/// What is made of several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Intersection,
    Union,
    Difference,
}

fn sinter(call: &mut Call<'_>) -> Result<Effect, Error> {
    let sets = call.keys.sets(call.db, &names(call.args.from(1)))?;
    let (mut found, mut count) = (Vec::new(), 0);
    let mut members = Reply::new(&mut found, call.reply.proto());
    intersect(&sets, &mut |member| {
        members.bulk(member);
        count += 1;
        true
    });
    call.reply.set(count);
    call.reply.raw(&found);
    Ok(Effect::Nothing)
}

fn sunion(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, Operation::Union)
}

fn sdiff(call: &mut Call<'_>) -> Result<Effect, Error> {
    tell(call, Operation::Difference)
}

fn names<'a>(keys: Args<'a>) -> Vec<&'a [u8]> {
    keys.iter().collect()
}

fn tell(call: &mut Call<'_>, operation: Operation) -> Result<Effect, Error> {
    let mut result = call.keys.new_set();
    evaluate(&call.keys.sets(call.db, &names(call.args.from(1)))?, operation, &mut result);
    call.reply.set(result.set().len());
    result.set().for_each(|member| call.reply.bulk(member));
    call.keys.discard_set(result);
    Ok(Effect::Nothing)
}

fn sintercard(call: &mut Call<'_>) -> Result<Effect, Error> {
    let count = integer(call.args.at(1)).ok().and_then(|count| usize::try_from(count).ok());
    let count = count.filter(|count| *count > 0).ok_or(Error::NUMKEYS_ZERO)?;
    let keys = call.args.from(2);
    if count > keys.len() {
        return Err(Error::NUMKEYS_MANY);
    }
    let mut limit = 0;
    let mut words = keys.from(count).iter();
    while let Some(word) = words.next() {
        match words.next() {
            Some(number) if is(word, "LIMIT") => {
                limit = not_negative(number).map_err(|_| Error::err(LIMIT_NEGATIVE))?;
            }
            _ => return Err(Error::Syntax),
        }
    }
    let sets = call.keys.sets(call.db, &names(keys.to(count)))?;
    let mut found = 0;
    intersect(&sets, &mut |_| {
        found += 1;
        limit == 0 || found < limit
    });
    call.reply.integer(i64::try_from(found).unwrap_or(i64::MAX));
    Ok(Effect::Nothing)
}

const LIMIT_NEGATIVE: &str = "LIMIT can't be negative";

fn sinterstore(call: &mut Call<'_>) -> Result<Effect, Error> {
    store(call, Operation::Intersection)
}

fn sunionstore(call: &mut Call<'_>) -> Result<Effect, Error> {
    store(call, Operation::Union)
}

fn sdiffstore(call: &mut Call<'_>) -> Result<Effect, Error> {
    store(call, Operation::Difference)
}

/// What has expired among the sources is removed first: a replay has to see the same sets.
fn store(call: &mut Call<'_>, operation: Operation) -> Result<Effect, Error> {
    let (target, sources) = (call.args.at(1), call.args.from(2));
    sources.iter().for_each(|key| call.keys.drop_expired(call.db, key));
    let mut result = call.keys.new_set();
    evaluate(&call.keys.sets(call.db, &names(sources))?, operation, &mut result);
    let len = result.set().len();
    call.reply.integer(len as i64);
    if len > 0 {
        call.keys.store_set(call.db, target, result);
    } else if !call.keys.remove(call.db, target) {
        return Ok(Effect::Nothing);
    }
    Ok(Effect::AsSent)
}

fn evaluate(sets: &[Option<&Set>], operation: Operation, result: &mut NewSet) {
    match operation {
        Operation::Intersection => {
            intersect(sets, &mut |member| {
                result.add(member);
                true
            });
        }
        Operation::Union => {
            result.expect(sets.iter().flatten().map(|set| set.len()).max().unwrap_or_default());
            for set in sets.iter().flatten() {
                set.for_each(|member| {
                    result.add(member);
                });
            }
        }
        Operation::Difference => subtract(sets, result),
    }
}

/// Calls `each` with the members that are in all sets until it says false: those of the smallest
/// set are looked up in the others, the smaller ones first.
fn intersect(sets: &[Option<&Set>], each: &mut dyn FnMut(&[u8]) -> bool) {
    let Some(mut sets) = sets.iter().copied().collect::<Option<Vec<&Set>>>() else { return };
    sets.sort_by_key(|set| set.len());
    let Some((smallest, others)) = sets.split_first() else { return };
    smallest.all(|member| !others.iter().all(|set| set.contains(member)) || each(member));
}

/// The first set without the members of the others: either its members are looked up in all of
/// them, or theirs are removed from a copy of it, whichever is less work.
fn subtract(sets: &[Option<&Set>], result: &mut NewSet) {
    let Some((Some(first), others)) = sets.split_first() else { return };
    let mut others: Vec<&Set> = others.iter().flatten().copied().collect();
    let lookups = first.len().saturating_mul(others.len() + 1) / 2;
    let members = others.iter().fold(first.len(), |sum, set| sum.saturating_add(set.len()));
    if lookups <= members {
        others.sort_by_key(|set| std::cmp::Reverse(set.len()));
        first.for_each(|member| {
            if !others.iter().any(|set| set.contains(member)) {
                result.add(member);
            }
        });
        return;
    }
    result.expect(first.len());
    first.for_each(|member| {
        result.add(member);
    });
    for set in others {
        set.all(|member| {
            result.remove(member);
            !result.set().is_empty()
        });
    }
}
