//! What DUMP gives and RESTORE takes: one value outside a file.
//!
//! Valid if and only if it is: the type of a value (a byte), the value, the version of the format
//! (2 bytes, at most the one known), and the Jones CRC-64 of all before it (8 bytes), where both
//! numbers are little endian.

use crate::base::checksum::jones64;
use crate::persist::rdb::scalar::{Source, Stop};
use crate::persist::rdb::value_reader::{Part, ValueReader};
use crate::persist::rdb::value_writer::TIMED;

/// The version of Redis 7.0's format, which is written wherever it will do.
pub const WRITTEN: u16 = 10;
/// The version of Redis 7.4's format, up to which is read, and which is written where a hash has
/// deadlines of fields.
pub const READ: u16 = 12;

const FOOTER: usize = 10;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPayload {
    /// Its end: another version, or bytes were changed.
    Footer,
    /// The value.
    Value,
}

/// Appends the footer to a type and its value.
pub fn seal(payload: &mut Vec<u8>) {
    let timed = payload.first() == Some(&TIMED);
    let version = if timed { READ } else { WRITTEN };
    payload.extend_from_slice(&version.to_le_bytes());
    let crc = jones64(payload);
    payload.extend_from_slice(&crc.to_le_bytes());
}

/// The type and the value of a payload whose footer holds.
pub fn open(payload: &[u8]) -> Result<&[u8], BadPayload> {
    let (body, footer) = payload
        .len()
        .checked_sub(FOOTER)
        .and_then(|at| payload.split_at_checked(at))
        .ok_or(BadPayload::Footer)?;
    let (Some(version), Some(crc)) = (footer.first_chunk(), footer.last_chunk()) else {
        return Err(BadPayload::Footer);
    };
    let summed = payload.get(..body.len() + 2).unwrap_or_default();
    let holds = u16::from_le_bytes(*version) <= READ && u64::from_le_bytes(*crc) == jones64(summed);
    if holds { Ok(body) } else { Err(BadPayload::Footer) }
}

/// Reads a type and its value, part by part. Bytes behind a value are left alone, as Redis does.
pub fn parts(body: &[u8], mut each: impl FnMut(Part<'_>)) -> Result<(), BadPayload> {
    let bad = |_: Stop| BadPayload::Value;
    let mut source = Source::new(body);
    let mut reader = ValueReader::new(source.byte().map_err(bad)?).map_err(bad)?;
    while let Some(part) = reader.next(&mut source).map_err(bad)? {
        each(part);
    }
    Ok(())
}
