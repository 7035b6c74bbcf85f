//! What operators and their tools ask: saves, INFO, CLIENT, expiry.

use std::thread;
use std::time::{Duration, Instant};

use super::harness::client::{Client, encode};
use super::harness::reply::Reply;
use super::harness::server::{Launch, Server};
use super::ours;

/// Waits until no checkpoint of any kind is running or waiting.
pub fn settled(client: &mut Client) {
    let start = Instant::now();
    loop {
        let info = client.info("persistence");
        let zero = |name: &str| info.get(name).is_some_and(|value| value == "0");
        if zero("rdb_bgsave_in_progress")
            && zero("aof_rewrite_in_progress")
            && zero("aof_rewrite_scheduled")
        {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "a save does not end");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Sends lines in one go; the texts of the replies.
fn texts(client: &mut Client, lines: &[&str]) -> Vec<String> {
    let words = |line: &&str| encode(&line.split(' ').collect::<Vec<_>>());
    let bytes: Vec<u8> = lines.iter().flat_map(words).collect();
    let replies = client.batch(&bytes, lines.len()).expect("replies");
    replies.iter().map(|reply| reply.text()).collect()
}

#[test]
fn overlapping_saves_are_answered_as_in_redis() {
    let launch = Launch::basalt().logged("everysec").shards(2);
    let server = launch.start();
    let mut client = server.client();
    client.populate("key", 300_000);
    settled(&mut client);
    let replies = texts(&mut client, &["BGSAVE", "BGSAVE", "SAVE", "BGREWRITEAOF"]);
    let expected = [
        "Background saving started",
        "-ERR Background save already in progress",
        "-ERR Background save already in progress",
        "Background append only file rewriting scheduled",
    ];
    assert_eq!(replies, expected);
    settled(&mut client);
    let replies =
        texts(&mut client, &["BGREWRITEAOF", "BGREWRITEAOF", "BGSAVE", "BGSAVE SCHEDULE"]);
    let expected = [
        "Background append only file rewriting started",
        "-ERR Background append only file rewriting already in progress",
        "-ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE \
         in order to schedule a BGSAVE whenever possible.",
        "Background saving scheduled",
    ];
    assert_eq!(replies, expected);
    thread::sleep(Duration::from_millis(300));
    settled(&mut client);
    assert_eq!(client.line("SAVE").text(), "OK");
    let info = client.info("persistence");
    assert_eq!(info["rdb_last_bgsave_status"], "ok");
    assert_eq!(info["aof_last_bgrewrite_status"], "ok");
}

#[test]
fn save_does_not_block_other_clients() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(2);
    let server = launch.start();
    let mut client = server.client();
    client.populate("key", 300_000);
    let mut saver = server.client();
    saver.send(&encode(&["SAVE"])).expect("sent");
    let mut count = 0;
    let mut slowest = Duration::ZERO;
    saver.stream().set_nonblocking(true).expect("a socket");
    loop {
        let start = Instant::now();
        client.ok("INCR meanwhile");
        slowest = slowest.max(start.elapsed());
        count += 1;
        match saver.stream().peek(&mut [0]) {
            Ok(_) => break,
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(e) => panic!("{e}"),
        }
    }
    saver.stream().set_nonblocking(false).expect("a socket");
    assert_eq!(saver.read().expect("a reply").text(), "OK");
    assert!(count > 5, "SAVE left room for {count} commands only, the slowest took {slowest:?}");
}

#[test]
fn saves_are_counted() {
    let launch = Launch::basalt().logged("everysec").shards(2);
    let server = launch.start();
    let mut client = server.client();
    for n in 0..10 {
        client.ok(&format!("SET key:{n} 1"));
    }
    assert_eq!(client.info("persistence")["rdb_changes_since_last_save"], "10");
    let before = client.line("LASTSAVE").int();
    thread::sleep(Duration::from_millis(1100));
    client.ok("BGSAVE");
    settled(&mut client);
    let info = client.info("persistence");
    assert_eq!(info["rdb_changes_since_last_save"], "0");
    assert!(client.line("LASTSAVE").int() > before);
    assert_eq!(info["rdb_last_save_time"], client.line("LASTSAVE").int().to_string());
}

#[test]
fn a_save_point_saves() {
    let launch = Launch::basalt().with(&["--appendonly", "no", "--save", "1 5"]).shards(2);
    let mut server = launch.start();
    let mut client = server.client();
    let before = client.info("persistence")["rdb_saves"].clone();
    for n in 0..10 {
        client.ok(&format!("SET key:{n} 1"));
    }
    let start = Instant::now();
    while client.info("persistence")["rdb_saves"] == before {
        assert!(start.elapsed() < Duration::from_secs(15), "no save after a second and 10 changes");
        thread::sleep(Duration::from_millis(50));
    }
    settled(&mut client);
    server.kill();
    assert_eq!(launch.start().client().line("DBSIZE").int(), 10);
}

/// Fields that dashboards and exporters read, by section.
const FIELDS: &[(&str, &str)] = &[
    (
        "server",
        "redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds \
         uptime_in_days hz config_file",
    ),
    ("clients", "connected_clients maxclients blocked_clients"),
    (
        "memory",
        "used_memory used_memory_human used_memory_rss used_memory_peak maxmemory \
         maxmemory_policy mem_fragmentation_ratio",
    ),
    (
        "persistence",
        "loading async_loading current_cow_peak current_cow_size current_fork_perc \
         current_save_keys_processed current_save_keys_total rdb_changes_since_last_save \
         rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status \
         rdb_last_bgsave_time_sec rdb_current_bgsave_time_sec rdb_saves rdb_last_cow_size \
         rdb_last_load_keys_expired rdb_last_load_keys_loaded aof_enabled \
         aof_rewrite_in_progress aof_rewrite_scheduled aof_last_rewrite_time_sec \
         aof_current_rewrite_time_sec aof_last_bgrewrite_status aof_last_write_status \
         aof_last_cow_size aof_current_size aof_base_size aof_pending_rewrite \
         aof_buffer_length aof_pending_bio_fsync aof_delayed_fsync",
    ),
    (
        "stats",
        "total_connections_received total_commands_processed instantaneous_ops_per_sec \
         total_net_input_bytes total_net_output_bytes rejected_connections expired_keys \
         evicted_keys keyspace_hits keyspace_misses latest_fork_usec total_forks",
    ),
    ("replication", "role connected_slaves master_replid master_repl_offset"),
    ("cpu", "used_cpu_sys used_cpu_user"),
    ("cluster", "cluster_enabled"),
];

#[test]
fn info_has_the_fields_that_tools_read() {
    let launch = Launch::basalt().logged("everysec").shards(2);
    let server = launch.start();
    let mut client = server.client();
    client.ok("SET a 1");
    client.ok("SET b 1 EX 1000");
    let mut missing = Vec::new();
    for (section, fields) in FIELDS {
        let info = client.info(section);
        let fields = fields.split_whitespace().filter(|name| !info.contains_key(*name));
        missing.extend(fields.map(|name| format!("{section}: {name}")));
    }
    assert!(missing.is_empty(), "{missing:?}");
    let keyspace = client.info("keyspace");
    assert!(keyspace["db0"].starts_with("keys=2,expires=1,avg_ttl="), "{keyspace:?}");
    let all = client.line("INFO").text();
    for section in ["# Server", "# Clients", "# Memory", "# Persistence", "# Stats", "# Keyspace"] {
        assert!(all.contains(section), "no {section}");
    }
    assert!(all.contains("loading:0"));
    assert!(client.line("INFO everything").text().contains("# Commandstats"));
}

#[test]
fn info_counts() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let mut client = server.client();
    client.ok("CONFIG RESETSTAT");
    for n in 0..10 {
        client.ok(&format!("SET key:{n} 1"));
    }
    client.ok("GET key:1");
    client.ok("MGET key:1 key:2 none:1 none:2");
    let stats = client.info("stats");
    assert_eq!(stats["keyspace_hits"], "3");
    assert_eq!(stats["keyspace_misses"], "2");
    let commands = client.info("commandstats");
    assert!(commands["cmdstat_set"].starts_with("calls=10,usec="), "{commands:?}");
    assert!(commands["cmdstat_mget"].starts_with("calls=1,"), "{commands:?}");
    assert_eq!(client.info("clients")["connected_clients"], "1");
}

