//! Clients that wait for keys (BLPOP and its kin): queues by key, in the order of arrival.
//!
//! The protocol, from a session's first try to its answer:
//!
//! - A *wait* is a command with the keys that live on this shard. The session brings it to each
//!   shard that its keys live on, one after another in the order of the keys. `attend` runs the
//!   command there; if there was nothing to take, the wait enters the queue of each of its keys.
//!   Trying and entering are one step of the shard, so no write falls between them.
//! - A write that touches a key with a queue makes it *ready*. When the command that wrote (or the
//!   transaction) is over, and before the next one runs, `serve` goes through the keys that became
//!   ready, in that order, and through each queue from its head, and runs the commands of those
//!   who wait until nothing is left. So nobody takes in between what somebody waits for.
//! - A wait at several shards has one *turnstile*. A shard that has found something to take passes
//!   it and serves; nobody else can pass then. The session passes it when it gives up (its time is
//!   over, it is unblocked or gone). Whoever passes means it: a shard looks first, so a session
//!   that cannot pass has an answer on its way, and a shard that cannot pass forgets the wait.
//! - The session tells the shards that it has visited to `forget` the wait when it is over.
//! - A command that cannot run on this shard alone (BLMOVE to a key elsewhere) is not served but
//!   *invited*: its session, and nobody behind it in the queue, tries the command over all shards.
//!   If that found nothing after all, `wait_on` lets it wait on at its place.
//!
//! A key that a transaction has claimed is served when the claim is given up.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use crate::base::ids::{Db, Lsn, ShardId};
use crate::commands::blocking;
use crate::commands::order::{Item, Wait, Waiter};
use crate::resp::reply::is_null;
use crate::shard::execute::Request;
use crate::shard::shard::Shard;

/// What a shard has to say to a session that waits.
#[derive(Debug)]
pub struct Told {
    /// Whom.
    pub who: Waiter,
    /// What.
    pub what: What,
}

/// What a wait has come to.
#[derive(Debug)]
pub enum What {
    /// The command has run: its reply, which depends on an effect.
    Served(Vec<u8>, Lsn),
    /// It has entered the queues of its keys.
    Entered,
    /// The session may try the whole command now.
    Invited,
}

/// The place of a wait in the order of arrival.
type Place = u64;

#[derive(Debug)]
struct Standing {
    wait: Wait,
    invited: bool,
}

/// Everybody who waits for keys of one shard.
#[derive(Debug, Default)]
pub struct Waiting {
    standing: BTreeMap<Place, Standing>,
    queues: HashMap<(Db, Vec<u8>), VecDeque<Place>>,
    places: HashMap<(ShardId, u32), Vec<Place>>,
    ready: VecDeque<(Db, Vec<u8>)>,
    is_ready: HashSet<(Db, Vec<u8>)>,
    last: Place,
}

impl Waiting {
    /// Does nobody wait?
    pub fn is_empty(&self) -> bool {
        self.standing.is_empty()
    }

    /// Keys that somebody waits for.
    pub fn keys(&self) -> usize {
        self.queues.len()
    }

    /// Does anybody wait for this key?
    pub fn stands(&self, db: Db, key: &[u8]) -> bool {
        self.queues.contains_key(&(db, key.to_vec()))
    }

    /// Is there a key to be looked at?
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A key was written.
    pub fn ready(&mut self, db: Db, key: &[u8]) {
        if self.queues.is_empty() {
            return;
        }
        let name = (db, key.to_vec());
        if self.queues.contains_key(&name) && self.is_ready.insert(name.clone()) {
            self.ready.push_back(name);
        }
    }

    /// Any key of a database may have been written.
    pub fn ready_all(&mut self, db: Db) {
        let mut names: Vec<Vec<u8>> =
            self.queues.keys().filter(|name| name.0 == db).map(|name| name.1.clone()).collect();
        names.sort_unstable();
        names.iter().for_each(|key| self.ready(db, key));
    }

    fn take_ready(&mut self) -> Option<(Db, Vec<u8>)> {
        let name = self.ready.pop_front()?;
        self.is_ready.remove(&name);
        Some(name)
    }

    /// Lines up at each key.
    fn enter(&mut self, wait: Wait) {
        self.last += 1;
        let place = self.last;
        for name in wait.names() {
            let queue = self.queues.entry(name).or_default();
            if queue.back() != Some(&place) {
                queue.push_back(place);
            }
        }
        self.places.entry(wait.who.key()).or_default().push(place);
        self.standing.insert(place, Standing { wait, invited: false });
    }

    /// Leaves all queues.
    fn remove(&mut self, place: Place) -> Option<Wait> {
        let Standing { wait, .. } = self.standing.remove(&place)?;
        for name in wait.names() {
            let Some(queue) = self.queues.get_mut(&name) else { continue };
            queue.retain(|other| *other != place);
            if queue.is_empty() {
                self.queues.remove(&name);
            }
        }
        if let Some(places) = self.places.get_mut(&wait.who.key()) {
            places.retain(|other| *other != place);
            if places.is_empty() {
                self.places.remove(&wait.who.key());
            }
        }
        Some(wait)
    }

