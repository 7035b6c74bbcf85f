//! Scripts beyond one session: the texts that all cores know, the Lua of one core, and who runs.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::base::ids::ShardId;
use crate::commands::function::Runs;
use crate::commands::script::{Eval, Given};
use crate::resp::error::Error;
use crate::router::transaction::Wrote;
use crate::script::library::Library;
use crate::script::machine::{Interpreter, Known};
use crate::script::source::{Sha, sha_named, sha_of};
use crate::script::watch::Watch;
use crate::server::functions::Functions;

/// From so long on a script counts as one that lasts: about a slice.
const LONG: Duration = Duration::from_millis(1);

/// What all cores share of scripts.
#[derive(Debug, Default)]
pub struct Scripts {
    library: Mutex<Library>,
    /// The libraries of functions.
    pub functions: Functions,
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
    /// If it is a function: its name, and the request by which it was called.
    function: Option<(Vec<u8>, Arc<Eval>)>,
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// A script.
    Script,
    /// A function of a library.
    Function,
}

impl Of {
    /// It runs for too long.
    pub fn busy(self) -> Error {
        match self {
            Of::Script => Error::BUSY,
            Of::Function => Error::BUSY_FUNCTION,
        }
    }
}

/// Which of those that run, the longest first, SCRIPT KILL or FUNCTION KILL ends.
fn victim(running: &[(Of, Wrote)], asked: Of) -> Result<usize, Error> {
    if running.is_empty() {
        return Err(Error::NOTBUSY);
    }
    let found = running.iter().position(|one| *one == (asked, Wrote::Nothing));
    let others = || running.iter().find(|(_, wrote)| *wrote == Wrote::Nothing);
    match found {
        Some(index) => Ok(index),
        None if running.iter().any(|(of, _)| *of == asked) => Err(Error::UNKILLABLE),
        None => Err(others().map_or(Error::UNKILLABLE, |(of, _)| of.busy())),
    }
}

impl Running {
    fn of(&self) -> Of {
        if self.function.is_some() { Of::Function } else { Of::Script }
    }

    fn wrote(&self) -> Wrote {
        if self.watch.has_written() { Wrote::Something } else { Wrote::Nothing }
    }

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
    /// A script begins, or the function of this name.
    pub fn begin(&self, function: Option<(Vec<u8>, Arc<Eval>)>) -> Entry<'_> {
        let watch = Arc::new(Watch::new(&self.long));
        let running = Arc::new(Running { watch, since: Instant::now(), function });
        locked(&self.running).push(Arc::clone(&running));
        Entry { scripts: self, running }
    }

    /// Does a script run that has run for so long? What others are told then.
    pub fn busy(&self, threshold: Duration) -> Option<Error> {
        if self.long.load(Ordering::Relaxed) == 0 || threshold.is_zero() {
            return None;
        }
        let running = locked(&self.running);
        let long = running.iter().find(|running| running.since.elapsed() >= threshold);
        long.map(|running| running.of().busy())
    }

    /// SCRIPT KILL and FUNCTION KILL.
    pub fn kill(&self, asked: Of) -> Result<(), Error> {
        let running = locked(&self.running);
        let rows: Vec<_> = running.iter().map(|one| (one.of(), one.wrote())).collect();
        let index = victim(&rows, asked)?;
        if let Some(running) = running.get(index) {
            running.watch.kill();
        }
        Ok(())
    }

    /// FUNCTION STATS: the function that runs longest. Refused while a script is busy instead.
    pub fn runs(&self, threshold: Duration) -> Result<Option<Runs>, Error> {
        let function = locked(&self.running).iter().find_map(|running| {
            let (name, eval) = running.function.as_ref()?;
            let millis = running.since.elapsed().as_millis() as u64;
            Some(Runs { name: name.clone(), args: eval.args.clone(), millis })
        });
        match (&function, self.busy(threshold)) {
            (None, Some(busy)) => Err(busy),
            _ => Ok(function),
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
    /// The changes of the libraries that this core has seen.
    changes: Cell<u64>,
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
            Given::Name | Given::Function => sha_named(given).ok_or(Error::NOSCRIPT)?,
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
                Given::Name | Given::Function => {
                    let text = locked(&scripts.library).get(&sha).ok_or(Error::NOSCRIPT)?;
                    Ok((sha, lua.prepare(sha, &text)?))
                }
            }
        })?
    }

    /// Forgets functions of libraries that are not there any more.
    pub fn refresh(&self, functions: &Functions) {
        let changes = functions.changes();
        if self.changes.replace(changes) != changes
            && let Some(lua) = &mut *self.lua.borrow_mut()
        {
            lua.keep_libraries(&functions.now());
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_killed() {
        use Of::{Function, Script};
        use Wrote::{Nothing, Something};
        let (busy_script, busy_function) = (Error::BUSY, Error::BUSY_FUNCTION);
        type Row<'a> = (&'a [(Of, Wrote)], Of, Result<usize, Error>);
        let rows: &[Row<'_>] = &[
            (&[], Script, Err(Error::NOTBUSY)),
            (&[(Script, Nothing)], Script, Ok(0)),
            (&[(Script, Something)], Script, Err(Error::UNKILLABLE)),
            (&[(Script, Something), (Script, Nothing)], Script, Ok(1)),
            (&[(Function, Nothing)], Script, Err(busy_function)),
            (&[(Function, Something)], Script, Err(Error::UNKILLABLE)),
            (&[(Script, Nothing)], Function, Err(busy_script)),
            (&[(Script, Nothing), (Function, Nothing)], Function, Ok(1)),
            (&[(Script, Nothing), (Function, Something)], Function, Err(Error::UNKILLABLE)),
        ];
        for (running, asked, expected) in rows {
            assert_eq!(victim(running, *asked), *expected, "{running:?} {asked:?}");
        }
    }
}
