//! What session commands ask the server for: it acts, and writes the answer in the words of
//! `commands/`.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::base::ids::ShardId;
use crate::commands::absent;
use crate::commands::admin::{self, Saving, Start};
use crate::commands::backup::{Verb, write_status};
use crate::commands::client::{self, ClientFilter, KillForm};
use crate::commands::object;
use crate::commands::pubsub::Change;
use crate::commands::session::{Ask, IfBusy, LastSnapshot, Shutdown, Watched};
use crate::observe::acl_log::Context;
use crate::observe::graph;
use crate::observe::info::choose;
use crate::observe::slowlog;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::router::slot::shard_of;
use crate::server::connection::Connection;
use crate::server::core::Core;
use crate::server::sealing::{self, Answer};
use crate::server::{clock, facts, log, reload, saver, settings, shutdown};

/// What becomes of the connection after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It goes on.
    Go,
    /// It is closed.
    Close,
    /// It waits for keys.
    Block,
    /// It goes on; what was written are messages, not a reply.
    Told,
    /// It goes on after so many milliseconds (0: never), and is answered `:0` then.
    Wait(u64),
}

impl Connection {
    /// Does what a session command asks for and answers it.
    pub(in crate::server) async fn answer(&mut self, ask: Ask) -> Asked {
        match ask {
            Ask::Nothing => {}
            Ask::Close => return Asked::Close,
            Ask::Unwatch(watched) => self.unwatch(watched).await,
            Ask::Watch(keys) => self.watch(keys).await,
            Ask::Exec { commands, watched } => self.exec(commands, watched).await,
            Ask::ClientInfo => self.client_info(),
            Ask::ClientList(filter) => self.client_list(filter).await,
            Ask::ClientKill { filter, form } => return self.client_kill(filter, form).await,
            Ask::Time => {
                let micros = clock::wall_micros();
                self.write(|reply| admin::write_time(reply, micros));
            }
            Ask::MemoryStats => {
                let facts = facts::gather(&self.core).await;
                self.write(|reply| object::write_memory(reply, &facts));
            }
            Ask::Info(choice) => {
                let facts = facts::gather(&self.core).await;
                self.write(|reply| admin::write_info(reply, &choose::info(&facts, choice)));
            }
            Ask::ConfigGet { patterns } => {
                let config = self.core.settings.borrow().config.clone();
                let pairs = config.get(patterns.iter().map(Vec::as_slice));
                self.write(|reply| admin::write_config(reply, &pairs));
            }
            Ask::ConfigSet { pairs } => {
                let done = settings::set(&self.core, &pairs).await;
                self.ok_or(done);
            }
            Ask::ConfigResetStat => {
                let reset = |core: &Rc<Core>| {
                    let mut shard = core.shard.borrow_mut();
                    shard.count_fields();
                    shard.counters.reset();
                };
                self.core.on_all(reset).await;
                self.write(|reply| reply.ok());
            }
            Ask::ConfigRewrite => {
                let done = settings::rewrite(&self.core);
                self.ok_or(done);
            }
            Ask::WrongPassword { user, command } => {
                self.wrong_password(user, command, Context::TopLevel);
            }
            ask @ (Ask::AclGenpass { .. }
            | Ask::AclSetUser { .. }
            | Ask::AclDelUser(_)
            | Ask::AclLoad
            | Ask::AclSave
            | Ask::AclLog { .. }
            | Ask::AclLogReset) => return self.answer_acl(ask).await,
            ask @ (Ask::Eval(_)
            | Ask::ScriptLoad(_)
            | Ask::ScriptExists(_)
            | Ask::ScriptFlush
            | Ask::ScriptKill) => self.answer_script(ask).await,
            ask @ (Ask::Function(_)
            | Ask::FunctionList(_)
            | Ask::FunctionDump
            | Ask::FunctionStats
            | Ask::FunctionKill) => self.answer_functions(ask).await,
            ask => return self.answer_operator(ask).await,
        }
        Asked::Go
    }

    async fn answer_operator(&mut self, ask: Ask) -> Asked {
        match ask {
            Ask::Save => self.save(Saving::Save).await,
            Ask::BgSave(busy) => self.save(Saving::BgSave(busy)).await,
            Ask::BgRewriteAof => self.save(Saving::Rewrite).await,
            Ask::LastSave => {
                let last =
                    self.core.on(ShardId(0), |core| core.saver.state.borrow().last_save).await;
                self.write(|reply| reply.integer(last as i64));
            }
            Ask::Backup(verb) => self.backup(verb).await,
            Ask::Wait { millis } => return Asked::Wait(millis),
            Ask::WaitAof { local, millis } => self.wait_aof(local, millis).await,
            Ask::Shutdown(options) => {
                if let Some(busy) = self.must_wait(options) {
                    self.error(&busy);
                } else if shutdown::shutdown(&self.core, options).await.is_err() {
                    self.error(&Error::SHUTDOWN_FAILED);
                }
            }
            Ask::ShutdownAbort => self.error(&Error::NO_SHUTDOWN),
            Ask::Listen(changes) => {
                self.listen(changes);
                return Asked::Told;
            }
            ask @ (Ask::Reset { .. }
            | Ask::Publish { .. }
            | Ask::PubSub(_)
            | Ask::Track { .. }
            | Ask::Monitor
            | Ask::Pause { .. }
            | Ask::Unpause
            | Ask::Unblock { .. }) => self.answer_listener(ask).await,
            ask => return self.answer_observer(ask).await,
        }
        Asked::Go
    }

