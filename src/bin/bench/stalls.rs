//! `basalt-bench stalls`: who waits elsewhere while something big happens to one key.
//!
//! The generator's thread drives everything: the open loop on fifty connections, and in between,
//! on connections of their own, the command that is looked at, the writes beside a snapshot, and
//! the questions whether it is done. Each action has a load of its own, so that no wait of one is
//! counted for another, and nothing is due while a value is built.

use clap::Args;

use crate::control::{self, Answer, Control};
use crate::due::Spacing;
use crate::engine::{Engine, Wait};
use crate::giant::{self, Action, Giant, Place, Until};
use crate::load::{self, Load};
use crate::mix::Mix;
use crate::rig::{ANSWER_MAX, Rig, RigArgs};
use crate::round::succeeded;
use crate::run::check_seconds;
use crate::server::Running;
use crate::trial::{VOLATILE, strings};
use crate::turns::Turns;
use crate::waits::{self, Results};
use crate::{machine, stats};

/// What is looked at.
#[derive(Args, Clone, Debug)]
pub struct StallsArgs {
    /// The types of the value
    #[arg(
        long = "type",
        value_enum,
        value_delimiter = ',',
        default_value = "list,set,sorted-set,stream,hash"
    )]
    pub giants: Vec<Giant>,
    /// Rounds, in each of which every server has its turn; figures are medians of them
    #[arg(long, default_value_t = 3)]
    pub rounds: u32,
    /// Elements of the value
    #[arg(long, default_value_t = 5_000_000)]
    pub elements: u64,
    /// Requests a second, GET and SET of other keys
    #[arg(long, default_value_t = 10_000.0)]
    pub rate: f64,
    /// How long nothing happens, in seconds; an action is watched for at least a third of it, and
    /// for a sixth when it is done
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    #[command(flatten)]
    rig: RigArgs,
}

/// Keys that the load is about.
pub const KEYS: u64 = 10_000;
/// Connections of the load.
pub const CONNECTIONS: usize = 50;

impl StallsArgs {
    fn check(&self) -> Result<(), String> {
        if !(1..=100).contains(&self.rounds) {
            return Err("--rounds is from 1 to 100".to_owned());
        }
        if !(1000..=100_000_000).contains(&self.elements) {
            return Err("--elements is from 1000 to 100000000".to_owned());
        }
        if self.rate == 0.0 {
            return Err("--rate: a closed loop hides what is looked for here".to_owned());
        }
        check_seconds("--seconds", self.seconds)?;
        self.load(Wait::Sleep)?.check()
    }

    fn load(&self, wait: Wait) -> Result<Load, String> {
        Ok(Load {
            mix: Mix::parse("set,get")?,
            data: strings(KEYS, 64),
            rate: self.rate,
            spacing: Spacing::Fixed,
            connections: CONNECTIONS,
            pipeline: 1,
            wait,
            requests_max: u64::MAX,
            seed: 11,
        })
    }

    /// About what one server needs, in bytes: the value and a copy.
    fn bytes(&self) -> u64 {
        self.elements * 250 + (64 << 20)
    }
}

/// What is done with one value, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It is built, unless it is there.
    Build(Place),
    /// This is measured.
    Measure(Action),
    /// This is done, and not measured again.
    Do(Action),
}

const STEPS: &[Step] = &[
    Step::Build(Place::Built),
    Step::Measure(Action::Nothing),
    Step::Measure(Action::Snapshot),
    Step::Measure(Action::Rename),
    Step::Measure(Action::Move),
    Step::Measure(Action::Store),
    Step::Measure(Action::DropCopy),
    Step::Measure(Action::Expire),
    Step::Build(Place::Moved),
    Step::Do(Action::Store),
    Step::Measure(Action::Drop),
    Step::Measure(Action::Flush),
];

