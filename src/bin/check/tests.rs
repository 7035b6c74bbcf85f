//! Tests of the command line of basalt-check.

use super::*;

use std::fs;

use basalt::base::ids::{Db, Epoch, Generation, Lsn, ShardId, SlotRange, TxId};
use basalt::base::time::Millis;
use basalt::persist::manifest::{Base, HashId, Segment, ShardFiles};
use basalt::persist::record::{Policy, RunId, SegmentId};
use basalt::persist::segment::{SegmentWriter, Stamp};
use basalt::persist::shard_set::ShardSet;
use basalt::persist::snapshot_file::{ChunkWriter, Header};
use basalt::resp::args::OwnedArgs;
use basalt::server::lock::DirectoryLock;

const RUN: RunId = RunId(0xabc);
const HASH: HashId = HashId { function: 1, seed: 7 };
const SEGMENT: &str = "000003/shard-000.000005.aof";
const SNAPSHOT: &str = "000003/shard-000.snapshot";

/// A data directory of one shard: a snapshot of two keys and a segment of three records.
fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("000003")).unwrap();
    let shard = ShardId(0);
    let header = Header {
        shard,
        shards: 1,
        generation: Generation(3),
        cut: Epoch(10),
        run: RUN,
        hash: HASH,
    };
    let mut chunks = ChunkWriter::new(&header);
    chunks.string(Db(0), b"a", None, b"1");
    chunks.hash(Db(0), b"h", None, [(&b"f"[..], &b"v"[..])].into_iter());
    let (bytes, footer) = chunks.finish();
    fs::write(dir.path().join(SNAPSHOT), bytes).unwrap();
    let id = SegmentId { run: RUN, shard, number: 5 };
    let mut writer = SegmentWriter::new(id, Lsn(7), Epoch(10));
    let mut log = Vec::new();
    for i in 0..3u64 {
        let set = OwnedArgs::of(&[b"SET", b"key\n", &[b'x'; 80]]);
        if i == 1 {
            let members = ShardSet::of(&[shard]);
            writer.append_transaction(TxId(9), members, [(Db(2), set.args())]);
        } else {
            writer.append(Db(0), set.args());
        }
        let stamp = Stamp { durable: Epoch(0), now: Millis(5), policy: Policy::EverySecond };
        writer.seal(stamp);
        let job = writer.take_write().unwrap();
        log.extend_from_slice(job.bytes());
        let len = job.bytes().len();
        writer.wrote(job, len);
        let sync = writer.take_sync().unwrap();
        writer.synced(sync);
    }
    fs::write(dir.path().join(SEGMENT), log).unwrap();
    let base = Base {
        path: SNAPSHOT.into(),
        run: RUN,
        length: footer.length,
        crc: footer.crc,
        entries: footer.entries,
    };
    let segment =
        Segment { path: SEGMENT.into(), number: 5, run: RUN, first: Some(Lsn(8)), end: None };
    let manifest = Manifest {
        run: RUN,
        generation: Generation(3),
        cut: Epoch(10),
        cut_time: Millis(0),
        durable: Epoch(9),
        boot: String::new(),
        appendonly: true,
        policy: Policy::EverySecond,
        hash: HASH,
        retained: vec![],
        slots: vec![SlotRange { first: 0, last: 16383, shard }],
        shards: vec![ShardFiles { after: Lsn(7), base: Some(base), segments: vec![segment] }],
    };
    fs::write(dir.path().join(names::MANIFEST), manifest.encode()).unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("MANIFEST.tmp"), "half").unwrap();
    dir
}

/// The exit code and the output.
fn check(task: Task) -> (u8, String) {
    let mut out = Vec::new();
    let code = match run(task, &mut out) {
        Ok(()) => 0,
        Err(Trouble::Damaged | Trouble::Fault(_)) => 1,
        Err(Trouble::Unable(_)) => 2,
        Err(Trouble::Unfixed) => 3,
    };
    (code, String::from_utf8(out).unwrap())
}

fn at(dir: &Path, json: bool) -> At {
    At { dir: dir.to_owned(), json }
}

fn verify_of(dir: &Path, json: bool) -> (u8, String) {
    check(Task::Verify { at: at(dir, json), strict: false, load: true, databases: 16 })
}

fn edit(dir: &Path, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(dir.join(path)).unwrap();
    change(&mut bytes);
    fs::write(dir.join(path), bytes).unwrap();
}

