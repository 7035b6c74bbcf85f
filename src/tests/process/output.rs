//! Replies that a client does not read: bounded, and told of.

use std::time::Duration;

use super::harness::client::encode;
use super::harness::server::Launch;

/// A value of a megabyte, `letter` by `letter`.
fn megabyte(letter: u8) -> String {
    String::from_utf8(vec![letter; 1 << 20]).expect("letters")
}

#[test]
fn a_client_that_does_not_read_a_long_pipeline_costs_little_and_loses_nothing() {
    const KEYS: usize = 8;
    const GETS: usize = 1000;
    let launch = Launch::basalt().shards(4);
    let server = launch.start();
    let mut client = server.client();
    for n in 0..KEYS {
        let value = megabyte(b'a' + n as u8);
        client.call(&["SET", &format!("big:{n}"), &value]);
    }
    let before = server.resident();
    let mut lazy = server.client();
    let gets: Vec<u8> =
        (0..GETS).flat_map(|n| encode(&["GET", &format!("big:{}", n % KEYS)])).collect();
    lazy.send(&gets).expect("sent");
    std::thread::sleep(Duration::from_millis(700));
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes for a client that does not read");
    for n in 0..GETS {
        let reply = lazy.read().expect("a reply").text();
        assert!(reply.len() == 1 << 20 && reply.as_bytes()[7] == b'a' + (n % KEYS) as u8, "{n}");
    }
}

#[test]
fn replies_above_the_limit_close_the_client() {
    let launch = Launch::basalt().shards(4);
    let server = launch.start();
    let mut client = server.client();
    let value = megabyte(b'v');
    (0..8).for_each(|n| _ = client.call(&["SET", &format!("big:{n}"), &value]));
    let limit = client.call(&["CONFIG", "SET", "client-output-buffer-limit", "normal 6mb 0 0"]);
    assert_eq!(limit.text(), "OK");
    let keys: Vec<String> = (0..8).map(|n| format!("big:{n}")).collect();
    let mget = [&["MGET".to_owned()], &keys[..]].concat();
    assert!(server.client().try_call(&mget).is_err(), "MGET of 8 MB");
    let mut transaction = server.client();
    let mut all = encode(&["MULTI"]);
    keys.iter().for_each(|key| all.extend(encode(&["GET", key])));
    all.extend(encode(&["EXEC"]));
    transaction.send(&all).expect("sent");
    assert!(transaction.read_to_close().expect("the end").len() < 1 << 20, "EXEC of 8 MB");
    // Of these a shard has one at a time under way, whoever reads or not.
    let mut reader = server.client();
    let gets: Vec<u8> =
        keys.iter().cycle().take(64).flat_map(|key| encode(&["GET", key])).collect();
    let replies = reader.batch(&gets, 64).expect("all replies");
    assert!(replies.iter().all(|reply| reply.text().len() == 1 << 20));
    // A command for which all replies before it have to be there, and that lifts the limit.
    let lift = ["CONFIG", "SET", "client-output-buffer-limit", "normal 0 0 0"];
    let ask = [encode(&["GET", "big:0"]).repeat(10), encode(&lift), encode(&["QUIT"])].concat();
    let mut whole = 0;
    for _core in 0..4 {
        client.call(&["CONFIG", "SET", "client-output-buffer-limit", "normal 6mb 0 0"]);
        let mut asker = server.client();
        asker.send(&ask).expect("sent");
        let replies = asker.read_to_close().expect("the end");
        match replies.windows(3).position(|three| three == b"+OK") {
            Some(at) => {
                assert!(at > 10 << 20, "a reply out of turn, at {at}");
                whole += 1;
            }
            None => assert!(replies.len() < 10 << 20),
        }
    }
    assert_eq!(whole, 1, "on the core of the key itself they leave one by one");
    let closed = &client.info("stats")["client_output_buffer_limit_disconnections"];
    assert_eq!(closed, "5");
}
