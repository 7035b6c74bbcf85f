//! A few different byte strings in one piece of memory, in the order in which they came.
//!
//! Two bytes of count, the higher first and its top bit set, then for each its length and its
//! bytes. A length is one byte below 255, else 255 and two bytes. (The top bit tells the form from
//! that of integers, ints.rs, wherever a small set is just bytes.)

use std::collections::HashSet;

/// The longest member that can be in it.
pub const LENGTH_MAX: usize = u16::MAX as usize;
/// The most members that can be in it.
pub const COUNT_MAX: usize = (u16::MAX >> 1) as usize;
/// In the first byte: these are members.
pub const MARK: u8 = 0x80;

/// Members of a small set.
#[derive(Clone, Debug, Default)]
pub struct Members {
    bytes: Box<[u8]>,
}

/// Goes over the members.
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
    left: usize,
}

impl Members {
    /// How many.
    pub fn len(&self) -> usize {
        self.bytes.first_chunk().map_or(0, |two| usize::from(u16::from_be_bytes(*two)) & COUNT_MAX)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As one piece of memory.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.bytes
    }

    /// Bytes that come from elsewhere, if they are valid.
    pub fn verified(bytes: &[u8]) -> Option<Members> {
        let members = Members { bytes: bytes.into() };
        let (mut seen, mut used) = (HashSet::new(), 2);
        for member in members.iter() {
            used += prefix(member.len()).1 + member.len();
            if !seen.insert(member) {
                return None;
            }
        }
        let exact = seen.len() == members.len() && used == bytes.len();
        let marked = bytes.first().is_some_and(|first| first & MARK != 0);
        drop(seen);
        (exact && marked && !members.is_empty()).then_some(members)
    }

    /// The members in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: self.bytes.get(2..).unwrap_or_default(), left: self.len() }
    }

    /// Is it there?
    pub fn contains(&self, member: &[u8]) -> bool {
        self.iter().any(|one| one == member)
    }

    /// Adds members that are not there, whose lengths and number the caller has checked. `room` is
    /// how many bytes they take, or 0 if that is not known.
    pub fn extend<'a>(&mut self, members: impl Iterator<Item = &'a [u8]>, room: usize) {
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.reserve_exact(room);
        if bytes.is_empty() {
            bytes.extend_from_slice(&[0; 2]);
        }
        let mut count = bytes.first_chunk().map_or(0, |two| u16::from_be_bytes(*two));
        count |= u16::from(MARK) << 8;
        for member in members {
            let (head, len) = prefix(member.len());
            bytes.extend(head.into_iter().take(len));
            bytes.extend_from_slice(member);
            count += 1;
        }
        if let Some(two) = bytes.first_chunk_mut() {
            *two = count.to_be_bytes();
        }
        self.bytes = bytes.into_boxed_slice();
    }

    /// Adds one that is not there.
    pub fn push(&mut self, member: &[u8]) {
        let count = if self.bytes.is_empty() { 2 } else { 0 };
        let room = count + prefix(member.len()).1 + member.len();
        self.extend(std::iter::once(member), room);
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let mut iter = self.iter();
        loop {
            let Some(one) = iter.next() else { return false };
            if one == member {
                break;
            }
        }
        let end = self.bytes.len() - iter.rest.len();
        let start = end - member.len() - prefix(member.len()).1;
        let count = (self.len() as u16 - 1) | u16::from(MARK) << 8;
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.drain(start..end);
        if let Some(two) = bytes.first_chunk_mut() {
            *two = count.to_be_bytes();
        }
        self.bytes = bytes.into_boxed_slice();
        true
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        let (&[low], mut after) = self.rest.split_first_chunk()?;
        let mut len = usize::from(low);
        if low == 255 {
            let (two, long) = after.split_first_chunk()?;
            len = usize::from(u16::from_le_bytes(*two));
            after = long;
        }
        let (member, after) = after.split_at_checked(len)?;
        self.rest = after;
        Some(member)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}

fn prefix(len: usize) -> ([u8; 3], usize) {
    if len < 255 { ([len as u8, 0, 0], 1) } else { ([255, len as u8, (len >> 8) as u8], 3) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn behaves_like_a_list_of_different_members() {
        for seed in 0..20 {
            let mut prng = Prng::new(seed);
            let (mut members, mut model) = (Members::default(), Vec::<Vec<u8>>::new());
            for step in 0..400 {
                let n = prng.below(30);
                let mut member = n.to_string().into_bytes();
                let len = [1, 0, 254, 255, 700][(n % 5) as usize];
                member.resize(member.len().max(len), b'm');
                let known = model.iter().position(|one| *one == member);
                assert_eq!(members.contains(&member), known.is_some(), "{seed} {step}");
                if prng.chance(1, 2) {
                    assert_eq!(members.remove(&member), known.is_some(), "{seed} {step}");
                    known.map(|at| model.remove(at));
                } else if known.is_none() {
                    members.push(&member);
                    model.push(member);
                }
                assert!(members.iter().eq(model.iter().map(Vec::as_slice)), "{seed} {step}");
                assert_eq!((members.len(), members.is_empty()), (model.len(), model.is_empty()));
            }
        }
    }

    #[test]
    fn only_valid_bytes_are_taken() {
        let mut members = Members::default();
        members.push(b"a");
        members.push(b"");
        members.push(&[7; 300]);
        let good = members.as_bytes();
        assert!(Members::verified(good).is_some_and(|members| members.len() == 3));
        for len in 0..good.len() {
            assert!(Members::verified(&good[..len]).is_none(), "{len}");
        }
        for bad in [&b"\x80\x00"[..], b"\x00\x01\x01a", b"\x80\x02\x01a\x01a", b"\x80\x01\x01ab"] {
            assert!(Members::verified(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn holds_no_byte_more_than_it_needs() {
        let mut members = Members::default();
        for n in 0..100 {
            members.push(format!("member{n:04}").as_bytes());
            assert_eq!(members.bytes(), 2 + 11 * (n + 1));
        }
    }
}
