//! What each command means: pure functions and one table of rows.

pub mod call;
pub mod session;
pub mod spec;
