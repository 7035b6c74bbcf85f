//! Backups of a running server, and copies of its directory that were made without asking.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::harness::client::Client;
use super::harness::peers;
use super::harness::reply::Reply;
use super::harness::server::Launch;
use super::ours;
use super::restore::{Load, arg, assert_between, check, checked, prefixes, start_on};

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-r").arg(from).arg(to).status().expect("cp");
    // Files may vanish while they are copied.
    let _ = status;
}

/// Names of the backups that are there.
fn backups(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("a directory");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with('Z'))
        .collect();
    names.sort();
    names
}

const WRITERS: usize = 4;

/// A checkpoint; under load one may have begun by itself.
fn rewrite(client: &mut Client) {
    let told = client.line("BGREWRITEAOF").text();
    let fine = told.starts_with("Background") || told.ends_with("already in progress");
    assert!(fine, "{told}");
}

#[test]
fn backups_under_load_are_each_of_one_moment() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(3);
    let mut server = launch.start();
    let to = launch.home().join("backups");
    let load = Load::start(server.port(), WRITERS);
    let mut client = server.client();
    let mut bounds = Vec::new();
    for n in 0..5 {
        let before = load.acknowledged();
        // Every log says once a second how far it goes.
        thread::sleep(Duration::from_millis(2500));
        if n % 2 == 1 {
            rewrite(&mut client);
        }
        let said = checked(&["backup", arg(launch.dir()), "--to", arg(&to)]);
        assert!(said.contains("bytes_verified"), "{said}");
        bounds.push((before, load.sent()));
    }
    load.stop();
    server.kill();
    let names = backups(&to);
    assert_eq!(names.len(), 5);
    for (n, (name, (before, after))) in names.iter().zip(&bounds).enumerate() {
        let dir = to.join(name);
        checked(&["verify", arg(&dir)]);
        let copied = launch.home().join(format!("copy-{n}"));
        copy(&dir, &copied);
        let (_launch, server) = start_on(&copied, 1 + n as u32);
        let counts = prefixes(&mut server.client(), WRITERS);
        assert!(counts.iter().sum::<u64>() > 100, "void: {counts:?}");
        assert_between(before, &counts, after);
    }
    let list = checked(&["backup", arg(launch.dir()), "--to", arg(&to), "--list"]);
    assert_eq!(list.lines().count(), 5, "{list}");
    // The rule: of one hour the last one stays.
    let said = checked(&["backup", arg(launch.dir()), "--to", arg(&to), "--keep-hourly", "48"]);
    assert!(said.contains("removed"), "{said}");
    assert!(backups(&to).len() <= 2);
}

/// A copy made by `cp -r` under load is refused; what `adopt` keeps of it is of one moment.
#[test]
fn a_copy_of_a_directory_in_use_is_refused() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(3);
    let server = launch.start();
    let load = Load::start(server.port(), WRITERS);
    let mut copies = Vec::new();
    for n in 0..3 {
        thread::sleep(Duration::from_millis(1500));
        let to = launch.home().join(format!("copy-{n}"));
        copy(launch.dir(), &to);
        copies.push((to, load.sent()));
    }
    load.stop();
    server.stop();
    for (dir, after) in &copies {
        let other = Launch::basalt().logged("everysec").shards(3).in_dir(dir);
        let refused = other.try_start(&[]).expect_err("a refusal");
        assert!(refused.contains("is a copy of a data directory"), "{refused}");
        checked(&["adopt", arg(dir)]);
        let server = other.start();
        let counts = prefixes(&mut server.client(), WRITERS);
        assert!(counts.iter().sum::<u64>() > 100, "void: {counts:?}");
        assert_between(&[0; WRITERS], &counts, after);
    }
}

/// What a server closed when it ended is copied as it is; after kill -9 the operator has to say
/// that nobody was writing.
#[test]
fn a_copy_of_a_directory_at_rest_is_whole() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(3);
    let mut server = launch.start();
    server.client().populate("key", 1000);
    server.stop();
    let copied = launch.home().join("stopped");
    copy(launch.dir(), &copied);
    let (other, mut second) = start_on(&copied, 3);
    second.client().populate("more", 1000);
    assert_eq!(second.client().line("DBSIZE").int(), 2000);
    second.kill();
    let killed = launch.home().join("killed");
    copy(&copied, &killed);
    // In its own place it starts.
    let own = other.start();
    assert_eq!(own.client().line("DBSIZE").int(), 2000);
    drop(own);
    let third = Launch::basalt().logged("everysec").shards(3).in_dir(&killed);
    assert!(third.try_start(&[]).is_err());
    checked(&["adopt", arg(&killed), "--at-rest"]);
    server = third.start();
    assert_eq!(server.client().line("DBSIZE").int(), 2000);
    let (fine, said) = check(&["adopt", arg(&killed)]);
    assert!(!fine && said.contains("is locked"), "{said}");
}

/// Pairs of BACKUP STATUS.
fn status(client: &mut Client) -> BTreeMap<String, String> {
    let items: Vec<String> = client.line("BACKUP STATUS").items().iter().map(told).collect();
    items.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
}

fn told(reply: &Reply) -> String {
    match reply {
        Reply::Int(number) => number.to_string(),
        other => other.text(),
    }
}

