//! The page of one scenario: a table, pictures, and the figures as CSV and JSON.

use hdrhistogram::Histogram;

use crate::json::{Csv, Json};
use crate::machine;
use crate::recorder::{SLOT_NANOS, histogram};
use crate::rig::Rig;
use crate::round::{Judged, Round};
use crate::sample::Sample;
use crate::scenario::Scenario;
use crate::snapshot::Series;
use crate::stats::{self, PERCENTILES};
use crate::svg::{self, Axis, Chart, Span, Stroke};

const MIB: f64 = 1_048_576.0;

/// How a figure is had from something.
type From<T> = Box<dyn Fn(&T) -> Option<f64>>;

/// What a figure is had from.
enum Of {
    /// From a stretch of the load.
    Stretch(From<Judged>),
    /// From the snapshot itself: it stands in the column of that.
    Snapshot(From<Round>),
}

/// A column of a table: a stretch of the load.
struct Column {
    name: &'static str,
    of: fn(&Round) -> Option<&Judged>,
    stroke: Stroke,
}

/// In the order in which they are shown; the last is the snapshot's.
const COLUMNS: [Column; 3] = [
    Column { name: "without", of: |round| Some(&round.without), stroke: Stroke::Dashed },
    Column { name: "busy", of: |round| round.busy.as_ref(), stroke: Stroke::Dotted },
    Column { name: WITH, of: |round| Some(&round.with), stroke: Stroke::Solid },
];
const WITH: &str = "with";

/// A figure of a table: how it is called and how it is had from a round.
struct Figure {
    name: String,
    of: Of,
}

impl Figure {
    /// Does it say how much was measured, not how well?
    fn is_count(&self) -> bool {
        ["requests measured", "writes among them"].contains(&self.name.as_str())
    }

    fn at(&self, round: &Round, column: &Column) -> Option<f64> {
        match &self.of {
            Of::Stretch(of) => (column.of)(round).and_then(of),
            Of::Snapshot(of) => of(round).filter(|_| column.name == WITH),
        }
    }

    /// The median over the rounds.
    fn median(&self, series: &Series, column: &Column) -> Option<f64> {
        series.median(&|round| self.at(round, column))
    }
}

/// A figure of each stretch of the load.
fn of_each(name: String, of: impl Fn(&Judged) -> Option<f64> + 'static) -> Figure {
    Figure { name, of: Of::Stretch(Box::new(of)) }
}

/// A figure of the snapshot itself.
fn of_one(name: &str, of: impl Fn(&Round) -> Option<f64> + 'static) -> Figure {
    Figure { name: name.to_owned(), of: Of::Snapshot(Box::new(of)) }
}

fn figures() -> Vec<Figure> {
    let mut all = Vec::new();
    for (i, (name, _)) in PERCENTILES.iter().enumerate() {
        all.push(of_each(format!("{name}, us"), move |judged| judged.all.get(i).copied()));
    }
    // Where there are both, each by itself.
    let mixed = |judged: &Judged| judged.reads.is_some() && judged.writes.is_some();
    for (i, (name, _)) in PERCENTILES.iter().enumerate().filter(|(i, _)| [1, 2].contains(i)) {
        let reads = move |judged: &Judged| judged.reads.as_ref()?.get(i).copied();
        let writes = move |judged: &Judged| judged.writes.as_ref()?.get(i).copied();
        all.push(of_each(format!("{name} of reads, us"), move |judged| {
            reads(judged).filter(|_| mixed(judged))
        }));
        all.push(of_each(format!("{name} of writes, us"), move |judged| {
            writes(judged).filter(|_| mixed(judged))
        }));
    }
    all.push(of_each("longest stall, ms".to_owned(), |judged| Some(judged.silence_ms)));
    all.push(of_each("requests measured".to_owned(), |judged| Some(judged.count as f64)));
    all.push(of_each("writes among them".to_owned(), |judged| Some(judged.changes as f64)));
    all.push(of_each("server CPU, s".to_owned(), |judged| Some(judged.cpu)));
    all.push(of_each("taken by the host, ms".to_owned(), |judged| Some(judged.stolen_ms)));
    all.push(of_one("CPU beyond the load's, s", |round| Some(round.extra_cpu)));
    all.push(of_one("snapshot, s", |round| Some(round.with.seconds)));
    all.push(of_one("snapshot, MiB", |round| Some(round.bytes as f64 / MIB)));
    all.push(of_one("written to the device, MiB", |round| Some(round.written / MIB)));
    all.push(of_one("start on it, s", |round| round.load));
    all
}

