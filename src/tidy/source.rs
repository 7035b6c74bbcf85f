//! One source file as the rules see it: comments and literals blanked, tests apart, functions.

/// A file, with its text in two forms that agree line by line.
#[derive(Debug)]
pub struct Source {
    /// From the repository's root: `src/base/glob.rs`.
    pub path: String,
    /// As it is.
    pub text: String,
    /// Comments are spaces, and so is what stands in quotes.
    pub code: String,
    /// The first line (from 0) of its tests; the number of lines where there are none.
    pub tests_from: usize,
}

/// Where a function is.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    /// Its line, from 0.
    pub line: usize,
    /// Lines from `fn` to its closing brace.
    pub lines: usize,
    /// What stands between the parentheses.
    pub parameters: String,
}

impl Source {
    /// Reads a file's text.
    pub fn new(path: &str, text: &str) -> Source {
        let code = blank(text);
        let only_tests = path.starts_with("src/tidy")
            || path.starts_with("src/tests/")
            || path.starts_with("benches/")
            || path.ends_with("/tests.rs")
            || path.contains("/tests/");
        let tests_from = if only_tests { 0 } else { tests_line(&code) };
        Source { path: path.to_owned(), text: text.to_owned(), code, tests_from }
    }

    /// The lines of code that are no tests, numbered from 0.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().take(self.tests_from)
    }

    /// The folder of `src` it is in, or its own name right under `src`.
    pub fn folder(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        Some(inside.split('/').next()?.trim_end_matches(".rs"))
    }

    /// Its functions with bodies, tests left out.
    pub fn functions(&self) -> Vec<Function> {
        let code: String = self.lines().map(|(_, line)| line.to_owned() + "\n").collect();
        let at_word = |at: usize| {
            let before = code[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
        };
        let starts = code.match_indices("fn ").map(|(at, _)| at).filter(|at| at_word(*at));
        starts.filter_map(|at| function(&code, at)).collect()
    }
}

/// The function whose `fn` is at `at`; nothing where it has no name (a type) or no body.
fn function(code: &str, at: usize) -> Option<Function> {
    let rest = &code[at..];
    let open = rest.find('(')?;
    if rest[3..open].trim().is_empty() {
        return None;
    }
    let mut depth = 0i32;
    let (mut parameters, mut body) = (0..0, None);
    for (i, c) in rest.char_indices().skip_while(|(i, _)| *i < open) {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => {
                depth -= 1;
                if depth == 0 && parameters.is_empty() {
                    parameters = open + 1..i;
                }
            }
            ';' if depth == 0 && body.is_none() => return None,
            '{' => {
                depth += 1;
                body = body.or(Some(depth));
            }
            '}' => {
                if body == Some(depth) {
                    let lines = rest[..i].matches('\n').count() + 1;
                    let line = code[..at].matches('\n').count();
                    let parameters = rest[parameters].to_owned();
                    return Some(Function { line, lines, parameters });
                }
                depth -= 1;
            }
            _ => {}
        }
    }
    None
}

/// The line of `#[cfg(test)]` before `mod tests`.
fn tests_line(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().map(str::trim).collect();
    let is_tests = |line: &&str| line.starts_with("mod tests");
    lines
        .windows(2)
        .position(|pair| pair[0] == "#[cfg(test)]" && is_tests(&pair[1]))
        .unwrap_or(lines.len())
}

/// The text with comments and the inside of literals replaced by spaces, line for line.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let here = &chars[at..];
        let ident = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
        let len = match here {
            ['/', '/', ..] => here.iter().position(|c| *c == '\n').unwrap_or(here.len()),
            ['/', '*', ..] => block_comment(here),
            ['"', ..] => quoted(here),
            ['r', '"' | '#', ..] if !ident || chars[at - 1] == 'b' => raw(here),
            ['\'', '\\', _, rest @ ..] => {
                3 + rest.iter().position(|c| *c == '\'').map_or(0, |end| end + 1)
            }
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if len == 0 {
            out.push(here[0]);
            at += 1;
            continue;
        }
        let end = (at + len).min(chars.len());
        out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// The length of a comment between `/*` and `*/`, which may hold others.
fn block_comment(here: &[char]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < here.len() {
        match &here[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    here.len()
}

/// The length of a string with its quotes.
fn quoted(here: &[char]) -> usize {
    let mut at = 1;
    while at < here.len() {
        match here[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    here.len()
}

/// The length of a raw string; 0 where it is none (`r#type`).
fn raw(here: &[char]) -> usize {
    let hashes = here[1..].iter().take_while(|c| **c == '#').count();
    if here.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &here[2 + hashes..];
    let found = body.windows(end.len()).position(|window| window == end.as_slice());
    found.map_or(here.len(), |at| 2 + hashes + at + end.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_comments_are_blank() {
        let text =
            "a /* b /* c */ d */ e // f\n\"g\\\"h\" i b'\\'' j '{' k::<'a> r#\"l\"m\"# n 'o'";
        let code = blank(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "e", "i", "b", "j", "k::<'a>", "n"]);
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn functions_are_found() {
        let text = "fn a(x: (u8, bool)) -> [u8; 3] {\n    if x {\n    }\n}\n\
                    trait T { fn b(&self); }\ntype F = fn (u8);\n\
                    impl X {\n    pub fn c() where u8: Copy { \"}\" }\n}\n";
        let functions = Source::new("src/a/b.rs", text).functions();
        let found: Vec<(usize, usize)> = functions.iter().map(|f| (f.line, f.lines)).collect();
        assert_eq!(found, [(0, 4), (7, 1)]);
        assert_eq!(functions[0].parameters, "x: (u8, bool)");
    }

    #[test]
    fn tests_are_apart() {
        let text = "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\n";
        let source = Source::new("src/a/b.rs", text);
        assert_eq!((source.tests_from, source.functions().len()), (2, 1));
        assert_eq!(Source::new("src/a/tests.rs", text).functions().len(), 0);
        assert_eq!(Source::new("src/a.rs", text).folder(), Some("a"));
        assert_eq!(Source::new("src/a/b/c.rs", text).folder(), Some("a"));
    }
}
