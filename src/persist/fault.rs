//! What is wrong with a file, in words for the operator.

use std::fmt;

/// A file that is not what it has to be: told, never panicked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageFault {
    /// Path of the file inside the data directory.
    pub file: String,
    /// Offset of the byte where it shows (for the manifest also the line, in `expected`).
    pub offset: u64,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl StorageFault {
    /// A fault from its four parts.
    pub fn new(
        file: impl Into<String>,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> StorageFault {
        let (file, expected, found) = (file.into(), expected.into(), found.into());
        StorageFault { file, offset, expected, found }
    }
}

impl fmt::Display for StorageFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StorageFault { file, offset, expected, found } = self;
        write!(f, "{file}: at byte {offset}: expected {expected}, found {found}")
    }
}

impl std::error::Error for StorageFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line() {
        let fault = StorageFault::new("MANIFEST", 7, "a number", "x");
        assert_eq!(fault.to_string(), "MANIFEST: at byte 7: expected a number, found x");
    }
}
