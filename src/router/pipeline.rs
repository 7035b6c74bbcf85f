//! One batch of a session's pipeline: replies of the own shard and of others, put in the order in
//! which the commands came.
//!
//! Commands for the own shard write their replies at once into `out`. A command for another shard
//! leaves a *place* in it and travels in that shard's envelope; when the responses are there,
//! `assemble` fills the places. A batch without places is not touched again: on one shard the
//! pipeline costs nothing.

use std::mem;

use crate::base::ids::{Db, Lsn, ShardId};
use crate::commands::order::{Envelope, Tracker};
use crate::commands::spec::Command;
use crate::resp::args::Args;
use crate::resp::reply::Proto;
use crate::router::spare::Spare;

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
    envelopes: Vec<(ShardId, Box<Envelope>)>,
    open: Option<Box<Open>>,
}

/// A batch with places for which no reply has come: a shard with many bytes of replies sends them
/// in parts, and the next one only when the last one has left. So what waits for a client that does
/// not read is bounded, however long its pipeline is.
#[derive(Debug, Default)]
pub(in crate::router) struct Open {
    /// The own replies, of which those before `left` have left.
    own: Vec<u8>,
    left: usize,
    /// Of which the first `shifted` have left.
    owed: Vec<Owed>,
    shifted: usize,
    /// Of which the first `filled` have their replies.
    places: Vec<Place>,
    filled: usize,
    answers: Vec<Answer>,
}

/// What a shard has answered so far.
#[derive(Debug)]
struct Answer {
    shard: ShardId,
    /// Which command of the envelope the first reply is for.
    base: usize,
    /// With its replies; nothing while it is on its way again.
    envelope: Option<Box<Envelope>>,
}

/// Places and debts for which a connection keeps memory between batches: a kilobyte or two.
const PLACES_KEEP: usize = 64;

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
        session: (Proto, Option<Tracker>),
        call: (&'static Command, Args<'_>, Db),
        spare: &mut Spare,
    ) {
        let found = self.envelopes.iter().position(|(to, _)| *to == shard);
        let at = found.unwrap_or_else(|| {
            self.envelopes.push((shard, spare.envelope()));
            self.envelopes.len() - 1
        });
        if let Some((_, envelope)) = self.envelopes.get_mut(at) {
            self.places.push(Place { at: self.out.len(), shard, index: envelope.len() });
            envelope.push(call, session);
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
    pub fn take_envelopes(&mut self) -> impl Iterator<Item = (ShardId, Box<Envelope>)> + '_ {
        self.envelopes.drain(..)
    }

    /// An envelope has come back. All that travelled are to come before `assemble`.
    pub fn take_in(&mut self, shard: ShardId, envelope: Box<Envelope>, spare: &mut Spare) {
        let open = self.open.get_or_insert_with(|| {
            let mut open = spare.open();
            mem::swap(&mut open.own, &mut self.out);
            mem::swap(&mut open.owed, &mut self.owed);
            mem::swap(&mut open.places, &mut self.places);
            open
        });
        open.take_in(shard, envelope);
    }

    /// Puts the replies into their places. `out` then ends with what is in order so far: all of
    /// the batch, unless a shard has run only a part of its envelope, which is ready to travel
    /// again.
    pub fn assemble(&mut self, spare: &mut Spare) {
        let Some(mut open) = self.open.take() else { return };
        match open.move_to(&mut self.out, &mut self.owed) {
            InOrder::All => spare.keep_open(open),
            InOrder::Part => {
                open.send_again(&mut self.envelopes);
                self.open = Some(open);
            }
        }
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

    /// Forgets what has been put in order; its buffer is used again.
    pub fn clear(&mut self) {
        debug_assert!(self.places.is_empty(), "what travels is collected first");
        self.out.clear();
        self.owed.clear();
        // Connections may be many, and most of them idle.
        self.owed.shrink_to(PLACES_KEEP);
        self.places.shrink_to(PLACES_KEEP);
    }
}

/// How much of a batch is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InOrder {
    All,
    Part,
}

impl Open {
    /// More replies of a shard. Those that it sent before are in their places: it was not asked to
    /// go on otherwise.
    fn take_in(&mut self, shard: ShardId, mut envelope: Box<Envelope>) {
        envelope.shed();
        let envelope = Some(envelope);
        match self.answers.iter_mut().find(|answer| answer.shard == shard) {
            Some(answer) => answer.envelope = envelope,
            None => self.answers.push(Answer { shard, base: 0, envelope }),
        }
    }

    /// Moves what is in order behind `out`, up to the first place that is still empty.
    fn move_to(&mut self, out: &mut Vec<u8>, owed: &mut Vec<Owed>) -> InOrder {
        out.reserve(
            self.own.len() - self.left + self.answers.iter().map(Answer::bytes).sum::<usize>(),
        );
        while let Some(place) = self.places.get(self.filled).copied() {
            self.move_own(place.at, out, owed);
            let Some(reply) = self.reply(place) else { return InOrder::Part };
            out.extend_from_slice(reply);
            self.filled += 1;
        }
        self.move_own(self.own.len(), out, owed);
        InOrder::All
    }

    fn move_own(&mut self, to: usize, out: &mut Vec<u8>, owed: &mut Vec<Owed>) {
        let due = self.owed.get(self.shifted..).unwrap_or_default();
        let due = due.iter().take_while(|owed| owed.end <= to);
        owed.extend(
            due.map(|due| shift(*due, out.len(), self.left)).inspect(|_| self.shifted += 1),
        );
        out.extend_from_slice(self.own.get(self.left..to).unwrap_or_default());
        self.left = to;
    }