/// What one measurement has shown.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// The longest wait of a request, in milliseconds.
    pub longest: f64,
    /// The 99.9th percentile, in milliseconds.
    pub p999: f64,
    /// Until the command was answered, in milliseconds.
    pub answered: Option<f64>,
    /// Until all was done, in milliseconds.
    pub done: Option<f64>,
    /// The slices of the snapshot, where the server tells them.
    pub slices: Option<Turns>,
    /// The longest of the writes to the key meanwhile, by the server's clock, in microseconds.
    pub write: Option<f64>,
    /// The 99.9th percentile of the same.
    pub write_p999: Option<f64>,
    /// How late the generator itself was at most, in milliseconds.
    pub late: f64,
    /// Writes to the key meanwhile.
    pub writes: Option<f64>,
}

/// Does it, and writes the page.
pub fn stalls(args: &StallsArgs) -> Result<(), String> {
    args.check()?;
    let mut rig = args.rig.rig(args.bytes())?;
    let busy = machine::load();
    let mut results = Results::default();
    for number in 1..=args.rounds {
        for giant in &args.giants {
            results.add_nobody(*giant, Turns::of_nobody(&rig.server_cores)?);
            for server in 0..rig.specs.len() {
                let name = rig.specs.get(server).map(|spec| spec.name.clone()).unwrap_or_default();
                let (what, rounds) = (giant.name(), args.rounds);
                eprintln!("{what}: {name}, round {number} of {rounds}");
                one(&mut rig, server, *giant, args, &mut results)?;
            }
        }
    }
    waits::write(&rig, args, &results, busy)
}

/// One type on one server, which is a new one: nothing of another type is left in its memory.
fn one(
    rig: &mut Rig,
    server: usize,
    giant: Giant,
    args: &StallsArgs,
    results: &mut Results,
) -> Result<(), String> {
    let (mut running, _, control) = rig.start(server, VOLATILE)?;
    let load = args.load(rig.wait)?;
    let mut bench = Bench { control, load, giant, args };
    let mut all = || {
        load::fill(&bench.load.mix, &bench.load.data, running.address)?;
        for step in STEPS {
            match *step {
                Step::Build(place) => {
                    let begin = std::time::Instant::now();
                    giant::build(giant, &giant.key(place), args.elements, running.address)?;
                    eprintln!("  built in {:.1} s", begin.elapsed().as_secs_f64());
                }
                Step::Do(action) => bench.order(action)?,
                Step::Measure(action) => {
                    let seen = bench.measure(action, &running)?;
                    eprintln!("  {}: {}", action.title(giant), tell(&seen));
                    results.add(giant, action, server, seen);
                }
            }
        }
        Ok(())
    };
    all().map_err(|why: String| running.explain(&why))
}

fn tell(seen: &Seen) -> String {
    format!(
        "longest {} ms, p99.9 {} ms, answered in {} ms, done in {} ms; generator late {} ms",
        stats::short(seen.longest),
        stats::short(seen.p999),
        stats::short_or_none(seen.answered),
        stats::short_or_none(seen.done),
        stats::short(seen.late)
    )
}

/// The load goes on for so long between two looks at the other connections, in nanoseconds.
const STEP: u64 = 200_000;
/// The same beside a connection that asks again when it is answered.
const STEP_WRITING: u64 = 20_000;
/// Between two questions whether it is done: INFO costs a server tens of microseconds.
const ASK: u64 = 25_000_000;
/// An action that takes longer is given up.
const PATIENCE: u64 = 300_000_000_000;
/// Requests that wait at the end are answered in this time, in seconds.
const DRAIN: u64 = 60;

/// What a measurement needs.
struct Bench<'a> {
    control: Control,
    load: Load,
    giant: Giant,
    args: &'a StallsArgs,
}

/// When what happened, in nanoseconds since the start of the load.
#[derive(Clone, Copy, Debug, Default)]
struct Acted {
    answered: Option<u64>,
    done: Option<u64>,
    slices: Option<Turns>,
    writes: Option<u64>,
}

