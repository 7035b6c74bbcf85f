//! `basalt-bench run`: one load against a server that runs already.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::control::{self, Control};
use crate::due::Spacing;
use crate::ends;
use crate::engine::{Engine, Wait};
use crate::json::{Csv, Json};
use crate::load::{self, Data, Load};
use crate::machine;
use crate::mix::Mix;
use crate::recorder::{SLOT_NANOS, Slot};
use crate::sample::{self, Look, Sample, Sampler};
use crate::stats;
use crate::svg::{self, Axis, Chart, Series, Stroke};
use crate::verdict::Own;

/// One load.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The server's host
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// The server's port
    #[arg(long, default_value_t = 6379)]
    port: u16,
    /// Requests a second, due whether or not the server keeps up; 0 is a closed loop
    #[arg(long, default_value_t = 10_000.0)]
    rate: f64,
    /// A closed loop: each connection asks again when it has been answered
    #[arg(long)]
    closed: bool,
    /// Due times as of many clients that know nothing of each other
    #[arg(long)]
    poisson: bool,
    /// Connections
    #[arg(long, default_value_t = 50)]
    connections: usize,
    /// Requests sent together on one connection
    #[arg(long, default_value_t = 1)]
    pipeline: u64,
    /// Commands and their shares: ping get set del incr hget hset sadd sismember zadd zscore lpush
    /// rpush lpop rpop
    #[arg(long, default_value = "set=50,get=50")]
    mix: String,
    #[command(flatten)]
    data: Data,
    /// How long it takes
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Ends after so many requests, if that is earlier
    #[arg(long)]
    requests: Option<u64>,
    /// First sets every key and member once
    #[arg(long)]
    fill: bool,
    /// The core that the generator runs on
    #[arg(long)]
    core: Option<usize>,
    /// What it does while nothing is due [default: spin, on a single core sleep]
    #[arg(long, value_enum)]
    wait: Option<Wait>,
    /// Where random numbers begin
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes PREFIX.json, PREFIX.csv (each 10 ms) and PREFIX.svg
    #[arg(long, value_name = "PREFIX")]
    out: Option<PathBuf>,
}

/// How long the answers to what was due may still take after the end.
const DRAIN: Duration = Duration::from_secs(10);

/// What `seconds` may be.
pub fn check_seconds(name: &str, seconds: f64) -> Result<(), String> {
    if (0.1..=load::SECONDS_MAX).contains(&seconds) {
        return Ok(());
    }
    Err(format!("{name} is from 0.1 to {}", load::SECONDS_MAX))
}

impl RunArgs {
    fn load(&self) -> Result<Load, String> {
        check_seconds("--seconds", self.seconds)?;
        if self.closed && self.poisson {
            return Err(
                "--poisson says when requests are due, and --closed that none is".to_owned()
            );
        }
        let load = Load {
            mix: Mix::parse(&self.mix)?,
            data: self.data.clone(),
            rate: if self.closed { 0.0 } else { self.rate },
            spacing: if self.poisson { Spacing::Poisson } else { Spacing::Fixed },
            connections: self.connections,
            pipeline: self.pipeline,
            wait: self.wait.unwrap_or_else(default_wait),
            requests_max: self.requests.unwrap_or(u64::MAX),
            seed: self.seed,
        };
        load.check().map(|()| load)
    }
}

/// Spinning needs a core of its own.
pub fn default_wait() -> Wait {
    match std::thread::available_parallelism().map_or(1, usize::from) {
        1 => Wait::Sleep,
        _ => Wait::Spin,
    }
}

/// Does it, and says what came of it.
pub fn run(args: &RunArgs) -> Result<(), String> {
    let load = args.load()?;
    ends::pin(&Vec::from_iter(args.core))?;
    let address = resolve(&args.host, args.port)?;
    if args.fill {
        load::fill(&load.mix, &load.data, address)?;
    }
    let mut control = Control::open(address)?;
    let info = control.text(&["INFO", "server"], Duration::from_secs(5)).unwrap_or_default();
    let pid = control::field(&info, "process_id").and_then(|pid| pid.parse().ok());
    let pid = pid.filter(|_| is_here(address.ip()));
    let mut engine = load.start(address).map_err(|broken| broken.to_string())?;
    let sampler =
        pid.map(|pid| Sampler::start(pid, &[], Look::Counters, engine.begin())).transpose()?;
    let until = (args.seconds * 1e9) as u64;
    let ended = go(&mut engine, until, load.requests_max)?;
    let samples = sampler.map(Sampler::finish).unwrap_or_default();
    let missing = engine
        .drain(engine.now() + DRAIN.as_nanos() as u64)
        .map_err(|broken| broken.to_string())?;
    let report = Report::of(&mut engine, ended, missing, samples);
    print!("{}", report.text());
    if let Some(prefix) = &args.out {
        report.write(prefix, &info)?;
    }
    match &report.first_error {
        Some(error) => Err(format!("{} error replies, the first: {error}", report.errors)),
        None => Ok(()),
    }
}

