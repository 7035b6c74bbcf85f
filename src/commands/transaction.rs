//! MULTI, EXEC, DISCARD, WATCH, UNWATCH: the session's side. And the gate before every command:
//! may it run now, is it queued, or refused?

use std::collections::BTreeSet;

use crate::commands::acl::check::{self, Denial};
use crate::commands::acl::identity::Standing;
use crate::commands::connection;
use crate::commands::parse;
use crate::commands::pubsub;
use crate::commands::row::session_row as row;
use crate::commands::session::{Ask, Facts, Queue, Queued, Session, Shell, Watched};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec, Run};
use crate::config::values::Access;
use crate::limits;
use crate::observe::acl_log::Context;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("multi", 1, FAST, multi, docs("1.2.0", "O(1)", "Begins a transaction.")),
    row(
        "exec",
        1,
        &[Flags::NOSCRIPT, Flags::LOADING, Flags::STALE, Flags::SKIP_SLOWLOG, Flags::IN_MULTI],
        exec,
        docs("1.2.0", "That of the queued commands", "Runs a transaction."),
    ),
    row(
        "discard",
        1,
        FAST,
        discard,
        docs("2.0.0", "O(N) in queued commands", "Drops a transaction."),
    ),
    Command {
        keys: KeySpec::At { first: 1, last: -1, step: 1 },
        across: Across::Session,
        run: Run::Session(watch),
        ..row("watch", -2, FAST, watch, docs("2.2.0", "O(1) a key", "Makes EXEC depend on keys."))
    },
    row("unwatch", 1, UNWATCH, unwatch, docs("2.2.0", "O(1)", "Forgets all watched keys.")),
];

const FAST: &[Flags] = &[
    Flags::NOSCRIPT,
    Flags::LOADING,
    Flags::STALE,
    Flags::FAST,
    Flags::ALLOW_BUSY,
    Flags::IN_MULTI,
];

/// Inside MULTI it is queued, and then ends what EXEC has ended already.
const UNWATCH: &[Flags] =
    &[Flags::NOSCRIPT, Flags::LOADING, Flags::STALE, Flags::FAST, Flags::ALLOW_BUSY];

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("transactions", since, complexity, summary)
}

/// What the gate says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// Run it.
    Run,
    /// It is inside MULTI: `queue` it and answer `+QUEUED`.
    Queue,
}

/// Why a command is refused before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// For any reason but the next one.
    Plain(Error),
    /// Its user may not run it, which is to be noted.
    Denied(Box<Denial>),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Plain(error)
    }
}

impl Refused {
    /// What the client is told.
    pub fn error(self) -> Error {
        match self {
            Refused::Plain(error) => error,
            Refused::Denied(denial) => denial.error,
        }
    }
}

/// May this session run this command? The caller refuses with the error, and tells the session by
/// `refused`.
pub fn gate(
    session: &Session,
    command: &Command,
    args: Args<'_>,
    facts: &Facts,
) -> Result<Gate, Refused> {
    if command.flags.has(Flags::PROTECTED) && !allowed(facts.debug, session.loopback) {
        return Err(Error::DEBUG_OFF.into());
    }
    if session.identity.standing() != Standing::Free {
        let context = if session.queue.is_some() { Context::Multi } else { Context::TopLevel };
        examine(session, command, args, context)?;
    }
    pubsub::allowed_to_subscribers(session, command)?;
    match &session.queue {
        None => Ok(Gate::Run),
        Some(_) if command.flags.has(Flags::NO_MULTI) => Err(Error::NOT_IN_MULTI.into()),
        Some(_) if command.flags.has(Flags::IN_MULTI) => Ok(Gate::Run),
        Some(queue) if !fits(queue) => {
            Err(Error::err("too many commands in one transaction").into())
        }
        Some(_) => Ok(Gate::Queue),
    }
}

