//! Deadlines of fields over restarts, saves and other numbers of shards; and that a million fields
//! which die at once hold nobody up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::admin::settled;
use super::harness::client::{Client, encode};
use super::harness::peers;
use super::harness::reply::Reply;
use super::ours;
use super::restore::{arg, checked, start_on};

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock");
    since.as_millis() as u64
}

/// Makes a hash of so many fields, in batches; each gets the deadline that `at` says, if any.
fn fill(client: &mut Client, key: &str, count: u64, at: impl Fn(u64) -> Option<u64>) {
    for from in (0..count).step_by(1000) {
        let numbers = from..count.min(from + 1000);
        let mut set = vec!["HSET".to_owned(), key.to_owned()];
        numbers.clone().for_each(|n| set.extend([format!("field:{n}"), n.to_string()]));
        let mut bytes = encode(&set);
        let mut replies = 1;
        let mut numbers: Vec<u64> = numbers.filter(|n| at(*n).is_some()).collect();
        numbers.sort_by_key(|n| at(*n));
        for alike in numbers.chunk_by(|a, b| at(*a) == at(*b)) {
            let moment = at(alike[0]).expect("a deadline").to_string();
            let mut words = vec!["HPEXPIREAT".to_owned(), key.to_owned(), moment];
            words.extend(["FIELDS".to_owned(), alike.len().to_string()]);
            words.extend(alike.iter().map(|n| format!("field:{n}")));
            bytes.extend(encode(&words));
            replies += 1;
        }
        for reply in client.batch(&bytes, replies).expect("replies") {
            assert!(!reply.is_error(), "{reply}");
        }
    }
}

/// Values and deadlines of some fields.
fn told(client: &mut Client, key: &str, fields: &[u64]) -> Vec<(Reply, Reply)> {
    let names = fields.iter().map(|n| format!("field:{n}"));
    let mut get = vec!["HMGET".to_owned(), key.to_owned()];
    get.extend(names.clone());
    let mut until: Vec<String> =
        ["HPEXPIRETIME", key, "FIELDS"].iter().map(|word| (*word).to_owned()).collect();
    until.push(fields.len().to_string());
    until.extend(names);
    let values = client.try_call(&get).expect("a reply").items();
    let moments = client.try_call(&until).expect("a reply").items();
    values.into_iter().zip(moments).collect()
}

