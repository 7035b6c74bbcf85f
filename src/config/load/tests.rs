//! Tests of loading.

use super::*;
use crate::config::values::{Access, Fsync, SavePoint};

fn load(text: &str) -> Result<(Config, Vec<Note>), String> {
    let source = Source { name: "a.conf".to_owned(), text: text.to_owned() };
    let mut read = |path: &str| match path {
        "more" => Ok("port 9\ninclude self".to_owned()),
        "self" => Ok("timeout 5".to_owned()),
        "loop" => Ok("include loop".to_owned()),
        _ => Err(format!("cannot read {path}")),
    };
    Config::load(&[source], &mut read).map_err(|fault| fault.to_string())
}

#[test]
fn every_row_has_a_place_of_its_shape() {
    use crate::config::kind::Kind;
    for row in rows() {
        let mut config = Config::default();
        assert_eq!(row.load(&config), default_of(row, &Config::blank()), "{}", row.name);
        if let Kind::Number(min, max) | Kind::Memory(min, max) = row.kind {
            for number in [min, max] {
                row.store(&mut config, Value::Number(number));
                let held = row.load(&config);
                assert_eq!(held, Value::Number(number), "{}", row.name);
            }
        }
        if let Kind::OneOf(words) = row.kind {
            for word in words {
                row.store(&mut config, Value::Text((*word).to_owned()));
                assert_eq!(row.load(&config).print(), *word, "{}", row.name);
            }
        }
    }
}

#[test]
fn names_are_unique_and_lower_case() {
    let mut names: Vec<&str> =
        rows().flat_map(|row| [Some(row.name), row.alias]).flatten().collect();
    names.extend(NOT_SETTINGS.iter().map(|(name, _)| name));
    for name in &names {
        assert_eq!(*name, name.to_ascii_lowercase());
    }
    let total = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), total);
}

#[test]
fn the_defaults_are_those_of_the_design() {
    let config = Config::default();
    assert_eq!(config.bind, ["127.0.0.1", "-::1"]);
    assert_eq!((config.port, config.databases, config.shards), (6379, 16, 0));
    assert_eq!((config.appendonly, config.appendfsync), (true, Fsync::EverySec));
    let save: Vec<_> = config.save.iter().map(|point| (point.seconds, point.changes)).collect();
    assert_eq!(save, [(3600, 1), (300, 100), (60, 10_000)]);
    assert_eq!(config.enable_debug_command, Access::Local);
    assert_eq!(config.client_output_buffer_limit.normal.hard, 256 << 20);
    assert_eq!(config.auto_aof_rewrite_min_size, 64 << 20);
}

#[test]
fn a_file_changes_the_defaults() {
    let text = "# a comment\n\n  PORT 7000\nbind \"10.0.0.1\" ::1\nmaxclients 5\n\
                save 60 1000\nsave 1 2 3 4\nappendfsync ALWAYS\nlist-max-ziplist-size -3\n\
                client-output-buffer-limit pubsub 1mb 0 0 replica 2mb 0 0\nrequirepass \"a b\"\n";
    let (config, notes) = load(text).unwrap();
    assert_eq!(notes, []);
    assert_eq!((config.port, config.maxclients), (7000, 5));
    assert_eq!(config.bind, ["10.0.0.1", "::1"]);
    let points = [(60, 1000), (1, 2), (3, 4)];
    assert_eq!(config.save, points.map(|(seconds, changes)| SavePoint { seconds, changes }));
    assert_eq!(config.appendfsync, Fsync::Always);
    assert_eq!(config.list_max_listpack_size, -3);
    assert_eq!(config.client_output_buffer_limit.normal.hard, 256 << 20);
    assert_eq!(config.client_output_buffer_limit.pubsub.hard, 1 << 20);
    assert_eq!(config.client_output_buffer_limit.replica.hard, 2 << 20);
    assert_eq!(config.requirepass, "a b");
}

