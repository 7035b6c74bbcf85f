//! SCAN, and the options that it shares with HSCAN.

use crate::base::glob;
use crate::base::ids::Db;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{cursor, integer, is};
use crate::commands::row::{on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec};
use crate::keyspace::keyspace::Keyspace;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::value::Kind;

/// The rows of this file.
pub const ROWS: &[Command] = &[on(
    KeySpec::None,
    Across::Cursor,
    row(
        "scan",
        -2,
        Flags::READONLY,
        scan,
        Docs::of(
            "generic",
            "2.8.0",
            "O(1) a call, O(N) for all N keys.",
            "Lists the keys of the database, some at a time.",
        ),
    ),
)];

/// What is scanned: it decides which options are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned {
    /// A database.
    Keys,
    /// A hash.
    Hash,
    /// A sorted set.
    Scores,
    /// The members of a set.
    Members,
}

/// The options of a SCAN command.
#[derive(Debug)]
pub struct Options<'a> {
    /// About how many elements are visited.
    pub count: usize,
    /// Whether values are left out.
    pub no_values: bool,
    pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

impl<'a> Options<'a> {
    /// Reads all of `words`.
    pub fn read(words: Args<'a>, scanned: Scanned) -> Result<Options<'a>, Error> {
        let mut options = Options { count: 10, no_values: false, pattern: None, kind: None };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            // A word whose argument is missing is not understood at all.
            let has_argument = words.len() > 0;
            if is(word, "COUNT") && has_argument {
                let count = integer(words.next().unwrap_or_default())?;
                options.count = match usize::try_from(count) {
                    Ok(count) if count > 0 => count,
                    _ => return Err(Error::Syntax),
                };
            } else if is(word, "MATCH") && has_argument {
                options.pattern = words.next().filter(|pattern| *pattern != b"*");
            } else if is(word, "TYPE") && has_argument && scanned == Scanned::Keys {
                options.kind = words.next();
            } else if is(word, "NOVALUES") {
                if scanned != Scanned::Hash {
                    return Err(Error::err("NOVALUES option can only be used in HSCAN"));
                }
                options.no_values = true;
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// Does the name match the pattern?
    pub fn matches(&self, name: &[u8]) -> bool {
        self.pattern.is_none_or(|pattern| glob::matches(pattern, name))
    }

    fn takes(&self, kind: Kind) -> bool {
        self.kind.is_none_or(|wanted| is(wanted, kind.name()))
    }
}

/// Writes the two-element reply of a SCAN command; `found` are `count` encoded elements.
pub fn reply_page(reply: &mut Reply<'_>, next: u64, count: usize, found: &[u8]) {
    reply.array(2);
    reply.bulk(itoa::Buffer::new().format(next).as_bytes());
    reply.array(count);
    reply.raw(found);
}

/// Visits every key of a database.
pub fn every_key(keys: &mut Keyspace, db: Db, mut each: impl FnMut(&[u8], Kind)) {
    let mut cursor = 0;
    loop {
        cursor = keys.scan(db, cursor, 1024, &mut each);
        if cursor == 0 {
            return;
        }
    }
}

fn scan(call: &mut Call<'_>) -> Result<Effect, Error> {
    let cursor = cursor(call.args.at(1))?;
    let options = Options::read(call.args.from(2), Scanned::Keys)?;
    let (mut found, mut count) = (Vec::new(), 0);
    let mut names = Reply::new(&mut found, call.reply.proto());
    let next = call.keys.scan(call.db, cursor, options.count, &mut |name, kind| {
        if options.takes(kind) && options.matches(name) {
            names.bulk(name);
            count += 1;
        }
    });
    reply_page(&mut call.reply, next, count, &found);
    Ok(Effect::Nothing)
}
