//! A snapshot without a fork: the cut, and the traversal in slices.
//!
//! *The cut* flips the polarity. Every entry then has the old one, which says "belongs to the
//! snapshot, not written yet"; what is born from now on has the new one. *A step* writes the
//! queue of pre-images, then goes on with big values that were opened, then with the tables in hash
//! order, and gives each entry the new polarity as it is written. So each entry is written exactly
//! once, by the traversal or by the first change (preimage.rs), and when the traversal ends all
//! polarities agree again: the next snapshot only flips.
//!
//! *Which database.* A tour over a table remembers the number that it had at the cut and travels
//! with the table: SWAPDB moves both, FLUSHDB leaves both to the snapshot.
//!
//! *Costs.* A step is bounded by its budget, plus one segment that has to be put in order (a few
//! hundred entries). COPY of a big value is O(n), in a snapshot or not.

use std::mem;

use crate::base::ids::Db;
use crate::base::mutant::Mutant;
use crate::base::table::Stored;
use crate::base::time::Millis;
use crate::keyspace::database::{Database, POLARITY, Stop, Tour, Walk};
use crate::keyspace::item::{Item, Sink, Small};
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::libraries;
use crate::keyspace::preimage::{Body, Cut, Job};
use crate::types::hash::Hash;
use crate::types::rope::CHUNK;
use crate::types::value::Value;

/// How much one step may do.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Items.
    pub items: usize,
    /// Bytes of keys and values; the item that passes it is the last.
    pub bytes: usize,
}

/// Whether a snapshot is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    More,
    /// Everything has been handed over (or, after an abort, swept).
    Done,
}

/// How far a snapshot is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Keys at the cut.
    pub keys: u64,
    /// Keys written, those counted when they are begun that are written in fragments.
    pub written: u64,
    /// Bytes in the pre-image queue.
    pub preimage_bytes: usize,
    /// The most that there were.
    pub preimage_peak: usize,
}

/// What is left of a budget.
struct Left {
    items: usize,
    bytes: usize,
    /// Entries that may be passed over.
    fuel: usize,
}

/// Takes everything and keeps nothing.
struct Nowhere;

impl Default for Budget {
    fn default() -> Budget {
        Budget { items: 64, bytes: 8 << 10 }
    }
}

impl Sink for Nowhere {
    fn take(&mut self, _item: Item<'_>) {}
}

impl Left {
    fn spend(&mut self, bytes: usize) {
        self.items = self.items.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn is_spent(&self) -> bool {
        self.items == 0 || self.bytes == 0 || self.fuel == 0
    }
}

impl Keyspace {
    /// Cuts: everything up to now is the snapshot, nothing after it. False, and nothing done, when
    /// one is in progress (or an aborted one is still being swept).
    pub fn cut(&mut self) -> bool {
        if self.cut.is_some() {
            return false;
        }
        if !Mutant::NoFlip.is_on() {
            self.polarity ^= POLARITY;
        }
        let mut keys = 0;
        for (number, database) in self.dbs.iter_mut().enumerate() {
            keys += database.table.len() as u64;
            if !database.table.is_empty() {
                database.tour = Some(Tour { db: Db(number as u16), walk: Walk::new() });
            }
        }
        self.cut = Some(Box::new(Cut::new(keys, self.next_fragment, self.libraries_left())));
        self.peak = 0;
        true
    }

    /// Does a bounded part of the snapshot.
    pub fn snapshot_step(&mut self, sink: &mut dyn Sink, budget: Budget) -> Step {
        let Some(mut cut) = self.cut.take() else { return Step::Done };
        let mut left = Left { items: budget.items, bytes: budget.bytes, fuel: budget.items * 8 };
        let mut nowhere = Nowhere;
        let sink = if cut.muted { &mut nowhere } else { sink };
        let step = self.advance(&mut cut, sink, &mut left);
        self.peak = self.peak.max(cut.peak);
        self.next_fragment = cut.next_id;
        if step == Step::More {
            self.cut = Some(cut);
        }
        step
    }

    /// Gives the snapshot up. What it held is freed; `snapshot_step` has to go on until it is done,
    /// without output, before the next cut.
    pub fn abort(&mut self) {
        let Some(cut) = self.cut.as_mut() else { return };
        cut.muted = true;
        while cut.pop().is_some() {}
        cut.libraries = libraries::Left::default();
        for database in mem::take(&mut cut.flushed) {
            self.graveyard.bury_table(database.table, database.values);
        }
        // What comes in parts has no polarity that a sweep would have to bring in order.
        for job in mem::take(&mut cut.jobs) {
            match job.body {
                Body::Parts(_, parts) => {
                    cut.orphans -= job.orphaned;
                    self.graveyard.bury_remains(parts.into_remains(), 0);
                }
                body => cut.jobs.push_back(Job { body, ..job }),
            }
        }
    }

    /// Is a snapshot in progress, or an aborted one being swept?
    pub fn is_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// How far the snapshot is; nothing when there is none.
    pub fn progress(&self) -> Option<Progress> {
        let cut = self.cut.as_ref()?;
        Some(Progress {
            keys: cut.keys,
            written: cut.written,
            preimage_bytes: cut.preimages(),
            preimage_peak: cut.peak,
        })
    }

    /// Bytes of pre-images that wait to be written. What is shared or moved as a whole (big values,
    /// emptied tables) is not among them: `Memory::held`.
    pub fn preimage_bytes(&self) -> usize {
        self.cut.as_ref().map_or(0, |cut| cut.preimages())
    }

