//! The command line of basalt-server: every directive is a flag, in the manner of Redis.

use clap::builder::{Arg, ArgAction, Command};
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::config::document::wrapped;
use crate::config::load::{COMMAND_LINE, Source, unknown};
use crate::config::table::foreign::NOT_SETTINGS;
use crate::config::table::row::{Setting, Standing};
use crate::config::table::sections::{TABLE, rows};
use crate::config::text;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Print this and end: `--help`, `--version`.
    Print(String),
    /// Read the configuration, and start with it, or only say whether it is good.
    Use {
        /// The configuration file; `-` is standard input.
        file: Option<String>,
        /// The directives of the command line, which come after the file.
        directives: Source,
        /// What to do with it.
        task: Task,
    },
}

/// What is done with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Start the server.
    Start,
    /// `--check-config`.
    Check,
}

const ABOUT: &str = "A Redis-compatible in-memory server: a shard and a log per core, snapshots \
                     without fork";

const MORE: &str = "\
Values follow their flag as words, up to the next flag: --save 60 1000 --bind 127.0.0.1 ::1
FILE is in the syntax of redis.conf. The directives of redis.conf that are not listed here and
mean nothing to this server are accepted as flags, too; the log says why they have no effect.";

/// Reads the arguments, without the program's name. An error is one line.
pub fn parse(arguments: &[String]) -> Result<Invocation, String> {
    let matches = match command().try_get_matches_from(grouped(arguments)?) {
        Ok(matches) => matches,
        Err(error) => return explained(&error),
    };
    let file = matches.get_one::<String>("FILE").cloned();
    let mut lines: Vec<(usize, String)> = Vec::new();
    for name in flag_names() {
        let indices = matches.indices_of(name).into_iter().flatten();
        let values = matches.get_many::<String>(name).into_iter().flatten();
        lines.extend(indices.zip(values).map(|(at, words)| (at, format!("{name} {words}"))));
    }
    // Directives that add up (save) count in the order in which they were given.
    lines.sort();
    let text: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    let directives = Source { name: COMMAND_LINE.to_owned(), text };
    let task = if matches.get_flag("check-config") { Task::Check } else { Task::Start };
    Ok(Invocation::Use { file, directives, task })
}

/// Names of all flags that are directives, aliases included.
fn flag_names() -> impl Iterator<Item = &'static str> {
    let settings = rows().flat_map(|row| [Some(row.name), row.alias]).flatten();
    settings.chain(NOT_SETTINGS.iter().map(|(name, _)| *name))
}

/// Puts the words after each flag together into one argument `--flag=words`, in the syntax of a
/// line of redis.conf, since a word such as `-::1` or `""` is a value here and not a flag.
fn grouped(arguments: &[String]) -> Result<Vec<String>, String> {
    let mut out = vec!["basalt-server".to_owned()];
    for argument in arguments {
        let flag = argument.strip_prefix("--").filter(|name| !name.is_empty());
        match (flag, out.last_mut()) {
            (Some(flag), _) => out.push(match flag.split_once('=') {
                Some((name, word)) => {
                    format!("--{}={}", name.to_ascii_lowercase(), text::quoted(word))
                }
                None => format!("--{}", flag.to_ascii_lowercase()),
            }),
            (None, Some(last)) if last.starts_with("--") && takes_words(last) => {
                let between = if has_words(last) { ' ' } else { '=' };
                last.push(between);
                last.push_str(&text::quoted(argument));
            }
            _ => out.push(argument.clone()),
        }
    }
    match out.iter().find(|flag| flag.starts_with("--") && takes_words(flag) && !has_words(flag)) {
        Some(flag) => Err(incomplete(flag.trim_start_matches("--"))),
        None => Ok(out),
    }
}

fn has_words(flag: &str) -> bool {
    flag.contains('=')
}

/// The text about a flag without a value.
fn incomplete(name: &str) -> String {
    let known = flag_names().any(|other| other == name);
    let what = if known { format!("{name}: a value is missing") } else { unknown(name) };
    format!("{COMMAND_LINE}: {what}")
}

fn takes_words(flag: &str) -> bool {
    !matches!(flag, "--help" | "--version" | "--check-config")
}

fn command() -> Command {
    let mut command = Command::new("basalt-server")
        .version(env!("CARGO_PKG_VERSION"))
        .about(ABOUT)
        .after_help(MORE)
        .override_usage("basalt-server [FILE] [--directive value ...]")
        .next_line_help(true)
        .arg(Arg::new("FILE").help("Configuration file; - reads standard input"))
        .arg(
            Arg::new("check-config")
                .long("check-config")
                .action(ArgAction::SetTrue)
                .help("Read the configuration, say whether it is good, and end"),
        );
    for section in TABLE {
        for row in section.rows {
            command = command.arg(flag(row.name, row).help_heading(section.title));
            if let Some(alias) = row.alias {
                command = command.arg(flag(alias, row).hide(true));
            }
        }
    }
    for (name, _) in NOT_SETTINGS {
        command = command.arg(value_of(Arg::new(*name).long(*name)).hide(true));
    }
    command
}

