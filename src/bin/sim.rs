//! The tool `basalt-sim`: the simulated machine by seed, for as long as one likes.

use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use basalt::persist::record::Policy;
use basalt::testing::canary::{Mistake, TRIALS, Trial, mistakes};
use basalt::testing::kit::Tally;
use basalt::testing::sequences::{ALPHABET, count, every_operation, sequence};
use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the simulated machine: work, crash, recover, compare.
#[derive(Debug, Parser)]
#[command(name = "basalt-sim")]
struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum What {
    /// All commands, crashes at any moment.
    Crash(Range),
    /// Transfers between accounts on several shards, crashes at any moment.
    Transactions(Range),
    /// Bases that are written while everything changes, compared with plain copies.
    Snapshot(Range),
    /// All sequences of a few operations, with a crash at each operation of the disk.
    Sequences {
        /// The longest of them.
        #[arg(long, default_value_t = 4)]
        length: u32,
    },
    /// A second or two of each.
    Smoke,
    /// Mistakes on purpose: each has to be found.
    Canary {
        /// Seeds to try for each.
        #[arg(long, default_value_t = 2_500)]
        seeds: u64,
        /// Only the one with this number, in this process.
        #[arg(long)]
        only: Option<usize>,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Range {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// States to recover and compare.
    #[arg(long, default_value_t = 1_000_000)]
    states: u64,
}

fn main() -> ExitCode {
    let few = Range { seed: 0, states: 5_000 };
    let fine = match Options::parse().what {
        What::Crash(range) => search(Trial::Crash, range),
        What::Transactions(range) => search(Trial::Transactions, range),
        What::Snapshot(range) => search(Trial::Snapshot, range),
        What::Sequences { length } => sequences(length),
        What::Smoke => TRIALS.into_iter().all(|trial| search(trial, few)) && sequences(2),
        What::Canary { seeds, only: None } => canary(seeds),
        What::Canary { seeds, only: Some(number) } => match mistakes().get(number) {
            Some(mistake) => survives(*mistake, seeds),
            None => return ExitCode::FAILURE,
        },
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A panic of the code under test ends the process: it has to leave the command that repeats it.
fn tell_panics(trial: &'static str, seed: &Arc<AtomicU64>) {
    let seed = Arc::clone(seed);
    std::panic::set_hook(Box::new(move |panic| {
        let seed = seed.load(Ordering::Relaxed);
        println!("{trial} {seed}: {panic}\n  basalt-sim {trial} --seed {seed} --states 1");
    }));
}

fn search(trial: Trial, range: Range) -> bool {
    let (mut tally, began, mut told) = (Tally::default(), Instant::now(), 0);
    let (mut seed, name) = (range.seed, trial.name());
    let current = Arc::new(AtomicU64::new(seed));
    tell_panics(name, &current);
    while tally.states < range.states {
        current.store(seed, Ordering::Relaxed);
        if let Err(what) = trial.run(seed, None, &mut tally) {
            println!("{what}\n  basalt-sim {name} --seed {seed} --states 1");
            return false;
        }
        seed += 1;
        let seconds = began.elapsed().as_secs();
        if seconds >= told + 10 {
            told = seconds;
            println!("seed {seed}: {tally:?}, {} states a second", tally.states / seconds);
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!("{name}, seeds {} to {seed}, {seconds:.1} s: {tally:?}: nothing wrong", range.seed);
    true
}

fn sequences(most: u32) -> bool {
    let (mut tally, mut crashes, began) = (Tally::default(), 0, Instant::now());
    let mut number_of = 0;
    for length in 1..=most {
        for number in 0..count(&ALPHABET, length) {
            let operations = sequence(&ALPHABET, length, number);
            for policy in [Policy::Always, Policy::EverySecond, Policy::No] {
                match every_operation(policy, &operations, &mut tally) {
                    Ok(count) => crashes += count,
                    Err(what) => {
                        println!("{what}\n  basalt-sim sequences --length {length}");
                        return false;
                    }
                }
            }
            number_of += 1;
        }
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{number_of} sequences of up to {length} operations, {crashes} moments, {} states, \
             {seconds:.1} s: nothing wrong",
            tally.states
        );
    }
    true
}

/// Each mistake in a process of its own, for it may panic; a row of a table for each.
fn canary(seeds: u64) -> bool {
    let Ok(program) = std::env::current_exe() else { return false };
    let mut survived = 0;
    println!("| mistake | found by | seed | ms |\n|---|---|---|---|");
    for (number, mistake) in mistakes().into_iter().enumerate() {
        let began = Instant::now();
        let number = number.to_string();
        let seeds = seeds.to_string();
        let child =
            Command::new(&program).args(["canary", "--seeds", &seeds, "--only", &number]).output();
        let took = began.elapsed().as_millis();
        let Ok(child) = child else { return false };
        let text = String::from_utf8_lossy(&child.stdout).into_owned();
        let first = text.lines().next().unwrap_or_default();
        let (by, _) = first.split_once(':').unwrap_or_default();
        let found = !child.status.success() && by.contains(' ');
        let (trial, seed) = by.split_once(' ').unwrap_or_default();
        let name = mistake.name();
        match found {
            true => println!("| {name} | {trial} | {seed} | {took} |"),
            false => println!("| {name} | NOTHING | | {took} |"),
        }
        survived += u32::from(!found);
    }
    println!("{} mistakes, {survived} not found", mistakes().len());
    survived == 0
}

/// Looks for one mistake; tells by which trial and seed it was found first.
fn survives(mistake: Mistake, seeds: u64) -> bool {
    let current = Arc::new(AtomicU64::new(0));
    mistake.during(|bug| {
        let mut tally = Tally::default();
        (0..seeds).all(|seed| {
            current.store(seed, Ordering::Relaxed);
            TRIALS.into_iter().all(|trial| {
                tell_panics(trial.name(), &current);
                match trial.run(seed, bug, &mut tally) {
                    Ok(()) => true,
                    Err(what) => {
                        println!("{} {seed}: {what}", trial.name());
                        false
                    }
                }
            })
        })
    })
}
