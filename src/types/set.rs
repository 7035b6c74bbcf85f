//! A set: integers packed while there are few, else a few members packed, else a segmented table
//! with a polarity bit a member.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::number::parse_i64;
use crate::base::table::KeyHasher;
use crate::types::hash::BigHash;
use crate::types::ints::Ints;
use crate::types::members::{COUNT_MAX, LENGTH_MAX, MARK, Members};
use crate::types::value::Encoding;

/// Up to what a set is small: set-max-intset-entries, set-max-listpack-entries and
/// set-max-listpack-value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetLimits {
    /// Integers.
    pub ints: usize,
    /// Members, if not all are integers.
    pub entries: usize,
    /// Bytes of a member.
    pub value: usize,
}

/// A set value. Read it here; change it only through `keyspace::SetMut`.
#[derive(Clone, Debug)]
pub enum Set {
    /// Integers only.
    Ints(Ints),
    /// A few members.
    Flat(Members),
    /// Many: fields with empty values. It never becomes small again. A snapshot in progress
    /// shares it.
    Big(Rc<RefCell<BigHash>>),
}

/// What adding to a small set came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is a new member.
    New,
    /// It is a member already.
    Known,
    /// The set has to be enlarged first; nothing was done.
    TooBig,
}

impl Default for SetLimits {
    fn default() -> SetLimits {
        SetLimits { ints: 512, entries: 128, value: 64 }
    }
}

impl SetLimits {
    /// May a packed set have `count` members, the longest of them of `len` bytes?
    fn allow(self, count: usize, len: usize) -> bool {
        count <= self.entries.min(COUNT_MAX) && len <= self.value.min(LENGTH_MAX)
    }
}

impl Default for Set {
    fn default() -> Set {
        Set::Ints(Ints::default())
    }
}

