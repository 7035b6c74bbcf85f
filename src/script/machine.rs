//! Scripts as machines: a run goes on until it wants a command, its slice is over, or it ends. It
//! knows neither keys nor shards nor time.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use mlua::{Function, Lua, MultiValue, Table, Value};

use crate::commands::acl::user::User;
use crate::limits::{SCRIPT_MEMORY_MAX, SCRIPTS_COMPILED_MAX};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::{Proto, is_error};
use crate::script::compile::{compile, compiler, message};
use crate::script::libraries::{self, Compiled};
use crate::script::raw::{Link, Place, Stop};
use crate::script::reach::{Reach, reach};
use crate::script::source::{Declared, Sha, declared};
use crate::script::watch::Watch;
use crate::script::{bit, cjson, cmsgpack, convert, packed, random, redis};

/// One core's Lua.
#[derive(Debug)]
pub struct Interpreter {
    compiled: HashMap<Sha, (Function, Known)>,
    /// Libraries whose functions are there.
    pub(super) libraries: HashMap<Vec<u8>, Compiled>,
    pub(super) start: Function,
    step: Function,
    /// What scripts find as globals.
    globals: Table,
    /// What functions find as globals.
    pub(super) of_functions: Table,
    /// Lets functions see what they do, or what a library does that is loaded.
    see: Function,
    /// The run whose KEYS and ARGV are there, and how many there have been.
    present: Cell<Option<u64>>,
    runs: Cell<u64>,
    pub(super) lua: Lua,
    // Dropped after the interpreter.
    link: Box<Link>,
}

/// What is known of a script before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it says of itself.
    pub declared: Option<Declared>,
    /// Which keys it can use.
    pub reach: Reach,
}

/// A script on its way.
#[derive(Debug)]
pub struct Run {
    number: u64,
    /// What errors call it.
    label: Vec<u8>,
    pub(super) mode: Mode,
    coroutine: Value,
    keys: Table,
    argv: Table,
    /// The protocol that the client speaks.
    proto: Proto,
    /// The protocol that the script has chosen.
    spoken: Proto,
    watch: Arc<Watch>,
    stop: Stop,
}

/// What runs.
#[derive(Debug)]
pub(super) enum Mode {
    /// A script: it finds KEYS and ARGV as globals.
    Script,
    /// A function that has not begun: it is given them as arguments.
    Function,
    /// One that has.
    Begun,
    /// A library that is loaded, and where it registers its functions.
    Library(Table),
}

/// What a run is resumed with.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Nothing: it begins, or goes on after a slice.
    Go,
    /// The encoded reply to the command that it has called.
    Reply(&'a [u8]),
}

/// Where a run has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It calls a command, and waits for its reply in this protocol.
    Call(OwnedArgs, Proto),
    /// Its slice is over; it wants to go on.
    Pause,
    /// It has ended; this is its reply.
    Done(Vec<u8>, Counted),
    /// It has failed.
    Failed(Error, Counted),
}

/// Whether an error is that of a command, which has been counted when it ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// It is.
    Yes,
    /// It is the script's own.
    No,
}

impl Counted {
    fn of(value: Option<&Value>) -> mlua::Result<Counted> {
        let flag = match value {
            Some(Value::Table(table)) => table.raw_get::<Value>("ignore_error_stats_update")?,
            _ => Value::Nil,
        };
        Ok(if matches!(flag, Value::Boolean(true)) { Counted::Yes } else { Counted::No })
    }
}

const DONE: i64 = 0;
const CALL: i64 = 1;
const PAUSE: i64 = 2;

impl Interpreter {
    /// A new one; `seed` is that of `math.random`.
    pub fn new(seed: u64) -> Result<Interpreter, String> {
        Interpreter::made(seed).map_err(|error| message(&error))
    }

    fn made(seed: u64) -> mlua::Result<Interpreter> {
        let link = Link::new();
        let lua = link.interpreter()?;
        let (token, host) = link.functions(&lua)?;
        if !Link::proven(&lua, &host)? {
            return Err(mlua::Error::RuntimeError("another Lua than it was made for".into()));
        }
        host.set("describe", lua.create_function(described)?)?;
        host.set("compile", compiler(&lua)?)?;
        let (random, randomseed) = random::functions(&lua, seed)?;
        host.set("random", random)?;
        host.set("randomseed", randomseed)?;
        host.set("redis", redis::table(&lua, &link)?)?;
        libraries::register(&lua, &host)?;
        host.set("cjson", cjson::table(&lua)?)?;
        host.set("cmsgpack", cmsgpack::table(&lua)?)?;
        host.set("bit", bit::table(&lua)?)?;
        host.set("struct", packed::table(&lua)?)?;
        let prelude = lua.load(include_str!("prelude.lua")).set_name("=(basalt)");
        // The prelude uses no global, so its environment shows nothing.
        let prelude = prelude.set_environment(lua.create_table()?).into_function()?;
        let raw = lua.globals();
        type Made = (Function, Function, Table, Table, Table, Function);
        let (start, step, globals, _env, of_functions, see): Made =
            prelude.call((token, host, raw))?;
        lua.set_memory_limit(SCRIPT_MEMORY_MAX)?;
        let (present, runs) = (Cell::new(None), Cell::new(0));
        let compiled = HashMap::new();
        let libraries = HashMap::new();
        Ok(Interpreter {
            compiled,
            libraries,
            start,
            step,
            globals,
            of_functions,
            see,
            present,
            runs,
            lua,
            link,
        })
    }

