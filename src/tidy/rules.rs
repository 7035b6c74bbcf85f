//! The rules that look at one file.

use crate::tidy::source::Source;

/// What is wrong: the rule's name, the line from 1, what to do.
pub type Found = (&'static str, usize, String);

/// Lines of a function.
const FUNCTION_MAX: usize = 70;
/// Lines of code of a file; blank lines, comments and tests are not counted.
const FILE_MAX: usize = 500;
/// Columns.
const WIDTH_MAX: usize = 100;
/// Lines of tests that a file may end with; more have a file of their own.
const TESTS_MAX: usize = 200;

/// What each folder may import besides itself, as `ARCHITECTURE.md` draws the layers.
const LAYERS: &[(&str, &[&str])] = &[
    ("lib", &[]),
    ("base", &["limits"]),
    ("limits", &[]),
    ("types", &["base", "limits"]),
    ("resp", &["base", "limits"]),
    ("config", &["base", "limits"]),
    ("observe", &["base", "limits"]),
    ("keyspace", &["types", "base", "limits"]),
    ("persist", &["types", "base", "limits"]),
    ("commands", &["keyspace", "types", "resp", "observe", "config", "base", "limits"]),
    ("shard", &["commands", "keyspace", "persist", "types", "resp", "observe", "base", "limits"]),
    ("router", &["commands", "resp", "observe", "base", "limits"]),
    ("script", &["commands", "resp", "observe", "base", "limits"]),
    ("server", BELOW_SERVER),
    ("testing", BELOW_SERVER),
    ("bin", &["server", "testing", "persist", "shard", "config", "base", "limits"]),
    ("tidy", &[]),
];

const BELOW_SERVER: &[&str] = &[
    "shard", "router", "script", "commands", "keyspace", "persist", "types", "resp", "config",
    "observe", "base", "limits",
];

/// What only the shell knows: everything else is a function of its arguments.
const SHELL: &[&str] = &["server", "testing", "bin"];

/// Words that only `SHELL` may use.
const SHELL_WORDS: &[&str] = &[
    "async fn",
    ".await",
    "std::net",
    "std::fs",
    "std::thread",
    "std::io",
    "std::process",
    "std::os",
    "Instant",
    "SystemTime",
    "socket2",
    "rustix",
    "libc",
    "signal_hook",
];

/// Words that nobody may use, and what to use instead.
const BANNED: &[(&str, &str)] = &[
    ("Manager", "a name that says what it owns"),
    ("Helper", "a name that says what it does"),
    ("helper", "a name that says what it does"),
    ("util", "a module named after what is in it"),
    ("utils", "a module named after what is in it"),
    ("anyhow", "an error type of its own"),
    ("Box<dyn Error", "an error type of its own"),
    ("Box<dyn std::error::Error", "an error type of its own"),
    ("static mut", "state that is passed in"),
    ("thread_local!", "state that is passed in"),
    ("todo!", "the code"),
    ("unimplemented!", "the code"),
    ("dbg!", "a test"),
];

/// Everything that is wrong with one file.
pub fn check(source: &Source) -> Vec<Found> {
    let rules: &[fn(&Source, &mut Vec<Found>)] = &[
        text,
        head,
        layers,
        shell,
        banned,
        sizes,
        parameters,
        globs,
        tests_last,
        contents_page,
        unsafe_code,
    ];
    let mut found = Vec::new();
    for rule in rules {
        rule(source, &mut found);
    }
    found
}

fn text(source: &Source, found: &mut Vec<Found>) {
    for (i, line) in source.text.lines().enumerate() {
        // A case of a test is one line, however long its text is.
        let row = i >= source.tests_from && line.contains('"');
        if line.chars().count() > WIDTH_MAX && !row {
            found.push(("width", i + 1, format!("at most {WIDTH_MAX} columns")));
        }
        if !line.is_ascii() {
            found.push(("ascii", i + 1, "ASCII only".to_owned()));
        }
    }
}

fn head(source: &Source, found: &mut Vec<Found>) {
    if !source.text.starts_with("//! ") {
        found.push(("head", 1, "begin with `//!` and what this file owns".to_owned()));
    }
    if source.text.starts_with("//! To be written") {
        found.push(("head", 1, "say what this file owns, or remove it".to_owned()));
    }
}

fn layers(source: &Source, found: &mut Vec<Found>) {
    let Some(folder) = source.folder() else { return };
    if source.tests_from == 0 {
        return;
    }
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == folder) else {
        return found.push(("layers", 1, format!("`{folder}` has no row in the table of layers")));
    };
    let mut told: Vec<String> = Vec::new();
    for (line, target) in imports(source) {
        let fine = target == folder || allowed.contains(&target.as_str());
        // Each folder once: it is the direction that counts.
        if !fine && !told.contains(&target) {
            told.push(target.clone());
            found.push(("layers", line, format!("{folder} may not import {target}")));
        }
    }
}

