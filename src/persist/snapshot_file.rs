//! The snapshot file of one shard: what it is made of, and its writer.
//!
//! ```text
//! header, 64 bytes
//!    0 "BASALT\0S"    8 version u16   10 shard u16   12 shards u16   14 generation u64
//!   22 cut epoch u64  30 run u128     46 hash function u16   48 seed u64   56 CRC-64 of 0..56
//! chunks
//!    0 codec (0 raw, 1 lz4)  1 raw length u32  5 stored length u32  9 CRC-64  17 stored bytes
//! footer
//!    0 0xff   1 number of chunks u64   9 sum of raw lengths u64   17 number of types u8
//!   18 entries of each type u64   .. CRC-64 over the chunks' checksums u64
//!   .. length of the file u64     .. CRC-64 of the header's checksum and the footer u64
//! ```
//!
//! All numbers are little endian. The checksum of a chunk covers the header's checksum, the chunk's
//! number, its codec, lengths and stored bytes, so a chunk of another file or another
//! place does not pass; it is verified before the chunk is decoded. Together the raw
//! bytes of the chunks are the items (snapshot_item.rs); an item may lie across chunks.
//!
//! A file is a snapshot if and only if its header is the expected one, every chunk's checksum
//! holds, the footer's figures and checksums hold, and the file ends with the footer.
//!
//! A chunk holds 8 KiB (16 in older files), so that sealing one is short beside a slice of 50 us.
//! Where chunks do not shrink by a tenth, compressing is left off, and tried again on every 16th.

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};

use crate::base::checksum::{Crc64, crc64};
use crate::base::ids::{Db, Epoch, Generation, ShardId};
use crate::base::time::Millis;
use crate::base::wire::{Reader, Writer};
use crate::limits::{SNAPSHOT_CHUNK, SNAPSHOT_SCRATCH};
use crate::persist::manifest::{HashId, Manifest};
use crate::persist::record::RunId;
use crate::persist::snapshot_item::{Head, put_pair};
use crate::persist::value_codec::{Counts, KINDS};
use crate::types::value::Kind;

/// What a snapshot is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The shard.
    pub shard: ShardId,
    /// How many shards there were.
    pub shards: u16,
    /// The generation it belongs to.
    pub generation: Generation,
    /// It holds everything before this epoch.
    pub cut: Epoch,
    /// The run that wrote it.
    pub run: RunId,
    /// The hash whose order the entries are in.
    pub hash: HashId,
}

/// What became of a snapshot: as its footer, and the manifest, have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footer {
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of all items.
    pub raw: u64,
    /// Entries by type.
    pub entries: Counts,
    /// Length of the file.
    pub length: u64,
    /// The last eight bytes; they vouch for all others.
    pub crc: u64,
}

/// The buffers of a writer, which outlive it. Memory that nobody has touched yet costs whoever
/// touches it first: where pages are huge, the kernel clears two megabytes in the middle of that
/// turn: a stall of 0.1 ms, or of 7 ms in a virtual machine whose host has to find the memory too.
/// So a server makes them when it starts, and a snapshot begins with memory that is there.
pub struct Scratch {
    table: CompressTable,
    raw: Vec<u8>,
    pairs: Vec<u8>,
    out: Vec<u8>,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch {
            table: CompressTable::small(),
            raw: Vec::with_capacity(SNAPSHOT_CHUNK),
            pairs: Vec::new(),
            out: Vec::new(),
        }
    }
}

impl Scratch {
    /// Buffers whose memory has been touched.
    pub fn touched() -> Scratch {
        Scratch {
            table: CompressTable::small(),
            raw: touched(SNAPSHOT_CHUNK),
            pairs: touched(SNAPSHOT_CHUNK),
            out: touched(SNAPSHOT_SCRATCH),
        }
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Scratch({} bytes)", self.out.capacity())
    }
}

/// An empty buffer whose memory has been touched.
pub fn touched(bytes: usize) -> Vec<u8> {
    let mut buffer = Vec::with_capacity(bytes);
    buffer.resize(bytes, 1);
    buffer.clear();
    buffer
}

/// Makes a snapshot's bytes from items.
pub struct ChunkWriter {
    head: Head,
    raw: Vec<u8>,
    pairs: Vec<u8>,
    out: Vec<u8>,
    db: Option<Db>,
    sealer: Sealer,
    entries: Counts,
}

