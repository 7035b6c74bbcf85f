//! What one row of the settings table says.

use crate::config::fields::Config;
use crate::config::kind::Kind;
use crate::config::values::{Held, Value};

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Its directive, lower case.
    pub name: &'static str,
    /// Its older name.
    pub alias: Option<&'static str>,
    /// How it is read.
    pub kind: Kind,
    /// Its default, as it would stand in a file.
    pub default: &'static str,
    /// What it is for; with the unit, if it has one.
    pub doc: &'static str,
    /// When it may be changed.
    pub change: Change,
    /// What of it has an effect.
    pub standing: Standing,
    /// Where its value is kept.
    pub(crate) place: Place,
}

/// When a setting may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only at start.
    AtStart,
    /// Also by CONFIG SET.
    Live,
}

/// What of a setting has an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All of it.
    Works,
    /// Something is missing when it differs from its default: this.
    Partly(&'static str),
    /// Nothing: it is accepted, for this reason.
    Inert(&'static str),
    /// Any value but the default is refused, for this reason.
    Only(&'static str),
}

/// Where a value is kept.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// In a field.
    Field(fn(&Config) -> &dyn Held, fn(&mut Config) -> &mut dyn Held),
    /// In `Config::inert`, under the row's name.
    Inert,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Place::Field(..) => "Field",
            Place::Inert => "Inert",
        })
    }
}

/// The place of a field.
macro_rules! at {
    ($name:ident) => {
        crate::config::table::row::Place::Field(|config| &config.$name, |config| &mut config.$name)
    };
}
pub(crate) use at;

impl Setting {
    /// A setting that has a field and works.
    pub(crate) const fn new(name: &'static str, kind: Kind, default: &'static str) -> Setting {
        Setting {
            name,
            alias: None,
            kind,
            default,
            doc: "",
            change: Change::AtStart,
            standing: Standing::Works,
            place: Place::Inert,
        }
    }
    /// Its field, and what it is for.
    pub(crate) const fn is(self, place: Place, doc: &'static str) -> Setting {
        Setting { place, doc, ..self }
    }
    /// CONFIG SET may change it.
    pub(crate) const fn live(self) -> Setting {
        Setting { change: Change::Live, ..self }
    }
    /// Its older name.
    pub(crate) const fn alias(self, alias: &'static str) -> Setting {
        Setting { alias: Some(alias), ..self }
    }
    /// What is missing.
    pub(crate) const fn partly(self, missing: &'static str) -> Setting {
        Setting { standing: Standing::Partly(missing), ..self }
    }
    /// It has no effect.
    pub(crate) const fn inert(self, reason: &'static str) -> Setting {
        Setting { standing: Standing::Inert(reason), ..self }
    }
    /// Only its default is accepted.
    pub(crate) const fn only(self, reason: &'static str) -> Setting {
        Setting { standing: Standing::Only(reason), ..self }
    }

    /// Does this name mean the setting?
    pub fn is_called(&self, name: &str) -> bool {
        let alias = self.alias.is_some_and(|alias| alias.eq_ignore_ascii_case(name));
        alias || self.name.eq_ignore_ascii_case(name)
    }

    /// Its value in a configuration.
    pub fn load(&self, config: &Config) -> Value {
        match self.place {
            Place::Field(get, _) => get(config).value(),
            Place::Inert => {
                let kept = config.inert.get(self.name).cloned();
                kept.unwrap_or_else(|| Value::Text(String::new()))
            }
        }
    }

    /// Puts a value that its kind has read into a configuration.
    pub fn store(&self, config: &mut Config, value: Value) {
        match self.place {
            Place::Field(_, get) => get(config).hold(value),
            Place::Inert => {
                config.inert.insert(self.name, value);
            }
        }
    }
}
