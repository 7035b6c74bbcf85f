//! The numbers and names that files use for the types of values, and counts of entries by type.

use crate::types::value::Kind;

/// The types, in the order of their numbers in files. A number is never given to another type.
pub const KINDS: [Kind; 6] =
    [Kind::String, Kind::Hash, Kind::List, Kind::Set, Kind::Zset, Kind::Stream];

/// How many entries of each type there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    by_kind: [u64; KINDS.len()],
}

/// The number of a type in files.
pub fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::String => 0,
        Kind::Hash => 1,
        Kind::List => 2,
        Kind::Set => 3,
        Kind::Zset => 4,
        Kind::Stream => 5,
    }
}

/// The type with this number in files.
pub fn kind_of_number(number: u8) -> Option<Kind> {
    KINDS.get(usize::from(number)).copied()
}

impl Counts {
    /// Counts one entry.
    #[inline]
    pub fn add(&mut self, kind: Kind) {
        if let Some(count) = self.by_kind.get_mut(usize::from(kind_number(kind))) {
            *count += 1;
        }
    }

    /// Entries of one type.
    pub fn of(&self, kind: Kind) -> u64 {
        self.by_kind.get(usize::from(kind_number(kind))).copied().unwrap_or(0)
    }

    /// Sets the number of entries of one type.
    pub fn set(&mut self, kind: Kind, count: u64) {
        if let Some(slot) = self.by_kind.get_mut(usize::from(kind_number(kind))) {
            *slot = count;
        }
    }

    /// Entries of all types.
    pub fn total(&self) -> u64 {
        self.by_kind.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// `string:3,hash:4`, without types that have none; `none` if all have none.
    pub fn to_text(&self) -> String {
        let text: Vec<String> = KINDS
            .into_iter()
            .filter(|kind| self.of(*kind) > 0)
            .map(|kind| format!("{}:{}", kind.name(), self.of(kind)))
            .collect();
        if text.is_empty() { "none".to_string() } else { text.join(",") }
    }

    /// Reads what `to_text` wrote.
    pub fn parse(text: &str) -> Option<Counts> {
        let mut counts = Counts::default();
        for part in text.split(',').filter(|_| text != "none") {
            let (name, count) = part.split_once(':')?;
            let kind = KINDS.into_iter().find(|kind| kind.name() == name)?;
            counts.set(kind, count.parse().ok()?);
        }
        (counts.to_text() == text).then_some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text() {
        for (number, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(usize::from(kind_number(kind)), number);
            assert_eq!(kind_of_number(number as u8), Some(kind));
        }
        assert_eq!(kind_of_number(KINDS.len() as u8), None);
        let mut counts = Counts::default();
        assert_eq!(counts.to_text(), "none");
        counts.add(Kind::Hash);
        assert_eq!(counts.to_text(), "hash:1");
        counts.set(Kind::String, 10);
        assert_eq!((counts.to_text().as_str(), counts.total()), ("string:10,hash:1", 11));
        for text in ["none", "hash:1", "string:10,hash:1"] {
            assert_eq!(Counts::parse(text).map(|counts| counts.to_text()).as_deref(), Some(text));
        }
        for bad in
            ["", "hash:0", "hash:1,string:10", "hash:01", "hash", "x:1", "hash:1,", "hash:+1"]
        {
            assert_eq!(Counts::parse(bad), None, "{bad}");
        }
    }
}
