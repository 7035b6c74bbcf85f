//! Strings as arrays of integers of any width: BITFIELD, BITFIELD_RO.

use crate::base::number::parse_i64;
use crate::commands::bitmap::bit_offset;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{choice, integer, is};
use crate::commands::row::{READ_FAST, WRITE_OOM, row};
use crate::commands::spec::{Command, Docs};
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::types::bits::{Field, Overflow, Sign, WINDOW};
use crate::types::string::StrRef;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "bitfield",
        -2,
        WRITE_OOM,
        bitfield,
        docs("3.2.0", "Reads and changes integers of any width in a string."),
    ),
    row(
        "bitfield_ro",
        -2,
        READ_FAST,
        bitfield_ro,
        docs("6.0.0", "Reads integers of any width in a string."),
    ),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("bitmap", since, "O(1) for each of the integers.", summary)
}

/// What is done to an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Get,
    Set(i64),
    Increase(i64),
}

/// One step of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    action: Action,
    field: Field,
    /// Its first bit.
    offset: u64,
    overflow: Overflow,
}

impl Step {
    /// The byte of its first bit, and which bit of that it is.
    fn place(self) -> (usize, u32) {
        (usize::try_from(self.offset / 8).unwrap_or(usize::MAX), (self.offset % 8) as u32)
    }

    /// The byte of its last bit.
    fn last_byte(self) -> u64 {
        (self.offset + u64::from(self.field.bits) - 1) / 8
    }
}

/// All steps; an OVERFLOW counts for those after it.
fn steps(args: Args<'_>, longest: usize) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut overflow = Overflow::Wrap;
    let mut words = args.from(2);
    while let Some(word) = words.get(0) {
        if is(word, "OVERFLOW") && words.len() >= 2 {
            overflow = overflow_of(words.at(1))?;
            words = words.from(2);
            continue;
        }
        let used = match word {
            _ if is(word, "GET") => 3,
            _ if is(word, "SET") || is(word, "INCRBY") => 4,
            _ => return Err(Error::Syntax),
        };
        if words.len() < used {
            return Err(Error::Syntax);
        }
        let field = field(words.at(1)).ok_or(Error::BITFIELD_TYPE)?;
        let offset = offset(words.at(2), field, longest)?;
        let action = match used {
            3 => Action::Get,
            _ if is(word, "SET") => Action::Set(integer(words.at(3))?),
            _ => Action::Increase(integer(words.at(3))?),
        };
        let step = Step { action, field, offset, overflow };
        // A field at the very end must not make the string longer than a string may be.
        if action != Action::Get && step.last_byte() >= longest as u64 {
            return Err(Error::BIT_OFFSET);
        }
        steps.push(step);
        words = words.from(used);
    }
    Ok(steps)
}

fn overflow_of(word: &[u8]) -> Result<Overflow, Error> {
    let words = [("WRAP", Overflow::Wrap), ("SAT", Overflow::Saturate), ("FAIL", Overflow::Fail)];
    choice(word, &words).ok_or(Error::BITFIELD_OVERFLOW)
}

/// `i1` to `i64`, `u1` to `u63`: what is larger does not fit the integers of a reply.
fn field(word: &[u8]) -> Option<Field> {
    let (sign, most, digits) = match word {
        [b'i', digits @ ..] => (Sign::Signed, 64, digits),
        [b'u', digits @ ..] => (Sign::Unsigned, 63, digits),
        _ => return None,
    };
    let bits = parse_i64(digits).and_then(|bits| u32::try_from(bits).ok())?;
    (1..=most).contains(&bits).then_some(Field { sign, bits })
}

/// A number of bits, or `#` and a number of fields.
fn offset(word: &[u8], field: Field, longest: usize) -> Result<u64, Error> {
    match word {
        [b'#', number @ ..] => {
            let offset = parse_i64(number).and_then(|n| n.checked_mul(i64::from(field.bits)));
            let offset = offset.ok_or(Error::BIT_OFFSET)?;
            bit_offset(itoa::Buffer::new().format(offset).as_bytes(), longest)
        }
        _ => bit_offset(word, longest),
    }
}

fn bitfield(call: &mut Call<'_>) -> Result<Effect, Error> {
    let steps = steps(call.args, call.keys.string_limits().longest)?;
    let writes = |step: &&Step| step.action != Action::Get;
    let Some(last) = steps.iter().filter(writes).map(|step| step.last_byte()).max() else {
        return read_all(call, &steps);
    };
    let key = call.args.at(1);
    let len = call.keys.string(call.db, key)?.map_or(0, |text| text.len());
    let last = usize::try_from(last).unwrap_or(usize::MAX);
    let mut effect = Effect::Nothing;
    if len <= last {
        // As in Redis, even if none of the steps writes anything in the end.
        call.keys.set_range(call.db, key, last, &[0])?;
        effect = Effect::AsSent;
    }
    call.reply.array(steps.len());
    for step in steps {
        let (at, bit) = step.place();
        let window = match call.keys.string(call.db, key)? {
            Some(text) => window(&text, at),
            None => [0; WINDOW],
        };
        let old = step.field.read(window, bit);
        let wanted = match step.action {
            Action::Get => old,
            Action::Set(value) => step.field.sent(value),
            Action::Increase(by) => old + i128::from(by),
        };
        let Some(new) = step.field.fit(wanted, step.overflow) else {
            call.reply.null();
            continue;
        };
        let told = if let Action::Increase(_) = step.action { new } else { old };
        call.reply.integer(shown(told));
        if new != old {
            let window = step.field.write(window, bit, new);
            let used = (bit + step.field.bits).div_ceil(8) as usize;
            call.keys.set_range(call.db, key, at, window.get(..used).unwrap_or_default())?;
            effect = Effect::AsSent;
        }
    }
    Ok(effect)
}

fn bitfield_ro(call: &mut Call<'_>) -> Result<Effect, Error> {
    let steps = steps(call.args, call.keys.string_limits().longest)?;
    if steps.iter().any(|step| step.action != Action::Get) {
        return Err(Error::BITFIELD_RO);
    }
    read_all(call, &steps)
}

fn read_all(call: &mut Call<'_>, steps: &[Step]) -> Result<Effect, Error> {
    let text = call.keys.string(call.db, call.args.at(1))?;
    call.reply.array(steps.len());
    for step in steps {
        let (at, bit) = step.place();
        let window = text.as_ref().map_or([0; WINDOW], |text| window(text, at));
        call.reply.integer(shown(step.field.read(window, bit)));
    }
    Ok(Effect::Nothing)
}

/// The bytes from `at` on, zeros where there are none.
fn window(text: &StrRef<'_>, at: usize) -> [u8; WINDOW] {
    let mut bytes = Vec::with_capacity(WINDOW);
    if at < text.len() {
        text.copy_range(at..at + WINDOW, &mut bytes);
    }
    let mut window = [0; WINDOW];
    window.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    window
}

/// All values of fields fit.
fn shown(value: i128) -> i64 {
    i64::try_from(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_fields() {
        for (word, expected) in [
            ("i1", Some((Sign::Signed, 1))),
            ("i64", Some((Sign::Signed, 64))),
            ("u63", Some((Sign::Unsigned, 63))),
            ("u64", None),
            ("i65", None),
            ("i0", None),
            ("u-1", None),
            ("u08", None),
            ("i", None),
            ("", None),
            ("I8", None),
            ("8", None),
            ("i18446744073709551617", None),
        ] {
            let expected = expected.map(|(sign, bits)| Field { sign, bits });
            assert_eq!(field(word.as_bytes()), expected, "{word}");
        }
    }
}
