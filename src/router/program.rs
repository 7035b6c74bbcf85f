//! What a transaction does on which shards: a program of steps, made before anything is locked.
//!
//! One command over several shards is a program of one step; EXEC over several shards is a program
//! of as few steps as the order of its commands allows. Within a step every shard runs its items
//! in order; a gathered command is a step of its own, because it needs the results of all before.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::ids::{Db, ShardId};
use crate::commands::excerpt::{self, Excerpt};
use crate::commands::order::{Item, Tracker, Wanted};
use crate::commands::session::Watched;
use crate::commands::sort;
use crate::commands::spec::{Across, Flags, KeySpec, Merge};
use crate::commands::table;
use crate::resp::args::{Args, OwnedArgs};
use crate::router::plan::{Route, route};
use crate::router::slot::shard_of;

/// The items of one shard in one step, each under the number of its reply.
pub type Share = Vec<(usize, Item)>;

/// One step.
#[derive(Debug)]
pub enum Stage {
    /// Every shard runs its share.
    Run(BTreeMap<ShardId, Share>),
    /// The keys are brought to `home`, which runs the item.
    Gather {
        /// Who runs it.
        home: ShardId,
        /// The number of its reply.
        reply: usize,
        /// The command.
        item: Item,
        /// Its keys.
        keys: BTreeMap<ShardId, Vec<Wanted>>,
        /// It looks up keys that its elements name (SORT): first its keys are brought together,
        /// then those. All shards, so many, are claimed whole.
        lookups: Option<u16>,
    },
}

/// How the client's reply is made of numbered replies.
#[derive(Debug)]
pub struct Answer {
    /// The numbers, in the order of the shards.
    pub replies: Vec<usize>,
    /// How several become one.
    pub merge: Merge,
    /// For `Merge::ByKey` and `Merge::Found`: for each key of the request, which of `replies` has
    /// it.
    pub by_key: Vec<usize>,
    /// For `Merge::Found`: the keys of the request.
    pub names: Vec<Vec<u8>>,
}

/// The keys that a transaction needs on one shard.
#[derive(Debug, Default)]
pub struct Needs {
    /// By name.
    pub keys: Vec<(Db, Vec<u8>)>,
    /// All of them.
    pub whole: bool,
}

/// A whole transaction.
#[derive(Debug, Default)]
pub struct Program {
    /// Who takes part, with what.
    pub needs: BTreeMap<ShardId, Needs>,
    /// What is done, in order.
    pub stages: Vec<Stage>,
    /// One per command.
    pub answers: Vec<Answer>,
    /// Watched keys by shard.
    pub watched: BTreeMap<ShardId, Vec<Watched>>,
    /// Whether any command writes.
    pub writes: bool,
    /// How many numbered replies there are.
    pub replies: usize,
    /// Whose it is, if that session tracks.
    pub tracker: Option<Tracker>,
    /// It is made while it runs (a script): when its steps are done, it asks for more.
    pub open: bool,
}

impl Answer {
    /// An answer in which keys have no part.
    fn of(replies: Vec<usize>, merge: Merge) -> Answer {
        Answer { replies, merge, by_key: Vec::new(), names: Vec::new() }
    }
}

/// The one shard that these commands and watched keys all live on, if there is one.
pub fn home(items: &[Item], watched: &[Watched], me: ShardId, shards: u16) -> Option<ShardId> {
    let routes = items.iter().map(|item| match route(item.command, item.args.args(), me, shards) {
        Route::One(shard) => Some(shard),
        _ => None,
    });
    let mut owners = routes.chain(watched.iter().map(|watch| Some(watch.shard)));
    let first = owners.next()??;
    owners.all(|owner| owner == Some(first)).then_some(first)
}

impl Program {
    /// A program of these commands, in a server of `shards` shards; keyless commands run on `me`.
    /// A command that only the session can run is not part of a program.
    pub fn new(items: Vec<Item>, watched: Vec<Watched>, me: ShardId, shards: u16) -> Program {
        let mut program = Program::default();
        for watch in watched {
            let shard = watch.shard;
            program.need(shard, watch.db, &watch.key);
            program.watched.entry(shard).or_default().push(watch);
        }
        for item in items {
            program.writes |= item.command.flags.has(Flags::WRITE);
            program.add(item, me, shards);
        }
        program
    }

