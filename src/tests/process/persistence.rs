//! The table "Persistence", row by row, as an operator would try it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::admin::settled;
use super::harness::client::Client;
use super::harness::disk::Disk;
use super::harness::server::Launch;
use super::ours;
use super::restore::{Load, assert_between, checked, prefixes};

/// The generations in a data directory, and whether each has a manifest of its own.
fn generations(dir: &Path) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if name.chars().all(|c| c.is_ascii_digit()) {
            found.push((name, path.join("MANIFEST").exists()));
        }
    }
    found.sort();
    found
}

fn save(client: &mut Client) {
    assert_eq!(client.line("SAVE").text(), "OK");
    settled(client);
}

#[test]
fn generations_are_retained_by_count() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").with(&["--retain-generations", "2"]);
    let mut server = launch.start_with(&["--shards", "2"]);
    let mut client = server.client();
    for n in 0..4 {
        client.ok(&format!("SET key {n}"));
        save(&mut client);
    }
    let manifests = |dir: &Path| generations(dir).iter().map(|(_, own)| *own).collect::<Vec<_>>();
    assert_eq!(manifests(launch.dir()), [true, true, false], "{:?}", generations(launch.dir()));
    assert_eq!(client.info("persistence")["generations_retained"], "2");
    // A start, and one with another number of shards, keep them and count on.
    server.kill();
    let mut server = launch.start_with(&["--shards", "2"]);
    assert_eq!(manifests(launch.dir()), [true, true, false]);
    server.kill();
    let mut server = launch.start_with(&["--shards", "3"]);
    assert_eq!(manifests(launch.dir()), [true, true, false]);
    let mut client = server.client();
    assert_eq!(client.line("GET key").int(), 3);
    client.ok("CONFIG SET retain-generations 1");
    save(&mut client);
    assert_eq!(manifests(launch.dir()), [true, false]);
    client.ok("CONFIG SET retain-generations 0");
    save(&mut client);
    assert_eq!(manifests(launch.dir()), [false]);
    assert_eq!(client.info("persistence")["generations_retained"], "0");
    server.kill();
}

