//! A sequence in chunks: a persistent B+ tree. A clone costs O(1) and shares every node; a change
//! afterwards copies the nodes on its path, one chunk and a few arrays of branches. So a snapshot
//! holds a big value as it was at the cut while writers go on.
//!
//! Valid if and only if all leaves are at one depth, no node is empty (an empty sequence has no
//! root), each branch tells the number of elements below it and the key of the first of them,
//! an inner node has at most `FANOUT` branches, and a chunk is full only between two changes.

use std::fmt::Debug;
use std::rc::Rc;

/// The most branches of an inner node.
const FANOUT: usize = 64;

/// What a leaf holds: a few elements in order.
pub trait Chunk: Clone + Debug + Default {
    /// What elements are ordered by; `()` where only their position counts.
    type Key: Clone + Debug + Ord;
    /// The weight above which a chunk of more than one element is split.
    const WEIGHT_MAX: usize;

    /// Number of elements.
    fn len(&self) -> usize;
    /// Bytes of memory that it holds beside itself.
    fn bytes(&self) -> usize;
    /// Bytes of its elements.
    fn weight(&self) -> usize;
    /// The key of the first element; there is one.
    fn first(&self) -> Self::Key;
    /// Cuts off what follows the first `at` elements; both parts have some.
    fn split_off(&mut self, at: usize) -> Self;
    /// Appends the elements of the chunk that follows.
    fn append(&mut self, next: &Self);

    /// Whether there is no element.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Must it be split?
    fn is_full(&self) -> bool {
        self.weight() > Self::WEIGHT_MAX && self.len() > 1
    }
}

/// A sequence of elements in chunks.
#[derive(Clone, Debug)]
pub struct Tree<C: Chunk> {
    root: Option<Branch<C>>,
    copied: usize,
    /// The number under which a snapshot in progress has opened it.
    pub fragment: Option<u64>,
}

/// A place in a sequence.
#[derive(Debug)]
pub enum At<'a, K> {
    /// The chunk that holds this element; the last one when there are not so many.
    Position(usize),
    /// The last chunk that begins with this key or a lower one; else the first.
    Key(&'a K),
}

/// A chunk that was found, and the way to its neighbours.
#[derive(Clone, Debug)]
pub struct Spot<'a, C: Chunk> {
    way: Vec<(&'a [Branch<C>], usize)>,
    chunk: &'a C,
    start: usize,
}

/// The chunks of a sequence from first to last; what was passed is let go.
#[derive(Debug)]
pub struct Leaves<C: Chunk> {
    way: Vec<std::vec::IntoIter<Branch<C>>>,
}

/// A chunk that `Leaves` gave.
#[derive(Debug)]
pub struct Leaf<C: Chunk> {
    node: Rc<Node<C>>,
}

/// What is left of a sequence that is being freed.
#[derive(Debug)]
pub struct Remains<C: Chunk> {
    nodes: Vec<Rc<Node<C>>>,
}

#[derive(Clone, Debug)]
enum Node<C: Chunk> {
    Leaf(C),
    Inner(Vec<Branch<C>>),
}

#[derive(Clone, Debug)]
struct Branch<C: Chunk> {
    node: Rc<Node<C>>,
    /// Elements below.
    len: usize,
    /// Memory of this branch and of all that is below.
    bytes: usize,
    first: C::Key,
}

impl<C: Chunk> Default for Tree<C> {
    fn default() -> Tree<C> {
        Tree { root: None, copied: 0, fragment: None }
    }
}

