//! Lists: elements that move from one list to another, or come from the first of several.

use crate::commands::call::{Call, Effect};
use crate::commands::excerpt;
use crate::commands::list::{End, pop_array};
use crate::commands::parse::{integer_in, is};
use crate::commands::row::{COUNTED, FIRST_TWO, WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags};
use crate::resp::args::{Args, OwnedArgs};
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    on(
        FIRST_TWO,
        Across::Excerpts(excerpt::named_shift),
        row(
            "lmove",
            5,
            WRITE_OOM,
            lmove,
            docs("6.2.0", "O(log N)", "Moves an element to an end of another list."),
        ),
    ),
    on(
        FIRST_TWO,
        Across::Excerpts(|_| excerpt::shift(End::Right, End::Left)),
        row(
            "rpoplpush",
            3,
            WRITE_OOM,
            rpoplpush,
            docs("1.2.0", "O(log N)", "Moves the last element before another list."),
        ),
    ),
    on(
        COUNTED,
        Across::Excerpts(|args| excerpt::elements(args, 1)),
        row(
            "lmpop",
            -4,
            Flags::WRITE,
            lmpop,
            docs("7.0.0", POP, "Takes elements of the first list that has some."),
        ),
    ),
];

const POP: &str = "O(N + M) where N is the number of keys and M that of the elements taken.";

const fn docs(since: &'static str, complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("list", since, complexity, summary)
}

fn lmove(call: &mut Call<'_>) -> Result<Effect, Error> {
    let from = End::of_word(call.args.at(3))?;
    let to = End::of_word(call.args.at(4))?;
    shift(call, from, to)
}

fn rpoplpush(call: &mut Call<'_>) -> Result<Effect, Error> {
    shift(call, End::Right, End::Left)
}

/// Moves one element from an end of the first key's list to an end of the second key's.
pub fn shift(call: &mut Call<'_>, from: End, to: End) -> Result<Effect, Error> {
    let (source, target) = (call.args.at(1), call.args.at(2));
    let Some(list) = call.keys.list(call.db, source)? else {
        call.reply.null();
        return Ok(Effect::Nothing);
    };
    let range = from.range(1, list.len());
    let element = list.get(range.start).unwrap_or_default().to_vec();
    call.keys.list(call.db, target)?;
    if source == target {
        // A list that would become empty in between must not be removed.
        if let Some(mut list) = call.keys.list_mut(call.db, source)? {
            let last = list.list().len() - 1;
            let index = if to == End::Left { 0 } else { last };
            if range.start == index {
                // The list stays as it is, but it was moved about: WATCH hears of that.
                list.replace(index, &element);
            } else {
                list.remove(range.start, range.end);
                list.insert(to.index(), &element);
            }
        }
    } else {
        if let Some(mut list) = call.keys.list_mut(call.db, source)? {
            list.remove(range.start, range.end);
        }
        call.keys.list_or_new(call.db, target)?.insert(to.index(), &element);
    }
    call.reply.bulk(&element);
    Ok(Effect::AsSent)
}

/// What LMPOP and its blocking form take.
#[derive(Clone, Debug)]
pub struct Several<'a> {
    /// The keys, in the order in which they are looked at.
    pub keys: Vec<&'a [u8]>,
    /// From where.
    pub end: End,
    /// At most so many.
    pub count: usize,
}

/// Reads `numkeys key [key ...] LEFT|RIGHT [COUNT count]` from argument `at` on.
pub fn several(args: Args<'_>, at: usize) -> Result<Several<'_>, Error> {
    let positive = |arg: &[u8], text: &'static str| {
        let number = integer_in(arg, 1..=i64::MAX).map_err(|_| Error::Text(text.into()))?;
        usize::try_from(number).map_err(|_| Error::NotInteger)
    };
    let keys = positive(args.at(at), "ERR numkeys should be greater than 0")?;
    let end_at = (at + 1).checked_add(keys).filter(|end| *end < args.len()).ok_or(Error::Syntax)?;
    let end = End::of_word(args.at(end_at))?;
    let mut count = None;
    let options = args.from(end_at + 1);
    for option in (0..options.len()).step_by(2) {
        if count.is_some() || !is(options.at(option), "count") || option + 1 == options.len() {
            return Err(Error::Syntax);
        }
        let text = "ERR count should be greater than 0";
        count = Some(positive(options.at(option + 1), text)?);
    }
    let keys = args.from(at + 1).iter().take(keys).collect();
    Ok(Several { keys, end, count: count.unwrap_or(1) })
}

fn lmpop(call: &mut Call<'_>) -> Result<Effect, Error> {
    let Several { keys, end, count } = several(call.args, 1)?;
    for key in keys {
        let Some(mut list) = call.keys.list_mut(call.db, key)? else { continue };
        call.reply.array(2);
        call.reply.bulk(key);
        let taken = count.min(list.list().len());
        pop_array(&mut call.reply, &mut list, end, count);
        let count = taken.to_string();
        let args = OwnedArgs::of(&[end.pop_name(), key, count.as_bytes()]);
        return Ok(Effect::Instead(args));
    }
    call.reply.null_array();
    Ok(Effect::Nothing)
}
