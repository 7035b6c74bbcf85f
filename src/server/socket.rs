//! The connections of one core: bytes in, bytes out, and their end; no meaning.
//!
//! ```text
//!   adopt -> [open] --Ended--> [over: nothing more comes in] --close--> gone
//!              |                                                 ^
//!              +----------- close, close_when_sent --------------+
//! ```
//!
//! Nothing blocks: `send` takes the bytes and the ring sends them as the peer reads. So whoever
//! produces output asks `unsent` and stops (and pauses receiving) above its limit. An id is
//! good until `close`; after it no event names it again.

use std::cell::Ref;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use io_uring::types::Timespec;
use rustix::io::Errno;

use crate::limits::{ACCEPT_RETRY, SEND_SPARE_MAX};
use crate::server::ring::{Arrival, Completion, Operation, Outcome, Ring, Token};

/// Names a connection of one core, and never another one after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    index: u32,
    generation: u32,
}

impl SocketId {
    /// The position in a table of connections: small, and used again after `close`.
    pub fn index(self) -> usize {
        self.index as usize
    }
}

/// What happened on a socket of this core.
#[derive(Debug)]
pub enum Event<'a> {
    /// A listener, as numbered by `listen`, has a new connection.
    Accepted(usize, OwnedFd),
    /// A listener cannot accept (out of descriptors?); it tries again soon.
    AcceptFailed(usize, io::Error),
    /// Bytes came in.
    Received(SocketId, Ref<'a, [u8]>),
    /// Nothing more comes in: the peer has ended its side (no error), or the connection broke.
    /// Said once. Replies may still be sent in the first case.
    Ended(SocketId, Option<io::Error>),
    /// All output has gone, which `tell_when_sent` asked for.
    Sent(SocketId),
}

/// All sockets of one core, on its ring.
pub struct Sockets {
    ring: Ring,
    slots: Vec<Slot>,
    free: Vec<u32>,
    listeners: Vec<Rc<OwnedFd>>,
    /// The buffer of the `Received` event that the caller looks at.
    shown: Option<Arrival>,
    /// Ends that were noticed outside of `next`.
    notices: VecDeque<SocketId>,
}

struct Slot {
    generation: u32,
    socket: Option<Socket>,
}

struct Socket {
    descriptor: Rc<OwnedFd>,
    receiving: Option<Token>,
    sending: Option<Token>,
    /// Bytes of the send under way that have not gone.
    in_flight: usize,
    /// What follows the send under way; without one it is empty, and its memory is a spare.
    queued: Vec<u8>,
    paused: bool,
    /// No more input: the end was told.
    over: bool,
    tell_when_sent: bool,
    closing: Closing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    WhenSent,
    Now,
}

/// What a tag says: the kind of operation, and whose.
#[derive(Clone, Copy)]
enum Tag {
    Accept(usize),
    Retry(usize),
    Receive(u32),
    Send(u32),
}

impl Tag {
    fn pack(self) -> u64 {
        match self {
            Tag::Accept(listener) => (listener as u64) << 2,
            Tag::Retry(listener) => ((listener as u64) << 2) | 1,
            Tag::Receive(index) => (u64::from(index) << 2) | 2,
            Tag::Send(index) => (u64::from(index) << 2) | 3,
        }
    }

    fn unpack(tag: u64) -> Tag {
        let number = tag >> 2;
        match tag & 3 {
            0 => Tag::Accept(number as usize),
            1 => Tag::Retry(number as usize),
            2 => Tag::Receive(number as u32),
            _ => Tag::Send(number as u32),
        }
    }
}

/// An event that does not borrow.
enum Happened {
    Accepted(usize, OwnedFd),
    AcceptFailed(usize, io::Error),
    Received(SocketId, Arrival),
    Ended(SocketId, Option<io::Error>),
    Sent(SocketId),
}

