//! One core: its shard, what it has promised to others, and the messages that reach it.
//!
//! A turn, as the executor runs it: the messages of other cores and the bytes of the connections
//! that became ready are executed one after another without an await in between; all that they
//! appended goes to the log in one write (`server::aof`); the replies leave when the gate releases
//! them; what is left of the time goes to snapshot slices and upkeep.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::base::ids::{Lsn, ShardId};
use crate::commands::order::{Envelope, Item, Outcome, Step, Tracker, Wait};
use crate::commands::session::Watched;
use crate::observe::events::Events;
use crate::observe::rate::Rate;
use crate::observe::slowlog::SlowLog;
use crate::persist::manifest::End;
use crate::persist::snapshot_reader::SnapshotReader;
use crate::resp::reply::{Proto, Reply};
use crate::router::channels::Channels;
use crate::router::spare::Spare;
use crate::server::advance::Advancing;
use crate::server::aof::LogFiles;
use crate::server::base_file::Buffers;
use crate::server::calls::{Arrival, CallId, Calls, Word};
use crate::server::clients::Clients;
use crate::server::clock::Clock;
use crate::server::database::Database;
use crate::server::job::{Job, Work, worded};
use crate::server::mesh::{Answer, Port, ticket};
use crate::server::meter::Meter;
use crate::server::requests::Requests;
use crate::server::saver::Saver;
use crate::server::scripts::Scripting;
use crate::server::sealing::Sealing;
use crate::server::settings;
use crate::server::shared::{Settings, Shared};
use crate::server::signal::{Crowd, Found, Pauses, Signal};
use crate::server::stream::Net;
use crate::shard::gate::Release;
use crate::shard::locks::{Claim, Ticket};
use crate::shard::orders::{Carried, Ending};
use crate::shard::shard::Shard;
use crate::shard::upkeep::{Supply, to_give_up};
use crate::shard::waiting::Told;

/// Something for a core to do that is rare enough to travel as a function.
pub type Task = Box<dyn FnOnce(&Rc<Core>) + Send>;

/// What travels between cores.
pub enum Message {
    /// Commands of a session on another core.
    Envelope { from: ShardId, call: CallId, envelope: Box<Envelope> },
    /// A transaction whose keys are all on this shard.
    Group { from: ShardId, call: CallId, group: Group },
    /// A step of a transaction over several shards.
    Step { from: ShardId, call: CallId, step: Step },
    /// A command that may wait.
    Wait { from: ShardId, call: CallId, wait: Box<Wait> },
    /// An answer.
    Arrival { call: CallId, arrival: Arrival },
    /// Anything else.
    Task(Task),
}

/// A transaction on one shard.
#[derive(Debug)]
pub struct Group {
    /// Its commands.
    pub items: Vec<Item>,
    /// What must not have changed.
    pub watched: Vec<Watched>,
    /// The protocol of its replies.
    pub proto: Proto,
    /// Whose it is, if that session tracks.
    pub tracker: Option<Tracker>,
}

/// Who waits for a claim's turn.
#[derive(Debug)]
enum Turn {
    /// The coordinator of a transaction.
    Coordinator { from: ShardId, call: CallId },
    /// Commands of a session.
    Job(Job),
    /// A task of this core.
    Waiting(Option<Waker>),
    /// A task of this core, whose turn it is now.
    Come,
}

/// A response that waits for the log.
#[derive(Debug)]
struct Held {
    job: Job,
    requires: Lsn,
}

/// Turns after a message in which another one is likely.
const CONVERSATION: u32 = 4;

/// How the data stands to maxmemory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relief {
    /// It is not larger.
    Fits,
    /// It is, and keys are being given up.
    Evicting,
    /// It is, and nothing may be given up.
    Full,
}

