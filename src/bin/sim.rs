//! The tool `basalt-sim`: the simulated machine by seed, for as long as one likes.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use basalt::testing::kit::{Tally, run};
use basalt::testing::workload::Workload;
use clap::{Parser, Subcommand};

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
    /// A second or two of both.
    Smoke,
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
        What::Crash(range) => search(Workload::Mixed, "crash", range),
        What::Transactions(range) => search(Workload::Bank, "transactions", range),
        What::Smoke => {
            search(Workload::Mixed, "crash", few) && search(Workload::Bank, "transactions", few)
        }
    };
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn search(work: Workload, name: &str, range: Range) -> bool {
    let (mut tally, began, mut told) = (Tally::default(), Instant::now(), 0);
    let mut seed = range.seed;
    let current = Arc::new(AtomicU64::new(seed));
    let (at, name_of) = (Arc::clone(&current), name.to_owned());
    // A panic of the code under test ends the process: it has to leave the seed.
    std::panic::set_hook(Box::new(move |panic| {
        let seed = at.load(Ordering::Relaxed);
        println!("{panic}\n  basalt-sim {name_of} --seed {seed} --states 1");
    }));
    while tally.states < range.states {
        current.store(seed, Ordering::Relaxed);
        if let Err(what) = run(seed, work, None, &mut tally) {
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
    println!("{name}, seeds {} to {seed}: {tally:?}: nothing wrong", range.seed);
    true
}
