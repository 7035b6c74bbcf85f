//! EVAL: a script of a session, from its text to its reply. The script stops at every command
//! (script/machine.rs); here the command is run and its reply brought back.
//! Where that is, is decided in `ground.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::base::ids::{Db, ShardId};
use crate::commands::acl::identity::Standing;
use crate::commands::acl::user::User;
use crate::commands::library::{Flag, Library};
use crate::commands::order::Item;
use crate::commands::script::{Eval, Given, May, Rights, allowed};
use crate::commands::session::{Ask, Queued, Watched};
use crate::commands::spec::{Command, Flags, Run};
use crate::commands::table;
use crate::commands::transaction::{self, Refused};
use crate::observe::acl_log::Context;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply, is_error};
use crate::router::slot::shard_of;
use crate::router::transaction::Wrote;
use crate::script::machine::{Counted, Input, Interpreter, Run as Machine, Step};
use crate::script::reach::Reach;
use crate::script::source::{Declared, Sha};
use crate::script::watch::Watch;
use crate::server::connection::Connection;
use crate::server::core::Core;
use crate::server::functions::{Patience, compile};
use crate::server::ground::{Barred, Ground};
use crate::server::log;
use crate::server::scripts::{Of, Running};
use crate::server::tally;

/// What runs.
enum Program {
    /// A script.
    Script(Sha),
    /// A function of a library.
    Function(Arc<Library>, usize),
}

/// A script that is known, and what it may do.
struct Ready {
    program: Program,
    rights: Rights,
    /// The one shard that it can use, and the keys.
    only: Option<(ShardId, Vec<Vec<u8>>)>,
}

impl Connection {
    /// What scripting commands ask for.
    pub(in crate::server) async fn answer_script(&mut self, ask: Ask) {
        let scripts = &self.core.shared.scripts;
        match ask {
            Ask::Eval(eval) => self.eval(Arc::from(eval)).await,
            Ask::ScriptLoad(text) => {
                let seed = || self.core.shard.borrow_mut().dice();
                match self.core.scripting.load(&text, scripts, seed) {
                    Ok(sha) => self.write(|reply| reply.bulk(&sha)),
                    Err(error) => self.error(&error),
                }
            }
            Ask::ScriptExists(names) => {
                let known: Vec<bool> = names.iter().map(|name| scripts.has(name)).collect();
                self.write(|reply| {
                    reply.array(known.len());
                    known.iter().for_each(|known| reply.integer(i64::from(*known)));
                });
            }
            Ask::ScriptFlush => {
                scripts.flush();
                self.write(|reply| reply.ok());
            }
            Ask::ScriptKill => match scripts.kill(Of::Script) {
                Ok(()) => self.write(|reply| reply.ok()),
                Err(error) => self.error(&error),
            },
            _ => unreachable!("answered elsewhere"),
        }
    }

    async fn eval(&mut self, eval: Arc<Eval>) {
        self.show_to_monitors(&eval.args, None);
        let (mut ground, ready) = match self.ready_on_ground(&eval).await {
            Ok(both) => both,
            Err(error) => return self.error(&error),
        };
        let (reply, counted) = self.run_script(&mut ground, &eval, ready).await;
        if let Some(start) = self.answer_from(ground, &reply).await
            && is_error(&reply)
            && counted == Counted::No
        {
            self.count_error(start);
        }
    }

    /// Finds the script and claims what it may use. A function is looked for again if the libraries
    /// have changed on the way.
    async fn ready_on_ground(&mut self, eval: &Eval) -> Result<(Ground, Ready), Error> {
        let row = table::find(eval.args.args().at(0));
        let tracker = row.and_then(|row| self.track_command(row));
        loop {
            let changes = self.core.shared.scripts.functions.changes();
            let ready = self.make_ready(eval).await?;
            let entered = match &ready.only {
                Some((shard, keys)) => self.enter_part(*shard, keys, tracker, &ready.rights).await,
                None => self.enter_ground(Vec::new(), tracker, &ready.rights).await,
            };
            let ground = entered.map_err(|barred| match barred {
                Barred::Changed => unreachable!("nothing was watched"),
                Barred::Refused(error) => error,
            })?;
            let here = match &ready.program {
                Program::Script(_) => true,
                // A library that is refused may have been compiled meanwhile, by the same name.
                Program::Function(library, _) => {
                    changes == self.core.shared.scripts.functions.changes()
                        && self.lua(|lua| lua.has_library(library)).unwrap_or(true)
                }
            };
            if here {
                return Ok((ground, ready));
            }
            self.leave_ground(ground).await?;
        }
    }

