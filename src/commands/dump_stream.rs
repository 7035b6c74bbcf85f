//! A stream in Redis' format.

use crate::persist::rdb::scalar::Id;
use crate::persist::rdb::stream_reader::{Meta, Pending};
use crate::persist::rdb::stream_writer::{Consumer, Group, StreamWriter};
use crate::types::stream::Stream;
use crate::types::stream::group;
use crate::types::stream::id::StreamId;

/// Appends the type and the value of a stream.
pub fn put_stream(out: &mut Vec<u8>, stream: &Stream) {
    let mut writer = StreamWriter::default();
    for entry in stream.range(StreamId::MIN, StreamId::MAX) {
        let pairs: Vec<_> = entry.pairs().collect();
        writer.entry(id(entry.id), &pairs);
    }
    let length = stream.len() as u64;
    let meta = Meta {
        length,
        last: id(stream.last),
        deleted: id(stream.max_deleted),
        added: stream.added,
    };
    let groups: Vec<Group<'_>> = stream
        .groups()
        .iter()
        .map(|(name, group)| Group {
            name,
            last: id(group.last),
            read: group.read,
            consumers: group
                .consumers()
                .iter()
                .map(|(name, consumer)| of_consumer(group, name, consumer))
                .collect(),
        })
        .collect();
    writer.finish(out, length, meta, &groups);
}

fn of_consumer<'a>(
    group: &'a group::Group,
    name: &'a [u8],
    consumer: &'a group::Consumer,
) -> Consumer<'a> {
    let pending = consumer.pending().iter().filter_map(|(at, ())| {
        let pending = group.pending().get(at)?;
        let time = i64::try_from(pending.time).unwrap_or(i64::MAX);
        Some(Pending { id: id(*at), time, count: pending.count })
    });
    let seen = i64::try_from(consumer.seen.get()).unwrap_or(i64::MAX);
    Consumer { name, seen, pending: pending.collect() }
}

fn id(id: StreamId) -> Id {
    (id.ms, id.seq)
}
