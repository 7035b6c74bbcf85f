//! FUNCTION, FCALL and FCALL_RO: the session's side, and the commands by which the shard that keeps
//! the libraries is changed.
//!
//! LOAD, DELETE, FLUSH and RESTORE are both: the session asks the server, which compiles what has
//! come and decides; then the same command runs on the keeper's keyspace, which can only refuse
//! what the server would have refused. That is also what the log has, and what a start runs again.

use std::sync::Arc;

use crate::base::glob;
use crate::commands::call::{Call, Effect};
use crate::commands::command;
use crate::commands::library::{Library, Policy, Registry, Same, exists, heading, taken};
use crate::commands::parse::{self, choice};
use crate::commands::row::HELP;
use crate::commands::script::{Eval, Given, May};
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec, OfKeys, OfSession, Run};
use crate::persist::rdb::libraries::{BadLibraries, dump, restore as texts_of};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    caller("fcall", FCALL, fcall, docs("Calls a function.")),
    caller("fcall_ro", READS, fcall_ro, docs("Calls a function that may only read.")),
    Command::container("function", &[], SUBS, docs("Keeps libraries of functions.")),
];

const SUBS: &[Command] = &[
    change("function|delete", 3, WRITE, (delete, delete_kept), docs("Deletes a library.")),
    sub("function|dump", 2, LOOKS, dump_all, docs("All libraries as one payload.")),
    change("function|flush", -2, WRITE, (flush, flush_kept), docs("Deletes all libraries.")),
    sub("function|help", 2, HELP, command::help, docs("Prints this help.")),
    sub("function|kill", 2, BUSY, kill, docs("Ends the function that runs.")),
    sub("function|list", -2, LOOKS, list, docs("Tells of libraries and their functions.")),
    change("function|load", -3, WRITE_OOM, (load, load_kept), docs("Keeps a library.")),
    change("function|restore", -3, WRITE_OOM, (restore, restore_kept), docs("Takes a payload.")),
    sub("function|stats", 2, BUSY_LOOKS, stats, docs("Tells of the function that runs.")),
];

const FCALL: &[Flags] =
    &[Flags::NOSCRIPT, Flags::STALE, Flags::SKIP_MONITOR, Flags::MAY_REPLICATE, Flags::ANY_KEYS];
const READS: &[Flags] =
    &[Flags::NOSCRIPT, Flags::STALE, Flags::SKIP_MONITOR, Flags::READONLY, Flags::ANY_KEYS];
const LOOKS: &[Flags] = &[Flags::NOSCRIPT, Flags::LIBRARIES];
const BUSY: &[Flags] = &[Flags::NOSCRIPT, Flags::ALLOW_BUSY];
const BUSY_LOOKS: &[Flags] = &[Flags::NOSCRIPT, Flags::ALLOW_BUSY, Flags::LIBRARIES];
const WRITE: &[Flags] = &[Flags::NOSCRIPT, Flags::WRITE, Flags::LIBRARIES];
const WRITE_OOM: &[Flags] = &[Flags::NOSCRIPT, Flags::WRITE, Flags::DENYOOM, Flags::LIBRARIES];

const fn caller(name: &'static str, flags: &[Flags], run: OfSession, docs: Docs) -> Command {
    Command {
        keys: KeySpec::Counted { target: None, count: 2 },
        across: Across::Session,
        ..Command::session(name, -3, flags, run, docs)
    }
}

const fn sub(
    name: &'static str,
    arity: i8,
    flags: &[Flags],
    run: OfSession,
    docs: Docs,
) -> Command {
    Command::session(name, arity, flags, run, docs)
}

const fn change(
    name: &'static str,
    arity: i8,
    flags: &[Flags],
    (session, keeper): (OfSession, OfKeys),
    docs: Docs,
) -> Command {
    let row = Command::session(name, arity, flags, session, docs);
    Command { run: Run::Both(session, keeper), ..row }
}

const fn docs(summary: &'static str) -> Docs {
    Docs::of("scripting", "7.0.0", "Depends on the libraries.", summary)
}

/// A change of the libraries that a session asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The whole request.
    pub args: OwnedArgs,
    /// What it says.
    pub what: What,
}

/// What is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A library comes.
    Load(Vec<u8>, Same),
    /// A library goes.
    Delete(Vec<u8>),
    /// All go.
    Flush,
    /// Libraries come.
    Restore(Vec<Vec<u8>>, Policy),
}

/// What FUNCTION LIST is to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Only of libraries whose names match.
    pub pattern: Option<Vec<u8>>,
    /// The texts too.
    pub text: Texts,
}

