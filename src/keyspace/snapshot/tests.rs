//! Random operations on a keyspace and on a plain map, with snapshots at every point that a seed
//! picks: what comes out, put together, is the map as it was at the cut.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::ids::Lsn;
use crate::base::prng::Prng;
use crate::base::table::Table;
use crate::keyspace::expiry::Gone;
use crate::keyspace::item::Shape;
use crate::keyspace::keyspace::{Expiry, Settings, Was, WrongType};
use crate::types::hash::Limits;
use crate::types::packed::elements;
use crate::types::set::{Set, SetLimits};
use crate::types::stream::chunk::Entry;
use crate::types::stream::group::{Group, Pending};
use crate::types::stream::id::StreamId;
use crate::types::stream::parts::StreamBuilding;
use crate::types::stream::{Exactness, Stream, Trim};
use crate::types::timed::Timed;
use crate::types::value::Kind;
use crate::types::zset::ZsetLimits;
use crate::types::zset::packed::entries;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Val {
    Str(Vec<u8>),
    Hash(Rows),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
    /// The values of entries, and what is pending for the one consumer of the one group.
    Stream(BTreeMap<u64, Vec<u8>>, BTreeMap<u64, u64>),
    Zset(BTreeSet<(i64, Vec<u8>)>),
}

type Name = (u16, Vec<u8>);
/// A value and its deadline.
type Row = (Vec<u8>, Option<u64>);
type Rows = BTreeMap<Vec<u8>, Row>;
type State = BTreeMap<Name, (Val, Option<u64>)>;

/// A keyspace and the map that it has to agree with.
struct Twin {
    keys: Keyspace,
    model: State,
    now: u64,
    expired: Vec<(Db, Vec<u8>)>,
    prng: Prng,
    universe: u64,
    fields: u64,
    saved: Option<(State, Collected)>,
}

/// Puts a snapshot together again.
#[derive(Default)]
struct Collected {
    done: State,
    open: BTreeMap<u64, Fragments>,
}

struct Fragments {
    name: Name,
    deadline: Option<u64>,
    shape: Shape,
    fields: Rows,
    chunks: BTreeMap<u64, Vec<u8>>,
}

impl Collected {
    fn finish(&mut self, name: Name, value: Val, deadline: Option<u64>) {
        let before = self.done.insert(name.clone(), (value, deadline));
        assert!(before.is_none(), "twice: {name:?}");
    }
}

impl Sink for Collected {
    fn take(&mut self, item: Item<'_>) {
        match item {
            Item::Small { db, key, deadline, value } => {
                let value = match value {
                    Small::Str(bytes) => Val::Str(bytes.to_vec()),
                    Small::Hash(flat) => {
                        let pair = |(f, v): (&[u8], &[u8])| (f.to_vec(), (v.to_vec(), None));
                        Val::Hash(flat.pairs().map(pair).collect())
                    }
                    Small::Whole(kind, bytes) => of_parts(kind, &[bytes.to_vec()]),
                };
                self.finish((db.0, key.to_vec()), value, deadline.map(|at| at.0));
            }
            Item::Open { id, db, key, deadline, shape } => {
                let (name, deadline) = ((db.0, key.to_vec()), deadline.map(|at| at.0));
                let (fields, chunks) = (BTreeMap::new(), BTreeMap::new());
                let fragments = Fragments { name, deadline, shape, fields, chunks };
                assert!(self.open.insert(id, fragments).is_none(), "opened twice");
            }
            Item::Field { id, field, value, deadline } => {
                let fragments = self.open.get_mut(&id).expect("a field of an open hash");
                let row = (value.to_vec(), deadline.map(|at| at.0));
                let before = fragments.fields.insert(field.to_vec(), row);
                assert!(before.is_none(), "field twice");
            }
            Item::Chunk { id, offset, bytes } => {
                let fragments = self.open.get_mut(&id).expect("a chunk of an open string");
                assert!(fragments.chunks.insert(offset, bytes.to_vec()).is_none(), "chunk twice");
            }
            Item::Library { .. } => unreachable!("no test here has one"),
            Item::Close { id } => {
                let fragments = self.open.remove(&id).expect("an open value is closed");
                let value = match fragments.shape {
                    Shape::Table { kind, fields } => {
                        assert_eq!(fields, fragments.fields.len() as u64);
                        if kind == Kind::Set {
                            let empty = |row: &Row| row.0.is_empty() && row.1.is_none();
                            assert!(fragments.fields.values().all(empty));
                            Val::Set(fragments.fields.into_keys().collect())
                        } else {
                            Val::Hash(fragments.fields)
                        }
                    }
                    Shape::Parts { kind, elements } => {
                        let parts: Vec<_> = fragments.chunks.into_values().collect();
                        let value = of_parts(kind, &parts);
                        assert_eq!(value.len() as u64, elements);
                        value
                    }
                    Shape::Rope { bytes } => {
                        let mut whole = Vec::new();
                        for (offset, chunk) in fragments.chunks {
                            assert_eq!(offset, whole.len() as u64);
                            whole.extend(chunk);
                        }
                        assert_eq!(bytes, whole.len() as u64);
                        Val::Str(whole)
                    }
                };
                self.finish(fragments.name, value, fragments.deadline);
            }
        }
    }
}

