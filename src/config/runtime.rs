//! CONFIG GET and CONFIG SET.

use std::fmt;

use crate::base::glob;
use crate::config::fields::Config;
use crate::config::load::{Note, only};
use crate::config::table::row::{Change, Setting, Standing};
use crate::config::table::sections::{find, rows};

/// Why CONFIG SET changed nothing. `Display` is the whole error line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetRefused {
    /// There is no such setting.
    Unknown(String),
    /// A value was refused, by its row or by the server.
    Failed {
        /// The setting, as it was asked for.
        name: String,
        /// Why.
        why: String,
    },
}

impl fmt::Display for SetRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SetRefused::Unknown(name) => {
                write!(f, "ERR Unknown option or number of arguments for CONFIG SET - '{name}'")
            }
            SetRefused::Failed { name, why } => {
                write!(f, "ERR CONFIG SET failed (possibly related to argument '{name}') - {why}")
            }
        }
    }
}

/// What a CONFIG SET asks for, checked and not yet in force.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The configuration with the changes.
    pub config: Config,
    /// The settings whose value is another now.
    pub names: Vec<&'static str>,
    /// To be logged.
    pub notes: Vec<Note>,
}

/// Settings that CONFIG GET shows only by their whole name.
const HIDDEN: &[&str] = &["key-load-delay", "rdb-key-save-delay"];

impl Config {
    /// CONFIG GET: names and values for these names and patterns, each once.
    pub fn get<'a>(
        &self,
        patterns: impl IntoIterator<Item = &'a [u8]>,
    ) -> Vec<(&'static str, String)> {
        let patterns: Vec<&[u8]> = patterns.into_iter().collect();
        let wanted = |name: &str| {
            let name = name.as_bytes();
            let hidden = HIDDEN.iter().any(|hidden| hidden.as_bytes() == name);
            patterns.iter().any(|pattern| match hidden {
                true => pattern.eq_ignore_ascii_case(name),
                false => glob::matches_any_case(pattern, name),
            })
        };
        let mut found = Vec::new();
        for row in rows() {
            for name in [Some(row.name), row.alias].into_iter().flatten() {
                if wanted(name) {
                    found.push((name, row.load(self).print()));
                }
            }
        }
        found
    }

    /// CONFIG SET: all of the pairs or none. The caller puts the result in force.
    pub fn set<'a>(
        &self,
        pairs: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Changed, SetRefused> {
        let mut asked: Vec<(&'static Setting, String, &[u8])> = Vec::new();
        for (name, value) in pairs {
            let name = String::from_utf8_lossy(name).into_owned();
            let Some(row) = find(&name.to_ascii_lowercase()) else {
                return Err(SetRefused::Unknown(name));
            };
            let failed =
                |why: &str| Err(SetRefused::Failed { name: name.clone(), why: why.into() });
            if row.change == Change::AtStart {
                return failed("can't set immutable config");
            }
            if asked.iter().any(|(other, ..)| other.name == row.name) {
                return failed("duplicate parameter");
            }
            asked.push((row, name, value));
        }
        let mut config = self.clone();
        for (row, name, value) in &asked {
            change(&mut config, row, value)
                .map_err(|why| SetRefused::Failed { name: name.to_ascii_lowercase(), why })?;
        }
        let differs = |row: &&Setting| row.load(&config) != row.load(self);
        let names: Vec<_> =
            asked.iter().map(|(row, ..)| *row).filter(differs).map(|row| row.name).collect();
        let notes = asked
            .iter()
            .filter(|(row, ..)| names.contains(&row.name))
            .filter_map(|(row, ..)| match row.standing {
                Standing::Partly(reason) => Some(Note { directives: vec![row.name], reason }),
                _ => None,
            })
            .collect();
        Ok(Changed { config, names, notes })
    }
}

fn change(config: &mut Config, row: &Setting, value: &[u8]) -> Result<(), String> {
    let text = str::from_utf8(value).map_err(|_| "argument must be valid UTF-8")?;
    let current = row.load(config);
    let value = row.kind.read(&[text.to_owned()], &current).map_err(String::from)?;
    if let Standing::Only(reason) = row.standing {
        only(row, &value, reason)?;
    }
    row.store(config, value);
    Ok(())
}

#[cfg(test)]
mod tests;
