//! What the sections of INFO say; `persistence` has a file of its own.

use crate::observe::counters::CommandStats;
use crate::observe::facts::{Facts, LogState};
use crate::observe::info::text::{Lines, human, ratio};
use crate::observe::version::{BASALT_VERSION, REDIS_VERSION};

/// Section `server`.
pub(super) fn server(facts: &Facts, out: &mut Lines) {
    let server = &facts.server;
    out.title("Server");
    out.line("redis_version", REDIS_VERSION);
    out.constants(&[
        ("redis_git_sha1", "00000000"),
        ("redis_git_dirty", "0"),
        ("redis_build_id", "0"),
        ("redis_mode", "standalone"),
    ]);
    out.line("basalt_version", BASALT_VERSION);
    out.line("os", &server.os);
    out.line("arch_bits", usize::BITS);
    out.constants(&[("monotonic_clock", "POSIX clock_gettime"), ("multiplexing_api", "io_uring")]);
    out.line("process_id", server.process_id);
    out.line("process_supervised", "no");
    out.line("run_id", &server.run_id);
    out.line("tcp_port", server.tcp_port);
    out.line("server_time_usec", server.time_usec);
    out.line("uptime_in_seconds", server.uptime_seconds);
    out.line("uptime_in_days", server.uptime_seconds / 86_400);
    out.constants(&[("hz", "10"), ("configured_hz", "10")]);
    // Seconds modulo 2^24, as in Redis.
    out.line("lru_clock", (server.time_usec / 1_000_000) & 0xff_ffff);
    out.line("executable", &server.executable);
    out.line("config_file", &server.config_file);
    out.line("io_threads_active", 0);
    out.line("shards", facts.shards.len());
    out.line("cores", server.cores);
    let bind: String = server.bind.iter().map(|address| format!(",bind={address}")).collect();
    out.line("listener0", format_args!("name=tcp{bind},port={}", server.tcp_port));
}

/// Section `clients`.
pub(super) fn clients(facts: &Facts, out: &mut Lines) {
    let clients = &facts.clients;
    out.title("Clients");
    out.line("connected_clients", clients.connected);
    out.line("cluster_connections", 0);
    out.line("maxclients", clients.max);
    out.line("client_recent_max_input_buffer", clients.max_input_buffer);
    out.line("client_recent_max_output_buffer", clients.max_output_buffer);
    out.line("blocked_clients", clients.blocked);
    out.line("tracking_clients", clients.tracking);
    out.line("pubsub_clients", clients.pubsub);
    out.line("watching_clients", clients.watching);
    out.line("clients_in_timeout_table", 0);
    out.line("total_watched_keys", clients.watched_keys);
    out.line("total_blocking_keys", clients.blocking_keys);
    out.line("total_blocking_keys_on_nokey", 0);
}

/// What the interpreters and the texts of scripts take.
fn scripts(facts: &Facts, out: &mut Lines) {
    let (kept, texts, lua) = (facts.scripts.kept, facts.scripts.texts, facts.scripts.lua);
    out.line("used_memory_lua", lua);
    out.line("used_memory_vm_eval", lua);
    out.line("used_memory_lua_human", human(lua));
    out.line("used_memory_scripts_eval", texts);
    out.line("number_of_cached_scripts", kept);
    out.line("number_of_functions", facts.scripts.functions);
    out.line("number_of_libraries", facts.scripts.libraries);
    // One interpreter runs both.
    out.line("used_memory_vm_functions", 0);
    out.line("used_memory_vm_total", lua);
    out.line("used_memory_vm_total_human", human(lua));
    out.line("used_memory_functions", facts.scripts.registered);
    let all = texts + facts.scripts.registered;
    out.line("used_memory_scripts", all);
    out.line("used_memory_scripts_human", human(all));
}

/// Section `memory`.
pub(super) fn memory(facts: &Facts, out: &mut Lines) {
    let memory = &facts.memory;
    let above_start = memory.used.saturating_sub(memory.startup);
    out.title("Memory");
    out.bytes("used_memory", memory.used);
    out.bytes("used_memory_rss", memory.rss);
    out.bytes("used_memory_peak", memory.peak);
    let percent = |part, whole| format!("{:.2}%", 100.0 * ratio(part, whole));
    out.line("used_memory_peak_perc", percent(memory.used, memory.peak));
    out.line("used_memory_overhead", memory.used.saturating_sub(memory.dataset));
    out.line("used_memory_startup", memory.startup);
    out.line("used_memory_dataset", memory.dataset);
    out.line("used_memory_dataset_perc", percent(memory.dataset, above_start));
    out.line("allocator_allocated", memory.used);
    out.line("allocator_active", memory.rss);
    out.line("allocator_resident", memory.rss);
    out.bytes("total_system_memory", memory.total_system);
    scripts(facts, out);
    out.line("maxmemory", memory.max);
    out.line("maxmemory_human", human(memory.max));
    out.line("maxmemory_policy", memory.policy);
    fragmentation(facts, out);
    out.line("mem_not_counted_for_evict", 0);
    out.constants(&[
        ("mem_replication_backlog", "0"),
        ("mem_total_replication_buffers", "0"),
        ("mem_clients_slaves", "0"),
    ]);
    out.line("mem_clients_normal", memory.clients);
    out.line("mem_cluster_links", 0);
    out.line("mem_aof_buffer", memory.aof_buffer);
    out.line("mem_allocator", memory.allocator);
    out.line("active_defrag_running", 0);
    out.line("lazyfree_pending_objects", memory.lazyfree_pending);
    out.line("lazyfreed_objects", memory.lazyfreed);
}

