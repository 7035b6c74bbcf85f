//! Client-side caching: which clients have read which keys of this shard, and whom a change makes
//! stale. A key is forgotten when it has changed: who caches it again has read it again.

use std::collections::{BTreeMap, HashMap};

use crate::base::ids::ShardId;
use crate::commands::order::{Keeps, Tracker};

/// A client whose copy of keys is stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The core of its connection.
    pub core: ShardId,
    /// Its session.
    pub client: u64,
    /// The prefix that they are told for, with BCAST: each is a message of its own.
    pub prefix: Option<Vec<u8>>,
    /// The keys, or all of them.
    pub keys: Option<Vec<Vec<u8>>>,
}

/// Who caches what.
#[derive(Debug, Default)]
pub struct Tracking {
    /// Clients with CLIENT TRACKING on, of all cores.
    clients: BTreeMap<u64, ShardId>,
    /// For each key those that have read it.
    readers: HashMap<Vec<u8>, Vec<u64>>,
    /// For each prefix those that want to hear of every change.
    prefixes: BTreeMap<Vec<u8>, Vec<u64>>,
    /// Pairs of keys and readers.
    items: usize,
    /// Keys that may be remembered; 0: any number.
    most: usize,
}

impl Tracking {
    /// Does anybody track anything?
    pub fn is_on(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Keys, pairs of keys and readers, prefixes.
    pub fn sizes(&self) -> (usize, usize, usize) {
        (self.readers.len(), self.items, self.prefixes.len())
    }

    /// So many keys may be remembered from now on; 0: any number.
    pub fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// A client tracks from now on, all changes below its prefixes if it has some.
    pub fn join(&mut self, client: u64, core: ShardId, prefixes: &[Vec<u8>]) {
        self.clients.insert(client, core);
        for prefix in prefixes {
            let listeners = self.prefixes.entry(prefix.clone()).or_default();
            if !listeners.contains(&client) {
                listeners.push(client);
            }
        }
    }

    /// A client tracks no more. Keys that it has read are forgotten when they change.
    pub fn leave(&mut self, client: u64) {
        self.clients.remove(&client);
        self.prefixes.retain(|_, listeners| {
            listeners.retain(|listener| *listener != client);
            !listeners.is_empty()
        });
        if self.clients.is_empty() {
            self.readers = HashMap::default();
            self.items = 0;
        }
    }

    /// A client has read keys. Beyond the limit another key is forgotten, and its readers told.
    pub fn read<'k>(
        &mut self,
        reader: Tracker,
        keys: impl Iterator<Item = &'k [u8]>,
        stale: &mut Vec<Stale>,
    ) {
        if reader.keeps == Keeps::Nothing || !self.clients.contains_key(&reader.client) {
            return;
        }
        for key in keys {
            let readers = self.readers.entry(key.to_vec()).or_default();
            if !readers.contains(&reader.client) {
                readers.push(reader.client);
                self.items += 1;
            }
            while self.most > 0 && self.readers.len() > self.most {
                let other = self.readers.keys().find(|other| other.as_slice() != key).cloned();
                let Some(other) = other else { break };
                self.tell_readers(&other, None, stale);
            }
        }
    }

    /// A key has changed, by the hand of `writer` if that is a client that tracks.
    pub fn changed(&mut self, key: &[u8], writer: Option<Tracker>, stale: &mut Vec<Stale>) {
        self.tell_readers(key, writer, stale);
        if self.prefixes.is_empty() {
            return;
        }
        for (prefix, listeners) in self.prefixes.iter().filter(|(start, _)| key.starts_with(start))
        {
            for client in listeners {
                tell(&self.clients, (*client, Some(prefix)), key, writer, stale);
            }
        }
    }

    /// A database was emptied: nothing that was read is true any more.
    pub fn flushed(&mut self, stale: &mut Vec<Stale>) {
        self.forget();
        for (client, core) in &self.clients {
            stale.push(Stale { core: *core, client: *client, prefix: None, keys: None });
        }
    }

    /// Forgets what was read, without a word.
    pub fn forget(&mut self) {
        self.readers.clear();
        self.items = 0;
    }

    fn tell_readers(&mut self, key: &[u8], writer: Option<Tracker>, stale: &mut Vec<Stale>) {
        let Some(readers) = self.readers.remove(key) else { return };
        self.items -= readers.len();
        for client in readers {
            tell(&self.clients, (client, None), key, writer, stale);
        }
    }
}

