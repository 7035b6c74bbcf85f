//! Commands whose keys live on several shards and cannot be split (RENAME, COPY, MSETNX, LCS): the
//! keys are rebuilt in a scratch keyspace, the handler runs there unchanged, and what it changed
//! goes back to the owners as plain commands. Of queues only the ends travel (commands/excerpt.rs).
//!
//! LIMITATIONS: the cost is that of the values, except where excerpts do, not O(1) as within one
//! shard; keys that belong together belong under one `{tag}`.

use crate::base::ids::Db;
use crate::base::number::push_double;
use crate::commands::call::Effect;
use crate::commands::excerpt::Excerpt;
use crate::commands::order::{Change, Item, Voice, Wanted};
use crate::commands::sort;
use crate::resp::args::OwnedArgs;
use crate::resp::reply::Proto;
use crate::shard::execute::Request;
use crate::shard::shard::Shard;

impl Shard {
    /// The commands that rebuild these keys or what is wanted of them, those that are there.
    pub(in crate::shard) fn export(&mut self, keys: &[Wanted]) -> Vec<(Db, OwnedArgs)> {
        self.keys.begin(self.now, self.journal.next());
        let mut world = Vec::new();
        for Wanted { name: (db, key), excerpt } in keys {
            // COPY names a database before its handler can refuse the number.
            if db.0 < self.keys.databases() && self.keys.exists(*db, key) {
                let each = &mut |args: &[&[u8]]| world.push((*db, OwnedArgs::of(args)));
                self.excerpt((*db, key), excerpt, each);
            }
        }
        world
    }

    /// The commands that make an excerpt of a key that is there.
    fn excerpt(
        &mut self,
        (db, key): (Db, &[u8]),
        excerpt: &Excerpt,
        each: &mut dyn FnMut(&[&[u8]]),
    ) {
        let made = match excerpt {
            Excerpt::Whole => {
                self.keys.rebuild(db, key, each);
                return;
            }
            Excerpt::List(end, count) => self.keys.list(db, key).map(|list| {
                let list = list.expect("a key that is there");
                let range = end.range(count.saturating_add(1), list.len());
                let elements = list.iter_from(range.start).take(range.len());
                elements.for_each(|element| each(&[b"RPUSH", key, element]));
            }),
            Excerpt::Zset(end, count) => self.keys.zset(db, key).map(|zset| {
                let zset = zset.expect("a key that is there");
                end.members(zset, count.saturating_add(1)).for_each(|(score, member)| {
                    let mut digits = Vec::new();
                    push_double(&mut digits, score);
                    each(&[b"ZADD", key, &digits, member]);
                });
            }),
            Excerpt::Member(member) => self.keys.set(db, key).map(|set| {
                let set = set.expect("a key that is there");
                let there = set.contains(member);
                if there {
                    each(&[b"SADD", key, member]);
                }
                if set.len() > usize::from(there) {
                    each(&[b"SADD", key, &[member, &b"+"[..]].concat()]);
                }
            }),
        };
        if made.is_err() {
            // The handler will refuse the value for its type, as it does any hash.
            each(&[b"HSET", key, b"", b""]);
        }
    }

    /// Runs a command over the given world of these keys; its reply and the keys that it changed.
    pub(in crate::shard) fn gather(
        &mut self,
        item: &Item,
        proto: Proto,
        keys: Vec<Wanted>,
        world: Vec<(Db, OwnedArgs)>,
    ) -> (Vec<u8>, Vec<Change>) {
        let mut scratch = self.scratch(&world);
        // Those of a database that there is: COPY names one before its handler can refuse it.
        let there = keys.into_iter().filter(|wanted| wanted.name.0.0 < self.keys.databases());
        let keys: Vec<Wanted> = there.collect();
        let before: Vec<_> = keys.iter().map(|wanted| scratch.observe(wanted)).collect();
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
        for (Wanted { name, excerpt }, (version, before)) in keys.into_iter().zip(before) {
            if scratch.keys.unchanged(name.0, &name.1, version) {
                continue;
            }
            let after = scratch.rebuilt(&name);
            let commands = excerpt.amend(&name.1, &before, &after);
            if !commands.is_empty() {
                changes.push(Change { name, commands });
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
        scratch.keys.begin(self.now, scratch.journal.next());
        scratch
    }

    /// A key before a command runs: the version by which a change is noticed, and an excerpt.
    fn observe(&mut self, Wanted { name, excerpt }: &Wanted) -> (u64, Vec<OwnedArgs>) {
        let before = match excerpt {
            // All of it goes back, whatever it was.
            Excerpt::Whole => Vec::new(),
            Excerpt::List(..) | Excerpt::Zset(..) | Excerpt::Member(_) => self.rebuilt(name),
        };
        (self.keys.watch(name.0, &name.1), before)
    }

    /// The commands that rebuild all that is here of one key; none when it is not there.
    fn rebuilt(&mut self, name: &(Db, Vec<u8>)) -> Vec<OwnedArgs> {
        let whole = Wanted { name: name.clone(), excerpt: Excerpt::Whole };
        self.export(&[whole]).into_iter().map(|(_, args)| args).collect()
    }
}
