//! One value of millions of elements: how it is built and written to, and what may happen to it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::mix::{push_bulk, push_head, push_name};
use crate::reply::{Reply, Scanner};
use crate::{control, ends};

/// A type of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Giant {
    /// Of 16-byte elements
    List,
    /// Of 16-byte members
    Set,
    /// Of 16-byte members, in no order of their scores
    SortedSet,
    /// Of entries of one field with a 16-byte value
    Stream,
    /// Of 16-byte fields with 16-byte values
    Hash,
}

/// Where a value lies: the names of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Where it is built first.
    Built,
    /// Another name, in the same shard.
    Renamed,
    /// A name in another shard, however many there are.
    Moved,
    /// Where its copy is, in the shard of `Moved`.
    Copy,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: what the machine itself does to waits.
    Nothing,
    /// BGSAVE, with a connection that writes to the key.
    Snapshot,
    /// RENAME within its shard.
    Rename,
    /// RENAME to a name in another shard.
    Move,
    /// A command that stores a copy.
    Store,
    /// DEL of the copy.
    DropCopy,
    /// EXPIRE, until the key is gone.
    Expire,
    /// DEL of a value that was built.
    Drop,
    /// FLUSHALL while there is a copy.
    Flush,
}

/// What an action waits for when it has been answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// No snapshot runs.
    Saved,
    /// There are only the small keys.
    Gone,
    /// Nothing is left to be freed.
    Freed,
}

/// An odd prime beyond any number of elements here: number times it, modulo their count, goes
/// through them in no order.
const SPREAD: u64 = 4_294_967_291;
/// Scores are below this.
const SCORES: u64 = 1_000_000_000;

fn score(number: u64) -> u64 {
    number.wrapping_mul(SPREAD) % SCORES
}

impl Giant {
    /// Its name in pages.
    pub fn name(self) -> &'static str {
        match self {
            Giant::List => "list",
            Giant::Set => "set",
            Giant::SortedSet => "sorted set",
            Giant::Stream => "stream",
            Giant::Hash => "hash",
        }
    }

    /// Its key. Of the slots of `bar` and `foo` one is in the first half of all and one in the
    /// second, so two shards or more have them apart.
    pub fn key(self, place: Place) -> String {
        let (tag, rest) = match place {
            Place::Built => ("bar", ""),
            Place::Renamed => ("bar", ":renamed"),
            Place::Moved => ("foo", ""),
            Place::Copy => ("foo", ":copy"),
        };
        format!("{{{tag}}}:{}{rest}", self.name().replace(' ', "-"))
    }

    /// The commands that write to it while it is saved.
    pub fn writes(self) -> &'static str {
        match self {
            Giant::List => "RPUSH and LPOP",
            Giant::Set => "SADD and SREM",
            Giant::SortedSet => "ZADD",
            Giant::Stream => "XADD",
            Giant::Hash => "HSET",
        }
    }

    /// Such a write, by its number.
    pub fn write(self, number: u64, elements: u64) -> Vec<String> {
        let (old, new) = (number.wrapping_mul(SPREAD) % elements.max(1), elements + number);
        let name = |prefix: &str, number: u64| format!("{prefix}{number:012}");
        let (command, rest) = match (self, number % 2) {
            (Giant::List, 0) => ("RPUSH", vec![name("elm:", new)]),
            (Giant::List, _) => ("LPOP", vec![]),
            (Giant::Set, 0) => ("SADD", vec![name("mbr:", new)]),
            (Giant::Set, _) => ("SREM", vec![name("mbr:", old)]),
            (Giant::SortedSet, _) => ("ZADD", vec![score(new).to_string(), name("mbr:", old)]),
            (Giant::Stream, _) => ("XADD", vec!["*".into(), "f".into(), name("val:", new)]),
            (Giant::Hash, _) => ("HSET", vec![name("fld:", old), name("val:", new)]),
        };
        [vec![command.to_owned(), self.key(Place::Built)], rest].concat()
    }

    /// Words of one element in the command that builds it, and that command.
    fn adds(self) -> (&'static str, u64) {
        match self {
            Giant::List => ("RPUSH", 1),
            Giant::Set => ("SADD", 1),
            Giant::SortedSet => ("ZADD", 2),
            Giant::Stream => ("XADD", 3),
            Giant::Hash => ("HSET", 2),
        }
    }

    fn push_element(self, number: u64, out: &mut Vec<u8>) {
        match self {
            Giant::List => push_name(out, "elm:", number),
            Giant::Set => push_name(out, "mbr:", number),
            Giant::SortedSet => {
                push_bulk(out, itoa::Buffer::new().format(score(number)).as_bytes());
                push_name(out, "mbr:", number);
            }
            Giant::Stream => {
                push_bulk(out, b"*");
                push_bulk(out, b"f");
                push_name(out, "val:", number);
            }
            Giant::Hash => {
                push_name(out, "fld:", number);
                push_name(out, "val:", number);
            }
        }
    }

    /// Commands that add these elements; how many they are.
    fn push_batch(self, key: &str, numbers: std::ops::Range<u64>, out: &mut Vec<u8>) -> u64 {
        let (command, words) = self.adds();
        let count = numbers.end - numbers.start;
        // XADD adds one entry.
        let (commands, each) = if self == Giant::Stream { (count, 1) } else { (1, count) };
        for (at, number) in numbers.enumerate() {
            if (at as u64).is_multiple_of(each) {
                push_head(out, 2 + each * words);
                push_bulk(out, command.as_bytes());
                push_bulk(out, key.as_bytes());
            }
            self.push_element(number, out);
        }
        commands
    }
}

