//! A long string as chunks, so that a change in it costs a snapshot one chunk.

/// A string of many chunks.
#[derive(Debug, Default)]
pub struct Rope {}
