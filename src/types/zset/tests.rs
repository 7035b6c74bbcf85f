//! Sorted sets against a plain map and a sorted list.

use super::*;
use crate::base::prng::Prng;
use crate::types::zset::range::{Lex, LexRange, Limit, ScoreRange};

/// A sorted list of scores and members.
type Model = Vec<(f64, Vec<u8>)>;

const LIMITS: ZsetLimits = ZsetLimits { entries: 10, value: 20 };

fn check(zset: &Zset, model: &Model, prng: &mut Prng, what: &str) {
    let expected: Vec<(f64, &[u8])> = model.iter().map(|(s, m)| (*s, &m[..])).collect();
    assert_eq!(zset.len(), model.len(), "{what}");
    let from = prng.below(model.len() as u64 + 2) as usize;
    let upwards: Vec<_> = zset.upwards(from).collect();
    assert_eq!(upwards, expected.get(from..).unwrap_or_default(), "{what}");
    let downwards: Vec<_> = zset.downwards(from).collect();
    let mut reversed = expected[..expected.len().min(from + 1)].to_vec();
    reversed.reverse();
    assert_eq!(downwards, reversed, "{what}");
    let mut scanned = Vec::new();
    let mut cursor = 0;
    loop {
        cursor = zset.scan(cursor, 7, |score, member| scanned.push((score, member.to_vec())));
        if cursor == 0 {
            break;
        }
    }
    scanned.sort_by(|a, b| order((a.0, &a.1), (b.0, &b.1)));
    assert_eq!(&scanned, model, "{what}");
    if let Zset::Big(big) = zset {
        let mut loaded = BigZset::new(KeyHasher::new(1), big.len());
        for chunk in big.tree().chunks() {
            let chunk = Packed::read(chunk.as_bytes()).expect("a chunk that is well formed");
            assert!(loaded.push_chunk(chunk.clone()), "{what}");
            assert!(!loaded.push_chunk(chunk), "a chunk that comes twice");
        }
        let again = Zset::Big(Box::new(loaded));
        assert_eq!(again.upwards(0).collect::<Vec<_>>(), expected);
        let sorted = Zset::of_sorted(expected.iter().copied(), LIMITS, &KeyHasher::new(1));
        assert_eq!(sorted.upwards(0).collect::<Vec<_>>(), expected);
        let copy = again.copy(&KeyHasher::new(1));
        assert_eq!(copy.upwards(0).collect::<Vec<_>>(), expected);
    }
}

/// The ranks of what a predicate holds for.
fn ranks(model: &Model, holds: impl Fn(f64, &[u8]) -> bool) -> Vec<usize> {
    (0..model.len()).filter(|&at| holds(model[at].0, &model[at].1)).collect()
}

fn check_scores(zset: &Zset, model: &Model, prng: &mut Prng) {
    let mut score = || [-1.5, -1.0, 0.0, -0.0, 2.0, 7.0, f64::INFINITY][prng.below(7) as usize];
    let (low, high) = (score(), score());
    let cases = [
        (Limit::Including(low), Limit::Including(high)),
        (Limit::Excluding(low), Limit::Including(high)),
        (Limit::Including(low), Limit::Excluding(high)),
        (Limit::Excluding(low), Limit::Excluding(high)),
    ];
    for (min, max) in cases {
        let expected = ranks(model, |score, _| {
            let above = match min {
                Limit::Including(min) => score >= min,
                Limit::Excluding(min) => score > min,
            };
            above
                && match max {
                    Limit::Including(max) => score <= max,
                    Limit::Excluding(max) => score < max,
                }
        });
        let got: Vec<usize> = ScoreRange { min, max }.ranks(zset).collect();
        assert_eq!(got, expected, "{min:?} {max:?}");
    }
}