/// Looks at a command of a session that may not do everything: a client's, one of its scripts, or
/// one that has waited for keys while users may have changed.
pub fn examine(
    session: &Session,
    command: &Command,
    args: Args<'_>,
    context: Context,
) -> Result<(), Refused> {
    if session.identity.is_stranger() {
        return match command.flags.has(Flags::NO_AUTH) {
            true => Ok(()),
            false => Err(Error::NOAUTH.into()),
        };
    }
    let Some(user) = session.identity.limited() else { return Ok(()) };
    check::permit(user, command, args, context).map_err(Refused::Denied)?;
    // As in Redis this is said when the command runs, not when it is queued.
    if context != Context::Multi {
        check::check_sort(user, command, args)?;
    }
    Ok(())
}

/// Looks at a transaction that is about to run, since the users may have changed since its commands
/// were queued: what is not allowed any more answers with an error in its place. Within it AUTH and
/// HELLO change who it is from there on.
pub fn reexamined(
    session: &Session,
    facts: &Facts,
    queue: Vec<Queued>,
) -> (Vec<Queued>, Vec<Denial>) {
    let (mut identity, mut denials) = (session.identity.clone(), Vec::new());
    let mut look = |queued: Queued| {
        let args = queued.args.args();
        let verdict = match identity.limited() {
            None => Ok(()),
            Some(user) => match check::check(user, queued.command, args) {
                Ok(()) => check::check_sort(user, queued.command, args),
                Err(denied) => {
                    let request = (queued.command, args);
                    denials.push(check::denial(user, request, denied, Context::Multi));
                    Err(check::refusal_in_exec(denied))
                }
            },
        };
        if queued.command.flags.has(Flags::NO_AUTH)
            && let Some(next) = connection::identity_after(facts, args)
        {
            identity = next;
        }
        match verdict {
            Ok(()) => queued,
            Err(error) => Queued { command: &REFUSED, args: error_words(&error) },
        }
    };
    let queue = queue.into_iter().map(&mut look).collect();
    (queue, denials)
}

/// Does a transaction have to be looked at before it runs?
pub fn is_to_be_reexamined(session: &Session, queue: &[Queued]) -> bool {
    session.identity.standing() != Standing::Free
        || queue.iter().any(|queued| queued.command.flags.has(Flags::NO_AUTH))
}

/// Stands in a transaction for a command that is refused: its only argument is the error. It has no
/// name, since it is in no table and is not counted.
static REFUSED: Command = row("", 1, &[], refuse, docs("", "", ""));

fn error_words(error: &Error) -> OwnedArgs {
    let mut line = Vec::new();
    error.write_to(&mut line);
    OwnedArgs::of(&[&line])
}

fn refuse(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Err(Error::Line(shell.args.at(0).to_vec()))
}

/// While writes are refused: does this command of an open transaction bring one, or EXEC carry one
/// out? The transaction then fails as a whole, not command by command.
pub fn brings_write(session: &Session, command: &Command) -> bool {
    let writes = |command: &Command| command.flags.has(Flags::WRITE);
    match &session.queue {
        None => false,
        Some(queue) if command.name == "exec" => {
            queue.commands.iter().any(|queued| writes(queued.command))
        }
        Some(_) => writes(command),
    }
}

/// Above maxmemory: is this command refused? Within MULTI everything is that would be queued, and
/// EXEC if something in the queue needs memory.
pub fn needs_memory(session: &Session, command: &Command) -> bool {
    let needs = |command: &Command| command.flags.has(Flags::DENYOOM);
    match &session.queue {
        None => needs(command),
        Some(queue) if command.name == "exec" => {
            queue.commands.iter().any(|queued| needs(queued.command))
        }
        Some(_) => !command.flags.has(Flags::IN_MULTI),
    }
}

fn allowed(rule: Access, loopback: bool) -> bool {
    match rule {
        Access::Yes => true,
        Access::Local => loopback,
        Access::No => false,
    }
}

fn fits(queue: &Queue) -> bool {
    queue.commands.len() < limits::QUEUED_COMMANDS_MAX && queue.bytes < limits::QUEUED_BYTES_MAX
}

/// Adds a command to the open transaction. The caller answers `+QUEUED`.
pub fn queue(session: &mut Session, command: &'static Command, args: Args<'_>) {
    let Some(queue) = &mut session.queue else { return };
    // An aborted transaction never runs: what it would hold is not kept.
    if queue.aborted {
        return;
    }
    let args = args.to_owned();
    queue.bytes += args.byte_len();
    queue.commands.push(Queued { command, args });
}

