//! (test) Every row that writes leaves something to be logged when it changes keys, and the log
//! makes the same change; every row that reads leaves nothing and changes nothing.

use crate::base::ids::{Db, Lsn};
use crate::base::prng::Prng;
use crate::base::time::Millis;
use crate::commands::call::{Call, Effect};
use crate::commands::digest::{of_parts, parts};
use crate::commands::spec::{Command, Flags};
use crate::commands::table;
use crate::keyspace::keyspace::{Keyspace, Settings};
use crate::persist::rdb::{libraries, payload::seal};
use crate::resp::args::OwnedArgs;
use crate::resp::reply::{Proto, Reply};
use crate::types::hyperloglog::DENSE_LEN;

const NOW: Millis = Millis(1_700_000_000_000);

const CHANGED: &[u8] = b"#!lua name=lib\n2";
const OTHER: &[u8] = b"#!lua name=other\n3";

/// What is there before each example.
const BEFORE: &str = "set s 5
    set t text
    set mortal x
    expire mortal 100
    hset h f 5 g text
    hset timed f 5 g text
    hpexpireat timed 1800000000000 fields 1 f
    rpush l a b a c
    zadd z 1 a 2 b 3 c
    zadd y 5 b
    geoadd geo 13.36 38.11 p 15.08 37.5 c
    sadd a 1 2 3 4 5
    sadd b 1 2 x
    pfadd p a b c
    pfadd q c d
    setrange dense 0 DENSE
    xadd x 1 a 1
    xadd x 2 a 2
    xadd x 3 a 3
    function load LIBRARY
    xgroup create x g 0
    xreadgroup group g c count 2 streams x >";

/// Requests by what they are to do. Every row that runs on a keyspace has one in its list.
const CHANGES: &str = "append s x
    bitfield s set u8 0 1 incrby i5 100 2 get u4 0
    bitfield new overflow fail set u2 0 4
    bitop and new s t
    bitop not s s
    bitop or t nothing
    pfadd p x
    pfadd new
    pfadd new x
    pfadd dense x y
    pfcount p
    pfdebug getreg p
    pfdebug todense p
    pfmerge new p q
    pfmerge new
    pfmerge p dense
    pfmerge dense p
    setbit s 1 1
    setbit s 100 0
    setbit new 9 0
    copy s new
    decr s
    decrby s 2
    del s nothing
    expire s 100
    expireat s 1800000000
    flushall
    flushdb
    function delete lib
    function flush
    function flush async
    function load OTHER
    function load replace CHANGED
    function restore LIBRARIES replace
    function restore LIBRARIES flush
    getdel s
    getex s ex 100
    getset s x
    hdel h f
    hincrby h f 1
    hincrbyfloat h f 1.5
    hexpire h 100 fields 1 f
    hexpire h 0 fields 1 f
    hexpire h 0 fields 2 f g
    hexpireat h 1800000000 nx fields 2 f nothing
    hpexpire h 100000 lt fields 1 f
    hpexpireat h 1800000000000 fields 3 f g nothing
    hpexpireat timed 1 fields 1 f
    hpersist timed fields 2 f g
    hset timed f 6
    hincrby timed f 1
    hincrbyfloat timed f 1.5
    hgetex h px 100000 fields 2 f nothing
    hgetex h exat 1 fields 1 f
    hgetex timed persist fields 2 f g
    hgetdel h fields 2 f nothing
    hgetdel timed fields 2 f g
    hsetex h px 100000 fields 1 f 6
    hsetex new fnx fields 2 f 6 g 7
    hsetex timed fxx keepttl fields 2 f 6 g 7
    hsetex timed exat 1 fields 1 f 6
    hmset h f 6
    hset h new 1
    hset h f 6
    hsetnx h new 1
    incr s
    incrby s 2
    incrbyfloat s 1.5
    linsert l before b x
    blmove l other left right 0
    blmpop 0 2 nothing l right count 2
    blpop nothing l 0
    brpop l 1.5
    brpoplpush l other 0
    lmove l other left right
    lmove l l left right
    lmpop 2 nothing l right count 2
    lpop l
    lpop l 9
    lpush l x y
    lpush new x
    lpushx l x
    lrem l -1 a
    lset l 1 x
    ltrim l 1 2
    rpop l 2
    rpoplpush l other
    rpush l x
    rpushx l x
    move s 1
    mset s 1 new 2
    msetnx new 1 newer 2
    persist mortal
    pexpire s 100000
    pexpireat s 1800000000000
    psetex s 1000 x
    rename s new
    sadd a 6
    sadd new x y
    sdiffstore new a b
    sdiffstore a b b
    sinterstore new a b
    smove a new 1
    smove a b 1
    spop a
    spop a 2
    spop a 4
    spop a 9
    srem a 1 7
    sunionstore new a b
    sort a store new
    sort a limit 9 1 store l
    renamenx s new
    restore new 0 DUMPED
    restore s 1000 DUMPED replace
    set s x
    set s 5 ex 100
    setex s 100 x
    setnx new x
    setrange t 1 xx
    swapdb 0 1
    expire s -1
    unlink s
    unlink s t
    zadd z 4 a
    zadd new 1 a
    zadd z incr 2 b
    zincrby z 1 a
    zrem z a
    zremrangebyrank z 0 1
    zremrangebyscore z 1 2
    zremrangebylex z - +
    bzmpop 0 2 new z min count 2
    bzpopmax new z 0
    bzpopmin z 0
    zpopmin z
    zpopmax z 2
    zmpop 2 new z min count 2
    zrangestore new z 0 1
    zunionstore new 2 z y
    zinterstore z 2 z y
    zdiffstore new 2 z y
    geoadd geo 1 1 new
    geosearchstore new geo fromlonlat 15 37 byradius 200 km
    georadius geo 15 37 200 km store new
    georadiusbymember geo p 200 km storedist new
    xack x g 1
    xadd new maxlen ~ 5 * a 1
    xadd x * a 1
    xadd x 9 a 1
    xadd x maxlen 2 9-* a 1
    xautoclaim x g d 0 0
    xautoclaim x g d 0 9
    xclaim x g c 0 9 lastid 9
    xclaim x g d 0 1 retrycount 5
    xclaim x g d 0 3 force idle 5
    xdel x 1
    xgroup create new h 0 mkstream
    xgroup create x h 0
    xgroup createconsumer x g d
    xgroup delconsumer x g c
    xgroup destroy x g
    xgroup setid x g 3
    xreadgroup group g c noack streams x >
    xreadgroup group g c streams x 0
    xreadgroup group g c streams x >
    xreadgroup group g d noack streams x >
    xreadgroup group g d streams x 0
    xsetid x 9
    xtrim x maxlen 1
    xtrim x minid ~ 9";

