//! ONE table of settings. Everything else about settings is derived from it.
//!
//! - `row`: what a row says; `sections`: the rows that are read; `foreign`: the directives of
//!   Redis 7.2 that mean nothing here, or nothing yet

pub mod foreign;
pub mod row;
pub mod sections;
