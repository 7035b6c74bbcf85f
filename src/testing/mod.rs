//! The simulated twin of server/: shards, router and a disk in one thread, driven by a seed; and
//! peers for tests.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a simulation stops at its first mistake"
)]

pub mod bug;
pub mod canary;
#[cfg(test)]
pub mod damage;
#[cfg(test)]
pub mod data;
pub mod disk;
#[cfg(test)]
pub mod fuzz;
pub mod history;
pub mod inbox;
pub mod kit;
pub mod machine;
pub mod model;
#[cfg(test)]
pub mod peer;
pub mod plain;
pub mod save;
pub mod sequences;
pub mod session;
pub mod snapshot;
pub mod start;
pub mod stream;
#[cfg(test)]
mod waiting;
pub mod workload;
pub mod writer;

#[cfg(test)]
mod tests;
