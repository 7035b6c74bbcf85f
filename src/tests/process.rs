//! The real binary over TCP: starting and stopping, hostile clients, many shards as one database.

#[path = "process/acl.rs"]
mod acl;
#[path = "process/admin.rs"]
mod admin;
#[path = "process/backup.rs"]
mod backup;
#[path = "process/bench.rs"]
mod bench;
#[path = "process/damage.rs"]
mod damage;
#[path = "process/eviction.rs"]
mod eviction;
#[path = "process/functions.rs"]
mod functions;
#[path = "process/hash_expire.rs"]
mod hash_expire;
#[path = "process/hostile.rs"]
mod hostile;
#[path = "process/lifecycle.rs"]
mod lifecycle;
#[path = "process/output.rs"]
mod output;
#[path = "process/persistence.rs"]
mod persistence;
#[path = "process/programs.rs"]
mod programs;
#[path = "process/pubsub.rs"]
mod pubsub;
#[path = "process/queues.rs"]
mod queues;
#[path = "process/redis_files.rs"]
mod redis_files;
#[path = "process/restore.rs"]
mod restore;
#[path = "process/scripting.rs"]
mod scripting;
#[path = "process/shards.rs"]
mod shards;
#[path = "process/tools.rs"]
mod tools;
#[path = "process/waiting.rs"]
mod waiting;
#[path = "process/walkthrough.rs"]
mod walkthrough;

mod harness;

use harness::peers;
use harness::server::{Kind, Launch};

/// The server under test, for a test of what only it promises.
fn ours() -> Option<Launch> {
    let launch = Launch::basalt();
    if launch.kind() == Kind::Redis {
        peers::say("skipped: a promise of Basalt alone");
        return None;
    }
    Some(launch)
}
