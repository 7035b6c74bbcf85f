//! A stream that is open for changes.

use crate::base::ids::Db;
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::keyspace::opened::Opened;
use crate::types::parts::Remains;
use crate::types::stream::chunk::Nodes;
use crate::types::stream::group::Group;
use crate::types::stream::id::StreamId;
use crate::types::stream::parts::StreamRemains;
use crate::types::stream::{Exactness, Stream, Trim};
use crate::types::value::Value;

/// A stream that is open for changes (`Opened` says what happens when it is dropped).
#[derive(Debug)]
pub struct StreamMut<'a>(Opened<'a>);

fn is_stream(value: &Value) -> bool {
    matches!(value, Value::Stream(_))
}

impl Keyspace {
    /// The stream at the key, for changes.
    pub fn stream_mut(&mut self, db: Db, key: &[u8]) -> Result<Option<StreamMut<'_>>, WrongType> {
        Ok(self.opened(db, key, is_stream)?.map(StreamMut))
    }

    /// The stream at the key, made if there is none; an empty one stays.
    pub fn stream_or_new(&mut self, db: Db, key: &[u8]) -> Result<StreamMut<'_>, WrongType> {
        self.opened_or_new(db, key, is_stream, || Value::Stream(Box::default())).map(StreamMut)
    }

    /// How large the chunks of streams become.
    pub fn stream_nodes(&self) -> Nodes {
        self.settings.nodes
    }
}

impl StreamMut<'_> {
    /// The stream as it is.
    pub fn stream(&self) -> &Stream {
        match self.0.value() {
            Some(Value::Stream(stream)) => stream,
            _ => unreachable!("the type was looked at when it was opened"),
        }
    }

    /// Adds an entry whose id is above all others; its fields and values have `size` bytes.
    pub fn append<'f>(
        &mut self,
        id: StreamId,
        pairs: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])> + Clone,
        size: usize,
    ) {
        let nodes = self.0.keys.settings.nodes;
        self.change().append(id, pairs, size, nodes);
    }

    /// Deletes an entry; false when there is none with this id.
    pub fn delete(&mut self, id: StreamId) -> bool {
        self.stream().contains(id) && self.change().delete(id)
    }

    /// Removes entries from the front, which are freed in slices; how many.
    pub fn trim(&mut self, trim: Trim, exactness: Exactness) -> u64 {
        let surplus = self.stream().surplus(trim, exactness);
        if surplus > 0 {
            self.bury(|stream| stream.cut_front(surplus));
        }
        surplus as u64
    }

    /// Sets the last id and, where they are given, the other counters.
    pub fn set_counters(
        &mut self,
        last: StreamId,
        added: Option<u64>,
        max_deleted: Option<StreamId>,
    ) {
        let stream = self.change();
        stream.last = last;
        stream.added = added.unwrap_or(stream.added);
        stream.max_deleted = max_deleted.unwrap_or(stream.max_deleted);
    }

    /// Adds a group whose name is not taken.
    pub fn add_group(&mut self, name: &[u8], group: Group) {
        self.change().add_group(name, group);
    }

    /// Changes a group; nothing when it is not there.
    pub fn edit_group<R>(&mut self, name: &[u8], work: impl FnOnce(&mut Group) -> R) -> Option<R> {
        self.stream().group(name)?;
        self.change().edit_group(name, work)
    }

    /// Removes a group that is there; what was pending in it is freed in slices.
    pub fn remove_group(&mut self, name: &[u8]) {
        self.bury(|stream| match stream.remove_group(name) {
            Some(group) => StreamRemains::of_group(group),
            None => StreamRemains::default(),
        });
    }

    /// Makes a change, and leaves to the graveyard what falls off.
    fn bury(&mut self, work: impl FnOnce(&mut Stream) -> StreamRemains) {
        let before = self.stream().bytes();
        let remains = Remains::Stream(work(self.change()));
        let bytes = before.saturating_sub(self.stream().bytes());
        self.0.keys.graveyard.bury_remains(remains, bytes);
    }

    fn change(&mut self) -> &mut Stream {
        match self.0.change() {
            Some(Value::Stream(stream)) => stream,
            _ => unreachable!("the type was looked at when it was opened"),
        }
    }
}