    /// Finds the script and decides what it may do.
    async fn make_ready(&self, eval: &Eval) -> Result<Ready, Error> {
        if eval.given == Given::Function {
            return self.function_ready(eval).await;
        }
        let seed = || self.core.shard.borrow_mut().dice();
        let scripts = &self.core.shared.scripts;
        let (sha, known) = self.core.scripting.prepare(eval, scripts, seed)?;
        let rights = self.rights(eval, known.declared)?;
        let only = match known.reach {
            Reach::Declared => self.only_shard(eval),
            Reach::All => None,
        };
        Ok(Ready { program: Program::Script(sha), rights, only })
    }

    /// The same for a function.
    async fn function_ready(&self, eval: &Eval) -> Result<Ready, Error> {
        let functions = &self.core.shared.scripts.functions;
        let found = functions.now().locate(eval.args.args().at(1));
        let not_found = || Error::err("Function not found");
        let (library, index) = found.ok_or_else(not_found)?;
        if let Some(problem) = &eval.problem {
            return Err(problem.clone());
        }
        let function = library.functions.get(index).ok_or_else(not_found)?;
        let declared = Declared {
            no_writes: function.has(Flag::NoWrites),
            allow_oom: function.has(Flag::AllowOom),
        };
        let rights = self.rights(eval, Some(declared))?;
        self.core.scripting.refresh(functions);
        if !self.lua(|lua| lua.has_library(&library))? {
            compile(&self.core, &library.text, Patience::Endless).await?;
        }
        let only = match function.reach {
            Reach::Declared => self.only_shard(eval),
            Reach::All => None,
        };
        Ok(Ready { program: Program::Function(library, index), rights, only })
    }

    /// What a script may do, if it may run now.
    fn rights(&self, eval: &Eval, declared: Option<Declared>) -> Result<Rights, Error> {
        let refused = self.core.shard.borrow().writes.refusal().cloned();
        let may = match declared {
            Some(Declared { no_writes: true, .. }) => May::Read,
            _ => eval.may,
        };
        let full = self.full && declared.is_none_or(|declared| !declared.allow_oom);
        let debug = self.core.shared.scripts.debug.load(Ordering::Relaxed);
        let rights = Rights { may, full, refused, wrote: false, debug };
        if declared.is_some() {
            admit(declared, eval, &rights)?;
        }
        Ok(rights)
    }

    /// The one of several shards that all declared keys live on.
    fn only_shard(&self, eval: &Eval) -> Option<(ShardId, Vec<Vec<u8>>)> {
        let shards = self.core.shards;
        let keys: Vec<Vec<u8>> = eval.tables().0.iter().map(<[u8]>::to_vec).collect();
        let mut owners = keys.iter().map(|key| shard_of(key, shards));
        let first = owners.next().unwrap_or(self.core.id);
        (shards > 1 && owners.all(|owner| owner == first)).then_some((first, keys))
    }

    /// Runs a script from its beginning to its end, and encodes what comes of it.
    async fn run_script(
        &mut self,
        ground: &mut Ground,
        eval: &Arc<Eval>,
        ready: Ready,
    ) -> (Vec<u8>, Counted) {
        let core = std::rc::Rc::clone(&self.core);
        let scripts = &core.shared.scripts;
        let entry = scripts.begin(ready.program.function(eval));
        let running = Arc::clone(&entry.running);
        let proto = self.client.session.borrow().proto;
        let begun =
            self.lua(|lua| ready.program.begin(lua, eval, (proto, Arc::clone(&running.watch))));
        let mut run = match begun.and_then(|begun| begun) {
            Ok(run) => run,
            Err(error) => return (encoded(&error), Counted::No),
        };
        let mut rights = Rights { wrote: ground.wrote == Wrote::Something, ..ready.rights };
        let mut db = self.client.session.borrow().db;
        let mut reply: Option<Vec<u8>> = None;
        loop {
            let given = reply.take();
            let user = self.client.session.borrow().identity.limited().cloned();
            let input = given.as_deref().map_or(Input::Go, Input::Reply);
            match resume(&self.core, user, &mut run, input) {
                Step::Call(args, spoken) => {
                    running.called();
                    let row = allowed(args.args(), &rights).map_err(Refused::from);
                    let row = row.and_then(|row| self.may_call(row, args.args()));
                    reply = Some(match row {
                        Err(refused) => {
                            let error = self.denied(refused);
                            self.rejected(&error, args.args())
                        }
                        Ok(row) => {
                            rights.wrote |= note_write(row, &running, ground);
                            self.call_from_script(ground, (row, args), &mut db, spoken).await
                        }
                    });
                }
                Step::Pause => {
                    self.core.pauses.rest().await;
                    self.core.clock.start_turn();
                }
                Step::Done(reply, counted) => return (self.ended(reply), counted),
                Step::Failed(error, counted) => return (self.ended(encoded(&error)), counted),
            }
        }
    }

