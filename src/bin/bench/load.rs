//! A load as options describe it: its connections, its pace, its data, and filling a server first.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::Args;

use crate::due::{Schedule, Spacing};
use crate::ends;
use crate::engine::{Broken, Engine, Pace, Settings, Wait};
use crate::keys::{Distribution, Keys};
use crate::mix::{Fill, Mix, Population, Requests};

/// The data that a load is about.
#[derive(Args, Clone, Debug)]
pub struct Data {
    /// String keys, of 16 bytes
    #[arg(long, default_value_t = 1_000_000)]
    pub keys: u64,
    /// Hashes, sets, sorted sets and lists, of each kind
    #[arg(long, default_value_t = 1000)]
    pub collections: u64,
    /// Fields or members of each of them
    #[arg(long, default_value_t = 100)]
    pub members: u64,
    /// Bytes of a value (of hex digits, which compress to about a half)
    #[arg(long, default_value_t = 64)]
    pub value_bytes: usize,
    /// How keys, collections and members are chosen
    #[arg(long, value_enum, default_value_t = Distribution::Uniform)]
    pub distribution: Distribution,
    /// The exponent of zipf: key number k comes with a weight of k^-SKEW
    #[arg(long, default_value_t = 0.99)]
    pub skew: f64,
}

/// Values of more bytes than this are not made.
const VALUE_BYTES_MAX: usize = 1 << 20;
/// Connections at most: each is a socket here and one there.
const CONNECTIONS_MAX: usize = 10_000;
/// Requests sent together at most.
const PIPELINE_MAX: u64 = 10_000;
/// Seconds of one load at most.
pub const SECONDS_MAX: f64 = 3600.0;

impl Data {
    /// Is it something that can be done?
    pub fn check(&self) -> Result<(), String> {
        if self.keys == 0 || self.collections == 0 || self.members == 0 {
            return Err("--keys, --collections and --members are at least 1".to_owned());
        }
        if self.value_bytes > VALUE_BYTES_MAX {
            return Err(format!("--value-bytes is at most {VALUE_BYTES_MAX}"));
        }
        if !(0.0..=5.0).contains(&self.skew) {
            return Err("--skew is from 0 to 5".to_owned());
        }
        Ok(())
    }

    fn population(&self) -> Population {
        let keys = |count| Keys::new(self.distribution, count, self.skew);
        Population {
            keys: keys(self.keys),
            collections: keys(self.collections),
            members: keys(self.members),
            value_bytes: self.value_bytes,
        }
    }
}

/// How requests are made.
#[derive(Clone, Debug)]
pub struct Load {
    /// Which commands.
    pub mix: Mix,
    /// On which data.
    pub data: Data,
    /// Requests a second; zero is a closed loop.
    pub rate: f64,
    /// How due times are spaced.
    pub spacing: Spacing,
    /// Connections.
    pub connections: usize,
    /// Requests sent together on one connection.
    pub pipeline: u64,
    /// What to do while nothing is due.
    pub wait: Wait,
    /// Requests at most.
    pub requests_max: u64,
    /// Where random numbers begin.
    pub seed: u64,
}

impl Load {
    /// Is it something that can be done?
    pub fn check(&self) -> Result<(), String> {
        self.data.check()?;
        if !(1..=CONNECTIONS_MAX).contains(&self.connections) {
            return Err(format!("--connections is from 1 to {CONNECTIONS_MAX}"));
        }
        if !(1..=PIPELINE_MAX).contains(&self.pipeline) {
            return Err(format!("--pipeline is from 1 to {PIPELINE_MAX}"));
        }
        if !(self.rate == 0.0 || (0.1..=10_000_000.0).contains(&self.rate)) {
            return Err("--rate is 0 (a closed loop) or from 0.1 to 10000000".to_owned());
        }
        Ok(())
    }

    /// Connects and starts.
    pub fn start(&self, address: SocketAddr) -> Result<Engine, Broken> {
        let requests = Requests::new(self.mix.clone(), self.data.population(), self.seed);
        let settings = Settings {
            address,
            connections: self.connections,
            pipeline: self.pipeline,
            wait: self.wait,
            requests_max: self.requests_max,
        };
        let pace = match self.rate {
            0.0 => Pace::Closed,
            rate => {
                let batches = rate / self.pipeline as f64;
                Pace::Open(Schedule::new(self.spacing, batches, self.seed))
            }
        };
        Engine::new(settings, pace, requests)
    }
}

