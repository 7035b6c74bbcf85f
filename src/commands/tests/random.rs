//! Random commands, grown from templates.

use crate::base::prng::Prng;

/// What a template is made of, separated by blanks: a word; `(a|b)` one of them; `?x` perhaps;
/// `+x` once to three times; and small letters that stand for arguments: `k` a key, `h` a field,
/// `m` a member, `v` a value, `i` an integer, `f` a number, `s` a distance in time, `sss` a
/// longer one, `e` one that is refused or past, `a` a point in time in seconds, `A` the same in
/// milliseconds, `b` and `B` those ahead only, `g` a pattern, `d` a database, `n` an entry's id,
/// `N` one above all before, `c` a consumer or group. `A` the same in milliseconds, `b` and `B`
/// those ahead only, `g` a pattern, `d` a database, `w` a score, `r` and `l` ends of ranges of
/// scores and members, `x` `y` `z` longitude, latitude and distance, `o` the number of
/// a bit, `E` one of many elements.
pub const STRINGS: &[&str] = &[
    "GET k",
    "SET k v",
    "SET k v ?(NX|XX) ?GET ?(KEEPTTL|EX s|PX sss|EXAT b|PXAT B)",
    "SET k v ?(EX e|PX e|KEEPTTL|GET|NX|XX|PERSIST) ?(EX e|PXAT e|XX|v)",
    "SETNX k v",
    "SETEX k (s|e) v",
    "PSETEX k (sss|e) v",
    "GETSET k v",
    "GETDEL k",
    "GETEX k ?(PERSIST|EX s|PX sss|EXAT a|PXAT A|EX e|v) ?PERSIST",
    "MGET +k",
    "MSET +(k v) ?k",
    "MSETNX +(k v) ?k",
    "INCR k",
    "DECR k",
    "INCRBY k i",
    "DECRBY k i",
    "INCRBYFLOAT k f",
    "APPEND k v",
    "STRLEN k",
    "GETRANGE k i i",
    "SUBSTR k i i",
    "SETRANGE k i v",
    "LCS k k ?(LEN|IDX) ?(MINMATCHLEN i) ?WITHMATCHLEN ?v",
];

pub const KEYS: &[&str] = &[
    "DEL +k",
    "UNLINK +k",
    "EXISTS +k",
    "TOUCH +k",
    "TYPE k",
    "RENAME k k",
    "RENAMENX k k",
    "COPY k k ?(DB d) ?REPLACE ?v",
    "MOVE k d",
    "DBSIZE",
    "SWAPDB d d",
    "KEYS g",
    "SCAN 0 COUNT 1000 ?(MATCH g) ?(TYPE (string|hash|set|list|v))",
    "(SCAN|HSCAN k) (0|5|x|9e99) ?(COUNT|MATCH|TYPE|v) ?(COUNT i)",
    "EXPIRE k (s|e) ?(NX|XX|GT|LT)",
    "PEXPIRE k (sss|e)",
    "(EXPIREAT|PEXPIREAT) k (a|A|i) ?(NX|XX|GT|LT) ?(NX|XX|GT|LT|v)",
    "(EXPIREAT|PEXPIREAT) k (a|A)",
    "(TTL|PTTL|EXPIRETIME|PEXPIRETIME) k",
    "PERSIST k",
    "OBJECT (ENCODING|FREQ|REFCOUNT) k",
    "MEMORY USAGE k ?(SAMPLES i) ?v",
    "DEBUG DIGEST-VALUE +k",
];

pub const HASHES: &[&str] = &[
    "HSET k +(h v) ?h",
    "HMSET k +(h v) ?h",
    "HSETNX k h v",
    "HGET k h",
    "HMGET k +h",
    "HDEL k +h",
    "HEXISTS k h",
    "HLEN k",
    "HSTRLEN k h",
    "HGETALL k",
    "HKEYS k",
    "HVALS k",
    "HINCRBY k h i",
    "HINCRBYFLOAT k h f",
    "HSCAN k 0 COUNT 1000 ?(MATCH g)",
    "HRANDFIELD k ?i ?WITHVALUES ?v",
];

