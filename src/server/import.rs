//! A first start on a directory of Redis': reads `dump.rdb` or the append-only files, and ends with
//! a checkpoint of our own. What was there stays as it was.
//!
//! One core reads. The keys of a dump go to their owners as the commands that make them. A log is
//! run by one shard, since its commands may name keys of several; that shard then hands its keys
//! over to their owners (`reshard.rs`). LIMITATIONS: with several shards, a log takes as much
//! memory as the database twice while its keys are handed over; how long keys were idle is not
//! kept.
//!
//! A crash before the manifest is durable leaves the mark `IMPORT`: with it, files of ours without
//! a manifest are the rest of an import, which begins anew.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::base::ids::{Db, HOME, ShardId};
use crate::commands::remake::{Made, Remake, gave};
use crate::config::Config;
use crate::limits::MANIFEST_MAX;
use crate::persist::names;
use crate::persist::rdb::file_reader::{Event, FileReader, Key};
use crate::persist::redis_files::{self, Choice, LogFirst, Names, choose};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::buffer::Buffer;
use crate::resp::request::{Limits, Parser, Step};
use crate::router::slot::shard_of;
use crate::server::aligned::Aligned;
use crate::server::blocks::{Blocks, Way};
use crate::server::boot::StartError;
use crate::server::checkpoint;
use crate::server::core::Core;
use crate::server::disk;
use crate::server::load::{empty_shard, progress};
use crate::server::log;
use crate::server::recover::Found;
use crate::server::reshard;
use crate::shard::shard::Shard;

/// The files of Redis' that a start imports, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Paths in the data directory, with their lengths.
    pub files: Vec<(String, u64)>,
    /// A dump, or a log that may begin with one?
    pub form: Form,
}

/// What is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One dump.
    Dump,
    /// A log.
    Log,
}

/// A command for a shard.
type Order = (Db, Made);

/// Where commands go.
enum Keeper {
    /// To the shard that owns the key, with others.
    Owners(Vec<Batch>),
    /// To one shard beside the cores' own.
    Beside(Box<Shard>),
}

/// Commands for one shard, and their bytes.
#[derive(Default)]
struct Batch {
    orders: Vec<Order>,
    bytes: usize,
}

/// How often the log tells how far an import is.
const PROGRESS: Duration = Duration::from_secs(1);
/// Bytes of commands that are sent to a shard together.
const BATCH_BYTES: usize = 1 << 18;
/// Commands that are sent to a shard together: at a microsecond each, a slice that others can bear.
const BATCH_ORDERS: usize = 1 << 11;

/// Reads everything. On core 0.
pub async fn run(core: &Rc<Core>, found: &Found, import: &Import) -> Result<(), String> {
    let total = import.files.iter().map(|(_, length)| *length).sum();
    core.shared.loaded.total.store(total, Ordering::Relaxed);
    let names: Vec<_> = import.files.iter().map(|(path, _)| path.as_str()).collect();
    log::notice(format!("Importing from Redis: {} ({total} bytes)", names.join(", ")));
    let mut keeper = match import.form {
        Form::Dump => Keeper::Owners((0..core.shards).map(|_| Batch::default()).collect()),
        Form::Log => {
            let config = core.settings.borrow().config.clone();
            Keeper::Beside(Box::new(empty_shard(ShardId(0), found, &config)))
        }
    };
    let mut db = Db(0);
    for (index, (path, _)) in import.files.iter().enumerate() {
        let last = index + 1 == import.files.len();
        let mut reading = Reading::open(core, path).await?;
        if import.form == Form::Dump || reading.block.starts_with(b"REDIS") {
            reading.dump(core, &mut keeper, import.form).await?;
        }
        if import.form == Form::Dump {
            continue;
        }
        let torn = match last && core.settings.borrow().config.aof_load_truncated {
            true => Torn::Dropped,
            false => Torn::Refused,
        };
        reading.log(core, &mut keeper, &mut db, torn).await?;
    }
    match keeper {
        Keeper::Owners(batches) => {
            for (owner, batch) in batches.into_iter().enumerate() {
                send(core, owner, batch).await?;
            }
        }
        Keeper::Beside(shard) => reshard::hand_over(core, *shard).await,
    }
    Ok(())
}

