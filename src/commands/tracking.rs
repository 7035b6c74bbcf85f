//! CLIENT TRACKING: what a session has asked for, and the messages about stale copies. MONITOR,
//! which shows commands.

use crate::base::ids::{Db, ShardId};
use crate::commands::order::{Keeps, Tracker};
use crate::commands::parse::{self, choice};
use crate::commands::pubsub::Scope;
use crate::commands::redact;
use crate::commands::session::{Ask, Session, Shell};
use crate::commands::spec::{Command, Flags};
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};

/// The channel of messages to a RESP2 connection that was named by REDIRECT.
const CHANNEL: &[u8] = b"__redis__:invalidate";

/// CLIENT TRACKING ON, as a session has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// What is remembered.
    pub mode: Mode,
    /// It wants to hear nothing of its own changes.
    pub quiet: bool,
    /// The session that hears in its stead, and the core of its connection.
    pub redirect: Option<(u64, ShardId)>,
    /// That session is gone.
    pub broken: bool,
    /// CLIENT CACHING, for the next command.
    pub caching: Option<Caching>,
    /// With BCAST: what it hears of.
    pub prefixes: Vec<Vec<u8>>,
}

/// What is remembered of a session's reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// All of them.
    #[default]
    All,
    /// Those after CLIENT CACHING YES.
    OptIn,
    /// Those that do not come after CLIENT CACHING NO.
    OptOut,
    /// None: it hears of every key below its prefixes.
    Broadcast,
}

/// CLIENT CACHING.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caching {
    /// The next command is remembered.
    Yes,
    /// It is not.
    No,
}

/// To whom an invalidation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The session that caches.
    Own,
    /// The one that it has named.
    Redirected,
}

impl Tracked {
    /// What a shard has to know of the session while it runs a command of it.
    pub fn tracker(&self, client: u64) -> Tracker {
        let keeps = match (self.mode, self.caching) {
            (Mode::All, _) | (Mode::OptIn, Some(Caching::Yes)) => Keeps::Reads,
            (Mode::OptOut, Some(Caching::No)) => Keeps::Nothing,
            (Mode::OptOut, _) => Keeps::Reads,
            (Mode::OptIn | Mode::Broadcast, _) => Keeps::Nothing,
        };
        Tracker { client, keeps, quiet: self.quiet }
    }
}

/// CLIENT CACHING holds for one command, or for one transaction.
pub fn command_ran(session: &mut Session, command: &Command) {
    if session.queue.is_none()
        && command.name != "client|caching"
        && let Some(tracked) = &mut session.tracking
    {
        tracked.caching = None;
    }
}

/// An invalidation of these keys, or of all; nothing if the client could not understand it.
pub fn write_invalidation(
    out: &mut Vec<u8>,
    session: &Session,
    target: Target,
    keys: Option<&[Vec<u8>]>,
) {
    let listens = session.subscriptions.count(Scope::Channel) > 0;
    let mut reply = Reply::new(out, session.proto);
    match (session.proto, target) {
        (Proto::Three, _) => {
            reply.push(2);
            reply.bulk(b"invalidate");
        }
        (Proto::Two, Target::Redirected) if listens => {
            reply.array(3);
            reply.bulk(b"message");
            reply.bulk(CHANNEL);
        }
        (Proto::Two, _) => return,
    }
    match keys {
        Some(keys) => {
            reply.array(keys.len());
            keys.iter().for_each(|key| reply.bulk(key));
        }
        None if session.proto == Proto::Three => reply.null(),
        None => reply.null_array(),
    }
}

/// The session that was to hear of stale copies is gone.
pub fn write_broken(out: &mut Vec<u8>, session: &mut Session, target: u64) {
    let Some(tracked) = &mut session.tracking else { return };
    tracked.broken = true;
    if session.proto == Proto::Three {
        let mut reply = Reply::new(out, Proto::Three);
        reply.push(2);
        reply.bulk(b"tracking-redir-broken");
        reply.integer(target as i64);
    }
}

