//! Which part of a value a command has to see whose keys are on several shards. Queues are read and
//! changed at their ends: only the elements that it may take travel, however many there are.
//!
//! Valid if and only if the command, run over the excerpts, replies, changes and announces what it
//! would over the whole values. So an excerpt is of the value's type; it holds all that the command
//! may take or look for; and one thing more, if the value has more, so that it does not become
//! empty, and is not removed, when the value would not be. What the command did is told by the
//! difference between the excerpts before and after it (`amend`).

use crate::commands::list::End;
use crate::commands::list_move;
use crate::commands::zset_pop::{self, MultiPop};
use crate::resp::args::{Args, OwnedArgs};

/// What of a key has to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Excerpt {
    /// All of it.
    Whole,
    /// So many elements at an end of a list; some may be put there.
    List(End, usize),
    /// So many members of a sorted set, from the lowest or the highest score on.
    Zset(zset_pop::End, usize),
    /// Whether a set has this member.
    Member(Vec<u8>),
}

/// What of its key number `nth` a command has to see; errors in its arguments are its handler's.
pub type Excerpts = fn(args: Args<'_>, nth: usize) -> Excerpt;

/// BLPOP.
pub fn first(_: Args<'_>, _: usize) -> Excerpt {
    Excerpt::List(End::Left, 1)
}

/// BRPOP.
pub fn last(_: Args<'_>, _: usize) -> Excerpt {
    Excerpt::List(End::Right, 1)
}

/// BZPOPMIN.
pub fn lowest(_: Args<'_>, _: usize) -> Excerpt {
    Excerpt::Zset(zset_pop::End::Min, 1)
}

/// BZPOPMAX.
pub fn highest(_: Args<'_>, _: usize) -> Excerpt {
    Excerpt::Zset(zset_pop::End::Max, 1)
}

/// RPOPLPUSH and BRPOPLPUSH.
pub fn last_to_first(_: Args<'_>, nth: usize) -> Excerpt {
    if nth == 0 { Excerpt::List(End::Right, 1) } else { Excerpt::List(End::Left, 0) }
}

/// LMOVE and BLMOVE: the ends are named behind the keys.
pub fn end_to_end(args: Args<'_>, nth: usize) -> Excerpt {
    let end = End::of_word(args.at(3 + nth)).unwrap_or(End::Left);
    Excerpt::List(end, if nth == 0 { 1 } else { 0 })
}

/// SMOVE.
pub fn member(args: Args<'_>, _: usize) -> Excerpt {
    Excerpt::Member(args.at(3).to_vec())
}

/// LMPOP.
pub fn several(args: Args<'_>, _: usize) -> Excerpt {
    several_from(args, 1)
}

/// BLMPOP, whose number of keys follows a timeout.
pub fn several_later(args: Args<'_>, _: usize) -> Excerpt {
    several_from(args, 2)
}

fn several_from(args: Args<'_>, at: usize) -> Excerpt {
    match list_move::several(args, at) {
        Ok(several) => Excerpt::List(several.end, several.count),
        Err(_) => Excerpt::List(End::Left, 0),
    }
}

/// ZMPOP.
pub fn scored(args: Args<'_>, _: usize) -> Excerpt {
    scored_from(args, 1)
}

/// BZMPOP, whose number of keys follows a timeout.
pub fn scored_later(args: Args<'_>, _: usize) -> Excerpt {
    scored_from(args, 2)
}

fn scored_from(args: Args<'_>, at: usize) -> Excerpt {
    match MultiPop::read(args, at) {
        Ok(pop) => Excerpt::Zset(pop.end, pop.count),
        Err(_) => Excerpt::Zset(zset_pop::End::Min, 0),
    }
}

impl Excerpt {
    /// The commands that do to the value what was done to its excerpt, which `before` and `after`
    /// make anew. What was whole is made anew itself.
    pub fn amend(&self, key: &[u8], before: &[OwnedArgs], after: &[OwnedArgs]) -> Vec<OwnedArgs> {
        let (old, new) = (words(before), words(after));
        match self {
            Excerpt::Whole => std::iter::once(OwnedArgs::of(&[b"DEL", key]))
                .chain(after.iter().cloned())
                .collect(),
            Excerpt::List(..) if before == after => Vec::new(),
            Excerpt::List(end, _) => match old.len().checked_sub(new.len()) {
                Some(taken) => {
                    vec![OwnedArgs::of(&[end.pop_name(), key, taken.to_string().as_bytes()])]
                }
                None => vec![pushed(*end, key, &new, new.len() - old.len())],
            },
            Excerpt::Zset(..) => {
                let (old, new) = (members(&old), members(&new));
                changed(b"ZREM", key, &old, &new).into_iter().collect()
            }
            Excerpt::Member(_) => {
                let removed = changed(b"SREM", key, &old, &new);
                removed.into_iter().chain(changed(b"SADD", key, &new, &old)).collect()
            }
        }
    }
}

/// What rebuilding commands have behind the key.
fn words(commands: &[OwnedArgs]) -> Vec<&[u8]> {
    commands.iter().flat_map(|args| args.args().from(2).iter()).collect()
}

/// Every second word: the members behind their scores.
fn members<'a>(words: &[&'a [u8]]) -> Vec<&'a [u8]> {
    words.iter().skip(1).step_by(2).copied().collect()
}

