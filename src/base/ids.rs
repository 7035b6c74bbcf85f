//! Numbers that must not be mixed up: one newtype for each.

/// One shard: the keys that one core owns. Dense from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

/// CRC16 of a key or its `{tag}`, modulo 16384, as Redis Cluster defines it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// Slots that belong to one shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// The first slot.
    pub first: u16,
    /// The last slot.
    pub last: u16,
    /// Their shard.
    pub shard: ShardId,
}

/// The global number that orders cuts: all operations with an epoch up to E are a valid cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// A position in one shard's log: the number of effects appended since the database was made.
/// The first effect has lsn 1; `Lsn(0)` means "nothing".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// One transaction over several shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TxId(pub u64);

/// One checkpoint and the log since: names a directory of the data set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// A numbered database, as SELECT names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Db(pub u16);

/// The shard that keeps what belongs to no key: the libraries of functions.
pub const HOME: ShardId = ShardId(0);

impl ShardId {
    /// The position in a table of shards.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Db {
    /// The position in a table of databases.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

impl Lsn {
    /// The position that follows.
    #[must_use]
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}
