//! The scalars of Redis' format: lengths, strings, numbers, ids of streams.
//!
//! ```text
//! length = 00LLLLLL                        6 bits
//!        | 01LLLLLL LLLLLLLL               14 bits, the high ones first
//!        | 10000000 4 bytes                big endian
//!        | 10000001 8 bytes                big endian
//! string = length, bytes
//!        | 11000000 1 byte                 a number as its decimal digits: i8
//!        | 11000001 2 bytes                i16, little endian
//!        | 11000010 4 bytes                i32, little endian
//!        | 11000011 length length bytes    LZF: packed length, length, packed bytes
//! ```

use std::borrow::Cow;

use crate::base::wire::Reader;
use crate::limits::STRING_MAX;
use crate::persist::rdb::lzf;

/// Bytes that are borrowed from the input or had to be unpacked.
pub type Text<'a> = Cow<'a, [u8]>;

/// The id of a stream's entry: milliseconds, sequence.
pub type Id = (u64, u64);

/// Why something cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The input has to be at least so long, from where reading began.
    Short(usize),
    /// It is not valid, whatever follows: what should be there.
    Bad(&'static str),
    /// It is valid, and something that does not exist here.
    Foreign(&'static str),
}

/// What does not hold stops the reading.
pub fn ensure(holds: bool, otherwise: Stop) -> Result<(), Stop> {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Reads scalars from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    reader: Reader<'a>,
    mark: usize,
}

impl<'a> Source<'a> {
    /// A source at the first byte.
    pub fn new(bytes: &'a [u8]) -> Source<'a> {
        Source { reader: Reader::new(bytes), mark: 0 }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.reader.position()
    }

    /// What has been read so far need not be read again.
    pub fn commit(&mut self) {
        self.mark = self.reader.position();
    }

    /// Where reading has to go on if the source turned out to be short.
    pub fn mark(&self) -> usize {
        self.mark
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let needed = self.reader.position().saturating_add(count);
        self.reader.take(count).ok_or(Stop::Short(needed))
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| Stop::Bad("bytes"))
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Stop> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A length.
    pub fn length(&mut self) -> Result<u64, Stop> {
        match self.prefix()? {
            Prefix::Length(length) => Ok(length),
            Prefix::Encoded(_) => Err(Stop::Bad("a length")),
        }
    }

    /// A string.
    pub fn text(&mut self) -> Result<Text<'a>, Stop> {
        match self.prefix()? {
            Prefix::Length(length) => self.take(bounded(length)?).map(Cow::Borrowed),
            Prefix::Encoded(0) => Ok(digits(i64::from(i8::from_le_bytes(self.array()?)))),
            Prefix::Encoded(1) => Ok(digits(i64::from(i16::from_le_bytes(self.array()?)))),
            Prefix::Encoded(2) => Ok(digits(i64::from(i32::from_le_bytes(self.array()?)))),
            Prefix::Encoded(3) => {
                let (packed, length) = (bounded(self.length()?)?, bounded(self.length()?)?);
                let packed = self.take(packed)?;
                let text = lzf::decompress(packed, length).ok_or(Stop::Bad("an LZF string"))?;
                Ok(Cow::Owned(text))
            }
            Prefix::Encoded(_) => Err(Stop::Bad("a string")),
        }
    }

    /// A moment or span of eight bytes.
    pub fn millis(&mut self) -> Result<i64, Stop> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// A double in eight bytes.
    pub fn double(&mut self) -> Result<f64, Stop> {
        finite_or_infinite(f64::from_le_bytes(self.array()?))
    }

    /// A double as digits with one byte of length before them.
    pub fn old_double(&mut self) -> Result<f64, Stop> {
        match self.byte()? {
            255 => Ok(f64::NEG_INFINITY),
            254 => Ok(f64::INFINITY),
            253 => Err(Stop::Bad("a score that is a number")),
            count => score(self.take(usize::from(count))?),
        }
    }

    /// An id of two lengths.
    pub fn id(&mut self) -> Result<Id, Stop> {
        Ok((self.length()?, self.length()?))
    }

    /// An id of sixteen bytes.
    pub fn raw_id(&mut self) -> Result<Id, Stop> {
        let (ms, seq) = (self.array()?, self.array()?);
        Ok((u64::from_be_bytes(ms), u64::from_be_bytes(seq)))
    }

    fn prefix(&mut self) -> Result<Prefix, Stop> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match (first >> 6, low) {
            (0, _) => Prefix::Length(u64::from(low)),
            (1, _) => Prefix::Length(u64::from(low) << 8 | u64::from(self.byte()?)),
            (2, 0) => Prefix::Length(u64::from(u32::from_be_bytes(self.array()?))),
            (2, 1) => Prefix::Length(u64::from_be_bytes(self.array()?)),
            (2, _) => return Err(Stop::Bad("a length")),
            _ => Prefix::Encoded(low),
        })
    }
}

enum Prefix {
    Length(u64),
    Encoded(u8),
}

/// The length of something that is read in one piece.
fn bounded(length: u64) -> Result<usize, Stop> {
    usize::try_from(length)
        .ok()
        .filter(|length| *length <= STRING_MAX)
        .ok_or(Stop::Foreign("a string of more than 512 MiB"))
}

/// The decimal digits of a number.
pub fn digits<'a>(number: i64) -> Text<'a> {
    Cow::Owned(itoa::Buffer::new().format(number).as_bytes().to_vec())
}

