//! `basalt-bench compare`: what commands cost, what keys take, what durability and starts cost.

use clap::Args;

use crate::crowded;
use crate::json::{Csv, Json};
use crate::load;
use crate::machine;
use crate::matrix;
use crate::mix::Mix;
use crate::rig::{Rig, RigArgs};
use crate::run::check_seconds;
use crate::stats;
use crate::svg::{self, Bars, Kind};
use crate::trial::{self, Closed, From, VOLATILE, logged, strings};
use crate::types::{self, Plan};
use crate::verdict::Verdict;
use crate::whole;

/// A part of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// SET and GET in a closed loop, 1, 16 and 50 at a time
    Commands,
    /// Bytes of memory for each key, field or member
    Memory,
    /// SET without a pipeline under always and everysec
    Durable,
    /// SET without a pipeline, without a log and under everysec, on a disk that others fill
    Crowded,
    /// A start from a snapshot and from a log
    Recovery,
    /// Basalt with one shard a core, on one core and more
    Scaling,
    /// Commands that answer as one: what each element costs
    Whole,
    /// A command of each kind, asked by redis-benchmark and by memtier_benchmark if it is on PATH
    Types,
}

impl Part {
    fn title(self) -> &'static str {
        match self {
            Part::Commands => "Commands: closed loop, 50 connections, appendfsync everysec",
            Part::Memory => "Memory: bytes of each key, or element of a collection, without a log",
            Part::Durable => "Durable writes: SET without a pipeline, 50 connections",
            Part::Crowded => "A disk that others fill: SET, an open loop of 10000 a second",
            Part::Recovery => "Starts: from the process' start to the first answer",
            Part::Scaling => "Shards: SET and GET, 16 at a time",
            Part::Whole => "Commands that answer as one: how long an element holds its core",
            Part::Types => "Types: redis-benchmark's requests, 50 connections, without a log",
        }
    }
}

/// What is compared.
#[derive(Args, Clone, Debug)]
pub struct CompareArgs {
    /// Which parts
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "commands,memory,durable,crowded,recovery,scaling,whole"
    )]
    part: Vec<Part>,
    /// Rounds, in each of which every server has its turn; figures are medians of them
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Each measurement of a closed loop, in seconds
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Keys, where it is not about memory
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
    /// Times the number of elements in the parts about elements, and of keys that a start loads
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    #[command(flatten)]
    rig: RigArgs,
}

/// An open loop takes so many times as long as a closed one: its rarest waits count.
const CROWDED_TIMES: f64 = 10.0;
/// Keys that a start loads.
const LOADED: f64 = 5_000_000.0;

impl CompareArgs {
    fn check(&self) -> Result<(), String> {
        if !(1..=100).contains(&self.rounds) {
            return Err("--rounds is from 1 to 100".to_owned());
        }
        if !(0.0001..=100.0).contains(&self.scale) {
            return Err("--scale is from 0.0001 to 100".to_owned());
        }
        check_seconds("--seconds", self.seconds)?;
        strings(self.keys, 64).check()
    }

    /// About what one server needs, in bytes.
    fn bytes(&self) -> u64 {
        let loaded = (LOADED * self.scale) as u64 * 250;
        // A log of closed loops grows while they run.
        let logs = (self.seconds * 9.0 * 130e6) as u64;
        loaded.max(self.keys * 250 + logs)
    }
}

