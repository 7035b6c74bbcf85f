//! Tests of payloads.

use super::*;
use crate::base::ids::ShardId;
use crate::base::prng::Prng;
use crate::resp::args::OwnedArgs;

fn cmd(words: &[&str]) -> OwnedArgs {
    OwnedArgs::of(&words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
}

/// Writes the pieces of a payload as words, one unit's piece a string.
fn read(payload: &[u8], count: u64) -> Result<Vec<String>, BadPayload> {
    let mut selected = None;
    let mut pieces = Pieces::new(payload, count, &mut selected);
    let mut seen = Vec::new();
    while let Some(piece) = pieces.next()? {
        seen.push(match piece {
            Piece::Begin(None) => "begin".to_string(),
            Piece::Begin(Some(tx)) => format!("begin {} {}", tx.id.0, tx.participants.len()),
            Piece::End => "end".to_string(),
            Piece::Command(db, args) => {
                let words = args.iter().map(|arg| String::from_utf8_lossy(arg).into_owned());
                format!("{}: {}", db.0, words.collect::<Vec<_>>().join(" "))
            }
        });
    }
    Ok(seen)
}

fn example() -> Vec<u8> {
    let mut out = Vec::new();
    let mut selected = None;
    let participants = ShardSet::of(&[ShardId(0), ShardId(2)]);
    let tx = Transaction { id: TxId(77), participants };
    let (a, b, c) = (cmd(&["SET", "k", "v"]), cmd(&["INCR", "n"]), cmd(&["DEL", "abcdefghijk"]));
    let group = [(Db(0), a.args()), (Db(1), b.args())];
    put_group(&mut out, &mut selected, Some(tx), group);
    put_command(&mut out, &mut selected, Db(1), c.args());
    put_command(&mut out, &mut selected, Db(0), a.args());
    put_group(&mut out, &mut selected, None, []);
    out
}

#[test]
fn text_is_what_redis_writes() {
    let (mut out, mut selected) = (Vec::new(), None);
    let (set, long) = (cmd(&["SET", "k", ""]), cmd(&["DEL", "abcdefghijk"]));
    put_command(&mut out, &mut selected, Db(12), set.args());
    put_command(&mut out, &mut selected, Db(12), long.args());
    let text = "*2\r\n$6\r\nSELECT\r\n$2\r\n12\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n\
                *2\r\n$3\r\nDEL\r\n$11\r\nabcdefghijk\r\n";
    assert_eq!(std::str::from_utf8(&out).unwrap(), text);
}

#[test]
fn round_trip_with_groups_transactions_and_databases() {
    let payload = example();
    let seen = read(&payload, 4).unwrap();
    let expected = [
        "begin 77 2",
        "0: SET k v",
        "1: INCR n",
        "end",
        "1: DEL abcdefghijk",
        "0: SET k v",
        "begin",
        "end",
    ];
    assert_eq!(seen, expected.map(String::from));
    let short = BadPayload { at: payload.len(), expected: "the announced units" };
    assert_eq!((read(&payload, 3), read(&payload, 5)), (Err(short), Err(short)));
    let tx = transaction_of(&payload).unwrap();
    assert_eq!((tx.id, tx.participants.len()), (TxId(77), 2));
}

#[test]
fn what_is_not_a_payload_is_refused() {
    for (payload, at, expected) in [
        ("*1\r\n$4\r\nPING\r\n", 0, "SELECT"),
        ("*2\r\n$6\r\nSELECT\r\n$1\r\nx\r\n", 0, "a database number"),
        ("*2\r\n$6\r\nSELECT\r\n$5\r\n65536\r\n", 0, "a database number"),
        ("*1\r\n$5\r\nMULTI\r\n", 15, "EXEC"),
        ("*0\r\n", 4, "a command of one word or more"),
        ("+OK\r\n", 0, "a command (*)"),
        ("*1\r\n+OK\r\n", 4, "an argument ($)"),
        ("*1\r\n$9\r\nPING\r\n", 8, "an argument of the announced length"),
        ("*1\r\n$18446744073709551615\r\nP", 27, "an argument of the announced length"),
        ("*99999999999\r\n", 14, "an argument ($)"),
        ("*1\n$4\r\nPING\r\n", 0, "a command (*)"),
        ("# no end", 0, "a line's end"),
        ("#tx 01 3\r\n", 0, "one transaction line, first"),
        ("#tx 1 3\r\n*1\r\n$4\r\nPING\r\n", 9, "MULTI"),
        ("#tx 1 3\r\n#tx 1 3\r\n", 9, "one transaction line, first"),
        ("#tx 1 3\r\n", 9, "EXEC"),
    ] {
        let found = read(payload.as_bytes(), 0);
        assert_eq!(found, Err(BadPayload { at, expected }), "{payload:?}");
    }
    let late = [example(), example()].concat();
    let bad = read(&late, 0).unwrap_err();
    assert_eq!((bad.at, bad.expected), (example().len(), "one transaction line, first"));
}

#[test]
fn comments_are_skipped_and_words_need_no_case() {
    let text = "# hand made\r\n*2\r\n$6\r\nselect\r\n$1\r\n3\r\n#\n*1\r\n$5\r\nmulti\r\n\
                *1\r\n$1\r\nA\r\n# inside\r\n*1\r\n$4\r\nexec\r\n#x\r\n";
    assert_eq!(read(text.as_bytes(), 1).unwrap(), ["begin", "3: A", "end"]);
}

#[test]
fn damaged_payloads_never_panic() {
    let example = example();
    for len in 0..example.len() {
        let _ = read(&example[..len], 4);
    }
    for seed in 0..20_000 {
        let mut prng = Prng::new(seed);
        let mut bad = example.clone();
        for _ in 0..1 + prng.below(6) {
            let at = prng.below(bad.len() as u64) as usize;
            bad[at] = *b"*$#\r\n0123456789MULTIEXC \xff".get(prng.below(26) as usize).unwrap_or(&0);
        }
        let _ = read(&bad, 4);
    }
}
