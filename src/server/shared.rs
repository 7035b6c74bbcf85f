//! What all cores share: a few atomics and rarely read facts. Keys are not among them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::base::ids::{Epoch, ShardId, TxId};
use crate::base::time::Millis;
use crate::commands::acl::users::Users;
use crate::commands::client::Paused;
use crate::commands::session::Facts;
use crate::config::Config;
use crate::observe::acl_log::AclLog;
use crate::persist::recovery::Replay;
use crate::resp::error::Error;
use crate::server::epochs::Epochs;
use crate::server::rewrite::Seen;
use crate::server::scripts::Scripts;
use crate::shard::upkeep::Supply;

/// The settings in force, as one core keeps them.
#[derive(Clone, Debug)]
pub struct Settings {
    /// All of them.
    pub config: Arc<Config>,
    /// What session commands read, the users among it.
    pub facts: Arc<Facts>,
}

/// Shared by all cores.
#[derive(Debug)]
pub struct Shared {
    /// The global epoch.
    pub epochs: Epochs,
    /// Connections that are open.
    pub clients: AtomicUsize,
    /// When the process started.
    pub started: Instant,
    /// 40 hexadecimal digits that name this run of the server.
    pub run_id: String,
    /// The configuration file, for CONFIG REWRITE.
    pub config_file: Option<PathBuf>,
    /// DEBUG SET-ACTIVE-EXPIRE.
    pub active_expire: AtomicBool,
    /// Syncs of the log since the start.
    pub syncs: AtomicU64,
    /// Syncs that took longer than a second.
    pub delayed_syncs: AtomicU64,
    /// The largest sum of the shards' memory that was seen.
    pub memory_peak: AtomicU64,
    /// How far loading is.
    pub loaded: Loaded,
    /// Scripts: their texts, and those that run.
    pub scripts: Scripts,
    loading: AtomicBool,
    /// When the last round of syncs began that has proven everything before it, in microseconds
    /// since the start.
    proven: AtomicU64,
    durable: Vec<AtomicU64>,
    memory: Vec<AtomicU64>,
    barren: Vec<AtomicBool>,
    subscriptions: Vec<AtomicUsize>,
    news: Vec<AtomicUsize>,
    /// Sessions with MONITOR.
    pub monitors: AtomicUsize,
    /// CLIENT PAUSE: until when, in milliseconds since 1970; 0: not at all.
    paused_until: AtomicU64,
    /// It lets all commands wait, not only writes.
    paused_all: AtomicBool,
    next_client: AtomicU64,
    next_tx: AtomicU64,
    fault: Mutex<String>,
    /// What users were denied lately.
    denials: Mutex<AclLog>,
}

/// Progress of loading, counted by all cores.
#[derive(Debug, Default)]
pub struct Loaded {
    /// When it began: seconds since 1970.
    pub since: AtomicU64,
    /// Bytes to be read.
    pub total: AtomicU64,
    /// Bytes that were read.
    pub bytes: AtomicU64,
    /// Keys in the bases.
    pub keys: AtomicU64,
    /// Commands of the log that were run again.
    pub commands: AtomicU64,
    /// Cores that are done.
    pub cores: AtomicUsize,
    /// What the kept parts of the log were when they were run, by path.
    seen: Mutex<BTreeMap<String, Seen>>,
    /// Why a core could not load its files.
    pub failed: OnceLock<String>,
}

impl Loaded {
    /// The records of a segment have been run.
    pub fn note_seen(&self, path: &str, seen: Seen) {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(path.to_owned(), seen);
    }

    /// What a segment was when its records were run.
    pub fn take_seen(&self, replay: &Replay) -> Seen {
        let mut all = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&replay.path).unwrap_or_else(|| Seen::of(replay))
    }
}

impl Settings {
    /// The settings of a configuration, with these users.
    pub fn new(config: Config, users: Arc<Users>) -> Settings {
        let facts = Facts::of(&config, users);
        Settings { config: Arc::new(config), facts: Arc::new(facts) }
    }

    /// The same settings with other users.
    pub fn with_users(&self, users: Arc<Users>) -> Settings {
        let facts = Facts { users, ..Facts::clone(&self.facts) };
        Settings { config: Arc::clone(&self.config), facts: Arc::new(facts) }
    }
}

impl Shared {
    /// For `shards` cores; the data set is not loaded yet. `now` makes transaction ids unique over
    /// all runs of the server, since a log may hold those of several.
    pub fn new(shards: u16, run_id: String, config_file: Option<PathBuf>, now: Millis) -> Shared {
        Shared {
            epochs: Epochs::new(Epoch(1)),
            clients: AtomicUsize::new(0),
            started: Instant::now(),
            run_id,
            config_file,
            active_expire: AtomicBool::new(true),
            syncs: AtomicU64::new(0),
            delayed_syncs: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            loaded: Loaded::default(),
            scripts: Scripts::default(),
            loading: AtomicBool::new(true),
            proven: AtomicU64::new(0),
            durable: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            memory: (0..shards).map(|_| AtomicU64::new(0)).collect(),
            barren: (0..shards).map(|_| AtomicBool::new(false)).collect(),
            subscriptions: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            news: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            monitors: AtomicUsize::new(0),
            paused_until: AtomicU64::new(0),
            paused_all: AtomicBool::new(false),
            next_client: AtomicU64::new(1),
            next_tx: AtomicU64::new(now.0 << 20),
            fault: Mutex::default(),
            denials: Mutex::default(),
        }
    }

    /// The id of a new connection.
    pub fn client_id(&self) -> u64 {
        self.next_client.fetch_add(1, Ordering::Relaxed)
    }

    /// The id of a new transaction.
    pub fn tx_id(&self) -> TxId {
        TxId(self.next_tx.fetch_add(1, Ordering::Relaxed))
    }

