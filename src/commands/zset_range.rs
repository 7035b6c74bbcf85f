//! Sorted sets: ranges by position, score or member, in both directions.

use std::ops::Range;

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer, is};
use crate::commands::row::{FIRST_TWO, WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::commands::zset::positions;
use crate::commands::zset_reply::{Form, lex_range, score_range};
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::types::zset::Zset;
use crate::types::zset::range::{LexRange, ScoreRange};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("zrange", -4, Flags::READONLY, zrange, docs("1.2.0", "Returns members in a range.")),
    on(
        FIRST_TWO,
        Across::Gather,
        row("zrangestore", -5, WRITE_OOM, zrangestore, docs("6.2.0", "Stores a range of members.")),
    ),
    row(
        "zrevrange",
        -4,
        Flags::READONLY,
        |call| reply(call, By::Rank, Direction::Down),
        docs("1.2.0", "Returns members in a range of positions, backwards."),
    ),
    row(
        "zrangebyscore",
        -4,
        Flags::READONLY,
        |call| reply(call, By::Score, Direction::Up),
        docs("1.0.5", "Returns members in a score range."),
    ),
    row(
        "zrevrangebyscore",
        -4,
        Flags::READONLY,
        |call| reply(call, By::Score, Direction::Down),
        docs("2.2.0", "Returns members in a score range, backwards."),
    ),
    row(
        "zrangebylex",
        -4,
        Flags::READONLY,
        |call| reply(call, By::Lex, Direction::Up),
        docs("2.8.9", "Returns members in a range of members."),
    ),
    row(
        "zrevrangebylex",
        -4,
        Flags::READONLY,
        |call| reply(call, By::Lex, Direction::Down),
        docs("2.8.9", "Returns members in a range of members, backwards."),
    ),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("sorted-set", since, "O(log(N)+M), N members of which M are in the range.", summary)
}

/// What a range is stated in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rank,
    Score,
    Lex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A command's range and how it is to be gone over.
struct Query<'a> {
    bounds: Bounds<'a>,
    direction: Direction,
    offset: i64,
    /// Below zero: all.
    limit: i64,
    form: Form,
}

enum Bounds<'a> {
    Rank(i64, i64),
    Score(ScoreRange),
    Lex(LexRange<'a>),
}

/// Which words a command knows.
struct Grammar {
    by: Option<By>,
    direction: Option<Direction>,
    /// How members are written where WITHSCORES is said; nothing where it is not known.
    scored: Option<Form>,
}