    /// The waits of one session.
    fn of(&self, who: Waiter) -> Vec<Place> {
        let mut places = self.places.get(&who.key()).cloned().unwrap_or_default();
        places.retain(|place| {
            self.standing.get(place).is_some_and(|standing| standing.wait.who.number == who.number)
        });
        places
    }
}

impl Shard {
    /// Tries a wait, and lets it line up if there is nothing to take. Says what came of it, unless
    /// it is over already.
    pub fn attend(&mut self, wait: Wait) -> Option<What> {
        self.keys.begin(self.now, self.journal.next());
        if !wait.invites && blocking::finds_any(&mut self.keys, &wait.item) {
            return wait.turnstile.pass().then(|| self.run_wait(&wait.item, &wait));
        }
        if !wait.invites {
            // There is nothing to take: the handler says so, or what is wrong with the request.
            let mut reply = Vec::new();
            let request = Request::of(&wait.item, wait.proto);
            let effect = self.handle(request, &mut reply);
            // XREADGROUP may have made its consumer.
            let requires = self.keep(effect, request);
            if !is_null(&reply) {
                return wait.turnstile.pass().then_some(What::Served(reply, requires));
            }
        }
        if wait.turnstile.is_passed() {
            return None;
        }
        let (names, invites) = (wait.names(), wait.invites);
        let item = blocking::resolved(&mut self.keys, &wait.item);
        self.ears.waiting.enter(Wait { item, ..wait });
        self.listen();
        if invites {
            // What is there already is not announced by any write.
            names.iter().for_each(|(db, key)| self.ears.waiting.ready(*db, key));
        }
        Some(What::Entered)
    }

    /// A session waits no more.
    pub fn forget(&mut self, who: Waiter) {
        for place in self.ears.waiting.of(who) {
            let wait = self.ears.waiting.remove(place);
            // Those behind it may have been held up by it.
            for (db, key) in wait.iter().filter(|wait| wait.invites).flat_map(Wait::names) {
                self.ears.waiting.ready(db, &key);
            }
        }
        self.serve();
        self.listen();
    }

    /// A session that was invited has found nothing after all: it waits on.
    pub fn wait_on(&mut self, who: Waiter) {
        for place in self.ears.waiting.of(who) {
            let Some(standing) = self.ears.waiting.standing.get_mut(&place) else { continue };
            standing.invited = false;
            for (db, key) in standing.wait.names() {
                self.ears.waiting.ready(db, &key);
            }
        }
        self.serve();
    }

    /// Serves those who wait for keys that became ready, in order.
    #[inline]
    pub fn serve(&mut self) {
        if self.ears.waiting.has_ready() {
            self.serve_ready();
        }
    }

    #[cold]
    fn serve_ready(&mut self) {
        let mut later = Vec::new();
        while let Some((db, key)) = self.ears.waiting.take_ready() {
            if !self.serve_key(db, &key) {
                later.push((db, key));
            }
        }
        for (db, key) in later {
            self.ears.waiting.ready(db, &key);
        }
        self.listen();
    }

    /// Serves a queue from its head; says no if a transaction stands in the way.
    fn serve_key(&mut self, db: Db, key: &[u8]) -> bool {
        let name = (db, key.to_vec());
        let mut at = 0;
        loop {
            let queue = self.ears.waiting.queues.get(&name);
            let Some(place) = queue.and_then(|queue| queue.get(at)).copied() else { return true };
            let Some(standing) = self.ears.waiting.standing.get(&place) else { return true };
            if standing.invited {
                return true;
            }
            self.keys.begin(self.now, self.journal.next());
            let streams = blocking::reads_streams(standing.wait.item.command);
            if !self.keys.exists(db, key) && !streams {
                return true;
            }
            let wait = standing.wait.clone();
            let item = blocking::only(&wait.item, key);
            if self.obstacle(Request::of(&item, wait.proto)).is_some() {
                return false;
            }
            if !blocking::finds(&mut self.keys, &item) {
                at += 1;
                continue;
            }
            if !wait.turnstile.pass() {
                self.ears.waiting.remove(place);
                continue;
            }
            let who = wait.who;
            if wait.invites {
                if let Some(standing) = self.ears.waiting.standing.get_mut(&place) {
                    standing.invited = true;
                }
                self.ears.news.told.push(Told { who, what: What::Invited });
                return true;
            }
            self.ears.waiting.remove(place);
            let what = self.run_wait(&item, &wait);
            self.ears.news.told.push(Told { who, what });
        }
    }

    /// Runs the command of a wait that has something to take.
    fn run_wait(&mut self, item: &Item, wait: &Wait) -> What {
        let mut reply = Vec::new();
        let request = Request { tracker: wait.tracker, ..Request::of(item, wait.proto) };
        let effect = self.handle(request, &mut reply);
        let requires = self.keep(effect, request);
        What::Served(reply, requires)
    }
}
