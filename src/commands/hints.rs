//! What COMMAND INFO tells beyond the rows: how keys are used, tips for proxies, and categories.

use crate::commands::spec::{Command, Flags};

/// How a command uses its keys, as COMMAND INFO words it: one entry for all keys, or one for the
/// first and one for the second key.
pub fn access(command: &Command) -> &'static [&'static str] {
    match listed(ACCESS, command.name) {
        Some(access) => access,
        None if command.flags.has(Flags::WRITE) => &["RW update"],
        None => &["RO access"],
    }
}

/// Why some keys of a command cannot be found in the request, for each kind of such keys.
pub fn unknown_keys(command: &Command) -> &'static [&'static str] {
    const NAMED: &str = "For the optional BY/GET keyword. It is marked 'unknown' because the key \
        names derive from the content of the key we sort";
    const STORED: &str = "For the optional STORE keyword. It is marked 'unknown' because the \
        keyword can appear anywhere in the argument array";
    match command.name {
        "sort" => &[NAMED, STORED],
        "sort_ro" => &[NAMED],
        _ => &[],
    }
}

/// Why keys are said to be used as they are, where that is not known.
pub fn note(command: &Command) -> Option<&'static str> {
    let scripts = command.flags.has(Flags::ANY_KEYS) && !command.flags.has(Flags::READONLY);
    scripts
        .then_some("We cannot tell how the keys will be used so we assume the worst, RW and UPDATE")
}

/// Tips for clients and proxies.
pub fn tips(command: &Command) -> &'static [&'static str] {
    listed(TIPS, command.name).unwrap_or_default()
}

/// The ACL categories, in the order in which Redis lists them.
pub const CATEGORIES: &[&str] = &[
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

/// Does the command belong to this category?
pub fn in_category(command: &Command, category: &str) -> bool {
    let has = |flag| command.flags.has(flag);
    match category {
        "read" => has(Flags::READONLY) && command.docs.group != "scripting",
        "write" => command.flags.is_told_as_write(),
        "admin" => has(Flags::ADMIN) || ["lastsave", "role"].contains(&command.name),
        "fast" => has(Flags::FAST),
        "slow" => !has(Flags::FAST),
        "blocking" => has(Flags::BLOCKING),
        "pubsub" => has(Flags::PUBSUB),
        "dangerous" => has(Flags::ADMIN) || contains(DANGEROUS, command.name),
        "list" | "set" | "sortedset" if contains(SORTS, command.name) => true,
        _ => group_category(command) == Some(category),
    }
}

/// The category that follows from what a command is about. A container is about nothing.
fn group_category(command: &Command) -> Option<&'static str> {
    let several = contains(SORTS, command.name);
    if several || !command.subs.is_empty() && command.name != "command" {
        return None;
    }
    if contains(CONNECTION, command.name) || command.name.starts_with("command|") {
        return Some("connection");
    }
    match command.docs.group {
        "string" => Some("string"),
        "bitmap" => Some("bitmap"),
        "hyperloglog" => Some("hyperloglog"),
        "hash" => Some("hash"),
        "list" => Some("list"),
        "sorted-set" => Some("sortedset"),
        "geo" => Some("geo"),
        "set" => Some("set"),
        "generic" => Some("keyspace"),
        "connection" => Some("connection"),
        "transactions" => Some("transaction"),
        "stream" => Some("stream"),
        "scripting" => Some("scripting"),
        _ => None,
    }
}

/// The values with the blank-separated names that they hold for.
type Lists = &'static [(&'static [&'static str], &'static str)];

fn listed(lists: Lists, name: &str) -> Option<&'static [&'static str]> {
    lists.iter().find(|(_, names)| contains(names, name)).map(|(value, _)| *value)
}

fn contains(names: &str, name: &str) -> bool {
    names.split(' ').any(|one| one == name)
}

