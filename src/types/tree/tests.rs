//! The tree against vectors and sorted sets.

use super::*;
use crate::base::prng::Prng;

/// Words; it weighs their bytes.
#[derive(Clone, Debug, Default)]
struct Words(Vec<String>);

impl Chunk for Words {
    type Key = String;
    const WEIGHT_MAX: usize = 60;

    fn len(&self) -> usize {
        self.0.len()
    }
    fn bytes(&self) -> usize {
        self.0.capacity() * size_of::<String>() + self.weight()
    }
    fn weight(&self) -> usize {
        self.0.iter().map(String::len).sum()
    }
    fn first(&self) -> String {
        self.0[0].clone()
    }
    fn split_off(&mut self, at: usize) -> Words {
        assert!(at > 0 && at < self.0.len());
        Words(self.0.split_off(at))
    }
    fn append(&mut self, next: &Words) {
        self.0.extend_from_slice(&next.0);
    }
}

fn all(tree: &Tree<Words>) -> Vec<String> {
    tree.chunks().flat_map(|chunk| chunk.0.iter().cloned()).collect()
}

/// Asserts what the head of the file says is valid.
fn check(tree: &Tree<Words>) {
    fn node(branch: &Branch<Words>) -> (usize, usize) {
        let own = size_of::<Branch<Words>>() + 16 + size_of::<Node<Words>>();
        let (depth, below) = match &*branch.node {
            Node::Leaf(chunk) => {
                assert!(!chunk.is_empty() && !chunk.is_full(), "{chunk:?}");
                assert_eq!((branch.len, &branch.first), (chunk.len(), &chunk.first()));
                (0, chunk.bytes())
            }
            Node::Inner(branches) => {
                assert!(!branches.is_empty() && branches.len() <= FANOUT);
                assert_eq!(branch.len, branches.iter().map(|it| it.len).sum::<usize>());
                assert_eq!(branch.first, branches[0].first);
                let below: Vec<_> = branches.iter().map(node).collect();
                assert!(below.iter().all(|one| one.0 == below[0].0), "all at one depth");
                (below[0].0 + 1, below.iter().map(|one| one.1).sum())
            }
        };
        assert_eq!(branch.bytes, own + below);
        (depth, branch.bytes)
    }
    tree.root.as_ref().map(node);
    if let Some(Node::Inner(branches)) = tree.root.as_ref().map(|root| &*root.node) {
        assert!(branches.len() > 1, "a root has more than one branch");
    }
}

#[test]
fn behaves_like_a_vector_and_clones_stay_as_they_were() {
    for seed in 0..60 {
        let mut prng = Prng::new(seed);
        let (mut tree, mut model) = (Tree::<Words>::default(), Vec::<String>::new());
        let mut clones: Vec<(Tree<Words>, Vec<String>)> = Vec::new();
        // Growing, then shrinking; at the ends, in the middle, or anywhere.
        let place = prng.below(4);
        for step in 0..1500_u64 {
            let at = match place {
                0 => 0,
                1 => model.len() as u64,
                2 => model.len() as u64 / 2,
                _ => prng.below(model.len() as u64 + 1),
            } as usize;
            if prng.below(1500) > step / 2 + 200 {
                let size = if prng.chance(1, 50) { 200 } else { prng.below(12) as usize };
                let word = format!("{step}{}", "x".repeat(size));
                let new = word.clone();
                tree.edit(At::Position(at), |chunk, local| {
                    chunk.0.insert(local, new);
                    (local, ())
                });
                model.insert(at, word);
            } else if prng.chance(1, 40) {
                let to = at + prng.below(model.len() as u64 / 3 + 1) as usize;
                tree.remove(at, to);
                model.drain(at..to.min(model.len()));
            } else if at < model.len() {
                let removed =
                    tree.edit(At::Position(at), |chunk, local| (local, chunk.0.remove(local)));
                assert_eq!(removed, model.remove(at));
            }
            if step % 300 == 0 {
                clones.push((tree.clone(), model.clone()));
            }
            if step % 50 == 0 || model.len() < 4 {
                check(&tree);
                assert_eq!(all(&tree), model, "seed {seed} step {step}");
            }
        }
        for (clone, model) in clones {
            check(&clone);
            let mut leaves = clone.into_leaves();
            let mut words = Vec::new();
            while let Some(leaf) = leaves.next_leaf() {
                words.extend(leaf.chunk().unwrap().0.iter().cloned());
            }
            assert_eq!(words, model);
        }
        if let Some(spot) = tree.seek(At::Position(usize::MAX)) {
            let mut back = Vec::new();
            let mut spot = Some(spot);
            while let Some(one) = spot {
                back.extend(one.chunk().0.iter().rev().cloned());
                assert_eq!(one.start() + back.len(), model.len());
                spot = one.backward();
            }
            back.reverse();
            assert_eq!(back, model);
        }
    }
}

