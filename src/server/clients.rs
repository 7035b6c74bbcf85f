//! The connections of one core: what CLIENT LIST shows of them, and how CLIENT KILL ends them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::commands::client::{ClientFilter, ClientLine, Wire, line};
use crate::commands::session::Session;

use crate::base::time::Millis;

/// What the connection's own task and the registry both see.
#[derive(Debug, Default)]
pub struct Client {
    /// Its session.
    pub session: RefCell<Session>,
    /// Figures of the socket and its buffers.
    pub wire: RefCell<Wire>,
    /// It is to be closed.
    pub killed: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Client {
    /// A connection that begins with this session.
    pub fn new(session: Session) -> Client {
        Client { session: RefCell::new(session), ..Client::default() }
    }

    /// Ends the connection: what its task waits for gives nothing.
    fn end(&self) {
        self.killed.set(true);
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Waits for the socket, or for the end; then the future is dropped, which a read or write of
    /// a socket survives: it has handed nothing to the kernel.
    pub async fn unless_killed<T>(
        &self,
        future: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut future = pin!(future);
        poll_fn(|context| {
            if self.killed.get() {
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            let polled = future.as_mut().poll(context);
            if polled.is_pending() {
                *self.waiting.borrow_mut() = Some(context.waker().clone());
            }
            polled
        })
        .await
    }
}

/// The connections of one core by id.
#[derive(Debug, Default)]
pub struct Clients {
    open: RefCell<BTreeMap<u64, Rc<Client>>>,
}

impl Clients {
    /// A connection has been accepted.
    pub fn add(&self, client: &Rc<Client>) {
        let id = client.session.borrow().id;
        self.open.borrow_mut().insert(id, Rc::clone(client));
    }

    /// A connection is gone.
    pub fn remove(&self, id: u64) {
        self.open.borrow_mut().remove(&id);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.open.borrow().len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.open.borrow().is_empty()
    }

    /// The lines of those that match.
    pub fn lines(&self, filter: &ClientFilter, now: Millis) -> Vec<ClientLine> {
        let open = self.open.borrow();
        let matching = open.values().filter(|client| filter.matches(&client.session.borrow(), now));
        matching.map(|client| line(&client.session.borrow(), &client.wire.borrow(), now)).collect()
    }

    /// How many watch keys.
    pub fn watching(&self) -> usize {
        let open = self.open.borrow();
        open.values().filter(|client| !client.session.borrow().watched.is_empty()).count()
    }

    /// Ends those that have sent nothing for so many milliseconds.
    pub fn close_idle(&self, now: Millis, most: u64) {
        for client in self.open.borrow().values() {
            let idle = now.0.saturating_sub(client.session.borrow().seen.0);
            if idle > most && !client.killed.get() {
                client.end();
            }
        }
    }

    /// Ends those that match; `own` is the session that asks, which ends after its reply.
    /// Returns how many matched.
    pub fn kill(&self, filter: &ClientFilter, own: u64, now: Millis) -> usize {
        let open = self.open.borrow();
        let mut count = 0;
        for (id, client) in open.iter() {
            if client.killed.get() || !filter.matches(&client.session.borrow(), now) {
                continue;
            }
            count += 1;
            match *id == own {
                true => client.killed.set(true),
                false => client.end(),
            }
        }
        count
    }
}