/// CLIENT TRACKING.
pub fn tracking(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let args = shell.args;
    let on = choice(args.at(2), &[("on", true), ("off", false)]).ok_or(Error::Syntax)?;
    let (mut wanted, mut redirect, mut prefixes) = (Tracked::default(), None, Vec::new());
    let (mut bcast, mut optin, mut optout) = (false, false, false);
    let mut at = 3;
    while let Some(word) = args.get(at) {
        match word.to_ascii_lowercase().as_slice() {
            b"redirect" if args.len() > at + 1 => {
                at += 1;
                if redirect.is_some() {
                    return Err(Error::err("A client can only redirect to a single other client"));
                }
                redirect = Some(parse::integer(args.at(at))?);
            }
            b"prefix" if args.len() > at + 1 => {
                at += 1;
                prefixes.push(args.at(at).to_vec());
            }
            b"bcast" => bcast = true,
            b"optin" => optin = true,
            b"optout" => optout = true,
            b"noloop" => wanted.quiet = true,
            _ => return Err(Error::Syntax),
        }
        at += 1;
    }
    if !on {
        return Ok(Ask::Track { wanted: None, redirect: None });
    }
    wanted.mode = mode(shell.session, (bcast, optin, optout), &prefixes)?;
    if bcast {
        let held = shell.session.tracking.as_ref().map(|held| held.prefixes.as_slice());
        wanted.prefixes = add_prefixes(held.unwrap_or_default(), prefixes)?;
    }
    Ok(Ask::Track { wanted: Some(wanted), redirect: redirect.map(|id| id as u64) })
}

/// The mode that these options ask for.
fn mode(
    session: &Session,
    (bcast, optin, optout): (bool, bool, bool),
    prefixes: &[Vec<u8>],
) -> Result<Mode, Error> {
    if !prefixes.is_empty() && !bcast {
        return Err(Error::err("PREFIX option requires BCAST mode to be enabled"));
    }
    let old = session.tracking.as_ref().map(|tracked| tracked.mode);
    if old.is_some_and(|old| (old == Mode::Broadcast) != bcast) {
        return Err(Error::err(
            "You can't switch BCAST mode on/off before disabling tracking for this client, and \
             then re-enabling it with a different mode.",
        ));
    }
    if bcast && (optin || optout) {
        return Err(Error::err("OPTIN and OPTOUT are not compatible with BCAST"));
    }
    if optin && optout {
        return Err(Error::err("You can't specify both OPTIN mode and OPTOUT mode"));
    }
    if (optin && old == Some(Mode::OptOut)) || (optout && old == Some(Mode::OptIn)) {
        return Err(Error::err(
            "You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and \
             then re-enabling it with a different mode.",
        ));
    }
    Ok(match (bcast, optin, optout) {
        (true, ..) => Mode::Broadcast,
        (_, true, _) => Mode::OptIn,
        (_, _, true) => Mode::OptOut,
        _ => Mode::All,
    })
}

