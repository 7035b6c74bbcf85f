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

/// What a command with these arguments has to see of its first key, and of each other one; errors
/// in the arguments are its handler's.
pub type Excerpts = fn(Args<'_>) -> [Excerpt; 2];

/// The same of every key.
pub fn each(excerpt: Excerpt) -> [Excerpt; 2] {
    [excerpt.clone(), excerpt]
}

/// An element that moves from an end of the first key's list to an end of the second key's.
pub fn shift(from: End, to: End) -> [Excerpt; 2] {
    [Excerpt::List(from, 1), Excerpt::List(to, 0)]
}

/// The same where the ends are named behind the keys (LMOVE, BLMOVE).
pub fn named_shift(args: Args<'_>) -> [Excerpt; 2] {
    let [from, to] = [3, 4].map(|at| End::of_word(args.at(at)).unwrap_or(End::Left));
    shift(from, to)
}

/// What LMPOP and BLMPOP take; the number of keys is argument `at`.
pub fn elements(args: Args<'_>, at: usize) -> [Excerpt; 2] {
    let taken = list_move::several(args, at).map(|several| (several.end, several.count));
    let (end, count) = taken.unwrap_or((End::Left, 0));
    each(Excerpt::List(end, count))
}

/// What ZMPOP and BZMPOP take; the number of keys is argument `at`.
pub fn members(args: Args<'_>, at: usize) -> [Excerpt; 2] {
    let taken = MultiPop::read(args, at).map(|pop| (pop.end, pop.count));
    let (end, count) = taken.unwrap_or((zset_pop::End::Min, 0));
    each(Excerpt::Zset(end, count))
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
                let (old, new) = (unscored(&old), unscored(&new));
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
fn unscored<'a>(words: &[&'a [u8]]) -> Vec<&'a [u8]> {
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
    use crate::commands::spec::Across;
    use crate::commands::table;

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
        let member = Excerpt::Member(b"x".to_vec());
        for (text, of_first, of_second) in [
            ("BLPOP a b 0", left(1), left(1)),
            ("BRPOP a b 0", right(1), right(1)),
            ("RPOPLPUSH a b", right(1), left(0)),
            ("BRPOPLPUSH a b 0", right(1), left(0)),
            ("LMOVE a b left RIGHT", left(1), right(0)),
            ("BLMOVE a b here RIGHT 0", left(1), right(0)),
            ("LMPOP 2 a b RIGHT COUNT 7", right(7), right(7)),
            ("BLMPOP 0 2 a b LEFT", left(1), left(1)),
            ("LMPOP 2 a b LEFT COUNT none", left(0), left(0)),
            ("ZMPOP 2 a b MAX COUNT 3", max(3), max(3)),
            ("BZMPOP 0 2 a b MIN", min(1), min(1)),
            ("BZPOPMIN a b 0", min(1), min(1)),
            ("BZPOPMAX a b 0", max(1), max(1)),
            ("SMOVE a b x", member.clone(), member),
        ] {
            let args = line(text);
            let Across::Excerpts(excerpts) = table::resolve(args.args()).unwrap().across else {
                panic!("{text}");
            };
            assert_eq!(excerpts(args.args()), [of_first, of_second], "{text}");
        }
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
