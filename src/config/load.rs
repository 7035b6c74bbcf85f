//! From text to `Config`: files and the command line.

use std::fmt;

use crate::config::fields::Config;
use crate::config::table::foreign::NOT_SETTINGS;
use crate::config::table::row::{Setting, Standing};
use crate::config::table::sections::{find, rows};
use crate::config::text;
use crate::config::users::UserLine;
use crate::config::values::Value;

/// How deep files may include files: a file that includes itself ends here.
const INCLUDE_DEPTH: usize = 16;

/// The name of the source that the command line is.
pub const COMMAND_LINE: &str = "command line";

/// A configuration text and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A file's name, or `COMMAND_LINE`.
    pub name: String,
    /// Lines in the syntax of redis.conf.
    pub text: String,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The source's name.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Directives that were accepted without (full) effect; to be logged once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The directives.
    pub directives: Vec<&'static str>,
    /// What they do not do.
    pub reason: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.as_str() {
            COMMAND_LINE => write!(f, "{COMMAND_LINE}: {}", self.what),
            name => write!(f, "{name}:{}: {}", self.line, self.what),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: no effect: {}", self.directives.join(", "), self.reason)
    }
}

impl Default for Config {
    fn default() -> Config {
        let mut config = Config::blank();
        for row in rows() {
            let value = default_of(row, &config);
            row.store(&mut config, value);
        }
        config
    }
}

/// A row's default. The table is checked by a test, so reading it cannot fail.
pub(super) fn default_of(row: &Setting, config: &Config) -> Value {
    let words = text::words(row.default).expect("defaults of the table have balanced quotes");
    row.kind.read(&words, &row.load(config)).expect("defaults of the table are within range")
}

/// What is being loaded.
struct Loading<'a> {
    config: Config,
    notes: Vec<Note>,
    /// The first `save` replaces the defaults, later ones add to it.
    saved: bool,
    read: &'a mut dyn FnMut(&str) -> Result<String, String>,
}

impl Config {
    /// The defaults, changed by these sources in order. `read` gets the path of an `include`.
    pub fn load(
        sources: &[Source],
        read: &mut dyn FnMut(&str) -> Result<String, String>,
    ) -> Result<(Config, Vec<Note>), Fault> {
        let config = Config::default();
        let mut loading = Loading { config, notes: Vec::new(), saved: false, read };
        for source in sources {
            loading.source(source, 0)?;
        }
        loading.differences();
        Ok((loading.config, loading.notes))
    }
}

impl Loading<'_> {
    fn source(&mut self, source: &Source, depth: usize) -> Result<(), Fault> {
        for (index, line) in source.text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = |what| Fault { name: source.name.clone(), line: index + 1, what };
            let words = text::words(line).ok_or_else(|| fault("unbalanced quotes".to_owned()))?;
            let Some((name, words)) = words.split_first() else { continue };
            match (name.to_ascii_lowercase().as_str(), words) {
                ("include", [path]) if depth < INCLUDE_DEPTH => {
                    let text = (self.read)(path).map_err(&fault)?;
                    self.source(&Source { name: path.clone(), text }, depth + 1)?;
                }
                ("user", words) => {
                    let place = match source.name.as_str() {
                        COMMAND_LINE => COMMAND_LINE.to_owned(),
                        name => format!("{name}:{}", index + 1),
                    };
                    let line = UserLine::read(place, words, &self.config.users);
                    self.config.users.push(line.map_err(|why| fault(why.to_owned()))?);
                }
                ("include", [_]) => return Err(fault("files include each other".to_owned())),
                (name, words) => self.directive(name, words).map_err(fault)?,
            }
        }
        Ok(())
    }

    fn directive(&mut self, name: &str, words: &[String]) -> Result<(), String> {
        if let Some((name, standing)) = NOT_SETTINGS.iter().find(|(other, _)| *other == name) {
            return self.not_a_setting(name, *standing);
        }
        let row = find(name).ok_or_else(|| unknown(name))?;
        if words.is_empty() {
            return Err(format!("{name}: a value is missing"));
        }
        let current = row.load(&self.config);
        let value = row.kind.read(words, &current).map_err(|why| {
            let words: Vec<String> = words.iter().map(|word| text::quoted(word)).collect();
            format!("'{name} {}': {why}", words.join(" "))
        })?;
        let value = match (&current, value) {
            (Value::Save(before), Value::Save(more)) if self.saved && !more.is_empty() => {
                Value::Save(before.iter().copied().chain(more).collect())
            }
            (_, value) => value,
        };
        self.saved |= matches!(value, Value::Save(_));
        match row.standing {
            Standing::Only(reason) => only(row, &value, reason)?,
            Standing::Inert(reason) => self.note(row.name, reason),
            Standing::Works | Standing::Partly(_) => {}
        }
        row.store(&mut self.config, value);
        Ok(())
    }

    fn not_a_setting(&mut self, name: &'static str, standing: Standing) -> Result<(), String> {
        match standing {
            Standing::Only(reason) => return Err(format!("{name}: {reason}")),
            Standing::Inert(reason) | Standing::Partly(reason) => self.note(name, reason),
            Standing::Works => {}
        }
        Ok(())
    }

    /// Notes settings that work only in part and were changed.
    fn differences(&mut self) {
        let default = Config::default();
        for row in rows() {
            let Standing::Partly(missing) = row.standing else { continue };
            if row.load(&self.config) != row.load(&default) {
                self.note(row.name, missing);
            }
        }
    }

    fn note(&mut self, name: &'static str, reason: &'static str) {
        let note = match self.notes.iter_mut().find(|note| note.reason == reason) {
            Some(note) => note,
            None => {
                self.notes.push(Note { directives: Vec::new(), reason });
                self.notes.last_mut().expect("one has just been pushed")
            }
        };
        if !note.directives.contains(&name) {
            note.directives.push(name);
        }
    }
}

/// Refuses any value but the default.
pub(super) fn only(row: &Setting, value: &Value, reason: &str) -> Result<(), String> {
    if *value == default_of(row, &Config::blank()) {
        return Ok(());
    }
    Err(format!("{}: {reason}", row.name))
}

/// The text about a directive that nobody knows.
pub fn unknown(name: &str) -> String {
    let names = rows().flat_map(|row| [Some(row.name), row.alias]).flatten();
    match text::nearest(name, names) {
        Some(near) => format!("unknown directive '{name}': did you mean '{near}'?"),
        None => format!("unknown directive '{name}'"),
    }
}

#[cfg(test)]
mod tests;
