//! Tests of INFO.

use super::*;
use crate::base::ids::{Db, Lsn, ShardId};
use crate::observe::counters::{Outcome, Tracking};
use crate::observe::facts::{
    DbFacts, EndedFacts, LoadingFacts, LogFacts, LogState, Purpose, RunningFacts, ShardFacts,
};
use crate::testing::peer::Peer;

fn titles(names: &[&str]) -> Vec<String> {
    let text = info(&Facts::default(), Choice::of(names.iter().map(|name| name.as_bytes())));
    let titles = text.lines().filter_map(|line| line.strip_prefix("# "));
    titles.map(str::to_ascii_lowercase).collect()
}

#[test]
fn names_choose_sections() {
    let usual: Vec<&str> =
        SECTIONS.iter().filter(|s| s.usual == Usual::Shown).map(|s| s.name).collect();
    let all: Vec<&str> = SECTIONS.iter().map(|s| s.name).collect();
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &usual),
        (&["default"], &usual),
        (&["all"], &all),
        (&["EVERYTHING"], &all),
        (&["keyspace", "Server"], &["server", "keyspace"]),
        (&["cpu", "cpu"], &["cpu"]),
        (&["default", "commandstats", "latencystats"], &all),
        (&["nosuch"], &[]),
        (&["sentinel", "cluster"], &["cluster"]),
    ];
    for (names, expected) in cases {
        assert_eq!(titles(names), *expected, "{names:?}");
    }
}

#[test]
fn the_text_is_made_of_sections_of_fields() {
    let text = info(&Facts::default(), Choice::of([b"all".as_slice()]));
    assert!(text.starts_with("# Server\r\nredis_version:7.2.5\r\n"));
    assert!(!text.contains("\r\n\r\n\r\n"));
    let mut names = std::collections::BTreeSet::new();
    for line in text.split_terminator("\r\n") {
        assert!(!line.contains(['\r', '\n']), "{line:?}");
        if !line.is_empty() && !line.starts_with('#') {
            let (name, _) = line.split_once(':').unwrap();
            assert!(names.insert(name), "{name} appears twice");
        }
    }
}

#[test]
fn a_choice_tells_what_has_to_be_gathered() {
    let choice = Choice::of([b"Memory".as_slice()]);
    assert!(choice.has("memory") && !choice.has("server"));
}

/// The lines of one section.
fn section(facts: &Facts, name: &str) -> Vec<String> {
    let text = info(facts, Choice::of([name.as_bytes()]));
    text.lines().skip(1).map(str::to_owned).collect()
}

#[test]
fn persistence_has_the_fields_that_dashboards_read() {
    let mut facts = Facts::default();
    let idle = section(&facts, "persistence");
    for line in [
        "loading:0",
        "rdb_bgsave_in_progress:0",
        "rdb_last_bgsave_status:ok",
        "rdb_last_bgsave_time_sec:-1",
        "rdb_current_bgsave_time_sec:-1",
        "aof_enabled:0",
        "aof_rewrite_in_progress:0",
        "aof_last_write_status:ok",
    ] {
        assert!(idle.contains(&line.to_owned()), "{line}");
    }
    assert!(!idle.iter().any(|line| line.starts_with("aof_current_size")));

    facts.persistence.running =
        Some(RunningFacts { purpose: Purpose::Save, seconds: 3, keys_done: 1, keys_total: 4 });
    facts.persistence.last_save = Some(EndedFacts { seconds: 7, good: false });
    facts.persistence.last_rewrite = Some(EndedFacts { seconds: 8, good: true });
    facts.persistence.log = Some(LogFacts { current_size: 99, ..LogFacts::default() });
    facts.persistence.log_failed = true;
    facts.persistence.rewrite_scheduled = true;
    facts.persistence.loading =
        Some(LoadingFacts { start_second: 5, total_bytes: 300, loaded_bytes: 100, seconds: 10 });
    let busy = section(&facts, "persistence");
    for line in [
        "loading:1",
        "current_fork_perc:25.00",
        "current_save_keys_total:4",
        "rdb_bgsave_in_progress:1",
        "rdb_current_bgsave_time_sec:3",
        "rdb_last_bgsave_status:err",
        "rdb_last_bgsave_time_sec:7",
        "aof_enabled:1",
        "aof_rewrite_in_progress:0",
        "aof_rewrite_scheduled:1",
        "aof_last_rewrite_time_sec:8",
        "aof_current_rewrite_time_sec:-1",
        "aof_last_bgrewrite_status:ok",
        "aof_last_write_status:err",
        "aof_current_size:99",
        "loading_loaded_perc:33.33",
        "loading_eta_seconds:20",
        "snapshot_progress_perc:25.00",
    ] {
        assert!(busy.contains(&line.to_owned()), "{line}\n{busy:#?}");
    }
}

