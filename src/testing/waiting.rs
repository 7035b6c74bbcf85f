//! (test) Sessions that wait for keys of several shards, in every order of messages that a seed
//! picks: real shards, the real state machine of a session, and a net of queues in between.
//!
//! What is asked: no element is lost or taken twice; nobody stands in line before a list that has
//! elements once all messages have arrived; everybody whose time is over is told; nothing is left
//! in a queue; and who waits for one key alone is served in the order in which they lined up.

use std::collections::{BTreeMap, VecDeque};

use crate::base::ids::{Db, Epoch, ShardId};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::base::turnstile::Turnstile;
use crate::commands::order::{Item, Wait, Waiter};
use crate::commands::table;
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::resp::args::OwnedArgs;
use crate::resp::reply::{Proto, bulk_value, elements, is_null};
use crate::router::slot::shard_of;
use crate::router::waiting::{Action, End, Event, Visit, Waiting, Why};
use crate::shard::execute::Request;
use crate::shard::shard::Shard;
use crate::shard::waiting::What;

/// Mistakes of whoever carries the messages, each of which has to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    None,
    /// Every shard gets a turnstile of its own.
    ManyTurnstiles,
    /// A session does not tell the other shards that it is over.
    NoForget,
    /// An invitation that came to nothing is not told.
    NoResume,
    /// Now and then a shard's word to a session that stands in line is lost.
    Deaf,
}

enum Message {
    Visit(Box<Wait>),
    Forget(Waiter),
    Resume(Waiter),
    Visited(usize, Visit),
    Told(usize, What),
}

struct Session {
    core: u16,
    waiting: Waiting,
    /// Waits for this key alone.
    only: Option<Vec<u8>>,
    end: Option<End>,
}

struct Net {
    shards: Vec<Shard>,
    sessions: Vec<Session>,
    /// From and to: messages keep their order.
    ways: BTreeMap<(u16, u16), VecDeque<Message>>,
    /// Who lined up at a key, for those who wait for it alone.
    lines: BTreeMap<Vec<u8>, Vec<usize>>,
    pushed: u64,
    taken: BTreeMap<Vec<u8>, u32>,
    bug: Bug,
    prng: Prng,
    wrong: Option<String>,
}

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];

fn item(words: &[&[u8]]) -> Item {
    let args = OwnedArgs::of(words);
    let command = table::resolve(args.args()).expect("a command");
    Item { command, args, db: Db(0) }
}

impl Net {
    fn new(seed: u64, bug: Bug) -> Net {
        let shard = |id| {
            let mut shard = Shard::new(ShardId(id), Keyspace::new(Settings::default()), seed);
            shard.begin(Millis(1000), Epoch(1));
            shard
        };
        Net {
            shards: (0..3).map(shard).collect(),
            sessions: Vec::new(),
            ways: BTreeMap::new(),
            lines: BTreeMap::new(),
            pushed: 0,
            taken: BTreeMap::new(),
            bug,
            prng: Prng::new(seed),
            wrong: None,
        }
    }

    fn send(&mut self, from: u16, to: u16, message: Message) {
        self.ways.entry((from, to)).or_default().push_back(message);
    }

    fn fail(&mut self, why: String) {
        self.wrong.get_or_insert(why);
    }

    fn run(&mut self, shard: ShardId, item: &Item) -> Vec<u8> {
        let mut reply = Vec::new();
        self.shards[shard.index()].run(Request::of(item, Proto::Two), &mut reply);
        self.tell(shard.0);
        reply
    }

    fn push(&mut self) {
        let key = self.key();
        self.pushed += 1;
        let element = self.pushed.to_string();
        let item = item(&[b"RPUSH", &key, element.as_bytes()]);
        self.run(shard_of(&key, 3), &item);
    }

    fn key(&mut self) -> Vec<u8> {
        KEYS[self.prng.below(KEYS.len() as u64) as usize].into()
    }

    /// A new session that waits.
    fn wait(&mut self) {
        let id = self.sessions.len();
        let (a, b, c) = (self.key(), self.key(), self.key());
        let (words, only): (Vec<&[u8]>, _) = match self.prng.below(5) {
            0 => (vec![b"BLPOP", &a, b"0"], Some(a.clone())),
            1 => (vec![b"BLPOP", &a, &b, &c, b"0"], None),
            2 => (vec![b"BLMPOP", b"0", b"2", &a, &b, b"LEFT"], None),
            3 => (vec![b"BRPOPLPUSH", &a, &b, b"0"], None),
            _ => (vec![b"BLMOVE", &a, &b, b"LEFT", b"RIGHT", b"0"], None),
        };
        let core = self.prng.below(3) as u16;
        let who = Waiter { core: ShardId(core), call: id as u32, number: 1 };
        let mut waiting = Waiting::new(who, item(&words), (Proto::Two, None), 3);
        let actions = waiting.start();
        self.sessions.push(Session { core, waiting, only, end: None });
        self.act(id, actions);
    }

