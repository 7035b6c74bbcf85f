//! The only door to a shard's keys: expiry, pre-images, watches, dirty marks and the memory count
//! are applied here and nowhere else.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};

use crate::base::ids::{Db, Lsn};
use crate::base::prng::Prng;
use crate::base::table::{KeyHasher, Meta, New, Place, Stored, is_small};
use crate::base::time::Millis;
use crate::keyspace::database::{Database, EDITED, POLARITY};
use crate::keyspace::evict::Candidate;
use crate::keyspace::graveyard::Graveyard;
use crate::keyspace::libraries::Libraries;
use crate::keyspace::load::Loading;
use crate::keyspace::notes::Touch;
use crate::keyspace::preimage::Cut;
use crate::keyspace::watch::Watches;
use crate::types::hash::{Hash, Limits};
use crate::types::list::List;
use crate::types::rope::{ROPE_MIN, Rope};
use crate::types::set::{Set, SetLimits};
use crate::types::stream::Stream;
use crate::types::stream::chunk::Nodes;
use crate::types::string::{Edited, StrRef};
use crate::types::value::{Encoding, Kind, Value};
use crate::types::zset::ZsetLimits;

pub use crate::keyspace::fields::{Field, Fields};
pub use crate::keyspace::hash_mut::{HashMut, Was};
pub use crate::keyspace::list_mut::ListMut;
pub use crate::keyspace::set_mut::{NewSet, SetMut};
pub use crate::keyspace::stream_mut::StreamMut;
pub use crate::keyspace::string_mut::{NewString, StringLimits};
pub use crate::keyspace::zset_mut::ZsetMut;

/// Dirty marks: keys whose hashes agree in 14 bits share one, which only costs needless waiting.
const STAMPS: usize = 1 << 14;

/// Lookups of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Those that found a key.
    pub hits: u32,
    /// Those that found none.
    pub misses: u32,
}

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

/// What a key's 24 bits of access record mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Seconds of the last access; also when nothing is ever evicted.
    #[default]
    Lru,
    /// Minutes of the last decay, and a logarithmic counter.
    Lfu,
}

/// What a keyspace is made with.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Number of databases.
    pub databases: u16,
    /// The seed of the hash: stored on disk, so that a file's order is the table's order.
    pub seed: u64,
    /// Up to what a hash is small.
    pub limits: Limits,
    /// Up to what a sorted set is small.
    pub zsets: ZsetLimits,
    /// Up to what a set is small.
    pub sets: SetLimits,
    /// How large a chunk of a stream becomes.
    pub nodes: Nodes,
    /// How long strings may become.
    pub strings: StringLimits,
    /// How accesses are recorded.
    pub policy: Policy,
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
pub struct Keyspace {
    pub(super) dbs: Vec<Database>,
    pub(super) hasher: KeyHasher,
    pub(super) settings: Settings,
    pub(super) now: Millis,
    /// The lsn of the effect that the running command will have.
    pub(super) next: Lsn,
    /// Has the running command written anything?
    pub(super) wrote: bool,
    observed: Cell<Lsn>,
    /// What the running command's lookups have found.
    lookups: Lookups,
    /// The highest stamp that was ever given.
    latest: Lsn,
    pub(super) stamps: Box<[Lsn]>,
    /// What an entry's mark is when no snapshot needs it.
    pub(super) polarity: u8,
    pub(super) cut: Option<Box<Cut>>,
    /// The number that the next big value gets which a snapshot opens.
    pub(super) next_fragment: u64,
    /// Peak of pre-image bytes in the last snapshot.
    pub(super) peak: usize,
    pub(super) watches: Watches,
    pub(super) expired: VecDeque<(Db, Vec<u8>)>,
    /// Fields that were removed because their deadlines have passed.
    pub(super) expired_fields: u64,
    /// Keys that may be evicted, the most deserving last.
    pub(super) candidates: Vec<Candidate>,
    /// Where `expire_slice` goes on: database and segment.
    pub(super) sweep: (usize, usize),
    pub(super) graveyard: Graveyard,
    pub(super) loading: HashMap<u64, Loading>,
    /// Of functions, on the shard that keeps them.
    pub(super) libraries: Libraries,
    /// The access clock in seconds.
    seconds: u64,
    pub(super) dice: Prng,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            databases: 16,
            seed: 0,
            limits: Limits::default(),
            zsets: ZsetLimits::default(),
            sets: SetLimits::default(),
            nodes: Nodes::default(),
            strings: StringLimits::default(),
            policy: Policy::Lru,
        }
    }
}