impl Set {
    /// Number of members.
    pub fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Flat(members) => members.len(),
            Set::Big(big) => big.borrow().len(),
        }
    }

    /// Whether there is no member.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Is it a member?
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => parse_i64(member).is_some_and(|value| ints.contains(value)),
            Set::Flat(members) => members.contains(member),
            Set::Big(big) => big.borrow().get(member).is_some(),
        }
    }

    /// Calls `each` with every member: integers ascending, others in the order in which they came
    /// while the set is small, hash order when big.
    pub fn for_each(&self, mut each: impl FnMut(&[u8])) {
        match self {
            Set::Ints(ints) => {
                let mut digits = itoa::Buffer::new();
                ints.iter().for_each(|value| each(digits.format(value).as_bytes()));
            }
            Set::Flat(members) => members.iter().for_each(each),
            Set::Big(big) => big.borrow().for_each(&mut |member, _, _| each(member)),
        }
    }

    /// The same until `each` says false; says whether it went through.
    pub fn all(&self, mut each: impl FnMut(&[u8]) -> bool) -> bool {
        match self {
            Set::Ints(ints) => {
                let mut digits = itoa::Buffer::new();
                ints.iter().all(|value| each(digits.format(value).as_bytes()))
            }
            Set::Flat(members) => members.iter().all(each),
            Set::Big(big) => big.borrow().all(&mut |member, _| each(member)),
        }
    }

    /// Visits about `count` members from `cursor` (0 at first) on; returns the next cursor, 0 at
    /// the end. A small set is returned whole. What is there throughout is visited at least once.
    pub fn scan(&self, cursor: u64, count: usize, mut each: impl FnMut(&[u8])) -> u64 {
        match self {
            Set::Big(big) => big.borrow().scan(cursor, count, &mut |member, _, _| each(member)),
            Set::Ints(_) | Set::Flat(_) => {
                self.for_each(each);
                0
            }
        }
    }

    /// A member chosen at random by `dice`, a random number; nothing when empty.
    pub fn random(&self, dice: u64, each: impl FnOnce(&[u8])) {
        let nth = dice.checked_rem(self.len() as u64).unwrap_or_default() as usize;
        match self {
            Set::Ints(ints) => {
                if let Some(value) = ints.get(nth) {
                    each(itoa::Buffer::new().format(value).as_bytes());
                }
            }
            Set::Flat(members) => {
                if let Some(member) = members.iter().nth(nth) {
                    each(member);
                }
            }
            Set::Big(big) => big.borrow().random(dice, |member, _, _| each(member)),
        }
    }

    /// Bytes of memory that it holds.
    pub fn bytes(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.bytes(),
            Set::Flat(members) => members.bytes(),
            Set::Big(big) => big.borrow().bytes(),
        }
    }

    /// What OBJECT ENCODING calls it.
    pub fn encoding(&self) -> Encoding {
        match self {
            Set::Ints(_) => Encoding::Intset,
            Set::Flat(_) => Encoding::Listpack,
            Set::Big(_) => Encoding::Hashtable,
        }
    }

    /// Adds a member to a small set; a big one is too big.
    pub fn add(&mut self, member: &[u8], limits: SetLimits) -> Added {
        let new = |new| if new { Added::New } else { Added::Known };
        match self {
            Set::Ints(ints) => match parse_i64(member) {
                Some(value) if ints.len() < limits.ints => new(ints.insert(value)),
                Some(value) if ints.contains(value) => Added::Known,
                // An empty set of integers that may hold none becomes one of other members.
                Some(_) if !ints.is_empty() => Added::TooBig,
                _ => self.add_first_text(member, limits),
            },
            Set::Flat(members) => {
                if members.contains(member) {
                    Added::Known
                } else if limits.allow(members.len() + 1, member.len()) {
                    members.push(member);
                    Added::New
                } else {
                    Added::TooBig
                }
            }
            Set::Big(_) => Added::TooBig,
        }
    }

    /// The bytes of a small set.
    pub fn whole(&self) -> Option<&[u8]> {
        match self {
            Set::Ints(ints) => Some(ints.as_bytes()),
            Set::Flat(members) => Some(members.as_bytes()),
            Set::Big(_) => None,
        }
    }

    /// Takes the bytes of a small set, which is empty afterwards.
    pub fn take_whole(&mut self) -> Box<[u8]> {
        match std::mem::take(self) {
            Set::Ints(ints) => ints.into_bytes(),
            Set::Flat(members) => members.into_bytes(),
            Set::Big(big) => {
                *self = Set::Big(big);
                Box::default()
            }
        }
    }

    /// A small set from bytes that came from elsewhere, if they are valid.
    pub fn verified(bytes: &[u8]) -> Option<Set> {
        if bytes.first()? & MARK == 0 {
            Ints::verified(bytes).map(Set::Ints)
        } else {
            Members::verified(bytes).map(Set::Flat)
        }
    }

    /// The big form of a small set; the members are as new as the change that made them move.
    pub fn enlarged(&self, hasher: KeyHasher, polarity: u8) -> BigHash {
        let mut big = BigHash::new(hasher, 0);
        self.for_each(|member| {
            big.set(member, b"", polarity);
        });
        big
    }

    /// Removes a member of a small set; says whether it was there. A big one is left as it is.
    pub fn remove_small(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => parse_i64(member).is_some_and(|value| ints.remove(value)),
            Set::Flat(members) => members.remove(member),
            Set::Big(_) => false,
        }
    }

    /// The first member that is no integer comes to integers.
    fn add_first_text(&mut self, member: &[u8], limits: SetLimits) -> Added {
        let Set::Ints(ints) = self else { return Added::TooBig };
        let mut digits = itoa::Buffer::new();
        let mut longest = member.len();
        let mut room = 2 + 3 + member.len();
        for value in ints.iter() {
            let len = digits.format(value).len();
            longest = longest.max(len);
            room += 1 + len;
        }
        if !limits.allow(ints.len() + 1, longest) {
            return Added::TooBig;
        }
        let mut members = Members::default();
        let texts: Vec<String> = ints.iter().map(|value| value.to_string()).collect();
        members.extend(texts.iter().map(String::as_bytes).chain(std::iter::once(member)), room);
        *self = Set::Flat(members);
        Added::New
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::prng::Prng;

    fn add(set: &mut Set, member: &[u8], limits: SetLimits) -> bool {
        match set.add(member, limits) {
            Added::New => return true,
            Added::Known => return false,
            Added::TooBig => {}
        }
        if !matches!(set, Set::Big(_)) {
            *set = Set::Big(Rc::new(RefCell::new(set.enlarged(KeyHasher::new(1), 0))));
        }
        let Set::Big(big) = set else { unreachable!() };
        big.borrow_mut().set(member, b"", 0)
    }

    fn remove(set: &mut Set, member: &[u8]) -> bool {
        match set {
            Set::Big(big) => big.borrow_mut().remove(member),
            _ => set.remove_small(member),
        }
    }

    #[test]
    fn behaves_like_an_ordered_set() {
        for seed in 0..60 {
            let mut prng = Prng::new(seed);
            let limits = SetLimits { ints: 20, entries: 10, value: 12 };
            let (mut set, mut model) = (Set::default(), BTreeSet::<Vec<u8>>::new());
            for step in 0..300 {
                let n = prng.below(40) as i64 - 20;
                let member = match prng.below(if seed % 2 == 0 { 400 } else { 20 }) {
                    0 => format!("member{n}").into_bytes(),
                    1 => format!("0{n}").into_bytes(),
                    2 => Vec::new(),
                    _ => n.to_string().into_bytes(),
                };
                if prng.chance(2, 5) {
                    assert_eq!(remove(&mut set, &member), model.remove(&member));
                } else {
                    assert_eq!(add(&mut set, &member, limits), model.insert(member.clone()));
                }
                assert_eq!(set.contains(&member), model.contains(&member), "{seed} {step}");
                assert_eq!(set.len(), model.len(), "{seed} {step}");
                let mut found = BTreeSet::new();
                set.for_each(|member| assert!(found.insert(member.to_vec())));
                assert_eq!(found, model, "seed {seed} step {step}");
                let mut chosen = None;
                set.random(prng.next(), |member| chosen = Some(member.to_vec()));
                assert!(chosen.map_or(model.is_empty(), |member| model.contains(&member)));
            }
        }
    }

    #[test]
    fn encodings_change_at_the_limits() {
        let limits = SetLimits { ints: 3, entries: 4, value: 5 };
        let lines: [(&str, Encoding); 12] = [
            ("1", Encoding::Intset),
            ("a", Encoding::Listpack),
            ("a 1", Encoding::Listpack),
            ("1 2 3", Encoding::Intset),
            ("1 2 3 3", Encoding::Intset),
            ("1 2 3 a", Encoding::Listpack),
            ("1 2 3 4", Encoding::Hashtable),
            ("a b c d", Encoding::Listpack),
            ("a b c d d", Encoding::Listpack),
            ("a b c d e", Encoding::Hashtable),
            ("abcdef", Encoding::Hashtable),
            ("123456 a", Encoding::Hashtable),
        ];
        for (line, encoding) in lines {
            let mut set = Set::default();
            for member in line.split(' ') {
                add(&mut set, member.as_bytes(), limits);
            }
            assert_eq!(set.encoding(), encoding, "{line}");
        }
        let mut set = Set::default();
        add(&mut set, b"1", SetLimits { ints: 0, entries: 4, value: 5 });
        assert_eq!(set.encoding(), Encoding::Listpack);
    }
}
