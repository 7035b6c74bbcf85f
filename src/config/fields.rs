//! The typed settings. A field is named as its directive, with `_` for `-`.

use std::collections::BTreeMap;

use crate::config::users::UserLine;
use crate::config::values::{
    Access, BufferLimits, EvictionPolicy, Fsync, LogLevel, NewChannels, Recovery, SavePoint, Value,
};

/// Declares `Config` and a blank one, which exists only until the table's defaults are applied.
macro_rules! config {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)+) => {
        /// Every setting that the server reads. `Config::default()` holds the table's defaults.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Config {
            $($(#[$doc])* pub $name: $type,)+
            /// Directives `user`.
            pub users: Vec<UserLine>,
            /// Redis' directives that are kept for CONFIG GET and do nothing, by name.
            pub(crate) inert: BTreeMap<&'static str, Value>,
        }

        impl Config {
            pub(super) fn blank() -> Config {
                Config {
                    $($name: <$type>::default(),)+
                    users: Vec::new(),
                    inert: BTreeMap::new(),
                }
            }
        }
    };
}

config! {
    /// Addresses to listen on; `*` and `::*` are all, a leading `-` says "if it exists".
    bind: Vec<String>,
    /// TCP port; 0: none.
    port: u16,
    /// Connections that the kernel keeps waiting for accept.
    tcp_backlog: u32,
    /// Seconds between keepalive probes; 0: off.
    tcp_keepalive: u32,
    /// Seconds after which an idle client is closed; 0: never.
    timeout: u64,
    /// Refuse remote clients while there is no password and bind is not set.
    protected_mode: bool,
    /// Clients at one time.
    maxclients: usize,
    /// The password of the default user; empty: none.
    requirepass: String,
    /// The file of users; empty: none. Relative to `dir`.
    aclfile: String,
    /// Entries of the log of what users were denied.
    acllog_max_len: usize,
    /// The channels of a new user.
    acl_pubsub_default: NewChannels,

    /// Numbered databases.
    databases: u16,
    /// Shards, one thread each; 0: as many as cores are available.
    shards: u16,
    /// Where MANIFEST and the generations live.
    dir: String,
    /// Is there a log?
    appendonly: bool,
    /// When the log is synced.
    appendfsync: Fsync,
    /// Save points; empty: no automatic snapshot.
    save: Vec<SavePoint>,
    /// Refuse writes after a failed snapshot.
    stop_writes_on_bgsave_error: bool,
    /// Growth of the log over its base that starts a checkpoint, in percent; 0: never.
    auto_aof_rewrite_percentage: u32,
    /// Bytes of log below which no automatic checkpoint starts.
    auto_aof_rewrite_min_size: u64,
    /// Is the base of the log a snapshot (yes) or RESP commands (no)?
    aof_use_rdb_preamble: bool,
    /// Start although the log's tail is torn, after cutting it.
    aof_load_truncated: bool,
    /// Redis' dump, which a first start imports.
    dbfilename: String,
    /// Redis' log, which a first start imports.
    appendfilename: String,
    /// The directory of Redis' log.
    appenddirname: String,
    /// Compress snapshot chunks (lz4).
    rdbcompression: bool,
    /// Kept for CONFIG GET: checksums are always written and checked.
    rdbchecksum: bool,
    /// How much of the log a start keeps.
    recovery: Recovery,
    /// Older generations that a checkpoint leaves in place.
    retain_generations: u32,
    /// The directory of the backups that BACKUP makes; relative to `dir`.
    backupdirname: String,
    /// Hours of which the last backup stays.
    backup_keep_hourly: u32,
    /// Days of which the last backup stays.
    backup_keep_daily: u32,
    /// Months of which the last backup stays.
    backup_keep_monthly: u32,

    /// Fields up to which a hash calls itself a listpack.
    hash_max_listpack_entries: usize,
    /// Bytes of a field or value up to which a hash calls itself a listpack.
    hash_max_listpack_value: u64,
    /// Members up to which a set of integers calls itself an intset.
    set_max_intset_entries: usize,
    /// Members up to which a set calls itself a listpack.
    set_max_listpack_entries: usize,
    /// Bytes of a member up to which a set calls itself a listpack.
    set_max_listpack_value: u64,
    /// Members up to which a sorted set calls itself a listpack.
    zset_max_listpack_entries: usize,
    /// Bytes of a member up to which a sorted set calls itself a listpack.
    zset_max_listpack_value: u64,
    /// Elements (positive) or size class (-1 to -5: 4 to 64 KiB) of a list that is a listpack.
    list_max_listpack_size: i32,
    /// Kept for CONFIG GET: list nodes are not compressed.
    list_compress_depth: u32,
    /// Bytes of one stream node.
    stream_node_max_bytes: u64,
    /// Entries of one stream node.
    stream_node_max_entries: u64,
    /// Bytes up to which a HyperLogLog stays sparse.
    hll_sparse_max_bytes: u64,

    /// Bytes of memory; 0: no limit.
    maxmemory: u64,
    /// What is evicted at maxmemory.
    maxmemory_policy: EvictionPolicy,
    /// Keys that eviction looks at for each one that it picks.
    maxmemory_samples: u32,
    /// How much of the core's time expiry may take, 1 to 10.
    active_expire_effort: u32,
    /// How fast the LFU counter saturates.
    lfu_log_factor: u32,
    /// Minutes after which the LFU counter is decremented.
    lfu_decay_time: u32,

    /// Bytes of one bulk string in a request.
    proto_max_bulk_len: u64,
    /// Bytes of one client's unprocessed requests.
    client_query_buffer_limit: u64,
    /// When a client that does not read is closed.
    client_output_buffer_limit: BufferLimits,
    /// Which events are published about keys.
    notify_keyspace_events: String,
    /// Keys remembered for client-side caching; 0: no limit.
    tracking_table_max_keys: u64,

    /// Microseconds above which a command goes to the slow log; negative: none does.
    slowlog_log_slower_than: i64,
    /// Entries of the slow log.
    slowlog_max_len: usize,
    /// Milliseconds above which LATENCY keeps an event; 0: off.
    latency_monitor_threshold: u64,
    /// Keep a latency histogram for each command.
    latency_tracking: bool,
    /// The percentiles that INFO latencystats shows.
    latency_tracking_info_percentiles: Vec<f64>,
    /// Which log lines are written.
    loglevel: LogLevel,
    /// File that log lines go to; empty: standard output.
    logfile: String,
    /// File that holds the process id; empty: none.
    pidfile: String,

    /// Who may use DEBUG.
    enable_debug_command: Access,
    /// Milliseconds after which a script may be killed.
    busy_reply_threshold: u64,
}
