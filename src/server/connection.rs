//! One connection: bytes in, commands to their shards, replies out when they may leave.
//!
//! What has arrived is executed as a batch: commands for the own shard at once, those for other
//! shards in one envelope each; then the batch waits for the envelopes and for the log, and leaves
//! in one write. A connection asks for more bytes only when its batch has left, so one client can
//! never pile up work or replies (back-pressure).

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::ids::Lsn;
use crate::commands::blocking::{self, Patience};
use crate::commands::order::{Item, Response, Tracker};
use crate::commands::session::{Ask, ReplyMode, Session, Shell};
use crate::commands::spec::{Command, Flags, Run};
use crate::commands::table;
use crate::commands::tracking;
use crate::commands::transaction::{self, Gate, Refused};
use crate::limits::{BATCH_COMMANDS, BATCH_REPLY_BYTES, WARM_MAX};
use crate::observe::counters::Outcome;
use crate::resp::args::Args;
use crate::resp::buffer::Buffer;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::resp::request::{Limits, Parser, Step};
use crate::router::pipeline::Pipeline;
use crate::router::plan::{Route, route};
use crate::server::ask::Asked;
use crate::server::calls::CallId;
use crate::server::clients::{Client, Heard};
use crate::server::core::{Core, Relief};
use crate::server::log;
use crate::server::meter::Last;
use crate::server::settings::request_limits;
use crate::server::shared::Settings;
use crate::server::stream::Socket;
use crate::server::tally::{self, Tally, Timing, Took};
use crate::shard::execute::Request;
use crate::shard::gate::Release;
use crate::shard::shard::Writes;

/// A connection's state between two reads.
pub struct Connection {
    pub(in crate::server) core: Rc<Core>,
    pub(in crate::server) client: Rc<Client>,
    pub(in crate::server) call: CallId,
    pub(in crate::server) pipeline: Pipeline,
    pub(in crate::server) settings: Settings,
    limits: Limits,
    tally: Tally,
    pub(in crate::server) timing: Timing,
    /// Counts the commands that had to wait for keys.
    pub(in crate::server) waits: u64,
    /// What a shard has to know of the session while it runs the present command, if it tracks.
    pub(in crate::server) tracker: Option<Tracker>,
    /// The command that has to wait for keys now.
    blocked: Option<(Item, Patience)>,
    /// The data was larger than maxmemory when this batch began, and nothing may be evicted.
    pub(in crate::server) full: bool,
}

/// What a command leaves to be awaited.
enum Pending {
    /// Nothing: its reply is written, or on its way in an envelope.
    Nothing,
    /// A session command needs the server.
    Ask(Ask),
    /// The command may have to wait for keys.
    Block(Item, Patience),
    /// The command spans shards, or waits for a transaction.
    Across(Route, Item),
}

/// Why a batch has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All whole requests have been executed.
    Drained,
    /// The batch is full; more requests wait.
    Full,
    /// The connection is to be closed after the replies.
    Close,
    /// The client waits for keys: `blocked` says for which.
    Block,
    /// The client waits (WAIT), for so many milliseconds, or for ever at 0.
    Wait(u64),
}

/// Serves a connection until it ends.
pub async fn serve(core: Rc<Core>, client: Rc<Client>, mut socket: Socket) {
    let call = core.calls.open();
    let settings = core.settings.borrow().clone();
    let mut connection = Connection {
        limits: request_limits(&settings, &client.session.borrow()),
        tally: Tally::new(core.clock.turn()),
        timing: Timing::of(&settings.config),
        waits: 0,
        tracker: None,
        blocked: None,
        full: false,
        pipeline: Pipeline::default(),
        core: Rc::clone(&core),
        client: Rc::clone(&client),
        settings,
        call,
    };
    let ended = connection.run(&mut socket).await;
    if let Err(error) = ended
        && error.kind() == io::ErrorKind::InvalidData
    {
        log::line(
            log::Level::Verbose,
            &format!("client {}: {error}", client.session.borrow().peer),
        );
    }
    connection.end_monitor();
    connection.untrack().await;
    let ended = client.session.borrow_mut().subscriptions.end();
    if !ended.is_empty() {
        core.note_subscriptions(client.session.borrow().id, ended);
    }
    let watched = client.session.borrow_mut().end_transaction();
    connection.unwatch(watched).await;
    core.calls.close(call);
}

