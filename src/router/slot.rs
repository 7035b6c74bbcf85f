//! Which shard owns a key: CRC16 of the key or its `{tag}`, as in Redis Cluster's specification.

use crate::base::ids::{ShardId, Slot, SlotRange};

/// Slots in all.
pub const SLOTS: u16 = 16384;

/// `TABLES[n][byte]`: the CRC16 (XMODEM) of a byte with `n` zeros behind it.
const TABLES: [[u16; 256]; WORD] = tables();
/// Bytes that are taken in at a time.
const WORD: usize = 8;

#[expect(clippy::indexing_slicing, reason = "within the bounds of the loops, at compile time")]
const fn tables() -> [[u16; 256]; WORD] {
    let mut tables = [[0; 256]; WORD];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut zeros = 0;
        while zeros < WORD {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
                bit += 1;
            }
            tables[zeros][byte] = crc;
            zeros += 1;
        }
        byte += 1;
    }
    tables
}

/// Eight bytes at a time, each looked up in the table of what stands behind it: none of the
/// lookups waits for another. The register starts at zero, so zeros before the key change nothing:
/// what is left of its length over eights comes first, filled up with them.
fn crc16(bytes: &[u8]) -> u16 {
    let (first, words) = bytes.as_rchunks::<WORD>();
    let start = match first {
        [] => 0,
        first => take_in(0, first.iter().fold(0, |word, &byte| word << 8 | u64::from(byte))),
    };
    words.iter().fold(start, |crc, word| take_in(crc, u64::from_be_bytes(*word)))
}

/// The register after eight more bytes.
fn take_in(crc: u16, word: u64) -> u16 {
    let word = word ^ u64::from(crc) << 48;
    let bytes = TABLES.iter().zip(word.to_le_bytes());
    bytes.fold(0, |crc, (table, byte)| {
        crc ^ table.get(usize::from(byte)).copied().unwrap_or_default()
    })
}

/// The part of the key that is hashed: what stands between the first `{` and the next `}` when
/// that is not empty, otherwise all of it.
fn tagged(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else { return key };
    let rest = key.get(open + 1..).unwrap_or_default();
    match memchr::memchr(b'}', rest) {
        Some(close) if close > 0 => rest.get(..close).unwrap_or_default(),
        _ => key,
    }
}

/// The slot of a key.
pub fn slot(key: &[u8]) -> Slot {
    Slot(crc16(tagged(key)) % SLOTS)
}

/// The owner of a slot: contiguous ranges of nearly equal size, the same for every start with this
/// number of shards.
pub fn owner(slot: Slot, shards: u16) -> ShardId {
    ShardId((u32::from(slot.0) * u32::from(shards) / u32::from(SLOTS)) as u16)
}

/// What each shard owns, as a manifest lists it: contiguous ranges in ascending order.
pub fn ranges(shards: u16) -> Vec<SlotRange> {
    let mut ranges: Vec<SlotRange> = Vec::new();
    for slot in 0..SLOTS {
        let shard = owner(Slot(slot), shards);
        match ranges.last_mut() {
            Some(range) if range.shard == shard => range.last = slot,
            _ => ranges.push(SlotRange { first: slot, last: slot, shard }),
        }
    }
    ranges
}

/// The shard that owns a key.
pub fn shard_of(key: &[u8], shards: u16) -> ShardId {
    // With one shard there is nothing to compute; the common small machine pays nothing.
    if shards == 1 { ShardId(0) } else { owner(slot(key), shards) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // CLUSTER KEYSLOT of redis-server 7.0.15.
        for (key, expected) in [
            ("", 0),
            ("123456789", 12739),
            ("foo", 12182),
            ("{user1000}.following", 3443),
            ("{user1000}.followers", 3443),
            ("foo{}{bar}", 8363),
            ("foo{{bar}}zap", 4015),
            ("foo{bar}{zap}", 5061),
        ] {
            assert_eq!(slot(key.as_bytes()).0, expected, "{key}");
        }
    }

    #[test]
    fn words_at_a_time_are_what_bits_one_by_one_are() {
        let bits = |bytes: &[u8]| {
            bytes.iter().fold(0_u16, |crc, &byte| {
                (0..8).fold(crc ^ u16::from(byte) << 8, |crc, _| {
                    if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 }
                })
            })
        };
        let mut prng = Prng::new(1);
        for len in 0..100 {
            let key: Vec<u8> = (0..len).map(|_| prng.next() as u8).collect();
            assert_eq!(crc16(&key), bits(&key), "{key:?}");
        }
    }

    #[test]
    fn every_shard_owns_a_contiguous_share() {
        for shards in 1..=64u16 {
            let mut last = 0;
            let mut count = vec![0u32; usize::from(shards)];
            for s in 0..SLOTS {
                let owner = owner(Slot(s), shards).0;
                assert!(owner == last || owner == last + 1);
                last = owner;
                count[usize::from(owner)] += 1;
            }
            let (min, max) = (count.iter().min().unwrap(), count.iter().max().unwrap());
            assert_eq!(last, shards - 1);
            assert!(max - min <= 1, "{shards}: {min}..{max}");
        }
    }
}
