//! Several shards behave as one database: order of replies, transactions, commands over many keys.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use basalt::base::prng::Prng;

use super::harness::client::{Client, encode};
use super::harness::reply::Reply;
use super::harness::server::Launch;

/// One command of a pipeline, and its reply.
fn step(prng: &mut Prng, counters: &mut [i64; 50], strings: &mut [i64; 50]) -> (Vec<u8>, Reply) {
    let at = prng.below(50) as usize;
    let other = prng.below(50) as usize;
    match prng.below(7) {
        0 => {
            counters[at] += 1;
            (encode(&["INCR", &format!("c:{at}")]), Reply::Int(counters[at]))
        }
        1 => {
            strings[at] = prng.below(1_000_000) as i64 + 1;
            let words = ["SET".to_owned(), format!("s:{at}"), strings[at].to_string()];
            (encode(&words), Reply::Simple(b"OK".to_vec()))
        }
        2 => (encode(&["GET", &format!("s:{at}")]), value(strings[at])),
        3 => {
            let words = ["MGET".to_owned(), format!("s:{at}"), format!("c:{other}")];
            (encode(&words), Reply::Array(vec![value(strings[at]), value(counters[other])]))
        }
        4 => {
            let text = prng.next().to_string();
            (encode(&["ECHO", &text]), Reply::Bulk(text.into_bytes()))
        }
        5 => {
            let (one, two) = (prng.below(1000) as i64 + 1, prng.below(1000) as i64 + 1);
            strings[at] = one;
            strings[other] = two;
            let (at, other) = (format!("s:{at}"), format!("s:{other}"));
            let words = ["MSET", &at, &one.to_string(), &other, &two.to_string()];
            (encode(&words), Reply::Simple(b"OK".to_vec()))
        }
        _ => {
            let text = b"ERR wrong number of arguments for 'get' command".to_vec();
            (encode(&["GET"]), Reply::Error(text))
        }
    }
}

fn value(number: i64) -> Reply {
    if number == 0 { Reply::Null("$-1") } else { Reply::Bulk(number.to_string().into_bytes()) }
}

#[test]
fn a_pipeline_over_all_shards_keeps_its_order() {
    for shards in [1, 4] {
        let launch = Launch::basalt().logged("everysec").shards(shards);
        let server = launch.start();
        let mut client = server.client();
        let mut prng = Prng::new(u64::from(shards));
        let (mut counters, mut strings) = ([0; 50], [0; 50]);
        for round in 0..10 {
            let steps: Vec<_> =
                (0..1000).map(|_| step(&mut prng, &mut counters, &mut strings)).collect();
            let bytes: Vec<u8> = steps.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
            let replies = client.batch(&bytes, steps.len()).expect("replies");
            for (n, ((bytes, expected), got)) in steps.iter().zip(&replies).enumerate() {
                let sent = bytes.escape_ascii();
                assert_eq!(got, expected, "{shards} shards, round {round}, command {n}: {sent}");
            }
        }
    }
}

const ACCOUNTS: u64 = 20;

fn accounts() -> Vec<String> {
    (0..ACCOUNTS).map(|n| format!("account:{n}")).collect()
}

fn sum(values: &[Reply]) -> i64 {
    values.iter().map(Reply::count).sum()
}

/// Transfers by MULTI until told to stop.
fn transfer(port: u16, seed: u64, stop: &AtomicBool, done: &AtomicU64) {
    let mut client = Client::to(port);
    let mut prng = Prng::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let mut account = || format!("account:{}", prng.below(ACCOUNTS));
        let (from, to) = (account(), account());
        let amount = prng.below(50).to_string();
        let bytes = [
            encode(&["MULTI"]),
            encode(&["DECRBY", &from, &amount]),
            encode(&["INCRBY", &to, &amount]),
            encode(&["EXEC"]),
        ];
        let replies = client.batch(&bytes.concat(), 4).expect("replies");
        assert!(matches!(&replies[3], Reply::Array(parts) if parts.len() == 2), "{}", replies[3]);
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Adds up all accounts in one command or one transaction, until told to stop.
fn read_sums(port: u16, in_multi: &str, stop: &AtomicBool) -> (u64, Vec<i64>) {
    let mut client = Client::to(port);
    let (mut reads, mut wrong) = (0, Vec::new());
    let names = accounts();
    while !stop.load(Ordering::Relaxed) && wrong.len() < 5 {
        let total = if in_multi == "MGET" {
            let words: Vec<&str> =
                std::iter::once("MGET").chain(names.iter().map(String::as_str)).collect();
            sum(&client.call(&words).items())
        } else {
            let mut bytes = encode(&["MULTI"]);
            names.iter().for_each(|name| bytes.extend(encode(&["GET", name])));
            bytes.extend(encode(&["EXEC"]));
            let replies = client.batch(&bytes, names.len() + 2).expect("replies");
            sum(&replies.last().expect("a reply").items())
        };
        if total != 0 {
            wrong.push(total);
        }
        reads += 1;
    }
    (reads, wrong)
}

#[test]
fn nobody_sees_half_a_transfer() {
    let launch = Launch::basalt().logged("everysec").shards(4);
    let server = launch.start();
    let port = server.port();
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let (stop, done) = (&stop, &done);
    thread::scope(|scope| {
        (0..4).for_each(|seed| drop(scope.spawn(move || transfer(port, seed, stop, done))));
        let one = scope.spawn(move || read_sums(port, "MGET", stop));
        let two = scope.spawn(move || read_sums(port, "MULTI", stop));
        thread::sleep(Duration::from_millis(1500));
        stop.store(true, Ordering::Relaxed);
        for reader in [one, two] {
            let (reads, wrong) = reader.join().expect("a reader");
            assert!(wrong.is_empty(), "sums that are not zero: {wrong:?}");
            assert!(reads > 20, "void: {reads} sums read");
        }
    });
    assert!(done.load(Ordering::Relaxed) > 50, "void: {done:?} transfers");
    let names = accounts();
    let mut client = server.client();
    let total: i64 = names.iter().map(|name| client.line(&format!("GET {name}")).count()).sum();
    assert_eq!(total, 0);
}

/// Adds one to two keys of different shards, by WATCH; how often it had to try.
fn watch_and_add(port: u16, times: u64) -> u64 {
    let mut client = Client::to(port);
    let mut tries = 0;
    for _ in 0..times {
        loop {
            tries += 1;
            client.ok("WATCH left right");
            let values = client.ok("MGET left right").items();
            assert_eq!(values[0].count(), values[1].count(), "read outside of a transaction");
            let next = (values[0].count() + 1).to_string();
            let bytes = [
                encode(&["MULTI"]),
                encode(&["SET", "left", &next]),
                encode(&["SET", "right", &next]),
                encode(&["EXEC"]),
            ];
            let replies = client.batch(&bytes.concat(), 4).expect("replies");
            match &replies[3] {
                Reply::Array(parts) if parts.len() == 2 => break,
                Reply::Null("*-1") => {}
                other => panic!("EXEC: {other}"),
            }
        }
    }
    tries
}

#[test]
fn watch_holds_over_shards() {
    let launch = Launch::basalt().volatile().shards(4);
    let server = launch.start();
    let port = server.port();
    let tries: u64 = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(move || watch_and_add(port, 150))).collect();
        threads.into_iter().map(|thread| thread.join().expect("a thread")).sum()
    });
    let mut client = server.client();
    assert_eq!(client.line("GET left").int(), 600);
    assert_eq!(client.line("GET right").int(), 600);
    assert!(tries > 600, "void: nobody was in the way");
}

