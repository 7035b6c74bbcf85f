//! A shard's side of a transaction over several shards: claim, check, run, commit, settle.
//!
//! Effects of a transaction are kept in its part until it is committed here, then appended as one
//! record part that names all participants. Until then its keys are locked and the epoch gate is
//! held, so neither a reader nor a cut can see what is not logged yet.

use crate::base::ids::{Db, Lsn, ShardId, TxId};
use crate::base::mutant::Mutant;
use crate::base::time::Millis;
use crate::commands::call::Effect;
use crate::commands::order::{Finish, Item, Order, Outcome, Step, Tracker, Voice};
use crate::commands::spec::KeySpec;
use crate::resp::error::Error;
use crate::resp::reply::Proto;
use crate::shard::execute::Request;
use crate::shard::gate::Release;
use crate::shard::journal::{Group, note};
use crate::shard::locks::{Claim, Ticket};
use crate::shard::shard::{Shard, Writes};

/// What a transaction has on this shard.
#[derive(Debug)]
pub struct Part {
    ticket: Ticket,
    /// Effects that are applied and not yet logged.
    effects: Group,
    /// Keys to be marked with the lsn of the commit.
    touched: Vec<(Db, Vec<u8>)>,
    /// It has the whole keyspace.
    whole: bool,
    /// The time that it sees: it stands still from its first command on.
    now: Option<Millis>,
    /// It has changed keys that no argument names: all are to be marked.
    all: bool,
    /// The latest effect that its reads have looked at.
    observed: Lsn,
}

impl Part {
    /// Has it written nothing yet?
    pub fn is_clean(&self) -> bool {
        self.effects.is_empty()
    }
}

/// What the server does after an order has been carried out.
#[derive(Debug)]
pub enum Carried {
    /// Answer this.
    Answer(Outcome),
    /// The claim waits for its turn; answer `Granted` when the ticket comes up.
    Queued(Ticket),
    /// Answer this, wake those whose turn it is now, and answer what `Ending` says later.
    Ended { outcome: Outcome, turn: Vec<Ticket>, ending: Ending },
    /// Only answer what `Ending` says later.
    Settled(Ending),
}

/// What is owed to the coordinator after a part has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `Safe` once the gate says that this effect is.
    Safe(Lsn),
    /// `Acknowledged` once the gate releases this effect.
    Acknowledged(Lsn),
}

impl Shard {
    /// Carries out one order of a transaction.
    pub fn order(&mut self, step: Step) -> Carried {
        let tx = step.tx;
        self.now = self.now.max(step.now);
        match step.order {
            Order::Claim { keys, whole, writer } => self.claim(tx, keys, whole, writer),
            Order::Check(watched) => {
                self.keys.begin(self.now, self.journal.next());
                let unchanged = self.unchanged(&watched);
                self.note_observed(tx);
                Carried::Answer(Outcome::Checked { unchanged })
            }
            Order::Run { items, proto, voice, finish } => {
                let later = self.stand_still(tx);
                let replies = self.run_share(tx, items, (proto, step.tracker, voice));
                self.now = later;
                let outcome = Outcome::Ran(replies);
                match finish {
                    None => Carried::Answer(outcome),
                    Some(finish) => self.end(tx, finish, outcome),
                }
            }
            Order::Export(keys) => {
                let later = self.stand_still(tx);
                let world = self.export(&keys);
                self.now = later;
                self.note_observed(tx);
                Carried::Answer(Outcome::Exported(world))
            }
            Order::LookUp { item, world } => {
                Carried::Answer(Outcome::LookedUp(self.looked_up(&item, &world)))
            }
            Order::Gather { item, proto, keys, world } => {
                let (reply, changes) = self.gather(&item, proto, keys, world);
                Carried::Answer(Outcome::Gathered { reply, changes })
            }
            Order::Leave(finish) => self.end(tx, finish, Outcome::Left),
            Order::Settle => Carried::Settled(Ending::Acknowledged(self.gate.settle(tx))),
        }
    }

