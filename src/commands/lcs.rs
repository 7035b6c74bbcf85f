//! LCS: the longest common subsequence of two strings.

use std::ops::Range;

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer, is};
use crate::commands::row::{FIRST_TWO, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::limits::STRING_MAX;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[on(
    FIRST_TWO,
    Across::Gather,
    row(
        "lcs",
        -3,
        Flags::READONLY,
        lcs,
        Docs::of(
            "string",
            "7.0.0",
            "O(N*M) where N and M are the lengths of the strings.",
            "Finds the longest common subsequence of two strings.",
        ),
    ),
)];

#[derive(Debug, Default)]
struct Options {
    len: bool,
    idx: bool,
    with_match_len: bool,
    min_match_len: u64,
}

impl Options {
    fn read(words: Args<'_>) -> Result<Options, Error> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if is(word, "IDX") {
                options.idx = true;
            } else if is(word, "LEN") {
                options.len = true;
            } else if is(word, "WITHMATCHLEN") {
                options.with_match_len = true;
            } else if is(word, "MINMATCHLEN") {
                let least = integer(words.next().ok_or(Error::Syntax)?)?;
                options.min_match_len = u64::try_from(least).unwrap_or(0);
            } else {
                return Err(Error::Syntax);
            }
        }
        if options.len && options.idx {
            return Err(Error::LCS_LEN_IDX);
        }
        Ok(options)
    }
}

/// A stretch that both strings have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Match {
    a: Range<usize>,
    b: Range<usize>,
}

fn lcs(call: &mut Call<'_>) -> Result<Effect, Error> {
    let a = text(call, 1)?;
    let b = text(call, 2)?;
    let options = Options::read(call.args.from(3))?;
    // Redis keeps four bytes for each pair of positions, and refuses what does not fit. We keep
    // one bit, but accept the same.
    let cells = (a.len() as u128 + 1) * (b.len() as u128 + 1);
    if cells * 4 > STRING_MAX as u128 {
        return Err(Error::LCS_MEMORY);
    }
    let table = Table::new(&a, &b);
    if options.len {
        call.reply.integer(table.length as i64);
        return Ok(Effect::Nothing);
    }
    let matches = table.matches(&a, &b);
    if options.idx {
        reply_matches(&mut call.reply, &matches, table.length, &options);
    } else {
        let parts = matches.iter().rev().filter_map(|found| a.get(found.a.clone()));
        call.reply.bulk(&parts.collect::<Vec<_>>().concat());
    }
    Ok(Effect::Nothing)
}

fn text(call: &mut Call<'_>, at: usize) -> Result<Vec<u8>, Error> {
    match call.keys.string(call.db, call.args.at(at)) {
        Ok(value) => Ok(value.map_or_else(Vec::new, |value| value.flat().to_vec())),
        Err(_) => Err(Error::LCS_TYPE),
    }
}

/// The matches from the last to the first, as Redis lists them.
fn reply_matches(reply: &mut Reply<'_>, matches: &[Match], length: u32, options: &Options) {
    let wanted = |found: &&Match| found.a.len() as u64 >= options.min_match_len;
    reply.map(2);
    reply.bulk(b"matches");
    reply.array(matches.iter().filter(wanted).count());
    for found in matches.iter().filter(wanted) {
        reply.array(2 + usize::from(options.with_match_len));
        for range in [&found.a, &found.b] {
            reply.array(2);
            reply.integer(range.start as i64);
            reply.integer(range.end as i64 - 1);
        }
        if options.with_match_len {
            reply.integer(found.a.len() as i64);
        }
    }
    reply.bulk(b"len");
    reply.integer(i64::from(length));
}

/// The way through the usual table of prefix lengths: for each pair of positions one bit that says
/// whether the longer subsequence drops the last byte of `a`. Only two rows of lengths are kept.
#[derive(Debug)]
struct Table {
    width: usize,
    up: Vec<u64>,
    length: u32,
}

impl Table {
    fn new(a: &[u8], b: &[u8]) -> Table {
        let width = b.len();
        let mut up = vec![0u64; (a.len() * width).div_ceil(64)];
        let mut lengths = vec![0u32; width];
        for (row, x) in a.iter().enumerate() {
            let (mut diagonal, mut left) = (0, 0);
            for (column, (y, slot)) in b.iter().zip(&mut lengths).enumerate() {
                let top = *slot;
                let cell = row * width + column;
                if top > left
                    && let Some(word) = up.get_mut(cell / 64)
                {
                    *word |= 1 << (cell % 64);
                }
                left = if x == y { diagonal + 1 } else { top.max(left) };
                diagonal = top;
                *slot = left;
            }
        }
        Table { width, up, length: lengths.last().copied().unwrap_or_default() }
    }

    fn is_up(&self, row: usize, column: usize) -> bool {
        let cell = row * self.width + column;
        self.up.get(cell / 64).is_some_and(|word| word & 1 << (cell % 64) != 0)
    }

    /// The matches from the last to the first.
    fn matches(&self, a: &[u8], b: &[u8]) -> Vec<Match> {
        let mut found: Vec<Match> = Vec::new();
        let (mut row, mut column) = (a.len(), b.len());
        while let (Some(i), Some(j)) = (row.checked_sub(1), column.checked_sub(1)) {
            if a.get(i) != b.get(j) {
                if self.is_up(i, j) {
                    row = i
                } else {
                    column = j
                }
                continue;
            }
            match found.last_mut() {
                Some(last) if last.a.start == row && last.b.start == column => {
                    last.a.start = i;
                    last.b.start = j;
                }
                _ => found.push(Match { a: i..row, b: j..column }),
            }
            (row, column) = (i, j);
        }
        found
    }
}
