//! A list that is open for changes.

use crate::base::ids::Db;
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::keyspace::opened::Opened;
use crate::types::list::List;
use crate::types::parts::Remains;
use crate::types::value::Value;

/// A list that is open for changes (`Opened` says what happens when it is dropped).
#[derive(Debug)]
pub struct ListMut<'a>(Opened<'a>);

fn is_list(value: &Value) -> bool {
    matches!(value, Value::List(_))
}

impl Keyspace {
    /// The list at the key, for changes.
    pub fn list_mut(&mut self, db: Db, key: &[u8]) -> Result<Option<ListMut<'_>>, WrongType> {
        Ok(self.opened(db, key, is_list)?.map(ListMut))
    }

    /// The list at the key, made if there is none.
    pub fn list_or_new(&mut self, db: Db, key: &[u8]) -> Result<ListMut<'_>, WrongType> {
        self.opened_or_new(db, key, is_list, || Value::List(List::default())).map(ListMut)
    }
}

impl ListMut<'_> {
    /// The list as it is.
    pub fn list(&self) -> &List {
        match self.0.value() {
            Some(Value::List(list)) => list,
            _ => unreachable!("the type was looked at when it was opened"),
        }
    }

    /// Puts an element before the one at `index`, or at the end.
    pub fn insert(&mut self, index: usize, element: &[u8]) {
        self.change().insert(index, element);
    }

    /// Puts another element in the place of one that is there.
    pub fn replace(&mut self, index: usize, element: &[u8]) {
        self.change().replace(index, element);
    }

    /// Removes the elements from one index up to another; what they held is freed in slices.
    pub fn remove(&mut self, from: usize, to: usize) {
        let before = self.list().bytes();
        if let Some(remains) = self.change().remove(from, to) {
            let bytes = before.saturating_sub(self.list().bytes());
            self.0.keys.graveyard.bury_remains(Remains::List(remains), bytes);
        }
    }

    fn change(&mut self) -> &mut List {
        match self.0.change() {
            Some(Value::List(list)) => list,
            _ => unreachable!("the type was looked at when it was opened"),
        }
    }
}
