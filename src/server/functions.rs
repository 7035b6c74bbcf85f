//! FUNCTION of a session, and what all cores share of libraries: the registry of those that are
//! loaded.
//!
//! What is true lies in the keyspace of the shard that keeps the libraries (`HOME`): log, bases and
//! starts know it alone. The registry is what the texts there have registered, made anew when they
//! change. A change is a script of one command: it has every shard claimed whole, so changes come
//! one after another and no function runs meanwhile; the text is compiled here, the command runs on
//! the keeper and is logged and acknowledged as any write.
//!
//! The registry has no stamps. Whoever has seen it while a change was not durable yet (`Unsettled`)
//! waits with its reply until it is.

use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::ids::{Db, HOME};
use crate::commands::function::{Change, What, not_found, write_dump, write_list, write_stats};
use crate::commands::library::{Library, Registry, Same, exists, heading};
use crate::commands::order::Item;
use crate::commands::script::{May, Rights};
use crate::commands::session::Ask;
use crate::commands::table;
use crate::resp::error::Error;
use crate::resp::reply::is_error;
use crate::script::machine::{Input, Step};
use crate::server::connection::Connection;
use crate::server::core::Core;
use crate::server::ground::{Barred, Ground};
use crate::server::scripting::{encoded, resume};
use crate::server::scripts::Of;

/// The libraries that are loaded.
#[derive(Debug, Default)]
pub struct Functions {
    registry: Mutex<Arc<Registry>>,
    changes: AtomicU64,
    unsettled: Arc<AtomicUsize>,
}

/// A change that is not durable yet; it counts as settled when this is dropped.
#[derive(Debug)]
pub struct Unsettled(Arc<AtomicUsize>);

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// For how long a library may take to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Half a second, as in Redis: it only registers functions.
    Short,
    /// As long as it takes: it was loaded before.
    Endless,
}

const LOAD_MAX: Duration = Duration::from_millis(500);

