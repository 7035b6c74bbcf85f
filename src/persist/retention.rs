//! What is kept of a generation that a checkpoint replaces, and which older ones stay: pure.
//!
//! A retained generation is a database of its own in its own directory: bases, the log up to the
//! cut of the next generation, and a manifest that names exactly these. Segments that lie in the
//! directories of checkpoints that failed get a second name in it.

use std::collections::BTreeMap;

use crate::base::ids::{Epoch, Generation, ShardId};
use crate::persist::manifest::{End, Manifest};
use crate::persist::names;

/// A generation as it is retained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retired {
    /// Its own manifest.
    pub manifest: Manifest,
    /// Files that need a second name: the present path and the one in its directory.
    pub links: Vec<(String, String)>,
}

/// What becomes of `old` when `next` replaces it. `ends` says, for each shard, where segments that
/// were closed in this run end. Nothing if there are no files to keep.
pub fn retire(old: &Manifest, next: &Manifest, ends: &[BTreeMap<u64, End>]) -> Option<Retired> {
    let mut manifest = Manifest { retained: Vec::new(), ..old.clone() };
    let mut links = Vec::new();
    let mut whole = true;
    for (shard, files) in manifest.shards.iter_mut().enumerate() {
        files.segments.retain(|segment| !next.paths().any(|path| path == segment.path));
        let shard = ShardId(u16::try_from(shard).unwrap_or(u16::MAX));
        let ends = ends.get(shard.index());
        for segment in &mut files.segments {
            segment.end = segment.end.or(ends.and_then(|ends| ends.get(&segment.number)).copied());
            whole &= segment.end.is_some();
            let own = names::segment(old.generation, shard, segment.number);
            if segment.path != own {
                links.push((std::mem::replace(&mut segment.path, own.clone()), own));
            }
        }
    }
    if whole {
        // Nothing is missing up to where the next generation begins.
        manifest.durable = manifest.durable.max(Epoch(next.cut.0.saturating_sub(1)));
    }
    // With another `appendonly` a server has read a log that it does not go on with.
    manifest.appendonly |= manifest.shards.iter().any(|files| !files.segments.is_empty());
    manifest.paths().next()?;
    Some(Retired { manifest, links })
}

/// The generations that are retained from now on, the youngest first.
pub fn retained(
    old: &[Generation],
    replaced: Option<Generation>,
    wanted: usize,
) -> Vec<Generation> {
    replaced.iter().chain(old).take(wanted).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::Lsn;
    use crate::persist::manifest::tests::example;

    /// The manifest of the generation after `example`.
    fn next() -> Manifest {
        let mut next = example();
        next.generation = Generation(43);
        next.cut = Epoch(1800);
        for files in &mut next.shards {
            files.base = None;
            files.segments.retain(|segment| segment.path.starts_with("000043"));
        }
        next
    }

    #[test]
    fn a_generation_keeps_its_log_up_to_the_next_one() {
        let mut old = example();
        let own = |number| names::segment(Generation(42), ShardId(0), number);
        // A checkpoint failed before the one that replaces it.
        let mut other = old.shards[0].segments[1].clone();
        other.path = "000040/shard-000.000007.aof".to_owned();
        old.shards[0].segments[1] = other;
        let end = |next| End { length: 77, next: Lsn(next) };
        let ends = [BTreeMap::from([(7, end(150))]), BTreeMap::from([(3, end(9))])];
        let Retired { manifest, links } = retire(&old, &next(), &ends).unwrap();
        assert_eq!(manifest.check(), Ok(()));
        let segments = &manifest.shards[0].segments;
        assert_eq!(segments.len(), 2);
        assert_eq!((segments[0].path.clone(), segments[1].path.clone()), (own(6), own(7)));
        assert_eq!(segments[1].end, Some(end(150)));
        assert_eq!(manifest.shards[1].segments[0].end, Some(end(9)));
        assert_eq!(links, [("000040/shard-000.000007.aof".to_owned(), own(7))]);
        assert_eq!((manifest.durable, manifest.retained), (Epoch(1799), Vec::new()));
        // A log that broke has no end: no more is said of it than before.
        let Retired { manifest, .. } = retire(&old, &next(), &ends[..1]).unwrap();
        assert_eq!(manifest.shards[1].segments[0].end, None);
        assert_eq!(manifest.durable, example().durable);
    }

    #[test]
    fn an_empty_directory_leaves_nothing() {
        let mut old = example();
        for files in &mut old.shards {
            (files.base, files.segments) = (None, Vec::new());
        }
        assert_eq!(retire(&old, &next(), &[]), None);
    }

    #[test]
    fn the_youngest_stay() {
        let old = [Generation(41), Generation(39)];
        let numbers = |replaced, wanted| -> Vec<u64> {
            retained(&old, replaced, wanted).iter().map(|generation| generation.0).collect()
        };
        assert_eq!(numbers(Some(Generation(42)), 2), [42, 41]);
        assert_eq!(numbers(Some(Generation(42)), 9), [42, 41, 39]);
        assert_eq!(numbers(None, 1), [41]);
        assert_eq!(numbers(Some(Generation(42)), 0), [0u64; 0]);
    }
}
