//! The load itself: one thread, many connections, nothing that blocks.
//!
//! Requests of an open loop are due at their times whether or not the server keeps up, and their
//! latency counts from there, so a stall hits every request that was due in it. In a closed loop
//! each connection asks again when it has been answered, and latency counts from the sending.
//!
//! Readiness comes from epoll, one call for all connections, since asking each of fifty sockets
//! costs more than the answers do. Between two due times the thread spins (epoll with a timeout of
//! zero) rather than sleeps: to be woken takes tens of microseconds on a virtual machine, about
//! what is measured. Where generator and server share a core, `Wait::Sleep` leaves it
//! to the server.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::due::Schedule;
use crate::mix::Requests;
use crate::recorder::{Class, Recorder};
use crate::reply::{Reply, Scanner};

/// What makes the next request.
#[derive(Clone, Debug)]
pub enum Pace {
    /// The clock.
    Open(Schedule),
    /// The answer to the last one.
    Closed,
}

/// What the thread does while nothing is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Wait {
    /// It looks again at once: exact, and takes a whole core
    Spin,
    /// It sleeps in the kernel: late by tens of microseconds, and leaves the core to others
    Sleep,
}

/// What is fixed for a load.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server.
    pub address: SocketAddr,
    /// How many connections, at least one.
    pub connections: usize,
    /// Requests sent together on one connection, at least one.
    pub pipeline: u64,
    /// What to do while nothing is due.
    pub wait: Wait,
    /// Requests after which no more are made.
    pub requests_max: u64,
}

/// What a load has come to so far.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Requests that were due or, in a closed loop, made.
    pub issued: u64,
    /// Replies.
    pub answered: u64,
    /// Nulls among them: keys that were not there.
    pub nulls: u64,
    /// Errors among them.
    pub errors: u64,
    /// The first error's text.
    pub first_error: Option<String>,
    /// Nanoseconds in passes of the loop that had something to do.
    pub busy: u64,
}

/// Why a load could not go on.
#[derive(Debug)]
pub enum Broken {
    /// A connection failed or was closed.
    Connection(String),
    /// The server said something that is no reply, or was too far behind.
    Server(String),
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Broken::Connection(why) | Broken::Server(why)) = self;
        f.write_str(why)
    }
}

/// Due times that may wait for a server that does not answer: a minute at 500,000 a second.
const BACKLOG_MAX: u64 = 30_000_000;
/// Bytes made for one connection beyond what its socket takes.
const UNSENT_MAX: usize = 1 << 18;
/// Bytes read at once.
const INPUT_BYTES: usize = 1 << 16;
/// Bits of a due time that say what class its request is of.
const READ_BIT: u64 = 1;

