//! The two servers of a comparison, the stream that is sent to both, and what came out differently.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use super::compare::{Differences, Queue, same, spelled};
use super::generate::Sent;
use super::harness::client::Client;
use super::harness::reply::{Reply, shown};
use super::harness::server::{Launch, Server};

/// Connections of the stream to each server: what one watches another changes.
pub const CONNECTIONS: usize = 3;

/// The same connection to both servers.
struct Both {
    redis: Client,
    basalt: Client,
    queue: Queue,
}

impl Both {
    fn new(servers: &[Server; 2], proto: &str) -> Both {
        let [mut redis, mut basalt] = servers.each_ref().map(Server::client);
        redis.ok(&format!("HELLO {proto}"));
        basalt.ok(&format!("HELLO {proto}"));
        Both { redis, basalt, queue: Queue::default() }
    }

    /// One command to both.
    fn call(&mut self, words: &[&[u8]]) -> (Reply, Reply) {
        let redis = self.redis.try_call(words).expect("a reply of redis-server");
        (redis, lost(self.basalt.try_call(words)))
    }
}

/// No reply is a kind of reply here: the others are still worth seeing.
fn lost(reply: io::Result<Reply>) -> Reply {
    reply.unwrap_or_else(|e| Reply::Error(format!("(no reply: {e})").into_bytes()))
}

/// Both servers.
pub struct Pair {
    servers: [Server; 2],
    proto: &'static str,
    stream: Vec<Both>,
    control: Both,
    allowed: Differences,
    recent: VecDeque<String>,
    /// What differed, once a command and kind of reply.
    pub found: BTreeMap<String, String>,
}

impl Pair {
    /// Starts both (the launches have to be kept) and connects.
    pub fn new(redis: &Launch, basalt: &Launch, proto: &'static str, shards: u32) -> Pair {
        let servers = [redis.start(), basalt.start()];
        let control = Both::new(&servers, proto);
        let mut pair = Pair {
            servers,
            proto,
            stream: Vec::new(),
            control,
            allowed: Differences::load(shards),
            recent: VecDeque::new(),
            found: BTreeMap::new(),
        };
        pair.afresh();
        pair
    }

    /// New connections: nothing is selected, queued or watched.
    pub fn reconnect(&mut self) {
        if let Some(status) = self.servers[1].ended() {
            let last: Vec<String> = self.recent.iter().rev().take(8).rev().cloned().collect();
            let found: Vec<&str> = self.found.values().map(String::as_str).collect();
            let found = found.join("\n  ");
            panic!("the server ended ({status}) after\n  {}\n  {found}", last.join("\n  "));
        }
        self.stream = (0..CONNECTIONS).map(|_| Both::new(&self.servers, self.proto)).collect();
        self.control = Both::new(&self.servers, self.proto);
    }

    /// New connections, empty servers.
    fn afresh(&mut self) {
        self.reconnect();
        self.recent.clear();
        for client in [&mut self.control.redis, &mut self.control.basalt] {
            client.ok("FLUSHALL");
            client.ok("CONFIG SET hash-max-listpack-entries 128");
        }
    }

    /// Notes a difference, unless it is a known one.
    fn note(&mut self, words: &[Vec<u8>], redis: &Reply, basalt: &Reply) -> bool {
        if self.allowed.allow(words, redis, basalt) {
            return false;
        }
        let name = String::from_utf8_lossy(&words[0]).to_uppercase();
        let kind = |reply: &Reply| reply.to_string().chars().take(16).collect::<String>();
        let mut text = format!("{}\n      redis:  {redis}\n      basalt: {basalt}", spelled(words));
        match name.as_str() {
            // What was watched or queued, on whatever connection it was changed.
            "EXEC" => self.recent.iter().rev().take(60).rev().for_each(|line| {
                text.push_str(&format!("\n          {line}"));
            }),
            _ => words.iter().skip(1).for_each(|word| {
                for line in self.that_named(word) {
                    text.push_str(&format!("\n          {line}"));
                }
            }),
        }
        if let Some(path) = std::env::var_os("BASALT_COMPAT_TRACE") {
            let lines: Vec<&str> = self.recent.iter().map(String::as_str).collect();
            std::fs::write(path, lines.join("\n") + "\n" + &text).expect("a trace");
        }
        self.found.entry(format!("{name} {} {}", kind(redis), kind(basalt))).or_insert(text);
        true
    }