impl Bench<'_> {
    /// Does it without a load.
    fn order(&mut self, action: Action) -> Result<(), String> {
        let words = action.words(self.giant);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let answer = self.control.text(&words, std::time::Duration::from_nanos(PATIENCE))?;
        effective(&words, &answer)
    }

    fn measure(&mut self, action: Action, running: &Running) -> Result<Seen, String> {
        if action == Action::Snapshot {
            self.forget_writes()?;
        }
        let mut engine = self.load.start(running.address).map_err(|broken| broken.to_string())?;
        let control = 1e9 * self.args.seconds;
        load::go_on(&mut engine, (control / 10.0) as u64)?;
        let begin = engine.now();
        engine.recorder().begin_phase(begin);
        let acted = match action {
            Action::Nothing => Acted::default(),
            Action::Snapshot => {
                let writer = Writer {
                    control: Control::open(running.address)?,
                    giant: self.giant,
                    elements: self.args.elements,
                    sent: 0,
                };
                self.act(action, &mut engine, Some(writer))?
            }
            _ => self.act(action, &mut engine, None)?,
        };
        load::go_on(&mut engine, end(control as u64, begin, acted.done))?;
        load::drained(&mut engine, DRAIN)?;
        let [write, write_p999] = match action {
            Action::Snapshot => self.writes()?,
            _ => [None; 2],
        };
        let window = engine.recorder().phases().last().ok_or("no phase")?.all();
        let since = |at: Option<u64>| at.map(|at| (at - begin) as f64 / 1e6);
        Ok(Seen {
            longest: window.max() as f64 / 1e3,
            p999: window.value_at_quantile(0.999) as f64 / 1e3,
            answered: since(acted.answered),
            done: since(acted.done),
            slices: acted.slices,
            write,
            write_p999,
            late: engine.recorder().late().max() as f64 / 1e3,
            writes: acted.writes.map(|writes| writes as f64),
        })
    }

    /// From here on the longest of each command is known, to servers that keep such a thing: others
    /// refuse, and tell nothing. Questions make this thread wait, so they have no place in a load.
    fn forget_writes(&mut self) -> Result<(), String> {
        let which = ["CONFIG", "SET", "latency-tracking-info-percentiles", "99.9 100"];
        self.control.ask(&which, ANSWER_MAX)?;
        self.control.ask(&["CONFIG", "RESETSTAT"], ANSWER_MAX).map(drop)
    }

    /// The longest of the writes to the value since then, and their 99.9th percentile.
    fn writes(&mut self) -> Result<[Option<f64>; 2], String> {
        let info = self.control.ask(&["INFO", "latencystats"], ANSWER_MAX)?;
        Ok(["p100", "p99.9"].map(|name| match &info {
            Answer::Text(info) => writes(info, self.giant, name),
            Answer::Refused(_) => None,
        }))
    }

    /// Sends the command, and goes on with the load until it is done.
    fn act(
        &mut self,
        action: Action,
        engine: &mut Engine,
        mut writer: Option<Writer>,
    ) -> Result<Acted, String> {
        let words = action.words(self.giant);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let begin = engine.now();
        self.control.send(&words)?;
        let mut acted = Acted::default();
        let mut untils = action.untils().iter().copied();
        let mut until: Option<Until> = None;
        // When the next question is due; none while an answer is.
        let mut ask: Option<u64> = None;
        let step = if writer.is_some() { STEP_WRITING } else { STEP };
        loop {
            let next = engine.now() + step;
            load::go_on(engine, next)?;
            if let Some(writer) = &mut writer {
                writer.go()?;
            }
            let now = engine.now();
            match self.control.poll()? {
                Some(Answer::Refused(why)) => return Err(format!("{}: {why}", words.join(" "))),
                Some(Answer::Text(answer)) => {
                    ask = Some(now + ASK);
                    if acted.answered.is_none() {
                        effective(&words, &answer)?;
                        (acted.answered, ask, until) = (Some(now), Some(now), untils.next());
                    } else if until.is_none_or(|until| until.met(&answer, KEYS)) {
                        succeeded(&answer)?;
                        acted.slices = acted.slices.or(Turns::of_snapshot(&answer));
                        (ask, until) = (Some(now), untils.next());
                    }
                    if until.is_none() {
                        acted.done = Some(now);
                        acted.writes = writer.map(|writer| writer.sent);
                        return Ok(acted);
                    }
                }
                None => {}
            }
            if let Some(until) = until.filter(|_| ask.is_some_and(|due| due <= now)) {
                self.control.send(until.question())?;
                ask = None;
            }
            if now - begin > PATIENCE {
                return Err(format!("{} takes too long", words.join(" ")));
            }
        }
    }
}

