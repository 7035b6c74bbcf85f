//! The rows that the server reads, by subject, and the way to find any row.

use crate::config::kind::Kind::{
    Buffers, Events, FileName, Memory, Number, OneOf, Percentiles, Save, Text, Words, YesNo,
};
use crate::config::table::foreign::FOREIGN;
use crate::config::table::row::{Setting, at};
use crate::config::values::{Access, EvictionPolicy, Fsync, LogLevel, NewChannels, Recovery};

/// Settings of one subject.
#[derive(Debug)]
pub struct Section {
    /// The subject.
    pub title: &'static str,
    /// Its settings.
    pub rows: &'static [Setting],
}

/// All settings: those that are read first, Redis' others last.
pub static TABLE: &[Section] = &[
    Section { title: "Network", rows: NETWORK },
    Section { title: "General", rows: GENERAL },
    Section { title: "Persistence", rows: PERSISTENCE },
    Section { title: "Memory", rows: MEMORY },
    Section { title: "Clients", rows: CLIENTS },
    Section { title: "Observation", rows: OBSERVATION },
    Section { title: "Encodings", rows: ENCODINGS },
    Section { title: "Directives of Redis without effect", rows: FOREIGN },
];

/// Every row of the table.
pub fn rows() -> impl Iterator<Item = &'static Setting> {
    TABLE.iter().flat_map(|section| section.rows)
}

/// The row with this name or alias, in any case.
pub fn find(name: &str) -> Option<&'static Setting> {
    rows().find(|row| row.is_called(name))
}

const I32: i64 = i32::MAX as i64;
const ANY: i64 = i64::MAX;
const MIB: i64 = 1 << 20;

const NETWORK: &[Setting] = &[
    Setting::new("bind", Words(0, 16), "127.0.0.1 -::1").is(
        at!(bind),
        "Addresses to listen on. * and ::* mean all; a leading - means: only if this machine has \
         the address.",
    ),
    Setting::new("port", Number(0, 65_535), "6379")
        .is(at!(port), "TCP port to listen on. 0: no TCP."),
    Setting::new("tcp-backlog", Number(0, I32), "511")
        .is(at!(tcp_backlog), "Connections that the kernel keeps waiting until they are accepted."),
    Setting::new("tcp-keepalive", Number(0, I32), "300")
        .live()
        .is(at!(tcp_keepalive), "Seconds between keepalive probes of a silent client. 0: none."),
    Setting::new("timeout", Number(0, I32), "0")
        .live()
        .is(at!(timeout), "Seconds after which an idle client is closed. 0: never."),
    Setting::new("protected-mode", YesNo, "yes")
        .live()
        .is(at!(protected_mode), "Refuse clients of other machines as long as no password is set."),
    Setting::new("maxclients", Number(1, u32::MAX as i64), "10000")
        .live()
        .is(at!(maxclients), "Clients that may be connected at one time."),
    Setting::new("requirepass", Text, "\"\"")
        .live()
        .is(at!(requirepass), "Password of the default user. Empty: none is needed."),
    Setting::new("aclfile", Text, "\"\"").is(
        at!(aclfile),
        "File of users, relative to dir, which ACL LOAD reads and ACL SAVE writes. Empty: none; \
         users are then directives of this file, `user <name> <rules>`.",
    ),
    Setting::new("acllog-max-len", Number(0, ANY), "128").live().is(
        at!(acllog_max_len),
        "Entries of ACL LOG, which shows what users were denied. 0: none.",
    ),
    Setting::new("acl-pubsub-default", OneOf(NewChannels::WORDS), "resetchannels")
        .live()
        .is(at!(acl_pubsub_default), "The channels that a new user may use: all, or none."),
];

const GENERAL: &[Setting] = &[
    Setting::new("shards", Number(0, 1024), "0").is(
        at!(shards),
        "Shards of the keyspace, one thread each. 0: one for each core available to the process.",
    ),
    Setting::new("databases", Number(1, 16_384), "16")
        .is(at!(databases), "Numbered databases, chosen by SELECT."),
    Setting::new("loglevel", OneOf(LogLevel::WORDS), "notice")
        .live()
        .is(at!(loglevel), "How much is logged."),
    Setting::new("logfile", Text, "\"\"")
        .is(at!(logfile), "File that log lines are appended to. Empty: standard output."),
    Setting::new("pidfile", Text, "\"\"")
        .is(at!(pidfile), "File that holds the process id while the server runs. Empty: none."),
    Setting::new("enable-debug-command", OneOf(Access::WORDS), "local").is(
        at!(enable_debug_command),
        "Who may use DEBUG: nobody, everybody, or connections from this machine.",
    ),
];

