//! Which keys can a text use? If every command in it names its keys as `KEYS[..]`, only those that
//! EVAL declares; then a script need not have the whole keyspace to itself.
//!
//! What is read are the tokens, and every doubt is a no: a name that is assigned again, a function,
//! a command whose keys follow from its words, `redis.call` as a value. So a yes is right whatever
//! the rest of the text does: `redis` is the global, `KEYS` is never changed nor handed on, and the
//! arguments where a command has its keys are nothing but elements of `KEYS`.

use std::collections::BTreeSet;

use crate::commands::spec::{Command, KeySpec, Run};
use crate::commands::table;
use crate::resp::args::OwnedArgs;

pub use crate::commands::script::Reach;

/// One token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name or a keyword.
    Word(&'a [u8]),
    /// A string in quotes, without escapes.
    Text(&'a [u8]),
    /// A number.
    Number,
    /// Anything else.
    Sign(&'a [u8]),
}

/// What a text may use.
pub fn reach(text: &[u8]) -> Reach {
    tokens(text).map_or(Reach::All, |tokens| reach_of(&tokens))
}

/// The same of its tokens.
pub(super) fn reach_of(tokens: &[Token<'_>]) -> Reach {
    let text = Text { tokens, depths: depths(tokens) };
    match text.is_declared() {
        Some(true) => Reach::Declared,
        _ => Reach::All,
    }
}

const LONG_SIGNS: [&[u8]; 6] = [b"...", b"..", b"==", b"~=", b"<=", b">="];

/// The tokens of a text that can be read.
pub(super) fn tokens(text: &[u8]) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let [first, ..] = rest {
        let len = match first {
            b' ' | b'\t' | b'\r' | b'\n' => 1,
            b'-' if rest.starts_with(b"--") => {
                // Long comments and long strings are not read.
                if rest.starts_with(b"--[") {
                    return None;
                }
                memchr::memchr(b'\n', rest).unwrap_or(rest.len())
            }
            b'"' | b'\'' => {
                let inside = rest.get(1..)?;
                let len = memchr::memchr2(*first, b'\\', inside)?;
                let string = inside.get(..len)?;
                if inside.get(len) != Some(first) || string.contains(&b'\n') {
                    return None;
                }
                tokens.push(Token::Text(string));
                len + 2
            }
            b'[' if rest.starts_with(b"[[") || rest.starts_with(b"[=") => return None,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let len = length(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
                tokens.push(Token::Word(rest.get(..len)?));
                len
            }
            b'0'..=b'9' => {
                tokens.push(Token::Number);
                length(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'.')
            }
            _ => {
                let long = LONG_SIGNS.iter().find(|sign| rest.starts_with(sign));
                let len = long.map_or(1, |sign| sign.len());
                tokens.push(Token::Sign(rest.get(..len)?));
                len
            }
        };
        rest = rest.get(len..)?;
    }
    Some(tokens)
}

fn length(text: &[u8], inside: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| inside(**byte)).count()
}

/// How many brackets are open before each token.
fn depths(tokens: &[Token<'_>]) -> Vec<usize> {
    let mut depth = 0usize;
    let mut depths = Vec::with_capacity(tokens.len());
    for token in tokens {
        if let Token::Sign(b")" | b"]" | b"}") = token {
            depth = depth.saturating_sub(1);
        }
        depths.push(depth);
        if let Token::Sign(b"(" | b"[" | b"{") = token {
            depth += 1;
        }
    }
    depths
}

struct Text<'a> {
    tokens: &'a [Token<'a>],
    depths: Vec<usize>,
}

/// Words by which a name could come to mean something else.
const NOT_READ: [&[u8]; 6] = [b"function", b"_G", b"load", b"loadstring", b"goto", b"coroutine"];

/// Commands that use keys of another database than the session's.
const OTHER_DATABASES: [&str; 3] = ["select", "move", "copy"];

