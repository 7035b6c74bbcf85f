//! Who of one core's sessions is subscribed to what: for each channel and pattern the sessions, in
//! the order in which they subscribed, which is the order in which they get a message.

use std::collections::{BTreeMap, HashMap};

use crate::base::glob;
use crate::commands::pubsub::{Change, Scope, Turn};

/// Sessions by the number of their subscription, so that one is removed without a search.
type Listeners = BTreeMap<u64, u64>;

/// The subscriptions of one core's sessions.
#[derive(Debug, Default)]
pub struct Channels {
    names: [HashMap<Vec<u8>, Listeners>; 3],
    /// For a session and a name the number of its subscription.
    numbers: HashMap<(u64, Scope, Vec<u8>), u64>,
    last: u64,
}

impl Channels {
    /// How many subscriptions there are, of all sessions.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether nobody is subscribed to anything.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// A session's subscription has begun or ended.
    pub fn note(&mut self, session: u64, change: Change) {
        let Change { scope, name, turn } = change;
        match turn {
            Turn::Begins => {
                self.last += 1;
                let number = self.last;
                self.of_mut(scope).entry(name.clone()).or_default().insert(number, session);
                self.numbers.insert((session, scope, name), number);
            }
            Turn::Ends => {
                let subscription = (session, scope, name);
                let Some(number) = self.numbers.remove(&subscription) else { return };
                let names = self.of_mut(scope);
                let Some(listeners) = names.get_mut(&subscription.2) else { return };
                listeners.remove(&number);
                if listeners.is_empty() {
                    names.remove(&subscription.2);
                }
            }
        }
    }

    /// Calls `hand` for each session that gets a message to a channel: those of the channel first,
    /// then those of each pattern that matches, with the pattern.
    pub fn receivers(
        &self,
        scope: Scope,
        channel: &[u8],
        hand: &mut dyn FnMut(u64, Option<&[u8]>),
    ) {
        if let Some(listeners) = self.of(scope).get(channel) {
            listeners.values().for_each(|session| hand(*session, None));
        }
        if scope != Scope::Channel {
            return;
        }
        for (pattern, listeners) in self.of(Scope::Pattern) {
            if glob::matches(pattern, channel) {
                listeners.values().for_each(|session| hand(*session, Some(pattern)));
            }
        }
    }

    /// Names that have subscribers, those that match.
    pub fn names(&self, scope: Scope, pattern: Option<&[u8]>) -> Vec<Vec<u8>> {
        let fits = |name: &&Vec<u8>| pattern.is_none_or(|pattern| glob::matches(pattern, name));
        self.of(scope).keys().filter(fits).cloned().collect()
    }

    /// A hash for each name, the same on every core: enough to tell how many there are.
    pub fn hashes(&self, scope: Scope) -> Vec<u64> {
        let same = ahash::RandomState::with_seeds(1, 2, 3, 4);
        self.of(scope).keys().map(|name| same.hash_one(name)).collect()
    }

    /// How many are subscribed to a name.
    pub fn count(&self, scope: Scope, name: &[u8]) -> usize {
        self.of(scope).get(name).map_or(0, BTreeMap::len)
    }

    fn of(&self, scope: Scope) -> &HashMap<Vec<u8>, Listeners> {
        let [channels, patterns, shards] = &self.names;
        match scope {
            Scope::Channel => channels,
            Scope::Pattern => patterns,
            Scope::Shard => shards,
        }
    }

    fn of_mut(&mut self, scope: Scope) -> &mut HashMap<Vec<u8>, Listeners> {
        let [channels, patterns, shards] = &mut self.names;
        match scope {
            Scope::Channel => channels,
            Scope::Pattern => patterns,
            Scope::Shard => shards,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    fn change(scope: Scope, name: &str, turn: Turn) -> Change {
        Change { scope, name: name.into(), turn }
    }

    /// `session` or `session/pattern` for each receiver, in order.
    fn told(channels: &Channels, scope: Scope, name: &str) -> String {
        let mut all = Vec::new();
        channels.receivers(scope, name.as_bytes(), &mut |session, pattern| {
            let pattern = pattern.map(|p| format!("/{}", p.escape_ascii())).unwrap_or_default();
            all.push(format!("{session}{pattern}"));
        });
        all.join(" ")
    }

    #[test]
    fn a_message_goes_to_the_channel_and_then_to_patterns() {
        let mut channels = Channels::default();
        channels.note(9, change(Scope::Channel, "news", Turn::Begins));
        channels.note(3, change(Scope::Channel, "news", Turn::Begins));
        channels.note(9, change(Scope::Pattern, "n*", Turn::Begins));
        channels.note(4, change(Scope::Shard, "news", Turn::Begins));
        assert_eq!(told(&channels, Scope::Channel, "news"), "9 3 9/n*");
        assert_eq!(told(&channels, Scope::Channel, "nobody"), "9/n*");
        assert_eq!(told(&channels, Scope::Shard, "news"), "4");
        assert_eq!(channels.count(Scope::Channel, b"news"), 2);
        assert_eq!(channels.names(Scope::Channel, Some(b"x*")), Vec::<Vec<u8>>::new());
        channels.note(9, change(Scope::Channel, "news", Turn::Ends));
        channels.note(9, change(Scope::Channel, "news", Turn::Ends));
        assert_eq!(told(&channels, Scope::Channel, "news"), "3 9/n*");
    }

    #[test]
    fn random_changes_agree_with_a_list() {
        for seed in 0..50 {
            let mut prng = Prng::new(seed);
            let mut channels = Channels::default();
            let mut list: Vec<(u64, &str)> = Vec::new();
            for _ in 0..300 {
                let session = prng.below(4);
                let name = ["a", "b", "c"][prng.below(3) as usize];
                let held = list.iter().position(|entry| *entry == (session, name));
                match held {
                    Some(at) if prng.chance(1, 2) => {
                        list.remove(at);
                        channels.note(session, change(Scope::Channel, name, Turn::Ends));
                    }
                    None => {
                        list.push((session, name));
                        channels.note(session, change(Scope::Channel, name, Turn::Begins));
                    }
                    Some(_) => {}
                }
                let expected: Vec<String> =
                    list.iter().filter(|e| e.1 == name).map(|e| e.0.to_string()).collect();
                let got = told(&channels, Scope::Channel, name);
                assert_eq!(got, expected.join(" "), "seed {seed}");
                assert_eq!(channels.len(), list.len(), "seed {seed}");
            }
        }
    }
}
