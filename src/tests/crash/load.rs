//! The clients that write while the server is killed.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use basalt::base::prng::Prng;

use super::harness::client::{Client, encode};
use super::harness::reply::Reply;
use super::history::{Line, Place};

/// How far the run is.
#[derive(Debug, Default)]
pub struct Stage {
    /// Everybody stops.
    pub stop: AtomicBool,
    /// The power is about to go. In a real cut nobody hears any more from now on, so what is heard
    /// counts for nothing, and errors are honest answers.
    pub dying: AtomicBool,
    /// Writes acknowledged so far.
    pub acked: AtomicU64,
    /// Writes that another client has read so far.
    pub seen: AtomicU64,
    /// Checkpoints completed so far.
    pub saved: AtomicU64,
}

/// What has to be done before a crash proves something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Least {
    /// Writes acknowledged.
    pub acked: u64,
    /// Writes seen by others.
    pub seen: u64,
    /// Checkpoints completed.
    pub saved: u64,
}

impl Stage {
    /// Waits until enough is done for a crash to prove something: a slow machine takes longer, a
    /// server that does nothing makes the cycle void.
    pub fn busy(&self, least: Least) {
        let start = Instant::now();
        loop {
            let done = [&self.acked, &self.seen, &self.saved].map(|n| n.load(Ordering::Relaxed));
            if done[0] >= least.acked && done[1] >= least.seen && done[2] >= least.saved {
                return;
            }
            let waited = start.elapsed();
            assert!(waited < Duration::from_secs(180), "void: {least:?} expected, {self:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Is there still work to do?
    pub fn on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst) && !self.dying()
    }

    /// Is the power about to go?
    pub fn dying(&self) -> bool {
        self.dying.load(Ordering::SeqCst)
    }

    /// A reply that should not have come, unless the disk is gone.
    pub fn complain(&self, text: String) -> Option<String> {
        (!self.dying()).then_some(text)
    }
}

/// What a worker sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// INCR: the reply tells a write that was done twice.
    Incr,
    /// SET of increasing numbers.
    Put,
    /// HSET of increasing numbers to fields of one big hash.
    Field,
    /// RPUSH of increasing numbers: the list tells what was lost, or done twice, in the middle.
    Push,
    /// ZINCRBY by one of members of one big sorted set.
    Score,
    /// SADD of increasing numbers.
    Add,
    /// XADD of increasing ids.
    Append,
    /// MULTI: HSET of a field, and a deadline for it that says the same.
    Lease,
    /// FCALL of a function that increments.
    Call,
    /// FUNCTION LOAD REPLACE of a library that knows the number of its version.
    Load,
    /// MULTI: an amount from one account to another, and INCR of a counter of its own.
    Transfer,
}

impl Kind {
    /// Replies to one write.
    fn replies(self) -> usize {
        match self {
            Kind::Transfer => 5,
            Kind::Lease => 4,
            _ => 1,
        }
    }

    /// Is this the last reply to the write that makes `value`?
    fn is_answer(self, reply: &Reply, value: i64) -> bool {
        let bulk = |text: String| *reply == Reply::Bulk(text.into_bytes());
        match self {
            Kind::Incr | Kind::Push | Kind::Call => *reply == Reply::Int(value),
            Kind::Add => *reply == Reply::Int(1),
            Kind::Score => bulk(value.to_string()),
            Kind::Append => bulk(format!("{value}-0")),
            Kind::Put => *reply == Reply::Simple(b"OK".to_vec()),
            Kind::Field => matches!(reply, Reply::Int(0 | 1)),
            Kind::Load => matches!(reply, Reply::Bulk(_)),
            Kind::Lease => {
                let second = Some(&Reply::Array(vec![Reply::Int(1)]));
                matches!(reply, Reply::Array(parts) if parts.get(1) == second)
            }
            Kind::Transfer => {
                let third = Some(&Reply::Int(value));
                matches!(reply, Reply::Array(parts) if parts.get(2) == third)
            }
        }
    }
}

