//! Commands whose keys live on several shards and cannot be split (RENAME, COPY, MSETNX, LCS): the
//! keys are rebuilt in a scratch keyspace, the handler runs there unchanged, and what it changed
//! goes back to the owners as plain commands.
//!
//! LIMITATIONS: the cost is that of the values, not O(1) as within one shard; keys that belong
//! together belong under one `{tag}`.

use crate::base::ids::Db;
use crate::commands::call::Effect;
use crate::commands::order::{Change, Item, Voice};
use crate::commands::sort;
use crate::resp::args::OwnedArgs;
use crate::resp::reply::Proto;
use crate::shard::execute::Request;
use crate::shard::shard::Shard;

impl Shard {
    /// The commands that rebuild these keys, those that are there.
    pub(in crate::shard) fn export(&mut self, keys: &[(Db, Vec<u8>)]) -> Vec<(Db, OwnedArgs)> {
        self.keys.begin(self.now, self.journal.next());
        let mut world = Vec::new();
        for (db, key) in keys {
            // COPY names a database before its handler can refuse the number.
            if db.0 < self.keys.databases() && self.keys.exists(*db, key) {
                self.keys.rebuild(*db, key, &mut |args| world.push((*db, OwnedArgs::of(args))));
            }
        }
        world
    }

    /// Runs a command over the given world of these keys; its reply and the keys that it changed.
    pub(in crate::shard) fn gather(
        &mut self,
        item: &Item,
        proto: Proto,
        keys: Vec<(Db, Vec<u8>)>,
        world: Vec<(Db, OwnedArgs)>,
    ) -> (Vec<u8>, Vec<Change>) {
        let mut scratch = self.scratch(&world);
        let before: Vec<_> = keys.iter().map(|name| scratch.rebuilt(name)).collect();
        scratch.listen_as(self);
        let mut out = Vec::new();
        let effect = scratch.perform(Request::of(item, proto), Voice::Loud, &mut out);
        if let Some(news) = scratch.take_news() {
            self.ears.news.events.extend(news.events);
        }
        if effect == Effect::Nothing {
            return (out, Vec::new());
        }
        let mut changes = Vec::new();
        for (name, before) in keys.into_iter().zip(before) {
            let rebuild = scratch.rebuilt(&name);
            if rebuild != before {
                let (db, key) = name;
                changes.push(Change { db, key, rebuild });
            }
        }
        (out, changes)
    }

    /// The keys that a command over the given world looks up though its arguments do not name
    /// them.
    pub(in crate::shard) fn looked_up(
        &mut self,
        item: &Item,
        world: &[(Db, OwnedArgs)],
    ) -> Vec<Vec<u8>> {
        let mut scratch = self.scratch(world);
        scratch.keys.begin(self.now, self.journal.next());
        sort::looked_up(&mut scratch.keys, item.db, item.args.args())
    }

    /// A shard that has only this world.
    fn scratch(&mut self, world: &[(Db, OwnedArgs)]) -> Shard {
        let mut scratch = Shard::new(self.id, self.keys.scratch(), self.prng.next());
        let mut unread = Vec::new();
        for (db, args) in world {
            let rebuilt = scratch.replay(args.args(), *db, &mut unread);
            assert!(rebuilt.is_ok(), "a rebuilding command cannot fail: {rebuilt:?}");
        }
        scratch.now = self.now;
        scratch
    }

    /// The commands that rebuild one key; none when it is not there.
    fn rebuilt(&mut self, (db, key): &(Db, Vec<u8>)) -> Vec<OwnedArgs> {
        self.export(&[(*db, key.clone())]).into_iter().map(|(_, args)| args).collect()
    }
}
