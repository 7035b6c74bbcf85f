//! Points in time through the real programs: a mistaken FLUSHALL under load is undone.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::admin::settled;
use super::harness::client::{Client, encode};
use super::harness::peers;
use super::harness::server::{Launch, Server};
use super::ours;

/// Runs basalt-check: whether it was content, and what it said.
pub fn check(words: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_basalt-check")).args(words).output();
    let output = output.expect("basalt-check runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// As `check`; it has to be content.
pub fn checked(words: &[&str]) -> String {
    let (fine, text) = check(words);
    assert!(fine, "basalt-check {words:?}:\n{text}");
    text
}

/// A path as an argument.
pub fn arg(path: &Path) -> &str {
    path.to_str().expect("a path in ASCII")
}

/// How far one writer is: it writes `w<writer>:0`, `w<writer>:1`, ..., each after the reply to the
/// one before.
#[derive(Debug, Default)]
pub struct Progress {
    /// Writes that were begun.
    pub sent: AtomicU64,
    /// Writes that were acknowledged.
    pub acknowledged: AtomicU64,
}

/// Writers that go on until they are stopped.
pub struct Load {
    /// What each has done.
    pub progress: Vec<Arc<Progress>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// So many writers of single keys, and one that fills pipelines.
    pub fn start(port: u16, writers: usize) -> Load {
        Load::paced(port, writers, Duration::ZERO, u64::MAX)
    }

    /// The same; each writer rests for so long after each write, and the pipelines write this many
    /// different keys, so that a long test ends with a dataset that can be looked at.
    pub fn paced(port: u16, writers: usize, rest: Duration, keys: u64) -> Load {
        let progress: Vec<_> = (0..writers).map(|_| Arc::<Progress>::default()).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (writer, progress) in progress.iter().cloned().enumerate() {
            let stop = Arc::clone(&stop);
            threads.push(thread::spawn(move || write(port, writer, rest, &progress, &stop)));
        }
        let stopped = Arc::clone(&stop);
        threads.push(thread::spawn(move || fill(port, keys, &stopped)));
        Load { progress, stop, threads }
    }

    /// Writes acknowledged by now, by writer.
    pub fn acknowledged(&self) -> Vec<u64> {
        self.progress.iter().map(|one| one.acknowledged.load(Ordering::SeqCst)).collect()
    }

    /// Writes begun by now, by writer.
    pub fn sent(&self) -> Vec<u64> {
        self.progress.iter().map(|one| one.sent.load(Ordering::SeqCst)).collect()
    }

    /// Ends the writers.
    pub fn stop(self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().expect("a writer");
        }
    }
}

fn write(port: u16, writer: usize, rest: Duration, progress: &Progress, stop: &AtomicBool) {
    let Ok(mut client) = Client::open(port) else { return };
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        progress.sent.store(n + 1, Ordering::SeqCst);
        // The end of the server ends the writer.
        match client.try_call(&["SET", &format!("w{writer}:{n}"), &n.to_string()]) {
            Ok(reply) => assert_eq!(reply.text(), "OK"),
            Err(_) => return,
        }
        n += 1;
        progress.acknowledged.store(n, Ordering::SeqCst);
        thread::sleep(rest);
    }
}

fn fill(port: u16, keys: u64, stop: &AtomicBool) {
    let Ok(mut client) = Client::open(port) else { return };
    let mut n = 0u64;
    while !stop.load(Ordering::Relaxed) {
        let batch: Vec<u8> = (n..n + 200)
            .flat_map(|n| encode(&["SET", &format!("fill:{}", n % keys), "value"]))
            .collect();
        if client.batch(&batch, 200).is_err() {
            return;
        }
        n += 200;
    }
}

/// How many keys each writer has. Of each it must be the first ones without a gap: each write was
/// sent after the one before had been acknowledged, and they lie on all shards.
pub fn prefixes(client: &mut Client, writers: usize) -> Vec<u64> {
    let mut found: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for key in client.line("KEYS w*").items() {
        let key = key.text();
        let (writer, n) = key[1..].split_once(':').expect("a key of a writer");
        let numbers = found.entry(writer.parse().expect("a writer")).or_default();
        numbers.push(n.parse().expect("a number"));
    }
    let mut all = Vec::new();
    for writer in 0..writers {
        let mut numbers = found.remove(&writer).unwrap_or_default();
        numbers.sort_unstable();
        let gap = numbers.iter().enumerate().find(|(i, n)| *i as u64 != **n);
        assert_eq!(gap, None, "writer {writer}: {} keys are not the first ones", numbers.len());
        all.push(numbers.len() as u64);
    }
    all
}