/// Waits until the server says so.
fn until(client: &mut Client, what: &str, holds: impl Fn(&BTreeMap<String, String>) -> bool) {
    let start = Instant::now();
    loop {
        let info = client.info("persistence");
        if holds(&info) {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: {info:#?}");
        thread::sleep(Duration::from_millis(30));
    }
}

fn saves(client: &mut Client) -> u64 {
    client.info("persistence")["rdb_saves"].parse().expect("a number")
}

fn write_some(client: &mut Client, name: &str, count: u32) {
    for n in 0..count {
        client.ok(&format!("SET {name}:{n} value"));
    }
}

#[test]
fn save_points_are_set_and_cleared_at_run_time() {
    let launch = Launch::basalt().with(&["--appendonly", "no"]).shards(2);
    let server = launch.start();
    let mut client = server.client();
    let points = |client: &mut Client| client.line("CONFIG GET save").items()[1].text();
    assert_eq!(points(&mut client), "3600 1 300 100 60 10000");
    assert_eq!(client.call(&["CONFIG", "SET", "save", "900 1 1 20"]).text(), "OK");
    assert_eq!(points(&mut client), "900 1 1 20");
    let before = saves(&mut client);
    write_some(&mut client, "few", 19);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(saves(&mut client), before, "19 changes are below every point");
    write_some(&mut client, "more", 5);
    until(&mut client, "a second and 20 changes", |info| {
        info["rdb_saves"] == (before + 1).to_string()
    });
    settled(&mut client);
    assert_eq!(client.call(&["CONFIG", "SET", "save", ""]).text(), "OK");
    assert_eq!(points(&mut client), "");
    write_some(&mut client, "again", 30);
    thread::sleep(Duration::from_millis(1500));
    assert_eq!(saves(&mut client), before + 1, "there are no save points any more");
    assert!(client.call(&["CONFIG", "SET", "save", "60"]).is_error());
    assert!(client.call(&["CONFIG", "SET", "save", "-1 5"]).is_error());
    assert!(server.log().contains("changes in 1 seconds. Saving..."), "{}", server.log());
}

/// A save that fails leaves the old set, says so, refuses writes, rests, and recovers by itself.
fn a_failing_save(launch: &Launch, spoil: impl FnOnce(), mend: impl FnOnce()) {
    let mut server = launch.start_with(&["--appendonly", "no", "--save", "1 1"]);
    let mut client = server.client();
    client.ok("SET kept 1");
    until(&mut client, "a first save", |info| info["rdb_saves"] != "0");
    settled(&mut client);
    let last = client.line("LASTSAVE").int();
    spoil();
    let reply = client.line("SAVE");
    assert!(reply.is_error(), "{reply}");
    let info = client.info("persistence");
    assert_eq!(info["rdb_last_bgsave_status"], "err");
    assert_eq!(client.line("LASTSAVE").int(), last);
    let refused = client.line("SET refused 1").text();
    assert!(refused.starts_with("-MISCONF"), "{refused}");
    assert_eq!(client.line("GET kept").int(), 1, "reads go on");
    client.ok("CONFIG SET stop-writes-on-bgsave-error no");
    client.ok("SET allowed 1");
    client.ok("CONFIG SET stop-writes-on-bgsave-error yes");
    thread::sleep(Duration::from_millis(2500));
    let attempts = server.log().matches("Background saving failed").count();
    assert!((1..=2).contains(&attempts), "it does not rest: {attempts} attempts");
    assert!(server.log().contains("cannot "), "the log names the cause");
    mend();
    until(&mut client, "recovery", |info| info["rdb_last_bgsave_status"] == "ok");
    client.ok("SET after 1");
    assert_eq!(client.line("SAVE").text(), "OK");
    server.kill();
    let server = launch.start_with(&["--appendonly", "no", "--save", "1 1"]);
    assert_eq!(server.client().line("EXISTS kept allowed after refused").int(), 3);
}

#[test]
fn a_save_into_a_directory_that_is_gone_fails_and_recovers() {
    let Some(launch) = ours() else { return };
    let launch = launch.shards(2);
    let (dir, aside) = (launch.dir().to_owned(), launch.home().join("aside"));
    let (from, to) = (dir.clone(), aside.clone());
    let spoil = move || fs::rename(from, to).expect("renamed");
    a_failing_save(&launch, spoil, move || fs::rename(aside, dir).expect("renamed"));
}

#[test]
fn a_save_on_a_full_disk_fails_and_recovers() {
    let Some(disk) = Disk::tmpfs(8) else { return };
    let Some(launch) = ours() else { return };
    let dir = disk.path().join("data");
    fs::create_dir(&dir).expect("a directory");
    let launch = launch.shards(2).in_dir(&dir);
    let filler = disk.path().join("filler");
    let full = || {
        let mut file = fs::File::create(&filler).expect("a file");
        // Until nothing more fits.
        while std::io::Write::write_all(&mut file, &[1; 4096]).is_ok() {}
    };
    a_failing_save(&launch, full, || fs::remove_file(&filler).expect("removed"));
}

/// Writers go on while the log is switched off and on and its policy changes; after kill -9 with
/// the log on, everything acknowledged is there.
#[test]
fn log_and_policy_are_switched_under_load() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(3);
    let mut server = launch.start();
    let mut client = server.client();
    let load = Load::start(server.port(), 4);
    for round in 0..2 {
        for line in [
            "CONFIG SET appendfsync always",
            "CONFIG SET appendonly no",
            "CONFIG SET appendfsync no",
            "CONFIG SET appendonly yes",
            "CONFIG SET appendfsync everysec",
        ] {
            thread::sleep(Duration::from_millis(150));
            // A checkpoint that runs already refuses the switch.
            while client.line(line).is_error() {
                assert!(load.sent().iter().sum::<u64>() < 10_000_000, "round {round}: {line}");
                thread::sleep(Duration::from_millis(20));
            }
        }
    }
    thread::sleep(Duration::from_millis(300));
    let acknowledged = load.acknowledged();
    server.kill();
    let sent = load.sent();
    load.stop();
    assert!(acknowledged.iter().sum::<u64>() > 500, "void: {acknowledged:?}");
    let server = launch.start();
    let mut client = server.client();
    assert_between(&acknowledged, &prefixes(&mut client, 4), &sent);
    assert_eq!(client.info("persistence")["aof_enabled"], "1");
}

/// Files of the present generation with this ending.
fn ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let (generation, _) = generations(dir).pop().expect("a generation");
    let entries = fs::read_dir(dir.join(generation)).expect("a generation");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut found: Vec<_> = paths.filter(|path| path.to_string_lossy().ends_with(end)).collect();
    found.sort();
    found
}

