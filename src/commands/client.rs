//! CLIENT and its subcommands, and the line that CLIENT LIST and CLIENT INFO show of a session.

use crate::base::number;
use crate::base::time::Millis;
use crate::commands::acl::users::Users;
use crate::commands::command;
use crate::commands::parse::{self, choice};
use crate::commands::pubsub::Scope;
use crate::commands::row::{ADMIN, ANY, HELP, session_row as row};
use crate::commands::session::{Ask, ReplyMode, Session, Shell};
use crate::commands::spec::{Command, Docs, Flags};
use crate::commands::tracking::{Mode, caching, getredir, redirection, tracking, trackinginfo};
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};

/// The rows of this file.
pub const ROWS: &[Command] = &[Command::container(
    "client",
    &[],
    SUBS,
    Docs::of("connection", "2.4.0", "Depends on the subcommand", "About client connections."),
)];

const SUBS: &[Command] = &[
    row("client|caching", 3, ANY, caching, docs("6.0.0", "Is the next command tracked?")),
    row("client|getname", 2, ANY, getname, docs("2.6.9", "This connection's name.")),
    row("client|getredir", 2, ANY, getredir, docs("6.0.0", "Where invalidations go.")),
    row("client|help", 2, HELP, command::help, docs("5.0.0", "Prints this help.")),
    row("client|id", 2, ANY, id, docs("5.0.0", "This connection's id.")),
    row("client|info", 2, ANY, info, docs("6.2.0", "This connection's line of CLIENT LIST.")),
    row(
        "client|kill",
        -3,
        ADMIN,
        kill,
        docs("2.4.0", "Closes connections: an address, or filters."),
    ),
    row("client|list", -2, ADMIN, list, docs("2.4.0", "A line for each connection.")),
    row("client|no-evict", 3, ADMIN, no_evict, docs("7.0.0", "ON keeps it when memory is short.")),
    row("client|no-touch", 3, ANY, no_touch, docs("7.2.0", "ON: reads leave the access time.")),
    row("client|pause", -3, ADMIN, pause, docs("3.0.0", "Lets commands, or writes, wait.")),
    row("client|reply", 3, ANY, reply_mode, docs("3.2.0", "ON, OFF or SKIP: are replies sent?")),
    row("client|setinfo", 4, ANY, setinfo, docs("7.2.0", "LIB-NAME or LIB-VER of the client.")),
    row("client|setname", 3, ANY, setname, docs("2.6.9", "Names this connection.")),
    row(
        "client|tracking",
        -3,
        ANY,
        tracking,
        docs("6.0.0", "Hears of changes to what it has read."),
    ),
    row("client|trackinginfo", 2, ANY, trackinginfo, docs("6.2.0", "State of tracking.")),
    row("client|unblock", -3, ADMIN, unblock, docs("5.0.0", "Wakes a connection that waits.")),
    row("client|unpause", 2, ADMIN, unpause, docs("6.2.0", "Ends CLIENT PAUSE.")),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("connection", since, "O(1)", summary)
}

/// Which sessions CLIENT LIST shows and CLIENT KILL closes. The default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientFilter {
    /// One of these ids; empty: any.
    pub ids: Vec<u64>,
    /// From this address.
    pub peer: Option<Vec<u8>>,
    /// To this address.
    pub local: Option<Vec<u8>>,
    /// Of this type.
    pub kind: Option<ClientKind>,
    /// Of this user.
    pub user: Option<Vec<u8>>,
    /// Not this session (SKIPME).
    pub except: Option<u64>,
    /// Connected for at least so many seconds (MAXAGE).
    pub min_age: Option<u64>,
}

/// The types of clients that Redis knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientKind {
    /// Sends commands.
    Normal,
    /// The primary of this server.
    Master,
    /// A replica of this server.
    Replica,
    /// Listens to channels.
    PubSub,
}

impl ClientKind {
    /// The type of a session.
    pub fn of(session: &Session) -> ClientKind {
        match session.subscriptions.any() {
            true => ClientKind::PubSub,
            false => ClientKind::Normal,
        }
    }
}

/// How CLIENT KILL answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KillForm {
    /// `CLIENT KILL ip:port`: `+OK` or an error.
    Address,
    /// With filters: how many.
    Filters,
}

