//! What each command means: pure functions and one table of rows.

pub mod admin;
pub mod call;
pub mod client;
pub mod command;
pub mod connection;
pub mod session;
pub mod spec;
pub mod table;
pub mod transaction;
pub mod words;
