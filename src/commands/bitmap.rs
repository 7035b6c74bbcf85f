//! Strings as arrays of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP.

use std::ops::Range;

use crate::base::number::parse_i64;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{choice, integer, is};
use crate::commands::row::{READ_FAST, WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec};
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::types::bits::{self, Bit, Operation, between};
use crate::types::rope::CHUNK;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("setbit", 4, WRITE_OOM, setbit, docs("2.2.0", "O(1)", "Sets or clears a bit of a string.")),
    row("getbit", 3, READ_FAST, getbit, docs("2.2.0", "O(1)", "Returns a bit of a string.")),
    row(
        "bitcount",
        -2,
        Flags::READONLY,
        bitcount,
        docs("2.6.0", EACH, "Counts the bits that are set in a string, or in a part of it."),
    ),
    row(
        "bitpos",
        -3,
        Flags::READONLY,
        bitpos,
        docs("2.8.7", EACH, "Finds the first bit that is set, or that is not, in a string."),
    ),
    on(
        AFTER_THE_OPERATION,
        Across::Gather,
        row(
            "bitop",
            -4,
            WRITE_OOM,
            bitop,
            docs("2.6.0", EACH, "Combines strings bit by bit and stores the result."),
        ),
    ),
];

const EACH: &str = "O(N) where N is the number of bytes that are looked at.";

/// The target, then the sources.
const AFTER_THE_OPERATION: KeySpec = KeySpec::At { first: 2, last: -1, step: 1 };

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("bitmap", since, complexity, summary)
}

/// The number of a bit that a string of `longest` bytes has.
pub fn bit_offset(word: &[u8], longest: usize) -> Result<u64, Error> {
    let offset = parse_i64(word).and_then(|offset| u64::try_from(offset).ok());
    offset.filter(|offset| offset / 8 < longest as u64).ok_or(Error::BIT_OFFSET)
}

/// The byte that holds a bit, and which bits of it: one.
fn place(offset: u64) -> (usize, u8) {
    (usize::try_from(offset / 8).unwrap_or(usize::MAX), 0x80 >> (offset % 8))
}

fn setbit(call: &mut Call<'_>) -> Result<Effect, Error> {
    let key = call.args.at(1);
    let offset = bit_offset(call.args.at(2), call.keys.string_limits().longest)?;
    let (at, mask) = place(offset);
    let set = match parse_i64(call.args.at(3)) {
        Some(bit @ (0 | 1)) => bit == 1,
        _ => return Err(Error::BIT_VALUE),
    };
    let old = match call.keys.string(call.db, key)? {
        Some(text) => text.piece(at..at + 1).first().copied(),
        None => None,
    };
    let byte = old.unwrap_or(0);
    let new = if set { byte | mask } else { byte & !mask };
    call.reply.integer(i64::from(byte & mask != 0));
    // A bit behind the end makes the string longer even if it is not set.
    if old == Some(new) {
        return Ok(Effect::Nothing);
    }
    call.keys.set_range(call.db, key, at, &[new])?;
    Ok(Effect::AsSent)
}

fn getbit(call: &mut Call<'_>) -> Result<Effect, Error> {
    let offset = bit_offset(call.args.at(2), call.keys.string_limits().longest)?;
    let (at, mask) = place(offset);
    let byte = match call.keys.string(call.db, call.args.at(1))? {
        Some(text) => text.piece(at..at + 1).first().copied(),
        None => None,
    };
    call.reply.integer(i64::from(byte.unwrap_or(0) & mask != 0));
    Ok(Effect::Nothing)
}

/// What a client counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Byte,
    Bit,
}

impl Unit {
    /// The word behind a range.
    fn read(word: Option<&[u8]>) -> Result<Unit, Error> {
        let words = [("BIT", Unit::Bit), ("BYTE", Unit::Byte)];
        match word {
            Some(word) => choice(word, &words).ok_or(Error::Syntax),
            None => Ok(Unit::Byte),
        }
    }