impl Functions {
    /// What is loaded now.
    pub fn now(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How often it has changed.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// This is loaded from now on.
    pub fn publish(&self, registry: Registry) -> Unsettled {
        self.unsettled.fetch_add(1, Ordering::AcqRel);
        *self.registry.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
        self.changes.fetch_add(1, Ordering::AcqRel);
        Unsettled(Arc::clone(&self.unsettled))
    }

    /// Waits until all that has been seen is durable.
    pub async fn settled(&self) {
        while self.unsettled.load(Ordering::Acquire) > 0 {
            glommio::timer::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Loads a library into this core's Lua.
pub async fn compile(
    core: &Rc<Core>,
    text: &Arc<[u8]>,
    patience: Patience,
) -> Result<Library, Error> {
    let heading = heading(text)?;
    let seed = || core.shard.borrow_mut().dice();
    let mut run = core.scripting.with(seed, |lua| lua.load_library(text, &heading))??;
    let failed = |why: &str| Error::err_owned(format!("Error registering functions: {why}"));
    let began = Instant::now();
    loop {
        match resume(core, None, &mut run, Input::Go) {
            Step::Done(..) => break,
            Step::Failed(error, _) => return Err(failed(&error.to_string())),
            Step::Call(..) => return Err(failed("ERR a command cannot be called here")),
            Step::Pause if patience == Patience::Short && began.elapsed() > LOAD_MAX => {
                return Err(failed("ERR FUNCTION LOAD timeout"));
            }
            Step::Pause => core.pauses.rest().await,
        }
    }
    core.scripting.with(seed, |lua| lua.registered(&run, &heading, text))?
}

/// Makes the registry of what the keeper has: at a start, and when files were loaded anew. On the
/// keeper's core.
pub async fn rebuild(core: &Rc<Core>) -> Result<(), String> {
    let counts = core.on_all(|core| core.shard.borrow().keys.libraries().len()).await;
    let misplaced = counts.iter().enumerate().any(|(shard, n)| shard != HOME.index() && *n > 0);
    if misplaced {
        return Err(format!("libraries of functions on another shard than {}", HOME.0));
    }
    let libraries = core.shard.borrow().keys.libraries().clone();
    let mut registry = Registry::default();
    for (name, text) in libraries.iter() {
        let shown = String::from_utf8_lossy(name);
        let bad = |error: Error| format!("the library '{shown}' cannot be loaded: {error}");
        let library = compile(core, text, Patience::Endless).await.map_err(bad)?;
        if library.name != name {
            let other = String::from_utf8_lossy(&library.name);
            return Err(format!("the library '{shown}' calls itself '{other}'"));
        }
        registry = registry.with(library, Same::Refuse).map_err(bad)?;
    }
    drop(core.shared.scripts.functions.publish(registry));
    Ok(())
}

impl Connection {
    /// What commands about functions ask for, except for calls.
    pub(in crate::server) async fn answer_functions(&mut self, ask: Ask) {
        match ask {
            Ask::Function(change) => self.change_functions(*change).await,
            ask => {
                self.tell_functions(ask);
                self.core.shared.scripts.functions.settled().await;
            }
        }
    }

    /// Answers what changes nothing. A transaction waits at its end for what it has seen.
    pub(in crate::server) fn tell_functions(&mut self, ask: Ask) {
        let core = Rc::clone(&self.core);
        let scripts = &core.shared.scripts;
        let registry = scripts.functions.now();
        match ask {
            Ask::FunctionList(wanted) => self.write(|reply| write_list(reply, &registry, &wanted)),
            Ask::FunctionDump => self.write(|reply| write_dump(reply, &registry)),
            Ask::FunctionStats => {
                let threshold = core.settings.borrow().config.busy_reply_threshold;
                match scripts.runs(Duration::from_millis(threshold)) {
                    Ok(runs) => self.write(|reply| write_stats(reply, &registry, runs.as_ref())),
                    Err(error) => self.error(&error),
                }
            }
            Ask::FunctionKill => match scripts.kill(Of::Function) {
                Ok(()) => self.write(|reply| reply.ok()),
                Err(error) => self.error(&error),
            },
            _ => unreachable!("answered elsewhere"),
        }
    }

    /// A change by itself: it has its ground alone.
    async fn change_functions(&mut self, change: Change) {
        let refused = self.core.shard.borrow().writes.refusal().cloned();
        if let Some(error) = refused {
            return self.error(&error);
        }
        let rights = Rights { may: May::Write, ..Rights::default() };
        let mut ground = match self.enter_ground(Vec::new(), None, &rights).await {
            Ok(ground) => ground,
            Err(Barred::Changed) => unreachable!("nothing was watched"),
            Err(Barred::Refused(error)) => return self.error(&error),
        };
        let reply = self.change_on_ground(&mut ground, &change).await;
        if let Some(start) = self.answer_from(ground, &reply).await
            && is_error(&reply)
        {
            self.count_error(start);
        }
    }

    /// A change where every shard is claimed: decided here, carried out by the keeper.
    pub(in crate::server) async fn change_on_ground(
        &mut self,
        ground: &mut Ground,
        change: &Change,
    ) -> Vec<u8> {
        let functions = &self.core.shared.scripts.functions;
        let decided = match decide(&self.core, &functions.now(), &change.what).await {
            Ok(after) => table::resolve(change.args.args()).map(|command| (after, command)),
            Err(error) => Err(error),
        };
        let (after, command) = match decided {
            Ok(decided) => decided,
            Err(error) => return encoded(&error),
        };
        let item = Item { command, args: change.args.clone(), db: Db(0) };
        let proto = self.client.session.borrow().proto;
        let reply = self.call_at_home(ground, &item, proto).await;
        if !is_error(&reply) {
            ground.unsettled.push(self.core.shared.scripts.functions.publish(after));
        }
        reply
    }
}

/// What is loaded after a change.
async fn decide(core: &Rc<Core>, before: &Registry, what: &What) -> Result<Registry, Error> {
    match what {
        What::Load(text, same) => {
            let name = heading(text)?.name;
            if *same == Same::Refuse && before.library(&name).is_some() {
                return Err(exists(&name));
            }
            let library = compile(core, &text.as_slice().into(), Patience::Short).await?;
            before.with(library, *same)
        }
        What::Delete(name) => before.without(name).ok_or_else(not_found),
        What::Flush => Ok(Registry::default()),
        What::Restore(texts, policy) => {
            let mut libraries = Vec::new();
            for text in texts {
                let text = text.as_slice().into();
                libraries.push(compile(core, &text, Patience::Short).await?);
            }
            before.restored(libraries, *policy)
        }
    }
}
