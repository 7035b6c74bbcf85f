//! Work that reaches a shard from a session, here or elsewhere: commands of a pipeline, a
//! transaction on one shard, a command that may wait. It may have to wait for its turn.

use std::mem;

use crate::base::ids::ShardId;
use crate::commands::order::{Envelope, Response, Wait};
use crate::limits::{BATCH_REPLY_BYTES, WARM_MAX};
use crate::server::calls::{CallId, Word};
use crate::server::core::Group;
use crate::server::meter::{Last, Meter};
use crate::shard::execute::Request;
use crate::shard::locks::Ticket;
use crate::shard::shard::Shard;
use crate::shard::waiting::What;

/// Work that came from a session, here or elsewhere, and may have to wait for its turn.
#[derive(Debug)]
pub(in crate::server) struct Job {
    /// Whose core it came from.
    pub from: ShardId,
    /// The question that it answers.
    pub call: CallId,
    /// What is to be done.
    pub work: Work,
    /// What came of it.
    pub response: Response,
    /// The claim that it runs under, once it had to line up.
    pub ticket: Option<Ticket>,
}

#[derive(Debug)]
pub(in crate::server) enum Work {
    Envelope(Box<Envelope>),
    Group {
        group: Group,
        unchanged: bool,
    },
    Wait {
        wait: Box<Wait>,
        word: Word,
    },
    /// The reply to a wait that stood in line.
    Told(Word),
}

impl Job {
    /// Work that has not begun.
    pub fn new(from: ShardId, call: CallId, mut work: Work) -> Job {
        // An envelope brings the room for its replies.
        let response = match &mut work {
            Work::Envelope(envelope) => mem::take(&mut envelope.response),
            _ => Response::default(),
        };
        Job { from, call, work, response, ticket: None }
    }

    /// Runs what it can. Returns the claim that it has to wait for, if any.
    pub fn run(
        &mut self,
        shard: &mut Shard,
        turns: &mut Vec<Ticket>,
        meter: &mut Meter<'_>,
    ) -> Option<Ticket> {
        let Response { bytes, ends, slow, .. } = &mut self.response;
        match &mut self.work {
            Work::Envelope(envelope) => {
                while let Some(request) = next_request(envelope) {
                    warm(shard, envelope);
                    if self.ticket.is_none()
                        && let Some(claim) = shard.obstacle(request)
                    {
                        meter.pause(shard, slow);
                        return Some(shard.locks.enter(claim));
                    }
                    meter.before(shard, request.command, slow);
                    let start = bytes.len();
                    let requires = shard.run(request, bytes);
                    ends.push((bytes.len() as u32, requires));
                    let full = bytes.len() > BATCH_REPLY_BYTES;
                    let end = full || envelope.next + 1 == envelope.len();
                    let last = if end { Last::Yes } else { Last::No };
                    let reply = bytes.get(start..).unwrap_or_default();
                    slow.extend(meter.after(shard, request, reply, last));
                    if let Some(ticket) = self.ticket.take() {
                        turns.extend(shard.locks.leave(ticket));
                    }
                    envelope.next += 1;
                    if full {
                        break;
                    }
                }
            }
            Work::Group { group, unchanged } => {
                if self.ticket.is_none()
                    && let Some(claim) = shard.obstacle_to_all(&group.items, &group.watched)
                {
                    return Some(shard.locks.enter(claim));
                }
                let Group { items, watched, proto, tracker } = group;
                let (ran, requires) = shard.run_all(items, watched, (*proto, *tracker), bytes);
                *unchanged = ran;
                meter.all(shard, items, bytes, slow);
                ends.push((bytes.len() as u32, requires));
                if let Some(ticket) = self.ticket.take() {
                    turns.extend(shard.locks.leave(ticket));
                }
            }
            Work::Wait { wait, word } => {
                let request = Request::of(&wait.item, wait.proto);
                if self.ticket.is_none()
                    && let Some(claim) = shard.obstacle(request)
                {
                    return Some(shard.locks.enter(claim));
                }
                let (came, response) = worded(shard.attend(Wait::clone(wait)));
                *word = came;
                self.response = response;
                if let Some(ticket) = self.ticket.take() {
                    turns.extend(shard.locks.leave(ticket));
                }
            }
            Work::Told(_) => {}
        }
        None
    }
}

/// The first command of an envelope that has not been run.
fn next_request(envelope: &Envelope) -> Option<Request<'_>> {
    let (command, args, db) = envelope.get(envelope.next)?;
    let (proto, tracker) = envelope.session_of(envelope.next)?;
    Some(Request { command, args, db, proto, tracker })
}

/// Its next commands run soon: what the keys of some of them need of memory is asked for at once.
fn warm(shard: &Shard, envelope: &Envelope) {
    if !envelope.next.is_multiple_of(WARM_MAX) {
        return;
    }
    let Some((_, _, db)) = envelope.get(envelope.next) else { return };
    let next = (envelope.next..envelope.len()).filter_map(|index| envelope.get(index));
    shard.keys.warm(db, next.map(|(_, args, _)| args.at(1)));
}

/// What a wait has come to, as it travels.
pub fn worded(what: Option<What>) -> (Word, Response) {
    let mut response = Response::default();
    let word = match what {
        None => Word::Over,
        Some(What::Entered) => Word::Entered,
        Some(What::Invited) => Word::Invited,
        Some(What::Served(reply, requires)) => {
            response.ends.push((reply.len() as u32, requires));
            response.bytes = reply;
            Word::Served
        }
    };
    (word, response)
}
