//! The connections of one core: what CLIENT LIST shows of them, and how CLIENT KILL ends them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::base::time::Millis;
use crate::commands::acl::identity::Fate;
use crate::commands::acl::users::Users;
use crate::commands::client::{ClientFilter, ClientLine, Unblock, Wire, line};
use crate::commands::session::Session;
use crate::config::values::BufferLimit;
use crate::limits::SEND_SPARE_MAX;

/// What the connection's own task and the registry both see.
#[derive(Debug, Default)]
pub struct Client {
    /// Its session.
    pub session: RefCell<Session>,
    /// Figures of the socket and its buffers.
    pub wire: RefCell<Wire>,
    /// It is to be closed.
    pub killed: Cell<bool>,
    /// Messages on their way to it, encoded.
    mail: RefCell<Vec<u8>>,
    /// Since when more waits for it than the soft limit allows.
    slow_since: Cell<Option<Millis>>,
    /// CLIENT UNBLOCK, while it waits.
    unblocked: Cell<Option<Unblock>>,
    /// The users have changed while it waits: is its command still allowed?
    doubted: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

/// What a connection's task has waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard<T> {
    /// There is something in its mailbox.
    Mail,
    /// What the future gave.
    Done(T),
}

/// What has come between a client and what it waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// CLIENT UNBLOCK.
    Unblocked(Unblock),
    /// Other rules hold for its user.
    Doubted,
}

impl Client {
    /// A connection that begins with this session.
    pub fn new(session: Session) -> Client {
        Client { session: RefCell::new(session), ..Client::default() }
    }

    /// Ends the connection: what its task waits for gives nothing.
    fn end(&self) {
        self.killed.set(true);
        self.wake();
    }

    /// Puts bytes into the mailbox. Says no, and ends the connection, when it does not read.
    pub fn post(&self, bytes: &[u8], limit: BufferLimit, now: Millis) -> bool {
        if self.killed.get() {
            return true;
        }
        let mut mail = self.mail.borrow_mut();
        mail.extend_from_slice(bytes);
        let waits = mail.len() + self.wire.borrow().reply_waiting;
        let since = match limit.soft > 0 && waits as u64 > limit.soft {
            true => Some(self.slow_since.get().unwrap_or(now)),
            false => None,
        };
        self.slow_since.set(since);
        if exceeds(limit, waits as u64, since, now) {
            *mail = Vec::new();
            drop(mail);
            self.end();
            return false;
        }
        drop(mail);
        self.wake();
        true
    }

    /// Appends what is in the mailbox to `out`.
    pub fn take_mail(&self, out: &mut Vec<u8>) {
        let mut mail = self.mail.borrow_mut();
        if mail.is_empty() {
            return;
        }
        out.extend_from_slice(&mail);
        mail.clear();
        if mail.capacity() > SEND_SPARE_MAX {
            *mail = Vec::new();
        }
    }

    /// Is there anything in the mailbox?
    pub fn has_mail(&self) -> bool {
        !self.mail.borrow().is_empty()
    }

    /// It waits in a blocking command, and whoever comes after this stands behind it.
    pub fn begin_block(&self) {
        if !std::mem::replace(&mut self.wire.borrow_mut().blocked, true) {
            self.unblocked.set(None);
            self.doubted.set(false);
        }
    }

    /// It waits no more.
    pub fn end_block(&self) {
        self.wire.borrow_mut().blocked = false;
    }

    /// Wakes it if it waits in a blocking command; says whether it did.
    pub fn unblock(&self, how: Unblock) -> bool {
        let blocked = self.wire.borrow().blocked && self.unblocked.get().is_none();
        if blocked {
            self.unblocked.set(Some(how));
            self.wake();
        }
        blocked
    }

    /// As `unless_mail`, or until it is unblocked or doubted.
    pub async fn unless_unblocked<T>(
        &self,
        future: impl Future<Output = io::Result<T>>,
    ) -> Result<io::Result<Heard<T>>, Interrupt> {
        let mut future = pin!(self.unless_mail(future));
        poll_fn(|context| match (self.doubted.take(), self.unblocked.take()) {
            (_, Some(how)) => Poll::Ready(Err(Interrupt::Unblocked(how))),
            (true, None) => Poll::Ready(Err(Interrupt::Doubted)),
            (false, None) => future.as_mut().poll(context).map(Ok),
        })
        .await
    }

