//! How this program ends: servers that it started end with it, whatever ends it.
//!
//! Each server leads a process group of its own, so that a Ctrl-C does not reach it before we have
//! read what we need, and so that a child that it has forked is ended too. SIGINT, SIGTERM and
//! SIGHUP set a flag that every loop looks at; a second one ends the process at once. The process
//! is `panic = "abort"`, so nothing is dropped in a panic: its hook kills the groups. For kill -9,
//! each server has asked the kernel to be killed with its parent (`exec`).

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::{Pid, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
static GROUPS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Prepares for all of them; once, at the start.
pub fn prepare() -> Result<(), String> {
    let flag = INTERRUPTED.get_or_init(Arc::default);
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let twice = signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(flag));
        let once = signal_hook::flag::register(signal, Arc::clone(flag));
        twice.and(once).map_err(|error| format!("signal {signal}: {error}"))?;
    }
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // The lock may be held by the thread that panics: then the kernel does it at our death.
        if let Ok(groups) = GROUPS.try_lock() {
            groups.iter().for_each(|group| kill(*group));
        }
        before(panic);
    }));
    Ok(())
}

/// Has somebody asked us to end?
pub fn interrupted() -> Result<(), String> {
    match INTERRUPTED.get().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
        true => Err("interrupted".to_owned()),
        false => Ok(()),
    }
}

/// A process group that must not outlive us.
pub fn guard(group: i32) {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).push(group);
}

/// Ends a group, and forgets it.
pub fn end(group: i32) {
    kill(group);
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != group);
}

fn kill(group: i32) {
    if let Some(pid) = Pid::from_raw(group) {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
}

/// Pins this process, has it killed with its parent, and becomes the program: how servers start.
pub fn exec(cores: &[usize], parent: u32, words: &[String]) -> ExitCode {
    use std::os::unix::process::CommandExt;
    let Some((program, rest)) = words.split_first() else { return ExitCode::from(2) };
    let dies_with_it = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // The parent may have died before we asked.
    let orphan = std::os::unix::process::parent_id() != parent;
    if let Err(why) = dies_with_it.map_err(|error| error.to_string()).and_then(|()| pin(cores)) {
        eprintln!("{why}");
        return ExitCode::from(2);
    }
    if orphan {
        return ExitCode::from(2);
    }
    let error = Command::new(program).args(rest).exec();
    eprintln!("{program}: {error}");
    ExitCode::from(127)
}

/// A command that becomes these words by way of `exec`: on these cores, in a group of its own.
pub fn guarded(
    cores: &[usize],
    words: impl IntoIterator<Item = String>,
) -> Result<Command, String> {
    use std::os::unix::process::CommandExt;
    let own = std::env::current_exe().map_err(|error| format!("this program: {error}"))?;
    let list: Vec<String> = cores.iter().map(usize::to_string).collect();
    let mut command = Command::new(own);
    command
        .arg("exec")
        .args(["--parent", &std::process::id().to_string()])
        .args((!list.is_empty()).then(|| format!("--cores={}", list.join(","))))
        .arg("--")
        .args(words)
        .process_group(0);
    Ok(command)
}

/// The calling thread, and what it starts, runs on these cores only.
pub fn pin(cores: &[usize]) -> Result<(), String> {
    if cores.is_empty() {
        return Ok(());
    }
    let mut set = rustix::thread::CpuSet::new();
    cores.iter().for_each(|core| set.set(*core));
    rustix::thread::sched_setaffinity(None, &set)
        .map_err(|error| format!("cannot run on cores {cores:?}: {error}"))
}
