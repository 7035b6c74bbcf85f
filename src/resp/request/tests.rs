//! What is a request, in how many pieces it may come, what it costs, and what redis-server says.

use std::time::{Duration, Instant};

use super::*;
use crate::base::prng::Prng;
use crate::resp::args::OwnedArgs;
use crate::resp::reply::{Proto, Reply};
use crate::testing::peer::Peer;

/// All that a piece of input means: the requests, then why there are no more.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    requests: Vec<OwnedArgs>,
    end: Step,
}

const STRANGER: Limits =
    Limits { bulk: STRING_MAX, query_buffer: QUERY_BUFFER_MAX, access: Access::BeforeAuth };

/// Feeds `input` in pieces of the lengths that `piece` gives.
fn parse(input: &[u8], limits: &Limits, mut piece: impl FnMut() -> usize) -> Outcome {
    let (mut parser, mut buffer) = (Parser::new(), Buffer::new());
    let mut requests = Vec::new();
    let mut rest = input;
    loop {
        match parser.next(&mut buffer, limits) {
            Step::Request => requests.push(parser.args(&buffer).to_owned()),
            Step::Incomplete if !rest.is_empty() => {
                let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
                buffer.fill(now);
                rest = later;
            }
            end => return Outcome { requests, end },
        }
    }
}

fn whole(input: &[u8], limits: &Limits) -> Outcome {
    parse(input, limits, || usize::MAX)
}

fn words(line: &str) -> OwnedArgs {
    OwnedArgs::of(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>())
}

#[test]
fn what_comes_next_is_seen_ahead() {
    let ahead = |input: &str| -> Vec<String> {
        let (mut parser, mut buffer) = (Parser::new(), Buffer::new());
        buffer.fill(input.as_bytes());
        assert_eq!(parser.next(&mut buffer, &Limits::default()), Step::Request, "{input}");
        parser.ahead(&buffer).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
    };
    let get = |key: &str| format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
    let long = |words: usize| format!("*{words}\r\n{}", "$1\r\nx\r\n".repeat(words));
    let rows: &[(String, &[&str])] = &[
        (get("a"), &[]),
        (get("a") + &get("bc") + &get("") + &get("0123456789ab"), &["bc", "", "0123456789ab"]),
        (get("a") + &get("b")[..19], &[]),
        (get("a") + &get("b") + "PING\r\n" + &get("c"), &["b"]),
        (get("a") + "*1\r\n$4\r\nPING\r\n" + &get("c"), &[]),
        (get("a") + &long(8) + &long(9) + &get("c"), &["x"]),
        (get("a") + "*2\r\n$3\r\nGET\r\n$18446744073709551615\r\nx\r\n", &[]),
        (get("a") + "*99999999999999999999\r\n$3\r\nGET\r\n", &[]),
        ("PING\r\n".to_owned() + &get("b"), &["b"]),
    ];
    for (input, expected) in rows {
        assert_eq!(ahead(input), *expected, "{input:?}");
    }
}

#[test]
fn what_is_a_request() {
    let none: &[&str] = &[];
    let rows: &[(&str, &[&str], Step)] = &[
        ("", none, Step::Incomplete),
        ("*1\r\n$4\r\nPING\r\n", &["PING"], Step::Incomplete),
        ("PING\r\nPING a\n", &["PING", "PING a"], Step::Incomplete),
        ("*2\r\n$3\r\nGET\r\n$1\r\na\r\nPING\r\n", &["GET a", "PING"], Step::Incomplete),
        ("*1\r\n$012\r\n", none, Step::Invalid(Invalid::BulkLength)),
        ("*1\r\n$12\r\n0123456789ab\r\n", &["0123456789ab"], Step::Incomplete),
        ("*0\r\n*-1\r\n*-99\r\n\r\n  \r\n\nPING\r\n", &["PING"], Step::Incomplete),
        ("*1\r\n$0\r\n\r\n", &[""], Step::Incomplete),
        ("*1\r\n$4\r\nPINGxx*1\r\n$1\r\na\r\n", &["PING", "a"], Step::Incomplete),
        ("*1048577\r\n", none, Step::Invalid(Invalid::MultibulkLength)),
        ("*1048576\r\n", none, Step::Incomplete),
        ("*99999999999999999999\r\n", none, Step::Invalid(Invalid::MultibulkLength)),
        ("*\r\n", none, Step::Invalid(Invalid::MultibulkLength)),
        ("*1x\r\n", none, Step::Invalid(Invalid::MultibulkLength)),
        ("* 1\r\n", none, Step::Invalid(Invalid::MultibulkLength)),
        ("*01\r\n", none, Step::Invalid(Invalid::MultibulkLength)),
        ("*1\n$4\r\nPING\r\n", none, Step::Invalid(Invalid::MultibulkLength)),
        ("*1\r\n:4\r\nPING\r\n", none, Step::Invalid(Invalid::ExpectedDollar(b':'))),
        ("*1\r\n$-1\r\n", none, Step::Invalid(Invalid::BulkLength)),
        ("*1\r\n$536870912\r\n", none, Step::Incomplete),
        ("*1\r\n$536870913\r\n", none, Step::Invalid(Invalid::BulkLength)),
        ("*1\r\n$4x\r\n", none, Step::Invalid(Invalid::BulkLength)),
        ("*1\r\n$\r\n", none, Step::Invalid(Invalid::BulkLength)),
        ("PING \"a\r\n", none, Step::Invalid(Invalid::UnbalancedQuotes)),
        (
            "PING\r\nPOST / HTTP/1.1\r\nSET a b\r\n",
            &["PING"],
            Step::Invalid(Invalid::CrossProtocol),
        ),
        ("hOST: localhost\r\n", none, Step::Invalid(Invalid::CrossProtocol)),
        ("*1\r\n$4\r\npost\r\n", none, Step::Invalid(Invalid::CrossProtocol)),
        ("POSTER\r\n", &["POSTER"], Step::Incomplete),
    ];
    for (input, requests, end) in rows {
        let requests = requests.iter().map(|line| words(line)).collect();
        let want = Outcome { requests, end: *end };
        assert_eq!(whole(input.as_bytes(), &Limits::default()), want, "{input:?}");
        assert_eq!(parse(input.as_bytes(), &Limits::default(), || 1), want, "{input:?} bytewise");
    }
}

