//! All clients of a crash test together: they write, the server dies, and what is left is checked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::harness::client::{Client, encode};
use super::harness::peers;
use super::harness::reply::Reply;
use super::harness::server::{Kind as Program, Launch, Server};
use super::history::{Line, Place, Promise, check};
use super::load::{ACCOUNTS, BIG, COUNTING, Kind, LEASES, Least, Stage, Worker, checkpoint, poll};
use super::sequence::{Reach, Sequence};

/// A cycle in which fewer writes were acknowledged proves nothing.
const LEAST: u64 = 100;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    /// A bit of everything.
    Mixed,
    /// Few counters that many others watch.
    Observed,
    /// Everything is emptied now and then.
    Flushed,
}

/// The clients, and what they expect to find.
#[derive(Debug)]
pub struct World {
    theme: Theme,
    workers: Vec<Worker>,
    sequence: Sequence,
    pollers: u64,
    padded: bool,
    seed: u64,
    done: Least,
}

impl World {
    /// Clients that have written nothing yet.
    pub fn new(theme: Theme, seed: u64) -> World {
        let (workers, reach, pollers) = match theme {
            Theme::Mixed => (mixed(), Reach::One, 1),
            Theme::Observed => {
                let counters = [(1, 16), (2, 4), (3, 1)];
                let worker = |(id, depth)| Worker::new(Kind::Incr, id, 2, depth);
                (counters.map(worker).into(), Reach::One, 4)
            }
            Theme::Flushed => (Vec::new(), Reach::All, 0),
        };
        let sequence = Sequence::new(seed, reach);
        World { theme, workers, sequence, pollers, padded: false, seed, done: Least::default() }
    }

    /// What has to be done before its crash, with so many checkpoints.
    pub fn least(&self, saved: u64) -> Least {
        match self.theme {
            Theme::Observed => Least { acked: LEAST, seen: LEAST / 2, saved },
            _ => Least { acked: LEAST, seen: 0, saved },
        }
    }

    /// Tells how much has been done.
    pub fn report(&self, cycles: u64) {
        let Least { acked, seen, saved } = self.done;
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        peers::say(&format!(
            "{test}: {cycles} cycles, {acked} writes acknowledged, {seen} seen by others, \
             {saved} checkpoints"
        ));
    }

    /// Makes the big hash big, so that checkpoints have something to do.
    pub fn preload(&mut self, server: &Server) {
        if self.theme == Theme::Flushed {
            return;
        }
        self.padded = true;
        let mut client = server.client();
        let loaded = client.call(&["FUNCTION", "LOAD", COUNTING]);
        assert_eq!(loaded.text(), "counting");
        for chunk in 0..20 {
            let mut words = vec!["HSET".to_owned(), BIG.to_owned()];
            for n in 0..250 {
                words.push(format!("pad:{chunk}:{n}"));
                words.push("p".repeat(40));
            }
            let reply = client.try_call(&words).expect("a reply");
            assert_eq!(reply.int(), 250);
        }
    }

    /// Writes until `crash` has been called and returned; complaints about replies.
    pub fn run(
        &mut self,
        server: &mut Server,
        crash: impl FnOnce(&mut Server, &Stage),
    ) -> Vec<String> {
        let stage = Stage::default();
        let port = server.port();
        self.seed += 1;
        let seed = self.seed;
        let keys: Vec<String> = self.lines().filter_map(key).collect();
        let (seen, mut complaints) = std::thread::scope(|scope| {
            let stage = &stage;
            let keys = &keys;
            let workers = self.workers.iter_mut();
            let mut writers: Vec<_> =
                workers.map(|worker| scope.spawn(move || worker.run(port, stage))).collect();
            let sequence = &mut self.sequence;
            writers.push(scope.spawn(move || sequence.run(port, stage)));
            let pollers: Vec<_> = (0..self.pollers)
                .map(|id| scope.spawn(move || poll(port, seed << 8 | id, keys, stage)))
                .collect();
            let saver = scope.spawn(move || checkpoint(port, seed, stage));
            // Also when the crash itself fails: the others would go on for ever.
            let _stop = Stop(stage);
            crash(server, stage);
            stage.stop.store(true, Ordering::SeqCst);
            let ended = writers.into_iter().filter_map(|thread| thread.join().expect("a writer"));
            let mut complaints: Vec<String> = ended.collect();
            complaints.extend(saver.join().expect("the saver"));
            let seen = pollers.into_iter().flat_map(|thread| thread.join().expect("a poller"));
            (seen.collect::<Vec<_>>(), complaints)
        });
        self.done.acked += stage.acked.load(Ordering::Relaxed);
        self.done.seen += stage.seen.load(Ordering::Relaxed);
        self.done.saved += stage.saved.load(Ordering::Relaxed);
        let mut lines: Vec<&mut Line> =
            self.lines_mut().filter(|line| key(line).is_some()).collect();
        for (at, value, when) in seen {
            if value > lines[at].sent() {
                complaints
                    .push(format!("{:?}: {value} was read before it was sent", lines[at].place));
            }
            lines[at].know(value, when);
        }
        complaints
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        self.workers.iter().flat_map(|worker| &worker.lines)
    }

