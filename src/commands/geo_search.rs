//! Searching members of sorted sets by their position: GEOSEARCH, and the older GEORADIUS.

use crate::commands::call::{Call, Effect};
use crate::commands::geo::{point, unit, write_distance, write_point};
use crate::commands::parse::{integer, is};
use crate::commands::row::{FIRST_TWO, WRITE_OOM, on, row};
use crate::commands::spec::{Across, Command, Docs, Flags, KeySpec};
use crate::commands::zset_range::store;
use crate::commands::zset_reply::score;
use crate::resp::args::Args;
use crate::resp::error::Error;
use crate::resp::reply::Reply;
use crate::types::geo::{Found, Point, Shape, search};
use crate::types::zset::Zset;
use crate::types::zset::packed::order;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "geosearch",
        -7,
        Flags::READONLY,
        |call| run(call, Form::Search),
        docs("6.2.0", "Returns members near a position."),
    ),
    on(
        FIRST_TWO,
        Across::Gather,
        row(
            "geosearchstore",
            -8,
            WRITE_OOM,
            |call| run(call, Form::SearchStore),
            docs("6.2.0", "Stores members near a position."),
        ),
    ),
    on(
        KeySpec::Stored { from: 6 },
        Across::Gather,
        row(
            "georadius",
            -6,
            WRITE_OOM,
            |call| run(call, Form::Radius),
            docs("3.2.0", "Returns or stores members near a position."),
        ),
    ),
    on(
        KeySpec::Stored { from: 5 },
        Across::Gather,
        row(
            "georadiusbymember",
            -5,
            WRITE_OOM,
            |call| run(call, Form::RadiusByMember),
            docs("3.2.0", "Returns or stores members near a member."),
        ),
    ),
    row(
        "georadius_ro",
        -6,
        Flags::READONLY,
        |call| run(call, Form::RadiusReadOnly),
        docs("3.2.10", "Returns members near a position."),
    ),
    row(
        "georadiusbymember_ro",
        -5,
        Flags::READONLY,
        |call| run(call, Form::RadiusByMemberReadOnly),
        docs("3.2.10", "Returns members near a member."),
    ),
];

const fn docs(since: &'static str, summary: &'static str) -> Docs {
    Docs::of(
        "geo",
        since,
        "O(N+log(M)), M members of which N lie in the cells around the area.",
        summary,
    )
}

/// The commands of this file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Search,
    SearchStore,
    Radius,
    RadiusByMember,
    RadiusReadOnly,
    RadiusByMemberReadOnly,
}

/// In what order what is found is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sorted {
    No,
    Nearest,
    Farthest,
}

/// Which scores what is stored gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scores {
    Positions,
    Distances,
}

/// What was asked for.
struct Query<'a> {
    form: Form,
    /// Nothing when it is that of a member, and there is no set.
    centre: Option<Point>,
    /// Said where the centre is: by a member, by coordinates.
    from: Option<From>,
    shape: Option<Shape>,
    /// Metres in the unit.
    metres: f64,
    store: Option<&'a [u8]>,
    scores: Scores,
    sorted: Sorted,
    /// 0: all.
    count: usize,
    any: bool,
    with: With,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Member,
    Coordinates,
}

/// What is told of each member.
#[derive(Clone, Copy, Debug, Default)]
struct With {
    distance: bool,
    hash: bool,
    coordinates: bool,
}

impl Form {
    fn is_search(self) -> bool {
        matches!(self, Form::Search | Form::SearchStore)
    }

    /// May it say STORE?
    fn stores(self) -> bool {
        matches!(self, Form::Radius | Form::RadiusByMember)
    }

    /// Where the set's key is.
    fn source(self) -> usize {
        if self == Form::SearchStore { 2 } else { 1 }
    }
}

