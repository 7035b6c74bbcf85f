//! Reads numbers, words and moments out of arguments, with the error that each deserves.

use std::ops::RangeInclusive;

use crate::base::extended::Extended;
use crate::base::ids::Db;
use crate::base::number;
use crate::base::time::Millis;
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
        moment.and_then(millis).ok_or_else(|| Error::invalid_expire(command))
    }
}

/// A moment that is above zero.
fn millis(moment: i64) -> Option<Millis> {
    u64::try_from(moment).ok().filter(|moment| *moment > 0).map(Millis)
}

/// Is the argument this word, in whatever case?
pub fn is(arg: &[u8], word: &str) -> bool {
    arg.eq_ignore_ascii_case(word.as_bytes())
}

/// What the word stands for among these choices, in whatever case.
pub fn choice<T: Copy>(word: &[u8], choices: &[(&str, T)]) -> Option<T> {
    choices.iter().find(|(name, _)| is(word, name)).map(|(_, meaning)| *meaning)
}

/// A 64-bit integer.
pub fn integer(arg: &[u8]) -> Result<i64, Error> {
    number::parse_i64(arg).ok_or(Error::NotInteger)
}

/// An integer within a range.
pub fn integer_in(arg: &[u8], range: RangeInclusive<i64>) -> Result<i64, Error> {
    let value = integer(arg)?;
    if range.contains(&value) {
        return Ok(value);
    }
    let (min, max) = range.into_inner();
    Err(Error::value_between(min, max))
}

/// An integer that is not negative.
pub fn not_negative(arg: &[u8]) -> Result<u64, Error> {
    u64::try_from(integer(arg)?).map_err(|_| Error::NOT_POSITIVE)
}

/// A 32-bit number that may be a database's.
pub fn database_index(arg: &[u8]) -> Result<i64, Error> {
    integer_in(arg, i64::from(i32::MIN)..=i64::from(i32::MAX))
}

/// The database with that number.
pub fn database(index: i64, databases: u16) -> Result<Db, Error> {
    match u16::try_from(index) {
        Ok(index) if index < databases => Ok(Db(index)),
        _ => Err(Error::DB_INDEX),
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
        .ok_or(Error::CURSOR)
}

/// A number in extended precision, which may be infinite.
pub fn float(text: &[u8]) -> Result<Extended, Error> {
    Extended::parse(text).ok_or(Error::NotFloat)
}

/// The sum in the form that is stored.
pub fn float_sum(a: &Extended, b: &Extended) -> Result<Vec<u8>, Error> {
    let sum = a.finite_sum(b).ok_or(Error::NAN_OR_INFINITY)?;
    Ok(sum.text())
}
