//! What may be asked of a batcher between two inputs.

use levi_outbox::LaneId;

use super::{Batch, BatchId, Batcher, PauseReason};

impl Batcher {
    /// Lanes that the response to [`Action::Load`](super::Action::Load) must leave out: those at hand, and those about which
    /// something was decided that may not be on disk.
    pub fn lanes_at_hand(&self) -> Vec<LaneId> {
        self.windows.known()
    }

    /// Whether requests may be sent now.
    pub fn is_open(&self) -> bool {
        self.auth.is_open() && self.breaker.permits_sending() && self.storage.is_open()
    }

    /// Whether the control rows of the present user can be sent. Otherwise they wait for a sender.
    pub fn can_send_control_rows(&self) -> bool {
        self.senders.serve(self.user.as_ref())
    }

    /// Whether session sync runs here, but for other users only.
    pub(crate) fn sends_control_rows_of_others(&self) -> bool {
        self.senders.serve_others_only(self.user.as_ref())
    }

    /// Whether the outbox may be used now. It is left alone for a while after it failed.
    pub fn trusts_outbox(&self) -> bool {
        self.storage.is_open()
    }

    /// Why nothing is being sent, the most fundamental reason first.
    pub fn paused(&self) -> Option<PauseReason> {
        self.storage.reason().or_else(|| self.auth.reason()).or_else(|| self.breaker.reason())
    }

    /// A request in flight.
    pub fn batch(&self, id: BatchId) -> Option<&Batch> {
        self.in_flight.get(&id)
    }

    /// The requests in flight.
    pub fn in_flight(&self) -> impl ExactSizeIterator<Item = &Batch> {
        self.in_flight.values()
    }

    /// Whether nothing is in flight and nothing more can be sent now.
    pub fn is_drained(&self) -> bool {
        let nothing_due = !self.dirty && !self.loading && !self.windows.has_ready();
        self.in_flight.is_empty() && (nothing_due || !self.is_open())
    }
}
