//! A connection that waits for keys: carries what `router::waiting` asks for, and watches the
//! clock, the client's socket, CLIENT UNBLOCK and the mailbox meanwhile. WAIT and CLIENT PAUSE.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_lite::future::or;

use crate::base::ids::ShardId;
use crate::commands::blocking::Patience;
use crate::commands::client::{self, Paused, Unblock};
use crate::commands::order::{Item, Response, Waiter};
use crate::commands::table;
use crate::commands::transaction::{Refused, examine};
use crate::limits::READ_BUFFER_KEEP;
use crate::observe::acl_log::Context;
use crate::observe::counters::Outcome;
use crate::resp::args::Args;
use crate::resp::buffer::Buffer;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::router::plan::Route;
use crate::router::waiting::{Action, End, Event, Visit, Waiting, Why};
use crate::server::calls::{Arrival, Word};
use crate::server::clients::{Heard, Interrupt};
use crate::server::connection::Connection;
use crate::server::core::Core;
use crate::server::stream::Socket;

/// What a connection that waits has heard.
enum Woken {
    Arrival(Arrival),
    Late,
    Read(usize),
    Gone(io::Error),
    Mail,
    Unblocked(Unblock),
    Doubted(Refused),
}

/// Why a client stopped waiting, if it was not for a key or its time.
enum Left {
    Not,
    Gone(io::Error),
    Refused(Refused),
}

impl Connection {
    /// Waits until a key has something for this command, or the client does not want to any more.
    pub(in crate::server) async fn wait_for_keys(
        &mut self,
        socket: &mut Socket,
        buffer: &mut Buffer,
        (item, patience): (Item, Patience),
    ) -> io::Result<()> {
        self.waits += 1;
        let who = Waiter { core: self.core.id, call: self.call.number(), number: self.waits };
        let proto = self.client.session.borrow().proto;
        let kind = (proto, self.tracker);
        let mut waiting = Waiting::new(who, item.clone(), kind, self.core.shards);
        let start = self.pipeline.out.len();
        let (end, left) = self.sit((socket, buffer), &item, &mut waiting, patience).await;
        self.client.end_block();
        self.core.clock.start_turn();
        match (end, &left) {
            (End::Reply(reply), _) => self.pipeline.out.extend_from_slice(&reply),
            (End::GaveUp(Why::Unblocked), _) => self.error(&Error::UNBLOCKED),
            (End::GaveUp(_), Left::Gone(_)) => {}
            (End::GaveUp(_), Left::Refused(refused)) => {
                let error = self.denied(refused.clone());
                self.core.shard.borrow_mut().counters.rejected(item.command.name);
                self.error(&error);
                self.hide(start);
                self.resume_tally();
                return Ok(());
            }
            (End::GaveUp(_), Left::Not) => {
                let mut reply = Reply::new(&mut self.pipeline.out, proto);
                match item.command.name {
                    "brpoplpush" | "blmove" => reply.null(),
                    _ => reply.null_array(),
                }
            }
        }
        self.count_blocked(&item, start);
        self.hide(start);
        self.resume_tally();
        match left {
            Left::Gone(error) => Err(error),
            Left::Not | Left::Refused(_) => Ok(()),
        }
    }

    /// How it ended, and why it was given up, if the client did not want to.
    async fn sit(
        &mut self,
        (socket, buffer): (&mut Socket, &mut Buffer),
        item: &Item,
        waiting: &mut Waiting,
        patience: Patience,
    ) -> (End, Left) {
        let mut timer = pin!(run_out(patience));
        let (mut late, mut left) = (false, Left::Not);
        let mut actions: VecDeque<Action> = waiting.start().into();
        loop {
            while let Some(action) = actions.pop_front() {
                match action {
                    Action::Done(end) => return (end, left),
                    Action::Try(item) => {
                        let reply = self.try_whole(item).await;
                        actions.extend(waiting.on(Event::Tried(reply)));
                    }
                    action => self.carry_out(action),
                }
            }
            if waiting.stands() {
                self.client.begin_block();
            }
            let arrival = async { Woken::Arrival(self.core.calls.next(self.call).await) };
            let clock = async {
                match late {
                    true => pending().await,
                    false => timer.as_mut().await,
                }
                Woken::Late
            };
            let client = self.hear((socket, buffer), item, &left);
            let event = match or(arrival, or(clock, client)).await {
                Woken::Arrival(arrival) => heard(&self.core, arrival),
                Woken::Late => {
                    late = true;
                    Event::GivesUp(Why::Late)
                }
                Woken::Unblocked(Unblock::Timeout) => Event::GivesUp(Why::Late),
                Woken::Unblocked(Unblock::Error) => Event::GivesUp(Why::Unblocked),
                Woken::Doubted(refused) => {
                    left = Left::Refused(refused);
                    Event::GivesUp(Why::Gone)
                }
                Woken::Gone(error) => {
                    left = Left::Gone(error);
                    Event::GivesUp(Why::Gone)
                }
                Woken::Read(read) => {
                    self.count_read(read);
                    continue;
                }
                Woken::Mail => match self.post_out(socket).await {
                    Ok(()) => continue,
                    Err(error) => {
                        left = Left::Gone(error);
                        Event::GivesUp(Why::Gone)
                    }
                },
            };
            actions.extend(waiting.on(event));
        }
    }

