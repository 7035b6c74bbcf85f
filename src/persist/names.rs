//! The names of all files of a data directory, and which of them are the database.
//!
//! ```text
//! MANIFEST  MANIFEST.tmp  IMPORT  LOCK  lost+cut/...
//! 000042/shard-000.snapshot         base of a shard
//! 000042/shard-000.base.aof         base as RESP commands
//! 000042/shard-000.000007.aof       segment
//! 000042/shard-000.000007.aof.tmp   copy of a segment that is to take its place
//! 000041/MANIFEST                   copy of the manifest of a retained generation
//! ```
//!
//! A path is one of ours if and only if it is exactly what this file would format. What is not ours
//! is left alone for ever. What is ours and not governed by the manifest is garbage: the leftover
//! of a checkpoint that was not finished, or that has been replaced. Without a manifest nothing is
//! garbage: then files of ours mean that the manifest was lost, and that is a fault.

use crate::base::ids::{Generation, ShardId};
use crate::base::wire::decimal;
use crate::limits::SHARDS_MAX;
use crate::persist::manifest::Manifest;

/// The only commit point.
pub const MANIFEST: &str = "MANIFEST";
/// What becomes the manifest by being renamed.
pub const MANIFEST_TMP: &str = "MANIFEST.tmp";
/// There until the first manifest: what lies beside it is the rest of an import.
pub const IMPORT: &str = "IMPORT";
/// Held locked by the server that uses the directory.
pub const LOCK: &str = "LOCK";
/// Where recovery keeps what it cut off; never read again.
pub const LOST_CUT: &str = "lost+cut";

/// What a path inside the data directory names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Name {
    /// `MANIFEST`
    Manifest,
    /// `MANIFEST.tmp`
    ManifestTmp,
    /// `IMPORT`
    Import,
    /// `LOCK`
    Lock,
    /// `lost+cut`, or anything in it.
    LostCut,
    /// `000042`
    Directory(Generation),
    /// `000042/MANIFEST`
    Retained(Generation),
    /// `000042/shard-000.snapshot`
    Snapshot(Generation, ShardId),
    /// `000042/shard-000.base.aof`
    TextBase(Generation, ShardId),
    /// `000042/shard-000.000007.aof`
    Segment(Generation, ShardId, u64),
    /// `000042/shard-000.000007.aof.tmp`
    Copy(Generation, ShardId, u64),
}

/// What becomes of a path at start or after a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Part of the database, or needed beside it.
    Keep,
    /// To be removed.
    Garbage,
    /// Not ours: left alone, and reported.
    Foreign,
}

/// `000042`
pub fn directory(generation: Generation) -> String {
    format!("{:06}", generation.0)
}

/// `000042/shard-000.snapshot`
pub fn snapshot(generation: Generation, shard: ShardId) -> String {
    format!("{:06}/shard-{:03}.snapshot", generation.0, shard.0)
}

/// `000042/shard-000.base.aof`
pub fn text_base(generation: Generation, shard: ShardId) -> String {
    format!("{:06}/shard-{:03}.base.aof", generation.0, shard.0)
}

/// `000042/shard-000.000007.aof`
pub fn segment(generation: Generation, shard: ShardId, number: u64) -> String {
    format!("{:06}/{}", generation.0, segment_file(shard, number))
}

/// `shard-000.000007.aof`
pub fn segment_file(shard: ShardId, number: u64) -> String {
    format!("shard-{:03}.{number:06}.aof", shard.0)
}

/// `000042/shard-000.000007.aof.tmp`: what replaces this segment by being renamed.
pub fn copy_of(segment: &str) -> String {
    format!("{segment}.tmp")
}

/// `000041/MANIFEST`
pub fn retained(generation: Generation) -> String {
    format!("{:06}/{MANIFEST}", generation.0)
}

/// `lost+cut/000042-shard-000.000007.aof.at-1234`: where the bytes of `path` from `offset` on go.
pub fn lost(path: &str, offset: u64) -> String {
    format!("{LOST_CUT}/{}.at-{offset}", path.replace('/', "-"))
}

/// What a path (relative, `/` between its parts) names; nothing if it is not one of ours.
pub fn parse(path: &str) -> Option<Name> {
    let name = match path.split_once('/') {
        None => match path {
            MANIFEST => Name::Manifest,
            MANIFEST_TMP => Name::ManifestTmp,
            IMPORT => Name::Import,
            LOCK => Name::Lock,
            LOST_CUT => Name::LostCut,
            _ => Name::Directory(Generation(number(path)?)),
        },
        Some((LOST_CUT, _)) => Name::LostCut,
        Some((directory, file)) => parse_file(Generation(number(directory)?), file)?,
    };
    Some(name)
}

fn parse_file(generation: Generation, file: &str) -> Option<Name> {
    if file == MANIFEST {
        return Some(Name::Retained(generation));
    }
    let (shard, rest) = file.strip_prefix("shard-")?.split_once('.')?;
    let shard = decimal(shard.as_bytes()).filter(|number| *number < SHARDS_MAX as u64)?;
    let shard = ShardId(u16::try_from(shard).ok()?);
    let name = match rest {
        "snapshot" => Name::Snapshot(generation, shard),
        "base.aof" => Name::TextBase(generation, shard),
        _ => match rest.strip_suffix(".tmp") {
            Some(rest) => Name::Copy(generation, shard, number(rest.strip_suffix(".aof")?)?),
            None => Name::Segment(generation, shard, number(rest.strip_suffix(".aof")?)?),
        },
    };
    // The shard's digits have one form only.
    let exact = file.get(..10).is_some_and(|start| start == format!("shard-{:03}.", shard.0));
    exact.then_some(name)
}

