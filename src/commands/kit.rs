//! (test) One session that runs session commands and shows what came of them.

use std::sync::Arc;

use crate::base::time::Millis;
use crate::commands::acl::identity::Identity;
use crate::commands::acl::users::Users;
use crate::commands::session::{Ask, Facts, Session, Shell};
use crate::commands::table;
use crate::commands::transaction::{self, Gate, Refused};
use crate::config::Config;
use crate::config::values::Access;
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// A session and what the server would hold around it.
pub struct Kit {
    /// The session.
    pub session: Session,
    /// The settings' part.
    pub facts: Facts,
    /// The time.
    pub now: Millis,
}

impl Kit {
    /// A new connection to a server with default settings that allow DEBUG.
    pub fn new() -> Kit {
        let users = Arc::new(Users::new(b""));
        let identity = Identity::new(&users);
        let facts = Facts { debug: Access::Yes, ..Facts::of(&Config::default(), users) };
        let session = Session { id: 7, identity, ..Session::default() };
        Kit { session, facts, now: Millis(1_700_000_000_123) }
    }

    /// Runs one request, its words separated by blanks; `_` stands for an empty word.
    pub fn run(&mut self, line: &str) -> (String, Ask) {
        let words: Vec<&[u8]> = line
            .split(' ')
            .map(|word| if word == "_" { b"".as_slice() } else { word.as_bytes() })
            .collect();
        let (reply, ask) = self.run_args(&OwnedArgs::of(&words));
        (String::from_utf8_lossy(&reply).replace("\r\n", " ").trim_end().to_owned(), ask)
    }

    /// Runs one request as the server does.
    pub fn run_args(&mut self, request: &OwnedArgs) -> (Vec<u8>, Ask) {
        let mut out = Vec::new();
        let args = request.args();
        let gated = table::resolve(args).and_then(|command| {
            let gate = transaction::gate(&self.session, command, args, &self.facts);
            gate.map(|gate| (command, gate)).map_err(Refused::error)
        });
        let ask = match gated {
            Ok((command, Gate::Queue)) => {
                transaction::queue(&mut self.session, command, args);
                Reply::new(&mut out, self.session.proto).simple("QUEUED");
                Ask::Nothing
            }
            Ok((command, Gate::Run)) => {
                let Some(run) = command.in_session() else {
                    panic!("{} is no session command", command.name)
                };
                let proto = self.session.proto;
                let mut shell = Shell {
                    session: &mut self.session,
                    args,
                    reply: Reply::new(&mut out, proto),
                    now: self.now,
                    facts: &self.facts,
                };
                match run(&mut shell) {
                    Ok(Ask::WrongPassword { .. }) => {
                        Reply::new(&mut out, proto).error(&Error::WRONGPASS);
                        Ask::Nothing
                    }
                    Ok(ask) => ask,
                    Err(error) => {
                        assert!(out.is_empty(), "an error after a reply was written");
                        Reply::new(&mut out, proto).error(&error);
                        Ask::Nothing
                    }
                }
            }
            Err(error) => {
                let (error, ask) = transaction::refused(&mut self.session, args, error);
                Reply::new(&mut out, self.session.proto).error(&error);
                ask
            }
        };
        (out, ask)
    }

    /// Runs lines of `request -> reply`; `Ask...` instead of a reply is what is asked for.
    pub fn check(&mut self, lines: &str) {
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (request, expected) = line.split_once(" -> ").expect("request -> reply");
            let (reply, ask) = self.run(request.trim());
            let asked = format!("{ask:?}");
            let got = match (reply.is_empty(), &ask) {
                (_, Ask::Nothing) => reply,
                (true, _) => asked,
                (false, _) => format!("{reply} {asked}"),
            };
            assert_eq!(got, expected.trim(), "{request}");
        }
    }
}
