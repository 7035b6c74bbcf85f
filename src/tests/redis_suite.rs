//! Redis' own test suite against the server: its source is fetched at test time, never kept here.
//!
//! Runs where `BASALT_REQUIRE_PEERS=1` or `BASALT_REDIS_SUITE=1`; `BASALT_REDIS_SOURCE` names a
//! source tree of Redis 7.0 that is there already. What is left out is in
//! `redis_suite_skipped.txt`, each with its reason.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::peers;
use harness::server::Launch;

/// The units, and how many of their tests must pass: an error in the list of skips is not to empty
/// one unnoticed. unit/replybufsize is not among them: it watches how Redis resizes the buffer of
/// replies that it keeps for each client, and here a client has none between its batches.
/// Nor is unit/tracking: its tests expect that a client hears of its own changes before the reply.
const UNITS: &[(&str, usize)] = &[
    ("unit/type/string", 69),
    ("unit/type/incr", 23),
    ("unit/type/hash", 70),
    ("unit/type/stream", 70),
    ("unit/type/stream-cgroups", 44),
    ("unit/type/zset", 260),
    ("unit/geo", 20),
    ("unit/type/set", 97),
    ("unit/sort", 45),
    ("unit/dump", 11),
    ("unit/bitops", 44),
    ("unit/bitfield", 16),
    ("unit/hyperloglog", 20),
    ("unit/type/list", 229),
    ("unit/type/list-3", 9),
    ("unit/pubsub", 26),
    ("unit/keyspace", 51),
    ("unit/expire", 57),
    ("unit/scan", 7),
    ("unit/multi", 40),
    ("unit/protocol", 24),
    ("unit/info-command", 2),
    ("unit/other", 18),
    ("unit/introspection", 21),
    ("unit/introspection-2", 35),
    ("unit/slowlog", 12),
    ("unit/quit", 2),
    ("unit/latency-monitor", 12),
    ("unit/scripting", 256),
    ("unit/functions", 94),
    ("unit/acl", 72),
    ("unit/acl-v2", 29),
    ("unit/auth", 9),
];

/// Tests that take long, and those that are about replication.
const TAGS: &str = "-slow -needs:repl";

fn ran(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{command:?}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {text}")) }
}

/// The machine's own package sources, asked for source packages.
fn source_lists(into: &Path) -> Result<(), String> {
    let mut files: Vec<PathBuf> = vec!["/etc/apt/sources.list".into()];
    let parts = fs::read_dir("/etc/apt/sources.list.d").into_iter().flatten().flatten();
    files.extend(parts.map(|entry| entry.path()));
    for (n, file) in files.iter().enumerate() {
        let Ok(text) = fs::read_to_string(file) else { continue };
        let line = |line: &str| match line.strip_prefix("deb ") {
            Some(rest) => format!("deb-src {rest}\n"),
            None if line.starts_with("Types:") => "Types: deb-src\n".to_owned(),
            None => format!("{line}\n"),
        };
        let text: String = text.lines().map(line).collect();
        let kind = file.extension().map_or("list".into(), |end| end.to_string_lossy());
        fs::write(into.join(format!("{n}.{kind}")), text).map_err(|e| e.to_string())?;
    }
    Ok(())
}

/// Downloads and unpacks the source package with apt, without touching apt's own state.
fn fetch(into: &Path) -> Result<(), String> {
    let (lists, parts) = (into.join("lists"), into.join("parts"));
    for dir in [&lists.join("partial"), &parts] {
        fs::create_dir_all(dir).map_err(|e| e.to_string())?;
    }
    source_lists(&parts)?;
    let apt = |words: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.current_dir(into).args(["-o", "Dir::Etc::sourcelist=/dev/null"]);
        apt.arg("-o").arg(format!("Dir::Etc::sourceparts={}", parts.display()));
        apt.arg("-o").arg(format!("Dir::State::lists={}", lists.display()));
        apt.args(["-o", "APT::Sandbox::User=root"]).args(words);
        ran(&mut apt)
    };
    apt(&["update", "-qq"])?;
    apt(&["source", "-qq", "--download-only", "redis"])?;
    let files = fs::read_dir(into).map_err(|e| e.to_string())?.flatten();
    let mut names = files.map(|entry| entry.path());
    let archive = names.find(|path| path.to_string_lossy().contains(".orig.tar"));
    let archive = archive.ok_or("no source archive came")?;
    let tree = into.join("tree");
    fs::create_dir_all(&tree).map_err(|e| e.to_string())?;
    ran(Command::new("tar").arg("xf").arg(archive).arg("--strip-components=1").current_dir(tree))
}

