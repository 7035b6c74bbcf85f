//! The library `cmsgpack`: MessagePack as far as Redis has it.

use mlua::{Lua, MultiValue, Table, Value};

use crate::limits::{SCRIPT_PACKED_DEPTH, SCRIPT_RESULTS_MAX};
use crate::script::compile::fail;

/// Tables within tables that are written; deeper ones become nil.
const NESTING: usize = 16;

/// The table, as scripts see it.
pub fn table(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.set("pack", lua.create_function(pack)?)?;
    library.set("unpack", lua.create_function(|lua, args| unpack(lua, "unpack", &args))?)?;
    library
        .set("unpack_one", lua.create_function(|lua, args| unpack(lua, "unpack_one", &args))?)?;
    let limited = lua.create_function(|lua, args| unpack(lua, "unpack_limit", &args))?;
    library.set("unpack_limit", limited)?;
    library.set("_NAME", "cmsgpack")?;
    library.set("_VERSION", "lua-cmsgpack 0.4.0")?;
    library.set("_COPYRIGHT", "Copyright (C) 2012, Salvatore Sanfilippo")?;
    library.set("_DESCRIPTION", "MessagePack C implementation for Lua")?;
    Ok(library)
}

fn pack(lua: &Lua, args: MultiValue) -> mlua::Result<mlua::String> {
    if args.is_empty() {
        let why = "bad argument #0 to 'pack' (MessagePack pack needs input.)";
        return Err(fail(lua, why));
    }
    let mut out = Vec::new();
    for value in &args {
        write(&mut out, value, 0)?;
    }
    lua.create_string(out)
}

fn write(out: &mut Vec<u8>, value: &Value, depth: usize) -> mlua::Result<()> {
    match value {
        Value::String(text) => write_string(out, &text.as_bytes()),
        Value::Boolean(yes) => out.push(if *yes { 0xc3 } else { 0xc2 }),
        Value::Integer(n) => write_integer(out, *n),
        Value::Number(n) => write_number(out, *n),
        Value::Table(table) if depth < NESTING => write_table(out, table, depth)?,
        _ => out.push(0xc0),
    }
    Ok(())
}

fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    let len = text.len();
    match len {
        0..32 => out.push(0xa0 | len as u8),
        32..=0xff => out.extend([0xd9, len as u8]),
        0x100..=0xffff => {
            out.push(0xda);
            out.extend((len as u16).to_be_bytes());
        }
        _ => {
            out.push(0xdb);
            out.extend((len as u32).to_be_bytes());
        }
    }
    out.extend_from_slice(text);
}

fn write_number(out: &mut Vec<u8>, n: f64) {
    if n == n.trunc() && n.abs() < 9.223_372_036_854_775e18 {
        return write_integer(out, n as i64);
    }
    if f64::from(n as f32) == n {
        out.push(0xca);
        out.extend((n as f32).to_be_bytes());
    } else {
        out.push(0xcb);
        out.extend(n.to_be_bytes());
    }
}

