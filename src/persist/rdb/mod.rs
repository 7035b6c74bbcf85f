//! Redis' own format, as far as version 12: files (`dump.rdb`), single values (DUMP) and libraries.

pub mod file_reader;
pub mod file_writer;
pub mod libraries;
pub mod lzf;
pub mod packed;
pub mod payload;
pub mod scalar;
pub mod stream_reader;
pub mod stream_writer;
pub mod value_reader;
pub mod value_writer;

#[cfg(test)]
mod tests;
