//! The three places where a script meets the C API of Lua: a command that yields, the hook that
//! ends a slice, and guards before functions of the C library.
//!
//! Valid if and only if
//! - the interpreter is the Lua 5.1.5 that comes with the crate: `Head` repeats the beginning of
//!   its state, and `Link::proven` shows at each start, by what is then read, that it does;
//! - every function here that may raise (a jump over frames) owns nothing at that point that has
//!   to be dropped;
//! - a `Link` outlives the interpreter that it was installed in, and does not move (it is boxed,
//!   and `machine::Interpreter` drops the interpreter first);
//! - `Stop::caller` is only read while the coroutine that has yielded is alive: it is on the stack
//!   of the run that is being resumed.
#![expect(unsafe_code, reason = "Lua 5.1 yields from hooks and C functions only by its C API")]

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;

use mlua::ffi;
use mlua::{Lua, LuaOptions, StdLib, Table, Value, lua_State};

use crate::commands::acl::user::User;
use crate::limits::{SCRIPT_PATTERN_MAX, SCRIPT_SLICE, SCRIPT_STUCK_MAX, SCRIPT_UNPACK_MAX};
use crate::resp::args::OwnedArgs;
use crate::resp::reply::Proto;
use crate::script::number;
use crate::script::watch::Watch;

/// What scripts have said by `redis.log`, by level.
pub type Lines = Rc<RefCell<Vec<(u8, Vec<u8>)>>>;

/// What scripts and the interpreter's owner share while a script is between two slices.
#[derive(Debug)]
pub struct Link {
    /// The arguments of the command that was called last.
    pub args: RefCell<OwnedArgs>,
    /// The running script, as others see it.
    pub watch: RefCell<Arc<Watch>>,
    /// The protocol of the replies that the running script sees (`redis.setresp`).
    pub spoken: Rc<Cell<Proto>>,
    /// What the script has said by `redis.log`, by level.
    pub lines: Lines,
    /// Who runs the script, if that user may not do everything.
    pub user: Rc<RefCell<Option<Arc<User>>>>,
    /// Where the script that was resumed last has stopped.
    stop: Cell<Stop>,
    /// How many slices in a row ended where the script could not yield.
    stuck: Cell<u32>,
}

/// Where a script has stopped.
#[derive(Clone, Copy, Debug)]
pub struct Stop {
    /// Whether an error of the command that it called is a value (`redis.pcall`).
    pub protected: bool,
    /// The coroutine that has called, or whose slice is over.
    caller: *mut lua_State,
}

/// Where a script was: the chunk's name and the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As it was given, `@user_script`.
    pub source: String,
    /// From 1.
    pub line: i64,
}

/// How a coroutine's state begins.
#[repr(C)]
struct Head {
    next: *mut c_void,
    kind: u8,
    marked: u8,
    status: u8,
    pointers: [*mut c_void; 9],
    stack_size: c_int,
    calls_size: c_int,
    c_calls: u16,
    base_c_calls: u16,
}

const LINK: &CStr = c"basalt.link";
const PENDING: &CStr = c"basalt.pending";

impl Stop {
    /// It has not begun.
    pub fn nowhere() -> Stop {
        Stop { protected: false, caller: ptr::null_mut() }
    }
}

impl Link {
    /// Where the script that was resumed last has stopped.
    pub fn stop(&self) -> Stop {
        self.stop.get()
    }

    /// The script that is resumed next has stopped here.
    pub fn set_stop(&self, stop: Stop) {
        self.stuck.set(0);
        self.stop.set(stop);
    }

    /// One more slice has ended where the script cannot yield: are these too many?
    fn is_stuck_for_long(&self) -> bool {
        self.stuck.set(self.stuck.get() + 1);
        self.stuck.get() > SCRIPT_STUCK_MAX
    }

    /// A link that is not installed yet.
    pub fn new() -> Box<Link> {
        Box::new(Link {
            args: RefCell::default(),
            watch: RefCell::default(),
            spoken: Rc::default(),
            lines: Rc::default(),
            user: Rc::default(),
            stop: Cell::new(Stop::nowhere()),
            stuck: Cell::new(0),
        })
    }