    fn lines_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        self.workers.iter_mut().flat_map(|worker| &mut worker.lines)
    }

    /// Checks what a restarted server has, and goes on from there.
    pub fn verify(&mut self, client: &mut Client, promise: Promise) -> Vec<String> {
        let known = self.lines().map(Line::last_known).max().flatten();
        let promise = promise.before(known.max(self.sequence.last_known()));
        let survived = values(client, self.lines());
        let pairs: Vec<(&Line, i64)> = self.lines().zip(survived.iter().copied()).collect();
        let mut broken = check(&pairs, promise);
        let sum: i64 =
            (0..ACCOUNTS).map(|n| client.line(&format!("GET account:{n}")).count()).sum();
        if sum != 0 {
            broken.push(format!("the accounts add up to {sum}"));
        }
        let padding = client.line(&format!("HGET {BIG} pad:19:249"));
        if self.padded && (padding.is_null() || padding.text() != "p".repeat(40)) {
            broken.push(format!("the big hash lost what it had: {padding}"));
        }
        broken.extend(self.lines().filter_map(|line| gap(client, line)));
        broken.extend(self.sequence.check(client, promise));
        for (line, survived) in self.lines_mut().zip(survived) {
            line.rebase(survived);
        }
        broken
    }
}

fn mixed() -> Vec<Worker> {
    let mut workers = vec![
        Worker::new(Kind::Incr, 1, 8, 16),
        Worker::new(Kind::Incr, 2, 8, 1),
        Worker::new(Kind::Put, 3, 8, 1),
        Worker::new(Kind::Put, 4, 8, 4),
        Worker::new(Kind::Field, 5, 200, 8),
        Worker::new(Kind::Push, 8, 4, 4),
        Worker::new(Kind::Score, 9, 400, 8),
        Worker::new(Kind::Transfer, 6, 2, 1),
        Worker::new(Kind::Transfer, 7, 2, 2),
        Worker::new(Kind::Add, 10, 4, 4),
        Worker::new(Kind::Append, 11, 4, 4),
        Worker::new(Kind::Call, 12, 8, 2),
        Worker::new(Kind::Load, 13, 2, 1),
    ];
    // Fields have deadlines from Redis 7.4 on.
    if Launch::basalt().kind() == Program::Basalt {
        workers.push(Worker::new(Kind::Lease, 14, 100, 4));
    }
    workers
}

/// Tells everybody to stop when it goes.
struct Stop<'a>(&'a Stage);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

fn key(line: &Line) -> Option<String> {
    match &line.place {
        Place::Key(key) => Some(key.clone()),
        _ => None,
    }
}

fn no_library() -> Reply {
    Reply::Error(b"ERR Function not found".to_vec())
}

/// What is wrong with a value besides its number: the middle of a list, or half of a transaction.
fn gap(client: &mut Client, line: &Line) -> Option<String> {
    match &line.place {
        Place::List(key) => {
            let elements = client.line(&format!("LRANGE {key} 0 -1")).items();
            let wrong = elements.iter().zip(1..).find(|(element, n)| element.int() != *n);
            wrong.map(|(element, n)| format!("{key}: {element} where {n} should be"))
        }
        Place::Set(key) => {
            let members = client.line(&format!("SMEMBERS {key}")).items();
            let (count, highest) = (members.len() as i64, members.iter().map(Reply::int).max());
            (highest.unwrap_or(0) != count).then(|| format!("{key}: {count} up to {highest:?}"))
        }
        Place::Stream(key) => {
            let entries = client.line(&format!("XRANGE {key} - +")).items();
            let ids = entries.iter().map(|entry| entry.items()[0].text());
            let wrong = ids.zip(1..).find(|(id, n)| *id != format!("{n}-0"));
            wrong.map(|(id, n)| format!("{key}: {id} where {n}-0 should be"))
        }
        Place::Deadline(key, field) => {
            let value = client.line(&format!("HGET {key} {field}"));
            let when = client.line(&format!("HPEXPIRETIME {key} FIELDS 1 {field}")).items();
            let right = value.is_null() || when[0].int() == LEASES + value.int();
            (!right).then(|| format!("{key} {field}: {value} with the deadline {}", when[0]))
        }
        Place::Key(_) | Place::Field(..) | Place::Score(..) | Place::Library(_) => None,
    }
}

/// The values of lines; 0 for what does not exist.
fn values<'a>(client: &mut Client, lines: impl Iterator<Item = &'a Line>) -> Vec<i64> {
    let mut bytes = Vec::new();
    let mut count = 0;
    for line in lines {
        count += 1;
        bytes.extend(match &line.place {
            Place::Key(key) => encode(&["GET", key]),
            Place::Field(key, field) => encode(&["HGET", key, field]),
            Place::List(key) => encode(&["LLEN", key]),
            Place::Score(key, member) => encode(&["ZSCORE", key, member]),
            Place::Set(key) => encode(&["SCARD", key]),
            Place::Stream(key) => encode(&["XLEN", key]),
            Place::Deadline(key, field) => encode(&["HGET", key, field]),
            Place::Library(name) => encode(&["FCALL_RO", name, "0"]),
        });
    }
    let replies = client.batch(&bytes, count).expect("replies");
    replies.iter().map(|reply| if *reply == no_library() { 0 } else { reply.count() }).collect()
}

/// Waits for a moment that is different every time.
pub fn a_while(from: u64, below: u64, prng: &mut basalt::base::prng::Prng) {
    std::thread::sleep(Duration::from_millis(from + prng.below(below)));
}
