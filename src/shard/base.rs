//! The encoder of a base: a snapshot's items become the bytes of a snapshot file, or the plain
//! commands of a readable one (`aof-use-rdb-preamble no`).

use std::collections::HashMap;

use crate::base::checksum::Crc64;
use crate::base::ids::Db;
use crate::base::time::Millis;
use crate::keyspace::item::{Item, Shape, Sink, Small};
use crate::keyspace::rebuild::{BATCH, rebuild_part};
use crate::persist::payload::{Selected, put_command};
use crate::persist::snapshot_file::{ChunkWriter, Header, Scratch};
use crate::persist::value_codec::Counts;
use crate::resp::args::OwnedArgs;
use crate::types::value::Kind;

/// What a base is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaseForm {
    /// A snapshot file.
    Snapshot,
    /// Commands.
    Commands,
}

/// An encoder and its output.
pub enum BaseWriter {
    /// For a snapshot file.
    Snapshot(ChunkWriter),
    /// For commands.
    Commands(CommandWriter),
}

/// Writes commands.
#[derive(Debug, Default)]
pub struct CommandWriter {
    out: Vec<u8>,
    selected: Selected,
    crc: Crc64,
    entries: Counts,
    /// Values that come in fragments: what commands on them have to name.
    open: HashMap<u64, (Db, Vec<u8>, Option<Millis>, Kind)>,
}

impl std::fmt::Debug for BaseWriter {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "BaseWriter({} bytes)", self.ready())
    }
}

impl BaseWriter {
    /// An encoder for a new file. Commands need no buffers of an earlier one.
    pub fn new(form: BaseForm, header: &Header, scratch: Scratch) -> BaseWriter {
        match form {
            BaseForm::Snapshot => BaseWriter::Snapshot(ChunkWriter::reusing(header, scratch)),
            BaseForm::Commands => BaseWriter::Commands(CommandWriter::default()),
        }
    }

    /// About so many keys are to come.
    pub fn expect(&mut self, db: Db, keys: u64) {
        if let BaseWriter::Snapshot(writer) = self {
            writer.expect(db, keys);
        }
    }

    /// Bytes that can be taken.
    pub fn ready(&self) -> usize {
        match self {
            BaseWriter::Snapshot(writer) => writer.ready(),
            BaseWriter::Commands(writer) => writer.out.len(),
        }
    }

    /// Takes them, and leaves this buffer for the next.
    pub fn take(&mut self, used: Vec<u8>) -> Vec<u8> {
        match self {
            BaseWriter::Snapshot(writer) => writer.take(used),
            BaseWriter::Commands(writer) => {
                writer.crc.update(&writer.out);
                std::mem::take(&mut writer.out)
            }
        }
    }

    /// Ends the file: its last bytes, for which it gets this buffer, its checksum and what is in
    /// it.
    pub fn finish(&mut self, used: Vec<u8>) -> (Vec<u8>, u64, Counts) {
        match self {
            BaseWriter::Snapshot(writer) => {
                let footer = writer.end();
                (writer.take(used), footer.crc, footer.entries)
            }
            BaseWriter::Commands(writer) => {
                let bytes = std::mem::take(&mut writer.out);
                writer.crc.update(&bytes);
                (bytes, writer.crc.value(), writer.entries)
            }
        }
    }

    /// Its buffers, if it has any, for the next one.
    pub fn into_scratch(self) -> Option<Scratch> {
        match self {
            BaseWriter::Snapshot(writer) => Some(writer.into_scratch()),
            BaseWriter::Commands(_) => None,
        }
    }
}

impl Sink for BaseWriter {
    fn take(&mut self, item: Item<'_>) {
        match self {
            BaseWriter::Snapshot(writer) => encode(writer, item),
            BaseWriter::Commands(writer) => writer.command(item),
        }
    }
}

