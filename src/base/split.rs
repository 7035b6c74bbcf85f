//! A full segment becomes two.

use std::mem;

use crate::base::entry::KeyHasher;
use crate::base::mutant::Mutant;
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
        let entries = old.len() / 2 + old.len() / 16;
        self.expect(entries);
        upper.expect(entries);
        // About how many bytes each half has still to come.
        let mut coming = [old.live() / 2; 2];
        let index = mem::take(&mut old.index);
        for &at in index.iter() {
            let Some(record) = Record::read(old.arena.at(at)) else { continue };
            let hash = hasher.hash(old.key_of(&record));
            let [lower_coming, upper_coming] = &mut coming;
            let (half, coming) = if hash & upper_bit == 0 {
                (&mut *self, lower_coming)
            } else {
                (&mut upper, upper_coming)
            };
            let len = half.adopt(hasher, hash, &mut old, at, *coming);
            *coming = coming.saturating_sub(len);
        }
        upper
    }

    /// Takes over one entry of a segment that is being split; returns its bytes.
    fn adopt(
        &mut self,
        hasher: &KeyHasher,
        hash: u64,
        from: &mut Segment<X>,
        at: u16,
        coming: usize,
    ) -> usize {
        let Some(record) = Record::read(from.arena.at(at)) else { return 0 };
        let len = record.span() - record.slack;
        let moved = push_packed(&mut self.arena, from.arena.at(at), &record, coming);
        if self.index.len() == self.index.capacity() {
            self.regrow(hasher);
        }
        self.index.insert_unique(spread(hash), moved, |_| 0);
        if Mutant::SplitLosesPolarity.is_on() {
            self.set_marks(moved, 0);
        }
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