pub const LISTS: &[&str] = &[
    "(LPUSH|RPUSH) k +v",
    "(LPUSH|RPUSH) k +v",
    "(LPUSHX|RPUSHX) k +v",
    "(LPOP|RPOP) k ?i ?v",
    "LLEN k",
    "LINDEX k i",
    "LSET k i v",
    "LRANGE k i i",
    "LTRIM k i i",
    "LREM k i v",
    "LINSERT k (BEFORE|AFTER|v) v v",
    "LPOS k v ?(RANK i) ?(COUNT i) ?(MAXLEN i) ?v",
    "LMOVE k k (LEFT|RIGHT) (LEFT|RIGHT|v)",
    "RPOPLPUSH k k",
    "LMPOP (1|2|i) k ?k (LEFT|RIGHT|v) ?(COUNT i)",
];

pub const BITS: &[&str] = &[
    "SETBIT k o (0|1|1|i)",
    "GETBIT k (o|i)",
    "BITCOUNT k ?(i i ?(BIT|BYTE|v)) ?v",
    "BITPOS k (0|1|i) ?(i ?(i ?(BIT|BYTE|v)))",
    "BITOP (AND|OR|XOR|NOT|v) k +k",
    "BITFIELD k (GET|GET) (u8|i5|u63|i64|u1|i1|u64|v) (o|#3)",
    "BITFIELD k +(?(OVERFLOW (SAT|FAIL|WRAP|v)) (SET|INCRBY) (u8|i5|u63|i64|u1|i17) (o|#3) i)",
    "BITFIELD_RO k +(GET (u8|i5|u63|i64|u1|i17) (o|#2)) ?v",
];

/// What is added comes from few elements and from many, so that some are dense.
pub const SKETCHES: &[&str] = &[
    "PFADD (p1|p2|p3) +m ?m",
    "PFADD (p1|p2|p3) h h h h h h h h",
    "PFADD (p1|p2|p3|p4) +(E E E E E E E E E E)",
    "PFADD k ?h",
    "PFCOUNT (p1|p2|p3|p4|k)",
    "PFCOUNT (p1|p2|k) +(p1|p2|p3|p4)",
    "PFMERGE (p1|p2|p5) ?(p3|p4|k) ?p4",
    "PFDEBUG (ENCODING|DECODE|v) (p1|p2|p3|k)",
    "PFDEBUG (GETREG|TODENSE) (p2|p5)",
    "GET (p1|p2|p3|p4|p5)",
    "(DEL|OBJECT ENCODING|STRLEN) (p1|p2|p3|p5)",
    "COPY (p1|p2|p3) p4 REPLACE",
];

pub const SETS: &[&str] = &[
    "SADD k +m",
    "SADD k m m m m m m m m",
    "SREM k +m",
    "SCARD k",
    "SISMEMBER k m",
    "SMISMEMBER k +m",
    "SMEMBERS k",
    "SMOVE k k m",
    "SPOP k (0|1000|-1|x|9223372036854775807) ?v",
    "SRANDMEMBER k ?i ?v",
    "SSCAN k 0 COUNT 1000 ?(MATCH g)",
    "(SINTER|SUNION|SDIFF) +k",
    "(SINTERSTORE|SUNIONSTORE|SDIFFSTORE) k +k",
    "SINTERCARD (1|2|3|i) +k ?(LIMIT i) ?v",
    "SORT k ?ALPHA ?DESC ?(LIMIT i i) ?(STORE k) ?v",
    "(SORT|SORT_RO) k BY (key:*|h*->f) ?DESC ?(GET #) ?(GET (key:*|*->f|h*->g|k))",
];

pub const STREAMS: &[&str] = &[
    "XADD k N +(h v)",
    "XADD k N +(h v)",
    "XADD k ?(MAXLEN i|MAXLEN = i|MAXLEN ~ 100|MINID n|NOMKSTREAM|LIMIT i) (N|n) +(h v) ?h",
    "XADD k MAXLEN ~ 100 LIMIT i N +(h v)",
    "XLEN k",
    "(XRANGE|XREVRANGE) k (n|-|+) (n|-|+) ?(COUNT i) ?v",
    "XDEL k +n",
    "XTRIM k (MAXLEN|MINID) ?= (i|n) ?(LIMIT i)",
    "XTRIM k MINID n",
    "XSETID k N",
    "XREAD ?(COUNT i) STREAMS k (n|0|$)",
    "XREAD ?(COUNT i) STREAMS k k (n|0|$|>) (n|0|$)",
    "XGROUP CREATE k c (n|0|$) ?MKSTREAM ?(ENTRIESREAD i)",
    "XGROUP CREATE k c 0 MKSTREAM",
    "XGROUP SETID k c (n|0|$) ?(ENTRIESREAD i)",
    "XGROUP DESTROY k c",
    "XGROUP DELCONSUMER k c c",
    "XREADGROUP GROUP c c ?(COUNT i) ?NOACK STREAMS k (>|>|0|n)",
    "XREADGROUP GROUP c c COUNT 2 STREAMS k >",
    "XREADGROUP GROUP c c ?(COUNT i) STREAMS k k > (>|0)",
    "XACK k c +n",
    "XPENDING k c",
    "XCLAIM k c c 0 +n ?(RETRYCOUNT i) ?FORCE ?JUSTID ?(LASTID n) ?v",
    "XAUTOCLAIM k c c 0 (n|0|-) ?(COUNT i) ?JUSTID",
    "XINFO STREAM k",
    "XINFO GROUPS k",
];

