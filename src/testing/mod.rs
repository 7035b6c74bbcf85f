//! Stands in for what is outside: a real server beside unit tests.

#[cfg(test)]
pub mod peer;