impl Action {
    /// What it is called on the page of a type.
    pub fn title(self, giant: Giant) -> String {
        let store = |giant| Action::Store.words(giant).first().cloned().unwrap_or_default();
        match self {
            Action::Nothing => "nothing".to_owned(),
            Action::Snapshot => format!("BGSAVE under {}", giant.writes()),
            Action::Rename => "RENAME".to_owned(),
            Action::Move => "RENAME, to another shard".to_owned(),
            Action::Store => store(giant),
            Action::DropCopy => format!("DEL of what {} made", store(giant)),
            Action::Expire => "EXPIRE of 1 s, until it is gone".to_owned(),
            Action::Drop => "DEL".to_owned(),
            Action::Flush => "FLUSHALL".to_owned(),
        }
    }

    /// The command; none for nothing.
    pub fn words(self, giant: Giant) -> Vec<String> {
        let key = |place| giant.key(place);
        let (from, to) = (key(Place::Moved), key(Place::Copy));
        match (self, giant) {
            (Action::Nothing, _) => vec![],
            (Action::Snapshot, _) => vec!["BGSAVE".to_owned()],
            (Action::Rename, _) => {
                vec!["RENAME".to_owned(), key(Place::Built), key(Place::Renamed)]
            }
            (Action::Move, _) => vec!["RENAME".to_owned(), key(Place::Renamed), from],
            (Action::Store, Giant::Set) => vec!["SUNIONSTORE".to_owned(), to, from],
            (Action::Store, Giant::SortedSet) => {
                vec!["ZUNIONSTORE".to_owned(), to, "1".to_owned(), from]
            }
            (Action::Store, _) => vec!["COPY".to_owned(), from, to],
            (Action::DropCopy, _) => vec!["DEL".to_owned(), to],
            (Action::Expire, _) => vec!["EXPIRE".to_owned(), from, "1".to_owned()],
            (Action::Drop, _) => vec!["DEL".to_owned(), from],
            (Action::Flush, _) => vec!["FLUSHALL".to_owned()],
        }
    }

    /// What has to be so, one after the other, until it is done.
    pub fn untils(self) -> &'static [Until] {
        match self {
            Action::Nothing | Action::Rename | Action::Move | Action::Store => &[],
            Action::Snapshot => &[Until::Saved],
            Action::Expire => &[Until::Gone, Until::Freed],
            Action::DropCopy | Action::Drop | Action::Flush => &[Until::Freed],
        }
    }
}

