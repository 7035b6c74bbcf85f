//! Sums of decimal numbers as 80-bit extended precision gives them: INCRBYFLOAT computes in that
//! format, and clients see its rounding (0.1 + 0.2 is 0.3, 5 + 1e-17 is 5.00000000000000001).
//!
//! A finite number is `mantissa * 2^exponent` with a mantissa of at most 64 bits. Everything is
//! computed exactly on big integers, then rounded once, half to even.

use num_bigint::{BigInt, BigUint, Sign};

/// Bits of a mantissa.
const BITS: i64 = 64;
/// The exponent of the smallest number above zero.
const EXPONENT_MIN: i64 = -16_445;
/// The largest exponent of a mantissa of 64 bits.
const EXPONENT_MAX: i64 = 16_320;
/// Digits after the point when printed.
const PLACES: usize = 17;
/// Longer texts are no numbers; this also bounds the work.
const TEXT_MAX: usize = 5 * 1024;
/// Decimal exponents beyond this are too large or too small whatever the digits are.
const DECIMAL_MAX: i64 = 12_000;

/// A number in extended precision; never NaN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extended {
    /// Too large for the format, or written as `inf`.
    Infinite {
        /// Below zero.
        negative: bool,
    },
    /// Sign and magnitude, as `mantissa * 2^exponent`.
    Finite {
        /// Below zero, or the zero that is.
        negative: bool,
        /// At most 64 bits.
        mantissa: u64,
        /// At least `EXPONENT_MIN`.
        exponent: i64,
    },
}

impl Extended {
    /// Zero.
    pub const ZERO: Extended = Extended::Finite { negative: false, mantissa: 0, exponent: 0 };

    /// The number that a text stands for, as C's `strtold` reads it: decimal or hexadecimal digits
    /// with a point and an exponent, `inf`, `infinity`. Nothing for NaN, for what is no number,
    /// and for digits whose value is above the largest number or rounds to zero without being it.
    pub fn parse(text: &[u8]) -> Option<Extended> {
        if text.len() >= TEXT_MAX {
            return None;
        }
        let (negative, body) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        if body.eq_ignore_ascii_case(b"inf") || body.eq_ignore_ascii_case(b"infinity") {
            return Some(Extended::Infinite { negative });
        }
        let (radix, body) = match body {
            [b'0', b'x' | b'X', rest @ ..] => (16, rest),
            _ => (10, body),
        };
        let (digits, scale) = digits(body, radix)?;
        if digits == BigUint::ZERO {
            return Some(Extended::Finite { negative, mantissa: 0, exponent: 0 });
        }
        let value = match radix {
            16 => round(negative, digits, BigUint::from(1u8), scale),
            _ => decimal(negative, digits, scale)?,
        };
        match value {
            Extended::Finite { mantissa, .. } if mantissa > 0 => Some(value),
            _ => None,
        }
    }

    /// The sum; nothing when it is not a finite number.
    pub fn finite_sum(&self, other: &Extended) -> Option<Extended> {
        let (
            Extended::Finite { negative: a_negative, mantissa: a, exponent: a_exponent },
            Extended::Finite { negative: b_negative, mantissa: b, exponent: b_exponent },
        ) = (self, other)
        else {
            return None;
        };
        let exponent = *a_exponent.min(b_exponent);
        let term = |negative: bool, mantissa: u64, own: i64| {
            let sign = if negative { Sign::Minus } else { Sign::Plus };
            BigInt::from_biguint(sign, BigUint::from(mantissa) << own.abs_diff(exponent))
        };
        let sum = term(*a_negative, *a, *a_exponent) + term(*b_negative, *b, *b_exponent);
        let negative = sum.sign() == Sign::Minus;
        match round(negative, sum.into_parts().1, BigUint::from(1u8), exponent) {
            Extended::Infinite { .. } => None,
            finite => Some(finite),
        }
    }

    /// Is it an ordinary number?
    pub fn is_finite(&self) -> bool {
        matches!(self, Extended::Finite { .. })
    }

    /// The decimal form with up to 17 digits after the point, without zeros at its end.
    pub fn text(&self) -> Vec<u8> {
        let (negative, mantissa, exponent) = match self {
            Extended::Infinite { negative } => {
                return if *negative { b"-inf".to_vec() } else { b"inf".to_vec() };
            }
            Extended::Finite { negative, mantissa, exponent } => (*negative, *mantissa, *exponent),
        };
        let scaled = BigUint::from(mantissa) * BigUint::from(10u8).pow(PLACES as u32);
        let scaled = if exponent >= 0 {
            scaled << exponent.unsigned_abs()
        } else {
            divide(&scaled, &(BigUint::from(1u8) << exponent.unsigned_abs()))
        };
        let digits = scaled.to_string();
        let digits = format!("{digits:0>width$}", width = PLACES + 1);
        let (whole, part) = digits.split_at(digits.len() - PLACES);
        let part = part.trim_end_matches('0');
        let point = if part.is_empty() { "" } else { "." };
        let sign = if negative && !(whole == "0" && part.is_empty()) { "-" } else { "" };
        format!("{sign}{whole}{point}{part}").into_bytes()
    }
}

