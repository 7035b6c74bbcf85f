//! The table `redis`, but for the calls of commands.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use mlua::{Function, Lua, MultiValue, Table, Value};

use crate::commands::acl::check;
use crate::commands::acl::user::User;
use crate::commands::table as commands;
use crate::limits::SCRIPT_LOG_LINES;
use crate::observe::version::REDIS_VERSION;
use crate::resp::args::OwnedArgs;
use crate::resp::reply::Proto;
use crate::script::convert::plain_error;
use crate::script::number::{argument, general};
use crate::script::raw::{Lines, Link};
use crate::script::source::sha_of;

/// What follows in an error's text is the line of a table `{err = ...}`.
pub const TABLE: char = '\u{1}';

const LOG_LEVELS: [&str; 4] = ["LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"];

fn refusal(text: &str) -> mlua::Error {
    mlua::Error::RuntimeError(format!("{TABLE}ERR {text}"))
}

/// The table; `call` and `pcall` are added by the prelude.
pub fn table(lua: &Lua, link: &Link) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    redis.set("sha1hex", lua.create_function(sha1hex)?)?;
    redis.set("error_reply", lua.create_function(error_reply)?)?;
    redis.set("status_reply", lua.create_function(status_reply)?)?;
    redis.set("set_repl", lua.create_function(set_repl)?)?;
    redis.set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    redis.set("breakpoint", lua.create_function(|_, _: MultiValue| Ok(false))?)?;
    redis.set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)?;
    redis.set("acl_check_cmd", acl_check_cmd(lua, Rc::clone(&link.user))?)?;
    redis.set("log", log(lua, Rc::clone(&link.lines))?)?;
    let spoken = Rc::clone(&link.spoken);
    let setresp = lua.create_function(move |_, args: MultiValue| {
        if args.len() != 1 {
            return Err(refusal("redis.setresp() requires one argument."));
        }
        match args.front().and_then(whole) {
            Some(2) => spoken.set(Proto::Two),
            Some(3) => spoken.set(Proto::Three),
            _ => return Err(refusal("RESP version must be 2 or 3.")),
        }
        Ok(())
    })?;
    redis.set("setresp", setresp)?;
    for (level, name) in LOG_LEVELS.iter().enumerate() {
        redis.set(*name, level)?;
    }
    let kinds = [
        ("REPL_NONE", 0),
        ("REPL_AOF", 1),
        ("REPL_SLAVE", 2),
        ("REPL_REPLICA", 2),
        ("REPL_ALL", 3),
    ];
    for (name, value) in kinds {
        redis.set(name, value)?;
    }
    redis.set("REDIS_VERSION", REDIS_VERSION)?;
    redis.set("REDIS_VERSION_NUM", version_number(REDIS_VERSION))?;
    Ok(redis)
}

/// `7.2.5` as 0x00070205.
fn version_number(version: &str) -> u32 {
    let parts = version.split('.').map(|part| part.parse().unwrap_or_default());
    parts.fold(0, |number, part: u32| number << 8 | part)
}

/// A number as C's `int`, from a number or its text.
fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(*n),
        Value::Number(n) => Some(*n as i64),
        Value::String(text) => text.to_str().ok()?.trim().parse::<f64>().ok().map(|n| n as i64),
        _ => None,
    }
}

/// A string or a number as bytes, as the C API gives them.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(n) => Some(general(*n as f64, 14).into_bytes()),
        Value::Number(n) => Some(general(*n, 14).into_bytes()),
        _ => None,
    }
}

fn sha1hex(_: &Lua, args: MultiValue) -> mlua::Result<String> {
    if args.len() != 1 {
        return Err(refusal("wrong number of arguments"));
    }
    let text = args.front().and_then(bytes).unwrap_or_default();
    Ok(String::from_utf8_lossy(&sha_of(&text)).into_owned())
}

/// The only argument, if it is a string.
fn single(args: &MultiValue) -> Option<Vec<u8>> {
    match (args.len(), args.front()) {
        (1, Some(Value::String(text))) => Some(text.as_bytes().to_vec()),
        _ => None,
    }
}

const NOT_A_STRING: &[u8] = b"ERR wrong number or type of arguments";

fn error_reply(lua: &Lua, args: MultiValue) -> mlua::Result<Table> {
    match single(&args) {
        None => plain_error(lua, NOT_A_STRING),
        Some(text) => plain_error(lua, text.strip_prefix(b"-").unwrap_or(&text)),
    }
}

fn status_reply(lua: &Lua, args: MultiValue) -> mlua::Result<Table> {
    let Some(text) = single(&args) else { return plain_error(lua, NOT_A_STRING) };
    let table = lua.create_table()?;
    table.raw_set("ok", lua.create_string(text)?)?;
    Ok(table)
}

/// Effects are what is logged, so there is nothing to choose.
fn set_repl(_: &Lua, args: MultiValue) -> mlua::Result<()> {
    match args.front().and_then(whole) {
        _ if args.len() != 1 => Err(refusal("redis.set_repl() requires two arguments.")),
        Some(0..=3) => Ok(()),
        _ => Err(refusal(
            "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.",
        )),
    }
}

/// May the user who runs the script run a command?
fn acl_check_cmd(lua: &Lua, user: Rc<RefCell<Option<Arc<User>>>>) -> mlua::Result<Function> {
    lua.create_function(move |_, args: MultiValue| {
        let command = command_of(&args)?;
        let Ok(row) = commands::locate(command.args()) else {
            return Err(refusal("Invalid command passed to redis.acl_check_cmd()"));
        };
        let allowed = |user: &Arc<User>| check::check(user, row, command.args()).is_ok();
        Ok(user.borrow().as_ref().is_none_or(allowed))
    })
}

/// The arguments of a call as those of a command.
fn command_of(args: &MultiValue) -> mlua::Result<OwnedArgs> {
    if args.is_empty() {
        return Err(refusal("Please specify at least one argument for this redis lib call"));
    }
    let mut command = OwnedArgs::default();
    for value in args {
        let arg = match value {
            Value::Number(n) => Some(argument(*n).into_bytes()),
            value => bytes(value),
        };
        let Some(arg) = arg else {
            return Err(refusal("Lua redis lib command arguments must be strings or integers"));
        };
        command.push(&arg);
    }
    Ok(command)
}

fn log(lua: &Lua, lines: Lines) -> mlua::Result<Function> {
    lua.create_function(move |_, args: MultiValue| {
        if args.len() < 2 {
            return Err(refusal("redis.log() requires two arguments or more."));
        }
        let Some(level) = args.front().and_then(whole) else {
            return Err(refusal("First argument must be a number (log level)."));
        };
        let level = u8::try_from(level).ok().filter(|level| *level < 4);
        let Some(level) = level else { return Err(refusal("Invalid debug level.")) };
        let words: Vec<Vec<u8>> = args.iter().skip(1).filter_map(bytes).collect();
        let mut lines = lines.borrow_mut();
        if lines.len() < SCRIPT_LOG_LINES {
            lines.push((level, words.join(&b' ')));
        }
        Ok(())
    })
}
