//! What Redis leaves in a data directory, and which of it a start without a manifest imports.
//!
//! | row | setting `appendonly` | there is | imported |
//! |---|---|---|---|
//! | a | yes | `appendonlydir/appendonly.aof.manifest` | the files that it lists |
//! | b | yes | only `appendonly.aof` (before Redis 7) | it |
//! | c | yes | only `dump.rdb` | it (Redis would start empty, and lose it at the next save) |
//! | d | no | `dump.rdb` | it |
//! | e | no | only one of the others | it |
//!
//! The manifest is valid if and only if each line is empty, a comment (`#`), or words by turns of
//! names and values: `file NAME seq NUMBER type b|h|i`, with at most one `b`, and the numbers of
//! those of type `i` ascending. A name may be in double quotes and holds no `/`. Files of type `h`
//! are history and not read.

use std::collections::BTreeMap;

use crate::base::wire::decimal;
use crate::persist::fault::StorageFault;

/// The names that Redis' settings give its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// `dbfilename`
    pub dump: String,
    /// `appendfilename`
    pub log: String,
    /// `appenddirname`
    pub directory: String,
}

/// What is imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing is there.
    Nothing,
    /// A dump; its path.
    Dump(String),
    /// The log that the manifest at this path lists.
    Listed(String),
    /// A log in one file; its path.
    Log(String),
}

impl Names {
    /// The manifest of the log, in the data directory.
    pub fn manifest(&self) -> String {
        format!("{}/{}.manifest", self.directory, self.log)
    }
}

/// Chooses by what is there: paths in the data directory with their lengths.
pub fn choose(names: &Names, listing: &BTreeMap<String, u64>, log_first: LogFirst) -> Choice {
    let there = |path: &String| listing.get(path).is_some_and(|length| *length > 0);
    let dump = Some(&names.dump).filter(|path| there(path)).cloned().map(Choice::Dump);
    let listed = Some(names.manifest()).filter(there).map(Choice::Listed);
    let log = Some(&names.log).filter(|path| there(path)).cloned().map(Choice::Log);
    let log = listed.or(log);
    let chosen = match log_first {
        LogFirst::Yes => log.or(dump),
        LogFirst::No => dump.or(log),
    };
    chosen.unwrap_or(Choice::Nothing)
}

/// The setting `appendonly`: which of dump and log Redis itself would have read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFirst {
    /// The log.
    Yes,
    /// The dump.
    No,
}

/// The files of a log in the order in which they are read, by their names beside the manifest.
pub fn listed(path: &str, text: &[u8]) -> Result<Vec<String>, StorageFault> {
    let text = String::from_utf8_lossy(text);
    let (mut base, mut rest, mut last) = (None, Vec::new(), 0);
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        let fault = |expected: &str| StorageFault::new(path, offset, expected, line.trim());
        let words = line.trim();
        if !words.is_empty() && !words.starts_with('#') {
            let file = Listed::read(words).ok_or_else(|| fault("file NAME seq N type b|h|i"))?;
            match file.kind {
                "b" if base.is_none() => base = Some(file.name),
                "i" if file.seq > last => {
                    last = file.seq;
                    rest.push(file.name);
                }
                "h" => {}
                _ => return Err(fault("one base, and numbers that ascend")),
            }
        }
        offset += line.len() as u64;
    }
    Ok(base.into_iter().chain(rest).collect())
}

struct Listed<'a> {
    name: String,
    seq: u64,
    kind: &'a str,
}

impl<'a> Listed<'a> {
    fn read(line: &'a str) -> Option<Listed<'a>> {
        let (mut name, mut seq, mut kind) = (None, None, None);
        let mut rest = line;
        while !rest.is_empty() {
            let (word, after) = rest.split_once(' ')?;
            let (value, after) = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => after.split_once(' ').unwrap_or((after, "")),
            };
            match word {
                "file" => name = Some(value.to_owned()),
                "seq" => seq = decimal(value.as_bytes()),
                "type" => kind = Some(value),
                _ => return None,
            }
            rest = after.trim_start();
        }
        let name = name.filter(|name| !name.is_empty() && !name.contains(['/', '\\']))?;
        Some(Listed { name, seq: seq?, kind: kind? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            dump: "dump.rdb".into(),
            log: "appendonly.aof".into(),
            directory: "appendonlydir".into(),
        }
    }

    #[test]
    fn every_row() {
        let (dump, log) = ("dump.rdb", "appendonly.aof");
        let listed = "appendonlydir/appendonly.aof.manifest";
        for there in 0..8u8 {
            let paths = [(1, dump), (2, log), (4, listed)];
            let paths = paths.into_iter().filter(|(bit, _)| there & bit != 0);
            let listing: BTreeMap<_, _> = paths.map(|(_, path)| (path.to_owned(), 9)).collect();
            let by = |bit: u8, path: &str, make: fn(String) -> Choice| {
                (there & bit != 0).then(|| make(path.to_owned()))
            };
            let any_log = by(4, listed, Choice::Listed).or_else(|| by(2, log, Choice::Log));
            let any_dump = by(1, dump, Choice::Dump);
            let yes = any_log.clone().or_else(|| any_dump.clone()).unwrap_or(Choice::Nothing);
            let no = any_dump.or(any_log).unwrap_or(Choice::Nothing);
            assert_eq!(choose(&names(), &listing, LogFirst::Yes), yes, "{there}");
            assert_eq!(choose(&names(), &listing, LogFirst::No), no, "{there}");
        }
        let empty = BTreeMap::from([(dump.to_owned(), 0)]);
        assert_eq!(choose(&names(), &empty, LogFirst::Yes), Choice::Nothing);
    }

    #[test]
    fn manifests() {
        let good = "# made by hand\nfile a.1.base.rdb seq 1 type b\n\
                    file old seq 7 type h\nfile \"a b.1.incr.aof\" seq 1 type i\n\n\
                    file c seq 3 type i";
        let files = listed("m", good.as_bytes());
        assert_eq!(files, Ok(vec!["a.1.base.rdb".into(), "a b.1.incr.aof".into(), "c".into()]));
        for bad in [
            "file a seq 1",
            "file a seq x type b",
            "file ../a seq 1 type b",
            "file a seq 1 type b\nfile b seq 1 type b",
            "file a seq 2 type i\nfile b seq 1 type i",
            "file a seq 1 type z",
            "nonsense",
        ] {
            assert!(listed("m", bad.as_bytes()).is_err(), "{bad}");
        }
        let fault = listed("m", b"file a seq 1 type b\nx y\n").unwrap_err();
        assert_eq!((fault.offset, fault.found.as_str()), (20, "x y"));
    }
}
