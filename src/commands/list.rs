//! Lists: elements in order, at both ends and in between.

use std::ops::Range;

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{choice, integer, integer_in, is};
use crate::commands::row::{WRITE_FAST, WRITE_OOM, WRITE_OOM_FAST, row};
use crate::commands::spec::{Command, Docs, Flags};
use crate::keyspace::keyspace::{ListMut, WrongType};
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::list::List;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("lpush", -3, WRITE_OOM_FAST, lpush, docs("1.0.0", PUSH, "Puts elements before a list.")),
    row("rpush", -3, WRITE_OOM_FAST, rpush, docs("1.0.0", PUSH, "Puts elements after a list.")),
    row(
        "lpushx",
        -3,
        WRITE_OOM_FAST,
        lpushx,
        docs("2.2.0", PUSH, "Puts elements before a list that exists."),
    ),
    row(
        "rpushx",
        -3,
        WRITE_OOM_FAST,
        rpushx,
        docs("2.2.0", PUSH, "Puts elements after a list that exists."),
    ),
    row("lpop", -2, WRITE_FAST, lpop, docs("1.0.0", POP, "Takes the first elements of a list.")),
    row("rpop", -2, WRITE_FAST, rpop, docs("1.0.0", POP, "Takes the last elements of a list.")),
    row("llen", 2, READ_FAST, llen, docs("1.0.0", "O(1)", "Counts the elements of a list.")),
    row("lindex", 3, Flags::READONLY, lindex, docs("1.0.0", SEEK, "Returns an element.")),
    row("lset", 4, WRITE_OOM, lset, docs("1.0.0", SEEK, "Puts an element in another's place.")),
    row("lrange", 4, Flags::READONLY, lrange, docs("1.0.0", RANGE, "Returns a range.")),
    row("ltrim", 4, Flags::WRITE, ltrim, docs("1.0.0", SEEK, "Removes all but a range.")),
    row("lrem", 4, Flags::WRITE, lrem, docs("1.0.0", SCAN, "Removes elements that are equal.")),
    row(
        "linsert",
        5,
        WRITE_OOM,
        linsert,
        docs("2.2.0", SCAN, "Puts an element before or after another."),
    ),
    row("lpos", -3, Flags::READONLY, lpos, docs("6.0.6", SCAN, "Finds elements that are equal.")),
];

const PUSH: &str = "O(1) for each element, O(log N) in a list of N chunks.";
const POP: &str = "O(N) where N is the number of elements taken.";
const SEEK: &str = "O(log N)";
const RANGE: &str = "O(log N + M) where M is the number of elements returned.";
const SCAN: &str = "O(N) where N is the number of elements in the list.";

/// `readonly fast`
const READ_FAST: Flags = Flags::of(&[Flags::READONLY, Flags::FAST]);

/// LPOS's RANK of 0.
const RANK: Error = Error::Text(std::borrow::Cow::Borrowed(
    "ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use \
     negative to start from the end of the list",
));

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("list", since, complexity, summary)
}

/// An end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The first element's.
    Left,
    /// The last element's.
    Right,
}

impl End {
    /// The end that a word means.
    pub fn of_word(word: &[u8]) -> Result<End, Error> {
        choice(word, &[("left", End::Left), ("right", End::Right)]).ok_or(Error::Syntax)
    }

    /// The command that pops here.
    pub fn pop_name(self) -> &'static [u8] {
        match self {
            End::Left => b"LPOP",
            End::Right => b"RPOP",
        }
    }

    /// Where an element is put at this end.
    pub fn index(self) -> usize {
        match self {
            End::Left => 0,
            End::Right => usize::MAX,
        }
    }

    /// The range of `count` elements at this end of a list of `len`.
    pub fn range(self, count: usize, len: usize) -> Range<usize> {
        let count = count.min(len);
        match self {
            End::Left => 0..count,
            End::Right => len - count..len,
        }
    }
}

