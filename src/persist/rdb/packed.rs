//! The packed encodings of small collections: listpack, ziplist, zipmap, intset. Each is one string
//! in a file; this reads its elements in order.
//!
//! A *listpack* is valid if and only if it is: 4 bytes of its own length, 2 bytes of the number of
//! elements (or 65535), elements, 0xff; where an element is a code, its data, and the length of
//! both backwards, seven bits a byte, every byte but the last to be written with its high bit set.
//!
//! ```text
//! 0vvvvvvv                        a number, 0 to 127
//! 10LLLLLL bytes                  a string
//! 110vvvvv vvvvvvvv               a number of 13 bits, signed, the high ones first
//! 1110LLLL LLLLLLLL bytes         a string
//! f0 LLLLLLLL (4 bytes) bytes     a string, little endian
//! f1, f2, f3, f4                  a number of 2, 3, 4 or 8 bytes, signed, little endian
//! ```
//!
//! A *ziplist* is valid if and only if it is: 4 bytes of its own length, 4 bytes of an offset
//! inside it (of its last element; not used here), 2 bytes of the number of elements (or 65535),
//! elements, 0xff; where an element is the length of the one before it (a byte, or 0xfe and 4
//! bytes), a code, and its data.
//!
//! ```text
//! 00LLLLLL, 01LLLLLL LLLLLLLL, 10______ and 4 bytes    a string; lengths are big endian
//! c0, d0, e0, f0, fe              a number of 2, 4, 8, 3 or 1 bytes, signed, little endian
//! f1 to fd                        the numbers 0 to 12
//! ```
//!
//! A *zipmap* is valid if and only if it is: a byte with the number of pairs (or 254 and more),
//! pairs, 0xff; where a pair is a length, the name, a length, a byte of slack, the value, the
//! slack; and a length is a byte, or 0xfe and 4 bytes, little endian.
//!
//! An *intset* is valid if and only if it is: 4 bytes of width (2, 4, 8), 4 bytes of the number of
//! elements, and the elements, signed, little endian, each greater than the one before it.

use std::borrow::Cow;

use crate::base::wire::Reader;
use crate::persist::rdb::scalar::{Stop, Text, digits, ensure};

/// Which encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// What Redis 7 writes.
    Listpack,
    /// What Redis 2.6 to 6 wrote.
    Ziplist,
    /// Hashes before Redis 2.6.
    Zipmap,
    /// Sets of integers.
    Intset,
}

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A string.
    Bytes(&'a [u8]),
    /// A number.
    Number(i64),
}

/// Goes over the elements; the bytes are given to it at every step.
#[derive(Clone, Debug)]
pub struct Cursor {
    packing: Packing,
    at: usize,
    seen: u32,
    count: Option<u32>,
    /// Ziplists: the length of the element before. Intsets: the width. Zipmaps: 1 before a value.
    extra: usize,
    last: Option<i64>,
}

const BAD: Stop = Stop::Bad("a packed collection that holds together");

impl<'a> Entry<'a> {
    /// The element as the string that it stands for.
    pub fn text(self) -> Text<'a> {
        match self {
            Entry::Bytes(bytes) => Cow::Borrowed(bytes),
            Entry::Number(number) => digits(number),
        }
    }

    /// A number that is not negative.
    pub fn unsigned(self) -> Result<u64, Stop> {
        match self {
            Entry::Number(number) => u64::try_from(number).map_err(|_| BAD),
            Entry::Bytes(_) => Err(BAD),
        }
    }

    /// A number.
    pub fn number(self) -> Result<i64, Stop> {
        match self {
            Entry::Number(number) => Ok(number),
            Entry::Bytes(_) => Err(BAD),
        }
    }
}

