//! The page of `stalls`: a table and a picture for each type, and the figures as CSV and JSON.

use clap::ValueEnum;

use crate::giant::{Action, Giant};
use crate::json::{Csv, Json};
use crate::rig::Rig;
use crate::stalls::{CONNECTIONS, KEYS, Seen, StallsArgs};
use crate::svg::{self, Bars, Kind};
use crate::turns::Turns;
use crate::{machine, stats};

/// All rounds of one action on one type, on one server.
#[derive(Clone, Debug)]
struct Row {
    giant: Giant,
    action: Action,
    server: usize,
    seen: Vec<Seen>,
}

/// Everything that was measured.
#[derive(Clone, Debug, Default)]
pub struct Results {
    rows: Vec<Row>,
    nobody: Vec<(Giant, Turns)>,
}

/// How a figure is had from a measurement.
type Of = fn(&Seen) -> Option<f64>;
/// The same from turns.
type OfTurns = fn(Turns) -> f64;

/// The figures: of tables those with a short name.
const FIGURES: &[(&str, Option<&str>, Of)] = &[
    ("longest wait, ms", None, |seen| Some(seen.longest)),
    ("p99.9, ms", Some("p99.9"), |seen| Some(seen.p999)),
    ("answered in, ms", Some("answered"), |seen| seen.answered),
    ("done in, ms", Some("done"), |seen| seen.done),
    (TURNS[0].0, None, |seen| seen.slices.map(TURNS[0].1)),
    (TURNS[1].0, None, |seen| seen.slices.map(TURNS[1].1)),
    (TURNS[2].0, None, |seen| seen.slices.map(TURNS[2].1)),
    ("longest write to the key, us", None, |seen| seen.write),
    ("p99.9 of the writes to the key, us", None, |seen| seen.write_p999),
    ("generator late at most, ms", None, |seen| Some(seen.late)),
    ("writes to the key meanwhile", None, |seen| seen.writes),
];

/// What is told of slices, and of the turns of nobody that are their control.
const TURNS: [(&str, OfTurns); 3] = [
    ("slices", |turns| turns.count),
    ("slices above 100 us", |turns| turns.above),
    ("longest slice, us", |turns| turns.longest),
];

impl Results {
    /// One more measurement.
    pub fn add(&mut self, giant: Giant, action: Action, server: usize, seen: Seen) {
        let same = |row: &&mut Row| (row.giant, row.action, row.server) == (giant, action, server);
        match self.rows.iter_mut().find(same) {
            Some(row) => row.seen.push(seen),
            None => self.rows.push(Row { giant, action, server, seen: vec![seen] }),
        }
    }

    /// Turns of nobody, before a type's servers.
    pub fn add_nobody(&mut self, giant: Giant, turns: Turns) {
        self.nobody.push((giant, turns));
    }

    /// What was done to a type, in its order.
    fn actions(&self, giant: Giant) -> Vec<Action> {
        let rows = self.rows.iter().filter(|row| row.giant == giant);
        let first = rows.clone().map(|row| row.server).min();
        rows.filter(|row| Some(row.server) == first).map(|row| row.action).collect()
    }

    fn values(&self, giant: Giant, action: Action, server: usize, of: Of) -> Vec<f64> {
        let at = (giant, action, server);
        let row = self.rows.iter().find(|row| (row.giant, row.action, row.server) == at);
        row.map(|row| row.seen.iter().filter_map(of).collect()).unwrap_or_default()
    }
}

/// Writes everything.
pub fn write(rig: &Rig, args: &StallsArgs, results: &Results, busy: f64) -> Result<(), String> {
    let stem = format!("{}-stalls", machine::today());
    let names: Vec<&str> = rig.specs.iter().map(|spec| spec.name.as_str()).collect();
    let mut page = format!("# Who waits while something big happens to one key\n\n{}", about(args));
    page.push_str(&rig.head(busy));
    page.push_str(BLOCKING);
    for giant in &args.giants {
        let picture = format!("{stem}-{}.svg", giant.name().replace(' ', "-"));
        let bars = bars(*giant, &names, results);
        rig.write(&picture, &svg::render_bars(&bars))?;
        page.push_str(&table(*giant, &names, results));
        page.push_str(&format!("![{}]({picture})\n\n", bars.title));
    }
    page.push_str(&lateness(&names, results));
    page.push_str(&format!("[Every round]({stem}.csv), [the same as JSON]({stem}.json).\n"));
    let (csv, json) = data(rig, &names, results);
    rig.write(&format!("{stem}.csv"), csv.text())?;
    rig.write(&format!("{stem}.json"), &format!("{json}\n"))?;
    rig.write(&format!("{stem}.md"), &page)
}