    /// Compiles a text if it has to be; what is known of it.
    pub fn prepare(&mut self, sha: Sha, body: &[u8]) -> Result<Known, Error> {
        if let Some(known) = self.prepared(&sha) {
            return Ok(known);
        }
        let (declared, start) = declared(body)?;
        let text = body.get(start..).unwrap_or_default();
        let function = self.compile(text, "@user_script").map_err(|why| {
            Error::err_owned(format!("Error compiling script (new function): {why}"))
        })?;
        if self.compiled.len() >= SCRIPTS_COMPILED_MAX {
            self.compiled.clear();
        }
        let known = Known { declared, reach: reach(text) };
        self.compiled.insert(sha, (function, known));
        Ok(known)
    }

    /// What is known of a script that is compiled.
    pub fn prepared(&self, sha: &Sha) -> Option<Known> {
        self.compiled.get(sha).map(|(_, known)| *known)
    }

    /// Forgets all that was compiled.
    pub fn flush(&mut self) {
        self.compiled.clear();
        // What cannot be collected now is later.
        let _ = self.lua.gc_collect();
    }

    /// Bytes that the interpreter holds.
    pub fn memory(&self) -> usize {
        self.lua.used_memory()
    }

    /// How many functions are compiled.
    pub fn compiled(&self) -> usize {
        self.compiled.len()
    }

    /// A run of a script that is compiled; `resume` begins it.
    pub fn run(
        &self,
        sha: Sha,
        (keys, argv): (Args<'_>, Args<'_>),
        proto: Proto,
        watch: Arc<Watch>,
    ) -> Result<Run, Error> {
        let Some((function, _)) = self.compiled.get(&sha) else { return Err(Error::NOSCRIPT) };
        self.begun(function, (sha.to_vec(), Mode::Script), (keys, argv), (proto, watch))
    }

    /// The function of a text, or the compiler's message.
    pub(super) fn compile(&self, text: &[u8], name: &str) -> Result<Function, String> {
        self.make_room();
        compile(&self.lua, text, name)
    }

    /// Lua 5.1 does not collect when it finds no room: the next script is to have some, from the
    /// moment it is compiled.
    fn make_room(&self) {
        if self.lua.used_memory() > SCRIPT_MEMORY_MAX / 2 {
            let _ = self.lua.gc_collect();
        }
    }

    /// A run of this function.
    pub(super) fn begun(
        &self,
        function: &Function,
        (label, mode): (Vec<u8>, Mode),
        (keys, argv): (Args<'_>, Args<'_>),
        (proto, watch): (Proto, Arc<Watch>),
    ) -> Result<Run, Error> {
        self.make_room();
        let made = || {
            let keys = self.array(keys)?;
            let argv = self.array(argv)?;
            let coroutine = self.start.call(function)?;
            let stop = Stop::nowhere();
            let number = self.runs.get() + 1;
            self.runs.set(number);
            let spoken = Proto::Two;
            Ok(Run { number, label, mode, coroutine, keys, argv, proto, spoken, watch, stop })
        };
        made().map_err(|error| broken(&error))
    }

    fn array(&self, args: Args<'_>) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(args.len(), 0)?;
        for (at, arg) in args.iter().enumerate() {
            table.raw_set(at + 1, self.lua.create_string(arg)?)?;
        }
        Ok(table)
    }

    /// What scripts do from now on is asked for by this user; nobody: by one who may do all.
    pub fn speak_for(&self, user: Option<Arc<User>>) {
        self.link.user.replace(user);
    }

    /// Lets a run go on until it stops.
    pub fn resume(&self, run: &mut Run, input: Input<'_>) -> Step {
        match self.resumed(run, input) {
            Ok(step) => step,
            Err(error) => Step::Failed(broken(&error), Counted::No),
        }
    }

