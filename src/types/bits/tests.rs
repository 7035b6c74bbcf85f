//! Bits against a model of single booleans, with strings of several chunks.

use std::cell::RefCell;

use super::*;
use crate::base::prng::Prng;
use crate::types::rope::{CHUNK, Rope};

/// A string in one piece and the same in chunks, mostly all zeros or all ones.
fn sample(prng: &mut Prng, len: usize) -> Vec<u8> {
    let dull = if prng.chance(1, 2) { 0 } else { 0xff };
    let mut bytes = vec![dull; len];
    let changed = if prng.chance(1, 2) { prng.below(4) } else { prng.below(len as u64 + 1) };
    for _ in 0..changed.min(len as u64) {
        bytes[prng.below(len as u64) as usize] = prng.next() as u8;
    }
    bytes
}

fn bit(bytes: &[u8], at: u64) -> bool {
    bytes[at as usize / 8] & (0x80 >> (at % 8)) != 0
}

fn lengths(prng: &mut Prng) -> usize {
    match prng.below(6) {
        0 => prng.below(4) as usize,
        1 => CHUNK - 2 + prng.below(5) as usize,
        2 => 2 * CHUNK + prng.below(60_000) as usize,
        _ => prng.below(300) as usize,
    }
}

#[test]
fn counting_and_finding_agree_with_single_bits() {
    let mut prng = Prng::new(7);
    for _ in 0..400 {
        let len = lengths(&mut prng);
        let bytes = sample(&mut prng, len);
        let rope = RefCell::new(Rope::new(&bytes, 0));
        let all = bytes.len() as u64 * 8;
        for _ in 0..6 {
            let (a, b) = (prng.below(all + 1), prng.below(all + 1));
            let range = a.min(b)..a.max(b);
            let ones = range.clone().filter(|at| bit(&bytes, *at)).count() as u64;
            let first = |set| range.clone().find(|at| bit(&bytes, *at) == set);
            for text in [StrRef::Flat(&bytes), StrRef::Rope(rope.borrow())] {
                assert_eq!(count(&text, range.clone()), ones, "{len} {range:?}");
                assert_eq!(find(&text, range.clone(), Bit::One), first(true), "{len} {range:?}");
                assert_eq!(find(&text, range.clone(), Bit::Zero), first(false), "{len} {range:?}");
            }
        }
    }
}

#[test]
fn combining_agrees_with_single_bytes() {
    let mut prng = Prng::new(8);
    for _ in 0..200 {
        let operation = [Operation::And, Operation::Or, Operation::Xor][prng.below(3) as usize];
        let count = 1 + prng.below(5) as usize;
        let strings: Vec<Option<Vec<u8>>> = (0..count)
            .map(|_| {
                let len = lengths(&mut prng);
                prng.chance(5, 6).then(|| sample(&mut prng, len))
            })
            .collect();
        let ropes: Vec<Option<RefCell<Rope>>> = strings
            .iter()
            .map(|bytes| bytes.as_ref().map(|bytes| RefCell::new(Rope::new(bytes, 0))))
            .collect();
        let texts: Vec<Option<StrRef<'_>>> = strings
            .iter()
            .zip(&ropes)
            .map(|(bytes, rope)| match (bytes, rope, prng.chance(1, 2)) {
                (Some(_), Some(rope), true) => Some(StrRef::Rope(rope.borrow())),
                (Some(bytes), ..) => Some(StrRef::Flat(bytes)),
                _ => None,
            })
            .collect();
        let len = strings.iter().flatten().map(Vec::len).max().unwrap_or(0);
        let at = |bytes: &Option<Vec<u8>>, at: usize| {
            bytes.as_ref().and_then(|bytes| bytes.get(at)).copied().unwrap_or(0)
        };
        let expected: Vec<u8> = (0..len)
            .map(|index| {
                let bytes = strings.iter().map(|bytes| at(bytes, index));
                match operation {
                    Operation::And => bytes.reduce(|a, b| a & b),
                    Operation::Or | Operation::Not => bytes.reduce(|a, b| a | b),
                    Operation::Xor => bytes.reduce(|a, b| a ^ b),
                }
                .unwrap()
            })
            .collect();
        let mut got = vec![0x55; len];
        for offset in (0..len).step_by(CHUNK) {
            let end = len.min(offset + CHUNK);
            combine(operation, &texts, offset, &mut got[offset..end]);
        }
        assert!(got == expected, "{operation:?} {len}");
    }
    let mut out = [1; 3];
    combine(Operation::Not, &[Some(StrRef::Flat(b"\x00\x0f\xff"))], 0, &mut out);
    assert_eq!(out, [0xff, 0xf0, 0]);
    combine(Operation::Or, &[], 0, &mut out);
    assert_eq!(out, [0; 3]);
}

