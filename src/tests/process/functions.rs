//! Libraries of functions: they run over one shard and many, survive what keys survive, and go to
//! Redis and back; beside a real redis-server, reply by reply.

use std::fs;
use std::thread;
use std::time::Duration;

use super::harness::client::{Client, encode};
use super::harness::reply::Reply;
use super::harness::server::{Launch, Server};
use super::ours;
use super::scripting::beside_redis;

fn library(name: &str, functions: &str) -> String {
    format!("#!lua name={name}\n{functions}")
}

fn load(client: &mut Client, name: &str, functions: &str) {
    let text = library(name, functions);
    assert_eq!(client.call(&["FUNCTION", "LOAD", "REPLACE", &text]).text(), name, "{text}");
}

/// A library of one function `name` that returns a number.
fn number(client: &mut Client, name: &str, number: u32) {
    let body = format!("redis.register_function('f_{name}', function() return {number} end)");
    load(client, name, &body);
}

/// The names of all libraries and the numbers that their functions return.
fn numbers(client: &mut Client) -> String {
    let mut rows = Vec::new();
    for row in client.call(&["FUNCTION", "LIST"]).items() {
        let name = row.items()[1].text();
        let got = client.call(&["FCALL", &format!("f_{name}"), "0"]);
        rows.push(format!("{name}={}", got.int()));
    }
    rows.sort();
    rows.join(" ")
}

const COUNT: &str = "redis.register_function('count', function(keys, args)
        local all = 0
        for _, key in ipairs(keys) do all = all + redis.call('incrby', key, args[1]) end
        redis.call('set', 'last', all)
        return all
    end)
    redis.register_function{function_name='peek', flags={'no-writes'}, callback=function(keys)
        return redis.call('mget', unpack(keys)) end}";

#[test]
fn functions_run_over_all_shards_and_for_all_connections() {
    for shards in [1, 3] {
        let launch = Launch::basalt().logged("everysec").shards(shards);
        let server = launch.start();
        let mut clients: Vec<Client> = (0..6).map(|_| server.client()).collect();
        load(&mut clients[0], "lib", COUNT);
        for (turn, client) in clients.iter_mut().enumerate() {
            let words = ["FCALL", "COUNT", "4", "a", "b", "c", "d", "2"];
            assert_eq!(client.call(&words), Reply::Int(8 * (turn as i64 + 1)), "{shards} shards");
        }
        let last = &mut clients[5];
        assert_eq!(last.line("GET last").text(), "48");
        let values = last.line("FCALL_RO peek 2 a d").items();
        assert_eq!(values.iter().map(Reply::text).collect::<Vec<_>>(), ["12", "12"]);
        let refused = last.line("FCALL_RO count 1 a 1").text();
        assert!(refused.contains("Can not execute a script with write flag"), "{refused}");
        // A library that is replaced or gone is so for everybody.
        load(last, "lib", "redis.register_function('count', function() return 'new' end)");
        for client in &mut clients {
            assert_eq!(client.line("FCALL count 0").text(), "new");
            assert_eq!(client.line("FCALL peek 0").text(), "-ERR Function not found");
        }
        assert_eq!(clients[1].info("memory")["number_of_functions"], "1");
        clients[2].ok("FUNCTION DELETE lib");
        for client in &mut clients {
            assert_eq!(client.line("FCALL count 0").text(), "-ERR Function not found");
        }
    }
}

#[test]
fn changes_are_part_of_transactions() {
    for shards in [1, 2] {
        let launch = Launch::basalt().logged("always").shards(shards);
        let mut server = launch.start();
        let mut client = server.client();
        number(&mut client, "old", 1);
        client.ok("MULTI");
        client.line("SET before 1");
        let text = library("new", "redis.register_function('f_new', function() return 7 end)");
        client.call(&["FUNCTION", "LOAD", &text]);
        client.line("FCALL f_new 0");
        client.line("FUNCTION DELETE old");
        client.line("FUNCTION LIST");
        client.line("FCALL f_old 0");
        client.line("SET after 1");
        let replies = client.line("EXEC").items();
        assert_eq!(replies[1].text(), "new", "{shards} shards");
        assert_eq!(replies[2], Reply::Int(7));
        assert_eq!(replies[4].items().len(), 1);
        assert_eq!(replies[5].text(), "-ERR Function not found");
        server.kill();
        let server = launch.start();
        let mut client = server.client();
        assert_eq!(numbers(&mut client), "new=7", "{shards} shards");
        assert_eq!(client.line("EXISTS before after"), Reply::Int(2));
        // A change that fails leaves the rest.
        client.ok("MULTI");
        client.call(&["FUNCTION", "LOAD", &text]);
        client.line("INCR n");
        let replies = client.line("EXEC").items();
        assert_eq!(replies[0].text(), "-ERR Library 'new' already exists");
        assert_eq!(replies[1], Reply::Int(1));
    }
}

