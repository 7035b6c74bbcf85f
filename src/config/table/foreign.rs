//! The directives of Redis 7.2 that have no meaning here, or none yet: each accepted for a reason
//! that is logged once, or refused when it asks for what is not there.

use crate::config::kind::Kind::{Memory, Number, OneOf, Several, Share, Text, Words, YesNo};
use crate::config::table::row::{Setting, Standing};

const I32: i64 = i32::MAX as i64;
const ANY: i64 = i64::MAX;

const TABLES: &str = "tables grow by bounded splits and are never rehashed at once";
const TURNS: &str = "upkeep runs in every turn of a core, not at a fixed frequency";
const SLICES: &str = "big values are always freed in slices";
const THREADS: &str = "every shard has its own thread that does its own input and output";
const FORK: &str = "nothing is forked and no background thread serves the disk";
const ALLOCATOR: &str = "this is about an allocator that is not used here";
const SYNCS: &str = "files are synced as they are written";
const TIMES: &str = "every record of the log carries its time";
const PREFIX: &str = "the log is never delayed by a snapshot, so there is nothing to trade";
const CRASHES: &str = "a crash prints its own report";
const PROCESS: &str = "the process does not change its own title or priority";
const PROTECTED: &str = "no setting is protected: what could be abused can only be set at start";
const SHUTDOWN: &str = "a signal always ends the server with a final sync, and with a snapshot if \
                        there are save points";
const TRUSTED: &str = "what is restored or loaded is always checked";
const NO_REPLICAS: &str = "there are no replicas yet";
const NO_CLUSTER: &str = "there is no cluster mode yet";
const NO_TLS: &str = "TLS is not supported yet";
const NO_SYSLOG: &str = "there is no output to syslog; pipe standard output into logger(1)";
const NO_SOCKET: &str = "unix sockets are not supported yet";
const NO_DAEMON: &str = "the server stays in the foreground: use a service manager, or `&`";
const NO_SUPERVISOR: &str = "supervisors are not notified yet";
const NO_MODULES: &str = "there are no modules";
const NO_EVICTION: &str = "clients are not evicted yet";

const fn at_start(name: &'static str, kind: crate::config::kind::Kind, d: &'static str) -> Setting {
    Setting::new(name, kind, d)
}

const fn live(name: &'static str, kind: crate::config::kind::Kind, d: &'static str) -> Setting {
    Setting::new(name, kind, d).live()
}

