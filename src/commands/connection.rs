//! The commands about the connection itself: PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET.

use crate::base::ids::Db;
use crate::base::number;
use crate::commands::acl::identity::Identity;
use crate::commands::acl::users::{DEFAULT, Users};
use crate::commands::client;
use crate::commands::parse;
use crate::commands::row::session_row as row;
use crate::commands::session::{Ask, Facts, ReplyMode, Session, Shell};
use crate::commands::spec::{Command, Docs, Flags};
use crate::commands::transaction;
use crate::observe::version::HELLO_VERSION;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("ping", -1, &[Flags::FAST], ping, docs("1.0.0", "Answers PONG, or the message.")),
    row("echo", 2, LOADING, echo, docs("1.0.0", "Answers the message.")),
    row("hello", -1, ENTRY, hello, docs("6.0.0", "Opens a conversation: protocol, AUTH, name.")),
    row("auth", -2, ENTRY, auth, docs("1.0.0", "Proves who the client is.")),
    row("select", 2, LOADING, select, docs("1.0.0", "Chooses the database.")),
    row("quit", -1, LEAVE, quit, docs("1.0.0", "Closes the connection.")),
    row("reset", 1, LEAVE, reset, docs("6.2.0", "Makes the connection as good as new.")),
];

const LOADING: &[Flags] = &[Flags::LOADING, Flags::STALE, Flags::FAST];

/// Those that a client may send before all others.
const ENTRY: &[Flags] = &[
    Flags::NOSCRIPT,
    Flags::LOADING,
    Flags::STALE,
    Flags::FAST,
    Flags::NO_AUTH,
    Flags::ALLOW_BUSY,
];

/// The same, and they end a transaction.
const LEAVE: &[Flags] = &[Flags::of(ENTRY), Flags::IN_MULTI];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("connection", since, "O(1)", summary)
}

fn ping(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let session = &*shell.session;
    if session.proto == Proto::Two && session.subscriptions.any() && shell.args.len() <= 2 {
        shell.reply.array(2);
        shell.reply.bulk(b"pong");
        shell.reply.bulk(shell.args.get(1).unwrap_or_default());
        return Ok(Ask::Nothing);
    }
    match shell.args.len() {
        1 => shell.reply.simple("PONG"),
        2 => shell.reply.bulk(shell.args.at(1)),
        _ => return Err(Error::WrongArity("ping".into())),
    }
    Ok(Ask::Nothing)
}

fn echo(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.bulk(shell.args.at(1));
    Ok(Ask::Nothing)
}

fn select(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let index = parse::database_index(shell.args.at(1))?;
    shell.session.db = parse::database(index, shell.facts.databases)?;
    shell.reply.ok();
    Ok(Ask::Nothing)
}

fn quit(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.ok();
    Ok(Ask::Close)
}

fn reset(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let session = &mut *shell.session;
    let watched = session.end_transaction();
    let ended = session.subscriptions.end();
    session.db = Db::default();
    session.proto = Proto::Two;
    session.name.clear();
    session.identity = Identity::new(&shell.facts.users);
    session.replies = ReplyMode::On;
    session.no_evict = false;
    session.no_touch = false;
    shell.reply.simple("RESET");
    let plain = ended.is_empty() && shell.session.tracking.is_none() && !shell.session.monitors;
    Ok(match plain {
        true => transaction::unwatched(watched),
        false => Ask::Reset { watched, ended },
    })
}

// Who the client is.

