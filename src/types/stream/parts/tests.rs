//! Streams taken apart and put together again.

use super::*;
use crate::base::prng::Prng;
use crate::types::stream::chunk::Nodes;

/// A stream with groups in which something is pending, deleted entries among it.
fn some_stream(prng: &mut Prng) -> Stream {
    let mut stream = Stream::default();
    let nodes = Nodes { entries: 1 + prng.below(30), bytes: 4096 };
    let entries = prng.below(800);
    for ms in 1..=entries {
        let pairs = [(&b"field"[..], &b"value"[..]), (b"n", b"1")];
        stream.append(StreamId { ms, seq: prng.below(3) }, pairs.into_iter(), 12, nodes);
    }
    for number in 0..prng.below(5) {
        let name = format!("group {number}").into_bytes();
        let read = prng.chance(1, 2).then_some(prng.below(9));
        stream.add_group(&name, Group::new(StreamId { ms: number, seq: 1 }, read));
        stream.edit_group(&name, |group| {
            for step in 0..prng.below(600) {
                let consumer = format!("consumer {}", prng.below(100)).into_bytes();
                group.add_consumer(&consumer, step, prng.chance(1, 2).then_some(step));
                let id = StreamId { ms: prng.below(entries + 1), seq: 0 };
                let consumer = Name::from(consumer);
                group.assign(id, Pending { consumer, time: step, count: prng.below(4) });
            }
        });
    }
    for _ in 0..prng.below(20) {
        stream.delete(StreamId { ms: prng.below(entries + 1), seq: prng.below(3) });
    }
    stream
}

fn told(stream: &Stream) -> String {
    let mut text = format!("{} {} {}\n", stream.last, stream.max_deleted, stream.added);
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        text += &format!("{} {:?}\n", entry.id, entry.pairs().collect::<Vec<_>>());
    }
    for (name, group) in stream.groups().iter() {
        text += &format!("{name:?} {} {:?}\n", group.last, group.read);
        text += &format!("{:?}\n", group.pending().iter().collect::<Vec<_>>());
        for (name, one) in group.consumers().iter() {
            let ids: Vec<_> = one.pending().iter().collect();
            text += &format!("{name:?} {} {:?} {ids:?}\n", one.seen.get(), one.active);
        }
    }
    text
}

fn parts(stream: &Stream) -> Vec<Vec<u8>> {
    let (mut parts, mut all) = (StreamParts::new(stream), Vec::new());
    while let Some((part, _)) = parts.next_part() {
        all.push(part.to_vec());
    }
    all
}

#[test]
fn parts_make_the_same_stream() {
    for seed in 0..60 {
        let mut prng = Prng::new(seed);
        let mut stream = some_stream(&mut prng);
        let (before, mut taken) = (told(&stream), StreamParts::new(&stream));
        let elements = stream.len() as u64 + 1;
        // What changes while the parts are taken does not show.
        let mut building = StreamBuilding::default();
        while let Some((part, _)) = taken.next_part() {
            assert!(building.push(part).is_some(), "seed {seed}");
            stream.cut_front(prng.below(9) as usize);
            stream.delete(StreamId { ms: prng.below(800), seq: 0 });
            stream.edit_group(b"group 1", |group| {
                group.acknowledge(StreamId { ms: prng.below(800), seq: 0 });
                group.remove_consumer(format!("consumer {}", prng.below(100)).as_bytes());
            });
        }
        assert_eq!(building.elements(), elements, "seed {seed}");
        assert_eq!(told(&building.finish()), before, "seed {seed}");
    }
}

#[test]
fn garbage_is_refused_or_read() {
    for seed in 0..500 {
        let mut prng = Prng::new(seed % 30);
        let mut all = parts(&some_stream(&mut prng));
        let mut prng = Prng::new(seed);
        for _ in 0..1 + prng.below(3) {
            let part = prng.below(all.len() as u64) as usize;
            let at = prng.below(all[part].len() as u64) as usize;
            all[part][at] = prng.next() as u8;
        }
        let mut building = StreamBuilding::default();
        if all.iter().all(|part| building.push(part).is_some()) {
            told(&building.finish());
        }
    }
}

#[test]
fn everything_is_freed() {
    for seed in 0..30 {
        let mut prng = Prng::new(seed);
        let stream = some_stream(&mut prng);
        let other = stream.clone();
        let chunks = stream.entries.chunks().count();
        let mut shared = StreamRemains::of_stream(stream);
        assert_eq!(std::iter::from_fn(|| shared.free_one()).sum::<usize>(), 0, "seed {seed}");
        let (mut freed, mut steps) = (0, 0);
        let bytes = other.entries.bytes();
        let mut remains = StreamRemains::of_stream(other);
        while let Some(bytes) = remains.free_one() {
            (freed, steps) = (freed + bytes, steps + 1);
        }
        assert!(freed >= bytes && steps >= chunks, "seed {seed}: {freed} of {bytes}");
    }
}
