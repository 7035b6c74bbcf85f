//! Which keys stay when memory is limited, beside redis-server: hits of a cache under a Zipf load.
//!
//! The two need different memory for a key, so the limit of each is that of as many keys.

use basalt::base::prng::Prng;

use super::harness::client::{Client, encode};
use super::harness::peers;
use super::harness::server::Launch;
use super::ours;

/// Keys that are asked for.
const KEYS: usize = 60_000;

/// Requests of which the first half fills the cache and the second is counted.
const REQUESTS: usize = 240_000;

/// Requests that are sent together.
const BATCH: usize = 32;

/// Bytes of a value.
const VALUE: usize = 200;

/// The order of popularity: the n-th key is asked for 1/n^0.9 times as often as the first.
fn weights() -> Vec<f64> {
    (1..=KEYS).map(|rank| 1.0 / (rank as f64).powf(0.9)).collect()
}

/// The same requests for everybody.
fn trace(seed: u64) -> Vec<usize> {
    let mut sums = weights();
    let mut sum = 0.0;
    for weight in &mut sums {
        sum += *weight;
        *weight = sum;
    }
    let mut prng = Prng::new(seed);
    let mut one = || {
        let at = prng.below(1 << 53) as f64 / (1u64 << 53) as f64 * sum;
        sums.partition_point(|below| *below <= at).min(KEYS - 1)
    };
    (0..REQUESTS).map(|_| one()).collect()
}

/// Asks a server for the keys; what it does not have is set. Returns the hits of the second half.
fn run(client: &mut Client, trace: &[usize]) -> f64 {
    let value = "v".repeat(VALUE);
    let mut hits = 0;
    for (n, keys) in trace.chunks(BATCH).enumerate() {
        let asked: Vec<u8> =
            keys.iter().flat_map(|key| encode(&["GET", &format!("key:{key}")])).collect();
        let replies = client.batch(&asked, keys.len()).expect("replies");
        let missed: Vec<usize> = keys
            .iter()
            .zip(&replies)
            .filter(|(_, reply)| reply.is_null())
            .map(|(key, _)| *key)
            .collect();
        if n * BATCH >= REQUESTS / 2 {
            hits += keys.len() - missed.len();
        }
        let set: Vec<u8> =
            missed.iter().flat_map(|key| encode(&["SET", &format!("key:{key}"), &value])).collect();
        for reply in client.batch(&set, missed.len()).expect("replies") {
            assert_eq!(reply.text(), "OK");
        }
    }
    hits as f64 / (REQUESTS / 2) as f64
}

/// Fills a server with as many keys as fit, and what it came to: keys and hits.
fn cache(client: &mut Client, policy: &str, limit: u64, trace: &[usize]) -> (usize, f64) {
    client.ok(&format!("CONFIG SET maxmemory {limit}"));
    client.ok(&format!("CONFIG SET maxmemory-policy {policy}"));
    let hits = run(client, trace);
    (client.line("DBSIZE").int() as usize, hits)
}

/// The limit under which a server has about so many of these keys, by the figure that it compares
/// with maxmemory.
fn limit_for(client: &mut Client, figure: &str, keys: usize) -> u64 {
    let used = |client: &mut Client| client.info("memory")[figure].parse::<u64>();
    let used = |client: &mut Client| used(client).expect("a number");
    let (before, value) = (used(client), "v".repeat(VALUE));
    let set: Vec<u8> =
        (0..keys).flat_map(|key| encode(&["SET", &format!("key:{key}"), &value])).collect();
    client.batch(&set, keys).expect("replies");
    let limit = used(client);
    client.ok("FLUSHALL");
    assert!(limit > before, "void: {limit} of {before}");
    limit
}

fn as_good_as_redis(policy: &str) {
    let (Some(launch), Some(redis)) = (ours(), Launch::redis()) else { return };
    let (trace, redis) = (trace(11), redis.volatile());
    let (launch, server) = (launch.volatile().shards(2), redis.start());
    let mut client = server.client();
    let limit = limit_for(&mut client, "used_memory", KEYS / 6);
    let (there, theirs) = cache(&mut client, policy, limit, &trace);
    server.stop();
    let server = launch.start();
    let mut client = server.client();
    let limit = limit_for(&mut client, "used_memory_dataset", there);
    // Where keys come and go less fits than where they are set once.
    let (first, _) = cache(&mut client, policy, limit, &trace);
    client.ok("FLUSHALL");
    let limit = limit * there as u64 / first as u64;
    let (here, ours) = cache(&mut client, policy, limit, &trace);
    let told = format!(
        "{policy}: Basalt {here} keys, {:.2} % hits; Redis {there} keys, {:.2} % hits",
        ours * 100.0,
        theirs * 100.0
    );
    peers::say(&told);
    assert!((there * 4 / 5..there * 6 / 5).contains(&here), "void: {told}");
    assert!(ours >= theirs - 0.01, "{told}");
}

#[test]
fn least_recently_used_keys_go_as_in_redis() {
    as_good_as_redis("allkeys-lru");
}

#[test]
fn least_frequently_used_keys_go_as_in_redis() {
    as_good_as_redis("allkeys-lfu");
}
