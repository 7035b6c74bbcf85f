//! Commands of a session that cannot simply be run at once on one shard: those that span shards,
//! those that wait for a transaction, and EXEC.

use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::base::ids::{Db, ShardId};
use crate::commands::order::Item;
use crate::commands::session::{Queued, Shell, Watched};
use crate::commands::spec::{Command, Flags, Run};
use crate::commands::table;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::{Reply, elements, is_error};
use crate::router::plan::{CURSOR_BITS, Route, global_cursor, local_cursor};
use crate::router::program::{Program, home};
use crate::router::slot::shard_of;
use crate::server::calls::Arrival;
use crate::server::connection::Connection;
use crate::server::core::Group;
use crate::server::meter::Last;
use crate::server::tally;
use crate::server::transact::{Ended, transact};
use crate::shard::execute::Request;
use crate::shard::gate::Release;

/// Keys that DEBUG POPULATE makes before it lets others run.
const POPULATE_BATCH: u64 = 256;

impl Connection {
    /// Carries out one command that spans shards or has to wait.
    pub(in crate::server) async fn across(&mut self, route: Route, item: Item) {
        match route {
            Route::One(shard) if shard == self.core.id => self.in_turn(item).await,
            Route::One(shard) => {
                self.send_one(shard, &item);
                self.collect().await;
            }
            Route::Cursor(shard) => self.cursor(shard, item).await,
            Route::Session => {}
            Route::Split(_) | Route::All(_) | Route::Gather => self.program(item).await,
        }
    }

    fn send_one(&mut self, shard: ShardId, item: &Item) {
        let proto = self.client.session.borrow().proto;
        self.send_away(shard, (proto, self.tracker), (item.command, item.args.args(), item.db));
    }

    /// Runs a command on the own shard, after the transactions that stand in its way.
    async fn in_turn(&mut self, item: Item) {
        let proto = self.client.session.borrow().proto;
        let request = Request { tracker: self.tracker, ..Request::of(&item, proto) };
        loop {
            if let Ok(()) = self.here(request, Last::Yes) {
                return;
            }
            let claim = self.core.shard.borrow().obstacle(request);
            let Some(claim) = claim else { continue };
            let ticket = self.core.line_up(claim).await;
            self.core.clock.start_turn();
            self.resume_tally();
            let start = self.pipeline.out.len();
            let out = &mut self.pipeline.out;
            let requires = self.core.run(|shard| shard.run(request, out));
            self.core.step_aside(ticket);
            self.ran(request, start, requires, Last::Yes);
            return;
        }
    }

    /// SCAN: the cursor names the shard; the shard gets its own part of it.
    async fn cursor(&mut self, shard: ShardId, item: Item) {
        let mut args = OwnedArgs::default();
        for (at, arg) in item.args.args().iter().enumerate() {
            match (at, local_cursor(arg)) {
                (1, Some(local)) => args.push(local.to_string().as_bytes()),
                _ => args.push(arg),
            }
        }
        let item = Item { args, ..item };
        let start = self.pipeline.out.len();
        if shard == self.core.id {
            self.in_turn(item).await;
        } else {
            self.send_one(shard, &item);
            self.collect().await;
        }
        self.name_shard(start, shard);
    }