pub const ZSETS: &[&str] = &[
    "ZADD k +(w h) ?h",
    "ZADD k +(w h)",
    "ZADD k ?(NX|XX) ?(GT|LT|NX) ?CH ?INCR w h ?(w h)",
    "ZINCRBY k w h",
    "ZREM k +h",
    "(ZCARD|ZPOPMIN|ZPOPMAX) k",
    "ZSCORE k h",
    "ZMSCORE k +h",
    "(ZRANK|ZREVRANK) k h",
    "(ZCOUNT|ZREMRANGEBYSCORE) k r r",
    "ZREMRANGEBYRANK k i i",
    "ZRANGE k i i ?REV ?WITHSCORES ?(LIMIT i i)",
    "ZRANGE k r r BYSCORE ?REV ?WITHSCORES ?(LIMIT i i) ?v",
    "ZREVRANGE k i i ?WITHSCORES",
    "(ZRANGEBYSCORE|ZREVRANGEBYSCORE) k r r ?WITHSCORES ?(LIMIT i i)",
    "ZRANGESTORE k k i i ?REV",
    "ZRANGESTORE k k r r BYSCORE ?REV ?(LIMIT i i)",
    "(ZPOPMIN|ZPOPMAX) k i",
    "ZMPOP (1|2|i) k ?k (MIN|MAX|v) ?(COUNT i)",
    "ZRANDMEMBER k ?i ?WITHSCORES ?v",
    "ZSCAN k 0 COUNT 1000 ?(MATCH g)",
    "(ZUNION|ZINTER) 2 k k ?(WEIGHTS w w) ?(AGGREGATE (SUM|MIN|MAX)) ?WITHSCORES",
    "ZDIFF (1|2|i) k ?k ?WITHSCORES",
    "ZINTERCARD 2 k k ?(LIMIT i)",
    "(ZUNIONSTORE|ZINTERSTORE) k 2 k k ?(WEIGHTS w w) ?(AGGREGATE (SUM|MIN|MAX|v))",
    "ZDIFFSTORE k 2 k k",
    // What is found by members is specified among equal scores only.
    "ZADD lex +(0 h)",
    "ZREM lex +h",
    "ZRANGE lex l l BYLEX ?REV ?(LIMIT i i)",
    "(ZRANGEBYLEX|ZREVRANGEBYLEX) lex l l ?(LIMIT i i)",
    "ZLEXCOUNT lex l l",
    "ZREMRANGEBYLEX lex l l",
];

pub const GEO: &[&str] = &[
    "GEOADD geo ?(NX|XX) ?CH +(x y h) ?x",
    "GEOADD geo +(x y h)",
    "GEOPOS geo +h",
    "GEOHASH geo +h",
    "GEODIST geo h h ?(m|km|mi|ft|v)",
    "GEOSEARCH geo FROMLONLAT x y BYRADIUS z (km|mi) ?(ASC|DESC) ?(COUNT i ?ANY)",
    "GEOSEARCH geo (FROMMEMBER h|FROMLONLAT x y) BYBOX z z (m|km|v) ASC ?WITHDIST ?WITHCOORD",
    "GEOSEARCH geo FROMMEMBER h BYRADIUS z km ?WITHHASH ?(ASC|DESC)",
    "GEOSEARCHSTORE (geo|k) geo FROMLONLAT x y BYRADIUS z km ?(COUNT i)",
    "GEORADIUS geo x y z (km|ft) ?(ASC|DESC) ?(COUNT i) ?WITHDIST ?(STORE k)",
    "GEORADIUSBYMEMBER geo h z km ?(STOREDIST k)",
    "ZREM geo +h",
];