#[test]
fn a_sound_directory() {
    let dir = directory();
    let (code, out) = verify_of(dir.path(), false);
    assert_eq!((code, out.matches("state: ok").count()), (0, 4), "{out}");
    assert!(out.contains("records: 3  next: 11  tail: clean"), "{out}");
    let (code, out) = verify_of(dir.path(), true);
    assert!(code == 0 && out.starts_with("{\"file\": \"MANIFEST\", \"state\": \"ok\"}\n"), "{out}");
    let (code, out) = check(Task::List { at: at(dir.path(), false) });
    for part in ["entries: string:1,hash:1", "foreign: notes.txt", "garbage: MANIFEST.tmp"] {
        assert!(code == 0 && out.contains(part), "{out}");
    }
    let (code, out) = check(Task::Plan { at: at(dir.path(), false), strict: true });
    for part in ["start: OtherBoot", "load: 000003", "from: 8  before: 11", "leave: notes.txt"] {
        assert!(code == 0 && out.contains(part), "{out}");
    }
    let dump =
        |segment: &str| check(Task::Dump { at: at(dir.path(), true), segment: segment.into() });
    let (code, out) = dump(SEGMENT);
    let command = "{\"db\": 2, \"command\": \"SET key\\\\n xxxx";
    let transaction = "{\"transaction\": 9, \"shards\": \"0\"}";
    assert!(code == 0 && out.contains(command) && out.contains(transaction), "{out}");
    assert_eq!(dump("000003/shard-000.000006.aof").0, 2);
}

#[test]
fn a_base_of_commands_is_checked_by_its_checksum() {
    let dir = directory();
    let text = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
    let path = "000003/shard-000.base.aof";
    fs::write(dir.path().join(path), text).unwrap();
    let manifest = fs::read(dir.path().join(names::MANIFEST)).unwrap();
    let mut manifest = Manifest::parse("MANIFEST", &manifest).unwrap();
    let base = manifest.shards[0].base.as_mut().unwrap();
    base.path = path.into();
    base.length = text.len() as u64;
    base.crc = basalt::base::checksum::crc64(text);
    fs::write(dir.path().join(names::MANIFEST), manifest.encode()).unwrap();
    let (code, out) = verify_of(dir.path(), false);
    assert!(code == 0 && out.contains("base.aof  state: ok"), "{out}");
    edit(dir.path(), path, |bytes| bytes[20] ^= 1);
    let (code, out) = verify_of(dir.path(), false);
    assert!(code == 1 && out.contains("base.aof  state: damaged"), "{out}");
}

#[test]
fn damage_is_found_and_a_torn_tail_is_only_told() {
    let dir = directory();
    edit(dir.path(), SEGMENT, |bytes| bytes.truncate(bytes.len() - 1));
    let (code, out) = verify_of(dir.path(), false);
    assert!(code == 0 && out.contains("cut at byte ") && out.contains("tail: torn"), "{out}");
    for (path, at) in [(SEGMENT, 200), (SNAPSHOT, 70), ("MANIFEST", 40)] {
        let dir = directory();
        edit(dir.path(), path, |bytes| bytes[at] ^= 1);
        let (code, out) = verify_of(dir.path(), false);
        assert!(code == 1 && out.contains("state: damaged"), "{path}: {out}");
    }
    let dir = directory();
    fs::remove_file(dir.path().join(SEGMENT)).unwrap();
    let (code, out) = verify_of(dir.path(), false);
    assert!(code == 1 && out.contains("row: A"), "{out}");
    assert_eq!(verify_of(&dir.path().join("nowhere"), false).0, 2);
    fs::remove_file(dir.path().join("MANIFEST")).unwrap();
    // A server refuses to begin anew where data lies, and so the verdict is the same here.
    let (code, out) = verify_of(dir.path(), false);
    assert!(code == 1 && out.contains("row: A"), "{out}");
}

/// The exit code and the output of a fix that is answered with `answer`.
fn fix_of(dir: &Path, force: Force, answer: &str) -> (u8, String) {
    let mut out = Vec::new();
    let report = &mut Report { json: false, out: &mut out, faults: 0 };
    let how = Fix { mode: Mode::Auto, force, agreed: answer == "--yes" };
    let done = fix::fix(dir, how, &mut answer.as_bytes(), report);
    let code = match done {
        Ok(()) => u8::from(report.faults > 0),
        Err(Trouble::Damaged | Trouble::Fault(_)) => 1,
        Err(Trouble::Unable(why)) => return (2, why),
        Err(Trouble::Unfixed) => 3,
    };
    (code, String::from_utf8(out).unwrap())
}

/// Every file but the lock, with its bytes.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for at in ["", "000003/", "lost+cut/"] {
        for entry in fs::read_dir(dir.join(at)).into_iter().flatten() {
            let entry = entry.unwrap();
            let name = format!("{at}{}", entry.file_name().to_string_lossy());
            if entry.metadata().unwrap().is_file() && name != names::LOCK {
                all.push((name, fs::read(entry.path()).unwrap()));
            }
        }
    }
    all.sort();
    all
}

