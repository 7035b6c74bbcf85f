//! Reading a segment: its records, verified, and what its tail is.
//!
//! Two passes, fed with the blocks of the file in order. `SegmentScan` goes before any decision: it
//! verifies every record and tells where the valid part ends and what lies behind, with the
//! figures that recovery decides upon. `SegmentReader` then gives the records up to the
//! end that was decided, and whatever is not valid there is a fault.
//!
//! What lies behind the last valid record is
//! - clean: nothing, or zeros (preallocated space);
//! - torn: what an interrupted write leaves, and no valid record behind it: the beginning of the
//!   record that follows, then nothing, or zeros where blocks are missing;
//! - changed: other bytes, and no valid record among them. Without a power cut that is damage: a
//!   process that dies leaves a beginning of what it wrote;
//! - a gap: other bytes, and behind them a valid record of this segment whose lsn was still to
//!   come. Without a power cut that is damage. After one it may be an unsynced tail of which
//!   only some blocks reached the device; recovery.rs tells the two apart.
//!
//! A payload is gathered in memory only after its header has passed its own checksum, so a
//! damaged length costs nothing. At most one record is held.

use memchr::memmem::Finder;

use crate::base::ids::{Epoch, Lsn};
use crate::persist::fault::StorageFault;
use crate::persist::payload::{BadPayload, Pieces, Selected, Transaction, transaction_of};
use crate::persist::record::{Header, LINE, MARK, Policy, SegmentId, begins};

/// What a device writes whole or not at all.
const BLOCK: u64 = 512;

/// A record that is valid: its line, its lsn and its checksum.
#[derive(Debug)]
pub struct Record<'a> {
    header: Header,
    offset: u64,
    payload: &'a [u8],
    selected: &'a mut Selected,
}

/// What lies behind the last valid record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing, or zeros.
    Clean,
    /// The beginning of a record, and no valid one behind it.
    Torn,
    /// Other bytes without a valid record.
    Changed,
    /// Other bytes, then a valid record.
    Gap {
        /// Offset of the first valid record behind the gap.
        resumes: u64,
        /// Its epoch; what the gap has swallowed is not younger.
        epoch: Epoch,
    },
}

/// A place where a segment could be cut: the first record with this epoch and policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Offset of the record.
    pub offset: u64,
    /// Lsn of its first unit.
    pub lsn: Lsn,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its policy.
    pub policy: Policy,
}

/// Which parts of transactions a scan gives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parts {
    /// Those that may be lost: what is durable on all shards is whole.
    #[default]
    Undecided,
    /// All, for a cut of what was durable.
    All,
}

/// A part of a transaction; its record begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which transaction, and who has a part in it.
    pub transaction: Transaction,
    /// Offset of the record.
    pub offset: u64,
    /// Lsn of the part.
    pub lsn: Lsn,
    /// Its epoch, the same at all participants.
    pub epoch: Epoch,
}

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes of valid records from the start.
    pub length: u64,
    /// Lsn of the first unit, if there is a record or it was given.
    pub first: Option<Lsn>,
    /// The lsn that follows; like `first` if there is no record.
    pub next: Option<Lsn>,
    /// Number of valid records.
    pub records: u64,
    /// Epoch of the first valid record.
    pub first_epoch: Option<Epoch>,
    /// Epoch of the last valid record.
    pub last_epoch: Option<Epoch>,
    /// Highest epoch of any record, also behind a gap.
    pub max_epoch: Epoch,
    /// Highest epoch that a record, also behind a gap, calls durable on all shards.
    pub durable: Epoch,
    /// Highest lsn that a record, also behind a gap, calls durable on this shard.
    pub synced: Lsn,
    /// Wall clock of the last valid record, in milliseconds.
    pub last_time: u64,
    /// What lies behind.
    pub tail: Tail,
    /// The epoch of the record that the tail begins with, if its header holds.
    pub announced: Option<Epoch>,
    /// Where epoch or policy change, from the durable epoch on.
    pub marks: Vec<Mark>,
    /// Parts of transactions, from the durable epoch on, in order.
    pub parts: Vec<Part>,
}

