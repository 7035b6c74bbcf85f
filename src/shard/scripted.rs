//! A transaction on this shard alone whose commands come one by one (a script). Whoever runs it has
//! claimed the whole keyspace and holds the epoch gate, so that neither a reader nor a cut sees
//! what is not logged yet.

use crate::base::ids::{Db, Lsn};
use crate::base::time::Millis;
use crate::commands::call::Effect;
use crate::commands::order::Voice;
use crate::commands::session::Watched;
use crate::commands::spec::KeySpec;
use crate::shard::execute::Request;
use crate::shard::journal::{Group, note};
use crate::shard::shard::Shard;

/// What has been done so far.
#[derive(Debug)]
pub struct Open {
    now: Millis,
    effects: Group,
    /// Keys to be marked with the lsn that the whole will have.
    touched: Vec<(Db, Vec<u8>)>,
    /// Keys have changed that no argument names.
    all: bool,
    observed: Lsn,
}

impl Shard {
    /// Begins, unless a watched key has changed. The time stands still from now on.
    pub fn open(&mut self, watched: &[Watched]) -> Option<Open> {
        self.keys.begin(self.now, self.journal.next());
        let unchanged = self.unchanged(watched);
        let observed = self.keys.observed();
        let (effects, touched) = (Vec::new(), Vec::new());
        unchanged.then_some(Open { now: self.now, effects, touched, all: false, observed })
    }

    /// Runs the next command; its reply is in `out`.
    pub fn run_open(&mut self, open: &mut Open, request: Request<'_>, out: &mut Vec<u8>) {
        let later = std::mem::replace(&mut self.now, open.now);
        // Whether it may write was decided before: it is not refused half way.
        let effect = self.perform(request, Voice::Loud, out);
        self.now = later;
        open.observed = open.observed.max(self.keys.observed());
        if effect == Effect::Nothing {
            return;
        }
        open.touched.extend(request.keys().map(|(db, key)| (db, key.to_vec())));
        open.all |= matches!(request.command.keys, KeySpec::None);
        note(&mut open.effects, effect, request.args, request.db);
    }

    /// Logs the whole as one; what a reply to it depends on.
    pub fn close(&mut self, open: Open) -> Lsn {
        if open.effects.is_empty() {
            return open.observed;
        }
        self.journal.append_group(&open.effects);
        self.changes += open.effects.len() as u64;
        self.mark(open.touched.iter().map(|(_, key)| &key[..]), open.all);
        self.journal.last().max(open.observed)
    }
}
