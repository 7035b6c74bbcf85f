//! Hands the keys of a shard that wrote the files over to the shards that own them now. They
//! travel as the chunks of a snapshot, one stream for each owner.

use std::collections::HashMap;
use std::rc::Rc;

use crate::base::ids::{Epoch, Generation, HOME, ShardId};
use crate::keyspace::item::{Item, Sink};
use crate::keyspace::snapshot::{Budget, Step};
use crate::limits::SNAPSHOT_BUFFER;
use crate::persist::snapshot_file::{ChunkWriter, Header};
use crate::persist::snapshot_reader::SnapshotReader;
use crate::router::slot::shard_of;
use crate::server::core::Core;

use crate::shard::base::encode;
use crate::shard::fill::load_items;
use crate::shard::restore::FileNumber;
use crate::shard::shard::Shard;

/// Sorts items by owner.
struct Streams {
    writers: Vec<ChunkWriter>,
    /// Where the fragments of an open value go.
    open: HashMap<u64, usize>,
}

impl Streams {
    fn owner_of(&mut self, item: &Item<'_>) -> usize {
        let shards = self.writers.len() as u16;
        match item {
            Item::Library { .. } => HOME.index(),
            Item::Small { key, .. } => shard_of(key, shards).index(),
            Item::Open { id, key, .. } => {
                let owner = shard_of(key, shards).index();
                self.open.insert(*id, owner);
                owner
            }
            Item::Field { id, .. } | Item::Chunk { id, .. } => {
                self.open.get(id).copied().unwrap_or_default()
            }
            Item::Close { id } => self.open.remove(id).unwrap_or_default(),
        }
    }
}

impl Sink for Streams {
    fn take(&mut self, item: Item<'_>) {
        let owner = self.owner_of(&item);
        if let Some(writer) = self.writers.get_mut(owner) {
            encode(writer, item);
        }
    }
}

/// Moves everything out of `from`.
pub async fn hand_over(core: &Rc<Core>, mut from: Shard) {
    let header = Header {
        shard: from.id,
        shards: core.shards,
        generation: Generation(0),
        cut: Epoch(0),
        run: core.database.run,
        hash: core.database.manifest().hash,
    };
    let writers = (0..core.shards).map(|_| ChunkWriter::new(&header)).collect();
    let mut streams = Streams { writers, open: HashMap::new() };
    let name = format!("shard {} of the files", from.id.0);
    let stream = from.id;
    assert!(from.keys.cut(), "nothing else snapshots a shard that is being loaded");
    loop {
        let step = from.keys.snapshot_step(&mut streams, Budget::default());
        for (index, writer) in streams.writers.iter_mut().enumerate() {
            if writer.ready() >= SNAPSHOT_BUFFER {
                let bytes = writer.take(Vec::new());
                send(core, index, stream, &name, bytes).await;
            }
        }
        if step == Step::Done {
            break;
        }
    }
    for (index, writer) in streams.writers.into_iter().enumerate() {
        let (bytes, _) = writer.finish();
        send(core, index, stream, &name, bytes).await;
    }
    // Freed at once: nobody is served yet.
    drop(from);
}

/// Bytes of one stream to their owner, which adds them before the next ones are sent.
async fn send(core: &Rc<Core>, owner: usize, stream: ShardId, name: &str, bytes: Vec<u8>) {
    let name = name.to_owned();
    core.on(ShardId(owner as u16), move |core| {
        let mut readers = core.streams.borrow_mut();
        let reader =
            readers.entry(stream).or_insert_with(|| SnapshotReader::new(name.clone(), None));
        reader.feed(&bytes);
        let loaded = load_items(&mut core.shard.borrow_mut(), FileNumber(stream.0), reader, &name);
        // These bytes were made in this process a moment ago.
        assert!(loaded.is_ok(), "a key could not be handed over: {loaded:?}");
    })
    .await;
}