#[test]
fn info_tells_of_a_second() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let mut client = server.client();
    let pings = encode(&["PING"]).repeat(100);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1000) {
        client.batch(&pings, 100).expect("replies");
    }
    let stats = client.info("stats");
    for name in
        ["instantaneous_ops_per_sec", "instantaneous_input_kbps", "instantaneous_output_kbps"]
    {
        assert!(stats[name].parse::<f64>().expect("a number") > 1.0, "{name}: {}", stats[name]);
    }
}

fn named(server: &Server, name: &str) -> Client {
    let mut client = server.client();
    client.ok(&format!("CLIENT SETNAME {name}"));
    client
}

#[test]
fn clients_are_listed_and_killed() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let mut client = named(&server, "admin");
    let mut others: Vec<Client> =
        ["one", "two", "three"].iter().map(|name| named(&server, name)).collect();
    others[0].ok("SELECT 3");
    let list = client.line("CLIENT LIST").text();
    let lines: Vec<&str> = list.lines().filter(|line| line.contains("name=")).collect();
    assert_eq!(lines.len(), 4, "{list}");
    for line in &lines {
        for field in [" addr=127.0.0.1:", " name=", " age=", " idle=", " flags=", " db=", " cmd="] {
            assert!(line.starts_with("id=") && line.contains(field), "no {field:?} in {line}");
        }
    }
    assert!(
        lines.iter().any(|line| line.contains("name=one") && line.contains(" db=3 ")),
        "{list}"
    );
    let field = |name: &str, key: &str| -> String {
        let line = lines.iter().find(|line| line.contains(name)).expect("a line");
        let word = line.split(' ').find_map(|word| word.strip_prefix(key)).expect("a field");
        word.to_owned()
    };
    let id = field("name=one", "id=");
    assert_eq!(others[0].line("CLIENT ID").int().to_string(), id);
    assert_eq!(client.line(&format!("CLIENT KILL ID {id}")).int(), 1);
    assert!(others[0].is_closed());
    let address = field("name=two", "addr=");
    assert_eq!(client.line(&format!("CLIENT KILL {address}")).text(), "OK");
    assert!(others[1].is_closed());
    assert_eq!(client.line(&format!("CLIENT KILL {address}")).text(), "-ERR No such client");
    // SKIPME is the default: all normal clients but this one.
    assert_eq!(client.line("CLIENT KILL TYPE normal").int(), 1);
    assert!(others[2].is_closed());
    assert_eq!(client.line("PING").text(), "PONG");
    assert_eq!(client.line("CLIENT GETNAME").text(), "admin");
}