    fn event(&mut self, id: usize, event: Event) {
        if self.sessions[id].end.is_some() {
            return self.fail(format!("session {id} hears of {event:?} after its end"));
        }
        let actions = self.sessions[id].waiting.on(event);
        self.act(id, actions);
    }

    fn act(&mut self, id: usize, actions: Vec<Action>) {
        let core = self.sessions[id].core;
        for action in actions {
            match action {
                Action::Visit(shard, mut wait) => {
                    if self.bug == Bug::ManyTurnstiles {
                        wait.turnstile = Turnstile::default();
                    }
                    self.send(core, shard.0, Message::Visit(wait));
                }
                Action::Forget(_, _) if self.bug == Bug::NoForget => {}
                Action::Forget(shard, who) => self.send(core, shard.0, Message::Forget(who)),
                Action::Resume(_, _) if self.bug == Bug::NoResume => {}
                Action::Resume(shard, who) => self.send(core, shard.0, Message::Resume(who)),
                Action::Try(item) => {
                    let reply = self.try_whole(&item);
                    self.event(id, Event::Tried(reply));
                }
                Action::Done(end) => self.done(id, end),
            }
        }
    }

    /// As a transaction over both shards would: a pop there and a push here, at one moment.
    fn try_whole(&mut self, whole: &Item) -> Vec<u8> {
        let args = whole.args.args();
        let (source, target) = (args.at(1).to_vec(), args.at(2).to_vec());
        let (pop, push): (&[u8], &[u8]) = match whole.command.name {
            "brpoplpush" => (b"RPOP", b"LPUSH"),
            _ => (b"LPOP", b"RPUSH"),
        };
        let reply = self.run(shard_of(&source, 3), &item(&[pop, &source]));
        if let Some(element) = bulk_value(&reply) {
            self.run(shard_of(&target, 3), &item(&[push, &target, element]));
        }
        reply
    }

    fn done(&mut self, id: usize, end: End) {
        if let End::Reply(reply) = &end {
            if is_null(reply) {
                self.fail(format!("session {id} was served null"));
            }
            let moved = bulk_value(reply).is_some();
            let words: Vec<&[u8]> = match reply.first() {
                Some(b'*') => elements(&reply[4..]).collect(),
                _ => vec![reply],
            };
            let last = words.last().copied().unwrap_or_default();
            let element = match last.first() {
                Some(b'*') => elements(&last[4..]).next().unwrap_or_default(),
                _ => last,
            };
            if let (false, Some(element)) = (moved, bulk_value(element)) {
                *self.taken.entry(element.to_vec()).or_default() += 1;
            }
        }
        self.sessions[id].end = Some(end);
    }

    /// Carries what a shard has to tell.
    fn tell(&mut self, shard: u16) {
        let Some(news) = self.shards[usize::from(shard)].take_news() else { return };
        for told in news.told {
            let id = told.who.call as usize;
            self.note_order(id, &told.what);
            if self.bug == Bug::Deaf && self.prng.chance(1, 4) {
                continue;
            }
            self.send(shard, told.who.core.0, Message::Told(id, told.what));
        }
    }

    /// Nobody who waits for the same key alone was in line before the one that is served.
    fn note_order(&mut self, id: usize, what: &What) {
        let Some(key) = self.sessions[id].only.clone() else { return };
        let line = self.lines.entry(key).or_default();
        if let What::Served(..) = what
            && let Some(at) = line.iter().position(|other| *other == id)
        {
            let ahead = line[..at].iter().find(|other| self.sessions[**other].end.is_none());
            // Who gives up passes the turnstile before the shard hears of it.
            let gave_up = |other: &usize| self.sessions[*other].waiting.has_given_up();
            let ahead = ahead.filter(|other| !gave_up(other)).copied();
            line.remove(at);
            if let Some(ahead) = ahead {
                self.fail(format!("session {id} was served before {ahead}"));
            }
        }
    }

