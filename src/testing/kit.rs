//! Runs of the machine by seed: work, crash at some point, recover, compare; again.

use crate::base::prng::Prng;
use crate::persist::names;
use crate::persist::record::Policy;
use crate::testing::bug::Bug;
use crate::testing::disk::{Disk, Fault, Loss};
use crate::testing::history::{History, Keeps};
use crate::testing::machine::{Machine, Setup};
use crate::testing::start::{NoStart, start};
use crate::testing::workload::{Workload, balance};

/// Steps after which a run that has not come to rest is stuck.
const STEPS: usize = 8_000;

/// What runs have done: a run that did too little proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// States that were recovered and compared.
    pub states: u64,
    /// Requests that were acknowledged.
    pub acknowledged: u64,
    /// Checkpoints that were completed.
    pub saves: u64,
    /// States in which something was lost, as it may be.
    pub cuts: u64,
}

/// How the crash happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies.
    Kill,
    /// The power fails.
    Power(Loss),
}

impl Crash {
    /// One of them.
    pub fn pick(prng: &mut Prng) -> Crash {
        match prng.below(8) {
            0..3 => Crash::Kill,
            3 => Crash::Power(Loss::All),
            4 => Crash::Power(Loss::Nothing),
            _ => Crash::Power(Loss::Some),
        }
    }
}

/// What a crash leaves of a machine's disk, with writes on their way.
pub fn wreck(machine: &Machine, crash: Crash, prng: &mut Prng) -> Disk {
    let mut disk = machine.disk.kill();
    disk.clear_plan();
    for core in &machine.cores {
        if let Some(job) = core.write.as_ref().filter(|_| prng.chance(1, 2))
            && let Some(file) = core.files.get(&job.number)
        {
            let count = prng.below(job.bytes().len() as u64 + 1) as usize;
            let _ = disk.write_all(*file, job.offset, &job.bytes()[..count]);
        }
    }
    fall(disk, crash, prng)
}

fn fall(disk: Disk, crash: Crash, prng: &mut Prng) -> Disk {
    match crash {
        Crash::Kill => disk.kill(),
        Crash::Power(loss) => disk.crash(loss, prng),
    }
}

/// What may be gone after it.
pub fn keeps(policy: Policy, crash: Crash) -> Keeps {
    match (policy, crash) {
        (Policy::Always, _) | (_, Crash::Kill) => Keeps::Acknowledged,
        _ => Keeps::Prefix,
    }
}

/// Crashes a machine, starts another from what is left, now and then with a second crash while it
/// starts, and judges it.
pub fn recover(
    machine: &Machine,
    crash: Crash,
    shards: u16,
    prng: &mut Prng,
    tally: &mut Tally,
) -> Result<Machine, String> {
    let mut crash = crash;
    let mut disk = wreck(machine, crash, prng);
    let mut setup = machine.setup;
    setup.boot += u64::from(crash != Crash::Kill);
    let mut began = 0;
    while began < 2 && prng.chance(1, 3) {
        began += 1;
        let again = Crash::pick(prng);
        disk.plan(disk.operations() + 1 + prng.below(40), Fault::Die);
        let left = match start(disk, setup, machine.now, prng.next()) {
            Ok((second, _)) => wreck(&second, again, prng),
            Err(NoStart::Disk(left, _)) => fall(left.kill(), again, prng),
            Err(NoStart::Refused(why)) => return Err(format!("refused after {crash:?}: {why}")),
        };
        disk = left;
        setup.boot += u64::from(again != Crash::Kill);
        if crash == Crash::Kill {
            crash = again;
        }
    }
    setup.shards = shards;
    let started = start(disk, setup, machine.now, prng.next());
    let (mut next, found) = match started {
        Ok(started) => started,
        Err(NoStart::Refused(why)) => {
            return Err(format!("refused after {crash:?}, {began} more: {why}"));
        }
        Err(NoStart::Disk(_, failure)) => return Err(format!("no start: {failure:?}")),
    };
    tally.states += 1;
    if setup.trace {
        eprintln!("{crash:?}, {began} more: next {:?}, cuts {:?}", found.next, found.cuts);
    }
    tally.cuts += u64::from(!found.cuts.is_empty());
    let state = next.state();
    let judged = machine
        .history
        .judge(&found.next, &state, machine.now, keeps(setup.policy, crash))
        .map_err(|what| format!("after {crash:?}, {began} more, cuts {:?}: {what}", found.cuts));
    if setup.trace && judged.is_err() {
        let mut disk = machine.disk.kill();
        let manifest = disk.read(names::MANIFEST).unwrap_or_default();
        eprintln!("{}{}", machine.history, String::from_utf8_lossy(&manifest));
        eprintln!("{:?}", disk.list());
    }
    judged?;
    Ok(next)
}