    /// A program that is made while it runs: it may use any key of any shard.
    pub fn open(watched: Vec<Watched>, shards: u16) -> Program {
        let mut program = Program::new(Vec::new(), watched, ShardId(0), shards);
        for shard in (0..shards).map(ShardId) {
            program.needs.entry(shard).or_default().whole = true;
        }
        program.open = true;
        program
    }

    /// The same, with these keys of one shard and no others.
    pub fn open_on(shard: ShardId, keys: Vec<(Db, Vec<u8>)>) -> Program {
        let mut program = Program { open: true, ..Program::default() };
        program.needs.insert(shard, Needs { keys, whole: false });
        program
    }

    /// The next command of an open program; what came before it is forgotten.
    pub fn go_on(&mut self, item: Item, me: ShardId, shards: u16) {
        self.begin_again();
        self.add(item, me, shards);
    }

    /// The same, on a shard that is known.
    pub fn go_on_at(&mut self, shard: ShardId, item: Item) {
        self.begin_again();
        self.add_one(shard, item);
    }

    fn begin_again(&mut self) {
        self.stages.clear();
        self.answers.clear();
        self.replies = 0;
    }

    fn add(&mut self, item: Item, me: ShardId, shards: u16) {
        match route(item.command, item.args.args(), me, shards) {
            Route::Session => {}
            Route::One(shard) | Route::Cursor(shard) => self.add_one(shard, item),
            Route::Split(merge) => self.add_split(item, merge, shards),
            Route::All(merge) => self.add_all(item, merge, shards),
            Route::Gather => self.add_gather(item, shards),
        }
    }

    fn need(&mut self, shard: ShardId, db: Db, key: &[u8]) {
        if self.open {
            // What it may use is claimed.
            return;
        }
        self.needs.entry(shard).or_default().keys.push((db, key.to_vec()));
    }

    fn number(&mut self) -> usize {
        self.replies += 1;
        self.replies - 1
    }

    /// The share of a shard in the step that is being filled.
    fn share(&mut self, shard: ShardId) -> &mut Share {
        if !matches!(self.stages.last(), Some(Stage::Run(_))) {
            self.stages.push(Stage::Run(BTreeMap::new()));
        }
        match self.stages.last_mut() {
            Some(Stage::Run(shares)) => shares.entry(shard).or_default(),
            _ => unreachable!("a step to run was pushed above"),
        }
    }

    fn add_one(&mut self, shard: ShardId, item: Item) {
        let args = item.args.args();
        let keys: Vec<Vec<u8>> =
            table::keys(item.command, args).map(|at| args.at(at).to_vec()).collect();
        // A command over the whole shard (DBSIZE with one shard, SCAN) has no key to name.
        let whole = keys.is_empty();
        if !self.open {
            let needs = self.needs.entry(shard).or_default();
            needs.whole |= whole;
            needs.keys.extend(keys.into_iter().map(|key| (item.db, key)));
        }
        let reply = self.number();
        self.share(shard).push((reply, item));
        self.answers.push(Answer::of(vec![reply], Merge::Same));
    }

    fn add_split(&mut self, item: Item, merge: Merge, shards: u16) {
        let args = item.args.args();
        let (first, step) = key_places(&item);
        let mut parts: BTreeMap<ShardId, OwnedArgs> = BTreeMap::new();
        let mut owners = Vec::new();
        for at in table::keys(item.command, args) {
            let key = args.at(at);
            let shard = shard_of(key, shards);
            self.need(shard, item.db, key);
            let part = parts.entry(shard).or_insert_with(|| head(args, first));
            for offset in 0..step {
                part.push(args.at(at + offset));
            }
            owners.push(shard);
        }
        if let KeySpec::Streams { .. } = item.command.keys {
            // Each key has its id, and all ids stand behind all keys.
            for (nth, owner) in owners.iter().enumerate() {
                let id = args.at(first + owners.len() + nth);
                parts.entry(*owner).and_modify(|part| part.push(id));
            }
        }
        let order: Vec<ShardId> = parts.keys().copied().collect();
        let mut replies = Vec::new();
        for (shard, args) in parts {
            let reply = self.number();
            self.share(shard).push((reply, Item { command: item.command, args, db: item.db }));
            replies.push(reply);
        }
        let by_key = match merge {
            Merge::ByKey | Merge::Found => owners
                .iter()
                .map(|owner| order.iter().position(|shard| shard == owner).unwrap_or_default())
                .collect(),
            _ => Vec::new(),
        };
        let names = match merge {
            Merge::Found => {
                table::keys(item.command, args).map(|at| args.at(at).to_vec()).collect()
            }
            _ => Vec::new(),
        };
        self.answers.push(Answer { replies, merge, by_key, names });
    }

