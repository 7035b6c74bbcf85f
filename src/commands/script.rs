//! EVAL and its kin, and SCRIPT: the session's side. What a script may call, and how it is refused.

use crate::commands::command;
use crate::commands::parse::{self, choice};
use crate::commands::row::HELP;
use crate::commands::session::{Ask, Shell};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec, Run};
use crate::commands::table;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("eval", EVAL, eval, docs("2.6.0", "Runs a script.")),
    row("evalsha", EVAL, evalsha, docs("2.6.0", "Runs a script that is kept, by its name.")),
    row("eval_ro", READS, eval_ro, docs("7.0.0", "Runs a script that may only read.")),
    row("evalsha_ro", READS, evalsha_ro, docs("7.0.0", "Runs a kept script that may only read.")),
    Command::container("script", &[], SUBS, docs("2.6.0", "Keeps and ends scripts.")),
];

const SUBS: &[Command] = &[
    sub("script|debug", 3, NOSCRIPT, debug, docs("3.2.0", "Refused: there is no debugger.")),
    sub("script|exists", -3, NOSCRIPT, exists, docs("2.6.0", "Which of these are kept?")),
    sub("script|flush", -2, NOSCRIPT, flush, docs("2.6.0", "Forgets all scripts.")),
    sub("script|help", 2, HELP, command::help, docs("5.0.0", "Prints this help.")),
    sub("script|kill", 2, KILL, kill, docs("2.6.0", "Ends the script that runs.")),
    sub("script|load", 3, LOAD, load, docs("2.6.0", "Keeps a script.")),
];

const EVAL: &[Flags] =
    &[Flags::NOSCRIPT, Flags::STALE, Flags::SKIP_MONITOR, Flags::MAY_REPLICATE, Flags::ANY_KEYS];
const READS: &[Flags] =
    &[Flags::NOSCRIPT, Flags::STALE, Flags::SKIP_MONITOR, Flags::READONLY, Flags::ANY_KEYS];
const NOSCRIPT: &[Flags] = &[Flags::NOSCRIPT];
const KILL: &[Flags] = &[Flags::NOSCRIPT, Flags::ALLOW_BUSY];
const LOAD: &[Flags] = &[Flags::NOSCRIPT, Flags::STALE];

type Handler = fn(&mut Shell<'_>) -> Result<Ask, Error>;

const fn row(name: &'static str, flags: &[Flags], run: Handler, docs: Docs) -> Command {
    Command {
        keys: KeySpec::Counted { target: None, count: 2 },
        across: Across::Session,
        run: Run::Session(run),
        ..Command::session(name, -3, flags, run, docs)
    }
}

const fn sub(name: &'static str, arity: i8, flags: &[Flags], run: Handler, docs: Docs) -> Command {
    Command::session(name, arity, flags, run, docs)
}

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("scripting", since, "Depends on the script that is executed.", summary)
}

/// How a script is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Given {
    /// As a text.
    Text,
    /// By its name.
    Name,
    /// By the name of a function of a library.
    Function,
}

/// Which keys a script may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any key.
    All,
    /// The keys that are declared, in the database of the session.
    Declared,
}

/// What a script may do to keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum May {
    /// All that commands do.
    Write,
    /// Only look.
    #[default]
    Read,
}

/// A script that is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eval {
    /// The whole request.
    pub args: OwnedArgs,
    /// How the script is given, in argument 1.
    pub given: Given,
    /// What the command allows.
    pub may: May,
    /// So many keys begin at argument 3; the rest is ARGV.
    pub keys: usize,
    /// What is wrong with their number: told once the function has been found.
    pub problem: Option<Error>,
}

impl Eval {
    /// KEYS and ARGV.
    pub fn tables(&self) -> (Args<'_>, Args<'_>) {
        self.args.args().from(3).split_at(self.keys)
    }
}

fn ask(shell: &Shell<'_>, given: Given, may: May) -> Result<Ask, Error> {
    let args = shell.args;
    let keys = parse::integer(args.at(2))?;
    if keys > args.len() as i64 - 3 {
        return Err(Error::NUMKEYS_MANY);
    }
    let Ok(keys) = usize::try_from(keys) else { return Err(Error::SCRIPT_KEYS_NEGATIVE) };
    let args = args.to_owned();
    Ok(Ask::Eval(Box::new(Eval { args, given, may, keys, problem: None })))
}

fn eval(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    ask(shell, Given::Text, May::Write)
}

fn eval_ro(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    ask(shell, Given::Text, May::Read)
}

fn evalsha(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    by_name(shell, May::Write)
}

fn evalsha_ro(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    by_name(shell, May::Read)
}

fn by_name(shell: &Shell<'_>, may: May) -> Result<Ask, Error> {
    match shell.args.at(1).len() {
        40 => ask(shell, Given::Name, may),
        _ => Err(Error::NOSCRIPT),
    }
}

fn exists(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::ScriptExists(shell.args.from(2).iter().map(<[u8]>::to_vec).collect()))
}

fn flush(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let mode = shell.args.get(2);
    let known = mode.is_none_or(|word| choice(word, &[("sync", ()), ("async", ())]).is_some());
    match known && shell.args.len() <= 3 {
        true => Ok(Ask::ScriptFlush),
        false => Err(Error::err("SCRIPT FLUSH only support SYNC|ASYNC option")),
    }
}

