//! What a session asks of a shard, as plain data that can travel between cores: single commands in
//! envelopes, and the steps of a transaction.

use crate::base::ids::{Db, Lsn, ShardId, TxId};
use crate::base::time::Millis;
use crate::base::turnstile::Turnstile;
use crate::commands::excerpt::Excerpt;
use crate::commands::session::Watched;
use crate::commands::spec::Command;
use crate::commands::table;
use crate::limits::SPARE_BYTES;
use crate::observe::slowlog::Slow;
use crate::resp::args::{Args, OwnedArgs, Span};
use crate::resp::error::Error;
use crate::resp::reply::Proto;

/// One command that owns its arguments.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its row.
    pub command: &'static Command,
    /// Its arguments, the name first.
    pub args: OwnedArgs,
    /// The database it was sent to.
    pub db: Db,
}

/// Neighbouring commands of one pipeline that go to the same shard, packed in one allocation each.
/// On the way back it carries the replies to those that have been run, and its memory serves again.
#[derive(Debug, Default)]
pub struct Envelope {
    /// The first command that has not been run: if the replies became too many, the others are run
    /// on another journey, when these have left.
    pub next: usize,
    /// The replies of this journey.
    pub response: Response,
    bytes: Vec<u8>,
    spans: Vec<Span>,
    calls: Vec<Packed>,
}

#[derive(Debug)]
struct Packed {
    command: &'static Command,
    db: Db,
    proto: Proto,
    tracker: Option<Tracker>,
    first: u32,
    count: u32,
}

/// A session with CLIENT TRACKING, as a shard that runs its commands knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracker {
    /// CLIENT ID.
    pub client: u64,
    /// Whether what it reads is remembered.
    pub keeps: Keeps,
    /// It wants to hear nothing of its own changes (NOLOOP).
    pub quiet: bool,
}

/// Whether the keys that a session reads are remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// They are.
    Reads,
    /// They are not.
    Nothing,
}

/// A session that waits for keys: where its connection is, and which of its waits this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Its core.
    pub core: ShardId,
    /// The name of its questions there.
    pub call: u32,
    /// Counts the waits of this session.
    pub number: u64,
}

impl Waiter {
    /// The session, whichever wait it is.
    pub fn key(self) -> (ShardId, u32) {
        (self.core, self.call)
    }
}

/// A command that may wait, as it is brought to one shard (shard/waiting.rs).
#[derive(Clone, Debug)]
pub struct Wait {
    /// Whose.
    pub who: Waiter,
    /// The command with the keys that live on the shard.
    pub item: Item,
    /// The protocol of its reply.
    pub proto: Proto,
    /// Whether it tracks.
    pub tracker: Option<Tracker>,
    /// Lets one shard, or the session, through.
    pub turnstile: Turnstile,
    /// The shard cannot run it alone: it invites the session to do so.
    pub invites: bool,
}

impl Wait {
    /// The keys that it waits for: of those that it moves elements between, the first.
    pub fn names(&self) -> Vec<(Db, Vec<u8>)> {
        let args = self.item.args.args();
        let moves = matches!(self.item.command.name, "blmove" | "brpoplpush");
        let most = if moves { 1 } else { usize::MAX };
        let keys = table::keys(self.item.command, args).take(most);
        keys.map(|at| (self.item.db, args.at(at).to_vec())).collect()
    }
}

/// The replies to an envelope.
#[derive(Debug, Default)]
pub struct Response {
    /// All replies one after another.
    pub bytes: Vec<u8>,
    /// For each command: where its reply ends, and the effects it depends on.
    pub ends: Vec<(u32, Lsn)>,
    /// Replies were replaced because the log is broken.
    pub refused: bool,
    /// Commands that were slow: the session's core keeps the slow log.
    pub slow: Vec<Slow>,
}

/// Whether commands announce events: those that put back what a command has done elsewhere do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Voice {
    /// They do.
    #[default]
    Loud,
    /// They do not.
    Quiet,
}

/// How a transaction ends on a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It has only read.
    Read,
    /// It may have written on these shards; each logs its part, naming all of them.
    Write(Vec<ShardId>),
}

/// One step of a transaction on one shard.
#[derive(Clone, Debug)]
pub enum Order {
    /// Line up for these keys (or all of them); one that writes with the shard that coordinates it.
    Claim { keys: Vec<(Db, Vec<u8>)>, whole: bool, writer: Option<ShardId> },
    /// Have the watched keys stayed as they were?
    Check(Vec<Watched>),
    /// Run these commands; each reply comes back under its number.
    Run { items: Vec<(usize, Item)>, proto: Proto, voice: Voice, finish: Option<Finish> },
    /// Give the commands that rebuild these keys, or the parts of them that are wanted.
    Export(Vec<Wanted>),
    /// Tell which keys a command looks up that its arguments only describe, over a scratch keyspace
    /// made by `world`.
    LookUp { item: Item, world: Vec<(Db, OwnedArgs)> },
    /// Run one command over these keys in a scratch keyspace made by `world`.
    Gather { item: Item, proto: Proto, keys: Vec<Wanted>, world: Vec<(Db, OwnedArgs)> },
    /// Give the claim up; after `Check` failed, or when nothing is left to run.
    Leave(Finish),
    /// The transaction is durable everywhere.
    Settle,
}

