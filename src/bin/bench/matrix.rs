//! What the part about memory goes through: string keys by the size of their values, and every
//! collection in three sizes, with elements of ten bytes.

use crate::load::Data;
use crate::mix::Fill;
use crate::trial::strings;

/// Elements in a row.
const ELEMENTS: f64 = 2_000_000.0;
/// Elements of a collection: one that is small everywhere, one at the end of what is, a big one.
const SIZES: [u64; 3] = [10, 100, 10_000];

/// Data of one kind.
#[derive(Clone, Debug)]
pub struct Row {
    /// What one element is.
    pub what: String,
    /// The command of a mix that makes it.
    pub command: &'static str,
    /// Does it make keys, or members of collections?
    pub fill: Fill,
    /// How many, and how big.
    pub data: Data,
}

/// All rows, with so many times the usual number of elements.
pub fn rows(scale: f64) -> Vec<Row> {
    let elements = (ELEMENTS * scale).max(1000.0) as u64;
    let mut rows = Vec::new();
    for bytes in [8, 32, 64, 256, 1024] {
        let keys = if bytes > 100 { elements / 4 } else { elements };
        let what = format!("key and {bytes}-byte value");
        rows.push(Row { what, command: "set", fill: Fill::Keys, data: strings(keys, bytes) });
    }
    for (element, of, command) in [
        ("element", "list", "rpush-short"),
        ("integer", "set", "sadd-integer"),
        ("member", "set", "sadd-short"),
        ("field and value", "hash", "hset-short"),
        ("member", "sorted set", "zadd-short"),
    ] {
        for members in SIZES {
            let what = format!("10-byte {element} of a {of} of {members}");
            let collections = (elements / members).max(1);
            let data = Data { collections, members, ..strings(1, 10) };
            rows.push(Row { what, command, fill: Fill::Members, data });
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Mix;

    #[test]
    fn every_row_can_be_made() {
        for scale in [0.0001, 1.0, 100.0] {
            let rows = rows(scale);
            assert_eq!(rows.len(), 5 + 5 * SIZES.len());
            for row in rows {
                assert_eq!(row.data.check(), Ok(()), "{}", row.what);
                assert!(Mix::parse(row.command).is_ok(), "{}", row.what);
                // Names of nine digits are not to repeat within a collection.
                assert!(row.data.members < 1_000_000_000);
            }
        }
    }
}
