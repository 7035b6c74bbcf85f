//! Writes a file in Redis' format, version 10, which Redis 7.0 and later load, or version 12, which
//! Redis 7.4 and later load, if it may hold hashes with deadlines of fields (file_reader.rs says
//! what is in it). Bytes are taken from it as they come.

use crate::base::checksum::Jones64;
use crate::persist::rdb::libraries;
use crate::persist::rdb::scalar::Drain;

/// Writes one file.
#[derive(Debug)]
pub struct FileWriter {
    out: Vec<u8>,
    crc: Jones64,
    db: Option<u16>,
}

impl FileWriter {
    /// A new file of this version, with what is said about it.
    pub fn new(version: u16, about: &[(&str, &str)]) -> FileWriter {
        let mut writer = FileWriter { out: Vec::new(), crc: Jones64::default(), db: None };
        writer.out.extend_from_slice(format!("REDIS{version:04}").as_bytes());
        for (name, value) in about {
            let mut drain = Drain::new(&mut writer.out);
            drain.byte(0xfa);
            drain.plain(name.as_bytes());
            drain.text(value.as_bytes());
        }
        writer
    }

    /// A library of functions.
    pub fn library(&mut self, text: &[u8]) {
        libraries::put(&mut self.out, text);
    }

    /// A key: its database, its deadline in milliseconds, its type and value as `ValueWriter` gives
    /// them.
    pub fn key(&mut self, db: u16, name: &[u8], deadline: Option<u64>, typed: &[u8]) {
        let (kind, value) = typed.split_at_checked(1).unwrap_or_default();
        let mut drain = Drain::new(&mut self.out);
        if self.db != Some(db) {
            drain.byte(0xfe);
            drain.length(u64::from(db));
            self.db = Some(db);
        }
        if let Some(deadline) = deadline {
            drain.byte(0xfc);
            drain.raw(&deadline.to_le_bytes());
        }
        drain.raw(kind);
        drain.text(name);
        drain.raw(value);
    }

    /// Bytes that can be taken.
    pub fn ready(&self) -> usize {
        self.out.len()
    }

    /// Takes them.
    pub fn take(&mut self) -> Vec<u8> {
        self.crc.update(&self.out);
        std::mem::take(&mut self.out)
    }

    /// The last bytes of the file.
    pub fn finish(mut self) -> Vec<u8> {
        self.out.push(0xff);
        self.crc.update(&self.out);
        self.out.extend_from_slice(&self.crc.value().to_le_bytes());
        self.out
    }
}
