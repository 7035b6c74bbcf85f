//! Mistakes that tests and basalt-sim switch on in the product's own code, to see that they are
//! found. Without the feature `sim` a build has none of them, and the question costs nothing.

/// A mistake, and where it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// persist/record.rs: the payload of a record is not checked, only its line.
    UncheckedPayload,
    /// persist/segment_queue.rs: durable is what was written when the sync completes.
    DurableAtCompletion,
    /// persist/segment_queue.rs: a short write counts as a whole one.
    ShortIsWhole,
    /// persist/segment_queue.rs: the present epoch counts as complete.
    EarlyEpoch,
    /// persist/segment.rs: a failure is forgotten.
    NoPoison,
    /// persist/segment.rs: the next segment is written before the one before it is.
    NextSegmentFirst,
    /// persist/recovery.rs: no cut at an epoch that is complete on every shard.
    NoRowK,
    /// persist/recovery.rs: transactions that a participant lacks are kept.
    NoRowL,
    /// persist/recovery.rs: what lies in the page cache is taken for clean.
    TrustPageCache,
    /// keyspace/snapshot.rs: a cut does not flip the polarity.
    NoFlip,
    /// shard/gate.rs: a part is safe although a transaction before it is not.
    LooseChain,
    /// shard/gate.rs: a transaction does not hold what follows it.
    NoHold,
    /// shard/orders.rs: a transaction is refused in the middle.
    RefusedHalfway,
    /// shard/orders.rs: two shards commit two transactions in different orders.
    ManyWriters,
    /// shard/orders.rs: the keys of a transaction do not get the lsn of its commit.
    Unmarked,
    /// shard/execute.rs: a read does not wait for what it has seen.
    HastyRead,
    /// shard/journal.rs: a transaction's part is logged as if nobody else had one.
    PartAlone,
    /// persist/recovery.rs: where a log was cut is not noted.
    CutForgotten,
    /// base/split.rs: the upper half of a split loses its marks, polarity among them.
    SplitLosesPolarity,
    /// keyspace/database.rs: a traversal loses its place when a segment splits.
    SplitLosesCursor,
    /// keyspace/preimage.rs: a field of a big hash changes without being handed over.
    NoFieldImage,
    /// keyspace/preimage.rs: a chunk of a long string changes without being handed over.
    NoChunkImage,
    /// keyspace/preimage.rs: a value that is replaced is not handed over.
    NoMovedImage,
    /// keyspace/preimage.rs: a pre-image goes to the database as it is numbered now.
    NumberOfNow,
}

/// All of them.
#[cfg(any(test, feature = "sim"))]
pub const MUTANTS: [Mutant; 24] = [
    Mutant::UncheckedPayload,
    Mutant::DurableAtCompletion,
    Mutant::ShortIsWhole,
    Mutant::EarlyEpoch,
    Mutant::NoPoison,
    Mutant::NextSegmentFirst,
    Mutant::NoRowK,
    Mutant::NoRowL,
    Mutant::TrustPageCache,
    Mutant::NoFlip,
    Mutant::LooseChain,
    Mutant::NoHold,
    Mutant::RefusedHalfway,
    Mutant::ManyWriters,
    Mutant::Unmarked,
    Mutant::HastyRead,
    Mutant::PartAlone,
    Mutant::CutForgotten,
    Mutant::SplitLosesPolarity,
    Mutant::SplitLosesCursor,
    Mutant::NoFieldImage,
    Mutant::NoChunkImage,
    Mutant::NoMovedImage,
    Mutant::NumberOfNow,
];

impl Mutant {
    /// Is this mistake to be made?
    #[cfg(not(any(test, feature = "sim")))]
    #[inline(always)]
    pub const fn is_on(self) -> bool {
        false
    }
}

#[cfg(any(test, feature = "sim"))]
mod switch {
    use std::cell::Cell;

    use super::Mutant;

    thread_local! {
        static ON: Cell<Option<Mutant>> = const { Cell::new(None) };
    }

    struct Restored(Option<Mutant>);

    impl Drop for Restored {
        fn drop(&mut self) {
            ON.set(self.0);
        }
    }

    impl Mutant {
        /// Is this mistake to be made?
        pub fn is_on(self) -> bool {
            ON.get() == Some(self)
        }

        /// Does the work with this mistake, on this thread.
        pub fn during<T>(self, work: impl FnOnce() -> T) -> T {
            let _restored = Restored(ON.replace(Some(self)));
            work()
        }
    }
}
