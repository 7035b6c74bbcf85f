//! INFO, CONFIG and the other commands of an operator: what they ask for, and how it is answered.

use crate::commands::spec::Command;

/// The rows of this file.
pub const ROWS: &[Command] = &[];
