//! Tests of the command line of basalt-check.

use super::*;

use basalt::base::ids::{Db, Epoch, Generation, SlotRange, TxId};
use basalt::base::time::Millis;
use basalt::persist::manifest::{HashId, ShardFiles};
use basalt::persist::record::{Policy, RunId, SegmentId};
use basalt::persist::segment::{SegmentWriter, Stamp};
use basalt::persist::shard_set::ShardSet;
use basalt::persist::snapshot_file::ChunkWriter;
use basalt::resp::args::OwnedArgs;

const RUN: RunId = RunId(0xabc);
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
        hash: HashId::default(),
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
        hash: HashId::default(),
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
        Err(Trouble::Damaged) => 1,
        Err(Trouble::Unable(_)) => 2,
    };
    (code, String::from_utf8(out).unwrap())
}

fn verify_of(dir: &Path, json: bool) -> (u8, String) {
    check(Task::Verify { dir: dir.to_owned(), json })
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
    assert_eq!((code, out.matches("state: ok").count()), (0, 3), "{out}");
    assert!(out.contains("records: 3  next: 11  tail: clean"), "{out}");
    let (code, out) = verify_of(dir.path(), true);
    assert!(code == 0 && out.starts_with("{\"file\": \"MANIFEST\", \"state\": \"ok\"}\n"), "{out}");
    let (code, out) = check(Task::List { dir: dir.path().into(), json: false });
    for part in ["entries: string:1,hash:1", "foreign: notes.txt", "garbage: MANIFEST.tmp"] {
        assert!(code == 0 && out.contains(part), "{out}");
    }
    let (code, out) = check(Task::Plan { dir: dir.path().into(), strict: true, json: false });
    for part in ["start: OtherBoot", "load: 000003", "from: 8  before: 11", "leave: notes.txt"] {
        assert!(code == 0 && out.contains(part), "{out}");
    }
    let dump = |segment: &str| {
        check(Task::Dump { dir: dir.path().into(), segment: segment.into(), json: true })
    };
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
    assert_eq!(verify_of(dir.path(), false).0, 2);
}
