//! The table "Persistence", row by row, as an operator would try it.

use std::fs;
use std::path::Path;

use super::admin::settled;
use super::harness::client::Client;
use super::ours;

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