fn fragmentation(facts: &Facts, out: &mut Lines) {
    let memory = &facts.memory;
    let extra = i128::from(memory.rss) - i128::from(memory.used);
    out.constants(&[
        ("allocator_frag_ratio", "1.00"),
        ("allocator_frag_bytes", "0"),
        ("allocator_rss_ratio", "1.00"),
        ("allocator_rss_bytes", "0"),
        ("rss_overhead_ratio", "1.00"),
        ("rss_overhead_bytes", "0"),
    ]);
    let ratio = ratio(memory.rss, memory.used);
    out.line("mem_fragmentation_ratio", format_args!("{ratio:.2}"));
    out.line("mem_fragmentation_bytes", extra);
}

/// Section `stats`.
pub(super) fn stats(facts: &Facts, out: &mut Lines) {
    let (counted, stats) = (&facts.counters, &facts.stats);
    out.title("Stats");
    out.line("total_connections_received", counted.connections_received);
    out.line("total_commands_processed", counted.commands_processed);
    out.line("instantaneous_ops_per_sec", stats.ops_per_second);
    out.line("total_net_input_bytes", counted.net_input_bytes);
    out.line("total_net_output_bytes", counted.net_output_bytes);
    out.constants(&[("total_net_repl_input_bytes", "0"), ("total_net_repl_output_bytes", "0")]);
    let kilobytes = |bytes: u64| format!("{:.2}", bytes as f64 / 1024.0);
    out.line("instantaneous_input_kbps", kilobytes(stats.input_per_second));
    out.line("instantaneous_output_kbps", kilobytes(stats.output_per_second));
    out.constants(&[
        ("instantaneous_input_repl_kbps", "0.00"),
        ("instantaneous_output_repl_kbps", "0.00"),
    ]);
    out.line("rejected_connections", counted.connections_rejected);
    out.constants(&[("sync_full", "0"), ("sync_partial_ok", "0"), ("sync_partial_err", "0")]);
    out.line("expired_subkeys", counted.expired_subkeys);
    out.line("expired_keys", counted.expired_keys);
    out.constants(&[
        ("expired_stale_perc", "0.00"),
        ("expired_time_cap_reached_count", "0"),
        ("expire_cycle_cpu_milliseconds", "0"),
    ]);
    out.line("evicted_keys", counted.evicted_keys);
    out.line("evicted_clients", 0);
    out.constants(&[
        ("total_eviction_exceeded_time", "0"),
        ("current_eviction_exceeded_time", "0"),
    ]);
    out.line("keyspace_hits", counted.keyspace_hits);
    out.line("keyspace_misses", counted.keyspace_misses);
    out.line("pubsub_channels", stats.pubsub_channels);
    out.line("pubsub_patterns", stats.pubsub_patterns);
    out.line("pubsubshard_channels", stats.pubsub_shard_channels);
    out.constants(&[
        ("latest_fork_usec", "0"),
        ("total_forks", "0"),
        ("migrate_cached_sockets", "0"),
        ("slave_expires_tracked_keys", "0"),
        ("active_defrag_hits", "0"),
        ("active_defrag_misses", "0"),
        ("active_defrag_key_hits", "0"),
        ("active_defrag_key_misses", "0"),
        ("total_active_defrag_time", "0"),
        ("current_active_defrag_time", "0"),
    ]);
    out.line("tracking_total_keys", stats.tracking_keys);
    out.line("tracking_total_items", stats.tracking_items);
    out.line("tracking_total_prefixes", stats.tracking_prefixes);
    out.line("unexpected_error_replies", 0);
    out.line("total_error_replies", counted.error_replies);
    out.line("dump_payload_sanitizations", 0);
    out.line("total_reads_processed", counted.reads_processed);
    out.line("total_writes_processed", counted.writes_processed);
    out.constants(&[("io_threaded_reads_processed", "0"), ("io_threaded_writes_processed", "0")]);
    out.line("client_output_buffer_limit_disconnections", counted.clients_closed_for_buffers);
    out.constants(&[("reply_buffer_shrinks", "0"), ("reply_buffer_expands", "0")]);
    out.line("acl_access_denied_auth", counted.auth_denied);
    out.line("acl_access_denied_cmd", counted.commands_denied);
    out.line("acl_access_denied_key", counted.keys_denied);
    out.line("acl_access_denied_channel", counted.channels_denied);
    out.line("commands_forwarded", counted.commands_forwarded);
    out.line("cross_shard_transactions", counted.cross_shard_transactions);
}

