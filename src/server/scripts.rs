//! Scripts beyond one session: the texts that all cores know, the Lua of one core, and who runs.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::ids::ShardId;
use crate::commands::script::{Eval, Given};
use crate::resp::error::Error;
use crate::script::library::Library;
use crate::script::machine::{Interpreter, Known};
use crate::script::source::{Sha, sha_named, sha_of};
use crate::script::watch::Watch;

/// From so long on a script counts as one that lasts: about a slice.
const LONG: Duration = Duration::from_millis(1);

/// What all cores share of scripts.
#[derive(Debug, Default)]
pub struct Scripts {
    library: Mutex<Library>,
    /// SCRIPT FLUSH, how often: what a core has compiled before is of no use any more.
    flushes: AtomicU64,
    running: Mutex<Vec<Arc<Running>>>,
    /// DEBUG SET-DISABLE-DENY-SCRIPTS.
    pub debug: AtomicBool,
    /// Scripts that have run for more than a slice: the one question of the path of a command.
    long: Arc<AtomicUsize>,
    /// Bytes that the interpreters hold, by core.
    memory: Mutex<Vec<(ShardId, usize)>>,
}

/// A script that runs now.
#[derive(Debug)]
pub struct Running {
    /// What its interpreter looks at.
    pub watch: Arc<Watch>,
    since: Instant,
}

impl Running {
    /// It has called a command: whoever waits for other shards runs long without a whole slice.
    pub fn called(&self) {
        if self.since.elapsed() >= LONG {
            self.watch.slice();
        }
    }
}

/// Ends the entry of a script that has run.
pub struct Entry<'a> {
    scripts: &'a Scripts,
    /// What stands there.
    pub running: Arc<Running>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.running.watch.end();
        locked(&self.scripts.running).retain(|other| !Arc::ptr_eq(other, &self.running));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scripts {
    /// A script begins.
    pub fn begin(&self) -> Entry<'_> {
        let watch = Arc::new(Watch::new(&self.long));
        let running = Arc::new(Running { watch, since: Instant::now() });
        locked(&self.running).push(Arc::clone(&running));
        Entry { scripts: self, running }
    }

    /// Does a script run that has run for so long?
    pub fn is_busy(&self, threshold: Duration) -> bool {
        if self.long.load(Ordering::Relaxed) == 0 || threshold.is_zero() {
            return false;
        }
        locked(&self.running).iter().any(|running| running.since.elapsed() >= threshold)
    }

    /// SCRIPT KILL: of those that run longest, one that has written nothing.
    pub fn kill(&self) -> Result<(), Error> {
        let running = locked(&self.running);
        if running.is_empty() {
            return Err(Error::NOTBUSY);
        }
        match running.iter().find(|running| !running.watch.has_written()) {
            Some(running) => {
                running.watch.kill();
                Ok(())
            }
            None => Err(Error::UNKILLABLE),
        }
    }

    /// SCRIPT EXISTS, for one name.
    pub fn has(&self, name: &[u8]) -> bool {
        sha_named(name).is_some_and(|sha| locked(&self.library).has(&sha))
    }

    /// SCRIPT FLUSH.
    pub fn flush(&self) {
        let mut library = locked(&self.library);
        library.flush();
        self.flushes.fetch_add(1, Ordering::SeqCst);
    }

    /// How many texts are kept, and their bytes.
    pub fn kept(&self) -> (usize, usize) {
        let library = locked(&self.library);
        (library.len(), library.memory())
    }

    /// Bytes that all interpreters hold.
    pub fn memory(&self) -> usize {
        locked(&self.memory).iter().map(|(_, bytes)| bytes).sum()
    }
}

/// One core's Lua, made when it is first needed.
#[derive(Debug, Default)]
pub struct Scripting {
    lua: RefCell<Option<Interpreter>>,
    flushes: Cell<u64>,
    runs: Cell<u32>,
}

impl Scripting {
    /// Works with the interpreter.
    pub fn with<T>(
        &self,
        seed: impl FnOnce() -> u64,
        work: impl FnOnce(&mut Interpreter) -> T,
    ) -> Result<T, Error> {
        let mut place = self.lua.borrow_mut();
        if place.is_none() {
            let made = Interpreter::new(seed());
            let made = made.map_err(|why| Error::err_owned(format!("Lua cannot start: {why}")))?;
            *place = Some(made);
        }
        match place.as_mut() {
            Some(lua) => Ok(work(lua)),
            None => unreachable!("made above"),
        }
    }

    /// Finds the script of a request and compiles it here if it is new; its name and what is
    /// known of it.
    pub fn prepare(
        &self,
        eval: &Eval,
        scripts: &Scripts,
        seed: impl FnOnce() -> u64,
    ) -> Result<(Sha, Known), Error> {
        let given = eval.args.args().at(1);
        let sha = match eval.given {
            Given::Text => sha_of(given),
            Given::Name => sha_named(given).ok_or(Error::NOSCRIPT)?,
        };
        let flushes = scripts.flushes.load(Ordering::SeqCst);
        let stale = self.flushes.replace(flushes) != flushes;
        self.with(seed, |lua| {
            if stale {
                lua.flush();
            }
            if let Some(known) = lua.prepared(&sha) {
                return Ok((sha, known));
            }
            match eval.given {
                Given::Text => keep(lua, scripts, given),
                Given::Name => {
                    let text = locked(&scripts.library).get(&sha).ok_or(Error::NOSCRIPT)?;
                    Ok((sha, lua.prepare(sha, &text)?))
                }
            }
        })?
    }

    /// SCRIPT LOAD.
    pub fn load(
        &self,
        text: &[u8],
        scripts: &Scripts,
        seed: impl FnOnce() -> u64,
    ) -> Result<Sha, Error> {
        Ok(self.with(seed, |lua| keep(lua, scripts, text))??.0)
    }

    /// A script has run: publishes how much memory is held, now and then.
    pub fn ran(&self, core: ShardId, scripts: &Scripts) {
        let runs = self.runs.get().wrapping_add(1);
        self.runs.set(runs);
        if runs % 64 == 1
            && let Some(lua) = &*self.lua.borrow()
        {
            let mut memory = locked(&scripts.memory);
            memory.retain(|(other, _)| *other != core);
            memory.push((core, lua.memory()));
        }
    }
}

fn keep(lua: &mut Interpreter, scripts: &Scripts, text: &[u8]) -> Result<(Sha, Known), Error> {
    let sha = sha_of(text);
    let known = lua.prepare(sha, text)?;
    locked(&scripts.library).keep(text)?;
    Ok((sha, known))
}