fn write_integer(out: &mut Vec<u8>, n: i64) {
    match n {
        -32..=0x7f => out.push(n as u8),
        0x80..=0xff => out.extend([0xcc, n as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend((n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend((n as u32).to_be_bytes());
        }
        0x1_0000_0000.. => {
            out.push(0xcf);
            out.extend((n as u64).to_be_bytes());
        }
        -128..=-33 => out.extend([0xd0, n as u8]),
        -32768..=-129 => {
            out.push(0xd1);
            out.extend((n as i16).to_be_bytes());
        }
        -2_147_483_648..=-32769 => {
            out.push(0xd2);
            out.extend((n as i32).to_be_bytes());
        }
        _ => {
            out.push(0xd3);
            out.extend(n.to_be_bytes());
        }
    }
}

/// Are the keys 1 to their number?
fn is_array(table: &Table) -> mlua::Result<(bool, usize)> {
    let (mut count, mut most, mut plain) = (0usize, 0i64, true);
    for pair in table.pairs::<Value, Value>() {
        match pair?.0 {
            Value::Integer(n) if n > 0 => most = most.max(n),
            _ => plain = false,
        }
        count += 1;
    }
    Ok((plain && usize::try_from(most).ok() == Some(count), count))
}

fn write_head(out: &mut Vec<u8>, len: usize, small: u8, wide: u8) {
    match len {
        0..=15 => out.push(small | len as u8),
        16..=0xffff => {
            out.push(wide);
            out.extend((len as u16).to_be_bytes());
        }
        _ => {
            out.push(wide + 1);
            out.extend((len as u32).to_be_bytes());
        }
    }
}

fn write_table(out: &mut Vec<u8>, table: &Table, depth: usize) -> mlua::Result<()> {
    let (array, count) = is_array(table)?;
    if array {
        write_head(out, count, 0x90, 0xdc);
        for at in 1..=count {
            write(out, &table.raw_get(at)?, depth + 1)?;
        }
        return Ok(());
    }
    write_head(out, count, 0x80, 0xde);
    for pair in table.pairs::<Value, Value>() {
        let (name, value) = pair?;
        write(out, &name, depth + 1)?;
        write(out, &value, depth + 1)?;
    }
    Ok(())
}

/// Bytes on their way to values.
struct Cursor<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> mlua::Result<&'a [u8]> {
        match self.rest.split_at_checked(len) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(fail(self.lua, "Missing bytes in input.")),
        }
    }

    /// A number of so many bytes, the highest first.
    fn unsigned(&mut self, len: usize) -> mlua::Result<u64> {
        Ok(self.take(len)?.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
    }

    fn signed(&mut self, len: usize) -> mlua::Result<Value> {
        let bits = 64 - 8 * len as u32;
        let n = (self.unsigned(len)? << bits) as i64 >> bits;
        Ok(Value::Number(n as f64))
    }

    fn string(&mut self, len: u64) -> mlua::Result<Value> {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        Ok(Value::String(self.lua.create_string(self.take(len)?)?))
    }

    fn array(&mut self, len: u64, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for at in 1..=len {
            let value = self.value(depth + 1)?;
            table.raw_set(at, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, len: u64, depth: usize) -> mlua::Result<Value> {
        let table = self.lua.create_table()?;
        for _ in 0..len {
            let name = self.value(depth + 1)?;
            let value = self.value(depth + 1)?;
            match name {
                Value::Nil => return Err(fail(self.lua, "table index is nil")),
                Value::Number(n) if n.is_nan() => {
                    return Err(fail(self.lua, "table index is NaN"));
                }
                name => table.raw_set(name, value)?,
            }
        }
        Ok(Value::Table(table))
    }

    fn value(&mut self, depth: usize) -> mlua::Result<Value> {
        if depth > SCRIPT_PACKED_DEPTH {
            return Err(fail(self.lua, "too many nested tables in input"));
        }
        let kind = self.unsigned(1)?;
        Ok(match kind {
            0x00..=0x7f => Value::Number(kind as f64),
            0xe0..=0xff => Value::Number(f64::from(kind as u8 as i8)),
            0xa0..=0xbf => self.string(kind & 0x1f)?,
            0x90..=0x9f => self.array(kind & 0xf, depth)?,
            0x80..=0x8f => self.map(kind & 0xf, depth)?,
            0xc0 => Value::Nil,
            0xc2 => Value::Boolean(false),
            0xc3 => Value::Boolean(true),
            0xca => Value::Number(f64::from(f32::from_bits(self.unsigned(4)? as u32))),
            0xcb => Value::Number(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => Value::Number(self.unsigned(1 << (kind - 0xcc))? as f64),
            0xd0..=0xd3 => self.signed(1 << (kind - 0xd0))?,
            0xd9..=0xdb => {
                let len = self.unsigned(1 << (kind - 0xd9))?;
                self.string(len)?
            }
            0xdc | 0xdd => {
                let len = self.unsigned(2 << (kind - 0xdc))?;
                self.array(len, depth)?
            }
            0xde | 0xdf => {
                let len = self.unsigned(2 << (kind - 0xde))?;
                self.map(len, depth)?
            }
            _ => return Err(fail(self.lua, "Bad data format in input.")),
        })
    }
}

fn integer(lua: &Lua, name: &str, args: &MultiValue, at: usize) -> mlua::Result<Option<i64>> {
    match args.get(at) {
        None | Some(Value::Nil) => Ok(None),
        Some(value) => match lua.coerce_number(value.clone())? {
            Some(number) => Ok(Some(number as i64)),
            None => {
                let got = value.type_name();
                let at = at + 1;
                let why = format!("bad argument #{at} to '{name}' (number expected, got {got})");
                Err(fail(lua, &why))
            }
        },
    }
}

fn unpack(lua: &Lua, name: &str, args: &MultiValue) -> mlua::Result<MultiValue> {
    let first = args.front().cloned().unwrap_or(Value::Nil);
    let Some(text) = lua.coerce_string(first)? else {
        let got = args.front().map_or("no value", |value| value.type_name());
        let why = format!("bad argument #1 to '{name}' (string expected, got {got})");
        return Err(fail(lua, &why));
    };
    let text = text.as_bytes().to_vec();
    let (limit, offset) = match name {
        "unpack" => (0, 0),
        "unpack_one" => (1, integer(lua, name, args, 1)?.unwrap_or(0)),
        _ => {
            let Some(limit) = integer(lua, name, args, 1)? else {
                let why = "bad argument #2 to 'unpack_limit' (number expected, got no value)";
                return Err(fail(lua, why));
            };
            (limit, integer(lua, name, args, 2)?.unwrap_or(0))
        }
    };
    let len = text.len();
    if offset < 0 || limit < 0 {
        let why = format!("Invalid request to unpack with offset of {offset} and limit of {len}.");
        return Err(fail(lua, &why));
    }
    let Some(rest) = usize::try_from(offset).ok().and_then(|offset| text.get(offset..)) else {
        let why = format!("Start offset {offset} greater than input length {len}.");
        return Err(fail(lua, &why));
    };
    let all = limit == 0 && offset == 0;
    let mut cursor = Cursor { lua, rest };
    let mut results = Vec::new();
    while !cursor.rest.is_empty() && (all || (results.len() as i64) < limit) {
        if results.len() >= SCRIPT_RESULTS_MAX {
            let why = "stack overflow (too many return values at once; use unpack_one or \
                unpack_limit instead.)";
            return Err(fail(lua, why));
        }
        results.push(cursor.value(0)?);
    }
    if !all {
        let next = if cursor.rest.is_empty() { -1 } else { (len - cursor.rest.len()) as i64 };
        results.insert(0, Value::Number(next as f64));
    }
    Ok(MultiValue::from_vec(results))
}
