//! The table against std's map, and its promises about order.

use std::collections::{BTreeSet, HashMap};

use super::*;
use crate::base::prng::Prng;

type Held = (Vec<u8>, Meta);

fn key(prng: &mut Prng, keys: u64) -> Vec<u8> {
    let n = prng.below(keys);
    let mut key = format!("key:{n}").into_bytes();
    if n.is_multiple_of(37) {
        key.resize(200 + n as usize % 150, b'x');
    }
    key
}

fn value(prng: &mut Prng) -> Vec<u8> {
    let most = [4, 40, 200, 600, 3000];
    let most = most[prng.below(5) as usize];
    let len = prng.below(most);
    (0..len).map(|_| prng.next() as u8).collect()
}

fn new(value: &[u8]) -> New<'_, Box<[u8]>> {
    if is_small(value) { New::Inline(value) } else { New::Extern(value.into()) }
}

fn held(table: &Table<Box<[u8]>>, place: Place) -> (Vec<u8>, Held) {
    let view = table.view(place);
    let value = match view.value {
        Stored::Inline(bytes) => bytes.to_vec(),
        Stored::Extern(bytes) => bytes.to_vec(),
    };
    (view.key.to_vec(), (value, view.meta))
}

fn everything(table: &Table<Box<[u8]>>) -> Vec<(u64, Vec<u8>, Held)> {
    let (mut all, mut out, mut from) = (Vec::new(), Vec::new(), Some(0));
    while let Some(start) = from {
        from = table.ordered(start, &mut out, |_| true);
        for &place in &out {
            let (key, held) = held(table, place);
            all.push((place.hash, key, held));
        }
    }
    all
}

#[test]
fn behaves_like_a_map() {
    for seed in 0..12 {
        let mut prng = Prng::new(seed);
        let keys = [3, 300, 5000][seed as usize % 3];
        let mut table = Table::with_expected(KeyHasher::new(seed), (seed as usize % 2) * 2000);
        let mut model: HashMap<Vec<u8>, Held> = HashMap::new();
        for _ in 0..if cfg!(debug_assertions) { 15_000 } else { 60_000 } {
            let key = key(&mut prng, keys);
            let hash = table.hash(&key);
            let deadline = prng.chance(1, 3).then(|| prng.below(1000));
            let meta =
                Meta { marks: prng.below(4) as u8, clock: prng.below(1 << 24) as u32, deadline };
            let found = table.find(hash, &key);
            assert_eq!(
                found.map(|place| held(&table, place).1),
                model.get(&key).cloned(),
                "{seed}"
            );
            match (found, prng.below(10)) {
                (None, _) => {
                    let value = value(&mut prng);
                    table.insert(hash, &key, new(&value), meta);
                    model.insert(key, (value, meta));
                }
                (Some(place), 0..4) => {
                    let value = value(&mut prng);
                    let (place, _) = table.replace(place, new(&value), meta);
                    assert_eq!(held(&table, place), (key.clone(), (value.clone(), meta)), "{seed}");
                    model.insert(key, (value, meta));
                }
                (Some(place), 4..6) => {
                    table.replace(place, New::Same, meta);
                    model.get_mut(&key).unwrap().1 = meta;
                }
                (Some(place), 6) => {
                    table.set_marks(place, meta.marks);
                    table.set_clock(place, meta.clock);
                    let held = &mut model.get_mut(&key).unwrap().1;
                    (held.marks, held.clock) = (meta.marks, meta.clock);
                }
                (Some(place), _) => {
                    table.remove(place);
                    model.remove(&key);
                }
            }
            assert_eq!(table.len(), model.len(), "seed {seed}");
        }
        assert_eq!(table.recount(), table.footprint(), "seed {seed}");
        assert_eq!(
            table.deadlines(),
            model.values().filter(|held| held.1.deadline.is_some()).count()
        );
        let all = everything(&table);
        assert!(all.is_sorted_by_key(|entry| entry.0), "seed {seed}");
        assert_eq!(
            all.into_iter().map(|(_, key, held)| (key, held)).collect::<HashMap<_, _>>(),
            model
        );
    }
}

#[test]
fn due_finds_every_deadline() {
    let mut prng = Prng::new(7);
    let mut table: Table<()> = Table::new(KeyHasher::new(7));
    for n in 0..20_000_u64 {
        let key = n.to_le_bytes();
        let deadline = prng.chance(1, 2).then(|| prng.below(1_000_000));
        let hash = table.hash(&key);
        table.insert(hash, &key, New::Inline(b""), Meta { deadline, ..Meta::default() });
    }
    let (mut found, mut number, mut out) = (0, 0, Vec::new());
    while let Some(due) = table.due(number, usize::MAX, 500_000) {
        table.in_segment(due, &mut out);
        let early = |place: &&Place| table.view(**place).meta.deadline.is_some_and(|d| d < 500_000);
        found += out.iter().filter(early).count();
        number = due + 1;
    }
    let all = everything_deadlines(&table);
    assert_eq!(found, all.iter().filter(|&&deadline| deadline < 500_000).count());
    for number in 0..table.segments() {
        table.refresh_soonest(number, |()| None);
    }
    assert_eq!(table.due(0, usize::MAX, *all.first().unwrap()), None);
}

fn everything_deadlines(table: &Table<()>) -> Vec<u64> {
    let (mut all, mut out) = (Vec::new(), Vec::new());
    for number in 0..table.segments() {
        table.in_segment(number, &mut out);
        all.extend(out.iter().filter_map(|&place| table.view(place).meta.deadline));
    }
    all.sort_unstable();
    all
}

#[test]
fn random_reaches_every_entry() {
    let mut table: Table<()> = Table::new(KeyHasher::new(3));
    for n in 0..1000_u64 {
        let hash = table.hash(&n.to_le_bytes());
        table.insert(hash, &n.to_le_bytes(), New::Inline(b""), Meta::default());
    }
    let mut prng = Prng::new(3);
    let hit: BTreeSet<u64> = (0..30_000).map(|_| table.random(prng.next()).unwrap().hash).collect();
    assert_eq!(hit.len(), 1000);
}

#[test]
fn dismantles_to_nothing() {
    let mut table: Table<Box<[u8]>> = Table::new(KeyHasher::new(3));
    for n in 0..3000_u64 {
        let hash = table.hash(&n.to_le_bytes());
        table.insert(hash, &n.to_le_bytes(), New::Extern(Box::new([1])), Meta::default());
    }
    let mut externs = 0;
    while table.dismantle(|_| externs += 1) {}
    assert_eq!((externs, table.len(), table.footprint), (3000, 0, 0));
}