/// A request was refused before it ran (unknown, wrong arity, not allowed, out of memory, ...): an
/// open transaction will not be carried out. EXEC itself, when refused, ends it there and then.
/// What the client is told, and what is left to do.
pub fn refused(session: &mut Session, args: Args<'_>, error: Error) -> (Error, Ask) {
    if args.get(0).is_some_and(|name| parse::is(name, "exec")) {
        let watched = session.end_transaction();
        return (Error::exec_aborted(&error), unwatched(watched));
    }
    if let Some(queue) = &mut session.queue {
        *queue = Queue { aborted: true, ..Queue::default() };
    }
    (error, Ask::Nothing)
}

fn multi(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    if shell.session.queue.is_some() {
        return Err(Error::NESTED_MULTI);
    }
    shell.session.queue = Some(Queue::default());
    shell.reply.ok();
    Ok(Ask::Nothing)
}

fn exec(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let Some(queue) = shell.session.queue.take() else {
        return Err(Error::EXEC_ALONE);
    };
    let watched = shell.session.end_transaction();
    if !queue.aborted {
        return Ok(Ask::Exec { commands: queue.commands, watched });
    }
    shell
        .reply
        .error(&Error::Text("EXECABORT Transaction discarded because of previous errors.".into()));
    Ok(unwatched(watched))
}

fn discard(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    if shell.session.queue.is_none() {
        return Err(Error::DISCARD_ALONE);
    }
    let watched = shell.session.end_transaction();
    shell.reply.ok();
    Ok(unwatched(watched))
}

fn watch(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    if shell.session.queue.is_some() {
        return Err(Error::WATCH_IN_MULTI);
    }
    // A key that is watched already keeps its first version.
    let mut keys: BTreeSet<&[u8]> = shell.args.from(1).iter().collect();
    for watched in shell.session.watched.iter().filter(|w| w.db == shell.session.db) {
        keys.remove(watched.key.as_slice());
    }
    if shell.session.watched.len() + keys.len() > limits::WATCHED_KEYS_MAX {
        return Err(Error::err("too many watched keys"));
    }
    Ok(Ask::Watch(keys.into_iter().map(<[u8]>::to_vec).collect()))
}

fn unwatch(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let watched = std::mem::take(&mut shell.session.watched);
    shell.reply.ok();
    Ok(unwatched(watched))
}