    /// The users have changed: who this is, and whether it goes on.
    fn take_users(&self, users: &Users) {
        let mut session = self.session.borrow_mut();
        let session = &mut *session;
        let fate = session.identity.refresh(users, &session.subscriptions);
        match fate {
            Fate::Ends => self.end(),
            Fate::Stays if self.wire.borrow().blocked => {
                self.doubted.set(true);
                self.wake();
            }
            Fate::Stays => {}
        }
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.borrow_mut().take() {
            waker.wake();
        }
    }

    /// As `unless_killed`, or until there is mail, which comes first.
    pub async fn unless_mail<T>(
        &self,
        future: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Heard<T>> {
        let mut future = pin!(future);
        let heard = poll_fn(|context| match self.has_mail() {
            true => Poll::Ready(Ok(Heard::Mail)),
            false => future.as_mut().poll(context).map_ok(Heard::Done),
        });
        self.unless_killed(heard).await
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

/// Is a client to be closed, with so many bytes waiting for it, and more than the soft limit
/// `since`?
fn exceeds(limit: BufferLimit, waits: u64, since: Option<Millis>, now: Millis) -> bool {
    let long = limit.soft_seconds * 1000;
    limit.is_passed(waits) || since.is_some_and(|since| now.0.saturating_sub(since.0) > long)
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

    /// The connection of this id.
    pub fn get(&self, id: u64) -> Option<Rc<Client>> {
        self.open.borrow().get(&id).cloned()
    }

    /// Those that see all commands.
    pub fn monitors(&self) -> Vec<Rc<Client>> {
        let open = self.open.borrow();
        open.values().filter(|client| client.session.borrow().monitors).cloned().collect()
    }

    /// How many wait in a blocking command, and how many track.
    pub fn blocked_and_tracking(&self) -> (usize, usize) {
        let open = self.open.borrow();
        let blocked = open.values().filter(|client| client.wire.borrow().blocked).count();
        let tracking = open.values().filter(|client| client.session.borrow().tracking.is_some());
        (blocked, tracking.count())
    }

    /// Bytes of requests and replies that wait.
    pub fn bytes(&self) -> usize {
        let open = self.open.borrow();
        open.values().map(|client| client.wire.borrow().waiting()).sum()
    }

    /// How many are subscribed to something.
    pub fn subscribed(&self) -> usize {
        let open = self.open.borrow();
        open.values().filter(|client| client.session.borrow().subscriptions.any()).count()
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
        let matching = open.values().filter(|client| {
            // Who has been ended is gone, though its task may have to see it yet.
            !client.killed.get() && filter.matches(&client.session.borrow(), now)
        });
        matching.map(|client| line(&client.session.borrow(), &client.wire.borrow(), now)).collect()
    }

    /// The users have changed.
    pub fn take_users(&self, users: &Users) {
        self.open.borrow().values().for_each(|client| client.take_users(users));
    }

    /// How many watch keys.
    pub fn watching(&self) -> usize {
        let open = self.open.borrow();
        open.values().filter(|client| !client.session.borrow().watched.is_empty()).count()
    }

    /// Ends those that have sent nothing for so many milliseconds; a subscriber need not.
    pub fn close_idle(&self, now: Millis, most: u64) {
        for client in self.open.borrow().values() {
            let session = client.session.borrow();
            let idle = now.0.saturating_sub(session.seen.0);
            let silent = session.subscriptions.any() || client.wire.borrow().blocked;
            drop(session);
            if idle > most && !silent && !client.killed.get() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_read_is_closed_at_the_hard_limit_or_after_a_while_above_the_soft_one() {
        let limit = BufferLimit { hard: 100, soft: 50, soft_seconds: 2 };
        let none = BufferLimit::default();
        for (limit, waits, since, expected) in [
            (limit, 100, None, false),
            (limit, 101, None, true),
            (limit, 60, Some(8_000), false),
            (limit, 60, Some(7_999), true),
            (none, u64::MAX, None, false),
        ] {
            let got = exceeds(limit, waits, since.map(Millis), Millis(10_000));
            assert_eq!(got, expected, "{waits} {since:?}");
        }
        let client = Client::new(Session::default());
        assert!(client.post(&[b'x'; 60], limit, Millis(1000)) && client.has_mail());
        assert!(client.post(b"x", limit, Millis(3000)));
        assert!(!client.post(b"x", limit, Millis(3001)) && client.killed.get());
        assert!(!client.has_mail(), "the memory is given back");
        let client = Client::new(Session::default());
        assert!(client.post(&[b'x'; 60], limit, Millis(1000)));
        client.take_mail(&mut Vec::new());
        assert!(client.post(b"x", limit, Millis(9000)), "it has read meanwhile");
    }
}
