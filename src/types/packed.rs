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
#[derive(Clone, Debug, Default)]
pub struct Packed {
    bytes: Vec<u8>,
    mark: Mark,
}

impl PartialEq for Packed {
    fn eq(&self, other: &Packed) -> bool {
        self.bytes == other.bytes
    }
}

/// Where one of the elements begins, or the end: elements can only be read forwards, and a queue
/// that is emptied from its end would go over all of a chunk for each. Valid if and only if the
/// first `index` elements end at `at`.
#[derive(Clone, Copy, Debug)]
struct Mark {
    index: u32,
    at: u32,
}

impl Default for Mark {
    /// The first element.
    fn default() -> Mark {
        Mark { index: 0, at: HEAD as u32 }
    }
}

/// Bytes of the count.
const HEAD: usize = 2;
/// A change that is further than this behind the mark moves the mark, to half as far before it.
const MARK_BEHIND: usize = 64;

/// Goes over the elements of `Packed` bytes.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a [u8],
    left: usize,
}

impl Packed {
    /// What `into_bytes` gave.
    pub fn of(bytes: Box<[u8]>) -> Packed {
        Packed { bytes: bytes.into_vec(), mark: Mark::default() }
    }

    /// Bytes that come from elsewhere, if they are valid.
    pub fn verified(bytes: &[u8]) -> Option<Packed> {
        let mut elements = elements(bytes);
        // Only the shortest form of each length is valid.
        let (count, mut seen, mut used) = (elements.len(), 0, HEAD);
        for element in elements.by_ref() {
            seen += 1;
            used += room(element);
        }
        let exact = seen == count && used == bytes.len();
        let valid = bytes.is_empty() || exact && count > 0;
        valid.then(|| Packed::of(bytes.into()))
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

    /// The elements from the one at `index` on.
    pub fn elements_from(&self, index: usize) -> Elements<'_> {
        let left = self.len().saturating_sub(index);
        Elements { rest: self.bytes.get(self.offset(index)..).unwrap_or_default(), left }
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        self.elements_from(index).next()
    }

    /// Makes room for one more element, and none beyond it.
    pub fn reserve_exact(&mut self, element: &[u8]) {
        let head = if self.bytes.is_empty() { HEAD } else { 0 };
        self.bytes.reserve_exact(head + room(element));
    }

    /// Puts an element before the one at `index`, or at the end; there is room in the count.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        if self.bytes.is_empty() {
            self.bytes.extend_from_slice(&[0; HEAD]);
        }
        let at = self.change(index);
        let (head, len) = prefix(element.len());
        let head = head.get(..len).unwrap_or_default();
        if at == self.bytes.len() {
            self.bytes.extend_from_slice(head);
            self.bytes.extend_from_slice(element);
        } else {
            self.bytes.splice(at..at, head.iter().chain(element).copied());
        }
        self.count(self.len() + 1);
    }

    /// Removes the elements from one index up to another, as far as there are any.
    pub fn remove(&mut self, from: usize, to: usize) {
        let count = self.len();
        let to = to.min(count);
        if from >= to {
            return;
        }
        if to - from == count {
            *self = Packed::default();
            return;
        }
        let start = self.change(from);
        let end = start + length(self.bytes.get(start..).unwrap_or_default(), to - from);
        self.bytes.drain(start..end);
        self.count(count - (to - from));
    }

    /// Puts another element in the place of the one at `index`.
    pub fn replace(&mut self, index: usize, element: &[u8]) {
        let from = self.change(index);
        let to = from + length(self.bytes.get(from..).unwrap_or_default(), 1);
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
        if index >= self.len() {
            return self.bytes.len();
        }
        let mark = if index < self.mark.index as usize { Mark::default() } else { self.mark };
        let at = mark.at as usize;
        let rest = self.bytes.get(at..).unwrap_or_default();
        at + length(rest, index - mark.index as usize)
    }

    /// As `offset`, for a change there: what follows may begin elsewhere afterwards.
    fn change(&mut self, index: usize) -> usize {
        if index < self.mark.index as usize {
            self.mark = Mark::default();
        }
        if index < self.len() && index - self.mark.index as usize > MARK_BEHIND {
            let before = index - MARK_BEHIND / 2;
            self.mark = Mark { index: before as u32, at: self.offset(before) as u32 };
        }
        self.offset(index)
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
        let count = self.len();
        let offset = self.change(at);
        let tail = self.bytes.get(offset..).unwrap_or_default();
        let mut next = Packed::default();
        next.bytes.reserve_exact(HEAD + tail.len());
        next.bytes.extend_from_slice(&[0; HEAD]);
        next.bytes.extend_from_slice(tail);
        next.count(count - at);
        self.bytes.truncate(offset);
        fit(&mut self.bytes);
        self.count(at);
        next
    }

    fn append(&mut self, next: &Packed) {
        let count = self.len() + next.len();
        self.bytes.extend_from_slice(next.bytes.get(HEAD..).unwrap_or_default());
        self.count(count);
    }
}

/// The elements of bytes that are valid.
pub fn elements(bytes: &[u8]) -> Elements<'_> {
    let left = bytes.first_chunk().map_or(0, |two| usize::from(u16::from_le_bytes(*two)));
    Elements { rest: bytes.get(HEAD..).unwrap_or_default(), left }
}

/// Bytes that the first `count` elements take, all of which are there.
fn length(bytes: &[u8], count: usize) -> usize {
    let mut elements = Elements { rest: bytes, left: count };
    elements.by_ref().for_each(drop);
    bytes.len() - elements.rest.len()
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
        [30, 500].into_iter().for_each(holds_as_many);
    }

    fn holds_as_many(most: usize) {
        let mut prng = Prng::new(1);
        let mut marked = 0;
        let (mut packed, mut model) = (Packed::default(), Vec::<Vec<u8>>::new());
        for step in 0..4000 {
            let len = [5, 253, 254, 255, 256, 70_000][prng.below(6) as usize];
            let element = vec![step as u8; if step % 20 == 0 { len } else { len % 200 }];
            let at = prng.below(model.len() as u64 + 1) as usize;
            match prng.below(if model.len() > most { 3 } else { 9 }) {
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
            let Mark { index, at: byte } = packed.mark;
            let before: usize = model[..index as usize].iter().map(|one| room(one)).sum();
            assert_eq!(HEAD + before, byte as usize, "step {step}");
            marked += u32::from(index > 0);
            assert!(packed.elements_from(at).eq(model[at.min(model.len())..].iter()), "{step}");
            assert_eq!(
                (packed.len(), packed.get(at)),
                (model.len(), model.get(at).map(|e| &e[..]))
            );
            assert_eq!(Packed::verified(packed.as_bytes()).as_ref(), Some(&packed));
        }
        assert_eq!(marked > 500, most > MARK_BEHIND, "{marked} of 4000");
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
