//! Gathers what INFO tells: figures of all cores, of the saver and of the process.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::ids::{Db, ShardId};
use crate::commands::admin::Busy;
use crate::commands::pubsub::Scope;
use crate::keyspace::memory::Memory;
use crate::observe::counters::Counters;
use crate::observe::events::Events;
use crate::observe::facts::{
    ClientFacts, CpuFacts, DbFacts, EndedFacts, Facts, LoadingFacts, LogFacts, LogState,
    MemoryFacts, PersistenceFacts, Purpose, RunningFacts, ScriptFacts, ServerFacts, ShardFacts,
    SnapshotFacts, StatsFacts,
};
use crate::observe::rate::Rate;
use crate::server::core::Core;
use crate::server::saver::Saving;

/// What one core says.
struct View {
    counters: Counters,
    shard: ShardFacts,
    dbs: Vec<DbFacts>,
    memory: Memory,
    objects: usize,
    changes: u64,
    log_bytes: u64,
    log_buffer: usize,
    syncing: bool,
    snapshot: SnapshotFacts,
    keys_done: u64,
    keys_total: u64,
    watching: usize,
    subscribed: usize,
    blocked_and_tracking: (usize, usize),
    blocking_keys: usize,
    tracking: (usize, usize, usize),
    names: [Vec<u64>; 3],
    rates: [u64; 3],
    client_bytes: usize,
}

/// Everything, summed over the cores where it has to be.
pub async fn gather(core: &Rc<Core>) -> Facts {
    core.look_around().await;
    let views = core.on_all(view).await;
    let saving = core.on(ShardId(0), |core| core.saver.state.borrow().clone()).await;
    let config = core.settings.borrow().config.clone();
    let mut counters = Counters::default();
    views.iter().for_each(|view| counters.merge(&view.counters));
    Facts {
        scripts: scripts(core),
        server: server(core),
        clients: ClientFacts {
            connected: core.shared.clients.load(Ordering::Relaxed),
            max: config.maxclients,
            watching: views.iter().map(|view| view.watching).sum(),
            blocked: views.iter().map(|view| view.blocked_and_tracking.0).sum(),
            tracking: views.iter().map(|view| view.blocked_and_tracking.1).sum(),
            blocking_keys: views.iter().map(|view| view.blocking_keys).sum(),
            pubsub: views.iter().map(|view| view.subscribed).sum(),
            ..ClientFacts::default()
        },
        memory: memory(core, &views),
        persistence: persistence(core, &views, &saving),
        counters,
        stats: stats(&views),
        cpu: cpu(),
        keyspace: keyspace(&views, config.databases),
        shards: views.into_iter().map(|view| view.shard).collect(),
        percentiles: match config.latency_tracking {
            true => config.latency_tracking_info_percentiles.clone(),
            false => Vec::new(),
        },
    }
}

fn scripts(core: &Rc<Core>) -> ScriptFacts {
    let scripts = &core.shared.scripts;
    let (kept, texts) = scripts.kept();
    let registry = scripts.functions.now();
    ScriptFacts {
        kept: kept as u64,
        texts: texts as u64,
        lua: scripts.memory() as u64,
        libraries: registry.len() as u64,
        functions: registry.functions() as u64,
        registered: registry.bytes() as u64,
    }
}

fn view(core: &Rc<Core>) -> View {
    core.shard.borrow_mut().count_fields();
    let shard = core.shard.borrow();
    let memory = shard.keys.memory();
    let databases = (0..shard.keys.databases()).map(Db);
    let dbs: Vec<DbFacts> = databases
        .map(|db| DbFacts {
            db,
            keys: shard.keys.len(db) as u64,
            expires: shard.keys.expiring(db) as u64,
            avg_ttl: 0,
        })
        .collect();
    let log = shard.log();
    let progress = shard.keys.progress();
    View {
        shard: ShardFacts {
            shard: core.id,
            keys: dbs.iter().map(|db| db.keys).sum(),
            bytes: memory.used as u64,
            clients: core.clients.len(),
            commands: shard.counters.commands_processed,
            log: match log {
                None => LogState::Off,
                Some(log) => match log.fault() {
                    None => LogState::Good,
                    Some(fault) => LogState::Failed(fault.to_string()),
                },
            },
            appended: shard.appended(),
            written: log.map_or(shard.appended(), |log| log.written()),
            synced: log.map_or(shard.appended(), |log| log.durable()),
        },
        counters: shard.counters.clone(),
        dbs,
        memory,
        objects: shard.keys.pending_objects(),
        changes: shard.changes,
        log_bytes: log.map_or(0, |log| log.length()),
        log_buffer: log.map_or(0, |log| log.pending()),
        syncing: log.is_some_and(|log| log.syncing()),
        snapshot: shard.snapshot_facts(),
        keys_done: progress.map_or(0, |progress| progress.written),
        keys_total: progress.map_or(0, |progress| progress.keys),
        watching: core.clients.watching(),
        subscribed: core.clients.subscribed(),
        blocked_and_tracking: core.clients.blocked_and_tracking(),
        blocking_keys: shard.ears.waiting.keys(),
        tracking: shard.ears.tracking.sizes(),
        names: Scope::ALL.map(|scope| core.channels.borrow().hashes(scope)),
        rates: core.rates.borrow().each_ref().map(Rate::per_second),
        client_bytes: core.clients.bytes(),
    }
}

