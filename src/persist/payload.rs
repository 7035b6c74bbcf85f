//! The payload of a record: RESP commands as redis-server writes them to its append-only file.
//!
//! A payload is a sequence of *units*, each of which has one lsn:
//!
//! ```text
//! unit    = command | group | part
//! command = [select] command of RESP, as a client would send it
//! group   = MULTI, any number of ([select] command), EXEC          atomic on this shard
//! part    = "#tx " id " " participants CR LF, group                atomic over shards; only first
//! ```
//!
//! The id is decimal, the participants are a hexadecimal number whose bit s stands for shard s.
//! SELECT is written where the database differs from that of the command before, so a segment is
//! read with one running database; at its start there is none, and a command needs a SELECT first.
//! Other lines that start with `#` are skipped between commands.

use crate::base::ids::{Db, TxId};
use crate::base::wire::decimal;
use crate::persist::shard_set::ShardSet;
use crate::resp::args::{Args, Span};

/// The database that the commands written or read so far have selected; none at a segment's start.
pub type Selected = Option<Db>;

/// A transaction over several shards, as each part of it names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its number, unique within the life of the database.
    pub id: TxId,
    /// The shards that have a part.
    pub participants: ShardSet,
}

/// What a payload consists of, in order. A reader applies `Command`s as they come, between
/// `Begin` and `End` all or none.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// A group starts; a part of a transaction if it names one.
    Begin(Option<Transaction>),
    /// One command; a unit of its own outside groups.
    Command(Db, Args<'a>),
    /// The group ends.
    End,
}

/// Reads the pieces of one payload.
#[derive(Debug)]
pub struct Pieces<'a> {
    payload: &'a [u8],
    at: usize,
    spans: Vec<Span>,
    state: State,
    units: u64,
    count: u64,
    selected: &'a mut Selected,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Outside,
    Announced(Transaction),
    Inside,
}

/// Offset within the payload of what cannot be read, and what was expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPayload {
    /// Where.
    pub at: usize,
    /// What should be there.
    pub expected: &'static str,
}