/// Turns raw chunks into stored ones.
struct Sealer {
    identity: Crc64,
    table: CompressTable,
    /// Chunks for which compressing is left off.
    leave_off: u32,
    chunks: u64,
    raw: u64,
    stored: u64,
    checksums: Crc64,
}

/// The first eight bytes.
pub const MAGIC: &[u8; 8] = b"BASALT\0S";
/// The only version of the format so far.
pub const VERSION: u16 = 1;
/// Bytes of a header.
pub const HEADER: usize = 64;
/// Bytes before the stored bytes of a chunk.
pub const CHUNK_HEAD: usize = 17;
/// Bytes of a footer.
pub const FOOTER: usize = 18 + 8 * KINDS.len() + 24;
/// The first byte of a footer.
pub(super) const FOOTER_MARK: u8 = 0xff;
/// The codec of a chunk that is stored as it is.
pub(super) const RAW: u8 = 0;
/// The codec of a compressed chunk.
pub(super) const LZ4: u8 = 1;

/// Chunks between two tries to compress what does not shrink.
const PROBE_EVERY: u32 = 16;

impl Header {
    /// What the header of a shard's base has to be, by the manifest; nothing without a base.
    pub fn expected(manifest: &Manifest, shard: ShardId) -> Option<Header> {
        let base = manifest.shards.get(shard.index())?.base.as_ref()?;
        Some(Header {
            shard,
            shards: u16::try_from(manifest.shards.len()).ok()?,
            generation: manifest.generation,
            cut: manifest.cut,
            run: base.run,
            hash: manifest.hash,
        })
    }

    /// The bytes at the start of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        let mut w = Writer::new(&mut bytes);
        w.raw(MAGIC);
        w.u16(VERSION);
        w.u16(self.shard.0);
        w.u16(self.shards);
        w.u64(self.generation.0);
        w.u64(self.cut.0);
        w.u128(self.run.0);
        w.u16(self.hash.function);
        w.u64(self.hash.seed);
        let crc = crc64(&bytes);
        Writer::new(&mut bytes).u64(crc);
        bytes
    }

    /// Reads what `encode` wrote.
    pub fn decode(bytes: &[u8; HEADER]) -> Option<Header> {
        let mut r = Reader::new(bytes);
        let known = r.take(8)? == MAGIC && r.u16()? == VERSION;
        let (shard, shards) = (ShardId(r.u16()?), r.u16()?);
        let (generation, cut) = (Generation(r.u64()?), Epoch(r.u64()?));
        let run = RunId(r.u128()?);
        let hash = HashId { function: r.u16()?, seed: r.u64()? };
        let holds = r.u64()? == crc64(bytes.get(..HEADER - 8)?);
        (known && holds).then_some(Header { shard, shards, generation, cut, run, hash })
    }

    /// The state in which the checksum of every chunk and of the footer starts.
    pub(super) fn identity(&self) -> Crc64 {
        let mut crc = Crc64::new();
        crc.update(self.encode().get(HEADER - 8..).unwrap_or_default());
        crc
    }
}

/// The checksum of one chunk.
pub(super) fn chunk_crc(identity: &Crc64, number: u64, head: &[u8], stored: &[u8]) -> u64 {
    let mut crc = identity.clone();
    crc.update(&number.to_le_bytes());
    crc.update(head);
    crc.update(stored);
    crc.value()
}

impl Footer {
    /// Appends the footer of a file with this identity; its `crc` is what it returns.
    fn encode(&self, identity: &Crc64, checksums: u64, out: &mut Vec<u8>) -> u64 {
        let start = out.len();
        let mut w = Writer::new(out);
        w.u8(FOOTER_MARK);
        w.u64(self.chunks);
        w.u64(self.raw);
        w.u8(KINDS.len() as u8);
        for kind in KINDS {
            w.u64(self.entries.of(kind));
        }
        w.u64(checksums);
        w.u64(self.length);
        let mut crc = identity.clone();
        crc.update(out.get(start..).unwrap_or_default());
        Writer::new(out).u64(crc.value());
        crc.value()
    }

