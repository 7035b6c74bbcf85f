//! Which keys can the functions of a library use? What `reach.rs` says of a script, of each
//! function whose text stands where it is registered.
//!
//! A library is read if it is nothing but calls of `redis.register_function`, each with a name, or
//! a table, and a function in place. Then a function knows no names but globals and its own, and
//! its first argument is what KEYS is for a script. Every doubt is a no, here as there: a local of
//! the library, since it may be a function; a function with `...`; a comment in brackets.

use crate::script::reach::{Reach, Token, reach_of, tokens};

/// What is known of a function: its name and its reach.
pub type Known = (Vec<u8>, Reach);

/// The functions of a library whose text can be read. Of all others nothing is known.
pub fn reaches(program: &[u8]) -> Vec<Known> {
    let Some(tokens) = tokens(program) else { return Vec::new() };
    let mut reader = Reader { tokens: &tokens, at: 0 };
    let mut known = Vec::new();
    while reader.at < tokens.len() {
        match reader.statement() {
            Some(found) => known.push(found),
            None => return Vec::new(),
        }
    }
    known
}

/// Reads tokens from the front. Whoever gets nothing gives up.
struct Reader<'t, 'a> {
    tokens: &'t [Token<'a>],
    at: usize,
}

impl<'t, 'a> Reader<'t, 'a> {
    fn next(&mut self) -> Option<&'t Token<'a>> {
        self.at += 1;
        self.tokens.get(self.at - 1)
    }

    /// Skips this sign if it is next.
    fn skip(&mut self, sign: &[u8]) -> Option<()> {
        matches!(self.tokens.get(self.at), Some(Token::Sign(found)) if *found == sign)
            .then(|| self.at += 1)
    }

    /// Skips this word, which has to be next.
    fn skip_word(&mut self, word: &[u8]) -> Option<()> {
        matches!(self.next()?, Token::Word(found) if *found == word).then_some(())
    }

    fn word(&mut self) -> Option<&'a [u8]> {
        match self.next()? {
            Token::Word(word) => Some(word),
            _ => None,
        }
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        match self.next()? {
            Token::Text(text) => Some(text),
            _ => None,
        }
    }

    /// `redis.register_function(...)` or `redis.register_function{...}`.
    fn statement(&mut self) -> Option<Known> {
        self.skip_word(b"redis")?;
        self.skip(b".")?;
        self.skip_word(b"register_function")?;
        let brackets = self.skip(b"(");
        let known = if self.skip(b"{").is_some() {
            self.named()?
        } else {
            brackets?;
            let name = self.text()?.to_vec();
            self.skip(b",")?;
            (name, self.function()?)
        };
        if brackets.is_some() {
            self.skip(b")")?;
        }
        let _ = self.skip(b";");
        Some(known)
    }

    /// The arguments by name, up to the closing bracket.
    fn named(&mut self) -> Option<Known> {
        let (mut name, mut reach) = (None, None);
        while self.skip(b"}").is_none() {
            let field = self.word()?.to_ascii_lowercase();
            self.skip(b"=")?;
            match field.as_slice() {
                b"function_name" if name.is_none() => name = Some(self.text()?.to_vec()),
                b"callback" if reach.is_none() => reach = Some(self.function()?),
                b"description" => _ = self.text()?,
                b"flags" => {
                    self.skip(b"{")?;
                    while self.skip(b"}").is_none() {
                        self.text()?;
                        let _ = self.skip(b",");
                    }
                }
                _ => return None,
            }
            let _ = self.skip(b",").or_else(|| self.skip(b";"));
        }
        Some((name?, reach?))
    }

    /// `function(keys, args) ... end`.
    fn function(&mut self) -> Option<Reach> {
        self.skip_word(b"function")?;
        self.skip(b"(")?;
        let mut names: Vec<&[u8]> = Vec::new();
        while self.skip(b")").is_none() {
            names.push(self.word()?);
            let _ = self.skip(b",");
        }
        let from = self.at;
        let mut open = 1;
        while open > 0 {
            match self.next()? {
                Token::Word(b"if" | b"do" | b"repeat" | b"function") => open += 1,
                Token::Word(b"end" | b"until") => open -= 1,
                _ => {}
            }
        }
        Some(body(self.tokens.get(from..self.at - 1)?, &names))
    }
}