const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";
const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Appends one command, after a SELECT if its database is not the selected one.
#[inline]
pub fn put_command(out: &mut Vec<u8>, selected: &mut Selected, db: Db, command: Args<'_>) {
    if *selected != Some(db) {
        put_select(out, db);
        *selected = Some(db);
    }
    put_number(out, b'*', command.len());
    for arg in command.iter() {
        put_number(out, b'$', arg.len());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends commands that are atomic on this shard; as part of a transaction if one is given.
pub fn put_group<'a>(
    out: &mut Vec<u8>,
    selected: &mut Selected,
    transaction: Option<Transaction>,
    commands: impl IntoIterator<Item = (Db, Args<'a>)>,
) {
    if let Some(Transaction { id, participants }) = transaction {
        out.extend_from_slice(b"#tx ");
        out.extend_from_slice(itoa::Buffer::new().format(id.0).as_bytes());
        out.push(b' ');
        participants.write_hex(out);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(MULTI);
    for (db, command) in commands {
        put_command(out, selected, db, command);
    }
    out.extend_from_slice(EXEC);
}

#[cold]
fn put_select(out: &mut Vec<u8>, db: Db) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(db.0).as_bytes();
    out.extend_from_slice(b"*2\r\n$6\r\nSELECT\r\n");
    put_number(out, b'$', digits.len());
    out.extend_from_slice(digits);
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn put_number(out: &mut Vec<u8>, mark: u8, number: usize) {
    if number < 10 {
        out.extend_from_slice(&[mark, b'0' + number as u8, b'\r', b'\n']);
    } else {
        out.push(mark);
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

/// The transaction that a payload (or its first 128 bytes) is a part of.
pub fn transaction_of(start: &[u8]) -> Option<Transaction> {
    let line = start.strip_prefix(b"#tx ")?;
    let end = memchr::memchr(b'\r', line)?;
    if line.get(end + 1) != Some(&b'\n') {
        return None;
    }
    let line = line.get(..end)?;
    let (id, participants) = line.split_at_checked(memchr::memchr(b' ', line)?)?;
    if id.len() > 1 && id.first() == Some(&b'0') {
        return None;
    }
    let participants = ShardSet::parse_hex(participants.get(1..)?)?;
    Some(Transaction { id: TxId(decimal(id)?), participants })
}

impl<'a> Pieces<'a> {
    /// The pieces of `payload`, which is to have `count` units. `selected` runs through a whole
    /// segment.
    pub fn new(payload: &'a [u8], count: u64, selected: &'a mut Selected) -> Pieces<'a> {
        let (spans, state) = (Vec::new(), State::Outside);
        Pieces { payload, at: 0, spans, state, units: 0, count, selected }
    }

    /// Whole units that have been read, and the bytes up to here.
    pub fn position(&self) -> (u64, usize) {
        (self.units, self.at)
    }

    /// The next piece; nothing at the end.
    #[expect(clippy::should_implement_trait, reason = "what it lends is gone at the next call")]
    pub fn next(&mut self) -> Result<Option<Piece<'_>>, BadPayload> {
        loop {
            let start = self.at;
            let bad = |expected| Err(BadPayload { at: start, expected });
            match self.payload.get(start) {
                None if self.state == State::Outside && self.units == self.count => {
                    return Ok(None);
                }
                None if self.state == State::Outside => return bad("the announced units"),
                None => return bad("EXEC"),
                Some(b'#') => self.comment()?,
                Some(_) => {
                    self.command()?;
                    let args = Args::new(self.payload, &self.spans);
                    let word = args.at(0);
                    match (self.state, args.len()) {
                        (State::Outside | State::Announced(_), 1) if is(word, b"MULTI") => {
                            return Ok(Some(self.begin()));
                        }
                        (State::Announced(_), _) => return bad("MULTI"),
                        (State::Inside, 1) if is(word, b"EXEC") => {
                            self.state = State::Outside;
                            self.units += 1;
                            return Ok(Some(Piece::End));
                        }
                        (_, 2) if is(word, b"SELECT") => match database(args.at(1)) {
                            Some(db) => *self.selected = Some(db),
                            None => return bad("a database number"),
                        },
                        (state, _) => {
                            let Some(db) = *self.selected else { return bad("SELECT") };
                            self.units += u64::from(state == State::Outside);
                            return Ok(Some(Piece::Command(
                                db,
                                Args::new(self.payload, &self.spans),
                            )));
                        }
                    }
                }
            }
        }
    }

    fn begin(&mut self) -> Piece<'a> {
        let transaction = match self.state {
            State::Announced(transaction) => Some(transaction),
            State::Outside | State::Inside => None,
        };
        self.state = State::Inside;
        Piece::Begin(transaction)
    }

    fn comment(&mut self) -> Result<(), BadPayload> {
        let at = self.at;
        let rest = self.payload.get(at..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', rest) else {
            return Err(BadPayload { at, expected: "a line's end" });
        };
        if rest.starts_with(b"#tx ") {
            // Only as the first unit of a record: recovery drops whole records, and finds the
            // transaction without reading the payload.
            let transaction = transaction_of(rest);
            match transaction {
                Some(transaction) if self.units == 0 && self.state == State::Outside => {
                    self.state = State::Announced(transaction);
                }
                _ => return Err(BadPayload { at, expected: "one transaction line, first" }),
            }
        }
        self.at += end + 1;
        Ok(())
    }

    /// Reads one RESP array of bulk strings into `spans`.
    fn command(&mut self) -> Result<(), BadPayload> {
        self.spans.clear();
        let count = self.number(b'*')?;
        if count == 0 {
            return Err(BadPayload { at: self.at, expected: "a command of one word or more" });
        }
        for _ in 0..count {
            let len = self.number(b'$')?;
            let start = self.at;
            let short = BadPayload { at: start, expected: "an argument of the announced length" };
            let end = usize::try_from(len).ok().and_then(|len| start.checked_add(len));
            let end = end.ok_or(short)?;
            if self.payload.get(end..end.saturating_add(2)) != Some(b"\r\n") {
                return Err(short);
            }
            let (Ok(at), Ok(len)) = (u32::try_from(start), u32::try_from(len)) else {
                return Err(short);
            };
            self.spans.push(Span { start: at, len });
            self.at = end + 2;
        }
        Ok(())
    }

    fn number(&mut self, mark: u8) -> Result<u64, BadPayload> {
        let at = self.at;
        let expected = if mark == b'*' { "a command (*)" } else { "an argument ($)" };
        let bad = BadPayload { at, expected };
        // 20 digits, the mark and the line's end.
        let rest = self.payload.get(at..).unwrap_or_default();
        let line = rest.get(..rest.len().min(23)).unwrap_or_default();
        let end = memchr::memchr(b'\r', line).ok_or(bad)?;
        if line.first() != Some(&mark) || line.get(end + 1) != Some(&b'\n') {
            return Err(bad);
        }
        let value = line.get(1..end).and_then(decimal).ok_or(bad)?;
        self.at += end + 2;
        Ok(value)
    }
}

fn is(word: &[u8], name: &[u8]) -> bool {
    word.eq_ignore_ascii_case(name)
}

fn database(word: &[u8]) -> Option<Db> {
    decimal(word).and_then(|number| u16::try_from(number).ok()).map(Db)
}

#[cfg(test)]
mod tests;
