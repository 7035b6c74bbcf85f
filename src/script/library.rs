//! The scripts that are known to the whole server, by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::limits::{SCRIPTS_BYTES_MAX, SCRIPTS_MAX};
use crate::resp::error::Error;
use crate::script::source::{Sha, sha_of};

/// Texts by name; all cores share one.
#[derive(Debug, Default)]
pub struct Library {
    texts: HashMap<Sha, Arc<[u8]>>,
    bytes: usize,
}

impl Library {
    /// The text of this name.
    pub fn get(&self, sha: &Sha) -> Option<Arc<[u8]>> {
        self.texts.get(sha).cloned()
    }

    /// Whether there is one.
    pub fn has(&self, sha: &Sha) -> bool {
        self.texts.contains_key(sha)
    }

    /// Keeps a text, which has been compiled without an error.
    pub fn keep(&mut self, body: &[u8]) -> Result<Sha, Error> {
        let sha = sha_of(body);
        if self.texts.contains_key(&sha) {
            return Ok(sha);
        }
        let full = self.texts.len() >= SCRIPTS_MAX || self.bytes + body.len() > SCRIPTS_BYTES_MAX;
        if full {
            return Err(Error::err("too many scripts are kept: use SCRIPT FLUSH"));
        }
        self.bytes += body.len();
        self.texts.insert(sha, body.into());
        Ok(sha)
    }

    /// Forgets all.
    pub fn flush(&mut self) {
        *self = Library::default();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.texts.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Bytes that they take, their places in the table included.
    pub fn memory(&self) -> usize {
        self.bytes + self.texts.len() * (size_of::<Sha>() + 2 * size_of::<usize>() + 16)
    }
}
