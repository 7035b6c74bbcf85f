//! A selector: commands, keys and channels that are allowed together. A user has one of its own,
//! and may have more.

use crate::base::glob;
use crate::commands::acl::catalogue::{Access, Catalogue, Channels, Entry};
use crate::commands::acl::command_set::CommandSet;
use crate::commands::acl::rule::{Refusal, Rule};
use crate::limits::ACL_LIST_MAX;
use crate::observe::acl_log::Reason;
use crate::resp::args::Args;

/// What is allowed together.
#[derive(Clone, Debug)]
pub struct Selector {
    commands: CommandSet,
    keys: Patterns<KeyPattern>,
    channels: Patterns<Vec<u8>>,
}

/// Patterns of names, or all names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Patterns<T> {
    All,
    These(Vec<T>),
}

/// Keys whose name matches may be used so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct KeyPattern {
    access: Access,
    pattern: Vec<u8>,
}

/// The channels of a new selector: `acl-pubsub-default`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fresh {
    /// None.
    #[default]
    NoChannels,
    /// All.
    AllChannels,
}

/// What a request is denied for, and by which of its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Why.
    pub reason: Reason,
    /// The position of the key or channel; 0 for a command.
    pub at: usize,
}

impl Selector {
    /// One that allows nothing, but for the channels.
    pub fn new(fresh: Fresh, catalogue: &Catalogue) -> Selector {
        let channels = match fresh {
            Fresh::NoChannels => Patterns::These(Vec::new()),
            Fresh::AllChannels => Patterns::All,
        };
        let keys = Patterns::These(Vec::new());
        Selector { commands: CommandSet::none(catalogue), keys, channels }
    }

    /// Reads a rule and does what it says.
    pub fn apply(&mut self, word: &[u8], catalogue: &Catalogue) -> Result<(), Refusal> {
        // As in Redis a pattern that comes too late is told before one that is wrong.
        match word.first() {
            Some(b'~' | b'%') if word != b"~*" && self.keys == Patterns::All => {
                return Err(Refusal::KeyAfterAll);
            }
            Some(b'&') if word != b"&*" && self.channels == Patterns::All => {
                return Err(Refusal::ChannelAfterAll);
            }
            _ => {}
        }
        match Rule::read(word, catalogue)? {
            Rule::Commands(verb, target) => self.commands.apply((verb, target), catalogue)?,
            Rule::Key(access, pattern) => self.add_key(access, pattern)?,
            Rule::AllKeys => self.keys = Patterns::All,
            Rule::NoKeys => self.keys = Patterns::These(Vec::new()),
            Rule::Channel(pattern) => self.add_channel(pattern)?,
            Rule::AllChannels => self.channels = Patterns::All,
            Rule::NoChannels => self.channels = Patterns::These(Vec::new()),
        }
        Ok(())
    }

    fn add_key(&mut self, access: Access, pattern: Vec<u8>) -> Result<(), Refusal> {
        let Patterns::These(keys) = &mut self.keys else { return Err(Refusal::KeyAfterAll) };
        let full = keys.len() >= ACL_LIST_MAX;
        match keys.iter_mut().find(|key| key.pattern == pattern) {
            Some(key) => key.access = key.access.or(access),
            None if full => return Err(Refusal::TooMany),
            None => keys.push(KeyPattern { access, pattern }),
        }
        Ok(())
    }

    fn add_channel(&mut self, pattern: Vec<u8>) -> Result<(), Refusal> {
        let Patterns::These(channels) = &mut self.channels else {
            return Err(Refusal::ChannelAfterAll);
        };
        match channels.contains(&pattern) {
            true => {}
            false if channels.len() >= ACL_LIST_MAX => return Err(Refusal::TooMany),
            false => channels.push(pattern),
        }
        Ok(())
    }

    /// Does it allow everything?
    pub fn is_free(&self) -> bool {
        let all = self.keys == Patterns::All && self.channels == Patterns::All;
        all && self.commands.is_all()
    }

    /// May a request be carried out? `number` and `entry` are those of its command, `keys` the
    /// positions of its keys.
    pub fn check(
        &self,
        (number, entry): (usize, &Entry),
        args: Args<'_>,
        keys: &[usize],
    ) -> Result<(), Denied> {
        if !self.commands.allows(number, args) {
            return Err(Denied { reason: Reason::Command, at: 0 });
        }
        for (nth, at) in keys.iter().enumerate() {
            if !self.has_key(args.at(*at), entry.need(args, nth)) {
                return Err(Denied { reason: Reason::Key, at: *at });
            }
        }
        for at in entry.channels.positions(args) {
            if !self.has_channel(args.at(at), entry.channels) {
                return Err(Denied { reason: Reason::Channel, at });
            }
        }
        Ok(())
    }

    fn has_key(&self, key: &[u8], need: Access) -> bool {
        match &self.keys {
            Patterns::All => true,
            Patterns::These(keys) => {
                keys.iter().any(|one| one.access.covers(need) && glob::matches(&one.pattern, key))
            }
        }
    }

    /// May it read every key there is? SORT looks up keys that nobody names.
    pub fn reads_all_keys(&self) -> bool {
        match &self.keys {
            Patterns::All => true,
            Patterns::These(keys) => keys.iter().any(|one| one.access.reads && one.pattern == b"*"),
        }
    }

    /// Is this channel allowed? A pattern is only if the same pattern is.
    pub fn has_channel(&self, name: &[u8], kind: Channels) -> bool {
        match &self.channels {
            Patterns::All => true,
            Patterns::These(channels) => channels.iter().any(|pattern| match kind {
                Channels::Patterns => pattern == name,
                _ => glob::matches(pattern, name),
            }),
        }
    }

    /// The rules about commands that make it, as ACL GETUSER shows them.
    pub fn commands(&self, catalogue: &Catalogue) -> Vec<u8> {
        self.commands.describe(catalogue)
    }

    /// The rules about keys.
    pub fn keys(&self) -> Vec<u8> {
        let Patterns::These(keys) = &self.keys else { return b"~*".to_vec() };
        let word = |key: &KeyPattern| {
            let mark: &[u8] = match key.access {
                // `~*` would be read as all keys, after which no pattern may follow.
                Access::BOTH if key.pattern == b"*" => b"%RW~",
                Access::BOTH => b"~",
                Access { reads: true, .. } => b"%R~",
                _ => b"%W~",
            };
            [mark, &key.pattern].concat()
        };
        keys.iter().map(word).collect::<Vec<_>>().join(&b' ')
    }

    /// The rules about channels.
    pub fn channels(&self) -> Vec<u8> {
        let Patterns::These(channels) = &self.channels else { return b"&*".to_vec() };
        let word = |pattern: &Vec<u8>| [b"&", pattern.as_slice()].concat();
        channels.iter().map(word).collect::<Vec<_>>().join(&b' ')
    }

    /// All rules that make it from nothing.
    pub fn describe(&self, catalogue: &Catalogue) -> Vec<u8> {
        let mut words = vec![self.keys()];
        if self.channels != Patterns::All {
            words.push(b"resetchannels".to_vec());
        }
        words.push(self.channels());
        words.push(self.commands(catalogue));
        words.retain(|word| !word.is_empty());
        words.join(&b' ')
    }
}
