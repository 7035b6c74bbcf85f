//! Pub/Sub: what a session is subscribed to, the commands that change and ask it, and the frames
//! in which a subscriber gets messages.

use std::collections::BTreeSet;

use crate::commands::command;
use crate::commands::row::{HELP, session_row as row};
use crate::commands::session::{Ask, Session, Shell};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec};
use crate::limits::SUBSCRIPTIONS_MAX;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row("publish", 3, PUBLISH, publish, docs("2.0.0", "Sends a message to a channel.")),
    Command::container("pubsub", &[], SUBS, docs("2.8.0", "Who is subscribed to what.")),
    row("psubscribe", -2, LISTEN, psubscribe, docs("2.0.0", "Listens to patterns of channels.")),
    row("punsubscribe", -1, LISTEN, punsubscribe, docs("2.0.0", "Listens to patterns no more.")),
    sharded(1, row("spublish", 3, PUBLISH, spublish, docs("7.0.0", "To a shard channel."))),
    sharded(-1, row("ssubscribe", -2, LISTEN, ssubscribe, docs("7.0.0", "To shard channels."))),
    row("subscribe", -2, LISTEN, subscribe, docs("2.0.0", "Listens to channels.")),
    sharded(-1, row("sunsubscribe", -1, LISTEN, sunsubscribe, docs("7.0.0", "No more."))),
    row("unsubscribe", -1, LISTEN, unsubscribe, docs("2.0.0", "Listens to channels no more.")),
];

const SUBS: &[Command] = &[
    row("pubsub|channels", -2, ASK, channels, docs("2.8.0", "Channels with subscribers.")),
    row("pubsub|help", 2, HELP, command::help, docs("6.2.0", "Prints this help.")),
    row("pubsub|numpat", 2, ASK, numpat, docs("2.8.0", "How many patterns have subscribers.")),
    row("pubsub|numsub", -2, ASK, numsub, docs("2.8.0", "How many subscribers channels have.")),
    row("pubsub|shardchannels", -2, ASK, shardchannels, docs("7.0.0", "The same of shards'.")),
    row("pubsub|shardnumsub", -2, ASK, shardnumsub, docs("7.0.0", "The same of shards'.")),
];

const PUBLISH: &[Flags] =
    &[Flags::PUBSUB, Flags::LOADING, Flags::STALE, Flags::FAST, Flags::MAY_REPLICATE];
const LISTEN: &[Flags] = &[Flags::PUBSUB, Flags::NOSCRIPT, Flags::LOADING, Flags::STALE];
const ASK: &[Flags] = &[Flags::PUBSUB, Flags::LOADING, Flags::STALE];

/// In a cluster the names of shard channels choose the node, as keys do.
const fn sharded(last: i8, row: Command) -> Command {
    Command { keys: KeySpec::At { first: 1, last, step: 1 }, across: Across::Session, ..row }
}

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("pubsub", since, "O(N) in names and receivers", summary)
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// A channel.
    Channel,
    /// A pattern of channels.
    Pattern,
    /// A shard channel.
    Shard,
}

impl Scope {
    /// All three, as the places of an array.
    pub const ALL: [Scope; 3] = [Scope::Channel, Scope::Pattern, Scope::Shard];

    /// The first word of a message to such a subscriber.
    fn verb(self) -> &'static [u8] {
        match self {
            Scope::Channel => b"message",
            Scope::Pattern => b"pmessage",
            Scope::Shard => b"smessage",
        }
    }
}

/// What one session is subscribed to.
#[derive(Clone, Debug, Default)]
pub struct Subscriptions {
    names: [BTreeSet<Vec<u8>>; 3],
}

impl Subscriptions {
    /// How many names of a scope.
    pub fn count(&self, scope: Scope) -> usize {
        self.of(scope).len()
    }

    /// Of any scope.
    pub fn any(&self) -> bool {
        self.names.iter().any(|names| !names.is_empty())
    }

    /// The names of a scope.
    pub fn of(&self, scope: Scope) -> &BTreeSet<Vec<u8>> {
        let [channels, patterns, shards] = &self.names;
        match scope {
            Scope::Channel => channels,
            Scope::Pattern => patterns,
            Scope::Shard => shards,
        }
    }

    fn of_mut(&mut self, scope: Scope) -> &mut BTreeSet<Vec<u8>> {
        let [channels, patterns, shards] = &mut self.names;
        match scope {
            Scope::Channel => channels,
            Scope::Pattern => patterns,
            Scope::Shard => shards,
        }
    }

    /// What a confirmation counts: channels and patterns together, shard channels by themselves.
    fn counted_with(&self, scope: Scope) -> usize {
        match scope {
            Scope::Shard => self.count(Scope::Shard),
            _ => self.count(Scope::Channel) + self.count(Scope::Pattern),
        }
    }