/// Prefixes of one session never overlap: it would hear twice.
fn add_prefixes(held: &[Vec<u8>], new: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Error> {
    let overlap = |a: &Vec<u8>, b: &Vec<u8>| a.starts_with(b) || b.starts_with(a);
    let clash = |a: &[u8], b: &[u8], with: &str| {
        let text = [b"ERR Prefix '", a, b"' overlaps with ", with.as_bytes(), b" '", b];
        let rest = b"'. Prefixes for a single client must not overlap.".as_slice();
        Error::Line([&text.concat(), rest].concat())
    };
    let new = if new.is_empty() && held.is_empty() { vec![Vec::new()] } else { new };
    for (at, prefix) in new.iter().enumerate() {
        let old = held.iter().find(|old| overlap(old, prefix) && *old != prefix);
        if let Some(old) = old {
            return Err(clash(prefix, old, "an existing prefix"));
        }
        if let Some(other) = new.iter().skip(at + 1).find(|other| overlap(other, prefix)) {
            return Err(clash(prefix, other, "another provided prefix"));
        }
    }
    let mut all = held.to_vec();
    all.extend(new.into_iter().filter(|prefix| !held.contains(prefix)));
    Ok(all)
}

/// CLIENT CACHING.
pub fn caching(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let Some(tracked) = &mut shell.session.tracking else { return Err(Error::CACHING_MODE) };
    let wanted = choice(shell.args.at(2), &[("yes", Caching::Yes), ("no", Caching::No)]);
    match (wanted.ok_or(Error::Syntax)?, tracked.mode) {
        (Caching::Yes, Mode::OptIn) => tracked.caching = Some(Caching::Yes),
        (Caching::No, Mode::OptOut) => tracked.caching = Some(Caching::No),
        (Caching::Yes, _) => {
            return Err(Error::err(
                "CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
            ));
        }
        (Caching::No, _) => {
            return Err(Error::err(
                "CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
            ));
        }
    }
    shell.reply.ok();
    Ok(Ask::Nothing)
}

/// CLIENT GETREDIR.
pub fn getredir(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    shell.reply.integer(redirection(shell.session));
    Ok(Ask::Nothing)
}

/// Where invalidations go: -1 without tracking, 0 to the session itself.
pub fn redirection(session: &Session) -> i64 {
    let tracked = session.tracking.as_ref();
    tracked.map_or(-1, |tracked| tracked.redirect.map_or(0, |(id, _)| id as i64))
}

/// CLIENT TRACKINGINFO.
pub fn trackinginfo(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    let words = words(shell.session.tracking.as_ref());
    let prefixes = shell.session.tracking.as_ref().map(|tracked| tracked.prefixes.clone());
    let redirect = redirection(shell.session);
    let reply = &mut shell.reply;
    reply.map(3);
    reply.bulk(b"flags");
    reply.set(words.len());
    words.iter().for_each(|word| reply.bulk(word.as_bytes()));
    reply.bulk(b"redirect");
    reply.integer(redirect);
    reply.bulk(b"prefixes");
    let prefixes = prefixes.unwrap_or_default();
    reply.array(prefixes.len());
    prefixes.iter().for_each(|prefix| reply.bulk(prefix));
    Ok(Ask::Nothing)
}

fn words(tracked: Option<&Tracked>) -> Vec<&'static str> {
    let Some(tracked) = tracked else { return vec!["off"] };
    let mut words = vec!["on"];
    words.extend(match tracked.mode {
        Mode::All => None,
        Mode::OptIn => Some("optin"),
        Mode::OptOut => Some("optout"),
        Mode::Broadcast => Some("bcast"),
    });
    words.extend(tracked.caching.map(|caching| match caching {
        Caching::Yes => "caching-yes",
        Caching::No => "caching-no",
    }));
    words.extend(tracked.quiet.then_some("noloop"));
    words.extend(tracked.broken.then_some("broken_redirect"));
    words
}

// MONITOR.

/// MONITOR: from now on the session is shown every command.
pub fn monitor(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    if shell.session.queue.is_some() {
        return Err(Error::NOT_IN_MULTI);
    }
    shell.reply.ok();
    Ok(Ask::Monitor)
}

/// Is this command shown when it comes? EXEC is shown after what it runs, if it runs anything.
pub fn is_shown(session: &Session, command: &Command) -> bool {
    let runs_later =
        command.name == "exec" && session.queue.as_ref().is_some_and(|queue| !queue.aborted);
    let hidden = command.flags.has(Flags::ADMIN) || command.flags.has(Flags::SKIP_MONITOR);
    !runs_later && !hidden
}

