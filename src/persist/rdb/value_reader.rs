//! Reads one value in any encoding that Redis has ever written, part by part. Its type is one byte:
//!
//! ```text
//!  0 string   text
//!  1 list     count, texts                      10 list   ziplist
//!  2 set      count, texts                      11 set    intset            20 set  listpack
//!  3 zset     count, (text, digits)             12 zset   ziplist           17 zset listpack
//!  4 hash     count, (name, value)              13 hash   ziplist           16 hash listpack
//!  5 zset     count, (text, 8 bytes)             9 hash   zipmap
//! 14 list     count, ziplists                   18 list   count, (1, text) or (2, listpack)
//! 15, 19, 21 stream                             see stream_reader.rs
//!  6, 7       a value of a module
//! ```
//!
//! A packed encoding (packed.rs) is one text. A hash whose fields have deadlines is one of
//!
//! ```text
//! 24 hash     moment, count, (time, name, value)      25 hash   moment, listpack
//! 22 hash     count, (time, name, value)              23 hash   listpack
//! ```
//!
//! where a moment is milliseconds in 8 bytes, little endian, and a time is a length: 0 without a
//! deadline, else how long after the millisecond before the moment (24), or the deadline itself
//! (22). In a listpack of these, each name and value is followed by the deadline, or 0. (What Redis
//! 7.4 writes are 24 and 25; 22 and 23 are of its release candidates.)
//!
//! A value is valid if and only if its parts are, no deadline is later than Redis allows, and
//! names, members and fields occur once; the latter is for whoever puts the value together.

use crate::persist::rdb::packed::{Cursor, Packing};
use crate::persist::rdb::scalar::{Source, Stop, Text, score};
use crate::persist::rdb::stream_reader::{StreamPart, StreamReader, Version};
use crate::types::timed::DEADLINE_MAX;
use crate::types::value::Kind;