const READS: &str = "bitcount s
    bitfield_ro s get u8 0
    bitpos s 1
    getbit s 1
    dbsize
    debug digest
    debug digest-value s
    debug htstats-key h
    debug listpack h
    debug object s
    debug sdslen t
    dump s
    exists s
    expiretime mortal
    get s
    getrange t 0 1
    hexists h f
    hexpiretime timed fields 2 f g
    hpexpiretime timed fields 1 f
    httl timed fields 1 f
    hpttl h fields 2 f nothing
    hget h f
    hgetall h
    hkeys h
    hlen h
    hmget h f g
    hrandfield h
    hscan h 0
    hstrlen h f
    hvals h
    keys *
    lcs s t
    lindex l 1
    llen l
    lpos l a rank -1
    lrange l 0 -1
    memory usage s
    mget s t
    object encoding s
    object freq s
    object idletime s
    object refcount s
    pexpiretime mortal
    pttl mortal
    randomkey
    scan 0
    scard a
    sdiff a b
    sinter a b
    sintercard 2 a b
    sismember a 1
    smembers a
    smismember a 1 9
    srandmember a
    srandmember a -3
    sscan a 0
    sunion a b
    sort_ro a
    strlen s
    substr t 0 1
    touch s
    ttl mortal
    type s
    zcard z
    zscore z a
    zmscore z a x
    zrank z b
    zrevrank z b withscore
    zcount z 1 2
    zlexcount z - +
    zscan z 0
    zrange z 0 -1
    zrevrange z 0 -1
    zrangebyscore z 1 2
    zrevrangebyscore z 2 1
    zrangebylex z - +
    zrevrangebylex z + -
    zrandmember z 2
    zunion 2 z y
    zinter 2 z y
    zdiff 2 z y
    zintercard 2 z y
    geodist geo p c
    geohash geo p
    geopos geo p
    geosearch geo frommember p byradius 200 km
    georadius_ro geo 15 37 200 km
    georadiusbymember_ro geo p 200 km
    xinfo consumers x g
    xinfo groups x
    xinfo stream x
    xlen x
    xpending x g
    xrange x - +
    xread streams x 0
    xrevrange x + -";

