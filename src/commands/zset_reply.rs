//! How members and scores are read from requests and written in replies.

use crate::base::number::{parse_double, parse_double_saturating};
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};
use crate::types::zset::range::{Lex, LexRange, Limit, ScoreRange};

/// How members are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Members alone.
    Members,
    /// Members and scores, one after another.
    Flat,
    /// An array of two for each member.
    Pairs,
}

impl Form {
    /// Members and scores as this version has them.
    pub fn scored(proto: Proto) -> Form {
        if proto == Proto::Two { Form::Flat } else { Form::Pairs }
    }

    /// The head of an array of so many members.
    pub fn header(self, reply: &mut Reply<'_>, count: usize) {
        reply.array(if self == Form::Flat { count * 2 } else { count });
    }

    /// One of them.
    pub fn write(self, reply: &mut Reply<'_>, score: f64, member: &[u8]) {
        if self == Form::Pairs {
            reply.array(2);
        }
        reply.bulk(member);
        if self != Form::Members {
            reply.double(score);
        }
    }
}

/// A score.
pub fn score(arg: &[u8]) -> Result<f64, Error> {
    parse_double(arg).ok_or(Error::NotFloat)
}

/// A range of scores: `(` before a number excludes it.
pub fn score_range(min: &[u8], max: &[u8]) -> Result<ScoreRange, Error> {
    let range = score_limit(min).zip(score_limit(max));
    range.map(|(min, max)| ScoreRange { min, max }).ok_or(Error::SCORE_RANGE)
}

/// A range of members: `[` or `(` before each, or `-` and `+`.
pub fn lex_range<'a>(min: &'a [u8], max: &'a [u8]) -> Result<LexRange<'a>, Error> {
    let range = lex_limit(min).zip(lex_limit(max));
    range.map(|(min, max)| LexRange { min, max }).ok_or(Error::LEX_RANGE)
}

fn score_limit(arg: &[u8]) -> Option<Limit<f64>> {
    match arg.strip_prefix(b"(") {
        Some(rest) => c_double(rest).map(Limit::Excluding),
        None => c_double(arg).map(Limit::Including),
    }
}

/// A number as C reads it from a string: blanks before it, nothing at all for zero.
fn c_double(text: &[u8]) -> Option<f64> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    if text.is_empty() {
        return Some(0.0);
    }
    let blank = |byte: &u8| !matches!(*byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(blank)?;
    parse_double_saturating(text.get(start..)?)
}

fn lex_limit(arg: &[u8]) -> Option<Lex<'_>> {
    match arg {
        b"-" => Some(Lex::Lowest),
        b"+" => Some(Lex::Highest),
        [b'[', member @ ..] => Some(Lex::At(Limit::Including(member))),
        [b'(', member @ ..] => Some(Lex::At(Limit::Excluding(member))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_scores() {
        let lines: &[(&str, Option<Limit<f64>>)] = &[
            ("1", Some(Limit::Including(1.0))),
            ("(1.5", Some(Limit::Excluding(1.5))),
            ("-inf", Some(Limit::Including(f64::NEG_INFINITY))),
            ("(+inf", Some(Limit::Excluding(f64::INFINITY))),
            ("1e400", Some(Limit::Including(f64::INFINITY))),
            (" 1", Some(Limit::Including(1.0))),
            ("", Some(Limit::Including(0.0))),
            ("(", Some(Limit::Excluding(0.0))),
            ("1 ", None),
            (" ", None),
            ("nan", None),
            ("[1", None),
            ("((1", None),
        ];
        for &(text, expected) in lines {
            assert_eq!(score_limit(text.as_bytes()), expected, "{text}");
        }
    }
}