/// The source tree, fetched once for each target directory.
fn source() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("BASALT_REDIS_SOURCE") {
        return Some(path.into());
    }
    let set = |name| std::env::var(name).as_deref() == Ok("1");
    if !set("BASALT_REQUIRE_PEERS") && !set("BASALT_REDIS_SUITE") {
        peers::say("skipped: Redis' own suite runs with BASALT_REDIS_SUITE=1");
        return None;
    }
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("redis-suite");
    let tree = home.join("tree");
    if !tree.join("tests/test_helper.tcl").is_file() {
        let _ = fs::remove_dir_all(&home);
        if let Err(why) =
            fs::create_dir_all(&home).map_err(|e| e.to_string()).and_then(|()| fetch(&home))
        {
            peers::skip(&format!("the source of Redis cannot be fetched: {why}"));
            return None;
        }
    }
    let version = fs::read_to_string(tree.join("src/version.h")).unwrap_or_default();
    if !version.contains("\"7.0.") {
        peers::say(&format!("skipped: the suite is of another version: {}", version.trim()));
        return None;
    }
    Some(tree)
}

/// The names of tests to leave out of a unit.
fn skipped(unit: &str) -> String {
    let text = include_str!("redis_suite_skipped.txt");
    let mut names = String::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts: Vec<&str> = line.split(" | ").collect();
        let [of, name, reason] = parts[..] else { panic!("bad line: {line}") };
        assert!(reason.len() > 5, "no reason: {line}");
        assert!(UNITS.iter().any(|(name, _)| *name == of), "no such unit: {line}");
        if of == unit {
            names.push_str(name);
            names.push('\n');
        }
    }
    names
}

fn plain(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut out = String::new();
    let mut rest: &str = &text;
    // Colours.
    while let Some((before, after)) = rest.split_once("\x1b[") {
        out.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    out + rest
}

/// Units that Redis does not run against a server that is there already, though most of their tests
/// need no other: up to the words at which those begin that do.
const OWN_SERVER: &[(&str, &str)] = &[
    ("unit/acl", "set server_path [tmpdir \"server.acl\"]"),
    ("unit/acl-v2", "set server_path [tmpdir \"selectors.acl\"]"),
    ("unit/auth", "    start_server {tags {\"masterauth\"}} {"),
];

/// A copy of such a unit that runs here: without the tag that forbids it, without MIGRATE,
/// and with a connection that is made when the password is there. The unit to run.
fn for_this_server(tree: &Path, name: &str) -> String {
    let Some((_, end)) = OWN_SERVER.iter().find(|(unit, _)| *unit == name) else {
        return name.to_owned();
    };
    let unit = fs::read_to_string(tree.join(format!("tests/{name}.tcl"))).expect("the unit");
    let (unit, _) = unit.split_once(end).expect("the unit has changed");
    let locked = "overrides {requirepass foobar}} {\n";
    let later = "overrides {requirepass foobar}} {\n    set ::singledb 1\n    reconnect\n";
    let unit = unit.replace(" external:skip", "").replace(locked, later);
    let there = unit.lines().filter(|line| !line.contains("MIGRATE"));
    let mut text: String = there.map(|line| line.to_owned() + "\n").collect();
    if end.starts_with(' ') {
        text.push_str("}\n");
    }
    let copy = format!("{name}-here");
    fs::write(tree.join(format!("tests/{copy}.tcl")), text).expect("a copy");
    copy
}

/// What to look at in the output of a unit that failed: from its first error on, or its end, which
/// is the test before the one that hung.
fn shown(text: &str) -> String {
    let error = text.find("[err]").or_else(|| text.find("[exception]"));
    match error {
        Some(start) => text[start..].chars().take(1500).collect(),
        None => text.chars().skip(text.chars().count().saturating_sub(1500)).collect(),
    }
}

/// Runs one unit on a server of its own; what went wrong.
fn unit(tree: &Path, name: &str, least: usize) -> Result<usize, String> {
    // Redis 7.0 does not pack sets of text, and its tests say so.
    let unpacked = ["--set-max-listpack-entries", "0"];
    let launch = Launch::basalt().logged("everysec").shards(2).with(&unpacked);
    let server = launch.start();
    let skips = launch.home().join("skips");
    fs::write(&skips, skipped(name)).expect("a file");
    let mut suite = Command::new("timeout");
    let single = for_this_server(tree, name);
    suite.args(["600", "tclsh", "tests/test_helper.tcl", "--host", "127.0.0.1", "--port"]);
    suite.arg(server.port().to_string());
    suite.args(["--single", &single, "--tags", TAGS, "--skipfile"]);
    suite.arg(&skips).current_dir(tree).stdin(Stdio::null());
    let output = suite.output().expect("tclsh");
    let text = plain(&output.stdout);
    let passed = text.lines().filter(|line| line.starts_with("[ok]")).count();
    let errors = text.lines().filter(|line| line.starts_with("[err]")).count();
    if !output.status.success() || errors > 0 {
        let shown = shown(&text);
        return Err(format!("{name}: {passed} passed, {errors} failed:\n{shown}"));
    }
    if passed < least {
        return Err(format!("{name}: only {passed} tests ran, {least} are expected"));
    }
    Ok(passed)
}

#[test]
fn redis_own_tests_pass() {
    let Some(tree) = source() else { return };
    if peers::need("tclsh").is_none() {
        return;
    }
    let mut passed = 0;
    let mut failed = Vec::new();
    for &(name, least) in UNITS {
        match unit(&tree, name, least) {
            Ok(count) => passed += count,
            Err(why) => failed.push(why),
        }
    }
    peers::say(&format!("Redis' own suite: {passed} tests passed"));
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
