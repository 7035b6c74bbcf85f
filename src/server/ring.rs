//! One core's io_uring: operations that own what the kernel uses, completions, and sleep.
//!
//! Why not the runtime's streams: they cost a poll, a receive and a send call for each command
//! of an unpipelined client. Here a connection is armed once (multishot receive into buffers
//! that the kernel picks from a shared pool), the replies of a whole turn are submitted
//! together, and one system call a turn submits, collects and, if there is nothing to do, waits.
//!
//! The ring lives inside a glommio executor. `turn` lets the other tasks of the executor run,
//! then waits in this ring for at most `RING_NAP`; after a nap without any event it waits
//! through glommio instead (for an eventfd that the ring signals), so that timers and the
//! blocking pool are served and an idle core sleeps for good. What glommio itself completes may
//! thus be seen `RING_NAP` late, so the files of the hot path are written through this ring.
//!
//! Invariants, on which every `unsafe` below rests:
//!
//! - Memory handed to the kernel belongs to an `Operation` in `slots` (or to the pool), and is
//!   neither touched, moved nor freed until the completion that ends the operation has been
//!   taken from the queue. (The struct of a `Vec` or `Box` may move; its heap memory may not.)
//! - A descriptor is held by the operations on it, so it is closed after the last of them.
//! - A pool buffer is either the kernel's or an `Arrival`'s, never both.
//! - A ring dropped with operations that did not end leaks what they use.
#![expect(unsafe_code, reason = "entries carry raw pointers; figures in bench-results")]

