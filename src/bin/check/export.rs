//! `basalt-check export`: the database as a file that a stock redis-server loads.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use basalt::base::ids::ShardId;
use basalt::persist::rdb::file_writer::FileWriter;
use basalt::persist::rdb::payload::{READ, WRITTEN};
use basalt::persist::recovery::Mode;
use basalt::persist::segment_scan::Parts;
use basalt::server::verify;

use crate::report::{Report, Value, text};
use crate::{Trouble, look};

/// What a redis-server looks for in its directory.
const NAME: &str = "dump.rdb";

/// Loads one shard after another, as a start would, and writes its keys. The file gets its name
/// when it is whole; one that is there is not replaced.
pub fn export(
    dir: &Path,
    mode: Mode,
    databases: u16,
    to: &Path,
    report: &mut Report<'_>,
) -> Result<(), Trouble> {
    let Some(inspected) = look(dir, Parts::Undecided, report)? else { return Ok(()) };
    let plan = match inspected.plan(mode) {
        Ok(plan) => plan,
        Err(refusal) => return report.refusal(&refusal),
    };
    let (path, temporary) = (to.join(NAME), to.join(format!("{NAME}.tmp")));
    if path.exists() {
        return Err(Trouble::Unable(format!("{} exists already", path.display())));
    }
    let failed = |error: io::Error| Trouble::Unable(format!("{}: {error}", temporary.display()));
    fs::create_dir_all(to).map_err(failed)?;
    // Whether a later version is needed is known when all shards have been seen.
    let mut version = WRITTEN;
    let (keys, bytes) = loop {
        let mut file = File::create(&temporary).map_err(failed)?;
        let mut writer = FileWriter::new(version, &[("redis-bits", "64"), ("ctime", &now())]);
        let (mut keys, mut timed) = (0, 0);
        for index in 0..inspected.manifest.shards.len() {
            let id = ShardId(u16::try_from(index).unwrap_or(u16::MAX));
            let mut shard = verify::load(dir, &inspected.manifest, &plan, id, databases)?;
            timed += usize::from(shard.keys.has_timed_fields());
            let mut write = |part: Vec<u8>| file.write_all(&part);
            keys += shard.write_dump(&mut writer, &mut write).map_err(failed)?;
        }
        if timed > 0 && version < READ {
            version = READ;
            continue;
        }
        file.write_all(&writer.finish()).and_then(|()| file.sync_all()).map_err(failed)?;
        break (keys, file.metadata().map_err(failed)?.len());
    };
    fs::rename(&temporary, &path).map_err(failed)?;
    File::open(to).and_then(|to| to.sync_all()).map_err(failed)?;
    report.line(&[
        ("exported", text(&path.display().to_string())),
        ("keys", Value::Number(keys)),
        ("bytes", Value::Number(bytes)),
    ])
}

/// Seconds since 1970.
fn now() -> String {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()).to_string()
}
