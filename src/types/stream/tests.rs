//! Streams against plain sorted maps.

use std::collections::BTreeMap;

use super::*;
use crate::base::prng::Prng;
use crate::types::stream::group::Pending;

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

fn add(stream: &mut Stream, id: StreamId, pairs: &Fields, nodes: Nodes) {
    let size = pairs.iter().map(|(field, value)| field.len() + value.len()).sum();
    stream.append(id, pairs.iter().map(|(f, v)| (&f[..], &v[..])), size, nodes);
}

fn trim(stream: &mut Stream, trim: Trim, exactness: Exactness) -> u64 {
    let surplus = stream.surplus(trim, exactness);
    stream.cut_front(surplus);
    surplus as u64
}

fn owned(entry: Entry<'_>) -> (StreamId, Fields) {
    (entry.id, entry.pairs().map(|(f, v)| (f.to_vec(), v.to_vec())).collect())
}

fn some_id(prng: &mut Prng, last: StreamId) -> StreamId {
    match prng.below(10) {
        0 => StreamId::MIN,
        1 => StreamId::MAX,
        _ => StreamId { ms: prng.below(last.ms + 2), seq: prng.below(4) },
    }
}

fn check(stream: &Stream, model: &BTreeMap<StreamId, Fields>, prng: &mut Prng) {
    assert_eq!(stream.len(), model.len());
    assert_eq!(stream.first_id(), model.keys().next().copied().unwrap_or_default());
    assert_eq!(stream.last_id(), model.keys().last().copied().unwrap_or_default());
    let (start, end) = (some_id(prng, stream.last), some_id(prng, stream.last));
    assert_eq!(stream.contains(start), model.contains_key(&start));
    let inside = |id: &StreamId| (start..=end).contains(id);
    let wanted: Vec<_> =
        model.iter().filter(|(id, _)| inside(id)).map(|(id, f)| (*id, f.clone())).collect();
    assert_eq!(stream.range(start, end).map(owned).collect::<Vec<_>>(), wanted);
    let mut backward: Vec<_> = stream.backward(start, end).map(owned).collect();
    backward.reverse();
    assert_eq!(backward, wanted);
    assert_eq!(stream.count(start, end), wanted.len());
}

#[test]
fn behaves_like_a_sorted_map_and_clones_stay_as_they_were() {
    for seed in 0..60 {
        let mut prng = Prng::new(seed);
        let nodes = Nodes { entries: [0, 1, 7, 100][prng.below(4) as usize], bytes: 600 };
        let (mut stream, mut model) = (Stream::default(), BTreeMap::new());
        let mut kept: Vec<(Stream, BTreeMap<StreamId, Fields>)> = Vec::new();
        for step in 0..600 {
            match prng.below(12) {
                0 => {
                    let id = some_id(&mut prng, stream.last);
                    assert_eq!(stream.delete(id), model.remove(&id).is_some());
                }
                1 => {
                    let id = model.keys().nth(prng.below(model.len() as u64 + 1) as usize);
                    if let Some(id) = id.copied() {
                        assert!(stream.delete(id));
                        model.remove(&id);
                    }
                }
                2 if prng.chance(1, 4) => {
                    let max = prng.below(model.len() as u64 + 2);
                    let gone = (model.len() as u64).saturating_sub(max);
                    assert_eq!(trim(&mut stream, Trim::MaxLen(max), Exactness::Exact), gone);
                    (0..gone).for_each(|_| drop(model.pop_first()));
                }
                3 if prng.chance(1, 4) => {
                    let min = StreamId { ms: prng.below(stream.last.ms + 2), seq: 1 };
                    let left = model.split_off(&min);
                    let gone = model.len() as u64;
                    assert_eq!(trim(&mut stream, Trim::MinId(min), Exactness::Exact), gone);
                    model = left;
                }
                _ => {
                    let ms = stream.last.ms + prng.below(2);
                    let seq = if ms == stream.last.ms { stream.last.seq + 1 } else { 0 };
                    let count = 1 + prng.below(3);
                    let pairs = (0..count)
                        .map(|n| (vec![b'f'; n as usize], vec![b'v'; prng.below(40) as usize]))
                        .collect();
                    add(&mut stream, StreamId { ms, seq }, &pairs, nodes);
                    model.insert(StreamId { ms, seq }, pairs);
                }
            }
            check(&stream, &model, &mut prng);
            if step % 100 == 0 {
                kept.push((stream.clone(), model.clone()));
            }
        }
        for (stream, model) in &kept {
            check(stream, model, &mut prng);
        }
    }
}