use std::alloc::{self, Layout};
use std::cell::{Ref, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use glommio::io::BufferedFile;
use io_uring::types::{BufRingEntry, CancelBuilder, Fd, FsyncFlags, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::limits::{
    DISK_WRITE_MAX, RING_BUFFER_BYTES, RING_BUFFERS, RING_ENTRIES, RING_NAP, RING_SPIN,
};
use crate::server::elsewhere;
use crate::server::requests::{Reply, Requests};
use crate::server::ring::stay::{Due, Stay, Until, stay};
use crate::server::signal::yield_once;

/// What the kernel is asked to do, with everything it uses until it is done.
#[derive(Debug)]
pub enum Operation {
    /// Accepts connections until it fails; one completion for each.
    Accept(Rc<OwnedFd>),
    /// Receives into the pool until it fails or the peer ends; one completion for each arrival.
    Receive(Rc<OwnedFd>),
    /// Sends the bytes from a position on; the completion says how many went.
    Send(Rc<OwnedFd>, Vec<u8>, usize),
    /// Writes the bytes from a position on to an offset of a file; perhaps fewer.
    Write(Arc<File>, Vec<u8>, usize, u64),
    /// Makes the written data of a file durable (fdatasync).
    Sync(Arc<File>),
    /// Ends after a while, with an error that means nothing.
    Wait(Box<Timespec>),
    /// Reads what wakers wrote into a pipe.
    Woken(Rc<OwnedFd>, Box<[u8; 64]>),
}

/// What an operation led to.
#[derive(Debug)]
pub enum Outcome {
    /// A new connection.
    Accepted(OwnedFd),
    /// Bytes in a pool buffer; give it back.
    Received(Arrival),
    /// A number of bytes, 0 at the end of a stream.
    Count(usize),
}

/// One event of the completion queue.
#[derive(Debug)]
pub struct Completion {
    /// As given to `start`.
    pub tag: u64,
    /// What happened.
    pub result: io::Result<Outcome>,
    /// The operation itself, if this was its last event.
    pub ended: Option<Operation>,
}

/// Names an operation that has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(u32);

/// A pool buffer with bytes that have arrived. One that is not given back is lost to the pool.
#[derive(Debug)]
pub struct Arrival {
    buffer: u16,
    length: usize,
}

/// A handle of the ring of the core that made it.
#[derive(Clone)]
pub struct Ring(Rc<RefCell<Inner>>);

struct Inner {
    ring: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<Buffers>,
    slots: ManuallyDrop<Vec<Option<Slot>>>,
    free: Vec<u32>,
    /// Entries that found the submission queue full.
    overflow: VecDeque<squeue::Entry>,
    wakes: Rc<OwnedFd>,
    waker: Waker,
    sleeper: Sleeper,
    requests: Requests,
    /// Syncs that the kernel is doing.
    syncing: u32,
    /// When glommio last had its turn.
    served: Instant,
    /// The core's task, while it sleeps through glommio.
    asleep: Option<Waker>,
}

struct Slot {
    operation: Operation,
    owner: Owner,
}

/// Who hears of an operation's events.
enum Owner {
    Caller(u64),
    Request(Rc<Reply>),
    Ring,
}

/// `io_uring_enter`: work off what has ended.
const GETEVENTS: u32 = 1;

/// Cancellations have no slot.
const NO_SLOT: u64 = u64::MAX;

impl Ring {
    /// Makes a ring with its pool. Needs Linux 6.1.
    pub fn new() -> io::Result<Ring> {
        Ok(Ring(Rc::new(RefCell::new(Inner::new()?))))
    }

    /// Queues an operation; it reaches the kernel with the next turn.
    pub fn start(&self, operation: Operation, tag: u64) -> Token {
        self.0.borrow_mut().begin(operation, Owner::Caller(tag))
    }

    /// Asks the kernel to end an operation soon. Its last event comes all the same.
    pub fn cancel(&self, token: Token) {
        self.0.borrow_mut().cancel(token);
    }

    /// The next event, if one has been collected.
    pub fn completion(&self) -> Option<Completion> {
        self.0.borrow_mut().completion()
    }

    /// Is there an event, or something in the kernel that will become one when this thread collects
    /// it? A hint that costs a look into shared memory.
    pub fn is_due(&self) -> bool {
        let mut inner = self.0.borrow_mut();
        inner.has_events() || inner.ring.submission().taskrun()
    }

    /// The bytes of an arrival.
    pub fn bytes(&self, arrival: &Arrival) -> Ref<'_, [u8]> {
        Ref::map(self.0.borrow(), |inner| inner.buffers.bytes(arrival))
    }

    /// Returns a buffer to the pool.
    pub fn give_back(&self, arrival: Arrival) {
        self.0.borrow_mut().buffers.give_back(arrival);
    }

    /// A handle through which other tasks of this core write files.
    pub fn requests(&self) -> Requests {
        self.0.borrow().requests.clone()
    }

    /// Wakes this core out of its sleep, from whatever thread.
    pub fn waker(&self) -> Waker {
        self.0.borrow().waker.clone()
    }

    /// One pass: lets the executor's other tasks run, submits what is queued, collects events.
    /// Returns with events, or because of `work`, or now and then without a reason.
    /// `work` is asked before each wait; it keeps the waker for what comes later. `soon` is
    /// given when something else than an event is likely to come at once: it is asked for
    /// `RING_SPIN` before the core goes to sleep, since waking it up would take as long.
    pub async fn turn(
        &self,
        soon: Option<&dyn Fn() -> bool>,
        mut work: impl FnMut(&Waker) -> Due,
    ) -> io::Result<()> {
        let abroad = elsewhere::expected();
        if abroad || self.0.borrow().served.elapsed() >= RING_NAP {
            // Only an executor without a ready task looks after its own rings and timers at
            // once. (Its preemption timer would do it too, but a short one loses wake-ups in
            // glommio 0.9: one that fires between two checks of the main loop makes the
            // executor sleep although tasks are ready.)
            glommio::timer::sleep(Duration::ZERO).await;
            self.0.borrow_mut().served = Instant::now();
        }
        // Several times, since a task that runs may wake another.
        for _ in 0..YIELDS {
            yield_once().await;
        }
        self.0.borrow_mut().take_requests();
        if let Some(soon) = soon
            && self.0.borrow_mut().spin(soon)?
        {
            return Ok(());
        }
        let waker = self.waker();
        let work = if self.0.borrow_mut().has_events() { Due::Now } else { work(&waker) };
        let syncing = self.0.borrow().syncing;
        match stay(work, syncing) {
            Stay::Pass(until) => return self.0.borrow_mut().enter(until),
            Stay::Nap if !abroad && self.0.borrow_mut().nap()? => return Ok(()),
            Stay::Nap => {}
        }
        self.sleep().await
    }

    /// Waits through glommio for an event or a request of another task.
    async fn sleep(&self) -> io::Result<()> {
        if self.0.borrow_mut().may_sleep()? {
            poll_fn(|context| self.0.borrow_mut().poll_sleep(context)).await;
        }
        self.0.borrow_mut().wake_up()
    }
}

/// How often a turn lets other tasks run before it may wait. The longest chain of wakes that a
/// command takes is: connection, log, connection, and the answer to another core.
const YIELDS: u32 = 4;

impl Inner {
    fn new() -> io::Result<Inner> {
        let mut builder = IoUring::builder();
        // Completions are worked off when this thread asks for them, not in interrupts of it.
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        builder.setup_submit_all().setup_cqsize(RING_ENTRIES * 4);
        let mut ring = builder.build(RING_ENTRIES)?;
        let sleeper = Sleeper::new(&mut ring)?;
        let buffers = Buffers::register(&ring)?;
        let (wakes, signal) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // The ring waits for the reading end only if that blocks.
        rustix::fs::fcntl_setfl(&wakes, OFlags::empty())?;
        let mut ring = Inner {
            ring: ManuallyDrop::new(ring),
            buffers: ManuallyDrop::new(buffers),
            slots: ManuallyDrop::new(Vec::new()),
            free: Vec::new(),
            overflow: VecDeque::new(),
            waker: Waker::from(Arc::new(Signal(signal))),
            wakes: Rc::new(wakes),
            sleeper,
            requests: Requests::default(),
            syncing: 0,
            served: Instant::now(),
            asleep: None,
        };
        ring.listen_to_wakes();
        Ok(ring)
    }

    fn begin(&mut self, mut operation: Operation, owner: Owner) -> Token {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("fewer operations than 2^32")
        });
        let entry = entry_of(&mut operation).user_data(u64::from(index));
        self.syncing += u32::from(matches!(operation, Operation::Sync(_)));
        *self.slot(index) = Some(Slot { operation, owner });
        self.push(entry);
        Token(index)
    }

    /// Asks the kernel to end an operation soon. Its last event comes all the same.
    fn cancel(&mut self, token: Token) {
        assert!(self.slot(token.0).is_some(), "an operation that has not ended");
        let which = CancelBuilder::user_data(u64::from(token.0));
        self.push(opcode::AsyncCancel2::new(which).build().user_data(NO_SLOT));
    }

    /// The next event, if one has been collected.
    fn completion(&mut self) -> Option<Completion> {
        loop {
            let event = self.ring.completion().next()?;
            let index = event.user_data();
            if index == NO_SLOT {
                continue;
            }
            let index = u32::try_from(index).expect("the index of a slot");
            let last = !cqueue::more(event.flags());
            let place = self.slot(index);
            let slot = place.as_ref().expect("an operation that has not ended");
            let result = outcome(&slot.operation, &event);
            if let (Owner::Caller(tag), false) = (&slot.owner, last) {
                return Some(Completion { tag: *tag, result, ended: None });
            }
            assert!(last, "only a caller's operation has several events");
            let Slot { operation, owner } = place.take().expect("seen above");
            self.free.push(index);
            self.syncing -= u32::from(matches!(operation, Operation::Sync(_)));
            match owner {
                Owner::Caller(tag) => {
                    return Some(Completion { tag, result, ended: Some(operation) });
                }
                Owner::Request(reply) => reply.settle(result.map(count), operation),
                Owner::Ring => self.listen_to_wakes(),
            }
        }
    }

    fn has_events(&mut self) -> bool {
        !self.ring.completion().is_empty()
    }

    /// Looks for events and for what is to come `soon`; says whether there is something to do.
    fn spin(&mut self, soon: &dyn Fn() -> bool) -> io::Result<bool> {
        self.enter(Until::Now)?;
        let end = Instant::now() + RING_SPIN;
        loop {
            if soon() || self.has_events() {
                return Ok(true);
            }
            // Work that has ended in the kernel and waits for this thread to collect it.
            if self.ring.submission().taskrun() {
                self.enter(Until::Now)?;
            }
            if Instant::now() >= end {
                return Ok(false);
            }
            // Whoever else wants this processor (a client on the same machine) goes first.
            thread::yield_now();
        }
    }

    /// Waits a little in this ring; says whether there is something to do.
    fn nap(&mut self) -> io::Result<bool> {
        self.enter(Until::Event)?;
        Ok(self.has_events() || !self.requests.is_empty())
    }

    /// Gets ready to be woken through the eventfd; says whether there is nothing to do.
    fn may_sleep(&mut self) -> io::Result<bool> {
        self.ring.completion().enable_eventfd();
        // The eventfd is signalled only when the kernel's list of work was empty. So all that is
        // in the list is worked off first, also what the nap has put off.
        self.enter(Until::Quiet)?;
        Ok(!self.has_events())
    }

    fn poll_sleep(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.requests.wait(context.waker()) || !self.ring.submission().is_empty() {
            return Poll::Ready(());
        }
        self.asleep = Some(context.waker().clone());
        self.sleeper.poll(context)
    }

    fn wake_up(&mut self) -> io::Result<()> {
        self.asleep = None;
        self.ring.completion().disable_eventfd();
        self.take_requests();
        self.enter(Until::Now)
    }

    /// Submits all that is queued and collects events.
    fn enter(&mut self, wait: Until) -> io::Result<()> {
        while let Some(entry) = self.overflow.pop_front() {
            if !self.try_push(&entry) {
                self.overflow.push_front(entry);
                break;
            }
        }
        let (count, length) = wait.bounds();
        let length = Timespec::from(length);
        let result = if count > 0 {
            let args = SubmitArgs::new().timespec(&length);
            self.ring.submitter().submit_with_args(count, &args)
        } else {
            let queued = u32::try_from(self.ring.submission().len()).expect("at most the queue");
            // SAFETY: no argument, and no more entries than were pushed. (The kernel's flag that
            // work waits, on which the crate's `submit` relies, is cleared although a part of
            // the work was put off. So this always asks.)
            unsafe { self.ring.submitter().enter::<()>(queued, 0, GETEVENTS, None) }
        };
        match result {
            Ok(_) => Ok(()),
            // Out of time.
            Err(error) if error.raw_os_error() == Some(Errno::TIME.raw_os_error()) => Ok(()),
            Err(error) => match error.kind() {
                // Interrupted, or full of events that have to be taken first.
                ErrorKind::Interrupted | ErrorKind::ResourceBusy | ErrorKind::WouldBlock => Ok(()),
                _ => Err(error),
            },
        }
    }

    fn push(&mut self, entry: squeue::Entry) {
        // A task that runs while the core's own sleeps (a reply that had waited for the log).
        if let Some(core) = self.asleep.take() {
            core.wake();
        }
        if self.overflow.is_empty() && self.try_push(&entry) {
            return;
        }
        // Full: the kernel takes what is there, or the entry waits for the next pass.
        let submitted = self.ring.submit();
        if submitted.is_err() || !self.overflow.is_empty() || !self.try_push(&entry) {
            self.overflow.push_back(entry);
        }
    }

    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        // SAFETY: what the entry points to belongs to an operation in `slots` (first invariant)
        // or it points to nothing (cancellations).
        unsafe { self.ring.submission().push(entry).is_ok() }
    }

    fn slot(&mut self, index: u32) -> &mut Option<Slot> {
        self.slots.get_mut(index as usize).expect("the index of a slot")
    }

    fn listen_to_wakes(&mut self) {
        let operation = Operation::Woken(Rc::clone(&self.wakes), Box::new([0; 64]));
        self.begin(operation, Owner::Ring);
    }

    fn take_requests(&mut self) {
        while let Some((operation, reply)) = self.requests.take() {
            self.begin(operation, Owner::Request(reply));
        }
    }
}