/// The folders that `crate::...` (in `bin`, `basalt::...`) names, with the line from 1.
fn imports(source: &Source) -> Vec<(usize, String)> {
    let code: String = source.lines().map(|(_, line)| line.to_owned() + "\n").collect();
    let mut all = Vec::new();
    let root = if source.folder() == Some("bin") { "basalt::" } else { "crate::" };
    for (at, _) in code.match_indices(root) {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + root.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            all.push((line, ident(rest)));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    let name = ident(group[start..i].trim_start());
                    if !name.is_empty() {
                        all.push((line, name));
                    }
                    start = i + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
    all
}

fn ident(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Does `word` stand in the line on its own?
pub fn has_word(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let (before, after) = (&line[..at], &line[at + word.len()..]);
        let open = word.starts_with(|c: char| !c.is_alphanumeric());
        let shut = word.ends_with(|c: char| !c.is_alphanumeric());
        (open || !inside(before.chars().next_back())) && (shut || !inside(after.chars().next()))
    })
}

fn shell(source: &Source, found: &mut Vec<Found>) {
    let Some(folder) = source.folder() else { return };
    for (i, line) in source.lines() {
        if has_word(line, "glommio") && folder != "server" {
            found.push(("shell", i + 1, "only server/ knows glommio".to_owned()));
        }
        if SHELL.contains(&folder) {
            continue;
        }
        for word in SHELL_WORDS.iter().filter(|word| has_word(line, word)) {
            found.push(("shell", i + 1, format!("`{word}` belongs into server/: pass it in")));
        }
    }
}

fn banned(source: &Source, found: &mut Vec<Found>) {
    for (i, line) in source.lines() {
        for (word, instead) in BANNED {
            let fine = source.folder() == Some("bin") && word.contains("Error");
            if has_word(line, word) && !fine {
                found.push(("banned", i + 1, format!("not `{word}`: {instead}")));
            }
        }
    }
}

fn sizes(source: &Source, found: &mut Vec<Found>) {
    for function in source.functions() {
        if function.lines > FUNCTION_MAX {
            let what = format!("a function of {} lines, at most {FUNCTION_MAX}", function.lines);
            found.push(("function", function.line + 1, what));
        }
    }
    let lines = source.lines().filter(|(_, line)| !line.trim().is_empty()).count();
    if lines > FILE_MAX {
        found.push(("file", 1, format!("{lines} lines of code, at most {FILE_MAX}")));
    }
    let tests = source.text.lines().count() - source.tests_from;
    if source.tests_from > 0 && tests > TESTS_MAX {
        let what = format!("{tests} lines of tests: give them a file of their own");
        found.push(("tests", source.tests_from + 1, what));
    }
}

fn parameters(source: &Source, found: &mut Vec<Found>) {
    for function in source.functions() {
        if function.parameters.contains(": bool") {
            let what = "no boolean parameter: an enum says what it means".to_owned();
            found.push(("boolean", function.line + 1, what));
        }
    }
}

fn globs(source: &Source, found: &mut Vec<Found>) {
    for (i, line) in source.code.lines().enumerate() {
        let line = line.trim();
        let tests = i >= source.tests_from && line == "use super::*;";
        if (line.starts_with("use ") || line.starts_with("pub use "))
            && line.contains('*')
            && !tests
        {
            found.push(("glob", i + 1, "name what is imported".to_owned()));
        }
    }
}

fn tests_last(source: &Source, found: &mut Vec<Found>) {
    let mut rest = source.code.lines().enumerate().skip(source.tests_from + 1);
    let Some((start, first)) = rest.next().filter(|_| source.tests_from > 0) else { return };
    let mut inside = first.trim().ends_with('{');
    for (i, line) in rest {
        if !inside && !line.trim().is_empty() {
            let what = format!("tests (line {}) come last", start + 1);
            return found.push(("order", i + 1, what));
        }
        inside &= line != "}";
    }
}

fn contents_page(source: &Source, found: &mut Vec<Found>) {
    if source.path.ends_with("/mod.rs") && source.tests_from > 0 {
        for function in source.functions() {
            let what = "mod.rs is a contents page: no fn".to_owned();
            found.push(("contents", function.line + 1, what));
        }
    }
}

