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

/// Bytes in one block of a file that is read or zero-filled in blocks: large enough that the
/// hand-over between threads (some 50 us) is a few per cent of the copying.
pub const DISK_BLOCK: usize = 1 << 20;

/// Bytes in one write call: the kernel takes at most 2 GiB less a page and says so only by the
/// length it returns.
pub const DISK_WRITE_MAX: usize = 64 << 20;

/// Bytes of one string value, as of one argument (proto-max-bulk-len's default).
pub const STRING_MAX: usize = 512 << 20;

/// Elements and bytes of a reply whose length is a number that the client sent (HRANDFIELD with a
/// negative count): no more than a string may have.
pub const RANDOM_REPLY_MAX: usize = 512 << 20;

/// Shards of one database. A transaction names its participants in 256 bits, and a shard's number
/// has three digits in the names of files; 256 cores are more than any machine this is meant for.
pub const SHARDS_MAX: usize = 256;

/// A record is ended after this many bytes of payload (it exceeds them by at most its last unit), so
/// that a damaged byte costs little and a reader needs little memory.
pub const RECORD_PAYLOAD: usize = 1 << 20;

/// A manifest: a line is below 300 bytes, and a shard has few. More is not a manifest.
pub const MANIFEST_MAX: usize = 16 << 20;
