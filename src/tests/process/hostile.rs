//! Clients that are broken or mean: they get an error or a close, and nobody else notices.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use basalt::base::prng::Prng;

use super::harness::client::{Client, encode};
use super::harness::peers;
use super::harness::reply::shown;
use super::harness::server::{Launch, Server};
use super::ours;

/// What is sent, and what comes back before the connection is closed. Ours is closed for writing
/// after the bytes, so a server that waits for more closes as well.
const ATTACKS: &[(&[u8], &[u8])] = &[
    (b"*2147483648\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*99999999999999999999999\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*abc\r\n", b"-ERR Protocol error: invalid multibulk length\r\n"),
    (b"*1\r\n$-1\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$536870913\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$18446744073709551615\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n$x\r\n", b"-ERR Protocol error: invalid bulk length\r\n"),
    (b"*1\r\n:3\r\n", b"-ERR Protocol error: expected '$', got ':'\r\n"),
    (b"*2\r\n$4\r\nECHO\r\nabc\r\n", b"-ERR Protocol error: expected '$', got 'a'\r\n"),
    (b"SET \"a\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b"SET 'a'b c\r\n", b"-ERR Protocol error: unbalanced quotes in request\r\n"),
    (b"*0\r\n*-1\r\n\r\n\r\nPING\r\n", b"+PONG\r\n"),
    (b"PING\r\n*1\r\n$4\r\nPI", b"+PONG\r\n"),
    (b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\nabc", b""),
    (b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSET stolen 1\r\n", b""),
    (b"Host: x\r\nSET stolen 1\r\n", b""),
    (b"QUIT\r\nSET stolen 1\r\n", b"+OK\r\n"),
    (b"*1\r\n$0\r\n\r\n", b"-ERR unknown command '', with args beginning with: \r\n"),
];

/// Sends bytes, closes the sending half, and reads to the end.
fn attack(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut client = server.client();
    // The server may close before it has all.
    let _ = client.send(bytes);
    let _ = client.stream().shutdown(std::net::Shutdown::Write);
    client.read_to_close().expect("the server closes")
}

fn alive(server: &Server) {
    assert_eq!(server.client().line("PING").text(), "PONG");
}

#[test]
fn broken_requests_get_an_error_and_a_close() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    for &(bytes, expected) in ATTACKS {
        let got = attack(&server, bytes);
        assert_eq!(shown(&got), shown(expected), "sent {}", shown(bytes));
        alive(&server);
    }
    assert!(server.client().line("GET stolen").is_null());
}

/// A redis-server takes up to 2^31 - 1 arguments from a client that it knows.
#[test]
fn more_than_a_million_arguments_are_refused() {
    let Some(launch) = ours() else { return };
    let server = launch.volatile().start();
    let got = attack(&server, b"*1048577\r\n");
    assert_eq!(shown(&got), "-ERR Protocol error: invalid multibulk length\\r\\n");
    alive(&server);
}

#[test]
fn endless_lines_are_cut_off() {
    let launch = Launch::basalt().volatile();
    let server = launch.start();
    for (start, expected) in [
        ("", "-ERR Protocol error: too big inline request\r\n"),
        ("*", "-ERR Protocol error: too big mbulk count string\r\n"),
        ("*1\r\n$", "-ERR Protocol error: too big bulk count string\r\n"),
    ] {
        let bytes = [start.as_bytes(), &vec![b'1'; 70_000]].concat();
        let got = attack(&server, &bytes);
        assert_eq!(shown(&got), expected.escape_default().to_string(), "{start:?}");
        alive(&server);
    }
}

#[test]
fn noise_is_survived() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let mut prng = Prng::new(5);
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for n in 0..200 {
        let len = prng.below(3000) as usize;
        let mut bytes: Vec<u8> = (0..len).map(|_| prng.next() as u8).collect();
        if n % 4 == 0 {
            bytes.splice(0..0, hello.iter().copied());
        }
        if n % 4 == 1 {
            bytes.splice(0..0, b"*3\r\n$3\r\nSET\r\n$5\r\n".iter().copied());
        }
        let mut client = server.client();
        let _ = client.send(&bytes);
    }
    alive(&server);
    assert_eq!(server.client().line("DBSIZE").int(), 0, "noise wrote a key");
}

#[test]
fn no_memory_is_reserved_from_a_number_that_was_sent() {
    let Some(launch) = ours() else { return };
    let launch = launch.volatile().shards(2);
    let server = launch.start();
    alive(&server);
    let (before, resident) = (server.reserved(), server.resident());
    let mut clients = Vec::new();
    for n in 0..60 {
        let mut client = server.client();
        let bytes: &[u8] = match n % 3 {
            0 => b"*1048576\r\n$3\r\nDEL\r\n$1\r\na\r\n",
            1 => b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\nabc",
            _ => b"*2\r\n$4\r\nECHO\r\n$536870000\r\n",
        };
        client.send(bytes).expect("sent");
        clients.push(client);
    }
    alive(&server);
    thread::sleep(Duration::from_millis(100));
    let more = |now: u64, then: u64| now.saturating_sub(then) >> 20;
    let (reserved, resident) = (more(server.reserved(), before), more(server.resident(), resident));
    assert!(reserved < 1024, "{reserved} MiB reserved for 60 clients that sent 50 bytes each");
    assert!(resident < 100, "{resident} MiB used for 60 clients that sent 50 bytes each");
    drop(clients);
    alive(&server);
}

#[test]
fn half_a_command_and_a_close_leave_nothing() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let whole = encode(&["SET", "half", "done"]);
    for len in 1..whole.len() {
        for _ in 0..4 {
            let mut client = server.client();
            client.send(&whole[..len]).expect("sent");
        }
    }
    alive(&server);
    assert!(server.client().line("GET half").is_null());
    let start = Instant::now();
    while server.client().info("clients")["connected_clients"] != "1" {
        assert!(start.elapsed() < Duration::from_secs(10), "closed connections are still counted");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn slow_senders_do_not_slow_others() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let port = server.port();
    thread::scope(|scope| {
        let slow: Vec<_> = (0..8)
            .map(|n| {
                scope.spawn(move || {
                    let mut client = Client::to(port);
                    let key = format!("slow:{n}");
                    let bytes = [encode(&["SET", &key, "value"]), encode(&["GET", &key])].concat();
                    for byte in bytes {
                        client.send(&[byte]).expect("sent");
                        thread::sleep(Duration::from_millis(3));
                    }
                    assert_eq!(client.read().expect("a reply").text(), "OK");
                    assert_eq!(client.read().expect("a reply").text(), "value");
                })
            })
            .collect();
        let mut client = Client::to(port);
        let mut count = 0;
        while slow.iter().any(|thread| !thread.is_finished()) {
            client.ok("INCR fast");
            count += 1;
        }
        assert!(count > 200, "only {count} commands beside slow senders");
    });
}

#[test]
fn a_client_that_does_not_read_is_bounded() {
    let Some(launch) = ours() else { return };
    let launch = launch.volatile().shards(2);
    let server = launch.start();
    let mut client = server.client();
    let value = "v".repeat(1 << 20);
    for n in 0..4 {
        client.call(&["SET", &format!("big:{n}"), &value]);
    }
    let mut deaf = server.client();
    deaf.patience(Duration::from_millis(300));
    let request = encode(&["GET", "big:0"]).repeat(50);
    let mut sent = 0;
    // 2 GB of replies are asked for; either the server stops reading, or it closes.
    while sent < 2000 && deaf.send(&request).is_ok() {
        sent += 50;
        let start = Instant::now();
        client.ok("INCR others");
        assert!(start.elapsed() < Duration::from_secs(2), "others wait {:?}", start.elapsed());
    }
    thread::sleep(Duration::from_millis(300));
    let resident = server.resident() >> 20;
    assert!(resident < 700, "{resident} MiB for a client that does not read");
    drop(deaf);
    alive(&server);
}

#[test]
fn a_reader_who_comes_late_gets_everything() {
    let launch = Launch::basalt().volatile().shards(4);
    let server = launch.start();
    let mut client = server.client();
    let value = "w".repeat(100_000);
    for n in 0..8 {
        client.call(&["SET", &format!("late:{n}"), &value]);
    }
    let mut late = server.client();
    let count = 400;
    for n in 0..count {
        late.send(&encode(&["GET", &format!("late:{}", n % 8)])).expect("sent");
    }
    thread::sleep(Duration::from_millis(300));
    for _ in 0..count {
        assert_eq!(late.read().expect("a reply").text().len(), 100_000);
    }
}

#[test]
fn a_million_pings_in_one_pipeline() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let mut client = server.client();
    let mut writer = client.stream().try_clone().expect("a second handle");
    let count = 1_000_000;
    thread::scope(|scope| {
        scope.spawn(move || {
            let chunk = b"*1\r\n$4\r\nPING\r\n".repeat(10_000);
            for _ in 0..count / 10_000 {
                writer.write_all(&chunk).expect("sent");
            }
        });
        let mut left = count * b"+PONG\r\n".len();
        let mut buffer = vec![0; 1 << 16];
        while left > 0 {
            let got = client.stream().read(&mut buffer).expect("replies");
            assert!(got > 0 && got <= left, "{left} bytes are missing or {got} are too many");
            left -= got;
        }
    });
    assert_eq!(client.line("PING").text(), "PONG");
}

