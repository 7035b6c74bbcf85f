//! One server in a process of its own: started on a command line, pinned, watched, killed.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::control::{Answer, Control};
use crate::ends;

/// A kind of server: a name for the page, and how it is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name in tables and pictures.
    pub name: String,
    /// Words with `{port}`, `{dir}` and perhaps `{options}`.
    pub words: Vec<String>,
}

impl Spec {
    /// Reads `name=command line with {port} and {dir}`. Words may be quoted.
    pub fn parse(text: &str) -> Result<Spec, String> {
        let shape = "a peer is \"name=command line with {port} and {dir}\"";
        let (name, line) = text.split_once('=').ok_or(format!("{text:?}: {shape}"))?;
        let name = name.trim().to_owned();
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        {
            return Err(format!("{name:?}: a name is of letters, digits, '-', '_' and '.'"));
        }
        let words = split(line)?;
        if !line.contains("{port}") || !line.contains("{dir}") {
            return Err(format!("{text:?}: {shape}"));
        }
        Ok(Spec { name, words })
    }

    /// Can a scenario say how it persists?
    pub fn takes_options(&self) -> bool {
        self.words.iter().any(|word| word == "{options}")
    }

    /// The command line for one start.
    pub fn command(&self, port: u16, dir: &Path, options: &[&str]) -> Vec<String> {
        let mut words = Vec::new();
        for word in &self.words {
            if word == "{options}" {
                words.extend(options.iter().map(|option| (*option).to_owned()));
            } else {
                let word = word.replace("{port}", &port.to_string());
                words.push(word.replace("{dir}", &dir.to_string_lossy()));
            }
        }
        words
    }

    /// The program, if it is there.
    pub fn program(&self) -> Result<PathBuf, String> {
        let name = self.words.first().cloned().unwrap_or_default();
        let found = if name.contains('/') {
            Some(PathBuf::from(&name)).filter(|path| path.is_file())
        } else {
            on_path(&name)
        };
        found.ok_or(format!("{}: there is no program {name:?}", self.name))
    }
}

/// A program on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// Words, of which some are in single or double quotes.
fn split(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() {
        return Err(format!("{line:?}: a quote is not closed"));
    }
    Ok(words)
}

/// A port that nobody listens on: the one that was asked for, or any.
pub fn port(asked: u16) -> Result<u16, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, asked))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("port {asked} cannot be used: {error}"))
}

/// A server that runs; killed with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
    log: PathBuf,
    name: String,
}