impl<'a> Text<'a> {
    fn word(&self, at: usize) -> Option<&'a [u8]> {
        match self.tokens.get(at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn is_sign(&self, at: usize, sign: &[u8]) -> bool {
        matches!(self.tokens.get(at), Some(Token::Sign(found)) if *found == sign)
    }

    fn is_declared(&self) -> Option<bool> {
        let names = self.aliases();
        for at in 0..self.tokens.len() {
            let Some(word) = self.word(at) else { continue };
            if NOT_READ.contains(&word) {
                return Some(false);
            }
            let field = at > 0 && self.is_sign(at - 1, b".");
            let fine = match word {
                b"KEYS" => !field && self.is_read(at),
                b"redis" => !field && self.uses_redis(at, &names)?,
                _ => true,
            };
            if !fine {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Is `KEYS` at this place only counted, or one of its elements only read?
    fn is_read(&self, at: usize) -> bool {
        if !self.is_sign(at + 1, b"[") {
            return at > 0 && self.is_sign(at - 1, b"#");
        }
        let element = matches!(self.tokens.get(at + 2), Some(Token::Number | Token::Word(_)));
        if !element || !self.is_sign(at + 3, b"]") {
            return false;
        }
        if self.depths.get(at).is_some_and(|depth| *depth > 0) {
            return true;
        }
        // Outside of brackets it could be what is assigned to.
        let value = at > 0 && (self.is_sign(at - 1, b"=") || self.word(at - 1) == Some(b"return"));
        value || !(self.is_sign(at + 4, b",") || self.is_sign(at + 4, b"="))
    }

    /// Names that are only ever an element of KEYS: `local a, b = KEYS[1], KEYS[2]`.
    fn aliases(&self) -> BTreeSet<&'a [u8]> {
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        for at in 0..self.tokens.len() {
            if self.word(at) == Some(b"local")
                && let Some(declared) = self.declaration(at + 1)
            {
                for place in declared {
                    places.insert(place);
                    names.extend(self.word(place));
                }
            }
        }
        for at in (0..self.tokens.len()).filter(|at| !places.contains(at)) {
            let Some(word) = self.word(at) else { continue };
            let before = at.checked_sub(1);
            let bound = before.is_some_and(|before| {
                matches!(self.word(before), Some(b"local" | b"for")) || self.is_sign(before, b",")
            });
            let assigned = self.is_sign(at + 1, b"=")
                || self.is_sign(at + 1, b",")
                || self.word(at + 1) == Some(b"in");
            let outside = self.depths.get(at) == Some(&0);
            if outside && (bound || assigned) {
                names.remove(word);
            }
        }
        names
    }

    /// The places of the names that are declared as elements of KEYS from here on.
    fn declaration(&self, mut at: usize) -> Option<Vec<usize>> {
        let mut places = Vec::new();
        loop {
            self.word(at)?;
            places.push(at);
            at += 2;
            if self.is_sign(at - 1, b"=") {
                break;
            }
            if !self.is_sign(at - 1, b",") {
                return None;
            }
        }
        for nth in 0..places.len() {
            let last = nth + 1 == places.len();
            if !self.is_element(at) || last == self.is_sign(at + 4, b",") {
                return None;
            }
            at += if last { 4 } else { 5 };
        }
        // The last one is the whole expression if a statement follows.
        let over = match self.tokens.get(at) {
            None => true,
            Some(Token::Word(word)) => !matches!(*word, b"and" | b"or"),
            Some(Token::Sign(sign)) => *sign == b";",
            Some(_) => false,
        };
        over.then_some(places)
    }

    fn is_element(&self, at: usize) -> bool {
        self.word(at) == Some(b"KEYS") && self.is_sign(at + 1, b"[") && self.is_sign(at + 3, b"]")
    }

    /// Does `redis` at this place lead to declared keys at most?
    fn uses_redis(&self, at: usize, names: &BTreeSet<&[u8]>) -> Option<bool> {
        if !self.is_sign(at + 1, b".") {
            return Some(false);
        }
        match self.word(at + 2)? {
            b"call" | b"pcall" => {}
            _ => return Some(true),
        }
        if !self.is_sign(at + 3, b"(") {
            return Some(false);
        }
        let arguments = self.arguments(at + 4)?;
        let texts = arguments.iter().map_while(|(from, to)| match self.tokens.get(*from) {
            Some(Token::Text(text)) if to - from == 1 => Some(*text),
            _ => None,
        });
        let mut named = OwnedArgs::default();
        texts.take(2).for_each(|text| named.push(text));
        if named.args().is_empty() {
            return Some(false);
        }
        let Ok(row) = table::locate(named.args()) else { return Some(false) };
        Some(self.keys_are_declared(row, &arguments, names))
    }

    /// The arguments of a call that begins here: from one token to before another.
    fn arguments(&self, from: usize) -> Option<Vec<(usize, usize)>> {
        let depth = self.depths.get(from.checked_sub(1)?)? + 1;
        let (mut arguments, mut begin, mut at) = (Vec::new(), from, from);
        loop {
            let token = self.tokens.get(at)?;
            let level = *self.depths.get(at)?;
            match token {
                Token::Sign(b")") if level + 1 == depth => {
                    arguments.push((begin, at));
                    return Some(arguments);
                }
                Token::Sign(b",") if level == depth => {
                    arguments.push((begin, at));
                    begin = at + 1;
                }
                _ => {}
            }
            at += 1;
        }
    }

    fn keys_are_declared(
        &self,
        row: &Command,
        arguments: &[(usize, usize)],
        names: &BTreeSet<&[u8]>,
    ) -> bool {
        let KeySpec::At { first, last, step } = row.keys else {
            return matches!((row.keys, row.run), (KeySpec::None, Run::Session(_)))
                && !OTHER_DATABASES.contains(&row.name);
        };
        if OTHER_DATABASES.contains(&row.name) || !matches!(row.run, Run::Keys(_)) {
            return false;
        }
        let (first, step) = (usize::from(first), usize::from(step.max(1)));
        let end = match usize::try_from(last) {
            Ok(last) => last + 1,
            // A value at the end may be several, and bring keys with it.
            Err(_) if last == -1 && !self.may_be_several(arguments.last()) => arguments.len(),
            Err(_) => return false,
        };
        end <= arguments.len()
            && first < end
            && (first..end)
                .step_by(step)
                .all(|nth| arguments.get(nth).is_some_and(|place| self.is_key(*place, names)))
    }

    fn may_be_several(&self, argument: Option<&(usize, usize)>) -> bool {
        let Some(end) = argument.and_then(|(_, to)| to.checked_sub(1)) else { return true };
        self.is_sign(end, b")")
            || self.is_sign(end, b"...")
            || self.is_sign(end, b"}")
            || matches!(self.tokens.get(end), Some(Token::Text(_)))
                && argument.is_some_and(|(from, to)| to - from > 1)
    }

    fn is_key(&self, (from, to): (usize, usize), names: &BTreeSet<&[u8]>) -> bool {
        match to - from {
            1 => self.word(from).is_some_and(|word| names.contains(word)),
            4 => self.is_element(from),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_name_their_keys() {
        for text in [
            "return 1",
            "return redis.call('get', KEYS[1])",
            "if redis.call(\"get\",KEYS[1]) == ARGV[1] then return redis.call(\"del\",KEYS[1]) else return 0 end",
            "local k = KEYS[1]\nlocal n = redis.call('incr', k)\nif n == 1 then redis.call('expire', k, ARGV[1]) end return n",
            "local a, b = KEYS[1], KEYS[2] redis.call('rename', a, b)",
            "for i = 1, #KEYS do redis.call('del', KEYS[i]) end",
            "redis.call('mset', KEYS[1], 'x', KEYS[2], ARGV[1])",
            "redis.call('hset', KEYS[1], unpack(ARGV))",
            "return redis.call('object', 'encoding', KEYS[1])",
            "redis.call('publish', ARGV[1], 'x') -- a comment\nreturn redis.sha1hex(KEYS[1])",
            "local t = redis.call('time') redis.call('zadd', KEYS[1], t[1], t[2])",
            "return {KEYS[1], redis.call('get', KEYS[2])}",
        ] {
            assert_eq!(reach(text.as_bytes()), Reach::Declared, "{text}");
        }
    }

    #[test]
    fn every_doubt_is_a_no() {
        for text in [
            "return redis.call('get', 'x')",
            "return redis.call('get', ARGV[1])",
            "return redis.call('get', KEYS[1] .. 'x')",
            "return redis.call(ARGV[1], KEYS[1])",
            "return redis.call('del', KEYS[1], 'x')",
            "return redis.call('del', unpack(KEYS))",
            "redis.call('mset', KEYS[1], unpack(ARGV))",
            "local k = KEYS[1] .. 'x' redis.call('get', k)",
            "local k = KEYS[1] or 'x' redis.call('get', k)",
            "local k = KEYS[1] k = 'x' redis.call('get', k)",
            "local k = KEYS[1] local k = 'x' redis.call('get', k)",
            "local k = KEYS[1] local a, k = 1, 'x' redis.call('get', k)",
            "local k = KEYS[1] k, a = 'x', 1 redis.call('get', k)",
            "local k = KEYS[1] a, k = 1, 'x' redis.call('get', k)",
            "local k = KEYS[1] for k in f do redis.call('get', k) end",
            "local k = KEYS[1] for k = 1, 2 do redis.call('get', k) end",
            "local k = KEYS[1] for a, k in f do redis.call('get', k) end",
            "local k = KEYS[1]('x') redis.call('get', k)",
            "local k = KEYS[1].x redis.call('get', k)",
            "local k = KEYS[1] 'x' redis.call('get', k)",
            "KEYS[1] = 'x' redis.call('get', KEYS[1])",
            "KEYS[1], a = 'x', 1 redis.call('get', KEYS[1])",
            "a, KEYS[1] = 1, 'x' redis.call('get', KEYS[1])",
            "local t = KEYS t[1] = 'x' redis.call('get', KEYS[1])",
            "table.insert(KEYS, 1, 'x') redis.call('get', KEYS[1])",
            "local redis = x redis.call('get', KEYS[1])",
            "local c = redis.call c('get', 'x')",
            "pcall(redis.call, 'get', 'x')",
            "local r = redis r.call('get', 'x')",
            "redis['call']('get', 'x')",
            "_G.redis.call('get', 'x')",
            "local function f(KEYS) redis.call('get', KEYS[1]) end f({'x'})",
            "loadstring('redis.call(\"get\", \"x\")')()",
            "redis.call('dbsize')",
            "redis.call('select', 1) redis.call('get', KEYS[1])",
            "redis.call('sort', KEYS[1], 'by', 'w_*')",
            "redis.call('zunionstore', KEYS[1], 1, 'x')",
            "redis.call('nope', KEYS[1])",
            "redis.call [[get]]",
            "redis.call 'get'",
            "--[[ ]] redis.call('get', 'x')",
            "return redis.call('get', 'x",
            "x.KEYS[1] = 1 redis.call('get', x.KEYS[1])",
        ] {
            assert_eq!(reach(text.as_bytes()), Reach::All, "{text}");
        }
    }
}
