//! Clients that wait for keys of several shards, and those that hear of changes: events, caches.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use super::harness::client::{Client, encode};
use super::harness::server::{Launch, Server};

fn server() -> (Launch, Server) {
    let launch = Launch::basalt().logged("everysec").shards(4);
    let server = launch.start();
    (launch, server)
}

fn texts(client: &mut Client) -> Vec<String> {
    client.read().expect("a message").items().iter().map(|part| part.text()).collect()
}

fn send(client: &mut Client, line: &str) {
    client.send(&encode(&line.split(' ').collect::<Vec<_>>())).expect("sent");
}

/// Waits until so many clients are blocked.
fn until_blocked(client: &mut Client, count: usize) {
    for _ in 0..2000 {
        if client.info("clients")["blocked_clients"] == count.to_string() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("there are never {count} blocked clients");
}

#[test]
fn every_element_is_taken_once_whoever_waits() {
    const EACH: usize = 400;
    let (_launch, server) = server();
    let keys: Vec<String> = (0..6).map(|n| format!("queue:{n}")).collect();
    let takers: Vec<_> = (0..6)
        .map(|n| {
            let (port, mut keys) = (server.port(), keys.clone());
            keys.rotate_left(n);
            thread::spawn(move || {
                let mut client = Client::to(port);
                let mut taken = Vec::new();
                loop {
                    let words = [&["BLPOP".to_owned()], &keys[..], &["1.5".to_owned()]].concat();
                    let reply = client.try_call(&words).expect("a reply");
                    if reply.is_null() {
                        return taken;
                    }
                    taken.push(reply.items()[1].text());
                }
            })
        })
        .collect();
    let givers: Vec<_> = (0..4)
        .map(|giver| {
            let (port, keys) = (server.port(), keys.clone());
            thread::spawn(move || {
                let mut client = Client::to(port);
                for n in 0..EACH {
                    let key = &keys[(n * 7 + giver) % keys.len()];
                    client.call(&["RPUSH", key, &format!("{giver}:{n}")]);
                }
            })
        })
        .collect();
    givers.into_iter().for_each(|giver| giver.join().expect("a giver"));
    let taken: Vec<String> =
        takers.into_iter().flat_map(|taker| taker.join().expect("a taker")).collect();
    let different: BTreeSet<&String> = taken.iter().collect();
    assert_eq!((taken.len(), different.len()), (4 * EACH, 4 * EACH));
}

#[test]
fn who_waits_can_give_up_and_be_woken() {
    let (_launch, server) = server();
    let (mut waiter, mut other) = (server.client(), server.client());
    let id = waiter.ok("CLIENT ID").int();
    assert!(waiter.ok("BLPOP a b c 0.05").is_null());
    assert!(waiter.ok("BLMOVE a b LEFT RIGHT 0.05").is_null());
    assert_eq!(waiter.line("BLPOP a x").text(), "-ERR timeout is not a float or out of range");
    assert!(waiter.line("BLMPOP 0 1 a MIDDLE").is_error());
    send(&mut waiter, "BLPOP a b c 0");
    until_blocked(&mut other, 1);
    assert_eq!(other.line(&format!("CLIENT UNBLOCK {id} ERROR")).int(), 1);
    assert!(waiter.read().expect("a reply").text().starts_with("-UNBLOCKED"));
    assert_eq!(other.line(&format!("CLIENT UNBLOCK {id}")).int(), 0);
    // Those behind somebody who is gone are served.
    let mut gone = server.client();
    send(&mut gone, "BRPOP a b c 0");
    until_blocked(&mut other, 1);
    send(&mut waiter, "BLPOP c a 0");
    until_blocked(&mut other, 2);
    drop(gone);
    until_blocked(&mut other, 1);
    other.ok("RPUSH a 1 2");
    assert_eq!(texts(&mut waiter), ["a", "1"]);
    // Inside a transaction nobody waits.
    other.ok("DEL a");
    other.ok("MULTI");
    other.ok("BLPOP a b 0");
    other.ok("RPUSH b x");
    other.ok("BLPOP a b 0");
    let replies = other.ok("EXEC").items();
    assert!(replies[0].is_null() && replies[2].items()[1].text() == "x");
}

#[test]
fn a_move_between_shards_waits_and_wakes_the_next() {
    let (_launch, server) = server();
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let mut other = server.client();
    send(&mut clients[0], "BLMOVE one two LEFT RIGHT 0");
    until_blocked(&mut other, 1);
    send(&mut clients[1], "BRPOPLPUSH two three 0");
    until_blocked(&mut other, 2);
    send(&mut clients[2], "BLPOP three 0");
    until_blocked(&mut other, 3);
    other.ok("RPUSH one x");
    assert_eq!(clients[0].read().expect("a reply").text(), "x");
    assert_eq!(clients[1].read().expect("a reply").text(), "x");
    assert_eq!(texts(&mut clients[2]), ["three", "x"]);
    assert_eq!(other.ok("EXISTS one two three").int(), 0);
}

#[test]
fn a_move_that_may_not_be_leaves_the_element_to_the_next() {
    let (_launch, server) = server();
    let (mut first, mut second, mut other) = (server.client(), server.client(), server.client());
    for n in 0..8 {
        let (queue, wrong, right) = (format!("queue:{n}"), format!("wrong:{n}"), format!("r:{n}"));
        other.ok(&format!("SET {wrong} text"));
        send(&mut first, &format!("BRPOPLPUSH {queue} {wrong} 0"));
        until_blocked(&mut other, 1);
        send(&mut second, &format!("BRPOPLPUSH {queue} {right} 0"));
        until_blocked(&mut other, 2);
        other.ok(&format!("LPUSH {queue} x"));
        let refused = first.read().expect("a reply");
        assert!(refused.text().starts_with("-WRONGTYPE"), "{queue}: {refused:?}");
        assert_eq!(second.read().expect("a reply").text(), "x", "{queue}");
        assert_eq!(other.ok(&format!("EXISTS {queue} {right}")).int(), 1, "{queue}");
    }
}

#[test]
fn events_of_a_key_come_in_their_order_from_every_shard() {
    let (_launch, server) = server();
    let (mut reader, mut writer) = (server.client(), server.client());
    writer.ok("CONFIG SET notify-keyspace-events KEA");
    assert_eq!(writer.ok("CONFIG GET notify-keyspace-events").items()[1].text(), "AKE");
    reader.ok("PSUBSCRIBE __keyspace@0__:*");
    for n in 0..50 {
        let (a, b) = (format!("a{n}"), format!("b{n}"));
        writer.call(&["SET", &a, "1", "PX", "90000"]);
        writer.call(&["RENAME", &a, &b]);
        writer.call(&["DEL", &b]);
        let mut next = |key: &str, event: &str| {
            let told = texts(&mut reader);
            assert_eq!((&told[2][15..], &told[3][..]), (key, event), "{n}");
        };
        for (key, event) in
            [(&a, "set"), (&a, "expire"), (&a, "rename_from"), (&b, "rename_to"), (&b, "del")]
        {
            next(key, event);
        }
    }
    writer.ok("SET mortal 1 PX 20");
    assert_eq!(texts(&mut reader)[3], "set");
    assert_eq!(texts(&mut reader)[3], "expire");
    assert_eq!(texts(&mut reader)[3], "expired");
}

#[test]
fn a_client_that_caches_hears_of_changes() {
    let (_launch, server) = server();
    let (mut cache, mut writer) = (server.client(), server.client());
    cache.ok("HELLO 3");
    cache.ok("CLIENT TRACKING ON NOLOOP");
    for n in 0..40 {
        let key = format!("key:{n}");
        writer.call(&["SET", &key, "1"]);
        cache.call(&["GET", &key]);
        cache.call(&["SET", &key, "2"]);
        cache.call(&["MGET", &key, "nothing"]);
        writer.call(&["SET", &key, "3"]);
        let told = cache.read().expect("a push").items();
        assert_eq!(told[0].text(), "invalidate");
        assert_eq!(told[1].items()[0].text(), key);
    }
    let mut listener = server.client();
    let id = listener.ok("CLIENT ID").int();
    listener.ok("SUBSCRIBE __redis__:invalidate");
    let mut old = server.client();
    old.ok(&format!("CLIENT TRACKING ON REDIRECT {id} BCAST PREFIX u:"));
    writer.ok("SET u:1 x");
    let told = listener.read().expect("a message").items();
    assert_eq!(told[2].items()[0].text(), "u:1");
    writer.ok("FLUSHALL");
    assert!(cache.read().expect("a push").items()[1].is_null());
}

#[test]
fn who_is_gone_before_info_is_asked_does_not_wait_any_more() {
    let (_launch, server) = server();
    let mut client = server.client();
    let mut late = 0;
    for _ in 0..200 {
        let waiters: Vec<Client> = (0..2)
            .map(|_| {
                let mut waiter = server.client();
                send(&mut waiter, "BLPOP one two three 0");
                waiter
            })
            .collect();
        until_blocked(&mut client, 2);
        drop(waiters);
        // The kernel may deliver the end of a connection later than what was sent after it on
        // another one: on a busy machine once in some hundred rounds. (It was every second round.)
        late += u32::from(client.info("clients")["blocked_clients"] != "0");
        until_blocked(&mut client, 0);
    }
    assert!(late <= 10, "{late} of 200 rounds");
}
