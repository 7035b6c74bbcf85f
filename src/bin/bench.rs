//! basalt-bench: loads for any server that speaks Redis' protocol, and snapshots beside forks.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[path = "bench/beside.rs"]
mod beside;
#[path = "bench/compare.rs"]
mod compare;
#[path = "bench/control.rs"]
mod control;
#[path = "bench/crowded.rs"]
mod crowded;
#[path = "bench/due.rs"]
mod due;
#[path = "bench/ends.rs"]
mod ends;
#[path = "bench/engine.rs"]
mod engine;
#[path = "bench/giant.rs"]
mod giant;
#[path = "bench/json.rs"]
mod json;
#[path = "bench/keys.rs"]
mod keys;
#[path = "bench/load.rs"]
mod load;
#[path = "bench/machine.rs"]
mod machine;
#[path = "bench/matrix.rs"]
mod matrix;
#[path = "bench/mix.rs"]
mod mix;
#[path = "bench/page.rs"]
mod page;
#[path = "bench/proc.rs"]
mod proc;
#[path = "bench/recorder.rs"]
mod recorder;
#[path = "bench/reply.rs"]
mod reply;
#[path = "bench/rig.rs"]
mod rig;
#[path = "bench/round.rs"]
mod round;
#[path = "bench/run.rs"]
mod run;
#[path = "bench/sample.rs"]
mod sample;
#[path = "bench/scenario.rs"]
mod scenario;
#[path = "bench/server.rs"]
mod server;
#[path = "bench/snapshot.rs"]
mod snapshot;
#[path = "bench/stalls.rs"]
mod stalls;
#[path = "bench/stats.rs"]
mod stats;
#[path = "bench/svg.rs"]
mod svg;
#[path = "bench/trial.rs"]
mod trial;
#[path = "bench/turns.rs"]
mod turns;
#[path = "bench/types.rs"]
mod types;
#[path = "bench/verdict.rs"]
mod verdict;
#[path = "bench/waits.rs"]
mod waits;
#[path = "bench/whole.rs"]
mod whole;

/// The servers' own: the control of a snapshot's slices goes through memory of the same kind.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Loads for any server that speaks Redis' protocol: latency from the time a request was due, the
/// server's CPU, memory and disk beside it, and pages that compare servers.
#[derive(Parser)]
#[command(name = "basalt-bench", version)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Puts a load on a server that runs already
    Run(Box<run::RunArgs>),
    /// Starts servers and compares them with and without a snapshot, after a restart, in memory
    Snapshot(snapshot::SnapshotArgs),
    /// Starts servers and compares throughput, CPU per command, bytes per key, durability, recovery
    Compare(compare::CompareArgs),
    /// Starts servers and finds who waits while something big happens to one key
    Stalls(stalls::StallsArgs),
    /// How the three before it start a server: pins this process and becomes the program
    #[command(hide = true)]
    Exec {
        /// The cores it may use
        #[arg(long, value_delimiter = ',')]
        cores: Vec<usize>,
        /// The process that it dies with
        #[arg(long)]
        parent: u32,
        /// The program and its words
        #[arg(last = true, required = true)]
        words: Vec<String>,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.task {
        Task::Exec { cores, parent, words } => return ends::exec(&cores, parent, &words),
        Task::Run(args) => ends::prepare().and_then(|()| run::run(&args)),
        Task::Snapshot(args) => ends::prepare().and_then(|()| snapshot::snapshot(&args)),
        Task::Compare(args) => ends::prepare().and_then(|()| compare::compare(&args)),
        Task::Stalls(args) => ends::prepare().and_then(|()| stalls::stalls(&args)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("basalt-bench: {why}");
            ExitCode::FAILURE
        }
    }
}