#[test]
fn strangers_may_send_less() {
    let rows = [
        ("*10\r\n", Step::Incomplete),
        ("*11\r\n", Step::Invalid(Invalid::UnauthenticatedMultibulk)),
        ("*1048577\r\n", Step::Invalid(Invalid::MultibulkLength)),
        ("*1\r\n$16384\r\n", Step::Incomplete),
        ("*1\r\n$16385\r\n", Step::Invalid(Invalid::UnauthenticatedBulk)),
        ("*1\r\n$536870913\r\n", Step::Invalid(Invalid::BulkLength)),
    ];
    for (input, end) in rows {
        assert_eq!(whole(input.as_bytes(), &STRANGER).end, end, "{input:?}");
    }
}

#[test]
fn lines_without_an_end_are_given_up() {
    let rows = [
        ("*1", Invalid::BigMultibulkCount),
        ("*1\r\n$1", Invalid::BigBulkCount),
        ("PING ", Invalid::BigInline),
    ];
    for (start, invalid) in rows {
        let below = start.to_owned() + &"1".repeat(INLINE_MAX - start.len());
        let above = start.to_owned() + &"1".repeat(INLINE_MAX + 10);
        for piece in [1, 7, 16384, usize::MAX] {
            let limits = Limits::default();
            assert_eq!(parse(below.as_bytes(), &limits, || piece).end, Step::Incomplete);
            assert_eq!(parse(above.as_bytes(), &limits, || piece).end, Step::Invalid(invalid));
        }
    }
    let limits = Limits { query_buffer: 1000, ..Limits::default() };
    let long = "*1\r\n$2000\r\n".to_owned() + &"x".repeat(1500);
    assert_eq!(whole(long.as_bytes(), &limits).end, Step::Invalid(Invalid::QueryBuffer));
    let many = "PING\r\n".repeat(1000);
    assert_eq!(whole(many.as_bytes(), &limits).requests.len(), 1000, "a pipeline may be longer");
}

/// Sending one request in the smallest pieces must cost what its bytes cost.
#[test]
fn small_pieces_cost_linear_time() {
    let arguments = b"$1\r\na\r\n".repeat(ARGS_MAX);
    let inputs = [
        (format!("*{ARGS_MAX}\r\n").into_bytes(), arguments),
        (b"*1\r\n$4000000\r\n".to_vec(), vec![b'x'; 4_000_002]),
        (Vec::new(), b"\n".repeat(4_000_000)),
        (Vec::new(), b"*0\r\n".repeat(1_000_000)),
    ];
    // All of it takes a second or two; quadratic would be hours. The machine may be busy.
    let start = Instant::now();
    for (mut input, rest) in inputs {
        input.extend(rest);
        let mut pieces = 0usize;
        let outcome = parse(&input, &Limits::default(), || {
            pieces += 1;
            if pieces.is_multiple_of(1 << 16) {
                assert!(start.elapsed() < Duration::from_secs(120), "{pieces} pieces");
            }
            [1, 2, 3, 5][pieces % 4]
        });
        assert_eq!(outcome.end, Step::Incomplete);
    }
}