/// What was imported becomes the database, unless the settings say that nothing is to be written.
pub async fn commit(core: &Rc<Core>) -> Result<(), String> {
    let config = core.settings.borrow().config.clone();
    if !config.appendonly && config.save.is_empty() {
        log::warning(
            "What was imported is in memory only (appendonly no, save \"\"): the next start \
             imports it again, unless BGSAVE has written it",
        );
        return Ok(());
    }
    let directory = &core.database.directory;
    let marked = disk::replace_file(directory, names::IMPORT, Vec::new()).await;
    marked.map_err(|error| error.to_string())?;
    let summary = checkpoint::checkpoint(core).await?;
    log::notice(format!("Imported: {summary}; Redis' files are not needed any more"));
    Ok(())
}

/// What a first start on this directory imports.
pub fn find(directory: &Path, config: &Config) -> Result<Option<Import>, StartError> {
    let failed = |error: io::Error| StartError(format!("{}: {error}", directory.display()));
    let names = Names {
        dump: config.dbfilename.clone(),
        log: config.appendfilename.clone(),
        directory: config.appenddirname.clone(),
    };
    let length = |path: &String| match fs::metadata(directory.join(path)) {
        Ok(data) if data.is_file() => Ok(Some(data.len())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
    };
    let mut listing = BTreeMap::new();
    for path in [names.dump.clone(), names.log.clone(), names.manifest()] {
        if let Some(length) = length(&path)? {
            listing.insert(path, length);
        }
    }
    let first = if config.appendonly { LogFirst::Yes } else { LogFirst::No };
    let (paths, form) = match choose(&names, &listing, first) {
        Choice::Nothing => return Ok(None),
        Choice::Dump(path) => (vec![path], Form::Dump),
        Choice::Log(path) => (vec![path], Form::Log),
        Choice::Listed(path) => {
            let mut text = Vec::new();
            let file = fs::File::open(directory.join(&path)).map_err(failed)?;
            file.take(MANIFEST_MAX as u64).read_to_end(&mut text).map_err(failed)?;
            let files = redis_files::listed(&path, &text);
            let files =
                files.map_err(|fault| StartError(format!("nothing is imported: {fault}")))?;
            let inside = |file: String| format!("{}/{file}", names.directory);
            (files.into_iter().map(inside).collect(), Form::Log)
        }
    };
    let mut files = Vec::new();
    for path in paths {
        let missing = || StartError(format!("nothing is imported: {path} is missing"));
        let length = length(&path)?.ok_or_else(missing)?;
        files.push((path, length));
    }
    let mut left: Vec<_> = listing.into_keys().collect();
    left.retain(|path| *path != names.manifest() && files.iter().all(|file| file.0 != *path));
    if !left.is_empty() {
        let why = "appendonly says which one counts";
        log::warning(format!("Not imported: {} ({why})", left.join(", ")));
    }
    Ok(Some(Import { files, form }))
}

impl Keeper {
    async fn take(&mut self, core: &Rc<Core>, orders: Vec<Order>) -> Result<(), String> {
        match self {
            Keeper::Beside(shard) => obey(shard, &orders),
            Keeper::Owners(batches) => {
                let mut full = Vec::new();
                for order in orders {
                    let owner = order.1.key().map_or(HOME, |key| shard_of(key, core.shards));
                    let owner = owner.index();
                    let Some(batch) = batches.get_mut(owner) else { continue };
                    batch.bytes += order.1.args.byte_len();
                    batch.orders.push(order);
                    if batch.orders.len() >= BATCH_ORDERS || batch.bytes >= BATCH_BYTES {
                        full.push((owner, std::mem::take(batch)));
                    }
                }
                for (owner, batch) in full {
                    send(core, owner, batch).await?;
                }
                Ok(())
            }
        }
    }
}

async fn send(core: &Rc<Core>, owner: usize, batch: Batch) -> Result<(), String> {
    let work = move |core: &Rc<Core>| obey(&mut core.shard.borrow_mut(), &batch.orders);
    core.on(ShardId(owner as u16), work).await
}

/// Runs commands on a shard.
fn obey(shard: &mut Shard, orders: &[Order]) -> Result<(), String> {
    let mut reply = Vec::new();
    for (db, made) in orders {
        let args = made.args.args();
        if db.0 >= shard.keys.databases() {
            return Err(format!(
                "a key in database {}, but there are {} (setting databases)",
                db.0,
                shard.keys.databases()
            ));
        }
        shard.replay_named(args, *db, &mut reply).map_err(|bad| format!("{bad:?}"))?;
        if !gave(made.gives, &reply) {
            let key = String::from_utf8_lossy(args.at(1));
            return Err(format!("the value of {key:?} holds something twice"));
        }
    }
    Ok(())
}

/// What becomes of a command or a transaction that does not end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Torn {
    /// It is left out.
    Dropped,
    /// Nothing is imported.
    Refused,
}