/// Six digits, or more without a leading zero.
fn number(text: &str) -> Option<u64> {
    let value = decimal(text.as_bytes())?;
    (format!("{value:06}") == text).then_some(value)
}

/// What becomes of `path` under this manifest; `None` stands for a directory without one.
pub fn fate(path: &str, manifest: Option<&Manifest>) -> Fate {
    let Some(name) = parse(path) else { return Fate::Foreign };
    let Some(manifest) = manifest else { return Fate::Keep };
    let keep = match name {
        Name::Manifest | Name::Lock | Name::LostCut => true,
        Name::ManifestTmp | Name::Import | Name::Copy(..) => false,
        Name::Directory(generation) => {
            let within = directory(generation) + "/";
            manifest.generation == generation
                || manifest.retained.contains(&generation)
                || manifest.paths().any(|path| path.starts_with(&within))
        }
        Name::Retained(generation) => manifest.retained.contains(&generation),
        Name::Snapshot(generation, _)
        | Name::TextBase(generation, _)
        | Name::Segment(generation, _, _) => {
            manifest.retained.contains(&generation) || manifest.paths().any(|ours| ours == path)
        }
    };
    if keep { Fate::Keep } else { Fate::Garbage }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::persist::manifest::tests::example;

    #[test]
    fn format_and_parse() {
        let (g, s) = (Generation(42), ShardId(3));
        for (text, name) in [
            ("MANIFEST".to_string(), Name::Manifest),
            ("MANIFEST.tmp".to_string(), Name::ManifestTmp),
            ("IMPORT".to_string(), Name::Import),
            ("LOCK".to_string(), Name::Lock),
            ("lost+cut".to_string(), Name::LostCut),
            (lost("000042/x", 7), Name::LostCut),
            (directory(g), Name::Directory(g)),
            (directory(Generation(1_234_567)), Name::Directory(Generation(1_234_567))),
            (retained(g), Name::Retained(g)),
            (snapshot(g, s), Name::Snapshot(g, s)),
            (text_base(g, s), Name::TextBase(g, s)),
            (segment(g, s, 7), Name::Segment(g, s, 7)),
            (copy_of(&segment(g, s, 7)), Name::Copy(g, s, 7)),
            (segment(g, ShardId(255), 7_654_321), Name::Segment(g, ShardId(255), 7_654_321)),
        ] {
            assert_eq!(parse(&text), Some(name), "{text}");
        }
        assert_eq!(segment(g, s, 7), "000042/shard-003.000007.aof");
        assert_eq!(
            lost("000042/shard-003.000007.aof", 9),
            "lost+cut/000042-shard-003.000007.aof.at-9"
        );
    }

    #[test]
    fn other_names_are_foreign() {
        for path in [
            "",
            "manifest",
            "42",
            "0000042",
            "000042/",
            "000042/x",
            "000042/shard-3.snapshot",
            "000042/shard-0003.snapshot",
            "000042/shard-256.snapshot",
            "000042/shard-999.snapshot",
            "000042/shard-003.snapshot.bak",
            "000042/shard-003.7.aof",
            "000042/shard-003.0000007.aof",
            "000042/shard-003.+00007.aof",
            "000042/shard-\u{e9}3.snapshot",
            "000042/a/shard-003.snapshot",
            "dump.rdb",
            "MANIFEST.tmp2",
            "/MANIFEST",
        ] {
            assert_eq!(parse(path), None, "{path}");
            assert_eq!(fate(path, None), Fate::Foreign);
            assert_eq!(fate(path, Some(&example())), Fate::Foreign);
        }
    }

    #[test]
    fn fates() {
        let manifest = example();
        for (path, fate_with, fate_without) in [
            ("MANIFEST", Fate::Keep, Fate::Keep),
            ("LOCK", Fate::Keep, Fate::Keep),
            ("lost+cut/anything", Fate::Keep, Fate::Keep),
            ("MANIFEST.tmp", Fate::Garbage, Fate::Keep),
            ("IMPORT", Fate::Garbage, Fate::Keep),
            ("000042", Fate::Keep, Fate::Keep),
            ("000042/shard-000.snapshot", Fate::Keep, Fate::Keep),
            ("000042/shard-000.000007.aof", Fate::Keep, Fate::Keep),
            ("000042/shard-000.000008.aof", Fate::Garbage, Fate::Keep),
            ("000042/shard-002.snapshot", Fate::Garbage, Fate::Keep),
            ("000042/MANIFEST", Fate::Garbage, Fate::Keep),
            // Prepared by a checkpoint that is under way: the segment is governed, the snapshot
            // is not one before the next manifest says so.
            ("000043", Fate::Keep, Fate::Keep),
            ("000043/shard-000.000009.aof", Fate::Keep, Fate::Keep),
            ("000043/shard-000.snapshot", Fate::Garbage, Fate::Keep),
            // Retained.
            ("000041", Fate::Keep, Fate::Keep),
            ("000041/MANIFEST", Fate::Keep, Fate::Keep),
            ("000041/shard-005.000001.aof", Fate::Keep, Fate::Keep),
            ("000040", Fate::Garbage, Fate::Keep),
            ("000040/shard-000.snapshot", Fate::Garbage, Fate::Keep),
            ("000044", Fate::Garbage, Fate::Keep),
        ] {
            assert_eq!(fate(path, Some(&manifest)), fate_with, "{path}");
            assert_eq!(fate(path, None), fate_without, "{path} without a manifest");
        }
    }
}