#[test]
fn libraries_survive_kill_saves_and_other_numbers_of_shards() {
    let Some(_) = ours() else { return };
    let launch = Launch::basalt().logged("everysec");
    let mut expected: Vec<(String, u32)> = Vec::new();
    let mut next = 0;
    for (round, shards) in ["1", "3", "2", "1", "1"].into_iter().enumerate() {
        let mut server = launch.start_with(&["--shards", shards]);
        let mut client = server.client();
        let told = |rows: &[(String, u32)]| {
            let mut rows: Vec<_> = rows.iter().map(|(n, v)| format!("{n}={v}")).collect();
            rows.sort();
            rows.join(" ")
        };
        assert_eq!(numbers(&mut client), told(&expected), "round {round}, {shards} shards");
        for _ in 0..4 {
            next += 1;
            number(&mut client, &format!("lib{next}"), next);
            expected.push((format!("lib{next}"), next));
        }
        client.ok(["BGREWRITEAOF", "SAVE"][round % 2]);
        // After the base, and perhaps beside it.
        let gone = expected.remove(0).0;
        client.ok(&format!("FUNCTION DELETE {gone}"));
        let (name, value) = &mut expected[1];
        *value += 100;
        number(&mut client, name, *value);
        client.ok("FLUSHALL");
        assert_eq!(numbers(&mut client), told(&expected));
        if round == 2 {
            client.ok("DEBUG RELOAD");
            client.ok("DEBUG LOADAOF");
            assert_eq!(numbers(&mut client), told(&expected));
        }
        if round == 3 {
            // A base of commands.
            client.ok("CONFIG SET aof-use-rdb-preamble no");
            client.ok("SAVE");
            let base = fs::read_dir(launch.dir()).expect("a directory").flatten();
            let files = base.filter(|entry| entry.path().is_dir());
            let mut texts =
                files.flat_map(|dir| fs::read_dir(dir.path()).expect("files").flatten());
            assert!(texts.any(|file| {
                let bytes = fs::read(file.path()).unwrap_or_default();
                bytes.starts_with(b"*2\r\n$6\r\nSELECT") && memmem(&bytes, b"#!lua name=lib")
            }));
        }
        server.kill();
    }
    let server = launch.start_with(&["--shards", "2"]);
    server.client().ok("FUNCTION FLUSH");
    drop(server);
    let server = launch.start_with(&["--shards", "2"]);
    assert_eq!(numbers(&mut server.client()), "");
}

