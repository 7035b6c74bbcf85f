//! Keyspace events: which a command announces, from its row's name and what it has done to which
//! keys. One table for all commands, so that handlers need not think of it.

use crate::base::ids::Db;
use crate::commands::call::Effect;
use crate::commands::spec::Flags;
use crate::commands::table;
use crate::keyspace::notes::{Note, Touch};
use crate::resp::args::{Args, OwnedArgs};

/// Classes of events, as the letters of `notify-keyspace-events` name them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Classes(u16);

/// The letters, and the place of each in the set. `K` and `E` say which channels are used.
const LETTERS: &[u8] = b"g$lshzxetdKEmn";
/// What `A` stands for: the first ten.
const ALL: u16 = (1 << 10) - 1;

impl Classes {
    /// The classes that these letters name.
    pub fn of(letters: &str) -> Classes {
        let bits = letters.bytes().map(|letter| match letter {
            b'A' => ALL,
            _ => LETTERS.iter().position(|known| *known == letter).map_or(0, |at| 1 << at),
        });
        Classes(bits.fold(0, |all, bit| all | bit))
    }

    /// Is the class of this letter among them?
    pub fn has(self, letter: u8) -> bool {
        LETTERS.iter().position(|known| *known == letter).is_some_and(|at| self.0 & 1 << at != 0)
    }

    /// Is anything ever announced? That needs a class and a channel.
    pub fn is_empty(self) -> bool {
        !(self.has(b'K') || self.has(b'E')) || self.0 & !Classes::of("KE").0 == 0
    }
}

/// One event of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The letter of its class.
    pub class: u8,
    /// Its name.
    pub name: &'static str,
    /// The database.
    pub db: Db,
    /// The key.
    pub key: Box<[u8]>,
}

/// Why keys were touched.
#[derive(Clone, Copy, Debug)]
pub enum Cause<'a> {
    /// A command ran.
    Command {
        /// Its row's name.
        name: &'static str,
        /// Its arguments.
        args: Args<'a>,
        /// What it leaves to be logged.
        effect: &'a Effect,
    },
    /// Upkeep looked for expired keys.
    Expiry,
    /// Memory is short.
    Eviction,
}

/// The events that follow from what was done to keys, those of `wanted` classes, in order.
pub fn events(cause: Cause<'_>, notes: &[Note], wanted: Classes) -> Vec<Event> {
    let mut events = Vec::new();
    let mut add = |class: u8, name: &'static str, note: &Note| {
        events.push(Event { class, name, db: note.db, key: note.key.clone() });
    };
    let (command, args, effect) = match cause {
        Cause::Command { name, args, effect } => (name, args, Some(effect)),
        Cause::Expiry | Cause::Eviction => ("", Args::new(&[], &[]), None),
    };
    let own = match event_of(command, args) {
        // A deadline that has come already removes fields.
        Some((b'h', "hexpire")) if leaves(effect, b"HDEL") => Some((b'h', "hdel")),
        Some((b'h', "hexpire")) if leaves(effect, b"HPERSIST") => Some((b'h', "hpersist")),
        Some((b'h', "hset")) if leaves(effect, b"HDEL") => Some((b'h', "hdel")),
        own => own,
    };
    let mut told: Option<&Note> = None;
    for note in ordered(command, args, notes) {
        let same_key = |earlier: &Note| earlier.db == note.db && earlier.key == note.key;
        match note.touch {
            Touch::Born => add(b'n', "new", note),
            Touch::Missed if reads(command) => add(b'm', "keymiss", note),
            Touch::Missed => {}
            Touch::Expired => add(b'x', "expired", note),
            Touch::FieldsExpired => add(b'h', "hexpired", note),
            Touch::Deadline => add(b'g', "expire", note),
            Touch::Persisted => add(b'g', "persist", note),
            Touch::Whole => {}
            Touch::Wrote => {
                if let Some((class, name)) = own_event(own, command, args, note) {
                    add(class, name, note);
                    told = Some(note);
                } else if made_consumer(effect, &note.key) {
                    add(b't', "xgroup-createconsumer", note);
                }
                if matches!(command, "set" | "setex" | "psetex") && has_deadline(effect) {
                    add(b'g', "expire", note);
                }
                if command == "hsetex" && leaves(effect, b"HPEXPIREAT") {
                    add(b'h', "hexpire", note);
                }
            }
            Touch::Removed if matches!(command, "rename" | "renamenx") => {
                add(b'g', "rename_from", note);
            }
            Touch::Removed if command == "move" => add(b'g', "move_from", note),
            Touch::Removed | Touch::Emptied => {
                let shrunk = takes_elements(command) && !told.is_some_and(same_key);
                if let (true, Some((class, name))) = (shrunk, own_event(own, command, args, note)) {
                    add(class, name, note);
                }
                match cause {
                    Cause::Eviction => add(b'e', "evicted", note),
                    _ => add(b'g', "del", note),
                }
            }
        }
    }
    events.retain(|event| wanted.has(event.class));
    events
}

