//! Wake-ups within one core: a flag that one task waits for, and a crowd that waits for progress.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};
use std::time::Instant;

use crate::limits::REST_MAX;
use crate::server::ring::stay::Due;

/// A flag: raised any number of times, seen once.
#[derive(Debug, Default)]
pub struct Signal {
    raised: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Signal {
    /// Raises the flag.
    pub fn raise(&self) {
        if !self.raised.replace(true)
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }

    /// Waits until the flag is up, and lowers it. One task may wait.
    pub async fn wait(&self) {
        poll_fn(|context| {
            if self.raised.replace(false) {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Where long work rests between two slices: until the core has asked the kernel for events and
/// looked at its sockets and messages once more, and has answered what they brought. While anybody
/// rests, the core does not wait for events, but for a moment if all who do have stepped back.
#[derive(Debug, Default)]
pub struct Pauses {
    turn: Cell<u64>,
    resting: Crowd,
    /// How many of those have stepped back.
    patient: Cell<usize>,
    /// Since when turns that brought something have gone first.
    behind: Cell<Option<Instant>>,
    /// Of the core's own task, while it may wait for events.
    core: RefCell<Option<Waker>>,
}

/// What a turn found at the sockets and in the mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// Nobody asks for anything: the replies to what the turns before found are with the kernel.
    Nothing,
    /// Somebody does.
    Something,
}

impl Pauses {
    /// Rests until a turn that begins later has handed out what it brought.
    pub async fn rest(&self) {
        let turn = self.turn.get();
        if let Some(core) = self.core.take() {
            core.wake();
        }
        self.resting.until(|| (self.turn.get() != turn).then_some(())).await;
    }

    /// The same for work for which nobody waits: a sync of the log has the processor first.
    pub async fn step_back(&self) {
        self.patient.set(self.patient.get() + 1);
        self.rest().await;
    }

    /// Says who rests; if nobody does, keeps the waker of the core's own task for when somebody
    /// does.
    pub fn arm(&self, waker: &Waker) -> Due {
        match self.resting.len() {
            0 => {
                self.core.replace(Some(waker.clone()));
                Due::Nothing
            }
            resting if resting == self.patient.get() => Due::Slices,
            _ => Due::Now,
        }
    }

    /// The events of a turn are there. Whoever begins to rest from now on, when they are handed
    /// out, waits for the next turn: a task that a message starts runs at once.
    pub fn begin(&self) {
        self.core.take();
        self.turn.set(self.turn.get().wrapping_add(1));
    }

    /// They have been handed out. Everybody who rested before goes on, if there were none or if
    /// others have gone first for `REST_MAX`. (A slice right behind events would come before their
    /// replies: what the log has to take first is written by tasks that are woken later, and all is
    /// submitted at the end of the next turn.)
    pub fn end(&self, found: Found) {
        if self.resting.is_empty() {
            return;
        }
        let since = self.behind.get().unwrap_or_else(Instant::now);
        if found == Found::Something && since.elapsed() < REST_MAX {
            self.behind.set(Some(since));
            return;
        }
        self.behind.set(None);
        self.patient.set(0);
        self.resting.wake();
    }
}

/// Tasks that look again whenever something has moved.
#[derive(Debug, Default)]
pub struct Crowd {
    wakers: RefCell<Vec<Waker>>,
}

impl Crowd {
    /// Does nobody wait?
    pub fn is_empty(&self) -> bool {
        self.wakers.borrow().is_empty()
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.wakers.borrow().len()
    }

    /// Lets everybody look again.
    pub fn wake(&self) {
        let wakers = std::mem::take(&mut *self.wakers.borrow_mut());
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Waits until `look` has an answer; it is asked at once and after each `wake`.
    pub async fn until<T>(&self, mut look: impl FnMut() -> Option<T>) -> T {
        poll_fn(|context| match look() {
            Some(answer) => Poll::Ready(answer),
            None => {
                self.wakers.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// Lets the tasks that are ready run once.
pub async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    /// Somebody begins to rest between two turns. After how many turns that found this do they go
    /// on, at most 100?
    fn turns(found: Found) -> u32 {
        let pauses = Pauses::default();
        let mut rest = pin!(pauses.rest());
        let mut context = Context::from_waker(Waker::noop());
        assert!(rest.as_mut().poll(&mut context).is_pending());
        for turn in 1..100 {
            pauses.begin();
            pauses.end(found);
            // The task is polled when it is woken only.
            if pauses.resting.is_empty() {
                assert!(rest.as_mut().poll(&mut context).is_ready());
                return turn;
            }
            std::thread::sleep(REST_MAX / 4);
        }
        100
    }

    #[test]
    fn whoever_rests_goes_on_when_nobody_asks_and_after_a_while_in_any_case() {
        assert_eq!(turns(Found::Nothing), 1);
        let turns = turns(Found::Something);
        assert!((2..=5).contains(&turns), "{turns}");
    }

    #[test]
    fn a_sync_goes_before_those_who_have_stepped_back_and_nobody_else() {
        let pauses = Pauses::default();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(pauses.arm(Waker::noop()), Due::Nothing);
        let mut patient = pin!(pauses.step_back());
        assert!(patient.as_mut().poll(&mut context).is_pending());
        assert_eq!(pauses.arm(Waker::noop()), Due::Slices);
        let mut rest = pin!(pauses.rest());
        assert!(rest.as_mut().poll(&mut context).is_pending());
        assert_eq!(pauses.arm(Waker::noop()), Due::Now);
        pauses.begin();
        pauses.end(Found::Nothing);
        assert_eq!(pauses.arm(Waker::noop()), Due::Nothing);
    }

    #[test]
    fn whoever_begins_to_rest_while_events_are_handed_out_waits_for_the_next_turn() {
        let pauses = Pauses::default();
        pauses.begin();
        let mut rest = pin!(pauses.rest());
        let mut context = Context::from_waker(Waker::noop());
        assert!(rest.as_mut().poll(&mut context).is_pending());
        pauses.end(Found::Nothing);
        assert!(rest.as_mut().poll(&mut context).is_pending());
        pauses.begin();
        pauses.end(Found::Nothing);
        assert!(rest.as_mut().poll(&mut context).is_ready());
    }
}
