//! Every bound of the program, with its reason.

/// Messages that wait in one core's inbox. The protocol bounds them (one envelope a connection
/// and shard, a few control messages a core); with 10,000 connections on each of 64 cores that
/// is below this. More means a sender without a bound, which is a bug.
pub const MESH_INBOX_MAX: usize = 1 << 20;

/// Commands queued by one MULTI. More than a request may have arguments is a client gone wrong.
pub const QUEUED_COMMANDS_MAX: usize = 1 << 20;

/// Bytes of arguments queued by one MULTI before the next command is refused: a client that
/// never sends EXEC must not fill the memory.
pub const QUEUED_BYTES_MAX: usize = 1 << 30;

/// Keys watched by one session. EXEC asks for all of them in one round, so it stays short.
pub const WATCHED_KEYS_MAX: usize = 1 << 17;