impl<C: Chunk> Tree<C> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.len)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.root.is_none()
    }

    /// Bytes of memory that it holds beside itself, as if it shared nothing.
    pub fn bytes(&self) -> usize {
        self.root.as_ref().map_or(0, |root| root.bytes)
    }

    /// Bytes that changes have copied since this was last asked, because a clone shares them.
    pub fn take_copied(&mut self) -> usize {
        std::mem::take(&mut self.copied)
    }

    /// Finds a chunk; nothing when there is no element.
    pub fn seek(&self, at: At<'_, C::Key>) -> Option<Spot<'_, C>> {
        let root = self.root.as_ref()?;
        let (mut way, mut node, mut start, mut at) = (Vec::new(), &root.node, 0, at);
        loop {
            match &**node {
                Node::Leaf(chunk) => return Some(Spot { way, chunk, start }),
                Node::Inner(branches) => {
                    let (index, before) = at.choose(branches);
                    at = at.within(before);
                    start += before;
                    way.push((branches, index));
                    node = &branches.get(index)?.node;
                }
            }
        }
    }

    /// Changes one chunk: `work` is given it and where in it a position lies, and says at which
    /// element it made its change. The last or first one leaves the other half of a split full.
    pub fn edit<R>(
        &mut self,
        at: At<'_, C::Key>,
        work: impl FnOnce(&mut C, usize) -> (usize, R),
    ) -> R {
        let (result, root, more) = match self.root.take() {
            Some(mut root) => {
                let (result, more) = root.change(at, &mut self.copied, work);
                (result, (root.len > 0).then_some(root), more)
            }
            None => {
                let (mut chunk, mut more) = (C::default(), Vec::new());
                let (near, result) = work(&mut chunk, 0);
                split(&mut chunk, near, &mut more);
                (result, (!chunk.is_empty()).then(|| Branch::leaf(chunk)), more)
            }
        };
        self.root = root.map(|root| root.under(more));
        result
    }

    /// Removes the elements from one position up to another, in O(log n); what has to be freed.
    pub fn remove(&mut self, from: usize, to: usize) -> Remains<C> {
        let mut remains = Remains { nodes: Vec::new() };
        let to = to.min(self.len());
        let Some(mut root) = self.root.take_if(|_| from < to) else { return remains };
        root.remove(from, to, &mut self.copied, &mut remains);
        self.root = (root.len > 0).then(|| root.under(Vec::new()));
        remains
    }

    /// Appends a chunk that is not empty and whose elements follow all others.
    pub fn push_chunk(&mut self, chunk: C) {
        let leaf = Branch::leaf(chunk);
        self.root = Some(match self.root.take() {
            None => leaf,
            Some(mut root) => {
                let more = root.push(leaf, &mut self.copied);
                root.under(more.into_iter().collect())
            }
        });
    }

    /// All chunks in order.
    pub fn chunks(&self) -> impl Iterator<Item = &C> {
        let mut spot = self.seek(At::Position(0));
        std::iter::from_fn(move || {
            let chunk = spot.as_ref()?.chunk;
            spot = spot.take().and_then(Spot::forward);
            Some(chunk)
        })
    }

    /// The chunks in order, for one who owns them.
    pub fn into_leaves(self) -> Leaves<C> {
        Leaves { way: self.root.into_iter().map(|root| vec![root].into_iter()).collect() }
    }

    /// What has to be freed, bit by bit.
    pub fn into_remains(self) -> Remains<C> {
        Remains { nodes: self.root.into_iter().map(|root| root.node).collect() }
    }
}

impl<'a, C: Chunk> Spot<'a, C> {
    /// The chunk.
    pub fn chunk(&self) -> &'a C {
        self.chunk
    }

    /// The position of its first element in the sequence.
    pub fn start(&self) -> usize {
        self.start
    }

    /// The next chunk.
    pub fn forward(mut self) -> Option<Spot<'a, C>> {
        let start = self.start + self.chunk.len();
        loop {
            let (branches, index) = self.way.pop()?;
            if let Some(branch) = branches.get(index + 1) {
                self.way.push((branches, index + 1));
                let chunk = descend(branch, &mut self.way, |_| 0)?;
                return Some(Spot { way: self.way, chunk, start });
            }
        }
    }

    /// The chunk before.
    pub fn backward(mut self) -> Option<Spot<'a, C>> {
        loop {
            let (branches, index) = self.way.pop()?;
            if let Some(before) = index.checked_sub(1) {
                let branch = branches.get(before)?;
                self.way.push((branches, before));
                let chunk = descend(branch, &mut self.way, |branches| branches.len() - 1)?;
                return Some(Spot { way: self.way, chunk, start: self.start - chunk.len() });
            }
        }
    }
}

