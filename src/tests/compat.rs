//! Random command streams sent to the server and to a real redis-server: replies to the letter.
//!
//! `BASALT_COMPAT_COMMANDS` sets the length of each of the four streams, `BASALT_COMPAT_SEED` the
//! seed; without it the streams are the same every time. `BASALT_COMPAT_TRACE` names a file for
//! what was sent before the last difference.

#[path = "compat/compare.rs"]
mod compare;
#[path = "compat/generate.rs"]
mod generate;
#[path = "compat/pair.rs"]
mod pair;
#[path = "compat/requests.rs"]
mod requests;
#[path = "compat/templates.rs"]
mod templates;

mod harness;

use compare::Differences;
use generate::Generator;
use harness::peers;
use harness::reply::{Reply, shown};
use harness::server::{Launch, Server};
use pair::{CONNECTIONS, Pair};

/// Sends a stream and fails with all kinds of differences that it found.
fn stream(proto: &'static str, shards: u32, seed: u64) {
    let Some(redis) = Launch::redis() else { return };
    let seed = peers::number("BASALT_COMPAT_SEED", seed);
    let count = peers::number("BASALT_COMPAT_COMMANDS", 50_000);
    let (redis, basalt) = (redis.volatile(), Launch::basalt().volatile().shards(shards));
    let mut pair = Pair::new(&redis, &basalt, proto, shards);
    let mut generator = Generator::new(seed, proto);
    let (mut sent, mut batches) = (0, 0);
    while sent < count && pair.found.len() < 40 {
        let len = 1 + generator.below(200) as usize;
        let batch = generator.batch(len);
        sent += batch.len() as u64;
        batches += 1;
        let connection = generator.below(CONNECTIONS as u64) as usize;
        pair.send(connection, &batch);
        if generator.below(4) == 0 {
            scans(&mut generator, &mut pair);
        }
        if batches % 10 == 0 {
            pair.check_digest();
        }
        if batches % 200 == 0 {
            // In Redis a reload touches all that is watched, which is nobody's promise.
            pair.reconnect();
            pair.check(&[b"DEBUG", b"RELOAD"]);
            pair.check_digest();
        }
    }
    pair.check_digest();
    let found: Vec<String> =
        pair.found.iter().map(|(k, text)| format!("  {k}\n    {text}")).collect();
    assert!(
        found.is_empty(),
        "{} kinds of differences in {sent} commands:\n{}\nagain: BASALT_COMPAT_SEED={seed} \
         BASALT_COMPAT_COMMANDS={count} cargo test --release --test compat stream_resp{proto}_{shards}",
        found.len(),
        found.join("\n"),
    );
}

/// Iterations cannot be compared step by step: cursors are the server's own.
fn scans(generator: &mut Generator, pair: &mut Pair) {
    let db = generator.below(3);
    let count: &[u8] = [b"1".as_slice(), b"10", b"1000"][generator.below(3) as usize];
    match generator.below(4) {
        0 => pair.check_scan(db, &[b"SCAN"], &[b"COUNT", count]),
        1 => pair.check_scan(db, &[b"SCAN"], &[b"MATCH", b"?[1-4]", b"COUNT", count]),
        2 => pair.check_scan(db, &[b"SCAN"], &[b"TYPE", b"hash", b"COUNT", count]),
        _ => {
            let key = format!("h{}", generator.below(7));
            pair.check_scan(db, &[b"HSCAN", key.as_bytes()], &[b"COUNT", count]);
        }
    }
}

#[test]
fn stream_resp2_1_shard() {
    stream("2", 1, 1);
}

#[test]
fn stream_resp2_4_shards() {
    stream("2", 4, 2);
}

#[test]
fn stream_resp3_1_shard() {
    stream("3", 1, 3);
}

#[test]
fn stream_resp3_4_shards() {
    stream("3", 4, 4);
}

/// All that one server says to these bytes.
fn answer(server: &Server, bytes: &[u8]) -> String {
    let mut client = server.client();
    client.patience(std::time::Duration::from_secs(5));
    let _ = client.send(bytes);
    // One write less would let a server see the end before it has answered.
    std::thread::sleep(std::time::Duration::from_millis(3));
    let _ = client.send(b"PING\r\n");
    std::thread::sleep(std::time::Duration::from_millis(3));
    let _ = client.stream().shutdown(std::net::Shutdown::Write);
    shown(&client.read_to_close().unwrap_or_else(|e| format!("(not closed: {e})").into_bytes()))
}

#[test]
fn odd_requests_are_answered_alike() {
    let Some(redis) = Launch::redis() else { return };
    let (redis, basalt) = (redis.volatile(), Launch::basalt().volatile().shards(2));
    let (redis, mut server) = (redis.start(), basalt.start());
    let allowed = Differences::load(2);
    let mut found = Vec::new();
    for request in requests::REQUESTS {
        let (one, mut two) = (answer(&redis, request), answer(&server, request));
        if let Some(status) = server.ended() {
            two.push_str(&format!(" (the server ended: {status})\n{}", server.log()));
            server = basalt.start();
        }
        let text = |text: &str| Reply::Simple(text.as_bytes().to_vec());
        if one != two && !allowed.allow(&[request.to_vec()], &text(&one), &text(&two)) {
            found.push(format!("  {}\n    redis:  {one}\n    basalt: {two}", shown(request)));
        }
    }
    assert!(found.is_empty(), "{} answers differ:\n{}", found.len(), found.join("\n"));
}

/// The name, arity, sorted flags and key positions that COMMAND INFO tells.
fn facts(reply: &Reply) -> String {
    let parts = reply.items();
    let mut flags: Vec<String> = parts[2].items().iter().map(Reply::text).collect();
    flags.sort();
    let numbers: Vec<i64> = [1, 3, 4, 5].iter().map(|&n| parts[n].int()).collect();
    format!("{} {numbers:?} {}", parts[0].text(), flags.join(" "))
}

#[test]
fn commands_are_described_alike() {
    let Some(redis) = Launch::redis() else { return };
    let (redis, basalt) = (redis.volatile(), Launch::basalt().volatile());
    let (redis, basalt) = (redis.start(), basalt.start());
    let (mut redis, mut basalt) = (redis.client(), basalt.client());
    let allowed = Differences::load(1);
    let names: Vec<String> = basalt.line("COMMAND LIST").items().iter().map(Reply::text).collect();
    assert!(names.len() > 100, "only {} commands", names.len());
    let mut found = Vec::new();
    for name in names {
        let words = ["COMMAND", "INFO", &name];
        let (one, two) = (redis.call(&words).items(), basalt.call(&words).items());
        // Redis 7.0 does not have all of them.
        if one[0].is_null() {
            continue;
        }
        let (one, two) = (facts(&one[0]), facts(&two[0]));
        let words = words.map(|word| word.as_bytes().to_vec());
        let text = |text: &str| Reply::Simple(text.as_bytes().to_vec());
        if one != two && !allowed.allow(&words, &text(&one), &text(&two)) {
            found.push(format!("  redis:  {one}\n  basalt: {two}"));
        }
    }
    assert!(found.is_empty(), "{} rows differ:\n{}", found.len(), found.join("\n"));
}
