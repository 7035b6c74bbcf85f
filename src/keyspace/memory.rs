//! How much memory what is for, known at any time without counting.

use crate::keyspace::keyspace::Keyspace;

/// Bytes of memory. Every figure is kept running.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All below together.
    pub used: usize,
    /// What `maxmemory` limits: keys and values, without what removed ones have left behind or
    /// only a snapshot still needs.
    pub data: usize,
    /// Tables: keys, small values and their index.
    pub tables: usize,
    /// Values that are too large for the tables.
    pub values: usize,
    /// What there is before the first key: stamps, empty tables.
    pub overhead: usize,
    /// Pre-images that were copied or moved for a snapshot in progress and wait to be written.
    pub preimage: usize,
    /// Removed tables and big values that only a snapshot in progress still needs.
    pub held: usize,
    /// Removed, waiting to be freed.
    pub graveyard: usize,
}

impl Keyspace {
    /// The memory in use.
    pub fn memory(&self) -> Memory {
        let tables = self.dbs.iter().map(|database| database.table.footprint()).sum();
        let values = self.dbs.iter().map(|database| database.values).sum();
        let overhead = size_of_val(&*self.stamps) + size_of::<Keyspace>();
        let preimage = self.preimage_bytes();
        let held = self.cut.as_ref().map_or(0, |cut| cut.held());
        let graveyard = self.graveyard.bytes();
        let live: usize = self.dbs.iter().map(|database| database.table.live()).sum();
        let data = live + values + overhead;
        let used = tables + values + overhead + preimage + held + graveyard;
        Memory { used, data, tables, values, overhead, preimage, held, graveyard }
    }
}
