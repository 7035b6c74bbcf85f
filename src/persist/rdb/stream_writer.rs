//! Writes a stream in the form of Redis 7.0 (stream_reader.rs says what is in it).

use crate::persist::rdb::packed::ListpackWriter;
use crate::persist::rdb::scalar::{Drain, Id};
use crate::persist::rdb::stream_reader::{Meta, Pending};

/// The number of this form among the types of values.
const KIND: u8 = 19;
/// Entries of one listpack, as Redis' settings have it.
const NODE_ENTRIES: u64 = 100;
/// Bytes after which a listpack gets no more entries.
const NODE_BYTES: usize = 4096;

/// Gathers the entries of a stream, which come in order.
#[derive(Debug, Default)]
pub struct StreamWriter {
    nodes: Vec<u8>,
    count: u64,
    first: Option<Id>,
    open: Option<Node>,
}

/// The listpack that is being filled.
#[derive(Debug)]
struct Node {
    base: Id,
    names: Vec<Vec<u8>>,
    entries: u64,
    body: ListpackWriter,
}

/// A group of consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The last id that was delivered.
    pub last: Id,
    /// Entries that were read, if that is known.
    pub read: Option<u64>,
    /// Its consumers.
    pub consumers: Vec<Consumer<'a>>,
}

/// A consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// When it last tried to read, in milliseconds.
    pub seen: i64,
    /// What it has not acknowledged, in the order of the ids.
    pub pending: Vec<Pending>,
}

impl StreamWriter {
    /// Adds an entry.
    pub fn entry(&mut self, id: Id, pairs: &[(&[u8], &[u8])]) {
        let full = |node: &Node| node.entries >= NODE_ENTRIES || node.body.len() >= NODE_BYTES;
        if self.open.as_ref().is_some_and(full) {
            self.close();
        }
        self.first = self.first.or(Some(id));
        let node = self.open.get_or_insert_with(|| Node {
            base: id,
            names: pairs.iter().map(|(name, _)| name.to_vec()).collect(),
            entries: 0,
            body: ListpackWriter::default(),
        });
        let names = pairs.iter().map(|(name, _)| *name);
        let same = names.eq(node.names.iter().map(Vec::as_slice));
        node.entries += 1;
        let body = &mut node.body;
        body.number(if same { 2 } else { 0 });
        // Differences above half of the range are written as negative ones.
        body.number(id.0.wrapping_sub(node.base.0) as i64);
        body.number(id.1.wrapping_sub(node.base.1) as i64);
        let count = pairs.len() as i64;
        if !same {
            body.number(count);
        }
        for (name, value) in pairs {
            if !same {
                body.text(name);
            }
            body.text(value);
        }
        body.number(if same { 3 + count } else { 4 + 2 * count });
    }

    /// Appends the type and the value: the entries so far, what else is known (but the number of
    /// entries, which is counted here), and the groups.
    pub fn finish(mut self, out: &mut Vec<u8>, entries: u64, meta: Meta, groups: &[Group<'_>]) {
        self.close();
        let mut drain = Drain::new(out);
        drain.byte(KIND);
        drain.length(self.count);
        drain.raw(&self.nodes);
        drain.length(entries);
        drain.id(meta.last);
        drain.id(self.first.unwrap_or_default());
        drain.id(meta.deleted);
        drain.length(meta.added);
        drain.length(groups.len() as u64);
        groups.iter().for_each(|group| put_group(&mut drain, group));
    }

    fn close(&mut self) {
        let Some(node) = self.open.take() else { return };
        let mut listpack = ListpackWriter::default();
        listpack.number(node.entries as i64);
        listpack.number(0);
        listpack.number(node.names.len() as i64);
        node.names.iter().for_each(|name| listpack.text(name));
        listpack.number(0);
        listpack.join(&node.body);
        let mut drain = Drain::new(&mut self.nodes);
        drain.length(16);
        drain.raw_id(node.base);
        drain.text(&listpack.finish());
        self.count += 1;
    }
}

fn put_group(drain: &mut Drain<'_>, group: &Group<'_>) {
    drain.text(group.name);
    drain.id(group.last);
    drain.length(group.read.unwrap_or(u64::MAX));
    let mut pending: Vec<&Pending> =
        group.consumers.iter().flat_map(|consumer| &consumer.pending).collect();
    pending.sort_unstable_by_key(|pending| pending.id);
    drain.length(pending.len() as u64);
    for Pending { id, time, count } in pending {
        drain.raw_id(*id);
        drain.raw(&time.to_le_bytes());
        drain.length(*count);
    }
    drain.length(group.consumers.len() as u64);
    for consumer in &group.consumers {
        drain.text(consumer.name);
        drain.raw(&consumer.seen.to_le_bytes());
        drain.length(consumer.pending.len() as u64);
        consumer.pending.iter().for_each(|pending| drain.raw_id(pending.id));
    }
}
