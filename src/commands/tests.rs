//! Commands run on a keyspace of their own: scripts, random streams, and a real server beside it.

mod bench;
mod chance;
mod peer;
mod random;
mod replay;
mod script;
mod wire;
