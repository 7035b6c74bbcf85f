//! COMMAND and its subcommands: what the table says about itself.

use crate::base::glob::matches_any_case;
use crate::commands::hints::{self, CATEGORIES};
use crate::commands::parse::is;
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Command, Docs, Flags, KeySpec};
use crate::commands::table;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[Command {
    arity: -1,
    subs: SUBS,
    ..row("command", -1, command, docs("2.8.13", ALL, "Describes all commands."))
}];

const SUBS: &[Command] = &[
    row("command|count", 2, count, docs("2.8.13", "O(1)", "How many commands there are.")),
    row("command|docs", -2, documents, docs("7.0.0", NAMED, "Documents commands.")),
    row("command|getkeys", -3, getkeys, docs("2.8.13", EACH, "Finds the keys of a request.")),
    row(
        "command|getkeysandflags",
        -3,
        getkeys_and_flags,
        docs("7.0.0", EACH, "Finds the keys of a request and how they are used."),
    ),
    row("command|help", 2, help, docs("5.0.0", "O(1)", "Prints this help.")),
    row("command|info", -2, info, docs("2.8.13", NAMED, "Describes commands.")),
    row("command|list", -2, list, docs("7.0.0", ALL, "Names commands, all or those of a filter.")),
];

const ALL: &str = "O(N) where N is the number of commands";
const NAMED: &str = "O(N) where N is the number of commands asked for";
const EACH: &str = "O(N) where N is the number of arguments";

type Handler = fn(&mut Shell<'_>) -> Result<Ask, Error>;

const fn row(name: &'static str, arity: i8, run: Handler, docs: Docs) -> Command {
    Command::session(name, arity, &[Flags::LOADING, Flags::STALE], run, docs)
}

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("server", since, complexity, summary)
}

