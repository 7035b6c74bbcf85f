//! One server, once: filled, under a load without a snapshot and with one, and started again.

use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::beside::{self, Beside};
use crate::control::{self, Answer, Control};
use crate::engine::Engine;
use crate::recorder::{Phase, Slot};
use crate::rig::{ANSWER_MAX, Rig};
use crate::sample::{self, Look, Sample, Sampler};
use crate::scenario::Scenario;
use crate::server::{self, Running, Spec};
use crate::verdict::Own;
use crate::{load, stats};

/// How long the parts of a round take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Under load before anything is measured, in seconds.
    pub warm: f64,
    /// Under load without a snapshot, and as long with the servers' cores kept busy.
    pub without: f64,
    /// Under load after the snapshot, for the picture.
    pub after: f64,
    /// A snapshot that takes longer is given up.
    pub snapshot_max: f64,
    /// So is a start that takes longer.
    pub load_max: f64,
}

/// What was measured in a stretch of the load.
#[derive(Clone, Debug)]
pub struct Judged {
    /// All latencies, in microseconds.
    pub latencies: Histogram<u64>,
    /// The percentiles of `stats::PERCENTILES`, in microseconds: of all, of reads, of writes.
    pub all: Vec<f64>,
    /// Of requests that look only, if there are any.
    pub reads: Option<Vec<f64>>,
    /// Of requests that change something, if there are any.
    pub writes: Option<Vec<f64>>,
    /// How many requests were due and answered.
    pub count: u64,
    /// How many of them change something.
    pub changes: u64,
    /// The longest time in which somebody waited and nothing was answered, in milliseconds.
    pub silence_ms: f64,
    /// CPU of the server's processes, in seconds.
    pub cpu: f64,
    /// What the host of a virtual machine has taken from the servers' cores, in milliseconds.
    pub stolen_ms: f64,
    /// How long the stretch was, in seconds.
    pub seconds: f64,
}

/// What came of a round.
#[derive(Clone, Debug)]
pub struct Round {
    /// The control: no snapshot, but cores that are busy (beside.rs). Nothing where that is not
    /// possible.
    pub busy: Option<Judged>,
    /// Before the snapshot.
    pub without: Judged,
    /// From the order to the end of the snapshot.
    pub with: Judged,
    /// Nanoseconds from the start of the load to the order.
    pub trigger: u64,
    /// Nanoseconds from the start of the load to the end of the snapshot.
    pub end: u64,
    /// Bytes of the snapshot's files.
    pub bytes: u64,
    /// Bytes that went to the device meanwhile.
    pub written: f64,
    /// CPU beyond what the load alone takes, in seconds.
    pub extra_cpu: f64,
    /// The most memory beyond that before the order, in bytes; only where memory was looked at.
    pub extra_memory: Option<u64>,
    /// Seconds from the start of the server on this data to its first answer.
    pub load: Option<f64>,
    /// What the generator knows of itself.
    pub own: Own,
    /// Each 10 ms.
    pub slots: Vec<Slot>,
    /// What was sampled.
    pub samples: Vec<Sample>,
}

/// Between two looks at whether the snapshot is done: INFO costs a server tens of microseconds.
const ASK_NANOS: u64 = 25_000_000;
/// Requests that wait at the end are answered in this time, in seconds.
const DRAIN: u64 = 20;
/// Between the end of what kept cores busy and what is measured next.
const SETTLE_NANOS: u64 = 200_000_000;
/// The stretch of load between two looks at other things.
const STEP_NANOS: u64 = 5_000_000;
/// Before the order nobody walks page tables for so long: longer than one walk takes.
const HOLD_NANOS: u64 = 500_000_000;

/// Everything for one server.
pub fn round(
    rig: &mut Rig,
    server: usize,
    scenario: &Scenario,
    times: &Times,
    look: Look,
) -> Result<Round, String> {
    let (mut running, dir, mut control) = rig.start(server, scenario.options)?;
    let spec = rig.specs.get(server).cloned().ok_or("no such server")?;
    let load = scenario.load(rig.wait)?;
    let done = load::fill(&load.mix, &load.data, running.address).and_then(|_| {
        let engine = load.start(running.address).map_err(|broken| broken.to_string())?;
        let cores = rig.server_cores.clone();
        let sampler = Sampler::start(running.pid(), &cores, look, engine.begin())?;
        let mut drive = Drive { engine, sampler, control: &mut control, scenario, cores };
        let marks = drive.go(times)?;
        drive.finish(marks, &dir)
    });
    let mut round = done.map_err(|why| running.explain(&why))?;
    if look == Look::Counters {
        round.load = Some(restart(rig, &spec, running, &mut control, &dir, scenario, times)?);
    }
    Ok(round)
}

