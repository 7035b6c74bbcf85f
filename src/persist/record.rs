//! One record of a segment: an annotation line, then its payload.
//!
//! ```text
//! #r1 s=000 g=00000007 l=0000000000000012 n=0000003 e=000000000040 d=000000000038
//!     y=0000000000000009 t=1700000000000 p=e b=0000000123 h=1a2b3c4d c=0123456789abcdef CR LF
//! payload of b bytes: RESP commands (payload.rs)
//! ```
//!
//! (on one line). Every field has a fixed width, so a line is sealed in the place that was left for
//! it when the record was begun. `s` shard, `g` number of the segment, `l` lsn of the first unit,
//! `n` units in the payload, `e` epoch of all of them, `d` the epoch up to which every shard was
//! durable when the record was sealed, `y` the lsn up to which this shard was, `t` wall clock in
//! milliseconds, `p` appendfsync at that time (a, e or n), `b` bytes of payload; all decimal.
//!
//! `h` is the low half of the CRC-64 over the run id of the segment and the line before ` h=`: with
//! it the length can be trusted before the payload is there. `c` is the CRC-64 over the run id, the
//! line before ` c=` and the payload. The run id is in the checksum and not in the line: together
//! with `s` and `g` it is the identity of the segment, so a stale, swapped or planted block fails.
//!
//! A record is valid if and only if its line is exactly what `Header::write` writes, `h` and `c`
//! hold, and its lsn follows: `l` is the lsn after the last unit of the record before, or the first
//! lsn of the segment. A record with n=0 and b=0 is a commit record: it only carries `d` and `y`.

use crate::base::checksum::Crc64;
use crate::base::ids::{Epoch, Lsn, ShardId};
use crate::base::mutant::Mutant;
use crate::base::time::Millis;
use crate::base::wire::{decimal, hex, put_decimal, put_hex};

/// The identity of one life of the database: drawn at random at every start that writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u128);

/// The identity of a segment. Numbers are never used twice for a shard of one database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentId {
    /// The run that made it.
    pub run: RunId,
    /// Whose log it is part of.
    pub shard: ShardId,
    /// Its number, as in its name.
    pub number: u64,
}

/// What was promised about records at the time they were sealed: `appendfsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// A reply waits for the sync.
    Always,
    /// Synced every second.
    EverySecond,
    /// Synced when the kernel likes.
    No,
}

/// What the annotation line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The lsn of the first unit; in a commit record the lsn that comes next.
    pub first: Lsn,
    /// How many units the payload has.
    pub count: u32,
    /// The epoch of all of them.
    pub epoch: Epoch,
    /// All shards were durable up to this epoch when the record was sealed.
    pub durable: Epoch,
    /// This shard was durable up to this lsn when the record was sealed.
    pub synced: Lsn,
    /// The wall clock when the record was sealed.
    pub now: Millis,
    /// The policy when the record was sealed.
    pub policy: Policy,
    /// Bytes of payload.
    pub payload: u64,
}

/// A header whose `h` holds, and the checksum that its payload has to complete.
#[derive(Clone, Debug)]
pub struct Announced {
    header: Header,
    crc: Crc64,
    expected: u64,
}

const TEMPLATE: &[u8; LINE] = b"#r1 s=000 g=00000000 l=0000000000000000 n=0000000 \
    e=000000000000 d=000000000000 y=0000000000000000 t=0000000000000 p=a b=0000000000 \
    h=00000000 c=0000000000000000\r\n";

/// Length of an annotation line, its end included.
pub const LINE: usize = 163;
/// What every annotation line starts with.
pub const MARK: &[u8] = b"#r1 s=";

type Field = std::ops::Range<usize>;
const SHARD: Field = 6..9;
const NUMBER: Field = 12..20;
const FIRST: Field = 23..39;
const COUNT: Field = 42..49;
const EPOCH: Field = 52..64;
const DURABLE: Field = 67..79;
const SYNCED: Field = 82..98;
const TIME: Field = 101..114;
const POLICY: usize = 117;
const PAYLOAD: Field = 121..131;
const HEAD_CRC: Field = 134..142;
const CRC: Field = 145..161;

impl Policy {
    /// The letter of the annotation line.
    pub fn letter(self) -> u8 {
        match self {
            Policy::Always => b'a',
            Policy::EverySecond => b'e',
            Policy::No => b'n',
        }
    }

    /// The word of the setting, also in the manifest.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Always => "always",
            Policy::EverySecond => "everysec",
            Policy::No => "no",
        }
    }

    /// All policies.
    pub const ALL: [Policy; 3] = [Policy::Always, Policy::EverySecond, Policy::No];
}

impl Header {
    /// The lsn that follows the last unit.
    pub fn next(&self) -> Lsn {
        Lsn(self.first.0 + u64::from(self.count))
    }

