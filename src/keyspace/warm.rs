//! What is known of the next commands before they run: their keys.

use crate::base::ids::Db;
use crate::keyspace::keyspace::Keyspace;
use crate::limits::WARM_MAX;

impl Keyspace {
    /// Asks memory for what the lookups of these keys will read, `WARM_MAX` of them at most. For
    /// one alone nothing is gained.
    pub fn warm<K: AsRef<[u8]>>(&self, db: Db, keys: impl Iterator<Item = K>) {
        let table = &self.database(db).table;
        let mut hashes = [0; WARM_MAX];
        let mut count = 0;
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = table.hash(key.as_ref());
            count += 1;
        }
        if count > 1 {
            table.warm(hashes.get(..count).unwrap_or_default());
        }
    }
}