impl Sockets {
    /// No sockets yet, on a new ring. Needs Linux 6.1.
    pub fn new() -> io::Result<Sockets> {
        Ok(Sockets {
            ring: Ring::new()?,
            slots: Vec::new(),
            free: Vec::new(),
            listeners: Vec::new(),
            shown: None,
            notices: VecDeque::new(),
        })
    }

    /// Accepts on a bound, listening socket for ever; returns its number in events.
    pub fn listen(&mut self, listener: OwnedFd) -> usize {
        let number = self.listeners.len();
        self.listeners.push(Rc::new(listener));
        self.accept(number);
        number
    }

    /// Takes a connected socket over and begins to receive.
    pub fn adopt(&mut self, descriptor: OwnedFd) -> SocketId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, socket: None });
            u32::try_from(self.slots.len() - 1).expect("fewer sockets than 2^32")
        });
        let slot = self.slots.get_mut(index as usize).expect("a slot that was free");
        slot.socket = Some(Socket {
            descriptor: Rc::new(descriptor),
            receiving: None,
            sending: None,
            in_flight: 0,
            queued: Vec::new(),
            paused: false,
            over: false,
            tell_when_sent: false,
            closing: Closing::No,
        });
        let id = SocketId { index, generation: slot.generation };
        self.receive(index);
        id
    }

    /// Queues bytes behind what was queued before, and leaves an empty vector (with memory to
    /// use again, if there is). On a connection that broke they are dropped.
    pub fn send(&mut self, id: SocketId, bytes: &mut Vec<u8>) {
        let Some(socket) = self.open(id) else { return bytes.clear() };
        if bytes.is_empty() {
            return;
        }
        if socket.sending.is_some() {
            if socket.queued.is_empty() {
                mem::swap(&mut socket.queued, bytes);
            } else {
                socket.queued.append(bytes);
            }
            return;
        }
        let output = mem::replace(bytes, mem::take(&mut socket.queued));
        self.start_send(id.index, output, 0);
    }

    /// Bytes that were given to `send` and that the kernel has not taken.
    pub fn unsent(&mut self, id: SocketId) -> usize {
        self.open(id).map_or(0, |socket| socket.in_flight + socket.queued.len())
    }

    /// Asks for one `Sent` event when there is nothing unsent any more.
    pub fn tell_when_sent(&mut self, id: SocketId) {
        let Some(socket) = self.open(id) else { return };
        socket.tell_when_sent = true;
        if socket.sending.is_none() {
            self.notices.push_back(id);
        }
    }

    /// Stops receiving. What the kernel has already received may still come.
    pub fn pause(&mut self, id: SocketId) {
        let Some(socket) = self.open(id) else { return };
        if !mem::replace(&mut socket.paused, true)
            && let Some(token) = socket.receiving
        {
            self.ring.cancel(token);
        }
    }

    /// Receives again.
    pub fn resume(&mut self, id: SocketId) {
        let Some(socket) = self.open(id) else { return };
        if mem::replace(&mut socket.paused, false) {
            self.receive(id.index);
        }
    }

    /// Closes at once; what is unsent is dropped. The id is not good any more.
    pub fn close(&mut self, id: SocketId) {
        let Some(socket) = self.open(id) else { return };
        socket.closing = Closing::Now;
        let under_way = [socket.receiving, socket.sending];
        for token in under_way.into_iter().flatten() {
            self.ring.cancel(token);
        }
        self.settle(id.index);
    }

    /// Closes when all output has gone (or the peer breaks the connection). The id is not good
    /// any more, and what still comes in is dropped.
    pub fn close_when_sent(&mut self, id: SocketId) {
        let Some(socket) = self.open(id) else { return };
        if socket.sending.is_none() {
            return self.close(id);
        }
        socket.closing = Closing::WhenSent;
        if let Some(token) = socket.receiving {
            self.ring.cancel(token);
        }
    }

    /// The ring, whose turns bring the events.
    pub fn ring(&self) -> Ring {
        self.ring.clone()
    }

    /// Is there an event that no turn has to bring?
    pub fn has_notices(&self) -> bool {
        !self.notices.is_empty()
    }

    /// The next event of this pass. The bytes of the one before are gone.
    pub fn next_event(&mut self) -> Option<Event<'_>> {
        if let Some(arrival) = self.shown.take() {
            self.ring.give_back(arrival);
        }
        let happened = loop {
            if let Some(happened) = self.notice() {
                break happened;
            }
            let completion = self.ring.completion()?;
            if let Some(happened) = self.digest(completion) {
                break happened;
            }
        };
        Some(match happened {
            Happened::Received(id, arrival) => {
                let arrival = self.shown.insert(arrival);
                Event::Received(id, self.ring.bytes(arrival))
            }
            Happened::Accepted(listener, socket) => Event::Accepted(listener, socket),
            Happened::AcceptFailed(listener, error) => Event::AcceptFailed(listener, error),
            Happened::Ended(id, error) => Event::Ended(id, error),
            Happened::Sent(id) => Event::Sent(id),
        })
    }

    fn notice(&mut self) -> Option<Happened> {
        while let Some(id) = self.notices.pop_front() {
            let Some(socket) = self.open(id) else { continue };
            if socket.sending.is_none() && mem::take(&mut socket.tell_when_sent) {
                return Some(Happened::Sent(id));
            }
        }
        None
    }

    fn digest(&mut self, completion: Completion) -> Option<Happened> {
        let Completion { tag, result, ended } = completion;
        match (Tag::unpack(tag), ended) {
            (Tag::Accept(listener), ended) => self.accepted(listener, result, ended),
            (Tag::Retry(listener), _) => {
                self.accept(listener);
                None
            }
            (Tag::Receive(index), ended) => self.received(index, result, ended),
            (Tag::Send(index), Some(Operation::Send(_, bytes, from))) => {
                self.sent(index, result, bytes, from)
            }
            (Tag::Send(_), _) => unreachable!("a send has one completion"),
        }
    }

    fn accepted(
        &mut self,
        listener: usize,
        result: io::Result<Outcome>,
        ended: Option<Operation>,
    ) -> Option<Happened> {
        let failed = match result {
            Ok(Outcome::Accepted(socket)) => {
                if ended.is_some() {
                    self.accept(listener);
                }
                return Some(Happened::Accepted(listener, socket));
            }
            Ok(_) => unreachable!("an accept yields a socket"),
            Err(error) => error,
        };
        if matches!(failed.kind(), ErrorKind::ConnectionAborted | ErrorKind::Interrupted) {
            self.accept(listener);
            return None;
        }
        let retry = Operation::Wait(Box::new(Timespec::from(ACCEPT_RETRY)));
        self.ring.start(retry, Tag::Retry(listener).pack());
        Some(Happened::AcceptFailed(listener, failed))
    }

    fn received(
        &mut self,
        index: u32,
        result: io::Result<Outcome>,
        ended: Option<Operation>,
    ) -> Option<Happened> {
        let (id, socket) = self.socket(index);
        if ended.is_some() {
            socket.receiving = None;
        }
        if socket.closing != Closing::No {
            if let Ok(Outcome::Received(arrival)) = result {
                self.ring.give_back(arrival);
            }
            self.settle(index);
            return None;
        }
        let error = match result {
            Ok(Outcome::Received(arrival)) => {
                self.receive(index);
                return Some(Happened::Received(id, arrival));
            }
            Ok(_) => None,
            // Paused, or out of buffers, which this pass gives back.
            Err(error) if [Errno::CANCELED, Errno::NOBUFS].iter().any(|&it| is(&error, it)) => {
                self.receive(index);
                return None;
            }
            Err(error) => Some(error),
        };
        self.end(index, error)
    }

    fn sent(
        &mut self,
        index: u32,
        result: io::Result<Outcome>,
        mut bytes: Vec<u8>,
        from: usize,
    ) -> Option<Happened> {
        let (id, socket) = self.socket(index);
        socket.sending = None;
        socket.in_flight = 0;
        if socket.closing == Closing::Now {
            self.settle(index);
            return None;
        }
        let from = match result {
            Ok(Outcome::Count(count)) => from + count,
            Ok(_) => unreachable!("a send yields a count"),
            Err(error) if error.kind() == ErrorKind::Interrupted => from,
            Err(error) => return self.broken(index, error),
        };
        if from < bytes.len() {
            self.start_send(index, bytes, from);
            return None;
        }
        bytes.clear();
        if bytes.capacity() > SEND_SPARE_MAX {
            bytes = Vec::new();
        }
        let more = mem::replace(&mut socket.queued, bytes);
        if !more.is_empty() {
            self.start_send(index, more, 0);
            return None;
        }
        if socket.closing == Closing::WhenSent {
            socket.closing = Closing::Now;
            self.settle(index);
            return None;
        }
        mem::take(&mut socket.tell_when_sent).then_some(Happened::Sent(id))
    }

    /// A send failed: nothing goes out any more, and nothing useful can come in.
    fn broken(&mut self, index: u32, error: io::Error) -> Option<Happened> {
        let (_, socket) = self.socket(index);
        socket.queued = Vec::new();
        if socket.closing == Closing::WhenSent {
            socket.closing = Closing::Now;
            self.settle(index);
            return None;
        }
        self.end(index, Some(error))
    }

    fn end(&mut self, index: u32, error: Option<io::Error>) -> Option<Happened> {
        let (id, socket) = self.socket(index);
        (!mem::replace(&mut socket.over, true)).then_some(Happened::Ended(id, error))
    }

    fn accept(&mut self, listener: usize) {
        let descriptor = Rc::clone(self.listeners.get(listener).expect("a listener's number"));
        self.ring.start(Operation::Accept(descriptor), Tag::Accept(listener).pack());
    }

    /// Arms a socket unless it is armed, or shall not receive.
    fn receive(&mut self, index: u32) {
        let (_, socket) = self.socket(index);
        let idle = socket.receiving.is_none() && socket.closing == Closing::No;
        if idle && !socket.paused && !socket.over {
            let operation = Operation::Receive(Rc::clone(&socket.descriptor));
            let token = self.ring.start(operation, Tag::Receive(index).pack());
            self.socket(index).1.receiving = Some(token);
        }
    }

    fn start_send(&mut self, index: u32, bytes: Vec<u8>, from: usize) {
        let (_, socket) = self.socket(index);
        socket.in_flight = bytes.len() - from;
        let operation = Operation::Send(Rc::clone(&socket.descriptor), bytes, from);
        let token = self.ring.start(operation, Tag::Send(index).pack());
        self.socket(index).1.sending = Some(token);
    }

    /// Frees the slot of a socket that is closing and has nothing under way.
    fn settle(&mut self, index: u32) {
        let slot = self.slots.get_mut(index as usize).expect("a socket's slot");
        let socket = slot.socket.as_ref().expect("a socket that is not gone");
        if socket.closing == Closing::Now && socket.receiving.is_none() && socket.sending.is_none()
        {
            slot.socket = None;
            slot.generation = slot.generation.wrapping_add(1);
            self.free.push(index);
        }
    }

    /// A socket with operations under way, closing or not.
    fn socket(&mut self, index: u32) -> (SocketId, &mut Socket) {
        let slot = self.slots.get_mut(index as usize).expect("a socket's slot");
        let id = SocketId { index, generation: slot.generation };
        (id, slot.socket.as_mut().expect("a socket that is not gone"))
    }

    /// The socket that an id names, unless it was closed.
    fn open(&mut self, id: SocketId) -> Option<&mut Socket> {
        let slot = self.slots.get_mut(id.index())?;
        let socket = slot.socket.as_mut().filter(|_| slot.generation == id.generation)?;
        (socket.closing == Closing::No).then_some(socket)
    }
}

fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

#[cfg(test)]
mod tests;