/// Goes down to a leaf, always by the branch that `choose` says.
fn descend<'a, C: Chunk>(
    mut branch: &'a Branch<C>,
    way: &mut Vec<(&'a [Branch<C>], usize)>,
    choose: fn(&[Branch<C>]) -> usize,
) -> Option<&'a C> {
    loop {
        match &*branch.node {
            Node::Leaf(chunk) => return Some(chunk),
            Node::Inner(branches) => {
                let index = choose(branches);
                way.push((branches, index));
                branch = branches.get(index)?;
            }
        }
    }
}

impl<C: Chunk> Leaves<C> {
    /// The next chunk.
    pub fn next_leaf(&mut self) -> Option<Leaf<C>> {
        loop {
            let Some(branch) = self.way.last_mut()?.next() else {
                self.way.pop();
                continue;
            };
            if matches!(&*branch.node, Node::Leaf(_)) {
                return Some(Leaf { node: branch.node });
            }
            if let Node::Inner(branches) = Rc::unwrap_or_clone(branch.node) {
                self.way.push(branches.into_iter());
            }
        }
    }

    /// What it has not come to, to be freed bit by bit.
    pub fn into_remains(self) -> Remains<C> {
        Remains { nodes: self.way.into_iter().flatten().map(|branch| branch.node).collect() }
    }
}

impl<C: Chunk> Leaf<C> {
    /// The chunk.
    pub fn chunk(&self) -> Option<&C> {
        match &*self.node {
            Node::Leaf(chunk) => Some(chunk),
            Node::Inner(_) => None,
        }
    }

    /// Does nobody else hold it any more?
    pub fn is_last(&self) -> bool {
        Rc::strong_count(&self.node) == 1
    }
}

impl<C: Chunk> Remains<C> {
    /// Frees one node that nobody else holds; how many bytes, or nothing at the end.
    pub fn free_one(&mut self) -> Option<usize> {
        let node = self.nodes.pop()?;
        let Some(node) = Rc::into_inner(node) else { return Some(0) };
        let bytes = node.own_bytes();
        if let Node::Inner(branches) = node {
            self.nodes.extend(branches.into_iter().map(|branch| branch.node));
        }
        Some(bytes)
    }
}

impl<K: Ord> At<'_, K> {
    /// The branch to follow, and how many elements lie before it.
    fn choose<C: Chunk<Key = K>>(&self, branches: &[Branch<C>]) -> (usize, usize) {
        let last = branches.len() - 1;
        match self {
            At::Position(position) => {
                let mut before = 0;
                for (index, branch) in branches.iter().enumerate() {
                    if *position < before + branch.len || index == last {
                        return (index, before);
                    }
                    before += branch.len;
                }
                (last, before)
            }
            At::Key(key) => {
                let after = branches.partition_point(|branch| branch.first <= **key);
                let index = after.saturating_sub(1);
                (index, branches.iter().take(index).map(|branch| branch.len).sum())
            }
        }
    }

    /// The same place as seen from a branch with so many elements before it.
    fn within(self, before: usize) -> Self {
        match self {
            At::Position(position) => At::Position(position - before),
            At::Key(key) => At::Key(key),
        }
    }
}

impl<C: Chunk> Branch<C> {
    /// The branch of a chunk that is not empty.
    fn leaf(chunk: C) -> Branch<C> {
        let first = chunk.first();
        Branch::counted(Node::Leaf(chunk), first)
    }

    fn inner(branches: Vec<Branch<C>>) -> Branch<C> {
        let first = branches.first().expect("an inner node has branches").first.clone();
        Branch::counted(Node::Inner(branches), first)
    }

