//! Where a command runs: a pure function of its row, its arguments and the number of shards.

use crate::base::ids::ShardId;
use crate::commands::sort;
use crate::commands::spec::{Across, Command, KeySpec, Merge, Run};
use crate::commands::table;
use crate::resp::args::Args;
use crate::router::slot::shard_of;

/// Where a command runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// In the session itself.
    Session,
    /// On one shard.
    One(ShardId),
    /// On one shard, named by the cursor it was given.
    Cursor(ShardId),
    /// On the shards that own its keys, each with its share.
    Split(Merge),
    /// On every shard.
    All(Merge),
    /// In a scratch keyspace that brings its keys together.
    Gather,
}

/// Where to run a command; `me` is the shard of the session's own core.
pub fn route(command: &Command, args: Args<'_>, me: ShardId, shards: u16) -> Route {
    if matches!(command.run, Run::Session(_)) {
        return Route::Session;
    }
    match command.across {
        Across::Session => Route::Session,
        _ if shards == 1 => Route::One(ShardId(0)),
        Across::Cursor => Route::Cursor(cursor_shard(args.at(1), shards)),
        Across::All(merge) => Route::All(merge),
        Across::One => match table::keys(command, args).next() {
            Some(at) => Route::One(shard_of(args.at(at), shards)),
            None => Route::One(me),
        },
        Across::Split(_) | Across::Gather | Across::Excerpts(_) => {
            several(command, args, me, shards)
        }
    }
}

/// A command with several keys: on one shard when they all live there.
fn several(command: &Command, args: Args<'_>, me: ShardId, shards: u16) -> Route {
    let mut owners = table::keys(command, args).map(|at| shard_of(args.at(at), shards));
    let Some(first) = owners.next() else { return Route::One(me) };
    let whole = match command.keys {
        KeySpec::At { first, step, .. } => {
            (args.len() - usize::from(first)).is_multiple_of(usize::from(step))
        }
        KeySpec::Streams { .. } => {
            let first = table::keys(command, args).next().unwrap_or_default();
            (args.len() - first).is_multiple_of(2)
        }
        _ => true,
    };
    if !whole {
        // `MSET a 1 b`, `XREAD STREAMS a b 0`: the handler has the error text.
        return Route::One(first);
    }
    if sort::follows_patterns(command, args) {
        // Which keys it looks up is known when its elements are.
        return Route::Gather;
    }
    if owners.all(|owner| owner == first) {
        return Route::One(first);
    }
    match command.across {
        Across::Split(merge) => Route::Split(merge),
        _ => Route::Gather,
    }
}

/// SCAN's cursor carries the shard above the 48 bits that the shard itself uses.
pub const CURSOR_BITS: u32 = 48;

/// The shard that a cursor names; what is not a cursor goes to the first, which refuses it.
fn cursor_shard(cursor: &[u8], shards: u16) -> ShardId {
    let value = std::str::from_utf8(cursor).ok().and_then(|text| text.parse::<u64>().ok());
    let shard = value.unwrap_or_default() >> CURSOR_BITS;
    // A cursor of another start with more shards ends the scan at the last shard.
    ShardId(u16::try_from(shard).unwrap_or(u16::MAX).min(shards - 1))
}

/// The cursor as the shard itself counts.
pub fn local_cursor(cursor: &[u8]) -> Option<u64> {
    let value = std::str::from_utf8(cursor).ok()?.parse::<u64>().ok()?;
    Some(value & ((1 << CURSOR_BITS) - 1))
}

/// The cursor that a client gets, from the one that the shard answered.
pub fn global_cursor(local: u64, shard: ShardId, shards: u16) -> u64 {
    match local {
        0 if shard.0 + 1 < shards => u64::from(shard.0 + 1) << CURSOR_BITS,
        0 => 0,
        local => local | u64::from(shard.0) << CURSOR_BITS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_name_their_shard() {
        for (local, shard, shards, expected) in
            [(0, 0, 1, 0), (0, 0, 2, 1 << 48), (0, 1, 2, 0), (7, 1, 2, 7 | 1 << 48), (7, 0, 2, 7)]
        {
            let global = global_cursor(local, ShardId(shard), shards);
            assert_eq!(global, expected);
            let text = global.to_string();
            if local != 0 {
                assert_eq!(cursor_shard(text.as_bytes(), shards), ShardId(shard));
                assert_eq!(local_cursor(text.as_bytes()), Some(local));
            }
        }
        assert_eq!(cursor_shard(b"nonsense", 4), ShardId(0));
        assert_eq!(cursor_shard(b"18446744073709551615", 4), ShardId(3));
    }
}
