//! A consumer group of a stream: what was delivered to whom and not acknowledged yet.

use std::cell::Cell;
use std::rc::Rc;

use crate::types::sorted::{Held, Map};
use crate::types::stream::id::StreamId;

/// The name of a group or a consumer.
pub type Name = Rc<[u8]>;

/// A consumer group.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// The last id that was delivered.
    pub last: StreamId,
    /// How many entries of the stream have been read up to it, if that is known.
    pub read: Option<u64>,
    pending: Map<StreamId, Pending>,
    consumers: Map<Name, Consumer>,
    copied: usize,
}

/// A delivery that was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Its consumer.
    pub consumer: Name,
    /// When it was delivered last, in milliseconds.
    pub time: u64,
    /// How often it was delivered.
    pub count: u64,
}

/// A consumer.
#[derive(Clone, Debug)]
pub struct Consumer {
    /// When it last asked for something. Asking alone is not logged, so this changes without any
    /// other change; 0 after a start that has read a log.
    pub seen: Cell<u64>,
    /// When it last got something.
    pub active: Option<u64>,
    pending: Map<StreamId, ()>,
}

impl Held for Pending {}

impl Held for Consumer {
    fn extra(&self) -> usize {
        self.pending.bytes()
    }
}

impl Held for Group {
    fn extra(&self) -> usize {
        self.pending.bytes() + self.consumers.bytes()
    }
}

impl Group {
    /// A group that has read so far.
    pub fn new(last: StreamId, read: Option<u64>) -> Group {
        Group { last, read, ..Group::default() }
    }

    /// What was delivered and not acknowledged.
    pub fn pending(&self) -> &Map<StreamId, Pending> {
        &self.pending
    }

    /// The consumers by their names.
    pub fn consumers(&self) -> &Map<Name, Consumer> {
        &self.consumers
    }

    /// What is pending, and the consumers.
    pub fn into_parts(self) -> (Map<StreamId, Pending>, Map<Name, Consumer>) {
        (self.pending, self.consumers)
    }

    /// Bytes that changes have copied since this was last asked, because a clone shares them.
    pub fn take_copied(&mut self) -> usize {
        let own = std::mem::take(&mut self.copied);
        own + self.pending.take_copied() + self.consumers.take_copied()
    }

    /// One consumer.
    pub fn consumer(&self, name: &[u8]) -> Option<&Consumer> {
        self.consumers.get(&Name::from(name))
    }

    /// Makes a consumer; false when it exists.
    pub fn add_consumer(&mut self, name: &[u8], seen: u64, active: Option<u64>) -> bool {
        let name = Name::from(name);
        let missing = self.consumers.get(&name).is_none();
        if missing {
            self.consumers.insert(name, Consumer::new(seen, active));
        }
        missing
    }

    /// Removes a consumer and what is pending for it; how much that was, if it was there.
    pub fn remove_consumer(&mut self, name: &[u8]) -> Option<usize> {
        let consumer = self.consumers.remove(&Name::from(name))?;
        for (id, ()) in consumer.pending.iter() {
            self.pending.remove(id);
        }
        Some(consumer.pending.len())
    }

    /// Notes that a consumer, which exists, got something at this time.
    pub fn mark_active(&mut self, name: &[u8], time: u64) {
        self.consumers.edit(&Name::from(name), |consumer| consumer.active = Some(time));
    }

    /// Makes an entry pending for a consumer, which exists, whoever had it before.
    pub fn assign(&mut self, id: StreamId, pending: Pending) {
        let name = Rc::clone(&pending.consumer);
        let before = self.pending.insert(id, pending).map(|old| old.consumer);
        if before.as_ref() == Some(&name) {
            return;
        }
        if let Some(before) = before {
            self.edit_consumer(&before, |pending| pending.remove(&id));
        }
        self.edit_consumer(&name, |pending| pending.insert(id, ()));
    }

    /// Acknowledges a delivery; false when there is none.
    pub fn acknowledge(&mut self, id: StreamId) -> bool {
        let Some(pending) = self.pending.remove(&id) else { return false };
        self.edit_consumer(&pending.consumer, |pending| pending.remove(&id));
        true
    }

    fn edit_consumer(
        &mut self,
        name: &Name,
        work: impl FnOnce(&mut Map<StreamId, ()>) -> Option<()>,
    ) {
        let copied = self.consumers.edit(name, |consumer| {
            work(&mut consumer.pending);
            consumer.pending.take_copied()
        });
        self.copied += copied.unwrap_or_default();
    }
}

impl Consumer {
    /// One without deliveries.
    pub fn new(seen: u64, active: Option<u64>) -> Consumer {
        Consumer { seen: Cell::new(seen), active, pending: Map::default() }
    }

    /// The ids that are pending for it.
    pub fn pending(&self) -> &Map<StreamId, ()> {
        &self.pending
    }
}
