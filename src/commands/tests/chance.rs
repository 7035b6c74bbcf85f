//! What chance or size decides: random fields, cursors over big hashes and databases.

use std::collections::{BTreeMap, BTreeSet};

use crate::commands::tests::bench::Bench;
use crate::commands::tests::wire::Value;
use crate::keyspace::keyspace::{Policy, Settings};
use crate::resp::reply::Proto;

fn ask(bench: &mut Bench, line: &str) -> Value {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    Value::only(&bench.words(&words))
}

fn list(value: Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().map(Value::to_string).collect(),
        other => panic!("{other}"),
    }
}

/// A hash `h` with the fields f0, f1, ... whose values are v0, v1, ...
fn hash(bench: &mut Bench, fields: usize) {
    for at in 0..fields {
        ask(bench, &format!("HSET h f{at} v{at}"));
    }
}

#[test]
fn random_fields_are_as_many_as_asked_for_and_evenly_chosen() {
    for fields in [1, 2, 10, 128, 129, 1000] {
        let mut bench = Bench::new(fields as u64);
        hash(&mut bench, fields);
        let known: BTreeSet<String> = (0..fields).map(|at| format!("\"f{at}\"")).collect();
        for count in [1, 2, fields / 4, fields / 2, fields - 1, fields, fields + 5] {
            let chosen = list(ask(&mut bench, &format!("HRANDFIELD h {count}")));
            let distinct: BTreeSet<String> = chosen.iter().cloned().collect();
            assert_eq!(chosen.len(), count.min(fields), "{count} of {fields}");
            assert_eq!(distinct.len(), chosen.len(), "{count} of {fields}");
            assert!(distinct.is_subset(&known));
        }
        assert_eq!(list(ask(&mut bench, "HRANDFIELD h -300")).len(), 300);
    }
    // Each way of choosing gives every field its share: 10 fields, about 3,000 times each.
    let mut bench = Bench::new(7);
    hash(&mut bench, 10);
    for (count, rounds) in [("1", 30_000), ("3", 10_000), ("6", 5_000), ("-10", 3_000)] {
        let mut times: BTreeMap<String, u32> = BTreeMap::new();
        for _ in 0..rounds {
            for field in list(ask(&mut bench, &format!("HRANDFIELD h {count}"))) {
                *times.entry(field).or_default() += 1;
            }
        }
        assert!(times.values().all(|n| (2700..3300).contains(n)), "{count}: {times:?}");
    }
}

#[test]
fn random_fields_come_with_their_values() {
    for fields in [10, 200] {
        let mut bench = Bench::new(3);
        hash(&mut bench, fields);
        for count in [-20, 3, 150, 1000] {
            bench.session.proto = Proto::Two;
            let flat = list(ask(&mut bench, &format!("HRANDFIELD h {count} WITHVALUES")));
            for pair in flat.chunks(2) {
                assert_eq!(pair[0].replace('f', "v"), pair[1]);
            }
            bench.session.proto = Proto::Three;
            for pair in list(ask(&mut bench, &format!("HRANDFIELD h {count} WITHVALUES"))) {
                let (field, value) = pair[1..pair.len() - 1].split_once(' ').unwrap();
                assert_eq!(field.replace('f', "v"), value);
            }
        }
    }
}

/// All elements of all pages of a scan.
fn pages(bench: &mut Bench, command: &str, options: &str) -> Vec<String> {
    let (mut cursor, mut all) = ("0".to_owned(), Vec::new());
    loop {
        let Value::Array(page) = ask(bench, &format!("{command} {cursor} {options}")) else {
            panic!("no page")
        };
        all.extend(list(page[1].clone()));
        cursor = page[0].to_string().trim_matches('"').to_owned();
        if cursor == "0" {
            return all;
        }
    }
}

#[test]
fn scans_find_everything_that_stays() {
    let mut bench = Bench::new(5);
    hash(&mut bench, 3000);
    for at in 0..3000 {
        ask(&mut bench, &format!("SET key:{at} x"));
    }
    for count in [1, 10, 777, 100_000] {
        let keys = pages(&mut bench, "SCAN", &format!("COUNT {count}"));
        let distinct: BTreeSet<&String> = keys.iter().collect();
        assert_eq!((keys.len(), distinct.len()), (3001, 3001), "COUNT {count}");
        let fields = pages(&mut bench, "HSCAN h", &format!("COUNT {count} NOVALUES"));
        let distinct: BTreeSet<&String> = fields.iter().collect();
        assert_eq!((fields.len(), distinct.len()), (3000, 3000), "COUNT {count}");
    }
    assert_eq!(pages(&mut bench, "SCAN", "MATCH key:1?? COUNT 50").len(), 100);
    assert_eq!(pages(&mut bench, "SCAN", "TYPE hash COUNT 50"), ["\"h\""]);
    assert_eq!(pages(&mut bench, "HSCAN h", "MATCH f1?? COUNT 50").len(), 200);
    // Keys come and go between the pages; those that stay are found.
    let (mut cursor, mut found, mut round) = ("0".to_owned(), BTreeSet::new(), 0);
    loop {
        let Value::Array(page) = ask(&mut bench, &format!("SCAN {cursor} COUNT 20")) else {
            panic!("no page")
        };
        found.extend(list(page[1].clone()));
        cursor = page[0].to_string().trim_matches('"').to_owned();
        if cursor == "0" {
            break;
        }
        for at in 0..40 {
            ask(&mut bench, &format!("SET new:{round}:{at} x"));
            ask(&mut bench, &format!("DEL key:{}", 1500 + round * 10 + at));
        }
        round += 1;
    }
    assert!((0..1500).all(|at| found.contains(&format!("\"key:{at}\""))));
}

#[test]
fn the_policy_decides_what_object_tells() {
    let mut bench = Bench::new(1);
    let settings = Settings::default();
    bench.keys.configure(settings.limits, settings.sets, settings.zsets, Policy::Lfu);
    ask(&mut bench, "SET k v");
    assert!(matches!(ask(&mut bench, "OBJECT FREQ k"), Value::Integer(5..)));
    let refused = ask(&mut bench, "OBJECT IDLETIME k").to_string();
    assert!(refused.starts_with("-ERR An LFU maxmemory policy is selected, idle"), "{refused}");
}

#[test]
fn random_keys_are_of_the_database() {
    let mut bench = Bench::new(9);
    for at in 0..50 {
        ask(&mut bench, &format!("SET key:{at} x"));
    }
    let seen: BTreeSet<String> =
        (0..2000).map(|_| ask(&mut bench, "RANDOMKEY").to_string()).collect();
    assert_eq!(seen.len(), 50);
}
