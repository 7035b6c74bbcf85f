//! What one core counts. Plain numbers: the core owns them, INFO merges copies of them.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

use ahash::AHasher;

use crate::observe::acl_log::Reason;
use crate::observe::latency::Latency;

/// Error codes that INFO errorstats tells apart; further ones are counted together, since the
/// first word of an error may come from a client's script.
const ERROR_CODES: usize = 128;
/// The name under which further error codes are counted.
const OTHER_CODES: &str = "OTHER";

/// Statistics by command. The names are our own, so a hash without a secret will do.
pub type ByCommand = HashMap<&'static str, CommandStats, BuildHasherDefault<AHasher>>;

/// Counters of one core, or of all of them after `merge`.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Connections accepted.
    pub connections_received: u64,
    /// Connections refused because of maxclients.
    pub connections_rejected: u64,
    /// Commands executed.
    pub commands_processed: u64,
    /// Bytes read from clients.
    pub net_input_bytes: u64,
    /// Bytes written to clients.
    pub net_output_bytes: u64,
    /// Reads from sockets.
    pub reads_processed: u64,
    /// Writes to sockets.
    pub writes_processed: u64,
    /// Lookups that found a key.
    pub keyspace_hits: u64,
    /// Lookups that found none.
    pub keyspace_misses: u64,
    /// Keys removed because their deadline had passed.
    pub expired_keys: u64,
    /// Fields of hashes whose deadline had passed, and were removed.
    pub expired_subkeys: u64,
    /// Keys removed because of maxmemory.
    pub evicted_keys: u64,
    /// Clients closed because of their output buffer or query buffer.
    pub clients_closed_for_buffers: u64,
    /// Error replies.
    pub error_replies: u64,
    /// AUTH with a wrong password.
    pub auth_denied: u64,
    /// Commands that a user might not run.
    pub commands_denied: u64,
    /// Commands on keys that a user might not touch.
    pub keys_denied: u64,
    /// Commands about channels that a user might not use.
    pub channels_denied: u64,
    /// Commands that another shard's core executed for a session of this core.
    pub commands_forwarded: u64,
    /// Transactions that had to lock more than one shard.
    pub cross_shard_transactions: u64,
    /// Per command, by the name that INFO commandstats shows (`config|get`).
    pub commands: ByCommand,
    /// Error replies by their first word.
    pub errors: BTreeMap<String, u64>,
}

/// What is counted for one command.
#[derive(Clone, Debug, Default)]
pub struct CommandStats {
    /// Times it ran.
    pub calls: u64,
    /// Nanoseconds it ran for in total.
    pub nanos: u64,
    /// Times it was refused before it ran (arity, no permission, loading, no memory).
    pub rejected: u64,
    /// Times it ran and answered with an error.
    pub failed: u64,
    /// Its durations, if latency-tracking is on.
    pub latency: Latency,
}

/// Does a call go into the command's histogram?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// `latency-tracking yes`.
    On,
    /// `latency-tracking no`.
    Off,
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ran.
    Done,
    /// It ran and answered with an error.
    Failed,
}

impl Counters {
    /// Counts `count` calls that took `nanos` each.
    pub fn ran(
        &mut self,
        command: &'static str,
        count: u64,
        nanos: u64,
        end: Outcome,
        tracking: Tracking,
    ) {
        self.commands_processed += count;
        let stats = self.commands.entry(command).or_default();
        stats.calls += count;
        stats.nanos += nanos * count;
        if end == Outcome::Failed {
            stats.failed += count;
        }
        if tracking == Tracking::On {
            stats.latency.record(nanos, count);
        }
    }

    /// Counts what a user was denied.
    pub fn denied(&mut self, reason: Reason) {
        *match reason {
            Reason::Auth => &mut self.auth_denied,
            Reason::Command => &mut self.commands_denied,
            Reason::Key => &mut self.keys_denied,
            Reason::Channel => &mut self.channels_denied,
        } += 1;
    }

    /// Counts one call that was refused before it ran.
    pub fn rejected(&mut self, command: &'static str) {
        self.commands.entry(command).or_default().rejected += 1;
    }