/// Section `replication`.
pub(super) fn replication(facts: &Facts, out: &mut Lines) {
    out.title("Replication");
    out.constants(&[
        ("role", "master"),
        ("connected_slaves", "0"),
        ("master_failover_state", "no-failover"),
    ]);
    out.line("master_replid", &facts.server.run_id);
    out.constants(&[
        ("master_replid2", "0000000000000000000000000000000000000000"),
        ("master_repl_offset", "0"),
        ("second_repl_offset", "-1"),
        ("repl_backlog_active", "0"),
        ("repl_backlog_size", "1048576"),
        ("repl_backlog_first_byte_offset", "0"),
        ("repl_backlog_histlen", "0"),
    ]);
}

/// Section `cpu`.
pub(super) fn cpu(facts: &Facts, out: &mut Lines) {
    let cpu = &facts.cpu;
    out.title("CPU");
    out.line("used_cpu_sys", format_args!("{:.6}", cpu.system));
    out.line("used_cpu_user", format_args!("{:.6}", cpu.user));
    out.constants(&[("used_cpu_sys_children", "0.000000"), ("used_cpu_user_children", "0.000000")]);
    out.line("used_cpu_sys_main_thread", format_args!("{:.6}", cpu.system_main_thread));
    out.line("used_cpu_user_main_thread", format_args!("{:.6}", cpu.user_main_thread));
}

/// Section `modules`.
pub(super) fn modules(_: &Facts, out: &mut Lines) {
    out.title("Modules");
}

/// The commands by name.
fn commands(facts: &Facts) -> Vec<(&'static str, &CommandStats)> {
    let mut all: Vec<_> = facts.counters.commands.iter().map(|(name, at)| (*name, at)).collect();
    all.sort_unstable_by_key(|(name, _)| *name);
    all
}

/// Section `commandstats`.
pub(super) fn commandstats(facts: &Facts, out: &mut Lines) {
    out.title("Commandstats");
    for (name, stats) in commands(facts) {
        let each = ratio(stats.nanos, stats.calls) / 1000.0;
        out.line(
            &format!("cmdstat_{name}"),
            format_args!(
                "calls={},usec={},usec_per_call={each:.2},rejected_calls={},failed_calls={}",
                stats.calls,
                stats.nanos / 1000,
                stats.rejected,
                stats.failed
            ),
        );
    }
}

/// Section `errorstats`.
pub(super) fn errorstats(facts: &Facts, out: &mut Lines) {
    out.title("Errorstats");
    for (code, count) in &facts.counters.errors {
        out.line(&format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

/// Section `latencystats`.
pub(super) fn latencystats(facts: &Facts, out: &mut Lines) {
    out.title("Latencystats");
    if facts.percentiles.is_empty() {
        return;
    }
    for (name, stats) in commands(facts) {
        if stats.latency.count() == 0 {
            continue;
        }
        let figures: Vec<String> = facts
            .percentiles
            .iter()
            .map(|percent| format!("p{percent}={:.3}", stats.latency.percentile(*percent)))
            .collect();
        out.line(&format!("latency_percentiles_usec_{name}"), figures.join(","));
    }
}

/// Section `cluster`.
pub(super) fn cluster(_: &Facts, out: &mut Lines) {
    out.title("Cluster");
    out.line("cluster_enabled", 0);
}

/// Section `shards`, which Redis does not have.
pub(super) fn shards(facts: &Facts, out: &mut Lines) {
    out.title("Shards");
    for shard in &facts.shards {
        let log = match &shard.log {
            LogState::Off => "off",
            LogState::Good => "ok",
            LogState::Failed(_) => "failed",
        };
        out.line(
            &format!("shard{}", shard.shard.0),
            format_args!(
                "keys={},bytes={},clients={},commands={},log={log},lsn={},written={},synced={}",
                shard.keys,
                shard.bytes,
                shard.clients,
                shard.commands,
                shard.appended.0,
                shard.written.0,
                shard.synced.0
            ),
        );
        if let LogState::Failed(why) = &shard.log {
            // A line break inside a reason would end the field.
            let why = why.replace(['\r', '\n'], " ");
            out.line(&format!("shard{}_log_error", shard.shard.0), why);
        }
    }
}

/// Section `keyspace`.
pub(super) fn keyspace(facts: &Facts, out: &mut Lines) {
    out.title("Keyspace");
    for db in facts.keyspace.iter().filter(|db| db.keys > 0) {
        let figures =
            format_args!("keys={},expires={},avg_ttl={}", db.keys, db.expires, db.avg_ttl);
        out.line(&format!("db{}", db.db.0), figures);
    }
}