/// The digits before an exponent as one integer, and the power of the base (2 for hexadecimal)
/// that it has to be multiplied with.
fn digits(body: &[u8], radix: u32) -> Option<(BigUint, i64)> {
    let marks: &[u8] = if radix == 16 { b"pP" } else { b"eE" };
    let end = body.iter().position(|byte| marks.contains(byte));
    let (number, exponent) = match end {
        Some(end) => (body.get(..end)?, exponent(body.get(end + 1..)?)?),
        None => (body, 0),
    };
    let point = number.iter().position(|byte| *byte == b'.');
    let places = point.map_or(0, |point| number.len() - point - 1) as i64;
    let bare: Vec<u8> = match point {
        Some(point) => [number.get(..point)?, number.get(point + 1..)?].concat(),
        None => number.to_vec(),
    };
    if bare.is_empty() || !bare.iter().all(|byte| char::from(*byte).is_digit(radix)) {
        return None;
    }
    let digits = BigUint::parse_bytes(&bare, radix)?;
    let places = if radix == 16 { places * 4 } else { places };
    Some((digits, exponent - places))
}

/// A signed decimal exponent, kept within a range where sums of it cannot overflow.
fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits
        .iter()
        .fold(0i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -value } else { value })
}

/// `digits * 10^scale`, rounded; nothing where it is out of range anyway.
fn decimal(negative: bool, digits: BigUint, scale: i64) -> Option<Extended> {
    if scale.abs() > DECIMAL_MAX {
        return None;
    }
    let power = BigUint::from(10u8).pow(scale.unsigned_abs() as u32);
    Some(if scale >= 0 {
        round(negative, digits * power, BigUint::from(1u8), 0)
    } else {
        round(negative, digits, power, 0)
    })
}

/// `above / below * 2^exponent`, rounded to the format.
fn round(negative: bool, above: BigUint, below: BigUint, exponent: i64) -> Extended {
    // With this shift the quotient has 64 or 65 bits, or one more where rounding carries.
    let shift = above.bits() as i64 - below.bits() as i64 - BITS;
    for extra in 0..=2 {
        let target = (shift + extra).max(EXPONENT_MIN - exponent);
        let quotient = if target >= 0 {
            divide(&above, &(&below << target.unsigned_abs()))
        } else {
            divide(&(&above << target.unsigned_abs()), &below)
        };
        let Ok(mantissa) = u64::try_from(&quotient) else { continue };
        let exponent = exponent + target;
        if mantissa == 0 {
            return Extended::Finite { negative, mantissa: 0, exponent: 0 };
        }
        // A small mantissa with a large exponent is the same number as a full one with a smaller.
        if exponent - i64::from(mantissa.leading_zeros()) > EXPONENT_MAX {
            break;
        }
        return Extended::Finite { negative, mantissa, exponent };
    }
    Extended::Infinite { negative }
}

