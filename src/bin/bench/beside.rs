//! What runs beside a measurement, and ends with it.
//!
//! **Busy cores**, the control of a snapshot: it keeps its core busy, and a busy core is treated
//! otherwise than an idle one, whatever keeps it busy: the host of a virtual machine takes time
//! away from processors that use much of it, and the kernel does its own work when there is an
//! idle moment. So a loop of the lowest class (SCHED_IDLE: it gives way to everything, at once)
//! keeps the servers' cores busy for a while. What a snapshot itself costs is what is left beyond
//! that. Where sessions are scheduled as groups (sched_autogroup_enabled, the default of most
//! kernels) it gives way to the server at once, but not to the kernel's own threads: to them it is
//! part of the server's group, whose turn they may wait for, up to 4 ms with a tick of that length.
//! A sync needs one of them (kblockd, for the flush of the device), so `always` is to be measured
//! with it off.
//!
//! **A crowded disk**: others write to it as fast as it takes it, past the page cache.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::{ends, server};

/// The program that starts another in a class of the scheduler; of util-linux.
const CLASS: &str = "chrt";

/// Processes; they end with this value.
#[derive(Debug, Default)]
pub struct Beside(Vec<Child>);

/// Can cores be kept busy here?
pub fn has_control(cores: &[usize]) -> bool {
    !cores.is_empty() && server::on_path(CLASS).is_some()
}

/// Files that are written at the same time on a crowded disk: some requests always wait.
const WRITERS: usize = 4;

impl Beside {
    /// Keeps each of these cores busy.
    pub fn busy(cores: &[usize]) -> Result<Beside, String> {
        let mut beside = Beside::default();
        for core in cores {
            let words = [CLASS, "--idle", "0", "sh", "-c", "while :; do :; done"];
            beside.start(&[*core], &words.map(str::to_owned))?;
        }
        Ok(beside)
    }

    /// Fills the disk of this directory, from these cores.
    pub fn crowd(cores: &[usize], directory: &Path) -> Result<Beside, String> {
        let mut beside = Beside::default();
        for number in 0..WRITERS {
            let file = directory.join(format!("crowd-{number}"));
            // Over and over the same 256 MiB: after the first time nothing but data is written.
            let line = format!(
                "while dd if=/dev/zero of='{}' bs=1M count=256 oflag=direct conv=notrunc \
                 2>/dev/null; do :; done",
                file.display()
            );
            beside.start(cores, &["sh".to_owned(), "-c".to_owned(), line])?;
        }
        Ok(beside)
    }

    fn start(&mut self, cores: &[usize], words: &[String]) -> Result<(), String> {
        let mut command = ends::guarded(cores, words.iter().cloned())?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("{}: {error}", words.join(" ")))?;
        ends::guard(child.id().cast_signed());
        self.0.push(child);
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        for child in &mut self.0 {
            ends::end(child.id().cast_signed());
            let _ = child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_core_of_their_own_there_is_no_control() {
        assert!(!has_control(&[]));
        assert!(Beside::busy(&[]).expect("nothing to start").0.is_empty());
    }
}
