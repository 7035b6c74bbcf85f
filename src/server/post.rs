//! Messages to clients that they did not ask for: from a publisher to the subscribers of all
//! cores, and from a client's mailbox to its socket.
//!
//! A core hands a message to its own subscribers at once and sends it to every other core that has
//! any; what one core sends another keeps its order, so what one publisher says arrives in the
//! order in which it said it. The subscriber's mailbox takes the encoded bytes; its connection's
//! task writes them between two batches of replies, so that a message never overtakes a reply that
//! was made before it.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use crate::base::ids::ShardId;
use crate::commands::pubsub::{Change, Question, Scope, write_message, write_numbers};
use crate::commands::session::Ask;
use crate::config::values::BufferLimit;
use crate::resp::reply::Proto;
use crate::server::clients::Client;
use crate::server::connection::Connection;
use crate::server::core::{Core, Message};
use crate::server::mesh::ticket;
use crate::server::stream::Socket;

/// One message to a channel.
#[derive(Debug)]
pub struct News {
    /// Of a channel or a shard channel.
    pub scope: Scope,
    /// The channel.
    pub channel: Vec<u8>,
    /// What is said.
    pub message: Vec<u8>,
}

impl Core {
    /// Hands news to the subscribers of all cores; how many there are.
    pub async fn publish(self: &Rc<Self>, news: News) -> usize {
        let news = Arc::new(news);
        let mut answers = Vec::new();
        for shard in self.others_with_subscribers() {
            let (ticket, answer) = ticket();
            let news = Arc::clone(&news);
            let task = Box::new(move |core: &Rc<Core>| ticket.answer(core.deliver(&news)));
            self.port.send(shard, Message::Task(task));
            answers.push(answer);
        }
        let mut count = self.deliver(&news);
        for answer in answers {
            count += answer.await.unwrap_or_default();
        }
        count
    }

    pub(in crate::server) fn others_with_subscribers(&self) -> impl Iterator<Item = ShardId> {
        let others = (0..self.shards).map(ShardId).filter(|shard| *shard != self.id);
        others.filter(|shard| self.shared.subscriptions(*shard) > 0)
    }

    /// Hands news to this core's subscribers; how many there are.
    pub(in crate::server) fn deliver(&self, news: &News) -> usize {
        let limit = self.settings.borrow().config.client_output_buffer_limit.pubsub;
        let mut count = 0;
        let mut frames = Frames::default();
        let channels = self.channels.borrow();
        channels.receivers(news.scope, &news.channel, &mut |session, pattern| {
            let Some(client) = self.clients.get(session) else { return };
            count += 1;
            let proto = client.session.borrow().proto;
            self.post(&client, frames.get(news, pattern, proto), limit);
        });
        count
    }

    /// Puts bytes into a client's mailbox. A client that does not read what it gets is closed.
    pub fn post(&self, client: &Client, bytes: &[u8], limit: BufferLimit) {
        if !client.post(bytes, limit, self.clock.now()) {
            self.shard.borrow_mut().counters.clients_closed_for_buffers += 1;
        }
    }

    /// Subscriptions of a session have begun or ended.
    pub fn note_subscriptions(&self, session: u64, changes: Vec<Change>) {
        let mut channels = self.channels.borrow_mut();
        changes.into_iter().for_each(|change| channels.note(session, change));
        self.shared.publish_subscriptions(self.id, channels.len());
    }
}

/// A message as it was encoded last: neighbours mostly get the same.
#[derive(Default)]
struct Frames {
    last: Option<(Option<Vec<u8>>, Proto)>,
    bytes: Vec<u8>,
}

impl Frames {
    fn get(&mut self, news: &News, pattern: Option<&[u8]>, proto: Proto) -> &[u8] {
        let same = self.last.as_ref().is_some_and(|(p, v)| p.as_deref() == pattern && *v == proto);
        if !same {
            self.bytes.clear();
            let what = (news.channel.as_slice(), news.message.as_slice());
            write_message(&mut self.bytes, proto, news.scope, pattern, what);
            self.last = Some((pattern.map(<[u8]>::to_vec), proto));
        }
        &self.bytes
    }
}

