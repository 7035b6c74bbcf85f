//! A stream: entries in the order of their ids, and consumer groups. A clone costs O(1) and stays
//! as it was.

pub mod chunk;
pub mod group;
pub mod id;
pub mod parts;

use crate::types::sorted::{Held, Map};
use crate::types::stream::chunk::{Entry, EntryChunk, Nodes};
use crate::types::stream::group::{Group, Name};
use crate::types::stream::id::StreamId;
use crate::types::stream::parts::StreamRemains;
use crate::types::tree::{At, Chunk, Spot, Tree};

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    entries: Tree<EntryChunk>,
    /// The highest id that an entry has had, or that was set.
    pub last: StreamId,
    /// The highest id of an entry that was deleted (not trimmed).
    pub max_deleted: StreamId,
    /// How many entries were ever added.
    pub added: u64,
    groups: Map<Name, Group>,
    copied: usize,
    /// The number under which a snapshot writes it, or has written it.
    pub fragment: Option<u64>,
}

/// What a trim leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trim {
    /// At most so many entries.
    MaxLen(u64),
    /// No entry below this id.
    MinId(StreamId),
}

/// How exact a trim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exactness {
    /// To the letter.
    Exact,
    /// Only whole chunks, and at most so many entries (0: any number).
    Chunks(u64),
}

/// Entries of a range in order.
#[derive(Clone, Debug)]
pub struct Range<'a> {
    spot: Option<Spot<'a, EntryChunk>>,
    entries: chunk::Entries<'a>,
    start: StreamId,
    end: StreamId,
}

/// Entries of a range, the last one first.
#[derive(Clone, Debug)]
pub struct Backward<'a> {
    spot: Option<Spot<'a, EntryChunk>>,
    entries: Vec<Entry<'a>>,
    start: StreamId,
}

impl Stream {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of memory that it holds beside itself. O(1).
    pub fn bytes(&self) -> usize {
        self.entries.bytes() + self.groups.bytes()
    }

    /// Number of chunks. O(chunks).
    pub fn chunk_count(&self) -> usize {
        self.entries.chunks().count()
    }

    /// The id of the first entry; 0-0 without one.
    pub fn first_id(&self) -> StreamId {
        let spot = self.entries.seek(At::Position(0));
        spot.map_or(StreamId::MIN, |spot| spot.chunk().first_id())
    }

    /// The id of the last entry; 0-0 without one.
    pub fn last_id(&self) -> StreamId {
        let spot = self.entries.seek(At::Position(usize::MAX));
        spot.map_or(StreamId::MIN, |spot| spot.chunk().last_id())
    }