/// Kills the server and starts it again on its files; the seconds until it answers.
fn restart(
    rig: &mut Rig,
    spec: &Spec,
    mut running: Running,
    control: &mut Control,
    dir: &Path,
    scenario: &Scenario,
    times: &Times,
) -> Result<f64, String> {
    let before = size(control, scenario)?;
    running.kill();
    drop(running);
    let patience = Duration::from_secs_f64(times.load_max);
    let (mut running, mut control, seconds) =
        rig.start_on(spec, dir, scenario.options, patience)?;
    let after = size(&mut control, scenario)?;
    if after != before {
        let why = format!("{after} keys or fields after a restart, {before} before");
        return Err(running.explain(&why));
    }
    Ok(seconds)
}

/// Keys, or fields where there is one hash.
fn size(control: &mut Control, scenario: &Scenario) -> Result<String, String> {
    if scenario.collections.1 > 1 {
        return control.text(&["HLEN", "hsh:000000000000"], ANSWER_MAX);
    }
    control.text(&["DBSIZE"], ANSWER_MAX)
}

/// Moments of a round, in nanoseconds since the start of the load.
#[derive(Clone, Copy, Debug)]
struct Marks {
    busy: u64,
    idle: u64,
    measured: u64,
    trigger: u64,
    end: u64,
}

/// A load and what goes on beside it.
struct Drive<'a> {
    engine: Engine,
    sampler: Sampler,
    control: &'a mut Control,
    scenario: &'a Scenario,
    cores: Vec<usize>,
}

impl Drive<'_> {
    fn go(&mut self, times: &Times) -> Result<Marks, String> {
        let nanos = |seconds: f64| (seconds * 1e9) as u64;
        // To start and to end processes takes this thread milliseconds, in which nothing is sent:
        // neither falls into a stretch that is judged.
        let control = beside::has_control(&self.cores).then(|| Beside::busy(&self.cores));
        let control = control.transpose()?;
        let busy = nanos(times.warm);
        self.until(busy, "warming up")?;
        self.engine.recorder().begin_phase(busy);
        if control.is_some() {
            self.until(busy + nanos(times.without), "on a busy core")?;
        }
        let idle = self.engine.now();
        self.engine.recorder().begin_phase(idle);
        drop(control);
        self.until(idle + SETTLE_NANOS, "settling")?;
        let measured = self.engine.now();
        self.engine.recorder().begin_phase(measured);
        let trigger = measured + nanos(times.without);
        self.until(trigger.saturating_sub(HOLD_NANOS).max(measured), "without a snapshot")?;
        self.sampler.hold();
        self.until(trigger, "without a snapshot")?;
        let trigger = self.engine.now();
        self.engine.recorder().begin_phase(trigger);
        self.control.send(&[self.scenario.trigger])?;
        let end = self.saved(trigger, nanos(times.snapshot_max))?;
        self.engine.recorder().begin_phase(end);
        self.until(end + nanos(times.after), "after the snapshot")?;
        Ok(Marks { busy, idle, measured, trigger, end })
    }

    /// Goes on with the load until the snapshot is done; when that was.
    fn saved(&mut self, trigger: u64, patience: u64) -> Result<u64, String> {
        let (mut order, mut asked, mut told) = (Some(self.scenario.trigger), trigger, trigger);
        loop {
            self.step(u64::MAX)?;
            let now = self.engine.now();
            match self.control.poll()? {
                Some(Answer::Refused(why)) => {
                    return Err(format!("{}: {why}", order.unwrap_or("INFO")));
                }
                Some(Answer::Text(info)) => {
                    self.sampler.release();
                    if order.take().is_none() && !control::saving(&info) {
                        return succeeded(&info).map(|()| now);
                    }
                    asked = now;
                }
                None => {}
            }
            // One question at a time: none is out when the last answer was the latest thing.
            if order.is_none() && asked > 0 && now - asked > ASK_NANOS {
                self.control.send(&["INFO", "persistence"])?;
                asked = 0;
            }
            if now - told > 1_000_000_000 {
                told = now;
                self.tell("with a snapshot");
            }
            if now - trigger > patience {
                return Err(format!("{} took longer than it may", self.scenario.trigger));
            }
        }
    }

    /// Goes on with the load until this time, a line each second.
    fn until(&mut self, until: u64, what: &str) -> Result<(), String> {
        let mut told = self.engine.now();
        while self.engine.now() < until {
            self.step(until)?;
            if self.engine.now() - told > 1_000_000_000 {
                told = self.engine.now();
                self.tell(what);
            }
        }
        Ok(())
    }

    fn step(&mut self, until: u64) -> Result<(), String> {
        let next = (self.engine.now() + STEP_NANOS).min(until);
        load::go_on(&mut self.engine, next)
    }

    fn tell(&mut self, what: &str) {
        let tally = self.engine.tally().clone();
        let slots = self.engine.recorder().slots();
        let worst = slots.iter().rev().take(100).map(|slot| slot.max_us).max().unwrap_or(0);
        eprintln!(
            "    {what}: {} answered, {} waiting, longest {} ms",
            tally.answered,
            tally.issued - tally.answered,
            stats::short(f64::from(worst) / 1e3)
        );
    }

    fn finish(mut self, marks: Marks, dir: &Path) -> Result<Round, String> {
        let now = self.engine.now();
        load::drained(&mut self.engine, DRAIN)?;
        let samples = self.sampler.finish();
        let tally = self.engine.tally().clone();
        let recorder = self.engine.recorder();
        let [_, busy, _, without, with, _] = recorder.phases() else {
            return Err("a round has six phases".to_owned());
        };
        let grown = |from, to, counter| sample::growth(&samples, from, to, counter);
        let judge = |phase: &Phase, from: u64, to: u64| Judged {
            cpu: grown(from, to, |sample| sample.cpu),
            stolen_ms: grown(from, to, |sample| sample.stolen) * 1e3,
            seconds: (to - from) as f64 / 1e9,
            ..Judged::of(phase)
        };
        let busy = judge(busy, marks.busy, marks.idle);
        let without = judge(without, marks.measured, marks.trigger);
        let with = judge(with, marks.trigger, marks.end);
        let rate = without.cpu / without.seconds.max(1e-9);
        let own = Own::of(&tally, recorder.late(), &without.latencies, now);
        Ok(Round {
            extra_cpu: (with.cpu - rate * with.seconds).max(0.0),
            written: grown(marks.trigger, marks.end, |one| one.written as f64),
            extra_memory: sample::extra_memory(&samples, marks.trigger, marks.end),
            bytes: server::snapshot_bytes(dir),
            load: None,
            trigger: marks.trigger,
            end: marks.end,
            own,
            slots: recorder.slots().to_vec(),
            samples,
            busy: Some(busy).filter(|busy| busy.count > 0),
            without,
            with,
        })
    }
}

