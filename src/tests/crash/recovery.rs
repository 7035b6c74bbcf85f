//! Crashes while a server recovers from a crash, one after another, also on its way to another
//! number of shards: what comes up in the end is what would have come up at once.

use std::path::Path;
use std::process::Command;

use basalt::base::prng::Prng;

use super::harness::disk::Disk;
use super::harness::server::{Kind, Launch, Server};
use super::history::Promise;
use super::world::{Theme, World, a_while};
use super::{digest, plan, settle};

/// Crashes in one recovery.
const AGAIN: u64 = 6;

fn launch(kind: Kind, policy: &str, shards: u32, dir: &Path) -> Launch {
    let launch = Launch::basalt().logged(policy).in_dir(dir);
    if kind == Kind::Redis { launch } else { launch.shards(shards) }
}

/// What a server finds in a copy of this directory.
fn expected(of: &Launch, policy: &str, shards: u32, how: &str) -> String {
    let home = tempfile::tempdir().expect("a directory");
    let copy = home.path().join("copy");
    let done = Command::new("cp").arg("-a").args([of.dir(), &copy]).status().expect("cp");
    assert!(done.success(), "the directory can be copied");
    if of.kind() == Kind::Basalt {
        // No server has run while it was copied, which a start cannot know.
        let check = env!("CARGO_BIN_EXE_basalt-check");
        let done = Command::new(check).arg("adopt").arg(&copy).arg("--at-rest").output();
        let done = done.expect("basalt-check");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
    let server = launch(of.kind(), policy, shards, &copy).recovery(how).start();
    let found = digest(&server);
    drop(server);
    found
}

/// Data that takes a while to load, some of it in a base and some in logs.
fn fill(server: &Server, seed: u64) {
    let mut client = server.client();
    client.populate("base", 20_000);
    client.ok("SAVE");
    client.populate(&format!("log:{seed}"), 20_000);
}

/// Another number of shards, or the same.
fn other(from: u32, prng: &mut Prng) -> u32 {
    if prng.chance(1, 2) { from } else { [1, 2, 3, 4, 8][prng.below(5) as usize] }
}

/// A crash under load, and kill -9 while it is recovered from.
fn killed(policy: &str, shards: u32, cycles: u64) {
    let (cycles, seed) = plan(cycles, u64::from(shards) + 200);
    let mut prng = Prng::new(seed);
    let mut world = World::new(Theme::Mixed, seed);
    let home = tempfile::tempdir().expect("a directory");
    let launch = launch(Launch::basalt().kind(), policy, shards, home.path());
    let mut server = launch.start();
    world.preload(&server);
    fill(&server, seed);
    for cycle in 0..cycles {
        let least = world.least(cycle % 2);
        let mut found = world.run(&mut server, |server, stage| {
            stage.busy(least);
            a_while(0, 200, &mut prng);
            server.kill();
        });
        let expected = expected(&launch, policy, shards, "auto");
        for _ in 0..AGAIN {
            let count = other(shards, &mut prng).to_string();
            let basalt = launch.kind() == Kind::Basalt;
            let args = if basalt { vec!["--shards", &count] } else { Vec::new() };
            let mut half = launch.spawn(&args);
            a_while(0, 150, &mut prng);
            half.kill();
        }
        server = launch.start();
        let now = digest(&server);
        if now != expected {
            found.push(format!("after {AGAIN} crashes in its recovery {now}, not {expected}"));
        }
        found.extend(world.verify(&mut server.client(), Promise::Known));
        settle(cycle, seed, &found);
    }
    world.report(cycles);
}

/// A power cut, and more of them while it is recovered from.
fn cut_off(policy: &str, shards: u32, cycles: u64) {
    let Some(disk) = Disk::ext4(400) else { return };
    let (cycles, seed) = plan(cycles, u64::from(shards) + 300);
    let mut prng = Prng::new(seed);
    let mut world = World::new(Theme::Mixed, seed);
    let dir = disk.path().join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let launch = launch(Launch::basalt().kind(), policy, shards, &dir).recovery("strict");
    let mut server = launch.start();
    world.preload(&server);
    fill(&server, seed);
    for cycle in 0..cycles {
        super::make_durable(&launch, &server);
        let least = world.least(cycle % 2);
        let found = world.run(&mut server, |server, stage| {
            let switch = disk.switch();
            stage.busy(least);
            a_while(0, 200, &mut prng);
            stage.dying.store(true, std::sync::atomic::Ordering::SeqCst);
            switch.cut();
            server.kill();
        });
        disk.restore();
        let expected = expected(&launch, policy, shards, "strict");
        for _ in 0..AGAIN {
            let switch = disk.switch();
            let count = other(shards, &mut prng).to_string();
            let mut half = launch.spawn(&["--shards", &count]);
            a_while(0, 150, &mut prng);
            switch.cut();
            half.kill();
            disk.restore();
        }
        server = launch.start();
        let now = digest(&server);
        let mut found = found;
        if now != expected {
            found.push(format!("after {AGAIN} cuts in its recovery {now}, not {expected}"));
        }
        // What this crash took, the next cycle must not miss.
        let ever = Promise::Prefix(std::time::Instant::now(), super::EVER);
        let promise = if policy == "always" { Promise::Known } else { ever };
        found.extend(world.verify(&mut server.client(), promise));
        settle(cycle, seed, &found);
    }
    drop(server);
    world.report(cycles);
}

#[test]
fn killed_again_and_again_while_it_recovers() {
    killed("everysec", 2, 2);
    killed("always", 4, 1);
}

#[test]
fn cut_off_again_and_again_while_it_recovers() {
    cut_off("everysec", 4, 2);
    cut_off("always", 2, 1);
}