/// Only what reads misses keys.
fn reads(command: &str) -> bool {
    let row = table::by_full_name(command.as_bytes());
    row.is_some_and(|row| row.flags.has(Flags::READONLY))
}

/// A move between lists is announced at its target first, and a key with a new name is new first.
fn ordered<'n>(command: &str, args: Args<'_>, notes: &'n [Note]) -> Vec<&'n Note> {
    let mut all: Vec<&Note> = notes.iter().collect();
    let moved = matches!(command, "lmove" | "blmove" | "rpoplpush" | "brpoplpush");
    if let (true, Some(target)) = (moved, args.get(2)) {
        all.sort_by_key(|note| *note.key != *target);
    }
    if matches!(command, "rename" | "renamenx" | "move") {
        all.sort_by_key(|note| note.touch != Touch::Born);
    }
    all
}

/// The event of a row at one of its keys: some name source and target differently.
fn own_event(
    own: Option<(u8, &'static str)>,
    command: &str,
    args: Args<'_>,
    note: &Note,
) -> Option<(u8, &'static str)> {
    let first = args.get(1).is_some_and(|key| *note.key == *key);
    let left = |at: usize| args.get(at).is_some_and(|word| word.eq_ignore_ascii_case(b"left"));
    let pop = |from_left| if from_left { "lpop" } else { "rpop" };
    let push = |to_left| if to_left { "lpush" } else { "rpush" };
    match (command, first) {
        ("smove", false) => Some((b's', "sadd")),
        ("lmove" | "blmove", true) => Some((b'l', pop(left(3)))),
        ("lmove" | "blmove", false) => Some((b'l', push(left(4)))),
        ("rpoplpush" | "brpoplpush", false) => Some((b'l', "lpush")),
        _ => own,
    }
}

/// Does this command take elements out of what it may leave empty?
fn takes_elements(command: &str) -> bool {
    const NAMES: &str = "hdel hgetdel lpop rpop lmpop blpop brpop blmpop lrem ltrim lmove blmove \
        rpoplpush brpoplpush srem spop smove zrem zpopmin zpopmax zmpop bzpopmin bzpopmax bzmpop \
        zremrangebyrank zremrangebyscore zremrangebylex";
    NAMES.split_ascii_whitespace().any(|name| name == command)
}

fn has_deadline(effect: Option<&Effect>) -> bool {
    let Some(Effect::Instead(args)) = effect else { return false };
    args.args().iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"pxat"))
}

/// Has a command that reads for a consumer made it?
fn made_consumer(effect: Option<&Effect>, key: &[u8]) -> bool {
    let makes = |command: &OwnedArgs| {
        let mut words = command.args().iter().skip(1);
        words.next() == Some(b"CREATECONSUMER") && words.next() == Some(key)
    };
    match effect {
        Some(Effect::Instead(command)) => makes(command),
        Some(Effect::Several(commands)) => commands.iter().any(makes),
        Some(Effect::Nothing | Effect::AsSent) | None => false,
    }
}

/// Is this the last command that is logged?
fn leaves(effect: Option<&Effect>, name: &[u8]) -> bool {
    let last = match effect {
        Some(Effect::Instead(args)) => Some(args),
        Some(Effect::Several(commands)) => commands.last(),
        _ => None,
    };
    last.is_some_and(|args| args.args().at(0) == name)
}

/// Does one of the arguments say this word?
fn says(args: Args<'_>, word: &[u8]) -> bool {
    args.iter().skip(1).any(|arg| arg.eq_ignore_ascii_case(word))
}

