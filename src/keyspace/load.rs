//! Filling a keyspace from files: no expiry, no stamps, no watches, no pre-images.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::table::{Meta, New, Place, Table};
use crate::base::time::Millis;
use crate::keyspace::hash_mut::enlarged;
use crate::keyspace::item::Shape;
use crate::keyspace::keyspace::Keyspace;
use crate::types::flat::Flat;
use crate::types::hash::{BigHash, Hash};
use crate::types::parts::{BadPart, Building};
use crate::types::rope::{CHUNK, Rope};
use crate::types::set::Set;
use crate::types::timed::DEADLINE_MAX;
use crate::types::value::{Kind, Value};

/// Entries that a database is presized for at most: the number comes from a file, and a third of a
/// byte is reserved for each.
const KEYS_EXPECTED_MAX: u64 = 1 << 28;
/// The same for the fields of one hash, of which there may be many.
const FIELDS_EXPECTED_MAX: u64 = 1 << 20;

/// What a file says cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLoad {
    /// There is no such database.
    Database,
    /// A fragment of a number that is not open, or an open number opened again.
    Fragment,
    /// A field for a string or a chunk for a hash.
    Kind,
    /// A chunk that does not lie where chunks lie, or comes twice.
    Chunk,
    /// A value that was closed before all of it had come.
    Incomplete,
    /// The key is there already.
    Twice,
    /// A small value, or a part of a big one, that is not what its type looks like.
    Value,
}

/// A big value that is being put together.
#[derive(Debug)]
pub struct Loading {
    db: Db,
    left: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Of a hash or a set.
    Table { table: Rc<RefCell<BigHash>>, kind: Kind, key: Box<[u8]> },
    /// Chunks in any order, until all have come.
    Rope { chunks: BTreeMap<u64, Box<[u8]>>, hash: u64, key: Box<[u8]>, deadline: Option<u64> },
    /// Parts in order, and the number of the next one.
    Parts { next: u64, building: Building, key: Box<[u8]>, deadline: Option<Millis> },
}

impl From<BadPart> for BadLoad {
    fn from(_: BadPart) -> BadLoad {
        BadLoad::Value
    }
}

impl Keyspace {
    /// Makes room in an empty database for about `keys` keys that come in the order of the file.
    pub fn load_expect(&mut self, db: Db, keys: u64) {
        let hasher = self.hasher.clone();
        if let Some(database) = self.dbs.get_mut(db.index())
            && database.table.is_empty()
        {
            let expected = keys.min(KEYS_EXPECTED_MAX) as usize;
            database.table = Table::with_expected(hasher, expected);
        }
    }

    /// Adds a string of any length.
    pub fn load_string(
        &mut self,
        db: Db,
        key: &[u8],
        value: &[u8],
        deadline: Option<Millis>,
    ) -> Result<(), BadLoad> {
        let new = self.string_value(value);
        self.load(db, key, new, deadline).map(drop)
    }

    /// Adds a hash that comes whole.
    pub fn load_hash<'a>(
        &mut self,
        db: Db,
        key: &[u8],
        deadline: Option<Millis>,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<(), BadLoad> {
        let limits = self.settings.limits;
        let mut hash = Hash::Flat(Flat::default());
        for (field, value) in pairs {
            if let Hash::Flat(flat) = &mut hash {
                if limits.allow(flat.len() + 1, field, value) {
                    flat.push(field, value);
                    continue;
                }
                let rows = flat.pairs().map(|(field, value)| (field, value, None));
                let big = enlarged(rows, self.hasher.clone(), self.polarity);
                hash = Hash::Big(Rc::new(RefCell::new(big)));
            }
            if let Hash::Big(big) = &hash {
                big.borrow_mut().set(field, value, self.polarity);
            }
        }
        self.load(db, key, New::Extern(Value::Hash(hash)), deadline).map(drop)
    }

    /// Adds a small value of a type that is written whole.
    pub fn load_whole(
        &mut self,
        db: Db,
        key: &[u8],
        deadline: Option<Millis>,
        kind: Kind,
        bytes: &[u8],
    ) -> Result<(), BadLoad> {
        let value = Value::of_whole(kind, bytes)?;
        let place = self.load(db, key, New::Extern(value), deadline)?;
        self.bound(db, place);
        Ok(())
    }

    /// Begins a big value. `id` has to be unique over all files that are loaded together.
    pub fn load_open(
        &mut self,
        id: u64,
        db: Db,
        key: &[u8],
        deadline: Option<Millis>,
        shape: Shape,
    ) -> Result<(), BadLoad> {
        if self.loading.contains_key(&id) {
            return Err(BadLoad::Fragment);
        }
        let (body, left) = match shape {
            Shape::Table { kind, fields } => {
                // Fields come in the order of their hashes, but the number is only a hint.
                let expected = fields.min(FIELDS_EXPECTED_MAX) as usize;
                let hash = BigHash::new(self.hasher.clone(), expected);
                let hash = Rc::new(RefCell::new(hash));
                let table = Rc::clone(&hash);
                let value = match kind {
                    Kind::Set => Value::Set(Set::Big(table)),
                    _ => Value::Hash(Hash::Big(table)),
                };
                self.load(db, key, New::Extern(value), deadline)?;
                self.database_mut(db).values -= hash.borrow().bytes();
                (Body::Table { table: hash, kind, key: key.into() }, fields)
            }
            Shape::Rope { bytes } => {
                let hash = self.hasher.hash(key);
                let table = &self.dbs.get(db.index()).ok_or(BadLoad::Database)?.table;
                if table.find(hash, key).is_some() {
                    return Err(BadLoad::Twice);
                }
                let deadline = deadline.map(|at| at.0);
                (Body::Rope { chunks: BTreeMap::new(), hash, key: key.into(), deadline }, bytes)
            }
            Shape::Parts { kind, elements } => {
                let expected = elements.min(FIELDS_EXPECTED_MAX) as usize;
                let building = Building::new(kind, &self.hasher, expected);
                let building = building.ok_or(BadLoad::Kind)?;
                (Body::Parts { next: 0, building, key: key.into(), deadline }, elements)
            }
        };
        self.loading.insert(id, Loading { db, left, body });
        Ok(())
    }