/// Whether texts are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Texts {
    /// They are.
    Told,
    /// They are not.
    #[default]
    Omitted,
}

/// The function that runs, as FUNCTION STATS tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    /// Its name.
    pub name: Vec<u8>,
    /// The request by which it was called.
    pub args: OwnedArgs,
    /// For so long.
    pub millis: u64,
}

fn call(shell: &Shell<'_>, may: May) -> Ask {
    let args = shell.args;
    let keys = match parse::integer(args.at(2)) {
        Err(_) => Err(Error::err("Bad number of keys provided")),
        Ok(keys) if keys > args.len() as i64 - 3 => Err(Error::NUMKEYS_MANY),
        Ok(keys) => usize::try_from(keys).map_err(|_| Error::SCRIPT_KEYS_NEGATIVE),
    };
    let problem = keys.as_ref().err().cloned();
    let (args, keys) = (args.to_owned(), keys.unwrap_or_default());
    Ask::Eval(Box::new(Eval { args, given: Given::Function, may, keys, problem }))
}

fn fcall(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(call(shell, May::Write))
}

fn fcall_ro(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(call(shell, May::Read))
}

fn asked(shell: &Shell<'_>, what: What) -> Ask {
    Ask::Function(Box::new(Change { args: shell.args.to_owned(), what }))
}

/// The options before the text.
fn same(args: Args<'_>) -> Result<Same, Error> {
    let mut same = Same::Refuse;
    for at in 2..args.len() - 1 {
        let option = args.at(at);
        if !parse::is(option, "REPLACE") {
            let option = String::from_utf8_lossy(option);
            return Err(Error::err_owned(format!("Unknown option given: {option}")));
        }
        same = Same::Replace;
    }
    Ok(same)
}

fn text(args: Args<'_>) -> &[u8] {
    args.at(args.len() - 1)
}

fn load(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let same = same(shell.args)?;
    Ok(asked(shell, What::Load(text(shell.args).to_vec(), same)))
}

fn delete(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(asked(shell, What::Delete(shell.args.at(2).to_vec())))
}

fn check_flush(args: Args<'_>) -> Result<(), Error> {
    if args.len() > 3 {
        return Err(Error::subcommand_syntax("function", args.at(1)));
    }
    let known = |word| choice(word, &[("sync", ()), ("async", ())]).is_some();
    match args.get(2).is_none_or(known) {
        true => Ok(()),
        false => Err(Error::err("FUNCTION FLUSH only supports SYNC|ASYNC option")),
    }
}

fn flush(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    check_flush(shell.args)?;
    Ok(asked(shell, What::Flush))
}

/// The texts of RESTORE, and what becomes of what is there.
fn come(args: Args<'_>) -> Result<(Vec<Vec<u8>>, Policy), Error> {
    if args.len() > 4 {
        return Err(Error::subcommand_syntax("function", args.at(1)));
    }
    let policies =
        [("append", Policy::Append), ("replace", Policy::Replace), ("flush", Policy::Flush)];
    let policy = match args.get(3) {
        None => Policy::Append,
        Some(word) => choice(word, &policies).ok_or_else(|| {
            let values = "value should be either FLUSH, APPEND or REPLACE.";
            Error::err_owned(format!("Wrong restore policy given, {values}"))
        })?,
    };
    let texts = texts_of(args.at(2)).map_err(|bad| match bad {
        BadLibraries::Footer => Error::err("DUMP payload version or checksum are wrong"),
        BadLibraries::Kind => Error::err("given type is not a function"),
        BadLibraries::Old => Error::err("Pre-GA function format not supported"),
        BadLibraries::Text => Error::err("Failed loading library payload"),
    })?;
    Ok((texts, policy))
}

fn restore(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let (texts, policy) = come(shell.args)?;
    Ok(asked(shell, What::Restore(texts, policy)))
}

fn list(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    let mut wanted = Wanted::default();
    let mut at = 2;
    while let Some(word) = args.get(at) {
        if parse::is(word, "WITHCODE") && wanted.text == Texts::Omitted {
            wanted.text = Texts::Told;
        } else if parse::is(word, "LIBRARYNAME") && wanted.pattern.is_none() {
            at += 1;
            let pattern = args.get(at);
            let missing = || Error::err("library name argument was not given");
            wanted.pattern = Some(pattern.ok_or_else(missing)?.to_vec());
        } else {
            let word = String::from_utf8_lossy(word);
            return Err(Error::err_owned(format!("Unknown argument {word}")));
        }
        at += 1;
    }
    Ok(Ask::FunctionList(wanted))
}

