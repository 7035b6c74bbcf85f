//! The crate page is ARCHITECTURE.md; this file holds lints and the modules in layer order.
#![doc = include_str!("ARCHITECTURE.md")]
#![deny(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::wildcard_imports,
        clippy::await_holding_refcell_ref,
        clippy::undocumented_unsafe_blocks,
        clippy::todo,
        clippy::dbg_macro
    )
)]

pub mod base;
pub mod limits;

pub mod config;
pub mod observe;
pub mod resp;
pub mod types;

pub mod keyspace;
pub mod persist;

pub mod commands;

pub mod router;
pub mod script;
pub mod shard;

pub mod server;
#[cfg(any(test, feature = "sim"))]
pub mod testing;

#[cfg(test)]
mod tidy;
