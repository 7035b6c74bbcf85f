//! Backups of a running server, and copies of its directory that were made without asking.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

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
            client.ok("BGREWRITEAOF");
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
