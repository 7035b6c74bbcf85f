//! Sealing a segment again whose text was edited by hand: commands were taken out, changed or
//! added between its annotation lines, which stay as they are.
//!
//! Each record gets the count, the length and the checksums that its payload has now, and the lsn
//! that follows the record before. What is read has to be text of the same form (payload.rs), but
//! nothing in the lines about it is believed except epoch, time and policy.

use crate::base::ids::{Epoch, Lsn};
use crate::base::wire::decimal;
use crate::persist::fault::StorageFault;
use crate::persist::payload::{BadPayload, Pieces, Selected};
use crate::persist::record::{Header, LINE, MARK, SegmentId};

/// Reads one edited segment in blocks and gives the bytes of the new one.
#[derive(Debug)]
pub struct Reseal {
    file: String,
    /// What the lines name.
    old: SegmentId,
    /// What they are to name.
    new: SegmentId,
    /// Records from this lsn on had been cut off before.
    before: Option<Lsn>,
    next: Lsn,
    last: Epoch,
    selected: Selected,
    buffer: Vec<u8>,
    offset: u64,
    ended: bool,
}

/// Whether more of the file is to come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Feeding {
    More,
    Done,
}

/// How far a payload goes.
enum Extent {
    /// So many bytes, with so many units.
    Whole(usize, u32),
    /// Its end is not there yet.
    Unknown,
}

impl Reseal {
    /// For a segment that begins with lsn `first`. Its records from `before` on are not part of the
    /// database.
    pub fn new(
        file: impl Into<String>,
        (old, new): (SegmentId, SegmentId),
        first: Lsn,
        before: Option<Lsn>,
    ) -> Reseal {
        let (last, selected, buffer, offset) = (Epoch(0), None, Vec::new(), 0);
        let (file, next, ended) = (file.into(), first, false);
        Reseal { file, old, new, before, next, last, selected, buffer, offset, ended }
    }

    /// The next block of the edited file; what of the new one is ready is added to `out`.
    pub fn feed(&mut self, block: &[u8], out: &mut Vec<u8>) -> Result<(), StorageFault> {
        self.buffer.extend_from_slice(block);
        self.work(Feeding::More, out)
    }

    /// After the last block: the lsn that follows, and the highest epoch.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<(Lsn, Epoch), StorageFault> {
        self.work(Feeding::Done, out)?;
        Ok((self.next, self.last))
    }

    fn work(&mut self, feeding: Feeding, out: &mut Vec<u8>) -> Result<(), StorageFault> {
        let buffer = std::mem::take(&mut self.buffer);
        let mut at = 0;
        while !self.ended {
            let rest = buffer.get(at..).unwrap_or_default();
            // Preallocated space behind the last record.
            if rest.iter().all(|byte| *byte == 0) {
                break;
            }
            match self.record(rest, feeding, out)? {
                Some(length) => {
                    at += length;
                    self.offset += length as u64;
                }
                None => break,
            }
        }
        self.buffer = buffer.get(at..).unwrap_or_default().to_vec();
        Ok(())
    }

    /// Seals the record that `bytes` begin with; nothing if its end is not there yet.
    fn record(
        &mut self,
        bytes: &[u8],
        feeding: Feeding,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, StorageFault> {
        let Some((line, rest)) = bytes.split_at_checked(LINE) else {
            return match feeding {
                Feeding::More => Ok(None),
                Feeding::Done => Err(self.fault(0, "a whole annotation line")),
            };
        };
        let header = Header::read_unsealed(line, self.old)
            .ok_or_else(|| self.fault(0, "an annotation line of this segment, as it was"))?;
        if self.before.is_some_and(|before| header.first >= before) {
            self.ended = true;
            return Ok(Some(0));
        }
        let bad = |this: &Reseal, bad: BadPayload| this.fault(LINE + bad.at, bad.expected);
        let (length, count) = match extent(rest, feeding).map_err(|found| bad(self, found))? {
            Extent::Unknown => return Ok(None),
            Extent::Whole(length, count) => (length, count),
        };
        let payload = rest.get(..length).unwrap_or_default();
        let mut pieces = Pieces::new(payload, u64::from(count), &mut self.selected);
        let fault = loop {
            match pieces.next() {
                Ok(Some(_)) => {}
                Ok(None) => break None,
                Err(found) => break Some(found),
            }
        };
        if let Some(found) = fault {
            return Err(bad(self, found));
        }
        // What was durable then is said of lsns that are others now.
        let synced = Lsn(header.synced.0.min(self.next.0.saturating_sub(1)));
        let header = Header { first: self.next, count, payload: length as u64, synced, ..header };
        out.extend_from_slice(&header.write(self.new, payload));
        out.extend_from_slice(payload);
        self.next = header.next();
        self.last = self.last.max(header.epoch);
        Ok(Some(LINE + length))
    }

    fn fault(&self, at: usize, expected: &str) -> StorageFault {
        StorageFault::new(&self.file, self.offset + at as u64, expected, "something else")
    }
}

