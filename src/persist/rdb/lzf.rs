//! LZF, the compression of strings in Redis' files.
//!
//! ```text
//! 000LLLLL                       L + 1 bytes follow as they are
//! LLLooooo oooooooo              L + 2 bytes (L from 1 to 6) from o + 1 bytes back
//! 111ooooo LLLLLLLL oooooooo     L + 9 bytes from o + 1 bytes back
//! ```

/// The longest run of bytes as they are.
const LITERALS_MAX: usize = 32;
/// The longest repetition.
const MATCH_MAX: usize = 264;
/// How far back a repetition reaches.
const WINDOW: usize = 1 << 13;
/// Slots of the table that finds repetitions.
const SLOT_BITS: u32 = 13;

/// Unpacks to exactly `length` bytes, or gives nothing. Memory grows with what is there, whatever
/// `length` says.
pub fn decompress(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut out: Vec<u8> = Vec::new();
    let mut rest = packed;
    while let Some((&control, after)) = rest.split_first() {
        let control = usize::from(control);
        if control < LITERALS_MAX {
            let (literals, after) = after.split_at_checked(control + 1)?;
            out.extend_from_slice(literals);
            rest = after;
        } else {
            let (mut count, mut after) = (control >> 5, after);
            if count == 7 {
                let (&more, behind) = after.split_first()?;
                count += usize::from(more);
                after = behind;
            }
            let (&low, behind) = after.split_first()?;
            let back = ((control & 31) << 8 | usize::from(low)) + 1;
            repeat(&mut out, back, count + 2)?;
            rest = behind;
        }
        if out.len() > length {
            return None;
        }
    }
    (out.len() == length).then_some(out)
}

/// Appends `count` bytes from `back` bytes before the end; what is appended can be repeated too.
fn repeat(out: &mut Vec<u8>, back: usize, count: usize) -> Option<()> {
    let start = out.len().checked_sub(back)?;
    let mut left = count;
    while left > 0 {
        // The period doubles with every turn.
        let part = left.min(out.len() - start);
        out.extend_from_within(start..start + part);
        left -= part;
    }
    Some(())
}

/// Packs bytes if that saves at least four.
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let limit = bytes.len().checked_sub(4).filter(|limit| *limit > 0)?;
    let mut out = Vec::with_capacity(limit.min(1 << 16));
    let mut slots = vec![0u32; 1 << SLOT_BITS];
    let (mut at, mut literals) = (0, 0);
    while let Some(three) = bytes.get(at..).and_then(|rest| rest.first_chunk::<3>()) {
        if out.len() > limit {
            return None;
        }
        let hash = u32::from_le_bytes([three[0], three[1], three[2], 0]).wrapping_mul(0x9e37_79b1);
        let slot = slots.get_mut((hash >> (32 - SLOT_BITS)) as usize)?;
        // Positions are kept plus one, so that 0 stands for none.
        let before = (*slot as usize).checked_sub(1);
        *slot = u32::try_from(at + 1).ok()?;
        match before {
            Some(before) if at - before <= WINDOW && bytes.get(before..before + 3)? == three => {
                let count = common(bytes.get(before..)?, bytes.get(at..)?);
                put_literals(&mut out, bytes.get(literals..at)?);
                put_match(&mut out, at - before - 1, count);
                at += count;
                literals = at;
            }
            _ => at += 1,
        }
    }
    put_literals(&mut out, bytes.get(literals..)?);
    (out.len() <= limit).then_some(out)
}

/// How many bytes two strings have in common at their beginnings, up to what one code can say.
fn common(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take(MATCH_MAX).take_while(|(a, b)| a == b).count()
}

fn put_literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(LITERALS_MAX) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

fn put_match(out: &mut Vec<u8>, offset: usize, count: usize) {
    let (high, low) = ((offset >> 8) as u8, offset as u8);
    if count < 9 {
        out.extend_from_slice(&[((count - 2) as u8) << 5 | high, low]);
    } else {
        out.extend_from_slice(&[7 << 5 | high, (count - 9) as u8, low]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn what_is_packed_is_unpacked() {
        let mut prng = Prng::new(3);
        let mut packed_some = 0;
        for round in 0..400 {
            let letters = 1 + prng.below(if round % 2 == 0 { 3 } else { 255 });
            let length = prng.below(20_000) as usize;
            let bytes: Vec<u8> = (0..length).map(|_| prng.below(letters) as u8).collect();
            let Some(packed) = compress(&bytes) else { continue };
            packed_some += 1;
            assert!(packed.len() + 4 <= bytes.len(), "round {round}");
            assert_eq!(decompress(&packed, length).as_deref(), Some(&bytes[..]), "round {round}");
            assert_eq!(decompress(&packed, length + 1), None);
            assert_eq!(decompress(&packed, length - 1), None);
        }
        assert!(packed_some > 150, "{packed_some}");
    }

    #[test]
    fn known_and_bad_codes() {
        assert_eq!(decompress(b"\x00a\xe0\x00\x00", 10), Some(vec![b'a'; 10]));
        assert_eq!(decompress(b"\x02abc\x20\x02", 6), Some(b"abcabc".to_vec()));
        for bad in [&b"\x20\x00"[..], b"\x05ab", b"\x00a\xe0\x00", b"\x00a\x20", b"\x00a\xff"] {
            assert_eq!(decompress(bad, 10), None, "{bad:x?}");
        }
        // A length that was sent reserves nothing.
        assert_eq!(decompress(b"\x00a", usize::MAX), None);
        assert_eq!(compress(b"abcd"), None);
        assert_eq!(compress(b""), None);
    }

    #[test]
    fn any_bytes_are_refused_or_unpacked() {
        let mut prng = Prng::new(4);
        for _ in 0..20_000 {
            let bytes: Vec<u8> = (0..prng.below(40)).map(|_| prng.next() as u8).collect();
            let _ = decompress(&bytes, prng.below(600) as usize);
        }
    }
}
