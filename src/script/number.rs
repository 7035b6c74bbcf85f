//! Numbers as the C library prints them with `%.NNg`, which is how scripts hand them on.

/// A number as an argument of a command: 17 digits, so that none is lost.
pub fn argument(number: f64) -> String {
    general(number, 17)
}

/// `%.{digits}g`.
pub fn general(number: f64, digits: usize) -> String {
    if number.is_nan() {
        return if number.is_sign_negative() { "-nan" } else { "nan" }.to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number == number.trunc() && number.abs() < 1e14 && digits >= 14 {
        let sign = if number == 0.0 && number.is_sign_negative() { "-" } else { "" };
        return format!("{sign}{}", number as i64);
    }
    let digits = digits.max(1);
    let scientific = format!("{:.*e}", digits - 1, number);
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:02}", trimmed(mantissa), exponent.abs());
    }
    let places = usize::try_from(digits as i32 - 1 - exponent).unwrap_or_default();
    trimmed(&format!("{number:.places$}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_printf() {
        for (number, digits, expected) in [
            (0.0, 17, "0"),
            (1.0, 17, "1"),
            (-3.0, 14, "-3"),
            (3.3, 17, "3.2999999999999998"),
            (3.3, 14, "3.3"),
            (0.1, 14, "0.1"),
            (1e15, 14, "1e+15"),
            (1e15, 17, "1000000000000000"),
            (9_007_199_254_740_992.0, 17, "9007199254740992"),
            (1e17, 17, "1e+17"),
            (123_456_789_012_345_680.0, 17, "1.2345678901234568e+17"),
            (0.00001, 14, "1e-05"),
            (0.0001, 14, "0.0001"),
            (-1.5e300, 14, "-1.5e+300"),
            (99_999_999_999_999.9, 14, "1e+14"),
            (f64::INFINITY, 17, "inf"),
            (f64::NEG_INFINITY, 17, "-inf"),
        ] {
            assert_eq!(general(number, digits), expected, "{number} {digits}");
        }
    }
}
