//! The bytes on their way to one segment file: gathered, sealed, in flight, written, synced.

use crate::base::ids::{Epoch, Lsn};
use crate::base::mutant::Mutant;
use crate::limits::RECORD_PAYLOAD;
use crate::persist::payload::Selected;
use crate::persist::record::{Header, LINE, SegmentId};
use crate::persist::segment::{Closed, Out, Stamp, WriteJob};

/// A point of the log: everything up to `lsn`, and everything that was or will be done in epochs
/// up to `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Point {
    pub lsn: Lsn,
    pub epoch: Epoch,
}

/// A record whose line is still to be filled in.
#[derive(Debug)]
struct Open {
    start: usize,
    first: Lsn,
    count: u32,
    epoch: Epoch,
}

/// What a buffer holds: the epoch of its first record and the last lsn of its last one.
#[derive(Clone, Copy, Debug)]
struct Extent {
    first: Epoch,
    last: Lsn,
}

/// One segment file's queue. Order of its bytes: written, in flight (or the rest of a short
/// write), sealed, open.
#[derive(Debug)]
pub(super) struct Queue {
    id: SegmentId,
    selected: Selected,
    /// Sealed bytes first, then open records.
    buffer: Vec<u8>,
    sealed: usize,
    sealed_extent: Option<Extent>,
    open: Vec<Open>,
    /// The next unit must not join the last open record.
    ended: bool,
    /// The write that was handed out, or of which a rest has to be offered again.
    flight: Option<Extent>,
    flight_len: usize,
    rest: Option<WriteJob>,
    spare: Vec<u8>,
    /// Bytes that completed writes have put into the file.
    offset: u64,
    /// Bytes that the last completed sync covers.
    synced: u64,
    written: Point,
    durable: Point,
    sync: Option<(u64, Point)>,
    /// The epoch of the switch that ended this segment.
    until: Option<Epoch>,
    gave_up: bool,
}

/// A buffer that grew beyond this is not kept for reuse.
const SPARE_MAX: usize = 4 * RECORD_PAYLOAD;

impl Queue {
    pub fn new(id: SegmentId, last: Lsn, epoch: Epoch) -> Queue {
        let point = Point { lsn: last, epoch: before(epoch) };
        Queue {
            id,
            selected: None,
            buffer: Vec::new(),
            sealed: 0,
            sealed_extent: None,
            open: Vec::new(),
            ended: false,
            flight: None,
            flight_len: 0,
            rest: None,
            spare: Vec::new(),
            offset: 0,
            synced: 0,
            written: point,
            durable: point,
            sync: None,
            until: None,
            gave_up: false,
        }
    }

    pub fn id(&self) -> SegmentId {
        self.id
    }

    pub fn written(&self) -> Point {
        self.written
    }

    pub fn durable(&self) -> Point {
        self.durable
    }

    pub fn gave_up(&self) -> bool {
        self.gave_up
    }

    pub fn writing(&self) -> bool {
        self.flight.is_some() && self.rest.is_none()
    }

    pub fn syncing(&self) -> bool {
        self.sync.is_some()
    }

    pub fn pending(&self) -> usize {
        self.flight_len + self.buffer.len()
    }

    pub fn length(&self) -> u64 {
        self.offset + self.pending() as u64
    }

    pub fn all_written(&self) -> bool {
        self.flight.is_none() && self.buffer.is_empty()
    }

