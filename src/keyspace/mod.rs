//! One shard's keys. The only door is `keyspace::Keyspace`; its `impl` blocks are spread over the
//! files of this folder by subject.
//!
//! - A command: `begin`, then reads and writes (keyspace.rs, write.rs, hash_mut.rs, moves.rs), then
//!   `take_expired` until it is empty, then `observed`.
//! - Watches of WATCH: `watch`, `unchanged`, `unwatch` (watch.rs).
//! - What a command did to which keys, for events and caches: `set_noting`, `take_notes`
//!   (notes.rs).
//! - Upkeep, in bounded slices: `expire_slice` (expiry.rs), `evict` (evict.rs), `free_slice`
//!   (graveyard.rs).
//! - A snapshot: `cut`, `snapshot_step` until `Step::Done`, or `abort` and then steps until
//!   `Step::Done`; `progress` and `preimage_bytes` meanwhile (snapshot.rs). What comes out goes to
//!   a `Sink` as `Item`s (item.rs).
//! - Loading: `load_expect`, `load_string`, `load_hash`, and for big values `load_open`,
//!   `load_field` or `load_chunk`, `load_close` (load.rs).
//! - Libraries of functions: `libraries`, `put_library`, `drop_library` (libraries.rs).
//! - Handing a key to another shard as commands: `rebuild` (rebuild.rs).
//! - Numbers: `memory` (memory.rs), `len`, `expiring`.

pub mod access;
pub mod database;
pub mod evict;
pub mod expiry;
pub mod fields;
pub mod graveyard;
pub mod hash_mut;
pub mod item;
#[expect(clippy::module_inception, reason = "the architecture names it so")]
pub mod keyspace;
pub mod libraries;
mod list_mut;
pub mod load;
pub mod marks;
pub mod memory;
pub mod moves;
pub mod notes;
pub mod opened;
mod preimage;
pub mod rebuild;
mod rebuild_stream;
pub mod scan;
mod set_mut;
pub mod snapshot;
mod stream_mut;
mod string_mut;
pub mod warm;
pub mod watch;
pub mod write;
mod zset_mut;