#[test]
fn finds_by_key() {
    for seed in 0..40 {
        let mut prng = Prng::new(seed);
        let (mut tree, mut model) = (Tree::<Words>::default(), std::collections::BTreeSet::new());
        for _ in 0..2000 {
            let word = format!("{:06}", prng.below(3000));
            let found = tree.seek(At::Key(&word)).map(|spot| {
                let local = spot.chunk().0.partition_point(|one| *one < word);
                (spot.start() + local, spot.chunk().0.get(local) == Some(&word))
            });
            let (rank, known) = found.unwrap_or_default();
            assert_eq!(rank, model.range(..word.clone()).count());
            assert_eq!(known, model.contains(&word));
            tree.edit(At::Key(&word), |chunk, _| {
                let local = chunk.0.partition_point(|one| *one < word);
                match known {
                    true => drop(chunk.0.remove(local)),
                    false => chunk.0.insert(local, word.clone()),
                }
                (local, ())
            });
            if !model.remove(&word) {
                model.insert(word);
            }
        }
        check(&tree);
        assert_eq!(all(&tree), model.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn chunks_are_full_when_they_come_in_order() {
    let mut tree = Tree::<Words>::default();
    for n in 0..10_000 {
        tree.edit(At::Position(usize::MAX), |chunk, _| {
            chunk.0.push(format!("{n:06}"));
            (chunk.0.len() - 1, ())
        });
    }
    check(&tree);
    assert_eq!(tree.chunks().count(), 1000);
    let mut pushed = Tree::<Words>::default();
    for chunk in tree.chunks() {
        pushed.push_chunk(chunk.clone());
    }
    check(&pushed);
    assert_eq!(all(&pushed), all(&tree));
}

#[test]
fn a_change_copies_only_its_path_and_freeing_goes_bit_by_bit() {
    let mut tree = Tree::<Words>::default();
    for n in 0..50_000 {
        tree.edit(At::Position(usize::MAX), |chunk, _| {
            chunk.0.push(format!("{n:06}"));
            (chunk.0.len() - 1, ())
        });
    }
    assert_eq!(tree.take_copied(), 0);
    let frozen = tree.clone();
    tree.edit(At::Position(25_000), |chunk, local| {
        chunk.0[local] = "new".to_owned();
        (local, ())
    });
    let copied = tree.take_copied();
    assert!(copied > 0 && copied < 20_000, "{copied}");
    tree.edit(At::Position(25_001), |chunk, local| {
        chunk.0[local] = "new".to_owned();
        (local, ())
    });
    assert_eq!(tree.take_copied(), 0, "it has been copied");
    let mut leaves = frozen.into_leaves();
    let mut alone = 0;
    while let Some(leaf) = leaves.next_leaf() {
        alone += usize::from(leaf.is_last());
    }
    assert_eq!(alone, 1, "only the chunk that was changed is nobody else's");
    let (bytes, mut freed, mut steps) = (tree.bytes(), 0, 0);
    let mut remains = tree.into_remains();
    while let Some(bytes) = remains.free_one() {
        freed += bytes;
        steps += 1;
    }
    assert!(steps > 5000 && freed <= bytes && freed > bytes / 10, "{steps} {freed} {bytes}");
}