    /// Puts the shard into the cursor of a SCAN reply that begins at `start`. The reply's debt to
    /// the log is that of its last byte, so it moves with it.
    fn name_shard(&mut self, start: usize, shard: ShardId) {
        let reply = self.pipeline.out.get(start..).unwrap_or_default();
        let Some(rest) = reply.strip_prefix(b"*2\r\n$") else { return };
        let Some(line) = memchr::memchr(b'\n', rest) else { return };
        let digits = rest.get(line + 1..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\r', digits) else { return };
        let local = digits.get(..end).and_then(local_cursor).unwrap_or_default();
        debug_assert!(local < 1 << CURSOR_BITS);
        let tail = digits.get(end + 2..).unwrap_or_default().to_vec();
        let cursor = global_cursor(local, shard, self.core.shards).to_string();
        let requires = self.pipeline.requires_from(start);
        self.pipeline.take_back(start);
        let out = &mut self.pipeline.out;
        out.extend_from_slice(b"*2\r\n");
        let proto = self.client.session.borrow().proto;
        Reply::new(out, proto).bulk(cursor.as_bytes());
        out.extend_from_slice(&tail);
        self.owe(start, requires);
    }

    async fn program(&mut self, item: Item) {
        let proto = self.client.session.borrow().proto;
        let items = [item];
        let began = Instant::now();
        let mut program = Program::new(items.to_vec(), Vec::new(), self.core.id, self.core.shards);
        program.tracker = self.tracker;
        let replies = match transact(&self.core, self.call, proto, program).await {
            Ended::Replies(replies) => replies,
            Ended::Refused(why) => return self.error(&why),
            Ended::Changed => unreachable!("nothing was watched"),
        };
        self.count_across(&items, &replies, began);
        replies.iter().for_each(|reply| self.pipeline.out.extend_from_slice(reply));
    }

    /// Counts commands that ran over several shards, with the time that the client waited.
    fn count_across(&self, items: &[Item], replies: &[Vec<u8>], began: Instant) {
        let nanos = began.elapsed().as_nanos() as u64 / items.len().max(1) as u64;
        for (item, reply) in items.iter().zip(replies) {
            if is_error(reply) {
                self.core.shard.borrow_mut().counters.error(&tally::error_line(reply));
            }
            self.count_waited(item.command, item.args.args(), nanos, reply);
        }
    }

    /// Counts a command that took so long, waiting included, and answered `reply`.
    fn count_waited(&self, command: &'static Command, args: Args<'_>, nanos: u64, reply: &[u8]) {
        let end = tally::outcome(reply);
        let took = {
            let counters = &mut self.core.shard.borrow_mut().counters;
            tally::count_waited(command, nanos, counters, end, &self.timing)
        };
        if let Some(took) = took {
            self.note(took, Some(args));
        }
    }

    /// Counts a command that has waited for keys; its reply begins at `start`.
    pub(in crate::server) fn count_blocked(&self, item: &Item, start: usize) {
        let reply = self.pipeline.out.get(start..).unwrap_or_default();
        if is_error(reply) {
            self.count_error(start);
        }
        self.count_waited(item.command, item.args.args(), 0, reply);
    }

    /// EXEC: the queue as one transaction, on one shard or over several.
    pub(in crate::server) async fn exec(&mut self, queue: Vec<Queued>, watched: Vec<Watched>) {
        let queue = self.reexamined(queue);
        if self.core.shared.monitors.load(Ordering::Relaxed) > 0 {
            let runs = queue.iter().filter(|queued| !queued.command.name.is_empty());
            runs.for_each(|queued| self.monitor(queued.args.args()));
            self.monitor(OwnedArgs::of(&[b"exec"]).args());
        }
        let proto = self.client.session.borrow().proto;
        let on_ground = |flags: Flags| flags.has(Flags::ANY_KEYS) || flags.has(Flags::LIBRARIES);
        if queue.iter().any(|queued| on_ground(queued.command.flags)) {
            return self.exec_with_scripts(queue, watched).await;
        }
        let items = self.items_of(&queue);
        let (me, shards) = (self.core.id, self.core.shards);
        let tracker = queue.first().and_then(|queued| self.track_command(queued.command));
        let ended = match home(&items, &watched, me, shards) {
            _ if items.is_empty() && watched.is_empty() => Ended::Replies(Vec::new()),
            Some(shard) => {
                let group = Group { items, watched: watched.clone(), proto, tracker };
                self.core.send_group(shard, self.call, group);
                self.group_ran().await
            }
            None => {
                let began = Instant::now();
                let mut program = Program::new(items.clone(), watched.clone(), me, shards);
                program.tracker = tracker;
                let ended = transact(&self.core, self.call, proto, program).await;
                if let Ended::Replies(replies) = &ended {
                    self.count_across(&items, replies, began);
                }
                ended
            }
        };
        self.unwatch(watched).await;
        match ended {
            Ended::Replies(replies) => self.write_exec(queue, replies).await,
            Ended::Changed => Reply::new(&mut self.pipeline.out, proto).null_array(),
            Ended::Refused(why) => self.error(&why),
        }
    }

    async fn group_ran(&mut self) -> Ended {
        let Arrival::Ran { unchanged, mut response } = self.core.calls.next(self.call).await else {
            unreachable!("one transaction is under way");
        };
        self.keep_slow(&mut response);
        match (unchanged, response.refused) {
            // The whole transaction is one unit of the log, and so is its refusal.
            (_, true) => Ended::Refused(self.core.shared.fault()),
            (false, false) => Ended::Changed,
            (true, false) => {
                Ended::Replies(elements(&response.bytes).map(<[u8]>::to_vec).collect())
            }
        }
    }

    /// The queue's commands over keys, each with the database that the SELECTs before it have
    /// chosen.
    fn items_of(&self, queue: &[Queued]) -> Vec<Item> {
        let chosen = self.client.session.borrow().db;
        let mut items = Vec::new();
        for queued in queue {
            match queued.command.run {
                Run::Session(_) if queued.command.name == "select" => {
                    self.session_part(queued, &mut Vec::new());
                }
                Run::Session(_) | Run::Both(..) | Run::Container => {}
                Run::Keys(_) => {
                    let db: Db = self.client.session.borrow().db;
                    items.push(Item { command: queued.command, args: queued.args.clone(), db });
                }
            }
        }
        self.client.session.borrow_mut().db = chosen;
        items
    }

    /// Runs a session command of the queue; what it asks for, if anything.
    pub(in crate::server) fn session_part(
        &self,
        queued: &Queued,
        out: &mut Vec<u8>,
    ) -> Option<crate::commands::session::Ask> {
        let handler = queued.command.in_session()?;
        let facts = self.core.settings.borrow().facts.clone();
        let mut session = self.client.session.borrow_mut();
        let proto = session.proto;
        let mut shell = Shell {
            reply: Reply::new(out, proto),
            session: &mut session,
            args: queued.args.args(),
            now: self.core.clock.now(),
            facts: &facts,
        };
        match handler(&mut shell) {
            Ok(ask) => Some(ask),
            Err(error) => {
                shell.reply.error(&error);
                None
            }
        }
    }

    /// The array of replies: those of the keys are there, the session's are made now, in order.
    async fn write_exec(&mut self, queue: Vec<Queued>, replies: Vec<Vec<u8>>) {
        if queue.iter().any(|queued| queued.command.flags.has(Flags::PUBSUB)) {
            self.take_mail();
        }
        let proto = self.client.session.borrow().proto;
        Reply::new(&mut self.pipeline.out, proto).array(queue.len());
        let mut replies = replies.into_iter();
        for queued in queue {
            if let Run::Keys(_) = queued.command.run {
                self.pipeline.out.extend_from_slice(&replies.next().unwrap_or_default());
                continue;
            }
            let (mut out, began) = (Vec::new(), Instant::now());
            let start = self.pipeline.out.len();
            let ask = self.session_part(&queued, &mut out);
            self.pipeline.out.append(&mut out);
            if is_error(self.pipeline.out.get(start..).unwrap_or_default()) {
                self.count_error(start);
            }
            if let Some(ask) = ask {
                // No session command that is queued can ask for another EXEC.
                Box::pin(self.answer_in_exec(ask)).await;
            }
            let nanos = began.elapsed().as_nanos() as u64;
            let reply = self.pipeline.out.get(start..).unwrap_or_default();
            self.count_waited(queued.command, queued.args.args(), nanos, reply);
        }
    }

    /// DEBUG POPULATE: plain `SET key value NX`, in batches. The first that is refused ends it.
    pub(in crate::server) async fn populate(
        &mut self,
        count: u64,
        prefix: &[u8],
        size: usize,
    ) -> Result<(), Error> {
        let Some(set) = table::find(b"set") else { unreachable!("SET is in the table") };
        let db = self.client.session.borrow().db;
        let before = std::mem::take(&mut self.pipeline);
        for number in 0..count {
            let key = [prefix, b":", number.to_string().as_bytes()].concat();
            let mut value = format!("value:{number}").into_bytes();
            if size > 0 {
                value.resize(size, 0);
            }
            let args = OwnedArgs::of(&[b"SET", &key, &value, b"NX"]);
            let shard = shard_of(&key, self.core.shards);
            let item = Item { command: set, args, db };
            match shard == self.core.id {
                true => self.across(Route::One(shard), item).await,
                false => self.send_one(shard, &item),
            }
            if number % POPULATE_BATCH == 0 {
                let done = self.populated().await;
                if done.is_err() {
                    self.pipeline = before;
                    return done;
                }
                self.core.pauses.rest().await;
                self.core.clock.start_turn();
            }
        }
        let done = self.populated().await;
        self.pipeline = before;
        done
    }

    /// Waits for a batch of DEBUG POPULATE and forgets its replies, all but an error.
    async fn populated(&mut self) -> Result<(), Error> {
        self.collect().await;
        let refused = self.core.released(self.pipeline.requires()).await == Release::Refuse;
        let error = elements(&self.pipeline.out).find_map(|reply| reply.strip_prefix(b"-"));
        let error = error.map(|line| Error::Line(line.trim_ascii_end().to_vec()));
        self.pipeline.clear();
        match (error, refused) {
            (Some(error), _) => Err(error),
            (None, true) => Err(self.core.shared.fault()),
            (None, false) => Ok(()),
        }
    }

    /// Ends watches on their shards.
    pub(in crate::server) async fn unwatch(&mut self, watched: Vec<Watched>) {
        for Watched { db, key, shard, .. } in watched {
            self.core.on(shard, move |core| core.shard.borrow_mut().keys.unwatch(db, &key)).await;
        }
    }
}