impl Judged {
    /// What the recorder knows of it; the rest is for the samples to say.
    fn of(phase: &Phase) -> Judged {
        let latencies = phase.all();
        let some = |one: &Histogram<u64>| (!one.is_empty()).then(|| stats::percentiles(one));
        Judged {
            all: stats::percentiles(&latencies),
            reads: some(&phase.reads),
            writes: some(&phase.writes),
            count: latencies.len(),
            changes: phase.writes.len(),
            silence_ms: phase.silence as f64 / 1e6,
            latencies,
            cpu: 0.0,
            stolen_ms: 0.0,
            seconds: 0.0,
        }
    }
}

/// Does INFO say that the last snapshot, or rewrite, went well? What says nothing is believed.
pub fn succeeded(info: &str) -> Result<(), String> {
    for name in ["rdb_last_bgsave_status", "aof_last_bgrewrite_status"] {
        if let Some(status) = control::field(info, name).filter(|status| *status != "ok") {
            return Err(format!("the snapshot failed: {name} is {status}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_snapshot_is_told() {
        let fine = "rdb_last_bgsave_status:ok\r\naof_last_bgrewrite_status:ok\r\n";
        assert_eq!(succeeded(fine), Ok(()));
        assert_eq!(succeeded(""), Ok(()));
        assert!(succeeded("rdb_last_bgsave_status:err\r\n").is_err());
    }

    #[test]
    fn a_phase_is_judged() {
        let mut recorder = crate::recorder::Recorder::new();
        recorder.issued(1_000_000, 1_000_000);
        recorder.answered(3_000_000, 1_000_000, crate::recorder::Class::Write);
        let judged = Judged::of(&recorder.phases()[0]);
        assert_eq!((judged.count, judged.changes, judged.reads), (1, 1, None));
        assert_eq!(judged.silence_ms, 2.0);
        assert_eq!(judged.writes, Some(judged.all));
    }
}
