//! The error texts of sorted sets and of positions on the globe.

use crate::resp::error::{Error, text};

impl Error {
    /// A range of scores.
    pub const SCORE_RANGE: Error = text("ERR min or max is not a float");
    /// A range of members.
    pub const LEX_RANGE: Error = text("ERR min or max not valid string range item");
    /// ZADD: NX with XX.
    pub const ZADD_NX_XX: Error = text("ERR XX and NX options at the same time are not compatible");
    /// ZADD: GT, LT and NX.
    pub const ZADD_GT_LT: Error =
        text("ERR GT, LT, and/or NX options at the same time are not compatible");
    /// ZADD INCR with several members.
    pub const ZADD_INCR: Error = text("ERR INCR option supports a single increment-element pair");
    /// ZINCRBY of infinities of both signs.
    pub const SCORE_NAN: Error = text("ERR resulting score is not a number (NaN)");
    /// ZRANGE LIMIT with positions.
    pub const RANGE_LIMIT: Error = text(
        "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
    );
    /// ZRANGE WITHSCORES with members.
    pub const RANGE_WITHSCORES: Error =
        text("ERR syntax error, WITHSCORES not supported in combination with BYLEX");
    /// ZUNION WEIGHTS.
    pub const WEIGHT: Error = text("ERR weight value is not a float");
    /// ZINTERCARD and SINTERCARD.
    pub const LIMIT_NEGATIVE: Error = text("ERR LIMIT can't be negative");
    /// ZMPOP and LMPOP.
    pub const COUNT_ZERO: Error = text("ERR count should be greater than 0");

    /// A unit of length.
    pub const GEO_UNIT: Error = text("ERR unsupported unit provided. please use M, KM, FT, MI");
    /// GEOSEARCH BYRADIUS.
    pub const GEO_RADIUS: Error = text("ERR need numeric radius");
    /// The same, below zero.
    pub const GEO_RADIUS_NEGATIVE: Error = text("ERR radius cannot be negative");
    /// GEOSEARCH BYBOX.
    pub const GEO_WIDTH: Error = text("ERR need numeric width");
    /// GEOSEARCH BYBOX.
    pub const GEO_HEIGHT: Error = text("ERR need numeric height");
    /// The same, below zero.
    pub const GEO_BOX_NEGATIVE: Error = text("ERR height or width cannot be negative");
    /// A member that is not there.
    pub const GEO_MEMBER: Error = text("ERR could not decode requested zset member");
    /// GEOSEARCH COUNT.
    pub const GEO_COUNT: Error = text("ERR COUNT must be > 0");
    /// GEOSEARCH ANY.
    pub const GEO_ANY: Error = text("ERR the ANY argument requires COUNT argument");
}