    /// Sends one batch over one connection and compares all replies. After a difference both
    /// start afresh, for what follows would differ because of it.
    pub fn send(&mut self, connection: usize, batch: &[Sent]) {
        let bytes: Vec<u8> = batch.iter().flat_map(|sent| sent.bytes.iter().copied()).collect();
        let both = &mut self.stream[connection];
        both.redis.send(&bytes).expect("redis-server reads");
        let _ = both.basalt.send(&bytes);
        for Sent { words, .. } in batch {
            let both = &mut self.stream[connection];
            let redis = both.redis.read().unwrap_or_else(|e| panic!("{}: {e}", spelled(words)));
            let basalt = lost(both.basalt.read());
            self.recent.push_back(format!("{connection}: {} -> {redis}", spelled(words)));
            if let Some((words, redis, basalt)) = both.queue.differs(words, &redis, &basalt)
                && self.note(&words, &redis, &basalt)
            {
                self.afresh();
                break;
            }
        }
        while self.recent.len() > 4000 {
            self.recent.pop_front();
        }
    }

    /// One command outside the stream, compared like those in it.
    pub fn check(&mut self, words: &[&[u8]]) {
        let (redis, basalt) = self.control.call(words);
        let words: Vec<Vec<u8>> = words.iter().map(|word| word.to_vec()).collect();
        if !same(&words, &redis, &basalt) && self.note(&words, &redis, &basalt) {
            self.afresh();
        }
    }

    /// A whole iteration; both have to find the same elements, each at least once.
    pub fn check_scan(&mut self, db: u64, before: &[&[u8]], after: &[&[u8]]) {
        self.control.call(&[b"SELECT", db.to_string().as_bytes()]);
        let pairs = before[0] == b"HSCAN";
        let redis = scan(&mut self.control.redis, before, after, pairs);
        let basalt = scan(&mut self.control.basalt, before, after, pairs);
        self.control.call(&[b"SELECT", b"0"]);
        if redis != basalt {
            let words: Vec<Vec<u8>> = before.iter().chain(after).map(|w| w.to_vec()).collect();
            let list =
                |set: BTreeSet<Vec<Reply>>| Reply::Array(set.into_iter().flatten().collect());
            if self.note(&words, &list(redis), &list(basalt)) {
                self.afresh();
            }
        }
    }

    /// Compares the data of both as a whole; a difference is told by key.
    pub fn check_digest(&mut self) {
        let (redis, basalt) = self.control.call(&[b"DEBUG", b"DIGEST"]);
        if redis == basalt {
            return;
        }
        let mut text = format!("redis {redis}, basalt {basalt}\n");
        for db in [0, 1, 2, 15] {
            self.control.call(&[b"SELECT", db.to_string().as_bytes()]);
            let (redis, basalt) = self.control.call(&[b"KEYS", b"*"]);
            let keys: BTreeSet<Reply> = redis.items().into_iter().chain(basalt.items()).collect();
            for key in keys {
                if let Reply::Bulk(key) = &key {
                    text.push_str(&self.explain(db, key));
                }
            }
        }
        self.found.entry("DEBUG DIGEST".to_owned()).or_insert(text);
        self.afresh();
    }

    /// How one key differs, and the commands that named it last.
    fn explain(&mut self, db: u64, key: &[u8]) -> String {
        let mut out = String::new();
        for words in
            [[b"TYPE".as_slice(), key], [b"GET", key], [b"HGETALL", key], [b"PEXPIRETIME", key]]
        {
            let (redis, basalt) = self.control.call(&words);
            let spelled = words.map(<[u8]>::to_vec);
            if !same(&spelled, &redis, &basalt) {
                out.push_str(&format!("      db {db}: {}\n", super::compare::spelled(&spelled)));
                out.push_str(&format!("        redis:  {redis}\n        basalt: {basalt}\n"));
            }
        }
        if !out.is_empty() {
            for line in self.that_named(key) {
                out.push_str(&format!("          {line}\n"));
            }
        }
        out
    }

    /// The last commands that had this word among theirs.
    fn that_named(&self, word: &[u8]) -> Vec<&String> {
        let word = shown(word);
        let named = |line: &&String| line.split(' ').any(|part| part == word);
        let mut last: Vec<&String> = self.recent.iter().rev().filter(named).take(12).collect();
        last.reverse();
        last
    }
}

/// The elements of a whole iteration, in pairs where fields come with values.
fn scan(
    client: &mut Client,
    before: &[&[u8]],
    after: &[&[u8]],
    pairs: bool,
) -> BTreeSet<Vec<Reply>> {
    let mut found = BTreeSet::new();
    let mut cursor = b"0".to_vec();
    for _ in 0..100_000 {
        let words: Vec<&[u8]> = before
            .iter()
            .copied()
            .chain([cursor.as_slice()])
            .chain(after.iter().copied())
            .collect();
        let reply = lost(client.try_call(&words));
        if reply.is_error() {
            return BTreeSet::from([vec![reply]]);
        }
        let parts: [Reply; 2] = reply.items().try_into().expect("two parts");
        let [Reply::Bulk(next), Reply::Array(items)] = parts else {
            panic!("not the reply of a scan: {reply}");
        };
        found.extend(items.chunks(if pairs { 2 } else { 1 }).map(<[Reply]>::to_vec));
        if next == b"0" {
            return found;
        }
        cursor = next;
    }
    panic!("a scan that does not end");
}
