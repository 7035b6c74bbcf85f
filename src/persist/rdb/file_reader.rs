//! Reads a file in Redis' format (`dump.rdb`), block by block:
//!
//! ```text
//! file  = "REDIS", 4 digits (version 1 to 12), items, 0xff,
//!         [5 and later] Jones CRC-64 or 0 (8 bytes)
//! item  = 0xfa name, value                   about the file
//!       | 0xfe number                        the database of what follows
//!       | 0xfb keys, deadlines               how many are to come, about
//!       | 0xf4 slot, keys, deadlines         the same, for a slot of a cluster
//!       | 0xfd seconds (4 bytes)             the deadline of the next key
//!       | 0xfc milliseconds (8 bytes)        the deadline of the next key
//!       | 0xf8 seconds                       how long the next key was idle
//!       | 0xf9 count (1 byte)                how often it was used
//!       | 0xf5 text                          a library of functions
//!       | type (1 byte), key, value          a key
//! ```
//!
//! 0xf6 (functions of candidates of 7.0) and 0xf7 (data of modules) are refused by name. A file is
//! valid if and only if its items are, nothing follows its end, and the checksum, unless it is 0,
//! holds.
//!
//! ```text
//! feed(block)                  the blocks of the file in order
//! while let Some(event) = next()?
//! finish()?                    after the last block: it was a whole file
//! ```

use crate::base::checksum::Jones64;
use crate::persist::fault::StorageFault;
use crate::persist::rdb::libraries::{LIBRARY, OLD_LIBRARY};
use crate::persist::rdb::scalar::{Source, Stop, Text};
use crate::persist::rdb::value_reader::{Part, ValueReader};
use crate::types::value::Kind;

