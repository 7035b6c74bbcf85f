//! Replies as values of Lua, and values as replies.

use mlua::{Lua, Table, Value};

use crate::limits::SCRIPT_REPLY_DEPTH;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};

/// An encoded reply as a value.
pub fn value_of(lua: &Lua, reply: &[u8]) -> mlua::Result<Value> {
    Ok(parse(lua, reply)?.0)
}

/// The table that stands for an error line (without its `-`).
pub fn error_table(lua: &Lua, line: &[u8]) -> mlua::Result<Table> {
    let table = plain_error(lua, line)?;
    table.raw_set("ignore_error_stats_update", true)?;
    Ok(table)
}

/// The same, for an error that has not been counted. A line of one word gets a code.
pub fn plain_error(lua: &Lua, line: &[u8]) -> mlua::Result<Table> {
    let line = line.trim_ascii_end();
    let text = match line.contains(&b' ') {
        true => line.to_vec(),
        false => [b"ERR ", line].concat(),
    };
    single(lua, "err", Value::String(lua.create_string(text)?))
}

fn single(lua: &Lua, name: &str, value: Value) -> mlua::Result<Table> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(name, value)?;
    Ok(table)
}

/// The first reply of these bytes, and what follows it.
fn parse<'a>(lua: &Lua, bytes: &'a [u8]) -> mlua::Result<(Value, &'a [u8])> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok((Value::Nil, bytes)) };
    let end = memchr::memchr(b'\r', rest).unwrap_or(rest.len());
    let line = rest.get(..end).unwrap_or_default();
    let after = rest.get(end + 2..).unwrap_or_default();
    let text = std::str::from_utf8(line).unwrap_or_default();
    let count = || text.parse::<i64>().unwrap_or_default();
    let string = |bytes: &[u8]| Ok::<_, mlua::Error>(Value::String(lua.create_string(bytes)?));
    Ok(match kind {
        b':' => (Value::Number(count() as f64), after),
        b'+' => (Value::Table(single(lua, "ok", string(line)?)?), after),
        b'-' => (Value::Table(error_table(lua, line)?), after),
        b'$' => match usize::try_from(count()) {
            Err(_) => (Value::Boolean(false), after),
            Ok(len) => {
                let bulk = string(after.get(..len).unwrap_or_default())?;
                (bulk, after.get(len + 2..).unwrap_or_default())
            }
        },
        b'*' | b'>' => match usize::try_from(count()) {
            Err(_) => (Value::Boolean(false), after),
            Ok(len) => parse_array(lua, len, after)?,
        },
        b'~' => parse_set(lua, count(), after)?,
        b'%' => parse_map(lua, count(), after)?,
        b'|' => {
            // Attributes are not shown.
            let mut rest = after;
            for _ in 0..count().saturating_mul(2) {
                rest = parse(lua, rest)?.1;
            }
            parse(lua, rest)?
        }
        b'_' => (Value::Nil, after),
        b'#' => (Value::Boolean(line == b"t"), after),
        b',' => (Value::Table(single(lua, "double", Value::Number(double(text)))?), after),
        b'(' => (Value::Table(single(lua, "big_number", string(line)?)?), after),
        b'=' => {
            let len = usize::try_from(count()).unwrap_or_default();
            let whole = after.get(..len).unwrap_or_default();
            let verbatim = lua.create_table_with_capacity(0, 2)?;
            verbatim.raw_set("string", string(whole.get(4..).unwrap_or_default())?)?;
            verbatim.raw_set("format", string(whole.get(..3).unwrap_or_default())?)?;
            let value = single(lua, "verbatim_string", Value::Table(verbatim))?;
            (Value::Table(value), after.get(len + 2..).unwrap_or_default())
        }
        _ => (Value::Nil, after),
    })
}

fn double(text: &str) -> f64 {
    match text {
        "inf" => f64::INFINITY,
        "-inf" => f64::NEG_INFINITY,
        text => text.parse().unwrap_or(f64::NAN),
    }
}

fn parse_array<'a>(lua: &Lua, len: usize, mut rest: &'a [u8]) -> mlua::Result<(Value, &'a [u8])> {
    // Each element takes some bytes of the reply, so this is no number from a client.
    let table = lua.create_table_with_capacity(len.min(rest.len()), 0)?;
    for at in 1..=len {
        let (value, after) = parse(lua, rest)?;
        table.raw_set(at, value)?;
        rest = after;
    }
    Ok((Value::Table(table), rest))
}

fn parse_set<'a>(lua: &Lua, len: i64, mut rest: &'a [u8]) -> mlua::Result<(Value, &'a [u8])> {
    let members = lua.create_table()?;
    for _ in 0..len {
        let (value, after) = parse(lua, rest)?;
        members.raw_set(value, true)?;
        rest = after;
    }
    Ok((Value::Table(single(lua, "set", Value::Table(members))?), rest))
}

