//! `basalt-bench compare --part types`: one command of each kind, asked by the generators that
//! others use, redis-benchmark and memtier_benchmark.
//!
//! They say how fast they were; the server's CPU is read beside them. How many requests a
//! measurement has is chosen once, on the first server, and then all servers answer as many in
//! every round: a set that has grown further makes SADD cheaper and SPOP longer, so the same time
//! would be other work for a faster server.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::control::{Answer, Control};
use crate::mix::Mix;
use crate::rig::{ANSWER_MAX, Rig};
use crate::server::{Running, on_path};
use crate::trial::{VOLATILE, strings};
use crate::{ends, load, proc, stats};

/// What is asked, and by whom.
#[derive(Clone, Copy, Debug)]
enum Ask {
    /// One of redis-benchmark's own tests, as `-t` names it.
    Test(&'static str),
    /// A command at the end of redis-benchmark's line.
    Words(&'static [&'static str]),
    /// memtier_benchmark's `--command`, and a prefix for the keys.
    Memtier(&'static str, &'static str),
}

/// A command to measure.
#[derive(Clone, Copy, Debug)]
struct Row {
    name: &'static str,
    ask: Ask,
    /// The keyspace is this part of `--keys`.
    part: u64,
    /// What this one takes away.
    stock: Option<Stock>,
}