    fn lua<T>(&self, work: impl FnOnce(&mut Interpreter) -> T) -> Result<T, Error> {
        self.core.scripting.with(|| self.core.shard.borrow_mut().dice(), work)
    }

    fn ended(&self, reply: Vec<u8>) -> Vec<u8> {
        self.core.scripting.ran(self.core.id, &self.core.shared.scripts);
        reply
    }

    /// The user of the session has to be allowed what its script calls.
    fn may_call(&self, row: &'static Command, args: Args<'_>) -> Result<&'static Command, Refused> {
        let session = self.client.session.borrow();
        match session.identity.standing() {
            Standing::Free => Ok(row),
            _ => transaction::examine(&session, row, args, Context::Script).map(|()| row),
        }
    }

    /// A command that a script may not call.
    fn rejected(&self, error: &Error, args: Args<'_>) -> Vec<u8> {
        let line = encoded(error);
        let counters = &mut self.core.shard.borrow_mut().counters;
        counters.error(&tally::error_line(&line));
        if let Ok(row) = table::locate(args) {
            counters.rejected(row.name);
        }
        line
    }

    /// Runs a command of a script.
    async fn call_from_script(
        &mut self,
        ground: &mut Ground,
        (row, args): (&'static Command, OwnedArgs),
        db: &mut Db,
        proto: Proto,
    ) -> Vec<u8> {
        self.show_to_monitors(&args, Some(*db));
        let began = Instant::now();
        let item = Item { command: row, args, db: *db };
        let reply = match row.run {
            Run::Keys(_) => self.call_on_ground(ground, &item, proto).await,
            _ => self.call_on_session(&item, db, proto).await,
        };
        self.count_in_script(&item, began, &reply);
        reply
    }

    /// Runs a command of the session: the script has a database and a protocol of its own.
    async fn call_on_session(&mut self, item: &Item, db: &mut Db, proto: Proto) -> Vec<u8> {
        let own = {
            let mut session = self.client.session.borrow_mut();
            let own = (session.db, session.proto);
            (session.db, session.proto) = (*db, proto);
            own
        };
        let queued = Queued { command: item.command, args: item.args.clone() };
        let mut reply = Vec::new();
        let ask = self.session_part(&queued, &mut reply);
        if let Some(ask) = ask {
            let start = self.pipeline.out.len();
            // No command that a script may call asks for another script.
            Box::pin(self.answer_in_exec(ask)).await;
            reply.extend_from_slice(self.pipeline.out.get(start..).unwrap_or_default());
            self.pipeline.out.truncate(start);
        }
        let mut session = self.client.session.borrow_mut();
        *db = session.db;
        (session.db, session.proto) = own;
        reply
    }

    fn count_in_script(&self, item: &Item, began: Instant, reply: &[u8]) {
        let nanos = began.elapsed().as_nanos() as u64;
        let counters = &mut self.core.shard.borrow_mut().counters;
        if is_error(reply) {
            counters.error(&tally::error_line(reply));
        }
        // What takes long within a script is the script's.
        let _ =
            tally::count_waited(item.command, nanos, counters, tally::outcome(reply), &self.timing);
    }

    /// Runs a script that MULTI has queued, on the ground of the whole transaction.
    pub(in crate::server) async fn eval_in_exec(
        &mut self,
        ground: &mut Ground,
        eval: Arc<Eval>,
    ) -> Vec<u8> {
        match self.make_ready(&eval).await {
            Err(error) => encoded(&error),
            // An error is counted with the command that it answers.
            Ok(ready) => self.run_script(ground, &eval, ready).await.0,
        }
    }

    /// EXEC of a queue with scripts: all of it on one ground.
    pub(in crate::server) async fn exec_with_scripts(
        &mut self,
        queue: Vec<Queued>,
        watched: Vec<Watched>,
    ) {
        let proto = self.client.session.borrow().proto;
        let tracker = queue.first().and_then(|queued| self.track_command(queued.command));
        // EXEC itself has been admitted.
        let rights = Rights { may: May::Write, ..Rights::default() };
        let entered = self.enter_ground(watched.clone(), tracker, &rights).await;
        let mut ground = match entered {
            Ok(ground) => ground,
            Err(barred) => {
                self.unwatch(watched).await;
                return match barred {
                    Barred::Changed => self.write(|reply| reply.null_array()),
                    Barred::Refused(error) => self.error(&error),
                };
            }
        };
        if queue.iter().any(|queued| queued.command.flags.has(Flags::PUBSUB)) {
            self.take_mail();
        }
        let mut whole = Vec::new();
        Reply::new(&mut whole, proto).array(queue.len());
        for queued in queue {
            let began = Instant::now();
            let reply = self.queued_on_ground(&mut ground, &queued, proto).await;
            let db = self.client.session.borrow().db;
            let item = Item { command: queued.command, args: queued.args, db };
            self.count_in_script(&item, began, &reply);
            whole.extend_from_slice(&reply);
        }
        self.answer_from(ground, &whole).await;
        self.unwatch(watched).await;
    }

    async fn queued_on_ground(
        &mut self,
        ground: &mut Ground,
        queued: &Queued,
        proto: Proto,
    ) -> Vec<u8> {
        if let Run::Keys(_) = queued.command.run {
            let db = self.client.session.borrow().db;
            let item = Item { command: queued.command, args: queued.args.clone(), db };
            return self.call_on_ground(ground, &item, proto).await;
        }
        let mut reply = Vec::new();
        match self.session_part(queued, &mut reply) {
            None => {}
            Some(Ask::Eval(eval)) => return self.eval_in_exec(ground, Arc::from(eval)).await,
            Some(Ask::Function(change)) => return self.change_on_ground(ground, &change).await,
            Some(
                ask @ (Ask::FunctionList(_)
                | Ask::FunctionDump
                | Ask::FunctionStats
                | Ask::FunctionKill),
            ) => {
                let start = self.pipeline.out.len();
                self.tell_functions(ask);
                reply.extend_from_slice(self.pipeline.out.get(start..).unwrap_or_default());
                self.pipeline.out.truncate(start);
            }
            Some(ask) => {
                let start = self.pipeline.out.len();
                // No other command that is queued asks for a script.
                Box::pin(self.answer_in_exec(ask)).await;
                reply.extend_from_slice(self.pipeline.out.get(start..).unwrap_or_default());
                self.pipeline.out.truncate(start);
            }
        }
        reply
    }

    /// Does a script run for so long that others are told so? What they are told.
    pub(in crate::server) fn busy(&self, millis: u64) -> Option<Error> {
        self.core.shared.scripts.busy(Duration::from_millis(millis))
    }
}

