//! File writes through a core's ring, for tasks other than the core's own: a desk where
//! operations wait for the next turn, and the replies that tell their end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs::File;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use crate::server::ring::Operation;

/// A handle for tasks of one core. Dropping a future of it half way is safe: the operation and
/// all it uses stay with the ring until it has ended; only the outcome is lost.
#[derive(Clone, Default)]
pub struct Requests(Rc<Desk>);

#[derive(Default)]
struct Desk {
    queue: RefCell<VecDeque<(Operation, Rc<Reply>)>>,
    sleeping: Cell<Option<Waker>>,
}

/// Where the end of one operation is told.
#[derive(Default)]
pub struct Reply {
    ended: Cell<Option<(io::Result<usize>, Operation)>>,
    waiting: Cell<Option<Waker>>,
}

impl Requests {
    /// Writes the bytes from `start` on at an offset and gives the buffer back. Short writes go on.
    pub async fn write_all_at(
        &self,
        file: &Arc<File>,
        mut bytes: Vec<u8>,
        start: usize,
        offset: u64,
    ) -> io::Result<Vec<u8>> {
        let mut done = start;
        while done < bytes.len() {
            let at = offset + (done - start) as u64;
            let operation = Operation::Write(Arc::clone(file), bytes, done, at);
            let (result, operation) = self.ask(operation).await;
            let Operation::Write(_, back, ..) = operation else { unreachable!("a write") };
            bytes = back;
            match result {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Makes durable what was written before this call (fdatasync).
    pub async fn sync_data(&self, file: &Arc<File>) -> io::Result<()> {
        let (result, _) = self.ask(Operation::Sync(Arc::clone(file))).await;
        result.map(|_| ())
    }

    /// The next operation that waits for the ring.
    pub fn take(&self) -> Option<(Operation, Rc<Reply>)> {
        self.0.queue.borrow_mut().pop_front()
    }

    /// Does nothing wait?
    pub fn is_empty(&self) -> bool {
        self.0.queue.borrow().is_empty()
    }

    /// Keeps the waker for the next operation and says whether there is none yet.
    pub fn wait(&self, waker: &Waker) -> bool {
        self.0.sleeping.set(Some(waker.clone()));
        self.is_empty()
    }

    async fn ask(&self, operation: Operation) -> (io::Result<usize>, Operation) {
        let reply = Rc::new(Reply::default());
        self.0.queue.borrow_mut().push_back((operation, Rc::clone(&reply)));
        if let Some(core) = self.0.sleeping.take() {
            core.wake();
        }
        poll_fn(|context| match reply.ended.take() {
            Some(ended) => Poll::Ready(ended),
            None => {
                reply.waiting.set(Some(context.waker().clone()));
                Poll::Pending
            }
        })
        .await
    }
}

impl Reply {
    /// Tells the end and wakes whoever waits for it.
    pub fn settle(&self, result: io::Result<usize>, operation: Operation) {
        self.ended.set(Some((result, operation)));
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}
