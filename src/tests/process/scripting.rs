//! Scripts over one shard and many: atomic, durable, killable, in their box; and beside a real
//! redis-server, reply by reply.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use basalt::base::prng::Prng;

use super::harness::client::Client;
use super::harness::reply::Reply;
use super::harness::server::{Launch, Server};
use super::ours;

const ACCOUNTS: u64 = 20;

const TRANSFER: &str = "local n = tonumber(ARGV[1])
    if tonumber(redis.call('get', KEYS[1]) or 0) < n then return 0 end
    redis.call('decrby', KEYS[1], n)
    redis.call('incrby', KEYS[2], n)
    redis.call('rpush', 'log:' .. ARGV[2], ARGV[1])
    return 1";

const SUM: &str = "local sum = 0
    for n = 0, 19 do sum = sum + tonumber(redis.call('get', 'account:' .. n)) end
    return sum";

fn eval(client: &mut Client, text: &str, keys: &[&str], args: &[&str]) -> Reply {
    let count = keys.len().to_string();
    let words = [&["EVAL", text, &count], keys, args].concat();
    client.call(&words)
}

fn fill(server: &Server) {
    let mut client = server.client();
    for n in 0..ACCOUNTS {
        client.call(&["SET", &format!("account:{n}"), "1000"]);
    }
}

