//! Checkpoints of the simulated machine, in the five steps of server/checkpoint.rs.

use std::collections::BTreeSet;

use crate::base::ids::{Epoch, Generation, Lsn, ShardId};
use crate::keyspace::item::{Item, Sink};
use crate::keyspace::snapshot::{Budget, Step};
use crate::persist::manifest::{Base, End, Manifest, Segment, ShardFiles};
use crate::persist::names::{self, Fate, Name};
use crate::persist::record::{Policy, SegmentId};
use crate::persist::snapshot_file::{ChunkWriter, Header};
use crate::shard::base::encode;
use crate::shard::cut::{BaseForm, NextLog, Progress};
use crate::shard::gate::Promise;
use crate::shard::shard::Writes;
use crate::testing::bug::Bug;
use crate::testing::disk::{Failure, FileId};
use crate::testing::machine::Machine;
use crate::testing::model::Name as Key;

/// What the manifest on disk says about the logs that run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Present {
    /// It lists them.
    Theirs,
    /// It is about others.
    Replaced,
}

/// A checkpoint under way.
#[derive(Debug)]
pub(super) struct Save {
    stage: Stage,
    present: Present,
    generation: Generation,
    nexts: Vec<Segment>,
    epoch: Epoch,
    afters: Vec<(Lsn, Option<End>)>,
    prepared: Option<Manifest>,
    bases: Vec<Writing>,
    healthy: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    Create,
    Prepare(usize),
    Announce,
    Right,
    Arm(usize),
    Advance,
    Touch(usize),
    Write,
    Commit,
    Heal(usize),
    Tidy,
}

/// A base that is being written.
#[derive(Debug, Default)]
struct Writing {
    file: Option<FileId>,
    offset: u64,
    base: Option<Base>,
    cut: bool,
    changed: BTreeSet<Key>,
    own: Option<Lossy>,
}

/// Loses what was changed since the cut.
struct Lossy {
    writer: ChunkWriter,
    changed: BTreeSet<Key>,
}

impl std::fmt::Debug for Lossy {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("Lossy")
    }
}

impl Sink for Lossy {
    fn take(&mut self, item: Item<'_>) {
        match &item {
            Item::Small { db, key, .. } if self.changed.remove(&(db.0, key.to_vec())) => {}
            _ => encode(&mut self.writer, item),
        }
    }
}

impl Save {
    /// These keys have been changed on a shard.
    pub(super) fn note_changed(&mut self, at: usize, keys: &[Key]) {
        if let Some(writing) = self.bases.get_mut(at).filter(|writing| writing.cut) {
            writing.changed.extend(keys.iter().cloned());
        }
    }
}

impl Machine {
    /// Begins a checkpoint unless one is under way.
    pub fn start_save(&mut self) {
        if self.save.is_none() {
            self.begin_save(Present::Theirs);
        }
    }

    pub(super) fn begin_save(&mut self, present: Present) {
        self.generation += 1;
        let bases = (0..self.cores.len()).map(|_| Writing::default()).collect();
        self.save = Some(Save {
            stage: Stage::Create,
            present,
            generation: Generation(self.generation),
            nexts: Vec::new(),
            epoch: Epoch(0),
            afters: Vec::new(),
            prepared: None,
            bases,
            healthy: true,
        });
    }

    /// One step of the checkpoint.
    pub(super) fn save_step(&mut self) {
        let Some(mut save) = self.save.take() else { return };
        match self.save_stage(&mut save) {
            Ok(Some(stage)) => {
                save.stage = stage;
                self.save = Some(save);
            }
            Ok(None) => self.saved.0 += 1,
            Err(_) => {
                self.saved.1 += 1;
                if matches!(save.stage, Stage::Write) {
                    self.abort(&save);
                }
            }
        }
    }

    fn abort(&mut self, save: &Save) {
        for at in 0..self.cores.len() {
            self.cores[at].shard.abort_base();
            let _ = self.disk.remove(&names::snapshot(save.generation, ShardId(at as u16)));
        }
    }

    /// An aborted snapshot is swept.
    pub(super) fn sweep(&mut self, at: usize) {
        if self.save.is_none() && self.cores[at].shard.keys.is_cut() {
            self.cores[at].shard.base_step();
        }
    }

