//! Puts the entries of one segment into the order of their hashes.
//!
//! Within a segment hashes are evenly spread, so one pass that deals them out by their next bits
//! leaves almost nothing to sort: a fifth of the work of a general sort.

/// Bits by which entries are dealt out.
const BITS: u32 = 9;
/// Below this number a general sort is as good.
const FEW: usize = 48;

/// Sorts things by `hash_of`, whose first `depth` bits are the same for all.
pub fn sort<T: Copy>(things: &mut [T], depth: u32, hash_of: impl Fn(&T) -> u64) {
    if things.len() < FEW {
        things.sort_unstable_by_key(hash_of);
        return;
    }
    let bucket = |thing: &T| (hash_of(thing) << depth >> (64 - BITS)) as usize;
    let mut ends = [0_u32; 1 << BITS];
    for thing in things.iter() {
        if let Some(end) = ends.get_mut(bucket(thing)) {
            *end += 1;
        }
    }
    let mut total = 0;
    for end in &mut ends {
        total += *end;
        *end = total;
    }
    let dealt = things.to_vec();
    for thing in dealt.iter().rev() {
        if let Some(end) = ends.get_mut(bucket(thing)) {
            *end -= 1;
            if let Some(place) = things.get_mut(*end as usize) {
                *place = *thing;
            }
        }
    }
    // What is left is out of place by a few steps at most.
    for last in 1..things.len() {
        let mut at = last;
        while let Some([low, high]) = things.get_mut(at - 1..=at)
            && hash_of(low) > hash_of(high)
        {
            std::mem::swap(low, high);
            at -= 1;
            if at == 0 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn sorts() {
        let mut prng = Prng::new(1);
        for depth in [0, 1, 17, 28] {
            for len in [0, 1, 2, 47, 48, 300, 448] {
                for spread in [64, 20, 1] {
                    let prefix =
                        if depth == 0 { 0 } else { prng.next() >> (64 - depth) << (64 - depth) };
                    let mut hash = || prefix | prng.next() >> depth >> (64 - spread);
                    let mut things: Vec<u64> = (0..len).map(|_| hash()).collect();
                    let mut expected = things.to_vec();
                    expected.sort_unstable();
                    sort(&mut things, depth, |thing| *thing);
                    assert_eq!(things, expected, "depth {depth} len {len} spread {spread}");
                }
            }
        }
    }
}