    /// Is the data set being loaded?
    pub fn is_loading(&self) -> bool {
        self.loading.load(Ordering::Acquire)
    }

    /// Says whether the data set is being loaded.
    pub fn set_loading(&self, loading: bool) {
        self.loading.store(loading, Ordering::Release);
    }

    /// A shard's data takes so much memory.
    pub fn publish_memory(&self, shard: ShardId, bytes: usize) {
        if let Some(place) = self.memory.get(shard.index()) {
            place.store(bytes as u64, Ordering::Relaxed);
        }
    }

    /// A shard has, or has not, keys that may be evicted.
    pub fn publish_supply(&self, shard: ShardId, supply: Supply) {
        if let Some(place) = self.barren.get(shard.index()) {
            place.store(supply == Supply::None, Ordering::Relaxed);
        }
    }

    /// Has any shard keys that may be evicted, as far as they have said?
    pub fn supply(&self) -> Supply {
        match self.holdings().all(|(_, supply)| supply == Supply::None) {
            true => Supply::None,
            false => Supply::Some,
        }
    }

    /// Bytes of data of each shard, and whether it may have keys to give up, as far as they have
    /// said.
    pub fn holdings(&self) -> impl Iterator<Item = (u64, Supply)> {
        let supply = |barren: &AtomicBool| match barren.load(Ordering::Relaxed) {
            true => Supply::None,
            false => Supply::Some,
        };
        let all = self.memory.iter().zip(&self.barren);
        all.map(move |(bytes, barren)| (bytes.load(Ordering::Relaxed), supply(barren)))
    }

    /// Bytes of data of all shards, as far as they have said.
    pub fn memory(&self) -> u64 {
        self.memory.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }

    /// So many subscriptions are there on a core; said before the subscriber is told that it is
    /// one.
    pub fn publish_subscriptions(&self, shard: ShardId, count: usize) {
        if let Some(place) = self.subscriptions.get(shard.index()) {
            place.store(count, Ordering::SeqCst);
        }
    }

    /// Something nobody answers is on its way to a core.
    pub fn news_sent(&self, shard: ShardId) {
        self.news.get(shard.index()).inspect(|count| _ = count.fetch_add(1, Ordering::Relaxed));
    }

    /// It has arrived.
    pub fn news_taken(&self, shard: ShardId) {
        self.news.get(shard.index()).inspect(|count| _ = count.fetch_sub(1, Ordering::Relaxed));
    }

    /// What is on its way to the core that has most of it.
    pub fn news_waiting(&self) -> usize {
        self.news.iter().map(|count| count.load(Ordering::Relaxed)).max().unwrap_or_default()
    }

    /// CLIENT PAUSE. A pause is never made shorter or narrower by another one.
    pub fn pause(&self, until: Millis, which: Paused, now: Millis) {
        let was = self.paused(now);
        self.paused_all.store(which == Paused::All || was == Some(Paused::All), Ordering::SeqCst);
        match was {
            Some(_) => _ = self.paused_until.fetch_max(until.0, Ordering::SeqCst),
            None => self.paused_until.store(until.0, Ordering::SeqCst),
        }
    }

    /// CLIENT UNPAUSE.
    pub fn unpause(&self) {
        self.paused_until.store(0, Ordering::SeqCst);
    }

    /// Has CLIENT PAUSE been used since it last ended? The one question of the path of a command.
    #[inline]
    pub fn may_be_paused(&self) -> bool {
        self.paused_until.load(Ordering::Relaxed) != 0
    }

    /// What is paused.
    pub fn paused(&self, now: Millis) -> Option<Paused> {
        let until = self.paused_until.load(Ordering::SeqCst);
        if until <= now.0 {
            return None;
        }
        Some(match self.paused_all.load(Ordering::SeqCst) {
            true => Paused::All,
            false => Paused::Writes,
        })
    }

    /// Subscriptions on a core.
    pub fn subscriptions(&self, shard: ShardId) -> usize {
        self.subscriptions.get(shard.index()).map_or(0, |count| count.load(Ordering::SeqCst))
    }

    /// A shard is durable up to this epoch.
    pub fn publish_durable(&self, shard: ShardId, epoch: Epoch) {
        if let Some(place) = self.durable.get(shard.index()) {
            place.fetch_max(epoch.0, Ordering::AcqRel);
        }
    }

    /// Everything that was appended before this moment is proven to be durable, or was acknowledged
    /// without such a promise.
    pub fn note_proven(&self, began: Instant) {
        let micros = began.saturating_duration_since(self.started).as_micros() as u64;
        self.proven.store(micros, Ordering::Relaxed);
    }

    /// How much of the past is not proven, at this moment.
    pub fn unproven(&self, now: Instant) -> Duration {
        let proven = Duration::from_micros(self.proven.load(Ordering::Relaxed));
        now.saturating_duration_since(self.started).saturating_sub(proven)
    }

    /// All shards are durable up to this epoch.
    pub fn durable_epoch(&self) -> Epoch {
        let least = self.durable.iter().map(|epoch| epoch.load(Ordering::Acquire)).min();
        Epoch(least.unwrap_or_default())
    }

    /// What users were denied lately.
    pub fn denials(&self) -> MutexGuard<'_, AclLog> {
        self.denials.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What clients are told while the log is broken.
    pub fn fault(&self) -> Error {
        Error::log_failed(&self.fault.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Is the log broken?
    pub fn is_broken(&self) -> bool {
        !self.fault.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Says why the log is broken. The first reason stays until `clear_fault`.
    pub fn set_fault(&self, reason: String) {
        let mut fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        if fault.is_empty() {
            *fault = reason;
        }
    }

    /// The log is whole again.
    pub fn clear_fault(&self) {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
