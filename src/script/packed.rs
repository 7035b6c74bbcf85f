//! The library `struct`: numbers and strings in fixed formats.

use mlua::{Lua, MultiValue, Table, Value};

use crate::script::compile::fail;

/// The widest integer.
const WIDTH_MAX: usize = 32;
/// The alignment that `!` alone means.
const ALIGN: usize = 8;

/// The table, as scripts see it.
pub fn table(lua: &Lua) -> mlua::Result<Table> {
    let library = lua.create_table()?;
    library.set("pack", lua.create_function(pack)?)?;
    library.set("unpack", lua.create_function(unpack)?)?;
    library.set("size", lua.create_function(size)?)?;
    Ok(library)
}

/// One option of a format.
#[derive(Clone, Copy, Debug)]
struct Item {
    kind: u8,
    size: usize,
}

/// A format on its way.
struct Format<'a> {
    lua: &'a Lua,
    rest: &'a [u8],
    big: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(lua: &'a Lua, rest: &'a [u8]) -> Format<'a> {
        // What follows a zero byte does not count, as in C.
        let end = memchr::memchr(0, rest).unwrap_or(rest.len());
        Format { lua, rest: rest.get(..end).unwrap_or_default(), big: false, align: 1 }
    }

    /// The number that stands next, or `missing`. It has to fit 31 bits (CVE-2020-14147).
    fn number(&mut self, missing: usize) -> mlua::Result<usize> {
        let digits = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        if digits == 0 {
            return Ok(missing);
        }
        let number = std::str::from_utf8(number).ok().and_then(|text| text.parse::<i32>().ok());
        match number.and_then(|number| usize::try_from(number).ok()) {
            Some(number) => Ok(number),
            None => Err(fail(self.lua, "integral size overflow")),
        }
    }

    /// The next option that is not about the format itself; `alone` when it is.
    fn next(&mut self) -> mlua::Result<Option<Item>> {
        loop {
            let Some((kind, rest)) = self.rest.split_first() else { return Ok(None) };
            self.rest = rest;
            let size = match kind {
                b'b' | b'B' | b'x' => 1,
                b'h' | b'H' => 2,
                b'l' | b'L' | b'T' | b'd' => 8,
                b'f' => 4,
                b'c' => self.number(1)?,
                b's' => 0,
                b'i' | b'I' => self.integer()?,
                _ => {
                    self.control(*kind)?;
                    continue;
                }
            };
            return Ok(Some(Item { kind: *kind, size }));
        }
    }

    fn integer(&mut self) -> mlua::Result<usize> {
        match self.number(4)? {
            size if size > WIDTH_MAX => {
                let why = format!("integral size {size} is larger than limit of {WIDTH_MAX}");
                Err(fail(self.lua, &why))
            }
            size => Ok(size),
        }
    }

    fn control(&mut self, kind: u8) -> mlua::Result<()> {
        match kind {
            b' ' => {}
            b'>' => self.big = true,
            b'<' => self.big = false,
            b'!' => {
                self.align = self.number(ALIGN)?;
                if !self.align.is_power_of_two() {
                    let why = format!("alignment {} is not a power of 2", self.align);
                    return Err(fail(self.lua, &why));
                }
            }
            _ => {
                let why = format!("invalid format option '{}'", char::from(kind));
                return Err(fail(self.lua, &format!("bad argument #1 to 'pack' ({why})")));
            }
        }
        Ok(())
    }

    /// Bytes to fill in before an item at `position`.
    fn padding(&self, position: usize, item: Item) -> usize {
        if item.size == 0 || item.kind == b'c' {
            return 0;
        }
        let size = item.size.min(self.align);
        size.wrapping_sub(position & size.wrapping_sub(1)) & size.wrapping_sub(1)
    }

    /// The lowest byte first, or last.
    fn ordered(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        if self.big {
            bytes.reverse();
        }
        bytes
    }
}

fn wrong(lua: &Lua, at: usize, name: &str, why: &str) -> mlua::Error {
    fail(lua, &format!("bad argument #{at} to '{name}' ({why})"))
}

/// What is said of an argument that is not there: `pack` marks its end with a nil.
fn missing(name: &str) -> &'static str {
    if name == "pack" { "nil" } else { "no value" }
}

fn string(lua: &Lua, name: &str, args: &MultiValue, at: usize) -> mlua::Result<Vec<u8>> {
    let value = args.get(at).cloned().unwrap_or(Value::Nil);
    match lua.coerce_string(value)? {
        Some(text) => Ok(text.as_bytes().to_vec()),
        None => {
            let got = args.get(at).map_or(missing(name), |value| value.type_name());
            Err(wrong(lua, at + 1, name, &format!("string expected, got {got}")))
        }
    }
}

fn number(lua: &Lua, name: &str, args: &MultiValue, at: usize) -> mlua::Result<f64> {
    let value = args.get(at).cloned().unwrap_or(Value::Nil);
    match lua.coerce_number(value)? {
        Some(number) => Ok(number),
        None => {
            let got = args.get(at).map_or(missing(name), |value| value.type_name());
            Err(wrong(lua, at + 1, name, &format!("number expected, got {got}")))
        }
    }
}

