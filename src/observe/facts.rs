//! What the server gathers for INFO: plain data, a struct for each section.

use crate::base::ids::{Db, Epoch, Generation, Lsn, ShardId};
use crate::observe::counters::Counters;

/// Everything that INFO tells.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Scripts.
    pub scripts: ScriptFacts,
    /// Section `server`.
    pub server: ServerFacts,
    /// Section `clients`.
    pub clients: ClientFacts,
    /// Section `memory`.
    pub memory: MemoryFacts,
    /// Section `persistence`.
    pub persistence: PersistenceFacts,
    /// Sections `stats`, `commandstats`, `errorstats` and `latencystats`: merged over cores.
    pub counters: Counters,
    /// What section `stats` tells besides the counters.
    pub stats: StatsFacts,
    /// Section `cpu`.
    pub cpu: CpuFacts,
    /// Section `shards`: one for each shard, in order.
    pub shards: Vec<ShardFacts>,
    /// Section `keyspace`: one for each database, summed over shards; empty ones are not shown.
    pub keyspace: Vec<DbFacts>,
    /// The percentiles of section `latencystats`; none when `latency-tracking` is off.
    pub percentiles: Vec<f64>,
}

/// About the process.
#[derive(Clone, Debug, Default)]
pub struct ServerFacts {
    /// `Linux 6.8.0 x86_64`.
    pub os: String,
    /// Process id.
    pub process_id: u32,
    /// 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// The TCP port.
    pub tcp_port: u16,
    /// The addresses it listens on, as configured.
    pub bind: Vec<String>,
    /// Microseconds since 1970.
    pub time_usec: u64,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Path of the executable.
    pub executable: String,
    /// Path of the configuration file; empty: none.
    pub config_file: String,
    /// Cores that the process may use.
    pub cores: usize,
}

/// About connections.
#[derive(Clone, Debug, Default)]
pub struct ClientFacts {
    /// Open connections.
    pub connected: usize,
    /// The limit on them.
    pub max: usize,
    /// The largest buffer of requests of a client now.
    pub max_input_buffer: usize,
    /// The largest buffer of replies of a client now.
    pub max_output_buffer: usize,
    /// Clients that wait in a blocking command.
    pub blocked: usize,
    /// Keys that they wait for.
    pub blocking_keys: usize,
    /// Clients with CLIENT TRACKING.
    pub tracking: usize,
    /// Clients that have subscribed to something.
    pub pubsub: usize,
    /// Clients that watch keys.
    pub watching: usize,
    /// Keys that are watched.
    pub watched_keys: usize,
}

/// About memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryFacts {
    /// Bytes of keys, values and their tables.
    pub dataset: u64,
    /// Bytes that the process has asked for: the data, buffers, and what was there at start.
    pub used: u64,
    /// The largest `used` that was seen.
    pub peak: u64,
    /// Bytes used when the server had just started.
    pub startup: u64,
    /// Bytes that the kernel keeps in memory for the process.
    pub rss: u64,
    /// Bytes of memory of the machine.
    pub total_system: u64,
    /// The limit; 0: none.
    pub max: u64,
    /// What is evicted at the limit.
    pub policy: &'static str,
    /// Bytes of buffers of clients.
    pub clients: u64,
    /// Bytes of log that wait to be written.
    pub aof_buffer: u64,
    /// Values that were removed and are still being freed.
    pub lazyfree_pending: u64,
    /// Values that were freed in slices.
    pub lazyfreed: u64,
    /// The allocator.
    pub allocator: &'static str,
}

/// About snapshots, the log and loading.
#[derive(Clone, Debug, Default)]
pub struct PersistenceFacts {
    /// Loading, if it goes on.
    pub loading: Option<LoadingFacts>,
    /// Changes since the last snapshot.
    pub changes_since_save: u64,
    /// The snapshot or checkpoint that goes on, if one does.
    pub running: Option<RunningFacts>,
    /// Has a BGREWRITEAOF to wait for the snapshot?
    pub rewrite_scheduled: bool,
    /// Unix second of the last good snapshot.
    pub last_save_second: u64,
    /// The last snapshot.
    pub last_save: Option<EndedFacts>,
    /// Good snapshots since the start.
    pub saves: u64,
    /// The last rewrite.
    pub last_rewrite: Option<EndedFacts>,
    /// Good rewrites since the start.
    pub rewrites: u64,
    /// Rewrites that failed since one succeeded.
    pub rewrite_failures: u64,
    /// Keys that had expired before they were loaded.
    pub load_expired: u64,
    /// Keys that were loaded at start.
    pub load_keys: u64,
    /// Has writing or syncing the log failed on any shard, without a new checkpoint since?
    pub log_failed: bool,
    /// The log, if it is on.
    pub log: Option<LogFacts>,
    /// Figures of the snapshot that goes on, or else of the last one.
    pub snapshot: SnapshotFacts,
    /// The generation that the manifest names.
    pub generation: Generation,
    /// The current epoch.
    pub epoch: Epoch,
    /// Older generations that are kept.
    pub retained: usize,
}