/// What a command announces where it has written.
fn event_of(command: &str, args: Args<'_>) -> Option<(u8, &'static str)> {
    let name = match command {
        "lmpop" | "blmpop" if says(args, b"left") => "lpop",
        "lmpop" | "blmpop" => "rpop",
        "zmpop" | "bzmpop" if says(args, b"min") => "zpopmin",
        "zmpop" | "bzmpop" => "zpopmax",
        "zadd" if says(args, b"incr") => "zincr",
        _ => return listed(command),
    };
    Some((if name.starts_with('z') { b'z' } else { b'l' }, name))
}

/// For each class: `command` or `command=event`.
const EVENTS: &[(u8, &str)] = &[
    (
        b'$',
        "set setex=set psetex=set setnx=set getset=set mset=set msetnx=set append setrange \
         incr=incrby decr=incrby incrby decrby=incrby incrbyfloat setbit bitfield=setbit \
         bitop=set pfadd pfmerge=pfadd",
    ),
    (
        b'h',
        "hset hmset=hset hsetnx=hset hsetex=hset hincrby hincrbyfloat hdel hgetdel=hdel hexpire \
         hpexpire=hexpire hexpireat=hexpire hpexpireat=hexpire hgetex=hexpire hpersist",
    ),
    (
        b'l',
        "lpush lpushx=lpush rpush rpushx=rpush linsert lset ltrim lrem lpop blpop=lpop rpop \
         brpop=rpop rpoplpush=rpop brpoplpush=rpop sort=sortstore",
    ),
    (b's', "sadd srem spop smove=srem sinterstore sunionstore sdiffstore"),
    (
        b'z',
        "zadd zincrby=zincr zrem zremrangebyrank zremrangebyscore zremrangebylex zpopmin zpopmax \
         bzpopmin=zpopmin bzpopmax=zpopmax zunionstore zinterstore zdiffstore zrangestore \
         geoadd=zadd geosearchstore georadius=georadiusstore georadiusbymember=georadiusstore",
    ),
    (
        b't',
        "xadd xdel xtrim xsetid xgroup|create=xgroup-create xgroup|setid=xgroup-setid \
         xgroup|destroy=xgroup-destroy xgroup|createconsumer=xgroup-createconsumer \
         xgroup|delconsumer=xgroup-delconsumer",
    ),
    (b'g', "restore copy=copy_to rename=rename_to renamenx=rename_to move=move_to"),
];

