//! Changes inputs: bits, bytes, numbers, pieces of others.

use crate::base::prng::Prng;

/// Bytes of an input at most: what is wrong with a decoder shows on less.
const LONGEST: usize = 128 << 10;

/// Numbers at which decoders have gone wrong.
const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "-1",
    "1",
    "01",
    "+1",
    "127",
    "128",
    "255",
    "256",
    "32767",
    "32768",
    "65535",
    "65536",
    "1048575",
    "1048576",
    "1048577",
    "536870911",
    "536870912",
    "536870913",
    "2147483647",
    "2147483648",
    "-2147483649",
    "4294967295",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "-9223372036854775809",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999",
    "1e308",
    "1e-400",
    "nan",
    "inf",
    "0x10",
    "",
];

/// The same for numbers in binary.
const BINARY: &[u64] = &[
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0x8000,
    0xffff,
    0x10000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// An input made of one or two of the corpus.
pub fn mutated(prng: &mut Prng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut input = pick(prng, corpus);
    for _ in 0..1 + prng.below(5) {
        once(prng, &mut input, corpus);
        input.truncate(LONGEST);
    }
    input
}

fn pick(prng: &mut Prng, corpus: &[Vec<u8>]) -> Vec<u8> {
    corpus.get(prng.below(corpus.len() as u64) as usize).cloned().unwrap_or_default()
}

/// A place within the input, or at its end.
fn place(prng: &mut Prng, input: &[u8]) -> usize {
    prng.below(input.len() as u64 + 1) as usize
}

/// A range that is short more often than long.
fn range(prng: &mut Prng, input: &[u8]) -> std::ops::Range<usize> {
    let from = place(prng, input);
    let longest = if prng.chance(1, 4) { input.len() as u64 } else { 16 };
    let to = (from + prng.below(longest + 1) as usize).min(input.len());
    from..to
}

fn once(prng: &mut Prng, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    match prng.below(11) {
        0 | 1 if !input.is_empty() => {
            let at = prng.below(input.len() as u64) as usize;
            input[at] ^= 1 << prng.below(8);
        }
        2 if !input.is_empty() => {
            let at = prng.below(input.len() as u64) as usize;
            let odd = b"\0\xff\x80\x7f\r\n *$#\"'\\[]-^?{}+:09azAZ";
            input[at] = odd[prng.below(odd.len() as u64) as usize];
        }
        3 => {
            let (at, count) = (place(prng, input), prng.below(9));
            let bytes: Vec<u8> = (0..count).map(|_| prng.next() as u8).collect();
            input.splice(at..at, bytes);
        }
        4 => drop(input.drain(range(prng, input))),
        5 => {
            let (piece, at) = (input[range(prng, input)].to_vec(), place(prng, input));
            input.splice(at..at, piece);
        }
        6 => {
            let other = pick(prng, corpus);
            let (piece, over) = (other[range(prng, &other)].to_vec(), range(prng, input));
            input.splice(over, piece);
        }
        7 | 8 => number(prng, input),
        9 => {
            let value = BINARY[prng.below(BINARY.len() as u64) as usize];
            let bytes = value.to_le_bytes();
            let width = [1, 2, 4, 8][prng.below(4) as usize];
            let at = place(prng, input);
            let end = (at + width).min(input.len());
            input.splice(at..end, bytes[..width].iter().copied());
        }
        _ => {
            let length = place(prng, input);
            input.truncate(length);
        }
    }
}

/// Puts an extreme number where digits are.
fn number(prng: &mut Prng, input: &mut Vec<u8>) {
    let from = place(prng, input);
    let digit = |byte: &u8| byte.is_ascii_digit();
    let Some(start) = input[from..].iter().position(digit).map(|at| from + at) else { return };
    let length = input[start..].iter().take_while(|byte| digit(byte)).count();
    let value = NUMBERS[prng.below(NUMBERS.len() as u64) as usize];
    input.splice(start..start + length, value.bytes());
}
