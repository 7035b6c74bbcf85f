//! Unions, intersections and differences of sorted sets and sets.

use std::collections::HashMap;

use crate::base::ids::Db;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{choice, integer, is, not_negative};
use crate::commands::row::{COUNTED, COUNTED_INTO, WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::commands::zset_range::store;
use crate::commands::zset_reply::{Form, score};
use crate::keyspace::keyspace::Keyspace;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::types::set::Set;
use crate::types::value::Value;
use crate::types::zset::Zset;
use crate::types::zset::packed::order;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    read("zunion", docs("6.2.0", UNION, "Unites sorted sets."), |call| {
        tell(call, Operation::Union, "zunion")
    }),
    read("zinter", docs("6.2.0", INTER, "Intersects sorted sets."), |call| {
        tell(call, Operation::Intersection, "zinter")
    }),
    read("zdiff", docs("6.2.0", DIFF, "Takes the members of others from a sorted set."), |call| {
        tell(call, Operation::Difference, "zdiff")
    }),
    read(
        "zintercard",
        docs("7.0.0", INTER, "Counts the members of an intersection of sorted sets."),
        zintercard,
    ),
    write("zunionstore", docs("2.0.0", UNION, "Stores a union of sorted sets."), |call| {
        keep(call, Operation::Union, "zunionstore")
    }),
    write("zinterstore", docs("2.0.0", INTER, "Stores an intersection of sorted sets."), |call| {
        keep(call, Operation::Intersection, "zinterstore")
    }),
    write(
        "zdiffstore",
        docs("6.2.0", DIFF, "Stores what is left of a sorted set without the members of others."),
        |call| keep(call, Operation::Difference, "zdiffstore"),
    ),
];

const UNION: &str = "O(N)+O(M*log(M)), N members of all sets, M members of the result.";
const INTER: &str = "O(N*K)+O(M*log(M)), N members of the smallest of K sets, M of the result.";
const DIFF: &str = "O(N)+O(M*log(M)), N members of all sets, M members of the result.";

type Handler = fn(&mut Call<'_>) -> Result<Effect, Error>;

const fn read(name: &'static str, docs: Docs, run: Handler) -> Command {
    on(COUNTED, Across::Gather, row(name, -3, Flags::READONLY, run, docs))
}

const fn write(name: &'static str, docs: Docs, run: Handler) -> Command {
    on(COUNTED_INTO, Across::Gather, row(name, -4, WRITE_OOM, run, docs))
}

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("sorted-set", since, complexity, summary)
}

/// What is made of several sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Union,
    Intersection,
    Difference,
}

/// How the scores that one member has in several sets become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aggregate {
    Sum,
    Min,
    Max,
}

/// What a key holds.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Absent,
    Scored(&'a Zset),
    /// Every score is 1.
    Plain(&'a Set),
}

/// Which options a command knows, beside those of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Reply,
    Store,
    Count,
}

/// Sets and what is to be made of them.
struct Query<'a> {
    sources: Vec<(f64, Source<'a>)>,
    operation: Operation,
    aggregate: Aggregate,
    with_scores: bool,
    /// 0: none.
    limit: u64,
}

/// Members and scores, in order.
type Scored = Vec<(f64, Box<[u8]>)>;

impl Aggregate {
    fn join(self, a: f64, b: f64) -> f64 {
        match self {
            // Infinities of both signs are zero together.
            Aggregate::Sum => not_nan(a + b),
            Aggregate::Min if b < a => b,
            Aggregate::Max if b > a => b,
            // Of 0 and -0, which are equal, the first counts: clients see which it is.
            Aggregate::Min | Aggregate::Max => a,
        }
    }
}

fn not_nan(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}

impl<'a> Source<'a> {
    fn of(keys: &'a Keyspace, db: Db, key: &[u8]) -> Result<Source<'a>, Error> {
        match keys.peek(db, key)? {
            None => Ok(Source::Absent),
            Some(Value::Zset(zset)) => Ok(Source::Scored(zset)),
            Some(Value::Set(set)) => Ok(Source::Plain(set)),
            Some(_) => Err(Error::WrongType),
        }
    }

    fn len(&self) -> usize {
        match self {
            Source::Absent => 0,
            Source::Scored(zset) => zset.len(),
            Source::Plain(set) => set.len(),
        }
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Source::Absent => None,
            Source::Scored(zset) => zset.score(member),
            Source::Plain(set) => set.contains(member).then_some(1.0),
        }
    }

    /// Calls `each` with scores and members until it says false.
    fn all(&self, each: &mut dyn FnMut(f64, &[u8]) -> bool) {
        match self {
            Source::Absent => {}
            Source::Scored(zset) => {
                zset.upwards(0).all(|(score, member)| each(score, member));
            }
            Source::Plain(set) => {
                set.all(|member| each(1.0, member));
            }
        }
    }
}

