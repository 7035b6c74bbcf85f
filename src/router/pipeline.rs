//! One batch of a session's pipeline: replies of the own shard and of others, put in the order in
//! which the commands came.
//!
//! Commands for the own shard write their replies at once into `out`. A command for another shard
//! leaves a *place* in it and travels in that shard's envelope; when the responses are there,
//! `assemble` fills the places. A batch without places is not touched again: on one shard the
//! pipeline costs nothing.

use crate::base::ids::{Db, Lsn, ShardId};
use crate::commands::order::{Envelope, Response, Tracker};
use crate::commands::spec::Command;
use crate::resp::args::Args;
use crate::resp::reply::Proto;

/// A reply that comes from another shard.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Where in the own replies it belongs.
    at: usize,
    /// Which envelope it travels in.
    shard: ShardId,
    /// Which command of the envelope it is.
    index: usize,
}

/// A reply of the own shard that may not leave before an effect is safe.
#[derive(Clone, Copy, Debug)]
pub struct Owed {
    /// Where it begins in the own replies.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The effect.
    pub requires: Lsn,
}

/// The replies of one batch.
#[derive(Debug, Default)]
pub struct Pipeline {
    /// Replies of the own shard and of the session, in order.
    pub out: Vec<u8>,
    owed: Vec<Owed>,
    places: Vec<Place>,
    envelopes: Vec<(ShardId, Envelope)>,
}

impl Pipeline {
    /// Notes that the last reply, from `start` on, depends on an effect.
    pub fn owe(&mut self, start: usize, requires: Lsn) {
        self.owed.push(Owed { start, end: self.out.len(), requires });
    }

    /// The last effect that a reply of the own shard depends on.
    pub fn requires(&self) -> Lsn {
        self.owed.iter().map(|owed| owed.requires).max().unwrap_or_default()
    }

    /// The same for the replies that begin at `start` or after it.
    pub fn requires_from(&self, start: usize) -> Lsn {
        let owed = self.owed.iter().filter(|owed| owed.start >= start);
        owed.map(|owed| owed.requires).max().unwrap_or_default()
    }

    /// Puts a command into the envelope for a shard.
    pub fn send(
        &mut self,
        shard: ShardId,
        (proto, tracker): (Proto, Option<Tracker>),
        (command, args, db): (&'static Command, Args<'_>, Db),
    ) {
        let found = self.envelopes.iter().position(|(to, _)| *to == shard);
        let at = found.unwrap_or_else(|| {
            self.envelopes.push((shard, Envelope::new(proto)));
            self.envelopes.len() - 1
        });
        if let Some((_, envelope)) = self.envelopes.get_mut(at) {
            self.places.push(Place { at: self.out.len(), shard, index: envelope.len() });
            envelope.proto = proto;
            envelope.tracker = tracker;
            envelope.push(command, args, db);
        }
    }

    /// Takes back the reply of the own shard that begins at `start`: it is not wanted.
    pub fn take_back(&mut self, start: usize) {
        self.out.truncate(start);
        self.owed.retain(|owed| owed.end <= start);
    }

    /// Is anything to be sent to another shard?
    pub fn has_envelopes(&self) -> bool {
        !self.envelopes.is_empty()
    }

    /// The envelopes that are ready to travel.
    pub fn take_envelopes(&mut self) -> Vec<(ShardId, Envelope)> {
        std::mem::take(&mut self.envelopes)
    }

    /// Fills the places with the responses; `out` is then the batch in order.
    pub fn assemble(&mut self, responses: &[(ShardId, Response)]) {
        if self.places.is_empty() {
            return;
        }
        let remote: usize = responses.iter().map(|(_, response)| response.bytes.len()).sum();
        let mut whole = Vec::with_capacity(self.out.len() + remote);
        let mut owed = std::mem::take(&mut self.owed).into_iter().peekable();
        let mut moved = Vec::new();
        let mut from = 0;
        for place in std::mem::take(&mut self.places) {
            while let Some(due) = owed.next_if(|owed| owed.end <= place.at) {
                moved.push(shift(due, whole.len(), from));
            }
            whole.extend_from_slice(self.out.get(from..place.at).unwrap_or_default());
            from = place.at;
            let response = responses.iter().find(|(shard, _)| *shard == place.shard);
            let reply = response.and_then(|(_, response)| response.get(place.index));
            // An envelope's response has a reply for each of its commands.
            whole.extend_from_slice(reply.unwrap_or(b"-ERR internal: reply missing\r\n"));
        }
        moved.extend(owed.map(|due| shift(due, whole.len(), from)));
        whole.extend_from_slice(self.out.get(from..).unwrap_or_default());
        self.out = whole;
        self.owed = moved;
    }

    /// The log broke: replies that are not safe (as `safe` judges) become `error`, a whole line.
    pub fn refuse(&mut self, error: &[u8], safe: impl Fn(Lsn) -> bool) {
        let mut whole = Vec::with_capacity(self.out.len());
        let mut from = 0;
        for owed in self.owed.iter().filter(|owed| !safe(owed.requires)) {
            whole.extend_from_slice(self.out.get(from..owed.start).unwrap_or_default());
            whole.extend_from_slice(error);
            from = owed.end;
        }
        whole.extend_from_slice(self.out.get(from..).unwrap_or_default());
        self.out = whole;
        self.owed.clear();
    }

    /// Forgets the batch; its buffer is used again.
    pub fn clear(&mut self) {
        self.out.clear();
        self.owed.clear();
        self.places.clear();
        self.envelopes.clear();
    }
}

/// A debt whose reply moves from behind `from` to behind `to`.
fn shift(owed: Owed, to: usize, from: usize) -> Owed {
    let by = |at: usize| at - from + to;
    Owed { start: by(owed.start), end: by(owed.end), requires: owed.requires }
}