    /// A new interpreter with this link.
    pub fn interpreter(&self) -> Result<Lua, mlua::Error> {
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH | StdLib::OS;
        let options = LuaOptions::new().catch_rust_panics(true);
        let lua = Lua::new_with(libraries, options)?;
        let link = ptr::from_ref(self).cast_mut().cast::<c_void>();
        // SAFETY: the pointer is to a box that outlives the interpreter (see the head).
        unsafe {
            lua.exec_raw::<()>((), |state| {
                ffi::lua_pushlightuserdata(state, link);
                ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, LINK.as_ptr());
                ffi::lua_sethook(state, Some(slice_over), ffi::LUA_MASKCOUNT, SCRIPT_SLICE);
            })?;
        }
        Ok(lua)
    }

    /// The functions of this file, by name, and the token by which a command's yield is known.
    pub fn functions(&self, lua: &Lua) -> Result<(Value, Table), mlua::Error> {
        let host = lua.create_table()?;
        // SAFETY: they keep to the rules at the head.
        unsafe {
            host.set("call", lua.create_c_function(call)?)?;
            host.set("pcall", lua.create_c_function(protected_call)?)?;
            host.set("can_yield", lua.create_c_function(can_yield)?)?;
            host.set("killed", lua.create_c_function(killed)?)?;
            host.set("refuse", lua.create_c_function(refuse)?)?;
            host.set("place", lua.create_c_function(place)?)?;
            host.set("guard", lua.create_c_function(guard)?)?;
        }
        let link = ptr::from_ref(self).cast_mut().cast::<c_void>();
        Ok((Value::LightUserData(mlua::LightUserData(link)), host))
    }

    /// Does the state look as `Head` says? In a function that is called by Rust no coroutine runs;
    /// within one, calls are counted from its start.
    pub fn proven(lua: &Lua, host: &Table) -> Result<bool, mlua::Error> {
        let probe = "local can, sort, co, create, resume = ...
            local function inside() return can() end
            local _, plain = resume(create(inside))
            local nested
            resume(create(function()
                sort({2, 1}, function(a, b) nested = can() return a < b end)
            end))
            return (not can()) and plain and nested == false";
        let globals = lua.globals();
        let coroutine: Table = globals.get("coroutine")?;
        let table: Table = globals.get("table")?;
        lua.load(probe).call((
            host.get::<Value>("can_yield")?,
            table.get::<Value>("sort")?,
            Value::Nil,
            coroutine.get::<Value>("create")?,
            coroutine.get::<Value>("resume")?,
        ))
    }

    /// Where the script called the command that it waits for, or where its slice ended.
    pub fn place(&self, level: c_int) -> Option<Place> {
        let state = self.stop.get().caller;
        if state.is_null() {
            return None;
        }
        // SAFETY: the coroutine is alive and does not run.
        unsafe { place_of(state, level) }
    }

    /// The script will raise this error where it called, as soon as it is resumed.
    pub fn raise(&self, lua: &Lua, error: Table) -> Result<(), mlua::Error> {
        lua.set_named_registry_value("basalt.pending", error)?;
        // SAFETY: the coroutine is alive and does not run.
        unsafe {
            ffi::lua_sethook(self.stop.get().caller, Some(raise_pending), ffi::LUA_MASKCOUNT, 1);
        }
        Ok(())
    }
}

unsafe fn link<'a>(state: *mut lua_State) -> &'a Link {
    // SAFETY: `interpreter` has put it there; reading a field of the registry that exists does not
    // raise.
    unsafe {
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, LINK.as_ptr());
        let link = ffi::lua_touserdata(state, -1).cast::<Link>();
        ffi::lua_pop(state, 1);
        &*link
    }
}

unsafe fn may_yield(state: *mut lua_State) -> bool {
    // SAFETY: `Head` is how a state begins, which `proven` has checked.
    unsafe {
        let head = &*state.cast::<Head>();
        head.c_calls == head.base_c_calls && head.base_c_calls > 0
    }
}

/// Ends a slice if it can; where it cannot, the script goes on unless it is to end or has been
/// there for long.
unsafe extern "C-unwind" fn slice_over(state: *mut lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: nothing is owned here; a hook may yield without values.
    unsafe {
        let link = link(state);
        link.watch.borrow().slice();
        if may_yield(state) {
            link.stuck.set(0);
            link.stop.set(Stop { protected: false, caller: state });
            ffi::lua_yield(state, 0);
        } else if is_killed(link) {
            push_error(state, c"ERR Script killed by user with SCRIPT KILL...");
            ffi::lua_error(state);
        } else if link.is_stuck_for_long() {
            // Nobody else could end it: its core hears nothing meanwhile.
            link.watch.borrow().kill();
            push_error(state, STUCK);
            ffi::lua_error(state);
        }
    }
}

const STUCK: &CStr = c"ERR Script killed: it ran for too long within a function that calls back, \
    such as string.gsub or table.sort, or within a metamethod, where it cannot be interrupted";

fn is_killed(link: &Link) -> bool {
    link.watch.borrow().is_killed()
}

unsafe extern "C-unwind" fn raise_pending(state: *mut lua_State, _: *mut ffi::lua_Debug) {
    // SAFETY: nothing is owned here.
    unsafe {
        ffi::lua_sethook(state, Some(slice_over), ffi::LUA_MASKCOUNT, SCRIPT_SLICE);
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, PENDING.as_ptr());
        ffi::lua_error(state);
    }
}