/// The value that parts make.
fn of_parts(kind: Kind, parts: &[Vec<u8>]) -> Val {
    match kind {
        Kind::List => {
            let elements = parts.iter().flat_map(|part| elements(part).map(<[u8]>::to_vec));
            Val::List(elements.collect())
        }
        Kind::Hash => {
            let timed = Timed::verified(&parts.concat()).expect("a small hash");
            Val::Hash(timed.rows().map(|(f, v, at)| (f.to_vec(), (v.to_vec(), at))).collect())
        }
        Kind::Set => {
            let mut members = BTreeSet::new();
            let set = Set::verified(&parts.concat()).expect("a small set");
            set.for_each(|member| assert!(members.insert(member.to_vec())));
            Val::Set(members)
        }
        Kind::Stream => {
            let mut building = StreamBuilding::default();
            parts.iter().for_each(|part| building.push(part).expect("a part of a stream"));
            of_stream(&building.finish())
        }
        Kind::Zset => {
            let entries = parts.iter().flat_map(|part| entries(part));
            let entries: Vec<_> = entries.map(|(score, m)| (score as i64, m.to_vec())).collect();
            assert!(entries.is_sorted(), "parts come in order");
            Val::Zset(entries.into_iter().collect())
        }
        _ => unreachable!("{kind:?} does not come in parts"),
    }
}

fn of_stream(stream: &Stream) -> Val {
    let entries = stream.range(StreamId::MIN, StreamId::MAX);
    let value = |entry: Entry<'_>| entry.pairs().next().unwrap().1.to_vec();
    let pending = stream.group(b"g").unwrap().pending().iter();
    Val::Stream(
        entries.map(|entry| (entry.id.ms, value(entry))).collect(),
        pending.map(|(id, one)| (id.ms, one.count)).collect(),
    )
}

impl Val {
    fn len(&self) -> usize {
        match self {
            Val::Str(bytes) => bytes.len(),
            Val::Hash(hash) => hash.len(),
            Val::List(list) => list.len(),
            Val::Set(set) => set.len(),
            // Its counters are one more part.
            Val::Stream(entries, _) => entries.len() + 1,
            Val::Zset(zset) => zset.len(),
        }
    }
}

impl Twin {
    fn new(seed: u64) -> Twin {
        let limits = Limits { entries: 4, value: 12 };
        let sets = SetLimits { ints: 6, entries: 4, value: 12 };
        let zsets = ZsetLimits { entries: 4, value: 12 };
        let settings = Settings { databases: 3, seed, limits, sets, zsets, ..Settings::default() };
        let mut prng = Prng::new(seed);
        let universe = if prng.chance(1, 12) { 1500 } else { 8 + prng.below(30) };
        let fields = if prng.chance(1, 12) { 900 } else { 2 + prng.below(20) };
        Twin {
            keys: Keyspace::new(settings),
            model: State::new(),
            now: 1000,
            expired: Vec::new(),
            prng,
            universe,
            fields,
            saved: None,
        }
    }

