//! Members with their scores in one piece of memory, ordered by score, then by member.
//!
//! Two bytes of count, then for each its score (score.rs), the length of the member and the member.
//! A length is one byte below 255, else 255 and four bytes.

use std::cmp::Ordering;
use std::ops::Range;

use crate::base::fit::fit;
use crate::types::tree::Chunk;
use crate::types::zset::score::{decode, encode};

/// The most members that can be in it.
pub const COUNT_MAX: usize = u16::MAX as usize;

/// Members and scores. The small form of a sorted set, and a chunk of the big one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    bytes: Box<[u8]>,
}

/// What members of a sorted set are ordered by.
#[derive(Clone, Debug)]
pub struct Key {
    /// Never NaN; 0 and -0 are the same.
    pub score: f64,
    /// Decides among equal scores.
    pub member: Box<[u8]>,
}

/// Goes over scores and members.
#[derive(Clone, Debug, Default)]
pub struct Entries<'a> {
    rest: &'a [u8],
    left: usize,
}

/// The order of two members.
pub fn order(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(b.1))
}

/// The scores and members in bytes that `as_bytes` gave.
pub fn entries(bytes: &[u8]) -> Entries<'_> {
    let left = bytes.first_chunk().map_or(0, |two| usize::from(u16::from_le_bytes(*two)));
    Entries { rest: bytes.get(2..).unwrap_or_default(), left }
}

impl Packed {
    /// What these bytes say, if they are such a piece: in order, and nothing twice.
    pub fn read(bytes: &[u8]) -> Option<Packed> {
        let packed = Packed { bytes: bytes.into() };
        let (mut entries, mut last, mut count) = (packed.iter(), None, 0);
        for entry in entries.by_ref() {
            let follows = last.is_none_or(|last| order(last, entry).is_lt());
            if !follows || entry.0.is_nan() {
                return None;
            }
            (last, count) = (Some(entry), count + 1);
        }
        (count == packed.len() && entries.rest.is_empty()).then_some(packed)
    }

    /// The piece as bytes, for `read`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same, for one who owns it.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.bytes
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.bytes.first_chunk().map_or(0, |two| usize::from(u16::from_le_bytes(*two)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Scores and members in order.
    pub fn iter(&self) -> Entries<'_> {
        entries(&self.bytes)
    }

    /// The same from the nth on.
    pub fn iter_from(&self, nth: usize) -> Entries<'_> {
        let mut entries = self.iter();
        entries.by_ref().take(nth).for_each(drop);
        entries
    }

    /// The place and score of a member.
    pub fn find(&self, member: &[u8]) -> Option<(usize, f64)> {
        let mut entries = self.iter().enumerate();
        entries.find(|(_, entry)| entry.1 == member).map(|(at, entry)| (at, entry.0))
    }

    /// How many lie before this score and member.
    pub fn before(&self, score: f64, member: &[u8]) -> usize {
        self.iter().take_while(|entry| order(*entry, (score, member)).is_lt()).count()
    }

    /// Adds a member that is not there; its place.
    pub fn insert(&mut self, score: f64, member: &[u8]) -> usize {
        let (at, offset) = self.place(score, member);
        let end = self.bytes.len().max(2);
        self.push(score, member);
        let added = self.bytes.len() - end;
        if let Some(moved) = self.bytes.get_mut(offset..) {
            moved.rotate_right(if offset == end { 0 } else { added });
        }
        at
    }

    /// Adds a member that follows all others.
    pub fn push(&mut self, score: f64, member: &[u8]) {
        let (code, code_len) = encode(score);
        let (head, head_len) = prefix(member.len());
        let count = (self.len() + 1) as u16;
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        let added = code_len + head_len + member.len();
        bytes.reserve_exact(if bytes.is_empty() { 2 + added } else { added });
        if bytes.is_empty() {
            bytes.extend_from_slice(&[0; 2]);
        }
        bytes.extend(code.into_iter().take(code_len));
        bytes.extend(head.into_iter().take(head_len));
        bytes.extend_from_slice(member);
        self.adopt(bytes, count);
    }

    /// Would it be too long for a chunk with this member?
    pub fn would_be_full(&self, score: f64, member: &[u8]) -> bool {
        let added = encode(score).1 + prefix(member.len()).1 + member.len();
        !self.is_empty() && self.bytes.len() + added > Packed::WEIGHT_MAX
    }

    /// Removes the members at these places.
    pub fn remove(&mut self, range: Range<usize>) {
        let range = range.start..range.end.min(self.len());
        if range.is_empty() {
            return;
        }
        let (start, count) = (self.offset(range.start), (self.len() - range.len()) as u16);
        let mut entries = self.iter_from(range.start);
        entries.by_ref().take(range.len()).for_each(drop);
        let end = self.bytes.len() - entries.rest.len();
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.drain(start..end);
        self.adopt(bytes, count);
    }

    /// How many lie before this score and member, and where what follows them begins: behind the
    /// count, which an empty piece does not have yet.
    fn place(&self, score: f64, member: &[u8]) -> (usize, usize) {
        let (mut entries, mut at, mut rest) = (self.iter(), 0, self.bytes.len().saturating_sub(2));
        while let Some(entry) = entries.next()
            && order(entry, (score, member)).is_lt()
        {
            (at, rest) = (at + 1, entries.rest.len());
        }
        (at, (self.bytes.len() - rest).max(2))
    }

