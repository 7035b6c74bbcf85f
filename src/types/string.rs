//! Reading a string wherever it is stored: inside the table's arena, on its own, or as a rope.

use std::cell::Ref;
use std::ops::Deref;

use crate::types::rope::Rope;

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
        todo!()
    }
    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Appends the bytes of `range` (within the length) to `out`.
    pub fn copy_range(&self, _range: std::ops::Range<usize>, _out: &mut Vec<u8>) {
        todo!()
    }
    /// The whole string in one piece; a rope is put together.
    pub fn flat(&self) -> Bytes<'_> {
        todo!()
    }
}
