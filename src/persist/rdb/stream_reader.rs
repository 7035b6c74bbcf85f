//! Reads a stream, part by part:
//!
//! ```text
//! stream    = count, (text of 16 bytes, listpack), entries, last id,
//!             [2] first id, [2] greatest id that was deleted, [2] entries ever added,
//!             count, groups
//! group     = name, last id, [2] entries read, count, pending, count, consumers
//! pending   = id of 16 bytes, time of delivery, deliveries
//! consumer  = name, seen, [3] active, count, ids of 16 bytes
//! ```
//!
//! The 16 bytes before a listpack are the id that those of its entries are told from. The listpack
//! begins with the number of entries, that of deleted ones, the number of fields and their names,
//! and 0. An entry is: flags (1: deleted; 2: with those names), what to add to the id (two
//! numbers), unless flag 2 is set the number of fields, names and values (else only values), and
//! the number of elements that it takes without this last one.
//!
//! Valid if and only if entries come in the order of their ids, their number is right, names of
//! groups and of consumers within a group occur once, and every pending entry has one consumer.

use std::collections::{BTreeMap, BTreeSet};

use crate::persist::rdb::packed::{Cursor, Entry, Packing};
use crate::persist::rdb::scalar::{Id, Source, Stop, Text, ensure};

/// A part of a stream, in this order; each consumer after its group, pending entries after their
/// consumer.
#[derive(Clone, Debug, PartialEq)]
pub enum StreamPart<'a> {
    /// An entry.
    Entry(Id, Vec<(Text<'a>, Text<'a>)>),
    /// What is known of the stream beside its entries.
    Meta(Meta),
    /// A group of consumers.
    Group(GroupPart<'a>),
    /// A consumer of the last group.
    Consumer(ConsumerPart<'a>),
    /// An entry that the last consumer has not acknowledged.
    Pending(Pending),
}

/// What is known of a stream beside its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Entries.
    pub length: u64,
    /// The last id that was given.
    pub last: Id,
    /// The greatest id that was deleted.
    pub deleted: Id,
    /// Entries that were ever added.
    pub added: u64,
}

/// A group of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPart<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// The last id that was delivered.
    pub last: Id,
    /// Entries that were read, if that is known.
    pub read: Option<u64>,
}

/// A consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerPart<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// When it last tried to read, in milliseconds.
    pub seen: i64,
    /// When it last read something; -1 for never or unknown.
    pub active: i64,
}

/// An entry that waits for its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The entry.
    pub id: Id,
    /// When it was delivered, in milliseconds.
    pub time: i64,
    /// How often.
    pub count: u64,
}

/// Which form of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Redis 5 and 6.
    One,
    /// Redis 7.0.
    Two,
    /// Redis 7.2 and later.
    Three,
}

/// Reads one stream.
#[derive(Debug)]
pub struct StreamReader {
    version: Version,
    state: State,
    blob: Vec<u8>,
    node: Node,
    entries: u64,
    first: Option<Id>,
    last: Option<Id>,
    length: u64,
    groups: BTreeSet<Vec<u8>>,
    consumers: BTreeSet<Vec<u8>>,
    pending: BTreeMap<Id, (i64, u64)>,
}

/// The listpack that is being read.
#[derive(Debug, Default)]
struct Node {
    cursor: Option<Cursor>,
    base: Id,
    live: u64,
    deleted: u64,
    fields: Vec<(usize, usize)>,
    names: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Start,
    /// So many listpacks follow.
    Nodes(u64),
    Entries(u64),
    Meta,
    GroupCount,
    Groups(u64),
    /// Pending entries of the group; so many groups follow.
    PendingCount(u64),
    Pending(u64, u64),
    ConsumerCount(u64),
    Consumers(u64, u64),
    /// Pending entries of the consumer; so many consumers and groups follow.
    OwnCount(u64, u64),
    Own(u64, u64, u64),
    Done,
}

const BAD: Stop = Stop::Bad("a stream that holds together");

impl StreamReader {
    /// A reader at the first byte behind the type.
    pub fn new(version: Version) -> StreamReader {
        StreamReader {
            version,
            state: State::Start,
            blob: Vec::new(),
            node: Node::default(),
            entries: 0,
            first: None,
            last: None,
            length: 0,
            groups: BTreeSet::new(),
            consumers: BTreeSet::new(),
            pending: BTreeMap::new(),
        }
    }