    async fn answer_observer(&mut self, ask: Ask) -> Asked {
        match ask {
            Ask::SlowlogGet { count } => {
                let logs = self
                    .core
                    .on_all(|core| core.slowlog.borrow().entries().cloned().collect::<Vec<_>>());
                let most = self.core.settings.borrow().config.slowlog_max_len;
                let entries = slowlog::merged(logs.await.concat(), count.min(most));
                self.write(|reply| admin::write_slowlog(reply, &entries));
            }
            Ask::SlowlogLen => {
                let lengths = self.core.on_all(|core| core.slowlog.borrow().len()).await;
                let most = self.core.settings.borrow().config.slowlog_max_len;
                let length = lengths.iter().sum::<usize>().min(most);
                self.write(|reply| reply.integer(length as i64));
            }
            Ask::SlowlogReset => {
                self.core.on_all(|core| core.slowlog.borrow_mut().reset()).await;
                self.write(|reply| reply.ok());
            }
            Ask::LatencyLatest => {
                let events = facts::events(&self.core).await;
                self.write(|reply| admin::write_latest(reply, &events));
            }
            Ask::LatencyHistory { event } => {
                let events = facts::events(&self.core).await;
                self.write(|reply| admin::write_history(reply, &events, &event));
            }
            Ask::LatencyGraph { event } => {
                let events = facts::events(&self.core).await;
                let second = self.core.clock.now().0 / 1000;
                match graph::graph(&events, &event, second) {
                    Some(text) => self.write(|reply| reply.verbatim("txt", text.as_bytes())),
                    None => {
                        let why = format!("No samples available for event '{event}'");
                        self.error(&Error::err_owned(why));
                    }
                }
            }
            Ask::LatencyReset { events } => {
                let reset = facts::reset_events(&self.core, events).await;
                self.write(|reply| reply.integer(reset as i64));
            }
            Ask::LatencyHistogram { commands } => {
                let counters = facts::counters(&self.core).await;
                let wanted = |name: &&str| {
                    let inside = name.split_once('|').map_or("", |(container, _)| container);
                    commands.is_empty() || commands.iter().any(|c| c == *name || c == inside)
                };
                let mut found: Vec<_> = counters.commands.iter().collect();
                found.retain(|(name, stats)| wanted(name) && stats.calls > 0);
                found.sort_unstable_by_key(|(name, _)| **name);
                let found: Vec<_> =
                    found.into_iter().map(|(name, stats)| (*name, &stats.latency)).collect();
                self.write(|reply| admin::write_histogram(reply, &found));
            }
            ask => self.answer_debugger(ask).await,
        }
        Asked::Go
    }

    async fn answer_debugger(&mut self, ask: Ask) {
        match ask {
            Ask::DebugSleep { micros } => {
                // All cores stand still together, as Redis' one thread does.
                let pause = Duration::from_micros(micros);
                let others = (0..self.core.shards).map(ShardId).filter(|id| *id != self.core.id);
                let mut asleep = Vec::new();
                for shard in others {
                    let work = move |_| async move { std::thread::sleep(pause) };
                    asleep.push(self.core.start_on(shard, work));
                }
                std::thread::sleep(pause);
                for sleeping in asleep {
                    sleeping.await;
                }
                self.write(|reply| reply.ok());
            }
            Ask::DebugReload(options) => {
                let done = reload::reload(&self.core, options).await;
                self.ok_or(done);
            }
            Ask::DebugLoadAof => {
                let done = reload::load_log(&self.core).await;
                self.ok_or(done);
            }
            Ask::SetActiveExpire { on } => {
                self.core.shared.active_expire.store(on, Ordering::Relaxed);
                self.write(|reply| reply.ok());
            }
            Ask::SetDebugInScripts { on } => {
                self.core.shared.scripts.debug.store(on, Ordering::Relaxed);
                self.write(|reply| reply.ok());
            }
            Ask::DebugPopulate { count, prefix, size } => {
                let done = self.populate(count, &prefix, size).await;
                self.ok_or(done);
            }
            Ask::DebugLog { text } => {
                log::warning(format!("DEBUG LOG: {}", String::from_utf8_lossy(&text)));
                self.write(|reply| reply.ok());
            }
            _ => unreachable!("answered above"),
        }
    }

