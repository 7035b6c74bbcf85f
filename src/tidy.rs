//! The house rules as a test. A ban names its replacement; an exception is named, with a reason.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::tidy::source::Source;

mod rules;
mod source;

/// What breaks a rule with a reason: file, rule, how often, why. It may only shrink: a row that
/// allows more than there is fails too.
const RATCHET: &[(&str, &str, usize, &str)] = &[
    // A sign, a fact or a value is a boolean by nature.
    ("src/base/extended.rs", "boolean", 2, "the sign of a number"),
    ("src/persist/manifest.rs", "boolean", 1, "`ensure`: what must hold"),
    ("src/persist/rdb/scalar.rs", "boolean", 1, "`ensure`: what must hold"),
    ("src/persist/recovery/tail.rs", "boolean", 1, "a column of the table of cases"),
    ("src/resp/reply.rs", "boolean", 1, "the value that is written"),
    // The payload of a record is RESP, in a file as on a socket.
    ("src/persist/payload.rs", "layers", 1, "reads arguments out of a record"),
    ("src/persist/rewind.rs", "layers", 1, "compares commands with one that is looked for"),
    ("src/persist/segment.rs", "layers", 1, "appends arguments as RESP"),
    // What DUMP gives and an import takes are pieces of Redis' files.
    ("src/commands/dump.rs", "layers", 1, "DUMP and RESTORE"),
    ("src/commands/dump_stream.rs", "layers", 1, "a stream in Redis' format"),
    ("src/commands/function.rs", "layers", 1, "FUNCTION DUMP and RESTORE"),
    ("src/commands/table/effects.rs", "layers", 1, "an example of RESTORE"),
    ("src/commands/remake.rs", "layers", 1, "a value in Redis' format as commands"),
    // What is damaged is looked at by the code of a start.
    ("src/testing/damage.rs", "layers", 1, "the verdict of a start, and of basalt-check"),
    // A future of the pool or of a ticket is awaited by tasks that know no core.
    ("src/server/elsewhere.rs", "banned", 1, "counts what a thread awaits, for its ring"),
    // Only in tests and in the simulation: a switch that no signature of the product should carry.
    ("src/base/mutant.rs", "banned", 1, "which mistake a test makes"),
    // To become enums.
    ("src/commands/absent.rs", "boolean", 1, "synced or not"),
    ("src/commands/transaction.rs", "boolean", 1, "from this machine or not"),
    ("src/server/ask.rs", "boolean", 1, "WAITAOF: this server counts or not"),
    ("src/server/checkpoint.rs", "boolean", 4, "with a log or without"),
    ("src/server/shared.rs", "boolean", 1, "loading or not"),
    ("src/shard/cut.rs", "boolean", 1, "with a log or without"),
    ("src/shard/execute.rs", "boolean", 1, "whole keyspace or keys"),
    ("src/shard/orders.rs", "boolean", 1, "whole keyspace or keys, reads or writes"),
];

/// What may lie at the top of the repository, besides dot-files and what `.gitignore` names.
const TOP: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "src",
    "benches",
    "bench-results",
    "config",
    "README.md",
    "LICENSE",
];

/// Words that must not be in any file: paths of one machine.
const NOWHERE: &[&str] = &["/work/", "/tmp/target", "/home/"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files under `dir` with one of the endings, by their path from the root.
fn files(dir: &Path, endings: &[&str], out: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("a directory that can be read").path();
        if path.is_dir() {
            files(&path, endings, out);
        } else if path.extension().is_some_and(|end| endings.iter().any(|e| end == *e)) {
            out.push(path);
        }
    }
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for dir in ["src", "benches"] {
        files(&root().join(dir), &["rs"], &mut paths);
    }
    paths.sort();
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path).expect("a source is text");
        let short = path.strip_prefix(root()).expect("below the root").to_string_lossy();
        Source::new(&short, &text)
    };
    paths.iter().map(read).collect()
}