    /// Does the record only carry figures?
    pub fn is_commit(&self) -> bool {
        self.count == 0
    }

    /// The line that seals `payload` under this header, whose `payload` field is its length.
    pub fn write(&self, id: SegmentId, payload: &[u8]) -> [u8; LINE] {
        let mut line = self.fields(id);
        let mut crc = Crc64::new();
        crc.update(&id.run.0.to_le_bytes());
        let (head, _) = line.split_at(HEAD_CRC.start - 3);
        crc.update(head);
        let head_crc = u128::from(crc.value() as u32);
        put_hex(field(&mut line, HEAD_CRC), head_crc);
        let (_, middle) = line.split_at(HEAD_CRC.start - 3);
        crc.update(middle.split_at(CRC.start - HEAD_CRC.start).0);
        crc.update(payload);
        put_hex(field(&mut line, CRC), u128::from(crc.value()));
        line
    }

    /// The line without its checksums.
    fn fields(&self, id: SegmentId) -> [u8; LINE] {
        let mut line = *TEMPLATE;
        let mut fits = put_decimal(field(&mut line, SHARD), u64::from(id.shard.0));
        fits &= put_decimal(field(&mut line, NUMBER), id.number);
        fits &= put_decimal(field(&mut line, FIRST), self.first.0);
        fits &= put_decimal(field(&mut line, COUNT), u64::from(self.count));
        fits &= put_decimal(field(&mut line, EPOCH), self.epoch.0);
        fits &= put_decimal(field(&mut line, DURABLE), self.durable.0);
        fits &= put_decimal(field(&mut line, SYNCED), self.synced.0);
        fits &= put_decimal(field(&mut line, TIME), self.now.0.min(9_999_999_999_999));
        fits &= put_decimal(field(&mut line, PAYLOAD), self.payload);
        if let Some(letter) = line.get_mut(POLICY) {
            *letter = self.policy.letter();
        }
        // A record that could not be read again must not reach the file.
        assert!(fits, "a record's field outgrew its width: {self:?} of {id:?}");
        line
    }

    /// What a line of segment `id` says whose record was edited by hand: it has the form of one,
    /// and no more is known of it.
    pub fn read_unsealed(line: &[u8], id: SegmentId) -> Option<Header> {
        let line: &[u8; LINE] = line.get(..LINE)?.try_into().ok()?;
        let header = Header::said(line)?;
        let ours = line.starts_with(MARK) && line.ends_with(b"\r\n");
        let number = |range: Field| line.get(range).and_then(decimal);
        let same = number(SHARD)? == u64::from(id.shard.0) && number(NUMBER)? == id.number;
        (ours && same).then_some(header)
    }

    fn said(line: &[u8; LINE]) -> Option<Header> {
        let number = |range: Field| line.get(range).and_then(decimal);
        let letter = *line.get(POLICY)?;
        Some(Header {
            first: Lsn(number(FIRST)?),
            count: u32::try_from(number(COUNT)?).ok()?,
            epoch: Epoch(number(EPOCH)?),
            durable: Epoch(number(DURABLE)?),
            synced: Lsn(number(SYNCED)?),
            now: Millis(number(TIME)?),
            policy: Policy::ALL.into_iter().find(|policy| policy.letter() == letter)?,
            payload: number(PAYLOAD)?,
        })
    }

    /// The header that a line of segment `id` carries, if the line is one and its `h` holds.
    pub fn read(line: &[u8], id: SegmentId) -> Option<Announced> {
        let line: &[u8; LINE] = line.get(..LINE)?.try_into().ok()?;
        let header = Header::said(line)?;
        // Everything up to ` h=` must be what would have been written, so there is one line for
        // each header; shard and number of `id` are compared by the same means.
        let same = header.fields(id);
        let (head, rest) = line.split_at(HEAD_CRC.start);
        if head != same.split_at(HEAD_CRC.start).0 || line.get(142..145)? != b" c=" {
            return None;
        }
        if (header.count == 0) != (header.payload == 0) || line.get(161..)? != b"\r\n" {
            return None;
        }
        let mut crc = Crc64::new();
        crc.update(&id.run.0.to_le_bytes());
        crc.update(head.split_at(HEAD_CRC.start - 3).0);
        let holds = hex(line.get(HEAD_CRC)?)? == u128::from(crc.value() as u32);
        crc.update(b" h=");
        crc.update(rest.split_at(HEAD_CRC.len()).0);
        let expected = hex(line.get(CRC)?)? as u64;
        holds.then_some(Announced { header, crc, expected })
    }
}

