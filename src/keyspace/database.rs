//! One numbered database: its table, and where a snapshot in progress stands in it.

use crate::base::ids::Db;
use crate::base::mutant::Mutant;
use crate::base::table::{KeyHasher, Place, Table};
use crate::types::value::Value;

/// The mark that tells the two halves of a snapshot apart.
pub const POLARITY: u8 = 1;
/// The mark of a string that was changed in place.
pub const EDITED: u8 = 2;

/// Keys and values.
#[derive(Debug)]
pub struct Database {
    pub(super) table: Table<Value>,
    /// Bytes that the out-of-line values hold.
    pub(super) values: usize,
    /// Has a hash had a deadline of a field? Then bounds of the table cover those too.
    pub(super) fields: bool,
    /// The tour of a snapshot that is not through with this table.
    pub(super) tour: Option<Tour>,
}

/// A snapshot's way through one table.
#[derive(Debug)]
pub struct Tour {
    /// The number that the database had at the cut.
    pub(super) db: Db,
    pub(super) walk: Walk,
}

/// A traversal in hash order of the entries whose polarity is not the current one. It survives
/// any change of the table: what it has listed is listed again when a place became invalid.
#[derive(Debug)]
pub struct Walk {
    places: Vec<Place>,
    next: usize,
    version: u32,
    /// The lowest hash that has not been listed, or nothing at the end.
    from: Option<u64>,
}

/// What a walk came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// An entry that is to be saved.
    At(Place),
    /// The fuel is used up.
    Pause,
    /// The end of the table.
    End,
}

impl Database {
    /// An empty database.
    pub fn new(hasher: KeyHasher) -> Database {
        Database { table: Table::new(hasher), values: 0, fields: false, tour: None }
    }
}

impl Walk {
    /// A walk that begins with the lowest hash.
    pub fn new() -> Walk {
        Walk { places: Vec::new(), next: 0, version: 0, from: Some(0) }
    }

    /// Goes on to the next entry without this polarity. Listing a segment costs fuel.
    pub fn next<X>(&mut self, table: &Table<X>, polarity: u8, fuel: &mut usize) -> Stop {
        loop {
            if let Some(&place) = self.places.get(self.next) {
                if table.version(place.segment()) != self.version {
                    let from = if Mutant::SplitLosesCursor.is_on() { self.from } else { None };
                    self.list(table, from.unwrap_or(place.hash), polarity);
                    *fuel = fuel.saturating_sub(8);
                    continue;
                }
                self.next += 1;
                if table.meta(place).marks & POLARITY != polarity {
                    return Stop::At(place);
                }
                *fuel = fuel.saturating_sub(1);
            } else if let Some(from) = self.from {
                if *fuel == 0 {
                    return Stop::Pause;
                }
                self.list(table, from, polarity);
                *fuel = fuel.saturating_sub(8);
            } else {
                return Stop::End;
            }
        }
    }

    fn list<X>(&mut self, table: &Table<X>, from: u64, polarity: u8) {
        self.from = table.ordered(from, &mut self.places, |marks| marks & POLARITY != polarity);
        self.next = 0;
        self.version = self.places.first().map_or(0, |place| table.version(place.segment()));
    }
}

impl Default for Walk {
    fn default() -> Walk {
        Walk::new()
    }
}
