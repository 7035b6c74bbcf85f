//! Setting the access record of a key that comes from elsewhere.

use crate::base::ids::Db;
use crate::keyspace::keyspace::{Keyspace, Policy};

impl Keyspace {
    /// The key was idle for so many seconds, or its counter stood there: what the policy keeps of
    /// it. Nothing happens without the key.
    pub fn set_access(&mut self, db: Db, key: &[u8], idle: Option<u64>, frequency: Option<u8>) {
        let clock = self.clock_at_birth();
        let clock = match (self.policy(), idle, frequency) {
            (Policy::Lru, Some(idle), _) => clock.wrapping_sub(idle as u32) & 0xff_ffff,
            (Policy::Lfu, _, Some(frequency)) => clock & !0xff | u32::from(frequency),
            _ => return,
        };
        if let Ok((place, _)) = self.open(db, key) {
            self.database_mut(db).table.set_clock(place, clock);
        }
    }
}