/// A part of a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Part<'a> {
    /// All of a string.
    Text(Text<'a>),
    /// An element of a list.
    Element(Text<'a>),
    /// A member of a set.
    Member(Text<'a>),
    /// A name and a value of a hash.
    Pair(Text<'a>, Text<'a>),
    /// The same with a deadline in milliseconds.
    Timed(Text<'a>, Text<'a>, u64),
    /// A member of a sorted set and its score, which is a number.
    Scored(Text<'a>, f64),
    /// A part of a stream.
    Stream(StreamPart<'a>),
}

/// Reads the parts of one value.
#[derive(Debug)]
pub struct ValueReader {
    kind: Kind,
    state: State,
    /// The packed collection that is being read.
    blob: Vec<u8>,
    /// What a row of a packed hash is.
    packed: PackedRow,
}

/// What a row of a packed hash is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PackedRow {
    /// Name and value.
    Pair,
    /// Name, value and deadline.
    Timed,
}

#[derive(Debug)]
enum State {
    Text,
    /// A moment comes next, to which deadlines are relative, and then the number of rows.
    Moment,
    /// A moment that says nothing comes next, and then a packed collection.
    Skipped(Packing),
    /// The number of rows comes next.
    Count(Row),
    Rows(Row, u64),
    /// The number of nodes comes next.
    NodeCount(Node),
    Nodes(Node, u64),
    /// A packed collection comes next, and then the end.
    Blob(Packing),
    /// A packed collection is being read; so many nodes follow.
    Packed(Cursor, Node, u64),
    Stream(Box<StreamReader>),
    Done,
}

/// What the nodes of a list are.
#[derive(Clone, Copy, Debug)]
enum Node {
    Ziplist,
    /// Each says what it is.
    Labelled,
}

/// How rows are written.
#[derive(Clone, Copy, Debug)]
enum Row {
    /// Scores are eight bytes.
    Now,
    /// Scores are digits.
    Old,
    /// Of a hash with deadlines, which are so much less one later than what is read.
    Timed(u64),
}

/// The type with this number.
pub fn kind_of(number: u8) -> Result<Kind, Stop> {
    Ok(match number {
        0 => Kind::String,
        1 | 10 | 14 | 18 => Kind::List,
        2 | 11 | 20 => Kind::Set,
        3 | 5 | 12 | 17 => Kind::Zset,
        4 | 9 | 13 | 16 | 22..=25 => Kind::Hash,
        15 | 19 | 21 => Kind::Stream,
        6 | 7 => return Err(Stop::Foreign("a value of a module")),
        _ => return Err(Stop::Bad("the type of a value")),
    })
}

impl ValueReader {
    /// A reader of a value whose type has this number.
    pub fn new(number: u8) -> Result<ValueReader, Stop> {
        let kind = kind_of(number)?;
        let state = match number {
            0 => State::Text,
            14 => State::NodeCount(Node::Ziplist),
            18 => State::NodeCount(Node::Labelled),
            10 | 12 | 13 => State::Blob(Packing::Ziplist),
            16 | 17 | 20 => State::Blob(Packing::Listpack),
            9 => State::Blob(Packing::Zipmap),
            11 => State::Blob(Packing::Intset),
            15 => State::Stream(Box::new(StreamReader::new(Version::One))),
            19 => State::Stream(Box::new(StreamReader::new(Version::Two))),
            21 => State::Stream(Box::new(StreamReader::new(Version::Three))),
            3 => State::Count(Row::Old),
            22 => State::Count(Row::Timed(1)),
            23 => State::Blob(Packing::Listpack),
            24 => State::Moment,
            25 => State::Skipped(Packing::Listpack),
            _ => State::Count(Row::Now),
        };
        let packed = if matches!(number, 23 | 25) { PackedRow::Timed } else { PackedRow::Pair };
        Ok(ValueReader { kind, state, blob: Vec::new(), packed })
    }

    /// The type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The next part; nothing at the end of the value. When the source is too short, reading goes
    /// on at its mark once there is more.
    pub fn next<'a, 'i: 'a>(
        &'a mut self,
        source: &mut Source<'i>,
    ) -> Result<Option<Part<'a>>, Stop> {
        while self.advance(source)? {
            source.commit();
        }
        let Self { kind, state, blob, packed } = self;
        let (part, after) = match state {
            State::Done => return Ok(None),
            State::Stream(stream) => return Ok(stream.next(source)?.map(Part::Stream)),
            State::Packed(cursor, ..) if *packed == PackedRow::Timed => {
                return timed_part(cursor, blob).map(Some);
            }
            State::Packed(cursor, ..) => return packed_part(*kind, cursor, blob).map(Some),
            State::Text => (Part::Text(source.text()?), State::Done),
            State::Rows(row, left) => {
                (row_part(*kind, *row, source)?, State::Rows(*row, *left - 1))
            }
            // A node that is one element.
            State::Nodes(node, left) => {
                source.byte()?;
                (Part::Element(source.text()?), State::Nodes(*node, *left - 1))
            }
            State::Moment
            | State::Skipped(_)
            | State::Count(_)
            | State::NodeCount(_)
            | State::Blob(_) => return Err(Stop::Bad("a count")),
        };
        *state = after;
        source.commit();
        Ok(Some(part))
    }

    /// One step that gives no part; says whether another one may follow.
    fn advance(&mut self, source: &mut Source<'_>) -> Result<bool, Stop> {
        let after = match &self.state {
            State::Moment => State::Count(Row::Timed(source.millis()?.cast_unsigned())),
            State::Skipped(packing) => {
                source.millis()?;
                State::Blob(*packing)
            }
            State::Count(row) => State::Rows(*row, source.length()?),
            State::NodeCount(node) => State::Nodes(*node, source.length()?),
            State::Rows(_, 0) | State::Nodes(_, 0) => State::Done,
            State::Blob(packing) => {
                let packing = *packing;
                self.open(packing, Node::Ziplist, 0, source.text()?)?
            }
            State::Nodes(node, left) => {
                let (node, left) = (*node, *left - 1);
                let packing = match node {
                    Node::Ziplist => Packing::Ziplist,
                    Node::Labelled => match source.rest().first() {
                        Some(1) => return Ok(false),
                        Some(2) | None => Packing::Listpack,
                        Some(_) => return Err(Stop::Bad("a node of a list")),
                    },
                };
                if packing == Packing::Listpack {
                    source.byte()?;
                }
                self.open(packing, node, left, source.text()?)?
            }
            State::Packed(cursor, node, left) if cursor.over(&self.blob)? => {
                State::Nodes(*node, *left)
            }
            State::Packed(..) | State::Text | State::Stream(_) => return Ok(false),
            State::Rows(..) | State::Done => return Ok(false),
        };
        self.state = after;
        Ok(true)
    }

    fn open(
        &mut self,
        packing: Packing,
        node: Node,
        left: u64,
        blob: Text<'_>,
    ) -> Result<State, Stop> {
        let cursor = Cursor::new(packing, &blob)?;
        match blob {
            Text::Owned(blob) => self.blob = blob,
            Text::Borrowed(blob) => {
                self.blob.clear();
                self.blob.extend_from_slice(blob);
            }
        }
        Ok(State::Packed(cursor, node, left))
    }
}

fn row_part<'a>(kind: Kind, row: Row, source: &mut Source<'a>) -> Result<Part<'a>, Stop> {
    if let Row::Timed(moment) = row {
        let deadline = match source.length()? {
            0 => None,
            time => Some(time.checked_add(moment).map_or(u64::MAX, |at| at - 1)),
        };
        return timed(source.text()?, source.text()?, deadline);
    }
    let text = source.text()?;
    Ok(match kind {
        Kind::Hash => Part::Pair(text, source.text()?),
        Kind::Zset => Part::Scored(
            text,
            match row {
                Row::Old => source.old_double()?,
                Row::Now | Row::Timed(_) => source.double()?,
            },
        ),
        Kind::Set => Part::Member(text),
        _ => Part::Element(text),
    })
}

fn packed_part<'a>(kind: Kind, cursor: &mut Cursor, blob: &'a [u8]) -> Result<Part<'a>, Stop> {
    let first = cursor.next(blob)?.text();
    Ok(match kind {
        Kind::Hash => Part::Pair(first, cursor.next(blob)?.text()),
        Kind::Zset => Part::Scored(first, score(&cursor.next(blob)?.text())?),
        Kind::Set => Part::Member(first),
        _ => Part::Element(first),
    })
}

fn timed_part<'a>(cursor: &mut Cursor, blob: &'a [u8]) -> Result<Part<'a>, Stop> {
    let (name, value) = (cursor.next(blob)?.text(), cursor.next(blob)?.text());
    let deadline = cursor.next(blob)?.unsigned()?;
    timed(name, value, (deadline != 0).then_some(deadline))
}

fn timed<'a>(name: Text<'a>, value: Text<'a>, deadline: Option<u64>) -> Result<Part<'a>, Stop> {
    match deadline {
        None => Ok(Part::Pair(name, value)),
        Some(at) if at > 0 && at <= DEADLINE_MAX => Ok(Part::Timed(name, value, at)),
        Some(_) => Err(Stop::Bad("the deadline of a field")),
    }
}
