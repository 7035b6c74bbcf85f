//! Numbers about ourselves, as plain data: no clock is read and nothing is shared here.
//!
//! - `counters`: what one core counts, merged over cores; `latency`: histograms of durations
//! - `slowlog`: the slow log; `acl_log`: what users were denied
//! - `events`: LATENCY's history; `rate`: what "per second" means
//! - `progress`: rate and rest of what has a known size
//! - `facts`: what the server gathers for INFO; `info`: INFO's text; `version`: who we say we are

pub mod acl_log;
pub mod counters;
pub mod events;
pub mod facts;
pub mod graph;
pub mod info;
pub mod latency;
pub mod progress;
pub mod rate;
pub mod slowlog;
pub mod version;