impl Scanned {
    /// The records before this offset are durable, by the word of later ones.
    pub fn proven(&self) -> u64 {
        self.marks.first().map_or(self.length, |mark| mark.offset)
    }
}

/// The first pass.
#[derive(Debug)]
pub struct SegmentScan {
    id: SegmentId,
    window: Window,
    finder: Finder<'static>,
    found: Scanned,
    wanted: Parts,
    lost: bool,
    zeros: bool,
    /// What follows the valid part could be the beginning of a record.
    begun: bool,
}

/// The second pass.
#[derive(Debug)]
pub struct SegmentReader {
    id: SegmentId,
    file: String,
    window: Window,
    length: u64,
    next: Lsn,
    end: Option<Lsn>,
    selected: Selected,
}

/// The bytes that have been fed and not yet dealt with.
#[derive(Debug, Default)]
struct Window {
    buffer: Vec<u8>,
    at: usize,
    /// Offset in the file of the first byte that is left.
    offset: u64,
}

/// What a look at the front of the bytes tells.
enum Look {
    Valid(Header),
    Invalid(Option<Header>),
    /// The record goes on behind the bytes that are there.
    Short(Option<Header>),
}

impl<'a> Record<'a> {
    /// What its line says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Offset of its line in the file.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Its payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The commands of its payload. Read them all, so that the next record knows its database.
    pub fn into_pieces(self) -> Pieces<'a> {
        Pieces::new(self.payload, u64::from(self.header.count), self.selected)
    }
}

impl SegmentScan {
    /// A scan of segment `id`, whose first lsn is known unless the cut that begins it was still
    /// being prepared.
    pub fn new(id: SegmentId, first: Option<Lsn>) -> SegmentScan {
        let found = Scanned {
            length: 0,
            first,
            next: first,
            records: 0,
            first_epoch: None,
            last_epoch: None,
            max_epoch: Epoch(0),
            durable: Epoch(0),
            synced: Lsn(0),
            last_time: 0,
            tail: Tail::Clean,
            announced: None,
            marks: Vec::new(),
            parts: Vec::new(),
        };
        let (window, finder, wanted) = (Window::default(), Finder::new(MARK), Parts::default());
        SegmentScan { id, window, finder, found, wanted, lost: false, zeros: true, begun: false }
    }

    /// The same, giving these parts.
    pub fn giving(self, wanted: Parts) -> SegmentScan {
        SegmentScan { wanted, ..self }
    }

    /// The next block of the file.
    pub fn feed(&mut self, block: &[u8]) {
        self.window.feed(block);
        while !self.lost {
            match self.window.look(self.id) {
                Look::Short(_) => return,
                Look::Valid(header) if self.follows(&header) => self.take(header),
                Look::Valid(_) => self.lost = true,
                Look::Invalid(None) => {
                    self.begun = self.is_begun_line();
                    self.lost = true;
                }
                Look::Invalid(Some(header)) => {
                    self.begun = self.follows(&header) && self.misses_blocks(&header);
                    self.found.announced = Some(header.epoch);
                    self.lost = true;
                }
            }
        }
        self.search(Feeding::More);
    }

    /// What was found. All of the file has been fed.
    pub fn finish(mut self) -> Scanned {
        if !self.lost && !self.window.rest().is_empty() {
            match self.window.look(self.id) {
                Look::Short(Some(header)) => {
                    self.begun = self.follows(&header);
                    self.found.announced = Some(header.epoch);
                }
                _ => self.begun = self.is_begun_line(),
            }
            self.lost = true;
        }
        self.search(Feeding::Done);
        if self.found.tail == Tail::Clean && !self.zeros {
            self.found.tail = if self.begun { Tail::Torn } else { Tail::Changed };
        }
        self.found
    }

    fn follows(&self, header: &Header) -> bool {
        let follows = self.found.next.is_none_or(|next| header.first == next);
        follows && self.found.last_epoch.is_none_or(|epoch| header.epoch >= epoch)
    }

