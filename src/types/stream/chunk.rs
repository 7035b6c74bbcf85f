//! A few entries of a stream in one piece of memory, each told by its difference from the one
//! before.
//!
//! ```text
//! entry  = flags (1 byte), id, [fields], values
//! id     = SAME_MS: seq's difference; else ms' difference, then seq unless it is 0 (NO_SEQ)
//! fields = number, then the names; absent with SAME_FIELDS: those of the entry before
//! values = as many as there are fields
//! ```
//!
//! The entry before the first is the chunk's `first` id without fields. Numbers are varints, names
//! and values have their lengths before them.

use crate::base::fit::fit;
use crate::base::wire::{Reader, Writer};
use crate::limits::STREAM_ENTRY_MAX;
use crate::types::stream::id::StreamId;
use crate::types::tree::Chunk;

/// Below a quarter of this, a chunk that has lost most of its entries is joined with its neighbour.
const SPARSE_MAX: usize = 4096;

const SAME_FIELDS: u8 = 1;
const SAME_MS: u8 = 2;
const NO_SEQ: u8 = 4;

/// How large a chunk may become: stream-node-max-entries and stream-node-max-bytes, 0 for no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// Entries, those that were removed again counted.
    pub entries: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Entries in the order of their ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryChunk {
    first: StreamId,
    last: StreamId,
    count: u32,
    /// Entries that were here: a chunk that fills and empties does not go on for ever.
    removed: u32,
    /// Where the fields of the last entry are told.
    fields: u32,
    bytes: Vec<u8>,
}

/// One entry.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its id.
    pub id: StreamId,
    count: usize,
    fields: &'a [u8],
    values: &'a [u8],
}

/// Goes over the entries of a chunk.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    reader: Reader<'a>,
    left: u32,
    before: StreamId,
    /// Where the present fields are told, how many they are, and their names.
    fields_at: usize,
    count: usize,
    fields: &'a [u8],
}

impl Default for Nodes {
    fn default() -> Nodes {
        Nodes { entries: 100, bytes: 4096 }
    }
}

impl Default for Entries<'_> {
    fn default() -> Self {
        let (reader, before) = (Reader::new(&[]), StreamId::MIN);
        Entries { reader, left: 0, before, fields_at: 0, count: 0, fields: &[] }
    }
}

impl EntryChunk {
    /// The id of the first entry.
    pub fn first_id(&self) -> StreamId {
        self.first
    }

    /// The id of the last entry.
    pub fn last_id(&self) -> StreamId {
        self.last
    }

    /// May an entry of so many bytes be added?
    pub fn has_room(&self, nodes: Nodes, size: usize) -> bool {
        let entries = u64::from(self.count) + u64::from(self.removed);
        let limited = nodes.entries > 0 && entries >= nodes.entries;
        let long = nodes.bytes > 0 && (self.bytes.len() + size) as u64 >= nodes.bytes;
        // Offsets are 32 bits wide.
        !limited && !long && self.bytes.len() + size <= STREAM_ENTRY_MAX
    }

