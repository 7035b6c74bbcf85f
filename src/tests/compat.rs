//! Random command streams sent to the server and to a real redis-server: replies to the letter.
//!
//! `BASALT_COMPAT_COMMANDS` sets the length of each of the four streams, `BASALT_COMPAT_SEED` the
//! seed; without it the streams are the same every time.

#[path = "compat/compare.rs"]
mod compare;
#[path = "compat/generate.rs"]
mod generate;
#[path = "compat/pair.rs"]
mod pair;
#[path = "compat/templates.rs"]
mod templates;

mod harness;

use generate::Generator;
use harness::peers;
use harness::server::Launch;
use pair::{CONNECTIONS, Pair};

/// Sends a stream and fails with all kinds of differences that it found.
fn stream(proto: &'static str, shards: u32, seed: u64) {
    let Some(redis) = Launch::redis() else { return };
    let seed = peers::number("BASALT_COMPAT_SEED", seed);
    let count = peers::number("BASALT_COMPAT_COMMANDS", 50_000);
    let (redis, basalt) = (redis.volatile(), Launch::basalt().volatile().shards(shards));
    let mut pair = Pair::new(&redis, &basalt, proto);
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