impl ClientFilter {
    /// Is this session meant?
    pub fn matches(&self, session: &Session, now: Millis) -> bool {
        let same = |wanted: &Option<Vec<u8>>, address: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == address.as_bytes())
        };
        (self.ids.is_empty() || self.ids.contains(&session.id))
            && same(&self.peer, &session.peer)
            && same(&self.local, &session.local)
            && self.kind.is_none_or(|kind| kind == ClientKind::of(session))
            && self.user.as_ref().is_none_or(|user| user == session.identity.name())
            && self.except != Some(session.id)
            && self.min_age.is_none_or(|age| seconds(session.created, now) >= age)
    }
}

/// What the server knows of a connection and the session does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// The socket's file descriptor.
    pub fd: i64,
    /// Bytes of requests that wait in the read buffer.
    pub query: usize,
    /// Bytes free in the read buffer.
    pub query_free: usize,
    /// Bytes of the command that is being read.
    pub args: usize,
    /// Bytes of replies that wait for the client.
    pub reply_waiting: usize,
    /// Waits to become writable.
    pub writing: bool,
    /// Is closed once its replies have left.
    pub closing: bool,
    /// Waits in a blocking command.
    pub blocked: bool,
}

impl Wire {
    /// Bytes that are kept for what it sends and gets.
    pub fn waiting(&self) -> usize {
        self.query + self.query_free + self.args + self.reply_waiting
    }
}

/// What Redis keeps in a client's own buffer; replies above it are in a list, as fields tell them.
const STATIC_REPLY: usize = 16 << 10;

/// One line of CLIENT LIST: `line(session, wire, now)` with its id, so that the lines of all
/// cores can be put in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientLine {
    /// The session's id.
    pub id: u64,
    /// All fields, without the line's end.
    pub text: Vec<u8>,
}

/// The line of one session, with the fields of Redis 7.2 in their order.
pub fn line(session: &Session, wire: &Wire, now: Millis) -> ClientLine {
    let mut text = Vec::with_capacity(320);
    let mut field = |name: &str, value: &[u8]| {
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(name.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value);
    };
    let queue = session.queue.as_ref();
    let queued = queue.map_or(-1, |queue| queue.commands.len() as i64);
    let queued_bytes = queue.map_or(0, |queue| queue.bytes);
    let (buffered, listed) = match wire.reply_waiting {
        few if few <= STATIC_REPLY => (few, 0),
        many => (0, many),
    };
    let total = wire.waiting() + queued_bytes + std::mem::size_of::<Session>();
    let number = |n: usize| n.to_string().into_bytes();
    field("id", session.id.to_string().as_bytes());
    field("addr", session.peer.as_bytes());
    field("laddr", session.local.as_bytes());
    field("fd", wire.fd.to_string().as_bytes());
    field("name", &session.name);
    field("age", seconds(session.created, now).to_string().as_bytes());
    field("idle", seconds(session.seen, now).to_string().as_bytes());
    field("flags", flags(session, wire).as_bytes());
    field("db", session.db.0.to_string().as_bytes());
    for (name, scope) in [("sub", Scope::Channel), ("psub", Scope::Pattern), ("ssub", Scope::Shard)]
    {
        field(name, &number(session.subscriptions.count(scope)));
    }
    field("multi", queued.to_string().as_bytes());
    field("qbuf", &number(wire.query));
    field("qbuf-free", &number(wire.query_free));
    field("argv-mem", &number(wire.args));
    field("multi-mem", &number(queued_bytes));
    field("rbs", b"0");
    field("rbp", b"0");
    field("obl", &number(buffered));
    field("oll", &number(usize::from(listed > 0)));
    field("omem", &number(listed));
    field("tot-mem", &number(total));
    field("events", if wire.writing { b"rw" } else { b"r" });
    field("cmd", if session.command.is_empty() { b"NULL" } else { session.command.as_bytes() });
    field("user", session.identity.name());
    field("redir", redirection(session).to_string().as_bytes());
    field("resp", if session.proto == Proto::Three { b"3" } else { b"2" });
    field("lib-name", &session.lib_name);
    field("lib-ver", &session.lib_version);
    ClientLine { id: session.id, text }
}

/// Answers CLIENT LIST and CLIENT INFO: the lines by id, each with its end.
pub fn write_lines(reply: &mut Reply<'_>, mut lines: Vec<ClientLine>) {
    lines.sort_unstable_by_key(|line| line.id);
    let mut text = Vec::new();
    for line in &lines {
        text.extend_from_slice(&line.text);
        text.push(b'\n');
    }
    reply.verbatim("txt", &text);
}

