//! CRC-64 (the XZ polynomial), streaming and in one call: over every record, chunk and manifest.

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
}
