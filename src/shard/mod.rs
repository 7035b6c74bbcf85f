//! One shard as a deterministic machine: (state, command, now) -> (state, reply, effect).

pub mod base;
pub mod cut;
pub mod execute;
pub mod gate;
pub mod gather;
pub mod journal;
pub mod locks;
pub mod orders;
pub mod restore;
pub mod shard;
pub mod upkeep;
