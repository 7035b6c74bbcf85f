//! A shard that is written in Redis' format.

use crate::base::ids::{Db, Lsn};
use crate::base::time::Millis;
use crate::commands::dump::put_value;
use crate::persist::rdb::file_writer::FileWriter;
use crate::shard::shard::Shard;

/// Bytes that are handed on together.
const BATCH: usize = 1 << 20;
/// Keys that are looked up together.
const PAGE: usize = 1024;

impl Shard {
    /// Writes the libraries of functions and all keys, also those that have expired: Redis drops
    /// them itself. Returns how many keys.
    pub fn write_dump<E>(
        &mut self,
        writer: &mut FileWriter,
        each: &mut dyn FnMut(Vec<u8>) -> Result<(), E>,
    ) -> Result<u64, E> {
        self.keys.begin(Millis::REPLAY, Lsn(0));
        self.keys.libraries().iter().for_each(|(_, text)| writer.library(text));
        let (mut count, mut value) = (0, Vec::new());
        for db in (0..self.keys.databases()).map(Db) {
            let (mut cursor, mut names) = (0, Vec::new());
            loop {
                let mut add = |name: &[u8], _| names.push(name.to_vec());
                cursor = self.keys.scan(db, cursor, PAGE, &mut add);
                for name in names.drain(..) {
                    let deadline = self.keys.deadline(db, &name).flatten().map(|at| at.0);
                    value.clear();
                    if put_value(&mut value, &mut self.keys, db, &name) {
                        writer.key(db.0, &name, deadline, &value);
                        count += 1;
                    }
                    if writer.ready() >= BATCH {
                        each(writer.take())?;
                    }
                }
                if cursor == 0 {
                    break;
                }
            }
        }
        each(writer.take())?;
        Ok(count)
    }
}
