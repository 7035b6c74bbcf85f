//! Registers against a plain array of them, and bytes that somebody has damaged.

use super::*;
use crate::base::prng::Prng;

/// The registers, if they make sense.
fn registers(sketch: &Sketch<'_>) -> Result<Vec<u8>, Corrupt> {
    let mut registers = [0; REGISTERS];
    sketch.merge_into(&mut registers)?;
    Ok(registers.to_vec())
}

#[test]
fn hashes_are_those_of_redis() {
    // Taken from a redis-server: the register that is not 0 after PFADD, and its value.
    for (element, index, rank) in HASHES {
        assert_eq!(place(element.as_bytes()), (*index, *rank), "{element:?}");
    }
}

const HASHES: &[(&str, usize, u8)] = &[
    ("", 5938, 2),
    ("a", 12_711, 2),
    ("foo", 7348, 5),
    ("12345678", 10_579, 3),
    ("0123456789abcdef", 5949, 1),
    ("hello-world-with-a-tail", 15_769, 5),
    ("x1", 13_230, 3),
];

#[test]
fn a_new_one_is_one_run_of_zeros() {
    let empty = Sketch::empty();
    assert_eq!(empty.bytes(), b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff");
    assert_eq!((empty.cached(), empty.count()), (Some(0), Ok(0)));
}

#[test]
fn registers_agree_with_an_array() {
    let mut prng = Prng::new(3);
    for round in 0..40 {
        let limit = [16, 100, 3000, SPARSE_MAX][round % 4];
        let most = [6, 33, 52, 2][prng.below(4) as usize];
        let spread = [20, 300, REGISTERS as u64][prng.below(3) as usize];
        let (mut sketch, mut model) = (Sketch::empty(), vec![0; REGISTERS]);
        let (mut dense, mut low) = (Sketch::empty(), true);
        dense.make_dense().unwrap();
        for _ in 0..prng.below(3000) {
            let (index, value) = (prng.below(spread) as usize, 1 + prng.below(most) as u8);
            let rises = model[index] < value;
            model[index] = model[index].max(value);
            low &= value <= RUN_VALUE_MAX;
            assert_eq!(sketch.raise(index, value, limit), Ok(rises));
            assert_eq!(dense.raise(index, value, limit), Ok(rises));
        }
        assert!(registers(&sketch).unwrap() == model);
        assert!(registers(&dense).unwrap() == model);
        assert_eq!(sketch.count(), dense.count());
        match sketch.encoding() {
            Encoding::Sparse => assert!(low && sketch.bytes().len() <= limit.max(18)),
            Encoding::Dense => assert!(!low || limit < SPARSE_MAX),
        }
        let runs: Vec<Run> =
            sketch.clone().runs().map_while(Result::ok).take(2 * REGISTERS).collect();
        if sketch.encoding() == Encoding::Sparse {
            assert_eq!(runs.iter().map(|run| run.len).sum::<usize>(), REGISTERS);
        }
        sketch.make_dense().unwrap();
        dense.forget_count();
        sketch.forget_count();
        assert!(sketch == dense);
    }
}

#[test]
fn counts_are_near_the_truth() {
    let mut sketch = Sketch::empty();
    for nth in 1..=200_000_u64 {
        sketch.add(&nth.to_le_bytes(), 3000).unwrap();
        if [10, 100, 1000, 10_000, 100_000, 200_000].contains(&nth) {
            let count = sketch.count().unwrap();
            assert!(count.abs_diff(nth) * 25 <= nth, "{nth} {count}");
        }
    }
    let mut registers = [0; REGISTERS];
    sketch.merge_into(&mut registers).unwrap();
    assert_eq!(Ok(count_registers(&registers)), sketch.count());
}

#[test]
fn what_is_no_sketch_is_told_apart() {
    let mut dense = Sketch::empty();
    dense.make_dense().unwrap();
    let dense = dense.bytes().to_vec();
    assert_eq!(Sketch::of(&dense).map(|sketch| sketch.encoding()), Some(Encoding::Dense));
    assert!(Sketch::of(&dense[..DENSE_LEN - 1]).is_none());
    assert!(Sketch::of(&[&dense[..], b"x"].concat()).is_none());
    for wrong in
        [&b"HYLL\x02\0\0\0\0\0\0\0\0\0\0\0\x7f\xff"[..], b"HYLL", b"HYLL\x01", b"", b"12345"]
    {
        assert!(Sketch::of(wrong).is_none(), "{wrong:?}");
    }
    // No registers at all are not enough.
    let bare = Sketch::of(b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0").unwrap();
    assert_eq!((bare.count(), bare.clone().add(b"x", 3000)), (Err(Corrupt), Err(Corrupt)));
}

#[test]
fn damage_is_found_or_does_no_harm() {
    let mut prng = Prng::new(5);
    for round in 0..3000 {
        let mut sketch = Sketch::empty();
        for _ in 0..prng.below(if round % 50 == 0 { 3000 } else { 60 }) {
            sketch.add(&prng.next().to_le_bytes(), 3000).unwrap();
        }
        let mut bytes = sketch.bytes().to_vec();
        for _ in 0..1 + prng.below(5) {
            let at = prng.below(bytes.len() as u64) as usize;
            match prng.below(4) {
                0 => bytes.truncate(at.max(1)),
                1 => bytes.insert(at, prng.next() as u8),
                _ => bytes[at] = prng.next() as u8,
            }
        }
        let Some(mut sketch) = Sketch::of(&bytes) else { continue };
        let valid = registers(&sketch);
        assert_eq!(sketch.count().is_ok(), valid.is_ok());
        assert_eq!(sketch.clone().make_dense().is_ok(), valid.is_ok());
        for _ in 0..20 {
            let limit = [16, 3000, SPARSE_MAX][prng.below(3) as usize];
            let added = sketch.add(&prng.next().to_le_bytes(), limit);
            assert!(added.is_ok() || valid.is_err());
        }
        // Nothing that is added mends or breaks it.
        assert_eq!(registers(&sketch).is_ok(), valid.is_ok());
    }
}
