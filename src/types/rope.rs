//! A long string as chunks, so that a change in it costs a snapshot one chunk.

use std::ops::Range;

/// Bytes in every chunk but the last.
pub const CHUNK: usize = 16 << 10;
/// Strings above this length are ropes.
pub const ROPE_MIN: usize = 64 << 10;

/// A string of many chunks, each with a polarity bit (snapshot.rs of the keyspace).
#[derive(Debug, Default)]
pub struct Rope {
    chunks: Vec<Chunk>,
    len: usize,
    /// The number under which a snapshot in progress has opened it.
    pub fragment: Option<u64>,
}

#[derive(Debug)]
struct Chunk {
    bytes: Vec<u8>,
    polarity: u8,
}

impl Rope {
    /// A rope that holds `bytes`.
    pub fn new(bytes: &[u8], polarity: u8) -> Rope {
        let mut rope = Rope::default();
        rope.append(bytes, polarity);
        rope
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of chunks.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// The bytes of a chunk.
    pub fn chunk(&self, index: usize) -> &[u8] {
        self.chunks.get(index).map_or(&[], |chunk| &chunk.bytes)
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        let last = self.chunks.last().map_or(0, |chunk| chunk.bytes.capacity() - chunk.bytes.len());
        size_of::<Rope>() + self.len + last + self.chunks.capacity() * size_of::<Chunk>()
    }

    /// As many of the bytes of `range` as lie in one chunk, from its start on; none past the end.
    pub fn piece(&self, range: Range<usize>) -> &[u8] {
        let end = range.end.min(self.len);
        let (chunk, offset) = (self.chunk(range.start / CHUNK), range.start % CHUNK);
        let stop = chunk.len().min(offset + end.saturating_sub(range.start));
        chunk.get(offset..stop).unwrap_or_default()
    }

    /// Appends the bytes of `range`, as far as they exist, to `out`.
    pub fn copy_range(&self, range: Range<usize>, out: &mut Vec<u8>) {
        let mut start = range.start;
        while start < range.end {
            let part = self.piece(start..range.end);
            if part.is_empty() {
                return;
            }
            out.extend_from_slice(part);
            start += part.len();
        }
    }

    /// Appends bytes; the chunks that they fall into get this polarity.
    pub fn append(&mut self, bytes: &[u8], polarity: u8) {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.len.is_multiple_of(CHUNK) {
                self.chunks.push(Chunk { bytes: Vec::new(), polarity });
            }
            let Some(last) = self.chunks.last_mut() else { return };
            let room = CHUNK - last.bytes.len();
            let (part, after) = rest.split_at(room.min(rest.len()));
            if last.bytes.capacity() - last.bytes.len() < part.len() {
                // Doubles while short, but never beyond the size of a chunk.
                let more = part.len().max(last.bytes.len()).min(room);
                last.bytes.reserve_exact(more);
            }
            last.bytes.extend_from_slice(part);
            last.polarity = polarity;
            self.len += part.len();
            rest = after;
        }
    }

    /// Overwrites from `offset` on, filling with zeros up to it.
    pub fn set_range(&mut self, offset: usize, bytes: &[u8], polarity: u8) {
        while self.len < offset {
            let gap = (offset - self.len).min(CHUNK);
            self.append([0; CHUNK].get(..gap).unwrap_or_default(), polarity);
        }
        let inside = bytes.len().min(self.len - offset);
        let (mut rest, tail) = bytes.split_at(inside);
        let mut at = offset;
        while !rest.is_empty() {
            let Some(chunk) = self.chunks.get_mut(at / CHUNK) else { return };
            let target = chunk.bytes.get_mut(at % CHUNK..).unwrap_or_default();
            let (part, after) = rest.split_at(target.len().min(rest.len()));
            if let Some(target) = target.get_mut(..part.len()) {
                target.copy_from_slice(part);
            }
            chunk.polarity = polarity;
            at += part.len();
            rest = after;
        }
        self.append(tail, polarity);
    }

    /// Gives chunk `index` to `each` if it exists and its polarity is another one, and flips it.
    pub fn displace(&mut self, index: usize, polarity: u8, each: impl FnOnce(&[u8])) {
        if let Some(chunk) = self.chunks.get_mut(index)
            && chunk.polarity != polarity
        {
            each(&chunk.bytes);
            chunk.polarity = polarity;
        }
    }

    /// A copy in which every chunk has this polarity.
    #[must_use]
    pub fn copy(&self, polarity: u8) -> Rope {
        let copy = |chunk: &Chunk| Chunk { bytes: chunk.bytes.clone(), polarity };
        let chunks = self.chunks.iter().map(copy).collect();
        Rope { chunks, len: self.len, fragment: None }
    }

    /// The polarity of each chunk, for checks.
    pub fn polarities(&self) -> impl Iterator<Item = u8> {
        self.chunks.iter().map(|chunk| chunk.polarity)
    }

    /// Frees the last chunk of an abandoned rope; false when nothing is left.
    pub fn dismantle(&mut self) -> bool {
        let Some(chunk) = self.chunks.pop() else { return false };
        self.len -= chunk.bytes.len();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn behaves_like_a_vector() {
        let mut prng = Prng::new(1);
        for round in 0..30_u8 {
            let (mut rope, mut model) = (Rope::default(), Vec::new());
            for step in 0..40_u8 {
                let bytes = vec![round ^ step; prng.below(40_000) as usize];
                if prng.chance(1, 2) {
                    rope.append(&bytes, 0);
                    model.extend_from_slice(&bytes);
                } else if !bytes.is_empty() {
                    let offset = prng.below(model.len() as u64 + 50_000) as usize;
                    rope.set_range(offset, &bytes, 0);
                    model.resize(model.len().max(offset + bytes.len()), 0);
                    model[offset..offset + bytes.len()].copy_from_slice(&bytes);
                }
                assert_eq!(rope.len(), model.len());
                let start = prng.below(model.len() as u64 + 1) as usize;
                let mut part = Vec::new();
                rope.copy_range(start..start + 30_000, &mut part);
                assert_eq!(part, model[start..model.len().min(start + 30_000)]);
            }
            let mut whole = Vec::new();
            rope.copy_range(0..usize::MAX, &mut whole);
            assert!(whole == model);
            assert!((0..rope.chunks() - 1).all(|index| rope.chunk(index).len() == CHUNK));
        }
    }
}
