//! A hash table in hash order that never stops to rehash itself.
//!
//! The top bits of a key's 64-bit hash choose, through a directory, one segment of at most a few
//! hundred entries (extendible hashing). A full segment is split in two, which costs some ten
//! microseconds; nothing takes longer, except that the directory doubles now and then: a copy of
//! four bytes for every (about) 300 entries, 70 KB at five million.
//!
//! *Order.* Entries are visited in the order of their hashes, so a cursor is a hash and stays
//! valid over any number of splits: both halves of a split lie on the same side of it.
//!
//! *Memory.* Small entries lie back to back in their segment's arena behind a header of six
//! bytes, and cost about six bytes of index. What is larger is an `X`, stored beside the arena.

use std::mem;

pub use crate::base::entry::{KeyHasher, Meta, New, Stored, View};

use crate::base::entry::{Need, Room};
use crate::base::order;
use crate::base::record::{KEY_MAX, VALUE_MAX};
use crate::base::segment::{DEPTH_MAX, ENTRIES_MAX, Segment};

/// Segments that one call of `scan` looks at before it returns with fewer entries than asked for.
const SCAN_SEGMENTS: usize = 64;

/// Where an entry is; valid until the next insertion, removal or replacement in the table.
///
/// Two whole words, because those travel in registers: a struct of three numbers is written to
/// memory in parts and read back at once, and such a read waits for all writes before it, also
/// those that miss the caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The hash of its key.
    pub hash: u64,
    /// Its segment, and its place in it in the low 16 bits.
    spot: u64,
}

impl Place {
    #[inline]
    fn new(hash: u64, segment: u32, at: u16) -> Place {
        Place { hash, spot: u64::from(segment) << 16 | u64::from(at) }
    }

    /// Its segment.
    #[inline]
    pub fn segment(self) -> u32 {
        (self.spot >> 16) as u32
    }

    /// Its place in the segment.
    #[inline]
    fn at(self) -> u16 {
        self.spot as u16
    }

    /// The same entry, moved within its segment.
    #[inline]
    fn moved(self, at: u16) -> Place {
        Place::new(self.hash, self.segment(), at)
    }
}

/// Keys, bytes or an `X` under each, a deadline and a few bits with the caller's meaning.
#[derive(Debug)]
pub struct Table<X> {
    hasher: KeyHasher,
    /// The segment of each prefix of `depth` bits.
    directory: Vec<u32>,
    depth: u8,
    #[expect(clippy::vec_box, reason = "when the list grows, pointers move and not segments")]
    segments: Vec<Box<Segment<X>>>,
    /// A lower bound of the deadlines in each segment.
    soonest: Vec<u64>,
    deadlines: usize,
    len: usize,
    footprint: usize,
    /// Bytes of the footprint that removed and moved entries have left.
    garbage: usize,
    /// Entries that a new segment is made for.
    expected: usize,
}

/// Is a value short enough to lie in the arena?
pub fn is_small(value: &[u8]) -> bool {
    value.len() <= VALUE_MAX
}

impl<X> Table<X> {
    /// An empty table.
    pub fn new(hasher: KeyHasher) -> Table<X> {
        Table::with_expected(hasher, 0)
    }

    /// An empty table that is about to get `expected` entries in the order of their hashes.
    pub fn with_expected(hasher: KeyHasher, expected: usize) -> Table<X> {
        let mut depth = 0;
        while expected >> depth > ENTRIES_MAX - ENTRIES_MAX / 6 && depth < DEPTH_MAX {
            depth += 1;
        }
        let count = 1_u32 << depth;
        let prefix = |n: u32| if depth == 0 { 0 } else { u64::from(n) << (64 - u32::from(depth)) };
        let mut table = Table {
            hasher,
            directory: (0..count).collect(),
            depth,
            segments: (0..count).map(|n| Box::new(Segment::new(prefix(n), depth))).collect(),
            soonest: vec![u64::MAX; count as usize],
            deadlines: 0,
            len: 0,
            footprint: 0,
            garbage: 0,
            expected: if depth == 0 { 0 } else { (expected >> depth) + ENTRIES_MAX / 8 },
        };
        table.footprint = table.segments.iter().map(|segment| segment.footprint()).sum();
        table
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of entries with a deadline.
    pub fn deadlines(&self) -> usize {
        self.deadlines
    }

    /// Number of segments.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Bytes held of the allocator, without what an `X` holds beyond its own size.
    pub fn footprint(&self) -> usize {
        self.footprint + self.directory.capacity() * 4 + self.segments.capacity() * 16
    }

    /// The part of the footprint that removed entries have not left behind.
    pub fn live(&self) -> usize {
        self.footprint() - self.garbage
    }

    /// The hash of a key.
    #[inline]
    pub fn hash(&self, key: &[u8]) -> u64 {
        self.hasher.hash(key)
    }

    /// Finds a key by its hash.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u8]) -> Option<Place> {
        let segment = self.segment_of(hash);
        let at = self.segments.get(segment as usize)?.find(hash, key)?;
        Some(Place::new(hash, segment, at))
    }

