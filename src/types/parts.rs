//! Big values that are trees, seen alike: as parts that a snapshot writes in order, as parts that a
//! loader puts together, and as what has to be freed.
//!
//! A *part* is the bytes of one chunk. The small form of the same type is *whole* bytes. Both are
//! what snapshot files hold, so each type verifies what it is given.

use crate::base::table::{KeyHasher, Table};
use crate::types::list::List;
use crate::types::packed::Packed;
use crate::types::set::Set;
use crate::types::stream::parts::{StreamBuilding, StreamParts, StreamRemains};
use crate::types::timed::Timed;
use crate::types::tree::{self, Chunk, Leaf, Leaves, Tree};
use crate::types::value::{Kind, Value};
use crate::types::zset::packed::Packed as Scored;
use crate::types::zset::{BigZset, Zset};

/// A big value as it was when this was made; what was passed is let go.
#[derive(Debug)]
pub enum Parts {
    /// Of a list.
    List(Leaves<Packed>, Option<Leaf<Packed>>),
    /// Of a sorted set.
    Zset(Leaves<Scored>, Option<Leaf<Scored>>),
    /// Of a stream.
    Stream(Box<StreamParts>),
}

/// A big value that is being put together from its parts.
#[derive(Debug)]
pub enum Building {
    /// A list.
    List(Tree<Packed>),
    /// A sorted set.
    Zset(Box<BigZset>),
    /// A stream.
    Stream(Box<StreamBuilding>),
}

/// What is left of a big value, to be freed bit by bit.
#[derive(Debug)]
pub enum Remains {
    /// Of a list.
    List(tree::Remains<Packed>),
    /// Of a sorted set, whose table goes first.
    Zset(Option<Table<()>>, tree::Remains<Scored>),
    /// Of a stream, or of a part of one.
    Stream(StreamRemains),
}

/// The bytes are not what the type's parts, or small values, look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPart;

impl Value {
    /// The bytes of a small value of a type that is written whole.
    pub fn whole(&self) -> Option<&[u8]> {
        match self {
            Value::List(List::Small(bytes)) => Some(bytes),
            Value::Zset(Zset::Packed(packed)) => Some(packed.as_bytes()),
            Value::Set(set) => set.whole(),
            Value::Timed(timed) => Some(timed.as_bytes()),
            _ => None,
        }
    }

    /// Takes the bytes of a small value of such a type; it is empty afterwards.
    pub fn take_whole(&mut self) -> Box<[u8]> {
        match self {
            Value::List(List::Small(bytes)) => std::mem::take(bytes),
            Value::Zset(Zset::Packed(packed)) => std::mem::take(packed).into_bytes(),
            Value::Set(set) => set.take_whole(),
            Value::Timed(timed) => std::mem::take(timed).into_bytes(),
            _ => Box::default(),
        }
    }

    /// A small value from bytes that came from elsewhere.
    pub fn of_whole(kind: Kind, bytes: &[u8]) -> Result<Value, BadPart> {
        match kind {
            Kind::List => {
                let packed = Packed::verified(bytes).filter(|packed| packed.get(0).is_some());
                Ok(Value::List(List::of(packed.ok_or(BadPart)?)))
            }
            Kind::Zset => {
                let packed = Scored::read(bytes).filter(|packed| !packed.is_empty());
                Ok(Value::Zset(Zset::Packed(packed.ok_or(BadPart)?)))
            }
            Kind::String | Kind::Stream => Err(BadPart),
            // Of hashes, those with deadlines.
            Kind::Hash => Timed::verified(bytes).map(Value::Timed).ok_or(BadPart),
            Kind::Set => Set::verified(bytes).map(Value::Set).ok_or(BadPart),
        }
    }

    /// A big value as it is now, and how many elements it has. Later changes do not show.
    /// `fragment` is the number under which a snapshot writes it.
    pub fn parts(&mut self, fragment: u64) -> Option<(Parts, u64)> {
        match self {
            Value::List(List::Big(tree)) => {
                tree.fragment = Some(fragment);
                let (leaves, len) = (tree.as_ref().clone().into_leaves(), tree.len());
                Some((Parts::List(leaves, None), len as u64))
            }
            Value::Zset(Zset::Big(big)) => {
                big.set_fragment(fragment);
                let (leaves, len) = (big.tree().clone().into_leaves(), big.len());
                Some((Parts::Zset(leaves, None), len as u64))
            }
            Value::Stream(stream) => {
                stream.fragment = Some(fragment);
                // The counters are an element too.
                let elements = stream.len() as u64 + 1;
                Some((Parts::Stream(Box::new(StreamParts::new(stream))), elements))
            }
            _ => None,
        }
    }

    /// The parts of a big value in order.
    pub fn each_part(&self, each: &mut dyn FnMut(&[u8])) {
        match self {
            Value::List(List::Big(tree)) => tree.chunks().for_each(|one| each(one.as_bytes())),
            Value::Zset(Zset::Big(big)) => big.tree().chunks().for_each(|one| each(one.as_bytes())),
            Value::Stream(stream) => {
                let mut parts = StreamParts::new(stream);
                while let Some((part, _)) = parts.next_part() {
                    each(part);
                }
            }
            _ => {}
        }
    }