/// What rows take away.
#[derive(Clone, Copy, Debug)]
struct Stock {
    /// The command that counts it.
    count: [&'static str; 2],
    /// Rows that have not had their share of it yet, this one included.
    takers: u64,
}

const fn test(name: &'static str, test: &'static str) -> Row {
    Row { name, ask: Ask::Test(test), part: 1, stock: None }
}

const fn takes(
    name: &'static str,
    test: &'static str,
    count: [&'static str; 2],
    takers: u64,
) -> Row {
    Row { name, ask: Ask::Test(test), part: 1, stock: Some(Stock { count, takers }) }
}

const fn words(name: &'static str, words: &'static [&'static str]) -> Row {
    Row { name, ask: Ask::Words(words), part: 1, stock: None }
}

const fn memtier(name: &'static str, line: &'static str, prefix: &'static str, part: u64) -> Row {
    Row { name, ask: Ask::Memtier(line, prefix), part, stock: None }
}

/// In the order of redis-benchmark's own run; a read stands behind what has written its data. The
/// LRANGE are spelled out because `-t lrange_100` would push a list of its own first, and the
/// server's CPU for that would count.
const ROWS: &[Row] = &[
    test("PING_INLINE", "ping_inline"),
    test("PING_MBULK", "ping_mbulk"),
    test("SET", "set"),
    test("GET", "get"),
    words("GETRANGE", &["getrange", "key:__rand_int__", "0", "1"]),
    test("INCR", "incr"),
    test("LPUSH", "lpush"),
    test("RPUSH", "rpush"),
    takes("LPOP", "lpop", ["LLEN", "mylist"], 2),
    takes("RPOP", "rpop", ["LLEN", "mylist"], 1),
    test("SADD", "sadd"),
    words("SISMEMBER", &["sismember", "myset", "element:__rand_int__"]),
    test("HSET", "hset"),
    words("HGET", &["hget", "myhash", "element:__rand_int__"]),
    takes("SPOP", "spop", ["SCARD", "myset"], 1),
    test("ZADD", "zadd"),
    words("ZSCORE", &["zscore", "myzset", "element:__rand_int__"]),
    takes("ZPOPMIN", "zpopmin", ["ZCARD", "myzset"], 1),
    words("LRANGE_100", &["lrange", "mylist", "0", "99"]),
    words("LRANGE_300", &["lrange", "mylist", "0", "299"]),
    words("LRANGE_500", &["lrange", "mylist", "0", "499"]),
    words("LRANGE_600", &["lrange", "mylist", "0", "599"]),
    test("MSET (10 keys)", "mset"),
    words("SETEX", &["setex", "key:__rand_int__", "1000", "VXK"]),
    words("EXPIRE", &["expire", "key:__rand_int__", "1000"]),
    // A stream takes a page whatever is in it.
    Row { part: 1000, ..words("XADD", &["xadd", "stream:__rand_int__", "*", "f", "v"]) },
    words("EVAL of an INCR", &["eval", INCR, "1", "counter:__rand_int__"]),
    words("FCALL of an INCR", &["fcall", "bench_incr", "1", "counter:__rand_int__"]),
    memtier("memtier SET", "SET __key__ __data__", "m:", 1),
    memtier("memtier GET", "GET __key__", "m:", 1),
    memtier("memtier INCR", "INCR __key__", "mi:", 1),
    memtier("memtier LPUSH", "LPUSH __key__ __data__", "ml:", 1000),
    memtier("memtier LRANGE of 10", "LRANGE __key__ 0 9", "ml:", 1000),
    memtier("memtier SADD", "SADD __key__ __data__", "ms:", 1000),
    memtier("memtier SCARD", "SCARD __key__", "ms:", 1000),
    memtier("memtier HSET", "HSET __key__ f __data__", "mh:", 1),
    memtier("memtier HGET", "HGET __key__ f", "mh:", 1),
    memtier("memtier ZADD", "ZADD __key__ 1 __data__", "mz:", 1000),
    memtier("memtier ZRANGE of 10", "ZRANGE __key__ 0 9", "mz:", 1000),
    memtier("memtier XADD", "XADD __key__ * f __data__", "mx:", 1000),
    memtier(
        "memtier EVAL of an INCR",
        "EVAL \"return redis.call('incr',KEYS[1])\" 1 __key__",
        "mi:",
        1,
    ),
];

const INCR: &str = "return redis.call('incr',KEYS[1])";
/// What FCALL calls.
const LIBRARY: &str = "#!lua name=bench\nredis.register_function('bench_incr', \
                       function(keys) return redis.call('incr', keys[1]) end)";

const PIPELINES: [u64; 3] = [1, 16, 50];
const CONNECTIONS: u64 = 50;
/// What the first look has; with fewer a start of the generator would be most of it.
const REQUESTS_MIN: f64 = 5000.0;
const REQUESTS_MAX: f64 = 100e6;
/// What a command that takes away leaves: LRANGE reads 600 elements of the list.
const LEFT: u64 = 1000;
/// Bytes of what a generator has written that are read.
const OUTPUT_MAX: u64 = 1 << 16;

/// A row's figures.
pub type Figures = [(&'static str, f64); 3];

/// How many requests each measurement has.
#[derive(Debug)]
pub struct Plan {
    keys: u64,
    seconds: f64,
    counts: Vec<(u64, Row, u64)>,
    /// What the page has to say.
    pub notes: Vec<String>,
}

/// What one server has shown in a round.
#[derive(Debug, Default)]
pub struct Turn {
    /// What was asked, and the figures.
    pub rows: Vec<(String, Figures)>,
    /// What could not be measured.
    pub notes: Vec<String>,
}

/// Requests that take about so long: whole batches on every connection.
fn requests(per_second: f64, seconds: f64, pipeline: u64) -> u64 {
    let wanted = (per_second * seconds).clamp(REQUESTS_MIN, REQUESTS_MAX) as u64;
    let round = pipeline * CONNECTIONS;
    wanted.div_ceil(round) * round
}

/// The part of a stock that one of several takers may look at: who comes after it finds as much.
fn share(stock: u64, takers: u64) -> u64 {
    match stock.checked_sub(LEFT) {
        Some(spare) => LEFT + spare / takers,
        None => stock,
    }
}

/// As many as there are, in whole batches, with some left.
fn stocked(requests: u64, stock: u64, pipeline: u64) -> u64 {
    if requests + LEFT <= stock {
        return requests;
    }
    stock.saturating_sub(LEFT) / pipeline * pipeline
}

/// Requests a second in what redis-benchmark prints with `--csv`. Older ones print this number
/// alone, newer ones latencies behind it; the title before it may be any command.
fn rate_of_csv(text: &str) -> Option<f64> {
    let line = text.lines().rfind(|line| line.starts_with('"'))?;
    let fields = line.trim().trim_matches('"').rsplit("\",\"");
    let rate = fields.map_while(|field| field.parse::<f64>().ok()).last()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// The same of the table that memtier_benchmark prints.
fn rate_of_table(text: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.trim_start().strip_prefix("Totals"))?;
    let rate = rest.split_whitespace().next()?.parse::<f64>().ok()?;
    (rate.is_finite() && rate > 0.0).then_some(rate)
}

/// A generator's command line.
fn line(row: &Row, port: u16, keys: u64, pipeline: u64, requests: u64) -> Vec<String> {
    let keys = (keys / row.part).max(1);
    let text = match row.ask {
        Ask::Test(_) | Ask::Words(_) => format!(
            "redis-benchmark -h 127.0.0.1 -p {port} -c {CONNECTIONS} -P {pipeline} -n {requests} \
             -r {keys} --csv"
        ),
        Ask::Memtier(_, prefix) => format!(
            "memtier_benchmark -s 127.0.0.1 -p {port} -c {CONNECTIONS} -t 1 -n {} -R -d 32 \
             --pipeline={pipeline} --distinct-client-seed --hide-histogram --key-minimum=1 \
             --key-maximum={keys} --key-prefix={prefix} --command-key-pattern=R",
            (requests / CONNECTIONS).max(1)
        ),
    };
    let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    match row.ask {
        Ask::Test(name) => words.extend(["-t".to_owned(), name.to_owned()]),
        Ask::Words(rest) => words.extend(rest.iter().map(|word| (*word).to_owned())),
        // The pattern belongs to the command before it.
        Ask::Memtier(command, _) => {
            let pattern = words.pop();
            words.push(format!("--command={command}"));
            words.extend(pattern);
        }
    }
    words
}

/// A generator that runs; killed with this value.
struct Generator(Child);

impl Drop for Generator {
    fn drop(&mut self) {
        ends::end(self.0.id().cast_signed());
        let _ = self.0.wait();
    }
}

/// Runs a generator to its end: what it printed, or why it failed.
fn run(words: &[String], dir: &Path, patience: Duration) -> Result<Result<String, String>, String> {
    use std::os::unix::process::CommandExt;
    let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
    let (out, err) = (dir.join("out"), dir.join("err"));
    // It runs where this thread runs, and dies with it.
    let child = Command::new(std::env::current_exe().map_err(failed)?)
        .args(["exec", "--parent", &std::process::id().to_string(), "--"])
        .args(words)
        .stdin(Stdio::null())
        .stdout(File::create(&out).map_err(failed)?)
        .stderr(File::create(&err).map_err(failed)?)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    ends::guard(child.id().cast_signed());
    let mut generator = Generator(child);
    let begin = Instant::now();
    let fine = loop {
        ends::interrupted()?;
        if let Some(status) = generator.0.try_wait().map_err(failed)? {
            break status.success();
        }
        if begin.elapsed() > patience {
            return Ok(Err(format!("it took longer than {} s", patience.as_secs())));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let complaint = head(&err);
    // memtier_benchmark counts an error reply as an answer.
    let refused = complaint.lines().find(|line| line.contains("handle error response"));
    match refused {
        None if fine => Ok(Ok(head(&out))),
        refused => {
            let last = complaint.lines().rfind(|line| !line.trim().is_empty());
            Ok(Err(refused.or(last).unwrap_or("the generator failed").trim().to_owned()))
        }
    }
}

fn head(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        let _ = file.take(OUTPUT_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Seconds of CPU of the generators that have ended.
fn generators() -> f64 {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = proc::parse_stat(&text).map_or(0, |stat| stat.ended);
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
struct Sample {
    requests: u64,
    per_second: f64,
    cpu: f64,
    generator: f64,
}

impl Sample {
    fn figures(&self) -> Figures {
        let seconds = self.requests as f64 / self.per_second;
        [
            ("requests a second", self.per_second),
            ("server CPU each, us", self.cpu * 1e6 / self.requests.max(1) as f64),
            ("generator busy, %", (self.generator / seconds * 100.0).min(100.0)),
        ]
    }
}

/// A server with data in it, which is asked.
struct Bench<'a> {
    plan: &'a Plan,
    running: Running,
    control: Control,
    dir: PathBuf,
    pipeline: u64,
}

impl Bench<'_> {
    /// Starts the server, with every key that GET may ask for.
    fn start<'a>(
        rig: &mut Rig,
        server: usize,
        plan: &'a Plan,
        pipeline: u64,
    ) -> Result<Bench<'a>, String> {
        let (mut running, _, mut control) = rig.start(server, VOLATILE)?;
        load::fill(&Mix::parse("set")?, &strings(plan.keys, 3), running.address)
            .map_err(|why| running.explain(&why))?;
        // Without functions FCALL is refused later, and that is told.
        let load = ["FUNCTION", "LOAD", "REPLACE", LIBRARY];
        control.ask(&load, ANSWER_MAX).map_err(|why| running.explain(&why))?;
        Ok(Bench { plan, running, control, dir: rig.fresh("generator")?, pipeline })
    }

    /// Asks so many times, or fewer where there is less to take away: a sample, or why there is
    /// none. Only a server that does not answer any more is an error.
    fn ask(&mut self, row: &Row, requests: u64) -> Result<Result<Sample, String>, String> {
        let count = match row.stock {
            None => requests,
            Some(Stock { count, takers }) => match self.control.ask(&count, ANSWER_MAX)? {
                Answer::Text(text) => {
                    let stock = share(text.parse().unwrap_or(0), takers);
                    stocked(requests, stock, self.pipeline)
                }
                Answer::Refused(why) => return Ok(Err(why)),
            },
        };
        if count == 0 {
            return Ok(Err("nothing was left to take".to_owned()));
        }
        let port = self.running.address.port();
        let words = line(row, port, self.plan.keys, self.pipeline, count);
        let patience = Duration::from_secs_f64(60.0 + self.plan.seconds * 20.0);
        let (cpu, own) = (proc::cpu_seconds(self.running.pid()), generators());
        let printed = run(&words, &self.dir, patience)?;
        let cpu = proc::cpu_seconds(self.running.pid()) - cpu;
        let alive = self.control.text(&["PING"], ANSWER_MAX);
        alive.map_err(|why| self.running.explain(&format!("{}: {why}", row.name)))?;
        let rate = |text: String| match row.ask {
            Ask::Memtier(..) => rate_of_table(&text),
            Ask::Test(_) | Ask::Words(_) => rate_of_csv(&text),
        };
        let sample =
            |per_second| Sample { requests: count, per_second, cpu, generator: generators() - own };
        Ok(printed.and_then(|text| rate(text).map(sample).ok_or("no rate was printed".to_owned())))
    }
}

/// Looks how fast the first server is, and chooses how many requests everything has.
pub fn plan(rig: &mut Rig, keys: u64, seconds: f64) -> Result<Plan, String> {
    if on_path("redis-benchmark").is_none() {
        return Err("--part types needs redis-benchmark on PATH".to_owned());
    }
    let memtier = on_path("memtier_benchmark").is_some();
    let mut plan = Plan { keys, seconds, counts: Vec::new(), notes: Vec::new() };
    plan.notes.push(format!(
        "Types: as many requests for each server as the first answers in about {seconds} s; the \
         keys, of -r {keys}, are there before; values of 3 bytes, 32 with memtier_benchmark; what \
         takes away stops before there is nothing left. Where the generator is busy to 100 % the \
         server could do more, and the CPU is what counts"
    ));
    if !memtier {
        plan.notes.push("Types: there is no memtier_benchmark on PATH".to_owned());
    }
    eprintln!("types: how many requests");
    let (mut counts, mut notes) = (Vec::new(), Vec::new());
    for pipeline in PIPELINES {
        let mut bench = Bench::start(rig, 0, &plan, pipeline)?;
        for row in ROWS.iter().filter(|row| memtier || !matches!(row.ask, Ask::Memtier(..))) {
            match look(&mut bench, row)? {
                Ok(per_second) => {
                    counts.push((pipeline, *row, requests(per_second, seconds, pipeline)));
                }
                Err(why) => notes.push(format!("Types: {} is left out: {why}", row.name)),
            }
        }
    }
    plan.counts = counts;
    plan.notes.extend(notes);
    Ok(plan)
}

/// How fast it is: a first look, by which a longer one is chosen.
fn look(bench: &mut Bench<'_>, row: &Row) -> Result<Result<f64, String>, String> {
    let pipeline = bench.pipeline;
    let first = match bench.ask(row, requests(0.0, 0.0, pipeline))? {
        Ok(sample) => sample.per_second,
        Err(why) => return Ok(Err(why)),
    };
    let count = requests(first, bench.plan.seconds / 10.0, pipeline);
    if count == requests(0.0, 0.0, pipeline) {
        return Ok(Ok(first));
    }
    let longer = bench.ask(row, count)?;
    // What there was to take may be gone by now.
    Ok(Ok(longer.map_or(first, |sample| sample.per_second)))
}

/// Every row on one server.
pub fn turn(rig: &mut Rig, server: usize, plan: &Plan) -> Result<Turn, String> {
    let mut turn = Turn::default();
    let name = rig.specs.get(server).map(|spec| spec.name.clone()).unwrap_or_default();
    for pipeline in PIPELINES {
        let mut bench = Bench::start(rig, server, plan, pipeline)?;
        for (_, row, count) in plan.counts.iter().filter(|(at, ..)| *at == pipeline) {
            let what = format!("{} P{pipeline}", row.name);
            match bench.ask(row, *count)? {
                Ok(sample) => {
                    let figures = sample.figures();
                    let told =
                        figures.map(|(name, value)| format!("{name}: {}", stats::short(value)));
                    eprintln!("  {what}: {}", told.join("; "));
                    turn.rows.push((what, figures));
                }
                Err(why) => {
                    eprintln!("  {what}: {why}");
                    turn.notes.push(format!("{name}, {what}: {why}"));
                }
            }
        }
    }
    Ok(turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_take_about_the_time() {
        assert_eq!(requests(100_000.0, 2.0, 1), 200_000);
        assert_eq!(requests(100_001.0, 1.0, 16), 100_800);
        for pipeline in PIPELINES {
            let few = requests(0.0, 1.0, pipeline);
            assert!((5000..8000).contains(&few) && few.is_multiple_of(pipeline * 50), "{few}");
        }
        assert_eq!(requests(f64::INFINITY, 1.0, 1), 100_000_000);
        assert_eq!(stocked(5000, 6000, 16), 5000);
        assert_eq!(stocked(5000, 5999, 16), 4992);
        assert_eq!(stocked(5000, 900, 16), 0);
        assert_eq!([share(9000, 1), share(9000, 2), share(900, 2)], [9000, 5000, 900]);
    }

    #[test]
    fn rates_are_read() {
        let new = "\"test\",\"rps\",\"avg_latency_ms\"\n\"MSET (10 keys)\",\"7874.02\",\"5.159\"\n";
        assert_eq!(rate_of_csv(new), Some(7874.02));
        assert_eq!(rate_of_csv("\"SET\",\"91743.12\"\n"), Some(91743.12));
        let command = "\"eval return redis.call(\"x\",\"y\") 1 a\",\"5.00\",\"1.0\",\"0.2\"\n";
        assert_eq!(rate_of_csv(command), Some(5.0));
        for bad in ["", "\"test\",\"rps\"\n", "\"SET\",\"inf\"", "\"SET\",\"0.00\"", "SET: 5"] {
            assert_eq!(rate_of_csv(bad), None, "{bad}");
        }
        let table =
            "Type     Ops/sec   Hits/sec\n-----\nSadds   9.5  ---\nTotals    123456.78   0.00\n";
        assert_eq!(rate_of_table(table), Some(123456.78));
        assert_eq!(rate_of_table("Totals --- 1"), None);
        assert_eq!(rate_of_table("error"), None);
    }

    #[test]
    fn command_lines() {
        let find = |name: &str| ROWS.iter().find(|row| row.name == name).expect("a row");
        let set = line(find("SET"), 7, 1000, 16, 8000).join(" ");
        let start = "redis-benchmark -h 127.0.0.1 -p 7 -c 50 -P 16 -n 8000 -r 1000 --csv";
        assert_eq!(set, format!("{start} -t set"));
        let eval = line(find("EVAL of an INCR"), 7, 1000, 16, 8000);
        assert_eq!(
            eval.get(eval.len() - 4..).expect("words"),
            ["eval", INCR, "1", "counter:__rand_int__"]
        );
        let sadd = line(find("memtier SADD"), 7, 500, 1, 8000);
        assert!(sadd.contains(&"--command=SADD __key__ __data__".to_owned()), "{sadd:?}");
        assert!(sadd.join(" ").contains("-n 160 -R"), "{sadd:?}");
        assert!(sadd.contains(&"--key-maximum=1".to_owned()), "{sadd:?}");
        assert_eq!(sadd.last().expect("a word"), "--command-key-pattern=R");
    }

    #[test]
    fn a_sample_in_figures() {
        let sample = Sample { requests: 1000, per_second: 500.0, cpu: 0.5, generator: 1.0 };
        assert_eq!(sample.figures().map(|(_, value)| value), [500.0, 500.0, 50.0]);
    }
}
