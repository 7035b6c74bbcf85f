//! How the replies of several shards become the one that the client gets.

use crate::commands::digest::of_hex_parts;
use crate::commands::spec::Merge;
use crate::resp::reply::{Proto, Reply, bulk_value, elements};
use crate::router::program::Answer;

/// Writes the client's reply. An error of any shard is the reply: then none has changed anything
/// that the others have not (a command's errors depend on its arguments alone once it is split).
/// `dice` chooses where chance does.
pub fn merge(answer: &Answer, replies: &[Vec<u8>], proto: Proto, dice: u64, out: &mut Vec<u8>) {
    let parts: Vec<&[u8]> = answer
        .replies
        .iter()
        .map(|number| replies.get(*number).map(Vec::as_slice).unwrap_or_default())
        .collect();
    if let Some(error) = parts.iter().find(|part| part.first() == Some(&b'-')) {
        out.extend_from_slice(error);
        return;
    }
    let mut reply = Reply::new(out, proto);
    match answer.merge {
        Merge::Same => reply.raw(parts.first().copied().unwrap_or_default()),
        Merge::Sum => reply.integer(parts.iter().map(|part| integer(part)).sum()),
        Merge::ByKey => by_key(&mut reply, &parts, &answer.by_key),
        Merge::Found => found(&mut reply, &parts, answer),
        Merge::Concat => concat(&mut reply, &parts),
        Merge::AnyOne => any_one(&mut reply, &parts, dice),
        Merge::Xor => xor(&mut reply, &parts),
    }
}

