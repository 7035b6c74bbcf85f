//! What the table of commands is to the rules of users: a number for each command, its categories,
//! how it uses its keys, and which of its arguments are channels. Made once, since looking it up in
//! the lists of `hints.rs` would be too slow for each command of a limited user.

use std::collections::HashMap;
use std::ops::Range;

use ahash::RandomState;

use crate::commands::command::{access_in, told_subs};
use crate::commands::hints::{self, CATEGORIES};
use crate::commands::spec::{Command, KeySpec};
use crate::commands::table;
use crate::resp::args::Args;

/// All commands and subcommands, each container right before its own.
#[derive(Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
    numbers: HashMap<&'static str, usize, RandomState>,
}

/// One command or subcommand.
#[derive(Debug)]
pub struct Entry {
    /// Its row.
    pub row: &'static Command,
    /// Which of its arguments are channels.
    pub channels: Channels,
    /// How many entries behind it are its subcommands.
    subs: usize,
    /// A bit for each of `CATEGORIES`.
    categories: u32,
    needs: Vec<Access>,
    /// Its arguments are keys: those of channels look like keys only to a cluster.
    has_keys: bool,
    /// How it uses its key depends on its other arguments.
    varies: bool,
}

/// What is done to a key, or may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Its value is told.
    pub reads: bool,
    /// It is changed.
    pub writes: bool,
}

/// Which arguments of a command are channels that have to be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channels {
    /// None.
    None,
    /// The first.
    First,
    /// All.
    All,
    /// All, and they are patterns.
    Patterns,
}

impl Access {
    /// All that can be done.
    pub const BOTH: Access = Access { reads: true, writes: true };

    /// From the words of COMMAND INFO.
    fn of(words: &str) -> Access {
        let says = |word| words.split(' ').any(|one| one == word);
        let writes = says("insert") || says("delete") || says("update");
        Access { reads: says("access"), writes }
    }

    /// Does who may do this may do that?
    pub fn covers(self, other: Access) -> bool {
        (self.reads || !other.reads) && (self.writes || !other.writes)
    }

    /// Both together.
    #[must_use]
    pub fn or(self, other: Access) -> Access {
        Access { reads: self.reads || other.reads, writes: self.writes || other.writes }
    }
}

impl Channels {
    fn of(name: &str) -> Channels {
        match name {
            "publish" | "spublish" => Channels::First,
            "subscribe" | "ssubscribe" => Channels::All,
            "psubscribe" => Channels::Patterns,
            _ => Channels::None,
        }
    }

    /// The positions of a request's channels.
    pub fn positions(self, args: Args<'_>) -> Range<usize> {
        match self {
            Channels::None => 0..0,
            Channels::First => 1..2.min(args.len()),
            Channels::All | Channels::Patterns => 1..args.len(),
        }
    }
}

impl Entry {
    fn new(row: &'static Command) -> Entry {
        let bit = |(at, name): (usize, &&str)| u32::from(hints::in_category(row, name)) << at;
        let access = hints::access(row);
        // What lies between the first key and the one after STORE is not in the request.
        let hidden = !hints::unknown_keys(row).is_empty();
        let last = access.len().saturating_sub(1);
        let told = access.iter().enumerate().filter(|(at, _)| !hidden || *at == 0 || *at == last);
        Entry {
            row,
            channels: Channels::of(row.name),
            subs: told_subs(row).len(),
            categories: CATEGORIES.iter().enumerate().map(bit).sum(),
            needs: told.map(|(_, words)| Access::of(words)).collect(),
            has_keys: row.keys != KeySpec::None && !access.contains(&"not_key"),
            varies: access.iter().any(|words| words.contains("variable_flags")),
        }
    }

    /// What this request does to its nth key.
    pub fn need(&self, args: Args<'_>, nth: usize) -> Access {
        match self.varies {
            true => Access::of(access_in(self.row, args, nth)),
            false => self.needs.get(nth).or(self.needs.last()).copied().unwrap_or_default(),
        }
    }

    /// The positions of a request's keys, as far as they have to be allowed. DEBUG has none.
    pub fn keys(&self, args: Args<'_>) -> Vec<usize> {
        if self.has_keys { table::keys(self.row, args).collect() } else { Vec::new() }
    }

    /// Has it subcommands?
    pub fn is_container(&self) -> bool {
        self.subs > 0
    }

    /// Is it one?
    pub fn is_sub(&self) -> bool {
        self.row.name.contains('|')
    }
}

impl Catalogue {
    /// Of the one table of commands.
    pub fn new() -> Catalogue {
        // The names are our own: nobody can make them collide.
        let numbers = HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4));
        let mut catalogue = Catalogue { entries: Vec::new(), numbers };
        for row in table::all() {
            let number = catalogue.entries.len();
            catalogue.add(row);
            match told_subs(row) {
                // The subcommands of DEBUG are words of one command.
                [] => row.subs.iter().for_each(|sub| {
                    catalogue.numbers.insert(sub.name, number);
                }),
                subs => subs.iter().for_each(|sub| catalogue.add(sub)),
            }
        }
        catalogue
    }

    fn add(&mut self, row: &'static Command) {
        self.numbers.insert(row.name, self.entries.len());
        self.entries.push(Entry::new(row));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The entry of a number.
    pub fn entry(&self, number: usize) -> Option<&Entry> {
        self.entries.get(number)
    }

    /// The number and entry of a row; a subcommand of DEBUG is DEBUG.
    pub fn of(&self, row: &Command) -> Option<(usize, &Entry)> {
        let number = *self.numbers.get(row.name)?;
        Some((number, self.entry(number)?))
    }

    /// The number of a full name, in any case (`config|get`).
    pub fn number(&self, name: &[u8]) -> Option<usize> {
        let name = str::from_utf8(name).ok()?.to_ascii_lowercase();
        let number = *self.numbers.get(name.as_str())?;
        (self.entry(number)?.row.name == name).then_some(number)
    }

    /// A command and its subcommands.
    pub fn family(&self, number: usize) -> Range<usize> {
        number..number + 1 + self.entry(number).map_or(0, |entry| entry.subs)
    }

    /// The commands of a category, in whatever order, some perhaps twice: with a container come all
    /// its subcommands.
    pub fn of_category(&self, category: usize) -> impl Iterator<Item = usize> {
        let inside = move |entry: &Entry| entry.categories >> category & 1 == 1;
        let families = self.entries.iter().enumerate().filter(move |(_, entry)| inside(entry));
        families.flat_map(|(number, _)| self.family(number))
    }
}

impl Default for Catalogue {
    fn default() -> Catalogue {
        Catalogue::new()
    }
}

/// The number of a category, in any case.
pub fn category(name: &[u8]) -> Option<usize> {
    CATEGORIES.iter().position(|known| known.as_bytes().eq_ignore_ascii_case(name))
}