/// Waits until there are so many fields.
fn until_left(client: &mut Client, key: &str, left: i64) {
    let start = Instant::now();
    while client.call(&["HLEN", key]).int() != left {
        assert!(start.elapsed() < Duration::from_secs(30), "fields do not die");
        thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until at least so many fields have been removed: that comes after they are not there.
fn until_removed(client: &mut Client, count: u64) {
    let start = Instant::now();
    let removed =
        |client: &mut Client| client.info("stats")["expired_subkeys"].parse::<u64>().unwrap();
    while removed(client) < count {
        assert!(start.elapsed() < Duration::from_secs(30), "fields are not removed");
        thread::sleep(Duration::from_millis(10));
    }
}

/// What is soon to die, what later, and what never.
fn over_restarts(shards: u32, preamble: &str) {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(shards);
    let launch = launch.with(&["--aof-use-rdb-preamble", preamble]);
    let mut server = launch.start();
    let mut client = server.client();
    let (soon, late) = (now() + 6000, now() + 3_600_000);
    let at = |n: u64| match n % 3 {
        0 => Some(soon),
        1 => Some(late + n % 7),
        _ => None,
    };
    for (key, count) in [("small", 30), ("big", 3000)] {
        fill(&mut client, key, count, at);
        client.ok(&format!("COPY {key} {key}:copy"));
    }
    client.ok("BGSAVE");
    client.ok("HINCRBY big field:1 1000");
    client.ok("HPERSIST big FIELDS 1 field:4");
    client.ok(&format!("HPEXPIREAT big {late} FIELDS 1 field:2"));
    client.ok("HSET big field:7 anew");
    client.ok("HDEL big field:10");
    client.ok("RENAME small small:moved");
    settled(&mut client);
    let fields: Vec<u64> = (0..30).collect();
    let keys = ["small:moved", "small:copy", "big", "big:copy"];
    let before: Vec<_> = keys.iter().map(|key| told(&mut client, key, &fields)).collect();
    server.kill();
    let mut server = launch.start();
    let mut client = server.client();
    let early = now() < soon;
    if early {
        let after: Vec<_> = keys.iter().map(|key| told(&mut client, key, &fields)).collect();
        assert_eq!(after, before, "{shards} shards, preamble {preamble}");
    }
    for (key, left) in [("small:moved", 20), ("small:copy", 20), ("big", 1999), ("big:copy", 2000)]
    {
        until_left(&mut client, key, left);
    }
    let dead = |n: &u64| n.is_multiple_of(3);
    let alive: Vec<u64> = fields.iter().copied().filter(|n| !dead(n)).collect();
    let before: Vec<_> = keys.iter().map(|key| told(&mut client, key, &alive)).collect();
    if early {
        until_removed(&mut client, 2020);
    }
    // What has died is gone from the log too; and so it is for other shards.
    server.kill();
    let report = checked(&["verify", arg(launch.dir()), "--load"]);
    assert!(report.contains("ok") || !report.is_empty(), "{report}");
    for other in [3, 1] {
        let (_, server) = start_on(launch.dir(), other);
        let mut client = server.client();
        let after: Vec<_> = keys.iter().map(|key| told(&mut client, key, &alive)).collect();
        assert_eq!(after, before, "{shards} shards and then {other}");
        assert_eq!(client.line("HLEN big").int(), 1999);
        client.ok("BGREWRITEAOF");
        settled(&mut client);
        server.stop();
    }
}

#[test]
fn deadlines_of_fields_survive() {
    for (shards, preamble) in [(1, "yes"), (2, "yes"), (2, "no")] {
        over_restarts(shards, preamble);
    }
}

/// The longest of many short requests, until told to stop.
fn longest_wait(mut client: Client, stop: &AtomicBool) -> (Duration, u64) {
    let (mut longest, mut count) = (Duration::ZERO, 0);
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        client.ok("INCR other");
        longest = longest.max(start.elapsed());
        count += 1;
    }
    (longest, count)
}

/// A million fields of one hash pass their deadline in the same millisecond.
#[test]
fn many_fields_that_die_at_once_hold_nobody_up() {
    let Some(launch) = ours() else { return };
    let count = peers::number("BASALT_FIELDS", 200_000);
    for save in ["no", "yes"] {
        let server = launch.start_with(&["--shards", "1", "--appendfsync", "everysec"]);
        let mut client = server.client();
        client.ok("FLUSHALL");
        let deadline = now() + 3000 + count / 20;
        fill(&mut client, "doomed", count, |_| Some(deadline));
        client.ok("HSET doomed last 1");
        assert!(now() < deadline, "too slow a machine: {} ms late", now() - deadline);
        thread::sleep(Duration::from_millis((deadline - now()).saturating_sub(200)));
        if save == "yes" {
            client.ok("BGSAVE");
        }
        let stop = AtomicBool::new(false);
        let (longest, requests) = thread::scope(|scope| {
            let other = server.client();
            let waits = scope.spawn(|| longest_wait(other, &stop));
            thread::sleep(Duration::from_millis(deadline.saturating_sub(now()) + 1));
            let start = Instant::now();
            until_left(&mut client, "doomed", 1);
            println!("{count} fields, save {save}: gone in {:?}", start.elapsed());
            stop.store(true, Ordering::Relaxed);
            waits.join().expect("a thread")
        });
        println!("the longest of {requests} requests meanwhile: {longest:?}");
        // Builds run beside the tests; on an idle machine it is some milliseconds.
        assert!(longest < Duration::from_secs(1), "{longest:?}");
        settled(&mut client);
        until_removed(&mut client, count);
        assert_eq!(client.info("stats")["expired_subkeys"], count.to_string());
        assert_eq!(client.line("HGETALL doomed").items().len(), 2);
        server.stop();
    }
}