#[test]
fn deadlines_pass() {
    let launch = Launch::basalt().logged("everysec").shards(2);
    let mut server = launch.start();
    let mut client = server.client();
    for n in 0..500 {
        client.ok(&format!("SET key:{n} 1 PX 150"));
    }
    client.ok("SET stays 1");
    client.ok("SET looked 1 PX 50");
    thread::sleep(Duration::from_millis(60));
    assert!(client.line("GET looked").is_null());
    // Nobody looks at the others.
    let start = Instant::now();
    while client.line("DBSIZE").int() > 1 {
        assert!(start.elapsed() < Duration::from_secs(10), "{} keys", client.line("DBSIZE"));
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.info("stats")["expired_keys"], "501");
    client.ok("SET short 1 PX 100");
    client.ok("SET long 1 PX 100000");
    server.kill();
    thread::sleep(Duration::from_millis(120));
    let server = launch.start();
    let mut client = server.client();
    assert!(client.line("GET short").is_null());
    let left = client.line("PTTL long").int();
    assert!(left > 80_000 && left < 99_900, "{left}");
    assert_eq!(client.line("GET stays").int(), 1);
}

#[test]
fn reloads_keep_everything() {
    let launch = Launch::basalt().logged("everysec").shards(4);
    let server = launch.start();
    let mut client = server.client();
    client.populate("key", 2000);
    client.ok("SET a 1 PXAT 4102444800000");
    client.ok("HSET h a 1 b 2");
    client.ok("SELECT 5");
    client.ok("SET there 1");
    let digest = client.ok("DEBUG DIGEST").text();
    for line in ["DEBUG RELOAD", "DEBUG LOADAOF", "DEBUG RELOAD"] {
        assert_eq!(client.line(line).text(), "OK", "{line}");
        assert_eq!(client.ok("DEBUG DIGEST").text(), digest, "{line}");
    }
    client.ok("SET more 1");
    drop(server);
    let server = launch.start();
    let mut client = server.client();
    client.ok("SELECT 5");
    assert_eq!(client.line("DBSIZE").int(), 2);
}

#[test]
fn slow_commands_are_noted() {
    let launch = Launch::basalt().volatile();
    let server = launch.start();
    let mut client = server.client();
    client.ok("CONFIG SET slowlog-log-slower-than 0");
    client.ok("SLOWLOG RESET");
    client.ok("SET slow 1");
    let entries = client.line("SLOWLOG GET 10").items();
    let set = entries.iter().map(|entry| entry.items()).find(|entry| {
        entry[3].items().first().is_some_and(|word| word.text().eq_ignore_ascii_case("set"))
    });
    let set = set.expect("SET is in the slow log");
    assert!(set[1].int() > 1_600_000_000 && set[2].int() >= 0);
    assert!(client.line("SLOWLOG LEN").int() >= 1);
}

