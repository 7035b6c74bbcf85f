//! One client's socket as its task sees it: bytes in, bytes out, and its end. The core's driver
//! moves the bytes between the ring and the tasks.

use std::cell::{Cell, Ref, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

use crate::base::ids::Db;
use crate::limits::{INPUT_WAITING, OUTPUT_UNSENT, WARM_MAX};
use crate::resp::buffer::Buffer;
use crate::resp::request::second_word;
use crate::server::core::Core;
use crate::server::listen;
use crate::server::requests::Requests;
use crate::server::ring::Ring;
use crate::server::ring::stay::Due;
use crate::server::signal::Found;
use crate::server::socket::{Event, SocketId, Sockets};

/// The sockets of one core, and the tasks that wait for them.
pub struct Net {
    ring: Ring,
    sockets: RefCell<Sockets>,
    places: RefCell<Vec<Option<Rc<Place>>>>,
    next: Cell<u16>,
    /// The connections whose requests have come in this turn, `WARM_MAX` at most.
    arrived: RefCell<Vec<Rc<Place>>>,
}

/// Where the driver leaves what came for one connection.
#[derive(Default)]
struct Place {
    input: RefCell<Vec<u8>>,
    /// The database that its next request is for.
    db: Cell<Db>,
    /// Nothing more comes; an error if the connection broke.
    ended: Cell<bool>,
    broken: Cell<Option<io::Error>>,
    /// A write waits for a client that does not read.
    stuck: Cell<bool>,
    paused: Cell<bool>,
    sent: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

impl Place {
    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Net {
    /// No sockets yet. Needs Linux 6.1.
    pub fn new() -> io::Result<Rc<Net>> {
        let sockets = Sockets::new()?;
        let ring = sockets.ring();
        Ok(Rc::new(Net {
            ring,
            sockets: RefCell::new(sockets),
            places: RefCell::default(),
            next: Cell::new(0),
            arrived: RefCell::default(),
        }))
    }

    /// Where tasks of this core ask its ring for file operations.
    pub fn requests(&self) -> Requests {
        self.ring.requests()
    }

    /// Is there something from the kernel to collect?
    pub fn is_due(&self) -> bool {
        self.ring.is_due()
    }

    /// Accepts on a listening socket; new connections go to `listen::accepted`.
    pub fn listen(&self, listener: OwnedFd) {
        self.sockets.borrow_mut().listen(listener);
    }

    /// The core that takes the next connection.
    pub fn next_core(&self, cores: u16) -> u16 {
        let next = self.next.get();
        self.next.set((next + 1) % cores);
        next
    }

    fn place(&self, id: SocketId) -> Option<Rc<Place>> {
        self.places.borrow().get(id.index()).cloned().flatten()
    }

    /// Hands out what a turn has brought.
    fn dispatch(&self, core: &Rc<Core>) -> Found {
        let mut found = Found::Nothing;
        loop {
            let then = match self.sockets.borrow_mut().next_event() {
                Some(event) => {
                    // Nobody waits for what is done about the others.
                    if matches!(event, Event::Received(..) | Event::Accepted(..)) {
                        found = Found::Something;
                    }
                    self.hand_out(event)
                }
                None => break,
            };
            match then {
                Then::Nothing => {}
                Then::Pause(id) => self.sockets.borrow_mut().pause(id),
                Then::Accept(socket) => listen::accepted(core, socket),
            }
            if self.arrived.borrow().len() == WARM_MAX {
                self.warm(core);
            }
        }
        self.warm(core);
        found
    }

    /// Requests of several connections have come in this turn (see `Core::warm`).
    fn warm(&self, core: &Core) {
        let mut arrived = self.arrived.borrow_mut();
        let Some(db) = arrived.first().map(|place| place.db.get()) else { return };
        let same = arrived.iter().filter(|place| place.db.get() == db);
        let words = same.filter_map(|place| {
            Ref::filter_map(place.input.borrow(), |input| Some(second_word(input)?.0)).ok()
        });
        core.warm(db, words.map(Key));
        arrived.clear();
    }

    fn hand_out(&self, event: Event<'_>) -> Then {
        let (id, place) = match event {
            Event::Received(id, bytes) => {
                let Some(place) = self.place(id) else { return Then::Nothing };
                let mut input = place.input.borrow_mut();
                if input.is_empty() {
                    self.arrived.borrow_mut().push(Rc::clone(&place));
                }
                input.extend_from_slice(&bytes);
                drop(input);
                (id, place)
            }
            Event::Ended(id, error) => {
                let Some(place) = self.place(id) else { return Then::Nothing };
                place.ended.set(true);
                place.broken.set(error);
                (id, place)
            }
            Event::Sent(id) => {
                let Some(place) = self.place(id) else { return Then::Nothing };
                place.sent.set(true);
                (id, place)
            }
            Event::Accepted(_, socket) => return Then::Accept(socket),
            Event::AcceptFailed(_, error) => {
                listen::failed(&error);
                return Then::Nothing;
            }
        };
        place.wake();
        let waiting = place.input.borrow().len();
        if waiting > INPUT_WAITING && !place.paused.replace(true) {
            return Then::Pause(id);
        }
        Then::Nothing
    }
}

/// A key in the input of a connection.
struct Key<'a>(Ref<'a, [u8]>);

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What is left to do when an event has been looked at.
enum Then {
    Nothing,
    Pause(SocketId),
    Accept(OwnedFd),
}

/// The task that is a core's heartbeat: turns of the ring, messages of other cores, events.
pub async fn drive(core: Rc<Core>) {
    let net = Rc::clone(&core.net);
    loop {
        let mail = || core.port.has_mail();
        let soon: Option<&dyn Fn() -> bool> = core.in_conversation().then_some(&mail);
        let work = |waker: &Waker| match net.sockets.borrow().has_notices() || core.port.arm(waker)
        {
            true => Due::Now,
            false => core.pauses.arm(waker),
        };
        let turn = net.ring.turn(soon, work).await;
        turn.expect("a ring that works: without it the core cannot go on");
        core.pauses.begin();
        let found = core.take_in().max(net.dispatch(&core));
        core.pauses.end(found);
    }
}

/// A connected client. Dropped, it closes when what was written has gone; at once if a write
/// was given up because the client does not read.
pub struct Socket {
    net: Rc<Net>,
    id: SocketId,
    place: Rc<Place>,
    peer: String,
    local: String,
    spare: Vec<u8>,
}

impl Socket {
    /// Takes over a connection that another core may have accepted.
    pub fn adopt(net: &Rc<Net>, accepted: OwnedFd) -> io::Result<Socket> {
        let stream = std::net::TcpStream::from(accepted);
        stream.set_nodelay(true)?;
        let text = |address: io::Result<SocketAddr>| {
            address.map_or_else(|_| "?:0".to_owned(), |address| address.to_string())
        };
        let (peer, local) = (text(stream.peer_addr()), text(stream.local_addr()));
        let id = net.sockets.borrow_mut().adopt(stream.into());
        let place = Rc::new(Place::default());
        let mut places = net.places.borrow_mut();
        while places.len() <= id.index() {
            places.push(None);
        }
        if let Some(slot) = places.get_mut(id.index()) {
            *slot = Some(Rc::clone(&place));
        }
        drop(places);
        Ok(Socket { net: Rc::clone(net), id, place, peer, local, spare: Vec::new() })
    }

    /// The client's address.
    pub fn peer(&self) -> String {
        self.peer.clone()
    }

    /// The address that it connected to.
    pub fn local(&self) -> String {
        self.local.clone()
    }

    /// Reads what there is into the buffer; 0 at the end.
    pub async fn read(&mut self, buffer: &mut Buffer) -> io::Result<usize> {
        let read = poll_fn(|context| {
            let mut input = self.place.input.borrow_mut();
            let read = input.len();
            if read > 0 {
                buffer.fill(&input);
                input.clear();
                if input.capacity() > INPUT_WAITING {
                    *input = Vec::new();
                }
                return Poll::Ready(Ok(read));
            }
            if self.place.ended.get() {
                return Poll::Ready(self.place.broken.take().map_or(Ok(0), Err));
            }
            self.place.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await?;
        if self.place.paused.replace(false) {
            self.net.sockets.borrow_mut().resume(self.id);
        }
        Ok(read)
    }

    /// The next request is for this database.
    pub fn expect(&self, db: Db) {
        self.place.db.set(db);
    }

    /// Queues the bytes; says whether the client reads fast enough for more.
    fn queue(&mut self, bytes: &[u8]) -> bool {
        self.spare.extend_from_slice(bytes);
        let mut sockets = self.net.sockets.borrow_mut();
        sockets.send(self.id, &mut self.spare);
        if sockets.unsent(self.id) <= OUTPUT_UNSENT {
            return true;
        }
        self.place.sent.set(false);
        self.place.stuck.set(true);
        sockets.tell_when_sent(self.id);
        false
    }

    /// Hands everything to the kernel's queue; waits only while the client reads too slowly.
    pub async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.queue(bytes) {
            return Ok(());
        }
        poll_fn(|context| {
            if self.place.sent.get() {
                self.place.stuck.set(false);
                return Poll::Ready(Ok(()));
            }
            if self.place.ended.get()
                && let Some(error) = self.place.broken.take()
            {
                return Poll::Ready(Err(error));
            }
            self.place.waker.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(slot) = self.net.places.borrow_mut().get_mut(self.id.index()) {
            *slot = None;
        }
        let mut sockets = self.net.sockets.borrow_mut();
        if self.place.stuck.get() {
            sockets.close(self.id);
        } else {
            sockets.close_when_sent(self.id);
        }
    }
}