/// About loading at start.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadingFacts {
    /// Unix second at which it began.
    pub start_second: u64,
    /// Bytes to be read.
    pub total_bytes: u64,
    /// Bytes that were read.
    pub loaded_bytes: u64,
    /// Seconds that it has taken so far.
    pub seconds: u64,
}

/// What a checkpoint is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// SAVE, BGSAVE or a save point.
    Save,
    /// BGREWRITEAOF, or the automatic rewrite.
    Rewrite,
}

/// A checkpoint that goes on.
#[derive(Clone, Copy, Debug)]
pub struct RunningFacts {
    /// What for.
    pub purpose: Purpose,
    /// Seconds since it began.
    pub seconds: u64,
    /// Keys that were written.
    pub keys_done: u64,
    /// Keys at the cut.
    pub keys_total: u64,
}

/// A checkpoint that has ended.
#[derive(Clone, Copy, Debug)]
pub struct EndedFacts {
    /// Seconds that it took.
    pub seconds: u64,
    /// Did it succeed?
    pub good: bool,
}

/// About the log, summed over shards.
#[derive(Clone, Debug, Default)]
pub struct LogFacts {
    /// Bytes of base and segments.
    pub current_size: u64,
    /// That figure after the last checkpoint.
    pub base_size: u64,
    /// Bytes that wait to be written.
    pub buffer_length: u64,
    /// Syncs that have been asked for and not finished.
    pub pending_syncs: u64,
    /// Syncs since the start.
    pub syncs: u64,
    /// Syncs that took longer than a second, so that the next one was late.
    pub delayed_syncs: u64,
}

/// Figures of a snapshot, summed over shards unless they say otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotFacts {
    /// Bytes written to files.
    pub bytes_written: u64,
    /// Slices run.
    pub slices: u64,
    /// The longest slice of any shard, in microseconds.
    pub longest_slice_usec: u64,
    /// Slices of more than 100 microseconds.
    pub slow_slices: u64,
    /// Bytes of values that wait to be written as they were at the cut.
    pub preimage_bytes: u64,
    /// The largest such figure of this snapshot.
    pub preimage_bytes_peak: u64,
    /// Writers that had to write a part of the snapshot themselves.
    pub writers_assisted: u64,
    /// Writers that had to wait for the disk.
    pub writers_waited: u64,
    /// Microseconds from the advance of the epoch until the last shard had passed the cut.
    pub cut_usec: u64,
}

/// About the process's use of processors, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuFacts {
    /// In the kernel.
    pub system: f64,
    /// Outside.
    pub user: f64,
    /// In the kernel, the first shard's thread.
    pub system_main_thread: f64,
    /// Outside, the first shard's thread.
    pub user_main_thread: f64,
}

/// What section `stats` tells that is not counted per core.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatsFacts {
    /// Commands a second.
    pub ops_per_second: u64,
    /// Bytes read a second.
    pub input_per_second: u64,
    /// Bytes written a second.
    pub output_per_second: u64,
    /// Channels with subscribers.
    pub pubsub_channels: usize,
    /// Patterns with subscribers.
    pub pubsub_patterns: usize,
    /// Sharded channels with subscribers.
    pub pubsub_shard_channels: usize,
    /// Keys that are remembered for client-side caching.
    pub tracking_keys: usize,
    /// Pairs of such keys and clients.
    pub tracking_items: usize,
    /// Prefixes of CLIENT TRACKING BCAST.
    pub tracking_prefixes: usize,
}

/// How a shard's log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogState {
    /// There is none.
    #[default]
    Off,
    /// It works.
    Good,
    /// Writing or syncing failed: writes are refused until a checkpoint makes a new one.
    Failed(String),
}

/// About one shard.
#[derive(Clone, Debug, Default)]
pub struct ShardFacts {
    /// Which.
    pub shard: ShardId,
    /// Its keys, of all databases.
    pub keys: u64,
    /// Bytes of keys, values and tables.
    pub bytes: u64,
    /// Clients of its core.
    pub clients: usize,
    /// Commands that its core has executed.
    pub commands: u64,
    /// How its log is.
    pub log: LogState,
    /// The last position that was appended.
    pub appended: Lsn,
    /// The last position that is in the file.
    pub written: Lsn,
    /// The last position that is on the device.
    pub synced: Lsn,
}

/// About one database.
#[derive(Clone, Copy, Debug, Default)]
pub struct DbFacts {
    /// Which.
    pub db: Db,
    /// Its keys.
    pub keys: u64,
    /// Those with a deadline.
    pub expires: u64,
    /// Their mean time to live, in milliseconds.
    pub avg_ttl: u64,
}

/// What scripts take.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScriptFacts {
    /// Texts that are kept.
    pub kept: u64,
    /// Their bytes.
    pub texts: u64,
    /// Bytes that the interpreters of all cores hold.
    pub lua: u64,
    /// Libraries of functions.
    pub libraries: u64,
    /// Functions in them.
    pub functions: u64,
    /// Bytes that they take, without what is compiled.
    pub registered: u64,
}