/// Writes everything.
pub fn write(
    rig: &Rig,
    scenario: &Scenario,
    all: &[Series],
    rounds: u32,
    busy: f64,
) -> Result<(), String> {
    let stem = format!("{}-snapshot-{}", machine::today(), scenario.name);
    rig.write(&format!("{stem}-latency.svg"), &svg::render(&over_time(scenario, all)))?;
    rig.write(&format!("{stem}-memory.svg"), &svg::render(&memory(scenario, all)))?;
    rig.write(&format!("{stem}-distribution.svg"), &svg::render(&distribution(scenario, all)))?;
    rig.write(&format!("{stem}.csv"), table(all).text())?;
    rig.write(&format!("{stem}-timeline.csv"), timeline(all).text())?;
    rig.write(&format!("{stem}.json"), &format!("{}\n", json(rig, scenario, all)))?;
    rig.write(&format!("{stem}.md"), &page(rig, scenario, all, (rounds, busy, &stem)))
}

fn page(rig: &Rig, scenario: &Scenario, all: &[Series], made: (u32, f64, &str)) -> String {
    let (rounds, busy, stem) = made;
    let mut out = format!("# {}\n\n{}\n\n", scenario.title, scenario.tell());
    out.push_str(&rig.head(busy));
    for spec in rig.specs.iter().filter(|spec| !spec.takes_options()) {
        out.push_str(&format!(
            "`{}` takes no settings of the scenario: it persists as its own defaults say.\n\n",
            spec.name
        ));
    }
    let rounds = stats::rounds(rounds);
    out.push_str(&format!(
        "Medians of {rounds}, in each of which the servers took turns. *Without* is the load \
         alone, *busy* the same while a loop that gives way to everything (SCHED_IDLE) keeps the \
         servers' cores busy, which is what the machine does to any busy core; *with* is the time \
         from the order to the end of the snapshot, as INFO told it (asked each 25 ms): a longer \
         snapshot has a longer window, so a stall of the same length weighs less in \
         its percentiles; the maximum and the longest stall (the longest time in which somebody \
         waited and nothing was answered) do not depend on that. Memory was looked at in a run of \
         its own, since looking disturbs.\n\n"
    ));
    out.push_str(&markdown(all));
    out.push_str(&ahead(all));
    out.push_str(&honesty(all));
    for (picture, what) in [
        ("latency", "Longest latency of the requests due in each 10 ms, in the typical round"),
        ("memory", "Memory of all processes of a server"),
        ("distribution", "Distribution of latencies, all rounds together"),
    ] {
        out.push_str(&format!("![{what}]({stem}-{picture}.svg)\n\n"));
    }
    out.push_str(&format!(
        "[Every round]({stem}.csv), [each 10 ms of the typical rounds]({stem}-timeline.csv), [all \
         of it]({stem}.json).\n"
    ));
    out
}

/// The most memory beyond what there was before the order, in MiB.
fn extra(series: &Series) -> Option<f64> {
    series.memory.as_ref()?.extra_memory.map(|bytes| bytes as f64 / MIB)
}

fn markdown(all: &[Series]) -> String {
    let columns = columns(all);
    let mut out = String::from("| |");
    for series in all {
        columns.iter().for_each(|one| out.push_str(&format!(" {} {} |", series.name, one.name)));
    }
    out.push_str(&format!("\n|---|{}\n", "---:|".repeat(all.len() * columns.len())));
    for figure in figures() {
        let cells: Vec<_> = all
            .iter()
            .flat_map(|series| columns.iter().map(|column| figure.median(series, column)))
            .collect();
        if cells.iter().any(Option::is_some) {
            let shown = cells.iter().map(|cell| cell.map(stats::short).unwrap_or_default());
            let shown: Vec<String> = shown.collect();
            out.push_str(&format!("| {} | {} |\n", figure.name, shown.join(" | ")));
        }
    }
    out.push_str("| extra memory, MiB |");
    for series in all {
        out.push_str(&" |".repeat(columns.len() - 1));
        out.push_str(&format!(" {} |", stats::short_or_none(extra(series))));
    }
    out.push_str("\n\n");
    out
}

