//! The tool `basalt-sim`: the simulated machine by seed, for as long as one likes.

use std::process::ExitCode;
use std::time::Instant;

use basalt::testing::kit::{Tally, run};
use clap::Parser;

/// Runs the simulated machine: work, crash, recover, compare.
#[derive(Debug, Parser)]
#[command(name = "basalt-sim")]
struct Options {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// States to recover and compare.
    #[arg(long, default_value_t = 1_000_000)]
    states: u64,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (mut tally, began, mut told) = (Tally::default(), Instant::now(), 0);
    let mut seed = options.seed;
    while tally.states < options.states {
        if let Err(what) = run(seed, None, &mut tally) {
            println!("{what}\n  basalt-sim --seed {seed} --states 1");
            return ExitCode::FAILURE;
        }
        seed += 1;
        let seconds = began.elapsed().as_secs();
        if seconds >= told + 10 {
            told = seconds;
            println!("seed {seed}: {tally:?}, {} states a minute", tally.states * 60 / seconds);
        }
    }
    println!("{tally:?}: nothing wrong");
    ExitCode::SUCCESS
}
