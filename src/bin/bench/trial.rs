//! The single measurements that `compare` is made of.

use std::time::Duration;

use crate::control::{self, Control};
use crate::due::Spacing;
use crate::engine::{Broken, Wait};
use crate::keys::Distribution;
use crate::load::{self, Data, Load};
use crate::matrix::Row;
use crate::mix::Mix;
use crate::rig::{ANSWER_MAX, Rig};
use crate::server::{Running, Spec};
use crate::verdict::{Own, Verdict, judge};
use crate::{ends, proc};

/// Nothing is written to the disk.
pub const VOLATILE: &[&str] = &["--appendonly", "no", "--save", ""];

/// A log with this policy, never rewritten, and no snapshots.
pub fn logged(policy: &str) -> Vec<&str> {
    let log = ["--appendonly", "yes", "--appendfsync", policy];
    [&log[..], &["--auto-aof-rewrite-percentage", "0", "--save", ""]].concat()
}

/// What a closed loop has shown.
#[derive(Clone, Copy, Debug)]
pub struct Closed {
    /// Requests a second.
    pub per_second: f64,
    /// CPU of the server for one, in microseconds.
    pub cpu_us: f64,
    /// The median latency, in microseconds.
    pub p50: f64,
    /// The 99th percentile, in microseconds.
    pub p99: f64,
    /// Could the server have done more?
    pub verdict: Verdict,
}

/// String keys with values of so many bytes.
pub fn strings(keys: u64, value_bytes: usize) -> Data {
    Data {
        keys,
        collections: 1,
        members: 1,
        value_bytes,
        distribution: Distribution::Uniform,
        skew: 0.99,
    }
}

/// Connections of a closed loop.
const CONNECTIONS: usize = 50;
/// Before anything is measured, in nanoseconds.
const WARM: u64 = 500_000_000;

/// Asks as fast as the server answers, for so many seconds.
pub fn closed(
    running: &Running,
    command: &str,
    data: &Data,
    pipeline: u64,
    seconds: f64,
) -> Result<Closed, String> {
    let load = Load {
        mix: Mix::parse(command)?,
        data: data.clone(),
        rate: 0.0,
        spacing: Spacing::Fixed,
        connections: CONNECTIONS,
        pipeline,
        wait: Wait::Sleep,
        requests_max: u64::MAX,
        seed: 3,
    };
    load.check()?;
    let tell = |broken: Broken| broken.to_string();
    let mut engine = load.start(running.address).map_err(tell)?;
    engine.advance(WARM).map_err(tell)?;
    let (before, cpu) = (engine.tally().clone(), proc::cpu_seconds(running.pid()));
    let begin = engine.now();
    engine.recorder().begin_phase(begin);
    let until = begin + (seconds * 1e9) as u64;
    while engine.now() < until {
        ends::interrupted()?;
        let next = (engine.now() + 100_000_000).min(until);
        engine.advance(next).map_err(tell)?;
    }
    let (cpu, nanos) = (proc::cpu_seconds(running.pid()) - cpu, engine.now() - begin);
    let mut tally = engine.tally().clone();
    if let Some(error) = &tally.first_error {
        return Err(format!("{command}: {error}"));
    }
    tally.busy -= before.busy;
    let answered = (tally.answered - before.answered).max(1) as f64;
    let latencies = engine.recorder().phases().last().ok_or("no phase")?.all();
    let own = Own::of(&tally, engine.recorder().late(), &latencies, nanos);
    Ok(Closed {
        per_second: answered / (nanos as f64 / 1e9),
        cpu_us: cpu * 1e6 / answered,
        p50: latencies.value_at_quantile(0.5) as f64,
        p99: latencies.value_at_quantile(0.99) as f64,
        verdict: judge(&own),
    })
}

/// Bytes that one element of this data takes in a server.
pub fn bytes_each(rig: &mut Rig, server: usize, row: &Row) -> Result<f64, String> {
    let (mut running, _, _control) = rig.start(server, VOLATILE)?;
    let before = proc::pss(running.pid());
    let count = load::fill_by(row.command, row.fill, &row.data, running.address)
        .map_err(|why| running.explain(&why))?;
    let after = proc::pss(running.pid());
    Ok(after.saturating_sub(before) as f64 / count.max(1) as f64)
}

/// What a server starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// The files of a BGSAVE.
    Snapshot,
    /// A log that was never rewritten.
    Log,
}

/// How long a snapshot or a start may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// Seconds from the start of a server with so many keys to its first answer.
pub fn recovery(rig: &mut Rig, server: usize, from: From, data: &Data) -> Result<f64, String> {
    let log = logged("everysec");
    let options = if from == From::Log { log.as_slice() } else { VOLATILE };
    let (mut running, dir, mut control) = rig.start(server, options)?;
    let spec: Spec = rig.specs.get(server).cloned().ok_or("no such server")?;
    let mut fill = || {
        load::fill(&Mix::parse("set")?, data, running.address)?;
        if from == From::Snapshot { save(&mut control) } else { Ok(()) }
    };
    fill().map_err(|why| running.explain(&why))?;
    running.kill();
    drop(running);
    let (mut running, mut control, seconds) = rig.start_on(&spec, &dir, options, PATIENCE)?;
    let keys = control.text(&["DBSIZE"], ANSWER_MAX)?;
    if keys != data.keys.to_string() {
        return Err(running.explain(&format!("{keys} keys after a start, not {}", data.keys)));
    }
    Ok(seconds)
}

/// BGSAVE, and waits for its end.
fn save(control: &mut Control) -> Result<(), String> {
    control.text(&["BGSAVE"], ANSWER_MAX)?;
    let begin = std::time::Instant::now();
    while begin.elapsed() < PATIENCE {
        ends::interrupted()?;
        if !control::saving(&control.text(&["INFO", "persistence"], ANSWER_MAX)?) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err("BGSAVE does not end".to_owned())
}