/// The columns in which there is something.
fn columns(all: &[Series]) -> Vec<&'static Column> {
    let rounds = || all.iter().flat_map(|series| &series.rounds);
    COLUMNS.iter().filter(|column| rounds().any(|round| (column.of)(round).is_some())).collect()
}

/// Where a peer is better than ours by more than a hundredth: said, not left to be found.
fn ahead(all: &[Series]) -> String {
    let Some((ours, peers)) = all.split_first() else { return String::new() };
    let mut out = String::new();
    for peer in peers {
        let mut points = Vec::new();
        for figure in figures().iter().filter(|figure| !figure.is_count()) {
            for column in columns(all) {
                let (a, b) = (figure.median(ours, column), figure.median(peer, column));
                if let (Some(a), Some(b)) = (a, b)
                    && b < a * 0.99
                {
                    let when = match figure.of {
                        Of::Stretch(_) => format!(" {}", column.name),
                        Of::Snapshot(_) => String::new(),
                    };
                    let (a, b) = (stats::short(a), stats::short(b));
                    points.push(format!("{}{when} {b} against {a}", figure.name));
                }
            }
        }
        if let (Some(a), Some(b)) = (extra(ours), extra(peer))
            && b < a * 0.99
        {
            points.push(format!(
                "extra memory, MiB {} against {}",
                stats::short(b),
                stats::short(a)
            ));
        }
        let points = if points.is_empty() { "nowhere here".to_owned() } else { points.join("; ") };
        out.push_str(&format!("Where {} is ahead: {points}.\n\n", peer.name));
    }
    out
}

/// What the generator says of itself, of the worst round of each server.
fn honesty(all: &[Series]) -> String {
    let mut out = String::new();
    for series in all {
        let worst = series.rounds.iter().max_by_key(|round| round.own.late_p99);
        if let Some(worst) = worst {
            out.push_str(&format!("- {}, its latest round: {}\n", series.name, worst.own.tell()));
        }
    }
    out.push('\n');
    out
}

fn table(all: &[Series]) -> Csv {
    let figures = figures();
    let mut csv = Csv::new(&["server", "round", "phase", "figure", "value"]);
    for series in all {
        for (number, round) in (1..).zip(&series.rounds) {
            let mut row = |phase: &str, name: &str, value: Option<f64>| {
                if let Some(value) = value {
                    let (round, value) = (format!("{number}"), format!("{value:.3}"));
                    csv.row(&[
                        series.name.clone(),
                        round,
                        phase.to_owned(),
                        name.to_owned(),
                        value,
                    ]);
                }
            };
            for figure in &figures {
                for column in &COLUMNS {
                    row(column.name, &figure.name, figure.at(round, column));
                }
            }
            row("all", "generator late p99, us", Some(round.own.late_p99 as f64));
            row("all", "generator busy", Some(round.own.busy));
        }
        let name = series.name.clone();
        let extra = extra(series).map_or_else(String::new, |extra| format!("{extra:.3}"));
        csv.row(&[name, "memory".into(), "with".into(), "extra memory, MiB".into(), extra]);
    }
    csv
}

/// Seconds from the order to a moment of a round.
fn since(round: &Round, nanos: u64) -> f64 {
    (nanos as f64 - round.trigger as f64) / 1e9
}

fn timeline(all: &[Series]) -> Csv {
    let mut csv = Csv::new(&["server", "seconds", "max_us", "count", "generator_late_us"]);
    for series in all {
        let Some(round) = series.typical() else { continue };
        for (slot, at) in round.slots.iter().zip(0_u64..) {
            csv.row(&[
                series.name.clone(),
                format!("{:.2}", since(round, at * SLOT_NANOS)),
                slot.max_us.to_string(),
                slot.count.to_string(),
                slot.late_us.to_string(),
            ]);
        }
    }
    csv
}

