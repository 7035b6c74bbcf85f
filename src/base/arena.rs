//! The bytes of one table segment: equal blocks, and a tail that grows into the next one.
//!
//! Blocks of one size for all segments are what an allocator can use again at once. One growing
//! buffer a segment would waste an eighth of itself by the allocator's size classes, and a third
//! of all memory by pages half full of sizes that most segments have outgrown (measured).

/// Bytes of a block.
const BLOCK: usize = 4096;
/// Blocks beside the tail: 16-bit offsets reach no further.
const BLOCKS: usize = 15;
/// The tail grows in steps of this many bytes, each the exact size of an allocator's class.
const STEP: usize = 512;

/// Records back to back, addressed by 16-bit offsets. A record lies in one block.
#[derive(Debug, Default)]
pub struct Arena {
    tail: Vec<u8>,
    full: u16,
    /// Bytes at the ends of blocks that no record fitted into.
    padding: u16,
    blocks: [Option<Box<[u8; BLOCK]>>; BLOCKS],
}

impl Arena {
    /// Live bytes that always fit, whatever is lost at the ends of blocks.
    pub const LIVE_MAX: usize = 48 << 10;

    /// Bytes in use without padding: live records and garbage.
    pub fn used(&self) -> usize {
        usize::from(self.full) * BLOCK + self.tail.len() - usize::from(self.padding)
    }

    /// Bytes that it holds of the allocator.
    pub fn capacity(&self) -> usize {
        usize::from(self.full) * BLOCK + self.tail.capacity()
    }

    /// Would `span` more bytes fit without asking the allocator?
    #[inline]
    pub fn has_room(&self, span: usize) -> bool {
        self.tail.capacity() - self.tail.len() >= span
    }

    /// Are all blocks so full that `span` more bytes do not fit?
    pub fn is_full(&self, span: usize) -> bool {
        usize::from(self.full) == BLOCKS && self.tail.len() + span > BLOCK
    }

    /// Makes room for a record of `span` bytes; `coming` bytes will follow with it.
    pub fn grow(&mut self, span: usize, coming: usize) {
        if self.tail.len() + span > BLOCK {
            self.seal();
        }
        if !self.has_room(span) {
            let want = self.tail.len() + span.max(coming);
            let size = want.next_multiple_of(STEP).min(BLOCK);
            self.tail.reserve_exact(size - self.tail.len());
        }
    }

    /// Appends a record given in parts, for which there is room; returns its offset.
    pub fn push(&mut self, parts: [&[u8]; 3]) -> u16 {
        let start = usize::from(self.full) * BLOCK + self.tail.len();
        for part in parts {
            self.tail.extend_from_slice(part);
        }
        debug_assert!(self.tail.len() <= BLOCK, "room was made");
        start as u16
    }

    /// Appends a record for which there is room; returns its offset.
    pub fn push_whole(&mut self, record: &[u8]) -> u16 {
        let start = usize::from(self.full) * BLOCK + self.tail.len();
        self.tail.extend_from_slice(record);
        start as u16
    }

    /// The bytes from a record on.
    #[inline]
    pub fn at(&self, at: u16) -> &[u8] {
        let at = usize::from(at);
        let block = match self.blocks.get(at / BLOCK) {
            Some(Some(block)) => block.as_slice(),
            _ => &self.tail,
        };
        block.get(at % BLOCK..).unwrap_or_default()
    }

    /// The same, to be changed.
    #[inline]
    pub fn at_mut(&mut self, at: u16) -> &mut [u8] {
        let at = usize::from(at);
        let block = match self.blocks.get_mut(at / BLOCK) {
            Some(Some(block)) => block.as_mut_slice(),
            _ => &mut self.tail,
        };
        block.get_mut(at % BLOCK..).unwrap_or_default()
    }

    /// Makes the tail a block.
    fn seal(&mut self) {
        self.padding += (BLOCK - self.tail.len()) as u16;
        let mut tail = std::mem::take(&mut self.tail);
        tail.reserve_exact(BLOCK - tail.len());
        tail.resize(BLOCK, 0);
        let place = self.blocks.get_mut(usize::from(self.full)).expect("an arena that is not full");
        *place = tail.into_boxed_slice().try_into().ok();
        self.full += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stay_where_they_are() {
        let mut arena = Arena::default();
        let (mut known, mut live) = (Vec::new(), 0);
        for i in 0..1500_usize {
            let bytes = vec![i as u8; 1 + (i * 7) % 83];
            if arena.is_full(bytes.len()) {
                break;
            }
            if !arena.has_room(bytes.len()) {
                arena.grow(bytes.len(), 0);
            }
            live += bytes.len();
            known.push((arena.push([&bytes, &[], &[]]), bytes));
            assert_eq!(arena.used(), live);
            assert!(arena.capacity() - live < STEP + 83 * (BLOCKS + 1));
        }
        assert!(live > Arena::LIVE_MAX);
        for (at, bytes) in known {
            assert_eq!(arena.at(at).get(..bytes.len()), Some(&bytes[..]));
        }
    }
}