/// Each type about as often as it is named here.
const TYPES: &[&[&str]] = &[
    STRINGS, //
    STRINGS, HASHES, LISTS, SETS, ZSETS, GEO, STREAMS, STREAMS, BITS, SKETCHES,
];

/// Commands that are rare because they end what the others have built up.
pub const RARE: &[&str] = &["FLUSHDB ?(ASYNC|SYNC|v)", "FLUSHALL ?SYNC", "SELECT (0|0|0|1|2|15|x)"];

/// Grows commands.
pub struct Grower {
    pub prng: Prng,
    /// Milliseconds that the points in time lie around.
    pub now: u64,
    /// Three times the milliseconds of the last id of an entry, and its number within them.
    pub last_id: u64,
}

impl Grower {
    /// The stream of a seed.
    pub fn new(seed: u64, now: u64) -> Grower {
        Grower { prng: Prng::new(seed), now, last_id: 3 }
    }

    /// One command.
    pub fn command(&mut self) -> Vec<Vec<u8>> {
        let list = match self.prng.below(100) {
            0..65 => TYPES[self.prng.below(TYPES.len() as u64) as usize],
            65..99 => KEYS,
            _ => RARE,
        };
        let template = list[self.prng.below(list.len() as u64) as usize];
        let mut words = Vec::new();
        self.grow(template, &mut words);
        words
    }

    fn grow(&mut self, template: &str, words: &mut Vec<Vec<u8>>) {
        for part in split(template, ' ') {
            self.part(part, words);
        }
    }

    fn part(&mut self, part: &str, words: &mut Vec<Vec<u8>>) {
        if let Some(rest) = part.strip_prefix('?') {
            if self.prng.chance(1, 3) {
                self.part(rest, words);
            }
        } else if let Some(rest) = part.strip_prefix('+') {
            for _ in 0..=self.prng.below(3) {
                self.part(rest, words);
            }
        } else if part.starts_with('(') {
            let inside = &part[1..part.len() - 1];
            let choices = split(inside, '|');
            let choice = choices[self.prng.below(choices.len() as u64) as usize];
            self.grow(choice, words);
        } else {
            let word = self.word(part);
            words.push(word);
        }
    }

    fn word(&mut self, part: &str) -> Vec<u8> {
        match part {
            "k" => self.pick(&["a", "b", "c", "d", "key:1", "key:2", "{t}x", "", "h1", "h2", "h3"]),
            "h" => match self.prng.below(4) {
                0 => format!("field{}", self.prng.below(200)).into_bytes(),
                _ => self.pick(&["f", "g", "1", "2", "", "a\0b"]),
            },
            "m" => match self.prng.below(4) {
                0 => (self.prng.below(40) as i64 - 20).to_string().into_bytes(),
                1 => format!("member{}", self.prng.below(200)).into_bytes(),
                2 => self.value(),
                _ => self.pick(&["a", "b", "c", "1", "2", "", "a\0b"]),
            },
            "v" => self.value(),
            "E" => format!("element{}", self.prng.below(20_000)).into_bytes(),
            "o" => match self.prng.below(20) {
                0 => self.pick(&["-1", "x", "4294967296", "", "+1", "01", "#1"]),
                1 => (500_000 + self.prng.below(200_000)).to_string().into_bytes(),
                _ => self.prng.below(300).to_string().into_bytes(),
            },
            "i" => self.pick(&[
                "0",
                "1",
                "2",
                "3",
                "5",
                "10",
                "-1",
                "-2",
                "-7",
                "100",
                "2147483648",
                "536870912",
                "9223372036854775807",
                "-9223372036854775808",
                "9223372036854775808",
                "x",
                "01",
                " 1",
                "1 ",
                "",
                "-0",
                "+1",
                "9223372036854775",
            ]),
            "f" => self.pick(&[
                "0",
                "1",
                "-1",
                "1.5",
                "0.1",
                "0.2",
                "-2.25",
                "1e3",
                "3.0e-5",
                "5e2",
                "x",
                "",
                " 1",
                "1 ",
                "inf",
                "nan",
                "1e",
                "0x10",
                "123456789012345678",
                ".5",
                "5.",
                "+1",
                "1e17",
                "-inf",
            ]),
            // Scores whose sums are exact.
            "w" => self.pick(&[
                "0",
                "1",
                "-1",
                "2",
                "3",
                "1.5",
                "-0.25",
                "10",
                "100",
                "1e3",
                "inf",
                "-inf",
                "-0",
                "x",
                "nan",
                "",
                "9007199254740991",
                "4294967296",
                "0x10",
            ]),
            "r" => self.pick(&[
                "0", "1", "(1", "-1", "2", "(3", "10", "(100", "-inf", "+inf", "(-inf", "inf", "x",
                "((1", "",
            ]),
            "l" => {
                self.pick(&["-", "+", "[", "(", "[f", "(f", "[field1", "(field7", "[g", "f", "-a"])
            }
            "x" if self.prng.chance(1, 30) => self.pick(&["181", "-180.1", "x", "180", "nan"]),
            "y" if self.prng.chance(1, 30) => self.pick(&["85.06", "-91", "x", ""]),
            "x" => self.degrees(160),
            "y" => self.degrees(80),
            "z" if self.prng.chance(1, 20) => self.pick(&["0", "-1", "x", "1e300"]),
            "z" => (self.prng.below(5000) + 1).to_string().into_bytes(),
            // Never the same twice, so that no comparison depends on the very millisecond.
            "n" => self.id(40),
            "N" => {
                self.last_id += 1;
                format!("{}-{}", self.last_id / 3, self.last_id % 3).into_bytes()
            }
            "c" => self.pick(&["alice", "bob", "carl"]),
            "s" => (10_000 + self.prng.below(1_000_000)).to_string().into_bytes(),
            "sss" => (10_000_000 + self.prng.below(1_000_000_000)).to_string().into_bytes(),
            "e" => self.pick(&[
                "0",
                "-1",
                "x",
                "",
                "01",
                "9223372036854775807",
                "-9223372036854775808",
            ]),
            "a" => self.point(1000),
            "A" => self.point(1),
            "b" => self.ahead(1000),
            "B" => self.ahead(1),
            "g" => self.pick(&["*", "?", "a*", "h?", "key:*", "[ab]", "f*", "\\a", "*1*", "x", ""]),
            "d" => self.pick(&["0", "0", "1", "2", "15", "16", "-1", "x", "99999999999"]),
            literal => {
                if self.prng.chance(1, 8) {
                    literal.to_ascii_lowercase().into_bytes()
                } else {
                    literal.as_bytes().to_vec()
                }
            }
        }
    }