#[test]
fn behaves_like_a_sorted_list() {
    let hasher = KeyHasher::new(1);
    for seed in 0..24 {
        let mut prng = Prng::new(seed);
        let (mut zset, mut model) = (Zset::default(), Model::new());
        let limits = ZsetLimits { entries: [0, 10, 128][prng.below(3) as usize], value: 20 };
        let names = [20, 300, 3000][prng.below(3) as usize];
        for step in 0..3000 {
            let mut member = prng.below(names).to_string().into_bytes();
            if names == 300 && prng.chance(1, 20) {
                member.resize(prng.below(400) as usize, b'm');
            }
            let known = model.iter().position(|entry| entry.1 == member);
            assert_eq!(zset.rank(&member), known.map(|at| (at, model[at].0)));
            assert_eq!(zset.score(&member), known.map(|at| model[at].0));
            match prng.below(8) {
                0..5 => {
                    let score = match prng.below(3) {
                        0 => prng.below(5) as f64 - 1.0,
                        1 => prng.below(1000) as f64 / 8.0,
                        _ => -0.0,
                    };
                    let change = match known {
                        Some(at) if model[at].0 == score => Change::None,
                        Some(_) => Change::Moved,
                        None => Change::New,
                    };
                    assert_eq!(zset.set(score, &member, limits, &hasher), change);
                    if change != Change::None {
                        known.map(|at| model.remove(at));
                        let key = (score, &member[..]);
                        let at = model.partition_point(|e| order((e.0, &e.1), key).is_lt());
                        model.insert(at, (score, member));
                    }
                }
                5..7 => {
                    assert_eq!(zset.remove(&member), known.is_some());
                    known.map(|at| model.remove(at));
                }
                _ if !model.is_empty() && prng.chance(1, 8) => {
                    let start = prng.below(model.len() as u64) as usize;
                    let end = start + prng.below((model.len() - start) as u64 + 1) as usize;
                    let end = end.min(start + 200);
                    zset.remove_range(start..end);
                    model.drain(start..end);
                }
                _ => {}
            }
            if step % 50 == 49 {
                check(&zset, &model, &mut prng, &format!("seed {seed} step {step}"));
                check_scores(&zset, &model, &mut prng);
            }
        }
        while let Some((_, member)) = zset.random(prng.next()) {
            let member = member.to_vec();
            assert!(zset.remove(&member));
        }
        assert!(zset.is_empty());
    }
}

#[test]
fn ranges_of_members() {
    for limits in [ZsetLimits::default(), ZsetLimits { entries: 0, value: 0 }] {
        let mut zset = Zset::default();
        for letter in b'b'..=b'h' {
            zset.set(-0.0, &[letter], limits, &KeyHasher::new(1));
        }
        let at = |word: &'static str| match word.split_at(1) {
            ("-", _) => Lex::Lowest,
            ("+", _) => Lex::Highest,
            ("[", member) => Lex::At(Limit::Including(member.as_bytes())),
            (_, member) => Lex::At(Limit::Excluding(member.as_bytes())),
        };
        let lines = [
            ("-", "+", 0..7),
            ("+", "-", 7..7),
            ("[b", "[d", 0..3),
            ("(b", "(d", 1..2),
            ("[a", "[bb", 0..1),
            ("(bb", "+", 1..7),
            ("[h", "[z", 6..7),
            ("(h", "+", 7..7),
            ("-", "(b", 0..0),
            ("[", "[", 0..0),
            ("[d", "[b", 2..2),
        ];
        for (min, max, expected) in lines {
            let range = LexRange { min: at(min), max: at(max) };
            assert_eq!(range.ranks(&zset), expected, "{min} {max}");
        }
    }
}

/// What a snapshot holds stays as it was.
#[test]
fn a_clone_of_the_tree_does_not_change() {
    let hasher = KeyHasher::new(1);
    let mut zset = Zset::default();
    for n in 0..5000 {
        let limits = ZsetLimits::default();
        zset.set(f64::from(n % 100), n.to_string().as_bytes(), limits, &hasher);
    }
    let Zset::Big(big) = &zset else { panic!("it is big") };
    let (held, before) = (big.tree().clone(), zset.upwards(0).map(own).collect::<Vec<_>>());
    for n in 0..5000 {
        if n % 3 == 0 {
            zset.remove(n.to_string().as_bytes());
        } else {
            let member = n.to_string();
            zset.set(1000.0, member.as_bytes(), ZsetLimits::default(), &hasher);
        }
    }
    let after: Vec<_> = held.chunks().flat_map(|chunk| chunk.iter().map(own)).collect();
    assert_eq!(before, after);
}

fn own((score, member): (f64, &[u8])) -> (f64, Vec<u8>) {
    (score, member.to_vec())
}