    /// Delivers one message of any way.
    fn deliver(&mut self) -> bool {
        let ways: Vec<(u16, u16)> =
            self.ways.iter().filter(|(_, way)| !way.is_empty()).map(|(name, _)| *name).collect();
        if ways.is_empty() {
            return false;
        }
        let way = ways[self.prng.below(ways.len() as u64) as usize];
        let message = self.ways.get_mut(&way).and_then(VecDeque::pop_front);
        let (from, at) = way;
        match message {
            None => {}
            Some(Message::Visit(wait)) => {
                let id = wait.who.call as usize;
                let what = self.shards[usize::from(at)].attend(*wait);
                let visit = match what {
                    None | Some(What::Invited) => Visit::Over,
                    Some(What::Served(reply, _)) => Visit::Served(reply),
                    Some(What::Entered) => {
                        if let Some(key) = self.sessions[id].only.clone() {
                            self.lines.entry(key).or_default().push(id);
                        }
                        Visit::Entered
                    }
                };
                self.send(at, from, Message::Visited(id, visit));
                self.shards[usize::from(at)].serve();
                self.tell(at);
            }
            Some(Message::Forget(who)) => {
                self.shards[usize::from(at)].forget(who);
                self.tell(at);
            }
            Some(Message::Resume(who)) => {
                self.shards[usize::from(at)].wait_on(who);
                self.tell(at);
            }
            Some(Message::Visited(id, visit)) => self.event(id, Event::Visited(visit)),
            Some(Message::Told(id, What::Served(reply, _))) => {
                self.event(id, Event::Served(reply));
            }
            Some(Message::Told(id, _)) => self.event(id, Event::Invited),
        }
        true
    }

    fn give_up(&mut self) {
        let waiting: Vec<usize> =
            (0..self.sessions.len()).filter(|id| self.sessions[*id].end.is_none()).collect();
        if !waiting.is_empty() {
            let id = waiting[self.prng.below(waiting.len() as u64) as usize];
            self.event(id, Event::GivesUp(Why::Late));
        }
    }

    fn settle(&mut self) {
        for _ in 0..20_000 {
            if !self.deliver() {
                return;
            }
        }
        self.fail("the messages never end".into());
    }

    /// Elements of a key that are there.
    fn held(&mut self, key: &str) -> Vec<Vec<u8>> {
        let range = item(&[b"LRANGE", key.as_bytes(), b"0", b"-1"]);
        let mut reply = Vec::new();
        let shard = shard_of(key.as_bytes(), 3);
        self.shards[shard.index()].run(Request::of(&range, Proto::Two), &mut reply);
        let body = reply.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        elements(&reply[body..]).filter_map(bulk_value).map(<[u8]>::to_vec).collect()
    }

    /// All messages have arrived.
    fn judge_rest(&mut self) {
        for key in KEYS {
            let held = self.held(key);
            let shard = &self.shards[shard_of(key.as_bytes(), 3).index()];
            if !held.is_empty() && shard.ears.waiting.stands(Db(0), key.as_bytes()) {
                self.fail(format!("somebody waits for {key}, which has {} elements", held.len()));
            }
        }
    }

    /// Everybody has given up or was served.
    fn judge_end(&mut self) {
        let open = self.sessions.iter().position(|session| session.end.is_none());
        if let Some(id) = open {
            self.fail(format!("session {id} was never told"));
        }
        if self.shards.iter().any(|shard| !shard.ears.waiting.is_empty()) {
            self.fail("a wait was left in line".into());
        }
        let mut seen = self.taken.clone();
        for key in KEYS {
            for element in self.held(key) {
                *seen.entry(element).or_default() += 1;
            }
        }
        for number in 1..=self.pushed {
            let times = seen.get(number.to_string().as_bytes()).copied().unwrap_or_default();
            if times != 1 {
                self.fail(format!("element {number} is there {times} times"));
            }
        }
    }
}

fn run(seed: u64, bug: Bug) -> Option<String> {
    let mut net = Net::new(seed, bug);
    for _ in 0..120 {
        match net.prng.below(10) {
            0 | 1 => net.push(),
            2 | 3 => net.wait(),
            4 => net.give_up(),
            _ => _ = net.deliver(),
        }
    }
    net.settle();
    net.judge_rest();
    while net.wrong.is_none() && net.sessions.iter().any(|session| session.end.is_none()) {
        net.give_up();
        net.settle();
        if net
            .sessions
            .iter()
            .all(|session| session.end.is_some() || session.waiting.has_given_up())
        {
            break;
        }
    }
    net.settle();
    net.judge_end();
    net.wrong
}

#[test]
fn no_wake_up_is_lost_and_no_element_taken_twice() {
    for seed in 0..3000 {
        if let Some(wrong) = run(seed, Bug::None) {
            panic!("seed {seed}: {wrong}");
        }
    }
}

#[test]
fn mistakes_of_the_shell_are_found() {
    for bug in [Bug::ManyTurnstiles, Bug::NoForget, Bug::NoResume, Bug::Deaf] {
        assert!((0..3000).any(|seed| run(seed, bug).is_some()), "{bug:?} is not found");
    }
}
