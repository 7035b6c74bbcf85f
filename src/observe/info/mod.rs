//! The text of INFO, from plain data.
//!
//! - `choose`: which sections were asked for; `text`: lines; `sections` and `persistence`: what
//!   each section says

pub mod choose;
mod persistence;
mod sections;
mod text;

pub use choose::{Choice, info};
