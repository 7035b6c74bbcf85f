//! Every bound of the program, with its reason.

/// Messages that wait in one core's inbox. The protocol bounds them (one envelope a connection
/// and shard, a few control messages a core); with 10,000 connections on each of 64 cores that
/// is below this. More means a sender without a bound, which is a bug.
pub const MESH_INBOX_MAX: usize = 1 << 20;
