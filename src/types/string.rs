//! Reading a string wherever it is stored: inside the table's arena, on its own, or as a rope.

use std::cell::Ref;
use std::ops::{Deref, Range};

use crate::types::rope::Rope;
use crate::types::value::Encoding;

/// A borrowed string value.
#[derive(Debug)]
pub enum StrRef<'a> {
    /// In one piece.
    Flat(&'a [u8]),
    /// In chunks.
    Rope(Ref<'a, Rope>),
}

/// Bytes that are borrowed from a value, or had to be put together.
#[derive(Debug)]
pub enum Bytes<'a> {
    /// Borrowed.
    Slice(&'a [u8]),
    /// Borrowed from inside a shared table.
    Guard(Ref<'a, [u8]>),
    /// Put together from chunks.
    Owned(Vec<u8>),
}

/// Was a string changed in place? Then Redis calls it raw whatever it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edited {
    /// It is as it was set.
    No,
    /// By APPEND or SETRANGE.
    Yes,
}

impl Deref for Bytes<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Slice(bytes) => bytes,
            Bytes::Guard(bytes) => bytes,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl StrRef<'_> {
    /// Length in bytes.
    pub fn len(&self) -> usize {
        match self {
            StrRef::Flat(bytes) => bytes.len(),
            StrRef::Rope(rope) => rope.len(),
        }
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the bytes of `range` (within the length) to `out`.
    pub fn copy_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        match self {
            StrRef::Flat(bytes) => {
                let range = range.start..range.end.min(bytes.len());
                out.extend_from_slice(bytes.get(range).unwrap_or_default());
            }
            StrRef::Rope(rope) => rope.copy_range(range, out),
        }
    }

    /// As many of the bytes of `range` as lie in one piece, from its start on; none past the end.
    pub fn piece(&self, range: Range<usize>) -> &[u8] {
        match self {
            StrRef::Flat(bytes) => {
                bytes.get(range.start..range.end.min(bytes.len())).unwrap_or_default()
            }
            StrRef::Rope(rope) => rope.piece(range),
        }
    }

    /// The whole string in one piece; a rope is put together.
    pub fn flat(&self) -> Bytes<'_> {
        match self {
            StrRef::Flat(bytes) => Bytes::Slice(bytes),
            StrRef::Rope(rope) => {
                let mut bytes = Vec::with_capacity(rope.len());
                rope.copy_range(0..rope.len(), &mut bytes);
                Bytes::Owned(bytes)
            }
        }
    }

    /// What OBJECT ENCODING calls it.
    pub fn encoding(&self, edited: Edited) -> Encoding {
        match self {
            StrRef::Flat(bytes) if edited == Edited::No && bytes.len() <= 44 => {
                if is_integer(bytes) { Encoding::Int } else { Encoding::Embstr }
            }
            _ => Encoding::Raw,
        }
    }
}

/// Is it what printing a 64-bit integer gives?
fn is_integer(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = match digits.as_bytes() {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    canonical && text.len() <= 20 && text.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings() {
        let e44 = "x".repeat(44);
        let e45 = "x".repeat(45);
        let cases: &[(&str, Edited, Encoding)] = &[
            ("0", Edited::No, Encoding::Int),
            ("-1", Edited::No, Encoding::Int),
            ("9223372036854775807", Edited::No, Encoding::Int),
            ("-9223372036854775808", Edited::No, Encoding::Int),
            ("9223372036854775808", Edited::No, Encoding::Embstr),
            ("-0", Edited::No, Encoding::Embstr),
            ("-", Edited::No, Encoding::Embstr),
            ("+1", Edited::No, Encoding::Embstr),
            ("01", Edited::No, Encoding::Embstr),
            ("", Edited::No, Encoding::Embstr),
            (&e44, Edited::No, Encoding::Embstr),
            (&e45, Edited::No, Encoding::Raw),
            ("1", Edited::Yes, Encoding::Raw),
        ];
        for &(text, edited, encoding) in cases {
            assert_eq!(StrRef::Flat(text.as_bytes()).encoding(edited), encoding, "{text}");
        }
    }
}