    /// Ends all of them; what the server has to undo.
    #[must_use]
    pub fn end(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for scope in Scope::ALL {
            let names = std::mem::take(self.of_mut(scope));
            changes.extend(names.into_iter().map(|name| Change { scope, name, turn: Turn::Ends }));
        }
        changes
    }
}

/// Whether a subscription begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It begins.
    Begins,
    /// It ends.
    Ends,
}

/// A subscription of the session that has begun or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What the name stands for.
    pub scope: Scope,
    /// The channel or pattern.
    pub name: Vec<u8>,
    /// Which of the two.
    pub turn: Turn,
}

/// What PUBSUB asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Channels with subscribers whose names match: an array of bulks.
    Names(Scope, Option<Vec<u8>>),
    /// Subscribers of these channels: `write_numbers`.
    Numbers(Scope, Vec<Vec<u8>>),
    /// An integer: different patterns.
    Patterns,
}

/// Answers PUBSUB NUMSUB and SHARDNUMSUB.
pub fn write_numbers(reply: &mut Reply<'_>, names: &[Vec<u8>], numbers: &[usize]) {
    reply.array(names.len() * 2);
    for (name, number) in names.iter().zip(numbers) {
        reply.bulk(name);
        reply.integer(*number as i64);
    }
}

/// A message as a subscriber gets it; `pattern` is the one that it subscribed to, if it did.
pub fn write_message(
    out: &mut Vec<u8>,
    proto: Proto,
    scope: Scope,
    pattern: Option<&[u8]>,
    (channel, message): (&[u8], &[u8]),
) {
    let mut reply = Reply::new(out, proto);
    reply.push(if pattern.is_some() { 4 } else { 3 });
    let scope = if pattern.is_some() { Scope::Pattern } else { scope };
    reply.bulk(scope.verb());
    if let Some(pattern) = pattern {
        reply.bulk(pattern);
    }
    reply.bulk(channel);
    reply.bulk(message);
}

/// In RESP2 a subscriber's replies are messages: it may send little else.
pub fn allowed_to_subscribers(session: &Session, command: &Command) -> Result<(), Error> {
    if session.proto == Proto::Three || !session.subscriptions.any() {
        return Ok(());
    }
    let listens = command.flags.has(Flags::of(LISTEN));
    match command.name {
        "ping" | "quit" | "reset" => Ok(()),
        _ if listens => Ok(()),
        name => Err(Error::subscribed(name)),
    }
}

fn publish(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(publication(shell.args, Scope::Channel))
}

fn spublish(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(publication(shell.args, Scope::Shard))
}

fn publication(args: Args<'_>, scope: Scope) -> Ask {
    Ask::Publish { scope, channel: args.at(1).to_vec(), message: args.at(2).to_vec() }
}

fn subscribe(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    begin(shell, Scope::Channel, b"subscribe")
}

fn psubscribe(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    begin(shell, Scope::Pattern, b"psubscribe")
}

fn ssubscribe(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    begin(shell, Scope::Shard, b"ssubscribe")
}

fn unsubscribe(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    end(shell, Scope::Channel, b"unsubscribe")
}

fn punsubscribe(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    end(shell, Scope::Pattern, b"punsubscribe")
}

fn sunsubscribe(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    end(shell, Scope::Shard, b"sunsubscribe")
}

fn begin(shell: &mut Shell<'_>, scope: Scope, verb: &[u8]) -> Result<Ask, Error> {
    let subscriptions = &mut shell.session.subscriptions;
    let names = shell.args.from(1);
    let held: usize = Scope::ALL.iter().map(|scope| subscriptions.count(*scope)).sum();
    if held + names.len() > SUBSCRIPTIONS_MAX {
        return Err(Error::err("too many subscriptions"));
    }
    let mut changes = Vec::new();
    for name in names.iter() {
        if subscriptions.of_mut(scope).insert(name.to_vec()) {
            changes.push(Change { scope, name: name.to_vec(), turn: Turn::Begins });
        }
        confirm(&mut shell.reply, verb, Some(name), subscriptions.counted_with(scope));
    }
    Ok(Ask::Listen(changes))
}

fn end(shell: &mut Shell<'_>, scope: Scope, verb: &[u8]) -> Result<Ask, Error> {
    let subscriptions = &mut shell.session.subscriptions;
    let named: Vec<Vec<u8>> = match shell.args.len() {
        1 => subscriptions.of(scope).iter().cloned().collect(),
        _ => shell.args.from(1).iter().map(<[u8]>::to_vec).collect(),
    };
    if named.is_empty() {
        confirm(&mut shell.reply, verb, None, subscriptions.counted_with(scope));
    }
    let mut changes = Vec::new();
    for name in named {
        let held = subscriptions.of_mut(scope).remove(&name);
        confirm(&mut shell.reply, verb, Some(&name), subscriptions.counted_with(scope));
        if held {
            changes.push(Change { scope, name, turn: Turn::Ends });
        }
    }
    Ok(Ask::Listen(changes))
}