/// Deadlines are this and the value of their line, in milliseconds: in the year 2065.
pub const LEASES: i64 = 3_000_000_000_000;

/// The library whose function `bump` increments a key.
pub const COUNTING: &str = "#!lua name=counting\nredis.register_function('bump', \
    function(keys) return redis.call('INCR', keys[1]) end)";

/// Accounts between which transfers go; their sum stays zero.
pub const ACCOUNTS: u64 = 16;

/// The sorted set that is big.
pub const SCORES: &str = "scores";

/// The hash that is big.
pub const BIG: &str = "big";

/// One client and its lines.
#[derive(Debug)]
pub struct Worker {
    kind: Kind,
    depth: u64,
    prng: Prng,
    /// Its lines; nobody else writes to them.
    pub lines: Vec<Line>,
}

impl Worker {
    /// A client that sends `depth` commands at a time to `count` places.
    pub fn new(kind: Kind, id: u64, count: u64, depth: u64) -> Worker {
        let place = |n| match kind {
            Kind::Field => Place::Field(BIG, format!("f{id}:{n}")),
            Kind::Push => Place::List(format!("list:{id}:{n}")),
            Kind::Score => Place::Score(SCORES, format!("m{id}:{n}")),
            Kind::Add => Place::Set(format!("set:{id}:{n}")),
            Kind::Append => Place::Stream(format!("stream:{id}:{n}")),
            Kind::Lease => Place::Deadline(BIG, format!("lease{id}:{n}")),
            Kind::Load => Place::Library(format!("library_{id}_{n}")),
            _ => Place::Key(format!("{kind:?}:{id}:{n}")),
        };
        let lines = (0..count).map(|n| Line::new(place(n))).collect();
        Worker { kind, depth, prng: Prng::new(id), lines }
    }

    /// Works until it is told to stop or the server is gone; what it has to complain about.
    pub fn run(&mut self, port: u16, stage: &Stage) -> Option<String> {
        let Ok(mut client) = Client::open(port) else {
            return stage.complain("cannot connect".to_owned());
        };
        while stage.on() {
            match self.turn(&mut client, stage) {
                Ok(None) => {}
                Ok(Some(text)) => return stage.complain(text),
                Err(_) => return None,
            }
        }
        None
    }

    fn turn(&mut self, client: &mut Client, stage: &Stage) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..self.depth {
            let at = self.prng.below(self.lines.len() as u64) as usize;
            let value = self.lines[at].send();
            self.encode(at, value, &mut bytes);
            expected.push((at, value));
        }
        client.send(&bytes)?;
        for (at, value) in expected {
            let reply = last(client, self.kind.replies())?;
            if !self.kind.is_answer(&reply, value) {
                return Ok(Some(format!("{:?}, value {value}: {reply}", self.lines[at].place)));
            }
            let now = Instant::now();
            if stage.dying() {
                return Ok(None);
            }
            self.lines[at].know(value, now);
            stage.acked.fetch_add(1, Ordering::Relaxed);
        }
        Ok(None)
    }

    fn encode(&mut self, at: usize, value: i64, out: &mut Vec<u8>) {
        let (value, deadline) = (value.to_string(), LEASES + value);
        match (&self.lines[at].place, self.kind) {
            (Place::List(key), _) => out.extend(encode(&["RPUSH", key, &value])),
            (Place::Score(key, member), _) => {
                out.extend(encode(&["ZINCRBY", key, "1", member]));
            }
            (Place::Field(key, field), _) => out.extend(encode(&["HSET", key, field, &value])),
            (Place::Set(key), _) => out.extend(encode(&["SADD", key, &value])),
            (Place::Stream(key), _) => {
                out.extend(encode(&["XADD", key, &format!("{value}-0"), "n", &value]));
            }
            (Place::Deadline(key, field), _) => {
                let when = deadline.to_string();
                out.extend(encode(&["MULTI"]));
                out.extend(encode(&["HSET", key, field, &value]));
                out.extend(encode(&["HPEXPIREAT", key, &when, "FIELDS", "1", field]));
                out.extend(encode(&["EXEC"]));
            }
            (Place::Library(name), _) => {
                let code = format!(
                    "#!lua name={name}\nredis.register_function{{function_name='{name}', \
                     callback=function() return {value} end, flags={{'no-writes'}}}}"
                );
                out.extend(encode(&["FUNCTION", "LOAD", "REPLACE", &code]));
            }
            (Place::Key(key), Kind::Call) => out.extend(encode(&["FCALL", "bump", "1", key])),
            (Place::Key(key), Kind::Put) => out.extend(encode(&["SET", key, &value])),
            (Place::Key(key), Kind::Transfer) => {
                let amount = self.prng.below(100).to_string();
                let mut account = || format!("account:{}", self.prng.below(ACCOUNTS));
                let (from, to) = (account(), account());
                out.extend(encode(&["MULTI"]));
                out.extend(encode(&["DECRBY", &from, &amount]));
                out.extend(encode(&["INCRBY", &to, &amount]));
                out.extend(encode(&["INCR", key]));
                out.extend(encode(&["EXEC"]));
            }
            (Place::Key(key), _) => out.extend(encode(&["INCR", key])),
        }
    }
}

