//! What a connection carries, as far as commands may change it, and what they may ask the server for.

use crate::base::ids::Db;
use crate::base::time::Millis;
use crate::resp::args::Args;
use crate::resp::reply::{Proto, Reply};

/// Per-connection state.
#[derive(Debug, Default)]
pub struct Session {
    /// CLIENT ID.
    pub id: u64,
    /// The selected database.
    pub db: Db,
    /// The protocol version.
    pub proto: Proto,
}

/// What a session command may use.
#[derive(Debug)]
pub struct Shell<'a> {
    /// The session that sent it.
    pub session: &'a mut Session,
    /// The arguments; the command's name is the first.
    pub args: Args<'a>,
    /// Where the reply goes, unless the server is asked for it.
    pub reply: Reply<'a>,
    /// The time.
    pub now: Millis,
}

/// What a session command wants of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: the reply has been written.
    Nothing,
    /// Close the connection once the reply has left.
    Close,
}