struct Connection {
    stream: TcpStream,
    /// Due times of requests that have not been made into bytes.
    due: VecDeque<u64>,
    /// Due times of requests made, not answered; the lowest bit is the class.
    out: VecDeque<u64>,
    unsent: Vec<u8>,
    sent: usize,
    scanner: Scanner,
    /// Does epoll tell when it takes more?
    blocked: Interest,
    dirty: Dirty,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Interest {
    Read,
    ReadWrite,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dirty {
    No,
    Yes,
}

/// A load in progress.
pub struct Engine {
    settings: Settings,
    pace: Pace,
    requests: Requests,
    connections: Vec<Connection>,
    /// Connections that have something to send.
    dirty: Vec<usize>,
    poll: OwnedFd,
    events: Vec<epoll::Event>,
    input: Vec<u8>,
    begin: Instant,
    turn: usize,
    /// How long the last look waited for something to happen, in nanoseconds.
    slept: u64,
    tally: Tally,
    recorder: Recorder,
}

impl Engine {
    /// Connects, and starts the clock.
    pub fn new(settings: Settings, pace: Pace, requests: Requests) -> Result<Engine, Broken> {
        let failed = |what: &str, error: std::io::Error| {
            Broken::Connection(format!("{}: {what}: {error}", settings.address))
        };
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)
            .map_err(|error| failed("epoll", error.into()))?;
        let mut connections = Vec::new();
        for number in 0..settings.connections {
            let stream = TcpStream::connect_timeout(&settings.address, Duration::from_secs(10))
                .map_err(|error| failed("connect", error))?;
            stream.set_nodelay(true).map_err(|error| failed("nodelay", error))?;
            stream.set_nonblocking(true).map_err(|error| failed("nonblocking", error))?;
            let data = epoll::EventData::new_u64(number as u64);
            epoll::add(&poll, &stream, data, epoll::EventFlags::IN)
                .map_err(|error| failed("epoll", error.into()))?;
            connections.push(Connection {
                stream,
                due: VecDeque::new(),
                out: VecDeque::new(),
                unsent: Vec::new(),
                sent: 0,
                scanner: Scanner::new(),
                blocked: Interest::Read,
                dirty: Dirty::No,
            });
        }
        let events = Vec::with_capacity(connections.len().max(1));
        let mut engine = Engine {
            settings,
            pace,
            requests,
            connections,
            dirty: Vec::new(),
            poll,
            events,
            input: vec![0; INPUT_BYTES],
            begin: Instant::now(),
            turn: 0,
            slept: 0,
            tally: Tally::default(),
            recorder: Recorder::new(),
        };
        if matches!(engine.pace, Pace::Closed) {
            for at in 0..engine.connections.len() {
                engine.ask(at, 0);
            }
        }
        Ok(engine)
    }

    /// What its times are counted from.
    pub fn begin(&self) -> Instant {
        self.begin
    }

    /// Nanoseconds since the start.
    pub fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What has been measured.
    pub fn recorder(&mut self) -> &mut Recorder {
        &mut self.recorder
    }

    /// What has been counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Goes on until this time since the start, or until `requests_max` have been answered.
    pub fn advance(&mut self, until: u64) -> Result<(), Broken> {
        loop {
            let start = self.now();
            if start >= until || self.tally.answered >= self.settings.requests_max {
                return Ok(());
            }
            let issued = self.issue(start, until)?;
            self.flush()?;
            let got = self.receive(until)?;
            if issued + got > 0 {
                self.tally.busy += self.now() - start - self.slept;
            }
        }
    }

    /// Waits for the answers to all that was due, until this time; how many are missing then.
    pub fn drain(&mut self, until: u64) -> Result<u64, Broken> {
        self.settings.requests_max = self.tally.issued;
        while self.tally.answered < self.tally.issued && self.now() < until {
            let next = (self.now() + 10_000_000).min(until);
            self.flush()?;
            self.receive(next)?;
        }
        Ok(self.tally.issued - self.tally.answered)
    }

    /// Hands out what has become due.
    fn issue(&mut self, now: u64, until: u64) -> Result<u64, Broken> {
        let Pace::Open(schedule) = &mut self.pace else { return Ok(0) };
        let mut count = 0;
        while schedule.next() <= now
            && schedule.next() < until
            && self.tally.issued < self.settings.requests_max
        {
            let due = schedule.next() & !READ_BIT;
            schedule.advance();
            let at = self.turn;
            self.turn = if at + 1 == self.connections.len() { 0 } else { at + 1 };
            let Some(connection) = self.connections.get_mut(at) else { break };
            for _ in 0..self.settings.pipeline {
                connection.due.push_back(due);
                self.recorder.issued(now, due);
            }
            mark(connection, at, &mut self.dirty);
            self.tally.issued += self.settings.pipeline;
            count += self.settings.pipeline;
        }
        if self.tally.issued - self.tally.answered > BACKLOG_MAX {
            let why = format!("{BACKLOG_MAX} requests wait: this rate is far beyond the server");
            return Err(Broken::Server(why));
        }
        Ok(count)
    }

    /// One connection's next requests in a closed loop.
    fn ask(&mut self, at: usize, now: u64) {
        let left = self.settings.requests_max.saturating_sub(self.tally.issued);
        let count = self.settings.pipeline.min(left);
        let Some(connection) = self.connections.get_mut(at).filter(|_| count > 0) else { return };
        for _ in 0..count {
            connection.due.push_back(now & !READ_BIT);
            self.recorder.issued(now, now);
        }
        self.tally.issued += count;
        mark(connection, at, &mut self.dirty);
    }

    fn flush(&mut self) -> Result<(), Broken> {
        let mut dirty = std::mem::take(&mut self.dirty);
        for at in dirty.drain(..) {
            self.send(at)?;
        }
        self.dirty = dirty;
        Ok(())
    }

    /// Makes and sends what one connection has to ask, as far as its socket takes it.
    fn send(&mut self, at: usize) -> Result<(), Broken> {
        let Some(connection) = self.connections.get_mut(at) else { return Ok(()) };
        connection.dirty = Dirty::No;
        let wanted = loop {
            while connection.unsent.len() - connection.sent < UNSENT_MAX {
                let Some(due) = connection.due.pop_front() else { break };
                let class = self.requests.push(&mut connection.unsent);
                connection.out.push_back(due | if class == Class::Read { READ_BIT } else { 0 });
            }
            let rest = connection.unsent.get(connection.sent..).unwrap_or_default();
            if rest.is_empty() {
                break Interest::Read;
            }
            match connection.stream.write(rest) {
                Ok(bytes) => connection.sent += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Interest::ReadWrite,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Broken::Connection(format!("sending: {error}"))),
            }
            if connection.sent == connection.unsent.len() {
                connection.unsent.clear();
                connection.sent = 0;
            } else if connection.sent > UNSENT_MAX {
                connection.unsent.drain(..connection.sent);
                connection.sent = 0;
            }
        };
        if wanted != connection.blocked {
            connection.blocked = wanted;
            let flags = match wanted {
                Interest::Read => epoll::EventFlags::IN,
                Interest::ReadWrite => epoll::EventFlags::IN | epoll::EventFlags::OUT,
            };
            let data = epoll::EventData::new_u64(at as u64);
            epoll::modify(&self.poll, &connection.stream, data, flags)
                .map_err(|error| Broken::Connection(format!("epoll: {error}")))?;
        }
        Ok(())
    }

