//! Every bound of the program, with its reason.

use std::time::Duration;

/// Arguments of one request. Redis once had the same bound; above it a client is broken, and a
/// table of spans stays at 8 MiB.
pub const ARGS_MAX: usize = 1 << 20;

/// Bytes of an inline request, and of the line that holds a count: a person or a script types
/// less, and a line that never ends must not gather.
pub const INLINE_MAX: usize = 64 << 10;

/// Arguments of a request before AUTH: AUTH and HELLO with all their options need eight.
pub const UNAUTHENTICATED_ARGS_MAX: usize = 10;

/// Bytes of an argument before AUTH: a stranger may not make us hold more.
pub const UNAUTHENTICATED_BULK_MAX: usize = 16 << 10;

/// Bytes of one request that has not arrived whole (client-query-buffer-limit's default): room
/// for an argument of the largest size and some more.
pub const QUERY_BUFFER_MAX: usize = 1 << 30;

/// A read buffer grows by at least its half, so that moving its bytes stays linear, and is given
/// back above this size once it is empty: 10,000 idle clients hold 640 MiB at most, and a
/// pipeline of 50 commands with ordinary values fits.
pub const READ_BUFFER_KEEP: usize = 64 << 10;

/// Spans that a parser keeps between requests (8 KiB); an MSET of a thousand keys comes once.
pub const SPANS_KEEP: usize = 1024;

/// Envelopes whose memory a core keeps for the next ones, and bytes of each at most: a thousand
/// connections seldom have more of them under way at a time. With what puts their replies in order,
/// as many again, a core keeps 8 MiB at most.
pub const SPARES_KEEP: usize = 256;
/// See `SPARES_KEEP`.
pub const SPARE_BYTES: usize = 16 << 10;

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

/// Bytes of one argument that MONITOR shows: it is for people, and every line goes to every core.
pub const MONITOR_LINE_MAX: usize = 64 << 10;

/// Events, invalidations and lines of MONITOR that wait for other cores before those who make more
/// of them wait too; far below `MESH_INBOX_MAX`.
pub const NEWS_WAITING_MAX: usize = 8 << 10;

/// Names that one session is subscribed to: as many as one request may bring.
pub const SUBSCRIPTIONS_MAX: usize = 1 << 20;

/// Patterns, passwords, selectors, or rules about commands of one user: each command of a limited
/// user may be compared with all of them.
pub const ACL_LIST_MAX: usize = 4096;

/// Users: all of them are told again (ACL LIST) and written (ACL SAVE) at once.
pub const ACL_USERS_MAX: usize = 1 << 16;

/// Bytes of a file of users, which is read as a whole.
pub const ACL_FILE_MAX: u64 = 256 << 20;

/// Bytes of errors in a file of users after which no more are told.
pub const ACL_ERRORS_SHOWN: usize = 16 << 10;

/// Bits of a password that ACL GENPASS makes, as in Redis.
pub const ACL_GENPASS_BITS_MAX: usize = 4096;

/// Bytes in one block of a file that is read or zero-filled in blocks: large enough that the
/// hand-over between threads (some 50 us) is a few per cent of the copying.
pub const DISK_BLOCK: usize = 1 << 20;

/// Bytes in one write call: the kernel takes at most 2 GiB less a page and says so only by the
/// length it returns.
pub const DISK_WRITE_MAX: usize = 64 << 20;

/// Bytes of one string value, as of one argument (proto-max-bulk-len's default).
pub const STRING_MAX: usize = 512 << 20;

/// Bytes of the fields and values of one entry of a stream, as in Redis: with all their lengths
/// they have to lie within 32 bits.
pub const STREAM_ENTRY_MAX: usize = 1 << 30;

/// Elements and bytes of a reply whose length is a number that the client sent (HRANDFIELD with a
/// negative count): no more than a string may have.
pub const RANDOM_REPLY_MAX: usize = 512 << 20;