    /// Adds a field to an open hash.
    pub fn load_field(
        &mut self,
        id: u64,
        field: &[u8],
        value: &[u8],
        deadline: Option<Millis>,
    ) -> Result<(), BadLoad> {
        let meta = Meta { marks: self.polarity, deadline: deadline.map(|at| at.0), clock: 0 };
        let loading = self.loading.get_mut(&id).ok_or(BadLoad::Fragment)?;
        let Body::Table { table, kind, .. } = &loading.body else { return Err(BadLoad::Kind) };
        let possible = |Millis(at)| *kind == Kind::Hash && at > 0 && at <= DEADLINE_MAX;
        if !deadline.is_none_or(possible) {
            return Err(BadLoad::Value);
        }
        loading.left = loading.left.checked_sub(1).ok_or(BadLoad::Incomplete)?;
        let new = table.borrow_mut().put(field, value, meta);
        if new { Ok(()) } else { Err(BadLoad::Twice) }
    }

    /// Adds a chunk to an open string, or the next part to another open value.
    pub fn load_chunk(&mut self, id: u64, offset: u64, bytes: &[u8]) -> Result<(), BadLoad> {
        let loading = self.loading.get_mut(&id).ok_or(BadLoad::Fragment)?;
        let chunks = match &mut loading.body {
            Body::Rope { chunks, .. } => chunks,
            Body::Parts { next, .. } if *next != offset => return Err(BadLoad::Chunk),
            Body::Parts { next, building, .. } => {
                *next += 1;
                return Ok(building.push(bytes)?);
            }
            Body::Table { .. } => return Err(BadLoad::Kind),
        };
        let fits = offset.is_multiple_of(CHUNK as u64) && bytes.len() <= CHUNK;
        loading.left = loading.left.checked_sub(bytes.len() as u64).ok_or(BadLoad::Chunk)?;
        if !fits || chunks.insert(offset, bytes.into()).is_some() {
            return Err(BadLoad::Chunk);
        }
        Ok(())
    }

    /// Ends a big value: all of it has to be there.
    pub fn load_close(&mut self, id: u64) -> Result<(), BadLoad> {
        let loading = self.loading.remove(&id).ok_or(BadLoad::Fragment)?;
        let loaded =
            if let Body::Parts { building, .. } = &loading.body { building.len() } else { 0 };
        if loading.left != loaded {
            return Err(BadLoad::Incomplete);
        }
        let polarity = self.polarity;
        match loading.body {
            Body::Table { table, key, .. } => {
                let database = self.database_mut(loading.db);
                database.values += table.borrow().bytes();
                if let Some(place) = database.table.find(database.table.hash(&key), &key) {
                    self.bound(loading.db, place);
                }
            }
            Body::Rope { chunks, hash, key, deadline } => {
                let mut rope = Rope::default();
                for (offset, chunk) in chunks {
                    if offset != rope.len() as u64 {
                        return Err(BadLoad::Chunk);
                    }
                    rope.append(&chunk, polarity);
                }
                let bytes = rope.bytes();
                let new = New::Extern(Value::Rope(Rc::new(RefCell::new(rope))));
                let meta = Meta { marks: polarity, clock: self.clock_at_birth(), deadline };
                let database = self.database_mut(loading.db);
                if database.table.find(hash, &key).is_some() {
                    return Err(BadLoad::Twice);
                }
                database.values += bytes;
                database.table.insert(hash, &key, new, meta);
            }
            Body::Parts { building, key, deadline, .. } => {
                self.load(loading.db, &key, New::Extern(building.finish()), deadline)?;
            }
        }
        Ok(())
    }

    /// Big values that were begun and not closed: there must be none when a file has been read.
    pub fn load_unfinished(&self) -> usize {
        self.loading.len()
    }

    fn load(
        &mut self,
        db: Db,
        key: &[u8],
        new: New<'_, Value>,
        deadline: Option<Millis>,
    ) -> Result<Place, BadLoad> {
        let hash = self.hasher.hash(key);
        let (marks, clock) = (self.polarity, self.clock_at_birth());
        let database = self.dbs.get_mut(db.index()).ok_or(BadLoad::Database)?;
        if database.table.find(hash, key).is_some() {
            return Err(BadLoad::Twice);
        }
        if let New::Extern(value) = &new {
            database.values += value.bytes();
        }
        let meta = Meta { marks, clock, deadline: deadline.map(|at| at.0) };
        Ok(database.table.insert(hash, key, new, meta))
    }
}
