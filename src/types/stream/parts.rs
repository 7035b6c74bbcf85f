//! A stream as parts that a snapshot writes in order, as a loader puts it together, and as what has
//! to be freed.
//!
//! ```text
//! part    = sections, one after another
//! section = tag (1 byte), length of the body (varint), body
//!   0x01 entries    a chunk (chunk.rs); chunks come in order
//!   0x02 counters   last id, highest deleted id, entries added, entries there are
//!   0x03 group      name, last id, entries read + 1 (0: not known)
//!   0x04 consumers  group, (name, seen, active + 1 (0: never)) ...
//!   0x05 pending    group, (id, consumer, time, count) ...
//! ```
//!
//! Numbers are varints, an id is two of them, names have their lengths before them. The sections
//! of a stream come in this order, those of one group together.

use std::collections::VecDeque;

use crate::base::wire::{Reader, Writer};
use crate::types::sorted::Pairs;
use crate::types::stream::Stream;
use crate::types::stream::chunk::EntryChunk;
use crate::types::stream::group::{Consumer, Group, Name, Pending};
use crate::types::stream::id::StreamId;
use crate::types::tree::{Leaf, Leaves, Remains};

/// Bytes after which a part ends.
const PART: usize = 2048;

const ENTRIES: u8 = 1;
const COUNTERS: u8 = 2;
const GROUP: u8 = 3;
const CONSUMERS: u8 = 4;
const PENDING: u8 = 5;

/// A stream as it was when this was made; what was passed is let go.
#[derive(Debug)]
pub struct StreamParts {
    part: Vec<u8>,
    entries: Leaves<EntryChunk>,
    counters: Option<Counters>,
    groups: Leaves<Pairs<Name, Group>>,
    open: VecDeque<GroupParts>,
}

/// What is left of one group.
#[derive(Debug)]
struct GroupParts {
    name: Name,
    head: Option<Group>,
    consumers: Leaves<Pairs<Name, Consumer>>,
    pending: Leaves<Pairs<StreamId, Pending>>,
}

/// A stream that is being put together.
#[derive(Debug, Default)]
pub struct StreamBuilding {
    stream: Stream,
    counted: bool,
}

/// What is left of a stream or a group, to be freed bit by bit.
#[derive(Debug, Default)]
pub struct StreamRemains {
    stack: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Entries(Remains<EntryChunk>),
    Groups(Leaves<Pairs<Name, Group>>),
    Consumers(Leaves<Pairs<Name, Consumer>>),
    Pending(Remains<Pairs<StreamId, Pending>>),
    Ids(Remains<Pairs<StreamId, ()>>),
}

/// The numbers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counters {
    /// The highest id that an entry has had, or that was set.
    pub last: StreamId,
    /// The highest id of an entry that was deleted.
    pub max_deleted: StreamId,
    /// How many entries were ever added.
    pub added: u64,
    /// How many there are.
    pub len: u64,
}

/// One section.
#[derive(Debug)]
pub enum Section<'a> {
    /// A chunk of entries.
    Entries(EntryChunk),
    /// The numbers of the stream.
    Counters(Counters),
    /// A group without its consumers.
    Group {
        /// Its name.
        name: &'a [u8],
        /// The last id that was delivered.
        last: StreamId,
        /// How many entries it has read.
        read: Option<u64>,
    },
    /// Consumers: name, seen, active.
    Consumers {
        /// Their group.
        group: &'a [u8],
        /// What follows.
        all: Vec<(&'a [u8], u64, Option<u64>)>,
    },
    /// Deliveries that were not acknowledged.
    Pending {
        /// Their group.
        group: &'a [u8],
        /// What follows.
        all: Vec<(StreamId, Delivery<'a>)>,
    },
}

/// A delivery, as a section tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// Its consumer.
    pub consumer: &'a [u8],
    /// When it was delivered last.
    pub time: u64,
    /// How often it was delivered.
    pub count: u64,
}

/// The sections of a part; `None` for one that cannot be read, after which nothing follows.
pub fn sections(part: &[u8]) -> impl Iterator<Item = Option<Section<'_>>> {
    let mut reader = Reader::new(part);
    std::iter::from_fn(move || {
        if reader.is_empty() {
            return None;
        }
        let section = read_section(&mut reader);
        if section.is_none() {
            reader = Reader::new(&[]);
        }
        Some(section)
    })
}

