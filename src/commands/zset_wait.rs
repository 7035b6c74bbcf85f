//! Sorted sets: the commands that wait for a member. Their handlers take what is there or answer
//! null; the waiting is the session's (router/waiting.rs).

use crate::commands::blocking::timeout;
use crate::commands::call::{Call, Effect};
use crate::commands::excerpt::{self, Excerpt};
use crate::commands::row::{on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec};
use crate::commands::zset_pop::{End, MultiPop, take};
use crate::commands::zset_reply::Form;
use crate::resp::args::OwnedArgs;
use crate::resp::error::Error;
use crate::resp::reply::Reply;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    on(
        ALL_BUT_LAST,
        Across::Excerpts(|_| excerpt::each(Excerpt::Zset(End::Min, 1))),
        row(
            "bzpopmin",
            -3,
            POPS,
            |call| pop(call, End::Min),
            docs("5.0.0", "Waits for the member with the lowest score."),
        ),
    ),
    on(
        ALL_BUT_LAST,
        Across::Excerpts(|_| excerpt::each(Excerpt::Zset(End::Max, 1))),
        row(
            "bzpopmax",
            -3,
            POPS,
            |call| pop(call, End::Max),
            docs("5.0.0", "Waits for the member with the highest score."),
        ),
    ),
    on(
        KeySpec::Counted { target: None, count: 2 },
        Across::Excerpts(|args| excerpt::members(args, 2)),
        row("bzmpop", -5, WAITS, bzmpop, docs("7.0.0", "ZMPOP that waits for a member.")),
    ),
];

/// Keys, and a timeout behind them.
const ALL_BUT_LAST: KeySpec = KeySpec::At { first: 1, last: -2, step: 1 };

const WAITS: Flags = Flags::of(&[Flags::WRITE, Flags::BLOCKING]);
const POPS: Flags = Flags::of(&[WAITS, Flags::NOSCRIPT, Flags::FAST]);

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of("sorted-set", since, "O(log N) in a set of N members", summary)
}

fn pop(call: &mut Call<'_>, end: End) -> Result<Effect, Error> {
    let last = call.args.len() - 1;
    timeout(call.args.at(last))?;
    for at in 1..last {
        let key = call.args.at(at);
        let header = |reply: &mut Reply<'_>, _| {
            reply.array(3);
            reply.bulk(key);
        };
        if take(call, key, end, 1, header, Form::Flat)?.is_some() {
            return Ok(Effect::Instead(OwnedArgs::of(&[end.command(), key])));
        }
    }
    call.reply.null_array();
    Ok(Effect::Nothing)
}

fn bzmpop(call: &mut Call<'_>) -> Result<Effect, Error> {
    timeout(call.args.at(1))?;
    let pop = MultiPop::read(call.args, 2)?;
    if let Some(effect) = pop.run(call)? {
        return Ok(effect);
    }
    call.reply.null_array();
    Ok(Effect::Nothing)
}