    /// Takes what has come, waiting for it as the settings say; how many replies it was.
    fn receive(&mut self, until: u64) -> Result<u64, Broken> {
        let timeout = self.timeout(until);
        self.events.clear();
        let asleep = self.now();
        match epoll::wait(&self.poll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Broken::Connection(format!("epoll: {error}"))),
        }
        let sleeps = timeout.tv_sec > 0 || timeout.tv_nsec > 0;
        self.slept = if sleeps { self.now() - asleep } else { 0 };
        let events = std::mem::take(&mut self.events);
        let mut count = 0;
        for event in &events {
            let (flags, at) = (event.flags, event.data.u64() as usize);
            if flags.contains(epoll::EventFlags::OUT) {
                self.send(at)?;
            }
            if flags != epoll::EventFlags::OUT {
                count += self.read(at)?;
            }
        }
        self.events = events;
        Ok(count)
    }

    /// How long to sleep when nothing has come.
    fn timeout(&self, until: u64) -> Timespec {
        let next = match &self.pace {
            Pace::Open(_) if self.settings.wait == Wait::Spin => 0,
            Pace::Open(schedule) => schedule.next().min(until),
            // Whatever comes next is an answer: there is nothing to be late for.
            Pace::Closed => until,
        };
        let nanos = next.saturating_sub(self.now()).min(1_000_000_000) as i64;
        Timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 }
    }

    fn read(&mut self, at: usize) -> Result<u64, Broken> {
        let Some(connection) = self.connections.get_mut(at) else { return Ok(0) };
        let got = match connection.stream.read(&mut self.input) {
            Ok(0) => return Err(Broken::Connection("the server closed a connection".to_owned())),
            Ok(got) => got,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(0);
            }
            Err(error) => return Err(Broken::Connection(format!("receiving: {error}"))),
        };
        let now = u64::try_from(self.begin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let (out, recorder, tally) = (&mut connection.out, &mut self.recorder, &mut self.tally);
        let (mut count, mut unasked) = (0, 0);
        let mut take = |reply: Reply| {
            let Some(due) = out.pop_front() else {
                unasked += 1;
                return;
            };
            let class = if due & READ_BIT == 0 { Class::Write } else { Class::Read };
            recorder.answered(now, due & !READ_BIT, class);
            count += 1;
            match reply {
                Reply::Fine => {}
                Reply::Null => tally.nulls += 1,
                Reply::Error(text) => {
                    tally.errors += 1;
                    tally.first_error.get_or_insert(text);
                }
            }
        };
        let bytes = self.input.get(..got).unwrap_or_default();
        connection.scanner.feed(bytes, &mut take).map_err(Broken::Server)?;
        if unasked > 0 {
            return Err(Broken::Server("a reply that nobody asked for".to_owned()));
        }
        let idle = connection.out.is_empty() && connection.due.is_empty();
        self.tally.answered += count;
        if idle && matches!(self.pace, Pace::Closed) {
            self.ask(at, now);
        }
        Ok(count)
    }
}

fn mark(connection: &mut Connection, at: usize, dirty: &mut Vec<usize>) {
    if connection.dirty == Dirty::No {
        connection.dirty = Dirty::Yes;
        dirty.push(at);
    }
}
