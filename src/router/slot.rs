//! Which shard owns a key: CRC16 of the key or its `{tag}`, as in Redis Cluster's specification.

use crate::base::ids::{ShardId, Slot, SlotRange};

/// Slots in all.
pub const SLOTS: u16 = 16384;

const TABLE: [u16; 256] = table();

/// The CRC16 (XMODEM) table, one entry a byte.
const fn table() -> [u16; 256] {
    let mut table = [0u16; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 != 0 { (crc << 1) ^ 0x1021 } else { crc << 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "byte < 256, and this runs at compile time")]
        {
            table[byte] = crc;
        }
        byte += 1;
    }
    table
}

fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let index = usize::from((crc >> 8) as u8 ^ byte);
        (crc << 8) ^ TABLE.get(index).copied().unwrap_or_default()
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
