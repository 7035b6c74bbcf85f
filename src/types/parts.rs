//! Big values that are trees, seen alike: as parts that a snapshot writes in order, as parts that a
//! loader puts together, and as what has to be freed.
//!
//! A *part* is the bytes of one chunk. The small form of the same type is *whole* bytes. Both are
//! what snapshot files hold, so each type verifies what it is given.

use crate::types::list::List;
use crate::types::packed::Packed;
use crate::types::tree::{self, Leaf, Leaves, Tree};
use crate::types::value::{Kind, Value};

/// A big value as it was when this was made; what was passed is let go.
#[derive(Debug)]
pub enum Parts {
    /// Of a list.
    List(Leaves<Packed>, Option<Leaf<Packed>>),
}

/// A big value that is being put together from its parts.
#[derive(Debug)]
pub enum Building {
    /// A list.
    List(Tree<Packed>),
}

/// What is left of a big value, to be freed bit by bit.
#[derive(Debug)]
pub enum Remains {
    /// Of a list.
    List(tree::Remains<Packed>),
}

/// The bytes are not what the type's parts, or small values, look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPart;

impl Value {
    /// The bytes of a small value of a type that is written whole.
    pub fn whole(&self) -> Option<&[u8]> {
        match self {
            Value::List(List::Small(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Takes the bytes of a small value of such a type; it is empty afterwards.
    pub fn take_whole(&mut self) -> Box<[u8]> {
        match self {
            Value::List(List::Small(bytes)) => std::mem::take(bytes),
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
            Kind::String | Kind::Hash | Kind::Set | Kind::Zset | Kind::Stream => Err(BadPart),
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
            _ => None,
        }
    }

    /// The parts of a big value in order.
    pub fn each_part(&self, each: &mut dyn FnMut(&[u8])) {
        if let Value::List(List::Big(tree)) = self {
            tree.chunks().for_each(|chunk| each(chunk.as_bytes()));
        }
    }

    /// The number under which a snapshot has opened its parts, perhaps one that is over.
    pub fn fragment(&self) -> Option<u64> {
        match self {
            Value::List(List::Big(tree)) => tree.fragment,
            Value::Hash(_) | Value::Str(_) | Value::Rope(_) | Value::List(List::Small(_)) => None,
        }
    }

    /// Bytes that changes have copied since this was last asked, because a snapshot (or a copy of
    /// the value) shares them.
    pub fn take_copied(&mut self) -> usize {
        match self {
            Value::List(List::Big(tree)) => tree.take_copied(),
            _ => 0,
        }
    }

    /// What has to be freed bit by bit; small values are freed at once.
    pub fn into_remains(self) -> Option<Remains> {
        match self {
            Value::List(List::Big(tree)) => Some(Remains::List(tree.into_remains())),
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
        }
    }

    /// What it has not come to.
    pub fn into_remains(self) -> Remains {
        match self {
            Parts::List(leaves, _) => Remains::List(leaves.into_remains()),
        }
    }
}

impl Building {
    /// An empty value of a type that has parts.
    pub fn new(kind: Kind) -> Option<Building> {
        match kind {
            Kind::List => Some(Building::List(Tree::default())),
            Kind::String | Kind::Hash | Kind::Set | Kind::Zset | Kind::Stream => None,
        }
    }

    /// Appends a part.
    pub fn push(&mut self, part: &[u8]) -> Result<(), BadPart> {
        match self {
            Building::List(tree) => {
                let packed = Packed::verified(part).filter(|packed| packed.get(0).is_some());
                tree.push_chunk(packed.ok_or(BadPart)?);
                Ok(())
            }
        }
    }

    /// Elements that there are.
    pub fn len(&self) -> u64 {
        match self {
            Building::List(tree) => tree.len() as u64,
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
        }
    }
}

impl Remains {
    /// Frees a node that nobody else holds; how many bytes, or nothing at the end.
    pub fn free_one(&mut self) -> Option<usize> {
        match self {
            Remains::List(remains) => remains.free_one(),
        }
    }
}
