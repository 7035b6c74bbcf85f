//! Messages between cores: one inbox a core, drained whole, and an answer slot for rare requests.
//!
//! A sender pushes under a short lock and wakes the receiver only if it waits, so a burst costs
//! one wake. The receiver swaps the whole queue for an empty one that it hands in, so no message
//! is copied one by one and both vectors keep their memory. Queue and waker are under one lock:
//! a message is either seen by the receiver before it waits, or finds its waker.
//!
//! Sending never blocks and never fails: what is in flight is bounded by protocol (one envelope
//! a connection and shard, a few control messages a core), which `MESH_INBOX_MAX` asserts.
//! Hence two cores that send to each other cannot wait for each other.
//!
//! The waker is any `std::task::Waker`: that of a glommio task (foreign wakes reach a sleeping
//! executor through its eventfd) or that of a socket ring a core sleeps on.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::base::ids::ShardId;
use crate::limits::MESH_INBOX_MAX;
use crate::server::elsewhere::{self, Expecting};

/// One core's end of the mesh: its own inbox and a way into every other.
pub struct Port<M> {
    id: ShardId,
    inboxes: Arc<[Inbox<M>]>,
}

/// Builds the mesh: one port a core, in the order of their ids.
pub fn mesh<M: Send + 'static>(cores: u16) -> Vec<Port<M>> {
    let inboxes: Arc<[Inbox<M>]> = (0..cores).map(|_| Inbox::default()).collect();
    (0..cores).map(|id| Port { id: ShardId(id), inboxes: Arc::clone(&inboxes) }).collect()
}

impl<M: Send + 'static> Port<M> {
    /// The core this port belongs to.
    pub fn id(&self) -> ShardId {
        self.id
    }

    /// The number of cores in the mesh.
    pub fn cores(&self) -> usize {
        self.inboxes.len()
    }

    /// Hands a message to a core (also to this one). Messages of one sender keep their order.
    pub fn send(&self, to: ShardId, message: M) {
        let waiting = {
            let mut inbox = self.inbox(to).lock();
            assert!(inbox.messages.len() < MESH_INBOX_MAX, "inbox of core {} is full", to.0);
            inbox.messages.push(message);
            inbox.waker.take()
        };
        self.inbox(to).filled.store(true, Ordering::Release);
        if let Some(waker) = waiting {
            waker.wake();
        }
    }

    /// Has something arrived, as far as can be told without a lock? For a core that looks again
    /// and again before it sleeps.
    pub fn has_mail(&self) -> bool {
        self.inbox(self.id).filled.load(Ordering::Acquire)
    }

    /// Swaps what has arrived into `batch`, which is empty, and says whether there was anything.
    pub fn drain(&self, batch: &mut Vec<M>) -> bool {
        debug_assert!(batch.is_empty(), "a batch is consumed before the next is taken");
        let own = self.inbox(self.id);
        own.filled.store(false, Ordering::Relaxed);
        let mut inbox = own.lock();
        // The core is awake: nobody needs to wake it.
        inbox.waker = None;
        mem::swap(&mut inbox.messages, batch);
        !batch.is_empty()
    }

    /// Says whether something has arrived; if not, keeps the waker for when it does.
    pub fn arm(&self, waker: &Waker) -> bool {
        let mut inbox = self.inbox(self.id).lock();
        if inbox.messages.is_empty() {
            register(&mut inbox.waker, waker);
        }
        !inbox.messages.is_empty()
    }

    fn inbox(&self, core: ShardId) -> &Inbox<M> {
        self.inboxes.get(core.index()).expect("a core of this mesh")
    }
}

/// The right to answer one question, on whatever core. Dropped unused, it answers `None`.
pub struct Ticket<T> {
    slot: Arc<Mutex<Slot<T>>>,
}

/// The answer to come.
pub struct Answer<T> {
    slot: Arc<Mutex<Slot<T>>>,
    expecting: Option<Expecting>,
}

/// A question for another core: the ticket travels in a message, the answer is awaited here.
/// For rare requests; a request per command answers with a message, which wakes once a burst.
pub fn ticket<T: Send + 'static>() -> (Ticket<T>, Answer<T>) {
    let slot = Arc::new(Mutex::new(Slot { state: State::Open, waker: None }));
    (Ticket { slot: Arc::clone(&slot) }, Answer { slot, expecting: None })
}

