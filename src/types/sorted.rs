//! A persistent sorted map over a tree of chunks: a clone costs O(1), a change after it copies only
//! the nodes on its path.

use std::fmt::Debug;
use std::rc::Rc;

use crate::base::fit::fit;
use crate::types::tree::{At, Chunk, Leaves, Remains, Spot, Tree};

/// Bytes of pairs in one chunk, about.
const CHUNK_BYTES: usize = 2048;

/// What can be in a map.
pub trait Held: Clone + Debug {
    /// Bytes of memory that it holds beside itself. O(1).
    fn extra(&self) -> usize {
        0
    }
}

/// A chunk of a map: pairs in the order of their keys.
#[derive(Clone, Debug)]
pub struct Pairs<K, V> {
    pairs: Vec<(K, V)>,
}

/// A sorted map.
#[derive(Clone, Debug)]
pub struct Map<K: Held + Ord, V: Held> {
    tree: Tree<Pairs<K, V>>,
}

impl Held for () {}

impl Held for Rc<[u8]> {
    fn extra(&self) -> usize {
        self.len() + 2 * size_of::<usize>()
    }
}

impl<K, V> Pairs<K, V> {
    /// The pairs in order.
    pub fn pairs(&self) -> &[(K, V)] {
        &self.pairs
    }
}

impl<K, V> Default for Pairs<K, V> {
    fn default() -> Pairs<K, V> {
        Pairs { pairs: Vec::new() }
    }
}

impl<K: Held + Ord, V: Held> Chunk for Pairs<K, V> {
    type Key = K;
    const WEIGHT_MAX: usize = CHUNK_BYTES;

    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn bytes(&self) -> usize {
        let extra: usize = self.pairs.iter().map(|(key, value)| key.extra() + value.extra()).sum();
        self.pairs.capacity() * size_of::<(K, V)>() + extra
    }

    fn weight(&self) -> usize {
        self.pairs.len() * size_of::<(K, V)>().max(1)
    }

    fn first(&self) -> K {
        self.pairs.first().expect("a chunk has elements").0.clone()
    }

    fn split_off(&mut self, at: usize) -> Self {
        let pairs = self.pairs.split_off(at);
        fit(&mut self.pairs);
        Pairs { pairs }
    }

    fn append(&mut self, next: &Self) {
        self.pairs.extend_from_slice(&next.pairs);
    }
}

impl<K: Held + Ord, V: Held> Default for Map<K, V> {
    fn default() -> Map<K, V> {
        Map { tree: Tree::default() }
    }
}

impl<K: Held + Ord, V: Held> Map<K, V> {
    /// Number of pairs.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Bytes of memory that it holds beside itself. O(1).
    pub fn bytes(&self) -> usize {
        self.tree.bytes()
    }

    /// Bytes that changes have copied since this was last asked, because a clone shares them.
    pub fn take_copied(&mut self) -> usize {
        self.tree.take_copied()
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        let chunk = self.tree.seek(At::Key(key))?.chunk();
        let index = chunk.pairs.binary_search_by(|pair| pair.0.cmp(key)).ok()?;
        chunk.pairs.get(index).map(|pair| &pair.1)
    }

    /// Sets the value of a key; the old one.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let place = key.clone();
        self.tree.edit(At::Key(&place), |chunk, _| {
            match chunk.pairs.binary_search_by(|pair| pair.0.cmp(&key)) {
                Ok(index) => {
                    let old = chunk.pairs.get_mut(index);
                    (index, old.map(|pair| std::mem::replace(&mut pair.1, value)))
                }
                Err(index) => {
                    chunk.pairs.insert(index, (key, value));
                    (index, None)
                }
            }
        })
    }

    /// Removes a key; its value.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.get(key)?;
        self.tree.edit(At::Key(key), |chunk, _| {
            match chunk.pairs.binary_search_by(|pair| pair.0.cmp(key)) {
                Ok(index) => (index, Some(chunk.pairs.remove(index).1)),
                Err(index) => (index, None),
            }
        })
    }

    /// Changes the value of a key in place.
    pub fn edit<R>(&mut self, key: &K, work: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.get(key)?;
        self.tree.edit(At::Key(key), |chunk, _| {
            match chunk.pairs.binary_search_by(|pair| pair.0.cmp(key)) {
                Ok(index) => (index, chunk.pairs.get_mut(index).map(|pair| work(&mut pair.1))),
                Err(index) => (index, None),
            }
        })
    }

    /// The first pair.
    pub fn first(&self) -> Option<&(K, V)> {
        self.tree.seek(At::Position(0))?.chunk().pairs.first()
    }

    /// The last pair.
    pub fn last(&self) -> Option<&(K, V)> {
        self.tree.seek(At::Position(usize::MAX))?.chunk().pairs.last()
    }

    /// The pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.tree.chunks().flat_map(|chunk| chunk.pairs.iter())
    }

    /// The pairs from this key on.
    pub fn from<'a>(&'a self, key: &K) -> impl Iterator<Item = &'a (K, V)> + use<'a, K, V> {
        let mut spot = self.tree.seek(At::Key(key));
        let start =
            |spot: &Spot<'a, Pairs<K, V>>| spot.chunk().pairs.partition_point(|pair| pair.0 < *key);
        let mut at = spot.as_ref().map_or(0, start);
        std::iter::from_fn(move || {
            loop {
                let chunk = spot.as_ref()?.chunk();
                if let Some(pair) = chunk.pairs.get(at) {
                    at += 1;
                    return Some(pair);
                }
                spot = spot.take()?.forward();
                at = 0;
            }
        })
    }

    /// The chunks in order, for one who owns them.
    pub fn into_leaves(self) -> Leaves<Pairs<K, V>> {
        self.tree.into_leaves()
    }

    /// What has to be freed, bit by bit.
    pub fn into_remains(self) -> Remains<Pairs<K, V>> {
        self.tree.into_remains()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::prng::Prng;

    impl Held for u32 {}

    #[test]
    fn behaves_like_a_sorted_map_and_clones_stay_as_they_were() {
        for seed in 0..20 {
            let mut prng = Prng::new(seed);
            let (mut map, mut model) = (Map::<u32, u32>::default(), BTreeMap::new());
            let mut kept = Vec::new();
            for step in 0..4000u32 {
                let key = prng.below(if seed % 2 == 0 { 60 } else { 3000 }) as u32;
                match prng.below(8) {
                    0..4 => assert_eq!(map.insert(key, step), model.insert(key, step)),
                    4 | 5 => assert_eq!(map.remove(&key), model.remove(&key)),
                    6 => {
                        let edited = map.edit(&key, |value| std::mem::replace(value, step));
                        assert_eq!(edited, model.get_mut(&key).map(|v| std::mem::replace(v, step)));
                    }
                    _ => assert_eq!(map.get(&key), model.get(&key), "seed {seed} step {step}"),
                }
                if step % 500 == 0 {
                    kept.push((map.clone(), model.clone()));
                }
            }
            kept.push((map, model));
            for (map, model) in kept {
                assert_eq!(map.len(), model.len(), "seed {seed}");
                assert!(
                    map.iter().map(|pair| (pair.0, pair.1)).eq(model.iter().map(|p| (*p.0, *p.1)))
                );
                assert_eq!(map.first().map(|pair| pair.0), model.keys().next().copied());
                assert_eq!(map.last().map(|pair| pair.0), model.keys().last().copied());
                for from in [0, 7, 50, 2999, 4000] {
                    let got = map.from(&from).map(|pair| pair.0);
                    assert!(got.eq(model.range(from..).map(|pair| *pair.0)), "seed {seed} {from}");
                }
            }
        }
    }
}
