//! Text becomes a function, never bytes of a program; and what of that scripts may do themselves.

use mlua::{ChunkMode, Function, Lua, MultiValue, Value};

use crate::limits::SCRIPT_TEXT_MAX;

/// The function of a text, or the compiler's message.
///
/// The collector rests meanwhile: the parser of Lua 5.1 holds strings that nothing else refers to
/// (CVE-2025-49844), and counts the brackets of a long string in 32 bits (CVE-2025-46819), so a
/// text is bounded.
pub fn compile(lua: &Lua, text: &[u8], name: &str) -> Result<Function, String> {
    if text.first() == Some(&0x1b) {
        // Behind a blank the byte is one that no text may have: the compiler says so.
        return compile(lua, &[b" ", text].concat(), name);
    }
    if text.len() > SCRIPT_TEXT_MAX {
        return Err("chunk is too long".to_owned());
    }
    lua.gc_stop();
    let made = lua.load(text).set_name(name).set_mode(ChunkMode::Text).into_function();
    lua.gc_restart();
    made.map_err(|error| message(&error))
}

/// What an error of the interpreter or of a function in Rust says.
pub fn message(error: &mlua::Error) -> String {
    match error {
        mlua::Error::CallbackError { cause, .. } => message(cause),
        mlua::Error::RuntimeError(text) => text.clone(),
        mlua::Error::SyntaxError { message, .. } => message.clone(),
        mlua::Error::MemoryError(_) => "not enough memory".to_owned(),
        other => other.to_string(),
    }
}

/// An error that names the line which called, as those of the C library do.
pub fn fail(lua: &Lua, text: &str) -> mlua::Error {
    let place = lua.inspect_stack(1, |debug| {
        let source = debug.source();
        let line = debug.current_line();
        match (source.short_src, line) {
            (Some(name), Some(line)) => format!("{name}:{line}: "),
            _ => String::new(),
        }
    });
    mlua::Error::RuntimeError(format!("{}{text}", place.unwrap_or_default()))
}

/// `compile(text, name)`: a function, or nothing and a message.
pub fn compiler(lua: &Lua) -> mlua::Result<Function> {
    lua.create_function(|lua, (text, name): (Value, Value)| {
        let (Value::String(text), Value::String(name)) = (&text, &name) else {
            let kind = text.type_name();
            let why = format!("bad argument #1 to 'loadstring' (string expected, got {kind})");
            return Err(fail(lua, &why));
        };
        let name = String::from_utf8_lossy(&name.as_bytes()).replace('\0', " ");
        let results = match compile(lua, &text.as_bytes(), &name) {
            Ok(function) => vec![Value::Function(function)],
            Err(why) => vec![Value::Nil, Value::String(lua.create_string(why)?)],
        };
        Ok(MultiValue::from_vec(results))
    })
}