/// Opens `total` connections to a server with this limit.
fn over_the_limit(limit: usize, total: usize) {
    let launch = Launch::basalt().volatile().shards(2).with(&["--maxclients", &limit.to_string()]);
    let server = launch.start();
    let mut first = server.client();
    first.ok("PING");
    let mut inside = Vec::new();
    let mut refused = 0;
    for n in 0..total {
        let mut client = server.client();
        match client.try_call(&["PING"]) {
            Ok(reply) if reply.is_error() => {
                assert_eq!(reply.text(), "-ERR max number of clients reached");
                refused += 1;
            }
            Ok(_) => inside.push(client),
            // The close may overtake the text when our PING meets a closed socket.
            Err(_) => refused += 1,
        }
        if n % 50 == 0 {
            first.ok("INCR others");
        }
    }
    // Connections of the start that are not cleaned up yet may count for a moment.
    assert!(inside.len() < limit && inside.len() + 10 > limit, "{} of {limit}", inside.len());
    assert_eq!(inside.len() + refused, total);
    let rejected: usize = first.info("stats")["rejected_connections"].parse().expect("a number");
    assert_eq!(rejected, refused);
    inside.iter_mut().for_each(|client| drop(client.ok("PING")));
    drop(inside);
    let start = Instant::now();
    while server.client().try_call(&["PING"]).map_or(true, |reply| reply.is_error()) {
        assert!(start.elapsed() < Duration::from_secs(10), "the places are not free again");
        thread::sleep(Duration::from_millis(20));
    }
    first.ok("PING");
}

