//! What a comparison runs on: which servers, which cores, which directories.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::control::{self, Control};
use crate::engine::Wait;
use crate::machine::{self, Machine};
use crate::server::{self, Running, Spec, Work};
use crate::{ends, proc};

/// Options that `snapshot`, `compare` and `stalls` share.
#[derive(Args, Clone, Debug)]
pub struct RigArgs {
    /// Another server: "name=command line with {port} and {dir}"; a word {options} becomes the
    /// scenario's settings in the form of Redis [default: redis-server, if it is on PATH]
    #[arg(long, value_name = "NAME=COMMAND")]
    peer: Vec<String>,
    /// Measures Basalt alone
    #[arg(long, conflicts_with = "peer")]
    alone: bool,
    /// The Basalt server [default: basalt-server beside this program]
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// Its shards; more than one needs as many --server-cores
    #[arg(long, default_value_t = 1)]
    shards: u32,
    /// The cores of the servers, such as 1 or 1-3 [default: the last; on one core all share it]
    #[arg(long)]
    server_cores: Option<String>,
    /// The core of the generator [default: the first]
    #[arg(long)]
    generator_core: Option<usize>,
    /// A port for the servers [default: any that is free]
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the servers keep their data meanwhile
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    work: PathBuf,
    /// Where pages are written [default: bench-results/MACHINE]
    #[arg(long)]
    out: Option<PathBuf>,
    /// A name for this machine [default: made of processor and cores]
    #[arg(long)]
    machine: Option<String>,
}

/// Servers at most.
const SERVERS_MAX: usize = 5;

/// The same, found and checked.
pub struct Rig {
    /// Ours first.
    pub specs: Vec<Spec>,
    /// Where servers run.
    pub server_cores: Vec<usize>,
    /// What the generator does while nothing is due.
    pub wait: Wait,
    /// Where pages are written.
    pub out: PathBuf,
    /// The machine.
    pub machine: Machine,
    /// Servers' versions, as they tell them; filled in when they run.
    pub versions: Vec<Option<String>>,
    work: Work,
    port: u16,
}

impl RigArgs {
    /// Finds and checks everything. `bytes` is the data of one server.
    pub fn rig(&self, bytes: u64) -> Result<Rig, String> {
        let specs = self.specs()?;
        for spec in &specs {
            spec.program()?;
        }
        let machine = Machine::here();
        let (server_cores, generator) = self.cores(machine.cores)?;
        ends::pin(&Vec::from_iter(generator))?;
        server::port(self.port)?;
        // A fork under writes needs everything twice.
        let needed = bytes * 2 + (64 << 20);
        if machine::available() < needed {
            return Err(format!(
                "{} MiB of memory are available, and a server that forks may need {}: use less \
                 data",
                machine::available() >> 20,
                needed >> 20
            ));
        }
        // An old and a new snapshot, and a log.
        let work = Work::new(&self.work, bytes * 3)?;
        let name = self.machine.clone().unwrap_or_else(|| machine.slug());
        let out = self.out.clone().unwrap_or_else(|| Path::new("bench-results").join(name));
        fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
        // Spinning needs a core of its own. (The cores that this thread may use are one by now.)
        let wait = if generator.is_none() { Wait::Sleep } else { Wait::Spin };
        let versions = vec![None; specs.len()];
        let port = self.port;
        Ok(Rig { specs, server_cores, wait, out, machine, versions, work, port })
    }

    fn specs(&self) -> Result<Vec<Spec>, String> {
        let mut specs = vec![self.ours(self.shards)?];
        for peer in &self.peer {
            specs.push(Spec::parse(peer)?);
        }
        if self.peer.is_empty() && !self.alone {
            if server::on_path("redis-server").is_none() {
                return Err("there is no redis-server on PATH: install it, name another server \
                            with --peer, or measure --alone"
                    .to_owned());
            }
            specs.push(Spec::parse("redis=redis-server --port {port} --dir {dir} {options}")?);
        }
        if specs.len() > SERVERS_MAX {
            return Err(format!("at most {} peers", SERVERS_MAX - 1));
        }
        for (i, spec) in specs.iter().enumerate() {
            if specs.iter().skip(i + 1).any(|other| other.name == spec.name) {
                return Err(format!("two servers have the name {}", spec.name));
            }
        }
        Ok(specs)
    }

    /// Basalt with so many shards.
    pub fn ours(&self, shards: u32) -> Result<Spec, String> {
        let beside = || Ok(std::env::current_exe()?.with_file_name("basalt-server"));
        let path = self.server.clone().map_or_else(beside, Ok);
        let path = path.map_err(|error: std::io::Error| format!("basalt-server: {error}"))?;
        let path = path.to_str().ok_or("the server's path is not UTF-8")?.to_owned();
        let line = format!(" --port {{port}} --dir {{dir}} --shards {shards} {{options}}");
        let mut spec = Spec::parse(&format!("basalt=x{line}"))?;
        spec.words.splice(..1, [path]);
        Ok(spec)
    }

    /// The servers' cores and the generator's.
    fn cores(&self, count: usize) -> Result<(Vec<usize>, Option<usize>), String> {
        let generator = self.generator_core.or((count > 1).then_some(0));
        let servers = match &self.server_cores {
            Some(text) => proc::parse_cores(text)?,
            None if count > 1 => vec![count - 1],
            None => Vec::new(),
        };
        if generator.is_some_and(|core| servers.contains(&core)) {
            return Err("the generator spins and needs a core that no server has: \
                        --server-cores, --generator-core"
                .to_owned());
        }
        Ok((servers, generator))
    }
}