impl Program {
    /// The name of a function, and the request by which it was called.
    fn function(&self, eval: &Arc<Eval>) -> Option<(Vec<u8>, Arc<Eval>)> {
        match self {
            Program::Script(_) => None,
            Program::Function(library, index) => {
                let function = library.functions.get(*index)?;
                Some((function.name.clone(), Arc::clone(eval)))
            }
        }
    }

    /// A run of it.
    fn begin(
        &self,
        lua: &Interpreter,
        eval: &Eval,
        (proto, watch): (Proto, Arc<Watch>),
    ) -> Result<Machine, Error> {
        match self {
            Program::Script(sha) => lua.run(*sha, eval.tables(), proto, watch),
            Program::Function(library, index) => {
                let function = library.functions.get(*index);
                let function = function.ok_or_else(|| Error::err("Function not found"))?;
                lua.run_function((library, function), eval.tables(), (proto, watch))
            }
        }
    }
}

/// Lets a run go on, and writes what it has to say into the server's log.
/// `user` is whose script it is, if not one who may do everything.
pub(in crate::server) fn resume(
    core: &Core,
    user: Option<Arc<User>>,
    run: &mut Machine,
    input: Input<'_>,
) -> Step {
    let seed = || core.shard.borrow_mut().dice();
    let resumed = core.scripting.with(seed, |lua| {
        lua.speak_for(user);
        (lua.resume(run, input), lua.take_lines())
    });
    match resumed {
        Err(error) => Step::Failed(error, Counted::No),
        Ok((step, lines)) => {
            for (level, line) in lines {
                let level = match level {
                    0 => log::Level::Debug,
                    1 => log::Level::Verbose,
                    2 => log::Level::Notice,
                    _ => log::Level::Warning,
                };
                log::line(level, &String::from_utf8_lossy(&line));
            }
            step
        }
    }
}

/// A script that declares itself is refused at its start, not at its first command.
fn admit(declared: Option<Declared>, eval: &Eval, rights: &Rights) -> Result<(), Error> {
    let writes = declared.is_some_and(|declared| !declared.no_writes);
    if writes && let Some(error) = &rights.refused {
        return Err(Error::blocked_script(error));
    }
    if writes && eval.may == May::Read {
        let why = "Can not execute a script with write flag using *_ro command.";
        return Err(Error::err(why));
    }
    if writes && rights.full {
        return Err(Error::SCRIPT_OOM);
    }
    Ok(())
}

/// The script is about to call this: does it write?
fn note_write(row: &Command, running: &Running, ground: &mut Ground) -> bool {
    let writes = row.flags.has(Flags::WRITE);
    if writes {
        running.watch.write();
        ground.wrote = Wrote::Something;
    }
    writes
}

/// The line of an error.
pub(in crate::server) fn encoded(error: &Error) -> Vec<u8> {
    let mut line = Vec::new();
    Reply::new(&mut line, Proto::Two).error(error);
    line
}