/// The command that puts the outermost elements of a list at its end.
fn pushed(end: End, key: &[u8], list: &[&[u8]], count: usize) -> OwnedArgs {
    let elements = list.get(end.range(count, list.len())).unwrap_or_default();
    match end {
        End::Left => {
            let outermost_last = elements.iter().rev().copied();
            of(b"LPUSH", key, outermost_last)
        }
        End::Right => of(b"RPUSH", key, elements.iter().copied()),
    }
}

/// The command, given what `these` have and `those` have not.
fn changed(command: &[u8], key: &[u8], these: &[&[u8]], those: &[&[u8]]) -> Option<OwnedArgs> {
    let mut only = these.iter().copied().filter(|word| !those.contains(word)).peekable();
    only.peek().is_some().then(|| of(command, key, only))
}

fn of<'a>(command: &[u8], key: &[u8], words: impl Iterator<Item = &'a [u8]>) -> OwnedArgs {
    let mut args = OwnedArgs::of(&[command, key]);
    words.for_each(|word| args.push(word));
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> OwnedArgs {
        OwnedArgs::of(&text.split(' ').map(str::as_bytes).collect::<Vec<_>>())
    }

    fn lines(text: &str) -> Vec<OwnedArgs> {
        text.split(';').filter(|text| !text.is_empty()).map(line).collect()
    }

    #[test]
    fn a_command_sees_what_it_may_take() {
        let left = |count| Excerpt::List(End::Left, count);
        let right = |count| Excerpt::List(End::Right, count);
        let min = |count| Excerpt::Zset(zset_pop::End::Min, count);
        let max = |count| Excerpt::Zset(zset_pop::End::Max, count);
        let cases: [(Excerpts, &str, Excerpt, Excerpt); 10] = [
            (first, "BLPOP a b 0", left(1), left(1)),
            (last, "BRPOP a b 0", right(1), right(1)),
            (last_to_first, "RPOPLPUSH a b", right(1), left(0)),
            (end_to_end, "LMOVE a b left RIGHT", left(1), right(0)),
            (end_to_end, "BLMOVE a b here RIGHT 0", left(1), right(0)),
            (several, "LMPOP 2 a b RIGHT COUNT 7", right(7), right(7)),
            (several_later, "BLMPOP 0 2 a b LEFT", left(1), left(1)),
            (several, "LMPOP 2 a b LEFT COUNT none", left(0), left(0)),
            (scored, "ZMPOP 2 a b MAX COUNT 3", max(3), max(3)),
            (scored_later, "BZMPOP 0 2 a b MIN", min(1), min(1)),
        ];
        for (excerpts, text, of_first, of_second) in cases {
            let args = line(text);
            assert_eq!(excerpts(args.args(), 0), of_first, "{text}");
            assert_eq!(excerpts(args.args(), 1), of_second, "{text}");
        }
        assert_eq!(member(line("SMOVE a b x").args(), 1), Excerpt::Member(b"x".to_vec()));
    }

    #[test]
    fn what_was_done_to_an_excerpt_is_done_to_the_value() {
        let list = |end| Excerpt::List(end, 2);
        let zset = Excerpt::Zset(zset_pop::End::Min, 2);
        let set = Excerpt::Member(b"x".to_vec());
        for (excerpt, before, after, expected) in [
            (list(End::Left), "RPUSH k a a", "RPUSH k a", "LPOP k 1"),
            (list(End::Right), "RPUSH k a b c", "RPUSH k a", "RPOP k 2"),
            (list(End::Left), "RPUSH k a", "", "LPOP k 1"),
            (list(End::Left), "", "RPUSH k a", "LPUSH k a"),
            (list(End::Left), "RPUSH k a", "RPUSH k c b a", "LPUSH k b c"),
            (list(End::Right), "RPUSH k a", "RPUSH k a a", "RPUSH k a"),
            (list(End::Right), "SET k a", "SET k a", ""),
            (zset.clone(), "ZADD k 1 a 2 b;ZADD k 2 c", "ZADD k 2 c", "ZREM k a b"),
            // Scores are no members.
            (zset, "ZADD k 1 2 2 1", "ZADD k 2 1", "ZREM k 2"),
            (set.clone(), "SADD k x x+", "SADD k x+", "SREM k x"),
            (set.clone(), "", "SADD k x", "SADD k x"),
            (set, "SADD k x", "", "SREM k x"),
            (Excerpt::Whole, "", "SET k b;PEXPIREAT k 9", "DEL k;SET k b;PEXPIREAT k 9"),
            (Excerpt::Whole, "", "", "DEL k"),
        ] {
            let amended = excerpt.amend(b"k", &lines(before), &lines(after));
            assert_eq!(amended, lines(expected), "{before} -> {after}");
        }
    }
}