/// Replies with the elements at one end as an array, the outermost first, and removes them.
pub fn pop_array(reply: &mut Reply<'_>, list: &mut ListMut<'_>, end: End, count: usize) {
    let range = end.range(count, list.list().len());
    reply.array(range.len());
    let elements = list.list().iter_from(range.start).take(range.len());
    match end {
        End::Left => elements.for_each(|element| reply.bulk(element)),
        End::Right => {
            let elements: Vec<&[u8]> = elements.collect();
            elements.iter().rev().for_each(|element| reply.bulk(element));
        }
    }
    list.remove(range.start, range.end);
}

fn lpush(call: &mut Call<'_>) -> Result<Effect, Error> {
    push(call, End::Left)
}

fn rpush(call: &mut Call<'_>) -> Result<Effect, Error> {
    push(call, End::Right)
}

fn lpushx(call: &mut Call<'_>) -> Result<Effect, Error> {
    push_to_existing(call, End::Left)
}

fn rpushx(call: &mut Call<'_>) -> Result<Effect, Error> {
    push_to_existing(call, End::Right)
}

fn push(call: &mut Call<'_>, end: End) -> Result<Effect, Error> {
    let mut list = call.keys.list_or_new(call.db, call.args.at(1))?;
    for element in call.args.from(2).iter() {
        list.insert(end.index(), element);
    }
    call.reply.integer(list.list().len() as i64);
    Ok(Effect::AsSent)
}

fn push_to_existing(call: &mut Call<'_>, end: End) -> Result<Effect, Error> {
    if call.keys.list(call.db, call.args.at(1))?.is_none() {
        call.reply.integer(0);
        return Ok(Effect::Nothing);
    }
    push(call, end)
}

fn lpop(call: &mut Call<'_>) -> Result<Effect, Error> {
    pop(call, "lpop", End::Left)
}

fn rpop(call: &mut Call<'_>) -> Result<Effect, Error> {
    pop(call, "rpop", End::Right)
}

fn pop(call: &mut Call<'_>, name: &str, end: End) -> Result<Effect, Error> {
    if call.args.len() > 3 {
        return Err(Error::WrongArity(name.to_owned()));
    }
    let counted = call.args.len() == 3;
    let count = match counted {
        true => {
            let count = integer(call.args.at(2)).map_err(|_| Error::NOT_POSITIVE)?;
            usize::try_from(count).map_err(|_| Error::NOT_POSITIVE)?
        }
        false => 1,
    };
    let Some(mut list) = call.keys.list_mut(call.db, call.args.at(1))? else {
        match counted {
            true => call.reply.null_array(),
            false => call.reply.null(),
        }
        return Ok(Effect::Nothing);
    };
    if counted {
        if count == 0 {
            call.reply.array(0);
            return Ok(Effect::Nothing);
        }
        pop_array(&mut call.reply, &mut list, end, count);
    } else {
        let range = end.range(1, list.list().len());
        list.list().get(range.start).iter().for_each(|element| call.reply.bulk(element));
        list.remove(range.start, range.end);
    }
    Ok(Effect::AsSent)
}

fn llen(call: &mut Call<'_>) -> Result<Effect, Error> {
    let list = call.keys.list(call.db, call.args.at(1))?;
    call.reply.integer(list.map_or(0, List::len) as i64);
    Ok(Effect::Nothing)
}

/// The index that a number means which may count from the end; one that is there.
fn index_in(list: &List, index: i64) -> Option<usize> {
    let len = list.len();
    let index = match usize::try_from(index) {
        Ok(index) => index,
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?)?,
    };
    (index < len).then_some(index)
}

