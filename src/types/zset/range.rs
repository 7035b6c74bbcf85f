//! Ranges of a sorted set, by score or by member, as ranges of ranks.

use std::ops::Range;

use crate::types::zset::Zset;

/// Scores from a least to a greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreRange {
    /// The least.
    pub min: Limit<f64>,
    /// The greatest.
    pub max: Limit<f64>,
}

/// Members from a first to a last, where they ascend with scores: most often among equal scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LexRange<'a> {
    /// The first.
    pub min: Lex<'a>,
    /// The last.
    pub max: Lex<'a>,
}

/// One end of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit<T> {
    /// With this one.
    Including(T),
    /// Without it.
    Excluding(T),
}

/// One end of a range of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lex<'a> {
    /// Before all members.
    Lowest,
    /// After all members.
    Highest,
    /// A member, which need not be there.
    At(Limit<&'a [u8]>),
}

impl ScoreRange {
    /// The ranks of the members whose scores are in the range.
    pub fn ranks(&self, zset: &Zset) -> Range<usize> {
        let start = match self.min {
            Limit::Including(min) => below(zset, min),
            Limit::Excluding(min) => up_to(zset, min),
        };
        let end = match self.max {
            Limit::Including(max) => up_to(zset, max),
            Limit::Excluding(max) => below(zset, max),
        };
        start..end.max(start)
    }
}

impl LexRange<'_> {
    /// The ranks of the members that are in the range, if members ascend with scores. Where they do
    /// not, which are found is not specified.
    pub fn ranks(&self, zset: &Zset) -> Range<usize> {
        let start = match self.min {
            Lex::Lowest => 0,
            Lex::Highest => zset.len(),
            Lex::At(Limit::Including(min)) => zset.leading(0, |member| member < min),
            Lex::At(Limit::Excluding(min)) => zset.leading(0, |member| member <= min),
        };
        let end = match self.max {
            Lex::Lowest => start,
            Lex::Highest => zset.len(),
            Lex::At(Limit::Including(max)) => zset.leading(start, |member| member <= max),
            Lex::At(Limit::Excluding(max)) => zset.leading(start, |member| member < max),
        };
        start..end
    }
}

/// How many members have a score below this one.
fn below(zset: &Zset, score: f64) -> usize {
    zset.before(score, &[])
}

/// How many members have this score or a lower one.
fn up_to(zset: &Zset, score: f64) -> usize {
    if score == f64::INFINITY { zset.len() } else { zset.before(score.next_up(), &[]) }
}
