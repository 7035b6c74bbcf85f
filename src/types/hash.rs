//! A hash: small ones are one flat buffer, big ones a segmented table with a polarity bit a field.

use crate::types::string::Bytes;

/// A hash value. Read it here; change it only through `keyspace::HashMut`.
#[derive(Debug)]
pub struct Hash {}

impl Hash {
    /// Number of fields.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The value of `field`.
    pub fn get(&self, _field: &[u8]) -> Option<Bytes<'_>> {
        todo!()
    }
    /// Calls `each` with every field and value: insertion order while small, hash order when big.
    pub fn for_each(&self, _each: impl FnMut(&[u8], &[u8])) {
        todo!()
    }
    /// Visits about `count` fields from `cursor` (0 at first) on; returns the next cursor, 0 at the
    /// end. A small hash is returned whole. What is there throughout is visited at least once.
    pub fn scan(&self, _cursor: u64, _count: usize, _each: impl FnMut(&[u8], &[u8])) -> u64 {
        todo!()
    }
    /// A field chosen at random by `dice`, a random number; nothing when empty.
    pub fn random(&self, _dice: u64, _each: impl FnOnce(&[u8], &[u8])) {
        todo!()
    }
    /// Bytes of memory it holds.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}
