//! Every error text that a client can see, once.

mod acl;
mod hashes;
mod hyperloglog;
mod stream;

use std::borrow::Cow;
use std::fmt;

use crate::resp::args::Args;

mod sorted_sets;

/// How much of a client's bytes an error line repeats, as Redis cuts them.
const QUOTE_MAX: usize = 128;

/// An error reply. `Display` gives the line without the leading `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The key holds another type.
    WrongType,
    /// An option or its order is not understood.
    Syntax,
    /// A number was expected that fits 64 bits.
    NotInteger,
    /// A floating point number was expected.
    NotFloat,
    /// Too few or too many arguments: the command's name in lower case (`config|get`).
    WrongArity(String),
    /// The key has to exist.
    NoSuchKey,
    /// Writes are refused while the log cannot be written (the reason is in the text).
    Misconf(String),
    /// Any other line, its code word included (`ERR ...`).
    Text(Cow<'static, str>),
    /// A line that repeats bytes of the client, which need not be UTF-8.
    Line(Vec<u8>),
}

/// The texts without parameters.
impl Error {
    /// A set bit has to be 0 or 1.
    pub const BIT_VALUE: Error = text("ERR bit is not an integer or out of range");
    /// A bit offset.
    pub const BIT_OFFSET: Error = text("ERR bit offset is not an integer or out of range");
    /// BITPOS looks for 0 or 1.
    pub const BIT_ARGUMENT: Error = text("ERR The bit argument must be 1 or 0.");
    /// BITOP NOT has one source.
    pub const BITOP_NOT: Error = text("ERR BITOP NOT must be called with a single source key.");
    /// BITFIELD: the type of a field.
    pub const BITFIELD_TYPE: Error = text(
        "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported \
         but i64 is.",
    );
    /// BITFIELD: the word after OVERFLOW.
    pub const BITFIELD_OVERFLOW: Error = text("ERR Invalid OVERFLOW type specified");
    /// BITFIELD_RO: SET or INCRBY.
    pub const BITFIELD_RO: Error = text("ERR BITFIELD_RO only supports the GET subcommand");
    /// INCR and its kin would leave 64 bits.
    pub const OVERFLOW: Error = text("ERR increment or decrement would overflow");
    /// DECRBY of the least number.
    pub const DECREMENT_OVERFLOW: Error = text("ERR decrement would overflow");
    /// INCRBYFLOAT and HINCRBYFLOAT.
    pub const NAN_OR_INFINITY: Error = text("ERR increment would produce NaN or Infinity");
    /// HINCRBY on something else.
    pub const HASH_NOT_INTEGER: Error = text("ERR hash value is not an integer");
    /// HINCRBYFLOAT on something else.
    pub const HASH_NOT_FLOAT: Error = text("ERR hash value is not a float");
    /// A string would pass proto-max-bulk-len.
    pub const STRING_TOO_LONG: Error =
        text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    /// SETRANGE before the start.
    pub const OFFSET: Error = text("ERR offset is out of range");
    /// LSET and DEBUG: no such element.
    pub const INDEX: Error = text("ERR index out of range");
    /// A count outside its range.
    pub const VALUE_RANGE: Error = text("ERR value is out of range");
    /// A count below zero.
    pub const NOT_POSITIVE: Error = text("ERR value is out of range, must be positive");
    /// SELECT and MOVE.
    pub const DB_INDEX: Error = text("ERR DB index is out of range");
    /// SWAPDB, the first number.
    pub const FIRST_DB: Error = text("ERR invalid first DB index");
    /// SWAPDB, the second number.
    pub const SECOND_DB: Error = text("ERR invalid second DB index");
    /// MOVE and COPY onto itself.
    pub const SAME_OBJECT: Error = text("ERR source and destination objects are the same");
    /// SCAN and its kin.
    pub const CURSOR: Error = text("ERR invalid cursor");
    /// EXPIRE: NX with another option.
    pub const EXPIRE_NX: Error =
        text("ERR NX and XX, GT or LT options at the same time are not compatible");
    /// EXPIRE: GT with LT.
    pub const EXPIRE_GT_LT: Error =
        text("ERR GT and LT options at the same time are not compatible");
    /// LCS: LEN with IDX.
    pub const LCS_LEN_IDX: Error =
        text("ERR If you want both the length and indexes, please just use IDX.");
    /// LCS on another type.
    pub const LCS_TYPE: Error = text("ERR The specified keys must contain string values");
    /// LCS on very long strings.
    pub const LCS_TOO_LONG: Error = text("ERR String too long for LCS");
    /// LCS: the table would be too large.
    pub const LCS_MEMORY: Error =
        text("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
    /// RESTORE without REPLACE on a key that exists.
    pub const BUSYKEY: Error = text("BUSYKEY Target key name already exists.");
    /// RESTORE: the payload's frame.
    pub const DUMP_PAYLOAD: Error = text("ERR DUMP payload version or checksum are wrong");
    /// RESTORE: the payload's content.
    pub const DUMP_FORMAT: Error = text("ERR Bad data format");
    /// RESTORE: its deadline.
    pub const RESTORE_TTL: Error = text("ERR Invalid TTL value, must be >= 0");
    /// RESTORE: IDLETIME.
    pub const RESTORE_IDLETIME: Error = text("ERR Invalid IDLETIME value, must be >= 0");
    /// RESTORE: FREQ.
    pub const RESTORE_FREQ: Error = text("ERR Invalid FREQ value, must be >= 0 and <= 255");
    /// OBJECT FREQ without an LFU policy.
    pub const NO_LFU: Error = text(
        "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
         that when switching between policies at runtime LRU and LFU data will take some time \
         to adjust.",
    );
    /// OBJECT IDLETIME with an LFU policy.
    pub const NO_LRU: Error = text(
        "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
         switching between policies at runtime LRU and LFU data will take some time to adjust.",
    );
    /// How many keys follow.
    pub const NUMKEYS_ZERO: Error = text("ERR numkeys should be greater than 0");
    /// How many keys follow, and fewer came.
    pub const NUMKEYS_MANY: Error = text("ERR Number of keys can't be greater than number of args");

    /// EVALSHA of a script that is not kept.
    pub const NOSCRIPT: Error = text("NOSCRIPT No matching script. Please use EVAL.");
    /// EVAL: fewer keys than none.
    pub const SCRIPT_KEYS_NEGATIVE: Error = text("ERR Number of keys can't be negative");
    /// A script that does not say that memory does not matter.
    pub const SCRIPT_OOM: Error = text(
        "OOM allow-oom flag is not set on the script, can not run it when used memory > \
         'maxmemory'",
    );
    /// A script runs for too long.
    pub const BUSY: Error = text(
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    );
    /// A function runs for too long.
    pub const BUSY_FUNCTION: Error = text(
        "BUSY Redis is busy running a script. You can only call FUNCTION KILL or SHUTDOWN NOSAVE.",
    );
    /// SCRIPT KILL, and none runs.
    pub const NOTBUSY: Error = text("NOTBUSY No scripts in execution right now.");
    /// SCRIPT KILL of one that has written.
    pub const UNKILLABLE: Error = text(
        "UNKILLABLE Sorry the script already executed write commands against the dataset. You \
         can either wait the script termination or kill the server in a hard way using the \
         SHUTDOWN NOSAVE command.",
    );

    /// MULTI in MULTI.
    pub const NESTED_MULTI: Error = text("ERR MULTI calls can not be nested");
    /// WATCH in MULTI.
    pub const WATCH_IN_MULTI: Error = text("ERR WATCH inside MULTI is not allowed");
    /// EXEC alone.
    pub const EXEC_ALONE: Error = text("ERR EXEC without MULTI");
    /// DISCARD alone.
    pub const DISCARD_ALONE: Error = text("ERR DISCARD without MULTI");
    /// EXEC after a command that could not be queued.
    pub const EXECABORT: Error =
        text("EXECABORT Transaction discarded because of previous errors.");
    /// A command with the flag `no-multi`.
    pub const NOT_IN_MULTI: Error = text("ERR Command not allowed inside a transaction");

    /// A command before AUTH.
    pub const NOAUTH: Error = text("NOAUTH Authentication required.");
    /// HELLO before AUTH.
    pub const NOAUTH_HELLO: Error = text(
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO \
         <proto> AUTH <user> <pass> option can be used to authenticate the client and select \
         the RESP protocol version at the same time",
    );
    /// A wrong password.
    pub const WRONGPASS: Error =
        text("WRONGPASS invalid username-password pair or user is disabled.");
    /// AUTH, and no password is set.
    pub const NO_PASSWORD: Error = text(
        "ERR AUTH <password> called without any password configured for the default user. Are \
         you sure your configuration is correct?",
    );
    /// HELLO with another version.
    pub const NOPROTO: Error = text("NOPROTO unsupported protocol version");
    /// HELLO with no number.
    pub const PROTO_NUMBER: Error = text("ERR Protocol version is not an integer or out of range");
    /// CLIENT SETNAME and HELLO SETNAME.
    pub const CLIENT_NAME: Error =
        text("ERR Client names cannot contain spaces, newlines or special characters.");
    /// CLIENT KILL by address.
    pub const NO_SUCH_CLIENT: Error = text("ERR No such client");
    /// CLIENT KILL ID.
    pub const CLIENT_KILL_ID: Error = text("ERR client-id should be greater than 0");
    /// CLIENT LIST ID.
    pub const CLIENT_LIST_ID: Error = text("ERR Invalid client ID");
    /// CLIENT PAUSE and blocking commands: a number of milliseconds.
    pub const TIMEOUT_NUMBER: Error = text("ERR timeout is not an integer or out of range");
    /// A timeout below zero.
    pub const TIMEOUT_NEGATIVE: Error = text("ERR timeout is negative");
    /// A timeout that may have a fraction.
    pub const TIMEOUT_FLOAT: Error = text("ERR timeout is not a float or out of range");
    /// A timeout of centuries.
    pub const TIMEOUT_RANGE: Error = text("ERR timeout is out of range");
    /// CLIENT PAUSE: the word after the number.
    pub const PAUSE_MODE: Error = text("ERR CLIENT PAUSE mode must be WRITE or ALL");
    /// CLIENT TRACKING with an unknown client.
    pub const TRACKING_REDIRECT: Error =
        text("ERR The client ID you want redirect to does not exist");
    /// CLIENT CACHING without tracking.
    pub const CACHING_MODE: Error = text(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN \
         or OPTOUT mode enabled",
    );
    /// A blocked client was freed by CLIENT UNBLOCK ERROR.
    pub const UNBLOCKED: Error = text("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    /// More connections than maxclients.
    pub const MAX_CLIENTS: Error = text("ERR max number of clients reached");
    /// Protected mode and a client from elsewhere.
    pub const PROTECTED: Error = text(
        "DENIED Redis is running in protected mode because protected mode is enabled and no \
         password is set for the default user. In this mode connections are only accepted from \
         the loopback interface. If you want to connect from external computers to Redis you \
         may adopt one of the following solutions: 1) Just disable protected mode sending the \
         command 'CONFIG SET protected-mode no' from the loopback interface by connecting to \
         Redis from the same host the server is running, however MAKE SURE Redis is not \
         publicly accessible from internet if you do so. Use CONFIG REWRITE to make this change \
         permanent. 2) Alternatively you can just disable the protected mode by editing the \
         Redis configuration file, and setting the protected mode option to 'no', and then \
         restarting the server. 3) If you started the server manually just for testing, restart \
         it with the '--protected-mode no' option. 4) Set up an authentication password for the \
         default user. NOTE: You only need to do one of the above things in order for the \
         server to start accepting connections from the outside.",
    );

    /// Data is being loaded.
    pub const LOADING: Error = text("LOADING Redis is loading the dataset in memory");
    /// Above maxmemory, and nothing may be evicted.
    pub const OOM: Error = text("OOM command not allowed when used memory > 'maxmemory'.");
    /// Writes are refused after a snapshot that failed.
    pub const MISCONF_SNAPSHOT: Error = text(
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist \
         to disk. Commands that may modify the data set are disabled, because this instance is \
         configured to report errors during writes if RDB snapshotting fails \
         (stop-writes-on-bgsave-error option). Please check the Redis logs for details about \
         the RDB error.",
    );
    /// A snapshot is being written already.
    pub const SAVE_RUNNING: Error = text("ERR Background save already in progress");
    /// BGSAVE during a rewrite.
    pub const SAVE_IN_REWRITE: Error = text(
        "ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE \
         in order to schedule a BGSAVE whenever possible.",
    );
    /// BGREWRITEAOF during a rewrite.
    pub const REWRITE_RUNNING: Error =
        text("ERR Background append only file rewriting already in progress");
    /// SHUTDOWN that could not save.
    pub const SHUTDOWN_FAILED: Error = text("ERR Errors trying to SHUTDOWN. Check logs.");
    /// SHUTDOWN ABORT, and there is none.
    pub const NO_SHUTDOWN: Error = text("ERR No shutdown in progress.");
    /// A CLUSTER command.
    pub const NO_CLUSTER: Error = text("ERR This instance has cluster support disabled");
    /// DEBUG, switched off.
    pub const DEBUG_OFF: Error = text(
        "ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", \
         you can run it from a local connection, otherwise you need to set this option in the \
         configuration file, and then restart the server.",
    );
    /// CONFIG REWRITE without a file.
    pub const NO_CONFIG_FILE: Error = text("ERR The server is running without a config file");
    /// SLOWLOG GET.
    pub const SLOWLOG_COUNT: Error = text("ERR count should be greater than or equal to -1");
    /// COMMAND GETKEYS of a name that does not exist.
    pub const GETKEYS_COMMAND: Error = text("ERR Invalid command specified");
    /// COMMAND GETKEYS with a wrong number of arguments.
    pub const GETKEYS_ARITY: Error = text("ERR Invalid number of arguments specified for command");
    /// COMMAND GETKEYS of a command without keys.
    pub const GETKEYS_NONE: Error = text("ERR The command has no key arguments");
    /// COMMAND GETKEYS: the arguments do not fit.
    pub const GETKEYS_ARGUMENTS: Error = text("ERR Invalid arguments specified for command");
}

/// The texts with parameters.
impl Error {
    /// `ERR ` and the text.
    pub fn err(text: &'static str) -> Error {
        Error::Text(Cow::Owned(format!("ERR {text}")))
    }

    /// `ERR ` and a text that was put together.
    pub fn err_owned(text: String) -> Error {
        Error::Text(Cow::Owned(format!("ERR {text}")))
    }

    /// A script that may write, while writes are refused with `why`.
    pub fn blocked_script(why: &Error) -> Error {
        let tail = "Writable scripts are blocked. Use 'no-writes' flag for read only scripts.";
        if *why == Error::MISCONF_SNAPSHOT {
            let head = "MISCONF Redis is configured to save RDB snapshots, but it's currently \
                unable to persist to disk.";
            return Error::Text(Cow::Owned(format!("{head} {tail}")));
        }
        let head = "MISCONF Redis is configured to persist data to AOF, but it's currently unable \
            to persist to disk.";
        Error::Text(Cow::Owned(format!("{head} {tail} AOF error: {why}")))
    }

    /// A command's name that is not in the table; the first arguments are repeated.
    pub fn unknown_command(args: Args<'_>) -> Error {
        let mut line = b"ERR unknown command '".to_vec();
        line.extend_from_slice(quote(args.at(0), QUOTE_MAX));
        line.extend_from_slice(b"', with args beginning with: ");
        let first = line.len();
        for arg in args.from(1).iter() {
            let used = line.len() - first;
            if used >= QUOTE_MAX {
                break;
            }
            line.push(b'\'');
            line.extend_from_slice(quote(arg, QUOTE_MAX - used));
            line.extend_from_slice(b"' ");
        }
        Error::Line(line)
    }

    /// A subcommand that its container (any case) does not have.
    pub fn unknown_subcommand(container: &str, sub: &[u8]) -> Error {
        let help = format!("'. Try {} HELP.", container.to_ascii_uppercase());
        quoting("ERR unknown subcommand '", sub, &help)
    }

    /// A RESP2 connection that is subscribed to something: the command's name.
    pub fn subscribed(command: &str) -> Error {
        Error::Text(Cow::Owned(format!(
            "ERR Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        )))
    }

    /// A subcommand that exists, in a form that does not.
    pub fn subcommand_syntax(container: &str, sub: &[u8]) -> Error {
        let help = format!("'. Try {} HELP.", container.to_ascii_uppercase());
        quoting("ERR unknown subcommand or wrong number of arguments for '", sub, &help)
    }

    /// A deadline that is not one: the command's name in lower case.
    pub fn invalid_expire(command: &str) -> Error {
        Error::Text(Cow::Owned(format!("ERR invalid expire time in '{command}' command")))
    }

    /// EXPIRE and an option it does not have.
    pub fn unsupported_option(option: &[u8]) -> Error {
        quoting("ERR Unsupported option ", option, "")
    }

    /// A number outside the bounds that a command states.
    pub fn value_between(low: i64, high: i64) -> Error {
        Error::Text(Cow::Owned(format!(
            "ERR value is out of range, value must between {low} and {high}"
        )))
    }

    /// HELLO and an option it does not have.
    pub fn hello_option(option: &[u8]) -> Error {
        quoting("ERR Syntax error in HELLO option '", option, "'")
    }

    /// CLIENT LIST TYPE and CLIENT KILL TYPE.
    pub fn client_type(word: &[u8]) -> Error {
        quoting("ERR Unknown client type '", word, "'")
    }

    /// CLIENT SETINFO with an attribute it does not know.
    pub fn setinfo_option(word: &[u8]) -> Error {
        quoting("ERR Unrecognized option '", word, "'")
    }

    /// CLIENT SETINFO with a value that CLIENT LIST could not show (`lib-name`, `lib-ver`).
    pub fn setinfo_value(attribute: &str) -> Error {
        Error::Text(Cow::Owned(format!(
            "ERR {attribute} cannot contain spaces, newlines or special characters."
        )))
    }

    /// CONFIG SET of a name that does not exist.
    pub fn config_unknown(name: &[u8]) -> Error {
        quoting("ERR Unknown option or number of arguments for CONFIG SET - '", name, "'")
    }

    /// CONFIG SET with a value that is refused.
    pub fn config_refused(name: &str, reason: &str) -> Error {
        Error::Text(Cow::Owned(format!(
            "ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}"
        )))
    }

    /// Anything but the subscriber's commands in a RESP2 session that subscribes.
    pub fn subscriber_only(command: &str) -> Error {
        Error::Text(Cow::Owned(format!(
            "ERR Can't execute '{command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT \
             / RESET are allowed in this context"
        )))
    }

    /// EXEC that is refused as a whole: the refusal of one of its commands.
    pub fn exec_aborted(reason: &Error) -> Error {
        let mut line = b"EXECABORT Transaction discarded because of: ".to_vec();
        let mut inner = Vec::new();
        reason.write_to(&mut inner);
        line.extend_from_slice(inner.strip_prefix(b"ERR ").unwrap_or(&inner));
        Error::Line(line)
    }

    /// Writes are refused while the log cannot be written: the system's word for why.
    pub fn log_failed(reason: &str) -> Error {
        Error::Misconf(format!("Errors writing to the AOF file: {reason}"))
    }

    /// The first word: what INFO errorstats counts by.
    pub fn code(&self) -> &str {
        match self {
            Error::WrongType => "WRONGTYPE",
            Error::Misconf(_) => "MISCONF",
            Error::Text(line) => line.split(' ').next().unwrap_or_default(),
            Error::Line(line) => {
                let word = line.split(|&b| b == b' ').next().unwrap_or_default();
                std::str::from_utf8(word).unwrap_or("ERR")
            }
            _ => "ERR",
        }
    }

    /// Appends the line without `-` and line end. CR and LF in it become spaces, so that no
    /// argument can forge a reply.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let first = out.len();
        match self {
            Error::WrongArity(name) => {
                out.extend_from_slice(b"ERR wrong number of arguments for '");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"' command");
            }
            Error::Misconf(reason) => {
                out.extend_from_slice(b"MISCONF ");
                out.extend_from_slice(reason.as_bytes());
            }
            Error::Line(line) => out.extend_from_slice(line),
            _ => out.extend_from_slice(self.fixed().as_bytes()),
        }
        for byte in out.iter_mut().skip(first) {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
    }

    /// The line, where it is one piece of text.
    fn fixed(&self) -> &str {
        match self {
            Error::WrongType => "WRONGTYPE Operation against a key holding the wrong kind of value",
            Error::Syntax => "ERR syntax error",
            Error::NotInteger => "ERR value is not an integer or out of range",
            Error::NotFloat => "ERR value is not a valid float",
            Error::NoSuchKey => "ERR no such key",
            Error::Text(line) => line,
            Error::WrongArity(_) | Error::Misconf(_) | Error::Line(_) => "",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = Vec::new();
        self.write_to(&mut line);
        f.write_str(&String::from_utf8_lossy(&line))
    }
}

impl std::error::Error for Error {}

/// A constant line.
const fn text(line: &'static str) -> Error {
    Error::Text(Cow::Borrowed(line))
}

/// A line around bytes of the client.
fn quoting(before: &str, bytes: &[u8], after: &str) -> Error {
    let mut line = before.as_bytes().to_vec();
    line.extend_from_slice(quote(bytes, QUOTE_MAX));
    line.extend_from_slice(after.as_bytes());
    Error::Line(line)
}

/// At most `max` bytes, and nothing from a NUL on: Redis prints arguments as C strings.
fn quote(bytes: &[u8], max: usize) -> &[u8] {
    let end = bytes.iter().take(max).position(|&b| b == 0).unwrap_or(bytes.len().min(max));
    bytes.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::args::OwnedArgs;

    #[test]
    fn lines_are_as_redis_prints_them() {
        let long = "x".repeat(300);
        let nul = b"a\0b".as_slice();
        let unknown = |args: &[&[u8]]| Error::unknown_command(OwnedArgs::of(args).args());
        let cut = format!(
            "ERR unknown command '{}', with args beginning with: 'a' '{}' ",
            &long[..128],
            &long[..124]
        );
        let rows: Vec<(Error, &str)> = vec![
            (Error::WrongType, "WRONGTYPE Operation against a key holding the wrong kind of value"),
            (
                Error::WrongArity("config|get".into()),
                "ERR wrong number of arguments for 'config|get' command",
            ),
            (Error::err("syntax error"), "ERR syntax error"),
            (unknown(&[b"FOO"]), "ERR unknown command 'FOO', with args beginning with: "),
            (
                unknown(&[b"FOO", b"a", b"b"]),
                "ERR unknown command 'FOO', with args beginning with: 'a' 'b' ",
            ),
            (
                unknown(&[b"F\r\nO", nul, b"\n"]),
                "ERR unknown command 'F  O', with args beginning with: 'a' ' ' ",
            ),
            (unknown(&[long.as_bytes(), b"a", long.as_bytes(), b"c"]), &cut),
            (
                Error::unknown_subcommand("client", b"foo"),
                "ERR unknown subcommand 'foo'. Try CLIENT HELP.",
            ),
            (Error::invalid_expire("set"), "ERR invalid expire time in 'set' command"),
            (
                Error::exec_aborted(&Error::OOM),
                "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
            ),
            (
                Error::log_failed("No space left on device"),
                "MISCONF Errors writing to the AOF file: No space left on device",
            ),
        ];
        for (error, line) in rows {
            assert_eq!(error.to_string(), line);
            assert_eq!(error.code(), line.split(' ').next().unwrap());
        }
    }

    #[test]
    fn bytes_of_a_client_stay_bytes() {
        let mut out = Vec::new();
        Error::unknown_subcommand("client", b"\xff\xfe").write_to(&mut out);
        assert_eq!(out, b"ERR unknown subcommand '\xff\xfe'. Try CLIENT HELP.");
    }
}