    fn counted(node: Node<C>, first: C::Key) -> Branch<C> {
        let (len, bytes) = node.count();
        Branch { node: Rc::new(node), len, bytes, first }
    }

    fn recount(&mut self) {
        (self.len, self.bytes) = self.node.count();
    }

    fn weight(&self) -> usize {
        match &*self.node {
            Node::Leaf(chunk) => chunk.weight(),
            Node::Inner(branches) => branches.len(),
        }
    }

    fn weight_max(&self) -> usize {
        if matches!(&*self.node, Node::Leaf(_)) { C::WEIGHT_MAX } else { FANOUT }
    }

    /// A root over this node and those that follow it; or the only branch of a root.
    fn under(self, more: Vec<Branch<C>>) -> Branch<C> {
        let mut level = vec![self];
        level.extend(more);
        while level.len() > 1 {
            level = layer(level);
        }
        let mut root = level.pop().expect("there was one at least");
        loop {
            root = match &*root.node {
                Node::Inner(branches) => match branches.as_slice() {
                    [only] => only.clone(),
                    _ => return root,
                },
                Node::Leaf(_) => return root,
            };
        }
    }

    /// Its node, for changes: copied if somebody else holds it.
    fn node_mut(&mut self, copied: &mut usize) -> &mut Node<C> {
        if Rc::strong_count(&self.node) > 1 {
            *copied += self.node.own_bytes();
        }
        Rc::make_mut(&mut self.node)
    }

    /// Changes one chunk below; the nodes that have to follow this one. It may be left empty.
    fn change<R>(
        &mut self,
        at: At<'_, C::Key>,
        copied: &mut usize,
        work: impl FnOnce(&mut C, usize) -> (usize, R),
    ) -> (R, Vec<Branch<C>>) {
        let mut more = Vec::new();
        let (result, first) = match self.node_mut(copied) {
            Node::Leaf(chunk) => {
                let position = if let At::Position(position) = at { position } else { 0 };
                let (near, result) = work(chunk, position);
                split(chunk, near, &mut more);
                (result, (near == 0 && !chunk.is_empty()).then(|| chunk.first()))
            }
            Node::Inner(branches) => {
                let (index, passed) = at.choose(branches);
                let child = branches.get_mut(index).expect("a branch that was chosen");
                let (result, new) = child.change(at.within(passed), copied, work);
                let (emptied, added) = (child.len == 0, new.len());
                if emptied {
                    branches.remove(index);
                }
                let next = index + usize::from(!emptied);
                branches.splice(next..next, new);
                if !emptied && added == 0 {
                    join(branches, index, copied);
                }
                if branches.len() > FANOUT {
                    let at_end = index + added + 1 >= branches.len();
                    let rest = branches.split_off(if at_end { FANOUT } else { FANOUT / 2 });
                    more = layer(rest);
                }
                (result, branches.first().filter(|_| index == 0).map(|it| it.first.clone()))
            }
        };
        self.recount();
        if let Some(first) = first {
            self.first = first;
        }
        (result, more)
    }

    /// Removes elements, not all; nodes of which nothing is left go to `remains`.
    fn remove(&mut self, from: usize, to: usize, copied: &mut usize, remains: &mut Remains<C>) {
        if from == 0 && to >= self.len {
            remains.nodes.push(Rc::clone(&self.node));
            self.len = 0;
            return;
        }
        let first = match self.node_mut(copied) {
            Node::Leaf(chunk) => {
                let rest = (to < chunk.len()).then(|| chunk.split_off(to));
                match (from, rest) {
                    (0, rest) => *chunk = rest.unwrap_or_default(),
                    (from, rest) => {
                        drop(chunk.split_off(from));
                        rest.iter().for_each(|rest| chunk.append(rest));
                    }
                }
                chunk.first()
            }
            Node::Inner(branches) => {
                let mut start = 0;
                for branch in branches.iter_mut() {
                    let (begin, end) = (start, start + branch.len);
                    start = end;
                    if begin < to && from < end {
                        branch.remove(from.saturating_sub(begin), to - begin, copied, remains);
                    }
                }
                branches.retain(|branch| branch.len > 0);
                branches.first().expect("not all were removed").first.clone()
            }
        };
        self.recount();
        self.first = first;
    }