fn parse_map<'a>(lua: &Lua, len: i64, mut rest: &'a [u8]) -> mlua::Result<(Value, &'a [u8])> {
    let pairs = lua.create_table()?;
    for _ in 0..len {
        let (name, after) = parse(lua, rest)?;
        let (value, after) = parse(lua, after)?;
        pairs.raw_set(name, value)?;
        rest = after;
    }
    Ok((Value::Table(single(lua, "map", Value::Table(pairs))?), rest))
}

/// Writes what a script has returned. `spoken` is the version that the script has chosen.
pub fn write(out: &mut Vec<u8>, value: &Value, proto: Proto, spoken: Proto) -> mlua::Result<()> {
    write_at(out, value, (proto, spoken), 0)
}

fn write_at(
    out: &mut Vec<u8>,
    value: &Value,
    protos: (Proto, Proto),
    depth: usize,
) -> mlua::Result<()> {
    let (proto, spoken) = protos;
    let mut reply = Reply::new(out, proto);
    match value {
        _ if depth > SCRIPT_REPLY_DEPTH => reply.error(&Error::err("reached lua stack limit")),
        Value::String(text) => reply.bulk(&text.as_bytes()),
        Value::Boolean(yes) if spoken == Proto::Three => reply.boolean(*yes),
        Value::Boolean(true) => reply.integer(1),
        Value::Integer(n) => reply.integer(*n),
        Value::Number(n) => reply.integer(whole(*n)),
        Value::Table(table) => return write_table(out, table, protos, depth),
        _ => reply.null(),
    }
    Ok(())
}

/// As C converts: what does not fit is the least number.
fn whole(n: f64) -> i64 {
    let fits = (-9.223_372_036_854_775e18..9.223_372_036_854_775e18).contains(&n);
    if fits { n as i64 } else { i64::MIN }
}

fn spaced(text: &[u8]) -> Vec<u8> {
    text.iter().map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte }).collect()
}

fn write_table(
    out: &mut Vec<u8>,
    table: &Table,
    protos: (Proto, Proto),
    depth: usize,
) -> mlua::Result<()> {
    let mut reply = Reply::new(out, protos.0);
    if let Value::String(line) = table.raw_get::<Value>("err")? {
        reply.error(&Error::Line(spaced(&line.as_bytes())));
        return Ok(());
    }
    if let Value::String(line) = table.raw_get::<Value>("ok")? {
        reply.raw(&[b"+", spaced(&line.as_bytes()).as_slice(), b"\r\n"].concat());
        return Ok(());
    }
    let double = match table.raw_get::<Value>("double")? {
        Value::Number(n) => Some(n),
        Value::Integer(n) => Some(n as f64),
        _ => None,
    };
    if let Some(double) = double {
        reply.double(double);
        return Ok(());
    }
    if let Value::String(digits) = table.raw_get::<Value>("big_number")? {
        let digits = String::from_utf8_lossy(&spaced(&digits.as_bytes())).into_owned();
        reply.big_number(&digits);
        return Ok(());
    }
    if let Value::Table(verbatim) = table.raw_get::<Value>("verbatim_string")?
        && let Value::String(format) = verbatim.raw_get::<Value>("format")?
        && let Value::String(text) = verbatim.raw_get::<Value>("string")?
    {
        let format = String::from_utf8_lossy(&format.as_bytes()).into_owned();
        reply.verbatim(&format!("{format:<3.3}"), &text.as_bytes());
        return Ok(());
    }
    if let Value::Table(map) = table.raw_get::<Value>("map")? {
        let pairs: Vec<(Value, Value)> = map.pairs().collect::<mlua::Result<_>>()?;
        reply.map(pairs.len());
        for (name, value) in &pairs {
            write_at(out, name, protos, depth + 1)?;
            write_at(out, value, protos, depth + 1)?;
        }
        return Ok(());
    }
    if let Value::Table(set) = table.raw_get::<Value>("set")? {
        let members: Vec<(Value, Value)> = set.pairs().collect::<mlua::Result<_>>()?;
        reply.set(members.len());
        for (member, _) in &members {
            write_at(out, member, protos, depth + 1)?;
        }
        return Ok(());
    }
    let mut elements = Vec::new();
    loop {
        match table.raw_get::<Value>(elements.len() + 1)? {
            Value::Nil => break,
            element => elements.push(element),
        }
    }
    reply.array(elements.len());
    for element in &elements {
        write_at(out, element, protos, depth + 1)?;
    }
    Ok(())
}
