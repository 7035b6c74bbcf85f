//! What a snapshot in progress has to be given before something changes.
//!
//! An entry whose polarity is not the current one belongs to the snapshot and has not been
//! written. Before its first change
//! - a value that is about to be overwritten, removed or expired is *moved* to the queue;
//! - a small value that is about to be changed in place, or to get another name, is copied there;
//! - a big value is *opened*: a header goes to the queue, the value itself (which is shared, not
//!   copied) becomes a job, and from then on only the field or chunk that a write touches is
//!   copied. Renaming, moving or removing the key does not touch the value any more. Values that
//!   are trees (types/tree.rs) are shared as they were at the cut: a write copies the nodes on
//!   its path, once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crate::base::ids::Db;
use crate::base::mutant::Mutant;
use crate::base::table::{Place, Stored};
use crate::base::time::Millis;
use crate::keyspace::database::{Database, POLARITY, Walk};
use crate::keyspace::item::{Item, Shape, Sink, Small};
use crate::keyspace::keyspace::Keyspace;
use crate::keyspace::libraries::Left;
use crate::types::flat::Flat;
use crate::types::hash::{BigHash, Hash};
use crate::types::parts::Parts;
use crate::types::rope::{CHUNK, Rope};
use crate::types::set::Set;
use crate::types::value::{Kind, Value};

/// A snapshot in progress.
#[derive(Debug)]
pub struct Cut {
    /// Aborted: the sweep goes on, so that all polarities agree in the end, but nothing comes out.
    pub(super) muted: bool,
    /// Libraries that have not come out yet.
    pub(super) libraries: Left,
    pub(super) queue: VecDeque<PreImage>,
    queued: usize,
    pub(super) jobs: VecDeque<Job>,
    /// Tables that were emptied before the snapshot was through with them.
    pub(super) flushed: VecDeque<Database>,
    pub(super) next_id: u64,
    /// Bytes of shared values that writers have copied since the cut.
    copied: usize,
    pub(super) keys: u64,
    pub(super) written: u64,
    pub(super) peak: usize,
    /// Big values that their keys have left.
    pub(super) orphans: usize,
}

/// One thing as it was at the cut.
#[derive(Debug)]
pub enum PreImage {
    /// A key with a small value.
    Entry { name: Name, value: Image },
    /// The header of a big value.
    Open { id: u64, name: Name, shape: Shape },
    /// A field.
    Field { id: u64, field: Box<[u8]>, value: Box<[u8]>, deadline: Option<Millis> },
    /// A chunk.
    Chunk { id: u64, offset: u64, bytes: Box<[u8]> },
}

/// A key as it was at the cut.
#[derive(Debug)]
pub struct Name {
    db: Db,
    key: Box<[u8]>,
    deadline: Option<Millis>,
}

/// A small value as it was at the cut.
#[derive(Debug)]
pub enum Image {
    /// A string.
    Str(Box<[u8]>),
    /// A hash.
    Hash(Flat),
    /// A small value of a type that is written whole.
    Whole(Kind, Box<[u8]>),
}

/// A big value that is being written.
#[derive(Debug)]
pub struct Job {
    pub(super) id: u64,
    pub(super) body: Body,
    /// Its bytes, once its key has left it.
    pub(super) orphaned: usize,
}

/// What a job goes over.
#[derive(Debug)]
pub enum Body {
    /// The fields of a hash.
    Hash(Rc<RefCell<BigHash>>, Walk),
    /// The chunks of a string, from this one on.
    Rope(Rc<RefCell<Rope>>, usize),
    /// What comes in parts: the number of the next one, and the rest of the value.
    Parts(u64, Parts),
}

impl Cut {
    /// A snapshot of `keys` keys that has just begun. It gives its big values numbers from
    /// `next_id` on, which no other snapshot has given.
    pub fn new(keys: u64, next_id: u64, libraries: Left) -> Cut {
        Cut {
            muted: false,
            libraries,
            queue: VecDeque::new(),
            queued: 0,
            jobs: VecDeque::new(),
            flushed: VecDeque::new(),
            next_id,
            copied: 0,
            keys,
            written: 0,
            peak: 0,
            orphans: 0,
        }
    }

    /// Bytes of the queue, and of what writers have copied of shared values.
    pub fn preimages(&self) -> usize {
        self.queued + self.copied
    }

    /// A writer has copied so much of a shared value.
    pub fn note_copied(&mut self, bytes: usize) {
        self.copied += bytes;
        self.peak = self.peak.max(self.preimages());
    }

    /// So much that only the snapshot held has been let go.
    pub fn note_released(&mut self, bytes: usize) {
        self.copied = self.copied.saturating_sub(bytes);
    }

