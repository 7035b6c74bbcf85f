//! Fuzzing as ordinary tests: mutated inputs by seed, within a time, in a process of its own.
//!
//! A target is a function from bytes that panics on what must not be. Each runs for
//! `BASALT_FUZZ_SECONDS` (1 when unset), in a child process whose address space may grow by
//! `ROOM` only: memory that is reserved because of a number in the input is refused there,
//! touched or not, and the child dies. An input that takes a second fails. A case is a number;
//! `BASALT_FUZZ_CASE=number` runs it alone. What was found stays in the corpus.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::base::prng::Prng;

pub mod mutate;

use mutate::mutated;

/// Bytes by which the address space of a target may grow.
const ROOM: u64 = 256 << 20;
/// What one input may take. A machine under load is late by itself, so it is asked twice.
const SLOW: Duration = Duration::from_secs(1);

/// Where the parent looks when this process is gone: the case that it died of.
struct Last(File);

impl Last {
    fn note(&mut self, case: u64) {
        let _ = self.0.write_all_at(format!("{case:020}").as_bytes(), 0);
    }
}

/// The address space of this process now.
fn address_space() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("statm");
    let pages: u64 = text.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    pages * 4096
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Runs a target. `test` is the path of the test that calls this, as cargo names it.
pub fn fuzz(test: &str, corpus: &[Vec<u8>], target: impl Fn(&[u8], &mut Prng)) {
    if std::env::var_os("BASALT_FUZZ_CHILD").is_none() {
        let found = child(test, "");
        return println!("{}", found.unwrap_or_else(|why| panic!("{why}")));
    }
    // Every input of the corpus as it is, and once before memory is counted: tables are made.
    let mut prng = Prng::new(0);
    corpus.iter().for_each(|input| target(input, &mut prng));
    let limit = address_space() + ROOM;
    let maximum = getrlimit(Resource::As).maximum;
    setrlimit(Resource::As, Rlimit { current: Some(limit), maximum }).expect("a limit");
    let one = variable("BASALT_FUZZ_CASE");
    let seconds = variable("BASALT_FUZZ_SECONDS").unwrap_or(1);
    // Other cases in every long run, the same ones in every short one.
    let first = one.unwrap_or(if seconds > 1 { u64::from(std::process::id()) << 40 } else { 0 });
    let until = Instant::now() + Duration::from_secs(seconds);
    let path = std::env::var("BASALT_FUZZ_CHILD").expect("a child");
    let mut last = Last(File::create(path).expect("a file"));
    let mut case = first;
    while case == first || (one.is_none() && Instant::now() < until) {
        last.note(case);
        check(test, case, corpus, &target);
        case += 1;
    }
    println!("\nfuzz {test}: {} inputs, nothing found", case - first);
}

fn check(test: &str, case: u64, corpus: &[Vec<u8>], target: &impl Fn(&[u8], &mut Prng)) {
    let mut prng = Prng::new(case);
    let input = mutated(&mut prng, corpus);
    let mut took = Duration::MAX;
    for _ in 0..2 {
        let (began, mut prng) = (Instant::now(), prng.clone());
        let done = catch_unwind(AssertUnwindSafe(|| target(&input, &mut prng)));
        took = took.min(began.elapsed());
        assert!(done.is_ok(), "{}", reproduce(test, case, &input));
        if took < SLOW {
            return;
        }
    }
    panic!("{took:?}: {}", reproduce(test, case, &input));
}

fn reproduce(test: &str, case: u64, input: &[u8]) -> String {
    let shown = &input[..input.len().min(2000)];
    let input = shown.escape_ascii();
    format!("the input is \"{input}\"\n  BASALT_FUZZ_CASE={case} cargo test --lib {test}")
}

/// Runs a target in a process of its own: its last line, or what was found. `plant` is a mistake
/// that the target is asked to make.
fn child(test: &str, plant: &str) -> Result<String, String> {
    let last = tempfile::NamedTempFile::new().expect("a file");
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
    command.env("BASALT_FUZZ_CHILD", last.path()).env("BASALT_FUZZ_PLANT", plant);
    let output = command.output().expect("a process");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let told = said.lines().find(|line| line.starts_with("fuzz "));
    match told.filter(|_| output.status.success()) {
        Some(line) => Ok(line.to_owned()),
        None => {
            let case = std::fs::read_to_string(last.path()).unwrap_or_default();
            let case = case.parse::<u64>().unwrap_or_default();
            let again = format!("BASALT_FUZZ_CASE={case} cargo test --lib {test}");
            Err(format!("{}:\n{said}\n  {again}", output.status))
        }
    }
}

/// The lines of a corpus, in which `\r`, `\n`, `\xHH` and `\\` stand for bytes.
pub fn lines(text: &str) -> Vec<Vec<u8>> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(unescaped).collect()
}

fn unescaped(line: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), line.as_bytes());
    while let [byte, tail @ ..] = rest {
        rest = tail;
        if *byte != b'\\' {
            out.push(*byte);
            continue;
        }
        let (value, used) = match rest {
            [b'r', ..] => (b'\r', 1),
            [b'n', ..] => (b'\n', 1),
            [b'x', digits @ ..] => {
                let digits = std::str::from_utf8(&digits[..2]).expect("two digits");
                (u8::from_str_radix(digits, 16).expect("hexadecimal"), 3)
            }
            [other, ..] => (*other, 1),
            [] => panic!("a line of the corpus ends in a backslash"),
        };
        out.push(value);
        rest = &rest[used..];
    }
    out
}

#[cfg(test)]
mod acl;
#[cfg(test)]
mod tests;