/// One core's state. Only its own thread touches it.
pub struct Core {
    /// This core's shard.
    pub id: ShardId,
    /// How many shards there are.
    pub shards: u16,
    /// The keys.
    pub shard: RefCell<Shard>,
    /// The way to the other cores.
    pub port: Port<Message>,
    /// The sockets.
    pub net: Rc<Net>,
    /// The way of the log's writes and syncs to this core's ring.
    pub requests: Requests,
    batch: RefCell<Vec<Message>>,
    /// Turns since the last message.
    quiet_turns: Cell<u32>,
    /// The time.
    pub clock: Clock,
    /// The files that are the database.
    pub database: Arc<Database>,
    /// What all cores share.
    pub shared: Arc<Shared>,
    /// The settings in force on this core.
    pub settings: RefCell<Settings>,
    /// Connections of this core.
    pub clients: Clients,
    /// Its Lua.
    pub scripting: Scripting,
    /// It has lately told other cores what nobody answers.
    pub spreading: Cell<bool>,
    /// What its connections are subscribed to.
    pub channels: RefCell<Channels>,
    /// Questions under way.
    pub calls: Calls,
    /// The files of the log.
    pub log_files: RefCell<LogFiles>,
    /// Where the segments of this run that are closed end, by number.
    pub log_ends: RefCell<BTreeMap<u64, End>>,
    /// What one base leaves for the next.
    pub base_buffers: RefCell<Buffers>,
    /// What is known of checkpoints; on core 0.
    pub saver: Saver,
    /// The backup that a client makes (core 0).
    pub sealing: Sealing,
    /// Whether the epoch is about to advance; on core 0.
    pub advancing: Advancing,
    /// Keys that are being handed over at start, by the shard of the files they come from.
    pub streams: RefCell<HashMap<ShardId, SnapshotReader>>,
    /// Slow commands of this core's sessions.
    pub slowlog: RefCell<SlowLog>,
    /// Latency events of this core.
    pub events: RefCell<Events>,
    /// Something was appended, or the log has to be looked after for another reason.
    pub log_due: Signal,
    /// Long work between two slices.
    pub pauses: Pauses,
    /// Commands, bytes in and bytes out, each a second.
    pub rates: RefCell<[Rate; 3]>,
    /// Tasks that wait for the log.
    pub progress: Crowd,
    turns: RefCell<HashMap<Ticket, Turn>>,
    endings: RefCell<Vec<(ShardId, CallId, Ending)>>,
    held: RefCell<Vec<Held>>,
    /// Memory for batches that other cores take part in.
    pub spare: RefCell<Spare>,
}

impl Core {
    /// A core over its shard.
    pub fn new(
        mut shard: Shard,
        port: Port<Message>,
        database: Arc<Database>,
        shared: Arc<Shared>,
        settings: Settings,
        net: Rc<Net>,
    ) -> Core {
        let shards = port.cores() as u16;
        shard.expect_snapshots();
        Core {
            id: shard.id,
            slowlog: RefCell::new(SlowLog::new(shard.id.0, shards)),
            events: RefCell::default(),
            streams: RefCell::default(),
            log_files: RefCell::default(),
            log_ends: RefCell::default(),
            base_buffers: RefCell::new(Buffers::touched()),
            saver: Saver::default(),
            sealing: Sealing::default(),
            advancing: Advancing::default(),
            requests: net.requests(),
            net,
            batch: RefCell::default(),
            quiet_turns: Cell::new(CONVERSATION),
            database,
            shards,
            shard: RefCell::new(shard),
            port,
            clock: Clock::new(),
            shared,
            settings: RefCell::new(settings),
            clients: Clients::default(),
            scripting: Scripting::default(),
            channels: RefCell::default(),
            spreading: Cell::new(false),
            calls: Calls::default(),
            log_due: Signal::default(),
            pauses: Pauses::default(),
            rates: RefCell::default(),
            progress: Crowd::default(),
            turns: RefCell::default(),
            endings: RefCell::default(),
            held: RefCell::default(),
            spare: RefCell::default(),
        }
    }

    /// Takes in what other cores have sent.
    pub fn take_in(self: &Rc<Self>) -> Found {
        let mut batch = self.batch.take();
        let quiet = self.quiet_turns.get();
        self.quiet_turns.set(quiet.saturating_add(1));
        let mut found = Found::Nothing;
        if self.port.drain(&mut batch) {
            found = Found::Something;
            self.quiet_turns.set(0);
            self.clock.start_turn();
            self.warm_messages(&batch);
            for message in batch.drain(..) {
                self.take(message);
            }
        }
        self.batch.replace(batch);
        found
    }

    fn take(self: &Rc<Self>, message: Message) {
        match message {
            Message::Envelope { from, call, envelope } => {
                // As a core's own connections before each batch: what is written here from
                // elsewhere has to fit as well.
                self.relieve();
                self.work(Job::new(from, call, Work::Envelope(envelope)));
            }
            Message::Group { from, call, group } => self.group(from, call, group),
            Message::Step { from, call, step } => self.step(from, call, step),
            Message::Wait { from, call, wait } => self.attend(from, call, wait),
            Message::Arrival { call, arrival } => self.calls.deliver(call, arrival),
            Message::Task(task) => task(self),
        }
    }

