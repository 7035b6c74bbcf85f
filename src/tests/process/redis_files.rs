//! To and from Redis: values by DUMP and RESTORE, whole datasets by its files.

use std::fs;
use std::path::Path;
use std::process::Command;

use basalt::base::prng::Prng;

use super::harness::client::{Client, encode};
use super::harness::peers;
use super::harness::reply::Reply;
use super::harness::server::{Launch, Server};
use super::ours;

/// How many keys a dataset has; a million by BASALT_IMPORT_KEYS.
fn size() -> u64 {
    peers::number("BASALT_IMPORT_KEYS", 50_000)
}

/// Texts of all shapes that encodings tell apart.
fn text(prng: &mut Prng, n: u64) -> String {
    match prng.below(6) {
        0 => n.to_string(),
        1 => (prng.next() as i64 >> prng.below(60)).to_string(),
        2 => format!("{n}:{}", "ab".repeat(prng.below(40) as usize)),
        3 if prng.chance(1, 20) => format!("{n}:{}", "long ".repeat(prng.below(4000) as usize)),
        _ => format!("{n}:{}", prng.next()),
    }
}

/// Does this server have the command?
fn has(client: &mut Client, command: &str) -> bool {
    let reply = client.call(&["COMMAND", "INFO", command]);
    matches!(reply, Reply::Array(rows) if rows.first().is_some_and(|row| !row.is_null()))
}

/// A command that makes a value of one of the types, and the key.
fn command(prng: &mut Prng, kinds: &[&str], n: u64) -> Vec<String> {
    let kind = kinds[prng.below(kinds.len() as u64) as usize];
    let count = if prng.chance(1, 50) { 1 + prng.below(600) } else { 1 + prng.below(8) };
    let mut words = vec![kind.to_owned(), format!("key:{n}")];
    match kind {
        "SET" => words.push(text(prng, n)),
        "HSET" => (0..count).for_each(|n| words.extend([format!("f{n}"), text(prng, n)])),
        "ZADD" => (0..count).for_each(|n| {
            let score = (prng.next() as i64 >> prng.below(60)) as f64 / 8.0;
            words.extend([score.to_string(), text(prng, n)]);
        }),
        "XADD" => {
            words.push(format!("{}-{}", 1 + prng.below(1000), 1 + prng.below(3)));
            (0..count).for_each(|n| words.extend([format!("f{n}"), text(prng, n)]));
        }
        _ => (0..count).for_each(|n| words.push(text(prng, n))),
    }
    words
}

/// Commands that make a stream with groups, deleted entries and such that are pending.
fn stream(prng: &mut Prng, n: u64) -> Vec<Vec<String>> {
    let key = format!("stream:{n}");
    let mut lines: Vec<String> = (1..prng.below(300) + 5)
        .map(|n| format!("XADD {key} {n}-1 name {} other{} x", prng.next(), prng.below(3)))
        .collect();
    lines.extend([
        format!("XDEL {key} 2-1"),
        format!("XGROUP CREATE {key} g 0"),
        format!("XREADGROUP GROUP g one COUNT 3 STREAMS {key} >"),
        format!("XDEL {key} 3-1"),
        format!("XGROUP CREATECONSUMER {key} g idle"),
    ]);
    lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

/// Fills a server with keys of the types that both have, in three databases, some with deadlines.
fn fill(client: &mut Client, kinds: &[&str], keys: u64, seed: u64) {
    let mut prng = Prng::new(seed);
    for start in (0..keys).step_by(500) {
        let (mut batch, mut count) = (Vec::new(), 0);
        let mut add = |words: &[String]| {
            batch.extend(encode(words));
            count += 1;
        };
        add(&["SELECT".into(), (start / 500 % 3).to_string()]);
        for n in start..keys.min(start + 500) {
            add(&command(&mut prng, kinds, n));
            if kinds.contains(&"XADD") && n % 100 == 0 {
                stream(&mut prng, n).iter().for_each(|words| add(words));
            }
            if prng.chance(1, 10) {
                let deadline = 4_000_000_000_000 + prng.below(1_000_000);
                add(&["PEXPIREAT".into(), format!("key:{n}"), deadline.to_string()]);
            }
        }
        for reply in client.batch(&batch, count).expect("replies") {
            assert!(!reply.is_error(), "{reply}");
        }
    }
    client.ok("SELECT 0");
}

/// The types that the server under test has, as the commands that make them.
fn kinds(client: &mut Client) -> Vec<&'static str> {
    let all = ["SET", "HSET", "RPUSH", "SADD", "ZADD", "XADD"];
    all.into_iter().filter(|name| has(client, name)).collect()
}