/// A key that a gathered command uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its database and name.
    pub name: (Db, Vec<u8>),
    /// What of it the command has to see.
    pub excerpt: Excerpt,
}

/// A key that a gathered command has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its database and name.
    pub name: (Db, Vec<u8>),
    /// The commands that change it likewise where it lives.
    pub commands: Vec<OwnedArgs>,
}

/// The answer to an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is the transaction's turn on this shard.
    Granted,
    /// To `Check`.
    Checked { unchanged: bool },
    /// To `Run`: encoded replies under their numbers.
    Ran(Vec<(usize, Vec<u8>)>),
    /// To `Export`.
    Exported(Vec<(Db, OwnedArgs)>),
    /// To `LookUp`.
    LookedUp(Vec<Vec<u8>>),
    /// To `Gather`: the encoded reply and what changed.
    Gathered { reply: Vec<u8>, changes: Vec<Change> },
    /// To `Leave`.
    Left,
    /// The part on this shard is as durable as the policy asks.
    Safe,
    /// The part and all that it follows may be acknowledged.
    Acknowledged,
    /// Writes are refused, or the log is broken and nothing is promised: what the client is told.
    Refused(Error),
}

/// An order on its way, and whose it is.
#[derive(Clone, Debug)]
pub struct Step {
    /// The transaction.
    pub tx: TxId,
    /// Its time, the same on every shard.
    pub now: Millis,
    /// Whose, if that session tracks.
    pub tracker: Option<Tracker>,
    /// What to do.
    pub order: Order,
}

impl Item {
    /// A copy of a command that is being read.
    pub fn of(command: &'static Command, args: Args<'_>, db: Db) -> Item {
        Item { command, args: args.to_owned(), db }
    }
}

impl Envelope {
    /// Forgets everything but its memory.
    pub fn clear(&mut self) {
        let Envelope { next, response, bytes, spans, calls } = self;
        *next = 0;
        response.clear();
        bytes.clear();
        spans.clear();
        calls.clear();
    }

    /// Gives the memory of its arguments back, if it is much and all commands have been run.
    pub fn shed(&mut self) {
        if self.is_run() && self.bytes.capacity() > SPARE_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// Bytes of memory that it holds.
    pub fn held(&self) -> usize {
        let Response { bytes, ends, slow, .. } = &self.response;
        self.bytes.capacity()
            + size_of::<Span>() * self.spans.capacity()
            + size_of::<Packed>() * self.calls.capacity()
            + bytes.capacity()
            + size_of::<(u32, Lsn)>() * ends.capacity()
            + size_of::<Slow>() * slow.capacity()
    }

    /// Has every command been run?
    pub fn is_run(&self) -> bool {
        self.next >= self.calls.len()
    }

    /// Adds a command. The protocol and whether the session tracks may change on the way, with
    /// HELLO and CLIENT TRACKING.
    pub fn push(
        &mut self,
        (command, args, db): (&'static Command, Args<'_>, Db),
        (proto, tracker): (Proto, Option<Tracker>),
    ) {
        let first = self.spans.len() as u32;
        for arg in args.iter() {
            let start = self.bytes.len() as u32;
            self.bytes.extend_from_slice(arg);
            self.spans.push(Span { start, len: arg.len() as u32 });
        }
        let count = args.len() as u32;
        self.calls.push(Packed { command, db, proto, tracker, first, count });
    }

    /// How many commands.
    pub fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Bytes of arguments.
    pub fn byte_len(&self) -> usize {
        self.bytes.len()
    }

    /// The protocol of the reply to command `index`, and who sent it, if that session tracks.
    pub fn session_of(&self, index: usize) -> Option<(Proto, Option<Tracker>)> {
        self.calls.get(index).map(|packed| (packed.proto, packed.tracker))
    }

    /// Command `index`, with its arguments.
    pub fn get(&self, index: usize) -> Option<(&'static Command, Args<'_>, Db)> {
        let packed = self.calls.get(index)?;
        let spans =
            self.spans.get(packed.first as usize..(packed.first + packed.count) as usize)?;
        Some((packed.command, Args::new(&self.bytes, spans), packed.db))
    }
}

impl Response {
    /// Forgets everything but its memory.
    pub fn clear(&mut self) {
        let Response { bytes, ends, refused, slow } = self;
        bytes.clear();
        ends.clear();
        slow.clear();
        *refused = false;
    }

    /// The log broke: replies that are not safe (as `safe` judges) become `line`.
    pub fn refuse(&mut self, line: &[u8], safe: impl Fn(Lsn) -> bool) {
        let slow = std::mem::take(&mut self.slow);
        let mut whole = Response { refused: true, slow, ..Response::default() };
        for (index, (_, requires)) in self.ends.iter().enumerate() {
            let reply = if safe(*requires) { self.get(index).unwrap_or(line) } else { line };
            whole.bytes.extend_from_slice(reply);
            whole.ends.push((whole.bytes.len() as u32, *requires));
        }
        *self = whole;
    }

    /// Reply `index`.
    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before)?.0 as usize,
        };
        self.bytes.get(start..self.ends.get(index)?.0 as usize)
    }
}