/// A connection that writes to the key, and again when it has been answered.
struct Writer {
    control: Control,
    giant: Giant,
    elements: u64,
    sent: u64,
}

impl Writer {
    fn go(&mut self) -> Result<(), String> {
        match self.control.poll()? {
            Some(Answer::Refused(why)) => return Err(format!("writing to the key: {why}")),
            None if self.sent > 0 => return Ok(()),
            _ => {}
        }
        let words = self.giant.write(self.sent, self.elements);
        self.sent += 1;
        self.control.send(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Where the window ends: nothing is watched for `control`; something for at least a third of it,
/// and for a sixth when it is done.
fn end(control: u64, begin: u64, done: Option<u64>) -> u64 {
    match done {
        None => begin + control,
        Some(done) => (done + control / 6).max(begin + control / 3),
    }
}

/// Has it done something? A zero says that there was no such key.
fn effective(words: &[&str], answer: &str) -> Result<(), String> {
    match answer {
        "0" => Err(format!("{}: nothing was there", words.join(" "))),
        _ => Ok(()),
    }
}

/// A percentile of the writes to a value, in microseconds, where the server tells it; the longer
/// one where there are two commands.
fn writes(info: &str, giant: Giant, percentile: &str) -> Option<f64> {
    let of = |command: &str| {
        let name = format!("latency_percentiles_usec_{}", command.to_lowercase());
        let mut all = control::field(info, &name)?.split(',');
        all.find_map(|one| one.strip_prefix(percentile)?.strip_prefix('=')?.parse().ok())
    };
    giant.writes().split(" and ").filter_map(of).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: StallsArgs,
    }

    fn args(words: &[&str]) -> StallsArgs {
        Line::try_parse_from([&["x"], words].concat()).expect("options").args
    }

    #[test]
    fn options_are_kept_or_refused() {
        assert_eq!((args(&[]).giants.len(), args(&[]).check()), (5, Ok(())));
        assert_eq!(args(&["--type", "sorted-set,list"]).giants, [Giant::SortedSet, Giant::List]);
        for words in [["--rounds", "0"], ["--elements", "9"], ["--rate", "0"], ["--seconds", "0"]] {
            assert!(args(&words).check().expect_err("refused").contains(words[0]));
        }
    }

    #[test]
    fn windows_last_until_it_is_done_and_longer() {
        assert_eq!(end(6, 10, None), 16);
        assert_eq!(end(6, 10, Some(10)), 12);
        assert_eq!(end(6, 10, Some(30)), 31);
    }

    #[test]
    fn what_did_nothing_is_refused() {
        assert_eq!(effective(&["DEL", "k"], "1"), Ok(()));
        assert!(effective(&["DEL", "k"], "0").is_err());
        let info = "latency_percentiles_usec_sadd:p99.9=3.007,p100=4.015\r\n\
                    latency_percentiles_usec_srem:p99.9=2.007,p100=9.023\r\n";
        assert_eq!(writes(info, Giant::Set, "p100"), Some(9.023));
        assert_eq!(writes(info, Giant::Set, "p99.9"), Some(3.007));
        assert_eq!(writes(info, Giant::Hash, "p100"), None);
    }
}