/// One file that is being read.
struct Reading {
    path: String,
    blocks: Blocks,
    /// What was read and not used.
    block: Aligned,
    /// When the log was last told how far it is.
    told: Instant,
}

impl Reading {
    async fn open(core: &Core, path: &str) -> Result<Reading, String> {
        let full = core.database.directory.join(Path::new(path));
        let blocks = Blocks::open(&full, Way::Cached).await;
        let mut blocks = blocks.map_err(|error| error.to_string())?;
        let block = blocks.next(Aligned::default()).await.map_err(|error| error.to_string())?;
        core.shared.loaded.bytes.fetch_add(block.len() as u64, Ordering::Relaxed);
        Ok(Reading { path: path.to_owned(), blocks, block, told: Instant::now() })
    }

    async fn next(&mut self, core: &Core) -> Result<(), String> {
        let used = std::mem::take(&mut self.block);
        self.block = self.blocks.next(used).await.map_err(|error| error.to_string())?;
        core.shared.loaded.bytes.fetch_add(self.block.len() as u64, Ordering::Relaxed);
        if self.told.elapsed() >= PROGRESS {
            self.told = Instant::now();
            progress(core);
        }
        core.pauses.rest().await;
        Ok(())
    }

    /// A dump up to its end; of a log, what follows it is left in `block`.
    async fn dump(
        &mut self,
        core: &Rc<Core>,
        keeper: &mut Keeper,
        form: Form,
    ) -> Result<(), String> {
        let mut reader = FileReader::new(self.path.clone());
        let mut maker = Maker::default();
        while !self.block.is_empty() && !reader.at_end() {
            reader.feed(&self.block);
            let mut orders = Vec::new();
            while let Some(event) = reader.next().map_err(|fault| fault.to_string())? {
                maker.event(&self.path, event, &mut orders)?;
            }
            keeper.take(core, orders).await?;
            if !reader.at_end() {
                self.next(core).await?;
            }
        }
        core.shared.loaded.keys.fetch_add(maker.keys, Ordering::Relaxed);
        if form == Form::Dump || !reader.at_end() {
            reader.finish().map_err(|fault| fault.to_string())?;
        }
        log::notice(format!(
            "Imported {}: {} keys, format version {}{}",
            self.path,
            maker.keys,
            reader.version(),
            maker.made_by
        ));
        self.block = reader.rest().to_vec().into();
        if self.block.is_empty() {
            self.next(core).await?;
        }
        Ok(())
    }

    /// A log of plain commands, from what is in `block` on.
    async fn log(
        &mut self,
        core: &Rc<Core>,
        keeper: &mut Keeper,
        db: &mut Db,
        torn_end: Torn,
    ) -> Result<(), String> {
        if !matches!(self.block.first(), None | Some(b'*' | b'#')) {
            return Err(format!("{}: neither a log nor a dump", self.path));
        }
        let mut reader = LogReader::new(&self.path, *db);
        while !self.block.is_empty() {
            let mut orders = Vec::new();
            reader.feed(&self.block, &mut orders)?;
            core.shared.loaded.commands.fetch_add(orders.len() as u64, Ordering::Relaxed);
            keeper.take(core, orders).await.map_err(|why| format!("{}: {why}", self.path))?;
            self.next(core).await?;
        }
        *db = reader.db;
        let Some(torn) = reader.torn() else { return Ok(()) };
        if torn_end == Torn::Refused {
            return Err(format!(
                "{torn}; aof-load-truncated yes drops such an end of the last file"
            ));
        }
        log::warning(format!("{torn}: dropped (aof-load-truncated is yes)"));
        Ok(())
    }
}

/// Makes commands of a dump's events.
#[derive(Default)]
struct Maker {
    db: Db,
    deadline: Option<i64>,
    remake: Option<(Vec<u8>, Remake)>,
    keys: u64,
    made_by: String,
}