/// One figure of one thing, over all rounds.
#[derive(Clone, Debug)]
struct Cell {
    part: Part,
    what: String,
    figure: &'static str,
    server: usize,
    values: Vec<f64>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
struct Results {
    cells: Vec<Cell>,
    notes: Vec<String>,
}

impl Results {
    fn add(&mut self, part: Part, what: &str, server: usize, figures: &[(&'static str, f64)]) {
        for (figure, value) in figures {
            let same = |cell: &&mut Cell| {
                (cell.part, cell.what.as_str(), cell.figure, cell.server)
                    == (part, what, figure, server)
            };
            match self.cells.iter_mut().find(same) {
                Some(cell) => cell.values.push(*value),
                None => self.cells.push(Cell {
                    part,
                    what: what.to_owned(),
                    figure,
                    server,
                    values: vec![*value],
                }),
            }
        }
    }

    /// A closed loop's figures, and a note where the server could have done more.
    fn add_closed(&mut self, part: Part, what: &str, at: (usize, &str), closed: &Closed) {
        let (server, name) = at;
        eprintln!(
            "  {what}: {:.0} a second, {} us of CPU each",
            closed.per_second,
            stats::short(closed.cpu_us)
        );
        let figures = [
            ("requests a second", closed.per_second),
            ("server CPU each, us", closed.cpu_us),
            ("p50, us", closed.p50),
            ("p99, us", closed.p99),
        ];
        self.add(part, what, server, &figures);
        if closed.verdict == Verdict::Saturated {
            let note = format!("{name}, {what}: the generator was the bottleneck");
            self.note(&format!("{note}: the server could do more than this"));
        }
    }

    fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|other| other == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// Things of a part, each with its figures, in the order in which they were measured.
    fn rows(&self, part: Part) -> Vec<(&str, &'static str)> {
        let mut rows: Vec<(&str, &'static str)> = Vec::new();
        for cell in self.cells.iter().filter(|cell| cell.part == part) {
            let row = (cell.what.as_str(), cell.figure);
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
        rows
    }

    fn median(&self, part: Part, row: (&str, &str), server: usize) -> Option<f64> {
        let cell = self.cells.iter().find(|cell| {
            (cell.part, cell.what.as_str(), cell.figure, cell.server)
                == (part, row.0, row.1, server)
        })?;
        stats::median(&cell.values)
    }
}

/// Does it, and writes the page.
pub fn compare(args: &CompareArgs) -> Result<(), String> {
    args.check()?;
    let mut rig = args.rig.rig(args.bytes())?;
    let busy = machine::load();
    let mut results = Results::default();
    let count = rig.specs.len();
    let plan = args.part.contains(&Part::Types);
    let plan = plan.then(|| types::plan(&mut rig, args.keys, args.seconds)).transpose()?;
    for number in 1..=args.rounds {
        for server in 0..count {
            let spec = rig.specs.get(server).cloned().ok_or("no such server")?;
            // Without settings a server's log is whatever its defaults are: not comparable.
            let told = spec.takes_options();
            eprintln!("{}, round {number} of {}", spec.name, args.rounds);
            if args.part.contains(&Part::Commands) {
                commands(&mut rig, server, args, &mut results)?;
            }
            if args.part.contains(&Part::Durable) && told {
                durable(&mut rig, server, args, &mut results)?;
            }
            if args.part.contains(&Part::Crowded) && told {
                crowded(&mut rig, server, args, &mut results)?;
            }
            if args.part.contains(&Part::Recovery) && told {
                recovery(&mut rig, server, args, &mut results)?;
            }
            if args.part.contains(&Part::Whole) {
                for (what, nanos) in whole::turn(&mut rig, server, args.scale)? {
                    eprintln!("  {what}: {} ns each", stats::short(nanos));
                    results.add(Part::Whole, &what, server, &[("ns each", nanos)]);
                }
            }
            if let Some(plan) = &plan {
                by_type(&mut rig, server, plan, &mut results)?;
            }
            // Memory does not vary from round to round.
            if args.part.contains(&Part::Memory) && number == 1 {
                memory(&mut rig, server, args, &mut results)?;
            }
        }
        if args.part.contains(&Part::Scaling) {
            scaling(&mut rig, args, &mut results)?;
        }
    }
    write(&rig, args, &results, busy)
}

fn commands(
    rig: &mut Rig,
    server: usize,
    args: &CompareArgs,
    results: &mut Results,
) -> Result<(), String> {
    let (mut running, _, _control) = rig.start(server, &logged("everysec"))?;
    let name = rig.specs.get(server).map(|spec| spec.name.clone()).unwrap_or_default();
    let data = strings(args.keys, 64);
    let mut all = || {
        load::fill(&Mix::parse("set")?, &data, running.address)?;
        for pipeline in [1, 16, 50] {
            for command in ["set", "get"] {
                let closed = trial::closed(&running, command, &data, pipeline, args.seconds)?;
                let what = format!("{} P{pipeline}", command.to_uppercase());
                results.add_closed(Part::Commands, &what, (server, &name), &closed);
            }
        }
        Ok(())
    };
    all().map_err(|why: String| running.explain(&why))
}

fn durable(
    rig: &mut Rig,
    server: usize,
    args: &CompareArgs,
    results: &mut Results,
) -> Result<(), String> {
    let name = rig.specs.get(server).map(|spec| spec.name.clone()).unwrap_or_default();
    for policy in ["always", "everysec"] {
        let (mut running, _, _control) = rig.start(server, &logged(policy))?;
        let data = strings(args.keys, 64);
        let closed = trial::closed(&running, "set", &data, 1, args.seconds)
            .map_err(|why| running.explain(&why))?;
        results.add_closed(Part::Durable, policy, (server, &name), &closed);
    }
    Ok(())
}

fn crowded(
    rig: &mut Rig,
    server: usize,
    args: &CompareArgs,
    results: &mut Results,
) -> Result<(), String> {
    let seconds = args.seconds * CROWDED_TIMES;
    for (policy, values) in crowded::turn(rig, server, &strings(args.keys, 64), seconds)? {
        let names = ["p50, us", "p99, us", "p99.9, us", "p99.99, us", "max, us"];
        let figures: Vec<(&'static str, f64)> = names.into_iter().zip(values).collect();
        let told: Vec<String> = figures.iter().map(|(_, us)| stats::short(*us)).collect();
        eprintln!("  {policy}, a crowded disk: {} us", told.join(", "));
        results.add(Part::Crowded, policy, server, &figures);
    }
    Ok(())
}

fn recovery(
    rig: &mut Rig,
    server: usize,
    args: &CompareArgs,
    results: &mut Results,
) -> Result<(), String> {
    let keys = (LOADED * args.scale).max(1000.0) as u64;
    for (what, from) in [("snapshot", From::Snapshot), ("log", From::Log)] {
        let seconds = trial::recovery(rig, server, from, &strings(keys, 64))?;
        let what = format!("{keys} keys from a {what}");
        eprintln!("  {what}: {seconds:.2} s");
        let figures = [("seconds", seconds), ("keys a second", keys as f64 / seconds)];
        results.add(Part::Recovery, &what, server, &figures);
    }
    Ok(())
}

fn memory(
    rig: &mut Rig,
    server: usize,
    args: &CompareArgs,
    results: &mut Results,
) -> Result<(), String> {
    for row in matrix::rows(args.scale) {
        let bytes = trial::bytes_each(rig, server, &row)?;
        eprintln!("  {}: {bytes:.1} bytes", row.what);
        results.add(Part::Memory, &row.what, server, &[("bytes", bytes)]);
    }
    Ok(())
}

fn by_type(rig: &mut Rig, server: usize, plan: &Plan, results: &mut Results) -> Result<(), String> {
    let turn = types::turn(rig, server, plan)?;
    turn.rows.iter().for_each(|(what, row)| results.add(Part::Types, what, server, row));
    plan.notes.iter().chain(&turn.notes).for_each(|note| results.note(note));
    Ok(())
}

/// One shard a core, on more and more cores; on all of them the generator has none of its own.
fn scaling(rig: &mut Rig, args: &CompareArgs, results: &mut Results) -> Result<(), String> {
    let before = rig.server_cores.clone();
    let cores = rig.machine.cores;
    let mut alone = [1.0; 2];
    let counts = (0..6).map(|power| 1_usize << power).filter(|shards| *shards <= cores);
    for shards in counts {
        let spec = args.rig.ours(u32::try_from(shards).unwrap_or(1))?;
        // From the last core down: the generator has the first.
        rig.server_cores = (cores - shards..cores).collect();
        let dir = rig.fresh("scaling")?;
        let patience = std::time::Duration::from_secs(60);
        let (mut running, _control, _) = rig.start_on(&spec, &dir, VOLATILE, patience)?;
        let data = strings(args.keys, 64);
        load::fill(&Mix::parse("set")?, &data, running.address)
            .map_err(|why| running.explain(&why))?;
        for (command, alone) in ["set", "get"].into_iter().zip(&mut alone) {
            let closed = trial::closed(&running, command, &data, 16, args.seconds)
                .map_err(|why| running.explain(&why))?;
            let shared = if shards == cores { ", the generator on the same cores" } else { "" };
            let what = format!("{}, shards: {shards}{shared}", command.to_uppercase());
            results.add_closed(Part::Scaling, &what, (0, "basalt"), &closed);
            if shards == 1 {
                *alone = closed.cpu_us;
            }
            // What they would do together if no generator were on their cores.
            let times = shards as f64 * *alone / closed.cpu_us;
            results.add(Part::Scaling, &what, 0, &[("times one shard, by CPU", times)]);
        }
    }
    rig.server_cores = before;
    Ok(())
}

/// What a page is about: of one part alone it says so, and leaves that of all in its place.
fn subject(parts: &[Part]) -> String {
    match parts {
        [part] => format!("compare-{part:?}").to_lowercase(),
        _ => "compare".to_owned(),
    }
}

fn write(rig: &Rig, args: &CompareArgs, results: &Results, busy: f64) -> Result<(), String> {
    let stem = format!("{}-{}", machine::today(), subject(&args.part));
    let names: Vec<&str> = rig.specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut page = format!("# {} beside each other\n\n{}", names.join(" and "), rig.head(busy));
    let rounds = stats::rounds(args.rounds);
    page.push_str(&format!(
        "Medians of {rounds}, in each of which the servers took turns; {} s each; {} keys of 16 \
         bytes with values of 64 unless said otherwise. CPU is user and system time of all \
         processes of a server.\n\n",
        args.seconds, args.keys
    ));
    for part in &args.part {
        // Scaling is about ours alone.
        let shown = if *part == Part::Scaling { names.get(..1) } else { None };
        page.push_str(&table(*part, shown.unwrap_or(&names), results));
    }
    for note in &results.notes {
        page.push_str(&format!("- {note}.\n"));
    }
    for (part, figure, picture, what) in [
        (Part::Commands, "server CPU each, us", "cpu", "CPU of the server for one command, us"),
        (Part::Memory, "bytes", "memory", "Bytes of memory for one element"),
    ] {
        if let Some(bars) = bars(part, figure, what, &names, results) {
            rig.write(&format!("{stem}-{picture}.svg"), &svg::render_bars(&bars))?;
            page.push_str(&format!("\n![{what}]({stem}-{picture}.svg)\n"));
        }
    }
    page.push_str(&format!("\n[Every round]({stem}.csv), [the same as JSON]({stem}.json).\n"));
    let (csv, json) = data(&names, results);
    rig.write(&format!("{stem}.csv"), csv.text())?;
    rig.write(&format!("{stem}.json"), &format!("{json}\n"))?;
    rig.write(&format!("{stem}.md"), &page)
}

fn table(part: Part, names: &[&str], results: &Results) -> String {
    let first = names.first().copied().unwrap_or_default();
    let mut out = format!("## {}\n\n| | |", part.title());
    names.iter().for_each(|name| out.push_str(&format!(" {name} |")));
    names.iter().skip(1).for_each(|name| out.push_str(&format!(" {first} / {name} |")));
    out.push_str(&format!("\n|---|---|{}\n", "---:|".repeat(names.len() * 2 - 1)));
    let mut last = "";
    for row in results.rows(part) {
        let values: Vec<Option<f64>> =
            (0..names.len()).map(|server| results.median(part, row, server)).collect();
        out.push_str(&format!("| {} | {} |", if row.0 == last { "" } else { row.0 }, row.1));
        last = row.0;
        for value in &values {
            out.push_str(&format!(" {} |", stats::short_or_none(*value)));
        }
        for value in values.iter().skip(1) {
            let ours = values.first().copied().flatten();
            let ratio = ours.zip(*value).map(|(ours, theirs)| ours / theirs);
            out.push_str(&format!(" {} |", stats::short_or_none(ratio)));
        }
        out.push('\n');
    }
    out.push('\n');
    out
}

fn bars(part: Part, figure: &str, title: &str, names: &[&str], results: &Results) -> Option<Bars> {
    let rows = results.rows(part).into_iter().filter(|row| row.1 == figure);
    let groups: Vec<(String, Vec<f64>)> = rows
        .map(|row| {
            let value = |server| results.median(part, row, server).unwrap_or(0.0);
            (row.0.to_owned(), (0..names.len()).map(value).collect())
        })
        .collect();
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let bars = Bars { title: title.to_owned(), names, groups, scale: Kind::Linear };
    (!bars.groups.is_empty()).then_some(bars)
}

fn data(names: &[&str], results: &Results) -> (Csv, Json) {
    let mut csv = Csv::new(&["part", "what", "figure", "server", "round", "value"]);
    let mut all = Vec::new();
    for cell in &results.cells {
        let part = format!("{:?}", cell.part).to_lowercase();
        let name = names.get(cell.server).copied().unwrap_or_default();
        for (value, round) in cell.values.iter().zip(1..) {
            let (what, figure) = (cell.what.clone(), cell.figure.to_owned());
            let (round, value) = (format!("{round}"), format!("{value:.3}"));
            csv.row(&[part.clone(), what, figure, name.to_owned(), round, value]);
        }
        all.push(Json::object(&[
            ("part", Json::Text(part)),
            ("what", Json::text(&cell.what)),
            ("figure", Json::text(cell.figure)),
            ("server", Json::text(name)),
            ("values", Json::List(cell.values.iter().map(|value| Json::Number(*value)).collect())),
        ]));
    }
    let json = Json::object(&[
        ("command", Json::Text(machine::command_line())),
        ("machine", Json::Text(machine::Machine::here().tell())),
        ("date", Json::Text(machine::today())),
        ("figures", Json::List(all)),
    ]);
    (csv, json)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: CompareArgs,
    }

    fn args(words: &[&str]) -> CompareArgs {
        Line::try_parse_from([&["x"], words].concat()).expect("options").args
    }

    #[test]
    fn options_are_kept_or_refused() {
        assert_eq!(args(&[]).part.len(), 7);
        assert_eq!(args(&["--part", "memory,scaling"]).part, [Part::Memory, Part::Scaling]);
        assert_eq!(args(&[]).check(), Ok(()));
        assert_eq!(subject(&args(&[]).part), "compare");
        assert_eq!(subject(&args(&["--part", "types"]).part), "compare-types");
        for words in [["--rounds", "0"], ["--scale", "0"], ["--seconds", "0"], ["--keys", "0"]] {
            assert!(args(&words).check().expect_err("refused").contains(words[0]));
        }
    }

    #[test]
    fn a_table_has_medians_and_ratios() {
        let mut results = Results::default();
        for value in [1.0, 9.0, 3.0] {
            results.add(Part::Memory, "key", 0, &[("bytes", value)]);
        }
        results.add(Part::Memory, "key", 1, &[("bytes", 6.0)]);
        let text = table(Part::Memory, &["basalt", "redis"], &results);
        assert!(text.contains("| | | basalt | redis | basalt / redis |"), "{text}");
        assert!(text.contains("| key | bytes | 3.00 | 6.00 | 0.50 |"), "{text}");
        let (csv, json) = data(&["basalt", "redis"], &results);
        assert_eq!(csv.text().lines().count(), 5);
        assert!(json.to_string().contains("\"values\":[1,9,3]"));
        let bars = bars(Part::Memory, "bytes", "x", &["basalt", "redis"], &results);
        assert_eq!(bars.expect("a picture").groups, [("key".to_owned(), vec![3.0, 6.0])]);
    }
}