fn memmem(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Under fire: what was acknowledged is there after kill -9, whole.
#[test]
fn an_acknowledged_change_survives_kill() {
    let Some(_) = ours() else { return };
    for (shards, policy) in [(1, "always"), (2, "everysec"), (3, "always")] {
        let launch = Launch::basalt().logged(policy).shards(shards);
        let mut acknowledged = 0;
        for round in 1..=4u32 {
            let mut server = launch.start();
            let mut client = server.client();
            let port = server.port();
            if acknowledged > 0 {
                let got = client.line("FCALL f_a 0").int();
                assert!(got >= i64::from(acknowledged), "{shards} {policy}: {got}");
                assert_eq!(client.line("FCALL f_b 0").int(), got, "{shards} {policy}");
            }
            let done = thread::scope(|scope| {
                let changes = scope.spawn(move || {
                    let mut client = Client::to(port);
                    let mut done = 0;
                    for n in 1..10_000u32 {
                        let value = round * 100_000 + n;
                        let text = |name: &str| {
                            let body = format!("function() return {value} end");
                            let body = format!("redis.register_function('f_{name}', {body})");
                            library(name, &body)
                        };
                        let mut bytes = encode(&["MULTI"]);
                        for name in ["a", "b"] {
                            bytes.extend(encode(&["FUNCTION", "LOAD", "REPLACE", &text(name)]));
                        }
                        bytes.extend(encode(&["EXEC"]));
                        match client.batch(&bytes, 4) {
                            Ok(replies) if !replies[3].is_error() => done = value,
                            _ => break,
                        }
                    }
                    done
                });
                thread::sleep(Duration::from_millis(300));
                server.kill();
                changes.join().expect("changes")
            });
            assert!(done > 0, "{shards} {policy}: nothing was changed");
            acknowledged = done;
        }
    }
}

#[test]
fn libraries_go_to_redis_and_back() {
    let (Some(ours), Some(redis)) = (ours(), Launch::redis()) else { return };
    let redis = redis.with(&["--appendonly", "no", "--save", ""]);
    let server = redis.start();
    let mut client = server.client();
    number(&mut client, "one", 1);
    number(&mut client, "two", 2);
    client.ok("SET key value");
    client.ok("SAVE");
    let payload = match client.line("FUNCTION DUMP") {
        Reply::Bulk(bytes) => bytes,
        other => panic!("{other}"),
    };
    server.stop();
    for shards in ["3", "1"] {
        let launch = Launch::basalt().with(&["--shards", shards, "--appendonly", "yes"]);
        fs::copy(redis.dir().join("dump.rdb"), launch.dir().join("dump.rdb")).expect("a copy");
        let mut server = launch.start();
        assert_eq!(numbers(&mut server.client()), "one=1 two=2", "{}", server.log());
        let mut client = server.client();
        client.ok("FUNCTION FLUSH");
        let restore = [b"FUNCTION", &b"RESTORE"[..], &payload];
        assert_eq!(client.try_call(&restore).expect("a reply").text(), "OK");
        assert_eq!(numbers(&mut client), "one=1 two=2");
        number(&mut client, "three", 3);
        let back = match client.line("FUNCTION DUMP") {
            Reply::Bulk(bytes) => bytes,
            other => panic!("{other}"),
        };
        server.kill();
        let out = launch.home().join("out");
        let check = std::process::Command::new(env!("CARGO_BIN_EXE_basalt-check"))
            .arg("export")
            .arg(launch.dir())
            .arg("--redis")
            .arg(&out)
            .output()
            .expect("basalt-check");
        assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
        let peer = Launch::redis().expect("it was there").with(&["--save", ""]);
        fs::copy(out.join("dump.rdb"), peer.dir().join("dump.rdb")).expect("a copy");
        let theirs = peer.start();
        let mut client = theirs.client();
        assert_eq!(numbers(&mut client), "one=1 three=3 two=2");
        assert_eq!(client.line("GET key").text(), "value");
        let restore = [b"FUNCTION", &b"RESTORE"[..], &back, b"FLUSH"];
        assert_eq!(client.try_call(&restore).expect("a reply").text(), "OK");
        assert_eq!(numbers(&mut client), "one=1 three=3 two=2");
    }
    drop(ours);
}

#[test]
fn a_log_of_redis_with_libraries_is_imported() {
    let (Some(ours), Some(redis)) = (ours(), Launch::redis()) else { return };
    let redis = redis.with(&["--appendonly", "yes", "--save", "", "--appendfsync", "always"]);
    let server = redis.start();
    let mut client = server.client();
    number(&mut client, "base", 1);
    client.ok("BGREWRITEAOF");
    while client.info("persistence")["aof_rewrite_in_progress"] != "0" {
        thread::sleep(Duration::from_millis(20));
    }
    number(&mut client, "log", 2);
    number(&mut client, "gone", 3);
    client.ok("FUNCTION DELETE gone");
    server.stop();
    for shards in ["1", "2"] {
        let launch = Launch::basalt().with(&["--shards", shards, "--appendonly", "yes"]);
        let (from, to) = (redis.dir().join("appendonlydir"), launch.dir().join("appendonlydir"));
        fs::create_dir(&to).expect("a directory");
        for file in fs::read_dir(from).expect("files").flatten() {
            fs::copy(file.path(), to.join(file.file_name())).expect("a copy");
        }
        let server = launch.start();
        assert_eq!(numbers(&mut server.client()), "base=1 log=2", "{}", server.log());
    }
    drop(ours);
}

/// A function that never ends, on a connection of its own.
fn endless(server: &Server, body: &str) -> Client {
    let mut client = server.client();
    load(&mut client, "endless", &format!("redis.register_function('e', function() {body} end)"));
    client.send(&encode(&["FCALL", "e", "0", "arg"])).expect("sent");
    until_busy(server);
    client
}

/// Until others are told that a script runs.
fn until_busy(server: &Server) {
    let mut client = server.client();
    for _ in 0..1000 {
        if client.line("PING").text().starts_with("-BUSY ") {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("nobody is told that a script runs");
}

#[test]
fn a_long_function_is_told_of_and_can_be_killed() {
    let Some(_) = ours() else { return };
    for shards in [1, 2] {
        let launch = Launch::basalt().volatile().shards(shards);
        let server = launch.start_with(&["--lua-time-limit", "50"]);
        let mut client = server.client();
        assert!(client.line("FUNCTION KILL").text().starts_with("-NOTBUSY "));
        let mut runs = endless(&server, "while true do redis.call('get', 'x') end");
        let busy = "-BUSY Redis is busy running a script. You can only call FUNCTION KILL or \
                    SHUTDOWN NOSAVE.";
        for line in ["PING", "SCRIPT KILL", "FCALL e 0", "FUNCTION LIST"] {
            assert_eq!(client.line(line).text(), busy, "{shards} {line}");
        }
        let stats = client.line("FUNCTION STATS").items();
        let running = stats[1].items();
        assert_eq!(running[1].text(), "e");
        let args: Vec<String> = running[3].items().iter().map(Reply::text).collect();
        assert_eq!(args, ["FCALL", "e", "0", "arg"]);
        assert!(running[5].int() >= 50);
        client.ok("FUNCTION KILL");
        let reply = runs.read().expect("a reply").text();
        assert!(reply.contains("Script killed by user with SCRIPT KILL"), "{reply}");
        assert!(reply.contains("script: e, on @user_function:"), "{reply}");
        // A script, by FUNCTION KILL.
        let mut other = server.client();
        other.send(&encode(&["EVAL", "while true do end", "0"])).expect("sent");
        until_busy(&server);
        let busy = "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or \
                    SHUTDOWN NOSAVE.";
        for line in ["PING", "FUNCTION KILL", "FUNCTION STATS"] {
            assert_eq!(client.line(line).text(), busy, "{shards} {line}");
        }
        client.ok("SCRIPT KILL");
        assert!(other.read().expect("a reply").is_error());
        // A library that does not end is not loaded, and nobody stands still for long.
        let text = library("slow", "while true do end");
        let reply = client.call(&["FUNCTION", "LOAD", &text]).text();
        assert_eq!(reply, "-ERR Error registering functions: ERR FUNCTION LOAD timeout");
        client.ok("FUNCTION FLUSH");
    }
}

/// Requests whose replies are those of Redis 7.0, in both protocols: `#!` begins a library, `\N`
/// a line's end; any other line is a body of a function, called with two keys and two arguments.
const BESIDE: &str = include_str!("functions.txt");

#[test]
fn replies_are_those_of_redis() {
    let setup = ["FLUSHALL", "FUNCTION FLUSH", "MSET k1 v1 k2 2"];
    let rows = BESIDE.lines().chain(include_str!("scripts.txt").lines());
    beside_redis(&setup, rows, |text| {
        if let Some(line) = text.strip_prefix("> ") {
            return vec![line.split(' ').map(str::to_owned).collect()];
        }
        if text.starts_with("#!") {
            return vec![["FUNCTION", "LOAD", text].map(str::to_owned).to_vec()];
        }
        let body = format!("function(KEYS, ARGV) {text}\nend");
        let text = library("row", &format!("redis.register_function('row', {body})"));
        let call = ["FCALL", "row", "2", "k1", "k2", "arg1", "arg2"];
        let load = ["FUNCTION", "LOAD", "REPLACE", &text];
        vec![load.map(str::to_owned).to_vec(), call.map(str::to_owned).to_vec()]
    });
}
