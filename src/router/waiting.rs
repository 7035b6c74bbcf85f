//! One session that waits for keys of any shards, from its first try to its answer: a state machine
//! without I/O. The protocol stands in `shard/waiting.rs`; the server (and the tests' machine)
//! carries what this file asks for and tells what came of it.

use std::collections::VecDeque;

use crate::base::ids::ShardId;
use crate::base::turnstile::Turnstile;
use crate::commands::blocking;
use crate::commands::order::{Item, Tracker, Wait, Waiter};
use crate::resp::reply::{Proto, is_null};
use crate::router::slot::shard_of;

/// Why a session does not wait any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time is over.
    Late,
    /// CLIENT UNBLOCK with ERROR.
    Unblocked,
    /// The client is gone.
    Gone,
}

/// What came of a visit.
#[derive(Debug)]
pub enum Visit {
    /// It was served at once: the reply.
    Served(Vec<u8>),
    /// It stands in line.
    Entered,
    /// It was over already.
    Over,
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// The shard that was visited answers.
    Visited(Visit),
    /// A shard where it stood in line has served it: the reply.
    Served(Vec<u8>),
    /// A shard where it stands in line lets it try the whole command.
    Invited,
    /// It has tried the whole command: the reply.
    Tried(Vec<u8>),
    /// The session does not want to wait any more.
    GivesUp(Why),
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Bring a wait to a shard, which answers with `Visited`.
    Visit(ShardId, Box<Wait>),
    /// Tell a shard that it is over.
    Forget(ShardId, Waiter),
    /// Tell a shard that an invitation came to nothing.
    Resume(ShardId, Waiter),
    /// Run the whole command over all shards, without waiting.
    Try(Item),
    /// It is over.
    Done(End),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// With this reply.
    Reply(Vec<u8>),
    /// Without.
    GaveUp(Why),
}

/// A session that waits.
#[derive(Debug)]
pub struct Waiting {
    who: Waiter,
    item: Item,
    proto: Proto,
    tracker: Option<Tracker>,
    turnstile: Turnstile,
    /// Shards that are still to be visited, each with its part of the command.
    ahead: VecDeque<(ShardId, Item)>,
    /// Shards that know of it.
    visited: Vec<ShardId>,
    state: State,
    invites: bool,
    /// It was invited before it heard that it stands in line.
    invited: bool,
    /// It wants to give up, and somebody else was faster.
    gives_up: Option<Why>,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A shard is being visited.
    Visiting,
    /// It stands in line.
    Standing,
    /// The whole command is being tried.
    Trying,
    /// Over, and told.
    Done,
}

impl Waiting {
    /// A wait that has not begun; `start` begins it.
    pub fn new(
        who: Waiter,
        item: Item,
        (proto, tracker): (Proto, Option<Tracker>),
        shards: u16,
    ) -> Waiting {
        let (ahead, invites) = visits(&item, shards);
        Waiting {
            who,
            item,
            proto,
            tracker,
            turnstile: Turnstile::default(),
            ahead,
            visited: Vec::new(),
            state: State::Standing,
            invites,
            invited: false,
            gives_up: None,
            end: None,
        }
    }

    /// The first step.
    pub fn start(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        // Readers of several streams get what all of them have, if any has something now.
        let all = self.ahead.len() > 1 && blocking::reads_streams(self.item.command);
        match self.invites || all {
            true => self.try_all(&mut actions),
            false => self.visit(&mut actions),
        }
        actions
    }

