//! What an entry of a table carries, what a change needs, and the hash of keys.

use std::hash::{BuildHasher, Hasher};

use ahash::RandomState;

/// The keyed hash of a table.
#[derive(Clone, Debug)]
pub struct KeyHasher(RandomState);

/// What an entry is to hold.
#[derive(Debug)]
pub enum New<'a, X> {
    /// These bytes, at most `VALUE_MAX`, in the arena.
    Inline(&'a [u8]),
    /// Something out of line.
    Extern(X),
    /// What it holds already.
    Same,
}

/// What an entry holds.
#[derive(Debug)]
pub enum Stored<'a, X> {
    /// Bytes in the arena.
    Inline(&'a [u8]),
    /// Something out of line.
    Extern(&'a X),
}

/// What an entry carries beside key and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Two bits with the caller's meaning.
    pub marks: u8,
    /// 24 bits with the caller's meaning.
    pub clock: u32,
    /// The deadline, if any.
    pub deadline: Option<u64>,
}

/// An entry, seen in place.
#[derive(Debug)]
pub struct View<'a, X> {
    /// The key.
    pub key: &'a [u8],
    /// The value.
    pub value: Stored<'a, X>,
    /// The rest.
    pub meta: Meta,
}

/// What a change needs of the segment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Need {
    /// Bytes of arena.
    pub span: usize,
    /// Index entries, 0 or 1.
    pub entries: usize,
    /// Places for values, 0 or 1.
    pub values: usize,
    /// Places for keys, 0 or 1.
    pub keys: usize,
}

/// Whether a change can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// At once, without asking the allocator.
    Ready,
    /// After `make_room`.
    Grow,
    /// Only after a split.
    Split,
}

impl KeyHasher {
    /// A hash for each seed.
    pub fn new(seed: u64) -> KeyHasher {
        let twist =
            |n: u64| seed.rotate_left(n as u32 * 16) ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        KeyHasher(RandomState::with_seeds(twist(1), twist(2), twist(3), twist(4)))
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(key);
        hasher.finish()
    }
}
