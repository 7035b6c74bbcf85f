//! Users and what they may do: rules, the table of users, what a session is, and the commands.

pub mod catalogue;
pub mod change;
pub mod check;
pub mod command_set;
pub mod file;
pub mod identity;
pub mod rows;
pub mod rule;
pub mod selector;
pub mod user;
pub mod users;

#[cfg(test)]
mod tests;
