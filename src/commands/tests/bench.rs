//! One keyspace, and what a shard does around a command: find the row, run it, log the effect.

use std::sync::Arc;

use crate::base::ids::{Db, Lsn};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::commands::acl::users::Users;
use crate::commands::call::{Call, Effect};
use crate::commands::scan::every_key;
use crate::commands::session::{Facts, Session, Shell};
use crate::commands::spec::{Flags, Run};
use crate::commands::table;
use crate::config::Config;
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::reply::Reply;
use crate::types::value::Kind;

/// A keyspace, a clock and a log.
pub struct Bench {
    pub keys: Keyspace,
    pub now: Millis,
    pub session: Session,
    facts: Facts,
    /// What was logged: expired keys as DEL, then the effects.
    pub log: Vec<(Db, OwnedArgs)>,
    prng: Prng,
    lsn: Lsn,
}

impl Bench {
    pub fn new(seed: u64) -> Bench {
        Bench {
            keys: Keyspace::new(Settings::default()),
            now: Millis(1_000_000),
            session: Session::default(),
            facts: Facts::of(&Config::default(), Arc::new(Users::new(b""))),
            log: Vec::new(),
            prng: Prng::new(seed),
            lsn: Lsn(0),
        }
    }

    /// Runs one request; the encoded reply.
    pub fn run(&mut self, args: Args<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let proto = self.session.proto;
        let result = match table::resolve(args) {
            Ok(row) => match row.run {
                Run::Keys(_) | Run::Both(..) => self.run_keys(args, &mut out),
                Run::Session(run) => run(&mut Shell {
                    session: &mut self.session,
                    args,
                    reply: Reply::new(&mut out, proto),
                    now: self.now,
                    facts: &self.facts,
                })
                .map(|_| ()),
                Run::Container => Ok(()),
            },
            Err(error) => Err(error),
        };
        if let Err(error) = result {
            assert!(out.is_empty(), "an error after a reply: {args:?}");
            Reply::new(&mut out, proto).error(&error);
        }
        out
    }

    fn run_keys(
        &mut self,
        args: Args<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), crate::resp::error::Error> {
        let row = table::resolve(args)?;
        let Some(run) = row.on_keys() else { return Ok(()) };
        self.keys.begin(self.now, self.lsn.next());
        let result = run(&mut Call {
            keys: &mut self.keys,
            db: self.session.db,
            args,
            reply: Reply::new(out, self.session.proto),
            now: self.now,
            prng: &mut self.prng,
        });
        while let Some((db, key)) = self.keys.take_expired() {
            self.append(db, OwnedArgs::of(&[b"DEL", &key]));
        }
        let before = self.log.len();
        match result {
            Ok(Effect::Nothing) => {}
            Ok(Effect::AsSent) => self.append(self.session.db, args.to_owned()),
            Ok(Effect::Instead(instead)) => self.append(self.session.db, instead),
            Ok(Effect::Several(all)) => {
                all.into_iter().for_each(|args| self.append(self.session.db, args));
            }
            Err(error) => return Err(error),
        }
        let logged = self.log.len() > before;
        assert!(!logged || row.flags.has(Flags::WRITE), "{} is no write", row.name);
        Ok(())
    }

    fn append(&mut self, db: Db, args: OwnedArgs) {
        self.lsn = self.lsn.next();
        self.log.push((db, args));
    }

    /// Runs a request given as words.
    pub fn words(&mut self, words: &[&[u8]]) -> Vec<u8> {
        self.run(OwnedArgs::of(words).args())
    }

    /// A bench whose keyspace is made from another's log, as at a start.
    pub fn replayed(log: &[(Db, OwnedArgs)]) -> Bench {
        let mut bench = Bench::new(0);
        bench.now = Millis::REPLAY;
        for (at, (db, args)) in log.iter().enumerate() {
            bench.session.db = *db;
            let reply = bench.run(args.args());
            assert_ne!(
                reply.first(),
                Some(&b'-'),
                "entry {at}: {}{}",
                String::from_utf8_lossy(&reply),
                log[at.saturating_sub(20)..=at].iter().map(line).collect::<String>()
            );
        }
        bench.session.db = Db(0);
        bench
    }

    /// All about streams that DEBUG DIGEST does not tell: groups, counters, what is pending.
    pub fn streams(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for db in (0..self.keys.databases()).map(Db) {
            let mut names = Vec::new();
            every_key(&mut self.keys, db, |name, _| names.push(name.to_vec()));
            names.retain(|name| self.keys.kind(db, name) == Some(Kind::Stream));
            names.sort();
            for name in names {
                self.keys
                    .rebuild(db, &name, &mut |args| all.push(line(&(db, OwnedArgs::of(args)))));
            }
        }
        all
    }

    /// DEBUG DIGEST.
    pub fn digest(&mut self) -> String {
        let reply = self.words(&[b"DEBUG", b"DIGEST"]);
        String::from_utf8(reply).unwrap().trim_matches(['+', '\r', '\n']).to_owned()
    }
}

fn line((db, args): &(Db, OwnedArgs)) -> String {
    let words = args.args().iter().map(|word| format!(" {}", word.escape_ascii()));
    format!("{}{}\n", db.0, words.collect::<String>())
}