/// Requests of writing commands that find nothing to do.
const NOTHING: &str = "bitfield s set u8 0 53 get u4 0
    bitfield nothing
    bitop and nothing nothing
    pfadd p a
    pfadd dense
    pfcount p q
    pfcount nothing
    pfdebug decode p
    pfdebug encoding p
    pfdebug todense dense
    setbit s 0 0
    copy nothing new
    copy s t
    del nothing
    expire nothing 100
    expire mortal 1 gt
    function delete nothing
    function load LIBRARY
    getdel nothing
    getex s
    hdel h nothing
    hexpire h 100 xx fields 1 f
    hexpire nothing 100 fields 1 f
    hpexpireat timed 1700000000001 gt fields 1 f
    hpersist h fields 1 f
    hgetex h fields 1 f
    hgetex h persist fields 1 f
    hgetdel h fields 1 nothing
    hsetex h fnx fields 1 f 1
    hsetex h fxx fields 1 nothing 1
    hsetex new exat 1 fields 1 f 1
    hsetnx h f 1
    linsert l before nothing x
    blmove nothing l left left 0
    blmpop 0 1 nothing left
    blpop nothing 0
    brpop nothing none 1
    brpoplpush nothing l 0
    lmove nothing l left left
    lmpop 1 nothing left
    lpop nothing
    lpushx nothing x
    lrem l 0 nothing
    ltrim l 0 -1
    rpop l 0
    rpoplpush nothing l
    rpushx nothing x
    move nothing 1
    msetnx s 1 new 2
    persist s
    renamenx s t
    restore s 0 DUMPED
    sadd a 1 2
    sdiffstore new b b
    sinterstore new a nothing
    smove a b 9
    smove a a 1
    spop a 0
    spop nothing
    spop nothing 2
    srem a 9
    sunionstore new nothing
    sort a
    sort nothing store new
    set s x nx
    set nothing x xx
    setnx s x
    setrange t 1 _
    unlink nothing
    zadd z 1 a
    zadd nothing xx 1 a
    zincrby z 0 a
    zrem z nothing
    zremrangebyrank z 5 6
    zremrangebyscore nothing 0 1
    zremrangebylex nothing - +
    bzmpop 0 1 nothing max
    bzpopmax nothing 0
    bzpopmin nothing 0
    zpopmin nothing
    zpopmax z 0
    zmpop 1 nothing max
    zrangestore nothing nothing 0 1
    zunionstore nothing 1 nothing
    zinterstore nothing 2 z nothing
    zdiffstore nothing 1 nothing
    geoadd geo nx 1 1 p
    geosearchstore nothing nothing fromlonlat 1 1 byradius 1 km
    georadius geo 15 37 200 km
    georadiusbymember geo p 200 km
    xack x g 9
    xadd nothing nomkstream * a 1
    xautoclaim x g c 0 9
    xclaim x g c 0 3
    xdel x 9
    xgroup createconsumer x g c
    xgroup delconsumer x g none
    xgroup destroy x none
    xreadgroup group g c streams x 9
    xtrim x maxlen 9";

struct Shard {
    keys: Keyspace,
    prng: Prng,
    lsn: Lsn,
}

impl Shard {
    fn new() -> Shard {
        Shard { keys: Keyspace::new(Settings::default()), prng: Prng::new(1), lsn: Lsn(0) }
    }

    fn filled() -> Shard {
        let mut shard = Shard::new();
        for line in BEFORE.lines() {
            shard.run(&request(line), NOW);
        }
        shard
    }