    /// The next part; nothing at the end.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        source: &mut Source<'i>,
    ) -> Result<Option<StreamPart<'a>>, Stop> {
        while self.advance(source)? {
            source.commit();
        }
        let (part, after) = match self.state {
            State::Entries(_) => return self.entry().map(Some),
            State::Done => return Ok(None),
            State::Meta => (self.meta(source)?, State::GroupCount),
            State::Groups(left) => (self.group(source)?, State::PendingCount(left - 1)),
            State::Consumers(left, groups) => {
                (self.consumer(source)?, State::OwnCount(left - 1, groups))
            }
            State::Own(left, consumers, groups) => {
                let id = source.raw_id()?;
                let (time, count) = self.pending.remove(&id).ok_or(BAD)?;
                let part = StreamPart::Pending(Pending { id, time, count });
                (part, State::Own(left - 1, consumers, groups))
            }
            _ => return Err(BAD),
        };
        self.state = after;
        source.commit();
        Ok(Some(part))
    }

    /// One step that gives no part; says whether another one may follow.
    fn advance(&mut self, source: &mut Source<'_>) -> Result<bool, Stop> {
        self.state = match self.state {
            State::Start => State::Nodes(source.length()?),
            State::Nodes(0) => State::Meta,
            State::Nodes(left) => {
                self.open(source)?;
                State::Entries(left - 1)
            }
            State::Entries(left) => {
                let Some(cursor) = &mut self.node.cursor else { return Err(BAD) };
                let names = (&self.node.names[..], &self.node.fields[..]);
                let deleted = &mut self.node.deleted;
                if !skip_deleted(cursor, &self.blob, names, deleted)? {
                    return Ok(false);
                }
                ensure(self.node.live == 0 && self.node.deleted == 0, BAD)?;
                State::Nodes(left)
            }
            State::GroupCount => State::Groups(source.length()?),
            State::Groups(0) => State::Done,
            State::PendingCount(groups) => State::Pending(source.length()?, groups),
            State::Pending(0, groups) => State::ConsumerCount(groups),
            State::Pending(left, groups) => {
                let (id, time, count) = (source.raw_id()?, source.millis()?, source.length()?);
                ensure(self.pending.insert(id, (time, count)).is_none(), BAD)?;
                State::Pending(left - 1, groups)
            }
            State::ConsumerCount(groups) => State::Consumers(source.length()?, groups),
            State::Consumers(0, groups) => {
                ensure(self.pending.is_empty(), BAD)?;
                self.consumers.clear();
                State::Groups(groups)
            }
            State::OwnCount(consumers, groups) => State::Own(source.length()?, consumers, groups),
            State::Own(0, consumers, groups) => State::Consumers(consumers, groups),
            State::Meta | State::Groups(_) | State::Consumers(..) => return Ok(false),
            State::Own(..) | State::Done => return Ok(false),
        };
        Ok(true)
    }

    /// A listpack with what is before it, as far as its entries.
    fn open(&mut self, source: &mut Source<'_>) -> Result<(), Stop> {
        let (base, blob) = (source.text()?, source.text()?);
        let mut of_base = Source::new(&base);
        ensure(base.len() == 16, BAD)?;
        let base = of_base.raw_id()?;
        self.blob = blob.into_owned();
        let mut cursor = Cursor::new(Packing::Listpack, &self.blob)?;
        let live = cursor.next(&self.blob)?.unsigned()?;
        let deleted = cursor.next(&self.blob)?.unsigned()?;
        let count = cursor.next(&self.blob)?.unsigned()?;
        let mut node = Node { cursor: None, base, live, deleted, ..Node::default() };
        for _ in 0..count {
            let start = node.names.len();
            node.names.extend_from_slice(&cursor.next(&self.blob)?.text());
            node.fields.push((start, node.names.len()));
        }
        ensure(cursor.next(&self.blob)? == Entry::Number(0), BAD)?;
        node.cursor = Some(cursor);
        self.node = node;
        Ok(())
    }

    /// The entry that `skip_deleted` stopped before.
    fn entry(&mut self) -> Result<StreamPart<'_>, Stop> {
        let Self { node, blob, .. } = self;
        let Some(cursor) = &mut node.cursor else { return Err(BAD) };
        let (_, id, pairs) = read_entry(cursor, blob, node.base, (&node.names, &node.fields))?;
        ensure(self.last.is_none_or(|last| last < id), BAD)?;
        node.live = node.live.checked_sub(1).ok_or(BAD)?;
        self.first = self.first.or(Some(id));
        self.last = Some(id);
        self.entries += 1;
        Ok(StreamPart::Entry(id, pairs))
    }

    fn meta(&mut self, source: &mut Source<'_>) -> Result<StreamPart<'static>, Stop> {
        let (length, last) = (source.length()?, source.id()?);
        let mut meta = Meta { length, last, deleted: (0, 0), added: length };
        if self.version >= Version::Two {
            source.id()?;
            meta.deleted = source.id()?;
            meta.added = source.length()?;
        }
        let behind = self.last.is_none_or(|of_entry| of_entry <= last);
        ensure(length == self.entries && behind, BAD)?;
        self.length = length;
        self.last = Some(last);
        Ok(StreamPart::Meta(meta))
    }

    fn group<'a>(&mut self, source: &mut Source<'a>) -> Result<StreamPart<'a>, Stop> {
        let (name, last) = (source.text()?, source.id()?);
        // -1 stands for unknown.
        let read = match self.version {
            Version::One => self.guess(last),
            _ => Some(source.length()?).filter(|read| *read != u64::MAX),
        };
        ensure(self.groups.insert(name.to_vec()), BAD)?;
        Ok(StreamPart::Group(GroupPart { name, last, read }))
    }

    /// How many entries a group has read that has come to `last`, where that is certain: at the
    /// ends of a stream of which nothing is known to be missing.
    fn guess(&self, last: Id) -> Option<u64> {
        if self.length == 0 || self.last.is_some_and(|of_stream| last >= of_stream) {
            return Some(self.length);
        }
        let first = self.first?;
        if last < first {
            Some(0)
        } else if last == first {
            Some(1)
        } else {
            None
        }
    }

    fn consumer<'a>(&mut self, source: &mut Source<'a>) -> Result<StreamPart<'a>, Stop> {
        let (name, seen) = (source.text()?, source.millis()?);
        let active = match self.version {
            Version::Three => source.millis()?,
            _ => seen,
        };
        ensure(self.consumers.insert(name.to_vec()), BAD)?;
        Ok(StreamPart::Consumer(ConsumerPart { name, seen, active }))
    }
}