fn pack(lua: &Lua, args: MultiValue) -> mlua::Result<mlua::String> {
    let text = string(lua, "pack", &args, 0)?;
    let mut format = Format::new(lua, &text);
    let mut out: Vec<u8> = Vec::new();
    let mut at = 1;
    while let Some(item) = format.next()? {
        out.resize(out.len() + format.padding(out.len(), item), 0);
        match item.kind {
            b'x' => out.push(0),
            b'f' => {
                let value = number(lua, "pack", &args, at)? as f32;
                out.extend(format.ordered(value.to_le_bytes().to_vec()));
            }
            b'd' => {
                let value = number(lua, "pack", &args, at)?;
                out.extend(format.ordered(value.to_le_bytes().to_vec()));
            }
            b'c' | b's' => {
                let value = string(lua, "pack", &args, at)?;
                let size = if item.size == 0 { value.len() } else { item.size };
                let Some(part) = value.get(..size) else {
                    return Err(wrong(lua, at + 2, "pack", "string too short"));
                };
                out.extend_from_slice(part);
                if item.kind == b's' {
                    out.push(0);
                }
            }
            _ => {
                let value = number(lua, "pack", &args, at)?;
                let bits = if value < 0.0 { value as i64 as u64 } else { value as u64 };
                // More than eight bytes are filled up with zeros.
                let mut bytes = bits.to_le_bytes().to_vec();
                bytes.resize(item.size, 0);
                out.extend(format.ordered(bytes));
            }
        }
        at += usize::from(item.kind != b'x');
    }
    lua.create_string(out)
}

/// An integer as it stands; beyond eight bytes only the lowest count.
fn integer(bytes: &[u8], (big, signed): (bool, bool)) -> f64 {
    let mut all: Vec<u8> = bytes.to_vec();
    if big {
        all.reverse();
    }
    let value = all.iter().take(8).rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    if !signed {
        return value as f64;
    }
    let bits = (all.len().clamp(1, 8) * 8) as u32;
    let shift = 64 - bits;
    ((value << shift) as i64 >> shift) as f64
}

fn unpack(lua: &Lua, args: MultiValue) -> mlua::Result<MultiValue> {
    let text = string(lua, "unpack", &args, 0)?;
    let data = string(lua, "unpack", &args, 1)?;
    let start = match args.get(2) {
        None | Some(Value::Nil) => 1.0,
        Some(_) => number(lua, "unpack", &args, 2)?,
    };
    if start < 1.0 || start.is_nan() {
        return Err(wrong(lua, 3, "unpack", "offset must be 1 or greater"));
    }
    let mut at = (start as usize).saturating_sub(1);
    let mut format = Format::new(lua, &text);
    let mut results: Vec<Value> = Vec::new();
    let short = || wrong(lua, 2, "unpack", "data string too short");
    while let Some(item) = format.next()? {
        at = at.saturating_add(format.padding(at, item));
        let mut size = item.size;
        let part = data.get(at..at.saturating_add(size)).ok_or_else(short)?;
        if results.len() > 7900 {
            return Err(fail(lua, "stack overflow (too many results)"));
        }
        match item.kind {
            b'x' => {}
            b'f' => {
                let bytes = format.ordered(part.to_vec());
                let value = bytes.first_chunk().map_or(0.0, |b| f32::from_le_bytes(*b));
                results.push(Value::Number(f64::from(value)));
            }
            b'd' => {
                let bytes = format.ordered(part.to_vec());
                let value = bytes.first_chunk().map_or(0.0, |b| f64::from_le_bytes(*b));
                results.push(Value::Number(value));
            }
            b'c' if size == 0 => {
                let last = results.pop().and_then(|last| lua.coerce_number(last).ok().flatten());
                let Some(last) = last else {
                    return Err(fail(lua, "format 'c0' needs a previous size"));
                };
                size = if last < 0.0 { usize::MAX } else { last as usize };
                let part = data.get(at..at.saturating_add(size)).ok_or_else(short)?;
                results.push(Value::String(lua.create_string(part)?));
            }
            b'c' => results.push(Value::String(lua.create_string(part)?)),
            b's' => {
                let rest = data.get(at..).unwrap_or_default();
                let Some(end) = memchr::memchr(0, rest) else {
                    return Err(fail(lua, "unfinished string in data"));
                };
                let part = rest.get(..end).unwrap_or_default();
                results.push(Value::String(lua.create_string(part)?));
                size = end + 1;
            }
            kind => {
                let value = integer(part, (format.big, kind.is_ascii_lowercase()));
                results.push(Value::Number(value));
            }
        }
        at = at.saturating_add(size);
    }
    results.push(Value::Number((at + 1) as f64));
    Ok(MultiValue::from_vec(results))
}

fn size(lua: &Lua, args: MultiValue) -> mlua::Result<f64> {
    let text = string(lua, "size", &args, 0)?;
    let mut format = Format::new(lua, &text);
    let mut at = 0usize;
    while let Some(item) = format.next()? {
        match item.kind {
            b's' => return Err(wrong(lua, 1, "size", "option 's' has no fixed size")),
            b'c' if item.size == 0 => {
                return Err(wrong(lua, 1, "size", "option 'c0' has no fixed size"));
            }
            _ => {}
        }
        at = at.saturating_add(format.padding(at, item)).saturating_add(item.size);
    }
    Ok(at as f64)
}