    fn name(&mut self) -> (Db, Vec<u8>) {
        let db = self.prng.below(3) as u16;
        let mut key = format!("k{}", self.prng.below(self.universe)).into_bytes();
        if self.prng.chance(1, 20) {
            key.resize(300, b'x');
        }
        (Db(db), key)
    }

    fn value(&mut self) -> Vec<u8> {
        let most = match self.prng.below(60) {
            0 => 150_000,
            1..=5 => 5_000,
            6..=20 => 300,
            _ => 20,
        };
        let len = self.prng.below(most) as usize;
        let byte = self.prng.next() as u8;
        (0..len).map(|n| byte.wrapping_add((n / 1000) as u8)).collect()
    }

    fn field(&mut self) -> Vec<u8> {
        format!("f{}", self.prng.below(self.fields)).into_bytes()
    }

    fn dead(&self, name: &Name) -> bool {
        self.model.get(name).is_some_and(|held| held.1.is_some_and(|at| at < self.now))
    }

    /// What a write finds: an expired key is removed.
    fn open(&mut self, name: &Name) -> bool {
        if self.dead(name) {
            self.model.remove(name);
            self.expired.push((Db(name.0), name.1.clone()));
        }
        self.model.contains_key(name)
    }

    fn string(&mut self, name: &Name) -> Result<Option<Vec<u8>>, WrongType> {
        match self.model.get(name) {
            None => Ok(None),
            Some((Val::Str(bytes), _)) => Ok(Some(bytes.clone())),
            Some(_) => Err(WrongType),
        }
    }

    fn operation(&mut self) {
        self.keys.begin(Millis(self.now), Lsn(1));
        let (db, key) = self.name();
        let name = (db.0, key.clone());
        match self.prng.below(100) {
            0..25 => self.set(db, key),
            25..35 => {
                let tail = self.value();
                self.open(&name);
                let expected =
                    self.string(&name).map(|old| old.map_or(0, |old| old.len()) + tail.len());
                if let Ok(Some(mut bytes)) =
                    self.string(&name).map(Option::unwrap_or_default).map(Some)
                {
                    bytes.extend(&tail);
                    let deadline = self.model.get(&name).and_then(|held| held.1);
                    self.model.insert(name, (Val::Str(bytes), deadline));
                }
                assert_eq!(self.keys.append(db, &key, &tail), expected);
            }
            35..42 => self.set_range(db, key),
            42..47 => self.change_hash(db, key),
            47..52 => self.change_list(db, key),
            52..57 => self.change_set(db, key),
            57..61 => self.change_zset(db, key),
            61..66 => self.change_stream(db, key),
            66..72 => {
                let there = self.open(&name);
                self.model.remove(&name);
                assert_eq!(self.keys.remove(db, &key), there);
            }
            72..78 => {
                let there = self.open(&name);
                let deadline = self.deadline();
                self.model.entry(name).and_modify(|held| held.1 = deadline);
                assert_eq!(self.keys.set_deadline(db, &key, deadline.map(Millis)), there);
            }
            78..88 => self.two_keys(db, key),
            88..95 => self.many_keys(db),
            95..97 => self.now += self.prng.below(300),
            97 => {
                self.keys.free_slice(3);
            }
            _ => self.check_key(db, &key),
        }
        let noted: Vec<_> = std::iter::from_fn(|| self.keys.take_expired()).collect();
        assert_eq!(noted, std::mem::take(&mut self.expired));
    }

    fn two_keys(&mut self, db: Db, key: Vec<u8>) {
        let (to_db, to_key) = self.name();
        let (name, to) = ((db.0, key.clone()), (to_db.0, to_key.clone()));
        let there = self.open(&name);
        let moves = self.prng.chance(3, 5);
        if there && to != name {
            self.open(&to);
            let held = self.model.get(&name).unwrap().clone();
            if moves {
                self.model.remove(&name);
            }
            self.model.insert(to, held);
        }
        let (from, to) = ((db, &key[..]), (to_db, &to_key[..]));
        let done = if moves { self.keys.rename(from, to) } else { self.keys.copy(from, to) };
        assert_eq!(done, there);
    }

