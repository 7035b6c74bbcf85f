//! Commands that wait for keys: how long, whether there is something to take now, and the part of a
//! command that concerns some of its keys. The handlers themselves never wait: they answer null.

use crate::base::ids::Db;
use crate::base::number;
use crate::commands::order::Item;
use crate::commands::spec::{Command, KeySpec};
use crate::commands::stream_wait;
use crate::commands::table;
use crate::keyspace::keyspace::Keyspace;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;

/// How long a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until there is something.
    Endless,
    /// So many milliseconds.
    Millis(u64),
}

/// Where a command's timeout stands.
enum Timeout {
    /// Its last argument, in seconds.
    Last,
    /// Its first argument, in seconds.
    First,
    /// After the word BLOCK, in milliseconds.
    Block,
}

fn timeout_of(command: &Command) -> Option<Timeout> {
    match command.name {
        "blpop" | "brpop" | "brpoplpush" | "blmove" | "bzpopmin" | "bzpopmax" => {
            Some(Timeout::Last)
        }
        "blmpop" | "bzmpop" => Some(Timeout::First),
        "xread" | "xreadgroup" => Some(Timeout::Block),
        _ => None,
    }
}

/// How long this request may wait; nothing if it does not wait or its timeout is none, which its
/// handler will say.
pub fn patience(command: &Command, args: Args<'_>) -> Option<Patience> {
    let millis = match timeout_of(command)? {
        Timeout::Last => timeout(args.at(args.len() - 1)).ok()?,
        Timeout::First => timeout(args.at(1)).ok()?,
        Timeout::Block => {
            let words = || args.iter().enumerate();
            let streams = words().position(|(_, word)| word.eq_ignore_ascii_case(b"streams"))?;
            let mut before = words().take(streams);
            let (at, _) = before.find(|(_, word)| word.eq_ignore_ascii_case(b"block"))?;
            u64::try_from(number::parse_i64(args.get(at + 1)?)?).ok()?
        }
    };
    // Without keys the request is wrong, and is told so.
    table::keys(command, args).next()?;
    Some(if millis == 0 { Patience::Endless } else { Patience::Millis(millis) })
}

/// A timeout in seconds, as milliseconds.
pub fn timeout(word: &[u8]) -> Result<u64, Error> {
    let seconds = number::parse_double(word).ok_or(Error::TIMEOUT_FLOAT)?;
    if seconds < 0.0 {
        return Err(Error::TIMEOUT_NEGATIVE);
    }
    let millis = (seconds * 1000.0).ceil();
    if millis > i64::MAX as f64 / 2.0 {
        return Err(Error::TIMEOUT_RANGE);
    }
    Ok(millis as u64)
}

/// Is there something to take now, or a key that holds another type, which is an error?
pub fn finds_any(keys: &mut Keyspace, item: &Item) -> bool {
    let args = item.args.args();
    if patience(item.command, args).is_none() {
        return true;
    }
    match timeout_of(item.command) {
        Some(Timeout::Block) => finds(keys, item),
        _ => waited(item).any(|at| keys.exists(item.db, args.at(at))),
    }
}

/// Is there something to take now? A key of another type is as good as none to who waits already.
pub fn finds(keys: &mut Keyspace, item: &Item) -> bool {
    if reads_streams(item.command) {
        return stream_wait::finds(keys, item);
    }
    let args = item.args.args();
    let kind = match item.command.name {
        "bzpopmin" | "bzpopmax" | "bzmpop" => "zset",
        _ => "list",
    };
    waited(item).any(|at| holds(keys, item.db, args.at(at), kind))
}

fn holds(keys: &mut Keyspace, db: Db, key: &[u8], kind: &str) -> bool {
    keys.kind(db, key).is_some_and(|found| found.name() == kind)
}

/// Where the keys stand that a request waits for: of those that it moves elements between, the
/// first.
pub fn waited(item: &Item) -> impl Iterator<Item = usize> + use<> {
    let most = if moves(item.command) { 1 } else { usize::MAX };
    table::keys(item.command, item.args.args()).take(most)
}

/// Does it need a second key, of which it does not wait?
pub fn moves(command: &Command) -> bool {
    matches!(command.name, "blmove" | "brpoplpush")
}

/// Does it answer with all of its keys that have something?
pub fn reads_streams(command: &Command) -> bool {
    matches!(command.name, "xread" | "xreadgroup")
}

/// The request as it has to stand while it waits: what means "from now on" is made exact.
pub fn resolved(keys: &mut Keyspace, item: &Item) -> Item {
    match reads_streams(item.command) {
        true => stream_wait::resolved(keys, item),
        false => item.clone(),
    }
}

/// The same request for one of its keys alone.
pub fn only(item: &Item, key: &[u8]) -> Item {
    let args = item.args.args();
    let places: Vec<usize> = waited(item).filter(|at| args.at(*at) == key).collect();
    part(item, &places)
}

/// The same request for some of its keys, those at these places.
pub fn part(item: &Item, places: &[usize]) -> Item {
    let args = item.args.args();
    let all: Vec<usize> = waited(item).collect();
    let (Some(first), Some(last)) = (all.first(), all.last()) else { return item.clone() };
    if moves(item.command) || places.len() == all.len() {
        return item.clone();
    }
    let mut kept = OwnedArgs::default();
    for at in 0..*first {
        match item.command.keys {
            KeySpec::Counted { count, .. } if at == usize::from(count) => {
                kept.push(places.len().to_string().as_bytes());
            }
            _ => kept.push(args.at(at)),
        }
    }
    places.iter().for_each(|at| kept.push(args.at(*at)));
    if let Some(Timeout::Block) = timeout_of(item.command) {
        // Behind the keys of streams stand as many ids.
        places.iter().for_each(|at| kept.push(args.get(at + all.len()).unwrap_or_default()));
    } else {
        args.iter().skip(last + 1).for_each(|arg| kept.push(arg));
    }
    Item { args: kept, ..item.clone() }
}