fn confirm(reply: &mut Reply<'_>, verb: &[u8], name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(verb);
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

// PUBSUB.

fn channels(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    names(shell, Scope::Channel)
}

fn shardchannels(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    names(shell, Scope::Shard)
}

fn names(shell: &mut Shell<'_>, scope: Scope) -> Result<Ask, Error> {
    if shell.args.len() > 3 {
        return Err(Error::subcommand_syntax("pubsub", shell.args.at(1)));
    }
    let pattern = shell.args.get(2).map(<[u8]>::to_vec);
    Ok(Ask::PubSub(Question::Names(scope, pattern)))
}

fn numsub(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(numbers(shell.args, Scope::Channel))
}

fn shardnumsub(shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(numbers(shell.args, Scope::Shard))
}

fn numbers(args: Args<'_>, scope: Scope) -> Ask {
    let names = args.from(2).iter().map(<[u8]>::to_vec).collect();
    Ask::PubSub(Question::Numbers(scope, names))
}

fn numpat(_shell: &mut Shell<'_>) -> Result<Ask, Error> {
    Ok(Ask::PubSub(Question::Patterns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::kit::Kit;

    #[test]
    fn subscriptions_are_confirmed_one_by_one_and_counted() {
        let mut kit = Kit::new();
        let (reply, ask) = kit.run("subscribe a b a");
        assert_eq!(
            reply,
            "*3 $9 subscribe $1 a :1 *3 $9 subscribe $1 b :2 *3 $9 subscribe $1 a :2"
        );
        let begins =
            |name: &[u8]| Change { scope: Scope::Channel, name: name.into(), turn: Turn::Begins };
        assert_eq!(ask, Ask::Listen(vec![begins(b"a"), begins(b"b")]));
        let lines = [
            ("psubscribe p*", "*3 $10 psubscribe $2 p* :3"),
            ("ssubscribe s", "*3 $10 ssubscribe $1 s :1"),
            (
                "get a",
                "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            ),
            (
                "publish a b",
                "-ERR Can't execute 'publish': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context",
            ),
            ("ping", "*2 $4 pong $0"),
            ("ping hi", "*2 $4 pong $2 hi"),
            ("unsubscribe x", "*3 $11 unsubscribe $1 x :3"),
            ("unsubscribe", "*3 $11 unsubscribe $1 a :2 *3 $11 unsubscribe $1 b :1"),
            ("unsubscribe", "*3 $11 unsubscribe $-1 :1"),
            ("punsubscribe", "*3 $12 punsubscribe $2 p* :0"),
            ("sunsubscribe", "*3 $12 sunsubscribe $1 s :0"),
            ("ping", "+PONG"),
        ];
        for (request, expected) in lines {
            assert_eq!(kit.run(request).0.trim_end(), expected, "{request}");
        }
    }

    #[test]
    fn in_resp3_a_subscriber_may_send_anything() {
        let mut kit = Kit::new();
        kit.run("hello 3");
        assert_eq!(kit.run("subscribe a").0, ">3 $9 subscribe $1 a :1");
        assert_eq!(kit.run("ping").0, "+PONG");
        assert_eq!(kit.run("unsubscribe b").0, ">3 $11 unsubscribe $1 b :1");
    }

    #[test]
    fn the_rest_is_asked_of_the_server() {
        Kit::new().check(
            "publish c m -> Publish { scope: Channel, channel: [99], message: [109] }
            spublish c m -> Publish { scope: Shard, channel: [99], message: [109] }
            pubsub channels -> PubSub(Names(Channel, None))
            pubsub shardchannels a -> PubSub(Names(Shard, Some([97])))
            pubsub channels a b -> -ERR unknown subcommand or wrong number of arguments for \
                'channels'. Try PUBSUB HELP.
            pubsub numsub -> PubSub(Numbers(Channel, []))
            pubsub shardnumsub a -> PubSub(Numbers(Shard, [[97]]))
            pubsub numpat -> PubSub(Patterns)",
        );
    }

    #[test]
    fn messages_are_arrays_or_pushes() {
        for (proto, pattern, expected) in [
            (Proto::Two, None, "*3 $7 message $1 c $1 m"),
            (Proto::Two, Some(b"p".as_slice()), "*4 $8 pmessage $1 p $1 c $1 m"),
            (Proto::Three, None, ">3 $7 message $1 c $1 m"),
        ] {
            let mut out = Vec::new();
            write_message(&mut out, proto, Scope::Channel, pattern, (b"c", b"m"));
            let text = String::from_utf8(out).unwrap().replace("\r\n", " ");
            assert_eq!(text.trim_end(), expected);
        }
    }
}
