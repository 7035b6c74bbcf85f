//! The syntax of redis.conf: words, quotes, memory units, and the nearest known name.

use std::iter::Peekable;
use std::str::Chars;

/// Splits a line into words: blanks between them, `"..."` with escapes, `'...'` as it stands.
/// `None` when quotes are not balanced or a closing quote is not followed by a blank.
pub fn words(line: &str) -> Option<Vec<String>> {
    let mut chars = line.chars().peekable();
    let mut words = Vec::new();
    loop {
        while chars.next_if(char::is_ascii_whitespace).is_some() {}
        if chars.peek().is_none() {
            return Some(words);
        }
        words.push(word(&mut chars)?);
    }
}

/// One word; quotes may begin inside it, as in Redis.
fn word(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut bytes = Vec::new();
    while let Some(char) = chars.next_if(|char| !char.is_ascii_whitespace()) {
        match char {
            '"' => double_quoted(chars, &mut bytes)?,
            '\'' => single_quoted(chars, &mut bytes)?,
            _ => push(&mut bytes, char),
        }
    }
    String::from_utf8(bytes).ok()
}

fn push(bytes: &mut Vec<u8>, char: char) {
    bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

fn double_quoted(chars: &mut Peekable<Chars<'_>>, bytes: &mut Vec<u8>) -> Option<()> {
    loop {
        match chars.next()? {
            '"' => return closed(chars),
            '\\' => match chars.next()? {
                'n' => bytes.push(b'\n'),
                'r' => bytes.push(b'\r'),
                't' => bytes.push(b'\t'),
                'b' => bytes.push(0x08),
                'a' => bytes.push(0x07),
                'x' => hexadecimal(chars, bytes),
                other => push(bytes, other),
            },
            other => push(bytes, other),
        }
    }
}

/// `\xHH`; without two digits it is just an `x`.
fn hexadecimal(chars: &mut Peekable<Chars<'_>>, bytes: &mut Vec<u8>) {
    let mut ahead = chars.clone();
    let high = ahead.next().and_then(|char| char.to_digit(16));
    let low = ahead.next().and_then(|char| char.to_digit(16));
    match (high, low) {
        (Some(high), Some(low)) => {
            bytes.push((high * 16 + low) as u8);
            *chars = ahead;
        }
        _ => bytes.push(b'x'),
    }
}

fn single_quoted(chars: &mut Peekable<Chars<'_>>, bytes: &mut Vec<u8>) -> Option<()> {
    loop {
        match chars.next()? {
            '\'' => return closed(chars),
            '\\' if chars.next_if_eq(&'\'').is_some() => bytes.push(b'\''),
            other => push(bytes, other),
        }
    }
}

fn closed(chars: &mut Peekable<Chars<'_>>) -> Option<()> {
    chars.peek().is_none_or(char::is_ascii_whitespace).then_some(())
}

/// The word as it can stand in a file: as it is, or in double quotes.
pub fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_graphic() && !matches!(char, '"' | '\'' | '\\');
    if !word.is_empty() && !word.starts_with('#') && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for char in word.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(char))),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// An amount of memory: digits and b, k (1000), kb (1024), m, mb, g or gb in any case.
/// What does not fit is the largest amount.
pub fn memory(text: &str) -> Option<i64> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    if digits.is_empty() {
        return None;
    }
    Some(digits.parse::<i64>().unwrap_or(i64::MAX).saturating_mul(unit))
}

/// An integer in the one form that Redis reads: no blank, no `+`, no leading zero.
pub fn integer(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// A longer word is nobody's misspelling, and comparing it would take time for nothing.
const NAME_MAX: usize = 64;

/// The name of `names` that `word` was most likely meant to be, if any is near.
pub fn nearest<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > NAME_MAX {
        return None;
    }
    let word = word.to_ascii_lowercase();
    let (distance, name) = names.map(|name| (distance(&word, name), name)).min()?;
    (distance <= 1 + word.len() / 4).then_some(name)
}

/// Edits (insert, delete, replace) that make one word the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.bytes().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(other.bytes()) {
            let up = *cell;
            left = (diagonal + usize::from(a != b)).min(left + 1).min(up + 1);
            diagonal = up;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_split_as_redis_does() {
        let cases: &[(&str, Option<&[&str]>)] = &[
            ("", Some(&[])),
            ("  save 60   1000\t", Some(&["save", "60", "1000"])),
            ("save \"\"", Some(&["save", ""])),
            ("save ''", Some(&["save", ""])),
            ("a \"b c\" 'd e'", Some(&["a", "b c", "d e"])),
            (r#"a "\x41\n\"\q" '\n\''"#, Some(&["a", "A\n\"q", "\\n'"])),
            (r#"a "\xg1""#, Some(&["a", "xg1"])),
            ("x\"y z\"", Some(&["xy z"])),
            ("a \"b", None),
            ("a 'b", None),
            ("a \"b\"c", None),
            ("a 'b'c", None),
            ("a \"b\\", None),
            ("a \"\\xff\"", None),
        ];
        for (line, expected) in cases {
            let found = words(line);
            let found: Option<Vec<&str>> =
                found.as_ref().map(|words| words.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), *expected, "{line:?}");
        }
    }

    #[test]
    fn a_quoted_word_is_read_back() {
        for word in ["", "plain", "#x", "a b", "it's", "\"", "\\", "\n\r\t\x01", "caf\u{e9}", "-1"]
        {
            assert_eq!(words(&quoted(word)), Some(vec![word.to_owned()]), "{word:?}");
        }
        assert_eq!(quoted("plain"), "plain");
    }

    #[test]
    fn memory_units() {
        let cases = [
            ("0", Some(0)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2m", Some(2_000_000)),
            ("2mb", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("3Gb", Some(3 << 30)),
            ("99999999999999999999", Some(i64::MAX)),
            ("99999999999gb", Some(i64::MAX)),
            ("", None),
            ("gb", None),
            ("-1", None),
            ("1xb", None),
            ("1.5gb", None),
            ("1 gb", None),
        ];
        for (text, expected) in cases {
            assert_eq!(memory(text), expected, "{text:?}");
        }
    }

    #[test]
    fn integers_have_one_form() {
        for (text, expected) in [("0", Some(0)), ("-1", Some(-1)), ("17", Some(17))] {
            assert_eq!(integer(text), expected);
        }
        for text in ["", "+1", "01", " 1", "1 ", "-0", "1k", "1.5", "99999999999999999999"] {
            assert_eq!(integer(text), None, "{text:?}");
        }
    }

    #[test]
    fn the_nearest_name() {
        let names = ["port", "appendonly", "appendfsync", "save"];
        let cases = [
            ("prot", Some("port")),
            ("PORT", Some("port")),
            ("apendonly", Some("appendonly")),
            ("append-only", Some("appendonly")),
            ("safe", Some("save")),
            ("zzzzzz", None),
            (&"port".repeat(1000), None),
        ];
        for (word, expected) in cases {
            assert_eq!(nearest(word, names.into_iter()), expected, "{word}");
        }
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }
}
