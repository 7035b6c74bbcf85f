//! What each command means: pure functions and one table of rows.

pub mod absent;
pub mod admin;
pub mod call;
pub mod client;
pub mod command;
pub mod connection;
pub mod database;
pub mod debug;
pub mod debugging;
pub mod digest;
pub mod dump;
pub mod expire;
pub mod geo;
pub mod geo_search;
pub mod hash;
pub mod hash_random;
pub mod hints;
pub mod index;
pub mod key;
#[cfg(test)]
mod kit;
pub mod lcs;
pub mod list;
pub mod list_move;
pub mod object;
pub mod order;
pub mod parse;
pub mod pubsub;
pub mod redact;
pub mod remake;
pub mod row;
pub mod scan;
pub mod session;
pub mod set;
pub mod set_algebra;
pub mod set_random;
pub mod sort;
pub mod spec;
pub mod stream;
pub mod stream_claim;
pub mod stream_group;
pub mod stream_info;
pub mod stream_parse;
pub mod stream_read;
pub mod string;
pub mod string_number;
pub mod string_range;
pub mod table;
pub mod transaction;
pub mod zset;
pub mod zset_algebra;
pub mod zset_pop;
pub mod zset_range;
pub mod zset_reply;

#[cfg(test)]
mod tests;