    fn many_keys(&mut self, db: Db) {
        match self.prng.below(24) {
            0..6 => {
                let other = self.prng.below(3) as u16;
                self.swap(db.0, other);
            }
            6 => {
                self.keys.flush(db);
                self.model.retain(|name, _| name.0 != db.0);
            }
            7 if self.prng.chance(1, 2) => {
                self.keys.flush_all();
                self.model.clear();
            }
            _ => {
                let (now, model) = (self.now, &mut self.model);
                self.keys.expire_slice(20, &mut |db, gone| match gone {
                    Gone::Key(key) => {
                        let held = model.remove(&(db.0, key.to_vec()));
                        assert!(held.is_some_and(|held| held.1.is_some_and(|at| at < now)));
                    }
                    Gone::Fields(key, fields) => {
                        let name = (db.0, key.to_vec());
                        let Some((Val::Hash(hash), _)) = model.get_mut(&name) else { panic!() };
                        for field in fields {
                            let row = hash.remove(&**field);
                            assert!(row.is_some_and(|row| row.1.is_some_and(|at| at < now)));
                        }
                        if hash.is_empty() {
                            model.remove(&name);
                        }
                    }
                });
            }
        }
    }

    fn deadline(&mut self) -> Option<u64> {
        self.prng.chance(1, 3).then(|| self.now + self.prng.below(1000))
    }

    fn set(&mut self, db: Db, key: Vec<u8>) {
        let (value, name) = (self.value(), (db.0, key.clone()));
        let old = self.model.get(&name).and_then(|held| held.1).filter(|&at| at >= self.now);
        let (expiry, deadline) = match self.prng.below(3) {
            0 => (Expiry::Clear, None),
            1 => (Expiry::Keep, old),
            _ => {
                let at = self.now + self.prng.below(1000);
                (Expiry::At(Millis(at)), Some(at))
            }
        };
        self.keys.set_string(db, &key, &value, expiry);
        self.model.insert(name, (Val::Str(value), deadline));
    }

    fn set_range(&mut self, db: Db, key: Vec<u8>) {
        let (bytes, name) = (self.value(), (db.0, key.clone()));
        self.open(&name);
        let old = self.string(&name);
        let offset =
            self.prng.below(old.iter().flatten().map(|s| s.len() as u64).sum::<u64>() + 50);
        let offset = offset as usize;
        let expected = old.map(|old| {
            let mut string = old.clone().unwrap_or_default();
            if !bytes.is_empty() {
                string.resize(string.len().max(offset + bytes.len()), 0);
                string[offset..offset + bytes.len()].copy_from_slice(&bytes);
            }
            let len = string.len();
            if !bytes.is_empty() || old.is_some() {
                let deadline = self.model.get(&name).and_then(|held| held.1);
                self.model.insert(name, (Val::Str(string), deadline));
            }
            len
        });
        assert_eq!(self.keys.set_range(db, &key, offset, &bytes), expected);
    }