#[test]
fn a_base_of_commands_is_text_that_rebuilds_the_data() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(2).with(&["--aof-use-rdb-preamble", "no"]);
    let server = launch.start();
    let mut client = server.client();
    client.populate("key", 300);
    client.ok("SET deadline 1 PXAT 4102444800000");
    client.ok("HSET hash a 1 b 2");
    // What the log had to say of it does not matter: the smallest set that rebuilds the data.
    (0..50).for_each(|_| drop(client.ok("INCR counter")));
    let digest = client.ok("DEBUG DIGEST").text();
    client.ok("BGREWRITEAOF");
    settled(&mut client);
    let bases = ending(launch.dir(), ".base.aof");
    assert_eq!(bases.len(), 2, "{bases:?}");
    let text: String = bases.iter().map(|path| fs::read_to_string(path).expect("text")).collect();
    assert_eq!(text.matches("\r\ncounter\r\n").count(), 1);
    assert!(text.contains("\r\nHSET\r\n") && text.contains("\r\nPEXPIREAT\r\n"));
    assert!(!text.contains('#'), "commands alone");
    server.stop();
    let server = launch.start();
    let mut client = server.client();
    assert_eq!(client.ok("DEBUG DIGEST").text(), digest);
    client.ok("CONFIG SET aof-use-rdb-preamble yes");
    client.ok("BGREWRITEAOF");
    settled(&mut client);
    assert_eq!(ending(launch.dir(), ".snapshot").len(), 2);
    assert!(ending(launch.dir(), ".base.aof").is_empty());
    assert_eq!(client.ok("DEBUG DIGEST").text(), digest);
}

#[test]
fn the_log_is_rewritten_when_it_has_grown() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(2).with(&["--auto-aof-rewrite-percentage", "0"]);
    let mut server = launch.start();
    let mut client = server.client();
    client.ok("CONFIG SET auto-aof-rewrite-min-size 100kb");
    let grow = |client: &mut Client| {
        let value = "v".repeat(1000);
        for n in 0..300 {
            client.call(&["SET", &format!("key:{}", n % 3), &value]);
        }
    };
    grow(&mut client);
    thread::sleep(Duration::from_millis(500));
    assert_eq!(client.info("persistence")["aof_rewrites"], "0", "the percentage is 0");
    client.ok("CONFIG SET auto-aof-rewrite-percentage 100");
    let rewrites = |info: &BTreeMap<String, String>| -> u64 {
        info["aof_rewrites"].parse().expect("a number")
    };
    until(&mut client, "a first rewrite", |info| rewrites(info) > 0);
    settled(&mut client);
    let size = |client: &mut Client, name: &str| -> u64 {
        client.info("persistence")[name].parse().expect("a number")
    };
    assert!(size(&mut client, "aof_base_size") < 100_000);
    assert!(size(&mut client, "aof_current_size") < 120_000, "the log begins anew");
    let before = rewrites(&client.info("persistence"));
    grow(&mut client);
    until(&mut client, "a second rewrite", |info| rewrites(info) > before);
    assert!(server.log().contains("Starting automatic rewriting of AOF on"), "{}", server.log());
    server.kill();
    assert_eq!(launch.start().client().line("DBSIZE").int(), 3);
}

#[test]
fn a_torn_tail_is_cut_or_refused_as_asked() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("always").shards(1);
    let mut server = launch.start();
    write_some(&mut server.client(), "key", 50);
    server.kill();
    let log = ending(launch.dir(), ".aof").pop().expect("a log");
    let whole = fs::read(&log).expect("the log");
    // Zeros follow the records.
    let end = whole.iter().rposition(|byte| *byte != 0).expect("a record") + 1;
    fs::write(&log, &whole[..end - 7]).expect("written");
    let refused = launch.try_start(&["--aof-load-truncated", "no"]).expect_err("a refusal");
    assert!(refused.contains("(aof-load-truncated is no)"), "{refused}");
    assert_eq!(fs::read(&log).expect("the log").len(), end - 7, "nothing was changed");
    // It was synced, so under `always` that is damage, and not a tail that nobody was promised.
    let start = launch.try_start(&["--aof-load-truncated", "yes"]);
    match start {
        Ok(server) => {
            assert_eq!(server.client().line("DBSIZE").int(), 49);
            assert!(server.log().contains("cut at byte"), "{}", server.log());
        }
        Err(why) => assert!(why.contains("durable"), "{why}"),
    }
}

#[test]
fn status_tells_what_a_server_does_with_its_files() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(2);
    let server = launch.start();
    let mut client = server.client();
    let port = server.port().to_string();
    client.populate("key", 400_000);
    client.ok("BGSAVE");
    let start = Instant::now();
    let mut seen = BTreeSet::new();
    loop {
        let said = checked(&["status", "--port", &port, "--json"]);
        let running = said.contains("\"state\": \"saving\"");
        assert!(!running || said.contains("\"keys_a_second\": "), "{said}");
        seen.insert(running);
        if !running && start.elapsed() > Duration::from_millis(100) {
            assert!(said.contains("\"last_save\": \"ok\""), "{said}");
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the save does not end");
    }
    assert!(seen.contains(&false));
    let (fine, said) = super::restore::check(&["status", "--port", "1"]);
    assert!(!fine && said.contains("127.0.0.1:1"), "{said}");
}