/// The last of some replies, or the first error before it.
fn last(client: &mut Client, count: usize) -> io::Result<Reply> {
    let mut replies = Vec::new();
    for _ in 0..count {
        replies.push(client.read()?);
    }
    let error = replies.iter().position(Reply::is_error);
    Ok(replies.swap_remove(error.unwrap_or(count - 1)))
}

/// Reads what others write: whatever is seen must be there afterwards.
pub fn poll(port: u16, seed: u64, keys: &[String], stage: &Stage) -> Vec<(usize, i64, Instant)> {
    let mut seen = Vec::new();
    let mut highest = vec![0; keys.len()];
    let mut prng = Prng::new(seed);
    let Ok(mut client) = Client::open(port) else { return seen };
    while stage.on() && !keys.is_empty() {
        // One key is read where it lives; several are read as a transaction over their shards.
        let count = if prng.chance(1, 2) { 1 } else { 4 };
        let chosen: Vec<usize> =
            (0..count).map(|_| prng.below(keys.len() as u64) as usize).collect();
        let mut words = vec!["MGET"];
        words.extend(chosen.iter().map(|&at| keys[at].as_str()));
        let Ok(Reply::Array(values)) = client.try_call(&words) else { break };
        let now = Instant::now();
        if stage.dying() {
            break;
        }
        for (at, value) in chosen.into_iter().zip(values) {
            if value.count() > highest[at] {
                highest[at] = value.count();
                seen.push((at, value.count(), now));
                stage.seen.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    seen
}

/// Makes checkpoints all the time; a complaint.
pub fn checkpoint(port: u16, seed: u64, stage: &Stage) -> Option<String> {
    let mut prng = Prng::new(seed);
    let mut client = Client::open(port).ok()?;
    while stage.on() {
        let command = ["BGSAVE", "BGREWRITEAOF", "BGREWRITEAOF", "SAVE"][prng.below(4) as usize];
        match client.try_call(&[command]) {
            Ok(reply) if reply.is_error() && !reply.text().contains("already in progress") => {
                return stage.complain(format!("{command}: {reply}"));
            }
            Ok(_) => {}
            Err(_) => break,
        }
        while stage.on() {
            let info = client.try_call(&["INFO", "persistence"]).ok()?.text();
            if info.contains("rdb_bgsave_in_progress:0")
                && info.contains("aof_rewrite_in_progress:0")
            {
                stage.saved.fetch_add(1, Ordering::Relaxed);
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(prng.below(40)));
    }
    None
}
