//! Text to integers and floats and back, exactly as existing clients expect them.

use crate::base::extended::Extended;

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

/// A double as C's `strtod` reads it, all of the text: decimal or hexadecimal, `inf`, no blanks.
/// Nothing for NaN, and for digits whose value is too large, or rounds to zero without being it.
pub fn parse_double(text: &[u8]) -> Option<f64> {
    let value = parse_double_saturating(text)?;
    let digits = text.iter().take_while(|byte| !b"eEpP".contains(byte));
    let lost = match value {
        0.0 => digits.copied().any(|byte| b"123456789".contains(&byte)),
        _ => value.is_infinite() && !text.iter().any(|byte| b"nN".contains(byte)),
    };
    (!lost).then_some(value)
}

/// The same, but what is too large is infinite and what is too small is zero.
pub fn parse_double_saturating(text: &[u8]) -> Option<f64> {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    if let [b'0', b'x' | b'X', ..] = unsigned {
        return match Extended::parse(text)? {
            Extended::Infinite { negative } => {
                Some(if negative { f64::NEG_INFINITY } else { f64::INFINITY })
            }
            Extended::Finite { negative, mantissa, exponent } => {
                // In two steps, since 2^exponent alone may be beyond what a double holds.
                let exponent = i32::try_from(exponent).ok()?;
                let (half, rest) = (exponent / 2, exponent - exponent / 2);
                let value = mantissa as f64 * 2f64.powi(half) * 2f64.powi(rest);
                Some(if negative { -value } else { value })
            }
        };
    }
    std::str::from_utf8(text).ok()?.parse::<f64>().ok().filter(|value| !value.is_nan())
}

/// Appends a double as C's `%.17g` prints it: 17 digits without zeros at their end, which DEBUG
/// DIGEST is made of.
pub fn push_double_digits(out: &mut Vec<u8>, x: f64) {
    if x == 0.0 || !x.is_finite() {
        return push_double(out, x);
    }
    let text = format!("{:.16e}", x.abs());
    let Some((mantissa, exponent)) = text.split_once('e') else { return };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if x < 0.0 {
        out.push(b'-');
    }
    if (-4..17).contains(&exponent) {
        let places = usize::try_from(16 - exponent).unwrap_or(0);
        out.extend_from_slice(trimmed(&format!("{:.places$}", x.abs())).as_bytes());
    } else {
        let (sign, size) = (if exponent < 0 { '-' } else { '+' }, exponent.abs());
        let mantissa = trimmed(mantissa);
        out.extend_from_slice(format!("{mantissa}e{sign}{size:02}").as_bytes());
    }
}

/// Without zeros at the end of a fraction, and without a point that nothing follows.
fn trimmed(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
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
    fn doubles_are_read_as_c_does() {
        let rows = [
            ("0", Some(0.0)),
            ("-0", Some(-0.0)),
            ("+1", Some(1.0)),
            (".5", Some(0.5)),
            ("5.", Some(5.0)),
            ("1e3", Some(1000.0)),
            ("1E-3", Some(0.001)),
            ("0x10", Some(16.0)),
            ("-0x.8p1", Some(-1.0)),
            ("0x1p-1074", Some(5e-324)),
            ("inf", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("+INF", Some(f64::INFINITY)),
            ("5e-324", Some(5e-324)),
            ("0e999", Some(0.0)),
            ("0.1", Some(0.1)),
            ("1e400", None),
            ("-1e400", None),
            ("1e-400", None),
            ("nan", None),
            ("", None),
            ("-", None),
            (".", None),
            ("e5", None),
            ("1e", None),
            (" 1", None),
            ("1 ", None),
            ("1_0", None),
            ("0x", None),
            ("infi", None),
            ("\u{e9}", None),
        ];
        for (text, expected) in rows {
            let got = parse_double(text.as_bytes()).map(f64::to_bits);
            assert_eq!(got, expected.map(f64::to_bits), "{text}");
        }
        assert_eq!(parse_double_saturating(b"-1e400"), Some(f64::NEG_INFINITY));
        assert_eq!(parse_double_saturating(b"1e-400"), Some(0.0));
    }

    #[test]
    fn seventeen_digits() {
        let rows = [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.10000000000000001"),
            (1e16, "10000000000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5000000000000001e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1.0000000000000001e-05"),
            (123456789.125, "123456789.125"),
            (f64::NEG_INFINITY, "-inf"),
        ];
        for (x, text) in rows {
            let mut out = Vec::new();
            push_double_digits(&mut out, x);
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