    /// Appends a leaf at the end of what is below; the node that has to follow this one.
    fn push(&mut self, leaf: Branch<C>, copied: &mut usize) -> Option<Branch<C>> {
        let Node::Inner(branches) = self.node_mut(copied) else { return Some(leaf) };
        let last = branches.last_mut().expect("an inner node has branches");
        let mut next = None;
        if let Some(new) = last.push(leaf, copied) {
            if branches.len() < FANOUT {
                branches.push(new);
            } else {
                next = Some(Branch::inner(vec![new]));
            }
        }
        self.recount();
        next
    }
}

impl<C: Chunk> Node<C> {
    /// Elements in it, and memory of it and all that is below.
    fn count(&self) -> (usize, usize) {
        let own = size_of::<Branch<C>>() + 2 * size_of::<usize>() + size_of::<Node<C>>();
        match self {
            Node::Leaf(chunk) => (chunk.len(), own + chunk.bytes()),
            Node::Inner(branches) => {
                branches.iter().fold((0, own), |(len, bytes), it| (len + it.len, bytes + it.bytes))
            }
        }
    }

    /// Memory of a copy of it.
    fn own_bytes(&self) -> usize {
        size_of::<Node<C>>()
            + match self {
                Node::Leaf(chunk) => chunk.weight(),
                Node::Inner(branches) => size_of_val(branches.as_slice()),
            }
    }
}

/// Splits a full chunk: in the middle, but next to its end where the change was there, so that
/// chunks which are filled in order become full. What follows it goes to `more`.
fn split<C: Chunk>(chunk: &mut C, near: usize, more: &mut Vec<Branch<C>>) {
    if !chunk.is_full() {
        return;
    }
    let len = chunk.len();
    let at = match near {
        0 => 1,
        near if near + 1 >= len => len - 1,
        _ => len / 2,
    };
    let mut next = chunk.split_off(at);
    let middle = |chunk: &C| chunk.len() / 2;
    let (one, two) = match near.checked_sub(at) {
        Some(near) => (middle(chunk), near),
        None => (near, middle(&next)),
    };
    split(chunk, one, more);
    let mut after = Vec::new();
    split(&mut next, two, &mut after);
    more.push(Branch::leaf(next));
    more.append(&mut after);
}

/// Inner nodes over these branches.
fn layer<C: Chunk>(mut branches: Vec<Branch<C>>) -> Vec<Branch<C>> {
    let mut inner = Vec::new();
    while branches.len() > FANOUT {
        let rest = branches.split_off(FANOUT);
        inner.push(Branch::inner(branches));
        branches = rest;
    }
    inner.push(Branch::inner(branches));
    inner
}

/// Joins a sparse node with a neighbour if both together are not nearly full.
fn join<C: Chunk>(branches: &mut Vec<Branch<C>>, index: usize, copied: &mut usize) {
    let Some(branch) = branches.get(index) else { return };
    let max = branch.weight_max();
    if branch.weight() >= max / 4 {
        return;
    }
    for left in [Some(index), index.checked_sub(1)].into_iter().flatten() {
        let Some([one, two]) = branches.get_mut(left..left + 2) else { continue };
        if one.weight() + two.weight() > max / 4 * 3 {
            continue;
        }
        let next = Rc::clone(&two.node);
        match (one.node_mut(copied), &*next) {
            (Node::Leaf(chunk), Node::Leaf(next)) => chunk.append(next),
            (Node::Inner(branches), Node::Inner(next)) => branches.extend_from_slice(next),
            _ => unreachable!("neighbours are of one depth"),
        }
        one.recount();
        branches.remove(left + 1);
        return;
    }
}

#[cfg(test)]
mod tests;
