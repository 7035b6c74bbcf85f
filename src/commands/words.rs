//! Reading the words and numbers of a request.

use crate::resp::error::Error;

/// A whole number as Redis accepts it: no blank, no plus sign, no leading zero.
pub fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        b"0" => (text.len() == 1).then_some(0),
        [b'1'..=b'9', ..] => std::str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

/// What the word stands for among these choices, which are in lower case.
pub fn choice<T: Copy>(word: &[u8], choices: &[(&str, T)]) -> Option<T> {
    choices
        .iter()
        .find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(word))
        .map(|(_, meaning)| *meaning)
}

/// `ERR what 'word'`.
pub fn quoted(what: &str, word: &[u8]) -> Error {
    Error::Text(format!("ERR {what} '{}'", String::from_utf8_lossy(word)).into())
}
