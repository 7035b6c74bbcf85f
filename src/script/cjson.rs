//! The library `cjson`: its settings, and tables as JSON. The way back is in `cjson/decode.rs`.

mod decode;

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Function, IntoLua, LightUserData, Lua, MultiValue, Table, Value};

use crate::limits::SCRIPT_JSON_DEPTH;
use crate::script::compile::fail;
use crate::script::number::general;

/// What scripts may set. It holds for all scripts of a core, as it does in Redis for all.
#[derive(Debug)]
struct Settings {
    sparse_convert: bool,
    sparse_ratio: i64,
    sparse_safe: i64,
    encode_depth: i64,
    decode_depth: i64,
    precision: i64,
    keep_buffer: bool,
    /// 0: refused, 1: written, 2: null.
    encode_invalid: i64,
    decode_invalid: bool,
}

type Shared = Rc<RefCell<Settings>>;

/// The table, as scripts see it.
pub fn table(lua: &Lua) -> mlua::Result<Table> {
    let settings = Rc::new(RefCell::new(Settings {
        sparse_convert: false,
        sparse_ratio: 2,
        sparse_safe: 10,
        encode_depth: 1000,
        decode_depth: 1000,
        precision: 14,
        keep_buffer: true,
        encode_invalid: 0,
        decode_invalid: true,
    }));
    let library = lua.create_table()?;
    let shared = Rc::clone(&settings);
    let encode = lua.create_function(move |lua, args: MultiValue| {
        if args.len() != 1 {
            return Err(fail(lua, "bad argument #1 to 'encode' (expected 1 argument)"));
        }
        let mut out = Vec::new();
        let value = args.front().cloned().unwrap_or(Value::Nil);
        encode(lua, &shared.borrow(), &value, &mut out, 0)?;
        lua.create_string(out)
    })?;
    library.set("encode", encode)?;
    let shared = Rc::clone(&settings);
    let decode = lua.create_function(move |lua, args: MultiValue| {
        let settings = shared.borrow();
        decode::decode(lua, (settings.decode_depth, settings.decode_invalid), &args)
    })?;
    library.set("decode", decode)?;
    add_options(lua, &library, &settings)?;
    library.set("new", lua.create_function(|lua, ()| table(lua))?)?;
    library.set("null", Value::LightUserData(LightUserData(std::ptr::null_mut())))?;
    library.set("_NAME", "cjson")?;
    library.set("_VERSION", "2.1.0")?;
    Ok(library)
}

fn add_options(lua: &Lua, library: &Table, settings: &Shared) -> mlua::Result<()> {
    library.set("encode_sparse_array", sparse(lua, settings)?)?;
    let most = i64::from(i32::MAX);
    let depth: fn(&mut Settings) -> &mut i64 = |settings| &mut settings.encode_depth;
    library
        .set("encode_max_depth", number(lua, settings, "encode_max_depth", (1, most), depth)?)?;
    let depth: fn(&mut Settings) -> &mut i64 = |settings| &mut settings.decode_depth;
    library
        .set("decode_max_depth", number(lua, settings, "decode_max_depth", (1, most), depth)?)?;
    let precision = number(lua, settings, "encode_number_precision", (1, 14), |settings| {
        &mut settings.precision
    })?;
    library.set("encode_number_precision", precision)?;
    let keep = switch(lua, settings, "encode_keep_buffer", |settings| &mut settings.keep_buffer)?;
    library.set("encode_keep_buffer", keep)?;
    let invalid =
        switch(lua, settings, "decode_invalid_numbers", |settings| &mut settings.decode_invalid)?;
    library.set("decode_invalid_numbers", invalid)?;
    let shared = Rc::clone(settings);
    let invalid = lua.create_function(move |lua, args: MultiValue| {
        let name = "encode_invalid_numbers";
        one_at_most(lua, name, &args, 1)?;
        let mut settings = shared.borrow_mut();
        if let Some(value) = present(&args, 0) {
            settings.encode_invalid = option(lua, name, value, &["off", "on", "null"])?;
        }
        Ok(match settings.encode_invalid {
            2 => Value::String(lua.create_string("null")?),
            on => Value::Boolean(on == 1),
        })
    })?;
    library.set("encode_invalid_numbers", invalid)
}

