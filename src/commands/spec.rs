//! What a row of the command table says about a command.

use crate::commands::call::{Call, Effect};
use crate::commands::session::{Ask, Shell};
use crate::resp::error::Error;

/// One command or subcommand. COMMAND INFO, DOCS and GETKEYS are answered from it.
#[derive(Debug)]
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

/// A set of command flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(pub u32);

impl Flags {
    /// No flag.
    pub const NONE: Flags = Flags(0);
    /// Changes keys: yields an effect when it does.
    pub const WRITE: Flags = Flags(1);
    /// Reads keys: never yields an effect.
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

    /// Both sets together.
    pub const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
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
}

/// How a command spans shards when its keys are on more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// All arrays one after another (KEYS).
    Concat,
    /// One of those that are not null, chosen at random (RANDOMKEY).
    AnyOne,
    /// 40 hexadecimal digits, combined by exclusive or (DEBUG DIGEST).
    Xor,
}

/// What runs a command.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// A function over one keyspace.
    Keys(fn(&mut Call<'_>) -> Result<Effect, Error>),
    /// A function over the session; what it needs of the server it asks for.
    Session(fn(&mut Shell<'_>) -> Result<Ask, Error>),
    /// A container: only its subcommands run.
    Container,
}
