//! What shards tell of their keys, on its way to those who want to know: keyspace events to the
//! subscribers of all cores, invalidations to clients that cache, MONITOR.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::base::ids::{Db, ShardId};
use crate::commands::events::{Classes, Event};
use crate::commands::order::Tracker;
use crate::commands::pubsub::Scope;
use crate::commands::spec::Command;
use crate::commands::tracking::{self, Target, Tracked};
use crate::limits::{MONITOR_LINE_MAX, NEWS_WAITING_MAX};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::server::clients::Client;
use crate::server::connection::Connection;
use crate::server::core::{Core, Message, Task};
use crate::server::post::News as Publication;
use crate::shard::news::News;
use crate::shard::tracking::Stale;

impl Core {
    /// Tells everybody what a run of commands has brought.
    #[cold]
    pub fn spread(&self, news: News) {
        news.told.into_iter().for_each(|told| self.tell(told));
        if !news.events.is_empty() {
            self.spread_events(&news.events);
        }
        for shard in (0..self.shards).map(ShardId) {
            let of = |stale: &&Stale| stale.core == shard;
            let stale: Vec<Stale> = news.stale.iter().filter(of).cloned().collect();
            if stale.is_empty() {
                continue;
            }
            match shard == self.id {
                true => stale.into_iter().for_each(|stale| self.invalidate(stale)),
                false => self.send_news(
                    shard,
                    Box::new(move |core| {
                        stale.into_iter().for_each(|stale| core.invalidate(stale));
                    }),
                ),
            }
        }
    }

    /// Runs a function on another core (or here), which nobody waits for.
    pub fn post_task(self: &Rc<Self>, shard: ShardId, task: Task) {
        match shard == self.id {
            true => task(self),
            false => self.send_news(shard, task),
        }
    }

    /// The same for another core. Nobody answers, so what is on its way is counted.
    fn send_news(&self, shard: ShardId, task: Task) {
        self.spreading.set(true);
        self.shared.news_sent(shard);
        let counted = move |core: &Rc<Core>| {
            core.shared.news_taken(core.id);
            task(core);
        };
        self.port.send(shard, Message::Task(Box::new(counted)));
    }

    /// While other cores have much to read, those who make more of it wait.
    pub async fn wait_for_readers(&self) {
        if self.spreading.get() {
            while self.shared.news_waiting() > NEWS_WAITING_MAX {
                self.pauses.rest().await;
            }
            self.spreading.set(false);
        }
    }

    fn spread_events(&self, events: &[Event]) {
        let mut readers = (0..self.shards).map(ShardId);
        if !readers.any(|shard| self.shared.subscriptions(shard) > 0) {
            return;
        }
        let classes = Classes::of(&self.settings.borrow().config.notify_keyspace_events);
        let publications: Vec<Publication> =
            events.iter().flat_map(|event| publications(event, classes)).collect();
        let publications = Arc::new(publications);
        for shard in self.others_with_subscribers() {
            let publications = Arc::clone(&publications);
            self.send_news(
                shard,
                Box::new(move |core| {
                    publications.iter().for_each(|news| _ = core.deliver(news));
                }),
            );
        }
        publications.iter().for_each(|news| _ = self.deliver(news));
    }

    /// Tells a client of this core, or the one that it has named, that its copies are stale.
    fn invalidate(&self, stale: Stale) {
        let Some(client) = self.clients.get(stale.client) else { return };
        let redirect = {
            let session = client.session.borrow();
            let Some(tracked) = &session.tracking else { return };
            tracked.redirect
        };
        match redirect {
            None => self.send_invalidation(&client, Target::Own, stale.keys.as_deref()),
            Some(to) => self.redirect(stale, to),
        }
    }

    /// The connection that is to hear of it may be on any core.
    fn redirect(&self, stale: Stale, to: (u64, ShardId)) {
        let (target, shard) = to;
        let from = (stale.client, self.id);
        let keys = stale.keys;
        let deliver = move |core: &Core| match core.clients.get(target) {
            Some(client) => {
                core.send_invalidation(&client, Target::Redirected, keys.as_deref());
                true
            }
            None => false,
        };
        match shard == self.id {
            true if deliver(self) => {}
            true => self.redirection_broken(from.0, target),
            false => self.send_news(
                shard,
                Box::new(move |core| {
                    if !deliver(core) {
                        let broken = move |core: &Rc<Core>| core.redirection_broken(from.0, target);
                        core.post_task(from.1, Box::new(broken));
                    }
                }),
            ),
        }
    }

    fn send_invalidation(&self, client: &Client, target: Target, keys: Option<&[Vec<u8>]>) {
        let mut bytes = Vec::new();
        {
            let session = client.session.borrow();
            tracking::write_invalidation(&mut bytes, &session, target, keys);
        }
        if !bytes.is_empty() {
            let limit = self.settings.borrow().config.client_output_buffer_limit.normal;
            self.post(client, &bytes, limit);
        }
    }

