//! Verifying a base of RESP commands: the manifest has its length and its checksum.

use crate::base::checksum::Crc64;
use crate::persist::fault::StorageFault;
use crate::persist::manifest::Base;

/// Adds up a file while it is read. What it held counts only once `finish` has found no fault.
#[derive(Debug, Default)]
pub struct TextBaseCheck {
    crc: Crc64,
    length: u64,
}

impl TextBaseCheck {
    /// The next block of the file.
    pub fn feed(&mut self, block: &[u8]) {
        self.crc.update(block);
        self.length += block.len() as u64;
    }

    /// After the last block: a fault unless the file is the one in the manifest.
    pub fn finish(&self, base: &Base) -> Result<(), StorageFault> {
        if (self.length, self.crc.value()) == (base.length, base.crc) {
            return Ok(());
        }
        let figures = |length: u64, crc: u64| format!("{length} bytes, checksum {crc:016x}");
        let expected = figures(base.length, base.crc);
        let found = figures(self.length, self.crc.value());
        Err(StorageFault::new(&base.path, 0, expected, found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::checksum::crc64;
    use crate::persist::record::RunId;

    #[test]
    fn only_the_same_bytes_pass() {
        let text = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
        let base = Base {
            path: "000001/shard-000.base.aof".into(),
            run: RunId(1),
            length: text.len() as u64,
            crc: crc64(text),
            entries: Default::default(),
        };
        let check = |bytes: &[u8]| {
            let mut check = TextBaseCheck::default();
            bytes.chunks(5).for_each(|block| check.feed(block));
            check.finish(&base)
        };
        assert_eq!(check(text), Ok(()));
        assert!(check(&text[1..]).is_err() && check(b"").is_err());
        for bit in 0..text.len() * 8 {
            let mut bad = *text;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(check(&bad).is_err(), "bit {bit}");
        }
    }
}
