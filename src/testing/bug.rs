//! Mistakes on purpose: the tests have to find each of them.

/// A mistake that is built into the machine on purpose: the tests have to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A sync is reported and not done.
    SkipSync,
    /// Acknowledged when the write is submitted.
    AckBeforeWrite,
    /// What is durable is taken when a sync completes, not when it was submitted.
    DurableAtCompletion,
    /// A short write counts as a whole one.
    IgnoreShortWrite,
    /// Directories are not synced.
    NoDirectorySync,
    /// The manifest is renamed before it is synced.
    ManifestNotSynced,
    /// Bytes behind the end of a closed segment are taken for records.
    ReplayBehindTheEnd,
    /// The segments of another shard are replayed.
    ForeignSegment,
    /// The last record of a log is not replayed.
    DropLastRecord,
    /// The cut is made after the first command of the new epoch.
    LateCut,
    /// The epoch advances while a transaction is being applied.
    AdvanceInTransaction,
    /// A transaction over shards does not hold acknowledgements.
    NoHold,
    /// A snapshot lacks a key that was changed while it was written.
    LosePreimage,
    /// The traversal takes values as they are, not as they were at the cut.
    PolarityNotFlipped,
    /// Keys expire while the log is replayed.
    ExpireWhileLoading,
    /// A failed write or sync is forgotten.
    ForgetError,
    /// The next write or sync that succeeds clears the error of one that failed.
    ClearError,
    /// A buffer is changed while it is being written.
    TouchInFlight,
    /// A record of the log is replayed twice.
    ReplayTwice,
    /// A base is committed before it is synced.
    BaseNotSynced,
    /// A start writes what is doubtful again, and believes the sync.
    TrustRewrite,
    /// A start copies what the page cache has later for what it has loaded.
    TrustPages,
    /// The orders of one coordinator to one shard overtake each other.
    Overtaking,
    /// The files of the old generation go before the new manifest is there.
    TidyBeforeCommit,
}

/// All of them.
pub const BUGS: [Bug; 24] = [
    Bug::SkipSync,
    Bug::AckBeforeWrite,
    Bug::DurableAtCompletion,
    Bug::IgnoreShortWrite,
    Bug::NoDirectorySync,
    Bug::ManifestNotSynced,
    Bug::ReplayBehindTheEnd,
    Bug::ForeignSegment,
    Bug::DropLastRecord,
    Bug::LateCut,
    Bug::AdvanceInTransaction,
    Bug::NoHold,
    Bug::LosePreimage,
    Bug::PolarityNotFlipped,
    Bug::ExpireWhileLoading,
    Bug::ForgetError,
    Bug::ClearError,
    Bug::TouchInFlight,
    Bug::ReplayTwice,
    Bug::BaseNotSynced,
    Bug::TidyBeforeCommit,
    Bug::TrustRewrite,
    Bug::TrustPages,
    Bug::Overtaking,
];
