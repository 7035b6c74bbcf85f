//! A server in a process and a directory of its own; it never outlives its test.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::client::Client;
use super::peers;

/// How long a server may take to be ready, or to go.
const PATIENCE: Duration = Duration::from_secs(60);

/// Which server a `Launch` starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The server under test.
    Basalt,
    /// The peer; settings that it does not know are left out.
    Redis,
}

/// What to start, and how. The directories live as long as this does.
#[derive(Debug)]
pub struct Launch {
    kind: Kind,
    program: PathBuf,
    home: TempDir,
    dir: PathBuf,
    port: u16,
    file: Option<PathBuf>,
    args: Vec<String>,
    starts: AtomicU32,
}

/// The program under test. `BASALT_TEST_SERVER` names another one, also a redis-server: that
/// is how the tests themselves are tested.
fn program() -> (Kind, PathBuf) {
    let Some(path) = std::env::var_os("BASALT_TEST_SERVER") else {
        return (Kind::Basalt, PathBuf::from(env!("CARGO_BIN_EXE_basalt-server")));
    };
    let path = PathBuf::from(path);
    let is_redis = path.file_name().is_some_and(|name| name.to_string_lossy().contains("redis"));
    (if is_redis { Kind::Redis } else { Kind::Basalt }, path)
}