fn read_section<'a>(reader: &mut Reader<'a>) -> Option<Section<'a>> {
    let (tag, mut body) = (reader.u8()?, Reader::new(reader.bytes()?));
    let body = &mut body;
    let section = match tag {
        ENTRIES => return EntryChunk::decode(body.rest()).map(Section::Entries),
        COUNTERS => {
            let (last, max_deleted) = (read_id(body)?, read_id(body)?);
            let (added, len) = (body.varint()?, body.varint()?);
            Section::Counters(Counters { last, max_deleted, added, len })
        }
        GROUP => {
            let (name, last) = (body.bytes()?, read_id(body)?);
            Section::Group { name, last, read: body.varint()?.checked_sub(1) }
        }
        CONSUMERS => {
            let (group, mut all) = (body.bytes()?, Vec::new());
            while !body.is_empty() {
                all.push((body.bytes()?, body.varint()?, body.varint()?.checked_sub(1)));
            }
            Section::Consumers { group, all }
        }
        PENDING => {
            let (group, mut all) = (body.bytes()?, Vec::new());
            while !body.is_empty() {
                let (id, consumer) = (read_id(body)?, body.bytes()?);
                let (time, count) = (body.varint()?, body.varint()?);
                all.push((id, Delivery { consumer, time, count }));
            }
            Section::Pending { group, all }
        }
        _ => return None,
    };
    body.is_empty().then_some(section)
}

fn read_id(reader: &mut Reader<'_>) -> Option<StreamId> {
    Some(StreamId { ms: reader.varint()?, seq: reader.varint()? })
}

fn write_id(w: &mut Writer<'_>, id: StreamId) {
    w.varint(id.ms);
    w.varint(id.seq);
}

impl StreamParts {
    /// The parts of a stream as it is now.
    pub fn new(stream: &Stream) -> StreamParts {
        StreamParts {
            part: Vec::new(),
            entries: stream.entries.clone().into_leaves(),
            counters: Some(Counters {
                last: stream.last,
                max_deleted: stream.max_deleted,
                added: stream.added,
                len: stream.len() as u64,
            }),
            groups: stream.groups.clone().into_leaves(),
            open: VecDeque::new(),
        }
    }

    /// The next part, and how many bytes were kept only for it.
    pub fn next_part(&mut self) -> Option<(&[u8], usize)> {
        self.part.clear();
        let mut released = 0;
        while self.part.len() < PART {
            let Some(bytes) = self.section() else { break };
            released += bytes;
        }
        (!self.part.is_empty()).then_some((&self.part[..], released))
    }

    /// Writes the next section; how many bytes were kept only for it.
    fn section(&mut self) -> Option<usize> {
        if let Some(leaf) = self.entries.next_leaf() {
            put(&mut self.part, ENTRIES, |body| {
                leaf.chunk().into_iter().for_each(|chunk| chunk.encode(body));
            });
            return Some(kept(&leaf, |chunk| chunk.memory()));
        }
        if let Some(counters) = self.counters.take() {
            put(&mut self.part, COUNTERS, |body| {
                let mut w = Writer::new(body);
                write_id(&mut w, counters.last);
                write_id(&mut w, counters.max_deleted);
                w.varint(counters.added);
                w.varint(counters.len);
            });
            return Some(0);
        }
        while let Some(group) = self.open.front_mut() {
            if let Some(released) = group.section(&mut self.part) {
                return Some(released);
            }
            self.open.pop_front();
        }
        let leaf = self.groups.next_leaf()?;
        let pairs = leaf.chunk().into_iter().flat_map(|chunk| chunk.pairs());
        self.open.extend(pairs.map(|(name, group)| GroupParts::new(name, group)));
        self.section()
    }

    /// What it has not come to.
    pub fn into_remains(self) -> StreamRemains {
        let mut stack =
            vec![Piece::Entries(self.entries.into_remains()), Piece::Groups(self.groups)];
        for group in self.open {
            stack.push(Piece::Consumers(group.consumers));
            stack.push(Piece::Pending(group.pending.into_remains()));
        }
        StreamRemains { stack }
    }
}

/// The bytes of a leaf that nobody else holds any more.
fn kept<C: crate::types::tree::Chunk>(leaf: &Leaf<C>, bytes: impl Fn(&C) -> usize) -> usize {
    leaf.chunk().filter(|_| leaf.is_last()).map_or(0, bytes)
}

fn put(part: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut body = Vec::new();
    fill(&mut body);
    let mut w = Writer::new(part);
    w.u8(tag);
    w.bytes(&body);
}

impl GroupParts {
    fn new(name: &Name, group: &Group) -> GroupParts {
        GroupParts {
            name: Name::clone(name),
            head: Some(Group::new(group.last, group.read)),
            consumers: group.consumers().clone().into_leaves(),
            pending: group.pending().clone().into_leaves(),
        }
    }

