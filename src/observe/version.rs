//! Who we say we are: the one place of version numbers.

/// The version of Redis whose behaviour is matched: INFO's `redis_version`.
pub const REDIS_VERSION: &str = "7.2.5";

/// The version that HELLO tells. Client libraries switch features on by it, and they want 7.4.
pub const HELLO_VERSION: &str = "7.4.0";

/// Our own version.
pub const BASALT_VERSION: &str = env!("CARGO_PKG_VERSION");