/// A port that nobody listens on. Each asks for its own range, by process and by turn, so that
/// tests that run beside each other seldom meet; whoever does meet asks again.
pub fn free_port() -> u16 {
    static TURN: AtomicU32 = AtomicU32::new(0);
    loop {
        let turn = TURN.fetch_add(1, Ordering::Relaxed);
        let port = 11_000 + (std::process::id().wrapping_mul(131).wrapping_add(turn * 7)) % 20_000;
        let port = u16::try_from(port).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Launch {
    /// The server under test.
    pub fn basalt() -> Launch {
        let (kind, program) = program();
        Launch::new(kind, program)
    }

    /// The peer; `None` (and a line that says so) where it is not installed.
    pub fn redis() -> Option<Launch> {
        peers::need("redis-server").map(|program| Launch::new(Kind::Redis, program))
    }

    fn new(kind: Kind, program: PathBuf) -> Launch {
        let home = tempfile::Builder::new().prefix("basalt-test-").tempdir().expect("a directory");
        let dir = home.path().join("data");
        fs::create_dir(&dir).expect("a data directory");
        let mut args = vec!["--bind", "127.0.0.1", "--enable-debug-command", "yes"];
        if kind == Kind::Redis {
            args.extend(["--daemonize", "no"]);
        }
        let args = args.into_iter().map(str::to_owned).collect();
        let starts = AtomicU32::new(0);
        Launch { kind, program, home, dir, port: free_port(), file: None, args, starts }
    }

    /// Which server it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The directory of its data.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A directory that goes with the launch, for other files of a test.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Keeps the data elsewhere.
    pub fn in_dir(mut self, dir: &Path) -> Launch {
        self.dir = dir.to_owned();
        self
    }

    /// Another port, on purpose.
    pub fn on_port(mut self, port: u16) -> Launch {
        self.port = port;
        self
    }

    /// A configuration file; the flags come after it.
    pub fn file(mut self, file: &Path) -> Launch {
        self.file = Some(file.to_owned());
        self
    }

    /// More settings, as flags.
    pub fn with(mut self, args: &[&str]) -> Launch {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// The number of shards; the peer has one.
    pub fn shards(self, count: u32) -> Launch {
        if self.kind == Kind::Redis { self } else { self.with(&["--shards", &count.to_string()]) }
    }

    /// What a start makes of the log's tail; the peer has no choice.
    pub fn recovery(self, how: &str) -> Launch {
        if self.kind == Kind::Redis { self } else { self.with(&["--recovery", how]) }
    }

    /// Nothing is written to the disk.
    pub fn volatile(self) -> Launch {
        self.with(&["--appendonly", "no", "--save", ""])
    }

    /// A log with this policy, and no save points.
    pub fn logged(self, policy: &str) -> Launch {
        self.with(&["--appendonly", "yes", "--appendfsync", policy, "--save", ""])
    }

    /// The program, which the kernel kills when the test dies of whatever cause.
    fn guarded(&self) -> Command {
        let mut command = match peers::find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL"]).arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        };
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// The command as it will be run, with these flags at the end.
    fn command(&self, extra: &[&str], log: File) -> Command {
        let mut command = self.guarded();
        command.args(&self.file);
        command.arg("--port").arg(self.port.to_string()).arg("--dir").arg(&self.dir);
        command.args(&self.args).args(extra);
        command.stderr(log.try_clone().expect("a second handle")).stdout(log);
        command
    }

    /// Runs the program with these words only, until it ends: its exit code and all it said.
    pub fn run_bare(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut server = self.follow(|log| {
            let mut command = self.guarded();
            command.args(args).stderr(log.try_clone().expect("a second handle")).stdout(log);
            command
        });
        let code = server.wait().code();
        (code, server.log())
    }

    /// Starts the process without waiting for anything.
    pub fn spawn(&self, extra: &[&str]) -> Server {
        self.follow(|log| self.command(extra, log))
    }

    fn follow(&self, command: impl FnOnce(File) -> Command) -> Server {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let log = self.home.path().join(format!("log.{number}"));
        let file = File::create(&log).expect("a log file");
        let child = command(file).spawn().expect("the server's process");
        let mut words = self.args.iter().skip_while(|word| *word != "--requirepass");
        let password = words.nth(1).cloned();
        Server { child, port: self.port, password, log, status: None }
    }

    /// Starts it and waits until it answers; one that does not is an error with its log.
    pub fn try_start(&self, extra: &[&str]) -> Result<Server, String> {
        let mut server = self.spawn(extra);
        match server.wait_ready() {
            Ok(()) => Ok(server),
            Err(why) => {
                let text = format!("{why}\n{}", server.log());
                server.kill();
                Err(text)
            }
        }
    }

    /// As `try_start`; a server that does not come up fails the test.
    pub fn start(&self) -> Server {
        self.start_with(&[])
    }

    /// As `start`, with settings for this once.
    pub fn start_with(&self, extra: &[&str]) -> Server {
        self.try_start(extra).unwrap_or_else(|why| panic!("the server did not start: {why}"))
    }
}

impl Drop for Launch {
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("BASALT_KEEP").is_some() {
            self.home.disable_cleanup(true);
            peers::say(&format!("kept: {}", self.home.path().display()));
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    port: u16,
    password: Option<String>,
    log: PathBuf,
    status: Option<ExitStatus>,
}

impl Server {
    fn wait_ready(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                self.status = Some(status);
                return Err(format!("it ended with {status}"));
            }
            if let Ok(mut client) = Client::open(self.port) {
                client.patience(Duration::from_secs(5));
                if let Some(password) = &self.password {
                    let _ = client.try_call(&["AUTH", password]);
                }
                // While it loads, or waits for a password, this is an error.
                let ready = |reply: &super::reply::Reply| reply.text() == "PONG";
                if client.try_call(&["PING"]).as_ref().is_ok_and(ready) {
                    return Ok(());
                }
            }
            if Instant::now() > deadline {
                return Err("it was not ready in time".to_owned());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A new connection.
    pub fn client(&self) -> Client {
        Client::to(self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to its log so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a pid");
        let _ = kill_process(pid, signal);
    }

    /// kill -9, and waits for the end.
    pub fn kill(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            self.status = self.child.wait().ok();
        }
    }

    /// SIGTERM; the exit must be clean.
    pub fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "after SIGTERM: {status}");
    }

    /// Waits for the end of the process.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        while self.status.is_none() {
            self.status = self.child.try_wait().expect("the state of a child");
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        self.status.expect("it has ended")
    }

    /// Has it ended by itself, and how?
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.status = self.child.try_wait().expect("the state of a child");
        }
        self.status
    }

    /// CPU time that it has used.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks = |n: usize| fields.get(n).and_then(|t| t.parse::<u64>().ok()).unwrap_or(0);
        // utime and stime, in hundredths of a second on every Linux.
        Duration::from_millis((ticks(11) + ticks(12)) * 10)
    }

    /// Address space in bytes: memory that was only reserved counts.
    pub fn reserved(&self) -> u64 {
        self.pages(0)
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        self.pages(1)
    }

    fn pages(&self, field: usize) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/statm", self.pid())).unwrap_or_default();
        text.split(' ').nth(field).and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) * 4096
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let ended = self.ended();
        self.kill();
        if !std::thread::panicking() {
            return;
        }
        match ended {
            Some(status) => match status.signal() {
                Some(signal) => peers::say(&format!("the server had ended by signal {signal}")),
                None => peers::say(&format!("the server had ended: {status}")),
            },
            None => peers::say("the server was running"),
        }
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let panic = lines.iter().rposition(|line| line.contains(" panicked at "));
        let start = panic.unwrap_or(usize::MAX).min(lines.len().saturating_sub(60));
        let tail = &lines[start..];
        peers::say(&format!("its log ends:\n    {}", tail.join("\n    ")));
    }
}
