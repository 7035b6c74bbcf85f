//! The one table of commands, and how a request finds its row, its errors and its keys.

use std::ops::Range;

use crate::base::number::parse_i64;
use crate::commands::index::Index;
use crate::commands::parse::is;
use crate::commands::spec::{Command, Flags, KeySpec};
use crate::commands::{
    absent, acl, admin, backup, bitfield, bitmap, client, command, connection, database, debugging,
    dump, expire, function, geo, geo_search, hash, hash_expire, hash_get, hash_random, hyperloglog,
    key, lcs, list, list_move, list_wait, object, pubsub, scan, script, set, set_algebra,
    set_random, sort, stream, stream_claim, stream_group, stream_info, stream_read, string,
    string_number, string_range, transaction, zset, zset_algebra, zset_pop, zset_range, zset_wait,
};
use crate::resp::args::Args;
use crate::resp::error::Error;

/// Every command, grouped by the file that gives it its meaning.
pub const COMMANDS: &[&[Command]] = &[
    string::ROWS,
    string_number::ROWS,
    string_range::ROWS,
    lcs::ROWS,
    bitmap::ROWS,
    bitfield::ROWS,
    hyperloglog::ROWS,
    hash::ROWS,
    hash_random::ROWS,
    hash_expire::ROWS,
    hash_get::ROWS,
    list::ROWS,
    list_move::ROWS,
    list_wait::ROWS,
    zset::ROWS,
    zset_range::ROWS,
    zset_pop::ROWS,
    zset_wait::ROWS,
    zset_algebra::ROWS,
    geo::ROWS,
    geo_search::ROWS,
    set::ROWS,
    set_algebra::ROWS,
    set_random::ROWS,
    stream::ROWS,
    stream_read::ROWS,
    stream_group::ROWS,
    stream_claim::ROWS,
    stream_info::ROWS,
    sort::ROWS,
    key::ROWS,
    expire::ROWS,
    dump::ROWS,
    scan::ROWS,
    database::ROWS,
    object::ROWS,
    connection::ROWS,
    client::ROWS,
    command::ROWS,
    transaction::ROWS,
    pubsub::ROWS,
    script::ROWS,
    function::ROWS,
    admin::ROWS,
    backup::ROWS,
    debugging::ROWS,
    absent::ROWS,
    acl::rows::ROWS,
];

/// All rows; subcommands are inside their containers.
pub fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().flat_map(|rows| rows.iter())
}

/// The row of a command, in whatever case its name is written.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    INDEX.find(name)
}

/// The row of a container's subcommand.
pub fn find_sub(container: &'static Command, name: &[u8]) -> Option<&'static Command> {
    container.subs.iter().find(|sub| sub.own_name().as_bytes().eq_ignore_ascii_case(name))
}

/// The row of a full name, `config|get` for a subcommand. Not for requests.
pub fn by_full_name(name: &[u8]) -> Option<&'static Command> {
    match name.iter().position(|byte| *byte == b'|') {
        None => find(name),
        Some(at) => find_sub(find(name.get(..at)?)?, name.get(at + 1..)?),
    }
}

/// The row of the command or subcommand that a request names; its number of arguments fits.
pub fn resolve(args: Args<'_>) -> Result<&'static Command, Error> {
    let row = locate(args)?;
    if row.takes(args.len()) { Ok(row) } else { Err(arity_error(row, args)) }
}

fn arity_error(row: &Command, args: Args<'_>) -> Error {
    match row.name.split_once('|') {
        // DEBUG is one command in Redis: it compares words and counts in one breath.
        Some((container @ "debug", _)) => Error::subcommand_syntax(container, args.at(1)),
        _ => Error::WrongArity(row.name.to_owned()),
    }
}

fn unknown_subcommand(container: &Command, name: &[u8]) -> Error {
    if container.flags.has(Flags::OPAQUE) {
        Error::subcommand_syntax(container.name, name)
    } else {
        Error::unknown_subcommand(container.name, name)
    }
}

/// The row that a request names, whatever its number of arguments.
pub fn locate(args: Args<'_>) -> Result<&'static Command, Error> {
    let Some(row) = find(args.at(0)) else {
        return Err(Error::unknown_command(args));
    };
    match args.get(1) {
        Some(name) if !row.subs.is_empty() => match find_sub(row, name) {
            Some(sub) => Ok(sub),
            None => Err(unknown_subcommand(row, name)),
        },
        _ => Ok(row),
    }
}

/// The positions of a request's keys.
#[derive(Clone, Debug)]
pub struct Keys {
    before: Option<usize>,
    range: std::iter::StepBy<Range<usize>>,
    after: Option<usize>,
}

impl Iterator for Keys {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.before.take().or_else(|| self.range.next()).or_else(|| self.after.take())
    }
}

/// The positions of a request's keys. The request has passed `resolve`.
pub fn keys(command: &Command, args: Args<'_>) -> Keys {
    let (mut before, mut after) = (None, None);
    let (range, step) = match command.keys {
        KeySpec::None => (0..0, 1),
        KeySpec::Counted { target, count } => {
            let first = usize::from(count) + 1;
            let count = parse_i64(args.at(usize::from(count)));
            let count = count.and_then(|count| usize::try_from(count).ok());
            // A count that cannot be names no keys: the handler has the error text.
            let count = count.filter(|count| *count <= args.len().saturating_sub(first));
            if count.is_some() {
                before = target.map(usize::from);
            }
            (first..first + count.unwrap_or(0), 1)
        }
        KeySpec::Stored { from } => {
            after = (usize::from(from)..args.len().saturating_sub(1))
                .rfind(|at| is_store(args.at(*at)));
            after = after.map(|at| at + 1);
            (1..2, 1)
        }
        KeySpec::Streams { from } => {
            let mut words = usize::from(from)..args.len();
            let word = words.find(|at| is(args.at(*at), "STREAMS"));
            let first = word.map_or(args.len(), |word| word + 1);
            (first..first + (args.len() - first) / 2, 1)
        }
        KeySpec::At { first, last, step } => {
            let end = match usize::try_from(last) {
                Ok(last) => last + 1,
                Err(_) => (args.len() + 1).saturating_sub(usize::from(last.unsigned_abs())),
            };
            (usize::from(first)..end.min(args.len()), usize::from(step.max(1)))
        }
    };
    Keys { before, range: range.step_by(step), after }
}

fn is_store(word: &[u8]) -> bool {
    is(word, "STORE") || is(word, "STOREDIST")
}

static INDEX: Index = Index::of(COMMANDS);

#[cfg(test)]
mod effects;
#[cfg(test)]
mod tests;