    /// WAITAOF: until this shard's and all other logs are synced as far as they were appended now.
    async fn wait_aof(&mut self, local: bool, millis: u64) {
        if local && !self.core.settings.borrow().config.appendonly {
            self.error(&absent::NO_LOG);
            return;
        }
        let targets = self.core.on_all(|core| core.shard.borrow().appended()).await;
        let began = std::time::Instant::now();
        let synced = loop {
            let targets = targets.clone();
            let synced = self.core.on_all(move |core| {
                let target = targets.get(core.id.index()).copied().unwrap_or_default();
                core.shard.borrow().log().is_some_and(|log| log.durable() >= target)
            });
            let synced = synced.await.into_iter().all(|synced| synced);
            let late = millis > 0 && began.elapsed() >= Duration::from_millis(millis);
            if synced || late || !local {
                break synced;
            }
            glommio::timer::sleep(Duration::from_millis(5)).await;
        };
        self.write(|reply| absent::write_waitaof(reply, synced));
    }

    pub(in crate::server) fn listen(&mut self, changes: Vec<Change>) {
        let session = self.client.session.borrow().id;
        self.core.note_subscriptions(session, changes);
    }

    pub(in crate::server) fn write(&mut self, work: impl FnOnce(&mut Reply<'_>)) {
        let proto = self.client.session.borrow().proto;
        work(&mut Reply::new(&mut self.pipeline.out, proto));
    }

    /// While a script runs for too long, nothing is saved.
    fn must_wait(&self, options: Shutdown) -> Option<Error> {
        let threshold = self.core.settings.borrow().config.busy_reply_threshold;
        self.busy(threshold).filter(|_| options.save != LastSnapshot::No)
    }

    pub(in crate::server) fn ok_or(&mut self, done: Result<(), Error>) {
        match done {
            Ok(()) => self.write(|reply| reply.ok()),
            Err(error) => self.error(&error),
        }
    }

    async fn watch(&mut self, keys: Vec<Vec<u8>>) {
        let db = self.client.session.borrow().db;
        for key in keys {
            let shard = shard_of(&key, self.core.shards);
            let name = key.clone();
            let version = self
                .core
                .on(shard, move |core| {
                    core.clock.start_turn();
                    core.run(|shard| shard.watch(db, &name))
                })
                .await;
            let watched = Watched { db, key, shard, version };
            self.client.session.borrow_mut().watched.push(watched);
        }
        self.write(|reply| reply.ok());
    }

    fn client_info(&mut self) {
        let now = self.core.clock.now();
        let line = client::line(&self.client.session.borrow(), &self.client.wire.borrow(), now);
        self.write(|reply| client::write_lines(reply, vec![line]));
    }

    async fn client_list(&mut self, filter: ClientFilter) {
        let now = self.core.clock.now();
        let lines = self.core.on_all(move |core| core.clients.lines(&filter, now)).await;
        self.write(|reply| client::write_lines(reply, lines.concat()));
    }

    async fn client_kill(&mut self, filter: ClientFilter, form: KillForm) -> Asked {
        let now = self.core.clock.now();
        let own = self.client.session.borrow().id;
        let killed = self.core.on_all(move |core| core.clients.kill(&filter, own, now)).await;
        self.write(|reply| client::write_killed(reply, form, killed.iter().sum()));
        if self.client.killed.get() { Asked::Close } else { Asked::Go }
    }

    async fn save(&mut self, what: Saving) {
        match saver::wish(&self.core, what).await {
            Ok(start) => self.write(|reply| admin::write_saving(reply, what, start)),
            Err(error) => self.error(&error),
        }
    }

    async fn backup(&mut self, verb: Verb) {
        match sealing::answer(&self.core, verb).await {
            Ok(Answer::Ok) => self.write(|reply| reply.ok()),
            Ok(Answer::Status(status)) => self.write(|reply| write_status(reply, &status)),
            Ok(Answer::Paths(paths)) => self.write(|reply| {
                reply.array(paths.len());
                paths.iter().for_each(|path| reply.bulk(path.as_bytes()));
            }),
            Err(error) => self.error(&error),
        }
    }

    /// What the commands of a transaction ask for: nothing waits, and saves begin after it.
    pub(in crate::server) async fn answer_in_exec(&mut self, ask: Ask) {
        let what = match ask {
            Ask::Wait { .. } => return self.write(|reply| reply.integer(0)),
            Ask::BgSave(_) => Saving::BgSave(IfBusy::Schedule),
            Ask::BgRewriteAof => Saving::Rewrite,
            Ask::WrongPassword { user, command } => {
                return self.wrong_password(user, command, Context::Multi);
            }
            ask => {
                self.answer(ask).await;
                return;
            }
        };
        match saver::wish(&self.core, what).await {
            Ok(_) => self.write(|reply| admin::write_saving(reply, what, Start::Later)),
            Err(error) => self.error(&error),
        }
    }
}