impl<'a> Query<'a> {
    /// Reads the two ends and the options that follow them.
    fn read(args: Args<'a>, grammar: &Grammar) -> Result<Query<'a>, Error> {
        let (mut by, mut direction) = (grammar.by, grammar.direction);
        let (mut offset, mut limit, mut form) = (0, -1, Form::Members);
        let mut words = args.from(2).iter();
        while let Some(word) = words.next() {
            if let (Some(scored), true) = (grammar.scored, is(word, "WITHSCORES")) {
                form = scored;
            } else if is(word, "LIMIT") && words.len() >= 2 {
                offset = integer(words.next().unwrap_or_default())?;
                limit = integer(words.next().unwrap_or_default())?;
            } else if direction.is_none() && is(word, "REV") {
                direction = Some(Direction::Down);
            } else if by.is_none() && is(word, "BYLEX") {
                by = Some(By::Lex);
            } else if by.is_none() && is(word, "BYSCORE") {
                by = Some(By::Score);
            } else {
                return Err(Error::Syntax);
            }
        }
        let (by, direction) = (by.unwrap_or(By::Rank), direction.unwrap_or(Direction::Up));
        if limit != -1 && by == By::Rank {
            return Err(Error::RANGE_LIMIT);
        }
        if form != Form::Members && by == By::Lex {
            return Err(Error::RANGE_WITHSCORES);
        }
        let (mut min, mut max) = (args.at(0), args.at(1));
        if direction == Direction::Down && by != By::Rank {
            std::mem::swap(&mut min, &mut max);
        }
        let bounds = match by {
            By::Rank => Bounds::Rank(integer(min)?, integer(max)?),
            By::Score => Bounds::Score(score_range(min, max)?),
            By::Lex => Bounds::Lex(lex_range(min, max)?),
        };
        Ok(Query { bounds, direction, offset, limit, form })
    }

    /// The ranks that are asked for.
    fn ranks(&self, zset: &Zset) -> Range<usize> {
        let (len, down) = (zset.len(), self.direction == Direction::Down);
        match &self.bounds {
            Bounds::Rank(start, end) => {
                let found = positions(*start, *end, len);
                if down { len - found.end..len - found.start } else { found }
            }
            Bounds::Score(range) => self.window(range.ranks(zset)),
            Bounds::Lex(range) => self.window(range.ranks(zset)),
        }
    }

    /// What LIMIT leaves of a range of ranks.
    fn window(&self, found: Range<usize>) -> Range<usize> {
        let Ok(offset) = usize::try_from(self.offset) else { return 0..0 };
        let offset = offset.min(found.len());
        let count = usize::try_from(self.limit).unwrap_or(usize::MAX).min(found.len() - offset);
        match self.direction {
            Direction::Up => found.start + offset..found.start + offset + count,
            Direction::Down => found.end - offset - count..found.end - offset,
        }
    }
}

fn zrange(call: &mut Call<'_>) -> Result<Effect, Error> {
    let scored = Some(Form::scored(call.reply.proto()));
    answer(call, &Grammar { by: None, direction: None, scored })
}

fn reply(call: &mut Call<'_>, by: By, direction: Direction) -> Result<Effect, Error> {
    let scored = Some(Form::scored(call.reply.proto()));
    answer(call, &Grammar { by: Some(by), direction: Some(direction), scored })
}

fn answer(call: &mut Call<'_>, grammar: &Grammar) -> Result<Effect, Error> {
    let query = Query::read(call.args.from(2), grammar)?;
    let Some(zset) = call.keys.zset(call.db, call.args.at(1))? else {
        call.reply.array(0);
        return Ok(Effect::Nothing);
    };
    let (ranks, form) = (query.ranks(zset), query.form);
    form.header(&mut call.reply, ranks.len());
    match query.direction {
        Direction::Up => {
            let found = zset.upwards(ranks.start).take(ranks.len());
            found.for_each(|(score, member)| form.write(&mut call.reply, score, member));
        }
        Direction::Down => {
            let found = zset.downwards(ranks.end.saturating_sub(1)).take(ranks.len());
            found.for_each(|(score, member)| form.write(&mut call.reply, score, member));
        }
    }
    Ok(Effect::Nothing)
}

fn zrangestore(call: &mut Call<'_>) -> Result<Effect, Error> {
    let grammar = Grammar { by: None, direction: None, scored: None };
    let query = Query::read(call.args.from(3), &grammar)?;
    let found: Vec<(f64, Box<[u8]>)> = match call.keys.zset(call.db, call.args.at(2))? {
        Some(zset) => {
            let ranks = query.ranks(zset);
            let found = zset.upwards(ranks.start).take(ranks.len());
            found.map(|(score, member)| (score, member.into())).collect()
        }
        None => Vec::new(),
    };
    store(call, call.args.at(1), &found)
}

/// Makes a key hold these members, which are in order, or removes it when there are none; replies
/// with their number.
pub fn store(call: &mut Call<'_>, key: &[u8], found: &[(f64, Box<[u8]>)]) -> Result<Effect, Error> {
    let changed = if found.is_empty() {
        call.keys.remove(call.db, key)
    } else {
        let members = found.iter().map(|(score, member)| (*score, &**member));
        call.keys.set_zset(call.db, key, members);
        true
    };
    call.reply.integer(found.len() as i64);
    Ok(if changed { Effect::AsSent } else { Effect::Nothing })
}