    fn change_hash(&mut self, db: Db, key: Vec<u8>) {
        let name = (db.0, key.clone());
        self.open(&name);
        let held = self.model.get(&name).cloned();
        let Some((Val::Hash(mut hash), deadline)) =
            held.clone().or(Some((Val::Hash(BTreeMap::new()), None)))
        else {
            assert!(self.keys.hash_mut(db, &key).is_err());
            assert!(self.keys.hash_or_new(db, &key).is_err());
            return;
        };
        let most = if self.fields > 100 { 200 } else { 8 };
        let now = self.now;
        let changes: Vec<_> = (0..self.prng.below(most))
            .map(|_| (self.field(), self.prng.below(9), self.value(), self.deadline()))
            .collect();
        let mut open = if held.is_none() {
            self.keys.hash_or_new(db, &key).unwrap()
        } else {
            self.keys.hash_mut(db, &key).unwrap().unwrap()
        };
        for (field, what, value, deadline) in changes {
            let held = hash.get(&field).cloned();
            let known = held.clone().filter(|row| row.1.is_none_or(|at| at >= now));
            assert_eq!(open.get(&field).as_deref(), known.as_ref().map(|row| &row.0[..]));
            assert_eq!(open.deadline(&field), known.as_ref().and_then(|row| row.1.map(Millis)));
            assert_eq!(open.is_dead(&field), known.is_none() && held.is_some());
            match what {
                0..4 => {
                    assert_eq!(open.set(&field, &value), known.is_none());
                    hash.insert(field, (value, None));
                }
                4 => {
                    assert_eq!(open.set_keeping(&field, &value), known.is_none());
                    hash.insert(field, (value, known.and_then(|row| row.1)));
                }
                5..7 if known.is_some() => {
                    open.set_deadline(&field, deadline.map(Millis));
                    hash.entry(field).and_modify(|row| row.1 = deadline);
                }
                _ => {
                    let was = match (&known, &held) {
                        (Some(_), _) => Was::Alive,
                        (None, Some(_)) => Was::Dead,
                        (None, None) => Was::Absent,
                    };
                    assert_eq!(open.remove(&field), was);
                    hash.remove(&field);
                }
            }
            let alive = hash.values().filter(|row| row.1.is_none_or(|at| at >= now));
            assert_eq!(open.len(), alive.count());
        }
        drop(open);
        self.model.insert(name.clone(), (Val::Hash(hash.clone()), deadline));
        if hash.is_empty() {
            self.model.remove(&name);
        }
    }

    fn change_list(&mut self, db: Db, key: Vec<u8>) {
        let name = (db.0, key.clone());
        let there = self.open(&name);
        let held = self.model.get(&name).cloned();
        let Some((Val::List(mut list), deadline)) = held.or(Some((Val::List(Vec::new()), None)))
        else {
            assert!(self.keys.list_mut(db, &key).is_err());
            assert!(self.keys.list_or_new(db, &key).is_err());
            return;
        };
        let changes: Vec<_> = (0..self.prng.below(if self.fields > 100 { 300 } else { 8 }))
            .map(|_| (self.prng.next() as usize, self.prng.below(9), self.value()))
            .collect();
        let mut open = if there {
            self.keys.list_mut(db, &key).unwrap().unwrap()
        } else {
            self.keys.list_or_new(db, &key).unwrap()
        };
        for (at, what, value) in changes {
            let at = at % (list.len() + 1);
            match what {
                0 => {
                    let to = list.len().min(at + 5);
                    open.remove(at, to);
                    list.drain(at..to);
                }
                1 if at < list.len() => {
                    open.replace(at, &value);
                    list[at] = value;
                }
                2..=5 => {
                    open.insert(usize::MAX, &value);
                    list.push(value);
                }
                _ => {
                    open.insert(at, &value);
                    list.insert(at, value);
                }
            }
        }
        assert!(open.list().iter_from(0).eq(&list));
        drop(open);
        self.model.insert(name.clone(), (Val::List(list.clone()), deadline));
        if list.is_empty() {
            self.model.remove(&name);
        }
    }

    fn change_set(&mut self, db: Db, key: Vec<u8>) {
        let name = (db.0, key.clone());
        let there = self.open(&name);
        let held = self.model.get(&name).cloned();
        let Some((Val::Set(mut set), deadline)) = held.or(Some((Val::Set(BTreeSet::new()), None)))
        else {
            assert!(self.keys.set_mut(db, &key).is_err());
            assert!(self.keys.set_or_new(db, &key).is_err());
            return;
        };
        let changes: Vec<_> = (0..self.prng.below(if self.fields > 100 { 200 } else { 8 }))
            .map(|_| {
                let text = self.prng.chance(1, 8);
                let number = self.prng.below(self.fields);
                let member = if text { self.field() } else { number.to_string().into_bytes() };
                (member, self.prng.chance(2, 3))
            })
            .collect();
        let mut open = if there {
            self.keys.set_mut(db, &key).unwrap().unwrap()
        } else {
            self.keys.set_or_new(db, &key).unwrap()
        };
        for (member, add) in changes {
            assert_eq!(open.set().contains(&member), set.contains(&member));
            if add {
                assert_eq!(open.add(&member), set.insert(member));
            } else {
                assert_eq!(open.remove(&member), set.remove(&member));
            }
            assert_eq!(open.set().len(), set.len());
        }
        drop(open);
        self.model.insert(name.clone(), (Val::Set(set.clone()), deadline));
        if set.is_empty() {
            self.model.remove(&name);
        }
    }