/// A score as digits.
pub fn score(digits: &[u8]) -> Result<f64, Stop> {
    let text = std::str::from_utf8(digits).ok().map(str::trim);
    let score = text.and_then(|text| text.parse::<f64>().ok());
    finite_or_infinite(score.ok_or(Stop::Bad("a score"))?)
}

fn finite_or_infinite(score: f64) -> Result<f64, Stop> {
    if score.is_nan() { Err(Stop::Bad("a score that is a number")) } else { Ok(score) }
}

/// Writes scalars at the end of a buffer.
#[derive(Debug)]
pub struct Drain<'a> {
    out: &'a mut Vec<u8>,
}

/// Strings below this length are not worth packing.
const PACK_MIN: usize = 21;

impl<'a> Drain<'a> {
    /// Writes at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Drain<'a> {
        Drain { out }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// A length in its shortest form.
    pub fn length(&mut self, length: u64) {
        match length {
            0..0x40 => self.byte(length as u8),
            0x40..0x4000 => self.raw(&[0x40 | (length >> 8) as u8, length as u8]),
            0x4000..=0xffff_ffff => {
                self.byte(0x80);
                self.raw(&(length as u32).to_be_bytes());
            }
            _ => {
                self.byte(0x81);
                self.raw(&length.to_be_bytes());
            }
        }
    }

    /// A string: as a number if it is a small one, packed if that is shorter, else as it is.
    pub fn text(&mut self, text: &[u8]) {
        if text.len() <= 11
            && let Some(number) = crate::base::number::parse_i64(text)
            && self.integer(number)
        {
            return;
        }
        let packed = if text.len() >= PACK_MIN { lzf::compress(text) } else { None };
        match packed {
            Some(packed) => {
                self.byte(0xc3);
                self.length(packed.len() as u64);
                self.length(text.len() as u64);
                self.raw(&packed);
            }
            None => self.plain(text),
        }
    }

    /// A string as it is.
    pub fn plain(&mut self, text: &[u8]) {
        self.length(text.len() as u64);
        self.raw(text);
    }

    /// An id of two lengths.
    pub fn id(&mut self, id: Id) {
        self.length(id.0);
        self.length(id.1);
    }

    /// An id of sixteen bytes.
    pub fn raw_id(&mut self, id: Id) {
        self.raw(&id.0.to_be_bytes());
        self.raw(&id.1.to_be_bytes());
    }

    /// Says whether the number is small enough.
    fn integer(&mut self, number: i64) -> bool {
        if let Ok(number) = i8::try_from(number) {
            self.byte(0xc0);
            self.raw(&number.to_le_bytes());
        } else if let Ok(number) = i16::try_from(number) {
            self.byte(0xc1);
            self.raw(&number.to_le_bytes());
        } else if let Ok(number) = i32::try_from(number) {
            self.byte(0xc2);
            self.raw(&number.to_le_bytes());
        } else {
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_strings_come_back() {
        for length in [0, 63, 64, 16383, 16384, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let mut out = Vec::new();
            Drain::new(&mut out).length(length);
            assert_eq!(Source::new(&out).length(), Ok(length));
            for cut in 0..out.len() {
                let short = Source::new(&out[..cut]).length();
                assert!(matches!(short, Err(Stop::Short(needed)) if needed > cut));
            }
        }
        let long = "ab".repeat(5000);
        let texts = [
            "",
            "0",
            "-1",
            "127",
            "128",
            "-32768",
            "32768",
            "2147483647",
            "2147483648",
            "007",
            "-0",
            "x",
            "18446744073709551616",
            &long,
        ];
        for text in texts {
            let mut out = Vec::new();
            Drain::new(&mut out).text(text.as_bytes());
            assert!(out.len() <= text.len() + 5);
            let mut source = Source::new(&out);
            assert_eq!(source.text().as_deref(), Ok(text.as_bytes()));
            assert_eq!(source.position(), out.len());
            for cut in 0..out.len() {
                let short = Source::new(&out[..cut]).text();
                assert!(matches!(short, Err(Stop::Short(needed)) if needed > cut), "{text}");
            }
        }
    }

    #[test]
    fn what_is_no_scalar() {
        assert_eq!(Source::new(b"\x82").length(), Err(Stop::Bad("a length")));
        assert_eq!(Source::new(b"\xc0\x01").length(), Err(Stop::Bad("a length")));
        assert_eq!(Source::new(b"\xc4\x01").text(), Err(Stop::Bad("a string")));
        assert_eq!(Source::new(b"\xc3\x02\x05\x01\x02").text(), Err(Stop::Bad("an LZF string")));
        let huge = b"\x81\xff\xff\xff\xff\xff\xff\xff\xff";
        assert!(matches!(Source::new(huge).text(), Err(Stop::Foreign(_))));
        assert!(matches!(Source::new(b"\xfd").old_double(), Err(Stop::Bad(_))));
        assert_eq!(Source::new(b"\xfe").old_double(), Ok(f64::INFINITY));
        assert_eq!(Source::new(b"\x031.5").old_double(), Ok(1.5));
        assert_eq!(score(b"-inf"), Ok(f64::NEG_INFINITY));
        assert!(score(b"nan").is_err() && score(b"").is_err() && score(b"1x").is_err());
    }
}
