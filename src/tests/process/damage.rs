//! Damaged files and the real binaries: what a server refuses basalt-check calls damaged, what it
//! starts on is all there, and what fix has mended it starts on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::harness::client::Client;
use super::harness::server::{Launch, Server};
use super::ours;

/// Every file of a data directory but the lock.
type Files = BTreeMap<String, Vec<u8>>;

fn read(dir: &Path, prefix: &str, files: &mut Files) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            read(&path, &format!("{name}/"), files);
        } else if name != "LOCK" {
            files.insert(name, fs::read(&path).expect("a file"));
        }
    }
}

fn files_of(dir: &Path) -> Files {
    let mut files = Files::new();
    read(dir, "", &mut files);
    files
}

fn put(dir: &Path, files: &Files) {
    fs::remove_dir_all(dir).expect("a directory");
    for (name, bytes) in files {
        let path = dir.join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, bytes).expect("a file");
    }
}

/// The exit code of basalt-check, and what it says.
fn check(task: &[&str], dir: &Path) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_basalt-check"));
    let output = command.arg(task[0]).arg(dir).args(&task[1..]).output().expect("basalt-check");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

fn digest(server: &Server) -> String {
    server.client().line("DEBUG DIGEST").text()
}

fn fill(client: &mut Client, from: u64) {
    for n in from..from + 40 {
        client.ok(&format!("SET string:{n} value:{n}"));
        client.line(&format!("HSET hash:{n} a {n} b {n}"));
        client.ok(&format!("MSET left:{n} {n} right:{n} {n} middle:{n} {n}"));
    }
    for n in from * 20..from * 20 + 400 {
        client.line(&format!("HSET big field:{n} {n}"));
    }
    client.line(&format!("SETRANGE long {} {}", from * 2000, "x".repeat(70_000)));
}

/// What a start has to make of it. Damage of a base shows on a core of its own: such a server once
/// went on loading for ever, and never told why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Refused,
    /// It starts, and nothing is missing.
    Whole,
    /// It starts, and says what it has cut.
    Cut,
}

/// The longest of the files with this ending, and the second.
fn longest(files: &Files, ending: &str) -> [String; 2] {
    let mut found: Vec<_> = files.iter().filter(|(name, _)| name.ends_with(ending)).collect();
    found.sort_by_key(|(_, bytes)| std::cmp::Reverse(bytes.len()));
    [found[0].0.clone(), found[1].0.clone()]
}

/// The beginning of a record behind the last one, as a server leaves it that dies while it writes.
fn tear(files: &mut Files, log: &str) {
    let bytes = files.get_mut(log).expect("a log");
    bytes.extend_from_within(..b"#r1 s=000 g=00000000 l=".len());
}

type Harm = fn(&mut Files, &[String; 2]);

const ON_MANIFEST: &[(&str, Outcome, Harm)] = &[
    ("flipped", Outcome::Refused, |f, at| f.get_mut(&at[0]).unwrap()[60] ^= 4),
    ("missing", Outcome::Refused, |f, at| drop(f.remove(&at[0]))),
    ("empty", Outcome::Refused, |f, at| f.get_mut(&at[0]).unwrap().clear()),
    ("a line less", Outcome::Refused, |f, at| {
        let bytes = f.get_mut(&at[0]).unwrap();
        let end = bytes.iter().rposition(|byte| *byte == b'e').unwrap();
        bytes.truncate(end);
    }),
    ("beside others", Outcome::Whole, |f, _| {
        f.insert("MANIFEST.tmp".into(), b"half".to_vec());
        f.insert("notes.txt".into(), b"mine".to_vec());
        f.insert("000001/shard-000.000001.aof".into(), b"old".to_vec());
    }),
];

const ON_BASES: &[(&str, Outcome, Harm)] = &[
    ("flipped", Outcome::Refused, |f, at| f.get_mut(&at[0]).unwrap()[300] ^= 1),
    ("truncated", Outcome::Refused, |f, at| {
        f.get_mut(&at[0]).unwrap().pop();
    }),
    ("missing", Outcome::Refused, |f, at| drop(f.remove(&at[0]))),
    ("longer", Outcome::Refused, |f, at| f.get_mut(&at[0]).unwrap().push(0)),
    ("copied", Outcome::Refused, |f, at| drop(f.insert(at[0].clone(), f[&at[1]].clone()))),
    ("swapped", Outcome::Refused, |f, at| {
        let (a, b) = (f[&at[0]].clone(), f[&at[1]].clone());
        f.extend([(at[0].clone(), b), (at[1].clone(), a)]);
    }),
];