fn json(rig: &Rig, scenario: &Scenario, all: &[Series]) -> Json {
    let figures = figures();
    let value = |name: &str, value| (name.to_owned(), Json::maybe(value));
    let rounds = |series: &Series| {
        let one = |round: &Round| {
            let mut pairs = Vec::new();
            for figure in &figures {
                for column in &COLUMNS {
                    let name = format!("{} {}", figure.name, column.name);
                    if let Some(figure) = figure.at(round, column) {
                        pairs.push(value(&name, Some(figure)));
                    }
                }
            }
            Json::Object(pairs)
        };
        Json::List(series.rounds.iter().map(one).collect())
    };
    let samples = |series: &Series| {
        let Some(round) = &series.memory else { return Json::List(Vec::new()) };
        let one = |sample: &Sample| {
            Json::object(&[
                ("s", Json::Number(since(round, sample.at))),
                ("pss_bytes", Json::maybe(sample.pss.map(|bytes| bytes as f64))),
                ("resident_bytes", Json::Number(sample.resident as f64)),
                ("cpu_s", Json::Number(sample.cpu)),
                ("written_bytes", Json::Number(sample.written as f64)),
            ])
        };
        Json::List(round.samples.iter().map(one).collect())
    };
    let servers = all.iter().zip(&rig.versions).map(|(series, version)| {
        Json::object(&[
            ("name", Json::text(&series.name)),
            ("version", Json::text(version.as_deref().unwrap_or("unknown"))),
            ("rounds", rounds(series)),
            ("extra_memory_mib", Json::maybe(extra(series))),
            ("memory_samples", samples(series)),
        ])
    });
    Json::object(&[
        ("command", Json::Text(machine::command_line())),
        ("machine", Json::Text(rig.machine.tell())),
        ("date", Json::Text(machine::today())),
        ("scenario", Json::Text(scenario.tell())),
        ("servers", Json::List(servers.collect())),
    ])
}

fn over_time(scenario: &Scenario, all: &[Series]) -> Chart {
    let mut series = Vec::new();
    let mut spans = Vec::new();
    let (mut first, mut last, mut highest, mut lowest) = (0.0_f64, 1.0_f64, 1.0_f64, 1e9_f64);
    for (color, server) in all.iter().enumerate() {
        let Some(round) = server.typical() else { continue };
        let slots = round.slots.iter().zip(0_u64..).filter(|(slot, _)| slot.count > 0);
        let points: Vec<(f64, f64)> = slots
            .map(|(slot, at)| (since(round, at * SLOT_NANOS), f64::from(slot.max_us)))
            .collect();
        first = points.first().map_or(first, |(x, _)| first.min(*x));
        last = points.last().map_or(last, |(x, _)| last.max(*x));
        highest = points.iter().fold(highest, |high, (_, y)| high.max(*y));
        lowest = points.iter().fold(lowest, |low, (_, y)| low.min(*y));
        let name = server.name.clone();
        series.push(svg::Series { name, color, stroke: Stroke::Solid, points });
        spans.push(span(server, round, color));
    }
    Chart {
        title: format!("{}: longest latency in each 10 ms", scenario.title),
        x: Axis::linear("seconds since the order to snapshot", first, last, 12),
        y: Axis::latency("latency from the due time", lowest, highest),
        series,
        spans,
    }
}

fn span(series: &Series, round: &Round, color: usize) -> Span {
    let to = since(round, round.end);
    Span { name: format!("{}: snapshot, {to:.2} s", series.name), color, from: 0.0, to }
}

fn memory(scenario: &Scenario, all: &[Series]) -> Chart {
    let mut series = Vec::new();
    let mut spans = Vec::new();
    let (mut first, mut last, mut highest) = (0.0_f64, 1.0_f64, 1.0_f64);
    for (color, server) in all.iter().enumerate() {
        let Some(round) = &server.memory else { continue };
        let point = |sample: &Sample| Some((since(round, sample.at), sample.pss? as f64 / MIB));
        let points: Vec<(f64, f64)> = round.samples.iter().filter_map(point).collect();
        first = points.first().map_or(first, |(x, _)| first.min(*x));
        last = points.last().map_or(last, |(x, _)| last.max(*x));
        highest = points.iter().fold(highest, |high, (_, y)| high.max(*y));
        let name = server.name.clone();
        series.push(svg::Series { name, color, stroke: Stroke::Solid, points });
        spans.push(span(server, round, color));
    }
    Chart {
        title: format!("{}: memory of all processes", scenario.title),
        x: Axis::linear("seconds since the order to snapshot", first, last, 12),
        y: Axis::linear("proportional set size, MiB", 0.0, highest * 1.05, 6),
        series,
        spans,
    }
}

