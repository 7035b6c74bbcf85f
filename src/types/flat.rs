//! A few fields and values in one piece of memory, in the order in which they came.
//!
//! Two bytes of count, then for each pair: field length, field, value length, value. A length is
//! one byte below 255, else 255 and two bytes.

use std::collections::HashSet;

/// The longest field or value that can be in it.
pub const LENGTH_MAX: usize = u16::MAX as usize;
/// The most pairs that can be in it.
pub const COUNT_MAX: usize = u16::MAX as usize;

/// Pairs of bytes.
#[derive(Clone, Debug, Default)]
pub struct Flat {
    bytes: Box<[u8]>,
}

/// Goes over the pairs.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
    left: usize,
}

impl Flat {
    /// Number of pairs.
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

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As one piece of memory.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.bytes
    }

    /// Bytes that come from elsewhere, if they are valid: a pair at least, every field once.
    pub fn verified(bytes: &[u8]) -> Option<Flat> {
        let flat = Flat { bytes: bytes.into() };
        let (mut seen, mut used) = (HashSet::new(), 2);
        for (field, value) in flat.pairs() {
            used += prefix(field.len()).1 + field.len() + prefix(value.len()).1 + value.len();
            if !seen.insert(field) {
                return None;
            }
        }
        let exact = !seen.is_empty() && seen.len() == flat.len() && used == bytes.len();
        drop(seen);
        exact.then_some(flat)
    }

    /// The pairs in order.
    pub fn pairs(&self) -> Pairs<'_> {
        Pairs { rest: self.bytes.get(2..).unwrap_or_default(), left: self.len() }
    }

    /// The value of a field.
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        self.pairs().find(|pair| pair.0 == field).map(|pair| pair.1)
    }

    /// Sets a field, whose lengths and number the caller has checked; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let Some((start, end)) = self.value_range(field) else {
            self.push(field, value);
            return true;
        };
        if end - start == value.len() {
            if let Some(old) = self.bytes.get_mut(start..end) {
                old.copy_from_slice(value);
            }
            return false;
        }
        let old_prefix = prefix(end - start).1;
        let (head, head_len) = prefix(value.len());
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.reserve_exact((head_len + value.len()).saturating_sub(end - start + old_prefix));
        let tail = head.into_iter().take(head_len).chain(value.iter().copied());
        bytes.splice(start - old_prefix..end, tail);
        self.bytes = bytes.into_boxed_slice();
        false
    }

    /// Adds a pair whose field is not there.
    pub fn push(&mut self, field: &[u8], value: &[u8]) {
        let count = self.len() as u16 + 1;
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        let room = 2 + field.len() + value.len() + 6;
        bytes.reserve_exact(if bytes.is_empty() { room } else { room - 2 });
        if bytes.is_empty() {
            bytes.extend_from_slice(&[0; 2]);
        }
        for part in [field, value] {
            let (head, len) = prefix(part.len());
            bytes.extend(head.into_iter().take(len));
            bytes.extend_from_slice(part);
        }
        if let Some(two) = bytes.first_chunk_mut() {
            *two = count.to_le_bytes();
        }
        self.bytes = bytes.into_boxed_slice();
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let Some((start, end)) = self.value_range(field) else { return false };
        let first = start - prefix(end - start).1 - field.len() - prefix(field.len()).1;
        let count = self.len() as u16 - 1;
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.drain(first..end);
        if let Some(two) = bytes.first_chunk_mut() {
            *two = count.to_le_bytes();
        }
        self.bytes = bytes.into_boxed_slice();
        true
    }

    /// Where the value of a field lies.
    fn value_range(&self, field: &[u8]) -> Option<(usize, usize)> {
        let mut pairs = self.pairs();
        loop {
            let (name, value) = pairs.next()?;
            if name == field {
                let end = self.bytes.len() - pairs.rest.len();
                return Some((end - value.len(), end));
            }
        }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some((part(&mut self.rest)?, part(&mut self.rest)?))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Pairs<'_> {}

fn prefix(len: usize) -> ([u8; 3], usize) {
    if len < 255 { ([len as u8, 0, 0], 1) } else { ([255, len as u8, (len >> 8) as u8], 3) }
}

fn part<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (&[low], mut after) = rest.split_first_chunk()?;
    let mut len = usize::from(low);
    if low == 255 {
        let (two, long) = after.split_first_chunk()?;
        len = usize::from(u16::from_le_bytes(*two));
        after = long;
    }
    let (part, after) = after.split_at_checked(len)?;
    *rest = after;
    Some(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn behaves_like_a_list_of_pairs() {
        let mut prng = Prng::new(1);
        let (mut flat, mut model) = (Flat::default(), Vec::<(Vec<u8>, Vec<u8>)>::new());
        for step in 0..5000 {
            let n = prng.below(20);
            let mut field = n.to_string().into_bytes();
            field.resize(if n == 7 { 300 } else { field.len() }, b'f');
            let size = [3, 254, 255, 700][prng.below(4) as usize];
            let value = vec![step as u8; prng.below(size) as usize];
            let known = model.iter().position(|pair| pair.0 == field);
            if prng.chance(1, 3) {
                assert_eq!(flat.remove(&field), known.is_some());
                known.map(|n| model.remove(n));
            } else {
                assert_eq!(flat.set(&field, &value), known.is_none());
                match known {
                    Some(n) => model[n].1 = value,
                    None => model.push((field.clone(), value)),
                }
            }
            let expected: Vec<_> = model.iter().map(|(f, v)| (&f[..], &v[..])).collect();
            assert_eq!(flat.pairs().collect::<Vec<_>>(), expected, "step {step}");
            let found = model.iter().find(|pair| pair.0 == field).map(|pair| &pair.1[..]);
            assert_eq!(flat.get(&field), found);
        }
    }
}