fn present(args: &MultiValue, at: usize) -> Option<&Value> {
    args.get(at).filter(|value| !matches!(value, Value::Nil))
}

fn one_at_most(lua: &Lua, name: &str, args: &MultiValue, most: usize) -> mlua::Result<()> {
    match args.len() > most {
        false => Ok(()),
        true => {
            let at = most + 1;
            let why = format!("bad argument #{at} to '{name}' (found too many arguments)");
            Err(fail(lua, &why))
        }
    }
}

/// A word of a list, or a boolean, as its place in the list.
fn option(lua: &Lua, name: &str, value: &Value, words: &[&str]) -> mlua::Result<i64> {
    if let Value::Boolean(yes) = value {
        return Ok(i64::from(*yes));
    }
    let said = lua.coerce_string(value.clone())?.map(|text| text.to_string_lossy());
    let place = words.iter().position(|word| said.as_deref() == Some(*word));
    match place {
        Some(place) => Ok(place as i64),
        None => {
            let said = said.unwrap_or_default();
            Err(fail(lua, &format!("bad argument #1 to '{name}' (invalid option '{said}')")))
        }
    }
}

fn ranged(lua: &Lua, name: &str, value: &Value, (least, most): (i64, i64)) -> mlua::Result<i64> {
    match lua.coerce_number(value.clone())?.map(|number| number as i64) {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => {
            let range = format!("expected integer between {least} and {most}");
            Err(fail(lua, &format!("bad argument #1 to '{name}' ({range})")))
        }
    }
}

fn number(
    lua: &Lua,
    settings: &Shared,
    name: &'static str,
    range: (i64, i64),
    place: fn(&mut Settings) -> &mut i64,
) -> mlua::Result<Function> {
    setting(lua, settings, name, place, move |lua, value| ranged(lua, name, value, range))
}

fn switch(
    lua: &Lua,
    settings: &Shared,
    name: &'static str,
    place: fn(&mut Settings) -> &mut bool,
) -> mlua::Result<Function> {
    let read = move |lua: &Lua, value: &Value| Ok(option(lua, name, value, &["off", "on"])? == 1);
    setting(lua, settings, name, place, read)
}

/// A function that sets something if it gets an argument, and returns what it is.
fn setting<T: Copy + IntoLua + 'static>(
    lua: &Lua,
    settings: &Shared,
    name: &'static str,
    place: fn(&mut Settings) -> &mut T,
    read: impl Fn(&Lua, &Value) -> mlua::Result<T> + 'static,
) -> mlua::Result<Function> {
    let shared = Rc::clone(settings);
    lua.create_function(move |lua, args: MultiValue| {
        one_at_most(lua, name, &args, 1)?;
        let mut settings = shared.borrow_mut();
        let place = place(&mut settings);
        if let Some(value) = present(&args, 0) {
            *place = read(lua, value)?;
        }
        Ok(*place)
    })
}

fn sparse(lua: &Lua, settings: &Shared) -> mlua::Result<Function> {
    let shared = Rc::clone(settings);
    lua.create_function(move |lua, args: MultiValue| {
        let name = "encode_sparse_array";
        one_at_most(lua, name, &args, 3)?;
        let mut settings = shared.borrow_mut();
        let range = (0, i64::from(i32::MAX));
        if let Some(value) = present(&args, 0) {
            settings.sparse_convert = option(lua, name, value, &["off", "on"])? == 1;
        }
        if let Some(value) = present(&args, 1) {
            settings.sparse_ratio = ranged(lua, name, value, range)?;
        }
        if let Some(value) = present(&args, 2) {
            settings.sparse_safe = ranged(lua, name, value, range)?;
        }
        Ok((settings.sparse_convert, settings.sparse_ratio, settings.sparse_safe))
    })
}

