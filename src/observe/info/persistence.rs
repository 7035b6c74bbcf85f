//! Section `persistence` of INFO: Redis' fields, and those of the snapshots that do not fork.

use std::time::Duration;

use crate::observe::facts::{EndedFacts, Facts, LoadingFacts, LogFacts, PersistenceFacts, Purpose};
use crate::observe::info::text::{Lines, ratio};
use crate::observe::progress::Progress;

/// Writes the section.
pub(super) fn persistence(facts: &Facts, out: &mut Lines) {
    let facts = &facts.persistence;
    out.title("Persistence");
    out.line("loading", u8::from(facts.loading.is_some()));
    out.line("async_loading", 0);
    out.line("current_cow_peak", facts.snapshot.preimage_bytes_peak);
    out.line("current_cow_size", facts.snapshot.preimage_bytes);
    out.line("current_cow_size_age", 0);
    progress(facts, out);
    save(facts, out);
    rewrite(facts, out);
    out.constants(&[("module_fork_in_progress", "0"), ("module_fork_last_cow_size", "0")]);
    if let Some(log) = &facts.log {
        self::log(facts, log, out);
    }
    if let Some(loading) = &facts.loading {
        self::loading(loading, out);
    }
    snapshot(facts, out);
}

fn progress(facts: &PersistenceFacts, out: &mut Lines) {
    let (done, total) = facts.running.map_or((0, 0), |now| (now.keys_done, now.keys_total));
    out.line("current_fork_perc", format_args!("{:.2}", 100.0 * ratio(done, total)));
    out.line("current_save_keys_processed", done);
    out.line("current_save_keys_total", total);
}

/// How long the checkpoint for this purpose has been going on; -1: there is none.
fn running(facts: &PersistenceFacts, purpose: Purpose) -> i64 {
    let seconds = facts.running.filter(|now| now.purpose == purpose).map(|now| now.seconds);
    seconds.map_or(-1, |seconds| i64::try_from(seconds).unwrap_or(i64::MAX))
}

fn status(ended: Option<EndedFacts>) -> &'static str {
    if ended.is_none_or(|ended| ended.good) { "ok" } else { "err" }
}

fn duration(ended: Option<EndedFacts>) -> i64 {
    ended.map_or(-1, |ended| i64::try_from(ended.seconds).unwrap_or(i64::MAX))
}

fn save(facts: &PersistenceFacts, out: &mut Lines) {
    let seconds = running(facts, Purpose::Save);
    out.line("rdb_changes_since_last_save", facts.changes_since_save);
    out.line("rdb_bgsave_in_progress", u8::from(seconds >= 0));
    out.line("rdb_last_save_time", facts.last_save_second);
    out.line("rdb_last_bgsave_status", status(facts.last_save));
    out.line("rdb_last_bgsave_time_sec", duration(facts.last_save));
    out.line("rdb_current_bgsave_time_sec", seconds);
    out.line("rdb_saves", facts.saves);
    out.line("rdb_last_cow_size", facts.snapshot.preimage_bytes_peak);
    out.line("rdb_last_load_keys_expired", facts.load_expired);
    out.line("rdb_last_load_keys_loaded", facts.load_keys);
}

fn rewrite(facts: &PersistenceFacts, out: &mut Lines) {
    let seconds = running(facts, Purpose::Rewrite);
    out.line("aof_enabled", u8::from(facts.log.is_some()));
    out.line("aof_rewrite_in_progress", u8::from(seconds >= 0));
    out.line("aof_rewrite_scheduled", u8::from(facts.rewrite_scheduled));
    out.line("aof_last_rewrite_time_sec", duration(facts.last_rewrite));
    out.line("aof_current_rewrite_time_sec", seconds);
    out.line("aof_last_bgrewrite_status", status(facts.last_rewrite));
    out.line("aof_rewrites", facts.rewrites);
    out.line("aof_rewrites_consecutive_failures", facts.rewrite_failures);
    out.line("aof_last_write_status", if facts.log_failed { "err" } else { "ok" });
    out.line("aof_last_cow_size", facts.snapshot.preimage_bytes_peak);
}

fn log(facts: &PersistenceFacts, log: &LogFacts, out: &mut Lines) {
    out.line("aof_current_size", log.current_size);
    out.line("aof_base_size", log.base_size);
    out.line("aof_pending_rewrite", u8::from(facts.rewrite_scheduled));
    out.line("aof_buffer_length", log.buffer_length);
    out.line("aof_pending_bio_fsync", log.pending_syncs);
    out.line("aof_delayed_fsync", log.delayed_syncs);
    out.line("aof_syncs", log.syncs);
}

fn loading(loading: &LoadingFacts, out: &mut Lines) {
    let percent = 100.0 * ratio(loading.loaded_bytes, loading.total_bytes);
    let (done, total) = (loading.loaded_bytes, loading.total_bytes);
    let elapsed = Duration::from_secs(loading.seconds);
    let progress = Progress { of: "bytes", done, total, elapsed };
    out.line("loading_start_time", loading.start_second);
    out.line("loading_total_bytes", loading.total_bytes);
    out.line("loading_rdb_used_mem", 0);
    out.line("loading_loaded_bytes", loading.loaded_bytes);
    out.line("loading_loaded_perc", format_args!("{percent:.2}"));
    // Before the first byte nothing is known, and Redis says 1.
    out.line("loading_eta_seconds", progress.seconds_left().unwrap_or(1));
    out.line("loading_bytes_per_sec", progress.rate());
}

fn snapshot(facts: &PersistenceFacts, out: &mut Lines) {
    let figures = &facts.snapshot;
    let (done, total) = facts.running.map_or((0, 0), |now| (now.keys_done, now.keys_total));
    out.line("snapshot_in_progress", u8::from(facts.running.is_some()));
    out.line("snapshot_progress_perc", format_args!("{:.2}", 100.0 * ratio(done, total)));
    let elapsed = Duration::from_secs(facts.running.map_or(0, |now| now.seconds));
    let progress = Progress { of: "keys", done, total, elapsed };
    out.line("snapshot_keys_per_sec", if done == 0 { 0 } else { progress.rate() });
    out.line("snapshot_eta_seconds", progress.seconds_left().unwrap_or(0));
    out.line("snapshot_bytes_written", figures.bytes_written);
    out.line("snapshot_slices", figures.slices);
    out.line("snapshot_longest_slice_usec", figures.longest_slice_usec);
    out.line("snapshot_slices_above_100_usec", figures.slow_slices);
    out.line("snapshot_preimage_bytes", figures.preimage_bytes);
    out.line("snapshot_preimage_bytes_peak", figures.preimage_bytes_peak);
    out.line("snapshot_writers_assisted", figures.writers_assisted);
    out.line("snapshot_writers_waited", figures.writers_waited);
    out.line("snapshot_cut_usec", figures.cut_usec);
    out.line("generation", facts.generation.0);
    out.line("generations_retained", facts.retained);
    out.line("epoch", facts.epoch.0);
}
