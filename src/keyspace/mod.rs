//! One shard's keys. The only door is `keyspace::Keyspace`.

pub mod keyspace;