#[test]
fn a_renamed_key_is_never_in_two_places_or_none() {
    let launch = Launch::basalt().volatile().shards(4);
    let server = launch.start();
    let port = server.port();
    let stop = AtomicBool::new(false);
    let stop = &stop;
    server.client().ok("HSET here a 1 b 2 c 3");
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut client = Client::to(port);
            while !stop.load(Ordering::Relaxed) {
                for line in ["RENAME here there-1", "RENAME there-1 there-2", "RENAME there-2 here"]
                {
                    client.ok(line);
                }
            }
        });
        let mut client = server.client();
        let start = Instant::now();
        let mut seen = 0;
        let mut wrong = Vec::new();
        while start.elapsed() < Duration::from_millis(800) {
            let count = client.line("EXISTS here there-1 there-2").int();
            if count != 1 {
                wrong.push(count);
            }
            seen += 1;
        }
        stop.store(true, Ordering::Relaxed);
        assert!(wrong.is_empty(), "of {seen} looks: {wrong:?}");
    });
    assert_eq!(server.client().line("HLEN here").int(), 3);
}

#[test]
fn multi_key_commands_answer_as_one_database() {
    let launch = Launch::basalt().volatile().shards(4);
    let server = launch.start();
    let mut client = server.client();
    let keys: Vec<String> = (0..100).map(|n| format!("key:{n}")).collect();
    let mut words = vec!["MSET".to_owned()];
    keys.iter().for_each(|key| words.extend([key.clone(), format!("value of {key}")]));
    assert_eq!(client.try_call(&words).expect("a reply").text(), "OK");
    let with = |name: &str| [&[name.to_owned()], keys.as_slice()].concat();
    let values = client.try_call(&with("MGET")).expect("a reply").items();
    for (key, value) in keys.iter().zip(&values) {
        assert_eq!(value.text(), format!("value of {key}"));
    }
    assert_eq!(client.try_call(&with("EXISTS")).expect("a reply").int(), 100);
    assert_eq!(client.line("DBSIZE").int(), 100);
    assert_eq!(client.line("KEYS *").items().len(), 100);
    assert_eq!(client.line("MSETNX new:1 1 new:2 2 key:7 3").int(), 0);
    assert_eq!(client.line("EXISTS new:1 new:2").int(), 0);
    assert_eq!(client.line("MSETNX new:1 1 new:2 2").int(), 1);
    assert_eq!(client.try_call(&with("DEL")).expect("a reply").int(), 100);
    assert_eq!(client.line("DBSIZE").int(), 2);
}

#[test]
fn a_scan_finds_every_key_that_stays() {
    let launch = Launch::basalt().volatile().shards(4);
    let server = launch.start();
    let mut client = server.client();
    client.ok("DEBUG POPULATE 5000 stay");
    let mut others = server.client();
    let mut found = std::collections::BTreeSet::new();
    let mut cursor = "0".to_owned();
    let mut n = 0;
    loop {
        let reply = client.call(&["SCAN", &cursor, "COUNT", "50"]).items();
        found.extend(reply[1].items().into_iter().map(|key| key.text()));
        cursor = reply[0].text();
        if cursor == "0" {
            break;
        }
        // Tables grow and shrink meanwhile.
        for _ in 0..60 {
            n += 1;
            others.ok(&format!("SET come:{n} 1"));
            others.ok(&format!("DEL come:{}", n / 2));
        }
    }
    let stayed = found.iter().filter(|key| key.starts_with("stay:")).count();
    assert_eq!(stayed, 5000);
}
