//! The error texts of streams.

use crate::resp::error::{Error, text};

/// The texts without parameters.
impl Error {
    /// Something else where an id is expected.
    pub const STREAM_ID: Error = text("ERR Invalid stream ID specified as stream command argument");
    /// XADD 0-0.
    pub const XADD_ZERO: Error = text("ERR The ID specified in XADD must be greater than 0-0");
    /// XADD with an id that is not above the last.
    pub const XADD_ID: Error =
        text("ERR The ID specified in XADD is equal or smaller than the target stream top item");
    /// XADD after the last id that there is.
    pub const XADD_EXHAUSTED: Error =
        text("ERR The stream has exhausted the last possible ID, unable to add more items");
    /// XADD of more than an entry may hold.
    pub const XADD_TOO_LARGE: Error = text("ERR Elements are too large to be stored");
    /// XADD, XTRIM: MAXLEN with MINID.
    pub const TRIM_BOTH: Error =
        text("ERR syntax error, MAXLEN and MINID options at the same time are not compatible");
    /// XADD, XTRIM: MAXLEN below zero.
    pub const TRIM_MAXLEN: Error = text("ERR The MAXLEN argument must be >= 0.");
    /// XADD, XTRIM: LIMIT below zero.
    pub const TRIM_LIMIT: Error = text("ERR The LIMIT argument must be >= 0.");
    /// XADD, XTRIM: LIMIT alone.
    pub const TRIM_LIMIT_ALONE: Error =
        text("ERR syntax error, LIMIT cannot be used without specifying a trimming strategy");
    /// XADD, XTRIM: LIMIT of an exact trim.
    pub const TRIM_LIMIT_EXACT: Error =
        text("ERR syntax error, LIMIT cannot be used without the special ~ option");
    /// XTRIM without MAXLEN or MINID.
    pub const TRIM_NOTHING: Error =
        text("ERR syntax error, XTRIM must be called with a trimming strategy");
    /// A range that begins after the last id.
    pub const RANGE_START: Error = text("ERR invalid start ID for the interval");
    /// A range that ends before the first id.
    pub const RANGE_END: Error = text("ERR invalid end ID for the interval");
    /// XREAD with an option of XREADGROUP.
    pub const XREAD_GROUP: Error =
        text("ERR The GROUP option is only supported by XREADGROUP. You called XREAD instead.");
    /// XREAD with another option of XREADGROUP.
    pub const XREAD_NOACK: Error =
        text("ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead.");
    /// XREAD with an id of XREADGROUP.
    pub const XREAD_NEW: Error = text(
        "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> \
         <consumer> option.",
    );
    /// XREADGROUP without GROUP.
    pub const XREADGROUP_ALONE: Error = text("ERR Missing GROUP option for XREADGROUP");
    /// XGROUP where there is no stream.
    pub const XGROUP_NO_KEY: Error = text(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want \
         to use the MKSTREAM option to create an empty stream automatically.",
    );
    /// XGROUP CREATE of a group that exists.
    pub const BUSYGROUP: Error = text("BUSYGROUP Consumer Group name already exists");
    /// XGROUP: ENTRIESREAD below -1.
    pub const ENTRIES_READ: Error = text("ERR value for ENTRIESREAD must be positive or -1");
    /// XSETID: ENTRIESADDED below zero.
    pub const ENTRIES_ADDED: Error = text("ERR entries_added must be positive");
    /// XSETID: the two ids that it is given do not fit.
    pub const XSETID_DELETED: Error =
        text("ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id");
    /// XSETID below an entry that was deleted.
    pub const XSETID_WAS_DELETED: Error =
        text("ERR The ID specified in XSETID is smaller than current max_deleted_entry_id");
    /// XSETID below an entry that is there.
    pub const XSETID_TOP: Error =
        text("ERR The ID specified in XSETID is smaller than the target stream top item");
    /// XSETID: ENTRIESADDED below the length.
    pub const XSETID_ADDED: Error =
        text("ERR The entries_added specified in XSETID is smaller than the target stream length");
    /// XCLAIM: how long an entry must have been pending.
    pub const XCLAIM_MIN_IDLE: Error = text("ERR Invalid min-idle-time argument for XCLAIM");
    /// XCLAIM: IDLE.
    pub const XCLAIM_IDLE: Error = text("ERR Invalid IDLE option argument for XCLAIM");
    /// XCLAIM: TIME.
    pub const XCLAIM_TIME: Error = text("ERR Invalid TIME option argument for XCLAIM");
    /// XCLAIM: RETRYCOUNT.
    pub const XCLAIM_RETRY: Error = text("ERR Invalid RETRYCOUNT option argument for XCLAIM");
    /// XAUTOCLAIM: how long an entry must have been pending.
    pub const XAUTOCLAIM_MIN_IDLE: Error =
        text("ERR Invalid min-idle-time argument for XAUTOCLAIM");
    /// XAUTOCLAIM: COUNT.
    pub const XAUTOCLAIM_COUNT: Error = text("ERR COUNT must be > 0");
}

/// The texts with parameters.
impl Error {
    /// XREAD and XREADGROUP (in lower case): a key without its id.
    pub fn unbalanced_streams(command: &str) -> Error {
        let symbol = if command == "xread" { '$' } else { '>' };
        Error::err_owned(format!(
            "Unbalanced '{command}' list of streams: for each stream key an ID or '{symbol}' \
             must be specified."
        ))
    }

    /// XREADGROUP with an id of XREAD (`$` or `+`).
    pub fn meaningless_id(symbol: char) -> Error {
        Error::err_owned(format!(
            "The {symbol} ID is meaningless in the context of XREADGROUP: you want to read the \
             history of this consumer by specifying a proper ID, or use the > ID to get new \
             messages. The {symbol} ID would just return an empty result set."
        ))
    }

    /// No such key, or no such group in it; `after` is the end of the line.
    pub fn no_group(key: &[u8], group: &[u8], after: &str) -> Error {
        let (key, group) = (as_text(key), as_text(group));
        let parts: [&[u8]; 6] = [
            b"NOGROUP No such key '",
            key,
            b"' or consumer group '",
            group,
            b"'",
            after.as_bytes(),
        ];
        Error::Line(parts.concat())
    }

    /// No such group in a stream that is there.
    pub fn no_group_in(group: &[u8], key: &[u8]) -> Error {
        let (key, group) = (as_text(key), as_text(group));
        let parts: [&[u8]; 5] =
            [b"NOGROUP No such consumer group '", group, b"' for key name '", key, b"'"];
        Error::Line(parts.concat())
    }

    /// XCLAIM and an option it does not have.
    pub fn xclaim_option(option: &[u8]) -> Error {
        Error::Line([b"ERR Unrecognized XCLAIM option '", as_text(option), b"'"].concat())
    }
}

/// Nothing from a NUL on: Redis prints arguments as C strings.
fn as_text(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}
