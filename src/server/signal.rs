//! Wake-ups within one core: a flag that one task waits for, and a crowd that waits for progress.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

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
/// looked at its sockets and messages once more. While anybody rests, the core does not wait for
/// events.
#[derive(Debug, Default)]
pub struct Pauses {
    turn: Cell<u64>,
    resting: Crowd,
    /// Of the core's own task, while it may wait for events.
    core: RefCell<Option<Waker>>,
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

    /// Says whether anybody rests; if not, keeps the waker of the core's own task for when somebody
    /// does.
    pub fn arm(&self, waker: &Waker) -> bool {
        let any = !self.resting.wakers.borrow().is_empty();
        if !any {
            self.core.replace(Some(waker.clone()));
        }
        any
    }

    /// The events of a turn are there. Whoever begins to rest from now on, when they are handed
    /// out, waits for the next turn: a task that a message starts runs at once.
    pub fn begin(&self) {
        self.core.take();
        self.turn.set(self.turn.get().wrapping_add(1));
    }

    /// They have been handed out: everybody who rested before goes on, behind those whom they woke.
    pub fn end(&self) {
        self.resting.wake();
    }
}

/// Tasks that look again whenever something has moved.
#[derive(Debug, Default)]
pub struct Crowd {
    wakers: RefCell<Vec<Waker>>,
}

impl Crowd {
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
