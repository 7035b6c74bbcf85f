//! The only door to a shard's keys: expiry, pre-images, watches, dirty marks and the memory count
//! are applied here and nowhere else.

use crate::base::ids::{Db, Lsn};
use crate::base::time::Millis;
use crate::types::hash::Hash;
use crate::types::string::{Bytes, StrRef};
use crate::types::value::{Encoding, Kind};

/// The key holds a value of another type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongType;

/// What happens to a key's deadline when its value is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// The key lives for ever.
    Clear,
    /// The deadline stays as it is.
    Keep,
    /// The key dies after this moment.
    At(Millis),
}

/// What OBJECT and DEBUG OBJECT tell about a key. Asking does not count as an access.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Type.
    pub kind: Kind,
    /// Encoding, by Redis' thresholds.
    pub encoding: Encoding,
    /// Deadline, if any.
    pub deadline: Option<Millis>,
    /// Seconds since the last access (LRU policies and none).
    pub idle: u64,
    /// Logarithmic access counter (LFU policies).
    pub freq: u8,
    /// Bytes of memory: key, value and their share of the table.
    pub bytes: usize,
}

/// One shard's keys, in numbered databases.
#[derive(Debug)]
pub struct Keyspace {}

/// A hash that is open for changes. When it is dropped, an empty hash is removed from its key and
/// the memory count is brought up to date.
#[derive(Debug)]
pub struct HashMut<'a> {
    _keys: &'a mut Keyspace,
}

impl Keyspace {
    /// Starts a command: the clock it sees and the lsn that its effect will get.
    pub fn begin(&mut self, _now: Millis, _next: Lsn) {
        todo!()
    }
    /// How many databases there are.
    pub fn databases(&self) -> u16 {
        todo!()
    }
    /// The latest lsn of what this command has looked at: no reply may leave before it is durable.
    pub fn observed(&self) -> Lsn {
        todo!()
    }

    // Reading: an expired key is not there (it is removed later, by a write or by upkeep).

    /// Is the key there? Does not count as an access.
    pub fn exists(&mut self, _db: Db, _key: &[u8]) -> bool {
        todo!()
    }
    /// The type of what the key holds. Does not count as an access.
    pub fn kind(&mut self, _db: Db, _key: &[u8]) -> Option<Kind> {
        todo!()
    }
    /// Counts as an access (TOUCH); says whether the key is there.
    pub fn touch(&mut self, _db: Db, _key: &[u8]) -> bool {
        todo!()
    }
    /// The string at the key.
    pub fn string(&mut self, _db: Db, _key: &[u8]) -> Result<Option<StrRef<'_>>, WrongType> {
        todo!()
    }
    /// The hash at the key.
    pub fn hash(&mut self, _db: Db, _key: &[u8]) -> Result<Option<&Hash>, WrongType> {
        todo!()
    }
    /// The key's deadline: `None` when there is no key, `Some(None)` when it lives for ever.
    pub fn deadline(&mut self, _db: Db, _key: &[u8]) -> Option<Option<Millis>> {
        todo!()
    }
    /// What OBJECT tells.
    pub fn about(&mut self, _db: Db, _key: &[u8]) -> Option<About> {
        todo!()
    }
    /// Keys in a database, expired ones that are not removed yet included, as in Redis.
    pub fn len(&self, _db: Db) -> usize {
        todo!()
    }
    /// A key that has not expired, chosen by `dice`; for RANDOMKEY.
    pub fn random(&mut self, _db: Db, _dice: u64) -> Option<Bytes<'_>> {
        todo!()
    }
    /// Visits about `count` keys from `cursor` (0 at first) on in hash order; returns the next
    /// cursor (below 2^48), 0 at the end. Expired keys are left out.
    pub fn scan(
        &mut self,
        _db: Db,
        _cursor: u64,
        _count: usize,
        _each: &mut dyn FnMut(&[u8], Kind),
    ) -> u64 {
        todo!()
    }

    // Writing: an expired key is removed first, and `take_expired` tells the log about it.

    /// Makes the key hold a string, whatever it held before.
    pub fn set_string(&mut self, _db: Db, _key: &[u8], _value: &[u8], _expiry: Expiry) {
        todo!()
    }
    /// Appends to the string (made if absent); returns the new length.
    pub fn append(&mut self, _db: Db, _key: &[u8], _tail: &[u8]) -> Result<usize, WrongType> {
        todo!()
    }
    /// Overwrites from `offset` on, zero-filling up to it; the caller has checked the bound.
    /// Returns the new length. Empty `bytes` change nothing.
    pub fn set_range(
        &mut self,
        _db: Db,
        _key: &[u8],
        _offset: usize,
        _bytes: &[u8],
    ) -> Result<usize, WrongType> {
        todo!()
    }
    /// The hash at the key, for changes.
    pub fn hash_mut(&mut self, _db: Db, _key: &[u8]) -> Result<Option<HashMut<'_>>, WrongType> {
        todo!()
    }
    /// The hash at the key, made if there is none.
    pub fn hash_or_new(&mut self, _db: Db, _key: &[u8]) -> Result<HashMut<'_>, WrongType> {
        todo!()
    }
    /// Removes the key; big values are freed later, in slices. Says whether it was there.
    pub fn remove(&mut self, _db: Db, _key: &[u8]) -> bool {
        todo!()
    }
    /// Sets or clears the deadline; says whether the key is there.
    pub fn set_deadline(&mut self, _db: Db, _key: &[u8], _deadline: Option<Millis>) -> bool {
        todo!()
    }
    /// Moves a key to another name or database, deadline included, in O(1) whatever it holds; what
    /// was at the target is replaced. Says whether the source was there.
    pub fn rename(&mut self, _from: (Db, &[u8]), _to: (Db, &[u8])) -> bool {
        todo!()
    }
    /// Copies a key with its deadline, replacing the target. Says whether the source was there.
    pub fn copy(&mut self, _from: (Db, &[u8]), _to: (Db, &[u8])) -> bool {
        todo!()
    }
    /// Empties one database in O(1); the memory is freed in slices.
    pub fn flush(&mut self, _db: Db) {
        todo!()
    }
    /// Empties every database.
    pub fn flush_all(&mut self) {
        todo!()
    }
    /// Exchanges two databases.
    pub fn swap(&mut self, _a: Db, _b: Db) {
        todo!()
    }

    // Watches.

    /// Starts watching a key; the version to hand to `unchanged` later. Balanced by `unwatch`.
    pub fn watch(&mut self, _db: Db, _key: &[u8]) -> u64 {
        todo!()
    }
    /// Has the key stayed as it was when `watch` gave this version?
    pub fn unchanged(&mut self, _db: Db, _key: &[u8], _version: u64) -> bool {
        todo!()
    }
    /// Ends one watch.
    pub fn unwatch(&mut self, _db: Db, _key: &[u8]) {
        todo!()
    }

    // The log.

    /// The next key that a write found expired and removed; it has to be logged as DEL before the
    /// write's own effect.
    pub fn take_expired(&mut self) -> Option<(Db, Vec<u8>)> {
        todo!()
    }
}

impl HashMut<'_> {
    /// Sets a field; says whether it is new.
    pub fn set(&mut self, _field: &[u8], _value: &[u8]) -> bool {
        todo!()
    }
    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, _field: &[u8]) -> bool {
        todo!()
    }
    /// The value of a field.
    pub fn get(&self, _field: &[u8]) -> Option<Bytes<'_>> {
        todo!()
    }
    /// Number of fields.
    pub fn len(&self) -> usize {
        todo!()
    }
    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