/// The reach of a body whose first argument is the keys.
fn body(tokens: &[Token<'_>], names: &[&[u8]]) -> Reach {
    let keys = names.first().copied().unwrap_or(b"KEYS");
    let others = names.get(1..).unwrap_or_default();
    let taken = |name: &[u8]| name == b"redis" || name == b"KEYS" || name == keys;
    let misleading = tokens.contains(&Token::Word(b"KEYS")) && keys != b"KEYS";
    if names.is_empty() && tokens.contains(&Token::Word(b"KEYS")) {
        // A global that is not there.
        return Reach::All;
    }
    if misleading || keys == b"redis" || others.iter().any(|name| taken(name)) {
        return Reach::All;
    }
    let renamed: Vec<Token<'_>> = tokens
        .iter()
        .map(|token| match token {
            Token::Word(word) if *word == keys => Token::Word(b"KEYS"),
            token => token.clone(),
        })
        .collect();
    reach_of(&renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> String {
        let rows = reaches(text.as_bytes()).into_iter().map(|(name, reach)| {
            let name = String::from_utf8_lossy(&name).into_owned();
            if reach == Reach::Declared { name } else { format!("{name}?") }
        });
        rows.collect::<Vec<_>>().join(" ")
    }

    /// A function with this body.
    fn function(names: &str, body: &str) -> String {
        told(&format!("redis.register_function('f', function({names}) {body} end)"))
    }

    #[test]
    fn functions_that_name_their_keys() {
        for (names, body) in [
            ("", "return 1"),
            ("keys", "return redis.call('get', keys[1])"),
            ("KEYS, ARGV", "return redis.call('set', KEYS[1], ARGV[1])"),
            ("k, a", "local x = k[1] if a[1] then return redis.call('del', x) end"),
            ("k, a", "for i = 1, #k do if k[i] then redis.call('incr', k[i]) end end"),
            ("k", "repeat local n = redis.call('incr', k[1]) until n > 5"),
            ("k", "while redis.call('llen', k[1]) > 3 do redis.call('lpop', k[1]) end"),
        ] {
            assert_eq!(function(names, body), "f", "{names}: {body}");
        }
    }

    #[test]
    fn every_doubt_is_a_no() {
        for (names, body) in [
            ("keys", "return redis.call('get', 'x')"),
            ("keys", "return redis.call('get', KEYS[1])"),
            ("", "return redis.call('get', KEYS[1])"),
            ("a, keys", "return redis.call('get', keys[1])"),
            ("keys, keys", "return redis.call('get', keys[1])"),
            ("keys, redis", "return redis.call('get', keys[1])"),
            ("redis", "return redis.call('get', redis[1])"),
            ("keys", "keys[1] = 'x' return redis.call('get', keys[1])"),
            ("keys", "keys = {'x'} return redis.call('get', keys[1])"),
            ("keys", "local keys = {'x'} return redis.call('get', keys[1])"),
            ("keys", "local f = function() return redis.call('get', 'x') end return f()"),
            ("keys", "if keys[1] then local function f() end end return redis.call('get', 'x')"),
            ("keys, args", "return redis.call('get', args[1])"),
            ("keys", "local t = {keys = keys} return redis.call('get', t.keys[1])"),
            ("keys", "return pcall(redis.call, 'get', 'x')"),
            ("keys", "return loadstring('return 1')()"),
        ] {
            assert_eq!(function(names, body), "f?", "{names}: {body}");
        }
        for text in [
            "local f = 1",
            "local function g() end redis.register_function('f', function() end)",
            "redis.register_function('f', function() end) local x = 1",
            "redis.register_function('f', function(...) end)",
            "redis.register_function('f', g)",
            "redis.register_function(name, function() end)",
            "redis.register_function('f', function() end",
            "redis.register_function('f', function() if x then end)",
            "local r = redis r.register_function('f', function() end)",
            "redis.log(1, 'x') redis.register_function('f', function() end)",
            "redis.register_function{[1]=1}",
            "redis.register_function{callback=function() end}",
            "redis.register_function{function_name='f', callback=function() end, other=1}",
            "--[[ x ]] redis.register_function('f', function() end)",
        ] {
            assert_eq!(told(text), "", "{text}");
        }
    }

    #[test]
    fn each_function_of_a_library_is_told() {
        let text = "\n-- a comment
            redis.register_function('one', function(k) return redis.call('get', k[1]) end);
            redis.register_function{
                Function_name = 'two', callback = function(k, a) return redis.call('get', a[1]) end,
                description = 'words'; flags = {'no-writes', 'allow-oom'},
            }
            redis.register_function({function_name='three', callback=function() return 3 end})";
        assert_eq!(told(text), "one two? three");
    }
}