impl Connection {
    async fn run(&mut self, socket: &mut Socket) -> io::Result<()> {
        let mut buffer = Buffer::new();
        let mut parser = Parser::new();
        loop {
            socket.expect(self.client.session.borrow().db);
            let read = match self.client.unless_mail(socket.read(&mut buffer)).await? {
                Heard::Done(read) => read,
                Heard::Mail => {
                    self.post_out(socket).await?;
                    continue;
                }
            };
            if read == 0 {
                return Ok(());
            }
            self.core.clock.start_turn();
            self.count_read(read);
            self.client.session.borrow_mut().seen = self.core.clock.now();
            loop {
                self.wait_for_device().await;
                self.core.wait_for_readers().await;
                let end = self.batch(&mut buffer, &mut parser).await;
                self.leave(socket).await?;
                while self.pipeline.has_envelopes() {
                    self.collect_part().await;
                    self.leave(socket).await?;
                }
                match end {
                    End::Close => return Ok(()),
                    _ if self.client.killed.get() => return Ok(()),
                    End::Drained => break,
                    End::Block => {
                        if let Some(blocked) = self.blocked.take() {
                            self.wait_for_keys(socket, &mut buffer, blocked).await?;
                        }
                    }
                    End::Wait(millis) => self.sit_out(socket, &mut buffer, millis).await?,
                    End::Full => {
                        self.core.pauses.rest().await;
                        self.core.clock.start_turn();
                    }
                }
            }
            buffer.shrink();
            parser.shrink();
        }
    }

