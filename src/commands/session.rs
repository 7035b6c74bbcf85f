//! What a connection carries, as far as commands may change it, and what they may ask for.

use std::sync::Arc;

use crate::base::ids::{Db, ShardId};
use crate::base::time::Millis;
use crate::commands::acl::identity::Identity;
use crate::commands::acl::users::Users;
use crate::commands::backup::Verb;
use crate::commands::client::{ClientFilter, KillForm, Paused, Unblock};
use crate::commands::function::{Change as FunctionChange, Wanted};
use crate::commands::pubsub::{Change, Question, Scope, Subscriptions};
use crate::commands::script::Eval;
use crate::commands::spec::Command;
use crate::commands::tracking::Tracked;
use crate::config::Config;
use crate::config::values::Access;
use crate::observe::info::choose::Choice;
use crate::resp::args::{Args, OwnedArgs};
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
    /// CLIENT SETNAME.
    pub name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub lib_version: Vec<u8>,
    /// Who it is. The server sets it when the session begins.
    pub identity: Identity,
    /// MULTI has been sent: what was queued since.
    pub queue: Option<Queue>,
    /// WATCH: cleared by EXEC, DISCARD, UNWATCH and RESET.
    pub watched: Vec<Watched>,
    /// SUBSCRIBE and its kin.
    pub subscriptions: Subscriptions,
    /// CLIENT TRACKING.
    pub tracking: Option<Tracked>,
    /// MONITOR.
    pub monitors: bool,
    /// CLIENT REPLY.
    pub replies: ReplyMode,
    /// CLIENT NO-EVICT.
    pub no_evict: bool,
    /// CLIENT NO-TOUCH: reads do not count as accesses.
    pub no_touch: bool,
    /// Where the client is, `ip:port`.
    pub peer: String,
    /// Where it connected to, `ip:port`.
    pub local: String,
    /// It came over the loopback interface or a unix socket.
    pub loopback: bool,
    /// When the connection was accepted.
    pub created: Millis,
    /// When it last sent a command.
    pub seen: Millis,
    /// The last command's name in the table; empty before the first.
    pub command: &'static str,
}

impl Session {
    /// Called once for each command after it ran: is its reply to be thrown away?
    pub fn reply_hidden(&mut self) -> bool {
        let (hidden, next) = match self.replies {
            ReplyMode::On => (false, ReplyMode::On),
            ReplyMode::Off => (true, ReplyMode::Off),
            ReplyMode::SkipNext => (true, ReplyMode::SkipThis),
            ReplyMode::SkipThis => (true, ReplyMode::On),
        };
        self.replies = next;
        hidden
    }

    /// Leaves MULTI and forgets the watches, which are returned to be ended on their shards.
    #[must_use]
    pub fn end_transaction(&mut self) -> Vec<Watched> {
        self.queue = None;
        std::mem::take(&mut self.watched)
    }
}

/// CLIENT REPLY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyMode {
    /// Replies are sent.
    #[default]
    On,
    /// None is.
    Off,
    /// The command that runs now is CLIENT REPLY SKIP; the one after it stays without a reply.
    SkipNext,
    /// The command that runs now stays without a reply.
    SkipThis,
}

/// What MULTI has queued.
#[derive(Debug, Default)]
pub struct Queue {
    /// In the order of their arrival.
    pub commands: Vec<Queued>,
    /// A command was refused while queueing: EXEC will refuse the whole.
    pub aborted: bool,
    /// Bytes of all arguments.
    pub bytes: usize,
}

/// One queued command.
#[derive(Clone, Debug)]
pub struct Queued {
    /// Its row.
    pub command: &'static Command,
    /// Its arguments, names included.
    pub args: OwnedArgs,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Queued) -> bool {
        self.command.name == other.command.name && self.args == other.args
    }
}

impl Eq for Queued {}

/// One watched key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// The database selected when it was watched.
    pub db: Db,
    /// The key.
    pub key: Vec<u8>,
    /// Who owns it.
    pub shard: ShardId,
    /// What `Keyspace::watch` gave.
    pub version: u64,
}

/// What the session commands need to know of the server. The same for all sessions of a core;
/// the server brings it up to date after CONFIG SET, and when users change.
#[derive(Clone, Debug)]
pub struct Facts {
    /// All users.
    pub users: Arc<Users>,
    /// How many databases there are.
    pub databases: u16,
    /// `enable-debug-command`.
    pub debug: Access,
}

impl Facts {
    /// What follows from the settings, beside the users.
    pub fn of(config: &Config, users: Arc<Users>) -> Facts {
        Facts { users, databases: config.databases, debug: config.enable_debug_command }
    }
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
    /// What holds for all sessions.
    pub facts: &'a Facts,
}

