//! What is asked: the commands of a load, their shares, and one request as bytes.

use basalt::base::prng::Prng;

use crate::keys::Keys;
use crate::recorder::Class;

/// One argument of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// As it stands.
    Fixed(&'static str),
    /// A string's key, from the population of `--keys`.
    Key(&'static str),
    /// A collection's key, from the population of `--collections`.
    Collection(&'static str),
    /// A field or member of a collection, from the population of `--members`.
    Member(&'static str),
    /// The same in ten bytes, which are no number.
    Short,
    /// The same as a number of ten digits.
    Integer,
    /// `--value-bytes` of hex.
    Value,
    /// A score.
    Score,
}

use Word::{Collection, Fixed, Integer, Key, Member, Score, Short, Value};

/// Commands that change nothing.
const READS: &[&str] = &["ping", "get", "hget", "sismember", "zscore"];

/// Every command that a mix may name.
const COMMANDS: &[(&str, &[Word])] = &[
    ("ping", &[Fixed("PING")]),
    ("get", &[Fixed("GET"), Key("key:")]),
    ("set", &[Fixed("SET"), Key("key:"), Value]),
    ("del", &[Fixed("DEL"), Key("key:")]),
    ("incr", &[Fixed("INCR"), Key("cnt:")]),
    ("hget", &[Fixed("HGET"), Collection("hsh:"), Member("field:")]),
    ("hset", &[Fixed("HSET"), Collection("hsh:"), Member("field:"), Value]),
    ("sadd", &[Fixed("SADD"), Collection("set:"), Member("member:")]),
    ("sismember", &[Fixed("SISMEMBER"), Collection("set:"), Member("member:")]),
    ("zadd", &[Fixed("ZADD"), Collection("zst:"), Score, Member("member:")]),
    ("zscore", &[Fixed("ZSCORE"), Collection("zst:"), Member("member:")]),
    ("lpush", &[Fixed("LPUSH"), Collection("lst:"), Value]),
    ("rpush", &[Fixed("RPUSH"), Collection("lst:"), Value]),
    ("lpop", &[Fixed("LPOP"), Collection("lst:")]),
    ("rpop", &[Fixed("RPOP"), Collection("lst:")]),
    ("rpush-short", &[Fixed("RPUSH"), Collection("lst:"), Short]),
    ("sadd-short", &[Fixed("SADD"), Collection("set:"), Short]),
    ("sadd-integer", &[Fixed("SADD"), Collection("set:"), Integer]),
    ("hset-short", &[Fixed("HSET"), Collection("hsh:"), Short, Value]),
    ("zadd-short", &[Fixed("ZADD"), Collection("zst:"), Score, Short]),
];

/// The commands of a load with their shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Rows of `COMMANDS`, each with the sum of the shares up to and with it.
    rows: Vec<(usize, u64)>,
}

impl Mix {
    /// Reads `set=50,get=50`; a command without a share has the share 1.
    pub fn parse(text: &str) -> Result<Mix, String> {
        let mut rows = Vec::new();
        let mut sum = 0;
        for part in text.split(',') {
            let (name, share) = part.trim().split_once('=').unwrap_or((part.trim(), "1"));
            let at = COMMANDS.iter().position(|(row, _)| row.eq_ignore_ascii_case(name));
            let at = at.ok_or_else(|| {
                let names: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
                format!("no command {name:?} in a mix; there are {}", names.join(", "))
            })?;
            let share: u64 = match share.parse() {
                Ok(share) if (1..=1_000_000).contains(&share) => share,
                _ => return Err(format!("{part}: a share is a number from 1 to 1000000")),
            };
            sum += share;
            rows.push((at, sum));
        }
        Ok(Mix { rows })
    }

    /// What has to be there before it is asked for: `set` for string keys, and for each kind of
    /// collection the command that makes its members.
    pub fn fills(&self) -> Vec<(&'static str, Fill)> {
        let has = |word: Word| {
            self.rows
                .iter()
                .any(|(at, _)| COMMANDS.get(*at).is_some_and(|row| row.1.contains(&word)))
        };
        let mut fills = Vec::new();
        if has(Key("key:")) {
            fills.push(("set", Fill::Keys));
        }
        for (prefix, command) in [("hsh:", "hset"), ("set:", "sadd"), ("zst:", "zadd")] {
            if has(Collection(prefix)) {
                fills.push((command, Fill::Members));
            }
        }
        fills
    }

    fn pick(&self, prng: &mut Prng) -> (&'static [Word], Class) {
        let sum = self.rows.last().map_or(1, |(_, sum)| *sum);
        let dice = if self.rows.len() > 1 { prng.below(sum) } else { 0 };
        let row = self.rows.iter().find(|(_, upto)| dice < *upto).map_or(0, |(at, _)| *at);
        let (name, words) = COMMANDS[row];
        (words, if READS.contains(&name) { Class::Read } else { Class::Write })
    }
}

/// What a fill goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Every string key once.
    Keys,
    /// Every member of every collection once.
    Members,
}

/// The populations that arguments come from.
#[derive(Clone, Debug)]
pub struct Population {
    /// Which string key comes next.
    pub keys: Keys,
    /// Which collection comes next.
    pub collections: Keys,
    /// Which member of it comes next.
    pub members: Keys,
    /// The bytes of a value.
    pub value_bytes: usize,
}

/// Makes requests.
#[derive(Clone, Debug)]
pub struct Requests {
    mix: Mix,
    population: Population,
    prng: Prng,
    /// Random hex that values are windows of: making each anew would cost the generator more than
    /// sending it does.
    hex: Vec<u8>,
}

/// Far more than any block that a snapshot compresses at once, so that few windows of one block
/// repeat each other: hex then compresses to about a half, not below.
const HEX_BYTES: usize = 1 << 22;

impl Requests {
    /// A source of requests; the same seed makes the same ones.
    pub fn new(mix: Mix, population: Population, seed: u64) -> Requests {
        let mut prng = Prng::new(seed);
        let mut hex = Vec::new();
        let bytes = HEX_BYTES + population.value_bytes;
        while hex.len() < bytes {
            hex.extend_from_slice(format!("{:016x}", prng.next()).as_bytes());
        }
        Requests { mix, population, prng, hex }
    }

    /// Appends the next request.
    pub fn push(&mut self, out: &mut Vec<u8>) -> Class {
        let (words, class) = self.mix.pick(&mut self.prng);
        push_head(out, words.len() as u64);
        for word in words {
            match *word {
                Fixed(text) => push_bulk(out, text.as_bytes()),
                Key(prefix) => push_name(out, prefix, self.population.keys.next(&mut self.prng)),
                Collection(prefix) => {
                    push_name(out, prefix, self.population.collections.next(&mut self.prng));
                }
                Member(prefix) => {
                    push_name(out, prefix, self.population.members.next(&mut self.prng));
                }
                Short => push_digits::<9>(out, "e", self.population.members.next(&mut self.prng)),
                Integer => {
                    push_digits::<9>(out, "1", self.population.members.next(&mut self.prng));
                }
                Value => {
                    let at = self.prng.below(HEX_BYTES as u64) as usize;
                    let value = self.hex.get(at..at + self.population.value_bytes);
                    push_bulk(out, value.unwrap_or_default());
                }
                Score => {
                    let mut digits = itoa::Buffer::new();
                    push_bulk(out, digits.format(self.prng.below(1_000_000_000)).as_bytes());
                }
            }
        }
        class
    }
}

/// The head of a command of so many words.
pub fn push_head(out: &mut Vec<u8>, words: u64) {
    out.push(b'*');
    push_number(out, words);
    out.extend_from_slice(b"\r\n");
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// One word of a command.
pub fn push_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'$');
    push_number(out, bytes.len() as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// A prefix and twelve digits: with a prefix of four bytes, sixteen bytes.
pub fn push_name(out: &mut Vec<u8>, prefix: &str, number: u64) {
    push_digits::<12>(out, prefix, number);
}

/// A prefix and the last so many digits.
fn push_digits<const DIGITS: usize>(out: &mut Vec<u8>, prefix: &str, number: u64) {
    let mut digits = [b'0'; DIGITS];
    let mut rest = number;
    for place in digits.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.push(b'$');
    push_number(out, (prefix.len() + digits.len()) as u64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(prefix.as_bytes());
    out.extend_from_slice(&digits);
    out.extend_from_slice(b"\r\n");
}

/// One command as bytes, for control connections.
pub fn encode(words: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    push_head(&mut out, words.len() as u64);
    for word in words {
        push_bulk(&mut out, word.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(mix: &str) -> Requests {
        let population = Population {
            keys: Keys::sequential(10),
            collections: Keys::sequential(1),
            members: Keys::sequential(3),
            value_bytes: 5,
        };
        Requests::new(Mix::parse(mix).expect("a mix"), population, 1)
    }

    #[test]
    fn a_mix_is_read_or_refused() {
        assert_eq!(Mix::parse("SET=3, get").expect("fine").rows, [(2, 3), (1, 4)]);
        let fills = |text| Mix::parse(text).expect("fine").fills();
        assert_eq!(fills("get,hget"), [("set", Fill::Keys), ("hset", Fill::Members)]);
        assert_eq!(fills("incr,lpush"), []);
        for bad in ["", "nope", "set=0", "set=x", "set=1,,get=1"] {
            assert!(Mix::parse(bad).is_err(), "{bad:?}");
        }
        assert!(Mix::parse("nope").expect_err("no such command").contains("zadd"));
    }

    #[test]
    fn shares_are_kept() {
        let mix = Mix::parse("set=1,get=3").expect("a mix");
        let mut prng = Prng::new(7);
        let gets = (0..10_000).filter(|_| mix.pick(&mut prng).0[0] == Fixed("GET")).count();
        assert!((7_300..7_700).contains(&gets), "{gets}");
    }

    #[test]
    fn requests_are_resp() {
        let mut out = Vec::new();
        let mut set = requests("set");
        set.push(&mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000000\r\n$5\r\n"), "{text}");
        assert_eq!(text.len(), "*3\r\n$3\r\nSET\r\n$16\r\n\r\n$5\r\n\r\n".len() + 16 + 5);
        let mut out = Vec::new();
        set.push(&mut out);
        assert!(String::from_utf8_lossy(&out).contains("key:000000000001"));
        assert_eq!(encode(&["PING"]), b"*1\r\n$4\r\nPING\r\n");
        for (command, words) in [
            ("sadd-short", "*3\r\n$4\r\nSADD\r\n$16\r\nset:000000000000\r\n$10\r\ne000000000\r\n"),
            (
                "sadd-integer",
                "*3\r\n$4\r\nSADD\r\n$16\r\nset:000000000000\r\n$10\r\n1000000000\r\n",
            ),
        ] {
            let mut out = Vec::new();
            requests(command).push(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), words);
        }
    }
}
