//! A small hash of which a field has, or has had, a deadline: pairs (flat.rs) whose values end with
//! six bytes, the moment after which the field is gone, little endian, or 0 for none.

use crate::types::flat::{Flat, LENGTH_MAX};

/// The latest deadline that a field can have, as in Redis: the year 4199.
pub const DEADLINE_MAX: u64 = (1 << 46) - 1;

/// Bytes behind each value.
const SUFFIX: usize = 6;

/// Fields, values and deadlines.
#[derive(Clone, Debug, Default)]
pub struct Timed {
    flat: Flat,
}

/// A field, its value and its deadline.
pub type Row<'a> = (&'a [u8], &'a [u8], Option<u64>);

impl Timed {
    /// The same fields without deadlines; nothing if a value is too long to get one.
    pub fn of(flat: &Flat) -> Option<Timed> {
        let mut timed = Timed::default();
        for (field, value) in flat.pairs() {
            if !Timed::holds(value) {
                return None;
            }
            timed.flat.push(field, &with_suffix(value, None));
        }
        Some(timed)
    }

    /// Is the value short enough?
    pub fn holds(value: &[u8]) -> bool {
        value.len() + SUFFIX <= LENGTH_MAX
    }

    /// Bytes that come from elsewhere, if they are valid.
    pub fn verified(bytes: &[u8]) -> Option<Timed> {
        let flat = Flat::verified(bytes)?;
        let whole = |(_, value): (&[u8], &[u8])| {
            split(value).is_some_and(|(_, at)| at.is_none_or(|at| at <= DEADLINE_MAX))
        };
        let all = flat.pairs().all(whole);
        all.then_some(Timed { flat })
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.flat.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.flat.is_empty()
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        self.flat.bytes()
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.flat.as_bytes()
    }

    /// As one piece of memory.
    pub fn into_bytes(self) -> Box<[u8]> {
        self.flat.into_bytes()
    }

    /// The fields in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> + Clone {
        self.flat.pairs().filter_map(|(field, value)| {
            let (value, deadline) = split(value)?;
            Some((field, value, deadline))
        })
    }

    /// The value and the deadline of a field.
    pub fn get(&self, field: &[u8]) -> Option<(&[u8], Option<u64>)> {
        split(self.flat.get(field)?)
    }

    /// Sets a field, whose lengths and number the caller has checked; says whether it is new.
    pub fn set(&mut self, field: &[u8], value: &[u8], deadline: Option<u64>) -> bool {
        self.flat.set(field, &with_suffix(value, deadline))
    }

    /// Removes a field; says whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        self.flat.remove(field)
    }

    /// Nothing has a deadline before this moment.
    pub fn soonest(&self) -> Option<u64> {
        self.rows().filter_map(|row| row.2).min()
    }
}

fn with_suffix(value: &[u8], deadline: Option<u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(value.len() + SUFFIX);
    bytes.extend_from_slice(value);
    bytes.extend(deadline.unwrap_or(0).to_le_bytes().into_iter().take(SUFFIX));
    bytes
}

fn split(value: &[u8]) -> Option<(&[u8], Option<u64>)> {
    let (value, &[a, b, c, d, e, f]) = value.split_last_chunk::<SUFFIX>()?;
    let deadline = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    Some((value, (deadline != 0).then_some(deadline)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_deadlines() {
        let mut flat = Flat::default();
        flat.push(b"a", b"1");
        flat.push(b"b", b"");
        let mut timed = Timed::of(&flat).unwrap();
        assert_eq!((timed.get(b"b"), timed.soonest()), (Some((&b""[..], None)), None));
        assert!(!timed.set(b"b", b"long", Some(DEADLINE_MAX)));
        assert!(timed.set(b"c", b"3", Some(7)));
        let rows: Vec<_> = timed.rows().collect();
        let (a, b): (Row<'_>, Row<'_>) = ((b"a", b"1", None), (b"b", b"long", Some(DEADLINE_MAX)));
        assert_eq!(rows, [a, b, (b"c", b"3", Some(7))]);
        assert_eq!(timed.soonest(), Some(7));
        assert!(timed.remove(b"c") && !timed.remove(b"c"));
        assert_eq!(timed.soonest(), Some(DEADLINE_MAX));
    }

    #[test]
    fn only_valid_bytes_are_taken() {
        let mut timed = Timed::default();
        timed.set(b"a", b"1", Some(5));
        timed.set(b"b", &[7; 300], None);
        let good = timed.as_bytes().to_vec();
        assert_eq!(Timed::verified(&good).unwrap().rows().count(), 2);
        for len in 0..good.len() {
            assert!(Timed::verified(&good[..len]).is_none(), "{len}");
        }
        for bad in [
            &b"\x00\x00"[..],
            b"\x01\x00\x01a\x05\x00\x00\x00\x00\x00",
            b"\x01\x00\x01a\x06\x00\x00\x00\x00\x00\xff",
            b"\x02\x00\x01a\x06\x00\x00\x00\x00\x00\x00\x01a\x06\x00\x00\x00\x00\x00\x00",
            b"\x01\x00\xff\x01\x00a\x06\x00\x00\x00\x00\x00\x00",
        ] {
            assert!(Timed::verified(bad).is_none(), "{bad:?}");
        }
    }
}