impl Connection {
    /// What commands about subscriptions, caches and waiting ask for.
    pub(in crate::server) async fn answer_listener(&mut self, ask: Ask) {
        match ask {
            Ask::Reset { watched, ended } => {
                self.listen(ended);
                self.end_monitor();
                self.untrack().await;
                self.unwatch(watched).await;
            }
            Ask::Publish { scope, channel, message } => {
                self.publish(News { scope, channel, message }).await;
            }
            Ask::PubSub(question) => self.pubsub(question).await,
            Ask::Track { wanted, redirect } => self.track(wanted, redirect).await,
            Ask::Monitor => self.begin_monitor(),
            Ask::Pause { until, which } => {
                self.core.shared.pause(until, which, self.core.clock.now());
                self.write(|reply| reply.ok());
            }
            Ask::Unpause => {
                self.core.shared.unpause();
                self.write(|reply| reply.ok());
            }
            Ask::Unblock { id, how } => {
                let work = move |core: &Rc<Core>| {
                    core.clients.get(id).is_some_and(|client| client.unblock(how))
                };
                let woken = self.core.on_all(work).await.contains(&true);
                self.write(|reply| reply.integer(i64::from(woken)));
            }
            _ => unreachable!("answered elsewhere"),
        }
    }

    /// PUBLISH and SPUBLISH.
    pub(in crate::server) async fn publish(&mut self, news: News) {
        let count = self.core.publish(news).await;
        self.write(|reply| reply.integer(count as i64));
    }

    /// PUBSUB.
    pub(in crate::server) async fn pubsub(&mut self, question: Question) {
        match question {
            Question::Names(scope, pattern) => {
                let names = self.names(scope, pattern).await;
                self.write(|reply| {
                    reply.array(names.len());
                    names.iter().for_each(|name| reply.bulk(name));
                });
            }
            Question::Patterns => {
                let count = self.names(Scope::Pattern, None).await.len();
                self.write(|reply| reply.integer(count as i64));
            }
            Question::Numbers(scope, names) => {
                let wanted = names.clone();
                let counts = self.core.on_all(move |core| {
                    let channels = core.channels.borrow();
                    let counts = wanted.iter().map(|name| channels.count(scope, name));
                    counts.collect::<Vec<usize>>()
                });
                let counts = counts.await;
                let of = |at| counts.iter().filter_map(|counts| counts.get(at)).sum();
                let numbers: Vec<usize> = (0..names.len()).map(of).collect();
                self.write(|reply| write_numbers(reply, &names, &numbers));
            }
        }
    }

    /// Names that have subscribers on any core, each once.
    async fn names(&self, scope: Scope, pattern: Option<Vec<u8>>) -> Vec<Vec<u8>> {
        let work = move |core: &Rc<Core>| core.channels.borrow().names(scope, pattern.as_deref());
        let mut names = self.core.on_all(work).await.concat();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Puts what is in the mailbox behind the replies made so far.
    pub(in crate::server) fn take_mail(&mut self) {
        self.client.take_mail(&mut self.pipeline.out);
    }

    /// Writes what is in the mailbox, while no batch is under way.
    pub(in crate::server) async fn post_out(&mut self, socket: &mut Socket) -> io::Result<()> {
        self.take_mail();
        self.write_out(socket).await?;
        self.pipeline.clear();
        Ok(())
    }

    /// Writes what is to leave now.
    pub(in crate::server) async fn write_out(&mut self, socket: &mut Socket) -> io::Result<()> {
        if !self.pipeline.out.is_empty() {
            {
                let mut shard = self.core.shard.borrow_mut();
                shard.counters.net_output_bytes += self.pipeline.out.len() as u64;
                shard.counters.writes_processed += 1;
                self.client.wire.borrow_mut().reply_waiting = self.pipeline.out.len();
            }
            let written = self.send(socket).await;
            self.client.wire.borrow_mut().reply_waiting = 0;
            written?;
        }
        Ok(())
    }

    /// Writes the batch. A session that has killed itself still gets its reply.
    async fn send(&self, socket: &mut Socket) -> io::Result<()> {
        let writing = socket.write_all(&self.pipeline.out);
        match self.client.killed.get() {
            true => writing.await,
            false => self.client.unless_killed(writing).await,
        }
    }
}