/// Backups that a client makes under load, as many as fit into the time, each with all that had
/// been acknowledged when it was sealed: a `BASALT_BACKUP_SECONDS=600` is the ten minutes of
/// bench-results.
#[test]
fn a_client_backs_the_server_up_again_and_again() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(3);
    let server = launch.start();
    let load = Load::paced(server.port(), WRITERS, Duration::from_millis(1), 20_000);
    let mut client = server.client();
    let (mut bounds, start) = (Vec::new(), Instant::now());
    let seconds = Duration::from_secs(peers::number("BASALT_BACKUP_SECONDS", 6));
    while start.elapsed() < seconds || bounds.len() < 3 {
        client.ok("BACKUP START");
        thread::sleep(Duration::from_millis(700));
        assert_eq!(status(&mut client)["state"], "incrementing");
        if bounds.len() % 3 == 1 {
            rewrite(&mut client);
        }
        let before = load.acknowledged();
        client.ok("BACKUP SEAL");
        bounds.push((before, load.sent()));
        thread::sleep(Duration::from_millis(700));
    }
    let list: Vec<String> = client.line("BACKUP LIST").items().iter().map(told).collect();
    assert_eq!(list.len(), bounds.len(), "{list:?}");
    assert_eq!(status(&mut client)["path"], *list.last().expect("one"));
    load.stop();
    server.stop();
    for (n, (path, (before, after))) in list.iter().zip(&bounds).enumerate() {
        let copied = launch.home().join("copy");
        copy(Path::new(path), &copied);
        checked(&["verify", arg(&copied)]);
        let (_launch, server) = start_on(&copied, 1 + n as u32 % 4);
        let counts = prefixes(&mut server.client(), WRITERS);
        assert!(counts.iter().sum::<u64>() > 100, "void: {counts:?}");
        assert_between(before, &counts, after);
        drop(server);
        std::fs::remove_dir_all(&copied).expect("removed");
    }
    peers::say(&format!("{} backups restored, {:?} writes in the last", list.len(), bounds.last()));
    // They lie in the data directory and are nothing to a start.
    let server = launch.start();
    assert!(server.client().line("DBSIZE").int() > 100);
    checked(&["verify", list.last().expect("one")]);
}

#[test]
fn the_verbs_of_backup_answer_what_is_so() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(2);
    let server = launch.start();
    let mut client = server.client();
    client.populate("key", 100);
    for (request, answer) in [
        ("BACKUP SEAL", "-ERR No backup is in progress"),
        ("BACKUP CLEANUP", "-ERR No backup has been sealed"),
        ("BACKUP START", "OK"),
        ("BACKUP START", "-ERR A backup is already in progress"),
        ("BACKUP ABORT", "OK"),
        ("BACKUP ABORT", "-ERR No backup is in progress"),
        ("BACKUP START", "OK"),
        ("BACKUP SEAL", "OK"),
        ("BACKUP START", "OK"),
        ("BACKUP SEAL", "OK"),
    ] {
        assert_eq!(client.line(request).text(), answer, "{request}");
    }
    let state = status(&mut client);
    assert_eq!(state["state"], "sealed");
    assert!(state["bytes-verified"].parse::<u64>().expect("a number") > 100, "{state:?}");
    assert_eq!(client.line("BACKUP LIST").items().len(), 2);
    // The last of an hour stays; the two may lie on both sides of a full one.
    client.ok("CONFIG SET backup-keep-hourly 1");
    client.ok("BACKUP START");
    client.ok("BACKUP SEAL");
    assert_eq!(client.line("BACKUP LIST").items().len(), 1);
    client.ok("BACKUP CLEANUP");
    assert_eq!(client.line("BACKUP LIST").items().len(), 0);
    assert_eq!(status(&mut client)["state"], "idle");
    // No client says where, and a directory that cannot be made is named.
    assert!(client.line("CONFIG SET backupdirname /tmp").is_error());
    server.stop();
    let launch = launch.with(&["--backupdirname", "LOCK"]);
    let server = launch.start();
    let mut client = server.client();
    client.ok("BACKUP START");
    let refused = client.line("BACKUP SEAL").text();
    assert!(refused.starts_with("-ERR The backup failed: "), "{refused}");
    assert_eq!(status(&mut client)["state"], "failed");
    assert!(status(&mut client)["error"].contains("LOCK"));
    client.ok("SET still 1");
    client.ok("BACKUP CLEANUP");
}

/// Without a log a backup is the snapshot that START has made.
#[test]
fn a_backup_without_a_log_is_a_snapshot() {
    let Some(launch) = ours() else { return };
    let launch = launch.with(&["--appendonly", "no", "--save", ""]).shards(2);
    let server = launch.start();
    let mut client = server.client();
    client.populate("key", 5000);
    client.ok("BACKUP START");
    let limit = Instant::now() + Duration::from_secs(20);
    while status(&mut client)["state"] == "snapshotting" {
        assert!(Instant::now() < limit, "the snapshot does not end");
        thread::sleep(Duration::from_millis(5));
    }
    client.ok("SET later 1");
    client.ok("BACKUP SEAL");
    let path = status(&mut client)["path"].clone();
    server.stop();
    let copied = launch.home().join("copy");
    copy(Path::new(&path), &copied);
    let (_launch, server) = start_on(&copied, 1);
    assert_eq!(server.client().line("DBSIZE").int(), 5000);
}
