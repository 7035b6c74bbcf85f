//! How one entry of a table lies in its segment's arena.
//!
//! ```text
//! flags:1  clock:3  key length:1  value length:1|2  [deadline:8]  key  value  [slack]
//! ```
//! A long key is replaced by its 2-byte place in the segment's key slab, a value that is stored
//! elsewhere by its 2-byte place in the value slab. When a value was replaced by a shorter one,
//! the first byte after it tells how many bytes are spare, itself included.

/// Keys above this length live outside the arena.
pub const KEY_MAX: usize = 255;
/// Values above this length live outside the arena.
pub const VALUE_MAX: usize = 512;

/// The two bits that belong to the table's user.
pub const MARKS: u8 = 0b11;
/// There is a deadline.
pub const DEADLINE: u8 = 1 << 2;
/// The value is elsewhere.
pub const EXTERN: u8 = 1 << 3;
/// The key is elsewhere.
pub const LONG_KEY: u8 = 1 << 4;
/// Spare bytes follow the value.
pub const SLACK: u8 = 1 << 5;

/// The bytes before key and value.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    bytes: [u8; 16],
    len: u8,
}

/// A record, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Marks and what is present.
    pub flags: u8,
    /// 24 bits that belong to the table's user.
    pub clock: u32,
    /// The deadline, if any.
    pub deadline: Option<u64>,
    /// The key, or its place.
    pub key: &'a [u8],
    /// The value, or its place.
    pub value: &'a [u8],
    /// Spare bytes after the value.
    pub slack: usize,
    /// Bytes before the key.
    pub header: usize,
}

impl Header {
    /// A header; `flags` without `DEADLINE` and `SLACK`, which follow from the rest.
    pub fn new(flags: u8, clock: u32, deadline: Option<u64>, key: usize, value: usize) -> Header {
        let flags = flags & !(DEADLINE | SLACK);
        let [c0, c1, c2, _] = clock.to_le_bytes();
        let mut header = Header { bytes: [0; 16], len: 0 };
        header.put(&[flags, c0, c1, c2, key as u8]);
        if value < 0x80 {
            header.put(&[value as u8]);
        } else {
            header.put(&[0x80 | (value >> 8) as u8, value as u8]);
        }
        if let Some(deadline) = deadline {
            if let Some(first) = header.bytes.first_mut() {
                *first |= DEADLINE;
            }
            header.put(&deadline.to_le_bytes());
        }
        header
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
    }

    fn put(&mut self, part: &[u8]) {
        let start = usize::from(self.len);
        if let Some(target) = self.bytes.get_mut(start..start + part.len()) {
            target.copy_from_slice(part);
            self.len += part.len() as u8;
        }
    }
}

impl<'a> Record<'a> {
    /// Takes apart the record at the start of `bytes`, which a table wrote.
    #[inline(always)]
    pub fn read(bytes: &'a [u8]) -> Option<Record<'a>> {
        let (&[flags, c0, c1, c2, key_len, low], mut rest) = bytes.split_first_chunk()?;
        let mut value_len = usize::from(low);
        let mut header = 6;
        if low >= 0x80 {
            let (&next, after) = rest.split_first()?;
            value_len = (value_len & 0x7f) << 8 | usize::from(next);
            rest = after;
            header += 1;
        }
        let mut deadline = None;
        if flags & DEADLINE != 0 {
            let (&eight, after) = rest.split_first_chunk()?;
            deadline = Some(u64::from_le_bytes(eight));
            rest = after;
            header += 8;
        }
        let (key, rest) = rest.split_at_checked(usize::from(key_len))?;
        let (value, rest) = rest.split_at_checked(value_len)?;
        let slack = if flags & SLACK == 0 { 0 } else { usize::from(*rest.first()?) };
        let clock = u32::from_le_bytes([c0, c1, c2, 0]);
        Some(Record { flags, clock, deadline, key, value, slack, header })
    }

    /// Flags, clock and deadline only.
    #[inline(always)]
    pub fn head(bytes: &[u8]) -> Option<(u8, u32, Option<u64>)> {
        let (&[flags, c0, c1, c2, _, low], rest) = bytes.split_first_chunk()?;
        let clock = u32::from_le_bytes([c0, c1, c2, 0]);
        if flags & DEADLINE == 0 {
            return Some((flags, clock, None));
        }
        let (_, rest) = rest.split_at_checked(usize::from(low >> 7))?;
        let deadline = rest.first_chunk().map(|eight| u64::from_le_bytes(*eight));
        Some((flags, clock, deadline))
    }

    /// Bytes from the first to the last, spare ones included.
    pub fn span(&self) -> usize {
        self.header + self.key.len() + self.value.len() + self.slack
    }

    /// The place in a slab that stands for a key or a value.
    pub fn place(part: &[u8]) -> u16 {
        part.first_chunk().map_or(u16::MAX, |two| u16::from_le_bytes(*two))
    }
}
