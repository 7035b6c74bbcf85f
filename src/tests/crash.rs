//! The real binary killed, cut from power and run out of disk space under load, again and again.
//!
//! `BASALT_CRASH_CYCLES` sets how many cycles each test makes, `BASALT_CRASH_SEED` the moments.
//! `BASALT_TEST_SERVER` names another server, also a redis-server.

#[path = "crash/faults.rs"]
mod faults;
#[path = "crash/full.rs"]
mod full;
#[path = "crash/history.rs"]
mod history;
#[path = "crash/load.rs"]
mod load;
#[path = "crash/recovery.rs"]
mod recovery;
#[path = "crash/sequence.rs"]
mod sequence;
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
use world::{Theme, World, a_while};

/// Writes that were known for so long before the last that was known have to survive a power cut,
/// unless the policy promises more: two seconds, and the slowness of machines that build beside the
/// test.
const SECOND: Duration = Duration::from_millis(2500);

/// Longer than any test: the policy promises nothing but a prefix.
const EVER: Duration = Duration::from_secs(86_400);

/// The cycles of a test and its seed, which the environment may set.
fn plan(cycles: u64, seed: u64) -> (u64, u64) {
    let number = peers::number;
    (number("BASALT_CRASH_CYCLES", cycles), number("BASALT_CRASH_SEED", seed))
}

/// Fails with what was found, and with the command that shows it again.
fn settle(cycle: u64, seed: u64, found: &[String]) {
    let shown: Vec<&str> = found.iter().take(20).map(String::as_str).collect();
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    let cycles = cycle + 1;
    assert!(
        found.is_empty(),
        "cycle {cycle}: {} promises broken\n  {}\n  BASALT_CRASH_SEED={seed} \
         BASALT_CRASH_CYCLES={cycles} cargo test --release --test crash -- --exact {test}",
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
fn kill_cycles(theme: Theme, policy: &str, shards: u32, cycles: u64) {
    let (cycles, seed) = plan(cycles, u64::from(shards));
    let launch = Launch::basalt().logged(policy).shards(shards);
    let mut prng = Prng::new(seed);
    let mut world = World::new(theme, seed);
    let mut server = launch.start();
    world.preload(&server);
    for cycle in 0..cycles {
        // Every other crash has a checkpoint behind it; the others may be in their first.
        let least = world.least(cycle % 2);
        let mut found = world.run(&mut server, |server, stage| {
            stage.busy(least);
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
    world.report(cycles);
}

/// The power goes under load. The kernel goes on, so the cut by epoch has to be asked for.
fn power_cycles(theme: Theme, policy: &str, shards: u32, cycles: u64) {
    let Some(disk) = Disk::ext4(256) else { return };
    let (cycles, seed) = plan(cycles, u64::from(shards) + 100);
    let dir = disk.path().join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let launch = Launch::basalt().logged(policy).shards(shards).recovery("strict").in_dir(&dir);
    let mut prng = Prng::new(seed);
    let mut world = World::new(theme, seed);
    let mut server = launch.start();
    world.preload(&server);
    make_durable(&launch, &server);
    let mut cut = Instant::now();
    for cycle in 0..cycles {
        // Now and then long enough for the promise about the last second to say something.
        let longer = if policy == "everysec" && cycle % 6 == 3 { 4000 } else { 150 };
        let least = world.least(cycle % 2);
        let mut found = world.run(&mut server, |server, stage| {
            let switch = disk.switch();
            stage.busy(least);
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
        if cycle % 3 == 1 {
            // The power fails again while it recovers.
            let switch = disk.switch();
            let mut half = launch.spawn(&[]);
            a_while(0, 60, &mut prng);
            switch.cut();
            half.kill();
            disk.restore();
        }
        server = launch.start();
        let promise = match policy {
            "always" => Promise::Known,
            "everysec" => Promise::Prefix(cut, SECOND),
            _ => Promise::Prefix(cut, EVER),
        };
        found.extend(world.verify(&mut server.client(), promise));
        settle(cycle, seed, &found);
        make_durable(&launch, &server);
    }
    drop(server);
    world.report(cycles);
}

#[test]
fn kill_always_1_shard() {
    kill_cycles(Theme::Mixed, "always", 1, 12);
}

#[test]
fn kill_always_2_shards() {
    kill_cycles(Theme::Mixed, "always", 2, 14);
}

#[test]
fn kill_always_4_shards() {
    kill_cycles(Theme::Mixed, "always", 4, 14);
}

#[test]
fn kill_everysec_1_shard() {
    kill_cycles(Theme::Mixed, "everysec", 1, 10);
}

#[test]
fn kill_everysec_2_shards() {
    kill_cycles(Theme::Mixed, "everysec", 2, 14);
}

#[test]
fn kill_everysec_4_shards() {
    kill_cycles(Theme::Mixed, "everysec", 4, 14);
}

#[test]
fn kill_no_1_shard() {
    kill_cycles(Theme::Mixed, "no", 1, 4);
}

#[test]
fn kill_no_2_shards() {
    kill_cycles(Theme::Mixed, "no", 2, 4);
}

#[test]
fn kill_no_4_shards() {
    kill_cycles(Theme::Mixed, "no", 4, 6);
}

#[test]
fn kill_observed_always_2_shards() {
    kill_cycles(Theme::Observed, "always", 2, 6);
}

#[test]
fn kill_observed_everysec_4_shards() {
    kill_cycles(Theme::Observed, "everysec", 4, 6);
}

#[test]
fn kill_observed_no_1_shard() {
    kill_cycles(Theme::Observed, "no", 1, 3);
}

#[test]
fn kill_flushed_always_4_shards() {
    kill_cycles(Theme::Flushed, "always", 4, 6);
}

#[test]
fn kill_flushed_everysec_2_shards() {
    kill_cycles(Theme::Flushed, "everysec", 2, 6);
}

#[test]
fn power_always_1_shard() {
    power_cycles(Theme::Mixed, "always", 1, 6);
}

#[test]
fn power_always_2_shards() {
    power_cycles(Theme::Mixed, "always", 2, 6);
}

#[test]
fn power_always_4_shards() {
    power_cycles(Theme::Mixed, "always", 4, 8);
}

#[test]
fn power_everysec_1_shard() {
    power_cycles(Theme::Mixed, "everysec", 1, 5);
}

#[test]
fn power_everysec_2_shards() {
    power_cycles(Theme::Mixed, "everysec", 2, 5);
}

#[test]
fn power_everysec_4_shards() {
    power_cycles(Theme::Mixed, "everysec", 4, 8);
}

#[test]
fn power_no_1_shard() {
    power_cycles(Theme::Mixed, "no", 1, 3);
}

#[test]
fn power_no_2_shards() {
    power_cycles(Theme::Mixed, "no", 2, 3);
}

#[test]
fn power_no_4_shards() {
    power_cycles(Theme::Mixed, "no", 4, 3);
}

#[test]
fn power_observed_always_2_shards() {
    power_cycles(Theme::Observed, "always", 2, 5);
}

#[test]
fn power_observed_everysec_4_shards() {
    power_cycles(Theme::Observed, "everysec", 4, 4);
}

#[test]
fn power_flushed_always_4_shards() {
    power_cycles(Theme::Flushed, "always", 4, 4);
}

#[test]
fn power_flushed_everysec_2_shards() {
    power_cycles(Theme::Flushed, "everysec", 2, 4);
}
