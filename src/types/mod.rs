//! Values as data structures, one type a file; they know neither keys nor time.

pub mod bits;
pub mod flat;
pub mod geo;
pub mod hash;
pub mod hyperloglog;
pub mod ints;
pub mod list;
pub mod members;
pub mod packed;
pub mod parts;
pub mod rope;
pub mod set;
pub mod sorted;
pub mod stream;
pub mod string;
pub mod timed;
pub mod tree;
pub mod value;
pub mod zset;
