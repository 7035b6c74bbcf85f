//! basalt-server: reads the command line and the configuration, and starts the server.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

use basalt::config::Config;
use basalt::config::command_line::{Invocation, Task, parse};
use basalt::config::load::{Note, Source};
use basalt::server::{boot, users};

/// Memory from the operating system in whole regions, freed by the core that took it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match act() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("basalt-server: {why}");
            ExitCode::FAILURE
        }
    }
}

fn act() -> Result<(), String> {
    match parse(&arguments()?)? {
        Invocation::Print(text) => {
            print!("{text}");
            Ok(())
        }
        Invocation::Use { file, directives, task } => {
            let mut sources = Vec::new();
            if let Some(name) = &file {
                let text = read(name)?;
                let name = if name == "-" { "standard input" } else { name };
                sources.push(Source { name: name.to_owned(), text });
            }
            sources.push(directives);
            let (config, notes) =
                Config::load(&sources, &mut read).map_err(|fault| fault.to_string())?;
            match task {
                Task::Check => check(&config, &notes),
                Task::Start => start(config, notes, path_of(file.as_deref())?),
            }
        }
    }
}

fn arguments() -> Result<Vec<String>, String> {
    let bad = |word: std::ffi::OsString| format!("command line: {word:?} is not UTF-8");
    std::env::args_os().skip(1).map(|word| word.into_string().map_err(bad)).collect()
}

fn read(name: &str) -> Result<String, String> {
    let text = if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(name)
    };
    text.map_err(|error| format!("cannot read {name}: {error}"))
}

/// Where CONFIG REWRITE will find the file, whatever the working directory is by then.
fn path_of(file: Option<&str>) -> Result<Option<PathBuf>, String> {
    let Some(name) = file.filter(|name| *name != "-") else { return Ok(None) };
    let path = std::path::absolute(name).map_err(|error| format!("{name}: {error}"))?;
    Ok(Some(path))
}

fn check(config: &Config, notes: &[Note]) -> Result<(), String> {
    users::declared(config).map_err(|fault| fault.to_string())?;
    for note in notes {
        println!("{note}");
    }
    println!("the configuration is good");
    Ok(())
}

fn start(config: Config, notes: Vec<Note>, file: Option<PathBuf>) -> Result<(), String> {
    let notes: Vec<String> = notes.iter().map(Note::to_string).collect();
    boot::run(config, &notes, file).map_err(|fault| fault.to_string())
}
