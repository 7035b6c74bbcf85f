//! The composition root: from a configuration to running cores, and back to an exit code.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use glommio::{LocalExecutorBuilder, Placement};

use crate::base::ids::ShardId;
use crate::config::Config;
use crate::server::clock;
use crate::server::core::{Core, Message};
use crate::server::lock::DirectoryLock;
use crate::server::log;
use crate::server::mesh::{Port, mesh};
use crate::server::recover::{self, Found};
use crate::server::shared::{Settings, Shared};
use crate::server::stream::{self, Net};
use crate::server::{advance, aof, housekeeping, listen, load, offline, saver, shutdown, users};

/// Why the server did not start: one line for the operator.
#[derive(Debug)]
pub struct StartError(pub String);

impl fmt::Display for StartError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for StartError {}

/// Runs the server until it is told to stop.
///
/// `notes` are lines about the configuration, `config_file` is what CONFIG REWRITE writes.
pub fn run(
    mut config: Config,
    notes: &[String],
    config_file: Option<PathBuf>,
) -> Result<(), StartError> {
    let logfile = Some(config.logfile.as_str()).filter(|name| !name.is_empty()).map(PathBuf::from);
    log::open(config.loglevel, logfile.as_deref())
        .map_err(|error| StartError(format!("cannot open the log file: {error}")))?;
    let stop = stop_flag()?;
    let cpus = cpus();
    // CONFIG REWRITE is to write what was asked for, not what it came to.
    let asked = config.clone();
    if config.shards == 0 {
        config.shards = cpus.len() as u16;
    }
    raise_file_limit(&mut config);
    let listeners = listen::bind(&config)?;
    let directory = own_directory(&config)?;
    let users = Arc::new(users::at_start(&config, &directory)?);
    let lock = DirectoryLock::take(&directory).map_err(|error| StartError(error.to_string()))?;
    let lock = Arc::new(lock);
    greet(&config, &cpus, &directory);
    notes.iter().for_each(log::notice);
    offline::refuse_doubtful_copy(&directory, &lock)?;
    let found = recover::find(&directory, &config)?;
    write_pid_file(&config)?;
    let shared = Arc::new(Shared::new(config.shards, found.run_hex(), config_file, clock::wall()));
    let found = Arc::new(found);
    let settings = Settings::new(asked, users);
    let mut threads = Vec::new();
    let mut listeners = Some(listeners);
    for (port, cpu) in mesh::<Message>(config.shards).into_iter().zip(cpus.iter().cycle()) {
        let start = Start {
            shared: Arc::clone(&shared),
            found: Arc::clone(&found),
            settings: settings.clone(),
            stop: Arc::clone(&stop),
            lock: Arc::clone(&lock),
            listeners: listeners.take_if(|_| port.id() == ShardId(0)),
        };
        let name = format!("shard-{}", port.id().0);
        let thread = LocalExecutorBuilder::new(Placement::Fixed(*cpu))
            .name(&name)
            .spawn(move || start_core(port, start))
            .map_err(|error| StartError(no_executor(&error.to_string())))?;
        threads.push(thread);
    }
    for thread in threads {
        thread.join().map_err(|error| StartError(no_executor(&error.to_string())))??;
    }
    Ok(())
}

struct Start {
    shared: Arc<Shared>,
    found: Arc<Found>,
    settings: Settings,
    stop: Arc<AtomicBool>,
    lock: Arc<DirectoryLock>,
    listeners: Option<listen::Listeners>,
}

/// One core from its birth to the end of the process.
async fn start_core(port: Port<Message>, start: Start) -> Result<(), StartError> {
    let Start { shared, found, settings, stop, lock, listeners } = start;
    let shard = load::empty_shard(port.id(), &found, &settings.config);
    let database = Arc::clone(&found.database);
    let net = Net::new().map_err(|error| {
        StartError(format!("cannot make an io_uring ring (Linux 6.1 or later): {error}"))
    })?;
    let core = Rc::new(Core::new(shard, port, database, shared, settings, net));
    glommio::spawn_local(stream::drive(Rc::clone(&core))).detach();
    if let Some(listeners) = listeners {
        listen::serve(&core, listeners);
    }
    if let Err(why) = load::load(&core, &found).await {
        if core.id == ShardId(0) {
            return Err(StartError(why));
        }
        // Core 0 ends the process; until it looks, the others may still hand keys over to this one.
        let _ = core.shared.loaded.failed.set(why);
        return std::future::pending().await;
    }
    glommio::spawn_local(aof::tend(Rc::clone(&core))).detach();
    glommio::spawn_local(housekeeping::tend(Rc::clone(&core))).detach();
    if core.id != ShardId(0) {
        // Core 0 ends the process; the others serve until then.
        return std::future::pending().await;
    }
    load::finish(&core, &found).await.map_err(StartError)?;
    // What is in the directory now has been written or approved by this run.
    lock.adopt().map_err(|error| StartError(error.to_string()))?;
    glommio::spawn_local(advance::tend(Rc::clone(&core))).detach();
    glommio::spawn_local(aof::every_second(Rc::clone(&core))).detach();
    glommio::spawn_local(saver::tend(Rc::clone(&core))).detach();
    core.shared.set_loading(false);
    log::notice("Ready to accept connections tcp");
    shutdown::wait(&core, &stop).await;
    Ok(())
}

