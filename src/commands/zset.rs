//! Sorted sets: members and their scores.

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{cursor, integer, is};
use crate::commands::row::{READ_FAST, WRITE_FAST, WRITE_OOM_FAST, row};
use crate::commands::scan::{Options, Scanned, reply_page};
use crate::commands::spec::{Command, Docs, Flags};
use crate::commands::zset_reply::{lex_range, score, score_range};
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::zset::{Change, Zset};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("zadd", -4, WRITE_OOM_FAST, zadd, docs("1.2.0", EACH, "Adds members, or sets scores.")),
    row(
        "zincrby",
        4,
        WRITE_OOM_FAST,
        zincrby,
        docs("1.2.0", LOG, "Adds to the score of a member."),
    ),
    row("zrem", -3, WRITE_FAST, zrem, docs("1.2.0", EACH_OF, "Removes members.")),
    row("zcard", 2, READ_FAST, zcard, docs("1.2.0", "O(1)", "Counts the members.")),
    row("zscore", 3, READ_FAST, zscore, docs("1.2.0", "O(1)", "Returns the score of a member.")),
    row(
        "zmscore",
        -3,
        READ_FAST,
        zmscore,
        docs("6.2.0", "O(N) where N is the number of members given.", "Returns scores of members."),
    ),
    row(
        "zrank",
        -3,
        READ_FAST,
        zrank,
        docs("2.0.0", LOG, "Position of a member, from the lowest."),
    ),
    row(
        "zrevrank",
        -3,
        READ_FAST,
        zrevrank,
        docs("2.0.0", LOG, "Position of a member, from the highest."),
    ),
    row("zcount", 4, READ_FAST, zcount, docs("2.0.0", LOG, "Counts the members in a score range.")),
    row(
        "zlexcount",
        4,
        READ_FAST,
        zlexcount,
        docs("2.8.9", LOG, "Counts the members in a range of members."),
    ),
    row(
        "zremrangebyrank",
        4,
        Flags::WRITE,
        zremrangebyrank,
        docs("2.0.0", RANGE, "Removes the members in a range of positions."),
    ),
    row(
        "zremrangebyscore",
        4,
        Flags::WRITE,
        zremrangebyscore,
        docs("1.2.0", RANGE, "Removes the members in a score range."),
    ),
    row(
        "zremrangebylex",
        4,
        Flags::WRITE,
        zremrangebylex,
        docs("2.8.9", RANGE, "Removes the members in a range of members."),
    ),
    row(
        "zscan",
        -3,
        Flags::READONLY,
        zscan,
        docs(
            "2.8.0",
            "O(1) a call, O(N) for all N members.",
            "Lists members and scores, some at a time.",
        ),
    ),
];

const LOG: &str = "O(log(N)) where N is the number of members.";
const EACH: &str = "O(log(N)) for each member added, where N is the number of members.";
const EACH_OF: &str = "O(log(N)) for each member removed, where N is the number of members.";
const RANGE: &str = "O(log(N)+M), N members of which M are removed.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("sorted-set", since, complexity, summary)
}

/// What ZADD and GEOADD were told beside scores and members.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    new_only: bool,
    known_only: bool,
    greater: bool,
    less: bool,
    increment: bool,
    /// The reply counts changed scores too.
    pub changed: bool,
}

impl Rules {
    /// Takes a word of ZADD; says whether it is one.
    pub fn take(&mut self, word: &[u8]) -> bool {
        let rule = match () {
            () if is(word, "NX") => &mut self.new_only,
            () if is(word, "XX") => &mut self.known_only,
            () if is(word, "GT") => &mut self.greater,
            () if is(word, "LT") => &mut self.less,
            () if is(word, "CH") => &mut self.changed,
            () if is(word, "INCR") => &mut self.increment,
            () => return false,
        };
        *rule = true;
        true
    }

    /// Refuses what contradicts itself.
    pub fn check(&self, pairs: usize) -> Result<(), Error> {
        if self.new_only && self.known_only {
            return Err(Error::ZADD_NX_XX);
        }
        if [self.greater, self.less, self.new_only].into_iter().filter(|rule| *rule).count() > 1 {
            return Err(Error::ZADD_GT_LT);
        }
        if self.increment && pairs > 1 {
            return Err(Error::ZADD_INCR);
        }
        Ok(())
    }