/// HELP of any container: a line for each subcommand and what it does.
pub fn help(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let Some(container) = table::find(shell.args.at(0)) else { return Err(Error::Syntax) };
    let name = container.name.to_ascii_uppercase();
    shell.reply.array(1 + 2 * container.subs.len());
    shell.reply.simple(&format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for sub in container.subs {
        shell.reply.simple(&sub.own_name().to_ascii_uppercase());
        shell.reply.simple(&format!("    {}", sub.docs.summary));
    }
    Ok(Ask::Nothing)
}

/// The subcommands that COMMAND tells of.
pub fn told_subs(command: &'static Command) -> &'static [Command] {
    if command.flags.has(Flags::OPAQUE) { &[] } else { command.subs }
}

fn command(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.array(table::all().count());
    for row in table::all() {
        write_info(&mut shell.reply, row);
    }
    Ok(Ask::Nothing)
}

fn count(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.integer(table::all().count() as i64);
    Ok(Ask::Nothing)
}

fn info(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    if shell.args.len() == 2 {
        return command(shell);
    }
    let names = shell.args.from(2);
    shell.reply.array(names.len());
    for name in names.iter() {
        match table::by_full_name(name) {
            Some(row) => write_info(&mut shell.reply, row),
            None => shell.reply.null(),
        }
    }
    Ok(Ask::Nothing)
}

fn write_info(reply: &mut Reply<'_>, row: &'static Command) {
    reply.array(10);
    reply.bulk(row.name.as_bytes());
    reply.integer(i64::from(row.arity));
    let movable = matches!(
        row.keys,
        KeySpec::Counted { .. } | KeySpec::Stored { .. } | KeySpec::Streams { .. }
    );
    let has = |flag| match flag {
        Flags::NONE => movable,
        Flags::WRITE => row.flags.is_told_as_write(),
        _ => row.flags.has(flag),
    };
    let flags: Vec<&str> =
        WORDS.iter().filter(|(flag, _)| has(*flag)).map(|(_, word)| *word).collect();
    reply.set(flags.len());
    flags.iter().for_each(|word| reply.simple(word));
    let (first, last, step) = match row.keys {
        KeySpec::None => (0, 0, 0),
        KeySpec::At { first, last, step } => (first.into(), last.into(), step.into()),
        KeySpec::Counted { target: None, .. } | KeySpec::Streams { .. } => (0, 0, 0),
        KeySpec::Counted { target: Some(_), .. } | KeySpec::Stored { .. } => (1, 1, 1),
    };
    [first, last, step].into_iter().for_each(|n| reply.integer(n));
    let categories: Vec<&str> =
        CATEGORIES.iter().copied().filter(|name| hints::in_category(row, name)).collect();
    reply.set(categories.len());
    categories.iter().for_each(|name| reply.simple(&format!("@{name}")));
    let tips = hints::tips(row);
    reply.set(tips.len());
    tips.iter().for_each(|tip| reply.bulk(tip.as_bytes()));
    write_key_specs(reply, row);
    let subs = told_subs(row);
    reply.set(subs.len());
    subs.iter().for_each(|sub| write_info(reply, sub));
}

/// The flags that COMMAND INFO names, in Redis' order. (Redis 7.0 does not tell MAY_REPLICATE.)
const WORDS: &[(Flags, &str)] = &[
    (Flags::WRITE, "write"),
    (Flags::READONLY, "readonly"),
    (Flags::DENYOOM, "denyoom"),
    (Flags::ADMIN, "admin"),
    (Flags::PUBSUB, "pubsub"),
    (Flags::NOSCRIPT, "noscript"),
    (Flags::BLOCKING, "blocking"),
    (Flags::LOADING, "loading"),
    (Flags::STALE, "stale"),
    (Flags::SKIP_MONITOR, "skip_monitor"),
    (Flags::SKIP_SLOWLOG, "skip_slowlog"),
    (Flags::FAST, "fast"),
    (Flags::NO_AUTH, "no_auth"),
    (Flags::NO_ASYNC_LOADING, "no_async_loading"),
    (Flags::NO_MULTI, "no_multi"),
    (Flags::ANY_KEYS, "no_mandatory_keys"),
    // Not of the row: it follows from where the keys are.
    (Flags::NONE, "movablekeys"),
    (Flags::ALLOW_BUSY, "allow_busy"),
];

/// Where the search for keys begins, and how they are found from there.
enum Search {
    /// From an argument on: the last key seen from the first, and the step.
    Range { index: u8, last: i64, step: u8 },
    /// An argument that says how many keys follow.
    Count { index: u8 },
    /// The argument after a word, which is looked for from an argument on.
    Word { word: &'static str, from: u8 },
    /// Half of the arguments after a word.
    Half { word: &'static str, from: u8 },
    /// Nobody can tell from the request; the reason.
    Unknown(&'static str),
}

fn write_key_specs(reply: &mut Reply<'_>, row: &Command) {
    let access = hints::access(row);
    let one = |index| Search::Range { index, last: 0, step: 1 };
    let searches: Vec<Search> = match row.keys {
        KeySpec::None => Vec::new(),
        KeySpec::At { first, last, step } if access.len() == 1 => {
            let last = i64::from(last) - if last < 0 { 0 } else { i64::from(first) };
            vec![Search::Range { index: first, last, step }]
        }
        // With words for each key, each key is a range of its own; the last one may be longer.
        KeySpec::At { first, last, step } => {
            let mut searches: Vec<Search> = (first..).take(access.len()).map(one).collect();
            if let Some(Search::Range { last: end, step: every, .. }) = searches.last_mut()
                && last < 0
            {
                (*end, *every) = (last.into(), step);
            }
            searches
        }
        KeySpec::Counted { target, count } => {
            target.map(one).into_iter().chain([Search::Count { index: count }]).collect()
        }
        KeySpec::Stored { from } => {
            let word = |word| Search::Word { word, from };
            let unknown = hints::unknown_keys(row);
            match unknown.is_empty() {
                true => vec![one(1), word("STORE"), word("STOREDIST")],
                false => {
                    let unknown = unknown.iter().map(|why| Search::Unknown(why));
                    [one(1)].into_iter().chain(unknown).collect()
                }
            }
        }
        KeySpec::Streams { from } => vec![Search::Half { word: "STREAMS", from }],
    };
    let specs: Vec<_> = searches.iter().zip(access).collect();
    reply.set(specs.len());
    for (search, flags) in specs {
        if let Search::Unknown(why) = search {
            reply.map(4);
            text(reply, "notes", why);
        } else if let Some(note) = hints::note(row) {
            reply.map(4);
            text(reply, "notes", note);
        } else {
            reply.map(3);
        }
        reply.bulk(b"flags");
        write_words(reply, flags);
        write_search(reply, search);
    }
}

fn write_search(reply: &mut Reply<'_>, search: &Search) {
    if let Search::Unknown(_) = search {
        for name in ["begin_search", "find_keys"] {
            reply.bulk(name.as_bytes());
            reply.map(2);
            text(reply, "type", "unknown");
            reply.bulk(b"spec");
            reply.map(0);
        }
        return;
    }
    reply.bulk(b"begin_search");
    reply.map(2);
    let (last, step) = match *search {
        Search::Range { last, step, .. } => (last, step),
        Search::Count { .. } | Search::Word { .. } | Search::Unknown(_) => (0, 1),
        Search::Half { .. } => (-1, 1),
    };
    match *search {
        Search::Range { index, .. } | Search::Count { index } => {
            text(reply, "type", "index");
            reply.bulk(b"spec");
            reply.map(1);
            integer(reply, "index", i64::from(index));
        }
        Search::Word { word, from } | Search::Half { word, from } => {
            text(reply, "type", "keyword");
            reply.bulk(b"spec");
            reply.map(2);
            text(reply, "keyword", word);
            integer(reply, "startfrom", i64::from(from));
        }
        Search::Unknown(_) => {}
    }
    reply.bulk(b"find_keys");
    reply.map(2);
    let (kind, numbers) = match *search {
        Search::Count { .. } => ("keynum", [("keynumidx", 0), ("firstkey", 1), ("keystep", 1)]),
        _ => {
            // 2 stands for the first half.
            let limit = if matches!(search, Search::Half { .. }) { 2 } else { 0 };
            ("range", [("lastkey", last), ("keystep", i64::from(step)), ("limit", limit)])
        }
    };
    text(reply, "type", kind);
    reply.bulk(b"spec");
    reply.map(numbers.len());
    numbers.iter().for_each(|(name, value)| integer(reply, name, *value));
}

fn text(reply: &mut Reply<'_>, name: &str, value: &str) {
    reply.bulk(name.as_bytes());
    reply.bulk(value.as_bytes());
}

fn integer(reply: &mut Reply<'_>, name: &str, value: i64) {
    reply.bulk(name.as_bytes());
    reply.integer(value);
}

fn write_words(reply: &mut Reply<'_>, words: &str) {
    reply.set(words.split(' ').count());
    words.split(' ').for_each(|word| reply.simple(word));
}

// DOCS.

fn documents(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let names = shell.args.from(2);
    let rows: Vec<&'static Command> = if names.is_empty() {
        table::all().collect()
    } else {
        names.iter().filter_map(table::by_full_name).collect()
    };
    shell.reply.map(rows.len());
    rows.into_iter().for_each(|row| write_docs(&mut shell.reply, row));
    Ok(Ask::Nothing)
}

fn write_docs(reply: &mut Reply<'_>, row: &'static Command) {
    let subs = told_subs(row);
    reply.bulk(row.name.as_bytes());
    reply.map(if subs.is_empty() { 4 } else { 5 });
    text(reply, "summary", row.docs.summary);
    text(reply, "since", row.docs.since);
    text(reply, "group", row.docs.group);
    text(reply, "complexity", row.docs.complexity);
    if !subs.is_empty() {
        reply.bulk(b"subcommands");
        reply.map(subs.len());
        subs.iter().for_each(|sub| write_docs(reply, sub));
    }
}

// LIST.

fn list(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    let word = |at: usize, word: &str| args.at(at).eq_ignore_ascii_case(word.as_bytes());
    let names = match args.len() {
        2 => named(|_| true),
        5 if !word(2, "filterby") => return Err(Error::Syntax),
        // There are no modules.
        5 if word(3, "module") => Vec::new(),
        5 if word(3, "aclcat") => {
            let category = String::from_utf8_lossy(args.at(4)).to_ascii_lowercase();
            named(|row| hints::in_category(row, &category))
        }
        5 if word(3, "pattern") => named(|row| matches_any_case(args.at(4), row.name.as_bytes())),
        _ => return Err(Error::Syntax),
    };
    write_names(&mut shell.reply, &names);
    Ok(Ask::Nothing)
}

/// Writes names as an array of bulk strings.
pub fn write_names(reply: &mut Reply<'_>, names: &[&str]) {
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
}

/// The names of the commands and subcommands that are wanted.
pub fn named(wanted: impl Fn(&Command) -> bool) -> Vec<&'static str> {
    table::all()
        .flat_map(|row| std::iter::once(row).chain(told_subs(row)))
        .filter(|row| wanted(row))
        .map(|row| row.name)
        .collect()
}

// GETKEYS.

fn getkeys(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let (_, request, keys) = keys_of_request(shell.args)?;
    shell.reply.array(keys.len());
    keys.into_iter().for_each(|at| shell.reply.bulk(request.at(at)));
    Ok(Ask::Nothing)
}

fn getkeys_and_flags(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let (row, request, keys) = keys_of_request(shell.args)?;
    shell.reply.array(keys.len());
    for (nth, at) in keys.into_iter().enumerate() {
        shell.reply.array(2);
        shell.reply.bulk(request.at(at));
        write_words(&mut shell.reply, access_in(row, request, nth));
    }
    Ok(Ask::Nothing)
}

fn keys_of_request(args: Args<'_>) -> Result<(&'static Command, Args<'_>, Vec<usize>), Error> {
    let request = args.from(2);
    let row = table::locate(request).map_err(|_| Error::GETKEYS_COMMAND)?;
    if row.keys == KeySpec::None {
        return Err(Error::GETKEYS_NONE);
    }
    if !row.takes(request.len()) {
        return Err(Error::GETKEYS_ARITY);
    }
    let keys: Vec<usize> = table::keys(row, request).collect();
    // A script may have none; more than there are arguments are wrong for it as well.
    if keys.is_empty() && !may_have_none(row, request) {
        return Err(Error::GETKEYS_ARGUMENTS);
    }
    Ok((row, request, keys))
}

/// Is it a command that may have keys or none, and says that it has none?
fn may_have_none(row: &Command, request: Args<'_>) -> bool {
    row.flags.has(Flags::ANY_KEYS) && is(request.at(2), "0")
}

/// How this request uses its nth key. SET reads only when it has the option GET, and BITFIELD
/// writes only when it has more than that.
pub(super) fn access_in(row: &Command, request: Args<'_>, nth: usize) -> &'static str {
    let says = |from, words: &[&str]| {
        request.from(from).iter().any(|word| words.iter().any(|known| is(word, known)))
    };
    match row.name {
        "set" if says(3, &["GET"]) => return "RW access update",
        "set" => return "OW update",
        "bitfield" if says(2, &["SET", "INCRBY"]) => return "RW access update",
        "bitfield" => return "RO access",
        _ => {}
    }
    let access = hints::access(row);
    // Keys that cannot be found in a request lie between the first and the one after STORE.
    let hidden = nth > 0 && !hints::unknown_keys(row).is_empty();
    let found = if hidden { None } else { access.get(nth) };
    found.or(access.last()).copied().unwrap_or("RO")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::kit::Kit;
    use crate::resp::reply::Proto;

    #[test]
    fn answers_are_those_of_redis() {
        Kit::new().check(
            "command info get -> *1 *10 $3 get :2 *2 +readonly +fast :1 :1 :1 *3 +@read +@string \
                +@fast *0 *1 *6 $5 flags *2 +RO +access $12 begin_search *4 $4 type $5 index $4 \
                spec *2 $5 index :1 $9 find_keys *4 $4 type $5 range $4 spec *6 $7 lastkey :0 $7 \
                keystep :1 $5 limit :0 *0
            command info nope command|count -> *2 $-1 *10 $13 command|count :2 *2 +loading \
                +stale :0 :0 :0 *2 +@slow +@connection *0 *0 *0
            command docs nope -> *0
            command docs quit -> *2 $4 quit *8 $7 summary $22 Closes the connection. $5 since $5 \
                1.0.0 $5 group $10 connection $10 complexity $4 O(1)
            command getkeys mset a 1 b 2 -> *2 $1 a $1 b
            command getkeys mset a b c -> *2 $1 a $1 c
            command getkeys nope -> -ERR Invalid command specified
            command getkeys ping -> -ERR The command has no key arguments
            command getkeys get a b -> -ERR Invalid number of arguments specified for command
            command getkeys object freq a -> *1 $1 a
            command getkeysandflags mset a 1 -> *1 *2 $1 a *2 +OW +update
            command getkeysandflags set a 1 -> *1 *2 $1 a *2 +OW +update
            command getkeysandflags set a 1 get -> *1 *2 $1 a *3 +RW +access +update
            command getkeysandflags bitfield a get u8 0 -> *1 *2 $1 a *2 +RO +access
            command getkeysandflags bitfield a set u8 0 1 -> *1 *2 $1 a *3 +RW +access +update
            command getkeysandflags sort a store b -> *2 *2 $1 a *2 +RO +access *2 $1 b *2 \
                +OW +update
            command getkeysandflags rename a b -> *2 *2 $1 a *3 +RW +access +delete *2 $1 b *2 \
                +OW +update
            command list foo -> -ERR syntax error
            command list filterby foo x -> -ERR syntax error
            command list filterby module x -> *0
            command list filterby aclcat nope -> *0
            command list filterby aclcat transaction -> *5 $5 multi $4 exec $7 discard $5 watch \
                $7 unwatch
            command list filterby pattern slowlog|L* -> *1 $11 slowlog|len
            module help -> *5 +MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are: \
                +HELP +    Prints this help. +LIST +    Those there are.",
        );
    }

    #[test]
    fn resp3_has_maps_and_sets() {
        let mut kit = Kit::new();
        kit.session.proto = Proto::Three;
        kit.check(
            "command info memory|usage nope -> *2 *10 $12 memory|usage :-3 ~1 +readonly :2 :2 :1 \
                ~2 +@read +@slow ~0 ~1 %3 $5 flags ~1 +RO $12 begin_search %2 $4 type $5 index \
                $4 spec %1 $5 index :2 $9 find_keys %2 $4 type $5 range $4 spec %3 $7 lastkey :0 \
                $7 keystep :1 $5 limit :0 ~0 _
            command getkeysandflags mset a 1 -> *1 *2 $1 a ~2 +OW +update",
        );
    }

    #[test]
    fn debug_is_one_command_to_the_outside() {
        let (reply, _) = Kit::new().run("command info debug");
        assert!(reply.ends_with("*0 *0 *0"), "{reply}");
        assert!(!named(|row| row.name.starts_with("debug|")).iter().any(|_| true));
    }
}