/// The commands in the slow log, the latest first, without those that ask for it.
fn slow(client: &mut Client) -> Vec<String> {
    let words = |entry: &Reply| {
        let words: Vec<String> = entry.items()[3].items().iter().map(Reply::text).collect();
        words.join(" ")
    };
    let entries: Vec<String> = client.line("SLOWLOG GET 100").items().iter().map(words).collect();
    entries.into_iter().filter(|entry| !entry.starts_with("SLOWLOG")).collect()
}

/// Sends lines in one go and reads as many replies, whatever they are.
fn all(client: &mut Client, lines: &[&str]) {
    let words = |line: &&str| encode(&line.split(' ').collect::<Vec<_>>());
    let bytes: Vec<u8> = lines.iter().flat_map(words).collect();
    client.batch(&bytes, lines.len()).expect("replies");
}

/// Wherever a command runs, and in whatever company, it is noted once and under its session.
#[test]
fn the_slow_log_sees_every_command_once() {
    let launch = Launch::basalt().volatile().shards(4);
    let server = launch.start();
    let mut client = named(&server, "me");
    client.ok("CONFIG SET slowlog-log-slower-than 0");
    client.ok("SLOWLOG RESET");
    let alone =
        ["SET a 1", "SET b 1", "SET c 1", "SET d 1", "GET a", "MGET a b c d", "AUTH secret x"];
    for line in alone {
        client.line(line);
    }
    let mut expected: Vec<String> = alone.iter().map(|line| (*line).to_owned()).collect();
    *expected.last_mut().expect("a line") = "AUTH (redacted) (redacted)".to_owned();
    expected.reverse();
    assert_eq!(slow(&mut client), expected);

    client.ok("SLOWLOG RESET");
    let lines: Vec<String> = (0..40).map(|n| format!("INCR n:{}", n % 7)).collect();
    all(&mut client, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let mut found = slow(&mut client);
    assert_eq!(found.len(), 40, "{found:?}");
    found.sort();
    let mut expected = lines;
    expected.sort();
    assert_eq!(found, expected);

    client.ok("SLOWLOG RESET");
    all(&mut client, &["MULTI", "SET {x}1 1", "GET {x}2", "PING", "EXEC"]);
    all(&mut client, &["MULTI", "SET a 1", "SET b 1", "SET c 1", "SET d 1", "EXEC"]);
    let mut found = slow(&mut client);
    found.sort();
    let expected = [
        "GET {x}2",
        "MULTI",
        "MULTI",
        "PING",
        "SET a 1",
        "SET b 1",
        "SET c 1",
        "SET d 1",
        "SET {x}1 1",
    ];
    assert_eq!(found, expected);
    let entry = client.line("SLOWLOG GET 1").items()[0].items();
    assert!(entry[4].text().starts_with("127.0.0.1:") && entry[5].text() == "me", "{entry:?}");

    client.ok("CONFIG SET slowlog-log-slower-than 100000");
    client.ok("SLOWLOG RESET");
    client.ok("SET a 1");
    client.ok("DEBUG SLEEP 0.15");
    all(&mut client, &["MULTI", "DEBUG SLEEP 0.2", "EXEC"]);
    assert_eq!(slow(&mut client), ["DEBUG SLEEP 0.2", "DEBUG SLEEP 0.15"]);
}

/// Time between two commands is nobody's, and errors are counted wherever they arise.
#[test]
fn idle_time_is_not_counted_and_errors_are() {
    let launch = Launch::basalt().volatile().shards(4);
    let server = launch.start();
    let mut client = server.client();
    // A machine that does much else stops a process for 100 ms, but not for 700.
    client.ok("CONFIG SET latency-monitor-threshold 700");
    client.ok("CONFIG RESETSTAT");
    for n in 0..8 {
        thread::sleep(Duration::from_millis(100));
        client.ok(&format!("SET s:{n} text"));
        assert!(client.line(&format!("INCR s:{n}")).is_error());
    }
    all(&mut client, &["GET s:1", "GET s:1", "HGET s:1 f", "HGET none f", "HGET s:2 f"]);
    let stats = client.info("commandstats");
    let field = |command: &str, name: &str| -> u64 {
        let line = &stats[&format!("cmdstat_{command}")];
        let found = line.split(',').find_map(|part| part.strip_prefix(&format!("{name}=")));
        found.expect("a field").parse().expect("a number")
    };
    assert_eq!((field("set", "calls"), field("set", "failed_calls")), (8, 0));
    assert!(field("set", "usec") < 400_000, "{}", stats["cmdstat_set"]);
    assert_eq!((field("incr", "calls"), field("incr", "failed_calls")), (8, 8));
    assert_eq!((field("hget", "calls"), field("hget", "failed_calls")), (3, 2));
    assert_eq!(client.info("errorstats")["errorstat_ERR"], "count=8");
    assert_eq!(client.info("errorstats")["errorstat_WRONGTYPE"], "count=2");
    assert!(client.line("LATENCY LATEST").items().is_empty());
    client.ok("DEBUG SLEEP 0.8");
    let latest = client.line("LATENCY LATEST").items()[0].items();
    assert!(latest[0].text() == "command" && latest[2].int() >= 800, "{latest:?}");
    let histogram = client.line("LATENCY HISTOGRAM set");
    assert_eq!(histogram.items()[1].items()[1].int(), 8, "{histogram}");
}

/// Above maxmemory what needs memory is refused, what gives some back is not.
#[test]
fn memory_is_bounded() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let mut client = server.client();
    client.ok("SET there 1");
    client.ok("CONFIG SET maxmemory 1");
    let oom = "-OOM command not allowed when used memory > 'maxmemory'.";
    for line in ["SET a 1", "HSET h f 1", "APPEND there x", "MSET a 1 b 2 c 3 d 4"] {
        assert_eq!(client.line(line).text(), oom, "{line}");
    }
    assert_eq!(client.line("GET there").text(), "1");
    all(&mut client, &["MULTI", "SET a 1"]);
    let aborted = "-EXECABORT Transaction discarded because of previous errors.";
    assert_eq!(client.line("EXEC").text(), aborted);
    assert_eq!(client.line("DEL there").int(), 1);
    client.ok("CONFIG SET maxmemory 0");
    client.ok("SET a 1");
    let used: u64 = client.info("memory")["used_memory"].parse().expect("a number");
    client.ok(&format!("CONFIG SET maxmemory {}", used + (4 << 20)));
    let value = "v".repeat(10_000);
    let stopped = (0..2000).find(|n| client.call(&["SET", &format!("k:{n}"), &value]).is_error());
    let stopped = stopped.expect("20 MB do not fit into 4");
    assert!((200..1900).contains(&stopped), "refused after {stopped}");
    client.ok("FLUSHALL");
    let start = Instant::now();
    while client.line("SET a 1").is_error() {
        assert!(start.elapsed() < Duration::from_secs(10), "what was freed is not seen");
        thread::sleep(Duration::from_millis(20));
    }
}

