//! One client whose commands follow each other, one at a time: what survives a crash has to be the
//! state behind one of them, also when they move keys between shards or empty everything.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use basalt::base::prng::Prng;

use super::harness::client::{Client, encode};
use super::history::Promise;
use super::load::Stage;

/// Keys by database.
type State = BTreeMap<(u16, String), String>;

/// Which part of the server the client has for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Database 1, which it empties with FLUSHDB.
    One,
    /// Databases 0 and 1, which it empties with FLUSHALL.
    All,
}

impl Reach {
    fn databases(self) -> &'static [u16] {
        match self {
            Reach::One => &[1],
            Reach::All => &[0, 1],
        }
    }
}

#[derive(Clone, Debug)]
enum Change {
    Put(u16, Vec<(String, String)>),
    Del(u16, String),
    Rename(u16, String, String),
    FlushDb(u16),
    FlushAll,
}

impl Change {
    fn apply(&self, state: &mut State) {
        match self {
            Change::Put(db, pairs) => {
                state.extend(pairs.iter().map(|(key, value)| ((*db, key.clone()), value.clone())));
            }
            Change::Del(db, key) => drop(state.remove(&(*db, key.clone()))),
            Change::Rename(db, from, to) => {
                if let Some(value) = state.remove(&(*db, from.clone())) {
                    state.insert((*db, to.clone()), value);
                }
            }
            Change::FlushDb(db) => state.retain(|(of, _), _| of != db),
            Change::FlushAll => state.clear(),
        }
    }

    fn db(&self) -> u16 {
        match self {
            Change::Put(db, _) | Change::Del(db, _) | Change::Rename(db, ..) => *db,
            Change::FlushDb(db) => *db,
            Change::FlushAll => 0,
        }
    }

    fn words(&self) -> Vec<&str> {
        match self {
            Change::Put(_, pairs) => {
                let name = if pairs.len() == 1 { "SET" } else { "MSET" };
                let pairs = pairs.iter().flat_map(|(key, value)| [key.as_str(), value.as_str()]);
                std::iter::once(name).chain(pairs).collect()
            }
            Change::Del(_, key) => vec!["DEL", key],
            Change::Rename(_, from, to) => vec!["RENAME", from, to],
            Change::FlushDb(_) => vec!["FLUSHDB"],
            Change::FlushAll => vec!["FLUSHALL"],
        }
    }
}

/// The client.
#[derive(Debug)]
pub struct Sequence {
    prng: Prng,
    reach: Reach,
    start: State,
    live: State,
    changes: Vec<Change>,
    /// When each of the first so many was acknowledged.
    known: Vec<Instant>,
}

impl Sequence {
    /// One whose databases are empty.
    pub fn new(seed: u64, reach: Reach) -> Sequence {
        Sequence {
            prng: Prng::new(seed),
            reach,
            start: State::new(),
            live: State::new(),
            changes: Vec::new(),
            known: Vec::new(),
        }
    }

    /// Works like a `Worker`.
    pub fn run(&mut self, port: u16, stage: &Stage) -> Option<String> {
        let Ok(mut client) = Client::open(port) else {
            return stage.complain("cannot connect".to_owned());
        };
        while stage.on() {
            let change = self.choose();
            change.apply(&mut self.live);
            let mut bytes = encode(&["SELECT", &change.db().to_string()]);
            bytes.extend(encode(&change.words()));
            self.changes.push(change);
            match client.batch(&bytes, 2) {
                Ok(replies) if replies.iter().any(|reply| reply.is_error()) => {
                    let what = self.changes.last().map(Change::words).unwrap_or_default();
                    return stage.complain(format!("{}: {replies:?}", what.join(" ")));
                }
                Ok(_) if stage.dying() => return None,
                Ok(_) => {
                    self.known.push(Instant::now());
                    stage.acked.fetch_add(1, Ordering::Relaxed);
                }
                Err(_) => return None,
            }
        }
        None
    }

    fn choose(&mut self) -> Change {
        let databases = self.reach.databases();
        let db = databases[self.prng.below(databases.len() as u64) as usize];
        let key = self.key();
        match self.prng.below(60) {
            0 => Change::FlushDb(db),
            1 if self.reach == Reach::All => Change::FlushAll,
            // So that an emptied database has something for the next checkpoint to write.
            2 => {
                let value = format!("{}:{}", self.changes.len(), "v".repeat(100));
                Change::Put(db, (0..100).map(|n| (format!("many:{n}"), value.clone())).collect())
            }
            3..8 => Change::Del(db, key),
            8..14 if self.live.contains_key(&(db, key.clone())) => {
                Change::Rename(db, key, self.key())
            }
            14..20 => {
                let value = format!("{}:both", self.changes.len());
                Change::Put(db, vec![(key, value.clone()), (self.key(), value)])
            }
            _ => {
                let value = format!("{}:{}", self.changes.len(), self.prng.next());
                Change::Put(db, vec![(key, value)])
            }
        }
    }

    fn key(&mut self) -> String {
        format!("item:{}", self.prng.below(24))
    }

    /// When it last heard that a command had been done.
    pub fn last_known(&self) -> Option<Instant> {
        self.known.last().copied()
    }

    /// Are the databases what some prefix of its commands made them, one with at least what was
    /// promised? Goes on from there.
    pub fn check(&mut self, client: &mut Client, promise: Promise) -> Option<String> {
        let mut found = State::new();
        for db in self.reach.databases() {
            client.ok(&format!("SELECT {db}"));
            for key in client.line("KEYS *").items() {
                let key = key.text();
                found.insert((*db, key.clone()), client.call(&["GET", &key]).text());
            }
        }
        client.ok("SELECT 0");
        let least = match promise {
            Promise::Known => self.known.len(),
            Promise::Prefix(cut, slack) => {
                self.known.iter().take_while(|&&known| known + slack < cut).count()
            }
        };
        let mut state = self.start.clone();
        let mut fits = least == 0 && state == found;
        for (n, change) in self.changes.iter().enumerate() {
            change.apply(&mut state);
            fits |= n + 1 >= least && state == found;
        }
        let (acked, sent) = (self.known.len(), self.changes.len());
        self.live = found.clone();
        self.start = found;
        self.changes.clear();
        self.known.clear();
        (!fits).then(|| {
            let (what, found) = (self.reach, &self.start);
            format!(
                "{what:?} is the state behind none of {sent} commands from {least} on \
                 ({acked} acknowledged): {found:?}"
            )
        })
    }
}
