//! What a row of the command table says about a command.

use crate::commands::call::{Call, Effect};
use crate::commands::excerpt::Excerpts;
use crate::commands::session::{Ask, Shell};
use crate::resp::error::Error;

/// One command or subcommand. COMMAND INFO, DOCS and GETKEYS are answered from it.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Lower case; a subcommand's name is `container|sub`.
    pub name: &'static str,
    /// Arguments with the name(s) included; negative: at least so many.
    pub arity: i8,
    /// What it does, as COMMAND INFO tells it.
    pub flags: Flags,
    /// Where its keys are.
    pub keys: KeySpec,
    /// How it spans shards.
    pub across: Across,
    /// What runs it.
    pub run: Run,
    /// Subcommands, for a container.
    pub subs: &'static [Command],
    /// For COMMAND DOCS: summary, version since, group, complexity.
    pub docs: Docs,
}

impl Command {
    /// A command of the session: no keys, never spans shards.
    pub const fn session(
        name: &'static str,
        arity: i8,
        flags: &[Flags],
        run: fn(&mut Shell<'_>) -> Result<Ask, Error>,
        docs: Docs,
    ) -> Command {
        Command {
            name,
            arity,
            flags: Flags::of(flags),
            keys: KeySpec::None,
            across: Across::Session,
            run: Run::Session(run),
            subs: &[],
            docs,
        }
    }

    /// A command that only holds subcommands.
    pub const fn container(
        name: &'static str,
        flags: &[Flags],
        subs: &'static [Command],
        docs: Docs,
    ) -> Command {
        Command {
            name,
            arity: -2,
            flags: Flags::of(flags),
            keys: KeySpec::None,
            across: Across::Session,
            run: Run::Container,
            subs,
            docs,
        }
    }

    /// A subcommand's own name (`get` of `config|get`); a command's name as it is.
    pub fn own_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, sub)| sub)
    }

    /// What runs on a keyspace, if anything does.
    pub const fn on_keys(&self) -> Option<OfKeys> {
        match self.run {
            Run::Keys(run) | Run::Both(_, run) => Some(run),
            Run::Session(_) | Run::Container => None,
        }
    }

    /// What runs in the session, if anything does.
    pub const fn in_session(&self) -> Option<OfSession> {
        match self.run {
            Run::Session(run) | Run::Both(run, _) => Some(run),
            Run::Keys(_) | Run::Container => None,
        }
    }

    /// Does this number of arguments (names included) fit the arity?
    pub const fn takes(&self, count: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity < 0 { count >= wanted } else { count == wanted }
    }
}

/// The words of COMMAND DOCS.
#[derive(Clone, Copy, Debug)]
pub struct Docs {
    /// One sentence.
    pub summary: &'static str,
    /// The Redis version that brought it.
    pub since: &'static str,
    /// `string`, `hash`, `generic`, `connection`, `server`, `transactions`.
    pub group: &'static str,
    /// Its cost.
    pub complexity: &'static str,
}

impl Docs {
    /// All four, in the order: group, since, complexity, summary.
    pub const fn of(
        group: &'static str,
        since: &'static str,
        complexity: &'static str,
        summary: &'static str,
    ) -> Docs {
        Docs { summary, since, group, complexity }
    }
}