impl Cursor {
    /// A cursor at the first element; the head has to agree with the bytes.
    pub fn new(packing: Packing, bytes: &[u8]) -> Result<Cursor, Stop> {
        let mut r = Reader::new(bytes);
        let mut cursor = Cursor { packing, at: 0, seen: 0, count: None, extra: 0, last: None };
        let known = |count: u16| (count != u16::MAX).then_some(u32::from(count));
        match packing {
            Packing::Listpack => {
                let total = r.u32().ok_or(BAD)?;
                cursor.count = known(r.u16().ok_or(BAD)?);
                ensure(total as usize == bytes.len(), BAD)?;
            }
            Packing::Ziplist => {
                let (total, tail) = (r.u32().ok_or(BAD)?, r.u32().ok_or(BAD)?);
                cursor.count = known(r.u16().ok_or(BAD)?);
                ensure(total as usize == bytes.len() && (tail as usize) < bytes.len(), BAD)?;
            }
            Packing::Zipmap => {
                let count = r.u8().ok_or(BAD)?;
                cursor.count = (count < 254).then_some(u32::from(count) * 2);
            }
            Packing::Intset => {
                let (width, count) = (r.u32().ok_or(BAD)?, r.u32().ok_or(BAD)?);
                cursor.extra = width as usize;
                cursor.count = Some(count);
                let size = u64::from(width) * u64::from(count) + 8;
                ensure(matches!(width, 2 | 4 | 8) && size == bytes.len() as u64, BAD)?;
            }
        }
        cursor.at = r.position();
        Ok(cursor)
    }

    /// Is the end reached? There everything has to agree.
    pub fn over(&self, bytes: &[u8]) -> Result<bool, Stop> {
        let rest = bytes.get(self.at..).unwrap_or_default();
        let over = match self.packing {
            Packing::Intset => rest.is_empty(),
            _ => rest.first() == Some(&0xff),
        };
        if over {
            let pairs = self.packing != Packing::Zipmap || self.extra == 0;
            let end = self.packing == Packing::Intset || rest.len() == 1;
            ensure(end && pairs && self.count.is_none_or(|count| count == self.seen), BAD)?;
        }
        Ok(over)
    }

    /// The next element, before the end.
    pub fn next<'a>(&mut self, bytes: &'a [u8]) -> Result<Entry<'a>, Stop> {
        let mut r = Reader::new(bytes.get(self.at..).unwrap_or_default());
        let entry = match self.packing {
            Packing::Listpack => listpack(&mut r),
            Packing::Ziplist => {
                let entry = ziplist(&mut r, self.extra);
                self.extra = r.position();
                entry
            }
            Packing::Zipmap => {
                let entry = zipmap(&mut r, self.extra);
                self.extra ^= 1;
                entry
            }
            Packing::Intset => {
                let number = signed(&mut r, self.extra);
                ensure(self.last.is_none_or(|last| number.is_some_and(|now| last < now)), BAD)?;
                self.last = number;
                number.map(Entry::Number)
            }
        };
        let entry = entry.ok_or(BAD)?;
        self.at += r.position();
        self.seen = self.seen.checked_add(1).ok_or(BAD)?;
        Ok(entry)
    }
}

fn listpack<'a>(r: &mut Reader<'a>) -> Option<Entry<'a>> {
    let start = r.position();
    let code = r.u8()?;
    let low = |mask: u8| usize::from(code & mask);
    let entry = match code {
        0..=0x7f => Entry::Number(i64::from(code)),
        0x80..=0xbf => Entry::Bytes(r.take(low(0x3f))?),
        0xc0..=0xdf => {
            let value = (low(0x1f) << 8 | usize::from(r.u8()?)) as i64;
            Entry::Number(if value < 1 << 12 { value } else { value - (1 << 13) })
        }
        0xe0..=0xef => {
            let length = low(0x0f) << 8 | usize::from(r.u8()?);
            Entry::Bytes(r.take(length)?)
        }
        0xf0 => {
            let length = r.u32()? as usize;
            Entry::Bytes(r.take(length)?)
        }
        0xf1 => Entry::Number(signed(r, 2)?),
        0xf2 => Entry::Number(signed(r, 3)?),
        0xf3 => Entry::Number(signed(r, 4)?),
        0xf4 => Entry::Number(signed(r, 8)?),
        0xf5..=0xff => return None,
    };
    let length = r.position() - start;
    let back = backwards(length);
    (r.take(back.1)? == back.0.get(..back.1)?).then_some(entry)
}

/// The length of an element as it stands behind it, and how many bytes that takes.
fn backwards(length: usize) -> ([u8; 5], usize) {
    let count = match length {
        0..=127 => 1,
        128..=16382 => 2,
        16383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    };
    let mut bytes = [0; 5];
    for (index, byte) in bytes.iter_mut().take(count).enumerate() {
        let low = (length >> (7 * (count - 1 - index))) as u8 & 127;
        *byte = if index == 0 { low } else { low | 128 };
    }
    (bytes, count)
}