    fn claim(
        &mut self,
        tx: TxId,
        keys: Vec<(Db, Vec<u8>)>,
        whole: bool,
        writer: Option<ShardId>,
    ) -> Carried {
        if let (Some(_), Writes::Refused(error)) = (writer, &self.writes) {
            return Carried::Answer(Outcome::Refused(error.clone()));
        }
        let claim = match whole {
            true => Claim::whole(),
            false => self.locks.claim(keys.iter().map(|(db, key)| (*db, &key[..]))),
        };
        let claim = match writer {
            Some(coordinator) if !Mutant::ManyWriters.is_on() => claim.to_write(coordinator),
            _ => claim,
        };
        let ticket = self.locks.enter(claim);
        let (now, all) = (None, false);
        let (effects, observed) = (Vec::new(), Lsn(0));
        let part = Part { ticket, effects, touched: keys, whole, now, all, observed };
        self.parts.insert(tx, part);
        match self.locks.granted(ticket) {
            true => Carried::Answer(Outcome::Granted),
            false => Carried::Queued(ticket),
        }
    }

    /// Sets the clock to what a transaction has seen first; what it was.
    fn stand_still(&mut self, tx: TxId) -> Millis {
        let later = self.now;
        if let Some(part) = self.parts.get_mut(&tx) {
            self.now = *part.now.get_or_insert(later);
        }
        later
    }

    fn note_observed(&mut self, tx: TxId) {
        let observed = self.keys.observed();
        if let Some(part) = self.parts.get_mut(&tx) {
            part.observed = part.observed.max(observed);
        }
    }

    fn run_share(
        &mut self,
        tx: TxId,
        items: Vec<(usize, Item)>,
        (proto, tracker, voice): (Proto, Option<Tracker>, Voice),
    ) -> Vec<(usize, Vec<u8>)> {
        let mut replies = Vec::with_capacity(items.len());
        for (number, item) in items {
            let mut out = Vec::new();
            let request = Request { tracker, ..Request::of(&item, proto) };
            let effect = match Mutant::RefusedHalfway.is_on() {
                true => self.handle(request, &mut out),
                false => self.perform(request, voice, &mut out),
            };
            self.note_observed(tx);
            if let Some(part) = self.parts.get_mut(&tx) {
                if part.whole && effect != Effect::Nothing {
                    let keys = Request::of(&item, proto).keys();
                    part.touched.extend(keys.map(|(db, key)| (db, key.to_vec())));
                    part.all |= matches!(item.command.keys, KeySpec::None);
                }
                note(&mut part.effects, effect, item.args.args(), item.db);
            }
            replies.push((number, out));
        }
        replies
    }

    /// Commits what the transaction did here, and gives its keys up.
    fn end(&mut self, tx: TxId, finish: Finish, outcome: Outcome) -> Carried {
        let Some(part) = self.parts.remove(&tx) else {
            unreachable!("a transaction ends once, on a shard where it was granted its claim");
        };
        let turn = self.locks.leave(part.ticket);
        let ending = match finish {
            Finish::Read => Ending::Acknowledged(part.observed),
            Finish::Write(participants) => Ending::Safe(self.commit(tx, &participants, part)),
        };
        self.serve();
        Carried::Ended { outcome, turn, ending }
    }

    /// Logs the part, even an empty one: recovery has to find every participant's.
    fn commit(&mut self, tx: TxId, participants: &[ShardId], part: Part) -> Lsn {
        self.changes += part.effects.len() as u64;
        let lsn = self.journal.append_transaction(tx, participants, &part.effects);
        if !Mutant::Unmarked.is_on() {
            self.mark(part.touched.iter().map(|(_, key)| &key[..]), part.all);
        }
        self.gate.hold(lsn, tx);
        lsn.max(part.observed)
    }

    /// What the server is to answer now to `Ending`, or nothing while the log has to be waited for.
    pub fn ended(&self, ending: Ending, broken: impl FnOnce() -> Error) -> Option<Outcome> {
        match ending {
            Ending::Safe(lsn) if self.gate.is_safe_part(lsn) => Some(Outcome::Safe),
            Ending::Safe(_) if self.gate.is_broken() => Some(Outcome::Refused(broken())),
            Ending::Safe(_) => None,
            Ending::Acknowledged(lsn) => match self.gate.release(lsn) {
                Release::Now => Some(Outcome::Acknowledged),
                Release::Refuse => Some(Outcome::Refused(broken())),
                Release::Wait => None,
            },
        }
    }
}
