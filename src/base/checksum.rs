//! CRC-64, streaming and in one call: with the XZ polynomial over every record, chunk and manifest,
//! with Jones' over files and values that are exchanged with other servers.

use crc64fast::Digest;

/// A checksum in progress.
#[derive(Clone)]
pub struct Crc64(Digest);

impl Crc64 {
    /// The checksum of no bytes yet.
    pub fn new() -> Crc64 {
        Crc64(Digest::new())
    }

    /// Adds bytes.
    #[inline]
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    /// The checksum of all bytes so far.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.sum64()
    }
}

impl Default for Crc64 {
    fn default() -> Crc64 {
        Crc64::new()
    }
}

impl std::fmt::Debug for Crc64 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Crc64({:016x})", self.value())
    }
}

/// The checksum of `bytes`.
pub fn crc64(bytes: &[u8]) -> u64 {
    let mut crc = Crc64::new();
    crc.update(bytes);
    crc.value()
}

/// A checksum in progress with Jones' polynomial: reflected, from 0, not inverted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Jones64(u64);

impl Jones64 {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut crc = self.0;
        for word in words {
            let mixed = (crc ^ u64::from_le_bytes(*word)).to_le_bytes();
            let tables = JONES.iter().rev();
            crc = mixed.iter().zip(tables).fold(0, |sum, (byte, table)| sum ^ entry(table, *byte));
        }
        for byte in rest {
            crc = entry(&JONES[0], crc as u8 ^ byte) ^ crc >> 8;
        }
        self.0 = crc;
    }

    /// The checksum of all bytes so far.
    pub fn value(&self) -> u64 {
        self.0
    }
}

/// The checksum of `bytes` with Jones' polynomial.
pub fn jones64(bytes: &[u8]) -> u64 {
    let mut crc = Jones64::default();
    crc.update(bytes);
    crc.value()
}

#[inline]
fn entry(table: &[u64; 256], byte: u8) -> u64 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}

/// The polynomial with its bits reversed.
const JONES_POLYNOMIAL: u64 = 0x95ac_9329_ac4b_c9b5;

/// What a byte contributes when `n` more bytes follow it in the word.
static JONES: [[u64; 256]; 8] = jones_tables();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn jones_tables() -> [[u64; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ JONES_POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut at = 256;
    while at < 8 * 256 {
        let before = tables[at / 256 - 1][at % 256];
        tables[at / 256][at % 256] = tables[0][(before & 255) as usize] ^ before >> 8;
        at += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_value_and_streaming_agree() {
        assert_eq!(crc64(b"123456789"), 0x995d_c9bb_df19_39fa);
        let data: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        for cut in [0, 1, 127, 128, 129, 999, 1000] {
            let mut crc = Crc64::new();
            crc.update(&data[..cut]);
            crc.update(&data[cut..]);
            assert_eq!(crc.value(), crc64(&data), "cut at {cut}");
        }
    }

    #[test]
    fn jones_known_value_and_streaming_agree() {
        assert_eq!(jones64(b"123456789"), 0xe9c6_d914_c4b8_d9ca);
        let data: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
        for cut in [0, 1, 7, 8, 9, 500, 999, 1000] {
            let mut crc = Jones64::default();
            crc.update(&data[..cut]);
            crc.update(&data[cut..]);
            assert_eq!(crc.value(), jones64(&data), "cut at {cut}");
        }
    }
}
