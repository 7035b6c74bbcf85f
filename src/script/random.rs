//! `math.random` of Redis: the generator of `lrand48`, so that a seed gives what it gives there.

use std::cell::Cell;
use std::rc::Rc;

use mlua::{Function, Lua, MultiValue, Value};

use crate::script::compile::fail;

const MULTIPLIER: u64 = 0x5_DEEC_E66D;
const INCREMENT: u64 = 0xB;
const MASK: u64 = (1 << 48) - 1;
const MOST: u64 = i32::MAX as u64;

fn seeded(seed: i32) -> u64 {
    (u64::from(seed as u32) << 16 | 0x330E) & MASK
}

fn next(state: &Cell<u64>) -> f64 {
    let now = (state.get().wrapping_mul(MULTIPLIER) + INCREMENT) & MASK;
    state.set(now);
    ((now >> 17) % MOST) as f64 / MOST as f64
}

/// A number as C's `int`.
fn int(lua: &Lua, name: &str, at: usize, value: Option<&Value>) -> mlua::Result<i64> {
    let number = value.and_then(|value| lua.coerce_number(value.clone()).ok().flatten());
    match number {
        Some(number) => Ok(i64::from(number as i64 as i32)),
        None => {
            let kind = value.map_or("no value", |value| value.type_name());
            let why = format!("bad argument #{at} to '{name}' (number expected, got {kind})");
            Err(fail(lua, &why))
        }
    }
}

/// `random` and `randomseed`.
pub fn functions(lua: &Lua, seed: u64) -> mlua::Result<(Function, Function)> {
    let state = Rc::new(Cell::new(seeded(seed as i32)));
    let shared = Rc::clone(&state);
    let random = lua.create_function(move |lua, args: MultiValue| {
        let (low, high, at) = match args.len() {
            0 => return Ok(next(&shared)),
            1 => (1, int(lua, "random", 1, args.front())?, 1),
            2 => {
                let low = int(lua, "random", 1, args.front())?;
                (low, int(lua, "random", 2, args.get(1))?, 2)
            }
            _ => return Err(fail(lua, "wrong number of arguments")),
        };
        if low > high {
            let why = format!("bad argument #{at} to 'random' (interval is empty)");
            return Err(fail(lua, &why));
        }
        Ok((next(&shared) * (high - low + 1) as f64).floor() + low as f64)
    })?;
    let randomseed = lua.create_function(move |lua, args: MultiValue| {
        let seed = int(lua, "randomseed", 1, args.front())?;
        state.set(seeded(seed as i32));
        Ok(())
    })?;
    Ok((random, randomseed))
}
