//! A value that comes in parts, out of Redis' format, as the plain commands that make it.

use std::collections::HashSet;

use crate::base::number::push_double;
use crate::keyspace::rebuild::each_deadline;
use crate::persist::rdb::scalar::Id;
use crate::persist::rdb::stream_reader::StreamPart;
use crate::persist::rdb::value_reader::Part;
use crate::resp::args::OwnedArgs;

/// Rows in one command, so that none is long.
const ROWS: usize = 512;
/// Bytes after which a command gets no more rows.
const BYTES: usize = 64 << 10;

/// A command, and what its reply has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The command.
    pub args: OwnedArgs,
    /// The number that it has to give, where a smaller one means that something came twice.
    pub gives: Option<usize>,
}

impl Made {
    /// The key that it is about; none if it keeps a library of functions.
    pub fn key(&self) -> Option<&[u8]> {
        let args = self.args.args();
        match args.at(0) {
            b"FUNCTION" => None,
            // Behind a container's name stands that of its subcommand.
            b"XGROUP" => Some(args.at(2)),
            _ => Some(args.at(1)),
        }
    }
}

/// Gathers the parts of one key's value.
#[derive(Debug)]
pub struct Remake {
    key: Vec<u8>,
    batch: Option<Batch>,
    /// Of a hash: deadlines of the fields in the batch.
    deadlines: Vec<(u64, Vec<u8>)>,
    /// Of a stream: the group and the consumer that are being read, and whether it has entries.
    group: Vec<u8>,
    consumer: Vec<u8>,
    entries: bool,
    parts: u64,
}

#[derive(Debug)]
struct Batch {
    args: OwnedArgs,
    rows: usize,
    counted: bool,
}

impl Remake {
    /// For this key.
    pub fn new(key: &[u8]) -> Remake {
        Remake {
            key: key.to_vec(),
            batch: None,
            deadlines: Vec::new(),
            group: Vec::new(),
            consumer: Vec::new(),
            entries: false,
            parts: 0,
        }
    }

    /// How many parts there were; a value without any is none.
    pub fn parts(&self) -> u64 {
        self.parts
    }

    /// Takes a part; gives the commands that are complete.
    pub fn part(&mut self, part: Part<'_>, each: &mut dyn FnMut(Made)) {
        self.parts += 1;
        match part {
            Part::Text(text) => each(self.command(&[b"SET", &self.key, &text])),
            Part::Element(text) => self.row(b"RPUSH", &[&text], each),
            Part::Member(text) => self.row(b"SADD", &[&text], each),
            Part::Pair(name, value) => self.row(b"HSET", &[&name, &value], each),
            Part::Timed(name, value, at) => {
                self.deadlines.push((at, name.to_vec()));
                self.row(b"HSET", &[&name, &value], each);
            }
            Part::Scored(member, score) => {
                let mut digits = Vec::new();
                push_double(&mut digits, score);
                self.row(b"ZADD", &[&digits, &member], each);
            }
            Part::Stream(part) => self.stream(part, each),
        }
    }

    /// After the last part: what is left.
    pub fn end(&mut self, each: &mut dyn FnMut(Made)) {
        if let Some(Batch { args, rows, counted }) = self.batch.take() {
            each(Made { args, gives: counted.then_some(rows) });
        }
        each_deadline(&self.key, &mut self.deadlines, &mut |args| {
            each(Made { args: OwnedArgs::of(args), gives: None });
        });
    }

    fn command(&self, args: &[&[u8]]) -> Made {
        Made { args: OwnedArgs::of(args), gives: None }
    }

    fn row(&mut self, name: &[u8], row: &[&[u8]], each: &mut dyn FnMut(Made)) {
        let batch = self.batch.get_or_insert_with(|| Batch {
            args: OwnedArgs::of(&[name, &self.key]),
            rows: 0,
            counted: name != b"RPUSH",
        });
        row.iter().for_each(|text| batch.args.push(text));
        batch.rows += 1;
        if batch.rows >= ROWS || batch.args.byte_len() >= BYTES {
            self.end(each);
        }
    }

    fn stream(&mut self, part: StreamPart<'_>, each: &mut dyn FnMut(Made)) {
        let key = &self.key;
        match part {
            StreamPart::Entry(id, pairs) => {
                let mut args = OwnedArgs::of(&[b"XADD", key, &id_text(id)]);
                for (name, value) in &pairs {
                    args.push(name);
                    args.push(value);
                }
                self.entries = true;
                each(Made { args, gives: None });
            }
            StreamPart::Meta(meta) => {
                if !self.entries {
                    // A stream that is empty is made by an entry that is trimmed at once.
                    let id = id_text(meta.last.max((0, 1)));
                    each(self.command(&[b"XADD", key, b"MAXLEN", b"0", &id, b"x", b"y"]));
                }
                each(self.command(&[
                    b"XSETID",
                    key,
                    &id_text(meta.last),
                    b"ENTRIESADDED",
                    meta.added.to_string().as_bytes(),
                    b"MAXDELETEDID",
                    &id_text(meta.deleted),
                ]));
            }
            StreamPart::Group(group) => {
                self.group = group.name.to_vec();
                let read = group.read.map_or("-1".to_owned(), |read| read.to_string());
                let (name, last) = (&group.name, id_text(group.last));
                let words: [&[u8]; 7] =
                    [b"XGROUP", b"CREATE", key, name, &last, b"ENTRIESREAD", read.as_bytes()];
                each(self.command(&words));
            }
            StreamPart::Consumer(consumer) => {
                let (group, name) = (&self.group, &consumer.name);
                each(self.command(&[b"XGROUP", b"CREATECONSUMER", key, group, name]));
                self.consumer = consumer.name.to_vec();
            }
            StreamPart::Pending(pending) => {
                each(self.command(&[
                    b"XCLAIM",
                    key,
                    &self.group,
                    &self.consumer,
                    b"0",
                    &id_text(pending.id),
                    b"TIME",
                    pending.time.to_string().as_bytes(),
                    b"RETRYCOUNT",
                    pending.count.to_string().as_bytes(),
                    b"JUSTID",
                    b"FORCE",
                ]));
            }
        }
    }
}

fn id_text((ms, seq): Id) -> Vec<u8> {
    format!("{ms}-{seq}").into_bytes()
}

/// Do all names, members and fields in the commands of one value occur once?
pub fn distinct(commands: &[Made]) -> bool {
    let mut seen = HashSet::new();
    commands.iter().filter(|made| made.gives.is_some()).all(|made| {
        let args = made.args.args();
        let (first, step) = match args.at(0) {
            b"SADD" => (2, 1),
            b"ZADD" => (3, 2),
            _ => (2, 2),
        };
        (first..args.len()).step_by(step).all(|index| seen.insert(args.at(index)))
    })
}

/// Is this the reply that the command has to give? `reply` is in RESP.
pub fn gave(gives: Option<usize>, reply: &[u8]) -> bool {
    match gives {
        Some(count) => reply == format!(":{count}\r\n").as_bytes(),
        None => reply.first() != Some(&b'-'),
    }
}
