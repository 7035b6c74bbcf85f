//! Lists: the commands that wait for an element. Their handlers take what is there or answer null;
//! the waiting is the session's (router/waiting.rs).

use crate::commands::blocking::timeout;
use crate::commands::call::{Call, Effect};
use crate::commands::excerpt::{self, Excerpt};
use crate::commands::list::{End, pop_array};
use crate::commands::list_move::{Several, several, shift};
use crate::commands::row::{FIRST_TWO, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec};
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    on(
        ALL_BUT_LAST,
        Across::Excerpts(|_| excerpt::each(Excerpt::List(End::Left, 1))),
        row("blpop", -3, POPS, blpop, docs("2.0.0", "Waits for the first element of a list.")),
    ),
    on(
        ALL_BUT_LAST,
        Across::Excerpts(|_| excerpt::each(Excerpt::List(End::Right, 1))),
        row("brpop", -3, POPS, brpop, docs("2.0.0", "Waits for the last element of a list.")),
    ),
    on(
        FIRST_TWO,
        Across::Excerpts(excerpt::named_shift),
        row("blmove", 6, MOVES, blmove, docs("6.2.0", "LMOVE that waits for an element.")),
    ),
    on(
        FIRST_TWO,
        Across::Excerpts(|_| excerpt::shift(End::Right, End::Left)),
        row("brpoplpush", 4, MOVES, brpoplpush, docs("2.2.0", "RPOPLPUSH that waits.")),
    ),
    on(
        KeySpec::Counted { target: None, count: 2 },
        Across::Excerpts(|args| excerpt::elements(args, 2)),
        row("blmpop", -5, WAITS, blmpop, docs("7.0.0", "LMPOP that waits for an element.")),
    ),
];

/// Keys, and a timeout behind them.
const ALL_BUT_LAST: KeySpec = KeySpec::At { first: 1, last: -2, step: 1 };

const WAITS: Flags = Flags::of(&[Flags::WRITE, Flags::BLOCKING]);
const POPS: Flags = Flags::of(&[WAITS, Flags::NOSCRIPT]);
const MOVES: Flags = Flags::of(&[POPS, Flags::DENYOOM]);

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("list", since, "O(N) where N is the number of keys", summary)
}

fn blpop(call: &mut Call<'_>) -> Result<Effect, Error> {
    pop(call, End::Left)
}

fn brpop(call: &mut Call<'_>) -> Result<Effect, Error> {
    pop(call, End::Right)
}

fn pop(call: &mut Call<'_>, end: End) -> Result<Effect, Error> {
    let last = call.args.len() - 1;
    timeout(call.args.at(last))?;
    for at in 1..last {
        let key = call.args.at(at);
        let Some(mut list) = call.keys.list_mut(call.db, key)? else { continue };
        call.reply.array(2);
        call.reply.bulk(key);
        let range = end.range(1, list.list().len());
        list.list().get(range.start).iter().for_each(|element| call.reply.bulk(element));
        list.remove(range.start, range.end);
        return Ok(Effect::Instead(OwnedArgs::of(&[end.pop_name(), key])));
    }
    call.reply.null_array();
    Ok(Effect::Nothing)
}

fn blmove(call: &mut Call<'_>) -> Result<Effect, Error> {
    let from = End::of_word(call.args.at(3))?;
    let to = End::of_word(call.args.at(4))?;
    timeout(call.args.at(5))?;
    moved(call, from, to)
}

fn brpoplpush(call: &mut Call<'_>) -> Result<Effect, Error> {
    timeout(call.args.at(3))?;
    moved(call, End::Right, End::Left)
}

fn moved(call: &mut Call<'_>, from: End, to: End) -> Result<Effect, Error> {
    let word = |end: End| match end {
        End::Left => b"LEFT".as_slice(),
        End::Right => b"RIGHT",
    };
    Ok(match shift(call, from, to)? {
        Effect::Nothing => Effect::Nothing,
        _ => {
            let (source, target) = (call.args.at(1), call.args.at(2));
            Effect::Instead(OwnedArgs::of(&[b"LMOVE", source, target, word(from), word(to)]))
        }
    })
}

fn blmpop(call: &mut Call<'_>) -> Result<Effect, Error> {
    timeout(call.args.at(1))?;
    let Several { keys, end, count } = several(call.args, 2)?;
    for key in keys {
        let Some(mut list) = call.keys.list_mut(call.db, key)? else { continue };
        call.reply.array(2);
        call.reply.bulk(key);
        let taken = count.min(list.list().len()).to_string();
        pop_array(&mut call.reply, &mut list, end, count);
        return Ok(Effect::Instead(OwnedArgs::of(&[end.pop_name(), key, taken.as_bytes()])));
    }
    call.reply.null_array();
    Ok(Effect::Nothing)
}