/// The value of `:n`.
fn integer(reply: &[u8]) -> i64 {
    let digits = reply.get(1..reply.len().saturating_sub(2)).unwrap_or_default();
    std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

/// The replies inside an array.
fn inside(array: &[u8]) -> impl Iterator<Item = &[u8]> {
    let head = memchr::memchr(b'\n', array).map_or(array.len(), |at| at + 1);
    elements(array.get(head..).unwrap_or_default())
}

fn by_key(reply: &mut Reply<'_>, parts: &[&[u8]], by_key: &[usize]) {
    let mut streams: Vec<_> = parts.iter().map(|part| inside(part)).collect();
    reply.array(by_key.len());
    for part in by_key {
        let next = streams.get_mut(*part).and_then(Iterator::next);
        match next {
            Some(element) => reply.raw(element),
            None => reply.null(),
        }
    }
}

/// What was found is a pair of name and value: two elements in the map of RESP3, one array of two
/// in RESP2.
fn found(reply: &mut Reply<'_>, parts: &[&[u8]], answer: &Answer) {
    let mut queues: Vec<_> = parts.iter().map(|part| inside(part).peekable()).collect();
    let (mut all, mut count) = (Vec::new(), 0);
    for (part, name) in answer.by_key.iter().zip(&answer.names) {
        let Some(queue) = queues.get_mut(*part) else { continue };
        let Some(next) = queue.peek().copied() else { continue };
        let told = match reply.proto() {
            Proto::Two => inside(next).next().and_then(bulk_value),
            Proto::Three => bulk_value(next),
        };
        if told == Some(name) {
            let pieces = if reply.proto() == Proto::Two { 1 } else { 2 };
            queue.take(pieces).for_each(|piece| all.extend_from_slice(piece));
            count += 1;
        }
    }
    match (count, reply.proto()) {
        (0, _) => return reply.null_array(),
        (_, Proto::Two) => reply.array(count),
        (_, Proto::Three) => reply.map(count),
    }
    reply.raw(&all);
}

fn concat(reply: &mut Reply<'_>, parts: &[&[u8]]) {
    reply.array(parts.iter().map(|part| integer(head(part)) as usize).sum());
    for element in parts.iter().flat_map(|part| inside(part)) {
        reply.raw(element);
    }
}

/// The first line of a reply.
fn head(reply: &[u8]) -> &[u8] {
    let end = memchr::memchr(b'\n', reply).map_or(reply.len(), |at| at + 1);
    reply.get(..end).unwrap_or_default()
}

fn any_one(reply: &mut Reply<'_>, parts: &[&[u8]], dice: u64) {
    let some: Vec<&&[u8]> =
        parts.iter().filter(|part| !part.starts_with(b"$-1") && !part.starts_with(b"_")).collect();
    match some.get((dice % some.len().max(1) as u64) as usize) {
        Some(chosen) => reply.raw(chosen),
        None => reply.null(),
    }
}

/// Simple strings of 40 hexadecimal digits for each database.
fn xor(reply: &mut Reply<'_>, parts: &[&[u8]]) {
    let digits = parts.iter().map(|part| part.get(1..part.len() - 2).unwrap_or_default());
    reply.simple(&of_hex_parts(digits).hex());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_comes_in_the_order_of_the_keys() {
        let answer = Answer {
            replies: vec![0, 1],
            merge: Merge::Found,
            by_key: vec![1, 0, 0, 1, 0],
            names: ["a", "b", "c", "d", "b"].map(|name| name.as_bytes().to_vec()).to_vec(),
        };
        let lines = [
            (Proto::Two, "*1\r\n*2\r\n$1\r\nc\r\n*1\r\n:1\r\n", "*-1\r\n", "*1 *2 $1 c *1 :1"),
            (
                Proto::Two,
                "*2\r\n*2\r\n$1\r\nb\r\n:1\r\n*2\r\n$1\r\nb\r\n:2\r\n",
                "*1\r\n*2\r\n$1\r\nd\r\n:3\r\n",
                "*3 *2 $1 b :1 *2 $1 d :3 *2 $1 b :2",
            ),
            (
                Proto::Three,
                "%2\r\n$1\r\nb\r\n:1\r\n$1\r\nc\r\n:2\r\n",
                "%1\r\n$1\r\na\r\n:3\r\n",
                "%3 $1 a :3 $1 b :1 $1 c :2",
            ),
            (Proto::Two, "*-1\r\n", "*-1\r\n", "*-1"),
            (Proto::Three, "_\r\n", "_\r\n", "_"),
            (Proto::Two, "*-1\r\n", "-ERR x\r\n", "-ERR x"),
        ];
        for (proto, one, two, expected) in lines {
            let (mut out, replies) = (Vec::new(), [one.into(), two.into()]);
            merge(&answer, &replies, proto, 0, &mut out);
            let got = String::from_utf8(out).unwrap().replace("\r\n", " ");
            assert_eq!(got.trim_end(), expected, "{one} {two}");
        }
    }

    #[test]
    fn merges() {
        let lines: [(Merge, &[&str], &[usize], &str); 8] = [
            (Merge::Same, &["+OK\r\n", "+OK\r\n"], &[], "+OK\r\n"),
            (Merge::Sum, &[":2\r\n", ":40\r\n"], &[], ":42\r\n"),
            (Merge::Sum, &[":2\r\n", "-ERR x\r\n"], &[], "-ERR x\r\n"),
            (
                Merge::ByKey,
                &["*2\r\n$1\r\na\r\n$-1\r\n", "*1\r\n$2\r\n\r\n\r\n"],
                &[0, 1, 0],
                "*3\r\n$1\r\na\r\n$2\r\n\r\n\r\n$-1\r\n",
            ),
            (Merge::Concat, &["*1\r\n$1\r\na\r\n", "*0\r\n"], &[], "*1\r\n$1\r\na\r\n"),
            (Merge::AnyOne, &["$-1\r\n", "$1\r\nb\r\n"], &[], "$1\r\nb\r\n"),
            (Merge::AnyOne, &["$-1\r\n", "$-1\r\n"], &[], "$-1\r\n"),
            (Merge::Same, &["-ERR a\r\n", "+OK\r\n"], &[], "-ERR a\r\n"),
        ];
        for (kind, parts, order, expected) in lines {
            let replies: Vec<Vec<u8>> = parts.iter().map(|part| part.as_bytes().to_vec()).collect();
            let answer = Answer {
                replies: (0..replies.len()).collect(),
                merge: kind,
                by_key: order.to_vec(),
                names: Vec::new(),
            };
            let mut out = Vec::new();
            merge(&answer, &replies, Proto::Two, 7, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{kind:?}");
        }
    }
}
