//! One segment of a table: at most a few hundred entries in one arena, found through one small
//! hash index. Nothing in it takes longer than going once over all of its bytes (64 KiB at most).

use std::mem;

use hashbrown::HashTable;

use crate::base::arena::Arena;
use crate::base::entry::{KeyHasher, Meta, Need, New, Room, Stored, View};
use crate::base::record::{EXTERN, Header, KEY_MAX, LONG_KEY, MARKS, Record, SLACK, VALUE_MAX};
use crate::base::slab::Slab;

/// Entries in a segment before it is split: what 512 buckets take at 7/8.
pub const ENTRIES_MAX: usize = 448;
/// A segment is not split further: so many keys that agree in so many bits of a seeded hash do
/// not exist.
pub const DEPTH_MAX: u8 = 28;

/// Entries whose hashes begin with the same `depth` bits.
#[derive(Debug)]
pub struct Segment<X> {
    pub(super) index: HashTable<u16>,
    pub(super) arena: Arena,
    pub(super) slabs: Option<Box<Slabs<X>>>,
    garbage: u32,
    pub(super) version: u32,
    /// The lowest hash it can hold.
    pub(super) prefix: u64,
    pub(super) depth: u8,
}

/// What a segment keeps beside its arena.
#[derive(Debug)]
pub struct Slabs<X> {
    pub(super) keys: Slab<Box<[u8]>>,
    pub(super) key_bytes: usize,
    pub(super) values: Slab<X>,
}

/// Bytes of a line of memory in the processor's caches.
const LINE: usize = 64;

impl<X> Segment<X> {
    /// An empty segment for hashes that begin with the first `depth` bits of `prefix`.
    pub fn new(prefix: u64, depth: u8) -> Segment<X> {
        Segment {
            index: HashTable::new(),
            arena: Arena::default(),
            slabs: None,
            garbage: 0,
            version: 0,
            prefix,
            depth,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The lowest hash it can hold.
    pub fn prefix(&self) -> u64 {
        self.prefix
    }

    /// The lowest hash of the next segment, if there is one.
    pub fn end(&self) -> Option<u64> {
        let width = 1_u64.checked_shl(64 - u32::from(self.depth))?;
        self.prefix.checked_add(width)
    }

    /// Leading bits that all its hashes share.
    pub fn depth(&self) -> u8 {
        self.depth
    }

    /// Changes whenever an entry has left its place.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Bytes that it holds of the allocator, without what its values hold.
    pub fn footprint(&self) -> usize {
        let slabs = self.slabs.as_ref().map_or(0, |slabs| {
            size_of::<Slabs<X>>() + slabs.keys.bytes() + slabs.key_bytes + slabs.values.bytes()
        });
        size_of::<Segment<X>>() + self.arena.capacity() + self.index.allocation_size() + slabs
    }

    /// The place of a key.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<u16> {
        self.index.find(spread(hash), |&at| self.key(at) == key).copied()
    }

    /// Where a key with this hash probably is.
    #[inline]
    pub fn guess(&self, hash: u64) -> Option<u16> {
        self.index.find(spread(hash), |_| true).copied()
    }

    /// Reads a byte of each line of memory in which an entry of middling size lies. (How long this
    /// one is stands in its first line: to wait for that costs more than a line that is not its.)
    #[inline]
    pub fn touch(&self, at: u16) -> usize {
        let bytes = self.arena.at(at);
        let byte = |offset: usize| bytes.get(offset).copied().map_or(0, usize::from);
        byte(0) + byte(LINE) + byte(2 * LINE)
    }

    /// The places of all entries, in no order.
    pub fn places(&self) -> impl Iterator<Item = u16> {
        self.index.iter().copied()
    }

    /// The key at a place.
    #[inline]
    pub fn key(&self, at: u16) -> &[u8] {
        Record::read(self.arena.at(at)).map_or(&[], |record| self.key_of(&record))
    }

    /// What the entry at a place carries beside key and value.
    #[inline]
    pub fn meta(&self, at: u16) -> Meta {
        let head = Record::head(self.arena.at(at));
        head.map_or(Meta::default(), |(flags, clock, deadline)| Meta {
            marks: flags & MARKS,
            clock,
            deadline,
        })
    }

    /// The key at a place and the caller's two bits.
    #[inline]
    pub fn key_and_marks(&self, at: u16) -> (&[u8], u8) {
        let record = Record::read(self.arena.at(at));
        record.map_or((&[], 0), |record| (self.key_of(&record), record.flags & MARKS))
    }

    /// The entry at a place.
    #[inline]
    pub fn view(&self, at: u16) -> Option<View<'_, X>> {
        let record = Record::read(self.arena.at(at))?;
        let value = if record.flags & EXTERN == 0 {
            Stored::Inline(record.value)
        } else {
            Stored::Extern(self.slabs.as_ref()?.values.get(Record::place(record.value))?)
        };
        let meta =
            Meta { marks: record.flags & MARKS, clock: record.clock, deadline: record.deadline };
        Some(View { key: self.key_of(&record), value, meta })
    }