#[test]
fn nothing_is_reserved_from_a_number() {
    let (mut parser, mut buffer) = (Parser::new(), Buffer::new());
    buffer.fill(b"*1048576\r\n$536870912\r\nabc");
    assert_eq!(parser.next(&mut buffer, &Limits::default()), Step::Incomplete);
    assert!(buffer.memory() < 1000 && parser.spans.capacity() < 10);
}

#[test]
fn memory_comes_back() {
    let (mut parser, mut buffer) = (Parser::new(), Buffer::new());
    buffer.fill(format!("*{ARGS_MAX}\r\n").as_bytes());
    buffer.fill(&b"$0\r\n\r\n".repeat(ARGS_MAX));
    assert_eq!(parser.next(&mut buffer, &Limits::default()), Step::Request);
    assert_eq!(parser.args(&buffer).len(), ARGS_MAX);
    assert_eq!(parser.next(&mut buffer, &Limits::default()), Step::Incomplete);
    parser.shrink();
    buffer.shrink();
    assert_eq!((parser.spans.capacity(), buffer.memory()), (0, 0));
}

/// A piece of input that is sometimes right and often nearly so.
fn mangled(prng: &mut Prng) -> Vec<u8> {
    let mut input = Vec::new();
    for _ in 0..=prng.below(4) {
        if prng.chance(1, 4) {
            let pieces: [&[u8]; 9] =
                [b"SET ", b"a", b"\"", b"'", b"\\", b"\\x4", b"1 ", b"\t", b"\0"];
            for _ in 0..prng.below(12) {
                input.extend(pieces[prng.below(9) as usize]);
            }
            input.extend_from_slice(if prng.chance(1, 2) { b"\r\n" } else { b"\n" });
        } else {
            let args = prng.below(5);
            input.extend(format!("*{args}\r\n").bytes());
            for _ in 0..args {
                let len = [prng.below(4), prng.below(12), prng.below(1200)][prng.below(3) as usize];
                input.extend(format!("${len}\r\n").bytes());
                input.extend((0..len).map(|_| prng.next() as u8));
                input.extend(b"\r\n");
            }
        }
    }
    for _ in 0..prng.below(3) {
        let at = prng.below(input.len() as u64) as usize;
        let bytes = b"*$\r\n-0159 \"x\0\xff";
        match prng.below(4) {
            0 => input[at] = bytes[prng.below(bytes.len() as u64) as usize],
            1 => input.insert(at, bytes[prng.below(bytes.len() as u64) as usize]),
            2 if input.len() > 1 => drop(input.remove(at)),
            _ => {}
        }
    }
    input
}

/// Reads one request the plain way: (request, bytes used), nothing yet, or an error.
fn model(input: &[u8]) -> Result<Option<(OwnedArgs, usize)>, Invalid> {
    let line = |at: usize| -> Option<(&[u8], usize)> {
        let cr = input[at..].iter().position(|&b| b == b'\r')? + at;
        (cr + 1 < input.len()).then(|| (&input[at..cr], cr + 2))
    };
    let number = |text: &[u8]| -> Option<i64> {
        let n: i64 = std::str::from_utf8(text.get(1..)?).ok()?.parse().ok()?;
        (n.to_string().as_bytes() == &text[1..]).then_some(n)
    };
    let mut args = OwnedArgs::default();
    if input.first() != Some(&b'*') {
        let Some(end) = input.iter().position(|&b| b == b'\n') else { return Ok(None) };
        let mut text = input[..end].to_vec();
        let mut spans = Vec::new();
        split_in_place(&mut text, 0, &mut spans)?;
        return Ok(Some((Args::new(&text, &spans).to_owned(), end + 1)));
    }
    let Some((text, mut at)) = line(0) else { return Ok(None) };
    let count = number(text).filter(|&n| n <= 1 << 20).ok_or(Invalid::MultibulkLength)?;
    for _ in 0..count {
        let Some((text, next)) = line(at) else { return Ok(None) };
        if input[at] != b'$' {
            return Err(Invalid::ExpectedDollar(input[at]));
        }
        let len =
            number(text).filter(|n| (0..=512 << 20).contains(n)).ok_or(Invalid::BulkLength)?;
        let end = next + len as usize;
        if end + 2 > input.len() {
            return Ok(None);
        }
        args.push(&input[next..end]);
        at = end + 2;
    }
    Ok(Some((args, at)))
}

fn modelled(mut input: &[u8]) -> Outcome {
    let mut requests = Vec::new();
    let end = loop {
        match model(input) {
            Ok(None) => break Step::Incomplete,
            Ok(Some((args, used))) => {
                input = &input[used..];
                if !args.args().is_empty() {
                    requests.push(args);
                }
            }
            Err(invalid) => break Step::Invalid(invalid),
        }
    };
    Outcome { requests, end }
}