/// Fills a machine with requests.
pub fn fill(machine: &mut Machine, work: Workload, count: u64, prng: &mut Prng) {
    for _ in 0..count {
        let (db, commands) = work.request(prng, machine.now);
        let client = prng.below(work.clients()) as usize;
        machine.todo.push_back((client, db, commands));
    }
}

/// Steps until nothing is left to do.
pub fn settle(machine: &mut Machine) -> Result<(), String> {
    for _ in 0..STEPS {
        if machine.is_idle() || machine.disk.is_dead() {
            return machine.violation.clone().map_or(Ok(()), Err);
        }
        machine.step();
        if let Some(what) = &machine.violation {
            return Err(what.clone());
        }
    }
    let open: Vec<String> = machine
        .history
        .ops
        .iter()
        .filter(|op| !op.answered)
        .map(crate::testing::history::show)
        .collect();
    Err(format!("stuck: {} requests to come, {open:?} not answered", machine.todo.len()))
}

/// One run by seed: several lives, each with crashes on the way and one at its end.
pub fn run(seed: u64, work: Workload, bug: Option<Bug>, tally: &mut Tally) -> Result<(), String> {
    let mut prng = Prng::new(seed);
    let policy = match prng.below(5) {
        0 | 1 => Policy::Always,
        2 | 3 => Policy::EverySecond,
        _ => Policy::No,
    };
    let shards = work.shards(&mut prng);
    let setup =
        Setup { shards, policy, boot: 1, bug, trace: std::env::var("BASALT_SIM_TRACE").is_ok() };
    let (mut machine, _) =
        start(Disk::default(), setup, 1000, seed).map_err(|why| format!("no start: {why:?}"))?;
    for life in 0..3 {
        if setup.trace {
            eprintln!("life {life} {:?}", machine.setup);
        }
        let faults = prng.below(4);
        for _ in 0..faults * 2 {
            let at = machine.disk.operations() + 1 + prng.below(120);
            let kind = match prng.below(12) {
                0 if faults == 3 => Fault::Io,
                1 if faults == 3 => Fault::NoSpace,
                _ => Fault::Short,
            };
            machine.disk.plan(at, kind);
        }
        let count = 10 + prng.below(30);
        fill(&mut machine, work, count, &mut prng);
        let saves = prng.below(3);
        machine.slow = prng.chance(1, 2).then(|| prng.below(u64::from(shards)) as usize);
        live(&mut machine, work, saves, &mut prng, tally)?;
        tally.acknowledged +=
            machine.history.ops.iter().filter(|op| op.acked.is_some()).count() as u64;
        tally.saves += machine.saved.0 as u64;
        let shards = if prng.chance(1, 3) { work.shards(&mut prng) } else { machine.setup.shards };
        let crash = Crash::pick(&mut prng);
        let next = recover(&machine, crash, shards, &mut prng, tally)
            .map_err(|what| format!("life {life}: {what}"))?;
        machine = next;
        if work == Workload::Bank && balance(&machine.state()) != 0 {
            return Err(format!("life {life}: {} from nothing", balance(&machine.state())));
        }
    }
    Ok(())
}

fn live(
    machine: &mut Machine,
    work: Workload,
    saves: u64,
    prng: &mut Prng,
    tally: &mut Tally,
) -> Result<(), String> {
    for _ in 0..STEPS {
        if machine.is_idle() || (work == Workload::Mixed && prng.chance(1, 400)) {
            return Ok(());
        }
        if saves > 0 && prng.chance(saves, 60) {
            machine.start_save();
        }
        machine.step();
        if let Some(what) = &machine.violation {
            return Err(what.clone());
        }
        if prng.chance(1, 24) {
            let shards = machine.setup.shards;
            let crash = Crash::pick(prng);
            recover(machine, crash, shards, prng, tally)?;
        }
    }
    machine.slow = None;
    settle(machine)
}

/// A machine that has just begun, with nothing on its disk.
pub fn fresh(setup: Setup, seed: u64) -> Machine {
    match start(Disk::default(), setup, 1000, seed) {
        Ok((machine, _)) => machine,
        Err(why) => panic!("an empty disk is refused: {why:?}"),
    }
}

/// What a history has come to, for messages.
pub fn acknowledged(history: &History) -> usize {
    history.ops.iter().filter(|op| op.acked.is_some()).count()
}
