//! Whether a mistake that is made on purpose is found, by which run and by which seed.

use crate::base::mutant::{MUTANTS, Mutant};
use crate::testing::bug::{BUGS, Bug};
use crate::testing::kit::{self, Tally};
use crate::testing::snapshot;
use crate::testing::workload::Workload;

/// A mistake on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mistake {
    /// Of the shell, repeated in the simulated one.
    Shell(Bug),
    /// In the product's own code.
    Product(Mutant),
}

/// A run that may find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trial {
    /// Transfers between accounts, crashes at any moment.
    Transactions,
    /// All commands, crashes at any moment.
    Crash,
    /// A base that is written while everything changes.
    Snapshot,
}

/// Every trial.
pub const TRIALS: [Trial; 3] = [Trial::Transactions, Trial::Crash, Trial::Snapshot];

impl Trial {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Trial::Transactions => "transactions",
            Trial::Crash => "crash",
            Trial::Snapshot => "snapshot",
        }
    }

    /// The run of one seed; what is wrong.
    pub fn run(self, seed: u64, bug: Option<Bug>, tally: &mut Tally) -> Result<(), String> {
        match self {
            Trial::Transactions => kit::run(seed, Workload::Bank, bug, tally),
            Trial::Crash => kit::run(seed, Workload::Mixed, bug, tally),
            Trial::Snapshot => snapshot::run(seed, tally),
        }
    }
}

impl Mistake {
    /// Its name.
    pub fn name(self) -> String {
        match self {
            Mistake::Shell(bug) => format!("{bug:?}"),
            Mistake::Product(mutant) => format!("{mutant:?} (product)"),
        }
    }

    /// Does the work with this mistake, which gets what the machine has to be told of it.
    pub fn during<T>(self, work: impl FnOnce(Option<Bug>) -> T) -> T {
        match self {
            Mistake::Shell(bug) => work(Some(bug)),
            Mistake::Product(mutant) => mutant.during(|| work(None)),
        }
    }
}

/// All of them.
pub fn mistakes() -> Vec<Mistake> {
    let shell = BUGS.into_iter().map(Mistake::Shell);
    shell.chain(MUTANTS.into_iter().map(Mistake::Product)).collect()
}