fn ziplist<'a>(r: &mut Reader<'a>, before: usize) -> Option<Entry<'a>> {
    let back = match r.u8()? {
        254 => r.u32()? as usize,
        255 => return None,
        short => usize::from(short),
    };
    if back != before {
        return None;
    }
    let code = r.u8()?;
    Some(match code {
        0..=0x3f => Entry::Bytes(r.take(usize::from(code))?),
        0x40..=0x7f => {
            let length = usize::from(code & 0x3f) << 8 | usize::from(r.u8()?);
            Entry::Bytes(r.take(length)?)
        }
        0x80..=0xbf => {
            let length = u32::from_be_bytes(r.take(4)?.try_into().ok()?) as usize;
            Entry::Bytes(r.take(length)?)
        }
        0xc0 => Entry::Number(signed(r, 2)?),
        0xd0 => Entry::Number(signed(r, 4)?),
        0xe0 => Entry::Number(signed(r, 8)?),
        0xf0 => Entry::Number(signed(r, 3)?),
        0xfe => Entry::Number(signed(r, 1)?),
        0xf1..=0xfd => Entry::Number(i64::from(code & 0x0f) - 1),
        _ => return None,
    })
}

/// A name, or (`value` is 1) a value with its slack.
fn zipmap<'a>(r: &mut Reader<'a>, value: usize) -> Option<Entry<'a>> {
    let length = match r.u8()? {
        254 => r.u32()? as usize,
        255 => return None,
        short => usize::from(short),
    };
    let slack = if value == 1 { usize::from(r.u8()?) } else { 0 };
    let entry = Entry::Bytes(r.take(length)?);
    r.take(slack)?;
    Some(entry)
}

/// A signed number of up to eight bytes, little endian.
fn signed(r: &mut Reader<'_>, width: usize) -> Option<i64> {
    let bytes = r.take(width)?;
    let mut eight = [if bytes.last()? & 128 == 0 { 0 } else { 255 }; 8];
    eight.get_mut(..width)?.copy_from_slice(bytes);
    Some(i64::from_le_bytes(eight))
}

/// Bytes before the first element of a listpack.
const HEAD: usize = 6;

/// Writes a listpack.
#[derive(Debug)]
pub struct ListpackWriter {
    bytes: Vec<u8>,
    count: u32,
}

impl Default for ListpackWriter {
    fn default() -> ListpackWriter {
        ListpackWriter { bytes: vec![0; HEAD], count: 0 }
    }
}