    /// The number under which a snapshot has opened its parts, perhaps one that is over.
    pub fn fragment(&self) -> Option<u64> {
        match self {
            Value::List(List::Big(tree)) => tree.fragment,
            Value::Zset(Zset::Big(big)) => big.tree().fragment,
            Value::Stream(stream) => stream.fragment,
            _ => None,
        }
    }

    /// Bytes that changes have copied since this was last asked, because a snapshot (or a copy of
    /// the value) shares them.
    pub fn take_copied(&mut self) -> usize {
        match self {
            Value::List(List::Big(tree)) => tree.take_copied(),
            Value::Zset(Zset::Big(big)) => big.take_copied(),
            Value::Stream(stream) => stream.take_copied(),
            _ => 0,
        }
    }

    /// What has to be freed bit by bit; small values are freed at once.
    pub fn into_remains(self) -> Option<Remains> {
        match self {
            Value::List(List::Big(tree)) => Some(Remains::List(tree.into_remains())),
            Value::Zset(Zset::Big(big)) => {
                let (scores, tree) = big.into_parts();
                Some(Remains::Zset(Some(scores), tree.into_remains()))
            }
            Value::Stream(stream) => Some(Remains::Stream(StreamRemains::of_stream(*stream))),
            _ => None,
        }
    }
}

impl Parts {
    /// The next part, and how many bytes were kept only for it since the one before.
    pub fn next_part(&mut self) -> Option<(&[u8], usize)> {
        match self {
            Parts::List(leaves, now) => {
                *now = leaves.next_leaf();
                let leaf = now.as_ref()?;
                let bytes = leaf.chunk()?.as_bytes();
                Some((bytes, if leaf.is_last() { bytes.len() } else { 0 }))
            }
            Parts::Zset(leaves, now) => {
                *now = leaves.next_leaf();
                let leaf = now.as_ref()?;
                let bytes = leaf.chunk()?.as_bytes();
                Some((bytes, if leaf.is_last() { bytes.len() } else { 0 }))
            }
            Parts::Stream(parts) => parts.next_part(),
        }
    }

    /// What it has not come to.
    pub fn into_remains(self) -> Remains {
        match self {
            Parts::List(leaves, _) => Remains::List(leaves.into_remains()),
            Parts::Zset(leaves, _) => Remains::Zset(None, leaves.into_remains()),
            Parts::Stream(parts) => Remains::Stream(parts.into_remains()),
        }
    }
}

impl Building {
    /// An empty value of a type that has parts, which is about to get so many elements.
    pub fn new(kind: Kind, hasher: &KeyHasher, expected: usize) -> Option<Building> {
        match kind {
            Kind::List => Some(Building::List(Tree::default())),
            Kind::Zset => Some(Building::Zset(Box::new(BigZset::new(hasher.clone(), expected)))),
            Kind::Stream => Some(Building::Stream(Box::default())),
            Kind::String | Kind::Hash | Kind::Set => None,
        }
    }

    /// Appends a part, which is no fuller than values of the type have it.
    pub fn push(&mut self, part: &[u8]) -> Result<(), BadPart> {
        match self {
            Building::List(tree) => {
                let packed = Packed::verified(part).ok_or(BadPart)?;
                if packed.as_bytes().is_empty() || packed.is_full() {
                    return Err(BadPart);
                }
                tree.push_chunk(packed);
                Ok(())
            }
            Building::Zset(big) => {
                let chunk = Scored::read(part).ok_or(BadPart)?;
                if big.push_chunk(chunk) { Ok(()) } else { Err(BadPart) }
            }
            Building::Stream(stream) => stream.push(part).ok_or(BadPart),
        }
    }

    /// Elements that there are.
    pub fn len(&self) -> u64 {
        match self {
            Building::List(tree) => tree.len() as u64,
            Building::Zset(big) => big.len() as u64,
            Building::Stream(stream) => stream.elements(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value.
    pub fn finish(self) -> Value {
        match self {
            Building::List(tree) => Value::List(List::Big(Box::new(tree))),
            Building::Zset(big) => Value::Zset(Zset::Big(big)),
            Building::Stream(stream) => Value::Stream(Box::new(stream.finish())),
        }
    }
}

impl Remains {
    /// Frees a node that nobody else holds; how many bytes, or nothing at the end.
    pub fn free_one(&mut self) -> Option<usize> {
        match self {
            Remains::List(remains) => remains.free_one(),
            Remains::Zset(scores, remains) => {
                let Some(table) = scores else { return remains.free_one() };
                let before = table.footprint();
                if !table.dismantle(drop) {
                    *scores = None;
                    return Some(before);
                }
                Some(before.saturating_sub(table.footprint()))
            }
            Remains::Stream(remains) => remains.free_one(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_list_is_a_chunk_as_a_list_has_it() {
        for (count, length, expected) in [
            (0, 0, Err(BadPart)),
            (1, 10, Ok(())),
            (1, 100_000, Ok(())),
            (200, 9, Ok(())),
            (300, 9, Err(BadPart)),
            (2, 100_000, Err(BadPart)),
        ] {
            let mut packed = Packed::default();
            (0..count).for_each(|at| packed.insert(at, &vec![b'x'; length]));
            let mut building = Building::List(Tree::default());
            assert_eq!(building.push(packed.as_bytes()), expected, "{count} of {length}");
        }
        assert_eq!(Building::List(Tree::default()).push(b"\x01\x00\x02a"), Err(BadPart));
    }
}
