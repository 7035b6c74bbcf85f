//! Every error text that a client can see, once.

use std::borrow::Cow;

/// An error reply. `Display` gives the line without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key holds another type.
    WrongType,
    /// An option or its order is not understood.
    Syntax,
    /// A number was expected that fits 64 bits.
    NotInteger,
    /// A floating point number was expected.
    NotFloat,
    /// Too few or too many arguments: the command's name in lower case (`config|get`).
    WrongArity(String),
    /// The key has to exist.
    NoSuchKey,
    /// Writes are refused while the log cannot be written (the reason is in the text).
    Misconf(String),
    /// Any other line, its code word included (`ERR ...`).
    Text(Cow<'static, str>),
}

impl Error {
    /// `ERR ` and the text.
    pub fn err(text: &'static str) -> Error {
        Error::Text(Cow::Owned(format!("ERR {text}")))
    }
}