    fn save_stage(&mut self, save: &mut Save) -> Result<Option<Stage>, Failure> {
        let count = self.cores.len();
        let next = |at: usize, each: fn(usize) -> Stage, then: Stage| {
            if at + 1 < count { each(at + 1) } else { then }
        };
        Ok(Some(match save.stage {
            Stage::Create | Stage::Prepare(_) | Stage::Announce => self.prepare_stage(save)?,
            Stage::Right if self.epochs.taken => Stage::Right,
            Stage::Right => {
                self.epochs.taken = true;
                save.epoch = Epoch(self.epochs.now.0 + 1);
                Stage::Arm(0)
            }
            Stage::Arm(at) => {
                let stamp = self.stamp();
                let shard = &mut self.cores[at].shard;
                let id = save.nexts[at].id(ShardId(at as u16));
                let log = match shard.log() {
                    Some(_) => NextLog::Switch(id, stamp),
                    None => NextLog::Open(id),
                };
                shard.arm(save.epoch, log);
                next(at, Stage::Arm, Stage::Advance)
            }
            Stage::Advance => match self.try_advance() {
                Some(_) => {
                    self.epochs.taken = false;
                    save.bases.iter_mut().for_each(|base| base.cut = true);
                    Stage::Touch(0)
                }
                None => Stage::Advance,
            },
            Stage::Touch(at) => {
                self.begin(at);
                if self.cores[at].shard.epoch() < save.epoch {
                    // A late machine needs to be told twice.
                    self.begin(at);
                }
                save.afters.push(self.cores[at].shard.cut_at());
                if at + 1 == count {
                    save.prepared = Some(self.manifest.clone());
                    self.manifest.note_cut(&save.afters);
                }
                next(at, Stage::Touch, Stage::Write)
            }
            Stage::Write => self.write_base(save)?,
            Stage::Commit => {
                // The names of the bases are younger than the last sync of their directory.
                self.sync_dir(&names::directory(save.generation))?;
                let manifest = self.committed(save);
                if self.has(Bug::TidyBeforeCommit) {
                    self.manifest = manifest.clone();
                    let _ = self.tidy();
                }
                self.write_manifest(manifest)?;
                Stage::Heal(0)
            }
            Stage::Heal(at) => {
                self.heal(save, at);
                next(at, Stage::Heal, Stage::Tidy)
            }
            Stage::Tidy => {
                self.settle_health(save);
                let _ = self.tidy();
                return Ok(None);
            }
        }))
    }

    fn prepare_stage(&mut self, save: &mut Save) -> Result<Stage, Failure> {
        let count = self.cores.len();
        Ok(match save.stage {
            Stage::Create => {
                self.disk.create_dir(&names::directory(save.generation))?;
                self.sync_dir("")?;
                Stage::Prepare(0)
            }
            Stage::Prepare(at) => {
                self.prepare(save, at)?;
                if at + 1 < count { Stage::Prepare(at + 1) } else { Stage::Announce }
            }
            _ => {
                self.sync_dir(&names::directory(save.generation))?;
                if save.present == Present::Theirs {
                    let mut manifest = self.manifest.clone();
                    manifest.durable = self.stamp().durable.max(manifest.durable);
                    for (files, next) in manifest.shards.iter_mut().zip(&save.nexts) {
                        files.segments.push(next.clone());
                    }
                    self.write_manifest(manifest)?;
                }
                Stage::Right
            }
        })
    }

    fn prepare(&mut self, save: &mut Save, at: usize) -> Result<(), Failure> {
        if self.cores[at].shard.keys.is_cut() {
            return Err(Failure::Exists);
        }
        self.finish_sync(at);
        if self.start_sync(at) {
            self.finish_sync(at);
        }
        let log = self.cores[at].shard.log();
        if log.is_some_and(|log| !log.can_switch() && log.fault().is_none()) {
            return Err(Failure::Exists);
        }
        self.segments[at] += 1;
        let number = self.segments[at];
        let path = names::segment(save.generation, ShardId(at as u16), number);
        let file = self.disk.create(&path)?;
        self.cores[at].files.insert(number, file);
        let run = self.manifest.run;
        save.nexts.push(Segment { path, number, run, first: None, end: None });
        Ok(())
    }

