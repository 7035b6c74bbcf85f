//! Rules as they are written, and why one is refused.

use std::borrow::Cow;
use std::fmt;

use crate::commands::acl::catalogue::{self, Access, Catalogue};

/// Allows or forbids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// `+`
    Allow,
    /// `-`
    Deny,
}

/// Which commands a rule is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// All there are and will be.
    All,
    /// One and its subcommands, by number.
    Command(usize),
    /// A command with this first argument, which is not a subcommand.
    WithArgument(usize, Vec<u8>),
    /// A category, by number.
    Category(usize),
}

/// A rule about commands, keys or channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// `+get`, `-@all`, `allcommands`
    Commands(Verb, Target),
    /// `~pattern`, `%R~pattern`
    Key(Access, Vec<u8>),
    /// `allkeys`
    AllKeys,
    /// `resetkeys`
    NoKeys,
    /// `&pattern`
    Channel(Vec<u8>),
    /// `allchannels`
    AllChannels,
    /// `resetchannels`
    NoChannels,
}

/// Why a rule is refused. `Display` is the text that clients see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such command or category.
    UnknownName,
    /// It is not understood.
    Syntax,
    /// `~pattern` after `~*`
    KeyAfterAll,
    /// `&pattern` after `&*`
    ChannelAfterAll,
    /// `<password` that is not there.
    NoSuchPassword,
    /// `#hash` that is none.
    BadHash,
    /// `+config|get|a`
    ArgumentOfSub,
    /// A user has too many of something.
    TooMany,
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Refusal::UnknownName => "Unknown command or category name in ACL",
            Refusal::Syntax => "Syntax error",
            Refusal::KeyAfterAll => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and \
                 does not have any effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Refusal::ChannelAfterAll => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid \
                 and does not have any effect. Try 'resetchannels' to start with an empty list of \
                 channels"
            }
            Refusal::NoSuchPassword => {
                "The password you are trying to remove from the user does not exist"
            }
            Refusal::BadHash => {
                "The password hash must be exactly 64 characters and contain only lowercase \
                 hexadecimal characters"
            }
            Refusal::ArgumentOfSub => "Allowing first-arg of a subcommand is not supported",
            Refusal::TooMany => "Too many rules of this kind for one user",
        })
    }
}

impl Rule {
    /// Reads a rule of a selector.
    pub fn read(word: &[u8], catalogue: &Catalogue) -> Result<Rule, Refusal> {
        let lower = word.to_ascii_lowercase();
        let plain = match lower.as_slice() {
            b"allkeys" | b"~*" => Some(Rule::AllKeys),
            b"resetkeys" => Some(Rule::NoKeys),
            b"allchannels" | b"&*" => Some(Rule::AllChannels),
            b"resetchannels" => Some(Rule::NoChannels),
            b"allcommands" | b"+@all" => Some(Rule::Commands(Verb::Allow, Target::All)),
            b"nocommands" | b"-@all" => Some(Rule::Commands(Verb::Deny, Target::All)),
            _ => None,
        };
        match (plain, word) {
            (Some(rule), _) => Ok(rule),
            (None, [b'~', pattern @ ..]) => Ok(Rule::Key(Access::BOTH, unbroken(pattern)?)),
            (None, [b'%', rest @ ..]) => key_with_access(rest),
            (None, [b'&', pattern @ ..]) => Ok(Rule::Channel(unbroken(pattern)?)),
            (None, [b'+', name @ ..]) => commands(Verb::Allow, name, catalogue),
            (None, [b'-', name @ ..]) => commands(Verb::Deny, name, catalogue),
            _ => Err(Refusal::Syntax),
        }
    }
}

/// Has this a blank or a zero byte in it? Descriptions of users are split at blanks.
pub fn is_broken(text: &[u8]) -> bool {
    text.iter().any(|byte| matches!(byte, b' ' | b'\t'..=b'\r' | 0))
}

fn unbroken(pattern: &[u8]) -> Result<Vec<u8>, Refusal> {
    if is_broken(pattern) { Err(Refusal::Syntax) } else { Ok(pattern.to_vec()) }
}

/// `R~pattern`, `W~pattern`, `RW~pattern`
fn key_with_access(rest: &[u8]) -> Result<Rule, Refusal> {
    // As in Redis letters without a pattern mean the key without a name.
    let tilde = rest.iter().position(|byte| *byte == b'~').unwrap_or(rest.len());
    let (letters, pattern) = rest.split_at(tilde);
    let access = match letters.to_ascii_uppercase().as_slice() {
        b"R" => Access { reads: true, writes: false },
        b"W" => Access { reads: false, writes: true },
        b"RW" | b"WR" => Access::BOTH,
        _ => return Err(Refusal::Syntax),
    };
    Ok(Rule::Key(access, unbroken(pattern.get(1..).unwrap_or_default())?))
}

fn commands(verb: Verb, name: &[u8], catalogue: &Catalogue) -> Result<Rule, Refusal> {
    let target = match (name, verb) {
        ([b'@', category @ ..], _) => catalogue::category(category).map(Target::Category),
        (name, Verb::Deny) => catalogue.number(name).map(Target::Command),
        (name, Verb::Allow) => Some(allowed(name, catalogue)?),
    };
    target.map(|target| Rule::Commands(verb, target)).ok_or(Refusal::UnknownName)
}

fn allowed(name: &[u8], catalogue: &Catalogue) -> Result<Target, Refusal> {
    let number = |name| catalogue.number(name).ok_or(Refusal::UnknownName);
    let Some(bar) = name.iter().rposition(|byte| *byte == b'|') else {
        return number(name).map(Target::Command);
    };
    let (command, argument) = name.split_at(bar);
    let command = number(command)?;
    let entry = catalogue.entry(command).ok_or(Refusal::UnknownName)?;
    match argument.get(1..).unwrap_or_default() {
        _ if entry.is_sub() => Err(Refusal::ArgumentOfSub),
        [] => Err(Refusal::Syntax),
        _ if entry.is_container() => number(name).map(Target::Command),
        argument => Ok(Target::WithArgument(command, unbroken(argument)?)),
    }
}

/// A word of a rule as it is shown.
pub fn shown(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