impl Keyspace {
    /// An empty keyspace.
    pub fn new(settings: Settings) -> Keyspace {
        let hasher = KeyHasher::new(settings.seed);
        Keyspace {
            dbs: (0..settings.databases).map(|_| Database::new(hasher.clone())).collect(),
            hasher,
            settings,
            now: Millis::REPLAY,
            next: Lsn(0),
            wrote: false,
            observed: Cell::new(Lsn(0)),
            lookups: Lookups::default(),
            latest: Lsn(0),
            stamps: vec![Lsn(0); STAMPS].into_boxed_slice(),
            polarity: 0,
            cut: None,
            next_fragment: 1,
            peak: 0,
            watches: Watches::default(),
            expired: VecDeque::new(),
            expired_fields: 0,
            candidates: Vec::new(),
            sweep: (0, 0),
            graveyard: Graveyard::default(),
            loading: HashMap::new(),
            libraries: Libraries::default(),
            seconds: 0,
            dice: Prng::new(settings.seed),
        }
    }

    /// Changes what can change at run time: it applies to values as they are changed.
    pub fn configure(
        &mut self,
        limits: Limits,
        sets: SetLimits,
        zsets: ZsetLimits,
        policy: Policy,
    ) {
        self.settings.limits = limits;
        self.settings.sets = sets;
        self.settings.zsets = zsets;
        self.settings.policy = policy;
    }

    /// Changes how large chunks of streams become, from the next entry on.
    pub fn configure_streams(&mut self, nodes: Nodes) {
        self.settings.nodes = nodes;
    }

    /// How accesses are recorded now.
    pub fn policy(&self) -> Policy {
        self.settings.policy
    }

    /// Number of databases.
    pub fn databases(&self) -> u16 {
        self.settings.databases
    }

    /// Starts a command: the clock it sees and the lsn that its effect will get. A replay
    /// (`Millis::REPLAY`) leaves the access clock as it was.
    pub fn begin(&mut self, now: Millis, next: Lsn) {
        self.now = now;
        self.next = next;
        self.wrote = false;
        self.observed.set(Lsn(0));
        self.lookups = Lookups::default();
        if now != Millis::REPLAY {
            self.seconds = now.0 / 1000;
        }
    }

    /// The latest lsn of what this command has looked at: no reply may leave before it is durable.
    pub fn observed(&self) -> Lsn {
        self.observed.get()
    }

    /// How many of the running command's lookups have found a key, and how many have not.
    pub fn lookups(&self) -> Lookups {
        self.lookups
    }

    // Reading: an expired key is not there (it is removed later, by a write or by upkeep).

    /// Is the key there? Does not count as an access.
    pub fn exists(&mut self, db: Db, key: &[u8]) -> bool {
        self.look(db, key).is_some()
    }

    /// The type of what the key holds. Does not count as an access.
    pub fn kind(&mut self, db: Db, key: &[u8]) -> Option<Kind> {
        let (place, _) = self.look(db, key)?;
        Some(match self.database(db).table.view(place).value {
            Stored::Inline(_) => Kind::String,
            Stored::Extern(value) => value.kind(),
        })
    }

    /// Counts as an access (TOUCH); says whether the key is there.
    pub fn touch(&mut self, db: Db, key: &[u8]) -> bool {
        self.access(db, key).is_some()
    }

