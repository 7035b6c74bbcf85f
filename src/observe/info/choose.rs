//! Which sections of INFO were asked for.

use crate::observe::facts::Facts;
use crate::observe::info::persistence::persistence;
use crate::observe::info::sections::{
    clients, cluster, commandstats, cpu, errorstats, keyspace, latencystats, memory, modules,
    replication, server, shards, stats,
};
use crate::observe::info::text::Lines;

/// One section.
#[derive(Debug)]
struct Section {
    name: &'static str,
    usual: Usual,
    write: fn(&Facts, &mut Lines),
}

/// Is a section shown when none is named?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Usual {
    Shown,
    OnDemand,
}

/// The sections, in the order in which they are always shown.
const SECTIONS: &[Section] = &[
    Section { name: "server", usual: Usual::Shown, write: server },
    Section { name: "clients", usual: Usual::Shown, write: clients },
    Section { name: "memory", usual: Usual::Shown, write: memory },
    Section { name: "persistence", usual: Usual::Shown, write: persistence },
    Section { name: "stats", usual: Usual::Shown, write: stats },
    Section { name: "replication", usual: Usual::Shown, write: replication },
    Section { name: "cpu", usual: Usual::Shown, write: cpu },
    Section { name: "modules", usual: Usual::Shown, write: modules },
    Section { name: "commandstats", usual: Usual::OnDemand, write: commandstats },
    Section { name: "errorstats", usual: Usual::Shown, write: errorstats },
    Section { name: "latencystats", usual: Usual::OnDemand, write: latencystats },
    Section { name: "cluster", usual: Usual::Shown, write: cluster },
    Section { name: "shards", usual: Usual::Shown, write: shards },
    Section { name: "keyspace", usual: Usual::Shown, write: keyspace },
];

/// The sections that the arguments of INFO ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// One bit for each section, in order.
    bits: u32,
}

impl Choice {
    /// The choice that these names make (none: the usual ones). Unknown names choose nothing.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Choice {
        let mut names = names.into_iter().peekable();
        let mut choice = Choice { bits: 0 };
        if names.peek().is_none() {
            choice.add(|section| section.usual == Usual::Shown);
        }
        for name in names {
            let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
            if is("default") {
                choice.add(|section| section.usual == Usual::Shown);
            } else if is("all") || is("everything") {
                choice.add(|_| true);
            } else {
                choice.add(|section| is(section.name));
            }
        }
        choice
    }

    /// Is this section chosen? The server need not gather facts for one that is not.
    pub fn has(self, name: &str) -> bool {
        self.sections().any(|section| section.name == name)
    }

    fn add(&mut self, wanted: impl Fn(&Section) -> bool) {
        for (index, section) in SECTIONS.iter().enumerate() {
            self.bits |= u32::from(wanted(section)) << index;
        }
    }

    fn sections(self) -> impl Iterator<Item = &'static Section> {
        let chosen = move |(index, _): &(usize, _)| self.bits >> index & 1 == 1;
        SECTIONS.iter().enumerate().filter(chosen).map(|(_, section)| section)
    }
}

/// The text of INFO for the chosen sections.
pub fn info(facts: &Facts, choice: Choice) -> String {
    let mut lines = Lines::default();
    for section in choice.sections() {
        (section.write)(facts, &mut lines);
    }
    lines.text
}

#[cfg(test)]
mod tests;