/// Answers CLIENT KILL: `killed` sessions were or will be closed.
pub fn write_killed(reply: &mut Reply<'_>, form: KillForm, killed: usize) {
    match form {
        KillForm::Filters => reply.integer(killed as i64),
        KillForm::Address if killed == 0 => reply.error(&Error::NO_SUCH_CLIENT),
        KillForm::Address => reply.ok(),
    }
}

/// May this be a connection's name? Names are fields of a line that is split at blanks.
pub fn check_name(name: &[u8]) -> Result<(), Error> {
    if printable(name) { Ok(()) } else { Err(Error::CLIENT_NAME) }
}

fn printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

fn seconds(since: Millis, now: Millis) -> u64 {
    now.0.saturating_sub(since.0) / 1000
}

fn flags(session: &Session, wire: &Wire) -> String {
    let tracked = session.tracking.as_ref();
    let letters = [
        ('O', session.monitors),
        ('P', session.subscriptions.any()),
        ('x', session.queue.is_some()),
        ('b', wire.blocked),
        ('t', tracked.is_some()),
        ('R', tracked.is_some_and(|tracked| tracked.broken)),
        ('B', tracked.is_some_and(|tracked| tracked.mode == Mode::Broadcast)),
        ('c', wire.closing),
        ('e', session.no_evict),
        ('T', session.no_touch),
    ];
    let set: String = letters.iter().filter(|(_, on)| *on).map(|(letter, _)| letter).collect();
    if set.is_empty() { "N".to_owned() } else { set }
}

fn id(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.integer(shell.session.id as i64);
    Ok(Ask::Nothing)
}

fn info(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::ClientInfo)
}

fn getname(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    match shell.session.name.as_slice() {
        [] => shell.reply.null(),
        name => shell.reply.bulk(name),
    }
    Ok(Ask::Nothing)
}

fn setname(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let name = shell.args.at(2);
    check_name(name)?;
    shell.session.name = name.to_vec();
    shell.reply.ok();
    Ok(Ask::Nothing)
}

fn setinfo(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let (attribute, value) = (shell.args.at(2), shell.args.at(3));
    let field = if attribute.eq_ignore_ascii_case(b"lib-name") {
        &mut shell.session.lib_name
    } else if attribute.eq_ignore_ascii_case(b"lib-ver") {
        &mut shell.session.lib_version
    } else {
        return Err(Error::setinfo_option(attribute));
    };
    if !printable(value) {
        return Err(Error::setinfo_value(&String::from_utf8_lossy(attribute)));
    }
    *field = value.to_vec();
    shell.reply.ok();
    Ok(Ask::Nothing)
}

fn reply_mode(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let modes = [("on", ReplyMode::On), ("off", ReplyMode::Off), ("skip", ReplyMode::SkipNext)];
    let wanted = choice(shell.args.at(2), &modes).ok_or(Error::Syntax)?;
    let mode = &mut shell.session.replies;
    *mode = match (wanted, *mode) {
        (ReplyMode::SkipNext, ReplyMode::Off) => ReplyMode::Off,
        _ => wanted,
    };
    if wanted == ReplyMode::On {
        shell.reply.ok();
    }
    Ok(Ask::Nothing)
}

fn no_evict(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.session.no_evict = on_off(shell.args.at(2))?;
    shell.reply.ok();
    Ok(Ask::Nothing)
}

fn no_touch(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.session.no_touch = on_off(shell.args.at(2))?;
    shell.reply.ok();
    Ok(Ask::Nothing)
}

fn on_off(word: &[u8]) -> Result<bool, Error> {
    choice(word, &[("on", true), ("off", false)]).ok_or(Error::Syntax)
}

// LIST and KILL.

fn list(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    let mut filter = ClientFilter::default();
    match (args.get(2), args.len()) {
        (None, _) => {}
        (Some(word), 4) if word.eq_ignore_ascii_case(b"type") => {
            filter.kind = Some(kind(args.at(3))?);
        }
        (Some(word), 4..) if word.eq_ignore_ascii_case(b"id") => {
            for id in args.from(3).iter() {
                filter.ids.push(client_id(id).ok_or(Error::CLIENT_LIST_ID)?);
            }
        }
        _ => return Err(Error::Syntax),
    }
    Ok(Ask::ClientList(filter))
}

