//! A set of shards in 32 bytes: the participants of a transaction.

use crate::base::ids::ShardId;
use crate::limits::SHARDS_MAX;

/// A set of shards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardSet {
    /// Bit s of the 256-bit number stands for shard s; the lowest word first.
    words: [u64; SHARDS_MAX / 64],
}

impl ShardSet {
    /// The set of the given shards.
    pub fn of(shards: &[ShardId]) -> ShardSet {
        let mut set = ShardSet::default();
        for shard in shards {
            set.insert(*shard);
        }
        set
    }

    /// Adds a shard, which is below `SHARDS_MAX`.
    pub fn insert(&mut self, shard: ShardId) {
        let word = self.words.get_mut(shard.index() / 64);
        *word.expect("the number of shards is bounded") |= 1 << (shard.index() % 64);
    }

    /// Is the shard in it?
    pub fn contains(&self, shard: ShardId) -> bool {
        let word = self.words.get(shard.index() / 64).copied().unwrap_or(0);
        word >> (shard.index() % 64) & 1 == 1
    }

    /// Its shards in order.
    pub fn iter(&self) -> impl Iterator<Item = ShardId> + use<> {
        let set = *self;
        (0..SHARDS_MAX as u16).map(ShardId).filter(move |shard| set.contains(*shard))
    }

    /// How many shards are in it.
    pub fn len(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no shard is in it.
    pub fn is_empty(&self) -> bool {
        self.words == [0; SHARDS_MAX / 64]
    }

    /// Appends the number in hexadecimal, without leading zeros.
    pub fn write_hex(&self, out: &mut Vec<u8>) {
        let mut begun = false;
        for nibble in (0..SHARDS_MAX / 4).rev() {
            let word = self.words.get(nibble / 16).copied().unwrap_or(0);
            let digit = (word >> (nibble % 16 * 4) & 15) as u8;
            begun |= digit != 0 || nibble == 0;
            if begun {
                out.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
            }
        }
    }

    /// The set that `write_hex` wrote; nothing if it did not write this.
    pub fn parse_hex(digits: &[u8]) -> Option<ShardSet> {
        let mut set = ShardSet::default();
        for (nibble, digit) in digits.iter().rev().enumerate() {
            let value = match digit {
                b'0'..=b'9' => digit - b'0',
                b'a'..=b'f' => digit - b'a' + 10,
                _ => return None,
            };
            *set.words.get_mut(nibble / 16)? |= u64::from(value) << (nibble % 16 * 4);
        }
        let leading_zero = digits.len() > 1 && digits.first() == Some(&b'0');
        if digits.is_empty() || leading_zero { None } else { Some(set) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for (shards, text) in [
            (&[][..], "0"),
            (&[0], "1"),
            (&[0, 3], "9"),
            (&[4], "10"),
            (&[63, 64], "18000000000000000"),
            (&[255], "8000000000000000000000000000000000000000000000000000000000000000"),
        ] {
            let shards: Vec<ShardId> = shards.iter().map(|s| ShardId(*s)).collect();
            let set = ShardSet::of(&shards);
            let mut hex = Vec::new();
            set.write_hex(&mut hex);
            assert_eq!(std::str::from_utf8(&hex).unwrap(), text);
            assert_eq!(ShardSet::parse_hex(&hex), Some(set));
            assert_eq!(set.iter().collect::<Vec<_>>(), shards);
            assert_eq!((set.len(), set.is_empty()), (shards.len(), shards.is_empty()));
        }
        let long = "1".repeat(65);
        for bad in ["", "01", "g", "A", &long] {
            assert_eq!(ShardSet::parse_hex(bad.as_bytes()), None, "{bad}");
        }
    }
}
