//! The log of what users were denied: like events of a minute are one entry.

use std::collections::VecDeque;

/// Entries that a new event is compared with.
const COMPARED: usize = 10;
/// Milliseconds within which like events are one entry.
const WINDOW: u64 = 60_000;

/// Why something was denied. In this order the later one is the better reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The command.
    Command,
    /// A key of it.
    Key,
    /// The password.
    Auth,
    /// A channel of it.
    Channel,
}

impl Reason {
    /// As ACL LOG names it.
    pub fn word(self) -> &'static str {
        match self {
            Reason::Command => "command",
            Reason::Key => "key",
            Reason::Auth => "auth",
            Reason::Channel => "channel",
        }
    }
}

/// Where it was denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// A command of a client.
    TopLevel,
    /// Within MULTI.
    Multi,
    /// A command of a script.
    Script,
}

impl Context {
    /// As ACL LOG names it.
    pub fn word(self) -> &'static str {
        match self {
            Context::TopLevel => "toplevel",
            Context::Multi => "multi",
            Context::Script => "lua",
        }
    }
}

/// Something was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Why.
    pub reason: Reason,
    /// Where.
    pub context: Context,
    /// The command, key or channel.
    pub object: Vec<u8>,
    /// To whom.
    pub user: Vec<u8>,
    /// The client's line of CLIENT LIST.
    pub client: Vec<u8>,
}

/// Like events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The last of them.
    pub event: Event,
    /// How many there were.
    pub count: u64,
    /// Its number since the start.
    pub id: u64,
    /// When the first came, in milliseconds since 1970.
    pub created: u64,
    /// When the last came.
    pub updated: u64,
}

/// The log, the latest first.
#[derive(Debug, Default)]
pub struct AclLog {
    entries: VecDeque<Entry>,
    next: u64,
}

impl AclLog {
    /// Keeps an event; of all entries at most `most`.
    pub fn add(&mut self, event: Event, now: u64, most: usize) {
        let like = self.entries.iter().take(COMPARED).position(|entry| {
            entry.event.reason == event.reason
                && entry.event.context == event.context
                && now.abs_diff(entry.updated) <= WINDOW
                && entry.event.object == event.object
                && entry.event.user == event.user
        });
        let entry = match like.and_then(|at| self.entries.remove(at)) {
            Some(old) => Entry { event, count: old.count + 1, updated: now, ..old },
            None => {
                let id = self.next;
                self.next += 1;
                Entry { event, count: 1, id, created: now, updated: now }
            }
        };
        self.entries.push_front(entry);
        self.entries.truncate(most);
    }

    /// The latest entries, so many at most.
    pub fn latest(&self, most: usize) -> Vec<Entry> {
        self.entries.iter().take(most).cloned().collect()
    }

    /// ACL LOG RESET; numbers go on.
    pub fn reset(&mut self) {
        self.entries = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(reason: Reason, object: &str) -> Event {
        Event {
            reason,
            context: Context::TopLevel,
            object: object.into(),
            user: b"alice".to_vec(),
            client: b"id=1".to_vec(),
        }
    }

    fn shown(log: &AclLog) -> Vec<(String, u64, u64)> {
        let show = |entry: Entry| {
            let object = String::from_utf8(entry.event.object).unwrap();
            (object, entry.count, entry.id)
        };
        log.latest(100).into_iter().map(show).collect()
    }

    #[test]
    fn like_events_of_a_minute_are_one_entry_and_it_is_the_first() {
        let mut log = AclLog::default();
        let key = |object| event(Reason::Key, object);
        log.add(key("a"), 1_000, 9);
        log.add(key("b"), 2_000, 9);
        log.add(Event { client: b"id=2".to_vec(), ..key("a") }, 61_000, 9);
        assert_eq!(shown(&log), [("a".into(), 2, 0), ("b".into(), 1, 1)]);
        let first = log.latest(1).remove(0);
        assert_eq!((first.created, first.updated), (1_000, 61_000));
        assert_eq!(first.event.client, b"id=2");
        // A minute counts from the last one.
        log.add(key("a"), 121_001, 9);
        assert_eq!(shown(&log), [("a".into(), 1, 2), ("a".into(), 2, 0), ("b".into(), 1, 1)]);
        for other in [
            event(Reason::Command, "a"),
            Event { user: b"bob".to_vec(), ..key("a") },
            Event { context: Context::Multi, ..key("a") },
        ] {
            log.add(other, 121_001, 9);
        }
        assert_eq!(shown(&log).len(), 6, "all of it has to be alike");
    }

    #[test]
    fn it_is_bounded_and_only_the_latest_are_compared() {
        let mut log = AclLog::default();
        for number in 0..11 {
            log.add(event(Reason::Key, &number.to_string()), 0, 100);
        }
        log.add(event(Reason::Key, "0"), 0, 100);
        assert_eq!(shown(&log).len(), 12);
        log.add(event(Reason::Key, "x"), 0, 5);
        assert_eq!(shown(&log).len(), 5);
        assert_eq!(log.latest(2).len(), 2);
        log.add(event(Reason::Key, "y"), 0, 0);
        assert_eq!(shown(&log), []);
        log.add(event(Reason::Key, "z"), 0, 5);
        log.reset();
        log.add(event(Reason::Key, "z"), 0, 5);
        assert_eq!(shown(&log), [("z".into(), 1, 15)]);
    }
}