    /// The out-of-line value at a place, to be changed.
    pub fn extern_mut(&mut self, at: u16) -> Option<&mut X> {
        let record = Record::read(self.arena.at(at))?;
        if record.flags & EXTERN == 0 {
            return None;
        }
        self.slabs.as_mut()?.values.get_mut(Record::place(record.value))
    }

    /// The value bytes at a place, to be changed without changing their number.
    pub fn inline_mut(&mut self, at: u16) -> Option<&mut [u8]> {
        let record = Record::read(self.arena.at(at))?;
        if record.flags & EXTERN != 0 {
            return None;
        }
        let start = record.header + record.key.len();
        let end = start + record.value.len();
        self.arena.at_mut(at).get_mut(start..end)
    }

    /// Sets the caller's two bits.
    #[inline]
    pub fn set_marks(&mut self, at: u16, marks: u8) {
        if let Some(flags) = self.arena.at_mut(at).first_mut() {
            *flags = *flags & !MARKS | marks & MARKS;
        }
    }

    /// Sets the caller's 24 bits.
    #[inline]
    pub fn set_clock(&mut self, at: u16, clock: u32) {
        let [new0, new1, new2, _] = clock.to_le_bytes();
        if let Some([_, c0, c1, c2]) = self.arena.at_mut(at).first_chunk_mut() {
            (*c0, *c1, *c2) = (new0, new1, new2);
        }
    }

    /// What a new entry needs.
    pub fn need(key: &[u8], value: &New<'_, X>, meta: Meta) -> Need {
        let keys = usize::from(key.len() > KEY_MAX);
        let key_len = if keys == 1 { 2 } else { key.len() };
        let (value_len, values) = match value {
            New::Inline(bytes) => (bytes.len(), 0),
            New::Extern(_) | New::Same => (2, 1),
        };
        Need { span: span(key_len, value_len, meta.deadline), entries: 1, values, keys }
    }

    /// What replacing the value at a place needs.
    pub fn need_at(&self, at: u16, value: &New<'_, X>, meta: Meta) -> Need {
        let Some(record) = Record::read(self.arena.at(at)) else { return Need::default() };
        let was_extern = record.flags & EXTERN != 0;
        let (value_len, values) = match value {
            New::Inline(bytes) => (bytes.len(), 0),
            New::Extern(_) => (2, usize::from(!was_extern)),
            New::Same => (record.value.len(), 0),
        };
        let new = span(record.key.len(), value_len, meta.deadline);
        Need { span: if new <= record.span() { 0 } else { new }, values, ..Need::default() }
    }

    /// Can this be done?
    #[inline]
    pub fn room(&self, need: Need) -> Room {
        if self.live() + need.span > Arena::LIVE_MAX {
            return Room::Split;
        }
        let free = self.index.capacity() - self.index.len();
        if need.entries > free && self.index.len() >= ENTRIES_MAX - ENTRIES_MAX / 32
            || need.entries > 0 && self.index.len() >= ENTRIES_MAX
        {
            return if self.depth < DEPTH_MAX { Room::Split } else { Room::Grow };
        }
        let arena = self.arena.has_room(need.span);
        let places = need.keys == 0 && (need.values == 0 || self.has_value_room());
        if arena && places && need.entries <= free { Room::Ready } else { Room::Grow }
    }

    /// Asks the allocator for what `room` found missing. Entries may move: returns where the one
    /// at `at` is now.
    pub fn make_room(&mut self, need: Need, hasher: &KeyHasher, at: u16) -> u16 {
        if self.index.len() + need.entries > self.index.capacity() {
            self.regrow(hasher);
        }
        if need.keys + need.values > 0 {
            let slabs = self.slabs.get_or_insert_default();
            if need.keys > 0 {
                slabs.keys.grow();
            }
            if need.values > 0 {
                slabs.values.grow();
            }
        }
        let mut moved = at;
        if !self.arena.has_room(need.span) {
            let garbage = self.garbage as usize;
            if garbage > self.arena.used() / 8 || self.arena.is_full(need.span) {
                moved = self.compact(at);
            }
            self.arena.grow(need.span, 0);
        }
        moved
    }