/// What is read.
#[derive(Clone, Debug, PartialEq)]
pub enum Event<'a> {
    /// Something about the file.
    About(Text<'a>, Text<'a>),
    /// The database of what follows.
    Database(u64),
    /// About so many keys are to come.
    Expect(u64),
    /// The text of a library of functions.
    Library(Text<'a>),
    /// A key; its parts follow, and then `End`.
    Key(Key<'a>),
    /// A part of the last key's value.
    Part(Part<'a>),
    /// The value is complete.
    End,
}

/// A key and what stands before its value.
#[derive(Clone, Debug, PartialEq)]
pub struct Key<'a> {
    /// Its name.
    pub name: Text<'a>,
    /// Its type.
    pub kind: Kind,
    /// Its deadline in milliseconds.
    pub deadline: Option<i64>,
    /// Seconds for which it was idle.
    pub idle: Option<u64>,
    /// The counter of its accesses.
    pub frequency: Option<u8>,
}

/// Reads one file.
#[derive(Debug)]
pub struct FileReader {
    file: String,
    input: Vec<u8>,
    at: usize,
    offset: u64,
    /// How much input is needed before it is worth to go on.
    needed: usize,
    crc: Jones64,
    version: u16,
    next_key: About,
    value: Option<ValueReader>,
    /// The end of the value has been told.
    ended: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
struct About {
    deadline: Option<i64>,
    idle: Option<u64>,
    frequency: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Items,
    Checksum,
    End,
}

const VERSION_MAX: u16 = super::payload::READ;

impl FileReader {
    /// A reader of the file `file`, which is how faults name it.
    pub fn new(file: impl Into<String>) -> FileReader {
        FileReader {
            file: file.into(),
            input: Vec::new(),
            at: 0,
            offset: 0,
            needed: 0,
            crc: Jones64::default(),
            version: 0,
            next_key: About::default(),
            value: None,
            ended: false,
            state: State::Head,
        }
    }

    /// The version of the file, once it has been read.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// Has the end of the file been read? What follows it is not a part of it.
    pub fn at_end(&self) -> bool {
        self.state == State::End
    }

    /// The next block of the file.
    pub fn feed(&mut self, block: &[u8]) {
        self.input.drain(..self.at);
        self.at = 0;
        self.input.extend_from_slice(block);
    }

    /// What was fed behind the end of the file (a preamble is followed by a log).
    pub fn rest(&self) -> &[u8] {
        self.input.get(self.at..).unwrap_or_default()
    }

    /// The next event; nothing when another block is needed, or at the end.
    #[expect(clippy::should_implement_trait, reason = "what it lends is gone at the next call")]
    pub fn next(&mut self) -> Result<Option<Event<'_>>, StorageFault> {
        if self.rest().len() < self.needed {
            return Ok(None);
        }
        self.needed = 0;
        if std::mem::take(&mut self.ended) {
            self.value = None;
        }
        loop {
            match self.quiet() {
                Ok(true) => {}
                Ok(false) => break,
                Err(stop) => return self.stopped(stop, 0).map(|()| None),
            }
        }
        if self.state == State::End {
            return Ok(None);
        }
        let Self { input, at, offset, crc, value, ended, next_key, file, needed, .. } = self;
        let rest = input.get(*at..).unwrap_or_default();
        let mut source = Source::new(rest);
        let found = match value {
            Some(reader) => {
                reader.next(&mut source).map(|part| part.map_or(Event::End, Event::Part))
            }
            None => item(&mut source, next_key).map(|(event, opened)| {
                *value = opened;
                event
            }),
        };
        let used = if found.is_ok() { source.position() } else { source.mark() };
        *ended = matches!(found, Ok(Event::End));
        crc.update(rest.get(..used).unwrap_or_default());
        *at += used;
        *offset += used as u64;
        match found {
            Ok(event) => Ok(Some(event)),
            Err(Stop::Short(length)) => {
                *needed = length.saturating_sub(used);
                Ok(None)
            }
            Err(stop) => Err(fault(file, *offset, stop)),
        }
    }

    /// One step that is no event; says whether another one may follow.
    fn quiet(&mut self) -> Result<bool, Stop> {
        let mut source = Source::new(self.input.get(self.at..).unwrap_or_default());
        let mut sum = true;
        match self.state {
            State::Head => {
                self.version = head(&mut source)?;
                self.state = State::Items;
            }
            State::Items if self.value.is_some() => return Ok(false),
            State::Items => match source.byte()? {
                END => {
                    self.state = if self.version >= 5 { State::Checksum } else { State::End };
                }
                code => {
                    if !about_next(code, &mut source, &mut self.next_key)? {
                        return Ok(false);
                    }
                }
            },
            State::Checksum => {
                let expected = u64::from_le_bytes(source.array()?);
                if expected != 0 && expected != self.crc.value() {
                    return Err(Stop::Bad("the checksum of what is there"));
                }
                (self.state, sum) = (State::End, false);
            }
            State::End => return Ok(false),
        }
        let used = source.position();
        if sum {
            let end = self.at + used;
            self.crc.update(self.input.get(self.at..end).unwrap_or_default());
        }
        self.at += used;
        self.offset += used as u64;
        Ok(true)
    }

    fn stopped(&mut self, stop: Stop, used: usize) -> Result<(), StorageFault> {
        match stop {
            Stop::Short(length) => {
                self.needed = length.saturating_sub(used);
                Ok(())
            }
            stop => Err(fault(&self.file, self.offset, stop)),
        }
    }

    /// After the last block: the file has to be whole, and nothing may follow it.
    pub fn finish(&self) -> Result<(), StorageFault> {
        let fault = |expected, found| StorageFault::new(&self.file, self.offset, expected, found);
        if self.state != State::End {
            return Err(fault("more", "the end of the file"));
        }
        if !self.rest().is_empty() {
            return Err(fault("the end of the file", "more bytes"));
        }
        Ok(())
    }
}

/// What is wrong with the file, in words.
fn fault(file: &str, offset: u64, stop: Stop) -> StorageFault {
    match stop {
        Stop::Foreign(found) => StorageFault::new(file, offset, "what exists here", found),
        Stop::Bad(expected) => StorageFault::new(file, offset, expected, "something else"),
        Stop::Short(_) => StorageFault::new(file, offset, "more", "the end of the file"),
    }
}

const MODULE: u8 = 0xf7;
const SLOT: u8 = 0xf4;
const IDLE: u8 = 0xf8;
const FREQUENCY: u8 = 0xf9;
const ABOUT: u8 = 0xfa;
const EXPECT: u8 = 0xfb;
const DEADLINE: u8 = 0xfc;
const DEADLINE_SECONDS: u8 = 0xfd;
const DATABASE: u8 = 0xfe;
const END: u8 = 0xff;

fn head(source: &mut Source<'_>) -> Result<u16, Stop> {
    let (magic, digits) = (source.array::<5>()?, source.array::<4>()?);
    let version = crate::base::wire::decimal(&digits).and_then(|version| version.try_into().ok());
    match version {
        Some(version) if magic == *b"REDIS" && (1..=VERSION_MAX).contains(&version) => Ok(version),
        Some(_) if magic == *b"REDIS" => Err(Stop::Foreign("a later version of the format")),
        _ => Err(Stop::Bad("a file in Redis' format (REDIS and a version)")),
    }
}

/// Reads what is told about the next key; says whether it was that.
fn about_next(code: u8, source: &mut Source<'_>, next: &mut About) -> Result<bool, Stop> {
    match code {
        DEADLINE => next.deadline = Some(source.millis()?),
        DEADLINE_SECONDS => {
            let seconds = i32::from_le_bytes(source.array()?);
            next.deadline = Some(i64::from(seconds) * 1000);
        }
        IDLE => next.idle = Some(source.length()?),
        FREQUENCY => next.frequency = Some(source.byte()?),
        _ => return Ok(false),
    }
    Ok(true)
}

/// An item that is an event; if it is a key, with a reader of its value.
fn item<'a>(
    source: &mut Source<'a>,
    next_key: &mut About,
) -> Result<(Event<'a>, Option<ValueReader>), Stop> {
    let event = match source.byte()? {
        ABOUT => Event::About(source.text()?, source.text()?),
        DATABASE => Event::Database(source.length()?),
        EXPECT => {
            let keys = source.length()?;
            source.length()?;
            Event::Expect(keys)
        }
        SLOT => {
            source.length()?;
            let keys = source.length()?;
            source.length()?;
            Event::Expect(keys)
        }
        LIBRARY => Event::Library(source.text()?),
        OLD_LIBRARY => return Err(Stop::Foreign("functions of a candidate of 7.0")),
        MODULE => return Err(Stop::Foreign("data of a module")),
        number => {
            let value = ValueReader::new(number)?;
            let name = source.text()?;
            let About { deadline, idle, frequency } = std::mem::take(next_key);
            let key = Key { name, kind: value.kind(), deadline, idle, frequency };
            return Ok((Event::Key(key), Some(value)));
        }
    };
    Ok((event, None))
}