const ON_LOGS: &[(&str, Outcome, Harm)] = &[
    ("flipped at its start", Outcome::Refused, |f, at| f.get_mut(&at[0]).unwrap()[0] ^= 1),
    ("flipped in the middle", Outcome::Refused, |f, at| {
        let bytes = f.get_mut(&at[0]).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }),
    ("flipped at its end", Outcome::Refused, |f, at| {
        *f.get_mut(&at[0]).unwrap().last_mut().unwrap() ^= 1;
    }),
    ("zeros", Outcome::Refused, |f, at| f.get_mut(&at[0]).unwrap()[1000..1200].fill(0)),
    ("missing", Outcome::Refused, |f, at| drop(f.remove(&at[0]))),
    ("swapped", Outcome::Refused, |f, at| {
        let (a, b) = (f[&at[0]].clone(), f[&at[1]].clone());
        f.extend([(at[0].clone(), b), (at[1].clone(), a)]);
    }),
    ("twice", Outcome::Refused, |f, at| {
        let twice = f[&at[0]].repeat(2);
        f.insert(at[0].clone(), twice);
    }),
    ("foreign bytes behind it", Outcome::Refused, |f, at| {
        f.get_mut(&at[0]).unwrap().extend_from_slice(b"*1\r\n$8\r\nFLUSHALL\r\n");
    }),
    ("zeros behind it", Outcome::Whole, |f, at| {
        f.get_mut(&at[0]).unwrap().extend_from_slice(&[0; 5000]);
    }),
    ("torn", Outcome::Cut, |f, at| tear(f, &at[0])),
];

struct World {
    launch: Launch,
    pristine: Files,
    digest: String,
}

/// A server with a checkpoint and a log behind it, killed.
fn world() -> Option<World> {
    let launch = ours()?.logged("everysec").shards(4);
    let mut server = launch.start();
    let mut client = server.client();
    fill(&mut client, 0);
    client.ok("SAVE");
    fill(&mut client, 40);
    let digest = digest(&server);
    std::thread::sleep(Duration::from_millis(1500));
    server.kill();
    let pristine = files_of(launch.dir());
    Some(World { launch, pristine, digest })
}

impl World {
    fn judge(&self, what: &str, outcome: Outcome, harm: Harm, at: &[String; 2]) {
        let mut files = self.pristine.clone();
        harm(&mut files, at);
        put(self.launch.dir(), &files);
        let (code, said) = check(&["verify", "--json"], self.launch.dir());
        assert_eq!(code, i32::from(outcome == Outcome::Refused), "{what}: {said}");
        assert_eq!(files_of(self.launch.dir()), files, "{what}: verify has changed something");
        match self.launch.try_start(&[]) {
            Err(log) => {
                assert_eq!(outcome, Outcome::Refused, "{what}: {log}");
                assert!(
                    log.contains("the data is not loaded") || log.contains(": at byte "),
                    "{log}"
                );
                assert!(!log.contains("panicked"), "{what}: {log}");
                assert_eq!(files_of(self.launch.dir()), files, "{what}: refused, and changed");
            }
            Ok(mut server) => {
                assert_ne!(outcome, Outcome::Refused, "{what}: it started");
                let cut = server.log().contains(" cut at byte ");
                assert_eq!(cut, outcome == Outcome::Cut, "{what}: {}", server.log());
                if !cut {
                    assert_eq!(digest(&server), self.digest, "{what}");
                }
                let kept = files_of(self.launch.dir()).keys().any(|n| n.starts_with("lost+cut/"));
                assert_eq!(kept, cut, "{what}");
                server.kill();
            }
        }
    }
}