fn dump_all(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::FunctionDump)
}

fn stats(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::FunctionStats)
}

fn kill(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::FunctionKill)
}

// What the keeper does.

/// The command by which a library is kept, whatever brought it.
fn kept(text: &[u8]) -> OwnedArgs {
    OwnedArgs::of(&[b"FUNCTION", b"LOAD", b"REPLACE", text])
}

fn load_kept(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (same, text) = (same(call.args)?, text(call.args));
    let name = heading(text)?.name;
    if same == Same::Refuse && call.keys.libraries().get(&name).is_some() {
        return Err(exists(&name));
    }
    call.keys.put_library(&name, text);
    call.reply.bulk(&name);
    Ok(Effect::Instead(kept(text)))
}

fn delete_kept(call: &mut Call<'_>) -> Result<Effect, Error> {
    if !call.keys.drop_library(call.args.at(2)) {
        return Err(not_found());
    }
    call.reply.ok();
    Ok(Effect::AsSent)
}

/// DELETE of a library that is not there.
pub fn not_found() -> Error {
    Error::err("Library not found")
}

fn flush_kept(call: &mut Call<'_>) -> Result<Effect, Error> {
    check_flush(call.args)?;
    let any = call.keys.drop_libraries();
    call.reply.ok();
    Ok(if any { Effect::AsSent } else { Effect::Nothing })
}

fn restore_kept(call: &mut Call<'_>) -> Result<Effect, Error> {
    let (texts, policy) = come(call.args)?;
    let mut names = Vec::new();
    for text in &texts {
        names.push(heading(text)?.name);
    }
    let there = |name: &&Vec<u8>| call.keys.libraries().get(name).is_some();
    if policy == Policy::Append
        && let Some(name) = names.iter().find(there)
    {
        return Err(taken(name));
    }
    let mut effects = Vec::new();
    if policy == Policy::Flush && call.keys.drop_libraries() {
        effects.push(OwnedArgs::of(&[b"FUNCTION", b"FLUSH"]));
    }
    for (name, text) in names.iter().zip(&texts) {
        call.keys.put_library(name, text);
        effects.push(kept(text));
    }
    call.reply.ok();
    Ok(Effect::of(effects))
}

// What is told.

/// Answers FUNCTION LIST.
pub fn write_list(reply: &mut Reply<'_>, registry: &Registry, wanted: &Wanted) {
    let matches = |library: &&Arc<Library>| {
        let pattern = wanted.pattern.as_ref();
        pattern.is_none_or(|pattern| glob::matches_any_case(pattern, &library.name))
    };
    let found: Vec<&Arc<Library>> = registry.libraries().filter(matches).collect();
    reply.array(found.len());
    for library in found {
        reply.map(if wanted.text == Texts::Told { 4 } else { 3 });
        reply.bulk(b"library_name");
        reply.bulk(&library.name);
        reply.bulk(b"engine");
        reply.bulk(b"LUA");
        reply.bulk(b"functions");
        reply.array(library.functions.len());
        for function in &library.functions {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(&function.name);
            reply.bulk(b"description");
            match &function.description {
                Some(description) => reply.bulk(description),
                None => reply.null(),
            }
            reply.bulk(b"flags");
            reply.set(function.flags.len());
            function.flags.iter().for_each(|flag| reply.simple(flag.name()));
        }
        if wanted.text == Texts::Told {
            reply.bulk(b"library_code");
            reply.bulk(&library.text);
        }
    }
}

/// Answers FUNCTION DUMP.
pub fn write_dump(reply: &mut Reply<'_>, registry: &Registry) {
    reply.bulk(&dump(registry.libraries().map(|library| &*library.text)));
}

/// Answers FUNCTION STATS.
pub fn write_stats(reply: &mut Reply<'_>, registry: &Registry, runs: Option<&Runs>) {
    reply.map(2);
    reply.bulk(b"running_script");
    match runs {
        None => reply.null(),
        Some(runs) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(&runs.name);
            reply.bulk(b"command");
            let args = runs.args.args();
            reply.array(args.len());
            args.iter().for_each(|arg| reply.bulk(arg));
            reply.bulk(b"duration_ms");
            reply.integer(runs.millis as i64);
        }
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(b"LUA");
    reply.map(2);
    reply.bulk(b"libraries_count");
    reply.integer(registry.len() as i64);
    reply.bulk(b"functions_count");
    reply.integer(registry.functions() as i64);
}

#[cfg(test)]
mod tests;