fn kill(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::ScriptKill)
}

fn load(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::ScriptLoad(shell.args.at(2).to_vec()))
}

fn debug(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    match choice(shell.args.at(2), &[("no", true), ("yes", false), ("sync", false)]) {
        Some(true) => {
            shell.reply.ok();
            Ok(Ask::Nothing)
        }
        Some(false) => Err(Error::err("SCRIPT DEBUG is not supported: there is no Lua debugger")),
        None => Err(Error::err("Use SCRIPT DEBUG YES/SYNC/NO")),
    }
}

/// What a script is allowed now.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    /// To keys.
    pub may: May,
    /// Memory is short, and the script has not said that it does not matter.
    pub full: bool,
    /// Writes are refused, with this error.
    pub refused: Option<Error>,
    /// It has called a command that writes: what it has begun is not refused half way.
    pub wrote: bool,
    /// It may call DEBUG PROTOCOL and DEBUG SLEEP (for tests).
    pub debug: bool,
}

/// The row of a command that a script calls, if it may.
pub fn allowed(args: Args<'_>, rights: &Rights) -> Result<&'static Command, Error> {
    let Ok(row) = table::locate(args) else {
        return Err(Error::err("Unknown Redis command called from script"));
    };
    if !row.takes(args.len()) {
        return Err(Error::err("Wrong number of args calling Redis command from script"));
    }
    if matches!(row.keys, KeySpec::Streams { .. }) {
        // Lists and sorted sets just do not wait; streams say that they cannot.
        let words = args.from(1);
        let before = words.iter().take_while(|word| !parse::is(word, "STREAMS"));
        if before.into_iter().any(|word| parse::is(word, "BLOCK")) {
            let name = row.name;
            let why = format!("{name} command is not allowed with BLOCK option from scripts");
            return Err(Error::err_owned(why));
        }
    }
    if rights.debug && matches!(row.name, "debug|protocol" | "debug|sleep") {
        return Ok(row);
    }
    if row.flags.has(Flags::NOSCRIPT) || matches!(row.run, Run::Container) {
        return Err(Error::err("This Redis command is not allowed from script"));
    }
    let reaches = row.flags.has(Flags::WRITE) || row.flags.has(Flags::MAY_REPLICATE);
    if rights.may == May::Read && reaches {
        return Err(Error::err("Write commands are not allowed from read-only scripts."));
    }
    if rights.wrote {
        return Ok(row);
    }
    match &rights.refused {
        Some(error) if row.flags.has(Flags::WRITE) => return Err(error.clone()),
        _ => {}
    }
    if rights.full && row.flags.has(Flags::DENYOOM) {
        return Err(Error::OOM);
    }
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::kit::Kit;

    #[test]
    fn answers_are_those_of_redis() {
        Kit::new().check(
            "eval x -> -ERR wrong number of arguments for 'eval' command
            eval x a -> -ERR value is not an integer or out of range
            eval x 1 -> -ERR Number of keys can't be greater than number of args
            eval x -1 -> -ERR Number of keys can't be negative
            evalsha x 0 -> -NOSCRIPT No matching script. Please use EVAL.
            script flush foo -> -ERR SCRIPT FLUSH only support SYNC|ASYNC option
            script flush async -> ScriptFlush
            script kill -> ScriptKill
            script load x -> ScriptLoad([120])
            script debug foo -> -ERR Use SCRIPT DEBUG YES/SYNC/NO
            script debug no -> +OK
            script debug yes -> -ERR SCRIPT DEBUG is not supported: there is no Lua debugger
            command getkeys eval x 2 a b c -> *2 $1 a $1 b
            command getkeys eval x 0 c -> *0
            command getkeys eval x 2 c -> -ERR Invalid arguments specified for command",
        );
    }

    #[test]
    fn what_scripts_may_call() {
        let free = Rights { may: May::Write, ..Rights::default() };
        let reads = Rights { may: May::Read, ..free.clone() };
        let full = Rights { full: true, ..free.clone() };
        let late = Rights { wrote: true, ..full.clone() };
        let broken = Rights { refused: Some(Error::MISCONF_SNAPSHOT), ..free.clone() };
        for (rights, words, expected) in [
            (&free, "get a", "get"),
            (&free, "nope", "ERR Unknown Redis command called from script"),
            (&free, "get", "ERR Wrong number of args calling Redis command from script"),
            (&free, "eval x 0", "ERR This Redis command is not allowed from script"),
            (&free, "subscribe x", "ERR This Redis command is not allowed from script"),
            (&free, "config get x", "ERR This Redis command is not allowed from script"),
            (&reads, "get a", "get"),
            (&reads, "set a 1", "ERR Write commands are not allowed from read-only scripts."),
            (&reads, "publish a 1", "ERR Write commands are not allowed from read-only scripts."),
            (&full, "set a 1", "OOM command not allowed when used memory > 'maxmemory'."),
            (&full, "del a", "del"),
            (&late, "set a 1", "set"),
            (&broken, "get a", "get"),
        ] {
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            let got = match allowed(OwnedArgs::of(&words).args(), rights) {
                Ok(row) => row.name.to_owned(),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expected);
        }
        let set = OwnedArgs::of(&[b"set", b"a", b"1"]);
        assert_eq!(allowed(set.args(), &broken).unwrap_err(), Error::MISCONF_SNAPSHOT);
    }
}
