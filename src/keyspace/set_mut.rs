//! A set that is open for changes, and a set that is being made.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::table::{KeyHasher, New, Stored};
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::keyspace::opened::Opened;
use crate::types::hash::BigHash;
use crate::types::set::{Added, Set, SetLimits};
use crate::types::string::Edited;
use crate::types::value::Value;

/// A set that is open for changes (`Opened` says what happens when it is dropped).
#[derive(Debug)]
pub struct SetMut<'a>(Opened<'a>);

/// A set that no key holds yet.
#[derive(Debug)]
pub struct NewSet {
    set: Set,
    limits: SetLimits,
    hasher: KeyHasher,
    polarity: u8,
}

fn is_set(value: &Value) -> bool {
    matches!(value, Value::Set(_))
}

impl Keyspace {
    /// The set at the key, for changes.
    pub fn set_mut(&mut self, db: Db, key: &[u8]) -> Result<Option<SetMut<'_>>, WrongType> {
        Ok(self.opened(db, key, is_set)?.map(SetMut))
    }

    /// The set at the key, made if there is none.
    pub fn set_or_new(&mut self, db: Db, key: &[u8]) -> Result<SetMut<'_>, WrongType> {
        self.opened_or_new(db, key, is_set, || Value::Set(Set::default())).map(SetMut)
    }

    /// The sets at several keys, all together.
    pub fn sets(&mut self, db: Db, keys: &[&[u8]]) -> Result<Vec<Option<&Set>>, WrongType> {
        for key in keys {
            self.set(db, key)?;
        }
        let found = |key: &&[u8]| {
            let table = &self.database(db).table;
            let view = table.view(table.find(table.hash(key), key)?);
            match view.value {
                Stored::Extern(Value::Set(set)) if !self.is_past(view.meta) => Some(set),
                _ => None,
            }
        };
        Ok(keys.iter().map(found).collect())
    }

    /// A set that belongs to no key.
    pub fn new_set(&self) -> NewSet {
        NewSet {
            set: Set::default(),
            limits: self.settings.sets,
            hasher: self.hasher.clone(),
            polarity: self.polarity,
        }
    }

    /// Makes the key hold a new set that is not empty, whatever it held before.
    pub fn store_set(&mut self, db: Db, key: &[u8], new: NewSet) {
        let found = self.open(db, key);
        self.put(db, key, found, New::Extern(Value::Set(new.set)), None, Edited::No);
    }

    /// Frees a set that belongs to no key, in slices.
    pub fn discard_set(&mut self, new: NewSet) {
        self.bury(Value::Set(new.set));
    }
}

impl SetMut<'_> {
    /// The set as it is.
    pub fn set(&self) -> &Set {
        match self.0.value() {
            Some(Value::Set(set)) => set,
            _ => unreachable!("the type was looked at when it was opened"),
        }
    }

    /// Adds a member; says whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        if self.set().contains(member) {
            return false;
        }
        let (limits, polarity) = (self.0.keys.settings.sets, self.0.keys.polarity);
        let hasher = self.0.keys.hasher.clone();
        match add_to_small(self.change(), member, limits, hasher, polarity) {
            None => true,
            Some(big) => {
                self.0.keys.displace_field(&big, member);
                big.borrow_mut().set(member, b"", polarity)
            }
        }
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        if !self.set().contains(member) {
            return false;
        }
        let set = self.change();
        if let Set::Big(big) = set {
            let big = Rc::clone(big);
            self.0.keys.displace_field(&big, member);
            return big.borrow_mut().remove(member);
        }
        set.remove_small(member)
    }

    fn change(&mut self) -> &mut Set {
        match self.0.change() {
            Some(Value::Set(set)) => set,
            _ => unreachable!("the type was looked at when it was opened"),
        }
    }
}

impl NewSet {
    /// The set as it is.
    pub fn set(&self) -> &Set {
        &self.set
    }

    /// About so many members are to come.
    pub fn expect(&mut self, count: usize) {
        if self.set.is_empty() && count > self.limits.ints.max(self.limits.entries) {
            let big = BigHash::new(self.hasher.clone(), count);
            self.set = Set::Big(Rc::new(RefCell::new(big)));
        }
    }

    /// Adds a member; says whether it is new.
    pub fn add(&mut self, member: &[u8]) -> bool {
        if let Set::Big(big) = &self.set {
            return big.borrow_mut().set(member, b"", self.polarity);
        }
        if self.set.contains(member) {
            return false;
        }
        let (hasher, polarity) = (self.hasher.clone(), self.polarity);
        match add_to_small(&mut self.set, member, self.limits, hasher, polarity) {
            None => true,
            Some(big) => big.borrow_mut().set(member, b"", polarity),
        }
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match &mut self.set {
            Set::Big(big) => big.borrow_mut().remove(member),
            small => small.remove_small(member),
        }
    }
}

/// Adds a new member to a set that stays small; else gives the big set that it has to be added to,
/// into which a small one was turned if need be.
fn add_to_small(
    set: &mut Set,
    member: &[u8],
    limits: SetLimits,
    hasher: KeyHasher,
    polarity: u8,
) -> Option<Rc<RefCell<BigHash>>> {
    if let Set::Big(big) = set {
        return Some(Rc::clone(big));
    }
    if set.add(member, limits) != Added::TooBig {
        return None;
    }
    let big = Rc::new(RefCell::new(set.enlarged(hasher, polarity)));
    *set = Set::Big(Rc::clone(&big));
    Some(big)
}