/// What a session command wants of the server.
///
/// `Nothing`, `Close`, `Unwatch`, `Listen`, `Reset` and `Monitor` come with the reply already
/// written. For all others nothing has been written: the server acts, then answers with the
/// function that is named here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Nothing: the reply has been written.
    Nothing,
    /// Close the connection once the reply has left.
    Close,
    /// End these watches on their shards. The reply has been written.
    Unwatch(Vec<Watched>),
    /// These subscriptions have begun or ended. The reply has been written.
    Listen(Vec<Change>),
    /// The connection is as good as new: ends what it had. The reply has been written.
    Reset {
        /// Its watches.
        watched: Vec<Watched>,
        /// Its subscriptions.
        ended: Vec<Change>,
    },

    /// Watch these keys of the session's database, add each to `session.watched`, then `+OK`.
    /// Keys that the session watches already are left out.
    Watch(Vec<Vec<u8>>),
    /// Run the queue as one if every watched key is unchanged: an array of as many replies, else a
    /// null array. Ends the watches either way.
    Exec {
        /// What to run.
        commands: Vec<Queued>,
        /// What must not have changed.
        watched: Vec<Watched>,
    },

    /// Runs a script and answers what it returns.
    Eval(Box<Eval>),
    /// Keeps a script: its name.
    ScriptLoad(Vec<u8>),
    /// An array: which scripts of these names are kept.
    ScriptExists(Vec<Vec<u8>>),
    /// Forgets all scripts, then `+OK`.
    ScriptFlush,
    /// Ends the script that runs, then `+OK`.
    ScriptKill,

    /// A wrong password: `Error::WRONGPASS`, and an entry in the log of what was denied.
    WrongPassword {
        /// Whose.
        user: Vec<u8>,
        /// The command's name, as it was sent.
        command: Vec<u8>,
    },
    /// So many hexadecimal digits by chance: `acl::rows::write_password`.
    AclGenpass {
        /// How many.
        digits: usize,
    },
    /// Applies rules to a user, new or not, all or none, then `+OK`.
    AclSetUser {
        /// Its name.
        name: Vec<u8>,
        /// The rules.
        rules: OwnedArgs,
    },
    /// Deletes users and closes their connections; an integer: how many there were.
    AclDelUser(OwnedArgs),
    /// Reads the users from the file, then `+OK`.
    AclLoad,
    /// Writes the users to the file, then `+OK`.
    AclSave,
    /// What was denied lately: `acl::rows::write_log`.
    AclLog {
        /// So many entries at most.
        most: usize,
    },
    /// Forgets what was denied, then `+OK`.
    AclLogReset,
    /// Changes the libraries of functions: the reply of the command itself.
    Function(Box<FunctionChange>),
    /// `function::write_list`.
    FunctionList(Wanted),
    /// `function::write_dump`.
    FunctionDump,
    /// `function::write_stats`.
    FunctionStats,
    /// Ends the function that runs, then `+OK`.
    FunctionKill,

    /// The session's own line: `client::write_lines`, verbatim.
    ClientInfo,
    /// The lines of all sessions that match, by id: `client::write_lines`.
    ClientList(ClientFilter),
    /// Close the sessions that match (this one after its reply): `client::write_killed`.
    ClientKill {
        /// Which.
        filter: ClientFilter,
        /// How the answer looks.
        form: KillForm,
    },

    /// Hands a message to all subscribers; an integer: how many there are.
    Publish {
        /// Of a channel or a shard channel.
        scope: Scope,
        /// Its name.
        channel: Vec<u8>,
        /// The message.
        message: Vec<u8>,
    },
    /// Switches CLIENT TRACKING, or off without `wanted`, then `+OK`.
    Track {
        /// As it is to be, all but the redirection.
        wanted: Option<Tracked>,
        /// CLIENT ID of the session that is to hear, which has to be there.
        redirect: Option<u64>,
    },
    /// Shows every command to this session. The reply has been written.
    Monitor,
    /// Lets commands wait until then, then `+OK`.
    Pause {
        /// A moment.
        until: Millis,
        /// Which commands.
        which: Paused,
    },
    /// Ends the pause, then `+OK`.
    Unpause,
    /// Wakes a client that waits in a blocking command: an integer, whether it did.
    Unblock {
        /// CLIENT ID.
        id: u64,
        /// How.
        how: Unblock,
    },
    /// Answers PUBSUB as the question says.
    PubSub(Question),

    /// The clock, finer than the session sees it: `admin::write_time`.
    Time,
    /// MEMORY STATS: `object::write_memory`.
    MemoryStats,
    /// INFO of these sections: `admin::write_info`.
    Info(Choice),
    /// CONFIG GET: settings whose name matches any pattern. `admin::write_config`.
    ConfigGet {
        /// Glob patterns, lower case.
        patterns: Vec<Vec<u8>>,
    },
    /// CONFIG SET: all of them or none, then `+OK`.
    ConfigSet {
        /// Name (as it was sent, no name twice) and value.
        pairs: Vec<(String, Vec<u8>)>,
    },
    /// Sets the counters of INFO and the latency histograms to zero, then `+OK`.
    ConfigResetStat,
    /// Writes the settings back to the configuration file, then `+OK`.
    ConfigRewrite,

    /// The newest entries first: `admin::write_slowlog`.
    SlowlogGet {
        /// At most so many.
        count: usize,
    },
    /// An integer: entries in the slow log.
    SlowlogLen,
    /// Empties the slow log, then `+OK`.
    SlowlogReset,

    /// `admin::write_latest`.
    LatencyLatest,
    /// `admin::write_history`.
    LatencyHistory {
        /// Its name, lower case.
        event: String,
    },
    /// `observe::graph`, verbatim.
    LatencyGraph {
        /// Its name, lower case.
        event: String,
    },
    /// An integer: how many of these events were forgotten.
    LatencyReset {
        /// Their names, lower case; empty: all.
        events: Vec<String>,
    },
    /// `admin::write_histogram`.
    LatencyHistogram {
        /// Of these commands, lower case; empty: of all that ran.
        commands: Vec<String>,
    },

    /// Makes a snapshot. `admin::start` decides; `admin::write_saving` when it is durable.
    Save,
    /// Starts a snapshot. `admin::start` decides, `admin::write_saving` answers.
    BgSave(IfBusy),
    /// Starts a rewrite of the log. `admin::start` decides, `admin::write_saving` answers.
    BgRewriteAof,
    /// A backup: `backup::decide` decides.
    Backup(Verb),
    /// WAIT for a replica, of which there is none: `:0` after so many milliseconds (0: never), and
    /// at once inside a transaction.
    Wait {
        /// For so long.
        millis: u64,
    },
    /// Waits until what the session wrote is synced, if `local`, and for `millis` at most (0: as
    /// long as it takes). `absent::write_waitaof`; with `local` and no log: `absent::NO_LOG`.
    WaitAof {
        /// This server's log is to be synced.
        local: bool,
        /// For so long.
        millis: u64,
    },
    /// An integer: when the last snapshot became durable, in seconds.
    LastSave,
    /// Ends the server. No reply on success; `Error::SHUTDOWN_FAILED` otherwise.
    Shutdown(Shutdown),
    /// Takes back a shutdown that waits: `+OK` or `Error::NO_SHUTDOWN`.
    ShutdownAbort,

    /// The whole server stands still for so long, then `+OK`.
    DebugSleep {
        /// Microseconds.
        micros: u64,
    },
    /// Saves, empties and loads again, as the options say, then `+OK`.
    DebugReload(Reload),
    /// Flushes the log, empties the keyspaces and replays it, then `+OK`.
    DebugLoadAof,
    /// Switches removal of expired keys by upkeep, then `+OK`.
    SetActiveExpire {
        /// Whether upkeep removes them.
        on: bool,
    },
    /// Lets scripts call DEBUG PROTOCOL and DEBUG SLEEP, or not, then `+OK`.
    SetDebugInScripts {
        /// Whether they may.
        on: bool,
    },
    /// Makes the keys `prefix:0` ... that are not there yet, then `+OK`.
    DebugPopulate {
        /// How many.
        count: u64,
        /// What their names begin with.
        prefix: Vec<u8>,
        /// Bytes of each value; 0: as long as `value:N` is.
        size: usize,
    },
    /// Writes a line to the server's log, then `+OK`.
    DebugLog {
        /// As it was sent.
        text: Vec<u8>,
    },
}

/// BGSAVE while a rewrite of the log runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfBusy {
    /// An error.
    Refuse,
    /// It starts when the rewrite has ended (SCHEDULE).
    Schedule,
}

/// SHUTDOWN's options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shutdown {
    /// Whether a snapshot is made first.
    pub save: LastSnapshot,
    /// Do not wait for replicas.
    pub now: bool,
    /// Go on whatever fails.
    pub force: bool,
}

/// Whether SHUTDOWN makes a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastSnapshot {
    /// When save points are set.
    #[default]
    IfSavePoints,
    /// Yes.
    Yes,
    /// No.
    No,
}

/// DEBUG RELOAD's options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Make a snapshot first.
    pub save: bool,
    /// Empty the keyspaces before loading.
    pub flush: bool,
    /// Keys that exist already are replaced by those loaded.
    pub merge: bool,
}
