//! The clients of the simulated machine, as server/connection.rs and transact.rs serve them.

use crate::base::ids::{Db, ShardId, TxId};
use crate::base::time::Millis;
use crate::commands::order::Item;
use crate::commands::spec::Flags;
use crate::commands::table;
use crate::resp::args::OwnedArgs;
use crate::resp::reply::{Proto, Reply};
use crate::router::merge::merge;
use crate::router::plan::{Route, route};
use crate::router::program::{Program, home};
use crate::router::transaction::{Action, Event, Transaction, Verdict};
use crate::testing::history::show;
use crate::testing::machine::{Call, Job, Machine, Message};
use crate::testing::model::Words;

impl Machine {
    /// A client asks for something.
    pub fn submit(&mut self, client: usize, db: u16, commands: Vec<Words>) -> usize {
        let items: Vec<Item> = commands.iter().map(|words| item(db, words)).collect();
        let (count, me) = (self.cores.len() as u16, client % self.cores.len());
        let here = ShardId(me as u16);
        let op = self.history.invoke(client, db, commands);
        self.busy.insert(client);
        let one = match items.as_slice() {
            [one] => match route(one.command, one.args.args(), here, count) {
                Route::One(shard) => Some(shard),
                _ => None,
            },
            all => home(all, &[], here, count),
        };
        if let Some(shard) = one {
            let group = items.len() > 1;
            let job = Job { op, items, group, reply: Vec::new(), ticket: None };
            self.send(me, shard.index(), Message::Job(job));
            return op;
        }
        let writes = items.iter().any(|item| item.command.flags.has(Flags::WRITE));
        let program = Program::new(items, Vec::new(), here, count);
        let (id, now) = (TxId(self.next_tx), Millis(self.now));
        self.next_tx += 1;
        let mut transaction = Transaction::new((id, here), now, Proto::Two, program);
        let actions = transaction.start();
        self.calls.insert(op, Call { home: me, writes, transaction, at_gate: false });
        self.drive(op, actions);
        op
    }

    pub(super) fn drive(&mut self, op: usize, actions: Vec<Action>) {
        let Some(home) = self.calls.get(&op).map(|call| call.home) else { return };
        for action in actions {
            match action {
                Action::Send(to, step) => {
                    self.send(home, to.index(), Message::Step(home, op, step))
                }
                Action::EnterGate => {
                    if let Some(call) = self.calls.get_mut(&op) {
                        call.at_gate = true;
                    }
                }
                Action::LeaveGate => self.epochs.inside -= 1,
                Action::Done(verdict) => self.end(op, verdict),
                Action::Ask => unreachable!("no simulated session runs a script"),
            }
        }
    }

    pub(super) fn enter_gate(&mut self, op: usize) {
        let Some(call) = self.calls.get_mut(&op) else { return };
        call.at_gate = false;
        self.epochs.inside += 1;
        let actions = call.transaction.on(Event::Entered);
        self.drive(op, actions);
    }

    pub(super) fn end(&mut self, op: usize, verdict: Verdict) {
        let Some(call) = self.calls.remove(&op) else { return };
        let replies = match verdict {
            Verdict::Replies(parts) => {
                let merged = call.transaction.program().answers.iter().map(|answer| {
                    let mut reply = Vec::new();
                    merge(answer, &parts, Proto::Two, 0, &mut reply);
                    reply
                });
                Some(merged.collect())
            }
            _ => None,
        };
        self.answered(op, replies);
    }

    /// A client gets its replies, or is told that nothing is promised.
    pub(super) fn answered(&mut self, op: usize, replies: Option<Vec<Vec<u8>>>) {
        self.busy.remove(&self.history.ops[op].client);
        if self.disk.is_dead() {
            return;
        }
        self.history.ops[op].answered = true;
        // A refusal of the command itself is a reply like any other, but nothing was executed.
        let refused = |reply: &Vec<u8>| reply.starts_with(b"-MISCONF");
        let Some(replies) = replies else { return };
        if replies.iter().any(refused) {
            let half = replies.iter().any(|reply| !refused(reply) && !reply.starts_with(b"-"));
            let changed = self.history.of(op).is_some_and(|applied| !applied.changes.is_empty());
            let only_reads = self.history.ops[op].commands.iter().any(|w| w[0] == b"GET");
            if half && changed && !only_reads {
                self.wrong(format!("half refused: {}", show(&self.history.ops[op])));
            }
            return;
        }
        if let Err(what) = self.history.acknowledge(op, &replies) {
            self.wrong(what);
        }
    }

    /// The line that a broken log answers.
    pub fn refusal(&self) -> Vec<u8> {
        let mut line = Vec::new();
        if let Some(error) = &self.fault {
            Reply::new(&mut line, Proto::Two).error(error);
        }
        line
    }
}

fn item(db: u16, words: &Words) -> Item {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    let args = OwnedArgs::of(&words);
    let command = table::resolve(args.args()).expect("a command of the model");
    Item { command, args, db: Db(db) }
}
