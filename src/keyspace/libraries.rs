//! The libraries of functions: texts by name, beside the keys of the shard that keeps them.
//!
//! No database holds them, so nothing that empties databases touches them, and they never expire.
//! A cut shares them: the first change after it copies the table of their names.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::keyspace::item::{Item, Sink};
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::load::BadLoad;

type Texts = BTreeMap<Box<[u8]>, Arc<[u8]>>;

/// Texts by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Libraries {
    texts: Arc<Texts>,
}

impl Libraries {
    /// The text of this name.
    pub fn get(&self, name: &[u8]) -> Option<&Arc<[u8]>> {
        self.texts.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &Arc<[u8]>)> {
        self.texts.iter().map(|(name, text)| (&**name, text))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }
}

/// Those that a snapshot has not handed over yet.
#[derive(Debug, Default)]
pub(super) struct Left {
    libraries: Libraries,
    /// The name of the last one.
    after: Option<Box<[u8]>>,
}

impl Left {
    /// Hands one over; how many bytes it has, if there was one.
    pub(super) fn step(&mut self, sink: &mut dyn Sink) -> Option<usize> {
        let from = self.after.take().map_or(Bound::Unbounded, Bound::Excluded);
        let Some((name, text)) = self.libraries.texts.range((from, Bound::Unbounded)).next() else {
            self.libraries = Libraries::default();
            return None;
        };
        sink.take(Item::Library { name, text });
        self.after = Some(name.clone());
        Some(name.len() + text.len())
    }
}

impl Keyspace {
    /// The libraries.
    pub fn libraries(&self) -> &Libraries {
        &self.libraries
    }

    /// Keeps a library, in place of one of the same name.
    pub fn put_library(&mut self, name: &[u8], text: &[u8]) {
        Arc::make_mut(&mut self.libraries.texts).insert(name.into(), text.into());
    }

    /// Forgets a library; says whether there was one.
    pub fn drop_library(&mut self, name: &[u8]) -> bool {
        self.libraries.get(name).is_some()
            && Arc::make_mut(&mut self.libraries.texts).remove(name).is_some()
    }

    /// Forgets all libraries; says whether there were any.
    pub fn drop_libraries(&mut self) -> bool {
        !std::mem::take(&mut self.libraries).is_empty()
    }

    /// Adds a library from a file.
    pub fn load_library(&mut self, name: &[u8], text: &[u8]) -> Result<(), BadLoad> {
        if self.libraries.get(name).is_some() {
            return Err(BadLoad::Twice);
        }
        self.put_library(name, text);
        Ok(())
    }

    /// What a cut that is made now has to hand over.
    pub(super) fn libraries_left(&self) -> Left {
        Left { libraries: self.libraries.clone(), after: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Db;
    use crate::keyspace::keyspace::Settings;
    use crate::keyspace::snapshot::{Budget, Step};

    #[derive(Default)]
    struct Seen(Vec<(String, String)>, usize);

    impl Sink for Seen {
        fn take(&mut self, item: Item<'_>) {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            match item {
                Item::Library { name, text: code } => self.0.push((text(name), text(code))),
                Item::Small { .. } => self.1 += 1,
                other => panic!("{other:?}"),
            }
        }
    }

    fn snapshot(keys: &mut Keyspace, mut between: impl FnMut(&mut Keyspace)) -> String {
        let mut seen = Seen::default();
        assert!(keys.cut());
        between(keys);
        let budget = Budget { items: 1, bytes: 1 };
        while keys.snapshot_step(&mut seen, budget) == Step::More {
            between(keys);
        }
        // The keys come behind them.
        assert_eq!(seen.1, keys.len(Db(0)));
        let rows: Vec<String> = seen.0.iter().map(|(n, t)| format!("{n}={t}")).collect();
        rows.join(" ")
    }

    #[test]
    fn a_snapshot_has_those_of_its_cut() {
        let mut keys = Keyspace::new(Settings::default());
        for n in 0..100 {
            keys.load_string(Db(0), format!("key:{n}").as_bytes(), b"value", None).unwrap();
        }
        keys.put_library(b"b", b"2");
        keys.put_library(b"a", b"1");
        assert_eq!(snapshot(&mut keys, |_| {}), "a=1 b=2");
        let mut turn = 0;
        let changed = |keys: &mut Keyspace| {
            turn += 1;
            keys.put_library(b"c", b"3");
            keys.put_library(b"a", format!("{turn}x").as_bytes());
            keys.drop_library(b"b");
        };
        assert_eq!(snapshot(&mut keys, changed), "a=1 b=2");
        assert!(!keys.drop_library(b"b") && keys.drop_library(b"c"));
        assert_eq!(snapshot(&mut keys, |keys| _ = keys.drop_libraries()), format!("a={turn}x"));
        assert!(!keys.drop_libraries());
        assert_eq!(snapshot(&mut keys, |_| {}), "");
    }

    #[test]
    fn an_aborted_snapshot_hands_none_over() {
        let mut keys = Keyspace::new(Settings::default());
        keys.put_library(b"a", b"1");
        assert_eq!(snapshot(&mut keys, Keyspace::abort), "");
        assert_eq!(snapshot(&mut keys, |_| {}), "a=1");
    }

    #[test]
    fn emptying_databases_keeps_them_and_a_file_brings_each_once() {
        let mut keys = Keyspace::new(Settings::default());
        assert_eq!(keys.load_library(b"a", b"1"), Ok(()));
        assert_eq!(keys.load_library(b"a", b"1"), Err(BadLoad::Twice));
        keys.flush_all();
        keys.flush(Db(0));
        assert_eq!(keys.libraries().len(), 1);
        assert!(keys.scratch().libraries().is_empty());
        let mut fresh = keys.scratch();
        fresh.put_library(b"b", b"2");
        keys.replace(fresh);
        assert!(keys.libraries().get(b"a").is_none() && keys.libraries().get(b"b").is_some());
    }
}