/// Requests that a fill sends together, and on how many connections: neither side waits then.
const FILL_PIPELINE: u64 = 64;
const FILL_CONNECTIONS: usize = 8;
/// A fill that takes longer than this is given up.
const FILL_MAX: Duration = Duration::from_secs(1800);

/// Goes on with a load until this time since its start, in nanoseconds.
pub fn go_on(engine: &mut Engine, until: u64) -> Result<(), String> {
    while engine.now() < until {
        ends::interrupted()?;
        let next = (engine.now() + 5_000_000).min(until);
        engine.advance(next).map_err(|broken| broken.to_string())?;
        if let Some(error) = &engine.tally().first_error {
            return Err(format!("under load: {error}"));
        }
    }
    Ok(())
}

/// Waits for the answers to all that was due, for so many seconds.
pub fn drained(engine: &mut Engine, seconds: u64) -> Result<(), String> {
    let until = engine.now() + seconds * 1_000_000_000;
    match engine.drain(until).map_err(|broken| broken.to_string())? {
        0 => Ok(()),
        missing => Err(format!("{missing} requests were not answered in {seconds} s")),
    }
}

/// Sets every key and member that the mix asks for once; how many that was.
pub fn fill(mix: &Mix, data: &Data, address: SocketAddr) -> Result<u64, String> {
    let mut sum = 0;
    for (command, what) in mix.fills() {
        sum += fill_by(command, what, data, address)?;
    }
    Ok(sum)
}

/// Sets every key, or every member of every collection, once by this command; how many that was.
pub fn fill_by(command: &str, what: Fill, data: &Data, address: SocketAddr) -> Result<u64, String> {
    let count = match what {
        Fill::Keys => data.keys,
        Fill::Members => data.collections.saturating_mul(data.members),
    };
    let population = Population {
        keys: Keys::sequential(data.keys),
        collections: Keys::slow(data.collections, data.members),
        members: Keys::sequential(data.members),
        value_bytes: data.value_bytes,
    };
    let settings = Settings {
        address,
        connections: FILL_CONNECTIONS,
        pipeline: FILL_PIPELINE,
        wait: Wait::Sleep,
        requests_max: count,
    };
    let requests = Requests::new(Mix::parse(command)?, population, 1);
    let tell = |broken: Broken| format!("filling: {broken}");
    let mut engine = Engine::new(settings, Pace::Closed, requests).map_err(tell)?;
    let begin = Instant::now();
    let mut told = begin;
    while engine.tally().answered < count {
        ends::interrupted()?;
        engine.advance(engine.now() + 100_000_000).map_err(tell)?;
        if let Some(error) = &engine.tally().first_error {
            return Err(format!("filling: {command}: {error}"));
        }
        if begin.elapsed() > FILL_MAX {
            return Err(format!("filling took longer than {} s", FILL_MAX.as_secs()));
        }
        if told.elapsed() > Duration::from_secs(1) {
            told = Instant::now();
            let done = engine.tally().answered;
            eprintln!("    filling, {command}: {done} of {count}");
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let data = Data {
            keys: 1,
            collections: 1,
            members: 1,
            value_bytes: 1,
            distribution: Distribution::Uniform,
            skew: 0.99,
        };
        let load = Load {
            mix: Mix::parse("set").expect("a mix"),
            data: data.clone(),
            rate: 0.0,
            spacing: Spacing::Fixed,
            connections: 1,
            pipeline: 1,
            wait: Wait::Sleep,
            requests_max: 1,
            seed: 1,
        };
        assert_eq!(load.check(), Ok(()));
        let refused = |load: Load, name: &str| {
            let why = load.check().expect_err(name);
            assert!(why.contains(name), "{why}");
        };
        refused(Load { connections: 0, ..load.clone() }, "--connections");
        refused(Load { pipeline: 0, ..load.clone() }, "--pipeline");
        refused(Load { rate: -1.0, ..load.clone() }, "--rate");
        refused(Load { rate: f64::NAN, ..load.clone() }, "--rate");
        refused(Load { data: Data { keys: 0, ..data.clone() }, ..load.clone() }, "--keys");
        refused(Load { data: Data { skew: 9.0, ..data.clone() }, ..load.clone() }, "--skew");
        refused(Load { data: Data { value_bytes: 1 << 30, ..data }, ..load }, "--value-bytes");
    }
}
