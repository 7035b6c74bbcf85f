//! A whole server in one thread: shards, the messages between them in an order that a seed picks,
//! transactions, replies behind the gate. Its log stands in writer.rs, checkpoints in save.rs, its
//! start in start.rs.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::base::ids::{Epoch, Lsn, ShardId};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::commands::order::{Item, Outcome, Step};
use crate::persist::manifest::Manifest;
use crate::persist::record::Policy;
use crate::persist::segment::{SyncJob, WriteJob};
use crate::resp::error::Error;
use crate::router::transaction::Transaction;
use crate::shard::locks::Ticket;
use crate::shard::orders::Ending;
use crate::shard::shard::Shard;
use crate::shard::upkeep::ActiveExpire;
use crate::testing::bug::Bug;
use crate::testing::disk::{Disk, FileId, Syncing};
use crate::testing::history::History;
use crate::testing::model::Words;
use crate::testing::save::Save;
use crate::testing::writer::Round;

/// What a machine is started with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Number of shards.
    pub shards: u16,
    /// `appendfsync`.
    pub policy: Policy,
    /// Which boot of the kernel this is.
    pub boot: u64,
    /// What is wrong with it.
    pub bug: Option<Bug>,
    /// It says on stderr what it does.
    pub trace: bool,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub op: usize,
    pub items: Vec<Item>,
    pub group: bool,
    pub reply: Vec<u8>,
    pub ticket: Option<Ticket>,
}

/// What travels between cores.
#[derive(Debug)]
pub(super) enum Message {
    Job(Job),
    Replied { op: usize, replies: Option<Vec<Vec<u8>>> },
    Step(usize, usize, Step),
    Outcome(usize, ShardId, Outcome),
    Begin,
    Break(Error),
}

#[derive(Debug)]
pub(super) enum Turn {
    Coordinator(usize, usize),
    Job(Job),
}

#[derive(Debug)]
pub(super) struct Call {
    pub home: usize,
    pub writes: bool,
    pub transaction: Transaction,
    pub at_gate: bool,
}

/// One core.
#[derive(Debug)]
pub struct Core {
    /// Its shard.
    pub shard: Shard,
    pub(super) files: BTreeMap<u64, FileId>,
    pub(super) write: Option<WriteJob>,
    /// What it was when it was submitted.
    pub(super) in_flight: Vec<u8>,
    pub(super) sync: Option<(SyncJob, Syncing)>,
    pub(super) turns: HashMap<Ticket, Turn>,
    pub(super) endings: Vec<(usize, usize, Ending)>,
    pub(super) held: Vec<(Job, Lsn)>,
    seen: Epoch,
}

impl Core {
    /// Is there nothing to write? A broken log keeps what it has until it is healed.
    fn is_quiet(&self) -> bool {
        let log = self.shard.log();
        log.is_none_or(|log| log.pending() == 0 || log.fault().is_some())
    }
}

/// The epoch and its gate.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    pub now: Epoch,
    pub inside: usize,
    pub announced: bool,
    /// Somebody has the right to advance.
    pub taken: bool,
}

/// The machine.
#[derive(Debug)]
pub struct Machine {
    /// What it was started with.
    pub setup: Setup,
    /// Its disk.
    pub disk: Disk,
    /// Its cores.
    pub cores: Vec<Core>,
    /// What has happened.
    pub history: History,
    /// The clock.
    pub now: u64,
    /// The first thing that was wrong.
    pub violation: Option<String>,
    /// A core whose log is written and synced much later than those of the others.
    pub slow: Option<usize>,
    /// Requests to come.
    pub todo: VecDeque<(usize, u16, Vec<Words>)>,
    pub(super) prng: Prng,
    pub(super) epochs: Epochs,
    pub(super) durable: Vec<Epoch>,
    pub(super) fault: Option<Error>,
    pub(super) manifest: Manifest,
    pub(super) generation: u64,
    pub(super) segments: Vec<u64>,
    pub(super) round: Option<Round>,
    pub(super) save: Option<Save>,
    /// Checkpoints that were completed, and that failed.
    pub saved: (usize, usize),
    queues: Vec<VecDeque<Message>>,
    pub(super) calls: BTreeMap<usize, Call>,
    pub(super) busy: BTreeSet<usize>,
    pub(super) next_tx: u64,
    ticking: bool,
    pub(super) advancing_for_round: bool,
}