fn auth(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    let (user, password): (&[u8], &[u8]) = match args.len() {
        2 if shell.facts.users.default_user().login.open => return Err(Error::NO_PASSWORD),
        2 => (DEFAULT, args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return Err(Error::Syntax),
    };
    let users = &shell.facts.users;
    match authenticated(users, user, password) {
        Some(identity) => {
            shell.session.identity = identity;
            shell.reply.ok();
            Ok(Ask::Nothing)
        }
        None => Ok(wrong_password(user, args)),
    }
}

/// Who a session is by this password, if it is right.
fn authenticated(users: &Users, user: &[u8], password: &[u8]) -> Option<Identity> {
    let user = users.get(user).filter(|user| user.admits(password))?;
    Some(Identity::proven(user, users))
}

/// Who a session is after an AUTH or a HELLO that succeeds.
pub fn identity_after(facts: &Facts, args: Args<'_>) -> Option<Identity> {
    let (user, password) = match args.len() {
        _ if parse::is(args.at(0), "hello") => parse_hello(args).ok()?.auth?,
        2 => (DEFAULT, args.at(1)),
        3 => (args.at(1), args.at(2)),
        _ => return None,
    };
    authenticated(&facts.users, user, password)
}

fn wrong_password(user: &[u8], args: Args<'_>) -> Ask {
    Ask::WrongPassword { user: user.to_vec(), command: args.at(0).to_vec() }
}

// HELLO [2|3 [AUTH user password] [SETNAME name]]

/// What HELLO asks for.
#[derive(Debug, Default)]
struct Hello<'a> {
    proto: Option<Proto>,
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

fn hello(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let wanted = parse_hello(shell.args)?;
    if let Some((user, password)) = wanted.auth {
        match authenticated(&shell.facts.users, user, password) {
            Some(identity) => shell.session.identity = identity,
            None => return Ok(wrong_password(user, shell.args)),
        }
    }
    if shell.session.identity.is_stranger() {
        return Err(Error::NOAUTH_HELLO);
    }
    if let Some(name) = wanted.name {
        client::check_name(name)?;
        shell.session.name = name.to_vec();
    }
    if let Some(proto) = wanted.proto {
        shell.session.proto = proto;
    }
    // The answer already speaks the protocol that it agrees to.
    let mut answer = Vec::new();
    write_hello(&mut Reply::new(&mut answer, shell.session.proto), shell.session);
    shell.reply.raw(&answer);
    Ok(Ask::Nothing)
}

fn parse_hello(args: Args<'_>) -> Result<Hello<'_>, Error> {
    let mut hello = Hello::default();
    let Some(version) = args.get(1) else { return Ok(hello) };
    hello.proto = match number::parse_i64(version) {
        Some(2) => Some(Proto::Two),
        Some(3) => Some(Proto::Three),
        Some(_) => return Err(Error::NOPROTO),
        None => return Err(Error::PROTO_NUMBER),
    };
    let mut at = 2;
    while let Some(option) = args.get(at) {
        if option.eq_ignore_ascii_case(b"AUTH") && args.len() > at + 2 {
            hello.auth = Some((args.at(at + 1), args.at(at + 2)));
            at += 3;
        } else if option.eq_ignore_ascii_case(b"SETNAME") && args.len() > at + 1 {
            hello.name = Some(args.at(at + 1));
            at += 2;
        } else {
            return Err(Error::hello_option(option));
        }
    }
    Ok(hello)
}

fn write_hello(reply: &mut Reply<'_>, session: &Session) {
    reply.map(7);
    for (field, text) in [("server", "redis"), ("version", HELLO_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(match session.proto {
        Proto::Two => 2,
        Proto::Three => 3,
    });
    reply.bulk(b"id");
    reply.integer(session.id as i64);
    for (field, text) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(text.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::commands::kit::Kit;

    #[test]
    fn answers_are_those_of_redis() {
        Kit::new().check(
            "ping -> +PONG
            ping hi -> $2 hi
            ping a b -> -ERR wrong number of arguments for 'ping' command
            echo hi -> $2 hi
            select 9 -> +OK
            select 16 -> -ERR DB index is out of range
            select -1 -> -ERR DB index is out of range
            select x -> -ERR value is not an integer or out of range
            auth a -> -ERR AUTH <password> called without any password configured for the \
                default user. Are you sure your configuration is correct?
            auth default x -> +OK
            auth a b -> -WRONGPASS invalid username-password pair or user is disabled.
            auth a b c -> -ERR syntax error
            hello 4 -> -NOPROTO unsupported protocol version
            hello x -> -ERR Protocol version is not an integer or out of range
            hello 3 foo -> -ERR Syntax error in HELLO option 'foo'
            hello 3 auth a -> -ERR Syntax error in HELLO option 'auth'
            hello 3 auth a b -> -WRONGPASS invalid username-password pair or user is disabled.
            hello 3 setname a\tb -> -ERR Client names cannot contain spaces, newlines or special \
                characters.
            hello -> *14 $6 server $5 redis $7 version $5 7.4.0 $5 proto :2 $2 id :7 $4 mode $10 \
                standalone $4 role $6 master $7 modules *0
            hello 3 setname me auth default x -> %7 $6 server $5 redis $7 version $5 7.4.0 $5 \
                proto :3 $2 id :7 $4 mode $10 standalone $4 role $6 master $7 modules *0
            client getname -> $2 me
            reset -> +RESET
            client getname -> $-1
            quit -> +OK Close",
        );
    }

    #[test]
    fn a_password_closes_the_door() {
        let mut kit = Kit::new();
        kit.facts.users = Arc::new(Users::new(b"secret"));
        kit.session.identity = Identity::new(&kit.facts.users);
        kit.check(
            "ping -> -NOAUTH Authentication required.
            client id -> -NOAUTH Authentication required.
            exec -> -EXECABORT Transaction discarded because of: NOAUTH Authentication required.
            nothing -> -ERR unknown command 'nothing', with args beginning with: 
            hello 3 -> -NOAUTH HELLO must be called with the client already authenticated, \
                otherwise the HELLO <proto> AUTH <user> <pass> option can be used to \
                authenticate the client and select the RESP protocol version at the same time
            auth secre -> -WRONGPASS invalid username-password pair or user is disabled.
            auth secret1 -> -WRONGPASS invalid username-password pair or user is disabled.
            auth _ -> -WRONGPASS invalid username-password pair or user is disabled.
            ping -> -NOAUTH Authentication required.
            auth secret -> +OK
            ping -> +PONG
            reset -> +RESET
            ping -> -NOAUTH Authentication required.
            auth default secret -> +OK
            ping -> +PONG
            reset -> +RESET
            hello 2 auth default secret -> *14 $6 server $5 redis $7 version $5 7.4.0 $5 proto \
                :2 $2 id :7 $4 mode $10 standalone $4 role $6 master $7 modules *0
            ping -> +PONG",
        );
    }
}