/// Is each of `counts` within the bounds?
pub fn assert_between(low: &[u64], counts: &[u64], high: &[u64]) {
    for ((low, count), high) in low.iter().zip(counts).zip(high) {
        assert!(low <= count && count <= high, "{low} <= {count} <= {high}");
    }
}

/// Starts a server of our own on another directory.
pub fn start_on(dir: &Path, shards: u32) -> (Launch, Server) {
    let launch = Launch::basalt().logged("everysec").shards(shards).in_dir(dir);
    let server = launch.start();
    (launch, server)
}

const WRITERS: usize = 6;

/// FLUSHALL in the middle of a load: what is restored is what was there before it, to the key. The
/// transaction that holds it tells how many keys that were.
fn flush_and_undo(shards: u32) {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(shards).with(&["--retain-generations", "3"]);
    let server = launch.start();
    let mut client = server.client();
    let (load, start) = (Load::start(server.port(), WRITERS), Instant::now());
    thread::sleep(Duration::from_millis(700));
    client.ok("BGREWRITEAOF");
    thread::sleep(Duration::from_millis(700));
    let rate = client.line("DBSIZE").int() as f64 / start.elapsed().as_secs_f64();
    let before = load.acknowledged();
    let flush = ["MULTI", "DBSIZE", "FLUSHALL", "EXEC"].map(|word| encode(&[word])).concat();
    let replies = client.batch(&flush, 4).expect("replies");
    let keys = replies[3].items()[0].int();
    let after = load.sent();
    thread::sleep(Duration::from_millis(500));
    // By the time somebody notices, checkpoints have come and gone. On a machine with other work
    // the first may still be running.
    settled(&mut client);
    client.ok("BGREWRITEAOF");
    settled(&mut client);
    thread::sleep(Duration::from_millis(300));
    let to = launch.home().join("restored");
    let said = checked(&["restore", arg(launch.dir()), "--before", "flushall", "--to", arg(&to)]);
    assert!(said.contains("before: flushall") || said.contains("before: FLUSHALL"), "{said}");
    load.stop();
    peers::say(&format!("FLUSHALL at {rate:.0} writes a second, {keys} keys restored"));
    drop(server);
    for shards in [shards, 2] {
        let (_launch, server) = start_on(&to, shards);
        let mut client = server.client();
        assert!(keys > 3_000, "void: {keys} keys");
        assert_eq!(client.line("DBSIZE").int(), keys);
        assert_between(&before, &prefixes(&mut client, WRITERS), &after);
        client.ok("SET and:it:goes on");
        assert_eq!(client.line("DEL and:it:goes").int(), 1);
        drop(client);
        server.stop();
    }
}

#[test]
fn a_mistaken_flushall_is_undone_to_the_key() {
    flush_and_undo(3);
}

#[test]
fn a_mistaken_flushall_on_one_shard_is_undone_to_the_key() {
    flush_and_undo(1);
}

/// A moment of the clock, within the log and in generations that were replaced.
#[test]
fn a_moment_is_restored() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(3).with(&["--retain-generations", "9"]);
    let server = launch.start();
    let mut client = server.client();
    let load = Load::start(server.port(), 3);
    let mut moments = Vec::new();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(350));
        let before = load.acknowledged();
        // An epoch is some 50 ms; where there is other work it has been over 120.
        thread::sleep(Duration::from_millis(400));
        let time = client.line("TIME").items();
        let millis = time[0].int() * 1000 + time[1].int() / 1000;
        thread::sleep(Duration::from_millis(10));
        moments.push((millis, before, load.sent()));
        assert_eq!(client.line("SAVE").text(), "OK");
    }
    load.stop();
    server.stop();
    for (n, (millis, before, after)) in moments.iter().enumerate() {
        let to = launch.home().join(format!("moment-{n}"));
        let (dir, time) = (arg(launch.dir()), millis.to_string());
        let said = checked(&["restore", dir, "--until", &time, "--to", arg(&to)]);
        let (_launch, server) = start_on(&to, 1 + n as u32 % 3);
        let counts = prefixes(&mut server.client(), 3);
        assert!(counts.iter().sum::<u64>() > 100, "void: {counts:?}, {said}");
        assert_between(before, &counts, after);
    }
    let (fine, said) =
        check(&["restore", arg(launch.dir()), "--until", "1000000000", "--to", "/tmp/never"]);
    assert!(!fine && said.contains("no generation reaches back that far"), "{said}");
    let to = launch.home().join("moment-0");
    let (fine, said) = check(&["restore", arg(launch.dir()), "--epoch", "5", "--to", arg(&to)]);
    assert!(!fine && said.contains("is not empty"), "{said}");
    let to = launch.home().join("none");
    let (fine, said) =
        check(&["restore", arg(launch.dir()), "--before", "FLUSHDB", "--to", arg(&to)]);
    assert!(!fine && said.contains("no such command"), "{said}");
}
