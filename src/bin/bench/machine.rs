//! What the figures were taken on: kernel, processor, cores, how busy it was, the day.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use basalt::base::calendar;

/// The machine, as a page names it.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// Logical processors.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory_mib: u64,
    /// The kernel.
    pub kernel: String,
    /// Does the kernel divide the processors between sessions (autogroup)? Then everything that a
    /// bench starts is one group, and the kernel's own threads wait for its turn to end.
    pub groups: bool,
}

impl Machine {
    /// This one.
    pub fn here() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let uname = rustix::system::uname();
        let kernel =
            format!("{} {}", uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        Machine {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: kilobytes(&read("/proc/meminfo"), "MemTotal") / 1024,
            kernel,
            groups: read("/proc/sys/kernel/sched_autogroup_enabled").trim() == "1",
        }
    }

    /// A name for the directory of its results: `amd-epyc-2-cores`.
    pub fn slug(&self) -> String {
        slug(&format!("{} {} cores", self.processor, self.cores))
    }

    /// One line for a page.
    pub fn tell(&self) -> String {
        format!(
            "{}, {} cores, {:.1} GiB, {} (kernel.sched_autogroup_enabled {})",
            self.processor,
            self.cores,
            self.memory_mib as f64 / 1024.0,
            self.kernel,
            u8::from(self.groups)
        )
    }
}

/// Bytes that programs could still have.
pub fn available() -> u64 {
    kilobytes(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemAvailable") * 1024
}

/// How many threads wanted to run, on average over the last minute.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(f64::NAN)
}

/// The day, as 2026-11-29, in UTC.
pub fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (year, month, day) = calendar::date(now.as_secs() / 86_400);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The command that this process was started with.
pub fn command_line() -> String {
    let quote =
        |word: String| match word.contains([' ', '{', '"', '\'', '$', '*']) || word.is_empty() {
            true => format!("'{}'", word.replace('\'', "'\\''")),
            false => word,
        };
    let mut words = std::env::args();
    let program = words.next().unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default().to_owned();
    std::iter::once(name).chain(words.map(quote)).collect::<Vec<_>>().join(" ")
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.filter(|(key, _)| key.trim() == name).map(|(_, value)| value.trim()).next()
}

fn kilobytes(text: &str, name: &str) -> u64 {
    let value = field(text, name).and_then(|value| value.split_whitespace().next());
    value.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn slug(text: &str) -> String {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_fields() {
        assert_eq!(slug("AMD EPYC(tm) 9R14, 2 cores"), "amd-epyc-tm-9r14-2-cores");
        assert_eq!(kilobytes("MemTotal:  12 kB\nMemFree: 3 kB\n", "MemFree"), 3);
        assert_eq!(field("model name\t: x y\n", "model name"), Some("x y"));
        let here = Machine::here();
        assert!(here.cores > 0 && here.memory_mib > 0 && here.kernel.starts_with("Linux"));
        assert_eq!(today().len(), 10);
        assert!(available() > 0);
    }
}
