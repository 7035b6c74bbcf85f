//! Where scripts run their commands: what is claimed before the first one, how one is run, and how
//! the whole is logged.
//!
//! With one shard the script has that shard to itself and its commands run in place; likewise when
//! it is known that it uses only keys of the own shard (script/reach.rs), which are then all that
//! it claims. Otherwise it is an open transaction (router/transaction.rs): of the one shard that
//! has all keys that it can use, or of all shards whole, since nothing says beforehand which keys
//! it will use. The epoch gate is held either way.

use crate::base::ids::{HOME, Lsn, ShardId};
use crate::commands::order::{Item, Tracker};
use crate::commands::script::{May, Rights};
use crate::commands::session::Watched;
use crate::commands::spec::Flags;
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};
use crate::router::plan::{Route, global_cursor, local_cursor, route};
use crate::router::program::Program;
use crate::router::transaction::{Verdict, Wrote};
use crate::server::connection::Connection;
use crate::server::functions::Unsettled;
use crate::server::scripting::encoded;
use crate::server::transact::{Coordinator, Turn, enter_gate};
use crate::shard::execute::Request;
use crate::shard::locks::{Claim, Ticket};
use crate::shard::scripted::Open;

/// Where the commands of scripts run.
pub(in crate::server) struct Ground {
    place: Place,
    tracker: Option<Tracker>,
    /// Whether a command that writes has been called.
    pub wrote: Wrote,
    /// Changes of the libraries that it has made.
    pub unsettled: Vec<Unsettled>,
}

enum Place {
    /// On the own shard: with all of it, the only one, or with these keys.
    Here(Open, Ticket, Option<Vec<Vec<u8>>>),
    /// On all shards.
    Across(Box<Coordinator>),
}

/// How the way to the ground ended, if it did not lead there.
pub(in crate::server) enum Barred {
    /// A watched key has changed.
    Changed,
    /// The log is broken.
    Refused(Error),
}

impl Ground {
    fn new(place: Place, tracker: Option<Tracker>) -> Ground {
        Ground { place, tracker, wrote: Wrote::Nothing, unsettled: Vec::new() }
    }
}

impl Connection {
    /// Makes the way free for scripts: claims what they may use.
    pub(in crate::server) async fn enter_ground(
        &mut self,
        watched: Vec<Watched>,
        tracker: Option<Tracker>,
        rights: &Rights,
    ) -> Result<Ground, Barred> {
        if self.core.shards > 1 {
            let program = Program::open(watched, self.core.shards);
            return self.enter_across(program, tracker, rights).await;
        }
        let ticket = self.core.line_up(Claim::whole()).await;
        self.enter_here(&watched, ticket, None, tracker).await
    }

    /// The way to some keys of one shard.
    pub(in crate::server) async fn enter_part(
        &mut self,
        shard: ShardId,
        keys: &[Vec<u8>],
        tracker: Option<Tracker>,
        rights: &Rights,
    ) -> Result<Ground, Barred> {
        let db = self.client.session.borrow().db;
        if shard != self.core.id {
            let names = keys.iter().map(|key| (db, key.clone())).collect();
            let program = Program::open_on(shard, names);
            return self.enter_across(program, tracker, rights).await;
        }
        let names = keys.iter().map(|key| (db, key.as_slice()));
        let claim = self.core.shard.borrow().locks.claim(names);
        let ticket = self.core.line_up(claim).await;
        self.enter_here(&[], ticket, Some(keys.to_vec()), tracker).await
    }

    async fn enter_across(
        &mut self,
        mut program: Program,
        tracker: Option<Tracker>,
        rights: &Rights,
    ) -> Result<Ground, Barred> {
        program.writes = rights.may == May::Write && rights.refused.is_none();
        program.tracker = tracker;
        let mut coordinator =
            Box::new(Coordinator::begin(&self.core, self.call, Proto::Two, program));
        match coordinator.turn().await {
            Turn::Asks => {
                coordinator.set_time();
                let place = Place::Across(coordinator);
                Ok(Ground::new(place, tracker))
            }
            Turn::Done(Verdict::Refused(error)) => Err(Barred::Refused(error)),
            Turn::Done(_) => Err(Barred::Changed),
        }
    }

    async fn enter_here(
        &mut self,
        watched: &[Watched],
        ticket: Ticket,
        only: Option<Vec<Vec<u8>>>,
        tracker: Option<Tracker>,
    ) -> Result<Ground, Barred> {
        enter_gate(&self.core).await;
        self.core.clock.start_turn();
        match self.core.run(|shard| shard.open(watched)) {
            Some(open) => {
                let place = Place::Here(open, ticket, only);
                Ok(Ground::new(place, tracker))
            }
            None => {
                self.core.shared.epochs.leave();
                self.core.step_aside(ticket);
                Err(Barred::Changed)
            }
        }
    }

