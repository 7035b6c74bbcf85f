//! The error texts of HyperLogLogs.

use crate::resp::error::{Error, quoting, text};

impl Error {
    /// The key holds a string, but not such a one.
    pub const HLL_TYPE: Error = text("WRONGTYPE Key is not a valid HyperLogLog string value.");
    /// It looks like one, and its registers make no sense.
    pub const HLL_CORRUPT: Error = text("INVALIDOBJ Corrupted HLL object detected");
    /// PFDEBUG and no key.
    pub const PFDEBUG_KEY: Error = text("ERR The specified key does not exist");
    /// PFDEBUG DECODE of a dense one.
    pub const PFDEBUG_SPARSE: Error = text("ERR HLL encoding is not sparse");

    /// PFDEBUG with a word that it does not know.
    pub fn pfdebug_subcommand(word: &[u8]) -> Error {
        quoting("ERR Unknown PFDEBUG subcommand '", word, "'")
    }
}
