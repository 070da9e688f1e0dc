//! The rate of incomplete batches: at most one in each `flush_interval`.

use std::time::Duration;

use levi_types::Monotonic;

use crate::config::{Flush, LeviConfig};

/// When the last incomplete batch left, and so when the next one may leave at once.
#[derive(Debug)]
pub(super) struct FlushRate {
    flush: Flush,
    interval: Duration,
    last: Option<Monotonic>,
}

impl FlushRate {
    pub(super) const fn new(config: &LeviConfig) -> Self {
        Self { flush: config.flush, interval: config.flush_interval, last: None }
    }

    /// When messages leave that stop waiting for a fuller batch at `waited`.
    pub(super) fn leaves_at(&self, waited: Monotonic) -> Monotonic {
        match self.flush {
            Flush::Trailing => waited,
            Flush::Leading => {
                waited.min(self.last.map_or(Monotonic::default(), |at| at.after(self.interval)))
            }
        }
    }

    /// A batch of less than `batch_size` messages leaves.
    pub(super) fn incomplete_batch_left(&mut self, now: Monotonic) {
        self.last = Some(now);
    }
}
