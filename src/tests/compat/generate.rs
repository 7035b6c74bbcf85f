//! Random command streams from a seed.

use basalt::base::prng::Prng;

use super::templates::FORMS;

/// One command as it will be sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its words.
    pub words: Vec<Vec<u8>>,
    /// Its bytes: an array of bulk strings, or a line.
    pub bytes: Vec<u8>,
}

/// Makes commands.
pub struct Generator {
    prng: Prng,
    proto: &'static str,
    total: u32,
    last_key: Vec<u8>,
    last_field: Vec<u8>,
}

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "10",
    "-7",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775806",
    "9223372036854775808",
    "abc",
    "",
    " 1",
    "1 ",
    "+1",
    "01",
    "-0",
    "1.5",
    "0x10",
    "1e3",
    "99999999999999999999",
    "2147483648",
    "-",
    "--1",
];

const FLOATS: &[&str] = &[
    "0",
    "1",
    "-1",
    "1.5",
    "-2.25",
    "0.1",
    "3.0e3",
    "1e17",
    "1e-10",
    "1e20",
    "123456789.123456789",
    "inf",
    "-inf",
    "+inf",
    "nan",
    "abc",
    "",
    " 1",
    "1 ",
    "1e400",
    "5e-324",
    "-0",
    "0.3",
    "1e-17",
    "10.50",
    "17179869184.5",
    "-1e-5",
    "0x1p3",
    "0xA",
    "1.",
    ".5",
    "1e",
    "3.14159265358979323846",
];

const SCORES: &[&str] = &[
    "0",
    "1",
    "2",
    "3",
    "-1",
    "1.5",
    "-0.25",
    "10",
    "100",
    "1e3",
    "inf",
    "-inf",
    // Not -0: over shards its sign is lost, a known defect.
    "nan",
    "abc",
    "",
    "4294967296",
    "0x10",
];

const LEAST: &[&str] = &[
    "0", "1", "(1", "2", "(2", "-1", "10", "(100", "-inf", "+inf", "(-inf", "inf", "abc", "((1", "",
];

const PATTERNS: &[&str] =
    &["*", "s*", "h*", "?[0-3]", "[^s]*", "s0", "", "[", "\\*", "*0*", "h[1-", "**", "{t}*", "S*"];

impl Generator {
    /// The stream of a seed, for a connection that speaks this protocol version.
    pub fn new(seed: u64, proto: &'static str) -> Generator {
        let total = FORMS.iter().map(|(weight, _)| weight).sum();
        let (last_key, last_field) = (b"s0".to_vec(), b"a".to_vec());
        Generator { prng: Prng::new(seed), proto, total, last_key, last_field }
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.prng.below(bound)
    }

    /// At least `count` commands; in one of three batches they are a transaction.
    pub fn batch(&mut self, count: usize) -> Vec<Sent> {
        let mut out = Vec::new();
        while out.len() < count {
            if self.prng.chance(1, 30) {
                let len = self.prng.below(6);
                out.push(self.sent(&[b"MULTI".to_vec()]));
                (0..len).for_each(|_| self.some(&mut out));
                let end = if self.prng.chance(1, 8) { "DISCARD" } else { "EXEC" };
                out.push(self.sent(&[end.into()]));
            } else {
                self.some(&mut out);
            }
        }
        out
    }

    fn some(&mut self, out: &mut Vec<Sent>) {
        let mut at = self.prng.below(u64::from(self.total)) as u32;
        let mut form = "PING";
        for &(weight, text) in FORMS {
            if at < weight {
                form = text;
                break;
            }
            at -= weight;
        }
        for part in form.split(";;") {
            let mut words = Vec::new();
            self.expand(part, &mut words);
            if words.is_empty() {
                continue;
            }
            if !form.contains(";;") {
                self.spoil(&mut words);
            }
            out.push(self.sent(&words));
        }
    }

    /// Sometimes another case, an argument too few or too many, or nonsense in one. Never a small
    /// positive number: it could become a deadline that passes at different times.
    fn spoil(&mut self, words: &mut Vec<Vec<u8>>) {
        if self.prng.chance(1, 4) {
            words[0] = words[0].to_ascii_lowercase();
        }
        // What 7.0 refuses for its number of arguments and 7.2 does not would end a transaction of
        // the one and not of the other, and all that follows would differ.
        let alone = ["EXEC", "DEBUG", "COMMAND", "ZRANK", "ZREVRANK"];
        let alone = alone.iter().any(|name| words[0].eq_ignore_ascii_case(name.as_bytes()));
        if alone || !self.prng.chance(1, 30) {
            return;
        }
        let junk = ["abc", "", "-1", "0", "1.5", "9223372036854775808", "NX", "GET"];
        let junk = junk[self.prng.below(junk.len() as u64) as usize].as_bytes().to_vec();
        match self.prng.below(3) {
            0 if words.len() > 1 => drop(words.pop()),
            1 if words.len() > 1 => {
                let at = 1 + self.prng.below(words.len() as u64 - 1) as usize;
                words[at] = junk;
            }
            _ => words.push(junk),
        }
    }

