//! Positions on the globe as members of sorted sets.

use crate::commands::call::{Call, Effect};
use crate::commands::parse::{choice, is};
use crate::commands::row::{WRITE_OOM, row};
use crate::commands::spec::{Command, Docs, Flags};
use crate::commands::zset::{Rules, add_pairs};
use crate::commands::zset_reply::score;
use crate::resp::error::Error;
use crate::resp::reply::{Proto, Reply};
use crate::types::geo::Point;

/// The rows of this file.
pub const ROWS: &[Command] = &[
    row(
        "geoadd",
        -5,
        WRITE_OOM,
        geoadd,
        docs("O(log(N)) for each member added, N members.", "Adds members with their positions."),
    ),
    row(
        "geodist",
        -4,
        Flags::READONLY,
        geodist,
        docs("O(1)", "Returns the distance between two members."),
    ),
    row(
        "geohash",
        -2,
        Flags::READONLY,
        geohash,
        docs("O(1) for each member.", "Returns positions as geohash strings."),
    ),
    row(
        "geopos",
        -2,
        Flags::READONLY,
        geopos,
        docs("O(1) for each member.", "Returns longitudes and latitudes."),
    ),
];

const fn docs(complexity: &'static str, summary: &'static str) -> Docs {
    Docs::of("geo", "3.2.0", complexity, summary)
}

/// A longitude and a latitude.
pub fn point(longitude: &[u8], latitude: &[u8]) -> Result<Point, Error> {
    let (longitude, latitude) = (score(longitude)?, score(latitude)?);
    Point::new(longitude, latitude).ok_or_else(|| {
        Error::err_owned(format!("invalid longitude,latitude pair {longitude:.6},{latitude:.6}"))
    })
}

/// How many metres a unit has.
pub fn unit(word: &[u8]) -> Result<f64, Error> {
    let units = [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)];
    choice(word, &units).ok_or(Error::GEO_UNIT)
}

/// Writes a distance, with four digits after the point.
pub fn write_distance(reply: &mut Reply<'_>, distance: f64) {
    let parts = (distance * 1e4).round_ties_even() as i64;
    reply.bulk(format!("{}.{:04}", parts / 10_000, parts % 10_000).as_bytes());
}

/// Writes longitude and latitude.
pub fn write_point(reply: &mut Reply<'_>, point: Point) {
    reply.array(2);
    for degrees in [point.longitude, point.latitude] {
        let digits = format!("{degrees:.17}");
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        let digits = if digits == "-0" { "0" } else { digits };
        match reply.proto() {
            Proto::Two => reply.bulk(digits.as_bytes()),
            Proto::Three => reply.raw(format!(",{digits}\r\n").as_bytes()),
        }
    }
}

fn geoadd(call: &mut Call<'_>) -> Result<Effect, Error> {
    let mut rules = Rules::default();
    let mut option =
        |word: &[u8]| ["NX", "XX", "CH"].into_iter().any(|name| is(word, name)) && rules.take(word);
    let options = call.args.from(2).iter().take_while(|word| option(word)).count();
    let triples = call.args.from(2 + options);
    if !triples.len().is_multiple_of(3) || rules.check(1).is_err() {
        return Err(Error::Syntax);
    }
    let mut pairs = Vec::new();
    for at in (0..triples.len()).step_by(3) {
        let score = point(triples.at(at), triples.at(at + 1))?.score();
        pairs.push((score, triples.at(at + 2)));
    }
    // As ZADD without a pair.
    if pairs.is_empty() {
        return Err(Error::Syntax);
    }
    add_pairs(call, rules, &pairs)
}

fn geodist(call: &mut Call<'_>) -> Result<Effect, Error> {
    let metres = match call.args.get(4) {
        _ if call.args.len() > 5 => return Err(Error::Syntax),
        Some(word) => unit(word)?,
        None => 1.0,
    };
    let zset = call.keys.zset(call.db, call.args.at(1))?;
    let place = |at: usize| zset.and_then(|zset| zset.score(call.args.at(at))).map(Point::of_score);
    match place(2).zip(place(3)) {
        Some((from, to)) => write_distance(&mut call.reply, from.distance(to) / metres),
        None => call.reply.null(),
    }
    Ok(Effect::Nothing)
}

fn geohash(call: &mut Call<'_>) -> Result<Effect, Error> {
    let members = call.args.from(2);
    let zset = call.keys.zset(call.db, call.args.at(1))?;
    call.reply.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => call.reply.bulk(&Point::of_score(score).letters()),
            None => call.reply.null(),
        }
    }
    Ok(Effect::Nothing)
}

fn geopos(call: &mut Call<'_>) -> Result<Effect, Error> {
    let members = call.args.from(2);
    let zset = call.keys.zset(call.db, call.args.at(1))?;
    call.reply.array(members.len());
    for member in members.iter() {
        match zset.and_then(|zset| zset.score(member)) {
            Some(score) => write_point(&mut call.reply, Point::of_score(score)),
            None => call.reply.null_array(),
        }
    }
    Ok(Effect::Nothing)
}
