//! Commands that take from one of several keys, or move elements between two, when these live on
//! different shards: they do what they do on one shard, at the cost of the elements alone.

use basalt::base::prng::Prng;

use super::harness::client::Client;
use super::harness::server::{Launch, Server};

/// Words, of which `K` is a key, `M` an element and `N` a small number.
const COMMANDS: &[&str] = &[
    "RPUSH K M M",
    "LPUSH K M",
    "SADD K M N",
    "ZADD K N M N N",
    "ZADD K inf M -inf N",
    "SET K M",
    "DEL K",
    "DEL K",
    "PEXPIRE K 100000000",
    "COPY K K DB 99",
    "COPY K K REPLACE",
    "LMOVE K K LEFT RIGHT",
    "LMOVE K K RIGHT LEFT",
    "LMOVE K K RIGHT right",
    "LMOVE K K RIGHT here",
    "RPOPLPUSH K K",
    "BLMOVE K K LEFT LEFT 0.001",
    "BRPOPLPUSH K K 0.001",
    "SMOVE K K M",
    "SMOVE K K N",
    "LMPOP 3 K K K LEFT COUNT N",
    "LMPOP 2 K K RIGHT COUNT 0",
    "LMPOP 2 K K RIGHT",
    "BLMPOP 0.001 2 K K RIGHT COUNT N",
    "BLPOP K K K 0.001",
    "BRPOP K K 0.001",
    "ZMPOP 3 K K K MIN COUNT N",
    "ZMPOP 2 K K MAX COUNT N",
    "BZMPOP 0.001 2 K K MAX COUNT N",
    "BZPOPMIN K K 0.001",
    "BZPOPMAX K K K 0.001",
];