/// Pushes a table `{err = text}`.
unsafe fn push_error(state: *mut lua_State, text: &CStr) {
    // SAFETY: the stack has room for some values more in every C function and hook.
    unsafe {
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_pushstring(state, text.as_ptr());
        ffi::lua_setfield(state, -2, c"err".as_ptr());
    }
}

unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    // SAFETY: as `command`.
    unsafe { command(state, Catch::Raises) }
}

unsafe extern "C-unwind" fn protected_call(state: *mut lua_State) -> c_int {
    // SAFETY: as `command`.
    unsafe { command(state, Catch::Returns) }
}

const NO_ARGUMENTS: &CStr = c"ERR Please specify at least one argument for this redis lib call";
const ARGUMENT_TYPE: &CStr = c"ERR Lua redis lib command arguments must be strings or integers";
const NOT_HERE: &CStr =
    c"ERR redis.call and redis.pcall cannot be used inside a function that a C \
    function or a metamethod has called (table.sort, string.gsub, __index ...)";

/// What becomes of an error of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Catch {
    /// It is raised.
    Raises,
    /// It is a value.
    Returns,
}

/// Takes the arguments and yields to whoever runs the script.
unsafe fn command(state: *mut lua_State, catch: Catch) -> c_int {
    // SAFETY: `take` raises nothing; what is borrowed is given back before anything can.
    unsafe {
        let link = link(state);
        let problem = if !may_yield(state) { Some(NOT_HERE) } else { take(state, link) };
        if let Some(problem) = problem {
            push_error(state, problem);
            if catch == Catch::Returns {
                return 1;
            }
            ffi::lua_error(state);
        }
        let protected = catch == Catch::Returns;
        link.stop.set(Stop { protected, caller: state });
        ffi::lua_settop(state, 0);
        ffi::lua_pushlightuserdata(state, ptr::from_ref(link).cast_mut().cast::<c_void>());
        ffi::lua_yield(state, 1)
    }
}

/// Copies the arguments; what is wrong with them. None of these functions raises on values of the
/// types that they are used on.
unsafe fn take(state: *mut lua_State, link: &Link) -> Option<&'static CStr> {
    // SAFETY: a string's bytes stay where they are while it is on the stack.
    unsafe {
        let count = ffi::lua_gettop(state);
        if count == 0 {
            return Some(NO_ARGUMENTS);
        }
        let mut args = link.args.borrow_mut();
        *args = OwnedArgs::default();
        for at in 1..=count {
            match ffi::lua_type(state, at) {
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let bytes = ffi::lua_tolstring(state, at, &mut len);
                    args.push(std::slice::from_raw_parts(bytes.cast::<u8>(), len));
                }
                ffi::LUA_TNUMBER => {
                    args.push(number::argument(ffi::lua_tonumber(state, at)).as_bytes());
                }
                _ => return Some(ARGUMENT_TYPE),
            }
        }
        None
    }
}

unsafe extern "C-unwind" fn can_yield(state: *mut lua_State) -> c_int {
    // SAFETY: nothing is owned here.
    unsafe {
        ffi::lua_pushboolean(state, c_int::from(may_yield(state)));
    }
    1
}

unsafe extern "C-unwind" fn killed(state: *mut lua_State) -> c_int {
    // SAFETY: nothing is owned here.
    unsafe {
        let dead = is_killed(link(state));
        ffi::lua_pushboolean(state, c_int::from(dead));
    }
    1
}

/// The command that a coroutine has yielded cannot be carried out from where that coroutine runs.
unsafe extern "C-unwind" fn refuse(state: *mut lua_State) -> c_int {
    // SAFETY: the coroutine has just yielded to the prelude, which calls this.
    unsafe {
        push_error(state, NOT_HERE);
        ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, PENDING.as_ptr());
        let caller = link(state).stop.get().caller;
        ffi::lua_sethook(caller, Some(raise_pending), ffi::LUA_MASKCOUNT, 1);
    }
    0
}

unsafe fn place_of(state: *mut lua_State, level: c_int) -> Option<Place> {
    // SAFETY: "S" and "l" allocate nothing and raise nothing; the texts are copied at once.
    unsafe {
        let mut debug: ffi::lua_Debug = std::mem::zeroed();
        if ffi::lua_getstack(state, level, &mut debug) == 0 {
            return None;
        }
        ffi::lua_getinfo(state, c"Sl".as_ptr(), &mut debug);
        let source = CStr::from_ptr(debug.source).to_string_lossy().into_owned();
        Some(Place { source, line: i64::from(debug.currentline) })
    }
}

