//! The error texts about users and what they may do.

use super::{Error, quoting, text};

impl Error {
    /// SORT BY keys that nobody has named.
    pub const SORT_BY_DENIED: Error =
        text("ERR BY option of SORT denied due to insufficient ACL permissions.");
    /// SORT GET likewise.
    pub const SORT_GET_DENIED: Error =
        text("ERR GET option of SORT denied due to insufficient ACL permissions.");
    /// ACL LOAD and ACL SAVE without a file.
    pub const NO_ACL_FILE: Error = text(
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify \
         users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have a \
         Redis configuration file set) in order to store users in the Redis configuration.",
    );
    /// ACL SAVE that failed.
    pub const ACL_SAVE_FAILED: Error = text(
        "ERR There was an error trying to save the ACLs. Please check the server logs for more \
         information",
    );
    /// ACL SETUSER: more users than there may be.
    pub const ACL_CROWD: Error = text("ERR too many users");

    /// ACL CAT of a category that does not exist.
    pub fn unknown_category(name: &[u8]) -> Error {
        quoting("ERR Unknown category '", name, "'")
    }

    /// ACL DRYRUN of a user that does not exist.
    pub fn user_not_found(name: &[u8]) -> Error {
        quoting("ERR User '", name, "' not found")
    }

    /// ACL DRYRUN of a command that does not exist.
    pub fn command_not_found(name: &[u8]) -> Error {
        quoting("ERR Command '", name, "' not found")
    }

    /// CLIENT KILL USER of a user that does not exist.
    pub fn no_such_user(name: &[u8]) -> Error {
        quoting("ERR No such user '", name, "'")
    }
}