    fn change_stream(&mut self, db: Db, key: Vec<u8>) {
        let name = (db.0, key.clone());
        let there = self.open(&name);
        let empty = Val::Stream(BTreeMap::new(), BTreeMap::new());
        let held = self.model.get(&name).cloned();
        let Some((Val::Stream(mut entries, mut pending), deadline)) = held.or(Some((empty, None)))
        else {
            assert!(self.keys.stream_mut(db, &key).is_err());
            assert!(self.keys.stream_or_new(db, &key).is_err());
            return;
        };
        let changes: Vec<_> = (0..1 + self.prng.below(if self.fields > 100 { 300 } else { 8 }))
            .map(|_| (self.prng.next(), self.prng.below(9), self.value()))
            .collect();
        let mut open = self.keys.stream_or_new(db, &key).unwrap();
        if !there {
            open.add_group(b"g", Group::default());
            open.edit_group(b"g", |group| group.add_consumer(b"c", 1, None));
        }
        for (dice, what, value) in changes {
            let last = open.stream().last.ms;
            let id = StreamId { ms: dice % (last + 2), seq: 0 };
            match what {
                0 => assert_eq!(open.delete(id), entries.remove(&id.ms).is_some()),
                1 => {
                    let len = entries.len() as u64;
                    let left = len - len.min(dice % 5);
                    open.trim(Trim::MaxLen(left), Exactness::Exact);
                    (left..len).for_each(|_| drop(entries.pop_first()));
                }
                2 => {
                    let gone = open.edit_group(b"g", |group| group.acknowledge(id));
                    assert_eq!(gone, Some(pending.remove(&id.ms).is_some()));
                }
                3 | 4 => {
                    let one = Pending { consumer: (&b"c"[..]).into(), time: 1, count: dice };
                    open.edit_group(b"g", |group| group.assign(id, one));
                    pending.insert(id.ms, dice);
                }
                _ => {
                    let id = StreamId { ms: last + 1, seq: 0 };
                    open.append(id, [(&b"f"[..], &value[..])].into_iter(), value.len() + 1);
                    entries.insert(id.ms, value);
                }
            }
        }
        let value = Val::Stream(entries, pending);
        assert_eq!(of_stream(open.stream()), value);
        drop(open);
        self.model.insert(name, (value, deadline));
    }

    fn change_zset(&mut self, db: Db, key: Vec<u8>) {
        let name = (db.0, key.clone());
        let there = self.open(&name);
        let held = self.model.get(&name).cloned();
        let Some((Val::Zset(mut zset), deadline)) =
            held.or(Some((Val::Zset(BTreeSet::new()), None)))
        else {
            assert!(self.keys.zset(db, &key).is_err());
            assert!(self.keys.zset_mut(db, &key).is_err());
            assert!(self.keys.zset_or_new(db, &key).is_err());
            return;
        };
        let changes: Vec<_> = (0..self.prng.below(if self.fields > 100 { 300 } else { 8 }))
            .map(|_| (self.field(), self.prng.below(9), self.prng.below(40) as i64 - 9))
            .collect();
        let mut open = if there {
            self.keys.zset_mut(db, &key).unwrap().unwrap()
        } else {
            self.keys.zset_or_new(db, &key).unwrap()
        };
        for (member, what, score) in changes {
            let old = zset.iter().find(|entry| entry.1 == member).cloned();
            match what {
                0 => {
                    let from = score.unsigned_abs() as usize % (zset.len() + 1);
                    let ranks = from..zset.len().min(from + 5);
                    let gone: Vec<_> = zset.iter().skip(from).take(5).cloned().collect();
                    open.remove_range(ranks);
                    gone.iter().for_each(|entry| assert!(zset.remove(entry)));
                }
                1..=2 => {
                    assert_eq!(open.remove(&member), old.is_some());
                    old.map(|old| zset.remove(&old));
                }
                _ => {
                    open.set(score as f64, &member);
                    old.map(|old| zset.remove(&old));
                    zset.insert((score, member));
                }
            }
        }
        let scored = |(score, member): (f64, &[u8])| (score as i64, member.to_vec());
        assert!(open.upwards(0).map(scored).eq(zset.iter().cloned()));
        drop(open);
        self.model.insert(name.clone(), (Val::Zset(zset.clone()), deadline));
        if zset.is_empty() {
            self.model.remove(&name);
        }
    }

