//! Reading a snapshot file: chunk by chunk, verified, then item by item. The format stands in
//! snapshot_file.rs.
//!
//! ```text
//! feed(block)                       the blocks of the file in order
//! while let Some(items) = next()?   needs another block, or is at the end
//!     while let Some(item) = items.next()?
//! finish()?                         after the last block: it was a snapshot
//! ```
//!
//! What the items say counts only once `finish` has not found a fault: a shard that was loaded from
//! a file that turns out not to be a snapshot is thrown away.

use lz4_flex::block::decompress_into;

use crate::base::checksum::Crc64;
use crate::base::ids::Db;
use crate::base::wire::Reader;
use crate::limits::SNAPSHOT_CHUNK_MAX;
use crate::persist::fault::StorageFault;
use crate::persist::snapshot_file::{
    CHUNK_HEAD, FOOTER, FOOTER_MARK, Footer, HEADER, Header, LZ4, RAW, chunk_crc,
};
use crate::persist::snapshot_item::{Item, Parsed, parse};
use crate::persist::value_codec::Counts;
use crate::types::value::Kind;

/// What the file has to be, by the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Its header.
    pub header: Header,
    /// Its length.
    pub length: u64,
    /// Its footer's checksum.
    pub crc: u64,
}

/// Reads one snapshot.
#[derive(Debug)]
pub struct SnapshotReader {
    file: String,
    expected: Option<Expected>,
    input: Vec<u8>,
    at: usize,
    offset: u64,
    header: Option<Header>,
    identity: Crc64,
    chunks: u64,
    raw_sum: u64,
    checksums: Crc64,
    footer: Option<Footer>,
    raw: Vec<u8>,
    parsed: usize,
    state: State,
}

/// What has been seen of the items.
#[derive(Debug, Default)]
struct State {
    db: Db,
    entries: Counts,
    /// Bytes of the file: it does not hold more keys or elements.
    most: Option<u64>,
}

/// The items of the chunks that have been read so far and were not given yet.
#[derive(Debug)]
pub struct Items<'a> {
    raw: &'a [u8],
    at: &'a mut usize,
    state: &'a mut State,
    file: &'a str,
    offset: u64,
}

impl SnapshotReader {
    /// A reader of the file `file`; without `expected` any snapshot will do.
    pub fn new(file: impl Into<String>, expected: Option<Expected>) -> SnapshotReader {
        let most = expected.as_ref().map(|expected| expected.length);
        SnapshotReader {
            file: file.into(),
            expected,
            input: Vec::new(),
            at: 0,
            offset: 0,
            header: None,
            identity: Crc64::new(),
            chunks: 0,
            raw_sum: 0,
            checksums: Crc64::new(),
            footer: None,
            raw: Vec::new(),
            parsed: 0,
            state: State { most, ..State::default() },
        }
    }

    /// The header, once it has been read.
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The next block of the file.
    pub fn feed(&mut self, block: &[u8]) {
        self.input.drain(..self.at);
        self.at = 0;
        self.input.extend_from_slice(block);
    }

