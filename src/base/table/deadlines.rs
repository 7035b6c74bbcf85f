//! Deadlines of a table's entries: a lower bound for each segment, so that what is due is found by
//! looking at eight bytes for some hundred entries.

use crate::base::entry::{Meta, New, Stored};
use crate::base::table::{Place, Table};

impl<X> Table<X> {
    /// The first segment from number `from` on, looking at `count` of them, which may have a
    /// deadline before `now`.
    pub fn due(&self, from: usize, count: usize, now: u64) -> Option<usize> {
        let window = self.soonest.get(from..)?;
        window.iter().take(count).position(|&soonest| soonest < now).map(|n| from + n)
    }

    /// Nothing has a deadline before this moment.
    pub fn soonest(&self) -> u64 {
        self.soonest.iter().copied().min().unwrap_or(u64::MAX)
    }

    /// Makes the bound that `due` looks at exact. `also` says what deadlines there are inside of
    /// an out-of-line value.
    pub fn refresh_soonest(&mut self, number: usize, also: impl Fn(&X) -> Option<u64>) {
        let Some(segment) = self.segments.get(number) else { return };
        let inside = |at| match segment.view(at).map(|view| view.value) {
            Some(Stored::Extern(value)) => also(value),
            _ => None,
        };
        let own = segment.places().filter_map(|at| segment.meta(at).deadline);
        let soonest = own.chain(segment.places().filter_map(inside)).min();
        if let Some(slot) = self.soonest.get_mut(number) {
            *slot = soonest.unwrap_or(u64::MAX);
        }
    }

    /// The bound of a segment is no higher than this.
    pub fn lower(&mut self, segment: u32, deadline: u64) {
        if let Some(soonest) = self.soonest.get_mut(segment as usize) {
            *soonest = deadline.min(*soonest);
        }
    }

    /// Gives up to `most` keys of a segment whose deadline is before `now` to `each`. If these were
    /// all, the segment's bound is that of the others from now on. How many entries there were.
    pub fn each_due(
        &mut self,
        number: usize,
        now: u64,
        most: usize,
        mut each: impl FnMut(&[u8]),
    ) -> usize {
        let Some(segment) = self.segments.get(number) else { return 0 };
        let (mut given, mut later) = (0, u64::MAX);
        for at in segment.places() {
            match segment.meta(at).deadline {
                Some(deadline) if deadline >= now => later = later.min(deadline),
                Some(_) if given == most => later = 0,
                Some(_) => {
                    given += 1;
                    each(segment.key(at));
                }
                None => {}
            }
        }
        if let Some(slot) = self.soonest.get_mut(number) {
            *slot = later;
        }
        segment.len()
    }

    /// How many entries have a deadline before `now`, in the first `segments` segments that may
    /// have any.
    pub fn count_due(&self, now: u64, segments: usize) -> usize {
        let (mut from, mut count) = (0, 0);
        for _ in 0..segments {
            let Some(number) = self.due(from, usize::MAX, now) else { break };
            let Some(segment) = self.segments.get(number) else { break };
            let deadlines = segment.places().filter_map(|at| segment.meta(at).deadline);
            count += deadlines.filter(|deadline| *deadline < now).count();
            from = number + 1;
        }
        count
    }

    /// Sets or clears the deadline of an entry, and its bits.
    pub fn set_deadline(&mut self, place: Place, marks: u8, deadline: Option<u64>) {
        let meta = Meta { marks, deadline, ..self.meta(place) };
        self.replace(place, New::Same, meta);
    }
}