/// Until the time or the number is reached; a line each second. Nanoseconds it took.
fn go(engine: &mut Engine, until: u64, requests: u64) -> Result<u64, String> {
    let mut before = 0;
    while engine.now() < until && engine.tally().answered < requests {
        ends::interrupted()?;
        let from = engine.now();
        engine.advance((from + 1_000_000_000).min(until)).map_err(|broken| broken.to_string())?;
        let tally = engine.tally().clone();
        let first = (from / SLOT_NANOS) as usize;
        let worst = engine.recorder().slots().iter().skip(first).map(|slot| slot.max_us).max();
        eprintln!(
            "{:4.0} s: {} answered, {} waiting, longest {} ms",
            engine.now() as f64 / 1e9,
            tally.answered - before,
            tally.issued - tally.answered,
            stats::short(f64::from(worst.unwrap_or(0)) / 1e3)
        );
        before = tally.answered;
    }
    Ok(engine.now())
}

fn resolve(host: &str, port: u16) -> Result<SocketAddr, String> {
    let failed = |why: &str| format!("{host}:{port}: {why}");
    let mut all = (host, port).to_socket_addrs().map_err(|error| failed(&error.to_string()))?;
    all.next().ok_or_else(|| failed("no such host"))
}

fn is_here(address: IpAddr) -> bool {
    address.is_loopback()
}

/// What came of a load.
struct Report {
    nanos: u64,
    answered: u64,
    missing: u64,
    nulls: u64,
    errors: u64,
    first_error: Option<String>,
    figures: Vec<(&'static str, Vec<f64>)>,
    silence_ms: f64,
    own: Own,
    cpu: Option<f64>,
    written: Option<f64>,
    slots: Vec<Slot>,
    samples: Vec<Sample>,
}

impl Report {
    fn of(engine: &mut Engine, nanos: u64, missing: u64, samples: Vec<Sample>) -> Report {
        let tally = engine.tally().clone();
        let recorder = engine.recorder();
        let phase = recorder.phases().first().cloned().expect("a recorder has a phase");
        let all = phase.all();
        let mut figures = vec![("all", stats::percentiles(&all))];
        if !phase.reads.is_empty() && !phase.writes.is_empty() {
            figures.push(("reads", stats::percentiles(&phase.reads)));
            figures.push(("writes", stats::percentiles(&phase.writes)));
        }
        let seen = (samples.len() > 1).then_some(());
        let growth = |counter| seen.map(|()| sample::growth(&samples, 0, nanos, counter));
        Report {
            nanos,
            answered: tally.answered,
            missing,
            nulls: tally.nulls,
            errors: tally.errors,
            first_error: tally.first_error.clone(),
            figures,
            silence_ms: phase.silence as f64 / 1e6,
            own: Own::of(&tally, recorder.late(), &all, nanos),
            cpu: growth(|sample| sample.cpu),
            written: growth(|sample| sample.written as f64),
            slots: recorder.slots().to_vec(),
            samples,
        }
    }

    fn per_second(&self) -> f64 {
        self.answered as f64 / (self.nanos as f64 / 1e9)
    }