fn transfers(port: u16, seed: u64, stop: &AtomicBool, done: &AtomicU64) {
    let mut client = Client::to(port);
    let mut prng = Prng::new(seed);
    while !stop.load(Ordering::Relaxed) {
        let mut account = || format!("account:{}", prng.below(ACCOUNTS));
        let (from, to) = (account(), account());
        let amount = prng.below(50).to_string();
        let words = ["EVAL", TRANSFER, "2", &from, &to, &amount, &seed.to_string()];
        let Ok(reply) = client.try_call(&words) else { return };
        assert!(matches!(reply, Reply::Int(0 | 1)), "{reply}");
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn transfers_by_scripts_are_atomic_and_survive_kill() {
    for shards in [1, 2, 3] {
        let launch = Launch::basalt().logged("everysec").shards(shards);
        let mut server = launch.start();
        fill(&server);
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let port = server.port();
        thread::scope(|scope| {
            for seed in 1..=3 {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || transfers(port, seed, stop, done));
            }
            let readers: Vec<_> = ["EVAL", "MULTI"]
                .into_iter()
                .map(|how| {
                    let stop = &stop;
                    scope.spawn(move || {
                        let mut client = Client::to(port);
                        let mut reads = 0;
                        while !stop.load(Ordering::Relaxed) {
                            let total = if how == "EVAL" {
                                eval(&mut client, SUM, &[], &[]).count()
                            } else {
                                let names: Vec<String> =
                                    (0..ACCOUNTS).map(|n| format!("account:{n}")).collect();
                                let mut words = vec!["MGET"];
                                words.extend(names.iter().map(String::as_str));
                                client.call(&words).items().iter().map(Reply::count).sum()
                            };
                            assert_eq!(total, 20_000, "{shards} shards, {how}");
                            reads += 1;
                        }
                        reads
                    })
                })
                .collect();
            thread::sleep(Duration::from_millis(1500));
            stop.store(true, Ordering::Relaxed);
            for reader in readers {
                assert!(reader.join().expect("a reader") > 2);
            }
        });
        assert!(done.load(Ordering::Relaxed) > 5, "{shards} shards: only {done:?}");
        // And while they write, the server is gone.
        stop.store(false, Ordering::Relaxed);
        thread::scope(|scope| {
            for seed in 1..=3 {
                let (stop, done) = (&stop, &done);
                scope.spawn(move || transfers(port, seed, stop, done));
            }
            thread::sleep(Duration::from_millis(300));
            server.kill();
            stop.store(true, Ordering::Relaxed);
        });
        let server = launch.start();
        let mut client = server.client();
        assert_eq!(eval(&mut client, SUM, &[], &[]), Reply::Int(20_000), "{shards} shards");
    }
}

#[test]
fn what_a_script_was_told_survives() {
    for shards in [1, 2] {
        let launch = Launch::basalt().logged("always").shards(shards);
        let mut server = launch.start();
        let mut client = server.client();
        let text = "for n = 1, 50 do redis.call('set', 'k' .. n, ARGV[1]) end
            redis.call('expire', 'k1', 1000) redis.call('spop', 'none') return ARGV[1]";
        for round in 0..5 {
            let round = round.to_string();
            assert_eq!(eval(&mut client, text, &[], &[&round]).text(), round);
        }
        // An error keeps what was written before it.
        let reply = eval(&mut client, "redis.call('set', 'kept', 1) error('x')", &[], &[]);
        assert!(reply.is_error());
        server.kill();
        let server = launch.start();
        let mut client = server.client();
        for n in 1..=50 {
            assert_eq!(client.call(&["GET", &format!("k{n}")]).text(), "4", "{shards} shards");
        }
        assert_eq!(client.call(&["GET", "kept"]).text(), "1");
        assert!(client.call(&["TTL", "k1"]).int() > 900);
    }
}

#[test]
fn commands_over_many_shards_work_in_scripts() {
    for shards in [1, 2, 4] {
        let launch = Launch::basalt().logged("everysec").shards(shards);
        let server = launch.start();
        let mut client = server.client();
        let text = "redis.call('mset', 'a', 1, 'b', 2, 'c', 3, 'd', 4)
            redis.call('rename', 'a', 'aa')
            redis.call('sadd', 's1', 'x', 'y') redis.call('sadd', 's2', 'y', 'z')
            redis.call('sinterstore', 's3', 's1', 's2')
            redis.call('rpush', 'l', 'b', 'c') redis.call('mset', 'w_b', 2, 'w_c', 1)
            local sorted = redis.call('sort', 'l', 'by', 'w_*', 'alpha')
            local cursor, seen = '0', 0
            repeat
                local page = redis.call('scan', cursor, 'count', 3)
                cursor = page[1] seen = seen + #page[2]
            until cursor == '0'
            local gone = redis.call('del', 'b', 'c', 'none')
            return {redis.call('get', 'aa'), redis.call('smembers', 's3')[1], sorted[1], gone,
                redis.call('dbsize'), seen, redis.call('exists', 'aa', 'd', 'a')}";
        let reply = eval(&mut client, text, &[], &[]);
        let expected = "1 y c 2 8 10 2";
        let got: Vec<String> = reply
            .items()
            .iter()
            .map(|item| match item {
                Reply::Int(n) => n.to_string(),
                other => other.text(),
            })
            .collect();
        assert_eq!(got.join(" "), expected, "{shards} shards: {reply}");
        // Of EXEC, as part of it.
        client.ok("MULTI");
        client.line("SET m 1");
        client.call(&["EVAL", "return redis.call('incrby', 'm', 5)", "0"]);
        client.line("INCR m");
        client.call(&["EVAL", "return redis.call('nope')", "0"]);
        client.line("GET m");
        let replies = client.line("EXEC").items();
        assert_eq!(replies[1], Reply::Int(6), "{shards} shards");
        assert_eq!(replies[2], Reply::Int(7));
        assert!(replies[3].is_error());
        assert_eq!(replies[4].text(), "7");
        // A watched key.
        let mut other = server.client();
        client.line("WATCH m");
        other.line("SET m 9");
        client.ok("MULTI");
        client.call(&["EVAL", "return redis.call('set', 'm', 0)", "0"]);
        assert!(client.line("EXEC").is_null());
        assert_eq!(client.line("GET m").text(), "9");
        // A client that waits is served behind the script, not within it.
        let mut waiting = server.client();
        waiting.send(&super::harness::client::encode(&["BLPOP", "q", "5"])).expect("sent");
        thread::sleep(Duration::from_millis(100));
        let text = "redis.call('rpush', 'q', 'one') local n = redis.call('llen', 'q')
            redis.call('rpush', 'q', 'two') return n";
        assert_eq!(eval(&mut client, text, &[], &[]), Reply::Int(1));
        assert_eq!(waiting.read().expect("a reply").items()[1].text(), "one");
    }
}

#[test]
fn scripts_are_kept_by_name_for_all_connections() {
    for shards in [1, 3] {
        let launch = Launch::basalt().volatile().shards(shards);
        let server = launch.start();
        let sha = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
        // Connections of several cores.
        let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
        for client in &mut clients {
            let reply = client.call(&["EVALSHA", sha, "0"]);
            assert_eq!(reply.text(), "-NOSCRIPT No matching script. Please use EVAL.");
        }
        assert_eq!(clients[0].call(&["SCRIPT", "LOAD", "return 1"]).text(), sha);
        for client in &mut clients {
            assert_eq!(client.call(&["EVALSHA", &sha.to_uppercase(), "0"]), Reply::Int(1));
            let reply = client.call(&["SCRIPT", "EXISTS", sha, "nope"]);
            assert_eq!(reply.items(), [Reply::Int(1), Reply::Int(0)]);
        }
        assert_eq!(clients[1].info("memory")["number_of_cached_scripts"], "1");
        clients[2].ok("SCRIPT FLUSH");
        for client in &mut clients {
            assert!(client.call(&["EVALSHA", sha, "0"]).is_error());
        }
        assert_eq!(clients[3].call(&["EVAL", "return 1", "0"]), Reply::Int(1));
        assert_eq!(clients[0].call(&["EVALSHA_RO", sha, "0"]), Reply::Int(1));
        let reply = clients[0].call(&["EVAL_RO", "return redis.call('set', 'a', 1)", "0"]);
        assert!(reply.text().contains("Write commands are not allowed from read-only scripts."));
    }
}

/// A script that never ends, on a connection of its own.
fn endless(server: &Server, text: &str) -> Client {
    let mut client = server.client();
    client.send(&super::harness::client::encode(&["EVAL", text, "0"])).expect("sent");
    thread::sleep(Duration::from_millis(300));
    client
}

#[test]
fn a_long_script_is_told_of_and_can_be_killed() {
    let Some(_) = ours() else { return };
    for shards in [1, 2] {
        let launch = Launch::basalt().volatile().shards(shards);
        let server = launch.start_with(&["--lua-time-limit", "50"]);
        let mut client = server.client();
        assert!(client.line("SCRIPT KILL").text().starts_with("-NOTBUSY "));
        for text in [
            "while true do end",
            "while true do pcall(function() while true do end end) end",
            "while true do redis.call('get', 'x') end",
        ] {
            let mut runs = endless(&server, text);
            for line in ["PING", "GET x", "SET x 1"] {
                assert!(client.line(line).text().starts_with("-BUSY "), "{shards} {line}");
            }
            client.ok("SCRIPT KILL");
            let reply = runs.read().expect("a reply").text();
            assert!(reply.contains("Script killed by user with SCRIPT KILL"), "{reply}");
            client.ok("SET x 1");
        }
        // One that has written cannot be killed; it ends by itself.
        let text = "redis.call('set', 'y', 1) local n = 0 while n < 3e8 do n = n + 1 end return n";
        let mut runs = endless(&server, text);
        let began = Instant::now();
        let reply = client.line("SCRIPT KILL").text();
        assert!(reply.starts_with("-UNKILLABLE "), "{reply}");
        assert!(began.elapsed() < Duration::from_secs(1), "the core goes on turning");
        runs.patience(Duration::from_secs(300));
        assert_eq!(runs.read().expect("a reply"), Reply::Int(300_000_000));
        assert_eq!(client.line("GET y").text(), "1");
        // Within a C function a slice cannot end, but it can be killed from another core.
        if shards == 2 {
            let text = "table.sort({2,1}, function() while true do end end)";
            // Some of these are on the other core.
            let others: Vec<Client> = (0..8).map(|_| server.client()).collect();
            let mut runs = endless(&server, text);
            let mut killed = false;
            for mut other in others {
                other.patience(Duration::from_millis(1000));
                if other.try_call(&["SCRIPT", "KILL"]).is_ok() {
                    killed = true;
                    break;
                }
            }
            assert!(killed, "no connection of another core");
            assert!(runs.read().expect("a reply").is_error());
        }
        let mut runs = endless(&server, "while true do end");
        let mut other = server.client();
        assert!(other.line("SHUTDOWN").text().starts_with("-BUSY "));
        other.send(&super::harness::client::encode(&["SHUTDOWN", "NOSAVE"])).expect("sent");
        assert!(runs.read().is_err() || runs.is_closed());
    }
}

#[test]
fn the_box_holds_over_the_wire() {
    let launch = Launch::basalt().volatile().shards(2);
    let server = launch.start();
    let mut client = server.client();
    // A gibibyte has to be filled before there is no more.
    client.patience(Duration::from_secs(120));
    for (text, expected) in [
        ("return tostring(io) ", "nonexistent global variable 'io'"),
        ("rawset(_G, 'x', 1)", "Attempt to modify a readonly table"),
        ("getmetatable('').__index = nil", "Attempt to modify a readonly table"),
        ("return bit.tohex(65535, -2147483648)", "0000FFFF"),
        ("return unpack({}, 0, 2147483647)", "too many results to unpack"),
        ("return string.find(string.rep('a', 3e5), string.rep('a?', 3e5))", "pattern too complex"),
        ("return cjson.decode(string.rep('[', 1e5))", "too many nested data structures"),
        ("return cmsgpack.unpack(string.rep('\\145', 1e5))", "too many nested tables"),
        ("return struct.pack('I2147483648', 1)", "integral size overflow"),
        (
            "local t = {} for i = 1, 1e9 do t[i] = string.rep('x', 1e6) .. i end",
            "not enough memory",
        ),
        ("local function f() return 1 + f() end return f()", "stack overflow"),
    ] {
        let reply = eval(&mut client, text, &[], &[]).text();
        assert!(reply.contains(expected), "{text}: {reply}");
        client.ok("SET alive 1");
    }
}

/// Scripts whose replies are those of Redis 7.0, in both protocols; one a line, `\N` a line's end.
const BESIDE: &str = include_str!("scripts.txt");

#[test]
fn replies_are_those_of_redis() {
    let setup = [
        "FLUSHALL",
        "MSET k1 v1 k2 2",
        "RPUSH l a b c",
        "HSET h f 1 g 2",
        "SADD s x y",
        "ZADD z 1.5 m",
    ];
    beside_redis(&setup, BESIDE.lines(), |text| {
        vec![["EVAL", text, "2", "k1", "k2", "arg1", "arg2"].map(str::to_owned).to_vec()]
    });
}

/// Makes requests of each row, in which `\N` is a line's end: the replies are those of Redis 7.0,
/// on one shard and on two, in both protocols.
pub fn beside_redis<'a>(
    setup: &[&str],
    rows: impl Iterator<Item = &'a str> + Clone,
    requests: impl Fn(&str) -> Vec<Vec<String>>,
) {
    let Some(redis) = Launch::redis() else { return };
    let redis = redis.volatile();
    let redis = redis.start();
    if !redis.client().info("server")["redis_version"].starts_with("7.0.") {
        return;
    }
    for (shards, proto) in [(1, "2"), (2, "3")] {
        let launch = Launch::basalt().volatile().shards(shards);
        let server = launch.start();
        let (mut ours, mut theirs) = (server.client(), redis.client());
        let hello = format!("HELLO {proto}");
        for line in std::iter::once(hello.as_str()).chain(setup.iter().copied()) {
            ours.line(line);
            theirs.line(line);
        }
        let mut different = Vec::new();
        for row in rows.clone().filter(|line| !line.is_empty()) {
            for request in requests(&row.replace("\\N", "\n")) {
                let got = ours.try_call(&request).expect("a reply");
                let expected = theirs.try_call(&request).expect("a reply");
                if got != expected {
                    different.push(format!("{row}\n    got {got}\n    not {expected}"));
                }
            }
        }
        assert!(different.is_empty(), "{} differ:\n{}", different.len(), different.join("\n"));
    }
}

