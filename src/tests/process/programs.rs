//! Programs unchanged: job runners in Python and JavaScript, and what people build with redis-py.
//! Their packages are installed once for each target directory; where they cannot be had, a line
//! says so, and the test is skipped: what is missing then is a network.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::harness::peers;
use super::harness::server::{Launch, Server};

fn server() -> (Launch, Server) {
    // BullMQ and Celery warn of a server that may evict their queues.
    let launch = Launch::basalt().logged("everysec").shards(4);
    let server = launch.start();
    (launch, server)
}

/// Where packages stay between runs.
fn home(name: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs").join(name);
    std::fs::create_dir_all(&home).expect("a directory");
    home
}

/// Runs to its end; what it printed, or why not.
fn ran(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    if output.status.success() { Ok(text) } else { Err(format!("{command:?}:\n{text}")) }
}

/// A program that tests can do without.
fn tool(name: &str) -> Option<PathBuf> {
    let found = peers::find(name);
    if found.is_none() {
        peers::say(&format!("skipped: {name} is not on PATH"));
    }
    found
}

/// Python with the packages, or a line that says why not.
fn python() -> Option<PathBuf> {
    static ONCE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one_installs = ONCE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let system = tool("python3")?;
    let home = home("python");
    let python = home.join("bin/python");
    let installed = home.join("installed");
    if installed.is_file() {
        return Some(python);
    }
    let made = ran(Command::new(system).args(["-m", "venv"]).arg(&home)).and_then(|_| {
        let mut pip = Command::new(home.join("bin/pip"));
        pip.env("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        // Celery's kombu asks for `packaging` without saying so.
        let packages = ["redis==6.4.0", "rq==2.1.0", "celery==5.4.0", "packaging==24.2"];
        ran(pip.args(["install", "-q"]).args(packages))
    });
    match made {
        Ok(_) => std::fs::write(installed, "").expect("a file"),
        Err(why) => {
            peers::say(&format!("skipped: Python's packages cannot be installed: {why}"));
            return None;
        }
    }
    Some(python)
}

fn queues(what: &str) {
    let Some(python) = python() else { return };
    let (_launch, server) = server();
    let mut command = Command::new("timeout");
    command.arg("150").arg(python).args(["queues.py", what]);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/process/programs"));
    command.env("SERVER", format!("redis://127.0.0.1:{}/0", server.port()));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    let text = ran(&mut command).unwrap_or_else(|why| panic!("{why}"));
    assert!(text.contains("fine"), "{text}");
}

#[test]
fn rq_runs_its_jobs() {
    queues("rq");
}

#[test]
fn celery_runs_its_jobs() {
    queues("celery");
}

#[test]
fn queues_locks_limits_and_boards_of_redis_py_work() {
    queues("recipes");
}

#[test]
fn bullmq_runs_its_jobs() {
    let (Some(node), Some(npm)) = (tool("node"), tool("npm")) else { return };
    let home = home("node");
    if !home.join("node_modules/bullmq").is_dir() {
        let mut install = Command::new(npm);
        install.args(["install", "--silent", "--no-audit", "--no-fund", "bullmq@5.34.0"]);
        if let Err(why) = ran(install.current_dir(&home)) {
            return peers::say(&format!("skipped: BullMQ cannot be installed: {why}"));
        }
    }
    let (_launch, server) = server();
    std::fs::write(home.join("queues.mjs"), include_str!("programs/queues.mjs")).expect("a file");
    let mut command = Command::new("timeout");
    command.arg("150").arg(node).arg("queues.mjs").current_dir(&home);
    command.env("PORT", server.port().to_string());
    let text = ran(&mut command).unwrap_or_else(|why| panic!("{why}"));
    assert!(text.contains("fine"), "{text}");
}
