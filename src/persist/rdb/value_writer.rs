//! Writes values in the encodings that every Redis since 4 reads: `value_reader.rs` says what they
//! are. Redis chooses its own encoding when it loads them. A hash with deadlines of fields is read
//! by Redis since 7.4.

use crate::persist::rdb::scalar::Drain;

/// The type of a hash whose fields have deadlines.
pub const TIMED: u8 = 24;

/// Writes one value: its type, the number of its rows, its rows.
#[derive(Debug)]
pub struct ValueWriter<'a> {
    drain: Drain<'a>,
}

impl<'a> ValueWriter<'a> {
    /// A string.
    pub fn string(out: &'a mut Vec<u8>, text: &[u8]) {
        let mut drain = Drain::new(out);
        drain.byte(0);
        drain.text(text);
    }

    /// A list of so many elements, which follow.
    pub fn list(out: &'a mut Vec<u8>, count: usize) -> ValueWriter<'a> {
        ValueWriter::begin(out, 1, count)
    }

    /// A set of so many members, which follow.
    pub fn set(out: &'a mut Vec<u8>, count: usize) -> ValueWriter<'a> {
        ValueWriter::begin(out, 2, count)
    }

    /// A hash of so many pairs, which follow.
    pub fn hash(out: &'a mut Vec<u8>, count: usize) -> ValueWriter<'a> {
        ValueWriter::begin(out, 4, count)
    }

    /// A hash of so many fields, none of which has a deadline before `moment`; they follow, each
    /// with its deadline before it.
    pub fn timed_hash(out: &'a mut Vec<u8>, moment: u64, count: usize) -> ValueWriter<'a> {
        let mut drain = Drain::new(out);
        drain.byte(TIMED);
        drain.raw(&moment.to_le_bytes());
        drain.length(count as u64);
        ValueWriter { drain }
    }

    /// The deadline of the field that comes next, if it has one, of a hash that has this moment.
    pub fn deadline(&mut self, moment: u64, deadline: Option<u64>) {
        self.drain.length(deadline.map_or(0, |at| at.saturating_sub(moment) + 1));
    }

    /// A sorted set of so many members, which follow with their scores.
    pub fn zset(out: &'a mut Vec<u8>, count: usize) -> ValueWriter<'a> {
        ValueWriter::begin(out, 5, count)
    }

    /// An element, a member, a name or a value.
    pub fn text(&mut self, text: &[u8]) {
        self.drain.text(text);
    }

    /// The score of the member before it.
    pub fn score(&mut self, score: f64) {
        self.drain.raw(&score.to_le_bytes());
    }

    fn begin(out: &'a mut Vec<u8>, kind: u8, count: usize) -> ValueWriter<'a> {
        let mut drain = Drain::new(out);
        drain.byte(kind);
        drain.length(count as u64);
        ValueWriter { drain }
    }
}
