//! A few byte strings in one piece of memory, in order: the small form of a list, and a chunk of a
//! big one.
//!
//! Valid if and only if it is empty, or: two bytes of count (not 0), then so many elements and
//! nothing else, each its length and its bytes. A length is one byte below 254, else 254 and two
//! bytes, or 255 and four, whichever is the shortest; little endian.

use crate::base::fit::fit;
use crate::types::tree::Chunk;

/// Bytes of elements that a chunk of several holds at most.
pub const PACKED_MAX: usize = 2 << 10;

/// Byte strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    bytes: Vec<u8>,
}

/// Goes over the elements of `Packed` bytes.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

impl Packed {
    /// What `into_bytes` gave.
    pub fn of(bytes: Box<[u8]>) -> Packed {
        Packed { bytes: bytes.into_vec() }
    }

    /// Bytes that come from elsewhere, if they are valid.
    pub fn verified(bytes: &[u8]) -> Option<Packed> {
        let mut elements = elements(bytes);
        // Only the shortest form of each length is valid.
        let (count, mut seen, mut used) = (elements.len(), 0, 2);
        for element in elements.by_ref() {
            seen += 1;
            used += room(element);
        }
        let exact = seen == count && used == bytes.len();
        let valid = bytes.is_empty() || exact && count > 0;
        valid.then(|| Packed { bytes: bytes.to_vec() })
    }

    /// As one piece of memory without slack.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.bytes.into_boxed_slice()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements in order.
    pub fn elements(&self) -> Elements<'_> {
        elements(&self.bytes)
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.elements().nth(index)
    }

    /// Makes room for one more element, and none beyond it.
    pub fn reserve_exact(&mut self, element: &[u8]) {
        let head = if self.bytes.is_empty() { 2 } else { 0 };
        self.bytes.reserve_exact(head + room(element));
    }

    /// Puts an element before the one at `index`, or at the end; there is room in the count.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&[0; 2]);
        }
        let at = self.offset(index);
        let (head, len) = prefix(element.len());
        let head = head.get(..len).unwrap_or_default();
        if at == self.bytes.len() {
            self.bytes.extend_from_slice(head);
            self.bytes.extend_from_slice(element);
        } else {
            self.bytes.splice(at..at, head.iter().chain(element).copied());
        }
        self.count(Elements::len(&self.elements()) + 1);
    }

    /// Removes the elements from one index up to another, as far as there are any.
    pub fn remove(&mut self, from: usize, to: usize) {
        let count = self.elements().len();
        let to = to.min(count);
        if from >= to {
            return;
        }
        if to - from == count {
            self.bytes = Vec::new();
            return;
        }
        let gone = to - from;
        let mut elements = self.elements();
        elements.by_ref().take(from).for_each(drop);
        let start = self.bytes.len() - elements.rest.len();
        elements.by_ref().take(gone).for_each(drop);
        let end = self.bytes.len() - elements.rest.len();
        self.bytes.drain(start..end);
        self.count(count - gone);
    }

    /// Puts another element in the place of the one at `index`.
    pub fn replace(&mut self, index: usize, element: &[u8]) {
        let (from, to) = (self.offset(index), self.offset(index + 1));
        let (head, len) = prefix(element.len());
        let head = head.get(..len).unwrap_or_default();
        self.bytes.reserve_exact((len + element.len()).saturating_sub(to - from));
        self.bytes.splice(from..to, head.iter().chain(element).copied());
        if self.bytes.capacity() > 2 * self.bytes.len() {
            fit(&mut self.bytes);
        }
    }

    /// Where the element at `index` begins, or the end.
    fn offset(&self, index: usize) -> usize {
        let mut elements = self.elements();
        if index >= elements.left {
            return self.bytes.len();
        }
        for _ in 0..index {
            elements.next();
        }
        self.bytes.len() - elements.rest.len()
    }

    fn count(&mut self, count: usize) {
        if let Some(two) = self.bytes.first_chunk_mut() {
            *two = (count as u16).to_le_bytes();
        }
    }
}

impl Chunk for Packed {
    type Key = ();
    const WEIGHT_MAX: usize = PACKED_MAX;

    fn len(&self) -> usize {
        self.elements().len()
    }

    fn bytes(&self) -> usize {
        self.bytes.capacity()
    }

    fn weight(&self) -> usize {
        self.bytes.len()
    }

    fn first(&self) {}