fn kill(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    if args.len() == 3 {
        let filter = ClientFilter { peer: Some(args.at(2).to_vec()), ..ClientFilter::default() };
        return Ok(Ask::ClientKill { filter, form: KillForm::Address });
    }
    let me = shell.session.id;
    let mut filter = ClientFilter { except: Some(me), ..ClientFilter::default() };
    kill_options(args, me, &shell.facts.users, &mut filter)?;
    Ok(Ask::ClientKill { filter, form: KillForm::Filters })
}

fn kill_options(
    args: Args<'_>,
    me: u64,
    users: &Users,
    filter: &mut ClientFilter,
) -> Result<(), Error> {
    let mut at = 2;
    while let Some(option) = args.get(at) {
        let value = args.get(at + 1).ok_or(Error::Syntax)?;
        match option.to_ascii_lowercase().as_slice() {
            b"id" => {
                let id = client_id(value);
                filter.ids = vec![id.ok_or(Error::CLIENT_KILL_ID)?];
            }
            b"type" => filter.kind = Some(kind(value)?),
            b"addr" => filter.peer = Some(value.to_vec()),
            b"laddr" => filter.local = Some(value.to_vec()),
            b"user" => {
                let user = users.get(value).ok_or_else(|| Error::no_such_user(value))?;
                filter.user = Some(user.name.clone());
            }
            b"skipme" => {
                let choices = [("yes", Some(me)), ("no", None)];
                filter.except = choice(value, &choices).ok_or(Error::Syntax)?;
            }
            b"maxage" => {
                let age = number::parse_i64(value).ok_or(Error::err(BAD_AGE))?;
                let age = u64::try_from(age).ok().filter(|age| *age > 0);
                filter.min_age = Some(age.ok_or(Error::err("maxage should be greater than 0"))?);
            }
            _ => return Err(Error::Syntax),
        }
        at += 2;
    }
    Ok(())
}

const BAD_AGE: &str = "maxage is not an integer or out of range";

fn client_id(text: &[u8]) -> Option<u64> {
    number::parse_i64(text).and_then(|id| u64::try_from(id).ok()).filter(|id| *id > 0)
}

fn kind(word: &[u8]) -> Result<ClientKind, Error> {
    let kinds = [
        ("normal", ClientKind::Normal),
        ("master", ClientKind::Master),
        ("slave", ClientKind::Replica),
        ("replica", ClientKind::Replica),
        ("pubsub", ClientKind::PubSub),
    ];
    choice(word, &kinds).ok_or_else(|| Error::client_type(word))
}

// PAUSE and UNBLOCK.

/// What CLIENT PAUSE lets wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// Every command.
    All,
    /// Those that may write.
    Writes,
}

/// How CLIENT UNBLOCK wakes a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unblock {
    /// As if its time were over.
    Timeout,
    /// With an error.
    Error,
}

fn pause(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    let which = match args.get(3) {
        None => Paused::All,
        Some(word) => choice(word, &[("all", Paused::All), ("write", Paused::Writes)])
            .filter(|_| args.len() == 4)
            .ok_or(Error::err("CLIENT PAUSE mode must be WRITE or ALL"))?,
    };
    let millis = parse::integer(args.at(2)).map_err(|_| Error::TIMEOUT_NUMBER)?;
    let millis = u64::try_from(millis).map_err(|_| Error::TIMEOUT_NEGATIVE)?;
    Ok(Ask::Pause { until: Millis(shell.now.0.saturating_add(millis)), which })
}

fn unpause(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::Unpause)
}

/// While only writes are paused: does this command wait?
pub fn waits_for_writes(session: &Session, command: &Command) -> bool {
    let writes = |command: &Command| {
        command.flags.has(Flags::WRITE) || command.flags.has(Flags::MAY_REPLICATE)
    };
    match &session.queue {
        Some(queue) if command.name == "exec" => {
            queue.commands.iter().any(|queued| writes(queued.command))
        }
        Some(_) => false,
        None => writes(command),
    }
}

fn unblock(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    let how = match args.get(3) {
        None => Some(Unblock::Timeout),
        Some(word) => choice(word, &[("timeout", Unblock::Timeout), ("error", Unblock::Error)]),
    };
    let how = how.filter(|_| args.len() <= 4);
    let how = how.ok_or(Error::err("CLIENT UNBLOCK reason should be TIMEOUT or ERROR"))?;
    let id = parse::integer(args.at(2))?;
    Ok(Ask::Unblock { id: u64::try_from(id).unwrap_or_default(), how })
}

#[cfg(test)]
mod tests;
