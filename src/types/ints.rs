//! Different integers in one piece of memory, ascending, each as wide as the widest needs.
//!
//! One byte of width, then every integer in that many bytes (1 to 8), little-endian.

/// A set of integers.
#[derive(Clone, Debug, Default)]
pub struct Ints {
    bytes: Box<[u8]>,
}

impl Ints {
    /// How many.
    pub fn len(&self) -> usize {
        self.numbers().len() / self.width()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() < 2
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
    pub fn verified(bytes: &[u8]) -> Option<Ints> {
        let (width, numbers) = bytes.split_first()?;
        let fits = (1..=8).contains(width) && numbers.len().is_multiple_of((*width).into());
        let ints = Ints { bytes: bytes.into() };
        let ascending = fits && ints.iter().is_sorted_by(|a, b| a < b);
        (ascending && !numbers.is_empty()).then_some(ints)
    }

    /// The integer with `nth` smaller ones.
    pub fn get(&self, nth: usize) -> Option<i64> {
        let width = self.width();
        Some(widen(self.numbers().get(nth * width..(nth + 1) * width)?))
    }

    /// All in ascending order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = i64> {
        self.numbers().chunks_exact(self.width()).map(widen)
    }

    /// Is it there?
    pub fn contains(&self, value: i64) -> bool {
        self.search(value).is_ok()
    }

    /// Adds an integer; says whether it is new.
    pub fn insert(&mut self, value: i64) -> bool {
        let Err(at) = self.search(value) else { return false };
        let (old, new) = (self.width(), width_of(value));
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        if new > old || bytes.is_empty() {
            let numbers = bytes.get(1..).unwrap_or_default();
            let mut wide = Vec::with_capacity(1 + (numbers.len() / old + 1) * new);
            wide.push(new as u8);
            for number in numbers.chunks_exact(old) {
                wide.extend(widen(number).to_le_bytes().into_iter().take(new));
            }
            bytes = wide;
        }
        let width = old.max(new);
        bytes.reserve_exact(width);
        let at = 1 + at * width;
        bytes.splice(at..at, value.to_le_bytes().into_iter().take(width));
        self.bytes = bytes.into_boxed_slice();
        true
    }

    /// Removes an integer; says whether it was there.
    pub fn remove(&mut self, value: i64) -> bool {
        let Ok(at) = self.search(value) else { return false };
        let (at, width) = (1 + at * self.width(), self.width());
        let mut bytes = std::mem::take(&mut self.bytes).into_vec();
        bytes.drain(at..at + width);
        self.bytes = bytes.into_boxed_slice();
        true
    }

    /// Where it is, or where it belongs.
    fn search(&self, value: i64) -> Result<usize, usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.get(middle) {
                Some(found) if found == value => return Ok(middle),
                Some(found) if found < value => low = middle + 1,
                _ => high = middle,
            }
        }
        Err(low)
    }

    fn width(&self) -> usize {
        self.bytes.first().map_or(1, |width| usize::from(*width))
    }

    fn numbers(&self) -> &[u8] {
        self.bytes.get(1..).unwrap_or_default()
    }
}

/// The fewest bytes that hold it with its sign.
fn width_of(value: i64) -> usize {
    let bits = 65 - (value ^ (value >> 63)).leading_zeros() as usize;
    bits.div_ceil(8)
}

fn widen(bytes: &[u8]) -> i64 {
    let mut eight = [0; 8];
    for (to, from) in eight.iter_mut().zip(bytes) {
        *to = *from;
    }
    let unused = 64 - 8 * bytes.len().min(8) as u32;
    i64::from_le_bytes(eight).wrapping_shl(unused).wrapping_shr(unused)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn widths() {
        for (value, width) in [
            (0, 1),
            (-1, 1),
            (127, 1),
            (-128, 1),
            (128, 2),
            (-129, 2),
            (0x7fff_ffff_ffff, 6),
            (-0x8000_0000_0001, 7),
            (i64::MAX, 8),
            (i64::MIN, 8),
        ] {
            assert_eq!(width_of(value), width, "{value}");
            let mut ints = Ints::default();
            assert!(ints.insert(value));
            assert_eq!((ints.bytes(), ints.get(0)), (1 + width, Some(value)));
        }
    }

    #[test]
    fn only_valid_bytes_are_taken() {
        for good in [&b"\x01\x05"[..], b"\x01\xff\x00\x01", b"\x02\x00\x80\x00\x01"] {
            assert!(Ints::verified(good).is_some_and(|ints| ints.as_bytes() == good), "{good:?}");
        }
        for bad in [
            &b""[..],
            b"\x01",
            b"\x00\x01",
            b"\x09123456789",
            b"\x02\x01",
            b"\x01\x05\x05",
            b"\x01\x05\x04",
            b"\x01\x05\x80",
        ] {
            assert!(Ints::verified(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn behaves_like_an_ordered_set() {
        for seed in 0..40 {
            let mut prng = Prng::new(seed);
            let (mut ints, mut model) = (Ints::default(), BTreeSet::new());
            for step in 0..600 {
                let shift = if prng.chance(1, 50) { prng.below(64) } else { 57 };
                let value = (prng.next() as i64) >> shift;
                if prng.chance(2, 5) {
                    assert_eq!(ints.remove(value), model.remove(&value), "{seed} {step}");
                } else {
                    assert_eq!(ints.insert(value), model.insert(value), "{seed} {step}");
                }
                assert_eq!(ints.contains(value), model.contains(&value));
                assert_eq!((ints.len(), ints.is_empty()), (model.len(), model.is_empty()));
                assert!(ints.iter().eq(model.iter().copied()), "seed {seed} step {step}");
            }
        }
    }
}
