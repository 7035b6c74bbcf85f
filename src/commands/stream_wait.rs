//! Streams: whether XREAD and XREADGROUP with BLOCK have something to return, and what `$` means
//! while they wait.

use crate::base::ids::Db;
use crate::commands::order::Item;
use crate::commands::parse::is;
use crate::commands::stream_parse::strict_id;
use crate::commands::stream_read::Reading;
use crate::keyspace::keyspace::Keyspace;
use crate::resp::args::OwnedArgs;

/// Would the request return entries, or an error that a client that waits has to hear?
pub fn finds(keys: &mut Keyspace, item: &Item) -> bool {
    let Ok(reading) = Reading::read(item.args.args(), item.command.name) else { return true };
    let mut pairs = reading.keys.iter().zip(reading.ids.iter());
    pairs.any(|(key, id)| match reading.group {
        Some((group, _)) => delivers(keys, (item.db, key), id, group),
        None => has_after(keys, (item.db, key), id),
    })
}

fn has_after(keys: &mut Keyspace, (db, key): (Db, &[u8]), id: &[u8]) -> bool {
    let Ok(Some(stream)) = keys.stream(db, key) else { return false };
    match id {
        b"$" => false,
        b"+" => !stream.is_empty(),
        _ => strict_id(id).is_ok_and(|id| stream.last_id() > id),
    }
}

/// A group that is gone is an error; what is pending is returned at once, even if that is nothing.
fn delivers(keys: &mut Keyspace, (db, key): (Db, &[u8]), id: &[u8], group: &[u8]) -> bool {
    let Ok(Some(stream)) = keys.stream(db, key) else { return true };
    let Some(group) = stream.group(group) else { return true };
    id != b">" || stream.last_id() > group.last
}

/// The same request with `$` and `+` as the ids that they mean now.
pub fn resolved(keys: &mut Keyspace, item: &Item) -> Item {
    let args = item.args.args();
    let Ok(reading) = Reading::read(args, item.command.name) else { return item.clone() };
    let names: Vec<Vec<u8>> = reading.keys.iter().map(<[u8]>::to_vec).collect();
    let first = args.len() - names.len();
    let mut kept = OwnedArgs::default();
    for (at, arg) in args.iter().enumerate() {
        let key = at.checked_sub(first).and_then(|at| names.get(at));
        match key {
            Some(key) if is(arg, "$") || is(arg, "+") => {
                let last = keys.stream(item.db, key).ok().flatten().map(|stream| stream.last);
                kept.push(&last.unwrap_or_default().text());
            }
            _ => kept.push(arg),
        }
    }
    Item { args: kept, ..item.clone() }
}