fn listed(command: &str) -> Option<(u8, &'static str)> {
    EVENTS.iter().find_map(|(class, names)| {
        let mut names = names.split_ascii_whitespace();
        names.find_map(|entry| {
            let (name, event) = entry.split_once('=').unwrap_or((entry, entry));
            (name == command).then_some((*class, event))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `command > touch key, ... > class:event key, ...`
    fn check(line: &str, name: &'static str) {
        let mut parts = line.split(" > ");
        let mut part = || parts.next().expect("three parts");
        let words: Vec<&[u8]> = part().split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::of(&words);
        let notes: Vec<Note> = part()
            .split(", ")
            .map(|note| {
                let (touch, key) = note.split_once(' ').expect("touch and key");
                let touch = match touch {
                    "born" => Touch::Born,
                    "wrote" => Touch::Wrote,
                    "removed" => Touch::Removed,
                    "emptied" => Touch::Emptied,
                    "expired" => Touch::Expired,
                    "deadline" => Touch::Deadline,
                    "missed" => Touch::Missed,
                    "fields" => Touch::FieldsExpired,
                    other => panic!("{other}"),
                };
                Note { db: Db(0), key: key.as_bytes().into(), touch }
            })
            .collect();
        let effect = match name {
            "hpexpire" if line.contains(" 0 ") => {
                Effect::Instead(OwnedArgs::of(&[b"HDEL", b"h", b"f"]))
            }
            "setex" => Effect::Instead(OwnedArgs::of(&[b"SET", b"a", b"1", b"PXAT", b"9"])),
            _ => Effect::AsSent,
        };
        let cause = Cause::Command { name, args: args.args(), effect: &effect };
        let events = events(cause, &notes, Classes::of("KEAmn"));
        let shown = |event: &Event| {
            format!("{}:{} {}", event.class as char, event.name, event.key.escape_ascii())
        };
        let got: Vec<String> = events.iter().map(shown).collect();
        assert_eq!(got.join(", "), part(), "{line}");
    }

    #[test]
    fn commands_announce_what_redis_does() {
        for (name, line) in [
            ("set", "set a 1 > born a, wrote a > n:new a, $:set a"),
            ("setex", "setex a 9 1 > wrote a > $:set a, g:expire a"),
            ("del", "del a b > removed a, removed b > g:del a, g:del b"),
            ("hdel", "hdel h f > wrote h, emptied h > h:hdel h, g:del h"),
            ("hpexpire", "hpexpire h 9 fields 1 f > wrote h > h:hexpire h"),
            ("hpexpire", "hpexpire h 0 fields 1 f > wrote h, emptied h > h:hdel h, g:del h"),
            ("hpersist", "hpersist h fields 1 f > wrote h > h:hpersist h"),
            ("hset", "hset h f v > fields h, emptied h > h:hexpired h, g:del h"),
            ("spop", "spop s 9 > removed s > s:spop s, g:del s"),
            ("sinterstore", "sinterstore d a b > removed d > g:del d"),
            ("expire", "expire a 9 > deadline a > g:expire a"),
            ("expire", "expire a -1 > removed a > g:del a"),
            (
                "rename",
                "rename a b > removed a, born b, wrote b > n:new b, g:rename_from a, g:rename_to b",
            ),
            ("get", "get a > missed a > m:keymiss a"),
            ("incr", "incr a > missed a, born a, wrote a > n:new a, $:incrby a"),
            ("set", "set a 1 xx > expired a > x:expired a"),
            (
                "lmove",
                "lmove a b left right > emptied a, born b, wrote b > n:new b, l:rpush b, l:lpop a, g:del a",
            ),
            ("smove", "smove a b m > wrote a, wrote b > s:srem a, s:sadd b"),
            ("zadd", "zadd z incr 1 m > wrote z > z:zincr z"),
            ("lmpop", "lmpop 2 a b right > wrote b > l:rpop b"),
            ("bzmpop", "bzmpop 0 1 z max > wrote z, emptied z > z:zpopmax z, g:del z"),
        ] {
            check(line, name);
        }
    }

    #[test]
    fn a_consumer_that_a_reader_makes_is_announced() {
        let words = "XREADGROUP GROUP g new STREAMS a b > >";
        let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let args = OwnedArgs::of(&words);
        let made = |key: &[u8]| OwnedArgs::of(&[b"XGROUP", b"CREATECONSUMER", key, b"g", b"new"]);
        let claimed = OwnedArgs::of(&[b"XCLAIM", b"b", b"g", b"new", b"0", b"1-0"]);
        let touch = |key: &[u8]| Note { db: Db(0), key: key.into(), touch: Touch::Wrote };
        let notes = [touch(b"a"), touch(b"b")];
        for (effect, told) in [
            (Effect::Several(vec![made(b"a"), claimed.clone()]), "a"),
            (Effect::Several(vec![claimed.clone(), made(b"b"), made(b"a")]), "ab"),
            (Effect::Instead(made(b"b")), "b"),
            (Effect::Instead(claimed), ""),
        ] {
            let cause = Cause::Command { name: "xreadgroup", args: args.args(), effect: &effect };
            let events = events(cause, &notes, Classes::of("KEt"));
            assert!(events.iter().all(|event| event.name == "xgroup-createconsumer"));
            let keys: Vec<u8> = events.iter().flat_map(|event| event.key.to_vec()).collect();
            assert_eq!(String::from_utf8(keys).unwrap(), told, "{effect:?}");
        }
    }

    #[test]
    fn letters_name_classes() {
        for (letters, has, lacks) in [
            ("KEA", "g$lshzxetdKE", "mn"),
            ("Kx", "Kx", "Eg"),
            ("", "", "gK"),
            ("Amn", "dmn", "KE"),
        ] {
            let classes = Classes::of(letters);
            assert!(has.bytes().all(|letter| classes.has(letter)), "{letters}");
            assert!(!lacks.bytes().any(|letter| classes.has(letter)), "{letters}");
        }
        for (letters, empty) in [("", true), ("K", true), ("A", true), ("Kn", false), ("EA", false)]
        {
            assert_eq!(Classes::of(letters).is_empty(), empty, "{letters}");
        }
    }

    #[test]
    fn every_listed_command_is_listed_once() {
        let names = EVENTS.iter().flat_map(|(_, names)| names.split_ascii_whitespace());
        let mut names: Vec<&str> = names.map(|e| e.split('=').next().unwrap()).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