    fn resumed(&self, run: &mut Run, input: Input<'_>) -> mlua::Result<Step> {
        // Another script may have run meanwhile.
        self.link.set_stop(run.stop);
        if run.watch.is_killed() {
            let line = b"ERR Script killed by user with SCRIPT KILL...";
            // It may be killed while it waits for a command: that is within a C function.
            let place = self.link.place(0).filter(|place| place.source != "=[C]");
            let place = place.or_else(|| self.link.place(1));
            let error = ended(line, place, &run.label);
            return Ok(Step::Failed(error, Counted::No));
        }
        if self.present.replace(Some(run.number)) != Some(run.number) {
            match &run.mode {
                Mode::Script => {
                    self.globals.raw_set("KEYS", &run.keys)?;
                    self.globals.raw_set("ARGV", &run.argv)?;
                }
                Mode::Function | Mode::Begun => self.see.call::<()>(Value::Nil)?,
                Mode::Library(into) => self.see.call::<()>(into)?,
            }
            self.link.watch.replace(Arc::clone(&run.watch));
        }
        self.link.spoken.set(run.spoken);
        let results: MultiValue = match input {
            Input::Go if matches!(run.mode, Mode::Function) => {
                run.mode = Mode::Begun;
                self.step.call((&run.coroutine, &run.keys, &run.argv))?
            }
            Input::Go => self.step.call(&run.coroutine)?,
            Input::Reply(reply) if is_error(reply) && !run.stop.protected => {
                let line = reply.strip_prefix(b"-").unwrap_or(reply);
                let table = convert::error_table(&self.lua, line)?;
                if let Some(place) = self.link.place(1) {
                    table.raw_set("source", place.source)?;
                    table.raw_set("line", place.line)?;
                }
                self.link.raise(&self.lua, table)?;
                self.step.call(&run.coroutine)?
            }
            Input::Reply(reply) => {
                let value = convert::value_of(&self.lua, reply)?;
                self.step.call((&run.coroutine, value))?
            }
        };
        run.spoken = self.link.spoken.get();
        run.stop = self.link.stop();
        self.stopped(run, results)
    }

    fn stopped(&self, run: &Run, mut results: MultiValue) -> mlua::Result<Step> {
        let code = results.pop_front().and_then(|code| code.as_i64());
        Ok(match code {
            Some(DONE) => {
                let mut reply = Vec::new();
                let value = results.pop_front().unwrap_or(Value::Nil);
                convert::write(&mut reply, &value, run.proto, run.spoken)?;
                Step::Done(reply, Counted::of(Some(&value))?)
            }
            Some(CALL) => Step::Call(self.link.args.take(), run.spoken),
            Some(PAUSE) => Step::Pause,
            _ => {
                let error = results.pop_front();
                let source = results.pop_front().and_then(|source| text(&source));
                let line = results.pop_front().and_then(|line| number(&line));
                let place = source.zip(line).map(|(source, line)| Place { source, line });
                let place = place.filter(|_| !matches!(run.mode, Mode::Library(_)));
                let said = match &error {
                    Some(Value::Table(error)) => text(&error.raw_get::<Value>("err")?),
                    _ => None,
                };
                let said = said.unwrap_or_else(|| "ERR unknown error".to_owned());
                let counted = Counted::of(error.as_ref())?;
                Step::Failed(ended(said.as_bytes(), place, &run.label), counted)
            }
        })
    }

    /// What scripts have said by `redis.log` since the last call, with its level.
    pub fn take_lines(&self) -> Vec<(u8, Vec<u8>)> {
        self.link.lines.take()
    }
}

/// An error of a function in Rust, as scripts see it.
fn described(lua: &Lua, error: mlua::Error) -> mlua::Result<Value> {
    let said = message(&error);
    match said.strip_prefix(redis::TABLE) {
        Some(line) => Ok(Value::Table(convert::plain_error(lua, line.as_bytes())?)),
        None => Ok(Value::String(lua.create_string(said)?)),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(String::from_utf8_lossy(&text.as_bytes()).into_owned()),
        Value::Integer(n) => Some(n.to_string()),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(n) => Some(*n),
        Value::Number(n) => Some(*n as i64),
        Value::String(digits) => digits.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

/// The error line of a script that has failed.
fn ended(said: &[u8], place: Option<Place>, label: &[u8]) -> Error {
    let mut line = said.to_vec();
    if let Some(place) = place {
        let label = String::from_utf8_lossy(label);
        let Place { source, line: number } = place;
        // Before its first instruction a function is on no line.
        let number = number.max(1);
        let tail = format!(" script: {label}, on {source}:{number}.");
        line.extend_from_slice(tail.as_bytes());
    }
    line.iter_mut().filter(|byte| matches!(**byte, b'\r' | b'\n')).for_each(|byte| *byte = b' ');
    Error::Line(line)
}

/// The interpreter itself could not go on.
pub(super) fn broken(error: &mlua::Error) -> Error {
    let why = message(error).replace(['\r', '\n'], " ");
    Error::err_owned(format!("Error running script: {why}"))
}