fn digest(client: &mut Client) -> String {
    // Over a million keys, on a busy machine.
    client.patience(std::time::Duration::from_secs(120));
    client.line("DEBUG DIGEST").text()
}

/// A redis-server, filled, and what is in it.
fn filled_redis(launch: &Launch, kinds: &[&str], keys: u64) -> (Server, Client, String) {
    let server = launch.start();
    let mut client = server.client();
    fill(&mut client, kinds, keys, 21);
    let digest = digest(&mut client);
    (server, client, digest)
}

/// Which types there are, asked of a server that is then gone.
fn kinds_here() -> Vec<&'static str> {
    let launch = Launch::basalt().volatile().shards(1);
    let server = launch.start();
    kinds(&mut server.client())
}

#[test]
fn values_go_to_redis_and_back() {
    let Some(redis) = Launch::redis() else { return };
    let redis = redis.volatile();
    let (theirs, launch) = (redis.start(), Launch::basalt().logged("everysec").shards(2));
    let ours = launch.start();
    let (mut there, mut here) = (theirs.client(), ours.client());
    let kinds = kinds(&mut here);
    let mut prng = Prng::new(31);
    for n in 0..1000 {
        let words = command(&mut prng, &kinds, n);
        let key = words[1].as_str();
        assert!(!there.try_call(&words).expect("a reply").is_error());
        let value = |client: &mut Client| client.call(&["DEBUG", "DIGEST-VALUE", key]);
        let digest = value(&mut there);
        let dumped = |client: &mut Client| match client.call(&["DUMP", key]) {
            Reply::Bulk(bytes) => bytes,
            other => panic!("{other}"),
        };
        let restore = |client: &mut Client, payload: &[u8], ttl: &str| {
            let words = [b"RESTORE", key.as_bytes(), ttl.as_bytes(), payload, b"REPLACE"];
            client.try_call(&words).expect("a reply")
        };
        let payload = dumped(&mut there);
        assert_eq!(restore(&mut here, &payload, "0").text(), "OK", "{words:?}");
        assert_eq!(value(&mut here), digest, "{words:?}");
        let encoding = |client: &mut Client| client.call(&["OBJECT", "ENCODING", key]);
        let encodings = (encoding(&mut here), encoding(&mut there));
        let payload = dumped(&mut here);
        assert_eq!(restore(&mut there, &payload, "100000").text(), "OK", "{words:?}");
        assert_eq!(there.call(&["PERSIST", key]).int(), 1);
        assert_eq!(value(&mut there), digest, "{words:?}");
        assert_eq!(encoding(&mut there), encodings.1, "{words:?}");
    }
    // What was restored is in the log.
    let digest = digest(&mut here);
    drop((here, there));
    let mut ours = ours;
    ours.kill();
    let ours = launch.start();
    assert_eq!(self::digest(&mut ours.client()), digest);
}