/// A set of command flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// Changes keys: yields an effect when it does.
    pub const WRITE: Flags = Flags(1);
    /// Reads keys: never yields an effect. With WRITE: reads them, and may keep in them what it has
    /// worked out (PFCOUNT); nobody but us calls that a write.
    pub const READONLY: Flags = Flags(1 << 1);
    /// Needs memory: refused above maxmemory.
    pub const DENYOOM: Flags = Flags(1 << 2);
    /// An operator's command.
    pub const ADMIN: Flags = Flags(1 << 3);
    /// Not inside scripts.
    pub const NOSCRIPT: Flags = Flags(1 << 4);
    /// Allowed while loading.
    pub const LOADING: Flags = Flags(1 << 5);
    /// Allowed on a stale replica.
    pub const STALE: Flags = Flags(1 << 6);
    /// Not counted in the slow log.
    pub const SKIP_SLOWLOG: Flags = Flags(1 << 7);
    /// O(1) or O(log n).
    pub const FAST: Flags = Flags(1 << 8);
    /// Allowed before AUTH.
    pub const NO_AUTH: Flags = Flags(1 << 9);
    /// Never queued by MULTI, refused inside it.
    pub const NO_MULTI: Flags = Flags(1 << 10);
    /// Carried out at once inside MULTI instead of being queued (EXEC, DISCARD, ...).
    pub const IN_MULTI: Flags = Flags(1 << 11);

    /// Not allowed while a data set is being loaded in the background.
    pub const NO_ASYNC_LOADING: Flags = Flags(1 << 12);
    /// Allowed while a script runs too long.
    pub const ALLOW_BUSY: Flags = Flags(1 << 13);
    /// Not shown by MONITOR.
    pub const SKIP_MONITOR: Flags = Flags(1 << 14);
    /// May wait before it answers.
    pub const BLOCKING: Flags = Flags(1 << 15);
    /// Not told by COMMAND: its subcommands are words of one plain command (DEBUG).
    pub const OPAQUE: Flags = Flags(1 << 16);
    /// DEBUG and the like: refused unless the configuration allows them.
    pub const PROTECTED: Flags = Flags(1 << 17);

    /// Takes no longer whatever is stored, though Redis does not call it fast.
    pub const SHORT: Flags = Flags(1 << 18);

    /// About channels and their subscribers.
    pub const PUBSUB: Flags = Flags(1 << 19);

    /// Reaches others though it writes no key (PUBLISH, EVAL): not in scripts that only read.
    pub const MAY_REPLICATE: Flags = Flags(1 << 20);
    /// It may have keys, or none.
    pub const ANY_KEYS: Flags = Flags(1 << 21);
    /// About the libraries of functions.
    pub const LIBRARIES: Flags = Flags(1 << 22);

    /// All the given flags.
    pub const fn of(flags: &[Flags]) -> Flags {
        let mut all = Flags::NONE;
        let mut rest = flags;
        while let [first, tail @ ..] = rest {
            all = all.or(*first);
            rest = tail;
        }
        all
    }
    /// Both sets together.
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
    /// Does Redis call it a write?
    pub const fn is_told_as_write(self) -> bool {
        self.has(Flags::WRITE) && !self.has(Flags::READONLY)
    }
    /// Are all flags of `other` in this set?
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Which arguments are keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySpec {
    /// None.
    None,
    /// From argument `first` to `last` (negative: from the end) every `step` arguments.
    At { first: u8, last: i8, step: u8 },
    /// Argument `count` says how many keys follow it; `target` is one more, before it
    /// (ZUNIONSTORE).
    Counted { target: Option<u8>, count: u8 },
    /// The first argument, and what follows the last STORE or STOREDIST from argument `from` on.
    Stored { from: u8 },
    /// The first half of what follows the word STREAMS, looked for from argument `from` on.
    Streams { from: u8 },
}

/// How a command spans shards when its keys are on more than one.
#[derive(Clone, Copy, Debug)]
pub enum Across {
    /// It has one key, or none: it never does.
    One,
    /// Each shard runs it with its own keys; the replies are merged.
    Split(Merge),
    /// Every shard runs it; the replies are merged.
    All(Merge),
    /// SCAN: the cursor names the shard.
    Cursor,
    /// Its keys are brought together in a scratch keyspace, it runs there, and what it changed is
    /// written back to the owners (RENAME, COPY, MSETNX, LCS).
    Gather,
    /// The same with a part of each value, and what it did to these is done to the values (LMOVE).
    Excerpts(Excerpts),
    /// The session runs it; no key is touched.
    Session,
}

/// How the replies of several shards become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The first one; all are equal (`+OK`).
    Same,
    /// The sum of integers.
    Sum,
    /// Array elements in the order of the keys in the request (MGET).
    ByKey,
    /// What was found, each with its key's name, in the order of the keys in the request; null when
    /// that is nothing (XREAD).
    Found,
    /// All arrays one after another (KEYS).
    Concat,
    /// One of those that are not null, chosen at random (RANDOMKEY).
    AnyOne,
    /// 40 hexadecimal digits, combined by exclusive or (DEBUG DIGEST).
    Xor,
}

/// A handler over one keyspace.
pub type OfKeys = fn(&mut Call<'_>) -> Result<Effect, Error>;
/// A handler over the session.
pub type OfSession = fn(&mut Shell<'_>) -> Result<Ask, Error>;

/// What runs a command.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// A function over one keyspace.
    Keys(OfKeys),
    /// A function over the session; what it needs of the server it asks for.
    Session(OfSession),
    /// The session asks the server for it, which decides and then has the same request run on the
    /// keyspace of the shard that keeps what it is about: FUNCTION LOAD and its kin.
    Both(OfSession, OfKeys),
    /// A container: only its subcommands run.
    Container,
}