    /// Have other cores sent something lately? Then they will again.
    pub fn in_conversation(&self) -> bool {
        self.quiet_turns.get() < CONVERSATION
    }

    /// Does a client or another core wait for this one? (A hint, without a system call.)
    pub fn is_awaited(&self) -> bool {
        self.port.has_mail() || self.net.is_due()
    }

    /// Looks at what has grown, for INFO.
    pub fn sample_rates(&self) {
        let shard = self.shard.borrow();
        let counted = &shard.counters;
        let totals =
            [counted.commands_processed, counted.net_input_bytes, counted.net_output_bytes];
        let mut rates = self.rates.borrow_mut();
        let sampled = rates.iter_mut().zip(totals);
        sampled.for_each(|(rate, total)| rate.sample(self.clock.now(), total));
    }

    /// Runs a function on another core (or this one) and waits for what it returns.
    pub async fn on<T: Send + 'static>(
        self: &Rc<Self>,
        shard: ShardId,
        work: impl FnOnce(&Rc<Core>) -> T + Send + 'static,
    ) -> T {
        if shard == self.id {
            return work(self);
        }
        let (ticket, answer) = ticket();
        self.port.send(shard, Message::Task(Box::new(move |core| ticket.answer(work(core)))));
        match answer.await {
            Some(value) => value,
            None => unreachable!("a task that was sent is run"),
        }
    }

    /// Starts an asynchronous function on another core (or this one); await what it returns.
    pub fn start_on<T, F>(
        self: &Rc<Self>,
        shard: ShardId,
        work: impl FnOnce(Rc<Core>) -> F + Send + 'static,
    ) -> Answer<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        let (ticket, answer) = ticket();
        let task: Task = Box::new(move |core| {
            let future = work(Rc::clone(core));
            glommio::spawn_local(async move { ticket.answer(future.await) }).detach();
        });
        match shard == self.id {
            true => task(self),
            false => self.port.send(shard, Message::Task(task)),
        }
        answer
    }

    /// The same, waiting for it.
    pub async fn on_async<T, F>(
        self: &Rc<Self>,
        shard: ShardId,
        work: impl FnOnce(Rc<Core>) -> F + Send + 'static,
    ) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + 'static,
    {
        match self.start_on(shard, work).await {
            Some(value) => value,
            None => unreachable!("a task that was started ends"),
        }
    }

    /// Runs a function on every core, this one included; the answers in the order of the shards.
    pub async fn on_all<T: Send + 'static>(
        self: &Rc<Self>,
        work: impl Fn(&Rc<Core>) -> T + Clone + Send + 'static,
    ) -> Vec<T> {
        let mut answers = Vec::new();
        for shard in (0..self.shards).map(ShardId) {
            let work = work.clone();
            answers.push(self.on(shard, move |core| work(core)).await);
        }
        answers
    }

    /// Lets every core look at its sockets and messages once more: a client that was gone before
    /// this was called is not among its clients afterwards, nor among those that wait.
    pub async fn look_around(self: &Rc<Self>) {
        let rest = |core: Rc<Core>| async move { core.pauses.rest().await };
        let cores = (0..self.shards).map(ShardId);
        let resting: Vec<_> = cores.map(|shard| self.start_on(shard, rest)).collect();
        for rested in resting {
            rested.await;
        }
    }

    /// Starts a run of commands on the shard: reads the epoch after everything in it has arrived.
    /// What `work` appends is written soon.
    pub fn run<T>(&self, work: impl FnOnce(&mut Shard) -> T) -> T {
        let mut shard = self.shard.borrow_mut();
        let before = shard.appended();
        shard.begin(self.clock.now(), self.shared.epochs.now());
        let result = work(&mut shard);
        shard.serve();
        if shard.appended() != before {
            shard.assist();
            self.log_due.raise();
        }
        if let Some(news) = shard.take_news() {
            drop(shard);
            self.spread(news);
        }
        result
    }

    /// Compares the data of all shards with maxmemory, and gives up a slice of this one's keys
    /// where that has to be and may be.
    pub fn relieve(&self) -> Relief {
        let most = self.settings.borrow().config.maxmemory;
        if most == 0 || self.publish_memory() <= most {
            return Relief::Fits;
        }
        let eviction = settings::eviction(&self.settings.borrow().config);
        let Some(eviction) = eviction else { return Relief::Full };
        let holdings: Vec<_> = self.shared.holdings().collect();
        let share = to_give_up(most, self.id.index(), &holdings);
        if share > 0 {
            let supply = self.run(|shard| shard.evict(eviction, share));
            self.shared.publish_supply(self.id, supply);
        }
        match self.publish_memory() > most {
            false => Relief::Fits,
            // What other shards can still give up is theirs to remove; the write need not wait.
            true if self.shared.supply() == Supply::Some => Relief::Evicting,
            true => Relief::Full,
        }
    }

    /// Says how large this shard's data is; how large that of all is.
    fn publish_memory(&self) -> u64 {
        self.shared.publish_memory(self.id, self.shard.borrow().keys.memory().data);
        self.shared.memory()
    }

    /// Commands for another shard.
    pub fn send_envelope(self: &Rc<Self>, to: ShardId, call: CallId, envelope: Box<Envelope>) {
        self.port.send(to, Message::Envelope { from: self.id, call, envelope });
    }

    /// A transaction for one shard, this one or another.
    pub fn send_group(self: &Rc<Self>, to: ShardId, call: CallId, group: Group) {
        match to == self.id {
            true => self.group(self.id, call, group),
            false => self.port.send(to, Message::Group { from: self.id, call, group }),
        }
    }

    /// A step for one shard, this one or another.
    pub fn send_step(self: &Rc<Self>, to: ShardId, call: CallId, step: Step) {
        match to == self.id {
            true => self.step(self.id, call, step),
            false => self.port.send(to, Message::Step { from: self.id, call, step }),
        }
    }

    fn group(self: &Rc<Self>, from: ShardId, call: CallId, group: Group) {
        let work = Work::Group { group, unchanged: true };
        self.work(Job::new(from, call, work));
    }

    /// A command that may wait, for one shard, this one or another.
    pub fn send_wait(self: &Rc<Self>, to: ShardId, call: CallId, wait: Box<Wait>) {
        match to == self.id {
            true => self.attend(self.id, call, wait),
            false => self.port.send(to, Message::Wait { from: self.id, call, wait }),
        }
    }

    fn attend(self: &Rc<Self>, from: ShardId, call: CallId, wait: Box<Wait>) {
        let work = Work::Wait { wait, word: Word::Over };
        self.work(Job::new(from, call, work));
    }

    /// A client that stood in line hears what became of it, when the log lets it.
    pub fn tell(&self, told: Told) {
        let (word, response) = worded(Some(told.what));
        let (from, call) = (told.who.core, CallId::of(told.who.call));
        self.finish(Job { from, call, work: Work::Told(word), response, ticket: None });
    }

    fn answer(&self, to: ShardId, call: CallId, arrival: Arrival) {
        match to == self.id {
            true => self.calls.deliver(call, arrival),
            false => self.port.send(to, Message::Arrival { call, arrival }),
        }
    }

    /// Runs a job to its end, or until a transaction stands in its way.
    fn work(self: &Rc<Self>, mut job: Job) {
        let mut turns = Vec::new();
        let mut meter = Meter::new(self);
        let blocked = self.run(|shard| job.run(shard, &mut turns, &mut meter));
        match blocked {
            Some(ticket) => {
                self.turns.borrow_mut().insert(ticket, Turn::Job(job));
            }
            None => self.finish(job),
        }
        self.take_turns(turns);
    }

    /// Answers a job, now or when the log has reached what it depends on.
    fn finish(&self, mut job: Job) {
        let requires = job.response.ends.iter().map(|(_, lsn)| *lsn).max().unwrap_or_default();
        let release = self.shard.borrow().gate.release(requires);
        match release {
            Release::Wait => {
                self.held.borrow_mut().push(Held { job, requires });
                return;
            }
            Release::Refuse => {
                let line = self.refusal();
                let shard = self.shard.borrow();
                job.response.refuse(&line, |lsn| shard.gate.release(lsn) == Release::Now);
            }
            Release::Now => {}
        }
        let arrival = match job.work {
            Work::Envelope(mut envelope) => {
                envelope.response = job.response;
                Arrival::Back(self.id, envelope)
            }
            Work::Group { unchanged, .. } => Arrival::Ran { unchanged, response: job.response },
            Work::Wait { word, .. } => Arrival::Visited(word, job.response),
            Work::Told(word) => Arrival::Told(word, job.response),
        };
        self.answer(job.from, job.call, arrival);
    }

    fn step(self: &Rc<Self>, from: ShardId, call: CallId, step: Step) {
        let carried = self.run(|shard| shard.order(step));
        match carried {
            Carried::Answer(outcome) => self.outcome(from, call, outcome),
            Carried::Queued(ticket) => {
                self.turns.borrow_mut().insert(ticket, Turn::Coordinator { from, call });
            }
            Carried::Ended { outcome, turn, ending } => {
                self.outcome(from, call, outcome);
                // What the others wait for has not moved.
                self.end_part(from, call, ending);
                self.take_turns(turn);
            }
            Carried::Settled(ending) => {
                self.endings.borrow_mut().push((from, call, ending));
                self.log_moved();
            }
        }
    }

    fn outcome(&self, to: ShardId, call: CallId, outcome: Outcome) {
        self.answer(to, call, Arrival::Outcome(self.id, outcome));
    }

    fn take_turns(self: &Rc<Self>, turns: Vec<Ticket>) {
        for ticket in turns {
            let turn = self.turns.borrow_mut().remove(&ticket);
            match turn {
                Some(Turn::Coordinator { from, call }) => {
                    self.outcome(from, call, Outcome::Granted);
                }
                Some(Turn::Job(mut job)) => {
                    job.ticket = Some(ticket);
                    self.work(job);
                }
                Some(Turn::Waiting(waker)) => {
                    self.turns.borrow_mut().insert(ticket, Turn::Come);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
                Some(Turn::Come) | None => unreachable!("a claim's turn comes once"),
            }
        }
    }

    /// Lines up with a claim, for a task of this core.
    pub async fn line_up(&self, claim: Claim) -> Ticket {
        let ticket = self.shard.borrow_mut().locks.enter(claim);
        if self.shard.borrow().locks.granted(ticket) {
            return ticket;
        }
        self.turns.borrow_mut().insert(ticket, Turn::Waiting(None));
        poll_fn(|context| {
            let mut turns = self.turns.borrow_mut();
            match turns.get_mut(&ticket) {
                Some(Turn::Waiting(waker)) => {
                    *waker = Some(context.waker().clone());
                    Poll::Pending
                }
                _ => {
                    turns.remove(&ticket);
                    Poll::Ready(())
                }
            }
        })
        .await;
        ticket
    }

    /// Gives a claim up.
    pub fn step_aside(self: &Rc<Self>, ticket: Ticket) {
        let turns = self.run(|shard| shard.locks.leave(ticket));
        self.take_turns(turns);
    }

    /// The log has moved, or was broken or healed: looks again at all that waits for it.
    pub fn log_moved(&self) {
        self.end_parts();
        let held = std::mem::take(&mut *self.held.borrow_mut());
        for held in held {
            match self.shard.borrow().gate.release(held.requires) {
                Release::Wait => self.held.borrow_mut().push(held),
                Release::Now | Release::Refuse => self.finish(held.job),
            }
        }
        self.progress.wake();
    }

    fn end_parts(&self) {
        let endings = std::mem::take(&mut *self.endings.borrow_mut());
        endings.into_iter().for_each(|(from, call, ending)| self.end_part(from, call, ending));
    }

    /// Tells a coordinator what became of its part, now or when the log lets it.
    fn end_part(&self, from: ShardId, call: CallId, ending: Ending) {
        let ended = self.shard.borrow().ended(ending, || self.shared.fault());
        match ended {
            Some(outcome) => self.outcome(from, call, outcome),
            None => self.endings.borrow_mut().push((from, call, ending)),
        }
    }

    /// Waits until a reply that depends on an effect of this shard may leave.
    pub async fn released(&self, requires: Lsn) -> Release {
        self.progress
            .until(|| match self.shard.borrow().gate.release(requires) {
                Release::Wait => None,
                release => Some(release),
            })
            .await
    }

    /// The error line for replies that a broken log cannot promise.
    pub fn refusal(&self) -> Vec<u8> {
        let mut line = Vec::new();
        Reply::new(&mut line, Proto::Two).error(&self.shared.fault());
        line
    }
}