impl Running {
    /// Starts it; it is not ready yet.
    pub fn start(
        spec: &Spec,
        cores: &[usize],
        port: u16,
        dir: &Path,
        options: &[&str],
    ) -> Result<Running, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", spec.name);
        spec.program()?;
        let log = dir.with_extension("log");
        let out = File::create(&log).map_err(failed)?;
        let child = ends::guarded(cores, spec.command(port, dir, options))?
            .stdin(Stdio::null())
            .stderr(out.try_clone().map_err(failed)?)
            .stdout(out)
            .spawn()
            .map_err(failed)?;
        ends::guard(child.id().cast_signed());
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Running { child, address, log, name: spec.name.clone() })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has loaded and answers; a control connection, and the seconds it took.
    pub fn ready(&mut self, patience: Duration) -> Result<(Control, f64), String> {
        let begin = Instant::now();
        let mut told = begin;
        while begin.elapsed() < patience {
            ends::interrupted()?;
            if self.child.try_wait().is_ok_and(|status| status.is_some()) {
                return Err(self.explain("it ended at its start"));
            }
            if let Ok(mut control) = Control::open(self.address) {
                // While it loads this is an error, or takes its time.
                let answer = control.ask(&["PING"], Duration::from_secs(5));
                if answer == Ok(Answer::Text("PONG".to_owned())) {
                    return Ok((control, begin.elapsed().as_secs_f64()));
                }
            }
            if told.elapsed() > Duration::from_secs(2) {
                eprintln!("    {} is loading, {:.0} s", self.name, begin.elapsed().as_secs_f64());
                told = Instant::now();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(self.explain(&format!("it was not ready in {} s", patience.as_secs())))
    }

    /// What went wrong with it: its state and the end of its log.
    pub fn explain(&mut self, why: &str) -> String {
        // A process that has just closed a connection takes a moment to be dead.
        std::thread::sleep(Duration::from_millis(100));
        let state = match self.child.try_wait() {
            Ok(Some(status)) => format!("it has ended ({status})"),
            _ => "it runs".to_owned(),
        };
        format!("{}: {why}; {state}; its log ends:\n{}", self.name, tail(&self.log))
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) {
        ends::end(self.child.id().cast_signed());
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lines of a log that are shown.
const TAIL_LINES: usize = 20;

fn tail(path: &Path) -> String {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(TAIL_LINES);
    let last: Vec<String> = lines.iter().skip(start).map(|line| format!("    {line}")).collect();
    last.join("\n")
}

/// Bytes of the files of a directory, and of those below it, that a snapshot may be made of:
/// logs (`.aof`) are not counted.
pub fn snapshot_bytes(dir: &Path) -> u64 {
    files(dir, |name| !name.ends_with(".aof"))
}

fn files(dir: &Path, counts: fn(&str) -> bool) -> u64 {
    let mut sum = 0;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(about) = entry.metadata() else { continue };
        if about.is_dir() {
            sum += files(&entry.path(), counts);
        } else if counts(&entry.file_name().to_string_lossy()) {
            sum += about.len();
        }
    }
    sum
}

/// A directory for the data of a run; removed with this value.
#[derive(Debug)]
pub struct Work(pub PathBuf);

impl Work {
    /// A new one, in a place that has so many bytes left.
    pub fn new(parent: &Path, needed: u64) -> Result<Work, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", parent.display());
        fs::create_dir_all(parent).map_err(failed)?;
        let about = rustix::fs::statvfs(parent).map_err(|error| failed(error.into()))?;
        let free = about.f_bavail * about.f_frsize;
        if free < needed {
            return Err(format!(
                "{}: {} MiB free, and this run may need {}: choose another --work, or less data",
                parent.display(),
                free >> 20,
                needed >> 20
            ));
        }
        let path = parent.join(format!("basalt-bench-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Work(path))
    }

    /// An empty directory in it.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.0.join(name);
        let failed = |error: std::io::Error| format!("{}: {error}", path.display());
        if path.exists() {
            fs::remove_dir_all(&path).map_err(failed)?;
        }
        fs::create_dir(&path).map_err(failed)?;
        Ok(path)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_read_or_refused() {
        let spec =
            Spec::parse("v8=valkey-server --port {port} --dir {dir} --x 'a b' \"\" {options}")
                .expect("a peer");
        assert_eq!(spec.name, "v8");
        assert!(spec.takes_options());
        let command = spec.command(77, Path::new("d"), &["--save", ""]);
        let expected =
            ["valkey-server", "--port", "77", "--dir", "d", "--x", "a b", "", "--save", ""];
        assert_eq!(command, expected);
        let attached = Spec::parse("d=dragonfly --port={port} --dir={dir}").expect("a peer");
        assert_eq!(
            attached.command(5, Path::new("e"), &["--save", ""])[1..],
            ["--port=5", "--dir=e"]
        );
        assert!(!attached.takes_options());
        for bad in
            ["", "redis-server", "a b=x {port} {dir}", "x=redis --port {port}", "x='{port}{dir}"]
        {
            assert!(Spec::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_missing_program_and_a_used_port_are_told() {
        let spec = Spec::parse("x=no-such-program-here {port} {dir}").expect("a peer");
        assert!(spec.program().expect_err("missing").contains("no-such-program-here"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let used = listener.local_addr().expect("an address").port();
        assert!(port(used).expect_err("used").contains(&used.to_string()));
        assert!(port(0).expect("any") > 0);
    }

    #[test]
    fn a_full_disk_is_told_before() {
        let home = std::env::temp_dir();
        assert!(Work::new(&home, u64::MAX).expect_err("too much").contains("free"));
        let work = Work::new(&home, 1).expect("a directory");
        let (kept, path) = (work.0.clone(), work.fresh("a").expect("a directory"));
        fs::write(path.join("x.rdb"), "1234").expect("a file");
        fs::write(path.join("x.aof"), "12").expect("a file");
        assert_eq!(snapshot_bytes(&path), 4);
        drop(work);
        assert!(!kept.exists());
    }
}
