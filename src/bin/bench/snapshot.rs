//! `basalt-bench snapshot`: servers side by side, without a snapshot, with one, and started again.

use clap::Args;

use crate::machine;
use crate::page;
use crate::rig::{Rig, RigArgs};
use crate::round::{self, Round, Times};
use crate::run::check_seconds;
use crate::sample::Look;
use crate::scenario::{self, Name, Scenario};
use crate::stats;

/// What is compared.
#[derive(Args, Clone, Debug)]
pub struct SnapshotArgs {
    /// The situations, each with a page of its own
    #[arg(long, value_enum, value_delimiter = ',', default_value = "small")]
    scenario: Vec<Name>,
    /// Rounds, in each of which every server has its turn; figures are medians of them
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Under load without a snapshot, in seconds; and as long with the servers' cores kept busy
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Under load before anything is measured
    #[arg(long, default_value_t = 2.0)]
    warm: f64,
    /// Under load after the snapshot
    #[arg(long, default_value_t = 2.0)]
    after: f64,
    /// A snapshot that takes longer is an error
    #[arg(long, default_value_t = 300.0)]
    snapshot_max: f64,
    /// A start on the files that takes longer is an error
    #[arg(long, default_value_t = 300.0)]
    load_max: f64,
    /// Times the keys or fields of the scenario
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Requests a second, instead of the scenario's
    #[arg(long)]
    rate: Option<f64>,
    /// Bytes of a value, instead of the scenario's
    #[arg(long)]
    value_bytes: Option<usize>,
    #[command(flatten)]
    rig: RigArgs,
}

impl SnapshotArgs {
    fn scenarios(&self) -> Result<Vec<Scenario>, String> {
        if !(1..=100).contains(&self.rounds) {
            return Err("--rounds is from 1 to 100".to_owned());
        }
        if !(0.0001..=1000.0).contains(&self.scale) {
            return Err("--scale is from 0.0001 to 1000".to_owned());
        }
        for (name, seconds) in [
            ("--seconds", self.seconds),
            ("--warm", self.warm),
            ("--after", self.after),
            ("--snapshot-max", self.snapshot_max),
            ("--load-max", self.load_max),
        ] {
            check_seconds(name, seconds)?;
        }
        let mut scenarios = scenario::chosen(&self.scenario);
        for scenario in &mut scenarios {
            *scenario = scenario.clone().scaled(self.scale);
            scenario.rate = self.rate.unwrap_or(scenario.rate);
            scenario.value_bytes = self.value_bytes.unwrap_or(scenario.value_bytes);
            if scenario.rate == 0.0 {
                return Err("--rate: a closed loop hides what is looked for here".to_owned());
            }
            scenario.load(crate::engine::Wait::Sleep)?;
        }
        Ok(scenarios)
    }
}

/// All rounds of one server.
#[derive(Clone, Debug)]
pub struct Series {
    /// The server's name.
    pub name: String,
    /// The rounds whose latencies count.
    pub rounds: Vec<Round>,
    /// The one in which memory was looked at.
    pub memory: Option<Round>,
}

impl Series {
    /// The median over the rounds of what is asked for.
    pub fn median(&self, figure: &dyn Fn(&Round) -> Option<f64>) -> Option<f64> {
        let figures: Vec<f64> = self.rounds.iter().filter_map(figure).collect();
        stats::median(&figures)
    }

    /// The round that stands for the others: its longest latency is in the middle.
    pub fn typical(&self) -> Option<&Round> {
        let worst = |round: &Round| round.with.all.last().copied().unwrap_or_default();
        let worst: Vec<f64> = self.rounds.iter().map(worst).collect();
        self.rounds.get(stats::median_at(&worst))
    }
}

/// Does it, and writes a page for each scenario.
pub fn snapshot(args: &SnapshotArgs) -> Result<(), String> {
    let scenarios = args.scenarios()?;
    let most = scenarios.iter().map(Scenario::bytes).max().ok_or("no scenario")?;
    let mut rig = args.rig.rig(most)?;
    for scenario in &scenarios {
        one(&mut rig, scenario, args)?;
    }
    Ok(())
}

fn one(rig: &mut Rig, scenario: &Scenario, args: &SnapshotArgs) -> Result<(), String> {
    let times = Times {
        warm: args.warm,
        without: args.seconds,
        after: args.after,
        snapshot_max: args.snapshot_max,
        load_max: args.load_max,
    };
    let busy = machine::load();
    let names: Vec<String> = rig.specs.iter().map(|spec| spec.name.clone()).collect();
    let new = |name: &String| Series { name: name.clone(), rounds: Vec::new(), memory: None };
    let mut all: Vec<Series> = names.iter().map(new).collect();
    for number in 1..=args.rounds {
        for (server, series) in all.iter_mut().enumerate() {
            eprintln!("{}: {}, round {number} of {}", scenario.name, series.name, args.rounds);
            series.rounds.push(round::round(rig, server, scenario, &times, Look::Counters)?);
            eprintln!("  {}", tell(series));
        }
    }
    for (server, series) in all.iter_mut().enumerate() {
        eprintln!("{}: {}, memory", scenario.name, series.name);
        series.memory = Some(round::round(rig, server, scenario, &times, Look::Memory)?);
    }
    page::write(rig, scenario, &all, args.rounds, busy)
}

/// The last round in a line.
fn tell(series: &Series) -> String {
    let Some(round) = series.rounds.last() else { return String::new() };
    let at = |values: &[f64], n: usize| stats::short_or_none(values.get(n).copied());
    format!(
        "p50 {} -> {} us, p99.9 {} -> {} us, max {} -> {} us; snapshot {:.2} s; load {} s\n  {}",
        at(&round.without.all, 0),
        at(&round.with.all, 0),
        at(&round.without.all, 2),
        at(&round.with.all, 2),
        at(&round.without.all, 4),
        at(&round.with.all, 4),
        round.with.seconds,
        stats::short_or_none(round.load),
        round.own.tell()
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: SnapshotArgs,
    }

    fn scenarios(words: &[&str]) -> Result<Vec<Scenario>, String> {
        Line::try_parse_from([&["x"], words].concat()).expect("options").args.scenarios()
    }

    #[test]
    fn options_are_kept_or_refused() {
        let words = ["--scenario", "hash,always", "--scale", "0.01", "--rate", "5"];
        let found = scenarios(&words).expect("scenarios");
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|one| one.rate == 5.0));
        assert_eq!(found[0].elements(), 70_000);
        for (words, name) in [
            (["--rounds", "0"], "--rounds"),
            (["--scale", "0"], "--scale"),
            (["--rate", "0"], "--rate"),
            (["--seconds", "1e9"], "--seconds"),
            (["--value-bytes", "99999999"], "--value-bytes"),
        ] {
            let why = scenarios(&words).expect_err(name);
            assert!(why.contains(name), "{why}");
        }
    }
}