/// The line of one command, its arguments quoted, cut after `most` bytes of each.
pub fn monitor_line((db, peer): (Db, &str), args: Args<'_>, micros: u64, most: usize) -> Vec<u8> {
    let mut line = format!("+{}.{:06} [{} {}]", micros / 1_000_000, micros % 1_000_000, db.0, peer)
        .into_bytes();
    for word in redact::shown(args) {
        line.extend_from_slice(b" \"");
        quote(&mut line, word.get(..most).unwrap_or(word));
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

fn quote(line: &mut Vec<u8>, word: &[u8]) {
    for byte in word {
        match byte {
            b'\\' | b'"' => line.extend_from_slice(&[b'\\', *byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            7 => line.extend_from_slice(b"\\a"),
            8 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(*byte),
            other => line.extend_from_slice(format!("\\x{other:02x}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::kit::Kit;
    use crate::commands::session::Queue;
    use crate::commands::table;
    use crate::resp::args::OwnedArgs;

    #[test]
    fn options_are_checked_as_in_redis() {
        Kit::new().check(
            "client tracking maybe -> -ERR syntax error
            client tracking on foo -> -ERR syntax error
            client tracking on prefix a -> -ERR PREFIX option requires BCAST mode to be enabled
            client tracking on bcast optin -> -ERR OPTIN and OPTOUT are not compatible with BCAST
            client tracking on optin optout -> -ERR You can't specify both OPTIN mode and \
                OPTOUT mode
            client tracking on bcast prefix ab prefix a -> -ERR Prefix 'ab' overlaps with \
                another provided prefix 'a'. Prefixes for a single client must not overlap.
            client tracking off -> Track { wanted: None, redirect: None }
            client getredir -> :-1
            client trackinginfo -> *6 $5 flags *1 $3 off $8 redirect :-1 $8 prefixes *0
            client caching yes -> -ERR CLIENT CACHING can be called only when the client is in \
                tracking mode with OPTIN or OPTOUT mode enabled",
        );
    }

    #[test]
    fn a_session_that_tracks_tells_how() {
        let mut kit = Kit::new();
        let redirect = Some((9, ShardId(1)));
        let tracked = Tracked { mode: Mode::OptIn, quiet: true, redirect, ..Tracked::default() };
        assert_eq!(tracked.tracker(7).keeps, Keeps::Nothing);
        kit.session.tracking = Some(tracked);
        kit.check(
            "client getredir -> :9
            client caching no -> -ERR CLIENT CACHING NO is only valid when tracking is enabled \
                in OPTOUT mode.
            client caching yes -> +OK
            client trackinginfo -> *6 $5 flags *4 $2 on $5 optin $11 caching-yes $6 noloop $8 \
                redirect :9 $8 prefixes *0
            client tracking on optout -> -ERR You can't switch OPTIN/OPTOUT mode before \
                disabling tracking for this client, and then re-enabling it with a different mode.
            client tracking on bcast -> -ERR You can't switch BCAST mode on/off before \
                disabling tracking for this client, and then re-enabling it with a different mode.",
        );
        let tracked = kit.session.tracking.as_ref().unwrap();
        assert_eq!(tracked.tracker(7).keeps, Keeps::Reads);
    }

    #[test]
    fn an_exec_is_shown_when_it_comes_unless_it_runs_something() {
        let exec = table::resolve(OwnedArgs::of(&[b"exec"]).args()).unwrap();
        let queue = |aborted| Some(Queue { aborted, ..Queue::default() });
        for (queue, shown) in [(None, true), (queue(true), true), (queue(false), false)] {
            let session = Session { queue, ..Session::default() };
            assert_eq!(is_shown(&session, exec), shown, "{:?}", session.queue);
        }
    }

    #[test]
    fn monitor_quotes_what_is_not_text() {
        let session = Session { peer: "1.2.3.4:5".into(), ..Session::default() };
        let args = OwnedArgs::of(&[b"set", b"a\n\"\\", b"\x01\xff"]);
        let line = monitor_line((session.db, &session.peer), args.args(), 1_000_007, 100);
        let expected = "+1.000007 [0 1.2.3.4:5] \"set\" \"a\\n\\\"\\\\\" \"\\x01\\xff\"\r\n";
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }
}