    /// Where the unit with this lsn is to be encoded; nowhere once the queue gave up.
    #[inline]
    pub fn unit(&mut self, epoch: Epoch, lsn: Lsn) -> Option<Out<'_>> {
        if self.gave_up {
            return None;
        }
        let end = self.buffer.len();
        match self.open.last_mut() {
            Some(open)
                if open.epoch == epoch && end - open.start < RECORD_PAYLOAD && !self.ended =>
            {
                open.count += 1;
            }
            _ => self.begin_record(epoch, lsn, 1),
        }
        Some((&mut self.buffer, &mut self.selected))
    }

    pub fn end_record(&mut self) {
        self.ended = true;
    }

    pub fn commit(&mut self, epoch: Epoch, last: Lsn) {
        if self.open.is_empty() && !self.gave_up {
            self.begin_record(epoch, last.next(), 0);
        }
    }

    fn begin_record(&mut self, epoch: Epoch, first: Lsn, count: u32) {
        self.open.push(Open { start: self.buffer.len(), first, count, epoch });
        self.buffer.extend_from_slice(&[0; LINE]);
        self.ended = false;
    }

    pub fn seal(&mut self, stamp: Stamp, synced: Lsn) {
        let mut end = self.buffer.len();
        let (Some(first), Some(last)) = (self.open.first(), self.open.last()) else { return };
        let last = Lsn(last.first.0 + u64::from(last.count) - 1);
        let first = self.sealed_extent.map_or(first.epoch, |extent| extent.first);
        self.sealed_extent = Some(Extent { first, last });
        for open in self.open.drain(..).rev() {
            let record = self.buffer.get_mut(open.start..end).unwrap_or_default();
            let (line, payload) = record.split_at_mut(LINE);
            let header = Header {
                first: open.first,
                count: open.count,
                epoch: open.epoch,
                durable: stamp.durable,
                synced,
                now: stamp.now,
                policy: stamp.policy,
                payload: payload.len() as u64,
            };
            line.copy_from_slice(&header.write(self.id, payload));
            end = open.start;
        }
        self.sealed = self.buffer.len();
    }

    pub fn take_write(&mut self) -> Option<WriteJob> {
        if self.rest.is_some() {
            return self.rest.take();
        }
        let extent = self.sealed_extent?;
        if self.flight.is_some() {
            return None;
        }
        let mut next = std::mem::take(&mut self.spare);
        // What was appended after the seal stays behind; rare, since one seals late.
        next.extend_from_slice(self.buffer.get(self.sealed..).unwrap_or_default());
        for open in &mut self.open {
            open.start -= self.sealed;
        }
        let mut buffer = std::mem::replace(&mut self.buffer, next);
        buffer.truncate(self.sealed);
        self.sealed = 0;
        self.sealed_extent = None;
        self.flight = Some(extent);
        self.flight_len = buffer.len();
        Some(WriteJob { number: self.id.number, offset: self.offset, buffer, start: 0 })
    }

    pub fn wrote(&mut self, mut job: WriteJob, n: usize, epoch: Epoch) {
        if self.gave_up {
            return;
        }
        let whole = job.buffer.len() - job.start;
        let n = if Mutant::ShortIsWhole.is_on() { whole } else { n.min(whole) };
        self.offset += n as u64;
        self.flight_len -= n;
        job.start += n;
        job.offset += n as u64;
        if !job.bytes().is_empty() {
            self.rest = Some(job);
            return;
        }
        if let Some(extent) = self.flight.take() {
            self.written.lsn = extent.last;
        }
        self.settle(epoch);
        if job.buffer.capacity() <= SPARE_MAX {
            job.buffer.clear();
            self.spare = job.buffer;
        }
    }

    pub fn take_sync(&mut self, epoch: Epoch) -> bool {
        let nothing = self.gave_up || self.offset == self.synced;
        if nothing || self.flight.is_some() || self.sync.is_some() {
            return false;
        }
        self.settle(epoch);
        self.sync = Some((self.offset, self.written));
        true
    }

    pub fn synced(&mut self, epoch: Epoch) {
        if let Some((bytes, point)) = self.sync.take() {
            self.synced = bytes;
            let late = Mutant::DurableAtCompletion.is_on();
            self.durable.lsn = if late { self.written.lsn } else { point.lsn };
            self.durable.epoch = self.durable.epoch.max(point.epoch);
            self.settle(epoch);
        }
    }

    /// The sync in flight was none: the next one is for the same bytes.
    pub fn forget_sync(&mut self) {
        self.sync = None;
    }

    /// Brings the epochs up to date: the shard is at `epoch` now and may still append to it.
    pub fn settle(&mut self, epoch: Epoch) {
        if self.gave_up {
            return;
        }
        let epoch = self.until.map_or(epoch, |until| until.min(epoch));
        let oldest = self.flight.or(self.sealed_extent).map(|extent| extent.first);
        let oldest = oldest.or(self.open.first().map(|open| open.epoch));
        let epoch = if Mutant::EarlyEpoch.is_on() { Epoch(epoch.0 + 1) } else { epoch };
        let complete = before(oldest.unwrap_or(epoch));
        self.written.epoch = self.written.epoch.max(complete);
        if oldest.is_none() && self.synced == self.offset {
            self.durable.epoch = self.durable.epoch.max(complete);
        }
    }

    /// No more is appended: what is done from this epoch on is another segment's.
    pub fn end(&mut self, epoch: Epoch) {
        self.until = Some(epoch);
    }

    /// The segment before this one is durable up to `point`.
    pub fn raise(&mut self, point: Point) {
        self.durable.epoch = self.durable.epoch.max(point.epoch);
        self.written.epoch = self.written.epoch.max(point.epoch);
    }

    /// The closed segment, if everything is durable and nothing is queued.
    pub fn closed(&self) -> Option<Closed> {
        let done = self.all_written() && self.synced == self.offset && !self.gave_up;
        let next = self.written.lsn.next();
        done.then_some(Closed { id: self.id, length: self.offset, next })
    }

    pub fn give_up(&mut self) {
        self.gave_up = true;
        self.buffer = Vec::new();
        self.spare = Vec::new();
        self.open.clear();
        self.sealed = 0;
        self.sealed_extent = None;
        self.flight = None;
        self.flight_len = 0;
        self.rest = None;
        self.sync = None;
    }
}

fn before(epoch: Epoch) -> Epoch {
    Epoch(epoch.0.saturating_sub(1))
}
