//! Disks that run full, syncs that fail, and data that comes back with another number of shards.

use std::time::{Duration, Instant};

use super::harness::client::Client;
use super::harness::disk::Disk;
use super::harness::peers;
use super::harness::reply::Reply;
use super::harness::server::{Kind, Launch, Server};
use super::world::{Theme, World};
use super::{digest, settle};

/// Writes `fill:N` until the server refuses; how many it acknowledged, and the refusal.
fn fill(client: &mut Client, from: u64) -> (u64, Reply) {
    let value = "v".repeat(64 << 10);
    for n in from..from + 20_000 {
        let reply = client.call(&["SET", &format!("fill:{n}"), &value]);
        if reply.is_error() {
            return (n, reply);
        }
    }
    panic!("the disk does not run full");
}

/// All acknowledged values are there, and nobody invented others.
fn filled(client: &mut Client, count: u64) {
    let value = "v".repeat(64 << 10);
    for n in 0..count {
        let reply = client.line(&format!("GET fill:{n}"));
        assert!(reply == Reply::Bulk(value.clone().into_bytes()), "fill:{n} of {count}: {reply}");
    }
}

/// Small writes until one is taken again; how long that took.
fn healed(client: &mut Client) -> Duration {
    let start = Instant::now();
    while client.line("SET healed yes").is_error() {
        assert!(start.elapsed() < Duration::from_secs(30), "writes are refused for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    start.elapsed()
}

/// A disk runs full, gets space again, and the process is killed on the way.
fn runs_full(disk: &Disk, policy: &str, shards: u32, bigger: u32) {
    let dir = disk.path().join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let launch = Launch::basalt().logged(policy).shards(shards).in_dir(&dir);
    if launch.kind() == Kind::Redis {
        return peers::say("skipped: a redis-server exits or goes on with errors here");
    }
    let mut server = launch.start();
    let mut client = server.client();
    let (count, refusal) = fill(&mut client, 0);
    assert!(count > 20, "void: {count} writes acknowledged");
    assert!(refusal.text().starts_with("-MISCONF"), "{refusal}");
    assert!(client.line("INCR other").text().starts_with("-MISCONF"));
    assert_eq!(client.line("GET fill:0").text().len(), 64 << 10, "reads go on");
    let status = client.info("persistence").get("aof_last_write_status").cloned();
    assert_eq!(status.as_deref(), Some("err"));
    let loud = server.log().to_lowercase();
    assert!(loud.contains("no space") || loud.contains("error"), "the log says nothing:\n{loud}");

    disk.resize(bigger);
    let took = healed(&mut client);
    assert!(took < Duration::from_secs(5), "healing took {took:?}");
    assert_eq!(
        client.info("persistence").get("aof_last_write_status").cloned().as_deref(),
        Some("ok")
    );
    for n in 0..50 {
        assert_eq!(client.line(&format!("INCR after:{}", n % 10)).int(), n / 10 + 1);
    }
    server.kill();
    let server = launch.start();
    let mut client = server.client();
    filled(&mut client, count);
    for n in 0..10 {
        assert_eq!(client.line(&format!("GET after:{n}")).int(), 5);
    }
    assert_eq!(client.line("GET healed").text(), "yes");
    server.stop();
}

#[test]
fn a_full_disk_refuses_writes_and_heals_everysec() {
    let Some(disk) = Disk::tmpfs(24) else { return };
    runs_full(&disk, "everysec", 2, 400);
}

#[test]
fn a_full_disk_refuses_writes_and_heals_always() {
    let Some(disk) = Disk::tmpfs(24) else { return };
    runs_full(&disk, "always", 1, 400);
}

#[test]
fn a_full_disk_and_a_kill_leave_no_hole() {
    let Some(disk) = Disk::tmpfs(24) else { return };
    let dir = disk.path().join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let launch = Launch::basalt().logged("everysec").shards(2).in_dir(&dir);
    if launch.kind() == Kind::Redis {
        return peers::say("skipped: a redis-server exits or goes on with errors here");
    }
    let mut server = launch.start();
    let (count, _) = fill(&mut server.client(), 0);
    server.kill();
    disk.resize(400);
    let server = launch.start();
    filled(&mut server.client(), count);
    server.stop();
}

/// The device stops for longer than `everysec` may lose: writes go on into the page cache, but
/// nothing is acknowledged that a power cut could take more than two seconds later. (Power cuts on
/// a loaded machine had taken the last 4.2 s.)
fn slow_syncs_hold_replies(shards: u32) {
    let Some(disk) = Disk::slow(128) else { return };
    let dir = disk.path().join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let launch = Launch::basalt().logged("everysec").shards(shards).in_dir(&dir);
    if launch.kind() == Kind::Redis {
        return peers::say("skipped: a redis-server writes on after two seconds");
    }
    let server = launch.start();
    let (mut client, mut reader) = (server.client(), server.client());
    let mut count = 0;
    // When each of the writes of a while was acknowledged.
    let mut write = |length: Duration| {
        let (since, mut acked) = (Instant::now(), Vec::new());
        while since.elapsed() < length {
            count += 1;
            assert_eq!(client.line("INCR counter").int(), count);
            acked.push(since.elapsed());
            std::thread::sleep(Duration::from_millis(1));
        }
        acked
    };
    write(Duration::from_millis(1500));
    let mut freezing = disk.freeze(5);
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(2500));
        let since = Instant::now();
        assert!(reader.line("GET nothing").is_null(), "reads go on");
        since.elapsed()
    });
    let acked = write(Duration::from_millis(4500));
    let waited = reading.join().expect("a reader");
    assert!(waited < Duration::from_secs(1), "a read waited {waited:?}");
    let (meanwhile, after): (Vec<_>, Vec<_>) =
        acked.into_iter().partition(|when| *when < Duration::from_millis(4500));
    assert!(meanwhile.len() > 100, "void: {} writes were acknowledged", meanwhile.len());
    let last = meanwhile.last().copied().unwrap_or_default();
    assert!(last < Duration::from_millis(2300), "acknowledged after {last:?}");
    assert!(after.len() == 1 && after[0] > Duration::from_millis(4800), "{after:?}");
    freezing.wait().expect("a shell that ends");
    // What the device owes may take it a while, beside other work.
    let mut brisk = || write(Duration::from_millis(1000)).len() > 100;
    assert!((0..5).any(|_| brisk()), "writes go on");
    let info = server.client().line("INFO persistence").text().to_owned();
    assert!(!info.contains("aof_delayed_fsync:0"), "{info}");
    server.stop();
}

