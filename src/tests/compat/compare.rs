//! When two replies to one command count as the same.

use super::harness::reply::Reply;

/// The intended differences, from `compat_differences.txt`.
pub struct Differences {
    rows: Vec<[String; 4]>,
    /// Those that begin with `over shards:` count only when there are several.
    shards: u32,
}

impl Differences {
    /// The list of the tree, for a server with so many shards; a line that is not understood is a
    /// failed test.
    pub fn load(shards: u32) -> Differences {
        let text = include_str!("../compat_differences.txt");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let row = |line: &str| {
            let parts: Vec<String> = line.split(" | ").map(|part| part.trim().to_owned()).collect();
            let row: [String; 4] = parts.try_into().unwrap_or_else(|_| panic!("bad line: {line}"));
            assert!(row[3].len() > 10, "a difference without a reason: {line}");
            row
        };
        Differences { rows: lines.map(row).collect(), shards }
    }

    /// Is this difference on the list?
    pub fn allow(&self, words: &[Vec<u8>], redis: &Reply, basalt: &Reply) -> bool {
        let command = spelled(words).to_lowercase();
        let (redis, basalt) = (redis.to_string(), basalt.to_string());
        let fits = |row: &[String; 4]| {
            let pattern = match row[0].strip_prefix("over shards: ") {
                Some(_) if self.shards == 1 => return false,
                Some(pattern) => pattern,
                None => &row[0],
            };
            like(pattern, &command) && like(&row[1], &redis) && like(&row[2], &basalt)
        };
        self.rows.iter().any(fits)
    }
}

/// Does `text` match a pattern in which only `*` is special?
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = text.strip_prefix(parts.next().unwrap_or("")) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A command as a reader wants to see it.
pub fn spelled(words: &[Vec<u8>]) -> String {
    let words: Vec<String> = words.iter().map(|word| super::harness::reply::shown(word)).collect();
    words.join(" ")
}

/// What two correct servers may answer differently.
enum Freedom {
    /// Nothing.
    None,
    /// The order of the elements; with `Pairs`, of neighbours two by two.
    Order,
    Pairs,
    /// The values: only kinds and lengths count.
    Values,
    /// Everything inside: only the kind counts.
    Content,
    /// A few seconds, in units of so many milliseconds.
    Clock(i64),
}

fn freedom(words: &[Vec<u8>]) -> Freedom {
    let name = |n: usize| words.get(n).map(|w| w.to_ascii_lowercase()).unwrap_or_default();
    let (first, second) = (name(0), name(1));
    match (first.as_slice(), second.as_slice()) {
        (b"keys" | b"hkeys" | b"hvals", _) => Freedom::Order,
        (b"hgetall", _) | (b"config", b"get") => Freedom::Pairs,
        (b"command", b"list") if words.len() > 2 => Freedom::Order,
        (b"hrandfield" | b"zrandmember" | b"randomkey" | b"time" | b"lastsave", _) => {
            Freedom::Values
        }
        (b"object", b"idletime" | b"freq") | (b"client", b"id") | (b"memory", _) => Freedom::Values,
        (b"scan" | b"hscan" | b"zscan" | b"hello" | b"command", _) => Freedom::Content,
        (b"client", b"info" | b"list") | (b"debug", b"object") => Freedom::Content,
        (b"slowlog", b"get") => Freedom::Content,
        (b"ttl" | b"expiretime", _) => Freedom::Clock(1000),
        (b"pttl" | b"pexpiretime", _) => Freedom::Clock(1),
        _ => Freedom::None,
    }
}

/// Are the replies to one command the same, as far as they are determined? Errors always are.
pub fn same(words: &[Vec<u8>], a: &Reply, b: &Reply) -> bool {
    if a == b {
        return true;
    }
    if a.is_error() || b.is_error() {
        return false;
    }
    match freedom(words) {
        Freedom::None => false,
        Freedom::Order => sorted(a, 1) == sorted(b, 1),
        Freedom::Pairs => sorted(a, 2) == sorted(b, 2),
        Freedom::Values => shape(a) == shape(b),
        Freedom::Content => std::mem::discriminant(a) == std::mem::discriminant(b),
        Freedom::Clock(unit) => match (a, b) {
            (&Reply::Int(a), &Reply::Int(b)) => a > 0 && b > 0 && (a - b).abs() * unit <= 20_000,
            _ => false,
        },
    }
}

fn sorted(reply: &Reply, by: usize) -> (std::mem::Discriminant<Reply>, Vec<Vec<Reply>>) {
    let mut groups = Vec::new();
    if !matches!(reply, Reply::Null(_)) {
        groups = reply.items().chunks(by).map(<[Reply]>::to_vec).collect();
        groups.sort();
    }
    (std::mem::discriminant(reply), groups)
}

/// The reply without its values.
fn shape(reply: &Reply) -> Reply {
    let all = |items: &[Reply]| items.iter().map(shape).collect();
    match reply {
        Reply::Int(_) => Reply::Int(0),
        Reply::Bulk(_) => Reply::Bulk(Vec::new()),
        Reply::Double(_) => Reply::Double(Vec::new()),
        Reply::Array(items) => Reply::Array(all(items)),
        Reply::Set(items) => Reply::Set(all(items)),
        Reply::Map(pairs) => Reply::Map(pairs.iter().map(|(k, v)| (shape(k), shape(v))).collect()),
        other => other.clone(),
    }
}

/// What a connection has queued since MULTI: an EXEC is compared command by command.
#[derive(Default)]
pub struct Queue(Option<Vec<Vec<Vec<u8>>>>);

impl Queue {
    /// Compares the replies to one command; the first pair that differs, with its command.
    pub fn differs(
        &mut self,
        words: &[Vec<u8>],
        redis: &Reply,
        basalt: &Reply,
    ) -> Option<(Vec<Vec<u8>>, Reply, Reply)> {
        let name = words[0].to_ascii_uppercase();
        if let (b"EXEC", Reply::Array(a), Reply::Array(b)) = (name.as_slice(), redis, basalt) {
            let queued = self.0.take().unwrap_or_default();
            let speaks = |words: &Vec<Vec<u8>>| words[0].eq_ignore_ascii_case(b"HELLO");
            if a != b && queued.iter().any(speaks) {
                let words = [b"EXEC".to_vec(), b"(HELLO)".to_vec()].to_vec();
                return Some((words, redis.clone(), basalt.clone()));
            }
            if a.len() == b.len() && a.len() == queued.len() {
                let differing = |((a, b), _): &((&Reply, &Reply), &Vec<Vec<u8>>)| a != b;
                let mut pairs = a.iter().zip(b).zip(&queued).filter(differing);
                let found = pairs.find(|((a, b), words)| !same(words, a, b));
                return found.map(|((a, b), words)| (words.clone(), a.clone(), b.clone()));
            }
        } else if same(words, redis, basalt) {
            self.follow(&name, words, redis);
            return None;
        }
        Some((words.to_vec(), redis.clone(), basalt.clone()))
    }

    fn follow(&mut self, name: &[u8], words: &[Vec<u8>], reply: &Reply) {
        let status = |text: &[u8]| matches!(reply, Reply::Simple(said) if said == text);
        match name {
            b"EXEC" | b"DISCARD" => self.0 = None,
            b"RESET" if status(b"RESET") => self.0 = None,
            b"MULTI" if status(b"OK") => self.0 = Some(Vec::new()),
            _ if status(b"QUEUED") => {
                if let Some(queued) = &mut self.0 {
                    queued.push(words.to_vec());
                }
            }
            _ => {}
        }
    }
}
