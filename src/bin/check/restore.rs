//! `basalt-check restore`: a new data directory with the database as it was at one moment.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use basalt::base::calendar::{parse_utc, utc};
use basalt::base::ids::{Epoch, ShardId};
use basalt::persist::manifest::Manifest;
use basalt::persist::record::Header;
use basalt::persist::recovery::{Replay, ShardPlan};
use basalt::persist::rewind::{self, Bound, Match, Pattern, Stop, Survey, Target};
use basalt::server::backup::hold;
use basalt::server::offline::{
    OfflineError, Taken, at, commit, copy, cut, kept, new_directory, read_generations, records,
    verify,
};
use clap::Args;

use crate::report::{Report, Value, text};
use crate::{Trouble, told};

/// What is asked for.
#[derive(Args)]
pub struct RestoreArgs {
    /// Up to this moment: `2026-11-21 10:45:00.5` (UTC), or seconds since 1970
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Before the last command that begins with these words (with --until: the last up to then)
    #[arg(long, value_name = "COMMAND", conflicts_with = "epoch")]
    before: Option<String>,
    /// Up to this epoch, as `dump` shows them
    #[arg(long, value_name = "N", conflicts_with = "until")]
    epoch: Option<u64>,
    /// The new directory
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

impl RestoreArgs {
    fn target(&self) -> Result<Target, Trouble> {
        let until = match &self.until {
            None => None,
            Some(words) => {
                let moment = parse_utc(words);
                let bad = || Trouble::Unable(format!("--until {words}: not a moment"));
                Some(moment.ok_or_else(bad)?)
            }
        };
        match (&self.before, until, self.epoch) {
            (Some(words), until, _) => {
                let pattern = Pattern::parse(words);
                let bad = || Trouble::Unable("--before: no command".to_owned());
                Ok(Target::Before(pattern.ok_or_else(bad)?, until))
            }
            (None, Some(until), _) => Ok(Target::Until(until)),
            (None, None, Some(epoch)) => Ok(Target::Epoch(Epoch(epoch))),
            (None, None, None) => {
                let one = "one of --until, --before and --epoch says which moment is meant";
                Err(Trouble::Unable(one.to_owned()))
            }
        }
    }
}

/// A generation, and what is kept of it.
struct Choice {
    manifest: Manifest,
    plans: Vec<ShardPlan>,
    stops: Vec<Option<Stop>>,
    last: Epoch,
    found: Option<Match>,
    bound: Bound,
}

/// Does it, and says what was done.
pub fn restore(dir: &Path, args: &RestoreArgs, report: &mut Report<'_>) -> Result<(), Trouble> {
    let target = args.target()?;
    let chosen = choose(dir, &target).map_err(|error| told(report, error))?;
    let Some(chosen) = chosen else {
        let none = match target {
            Target::Before(..) => "no such command is in the log, nor in what is retained",
            Target::Until(_) | Target::Epoch(_) => "no generation reaches back that far",
        };
        return Err(Trouble::Unable(none.to_owned()));
    };
    if let Some(found) = &chosen.found {
        report.line(&[
            ("before", text(&found.command)),
            ("db", Value::Number(u64::from(found.db.0))),
            ("time", text(&utc(found.time))),
            ("epoch", Value::Number(found.epoch.0)),
            ("shard", Value::Number(u64::from(found.shard.0))),
        ])?;
    }
    let (to, done) = (&args.to, write(dir, &args.to, chosen));
    let (manifest, bound) = done.map_err(|error| told(report, error))?;
    let verified = verify(to, &manifest).map_err(|error| told(report, error))?;
    let cut = match bound {
        Bound::All => "nothing is cut".to_owned(),
        Bound::Epoch(epoch) => format!("after epoch {}", epoch.0),
        Bound::Time(time) => format!("after {}", utc(time)),
        Bound::Unit(lsn) => format!("before lsn {}", lsn.0),
        Bound::Parts(id) => format!("before transaction {}", id.0),
    };
    report.line(&[
        ("restored", text(&to.display().to_string())),
        ("generation", Value::Number(manifest.generation.0)),
        ("cut", text(&cut)),
        ("files", Value::Number(verified.files)),
        ("bytes", Value::Number(verified.bytes)),
        ("records", Value::Number(verified.records)),
    ])
}

/// Finds the generation that holds the moment, and where its logs end then.
fn choose(dir: &Path, target: &Target) -> Result<Option<Choice>, OfflineError> {
    let (_lock, taken) = hold(dir)?;
    let generations = read_generations(dir)?;
    for index in rewind::candidates(target, &generations) {
        let Some(manifest) = generations.get(index) else { continue };
        // Only of the latest generation a server may be writing the log.
        let taken = if index == 0 { taken } else { Taken::AtOnce };
        let plans = kept(dir, manifest, taken)?;
        let mut survey = Survey::default();
        for (shard, plan) in plans.iter().enumerate() {
            let shard = ShardId(shard as u16);
            for replay in &plan.replay {
                records(dir, replay, |record| {
                    survey.look(target, shard, record)?;
                    Ok(ControlFlow::Continue(()))
                })?;
            }
        }
        let found = survey.last_match().cloned();
        let Some(mut bound) = survey.bound(target, plans.len()) else { continue };
        let mut ended = plans.clone();
        let (mut stops, mut last) = cut(dir, &mut ended, bound)?;
        if matches!(bound, Bound::Parts(_)) && stops.iter().any(Option::is_none) {
            // A part of it has been lost in a crash: so it was never acknowledged.
            bound = found.as_ref().map_or(bound, |found| rewind::before(found.epoch));
            ended = plans;
            (stops, last) = cut(dir, &mut ended, bound)?;
        }
        let manifest = manifest.clone();
        return Ok(Some(Choice { manifest, plans: ended, stops, last, found, bound }));
    }
    Ok(None)
}

/// Writes the new directory.
fn write(dir: &Path, to: &Path, mut chosen: Choice) -> Result<(Manifest, Bound), OfflineError> {
    new_directory(to)?;
    for (plan, stop) in chosen.plans.iter_mut().zip(&chosen.stops) {
        let split = stop.filter(|stop| stop.units > 0);
        let record = match split {
            Some(stop) => first_units(dir, plan, stop)?,
            None => Vec::new(),
        };
        if let Some(stop) = split {
            rewind::end_at(plan, stop, record.len() as u64);
        }
        for (index, replay) in plan.replay.iter().enumerate() {
            let split = split.filter(|stop| stop.segment == index);
            let length = split.map_or(replay.end.length, |stop| stop.offset);
            if replay.end.length == 0 {
                continue;
            }
            let path = to.join(&replay.path);
            copy(&dir.join(&replay.path), &path, length)?;
            if split.is_some() {
                let file = OpenOptions::new().append(true).open(&path);
                let written = file.and_then(|mut file| {
                    file.write_all(&record)?;
                    file.sync_all()
                });
                written.map_err(at(&path))?;
            }
        }
    }
    for base in chosen.manifest.shards.iter().filter_map(|files| files.base.as_ref()) {
        copy(&dir.join(&base.path), &to.join(&base.path), base.length)?;
    }
    let manifest = rewind::rewound(&chosen.manifest, &chosen.plans, chosen.last);
    commit(to, &manifest)?;
    File::open(to).and_then(|dir| dir.sync_all()).map_err(at(to))?;
    Ok((manifest, chosen.bound))
}

/// A record with the first units of the one at which the log stops.
fn first_units(dir: &Path, plan: &ShardPlan, stop: Stop) -> Result<Vec<u8>, OfflineError> {
    let mut made = Vec::new();
    let Some(replay) = plan.replay.get(stop.segment) else { return Ok(made) };
    let Replay { id, .. } = replay;
    records(dir, replay, |record| {
        if record.offset() < stop.offset {
            return Ok(ControlFlow::Continue(()));
        }
        let (header, payload) = (*record.header(), record.payload());
        let length = rewind::prefix(payload, &header, stop.units)?;
        let payload = payload.get(..length).unwrap_or_default();
        let count = u32::try_from(stop.units).unwrap_or(header.count);
        let header = Header { count, payload: length as u64, ..header };
        made.extend_from_slice(&header.write(*id, payload));
        made.extend_from_slice(payload);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(made)
}
