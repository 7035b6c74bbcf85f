//! A connection's read buffer: the bytes, and how far they are understood. It does no I/O.
//!
//! ```text
//!  0 ........ consumed ........ parsed ........ filled ........ bytes.len()
//!    done with        the request      arrived          zeroed room
//!                     being read
//! ```
//!
//! The marks never pass each other. Positions inside a request count from `consumed`, so they
//! stay true when the bytes are moved to the front.

use crate::limits::READ_BUFFER_KEEP;

/// The buffer. It grows with what arrives, never by a number that was sent.
#[derive(Debug, Default)]
pub struct Buffer {
    /// All of it is initialised memory.
    bytes: Vec<u8>,
    consumed: usize,
    parsed: usize,
    filled: usize,
}

impl Buffer {
    /// An empty buffer without memory.
    pub fn new() -> Buffer {
        Buffer::default()
    }

    /// Room for at least `min` more bytes, to read into; all there is, so that long arguments
    /// are read in large pieces. Say with `advance` how many came.
    pub fn space(&mut self, min: usize) -> &mut [u8] {
        if self.bytes.len() - self.filled < min {
            self.compact();
        }
        let needed = self.filled + min;
        if self.bytes.len() < needed {
            let len = needed.max(self.bytes.len() + self.bytes.len() / 2);
            self.bytes.reserve_exact(len - self.bytes.len());
            self.bytes.resize(len, 0);
        }
        self.check();
        self.bytes.get_mut(self.filled..).unwrap_or_default()
    }

    /// `n` bytes were put where `space` pointed.
    pub fn advance(&mut self, n: usize) {
        self.filled += n;
        self.check();
    }

    /// Appends bytes that were read elsewhere.
    pub fn fill(&mut self, bytes: &[u8]) {
        if let Some((room, _)) = self.space(bytes.len()).split_at_mut_checked(bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.advance(bytes.len());
    }

    /// Bytes that are held: the request being read and what follows it.
    pub fn pending(&self) -> usize {
        self.filled - self.consumed
    }

    /// Is nothing held behind the request that was read?
    pub fn is_last(&self) -> bool {
        self.parsed == self.filled
    }

    /// Memory that is held.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives memory back if nothing is pending and more than `READ_BUFFER_KEEP` is held.
    pub fn shrink(&mut self) {
        if self.pending() == 0 && self.bytes.capacity() > READ_BUFFER_KEEP {
            *self = Buffer::new();
        }
    }

    /// The bytes from the start of the request being read, and the position in them up to which
    /// they are parsed.
    #[inline]
    pub(in crate::resp) fn window(&self) -> (&[u8], usize) {
        let window = self.bytes.get(self.consumed..self.filled).unwrap_or_default();
        (window, self.parsed - self.consumed)
    }

    /// The same bytes, to be unescaped in place.
    pub(in crate::resp) fn window_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.consumed..self.filled).unwrap_or_default()
    }

    /// The request being read is parsed up to this position of its window.
    #[inline]
    pub(in crate::resp) fn parsed_to(&mut self, position: usize) {
        self.parsed = self.consumed + position;
        self.check();
    }

    /// The request that was parsed is done with.
    #[inline]
    pub(in crate::resp) fn consume(&mut self) {
        self.consumed = self.parsed;
        if self.consumed == self.filled {
            (self.consumed, self.parsed, self.filled) = (0, 0, 0);
        }
        self.check();
    }

    /// Moves what is pending to the front. A request that is being read is moved once: from then
    /// on it starts at 0.
    fn compact(&mut self) {
        if self.consumed > 0 {
            self.bytes.copy_within(self.consumed..self.filled, 0);
            self.parsed -= self.consumed;
            self.filled -= self.consumed;
            self.consumed = 0;
        }
    }

    /// The invariant. Its cost is a few compares; a mark that is wrong would hand one client's
    /// bytes to the wrong command.
    #[inline]
    fn check(&self) {
        assert!(
            self.consumed <= self.parsed
                && self.parsed <= self.filled
                && self.filled <= self.bytes.len(),
            "read buffer: marks out of order"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let mut prng = Prng::new(7);
        let mut buffer = Buffer::new();
        let (mut sent, mut taken) = (0u32, 0u32);
        for _ in 0..20_000 {
            if prng.chance(1, 2) {
                let n = prng.below(300) as usize;
                let bytes: Vec<u8> = (0..n).map(|i| (sent + i as u32) as u8).collect();
                if prng.chance(1, 2) {
                    buffer.fill(&bytes);
                } else {
                    buffer.space(n + 1)[..n].copy_from_slice(&bytes);
                    buffer.advance(n);
                }
                sent += n as u32;
            } else {
                let (window, at) = buffer.window();
                assert!(window.iter().enumerate().all(|(i, &b)| b == (taken + i as u32) as u8));
                let to = at + prng.below((window.len() - at) as u64 + 1) as usize;
                buffer.parsed_to(to);
                if prng.chance(1, 2) {
                    buffer.consume();
                    taken += to as u32;
                }
            }
            assert_eq!(buffer.pending(), (sent - taken) as usize);
        }
        assert!(buffer.memory() < 1 << 20, "it only holds what is pending");
    }

    #[test]
    fn it_grows_with_what_arrives_and_shrinks_when_empty() {
        let mut buffer = Buffer::new();
        for _ in 0..1000 {
            buffer.fill(&[1; 1000]);
        }
        assert!(buffer.memory() < 2_000_000);
        buffer.shrink();
        assert_eq!(buffer.pending(), 1_000_000, "what is pending stays");
        buffer.parsed_to(1_000_000);
        buffer.consume();
        buffer.shrink();
        assert_eq!(buffer.memory(), 0);
    }

    #[test]
    #[should_panic(expected = "marks out of order")]
    fn the_invariant_is_checked() {
        let mut buffer = Buffer::new();
        buffer.fill(b"abc");
        buffer.advance(1_000_000);
    }
}