fn flag(name: &'static str, row: &'static Setting) -> Arg {
    let hidden = matches!(row.standing, Standing::Inert(_) | Standing::Only(_));
    let default = match row.default {
        "\"\"" => String::new(),
        default => format!("; default: {default}"),
    };
    value_of(Arg::new(name).long(name))
        .value_name("value")
        .help(wrapped(&format!("{} [{}{default}]", row.doc, row.kind.hint())).join("\n"))
        .hide(hidden)
}

fn value_of(arg: Arg) -> Arg {
    arg.num_args(1).action(ArgAction::Append).allow_hyphen_values(true)
}

/// clap's answer as ours: texts to print, or one line that names the nearest directive.
fn explained(error: &clap::Error) -> Result<Invocation, String> {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) => argument.as_str(),
        _ => "",
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            Ok(Invocation::Print(error.render().to_string()))
        }
        ErrorKind::UnknownArgument if argument.starts_with("--") => {
            let name = argument.trim_start_matches("--");
            Err(format!("{COMMAND_LINE}: {}", unknown(name)))
        }
        ErrorKind::UnknownArgument => Err(format!("{COMMAND_LINE}: what is '{argument}'?")),
        _ => {
            let text = error.render().to_string();
            let line = text.lines().next().unwrap_or_default();
            Err(format!("{COMMAND_LINE}: {}", line.trim_start_matches("error: ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &[&str]) -> Result<Invocation, String> {
        parse(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn directives_become_lines_in_order() {
        let cases: &[(&[&str], Option<&str>, &str)] = &[
            (&[], None, ""),
            (&["a.conf"], Some("a.conf"), ""),
            (&["-"], Some("-"), ""),
            (&["--port", "7000"], None, "port 7000\n"),
            (&["--port=7000"], None, "port 7000\n"),
            (&["--PORT", "7000"], None, "port 7000\n"),
            (&["-", "--save", "", "--port", "1"], Some("-"), "save \"\"\nport 1\n"),
            (&["--save", "60 1000"], None, "save \"60 1000\"\n"),
            (&["--save", "60", "1000", "--save", "5 6"], None, "save 60 1000\nsave \"5 6\"\n"),
            (&["--save=", "--bind", "*", "-::*"], None, "save \"\"\nbind * -::*\n"),
            (
                &["--slowlog-log-slower-than", "-1", "--hz", "5"],
                None,
                "slowlog-log-slower-than -1\nhz 5\n",
            ),
            (&["--slaveof", "a", "1"], None, "slaveof a 1\n"),
            (&["x", "--loadmodule", "m.so"], Some("x"), "loadmodule m.so\n"),
        ];
        for (words, file, text) in cases {
            let directives = Source { name: COMMAND_LINE.to_owned(), text: (*text).to_owned() };
            let file = file.map(str::to_owned);
            let expected = Invocation::Use { file, directives, task: Task::Start };
            assert_eq!(parse_words(words), Ok(expected), "{words:?}");
        }
    }

    #[test]
    fn check_config_takes_no_value() {
        for words in [&["--check-config", "a.conf"], &["a.conf", "--check-config"]] {
            let Ok(Invocation::Use { file, task, .. }) = parse_words(words) else { panic!() };
            assert_eq!((file.as_deref(), task), (Some("a.conf"), Task::Check));
        }
    }

    #[test]
    fn help_lists_the_settings_and_version_tells_it() {
        let Ok(Invocation::Print(help)) = parse_words(&["--help"]) else { panic!() };
        for word in ["--port", "--appendfsync", "everysec | always | no", "--check-config", "64mb"]
        {
            assert!(help.contains(word), "{word}\n{help}");
        }
        assert!(!help.contains("--activerehashing"));
        let Ok(Invocation::Print(version)) = parse_words(&["--version"]) else { panic!() };
        assert_eq!(version, concat!("basalt-server ", env!("CARGO_PKG_VERSION"), "\n"));
    }

    #[test]
    fn mistakes_are_one_line() {
        for (words, expected) in [
            (&["--prot", "1"][..], "command line: unknown directive 'prot': did you mean 'port'?"),
            (&["--port"], "command line: port: a value is missing"),
            (&["--prot"], "command line: unknown directive 'prot': did you mean 'port'?"),
            (&["--port", "--save", "1 1"], "command line: port: a value is missing"),
            (&["a", "b"], "command line: what is 'b'?"),
            (&["-x"], "command line: what is '-x'?"),
        ] {
            assert_eq!(parse_words(words), Err(expected.to_owned()));
        }
    }
}
