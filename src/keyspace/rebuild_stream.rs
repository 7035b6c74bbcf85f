//! The commands that make a stream anew, section by section.
//!
//! They are those of Redis' own rewrite. An entry that is pending though it was deleted is told by
//! XCLAIM with FORCE, which is believed when it comes from a log. LIMITATIONS: when a consumer was
//! last seen is not told; the time of its last delivery stands in for it.

use crate::types::stream::id::StreamId;
use crate::types::stream::parts::{Counters, Delivery, Section};

/// Gives the commands that add a section to the stream at the key.
pub fn rebuild_section(section: &Section<'_>, key: &[u8], each: &mut dyn FnMut(&[&[u8]])) {
    match section {
        Section::Entries(chunk) => {
            for entry in chunk.entries() {
                let id = entry.id.text();
                let mut args: Vec<&[u8]> = vec![b"XADD", key, &id];
                args.extend(entry.pairs().flat_map(|(field, value)| [field, value]));
                each(&args);
            }
        }
        Section::Counters(counters) => rebuild_counters(counters, key, each),
        Section::Group { name, last, read } => {
            let read = read.map_or("-1".to_owned(), |read| read.to_string());
            let id = last.text();
            each(&[b"XGROUP", b"CREATE", key, name, &id, b"ENTRIESREAD", read.as_bytes()]);
        }
        Section::Consumers { group, all } => {
            for (name, _, _) in all {
                each(&[b"XGROUP", b"CREATECONSUMER", key, group, name]);
            }
        }
        Section::Pending { group, all } => {
            for same in all.chunk_by(|one, two| one.1 == two.1) {
                rebuild_pending(same, (key, group), each);
            }
        }
    }
}

fn rebuild_counters(counters: &Counters, key: &[u8], each: &mut dyn FnMut(&[&[u8]])) {
    if counters.len == 0 {
        // An empty stream is made by an entry that does not stay.
        each(&[b"XADD", key, b"MAXLEN", b"0", b"0-1", b"x", b"y"]);
    }
    let added = counters.added.to_string();
    each(&[
        b"XSETID",
        key,
        &counters.last.text(),
        b"ENTRIESADDED",
        added.as_bytes(),
        b"MAXDELETEDID",
        &counters.max_deleted.text(),
    ]);
}

/// Entries that are pending alike.
fn rebuild_pending(
    same: &[(StreamId, Delivery<'_>)],
    (key, group): (&[u8], &[u8]),
    each: &mut dyn FnMut(&[&[u8]]),
) {
    let Some((_, one)) = same.first() else { return };
    let ids: Vec<Vec<u8>> = same.iter().map(|(id, _)| id.text()).collect();
    let (time, count) = (one.time.to_string(), one.count.to_string());
    let mut args: Vec<&[u8]> = vec![b"XCLAIM", key, group, one.consumer, b"0"];
    args.extend(ids.iter().map(Vec::as_slice));
    args.extend([b"TIME", time.as_bytes(), b"RETRYCOUNT", count.as_bytes(), b"FORCE", b"JUSTID"]);
    each(&args);
}