const PERSISTENCE: &[Setting] = &[
    Setting::new("dir", Text, "./data")
        .is(at!(dir), "Directory of the database. One server at a time uses it."),
    Setting::new("appendonly", YesNo, "yes")
        .live()
        .is(at!(appendonly), "Keep a log of every change, and load it at start."),
    Setting::new("appendfsync", OneOf(Fsync::WORDS), "everysec").live().is(
        at!(appendfsync),
        "When the log is synced. always: before the reply. everysec: within a second. no: when \
         the kernel likes. Under each of them a reply leaves only after the write to the file.",
    ),
    Setting::new("save", Save, "3600 1 300 100 60 10000").live().is(
        at!(save),
        "Save points: after <seconds> with at least <changes> changes a snapshot starts. Any \
         number of them; \"\" for none.",
    ),
    Setting::new("stop-writes-on-bgsave-error", YesNo, "yes").live().is(
        at!(stop_writes_on_bgsave_error),
        "Refuse writes after a failed snapshot until one succeeds, if there are save points.",
    ),
    Setting::new("auto-aof-rewrite-percentage", Number(0, I32), "100").live().is(
        at!(auto_aof_rewrite_percentage),
        "Make a checkpoint when the log has grown by so many percent over its base. 0: never.",
    ),
    Setting::new("auto-aof-rewrite-min-size", Memory(0, ANY), "64mb")
        .live()
        .is(at!(auto_aof_rewrite_min_size), "Size of the log below which that does not happen."),
    Setting::new("aof-use-rdb-preamble", YesNo, "yes").live().is(
        at!(aof_use_rdb_preamble),
        "Base of the log: a snapshot (yes), or commands as readable text (no).",
    ),
    Setting::new("aof-load-truncated", YesNo, "yes").live().is(
        at!(aof_load_truncated),
        "Start when the log ends in the middle of a record: its tail is cut and kept aside (yes). \
         Or refuse (no).",
    ),
    Setting::new("dbfilename", FileName, "dump.rdb").is(
        at!(dbfilename),
        "Redis' dump in dir: imported by a start that finds no manifest. Nothing is written to it.",
    ),
    Setting::new("appendfilename", FileName, "appendonly.aof").is(
        at!(appendfilename),
        "Redis' append-only file, imported likewise: with appendonly yes before a dump.",
    ),
    Setting::new("appenddirname", FileName, "appendonlydir")
        .is(at!(appenddirname), "The directory in dir in which Redis 7 keeps that file's parts."),
    Setting::new("rdbcompression", YesNo, "yes")
        .live()
        .is(at!(rdbcompression), "Compress the chunks of snapshots (lz4)."),
    Setting::new("rdbchecksum", YesNo, "yes")
        .partly("checksums are always written and checked")
        .is(at!(rdbchecksum), "Checksums; they are always on."),
    Setting::new("recovery", OneOf(Recovery::WORDS), "auto").is(
        at!(recovery),
        "auto: after the death of the process keep the whole log, after a power cut the prefix \
         that is proven complete on all shards. strict: always that prefix.",
    ),
    Setting::new("retain-generations", Number(0, 10_000), "0").live().is(
        at!(retain_generations),
        "Older generations that a checkpoint keeps, to restore to an earlier moment.",
    ),
    Setting::new("backupdirname", Text, "backups").is(
        at!(backupdirname),
        "Directory of the backups that the command BACKUP makes; relative to dir.",
    ),
    Setting::new("backup-keep-hourly", Number(0, I32), "0").live().is(
        at!(backup_keep_hourly),
        "Hours of each of which the last backup stays. BACKUP SEAL removes what neither an hour \
         nor a day nor a month keeps; with 0 for all three it removes nothing.",
    ),
    Setting::new("backup-keep-daily", Number(0, I32), "0")
        .live()
        .is(at!(backup_keep_daily), "The same for days."),
    Setting::new("backup-keep-monthly", Number(0, I32), "0")
        .live()
        .is(at!(backup_keep_monthly), "The same for months."),
];

const MEMORY: &[Setting] = &[
    Setting::new("maxmemory", Memory(0, ANY), "0").live().is(
        at!(maxmemory),
        "Memory that the data may take. Above it keys are evicted, or commands that need more \
             are refused; shards hear of each other's memory every 50 ms. 0: no limit.",
    ),
    Setting::new("maxmemory-policy", OneOf(EvictionPolicy::WORDS), "noeviction")
        .live()
        .is(at!(maxmemory_policy), "What is evicted when maxmemory is reached."),
    Setting::new("maxmemory-samples", Number(1, I32), "5")
        .live()
        .is(at!(maxmemory_samples), "Keys that are looked at for each one that is evicted."),
    Setting::new("active-expire-effort", Number(1, 10), "1")
        .live()
        .is(at!(active_expire_effort), "How much time the removal of expired keys may take."),
    Setting::new("lfu-log-factor", Number(0, I32), "10")
        .live()
        .is(at!(lfu_log_factor), "How slowly the counter of an LFU policy saturates."),
    Setting::new("lfu-decay-time", Number(0, I32), "1")
        .live()
        .is(at!(lfu_decay_time), "Minutes after which that counter is decremented."),
];

