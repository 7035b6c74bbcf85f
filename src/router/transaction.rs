//! One transaction over several shards, from its first lock to its last acknowledgement: a state
//! machine without I/O. The server (and the simulated machine) carries orders and events.
//!
//! ```text
//!  Claiming --Granted (ascending shards)--> Entering --Entered--> Checking --> Running (steps)
//!     |                                    (writes only)           |              |
//!     | Refused                                                    | changed      v
//!     +--> Leaving <-----------------------------------------------+           Settling
//!             |                                            all Safe -> Settle -> all Acknowledged
//!             +---------------------> Done <----------------------------------------+
//! ```
//!
//! The program of a script is *open*: it is made while it runs. Its transaction claims every shard
//! whole; when its steps are done it says `Ask`, and is told by `go_on` or `close` what comes next.
//! Of its shards those commit that it has used, the others are only let go.
//!
//! *One order*: the orders to commit go to all shards at once, with nothing in between, and orders
//! from one core arrive as they were sent. So two transactions of one coordinator commit in one
//! order on all shards that they share; those of two are kept apart by the locks (`shard::locks`).
//!
//! *Isolation*: two-phase locking; a shard's locks are given up when its last part has been
//! applied, which is after every lock was granted. *No deadlock*: shards are claimed in ascending
//! order.
//! *One epoch*: the epoch gate is held from "all locked" to "applied at all", so that no cut falls
//! between two parts. *Durability*: each participant holds its acknowledgements from the commit on
//! (`shard::gate`) until every participant has said Safe; the client's reply then waits for
//! Acknowledged at all of them, since what they follow may still be held by another transaction.

use std::collections::BTreeMap;

use crate::base::ids::{Db, ShardId, TxId};
use crate::base::time::Millis;
use crate::commands::excerpt::Excerpt;
use crate::commands::order::{Change, Finish, Item, Order, Outcome, Step, Voice, Wanted};
use crate::commands::table;
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;
use crate::resp::reply::Proto;
use crate::router::program::{Program, Stage};
use crate::router::slot::shard_of;

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// The epoch gate has been entered.
    Entered,
    /// A shard answers.
    Answer(ShardId, Outcome),
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Carry an order to a shard; it answers with one or, when it commits, several outcomes.
    Send(ShardId, Step),
    /// Enter the epoch gate; answer with `Event::Entered`.
    EnterGate,
    /// Leave the epoch gate.
    LeaveGate,
    /// The steps of an open program are done: `go_on` or `close`.
    Ask,
    /// It is over.
    Done(Verdict),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The numbered replies.
    Replies(Vec<Vec<u8>>),
    /// A watched key had changed: nothing was done.
    Changed,
    /// A log is broken: nothing is promised. What the client is told.
    Refused(Error),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Claiming,
    Entering,
    Checking,
    Running,
    Asking,
    Exporting,
    LookingUp,
    Gathering,
    Settling,
    Acknowledging,
    Leaving,
    Done,
}

/// Whether an open program has called a command that writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrote {
    /// It has.
    Something,
    /// It has only read.
    Nothing,
}

/// A transaction on its way.
#[derive(Debug)]
pub struct Transaction {
    id: TxId,
    /// The shard that coordinates it.
    home: ShardId,
    now: Millis,
    proto: Proto,
    program: Program,
    state: State,
    stage: usize,
    /// Whether the step that runs announces events.
    voice: Voice,
    /// The step that puts back what a gathered command has changed.
    put_back: Option<usize>,
    /// Answers still missing in this state.
    waiting: usize,
    /// Participants that were granted their claim.
    claimed: Vec<ShardId>,
    /// Those that have been given something to do.
    used: Vec<ShardId>,
    /// Those that commit, once they have been told to.
    committing: Vec<ShardId>,
    /// Participants that have said Safe (or Refused) since the commit.
    safe: usize,
    /// Participants that have said Acknowledged (or Refused) at the end.
    acknowledged: usize,
    /// The order to commit has been sent.
    committed: bool,
    in_gate: bool,
    changed: bool,
    refused: Option<Error>,
    world: Vec<(Db, OwnedArgs)>,
    /// The keys that the present step looks up are known.
    looked_up: bool,
    replies: Vec<Vec<u8>>,
}