    /// Bytes of what only the snapshot still needs: removed big values, emptied tables.
    pub fn held(&self) -> usize {
        let tables = self.flushed.iter().map(|base| base.table.footprint() + base.values);
        self.orphans + tables.sum::<usize>()
    }

    /// Takes a pre-image, unless nothing comes out any more.
    pub fn push(&mut self, image: PreImage) {
        if !self.muted {
            self.queued += image.bytes();
            self.peak = self.peak.max(self.preimages());
            self.queue.push_back(image);
        }
    }

    /// The oldest pre-image.
    pub fn pop(&mut self) -> Option<PreImage> {
        let image = self.queue.pop_front()?;
        self.queued -= image.bytes();
        Some(image)
    }

    /// Opens a big value: the number it gets, and the job that will write what nobody touches.
    pub fn open(&mut self, value: &mut Value) -> Option<(u64, Shape)> {
        let id = self.next_id;
        let (body, shape) = match value {
            Value::Hash(Hash::Big(table)) | Value::Set(Set::Big(table)) => {
                let table = Rc::clone(table);
                table.borrow_mut().fragment = Some(id);
                let shape =
                    Shape::Table { kind: value.kind(), fields: table.borrow().len() as u64 };
                (Body::Hash(table, Walk::new()), shape)
            }
            Value::Rope(rope) => {
                let mut chunks = rope.borrow_mut();
                chunks.fragment = Some(id);
                (Body::Rope(Rc::clone(rope), 0), Shape::Rope { bytes: chunks.len() as u64 })
            }
            value => {
                let kind = value.kind();
                let (parts, elements) = value.parts(id)?;
                (Body::Parts(0, parts), Shape::Parts { kind, elements })
            }
        };
        self.next_id += 1;
        self.jobs.push_back(Job { id, body, orphaned: 0 });
        Some((id, shape))
    }

    /// Notes that a big value which it may be writing has lost its key.
    fn orphan(&mut self, value: &Value) {
        let (fragment, bytes) = match value {
            Value::Hash(Hash::Big(table)) | Value::Set(Set::Big(table)) => {
                (table.borrow().fragment, table.borrow().bytes())
            }
            Value::Rope(rope) => (rope.borrow().fragment, rope.borrow().bytes()),
            value => (value.fragment(), value.bytes()),
        };
        // Numbers grow along the queue of jobs.
        let found = self.jobs.binary_search_by_key(&fragment, |job| Some(job.id));
        if let Some(job) = found.ok().and_then(|index| self.jobs.get_mut(index)) {
            // A copy of a value shares its number.
            self.orphans = self.orphans + bytes - job.orphaned;
            job.orphaned = bytes;
        }
    }
}

impl PreImage {
    /// Bytes of memory.
    fn bytes(&self) -> usize {
        size_of::<PreImage>()
            + match self {
                PreImage::Entry { name, value: Image::Str(bytes) } => name.key.len() + bytes.len(),
                PreImage::Entry { name, value: Image::Hash(flat) } => name.key.len() + flat.bytes(),
                PreImage::Entry { name, value: Image::Whole(_, bytes) } => {
                    name.key.len() + bytes.len()
                }
                PreImage::Open { name, .. } => name.key.len(),
                PreImage::Field { field, value, .. } => field.len() + value.len(),
                PreImage::Chunk { bytes, .. } => bytes.len(),
            }
    }

    /// Hands it over; returns the bytes of data and how many keys it finished.
    pub fn emit(&self, sink: &mut dyn Sink) -> (usize, u64) {
        match self {
            PreImage::Entry { name: Name { db, key, deadline }, value } => {
                let value = match value {
                    Image::Str(bytes) => Small::Str(bytes),
                    Image::Hash(flat) => Small::Hash(flat),
                    Image::Whole(kind, bytes) => Small::Whole(*kind, bytes),
                };
                sink.take(Item::Small { db: *db, key, deadline: *deadline, value });
                (self.bytes(), 1)
            }
            PreImage::Open { id, name: Name { db, key, deadline }, shape } => {
                let (id, shape) = (*id, *shape);
                sink.take(Item::Open { id, db: *db, key, deadline: *deadline, shape });
                (key.len(), 0)
            }
            PreImage::Field { id, field, value, deadline } => {
                sink.take(Item::Field { id: *id, field, value, deadline: *deadline });
                (field.len() + value.len(), 0)
            }
            PreImage::Chunk { id, offset, bytes } => {
                sink.take(Item::Chunk { id: *id, offset: *offset, bytes });
                (bytes.len(), 0)
            }
        }
    }
}