    fn split_off(&mut self, at: usize) -> Packed {
        let count = self.elements().len();
        let offset = self.offset(at);
        let tail = self.bytes.get(offset..).unwrap_or_default();
        let mut next = Packed { bytes: Vec::with_capacity(2 + tail.len()) };
        next.bytes.extend_from_slice(&[0; 2]);
        next.bytes.extend_from_slice(tail);
        next.count(count - at);
        self.bytes.truncate(offset);
        fit(&mut self.bytes);
        self.count(at);
        next
    }

    fn append(&mut self, next: &Packed) {
        let count = self.elements().len() + next.elements().len();
        self.bytes.extend_from_slice(next.bytes.get(2..).unwrap_or_default());
        self.count(count);
    }
}

/// The elements of bytes that are valid.
pub fn elements(bytes: &[u8]) -> Elements<'_> {
    let left = bytes.first_chunk().map_or(0, |two| usize::from(u16::from_le_bytes(*two)));
    Elements { rest: bytes.get(2..).unwrap_or_default(), left }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (&[first], mut after) = self.rest.split_first_chunk()?;
        let mut len = usize::from(first);
        if first == 254 {
            let (two, rest) = after.split_first_chunk()?;
            (len, after) = (usize::from(u16::from_le_bytes(*two)), rest);
        } else if first == 255 {
            let (four, rest) = after.split_first_chunk()?;
            (len, after) = (u32::from_le_bytes(*four) as usize, rest);
        }
        let (element, after) = after.split_at_checked(len)?;
        self.rest = after;
        Some(element)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// Bytes that an element takes.
pub fn room(element: &[u8]) -> usize {
    prefix(element.len()).1 + element.len()
}

fn prefix(len: usize) -> ([u8; 5], usize) {
    let [a, b, c, d] = (len as u32).to_le_bytes();
    match len {
        0..254 => ([a, 0, 0, 0, 0], 1),
        254..=0xffff => ([254, a, b, 0, 0], 3),
        _ => ([255, a, b, c, d], 5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn behaves_like_a_vector() {
        let mut prng = Prng::new(1);
        let (mut packed, mut model) = (Packed::default(), Vec::<Vec<u8>>::new());
        for step in 0..4000 {
            let len = [5, 253, 254, 255, 256, 70_000][prng.below(6) as usize];
            let element = vec![step as u8; if step % 20 == 0 { len } else { len % 200 }];
            let at = prng.below(model.len() as u64 + 1) as usize;
            match prng.below(if model.len() > 30 { 3 } else { 9 }) {
                0 => {
                    let to = at + prng.below(3) as usize;
                    packed.remove(at, to);
                    if at < model.len() {
                        model.drain(at..to.min(model.len()));
                    }
                }
                1 if at < model.len() => {
                    packed.replace(at, &element);
                    model[at] = element;
                    assert!(packed.bytes.capacity() <= 2 * packed.bytes.len(), "{step}");
                }
                2 if at > 0 && at < model.len() => {
                    let next = packed.split_off(at);
                    assert_eq!(next.elements().collect::<Vec<_>>(), model[at..]);
                    assert_eq!(packed.elements().collect::<Vec<_>>(), model[..at]);
                    packed.append(&next);
                }
                _ => {
                    packed.insert(at, &element);
                    model.insert(at, element);
                }
            }
            assert_eq!(packed.elements().collect::<Vec<_>>(), model, "step {step}");
            assert_eq!(
                (packed.len(), packed.get(at)),
                (model.len(), model.get(at).map(|e| &e[..]))
            );
            assert_eq!(Packed::verified(packed.as_bytes()).as_ref(), Some(&packed));
        }
    }

    #[test]
    fn only_the_shortest_form_is_valid() {
        for bad in [
            &b"\x00"[..],
            b"\x00\x00",
            b"\x01\x00",
            b"\x01\x00\x02a",
            b"\x01\x00\x01ab",
            b"\x02\x00\x01a",
            b"\x01\x00\xfe\x01\x00a",
            b"\x01\x00\xff\x01\x00\x00\x00a",
            b"\x01\x00\xff\xff\xff\xff\xffa",
        ] {
            assert_eq!(Packed::verified(bad), None, "{bad:x?}");
        }
        for good in [&b""[..], b"\x01\x00\x00", b"\x02\x00\x01a\x00"] {
            assert_eq!(Packed::verified(good).unwrap().as_bytes(), good);
        }
    }
}