    /// Adds an entry whose id is above all others.
    pub fn push<'f>(
        &mut self,
        id: StreamId,
        pairs: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])> + Clone,
        size: usize,
    ) {
        if self.count == 0 {
            self.first = id;
            self.last = id;
        }
        let same_fields = self.count > 0 && self.has_fields(pairs.clone());
        // About what it takes; more is reserved in steps, so that many small ones cost few moves.
        let needed = size + 2 * pairs.len() + 8;
        if self.bytes.capacity() - self.bytes.len() < needed {
            self.bytes.reserve_exact(needed.max(self.bytes.len() / 8));
        }
        let same_ms = id.ms == self.last.ms;
        let flags = if same_fields { SAME_FIELDS } else { 0 }
            | if same_ms { SAME_MS } else { 0 }
            | if !same_ms && id.seq == 0 { NO_SEQ } else { 0 };
        let mut w = Writer::new(&mut self.bytes);
        w.u8(flags);
        if same_ms {
            w.varint(id.seq - self.last.seq);
        } else {
            w.varint(id.ms - self.last.ms);
            if id.seq != 0 {
                w.varint(id.seq);
            }
        }
        if !same_fields {
            self.fields = self.bytes.len() as u32;
            let mut w = Writer::new(&mut self.bytes);
            w.varint(pairs.len() as u64);
            pairs.clone().for_each(|(field, _)| w.bytes(field));
        }
        let mut w = Writer::new(&mut self.bytes);
        pairs.for_each(|(_, value)| w.bytes(value));
        self.last = id;
        self.count += 1;
    }

    /// Are these the fields of the last entry?
    fn has_fields<'f>(
        &self,
        mut pairs: impl ExactSizeIterator<Item = (&'f [u8], &'f [u8])>,
    ) -> bool {
        let mut told = Reader::new(self.bytes.get(self.fields as usize..).unwrap_or_default());
        told.varint() == Some(pairs.len() as u64)
            && pairs.all(|(field, _)| told.bytes() == Some(field))
    }

    /// Bytes of memory that it holds beside itself.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// Gives back what was reserved for more entries.
    pub fn shrink(&mut self) {
        fit(&mut self.bytes);
    }

    /// The entries in order.
    pub fn entries(&self) -> Entries<'_> {
        let reader = Reader::new(&self.bytes);
        Entries { reader, left: self.count, before: self.first, ..Entries::default() }
    }

    /// Keeps the entries that `keep` wants.
    pub fn retain(&mut self, mut keep: impl FnMut(StreamId) -> bool) {
        let mut kept = EntryChunk { removed: self.removed, ..EntryChunk::default() };
        kept.bytes.reserve_exact(self.bytes.len());
        for entry in self.entries() {
            if keep(entry.id) {
                kept.push_entry(&entry);
            } else {
                kept.removed += 1;
            }
        }
        kept.shrink();
        *self = kept;
    }

    /// Adds an entry of another chunk.
    fn push_entry(&mut self, entry: &Entry<'_>) {
        let pairs: Vec<_> = entry.pairs().collect();
        self.push(entry.id, pairs.iter().copied(), 0);
    }

    /// Appends the bytes by which a file tells it.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut w = Writer::new(out);
        w.varint(self.first.ms);
        w.varint(self.first.seq);
        w.varint(u64::from(self.count));
        w.varint(u64::from(self.removed));
        w.raw(&self.bytes);
    }

    /// What `encode` gave; nothing when it cannot be that.
    pub fn decode(bytes: &[u8]) -> Option<EntryChunk> {
        let mut reader = Reader::new(bytes);
        let first = StreamId { ms: reader.varint()?, seq: reader.varint()? };
        let count = u32::try_from(reader.varint()?).ok()?;
        let removed = u32::try_from(reader.varint()?).ok()?;
        if count == 0 || reader.rest().len() > 2 * STREAM_ENTRY_MAX {
            return None;
        }
        let bytes = reader.rest().to_vec();
        let mut chunk = EntryChunk { first, last: first, count, removed, fields: 0, bytes };
        let (mut entries, mut last) = (chunk.entries(), None);
        for _ in 0..count {
            let entry = entries.next().filter(|entry| last.is_none_or(|last| last < entry.id))?;
            last = Some(entry.id);
        }
        let (end, fields) = (entries.reader.is_empty(), entries.fields_at);
        if !end || chunk.entries().next()?.id != first {
            return None;
        }
        chunk.fields = fields as u32;
        chunk.last = last?;
        Some(chunk)
    }
}

impl Chunk for EntryChunk {
    type Key = StreamId;
    const WEIGHT_MAX: usize = SPARSE_MAX;

    fn len(&self) -> usize {
        self.count as usize
    }

    fn bytes(&self) -> usize {
        self.memory()
    }

    /// Only chunks that have lost most of their entries are joined: the boundaries of the others
    /// are those at which XTRIM with `~` cuts.
    fn weight(&self) -> usize {
        if self.removed > self.count { self.bytes.len() } else { SPARSE_MAX }
    }

    fn first(&self) -> StreamId {
        self.first
    }

    fn split_off(&mut self, at: usize) -> EntryChunk {
        let (mut head, mut tail) = (EntryChunk::default(), EntryChunk::default());
        for (index, entry) in self.entries().enumerate() {
            if index < at { &mut head } else { &mut tail }.push_entry(&entry);
        }
        *self = head;
        tail
    }

    fn append(&mut self, next: &EntryChunk) {
        self.removed += next.removed;
        next.entries().for_each(|entry| self.push_entry(&entry));
        self.shrink();
    }

    /// The stream begins a new chunk when one is full.
    fn is_full(&self) -> bool {
        false
    }
}

impl<'a> Entry<'a> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Its fields and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + Clone + use<'a> {
        let (mut fields, mut values) = (Reader::new(self.fields), Reader::new(self.values));
        (0..self.count).map_while(move |_| Some((fields.bytes()?, values.bytes()?)))
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.left = self.left.checked_sub(1)?;
        let reader = &mut self.reader;
        let flags = reader.u8()?;
        let StreamId { ms, seq } = self.before;
        self.before = if flags & SAME_MS != 0 {
            StreamId { ms, seq: seq.checked_add(reader.varint()?)? }
        } else {
            let ms = ms.checked_add(reader.varint()?)?;
            StreamId { ms, seq: if flags & NO_SEQ != 0 { 0 } else { reader.varint()? } }
        };
        if flags & SAME_FIELDS == 0 {
            self.fields_at = reader.position();
            self.count = usize::try_from(reader.varint()?).ok()?;
            self.fields = passed(reader, self.count)?;
        }
        let values = passed(reader, self.count)?;
        Some(Entry { id: self.before, count: self.count, fields: self.fields, values })
    }
}