/// The rows, in alphabetical order.
pub const FOREIGN: &[Setting] = &[
    live("active-defrag-cycle-max", Number(1, 99), "25").inert(ALLOCATOR),
    live("active-defrag-cycle-min", Number(1, 99), "1").inert(ALLOCATOR),
    live("active-defrag-ignore-bytes", Memory(1, ANY), "100mb").inert(ALLOCATOR),
    live("active-defrag-max-scan-fields", Number(1, ANY), "1000").inert(ALLOCATOR),
    live("active-defrag-threshold-lower", Number(0, 1000), "10").inert(ALLOCATOR),
    live("active-defrag-threshold-upper", Number(0, 1000), "100").inert(ALLOCATOR),
    live("activedefrag", YesNo, "no").inert(ALLOCATOR),
    live("activerehashing", YesNo, "yes").inert(TABLES),
    at_start("always-show-logo", YesNo, "no").inert("there is no logo"),
    live("aof-disable-auto-gc", YesNo, "no").inert("retain-generations decides it"),
    live("aof-rewrite-incremental-fsync", YesNo, "yes").inert(SYNCS),
    live("aof-timestamp-enabled", YesNo, "no").inert(TIMES),
    at_start("aof_rewrite_cpulist", Text, "\"\"").inert(FORK),
    at_start("bgsave_cpulist", Text, "\"\"").inert(FORK),
    live("bind-source-addr", Text, "\"\"").inert(NO_REPLICAS),
    at_start("bio_cpulist", Text, "\"\"").inert(FORK),
    live("cluster-allow-pubsubshard-when-down", YesNo, "yes").inert(NO_CLUSTER),
    live("cluster-allow-reads-when-down", YesNo, "no").inert(NO_CLUSTER),
    live("cluster-allow-replica-migration", YesNo, "yes").inert(NO_CLUSTER),
    live("cluster-announce-bus-port", Number(0, 65_535), "0").inert(NO_CLUSTER),
    live("cluster-announce-hostname", Text, "\"\"").inert(NO_CLUSTER),
    live("cluster-announce-human-nodename", Text, "\"\"").inert(NO_CLUSTER),
    live("cluster-announce-ip", Text, "\"\"").inert(NO_CLUSTER),
    live("cluster-announce-port", Number(0, 65_535), "0").inert(NO_CLUSTER),
    live("cluster-announce-tls-port", Number(0, 65_535), "0").inert(NO_CLUSTER),
    at_start("cluster-config-file", Text, "nodes.conf").inert(NO_CLUSTER),
    at_start("cluster-enabled", YesNo, "no").only(NO_CLUSTER),
    live("cluster-link-sendbuf-limit", Memory(0, ANY), "0").inert(NO_CLUSTER),
    live("cluster-migration-barrier", Number(0, I32), "1").inert(NO_CLUSTER),
    live("cluster-node-timeout", Number(0, ANY), "15000").inert(NO_CLUSTER),
    at_start("cluster-port", Number(0, 65_535), "0").inert(NO_CLUSTER),
    live("cluster-preferred-endpoint-type", OneOf(&["ip", "hostname", "unknown-endpoint"]), "ip")
        .inert(NO_CLUSTER),
    live("cluster-replica-no-failover", YesNo, "no")
        .alias("cluster-slave-no-failover")
        .inert(NO_CLUSTER),
    live("cluster-replica-validity-factor", Number(0, I32), "10")
        .alias("cluster-slave-validity-factor")
        .inert(NO_CLUSTER),
    live("cluster-require-full-coverage", YesNo, "yes").inert(NO_CLUSTER),
    live("crash-log-enabled", YesNo, "yes").inert(CRASHES),
    live("crash-memcheck-enabled", YesNo, "yes").inert(CRASHES),
    at_start("daemonize", YesNo, "no").only(NO_DAEMON),
    at_start("disable-thp", YesNo, "yes")
        .inert("huge pages save a sixth of the CPU, and without fork nothing is copied"),
    live("dynamic-hz", YesNo, "yes").inert(TURNS),
    at_start("enable-module-command", OneOf(&["no", "yes", "local"]), "no").inert(NO_MODULES),
    at_start("enable-protected-configs", OneOf(&["no", "yes", "local"]), "no").inert(PROTECTED),
    live("hz", Number(0, I32), "10").inert(TURNS),
    live("ignore-warnings", Text, "\"\"").inert("there are no such warnings"),
    at_start("io-threads", Number(1, 128), "1").inert(THREADS),
    at_start("io-threads-do-reads", YesNo, "no").inert(THREADS),
    live("jemalloc-bg-thread", YesNo, "yes").inert(ALLOCATOR),
    live("key-load-delay", Number(-I32, I32), "0").inert("for tests of Redis itself"),
    live("lazyfree-lazy-eviction", YesNo, "no").inert(SLICES),
    live("lazyfree-lazy-expire", YesNo, "no").inert(SLICES),
    live("lazyfree-lazy-server-del", YesNo, "no").inert(SLICES),
    live("lazyfree-lazy-user-del", YesNo, "no").inert(SLICES),
    live("lazyfree-lazy-user-flush", YesNo, "no").inert(SLICES),
    at_start("locale-collate", Text, "\"\"").inert("texts are compared as bytes"),
    live("masterauth", Text, "\"\"").inert(NO_REPLICAS),
    live("masteruser", Text, "\"\"").inert(NO_REPLICAS),
    live("maxmemory-clients", Share, "0").inert(NO_EVICTION),
    live("maxmemory-eviction-tenacity", Number(0, 100), "10").inert("eviction runs in slices"),
    live("min-replicas-max-lag", Number(0, I32), "10")
        .alias("min-slaves-max-lag")
        .inert(NO_REPLICAS),
    live("min-replicas-to-write", Number(0, I32), "0")
        .alias("min-slaves-to-write")
        .only(NO_REPLICAS),
    live("no-appendfsync-on-rewrite", YesNo, "no").inert(PREFIX),
    live("oom-score-adj", OneOf(&["no", "yes", "relative", "absolute"]), "no").inert(PROCESS),
    live("oom-score-adj-values", Words(3, 3), "0 200 800").inert(PROCESS),
    live("proc-title-template", Text, "\"{title} {listen-addr} {server-mode}\"").inert(PROCESS),
    live("propagation-error-behavior", OneOf(&["ignore", "panic", "panic-on-replicas"]), "ignore")
        .inert(NO_REPLICAS),
    live("rdb-del-sync-files", YesNo, "no").inert(NO_REPLICAS),
    live("rdb-key-save-delay", Number(-I32, I32), "0").inert("for tests of Redis itself"),
    live("rdb-save-incremental-fsync", YesNo, "yes").inert(SYNCS),
    live("repl-backlog-size", Memory(1, ANY), "1mb").inert(NO_REPLICAS),
    live("repl-backlog-ttl", Number(0, ANY), "3600").inert(NO_REPLICAS),
    live("repl-disable-tcp-nodelay", YesNo, "no").inert(NO_REPLICAS),
    live("repl-diskless-load", OneOf(&["disabled", "on-empty-db", "swapdb"]), "disabled")
        .inert(NO_REPLICAS),
    live("repl-diskless-sync", YesNo, "yes").inert(NO_REPLICAS),
    live("repl-diskless-sync-delay", Number(0, I32), "5").inert(NO_REPLICAS),
    live("repl-diskless-sync-max-replicas", Number(0, I32), "0").inert(NO_REPLICAS),
    live("repl-ping-replica-period", Number(1, I32), "10")
        .alias("repl-ping-slave-period")
        .inert(NO_REPLICAS),
    live("repl-timeout", Number(1, I32), "60").inert(NO_REPLICAS),
    live("replica-announce-ip", Text, "\"\"").alias("slave-announce-ip").inert(NO_REPLICAS),
    live("replica-announce-port", Number(0, 65_535), "0")
        .alias("slave-announce-port")
        .inert(NO_REPLICAS),
    live("replica-announced", YesNo, "yes").inert(NO_REPLICAS),
    live("replica-ignore-disk-write-errors", YesNo, "no").inert(NO_REPLICAS),
    live("replica-ignore-maxmemory", YesNo, "yes")
        .alias("slave-ignore-maxmemory")
        .inert(NO_REPLICAS),
    live("replica-lazy-flush", YesNo, "no").alias("slave-lazy-flush").inert(NO_REPLICAS),
    live("replica-priority", Number(0, I32), "100").alias("slave-priority").inert(NO_REPLICAS),
    live("replica-read-only", YesNo, "yes").alias("slave-read-only").inert(NO_REPLICAS),
    live("replica-serve-stale-data", YesNo, "yes")
        .alias("slave-serve-stale-data")
        .inert(NO_REPLICAS),
    at_start("replicaof", Words(0, 2), "\"\"").alias("slaveof").only(NO_REPLICAS),
    live("sanitize-dump-payload", OneOf(&["no", "yes", "clients"]), "no").inert(TRUSTED),
    at_start("server_cpulist", Text, "\"\"").inert("shards pin their own threads"),
    at_start("set-proc-title", YesNo, "yes").inert(PROCESS),
    live("shutdown-on-sigint", Several(SIGNAL), "default").inert(SHUTDOWN),
    live("shutdown-on-sigterm", Several(SIGNAL), "default").inert(SHUTDOWN),
    live("shutdown-timeout", Number(0, I32), "10").inert(NO_REPLICAS),
    at_start("socket-mark-id", Number(0, u32::MAX as i64), "0").only("sockets are not marked"),
    at_start("supervised", OneOf(&["upstart", "systemd", "auto", "no"]), "no").inert(NO_SUPERVISOR),
    at_start("syslog-enabled", YesNo, "no").only(NO_SYSLOG),
    at_start("syslog-facility", OneOf(FACILITY), "local0").inert(NO_SYSLOG),
    at_start("syslog-ident", Text, "redis").inert(NO_SYSLOG),
    live("tls-auth-clients", OneOf(&["no", "yes", "optional"]), "yes").inert(NO_TLS),
    live("tls-ca-cert-dir", Text, "\"\"").inert(NO_TLS),
    live("tls-ca-cert-file", Text, "\"\"").inert(NO_TLS),
    live("tls-cert-file", Text, "\"\"").inert(NO_TLS),
    live("tls-ciphers", Text, "\"\"").inert(NO_TLS),
    live("tls-ciphersuites", Text, "\"\"").inert(NO_TLS),
    live("tls-client-cert-file", Text, "\"\"").inert(NO_TLS),
    live("tls-client-key-file", Text, "\"\"").inert(NO_TLS),
    live("tls-client-key-file-pass", Text, "\"\"").inert(NO_TLS),
    live("tls-cluster", YesNo, "no").only(NO_TLS),
    live("tls-dh-params-file", Text, "\"\"").inert(NO_TLS),
    live("tls-key-file", Text, "\"\"").inert(NO_TLS),
    live("tls-key-file-pass", Text, "\"\"").inert(NO_TLS),
    live("tls-port", Number(0, 65_535), "0").only(NO_TLS),
    live("tls-prefer-server-ciphers", YesNo, "no").inert(NO_TLS),
    live("tls-protocols", Text, "\"\"").inert(NO_TLS),
    live("tls-replication", YesNo, "no").only(NO_TLS),
    live("tls-session-cache-size", Number(0, I32), "20480").inert(NO_TLS),
    live("tls-session-cache-timeout", Number(0, I32), "300").inert(NO_TLS),
    live("tls-session-caching", YesNo, "yes").inert(NO_TLS),
    at_start("unixsocket", Text, "\"\"").only(NO_SOCKET),
    at_start("unixsocketperm", Text, "0").inert(NO_SOCKET),
];

const SIGNAL: &[&str] = &["default", "save", "nosave", "now", "force"];

const FACILITY: &[&str] =
    &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

/// Directives that a file may hold and that are not settings: CONFIG does not know them.
pub const NOT_SETTINGS: &[(&str, Standing)] = &[
    ("list-max-ziplist-entries", Standing::Inert("Redis itself ignores it")),
    ("list-max-ziplist-value", Standing::Inert("Redis itself ignores it")),
    ("lua-replicate-commands", Standing::Inert("Redis itself ignores it")),
    ("loadmodule", Standing::Only(NO_MODULES)),
    ("rename-command", Standing::Only("commands cannot be renamed")),
    ("user", Standing::Works),
];
