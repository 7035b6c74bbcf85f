//! The real binary killed, cut from power and run out of disk space under load, again and again.
//!
//! `BASALT_CRASH_CYCLES` sets how many cycles each test makes, `BASALT_CRASH_SEED` the moments.

#[path = "crash/faults.rs"]
mod faults;
#[path = "crash/history.rs"]
mod history;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/world.rs"]
mod world;

mod harness;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use basalt::base::prng::Prng;
use harness::disk::Disk;
use harness::peers;
use harness::server::{Kind, Launch, Server};
use history::Promise;
use world::{World, a_while};

/// A cycle in which fewer writes were acknowledged proves nothing.
const LEAST: u64 = 100;

/// Fails with what was found, and with how to see it again.
fn settle(cycle: u64, seed: u64, found: &[String]) {
    let shown: Vec<&str> = found.iter().take(20).map(String::as_str).collect();
    assert!(
        found.is_empty(),
        "cycle {cycle} (BASALT_CRASH_SEED={seed}): {} promises broken\n  {}",
        found.len(),
        shown.join("\n  ")
    );
}

fn digest(server: &Server) -> String {
    server.client().ok("DEBUG DIGEST").text()
}

/// What was there before a cycle has to be there after it.
fn make_durable(launch: &Launch, server: &Server) {
    match launch.kind() {
        Kind::Basalt => drop(server.client().ok("SAVE")),
        // Its SAVE leaves the log alone.
        Kind::Redis => std::thread::sleep(Duration::from_millis(2500)),
    }
}

/// kill -9 under load; then perhaps another one while it loads, or right after.
fn kill_cycles(policy: &str, shards: u32, cycles: u64) {
    let seed = peers::number("BASALT_CRASH_SEED", u64::from(shards));
    let cycles = peers::number("BASALT_CRASH_CYCLES", cycles);
    let launch = Launch::basalt().logged(policy).shards(shards);
    let mut prng = Prng::new(seed);
    let mut world = World::new(seed);
    let mut server = launch.start();
    world.preload(&server);
    for cycle in 0..cycles {
        let mut found = world.run(&mut server, |server, stage| {
            // Every other crash has a checkpoint behind it; the others may be in their first.
            stage.busy(LEAST, cycle % 2);
            a_while(0, 300, &mut prng);
            server.kill();
        });
        if cycle % 3 == 1 {
            let mut half = launch.spawn(&[]);
            a_while(0, 60, &mut prng);
            half.kill();
        }
        server = launch.start();
        if cycle % 3 == 2 {
            let before = digest(&server);
            server.kill();
            server = launch.start();
            let after = digest(&server);
            if before != after {
                found.push(format!("the second recovery differs: {before} {after}"));
            }
        }
        found.extend(world.verify(&mut server.client(), Promise::Known));
        settle(cycle, seed, &found);
    }
}

/// The power goes under load. The kernel goes on, so the cut by epoch has to be asked for.
fn power_cycles(policy: &str, shards: u32, cycles: u64) {
    let Some(disk) = Disk::ext4(256) else { return };
    let seed = peers::number("BASALT_CRASH_SEED", u64::from(shards) + 100);
    let cycles = peers::number("BASALT_CRASH_CYCLES", cycles);
    let dir = disk.path().join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let launch = Launch::basalt().logged(policy).shards(shards).recovery("strict").in_dir(&dir);
    let mut prng = Prng::new(seed);
    let mut world = World::new(seed);
    let mut server = launch.start();
    world.preload(&server);
    make_durable(&launch, &server);
    let mut cut = Instant::now();
    for cycle in 0..cycles {
        // Now and then long enough for the promise about the last second to say something.
        let longer = if policy != "always" && cycle % 4 == 3 { 4000 } else { 150 };
        let mut found = world.run(&mut server, |server, stage| {
            let switch = disk.switch();
            stage.busy(LEAST, cycle % 2);
            a_while(longer, 300, &mut prng);
            cut = Instant::now();
            stage.dying.store(true, Ordering::SeqCst);
            switch.cut();
            a_while(0, 20, &mut prng);
            server.kill();
        });
        if !found.is_empty() {
            found.push(format!("log of the server that was cut off:\n{}", server.log()));
        }
        disk.restore();
        server = launch.start();
        let promise = match policy {
            "always" => Promise::Known,
            _ => Promise::Prefix(cut, Duration::from_millis(2500)),
        };
        found.extend(world.verify(&mut server.client(), promise));
        settle(cycle, seed, &found);
        make_durable(&launch, &server);
    }
    drop(server);
}

#[test]
fn kill_always_1_shard() {
    kill_cycles("always", 1, 16);
}

#[test]
fn kill_always_2_shards() {
    kill_cycles("always", 2, 17);
}

#[test]
fn kill_always_4_shards() {
    kill_cycles("always", 4, 17);
}

#[test]
fn kill_everysec_1_shard() {
    kill_cycles("everysec", 1, 16);
}

#[test]
fn kill_everysec_2_shards() {
    kill_cycles("everysec", 2, 17);
}

#[test]
fn kill_everysec_4_shards() {
    kill_cycles("everysec", 4, 17);
}

#[test]
fn kill_no_2_shards() {
    kill_cycles("no", 2, 4);
}

#[test]
fn power_always_1_shard() {
    power_cycles("always", 1, 6);
}

#[test]
fn power_always_4_shards() {
    power_cycles("always", 4, 8);
}

#[test]
fn power_everysec_1_shard() {
    power_cycles("everysec", 1, 5);
}

#[test]
fn power_everysec_4_shards() {
    power_cycles("everysec", 4, 9);
}
