//! The programs that people bring: redis-cli, redis-benchmark, client libraries.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::harness::peers;
use super::harness::server::{Launch, Server};

/// Runs a program with this input; its output, which must come with exit code 0.
fn run(program: &Path, args: &[&str], input: &str) -> String {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("a process");
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("its output");
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{} {args:?}:\n{text}", program.display());
    text
}

fn server() -> (Launch, Server) {
    let launch = Launch::basalt().logged("everysec").shards(2);
    let server = launch.start();
    (launch, server)
}

#[test]
fn redis_cli_works() {
    let Some(cli) = peers::need("redis-cli") else { return };
    let (_launch, server) = server();
    let port = server.port().to_string();
    let cli = |args: &[&str], input: &str| run(&cli, &[&["-p", &port], args].concat(), input);
    assert_eq!(cli(&["PING"], "").trim(), "PONG");
    assert_eq!(cli(&["SET", "a key", "a value"], "").trim(), "OK");
    assert_eq!(cli(&["GET", "a key"], "").trim(), "a value");
    assert_eq!(cli(&["-3", "HSET", "h", "f", "1"], "").trim(), "1");
    assert!(cli(&["-3", "HGETALL", "h"], "").contains('f'));
    let keys = cli(&["--scan"], "");
    assert!(keys.contains("a key") && keys.contains('h'), "{keys}");
    let multi = cli(&[], "MULTI\nINCR n\nINCR n\nEXEC\nGET n\n");
    assert!(multi.contains("QUEUED") && multi.trim().ends_with('2'), "{multi}");
    let mass: String = (0..1000).map(|n| format!("SET mass:{n} {n}\r\n")).collect();
    let piped = cli(&["--pipe"], &mass);
    assert!(piped.contains("errors: 0, replies: 1000"), "{piped}");
    assert!(cli(&["INFO"], "").contains("redis_version:"));
    assert!(cli(&["--bigkeys"], "").contains("keys"));
    assert!(cli(&["-n", "3", "DBSIZE"], "").trim() == "0");
}

#[test]
fn redis_benchmark_works() {
    let Some(benchmark) = peers::need("redis-benchmark") else { return };
    let (_launch, server) = server();
    let port = server.port().to_string();
    let tests = "ping,set,get,incr,hset,mset";
    let rest = ["-n", "20000", "-r", "1000000", "-P", "16", "-q"];
    let text = run(&benchmark, &[&["-p", &port, "-t", tests], &rest[..]].concat(), "");
    for test in ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "HSET", "MSET"] {
        assert!(text.contains(test), "no {test} in:\n{text}");
    }
    assert!(!text.to_lowercase().contains("err"), "{text}");
}

/// A first conversation as client libraries have it, in Python.
const PYTHON: &str = r#"
import sys, redis
for protocol in (2, 3):
    r = redis.Redis(port=int(sys.argv[1]), protocol=protocol, decode_responses=True)
    r.flushall()
    assert r.ping() and r.set("a", 1) and r.get("a") == "1" and r.incr("a") == 2
    assert r.hset("h", mapping={"x": 1, "y": 2}) == 2 and r.hgetall("h") == {"x": "1", "y": "2"}
    with r.pipeline(transaction=True) as p:
        p.watch("a")
        value = int(p.get("a"))
        p.multi()
        p.set("a", value + 1)
        p.mset({"k%d" % n: n for n in range(50)})
        assert p.execute() == [True, True]
    assert sorted(r.scan_iter(match="k*", count=7)) == sorted("k%d" % n for n in range(50))
    assert r.mget("k1", "none") == ["1", None]
    assert r.expire("a", 100) and 0 < r.ttl("a") <= 100
    assert r.info("persistence")["loading"] == 0 and r.config_get("appendonly")
    assert r.client_list() and r.client_id() > 0 and r.command_count() > 50
    try:
        r.hget("a", "x")
        raise SystemExit("no error")
    except redis.ResponseError as e:
        assert str(e).startswith("WRONGTYPE"), e
print("fine", redis.__version__)
"#;

#[test]
fn redis_py_works() {
    let Some(python) = peers::find("python3") else {
        return peers::say("skipped: there is no python3");
    };
    let (launch, server) = server();
    let venv = launch.home().join("venv");
    let made = Command::new(python).args(["-m", "venv"]).arg(&venv).output();
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "-q", "redis"]).env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
    if !made.is_ok_and(|made| made.status.success())
        || !pip.output().is_ok_and(|pip| pip.status.success())
    {
        return peers::say("skipped: redis-py cannot be installed");
    }
    let script = launch.home().join("talk.py");
    std::fs::write(&script, PYTHON).expect("a file");
    let (script, port) = (script.to_str().expect("a path"), server.port().to_string());
    let text = run(&venv.join("bin/python"), &[script, &port], "");
    assert!(text.contains("fine"), "{text}");
}
