//! The library `bit`: 32 bits of a number, as those of BitOp.

use mlua::{Lua, MultiValue, Table, Value};

use crate::script::compile::fail;

type Binary = fn(u32, u32) -> u32;
type Unary = fn(u32) -> u32;

const FOLDS: [(&str, Binary); 3] =
    [("band", |a, b| a & b), ("bor", |a, b| a | b), ("bxor", |a, b| a ^ b)];

const SHIFTS: [(&str, Binary); 5] = [
    ("lshift", |a, n| a << n),
    ("rshift", |a, n| a >> n),
    ("arshift", |a, n| (a as i32 >> n) as u32),
    ("rol", u32::rotate_left),
    ("ror", u32::rotate_right),
];

const SINGLES: [(&str, Unary); 3] =
    [("tobit", |a| a), ("bnot", |a| !a), ("bswap", u32::swap_bytes)];

/// The table, as scripts see it.
pub fn table(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    for (name, fold) in FOLDS {
        let function = lua.create_function(move |lua, args: MultiValue| {
            let mut result = bits(lua, name, &args, 0)?;
            for at in 1..args.len() {
                result = fold(result, bits(lua, name, &args, at)?);
            }
            Ok(signed(result))
        })?;
        library.set(name, function)?;
    }
    for (name, shift) in SHIFTS {
        let function = lua.create_function(move |lua, args: MultiValue| {
            let (value, by) = (bits(lua, name, &args, 0)?, bits(lua, name, &args, 1)?);
            Ok(signed(shift(value, by & 31)))
        })?;
        library.set(name, function)?;
    }
    for (name, change) in SINGLES {
        let function = lua.create_function(move |lua, args: MultiValue| {
            Ok(signed(change(bits(lua, name, &args, 0)?)))
        })?;
        library.set(name, function)?;
    }
    library.set("tohex", lua.create_function(tohex)?)?;
    Ok(library)
}

fn signed(bits: u32) -> f64 {
    f64::from(bits as i32)
}

/// An argument's low 32 bits, rounded to the nearest even as the library does.
fn bits(lua: &Lua, name: &str, args: &MultiValue, at: usize) -> mlua::Result<u32> {
    let value = args.get(at).cloned().unwrap_or(Value::Nil);
    match lua.coerce_number(value)? {
        Some(number) => Ok((number + 6_755_399_441_055_744.0).to_bits() as u32),
        None => {
            let got = args.get(at).map_or("no value", |value| value.type_name());
            let why = format!("bad argument #{} to '{name}' (number expected, got {got})", at + 1);
            Err(fail(lua, &why))
        }
    }
}

/// `tohex(x [, n])`: as many digits as asked for, capitals if that is negative. The least number
/// has no positive (CVE-2024-31449).
fn tohex(lua: &Lua, args: MultiValue) -> mlua::Result<String> {
    let value = bits(lua, "tohex", &args, 0)?;
    let wanted = if args.len() < 2 { 8 } else { bits(lua, "tohex", &args, 1)? as i32 };
    let digits = wanted.unsigned_abs().min(8) as usize;
    let all = if wanted < 0 { format!("{value:08X}") } else { format!("{value:08x}") };
    Ok(all.get(8 - digits..).unwrap_or_default().to_owned())
}