fn distribution(scenario: &Scenario, all: &[Series]) -> Chart {
    let mut series = Vec::new();
    let (mut lowest, mut highest) = (1e9_f64, 1.0_f64);
    for (color, server) in all.iter().enumerate() {
        for column in columns(all) {
            let mut sum = histogram();
            for judged in server.rounds.iter().filter_map(column.of) {
                sum.add(&judged.latencies).expect("the same bounds");
            }
            let points = tail(&sum);
            lowest = points.iter().fold(lowest, |low, (_, y)| low.min(*y));
            highest = points.iter().fold(highest, |high, (_, y)| high.max(*y));
            series.push(svg::Series {
                name: format!("{} {}", server.name, column.name),
                color,
                stroke: column.stroke,
                points,
            });
        }
    }
    Chart {
        title: format!("{}: latencies", scenario.title),
        x: Axis::nines("share of the requests that took at most so long"),
        y: Axis::latency("latency from the due time", lowest, highest),
        series,
        spans: Vec::new(),
    }
}

/// Latency over the number of nines, as far as there are requests to tell.
fn tail(histogram: &Histogram<u64>) -> Vec<(f64, f64)> {
    let nines = (histogram.len().max(1) as f64).log10().min(5.0);
    let steps = (0..=200).map(|n| f64::from(n) / 40.0).filter(|x| *x <= nines);
    steps.map(|x| (x, histogram.value_at_quantile(1.0 - 10_f64.powf(-x)).max(1) as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recorder::Slot;
    use crate::verdict::Own;

    fn judged(max: f64) -> Judged {
        let mut latencies = histogram();
        latencies.saturating_record(max as u64);
        Judged {
            latencies,
            all: vec![30.0, 60.0, 90.0, 95.0, max],
            reads: None,
            writes: Some(vec![30.0, 60.0, 90.0, 95.0, max]),
            count: 1,
            changes: 1,
            silence_ms: 1.0,
            cpu: 1.0,
            stolen_ms: 0.0,
            seconds: 2.0,
        }
    }

    fn series(name: &str, max: f64) -> Series {
        let own = Own { busy: 0.1, late_p99: 5, late_max: 9, latency_p99: 60 };
        let round = Round {
            busy: Some(judged(110.0)),
            without: judged(100.0),
            with: judged(max),
            trigger: 100_000_000,
            end: 2_100_000_000,
            bytes: 3 << 20,
            written: MIB,
            extra_cpu: 0.5,
            extra_memory: Some(5 << 20),
            load: Some(0.3),
            own,
            slots: vec![Slot { max_us: 80, count: 3, late_us: 1 }; 30],
            samples: vec![Sample {
                at: 5,
                cpu: 0.0,
                written: 0,
                stolen: 0.0,
                resident: 1,
                pss: Some(9 << 20),
            }],
        };
        Series { name: name.to_owned(), rounds: vec![round.clone()], memory: Some(round) }
    }

    #[test]
    fn the_table_names_both_and_says_who_is_ahead() {
        let all = [series("basalt", 500.0), series("redis", 400.0)];
        let text = markdown(&all);
        assert!(text.contains("| max, us | 100 | 110 | 500 | 100 | 110 | 400 |"), "{text}");
        assert!(text.contains("| start on it, s |  |  | 0.30 |  |  | 0.30 |"), "{text}");
        assert!(text.contains("| extra memory, MiB | | | 5.00 | | | 5.00 |"), "{text}");
        // There are no reads here, so there is no row of them.
        assert!(!text.contains("of reads"), "{text}");
        let told = ahead(&all);
        assert_eq!(told, "Where redis is ahead: max, us with 400 against 500.\n\n");
    }

    #[test]
    fn pictures_and_tables_have_both() {
        let all = [series("basalt", 500.0), series("redis", 400.0)];
        let scenario = crate::scenario::chosen(&[crate::scenario::Name::Small]).remove(0);
        for chart in [over_time(&scenario, &all), memory(&scenario, &all)] {
            assert_eq!((chart.series.len(), chart.spans.len()), (2, 2));
            assert!(chart.series.iter().all(|series| !series.points.is_empty()));
        }
        assert_eq!(distribution(&scenario, &all).series.len(), 6);
        assert_eq!(timeline(&all).text().lines().count(), 61);
        assert!(table(&all).text().contains("redis,1,with,\"max, us\",400.000"));
    }
}
