//! Parts of strings: GETRANGE, SETRANGE, APPEND, STRLEN.

use std::ops::Range;

use crate::commands::call::{Call, Effect};
use crate::commands::parse::integer;
use crate::commands::row::{READ_FAST, WRITE_OOM, WRITE_OOM_FAST, row};
use crate::commands::spec::{Command, Docs, Flags};
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "append",
        3,
        WRITE_OOM_FAST,
        append,
        docs("2.0.0", "O(1) amortised", "Appends to the string at a key, made if missing."),
    ),
    row("strlen", 2, READ_FAST, strlen, docs("2.2.0", "O(1)", "Length of the string at a key.")),
    row(
        "getrange",
        4,
        Flags::READONLY,
        getrange,
        docs("2.4.0", "O(N) where N is the length of the part.", "Returns a part of a string."),
    ),
    row(
        "substr",
        4,
        Flags::READONLY,
        getrange,
        docs("1.0.0", "O(N) where N is the length of the part.", "The old name of GETRANGE."),
    ),
    row(
        "setrange",
        4,
        WRITE_OOM,
        setrange,
        docs("2.2.0", "O(N) where N is the length of the part.", "Overwrites a part of a string."),
    ),
];

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("string", since, complexity, summary)
}

fn append(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, tail) = (call.args.at(1), call.args.at(2));
    let longest = call.keys.string_limits().longest;
    if let Some(value) = call.keys.string(call.db, key)? {
        check_length(value.len(), tail.len(), longest)?;
    }
    let len = call.keys.append(call.db, key, tail)?;
    call.reply.integer(len as i64);
    Ok(Effect::AsSent)
}

fn strlen(call: &mut Call<'_>) -> Result<Effect, Error> {
    let len = call.keys.string(call.db, call.args.at(1))?.map_or(0, |value| value.len());
    call.reply.integer(len as i64);
    Ok(Effect::Nothing)
}

fn getrange(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (start, end) = (integer(call.args.at(2))?, integer(call.args.at(3))?);
    match call.keys.string(call.db, call.args.at(1))? {
        Some(value) => {
            let part = part(start, end, value.len());
            call.reply.bulk_with(part.len(), |out| value.copy_range(part, out));
        }
        None => call.reply.bulk(b""),
    }
    Ok(Effect::Nothing)
}

/// The bytes meant by `start` to `end` (inclusive, negative: from the end) of a string.
fn part(start: i64, end: i64, len: usize) -> Range<usize> {
    let from_start = |index: i64| {
        if index >= 0 {
            usize::try_from(index).unwrap_or(usize::MAX)
        } else {
            len.saturating_sub(usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX))
        }
    };
    // Two negative ends in the wrong order mean nothing, even where both would be cut to 0.
    if len == 0 || (start < 0 && end < 0 && start > end) {
        return 0..0;
    }
    let (start, end) = (from_start(start), from_start(end).min(len - 1));
    if start > end { 0..0 } else { start..end + 1 }
}

fn setrange(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (key, bytes) = (call.args.at(1), call.args.at(3));
    let offset = usize::try_from(integer(call.args.at(2))?).map_err(|_| Error::OFFSET)?;
    let old = call.keys.string(call.db, key)?.map_or(0, |value| value.len());
    if bytes.is_empty() {
        call.reply.integer(old as i64);
        return Ok(Effect::Nothing);
    }
    check_length(offset, bytes.len(), call.keys.string_limits().longest)?;
    let len = call.keys.set_range(call.db, key, offset, bytes)?;
    call.reply.integer(len as i64);
    Ok(Effect::AsSent)
}

/// May a string have `base + more` bytes?
fn check_length(base: usize, more: usize, longest: usize) -> Result<(), Error> {
    match base.checked_add(more) {
        Some(total) if total <= longest => Ok(()),
        _ => Err(Error::STRING_TOO_LONG),
    }
}

#[cfg(test)]
mod tests {
    use super::part;

    #[test]
    fn parts_of_a_string() {
        for (start, end, len, expected) in [
            (0, 3, 16, 0..4),
            (0, -1, 16, 0..16),
            (-3, -1, 16, 13..16),
            (5, 3, 16, 0..0),
            (20, 30, 16, 0..0),
            (0, 0, 0, 0..0),
            (-1, -5, 3, 0..0),
            (-100, -50, 3, 0..1),
            (i64::MIN, i64::MAX, 3, 0..3),
            (i64::MAX, i64::MIN, 3, 0..0),
            (0, i64::MIN, 3, 0..1),
        ] {
            assert_eq!(part(start, end, len), expected, "{start} {end} {len}");
        }
    }
}
