//! What has been removed and is too large to be freed at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::table::Table;
use crate::keyspace::keyspace::Keyspace;
use crate::types::hash::{BigHash, Hash};
use crate::types::parts::Remains;
use crate::types::rope::Rope;
use crate::types::set::Set;
use crate::types::value::Value;

/// Big values and whole tables that nobody can see any more.
#[derive(Debug, Default)]
pub struct Graveyard {
    corpses: VecDeque<Corpse>,
    bytes: usize,
}

#[derive(Debug)]
enum Corpse {
    Table { table: Table<Value>, values: usize },
    Hash { hash: BigHash, bytes: usize },
    Rope { rope: Rope, bytes: usize },
    Remains { remains: Remains, bytes: usize },
}

impl Graveyard {
    /// Takes a value: small ones are freed at once, one that a snapshot still needs is left to it.
    pub fn bury(&mut self, value: Value) {
        match value {
            Value::Str(_) | Value::Hash(Hash::Flat(_)) => {}
            Value::Hash(Hash::Big(table)) | Value::Set(Set::Big(table)) => self.bury_hash(table),
            Value::Rope(rope) => self.bury_rope(rope),
            value => {
                let bytes = value.bytes();
                if let Some(remains) = value.into_remains() {
                    self.bury_remains(remains, bytes);
                }
            }
        }
    }

    /// Takes a big hash, if nobody else holds it.
    pub fn bury_hash(&mut self, hash: Rc<RefCell<BigHash>>) {
        if let Some(hash) = Rc::into_inner(hash) {
            let hash = hash.into_inner();
            let bytes = hash.bytes();
            self.bytes += bytes;
            self.corpses.push_back(Corpse::Hash { hash, bytes });
        }
    }

    /// Takes a long string, if nobody else holds it.
    pub fn bury_rope(&mut self, rope: Rc<RefCell<Rope>>) {
        if let Some(rope) = Rc::into_inner(rope) {
            let rope = rope.into_inner();
            let bytes = rope.bytes();
            self.bytes += bytes;
            self.corpses.push_back(Corpse::Rope { rope, bytes });
        }
    }

    /// Takes what is left of a big value, about so many bytes.
    pub fn bury_remains(&mut self, remains: Remains, bytes: usize) {
        self.bytes += bytes;
        self.corpses.push_back(Corpse::Remains { remains, bytes });
    }

    /// Takes a table whose values hold `values` bytes.
    pub fn bury_table(&mut self, table: Table<Value>, values: usize) {
        self.bytes += table.footprint() + values;
        self.corpses.push_back(Corpse::Table { table, values });
    }

    /// Bytes that wait to be freed.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Objects that wait to be freed: a table counts as its keys.
    pub fn objects(&self) -> usize {
        let objects = |corpse: &Corpse| match corpse {
            Corpse::Table { table, .. } => table.len().max(1),
            Corpse::Hash { .. } | Corpse::Rope { .. } | Corpse::Remains { .. } => 1,
        };
        self.corpses.iter().map(objects).sum()
    }

    /// Frees one segment or chunk; false when nothing is left.
    fn free_one(&mut self) -> bool {
        let Some(mut corpse) = self.corpses.pop_front() else { return false };
        let before = corpse.bytes();
        let more = match &mut corpse {
            Corpse::Table { table, values } => table.dismantle(|value| {
                *values -= value.bytes().min(*values);
                self.bury(value);
            }),
            Corpse::Hash { hash, bytes } => {
                let more = hash.dismantle();
                *bytes = hash.bytes().min(*bytes);
                more
            }
            Corpse::Rope { rope, bytes } => {
                let more = rope.dismantle();
                *bytes = rope.bytes().min(*bytes);
                more
            }
            Corpse::Remains { remains, bytes } => {
                let freed = remains.free_one();
                *bytes = bytes.saturating_sub(freed.unwrap_or(0));
                freed.is_some()
            }
        };
        let after = if more { corpse.bytes() } else { 0 };
        self.bytes = (self.bytes + after).saturating_sub(before);
        if more {
            self.corpses.push_front(corpse);
        }
        more || !self.corpses.is_empty()
    }
}

impl Corpse {
    fn bytes(&self) -> usize {
        match self {
            Corpse::Table { table, values } => table.footprint() + values,
            Corpse::Hash { bytes, .. }
            | Corpse::Rope { bytes, .. }
            | Corpse::Remains { bytes, .. } => *bytes,
        }
    }
}

impl Keyspace {
    /// Frees up to `pieces` pieces of what was removed: a segment of a table or a chunk of a string
    /// each, a few microseconds. Says whether there is more.
    pub fn free_slice(&mut self, pieces: usize) -> bool {
        (0..pieces).all(|_| self.graveyard.free_one())
    }

    /// Objects that wait to be freed (lazyfree_pending_objects).
    pub fn pending_objects(&self) -> usize {
        self.graveyard.objects()
    }
}