#[test]
fn too_many_clients_are_told_so() {
    over_the_limit(100, 150);
}

/// `BASALT_MANY=1` and a limit of open files of 25,000 or more.
#[test]
fn twenty_thousand_clients_at_a_limit_of_ten_thousand() {
    if std::env::var_os("BASALT_MANY").is_none() {
        return peers::say("skipped: 20,000 connections take BASALT_MANY=1");
    }
    over_the_limit(10_000, 20_000);
}

#[test]
fn idle_clients_are_closed_when_asked_for() {
    let launch = Launch::basalt().volatile().with(&["--timeout", "1"]);
    let server = launch.start();
    let mut idle = server.client();
    idle.ok("PING");
    let start = Instant::now();
    assert!(idle.is_closed());
    let took = start.elapsed();
    assert!(took > Duration::from_millis(800) && took < Duration::from_secs(8), "{took:?}");
}

#[test]
fn strangers_get_little() {
    let launch = Launch::basalt().volatile().with(&["--requirepass", "secret"]);
    let server = launch.start();
    let mut client = server.client();
    assert_eq!(client.line("GET a").text(), "-NOAUTH Authentication required.");
    let wrong = "-WRONGPASS invalid username-password pair or user is disabled.";
    assert_eq!(client.line("AUTH wrong").text(), wrong);
    for (bytes, expected) in [
        ("*11\r\n", "-ERR Protocol error: unauthenticated multibulk length\r\n"),
        ("*2\r\n$3\r\nGET\r\n$16385\r\n", "-ERR Protocol error: unauthenticated bulk length\r\n"),
    ] {
        assert_eq!(attack(&server, bytes.as_bytes()), expected.as_bytes(), "{bytes:?}");
    }
    assert_eq!(client.line("AUTH secret").text(), "OK");
    assert_eq!(client.line("SET a 1").text(), "OK");
    let reply = server.client().line("HELLO 3 AUTH default secret SETNAME me");
    assert!(!reply.is_error(), "{reply}");
}