    fn swap(&mut self, a: u16, b: u16) {
        self.keys.swap(Db(a), Db(b));
        let swapped = |db| {
            if db == a {
                b
            } else if db == b {
                a
            } else {
                db
            }
        };
        let old = std::mem::take(&mut self.model);
        self.model = old.into_iter().map(|((db, key), held)| ((swapped(db), key), held)).collect();
    }

    fn check_key(&mut self, db: Db, key: &[u8]) {
        let name = (db.0, key.to_vec());
        let alive = self.model.get(&name).filter(|_| !self.dead(&name)).cloned();
        assert_eq!(self.keys.exists(db, key), alive.is_some());
        let deadline = alive.as_ref().map(|held| held.1.map(Millis));
        assert_eq!(self.keys.deadline(db, key), deadline);
        match alive {
            None => assert!(self.keys.string(db, key).unwrap().is_none()),
            Some((Val::Str(bytes), _)) => {
                assert_eq!(self.keys.kind(db, key), Some(Kind::String));
                assert_eq!(*self.keys.string(db, key).unwrap().unwrap().flat(), bytes[..]);
            }
            Some((Val::Hash(hash), _)) => {
                assert_eq!(self.keys.kind(db, key), Some(Kind::Hash));
                let (mut found, now) = (Rows::new(), self.now);
                let fields = self.keys.hash(db, key).unwrap().unwrap();
                fields.for_each_until(|field, value, at| {
                    assert!(found.insert(field.to_vec(), (value.to_vec(), at)).is_none());
                });
                let alive = |row: &Row| row.1.is_none_or(|at| at >= now);
                assert_eq!((fields.len(), fields.count()), (found.len(), found.len()));
                fields.random(key.len() as u64 * 77, |field, _| assert!(found.contains_key(field)));
                let hash = hash.into_iter().filter(|(_, row)| alive(row));
                assert_eq!(found, hash.collect());
            }
            Some((Val::Set(set), _)) => {
                assert_eq!(self.keys.kind(db, key), Some(Kind::Set));
                let mut found = BTreeSet::new();
                self.keys.set(db, key).unwrap().unwrap().for_each(|member| {
                    assert!(found.insert(member.to_vec()));
                });
                assert_eq!(found, set);
            }
            Some((Val::List(list), _)) => {
                assert_eq!(self.keys.kind(db, key), Some(Kind::List));
                assert!(self.keys.list(db, key).unwrap().unwrap().iter_from(0).eq(&list));
            }
            Some((value @ Val::Stream(..), _)) => {
                assert_eq!(self.keys.kind(db, key), Some(Kind::Stream));
                assert_eq!(of_stream(self.keys.stream(db, key).unwrap().unwrap()), value);
            }
            Some((Val::Zset(zset), _)) => {
                assert_eq!(self.keys.kind(db, key), Some(Kind::Zset));
                let found = self.keys.zset(db, key).unwrap().unwrap();
                let scored = |(score, member): (f64, &[u8])| (score as i64, member.to_vec());
                assert!(found.upwards(0).map(scored).eq(zset));
            }
        }
    }

