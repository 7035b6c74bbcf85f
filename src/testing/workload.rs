//! Random requests over few keys, so that they meet.

use crate::base::prng::Prng;
use crate::testing::model::Words;

/// Keys that hold numbers.
const NUMBERS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
/// Keys that hold hashes.
const HASHES: [&str; 3] = ["h", "i", "j"];

/// A command from its words.
pub fn words(text: &str) -> Words {
    text.split(' ').map(|word| word.as_bytes().to_vec()).collect()
}

fn pick<'a>(prng: &mut Prng, from: &[&'a str]) -> &'a str {
    from[prng.below(from.len() as u64) as usize]
}

/// A random command. `now` is even; deadlines are odd.
pub fn command(prng: &mut Prng, now: u64) -> Words {
    let key = pick(prng, &NUMBERS);
    let hash = pick(prng, &HASHES);
    let field = prng.below(4);
    let value = prng.below(1000);
    let line = match prng.below(40) {
        0..8 => format!("SET {key} {value}"),
        8..17 => format!("INCR {key}"),
        17..20 => format!("GET {key}"),
        20..22 => format!("DEL {key}"),
        22..23 => format!("DEL {key} {hash}"),
        23..26 => format!("HSET {hash} f{field} {value}"),
        26..28 => format!("HDEL {hash} f{field}"),
        28..32 => {
            let other = pick(prng, &NUMBERS);
            format!("MSET {key} {value} {other} {}", value + 1)
        }
        32..34 => match pick(prng, &NUMBERS) {
            other if other != key => format!("RENAME {key} {other}"),
            _ => format!("INCR {key}"),
        },
        34..36 => format!("PEXPIREAT {key} {}", now + 1 + 2 * prng.below(60)),
        36..38 => format!("PERSIST {key}"),
        38 if prng.chance(1, 3) => "FLUSHALL".to_owned(),
        38 => {
            let long = "x".repeat(prng.below(1500) as usize);
            format!("HSET {hash} long {long}")
        }
        _ => format!("PEXPIREAT {hash} {}", now + 1 + 2 * prng.below(100)),
    };
    words(&line)
}

/// A random request: a database and one or several commands.
pub fn request(prng: &mut Prng, now: u64) -> (u16, Vec<Words>) {
    let db = u16::from(prng.chance(1, 8));
    let count = if prng.chance(1, 5) { 2 + prng.below(3) } else { 1 };
    (db, (0..count).map(|_| command(prng, now)).collect())
}
