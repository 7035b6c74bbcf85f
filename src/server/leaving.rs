//! How the replies of a batch come together, from this core and others, and leave: in parts, if
//! they are many, and not at all above the client's limit.

use std::io;

use crate::base::ids::{Db, ShardId};
use crate::commands::order::Tracker;
use crate::commands::spec::Command;
use crate::resp::args::Args;
use crate::resp::reply::Proto;
use crate::server::calls::Arrival;
use crate::server::connection::Connection;
use crate::server::log;
use crate::server::stream::Socket;
use crate::shard::gate::Release;

impl Connection {
    /// As `collect_part` until the batch is whole, or more than this client may leave unread.
    pub(in crate::server) async fn collect(&mut self) {
        while self.pipeline.has_envelopes() && !self.is_over_its_limit() {
            self.collect_part().await;
        }
    }

    /// Are there more replies than `client-output-buffer-limit` allows?
    fn is_over_its_limit(&self) -> bool {
        let limit = self.settings.config.client_output_buffer_limit.normal;
        limit.is_passed(self.pipeline.out.len() as u64)
    }

    /// Puts a command into the envelope for a shard.
    pub(in crate::server) fn send_away(
        &mut self,
        shard: ShardId,
        session: (Proto, Option<Tracker>),
        call: (&'static Command, Args<'_>, Db),
    ) {
        self.pipeline.send(shard, session, call, &mut self.core.spare.borrow_mut());
    }

    /// Sends the envelopes, waits for the responses and puts what has come in order.
    pub(in crate::server) async fn collect_part(&mut self) {
        if !self.pipeline.has_envelopes() {
            return;
        }
        let mut away = 0;
        for (shard, envelope) in self.pipeline.take_envelopes() {
            self.core.shard.borrow_mut().counters.commands_forwarded +=
                (envelope.len() - envelope.next) as u64;
            self.core.send_envelope(shard, self.call, envelope);
            away += 1;
        }
        for _ in 0..away {
            let Arrival::Back(shard, mut envelope) = self.core.calls.next(self.call).await else {
                unreachable!("only envelopes are under way");
            };
            self.keep_slow(&mut envelope.response);
            self.pipeline.take_in(shard, envelope, &mut self.core.spare.borrow_mut());
        }
        self.pipeline.assemble(&mut self.core.spare.borrow_mut());
    }

    /// Waits for the log, then writes the batch. A client whose replies are too many is closed.
    pub(in crate::server) async fn leave(&mut self, socket: &mut Socket) -> io::Result<()> {
        if self.is_over_its_limit() {
            self.core.shard.borrow_mut().counters.clients_closed_for_buffers += 1;
            log::warning(format!(
                "client {} is closed: {} bytes of replies are above client-output-buffer-limit",
                self.client.session.borrow().peer,
                self.pipeline.out.len()
            ));
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if self.core.released(self.pipeline.requires()).await == Release::Refuse {
            let line = self.core.refusal();
            let shard = self.core.shard.borrow();
            self.pipeline.refuse(&line, |lsn| shard.gate.release(lsn) == Release::Now);
        }
        self.take_mail();
        self.write_out(socket).await?;
        self.pipeline.clear();
        Ok(())
    }
}