/// The range that two numbers mean which may count from the end.
fn range_in(len: usize, from: i64, to: i64) -> Range<usize> {
    let at = |index: i64| {
        let len = len as i64;
        if index < 0 { len.saturating_add(index).max(0) } else { index.min(len) }
    };
    let end = if to < 0 && to.unsigned_abs() > len as u64 { 0 } else { at(to.saturating_add(1)) };
    // -1 is the last element, so what follows it is the end of the list.
    let end = if to == -1 { len as i64 } else { end };
    let start = at(from);
    start as usize..end.max(start) as usize
}

fn lindex(call: &mut Call<'_>) -> Result<Effect, Error> {
    let Some(list) = call.keys.list(call.db, call.args.at(1))? else {
        call.reply.null();
        return Ok(Effect::Nothing);
    };
    let index = integer(call.args.at(2))?;
    match index_in(list, index).and_then(|index| list.get(index)) {
        Some(element) => call.reply.bulk(element),
        None => call.reply.null(),
    }
    Ok(Effect::Nothing)
}

fn lset(call: &mut Call<'_>) -> Result<Effect, Error> {
    let list = call.keys.list_mut(call.db, call.args.at(1))?;
    let mut list = list.ok_or(Error::NoSuchKey)?;
    let index = integer(call.args.at(2))?;
    let index = index_in(list.list(), index).ok_or(Error::INDEX)?;
    list.replace(index, call.args.at(3));
    call.reply.ok();
    Ok(Effect::AsSent)
}

fn lrange(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (from, to) = (integer(call.args.at(2))?, integer(call.args.at(3))?);
    let Some(list) = call.keys.list(call.db, call.args.at(1))? else {
        call.reply.array(0);
        return Ok(Effect::Nothing);
    };
    let range = range_in(list.len(), from, to);
    call.reply.array(range.len());
    for element in list.iter_from(range.start).take(range.len()) {
        call.reply.bulk(element);
    }
    Ok(Effect::Nothing)
}

fn ltrim(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (from, to) = (integer(call.args.at(2))?, integer(call.args.at(3))?);
    let key = call.args.at(1);
    let len = call.keys.list(call.db, key)?.map_or(0, List::len);
    call.reply.ok();
    let range = range_in(len, from, to);
    if range.len() == len {
        if len > 0 {
            // As in Redis, whoever watches the list is told of a change.
            call.keys.touched(call.db, key);
        }
        return Ok(Effect::Nothing);
    }
    let Some(mut list) = call.keys.list_mut(call.db, key)? else { return Ok(Effect::Nothing) };
    if range.is_empty() {
        list.remove(0, len);
    } else {
        list.remove(range.end, len);
        list.remove(0, range.start);
    }
    Ok(Effect::AsSent)
}

fn lrem(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (count, wanted) = (integer(call.args.at(2))?, call.args.at(3));
    let Some(mut list) = call.keys.list_mut(call.db, call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Effect::Nothing);
    };
    let most = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let most = if most == 0 { usize::MAX } else { most };
    let len = list.list().len();
    let is_wanted = |(_, element): &(usize, &[u8])| *element == wanted;
    // Removed from the last to the first, so that the other indices stay what they are.
    let found: Vec<usize> = if count < 0 {
        let indexed = list.list().iter_back().enumerate().filter(is_wanted).take(most);
        indexed.map(|(index, _)| len - 1 - index).collect()
    } else {
        let indexed = list.list().iter_from(0).enumerate().filter(is_wanted).take(most);
        let mut found: Vec<usize> = indexed.map(|(index, _)| index).collect();
        found.reverse();
        found
    };
    for run in found.chunk_by(|later, earlier| earlier + 1 == *later) {
        if let (Some(last), Some(first)) = (run.first(), run.last()) {
            list.remove(*first, last + 1);
        }
    }
    call.reply.integer(found.len() as i64);
    Ok(if found.is_empty() { Effect::Nothing } else { Effect::AsSent })
}

