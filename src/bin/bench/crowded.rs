//! A log on a disk that others fill: does a server stop when its writes and syncs take long?
//!
//! An open loop of SETs under each policy, while the disk is kept as busy as it gets. Without a log
//! the disk does not matter, so that row is what the neighbours themselves cost.

use std::net::SocketAddr;

use crate::beside::Beside;
use crate::due::Spacing;
use crate::load::{self, Data, Load};
use crate::mix::Mix;
use crate::rig::Rig;
use crate::stats;
use crate::trial::{VOLATILE, logged};

/// Requests a second.
const RATE: f64 = 10_000.0;
/// Before anything is measured, in seconds: the neighbours' files have their blocks by then.
const WARM: f64 = 3.0;
/// Requests that wait at the end are answered in this time, in seconds.
const DRAIN: u64 = 60;

/// All policies on one server, each for so many seconds: the percentiles of `stats::PERCENTILES`,
/// in microseconds.
pub fn turn(
    rig: &mut Rig,
    server: usize,
    data: &Data,
    seconds: f64,
) -> Result<Vec<(&'static str, Vec<f64>)>, String> {
    let everysec = logged("everysec");
    let mut all = Vec::new();
    for (name, options) in [("no log", VOLATILE), ("everysec", everysec.as_slice())] {
        let (mut running, _, _control) = rig.start(server, options)?;
        let load = Load {
            mix: Mix::parse("set")?,
            data: data.clone(),
            rate: RATE,
            spacing: Spacing::Fixed,
            connections: 50,
            pipeline: 1,
            wait: rig.wait,
            requests_max: u64::MAX,
            seed: 5,
        };
        let measure = || {
            load::fill(&load.mix, &load.data, running.address)?;
            let _crowd = Beside::crowd(&rig.server_cores, &rig.fresh("crowd")?)?;
            open(&load, running.address, seconds)
        };
        all.push((name, measure().map_err(|why: String| running.explain(&why))?));
    }
    Ok(all)
}

/// The percentiles of the latencies, in microseconds.
fn open(load: &Load, address: SocketAddr, seconds: f64) -> Result<Vec<f64>, String> {
    let mut engine = load.start(address).map_err(|broken| broken.to_string())?;
    let nanos = |seconds: f64| (seconds * 1e9) as u64;
    load::go_on(&mut engine, nanos(WARM))?;
    let begin = engine.now();
    engine.recorder().begin_phase(begin);
    load::go_on(&mut engine, nanos(WARM + seconds))?;
    load::drained(&mut engine, DRAIN)?;
    let window = engine.recorder().phases().last().ok_or("no phase")?.all();
    Ok(stats::percentiles(&window))
}