    fn section(&mut self, part: &mut Vec<u8>) -> Option<usize> {
        if let Some(head) = self.head.take() {
            put(part, GROUP, |body| {
                let mut w = Writer::new(body);
                w.bytes(&self.name);
                write_id(&mut w, head.last);
                w.varint(head.read.map_or(0, |read| read.saturating_add(1)));
            });
            return Some(0);
        }
        if let Some(leaf) = self.consumers.next_leaf() {
            put(part, CONSUMERS, |body| {
                let mut w = Writer::new(body);
                w.bytes(&self.name);
                for (name, one) in leaf.chunk().into_iter().flat_map(|chunk| chunk.pairs()) {
                    w.bytes(name);
                    w.varint(one.seen.get());
                    w.varint(one.active.map_or(0, |active| active.saturating_add(1)));
                }
            });
            return Some(0);
        }
        let leaf = self.pending.next_leaf()?;
        put(part, PENDING, |body| {
            let mut w = Writer::new(body);
            w.bytes(&self.name);
            for (id, one) in leaf.chunk().into_iter().flat_map(|chunk| chunk.pairs()) {
                write_id(&mut w, *id);
                w.bytes(&one.consumer);
                w.varint(one.time);
                w.varint(one.count);
            }
        });
        Some(kept(&leaf, |chunk| size_of_val(chunk.pairs())))
    }
}

impl StreamBuilding {
    /// Adds a part; nothing when it cannot be the next one of a stream.
    pub fn push(&mut self, part: &[u8]) -> Option<()> {
        sections(part).try_for_each(|section| self.add(section?))
    }

    fn add(&mut self, section: Section<'_>) -> Option<()> {
        let stream = &mut self.stream;
        match section {
            Section::Entries(_) | Section::Counters(_) if self.counted => None,
            Section::Entries(chunk) => stream.append_chunk(chunk).then_some(()),
            Section::Counters(counters) => {
                let Counters { last, max_deleted, added, len } = counters;
                (stream.last, stream.max_deleted, stream.added) = (last, max_deleted, added);
                self.counted = true;
                (stream.len() as u64 == len && stream.last_id() <= last).then_some(())
            }
            Section::Group { name, last, read } => {
                stream.add_group(name, Group::new(last, read)).then_some(())
            }
            Section::Consumers { group, all } => stream.edit_group(group, |group| {
                let mut all = all.into_iter();
                all.all(|(name, seen, active)| group.add_consumer(name, seen, active)).then_some(())
            })?,
            Section::Pending { group, all } => stream.edit_group(group, |group| {
                for (id, one) in all {
                    group.consumer(one.consumer)?;
                    if group.pending().get(&id).is_some() {
                        return None;
                    }
                    let consumer = Name::from(one.consumer);
                    group.assign(id, Pending { consumer, time: one.time, count: one.count });
                }
                Some(())
            })?,
        }
    }

    /// Entries that there are, and one more once the stream's numbers are there.
    pub fn elements(&self) -> u64 {
        self.stream.len() as u64 + u64::from(self.counted)
    }

    /// The stream.
    pub fn finish(self) -> Stream {
        self.stream
    }
}

impl StreamRemains {
    /// What is left of a stream.
    pub fn of_stream(stream: Stream) -> StreamRemains {
        let entries = Piece::Entries(stream.entries.into_remains());
        StreamRemains { stack: vec![entries, Piece::Groups(stream.groups.into_leaves())] }
    }

    /// What is left of a group.
    pub fn of_group(group: Group) -> StreamRemains {
        let mut remains = StreamRemains { stack: Vec::new() };
        remains.bury(group);
        remains
    }

    /// What is left of entries that were trimmed.
    pub fn of_entries(entries: Remains<EntryChunk>) -> StreamRemains {
        StreamRemains { stack: vec![Piece::Entries(entries)] }
    }

    fn bury(&mut self, group: Group) {
        let (pending, consumers) = group.into_parts();
        self.stack.push(Piece::Pending(pending.into_remains()));
        self.stack.push(Piece::Consumers(consumers.into_leaves()));
    }

    /// Frees a node that nobody else holds; how many bytes, or nothing at the end.
    pub fn free_one(&mut self) -> Option<usize> {
        loop {
            let mut piece = self.stack.pop()?;
            let freed = match &mut piece {
                Piece::Entries(remains) => remains.free_one(),
                Piece::Pending(remains) => remains.free_one(),
                Piece::Ids(remains) => remains.free_one(),
                Piece::Groups(leaves) => match leaves.next_leaf() {
                    None => None,
                    Some(leaf) => {
                        self.stack.push(piece);
                        let groups = leaf.chunk().into_iter().flat_map(|chunk| chunk.pairs());
                        groups.for_each(|(_, group)| self.bury(group.clone()));
                        return Some(0);
                    }
                },
                Piece::Consumers(leaves) => match leaves.next_leaf() {
                    None => None,
                    Some(leaf) => {
                        self.stack.push(piece);
                        let all = leaf.chunk().into_iter().flat_map(|chunk| chunk.pairs());
                        let ids = all.map(|(_, one)| one.pending().clone().into_remains());
                        self.stack.extend(ids.map(Piece::Ids));
                        return Some(0);
                    }
                },
            };
            if freed.is_some() {
                self.stack.push(piece);
                return freed;
            }
        }
    }
}

#[cfg(test)]
mod tests;