#[test]
fn slow_syncs_hold_replies_back_1_shard() {
    slow_syncs_hold_replies(1);
}

#[test]
fn slow_syncs_hold_replies_back_2_shards() {
    slow_syncs_hold_replies(2);
}

/// The file system takes every write, and the device below it cannot keep them: that is an error
/// of fdatasync. What was acknowledged under `always` is on the device.
#[test]
fn failing_syncs_are_not_acknowledged() {
    let Some(disk) = Disk::thin(300, 24) else { return };
    let dir = disk.path().join("data");
    std::fs::create_dir(&dir).expect("a directory");
    let launch = Launch::basalt().logged("always").shards(2).in_dir(&dir);
    if launch.kind() == Kind::Redis {
        return peers::say("skipped: a redis-server exits here");
    }
    let mut server = launch.start();
    let mut client = server.client();
    let (count, refusal) = fill(&mut client, 0);
    assert!(count > 20, "void: {count} writes acknowledged");
    assert!(refusal.text().starts_with("-MISCONF"), "{refusal}");
    assert_eq!(client.line("GET fill:0").text().len(), 64 << 10, "reads go on");
    disk.resize(600);
    let took = healed(&mut client);
    assert!(took < Duration::from_secs(5), "healing took {took:?}");
    assert_eq!(client.line("INCR after").int(), 1);
    server.kill();
    disk.restore();
    let server = launch.start();
    let mut client = server.client();
    filled(&mut client, count);
    assert_eq!(client.line("GET after").int(), 1);
    drop(client);
    server.stop();
    disk.restore();
}

/// Written with `from` shards, loaded with `to`, after a clean stop and after kill -9.
fn reshard(from: u32, to: u32) {
    let seed = u64::from(from * 10 + to);
    let mut world = World::new(Theme::Mixed, seed);
    let launch = Launch::basalt().logged("everysec");
    let shards = |count: u32| -> Vec<String> {
        match launch.kind() {
            Kind::Basalt => vec!["--shards".to_owned(), count.to_string()],
            Kind::Redis => Vec::new(),
        }
    };
    let start = |count: u32| -> Server {
        let args = shards(count);
        launch.start_with(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let mut server = start(from);
    world.preload(&server);
    let found = world.run(&mut server, |server, _| {
        std::thread::sleep(Duration::from_millis(250));
        server.kill();
    });
    settle(0, seed, &found);
    let server = start(from);
    let mut client = server.client();
    settle(1, seed, &world.verify(&mut client, super::history::Promise::Known));
    client.ok("SET deadline 1 PXAT 4102444800123");
    let expected = digest(&server);
    drop(server);
    let mut found = Vec::new();
    let mut compare = |server: &Server, what: &str| {
        let now = digest(server);
        if now != expected {
            found.push(format!("{from} -> {to}: {what}: digest {now}, was {expected}"));
        }
    };
    let server = start(to);
    compare(&server, "after kill -9");
    assert_eq!(server.client().line("PEXPIRETIME deadline").int(), 4_102_444_800_123);
    server.stop();
    let mut server = start(to);
    compare(&server, "after a clean stop with the new number");
    server.kill();
    let server = start(from);
    compare(&server, "back again");
    server.stop();
    let server = start(to);
    compare(&server, "after a clean stop with the old number");
    settle(2, seed, &found);
}

#[test]
fn any_number_of_shards_loads_any_other() {
    let few = [(1, 2), (1, 4), (2, 1), (2, 3), (3, 8), (4, 1), (4, 3), (8, 2), (8, 4)];
    let counts = [1, 2, 3, 4, 8];
    if std::env::var_os("BASALT_RESHARD_ALL").is_some() {
        counts.iter().for_each(|&from| counts.iter().for_each(|&to| reshard(from, to)));
    } else {
        few.iter().for_each(|&(from, to)| reshard(from, to));
    }
}