#[test]
fn fuzz_any_bytes_in_any_pieces() {
    let start = Instant::now();
    let mut seed = 0;
    while start.elapsed() < Duration::from_secs(3) {
        seed += 1;
        let mut prng = Prng::new(seed);
        let input = mangled(&mut prng);
        let want = modelled(&input);
        let limits = Limits::default();
        assert_eq!(whole(&input, &limits), want, "seed {seed}: {}", input.escape_ascii());
        let most = 1 + prng.below(40);
        let pieces = parse(&input, &limits, || 1 + prng.below(most) as usize);
        assert_eq!(pieces, want, "seed {seed} in pieces: {}", input.escape_ascii());
    }
    assert!(seed > 500, "only {seed} inputs");
}

/// ECHO makes the arguments visible: for the same bytes both answer the same.
#[test]
fn answers_are_those_of_redis() {
    let Some(peer) = Peer::start() else { return };
    let fixed: [&[u8]; 13] = [
        b"*1\r\n:4\r\n",
        b"*3000000000\r\n",
        b"*x\r\n",
        b"*-5\r\n*1\r\n$4\r\nPING\r\n",
        b"*1\r\n$-5\r\n",
        b"*1\r\n$600000000\r\n",
        b"\r\n\r\nPING\r\n",
        b"PING\nPING\r\n",
        b"ECHO \"\\x41\\n\"\r\n",
        b"ECHO 'a\\'b'\r\n",
        b"ECHO \"a\r\n",
        b"ECHO 'a'b\r\n",
        b"POST / HTTP/1.1\r\nPING\r\n",
    ];
    let mut inputs: Vec<Vec<u8>> = fixed.iter().map(|input| input.to_vec()).collect();
    for start in ["*1", "*1\r\n$1", "PING "] {
        inputs.push((start.to_owned() + &"1".repeat(INLINE_MAX + 1)).into_bytes());
    }
    let mut prng = Prng::new(11);
    for _ in 0..300 {
        let mut line = b"ECHO ".to_vec();
        let pieces: [&[u8]; 10] =
            [b"a", b"\"", b"'", b"\\", b"\\x4", b"1 ", b"\t", b"\r", b"\x0b", b"\\n"];
        for _ in 0..1 + prng.below(9) {
            line.extend(pieces[prng.below(10) as usize]);
        }
        line.extend(b"\r\n");
        inputs.push(line);
    }
    for input in inputs {
        let theirs = peer.exchange(&input);
        let ours = answer(whole(&input, &Limits::default()));
        assert_eq!(
            theirs.escape_ascii().to_string(),
            ours.escape_ascii().to_string(),
            "{}",
            input.get(..40).unwrap_or(&input).escape_ascii()
        );
    }
}

/// What a server with PING and ECHO says.
fn answer(outcome: Outcome) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, Proto::Two);
    for request in &outcome.requests {
        let args = request.args();
        match (args.at(0), args.len()) {
            (b"PING", 1) => reply.simple("PONG"),
            (b"ECHO", 2) => reply.bulk(args.at(1)),
            (b"ECHO", _) => reply.error(&crate::resp::error::Error::WrongArity("echo".into())),
            _ => reply.error(&crate::resp::error::Error::unknown_command(args)),
        }
    }
    if let Step::Invalid(invalid) = outcome.end
        && let Some(error) = invalid.reply()
    {
        reply.error(&error);
    }
    out
}

/// Run with `cargo test --release --lib request_cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn request_cost() {
    let value = "v".repeat(64);
    let set = format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$64\r\n{value}\r\n");
    let get = "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n".to_owned();
    for (name, request) in [("SET", set), ("GET", get), ("PING inline", "PING\r\n".to_owned())] {
        for depth in [1, 16, 50] {
            let input = request.repeat(depth).into_bytes();
            let (mut parser, mut buffer) = (Parser::new(), Buffer::new());
            let limits = Limits::default();
            let (mut best, mut bytes) = (f64::MAX, 0);
            for _ in 0..20 {
                let rounds = 200_000 / depth;
                let start = Instant::now();
                for _ in 0..rounds {
                    buffer.fill(&input);
                    while parser.next(&mut buffer, &limits) == Step::Request {
                        let args = parser.args(&buffer);
                        bytes += std::hint::black_box(args.at(args.len() - 1)).len();
                    }
                }
                let ns = start.elapsed().as_nanos() as f64 / (rounds * depth) as f64;
                best = best.min(ns);
            }
            println!("{name} depth {depth}: {best:.1} ns a request ({bytes} bytes seen)");
        }
    }
}
