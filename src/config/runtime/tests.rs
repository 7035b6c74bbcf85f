//! Tests of CONFIG GET and SET. The error texts are those that redis-server 7.0.15 gives.

use super::*;
use crate::config::kind::Kind;
use crate::testing::peer::Peer;

fn get(config: &Config, patterns: &[&str]) -> Vec<(&'static str, String)> {
    config.get(patterns.iter().map(|pattern| pattern.as_bytes()))
}

fn set(config: &Config, words: &[&str]) -> Result<Changed, String> {
    let (pairs, []) = words.as_chunks::<2>() else { panic!("pairs") };
    let pairs = pairs.iter().map(|[name, value]| (name.as_bytes(), value.as_bytes()));
    config.set(pairs).map_err(|refused| refused.to_string())
}

#[test]
fn get_takes_names_and_patterns() {
    let config = Config::default();
    let value = |name: &'static str, value: &str| (name, value.to_owned());
    assert_eq!(get(&config, &["PORT"]), [value("port", "6379")]);
    assert_eq!(get(&config, &["nosuch"]), []);
    assert_eq!(
        get(&config, &["save", "appendonly", "save", "sav?"]),
        [value("appendonly", "yes"), value("save", "3600 1 300 100 60 10000")]
    );
    assert_eq!(
        get(&config, &["hash-max-*-value"]),
        [value("hash-max-listpack-value", "64"), value("hash-max-ziplist-value", "64")]
    );
    let limits = "normal 268435456 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60";
    assert_eq!(
        get(&config, &["client-output-buffer-limit"]),
        [value("client-output-buffer-limit", limits)]
    );
    assert_eq!(get(&config, &["latency-tracking-info*"])[0].1, "50 99 99.9");
    let all = get(&config, &["*"]);
    let names = rows().count() + rows().filter(|row| row.alias.is_some()).count();
    assert_eq!(all.len(), names - HIDDEN.len());
    for name in HIDDEN {
        assert_eq!(get(&config, &[name]).len(), 1);
        assert!(get(&config, &["*-*-*"]).iter().all(|(shown, _)| shown != name));
    }
}

#[test]
fn what_get_tells_can_be_set_again() {
    let config = Config::default();
    for (name, value) in get(&config, &["*"]) {
        match set(&config, &[name, &value]) {
            Ok(changed) => assert_eq!((changed.config, changed.names.len()), (config.clone(), 0)),
            Err(text) => assert!(text.ends_with("can't set immutable config"), "{name}: {text}"),
        }
    }
}

#[test]
fn set_changes_all_or_nothing() {
    let config = Config::default();
    let changed = set(&config, &["MaxClients", "7", "save", "", "timeout", "0"]).unwrap();
    assert_eq!((changed.config.maxclients, changed.config.save.len()), (7, 0));
    assert_eq!(changed.names, ["maxclients", "save"]);
    assert_eq!(changed.notes, []);
    let changed = set(&config, &["hash-max-ziplist-entries", "9"]).unwrap();
    assert_eq!(changed.config.hash_max_listpack_entries, 9);
    let changed = set(&config, &["client-output-buffer-limit", "pubsub 1 2 3"]).unwrap();
    assert_eq!(changed.config.client_output_buffer_limit.pubsub.soft_seconds, 3);
    assert_eq!(changed.config.client_output_buffer_limit.normal.hard, 256 << 20);
    let policy = ["maxmemory-policy", "allkeys-lru"];
    let changed =
        set(&config, &[&["maxmemory", "100mb", "hz", "20"], &policy[..]].concat()).unwrap();
    assert_eq!(changed.config.maxmemory, 100 << 20);
    assert_eq!(changed.notes.len(), 0);
    assert_eq!(get(&changed.config, &["hz"])[0].1, "20");
    assert!(set(&config, &["maxclients", "7", "timeout", "x"]).is_err());
}