fn command(prng: &mut Prng) -> String {
    let text = COMMANDS[prng.below(COMMANDS.len() as u64) as usize];
    let words = text.split(' ').map(|word| match word {
        "K" => format!("key:{}", prng.below(6)),
        "M" => format!("m{}", prng.below(5)),
        "N" => (prng.below(5) + 1).to_string(),
        word => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A listener to all events.
fn listener(server: &Server) -> Client {
    let mut listener = server.client();
    listener.ok("CONFIG SET notify-keyspace-events KEA");
    listener.line("PSUBSCRIBE __keyspace*");
    listener
}

/// What it has heard, key by key: only for one key is there an order.
fn heard(listener: &mut Client) -> Vec<String> {
    listener.send(b"*2\r\n$4\r\nPING\r\n$3\r\nend\r\n").expect("a PING");
    let mut heard = Vec::new();
    loop {
        let words: Vec<String> =
            listener.read().expect("a message").items().iter().map(|word| word.text()).collect();
        if words.last().is_some_and(|word| word == "end") {
            heard.sort_by(|a: &String, b| a.split(' ').next().cmp(&b.split(' ').next()));
            return heard;
        }
        heard.push(words[2..].join(" "));
    }
}

#[test]
fn several_shards_answer_change_and_announce_what_one_does() {
    let launches = [1, 4].map(|shards| Launch::basalt().logged("everysec").shards(shards));
    let servers = launches.each_ref().map(Launch::start);
    let mut clients = servers.each_ref().map(Server::client);
    let mut listeners = servers.each_ref().map(listener);
    let mut prng = Prng::new(7);
    let mut before = Vec::new();
    for step in 0..6000 {
        let line = command(&mut prng);
        let [one, four] = clients.each_mut().map(|client| client.line(&line).to_string());
        before.push(format!("{line} -> {one}"));
        let last = &before[before.len().saturating_sub(12)..];
        assert_eq!(one, four, "step {step} of {last:#?}");
        if step % 50 == 0 {
            let [one, four] = clients.each_mut().map(|client| client.line("DEBUG DIGEST").text());
            assert_eq!(one, four, "step {step}, the keys after {last:#?}");
            let [one, four] = listeners.each_mut().map(heard);
            assert_eq!(one, four, "step {step}, the events of {last:#?}");
        }
    }
    let expected = clients[1].line("DEBUG DIGEST").text();
    drop(clients);
    let [_, mut server] = servers;
    server.kill();
    let again = launches[1].start();
    assert_eq!(again.client().line("DEBUG DIGEST").text(), expected, "after kill -9");
}

#[test]
fn an_element_travels_and_not_its_queue() {
    let launch = Launch::basalt().logged("everysec").shards(4);
    let server = launch.start();
    let mut client = server.client();
    for (fill, moves) in [
        ("RPUSH K E", "RPOPLPUSH queue:0 queue:?"),
        ("RPUSH K E", "LMPOP 2 queue:0 queue:? LEFT COUNT 2"),
        ("RPUSH K E", "BRPOPLPUSH queue:0 queue:? 0"),
        ("SADD K E", "SMOVE queue:0 queue:? 17"),
        ("ZADD K 1 E", "ZMPOP 2 queue:0 queue:? MIN"),
    ] {
        client.ok("FLUSHALL");
        // Of twelve keys some are on other shards than the first.
        for key in 0..12 {
            for batch in (0..3000).collect::<Vec<_>>().chunks(500) {
                let (head, element) = fill.rsplit_once(' ').expect("two words");
                let (command, between) = head.split_once(" K").expect("a key");
                let mut words = vec![command.to_owned(), format!("queue:{key}")];
                for n in batch {
                    words.extend(between.split_whitespace().map(str::to_owned));
                    words.push(element.replace('E', &n.to_string()));
                }
                assert!(!client.try_call(&words).expect("a reply").is_error());
            }
        }
        let size = |client: &mut Client| -> u64 {
            client.info("persistence")["aof_current_size"].parse().expect("a number")
        };
        let before = size(&mut client);
        let crossed = |client: &mut Client| -> u64 {
            client.info("all")["cross_shard_transactions"].parse().expect("a number")
        };
        let transactions = crossed(&mut client);
        for key in 1..12 {
            let line = moves.replace('?', &key.to_string());
            assert!(!client.line(&line).is_error(), "{line}");
        }
        assert!(crossed(&mut client) > transactions, "{moves}: all keys are on one shard");
        let grown = size(&mut client) - before;
        assert!(grown < 8000, "{moves}: 11 commands have logged {grown} bytes");
    }
}

#[test]
fn a_write_that_changes_nothing_counts_as_a_change_as_in_redis() {
    let redis = Launch::redis().into_iter();
    for launch in redis.chain([1, 4].map(|shards| Launch::basalt().volatile().shards(shards))) {
        let server = launch.start();
        let mut client = server.client();
        for key in 0..6 {
            client.ok(&format!("ZADD from:{key} 1 a"));
            client.ok(&format!("ZUNIONSTORE to:{key} 1 from:{key}"));
            client.ok(&format!("RPUSH list:{key} a b"));
        }
        for key in 0..6 {
            let (list, other) = (format!("list:{key}"), (key + 1) % 6);
            for (watched, write, aborted) in [
                (&list, format!("LTRIM {list} 0 -1"), true),
                (&format!("to:{key}"), format!("ZUNIONSTORE to:{key} 1 from:{other}"), true),
                (&format!("from:{key}"), format!("ZUNIONSTORE to:{other} 1 from:{key}"), false),
                (&list, format!("LREM {list} 0 c"), false),
                (&list, format!("LMOVE none {list} LEFT LEFT"), false),
            ] {
                let mut other = server.client();
                client.ok(&format!("WATCH {watched}"));
                assert!(!other.line(&write).is_error(), "{write}");
                client.ok("MULTI");
                client.line("PING");
                assert_eq!(client.line("EXEC").is_null(), aborted, "{:?} {write}", launch.kind());
            }
        }
    }
}