#[test]
fn ends_of_ranges_count_from_the_end_too() {
    for (first, last, len, expected) in [
        (0, -1, 8, 0..8),
        (0, -1, 0, 0..0),
        (2, 2, 8, 2..3),
        (-3, -2, 8, 5..7),
        (-100, 0, 8, 0..1),
        (-100, -100, 8, 0..1),
        (5, 3, 8, 0..0),
        (8, 9, 8, 0..0),
        (7, i64::MAX, 8, 7..8),
        (i64::MIN, i64::MAX, 8, 0..8),
    ] {
        assert_eq!(between(first, last, len), expected, "{first} {last} {len}");
    }
}

#[test]
fn fields_agree_with_single_bits() {
    let mut prng = Prng::new(9);
    for _ in 0..20_000 {
        let sign = if prng.chance(1, 2) { Sign::Signed } else { Sign::Unsigned };
        let bits = 1 + prng.below(if sign == Sign::Signed { 64 } else { 63 }) as u32;
        let (field, first) = (Field { sign, bits }, prng.below(8) as u32);
        let mut window = [0; WINDOW];
        window.iter_mut().for_each(|byte| *byte = prng.next() as u8);
        let read = |window: &[u8; WINDOW]| {
            let places = u64::from(first)..u64::from(first + bits);
            let value = places.fold(0_i128, |value, at| value << 1 | i128::from(bit(window, at)));
            let negative = sign == Sign::Signed && bit(window, first.into());
            if negative { value - (1 << bits) } else { value }
        };
        let old = field.read(window, first);
        assert_eq!(old, read(&window), "{field:?} {first}");
        let new = field.wrapped(i128::from(prng.next().cast_signed()));
        let written = field.write(window, first, new);
        assert_eq!(read(&written), new, "{field:?} {first}");
        assert_eq!(field.write(written, first, old), window, "{field:?} {first}");
        let least = *field.values().start();
        assert!(
            field.values().contains(&new) && (new == least || field.values().contains(&(new - 1)))
        );
    }
}

#[test]
fn what_does_not_fit_is_dealt_with_as_asked() {
    let (signed, unsigned) = (Sign::Signed, Sign::Unsigned);
    for (sign, bits, value, wrapped, nearest) in [
        (signed, 8, 128, -128, 127),
        (signed, 8, -129, 127, -128),
        (signed, 1, 1, -1, 0),
        (signed, 64, i128::from(i64::MAX) + 1, i64::MIN.into(), i64::MAX.into()),
        (unsigned, 8, 256, 0, 255),
        (unsigned, 8, -1, 255, 0),
        (unsigned, 63, i128::from(i64::MAX) + 3, 2, i64::MAX.into()),
    ] {
        let field = Field { sign, bits };
        assert_eq!(field.fit(value, Overflow::Wrap), Some(wrapped), "{field:?} {value}");
        assert_eq!(field.fit(value, Overflow::Saturate), Some(nearest), "{field:?} {value}");
        assert_eq!(field.fit(value, Overflow::Fail), None, "{field:?} {value}");
    }
    // What SET takes for an unsigned field is never below it.
    let field = Field { sign: unsigned, bits: 8 };
    assert_eq!(field.fit(field.sent(-1), Overflow::Saturate), Some(255));
    assert_eq!(field.fit(field.sent(-2), Overflow::Wrap), Some(254));
    assert_eq!(field.fit(field.sent(255), Overflow::Fail), Some(255));
    // The least number is far enough below a signed field to be above it.
    let field = Field { sign: signed, bits: 8 };
    assert_eq!(field.fit(field.sent(i64::MIN), Overflow::Saturate), Some(127));
    assert_eq!(field.fit(field.sent(i64::MIN + 127), Overflow::Saturate), Some(127));
    assert_eq!(field.fit(field.sent(i64::MIN + 128), Overflow::Saturate), Some(-128));
    assert_eq!(field.fit(field.sent(i64::MIN), Overflow::Wrap), Some(0));
    let field = Field { sign: signed, bits: 64 };
    assert_eq!(field.fit(field.sent(i64::MIN), Overflow::Fail), Some(i64::MIN.into()));
}
