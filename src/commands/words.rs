//! Reading the option words of a request.

use crate::base::number;
use crate::resp::error::Error;

/// A whole number as Redis accepts it.
pub fn integer(text: &[u8]) -> Option<i64> {
    number::parse_i64(text)
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
