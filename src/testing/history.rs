//! What clients asked for, what they were told and in which order it was executed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::base::ids::Lsn;
use crate::router::slot::shard_of;
use crate::testing::model::{Change, Model, Name, Value, Words};

/// One request: a command, or several as MULTI.
#[derive(Clone, Debug)]
pub struct Op {
    /// Who asked.
    pub client: usize,
    /// In which database.
    pub db: u16,
    /// The commands.
    pub commands: Vec<Words>,
    /// When.
    pub invoked: u64,
    /// When it was acknowledged.
    pub acked: Option<u64>,
    /// It was answered, with an acknowledgement or a refusal.
    pub answered: bool,
}

/// An execution.
#[derive(Clone, Debug, Default)]
pub struct Applied {
    /// Of which request.
    pub op: usize,
    /// What it changed.
    pub changes: Vec<Change>,
    /// The executions whose effects it has seen.
    pub seen: BTreeSet<usize>,
    /// Its effect's place in the logs.
    pub at: BTreeMap<usize, Lsn>,
    /// Where it has or will have one.
    pub participants: BTreeSet<usize>,
    /// What the oracle answers.
    pub replies: Vec<Vec<u8>>,
}

/// Everything since the last start.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The requests.
    pub ops: Vec<Op>,
    /// The executions in order.
    pub applied: Vec<Applied>,
    /// The state now.
    pub model: Model,
    /// The state at the start, which is durable.
    pub initial: Model,
    /// What was acknowledged before this moment survives a power cut under `everysec`.
    pub promised: u64,
    by_op: BTreeMap<usize, usize>,
    writers: BTreeMap<Name, usize>,
    clock: u64,
}

/// What a crash may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing that was acknowledged.
    Acknowledged,
    /// A tail of all that was done, behind what was promised.
    Prefix,
}

impl History {
    /// Begins with this state.
    pub fn begin(model: Model) -> History {
        History { initial: model.clone(), model, ..History::default() }
    }

    /// A moment that is after all others so far.
    pub fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A request.
    pub fn invoke(&mut self, client: usize, db: u16, commands: Vec<Words>) -> usize {
        let invoked = self.tick();
        self.ops.push(Op { client, db, commands, invoked, acked: None, answered: false });
        self.ops.len() - 1
    }

    /// The execution of a request, if there was one.
    pub fn of(&mut self, op: usize) -> Option<&mut Applied> {
        let index = *self.by_op.get(&op)?;
        self.applied.get_mut(index)
    }

    /// It is executed now; what it changes.
    pub fn apply(&mut self, op: usize, now: u64) -> Vec<Name> {
        let Op { db, commands, .. } = &self.ops[op];
        let (replies, changes) = self.model.run(now, *db, commands);
        let index = self.applied.len();
        let mut seen = BTreeSet::new();
        for (words, reply) in commands.iter().zip(&replies) {
            for name in names(*db, words, reply) {
                seen.extend(self.writers.get(&name).copied());
            }
        }
        let changed: Vec<Name> = changes.iter().map(|(name, _)| name.clone()).collect();
        for name in &changed {
            self.writers.insert(name.clone(), index);
        }
        self.by_op.insert(op, index);
        self.applied.push(Applied { op, changes, seen, replies, ..Applied::default() });
        changed
    }

    /// The client got these replies; what is wrong with them.
    pub fn acknowledge(&mut self, op: usize, replies: &[Vec<u8>]) -> Result<(), String> {
        let now = self.tick();
        self.ops[op].acked = Some(now);
        self.ops[op].answered = true;
        let Some(applied) = self.of(op) else {
            return Err(format!("request {op} was acknowledged and not executed"));
        };
        if applied.replies != replies {
            let text = |all: &[Vec<u8>]| all.iter().map(|one| short(one)).collect::<Vec<_>>();
            let (expected, found) = (text(&applied.replies), text(replies));
            let op = &self.ops[op];
            return Err(format!("{}: {found:?} instead of {expected:?}", show(op)));
        }
        Ok(())
    }

    /// Judges what a crash has left: for each shard of then the lsn that follows, and the state.
    pub fn judge(&self, next: &[Lsn], found: &Model, now: u64, keeps: Keeps) -> Result<(), String> {
        let shards = next.len() as u16;
        let kept = |applied: &Applied, shard: &usize| {
            applied.at.get(shard).is_some_and(|lsn| next.get(*shard).is_some_and(|n| lsn < n))
        };
        let mut expected = self.initial.clone();
        let mut lost: Vec<bool> = Vec::new();
        for applied in &self.applied {
            let op = &self.ops[applied.op];
            let count = applied.participants.iter().filter(|shard| kept(applied, shard)).count();
            if count != 0 && count != applied.participants.len() {
                return Err(format!(
                    "half a transaction: {} at {:?}, next {next:?}",
                    show(op),
                    applied.at
                ));
            }
            lost.push(count == 0 && !applied.changes.is_empty());
            for change in &applied.changes {
                if kept(applied, &shard_of(&change.0.1, shards).index()) {
                    expected.change(change);
                }
            }
        }
        if expected.alive(now) != found.alive(now) {
            return Err(format!(
                "the state is wrong (next {next:?}):\n  expected {}\n  found    {}",
                show_state(&expected, now),
                show_state(found, now)
            ));
        }
        self.judge_order(&lost, keeps)
    }

