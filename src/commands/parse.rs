//! Reads numbers, words and moments out of arguments, with the error that each deserves.

use std::ops::RangeInclusive;

use crate::base::ids::Db;
use crate::base::time::Millis;
use crate::commands::words;
use crate::resp::error::Error;

/// The unit of a time that a client names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// Milliseconds.
    Millis,
}

/// How a client names a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// As a distance from now.
    In(Unit),
    /// As a point in time.
    At(Unit),
}

impl When {
    /// The option word of SET and GETEX.
    pub fn of_word(word: &[u8]) -> Option<When> {
        [
            ("EX", When::In(Unit::Seconds)),
            ("PX", When::In(Unit::Millis)),
            ("EXAT", When::At(Unit::Seconds)),
            ("PXAT", When::At(Unit::Millis)),
        ]
        .into_iter()
        .find_map(|(name, when)| is(word, name).then_some(when))
    }

    /// The moment meant by `amount`, in milliseconds; may be negative. Nothing when it overflows.
    pub fn moment(self, amount: i64, now: Millis) -> Option<i64> {
        let (unit, base) = match self {
            When::In(unit) => (unit, i64::try_from(now.0).ok()?),
            When::At(unit) => (unit, 0),
        };
        let millis = match unit {
            Unit::Seconds => amount.checked_mul(1000)?,
            Unit::Millis => amount,
        };
        millis.checked_add(base)
    }

    /// The deadline that `arg` means to `command`, which takes only amounts above zero.
    pub fn deadline(self, arg: &[u8], now: Millis, command: &str) -> Result<Millis, Error> {
        let amount = integer(arg)?;
        let moment = if amount > 0 { self.moment(amount, now) } else { None };
        moment.and_then(millis).ok_or_else(|| invalid_expire(command))
    }
}

/// A moment that is above zero.
fn millis(moment: i64) -> Option<Millis> {
    u64::try_from(moment).ok().filter(|moment| *moment > 0).map(Millis)
}

/// The error for a deadline that cannot be.
pub fn invalid_expire(command: &str) -> Error {
    Error::Text(format!("ERR invalid expire time in '{command}' command").into())
}

/// Is the argument this word, in whatever case?
pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// A 64-bit integer.
pub fn integer(arg: &[u8]) -> Result<i64, Error> {
    words::integer(arg).ok_or(Error::NotInteger)
}

/// An integer within a range.
pub fn integer_in(arg: &[u8], range: RangeInclusive<i64>) -> Result<i64, Error> {
    let value = integer(arg)?;
    if range.contains(&value) {
        return Ok(value);
    }
    let (min, max) = range.into_inner();
    let text = format!("ERR value is out of range, value must between {min} and {max}");
    Err(Error::Text(text.into()))
}

/// An integer that is not negative.
pub fn not_negative(arg: &[u8]) -> Result<u64, Error> {
    u64::try_from(integer(arg)?).map_err(|_| Error::err("value is out of range, must be positive"))
}

/// A database's number. `invalid` is the error for what is no 32-bit integer, where a command has
/// one of its own.
pub fn database(arg: &[u8], databases: u16, invalid: Option<&'static str>) -> Result<Db, Error> {
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    let index = integer_in(arg, range).map_err(|error| invalid.map_or(error, Error::err))?;
    match u16::try_from(index) {
        Ok(index) if index < databases => Ok(Db(index)),
        _ => Err(Error::err("DB index is out of range")),
    }
}

/// The cursor of a SCAN command: digits, leading zeros and a plus sign allowed.
pub fn cursor(arg: &[u8]) -> Result<u64, Error> {
    let digits = arg.strip_prefix(b"+").unwrap_or(arg);
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits)
        .ok()
        .filter(|_| plain)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Error::err("invalid cursor"))
}

/// Does the pattern match the text?
pub fn matches(_pattern: &[u8], _text: &[u8]) -> bool {
    todo!("base::glob")
}

/// The sum of two numbers in text, as Redis prints it; `unread` is the error when `a` is none.
pub fn sum_of_floats(_a: &[u8], _b: &[u8], _unread: Error) -> Result<Vec<u8>, Error> {
    todo!("base::number")
}
