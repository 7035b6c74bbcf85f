//! What a key can hold.

use std::cell::RefCell;
use std::rc::Rc;

use crate::types::hash::Hash;
use crate::types::list::List;
use crate::types::rope::Rope;
use crate::types::set::Set;
use crate::types::stream::Stream;
use crate::types::timed::Timed;
use crate::types::zset::Zset;

/// A value that does not lie in the table's arena. What can be big is shared with a snapshot in
/// progress, so that the key can be changed, renamed or removed at any time.
#[derive(Debug)]
pub enum Value {
    /// A string of medium length.
    Str(Box<[u8]>),
    /// A long string.
    Rope(Rc<RefCell<Rope>>),
    /// A hash.
    Hash(Hash),
    /// A small hash with deadlines of fields.
    Timed(Timed),
    /// A list.
    List(List),
    /// A sorted set.
    Zset(Zset),
    /// A set.
    Set(Set),
    /// A stream.
    Stream(Box<Stream>),
}

/// The type of a value, as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `string`
    String,
    /// `hash`
    Hash,
    /// `list`
    List,
    /// `set`
    Set,
    /// `zset`
    Zset,
    /// `stream`
    Stream,
}

/// How a value is stored, in the words that OBJECT ENCODING uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A string that is the decimal form of a 64-bit integer.
    Int,
    /// A string of at most 44 bytes that was never changed in place.
    Embstr,
    /// Any other string.
    Raw,
    /// A small hash, set or sorted set.
    Listpack,
    /// A small hash with deadlines of fields.
    ListpackEx,
    /// A set of a few integers.
    Intset,
    /// A big hash or set.
    Hashtable,
    /// A list.
    Quicklist,
    /// A big sorted set.
    Skiplist,
    /// A stream.
    Stream,
}

impl Kind {
    /// The word of the TYPE command.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Hash => "hash",
            Kind::List => "list",
            Kind::Set => "set",
            Kind::Zset => "zset",
            Kind::Stream => "stream",
        }
    }
}

impl Value {
    /// Bytes of memory that it holds beside itself. O(1).
    pub fn bytes(&self) -> usize {
        match self {
            Value::Str(bytes) => bytes.len(),
            Value::Rope(rope) => rope.borrow().bytes(),
            Value::Hash(hash) => hash.bytes(),
            Value::Timed(timed) => timed.bytes(),
            Value::List(list) => list.bytes(),
            Value::Zset(zset) => zset.bytes(),
            Value::Set(set) => set.bytes(),
            Value::Stream(stream) => size_of::<Stream>() + stream.bytes(),
        }
    }

    /// Of a hash: no field has a deadline before this moment, or none has any.
    pub fn soonest(&self) -> Option<u64> {
        match self {
            Value::Timed(timed) => timed.soonest(),
            Value::Hash(Hash::Big(big)) => {
                let table = &big.borrow();
                (table.deadlines() > 0).then(|| table.table().soonest())
            }
            _ => None,
        }
    }

    /// Its type.
    pub fn kind(&self) -> Kind {
        match self {
            Value::Str(_) | Value::Rope(_) => Kind::String,
            Value::Hash(_) | Value::Timed(_) => Kind::Hash,
            Value::List(_) => Kind::List,
            Value::Zset(_) => Kind::Zset,
            Value::Set(_) => Kind::Set,
            Value::Stream(_) => Kind::Stream,
        }
    }

    /// Is it a collection without elements? Such a one is removed from its key, but for streams.
    pub fn is_empty(&self) -> bool {
        match self {
            Value::Str(_) | Value::Rope(_) | Value::Stream(_) => false,
            Value::Hash(hash) => hash.is_empty(),
            Value::Timed(timed) => timed.is_empty(),
            Value::List(list) => list.is_empty(),
            Value::Zset(zset) => zset.is_empty(),
            Value::Set(set) => set.is_empty(),
        }
    }
}

impl Encoding {
    /// The word of OBJECT ENCODING.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Raw => "raw",
            Encoding::Listpack => "listpack",
            Encoding::ListpackEx => "listpackex",
            Encoding::Intset => "intset",
            Encoding::Hashtable => "hashtable",
            Encoding::Quicklist => "quicklist",
            Encoding::Skiplist => "skiplist",
            Encoding::Stream => "stream",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_takes_three_words() {
        assert_eq!(size_of::<Value>(), 24);
    }
}