fn stats(views: &[View]) -> StatsFacts {
    let different = |at: usize| {
        let names = views.iter().filter_map(|view| view.names.get(at)).flatten();
        names.collect::<BTreeSet<_>>().len()
    };
    let [commands, input, output] =
        [0, 1, 2].map(|at| views.iter().filter_map(|view| view.rates.get(at)).sum());
    StatsFacts {
        ops_per_second: commands,
        input_per_second: input,
        output_per_second: output,
        pubsub_channels: different(0),
        pubsub_patterns: different(1),
        pubsub_shard_channels: different(2),
        tracking_keys: views.iter().map(|view| view.tracking.0).sum(),
        tracking_items: views.iter().map(|view| view.tracking.1).sum(),
        tracking_prefixes: views.iter().map(|view| view.tracking.2).max().unwrap_or_default(),
    }
}

/// The counters of all cores together.
pub async fn counters(core: &Rc<Core>) -> Counters {
    let all = core.on_all(|core| core.shard.borrow().counters.clone()).await;
    let mut sum = Counters::default();
    all.iter().for_each(|counters| sum.merge(counters));
    sum
}

/// The latency events of all cores together.
pub async fn events(core: &Rc<Core>) -> Events {
    let all = core.on_all(|core| core.events.borrow().clone()).await;
    let mut sum = Events::default();
    all.iter().for_each(|events| sum.merge(events));
    sum
}

/// LATENCY RESET: how many events were forgotten.
pub async fn reset_events(core: &Rc<Core>, names: Vec<String>) -> usize {
    let known = events(core).await;
    let all: Vec<String> = known.latest().map(|(name, ..)| name.to_owned()).collect();
    let wanted: Vec<String> = if names.is_empty() { all.clone() } else { names };
    let count = all.iter().filter(|name| wanted.contains(name)).count();
    core.on_all(move |core| {
        for name in &wanted {
            core.events.borrow_mut().reset(name);
        }
    })
    .await;
    count
}

fn server(core: &Core) -> ServerFacts {
    let config = &core.settings.borrow().config;
    let system = rustix::system::uname();
    ServerFacts {
        os: format!(
            "{} {} {}",
            system.sysname().to_string_lossy(),
            system.release().to_string_lossy(),
            system.machine().to_string_lossy()
        ),
        process_id: std::process::id(),
        run_id: core.shared.run_id.clone(),
        tcp_port: config.port,
        bind: config.bind.clone(),
        time_usec: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_micros() as u64),
        uptime_seconds: core.shared.started.elapsed().as_secs(),
        executable: std::env::current_exe()
            .map_or_else(|_| String::new(), |path| path.display().to_string()),
        config_file: core
            .shared
            .config_file
            .as_ref()
            .map_or_else(String::new, |path| path.display().to_string()),
        cores: usize::from(core.shards),
    }
}

fn memory(core: &Core, views: &[View]) -> MemoryFacts {
    let config = &core.settings.borrow().config;
    let dataset = views.iter().map(|view| (view.memory.tables + view.memory.values) as u64).sum();
    let used: u64 = views.iter().map(|view| view.memory.used as u64).sum();
    let rss = resident();
    MemoryFacts {
        dataset,
        used,
        peak: core.shared.memory_peak.fetch_max(used, Ordering::Relaxed).max(used),
        startup: views.iter().map(|view| view.memory.overhead as u64).sum(),
        rss,
        total_system: machine_memory(),
        clients: views.iter().map(|view| view.client_bytes as u64).sum(),
        max: config.maxmemory,
        policy: config.maxmemory_policy.word(),
        aof_buffer: views.iter().map(|view| view.log_buffer as u64).sum(),
        lazyfree_pending: views.iter().map(|view| view.objects as u64).sum(),
        allocator: "mimalloc",
        ..MemoryFacts::default()
    }
}