/// What can be done next.
#[derive(Clone, Copy, Debug)]
enum Choice {
    Deliver(usize),
    Submit,
    StartWrite(usize),
    FinishWrite(usize),
    StartSync(usize),
    FinishSync(usize),
    Gate(usize),
    Tick,
    Round,
    Save,
    Time,
    Upkeep(usize),
    Publish(usize),
}

impl Machine {
    /// A machine over shards that have been loaded.
    pub(super) fn new(setup: Setup, disk: Disk, shards: Vec<Shard>, manifest: Manifest) -> Machine {
        let count = shards.len();
        let core = |shard| Core {
            shard,
            files: BTreeMap::new(),
            write: None,
            in_flight: Vec::new(),
            sync: None,
            turns: HashMap::new(),
            endings: Vec::new(),
            held: Vec::new(),
            seen: Epoch(0),
        };
        Machine {
            setup,
            disk,
            cores: shards.into_iter().map(core).collect(),
            history: History::default(),
            now: 0,
            violation: None,
            todo: VecDeque::new(),
            prng: Prng::new(0),
            epochs: Epochs::default(),
            durable: vec![Epoch(0); count],
            fault: None,
            manifest,
            generation: 0,
            segments: vec![0; count],
            round: None,
            save: None,
            saved: (0, 0),
            queues: (0..count * count).map(|_| VecDeque::new()).collect(),
            calls: BTreeMap::new(),
            busy: BTreeSet::new(),
            next_tx: 1,
            ticking: false,
            slow: None,
            advancing_for_round: false,
        }
    }

    /// Has it this bug?
    pub(super) fn has(&self, bug: Bug) -> bool {
        self.setup.bug == Some(bug)
    }

