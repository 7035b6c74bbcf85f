//! What FUNCTION DUMP gives and FUNCTION RESTORE takes: the texts of libraries outside a file.
//!
//! Valid if and only if it is: the byte 0xf5 and a string for each library, in any order, and the
//! footer that the payload of one value has (payload.rs). A file has the same pairs between its
//! items. 0xf6 is what candidates of Redis 7.0 have written, which later versions refuse.

use crate::persist::rdb::payload::{BadPayload, open, seal};
use crate::persist::rdb::scalar::{Drain, Source};

/// Stands before the text of a library.
pub const LIBRARY: u8 = 0xf5;
/// Stands before a library in the form of candidates of 7.0.
pub const OLD_LIBRARY: u8 = 0xf6;

/// Why a payload is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadLibraries {
    /// Its end: another version, or bytes were changed.
    Footer,
    /// Something else than a library.
    Kind,
    /// A library in the form of candidates.
    Old,
    /// A text that does not end.
    Text,
}

/// Appends a library.
pub fn put(out: &mut Vec<u8>, text: &[u8]) {
    let mut drain = Drain::new(out);
    drain.byte(LIBRARY);
    drain.text(text);
}

/// A payload of these texts.
pub fn dump<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    texts.for_each(|text| put(&mut payload, text));
    seal(&mut payload);
    payload
}

/// The texts of a payload.
pub fn restore(payload: &[u8]) -> Result<Vec<Vec<u8>>, BadLibraries> {
    let body = open(payload).map_err(|_: BadPayload| BadLibraries::Footer)?;
    let mut source = Source::new(body);
    let mut texts = Vec::new();
    while !source.rest().is_empty() {
        match source.byte() {
            Ok(LIBRARY) => {}
            Ok(OLD_LIBRARY) => return Err(BadLibraries::Old),
            _ => return Err(BadLibraries::Kind),
        }
        texts.push(source.text().map_err(|_| BadLibraries::Text)?.into_owned());
    }
    Ok(texts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::peer::Peer;

    const TEXT: &[u8] = b"#!lua name=lib\nredis.register_function('f', function() return 1 end)";

    #[test]
    fn what_was_dumped_is_restored_and_nothing_else() {
        let long = [TEXT, b" -- ", &b"xyz".repeat(500)].concat();
        for texts in [vec![], vec![TEXT], vec![TEXT, &long, b""]] {
            let payload = dump(texts.iter().copied());
            assert_eq!(restore(&payload).unwrap(), texts);
            for at in 0..payload.len() {
                let mut bad = payload.clone();
                bad[at] ^= 1;
                assert_eq!(restore(&bad), Err(BadLibraries::Footer));
                assert!(restore(&payload[..at]).is_err());
            }
        }
        for (body, why) in [
            (&b"\x00\x01k\x01v"[..], BadLibraries::Kind),
            (b"\xf6\x01k\x01v", BadLibraries::Old),
            (b"\xf5\x05abc", BadLibraries::Text),
            (b"\xf5", BadLibraries::Text),
            (b"\xf5\x81\xff\xff\xff\xff\xff\xff\xff\xff", BadLibraries::Text),
        ] {
            let mut payload = body.to_vec();
            seal(&mut payload);
            assert_eq!(restore(&payload), Err(why), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn a_redis_server_reads_it_and_is_read() {
        let Some(mut peer) = Peer::start() else { return };
        let long = [TEXT, b" -- ", &b"xyz".repeat(500)].concat();
        let second = b"#!lua name=two\nredis.register_function('g', function() return 2 end)";
        let ours = dump([&long[..], second].into_iter());
        assert_eq!(peer.call(&[b"FUNCTION", b"RESTORE", &ours, b"FLUSH"]), b"+OK\r\n");
        assert_eq!(peer.call(&[b"FCALL", b"g", b"0"]), b":2\r\n");
        let theirs = peer.call(&[b"FUNCTION", b"DUMP"]);
        let at = theirs.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let mut texts = restore(&theirs[at..theirs.len() - 2]).unwrap();
        texts.sort();
        let mut expected = vec![long, second.to_vec()];
        expected.sort();
        assert_eq!(texts, expected);
    }
}
