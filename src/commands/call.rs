//! One command being executed on one shard: what it is given, and what it leaves to be logged.

use crate::base::ids::Db;
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::keyspace::keyspace::{Keyspace, WrongType};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// What a handler may use. A fifth thing is news.
#[derive(Debug)]
pub struct Call<'a> {
    /// The shard's keys.
    pub keys: &'a mut Keyspace,
    /// The database that the session has selected.
    pub db: Db,
    /// The arguments; the command's name is the first.
    pub args: Args<'a>,
    /// Where the reply goes. A handler that returns an error has written nothing.
    pub reply: Reply<'a>,
    /// The time, fixed for this command or transaction. 0 in replay.
    pub now: Millis,
    /// The shard's seeded randomness.
    pub prng: &'a mut Prng,
}

/// What has to be logged so that a replay ends in the same state.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing changed.
    Nothing,
    /// The command as it was sent: nothing in it depends on time or chance.
    AsSent,
    /// This command instead: absolute deadlines, the members that were chosen.
    Instead(OwnedArgs),
    /// These commands instead, as one; there is at least one (XREADGROUP: what was delivered).
    Several(Vec<OwnedArgs>),
}

impl Effect {
    /// These commands instead of the one that was sent; nothing without any.
    pub fn of(mut commands: Vec<OwnedArgs>) -> Effect {
        match (commands.pop(), commands.is_empty()) {
            (None, _) => Effect::Nothing,
            (Some(only), true) => Effect::Instead(only),
            (Some(last), false) => {
                commands.push(last);
                Effect::Several(commands)
            }
        }
    }
}

impl From<WrongType> for Error {
    fn from(_: WrongType) -> Error {
        Error::WrongType
    }
}