#[test]
fn commands_errors_and_latencies() {
    let mut facts = Facts { percentiles: vec![50.0, 99.9], ..Facts::default() };
    facts.counters.ran("set", 1, 2_000, Outcome::Done, Tracking::On);
    facts.counters.ran("config|get", 1, 1_000, Outcome::Done, Tracking::Off);
    facts.counters.ran("config|get", 1, 2_000, Outcome::Failed, Tracking::Off);
    facts.counters.rejected("config|get");
    facts.counters.error("WRONGTYPE x");
    assert_eq!(
        section(&facts, "commandstats"),
        [
            "cmdstat_config|get:calls=2,usec=3,usec_per_call=1.50,rejected_calls=1,failed_calls=1",
            "cmdstat_set:calls=1,usec=2,usec_per_call=2.00,rejected_calls=0,failed_calls=0",
        ]
    );
    assert_eq!(section(&facts, "errorstats"), ["errorstat_WRONGTYPE:count=1"]);
    let latencies = section(&facts, "latencystats");
    assert_eq!(latencies.len(), 1);
    assert!(latencies[0].starts_with("latency_percentiles_usec_set:p50=2.0"), "{latencies:?}");
    facts.percentiles.clear();
    assert_eq!(section(&facts, "latencystats"), [""; 0]);
}

#[test]
fn shards_and_keyspace() {
    let good = ShardFacts { keys: 5, log: LogState::Good, synced: Lsn(3), ..ShardFacts::default() };
    let why = "fsync: I/O\nerror".to_owned();
    let bad = ShardFacts { shard: ShardId(1), log: LogState::Failed(why), ..ShardFacts::default() };
    let facts = Facts {
        shards: vec![good, bad],
        keyspace: vec![
            DbFacts::default(),
            DbFacts { db: Db(9), keys: 2, expires: 1, avg_ttl: 500 },
        ],
        ..Facts::default()
    };
    assert_eq!(
        section(&facts, "shards"),
        [
            "shard0:keys=5,bytes=0,clients=0,commands=0,log=ok,lsn=0,written=0,synced=3",
            "shard1:keys=0,bytes=0,clients=0,commands=0,log=failed,lsn=0,written=0,synced=0",
            "shard1_log_error:fsync: I/O error",
        ]
    );
    assert_eq!(section(&facts, "keyspace"), ["db9:keys=2,expires=1,avg_ttl=500"]);
}

/// Fields of Redis that would say something untrue here.
const LEFT_OUT: &[&str] = &["atomicvar_api", "gcc_version"];

#[test]
fn every_field_of_a_real_server_is_there() {
    let Some(mut peer) = Peer::start() else { return };
    let theirs = peer.call(&[b"INFO", b"everything"]);
    let theirs = String::from_utf8_lossy(&theirs).into_owned();
    let ours = info(&Facts::default(), Choice::of([b"everything".as_slice()]));
    let fields = |text: &str| -> Vec<String> {
        let names = text.lines().filter_map(|line| line.split_once(':'));
        names.map(|(name, _)| name.to_owned()).collect()
    };
    let (theirs, ours) = (fields(&theirs), fields(&ours));
    assert!(theirs.len() > 120, "{theirs:?}");
    for name in theirs {
        let counted = ["cmdstat_", "errorstat_", "latency_percentiles_", "db"];
        let left_out = counted.iter().any(|start| name.starts_with(start));
        let known = ours.contains(&name) || left_out || LEFT_OUT.contains(&name.as_str());
        assert!(known, "{name} is missing");
    }
}