/// Shards of one database. A transaction names its participants in 256 bits, and a shard's number
/// has three digits in the names of files; 256 cores are more than any machine this is meant for.
pub const SHARDS_MAX: usize = 256;

/// A record is ended after this many bytes of payload (it exceeds them by at most its last unit),
/// so that a damaged byte costs little and a reader needs little memory.
pub const RECORD_PAYLOAD: usize = 1 << 20;

/// Bytes of items in one chunk of a snapshot: compressing one, some 20 us, comes on top of a slice
/// of 50 us that had not ended a moment before.
pub const SNAPSHOT_CHUNK: usize = 8 << 10;

/// Bytes of items that a chunk may hold: what earlier versions wrote.
pub const SNAPSHOT_CHUNK_MAX: usize = 16 << 10;

/// A manifest: a line is below 300 bytes, and a shard has few. More is not a manifest.
pub const MANIFEST_MAX: usize = 16 << 20;

/// Submission entries of a core's ring; four times as many completions fit. A full queue costs
/// one more system call in that turn, no more.
pub const RING_ENTRIES: u32 = 1024;

/// Receive buffers of a core, a power of two: how many arrivals one turn can take. When they run
/// out, receiving is armed again in the next turn.
pub const RING_BUFFERS: u16 = 256;

/// Bytes in one receive buffer: a pipeline of 16 small commands or a quarter of a 16 KiB value.
pub const RING_BUFFER_BYTES: usize = 4096;

/// The longest a core waits in its own ring: what glommio completes meanwhile (timers, the
/// blocking pool) is seen this late at worst.
pub const RING_NAP: Duration = Duration::from_millis(1);

/// How long a core leaves its processor between two slices of long work while a sync is under way:
/// about as long as a slice takes.
pub const RING_BREATH: Duration = Duration::from_micros(50);

/// Bytes of a connection's input that may wait for its task before the socket is not read any
/// more.
pub const INPUT_WAITING: usize = 256 << 10;

/// Bytes of a connection's output that may wait for the client before its task waits too.
pub const OUTPUT_UNSENT: usize = 256 << 10;

/// How long a core that converses with others looks for their next message before it sleeps: about
/// what it takes to wake it up.
pub const RING_SPIN: Duration = Duration::from_micros(20);

/// How long a listener rests after it could not accept: the cause, most often the limit of
/// descriptors, does not go away by asking at once.
pub const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A connection keeps an output buffer of up to this size to use again.
pub const SEND_SPARE_MAX: usize = 16 << 10;

/// Keys of a pipeline for which memory is asked at once: more would drive each other out of the
/// nearest cache.
pub const WARM_MAX: usize = 16;

/// Requests with more words than this are not looked at before their turn.
pub const AHEAD_ARGS_MAX: usize = 8;

/// Commands of one connection that run in one batch: a pipeline of a million must not keep the
/// others of its core waiting; at 0.2 us each this is a fifth of a millisecond.
pub const BATCH_COMMANDS: usize = 1024;

/// Bytes of replies that end a batch, or what of it another shard runs at a time: what a client has
/// not read yet is bounded by this and the one reply that crosses it, on each shard.
pub const BATCH_REPLY_BYTES: usize = 256 << 10;

/// Bytes of log up to which a write is made in place: copying them into the page cache takes less
/// time than handing them to another thread (some 20 us).
pub const WRITE_IN_PLACE: usize = 64 << 10;

/// How often core 0 looks whether a checkpoint is due.
pub const TICK: Duration = Duration::from_millis(100);

/// How often the log says how far a checkpoint is: most are over before.
pub const PROGRESS_INTERVAL: Duration = Duration::from_secs(2);

/// Time between attempts to heal a broken log: service resumes within 5 s after space returns.
pub const HEAL_INTERVAL: Duration = Duration::from_secs(1);

/// How often the epoch advances while there are writes: what a power cut may take beyond the last
/// sync under everysec.
pub const EPOCH_INTERVAL: Duration = Duration::from_millis(50);