    /// The bits of a string of `len` bytes that are meant by `first` to `last`.
    fn bits(self, first: i64, last: i64, len: usize) -> Range<u64> {
        let len = len as u64;
        match self {
            Unit::Bit => between(first, last, len * 8),
            Unit::Byte => {
                let bytes = between(first, last, len);
                bytes.start * 8..bytes.end * 8
            }
        }
    }
}

/// BITCOUNT key [start end [BYTE|BIT]]
fn bitcount(call: &mut Call<'_>) -> Result<Effect, Error> {
    let words = call.args.from(2);
    let (first, last, unit) = match words.len() {
        0 => (0, -1, Unit::Byte),
        2 | 3 => (integer(words.at(0))?, integer(words.at(1))?, Unit::read(words.get(2))?),
        _ => return Err(Error::Syntax),
    };
    // Two negative ends in the wrong order mean nothing, even where both would be cut to 0.
    let reversed = first < 0 && last < 0 && first > last;
    let count = match call.keys.string(call.db, call.args.at(1))? {
        Some(text) if !reversed => bits::count(&text, unit.bits(first, last, text.len())),
        _ => 0,
    };
    call.reply.integer(count.cast_signed());
    Ok(Effect::Nothing)
}

/// BITPOS key bit [start [end [BYTE|BIT]]]
fn bitpos(call: &mut Call<'_>) -> Result<Effect, Error> {
    let bit = match integer(call.args.at(2))? {
        0 => Bit::Zero,
        1 => Bit::One,
        _ => return Err(Error::BIT_ARGUMENT),
    };
    let words = call.args.from(3);
    if words.len() > 3 {
        return Err(Error::Syntax);
    }
    let first = words.get(0).map_or(Ok(0), integer)?;
    let unit = Unit::read(words.get(2))?;
    let last = words.get(1).map_or(Ok(-1), integer)?;
    let found = match call.keys.string(call.db, call.args.at(1))? {
        // A key that is not there is zeros without end.
        None => (bit == Bit::Zero).then_some(0),
        Some(text) => {
            let range = unit.bits(first, last, text.len());
            let end = (!range.is_empty()).then_some(range.end);
            // And zeros follow a string, unless an end was named.
            let beyond = end.filter(|_| bit == Bit::Zero && words.len() < 2);
            bits::find(&text, range, bit).or(beyond)
        }
    };
    call.reply.integer(found.map_or(-1, u64::cast_signed));
    Ok(Effect::Nothing)
}

/// BITOP operation target source [source ...]. What has expired among the sources is removed first:
/// a replay has to see the same strings.
fn bitop(call: &mut Call<'_>) -> Result<Effect, Error> {
    let operation = operation(call.args)?;
    let (target, sources) = (call.args.at(2), call.args.from(3));
    sources.iter().for_each(|key| call.keys.drop_expired(call.db, key));
    let mut new = call.keys.new_string();
    let texts = call.keys.strings(call.db, &sources.iter().collect::<Vec<_>>())?;
    let len = texts.iter().flatten().map(|text| text.len()).max().unwrap_or(0);
    let mut block = [0; CHUNK];
    for offset in (0..len).step_by(CHUNK) {
        let part = block.get_mut(..CHUNK.min(len - offset)).unwrap_or_default();
        bits::combine(operation, &texts, offset, part);
        new.append(part);
    }
    drop(texts);
    call.reply.integer(len as i64);
    if len > 0 {
        call.keys.store_string(call.db, target, new);
    } else if !call.keys.remove(call.db, target) {
        return Ok(Effect::Nothing);
    }
    Ok(Effect::AsSent)
}

fn operation(args: Args<'_>) -> Result<Operation, Error> {
    let words = [("AND", Operation::And), ("OR", Operation::Or), ("XOR", Operation::Xor)];
    match choice(args.at(1), &words) {
        Some(operation) => Ok(operation),
        None if !is(args.at(1), "NOT") => Err(Error::Syntax),
        None if args.len() != 4 => Err(Error::BITOP_NOT),
        None => Ok(Operation::Not),
    }
}