/// Hands an item to the encoder of snapshot files.
pub fn encode(writer: &mut ChunkWriter, item: Item<'_>) {
    match item {
        Item::Library { name, text } => writer.library(name, text),
        Item::Small { db, key, deadline, value: Small::Str(bytes) } => {
            writer.string(db, key, deadline, bytes);
        }
        Item::Small { db, key, deadline, value: Small::Hash(flat) } => {
            writer.hash(db, key, deadline, flat.pairs());
        }
        Item::Small { db, key, deadline, value: Small::Whole(kind, bytes) } => {
            writer.whole(db, key, deadline, (kind, bytes));
        }
        Item::Open { id, db, key, deadline, shape } => {
            writer.open(id, db, key, deadline, size_of_shape(shape));
        }
        Item::Field { id, field, value, deadline } => writer.field(id, field, value, deadline),
        Item::Chunk { id, offset, bytes } => writer.chunk(id, offset, bytes),
        Item::Close { id } => writer.close(id),
    }
}

fn size_of_shape(shape: Shape) -> (Kind, u64) {
    match shape {
        Shape::Table { kind, fields } => (kind, fields),
        Shape::Rope { bytes } => (Kind::String, bytes),
        Shape::Parts { kind, elements } => (kind, elements),
    }
}

impl CommandWriter {
    fn command(&mut self, item: Item<'_>) {
        match item {
            Item::Library { text, .. } => {
                self.put(Db(0), &[b"FUNCTION", b"LOAD", b"REPLACE", text]);
            }
            Item::Small { db, key, deadline, value } => {
                match value {
                    Small::Str(bytes) => {
                        self.entries.add(Kind::String);
                        self.put(db, &[b"SET", key, bytes]);
                    }
                    Small::Hash(flat) => {
                        self.entries.add(Kind::Hash);
                        self.hash(db, key, flat.pairs());
                    }
                    Small::Whole(kind, bytes) => {
                        self.entries.add(kind);
                        rebuild_part(kind, key, bytes, &mut |args| self.put(db, args));
                    }
                }
                self.deadline(db, key, deadline);
            }
            Item::Open { id, db, key, deadline, shape } => {
                self.entries.add(size_of_shape(shape).0);
                let kind = size_of_shape(shape).0;
                self.open.insert(id, (db, key.to_vec(), deadline, kind));
            }
            Item::Field { id, field, value, deadline } => {
                self.in_open(id, |writer, db, key, kind| {
                    if kind == Kind::Set {
                        return writer.put(db, &[b"SADD", key, field]);
                    }
                    writer.put(db, &[b"HSET", key, field, value]);
                    if let Some(Millis(at)) = deadline {
                        let at = at.to_string();
                        writer
                            .put(db, &[b"HPEXPIREAT", key, at.as_bytes(), b"FIELDS", b"1", field]);
                    }
                });
            }
            Item::Chunk { id, offset, bytes } => self.in_open(id, |writer, db, key, kind| {
                let offset = offset.to_string();
                match kind {
                    Kind::String => {
                        writer.put(db, &[b"SETRANGE", key, offset.as_bytes(), bytes]);
                    }
                    kind => rebuild_part(kind, key, bytes, &mut |args| writer.put(db, args)),
                }
            }),
            Item::Close { id } => {
                if let Some((db, key, deadline, _)) = self.open.remove(&id) {
                    self.deadline(db, &key, deadline);
                }
            }
        }
    }

    fn in_open(&mut self, id: u64, work: impl FnOnce(&mut CommandWriter, Db, &[u8], Kind)) {
        let Some((db, key, deadline, kind)) = self.open.remove(&id) else {
            unreachable!("a fragment comes after its value was opened");
        };
        work(self, db, &key, kind);
        self.open.insert(id, (db, key, deadline, kind));
    }

    fn put(&mut self, db: Db, args: &[&[u8]]) {
        let args = OwnedArgs::of(args);
        put_command(&mut self.out, &mut self.selected, db, args.args());
    }

    fn hash<'a>(&mut self, db: Db, key: &[u8], pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) {
        let mut pairs = pairs.peekable();
        while pairs.peek().is_some() {
            let mut args = OwnedArgs::of(&[b"HSET", key]);
            for (field, value) in pairs.by_ref().take(BATCH) {
                args.push(field);
                args.push(value);
            }
            put_command(&mut self.out, &mut self.selected, db, args.args());
        }
    }

    fn deadline(&mut self, db: Db, key: &[u8], deadline: Option<Millis>) {
        if let Some(deadline) = deadline {
            self.put(db, &[b"PEXPIREAT", key, deadline.0.to_string().as_bytes()]);
        }
    }
}
