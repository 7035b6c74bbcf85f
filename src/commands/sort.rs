//! SORT and SORT_RO: the elements of a list, set or sorted set in order, by themselves or by what
//! other keys hold.
//!
//! Over several shards: the elements are found first, then the keys that the patterns of BY and GET
//! name are brought together with them (`looked_up`), and the handler runs there unchanged.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::base::ids::Db;
use crate::base::number::parse_double;
use crate::commands::call::{Call, Effect};
use crate::commands::parse::{integer, is};
use crate::commands::row::{WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec};
use crate::keyspace::keyspace::Keyspace;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::types::value::Kind;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    on(
        KeySpec::Stored { from: 2 },
        Across::Gather,
        row("sort", -2, WRITE_OOM, sort, docs("1.0.0", "Sorts a list, a set or a sorted set.")),
    ),
    on(
        KeySpec::Stored { from: 2 },
        Across::Gather,
        row(
            "sort_ro",
            -2,
            Flags::READONLY,
            sort_ro,
            docs("7.0.0", "Sorts a list, a set or a sorted set, and stores nothing."),
        ),
    ),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    let complexity = "O(N*log(N)) where N is the number of elements to sort.";
    Docs::of("generic", since, complexity, summary)
}

/// What may be asked of SORT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stores {
    /// SORT.
    Yes,
    /// SORT_RO.
    No,
}

/// The options.
#[derive(Debug, Default)]
struct Options<'a> {
    descending: bool,
    alpha: bool,
    offset: i64,
    count: Option<i64>,
    by: Option<&'a [u8]>,
    get: Vec<&'a [u8]>,
    store: Option<&'a [u8]>,
}

/// An element, and what it is sorted by.
#[derive(Debug)]
struct Item {
    element: Vec<u8>,
    weight: Weight,
}

#[derive(Debug, PartialEq, PartialOrd)]
enum Weight {
    Number(f64),
    /// What the key named by BY holds; nothing sorts first.
    Text(Option<Vec<u8>>),
}

impl<'a> Options<'a> {
    fn read(words: Args<'a>, stores: Stores) -> Result<Options<'a>, Error> {
        let mut options = Options::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let left = words.len();
            if is(word, "ASC") {
                options.descending = false;
            } else if is(word, "DESC") {
                options.descending = true;
            } else if is(word, "ALPHA") {
                options.alpha = true;
            } else if is(word, "LIMIT") && left >= 2 {
                options.offset = integer(words.next().unwrap_or_default())?;
                options.count = Some(integer(words.next().unwrap_or_default())?);
            } else if is(word, "STORE") && left >= 1 && stores == Stores::Yes {
                options.store = words.next();
            } else if is(word, "BY") && left >= 1 {
                options.by = words.next();
            } else if is(word, "GET") && left >= 1 {
                options.get.extend(words.next());
            } else {
                return Err(Error::Syntax);
            }
        }
        Ok(options)
    }

    /// Without a place for the element BY says that the order stays as it is.
    fn sorts(&self) -> bool {
        self.by.is_none_or(|pattern| pattern.contains(&b'*'))
    }

    /// Patterns that name keys.
    fn patterns(&self) -> impl Iterator<Item = &'a [u8]> {
        let all = self.by.into_iter().chain(self.get.iter().copied());
        all.filter(|pattern| pattern.contains(&b'*'))
    }

    /// Which of `len` elements are wanted.
    fn range(&self, len: usize) -> std::ops::Range<usize> {
        let start = usize::try_from(self.offset.max(0)).unwrap_or(usize::MAX).min(len);
        let count = usize::try_from(self.count.unwrap_or(-1)).unwrap_or(usize::MAX);
        start..start.saturating_add(count).min(len)
    }
}

/// Does a command look up keys that its arguments only describe?
pub fn follows_patterns(command: &Command, args: Args<'_>) -> bool {
    command.name.starts_with("sort")
        && Options::read(args.from(2), Stores::Yes)
            .is_ok_and(|options| options.patterns().next().is_some())
}

/// The keys that the patterns of such a command name.
pub fn looked_up(keys: &mut Keyspace, db: Db, args: Args<'_>) -> Vec<Vec<u8>> {
    let Ok(options) = Options::read(args.from(2), Stores::Yes) else { return Vec::new() };
    let Ok(elements) = elements(keys, db, args.at(1), &options) else { return Vec::new() };
    let mut names = BTreeSet::new();
    for pattern in options.patterns() {
        names.extend(elements.iter().filter_map(|element| Some(named(pattern, element)?.0)));
    }
    names.into_iter().collect()
}

fn sort(call: &mut Call<'_>) -> Result<Effect, Error> {
    let options = Options::read(call.args.from(2), Stores::Yes)?;
    run(call, options)
}

fn sort_ro(call: &mut Call<'_>) -> Result<Effect, Error> {
    let options = Options::read(call.args.from(2), Stores::No)?;
    run(call, options)
}