#[test]
fn a_dump_of_redis_is_imported_and_exported() {
    let (Some(ours), Some(redis)) = (ours(), Launch::redis()) else { return };
    let redis = redis.with(&["--appendonly", "no", "--save", ""]);
    let (server, mut client, digest) = filled_redis(&redis, &kinds_here(), size());
    client.ok("SAVE");
    server.stop();
    for (shards, sets) in [("3", "yes"), ("1", "no")] {
        let launch = Launch::basalt().with(&["--shards", shards, "--appendonly", sets]);
        fs::copy(redis.dir().join("dump.rdb"), launch.dir().join("dump.rdb")).expect("a copy");
        let mut server = launch.start();
        let mut client = server.client();
        let log = server.log();
        assert!(log.contains("Importing from Redis: dump.rdb"), "{log}");
        assert_eq!(self::digest(&mut client), digest, "{log}");
        client.ok("SET after import");
        client.ok("DEL after");
        server.kill();
        // The second start does not need Redis' file.
        fs::remove_file(launch.dir().join("dump.rdb")).expect("a file");
        let mut server = launch.start();
        assert_eq!(self::digest(&mut server.client()), digest, "{}", server.log());
        server.kill();
        exported(launch.dir(), &launch.home().join("out"), &digest);
    }
    drop(ours);
}

/// Exports a data directory; Redis' check and Redis itself take it.
fn exported(dir: &Path, to: &Path, digest: &str) {
    let check = env!("CARGO_BIN_EXE_basalt-check");
    let output = Command::new(check).arg("export").arg(dir).arg("--redis").arg(to).output();
    let output = output.expect("basalt-check runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    if let Some(check) = peers::need("redis-check-rdb") {
        let output = Command::new(check).arg(to.join("dump.rdb")).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("RDB looks OK"), "{said}");
    }
    let Some(redis) = Launch::redis() else { return };
    let redis = redis.in_dir(to).with(&["--appendonly", "no", "--save", ""]);
    let server = redis.start();
    assert_eq!(self::digest(&mut server.client()), digest);
    server.stop();
}

#[test]
fn a_log_of_redis_is_imported() {
    let (Some(ours), Some(redis)) = (ours(), Launch::redis()) else { return };
    let kinds = kinds_here();
    for preamble in ["yes", "no"] {
        let settings = ["--appendonly", "yes", "--aof-use-rdb-preamble", preamble];
        let more = ["--aof-timestamp-enabled", "yes", "--save", "", "--appendfsync", "no"];
        let Some(redis) = Launch::redis() else { return };
        let redis = redis.with(&settings).with(&more);
        let (server, mut client, _) = filled_redis(&redis, &kinds, size() / 5);
        client.ok("BGREWRITEAOF");
        while client.info("persistence")["aof_rewrite_in_progress"] != "0" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // Commands over keys of several shards, and transactions.
        fill(&mut client, &["SET"], 1000, 5);
        client.ok("SET one 1");
        client.ok("RENAME one two");
        client.ok("MSET a 1 b 2 c 3 d 4");
        client.ok("SWAPDB 1 2");
        for line in ["MULTI", "INCR a", "RENAME b e", "EXEC"] {
            client.ok(line);
        }
        let digest = digest(&mut client);
        server.stop();
        let launch = Launch::basalt().with(&["--shards", "3", "--appendonly", "yes"]);
        let (from, to) = (redis.dir().join("appendonlydir"), launch.dir().join("appendonlydir"));
        copy(&from, &to);
        let mut server = launch.start();
        assert_eq!(self::digest(&mut server.client()), digest, "{}", server.log());
        server.kill();
        let mut server = launch.start();
        assert_eq!(self::digest(&mut server.client()), digest, "{}", server.log());
        server.kill();
        torn(&to);
    }
    drop((ours, redis));
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}

/// A log whose last file ends within a command, or within a transaction.
fn torn(from: &Path) {
    let half: [&[u8]; 2] = [
        b"*3\r\n$3\r\nSET\r\n$4\r\nlost\r\n$1\r\n",
        b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$4\r\nlost\r\n$1\r\n1\r\n",
    ];
    for tail in half {
        let launch = Launch::basalt().with(&["--shards", "2"]);
        let to = launch.dir().join("appendonlydir");
        copy(from, &to);
        let last = fs::read_dir(&to).expect("files").map(|entry| entry.expect("an entry").path());
        let last = last.filter(|path| path.to_string_lossy().ends_with(".incr.aof")).max();
        let last = last.expect("a last file");
        let whole = fs::read(&last).expect("its bytes");
        fs::write(&last, [&whole, tail].concat()).expect("a torn file");
        let refused = launch.try_start(&["--aof-load-truncated", "no"]).map(drop);
        let why = refused.expect_err("it refuses");
        assert!(why.contains("does not end") && why.contains(&whole.len().to_string()), "{why}");
        let mut server = launch.start();
        assert!(server.log().contains("dropped"), "{}", server.log());
        assert!(server.client().line("GET lost").is_null());
        server.kill();
    }
}

