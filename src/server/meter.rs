//! Counts and times what runs for sessions of whatever core, and notes what took long.

use std::time::Instant;

use crate::commands::order::Item;
use crate::commands::redact;
use crate::commands::session::Session;
use crate::commands::spec::{Command, Flags};
use crate::observe::counters::Outcome;
use crate::observe::slowlog::Slow;
use crate::resp::args::Args;
use crate::resp::reply::elements;
use crate::server::core::Core;
use crate::server::tally::{self, Tally, Timing, Took};
use crate::shard::execute::Request;
use crate::shard::shard::Shard;

/// Counts and times the commands of a job.
pub struct Meter<'a> {
    core: &'a Core,
    tally: Tally,
    timing: Timing,
}

impl<'a> Meter<'a> {
    /// A meter that starts now.
    pub fn new(core: &'a Core) -> Meter<'a> {
        Meter { core, tally: Tally::new(Instant::now()), timing: core.timing() }
    }

    /// A command is about to run.
    pub fn before(&mut self, shard: &mut Shard, command: &'static Command, slow: &mut Vec<Slow>) {
        let took = self.tally.before(command, &mut shard.counters, &self.timing);
        slow.extend(took.and_then(|took| self.core.note(&self.timing, took, None)));
    }

    /// A command has run and answered `reply`. With `last` nothing comes after it.
    pub fn after(
        &mut self,
        shard: &mut Shard,
        ran: Request<'_>,
        reply: &[u8],
        last: Last,
    ) -> Option<Slow> {
        self.tally.after(ran.command);
        let end = tally::outcome(reply);
        if end == Outcome::Failed {
            shard.counters.error(&tally::error_line(reply));
        } else if last == Last::No && !self.timing.alone(ran.command, ran.args.len()) {
            return None;
        }
        let took = self.tally.flush(&mut shard.counters, end, &self.timing)?;
        self.core.note(&self.timing, took, Some(ran.args))
    }

    /// The job has to wait: what has run so far is counted.
    pub fn pause(&mut self, shard: &mut Shard, slow: &mut Vec<Slow>) {
        let took = self.tally.flush(&mut shard.counters, Outcome::Done, &self.timing);
        slow.extend(took.and_then(|took| self.core.note(&self.timing, took, None)));
    }

    /// The commands of a transaction have run as one: each gets its share of the time.
    pub fn all(&mut self, shard: &mut Shard, items: &[Item], replies: &[u8], slow: &mut Vec<Slow>) {
        let nanos = self.tally.elapsed() / items.len().max(1) as u64;
        for (item, reply) in items.iter().zip(elements(replies)) {
            let end = tally::outcome(reply);
            if end == Outcome::Failed {
                shard.counters.error(&tally::error_line(reply));
            }
            let counters = &mut shard.counters;
            let took = tally::count_waited(item.command, nanos, counters, end, &self.timing);
            let args = Some(item.args.args());
            slow.extend(took.and_then(|took| self.core.note(&self.timing, took, args)));
        }
    }
}

/// Is a command the last of its envelope?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It is.
    Yes,
    /// Others follow.
    No,
}

impl Core {
    /// Something took notably long here: a latency event, and what the slow log will say of it.
    /// Of a run of commands that were timed together only the name is known.
    pub fn note(&self, timing: &Timing, took: Took, args: Option<Args<'_>>) -> Option<Slow> {
        let Took { command, nanos } = took;
        let second = self.clock.now().0 / 1000;
        let event = if command.flags.has(Flags::FAST) { "fast-command" } else { "command" };
        self.events.borrow_mut().add(event, second, nanos / 1_000_000, timing.monitor);
        let micros = nanos / 1000;
        if command.flags.has(Flags::SKIP_SLOWLOG) || !timing.slow.keeps(micros) {
            return None;
        }
        let words = args.map_or_else(|| vec![command.name.as_bytes()], redact::shown);
        Some(Slow::new(second, micros, words.into_iter()))
    }

    /// A command of one of this core's sessions was slow, wherever it ran.
    pub fn keep_slow(&self, timing: &Timing, session: &Session, slow: Slow) {
        let name = String::from_utf8_lossy(&session.name);
        self.slowlog.borrow_mut().add(timing.slow, slow, &session.peer, &name);
    }

    /// How commands are timed now.
    pub fn timing(&self) -> Timing {
        Timing::of(&self.settings.borrow().config)
    }
}