impl Maker {
    fn event(
        &mut self,
        path: &str,
        event: Event<'_>,
        orders: &mut Vec<Order>,
    ) -> Result<(), String> {
        let db = self.db;
        match event {
            Event::About(name, value) if &*name == b"redis-ver" => {
                self.made_by = format!(", written by Redis {}", String::from_utf8_lossy(&value));
            }
            Event::About(..) | Event::Expect(_) => {}
            Event::Library(text) => {
                let words: [&[u8]; 4] = [b"FUNCTION", b"LOAD", b"REPLACE", &text];
                orders.push((Db(0), Made { args: OwnedArgs::of(&words), gives: None }));
            }
            Event::Database(number) => {
                let number = u16::try_from(number);
                self.db = Db(number.map_err(|_| format!("{path}: a database that cannot be"))?);
            }
            Event::Key(Key { name, deadline, .. }) => {
                self.deadline = deadline;
                self.remake = Some((name.to_vec(), Remake::new(&name)));
            }
            Event::Part(part) => {
                if let Some((_, remake)) = &mut self.remake {
                    remake.part(part, &mut |made| orders.push((db, made)));
                }
            }
            Event::End => {
                let Some((key, mut remake)) = self.remake.take() else { return Ok(()) };
                remake.end(&mut |made| orders.push((db, made)));
                if remake.parts() == 0 {
                    let key = String::from_utf8_lossy(&key);
                    log::warning(format!("{path}: {key:?} holds nothing and is left out"));
                    return Ok(());
                }
                self.keys += 1;
                if let Some(deadline) = self.deadline {
                    let deadline = deadline.max(1).to_string();
                    let words: [&[u8]; 3] = [b"PEXPIREAT", &key, deadline.as_bytes()];
                    orders.push((db, Made { args: OwnedArgs::of(&words), gives: None }));
                }
            }
        }
        Ok(())
    }
}

/// Finds the commands of one file of a log. Those between MULTI and EXEC come together or not at
/// all.
struct LogReader {
    path: String,
    buffer: Buffer,
    parser: Parser,
    db: Db,
    held: Option<Vec<Order>>,
    /// Bytes up to which everything is whole.
    whole: u64,
    fed: u64,
}

impl LogReader {
    fn new(path: &str, db: Db) -> LogReader {
        let (buffer, parser) = (Buffer::new(), Parser::new());
        LogReader { path: path.to_owned(), buffer, parser, db, held: None, whole: 0, fed: 0 }
    }

    fn feed(&mut self, block: &[u8], orders: &mut Vec<Order>) -> Result<(), String> {
        self.buffer.fill(block);
        self.fed += block.len() as u64;
        loop {
            let step = self.parser.next(&mut self.buffer, &Limits::default());
            if self.held.is_none() {
                // The request that is being read, whole or not, begins where what is pending does.
                self.whole = self.fed - self.buffer.pending() as u64;
            }
            match step {
                Step::Incomplete => return Ok(()),
                Step::Invalid(invalid) => return Err(self.bad(&invalid.log())),
                Step::Request => {}
            }
            let args = self.parser.args(&self.buffer);
            if !args.at(0).starts_with(b"#") {
                let taken = take(args, &mut self.db, &mut self.held, orders);
                taken.map_err(|why| self.bad(&why))?;
            }
        }
    }

    fn bad(&self, why: &str) -> String {
        format!("{}: behind byte {}: {why}", self.path, self.whole)
    }

    /// What is wrong with the end of the file.
    fn torn(&self) -> Option<String> {
        let what = match (&self.held, self.buffer.pending()) {
            (Some(_), _) => "a transaction that does not end",
            (None, 0) => return None,
            (None, _) => "a command that does not end",
        };
        Some(format!("{}: from byte {} on: {what}", self.path, self.whole))
    }
}

fn take(
    args: Args<'_>,
    db: &mut Db,
    held: &mut Option<Vec<Order>>,
    orders: &mut Vec<Order>,
) -> Result<(), String> {
    let name = args.at(0);
    if name.eq_ignore_ascii_case(b"SELECT") {
        let number = std::str::from_utf8(args.at(1)).ok().and_then(|number| number.parse().ok());
        *db = Db(number.ok_or("a bad SELECT")?);
    } else if name.eq_ignore_ascii_case(b"MULTI") {
        if held.replace(Vec::new()).is_some() {
            return Err("MULTI within MULTI".to_owned());
        }
    } else if name.eq_ignore_ascii_case(b"EXEC") {
        orders.append(&mut held.take().ok_or("EXEC without MULTI")?);
    } else {
        let order = (*db, Made { args: args.to_owned(), gives: None });
        held.as_mut().unwrap_or(orders).push(order);
    }
    Ok(())
}
