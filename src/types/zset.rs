//! A sorted set: small ones are one packed buffer; big ones a table of members with their scores,
//! and a tree of packed chunks in the order of scores.

use std::ops::Range;

use crate::base::table::{KeyHasher, Meta, New, Stored, Table, View};
use crate::types::tree::{At, Chunk, Spot, Tree};
use crate::types::value::Encoding;
use crate::types::zset::packed::{COUNT_MAX, Entries, Key, Packed, order};
use crate::types::zset::score::{decode, encode};

pub mod packed;
pub mod range;
pub mod score;

/// Up to what a sorted set is small: zset-max-listpack-entries and zset-max-listpack-value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZsetLimits {
    /// Members.
    pub entries: usize,
    /// Bytes of a member.
    pub value: usize,
}

/// A sorted set.
#[derive(Debug)]
pub enum Zset {
    /// A small one.
    Packed(Packed),
    /// A big one; it never becomes small again.
    Big(Box<BigZset>),
}

/// A big sorted set. A snapshot in progress holds a clone of its tree.
#[derive(Debug)]
pub struct BigZset {
    scores: Table<()>,
    tree: Tree<Packed>,
}

/// What setting a score came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The member is new.
    New,
    /// It had another score.
    Moved,
    /// It has that score already.
    None,
}

/// Members and scores upwards.
#[derive(Debug)]
pub struct Upwards<'a> {
    entries: Entries<'a>,
    spot: Option<Spot<'a, Packed>>,
}

/// Members and scores downwards.
#[derive(Debug)]
pub struct Downwards<'a> {
    entries: Vec<(f64, &'a [u8])>,
    spot: Option<Spot<'a, Packed>>,
}

impl Default for ZsetLimits {
    fn default() -> ZsetLimits {
        ZsetLimits { entries: 128, value: 64 }
    }
}

impl Default for Zset {
    fn default() -> Zset {
        Zset::Packed(Packed::default())
    }
}

impl Zset {
    /// A set of these members, which come in order.
    pub fn of_sorted<'m>(
        members: impl ExactSizeIterator<Item = (f64, &'m [u8])> + Clone,
        limits: ZsetLimits,
        hasher: &KeyHasher,
    ) -> Zset {
        let mut packed = Packed::default();
        let longest = members.clone().map(|(_, member)| member.len()).max().unwrap_or(0);
        if members.len() <= limits.entries.min(COUNT_MAX) && longest <= limits.value {
            members.for_each(|(score, member)| packed.push(score + 0.0, member));
            return Zset::Packed(packed);
        }
        let mut big = BigZset::new(hasher.clone(), members.len());
        for (score, member) in members {
            if packed.would_be_full(score, member) {
                big.push_chunk(std::mem::take(&mut packed));
            }
            packed.push(score, member);
        }
        big.push_chunk(packed);
        Zset::Big(Box::new(big))
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        match self {
            Zset::Packed(packed) => packed.len(),
            Zset::Big(big) => big.tree.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Zset::Packed(packed) => packed.bytes(),
            Zset::Big(big) => big.bytes(),
        }
    }

    /// What OBJECT ENCODING calls it.
    pub fn encoding(&self) -> Encoding {
        match self {
            Zset::Packed(_) => Encoding::Listpack,
            Zset::Big(_) => Encoding::Skiplist,
        }
    }

    /// The score of a member.
    pub fn score(&self, member: &[u8]) -> Option<f64> {
        match self {
            Zset::Packed(packed) => packed.find(member).map(|found| found.1),
            Zset::Big(big) => big.score(member),
        }
    }

    /// How many members lie before this one, and its score.
    pub fn rank(&self, member: &[u8]) -> Option<(usize, f64)> {
        match self {
            Zset::Packed(packed) => packed.find(member),
            Zset::Big(big) => {
                let score = big.score(member)?;
                Some((self.before(score, member), score))
            }
        }
    }

    /// How many members lie before this score and member.
    pub fn before(&self, score: f64, member: &[u8]) -> usize {
        match self {
            Zset::Packed(packed) => packed.before(score, member),
            Zset::Big(big) => {
                let key = Key { score, member: member.into() };
                let spot = big.tree.seek(At::Key(&key));
                spot.map_or(0, |spot| spot.start() + spot.chunk().before(score, member))
            }
        }
    }

    /// The first rank from `from` on whose member has not what those before it have.
    pub fn leading(&self, from: usize, has: impl Fn(&[u8]) -> bool) -> usize {
        let member_has = |rank| self.upwards(rank).next().is_some_and(|entry| has(entry.1));
        match self {
            Zset::Packed(packed) => {
                let leading = packed.iter_from(from).take_while(|entry| has(entry.1));
                from + leading.count()
            }
            Zset::Big(big) => {
                let (mut low, mut high) = (from, big.len());
                while low < high {
                    let middle = usize::midpoint(low, high);
                    if member_has(middle) { low = middle + 1 } else { high = middle }
                }
                low
            }
        }
    }