    /// Reads a footer, whose checksum must hold; also gives the checksum over the chunks'.
    pub(super) fn decode(bytes: &[u8], identity: &Crc64) -> Option<(Footer, u64)> {
        let mut crc = identity.clone();
        crc.update(bytes.get(..FOOTER - 8)?);
        let mut r = Reader::new(bytes);
        let known = r.u8()? == FOOTER_MARK;
        let (chunks, raw) = (r.u64()?, r.u64()?);
        let known = known && usize::from(r.u8()?) == KINDS.len();
        let mut entries = Counts::default();
        for kind in KINDS {
            entries.set(kind, r.u64()?);
        }
        let (checksums, length, own) = (r.u64()?, r.u64()?, r.u64()?);
        let footer = Footer { chunks, raw, entries, length, crc: own };
        (known && own == crc.value()).then_some((footer, checksums))
    }
}

impl ChunkWriter {
    /// A writer for a new file.
    pub fn new(header: &Header) -> ChunkWriter {
        ChunkWriter::reusing(header, Scratch::default())
    }

    /// A writer for a new file, with the buffers of an earlier one.
    pub fn reusing(header: &Header, mut scratch: Scratch) -> ChunkWriter {
        scratch.raw.clear();
        scratch.out.clear();
        scratch.out.extend_from_slice(&header.encode());
        let sealer = Sealer {
            identity: header.identity(),
            table: scratch.table,
            leave_off: 0,
            chunks: 0,
            raw: 0,
            stored: 0,
            checksums: Crc64::new(),
        };
        ChunkWriter {
            head: Head::default(),
            raw: scratch.raw,
            pairs: scratch.pairs,
            out: scratch.out,
            db: None,
            sealer,
            entries: Counts::default(),
        }
    }

    /// About so many keys of a database are to come: the loader makes room for them.
    pub fn expect(&mut self, db: Db, keys: u64) {
        self.head.expect(db, keys);
        self.push_head();
    }

    /// A library of functions.
    pub fn library(&mut self, name: &[u8], text: &[u8]) {
        self.head.library(name.len(), text.len());
        self.push_head();
        self.push(name);
        self.push(text);
    }

    /// A string in one piece.
    #[inline]
    pub fn string(&mut self, db: Db, key: &[u8], deadline: Option<Millis>, value: &[u8]) {
        self.select(db);
        self.entries.add(Kind::String);
        self.head.entry(Kind::String, key.len(), deadline, value.len());
        self.push_head();
        self.push(key);
        self.push(value);
    }

