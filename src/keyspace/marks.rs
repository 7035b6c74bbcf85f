//! For transactions: marks that are put after the fact, and a keyspace to try things in.

use crate::keyspace::item::{Item, Sink};
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::snapshot::{Budget, Step};

/// Takes the items of a sweep, of which there are none.
struct Nowhere;

impl Sink for Nowhere {
    fn take(&mut self, _item: Item<'_>) {}
}

impl Keyspace {
    /// The key was changed by the effect whose lsn `begin` was given: the commit of a transaction
    /// gets its lsn after its writes have been applied.
    pub fn mark(&mut self, key: &[u8]) {
        self.stamp(self.hasher.hash(key));
    }

    /// The same for every key.
    pub fn mark_all(&mut self) {
        self.stamp_all();
    }

    /// Holds what `fresh` holds from now on. Watched keys count as changed, and every answer waits
    /// for all that was written before.
    pub fn replace(&mut self, mut fresh: Keyspace) {
        if fresh.polarity != self.polarity {
            // A cut was made while it was loaded: a sweep turns all marks over.
            fresh.cut();
            fresh.abort();
            while fresh.snapshot_step(&mut Nowhere, Budget::default()) == Step::More {}
        }
        self.flush_all();
        self.libraries = fresh.libraries;
        for (mine, theirs) in self.dbs.iter_mut().zip(fresh.dbs) {
            mine.table = theirs.table;
            mine.values = theirs.values;
            mine.fields = theirs.fields;
        }
    }

    /// An empty keyspace with the same settings.
    pub fn scratch(&self) -> Keyspace {
        let mut scratch = Keyspace::new(self.settings);
        scratch.polarity = self.polarity;
        scratch
    }
}
