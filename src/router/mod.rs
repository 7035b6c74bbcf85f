//! From one session to many shards: which shard runs a command, and how many shards act as one.

pub mod channels;
pub mod merge;
pub mod pipeline;
pub mod plan;
pub mod program;
pub mod slot;
pub mod spare;
pub mod transaction;
pub mod waiting;
