//! Many keys that are about to be looked up: their lines of memory are asked for at the same time.
//!
//! A lookup goes from a segment to its index and from there to the entry, and each step waits for
//! memory when the table is larger than the caches: three waits for each key, one after another.
//! The steps of *different* keys do not depend on each other. So each loop here takes one step for
//! all of them, and the processor waits for many at once.

use std::hint::black_box;

use crate::base::table::Table;
use crate::limits::WARM_MAX;

impl<X> Table<X> {
    /// Reads what the lookups of these hashes will read, and changes nothing.
    pub fn warm(&self, hashes: &[u64]) {
        let segment = |hash: &u64| self.segments.get(self.segment_of(*hash) as usize);
        let mut seen = 0;
        for segment in hashes.iter().filter_map(segment) {
            seen += segment.len();
        }
        black_box(seen);
        let mut places = [None; WARM_MAX];
        for (place, hash) in places.iter_mut().zip(hashes) {
            *place = segment(hash).and_then(|segment| segment.guess(*hash));
        }
        for (place, hash) in places.iter().zip(hashes) {
            if let (Some(at), Some(segment)) = (place, segment(hash)) {
                seen += segment.touch(*at);
            }
        }
        black_box(seen);
    }
}

#[cfg(test)]
mod tests {
    use crate::base::table::{KeyHasher, Meta, New, Table};

    #[test]
    fn what_is_read_is_mostly_what_a_lookup_reads() {
        let mut table = Table::<()>::new(KeyHasher::new(3));
        table.warm(&[]);
        table.warm(&[0, u64::MAX]);
        let keys: Vec<String> = (0..5000).map(|n| format!("key:{n}")).collect();
        for key in &keys {
            let hash = table.hash(key.as_bytes());
            table.insert(hash, key.as_bytes(), New::Inline(b"value"), Meta::default());
        }
        let mut right = 0;
        for key in &keys {
            let hash = table.hash(key.as_bytes());
            let place = table.find(hash, key.as_bytes()).expect("it is there");
            let segment = &table.segments[place.segment() as usize];
            right += usize::from(segment.guess(hash) == Some(place.at()));
            table.warm(&[hash; 40]);
        }
        assert!(right > keys.len() * 4 / 5, "{right}");
    }
}
