//! The file of one segment of a log: its records, and zeros ahead of them (persist/ahead.rs).

use std::cell::Cell;
use std::path::Path;

use crate::limits::{LOG_AHEAD, WRITE_IN_PLACE};
use crate::persist::ahead::ahead;
use crate::persist::record::Policy;
use crate::persist::segment::WriteJob;
use crate::server::disk::{DiskError, File, Open};
use crate::server::requests::Requests;

/// An open segment.
#[derive(Debug)]
pub struct SegmentFile {
    file: File,
    /// Up to here there are zeros, or there is no room for them.
    filled: Cell<u64>,
}

impl SegmentFile {
    /// Creates the file, which must not exist, with the zeros that are to be ahead of its first
    /// records. Its name is durable only after `sync_dir` of its directory.
    pub async fn create(path: &Path, policy: Policy) -> Result<SegmentFile, DiskError> {
        let file = SegmentFile { file: File::open(path, Open::New).await?, filled: Cell::new(0) };
        if let Some(zeros) = ahead(policy, 0, 0, LOG_AHEAD) {
            file.filled.set(zeros.end);
            file.file.zero_aside(zeros).await?;
        }
        Ok(file)
    }

    /// Writes the bytes of a job, the only one in flight, in full.
    pub async fn write(
        &self,
        ring: &Requests,
        job: &WriteJob,
        policy: Policy,
    ) -> Result<(), DiskError> {
        if job.bytes().len() <= WRITE_IN_PLACE {
            self.file.write_now(job.bytes(), job.offset)?;
        } else {
            self.file.write_all_at(ring, job.bytes().to_vec(), job.offset).await?;
        }
        let end = job.offset + job.bytes().len() as u64;
        if let Some(zeros) = ahead(policy, end, self.filled.get(), LOG_AHEAD) {
            self.filled.set(zeros.end);
            self.file.zero_now(zeros);
        }
        Ok(())
    }

    /// Makes durable what was written before this call.
    pub async fn sync(&self, ring: &Requests) -> Result<(), DiskError> {
        self.file.sync_data(ring).await
    }

    /// Takes away what is behind the records: nothing is written any more.
    pub async fn cut(&self, length: u64) -> Result<(), DiskError> {
        self.file.set_length(length).await
    }
}