fn about(args: &StallsArgs) -> String {
    let rounds = stats::rounds(args.rounds);
    format!(
        "One key holds {} elements. Meanwhile {} requests a second, GET and SET of {KEYS} other \
         keys over {CONNECTIONS} connections, are due at fixed times (an open loop), and a wait \
         counts from the due time. A window begins when the command is sent, lasts until all is \
         done and {} s longer, and at least {} s; where nothing happens, {} s: that row is what \
         the machine itself does. A percentile of a longer window hides more.\n\n\
         Medians of {rounds}, in milliseconds; in brackets the longest wait of all rounds. \
         *Answered* is how long the command took, *done* until the snapshot had ended, the key \
         was gone and nothing was left to be freed, as far as the server tells (asked each \
         25 ms).\n\n",
        args.elements,
        args.rate,
        stats::short(args.seconds / 6.0),
        stats::short(args.seconds / 3.0),
        stats::short(args.seconds)
    )
}

/// What cannot be otherwise.
const BLOCKING: &str = "\
**One indivisible reply** are SUNIONSTORE, ZUNIONSTORE and COPY: the key that they store is there \
as a whole or not at all, and everything else of that shard (in Redis: everything else) waits \
until they are *answered*, by design. So does a RENAME to another shard, which rebuilds the value \
there; with one shard, and in Redis, it is a RENAME like the other. RENAME, DEL, EXPIRE and \
FLUSHALL need not take longer for a large value, and BGSAVE need not stop anybody: a wait there \
is the server's own. Redis frees at once in DEL and FLUSHALL, and at a deadline, by its defaults \
(UNLINK and the `lazyfree-` settings do not).\n\n";

fn table(giant: Giant, names: &[&str], results: &Results) -> String {
    let mut out = format!("## A {}\n\n| |", giant.name());
    names.iter().for_each(|name| out.push_str(&format!(" {name}: longest |")));
    let shown: Vec<(&str, Of)> =
        FIGURES.iter().filter_map(|(_, short, of)| Some(((*short)?, *of))).collect();
    for (title, _) in &shown {
        names.iter().for_each(|name| out.push_str(&format!(" {name}: {title} |")));
    }
    out.push_str(&format!("\n|---|{}\n", "---:|".repeat(names.len() * (shown.len() + 1))));
    for action in results.actions(giant) {
        out.push_str(&format!("| {} |", action.title(giant)));
        for server in 0..names.len() {
            let values = results.values(giant, action, server, |seen| Some(seen.longest));
            let most = values.iter().copied().fold(0.0, f64::max);
            let middle = stats::short_or_none(stats::median(&values));
            out.push_str(&format!(" {middle} ({}) |", stats::short(most)));
        }
        for (_, of) in &shown {
            for server in 0..names.len() {
                let value = stats::median(&results.values(giant, action, server, *of));
                out.push_str(&format!(" {} |", stats::short_or_none(value)));
            }
        }
        out.push('\n');
    }
    out.push('\n');
    for (server, name) in names.iter().enumerate() {
        let writes = results.values(giant, Action::Snapshot, server, |seen| seen.writes);
        if let Some(writes) = stats::median(&writes) {
            out.push_str(&format!("- {name}: {writes:.0} writes to the key in the snapshot"));
            let most = |of: Of| {
                let values = results.values(giant, Action::Snapshot, server, of);
                values.into_iter().reduce(f64::max)
            };
            if let Some(us) = most(|seen| seen.write) {
                let p999 = stats::short_or_none(most(|seen| seen.write_p999));
                out.push_str(&format!(", by its clock {p999} us at p99.9 and {us:.0} at most"));
            }
            out.push('\n');
        }
        let rows = results.rows.iter().filter(|row| (row.giant, row.server) == (giant, server));
        let slices = rows.flat_map(|row| row.seen.iter().filter_map(|seen| seen.slices));
        if let Some(all) = slices.reduce(Turns::and) {
            out.push_str(&format!("- {name}: slices of the snapshot: {}\n", all.tell()));
        }
    }
    let nobody = results.nobody.iter().filter(|(of, _)| *of == giant).map(|(_, turns)| *turns);
    if let Some(all) = nobody.reduce(Turns::and) {
        let what =
            "turns of 50 us by nobody, on the same core, over memory that was touched before";
        out.push_str(&format!("- {what}: {}\n", all.tell()));
    }
    out.push('\n');
    out
}

fn bars(giant: Giant, names: &[&str], results: &Results) -> Bars {
    let group = |action: Action| {
        let longest = |server| results.values(giant, action, server, |seen| Some(seen.longest));
        let value = |server| stats::median(&longest(server)).unwrap_or(0.0) * 1e3;
        (action.title(giant), (0..names.len()).map(value).collect())
    };
    Bars {
        title: format!("A {}: longest wait of a request elsewhere, us (log scale)", giant.name()),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        groups: results.actions(giant).into_iter().map(group).collect(),
        scale: Kind::Log,
    }
}