    /// Is there an entry with this id?
    pub fn contains(&self, id: StreamId) -> bool {
        self.range(id, id).next().is_some()
    }

    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: StreamId, end: StreamId) -> Range<'_> {
        let spot = self.entries.seek(At::Key(&start));
        let entries = spot.as_ref().map(|spot| spot.chunk().entries()).unwrap_or_default();
        Range { spot, entries, start, end }
    }

    /// The entries from `end` down to `start`, both included.
    pub fn backward(&self, start: StreamId, end: StreamId) -> Backward<'_> {
        let spot = self.entries.seek(At::Key(&end));
        let up_to = |entry: &Entry<'_>| entry.id <= end;
        let chunk = spot.as_ref().map(|spot| spot.chunk().entries()).unwrap_or_default();
        Backward { entries: chunk.take_while(up_to).collect(), spot, start }
    }

    /// How many entries there are from `start` to `end`, both included. O(log n).
    pub fn count(&self, start: StreamId, end: StreamId) -> usize {
        let below_end = end.next().map_or(self.len(), |after| self.rank(after));
        below_end.saturating_sub(self.rank(start))
    }

    /// How many entries have lower ids.
    fn rank(&self, id: StreamId) -> usize {
        let Some(spot) = self.entries.seek(At::Key(&id)) else { return 0 };
        let within = if spot.chunk().last_id() < id {
            spot.chunk().len()
        } else {
            spot.chunk().entries().take_while(|entry| entry.id < id).count()
        };
        spot.start() + within
    }

    /// Adds an entry whose id is above `last`; its fields and values have `size` bytes.
    pub fn append<'f>(
        &mut self,
        id: StreamId,
        pairs: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])> + Clone,
        size: usize,
        nodes: Nodes,
    ) {
        const END: At<'_, StreamId> = At::Position(usize::MAX);
        let tail = self.entries.seek(END).map(|spot| spot.chunk().has_room(nodes, size));
        match tail {
            Some(true) => self.entries.edit(END, |chunk, _| {
                chunk.push(id, pairs, size);
                (chunk.len() - 1, ())
            }),
            full => {
                if full.is_some() {
                    self.entries.edit(END, |chunk, _| {
                        chunk.shrink();
                        (chunk.len() - 1, ())
                    });
                }
                let mut chunk = EntryChunk::default();
                chunk.push(id, pairs, size);
                self.entries.push_chunk(chunk);
            }
        }
        self.last = id;
        self.added += 1;
    }

    /// Adds a chunk whose entries have higher ids than all others; false when they have not.
    pub fn append_chunk(&mut self, chunk: EntryChunk) -> bool {
        let follows = self.is_empty() || self.last_id() < chunk.first_id();
        if follows && !chunk.is_empty() {
            self.entries.push_chunk(chunk);
        }
        follows
    }

    /// Deletes an entry; false when there is none with this id.
    pub fn delete(&mut self, id: StreamId) -> bool {
        let found = self.contains(id);
        if found {
            self.entries.edit(At::Key(&id), |chunk, _| {
                chunk.retain(|entry| entry != id);
                (0, ())
            });
            self.max_deleted = self.max_deleted.max(id);
        }
        found
    }

    /// How many entries a trim removes from the front. O(log n), and with `Exactness::Chunks` O(c)
    /// for c chunks that go.
    pub fn surplus(&self, trim: Trim, exactness: Exactness) -> usize {
        let surplus = match trim {
            Trim::MaxLen(max) => {
                self.len().saturating_sub(usize::try_from(max).unwrap_or(usize::MAX))
            }
            Trim::MinId(id) => self.rank(id),
        };
        let limit = match exactness {
            Exactness::Exact => return surplus,
            Exactness::Chunks(0) => u64::MAX,
            Exactness::Chunks(limit) => limit,
        };
        let mut gone = 0;
        for chunk in self.entries.chunks() {
            let after = gone + chunk.len();
            if after > surplus || after as u64 > limit {
                break;
            }
            gone = after;
        }
        gone
    }

    /// Removes so many entries from the front, in O(log n); what has to be freed.
    pub fn cut_front(&mut self, count: usize) -> StreamRemains {
        StreamRemains::of_entries(self.entries.remove(0, count))
    }

    /// Bytes that changes have copied since this was last asked, because a clone shares them.
    pub fn take_copied(&mut self) -> usize {
        let own = std::mem::take(&mut self.copied);
        own + self.entries.take_copied() + self.groups.take_copied()
    }

    /// The groups by their names.
    pub fn groups(&self) -> &Map<Name, Group> {
        &self.groups
    }

    /// One group.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(&Name::from(name))
    }

    /// One group, for changes.
    pub fn edit_group<R>(&mut self, name: &[u8], work: impl FnOnce(&mut Group) -> R) -> Option<R> {
        let edited = self.groups.edit(&Name::from(name), |group| {
            let result = work(group);
            (result, group.take_copied())
        });
        let (result, copied) = edited?;
        self.copied += copied;
        Some(result)
    }

    /// Adds a group; false when there is one of this name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let name = Name::from(name);
        let missing = self.groups.get(&name).is_none();
        if missing {
            self.groups.insert(name, group);
        }
        missing
    }

    /// Takes a group out.
    pub fn remove_group(&mut self, name: &[u8]) -> Option<Group> {
        self.groups.remove(&Name::from(name))
    }

    /// Is the last deleted entry at this id or behind it, among those that are left?
    fn has_gap_after(&self, id: StreamId) -> bool {
        let gap = self.max_deleted;
        !self.is_empty() && gap != StreamId::MIN && self.first_id() <= gap && id <= gap
    }

    /// How many entries were added up to this id, where that follows from the counters.
    fn added_up_to(&self, id: StreamId) -> Option<u64> {
        if self.added == 0 || self.is_empty() && id <= self.last {
            return Some(self.added);
        }
        if id >= self.last {
            return (id == self.last).then_some(self.added);
        }
        let first = self.first_id();
        let before = self.added.wrapping_sub(self.len() as u64);
        let whole = self.max_deleted == StreamId::MIN || self.max_deleted < first;
        match id.cmp(&first) {
            std::cmp::Ordering::Less if whole => Some(before),
            std::cmp::Ordering::Equal if whole => Some(before.wrapping_add(1)),
            _ => None,
        }
    }

    /// How many entries a group has still to read, if that is known.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        let read = match group.read {
            _ if self.added == 0 => Some(self.added),
            Some(read) if !self.has_gap_after(group.last) => Some(read),
            _ => self.added_up_to(group.last),
        };
        read.map(|read| (self.added as i64).wrapping_sub(read as i64))
    }

    /// What a group's count of entries read is once it has got this entry too.
    pub fn read_after(&self, read: Option<u64>, id: StreamId) -> Option<u64> {
        match read {
            Some(read) if !self.has_gap_after(id) => Some(read.wrapping_add(1)),
            _ if self.added > 0 => self.added_up_to(id),
            read => read,
        }
    }
}

impl<'a> Iterator for Range<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            match self.entries.next() {
                Some(entry) if entry.id > self.end => self.spot = None,
                Some(entry) if entry.id < self.start => continue,
                Some(entry) => return Some(entry),
                None => {}
            }
            self.spot = self.spot.take()?.forward();
            self.entries = self.spot.as_ref()?.chunk().entries();
        }
    }
}

impl<'a> Iterator for Backward<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        loop {
            if let Some(entry) = self.entries.pop() {
                if entry.id >= self.start {
                    return Some(entry);
                }
                self.spot = None;
                self.entries.clear();
            }
            self.spot = self.spot.take()?.backward();
            self.entries = self.spot.as_ref()?.chunk().entries().collect();
        }
    }
}

impl Held for Stream {
    fn extra(&self) -> usize {
        self.bytes()
    }
}

#[cfg(test)]
mod tests;