    /// Begins, goes on with or gives up a snapshot.
    fn snapshot(&mut self) {
        let Some((_, collected)) = self.saved.as_mut() else {
            if self.keys.is_cut() {
                let mut sink = Collected::default();
                self.keys.snapshot_step(&mut sink, Budget { items: 9, bytes: 900 });
                assert!(sink.done.is_empty() && sink.open.is_empty(), "muted");
            } else if self.prng.chance(1, 10) {
                assert!(self.keys.cut() && !self.keys.cut());
                self.saved = Some((self.model.clone(), Collected::default()));
            }
            return;
        };
        if self.prng.chance(1, 400) {
            self.keys.abort();
            self.saved = None;
            return;
        }
        let budget =
            Budget { items: 1 + self.prng.below(6) as usize, bytes: 1 << self.prng.below(14) };
        if self.keys.snapshot_step(collected, budget) == Step::Done {
            let (expected, collected) = self.saved.take().unwrap();
            assert!(collected.open.is_empty(), "left open");
            assert!(collected.done == expected, "{}", difference(&collected.done, &expected));
            self.settled();
        }
    }

    /// Everything has the current polarity, and the memory count is right.
    fn settled(&self) {
        assert_eq!((self.keys.preimage_bytes(), self.keys.memory().held), (0, 0));
        let polarity = self.keys.polarity;
        let mut live = 0;
        for database in &self.keys.dbs {
            let (mut values, mut fields) = (0, 0);
            visit(&database.table, |marks, value| {
                live += 1;
                assert_eq!(marks & POLARITY, polarity);
                match value {
                    Stored::Extern(Value::Hash(Hash::Big(big)) | Value::Set(Set::Big(big))) => {
                        assert_eq!(big.borrow().fragment, None);
                        visit(big.borrow().table(), |mark, _| assert_eq!(mark, polarity));
                        let table = big.borrow().table().footprint();
                        assert_eq!(table, big.borrow().table().recount());
                        fields += 1;
                    }
                    Stored::Extern(Value::Rope(rope)) => {
                        assert_eq!(rope.borrow().fragment, None);
                        assert!(rope.borrow().polarities().all(|mark| mark == polarity));
                    }
                    _ => {}
                }
                values += if let Stored::Extern(value) = value { value.bytes() } else { 0 };
            });
            assert_eq!(database.values, values, "{fields} big hashes");
            assert_eq!(database.table.footprint(), database.table.recount());
        }
        assert_eq!(live, self.model.len());
    }

    fn check_all(&mut self) {
        self.keys.begin(Millis(self.now), Lsn(1));
        for name in self.model.keys().cloned().collect::<Vec<_>>() {
            self.check_key(Db(name.0), &name.1);
        }
        while self.keys.free_slice(100) {}
        assert_eq!((self.keys.pending_objects(), self.keys.memory().graveyard), (0, 0));
    }
}

fn visit<X>(table: &Table<X>, mut each: impl FnMut(u8, Stored<'_, X>)) {
    let (mut places, mut from) = (Vec::new(), Some(0));
    while let Some(start) = from {
        from = table.ordered(start, &mut places, |_| true);
        for &place in &places {
            let view = table.view(place);
            each(view.meta.marks, view.value);
        }
    }
}

fn difference(found: &State, expected: &State) -> String {
    let missing: Vec<_> = expected.keys().filter(|name| !found.contains_key(*name)).collect();
    let extra: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).collect();
    let wrong: Vec<_> = found
        .iter()
        .filter(|(name, held)| expected.get(*name).is_some_and(|other| other != *held))
        .map(|(name, _)| name)
        .collect();
    format!("missing {missing:?} extra {extra:?} wrong {wrong:?}")
}

fn run(seed: u64) {
    println!("seed {seed}");
    let mut twin = Twin::new(seed);
    if twin.universe > 1000 {
        for _ in 0..4000 {
            let (db, key) = twin.name();
            twin.set(db, key);
        }
    }
    let pace = 1 + twin.prng.below(4);
    for _ in 0..300 {
        twin.operation();
        if twin.prng.chance(1, pace) {
            twin.snapshot();
        }
    }
    while twin.keys.is_cut() {
        twin.snapshot();
    }
    twin.settled();
    twin.check_all();
}

#[test]
fn is_the_state_at_the_cut() {
    let seeds = if cfg!(debug_assertions) { 250 } else { 2000 };
    let first = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    match first {
        Some(seed) => run(seed),
        None => (0..seeds).for_each(run),
    }
}