    /// Counts an error reply, given its line without the `-`.
    pub fn error(&mut self, line: &str) {
        self.error_replies += 1;
        let code = line.split(' ').next().unwrap_or(line);
        self.add_errors(code, 1);
    }

    fn add_errors(&mut self, code: &str, count: u64) {
        if let Some(known) = self.errors.get_mut(code) {
            *known += count;
        } else {
            let room = self.errors.len() < ERROR_CODES;
            let code = if room { code } else { OTHER_CODES };
            *self.errors.entry(code.to_owned()).or_default() += count;
        }
    }

    /// Adds what another core has counted.
    pub fn merge(&mut self, other: &Counters) {
        self.connections_received += other.connections_received;
        self.connections_rejected += other.connections_rejected;
        self.commands_processed += other.commands_processed;
        self.net_input_bytes += other.net_input_bytes;
        self.net_output_bytes += other.net_output_bytes;
        self.reads_processed += other.reads_processed;
        self.writes_processed += other.writes_processed;
        self.keyspace_hits += other.keyspace_hits;
        self.keyspace_misses += other.keyspace_misses;
        self.expired_keys += other.expired_keys;
        self.expired_subkeys += other.expired_subkeys;
        self.evicted_keys += other.evicted_keys;
        self.clients_closed_for_buffers += other.clients_closed_for_buffers;
        self.error_replies += other.error_replies;
        self.auth_denied += other.auth_denied;
        self.commands_denied += other.commands_denied;
        self.keys_denied += other.keys_denied;
        self.channels_denied += other.channels_denied;
        self.commands_forwarded += other.commands_forwarded;
        self.cross_shard_transactions += other.cross_shard_transactions;
        for (name, stats) in &other.commands {
            self.commands.entry(name).or_default().merge(stats);
        }
        for (code, count) in &other.errors {
            self.add_errors(code, *count);
        }
    }

    /// CONFIG RESETSTAT.
    pub fn reset(&mut self) {
        *self = Counters::default();
    }
}

impl CommandStats {
    fn merge(&mut self, other: &CommandStats) {
        self.calls += other.calls;
        self.nanos += other.nanos;
        self.rejected += other.rejected;
        self.failed += other.failed;
        self.latency.merge(&other.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_adds_everything() {
        let mut one = Counters { keyspace_hits: 2, net_input_bytes: 10, ..Counters::default() };
        one.ran("get", 1, 1_500, Outcome::Done, Tracking::On);
        one.error("WRONGTYPE Operation against a key");
        let mut other = Counters { keyspace_hits: 3, expired_keys: 1, ..Counters::default() };
        other.ran("get", 1, 500, Outcome::Failed, Tracking::Off);
        other.ran("set", 1, 1, Outcome::Done, Tracking::On);
        other.rejected("set");
        other.error("ERR syntax error");
        other.error("WRONGTYPE again");
        one.merge(&other);
        assert_eq!((one.keyspace_hits, one.net_input_bytes, one.expired_keys), (5, 10, 1));
        assert_eq!((one.commands_processed, one.error_replies), (3, 3));
        let get = &one.commands["get"];
        assert_eq!((get.calls, get.nanos, get.failed, get.rejected), (2, 2_000, 1, 0));
        assert_eq!(get.latency.count(), 1);
        assert_eq!((one.commands["set"].calls, one.commands["set"].rejected), (1, 1));
        let errors: Vec<_> = one.errors.iter().map(|(code, n)| (code.as_str(), *n)).collect();
        assert_eq!(errors, [("ERR", 1), ("WRONGTYPE", 2)]);
        one.reset();
        assert_eq!((one.commands.len(), one.error_replies), (0, 0));
    }

    #[test]
    fn error_codes_are_bounded() {
        let mut counters = Counters::default();
        for code in 0..10 * ERROR_CODES {
            counters.error(&format!("E{code} text"));
        }
        counters.error("E0 text");
        assert_eq!(counters.errors.len(), ERROR_CODES + 1);
        assert_eq!(counters.errors["E0"], 2);
        assert_eq!(counters.errors[OTHER_CODES], 9 * ERROR_CODES as u64);
    }
}