/// Set by SIGTERM and SIGINT. A second signal ends the process at once.
fn stop_flag() -> Result<Arc<AtomicBool>, StartError> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        let ends = signal_hook::flag::register_conditional_shutdown(signal, 1, Arc::clone(&stop));
        let sets = signal_hook::flag::register(signal, Arc::clone(&stop));
        ends.and(sets).map_err(|error| StartError(format!("cannot handle signals: {error}")))?;
    }
    debug_assert!(!stop.load(Ordering::Relaxed));
    Ok(stop)
}

/// The processors that this process may use.
fn cpus() -> Vec<usize> {
    let allowed = rustix::thread::sched_getaffinity(None);
    let cpus: Vec<usize> = match allowed {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect(),
        Err(_) => Vec::new(),
    };
    if cpus.is_empty() { vec![0] } else { cpus }
}

/// Descriptors beside those of clients: files, rings, event descriptors, listeners.
const OTHER_FILES: u64 = 64;

/// Every client needs a descriptor: raises the limit, or lowers maxclients with a log line.
fn raise_file_limit(config: &mut Config) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = config.maxclients as u64 + OTHER_FILES + 16 * u64::from(config.shards);
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|now| now >= wanted) {
        return;
    }
    let higher =
        Rlimit { current: Some(wanted), maximum: limit.maximum.map(|max| max.max(wanted)) };
    if setrlimit(Resource::Nofile, higher).is_ok() {
        return;
    }
    let most = limit.maximum.unwrap_or(wanted);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    let clients = most.saturating_sub(OTHER_FILES + 16 * u64::from(config.shards)).max(1);
    if clients < config.maxclients as u64 {
        log::warning(format!(
            "maxclients lowered from {} to {clients}: the limit of open files is {most} \
             (ulimit -n)",
            config.maxclients
        ));
        config.maxclients = clients as usize;
    }
}

fn own_directory(config: &Config) -> Result<PathBuf, StartError> {
    let directory = PathBuf::from(&config.dir);
    std::fs::create_dir_all(&directory).map_err(|error| {
        StartError(format!("cannot use the directory {}: {error}", directory.display()))
    })?;
    directory.canonicalize().map_err(|error| {
        StartError(format!("cannot use the directory {}: {error}", directory.display()))
    })
}

fn greet(config: &Config, cpus: &[usize], directory: &Path) {
    let system = rustix::system::uname();
    log::notice(format!(
        "Basalt {} starting: {} shards on cores {cpus:?}, kernel {}, process {}",
        env!("CARGO_PKG_VERSION"),
        config.shards,
        system.release().to_string_lossy(),
        std::process::id()
    ));
    log::notice(format!("Data directory: {}", directory.display()));
}

fn write_pid_file(config: &Config) -> Result<(), StartError> {
    if config.pidfile.is_empty() {
        return Ok(());
    }
    let text = format!("{}\n", std::process::id());
    std::fs::write(&config.pidfile, text).or_else(|error: io::Error| {
        log::warning(format!("cannot write the pid file {}: {error}", config.pidfile));
        Ok(())
    })
}

/// What an executor's failure means to an operator.
fn no_executor(error: &str) -> String {
    if error.contains("memlock") {
        return format!(
            "io_uring needs locked memory: raise the limit to at least 512 KiB a core \
             (ulimit -l, or LimitMEMLOCK= in the unit file): {error}"
        );
    }
    format!(
        "cannot start an executor; io_uring has to be available (Linux 6.1 or later, and \
         /proc/sys/kernel/io_uring_disabled 0): {error}"
    )
}