impl Drop for Inner {
    /// Ends everything and frees it. What does not end soon is leaked: the kernel may still
    /// write to it.
    fn drop(&mut self) {
        let everything = opcode::AsyncCancel2::new(CancelBuilder::any()).build();
        self.push(everything.user_data(NO_SLOT));
        for _ in 0..DROP_NAPS {
            let events: Vec<_> = self.ring.completion().collect();
            for event in events {
                if event.user_data() != NO_SLOT && !cqueue::more(event.flags()) {
                    let index = u32::try_from(event.user_data()).expect("the index of a slot");
                    *self.slot(index) = None;
                }
            }
            if self.slots.iter().all(Option::is_none) && self.overflow.is_empty() {
                // SAFETY: no operation is left, and none of the three is used again.
                unsafe {
                    ManuallyDrop::drop(&mut self.ring);
                    ManuallyDrop::drop(&mut self.slots);
                    ManuallyDrop::drop(&mut self.buffers);
                }
                return;
            }
            if self.enter(Until::Event).is_err() {
                return;
            }
        }
    }
}

/// How many naps a ring that is dropped waits for its last operations.
const DROP_NAPS: u32 = 200;

/// Wakes the core by writing to a pipe that its ring reads. (Not to an eventfd: the kernel puts
/// off a signal of one eventfd, the sleeper's, that is caused by writing to another.)
struct Signal(OwnedFd);