    /// A hash in one piece.
    pub fn hash<'a>(
        &mut self,
        db: Db,
        key: &[u8],
        deadline: Option<Millis>,
        pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) {
        self.select(db);
        self.entries.add(Kind::Hash);
        let mut value = std::mem::take(&mut self.pairs);
        value.clear();
        for (field, bytes) in pairs {
            put_pair(&mut value, field, bytes);
        }
        self.head.entry(Kind::Hash, key.len(), deadline, value.len());
        self.push_head();
        self.push(key);
        self.push(&value);
        self.pairs = value;
    }

    /// A small value of another type, or a small hash with deadlines of fields.
    pub fn whole(
        &mut self,
        db: Db,
        key: &[u8],
        deadline: Option<Millis>,
        (kind, value): (Kind, &[u8]),
    ) {
        self.select(db);
        self.entries.add(kind);
        self.head.whole(kind, key.len(), deadline, value.len());
        self.push_head();
        self.push(key);
        self.push(value);
    }

    /// A value that follows in fragments. `size` is bytes for a string, else elements.
    pub fn open(
        &mut self,
        id: u64,
        db: Db,
        key: &[u8],
        deadline: Option<Millis>,
        (kind, size): (Kind, u64),
    ) {
        self.select(db);
        self.entries.add(kind);
        self.head.open(id, kind, size, key.len(), deadline);
        self.push_head();
        self.push(key);
    }

    /// A field of an open hash.
    pub fn field(&mut self, id: u64, field: &[u8], value: &[u8], deadline: Option<Millis>) {
        self.head.field(id, field.len(), value.len(), deadline);
        self.push_head();
        self.push(field);
        self.push(value);
    }

    /// A part of an open string.
    pub fn chunk(&mut self, id: u64, offset: u64, bytes: &[u8]) {
        self.head.chunk(id, offset, bytes.len());
        self.push_head();
        self.push(bytes);
    }

    /// An open value is complete.
    pub fn close(&mut self, id: u64) {
        self.head.close(id);
        self.push_head();
    }

    /// How many bytes of the file are ready to be taken.
    pub fn ready(&self) -> usize {
        self.out.len()
    }

    /// The bytes that are ready, in the order of the file. `used` is an old buffer whose memory
    /// serves again.
    pub fn take(&mut self, mut used: Vec<u8>) -> Vec<u8> {
        used.clear();
        std::mem::replace(&mut self.out, used)
    }

    /// Ends the file: the bytes that are left, and what the manifest has to say about it.
    pub fn finish(mut self) -> (Vec<u8>, Footer) {
        let footer = self.end();
        (self.out, footer)
    }

    /// Gives the buffers back, whatever is in them.
    pub fn into_scratch(self) -> Scratch {
        let kept = |mut buffer: Vec<u8>| {
            buffer.clear();
            buffer.shrink_to(SNAPSHOT_SCRATCH);
            buffer
        };
        Scratch {
            table: self.sealer.table,
            raw: kept(self.raw),
            pairs: kept(self.pairs),
            out: kept(self.out),
        }
    }

    /// As `finish`; what is left can be taken.
    pub fn end(&mut self) -> Footer {
        if !self.raw.is_empty() {
            self.sealer.seal(&self.raw, &mut self.out);
        }
        self.raw.clear();
        let sealer = &self.sealer;
        let mut footer = Footer {
            chunks: sealer.chunks,
            raw: sealer.raw,
            entries: self.entries,
            length: (HEADER + FOOTER) as u64 + sealer.stored,
            crc: 0,
        };
        footer.crc = footer.encode(&sealer.identity, sealer.checksums.value(), &mut self.out);
        footer
    }

    #[inline]
    fn select(&mut self, db: Db) {
        if self.db != Some(db) {
            self.db = Some(db);
            self.head.database(db);
            self.push_head();
        }
    }

    #[inline]
    fn push_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        self.push(head.bytes());
        self.head = head;
    }

    #[inline]
    fn push(&mut self, mut bytes: &[u8]) {
        while let Some((now, later)) = bytes.split_at_checked(SNAPSHOT_CHUNK - self.raw.len()) {
            self.raw.extend_from_slice(now);
            self.sealer.seal(&self.raw, &mut self.out);
            self.raw.clear();
            bytes = later;
        }
        self.raw.extend_from_slice(bytes);
    }
}

impl Sealer {
    fn seal(&mut self, raw: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        let body = start + CHUNK_HEAD;
        let codec = if self.try_lz4(raw, out, body) { LZ4 } else { RAW };
        if codec == RAW {
            out.resize(body, 0);
            out.extend_from_slice(raw);
        }
        let (head, stored) = out.split_at_mut(body);
        let head = head.get_mut(start..).unwrap_or_default();
        let (fields, crc_field) = head.split_at_mut(CHUNK_HEAD - 8);
        let (codec_field, lengths) = fields.split_at_mut(1);
        codec_field.copy_from_slice(&[codec]);
        let (raw_field, stored_field) = lengths.split_at_mut(4);
        raw_field.copy_from_slice(&(raw.len() as u32).to_le_bytes());
        stored_field.copy_from_slice(&(stored.len() as u32).to_le_bytes());
        let crc = chunk_crc(&self.identity, self.chunks, fields, stored).to_le_bytes();
        crc_field.copy_from_slice(&crc);
        self.checksums.update(&crc);
        self.chunks += 1;
        self.raw += raw.len() as u64;
        self.stored += (CHUNK_HEAD + stored.len()) as u64;
    }

    /// Puts the compressed form of `raw` behind `body` if it is worth it.
    fn try_lz4(&mut self, raw: &[u8], out: &mut Vec<u8>, body: usize) -> bool {
        if self.leave_off > 0 {
            self.leave_off -= 1;
            return false;
        }
        out.resize(body + get_maximum_output_size(raw.len()), 0);
        let room = out.get_mut(body..).unwrap_or_default();
        let stored = compress_into_with_table(raw, room, &mut self.table);
        let stored = stored.ok().filter(|stored| *stored <= raw.len() / 10 * 9);
        match stored {
            Some(stored) => out.truncate(body + stored),
            None => self.leave_off = PROBE_EVERY - 1,
        }
        stored.is_some()
    }
}

impl std::fmt::Debug for ChunkWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChunkWriter {{ chunks: {}, ready: {} }}", self.sealer.chunks, self.out.len())
    }
}

#[cfg(test)]
mod tests;
