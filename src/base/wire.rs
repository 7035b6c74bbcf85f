//! Numbers and byte strings to bytes and back, bounds checked: binary (little endian, varints,
//! length prefixes) and text of a fixed width. Reading never reserves memory.

/// Reads from the front of a slice. Every method gives `None` where the bytes end too early or are
/// not what a `Writer` would have written.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Appends to a vector.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Reader<'a> {
    /// A reader at the first byte.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Two bytes, little endian.
    #[inline]
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little endian.
    #[inline]
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little endian.
    #[inline]
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Sixteen bytes, little endian.
    #[inline]
    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }

    /// A number of one to ten bytes, seven bits each, the lowest first, in its shortest form.
    #[inline]
    pub fn varint(&mut self) -> Option<u64> {
        let first = self.u8()?;
        if first < 0x80 {
            return Some(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..64).step_by(7) {
            let byte = self.u8()?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return None;
            }
            value |= low << shift;
            if byte < 0x80 {
                return if byte == 0 { None } else { Some(value) };
            }
        }
        None
    }

    /// A byte string with its length as a varint before it.
    #[inline]
    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        self.take(len)
    }
}

impl<'a> Writer<'a> {
    /// A writer at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { out }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// Two bytes, little endian.
    pub fn u16(&mut self, value: u16) {
        self.raw(&value.to_le_bytes());
    }

    /// Four bytes, little endian.
    pub fn u32(&mut self, value: u32) {
        self.raw(&value.to_le_bytes());
    }

    /// Eight bytes, little endian.
    pub fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    /// Sixteen bytes, little endian.
    pub fn u128(&mut self, value: u128) {
        self.raw(&value.to_le_bytes());
    }

    /// A number of one to ten bytes, seven bits each, the lowest first.
    #[inline]
    pub fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// A byte string with its length as a varint before it.
    #[inline]
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u64);
        self.raw(bytes);
    }
}

/// Fills `out` with the decimal form of `value`, zeros first; says whether it fits.
#[inline]
#[must_use]
pub fn put_decimal(out: &mut [u8], mut value: u64) -> bool {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
    value == 0
}

/// The number that decimal digits, and nothing but digits, stand for.
#[inline]
pub fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Fills `out` with the low hexadecimal digits of `value`.
#[inline]
pub fn put_hex(out: &mut [u8], mut value: u128) {
    for digit in out.iter_mut().rev() {
        let low = (value & 15) as u8;
        *digit = if low < 10 { b'0' + low } else { b'a' + low - 10 };
        value >>= 4;
    }
}

/// Two hexadecimal digits in small letters for each byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The number that 1 to 32 hexadecimal digits in small letters stand for.
#[inline]
pub fn hex(digits: &[u8]) -> Option<u128> {
    if digits.is_empty() || digits.len() > 32 {
        return None;
    }
    digits.iter().try_fold(0u128, |sum, digit| match digit {
        b'0'..=b'9' => Some(sum << 4 | u128::from(digit - b'0')),
        b'a'..=b'f' => Some(sum << 4 | u128::from(digit - b'a' + 10)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn round_trip_and_every_truncation() {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.u8(7);
        w.u16(65535);
        w.u32(1 << 31);
        w.u64(u64::MAX);
        w.u128(u128::MAX - 1);
        w.bytes(b"hello");
        w.varint(300);
        let read = |bytes: &[u8]| {
            let mut r = Reader::new(bytes);
            let all = (r.u8()?, r.u16()?, r.u32()?, r.u64()?, r.u128()?, r.bytes()?.to_vec());
            let last = r.varint()?;
            assert!(r.is_empty() && r.rest().is_empty() && r.position() == bytes.len());
            Some((all, last))
        };
        let all = (7, 65535, 1 << 31, u64::MAX, u128::MAX - 1, b"hello".to_vec());
        assert_eq!(read(&out), Some((all, 300)));
        for len in 0..out.len() {
            assert_eq!(read(&out[..len]), None, "cut at {len}");
        }
    }

    #[test]
    fn varints_have_one_form_each() {
        let mut prng = Prng::new(1);
        for bits in 0..=64 {
            let value = if bits == 0 { 0 } else { prng.next() >> (64 - bits) };
            let mut out = Vec::new();
            Writer::new(&mut out).varint(value);
            assert_eq!(Reader::new(&out).varint(), Some(value));
        }
        for bad in [&b"\x80"[..], b"\x80\x00", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", b""] {
            assert_eq!(Reader::new(bad).varint(), None, "{bad:x?}");
        }
        let huge = b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01abc";
        assert_eq!(Reader::new(huge).varint(), Some(u64::MAX));
        assert_eq!(Reader::new(huge).bytes(), None);
    }

    #[test]
    fn fixed_width_text() {
        let mut digits = [b'x'; 4];
        assert!(put_decimal(&mut digits, 42));
        assert_eq!((&digits, decimal(&digits)), (b"0042", Some(42)));
        assert!(!put_decimal(&mut digits, 10_000));
        let mut digits = [b'x'; 6];
        put_hex(&mut digits, 0xbeef);
        assert_eq!((&digits, hex(&digits)), (b"00beef", Some(0xbeef)));
        for bad in [&b""[..], b"-1", b"1 ", b"99999999999999999999"] {
            assert_eq!(decimal(bad), None);
        }
        for bad in [&b""[..], b"0X", b"BEEF", b"000000000000000000000000000000001"] {
            assert_eq!(hex(bad), None);
        }
    }
}
