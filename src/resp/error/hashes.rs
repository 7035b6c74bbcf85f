//! Error texts of commands on hashes whose fields have deadlines.

use std::borrow::Cow;

use crate::resp::error::{Error, quoting, text};

impl Error {
    /// The word before the fields.
    pub const FIELDS_MISSING: Error =
        text("ERR Mandatory argument FIELDS is missing or not at the right position");
    /// HEXPIRE: how many fields follow.
    pub const FIELDS_ZERO: Error = text("ERR Parameter `numFields` should be greater than 0");
    /// HTTL and its kin: how many fields follow.
    pub const FIELDS_NOT_POSITIVE: Error = text("ERR Number of fields must be a positive integer");
    /// Another number of fields follows.
    pub const FIELDS_COUNT: Error =
        text("ERR The `numfields` parameter must match the number of arguments");
    /// A deadline before all times.
    pub const FIELD_DEADLINE: Error = text("ERR invalid expire time, must be >= 0");
    /// HSETEX: FNX with FXX.
    pub const FIELD_CONDITIONS: Error =
        text("ERR Only one of FXX or FNX arguments can be specified");

    /// HGETEX and HSETEX: more than one of what says how long fields live; `last` is the one that
    /// not both have.
    pub fn several_lifetimes(last: &str) -> Error {
        let line = format!("Only one of EX, PX, EXAT, PXAT or {last} arguments can be specified");
        Error::Text(Cow::Owned(format!("ERR {line}")))
    }

    /// HGETEX and HSETEX: a word that they do not know.
    pub fn unknown_argument(word: &[u8]) -> Error {
        quoting("ERR unknown argument: ", word, "")
    }
}