/// `place(coroutine, level)`: the chunk's name and the line, or nothing.
unsafe extern "C-unwind" fn place(state: *mut lua_State) -> c_int {
    // SAFETY: nothing is owned when something is pushed.
    unsafe {
        let other = ffi::lua_tothread(state, 1);
        let level = ffi::lua_tonumber(state, 2) as c_int;
        let mut debug: ffi::lua_Debug = std::mem::zeroed();
        if other.is_null() || ffi::lua_getstack(other, level, &mut debug) == 0 {
            return 0;
        }
        ffi::lua_getinfo(other, c"Sl".as_ptr(), &mut debug);
        ffi::lua_pushstring(state, debug.source);
        ffi::lua_pushnumber(state, f64::from(debug.currentline));
        2
    }
}

/// `guard(name, function)`: the function with a look at its arguments before it. It runs in the
/// guard's own frame, so its messages are what they were.
unsafe extern "C-unwind" fn guard(state: *mut lua_State) -> c_int {
    // SAFETY: the function is an upvalue of the guard.
    unsafe {
        let name = CStr::from_ptr(ffi::lua_tolstring(state, 1, ptr::null_mut()));
        let guard: ffi::lua_CFunction = match name.to_bytes() {
            b"unpack" => guarded_unpack,
            b"rep" => guarded_rep,
            b"insert" | b"rawset" | b"setmetatable" => guarded_table,
            _ => guarded_pattern,
        };
        ffi::lua_settop(state, 2);
        ffi::lua_pushcclosure(state, guard, 1);
    }
    1
}

unsafe fn run_guarded(state: *mut lua_State) -> c_int {
    // SAFETY: upvalue 1 is a C function that uses no upvalues of its own.
    unsafe {
        match ffi::lua_tocfunction(state, ffi::lua_upvalueindex(1)) {
            Some(function) => function(state),
            None => 0,
        }
    }
}

/// A pattern is matched by recursion, once for each of its items.
unsafe extern "C-unwind" fn guarded_pattern(state: *mut lua_State) -> c_int {
    // SAFETY: nothing is owned here.
    unsafe {
        let long = ffi::lua_type(state, 2) == ffi::LUA_TSTRING
            && ffi::lua_objlen(state, 2) > SCRIPT_PATTERN_MAX;
        if long {
            return ffi::luaL_error(state, c"pattern too complex".as_ptr());
        }
        run_guarded(state)
    }
}

/// The number of results is counted in 32 bits.
unsafe extern "C-unwind" fn guarded_unpack(state: *mut lua_State) -> c_int {
    // SAFETY: nothing is owned here; the arguments are looked at as numbers or not at all.
    unsafe {
        let number = |at: c_int, missing: f64| match ffi::lua_type(state, at) {
            ffi::LUA_TNUMBER | ffi::LUA_TSTRING => ffi::lua_tonumber(state, at),
            _ => missing,
        };
        let len = match ffi::lua_type(state, 1) {
            ffi::LUA_TTABLE => ffi::lua_objlen(state, 1) as f64,
            _ => 0.0,
        };
        let (first, last) = (number(2, 1.0), number(3, len));
        let wide = 2_147_483_000.0;
        let odd = first.abs() > wide || last.abs() > wide || first.is_nan() || last.is_nan();
        if odd || last - first >= SCRIPT_UNPACK_MAX as f64 {
            return ffi::luaL_error(state, c"too many results to unpack".as_ptr());
        }
        run_guarded(state)
    }
}

/// What scripts may not change has a mark in its metatable.
unsafe extern "C-unwind" fn guarded_table(state: *mut lua_State) -> c_int {
    // SAFETY: nothing is owned here.
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TTABLE && ffi::lua_getmetatable(state, 1) != 0 {
            let mark = ptr::from_ref(link(state)).cast_mut().cast::<c_void>();
            ffi::lua_pushlightuserdata(state, mark);
            ffi::lua_rawget(state, -2);
            if ffi::lua_toboolean(state, -1) != 0 {
                ffi::lua_pushstring(state, c"Attempt to modify a readonly table".as_ptr());
                ffi::lua_error(state);
            }
            ffi::lua_pop(state, 2);
        }
        run_guarded(state)
    }
}

/// Nothing, two billion times, is a long loop.
unsafe extern "C-unwind" fn guarded_rep(state: *mut lua_State) -> c_int {
    // SAFETY: nothing is owned here.
    unsafe {
        if ffi::lua_type(state, 1) == ffi::LUA_TSTRING && ffi::lua_objlen(state, 1) == 0 {
            let empty: *const c_char = c"".as_ptr();
            ffi::lua_pushstring(state, empty);
            return 1;
        }
        run_guarded(state)
    }
}
