//! To be written.

#[cfg(test)]
pub mod peer;