    fn add_all(&mut self, mut item: Item, merge: Merge, shards: u16) {
        if merge == Merge::Xor {
            // One digest a database, which can be combined: see `commands::digest`.
            item.args.push(b"PARTS");
        }
        let mut replies = Vec::new();
        for shard in (0..shards).map(ShardId) {
            self.needs.entry(shard).or_default().whole = true;
            let reply = self.number();
            self.share(shard).push((reply, item.clone()));
            replies.push(reply);
        }
        self.answers.push(Answer::of(replies, merge));
    }

    fn add_gather(&mut self, item: Item, shards: u16) {
        let mut keys: BTreeMap<ShardId, Vec<Wanted>> = BTreeMap::new();
        let args = item.args.args();
        let (mut home, excerpts, dbs) = (None, excerpts(&item), gathered_dbs(&item));
        // A key that is named twice is brought once: RPUSH twice would double a list.
        let mut named = BTreeSet::new();
        for (nth, at) in table::keys(item.command, args).enumerate() {
            let (key, shard) = (args.at(at), shard_of(args.at(at), shards));
            home.get_or_insert(shard);
            for db in dbs.iter().copied().filter(|db| named.insert((*db, key))) {
                self.need(shard, db, key);
                let [first, other] = &excerpts;
                let excerpt = if nth == 0 { first } else { other }.clone();
                keys.entry(shard).or_default().push(Wanted { name: (db, key.to_vec()), excerpt });
            }
        }
        let lookups = sort::follows_patterns(item.command, args).then_some(shards);
        for shard in (0..lookups.unwrap_or(0)).map(ShardId) {
            self.needs.entry(shard).or_default().whole = true;
        }
        let reply = self.number();
        self.answers.push(Answer::of(vec![reply], Merge::Same));
        let home = home.unwrap_or_default();
        self.stages.push(Stage::Gather { home, reply, item, keys, lookups });
    }
}

/// What a gathered command has to see of its first key, and of each other one.
fn excerpts(item: &Item) -> [Excerpt; 2] {
    match item.command.across {
        Across::Excerpts(excerpts) => excerpts(item.args.args()),
        _ => excerpt::each(Excerpt::Whole),
    }
}

/// Where the keys begin, and how many arguments belong to each (MSET: two).
fn key_places(item: &Item) -> (usize, usize) {
    match item.command.keys {
        KeySpec::At { first, step, .. } => (usize::from(first), usize::from(step).max(1)),
        // Those are gathered, never split.
        KeySpec::None | KeySpec::Counted { .. } | KeySpec::Stored { .. } => (1, 1),
        KeySpec::Streams { .. } => {
            (table::keys(item.command, item.args.args()).next().unwrap_or(1), 1)
        }
    }
}

/// The arguments before the keys: the command's name, and its subcommand's.
fn head(args: Args<'_>, first: usize) -> OwnedArgs {
    let mut head = OwnedArgs::default();
    args.iter().take(first).for_each(|arg| head.push(arg));
    head
}

/// The databases whose keys a gathered command may touch: the selected one, and the one that
/// COPY's `DB n` names.
fn gathered_dbs(item: &Item) -> Vec<Db> {
    let args: Args<'_> = item.args.args();
    let mut dbs = vec![item.db];
    if item.command.name != "copy" {
        return dbs;
    }
    for at in 3..args.len().saturating_sub(1) {
        if args.at(at).eq_ignore_ascii_case(b"db") {
            let named = std::str::from_utf8(args.at(at + 1)).ok().and_then(|n| n.parse().ok());
            dbs.extend(named.map(Db).filter(|db| *db != item.db));
        }
    }
    dbs
}
