//! Carries a transaction over several shards: orders out, answers in, the epoch gate in between.
//! What is to be done stands in `router::transaction`.

use std::collections::VecDeque;
use std::rc::Rc;

use crate::commands::table;
use crate::resp::error::Error;
use crate::resp::reply::Proto;
use crate::router::merge::merge;
use crate::router::program::Program;
use crate::router::transaction::{Action, Event, Transaction, Verdict, WriteBack};
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

/// Runs a program from its first lock to its last acknowledgement. It must not be dropped half
/// way: the connection's task sees it through, whether the client is still there or not.
pub async fn transact(core: &Rc<Core>, call: CallId, proto: Proto, program: Program) -> Ended {
    let Some(del) = table::find(b"del") else { unreachable!("DEL is in the table") };
    let write_back = WriteBack { del, resolve: table::resolve };
    core.clock.start_turn();
    let id = core.shared.tx_id();
    let mut transaction = Transaction::new(id, core.clock.now(), proto, program, write_back);
    core.shard.borrow_mut().counters.cross_shard_transactions += 1;
    let mut actions: VecDeque<Action> = transaction.start().into();
    loop {
        match actions.pop_front() {
            Some(Action::Send(shard, step)) => core.send_step(shard, call, step),
            Some(Action::EnterGate) => {
                enter_gate(core).await;
                actions.extend(transaction.on(Event::Entered));
            }
            Some(Action::LeaveGate) => core.shared.epochs.leave(),
            Some(Action::Done(verdict)) => return end(core, &transaction, verdict, proto),
            None => {
                let arrival = core.calls.next(call).await;
                let Arrival::Outcome(shard, outcome) = arrival else {
                    unreachable!("a transaction waits for outcomes alone");
                };
                actions.extend(transaction.on(Event::Answer(shard, outcome)));
            }
        }
    }
}

/// An advance of the epoch is a matter of microseconds: it waits only for transactions that are
/// past their locks.
async fn enter_gate(core: &Rc<Core>) {
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
