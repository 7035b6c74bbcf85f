//! The output of basalt-check: a line is a list of keys and values, as text or as JSON.

use std::fmt::Write as _;
use std::io;

use basalt::persist::fault::StorageFault;
use basalt::persist::payload::{BadPayload, Piece};
use basalt::persist::recovery::Refusal;
use basalt::persist::segment_scan::{Record, Tail};
use basalt::server::inspect::Unread;

use crate::Trouble;

/// Where lines of output go, and how they look.
pub struct Report<'a> {
    /// One JSON object a line.
    pub json: bool,
    /// Where they go.
    pub out: &'a mut dyn io::Write,
    /// Faults told so far.
    pub faults: u64,
}

/// One value of a line.
pub enum Value {
    /// Words.
    Text(String),
    /// A number.
    Number(u64),
}

/// One line.
pub type Line<'a> = &'a [(&'a str, Value)];

impl Report<'_> {
    /// Writes one line.
    pub fn line(&mut self, line: Line<'_>) -> Result<(), Trouble> {
        let mut out = String::new();
        for (i, (key, value)) in line.iter().enumerate() {
            if self.json {
                let comma = if i == 0 { "{" } else { ", " };
                let _ = match value {
                    Value::Text(text) => write!(out, "{comma}\"{key}\": {}", quoted(text)),
                    Value::Number(number) => write!(out, "{comma}\"{key}\": {number}"),
                };
            } else {
                let space = if i == 0 { "" } else { "  " };
                let _ = match value {
                    Value::Text(text) => write!(out, "{space}{key}: {text}"),
                    Value::Number(number) => write!(out, "{space}{key}: {number}"),
                };
            }
        }
        out.push_str(if self.json { "}\n" } else { "\n" });
        self.out.write_all(out.as_bytes()).map_err(|error| Trouble::Unable(error.to_string()))
    }

    /// Tells what is damaged.
    pub fn fault(&mut self, fault: &StorageFault) -> Result<(), Trouble> {
        self.faults += 1;
        let StorageFault { file, offset, expected, found } = fault;
        self.line(&[
            ("file", text(file)),
            ("state", text("damaged")),
            ("offset", Value::Number(*offset)),
            ("expected", text(expected)),
            ("found", text(found)),
        ])
    }

    /// Tells what is damaged; what could not be read at all ends the work.
    pub fn unread(&mut self, why: Unread) -> Result<(), Trouble> {
        match why {
            Unread::Fault(fault) => self.fault(&fault),
            other => Err(other.into()),
        }
    }

    /// Tells why a start would be refused.
    pub fn refusal(&mut self, refusal: &Refusal) -> Result<(), Trouble> {
        let row = format!("{:?}", refusal.row);
        self.line(&[("refused", text(refusal.row.text())), ("row", text(&row))])?;
        self.fault(&refusal.fault)
    }

    /// Tells what a record holds; gives what in its payload cannot be read.
    pub fn record(&mut self, record: Record<'_>) -> Result<Option<BadPayload>, Trouble> {
        let header = *record.header();
        self.line(&[
            ("record", Value::Number(record.offset())),
            ("lsn", Value::Number(header.first.0)),
            ("units", Value::Number(u64::from(header.count))),
            ("epoch", Value::Number(header.epoch.0)),
            ("durable", Value::Number(header.durable.0)),
            ("synced", Value::Number(header.synced.0)),
            ("time", Value::Number(header.now.0)),
            ("appendfsync", text(header.policy.name())),
        ])?;
        let mut pieces = record.into_pieces();
        loop {
            match pieces.next() {
                Ok(None) => return Ok(None),
                Err(bad) => return Ok(Some(bad)),
                Ok(Some(piece)) => self.piece(piece)?,
            }
        }
    }

    fn piece(&mut self, piece: Piece<'_>) -> Result<(), Trouble> {
        match piece {
            Piece::Begin(None) => self.line(&[("group", text("begin"))]),
            Piece::Begin(Some(part)) => {
                let shards: Vec<String> =
                    part.participants.iter().map(|shard| shard.0.to_string()).collect();
                let id = Value::Number(part.id.0);
                self.line(&[("transaction", id), ("shards", text(&shards.join(",")))])
            }
            Piece::End => self.line(&[("group", text("end"))]),
            Piece::Command(db, args) => {
                let words: Vec<String> = args.iter().map(word).collect();
                let db = Value::Number(u64::from(db.0));
                self.line(&[("db", db), ("command", text(&words.join(" ")))])
            }
        }
    }
}

/// An argument on one line, cut short where it is long.
fn word(arg: &[u8]) -> String {
    let shown = arg.get(..64).unwrap_or(arg).escape_ascii();
    if arg.len() > 64 { format!("{shown}...({} bytes)", arg.len()) } else { shown.to_string() }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 32 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The word for how a segment ends.
pub fn tail_name(tail: &Tail) -> &'static str {
    match tail {
        Tail::Clean => "clean",
        Tail::Torn => "torn",
        Tail::Changed => "changed",
        Tail::Gap { .. } => "gap",
    }
}

/// A value of words.
pub fn text(text: &str) -> Value {
    Value::Text(text.to_string())
}