const CLIENTS: &[Setting] = &[
    Setting::new("proto-max-bulk-len", Memory(MIB, ANY), "512mb")
        .live()
        .is(at!(proto_max_bulk_len), "Size of one string, in a request and at a key."),
    Setting::new("client-query-buffer-limit", Memory(MIB, ANY), "1gb")
        .live()
        .is(at!(client_query_buffer_limit), "Size of one client's requests that still wait."),
    Setting::new(
        "client-output-buffer-limit",
        Buffers,
        "normal 256mb 0 0 slave 256mb 64mb 60 pubsub 32mb 8mb 60",
    )
    .live()
    .is(
        at!(client_output_buffer_limit),
        "<class> <hard> <soft> <seconds>, as in Redis. A client's replies are bounded without it: \
         its commands wait while it does not read.",
    ),
    Setting::new("notify-keyspace-events", Events, "\"\"").live().is(
        at!(notify_keyspace_events),
        "Which events are published about keys: letters as in Redis, such as KEA. Empty: none.",
    ),
    Setting::new("tracking-table-max-keys", Number(0, ANY), "1000000").live().is(
        at!(tracking_table_max_keys),
        "Keys that are remembered for clients with CLIENT TRACKING. 0: no limit.",
    ),
    Setting::new("busy-reply-threshold", Number(0, ANY), "5000").live().alias("lua-time-limit").is(
        at!(busy_reply_threshold),
        "Milliseconds after which other clients are told that a script runs. 0: never.",
    ),
];

const OBSERVATION: &[Setting] = &[
    Setting::new("slowlog-log-slower-than", Number(-1, ANY), "10000").live().is(
        at!(slowlog_log_slower_than),
        "Microseconds from which a command is kept in the slow log. 0: every one. -1: none.",
    ),
    Setting::new("slowlog-max-len", Number(0, ANY), "128")
        .live()
        .is(at!(slowlog_max_len), "Entries of the slow log."),
    Setting::new("latency-monitor-threshold", Number(0, ANY), "0")
        .live()
        .is(at!(latency_monitor_threshold), "Milliseconds from which LATENCY keeps an event."),
    Setting::new("latency-tracking", YesNo, "yes")
        .live()
        .is(at!(latency_tracking), "Keep a histogram of latencies for each command."),
    Setting::new("latency-tracking-info-percentiles", Percentiles, "50 99 99.9")
        .live()
        .is(at!(latency_tracking_info_percentiles), "The percentiles in INFO latencystats."),
];

const ENCODINGS: &[Setting] = &[
    Setting::new("hash-max-listpack-entries", Number(0, ANY), "512")
        .live()
        .alias("hash-max-ziplist-entries")
        .is(at!(hash_max_listpack_entries), "Fields up to which a hash is compact."),
    Setting::new("hash-max-listpack-value", Memory(0, ANY), "64")
        .live()
        .alias("hash-max-ziplist-value")
        .is(at!(hash_max_listpack_value), "Bytes of a field or value up to which it is."),
    Setting::new("set-max-intset-entries", Number(0, ANY), "512")
        .live()
        .is(at!(set_max_intset_entries), "Members up to which a set of integers is compact."),
    Setting::new("set-max-listpack-entries", Number(0, ANY), "128")
        .live()
        .is(at!(set_max_listpack_entries), "Members up to which another set is compact."),
    Setting::new("set-max-listpack-value", Memory(0, ANY), "64")
        .live()
        .is(at!(set_max_listpack_value), "Bytes of a member up to which it is."),
    Setting::new("zset-max-listpack-entries", Number(0, ANY), "128")
        .live()
        .alias("zset-max-ziplist-entries")
        .is(at!(zset_max_listpack_entries), "Members up to which a sorted set is compact."),
    Setting::new("zset-max-listpack-value", Memory(0, ANY), "64")
        .live()
        .alias("zset-max-ziplist-value")
        .is(at!(zset_max_listpack_value), "Bytes of a member up to which it is."),
    Setting::new("list-max-listpack-size", Number(i32::MIN as i64, I32), "-2")
        .live()
        .alias("list-max-ziplist-size")
        .is(at!(list_max_listpack_size), "Elements (or -1..-5: 4..64 KiB) of a compact list."),
    Setting::new("list-compress-depth", Number(0, I32), "0")
        .live()
        .partly("lists are not compressed in memory")
        .is(at!(list_compress_depth), "Nodes at each end of a list that are not compressed."),
    Setting::new("stream-node-max-bytes", Memory(0, ANY), "4096")
        .live()
        .is(at!(stream_node_max_bytes), "Bytes of one node of a stream."),
    Setting::new("stream-node-max-entries", Number(0, ANY), "100")
        .live()
        .is(at!(stream_node_max_entries), "Entries of one node of a stream."),
    Setting::new("hll-sparse-max-bytes", Memory(0, ANY), "3000")
        .live()
        .is(at!(hll_sparse_max_bytes), "Bytes up to which a HyperLogLog is sparse."),
];