/// The quotient, rounded half to even.
fn divide(above: &BigUint, below: &BigUint) -> BigUint {
    let quotient = above / below;
    let twice = (above - &quotient * below) << 1u8;
    let up = match twice.cmp(below) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => quotient.bit(0),
    };
    if up { quotient + 1u8 } else { quotient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;
    use crate::testing::peer::Peer;

    fn sum(a: &str, b: &str) -> Option<String> {
        let (a, b) = (Extended::parse(a.as_bytes())?, Extended::parse(b.as_bytes())?);
        a.finite_sum(&b).map(|sum| String::from_utf8(sum.text()).unwrap())
    }

    /// Replies of INCRBYFLOAT by redis-server 7.0.15 on x86-64.
    #[test]
    fn sums() {
        for (a, b, expected) in SUMS {
            assert_eq!(sum(a, b).as_deref(), Some(*expected), "{a} + {b}");
        }
    }

    const SUMS: &[(&str, &str, &str)] = &[
        ("0.1", "0.2", "0.3"),
        ("5", "1e-17", "5.00000000000000001"),
        ("-1", "1", "0"),
        ("0", "-1e-30", "0"),
        ("0", "1e-4940", "0"),
        ("0", "0x1.8p3", "12"),
        ("-1", "0.99999999999999999999", "0"),
        ("5.90387131131e+22", "-9.4198954343277044e+04", "59038713113099999907840"),
        ("2.9794911e-15", "-204475042604594", "-204475042604594"),
        ("-7.3552e-25", "-7206854", "-7206854"),
        ("-9.267368401e-20", "-78642755781410035", "-78642755781410035"),
        ("1e-17", "9.73e+09", "9730000000"),
        ("9.7e-11", "-58405", "-58404.99999999990300026"),
        ("1e-4940", "-7.5e-18", "-0.00000000000000001"),
        ("-40068413045957431", "9.5020595392258220e-10", "-40068413045957431"),
        (".5", "-7.37634e-24", "0.5"),
        ("1.46e-23", "65356425405041507", "65356425405041507"),
        ("123456789012345678901234567890", "4.9921508e-20", "123456789012345678899921813504"),
        ("-2.053621741898599e-22", "621130618006152", "621130618006152"),
        ("-26612670408", "1e-17", "-26612670408"),
        ("45.1277", "1.0893004e-17", "45.12770000000000001"),
        ("0xFF", "-2.14564301607", "252.85435698392999999"),
        (".5", "-7.37634e-24", "0.5"),
        ("-4.69141306191981754e-24", ".5", "0.5"),
        ("-3647650725860", "-472.3761", "-3647650726332.37610006332397461"),
        ("-993.233761251286409788", "-233431036475", "-233431037468.2337612509727478"),
        ("-0.054923300375504", "446010367280", "446010367279.94507670402526855"),
        ("-0", "1.795e+24", "1795000000000000000000000"),
        ("0.2", "-285078362170", "-285078362169.80000001192092896"),
        ("-3873779141941363", "7.036439927157857455e+05", "-3873779141237719.00732421875"),
        ("-6e+12", "-0.56192", "-6000000000000.561920166015625"),
        (
            "123456789012345678901234567890",
            "0.00000000000000000499",
            "123456789012345678899921813504",
        ),
        ("1918752.84653", "9359938.373116", "11278691.21964599999955681"),
        ("5734244845907", "-7185990.31486514210700989", "5734237659916.6851348876953125"),
        ("95336.0858952043345", "-4404028065963", "-4404027970626.91410493850708008"),
        ("-0.007134172", "-954991778836975", "-954991778836975.00714111328125"),
        ("-9.735934066728e+09", "0.0087051", "-9735934066.71929490007460117"),
        ("364381.170999498863239", "1e17", "100000000000364381.171875"),
    ];

    #[test]
    fn texts_that_are_no_number() {
        let huge = format!("1e{}", "9".repeat(30));
        for text in [
            "", "-", "+", ".", "e5", "1e", "1e+", "x", "0x", "0x.", " 1", "1 ", "1_0", "nan",
            "-nan", "infin", "1.2.3", "--1", "1e5.5", "1e5000", "1e-5000", "0x1p", &huge,
        ] {
            assert_eq!(Extended::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(Extended::parse(b"-INF"), Some(Extended::Infinite { negative: true }));
        let long = format!("0.{}", "1".repeat(TEXT_MAX));
        assert_eq!(Extended::parse(long.as_bytes()), None);
    }

    /// A text that is a number, or nearly one.
    fn random(prng: &mut Prng) -> String {
        let mut digits = |most: u64| -> String {
            (0..prng.below(most)).map(|_| char::from(b'0' + prng.below(10) as u8)).collect()
        };
        let (whole, part, exponent) = (digits(24), digits(24), digits(3));
        let sign = ["", "", "-", "+"][prng.below(4) as usize];
        match prng.below(20) {
            0 => format!("{sign}{whole}"),
            1 => format!("{sign}{whole}.{part}e{exponent}"),
            2 => format!("{sign}{whole}.{part}e-{exponent}"),
            3 => format!("{sign}0x{whole}.{part}p{exponent}"),
            4 => format!("{sign}{}e{}", prng.below(100), 4900 + prng.below(60)),
            5 => format!("{sign}{}.{part}e-{}", prng.below(10), 4900 + prng.below(60)),
            6 => ["inf", "-inf", "nan", "1e", "0x", " 1", "1 ", "1.2.3", "-", ".", ""]
                [prng.below(11) as usize]
                .to_owned(),
            7 => format!("{sign}{}", 1u64 << prng.below(64)),
            8..=12 => format!("{sign}{}.{part}", prng.below(1000)),
            _ => format!("{sign}{}.{}", prng.next() >> prng.below(64), prng.below(100_000)),
        }
    }

    #[test]
    fn the_same_sums_as_redis() {
        let Some(mut peer) = Peer::start() else { return };
        for seed in 0..20 {
            let mut prng = Prng::new(seed);
            let pairs: Vec<_> = (0..500).map(|_| (random(&mut prng), random(&mut prng))).collect();
            for (a, b) in &pairs {
                peer.send(&[&[b"SET", b"k", a.as_bytes()], &[b"INCRBYFLOAT", b"k", b.as_bytes()]]);
            }
            for (a, b) in &pairs {
                assert_eq!(peer.reply(), b"+OK\r\n");
                let theirs = String::from_utf8(peer.reply()).unwrap();
                let read = |text: &str| Extended::parse(text.as_bytes());
                let ours = match (read(a), read(b)) {
                    (Some(a), Some(b)) => match a.finite_sum(&b).map(|sum| sum.text()) {
                        Some(sum) => {
                            format!("${}\r\n{}\r\n", sum.len(), String::from_utf8(sum).unwrap())
                        }
                        None => "-ERR increment would produce NaN or Infinity\r\n".to_owned(),
                    },
                    _ => "-ERR value is not a valid float\r\n".to_owned(),
                };
                assert_eq!(ours, theirs, "{a:?} + {b:?} (seed {seed})");
            }
        }
    }
}