    /// Is the line at the front one that was not written to its end? A line ends in LF, so zeros
    /// behind a beginning are where its rest is missing; zeros at its start are a missing block.
    fn is_begun_line(&self) -> bool {
        let rest = self.window.rest();
        let line = rest.get(..LINE).unwrap_or(rest);
        let written = line.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
        let missing = written < LINE && line.first() == Some(&0);
        let begun = line.get(..written).unwrap_or_default();
        missing || (written < LINE && begins(begun, self.id, self.found.next))
    }

    /// Is a part of the payload at the front missing? Where it ends in zeros, or a block is zeros.
    fn misses_blocks(&self, header: &Header) -> bool {
        let rest = self.window.rest();
        let payload = rest.get(LINE..LINE + header.payload as usize).unwrap_or_default();
        let first = (BLOCK - (self.window.offset + LINE as u64) % BLOCK) % BLOCK;
        let blocks = payload.get(first as usize..).unwrap_or_default().chunks(BLOCK as usize);
        let zeros = |block: &[u8]| block.iter().all(|byte| *byte == 0);
        payload.last() == Some(&0) || blocks.into_iter().any(zeros)
    }

    fn take(&mut self, header: Header) {
        let (offset, lsn) = (self.window.offset, header.first);
        let found = &mut self.found;
        found.first = found.first.or(Some(lsn));
        found.next = Some(header.next());
        found.records += 1;
        found.first_epoch = found.first_epoch.or(Some(header.epoch));
        found.last_epoch = Some(header.epoch);
        found.last_time = header.now.0;
        let Header { epoch, policy, .. } = header;
        if found.marks.last().is_none_or(|last| last.epoch != epoch || last.policy != policy) {
            found.marks.push(Mark { offset, lsn, epoch, policy });
        }
        let rest = self.window.rest();
        let payload = rest.get(LINE..LINE + header.payload as usize).unwrap_or_default();
        if let Some(transaction) = transaction_of(payload) {
            found.parts.push(Part { transaction, offset, lsn, epoch });
        }
        self.note(&header);
        self.window.skip(LINE + header.payload as usize);
        self.found.length = self.window.offset;
    }

    /// Takes the figures of a valid record, and drops what they make irrelevant.
    fn note(&mut self, header: &Header) {
        let found = &mut self.found;
        found.max_epoch = found.max_epoch.max(header.epoch);
        found.synced = found.synced.max(header.synced);
        if header.durable <= found.durable {
            return;
        }
        found.durable = header.durable;
        let durable = header.durable;
        let old = found.marks.iter().take_while(|mark| mark.epoch <= durable).count();
        found.marks.drain(..old);
        if self.wanted == Parts::Undecided {
            found.parts.retain(|part| part.epoch > durable);
        }
    }

    /// Behind the valid part: looks for valid records with an lsn that was still to come.
    fn search(&mut self, feeding: Feeding) {
        while self.lost {
            let rest = self.window.rest();
            let Some(at) = self.finder.find(rest) else {
                let keep = if feeding == Feeding::Done { 0 } else { MARK.len() - 1 };
                return self.pass(rest.len().saturating_sub(keep));
            };
            self.pass(at);
            match self.window.look(self.id) {
                Look::Short(_) if feeding == Feeding::More => return,
                Look::Valid(header) if self.found.next.is_none_or(|next| header.first >= next) => {
                    if !matches!(self.found.tail, Tail::Gap { .. }) {
                        let (resumes, epoch) = (self.window.offset, header.epoch);
                        self.found.tail = Tail::Gap { resumes, epoch };
                    }
                    self.note(&header);
                    self.window.skip(LINE + header.payload as usize);
                }
                _ => self.pass(1),
            }
        }
    }

    fn pass(&mut self, count: usize) {
        let bytes = self.window.rest().get(..count).unwrap_or_default();
        self.zeros = self.zeros && bytes.iter().all(|byte| *byte == 0);
        self.window.skip(count);
    }
}

/// Whether more of the file is to come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Feeding {
    More,
    Done,
}

impl SegmentReader {
    /// A reader of the first `length` bytes of segment `id`, whose first unit has lsn `first` and
    /// behind whose last unit comes lsn `end`, if that is known. `file` is named in faults.
    pub fn new(
        file: impl Into<String>,
        id: SegmentId,
        first: Lsn,
        length: u64,
        end: Option<Lsn>,
    ) -> SegmentReader {
        let (file, window) = (file.into(), Window::default());
        SegmentReader { id, file, window, length, next: first, end, selected: None }
    }