/// What to ask for when these watches have ended and the reply is written.
pub(super) fn unwatched(watched: Vec<Watched>) -> Ask {
    if watched.is_empty() { Ask::Nothing } else { Ask::Unwatch(watched) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{Db, ShardId};
    use crate::commands::kit::Kit;
    use crate::commands::table;

    fn watched(key: &str) -> Watched {
        Watched { db: Db(0), key: key.into(), shard: ShardId(0), version: 1 }
    }

    #[test]
    fn answers_are_those_of_redis() {
        Kit::new().check(
            "exec -> -ERR EXEC without MULTI
            discard -> -ERR DISCARD without MULTI
            unwatch -> +OK
            multi -> +OK
            multi -> -ERR MULTI calls can not be nested
            watch a -> -ERR WATCH inside MULTI is not allowed
            unwatch -> +QUEUED
            ping -> +QUEUED
            discard -> +OK
            ping -> +PONG
            multi -> +OK
            nothing -> -ERR unknown command 'nothing', with args beginning with: 
            ping -> +QUEUED
            exec -> -EXECABORT Transaction discarded because of previous errors.
            exec -> -ERR EXEC without MULTI
            multi -> +OK
            echo -> -ERR wrong number of arguments for 'echo' command
            client nothing -> -ERR unknown subcommand 'nothing'. Try CLIENT HELP.
            discard -> +OK
            multi -> +OK
            reset -> +RESET
            exec -> -ERR EXEC without MULTI
            multi -> +OK
            multi -> -ERR MULTI calls can not be nested
            exec -> Exec { commands: [], watched: [] }",
        );
    }

    #[test]
    fn exec_asks_for_the_queue_and_the_watched_keys() {
        let mut kit = Kit::new();
        kit.check("watch a b a -> Watch([[97], [98]])");
        kit.session.watched = vec![watched("a"), watched("b")];
        kit.check("watch b c -> Watch([[99]])");
        kit.session.db = Db(1);
        kit.check("watch b -> Watch([[98]])");
        kit.check("multi -> +OK");
        kit.check("echo hi -> +QUEUED");
        let Ask::Exec { commands, watched } = kit.run("exec").1 else { panic!() };
        assert_eq!(commands.len(), 1);
        assert_eq!(commands[0].command.name, "echo");
        assert_eq!(commands[0].args, OwnedArgs::of(&[b"echo", b"hi"]));
        assert_eq!(watched.len(), 2);
        assert!(kit.session.watched.is_empty() && kit.session.queue.is_none());
    }

    #[test]
    fn whatever_ends_a_transaction_ends_its_watches() {
        for line in ["unwatch", "discard", "exec", "reset"] {
            let mut kit = Kit::new();
            kit.session.watched = vec![watched("a")];
            if line == "exec" || line == "discard" {
                kit.run("multi");
                kit.run("echo");
            }
            assert_eq!(kit.run(line).1, Ask::Unwatch(vec![watched("a")]), "{line}");
            assert!(kit.session.watched.is_empty());
        }
    }

    #[test]
    fn a_transaction_is_bounded_and_an_aborted_one_keeps_nothing() {
        let mut kit = Kit::new();
        kit.run("multi");
        kit.session.queue.as_mut().unwrap().bytes = limits::QUEUED_BYTES_MAX;
        kit.check(
            "ping -> -ERR too many commands in one transaction
            ping -> +QUEUED",
        );
        let queue = kit.session.queue.as_ref().unwrap();
        assert!(queue.aborted && queue.commands.is_empty() && queue.bytes == 0);
    }

    /// What a check says of a command when that one is queued before it.
    fn asked(check: impl Fn(&Session, &Command) -> bool, queued: Option<&str>, name: &str) -> bool {
        let row = |name: &str| table::find(name.as_bytes()).unwrap();
        let mut kit = Kit::new();
        if let Some(queued) = queued {
            kit.run("multi");
            let args = OwnedArgs::of(&[queued.as_bytes(), b"a", b"b"]);
            queue(&mut kit.session, row(queued), args.args());
        }
        check(&kit.session, row(name))
    }

    #[test]
    fn above_maxmemory_what_needs_memory_is_refused() {
        // What is queued, the command, refused?
        for (queued, name, refused) in [
            (None, "set", true),
            (None, "get", false),
            (None, "del", false),
            (None, "exec", false),
            (Some("get"), "get", true),
            (Some("get"), "exec", false),
            (Some("set"), "exec", true),
            (Some("set"), "discard", false),
        ] {
            assert_eq!(asked(needs_memory, queued, name), refused, "{queued:?} {name}");
        }
    }

    #[test]
    fn a_transaction_with_a_write_fails_while_writes_do() {
        for (queued, name, refused) in [
            (None, "set", false),
            (Some("get"), "get", false),
            (Some("get"), "del", true),
            (Some("get"), "exec", false),
            (Some("set"), "exec", true),
            (Some("set"), "discard", false),
        ] {
            assert_eq!(asked(brings_write, queued, name), refused, "{queued:?} {name}");
        }
    }

    #[test]
    fn the_gate_refuses_debug_by_the_settings() {
        let debug = Command { flags: Flags::PROTECTED, ..*ROWS.first().unwrap() };
        for (rule, loopback, open) in [
            (Access::No, true, false),
            (Access::Local, true, true),
            (Access::Local, false, false),
            (Access::Yes, false, true),
        ] {
            let mut kit = Kit::new();
            kit.facts.debug = rule;
            kit.session.loopback = loopback;
            let args = OwnedArgs::default();
            let verdict = gate(&kit.session, &debug, args.args(), &kit.facts);
            let closed = Err(Error::DEBUG_OFF.into());
            assert_eq!(verdict, if open { Ok(Gate::Run) } else { closed });
        }
    }
}