#[test]
fn refusals_are_worded_as_in_redis() {
    let config = Config::default();
    assert_eq!(
        set(&config, &["port", "1", "foo", "bar"]).unwrap_err(),
        "ERR CONFIG SET failed (possibly related to argument 'port') - can't set immutable config"
    );
    assert_eq!(
        set(&config, &["timeout", "1", "foo", "bar"]).unwrap_err(),
        "ERR Unknown option or number of arguments for CONFIG SET - 'foo'"
    );
    let cases: &[(&[&str], &str)] = &[
        (
            &["maxmemory-policy", "xx"],
            "argument(s) must be one of the following: volatile-lru, volatile-lfu, \
             volatile-random, volatile-ttl, allkeys-lru, allkeys-lfu, allkeys-random, noeviction",
        ),
        (&["maxclients", "abc"], "argument couldn't be parsed into an integer"),
        (&["databases", "5"], "can't set immutable config"),
        (&["maxmemory", "1gb", "maxmemory", "2gb"], "duplicate parameter"),
        (&["appendonly", "xx"], "argument must be 'yes' or 'no'"),
        (&["appendfsync", ""], "argument(s) must be one of the following: everysec, always, no"),
        (&["save", "a b"], "Invalid save parameters"),
        (&["timeout", "-1"], "argument must be between 0 and 2147483647 inclusive"),
        (&["maxmemory", "-1"], "argument must be a memory value"),
        (&["notify-keyspace-events", "Q"], "Invalid event class character. Use 'Ag$lshzxeKEtmdn'."),
        (
            &["client-output-buffer-limit", "wrong 1 2 3"],
            "Invalid client class specified in buffer limit configuration.",
        ),
        (
            &["client-output-buffer-limit", "normal"],
            "Wrong number of arguments in buffer limit configuration.",
        ),
        (
            &["client-output-buffer-limit", "normal a 1 1"],
            "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
        ),
        (
            &["latency-tracking-info-percentiles", "abc"],
            "Invalid latency-tracking-info-percentiles parameters",
        ),
        (
            &["latency-tracking-info-percentiles", "101"],
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        ),
        (&["maxmemory-clients", "101%"], "percentage argument must be less or equal to 100"),
        (&["maxmemory-clients", "abc"], "argument must be a memory or percent value"),
        (
            &["proto-max-bulk-len", "1"],
            "argument must be between 1048576 and 9223372036854775807 inclusive",
        ),
        (
            &["slowlog-log-slower-than", "-5"],
            "argument must be between -1 and 9223372036854775807 inclusive",
        ),
        (&["zset-max-listpack-entries", "1kb"], "argument couldn't be parsed into an integer"),
        (
            &["shutdown-on-sigint", "foo"],
            "argument(s) must be one of the following: default, save, nosave, now, force",
        ),
    ];
    for (words, why) in cases {
        let expected =
            format!("ERR CONFIG SET failed (possibly related to argument '{}') - {why}", words[0]);
        assert_eq!(set(&config, words).unwrap_err(), expected);
    }
}

#[test]
fn what_is_missing_cannot_be_switched_on() {
    let config = Config::default();
    for (name, off, on) in [("min-replicas-to-write", "0", "1"), ("tls-port", "0", "6380")] {
        assert!(set(&config, &[name, off]).is_ok());
        assert!(set(&config, &[name, on]).unwrap_err().ends_with(" yet"), "{name}");
    }
}

/// Where our answer to CONFIG SET is meant to differ from that of Redis.
fn may_differ(row: &Setting, value: &str) -> bool {
    let refused_here = matches!(row.standing, Standing::Only(_));
    // Redis lets these be changed when enable-protected-configs says so; here they are fixed.
    let fixed_here = ["dir", "dbfilename", "bind", "port"];
    // Redis puts these in force at once, or checks more than their syntax.
    let checked =
        ["oom-score-adj", "proc-title-template", "activedefrag", "cluster-announce-hostname"];
    // An empty amount of memory, or more than fits 63 bits, is a mistake here and 0 or -1 there.
    let memory = matches!(row.kind, Kind::Memory(..) | Kind::Share);
    // `loglevel nothing` came with Redis 7.2.
    refused_here
        || row.name == "loglevel"
        || fixed_here.contains(&row.name)
        || checked.contains(&row.name)
        || row.name.starts_with("tls-")
        || (memory && ["", "99999999999999999999"].contains(&value))
}

#[test]
fn refusals_are_those_of_a_real_server() {
    let Some(mut peer) = Peer::start() else { return };
    let config = Config::default();
    let mut compared = 0;
    for row in rows() {
        for value in ["", "abc", "-1", "0", "1", "7", "9kb", "1 2", "YES", "99999999999999999999"] {
            let theirs = peer.call(&[b"CONFIG", b"SET", row.name.as_bytes(), value.as_bytes()]);
            let theirs = String::from_utf8_lossy(&theirs).trim_end().to_owned();
            if theirs.contains("Unknown option") || may_differ(row, value) {
                continue;
            }
            let ours = match set(&config, &[row.name, value]) {
                Ok(_) => "+OK".to_owned(),
                Err(text) => format!("-{text}"),
            };
            assert_eq!(ours, theirs, "CONFIG SET {} {value:?}", row.name);
            compared += 1;
        }
    }
    assert!(compared > 800, "only {compared} answers were compared");
}

#[test]
fn every_setting_of_a_real_server_is_known() {
    let Some(mut peer) = Peer::start() else { return };
    let reply = peer.call(&[b"CONFIG", b"GET", b"*"]);
    let text = String::from_utf8_lossy(&reply).into_owned();
    // Lines: `*n`, then length, name, length, value. No value of a fresh server holds a line end.
    let names: Vec<&str> = text.lines().skip(2).step_by(4).collect();
    assert!(names.len() > 150, "{names:?}");
    for name in names {
        assert!(find(name).is_some(), "{name} is not in the table");
    }
}