/// Entries that one slice of expiry looks at, and pieces that one slice of freeing frees: each some
/// ten microseconds.
pub const EXPIRE_SLICE: usize = 256;
/// Keys that one slice of eviction gives up: each some microseconds.
pub const EVICT_SLICE: usize = 16;
/// See `EXPIRE_SLICE`.
pub const FREE_SLICE: usize = 64;

/// Bytes of zeros that are written ahead of a log under `always`, each time the last ones are used
/// up. More would make the longer syncs rarer (throughput is the same from 16 KiB to 1 MiB), but
/// they are written in place, and a page of memory that the host of a virtual machine has yet to
/// find takes 80 us.
pub const LOG_AHEAD: u64 = 64 << 10;

/// Under everysec no reply to a write leaves while the last sync that has proven everything is
/// older than this: a power cut takes no more of what was acknowledged, however slow the disk is.
/// (Redis postpones a write for as long while a sync takes its time.)
pub const EVERYSEC_LOSS: Duration = Duration::from_secs(2);

/// How long a snapshot may keep its core at a stretch.
pub const SNAPSHOT_SLICE: Duration = Duration::from_micros(50);

/// How long it does so although somebody waits: it has to end one day on a core that is never idle.
pub const SNAPSHOT_SLICE_LEAST: Duration = Duration::from_micros(20);

/// How long whoever asks a core for something goes before its long work. With the slice above, a
/// core that always has something to do gives a snapshot at least a tenth of its time.
pub const REST_MAX: Duration = Duration::from_micros(150);

/// Bytes of a base that are gathered before they are written, in place: some ten microseconds.
pub const SNAPSHOT_BUFFER: usize = 32 << 10;

/// Bytes of one direct write of a base.
pub const BASE_WRITE: usize = 256 << 10;
/// Direct writes of a base that may be under way at a time.
pub const BASE_IN_FLIGHT: usize = 4;
/// Bytes of the only one while clients wait for syncs of the log, each behind it.
pub const BASE_WRITE_BESIDE_SYNCS: usize = 64 << 10;

/// Bytes by which a removed file is cut at a time while clients wait for syncs: a device that has
/// to discard them is busy for a millisecond.
pub const SHRINK_STEP: u64 = 4 << 20;
/// Between two cuts.
pub const SHRINK_PAUSE: Duration = Duration::from_millis(4);

/// What of a snapshot's encoder is kept from one snapshot to the next: no more than this many bytes
/// a buffer, so that a huge value leaves nothing behind.
pub const SNAPSHOT_SCRATCH: usize = 128 << 10;

/// Bytes of a base that are written through the page cache before a sync of them is started: at
/// most twice as many are in the page cache alone, so the kernel never makes a writer wait because
/// too much is dirty.
pub const SNAPSHOT_UNSYNCED: usize = 2 << 20;

/// Bytes of a base that may wait for the device before writers wait too.
pub const SNAPSHOT_BEHIND: usize = 4 << 20;

/// Bytes of pre-images that may wait on one shard; above it writers help to encode them.
pub const PREIMAGE_CAP: usize = 4 << 20;

/// Instructions of a script in one slice: about a millisecond, as often as Redis looks up.
pub const SCRIPT_SLICE: i32 = 100_000;

/// Slices for which a script may keep its core where it cannot be interrupted: below a C function
/// that calls back, and in metamethods. Some seconds, in which others of its core hear nothing.
pub const SCRIPT_STUCK_MAX: u32 = 5000;

/// Bytes that one core's Lua may hold: a value of the largest size, and what is made of it.
pub const SCRIPT_MEMORY_MAX: usize = 1 << 30;

/// Bytes of one script or of text that a script compiles: the compiler counts in 32 bits.
pub const SCRIPT_TEXT_MAX: usize = 16 << 20;

/// Bytes of a pattern (string.find and its kin): matching recurs once an item, on a stack of 2 MiB.
pub const SCRIPT_PATTERN_MAX: usize = 4 << 10;

/// Values that one unpack gives: a C function of Lua has room for 8,000.
pub const SCRIPT_UNPACK_MAX: usize = 8000;