impl Until {
    /// What to ask.
    pub fn question(self) -> &'static [&'static str] {
        match self {
            Until::Saved => &["INFO", "persistence"],
            Until::Gone => &["DBSIZE"],
            Until::Freed => &["INFO", "memory"],
        }
    }

    /// Does the answer say that it is so? `small` is how many keys there are besides.
    pub fn met(self, answer: &str, small: u64) -> bool {
        match self {
            Until::Saved => !control::saving(answer),
            Until::Gone => answer.parse::<u64>().is_ok_and(|keys| keys <= small),
            Until::Freed => {
                control::field(answer, "lazyfree_pending_objects").is_none_or(|left| left == "0")
            }
        }
    }
}

/// Elements that are sent together.
const BATCH: u64 = 500;
/// Batches on their way at most: neither side waits for the other then, and the answers fit
/// into the sockets.
const BATCHES: u64 = 4;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Builds it under this key.
pub fn build(giant: Giant, key: &str, elements: u64, address: SocketAddr) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("building {key}: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    let (mut out, mut scanner, mut owed, mut next) = (Vec::new(), Scanner::new(), 0, 0);
    let mut input = vec![0; 1 << 16];
    while next < elements || owed > 0 {
        ends::interrupted()?;
        let mut room = 0;
        if next < elements {
            let to = (next + BATCH).min(elements);
            out.clear();
            let commands = giant.push_batch(key, next..to, &mut out);
            stream.write_all(&out).map_err(failed)?;
            (owed, next, room) = (owed + commands, to, commands * (BATCHES - 1));
        }
        while owed > room {
            let got = match stream.read(&mut input) {
                Ok(0) => return Err(format!("building {key}: the server closed the connection")),
                Ok(got) => got,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(failed(error)),
            };
            let mut refused = None;
            let mut take = |reply: Reply| {
                owed = owed.saturating_sub(1);
                if let Reply::Error(why) = reply {
                    refused.get_or_insert(why);
                }
            };
            scanner.feed(input.get(..got).unwrap_or_default(), &mut take)?;
            if let Some(why) = refused {
                return Err(format!("building {key}: {why}"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_resp() {
        let mut out = Vec::new();
        assert_eq!(Giant::Set.push_batch("k", 7..9, &mut out), 1);
        let text = "*4\r\n$4\r\nSADD\r\n$1\r\nk\r\n$16\r\nmbr:000000000007\r\n$16\r\n\
                    mbr:000000000008\r\n";
        assert_eq!(String::from_utf8_lossy(&out), text);
        out.clear();
        assert_eq!(Giant::Stream.push_batch("k", 0..3, &mut out), 3);
        assert_eq!(String::from_utf8_lossy(&out).matches("*5\r\n$4\r\nXADD\r\n").count(), 3);
    }

    #[test]
    fn commands_are_about_the_key() {
        let words = |action: Action, giant| action.words(giant).join(" ");
        let zset = Giant::SortedSet;
        assert_eq!(words(Action::Rename, zset), "RENAME {bar}:sorted-set {bar}:sorted-set:renamed");
        let stored = "ZUNIONSTORE {foo}:sorted-set:copy 1 {foo}:sorted-set";
        assert_eq!(words(Action::Store, zset), stored);
        assert_eq!(words(Action::Store, Giant::Hash), "COPY {foo}:hash {foo}:hash:copy");
        assert_eq!(Action::DropCopy.title(Giant::Set), "DEL of what SUNIONSTORE made");
        assert_eq!(Giant::List.write(1, 10).join(" "), "LPOP {bar}:list");
        assert_eq!(Giant::Hash.write(0, 10).join(" ").matches(":000000000000").count(), 1);
    }

    #[test]
    fn ends_are_found() {
        assert!(!Until::Saved.met("rdb_bgsave_in_progress:1\r\n", 0));
        assert!(Until::Gone.met("5", 5) && !Until::Gone.met("6", 5) && !Until::Gone.met("", 5));
        assert!(Until::Freed.met("", 0) && Until::Freed.met("lazyfree_pending_objects:0\r\n", 0));
        assert!(!Until::Freed.met("lazyfree_pending_objects:2\r\n", 0));
    }
}
