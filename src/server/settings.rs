//! Puts changed settings in force on all cores: CONFIG SET and CONFIG REWRITE.

use std::rc::Rc;
use std::sync::Arc;

use crate::base::ids::ShardId;
use crate::commands::admin::Saving;
use crate::commands::events::Classes;
use crate::commands::session::Session;
use crate::config::Config;
use crate::config::runtime::SetRefused;
use crate::config::values::{EvictionPolicy, Fsync};
use crate::keyspace::evict::{Among, By, Eviction};
use crate::keyspace::keyspace::{Policy, StringLimits};
use crate::limits::STRING_MAX;
use crate::resp::error::Error;
use crate::resp::request::{self, Access};
use crate::server::aof;
use crate::server::checkpoint;
use crate::server::core::Core;
use crate::server::log;
use crate::server::saver;
use crate::server::shared::Settings;
use crate::server::users;
use crate::shard::gate::Promise;
use crate::types::hash::Limits;
use crate::types::set::SetLimits;
use crate::types::stream::chunk::Nodes;
use crate::types::zset::ZsetLimits;

/// CONFIG SET: all pairs or none, on all cores.
pub async fn set(core: &Rc<Core>, pairs: &[(String, Vec<u8>)]) -> Result<(), Error> {
    let old = core.settings.borrow().config.clone();
    let pairs = pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
    let changed = old.set(pairs).map_err(|refused| refusal(&refused))?;
    for note in &changed.notes {
        log::notice(note.to_string());
    }
    let new = changed.config;
    put_in_force(core, &new).await;
    // What is refused after a failed save is a matter of the settings.
    core.on_async(
        ShardId(0),
        |core| async move { checkpoint::refuse_or_allow_writes(&core).await },
    )
    .await;
    if new.appendfsync == Fsync::Always && old.appendfsync != Fsync::Always {
        // From its `+OK` on, `always` holds for what came before as well.
        core.on_async(ShardId(0), |core| async move { aof::sync_for_certain(&core).await }).await;
    }
    if new.appendonly != old.appendonly {
        // Switching on makes a checkpoint whose cut begins the log; switching off makes one that
        // needs none. Until it is done the log is as it was.
        let done = saver::wish(core, Saving::Save).await;
        if let Err(error) = done {
            put_in_force(core, &old).await;
            return Err(error);
        }
    }
    if new.requirepass != old.requirepass {
        users::set_password(core, new.requirepass.as_bytes()).await;
    }
    Ok(())
}

fn refusal(refused: &SetRefused) -> Error {
    Error::Text(refused.to_string().into())
}

async fn put_in_force(core: &Rc<Core>, config: &Config) {
    let config = config.clone();
    core.on_all(move |core| {
        let users = Arc::clone(&core.settings.borrow().facts.users);
        *core.settings.borrow_mut() = Settings::new(config.clone(), users);
        apply(core);
    })
    .await;
}

/// What of a core's settings its shard keeps.
pub fn apply(core: &Rc<Core>) {
    let config = core.settings.borrow().config.clone();
    let mut shard = core.shard.borrow_mut();
    let (hashes, sets, zsets) = (hash_limits(&config), set_limits(&config), zset_limits(&config));
    shard.keys.configure(hashes, sets, zsets, access_policy(&config));
    shard.keys.configure_streams(stream_nodes(&config));
    shard.keys.configure_strings(string_limits(&config));
    shard.set_events(Classes::of(&config.notify_keyspace_events));
    let most = config.tracking_table_max_keys as usize;
    shard.ears.tracking.limit(most.div_ceil(usize::from(core.shards)));
    if shard.log().is_some() {
        shard.gate.set_promise(aof::promise(config.appendfsync));
        shard.note_progress();
    } else {
        shard.gate.set_promise(Promise::Nothing);
    }
    drop(shard);
    core.log_due.raise();
    core.log_moved();
}

/// Up to what a hash is small.
pub fn hash_limits(config: &Config) -> Limits {
    Limits {
        entries: config.hash_max_listpack_entries,
        value: config.hash_max_listpack_value as usize,
    }
}

/// Up to what a sorted set is small.
pub fn zset_limits(config: &Config) -> ZsetLimits {
    ZsetLimits {
        entries: config.zset_max_listpack_entries,
        value: config.zset_max_listpack_value as usize,
    }
}

/// Up to what a set is small.
pub fn set_limits(config: &Config) -> SetLimits {
    SetLimits {
        ints: config.set_max_intset_entries,
        entries: config.set_max_listpack_entries,
        value: config.set_max_listpack_value as usize,
    }
}

/// How large a chunk of a stream becomes.
pub fn stream_nodes(config: &Config) -> Nodes {
    Nodes { entries: config.stream_node_max_entries, bytes: config.stream_node_max_bytes }
}

/// How long strings may become.
pub fn string_limits(config: &Config) -> StringLimits {
    StringLimits {
        longest: STRING_MAX.min(config.proto_max_bulk_len as usize),
        sparse: config.hll_sparse_max_bytes as usize,
    }
}

/// What the access bits of a key mean.
pub fn access_policy(config: &Config) -> Policy {
    match config.maxmemory_policy {
        EvictionPolicy::VolatileLfu | EvictionPolicy::AllKeysLfu => Policy::Lfu,
        _ => Policy::Lru,
    }
}

/// How keys are chosen when memory is short; nothing when none goes.
pub fn eviction(config: &Config) -> Option<Eviction> {
    let (among, by) = match config.maxmemory_policy {
        EvictionPolicy::AllKeysLru => (Among::All, By::Idleness),
        EvictionPolicy::AllKeysLfu => (Among::All, By::Rarity),
        EvictionPolicy::AllKeysRandom => (Among::All, By::Chance),
        EvictionPolicy::VolatileLru => (Among::WithDeadline, By::Idleness),
        EvictionPolicy::VolatileLfu => (Among::WithDeadline, By::Rarity),
        EvictionPolicy::VolatileRandom => (Among::WithDeadline, By::Chance),
        EvictionPolicy::VolatileTtl => (Among::WithDeadline, By::Deadline),
        EvictionPolicy::NoEviction => return None,
    };
    Some(Eviction { among, by, samples: config.maxmemory_samples as usize })
}

/// How large a request may be, by who sends it.
pub fn request_limits(settings: &Settings, session: &Session) -> request::Limits {
    request::Limits {
        bulk: settings.config.proto_max_bulk_len as usize,
        query_buffer: settings.config.client_query_buffer_limit as usize,
        access: match session.identity.is_stranger() {
            true => Access::BeforeAuth,
            false => Access::Open,
        },
    }
}

/// CONFIG REWRITE.
pub fn rewrite(core: &Core) -> Result<(), Error> {
    let Some(path) = &core.shared.config_file else {
        return Err(Error::err("The server is running without a config file"));
    };
    let failed = |error: std::io::Error| {
        log::warning(format!("CONFIG REWRITE failed: {}: {error}", path.display()));
        Error::Text(format!("ERR Rewriting config file: {error}").into())
    };
    let old = std::fs::read_to_string(path).map_err(failed)?;
    let settings = core.settings.borrow().clone();
    let config = Config { users: users::directives(&settings)?, ..Config::clone(&settings.config) };
    let new = config.rewrite(&old);
    // Beside the file first, then over it: a crash leaves one of the two whole.
    let beside = path.with_extension("rewrite");
    std::fs::write(&beside, new).map_err(failed)?;
    std::fs::rename(&beside, path).map_err(failed)?;
    log::notice(format!("CONFIG REWRITE executed with success on shard {}", ShardId(0).0));
    Ok(())
}