impl<T> Ticket<T> {
    /// Gives the answer and wakes whoever waits for it.
    pub fn answer(self, value: T) {
        settle(&self.slot, State::Answered(value));
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        settle(&self.slot, State::Done);
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let Answer { slot, expecting } = self.get_mut();
        let mut slot = unpoisoned(slot);
        match mem::replace(&mut slot.state, State::Done) {
            State::Answered(value) => Poll::Ready(Some(value)),
            State::Done => Poll::Ready(None),
            State::Open => {
                slot.state = State::Open;
                register(&mut slot.waker, context.waker());
                expecting.get_or_insert_with(elsewhere::expect);
                Poll::Pending
            }
        }
    }
}

struct Inbox<M> {
    state: Mutex<Waiting<M>>,
    /// A hint that can be read without the lock: something has arrived.
    filled: AtomicBool,
}

struct Waiting<M> {
    messages: Vec<M>,
    waker: Option<Waker>,
}

impl<M> Default for Inbox<M> {
    fn default() -> Inbox<M> {
        let state = Mutex::new(Waiting { messages: Vec::new(), waker: None });
        Inbox { state, filled: AtomicBool::new(false) }
    }
}

impl<M> Inbox<M> {
    fn lock(&self) -> MutexGuard<'_, Waiting<M>> {
        unpoisoned(&self.state)
    }
}

struct Slot<T> {
    state: State<T>,
    waker: Option<Waker>,
}

enum State<T> {
    Open,
    Answered(T),
    Done,
}

/// Moves an open slot to `state`; one that is settled stays as it is.
fn settle<T>(slot: &Mutex<Slot<T>>, state: State<T>) {
    let waiting = {
        let mut slot = unpoisoned(slot);
        if !matches!(slot.state, State::Open) {
            return;
        }
        slot.state = state;
        slot.waker.take()
    };
    if let Some(waker) = waiting {
        waker.wake();
    }
}

/// Keeps the waker that is there if it wakes the same task: cloning one is an atomic operation.
fn register(place: &mut Option<Waker>, waker: &Waker) {
    match place {
        Some(old) if old.will_wake(waker) => {}
        _ => *place = Some(waker.clone()),
    }
}

/// A panic under the lock ends the process (`panic = "abort"`), so the poison flag says nothing.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use glommio::{LocalExecutorBuilder, Placement};

    use super::*;

    #[test]
    fn what_a_burst_sends_arrives_in_order_and_whole() {
        let mut ports = mesh::<u32>(3).into_iter();
        let (here, there) = (ports.next().unwrap(), ports.next().unwrap());
        for n in 0..5 {
            here.send(ShardId(1), n);
        }
        for n in 5..7 {
            there.send(ShardId(1), n);
        }
        let mut batch = Vec::new();
        assert!(there.drain(&mut batch));
        assert_eq!(batch, [0, 1, 2, 3, 4, 5, 6]);
        batch.clear();
        assert!(!there.drain(&mut batch));
        assert!(!here.drain(&mut batch));
    }

    /// Two executors hand a counter to and fro; each sleeps while it waits, so a lost wake-up
    /// would hang the test.
    #[test]
    fn sleeping_executors_wake_each_other() {
        const ROUNDS: u32 = 2_000;
        let handles: Vec<_> = mesh::<u32>(2)
            .into_iter()
            .map(|port| {
                LocalExecutorBuilder::new(Placement::Unbound)
                    .spawn(move || async move {
                        let peer = ShardId(1 - port.id().0);
                        let mut batch = Vec::new();
                        if port.id().0 == 0 {
                            port.send(peer, 0);
                        }
                        loop {
                            poll_fn(|context| match port.arm(context.waker()) {
                                true => Poll::Ready(()),
                                false => Poll::Pending,
                            })
                            .await;
                            assert!(port.drain(&mut batch));
                            for n in batch.drain(..) {
                                port.send(peer, n + 1);
                                if n + 1 >= ROUNDS {
                                    return n;
                                }
                            }
                        }
                    })
                    .unwrap()
            })
            .collect();
        let last: Vec<u32> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
        assert_eq!(last.iter().max(), Some(&ROUNDS));
    }

    #[test]
    fn an_answer_arrives_from_another_thread_and_a_dropped_ticket_says_so() {
        let executor = LocalExecutorBuilder::new(Placement::Unbound).make().unwrap();
        let (kept, answer) = ticket();
        let (dropped, nothing) = ticket::<u32>();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            kept.answer(7);
            drop(dropped);
        });
        assert_eq!(executor.run(answer), Some(7));
        assert_eq!(executor.run(nothing), None);
        thread.join().unwrap();
    }

    #[test]
    #[should_panic(expected = "is full")]
    fn an_inbox_that_nobody_drains_is_a_bug() {
        let ports = mesh::<()>(1);
        let port = ports.first().unwrap();
        for _ in 0..=MESH_INBOX_MAX {
            port.send(ShardId(0), ());
        }
    }
}