/// Each trait, with how often it is implemented in the same sources.
fn lonely_traits(sources: &[Source]) -> Vec<(String, usize, String)> {
    let name = |text: &str| -> String {
        text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let mut lonely = Vec::new();
    for source in sources {
        for (i, line) in source.lines() {
            let line = line.trim_start().trim_start_matches("pub ");
            let Some(rest) = line.strip_prefix("trait ") else { continue };
            let name = name(rest);
            let implemented = sources
                .iter()
                .flat_map(|source| source.code.lines())
                .filter(|line| line.contains("impl"))
                .filter(|line| {
                    line.contains(&format!(" {name} for ")) || line.contains(&format!(" {name}<"))
                })
                .count();
            if implemented < 2 {
                let what = format!("trait {name} has {implemented} implementors: use the type");
                lonely.push((source.path.clone(), i + 1, what));
            }
        }
    }
    lonely
}

/// What is wrong in `Cargo.toml`: dependencies without a comment line before them.
fn unexplained(manifest: &str) -> Vec<String> {
    let (mut section, mut before) = (String::new(), "");
    let mut found = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line.to_owned();
        } else if section.contains("dependencies")
            && line.contains('=')
            && !line.starts_with(['#', ' '])
            && !before.starts_with("# ")
        {
            found.push(format!("a line before it says why it is there: {line}"));
        }
        before = line;
    }
    found
}

#[test]
fn house_rules() {
    let sources = sources();
    assert!(sources.len() > 100, "only {} files found", sources.len());
    let mut found: BTreeMap<(String, &str), Vec<String>> = BTreeMap::new();
    let mut add = |path: &str, rule: &'static str, line: usize, what: &str| {
        let at = format!("{path}:{line}: {rule}: {what}");
        found.entry((path.to_owned(), rule)).or_default().push(at);
    };
    for source in &sources {
        for (rule, line, what) in rules::check(source) {
            add(&source.path, rule, line, &what);
        }
        let own = source.path == "src/tidy.rs";
        for (i, line) in source.text.lines().enumerate().filter(|_| !own) {
            if NOWHERE.iter().any(|word| line.contains(word)) {
                add(&source.path, "nowhere", i + 1, "the path of one machine");
            }
        }
    }
    for (path, line, what) in lonely_traits(&sources) {
        add(&path, "trait", line, &what);
    }
    for (path, rule, allowed, reason) in RATCHET {
        assert!(!reason.is_empty());
        let actual = found.remove(&((*path).to_owned(), *rule)).unwrap_or_default();
        let n = actual.len();
        assert_eq!(n, *allowed, "{path}, {rule}: set the row to {n}, or mend: {actual:#?}");
    }
    let left: Vec<String> = found.into_values().flatten().collect();
    assert!(left.is_empty(), "{} house rules are broken:\n{}", left.len(), left.join("\n"));
}

#[test]
fn every_dependency_has_a_reason() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    assert_eq!(unexplained(&manifest), Vec::<String>::new());
    assert_eq!(unexplained("[dependencies]\n# Why.\na = \"1\"\nb = \"2\"\n").len(), 1);
}

#[test]
fn the_top_level_is_fixed() {
    let ignored = std::fs::read_to_string(root().join(".gitignore")).unwrap_or_default();
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    for entry in std::fs::read_dir(root()).expect("the root") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let fine = TOP.contains(&name.as_str()) || name.starts_with('.');
        assert!(fine || ignored.contains(&name.as_str()), "not at the top level: {name}");
    }
}

#[test]
fn every_limit_is_kept_somewhere() {
    let sources = sources();
    let limits = sources.iter().find(|source| source.path == "src/limits.rs").expect("limits.rs");
    let names = limits.code.lines().filter_map(|line| line.strip_prefix("pub const "));
    let names: Vec<&str> = names.filter_map(|rest| rest.split(':').next()).collect();
    assert!(names.len() > 20, "only {} limits found", names.len());
    for name in names {
        let used = sources
            .iter()
            .filter(|source| source.path != "src/limits.rs")
            .any(|source| source.lines().any(|(_, line)| rules::has_word(line, name)));
        assert!(used, "{name} is kept nowhere");
    }
}
