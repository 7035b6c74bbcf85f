//! Builds the rows of commands: those that run on a keyspace, and those of the session.

use crate::commands::call::{Call, Effect};
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec, Run};
use crate::resp::error::Error;

/// A handler of a command that runs on a keyspace.
pub type Handler = fn(&mut Call<'_>) -> Result<Effect, Error>;

/// A handler of a command of the session.
pub type SessionHandler = fn(&mut Shell<'_>) -> Result<Ask, Error>;

/// One key, the first argument.
pub const FIRST: KeySpec = KeySpec::At { first: 1, last: 1, step: 1 };
/// Two keys, the first two arguments.
pub const FIRST_TWO: KeySpec = KeySpec::At { first: 1, last: 2, step: 1 };
/// All arguments are keys.
pub const EVERY: KeySpec = KeySpec::At { first: 1, last: -1, step: 1 };
/// Keys and values by turns.
pub const EVERY_SECOND: KeySpec = KeySpec::At { first: 1, last: -1, step: 2 };
/// One key, the argument after a subcommand's name.
pub const SECOND: KeySpec = KeySpec::At { first: 2, last: 2, step: 1 };

/// `write fast`
pub const WRITE_FAST: Flags = Flags::of(&[Flags::WRITE, Flags::FAST]);
/// `write denyoom`
pub const WRITE_OOM: Flags = Flags::of(&[Flags::WRITE, Flags::DENYOOM]);
/// `write denyoom`, of something that is done with at once.
pub const WRITE_OOM_SHORT: Flags = Flags::of(&[WRITE_OOM, Flags::SHORT]);
/// `write denyoom fast`
pub const WRITE_OOM_FAST: Flags = Flags::of(&[Flags::WRITE, Flags::DENYOOM, Flags::FAST]);
/// `readonly fast`
pub const READ_FAST: Flags = Flags::of(&[Flags::READONLY, Flags::FAST]);

/// `noscript loading stale`: what every client may ask of the server at any time.
pub const ANY: &[Flags] = &[Flags::NOSCRIPT, Flags::LOADING, Flags::STALE];
/// `admin noscript loading stale`: what operators may.
pub const ADMIN: &[Flags] = &[Flags::ADMIN, Flags::NOSCRIPT, Flags::LOADING, Flags::STALE];
/// `loading stale`: the help of a command.
pub const HELP: &[Flags] = &[Flags::LOADING, Flags::STALE];

/// Its first argument says how many keys follow.
pub const COUNTED: KeySpec = KeySpec::Counted { target: None, count: 1 };
/// A target, then how many keys follow.
pub const COUNTED_INTO: KeySpec = KeySpec::Counted { target: Some(1), count: 2 };

/// A command with one key, its first argument; `on` and `over` change that.
pub const fn row(name: &'static str, arity: i8, flags: Flags, run: Handler, docs: Docs) -> Command {
    let run = Run::Keys(run);
    Command { name, arity, flags, keys: FIRST, across: Across::One, run, subs: &[], docs }
}

/// A command of the session.
pub const fn session_row(
    name: &'static str,
    arity: i8,
    flags: &[Flags],
    run: SessionHandler,
    docs: Docs,
) -> Command {
    Command::session(name, arity, flags, run, docs)
}

/// The same command with other keys.
pub const fn on(keys: KeySpec, across: Across, row: Command) -> Command {
    Command { keys, across, ..row }
}
