//! Strings as arrays of bits, bit 0 the highest of the first byte: counting, looking for one,
//! combining several, and integers of any width in them. Long strings are read piece by piece.

use std::ops::{Range, RangeInclusive};

use crate::types::string::StrRef;

/// A bit to look for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bit {
    /// One that is not set.
    Zero,
    /// One that is.
    One,
}

/// What is made of several strings, byte by byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Set in all.
    And,
    /// Set in any.
    Or,
    /// Set in an odd number of them.
    Xor,
    /// Of one string: set where it is not.
    Not,
}

/// The elements meant by `first` to `last` (inclusive; negative: from the end) among `len`.
pub fn between(first: i64, last: i64, len: u64) -> Range<u64> {
    let from_start = |index: i64| match u64::try_from(index) {
        Ok(index) => index,
        Err(_) => len.saturating_sub(index.unsigned_abs()),
    };
    let (first, end) = (from_start(first), from_start(last).saturating_add(1).min(len));
    if first < end { first..end } else { 0..0 }
}

/// How many bits of `range` are set. The string has them all.
pub fn count(text: &StrRef<'_>, range: Range<u64>) -> u64 {
    if range.is_empty() {
        return 0;
    }
    let bytes = byte(range.start)..byte(range.end.next_multiple_of(8));
    let mut ones = 0;
    for_each_piece(text, bytes, |_, piece| {
        ones += ones_in(piece);
        Walk::Further
    });
    // What lies in the first and the last byte, but not in the range.
    let before = byte_at(text, byte(range.start)) & !(0xff >> (range.start % 8));
    let after = match range.end % 8 {
        0 => 0,
        used => byte_at(text, byte(range.end)) & (0xff >> used),
    };
    ones - u64::from(before.count_ones() + after.count_ones())
}

/// The first bit of `range` that is as wanted. The string has them all.
pub fn find(text: &StrRef<'_>, range: Range<u64>, wanted: Bit) -> Option<u64> {
    if range.is_empty() {
        return None;
    }
    // Exclusive or with this makes the wanted bits ones.
    let dull = if wanted == Bit::One { 0 } else { 0xff };
    let first = byte(range.start);
    let head = (byte_at(text, first) ^ dull) & (0xff >> (range.start % 8));
    let mut found = position(first, head);
    if found.is_none() {
        let rest = first + 1..byte(range.end.next_multiple_of(8));
        for_each_piece(text, rest, |at, piece| match first_other(piece, dull) {
            Some((offset, other)) => {
                found = position(at + offset, other ^ dull);
                Walk::Enough
            }
            None => Walk::Further,
        });
    }
    found.filter(|at| range.contains(at))
}

/// Fills `out` with the bytes from `offset` on of what the operation makes of these strings; a
/// shorter one counts as if zeros followed it, and none as zeros alone.
pub fn combine(operation: Operation, texts: &[Option<StrRef<'_>>], offset: usize, out: &mut [u8]) {
    out.fill(0);
    let (first, others) = texts.split_first().unzip();
    apply(Operation::Or, first.and_then(Option::as_ref), offset, out);
    for text in others.unwrap_or_default() {
        apply(operation, text.as_ref(), offset, out);
    }
    if operation == Operation::Not {
        out.iter_mut().for_each(|byte| *byte = !*byte);
    }
}

/// Combines `out` with the bytes from `offset` on of one string.
fn apply(operation: Operation, text: Option<&StrRef<'_>>, offset: usize, out: &mut [u8]) {
    let mut rest = out;
    if let Some(text) = text {
        let mut at = offset;
        while !rest.is_empty() {
            let piece = text.piece(at..at + rest.len());
            if piece.is_empty() {
                break;
            }
            let (target, after) = rest.split_at_mut(piece.len());
            let pairs = target.iter_mut().zip(piece);
            match operation {
                Operation::And => pairs.for_each(|(a, b)| *a &= b),
                Operation::Or | Operation::Not => pairs.for_each(|(a, b)| *a |= b),
                Operation::Xor => pairs.for_each(|(a, b)| *a ^= b),
            }
            at += piece.len();
            rest = after;
        }
    }
    if operation == Operation::And {
        rest.fill(0);
    }
}

/// Whether a walk over pieces goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walk {
    Further,
    Enough,
}

/// Gives the bytes of `range` to `each`, piece by piece, with the place of each piece.
fn for_each_piece(
    text: &StrRef<'_>,
    range: Range<usize>,
    mut each: impl FnMut(usize, &[u8]) -> Walk,
) {
    let mut at = range.start;
    while at < range.end {
        let piece = text.piece(at..range.end);
        if piece.is_empty() || each(at, piece) == Walk::Enough {
            return;
        }
        at += piece.len();
    }
}