    /// Members and scores from this rank on.
    pub fn upwards(&self, rank: usize) -> Upwards<'_> {
        match self {
            Zset::Packed(packed) => Upwards { entries: packed.iter_from(rank), spot: None },
            Zset::Big(big) => match big.tree.seek(At::Position(rank)) {
                Some(spot) => {
                    let entries = spot.chunk().iter_from(rank - spot.start().min(rank));
                    Upwards { entries, spot: Some(spot) }
                }
                None => Upwards { entries: Entries::default(), spot: None },
            },
        }
    }

    /// Members and scores from this rank down to the first.
    pub fn downwards(&self, rank: usize) -> Downwards<'_> {
        match self {
            Zset::Packed(packed) => {
                Downwards { entries: packed.iter().take(rank + 1).collect(), spot: None }
            }
            Zset::Big(big) => match big.tree.seek(At::Position(rank)) {
                Some(spot) => {
                    let count = (rank + 1).saturating_sub(spot.start());
                    let entries = spot.chunk().iter().take(count).collect();
                    Downwards { entries, spot: Some(spot) }
                }
                None => Downwards { entries: Vec::new(), spot: None },
            },
        }
    }

    /// A member chosen by `dice`, a random number; nothing when there is none.
    pub fn random(&self, dice: u64) -> Option<(f64, &[u8])> {
        let rank = dice.checked_rem(self.len() as u64)?;
        self.upwards(rank as usize).next()
    }

    /// Visits about `count` members from `cursor` (0 at first) on; returns the next cursor, 0 at
    /// the end. A small one is returned whole. What is there throughout is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(f64, &[u8])) -> u64 {
        match self {
            Zset::Packed(packed) => {
                packed.iter().for_each(|(score, member)| each(score, member));
                0
            }
            Zset::Big(big) => {
                big.scores.scan(cursor, count, &mut |view| each(score_of(&view), view.key))
            }
        }
    }

    /// A copy of its own, in time and memory in proportion to the number of members.
    pub fn copy(&self, hasher: &KeyHasher) -> Zset {
        match self {
            Zset::Packed(packed) => Zset::Packed(packed.clone()),
            Zset::Big(big) => Zset::Big(Box::new(big.copy(hasher.clone()))),
        }
    }

    /// Gives a member a score, which is not NaN. A small set that may not stay small becomes big.
    pub fn set(
        &mut self,
        score: f64,
        member: &[u8],
        limits: ZsetLimits,
        hasher: &KeyHasher,
    ) -> Change {
        if let Zset::Packed(packed) = self {
            // As in Redis, only a big set tells -0 from 0.
            let score = score + 0.0;
            let found = packed.find(member);
            if let Some((at, old)) = found {
                if old == score {
                    return Change::None;
                }
                packed.remove(at..at + 1);
                packed.insert(score, member);
                return Change::Moved;
            }
            let fits = packed.len() < limits.entries.min(COUNT_MAX) && member.len() <= limits.value;
            if fits {
                packed.insert(score, member);
                return Change::New;
            }
            let mut big = BigZset::new(hasher.clone(), 0);
            big.adopt(std::mem::take(packed));
            *self = Zset::Big(Box::new(big));
        }
        match self {
            Zset::Big(big) => big.set(score, member),
            Zset::Packed(_) => Change::None,
        }
    }

    /// Removes a member; says whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Zset::Packed(packed) => {
                let found = packed.find(member);
                found.is_some_and(|(at, _)| {
                    packed.remove(at..at + 1);
                    true
                })
            }
            Zset::Big(big) => big.remove(member),
        }
    }

    /// Removes the members of these ranks, which are there.
    pub fn remove_range(&mut self, ranks: Range<usize>) {
        match self {
            Zset::Packed(packed) => packed.remove(ranks),
            Zset::Big(big) => big.remove_range(ranks),
        }
    }
}

impl BigZset {
    /// An empty one that is about to get `expected` members.
    pub fn new(hasher: KeyHasher, expected: usize) -> BigZset {
        BigZset { scores: Table::with_expected(hasher, expected), tree: Tree::default() }
    }

    /// Number of members.
    pub fn len(&self) -> usize {
        self.tree.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        size_of::<BigZset>() + self.scores.footprint() + self.tree.bytes()
    }

    /// The members in order, for a snapshot's clone.
    pub fn tree(&self) -> &Tree<Packed> {
        &self.tree
    }

    /// Notes the number under which a snapshot writes it.
    pub fn set_fragment(&mut self, fragment: u64) {
        self.tree.fragment = Some(fragment);
    }

    /// Bytes that changes have copied since this was last asked, because a snapshot shares them.
    pub fn take_copied(&mut self) -> usize {
        self.tree.take_copied()
    }