    /// The score that a member gets, or nothing when it stays as it is.
    fn decide(&self, old: Option<f64>, given: f64) -> Result<Option<f64>, Error> {
        let Some(old) = old else { return Ok((!self.known_only).then_some(given)) };
        if self.new_only {
            return Ok(None);
        }
        let score = if self.increment { old + given } else { given };
        if score.is_nan() {
            return Err(Error::SCORE_NAN);
        }
        let refused = self.greater && score <= old || self.less && score >= old;
        Ok((!refused).then_some(score))
    }
}

fn zadd(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut rules = Rules::default();
    let options = call.args.from(2).iter().take_while(|word| rules.take(word)).count();
    let pairs = call.args.from(2 + options);
    if pairs.is_empty() || !pairs.len().is_multiple_of(2) {
        return Err(Error::Syntax);
    }
    rules.check(pairs.len() / 2)?;
    add(call, rules, pairs)
}

fn zincrby(call: &mut Call<'_>) -> Result<Effect, Error> {
    // Redis reads it as a ZADD, whose words come first: then there is no score.
    if Rules::default().take(call.args.at(2)) {
        return Err(Error::Syntax);
    }
    let rules = Rules { increment: true, ..Rules::default() };
    add(call, rules, call.args.from(2))
}

fn add(call: &mut Call<'_>, rules: Rules, pairs: Args<'_>) -> Result<Effect, Error> {
    let scores = (0..pairs.len()).step_by(2).map(|at| score(pairs.at(at)));
    let scores = scores.collect::<Result<Vec<f64>, Error>>()?;
    let members = (1..pairs.len()).step_by(2).map(|at| pairs.at(at));
    let pairs: Vec<(f64, &[u8])> = scores.into_iter().zip(members).collect();
    add_pairs(call, rules, &pairs)
}

/// Adds members, replies and says what is logged.
pub fn add_pairs(
    call: &mut Call<'_>,
    rules: Rules,
    pairs: &[(f64, &[u8])],
) -> Result<Effect, Error> {
    let key = call.args.at(1);
    let (mut added, mut moved, mut last) = (0, 0, None);
    let there = call.keys.zset(call.db, key)?.is_some();
    if there || !rules.known_only {
        let mut zset = call.keys.zset_or_new(call.db, key)?;
        for &(given, member) in pairs {
            let old = zset.score(member);
            last = rules.decide(old, given)?;
            match last.filter(|score| old != Some(*score)).map(|score| zset.set(score, member)) {
                Some(Change::New) => added += 1,
                Some(Change::Moved) => moved += 1,
                Some(Change::None) | None => {}
            }
        }
    }
    match last {
        Some(score) if rules.increment => call.reply.double(score),
        None if rules.increment => call.reply.null(),
        _ => call.reply.integer(if rules.changed { added + moved } else { added }),
    }
    Ok(if added + moved > 0 { Effect::AsSent } else { Effect::Nothing })
}

fn zrem(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut count = 0;
    if let Some(mut zset) = call.keys.zset_mut(call.db, call.args.at(1))? {
        for member in call.args.from(2).iter() {
            count += i64::from(zset.remove(member));
        }
    }
    call.reply.integer(count);
    Ok(if count > 0 { Effect::AsSent } else { Effect::Nothing })
}

fn zcard(call: &mut Call<'_>) -> Result<Effect, Error> {
    let len = call.keys.zset(call.db, call.args.at(1))?.map_or(0, Zset::len);
    call.reply.integer(len as i64);
    Ok(Effect::Nothing)
}

fn zscore(call: &mut Call<'_>) -> Result<Effect, Error> {
    let zset = call.keys.zset(call.db, call.args.at(1))?;
    match zset.and_then(|zset| zset.score(call.args.at(2))) {
        Some(score) => call.reply.double(score),
        None => call.reply.null(),
    }
    Ok(Effect::Nothing)
}

fn zmscore(call: &mut Call<'_>) -> Result<Effect, Error> {
    let members = call.args.from(2);
    let zset = call.keys.zset(call.db, call.args.at(1))?;
    call.reply.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => call.reply.double(score),
            None => call.reply.null(),
        }
    }
    Ok(Effect::Nothing)
}

fn zrank(call: &mut Call<'_>) -> Result<Effect, Error> {
    rank(call, "zrank", |rank, _| rank)
}

fn zrevrank(call: &mut Call<'_>) -> Result<Effect, Error> {
    rank(call, "zrevrank", |rank, len| len - 1 - rank)
}