impl<'a> Query<'a> {
    /// Reads the number of keys, which is the first of `args`, the keys and the options.
    fn read(
        call: &'a mut Call<'_>,
        at: usize,
        name: &str,
        operation: Operation,
        purpose: Purpose,
    ) -> Result<Query<'a>, Error> {
        let args = call.args.from(at);
        let count = integer(args.at(0))?;
        if count < 1 {
            return Err(Error::err_owned(format!(
                "at least 1 input key is needed for '{name}' command"
            )));
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count >= args.len() {
            return Err(Error::Syntax);
        }
        for key in args.iter().skip(1).take(count) {
            if purpose == Purpose::Store {
                // A replay has to see the same sets: what has expired is removed first.
                call.keys.drop_expired(call.db, key);
            }
            call.keys.touch(call.db, key);
        }
        let mut sources = Vec::new();
        for key in args.iter().skip(1).take(count) {
            sources.push((1.0, Source::of(call.keys, call.db, key)?));
        }
        let aggregate = Aggregate::Sum;
        let mut query = Query { sources, operation, aggregate, with_scores: false, limit: 0 };
        query.options(args.from(1 + count), purpose)?;
        if operation != Operation::Difference {
            query.sources.sort_by_key(|source| source.1.len());
        }
        Ok(query)
    }

    fn options(&mut self, words: Args<'_>, purpose: Purpose) -> Result<(), Error> {
        let weighs = self.operation != Operation::Difference && purpose != Purpose::Count;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let has_argument = words.len() > 0;
            if weighs && words.len() >= self.sources.len() && is(word, "WEIGHTS") {
                for (weight, _) in &mut self.sources {
                    let given = score(words.next().unwrap_or_default());
                    *weight = given.map_err(|_| Error::WEIGHT)?;
                }
            } else if weighs && has_argument && is(word, "AGGREGATE") {
                let ways =
                    [("SUM", Aggregate::Sum), ("MIN", Aggregate::Min), ("MAX", Aggregate::Max)];
                let way = choice(words.next().unwrap_or_default(), &ways);
                self.aggregate = way.ok_or(Error::Syntax)?;
            } else if purpose == Purpose::Reply && is(word, "WITHSCORES") {
                self.with_scores = true;
            } else if purpose == Purpose::Count && has_argument && is(word, "LIMIT") {
                let limit = not_negative(words.next().unwrap_or_default());
                self.limit = limit.map_err(|_| Error::LIMIT_NEGATIVE)?;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(())
    }

    fn evaluate(&self) -> Scored {
        let mut found = match self.operation {
            Operation::Union => self.union(),
            Operation::Intersection => {
                let mut found = Scored::new();
                self.intersection(&mut |score, member| {
                    found.push((score, member.into()));
                    true
                });
                found
            }
            Operation::Difference => self.difference(),
        };
        found.sort_unstable_by(|a, b| order((a.0, &a.1), (b.0, &b.1)));
        found
    }

    fn union(&self) -> Scored {
        let most = self.sources.last().map_or(0, |source| source.1.len());
        let mut sums: HashMap<Box<[u8]>, f64> = HashMap::with_capacity(most);
        for (weight, source) in &self.sources {
            source.all(&mut |score, member| {
                let score = not_nan(weight * score);
                match sums.get_mut(member) {
                    Some(sum) => *sum = self.aggregate.join(*sum, score),
                    None => {
                        sums.insert(member.into(), score);
                    }
                }
                true
            });
        }
        sums.into_iter().map(|(member, score)| (score, member)).collect()
    }

    /// Calls `each` with what is in all sets until it says false.
    fn intersection(&self, each: &mut dyn FnMut(f64, &[u8]) -> bool) {
        let Some(((weight, smallest), others)) = self.sources.split_first() else { return };
        smallest.all(&mut |score, member| {
            let mut sum = not_nan(weight * score);
            for (weight, source) in others {
                let Some(score) = source.score(member) else { return true };
                sum = self.aggregate.join(sum, score * weight);
            }
            each(sum, member)
        });
    }

    fn difference(&self) -> Scored {
        let mut found = Scored::new();
        let Some(((_, first), others)) = self.sources.split_first() else { return found };
        first.all(&mut |score, member| {
            if others.iter().all(|(_, source)| source.score(member).is_none()) {
                found.push((score, member.into()));
            }
            true
        });
        found
    }
}

fn tell(call: &mut Call<'_>, operation: Operation, name: &str) -> Result<Effect, Error> {
    let query = Query::read(call, 1, name, operation, Purpose::Reply)?;
    let (found, with_scores) = (query.evaluate(), query.with_scores);
    let form = if with_scores { Form::scored(call.reply.proto()) } else { Form::Members };
    form.header(&mut call.reply, found.len());
    for (score, member) in &found {
        form.write(&mut call.reply, *score, member);
    }
    Ok(Effect::Nothing)
}

fn keep(call: &mut Call<'_>, operation: Operation, name: &str) -> Result<Effect, Error> {
    let found = Query::read(call, 2, name, operation, Purpose::Store)?.evaluate();
    store(call, call.args.at(1), &found)
}

fn zintercard(call: &mut Call<'_>) -> Result<Effect, Error> {
    let query = Query::read(call, 1, "zintercard", Operation::Intersection, Purpose::Count)?;
    let mut count = 0;
    query.intersection(&mut |_, _| {
        count += 1;
        count != query.limit
    });
    call.reply.integer(i64::try_from(count).unwrap_or(i64::MAX));
    Ok(Effect::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_never_nan() {
        let inf = f64::INFINITY;
        assert_eq!(Aggregate::Sum.join(inf, -inf), 0.0);
        assert_eq!(Aggregate::Sum.join(inf, 1.0), inf);
        assert_eq!(Aggregate::Min.join(inf, -inf), -inf);
        assert_eq!(Aggregate::Max.join(2.0, 3.0), 3.0);
        assert_eq!(not_nan(0.0 * inf), 0.0);
    }
}