/// Goes over commands and lines up to the next annotation line, the end or zeros.
fn extent(bytes: &[u8], feeding: Feeding) -> Result<Extent, BadPayload> {
    let (mut at, mut units, mut inside) = (0, 0u32, false);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let undecided = rest.len() < MARK.len() && MARK.starts_with(rest);
        if undecided && feeding == Feeding::More {
            return Ok(Extent::Unknown);
        }
        let ends = rest.is_empty() || rest.starts_with(MARK) || rest.first() == Some(&0);
        if ends {
            return match inside {
                false => Ok(Extent::Whole(at, units)),
                true => Err(BadPayload { at, expected: "EXEC" }),
            };
        }
        let step = match rest.first() {
            Some(b'#') => memchr::memchr(b'\n', rest).map(|end| (end + 1, Word::Line)),
            _ => command(rest).map_err(|bad| BadPayload { at: at + bad.at, ..bad })?,
        };
        let Some((length, word)) = step else {
            return match feeding {
                Feeding::More => Ok(Extent::Unknown),
                Feeding::Done => Err(BadPayload { at, expected: "a whole command" }),
            };
        };
        match (word, inside) {
            (Word::Multi, _) => inside = true,
            (Word::Exec, true) => {
                inside = false;
                units += 1;
            }
            (Word::Exec, false) => return Err(BadPayload { at, expected: "MULTI before EXEC" }),
            (Word::Other, false) => units += 1,
            (Word::Other, true) | (Word::Line | Word::Select, _) => {}
        }
        at += length;
    }
}

/// What a command means for units.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Word {
    Line,
    Select,
    Multi,
    Exec,
    Other,
}

/// The length of the command that `bytes` begin with; nothing if its end is not there.
fn command(bytes: &[u8]) -> Result<Option<(usize, Word)>, BadPayload> {
    let Some((count, mut at)) = number(bytes, 0, b'*')? else { return Ok(None) };
    let mut first: &[u8] = b"";
    for index in 0..count {
        let Some((length, start)) = number(bytes, at, b'$')? else { return Ok(None) };
        let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length));
        let expected = "an argument of the announced length";
        let end = end.ok_or(BadPayload { at, expected })?;
        let Some(behind) = bytes.get(end..end.saturating_add(2)) else { return Ok(None) };
        if behind != b"\r\n" {
            return Err(BadPayload { at, expected });
        }
        if index == 0 {
            first = bytes.get(start..end).unwrap_or_default();
        }
        at = end + 2;
    }
    let word = match (first.to_ascii_uppercase().as_slice(), count) {
        (_, 0) => return Err(BadPayload { at: 0, expected: "a command of one word or more" }),
        (b"MULTI", 1) => Word::Multi,
        (b"EXEC", 1) => Word::Exec,
        (b"SELECT", 2) => Word::Select,
        _ => Word::Other,
    };
    Ok(Some((at, word)))
}

