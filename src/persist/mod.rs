//! The bytes of every file, and decisions about files. No I/O here, and no keyspace.

pub mod ahead;
pub mod backup;
pub mod fault;
pub mod manifest;
pub mod names;
pub mod payload;
pub mod rdb;
pub mod record;
pub mod recovery;
pub mod redis_files;
pub mod reseal;
pub mod retention;
pub mod rewind;
pub mod saving;
pub mod segment;
mod segment_queue;
pub mod segment_scan;
pub mod shard_set;
pub mod snapshot_file;
pub mod snapshot_item;
pub mod snapshot_reader;
pub mod text_base;
pub mod value_codec;