#[test]
fn save_points_replace_add_and_clear() {
    for (text, expected) in [
        ("save \"\"", vec![]),
        ("save 60 1", vec![(60, 1)]),
        ("save \"60 1 5 6\"", vec![(60, 1), (5, 6)]),
        ("save 60 1\nsave \"\"", vec![]),
        ("save \"\"\nsave 60 1\nsave 7 8", vec![(60, 1), (7, 8)]),
    ] {
        let (config, _) = load(text).unwrap();
        let save: Vec<_> = config.save.iter().map(|point| (point.seconds, point.changes)).collect();
        assert_eq!(save, expected, "{text}");
    }
}

#[test]
fn mistakes_name_file_and_line() {
    for (text, expected) in [
        ("\nprot 1", "a.conf:2: unknown directive 'prot': did you mean 'port'?"),
        ("zzzzzzzzzz 1", "a.conf:1: unknown directive 'zzzzzzzzzz'"),
        ("port", "a.conf:1: port: a value is missing"),
        ("port 1 2", "a.conf:1: 'port 1 2': wrong number of arguments"),
        ("port x", "a.conf:1: 'port x': argument couldn't be parsed into an integer"),
        ("port 70000", "a.conf:1: 'port 70000': argument must be between 0 and 65535 inclusive"),
        ("maxmemory 1x", "a.conf:1: 'maxmemory 1x': argument must be a memory value"),
        ("appendonly maybe", "a.conf:1: 'appendonly maybe': argument must be 'yes' or 'no'"),
        (
            "recovery x",
            "a.conf:1: 'recovery x': argument(s) must be one of the following: auto, strict",
        ),
        ("save 60", "a.conf:1: 'save 60': Invalid save parameters"),
        ("save 0 1", "a.conf:1: 'save 0 1': Invalid save parameters"),
        ("dir \"a", "a.conf:1: unbalanced quotes"),
        (
            "dbfilename a/b",
            "a.conf:1: 'dbfilename a/b': dbfilename can't be a path, just a filename",
        ),
        ("cluster-enabled yes", "a.conf:1: cluster-enabled: there is no cluster mode yet"),
        ("loadmodule x.so", "a.conf:1: loadmodule: there are no modules"),
        ("include nowhere", "a.conf:1: cannot read nowhere"),
        ("include loop", "loop:1: files include each other"),
    ] {
        assert_eq!(load(text).unwrap_err(), expected);
    }
}

#[test]
fn mistakes_on_the_command_line_have_no_line() {
    let source = Source { name: COMMAND_LINE.to_owned(), text: "timeout -1".to_owned() };
    let fault = Config::load(&[source], &mut |_| Ok(String::new())).unwrap_err();
    let expected =
        "command line: 'timeout -1': argument must be between 0 and 2147483647 inclusive";
    assert_eq!(fault.to_string(), expected);
}

#[test]
fn directives_without_effect_are_noted_once_for_each_reason() {
    let text = "hz 10\nactiverehashing yes\ndynamic-hz no\nhz 20\nmaxmemory 0\ndaemonize no\n\
                rdbchecksum no\nlua-replicate-commands yes";
    let (_, notes) = load(text).unwrap();
    let notes: Vec<String> = notes.iter().map(Note::to_string).collect();
    assert_eq!(
        notes,
        [
            "hz, dynamic-hz: no effect: upkeep runs in every turn of a core, not at a fixed \
             frequency",
            "activerehashing: no effect: tables grow by bounded splits and are never rehashed at \
             once",
            "lua-replicate-commands: no effect: Redis itself ignores it",
            "rdbchecksum: no effect: checksums are always written and checked",
        ]
    );
    let (config, notes) = load("maxmemory 1gb\nmaxmemory-policy allkeys-lru").unwrap();
    assert_eq!(config.maxmemory, 1 << 30);
    assert_eq!(notes.len(), 0);
}

#[test]
fn files_include_files() {
    let (config, _) = load("port 1\ninclude more").unwrap();
    assert_eq!((config.port, config.timeout), (9, 5));
}
