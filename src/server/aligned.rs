//! Memory for direct reads and writes, which devices want at multiples of their block.

use std::ops::{Deref, DerefMut};

/// Every device's block is a divisor of this.
pub const ALIGN: usize = 4096;

/// Bytes that begin at a multiple of `ALIGN` in memory: those of `bytes` from `start` on. So they
/// stay unless the vector has to grow.
#[derive(Debug, Default)]
pub struct Aligned {
    /// The memory.
    pub bytes: Vec<u8>,
    /// Where in it the bytes begin.
    pub start: usize,
}

impl Aligned {
    /// Room for so many bytes; in this memory, with what is in it, if that is enough.
    pub fn with_room(mut bytes: Vec<u8>, room: usize) -> Aligned {
        if bytes.capacity() < room + ALIGN {
            bytes = Vec::with_capacity(room + ALIGN);
        }
        let start = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
        bytes.resize(bytes.len().max(start), 0);
        Aligned { bytes, start }
    }

    /// Makes it so many bytes; new ones are zeros.
    pub fn resize(&mut self, length: usize) {
        self.bytes.resize(self.start + length, 0);
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..).unwrap_or_default()
    }
}

/// Bytes that lie anywhere.
impl From<Vec<u8>> for Aligned {
    fn from(bytes: Vec<u8>) -> Aligned {
        Aligned { bytes, start: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_aligned_and_stay_where_they_are() {
        let mut used = Vec::new();
        for room in [1, 100, ALIGN, 3 * ALIGN + 1] {
            let mut aligned = Aligned::with_room(used, room);
            aligned.resize(room);
            assert_eq!((aligned.len(), aligned.as_ptr().align_offset(ALIGN)), (room, 0));
            aligned.fill(7);
            aligned.resize(room / 2);
            assert!(aligned.iter().all(|byte| *byte == 7) && aligned.len() == room / 2);
            used = aligned.bytes;
        }
        assert_eq!(*Aligned::from(vec![1, 2]), [1, 2]);
    }
}