fn linsert(call: &mut Call<'_>) -> Result<Effect, Error> {
    let offset = choice(call.args.at(2), &[("before", 0), ("after", 1)]).ok_or(Error::Syntax)?;
    let Some(mut list) = call.keys.list_mut(call.db, call.args.at(1))? else {
        call.reply.integer(0);
        return Ok(Effect::Nothing);
    };
    let pivot = call.args.at(3);
    let Some(index) = list.list().iter_from(0).position(|element| element == pivot) else {
        call.reply.integer(-1);
        return Ok(Effect::Nothing);
    };
    list.insert(index + offset, call.args.at(4));
    call.reply.integer(list.list().len() as i64);
    Ok(Effect::AsSent)
}

/// What LPOS looks for.
struct Search {
    rank: i64,
    count: Option<usize>,
    most: usize,
}

fn search(call: &Call<'_>) -> Result<Search, Error> {
    let mut search = Search { rank: 1, count: None, most: 0 };
    let options = call.args.from(3);
    let natural = |arg: &[u8], text: &'static str| {
        let number = integer_in(arg, 0..=i64::MAX).map_err(|_| Error::Text(text.into()))?;
        usize::try_from(number).map_err(|_| Error::NotInteger)
    };
    for at in (0..options.len()).step_by(2) {
        let word = options.at(at);
        if at + 1 == options.len() {
            return Err(Error::Syntax);
        }
        let value = options.at(at + 1);
        if is(word, "rank") {
            search.rank = integer(value)?;
            match search.rank {
                0 => return Err(RANK),
                i64::MIN => return Err(Error::value_between(-i64::MAX, i64::MAX)),
                _ => {}
            }
        } else if is(word, "count") {
            search.count = Some(natural(value, "ERR COUNT can't be negative")?);
        } else if is(word, "maxlen") {
            search.most = natural(value, "ERR MAXLEN can't be negative")?;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(search)
}

/// The indices that fit, in the order in which they are found.
fn find(list: &List, wanted: &[u8], search: &Search) -> Vec<usize> {
    let most = if search.most == 0 { usize::MAX } else { search.most };
    let skip = usize::try_from(search.rank.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let count = match search.count {
        None => 1,
        Some(0) => usize::MAX,
        Some(count) => count,
    };
    let last = list.len().saturating_sub(1);
    let is_wanted = |(_, element): &(usize, &[u8])| *element == wanted;
    if search.rank > 0 {
        let found = list.iter_from(0).take(most).enumerate().filter(is_wanted);
        found.skip(skip).take(count).map(|(index, _)| index).collect()
    } else {
        let found = list.iter_back().take(most).enumerate().filter(is_wanted);
        found.skip(skip).take(count).map(|(index, _)| last - index).collect()
    }
}

fn lpos(call: &mut Call<'_>) -> Result<Effect, Error> {
    let search = search(call)?;
    let wanted = call.args.at(2);
    let list: Result<Option<&List>, WrongType> = call.keys.list(call.db, call.args.at(1));
    let found = list?.map(|list| find(list, wanted, &search)).unwrap_or_default();
    match (search.count, found.first()) {
        (Some(_), _) => {
            call.reply.array(found.len());
            found.iter().for_each(|index| call.reply.integer(*index as i64));
        }
        (None, Some(index)) => call.reply.integer(*index as i64),
        (None, None) => call.reply.null(),
    }
    Ok(Effect::Nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_count_from_both_ends() {
        for (len, from, to, range) in [
            (5, 0, -1, 0..5),
            (5, 1, 3, 1..4),
            (5, -3, -2, 2..4),
            (5, -100, 100, 0..5),
            (5, 3, 1, 3..3),
            (5, 0, -6, 0..0),
            (5, 0, -5, 0..1),
            (5, 7, 9, 5..5),
            (0, 0, -1, 0..0),
            (5, i64::MIN, i64::MAX, 0..5),
            (5, i64::MAX, i64::MIN, 5..5),
        ] {
            assert_eq!(range_in(len, from, to), range, "{len} {from} {to}");
        }
    }
}