    fn sent(&mut self, words: &[Vec<u8>]) -> Sent {
        let plain = |word: &Vec<u8>| !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
        let quoted = |word: &Vec<u8>| plain(word) && !word.iter().any(|b| b"\"'\\".contains(b));
        // A line may not start like an array, and an empty line is no command.
        let can = words[0].first().is_some_and(u8::is_ascii_alphabetic);
        if can && self.prng.chance(1, 25) {
            let mut bytes = Vec::new();
            for (n, word) in words.iter().enumerate() {
                bytes.extend_from_slice(if n == 0 { b"" } else { b" " });
                match self.prng.below(3) {
                    0 if quoted(word) => bytes.extend_from_slice(word),
                    1 if !word.contains(&b'\'')
                        && !word.iter().any(|b| b"\\\n\r\0".contains(b)) =>
                    {
                        bytes.extend([b"'".as_slice(), word, b"'"].concat());
                    }
                    _ => bytes.extend(escaped(word)),
                }
            }
            bytes.extend_from_slice(if self.prng.chance(1, 2) { b"\r\n" } else { b"\n" });
            return Sent { words: words.to_vec(), bytes };
        }
        Sent { words: words.to_vec(), bytes: super::harness::client::encode(words) }
    }

    /// Appends the words of a form.
    fn expand(&mut self, form: &str, out: &mut Vec<Vec<u8>>) {
        let mut rest = form.trim_start();
        while let Some(first) = rest.chars().next() {
            match first {
                '[' => {
                    let (inner, after) = bracket(rest);
                    if self.prng.chance(1, 3) {
                        self.expand(inner, out);
                    }
                    rest = after;
                }
                '(' => {
                    let (inner, after) = bracket(rest);
                    for _ in 0..1 + self.prng.below(4) {
                        self.expand(inner, out);
                    }
                    rest = after.strip_prefix('+').expect("a repetition");
                }
                '<' => {
                    let (inner, after) = bracket(rest);
                    let choices = alternatives(inner);
                    let choice = choices[self.prng.below(choices.len() as u64) as usize];
                    self.expand(choice, out);
                    rest = after;
                }
                _ => {
                    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
                    let kind = word.strip_prefix('{').and_then(|w| w.strip_suffix('}'));
                    let word = kind.map_or_else(|| word.into(), |kind| self.word(kind));
                    out.push(word);
                    rest = after;
                }
            }
            rest = rest.trim_start();
        }
    }

    fn pick(&mut self, from: &[&str]) -> Vec<u8> {
        from[self.prng.below(from.len() as u64) as usize].as_bytes().to_vec()
    }