    /// An id among the last that were given, or not quite one.
    fn id(&mut self, back: u64) -> Vec<u8> {
        let at = self.last_id.saturating_sub(self.prng.below(back));
        match self.prng.below(12) {
            0 => (at / 3).to_string().into_bytes(),
            1 => format!("({}-{}", at / 3, at % 3).into_bytes(),
            2 => self.word("i"),
            _ => format!("{}-{}", at / 3, at % 3).into_bytes(),
        }
    }

    fn pick(&mut self, choices: &[&str]) -> Vec<u8> {
        choices[self.prng.below(choices.len() as u64) as usize].as_bytes().to_vec()
    }

    /// A coordinate that hardly comes twice, so that no two members are equally far.
    fn degrees(&mut self, most: u64) -> Vec<u8> {
        let whole = self.prng.below(2 * most) as i64 - most as i64;
        format!("{whole}.{:06}", self.prng.below(1_000_000)).into_bytes()
    }

    /// A point in time: seldom past, mostly far ahead.
    fn point(&mut self, unit: u64) -> Vec<u8> {
        if self.prng.chance(1, 8) {
            return (1 + self.prng.below(self.now / unit)).to_string().into_bytes();
        }
        self.ahead(unit)
    }

    fn ahead(&mut self, unit: u64) -> Vec<u8> {
        let at = self.now + 10_000_000 + self.prng.below(1_000_000_000);
        (at / unit).to_string().into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        match self.prng.below(12) {
            0..4 => self.word("i"),
            4..6 => self.word("f"),
            6 => vec![b'x'; self.prng.below(100) as usize],
            7 => (0..self.prng.below(40)).map(|_| self.prng.next() as u8).collect(),
            8 => vec![b'y'; 40 + self.prng.below(8) as usize],
            9 => "NX".into(),
            _ => self.pick(&["foo", "bar", "ohmytext", "mynewtext", "hello world"]),
        }
    }
}

/// Splits at a character that is not inside parentheses.
fn split(text: &str, at: char) -> Vec<&str> {
    let (mut depth, mut start, mut parts) = (0, 0, Vec::new());
    for (index, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            c if c == at && depth == 0 => {
                parts.push(&text[start..index]);
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