    fn judge_order(&self, lost: &[bool], keeps: Keeps) -> Result<(), String> {
        // The first acknowledgement of something that is lost, or that has seen what is lost.
        let mut first: Option<(u64, &Op)> = None;
        for (applied, gone) in self.applied.iter().zip(lost) {
            let op = &self.ops[applied.op];
            let seen = applied.seen.iter().any(|writer| lost[*writer]);
            let Some(acked) = op.acked.filter(|_| *gone || seen) else { continue };
            if keeps == Keeps::Acknowledged || acked < self.promised {
                let why = if *gone { "lost" } else { "seen by a client and lost" };
                return Err(format!("acknowledged and {why}: {}", show(op)));
            }
            if first.is_none_or(|(at, _)| acked < at) {
                first = Some((acked, op));
            }
        }
        let Some((at, before)) = first else { return Ok(()) };
        for (applied, gone) in self.applied.iter().zip(lost) {
            let op = &self.ops[applied.op];
            if !gone && !applied.changes.is_empty() && op.invoked > at {
                return Err(format!(
                    "not a prefix: {} was acknowledged at {at} and is lost, {} was sent at {} \
                     and is there",
                    show(before),
                    show(op),
                    op.invoked
                ));
            }
        }
        Ok(())
    }
}

impl fmt::Display for History {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for applied in &self.applied {
            let op = &self.ops[applied.op];
            let (at, all) = (&applied.at, &applied.participants);
            let line = show(op);
            writeln!(out, "{line} sent {} told {:?} at {at:?} of {all:?}", op.invoked, op.acked)?;
        }
        Ok(())
    }
}

/// The keys that a command has looked at.
fn names(db: u16, words: &Words, reply: &[u8]) -> Vec<Name> {
    let all = match words[0].as_slice() {
        // Where the first key stops them they have not looked at the second.
        b"RENAME" if reply.starts_with(b"-") => words.iter().skip(1).take(1).collect(),
        b"LMOVE" if reply.starts_with(b"-") || reply == b"$-1\r\n" => {
            words.iter().skip(1).take(1).collect()
        }
        b"MSET" => words.iter().skip(1).step_by(2).collect(),
        b"LMOVE" => words.iter().skip(1).take(2).collect(),
        b"DEL" | b"RENAME" => words.iter().skip(1).collect(),
        b"FLUSHALL" => Vec::new(),
        _ => words.iter().skip(1).take(1).collect::<Vec<_>>(),
    };
    all.into_iter().map(|key| (db, key.clone())).collect()
}

/// A request as a line.
pub fn show(op: &Op) -> String {
    let commands: Vec<String> = op
        .commands
        .iter()
        .map(|words| {
            let words: Vec<_> = words.iter().map(|word| short(word)).collect();
            words.join(" ")
        })
        .collect();
    format!("[{}]", commands.join("; "))
}

/// Bytes for a message; of long ones only how many.
fn short(bytes: &[u8]) -> String {
    match bytes.len() {
        0..40 => String::from_utf8_lossy(bytes).into_owned(),
        long => format!("<{long} bytes>"),
    }
}

fn show_state(model: &Model, now: u64) -> String {
    let alive = model.alive(now);
    let keys = alive.iter().map(|((db, key), entry)| {
        let pairs = |fields: &mut dyn Iterator<Item = (&Vec<u8>, String)>| {
            let pairs: Vec<_> = fields.map(|(f, v)| (short(f), v)).collect();
            format!("{pairs:?}")
        };
        let value = match &entry.value {
            Value::Str(bytes) => short(bytes),
            Value::Hash(fields) => pairs(&mut fields.iter().map(|(f, (v, at))| {
                (f, short(v) + &at.map_or(String::new(), |at| format!("@{at}")))
            })),
            Value::List(elements) => {
                let elements: Vec<_> = elements.iter().map(|element| short(element)).collect();
                format!("{elements:?}")
            }
            Value::Zset(members) => pairs(&mut members.iter().map(|(m, s)| (m, s.to_string()))),
        };
        let key = short(key);
        format!("{db}/{key}={value}{}", entry.deadline.map_or(String::new(), |d| format!("@{d}")))
    });
    keys.collect::<Vec<_>>().join(" ")
}
