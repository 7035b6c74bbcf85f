//! Questions to shards that are under way: what a task of this core waits for.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::base::ids::ShardId;
use crate::commands::order::{Envelope, Outcome, Response};

/// Names a waiting task of one core; it travels with the question and comes back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallId(u32);

/// An answer.
#[derive(Debug)]
pub enum Arrival {
    /// An envelope that comes back.
    Back(ShardId, Box<Envelope>),
    /// To a step of a transaction.
    Outcome(ShardId, Outcome),
    /// To a command that may wait, at the shard that was visited.
    Visited(Word, Response),
    /// From a shard where a command stands in line.
    Told(Word, Response),
    /// To a transaction on one shard; nothing ran if a watched key had changed.
    Ran { unchanged: bool, response: Response },
}

/// What a wait has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// The command has run: its reply is there.
    Served,
    /// It stands in line.
    Entered,
    /// It was over already.
    Over,
    /// The session may try.
    Invited,
}

impl CallId {
    /// As it travels in what the shards know of a session.
    pub fn number(self) -> u32 {
        self.0
    }

    /// What `number` has made.
    pub fn of(number: u32) -> CallId {
        CallId(number)
    }
}

#[derive(Debug, Default)]
struct Place {
    arrived: VecDeque<Arrival>,
    waker: Option<Waker>,
}

/// The calls of one core. Each connection has one for its whole life.
#[derive(Debug, Default)]
pub struct Calls {
    places: RefCell<Vec<Place>>,
    free: RefCell<Vec<u32>>,
}

impl Calls {
    /// A new name.
    pub fn open(&self) -> CallId {
        if let Some(free) = self.free.borrow_mut().pop() {
            return CallId(free);
        }
        let mut places = self.places.borrow_mut();
        places.push(Place::default());
        CallId(places.len() as u32 - 1)
    }

    /// Gives a name back. Nothing may be on its way to it any more.
    pub fn close(&self, call: CallId) {
        self.free.borrow_mut().push(call.0);
    }

    /// Hands an answer to the task that waits for it.
    pub fn deliver(&self, call: CallId, arrival: Arrival) {
        let mut places = self.places.borrow_mut();
        let Some(place) = places.get_mut(call.0 as usize) else { return };
        place.arrived.push_back(arrival);
        if let Some(waker) = place.waker.take() {
            waker.wake();
        }
    }

    /// The next answer.
    pub async fn next(&self, call: CallId) -> Arrival {
        poll_fn(|context| {
            let mut places = self.places.borrow_mut();
            let Some(place) = places.get_mut(call.0 as usize) else { return Poll::Pending };
            match place.arrived.pop_front() {
                Some(arrival) => Poll::Ready(arrival),
                None => {
                    place.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}