const ACCESS: Lists = &[
    (
        &["RO"],
        "exists hexists hlen hstrlen llen object|encoding object|freq object|idletime \
         object|refcount strlen touch type watch memory|usage",
    ),
    (
        &["RO access"],
        "dump expiretime get getrange hexpiretime hget hgetall hkeys hmget hpexpiretime hpttl \
         hrandfield hscan httl hvals lcs lindex lpos lrange mget \
         pexpiretime pttl substr ttl debug|object debug|digest-value \
         debug|htstats-key debug|listpack debug|sdslen",
    ),
    (
        &["RW access update"],
        "decr decrby getex getset hgetex hincrby hincrbyfloat incr incrby incrbyfloat move",
    ),
    (
        &["RW update"],
        "expire expireat hexpire hexpireat hmset hpersist hpexpire hpexpireat hset hsetex \
         lset persist pexpire pexpireat setrange",
    ),
    (&["RW access update variable_flags"], "set"),
    (&["RW insert"], "append hsetnx linsert lpush lpushx rpush rpushx"),
    (&["RW access delete"], "blmpop blpop brpop getdel hgetdel lmpop lpop rpop"),
    (&["RW delete"], "hdel lrem ltrim"),
    (&["RM delete"], "del unlink"),
    (&["RO"], "xlen"),
    (
        &["RO access"],
        "xinfo|consumers xinfo|groups xinfo|stream xpending xrange xread xreadgroup xrevrange",
    ),
    (&["RW update"], "xack xadd xclaim xgroup|setid xsetid"),
    (&["RW insert"], "xgroup|create xgroup|createconsumer"),
    (&["RW delete"], "xautoclaim xdel xgroup|delconsumer xgroup|destroy xtrim"),
    (&["OW update"], "mset psetex restore setex"),
    (&["OW insert"], "msetnx setnx"),
    (&["not_key"], "spublish ssubscribe sunsubscribe"),
    (&["RO access", "OW update"], "copy"),
    (&["RW access delete", "RW insert"], "blmove brpoplpush lmove rpoplpush"),
    (&["RW access delete", "OW update"], "rename"),
    (&["RW access delete", "OW insert"], "renamenx"),
    // Sorted sets.
    (&["RO"], "zcard"),
    (
        &["RO access"],
        "geodist geohash geopos georadius_ro georadiusbymember_ro geosearch zcount zdiff zinter \
         zintercard zlexcount zmscore zrandmember zrange zrangebylex zrangebyscore zrank \
         zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan zscore zunion",
    ),
    (&["RW access update"], "zincrby"),
    (&["RW update"], "geoadd zadd"),
    (&["RW access delete"], "bzmpop bzpopmax bzpopmin zmpop zpopmax zpopmin"),
    (&["RW delete"], "zrem zremrangebylex zremrangebyrank zremrangebyscore"),
    (&["OW update", "RO access"], "geosearchstore zdiffstore zinterstore zrangestore zunionstore"),
    (&["RO access", "OW update", "OW update"], "georadius georadiusbymember"),
    (&["RO access", "RO access", "OW update"], "sort"),
    (&["RO access", "RO access"], "sort_ro"),
    // Bitmaps and HyperLogLogs.
    (&["RW access update"], "eval evalsha fcall"),
    (&["RO access"], "eval_ro evalsha_ro fcall_ro"),
    (&["RO access"], "bitcount bitfield_ro bitpos getbit"),
    (&["RW access update"], "setbit"),
    (&["RW access update variable_flags"], "bitfield"),
    (&["OW update", "RO access"], "bitop"),
    (&["RW insert"], "pfadd"),
    (&["RW access"], "pfcount pfdebug"),
    (&["RW access insert", "RO access"], "pfmerge"),
    // Sets.
    (&["RO"], "scard sismember"),
    (&["RO access"], "sdiff sinter sintercard smembers smismember srandmember sscan sunion"),
    (&["RW insert"], "sadd"),
    (&["RW access delete"], "spop"),
    (&["RW delete"], "srem"),
    (&["RW access delete", "RW insert"], "smove"),
    (&["RW update", "RO access"], "sinterstore"),
    (&["OW update", "RO access"], "sdiffstore sunionstore"),
];

