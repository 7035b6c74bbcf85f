//! The one table of commands, and how a request finds its row, its errors and its keys.

use std::ops::Range;

use crate::commands::spec::{Command, Flags, KeySpec};
use crate::commands::{
    absent, admin, client, command, connection, database, debugging, expire, hash, hash_random,
    key, lcs, object, scan, string, string_number, string_range, transaction,
};
use crate::resp::args::Args;
use crate::resp::error::Error;

/// Every command, grouped by the file that gives it its meaning.
pub const COMMANDS: &[&[Command]] = &[
    string::ROWS,
    string_number::ROWS,
    string_range::ROWS,
    lcs::ROWS,
    hash::ROWS,
    hash_random::ROWS,
    key::ROWS,
    expire::ROWS,
    scan::ROWS,
    database::ROWS,
    object::ROWS,
    connection::ROWS,
    client::ROWS,
    command::ROWS,
    transaction::ROWS,
    admin::ROWS,
    debugging::ROWS,
    absent::ROWS,
];

/// All rows; subcommands are inside their containers.
pub fn all() -> impl Iterator<Item = &'static Command> {
    COMMANDS.iter().flat_map(|rows| rows.iter())
}

/// The row of a command, in whatever case its name is written.
pub fn find(name: &[u8]) -> Option<&'static Command> {
    let mut at = hash(name) as usize % SLOTS;
    while let Some(Some(row)) = INDEX.get(at) {
        if row.name.as_bytes().eq_ignore_ascii_case(name) {
            return Some(row);
        }
        at = (at + 1) % SLOTS;
    }
    None
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

/// The positions of a request's keys. The request has passed `resolve`.
pub fn keys(command: &Command, args: Args<'_>) -> std::iter::StepBy<Range<usize>> {
    let (range, step) = match command.keys {
        KeySpec::None => (0..0, 1),
        KeySpec::At { first, last, step } => {
            let end = match usize::try_from(last) {
                Ok(last) => last + 1,
                Err(_) => (args.len() + 1).saturating_sub(usize::from(last.unsigned_abs())),
            };
            (usize::from(first)..end.min(args.len()), usize::from(step.max(1)))
        }
    };
    range.step_by(step)
}

// The index: open addressing over a power of two, filled at compile time, at most half full.

const SLOTS: usize = 512;

static INDEX: [Option<&'static Command>; SLOTS] = build();

const fn build() -> [Option<&'static Command>; SLOTS] {
    let mut slots = [None; SLOTS];
    let mut used = 0;
    let mut groups = COMMANDS;
    while let [rows, other_groups @ ..] = groups {
        let mut rows = *rows;
        while let [row, tail @ ..] = rows {
            place(&mut slots, row);
            used += 1;
            rows = tail;
        }
        groups = other_groups;
    }
    assert!(used * 2 <= SLOTS, "a fuller table makes misses slow: double SLOTS");
    slots
}

#[expect(clippy::indexing_slicing, reason = "runs at compile time; the index is reduced")]
const fn place(slots: &mut [Option<&'static Command>; SLOTS], row: &'static Command) {
    let mut at = hash(row.name.as_bytes()) as usize % SLOTS;
    while slots[at].is_some() {
        at = (at + 1) % SLOTS;
    }
    slots[at] = Some(row);
}

/// Mixes the length with the first and last eight bytes, letters in either case alike. Names of
/// up to 16 bytes are read whole; longer ones may collide, which costs one more comparison.
const fn hash(name: &[u8]) -> u32 {
    let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(head), Some(tail)) => {
                (u32::from_le_bytes(*head) as u64, u32::from_le_bytes(*tail) as u64)
            }
            _ => match name {
                [a] => (*a as u64, 0),
                [a, b] => (*a as u64, *b as u64),
                [a, b, c] => (*a as u64 | (*c as u64) << 8, *b as u64),
                _ => (0, 0),
            },
        },
    };
    const CASE: u64 = 0x2020_2020_2020_2020;
    let mixed = (head | CASE).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (tail | CASE).wrapping_mul(0xc2b2_ae3d_27d4_eb4f).rotate_left(29)
        ^ name.len() as u64;
    (mixed.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 32) as u32
}

#[cfg(test)]
mod effects;
#[cfg(test)]
mod tests;