fn unsafe_code(source: &Source, found: &mut Vec<Found>) {
    let reasoned = source.text.contains("expect(unsafe_code, reason = \"")
        || source.text.contains("expect(\n    unsafe_code,\n    reason = \"");
    for (i, line) in source.code.lines().enumerate() {
        if has_word(line, "unsafe") && !reasoned {
            let what = "unsafe needs #[expect(unsafe_code, reason = ...)]".to_owned();
            found.push(("unsafe", i + 1, what));
        }
        let silenced = line.contains("[allow(") && !source.text.contains("reason = \"");
        if silenced {
            let what = "#[expect(..., reason = ...)] instead of allow".to_owned();
            found.push(("unsafe", i + 1, what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules that a snippet breaks, in order, each once.
    fn broken(path: &str, text: &str) -> Vec<&'static str> {
        let mut rules: Vec<_> =
            check(&Source::new(path, text)).into_iter().map(|(rule, ..)| rule).collect();
        rules.dedup();
        rules
    }

    #[test]
    fn snippets_that_must_fail() {
        let long = format!("//! A.\nfn a() {{\n{}}}\n", "    b();\n".repeat(69));
        let large = "//! A.\n".to_owned() + &"const A: u8 = 0;\n".repeat(501);
        let wide = format!("//! A.\n// {}\n", "x".repeat(98));
        let tests = format!("//! A.\n#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(200));
        let rows: &[(&str, &str, &str)] = &[
            ("src/base/a.rs", "fn a() {}\n", "head"),
            ("src/base/a.rs", "//! To be written.\n", "head"),
            ("src/base/a.rs", "//! A.\n// \u{e9}\n", "ascii"),
            ("src/base/a.rs", &wide, "width"),
            ("src/base/a.rs", &long, "function"),
            ("src/base/a.rs", &large, "file"),
            ("src/base/a.rs", &tests, "tests"),
            ("src/base/a.rs", "//! A.\nuse crate::resp::args::Args;\n", "layers"),
            ("src/resp/a.rs", "//! A.\nfn a() { crate::types::b(); }\n", "layers"),
            ("src/shard/a.rs", "//! A.\nuse crate::{base::ids, router::{a, b}};\n", "layers"),
            (
                "src/router/a.rs",
                "//! A.\nuse crate::{\n    keyspace::a,\n    base,\n};\n",
                "layers",
            ),
            ("src/bin/a.rs", "//! A.\nuse basalt::commands::table;\n", "layers"),
            ("src/news/a.rs", "//! A.\n", "layers"),
            ("src/shard/a.rs", "//! A.\nuse glommio::Task;\n", "shell"),
            ("src/persist/a.rs", "//! A.\nuse std::fs::File;\n", "shell"),
            ("src/observe/a.rs", "//! A.\nfn a() { Instant::now(); }\n", "shell"),
            ("src/base/a.rs", "//! A.\nasync fn a() {}\n", "shell"),
            ("src/base/a.rs", "//! A.\nstruct Manager;\n", "banned"),
            ("src/server/a.rs", "//! A.\nfn a() -> Box<dyn Error> { todo!() }\n", "banned"),
            ("src/server/a.rs", "//! A.\nstatic mut A: u8 = 0;\n", "banned"),
            ("src/base/a.rs", "//! A.\nfn a(now: u8, force: bool) {}\n", "boolean"),
            ("src/base/a.rs", "//! A.\nuse std::fmt::*;\n", "glob"),
            ("src/base/a.rs", "//! A.\nuse super::*;\n", "glob"),
            ("src/base/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n}\nfn a() {}\n", "order"),
            ("src/base/a.rs", "//! A.\n#[cfg(test)]\nmod tests;\nfn a() {}\n", "order"),
            ("src/base/mod.rs", "//! A.\nfn a() {}\n", "contents"),
            ("src/base/a.rs", "//! A.\nfn a() { unsafe { b() } }\n", "unsafe"),
            ("src/base/a.rs", "//! A.\n#[allow(dead_code)]\nfn a() {}\n", "unsafe"),
        ];
        for (path, text, rule) in rows {
            assert_eq!(broken(path, text), [*rule], "{path}: {text:.200}");
        }
    }

    #[test]
    fn snippets_that_must_pass() {
        let rows: &[(&str, &str)] = &[
            ("src/base/a.rs", "//! A.\nuse crate::limits::B;\n// crate::resp, unsafe, todo!\n"),
            ("src/base/a.rs", "//! A.\nconst A: &str = \"Manager crate::server unsafe\";\n"),
            ("src/shard/a.rs", "//! A.\nuse crate::commands::call;\nuse crate::shard::b;\n"),
            ("src/server/a.rs", "//! A.\nuse crate::{shard::{a, b}, router};\nuse glommio::A;\n"),
            (
                "src/base/a.rs",
                "//! A.\n#[cfg(test)]\nmod tests {\n    use super::*;\n    use crate::resp::a;\n}\n",
            ),
            (
                "src/base/a/tests.rs",
                "//! A.\nuse super::*;\nuse std::fs::read;\nfn a(b: bool) {}\n",
            ),
            (
                "src/base/a.rs",
                "//! A.\n#![expect(unsafe_code, reason = \"b\")]\nfn a() { unsafe { b() } }\n",
            ),
            ("src/base/a.rs", "//! A.\nfn instant() -> Instantly { utility() }\n"),
        ];
        for (path, text) in rows {
            let found = check(&Source::new(path, text));
            let found: Vec<_> = found.iter().filter(|(rule, ..)| *rule != "width").collect();
            assert!(found.is_empty(), "{path}: {text} {found:?}");
        }
    }
}