    pub(super) fn wrong(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(super) fn send(&mut self, from: usize, to: usize, message: Message) {
        let at = from * self.cores.len() + to;
        let overtaken = match (&message, self.queues[at].back()) {
            (Message::Step(_, op, _), Some(Message::Step(_, before, _))) if op != before => {
                self.has(Bug::Overtaking) && self.prng.chance(1, 2)
            }
            _ => false,
        };
        let overtaken = overtaken.then(|| self.queues[at].pop_back()).flatten();
        self.queues[at].push_back(message);
        self.queues[at].extend(overtaken);
    }

    /// Is there nothing left to do but to wait?
    pub fn is_idle(&self) -> bool {
        self.todo.is_empty()
            && self.busy.is_empty()
            && self.queues.iter().all(VecDeque::is_empty)
            && self.round.is_none()
            && self.save.is_none()
            && self.cores.iter().all(|core| core.is_quiet())
    }

    /// Does one thing that a seed picks.
    pub fn step(&mut self) {
        let mut choices = Vec::with_capacity(32);
        choices.extend(
            (0..self.queues.len()).filter(|q| !self.queues[*q].is_empty()).map(Choice::Deliver),
        );
        let client = self.todo.front().map(|(client, _, _)| *client);
        if client.is_some_and(|client| !self.busy.contains(&client)) {
            choices.push(Choice::Submit);
        }
        for at in 0..self.cores.len() {
            self.log_choices(at, &mut choices);
        }
        if !self.epochs.announced {
            choices.extend(
                self.calls.iter().filter(|(_, c)| c.at_gate).map(|(op, _)| Choice::Gate(*op)),
            );
        }
        if self.ticking || (!self.epochs.taken && self.prng.chance(1, 8)) {
            choices.push(Choice::Tick);
        }
        let syncs = self.setup.policy == Policy::EverySecond;
        if self.round.is_some() || (syncs && self.prng.chance(1, 12)) {
            choices.push(Choice::Round);
        }
        if self.save.is_some() {
            choices.push(Choice::Save);
        }
        if self.prng.chance(1, 8) {
            choices.push(Choice::Time);
        }
        if choices.is_empty() {
            choices.push(Choice::Tick);
        }
        let choice = choices[self.prng.below(choices.len() as u64) as usize];
        self.act(choice);
    }

    fn log_choices(&mut self, at: usize, choices: &mut Vec<Choice>) {
        // What has to reach the disks in an order shows when one of them is far behind.
        if self.slow == Some(at) && !self.prng.chance(1, 12) {
            return;
        }
        let core = &self.cores[at];
        let Some(log) = core.shard.log() else { return };
        if core.write.is_some() {
            choices.push(Choice::FinishWrite(at));
        } else if log.pending() > 0 {
            choices.push(Choice::StartWrite(at));
        }
        if core.sync.is_some() {
            choices.push(Choice::FinishSync(at));
        } else if self.setup.policy == Policy::Always && log.durable() < log.written() {
            choices.push(Choice::StartSync(at));
        }
        if self.prng.chance(1, 16) {
            choices.push(Choice::Upkeep(at));
        }
        if self.prng.chance(1, 16) {
            choices.push(Choice::Publish(at));
        }
    }

    fn act(&mut self, choice: Choice) {
        if self.setup.trace {
            let logs = self.cores.iter().map(|core| {
                let log = core.shard.log().map(|log| (log.written().0, log.durable().0));
                (core.shard.appended().0, log, core.shard.gate.is_broken())
            });
            let (disk, epoch) = (self.disk.operations(), self.epochs.now.0);
            eprintln!("{choice:?} disk {disk} epoch {epoch} {:?}", logs.collect::<Vec<_>>());
        }
        match choice {
            Choice::Deliver(queue) => {
                let at = queue % self.cores.len();
                if let Some(message) = self.queues[queue].pop_front() {
                    self.take(at, message);
                }
            }
            Choice::Submit => {
                if let Some((client, db, commands)) = self.todo.pop_front() {
                    self.submit(client, db, commands);
                }
            }
            Choice::StartWrite(at) => self.start_write(at),
            Choice::FinishWrite(at) => self.finish_write(at),
            Choice::StartSync(at) => {
                self.start_sync(at);
            }
            Choice::FinishSync(at) => {
                self.finish_sync(at);
            }
            Choice::Gate(op) => self.enter_gate(op),
            Choice::Tick => self.tick(),
            Choice::Round => self.round_step(),
            Choice::Save => self.save_step(),
            Choice::Time => {
                // The two sides of a transaction would not agree on what has expired.
                if self.calls.is_empty() {
                    self.now += 2 * (1 + self.prng.below(20));
                }
            }
            Choice::Upkeep(at) => {
                let (now, epoch) = (Millis(self.now), self.epochs.now);
                if !self.has(Bug::LateCut) {
                    self.cores[at].shard.upkeep(now, epoch, ActiveExpire::On);
                }
                self.sweep(at);
            }
            Choice::Publish(at) => self.publish(at),
        }
    }

    /// The epoch advances because time goes by.
    fn tick(&mut self) {
        if !self.ticking {
            if !self.epochs.taken {
                self.epochs.taken = true;
                self.ticking = true;
            }
            return;
        }
        if self.try_advance().is_some() {
            self.ticking = false;
            self.epochs.taken = false;
            for at in 0..self.cores.len() {
                self.send(0, at, Message::Begin);
            }
        }
    }

    /// Announces an advance, or makes it if nobody is inside the gate.
    pub(super) fn try_advance(&mut self) -> Option<Epoch> {
        if !self.epochs.announced {
            self.epochs.announced = true;
            return None;
        }
        if self.epochs.inside > 0 && !self.has(Bug::AdvanceInTransaction) {
            return None;
        }
        self.epochs.announced = false;
        self.epochs.now = Epoch(self.epochs.now.0 + 1);
        Some(self.epochs.now)
    }

    /// Begins a run of commands on a shard.
    pub(super) fn begin(&mut self, at: usize) {
        let late = self.has(Bug::LateCut);
        let core = &mut self.cores[at];
        let epoch = if late { core.seen.max(core.shard.epoch()) } else { self.epochs.now };
        core.seen = self.epochs.now;
        core.shard.begin(Millis(self.now), epoch);
    }
}