    /// The row and what is to be logged. Errors count as no effect.
    fn run(&mut self, request: &OwnedArgs, now: Millis) -> (&'static Command, Effect) {
        let row = table::resolve(request.args()).unwrap();
        let Some(run) = row.on_keys() else { panic!("{} touches no keys", row.name) };
        let mut out = Vec::new();
        self.lsn = self.lsn.next();
        self.keys.begin(now, self.lsn);
        let mut call = Call {
            keys: &mut self.keys,
            db: Db(0),
            args: request.args(),
            reply: Reply::new(&mut out, Proto::Two),
            now,
            prng: &mut self.prng,
        };
        (row, run(&mut call).unwrap_or(Effect::Nothing))
    }

    /// The state: Redis' digest knows nothing of a stream's groups and counters.
    fn digest(&mut self) -> String {
        let mut text = of_parts(&parts(&mut self.keys)).hex();
        for key in [b"x".as_slice(), b"new"] {
            self.keys.rebuild(Db(0), key, &mut |args| {
                args.iter().for_each(|arg| text += &format!(" {}", arg.escape_ascii()));
            });
        }
        for (name, library) in self.keys.libraries().iter() {
            text += &format!(" {}={}", name.escape_ascii(), library.escape_ascii());
        }
        text
    }
}

fn request(line: &str) -> OwnedArgs {
    let mut dumped = b"\0\x05value".to_vec();
    seal(&mut dumped);
    let mut dense = b"HYLL".to_vec();
    dense.resize(DENSE_LEN, 0);
    let libraries = libraries::dump([CHANGED, OTHER].into_iter());
    let words = line.trim().split(' ').map(|word| match word {
        "LIBRARY" => b"#!lua name=lib\n1",
        "CHANGED" => CHANGED,
        "OTHER" => OTHER,
        "LIBRARIES" => &libraries[..],
        "_" => b"",
        "DUMPED" => &dumped[..],
        "DENSE" => &dense[..],
        word => word.as_bytes(),
    });
    OwnedArgs::of(&words.collect::<Vec<_>>())
}

/// Runs each line on a shard of its own; the effect, and whether the state changed.
fn outcomes(
    lines: &'static str,
) -> impl Iterator<Item = (&'static str, &'static Command, Effect, bool)> {
    lines.lines().map(|line| {
        let mut shard = Shard::filled();
        let before = shard.digest();
        let (row, effect) = shard.run(&request(line), NOW);
        let changed = shard.digest() != before;
        if effect != Effect::Nothing {
            let mut replayed = Shard::filled();
            let logged = match &effect {
                Effect::Instead(args) => vec![args.clone()],
                Effect::Several(all) => all.clone(),
                _ => vec![request(line)],
            };
            for args in logged {
                replayed.run(&args, Millis::REPLAY);
            }
            assert_eq!(replayed.digest(), shard.digest(), "the log of {line} does something else");
        }
        (line.trim(), row, effect, changed)
    })
}

#[test]
fn what_changes_is_logged_and_the_log_does_the_same() {
    for (line, row, effect, changed) in outcomes(CHANGES) {
        assert!(row.flags.has(Flags::WRITE), "{line} changes keys without the flag");
        assert!(changed, "{line} changed nothing");
        assert_ne!(effect, Effect::Nothing, "{line} would be lost");
    }
}

#[test]
fn what_only_reads_or_finds_nothing_to_do_is_not_logged() {
    for (line, row, effect, changed) in outcomes(READS) {
        assert!(row.flags.has(Flags::READONLY) && !row.flags.has(Flags::WRITE), "{line}");
        assert!(!changed && effect == Effect::Nothing, "{line}: {effect:?}");
    }
    for (line, row, effect, changed) in outcomes(NOTHING) {
        assert!(row.flags.has(Flags::WRITE), "{line}");
        assert!(!changed && effect == Effect::Nothing, "{line}: {effect:?}");
    }
}

#[test]
fn every_row_has_an_example() {
    let named = |lines: &'static str| -> Vec<&str> {
        lines.lines().map(|line| table::resolve(request(line).args()).unwrap().name).collect()
    };
    let (changes, reads) = (named(CHANGES), named(READS));
    for row in table::all().flat_map(|row| std::iter::once(row).chain(row.subs)) {
        let Some(_) = row.on_keys() else { continue };
        let list = if row.flags.has(Flags::WRITE) { &changes } else { &reads };
        assert!(list.contains(&row.name), "{} has no example in table/effects.rs", row.name);
    }
}