/// Found from outside: after such a script every new text was refused, since it was compiled before
/// room was made for it.
#[test]
fn a_script_that_takes_all_memory_leaves_room_for_the_next() {
    let launch = Launch::basalt().volatile().shards(1);
    let server = launch.start();
    let mut client = server.client();
    client.patience(Duration::from_secs(120));
    for round in 0..2 {
        let bomb = format!("local t = {{{round}}} while true do t[#t + 1] = {{}} end");
        let refused = eval(&mut client, &bomb, &[], &[]).text();
        assert!(refused.contains("not enough memory"), "{refused}");
        let fresh = format!("return {round} + 40");
        assert_eq!(eval(&mut client, &fresh, &[], &[]).int(), round + 40);
    }
}

#[test]
fn a_script_that_cannot_be_interrupted_is_ended() {
    let launch = Launch::basalt().volatile().shards(1);
    let server = launch.start();
    let mut client = server.client();
    client.patience(Duration::from_secs(120));
    for text in [
        "string.gsub('a', 'a', function() while true do end end)",
        "return pcall(table.sort, {1, 2, 3}, function() while true do end end)",
        "local t = setmetatable({}, {__index = function() while true do end end}) return t.x",
    ] {
        let ended = eval(&mut client, text, &[], &[]).text();
        assert!(ended.starts_with("-ERR Script killed"), "{text}: {ended}");
        assert_eq!(server.client().line("PING").text(), "PONG");
    }
    // What ends in time is not in anybody's way.
    let sorted = "local t = {} for n = 1, 20000 do t[n] = (n * 7919) % 20011 end
        table.sort(t, function(a, b) return a < b end) return t[1] .. ' ' .. t[20000]";
    assert_eq!(eval(&mut client, sorted, &[], &[]).text(), "1 20010");
}
