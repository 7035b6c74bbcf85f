//! The situations in which a snapshot is measured.

use crate::due::Spacing;
use crate::engine::Wait;
use crate::keys::Distribution;
use crate::load::{Data, Load};
use crate::mix::Mix;

/// One of them, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Name {
    /// Many small values, half read and half written
    Small,
    /// Every value is overwritten while the snapshot runs
    Overwrite,
    /// One hash of millions of fields under HSET
    Hash,
    /// appendfsync always, with reads beside the writes
    Always,
    /// A rewrite of the log under writes
    Rewrite,
    /// All of them, one page each
    All,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Its name in files.
    pub name: &'static str,
    /// What it is, for the head of a page.
    pub title: &'static str,
    /// The settings of the servers.
    pub options: &'static [&'static str],
    /// What starts the snapshot.
    pub trigger: &'static str,
    /// Commands and shares.
    pub mix: &'static str,
    /// String keys.
    pub keys: u64,
    /// Collections, and members of each.
    pub collections: (u64, u64),
    /// Bytes of a value.
    pub value_bytes: usize,
    /// How keys follow each other.
    pub distribution: Distribution,
    /// Requests a second.
    pub rate: f64,
    /// Requests sent together.
    pub pipeline: u64,
}

const VOLATILE: &[&str] = &["--appendonly", "no", "--save", ""];
const ALWAYS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--auto-aof-rewrite-percentage",
    "0",
    "--save",
    "",
];
const EVERYSEC: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "everysec",
    "--auto-aof-rewrite-percentage",
    "0",
    "--save",
    "",
];

const SMALL: Scenario = Scenario {
    name: "small",
    title: "A snapshot of many small values",
    options: VOLATILE,
    trigger: "BGSAVE",
    mix: "set=50,get=50",
    keys: 8_000_000,
    collections: (1, 1),
    value_bytes: 64,
    distribution: Distribution::Uniform,
    rate: 10_000.0,
    pipeline: 1,
};

const ALL: &[Scenario] = &[
    SMALL,
    Scenario {
        name: "overwrite",
        title: "A snapshot while every value is overwritten",
        mix: "set",
        keys: 1_000_000,
        value_bytes: 1024,
        distribution: Distribution::Sequential,
        rate: 80_000.0,
        pipeline: 16,
        ..SMALL
    },
    Scenario {
        name: "hash",
        title: "A snapshot of one big hash under HSET",
        mix: "hset=50,set=50",
        collections: (1, 5_000_000),
        keys: 2_000_000,
        ..SMALL
    },
    Scenario {
        name: "always",
        title: "A snapshot under appendfsync always, with reads beside the writes",
        options: ALWAYS,
        keys: 1_000_000,
        rate: 4_000.0,
        ..SMALL
    },
    Scenario {
        name: "rewrite",
        title: "A rewrite of the log under writes",
        options: EVERYSEC,
        trigger: "BGREWRITEAOF",
        mix: "set",
        keys: 4_000_000,
        ..SMALL
    },
];

/// Those that were asked for, each once.
pub fn chosen(names: &[Name]) -> Vec<Scenario> {
    let wanted = |scenario: &&Scenario| {
        names
            .iter()
            .any(|name| *name == Name::All || format!("{name:?}").to_lowercase() == scenario.name)
    };
    ALL.iter().filter(wanted).cloned().collect()
}

impl Scenario {
    /// The same with more or less data.
    pub fn scaled(mut self, scale: f64) -> Scenario {
        let times = |count: u64| match count {
            1 => 1,
            count => ((count as f64 * scale) as u64).max(1),
        };
        self.keys = times(self.keys);
        self.collections.1 = times(self.collections.1);
        self
    }

    /// Keys and members.
    pub fn elements(&self) -> u64 {
        match self.collections {
            (1, 1) => self.keys,
            (collections, members) => self.keys + collections * members,
        }
    }

    /// About what one server needs for it, in bytes.
    pub fn bytes(&self) -> u64 {
        self.elements() * (self.value_bytes as u64 + 140)
    }

    /// Its load.
    pub fn load(&self, wait: Wait) -> Result<Load, String> {
        let load = Load {
            mix: Mix::parse(self.mix)?,
            data: Data {
                keys: self.keys,
                collections: self.collections.0,
                members: self.collections.1,
                value_bytes: self.value_bytes,
                distribution: self.distribution,
                skew: 0.99,
            },
            rate: self.rate,
            spacing: Spacing::Fixed,
            connections: 50,
            pipeline: self.pipeline,
            wait,
            requests_max: u64::MAX,
            seed: 7,
        };
        load.check().map(|()| load)
    }

    /// What it does, for a page.
    pub fn tell(&self) -> String {
        let data = match self.collections {
            (1, 1) => format!("{} keys of 16 bytes", self.keys),
            (_, members) => format!("One hash of {members} fields and {} keys", self.keys),
        };
        let quoted = |word: &&'static str| if word.is_empty() { "''" } else { *word };
        let options: Vec<&str> = self.options.iter().map(quoted).collect();
        let order = match self.distribution {
            Distribution::Uniform => "at random",
            Distribution::Zipf => "a few far more often than others",
            Distribution::Sequential => "one after another",
        };
        format!(
            "{data} with values of {} bytes (hex digits, which compress to about a half). Load: \
             `{}`, keys {order}, an open loop of {:.0} requests a second over 50 connections, {} \
             at a time; latency counts from the moment a request was due. Settings: `{}`. \
             Snapshot: `{}`.",
            self.value_bytes,
            self.mix,
            self.rate,
            self.pipeline,
            options.join(" "),
            self.trigger
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_are_chosen_and_scaled() {
        assert_eq!(chosen(&[Name::All]).len(), ALL.len());
        let names: Vec<&str> =
            chosen(&[Name::Hash, Name::Small, Name::Hash]).iter().map(|one| one.name).collect();
        assert_eq!(names, ["small", "hash"]);
        for scenario in chosen(&[Name::All]) {
            assert!(scenario.load(Wait::Sleep).is_ok(), "{}", scenario.name);
            let small = scenario.clone().scaled(0.001);
            assert_eq!(small.elements(), scenario.elements() / 1000);
            assert!(small.bytes() < scenario.bytes() && small.tell().contains(scenario.mix));
        }
    }
}
