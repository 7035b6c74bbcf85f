//! One shard as a deterministic machine: (state, command, now) -> (state, reply, effect).

pub mod base;
pub mod cut;
pub mod execute;
pub mod export;
pub mod fill;
pub mod gate;
pub mod gather;
pub mod journal;
pub mod locks;
pub mod news;
pub mod orders;
pub mod restore;
pub mod scripted;
#[expect(clippy::module_inception, reason = "the architecture names it so")]
pub mod shard;
pub mod tracking;
pub mod upkeep;
pub mod waiting;
