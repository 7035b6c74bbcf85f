//! What the tests over TCP share: a server in a process of its own, a client, peers, disks.
#![allow(dead_code, reason = "each test target uses its own part of this")]

pub mod client;
pub mod disk;
pub mod peers;
pub mod reply;
pub mod server;