/// With a policy keys go instead: the limit holds on both shards, the log tells of what went, and a
/// policy that may not touch anything refuses.
#[test]
fn keys_are_evicted() {
    let launch = Launch::basalt().shards(2);
    let server = launch.start();
    let mut client = server.client();
    let used: u64 = client.info("memory")["used_memory"].parse().expect("a number");
    let limit = used + (8 << 20);
    client.ok(&format!("CONFIG SET maxmemory {limit}"));
    client.ok("CONFIG SET maxmemory-policy allkeys-lru");
    let value = "v".repeat(1000);
    for n in 0..40_000 {
        client.ok(&format!("SET k:{n} {value}"));
    }
    let (size, memory) = (client.line("DBSIZE").int(), client.info("memory"));
    assert!((4_000..8_500).contains(&size), "{size} keys of 1 KB in 8 MiB");
    let used: u64 = memory["used_memory"].parse().expect("a number");
    assert!(used < limit + (2 << 20), "{used} of {limit}");
    // Upkeep may still be evicting between the two replies; once it rests the sum holds.
    let start = Instant::now();
    loop {
        let size = client.line("DBSIZE").int();
        let evicted: i64 = client.info("stats")["evicted_keys"].parse().expect("a number");
        if evicted + size == 40_000 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{evicted} evicted, {size} left");
        thread::sleep(Duration::from_millis(20));
    }
    client.ok("CONFIG SET maxmemory-policy volatile-ttl");
    let start = Instant::now();
    while !client.line(&format!("SET more {value}")).is_error() {
        client.ok(&format!("CONFIG SET maxmemory {}", limit - (4 << 20)));
        assert!(start.elapsed() < Duration::from_secs(10), "nothing has a deadline");
    }
    client.ok("CONFIG SET maxmemory 0");
    let before = client.line("DEBUG DIGEST").text().to_owned();
    client.ok("DEBUG LOADAOF");
    assert_eq!(client.line("DEBUG DIGEST").text(), before, "the log tells of what went");
}
