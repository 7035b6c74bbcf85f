//! How the replies of several shards become the one that the client gets.

use crate::commands::digest::of_hex_parts;
use crate::commands::spec::Merge;
use crate::resp::reply::{Proto, Reply, elements};
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
            };
            let mut out = Vec::new();
            merge(&answer, &replies, Proto::Two, 7, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), expected, "{kind:?}");
        }
    }
}