/// The flag of an entry that is not there any more.
const DELETED: u64 = 1;
/// The flag of an entry with the names that stand at the front.
const SAME_FIELDS: u64 = 2;

/// The names at the front of a listpack, and where each lies.
type Names<'a> = (&'a [u8], &'a [(usize, usize)]);

/// Flags, id, names and values.
type Read<'a> = (u64, Id, Vec<(Text<'a>, Text<'a>)>);

fn read_entry<'a>(
    cursor: &mut Cursor,
    blob: &'a [u8],
    base: Id,
    (names, fields): Names<'a>,
) -> Result<Read<'a>, Stop> {
    let flags = cursor.next(blob)?.unsigned()?;
    // Sums do not wrap, but differences that are large are written as negative numbers.
    let ms = base.0.wrapping_add(cursor.next(blob)?.number()? as u64);
    let seq = base.1.wrapping_add(cursor.next(blob)?.number()? as u64);
    let mut pairs = Vec::new();
    let elements = if flags & SAME_FIELDS == 0 {
        for _ in 0..cursor.next(blob)?.unsigned()? {
            pairs.push((cursor.next(blob)?.text(), cursor.next(blob)?.text()));
        }
        4 + 2 * pairs.len() as u64
    } else {
        for &(start, end) in fields {
            let name = names.get(start..end).unwrap_or_default();
            pairs.push((Text::Borrowed(name), cursor.next(blob)?.text()));
        }
        3 + pairs.len() as u64
    };
    ensure(cursor.next(blob)?.unsigned()? == elements && !pairs.is_empty(), BAD)?;
    Ok((flags, (ms, seq), pairs))
}

/// Goes to the next entry that is there; says whether the end was reached instead.
fn skip_deleted(
    cursor: &mut Cursor,
    blob: &[u8],
    names: Names<'_>,
    deleted: &mut u64,
) -> Result<bool, Stop> {
    loop {
        if cursor.over(blob)? {
            return Ok(true);
        }
        let mut ahead = cursor.clone();
        if ahead.next(blob)?.unsigned()? & DELETED == 0 {
            return Ok(false);
        }
        read_entry(cursor, blob, (0, 0), names)?;
        *deleted = deleted.checked_sub(1).ok_or(BAD)?;
    }
}