/// How long a server may take to start on an empty directory.
const START_MAX: Duration = Duration::from_secs(60);
/// How long an answer to an order may take.
pub const ANSWER_MAX: Duration = Duration::from_secs(60);

impl Rig {
    /// A server that runs on an empty directory; its directory; and a control connection.
    pub fn start(
        &mut self,
        server: usize,
        options: &[&str],
    ) -> Result<(Running, PathBuf, Control), String> {
        let spec = self.specs.get(server).ok_or("no such server")?.clone();
        let dir = self.work.fresh(&spec.name)?;
        let (running, control, _) = self.start_on(&spec, &dir, options, START_MAX)?;
        Ok((running, dir, control))
    }

    /// A server that runs on a directory, once it has loaded; and the seconds that took.
    pub fn start_on(
        &mut self,
        spec: &Spec,
        dir: &Path,
        options: &[&str],
        patience: Duration,
    ) -> Result<(Running, Control, f64), String> {
        let port = server::port(self.port)?;
        let mut running = Running::start(spec, &self.server_cores, port, dir, options)?;
        let (mut control, seconds) = running.ready(patience)?;
        let at = self.specs.iter().position(|other| other.name == spec.name);
        if let Some(version) = at.and_then(|at| self.versions.get_mut(at))
            && version.is_none()
        {
            *version = Some(version_of(&mut control)?);
        }
        Ok((running, control, seconds))
    }

    /// An empty directory for data.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, String> {
        self.work.fresh(name)
    }

    /// Writes a file of a page.
    pub fn write(&self, name: &str, text: &str) -> Result<(), String> {
        let path = self.out.join(name);
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        eprintln!("wrote {}", path.display());
        Ok(())
    }

    /// What stands at the head of every page.
    pub fn head(&self, load_before: f64) -> String {
        let cores: Vec<String> = self.server_cores.iter().map(usize::to_string).collect();
        let cores = match cores.as_slice() {
            [] => "no core of their own".to_owned(),
            all => format!("core {}", all.join(", ")),
        };
        let mut out = format!(
            "{} on {}; servers have {cores}, the generator another. Threads that wanted to run, \
             before this began and when it ended (the load average of a minute): {} and {}.\n\n\
             ```sh\n{}\n```\n\n",
            machine::today(),
            self.machine.tell(),
            crate::stats::short(load_before),
            crate::stats::short(machine::load()),
            machine::command_line()
        );
        for (spec, version) in self.specs.iter().zip(&self.versions) {
            let command = spec.words.join(" ");
            let command = command
                .rsplit_once("/basalt-server")
                .map_or(command.clone(), |(_, rest)| format!("basalt-server{rest}"));
            let version = version.as_deref().unwrap_or("not asked");
            out.push_str(&format!("- **{}**: {version}; `{command}`\n", spec.name));
        }
        out.push('\n');
        out
    }
}

/// Who a server says it is.
fn version_of(control: &mut Control) -> Result<String, String> {
    let info = control.text(&["INFO", "server"], ANSWER_MAX)?;
    const NAMES: &[(&str, &str)] = &[
        ("basalt_version", "Basalt"),
        ("dragonfly_version", "Dragonfly"),
        ("valkey_version", "Valkey"),
        ("redis_version", "Redis"),
    ];
    let named = NAMES.iter().find_map(|(name, who)| {
        control::field(&info, name).map(|version| format!("{who} {version}"))
    });
    Ok(named.unwrap_or_else(|| "a server that does not say its version".to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        rig: RigArgs,
    }

    fn args(words: &[&str]) -> RigArgs {
        Line::try_parse_from([&["x"], words].concat()).expect("options").rig
    }

    #[test]
    fn cores_are_chosen_or_refused() {
        assert_eq!(args(&[]).cores(2), Ok((vec![1], Some(0))));
        assert_eq!(args(&[]).cores(1), Ok((vec![], None)));
        let chosen = args(&["--server-cores", "1-2", "--generator-core", "3"]).cores(4);
        assert_eq!(chosen, Ok((vec![1, 2], Some(3))));
        let shared = args(&["--server-cores", "0,1"]).cores(2);
        assert!(shared.expect_err("shared").contains("--generator-core"));
    }

    #[test]
    fn peers_are_chosen_or_refused() {
        let alone = args(&["--alone", "--server", "/x/basalt-server"]).specs().expect("one");
        assert_eq!(alone.len(), 1);
        assert_eq!(alone[0].words[0], "/x/basalt-server");
        let twice = args(&["--peer", "basalt=x {port} {dir}"]).specs();
        assert!(twice.expect_err("the same name").contains("basalt"));
        let ours = ["--server", "/bin/true"];
        let missing =
            args(&[&ours[..], &["--peer", "x=no-such-program {port} {dir}"]].concat()).rig(1);
        assert!(missing.err().expect("missing").contains("no-such-program"));
        let large = args(&["--alone", "--server", "/bin/true"]).rig(1 << 50);
        assert!(large.err().expect("too large").contains("memory"));
    }
}