impl Transaction {
    /// A transaction that has not begun; `start` begins it.
    pub fn new(
        (id, home): (TxId, ShardId),
        now: Millis,
        proto: Proto,
        program: Program,
    ) -> Transaction {
        let replies = vec![Vec::new(); program.replies];
        Transaction {
            id,
            home,
            now,
            proto,
            program,
            state: State::Claiming,
            stage: 0,
            voice: Voice::Loud,
            put_back: None,
            waiting: 0,
            claimed: Vec::new(),
            used: Vec::new(),
            committing: Vec::new(),
            safe: 0,
            acknowledged: 0,
            committed: false,
            in_gate: false,
            changed: false,
            refused: None,
            world: Vec::new(),
            looked_up: false,
            replies,
        }
    }

    /// The program, for merging its replies once it is done.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Claims the first shard.
    pub fn start(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        self.claim_next(&mut actions);
        actions
    }

    /// The next command of an open program, and the protocol of its reply.
    pub fn go_on(&mut self, item: Item, proto: Proto, me: ShardId, shards: u16) -> Vec<Action> {
        self.program.go_on(item, me, shards);
        self.went_on(proto)
    }

    /// The same, on a shard that is known.
    pub fn go_on_at(&mut self, shard: ShardId, item: Item, proto: Proto) -> Vec<Action> {
        self.program.go_on_at(shard, item);
        self.went_on(proto)
    }

    fn went_on(&mut self, proto: Proto) -> Vec<Action> {
        assert_eq!(self.state, State::Asking, "an open program is told when it asks");
        self.proto = proto;
        self.replies = vec![Vec::new(); self.program.replies];
        self.put_back = None;
        self.stage = 0;
        let mut actions = Vec::new();
        self.run_stage(&mut actions);
        actions
    }

    /// Nothing comes after what an open program has done.
    pub fn close(&mut self, wrote: Wrote) -> Vec<Action> {
        assert_eq!(self.state, State::Asking, "an open program is told when it asks");
        self.program.writes &= wrote == Wrote::Something;
        let mut actions = Vec::new();
        self.leave(&mut actions);
        actions
    }

    /// The numbered replies to the last command of an open program.
    pub fn replies(&self) -> &[Vec<u8>] {
        &self.replies
    }

    /// The claims are granted: this is the time of all that follows.
    pub fn set_time(&mut self, now: Millis) {
        self.now = now;
    }