    /// The items of the next chunk; nothing when another block is needed, or at the end.
    #[expect(clippy::should_implement_trait, reason = "what it lends is gone at the next call")]
    pub fn next(&mut self) -> Result<Option<Items<'_>>, StorageFault> {
        if self.header.is_none() && !self.read_header()? {
            return Ok(None);
        }
        let offset = self.offset;
        if self.footer.is_some() || !self.read_chunk()? {
            return Ok(None);
        }
        let Self { raw, parsed, state, file, .. } = self;
        Ok(Some(Items { raw, at: parsed, state, file, offset }))
    }

    /// After the last block: the footer, if the file was a snapshot.
    pub fn finish(self) -> Result<Footer, StorageFault> {
        let Some(footer) = self.footer else {
            let expected = if self.header.is_none() { "a header" } else { "a footer" };
            return Err(self.fault(expected, "the end of the file"));
        };
        if self.at < self.input.len() {
            return Err(self.fault("the end of the file", "more bytes"));
        }
        Ok(footer)
    }

    fn read_header(&mut self) -> Result<bool, StorageFault> {
        let Some(bytes) = self.input.get(self.at..).and_then(|rest| rest.first_chunk::<HEADER>())
        else {
            return Ok(false);
        };
        let Some(header) = Header::decode(bytes) else {
            return Err(self.fault("the header of a snapshot, version 1", "other bytes"));
        };
        if let Some(expected) = &self.expected
            && expected.header != header
        {
            let expected = format!("{:?}", expected.header);
            return Err(self.fault(&expected, &format!("{header:?}")));
        }
        self.identity = header.identity();
        self.header = Some(header);
        self.skip(HEADER);
        Ok(true)
    }

    /// Reads one chunk behind what is left of the raw bytes; says whether there was one.
    fn read_chunk(&mut self) -> Result<bool, StorageFault> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        if rest.first() == Some(&FOOTER_MARK) {
            self.read_footer()?;
            return Ok(false);
        }
        let Some((head, behind)) = rest.split_at_checked(CHUNK_HEAD) else { return Ok(false) };
        let mut r = Reader::new(head);
        let lens = (r.u8(), r.u32(), r.u32(), r.u64());
        let (Some(codec), Some(raw_len), Some(stored_len), Some(crc)) = lens else {
            return Ok(false);
        };
        let (raw_len, stored_len) = (raw_len as usize, stored_len as usize);
        let sizes = raw_len > 0 && raw_len <= SNAPSHOT_CHUNK_MAX && stored_len <= raw_len;
        if codec > LZ4 || !sizes || (codec == RAW && stored_len != raw_len) {
            let found = format!("codec {codec}, {stored_len} bytes for {raw_len}");
            return Err(self.fault("the head of a chunk", &found));
        }
        let Some(stored) = behind.get(..stored_len) else { return Ok(false) };
        let fields = head.get(..CHUNK_HEAD - 8).unwrap_or_default();
        let found = chunk_crc(&self.identity, self.chunks, fields, stored);
        if found != crc {
            let expected = format!("chunk {} with checksum {crc:016x}", self.chunks);
            return Err(self.fault(&expected, &format!("{found:016x}")));
        }
        self.raw.drain(..self.parsed);
        self.parsed = 0;
        let start = self.raw.len();
        if codec == RAW {
            self.raw.extend_from_slice(stored);
        } else {
            self.raw.resize(start + raw_len, 0);
            let room = self.raw.get_mut(start..).unwrap_or_default();
            if decompress_into(stored, room).ok() != Some(raw_len) {
                let expected = format!("a chunk of {raw_len} bytes");
                return Err(self.fault(&expected, "one that cannot be decompressed"));
            }
        }
        self.chunks += 1;
        self.raw_sum += raw_len as u64;
        self.checksums.update(&crc.to_le_bytes());
        self.skip(CHUNK_HEAD + stored_len);
        Ok(true)
    }

    fn read_footer(&mut self) -> Result<(), StorageFault> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let Some(bytes) = rest.get(..FOOTER) else { return Ok(()) };
        let Some((footer, checksums)) = Footer::decode(bytes, &self.identity) else {
            return Err(self.fault("a footer", "one whose checksum does not hold"));
        };
        let length = self.offset + FOOTER as u64;
        let seen = Footer {
            chunks: self.chunks,
            raw: self.raw_sum,
            entries: self.state.entries,
            length,
            crc: footer.crc,
        };
        if self.parsed < self.raw.len() {
            return Err(self.fault("items that end with the last chunk", "a part of one"));
        }
        if seen != footer || checksums != self.checksums.value() {
            return Err(self.fault(&format!("{footer:?}"), &format!("{seen:?}")));
        }
        if let Some(Expected { length, crc, .. }) = self.expected
            && (length != footer.length || crc != footer.crc)
        {
            let expected = format!("{length} bytes, checksum {crc:016x}");
            let found = format!("{} bytes, checksum {:016x}", footer.length, footer.crc);
            return Err(self.fault(&expected, &found));
        }
        self.footer = Some(footer);
        self.skip(FOOTER);
        Ok(())
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
        self.offset += count as u64;
    }

    fn fault(&self, expected: &str, found: &str) -> StorageFault {
        StorageFault::new(&self.file, self.offset, expected, found)
    }
}

impl<'a> Items<'a> {
    /// Where in the file the chunk begins that the next item ends in.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next item; nothing when the rest lies in the next chunk.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "it can fail")]
    pub fn next(&mut self) -> Result<Option<Item<'a>>, StorageFault> {
        loop {
            let rest = self.raw.get(*self.at..).unwrap_or_default();
            match parse(rest, self.state.db) {
                Ok(Parsed::Short) => return Ok(None),
                Ok(Parsed::Database(db, used)) => {
                    self.state.db = db;
                    *self.at += used;
                }
                Ok(Parsed::Item(item, used)) => {
                    *self.at += used;
                    self.state.count(&item);
                    return Ok(Some(self.state.possible(item)));
                }
                Err(_) => {
                    let found = "something else";
                    return Err(StorageFault::new(self.file, self.offset, "an item", found));
                }
            }
        }
    }
}

impl State {
    /// How many keys are to come is only a hint, and room is made for them: so it is no more than
    /// there can be.
    #[inline]
    fn possible<'a>(&self, item: Item<'a>) -> Item<'a> {
        match (item, self.most) {
            (Item::Expect { db, keys }, Some(most)) => Item::Expect { db, keys: keys.min(most) },
            _ => item,
        }
    }

    #[inline]
    fn count(&mut self, item: &Item<'_>) {
        match item {
            Item::Str { .. } => self.entries.add(Kind::String),
            Item::Hash { .. } => self.entries.add(Kind::Hash),
            Item::Open { kind, .. } | Item::Whole { kind, .. } => self.entries.add(*kind),
            Item::Library { .. }
            | Item::Expect { .. }
            | Item::Field { .. }
            | Item::Chunk { .. }
            | Item::Close { .. } => {}
        }
    }
}