impl ListpackWriter {
    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Appends a string; one that is the form of a number becomes that number, as Redis expects.
    pub fn text(&mut self, text: &[u8]) {
        if let Some(number) = crate::base::number::parse_i64(text) {
            return self.number(number);
        }
        let start = self.bytes.len();
        match text.len() {
            length @ 0..64 => self.bytes.push(0x80 | length as u8),
            length @ 64..4096 => {
                self.bytes.extend_from_slice(&[0xe0 | (length >> 8) as u8, length as u8]);
            }
            length => {
                self.bytes.push(0xf0);
                self.bytes.extend_from_slice(&(length as u32).to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(text);
        self.end(start);
    }

    /// Appends a number.
    pub fn number(&mut self, number: i64) {
        let start = self.bytes.len();
        let bytes = number.to_le_bytes();
        let (code, width) = match number {
            0..=127 => (number as u8, 0),
            -4096..=4095 => {
                let low = number & 0x1fff;
                self.bytes.push(0xc0 | (low >> 8) as u8);
                (low as u8, 0)
            }
            _ if i16::try_from(number).is_ok() => (0xf1, 2),
            -0x80_0000..=0x7f_ffff => (0xf2, 3),
            _ if i32::try_from(number).is_ok() => (0xf3, 4),
            _ => (0xf4, 8),
        };
        self.bytes.push(code);
        self.bytes.extend(bytes.into_iter().take(width));
        self.end(start);
    }

    /// Appends the elements of another one.
    pub fn join(&mut self, other: &ListpackWriter) {
        self.bytes.extend_from_slice(other.bytes.get(HEAD..).unwrap_or_default());
        self.count += other.count;
    }

    /// The listpack.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0xff);
        let length = self.bytes.len() as u32;
        let count = u16::try_from(self.count).unwrap_or(u16::MAX);
        let head = length.to_le_bytes().into_iter().chain(count.to_le_bytes());
        self.bytes.iter_mut().zip(head).for_each(|(byte, value)| *byte = value);
        self.bytes
    }

    fn end(&mut self, start: usize) {
        let (back, count) = backwards(self.bytes.len() - start);
        self.bytes.extend(back.into_iter().take(count));
        self.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn all(packing: Packing, bytes: &[u8]) -> Result<Vec<String>, Stop> {
        let mut cursor = Cursor::new(packing, bytes)?;
        let mut found = Vec::new();
        while !cursor.over(bytes)? {
            let entry = cursor.next(bytes)?;
            found.push(String::from_utf8_lossy(&entry.text()).into_owned());
        }
        Ok(found)
    }

    #[test]
    fn listpacks_come_back() {
        let lengths = [0, 1, 62, 63, 64, 126, 127, 128, 4095, 4096, 16380, 16390, 2_097_200];
        let numbers = [0, 127, 128, -1, 4095, 4096, -4096, -4097, 32767, -32769, 8_388_607];
        let more = [-8_388_609, i64::from(i32::MAX), 1 << 31, i64::MIN, i64::MAX];
        let mut texts: Vec<String> = lengths.iter().map(|length| "x".repeat(*length)).collect();
        texts.extend(numbers.iter().chain(&more).map(ToString::to_string));
        let mut writer = ListpackWriter::default();
        texts.iter().for_each(|text| writer.text(text.as_bytes()));
        assert_eq!(all(Packing::Listpack, &writer.finish()).as_ref(), Ok(&texts));
    }

    #[test]
    fn known_bytes() {
        let ziplist = b"\x0f\0\0\0\x0c\0\0\0\x02\0\x00\xf3\x02\xf6\xff";
        assert_eq!(all(Packing::Ziplist, ziplist), Ok(vec!["2".into(), "5".into()]));
        let zipmap = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02world__\xff";
        let expected = ["foo", "bar", "hello", "world"].map(str::to_owned).to_vec();
        assert_eq!(all(Packing::Zipmap, zipmap), Ok(expected));
        let intset = b"\x02\0\0\0\x02\0\0\0\xff\xff\x07\0";
        assert_eq!(all(Packing::Intset, intset), Ok(vec!["-1".into(), "7".into()]));
        let listpack = b"\x0b\0\0\0\x02\0\x01\x01\x81a\x02\xff";
        assert_eq!(all(Packing::Listpack, &listpack[..]), Err(BAD));
        let listpack = b"\x0c\0\0\0\x02\0\x01\x01\x81a\x02\xff";
        assert_eq!(all(Packing::Listpack, listpack), Ok(vec!["1".into(), "a".into()]));
    }

    #[test]
    fn what_does_not_hold_together() {
        let cases: &[(Packing, &[u8])] = &[
            (Packing::Intset, b"\x02\0\0\0\x02\0\0\0\x07\0\x07\0"),
            (Packing::Intset, b"\x03\0\0\0\x01\0\0\0\x07\0\x07"),
            (Packing::Intset, b"\x02\0\0\0\xff\xff\xff\xff\x07\0"),
            (Packing::Zipmap, b"\x01\x03foo\xff"),
            (Packing::Zipmap, b"\x01\xfe\xff\xff\xff\xfffoo\xff"),
            (Packing::Ziplist, b"\x0f\0\0\0\x0c\0\0\0\x02\0\x00\xf3\x03\xf6\xff"),
            (Packing::Ziplist, b"\x0f\0\0\0\x0c\0\0\0\x03\0\x00\xf3\x02\xf6\xff"),
            (Packing::Ziplist, b"\x0f\0\0\0\xff\0\0\0\x02\0\x00\xf3\x02\xf6\xff"),
            (Packing::Listpack, b"\x0c\0\0\0\x02\0\x01\x01\x81a\x03\xff"),
            (Packing::Listpack, b"\x0c\0\0\0\x02\0\x01\x01\xbfa\x02\xff"),
            (Packing::Listpack, b"\x0c\0\0\0\x02\0\x01\x01\x81a\x02\x00"),
            (Packing::Listpack, b""),
        ];
        for (packing, bytes) in cases {
            assert_eq!(all(*packing, bytes), Err(BAD), "{packing:?} {bytes:x?}");
        }
        let mut prng = Prng::new(9);
        let good = b"\x0c\0\0\0\x02\0\x01\x01\x81a\x02\xff";
        for _ in 0..20_000 {
            let mut bytes = good.to_vec();
            let at = prng.below(bytes.len() as u64) as usize;
            bytes[at] = prng.next() as u8;
            for (packing, _) in cases {
                let _ = all(*packing, &bytes);
            }
        }
    }
}
