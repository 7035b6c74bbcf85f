//! Runs of the simulated machine: by seed, in all short sequences, with each operation failing.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::bug::{BUGS, Bug};
use super::disk::{Disk, Fault, Loss};
use super::kit::{Crash, Tally, fill, fresh, recover, run, settle};
use super::machine::{Machine, Setup};
use super::start::{NoStart, start};
use super::workload::{Workload, words};
use crate::base::mutant::Mutant;
use crate::base::prng::Prng;
use crate::persist::record::Policy;

const POLICIES: [Policy; 3] = [Policy::Always, Policy::EverySecond, Policy::No];

const MUTANTS: [Mutant; 17] = [
    Mutant::UncheckedPayload,
    Mutant::DurableAtCompletion,
    Mutant::ShortIsWhole,
    Mutant::EarlyEpoch,
    Mutant::NoPoison,
    Mutant::NextSegmentFirst,
    Mutant::NoRowK,
    Mutant::NoRowL,
    Mutant::TrustPageCache,
    Mutant::NoFlip,
    Mutant::LooseChain,
    Mutant::NoHold,
    Mutant::RefusedHalfway,
    Mutant::ManyWriters,
    Mutant::Unmarked,
    Mutant::HastyRead,
    Mutant::PartAlone,
];

/// Runs in which every mistake has to be found.
const SEARCHED: u64 = 2500;
/// Runs in which nothing may be wrong.
const SEEDS: u64 = if cfg!(debug_assertions) { 250 } else { SEARCHED };

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
    crash("crash_states", Workload::Mixed);
}

#[test]
fn transfers_are_whole_whatever_crashes() {
    crash("transfers_are_whole_whatever_crashes", Workload::Bank);
}

fn crash(test: &str, work: Workload) {
    let seeds = seeds(SEEDS);
    let (mut tally, mut failed) = (Tally::default(), Vec::new());
    for seed in &seeds {
        if let Err(what) = caught(|| run(*seed, work, None, &mut tally)) {
            failed.push((*seed, what));
        }
    }
    eprintln!("{tally:?}");
    report(test, &failed);
    // Void when it did too little.
    let runs = seeds.len() as u64;
    assert!(runs < 50 || tally.states > 3 * runs && tally.acknowledged > 10 * runs, "{tally:?}");
    assert!(runs < 50 || tally.saves > runs / 2 && tally.cuts > runs / 2, "{tally:?}");
}

/// The first seed that finds a mistake, and what it says. Without one all of them pass.
fn first_found(bug: Option<Bug>) -> Option<(u64, String)> {
    let mut tally = Tally::default();
    (0..SEARCHED).find_map(|seed| {
        let mut tried = |work| caught(|| run(seed, work, bug, &mut tally)).err();
        let what = tried(Workload::Bank).or_else(|| tried(Workload::Mixed));
        what.map(|what| (seed, what))
    })
}

#[test]
fn every_mistake_of_the_shell_is_found() {
    let mut survived = Vec::new();
    for bug in BUGS {
        match first_found(Some(bug)) {
            Some((seed, what)) => eprintln!("{bug:?}: seed {seed}: {what:.160}"),
            None => survived.push(bug),
        }
    }
    assert!(survived.is_empty(), "not found: {survived:?}");
}

#[test]
fn every_mistake_of_the_product_is_found() {
    let mut survived = Vec::new();
    for mutant in MUTANTS {
        match mutant.during(|| first_found(None)) {
            Some((seed, what)) => eprintln!("{mutant:?}: seed {seed}: {what:.160}"),
            None => survived.push(mutant),
        }
    }
    assert!(survived.is_empty(), "not found: {survived:?}");
}

/// A machine of two shards, with these operations asked for.
fn small(policy: Policy, operations: &[&str]) -> Machine {
    let mut machine = fresh(
        Setup {
            shards: 2,
            policy,
            boot: 1,
            bug: None,
            trace: std::env::var("BASALT_SIM_TRACE").is_ok(),
        },
        1,
    );
    operate(&mut machine, operations);
    machine
}

fn operate(machine: &mut Machine, operations: &[&str]) {
    for operation in operations {
        match *operation {
            "SAVE" => machine.start_save(),
            line => machine.todo.push_back((0, 0, vec![words(line)])),
        }
        if settle(machine).is_err() || machine.disk.is_dead() {
            return;
        }
    }
}

#[test]
fn all_short_sequences_with_a_crash_at_every_operation_of_the_disk() {
    let alphabet = ["SET a 1", "INCR b", "MSET a 2 b 3", "SAVE"];
    let most = if cfg!(debug_assertions) { 2 } else { 3 };
    let mut states = 0;
    let mut tally = Tally::default();
    for length in 1..=most {
        for number in 0..alphabet.len().pow(length) {
            let operations: Vec<&str> = (0..length)
                .map(|place| alphabet[number / alphabet.len().pow(place) % alphabet.len()])
                .collect();
            for policy in [Policy::Always, Policy::EverySecond] {
                states += every_operation(policy, &operations, &mut tally);
            }
        }
    }
    eprintln!("{states} crashes, {tally:?}");
    assert!(states > 500);
}

fn every_operation(policy: Policy, operations: &[&str], tally: &mut Tally) -> u64 {
    let begun = small(policy, &[]).disk.operations();
    let total = small(policy, operations).disk.operations();
    for at in begun + 1..=total {
        let mut machine = small(policy, &[]);
        machine.disk.plan(at, Fault::Die);
        operate(&mut machine, operations);
        let mut prng = Prng::new(at);
        for crash in [Crash::Kill, Crash::Power(Loss::All), Crash::Power(Loss::Some)] {
            let found = caught(|| recover(&machine, crash, 2, &mut prng, tally));
            assert!(found.is_ok(), "{policy:?} {operations:?} operation {at}: {found:?}");
        }
    }
    total - begun
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
        let mut plain = small(policy, &[]);
        let begun = plain.disk.operations();
        work(&mut plain).expect("nothing is wrong without a fault");
        for at in begun + 1..=plain.disk.operations() {
            for fault in [Fault::Io, Fault::NoSpace, Fault::Short] {
                let mut machine = small(policy, &[]);
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
    let mut machine = small(Policy::EverySecond, &["SET a 1", "MSET a 2 b 3", "SAVE", "INCR b"]);
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
