//! Runs single commands and local transactions: the handler, its reply, its effect to the journal.

use crate::base::ids::{Db, Lsn};
use crate::base::mutant::Mutant;
use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::events::Cause;
use crate::commands::order::{Item, Tracker, Voice};
use crate::commands::session::Watched;
use crate::commands::spec::{Command, Flags, KeySpec};
use crate::commands::table;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};
use crate::shard::journal::{Group, note};
use crate::shard::locks::Claim;
use crate::shard::shard::{Shard, Writes};

/// One command as it reaches a shard.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its row.
    pub command: &'static Command,
    /// Its arguments, the name first.
    pub args: Args<'a>,
    /// The database it was sent to.
    pub db: Db,
    /// The protocol of its reply.
    pub proto: Proto,
    /// Whose it is, if that session tracks.
    pub tracker: Option<Tracker>,
}

impl<'a> Request<'a> {
    /// The request that an item stands for.
    pub fn of(item: &'a Item, proto: Proto) -> Request<'a> {
        let (command, args, db) = (item.command, item.args.args(), item.db);
        Request { command, args, db, proto, tracker: None }
    }

    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = (Db, &'a [u8])> + use<'a> {
        let (args, db) = (self.args, self.db);
        table::keys(self.command, args).map(move |at| (db, args.at(at)))
    }
}

impl Shard {
    /// The claim that a command has to line up with, if a transaction stands in its way.
    pub fn obstacle(&self, request: Request<'_>) -> Option<Claim> {
        if self.locks.is_idle() {
            return None;
        }
        let claim = match request.command.keys {
            KeySpec::None => Claim::whole(),
            _ => self.locks.claim(request.keys()),
        };
        (!self.locks.is_free(&claim)).then_some(claim)
    }

    /// As `obstacle`, for a transaction on this shard alone.
    pub fn obstacle_to_all(&self, items: &[Item], watched: &[Watched]) -> Option<Claim> {
        if self.locks.is_idle() {
            return None;
        }
        let claim = self.claim_of(items, watched);
        (!self.locks.is_free(&claim)).then_some(claim)
    }

    fn claim_of(&self, items: &[Item], watched: &[Watched]) -> Claim {
        if items.iter().any(|item| matches!(item.command.keys, KeySpec::None)) {
            return Claim::whole();
        }
        let keys = items.iter().flat_map(|item| Request::of(item, Proto::Two).keys());
        self.locks.claim(keys.chain(watched.iter().map(|watch| (watch.db, &watch.key[..]))))
    }

    /// Runs one command and appends its reply to `out`; returns the effect that the reply depends
    /// on: it may leave when the gate releases that.
    pub fn run(&mut self, request: Request<'_>, out: &mut Vec<u8>) -> Lsn {
        let effect = self.handle(request, out);
        let requires = self.keep(effect, request);
        self.serve();
        requires
    }

    /// Logs what a command has left; what its reply depends on.
    pub(in crate::shard) fn keep(&mut self, effect: Effect, request: Request<'_>) -> Lsn {
        if !self.journal.append_effect(effect, request.args, request.db) {
            if Mutant::HastyRead.is_on() {
                return Lsn(0);
            }
            return self.keys.observed();
        }
        self.changes += 1;
        self.journal.last()
    }

    /// Runs a transaction whose keys are all here, as one. Returns false, having done nothing, when
    /// a watched key has changed; otherwise the replies of all items are in `out`.
    pub fn run_all(
        &mut self,
        items: &[Item],
        watched: &[Watched],
        (proto, tracker): (Proto, Option<Tracker>),
        out: &mut Vec<u8>,
    ) -> (bool, Lsn) {
        self.keys.begin(self.now, self.journal.next());
        if !self.unchanged(watched) {
            return (false, self.keys.observed());
        }
        let mut seen = self.keys.observed();
        let mut group = Group::new();
        for item in items {
            let request = Request { tracker, ..Request::of(item, proto) };
            let effect = self.handle(request, out);
            seen = seen.max(self.keys.observed());
            note(&mut group, effect, request.args, request.db);
        }
        if group.is_empty() {
            self.serve();
            return (true, seen);
        }
        self.journal.append_group(&group);
        self.changes += group.len() as u64;
        let keys =
            items.iter().flat_map(|item| Request::of(item, proto).keys()).map(|(_, key)| key);
        self.mark(keys, items.iter().any(|item| matches!(item.command.keys, KeySpec::None)));
        let last = self.journal.last();
        self.serve();
        (true, last)
    }

    /// What was written under an lsn that was only guessed has the last one given out.
    pub(in crate::shard) fn mark<'k>(&mut self, keys: impl Iterator<Item = &'k [u8]>, whole: bool) {
        self.keys.begin(self.now, self.journal.last());
        if whole {
            self.keys.mark_all();
        }
        keys.for_each(|key| self.keys.mark(key));
    }

    /// Keys that a write found expired, and removed, are logged at once and by themselves: that
    /// they are gone is true whatever becomes of the write.
    fn log_expired(&mut self) {
        while let Some((db, key)) = self.keys.take_expired() {
            self.counters.expired_keys += 1;
            self.journal.append(OwnedArgs::of(&[b"DEL", &key]).args(), db);
        }
    }

    /// Have all watched keys stayed as they were?
    pub(in crate::shard) fn unchanged(&mut self, watched: &[Watched]) -> bool {
        watched.iter().all(|watch| self.keys.unchanged(watch.db, &watch.key, watch.version))
    }

    /// Refuses a write while writes are refused; runs any other command.
    pub(in crate::shard) fn handle(&mut self, request: Request<'_>, out: &mut Vec<u8>) -> Effect {
        if let Writes::Refused(error) = &self.writes
            && request.command.flags.has(Flags::WRITE)
        {
            self.keys.begin(self.now, self.journal.next());
            Reply::new(out, request.proto).error(error);
            self.counters.rejected(request.command.name);
            return Effect::Nothing;
        }
        self.perform(request, Voice::Loud, out)
    }

    /// The handler itself: its reply is in `out`, its effect is returned and not yet logged. A
    /// transaction over several shards comes here past the refusal: it was refused at its claim or
    /// not at all. If the log broke since, refusing it on the shards that know already, and not on
    /// those that have run their share, would leave half of it for the checkpoint that heals.
    pub(in crate::shard) fn perform(
        &mut self,
        request: Request<'_>,
        voice: Voice,
        out: &mut Vec<u8>,
    ) -> Effect {
        let mut reply = Reply::new(out, request.proto);
        let Some(handler) = request.command.on_keys() else {
            reply.error(&Error::err("command is not allowed here"));
            return Effect::Nothing;
        };
        self.keys.begin(self.now, self.journal.next());
        if self.keys.has_notes() {
            // Of looks at keys that belong to no command.
            self.keys.drop_notes();
        }
        let mut call = Call {
            keys: &mut self.keys,
            db: request.db,
            args: request.args,
            reply,
            now: self.now,
            prng: &mut self.prng,
        };
        let effect = handler(&mut call).unwrap_or_else(|error| {
            call.reply.error(&error);
            Effect::Nothing
        });
        if request.command.flags.has(Flags::READONLY) {
            let lookups = self.keys.lookups();
            self.counters.keyspace_hits += u64::from(lookups.hits);
            self.counters.keyspace_misses += u64::from(lookups.misses);
        }
        self.log_expired();
        if self.keys.has_notes() {
            let (name, args) = (request.command.name, request.args);
            let cause = Cause::Command { name, args, effect: &effect };
            self.digest(cause, request.tracker, voice);
        }
        // Only now: what PFCOUNT keeps of its answer does not make that answer stale.
        self.remember_reader(request);
        effect
    }

    /// Runs a command of the log again: nothing expires, nothing is logged, nobody is answered.
    /// The commands of a log are resolved ones; an error is a damaged or foreign log.
    pub fn replay(&mut self, args: Args<'_>, db: Db, scratch: &mut Vec<u8>) -> Result<(), String> {
        let command = table::resolve(args).map_err(|error| error.to_string())?;
        let Some(handler) = command.on_keys() else {
            return Err(format!("'{}' is not a command over keys", command.name));
        };
        self.keys.begin(Millis::REPLAY, Lsn(0));
        scratch.clear();
        let mut call = Call {
            keys: &mut self.keys,
            db,
            args,
            reply: Reply::new(scratch, Proto::Two),
            now: Millis::REPLAY,
            prng: &mut self.prng,
        };
        let ran = handler(&mut call).map(|_| ()).map_err(|error| error.to_string());
        // Nobody hears of what is only done again.
        self.keys.drop_notes();
        ran
    }
}