impl Keyspace {
    /// Before an entry is overwritten or removed: gives its value away if a snapshot needs it. What
    /// is left in the entry is worthless or shared.
    #[inline]
    pub(super) fn hand_over(&mut self, db: Db, place: Place) {
        if self.database(db).table.meta(place).marks & POLARITY != self.polarity {
            self.give(db, place, Manner::Move);
        }
    }

    /// Before an entry is changed in place, or its value gets another name: the same, but the
    /// value stays.
    #[inline]
    pub(super) fn preserve(&mut self, db: Db, place: Place) {
        if self.database(db).table.meta(place).marks & POLARITY != self.polarity {
            self.give(db, place, Manner::Copy);
        }
    }

    #[cold]
    fn give(&mut self, db: Db, place: Place, manner: Manner) {
        let polarity = self.polarity;
        let Some(database) = self.dbs.get_mut(db.index()) else { return };
        let (view, meta) = (database.table.view(place), database.table.meta(place));
        let tour = database.tour.as_ref().filter(|_| !Mutant::NumberOfNow.is_on());
        let at_cut = tour.map_or(db, |tour| tour.db);
        let name = Name { db: at_cut, key: view.key.into(), deadline: meta.deadline.map(Millis) };
        let inline = match view.value {
            Stored::Inline(bytes) => Some(Box::from(bytes)),
            Stored::Extern(_) => None,
        };
        database.table.set_marks(place, meta.marks & !POLARITY | polarity);
        let Some(cut) = self.cut.as_mut() else { return };
        if let Some(bytes) = inline {
            if !Mutant::NoMovedImage.is_on() {
                cut.push(PreImage::Entry { name, value: Image::Str(bytes) });
            }
            return;
        }
        let Some(value) = database.table.extern_mut(place) else { return };
        if let Some((id, shape)) = cut.open(value) {
            cut.push(PreImage::Open { id, name, shape });
            return;
        }
        if cut.muted {
            return;
        }
        let image = match (value, manner) {
            (Value::Str(bytes), Manner::Copy) => Image::Str(bytes.clone()),
            (Value::Hash(Hash::Flat(flat)), Manner::Copy) => Image::Hash(flat.clone()),
            (Value::Str(bytes), Manner::Move) => {
                database.values -= bytes.len();
                Image::Str(std::mem::take(bytes))
            }
            (Value::Hash(Hash::Flat(flat)), Manner::Move) => {
                database.values -= flat.bytes();
                Image::Hash(std::mem::take(flat))
            }
            (value, Manner::Move) if value.whole().is_some() => {
                database.values -= value.bytes();
                let kind = value.kind();
                let bytes = value.take_whole();
                Image::Whole(kind, bytes)
            }
            (value, _) => match value.whole() {
                Some(bytes) => Image::Whole(value.kind(), bytes.into()),
                None => return,
            },
        };
        cut.push(PreImage::Entry { name, value: image });
    }

    /// Gives away a field of a big hash that is about to change.
    pub(super) fn displace_field(&mut self, hash: &RefCell<BigHash>, field: &[u8]) {
        let mut hash = hash.borrow_mut();
        if let (Some(id), Some(cut)) = (hash.fragment, self.cut.as_mut()) {
            hash.displace(field, self.polarity, |value, deadline| {
                if !Mutant::NoFieldImage.is_on() {
                    let (field, value) = (field.into(), value.into());
                    let deadline = deadline.map(Millis);
                    cut.push(PreImage::Field { id, field, value, deadline });
                }
            });
        }
    }

    /// Gives away the chunks from one offset to another of a long string.
    pub(super) fn displace_chunks(&mut self, rope: &RefCell<Rope>, from: usize, to: usize) {
        let mut rope = rope.borrow_mut();
        if let (Some(id), Some(cut)) = (rope.fragment, self.cut.as_mut()) {
            for index in from / CHUNK..=to / CHUNK {
                rope.displace(index, self.polarity, |bytes| {
                    let offset = (index * CHUNK) as u64;
                    if !Mutant::NoChunkImage.is_on() {
                        cut.push(PreImage::Chunk { id, offset, bytes: bytes.into() });
                    }
                });
            }
        }
    }

    /// Takes leave of an out-of-line value that no key holds any more.
    pub(super) fn bury(&mut self, value: Value) {
        if let Some(cut) = self.cut.as_mut() {
            cut.orphan(&value);
        }
        self.graveyard.bury(value);
    }
}

/// How a value gets to the queue.
#[derive(Clone, Copy, Debug)]
enum Manner {
    Move,
    Copy,
}