/// Values that one function of a library gives, which has them on the stack twice.
pub const SCRIPT_RESULTS_MAX: usize = 3900;

/// Tables within tables that a script's reply may have, on a stack of 2 MiB.
pub const SCRIPT_REPLY_DEPTH: usize = 500;

/// Tables within tables that cjson reads and writes, whatever a script sets: the default.
pub const SCRIPT_JSON_DEPTH: usize = 1000;

/// Tables within tables that cmsgpack reads; it writes 16.
pub const SCRIPT_PACKED_DEPTH: usize = 256;

/// Lines that a script may log between two commands.
pub const SCRIPT_LOG_LINES: usize = 1000;

/// Scripts that the server keeps, and their bytes: those of a program are some hundreds.
pub const SCRIPTS_MAX: usize = 1 << 20;
/// See `SCRIPTS_MAX`.
pub const SCRIPTS_BYTES_MAX: usize = 1 << 30;

/// Scripts that one core keeps compiled, some 10 KiB each; others are compiled when they run.
pub const SCRIPTS_COMPILED_MAX: usize = 4096;

// How the bounds depend on each other.
const _: () = {
    // Spans are 32 bits wide, and count from the start of the request that is being read.
    assert!(QUERY_BUFFER_MAX <= u32::MAX as usize);
    // The longest argument must be able to arrive.
    assert!(STRING_MAX + INLINE_MAX < QUERY_BUFFER_MAX);
    // An inline request is given up on before the buffer that holds it is.
    assert!(INLINE_MAX < QUERY_BUFFER_MAX);
    // One arrival fits a buffer that is kept, and so does the longest inline request.
    assert!(RING_BUFFER_BYTES <= READ_BUFFER_KEEP && INLINE_MAX <= READ_BUFFER_KEEP);
    // Ten thousand strangers with the largest request each stay below 2 GiB.
    assert!(UNAUTHENTICATED_ARGS_MAX * UNAUTHENTICATED_BULK_MAX < (2 << 30) / 10_000);
    assert!(UNAUTHENTICATED_ARGS_MAX < SPANS_KEEP && SPANS_KEEP < ARGS_MAX);
    // A MULTI may queue at least one request of the largest size.
    assert!(QUEUED_BYTES_MAX >= QUERY_BUFFER_MAX && QUEUED_COMMANDS_MAX >= ARGS_MAX);
    // A reply made of random elements is no longer than a string may be.
    assert!(RANDOM_REPLY_MAX <= STRING_MAX);
    // Shards are named by three digits, and their numbers fit `ShardId`.
    assert!(SHARDS_MAX <= 1000);
    // Linux takes at most 2 GiB - 4 KiB in one write; a record and a snapshot's buffer are one.
    assert!(DISK_WRITE_MAX <= (2 << 30) - (4 << 10));
    assert!(RECORD_PAYLOAD < DISK_WRITE_MAX && SNAPSHOT_BUFFER <= DISK_WRITE_MAX);
    // A snapshot is encoded, written and waited for in steps that grow.
    assert!(SNAPSHOT_CHUNK <= SNAPSHOT_CHUNK_MAX && SNAPSHOT_CHUNK < SNAPSHOT_BUFFER);
    assert!(SNAPSHOT_BUFFER < SNAPSHOT_BEHIND);
    // What a snapshot holds back and what waits for the device stay below 16 MiB a shard.
    assert!(PREIMAGE_CAP + SNAPSHOT_BEHIND < 16 << 20);
    // A batch ends before its replies are worth more than a few buffers, and a slice of the
    // snapshot is short against the interval in which epochs advance.
    assert!(BATCH_REPLY_BYTES <= 4 * READ_BUFFER_KEEP);
    assert!(SNAPSHOT_SLICE_LEAST.as_micros() < SNAPSHOT_SLICE.as_micros());
    assert!(SNAPSHOT_SLICE.as_micros() * 100 < EPOCH_INTERVAL.as_micros());
};
