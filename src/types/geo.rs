//! Positions on the globe as scores of a sorted set, and searching them by distance.
//!
//! Longitude and latitude are cut into 2^26 steps each; the bits of the two numbers by turns, the
//! longitude's first, are a score of 52 bits. Members that are near each other so lie in few
//! ranges of scores: a *cell* of fewer steps is one range.

use std::f64::consts::PI;

use crate::types::zset::Zset;
use crate::types::zset::range::{Limit, ScoreRange};

/// The longitudes there are.
pub const LONGITUDE: (f64, f64) = (-180.0, 180.0);
/// The latitudes there are: the projection ends before the poles.
pub const LATITUDE: (f64, f64) = (-85.051_128_78, 85.051_128_78);

const STEP_MAX: u8 = 26;
const EARTH_RADIUS: f64 = 6_372_797.560_856;
/// Half of the equator in metres, in the projection.
const MERCATOR_MAX: f64 = 20_037_726.37;
const RADIANS: f64 = PI / 180.0;
const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";

/// A position in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// East of Greenwich.
    pub longitude: f64,
    /// North of the equator.
    pub latitude: f64,
}

/// What is searched around a centre, in metres.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// What is no farther than this.
    Circle(f64),
    /// A box whose sides run along the meridians.
    Box {
        /// From west to east.
        width: f64,
        /// From north to south.
        height: f64,
    },
}

/// A member that was found.
#[derive(Clone, Debug)]
pub struct Found<'a> {
    /// Its name.
    pub member: &'a [u8],
    /// Its score.
    pub score: f64,
    /// Where it is.
    pub point: Point,
    /// How far from the centre, in metres.
    pub distance: f64,
}

/// Steps from the lowest longitude and latitude, of 2^step each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    longitude: u32,
    latitude: u32,
    step: u8,
}

/// The edges of a cell, or of what is searched.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    longitude: (f64, f64),
    latitude: (f64, f64),
}

impl Point {
    /// The position, if there is such a one.
    pub fn new(longitude: f64, latitude: f64) -> Option<Point> {
        let there = (LONGITUDE.0..=LONGITUDE.1).contains(&longitude)
            && (LATITUDE.0..=LATITUDE.1).contains(&latitude);
        there.then_some(Point { longitude, latitude })
    }

    /// The score that stands for it.
    pub fn score(self) -> f64 {
        Cell::of(self, LATITUDE, STEP_MAX).bits() as f64
    }

    /// The position that a score stands for.
    pub fn of_score(score: f64) -> Point {
        let bits = score as u64;
        let cell =
            Cell { longitude: gather(bits >> 1), latitude: gather(bits), step: STEP_MAX }.bounds();
        let middle = |(low, high): (f64, f64), (min, max): (f64, f64)| {
            f64::midpoint(low, high).clamp(min, max)
        };
        Point {
            longitude: middle(cell.longitude, LONGITUDE),
            latitude: middle(cell.latitude, LATITUDE),
        }
    }

    /// The usual eleven letters, which count latitudes from pole to pole. The last one is 0.
    pub fn letters(self) -> [u8; 11] {
        let bits = Cell::of(self, (-90.0, 90.0), STEP_MAX).bits();
        let mut letters = [b'0'; 11];
        for (nth, letter) in letters.iter_mut().take(10).enumerate() {
            let index = bits >> (52 - (nth + 1) * 5) & 31;
            *letter = ALPHABET.get(index as usize).copied().unwrap_or(b'0');
        }
        letters
    }

    /// The distance along a great circle, in metres.
    pub fn distance(self, to: Point) -> f64 {
        let sine_longitude = ((to.longitude * RADIANS - self.longitude * RADIANS) / 2.0).sin();
        if sine_longitude == 0.0 {
            return self.distance_north(to);
        }
        let (from_latitude, to_latitude) = (self.latitude * RADIANS, to.latitude * RADIANS);
        let sine_latitude = ((to_latitude - from_latitude) / 2.0).sin();
        let a = sine_latitude * sine_latitude
            + from_latitude.cos() * to_latitude.cos() * sine_longitude * sine_longitude;
        2.0 * EARTH_RADIUS * a.sqrt().asin()
    }

    /// The distance of two latitudes.
    fn distance_north(self, to: Point) -> f64 {
        EARTH_RADIUS * (to.latitude * RADIANS - self.latitude * RADIANS).abs()
    }
}

impl Shape {
    /// The distance of a point from the centre, if it lies in the shape.
    fn reaches(self, centre: Point, point: Point) -> Option<f64> {
        match self {
            Shape::Circle(radius) => {
                Some(centre.distance(point)).filter(|distance| *distance <= radius)
            }
            Shape::Box { width, height } => {
                let beside = Point { longitude: centre.longitude, ..point };
                let inside = point.distance_north(centre) <= height / 2.0
                    && point.distance(beside) <= width / 2.0;
                inside.then(|| centre.distance(point))
            }
        }
    }

