//! Text to integers and floats and back, exactly as existing clients expect them.

/// The longest an `i64` gets: a sign and 19 digits.
const INTEGER_DIGITS: usize = 20;

/// A canonical decimal integer: no plus, no leading zeros, no `-0`, no spaces; nothing else.
pub fn parse_i64(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if text.len() <= INTEGER_DIGITS => {}
        _ => return None,
    }
    let mut value = 0u64;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    if negative { 0i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() }
}

/// Appends a double: the shortest digits that give the same number back, plain or with an
/// exponent where that is shorter; integers without a point; `inf`, `-inf`, `nan`.
pub fn push_double(out: &mut Vec<u8>, x: f64) {
    if x.is_nan() {
        return out.extend_from_slice(b"nan");
    }
    if x.is_infinite() {
        return out.extend_from_slice(if x > 0.0 { b"inf" } else { b"-inf" });
    }
    if x == 0.0 {
        return out.extend_from_slice(if x.is_sign_negative() { b"-0" } else { b"0" });
    }
    // Half of the range of i64: there the cast is exact, or shows that it is not.
    if x.abs() <= (i64::MAX / 2) as f64 && x == (x as i64) as f64 {
        return out.extend_from_slice(itoa::Buffer::new().format(x as i64).as_bytes());
    }
    if x < 0.0 {
        out.push(b'-');
    }
    push_shortest(out, x);
}

/// The digits of a finite number that is not zero, without its sign.
fn push_shortest(out: &mut Vec<u8>, x: f64) {
    // Rust prints `d.ddde[-]x`, shortest digits; only their layout differs.
    let text = format!("{:e}", x.abs());
    let Some((mantissa, exponent)) = text.split_once('e') else { return };
    let digits: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = digits.len() as i32;
    // The value is digits * 10^scale.
    let scale = exponent - count + 1;
    let zeros = |n: i32| std::iter::repeat_n(b'0', usize::try_from(n).unwrap_or(0));
    if scale >= 0 && exponent.abs() < count + 7 {
        out.extend_from_slice(&digits);
        out.extend(zeros(scale));
    } else if scale < 0 && (scale > -7 || exponent.abs() < 4) {
        let point = count + scale;
        if point <= 0 {
            out.extend_from_slice(b"0.");
            out.extend(zeros(-point));
            out.extend_from_slice(&digits);
        } else {
            let (whole, part) = digits.split_at(usize::try_from(point).unwrap_or(0));
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(part);
        }
    } else {
        let (first, rest) = digits.split_at(1);
        out.extend_from_slice(first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn integers_are_canonical() {
        let good = [0, 1, -1, 10, -10, 4096, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1];
        for n in good {
            assert_eq!(parse_i64(n.to_string().as_bytes()), Some(n));
        }
        let bad = [
            "",
            "-",
            "+1",
            "-0",
            "00",
            "01",
            "-01",
            " 1",
            "1 ",
            "1.0",
            "1e3",
            "0x1",
            "a",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "99999999999999999999",
            "100000000000000000000",
            "1\0",
        ];
        for text in bad {
            assert_eq!(parse_i64(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn doubles_are_short() {
        let rows = [
            (3.5, "3.5"),
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-17.0, "-17"),
            (0.1, "0.1"),
            (1e-5, "0.00001"),
            (1.5e-7, "1.5e-7"),
            (1e-10, "1e-10"),
            (1e17, "100000000000000000"),
            (4e18, "4000000000000000000"),
            (1e19, "1e+19"),
            (1.25e300, "1.25e+300"),
            (123456.789, "123456.789"),
            (f64::INFINITY, "inf"),
            (f64::NEG_INFINITY, "-inf"),
            (f64::NAN, "nan"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ];
        for (x, text) in rows {
            let mut out = Vec::new();
            push_double(&mut out, x);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn fuzz_integers() {
        for seed in 0..200_000 {
            let mut prng = Prng::new(seed);
            let text = match prng.below(3) {
                0 => (prng.next() as i64 >> prng.below(64)).to_string(),
                1 => (i128::from(i64::MAX) - 20 + i128::from(prng.below(40))).to_string(),
                _ => {
                    let bytes = b"-+0019 .";
                    (0..prng.below(22)).map(|_| char::from(bytes[prng.below(8) as usize])).collect()
                }
            };
            let canonical = text.parse::<i64>().ok().filter(|n| n.to_string() == text);
            assert_eq!(parse_i64(text.as_bytes()), canonical, "seed {seed}: {text:?}");
        }
    }

    #[test]
    fn fuzz_doubles_come_back() {
        for seed in 0..200_000 {
            let mut prng = Prng::new(seed);
            let x = match prng.below(3) {
                0 => f64::from_bits(prng.next()),
                1 => (prng.next() >> prng.below(64)) as f64,
                _ => prng.below(1_000_000) as f64 / 1000.0,
            };
            let mut out = Vec::new();
            push_double(&mut out, x);
            let back: f64 = String::from_utf8(out).unwrap().parse().unwrap();
            assert!(back == x || (back.is_nan() && x.is_nan()), "seed {seed}: {x} gave {back}");
        }
    }
}