#[test]
fn what_cannot_be_imported_is_refused() {
    let Some(ours) = ours() else { return };
    let cases: &[(&str, &[u8], &str)] = &[
        ("dump.rdb", b"REDIS0010\xf5\x01x\xff\0\0\0\0\0\0\0\0", "Missing library metadata"),
        (
            "dump.rdb",
            b"REDIS0010\xf5\x11#!lua name=a\nbad\n\xff\0\0\0\0\0\0\0\0",
            "Error compiling function",
        ),
        ("dump.rdb", b"REDIS0010\x07\x01k", "a value of a module"),
        ("dump.rdb", b"REDIS0010\x00\x01k\x05va", "expected more"),
        ("dump.rdb", b"REDIS0099\xff", "a later version of the format"),
        ("dump.rdb", b"nonsense in a file", "expected a file in Redis' format"),
        ("dump.rdb", b"REDIS0010\xfe\x23\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0", "database 35"),
        ("appendonly.aof", b"*2\r\n$8\r\nNOSUCHIT\r\n$1\r\na\r\n", "unknown command"),
        ("appendonly.aof", b"SET a b\r\n", "neither a log nor a dump"),
    ];
    for (name, bytes, why) in cases {
        let launch = Launch::basalt().with(&["--shards", "2"]);
        fs::write(launch.dir().join(name), bytes).expect("a file");
        let refusal = launch.try_start(&[]).map(drop).expect_err(why);
        assert!(refusal.contains("nothing is imported") && refusal.contains(why), "{refusal}");
        assert_eq!(fs::read(launch.dir().join(name)).expect("it is still there"), *bytes);
        assert!(!launch.dir().join("MANIFEST").exists(), "{why}");
    }
    drop(ours);
}

/// The process dies while it imports, or between that and its first manifest.
#[test]
fn an_import_that_dies_begins_anew() {
    let (Some(ours), Some(redis)) = (ours(), Launch::redis()) else { return };
    let redis = redis.with(&["--appendonly", "no", "--save", ""]);
    let (server, mut client, digest) = filled_redis(&redis, &kinds_here(), 20_000);
    client.ok("SAVE");
    server.stop();
    let mut prng = Prng::new(3);
    for _ in 0..6 {
        let launch = Launch::basalt().with(&["--shards", "2"]);
        fs::copy(redis.dir().join("dump.rdb"), launch.dir().join("dump.rdb")).expect("a copy");
        let mut server = launch.spawn(&[]);
        std::thread::sleep(std::time::Duration::from_millis(20 + prng.below(250)));
        server.kill();
        let mut server = launch.start();
        assert_eq!(self::digest(&mut server.client()), digest, "{}", server.log());
        server.kill();
    }
    // The very moment: files of ours, the mark, and no manifest.
    let launch = Launch::basalt().with(&["--shards", "2"]);
    fs::copy(redis.dir().join("dump.rdb"), launch.dir().join("dump.rdb")).expect("a copy");
    launch.start().kill();
    fs::remove_file(launch.dir().join("MANIFEST")).expect("a manifest");
    let refusal = launch.try_start(&[]).map(drop).expect_err("a lost manifest");
    assert!(refusal.contains("MANIFEST"), "{refusal}");
    fs::write(launch.dir().join("IMPORT"), b"").expect("a mark");
    let mut server = launch.start();
    assert_eq!(self::digest(&mut server.client()), digest, "{}", server.log());
    assert!(!launch.dir().join("IMPORT").exists());
    server.kill();
    drop(ours);
}