    /// The farthest point's distance.
    fn radius(self) -> f64 {
        match self {
            Shape::Circle(radius) => radius,
            Shape::Box { width, height } => {
                (width / 2.0 * (width / 2.0) + height / 2.0 * (height / 2.0)).sqrt()
            }
        }
    }

    /// Its edges. A degree of longitude is shorter nearer to a pole, so the wider end counts.
    fn bounds(self, centre: Point) -> Bounds {
        let (width, height) = match self {
            Shape::Circle(radius) => (radius, radius),
            Shape::Box { width, height } => (width / 2.0, height / 2.0),
        };
        let Point { longitude, latitude } = centre;
        let up = height / EARTH_RADIUS / RADIANS;
        let toward_pole = if latitude < 0.0 { latitude - up } else { latitude + up };
        let across = width / EARTH_RADIUS / (toward_pole * RADIANS).cos() / RADIANS;
        Bounds {
            longitude: (longitude - across, longitude + across),
            latitude: (latitude - up, latitude + up),
        }
    }
}

impl Cell {
    fn of(point: Point, latitudes: (f64, f64), step: u8) -> Cell {
        let scale = (1_u64 << step) as f64;
        let steps =
            |degrees: f64, (min, max): (f64, f64)| ((degrees - min) / (max - min) * scale) as u32;
        Cell {
            longitude: steps(point.longitude, LONGITUDE),
            latitude: steps(point.latitude, latitudes),
            step,
        }
    }

    fn bits(self) -> u64 {
        spread(self.latitude) | spread(self.longitude) << 1
    }

    fn bounds(self) -> Bounds {
        let scale = (1_u64 << self.step) as f64;
        let edges = |steps: u32, (min, max): (f64, f64)| {
            let edge = |steps: f64| min + steps / scale * (max - min);
            (edge(f64::from(steps)), edge(f64::from(steps) + 1.0))
        };
        Bounds {
            longitude: edges(self.longitude, LONGITUDE),
            latitude: edges(self.latitude, LATITUDE),
        }
    }

    /// The scores of what lies in it.
    fn scores(self) -> ScoreRange {
        let shift = 52 - 2 * u32::from(self.step);
        let score = |bits: u64| (bits << shift) as f64;
        ScoreRange {
            min: Limit::Including(score(self.bits())),
            max: Limit::Excluding(score(self.bits() + 1)),
        }
    }

    /// The cell so many steps east and north; the globe goes round both ways here.
    fn beside(self, east: i32, north: i32) -> Cell {
        let mask = (1_u32 << self.step) - 1;
        let moved = |steps: u32, by: i32| match by {
            0 => steps,
            by => steps.wrapping_add_signed(by) & mask,
        };
        Cell {
            longitude: moved(self.longitude, east),
            latitude: moved(self.latitude, north),
            step: self.step,
        }
    }
}

/// The members of a sorted set within a shape. A limit ends the search as soon as there are so
/// many, whichever they are.
pub fn search<'a>(
    zset: &'a Zset,
    centre: Point,
    shape: Shape,
    limit: Option<usize>,
) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    let enough = |found: &Vec<Found<'_>>| limit.is_some_and(|limit| found.len() >= limit);
    for cell in cells(centre, shape) {
        let ranks = cell.scores().ranks(zset);
        for (score, member) in zset.upwards(ranks.start).take(ranks.len()) {
            if enough(&found) {
                return found;
            }
            let point = Point::of_score(score);
            if let Some(distance) = shape.reaches(centre, point) {
                found.push(Found { member, score, point, distance });
            }
        }
    }
    found
}

/// The cell of the centre and those of its neighbours into which the shape reaches.
fn cells(centre: Point, shape: Shape) -> Vec<Cell> {
    let wanted = shape.bounds(centre);
    let mut cell = Cell::of(centre, LATITUDE, steps(shape.radius(), centre.latitude));
    let edge = |east, north| cell.beside(east, north).bounds();
    // Near the edge of a cell its neighbours may end within the shape.
    let short = edge(0, 1).latitude.1 < wanted.latitude.1
        || edge(0, -1).latitude.0 > wanted.latitude.0
        || edge(1, 0).longitude.1 < wanted.longitude.1
        || edge(-1, 0).longitude.0 > wanted.longitude.0;
    if cell.step > 1 && short {
        cell = Cell::of(centre, LATITUDE, cell.step - 1);
    }
    let own = cell.bounds();
    let needless = |east: i32, north: i32| {
        cell.step >= 2
            && (north < 0 && own.latitude.0 < wanted.latitude.0
                || north > 0 && own.latitude.1 > wanted.latitude.1
                || east < 0 && own.longitude.0 < wanted.longitude.0
                || east > 0 && own.longitude.1 > wanted.longitude.1)
    };
    let around = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
    let mut cells: Vec<Cell> = around
        .into_iter()
        .filter(|&(east, north)| !needless(east, north))
        .map(|(east, north)| cell.beside(east, north))
        .collect();
    // Of the largest cells there are only two from pole to pole.
    cells.dedup();
    cells
}