    /// A copy with a table of its own; the tree is shared until one of the two changes.
    fn copy(&self, hasher: KeyHasher) -> BigZset {
        let mut copy = BigZset::new(hasher, self.len());
        copy.tree = self.tree.clone();
        for chunk in self.tree.chunks() {
            copy.note(chunk);
        }
        copy
    }

    /// Adds a chunk whose members follow all others; says whether that is so, and whether none of
    /// them was there.
    pub fn push_chunk(&mut self, chunk: Packed) -> bool {
        let last = self.tree.len().checked_sub(1);
        let last = last.and_then(|last| self.tree.seek(At::Position(last)));
        let last = last.and_then(|spot| spot.chunk().iter().last());
        let (Some(first), false) = (chunk.iter().next(), chunk.is_full()) else { return false };
        if last.is_some_and(|last| order(last, first).is_ge()) || !self.note(&chunk) {
            return false;
        }
        self.tree.push_chunk(chunk);
        true
    }

    /// The table and the tree, to be freed bit by bit.
    pub fn into_parts(self) -> (Table<()>, Tree<Packed>) {
        (self.scores, self.tree)
    }

    fn score(&self, member: &[u8]) -> Option<f64> {
        let place = self.scores.find(self.scores.hash(member), member)?;
        Some(score_of(&self.scores.view(place)))
    }

    fn set(&mut self, score: f64, member: &[u8]) -> Change {
        let hash = self.scores.hash(member);
        let (code, len) = encode(score);
        let code = New::Inline(code.get(..len).unwrap_or_default());
        let change = match self.scores.find(hash, member) {
            Some(place) => {
                let old = score_of(&self.scores.view(place));
                if old == score {
                    return Change::None;
                }
                self.cut_out(old, member);
                self.scores.replace(place, code, Meta::default());
                Change::Moved
            }
            None => {
                self.scores.insert(hash, member, code, Meta::default());
                Change::New
            }
        };
        let key = Key { score, member: member.into() };
        self.tree.edit(At::Key(&key), |chunk, _| (chunk.insert(score, member), ()));
        change
    }

    fn remove(&mut self, member: &[u8]) -> bool {
        let Some(place) = self.scores.find(self.scores.hash(member), member) else { return false };
        let score = score_of(&self.scores.view(place));
        self.scores.remove(place);
        self.cut_out(score, member);
        true
    }

    fn remove_range(&mut self, ranks: Range<usize>) {
        let mut left = ranks.len();
        while left > 0 {
            let scores = &mut self.scores;
            let removed = self.tree.edit(At::Position(ranks.start), |chunk, at| {
                let end = chunk.len().min(at + left);
                for (_, member) in chunk.iter_from(at).take(end - at) {
                    if let Some(place) = scores.find(scores.hash(member), member) {
                        scores.remove(place);
                    }
                }
                chunk.remove(at..end);
                (at, end - at)
            });
            // Nothing is left there only if the ranks reach beyond the end.
            left = if removed == 0 { 0 } else { left - removed };
        }
    }

    /// Takes a member out of the tree.
    fn cut_out(&mut self, score: f64, member: &[u8]) {
        let key = Key { score, member: member.into() };
        self.tree.edit(At::Key(&key), |chunk, _| {
            let at = chunk.before(score, member);
            chunk.remove(at..at + 1);
            (at, ())
        });
    }

    /// Takes all members of a small set over; it has none yet.
    fn adopt(&mut self, packed: Packed) {
        self.note(&packed);
        if !packed.is_empty() {
            self.tree.edit(At::Position(0), |chunk, _| {
                *chunk = packed;
                (chunk.len() / 2, ())
            });
        }
    }

    /// Puts the members of a chunk into the table; says whether all of them are new.
    fn note(&mut self, chunk: &Packed) -> bool {
        chunk.iter().all(|(score, member)| {
            let hash = self.scores.hash(member);
            if self.scores.find(hash, member).is_some() {
                return false;
            }
            let (code, len) = encode(score);
            let code = New::Inline(code.get(..len).unwrap_or_default());
            self.scores.insert(hash, member, code, Meta::default());
            true
        })
    }
}

impl<'a> Iterator for Upwards<'a> {
    type Item = (f64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Some(entry);
            }
            let spot = self.spot.take()?.forward()?;
            self.entries = spot.chunk().iter();
            self.spot = Some(spot);
        }
    }
}

impl<'a> Iterator for Downwards<'a> {
    type Item = (f64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(entry) = self.entries.pop() {
                return Some(entry);
            }
            let spot = self.spot.take()?.backward()?;
            self.entries = spot.chunk().iter().collect();
            self.spot = Some(spot);
        }
    }
}

fn score_of(view: &View<'_, ()>) -> f64 {
    let Stored::Inline(code) = view.value else { return 0.0 };
    decode(code).map_or(0.0, |decoded| decoded.0)
}

#[cfg(test)]
mod tests;