    /// Logs what was done and gives the keys up; what a reply depends on, on the own shard.
    pub(in crate::server) async fn leave_ground(
        &mut self,
        mut ground: Ground,
    ) -> Result<Lsn, Error> {
        let left = match ground.place {
            Place::Here(open, ticket, _) => {
                let requires = self.core.run(|shard| shard.close(open));
                self.core.shared.epochs.leave();
                self.core.step_aside(ticket);
                Ok(requires)
            }
            Place::Across(coordinator) => match coordinator.close(ground.wrote).await {
                Verdict::Refused(error) => Err(error),
                _ => Ok(Lsn(0)),
            },
        };
        if !ground.unsettled.is_empty() {
            // The own change of the libraries is durable now, or nobody is promised anything.
            self.core.released(left.clone().unwrap_or(Lsn(0))).await;
            ground.unsettled.clear();
        }
        self.core.shared.scripts.functions.settled().await;
        left
    }

    /// Leaves the ground, then replies with this or with why nothing was done; where the reply
    /// begins in the first case.
    pub(in crate::server) async fn answer_from(
        &mut self,
        ground: Ground,
        reply: &[u8],
    ) -> Option<usize> {
        let start = self.pipeline.out.len();
        match self.leave_ground(ground).await {
            Err(error) => {
                self.error(&error);
                None
            }
            Ok(requires) => {
                self.pipeline.out.extend_from_slice(reply);
                self.owe(start, requires);
                Some(start)
            }
        }
    }

    /// Runs a command about the libraries on the shard that keeps them.
    pub(in crate::server) async fn call_at_home(
        &mut self,
        ground: &mut Ground,
        item: &Item,
        proto: Proto,
    ) -> Vec<u8> {
        ground.wrote = Wrote::Something;
        match &mut ground.place {
            Place::Here(open, ..) => {
                let mut out = Vec::new();
                let request = Request::of(item, proto);
                self.core.shard.borrow_mut().run_open(open, request, &mut out);
                out
            }
            Place::Across(coordinator) => coordinator.call_on(HOME, item.clone(), proto).await,
        }
    }

    /// Runs a command over keys where scripts run.
    pub(in crate::server) async fn call_on_ground(
        &mut self,
        ground: &mut Ground,
        item: &Item,
        proto: Proto,
    ) -> Vec<u8> {
        if item.command.flags.has(Flags::WRITE) {
            ground.wrote = Wrote::Something;
        }
        match &mut ground.place {
            Place::Here(open, _, only) => {
                let request = Request { tracker: ground.tracker, ..Request::of(item, proto) };
                if let Some(only) = only
                    && !request.keys().all(|(_, key)| only.iter().any(|one| one == key))
                {
                    // `script::reach` has said that this cannot be.
                    return encoded(&Error::err("Script attempted to use an undeclared key"));
                }
                let mut out = Vec::new();
                self.core.shard.borrow_mut().run_open(open, request, &mut out);
                out
            }
            Place::Across(coordinator) => {
                let (me, shards) = (self.core.id, self.core.shards);
                let Route::Cursor(shard) = route(item.command, item.args.args(), me, shards) else {
                    return coordinator.call(item.clone(), proto).await;
                };
                // The shard counts for itself; what the script sees names the shard too.
                let mut args = OwnedArgs::default();
                for (at, arg) in item.args.args().iter().enumerate() {
                    match local_cursor(arg).filter(|_| at == 1) {
                        Some(local) => args.push(local.to_string().as_bytes()),
                        None => args.push(arg),
                    }
                }
                let mut part =
                    coordinator.call_on(shard, Item { args, ..item.clone() }, proto).await;
                globalize(&mut part, proto, |local| global_cursor(local, shard, shards));
                part
            }
        }
    }
}

/// Replaces the cursor in the reply of SCAN.
fn globalize(reply: &mut Vec<u8>, proto: Proto, global: impl FnOnce(u64) -> u64) {
    let Some(rest) = reply.strip_prefix(b"*2\r\n$") else { return };
    let Some(line) = memchr::memchr(b'\n', rest) else { return };
    let digits = rest.get(line + 1..).unwrap_or_default();
    let Some(end) = memchr::memchr(b'\r', digits) else { return };
    let local = digits.get(..end).and_then(local_cursor).unwrap_or_default();
    let tail = digits.get(end + 2..).unwrap_or_default();
    let mut whole = b"*2\r\n".to_vec();
    Reply::new(&mut whole, proto).bulk(global(local).to_string().as_bytes());
    whole.extend_from_slice(tail);
    *reply = whole;
}