impl<'a> Query<'a> {
    fn read(form: Form, args: Args<'a>, zset: Option<&Zset>) -> Result<Query<'a>, Error> {
        let mut query = Query {
            form,
            centre: None,
            from: None,
            shape: None,
            metres: 1.0,
            store: (form == Form::SearchStore).then(|| args.at(1)),
            scores: Scores::Positions,
            sorted: Sorted::No,
            count: 0,
            any: false,
            with: With::default(),
        };
        let first = match form {
            Form::Search | Form::SearchStore => form.source() + 1,
            Form::Radius | Form::RadiusReadOnly => {
                query.centre = Some(point(args.at(2), args.at(3))?);
                query.circle(args.at(4), args.at(5))?;
                6
            }
            Form::RadiusByMember | Form::RadiusByMemberReadOnly => {
                // Without a set the area is not even looked at.
                if zset.is_some() {
                    query.member(zset, args.at(2))?;
                    query.circle(args.at(3), args.at(4))?;
                }
                5
            }
        };
        let mut rest = args.from(first);
        while !rest.is_empty() {
            let used = query.option(rest, zset)?;
            rest = rest.from(used);
        }
        query.check(args.at(0))?;
        Ok(query)
    }

    /// Takes one option and its arguments; how many words.
    fn option(&mut self, words: Args<'a>, zset: Option<&Zset>) -> Result<usize, Error> {
        let (word, left) = (words.at(0), words.len() - 1);
        if is(word, "WITHDIST") {
            self.with.distance = true;
        } else if is(word, "WITHHASH") {
            self.with.hash = true;
        } else if is(word, "WITHCOORD") {
            self.with.coordinates = true;
        } else if is(word, "ANY") {
            self.any = true;
        } else if is(word, "ASC") {
            self.sorted = Sorted::Nearest;
        } else if is(word, "DESC") {
            self.sorted = Sorted::Farthest;
        } else if is(word, "COUNT") && left >= 1 {
            let count = integer(words.at(1))?;
            let count = usize::try_from(count).ok().filter(|count| *count > 0);
            self.count = count.ok_or(Error::GEO_COUNT)?;
            return Ok(2);
        } else if self.form.stores() && left >= 1 && is(word, "STORE") {
            (self.store, self.scores) = (words.get(1), Scores::Positions);
            return Ok(2);
        } else if self.form.stores() && left >= 1 && is(word, "STOREDIST") {
            (self.store, self.scores) = (words.get(1), Scores::Distances);
            return Ok(2);
        } else if self.form == Form::SearchStore && is(word, "STOREDIST") {
            self.scores = Scores::Distances;
        } else if self.form.is_search() {
            return self.area(words, zset);
        } else {
            return Err(Error::Syntax);
        }
        Ok(1)
    }

    /// The options of GEOSEARCH that say where.
    fn area(&mut self, words: Args<'a>, zset: Option<&Zset>) -> Result<usize, Error> {
        let (word, left) = (words.at(0), words.len() - 1);
        let circle = self.shape.is_none_or(|shape| matches!(shape, Shape::Circle(_)));
        let boxed = self.shape.is_none_or(|shape| matches!(shape, Shape::Box { .. }));
        if left >= 1 && self.from != Some(From::Coordinates) && is(word, "FROMMEMBER") {
            self.from = Some(From::Member);
            if zset.is_some() {
                self.member(zset, words.at(1))?;
            }
            Ok(2)
        } else if left >= 2 && self.from != Some(From::Member) && is(word, "FROMLONLAT") {
            self.centre = Some(point(words.at(1), words.at(2))?);
            self.from = Some(From::Coordinates);
            Ok(3)
        } else if left >= 2 && circle && is(word, "BYRADIUS") {
            self.circle(words.at(1), words.at(2))?;
            Ok(3)
        } else if left >= 3 && boxed && is(word, "BYBOX") {
            let width = score(words.at(1)).map_err(|_| Error::GEO_WIDTH)?;
            let height = score(words.at(2)).map_err(|_| Error::GEO_HEIGHT)?;
            if width < 0.0 || height < 0.0 {
                return Err(Error::GEO_BOX_NEGATIVE);
            }
            self.metres = unit(words.at(3))?;
            let (width, height) = (width * self.metres, height * self.metres);
            self.shape = Some(Shape::Box { width, height });
            Ok(4)
        } else {
            Err(Error::Syntax)
        }
    }

    fn member(&mut self, zset: Option<&Zset>, member: &[u8]) -> Result<(), Error> {
        let score = zset.and_then(|zset| zset.score(member)).ok_or(Error::GEO_MEMBER)?;
        self.centre = Some(Point::of_score(score));
        Ok(())
    }

    fn circle(&mut self, radius: &[u8], word: &[u8]) -> Result<(), Error> {
        let radius = score(radius).map_err(|_| Error::GEO_RADIUS)?;
        if radius < 0.0 {
            return Err(Error::GEO_RADIUS_NEGATIVE);
        }
        self.metres = unit(word)?;
        self.shape = Some(Shape::Circle(radius * self.metres));
        Ok(())
    }

    /// Refuses what is contradictory or missing; `name` is the command as it was sent.
    fn check(&self, name: &[u8]) -> Result<(), Error> {
        let With { distance, hash, coordinates } = self.with;
        if self.store.is_some() && (distance || hash || coordinates) {
            let what = match self.form {
                Form::SearchStore => "GEOSEARCHSTORE",
                _ => "STORE option in GEORADIUS",
            };
            return Err(Error::err_owned(format!(
                "{what} is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
            )));
        }
        let missing = |what: &str| {
            let name = String::from_utf8_lossy(name);
            Err(Error::err_owned(format!("exactly one of {what} can be specified for {name}")))
        };
        if self.form.is_search() && self.from.is_none() {
            return missing("FROMMEMBER or FROMLONLAT");
        }
        if self.form.is_search() && self.shape.is_none() {
            return missing("BYRADIUS and BYBOX");
        }
        if self.any && self.count == 0 {
            return Err(Error::GEO_ANY);
        }
        Ok(())
    }

    /// What is found, in the order in which it is told.
    fn find<'z>(&self, zset: Option<&'z Zset>) -> Vec<Found<'z>> {
        let area = zset.zip(self.centre).zip(self.shape);
        let Some(((zset, centre), shape)) = area else { return Vec::new() };
        let limit = (self.any && self.count > 0).then_some(self.count);
        let mut found = search(zset, centre, shape, limit);
        // The nearest of all are meant if only their number was said.
        let sorted = match self.sorted {
            Sorted::No if self.count > 0 && !self.any => Sorted::Nearest,
            sorted => sorted,
        };
        match sorted {
            Sorted::No => {}
            Sorted::Nearest => found.sort_by(|a, b| a.distance.total_cmp(&b.distance)),
            Sorted::Farthest => found.sort_by(|a, b| b.distance.total_cmp(&a.distance)),
        }
        if self.count > 0 {
            found.truncate(self.count);
        }
        found
    }

    fn write(&self, reply: &mut Reply<'_>, found: &Found<'_>) {
        let With { distance, hash, coordinates } = self.with;
        let more = [distance, hash, coordinates].into_iter().filter(|with| *with).count();
        if more > 0 {
            reply.array(1 + more);
        }
        reply.bulk(found.member);
        if distance {
            write_distance(reply, found.distance / self.metres);
        }
        if hash {
            reply.integer(found.score as i64);
        }
        if coordinates {
            write_point(reply, found.point);
        }
    }
}

fn run(call: &mut Call<'_>, form: Form) -> Result<Effect, Error> {
    let (args, key) = (call.args, call.args.at(form.source()));
    if form == Form::SearchStore || form.stores() {
        // A replay has to see the same set: what has expired is removed first.
        call.keys.drop_expired(call.db, key);
    }
    let zset = call.keys.zset(call.db, key)?;
    let query = Query::read(form, args, zset)?;
    let found = query.find(zset);
    let Some(target) = query.store else {
        call.reply.array(found.len());
        found.iter().for_each(|found| query.write(&mut call.reply, found));
        return Ok(Effect::Nothing);
    };
    let scored = |found: &Found<'_>| match query.scores {
        Scores::Positions => (found.score, found.member.into()),
        Scores::Distances => (found.distance / query.metres, found.member.into()),
    };
    let mut found: Vec<(f64, Box<[u8]>)> = found.iter().map(scored).collect();
    found.sort_unstable_by(|a, b| order((a.0, &a.1), (b.0, &b.1)));
    store(call, target, &found)
}