/// What a store reads is removed first if it has expired: a replay has to see the same.
fn run(call: &mut Call<'_>, mut options: Options<'_>) -> Result<Effect, Error> {
    let key = call.args.at(1);
    if options.store.is_some() {
        call.keys.drop_expired(call.db, key);
        for name in looked_up(call.keys, call.db, call.args) {
            call.keys.drop_expired(call.db, &name);
        }
        if !options.sorts() && call.keys.kind(call.db, key) == Some(Kind::Set) {
            // A set has no order of its own that a replay could be sure to find again.
            (options.alpha, options.by) = (true, None);
        }
    }
    let elements = elements(call.keys, call.db, key, &options)?;
    let elements =
        if options.sorts() { sorted(call.keys, call.db, elements, &options)? } else { elements };
    let range = options.range(elements.len());
    let elements = elements.get(range).unwrap_or_default();
    let mut found: Vec<Option<Vec<u8>>> = Vec::new();
    for element in elements {
        if options.get.is_empty() {
            found.push(Some(element.clone()));
        }
        for pattern in &options.get {
            found.push(match *pattern {
                b"#" => Some(element.clone()),
                pattern => value_of(call.keys, call.db, pattern, element),
            });
        }
    }
    match options.store {
        Some(target) => store(call, target, &found),
        None => {
            call.reply.array(found.len());
            for value in found {
                match value {
                    Some(value) => call.reply.bulk(&value),
                    None => call.reply.null(),
                }
            }
            Ok(Effect::Nothing)
        }
    }
}

/// The target becomes a list of what was found; it is removed when that is nothing.
fn store(call: &mut Call<'_>, target: &[u8], found: &[Option<Vec<u8>>]) -> Result<Effect, Error> {
    let removed = call.keys.remove(call.db, target);
    call.reply.integer(found.len() as i64);
    if found.is_empty() {
        return Ok(if removed { Effect::AsSent } else { Effect::Nothing });
    }
    let mut list = call.keys.list_or_new(call.db, target)?;
    for value in found {
        list.insert(usize::MAX, value.as_deref().unwrap_or_default());
    }
    Ok(Effect::AsSent)
}

/// The elements in their own order, from the other end if they are to stay in it and DESC is said.
fn elements(
    keys: &mut Keyspace,
    db: Db,
    key: &[u8],
    options: &Options<'_>,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut elements: Vec<Vec<u8>> = Vec::new();
    let kind = keys.kind(db, key);
    match kind {
        None => {}
        Some(Kind::List) => {
            let list = keys.list(db, key)?;
            elements.extend(list.iter().flat_map(|list| list.iter_from(0)).map(<[u8]>::to_vec));
        }
        Some(Kind::Set) => {
            if let Some(set) = keys.set(db, key)? {
                set.for_each(|member| elements.push(member.to_vec()));
            }
        }
        Some(Kind::Zset) => {
            let zset = keys.zset(db, key)?;
            let members = zset.iter().flat_map(|zset| zset.upwards(0));
            elements.extend(members.map(|(_, member)| member.to_vec()));
        }
        Some(Kind::String | Kind::Hash | Kind::Stream) => return Err(Error::WrongType),
    }
    if options.descending && !options.sorts() && kind != Some(Kind::Set) {
        elements.reverse();
    }
    Ok(elements)
}

fn sorted(
    keys: &mut Keyspace,
    db: Db,
    elements: Vec<Vec<u8>>,
    options: &Options<'_>,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut items = Vec::with_capacity(elements.len());
    let mut numeric = true;
    for element in elements {
        let by = match options.by {
            Some(pattern) => value_of(keys, db, pattern, &element),
            None => Some(element.clone()),
        };
        let weight = if options.alpha {
            Weight::Text(by)
        } else {
            // Without a value, and with an empty one, it counts as 0.
            let number = by
                .filter(|text| !text.is_empty())
                .map_or(Some(0.0), |text| parse_double(text.trim_ascii_start()));
            numeric &= number.is_some();
            Weight::Number(number.unwrap_or_default())
        };
        items.push(Item { element, weight });
    }
    if !numeric {
        return Err(Error::err("One or more scores can't be converted into double"));
    }
    items.sort_by(|a, b| {
        let order = a.weight.partial_cmp(&b.weight).unwrap_or(Ordering::Equal);
        let order = order.then_with(|| a.element.cmp(&b.element));
        if options.descending { order.reverse() } else { order }
    });
    Ok(items.into_iter().map(|item| item.element).collect())
}

/// The key that a pattern names for an element, and the field of the hash there if it names one.
fn named<'p>(pattern: &'p [u8], element: &[u8]) -> Option<(Vec<u8>, Option<&'p [u8]>)> {
    let star = pattern.iter().position(|byte| *byte == b'*')?;
    let (before, rest) = pattern.split_at_checked(star)?;
    let mut after = rest.get(1..)?;
    let mut field = None;
    if let Some(arrow) = after.windows(2).position(|two| two == b"->")
        && let Some((name, word)) = after.split_at_checked(arrow)
        && word.len() > 2
    {
        (after, field) = (name, word.get(2..));
    }
    Some(([before, element, after].concat(), field))
}

/// What a pattern leads to: a string, or a field of a hash.
fn value_of(keys: &mut Keyspace, db: Db, pattern: &[u8], element: &[u8]) -> Option<Vec<u8>> {
    let (key, field) = named(pattern, element)?;
    match field {
        None => Some(keys.string(db, &key).ok()??.flat().to_vec()),
        Some(field) => Some(keys.hash(db, &key).ok()??.get(field)?.to_vec()),
    }
}