/// Could these bytes, fewer than `LINE`, be the beginning of a line of segment `id` whose first lsn
/// is `first`, if that is known?
pub fn begins(bytes: &[u8], id: SegmentId, first: Option<Lsn>) -> bool {
    let mut line = *TEMPLATE;
    let mut fits = put_decimal(field(&mut line, SHARD), u64::from(id.shard.0));
    fits &= put_decimal(field(&mut line, NUMBER), id.number);
    fits &= first.is_none_or(|first| put_decimal(field(&mut line, FIRST), first.0));
    let free = [COUNT, EPOCH, DURABLE, SYNCED, TIME, PAYLOAD, HEAD_CRC, CRC];
    let is_free = |at: usize| {
        free.iter().any(|field| field.contains(&at)) || (first.is_none() && FIRST.contains(&at))
    };
    let mut both = bytes.iter().zip(line).enumerate();
    fits && both.all(|(at, (byte, expected))| match at {
        POLICY => Policy::ALL.iter().any(|policy| policy.letter() == *byte),
        _ if is_free(at) => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        _ => *byte == expected,
    })
}

impl Announced {
    /// What the line says; its payload is not verified yet.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Adds the next bytes of the payload.
    pub fn update(&mut self, payload: &[u8]) {
        self.crc.update(payload);
    }

    /// After the whole payload: the header, if the record's checksum holds.
    pub fn verified(&self) -> Option<Header> {
        let holds = self.crc.value() == self.expected || Mutant::UncheckedPayload.is_on();
        holds.then_some(self.header)
    }
}

fn field(line: &mut [u8; LINE], range: Field) -> &mut [u8] {
    line.get_mut(range).expect("fields lie within the line")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    const ID: SegmentId = SegmentId { run: RunId(0xfeed << 100), shard: ShardId(3), number: 7 };

    fn header(payload: u64) -> Header {
        Header {
            first: Lsn(12),
            count: u32::from(payload > 0),
            epoch: Epoch(40),
            durable: Epoch(38),
            synced: Lsn(9),
            now: Millis(1_700_000_000_000),
            policy: Policy::EverySecond,
            payload,
        }
    }

    fn read(line: &[u8], id: SegmentId, payload: &[u8]) -> Option<Header> {
        let mut announced = Header::read(line, id)?;
        announced.update(payload);
        announced.verified()
    }

    #[test]
    fn the_template_has_its_fields_where_they_are_said_to_be() {
        for (range, key) in [
            (SHARD, "s"),
            (NUMBER, "g"),
            (FIRST, "l"),
            (COUNT, "n"),
            (EPOCH, "e"),
            (DURABLE, "d"),
            (SYNCED, "y"),
            (TIME, "t"),
            (POLICY..POLICY + 1, "p"),
            (PAYLOAD, "b"),
            (HEAD_CRC, "h"),
            (CRC, "c"),
        ] {
            let text = std::str::from_utf8(TEMPLATE).unwrap();
            assert_eq!(text[range.start - 3..range.start], format!(" {key}="));
            assert!(matches!(&text[range.end..range.end + 1], " " | "\r"));
        }
        const { assert!(LINE <= 1024) };
    }

    #[test]
    fn round_trip() {
        for (payload, policy) in [(&b"hello"[..], Policy::Always), (b"", Policy::No)] {
            let header = Header { policy, ..header(payload.len() as u64) };
            let line = header.write(ID, payload);
            assert!(line.starts_with(MARK) && line.ends_with(b"\r\n"));
            assert_eq!(read(&line, ID, payload), Some(header));
            assert_eq!(header.next(), Lsn(12 + u64::from(header.count)));
            assert_eq!(header.is_commit(), payload.is_empty());
        }
    }

    #[test]
    fn no_other_identity_and_no_flipped_bit_passes() {
        let payload = b"payload";
        let line = header(7).write(ID, payload);
        for other in [
            SegmentId { run: RunId(1), ..ID },
            SegmentId { shard: ShardId(4), ..ID },
            SegmentId { number: 8, ..ID },
        ] {
            assert_eq!(read(&line, other, payload), None);
        }
        for bit in 0..LINE * 8 {
            let mut bad = line;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad, ID, payload), None, "bit {bit} of the line");
        }
        for bit in 0..payload.len() * 8 {
            let mut bad = *payload;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&line, ID, &bad), None, "bit {bit} of the payload");
        }
        for len in 0..LINE {
            assert_eq!(read(&line[..len], ID, payload), None);
        }
        for len in 0..payload.len() {
            assert_eq!(read(&line, ID, &payload[..len]), None);
        }
    }

    #[test]
    fn garbage_is_refused() {
        let mut prng = Prng::new(5);
        let line = header(7).write(ID, b"payload");
        for round in 0..20_000 {
            let mut bad = line;
            for _ in 0..1 + prng.below(8) {
                bad[prng.below(LINE as u64) as usize] = prng.next() as u8;
            }
            let refused = read(&bad, ID, b"payload").is_none();
            assert!(refused || bad == line, "round {round}");
        }
    }
}
