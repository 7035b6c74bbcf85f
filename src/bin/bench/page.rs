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

/// How a figure is had from a round.
type Of = Box<dyn Fn(&Round) -> Option<f64>>;
/// How a stretch of the load is had from a round.
type Stretch = fn(&Round) -> &Judged;

/// A figure of a table: how it is called and how it is had from a round.
struct Figure {
    name: String,
    without: Option<Of>,
    with: Of,
}

impl Figure {
    /// Does it say how much was measured, not how well?
    fn is_count(&self) -> bool {
        ["requests measured", "writes among them"].contains(&self.name.as_str())
    }
}

/// A figure of a stretch of the load, with a snapshot and without.
fn of_both(name: String, of: impl Fn(&Judged) -> Option<f64> + Clone + 'static) -> Figure {
    let again = of.clone();
    Figure {
        name,
        without: Some(Box::new(move |round| of(&round.without))),
        with: Box::new(move |round| again(&round.with)),
    }
}

/// A figure of the snapshot itself.
fn of_one(name: &str, of: impl Fn(&Round) -> Option<f64> + 'static) -> Figure {
    Figure { name: name.to_owned(), without: None, with: Box::new(of) }
}

fn figures() -> Vec<Figure> {
    let mut all = Vec::new();
    for (i, (name, _)) in PERCENTILES.iter().enumerate() {
        all.push(of_both(format!("{name}, us"), move |judged| judged.all.get(i).copied()));
    }
    // Where there are both, each by itself.
    let mixed = |judged: &Judged| judged.reads.is_some() && judged.writes.is_some();
    for (i, (name, _)) in PERCENTILES.iter().enumerate().filter(|(i, _)| [1, 2].contains(i)) {
        let reads = move |judged: &Judged| judged.reads.as_ref()?.get(i).copied();
        let writes = move |judged: &Judged| judged.writes.as_ref()?.get(i).copied();
        all.push(of_both(format!("{name} of reads, us"), move |judged| {
            reads(judged).filter(|_| mixed(judged))
        }));
        all.push(of_both(format!("{name} of writes, us"), move |judged| {
            writes(judged).filter(|_| mixed(judged))
        }));
    }
    all.push(of_both("longest stall, ms".to_owned(), |judged| Some(judged.silence_ms)));
    all.push(of_both("requests measured".to_owned(), |judged| Some(judged.count as f64)));
    all.push(of_both("writes among them".to_owned(), |judged| Some(judged.changes as f64)));
    all.push(of_both("server CPU, s".to_owned(), |judged| Some(judged.cpu)));
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
         alone, *with* the time from the order to \
         the end of the snapshot, as INFO told it (asked each 25 \
         ms): a longer snapshot has a longer window, so a stall of the same length weighs less in \
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
    let mut out = String::from("| |");
    for series in all {
        out.push_str(&format!(" {0} without | {0} with |", series.name));
    }
    out.push_str(&format!("\n|---|{}\n", "---:|---:|".repeat(all.len())));
    for figure in figures() {
        let mut row = format!("| {} |", figure.name);
        let mut any = false;
        for series in all {
            let without = figure.without.as_ref().and_then(|of| series.median(of));
            let with = series.median(&figure.with);
            any |= with.is_some();
            let without = without.map(stats::short).unwrap_or_default();
            row.push_str(&format!(" {without} | {} |", stats::short_or_none(with)));
        }
        if any {
            out.push_str(&row);
            out.push('\n');
        }
    }
    out.push_str("| extra memory, MiB |");
    for series in all {
        out.push_str(&format!(" | {} |", stats::short_or_none(extra(series))));
    }
    out.push_str("\n\n");
    out
}

/// Where a peer is better than ours by more than a hundredth: said, not left to be found.
fn ahead(all: &[Series]) -> String {
    let Some((ours, peers)) = all.split_first() else { return String::new() };
    let mut out = String::new();
    for peer in peers {
        let mut points = Vec::new();
        for figure in figures().iter().filter(|figure| !figure.is_count()) {
            let mut compare = |when: &str, of: &dyn Fn(&Round) -> Option<f64>| {
                let (Some(a), Some(b)) = (ours.median(of), peer.median(of)) else { return };
                if b < a * 0.99 {
                    let (a, b) = (stats::short(a), stats::short(b));
                    points.push(format!("{}{when} {b} against {a}", figure.name));
                }
            };
            match &figure.without {
                Some(of) => {
                    compare(" without", of);
                    compare(" with", &figure.with);
                }
                None => compare("", &figure.with),
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
                if let Some(without) = &figure.without {
                    row("without", &figure.name, without(round));
                }
                row("with", &figure.name, (figure.with)(round));
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
                if let Some(without) = &figure.without {
                    pairs.push(value(&format!("{} without", figure.name), without(round)));
                }
                pairs.push(value(&format!("{} with", figure.name), (figure.with)(round)));
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
    let stretches: [(&str, Stroke, Stretch); 2] = [
        ("without", Stroke::Dashed, |round| &round.without),
        ("with", Stroke::Solid, |round| &round.with),
    ];
    for (color, server) in all.iter().enumerate() {
        for (what, stroke, stretch) in stretches {
            let mut sum = histogram();
            for round in &server.rounds {
                sum.add(&stretch(round).latencies).expect("the same bounds");
            }
            let points = tail(&sum);
            lowest = points.iter().fold(lowest, |low, (_, y)| low.min(*y));
            highest = points.iter().fold(highest, |high, (_, y)| high.max(*y));
            series.push(svg::Series {
                name: format!("{} {what}", server.name),
                color,
                stroke,
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
            seconds: 2.0,
        }
    }

    fn series(name: &str, max: f64) -> Series {
        let own = Own { busy: 0.1, late_p99: 5, late_max: 9, latency_p99: 60 };
        let round = Round {
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
            samples: vec![Sample { at: 5, cpu: 0.0, written: 0, resident: 1, pss: Some(9 << 20) }],
        };
        Series { name: name.to_owned(), rounds: vec![round.clone()], memory: Some(round) }
    }

    #[test]
    fn the_table_names_both_and_says_who_is_ahead() {
        let all = [series("basalt", 500.0), series("redis", 400.0)];
        let text = markdown(&all);
        assert!(text.contains("| max, us | 100 | 500 | 100 | 400 |"), "{text}");
        assert!(text.contains("| start on it, s |  | 0.30 |  | 0.30 |"), "{text}");
        assert!(text.contains("| extra memory, MiB | | 5.00 | | 5.00 |"), "{text}");
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
        assert_eq!(distribution(&scenario, &all).series.len(), 4);
        assert_eq!(timeline(&all).text().lines().count(), 61);
        assert!(table(&all).text().contains("redis,1,with,\"max, us\",400.000"));
    }
}