/// The byte that holds a bit. Strings are far shorter than what a `usize` counts.
fn byte(bit: u64) -> usize {
    usize::try_from(bit / 8).unwrap_or(usize::MAX)
}

fn byte_at(text: &StrRef<'_>, at: usize) -> u8 {
    text.piece(at..at + 1).first().copied().unwrap_or(0)
}

/// The first bit that is set in byte number `at`.
fn position(at: usize, byte: u8) -> Option<u64> {
    (byte != 0).then(|| at as u64 * 8 + u64::from(byte.leading_zeros()))
}

fn ones_in(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().map(|word| u64::from(u64::from_ne_bytes(*word).count_ones()));
    words.sum::<u64>() + rest.iter().map(|byte| u64::from(byte.count_ones())).sum::<u64>()
}

/// The first byte that is not `dull`, and where it is.
fn first_other(bytes: &[u8], dull: u8) -> Option<(usize, u8)> {
    let (blocks, _) = bytes.as_chunks::<32>();
    let skipped = 32 * blocks.iter().take_while(|block| **block == [dull; 32]).count();
    let mut rest = bytes.iter().enumerate().skip(skipped);
    rest.find(|(_, byte)| **byte != dull).map(|(at, byte)| (at, *byte))
}

/// Whether an integer in a string may be below zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It may: two's complement.
    Signed,
    /// It may not.
    Unsigned,
}

/// What becomes of a value that does not fit its field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// Its lowest bits are kept.
    Wrap,
    /// The nearest value that fits is taken instead.
    Saturate,
    /// It is not written.
    Fail,
}

/// The type of an integer in a string: 1 to 64 bits, the highest first, from any bit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// With a sign or without one.
    pub sign: Sign,
    /// How many bits.
    pub bits: u32,
}

/// The bytes around a field, as a number: the first is that of the field's first bit. A field of
/// 64 bits that begins inside a byte reaches into the ninth.
pub const WINDOW: usize = 9;

impl Field {
    /// The values that fit.
    fn values(self) -> RangeInclusive<i128> {
        match self.sign {
            Sign::Signed => -(1 << (self.bits - 1))..=(1 << (self.bits - 1)) - 1,
            Sign::Unsigned => 0..=(1 << self.bits) - 1,
        }
    }

    /// The value whose lowest bits are those of `value`.
    fn wrapped(self, value: i128) -> i128 {
        let unused = i128::BITS - self.bits;
        match self.sign {
            Sign::Signed => value << unused >> unused,
            Sign::Unsigned => value & ((1 << self.bits) - 1),
        }
    }

    /// What is written instead of `value`; nothing when it does not fit and must.
    pub fn fit(self, value: i128, overflow: Overflow) -> Option<i128> {
        let values = self.values();
        match overflow {
            _ if values.contains(&value) => Some(value),
            Overflow::Wrap => Some(self.wrapped(value)),
            Overflow::Saturate => Some(value.clamp(*values.start(), *values.end())),
            Overflow::Fail => None,
        }
    }

    /// A number that a client sent, as SET takes it: without a sign, what is below zero is huge;
    /// and with one, what is so far below all that fits that Redis' difference overflows is above.
    pub fn sent(self, value: i64) -> i128 {
        let (values, signed) = (self.values(), i128::from(value));
        match self.sign {
            Sign::Signed if values.contains(&signed) => signed,
            Sign::Signed if values.end() - signed > i64::MAX.into() => signed + (1 << 64),
            Sign::Signed => signed,
            Sign::Unsigned => i128::from(value.cast_unsigned()),
        }
    }

    /// The value at a bit of the first byte of `window`.
    pub fn read(self, window: [u8; WINDOW], bit: u32) -> i128 {
        self.wrapped((number(window) >> self.shift(bit)).cast_signed())
    }

    /// The window with another value at this bit.
    pub fn write(self, window: [u8; WINDOW], bit: u32, value: i128) -> [u8; WINDOW] {
        let mask: u128 = ((1 << self.bits) - 1) << self.shift(bit);
        let value = value.cast_unsigned() << self.shift(bit);
        let number = number(window) & !mask | value & mask;
        let [_, _, _, _, _, _, _, window @ ..] = number.to_be_bytes();
        window
    }

    /// Bits of the window behind the field.
    fn shift(self, bit: u32) -> u32 {
        (WINDOW as u32 * 8).saturating_sub(bit + self.bits)
    }
}

fn number(window: [u8; WINDOW]) -> u128 {
    window.iter().fold(0, |number, byte| number << 8 | u128::from(*byte))
}

#[cfg(test)]
mod tests;