fn cannot(lua: &Lua, value: &Value, why: &str) -> mlua::Error {
    let kind = match value {
        Value::Integer(_) => "number",
        Value::LightUserData(_) => "userdata",
        value => value.type_name(),
    };
    fail(lua, &format!("Cannot serialise {kind}: {why}"))
}

fn encode(
    lua: &Lua,
    settings: &Settings,
    value: &Value,
    out: &mut Vec<u8>,
    depth: usize,
) -> mlua::Result<()> {
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Integer(n) => encode_number(lua, settings, *n as f64, out)?,
        Value::Number(n) => encode_number(lua, settings, *n, out)?,
        Value::String(text) => encode_string(&text.as_bytes(), out),
        Value::LightUserData(pointer) if pointer.0.is_null() => out.extend_from_slice(b"null"),
        Value::Table(table) => encode_table(lua, settings, table, out, depth + 1)?,
        other => return Err(cannot(lua, other, "type not supported")),
    }
    Ok(())
}

fn encode_number(lua: &Lua, settings: &Settings, n: f64, out: &mut Vec<u8>) -> mlua::Result<()> {
    match (n.is_finite(), settings.encode_invalid) {
        (true, _) => out.extend_from_slice(general(n, settings.precision as usize).as_bytes()),
        (false, 0) => return Err(cannot(lua, &Value::Number(n), "must not be NaN or Inf")),
        (false, 1) if n.is_nan() => out.extend_from_slice(b"nan"),
        (false, 1) => out.extend_from_slice(general(n, 14).as_bytes()),
        (false, _) => out.extend_from_slice(b"null"),
    }
    Ok(())
}

fn encode_string(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'/' => out.extend_from_slice(b"\\/"),
            8 => out.extend_from_slice(b"\\b"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            12 => out.extend_from_slice(b"\\f"),
            b'\r' => out.extend_from_slice(b"\\r"),
            0..=31 | 127 => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(*byte),
        }
    }
    out.push(b'"');
}

/// The length of a table that is an array, with holes as far as the settings allow.
fn array_length(lua: &Lua, settings: &Settings, table: &Table) -> mlua::Result<Option<i64>> {
    let (mut most, mut items) = (0i64, 0i64);
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(n) if n >= 1 => {
                most = most.max(n);
                items += 1;
            }
            _ => return Ok(None),
        }
    }
    let ratio = settings.sparse_ratio;
    let sparse = ratio > 0 && most > items.saturating_mul(ratio) && most > settings.sparse_safe;
    match (sparse, settings.sparse_convert) {
        (true, false) => Err(fail(lua, "Cannot serialise table: excessively sparse array")),
        (true, true) => Ok(None),
        // Without a ratio, the longest array is as long as Lua's own.
        (false, _) if most > i64::from(i32::MAX) => Ok(None),
        (false, _) => Ok(Some(most)),
    }
}

fn encode_table(
    lua: &Lua,
    settings: &Settings,
    table: &Table,
    out: &mut Vec<u8>,
    depth: usize,
) -> mlua::Result<()> {
    if depth as i64 > settings.encode_depth || depth > SCRIPT_JSON_DEPTH {
        return Err(fail(lua, &format!("Cannot serialise, excessive nesting ({depth})")));
    }
    if let Some(length) = array_length(lua, settings, table)?.filter(|length| *length > 0) {
        out.push(b'[');
        for at in 1..=length {
            if at > 1 {
                out.push(b',');
            }
            encode(lua, settings, &table.raw_get(at)?, out, depth)?;
        }
        out.push(b']');
        return Ok(());
    }
    out.push(b'{');
    for (nth, pair) in table.pairs::<Value, Value>().enumerate() {
        let (name, value) = pair?;
        if nth > 0 {
            out.push(b',');
        }
        match &name {
            Value::String(text) => encode_string(&text.as_bytes(), out),
            Value::Integer(_) | Value::Number(_) => {
                out.push(b'"');
                encode(lua, settings, &name, out, depth)?;
                out.push(b'"');
            }
            other => return Err(cannot(lua, other, "table key must be a number or string")),
        }
        out.push(b':');
        encode(lua, settings, &value, out, depth)?;
    }
    out.push(b'}');
    Ok(())
}