#[test]
fn trims_with_a_tilde_by_whole_chunks() {
    let pairs: Fields = vec![(b"f".to_vec(), b"v".to_vec())];
    // Limit, length wanted, entries that go: of 100 in chunks of 10.
    let lines = [(0, 55, 40), (30, 55, 30), (9, 0, 0), (10, 0, 10), (0, 100, 0), (0, 0, 100)];
    for (limit, max, gone) in lines {
        let mut stream = Stream::default();
        for ms in 1..=100 {
            let nodes = Nodes { entries: 10, bytes: 0 };
            add(&mut stream, StreamId { ms, seq: 0 }, &pairs, nodes);
        }
        assert_eq!(stream.chunk_count(), 10);
        let mut again = stream.clone();
        let trimmed = trim(&mut stream, Trim::MaxLen(max), Exactness::Chunks(limit));
        assert_eq!(trimmed, gone, "{limit} {max}");
        let min = StreamId { ms: 101 - max, seq: 0 };
        let trimmed = trim(&mut again, Trim::MinId(min), Exactness::Chunks(limit));
        assert_eq!(trimmed, gone, "{limit} {max}");
    }
}

#[test]
fn pending_entries_have_one_owner() {
    for seed in 0..40 {
        let mut prng = Prng::new(seed);
        let mut group = Group::default();
        let mut model: BTreeMap<StreamId, Pending> = BTreeMap::new();
        let names = [b"a", b"b", b"c"];
        for step in 0..2000 {
            let id = StreamId { ms: prng.below(300), seq: 0 };
            let name = names[prng.below(3) as usize];
            match prng.below(40) {
                0 => {
                    let held = model.values().filter(|one| *one.consumer == name[..]).count();
                    model.retain(|_, one| *one.consumer != name[..]);
                    let removed = group.remove_consumer(name);
                    assert!(removed.is_none_or(|count| count == held), "seed {seed} step {step}");
                }
                1..15 => assert_eq!(group.acknowledge(id), model.remove(&id).is_some()),
                _ => {
                    group.add_consumer(name, step, None);
                    let one = Pending { consumer: Name::from(&name[..]), time: step, count: 1 };
                    group.assign(id, one.clone());
                    model.insert(id, one);
                }
            }
            if step % 100 != 99 {
                continue;
            }
            assert!(group.pending().iter().map(|(id, one)| (id, one)).eq(model.iter()));
            for name in names {
                let owned = model.iter().filter(|(_, one)| *one.consumer == name[..]);
                let listed = group.consumer(name).map(|one| one.pending().iter());
                let listed = listed.into_iter().flatten().map(|(id, ())| *id);
                assert!(listed.eq(owned.map(|(id, _)| *id)), "seed {seed} step {step}");
            }
        }
    }
}

#[test]
fn neighbours_of_an_id() {
    let id = |ms, seq| StreamId { ms, seq };
    assert_eq!(id(1, 2).next(), Some(id(1, 3)));
    assert_eq!(id(1, u64::MAX).next(), Some(id(2, 0)));
    assert_eq!(StreamId::MAX.next(), None);
    assert_eq!(id(1, 2).before(), Some(id(1, 1)));
    assert_eq!(id(1, 0).before(), Some(id(0, u64::MAX)));
    assert_eq!(StreamId::MIN.before(), None);
    assert_eq!(id(1, 2).text(), b"1-2");
    assert_eq!(StreamId::MAX.to_string(), "18446744073709551615-18446744073709551615");
}
