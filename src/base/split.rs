//! A full segment becomes two.

use std::mem;

use crate::base::entry::KeyHasher;
use crate::base::record::{EXTERN, LONG_KEY, Record};
use crate::base::segment::{Segment, push_packed, spread, write};

impl<X> Segment<X> {
    /// Splits by the next bit of the hash; returns the upper half.
    pub fn split(&mut self, hasher: &KeyHasher) -> Segment<X> {
        let depth = self.depth + 1;
        let upper_bit = 1 << (64 - u32::from(depth));
        let mut upper = Segment::new(self.prefix | upper_bit, depth);
        let mut lower = Segment::new(self.prefix, depth);
        lower.version = self.version + 1;
        let mut old = mem::replace(self, lower);
        let mut moves = Vec::with_capacity(old.len());
        let (mut counts, mut sizes) = ([0, 0], [0, 0]);
        for at in old.places() {
            let Some(record) = Record::read(old.arena.at(at)) else { continue };
            let hash = hasher.hash(old.key_of(&record));
            let side = usize::from(hash & upper_bit != 0);
            if let (Some(count), Some(size)) = (counts.get_mut(side), sizes.get_mut(side)) {
                *count += 1;
                *size += record.span() - record.slack;
            }
            moves.push((hash, at));
        }
        self.expect(counts[0]);
        upper.expect(counts[1]);
        let [mut coming_lower, mut coming_upper] = sizes;
        for (hash, at) in moves {
            if hash & upper_bit == 0 {
                coming_lower -= self.adopt(hash, &mut old, at, coming_lower);
            } else {
                coming_upper -= upper.adopt(hash, &mut old, at, coming_upper);
            }
        }
        upper
    }

    /// Takes over one entry of a segment that is being split; returns its bytes.
    fn adopt(&mut self, hash: u64, from: &mut Segment<X>, at: u16, coming: usize) -> usize {
        let Some(record) = Record::read(from.arena.at(at)) else { return 0 };
        let len = record.span() - record.slack;
        let moved = push_packed(&mut self.arena, from.arena.at(at), &record, coming);
        self.index.insert_unique(spread(hash), moved, |_| 0);
        if record.flags & (EXTERN | LONG_KEY) == 0 {
            return len;
        }
        let Some(theirs) = from.slabs.as_mut() else { return len };
        let ours = self.slabs.get_or_insert_default();
        let bytes = self.arena.at_mut(moved);
        if record.flags & LONG_KEY != 0
            && let Some(key) = theirs.keys.take(Record::place(record.key))
        {
            theirs.key_bytes -= key.len();
            ours.key_bytes += key.len();
            ours.keys.grow();
            write(bytes, record.header, &ours.keys.put(key).to_le_bytes());
        }
        if record.flags & EXTERN != 0
            && let Some(value) = theirs.values.take(Record::place(record.value))
        {
            ours.values.grow();
            let place = ours.values.put(value).to_le_bytes();
            write(bytes, record.header + record.key.len(), &place);
        }
        len
    }
}
