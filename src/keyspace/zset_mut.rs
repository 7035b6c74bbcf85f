//! A sorted set that is open for changes.

use std::ops::Range;

use crate::base::ids::Db;
use crate::base::table::{New, Stored};
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::keyspace::opened::Opened;
use crate::types::string::Edited;
use crate::types::value::Value;
use crate::types::zset::{Change, Zset};

/// A sorted set that is open for changes (`Opened` says what happens when it is dropped). It reads
/// like a `Zset`.
#[derive(Debug)]
pub struct ZsetMut<'a>(Opened<'a>);

fn is_zset(value: &Value) -> bool {
    matches!(value, Value::Zset(_))
}

impl Keyspace {
    /// The sorted set at the key.
    pub fn zset(&mut self, db: Db, key: &[u8]) -> Result<Option<&Zset>, WrongType> {
        self.touch(db, key);
        match self.peek(db, key)? {
            Some(Value::Zset(zset)) => Ok(Some(zset)),
            Some(_) => Err(WrongType),
            None => Ok(None),
        }
    }

    /// What the key holds, if it is no short string. It counts neither as a lookup nor as an
    /// access: for one of several keys, each of which has been touched.
    pub fn peek(&self, db: Db, key: &[u8]) -> Result<Option<&Value>, WrongType> {
        let Some((place, _)) = self.locate(db, key) else { return Ok(None) };
        match self.database(db).table.view(place).value {
            Stored::Extern(value) => Ok(Some(value)),
            Stored::Inline(_) => Err(WrongType),
        }
    }

    /// The sorted set at the key, for changes.
    pub fn zset_mut(&mut self, db: Db, key: &[u8]) -> Result<Option<ZsetMut<'_>>, WrongType> {
        Ok(self.opened(db, key, is_zset)?.map(ZsetMut))
    }

    /// The sorted set at the key, made if there is none.
    pub fn zset_or_new(&mut self, db: Db, key: &[u8]) -> Result<ZsetMut<'_>, WrongType> {
        self.opened_or_new(db, key, is_zset, || Value::Zset(Zset::default())).map(ZsetMut)
    }

    /// Makes the key hold these members, of which there is one at least, whatever it held before.
    /// They come in order.
    pub fn set_zset<'m>(
        &mut self,
        db: Db,
        key: &[u8],
        members: impl ExactSizeIterator<Item = (f64, &'m [u8])> + Clone,
    ) {
        let zset = Zset::of_sorted(members, self.settings.zsets, &self.hasher);
        let found = self.open(db, key);
        self.put(db, key, found, New::Extern(Value::Zset(zset)), None, Edited::No);
    }
}

impl std::ops::Deref for ZsetMut<'_> {
    type Target = Zset;

    fn deref(&self) -> &Zset {
        match self.0.value() {
            Some(Value::Zset(zset)) => zset,
            _ => unreachable!("the type was looked at when it was opened"),
        }
    }
}

impl ZsetMut<'_> {
    /// Gives a member a score, which is not NaN.
    pub fn set(&mut self, score: f64, member: &[u8]) -> Change {
        let (limits, hasher) = (self.0.keys.settings.zsets, self.0.keys.hasher.clone());
        self.change().set(score, member, limits, &hasher)
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        self.score(member).is_some() && self.change().remove(member)
    }

    /// Removes the members of these ranks, which are there.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        if !ranks.is_empty() {
            self.change().remove_range(ranks);
        }
    }

    fn change(&mut self) -> &mut Zset {
        match self.0.change() {
            Some(Value::Zset(zset)) => zset,
            _ => unreachable!("the type was looked at when it was opened"),
        }
    }
}
