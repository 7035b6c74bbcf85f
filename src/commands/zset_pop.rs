//! Sorted sets: taking members from either end, and members chosen at random.

use std::collections::HashSet;

use crate::base::prng::Prng;
use crate::commands::call::{Call, Effect};
use crate::commands::excerpt;
use crate::commands::parse::{integer, integer_in, is, not_negative};
use crate::commands::row::{COUNTED, WRITE_FAST, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::commands::zset_reply::Form;
use crate::limits::RANDOM_REPLY_MAX;
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::zset::Zset;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "zpopmin",
        -2,
        WRITE_FAST,
        |call| pop(call, End::Min),
        docs("5.0.0", POP, "Removes and returns the members with the lowest scores."),
    ),
    row(
        "zpopmax",
        -2,
        WRITE_FAST,
        |call| pop(call, End::Max),
        docs("5.0.0", POP, "Removes and returns the members with the highest scores."),
    ),
    on(
        COUNTED,
        Across::Excerpts(|args| excerpt::members(args, 1)),
        row(
            "zmpop",
            -4,
            Flags::WRITE,
            zmpop,
            docs("7.0.0", POP, "Removes members from the first set that has any."),
        ),
    ),
    row(
        "zrandmember",
        -2,
        Flags::READONLY,
        zrandmember,
        docs(
            "6.2.0",
            "O(N) where N is the number of members returned.",
            "Returns members chosen at random.",
        ),
    ),
];

const POP: &str = "O(log(N)*M), N members of which M are removed.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("sorted-set", since, complexity, summary)
}

/// From where members are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Lowest scores first.
    Min,
    /// Highest scores first.
    Max,
}

impl End {
    /// The command that takes members from there.
    pub fn command(self) -> &'static [u8] {
        match self {
            End::Min => b"ZPOPMIN",
            End::Max => b"ZPOPMAX",
        }
    }

    /// So many members from there on, the outermost first.
    pub fn members(self, zset: &Zset, count: usize) -> Box<dyn Iterator<Item = (f64, &[u8])> + '_> {
        match self {
            End::Min => Box::new(zset.upwards(0).take(count)),
            End::Max => Box::new(zset.downwards(zset.len().saturating_sub(1)).take(count)),
        }
    }

    /// The end that a word means.
    pub fn of_word(word: &[u8]) -> Option<End> {
        [("MIN", End::Min), ("MAX", End::Max)]
            .into_iter()
            .find_map(|(name, end)| is(word, name).then_some(end))
    }
}