fn persistence(core: &Core, views: &[View], saving: &Saving) -> PersistenceFacts {
    let config = &core.settings.borrow().config;
    let running = saving.since.map(|since| RunningFacts {
        purpose: match saving.busy {
            Busy::Rewriting => Purpose::Rewrite,
            Busy::Idle | Busy::Saving => Purpose::Save,
        },
        seconds: since.elapsed().as_secs(),
        keys_done: views.iter().map(|view| view.keys_done).sum(),
        keys_total: views.iter().map(|view| view.keys_total).sum(),
    });
    let ended = |seconds: i64, good| {
        u64::try_from(seconds).ok().map(|seconds| EndedFacts { seconds, good })
    };
    let loaded = &core.shared.loaded;
    PersistenceFacts {
        loading: core.shared.is_loading().then(|| LoadingFacts {
            start_second: loaded.since.load(Ordering::Relaxed),
            total_bytes: loaded.total.load(Ordering::Relaxed),
            loaded_bytes: loaded.bytes.load(Ordering::Relaxed),
            seconds: core.shared.started.elapsed().as_secs(),
        }),
        changes_since_save: views.iter().map(|view| view.changes).sum(),
        running,
        rewrite_scheduled: saving.rewrite_scheduled,
        last_save_second: saving.last_save,
        last_save: ended(saving.save_seconds, saving.save_ok),
        saves: saving.saves,
        last_rewrite: ended(saving.rewrite_seconds, saving.rewrite_ok),
        rewrites: saving.rewrites,
        rewrite_failures: saving.rewrite_failures,
        load_keys: loaded.keys.load(Ordering::Relaxed),
        log_failed: core.shared.is_broken(),
        log: config.appendonly.then(|| log(core, views, saving)),
        snapshot: snapshot(views, saving),
        generation: core.database.manifest().generation,
        epoch: core.shared.epochs.now(),
        retained: core.database.manifest().retained.len(),
        ..PersistenceFacts::default()
    }
}

fn log(core: &Core, views: &[View], saving: &Saving) -> LogFacts {
    let segments: u64 = views.iter().map(|view| view.log_bytes).sum();
    LogFacts {
        current_size: saving.last.bytes + segments,
        base_size: saving.last.bytes,
        buffer_length: views.iter().map(|view| view.log_buffer as u64).sum(),
        pending_syncs: views.iter().filter(|view| view.syncing).count() as u64,
        syncs: core.shared.syncs.load(Ordering::Relaxed),
        delayed_syncs: core.shared.delayed_syncs.load(Ordering::Relaxed),
    }
}

fn snapshot(views: &[View], saving: &Saving) -> SnapshotFacts {
    let mut sum = SnapshotFacts { cut_usec: saving.last.cut_usec, ..SnapshotFacts::default() };
    for SnapshotFacts {
        bytes_written,
        slices,
        longest_slice_usec,
        slow_slices,
        preimage_bytes,
        preimage_bytes_peak,
        writers_assisted,
        writers_waited,
        ..
    } in views.iter().map(|view| view.snapshot)
    {
        sum.bytes_written += bytes_written;
        sum.slices += slices;
        sum.slow_slices += slow_slices;
        sum.longest_slice_usec = sum.longest_slice_usec.max(longest_slice_usec);
        sum.preimage_bytes += preimage_bytes;
        sum.preimage_bytes_peak += preimage_bytes_peak;
        sum.writers_assisted += writers_assisted;
        sum.writers_waited += writers_waited;
    }
    sum
}

fn keyspace(views: &[View], databases: u16) -> Vec<DbFacts> {
    (0..usize::from(databases))
        .map(|index| {
            let same = views.iter().filter_map(|view| view.dbs.get(index));
            let zero = DbFacts { db: Db(index as u16), ..DbFacts::default() };
            same.fold(zero, |sum, db| DbFacts {
                keys: sum.keys + db.keys,
                expires: sum.expires + db.expires,
                ..sum
            })
        })
        .collect()
}

fn cpu() -> CpuFacts {
    // utime and stime are fields 14 and 15 of stat, in ticks; the name before them ends with `)`.
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let read = |path: &str| -> (f64, f64) {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
        let mut fields = rest.split_whitespace().skip(11);
        let mut next = || {
            fields.next().and_then(|field| field.parse::<f64>().ok()).unwrap_or_default() / ticks
        };
        (next(), next())
    };
    let (user, system) = read("/proc/self/stat");
    let (user_main_thread, system_main_thread) = read("/proc/thread-self/stat");
    CpuFacts { system, user, system_main_thread, user_main_thread }
}

/// Resident bytes of the process.
fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 =
        text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or_default();
    pages * rustix::param::page_size() as u64
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib =
        line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}