    /// Does a part of the base of a shard that a seed picks.
    fn write_base(&mut self, save: &mut Save) -> Result<Stage, Failure> {
        let open: Vec<usize> =
            (0..self.cores.len()).filter(|at| save.bases[*at].base.is_none()).collect();
        if open.is_empty() {
            return Ok(Stage::Commit);
        }
        let at = open[self.prng.below(open.len() as u64) as usize];
        let lossy = self.has(Bug::LosePreimage);
        let path = names::snapshot(save.generation, ShardId(at as u16));
        let header = Header {
            shard: ShardId(at as u16),
            shards: self.cores.len() as u16,
            generation: save.generation,
            cut: save.epoch,
            run: self.manifest.run,
            hash: self.manifest.hash,
        };
        let unflipped = self.has(Bug::PolarityNotFlipped);
        let writing = &mut save.bases[at];
        let shard = &mut self.cores[at].shard;
        let Some(file) = writing.file else {
            writing.file = Some(self.disk.create(&path)?);
            if unflipped {
                shard.keys.abort();
                while shard.base_step() != Progress::Done {}
                shard.keys.cut();
            }
            if lossy {
                let changed = writing.changed.clone();
                writing.own = Some(Lossy { writer: ChunkWriter::new(&header), changed });
            } else {
                let about = (header.generation, header.cut, header.shards, header.run);
                shard.start_base(BaseForm::Snapshot, about, header.hash);
            }
            return Ok(Stage::Write);
        };
        let (bytes, crc, entries, done) = match writing.own.take() {
            Some(mut own) => {
                while shard.keys.snapshot_step(&mut own, Budget::default()) == Step::More {}
                let (bytes, footer) = own.writer.finish();
                (bytes, footer.crc, footer.entries, true)
            }
            None if shard.base_step() == Progress::Done => {
                let mut bytes = shard.take_base_bytes(Vec::new());
                let (rest, crc, entries) = shard.end_base(Vec::new());
                bytes.extend(rest);
                (bytes, crc, entries, true)
            }
            None => (shard.take_base_bytes(Vec::new()), 0, Default::default(), false),
        };
        self.disk.write_all(file, writing.offset, &bytes)?;
        writing.offset += bytes.len() as u64;
        if done {
            if !self.has(Bug::BaseNotSynced) {
                self.disk.sync_data(file)?;
            }
            let run = self.manifest.run;
            writing.base = Some(Base { path, run, length: writing.offset, crc, entries });
        }
        Ok(Stage::Write)
    }

    fn committed(&self, save: &Save) -> Manifest {
        let shards = save.nexts.iter().zip(&save.afters).zip(&save.bases);
        let shards = shards.map(|((next, (after, _)), writing)| {
            ShardFiles::after_cut(*after, writing.base.clone(), Some(next.clone()))
        });
        Manifest {
            generation: save.generation,
            cut: save.epoch,
            durable: Epoch(save.epoch.0 - 1),
            shards: shards.collect(),
            ..save.prepared.clone().unwrap_or_else(|| self.manifest.clone())
        }
    }

    fn heal(&mut self, save: &mut Save, at: usize) {
        let promise = promise(self.setup.policy);
        let shard = &mut self.cores[at].shard;
        save.healthy &= shard.checkpointed(save.afters[at].0, true);
        shard.gate.set_promise(promise);
        shard.note_progress();
        self.log_moved(at);
    }

    fn settle_health(&mut self, save: &Save) {
        if self.fault.is_none() || !save.healthy {
            return;
        }
        let fault = self.fault.take();
        if self.cores.iter().all(|core| core.shard.keeps_promises()) {
            self.cores.iter_mut().for_each(|core| core.shard.writes = Writes::Allowed);
        } else if let Some(error) = fault {
            self.break_log(0, error);
        }
    }

    pub(super) fn sync_dir(&mut self, directory: &str) -> Result<(), Failure> {
        match self.has(Bug::NoDirectorySync) {
            true => Ok(()),
            false => self.disk.sync_dir(directory),
        }
    }

    /// Makes this manifest the database's.
    pub(super) fn write_manifest(&mut self, manifest: Manifest) -> Result<(), Failure> {
        let file = self.disk.replace(names::MANIFEST_TMP)?;
        self.disk.write_all(file, 0, &manifest.encode())?;
        if !self.has(Bug::ManifestNotSynced) {
            self.disk.sync_data(file)?;
        }
        self.disk.rename(names::MANIFEST_TMP, names::MANIFEST)?;
        self.sync_dir("")?;
        self.manifest = manifest;
        Ok(())
    }

    /// Removes what the manifest does not govern.
    pub(super) fn tidy(&mut self) -> Result<(), Failure> {
        let listing = self.disk.list()?;
        let garbage = listing
            .keys()
            .rev()
            .filter(|path| names::fate(path, Some(&self.manifest)) == Fate::Garbage);
        for path in garbage.cloned().collect::<Vec<_>>() {
            let within = matches!(names::parse(&path), Some(Name::Directory(_)));
            let prefix = format!("{path}/");
            if within
                && listing.keys().any(|other| {
                    other.starts_with(&prefix)
                        && names::fate(other, Some(&self.manifest)) == Fate::Keep
                })
            {
                continue;
            }
            let _ = self.disk.remove(&path);
        }
        Ok(())
    }

    /// The identity of a segment in this run.
    pub(super) fn segment_id(&self, at: usize, number: u64) -> SegmentId {
        SegmentId { run: self.manifest.run, shard: ShardId(at as u16), number }
    }
}

/// What a reply waits for.
pub(super) fn promise(policy: Policy) -> Promise {
    match policy {
        Policy::Always => Promise::Synced,
        Policy::EverySecond | Policy::No => Promise::Written,
    }
}