    /// The next block of the file.
    pub fn feed(&mut self, block: &[u8]) {
        self.window.feed(block);
    }

    /// Whether the end has been reached: no more blocks are needed.
    pub fn at_end(&self) -> bool {
        self.window.offset >= self.length
    }

    /// The lsn behind the last record read.
    pub fn next_lsn(&self) -> Lsn {
        self.next
    }

    /// The next record; nothing when another block is needed, or at the end.
    #[expect(clippy::should_implement_trait, reason = "what it lends is gone at the next call")]
    pub fn next(&mut self) -> Result<Option<Record<'_>>, StorageFault> {
        if self.at_end() {
            return Ok(None);
        }
        let offset = self.window.offset;
        let header = match self.window.look(self.id) {
            Look::Valid(header) => header,
            Look::Short(Some(header)) if self.beyond(&header) => return Err(self.too_long()),
            Look::Short(_) => return Ok(None),
            Look::Invalid(header) => {
                let found = header.map_or("other bytes", |_| "a payload that was changed");
                return Err(self.fault(format!("a record with lsn {}", self.next.0), found));
            }
        };
        if header.first != self.next {
            let found = format!("lsn {}", header.first.0);
            return Err(self.fault(format!("a record with lsn {}", self.next.0), found));
        }
        if self.beyond(&header) {
            return Err(self.too_long());
        }
        self.next = header.next();
        let payload = self.window.take(LINE + header.payload as usize);
        let payload = payload.get(LINE..).unwrap_or_default();
        Ok(Some(Record { header, offset, payload, selected: &mut self.selected }))
    }

    /// After the last block: a fault unless exactly what was to be read has been read.
    pub fn finish(&self) -> Result<(), StorageFault> {
        if !self.at_end() {
            let found = format!("the end of the file, {} bytes on", self.window.rest().len());
            return Err(self.fault(format!("records up to byte {}", self.length), found));
        }
        match self.end {
            Some(end) if end != self.next => {
                let found = format!("lsn {}", self.next.0);
                Err(self.fault(format!("to end before lsn {}", end.0), found))
            }
            _ => Ok(()),
        }
    }

    /// The fault for a payload, in the record at `offset`, that is not what it has to be.
    pub fn bad_payload(&self, offset: u64, bad: BadPayload) -> StorageFault {
        let at = offset + LINE as u64 + bad.at as u64;
        StorageFault::new(&self.file, at, bad.expected, "something else")
    }

    fn beyond(&self, header: &Header) -> bool {
        let end = self.window.offset.saturating_add(LINE as u64).saturating_add(header.payload);
        end > self.length
    }

    fn too_long(&self) -> StorageFault {
        self.fault(format!("the end of a record at byte {}", self.length), "a longer record")
    }

    fn fault(&self, expected: impl Into<String>, found: impl Into<String>) -> StorageFault {
        StorageFault::new(&self.file, self.window.offset, expected, found)
    }
}

impl Window {
    fn feed(&mut self, block: &[u8]) {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.extend_from_slice(block);
    }

    fn rest(&self) -> &[u8] {
        self.buffer.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
        self.offset += count as u64;
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let start = self.at;
        self.skip(count);
        self.buffer.get(start..self.at).unwrap_or_default()
    }

    fn look(&self, id: SegmentId) -> Look {
        let rest = self.rest();
        let Some((line, behind)) = rest.split_at_checked(LINE) else { return Look::Short(None) };
        let Some(mut announced) = Header::read(line, id) else { return Look::Invalid(None) };
        let header = *announced.header();
        let payload = usize::try_from(header.payload).ok().and_then(|len| behind.get(..len));
        let Some(payload) = payload else { return Look::Short(Some(header)) };
        announced.update(payload);
        announced.verified().map_or(Look::Invalid(Some(header)), Look::Valid)
    }
}

#[cfg(test)]
pub(super) mod tests;