/// Of how many steps a cell is that is as large as this radius.
fn steps(radius: f64, latitude: f64) -> u8 {
    if radius == 0.0 {
        return STEP_MAX;
    }
    let (mut radius, mut steps) = (radius, 1_i32);
    while radius < MERCATOR_MAX {
        radius *= 2.0;
        steps += 1;
    }
    // The shape may lie across a cell's edge; nearer to the poles cells are narrower.
    steps -= 2;
    if latitude.abs() > 66.0 {
        steps -= 1;
    }
    if latitude.abs() > 80.0 {
        steps -= 1;
    }
    steps.clamp(1, i32::from(STEP_MAX)) as u8
}

/// The bits of a number with a zero bit before each.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in SHIFTS {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Every second bit, from the lowest on.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    for ((shift, _), mask) in SHIFTS.into_iter().rev().zip(GATHERED) {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

const SHIFTS: [(u32, u64); 5] = [
    (16, 0x0000_ffff_0000_ffff),
    (8, 0x00ff_00ff_00ff_00ff),
    (4, 0x0f0f_0f0f_0f0f_0f0f),
    (2, 0x3333_3333_3333_3333),
    (1, 0x5555_5555_5555_5555),
];
const GATHERED: [u64; 5] = [
    0x3333_3333_3333_3333,
    0x0f0f_0f0f_0f0f_0f0f,
    0x00ff_00ff_00ff_00ff,
    0x0000_ffff_0000_ffff,
    0x0000_0000_ffff_ffff,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::prng::Prng;
    use crate::base::table::KeyHasher;
    use crate::types::zset::ZsetLimits;

    const PALERMO: (f64, f64) = (13.361389, 38.115556);
    const CATANIA: (f64, f64) = (15.087269, 37.502669);

    fn point((longitude, latitude): (f64, f64)) -> Point {
        Point::new(longitude, latitude).unwrap()
    }

    #[test]
    fn bits_by_turns() {
        for seed in 0..10_000 {
            let number = Prng::new(seed).next() as u32;
            assert_eq!(gather(spread(number)), number);
            assert_eq!(gather(spread(number) | spread(!number) << 1), number);
        }
        assert_eq!(spread(0b1011), 0b100_0101);
    }

    #[test]
    fn known_places() {
        assert_eq!(point(PALERMO).score(), 3_479_099_956_230_698.0);
        assert_eq!(point(CATANIA).score(), 3_479_447_370_796_909.0);
        let (palermo, catania) = (point(PALERMO).score(), point(CATANIA).score());
        let (palermo, catania) = (Point::of_score(palermo), Point::of_score(catania));
        assert_eq!(palermo.letters(), *b"sqc8b49rny0");
        assert_eq!(catania.letters(), *b"sqdtr74hyu0");
        assert_eq!((palermo.distance(catania) * 1e4).round() / 1e4, 166_274.151_6);
        assert_eq!(Point::new(0.0, 85.06), None);
        assert_eq!(Point::new(f64::INFINITY, 0.0), None);
    }

    /// Everything within the shape is found, and nothing else, once.
    #[test]
    fn searches_find_what_looking_at_all_finds() {
        for seed in 0..300 {
            let mut prng = Prng::new(seed);
            let mut any = |(low, high): (f64, f64)| {
                low + (high - low) * (prng.next() as f64 / u64::MAX as f64)
            };
            // Near the poles, and over the edge of the map, the areas that are searched leave
            // something out, as they do in Redis.
            let around = any((1.0, 14.0));
            let near = point((any((-150.0, 150.0)), any((-60.0, 60.0))));
            let mut zset = Zset::default();
            for n in 0..300 {
                let longitude = near.longitude + any((-around, around));
                let latitude = near.latitude + any((-around, around));
                let score = point((longitude, latitude)).score();
                let limits = ZsetLimits { entries: 128, value: 64 };
                zset.set(score, format!("{n}").as_bytes(), limits, &KeyHasher::new(1));
            }
            let shape = if seed % 2 == 0 {
                Shape::Circle(any((0.0, 900_000.0)))
            } else {
                Shape::Box { width: any((0.0, 900_000.0)), height: any((0.0, 900_000.0)) }
            };
            let mut expected: Vec<&[u8]> = zset
                .upwards(0)
                .filter(|(score, _)| shape.reaches(near, Point::of_score(*score)).is_some())
                .map(|(_, member)| member)
                .collect();
            let mut got: Vec<&[u8]> =
                search(&zset, near, shape, None).iter().map(|found| found.member).collect();
            expected.sort_unstable();
            got.sort_unstable();
            assert_eq!(got, expected, "seed {seed} {shape:?} {near:?}");
            let few = search(&zset, near, shape, Some(3)).len();
            assert_eq!(few, expected.len().min(3));
        }
    }
}
