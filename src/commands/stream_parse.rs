//! What the commands of streams have in common: ids, ranges, how entries are told.

use crate::base::time::Millis;
use crate::commands::parse::{integer, is};
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::stream::Stream;
use crate::types::stream::chunk::Entry;
use crate::types::stream::id::StreamId;

/// The longest text that Redis takes for an id.
const ID_TEXT_MAX: usize = 127;

/// The id of an entry that is to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewId {
    /// `*`
    Auto,
    /// `ms-*`
    Within(u64),
    /// All of it.
    Given(StreamId),
}

impl NewId {
    /// Reads `*`, `ms-*`, `ms-seq` or `ms`.
    pub fn read(text: &[u8]) -> Result<NewId, Error> {
        if text == b"*" {
            return Ok(NewId::Auto);
        }
        match text.strip_suffix(b"-*") {
            Some(ms) if text.len() <= ID_TEXT_MAX => {
                unsigned(ms).map(NewId::Within).ok_or(Error::STREAM_ID)
            }
            _ => strict_id(text).map(NewId::Given),
        }
    }

    /// The id after `last` at this time; nothing when it would not be above it.
    pub fn after(self, last: StreamId, now: Millis) -> Option<StreamId> {
        let id = match self {
            NewId::Auto if now.0 > last.ms => StreamId { ms: now.0, seq: 0 },
            NewId::Auto => last.next()?,
            NewId::Within(ms) if ms == last.ms => StreamId { ms, seq: last.seq.checked_add(1)? },
            NewId::Within(ms) => StreamId { ms, seq: 0 },
            NewId::Given(id) => id,
        };
        (id > last).then_some(id)
    }
}

/// `ms-seq`, or `ms` with seq 0.
pub fn strict_id(text: &[u8]) -> Result<StreamId, Error> {
    full_id(text, 0)
}

/// The same, or `-` for the lowest and `+` for the highest id.
pub fn any_id(text: &[u8]) -> Result<StreamId, Error> {
    edge(text).map_or_else(|| strict_id(text), Ok)
}

/// Where a range begins: `(` excludes the id itself.
pub fn range_start(text: &[u8]) -> Result<StreamId, Error> {
    match text.strip_prefix(b"(") {
        Some(id) if !id.is_empty() => strict_id(id)?.next().ok_or(Error::RANGE_START),
        _ => any_id(text),
    }
}

/// Where a range ends.
pub fn range_end(text: &[u8]) -> Result<StreamId, Error> {
    match text.strip_prefix(b"(") {
        Some(id) if !id.is_empty() => full_id(id, u64::MAX)?.before().ok_or(Error::RANGE_END),
        _ => edge(text).map_or_else(|| full_id(text, u64::MAX), Ok),
    }
}

/// All of these ids; none is used when one is wrong.
pub fn strict_ids(args: Args<'_>) -> Result<Vec<StreamId>, Error> {
    args.iter().map(strict_id).collect()
}

/// The number after the word COUNT; one below zero is zero.
pub fn count_of(arg: &[u8]) -> Result<usize, Error> {
    integer(arg).map(|count| usize::try_from(count).unwrap_or(0))
}

/// The option COUNT of XRANGE and XREVRANGE, which may come again and again.
pub fn count_option(args: Args<'_>) -> Result<Option<usize>, Error> {
    let (mut count, mut words) = (None, args.iter());
    while let Some(word) = words.next() {
        match words.next() {
            Some(number) if is(word, "COUNT") => count = Some(count_of(number)?),
            _ => return Err(Error::Syntax),
        }
    }
    Ok(count)
}

/// Writes an id.
pub fn write_id(reply: &mut Reply<'_>, id: StreamId) {
    reply.bulk(&id.text());
}

/// Writes an entry: its id, its fields and values.
pub fn write_entry(reply: &mut Reply<'_>, entry: &Entry<'_>) {
    reply.array(2);
    write_id(reply, entry.id);
    reply.array(entry.len() * 2);
    for (field, value) in entry.pairs() {
        reply.bulk(field);
        reply.bulk(value);
    }
}

/// Writes the one entry with this id; false, and nothing written, when there is none.
pub fn write_one(reply: &mut Reply<'_>, stream: &Stream, id: StreamId) -> bool {
    let entry = stream.range(id, id).next();
    if let Some(entry) = &entry {
        write_entry(reply, entry);
    }
    entry.is_some()
}

fn edge(text: &[u8]) -> Option<StreamId> {
    match text {
        b"-" => Some(StreamId::MIN),
        b"+" => Some(StreamId::MAX),
        _ => None,
    }
}

fn full_id(text: &[u8], missing: u64) -> Result<StreamId, Error> {
    let mut parts = text.splitn(2, |byte| *byte == b'-');
    let ms = parts.next().and_then(unsigned);
    let seq = parts.next().map_or(Some(missing), unsigned);
    match (ms, seq) {
        (Some(ms), Some(seq)) if text.len() <= ID_TEXT_MAX => Ok(StreamId { ms, seq }),
        _ => Err(Error::STREAM_ID),
    }
}

/// A number as strtoull takes it: blanks and a plus sign may come first.
fn unsigned(text: &[u8]) -> Option<u64> {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let text = text.get(text.iter().take_while(|byte| blank(byte)).count()..)?;
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_redis_reads_them() {
        let id = |ms, seq| Some(StreamId { ms, seq });
        let long = "0".repeat(128);
        let lines: [(&str, Option<StreamId>); 14] = [
            ("5", id(5, 0)),
            ("5-3", id(5, 3)),
            ("007-01", id(7, 1)),
            (" 7-+1", id(7, 1)),
            ("18446744073709551615-18446744073709551615", Some(StreamId::MAX)),
            ("18446744073709551616", None),
            ("5-", None),
            ("-5", None),
            ("5-3-1", None),
            ("5 ", None),
            ("", None),
            ("-", None),
            ("+", None),
            (&long, None),
        ];
        for (text, expected) in lines {
            assert_eq!(strict_id(text.as_bytes()).ok(), expected, "{text}");
        }
        assert_eq!(range_start(b"(5").ok(), id(5, 1));
        assert_eq!(range_end(b"(5").ok(), id(5, u64::MAX - 1));
        assert_eq!(range_end(b"(5-0").ok(), id(4, u64::MAX));
        assert_eq!(range_end(b"(0-0"), Err(Error::RANGE_END));
        assert_eq!(range_start(b"(-"), Err(Error::STREAM_ID));
        assert_eq!(range_start(b"("), Err(Error::STREAM_ID));
    }

    #[test]
    fn new_ids_are_above_the_last() {
        let last = StreamId { ms: 10, seq: u64::MAX };
        let id = |ms, seq| Some(StreamId { ms, seq });
        let lines = [
            ("*", 9, id(11, 0)),
            ("*", 10, id(11, 0)),
            ("*", 20, id(20, 0)),
            ("10-*", 20, None),
            ("9-*", 20, None),
            ("11-*", 0, id(11, 0)),
            ("10-5", 0, None),
            ("11", 0, id(11, 0)),
        ];
        for (text, now, expected) in lines {
            let new = NewId::read(text.as_bytes()).unwrap();
            assert_eq!(new.after(last, Millis(now)), expected, "{text} at {now}");
        }
        assert_eq!(NewId::Auto.after(StreamId::MAX, Millis(5)), None);
        assert_eq!(NewId::Within(0).after(StreamId::MIN, Millis(5)), id(0, 1));
        assert_eq!(NewId::read(b"x-*"), Err(Error::STREAM_ID));
    }
}