/// The number behind a mark, and where its line ends; nothing if that is not there.
fn number(bytes: &[u8], at: usize, mark: u8) -> Result<Option<(u64, usize)>, BadPayload> {
    let expected = if mark == b'*' { "a command (*)" } else { "an argument ($)" };
    let bad = BadPayload { at, expected };
    let rest = bytes.get(at..).unwrap_or_default();
    // 20 digits, the mark and the line's end.
    let line = rest.get(..rest.len().min(23)).unwrap_or_default();
    if line.first().is_some_and(|first| *first != mark) {
        return Err(bad);
    }
    let Some(end) = memchr::memchr(b'\n', line) else {
        return if line.len() < 23 { Ok(None) } else { Err(bad) };
    };
    let digits = end.checked_sub(1).and_then(|end| line.get(1..end));
    let value = digits.and_then(decimal).ok_or(bad)?;
    if line.get(end - 1) != Some(&b'\r') {
        return Err(bad);
    }
    Ok(Some((value, at + end + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ShardId;
    use crate::persist::record::{Policy, RunId};
    use crate::persist::segment_scan::Tail;
    use crate::persist::segment_scan::tests::{Step, bytes_of, scan};

    const OLD: SegmentId = SegmentId { run: RunId(99), shard: ShardId(0), number: 7 };
    const NEW: SegmentId = SegmentId { number: 8, ..OLD };

    fn text() -> Vec<u8> {
        use Step::{Commit, Set, Tx};
        bytes_of(OLD, Policy::Always, true, &[Set(1), Set(1), Tx(5, 2), Commit(2), Set(3), Set(4)])
    }

    fn reseal(text: &[u8], block: usize) -> Result<(Vec<u8>, u64, u64), StorageFault> {
        let mut out = Vec::new();
        let mut reseal = Reseal::new("f", (OLD, NEW), Lsn(1), None);
        for block in text.chunks(block) {
            reseal.feed(block, &mut out)?;
        }
        let (next, last) = reseal.finish(&mut out)?;
        Ok((out, next.0, last.0))
    }

    fn without(text: &[u8], words: &[u8]) -> Vec<u8> {
        let at = memchr::memmem::find(text, words).unwrap();
        [&text[..at], &text[at + words.len()..]].concat()
    }

    fn set(key: &str) -> Vec<u8> {
        let value = "v".repeat(20);
        format!("*3\r\n$3\r\nSET\r\n$4\r\n{key}\r\n$20\r\n{value}\r\n").into_bytes()
    }

    #[test]
    fn what_was_edited_is_sealed() {
        for (edited, next, last) in [
            (text(), 6, 4),
            (without(&text(), &set("key1")), 5, 4),
            (without(&without(&text(), &set("key4")), &set("key5")), 4, 4),
            (without(&text(), &set("key2")), 6, 4),
            ([text(), vec![0; 5000]].concat(), 6, 4),
            (text()[..LINE].to_vec(), 1, 1),
            (Vec::new(), 1, 0),
        ] {
            for block in [1, 13, 1 << 20] {
                let (sealed, after, epoch) = reseal(&edited, block).unwrap();
                let found = scan(NEW, &sealed, 1 << 20);
                assert_eq!((found.length, found.tail), (sealed.len() as u64, Tail::Clean));
                assert_eq!((found.next.unwrap_or(Lsn(1)), after), (Lsn(next), next));
                assert_eq!(epoch, last);
                assert!(found.synced < Lsn(next));
            }
        }
    }

    #[test]
    fn what_is_no_text_of_a_segment_is_named() {
        let good = text();
        let select = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
        let exec = b"*1\r\n$4\r\nEXEC\r\n";
        for (edited, expected) in [
            (without(&good, select), "SELECT"),
            (without(&good, exec), "EXEC"),
            (without(&good, b"*1\r\n$5\r\nMULTI\r\n"), "MULTI before EXEC"),
            (without(&good, b"$4\r\nkey1\r\n"), "an argument ($)"),
            (good[..good.len() - 1].to_vec(), "a whole command"),
            ([good.clone(), b"x".to_vec()].concat(), "a command (*)"),
            (good[1..].to_vec(), "an annotation line"),
            (set("key1").repeat(9), "an annotation line"),
        ] {
            for block in [7, 1 << 20] {
                let fault = reseal(&edited, block).unwrap_err();
                assert!(fault.expected.contains(expected), "{expected}: {fault}");
            }
        }
    }

    #[test]
    fn what_had_been_cut_off_stays_so() {
        let mut out = Vec::new();
        let mut reseal = Reseal::new("f", (OLD, NEW), Lsn(1), Some(Lsn(4)));
        reseal.feed(&text(), &mut out).unwrap();
        assert_eq!(reseal.finish(&mut out), Ok((Lsn(4), Epoch(2))));
    }
}