    /// The entry at a place.
    #[inline]
    pub fn view(&self, place: Place) -> View<'_, X> {
        let segment = self.segments.get(place.segment() as usize);
        segment.and_then(|segment| segment.view(place.at())).expect("a place that is still valid")
    }

    /// What the entry at a place carries beside key and value.
    #[inline]
    pub fn meta(&self, place: Place) -> Meta {
        let segment = self.segments.get(place.segment() as usize);
        segment.map_or(Meta::default(), |segment| segment.meta(place.at()))
    }

    /// The out-of-line value at a place, if there is one.
    pub fn extern_mut(&mut self, place: Place) -> Option<&mut X> {
        self.segment_mut(place).extern_mut(place.at())
    }

    /// The inline value at a place, if it is one; its length cannot change.
    pub fn inline_mut(&mut self, place: Place) -> Option<&mut [u8]> {
        self.segment_mut(place).inline_mut(place.at())
    }

    /// Sets the two bits that belong to the caller.
    #[inline]
    pub fn set_marks(&mut self, place: Place, marks: u8) {
        self.segment_mut(place).set_marks(place.at(), marks);
    }

    /// Sets the 24 bits that belong to the caller.
    #[inline]
    pub fn set_clock(&mut self, place: Place, clock: u32) {
        self.segment_mut(place).set_clock(place.at(), clock);
    }

    /// Adds a key that is not there.
    pub fn insert(&mut self, hash: u64, key: &[u8], value: New<'_, X>, meta: Meta) -> Place {
        let need = Segment::need(key, &value, meta);
        let mut segment = self.segment_of(hash);
        loop {
            match self.room(segment, need) {
                Room::Ready => break,
                Room::Grow => {
                    self.make_room(segment, need, 0);
                    break;
                }
                Room::Split => {
                    self.split(segment);
                    segment = self.segment_of(hash);
                }
            }
        }
        self.len += 1;
        if key.len() > KEY_MAX {
            self.footprint += key.len();
        }
        if let Some(deadline) = meta.deadline {
            self.deadlines += 1;
            self.lower(segment, deadline);
        }
        let place = Place::new(hash, segment, 0);
        let at = self.segment_mut(place).insert(hash, key, value, meta);
        place.moved(at)
    }

    /// Replaces value, bits and deadline of an entry; returns where it is now, and the `X` that it
    /// held and holds no more.
    pub fn replace(&mut self, place: Place, value: New<'_, X>, meta: Meta) -> (Place, Option<X>) {
        let mut place = place;
        loop {
            let need = self.segment_mut(place).need_at(place.at(), &value, meta);
            match self.room(place.segment(), need) {
                Room::Ready => break,
                Room::Grow => {
                    place = place.moved(self.make_room(place.segment(), need, place.at()));
                    break;
                }
                Room::Split if need.span == 0 && need.values == 0 => break,
                Room::Split => {
                    let key = self.view(place).key.to_vec();
                    self.split(place.segment());
                    place = self.find(place.hash, &key).expect("a split loses nothing");
                }
            }
        }
        self.deadlines -= usize::from(self.meta(place).deadline.is_some());
        if let Some(deadline) = meta.deadline {
            self.deadlines += 1;
            self.lower(place.segment(), deadline);
        }
        let segment = self.segment_mut(place);
        let before = segment.garbage();
        let (at, old) = segment.replace(place.hash, place.at(), value, meta);
        let after = segment.garbage();
        self.garbage = self.garbage + after - before;
        (place.moved(at), old)
    }

    /// Removes an entry; returns its out-of-line value.
    pub fn remove(&mut self, place: Place) -> Option<X> {
        self.remove_if_wasteful(place, 2)
    }

    /// The same when memory is wanted: the segment keeps at most an eighth of garbage.
    pub fn evict(&mut self, place: Place) -> Option<X> {
        self.remove_if_wasteful(place, 8)
    }

    fn remove_if_wasteful(&mut self, place: Place, fraction: usize) -> Option<X> {
        self.deadlines -= usize::from(self.meta(place).deadline.is_some());
        self.len -= 1;
        let (hash, at) = (place.hash, place.at());
        self.resize(place.segment(), |segment| {
            let old = segment.remove(hash, at);
            if segment.wasteful(fraction) {
                segment.compact(0);
            }
            old
        })
    }

    /// Fills `out` with the entries of the segment that `from` belongs to, those that `keep` wants
    /// and whose hash is at least `from`, in order; returns the lowest hash of the next segment,
    /// or nothing at the end.
    pub fn ordered(
        &self,
        from: u64,
        out: &mut Vec<Place>,
        keep: impl Fn(u8) -> bool,
    ) -> Option<u64> {
        let segment = self.list(from, out, keep)?;
        order::sort(out, u32::from(segment.depth()), |place| place.hash);
        segment.end()
    }

    /// Visits about `count` entries from `cursor` (0 at first) on; returns the next cursor, 0 at
    /// the end. A cursor is the upper 48 bits of a hash, and entries that agree in them are
    /// visited together: what is there throughout is visited once, over any number of splits.
    pub fn scan(&self, cursor: u64, count: usize, each: &mut dyn FnMut(View<'_, X>)) -> u64 {
        let prefix = |place: &Place| place.hash >> 16;
        let (mut places, mut left) = (Vec::new(), count.max(1));
        let mut from = cursor << 16;
        for _ in 0..SCAN_SEGMENTS {
            let Some(segment) = self.list(from, &mut places, |_| true) else { return 0 };
            let mut next = None;
            if left < places.len() {
                // The entry with the count-th lowest hash, and all that agree with it, come next
                // time, unless nothing would be left for now.
                let (lower, border, _) = places.select_nth_unstable_by_key(left, prefix);
                let border = prefix(border);
                if lower.iter().any(|place| prefix(place) < border) {
                    next = Some(border);
                }
            }
            let wanted = |place: &&Place| next.is_none_or(|next| prefix(place) < next);
            for &place in places.iter().filter(wanted) {
                each(self.view(place));
                left = left.saturating_sub(1);
            }
            if let Some(next) = next {
                return next;
            }
            let Some(end) = segment.end() else { return 0 };
            from = end;
            if left == 0 {
                break;
            }
        }
        // Segments are wider than 2^16 hashes, so that none begins inside a cursor.
        from >> 16
    }

    /// The entries of segment `number` in no order.
    pub fn in_segment(&self, number: usize, out: &mut Vec<Place>) {
        out.clear();
        let Some(segment) = self.segments.get(number) else { return };
        for at in segment.places() {
            let hash = self.hasher.hash(segment.key(at));
            out.push(Place::new(hash, number as u32, at));
        }
    }

    /// Changes whenever places in a segment become invalid.
    pub fn version(&self, segment: u32) -> u32 {
        self.segments.get(segment as usize).map_or(0, |segment| segment.version())
    }

    /// An entry chosen by `dice`, a random number; each about equally likely.
    pub fn random(&self, dice: u64) -> Option<Place> {
        if self.len == 0 {
            return None;
        }
        let start = (dice % self.directory.len() as u64) as usize;
        let (before, after) = self.directory.split_at_checked(start)?;
        let mut numbers = after.iter().chain(before);
        let occupied = |number: u32| {
            let segment = self.segments.get(number as usize)?;
            (!segment.is_empty()).then_some((number, segment))
        };
        let (number, segment) = numbers.find_map(|&number| occupied(number))?;
        let nth = (dice >> 32) as usize % segment.len();
        let at = segment.places().nth(nth)?;
        Some(Place::new(self.hasher.hash(segment.key(at)), number, at))
    }

    /// Takes one segment away for good and gives `each` its out-of-line values; for a table that
    /// is being taken down bit by bit. False when nothing is left.
    pub fn dismantle(&mut self, each: impl FnMut(X)) -> bool {
        let Some(segment) = self.segments.pop() else { return false };
        self.footprint -= segment.footprint().min(self.footprint);
        self.garbage -= segment.garbage().min(self.garbage);
        self.len -= segment.len().min(self.len);
        self.directory = Vec::new();
        segment.into_externs().for_each(each);
        true
    }

    /// What `footprint` should be, counted anew; for checks.
    pub fn recount(&self) -> usize {
        let garbage: usize = self.segments.iter().map(|segment| segment.garbage()).sum();
        assert_eq!(self.garbage, garbage, "garbage that was left");
        let segments: usize = self.segments.iter().map(|segment| segment.footprint()).sum();
        segments + self.directory.capacity() * 4 + self.segments.capacity() * 16
    }

    /// Lists a segment in no order; returns it.
    fn list(
        &self,
        from: u64,
        out: &mut Vec<Place>,
        keep: impl Fn(u8) -> bool,
    ) -> Option<&Segment<X>> {
        out.clear();
        let number = self.segment_of(from);
        let segment = self.segments.get(number as usize)?;
        for at in segment.places() {
            let (key, marks) = segment.key_and_marks(at);
            if !keep(marks) {
                continue;
            }
            let hash = self.hasher.hash(key);
            if hash >= from {
                out.push(Place::new(hash, number, at));
            }
        }
        Some(segment)
    }

    #[inline]
    fn segment_of(&self, hash: u64) -> u32 {
        let index = (hash >> 1) >> (63 - u32::from(self.depth));
        self.directory.get(index as usize).copied().unwrap_or_default()
    }

    fn segment_mut(&mut self, place: Place) -> &mut Segment<X> {
        let segment = self.segments.get_mut(place.segment() as usize);
        segment.expect("a place that is still valid")
    }

    fn room(&self, segment: u32, need: Need) -> Room {
        self.segments.get(segment as usize).map_or(Room::Grow, |segment| segment.room(need))
    }

    /// Runs what may change the memory of a segment.
    fn resize<R>(&mut self, number: u32, change: impl FnOnce(&mut Segment<X>) -> R) -> R {
        let segment = self.segments.get_mut(number as usize).expect("a segment of this table");
        let (before, garbage) = (segment.footprint(), segment.garbage());
        let result = change(segment);
        self.footprint = self.footprint + segment.footprint() - before;
        self.garbage = self.garbage + segment.garbage() - garbage;
        result
    }

    fn make_room(&mut self, number: u32, need: Need, at: u16) -> u16 {
        let hasher = self.hasher.clone();
        let expected = self.expected;
        self.resize(number, |segment| {
            if segment.is_empty() && expected > 0 && need.entries > 0 {
                segment.expect(expected);
            }
            segment.make_room(need, &hasher, at)
        })
    }

    fn split(&mut self, number: u32) {
        let hasher = self.hasher.clone();
        let upper = self.resize(number, |segment| {
            assert!(segment.depth() < DEPTH_MAX, "too many keys share {DEPTH_MAX} bits of hash");
            Box::new(segment.split(&hasher))
        });
        if upper.depth() > self.depth {
            let old = mem::take(&mut self.directory);
            self.directory = Vec::with_capacity(old.len() * 2);
            self.directory.extend(old.iter().flat_map(|&segment| [segment, segment]));
            self.depth += 1;
        }
        let shift = 63 - u32::from(self.depth);
        let first = ((upper.prefix() >> 1) >> shift) as usize;
        let count = 1_usize << (self.depth - upper.depth());
        let new = self.segments.len() as u32;
        if let Some(range) = self.directory.get_mut(first..first + count) {
            range.fill(new);
        }
        self.footprint += upper.footprint();
        self.garbage += upper.garbage();
        self.segments.push(upper);
        // What bounds a segment bounds both its halves, until somebody looks.
        let bound = self.soonest.get(number as usize).copied().unwrap_or(u64::MAX);
        self.soonest.push(bound);
    }
}

mod deadlines;
mod warm;

#[cfg(test)]
mod tests;