const TIPS: Lists = &[
    (
        &["request_policy:all_shards", "response_policy:all_succeeded"],
        "ping flushall flushdb function|delete function|flush function|load function|restore \
         memory|purge script|flush script|load",
    ),
    (
        &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        "function|stats",
    ),
    (&["request_policy:all_shards", "response_policy:one_succeeded"], "function|kill script|kill"),
    (&["request_policy:all_shards", "response_policy:agg_sum"], "dbsize"),
    (&["request_policy:all_shards", "response_policy:agg_min"], "wait"),
    (&["request_policy:all_shards", "nondeterministic_output_order"], "keys"),
    (&["request_policy:all_shards", "nondeterministic_output"], "randomkey"),
    (&["request_policy:multi_shard", "response_policy:agg_sum"], "del exists touch unlink"),
    (&["request_policy:multi_shard", "response_policy:all_succeeded"], "mset"),
    (&["request_policy:multi_shard", "response_policy:agg_min"], "msetnx"),
    (&["request_policy:multi_shard"], "mget"),
    (
        &["request_policy:all_nodes", "response_policy:all_succeeded"],
        "config|set slowlog|reset latency|reset",
    ),
    (&["nondeterministic_output", "request_policy:special", "response_policy:special"], "scan"),
    (
        &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"],
        "info memory|doctor memory|malloc-stats memory|stats",
    ),
    (
        &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"],
        "latency|histogram latency|history latency|latest",
    ),
    (&["request_policy:all_nodes", "nondeterministic_output"], "slowlog|get"),
    (
        &["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"],
        "slowlog|len",
    ),
    (
        &["nondeterministic_output_order"],
        "command command|info command|docs command|list hgetall hkeys hvals module|list \
         function|list",
    ),
    (
        &["nondeterministic_output"],
        "client|info client|list dump hrandfield hscan lastsave object|encoding object|freq \
         object|idletime object|refcount pttl time ttl zrandmember zscan",
    ),
    (&["nondeterministic_output_order"], "sdiff sinter smembers sunion"),
    (&["nondeterministic_output"], "spop srandmember sscan"),
    (&["nondeterministic_output"], "xadd xautoclaim xclaim xinfo|consumers xpending xtrim"),
];

const DANGEROUS: &str = "flushall flushdb info keys lastsave restore role sort sort_ro swapdb";

/// Of no group's category, but in those of all that they sort.
const SORTS: &str = "sort sort_ro";

/// Of another group, yet in the category of connections.
const CONNECTION: &str = "asking command wait waitaof readonly readwrite";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::spec::KeySpec;
    use crate::commands::table;

    #[test]
    fn every_row_with_keys_says_how_it_uses_them() {
        for row in table::all().chain(table::all().flat_map(|row| row.subs)) {
            if row.keys != KeySpec::None {
                assert!(listed(ACCESS, row.name).is_some(), "{} is missing in ACCESS", row.name);
            }
        }
    }

    #[test]
    fn no_name_is_listed_twice() {
        for lists in [ACCESS, TIPS] {
            let mut names: Vec<&str> =
                lists.iter().flat_map(|(_, names)| names.split(' ')).collect();
            let count = names.len();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), count);
        }
    }

    #[test]
    fn categories_are_those_of_redis() {
        let lines = [
            ("client", "slow"),
            ("client|kill", "admin slow dangerous connection"),
            ("multi", "fast transaction"),
            ("ping", "fast connection"),
            ("command", "slow connection"),
            ("command|count", "slow connection"),
        ];
        for (name, expected) in lines {
            let row = table::by_full_name(name.as_bytes()).unwrap();
            let got: Vec<&str> =
                CATEGORIES.iter().copied().filter(|category| in_category(row, category)).collect();
            assert_eq!(got.join(" "), expected, "{name}");
        }
    }
}
