//! Requests that are here already and run soon: what the keys of all of them need of memory is
//! asked for together (base/table/warm.rs says why). They come together in three ways: one behind
//! the other on a connection, on several connections in one turn, and from clients of other cores.

use crate::base::ids::Db;
use crate::limits::WARM_MAX;
use crate::router::slot::shard_of;
use crate::server::connection::Connection;
use crate::server::core::{Core, Message};

impl Core {
    /// Asks memory for what the lookups of these keys will read, those of this shard among the
    /// first `WARM_MAX`. Nobody has judged the requests that they are from: it changes nothing.
    pub fn warm<K: AsRef<[u8]>>(&self, db: Db, keys: impl Iterator<Item = K>) {
        let own = |key: &K| self.shards == 1 || shard_of(key.as_ref(), self.shards) == self.id;
        self.shard.borrow().keys.warm(db, keys.take(WARM_MAX).filter(own));
    }

    /// The same for commands of several clients of other cores. (Those that travel together are
    /// looked after when they run.)
    pub fn warm_messages(&self, messages: &[Message]) {
        let shard = self.shard.borrow();
        for messages in messages.chunks(WARM_MAX) {
            let single = messages.iter().filter_map(|message| match message {
                Message::Envelope { envelope, .. } if envelope.len() == 1 => envelope.get(0),
                _ => None,
            });
            let mut calls = single.peekable();
            let Some(&(_, _, db)) = calls.peek() else { continue };
            let same = calls.filter(|(_, _, other)| *other == db);
            shard.keys.warm(db, same.map(|(_, args, _)| args.at(1)));
        }
    }
}

impl Connection {
    /// The same for requests behind the one that is about to run.
    pub(in crate::server) fn warm<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) {
        self.core.warm(self.client.session.borrow().db, keys);
    }
}