impl Wake for Signal {
    fn wake(self: Arc<Signal>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Signal>) {
        // It fails when the pipe is full of wakes (one is enough) or the core is gone.
        let _ = rustix::io::write(&self.0, &[1]);
    }
}

/// The sleep through glommio: a read, by glommio, of an eventfd that the ring signals while
/// that is enabled. A read that is under way is kept for the next sleep.
enum Sleeper {
    Awake(BufferedFile),
    Asleep(Pin<Box<dyn Future<Output = BufferedFile>>>),
    Between,
}

impl Sleeper {
    fn new(ring: &mut IoUring) -> io::Result<Sleeper> {
        let signalled = eventfd(0, EventfdFlags::CLOEXEC)?;
        ring.submitter().register_eventfd(signalled.as_raw_fd())?;
        ring.completion().disable_eventfd();
        // SAFETY: the descriptor is open, and the file becomes its only owner.
        Ok(Sleeper::Awake(unsafe { BufferedFile::from_raw_fd(signalled.into_raw_fd()) }))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        *self = match mem::replace(self, Sleeper::Between) {
            Sleeper::Awake(file) => Sleeper::Asleep(Box::pin(async move {
                // The word that is read, or why it could not be, changes nothing.
                let _ = file.read_at(0, 8).await;
                file
            })),
            asleep => asleep,
        };
        let Sleeper::Asleep(read) = self else { return Poll::Ready(()) };
        match read.as_mut().poll(context) {
            Poll::Ready(file) => {
                *self = Sleeper::Awake(file);
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

/// The entry that asks for an operation. Its pointers are good for as long as the operation
/// lives (moved or not) and is not changed.
fn entry_of(operation: &mut Operation) -> squeue::Entry {
    match operation {
        Operation::Accept(listener) => {
            // SOCK_CLOEXEC has the value of O_CLOEXEC.
            let flags = OFlags::CLOEXEC.bits().cast_signed();
            opcode::AcceptMulti::new(fd(&**listener)).flags(flags).build()
        }
        Operation::Receive(socket) => opcode::RecvMulti::new(fd(&**socket), POOL).build(),
        Operation::Send(socket, bytes, from) => {
            let (start, length) = rest(bytes, *from);
            opcode::Send::new(fd(&**socket), start, length).flags(MSG_NOSIGNAL).build()
        }
        Operation::Write(file, bytes, from, offset) => {
            let (start, length) = rest(bytes, *from);
            opcode::Write::new(fd(&**file), start, length).offset(*offset).build()
        }
        Operation::Sync(file) => {
            opcode::Fsync::new(fd(&**file)).flags(FsyncFlags::DATASYNC).build()
        }
        Operation::Wait(length) => opcode::Timeout::new(&raw const **length).build(),
        Operation::Woken(source, word) => {
            opcode::Read::new(fd(&**source), word.as_mut_ptr(), 64).build()
        }
    }
}

/// Linux: a peer that is gone is an error, not a signal.
const MSG_NOSIGNAL: i32 = 0x4000;

fn fd(of: &impl AsRawFd) -> Fd {
    Fd(of.as_raw_fd())
}

/// Start and length of what is left, at most one write.
fn rest(bytes: &[u8], from: usize) -> (*const u8, u32) {
    let rest = bytes.get(from..).expect("a position in the bytes");
    let length = rest.len().min(DISK_WRITE_MAX);
    (rest.as_ptr(), u32::try_from(length).expect("a write below 4 GiB"))
}

fn outcome(operation: &Operation, event: &cqueue::Entry) -> io::Result<Outcome> {
    let Ok(number) = usize::try_from(event.result()) else {
        return Err(io::Error::from_raw_os_error(-event.result()));
    };
    Ok(match operation {
        Operation::Accept(_) => {
            // SAFETY: the kernel has just made this descriptor for us, once.
            Outcome::Accepted(unsafe { OwnedFd::from_raw_fd(event.result()) })
        }
        Operation::Receive(_) => match cqueue::buffer_select(event.flags()) {
            Some(buffer) => Outcome::Received(Arrival { buffer, length: number }),
            None => Outcome::Count(number),
        },
        _ => Outcome::Count(number),
    })
}

fn count(outcome: Outcome) -> usize {
    if let Outcome::Count(count) = outcome { count } else { 0 }
}

/// The name of the pool in entries.
const POOL: u16 = 0;

/// The pool of receive buffers, and the ring of entries through which the kernel gets them.
struct Buffers {
    entries: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
}

impl Buffers {
    fn register(ring: &IoUring) -> io::Result<Buffers> {
        // SAFETY: neither layout is empty.
        let (entries, memory) = unsafe {
            (alloc::alloc_zeroed(Self::entries_layout()), alloc::alloc(Self::memory_layout()))
        };
        if entries.is_null() || memory.is_null() {
            alloc::handle_alloc_error(Self::memory_layout());
        }
        let mut buffers = Buffers { entries: entries.cast(), memory, tail: 0 };
        // SAFETY: the entries are page-aligned, as many as said, zeroed, and freed only after
        // the ring (see `Inner::drop`).
        unsafe {
            let address = buffers.entries as u64;
            ring.submitter().register_buf_ring_with_flags(address, RING_BUFFERS, POOL, 0)?;
        }
        for buffer in 0..RING_BUFFERS {
            buffers.give_back(Arrival { buffer, length: 0 });
        }
        Ok(buffers)
    }

    fn bytes(&self, arrival: &Arrival) -> &[u8] {
        assert!(arrival.buffer < RING_BUFFERS && arrival.length <= RING_BUFFER_BYTES);
        // SAFETY: the buffer is inside the pool, and it is the arrival's, so the kernel has
        // written this many bytes of it and does not touch it now.
        unsafe { slice::from_raw_parts(self.address(arrival.buffer), arrival.length) }
    }

    fn give_back(&mut self, arrival: Arrival) {
        let index = usize::from(self.tail & (RING_BUFFERS - 1));
        let address = self.address(arrival.buffer) as u64;
        // SAFETY: the index is below the number of entries. The kernel reads an entry only
        // after the tail has passed it, which the release store makes it do last. There are as
        // many entries as buffers, so this one is not in use.
        unsafe {
            let entry = &mut *self.entries.add(index);
            entry.set_addr(address);
            entry.set_len(RING_BUFFER_BYTES as u32);
            entry.set_bid(arrival.buffer);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    fn address(&self, buffer: u16) -> *mut u8 {
        self.memory.wrapping_add(usize::from(buffer) * RING_BUFFER_BYTES)
    }

    fn entries_layout() -> Layout {
        let size = size_of::<BufRingEntry>() * usize::from(RING_BUFFERS);
        Layout::from_size_align(size, PAGE).expect("a layout of constants")
    }

    fn memory_layout() -> Layout {
        let size = RING_BUFFER_BYTES * usize::from(RING_BUFFERS);
        Layout::from_size_align(size, PAGE).expect("a layout of constants")
    }
}

const PAGE: usize = 4096;

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: allocated in `register` with these layouts; the ring is gone.
        unsafe {
            alloc::dealloc(self.entries.cast(), Self::entries_layout());
            alloc::dealloc(self.memory, Self::memory_layout());
        }
    }
}

pub mod stay;
#[cfg(test)]
mod tests;
