//! Scores as bytes: integers and short fractions take as few as they need.
//!
//! The first byte is the score itself below 221; 221 to 227 say how many bytes of an integer follow
//! (1 to 7), 229 to 235 the same for one below zero; 237 stands before four bytes of a float that
//! says it exactly, 238 before eight. Numbers are little-endian.

const SMALL_MAX: u64 = 220;
const POSITIVE: u8 = 220;
const NEGATIVE: u8 = 228;
const WIDTH_MAX: usize = 7;
const SINGLE: u8 = 237;
const DOUBLE: u8 = 238;

/// The most bytes that a score takes.
pub const SCORE_MAX: usize = 9;

/// The encoded form: the first so many bytes.
pub fn encode(score: f64) -> ([u8; SCORE_MAX], usize) {
    let mut code = [0; SCORE_MAX];
    let whole = score.abs();
    // Below 2^56 the cast is exact, or shows that it is not. Minus zero is no integer.
    if whole < (1_u64 << (8 * WIDTH_MAX)) as f64
        && (whole as u64) as f64 == whole
        && !(score == 0.0 && score.is_sign_negative())
    {
        let whole = whole as u64;
        if score >= 0.0 && whole <= SMALL_MAX {
            code[0] = whole as u8;
            return (code, 1);
        }
        let width = (64 - whole.leading_zeros() as usize).div_ceil(8).max(1);
        code[0] = width as u8 + if score < 0.0 { NEGATIVE } else { POSITIVE };
        copy(&mut code, &whole.to_le_bytes(), width);
        return (code, 1 + width);
    }
    let single = score as f32;
    if f64::from(single) == score {
        code[0] = SINGLE;
        copy(&mut code, &single.to_le_bytes(), 4);
        return (code, 5);
    }
    code[0] = DOUBLE;
    copy(&mut code, &score.to_le_bytes(), 8);
    (code, SCORE_MAX)
}

/// Reads a score; what follows it.
#[inline]
pub fn decode(bytes: &[u8]) -> Option<(f64, &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    match first {
        0..=POSITIVE => Some((f64::from(first), rest)),
        SINGLE => {
            let (four, rest) = rest.split_first_chunk()?;
            Some((f64::from(f32::from_le_bytes(*four)), rest))
        }
        DOUBLE => {
            let (eight, rest) = rest.split_first_chunk()?;
            Some((f64::from_le_bytes(*eight), rest))
        }
        _ => {
            let negative = first > NEGATIVE;
            let width = usize::from(first - if negative { NEGATIVE } else { POSITIVE });
            let (digits, rest) = rest.split_at_checked(width).filter(|_| width <= WIDTH_MAX)?;
            let whole = digits.iter().rev().fold(0_u64, |sum, &byte| sum << 8 | u64::from(byte));
            let score = whole as f64;
            Some((if negative { -score } else { score }, rest))
        }
    }
}

/// Copies the first `width` bytes of `from` behind the first byte of a code.
fn copy(code: &mut [u8; SCORE_MAX], from: &[u8], width: usize) {
    for (to, from) in code.iter_mut().skip(1).zip(from).take(width) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn scores_come_back() {
        let lines: &[(f64, usize)] = &[
            (0.0, 1),
            (220.0, 1),
            (221.0, 2),
            (255.0, 2),
            (256.0, 3),
            (-1.0, 2),
            (-65_536.0, 4),
            (1_700_000_000.0, 5),
            (1_700_000_000_123.0, 7),
            ((1_u64 << 56) as f64 - 8.0, 8),
            ((1_u64 << 53) as f64 - 1.0, 8),
            (-0.0, 5),
            (0.5, 5),
            (f64::INFINITY, 5),
            (f64::NEG_INFINITY, 5),
            (0.1, 9),
            ((1_u64 << 53) as f64 * 1024.0 + 4096.0, 9),
            (f64::MAX, 9),
            (5e-324, 9),
        ];
        for &(score, len) in lines {
            let (code, used) = encode(score);
            assert_eq!(used, len, "{score}");
            let (back, rest) = decode(&code[..used]).unwrap();
            assert_eq!((back.to_bits(), rest.len()), (score.to_bits(), 0), "{score}");
            for cut in 0..used {
                assert_eq!(decode(&code[..cut]), None);
            }
        }
        for seed in 0..200_000 {
            let mut prng = Prng::new(seed);
            let score = match prng.below(3) {
                0 => f64::from_bits(prng.next()),
                1 => (prng.next() as i64 >> prng.below(64)) as f64,
                _ => (prng.next() as i64 >> (30 + prng.below(34))) as f64 / 8.0,
            };
            if !score.is_nan() {
                let (code, used) = encode(score);
                let back = decode(&code[..used]).unwrap().0;
                assert_eq!(back.to_bits(), score.to_bits(), "seed {seed}: {score}");
            }
        }
    }

    #[test]
    fn what_is_no_score_is_refused() {
        for first in [228, 236, 239, 255] {
            assert_eq!(decode(&[first, 1, 2, 3, 4, 5, 6, 7, 8, 9]), None, "{first}");
        }
    }
}
