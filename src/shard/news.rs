//! What others want to hear of a shard's keys: keyspace events, stale copies, and keys that
//! somebody waits for. When nobody does, a command pays one branch that is never taken.

use crate::commands::events::{Cause, Classes, Event, events};
use crate::commands::order::{Tracker, Voice};
use crate::commands::spec::Flags;
use crate::keyspace::notes::{Noting, Touch};
use crate::shard::execute::Request;
use crate::shard::shard::Shard;
use crate::shard::tracking::{Stale, Tracking};
use crate::shard::waiting::{Told, Waiting};

/// What there is to tell.
#[derive(Debug, Default)]
pub struct News {
    /// Events of keys, in order.
    pub events: Vec<Event>,
    /// Clients whose copies are stale.
    pub stale: Vec<Stale>,
    /// Clients that have waited.
    pub told: Vec<Told>,
}

/// Who wants to hear, and what has not been told yet.
#[derive(Debug, Default)]
pub struct Ears {
    classes: Classes,
    /// Client-side caching.
    pub tracking: Tracking,
    /// Clients that wait for keys.
    pub waiting: Waiting,
    pub(in crate::shard) news: News,
    noting: Noting,
}

impl News {
    fn is_empty(&self) -> bool {
        self.events.is_empty() && self.stale.is_empty() && self.told.is_empty()
    }
}

impl Shard {
    /// Events of these classes are announced from now on.
    pub fn set_events(&mut self, classes: Classes) {
        self.ears.classes = classes;
        self.listen();
    }

    /// Looks again at what has to be noted; after somebody has begun to listen, or has ended.
    pub fn listen(&mut self) {
        let ears = &self.ears;
        let noting = match ears.classes.is_empty() {
            false if ears.classes.has(b'm') => Noting::Misses,
            true if !ears.tracking.is_on() && ears.waiting.is_empty() => Noting::Off,
            _ => Noting::Changes,
        };
        if noting != self.ears.noting {
            self.ears.noting = noting;
            self.keys.set_noting(noting);
        }
    }

    /// A scratch shard announces what its master would.
    pub(in crate::shard) fn listen_as(&mut self, master: &Shard) {
        self.set_events(master.ears.classes);
    }

    /// What there is to tell others; mostly nothing.
    #[inline]
    pub fn take_news(&mut self) -> Option<News> {
        match self.ears.news.is_empty() {
            true => None,
            false => Some(std::mem::take(&mut self.ears.news)),
        }
    }

    /// A command has run: who has read its keys is remembered.
    #[inline]
    pub(in crate::shard) fn remember_reader(&mut self, request: Request<'_>) {
        if let Some(reader) = request.tracker
            && request.command.flags.has(Flags::READONLY)
        {
            let keys = request.keys().map(|(_, key)| key);
            self.ears.tracking.read(reader, keys, &mut self.ears.news.stale);
        }
    }

    /// Takes in what the keyspace has noted.
    #[cold]
    pub(in crate::shard) fn digest(
        &mut self,
        cause: Cause<'_>,
        writer: Option<Tracker>,
        voice: Voice,
    ) {
        let notes = self.keys.take_notes();
        let ears = &mut self.ears;
        if !ears.classes.is_empty() && voice == Voice::Loud {
            ears.news.events.extend(events(cause, &notes, ears.classes));
        }
        let mut flushed = false;
        for note in &notes {
            match note.touch {
                Touch::Missed => continue,
                Touch::Whole => ears.waiting.ready_all(note.db),
                _ => ears.waiting.ready(note.db, &note.key),
            }
            if !ears.tracking.is_on() {
                continue;
            }
            match note.touch {
                // One shard speaks for all: whoever empties a database empties it everywhere.
                Touch::Whole if self.id.0 == 0 && !flushed => {
                    flushed = true;
                    ears.tracking.flushed(&mut ears.news.stale);
                }
                Touch::Whole => ears.tracking.forget(),
                Touch::Born => {}
                _ => ears.tracking.changed(&note.key, writer, &mut ears.news.stale),
            }
        }
    }
}
