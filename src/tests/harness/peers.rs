//! Programs of other projects that tests compare with, and what happens where they are missing.

use std::io::Write;
use std::path::PathBuf;

/// A line on the terminal, also from a test that passes.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Tells that a test cannot run here. Where `BASALT_REQUIRE_PEERS=1` that is a failure.
pub fn skip(why: &str) {
    assert!(std::env::var("BASALT_REQUIRE_PEERS").as_deref() != Ok("1"), "required, but {why}");
    say(&format!("skipped: {why}"));
}

/// A program on PATH.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}

/// A program on PATH, or a line that says what is skipped without it.
pub fn need(name: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        skip(&format!("{name} is not on PATH"));
    }
    found
}

/// A number from the environment, for the long forms of tests.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