    /// Adds an entry that is not there; there is room.
    pub fn insert(&mut self, hash: u64, key: &[u8], value: New<'_, X>, meta: Meta) -> u16 {
        let mut flags = meta.marks & MARKS;
        let (key_place, value_place);
        let key_part = if key.len() > KEY_MAX {
            flags |= LONG_KEY;
            let slabs = self.slabs.get_or_insert_default();
            slabs.key_bytes += key.len();
            key_place = slabs.keys.put(key.into()).to_le_bytes();
            &key_place[..]
        } else {
            key
        };
        let value_part = match value {
            New::Inline(bytes) => bytes,
            New::Extern(thing) => {
                flags |= EXTERN;
                let slabs = self.slabs.get_or_insert_default();
                value_place = slabs.values.put(thing).to_le_bytes();
                &value_place[..]
            }
            New::Same => &[],
        };
        let header =
            Header::new(flags, meta.clock, meta.deadline, key_part.len(), value_part.len());
        let at = self.arena.push([header.bytes(), key_part, value_part]);
        // Never called: `make_room` left a free place in the index.
        self.index.insert_unique(spread(hash), at, |_| 0);
        at
    }

    /// Replaces the value and the rest of an entry, for which there is room; returns where it is
    /// now, and the out-of-line value that it held and holds no more.
    pub fn replace(
        &mut self,
        hash: u64,
        at: u16,
        value: New<'_, X>,
        meta: Meta,
    ) -> (u16, Option<X>) {
        let Some(record) = Record::read(self.arena.at(at)) else { return (at, None) };
        let was_extern = record.flags & EXTERN != 0;
        let old_place = Record::place(record.value);
        match value {
            New::Inline(bytes) => {
                let taken = |slabs: &mut Box<Slabs<X>>| slabs.values.take(old_place);
                let old = if was_extern { self.slabs.as_mut().and_then(taken) } else { None };
                (self.rewrite(hash, at, 0, bytes, meta), old)
            }
            New::Extern(thing) => {
                let slabs = self.slabs.get_or_insert_default();
                let held = if was_extern { slabs.values.get_mut(old_place) } else { None };
                let (place, old) = match held {
                    Some(held) => (old_place, Some(mem::replace(held, thing))),
                    None => (slabs.values.put(thing), None),
                };
                (self.rewrite(hash, at, EXTERN, &place.to_le_bytes(), meta), old)
            }
            New::Same => {
                let mut copy = [0; VALUE_MAX];
                let copy = copy.get_mut(..record.value.len()).unwrap_or_default();
                copy.copy_from_slice(record.value);
                let flags = record.flags & EXTERN;
                (self.rewrite(hash, at, flags, copy, meta), None)
            }
        }
    }

    /// Writes a record anew, in place if its span allows.
    fn rewrite(&mut self, hash: u64, at: u16, flags: u8, part: &[u8], meta: Meta) -> u16 {
        let Some(record) = Record::read(self.arena.at(at)) else { return at };
        let flags = flags | record.flags & LONG_KEY | meta.marks & MARKS;
        let (key_len, old_header, old_span) = (record.key.len(), record.header, record.span());
        let header = Header::new(flags, meta.clock, meta.deadline, key_len, part.len());
        let head = header.bytes();
        let new_span = head.len() + key_len + part.len();
        if new_span > old_span {
            let mut key = [0; KEY_MAX];
            let key = key.get_mut(..key_len).unwrap_or_default();
            key.copy_from_slice(record.key);
            let moved = self.arena.push([head, key, part]);
            self.garbage += old_span as u32;
            self.version += 1;
            if let Some(entry) = self.index.find_mut(spread(hash), |&place| place == at) {
                *entry = moved;
            }
            return moved;
        }
        let slack = old_span - new_span;
        self.garbage += slack.saturating_sub(255) as u32;
        let bytes = self.arena.at_mut(at);
        if head.len() != old_header {
            bytes.copy_within(old_header..old_header + key_len, head.len());
        }
        write(bytes, 0, head);
        write(bytes, head.len() + key_len, part);
        if slack > 0 {
            write(bytes, new_span, &[slack.min(255) as u8]);
            if let Some(flags) = bytes.first_mut() {
                *flags |= SLACK;
            }
        }
        at
    }