    /// While a snapshot has encoded more than the device takes, nobody adds to it.
    async fn wait_for_device(&self) {
        if !self.core.shard.borrow().snapshot_is_behind() {
            return;
        }
        self.core.shard.borrow_mut().note_waited();
        while self.core.shard.borrow().snapshot_is_behind() {
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
        self.core.clock.start_turn();
    }

    /// Executes requests until none is whole or the batch is full.
    async fn batch(&mut self, buffer: &mut Buffer, parser: &mut Parser) -> End {
        self.refresh();
        self.tally.resume(self.core.clock.turn());
        let mut end = End::Full;
        for number in 0..BATCH_COMMANDS {
            match parser.next(buffer, &self.limits) {
                Step::Incomplete => {
                    end = End::Drained;
                    break;
                }
                Step::Invalid(invalid) => {
                    if let Some(error) = invalid.reply() {
                        self.error(&error);
                    }
                    let peer = &self.client.session.borrow().peer;
                    log::line(log::Level::Verbose, &format!("client {peer}: {}", invalid.log()));
                    end = End::Close;
                    break;
                }
                Step::Request => {}
            }
            let args = parser.args(buffer);
            if self.core.shared.may_be_paused() {
                self.wait_while_paused(args).await;
                self.refresh();
            }
            let last = if buffer.is_last() { Last::Yes } else { Last::No };
            if last == Last::No && number.is_multiple_of(WARM_MAX) {
                self.warm(parser.ahead(buffer));
            }
            let pending = self.dispatch(args, last);
            if !matches!(pending, Pending::Nothing) {
                self.count_input(buffer);
                end = match self.settle(pending, args).await {
                    Asked::Go | Asked::Told => End::Full,
                    Asked::Close => End::Close,
                    Asked::Wait(millis) => End::Wait(millis),
                    Asked::Block => End::Block,
                };
                if end != End::Full {
                    break;
                }
            }
            if self.pipeline.out.len() > BATCH_REPLY_BYTES {
                break;
            }
        }
        self.flush(Outcome::Done, None);
        self.collect_part().await;
        self.count_input(buffer);
        end
    }

    pub(in crate::server) fn count_read(&self, bytes: usize) {
        let mut shard = self.core.shard.borrow_mut();
        shard.counters.net_input_bytes += bytes as u64;
        shard.counters.reads_processed += 1;
    }

    /// Settings or users may have changed, and AUTH may have succeeded.
    fn refresh(&mut self) {
        let current = self.core.settings.borrow();
        let limits = request_limits(&current, &self.client.session.borrow());
        let changed = !Arc::ptr_eq(&current.facts, &self.settings.facts);
        if changed || limits.access != self.limits.access {
            self.settings = current.clone();
            self.timing = Timing::of(&self.settings.config);
            self.limits = limits;
        }
        drop(current);
        self.full = self.core.relieve() == Relief::Full;
    }

    fn count_input(&self, buffer: &Buffer) {
        let mut wire = self.client.wire.borrow_mut();
        wire.query = buffer.pending();
        wire.query_free = buffer.memory() - buffer.pending();
    }

    /// Writes an error reply of the session itself.
    pub(in crate::server) fn error(&mut self, error: &Error) {
        let proto = self.client.session.borrow().proto;
        let start = self.pipeline.out.len();
        Reply::new(&mut self.pipeline.out, proto).error(error);
        self.count_error(start);
    }

    /// Counts an error reply that begins at `start`.
    pub(in crate::server) fn count_error(&self, start: usize) {
        let reply = self.pipeline.out.get(start..).unwrap_or_default();
        self.core.shard.borrow_mut().counters.error(&tally::error_line(reply));
    }

    /// One request: to the own shard at once, into an envelope, or to be awaited.
    fn dispatch(&mut self, args: Args<'_>, last: Last) -> Pending {
        let command = match table::resolve(args) {
            Ok(command) => command,
            Err(error) => {
                let (row, error) = self.unresolved(args, error);
                return self.refuse(row, args, error);
            }
        };
        let mut session = self.client.session.borrow_mut();
        session.command = command.name;
        let gate = transaction::gate(&session, command, args, &self.settings.facts);
        match gate.and_then(|gate| self.admit(&session, command).map(|()| gate)) {
            Ok(Gate::Run) => {}
            Ok(Gate::Queue) => {
                transaction::queue(&mut session, command, args);
                Reply::new(&mut self.pipeline.out, session.proto).simple("QUEUED");
                return Pending::Nothing;
            }
            Err(refused) => {
                drop(session);
                let error = self.denied(refused);
                return self.refuse(Some(command), args, error);
            }
        }
        let (db, proto, tracks) = (session.db, session.proto, session.tracking.is_some());
        drop(session);
        if self.core.shared.monitors.load(Ordering::Relaxed) > 0
            && tracking::is_shown(&self.client.session.borrow(), command)
        {
            self.monitor(args);
        }
        self.tracker = match tracks && matches!(command.run, Run::Keys(_)) {
            true => self.track_command(command),
            false => None,
        };
        if command.flags.has(Flags::BLOCKING)
            && let Some(patience) = blocking::patience(command, args)
        {
            return Pending::Block(Item::of(command, args, db), patience);
        }
        let tracker = self.tracker;
        let route = route(command, args, self.core.id, self.core.shards);
        match route {
            Route::Session => self.in_session(command, args, last),
            Route::One(shard) if shard == self.core.id => {
                let request = Request { command, args, db, proto, tracker };
                match self.here(request, last) {
                    Ok(()) => Pending::Nothing,
                    Err(Busy) => Pending::Across(route, Item::of(command, args, db)),
                }
            }
            Route::One(shard) if self.replies_on() => {
                self.send_away(shard, (proto, tracker), (command, args, db));
                Pending::Nothing
            }
            _ => Pending::Across(route, Item::of(command, args, db)),
        }
    }

    /// Is the server in a state to run or queue this command?
    fn admit(&self, session: &Session, command: &Command) -> Result<(), Refused> {
        if self.core.shared.is_loading() && !command.flags.has(Flags::LOADING) {
            return Err(Error::LOADING.into());
        }
        if !command.flags.has(Flags::ALLOW_BUSY)
            && let Some(busy) = self.busy(self.settings.config.busy_reply_threshold)
        {
            return Err(busy.into());
        }
        if self.full && transaction::needs_memory(session, command) {
            return Err(Error::OOM.into());
        }
        if transaction::brings_write(session, command)
            && let Writes::Refused(error) = &self.core.shard.borrow().writes
        {
            return Err(error.clone().into());
        }
        Ok(())
    }

    fn replies_on(&self) -> bool {
        self.client.session.borrow().replies == ReplyMode::On
    }

    /// Refuses a request before it runs.
    fn refuse(
        &mut self,
        command: Option<&'static Command>,
        args: Args<'_>,
        error: Error,
    ) -> Pending {
        self.flush(Outcome::Done, None);
        let (error, ask) = transaction::refused(&mut self.client.session.borrow_mut(), args, error);
        if let Some(command) = command {
            self.core.shard.borrow_mut().counters.rejected(command.name);
        }
        let start = self.pipeline.out.len();
        self.error(&error);
        match ask {
            Ask::Nothing => {
                self.hide(start);
                Pending::Nothing
            }
            ask => Pending::Ask(ask),
        }
    }

    /// Runs a command on the own shard, unless a transaction stands in its way.
    pub(in crate::server) fn here(&mut self, request: Request<'_>, last: Last) -> Result<(), Busy> {
        if !self.tally.continues(request.command) {
            self.flush(Outcome::Done, None);
        }
        let start = self.pipeline.out.len();
        let out = &mut self.pipeline.out;
        let ran = self.core.run(|shard| match shard.obstacle(request) {
            None => Some(shard.run(request, out)),
            Some(_) => None,
        });
        let Some(requires) = ran else { return Err(Busy) };
        self.ran(request, start, requires, last);
        Ok(())
    }

    /// A command has run on the own shard; its reply begins at `start`.
    pub(in crate::server) fn ran(
        &mut self,
        request: Request<'_>,
        start: usize,
        requires: Lsn,
        last: Last,
    ) {
        self.tally.after(request.command);
        self.owe(start, requires);
        if self.pipeline.out.get(start) == Some(&b'-') {
            self.flush(Outcome::Failed, Some(request.args));
            self.count_error(start);
        } else if last == Last::Yes || self.timing.alone(request.command, request.args.len()) {
            self.flush(Outcome::Done, Some(request.args));
        }
        self.hide(start);
    }

    /// What was waited for is not part of what runs next.
    pub(in crate::server) fn resume_tally(&mut self) {
        self.tally.resume(self.core.clock.turn());
    }

    /// The reply that begins at `start` depends on an effect of the own shard.
    pub(in crate::server) fn owe(&mut self, start: usize, requires: Lsn) {
        if self.core.shard.borrow().gate.release(requires) != Release::Now {
            self.pipeline.owe(start, requires);
        }
    }

    /// CLIENT REPLY: takes the reply back that begins at `start`, if it is not wanted.
    pub(in crate::server) fn hide(&mut self, start: usize) {
        if !self.replies_on() && self.client.session.borrow_mut().reply_hidden() {
            self.pipeline.take_back(start);
        }
    }

    /// Runs a session command.
    fn in_session(&mut self, command: &'static Command, args: Args<'_>, last: Last) -> Pending {
        if !self.tally.continues(command) {
            self.flush(Outcome::Done, None);
        }
        let Some(handler) = command.in_session() else { return Pending::Nothing };
        if command.flags.has(Flags::PUBSUB) {
            // What came to a subscription that ends now comes before its end.
            self.take_mail();
        }
        let start = self.pipeline.out.len();
        let mut session = self.client.session.borrow_mut();
        let proto = session.proto;
        let mut shell = Shell {
            reply: Reply::new(&mut self.pipeline.out, proto),
            session: &mut session,
            args,
            now: self.core.clock.now(),
            facts: &self.settings.facts,
        };
        let asked = handler(&mut shell);
        drop(session);
        self.tally.after(command);
        match asked {
            Ok(Ask::Nothing) => {
                if last == Last::Yes || self.timing.alone(command, args.len()) {
                    self.flush(Outcome::Done, Some(args));
                }
                self.hide(start);
                self.refresh();
                Pending::Nothing
            }
            Ok(ask) => Pending::Ask(ask),
            Err(error) => {
                self.flush(Outcome::Failed, Some(args));
                self.error(&error);
                self.hide(start);
                Pending::Nothing
            }
        }
    }

    /// Awaits what one command needs; everything before it has been carried out by then.
    async fn settle(&mut self, pending: Pending, args: Args<'_>) -> Asked {
        if !matches!(pending, Pending::Ask(_)) {
            self.flush(Outcome::Done, None);
        }
        self.collect().await;
        if self.pipeline.has_envelopes() {
            // Of what this client may leave unread there is too much: `leave` closes it.
            return Asked::Close;
        }
        let start = self.pipeline.out.len();
        let asked = match pending {
            Pending::Nothing => Asked::Go,
            Pending::Ask(ask) => self.answer(ask).await,
            Pending::Across(route, item) => {
                self.across(route, item).await;
                Asked::Go
            }
            Pending::Block(item, patience) => {
                self.blocked = Some((item, patience));
                return Asked::Block;
            }
        };
        self.core.clock.start_turn();
        // What CONFIG SET has changed holds for itself already.
        self.refresh();
        let end = tally::outcome(self.pipeline.out.get(start..).unwrap_or_default());
        self.flush(end, Some(args));
        self.tally.resume(self.core.clock.turn());
        match asked {
            Asked::Wait(_) | Asked::Block => {}
            // Confirmations are messages, which CLIENT REPLY does not concern.
            Asked::Told => _ = self.client.session.borrow_mut().reply_hidden(),
            _ => self.hide(start),
        }
        asked
    }

    /// Counts what has run since the last flush; `args` are those of the last command, if it ran
    /// alone.
    pub(in crate::server) fn flush(&mut self, end: Outcome, args: Option<Args<'_>>) {
        let mut shard = self.core.shard.borrow_mut();
        let Some(took) = self.tally.flush(&mut shard.counters, end, &self.timing) else { return };
        drop(shard);
        self.note(took, args);
    }

    /// Something took notably long.
    pub(in crate::server) fn note(&self, took: Took, args: Option<Args<'_>>) {
        if let Some(slow) = self.core.note(&self.timing, took, args) {
            self.core.keep_slow(&self.timing, &self.client.session.borrow(), slow);
        }
    }

    /// What was slow on another core.
    pub(in crate::server) fn keep_slow(&self, response: &mut Response) {
        for slow in response.slow.drain(..) {
            self.core.keep_slow(&self.timing, &self.client.session.borrow(), slow);
        }
    }
}

/// A transaction stands in the way of a command.
#[derive(Debug)]
pub struct Busy;
