//! How the server starts, refuses to start, and stops.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::harness::client::Client;
use super::harness::disk::Disk;
use super::harness::server::{Launch, Server};
use super::ours;

/// Asserts that a start failed by itself and that its output has all of these words.
fn refused(result: Result<Server, String>, words: &[&str]) {
    let why = match result {
        Ok(_) => panic!("it started"),
        Err(why) => why,
    };
    assert!(why.starts_with("it ended with"), "{why}");
    assert!(!why.contains("panicked"), "{why}");
    let lower = why.to_lowercase();
    for word in words {
        assert!(lower.contains(&word.to_lowercase()), "no {word:?} in:\n{why}");
    }
}

fn files(dir: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() {
            let inside = files(&entry.path());
            out.extend(inside.into_iter().map(|inner| format!("{name}/{inner}")));
        } else {
            out.push(name);
        }
    }
    out
}

#[test]
fn help_and_version_end_at_once() {
    let Some(launch) = ours() else { return };
    let (code, text) = launch.run_bare(&["--help"]);
    assert_eq!(code, Some(0), "{text}");
    for word in ["--port", "--appendonly", "--shards", "--dir"] {
        assert!(text.contains(word), "no {word} in:\n{text}");
    }
    let (code, text) = launch.run_bare(&["--version"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.to_lowercase().contains("basalt") && text.contains('.'), "{text}");
}

#[test]
fn an_unknown_directive_names_the_nearest() {
    let Some(launch) = ours() else { return };
    refused(launch.try_start(&["--apendonly", "yes"]), &["apendonly", "appendonly"]);
    refused(launch.try_start(&["--appendfsync", "sometimes"]), &["appendfsync", "sometimes"]);
    refused(launch.try_start(&["--port", "99999"]), &["port"]);
}

#[test]
fn a_bad_config_file_is_refused_with_its_line() {
    let Some(launch) = ours() else { return };
    let file = launch.home().join("bad.conf");
    fs::write(&file, "# fine\nappendonly yes\nmaxclients many\n").expect("a file");
    let path = file.to_str().expect("a path");
    let (code, text) = launch.run_bare(&[path]);
    assert_ne!(code, Some(0));
    for word in ["bad.conf", "3", "maxclients"] {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
    let (code, _) = launch.run_bare(&["--check-config", path]);
    assert_ne!(code, Some(0));
    fs::write(&file, "# fine\nappendonly yes\nactiverehashing yes\n").expect("a file");
    let (code, text) = launch.run_bare(&["--check-config", path]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = launch.run_bare(&["/nowhere/basalt.conf"]);
    assert_ne!(code, Some(0));
    assert!(text.contains("/nowhere/basalt.conf"), "{text}");
}

#[test]
fn directives_of_redis_without_a_meaning_are_accepted() {
    let Some(launch) = ours() else { return };
    let launch = launch.volatile().with(&["--activerehashing", "yes"]);
    let server = launch.start();
    assert!(server.log().contains("activerehashing"), "{}", server.log());
    server.stop();
}

#[test]
fn a_port_in_use_is_named() {
    let Some(launch) = ours() else { return };
    let first = launch.volatile().start();
    let other = Launch::basalt().volatile().on_port(first.port());
    // It must not answer in the other's place either.
    let mut second = other.spawn(&[]);
    let status = second.wait();
    assert_ne!(status.code(), Some(0));
    let log = second.log();
    assert!(log.contains(&first.port().to_string()) && log.contains("in use"), "{log}");
    assert_eq!(first.client().line("PING").text(), "PONG");
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let Some(launch) = ours() else { return };
    let file = launch.home().join("a-file");
    fs::write(&file, "").expect("a file");
    refused(launch.in_dir(&file).try_start(&[]), &["a-file"]);
    let launch = Launch::basalt().in_dir(Path::new("/proc/basalt-data"));
    refused(launch.try_start(&[]), &["/proc/basalt-data"]);
}

#[test]
fn a_read_only_directory_is_named() {
    let Some(disk) = Disk::tmpfs(16) else { return };
    let Some(launch) = ours() else { return };
    let dir = disk.path().join("data");
    fs::create_dir(&dir).expect("a directory");
    let launch = launch.in_dir(&dir);
    disk.read_only();
    refused(launch.try_start(&[]), &[dir.to_str().expect("a path")]);
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let Some(launch) = ours() else { return };
    let first = launch.start();
    first.client().ok("SET a 1");
    let other = Launch::basalt().in_dir(launch.dir());
    refused(other.try_start(&[]), &[launch.dir().to_str().expect("a path")]);
    assert_eq!(first.client().line("GET a").int(), 1);
    first.stop();
    // The lock goes with its owner, also when that was killed.
    let mut third = other.start();
    assert_eq!(third.client().line("GET a").int(), 1);
    third.kill();
    assert_eq!(launch.start().client().line("GET a").int(), 1);
}

#[test]
fn signals_stop_it_cleanly_and_the_data_stays() {
    for (signal, policy, save) in [
        (Signal::TERM, "everysec", ""),
        (Signal::INT, "always", ""),
        (Signal::TERM, "no", "3600 1"),
        (Signal::INT, "everysec", "3600 1 60 10000"),
    ] {
        let launch = Launch::basalt();
        let launch = launch.logged(policy).with(&["--save", save]).shards(2);
        let mut server = launch.start();
        let mut client = server.client();
        for n in 0..500 {
            client.ok(&format!("SET key:{n} {n}"));
        }
        client.ok("HSET hash a 1 b 2");
        client.ok("SELECT 3");
        client.ok("SET elsewhere yes");
        let start = Instant::now();
        server.signal(signal);
        assert_eq!(server.wait().code(), Some(0), "{signal:?} {policy} {save:?}");
        assert!(start.elapsed() < Duration::from_secs(15), "stopping took {:?}", start.elapsed());
        let server = launch.start();
        let mut client = server.client();
        assert_eq!(client.line("DBSIZE").int(), 501);
        assert_eq!(client.line("GET key:499").int(), 499);
        assert_eq!(client.line("HGET hash b").int(), 2);
        client.ok("SELECT 3");
        assert_eq!(client.line("GET elsewhere").text(), "yes");
        server.stop();
    }
}

#[test]
fn a_signal_during_a_save_waits_for_it_and_saves_again() {
    let launch = Launch::basalt().with(&["--appendonly", "no", "--save", "3600 1"]).shards(2);
    let mut server = launch.start();
    let mut client = server.client();
    client.populate("key", 300_000);
    assert!(client.line("BGSAVE").text().starts_with("Background saving started"));
    client.ok("SET last 1");
    server.signal(Signal::TERM);
    assert_eq!(server.wait().code(), Some(0));
    let server = launch.start();
    let mut client = server.client();
    assert_eq!(client.line("DBSIZE").int(), 300_001);
    assert_eq!(client.line("GET last").int(), 1);
}

#[test]
fn a_snapshot_alone_keeps_the_data_over_a_stop() {
    let launch = Launch::basalt().with(&["--appendonly", "no", "--save", "3600 1"]).shards(2);
    let server = launch.start();
    server.client().ok("SET a 1");
    server.stop();
    let server = launch.start();
    assert_eq!(server.client().line("GET a").int(), 1);
    server.client().ok("SET a 2");
    assert_eq!(server.client().line("SAVE").text(), "OK");
    server.client().ok("SET a 3");
    drop(server);
    let server = launch.start();
    assert_eq!(server.client().line("GET a").int(), 2, "the last snapshot decides");
}

#[test]
fn shutdown_is_a_command() {
    let launch = Launch::basalt().logged("everysec").shards(2);
    for (command, kept) in [("SHUTDOWN", 1), ("SHUTDOWN NOSAVE", 2), ("SHUTDOWN SAVE", 3)] {
        let mut server = launch.start();
        let mut client = server.client();
        assert_eq!(client.ok("INCR count").int(), kept);
        client.send(format!("{command}\r\n").as_bytes()).expect("sent");
        assert!(client.is_closed(), "{command} has no reply");
        assert_eq!(server.wait().code(), Some(0), "{command}");
    }
    let server = launch.start();
    let mut client = server.client();
    assert!(client.line("SHUTDOWN NOW FOO").is_error());
    assert!(client.line("SHUTDOWN ABORT").is_error());
    assert_eq!(client.line("GET count").int(), 3);
}

#[test]
fn the_log_tells_what_was_loaded() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(2);
    let server = launch.start();
    let log = server.log();
    for word in ["2 shards", "Ready to accept connections", launch.dir().to_str().expect("a path")]
    {
        assert!(log.contains(word), "no {word:?} in:\n{log}");
    }
    server.client().populate("key", 12345);
    server.client().ok("SAVE");
    server.stop();
    let server = launch.start();
    assert!(server.log().contains("12345"), "the keys are not counted:\n{}", server.log());
    assert_eq!(server.client().line("DBSIZE").int(), 12345);
}

#[test]
fn a_cache_writes_nothing() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let mut client = server.client();
    for n in 0..1000 {
        client.ok(&format!("SET key:{n} {n}"));
    }
    server.stop();
    let left: Vec<String> = files(launch.dir())
        .into_iter()
        .filter(|name| !name.to_lowercase().contains("lock"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Waits until the log that was just switched on has its base: Redis keeps nothing before.
fn first_checkpoint(client: &mut Client) {
    let start = Instant::now();
    while client.info("persistence").get("aof_rewrite_in_progress").is_none_or(|v| v != "0") {
        assert!(start.elapsed() < Duration::from_secs(20), "the first checkpoint does not end");
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn the_log_can_be_switched_on_at_run_time() {
    let launch = Launch::basalt().with(&["--save", ""]).shards(2);
    let mut server = launch.start_with(&["--appendonly", "no"]);
    let mut client = server.client();
    client.ok("DEBUG POPULATE 1000");
    client.ok("SET before 1");
    client.ok("CONFIG SET appendonly yes");
    client.ok("SET after 1");
    first_checkpoint(&mut client);
    client.ok("SET later 1");
    server.kill();
    let mut server = launch.start_with(&["--appendonly", "yes"]);
    let mut client = server.client();
    assert_eq!(client.line("EXISTS before after later").int(), 3);
    assert_eq!(client.line("DBSIZE").int(), 1003);
    client.ok("CONFIG SET appendonly no");
    client.ok("SET before 2");
    assert_eq!(client.info("persistence")["aof_enabled"], "0");
    client.ok("CONFIG SET appendfsync always");
    client.ok("CONFIG SET appendonly yes");
    first_checkpoint(&mut client);
    client.ok("SET after 2");
    server.kill();
    let server = launch.start_with(&["--appendonly", "yes"]);
    assert_eq!(server.client().line("GET after").int(), 2);
    assert_eq!(server.client().line("GET before").int(), 2);
}

#[test]
fn config_rewrite_is_read_again() {
    let launch = Launch::basalt();
    let file = launch.home().join("mine.conf");
    fs::write(&file, "# mine\nmaxclients 321\nappendonly no\nsave \"\"\n").expect("a file");
    let launch = launch.file(&file);
    let server = launch.start();
    let mut client = server.client();
    assert_eq!(client.line("CONFIG GET maxclients").items()[1].text(), "321");
    client.ok("CONFIG SET maxclients 432 slowlog-max-len 7");
    assert_eq!(client.line("CONFIG REWRITE").text(), "OK");
    server.stop();
    let text = fs::read_to_string(&file).expect("the file");
    assert!(text.contains("# mine") && text.contains("maxclients 432"), "{text}");
    let server = launch.start();
    let mut client = server.client();
    assert_eq!(client.line("CONFIG GET maxclients").items()[1].text(), "432");
    assert_eq!(client.line("CONFIG GET slowlog-max-len").items()[1].text(), "7");
    server.stop();
    let server = Launch::basalt().volatile().start();
    let reply = server.client().line("CONFIG REWRITE").text();
    assert_eq!(reply, "-ERR The server is running without a config file");
}
