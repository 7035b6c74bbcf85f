//! Scripts: one command a line, its reply, and after `|` what is logged (`-`: nothing).
//!
//! `=>` holds for a real server too, and is tried on one; `~>` only here: it depends on the clock,
//! or Redis 7.0 differs from 7.4. `@new` starts afresh at 2100-01-01, `@3` speaks RESP3,
//! `@wait n` lets n milliseconds pass, and from there on nothing is tried on a real server.

use crate::base::time::Millis;
use crate::commands::tests::bench::Bench;
use crate::commands::tests::peer::Peer;
use crate::commands::tests::wire::Value;
use crate::resp::args::OwnedArgs;
use crate::resp::reply::Proto;

const SCRIPTS: &[(&str, &str)] = &[
    ("strings", include_str!("scripts/strings.txt")),
    ("bitmaps", include_str!("scripts/bitmaps.txt")),
    ("hyperloglogs", include_str!("scripts/hyperloglogs.txt")),
    ("keys", include_str!("scripts/keys.txt")),
    ("dump", include_str!("scripts/dump.txt")),
    ("hashes", include_str!("scripts/hashes.txt")),
    ("fields with deadlines", include_str!("scripts/hash_expire.txt")),
    ("lists", include_str!("scripts/lists.txt")),
    ("sorted sets", include_str!("scripts/zsets.txt")),
    ("geo", include_str!("scripts/geo.txt")),
    ("sets", include_str!("scripts/sets.txt")),
    ("streams", include_str!("scripts/streams.txt")),
    ("stream groups", include_str!("scripts/stream_groups.txt")),
    ("sort", include_str!("scripts/sort.txt")),
    ("functions", include_str!("scripts/functions.txt")),
];

/// One line that is a command.
struct Line<'a> {
    text: &'a str,
    words: Vec<Vec<u8>>,
    reply: &'a str,
    effect: Option<&'a str>,
    everywhere: bool,
}

impl Line<'_> {
    fn read(text: &str) -> Line<'_> {
        let (command, rest, everywhere) = match text.split_once(" => ") {
            Some((command, rest)) => (command, rest, true),
            None => {
                let (command, rest) = text.split_once(" ~> ").unwrap_or_else(|| panic!("{text}"));
                (command, rest, false)
            }
        };
        let (reply, effect) = match rest.split_once(" | ") {
            Some((reply, effect)) => (reply.trim(), Some(effect.trim())),
            None => (rest.trim(), None),
        };
        Line { text, words: words(command), reply, effect, everywhere }
    }
}

/// Words separated by blanks; one in quotes may hold blanks, `\xhh`, `\0`, `\n`, and be empty.
fn words(text: &str) -> Vec<Vec<u8>> {
    let (mut words, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let (word, after) = quoted.split_once('"').expect("a closing quote");
            words.push(unescape(word));
            rest = after.trim_start();
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            words.push(rest.as_bytes()[..end].to_vec());
            rest = rest[end..].trim_start();
        }
    }
    words
}

fn unescape(word: &str) -> Vec<u8> {
    let (mut out, mut bytes) = (Vec::new(), word.bytes());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next().unwrap() {
                b'0' => 0,
                b'n' => b'\n',
                b'x' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            other => other,
        });
    }
    out
}

fn logged(bench: &Bench, from: usize) -> String {
    let lines: Vec<String> = bench.log[from..]
        .iter()
        .map(|(_, args)| {
            let words: Vec<String> = args
                .args()
                .iter()
                .map(|w| if w.is_empty() { "\"\"".into() } else { w.escape_ascii().to_string() })
                .collect();
            words.join(" ")
        })
        .collect();
    if lines.is_empty() { "-".into() } else { lines.join(", ") }
}

fn fresh() -> Bench {
    let mut bench = Bench::new(1);
    bench.now = Millis(4_102_444_800_000);
    bench
}

fn lines(script: &str) -> impl Iterator<Item = (usize, &str)> {
    script
        .lines()
        .enumerate()
        .map(|(at, line)| (at + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

#[test]
fn scripts_hold_here() {
    let mut wrong = Vec::new();
    for (name, script) in SCRIPTS {
        let mut bench = fresh();
        for (at, text) in lines(script) {
            match text.split_once(' ').unwrap_or((text, "")) {
                ("@new", _) => bench = fresh(),
                ("@3", _) => bench.session.proto = Proto::Three,
                ("@wait", millis) => bench.now.0 += millis.parse::<u64>().unwrap(),
                _ => {
                    let line = Line::read(text);
                    let before = bench.log.len();
                    let reply = bench.run(owned(&line.words).args());
                    let reply = Value::only(&reply).to_string();
                    if reply != line.reply {
                        wrong.push(format!("{name}:{at}: {}\n   got {reply}", line.text));
                    }
                    let effect = logged(&bench, before);
                    if line.effect.is_some_and(|expected| expected != effect) {
                        wrong.push(format!("{name}:{at}: {}\n   logged {effect}", line.text));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn scripts_hold_for_a_real_server() {
    let Some(mut peer) = Peer::start() else { return };
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (name, script) in SCRIPTS {
        restart(&mut peer);
        let mut on = true;
        for (at, text) in lines(script) {
            match text.split_once(' ').unwrap_or((text, "")) {
                ("@new", _) => {
                    on = true;
                    restart(&mut peer);
                }
                ("@3", _) => {
                    peer.run(&words("HELLO 3"));
                }
                ("@wait", _) => on = false,
                _ => {
                    let line = Line::read(text);
                    if !on || !line.everywhere {
                        continue;
                    }
                    tried += 1;
                    let reply = peer.run(&line.words).to_string();
                    if reply != line.reply {
                        wrong.push(format!("{name}:{at}: {}\n   got {reply}", line.text));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(tried > 300, "only {tried} lines were tried");
}

fn restart(peer: &mut Peer) {
    for command in ["FLUSHALL", "SELECT 0", "HELLO 2"] {
        peer.run(&words(command));
    }
}

fn owned(words: &[Vec<u8>]) -> OwnedArgs {
    let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
    OwnedArgs::of(&words)
}