    fn text(&self) -> String {
        let mut out = format!(
            "{} requests in {:.2} s, {:.0} a second; {} unanswered, {} nulls, {} errors\n",
            self.answered,
            self.nanos as f64 / 1e9,
            self.per_second(),
            self.missing,
            self.nulls,
            self.errors
        );
        for (name, values) in &self.figures {
            let cells: Vec<String> = stats::PERCENTILES
                .iter()
                .zip(values)
                .map(|((percentile, _), value)| format!("{percentile} {value:.0}"))
                .collect();
            out.push_str(&format!("{name:6} (us): {}\n", cells.join("  ")));
        }
        out.push_str(&format!("longest silence {} ms\n", stats::short(self.silence_ms)));
        if let (Some(cpu), Some(written)) = (self.cpu, self.written) {
            out.push_str(&format!(
                "server: {cpu:.2} s of CPU, {:.2} us a request; {:.1} MiB to disk\n",
                cpu * 1e6 / self.answered.max(1) as f64,
                written / 1_048_576.0
            ));
        }
        out.push_str(&self.own.tell());
        out.push('\n');
        out
    }

    fn write(&self, prefix: &Path, info: &str) -> Result<(), String> {
        let name = |end: &str| {
            let mut path = prefix.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        let write = |path: PathBuf, text: &str| {
            std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
            eprintln!("wrote {}", path.display());
            Ok::<(), String>(())
        };
        write(name(".json"), &format!("{}\n", self.json(info)))?;
        write(name(".csv"), self.csv().text())?;
        write(name(".svg"), &svg::render(&self.chart()))
    }

    fn json(&self, info: &str) -> Json {
        let number = |number: u64| Json::Number(number as f64);
        let latencies = self.figures.iter().map(|(name, values)| {
            let cells = stats::PERCENTILES.iter().zip(values);
            let cells = cells.map(|((at, _), us)| ((*at).to_owned(), Json::Number(*us)));
            ((*name).to_owned(), Json::Object(cells.collect()))
        });
        let samples = self.samples.iter().map(|sample| {
            Json::object(&[
                ("ms", Json::Number((sample.at / 1_000_000) as f64)),
                ("cpu_s", Json::Number(sample.cpu)),
                ("written_bytes", Json::Number(sample.written as f64)),
                ("resident_bytes", Json::Number(sample.resident as f64)),
            ])
        });
        Json::object(&[
            ("command", Json::Text(machine::command_line())),
            ("machine", Json::Text(machine::Machine::here().tell())),
            ("server", Json::text(control::field(info, "redis_version").unwrap_or("unknown"))),
            ("seconds", Json::Number(self.nanos as f64 / 1e9)),
            ("answered", number(self.answered)),
            ("unanswered", number(self.missing)),
            ("nulls", number(self.nulls)),
            ("errors", number(self.errors)),
            ("latency_us", Json::Object(latencies.collect())),
            ("longest_silence_ms", Json::Number(self.silence_ms)),
            ("server_cpu_s", Json::maybe(self.cpu)),
            ("server_written_bytes", Json::maybe(self.written)),
            ("generator_busy", Json::Number(self.own.busy)),
            ("generator_late_p99_us", number(self.own.late_p99)),
            ("generator_late_max_us", number(self.own.late_max)),
            ("samples", Json::List(samples.collect())),
        ])
    }

    fn csv(&self) -> Csv {
        let mut csv = Csv::new(&["ms", "max_us", "count", "generator_late_us"]);
        for (i, slot) in self.slots.iter().enumerate() {
            let cells = [i as u64 * 10, slot.max_us.into(), slot.count.into(), slot.late_us.into()];
            csv.row(&cells.map(|cell| cell.to_string()));
        }
        csv
    }

    fn chart(&self) -> Chart {
        let points = |value: fn(&Slot) -> u32| {
            let slots = self.slots.iter().enumerate().filter(|(_, slot)| slot.count > 0);
            slots.map(|(i, slot)| (i as f64 / 100.0, f64::from(value(slot)))).collect()
        };
        let highest = self.slots.iter().map(|slot| slot.max_us).max().unwrap_or(1);
        let line = |name: &str, color, stroke, points| Series {
            name: name.to_owned(),
            color,
            stroke,
            points,
        };
        Chart {
            title: "Longest latency of the requests due in each 10 ms".to_owned(),
            x: Axis::linear("seconds", 0.0, self.slots.len() as f64 / 100.0, 10),
            y: Axis::latency("latency", 10.0, f64::from(highest)),
            series: vec![
                line("requests", 0, Stroke::Solid, points(|slot| slot.max_us)),
                line(
                    "the generator's own lateness",
                    1,
                    Stroke::Dashed,
                    points(|slot| slot.late_us),
                ),
            ],
            spans: Vec::new(),
        }
    }
}