    /// Where the nth member begins.
    fn offset(&self, nth: usize) -> usize {
        self.bytes.len() - self.iter_from(nth).rest.len()
    }

    fn adopt(&mut self, mut bytes: Vec<u8>, count: u16) {
        if let Some(two) = bytes.first_chunk_mut() {
            *two = count.to_le_bytes();
        }
        self.bytes = bytes.into_boxed_slice();
    }
}

impl Chunk for Packed {
    type Key = Key;
    const WEIGHT_MAX: usize = 1024;

    fn len(&self) -> usize {
        Packed::len(self)
    }

    fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn weight(&self) -> usize {
        self.bytes.len()
    }

    fn first(&self) -> Key {
        let (score, member) = self.iter().next().unwrap_or_default();
        Key { score, member: member.into() }
    }

    fn split_off(&mut self, at: usize) -> Packed {
        let (offset, left) = (self.offset(at), (self.len() - at) as u16);
        let mut next = vec![0; 2];
        next.extend_from_slice(self.bytes.get(offset..).unwrap_or_default());
        let mut rest = Packed::default();
        rest.adopt(next, left);
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.truncate(offset);
        fit(&mut bytes);
        self.adopt(bytes, at as u16);
        rest
    }

    fn append(&mut self, next: &Packed) {
        let count = (self.len() + next.len()) as u16;
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        let skip = if bytes.is_empty() { 0 } else { 2 };
        let more = next.bytes.get(skip..).unwrap_or_default();
        bytes.reserve_exact(more.len());
        bytes.extend_from_slice(more);
        self.adopt(bytes, count);
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = (f64, &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (score, after) = decode(self.rest)?;
        let (&[low], mut after) = after.split_first_chunk()?;
        let mut len = usize::from(low);
        if low == 255 {
            let (four, long) = after.split_first_chunk()?;
            len = u32::from_le_bytes(*four) as usize;
            after = long;
        }
        let (member, after) = after.split_at_checked(len)?;
        self.rest = after;
        Some((score, member))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.left))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        order((self.score, &self.member), (other.score, &other.member))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

fn prefix(len: usize) -> ([u8; 5], usize) {
    if len < 255 {
        return ([len as u8, 0, 0, 0, 0], 1);
    }
    let [a, b, c, d] = (len as u32).to_le_bytes();
    ([255, a, b, c, d], 5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn behaves_like_a_sorted_list() {
        let mut prng = Prng::new(1);
        let (mut packed, mut model) = (Packed::default(), Vec::<(f64, Vec<u8>)>::new());
        for step in 0..6000 {
            let n = prng.below(40);
            let mut member = n.to_string().into_bytes();
            member.resize(if n % 9 == 7 { 254 + n as usize } else { member.len() }, b'm');
            let known = model.iter().position(|entry| entry.1 == member);
            assert_eq!(packed.find(&member), known.map(|at| (at, model[at].0)), "step {step}");
            match known {
                Some(at) => {
                    let end = at + prng.below(3) as usize;
                    packed.remove(at..end);
                    model.drain(at..end.min(model.len()));
                }
                None => {
                    let score = [0.0, 1.0, -300.0, 0.5, 0.1][prng.below(5) as usize];
                    let at = packed.insert(score, &member);
                    model.insert(at, (score, member));
                }
            }
            assert!(model.is_sorted_by(|a, b| order((a.0, &a.1), (b.0, &b.1)).is_lt()));
            let expected: Vec<_> = model.iter().map(|(s, m)| (*s, &m[..])).collect();
            assert_eq!(packed.iter().collect::<Vec<_>>(), expected, "step {step}");
            assert_eq!(packed.len(), model.len());
            if model.len() > 1 && step % 7 == 0 {
                let at = 1 + prng.below(model.len() as u64 - 1) as usize;
                let mut first = packed.clone();
                let rest = first.split_off(at);
                assert_eq!((first.len(), rest.len()), (at, model.len() - at));
                assert_eq!(rest.first(), packed_key(&model[at]));
                first.append(&rest);
                assert_eq!(first, packed);
                assert_eq!(Packed::read(packed.as_bytes()), Some(packed.clone()));
                let mut pushed = Packed::default();
                packed.iter().for_each(|(score, member)| pushed.push(score, member));
                assert_eq!(pushed, packed);
            }
        }
    }

    fn packed_key((score, member): &(f64, Vec<u8>)) -> Key {
        Key { score: *score, member: member.as_slice().into() }
    }

    #[test]
    fn damaged_pieces_are_refused() {
        let mut packed = Packed::default();
        for (score, member) in [(1.0, "a"), (1.0, "b"), (2.5, "a")] {
            packed.insert(score, member.as_bytes());
        }
        let good = packed.as_bytes().to_vec();
        for cut in 3..good.len() {
            assert_eq!(Packed::read(&good[..cut]), None, "{cut}");
        }
        assert_eq!(Packed::read(&[&good[..], &[0]].concat()), None);
        let swap = [&good[..2], &good[5..8], &good[2..5], &good[8..]].concat();
        assert_eq!(Packed::read(&swap), None, "out of order");
        let twice = [&good[..2], &good[2..5], &good[2..5], &good[8..]].concat();
        assert_eq!(Packed::read(&twice), None, "twice");
    }
}
