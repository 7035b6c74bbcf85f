//! basalt-bench against real servers: a load, and a whole comparison in small.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::harness::peers;
use super::harness::server::Launch;

fn bench(words: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_basalt-bench")).args(words).output();
    let output = output.expect("basalt-bench runs");
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

fn benched(words: &[&str]) -> String {
    let (fine, text) = bench(words);
    assert!(fine, "basalt-bench {words:?}:\n{text}");
    text
}

/// The file of a directory whose name ends like this.
fn file(dir: &Path, end: &str) -> PathBuf {
    let entries = fs::read_dir(dir).expect("a directory");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let found = paths.into_iter().find(|path| path.to_string_lossy().ends_with(end));
    found.unwrap_or_else(|| panic!("no file ends with {end}"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_load_is_measured() {
    let launch = Launch::basalt().volatile();
    let server = launch.start();
    let port = server.port().to_string();
    let prefix = launch.home().join("run");
    let prefix = prefix.to_str().expect("a path");
    let data = ["run", "--port", &port, "--keys", "2000", "--wait", "sleep", "--seconds", "1"];
    let open = [&data[..], &["--fill", "--rate", "2000", "--poisson", "--out", prefix]].concat();
    let text = benched(&open);
    let requests: f64 = text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!((1700.0..2300.0).contains(&requests), "{text}");
    assert!(text.contains("0 unanswered, 0 nulls, 0 errors") && text.contains("server:"), "{text}");
    assert!(read(&launch.home().join("run.svg")).ends_with("</svg>\n"));
    assert!(read(&launch.home().join("run.json")).contains("\"p99.9\":"));
    let csv = read(&launch.home().join("run.csv"));
    let counts = csv.lines().skip(1).filter_map(|line| line.split(',').nth(2)?.parse::<f64>().ok());
    assert_eq!(counts.sum::<f64>(), requests);

    let zipf = ["--distribution", "zipf", "--mix", "hset=2,zadd,lpush,incr,get"];
    let closed =
        [&data[..], &["--closed", "--pipeline", "8", "--requests", "5000"], &zipf].concat();
    let text = benched(&closed);
    assert!(text.starts_with("5000 requests"), "{text}");
    // An error reply is an error of the whole.
    server.client().ok("SET hsh:000000000000 x");
    let (fine, text) = bench(&[&data[..], &["--mix", "hset", "--collections", "1"]].concat());
    assert!(!fine && text.contains("WRONGTYPE"), "{text}");
    let (fine, text) = bench(&["run", "--mix", "nope"]);
    assert!(!fine && text.contains("no command"), "{text}");
}

/// A tiny comparison in this directory, with so many seconds without a snapshot.
fn tiny<'a>(seconds: &'a str, dir: &'a str) -> Vec<&'a str> {
    let server = env!("CARGO_BIN_EXE_basalt-server");
    let data = ["snapshot", "--scale", "0.0005", "--rate", "1000", "--rounds", "1"];
    let times = ["--seconds", seconds, "--warm", "0.2", "--after", "0.2"];
    [&data[..], &times, &["--server", server, "--out", dir, "--work", dir]].concat()
}

#[test]
fn a_snapshot_is_compared() {
    let launch = Launch::basalt();
    let dir = launch.home().to_str().expect("a path");
    let mut words = tiny("0.5", dir);
    let peer = peers::find("redis-server").is_some();
    if !peer {
        words.push("--alone");
    }
    benched(&words);
    let home = launch.home();
    let page = read(&file(home, "-snapshot-small.md"));
    for row in ["| p99.9, us |", "| longest stall, ms |", "| snapshot, s |", "| start on it, s |"] {
        assert!(page.contains(row), "no {row} in:\n{page}");
    }
    for picture in ["-latency.svg", "-memory.svg", "-distribution.svg"] {
        let text = read(&file(home, picture));
        assert!(text.contains("<polyline") && !text.contains("NaN"), "{picture}");
        assert!(!peer || text.contains("redis"), "{picture}");
    }
    assert!(read(&file(home, "-snapshot-small.json")).contains("\"extra_memory_mib\":"));
    let csv = read(&file(home, "-snapshot-small.csv"));
    for server in ["basalt", "redis"].iter().take(1 + usize::from(peer)) {
        let figure = |name: &str| -> f64 {
            let start = format!("{server},1,with,\"{name}\",");
            let line = csv.lines().find_map(|line| line.strip_prefix(&start));
            line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("{name}:\n{csv}"))
        };
        assert!((0.01..20.0).contains(&figure("snapshot, s")), "{csv}");
        // 4000 keys and their values, compressed or not.
        assert!((0.05..2.0).contains(&figure("snapshot, MiB")), "{csv}");
        assert!(figure("p50, us") > 1.0 && figure("max, us") >= figure("p50, us"), "{csv}");
        assert!((0.001..20.0).contains(&figure("start on it, s")), "{csv}");
    }
    // Nothing is left behind.
    let left: Vec<_> = fs::read_dir(home).expect("a directory").flatten().collect();
    let left = left.iter().filter(|entry| entry.file_name() != "data");
    assert!(left.clone().all(|entry| entry.path().is_file()), "{left:?}");
}

#[test]
fn commands_are_compared_by_type() {
    if peers::need("redis-benchmark").is_none() {
        return;
    }
    let launch = Launch::basalt();
    let dir = launch.home().to_str().expect("a path");
    let server = env!("CARGO_BIN_EXE_basalt-server");
    let part = ["compare", "--part", "types", "--seconds", "0.2", "--rounds", "1", "--alone"];
    let text = benched(
        &[&part[..], &["--keys", "10000", "--server", server, "--out", dir, "--work", dir]]
            .concat(),
    );
    let page = read(&file(launch.home(), "-compare-types.md"));
    let rows = ["PING_INLINE", "SPOP", "ZPOPMIN", "LRANGE_600", "EVAL of an INCR"];
    for row in rows.iter().flat_map(|name| [1, 16, 50].map(|n| format!("| {name} P{n} |"))) {
        assert!(page.contains(&row), "no {row} in:\n{page}\n{text}");
    }
    assert!(!page.contains("is left out") && !page.contains("basalt, "), "{page}");
}

#[test]
fn elements_are_compared() {
    let launch = Launch::basalt();
    let dir = launch.home().to_str().expect("a path");
    let server = env!("CARGO_BIN_EXE_basalt-server");
    let part = ["compare", "--part", "memory,whole", "--scale", "0.01", "--rounds", "1", "--alone"];
    benched(&[&part[..], &["--server", server, "--out", dir, "--work", dir]].concat());
    let page = read(&file(launch.home(), "-compare.md"));
    for row in [
        "| key and 1024-byte value | bytes |",
        "| 10-byte element of a list of 100 | bytes |",
        "| 10-byte member of a sorted set of 10000 | bytes |",
        "| ZREMRANGEBYRANK 0 -1 of a sorted set | ns each |",
        "| HGETALL of a hash | ns each |",
        "| KEYS none | ns each |",
    ] {
        assert!(page.contains(row), "no {row} in:\n{page}");
    }
    let csv = read(&file(launch.home(), "-compare.csv"));
    let costs = csv.lines().filter_map(|line| line.strip_prefix("whole,")?.rsplit_once(','));
    assert_eq!(costs.clone().count(), 22, "{csv}");
    let (_, nanos) = costs.clone().find(|(what, _)| what.contains("HGETALL")).expect("a row");
    assert!((1.0..100_000.0).contains(&nanos.parse::<f64>().expect("a number")), "{csv}");
}

#[test]
fn waits_beside_a_large_value_are_measured() {
    let launch = Launch::basalt();
    let dir = launch.home().to_str().expect("a path");
    let server = env!("CARGO_BIN_EXE_basalt-server");
    let data = ["stalls", "--elements", "20000", "--rounds", "1", "--rate", "1000", "--alone"];
    let times = ["--seconds", "0.6", "--server", server, "--out", dir, "--work", dir];
    benched(&[&data[..], &times].concat());
    let page = read(&file(launch.home(), "-stalls.md"));
    for row in ["| nothing |", "| BGSAVE under HSET |", "| ZUNIONSTORE |", "| FLUSHALL |"] {
        assert!(page.contains(row), "no {row} in:\n{page}");
    }
    assert!(!page.contains("| - | - | - |"), "{page}");
    for kind in ["list", "set", "sorted-set", "stream", "hash"] {
        let picture = read(&file(launch.home(), &format!("-stalls-{kind}.svg")));
        assert!(picture.contains("RENAME") && !picture.contains("NaN"), "{kind}");
    }
    assert!(read(&file(launch.home(), "-stalls.json")).contains("\"figure\":\"done in, ms\""));
    let csv = read(&file(launch.home(), "-stalls.csv"));
    let waits = csv.lines().filter(|line| line.contains("\"longest wait, ms\",basalt,1,"));
    assert_eq!(waits.count(), 5 * 9, "{csv}");
}

#[test]
fn a_server_ends_with_the_comparison() {
    let launch = Launch::basalt();
    let dir = launch.home().to_str().expect("a path");
    for signal in [Signal::INT, Signal::KILL] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_basalt-bench"));
        command.args(tiny("30", dir)).arg("--alone");
        let stderr = fs::File::create(launch.home().join("stderr")).expect("a file");
        let mut bench = command.stderr(stderr).spawn().expect("basalt-bench");
        let children = format!("/proc/{0}/task/{0}/children", bench.id());
        let deadline = Instant::now() + Duration::from_secs(20);
        let server = loop {
            let text = fs::read_to_string(&children).unwrap_or_default();
            if let Some(server) = text.split_whitespace().next().and_then(|pid| pid.parse().ok()) {
                break Pid::from_raw(server).expect("a pid");
            }
            assert!(Instant::now() < deadline, "it starts no server");
            std::thread::sleep(Duration::from_millis(5));
        };
        std::thread::sleep(Duration::from_millis(300));
        let pid = Pid::from_raw(bench.id().cast_signed()).expect("a pid");
        kill_process(pid, signal).expect("a signal");
        assert!(!bench.wait().expect("its end").success());
        while test_kill_process(server).is_ok() {
            assert!(Instant::now() < deadline, "the server lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

#[test]
fn what_cannot_be_done_is_told() {
    let launch = Launch::basalt();
    let dir = launch.home().to_str().expect("a path");
    let tiny = tiny("0.5", dir);
    let used = launch.start();
    let port = used.port().to_string();
    let rows: &[(&[&str], &str)] = &[
        (&["--peer", "x=no-such-server --port {port} --dir {dir}"], "no-such-server"),
        (&["--peer", "x=false {port} {dir}"], "it ended at its start"),
        (&["--alone", "--port", &port], "cannot be used"),
        (&["--alone", "--server-cores", "0", "--generator-core", "0"], "--generator-core"),
    ];
    for (words, expected) in rows {
        let (fine, text) = bench(&[&tiny[..], words].concat());
        assert!(!fine && text.contains(expected), "{words:?}:\n{text}");
    }
}