#[test]
fn damaged_files_are_refused_by_both() {
    let Some(world) = world() else { return };
    let [snapshots, logs] = [".snapshot", ".aof"].map(|end| longest(&world.pristine, end));
    let manifest = ["MANIFEST".to_owned(), String::new()];
    for (on, at, cases) in [
        ("the manifest", manifest, ON_MANIFEST),
        ("a base", snapshots, ON_BASES),
        ("a log", logs, ON_LOGS),
    ] {
        for (what, outcome, harm) in cases {
            world.judge(&format!("{on} {what}"), *outcome, *harm, &at);
        }
    }
}

#[test]
fn what_fix_has_mended_a_server_starts_on() {
    let Some(world) = world() else { return };
    let dir = world.launch.dir();
    let [log, _] = longest(&world.pristine, ".aof");
    // Torn: fix does what a start would do, and the start then finds nothing to cut.
    let mut files = world.pristine.clone();
    tear(&mut files, &log);
    put(dir, &files);
    let (code, said) = check(&["fix"], dir);
    assert!(code == 3 && files_of(dir) == files, "nobody agreed: {said}");
    let (code, said) = check(&["fix", "--yes"], dir);
    assert!(code == 0 && said.contains("fix: done"), "{said}");
    let (code, said) = check(&["fix", "--yes"], dir);
    assert!(code == 0 && said.contains("nothing to do"), "{said}");
    let mut server = world.launch.start();
    assert!(!server.log().contains(" cut at byte "), "{}", server.log());
    let (code, said) = check(&["fix", "--yes"], dir);
    assert!(code == 2 && said.contains("uses this directory"), "{said}");
    server.kill();
    // Damaged where it had been durable: only by force, and then whole transactions are left.
    let mut files = world.pristine.clone();
    let middle = files[&log].len() / 2;
    files.get_mut(&log).unwrap()[middle] ^= 1;
    put(dir, &files);
    let (code, said) = check(&["fix", "--yes"], dir);
    assert!(code == 1 && files_of(dir) == files, "{said}");
    let (code, said) = check(&["fix", "--yes", "--force"], dir);
    assert!(code == 0 && said.contains("row: M"), "{said}");
    assert_eq!(check(&["verify", "--load"], dir).0, 0);
    let mut server = world.launch.start();
    let mut client = server.client();
    for n in 0..80 {
        let names = ["left", "middle", "right"].map(|name| format!("GET {name}:{n}"));
        let values = names.map(|line| client.line(&line).to_string());
        assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "half of MSET {n}: {values:?}");
        assert!(
            n >= 40 || values[0].contains(&n.to_string()),
            "what the base holds is there: {values:?}"
        );
    }
    server.kill();
}

#[test]
fn a_server_that_was_stopped_vouches_for_all_of_its_log() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(4);
    let server = launch.start();
    fill(&mut server.client(), 0);
    let before = digest(&server);
    // The last writes are a moment old, and no round of syncs has proven them.
    server.stop();
    let dir = launch.dir();
    let (code, said) = check(&["list"], dir);
    assert!(code == 0 && said.contains("state: closed"), "{said}");
    assert!(!said.contains("state: open"), "{said}");
    let pristine = files_of(dir);
    for (name, bytes) in pristine.iter().filter(|(name, b)| name.ends_with(".aof") && !b.is_empty())
    {
        // Where a record begins nothing in the log itself tells that more had followed.
        let record = memchr::memmem::rfind(bytes, b"#r1 s=").expect("a record");
        for length in [0, record, bytes.len() / 2, bytes.len() - 1] {
            let mut files = pristine.clone();
            files.insert(name.clone(), bytes[..length].to_vec());
            put(dir, &files);
            let (code, said) = check(&["verify"], dir);
            assert!(code == 1, "{name} cut to {length} of {}: {said}", bytes.len());
        }
        assert!(launch.try_start(&[]).is_err(), "{name} is shorter, and it starts");
    }
    put(dir, &pristine);
    // Had the machine lost its power meanwhile: nothing is missing.
    let server = launch.start_with(&["--recovery", "strict"]);
    assert!(!server.log().contains(" cut at byte "), "{}", server.log());
    assert_eq!(digest(&server), before);
    server.stop();
}