    /// The most that `preimage_bytes` has been in the snapshot in progress, or the last one.
    pub fn preimage_peak(&self) -> usize {
        self.cut.as_ref().map_or(self.peak, |cut| cut.peak)
    }

    fn advance(&mut self, cut: &mut Cut, sink: &mut dyn Sink, left: &mut Left) -> Step {
        loop {
            if left.is_spent() {
                return Step::More;
            }
            if let Some(bytes) = cut.libraries.step(sink) {
                left.spend(bytes);
            } else if let Some(image) = cut.pop() {
                let (bytes, keys) = image.emit(sink);
                cut.written += keys;
                left.spend(bytes);
            } else if let Some(mut job) = cut.jobs.pop_front() {
                if work(&mut job, self.polarity, cut, sink, left) == Step::More {
                    cut.jobs.push_front(job);
                } else {
                    self.close(cut, job, sink);
                    left.spend(0);
                }
            } else if let Some(mut database) = cut.flushed.pop_front() {
                if tour(&mut database, self.polarity, cut, sink, left) == Step::More {
                    cut.flushed.push_front(database);
                } else {
                    self.graveyard.bury_table(database.table, database.values);
                }
            } else if let Some(database) = self.dbs.iter_mut().find(|base| base.tour.is_some()) {
                if tour(database, self.polarity, cut, sink, left) == Step::Done {
                    database.tour = None;
                }
            } else {
                return Step::Done;
            }
        }
    }

    /// Every fragment of a big value is out.
    fn close(&mut self, cut: &mut Cut, job: Job, sink: &mut dyn Sink) {
        sink.take(Item::Close { id: job.id });
        cut.orphans -= job.orphaned;
        match job.body {
            Body::Hash(hash, _) => {
                hash.borrow_mut().fragment = None;
                self.graveyard.bury_hash(hash);
            }
            Body::Rope(rope, _) => {
                rope.borrow_mut().fragment = None;
                self.graveyard.bury_rope(rope);
            }
            Body::Parts(..) => {}
        }
    }
}

/// Goes on with a big value.
fn work(job: &mut Job, polarity: u8, cut: &mut Cut, sink: &mut dyn Sink, left: &mut Left) -> Step {
    let id = job.id;
    match &mut job.body {
        Body::Hash(hash, walk) => {
            let mut hash = hash.borrow_mut();
            while !left.is_spent() {
                match walk.next(hash.table(), polarity, &mut left.fuel) {
                    Stop::At(place) => hash.save(place, polarity, |field, value, at| {
                        let deadline = at.map(Millis);
                        sink.take(Item::Field { id, field, value, deadline });
                        left.spend(field.len() + value.len());
                    }),
                    Stop::Pause => return Step::More,
                    Stop::End => return Step::Done,
                }
            }
        }
        Body::Rope(rope, next) => {
            let mut rope = rope.borrow_mut();
            while !left.is_spent() {
                if *next == rope.chunks() {
                    return Step::Done;
                }
                left.fuel -= 1;
                rope.displace(*next, polarity, |bytes| {
                    sink.take(Item::Chunk { id, offset: (*next * CHUNK) as u64, bytes });
                    left.spend(bytes.len());
                });
                *next += 1;
            }
        }
        Body::Parts(next, parts) => {
            while !left.is_spent() {
                let Some((bytes, released)) = parts.next_part() else { return Step::Done };
                sink.take(Item::Chunk { id, offset: *next, bytes });
                left.spend(bytes.len());
                cut.note_released(released);
                *next += 1;
            }
        }
    }
    Step::More
}

/// Goes on with a table.
fn tour(
    database: &mut Database,
    polarity: u8,
    cut: &mut Cut,
    sink: &mut dyn Sink,
    left: &mut Left,
) -> Step {
    let Database { table, tour: Some(tour), .. } = database else { return Step::Done };
    let db = tour.db;
    while !left.is_spent() {
        let place = match tour.walk.next(table, polarity, &mut left.fuel) {
            Stop::At(place) => place,
            Stop::Pause => return Step::More,
            Stop::End => return Step::Done,
        };
        let view = table.view(place);
        let (key, deadline) = (view.key, view.meta.deadline.map(Millis));
        let small = match view.value {
            Stored::Inline(bytes) => Some(Small::Str(bytes)),
            Stored::Extern(Value::Str(bytes)) => Some(Small::Str(bytes)),
            Stored::Extern(Value::Hash(Hash::Flat(flat))) => Some(Small::Hash(flat)),
            Stored::Extern(value) => value.whole().map(|bytes| Small::Whole(value.kind(), bytes)),
        };
        let opened = small.is_none();
        let mut bytes = key.len();
        if let Some(value) = small {
            bytes += match value {
                Small::Str(bytes) | Small::Whole(_, bytes) => bytes.len(),
                Small::Hash(flat) => flat.bytes(),
            };
            sink.take(Item::Small { db, key, deadline, value });
        }
        let marks = view.meta.marks & !POLARITY | polarity;
        if let Some((id, shape)) =
            table.extern_mut(place).filter(|_| opened).and_then(|value| cut.open(value))
        {
            let key = table.view(place).key;
            sink.take(Item::Open { id, db, key, deadline, shape });
        }
        table.set_marks(place, marks);
        cut.written += 1;
        left.spend(bytes);
        if opened {
            // Its fragments come first, so that few values are open at a time.
            return Step::More;
        }
    }
    Step::More
}

#[cfg(test)]
mod tests;