/// Takes up to `count` members out of the set at a key and gives them to `each`, after their number
/// to `header`; nothing when there is no such key.
pub fn take(
    call: &mut Call<'_>,
    key: &[u8],
    end: End,
    count: usize,
    header: impl FnOnce(&mut Reply<'_>, usize),
    form: Form,
) -> Result<Option<usize>, Error> {
    let Some(mut zset) = call.keys.zset_mut(call.db, key)? else { return Ok(None) };
    let (len, count) = (zset.len(), count.min(zset.len()));
    header(&mut call.reply, count);
    let ranks = match end {
        End::Min => {
            let found = zset.upwards(0).take(count);
            found.for_each(|(score, member)| form.write(&mut call.reply, score, member));
            0..count
        }
        End::Max => {
            let found = zset.downwards(len.saturating_sub(1)).take(count);
            found.for_each(|(score, member)| form.write(&mut call.reply, score, member));
            len - count..len
        }
    };
    if count > 0 {
        zset.remove_range(ranks);
    }
    Ok(Some(count))
}

fn pop(call: &mut Call<'_>, end: End) -> Result<Effect, Error> {
    if call.args.len() > 3 {
        return Err(Error::Syntax);
    }
    let (count, form) = match call.args.get(2) {
        Some(count) => {
            let count = not_negative(count).map_err(|_| Error::NOT_POSITIVE)?;
            (count, Form::scored(call.reply.proto()))
        }
        None => (1, Form::Flat),
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let header = |reply: &mut Reply<'_>, count| form.header(reply, count);
    let taken = take(call, call.args.at(1), end, count, header, form)?;
    if taken.is_none() {
        call.reply.array(0);
    }
    Ok(if taken.unwrap_or(0) > 0 { Effect::AsSent } else { Effect::Nothing })
}

/// What ZMPOP was told.
#[derive(Debug)]
pub struct MultiPop<'a> {
    /// The keys, in the order in which they are looked at.
    pub keys: Vec<&'a [u8]>,
    /// From where.
    pub end: End,
    /// How many at most.
    pub count: usize,
}

impl<'a> MultiPop<'a> {
    /// Reads what follows from the number of keys on, which is argument `at`.
    pub fn read(args: crate::resp::args::Args<'a>, at: usize) -> Result<MultiPop<'a>, Error> {
        let number = integer(args.at(at)).ok().filter(|number| *number > 0);
        let number = number.ok_or(Error::NUMKEYS_ZERO)?;
        let keys = args.from(at + 1);
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        let end = keys.get(number).and_then(End::of_word).ok_or(Error::Syntax)?;
        let mut count = None;
        let mut words = keys.from(number + 1).iter();
        while let Some(word) = words.next() {
            if count.is_some() || !is(word, "COUNT") || words.len() == 0 {
                return Err(Error::Syntax);
            }
            let number = integer(words.next().unwrap_or_default()).ok();
            let number = number.and_then(|number| usize::try_from(number).ok());
            count = Some(number.filter(|number| *number > 0).ok_or(Error::COUNT_ZERO)?);
        }
        let keys = keys.iter().take(number).collect();
        Ok(MultiPop { keys, end, count: count.unwrap_or(1) })
    }

    /// Takes from the first set that is there; the effect, or nothing when there is none.
    pub fn run(&self, call: &mut Call<'_>) -> Result<Option<Effect>, Error> {
        for &key in &self.keys {
            let header = |reply: &mut Reply<'_>, count| {
                reply.array(2);
                reply.bulk(key);
                reply.array(count);
            };
            let taken = take(call, key, self.end, self.count, header, Form::Pairs)?;
            if let Some(count) = taken {
                let count = count.to_string();
                let args = OwnedArgs::of(&[self.end.command(), key, count.as_bytes()]);
                return Ok(Some(Effect::Instead(args)));
            }
        }
        Ok(None)
    }
}

fn zmpop(call: &mut Call<'_>) -> Result<Effect, Error> {
    let pop = MultiPop::read(call.args, 1)?;
    if let Some(effect) = pop.run(call)? {
        return Ok(effect);
    }
    call.reply.null_array();
    Ok(Effect::Nothing)
}

fn zrandmember(call: &mut Call<'_>) -> Result<Effect, Error> {
    if call.args.len() == 2 {
        let dice = call.prng.next();
        let zset = call.keys.zset(call.db, call.args.at(1))?;
        match zset.and_then(|zset| zset.random(dice)) {
            Some((_, member)) => call.reply.bulk(member),
            None => call.reply.null(),
        }
        return Ok(Effect::Nothing);
    }
    let count = integer_in(call.args.at(2), -i64::MAX..=i64::MAX)?;
    let form = match call.args.len() {
        3 => Form::Members,
        4 if is(call.args.at(3), "WITHSCORES") => {
            if count.unsigned_abs() > i64::MAX as u64 / 2 {
                return Err(Error::VALUE_RANGE);
            }
            Form::scored(call.reply.proto())
        }
        _ => return Err(Error::Syntax),
    };
    let Some(zset) = call.keys.zset(call.db, call.args.at(1))? else {
        call.reply.array(0);
        return Ok(Effect::Nothing);
    };
    match usize::try_from(count) {
        Ok(count) => distinct(zset, count, form, call.prng, &mut call.reply),
        Err(_) => repeated(zset, count.unsigned_abs(), form, call.prng, &mut call.reply)?,
    }
    Ok(Effect::Nothing)
}

/// As many members as asked for, each drawn from all. The client's number says how long the reply
/// is, so the reply is bounded: what a connection could not be sent anyway is refused.
fn repeated(
    zset: &Zset,
    count: u64,
    form: Form,
    prng: &mut Prng,
    reply: &mut Reply<'_>,
) -> Result<(), Error> {
    let mark = reply.mark();
    let count = usize::try_from(count).map_err(|_| Error::VALUE_RANGE)?;
    if count > RANDOM_REPLY_MAX {
        return Err(Error::VALUE_RANGE);
    }
    form.header(reply, count);
    for _ in 0..count {
        if let Some((score, member)) = zset.random(prng.next()) {
            form.write(reply, score, member);
        }
        if reply.mark() - mark > RANDOM_REPLY_MAX {
            reply.rewind(mark);
            return Err(Error::VALUE_RANGE);
        }
    }
    Ok(())
}

/// Different members, all of them when there are no more than asked for.
fn distinct(zset: &Zset, count: usize, form: Form, prng: &mut Prng, reply: &mut Reply<'_>) {
    let len = zset.len();
    let count = count.min(len);
    form.header(reply, count);
    if count.saturating_mul(3) > len {
        // Most are wanted: one pass that takes each with the chance that keeps the rest possible.
        let (mut wanted, mut left) = (count as u64, len as u64);
        for (score, member) in zset.upwards(0) {
            if prng.below(left) < wanted {
                form.write(reply, score, member);
                wanted -= 1;
            }
            left -= 1;
        }
        return;
    }
    // Few are wanted: draw until there are enough; on average less than 1.3 draws a member.
    let mut seen = HashSet::new();
    while seen.len() < count {
        let rank = prng.below(len as u64) as usize;
        if seen.insert(rank)
            && let Some((score, member)) = zset.upwards(rank).next()
        {
            form.write(reply, score, member);
        }
    }
}
