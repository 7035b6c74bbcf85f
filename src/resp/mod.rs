//! Bytes to arguments and replies to bytes: the Redis serialization protocol, versions 2 and 3.

pub mod args;
pub mod buffer;
pub mod error;
pub mod inline;
pub mod invalid;
pub mod reply;
pub mod request;
