//! Settings: ONE table of rows, the typed `Config` made from it, and the syntax of redis.conf.
//!
//! - `values`: what a setting can hold; `kind`: how its text is read, with Redis' error texts
//! - `table`: the rows; `fields`: the typed `Config`
//! - `users`: directives that name users
//! - `text`: lines, quotes, memory units; `load`: files and the command line
//! - `runtime`: CONFIG GET and SET; `rewrite`: CONFIG REWRITE; `document`: the file in config/
//! - `command_line`: the arguments of basalt-server

pub mod command_line;
pub mod document;
pub mod fields;
pub mod kind;
pub mod load;
pub mod rewrite;
pub mod runtime;
pub mod table;
pub mod text;
pub mod users;
pub mod values;

pub use fields::Config;