    /// The string at the key.
    pub fn string(&mut self, db: Db, key: &[u8]) -> Result<Option<StrRef<'_>>, WrongType> {
        let Some(place) = self.access(db, key) else { return Ok(None) };
        match self.database(db).table.view(place).value {
            Stored::Inline(bytes) => Ok(Some(StrRef::Flat(bytes))),
            Stored::Extern(Value::Str(bytes)) => Ok(Some(StrRef::Flat(bytes))),
            Stored::Extern(Value::Rope(rope)) => Ok(Some(StrRef::Rope(rope.borrow()))),
            Stored::Extern(_) => Err(WrongType),
        }
    }

    /// The list at the key.
    pub fn list(&mut self, db: Db, key: &[u8]) -> Result<Option<&List>, WrongType> {
        let Some(place) = self.access(db, key) else { return Ok(None) };
        match self.database(db).table.view(place).value {
            Stored::Extern(Value::List(list)) => Ok(Some(list)),
            _ => Err(WrongType),
        }
    }

    /// The stream at the key.
    pub fn stream(&mut self, db: Db, key: &[u8]) -> Result<Option<&Stream>, WrongType> {
        let Some(place) = self.access(db, key) else { return Ok(None) };
        match self.database(db).table.view(place).value {
            Stored::Extern(Value::Stream(stream)) => Ok(Some(stream)),
            _ => Err(WrongType),
        }
    }

    /// The hash at the key.
    pub fn hash(&mut self, db: Db, key: &[u8]) -> Result<Option<Fields<'_>>, WrongType> {
        let Some(place) = self.access(db, key) else { return Ok(None) };
        match self.database(db).table.view(place).value {
            Stored::Extern(value) => Fields::of(value, self.now).map(Some).ok_or(WrongType),
            Stored::Inline(_) => Err(WrongType),
        }
    }

    /// The set at the key.
    pub fn set(&mut self, db: Db, key: &[u8]) -> Result<Option<&Set>, WrongType> {
        let Some(place) = self.access(db, key) else { return Ok(None) };
        match self.database(db).table.view(place).value {
            Stored::Extern(Value::Set(set)) => Ok(Some(set)),
            _ => Err(WrongType),
        }
    }

    /// The key's deadline: `None` when there is no key, `Some(None)` when it lives for ever.
    pub fn deadline(&mut self, db: Db, key: &[u8]) -> Option<Option<Millis>> {
        self.look(db, key).map(|(_, meta)| meta.deadline.map(Millis))
    }

    /// What OBJECT tells. Does not count as a lookup.
    pub fn about(&mut self, db: Db, key: &[u8]) -> Option<About> {
        let (place, meta) = self.locate(db, key)?;
        let edited = if meta.marks & EDITED == 0 { Edited::No } else { Edited::Yes };
        let (kind, encoding, value) = match self.database(db).table.view(place).value {
            Stored::Inline(bytes) => {
                (Kind::String, StrRef::Flat(bytes).encoding(edited), bytes.len())
            }
            Stored::Extern(value) => {
                let encoding = match value {
                    Value::Str(bytes) => StrRef::Flat(bytes).encoding(edited),
                    Value::Rope(_) => Encoding::Raw,
                    Value::Hash(Hash::Flat(_)) => Encoding::Listpack,
                    Value::Hash(Hash::Big(_)) => Encoding::Hashtable,
                    Value::Timed(_) => Encoding::ListpackEx,
                    Value::Set(set) => set.encoding(),
                    Value::List(_) => Encoding::Quicklist,
                    Value::Zset(zset) => zset.encoding(),
                    Value::Stream(_) => Encoding::Stream,
                };
                (value.kind(), encoding, value.bytes() + size_of::<Value>())
            }
        };
        Some(About {
            kind,
            encoding,
            deadline: meta.deadline.map(Millis),
            idle: self.idle(meta.clock),
            freq: self.decayed(meta.clock),
            bytes: key.len() + value + 16,
        })
    }

    pub(super) fn database(&self, db: Db) -> &Database {
        self.dbs.get(db.index()).expect("a database that a session could select")
    }

    pub(super) fn database_mut(&mut self, db: Db) -> &mut Database {
        self.dbs.get_mut(db.index()).expect("a database that a session could select")
    }

    /// Raises what was observed to the stamp of a hash.
    #[inline]
    fn observe(&self, hash: u64) {
        let stamp = self.stamps.get(hash as usize & (STAMPS - 1)).copied().unwrap_or_default();
        self.observed.set(self.observed.get().max(stamp));
    }

    /// Raises what was observed to the last stamp of all.
    pub(super) fn observe_all(&self) {
        self.observed.set(self.observed.get().max(self.latest));
    }

    /// Stamps a hash: what the running command does to it has the next lsn.
    #[inline]
    pub(super) fn stamp(&mut self, hash: u64) {
        self.wrote = true;
        self.latest = self.next;
        if let Some(stamp) = self.stamps.get_mut(hash as usize & (STAMPS - 1)) {
            *stamp = self.next;
        }
    }

    /// Stamps every key.
    pub(super) fn stamp_all(&mut self) {
        self.wrote = true;
        self.latest = self.next;
        self.stamps.fill(self.next);
    }

    /// Has the deadline of an entry passed?
    #[inline]
    pub(super) fn is_past(&self, meta: Meta) -> bool {
        meta.deadline.is_some_and(|deadline| Millis(deadline).expired(self.now))
    }

    /// A key that has not expired; the lookup is counted.
    #[inline]
    pub(super) fn look(&mut self, db: Db, key: &[u8]) -> Option<(Place, Meta)> {
        let found = self.locate(db, key);
        match found {
            Some(_) => self.lookups.hits += 1,
            None => {
                self.lookups.misses += 1;
                self.watches.notes.miss(db, key);
            }
        }
        found
    }

    /// A key that has not expired.
    #[inline]
    pub(super) fn locate(&self, db: Db, key: &[u8]) -> Option<(Place, Meta)> {
        let hash = self.hasher.hash(key);
        self.observe(hash);
        let table = &self.database(db).table;
        let place = table.find(hash, key)?;
        let meta = table.meta(place);
        (!self.is_past(meta)).then_some((place, meta))
    }

    /// The same for a write: an expired key is removed and noted. The hash if there is none.
    #[inline]
    pub(super) fn open(&mut self, db: Db, key: &[u8]) -> Result<(Place, Meta), u64> {
        let hash = self.hasher.hash(key);
        self.observe(hash);
        let table = &self.database(db).table;
        let place = table.find(hash, key).ok_or(hash)?;
        let meta = table.meta(place);
        if self.is_past(meta) {
            self.expire(db, key, place);
            return Err(hash);
        }
        Ok((place, meta))
    }

    /// A key that has not expired, and its access is recorded.
    #[inline]
    fn access(&mut self, db: Db, key: &[u8]) -> Option<Place> {
        let (place, meta) = self.look(db, key)?;
        self.record_access(db, place, meta);
        Some(place)
    }

    /// Records an access.
    #[inline]
    pub(super) fn record_access(&mut self, db: Db, place: Place, meta: Meta) {
        let clock = self.clock_after(meta.clock);
        if clock != meta.clock {
            self.database_mut(db).table.set_clock(place, clock);
        }
    }

    /// What a write leaves at a key: value, deadline, edited or not. The one way by which values
    /// get into a table.
    pub(super) fn put(
        &mut self,
        db: Db,
        key: &[u8],
        found: Result<(Place, Meta), u64>,
        new: New<'_, Value>,
        deadline: Option<u64>,
        edited: Edited,
    ) -> Place {
        let bytes = if let New::Extern(value) = &new { value.bytes() } else { 0 };
        let marks = self.polarity | if edited == Edited::Yes { EDITED } else { 0 };
        let place = match found {
            Ok((place, old)) => {
                if old.marks & POLARITY != self.polarity {
                    self.hand_over(db, place);
                }
                let meta = Meta { marks, clock: self.clock_after(old.clock), deadline };
                let database = self.database_mut(db);
                let (place, old) = database.table.replace(place, new, meta);
                if let Some(old) = old {
                    database.values -= old.bytes();
                    self.bury(old);
                }
                place
            }
            Err(hash) => {
                let meta = Meta { marks, clock: self.clock_at_birth(), deadline };
                self.watches.notes.add(db, key, Touch::Born);
                self.database_mut(db).table.insert(hash, key, new, meta)
            }
        };
        self.database_mut(db).values += bytes;
        self.stamp(place.hash);
        self.watches.changed(db, key);
        place
    }

    /// Removes an entry: pre-image and memory, but neither stamp nor watch.
    pub(super) fn take_out(&mut self, db: Db, place: Place) {
        if self.watches.notes.are_taken() {
            // Whoever removes a key for another reason says so afterwards.
            let key: Box<[u8]> = self.database(db).table.view(place).key.into();
            self.watches.notes.add(db, &key, Touch::Emptied);
        }
        self.hand_over(db, place);
        let database = self.database_mut(db);
        if let Some(old) = database.table.remove(place) {
            database.values -= old.bytes();
            self.bury(old);
        }
    }

    /// How a string of any length is stored.
    pub(super) fn string_value<'a>(&self, bytes: &'a [u8]) -> New<'a, Value> {
        if is_small(bytes) {
            New::Inline(bytes)
        } else if bytes.len() <= ROPE_MIN {
            New::Extern(Value::Str(bytes.into()))
        } else {
            let rope = Rope::new(bytes, self.polarity);
            New::Extern(Value::Rope(std::rc::Rc::new(std::cell::RefCell::new(rope))))
        }
    }

    /// The access record of a key that is made now.
    pub(super) fn clock_at_birth(&self) -> u32 {
        match self.settings.policy {
            Policy::Lru => self.seconds as u32 & 0xff_ffff,
            Policy::Lfu => self.minutes() << 8 | LFU_BIRTH,
        }
    }

    /// The access record of a key that is used now.
    #[inline]
    fn clock_after(&mut self, clock: u32) -> u32 {
        match self.settings.policy {
            Policy::Lru => self.seconds as u32 & 0xff_ffff,
            Policy::Lfu => self.count(clock),
        }
    }

    /// One more access for a logarithmic counter: the higher it is, the less likely it rises.
    fn count(&mut self, clock: u32) -> u32 {
        let counter = u32::from(self.decayed(clock));
        let base = counter.saturating_sub(LFU_BIRTH);
        let rises = counter < 255 && self.dice.chance(1, u64::from(base * LFU_FACTOR + 1));
        self.minutes() << 8 | (counter + u32::from(rises))
    }

    /// Seconds since an access that is recorded so.
    pub(super) fn idle(&self, clock: u32) -> u64 {
        self.seconds.wrapping_sub(u64::from(clock)) & 0xff_ffff
    }

    /// The counter, less one for each minute since the last decay.
    pub(super) fn decayed(&self, clock: u32) -> u8 {
        let minutes = self.minutes().wrapping_sub(clock >> 8) & 0xffff;
        (clock & 0xff).saturating_sub(minutes) as u8
    }

    fn minutes(&self) -> u32 {
        (self.seconds / 60) as u32 & 0xffff
    }
}

/// The counter of a new key, as in Redis: young keys are not the first to go.
const LFU_BIRTH: u32 = 5;
/// lfu-log-factor.
const LFU_FACTOR: u32 = 10;

#[cfg(test)]
mod tests;