/// The bytes that tell so many byte strings.
fn passed<'a>(reader: &mut Reader<'a>, count: usize) -> Option<&'a [u8]> {
    let start = reader.rest();
    for _ in 0..count {
        reader.bytes()?;
    }
    start.get(..start.len() - reader.rest().len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    type Model = Vec<(StreamId, Vec<(Vec<u8>, Vec<u8>)>)>;

    type Fields = Vec<(Vec<u8>, Vec<u8>)>;

    fn random(prng: &mut Prng, after: StreamId) -> (StreamId, Fields) {
        let ms = after.ms + prng.below(3) * prng.below(1000);
        let seq = if ms == after.ms { after.seq + 1 + prng.below(300) } else { prng.below(3) };
        let pairs = (0..1 + prng.below(4))
            .map(|n| (vec![b'f'; n as usize], vec![b'v'; prng.below(200) as usize]))
            .collect();
        (StreamId { ms, seq }, pairs)
    }

    fn push(chunk: &mut EntryChunk, id: StreamId, pairs: &[(Vec<u8>, Vec<u8>)]) {
        chunk.push(id, pairs.iter().map(|(f, v)| (&f[..], &v[..])), 0);
    }

    fn read(chunk: &EntryChunk) -> Model {
        let owned = |entry: Entry<'_>| {
            (entry.id, entry.pairs().map(|(f, v)| (f.to_vec(), v.to_vec())).collect())
        };
        chunk.entries().map(owned).collect()
    }

    #[test]
    fn keeps_what_it_was_given() {
        for seed in 0..200 {
            let mut prng = Prng::new(seed);
            let (mut chunk, mut model) = (EntryChunk::default(), Model::new());
            let mut last = StreamId { ms: prng.below(2) * (u64::MAX - 100_000), seq: 0 };
            for step in 0..60 {
                if prng.chance(1, 6) && !model.is_empty() {
                    let gone = model.remove(prng.below(model.len() as u64) as usize).0;
                    chunk.retain(|id| id != gone);
                } else {
                    let (id, pairs) = random(&mut prng, last);
                    push(&mut chunk, id, &pairs);
                    model.push((id, pairs));
                    last = id;
                }
                assert_eq!(read(&chunk), model, "seed {seed} step {step}");
                if let (Some(first), Some(last)) = (model.first(), model.last()) {
                    assert_eq!((chunk.first_id(), chunk.last_id()), (first.0, last.0));
                    let mut bytes = Vec::new();
                    chunk.encode(&mut bytes);
                    let mut back = EntryChunk::decode(&bytes).unwrap();
                    assert_eq!(read(&back), model);
                    let (id, pairs) = random(&mut prng, last.0);
                    push(&mut back, id, &pairs);
                    assert_eq!(read(&back).last(), Some(&(id, pairs)), "seed {seed} step {step}");
                }
            }
            let at = chunk.len() / 2;
            if at > 0 {
                let tail = chunk.split_off(at);
                assert_eq!(read(&tail), model[at..]);
                chunk.append(&tail);
                assert_eq!(read(&chunk), model);
            }
        }
    }

    #[test]
    fn same_fields_cost_nothing() {
        let mut chunk = EntryChunk::default();
        for ms in 0..100 {
            let id = StreamId { ms: 1_700_000_000_000 + ms, seq: 0 };
            chunk.push(id, [(&b"temperature"[..], &b"12"[..])].into_iter(), 13);
        }
        chunk.shrink();
        assert_eq!(chunk.bytes(), 100 * (2 + 3) + 13);
    }

    #[test]
    fn garbage_is_refused_or_read() {
        for seed in 0..50_000 {
            let mut prng = Prng::new(seed);
            let mut chunk = EntryChunk::default();
            let mut last = StreamId::MIN;
            for _ in 0..3 {
                let (id, pairs) = random(&mut prng, last);
                push(&mut chunk, id, &pairs);
                last = id;
            }
            let mut bytes = Vec::new();
            chunk.encode(&mut bytes);
            for _ in 0..1 + prng.below(3) {
                let at = prng.below(bytes.len() as u64) as usize;
                bytes[at] = prng.next() as u8;
            }
            bytes.truncate(bytes.len() - prng.below(3) as usize);
            if let Some(chunk) = EntryChunk::decode(&bytes) {
                assert_eq!(chunk.entries().count(), chunk.len());
            }
        }
    }
}
