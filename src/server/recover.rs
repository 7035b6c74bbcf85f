//! What a start finds in the data directory: reads and scans it, and takes the plan from
//! `persist::recovery`. Nothing is changed here.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::base::ids::Epoch;
use crate::base::prng::Prng;
use crate::config::Config;
use crate::config::values::Recovery;
use crate::persist::manifest::{HashId, Manifest, ShardFiles};
use crate::persist::names;
use crate::persist::record::RunId;
use crate::persist::recovery::{Cut, Mode, Plan, plan_new};
use crate::persist::segment_scan::Parts;
use crate::router::slot;
use crate::server::aof;
use crate::server::boot::StartError;
use crate::server::clock;
use crate::server::database::Database;
use crate::server::disk::{create_anew, read_chance};
use crate::server::import::{self, Import};
use crate::server::inspect::{self, Inspected, Unread};
use crate::server::log;

/// The function of our tables' hash, as files name it.
pub const HASH_FUNCTION: u16 = 1;

/// What is to be loaded, and what the server goes on with.
#[derive(Debug)]
pub struct Found {
    /// The directory, with the manifest that the run begins with.
    pub database: Arc<Database>,
    /// The manifest that was there, and what to do with its files.
    pub old: Option<(Manifest, Plan)>,
    /// Without a manifest: what Redis has left there.
    pub import: Option<Import>,
    /// The epoch to go on with.
    pub epoch: Epoch,
}

impl Found {
    /// The run's id as INFO shows it: 40 digits.
    pub fn run_hex(&self) -> String {
        let run = self.database.run.0;
        format!("{run:032x}{:08x}", Prng::new(run as u64).next() as u32)
    }

    /// How many shards wrote the files; nothing when there are none.
    pub fn old_shards(&self) -> Option<u16> {
        self.old.as_ref().map(|(manifest, _)| manifest.shards.len() as u16)
    }

    /// Are the files those of another number of shards?
    pub fn is_resharding(&self) -> bool {
        let now = self.database.manifest().shards.len() as u16;
        self.old_shards().is_some_and(|old| old != now)
    }
}

/// Looks at the directory.
pub fn find(directory: &Path, config: &Config) -> Result<Found, StartError> {
    let failed = |why: Unread| StartError(why.to_string());
    let refused = |why: String| StartError(format!("the data is not loaded: {why}"));
    let inspected = Inspected::of(directory, Parts::Undecided).map_err(|why| match why {
        Unread::Fault(fault) => refused(fault.to_string()),
        other => failed(other),
    })?;
    let Some(inspected) = inspected else {
        let listing = inspect::list(directory).map_err(failed)?;
        let used = used_numbers(&listing);
        return new_database(directory, config, inspect::boot_id(), &listing, used);
    };
    let used = used_numbers(&inspected.listing);
    let mode = match config.recovery {
        Recovery::Auto => Mode::Auto,
        Recovery::Strict => Mode::Strict,
    };
    let plan = inspected.plan(mode).map_err(|refusal| refused(refusal.to_string()))?;
    let Inspected { manifest, boot, .. } = inspected;
    report(&plan);
    if !config.aof_load_truncated
        && let Some(cut) = plan.shards.iter().flat_map(|shard| &shard.cuts).next()
    {
        return Err(refused(format!("{cut} (aof-load-truncated is no)")));
    }
    let epoch = plan.epoch;
    let run = new_run();
    let next = Manifest {
        run,
        boot: boot.clone(),
        appendonly: config.appendonly,
        policy: aof::policy(config.appendfsync),
        ..plan.manifest(&manifest)
    };
    let next = if next.shards.len() == usize::from(config.shards) {
        next
    } else {
        // Nothing of the old files is governed by shards that did not write them; the checkpoint
        // at the end of loading takes their place.
        Manifest { shards: blank_files(config), slots: slot::ranges(config.shards), ..next }
    };
    let database = Arc::new(Database::new(directory.to_owned(), run, boot, next, used));
    Ok(Found { database, old: Some((manifest, plan)), import: None, epoch })
}

fn report(plan: &Plan) {
    log::notice(format!("Recovery: {:?}, {} shards", plan.origin, plan.shards.len()));
    if let Some(epoch) = plan.complete {
        log::notice(format!("Recovery: complete on every shard up to epoch {}", epoch.0));
    }
    for cut in plan.shards.iter().flat_map(|shard| &shard.cuts) {
        log::warning(format!("Recovery: {cut}; kept in {}/", names::LOST_CUT));
    }
    for path in &plan.foreign {
        log::notice(format!("Not part of the database, left alone: {path}"));
    }
}

fn new_database(
    directory: &Path,
    config: &Config,
    boot: String,
    listing: &BTreeMap<String, u64>,
    used: (u64, u64),
) -> Result<Found, StartError> {
    plan_new(listing)
        .map_err(|refusal| StartError(format!("the data is not loaded: {refusal}")))?;
    let import = import::find(directory, config)?;
    let run = new_run();
    let seed = Prng::new(run.0 as u64 ^ (run.0 >> 64) as u64).next();
    let manifest = Manifest {
        run,
        generation: crate::base::ids::Generation(used.0 + 1),
        cut: Epoch(0),
        cut_time: clock::wall(),
        durable: Epoch(0),
        boot: boot.clone(),
        appendonly: config.appendonly,
        policy: aof::policy(config.appendfsync),
        hash: HashId { function: HASH_FUNCTION, seed },
        retained: Vec::new(),
        slots: slot::ranges(config.shards),
        shards: blank_files(config),
    };
    let database = Arc::new(Database::new(directory.to_owned(), run, boot, manifest, used));
    Ok(Found { database, old: None, import, epoch: Epoch(1) })
}

fn blank_files(config: &Config) -> Vec<ShardFiles> {
    vec![ShardFiles::default(); usize::from(config.shards)]
}

/// A random id: no two runs of any server have the same.
fn new_run() -> RunId {
    let mut bytes = [0u8; 16];
    if read_chance(&mut bytes).is_err() {
        // Not unpredictable, but still unique on this machine.
        let seed = clock::wall().0 ^ u64::from(std::process::id()) << 44;
        let mut prng = Prng::new(seed);
        return RunId(u128::from(prng.next()) << 64 | u128::from(prng.next()));
    }
    RunId(u128::from_le_bytes(bytes))
}

/// The highest generation and segment number of any file, governed or not.
fn used_numbers(listing: &BTreeMap<String, u64>) -> (u64, u64) {
    let mut used = (0, 0);
    for path in listing.keys() {
        match names::parse(path) {
            Some(names::Name::Directory(generation)) => used.0 = used.0.max(generation.0),
            Some(names::Name::Segment(generation, _, number)) => {
                used = (used.0.max(generation.0), used.1.max(number));
            }
            _ => {}
        }
    }
    used
}

/// Keeps what a plan cuts off before the manifest that drops it is written.
pub fn keep_cuts(directory: &Path, cuts: &[Cut]) -> io::Result<()> {
    if cuts.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(directory.join(names::LOST_CUT))?;
    for cut in cuts {
        let mut from = fs::File::open(directory.join(&cut.path))?;
        io::Seek::seek(&mut from, io::SeekFrom::Start(cut.offset))?;
        let mut to = create_anew(&directory.join(names::lost(&cut.path, cut.offset)))?;
        io::copy(&mut from, &mut to)?;
        to.sync_all()?;
    }
    fs::File::open(directory.join(names::LOST_CUT))?.sync_all()?;
    fs::File::open(directory)?.sync_all()
}
