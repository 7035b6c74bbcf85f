//! Publishers and subscribers on all cores: order, counts, and clients that do not read.

use std::time::{Duration, Instant};

use super::harness::client::{Client, encode};
use super::harness::server::Launch;

/// The texts of a message's parts.
fn texts(client: &mut Client) -> Vec<String> {
    client.read().expect("a message").items().iter().map(|part| part.text()).collect()
}

#[test]
fn what_a_publisher_says_arrives_everywhere_in_its_order() {
    const ROUNDS: usize = 500;
    let launch = Launch::basalt().logged("everysec").shards(4);
    let server = launch.start();
    let mut readers: Vec<Client> = (0..8).map(|_| server.client()).collect();
    for (n, reader) in readers.iter_mut().enumerate() {
        let command = if n % 2 == 0 { "SUBSCRIBE news" } else { "PSUBSCRIBE n*" };
        reader.ok(command);
    }
    let mut writers: Vec<Client> = (0..4).map(|_| server.client()).collect();
    for (name, writer) in writers.iter_mut().enumerate() {
        for n in 0..ROUNDS {
            writer.send(&encode(&["PUBLISH", "news", &format!("{name}:{n}")])).expect("sent");
        }
    }
    for writer in &mut writers {
        for _ in 0..ROUNDS {
            assert_eq!(writer.read().expect("a count").int(), 8);
        }
    }
    for (number, reader) in readers.iter_mut().enumerate() {
        let mut next = [0; 4];
        for _ in 0..4 * ROUNDS {
            let parts = texts(reader);
            let (name, n) = parts.last().and_then(|last| last.split_once(':')).expect("a message");
            let name: usize = name.parse().expect("a number");
            assert_eq!(n, next[name].to_string(), "reader {number}, publisher {name}");
            next[name] += 1;
        }
    }
}

#[test]
fn an_end_of_a_subscription_comes_after_its_messages() {
    let launch = Launch::basalt().logged("no").shards(3);
    let server = launch.start();
    let (mut reader, mut writer) = (server.client(), server.client());
    for round in 0..100 {
        reader.ok("SUBSCRIBE a");
        writer.send(&encode(&["PUBLISH", "a", "1"])).expect("sent");
        reader.send(&encode(&["UNSUBSCRIBE", "a"])).expect("sent");
        let told = writer.read().expect("a count").int();
        if told == 1 {
            assert_eq!(texts(&mut reader), ["message", "a", "1"], "round {round}");
        }
        let end = reader.read().expect("an end").items()[0].text();
        assert_eq!(end, "unsubscribe", "round {round}");
    }
    let gone = server.client();
    drop(gone);
    assert_eq!(writer.call(&["PUBSUB", "NUMSUB", "a"]).items()[1].int(), 0);
}

#[test]
fn who_subscribes_and_does_not_read_is_closed() {
    let launch = Launch::basalt().logged("no").shards(2);
    let server = launch.start();
    let mut writer = server.client();
    writer.call(&["CONFIG", "SET", "client-output-buffer-limit", "pubsub 1mb 0 0"]);
    let mut readers: Vec<Client> = (0..2).map(|_| server.client()).collect();
    readers.iter_mut().for_each(|reader| drop(reader.ok("SUBSCRIBE a")));
    let message = "x".repeat(64 << 10);
    let began = Instant::now();
    while writer.call(&["PUBLISH", "a", &message]).int() > 0 {
        assert!(began.elapsed() < Duration::from_secs(20), "they are never closed");
    }
    let closed = writer.info("stats");
    assert_eq!(closed["client_output_buffer_limit_disconnections"], "2");
    assert_eq!(writer.info("clients")["pubsub_clients"], "0");
}