    /// What the client's side has to say; nothing once it is gone. The socket is read from, so that
    /// its end is seen, unless the client sends very much.
    async fn hear(
        &self,
        (socket, buffer): (&mut Socket, &mut Buffer),
        item: &Item,
        left: &Left,
    ) -> Woken {
        if !matches!(left, Left::Not) {
            return pending().await;
        }
        loop {
            let read = async {
                match buffer.pending() < READ_BUFFER_KEEP {
                    true => socket.read(buffer).await,
                    false => pending().await,
                }
            };
            return match self.client.unless_unblocked(read).await {
                Ok(Ok(Heard::Done(0))) => Woken::Gone(io::ErrorKind::UnexpectedEof.into()),
                Ok(Ok(Heard::Done(read))) => Woken::Read(read),
                Ok(Ok(Heard::Mail)) => Woken::Mail,
                Ok(Err(error)) => Woken::Gone(error),
                Err(Interrupt::Unblocked(how)) => Woken::Unblocked(how),
                Err(Interrupt::Doubted) => {
                    let session = self.client.session.borrow();
                    let args = item.args.args();
                    match examine(&session, item.command, args, Context::TopLevel) {
                        Ok(()) => continue,
                        Err(refused) => Woken::Doubted(refused),
                    }
                }
            };
        }
    }

    fn carry_out(&self, action: Action) {
        match action {
            Action::Visit(shard, wait) => self.core.send_wait(shard, self.call, wait),
            Action::Forget(shard, who) => at(&self.core, shard, move |core| {
                core.run(|shard| shard.forget(who));
            }),
            Action::Resume(shard, who) => at(&self.core, shard, move |core| {
                core.run(|shard| shard.wait_on(who));
            }),
            Action::Try(_) | Action::Done(_) => {}
        }
    }

    /// Runs the whole command over all its shards; the reply.
    async fn try_whole(&mut self, item: Item) -> Vec<u8> {
        let start = self.pipeline.out.len();
        self.across(Route::Gather, item).await;
        self.pipeline.out.split_off(start)
    }

    /// WAIT: no replica comes. The client is read from meanwhile, so that its end is seen, unless
    /// it sends very much.
    pub(in crate::server) async fn sit_out(
        &mut self,
        socket: &mut Socket,
        buffer: &mut Buffer,
        millis: u64,
    ) -> io::Result<()> {
        let rest = async {
            match millis {
                0 => pending().await,
                _ => glommio::timer::sleep(Duration::from_millis(millis)).await,
            }
        };
        let mut rest = pin!(rest);
        let mut over = false;
        while !over {
            let late = async {
                rest.as_mut().await;
                Ok(None)
            };
            let read = async {
                match buffer.pending() < READ_BUFFER_KEEP {
                    true => socket.read(buffer).await.map(Some),
                    false => pending().await,
                }
            };
            match self.client.unless_killed(or(late, read)).await? {
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(read) => self.count_read(read),
                None => over = true,
            }
        }
        self.core.clock.start_turn();
        let start = self.pipeline.out.len();
        let proto = self.client.session.borrow().proto;
        Reply::new(&mut self.pipeline.out, proto).integer(0);
        self.hide(start);
        Ok(())
    }

    /// CLIENT PAUSE: this request waits until it is over.
    pub(in crate::server) async fn wait_while_paused(&mut self, args: Args<'_>) {
        let Ok(command) = table::resolve(args) else { return };
        loop {
            self.core.clock.start_turn();
            let now = self.core.clock.now();
            let waits = match self.core.shared.paused(now) {
                None => return,
                Some(Paused::All) => true,
                Some(Paused::Writes) => {
                    client::waits_for_writes(&self.client.session.borrow(), command)
                }
            };
            if !waits || self.client.killed.get() {
                return;
            }
            self.flush(Outcome::Done, None);
            self.collect().await;
            glommio::timer::sleep(Duration::from_millis(1)).await;
            self.resume_tally();
        }
    }
}

async fn run_out(patience: Patience) {
    match patience {
        Patience::Endless => pending().await,
        Patience::Millis(millis) => {
            glommio::timer::sleep(Duration::from_millis(millis)).await;
        }
    }
}

/// A function on another core, or here; nobody waits for it.
fn at(core: &Rc<Core>, shard: ShardId, work: impl FnOnce(&Rc<Core>) + Send + 'static) {
    core.post_task(shard, Box::new(work));
}

fn heard(core: &Core, arrival: Arrival) -> Event {
    let reply = |response: Response| match response.refused {
        true => core.refusal(),
        false => response.bytes,
    };
    match arrival {
        Arrival::Visited(Word::Served, response) => Event::Visited(Visit::Served(reply(response))),
        Arrival::Visited(Word::Entered, _) => Event::Visited(Visit::Entered),
        Arrival::Visited(..) => Event::Visited(Visit::Over),
        Arrival::Told(Word::Served, response) => Event::Served(reply(response)),
        Arrival::Told(..) => Event::Invited,
        _ => unreachable!("one command that may wait is under way"),
    }
}