fn rank(
    call: &mut Call<'_>,
    name: &str,
    place: fn(usize, usize) -> usize,
) -> Result<Effect, Error> {
    let with_score = match call.args.get(3) {
        _ if call.args.len() > 4 => return Err(Error::WrongArity(name.to_owned())),
        Some(word) if !is(word, "WITHSCORE") => return Err(Error::Syntax),
        word => word.is_some(),
    };
    let zset = call.keys.zset(call.db, call.args.at(1))?;
    match zset.and_then(|zset| Some((zset.len(), zset.rank(call.args.at(2))?))) {
        Some((len, (rank, score))) => {
            if with_score {
                call.reply.array(2);
            }
            call.reply.integer(place(rank, len) as i64);
            if with_score {
                call.reply.double(score);
            }
        }
        None if with_score => call.reply.null_array(),
        None => call.reply.null(),
    }
    Ok(Effect::Nothing)
}

fn zcount(call: &mut Call<'_>) -> Result<Effect, Error> {
    let range = score_range(call.args.at(2), call.args.at(3))?;
    let zset = call.keys.zset(call.db, call.args.at(1))?;
    call.reply.integer(zset.map_or(0, |zset| range.ranks(zset).len()) as i64);
    Ok(Effect::Nothing)
}

fn zlexcount(call: &mut Call<'_>) -> Result<Effect, Error> {
    let range = lex_range(call.args.at(2), call.args.at(3))?;
    let zset = call.keys.zset(call.db, call.args.at(1))?;
    call.reply.integer(zset.map_or(0, |zset| range.ranks(zset).len()) as i64);
    Ok(Effect::Nothing)
}

fn zremrangebyrank(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (start, end) = (integer(call.args.at(2))?, integer(call.args.at(3))?);
    remove_ranks(call, |zset| positions(start, end, zset.len()))
}

fn zremrangebyscore(call: &mut Call<'_>) -> Result<Effect, Error> {
    let range = score_range(call.args.at(2), call.args.at(3))?;
    remove_ranks(call, |zset| range.ranks(zset))
}

fn zremrangebylex(call: &mut Call<'_>) -> Result<Effect, Error> {
    let range = lex_range(call.args.at(2), call.args.at(3))?;
    remove_ranks(call, |zset| range.ranks(zset))
}

fn remove_ranks(
    call: &mut Call<'_>,
    ranks: impl Fn(&Zset) -> std::ops::Range<usize>,
) -> Result<Effect, Error> {
    let mut count = 0;
    if let Some(mut zset) = call.keys.zset_mut(call.db, call.args.at(1))? {
        let ranks = ranks(&zset);
        count = ranks.len();
        if count > 0 {
            zset.remove_range(ranks);
        }
    }
    call.reply.integer(count as i64);
    Ok(if count > 0 { Effect::AsSent } else { Effect::Nothing })
}

/// The positions from one to another, both counted from the end when negative, as they are in a
/// sequence of so many.
pub fn positions(start: i64, end: i64, len: usize) -> std::ops::Range<usize> {
    let len = len as i64;
    let from_start = |at: i64| if at < 0 { at.saturating_add(len) } else { at };
    let (start, end) = (from_start(start).max(0), from_start(end).min(len - 1));
    if start > end { 0..0 } else { start as usize..end as usize + 1 }
}

/// Options are read only when there is a set, as in Redis.
fn zscan(call: &mut Call<'_>) -> Result<Effect, Error> {
    let cursor = cursor(call.args.at(2))?;
    let Some(zset) = call.keys.zset(call.db, call.args.at(1))? else {
        reply_page(&mut call.reply, 0, 0, &[]);
        return Ok(Effect::Nothing);
    };
    let options = Options::read(call.args.from(3), Scanned::Scores)?;
    let (mut found, mut count) = (Vec::new(), 0);
    // Scores are text here in both versions.
    let mut page = Reply::new(&mut found, crate::resp::reply::Proto::Two);
    let next = zset.scan(cursor, options.count, |score, member| {
        if options.matches(member) {
            page.bulk(member);
            page.double(score);
            count += 2;
        }
    });
    reply_page(&mut call.reply, next, count, &found);
    Ok(Effect::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_cut_to_what_there_is() {
        let lines = [
            (0, -1, 5, 0..5),
            (1, 2, 5, 1..3),
            (-2, -1, 5, 3..5),
            (-9, 1, 5, 0..2),
            (3, 99, 5, 3..5),
            (5, 9, 5, 0..0),
            (3, 2, 5, 0..0),
            (0, -6, 5, 0..0),
            (0, -1, 0, 0..0),
            (i64::MIN, i64::MAX, 5, 0..5),
            (i64::MAX, i64::MIN, 5, 0..0),
        ];
        for (start, end, len, expected) in lines {
            assert_eq!(positions(start, end, len), expected, "{start} {end} of {len}");
        }
    }
}
