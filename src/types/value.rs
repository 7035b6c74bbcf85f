//! What a key can hold.

/// The type of a value, as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `string`
    String,
    /// `hash`
    Hash,
}

/// How a value is stored, in the words that OBJECT ENCODING uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A string that is the decimal form of a 64-bit integer.
    Int,
    /// A string of at most 44 bytes that was never changed in place.
    Embstr,
    /// Any other string.
    Raw,
    /// A small hash (also list, set, sorted set later).
    Listpack,
    /// A big hash or set.
    Hashtable,
}

impl Kind {
    /// The word of the TYPE command.
    pub fn name(self) -> &'static str {
        match self {
            Kind::String => "string",
            Kind::Hash => "hash",
        }
    }
}

impl Encoding {
    /// The word of OBJECT ENCODING.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Int => "int",
            Encoding::Embstr => "embstr",
            Encoding::Raw => "raw",
            Encoding::Listpack => "listpack",
            Encoding::Hashtable => "hashtable",
        }
    }
}
