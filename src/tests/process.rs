//! The real binary over TCP.