    /// The reply for a place, if it has come.
    fn reply(&self, place: Place) -> Option<&[u8]> {
        let answer = self.answers.iter().find(|answer| answer.shard == place.shard);
        let reply = answer
            .and_then(|answer| answer.envelope.as_ref()?.response.get(place.index - answer.base));
        // An envelope has a reply for each of its commands in the end.
        let ended =
            answer.is_none_or(|answer| answer.envelope.as_ref().is_some_and(|it| it.is_run()));
        reply.or(ended.then_some(b"-ERR internal: reply missing\r\n"))
    }

    /// The envelopes that go on: of shards all of whose replies are in their places.
    fn send_again(&mut self, envelopes: &mut Vec<(ShardId, Box<Envelope>)>) {
        let open = self.places.get(self.filled..).unwrap_or_default();
        for answer in &mut self.answers {
            let next = open.iter().find(|place| place.shard == answer.shard);
            let Some(mut envelope) = answer.envelope.take_if(|envelope| {
                let end = answer.base + envelope.response.ends.len();
                !envelope.is_run() && next.is_none_or(|place| place.index >= end)
            }) else {
                continue;
            };
            answer.base += envelope.response.ends.len();
            envelope.response.clear();
            envelopes.push((answer.shard, envelope));
        }
    }

    /// Forgets everything but its memory; that of the envelopes goes back.
    pub(in crate::router) fn give_back(&mut self, spare: &mut Spare) {
        let Open { own, left, owed, shifted, places, filled, answers } = self;
        (*left, *shifted, *filled) = (0, 0, 0);
        own.clear();
        owed.clear();
        places.clear();
        let envelopes = answers.drain(..).filter_map(|answer| answer.envelope);
        envelopes.for_each(|envelope| spare.keep_envelope(envelope));
    }

    /// Bytes of memory that it holds.
    pub(in crate::router) fn held(&self) -> usize {
        self.own.capacity()
            + size_of::<Owed>() * self.owed.capacity()
            + size_of::<Place>() * self.places.capacity()
            + size_of::<Answer>() * self.answers.capacity()
    }
}

impl Answer {
    /// Bytes of replies.
    fn bytes(&self) -> usize {
        self.envelope.as_ref().map_or(0, |envelope| envelope.response.bytes.len())
    }
}

/// A debt whose reply moves from behind `from` to behind `to`.
fn shift(owed: Owed, to: usize, from: usize) -> Owed {
    let by = |at: usize| at - from + to;
    Owed { start: by(owed.start), end: by(owed.end), requires: owed.requires }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::table;
    use crate::resp::args::OwnedArgs;

    /// What a shard does with an envelope, so many replies at a time: `SHARD:KEY;`.
    fn run(shard: ShardId, envelope: &mut Envelope, most: usize) {
        let mut response = mem::take(&mut envelope.response);
        assert!(response.ends.is_empty() && response.bytes.is_empty(), "replies that have left");
        while let Some((_, args, _)) = envelope.get(envelope.next) {
            if response.ends.len() == most {
                break;
            }
            let reply = format!("{}:{};", shard.0, String::from_utf8_lossy(args.at(1)));
            response.bytes.extend_from_slice(reply.as_bytes());
            response.ends.push((response.bytes.len() as u32, Lsn(0)));
            envelope.next += 1;
        }
        envelope.response = response;
    }

    #[test]
    fn replies_leave_in_order_however_many_a_shard_sends_at_a_time() {
        // What one batch leaves serves the next one.
        let mut spare = Spare::default();
        // A digit is a command for that shard, another character a reply of the own one.
        for line in ["1", "a1b", "112233", "a1b2c1d2e", "1112", "2111", "121212ab", "ab", "33a1"] {
            for most in [[1, 1, 1], [1, 2, 3], [3, 1, 2], [9, 9, 1], [2, 9, 9]] {
                let mut pipeline = Pipeline::default();
                let mut expected = String::new();
                for (n, what) in line.chars().enumerate() {
                    let start = pipeline.out.len();
                    if let Some(shard) = what.to_digit(10) {
                        let args = OwnedArgs::of(&[b"GET", n.to_string().as_bytes()]);
                        let get = table::resolve(args.args()).expect("a command");
                        let shard = ShardId(shard as u16);
                        let session = (Proto::Two, None);
                        pipeline.send(shard, session, (get, args.args(), Db(0)), &mut spare);
                        expected.push_str(&format!("{}:{n};", shard.0));
                    } else {
                        pipeline.out.push(what as u8);
                        pipeline.owe(start, Lsn(n as u64 + 1));
                        expected.push(what);
                    }
                }
                let (mut left, mut rounds, mut required) = (String::new(), 0, Lsn(0));
                while pipeline.has_envelopes() || rounds == 0 {
                    for (shard, mut envelope) in Vec::from_iter(pipeline.take_envelopes()) {
                        run(shard, &mut envelope, most[usize::from(shard.0) - 1]);
                        pipeline.take_in(shard, envelope, &mut spare);
                    }
                    pipeline.assemble(&mut spare);
                    // A debt leaves with its reply: it lies where the reply does.
                    for owed in &pipeline.owed {
                        let reply = &pipeline.out[owed.start..owed.end];
                        assert_eq!(reply, &line.as_bytes()[owed.requires.0 as usize - 1..][..1]);
                    }
                    required = required.max(pipeline.requires());
                    left.push_str(&String::from_utf8_lossy(&pipeline.out));
                    pipeline.clear();
                    rounds += 1;
                    assert!(rounds < 20, "{line} {most:?} comes to no end");
                }
                assert_eq!(left, expected, "{line} {most:?}");
                let last = line.rfind(|c: char| !c.is_ascii_digit());
                assert_eq!(required, Lsn(last.map_or(0, |at| at as u64 + 1)), "{line} {most:?}");
            }
        }
    }
}