/// Adds a key to what a client is told, unless it is gone or wants to hear nothing of itself.
fn tell(
    clients: &BTreeMap<u64, ShardId>,
    (client, prefix): (u64, Option<&Vec<u8>>),
    key: &[u8],
    writer: Option<Tracker>,
    stale: &mut Vec<Stale>,
) {
    let Some(core) = clients.get(&client) else { return };
    if writer.is_some_and(|writer| writer.client == client && writer.quiet) {
        return;
    }
    let same = |told: &&mut Stale| told.client == client && told.prefix.as_ref() == prefix;
    let told = stale.iter_mut().filter(|told| told.keys.is_some()).find(same);
    match told.and_then(|told| told.keys.as_mut()) {
        Some(keys) if keys.last().is_some_and(|last| last == key) => {}
        Some(keys) => keys.push(key.to_vec()),
        None => {
            let (prefix, keys) = (prefix.cloned(), Some(vec![key.to_vec()]));
            stale.push(Stale { core: *core, client, prefix, keys });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: ShardId = ShardId(0);

    fn tracker(client: u64) -> Tracker {
        Tracker { client, keeps: Keeps::Reads, quiet: false }
    }

    fn read(tracking: &mut Tracking, client: u64, keys: &[&str]) -> String {
        let mut stale = Vec::new();
        tracking.read(tracker(client), keys.iter().map(|key| key.as_bytes()), &mut stale);
        shown(stale)
    }

    fn changed(tracking: &mut Tracking, key: &str, writer: Option<Tracker>) -> String {
        let mut stale = Vec::new();
        tracking.changed(key.as_bytes(), writer, &mut stale);
        shown(stale)
    }

    fn shown(stale: Vec<Stale>) -> String {
        let text = |stale: Stale| {
            let keys = stale.keys.map_or("all".into(), |keys| keys.concat());
            format!("{}:{}", stale.client, keys.escape_ascii())
        };
        stale.into_iter().map(text).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_reader_hears_once_of_a_change() {
        let mut tracking = Tracking::default();
        assert_eq!(read(&mut tracking, 1, &["a"]), "", "nobody tracks");
        assert_eq!(tracking.sizes(), (0, 0, 0));
        tracking.join(1, HERE, &[]);
        tracking.join(2, ShardId(1), &[]);
        read(&mut tracking, 1, &["a", "b"]);
        read(&mut tracking, 1, &["a"]);
        read(&mut tracking, 2, &["a"]);
        assert_eq!(tracking.sizes(), (2, 3, 0));
        assert_eq!(changed(&mut tracking, "a", None), "1:a 2:a");
        assert_eq!(changed(&mut tracking, "a", None), "");
        let quiet = Tracker { quiet: true, ..tracker(1) };
        assert_eq!(changed(&mut tracking, "b", Some(quiet)), "");
        read(&mut tracking, 1, &["b"]);
        assert_eq!(changed(&mut tracking, "b", Some(tracker(1))), "1:b");
        read(&mut tracking, 2, &["c"]);
        tracking.leave(2);
        assert_eq!(changed(&mut tracking, "c", None), "");
        tracking.leave(1);
        assert!(!tracking.is_on());
    }

    #[test]
    fn prefixes_hear_of_every_change_and_a_flush_concerns_all() {
        let mut tracking = Tracking::default();
        tracking.join(1, HERE, &[b"u:".to_vec(), b"v:".to_vec()]);
        tracking.join(2, HERE, &[Vec::new()]);
        assert_eq!(changed(&mut tracking, "u:1", None), "2:u:1 1:u:1");
        assert_eq!(changed(&mut tracking, "u:1", None), "2:u:1 1:u:1");
        assert_eq!(changed(&mut tracking, "x", None), "2:x");
        let mut stale = Vec::new();
        tracking.flushed(&mut stale);
        assert_eq!(shown(stale), "1:all 2:all");
    }

    #[test]
    fn beyond_the_limit_a_key_is_forgotten_aloud() {
        let mut tracking = Tracking::default();
        tracking.limit(1);
        tracking.join(1, HERE, &[]);
        assert_eq!(read(&mut tracking, 1, &["a"]), "");
        assert_eq!(read(&mut tracking, 1, &["b"]), "1:a");
        assert_eq!(tracking.sizes(), (1, 1, 0));
    }
}
