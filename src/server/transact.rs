//! Carries a transaction over several shards: orders out, answers in, the epoch gate in between.
//! What is to be done stands in `router::transaction`.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::ids::ShardId;
use crate::commands::order::Item;
use crate::resp::error::Error;
use crate::resp::reply::Proto;
use crate::router::merge::merge;
use crate::router::program::Program;
use crate::router::transaction::{Action, Event, Transaction, Verdict, Wrote};
use crate::server::calls::{Arrival, CallId};
use crate::server::core::Core;

/// How a transaction ended, with the replies of its commands.
#[derive(Debug)]
pub enum Ended {
    /// One reply a command, encoded.
    Replies(Vec<Vec<u8>>),
    /// A watched key had changed.
    Changed,
    /// The log is broken: what the client is told.
    Refused(Error),
}

/// Carries one transaction.
pub struct Coordinator {
    core: Rc<Core>,
    call: CallId,
    transaction: Transaction,
    actions: VecDeque<Action>,
}

/// Where a transaction has come to.
#[derive(Debug)]
pub enum Turn {
    /// Its program is open, and asks what comes next.
    Asks,
    /// It is over.
    Done(Verdict),
}

impl Coordinator {
    /// Begins a transaction. It must not be dropped half way: the connection's task sees it
    /// through, whether the client is still there or not.
    pub fn begin(core: &Rc<Core>, call: CallId, proto: Proto, program: Program) -> Coordinator {
        core.clock.start_turn();
        let id = core.shared.tx_id();
        let mut transaction = Transaction::new((id, core.id), core.clock.now(), proto, program);
        core.shard.borrow_mut().counters.cross_shard_transactions += 1;
        let actions = transaction.start().into();
        Coordinator { core: Rc::clone(core), call, transaction, actions }
    }

    /// Goes on until it asks, or is over.
    pub async fn turn(&mut self) -> Turn {
        loop {
            match self.actions.pop_front() {
                Some(Action::Send(shard, step)) => self.core.send_step(shard, self.call, step),
                Some(Action::EnterGate) => {
                    enter_gate(&self.core).await;
                    self.actions.extend(self.transaction.on(Event::Entered));
                }
                Some(Action::LeaveGate) => self.core.shared.epochs.leave(),
                Some(Action::Ask) => return Turn::Asks,
                Some(Action::Done(verdict)) => return Turn::Done(verdict),
                None => {
                    let arrival = self.core.calls.next(self.call).await;
                    let Arrival::Outcome(shard, outcome) = arrival else {
                        unreachable!("a transaction waits for outcomes alone");
                    };
                    self.actions.extend(self.transaction.on(Event::Answer(shard, outcome)));
                }
            }
        }
    }

    /// An open program is granted its claims: its time is now.
    pub fn set_time(&mut self) {
        self.core.clock.start_turn();
        self.transaction.set_time(self.core.clock.now());
    }

    /// The next command of an open program, and its reply.
    pub async fn call(&mut self, item: Item, proto: Proto) -> Vec<u8> {
        let (me, shards) = (self.core.id, self.core.shards);
        self.actions.extend(self.transaction.go_on(item, proto, me, shards));
        self.reply(proto).await
    }

    async fn reply(&mut self, proto: Proto) -> Vec<u8> {
        let Turn::Asks = self.turn().await else {
            unreachable!("a transaction that was granted its claims ends when it is closed");
        };
        let dice = self.core.shard.borrow_mut().dice();
        let mut reply = Vec::new();
        if let Some(answer) = self.transaction.program().answers.first() {
            merge(answer, self.transaction.replies(), proto, dice, &mut reply);
        }
        reply
    }

    /// As `call`, on a shard that is known.
    pub async fn call_on(&mut self, shard: ShardId, item: Item, proto: Proto) -> Vec<u8> {
        self.actions.extend(self.transaction.go_on_at(shard, item, proto));
        self.reply(proto).await
    }

    /// Ends an open program.
    pub async fn close(mut self, wrote: Wrote) -> Verdict {
        self.actions.extend(self.transaction.close(wrote));
        match self.turn().await {
            Turn::Done(verdict) => verdict,
            Turn::Asks => unreachable!("nothing comes after what was closed"),
        }
    }
}

/// Runs a program from its first lock to its last acknowledgement.
pub async fn transact(core: &Rc<Core>, call: CallId, proto: Proto, program: Program) -> Ended {
    let mut coordinator = Coordinator::begin(core, call, proto, program);
    match coordinator.turn().await {
        Turn::Done(verdict) => end(core, &coordinator.transaction, verdict, proto),
        Turn::Asks => unreachable!("the program is whole"),
    }
}

/// An advance of the epoch is a matter of microseconds: it waits only for transactions that are
/// past their locks.
pub async fn enter_gate(core: &Rc<Core>) {
    while !core.shared.epochs.try_enter() {
        core.pauses.rest().await;
    }
}

fn end(core: &Rc<Core>, transaction: &Transaction, verdict: Verdict, proto: Proto) -> Ended {
    match verdict {
        Verdict::Changed => Ended::Changed,
        Verdict::Refused(why) => Ended::Refused(why),
        Verdict::Replies(parts) => {
            let dice = core.shard.borrow_mut().dice();
            let replies = transaction.program().answers.iter().map(|answer| {
                let mut reply = Vec::new();
                merge(answer, &parts, proto, dice, &mut reply);
                reply
            });
            Ended::Replies(replies.collect())
        }
    }
}
