//! Lua 5.1 for scripts: an interpreter of one core, and runs of it that stop at every command.

mod bit;
mod cjson;
mod cmsgpack;
mod compile;
mod convert;
pub mod libraries;
pub mod library;
pub mod machine;
mod number;
mod packed;
mod random;
mod raw;
pub mod reach;
mod reach_library;
mod redis;
pub mod source;
pub mod watch;

#[cfg(test)]
mod tests;
