//! Runs of the simulated machine: by seed, in all short sequences, with each operation failing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::canary::{Mistake, TRIALS, Trial, mistakes};
use super::disk::{Disk, Fault, Loss};
use super::kit::{Crash, Tally, fill, fresh, recover, settle};
use super::machine::{Machine, Setup};
use super::sequences::{ALPHABET, count, every_operation, operate, sequence, small};
use super::start::{NoStart, start};
use super::workload::{Workload, words};
use crate::base::prng::Prng;
use crate::persist::record::Policy;

const POLICIES: [Policy; 3] = [Policy::Always, Policy::EverySecond, Policy::No];

/// Runs in which every mistake has to be found: most take one, two or three several hundred.
const SEARCHED: u64 = 6000;
/// Runs in which nothing may be wrong.
const SEEDS: u64 = if cfg!(debug_assertions) { 250 } else { 2500 };

/// Runs, each a different seed; `BASALT_SIM_SEED` runs one of them alone.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("BASALT_SIM_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..count).collect(),
    }
}

/// A panic of the code under test is a finding like any other.
fn caught<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or(panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

fn report(test: &str, failed: &[(u64, String)]) {
    for (seed, what) in failed.iter().take(5) {
        eprintln!("{what}\n  BASALT_SIM_SEED={seed} cargo test --lib testing::tests::{test}");
    }
    assert!(failed.is_empty(), "{} seeds failed", failed.len());
}

#[test]
fn crash_states() {
    let tally = search("crash_states", Trial::Crash, SEEDS);
    // Void when it did too little.
    assert!(SEEDS < 50 || tally.saves > SEEDS / 2 && tally.cuts > SEEDS / 2, "{tally:?}");
}

#[test]
fn transfers_are_whole_whatever_crashes() {
    let tally = search("transfers_are_whole_whatever_crashes", Trial::Transactions, SEEDS);
    assert!(SEEDS < 50 || tally.saves > SEEDS / 2 && tally.cuts > SEEDS / 2, "{tally:?}");
}

#[test]
fn a_base_is_the_state_at_the_cut() {
    let tally = search("a_base_is_the_state_at_the_cut", Trial::Snapshot, SEEDS);
    assert!(SEEDS < 50 || tally.saves > SEEDS, "{tally:?}");
}

fn search(test: &str, trial: Trial, count: u64) -> Tally {
    let seeds = seeds(count);
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    for seed in &seeds {
        if let Err(what) = caught(|| trial.run(*seed, None, &mut tally)) {
            failed.push((*seed, what));
        }
    }
    eprintln!("{tally:?}");
    report(test, &failed);
    let runs = seeds.len() as u64;
    let enough = tally.states > runs && tally.acknowledged > 10 * runs;
    assert!(runs < 50 || enough, "void: {tally:?}");
    match seeds.len() as u64 {
        few if few < count => Tally { saves: count, cuts: count, ..tally },
        _ => tally,
    }
}

/// The first seed that finds a mistake, and what it says. Without one all of them pass.
fn first_found(mistake: Mistake) -> Option<(Trial, u64, String)> {
    let mut tally = Tally::default();
    mistake.during(|bug| {
        (0..SEARCHED).find_map(|seed| {
            TRIALS.into_iter().find_map(|trial| {
                let what = caught(|| trial.run(seed, bug, &mut tally)).err()?;
                Some((trial, seed, what))
            })
        })
    })
}

#[test]
fn every_mistake_is_found() {
    let mut survived = Vec::new();
    for mistake in mistakes() {
        let name = mistake.name();
        match first_found(mistake) {
            Some((trial, seed, what)) => eprintln!("{name}: {trial:?} {seed}: {what:.120}"),
            None => survived.push(name),
        }
    }
    assert!(mistakes().len() >= 40);
    assert!(survived.is_empty(), "not found: {survived:?}");
}

#[test]
fn all_short_sequences_with_a_crash_at_every_operation_of_the_disk() {
    let most = if cfg!(debug_assertions) { 2 } else { 3 };
    let (mut tally, mut crashes) = (Tally::default(), 0);
    for length in 1..=most {
        for number in 0..count(&ALPHABET, length) {
            let operations = sequence(&ALPHABET, length, number);
            for policy in [Policy::Always, Policy::EverySecond] {
                let done = caught(|| every_operation(policy, &operations, &mut tally));
                crashes += done.unwrap_or_else(|what| panic!("{policy:?} {operations:?}: {what}"));
            }
        }
    }
    eprintln!("{crashes} crashes, {tally:?}");
    assert!(crashes > 1000 && tally.states >= 3 * crashes, "void: {tally:?}");
}

#[test]
fn each_operation_of_the_disk_fails_once() {
    let mut healed = 0;
    let mut tally = Tally::default();
    for policy in POLICIES {
        let work = |machine: &mut Machine| -> Result<(), String> {
            let mut prng = Prng::new(3);
            fill(machine, Workload::Mixed, 12, &mut prng);
            settle(machine)?;
            machine.start_save();
            fill(machine, Workload::Mixed, 12, &mut prng);
            settle(machine)
        };
        let mut plain = small(policy);
        let begun = plain.disk.operations();
        work(&mut plain).expect("nothing is wrong without a fault");
        for at in begun + 1..=plain.disk.operations() {
            for fault in [Fault::Io, Fault::NoSpace, Fault::Short] {
                let mut machine = small(policy);
                machine.disk.plan(at, fault);
                let done = caught(|| fails_once(&mut machine, work, at, &mut tally));
                assert!(done.is_ok(), "{policy:?} {fault:?} at operation {at}: {done:?}");
                healed += u64::from(done == Ok(true));
            }
        }
    }
    eprintln!("{healed} times healed, {tally:?}");
    assert!(healed > 20);
}

/// Works while a fault is waiting; says whether the log had to be healed.
fn fails_once(
    machine: &mut Machine,
    work: impl Fn(&mut Machine) -> Result<(), String>,
    seed: u64,
    tally: &mut Tally,
) -> Result<bool, String> {
    let mut prng = Prng::new(seed);
    work(machine)?;
    let broken = !machine.refusal().is_empty();
    let shards = machine.setup.shards;
    for crash in [Crash::Kill, Crash::Power(Loss::Some), Crash::Power(Loss::All)] {
        recover(machine, crash, shards, &mut prng, tally)?;
    }
    if broken {
        machine.todo.push_back((0, 0, vec![words("GET a")]));
        machine.todo.push_back((1, 0, vec![words("SET a refused")]));
        settle(machine)?;
        let acked: Vec<_> = machine.history.ops.iter().rev().take(2).map(|op| op.acked).collect();
        if acked[0].is_some() {
            return Err("a write was acknowledged by a broken log".to_owned());
        }
        for _ in 0..3 {
            machine.start_save();
            settle(machine)?;
        }
    }
    machine.todo.push_back((0, 0, vec![words("SET a 5")]));
    settle(machine)?;
    if machine.history.ops.last().is_none_or(|op| op.acked.is_none()) {
        return Err("it does not come back".to_owned());
    }
    for crash in [Crash::Kill, Crash::Power(Loss::Some), Crash::Power(Loss::All)] {
        recover(machine, crash, shards, &mut prng, tally)?;
    }
    Ok(broken)
}

#[test]
fn each_operation_of_a_start_fails_once() {
    let operations = ["SET a 1", "MSET a 2 b 3", "SAVE", "INCR b"];
    let machine = operate(small(Policy::EverySecond), &operations);
    let mut machine = machine.expect("nothing is wrong");
    machine.start_save();
    fill(&mut machine, Workload::Mixed, 10, &mut Prng::new(5));
    settle(&mut machine).expect("nothing is wrong");
    let setup = Setup { boot: 2, ..machine.setup };
    let left = machine.disk.crash(Loss::Some, &mut Prng::new(9));
    let begin = |disk: Disk| start(disk, setup, machine.now, 4);
    let (mut plain, _) = begin(left.clone()).expect("it starts");
    let (expected, total) = (plain.state(), plain.disk.operations());
    for at in left.operations() + 1..=total {
        for fault in [Fault::Io, Fault::NoSpace, Fault::Short, Fault::Die] {
            let mut disk = left.clone();
            disk.plan(at, fault);
            let disk = match begin(disk) {
                Ok((mut machine, _)) => {
                    assert_eq!(machine.state(), expected, "{fault:?} at {at}");
                    continue;
                }
                Err(NoStart::Disk(disk, _)) => disk.kill(),
                Err(NoStart::Refused(why)) => panic!("{fault:?} at {at}: {why}"),
            };
            for disk in [disk.crash(Loss::All, &mut Prng::new(at)), disk] {
                let (mut machine, _) = begin(disk).expect("the next start is well");
                assert_eq!(machine.state(), expected, "{fault:?} at {at}");
            }
        }
    }
    assert!(total > 10);
}

#[test]
fn any_number_of_shards_loads_what_any_other_has_written() {
    let counts = [1, 2, 3, 4, 8];
    let mut tally = Tally::default();
    for from in counts {
        for to in counts {
            for (crash, seed) in [(Crash::Kill, 1), (Crash::Power(Loss::Some), 2)] {
                let policy = Policy::EverySecond;
                let mut machine =
                    fresh(Setup { shards: from, policy, boot: 1, bug: None, trace: false }, seed);
                let mut prng = Prng::new(seed);
                fill(&mut machine, Workload::Mixed, 40, &mut prng);
                settle(&mut machine).expect("nothing is wrong");
                machine.start_save();
                fill(&mut machine, Workload::Mixed, 20, &mut prng);
                settle(&mut machine).expect("nothing is wrong");
                let next = caught(|| recover(&machine, crash, to, &mut prng, &mut tally));
                let mut next = next.unwrap_or_else(|what| panic!("{from} to {to}: {what}"));
                fill(&mut next, Workload::Mixed, 20, &mut prng);
                settle(&mut next).expect("it goes on");
                let back = caught(|| recover(&next, crash, from, &mut prng, &mut tally));
                assert!(back.is_ok(), "{to} back to {from}: {back:?}");
            }
        }
    }
    assert!(tally.states >= 100);
}