    /// Removes an entry; returns its out-of-line value.
    pub fn remove(&mut self, hash: u64, at: u16) -> Option<X> {
        let record = Record::read(self.arena.at(at))?;
        let (flags, span) = (record.flags, record.span());
        let (key_place, value_place) = (Record::place(record.key), Record::place(record.value));
        self.index.find_entry(spread(hash), |&place| place == at).ok()?.remove();
        self.garbage += span as u32;
        self.version += 1;
        let mut old = None;
        if let Some(slabs) = self.slabs.as_mut() {
            if flags & LONG_KEY != 0
                && let Some(key) = slabs.keys.take(key_place)
            {
                slabs.key_bytes -= key.len();
            }
            if flags & EXTERN != 0 {
                old = slabs.values.take(value_place);
            }
        }
        if self.index.is_empty() {
            let version = self.version;
            *self = Segment { version, ..Segment::new(self.prefix, self.depth) };
        }
        old
    }

    /// Bytes of the arena that nothing uses any more.
    pub fn garbage(&self) -> usize {
        self.garbage as usize
    }

    /// Is more than this fraction of the arena garbage, so that `compact` pays?
    pub fn wasteful(&self, fraction: usize) -> bool {
        self.garbage() > 1024 && self.garbage() > self.arena.used() / fraction
    }

    /// Moves all entries together; returns where the one at `at` is now.
    pub fn compact(&mut self, at: u16) -> u16 {
        let mut coming = self.live();
        let old = mem::take(&mut self.arena);
        let mut moved = at;
        for place in self.index.iter_mut() {
            let from = *place;
            if let Some(record) = Record::read(old.at(from)) {
                *place = push_packed(&mut self.arena, old.at(from), &record, coming);
                coming -= record.span();
            }
            if from == at {
                moved = *place;
            }
        }
        self.garbage = 0;
        self.version += 1;
        moved
    }

    /// Its out-of-line values, when it is taken down.
    pub fn into_externs(self) -> impl Iterator<Item = X> {
        self.slabs.into_iter().flat_map(|slabs| slabs.values.into_things())
    }

    /// Reserves an index of the right size for entries that are about to come to an empty segment.
    /// Half a segment is on its way to a full one: the size between is not worth an allocation.
    pub fn expect(&mut self, entries: usize) {
        let half = entries > ENTRIES_MAX / 3;
        let capacity = if half { entries.max(ENTRIES_MAX) } else { entries + entries / 8 };
        if self.index.capacity() < capacity {
            self.index = HashTable::with_capacity(capacity);
        }
    }

    /// Bytes of live records, their spare bytes included.
    pub(super) fn live(&self) -> usize {
        self.arena.used() - self.garbage as usize
    }

    #[inline]
    pub(super) fn key_of<'a>(&'a self, record: &Record<'a>) -> &'a [u8] {
        if record.flags & LONG_KEY == 0 {
            return record.key;
        }
        let slabs = self.slabs.as_ref();
        slabs.and_then(|slabs| slabs.keys.get(Record::place(record.key))).map_or(&[], |key| key)
    }

    fn has_value_room(&self) -> bool {
        self.slabs.as_ref().is_some_and(|slabs| slabs.values.has_room())
    }

    /// A new index: larger, or of the same size when only removals have used it up.
    pub(super) fn regrow(&mut self, hasher: &KeyHasher) {
        let full = self.index.num_buckets() / 8 * 7;
        let len = self.index.len();
        let want = if len + 1 > full - full / 16 { full.max(len) + 1 } else { full };
        let mut index = HashTable::with_capacity(want);
        for &at in self.index.iter() {
            index.insert_unique(spread(hasher.hash(self.key(at))), at, |_| 0);
        }
        self.index = index;
    }
}

/// The index takes its fingerprint from the top bits, which are equal within a segment.
#[inline]
pub(super) fn spread(hash: u64) -> u64 {
    hash.rotate_left(32)
}

impl<X> Default for Slabs<X> {
    fn default() -> Slabs<X> {
        Slabs { keys: Slab::default(), key_bytes: 0, values: Slab::default() }
    }
}

fn span(key_len: usize, value_len: usize, deadline: Option<u64>) -> usize {
    6 + usize::from(value_len >= 0x80)
        + if deadline.is_some() { 8 } else { 0 }
        + key_len
        + value_len
}

pub(super) fn write(bytes: &mut [u8], start: usize, part: &[u8]) {
    if let Some(target) = bytes.get_mut(start..start + part.len()) {
        target.copy_from_slice(part);
    }
}

/// Copies a record without its spare bytes; makes room when there is none.
pub(super) fn push_packed(
    arena: &mut Arena,
    bytes: &[u8],
    record: &Record<'_>,
    coming: usize,
) -> u16 {
    let len = record.span() - record.slack;
    if !arena.has_room(len) {
        arena.grow(len, coming);
    }
    let at = arena.push_whole(bytes.get(..len).unwrap_or_default());
    if record.slack > 0
        && let Some(flags) = arena.at_mut(at).first_mut()
    {
        *flags &= !SLACK;
    }
    at
}
