//! A list: a small one is one packed buffer, a big one a tree of such buffers.

use crate::types::packed::{Packed, elements};
use crate::types::tree::{At, Chunk, Remains, Tree};

/// A list value. Read it here; change it only through `keyspace::ListMut`.
#[derive(Clone, Debug)]
pub enum List {
    /// A small one: bytes that are valid as `Packed`.
    Small(Box<[u8]>),
    /// A big one; it never becomes small again.
    Big(Box<Tree<Packed>>),
}

impl Default for List {
    fn default() -> List {
        List::Small(Box::default())
    }
}

impl List {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            List::Small(bytes) => elements(bytes).len(),
            List::Big(tree) => tree.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it holds beside itself.
    pub fn bytes(&self) -> usize {
        match self {
            List::Small(bytes) => bytes.len(),
            List::Big(tree) => size_of::<Tree<Packed>>() + tree.bytes(),
        }
    }

    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        match self {
            List::Small(bytes) => elements(bytes).nth(index),
            List::Big(tree) => {
                let spot = tree.seek(At::Position(index))?;
                spot.chunk().get(index - spot.start())
            }
        }
    }

    /// The elements from `from` on.
    pub fn iter_from(&self, from: usize) -> impl Iterator<Item = &[u8]> {
        let (mut now, mut spot) = match self {
            List::Small(bytes) => {
                let mut all = elements(bytes);
                all.by_ref().take(from).for_each(drop);
                (all, None)
            }
            List::Big(tree) => match tree.seek(At::Position(from)) {
                Some(spot) => {
                    let inside = from.saturating_sub(spot.start());
                    (spot.chunk().elements_from(inside), Some(spot))
                }
                None => (elements(&[]), None),
            },
        };
        std::iter::from_fn(move || {
            loop {
                if let Some(element) = now.next() {
                    return Some(element);
                }
                spot = spot.take()?.forward();
                now = spot.as_ref()?.chunk().elements();
            }
        })
    }

    /// The elements from the last one to the first.
    pub fn iter_back(&self) -> impl Iterator<Item = &[u8]> {
        // A chunk can only be read forwards, so one at a time is listed.
        let (mut listed, mut spot): (Vec<&[u8]>, _) = match self {
            List::Small(bytes) => (elements(bytes).collect(), None),
            List::Big(tree) => (Vec::new(), tree.seek(At::Position(usize::MAX))),
        };
        std::iter::from_fn(move || {
            while listed.is_empty() {
                let found = spot.take()?;
                listed.extend(found.chunk().elements());
                spot = found.backward();
            }
            listed.pop()
        })
    }

    /// Puts an element before the one at `index`, or at the end.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        match self {
            List::Small(bytes) => {
                let mut packed = Packed::of(std::mem::take(bytes));
                packed.reserve_exact(element);
                packed.insert(index, element);
                *self = List::of(packed);
            }
            List::Big(tree) => tree.edit(At::Position(index), |chunk, at| {
                chunk.insert(at, element);
                (at.min(chunk.len() - 1), ())
            }),
        }
    }

    /// Puts another element in the place of one that is there.
    pub fn replace(&mut self, index: usize, element: &[u8]) {
        match self {
            List::Small(bytes) => {
                let mut packed = Packed::of(std::mem::take(bytes));
                packed.replace(index, element);
                *self = List::of(packed);
            }
            List::Big(tree) => tree.edit(At::Position(index), |chunk, at| {
                chunk.replace(at, element);
                (at, ())
            }),
        }
    }

    /// Removes the elements from one index up to another; what has to be freed.
    pub fn remove(&mut self, from: usize, to: usize) -> Option<Remains<Packed>> {
        match self {
            List::Small(bytes) => {
                let mut packed = Packed::of(std::mem::take(bytes));
                packed.remove(from, to);
                *self = List::of(packed);
                None
            }
            List::Big(tree) if to == from + 1 => {
                tree.edit(At::Position(from), |chunk, at| {
                    chunk.remove(at, at + 1);
                    (at, ())
                });
                None
            }
            List::Big(tree) => Some(tree.remove(from, to)),
        }
    }

    /// A list of the elements that are packed, in the form that fits.
    pub fn of(packed: Packed) -> List {
        if !packed.is_full() {
            return List::Small(packed.into_bytes());
        }
        let mut tree = Tree::default();
        tree.push_chunk(packed);
        // A change that changes nothing splits the chunk that is too full.
        tree.edit(At::Position(0), |chunk, _| (chunk.len() / 2, ()));
        List::Big(Box::new(tree))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn behaves_like_a_vector() {
        for seed in 0..40 {
            let mut prng = Prng::new(seed);
            let (mut list, mut model) = (List::default(), Vec::<Vec<u8>>::new());
            for step in 0..600_u32 {
                let len = if prng.chance(1, 60) { 5000 } else { prng.below(30) };
                let element = vec![step as u8; len as usize];
                let at = prng.below(model.len() as u64 + 1) as usize;
                match prng.below(12) {
                    0 if !model.is_empty() => {
                        let to = (at + prng.below(9) as usize).min(model.len());
                        list.remove(at, to);
                        model.drain(at..to);
                    }
                    1 if at < model.len() => {
                        list.replace(at, &element);
                        model[at] = element;
                    }
                    2..=6 => {
                        list.insert(usize::MAX, &element);
                        model.push(element);
                    }
                    _ => {
                        list.insert(at, &element);
                        model.insert(at, element);
                    }
                }
                assert_eq!(list.len(), model.len());
                assert_eq!(list.get(at), model.get(at).map(|element| &element[..]));
                assert!(
                    list.iter_from(at).take(50).eq(model[at.min(model.len())..].iter().take(50))
                );
            }
            assert!(list.iter_back().eq(model.iter().rev()), "seed {seed}");
        }
    }
}