    fn redirection_broken(&self, client: u64, target: u64) {
        let Some(client) = self.clients.get(client) else { return };
        let mut bytes = Vec::new();
        tracking::write_broken(&mut bytes, &mut client.session.borrow_mut(), target);
        if !bytes.is_empty() {
            let limit = self.settings.borrow().config.client_output_buffer_limit.normal;
            self.post(&client, &bytes, limit);
        }
    }

    /// Hands a line to the MONITOR clients of this core.
    fn show(&self, line: &[u8]) {
        let limit = self.settings.borrow().config.client_output_buffer_limit.replica;
        for client in self.clients.monitors() {
            self.post(&client, line, limit);
        }
    }
}

/// The two messages of an event, those that are wanted.
fn publications(event: &Event, classes: Classes) -> Vec<Publication> {
    let mut all = Vec::new();
    let news = |channel: Vec<u8>, message: &[u8]| Publication {
        scope: Scope::Channel,
        channel,
        message: message.to_vec(),
    };
    if classes.has(b'K') {
        let prefix = format!("__keyspace@{}__:", event.db.0);
        all.push(news([prefix.as_bytes(), &event.key].concat(), event.name.as_bytes()));
    }
    if classes.has(b'E') {
        let channel = format!("__keyevent@{}__:{}", event.db.0, event.name);
        all.push(news(channel.into_bytes(), &event.key));
    }
    all
}

impl Connection {
    /// Shows a command to MONITOR.
    #[cold]
    pub(in crate::server) fn monitor(&self, args: Args<'_>) {
        let (db, peer) = {
            let session = self.client.session.borrow();
            (session.db, session.peer.clone())
        };
        self.monitor_as(db, &peer, args);
    }

    /// Shows a script, or a command that it calls in a database.
    pub(in crate::server) fn show_to_monitors(&self, args: &OwnedArgs, within: Option<Db>) {
        if self.core.shared.monitors.load(Ordering::Relaxed) == 0 {
            return;
        }
        match within {
            Some(db) => self.monitor_as(db, "lua", args.args()),
            None => self.monitor(args.args()),
        }
    }

    fn monitor_as(&self, db: Db, peer: &str, args: Args<'_>) {
        let micros = crate::server::clock::wall_micros();
        let line = tracking::monitor_line((db, peer), args, micros, MONITOR_LINE_MAX);
        let line: Arc<[u8]> = line.into();
        for shard in (0..self.core.shards).map(ShardId).filter(|shard| *shard != self.core.id) {
            let line = Arc::clone(&line);
            self.core.post_task(shard, Box::new(move |core| core.show(&line)));
        }
        self.core.show(&line);
    }
}

impl Connection {
    /// CLIENT TRACKING.
    pub(in crate::server) async fn track(
        &mut self,
        wanted: Option<Tracked>,
        redirect: Option<u64>,
    ) {
        let Some(mut wanted) = wanted else {
            self.untrack().await;
            return self.write(|reply| reply.ok());
        };
        if let Some(id) = redirect {
            let found = self.core.on_all(move |core| core.clients.get(id).is_some()).await;
            let shard = found.iter().position(|found| *found);
            let Some(shard) = shard else {
                let text = "The client ID you want redirect to does not exist";
                return self.error(&Error::err(text));
            };
            wanted.redirect = Some((id, ShardId(shard as u16)));
        }
        let (client, core) = (self.client.session.borrow().id, self.core.id);
        let prefixes = wanted.prefixes.clone();
        self.client.session.borrow_mut().tracking = Some(wanted);
        self.core
            .on_all(move |at| {
                let mut shard = at.shard.borrow_mut();
                shard.ears.tracking.join(client, core, &prefixes);
                shard.listen();
            })
            .await;
        self.write(|reply| reply.ok());
    }

    /// Ends CLIENT TRACKING.
    pub(in crate::server) async fn untrack(&mut self) {
        let was = self.client.session.borrow_mut().tracking.take();
        let client = self.client.session.borrow().id;
        if was.is_some() {
            self.core
                .on_all(move |at| {
                    let mut shard = at.shard.borrow_mut();
                    shard.ears.tracking.leave(client);
                    shard.listen();
                })
                .await;
        }
    }

    /// What a shard has to know of this session, if it tracks.
    pub(in crate::server) fn track_command(&self, command: &Command) -> Option<Tracker> {
        let mut session = self.client.session.borrow_mut();
        let tracker = session.tracking.as_ref().map(|tracked| tracked.tracker(session.id));
        if tracker.is_some() {
            tracking::command_ran(&mut session, command);
        }
        tracker
    }

    /// MONITOR.
    pub(in crate::server) fn begin_monitor(&mut self) {
        if !std::mem::replace(&mut self.client.session.borrow_mut().monitors, true) {
            self.core.shared.monitors.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Ends MONITOR.
    pub(in crate::server) fn end_monitor(&mut self) {
        if std::mem::take(&mut self.client.session.borrow_mut().monitors) {
            self.core.shared.monitors.fetch_sub(1, Ordering::SeqCst);
        }
    }
}