#[test]
fn fix_cuts_a_torn_tail_once_and_keeps_it() {
    let dir = directory();
    let (code, out) = fix_of(dir.path(), Force::No, "");
    assert!(code == 0 && out.contains("nothing to do"), "{out}");
    edit(dir.path(), SEGMENT, |bytes| bytes.truncate(bytes.len() - 1));
    let before = contents(dir.path());
    for answer in ["", "no\n", "y\n"] {
        let (code, out) = fix_of(dir.path(), Force::No, answer);
        assert!(code == 3 && out.contains("cut: 000003") && out.contains("row: F"), "{out}");
        assert!(before == contents(dir.path()), "nobody agreed, and something is changed");
    }
    let (code, out) = fix_of(dir.path(), Force::No, "yes\n");
    assert!(code == 0 && out.contains("fix: done  before: lost+cut/MANIFEST.0"), "{out}");
    let after = contents(dir.path());
    let kept = after.iter().find(|(path, _)| path.starts_with("lost+cut/000003-shard")).unwrap();
    let log = &before.iter().find(|(path, _)| path == SEGMENT).unwrap().1;
    assert!(!kept.1.is_empty() && log.ends_with(&kept.1), "what was cut is kept");
    let manifest = &before.iter().find(|(path, _)| path == names::MANIFEST).unwrap().1;
    assert!(after.iter().any(|(path, b)| path == "lost+cut/MANIFEST.0" && b == manifest));
    let (code, out) = verify_of(dir.path(), false);
    assert!(code == 0 && out.contains("records: 2  next: 10  tail: clean"), "{out}");
    assert!(!out.contains("note:"), "{out}");
    let (code, out) = fix_of(dir.path(), Force::Yes, "");
    assert!(code == 0 && out.contains("nothing to do") && after == contents(dir.path()), "{out}");
}

#[test]
fn fix_cuts_what_was_durable_only_by_force() {
    type Harm = fn(&Path);
    let harms: &[(Harm, &str, u64)] = &[
        (|dir| edit(dir, SEGMENT, |bytes| bytes[200] ^= 1), "row: I", 8),
        (|dir| edit(dir, SEGMENT, |bytes| bytes[500] ^= 1), "row: I", 9),
        (|dir| fs::remove_file(dir.join(SEGMENT)).unwrap(), "row: A", 8),
    ];
    for (harm, row, next) in harms {
        let dir = directory();
        harm(dir.path());
        let before = contents(dir.path());
        let (code, out) = fix_of(dir.path(), Force::No, "--yes");
        assert!(code == 1 && out.contains(row), "{out}");
        assert!(before == contents(dir.path()), "{out}");
        let (code, out) = fix_of(dir.path(), Force::Yes, "--yes");
        assert!(code == 0 && out.contains("fix: done"), "{out}");
        let (code, out) = verify_of(dir.path(), false);
        assert!(code == 0 && !out.contains("note:"), "{out}");
        let (code, out) = check(Task::Plan { at: at(dir.path(), false), strict: false });
        let end = format!("before: {next}");
        assert!(code == 0 && (out.contains(&end) || !out.contains("replay")), "{out}");
        assert!(fix_of(dir.path(), Force::Yes, "").1.contains("nothing to do"));
    }
}

#[test]
fn fix_leaves_alone_what_it_cannot_fix() {
    let dir = directory();
    edit(dir.path(), SNAPSHOT, |bytes| bytes[70] ^= 1);
    edit(dir.path(), SEGMENT, |bytes| bytes.truncate(bytes.len() - 1));
    let before = contents(dir.path());
    for force in [Force::No, Force::Yes] {
        let (code, out) = fix_of(dir.path(), force, "--yes");
        assert!(code == 1 && out.contains("nothing is changed"), "{out}");
        assert!(before == contents(dir.path()), "{out}");
    }
    edit(dir.path(), names::MANIFEST, |bytes| bytes[40] ^= 1);
    assert_eq!(fix_of(dir.path(), Force::Yes, "--yes").0, 1);
    let dir = directory();
    edit(dir.path(), SEGMENT, |bytes| bytes.truncate(bytes.len() - 1));
    let before = contents(dir.path());
    let lock = DirectoryLock::take(dir.path()).unwrap();
    let (code, why) = fix_of(dir.path(), Force::Yes, "--yes");
    assert!(code == 2 && why.contains("uses this directory"), "{why}");
    assert!(before == contents(dir.path()));
    drop(lock);
    assert_eq!(fix_of(dir.path(), Force::No, "--yes").0, 0);
}
