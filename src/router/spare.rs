//! Memory of batches that have left, for the next ones of the same core.
//!
//! An envelope is filled on one core and read on another, and its replies the other way round. Were
//! it freed where its journey ends, every journey would take memory of one core's heap and give it
//! back from another, which costs more than to run its commands.

use crate::commands::order::Envelope;
use crate::limits::{SPARE_BYTES, SPARES_KEEP};
use crate::router::pipeline::Open;

/// What can be used again: empty, and not much.
#[derive(Debug, Default)]
#[expect(clippy::vec_box, reason = "they travel and stay in their boxes")]
pub struct Spare {
    envelopes: Vec<Box<Envelope>>,
    opens: Vec<Box<Open>>,
}

impl Spare {
    /// An empty envelope.
    pub fn envelope(&mut self) -> Box<Envelope> {
        self.envelopes.pop().unwrap_or_default()
    }

    /// An envelope that is back for good.
    pub fn keep_envelope(&mut self, mut envelope: Box<Envelope>) {
        if envelope.held() <= SPARE_BYTES && self.envelopes.len() < SPARES_KEEP {
            envelope.clear();
            self.envelopes.push(envelope);
        }
    }

    /// Where a batch is put in order.
    pub(in crate::router) fn open(&mut self) -> Box<Open> {
        self.opens.pop().unwrap_or_default()
    }

    /// A batch that is in order.
    pub(in crate::router) fn keep_open(&mut self, mut open: Box<Open>) {
        open.give_back(self);
        if open.held() <= SPARE_BYTES && self.opens.len() < SPARES_KEEP {
            self.opens.push(open);
        }
    }
}
