//! The shell: glommio, async and I/O live here and nowhere else.

pub mod clock;
pub mod disk;
pub mod mesh;
