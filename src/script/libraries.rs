//! Libraries of functions in one core's Lua: what a text registers when it is loaded, and runs of
//! what it has registered.

use std::collections::HashMap;
use std::sync::Arc;

use mlua::{Function as Callback, Lua, String as Text, Table, Value};

use crate::commands::library::{BAD_NAME, Flag, Function, Heading, Library, Registry, is_name};
use crate::commands::script::Reach;
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;
use crate::resp::reply::Proto;
use crate::script::machine::{Interpreter, Mode, Run, broken};
use crate::script::reach_library::{Known, reaches};
use crate::script::watch::Watch;

/// A library whose functions can be run.
#[derive(Debug)]
pub struct Compiled {
    text: Arc<[u8]>,
    functions: HashMap<Vec<u8>, Callback>,
}

impl Compiled {
    /// Is it what this text was compiled to, not another one of the same name?
    fn is_of(&self, library: &Library) -> bool {
        Arc::ptr_eq(&self.text, &library.text)
    }
}

/// What libraries need of Rust to register.
pub(super) fn register(lua: &Lua, host: &Table) -> mlua::Result<()> {
    let flag = |_: &Lua, name: Text| {
        let flag = Flag::named(&name.as_bytes());
        Ok(flag.and_then(|flag| Flag::ALL.iter().position(|one| *one == flag)))
    };
    host.set("flag", lua.create_function(flag)?)?;
    host.set("is_name", lua.create_function(|_, name: Text| Ok(is_name(&name.as_bytes())))?)?;
    host.set("bad_name", BAD_NAME)
}

impl Interpreter {
    /// A run that loads a library; `registered` has what comes of it when it is done.
    pub fn load_library(&self, text: &[u8], heading: &Heading) -> Result<Run, Error> {
        let program = text.get(heading.body..).unwrap_or_default();
        let made = self.compile(program, "@user_function");
        let function =
            made.map_err(|why| Error::err_owned(format!("Error compiling function: {why}")))?;
        let globals = self.of_functions.clone();
        function.set_environment(globals).map_err(|error| broken(&error))?;
        let into = self.lua.create_table().map_err(|error| broken(&error))?;
        let nothing = OwnedArgs::default();
        let what = (heading.name.clone(), Mode::Library(into));
        let tables = (nothing.args(), nothing.args());
        self.begun(&function, what, tables, (Proto::Two, Arc::new(Watch::default())))
    }

    /// What a library has registered: its functions can be run from now on.
    pub fn registered(
        &mut self,
        run: &Run,
        heading: &Heading,
        text: &Arc<[u8]>,
    ) -> Result<Library, Error> {
        let Mode::Library(into) = &run.mode else {
            return Err(Error::err("not a library"));
        };
        let known = reaches(text.get(heading.body..).unwrap_or_default());
        let rows = rows(into, &known).map_err(|error| broken(&error))?;
        if rows.is_empty() {
            return Err(Error::err("No functions registered"));
        }
        let (told, callbacks): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
        let functions =
            told.iter().map(|function: &Function| function.name.clone()).zip(callbacks).collect();
        let compiled = Compiled { text: Arc::clone(text), functions };
        self.libraries.insert(heading.name.clone(), compiled);
        Ok(Library { name: heading.name.clone(), text: Arc::clone(text), functions: told })
    }

    /// Can the functions of this library be run here?
    pub fn has_library(&self, library: &Library) -> bool {
        self.loaded(library).is_some()
    }

    fn loaded(&self, library: &Library) -> Option<&Compiled> {
        self.libraries.get(&library.name).filter(|compiled| compiled.is_of(library))
    }

    /// Forgets libraries that are not there any more.
    pub fn keep_libraries(&mut self, registry: &Registry) {
        self.libraries.retain(|name, compiled| {
            let library = registry.library(name);
            library.is_some_and(|library| compiled.is_of(library))
        });
    }

    /// A run of a function; `resume` begins it.
    pub fn run_function(
        &self,
        (library, function): (&Library, &Function),
        tables: (Args<'_>, Args<'_>),
        with: (Proto, Arc<Watch>),
    ) -> Result<Run, Error> {
        let loaded = self.loaded(library);
        let callback = loaded.and_then(|loaded| loaded.functions.get(&function.name));
        let callback = callback.ok_or_else(|| Error::err("Function not found"))?;
        self.begun(callback, (function.name.clone(), Mode::Function), tables, with)
    }
}

/// The rows that `redis.register_function` has left, in their order.
fn rows(into: &Table, known: &[Known]) -> mlua::Result<Vec<(Function, Callback)>> {
    let mut rows = Vec::new();
    for row in into.sequence_values::<Table>() {
        let row = row?;
        let name: Text = row.raw_get("name")?;
        let description: Option<Text> = row.raw_get("description")?;
        let mut flags = Vec::new();
        for flag in row.raw_get::<Table>("flags")?.sequence_values::<Value>() {
            let number = flag?.as_i64().and_then(|number| usize::try_from(number).ok());
            flags.extend(number.and_then(|number| Flag::ALL.get(number)).copied());
        }
        flags.sort_unstable();
        flags.dedup();
        let name = name.as_bytes().to_vec();
        let reach = known.iter().find(|(one, _)| *one == name);
        let function = Function {
            reach: reach.map_or(Reach::All, |(_, reach)| *reach),
            name,
            description: description.map(|text| text.as_bytes().to_vec()),
            flags,
        };
        rows.push((function, row.raw_get("callback")?));
    }
    Ok(rows)
}
