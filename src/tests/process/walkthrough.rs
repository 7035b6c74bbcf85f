//! The walk-throughs of the README, run as they stand there.

use std::path::Path;
use std::process::Command;

use super::harness::peers;
use super::harness::server::Launch;
use super::ours;

/// The lines of the code blocks under a heading.
fn lines_under(heading: &str) -> Vec<String> {
    let readme = include_str!("../../../README.md");
    let (_, text) = readme.split_once(heading).expect("the heading is in the README");
    let text = text.split("\n#").next().expect("a section");
    let (mut inside, mut found) = (false, Vec::new());
    for line in text.lines() {
        if line.starts_with("```") {
            inside = !inside;
        } else if inside {
            found.push(line.to_owned());
        }
    }
    found
}

/// Runs the lines in a directory where `data` is; those that start a server start one that ends
/// after `each` has looked at it.
fn run(home: &Path, lines: &[String], mut each: impl FnMut(&Launch)) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_basalt-check")).parent().expect("a directory");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut said = String::new();
    for line in lines {
        if let Some(dir) = line.strip_prefix("basalt-server --dir ") {
            each(&Launch::basalt().logged("everysec").shards(2).in_dir(&home.join(dir)));
            continue;
        }
        let mut shell = Command::new("sh");
        shell.args(["-c", line]).current_dir(home).env("PATH", &path);
        let output = shell.output().expect("a shell");
        let text = [output.stdout, output.stderr].concat();
        said.push_str(&String::from_utf8_lossy(&text));
        assert!(output.status.success(), "{line}\n{said}");
    }
    said
}

#[test]
fn a_mistaken_flushall_is_undone_by_the_tool_and_by_hand() {
    let Some(launch) = ours() else { return };
    if peers::need("perl").is_none() {
        return;
    }
    let launch = launch.logged("everysec").shards(2);
    let server = launch.start();
    let mut client = server.client();
    client.populate("key", 1000);
    let digest = client.ok("DEBUG DIGEST").text();
    client.ok("FLUSHALL");
    client.ok("SET after 1");
    server.stop();
    let lines = lines_under("### Undo a mistaken FLUSHALL");
    let mut found = Vec::new();
    let said = run(launch.home(), &lines, |launch| {
        let server = launch.start();
        let mut client = server.client();
        found.push((client.line("DBSIZE").int(), client.line("EXISTS after").int()));
        client.ok("DEL after");
        assert_eq!(client.ok("DEBUG DIGEST").text(), digest);
        server.stop();
    });
    // By hand, what came after it stays.
    assert_eq!(found, [(1000, 0), (1001, 1)], "{said}");
    assert!(said.contains("resealed: ") && said.contains("before: FLUSHALL"), "{said}");
}

#[test]
fn a_running_server_is_backed_up() {
    let Some(launch) = ours() else { return };
    let launch = launch.logged("everysec").shards(2);
    let server = launch.start();
    server.client().populate("key", 1000);
    // Every log says once a second how far it goes.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    let said = run(launch.home(), &lines_under("### Back up a running server"), |_| ());
    assert_eq!(said.matches("backup: ").count(), 2, "{said}");
    drop(server);
    let backups = std::fs::read_dir(launch.home().join("backups")).expect("backups");
    let mut made = backups.map(|entry| entry.expect("an entry").path());
    let made = made.find(|path| path.is_dir()).expect("a backup");
    let server = Launch::basalt().logged("everysec").shards(3).in_dir(&made).start();
    assert_eq!(server.client().line("DBSIZE").int(), 1000);
}
