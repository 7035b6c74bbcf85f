//! What std lacks: no Redis words, no storage.

pub mod arena;
pub mod calendar;
pub mod checksum;
pub mod entry;
pub mod extended;
pub mod fit;
pub mod glob;
pub mod ids;
pub mod mutant;
pub mod number;
pub mod order;
pub mod prng;
pub mod record;
pub mod segment;
pub mod slab;
pub mod split;
pub mod table;
pub mod time;
pub mod turnstile;
pub mod wire;
