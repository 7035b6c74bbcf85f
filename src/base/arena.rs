//! The bytes of one table segment: a block of an allocator's exact size and a short growing tail.
//!
//! Allocators round sizes up to classes, about four to a doubling, so a single growing buffer
//! wastes an eighth of itself on average. Here the head has the size of a class and never grows;
//! new bytes go to a tail that grows in quarters of the distance to the next class and joins the
//! head when it has reached it. Offsets stay as they are when that happens.

/// Records back to back, addressed by 16-bit offsets. A record never straddles head and tail.
#[derive(Debug, Default)]
pub struct Arena {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Arena {
    /// Offsets have 16 bits.
    pub const MAX: usize = 1 << 16;

    /// An empty arena that takes about `live` bytes without moving them.
    pub fn sized(live: usize) -> Arena {
        let head = class_below(live);
        if head == 0 {
            return Arena { head: Vec::with_capacity(class(live)), tail: Vec::new() };
        }
        let step = class(head + 1) - head;
        let tail = (live - head).next_multiple_of((step / 4).max(16)).min(step);
        Arena { head: Vec::with_capacity(head), tail: Vec::with_capacity(tail) }
    }

    /// Bytes in use, garbage included: where the next record would start.
    pub fn used(&self) -> usize {
        self.head.len() + self.tail.len()
    }

    /// Bytes that it holds of the allocator.
    pub fn capacity(&self) -> usize {
        self.head.capacity() + self.tail.capacity()
    }

    /// Would `span` more bytes fit without asking the allocator?
    pub fn has_room(&self, span: usize) -> bool {
        let in_head = self.tail.is_empty() && self.head.capacity() - self.head.len() >= span;
        in_head || self.tail.capacity() - self.tail.len() >= span
    }

    /// Makes room for one more record of `span` bytes.
    pub fn grow(&mut self, span: usize) {
        while !self.has_room(span) {
            if self.head.capacity() == 0 {
                self.head.reserve_exact(class(span.max(64)));
                return;
            }
            let next = class(self.head.capacity() + 1);
            let step = next - self.head.capacity().min(next);
            let limit = next.saturating_sub(self.head.len());
            let want = self.tail.len() + span;
            if want <= limit {
                let size = want.next_multiple_of((step / 4).max(16)).min(limit);
                self.tail.reserve_exact(size - self.tail.len());
            } else {
                self.join(if span > step { class(self.used() + span) } else { next });
            }
        }
    }

    /// Appends a record given in parts, for which there is room; returns its offset.
    pub fn push(&mut self, parts: [&[u8]; 3]) -> u16 {
        let span = parts.iter().map(|part| part.len()).sum::<usize>();
        let start = self.used();
        let fits_head = self.tail.is_empty() && self.head.capacity() - self.head.len() >= span;
        let block = if fits_head { &mut self.head } else { &mut self.tail };
        for part in parts {
            block.extend_from_slice(part);
        }
        debug_assert!(start + span <= Arena::MAX);
        start as u16
    }

    /// The bytes from a record on.
    pub fn at(&self, at: u16) -> &[u8] {
        let at = usize::from(at);
        let head = self.head.len();
        if at < head {
            self.head.get(at..).unwrap_or_default()
        } else {
            self.tail.get(at - head..).unwrap_or_default()
        }
    }

    /// The same, to be changed.
    pub fn at_mut(&mut self, at: u16) -> &mut [u8] {
        let at = usize::from(at);
        let head = self.head.len();
        if at < head {
            self.head.get_mut(at..).unwrap_or_default()
        } else {
            self.tail.get_mut(at - head..).unwrap_or_default()
        }
    }

    fn join(&mut self, size: usize) {
        let mut head = Vec::with_capacity(size.max(self.used()));
        head.extend_from_slice(&self.head);
        head.extend_from_slice(&self.tail);
        *self = Arena { head, tail: Vec::new() };
    }
}

/// The smallest size class that holds `size` bytes: four classes to a doubling.
fn class(size: usize) -> usize {
    if size <= 64 {
        return 64;
    }
    let shift = (usize::BITS - 1 - (size - 1).leading_zeros()).saturating_sub(2);
    size.next_multiple_of(1 << shift)
}

/// The largest size class of at most `size` bytes; 0 when that is too small to be worth a tail.
fn class_below(size: usize) -> usize {
    if size < 256 {
        return 0;
    }
    let shift = usize::BITS - 1 - size.leading_zeros() - 2;
    (size >> shift) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        for (size, up, down) in
            [(64, 64, 0), (65, 80, 0), (256, 256, 256), (257, 320, 256), (16385, 20480, 16384)]
        {
            assert_eq!((class(size), class_below(size)), (up, down), "{size}");
        }
    }

    #[test]
    fn records_stay_where_they_are() {
        let mut arena = Arena::default();
        let mut known = Vec::new();
        for i in 0..1500_u32 {
            let bytes = vec![i as u8; 1 + (i as usize * 7) % 83];
            if !arena.has_room(bytes.len()) {
                arena.grow(bytes.len());
            }
            known.push((arena.push([&bytes, &[], &[]]), bytes));
            let waste = arena.capacity() - arena.used();
            assert!(waste <= 64 + arena.used() / 8, "{waste} of {}", arena.used());
        }
        for (at, bytes) in known {
            assert_eq!(arena.at(at).get(..bytes.len()), Some(&bytes[..]));
        }
    }
}
