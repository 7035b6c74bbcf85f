//! Values as data structures, one type a file; they know neither keys nor time.

pub mod flat;
pub mod hash;
pub mod rope;
pub mod string;
pub mod tree;
pub mod value;