    /// Takes note of an event; what is to be done next.
    pub fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Entered => {
                assert_eq!(self.state, State::Entering, "the gate opens once, when asked to");
                self.in_gate = true;
                self.check(&mut actions);
            }
            Event::Answer(shard, outcome) => self.answered(shard, outcome, &mut actions),
        }
        actions
    }

    fn send(&mut self, shard: ShardId, order: Order, actions: &mut Vec<Action>) {
        let tracker = self.program.tracker;
        let uses = matches!(order, Order::Run { .. } | Order::Export(_) | Order::Check(_));
        if uses && !self.used.contains(&shard) {
            self.used.push(shard);
        }
        actions.push(Action::Send(shard, Step { tx: self.id, now: self.now, tracker, order }));
    }

    fn claim_next(&mut self, actions: &mut Vec<Action>) {
        let next = self.program.needs.iter().nth(self.claimed.len());
        let Some((&shard, needs)) = next else {
            self.all_claimed(actions);
            return;
        };
        let order = Order::Claim {
            keys: needs.keys.clone(),
            whole: needs.whole,
            writer: self.program.writes.then_some(self.home),
        };
        self.send(shard, order, actions);
    }

    fn all_claimed(&mut self, actions: &mut Vec<Action>) {
        if self.program.writes {
            self.state = State::Entering;
            actions.push(Action::EnterGate);
        } else {
            self.check(actions);
        }
    }

    fn check(&mut self, actions: &mut Vec<Action>) {
        if self.program.watched.is_empty() {
            self.run_stage(actions);
            return;
        }
        self.state = State::Checking;
        self.waiting = self.program.watched.len();
        for (shard, watched) in self.program.watched.clone() {
            self.send(shard, Order::Check(watched), actions);
        }
    }

    /// Is the step to come the last one, and one that all participants take part in?
    fn finish_with(&self, stage: usize) -> Option<Finish> {
        if self.program.open || stage + 1 != self.program.stages.len() {
            return None;
        }
        match self.program.stages.get(stage) {
            Some(Stage::Run(shares)) if shares.len() == self.claimed.len() => Some(self.finish()),
            _ => None,
        }
    }

    fn finish(&self) -> Finish {
        if self.program.writes { Finish::Write(self.claimed.clone()) } else { Finish::Read }
    }

    fn run_stage(&mut self, actions: &mut Vec<Action>) {
        let finish = self.finish_with(self.stage);
        self.voice = match self.put_back == Some(self.stage) {
            true => Voice::Quiet,
            false => Voice::Loud,
        };
        match self.program.stages.get(self.stage) {
            None if self.program.open => {
                self.state = State::Asking;
                actions.push(Action::Ask);
            }
            None => self.leave(actions),
            Some(Stage::Run(shares)) => {
                let shares = shares.clone();
                self.state = State::Running;
                self.waiting = shares.len();
                self.commits(&finish);
                for (shard, items) in shares {
                    let finish = finish.clone();
                    let (proto, voice) = (self.proto, self.voice);
                    self.send(shard, Order::Run { items, proto, voice, finish }, actions);
                }
            }
            Some(Stage::Gather { keys, .. }) => {
                let keys = keys.clone();
                self.state = State::Exporting;
                self.waiting = keys.len();
                for (shard, keys) in keys {
                    self.send(shard, Order::Export(keys), actions);
                }
            }
        }
    }

    /// Takes note of who is told to commit, if anybody is.
    fn commits(&mut self, finish: &Option<Finish>) {
        self.committed = matches!(finish, Some(Finish::Write(_)));
        if let Some(Finish::Write(shards)) = finish {
            self.committing = shards.clone();
        }
    }

    fn leave(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Leaving;
        self.waiting = self.claimed.len();
        // What was refused or found changed has applied nothing: there is nothing to commit.
        let nothing = self.changed || self.refused.is_some();
        let finish = match (nothing, self.program.open) {
            (true, _) => Finish::Read,
            (false, false) => self.finish(),
            (false, true) if self.program.writes => Finish::Write(self.used.clone()),
            (false, true) => Finish::Read,
        };
        self.commits(&Some(finish.clone()));
        for shard in self.claimed.clone() {
            let takes_part = !self.committed || self.committing.contains(&shard);
            let finish = if takes_part { finish.clone() } else { Finish::Read };
            self.send(shard, Order::Leave(finish), actions);
        }
        if self.waiting == 0 {
            self.applied(actions);
        }
    }

    fn answered(&mut self, shard: ShardId, outcome: Outcome, actions: &mut Vec<Action>) {
        match outcome {
            Outcome::Granted => {
                self.claimed.push(shard);
                self.claim_next(actions);
            }
            Outcome::Checked { unchanged } => {
                self.changed |= !unchanged;
                self.checked(actions);
            }
            Outcome::Ran(replies) => {
                self.keep(replies);
                self.one_done(actions);
            }
            Outcome::Exported(world) => {
                self.world.extend(world);
                self.waiting -= 1;
                if self.waiting == 0 {
                    self.exported(actions);
                }
            }
            Outcome::LookedUp(names) => self.export_named(names, actions),
            Outcome::Gathered { reply, changes } => self.gathered(reply, changes, actions),
            Outcome::Left => self.one_done(actions),
            Outcome::Safe => {
                self.safe += 1;
                self.settle(actions);
            }
            Outcome::Acknowledged => {
                self.acknowledged += 1;
                self.end(actions);
            }
            Outcome::Refused(why) => self.refused(why, actions),
        }
    }

    fn keep(&mut self, replies: Vec<(usize, Vec<u8>)>) {
        for (number, reply) in replies {
            if let Some(place) = self.replies.get_mut(number) {
                *place = reply;
            }
        }
    }

    fn checked(&mut self, actions: &mut Vec<Action>) {
        self.waiting -= 1;
        match (self.waiting, self.changed) {
            (0, false) => self.run_stage(actions),
            (0, true) => self.leave(actions),
            _ => {}
        }
    }

    /// A shard has run its share of a step, or has left.
    fn one_done(&mut self, actions: &mut Vec<Action>) {
        self.waiting -= 1;
        if self.waiting > 0 {
            return;
        }
        match self.state {
            State::Leaving => self.applied(actions),
            State::Running if self.finish_with(self.stage).is_some() => self.applied(actions),
            _ => {
                self.stage += 1;
                self.run_stage(actions);
            }
        }
    }

    /// The keys of a gathering step are here; those that they name may come next.
    fn exported(&mut self, actions: &mut Vec<Action>) {
        match self.program.stages.get(self.stage) {
            Some(Stage::Gather { home, item, lookups: Some(_), .. }) if !self.looked_up => {
                self.state = State::LookingUp;
                let order = Order::LookUp { item: item.clone(), world: self.world.clone() };
                let home = *home;
                self.send(home, order, actions);
            }
            _ => self.gather(actions),
        }
    }

    /// What a gathering step looks up is brought from wherever it is.
    fn export_named(&mut self, names: Vec<Vec<u8>>, actions: &mut Vec<Action>) {
        let Some(Stage::Gather { item, keys, lookups: Some(shards), .. }) =
            self.program.stages.get(self.stage)
        else {
            unreachable!("only a step that looks keys up is told them");
        };
        let mut wanted: BTreeMap<ShardId, Vec<Wanted>> = BTreeMap::new();
        for name in names {
            let (shard, name) = (shard_of(&name, *shards), (item.db, name));
            if !keys.get(&shard).is_some_and(|keys| keys.iter().any(|key| key.name == name)) {
                let wanted = wanted.entry(shard).or_default();
                wanted.push(Wanted { name, excerpt: Excerpt::Whole });
            }
        }
        self.state = State::Exporting;
        self.looked_up = true;
        self.waiting = wanted.len();
        if wanted.is_empty() {
            self.gather(actions);
        }
        for (shard, keys) in wanted {
            self.send(shard, Order::Export(keys), actions);
        }
    }

    fn gather(&mut self, actions: &mut Vec<Action>) {
        let Some(Stage::Gather { home, item, keys, .. }) = self.program.stages.get(self.stage)
        else {
            unreachable!("only a gathering step exports");
        };
        self.state = State::Gathering;
        self.looked_up = false;
        let world = std::mem::take(&mut self.world);
        let keys = keys.values().flatten().cloned().collect();
        let order = Order::Gather { item: item.clone(), proto: self.proto, keys, world };
        let home = *home;
        self.send(home, order, actions);
    }

    /// The changes of a gathered command become one more step, on the owners.
    fn gathered(&mut self, reply: Vec<u8>, changes: Vec<Change>, actions: &mut Vec<Action>) {
        let Some(Stage::Gather { reply: number, keys, .. }) = self.program.stages.get(self.stage)
        else {
            unreachable!("only a gathering step is gathered");
        };
        let mut shares: BTreeMap<ShardId, Vec<(usize, Item)>> = BTreeMap::new();
        let nowhere = self.replies.len();
        for change in changes {
            let Change { name, commands } = change;
            let owner = keys.iter().find(|(_, keys)| keys.iter().any(|key| key.name == name));
            let Some((owner, _)) = owner else {
                unreachable!("a change is to a key that was claimed")
            };
            let share = shares.entry(*owner).or_default();
            share.extend(commands.into_iter().map(|args| {
                let command = table::resolve(args.args()).expect("a command of the table");
                (nowhere, Item { command, args, db: name.0 })
            }));
        }
        let number = *number;
        self.keep(vec![(number, reply)]);
        self.stage += 1;
        if !shares.is_empty() {
            self.program.stages.insert(self.stage, Stage::Run(shares));
            self.put_back = Some(self.stage);
        }
        self.run_stage(actions);
    }

    /// Everything has been applied everywhere: the epoch may advance again.
    fn applied(&mut self, actions: &mut Vec<Action>) {
        if std::mem::take(&mut self.in_gate) {
            actions.push(Action::LeaveGate);
        }
        self.state = State::Settling;
        self.settle(actions);
    }

    fn settle(&mut self, actions: &mut Vec<Action>) {
        if self.state != State::Settling {
            return;
        }
        if self.committed {
            if self.safe < self.committing.len() {
                return;
            }
            if self.refused.is_some() {
                // The holds stay until a checkpoint has made the state durable by itself.
                self.done(actions);
                return;
            }
            for shard in self.committing.clone() {
                self.send(shard, Order::Settle, actions);
            }
        }
        self.state = State::Acknowledging;
        self.end(actions);
    }

    fn end(&mut self, actions: &mut Vec<Action>) {
        if self.state == State::Acknowledging && self.acknowledged == self.claimed.len() {
            self.done(actions);
        }
    }

    fn done(&mut self, actions: &mut Vec<Action>) {
        self.state = State::Done;
        let replies = std::mem::take(&mut self.replies);
        actions.push(Action::Done(match (self.refused.take(), self.changed) {
            (Some(why), _) => Verdict::Refused(why),
            (None, true) => Verdict::Changed,
            (None, false) => Verdict::Replies(replies),
        }));
    }

    /// A shard's log is broken. At its claim: it takes no part, and those that do are let go.
    /// Later: this is its last word.
    fn refused(&mut self, why: Error, actions: &mut Vec<Action>) {
        self.refused.get_or_insert(why);
        match self.state {
            State::Claiming => self.leave(actions),
            State::Acknowledging => {
                self.acknowledged += 1;
                self.end(actions);
            }
            _ if self.committed => {
                self.safe += 1;
                self.settle(actions);
            }
            _ => {
                self.acknowledged += 1;
                self.end(actions);
            }
        }
    }
}