/// What of these waits may be the generator's own.
fn lateness(names: &[&str], results: &Results) -> String {
    let mut out = String::new();
    for (server, name) in names.iter().enumerate() {
        let rows = results.rows.iter().filter(|row| row.server == server);
        let late: Vec<f64> = rows.flat_map(|row| row.seen.iter().map(|seen| seen.late)).collect();
        let most = late.iter().copied().fold(0.0, f64::max);
        out.push_str(&format!(
            "- {name}: the generator itself was late by at most {} ms in the middle of all \
             measurements and {} ms in the worst\n",
            stats::short_or_none(stats::median(&late)),
            stats::short(most)
        ));
    }
    out.push('\n');
    out
}

/// One figure of one server in the rounds that have it.
struct Line<'a> {
    giant: Giant,
    action: String,
    figure: &'static str,
    server: &'a str,
    values: Vec<(u32, f64)>,
}

fn lines<'a>(names: &[&'a str], results: &Results) -> Vec<Line<'a>> {
    let mut lines = Vec::new();
    for row in &results.rows {
        let server = names.get(row.server).copied().unwrap_or_default();
        let action = row.action.title(row.giant);
        lines.extend(FIGURES.iter().map(|(figure, _, of)| {
            let rounds = row.seen.iter().zip(1..);
            let values = rounds.filter_map(|(seen, round)| Some((round, of(seen)?))).collect();
            Line { giant: row.giant, action: action.clone(), figure, server, values }
        }));
    }
    for &giant in Giant::value_variants() {
        let turns =
            || results.nobody.iter().filter(|(of, _)| *of == giant).map(|(_, turns)| *turns);
        lines.extend(TURNS.iter().map(|(figure, of)| {
            let (action, values) =
                (Action::Nothing.title(giant), (1..).zip(turns().map(of)).collect());
            Line { giant, action, figure, server: "nobody", values }
        }));
    }
    lines.retain(|line| !line.values.is_empty());
    lines
}

fn data(rig: &Rig, names: &[&str], results: &Results) -> (Csv, Json) {
    let mut csv = Csv::new(&["type", "action", "figure", "server", "round", "value"]);
    let mut all = Vec::new();
    for Line { giant, action, figure, server, values } in lines(names, results) {
        for (round, value) in &values {
            csv.row(&[
                giant.name().to_owned(),
                action.clone(),
                figure.to_owned(),
                server.to_owned(),
                format!("{round}"),
                format!("{value:.3}"),
            ]);
        }
        all.push(Json::object(&[
            ("type", Json::text(giant.name())),
            ("action", Json::text(&action)),
            ("figure", Json::text(figure)),
            ("server", Json::text(server)),
            ("values", Json::List(values.iter().map(|(_, value)| Json::Number(*value)).collect())),
        ]));
    }
    let json = Json::object(&[
        ("command", Json::Text(machine::command_line())),
        ("machine", Json::Text(rig.machine.tell())),
        ("date", Json::Text(machine::today())),
        ("figures", Json::List(all)),
    ]);
    (csv, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_medians_and_the_longest_of_all() {
        let mut results = Results::default();
        for longest in [1.0, 9.0, 3.0] {
            let seen = Seen { longest, p999: 0.5, answered: Some(2.0), ..Seen::default() };
            results.add(Giant::List, Action::Nothing, 0, seen);
            results.add(Giant::List, Action::Nothing, 1, Seen { longest: 6.0, ..seen });
        }
        results.add_nobody(Giant::List, Turns { count: 9.0, above: 1.0, longest: 120.0 });
        let text = table(Giant::List, &["basalt", "redis"], &results);
        assert!(text.contains("| | basalt: longest | redis: longest | basalt: p99.9 |"), "{text}");
        let row = "| nothing | 3.00 (9.00) | 6.00 (6.00) | 0.50 | 0.50 | 2.00 | 2.00 | - | - |";
        assert!(text.contains(row), "{text}");
        let control = ": 1 of 9 above 100 us of processor time, the longest 120 us\n";
        assert!(text.contains(control), "{text}");
        let lines = lines(&["basalt", "redis"], &results);
        let nobody = lines.iter().filter(|line| line.server == "nobody");
        let nobody: Vec<_> = nobody.map(|line| (line.figure, line.values.as_slice())).collect();
        assert_eq!(nobody[1], ("slices above 100 us", [(1, 1.0)].as_slice()));
        assert!(lines.iter().all(|line| !line.values.is_empty()));
        let bars = bars(Giant::List, &["basalt", "redis"], &results);
        assert_eq!(bars.groups, [("nothing".to_owned(), vec![3000.0, 6000.0])]);
        assert!(lateness(&["basalt"], &results).contains("0 ms in the worst"));
    }
}