    fn word(&mut self, kind: &str) -> Vec<u8> {
        match kind {
            "ks" => self.key('s', 70),
            "kh" => self.key('h', 85),
            "kl" => self.key('l', 85),
            "kz" => self.key('z', 85),
            "kp" => self.key('p', 90),
            "ka" => self.key('s', 20),
            // Scores whose sums are exact, for Redis 7.0 prints 17 digits.
            "score" => self.pick(SCORES),
            "least" => self.pick(LEAST),
            "lon" => self.degrees(160),
            "lat" => self.degrees(80),
            "=" => self.last_key.clone(),
            "=h" => self.last_field.clone(),
            "h" => {
                self.last_field = if self.prng.chance(1, 8) {
                    self.value()
                } else {
                    format!("f{}", self.prng.below(12)).into_bytes()
                };
                self.last_field.clone()
            }
            "v" => self.value(),
            "long" => vec![b'l'; 60 + self.prng.below(10) as usize],
            "i" => self.integer(),
            "f" if self.prng.chance(1, 2) => self.pick(FLOATS),
            "f" => {
                let (whole, part) = (self.prng.below(2_000_000), self.prng.below(100_000));
                format!("{}.{part:05}", whole as i64 - 1_000_000).into_bytes()
            }
            "n" => self.pick(&["0", "1", "2", "3", "5", "abc", "-1"]),
            "count" => self.pick(&["0", "1", "2", "3", "-3", "-1", "100", "-20", "abc", "1.5"]),
            "bit" if self.prng.chance(1, 10) => {
                self.pick(&["-1", "4294967296", "abc", "", "1.5", "#1", "600000"])
            }
            "bit" => self.prng.below(500).to_string().into_bytes(),
            "many" => format!("element-{}", self.prng.below(30_000)).into_bytes(),
            "field" if self.prng.chance(1, 10) => self.pick(&["u64", "i65", "i0", "abc", "", "8"]),
            "field" => {
                let (sign, most) = if self.prng.chance(1, 2) { ('i', 64) } else { ('u', 63) };
                format!("{sign}{}", 1 + self.prng.below(most)).into_bytes()
            }
            "off" if self.prng.chance(1, 10) => self.pick(&["-1", "536870912", "abc", "", "1.5"]),
            "off" => self.prng.below(70).to_string().into_bytes(),
            "idx" if self.prng.chance(1, 8) => self.integer(),
            "idx" => (self.prng.below(24) as i64 - 12).to_string().into_bytes(),
            "sec" => self.deadline(1_000_000, 100_000, 1000),
            "ms" => self.deadline(1_000_000_000, 100_000, 1_000_000),
            "at" => self.deadline(4_102_444_800, 4, 1),
            "atms" => self.deadline(4_102_444_800_000, 4, 999),
            "db" => self.pick(&["0", "0", "1", "1", "2", "2", "0", "1", "16", "-1", "abc", "15"]),
            "pat" => self.pick(PATTERNS),
            "proto" => self.proto.into(),
            other => panic!("no words of kind {other}"),
        }
    }

    /// A coordinate that hardly comes twice, so that no two members are equally far.
    fn degrees(&mut self, most: u64) -> Vec<u8> {
        let whole = self.prng.below(2 * most) as i64 - most as i64;
        format!("{whole}.{:05}", self.prng.below(100_000)).into_bytes()
    }

    /// A deadline so far away that it does not pass, and so far from others that the order of two
    /// relative ones does not depend on when they were given.
    fn deadline(&mut self, base: u64, steps: u64, step: u64) -> Vec<u8> {
        if self.prng.chance(1, 25) {
            return self.pick(&[
                "0",
                "-1",
                "abc",
                "",
                "9223372036854775807",
                "-9223372036854775808",
            ]);
        }
        (base + self.prng.below(steps) * step).to_string().into_bytes()
    }

    fn integer(&mut self) -> Vec<u8> {
        if self.prng.chance(1, 2) {
            return self.pick(NUMBERS);
        }
        (self.prng.below(20_000) as i64 - 10_000).to_string().into_bytes()
    }

    /// A key that mostly holds the type of this letter.
    fn key(&mut self, kind: char, percent: u64) -> Vec<u8> {
        self.last_key = match self.prng.below(40) {
            0 => self.pick(&["", "a key", "\r\n", "{t}1", "{t}2", "{t", "k\0k"]),
            1 => vec![b'K'; 300],
            _ => {
                let any = ['s', 'h', 'l', 'z'][self.prng.below(4) as usize];
                let kind = if self.prng.chance(percent, 100) { kind } else { any };
                format!("{kind}{}", self.prng.below(7)).into_bytes()
            }
        };
        self.last_key.clone()
    }

    fn value(&mut self) -> Vec<u8> {
        match self.prng.below(16) {
            0 => Vec::new(),
            1..=4 => self.integer(),
            5..=6 => self.pick(FLOATS),
            // Around the lengths where encodings change: 44 and 64.
            7..=8 => vec![b'x'; 40 + self.prng.below(8) as usize],
            9 => vec![b'y'; 60 + self.prng.below(8) as usize],
            10 => (0..self.prng.below(30)).map(|_| self.prng.next() as u8).collect(),
            11 => vec![b'z'; 200 + self.prng.below(500) as usize],
            _ => {
                let len = 1 + self.prng.below(12);
                (0..len).map(|_| b'a' + self.prng.below(6) as u8).collect()
            }
        }
    }
}

/// A word of an inline command in double quotes.
fn escaped(word: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &byte in word {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            _ => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
    out
}

/// What is inside the bracket that `text` starts with, and what follows it.
fn bracket(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'(' | b'<' => depth += 1,
            b']' | b')' | b'>' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return (&text[1..at], &text[at + 1..]);
        }
    }
    panic!("an open bracket in {text}");
}

/// The parts of `text` between bars that are in no bracket.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'(' | b'<' => depth += 1,
            b']' | b')' | b'>' => depth -= 1,
            b'|' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
