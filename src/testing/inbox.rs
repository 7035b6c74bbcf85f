//! What a core of the simulated machine does with a message, as server/core.rs does it.

use crate::base::ids::{Lsn, ShardId};
use crate::commands::order::{Finish, Order, Outcome, Step};
use crate::commands::spec::Flags;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, elements};
use crate::router::transaction::Event;
use crate::shard::execute::Request;
use crate::shard::gate::Release;
use crate::shard::locks::Ticket;
use crate::shard::orders::Carried;
use crate::shard::shard::Writes;
use crate::testing::bug::Bug;
use crate::testing::machine::{Job, Machine, Message, Turn};

impl Machine {
    pub(super) fn take(&mut self, at: usize, message: Message) {
        match message {
            Message::Job(job) => self.work(at, job),
            Message::Replied { op, replies } => self.answered(op, replies),
            Message::Step(from, op, step) => self.carry(at, from, op, step),
            Message::Outcome(op, shard, outcome) => {
                let Some(call) = self.calls.get_mut(&op) else { return };
                let actions = call.transaction.on(Event::Answer(shard, outcome));
                self.drive(op, actions);
            }
            Message::Begin => {
                self.begin(at);
                self.publish(at);
            }
            Message::Break(_) if self.fault.is_none() => {}
            Message::Break(error) => {
                let shard = &mut self.cores[at].shard;
                shard.gate.break_log();
                shard.writes = Writes::Refused(error);
                self.log_moved(at);
            }
        }
    }

    fn work(&mut self, at: usize, mut job: Job) {
        self.begin(at);
        let shard = &mut self.cores[at].shard;
        if job.ticket.is_none() {
            let obstacle = match job.group {
                true => shard.obstacle_to_all(&job.items, &[]),
                false => shard.obstacle(Request::of(&job.items[0], Proto::Two)),
            };
            if let Some(claim) = obstacle {
                let ticket = shard.locks.enter(claim);
                self.cores[at].turns.insert(ticket, Turn::Job(job));
                return;
            }
        }
        let before = shard.appended();
        let refused = shard.writes != Writes::Allowed;
        let requires = match job.group {
            true => shard.run_all(&job.items, &[], (Proto::Two, None), &mut job.reply).1,
            false => shard.run(Request::of(&job.items[0], Proto::Two), &mut job.reply),
        };
        let (after, now) = (shard.appended(), shard.now().0);
        let writes = job.items.iter().any(|item| item.command.flags.has(Flags::WRITE));
        let turns = job.ticket.take().map(|ticket| shard.locks.leave(ticket)).unwrap_or_default();
        if !(refused && writes) {
            self.executed(at, job.op, now);
            if after > before
                && let Some(applied) = self.history.of(job.op)
            {
                // A key that was found expired has an effect of its own.
                applied.participants.insert(at);
                applied.at.insert(at, after);
            }
        }
        self.finish(at, job, requires);
        self.take_turns(at, turns);
    }

    fn executed(&mut self, at: usize, op: usize, now: u64) {
        let changed = self.history.apply(op, now);
        if let Some(save) = &mut self.save {
            save.note_changed(at, &changed);
        }
    }

    fn finish(&mut self, at: usize, job: Job, requires: Lsn) {
        let replies = match self.cores[at].shard.gate.release(requires) {
            Release::Wait => {
                self.cores[at].held.push((job, requires));
                return;
            }
            Release::Refuse => None,
            Release::Now => Some(elements(&job.reply).map(<[u8]>::to_vec).collect()),
        };
        let to = self.history.ops[job.op].client % self.cores.len();
        self.send(at, to, Message::Replied { op: job.op, replies });
    }

    fn carry(&mut self, at: usize, from: usize, op: usize, step: Step) {
        self.begin(at);
        let finish = match &step.order {
            Order::Run { finish, .. } => finish.clone(),
            Order::Leave(finish) => Some(finish.clone()),
            _ => None,
        };
        let writes = self.calls.get(&op).is_some_and(|call| call.writes);
        let commits = matches!(finish, Some(Finish::Write(_)));
        let executes = commits || (finish.is_some() && !writes);
        if executes && self.history.of(op).is_none() {
            let now = self.cores[at].shard.now().0;
            self.executed(at, op, now);
        }
        let tx = step.tx;
        let carried = self.cores[at].shard.order(step);
        if let Some(Finish::Write(participants)) = finish {
            let lsn = self.cores[at].shard.appended();
            if let Some(applied) = self.history.of(op) {
                applied.at.insert(at, lsn);
                applied.participants.extend(participants.iter().map(|shard| shard.index()));
            }
            if self.has(Bug::NoHold) {
                self.cores[at].shard.gate.settle(tx);
            }
        }
        match carried {
            Carried::Answer(outcome) => self.outcome(at, from, op, outcome),
            Carried::Queued(ticket) => {
                self.cores[at].turns.insert(ticket, Turn::Coordinator(from, op));
            }
            Carried::Ended { outcome, turn, ending } => {
                self.outcome(at, from, op, outcome);
                self.cores[at].endings.push((from, op, ending));
                self.end_parts(at);
                self.take_turns(at, turn);
            }
            Carried::Settled(ending) => {
                self.cores[at].endings.push((from, op, ending));
                self.log_moved(at);
            }
        }
    }

    fn outcome(&mut self, at: usize, to: usize, op: usize, outcome: Outcome) {
        self.send(at, to, Message::Outcome(op, ShardId(at as u16), outcome));
    }

    fn take_turns(&mut self, at: usize, turns: Vec<Ticket>) {
        for ticket in turns {
            match self.cores[at].turns.remove(&ticket) {
                Some(Turn::Coordinator(from, op)) => {
                    self.outcome(at, from, op, Outcome::Granted);
                }
                Some(Turn::Job(mut job)) => {
                    job.ticket = Some(ticket);
                    self.work(at, job);
                }
                None => self.wrong("a claim's turn came twice".to_owned()),
            }
        }
    }

    /// The log has moved: looks again at all that waits for it.
    pub(super) fn log_moved(&mut self, at: usize) {
        self.end_parts(at);
        for (job, requires) in std::mem::take(&mut self.cores[at].held) {
            self.finish(at, job, requires);
        }
    }

    fn end_parts(&mut self, at: usize) {
        for (from, op, ending) in std::mem::take(&mut self.cores[at].endings) {
            let fault = || self.fault.clone().unwrap_or(Error::err("broken"));
            match self.cores[at].shard.ended(ending, fault) {
                Some(outcome) => self.outcome(at, from, op, outcome),
                None => self.cores[at].endings.push((from, op, ending)),
            }
        }
    }
}