    /// Takes note of an event; what is to be done next.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Visited(visit) => self.has_visited(visit, &mut actions),
            Event::Served(reply) => self.end = Some(End::Reply(reply)),
            Event::Invited if self.state == State::Visiting => self.invited = true,
            Event::Invited => self.is_invited(&mut actions),
            Event::Tried(reply) => self.has_tried(reply, &mut actions),
            Event::GivesUp(why) => self.wants_to_give_up(why),
        }
        // An answer that is under way would be taken for one to a later question.
        if self.state == State::Standing && self.end.is_some() {
            self.part(&mut actions);
        }
        actions
    }

    /// Does it stand in line on every shard of its keys?
    pub fn stands(&self) -> bool {
        self.state == State::Standing && self.ahead.is_empty()
    }

    /// Does it not want to wait any more?
    pub fn has_given_up(&self) -> bool {
        self.gives_up.is_some()
    }

    fn visit(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Standing;
        let Some((shard, item)) = self.ahead.pop_front() else {
            self.gives_up.into_iter().for_each(|why| self.give_up(why));
            return;
        };
        self.state = State::Visiting;
        if !self.visited.contains(&shard) {
            self.visited.push(shard);
        }
        let wait = Wait {
            who: self.who,
            item,
            proto: self.proto,
            tracker: self.tracker,
            turnstile: self.turnstile.clone(),
            invites: self.invites,
        };
        actions.push(Action::Visit(shard, Box::new(wait)));
    }

    fn has_visited(&mut self, visit: Visit, actions: &mut Vec<Action>) {
        self.state = State::Standing;
        match visit {
            Visit::Served(reply) => self.end = Some(End::Reply(reply)),
            Visit::Over => {}
            Visit::Entered if self.invited => self.is_invited(actions),
            Visit::Entered if self.end.is_none() => self.visit(actions),
            Visit::Entered => {}
        }
    }

    fn is_invited(&mut self, actions: &mut Vec<Action>) {
        self.invited = false;
        match self.gives_up {
            Some(why) => self.end = Some(End::GaveUp(why)),
            None => self.try_all(actions),
        }
    }

    fn try_all(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Trying;
        actions.push(Action::Try(self.item.clone()));
    }

    fn has_tried(&mut self, reply: Vec<u8>, actions: &mut Vec<Action>) {
        self.state = State::Standing;
        if !is_null(&reply) {
            self.end = Some(End::Reply(reply));
        } else if let Some(why) = self.gives_up {
            self.end = Some(End::GaveUp(why));
        } else if self.ahead.is_empty() {
            // The shard had passed for it. From now on it may give up again.
            self.turnstile.reopen();
            let who = self.who;
            actions.extend(self.visited.iter().map(|shard| Action::Resume(*shard, who)));
        } else {
            self.visit(actions);
        }
    }

    /// However short its time is, every key has been looked at before it is over: what is there is
    /// served, as in Redis.
    fn wants_to_give_up(&mut self, why: Why) {
        self.gives_up.get_or_insert(why);
        if why != Why::Late || self.stands() {
            self.give_up(why);
        }
    }

    /// While the command is being tried nobody else passes the turnstile, and the try is awaited.
    fn give_up(&mut self, why: Why) {
        if self.state != State::Trying && self.end.is_none() && self.turnstile.pass() {
            self.end = Some(End::GaveUp(why));
        }
    }

    fn part(&mut self, actions: &mut Vec<Action>) {
        let Some(end) = self.end.take() else { return };
        self.state = State::Done;
        let who = self.who;
        actions.extend(self.visited.iter().map(|shard| Action::Forget(*shard, who)));
        actions.push(Action::Done(end));
    }
}

/// Where a command has to go, with which part of it: neighbouring keys of one shard together, since
/// the first key that has something is served. And whether no shard can run it alone.
fn visits(item: &Item, shards: u16) -> (VecDeque<(ShardId, Item)>, bool) {
    let args = item.args.args();
    let owner = |at: usize| shard_of(args.at(at), shards);
    let mut groups: Vec<(ShardId, Vec<usize>)> = Vec::new();
    for at in blocking::waited(item) {
        match groups.last_mut() {
            Some((shard, places)) if *shard == owner(at) => places.push(at),
            _ => groups.push((owner(at), vec![at])),
        }
    }
    let invites = blocking::moves(item.command) && owner(1) != owner(2);
    let part = |(shard, places): (ShardId, Vec<usize>)| (shard, blocking::part(item, &places));
    (groups.into_iter().map(part).collect(), invites)
}
